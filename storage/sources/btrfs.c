#include "storage/sources/btrfs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/secret.h"
#include "base/text.h"

#define ID_DIGITS  16
#define NAME_BYTES 160
#define NESTED_MAX 100

struct btrfs_snapshot {
	int subvolume; /* descriptors */
	int folder;
	int taken;
	char name[NAME_BYTES]; /* in the folder; "": none, it is read as it is
				*/
	char place[48];
	struct btrfs_ioctl_get_subvol_info_args info; /* of the subvolume */
	const char *nested[NESTED_MAX];
	size_t nested_count;
	size_t nested_total;
};

/* ---- What a descriptor is of -------------------------------------------- */

static bool is_btrfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

static bool is_subvolume(int fd)
{
	struct stat st;

	return is_btrfs(fd) && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_ino == BTRFS_SUBVOLUME_ROOT;
}

static int get_info(int fd, struct btrfs_ioctl_get_subvol_info_args *ret)
{
	memset(ret, 0, sizeof(*ret));
	/* It may say 1 when all is well. */
	return ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, ret) < 0 ? -1 : 0;
}

/* The length of the part of path that is a subvolume's root; 0: unknown. */
static size_t subvolume_above(const char *path)
{
	char above[4096];
	size_t n = strlen(path);

	if (n >= sizeof(above))
		return 0;
	memcpy(above, path, n + 1);
	while (n > 1) {
		CLEANUP(file_close) int fd = -1;

		while (n > 1 && above[n - 1] != '/')
			n--;
		while (n > 1 && above[n - 1] == '/')
			n--;
		above[n] = '\0';
		fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || !is_btrfs(fd))
			return 0;
		if (is_subvolume(fd))
			return n;
	}
	return 0;
}

static int no_subvolume(int fd, const char *path, struct err *e)
{
	size_t above;

	if (!is_btrfs(fd))
		return err_set(e, ERR_USAGE,
			       "%s is no subvolume: its file system is no "
			       "btrfs",
			       text_quote_str(path).s);
	above = subvolume_above(path);
	(void)err_set(e, ERR_USAGE, "%s is no subvolume, but a folder in one",
		      text_quote_str(path).s);
	return above ? err_hint(e, "the subvolume that it lies in is %s",
				text_quote(path, above).s)
		     : -1;
}

static int open_subvolume(struct btrfs_snapshot *s, const char *path,
			  struct err *e)
{
	s->subvolume = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->subvolume < 0) {
		(void)err_sys(e, "cannot open %s", text_quote_str(path).s);
		if (e->code == ERR_NOT_FOUND || e->sys == ENOTDIR)
			e->code = ERR_USAGE;
		return -1;
	}
	if (!is_subvolume(s->subvolume))
		return no_subvolume(s->subvolume, path, e);
	if (get_info(s->subvolume, &s->info) < 0)
		return err_sys(e, "cannot ask btrfs about %s",
			       text_quote_str(path).s);
	return 0;
}

/* ---- The folder --------------------------------------------------------- */

/*
 * It may have been put there by whoever the subvolume's root belongs to, so
 * it is used only when nobody but us could have put something into it.
 */
static int open_folder(struct btrfs_snapshot *s, struct err *e)
{
	struct stat st;
	struct stat above;

	if (seam_mkdir(s->subvolume, BTRFS_FOLDER, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make the folder %s in the subvolume",
			       BTRFS_FOLDER);
	s->folder = openat(s->subvolume, BTRFS_FOLDER,
			   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->folder < 0 && errno != ENOTDIR && errno != ELOOP)
		return err_sys(e, "cannot open the folder %s in the subvolume",
			       BTRFS_FOLDER);
	if (s->folder < 0 || fstat(s->folder, &st) < 0 ||
	    fstat(s->subvolume, &above) < 0 || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0 || st.st_dev != above.st_dev)
		return err_set(e, ERR_DENIED,
			       "the folder %s in the subvolume is not ours: "
			       "others may write to it, or it is elsewhere",
			       BTRFS_FOLDER);
	return 0;
}

/* Whoever takes one there, or removes what was left, waits for others. */
static int lock_folder(const struct btrfs_snapshot *s, struct err *e)
{
	while (flock(s->folder, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, "cannot lock the folder %s",
				       BTRFS_FOLDER);
	return 0;
}

static int destroy(const struct btrfs_snapshot *s, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	(void)snprintf(args.name, sizeof(args.name), "%s", name);
	return ioctl(s->folder, BTRFS_IOC_SNAP_DESTROY, &args);
}

/* ---- What others left behind -------------------------------------------- */

static bool is_our_name(const char *name)
{
	const size_t n = strlen(name);
	const char *id = n > ID_DIGITS ? name + n - ID_DIGITS : name;

	return n > ID_DIGITS + 1 && n < NAME_BYTES && id[-1] == '-' &&
	       strspn(id, "0123456789abcdef") == ID_DIGITS &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* A read-only snapshot of our subvolume that nobody holds. */
static bool is_left_behind(const struct btrfs_snapshot *s, const char *name)
{
	CLEANUP(file_close)
	int fd = openat(s->folder, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct btrfs_ioctl_get_subvol_info_args info;

	return fd >= 0 && is_subvolume(fd) && get_info(fd, &info) == 0 &&
	       info.flags & BTRFS_ROOT_SUBVOL_RDONLY &&
	       memcmp(info.parent_uuid, s->info.uuid, BTRFS_UUID_SIZE) == 0 &&
	       flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* What cannot be removed now is met again by the next one. */
static int remove_left_behind(const struct btrfs_snapshot *s, struct err *e)
{
	const int again = openat(s->folder, ".",
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	const struct dirent *entry;
	struct err why = { 0 };
	unsigned int left = 0;

	if (!d) {
		file_close(again);
		return err_sys(e, "cannot list the folder %s", BTRFS_FOLDER);
	}
	while ((entry = readdir(d)))
		if (is_our_name(entry->d_name) &&
		    is_left_behind(s, entry->d_name) &&
		    destroy(s, entry->d_name) < 0 && ++left)
			(void)err_sys(&why, "%s", entry->d_name);
	(void)closedir(d);
	return left < BTRFS_LEFT_MAX
		       ? 0
		       : err_set(e, why.code,
				 "%u snapshots that were left in the folder %s "
				 "of the subvolume cannot be removed, so none "
				 "is taken: %.300s",
				 left, BTRFS_FOLDER, why.text);
}

/* ---- Taking it ---------------------------------------------------------- */

static int create(struct btrfs_snapshot *s, const char *label, struct err *e)
{
	struct btrfs_ioctl_vol_args_v2 args = {
		.fd = s->subvolume,
		.flags = BTRFS_SUBVOL_RDONLY,
	};
	uint64_t id;

	secret_random(&id, sizeof(id));
	(void)snprintf(s->name, sizeof(s->name), "%.*s-%016jx",
		       NAME_BYTES - ID_DIGITS - 2, label, (uintmax_t)id);
	(void)snprintf(args.name, sizeof(args.name), "%s", s->name);
	if (ioctl(s->folder, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0) {
		s->name[0] = '\0';
		return err_sys(e, "cannot take a snapshot of the subvolume");
	}
	s->taken = openat(s->folder, s->name,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->taken < 0 || flock(s->taken, LOCK_SH) < 0)
		return err_sys(e, "cannot open the subvolume's snapshot");
	return 0;
}

static bool is_read_only(const struct btrfs_snapshot *s)
{
	return s->info.flags & BTRFS_ROOT_SUBVOL_RDONLY;
}

static int make_ready(struct btrfs_snapshot *s, struct err *e)
{
	int failed;

	if (is_read_only(s))
		return 0;
	if (geteuid() != 0)
		return err_set(e, ERR_DENIED,
			       "only root can take, and remove again, a "
			       "snapshot of a subvolume");
	if (open_folder(s, e) < 0 || lock_folder(s, e) < 0)
		return -1;
	failed = remove_left_behind(s, e);
	(void)flock(s->folder, LOCK_UN);
	return failed;
}

static int take(struct btrfs_snapshot *s, const char *label, struct err *e)
{
	int failed;

	if (is_read_only(s)) {
		s->taken = fcntl(s->subvolume, F_DUPFD_CLOEXEC, 0);
		return s->taken < 0 ? err_sys(e, "cannot open the subvolume")
				    : 0;
	}
	if (lock_folder(s, e) < 0)
		return -1;
	failed = create(s, label, e);
	(void)flock(s->folder, LOCK_UN);
	return failed;
}

/* ---- Subvolumes within -------------------------------------------------- */

static int add_nested(struct btrfs_snapshot *s, const char *folder,
		      const char *name, struct err *e)
{
	/* Our own, of this moment. */
	if (strcmp(folder, BTRFS_FOLDER "/") == 0)
		return 0;
	if (s->nested_total++ >= NESTED_MAX)
		return 0;
	if (asprintf((char **)(void *)&s->nested[s->nested_count], "%s%s",
		     folder, name) < 0)
		return err_oom(e);
	s->nested_count++;
	return 0;
}

/* Since Linux 4.18; one that is removed meanwhile is none any more. */
static int find_nested(struct btrfs_snapshot *s, struct err *e)
{
	struct btrfs_ioctl_get_subvol_rootref_args refs = { 0 };
	bool more = true;

	while (more) {
		more = ioctl(s->subvolume, BTRFS_IOC_GET_SUBVOL_ROOTREF,
			     &refs) < 0;
		if (more && errno != EOVERFLOW)
			return err_sys(e, "cannot ask btrfs for subvolumes "
					  "within this one");
		for (size_t i = 0; i < refs.num_items; i++) {
			struct btrfs_ioctl_ino_lookup_user_args at = {
				.dirid = refs.rootref[i].dirid,
				.treeid = refs.rootref[i].treeid,
			};

			if (ioctl(s->subvolume, BTRFS_IOC_INO_LOOKUP_USER,
				  &at) == 0 &&
			    add_nested(s, at.path, at.name, e) < 0)
				return -1;
		}
	}
	return 0;
}

/* ---- From outside ------------------------------------------------------- */

int btrfs_snapshot_new(const char *path, struct btrfs_snapshot **ret,
		       struct err *e)
{
	struct btrfs_snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return err_oom(e);
	s->subvolume = s->folder = s->taken = -1;
	if (open_subvolume(s, path, e) < 0 || make_ready(s, e) < 0) {
		struct err ignored;

		(void)!btrfs_snapshot_remove(s, &ignored);
		return -1;
	}
	*ret = s;
	return 0;
}

int btrfs_snapshot_take(struct btrfs_snapshot *s, const char *label,
			struct err *e)
{
	assert(*label && s->taken < 0);
	if (take(s, label, e) < 0 || find_nested(s, e) < 0)
		return -1;
	/* By its descriptor: whoever owns the subvolume's root may rename what
	 * lies in it.  With "/.", for else it is a symlink to those who do not
	 * follow any. */
	(void)snprintf(s->place, sizeof(s->place), "/proc/self/fd/%d/.",
		       s->taken);
	return 0;
}

const char *btrfs_snapshot_place(const struct btrfs_snapshot *s)
{
	return s->place;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	const struct cursor c = cursor_of(bytes, n);

	return cursor_zeros(&c);
}

bool btrfs_snapshot_moment(const struct btrfs_snapshot *s,
			   struct btrfs_moment *ret)
{
	struct btrfs_ioctl_get_subvol_info_args info;
	struct stat st;
	struct stat folder;

	*ret = (struct btrfs_moment){ .fd = s->taken };
	if (!s->name[0] || get_info(s->taken, &info) < 0 ||
	    fstat(s->taken, &st) < 0 || fstat(s->folder, &folder) < 0 ||
	    !btrfs_mounting_of(s->taken, &ret->mounting))
		return false;
	memcpy(ret->subvolume, info.parent_uuid, sizeof(ret->subvolume));
	ret->generation = info.otransid;
	if (is_zero(ret->subvolume, sizeof(ret->subvolume)))
		return false; /* as those of old tools; they look alike */
	ret->device = st.st_dev;
	ret->folder = folder.st_ino;
	return ret->generation != 0;
}

/* A folder that was removed says so to whoever lists it. */
int btrfs_snapshot_check(const struct btrfs_snapshot *s, struct err *e)
{
	CLEANUP(file_close)
	const int fd = openat(s->taken, ".",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t entries[4096];

	if (fd >= 0 && getdents64(fd, entries, sizeof(entries)) >= 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(e, "cannot list the subvolume's snapshot");
	if (!s->name[0])
		return err_set(e, ERR_IO,
			       "the subvolume was removed while it was read");
	(void)err_set(e, ERR_IO,
		      "the subvolume's snapshot %s/%s was removed while it was "
		      "read",
		      BTRFS_FOLDER, s->name);
	return err_hint(e, "what lies in that folder is snapctl's to remove");
}

const char *const *btrfs_snapshot_nested(const struct btrfs_snapshot *s,
					 size_t *ret_count, size_t *ret_total)
{
	*ret_count = s->nested_count;
	*ret_total = s->nested_total;
	return s->nested;
}

int btrfs_snapshot_remove(struct btrfs_snapshot *s, struct err *e)
{
	int failed = 0;

	if (!s)
		return 0;
	if (s->name[0] && destroy(s, s->name) < 0 && errno != ENOENT)
		failed = err_sys(e,
				 "the snapshot %s/%s of the subvolume cannot "
				 "be removed, and stays for the next run",
				 BTRFS_FOLDER, s->name);
	file_close(s->taken);
	file_close(s->folder);
	file_close(s->subvolume);
	for (size_t i = 0; i < s->nested_count; i++)
		free((char *)(uintptr_t)s->nested[i]);
	free(s);
	return failed;
}
