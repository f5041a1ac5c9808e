/* Folders of the target, specials, and everybody's metadata. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/restore_internal.h"

/* A folder below another, whatever a rival plants there meanwhile. */
static int open_beneath(int dir_fd, const char *name)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

static int open_path(int dir_fd, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

/* A path that is longer than the kernel takes is gone in steps. */
int restore_open_entry(const struct restore_folder *root, const char *path)
{
	CLEANUP(file_close) int folder = -1;
	char step[PATH_MAX];

	while (strlen(path) >= sizeof(step)) {
		const char *end = memrchr(path, '/', sizeof(step) - 1);
		int next;

		if (!end)
			return -1;
		memcpy(step, path, (size_t)(end - path));
		step[end - path] = '\0';
		next = open_path(folder < 0 ? root->fd : folder, step);
		if (next < 0)
			return -1;
		file_close(folder);
		folder = next;
		path = end + 1;
	}
	return open_path(folder < 0 ? root->fd : folder, path);
}

int restore_link_fd(int fd, int dir_fd, const char *name)
{
	char path[64];

	/* Linking by descriptor itself (AT_EMPTY_PATH) is for root only. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return seam_link(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW);
}

/*
 * The mode of folders until they get their own.  Only we can enter them, and
 * nobody gives a folder of his own the sticky bit, which is for those that
 * others write to: so the next run tells what an interrupted one has made.
 */
#define UNFINISHED_MODE (S_ISVTX | S_IRWXU)

static bool is_unfinished(const struct restore_run *r, const struct stat *st)
{
	/* A setgid bit comes from the folder above. */
	return st->st_uid == r->uid && (st->st_mode & ENTRY_MODE_BITS &
					~(mode_t)S_ISGID) == UNFINISHED_MODE;
}

/* What is to be known of one that is open. */
static int look_at(struct restore_run *r, struct restore_folder *f,
		   struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return err_sys(e, "cannot look at the folder");
	f->is_closed = is_unfinished(r, &st);
	f->is_ours |= f->is_closed;
	/* One that was finished, and closed to its owner, while files in it
	 * are still to be written, or to be written again. */
	if (!f->is_ours && !r->o->dry_run && r->uid != 0 &&
	    st.st_uid == r->uid && (st.st_mode & S_IRWXU) != S_IRWXU &&
	    f->is_wanted && r->o->overwrite != RESTORE_NEVER)
		f->is_ours = seam_fchmod(f->fd, UNFINISHED_MODE) == 0;
	return r->o->dry_run
		       ? 0
		       : restore_settle_disk(r, f->fd, st.st_dev, &f->disk, e);
}

static struct restore_folder *folder_new(struct restore_folder *up,
					 const char *name, struct err *e)
{
	struct restore_folder *f = calloc(1, sizeof(*f));

	if (f)
		f->name = strdup(name);
	if (!f || !f->name) {
		free(f);
		(void)err_oom(e);
		return NULL;
	}
	f->up = up;
	f->fd = -1;
	f->refs = 1;
	return f;
}

int restore_target_open(struct restore_run *r, struct restore_folder **ret,
			struct err *e)
{
	const char *to = r->o->to;
	struct restore_folder *f;
	bool ours = false;
	int fd;

	if (!r->o->dry_run) {
		ours = seam_mkdir(AT_FDCWD, to, UNFINISHED_MODE) == 0;
		if (!ours && errno != EEXIST) {
			(void)err_sys(e, "cannot make the folder %s",
				      text_quote_str(to).s);
			return err_hint(e, e->sys == ENOENT
						   ? "make the folder that it "
						     "is to stand in"
						   : "name another place with "
						     "--to");
		}
	}
	fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR) {
		(void)err_set(e, ERR_USAGE, "%s is not a folder",
			      text_quote_str(to).s);
		return err_hint(e, "--to names the folder to restore into");
	}
	if (fd < 0 && !(r->o->dry_run && errno == ENOENT))
		return err_sys(e, "cannot open the folder %s",
			       text_quote_str(to).s);
	f = folder_new(NULL, "", e);
	if (!f) {
		file_close(fd);
		return -1;
	}
	f->fd = fd;
	f->is_ours = ours;
	if (fd >= 0 && look_at(r, f, e)) {
		file_close(fd);
		free(f->name);
		free(f);
		return -1;
	}
	*ret = f;
	return 0;
}

size_t restore_weight(const struct entry *en)
{
	size_t n = 0;

	for (size_t i = 0; i < en->xattr_count; i++)
		n += sizeof(en->xattrs[i]) + strlen(en->xattrs[i].name) +
		     en->xattrs[i].value_len;
	return n;
}

/* Whether there is room for a folder's attributes, which it then takes. */
static bool hold(struct restore_run *r, struct restore_folder *f, size_t n)
{
	bool fits;

	(void)pthread_mutex_lock(&r->lock);
	fits = n <= RESTORE_HELD_MAX - r->held;
	if (fits)
		r->held += n;
	(void)pthread_mutex_unlock(&r->lock);
	f->held = fits ? n : 0;
	return fits;
}

/*
 * Of its path a folder keeps the name alone: those of all that are within one
 * another would take memory as the square of their depth.
 */
static int keep_entry(struct restore_run *r, struct restore_folder *f,
		      const struct entry *en, struct err *e)
{
	struct entry bare = *en;
	struct err why = { 0 };

	bare.path = "";
	bare.path_len = 0;
	if (!hold(r, f, restore_weight(en))) {
		(void)err_set(&why, ERR_PARTIAL,
			      "its attributes are more than can be held, with "
			      "those of the folders around it");
		restore_error(r, en, &why);
		bare.xattrs = NULL;
		bare.xattr_count = 0;
	}
	f->path_len = en->path_len;
	return entry_copy(&f->entry, &bare, e);
}

struct restore_folder *restore_folder_enter(struct restore_run *r,
					    struct restore_folder *up,
					    const struct entry *en,
					    const char *name, bool wanted,
					    struct err *e)
{
	struct restore_folder *f = folder_new(up, name, e);

	if (!f)
		return NULL;
	if (keep_entry(r, f, en, e)) {
		free(f->name);
		free(f);
		return NULL;
	}
	f->is_wanted = wanted;
	restore_folder_ref(r, up);
	return f;
}

/*
 * The entry with its path, from the names above it; what is above the target
 * is SNAP:PATH's.  Without memory it has none.
 */
static struct entry entry_of(const struct restore_run *r,
			     const struct restore_folder *f, struct buf *path)
{
	struct entry en = f->entry;
	size_t at = f->path_len;
	struct err ignored;

	if (!f->up || buf_reserve(path, at, &ignored))
		return en;
	path->len = at;
	for (; f->up; f = f->up) {
		const size_t n = strlen(f->name);

		at -= n + 1;
		path->data[at] = '/';
		memcpy(path->data + at + 1, f->name, n);
	}
	if (at)
		memcpy(path->data, r->o->path, at);
	en.path = buf_str(path);
	en.path_len = path->len;
	return en;
}

/* One folder, whose parent is open. */
static int make_one(struct restore_run *r, struct restore_folder *f,
		    struct err *e)
{
	assert(f->up);
	if (!r->o->dry_run) {
		f->is_ours = seam_mkdir(f->up->fd, f->name, UNFINISHED_MODE) ==
			     0;
		if (!f->is_ours && errno != EEXIST)
			return err_sys(e, "cannot make the folder");
	}
	f->fd = f->up->fd < 0 ? -1 : open_beneath(f->up->fd, f->name);
	if (f->fd >= 0)
		return look_at(r, f, e);
	if (r->o->dry_run && (f->up->fd < 0 || errno == ENOENT))
		return 0;
	if (errno == ELOOP || errno == ENOTDIR)
		return err_set(e, ERR_EXISTS,
			       "something that is not a folder is in the way");
	return err_sys(e, "cannot open the folder");
}

/*
 * The highest folder on the way to f of which nothing is known yet, where
 * something is known of its parent.
 */
static struct restore_folder *highest_missing(struct restore_folder *f)
{
	while (f->up && f->up->fd < 0 && f->up->up && !f->up->failed &&
	       !f->up->is_absent) {
		f->up->below = f;
		f = f->up;
	}
	return f;
}

/* What is in it is told why, too: NULL without memory. */
static void fail_folder(struct restore_folder *f, const char *why)
{
	f->failed = true;
	f->why = why ? strdup(why) : NULL;
}

static void make_next(struct restore_run *r, struct restore_folder *f,
		      struct err *e)
{
	struct buf path;
	struct entry en;

	if (f->up->failed) {
		fail_folder(f, f->up->why);
	} else if (f->up->is_absent) {
		f->is_absent = true;
	} else if (make_one(r, f, e)) {
		buf_init(&path, ENTRY_PATH_MAX);
		en = entry_of(r, f, &path);
		fail_folder(f, e->text);
		restore_error(r, &en, e);
		buf_done(&path);
	} else {
		f->is_absent = f->fd < 0;
	}
}

int restore_folder_make(struct restore_run *r, struct restore_folder *f,
			struct err *e)
{
	struct restore_folder *next;

	if (f->fd < 0 && f->up && !f->failed && !f->is_absent) {
		next = highest_missing(f);
		for (; next != f; next = next->below)
			make_next(r, next, e);
		make_next(r, f, e);
	}
	if (!f->failed)
		return 0;
	return err_set(e, ERR_IO, "its folder could not be restored: %s",
		       f->why ? f->why : "out of memory");
}

void restore_folder_ref(struct restore_run *r, struct restore_folder *f)
{
	(void)pthread_mutex_lock(&r->lock);
	f->refs++;
	(void)pthread_mutex_unlock(&r->lock);
}

/* It and all in it is there: what it is to be, as far as that is known. */
static int settle_folder(struct restore_run *r, struct restore_folder *f,
			 const struct entry *en, struct err *e)
{
	const bool known = en->type && !f->is_lost;
	const bool over = f->is_wanted && r->o->overwrite != RESTORE_NEVER;

	if (restore_failed(r))
		return 0;
	if (known && (f->is_ours || over))
		return restore_metadata(r, NULL, NULL, f->fd, en, e);
	if (f->is_ours && seam_fchmod(f->fd, S_IRWXU))
		return err_sys(e, "cannot set the mode");
	return 0;
}

static void finish_folder(struct restore_run *r, struct restore_folder *f)
{
	CLEANUP(buf_done) struct buf path;
	struct err e = { 0 };
	struct entry en;

	buf_init(&path, ENTRY_PATH_MAX);
	if (f->fd >= 0 && !r->o->dry_run) {
		en = entry_of(r, f, &path);
		if (settle_folder(r, f, &en, &e))
			restore_error(r, &en, &e);
	}
	(void)pthread_mutex_lock(&r->lock);
	r->held -= f->held;
	(void)pthread_mutex_unlock(&r->lock);
	file_close(f->fd);
	entry_done(&f->entry);
	free(f->name);
	free(f->why);
	free(f);
}

void restore_folder_unref(struct restore_run *r, struct restore_folder *f)
{
	struct restore_folder *up;
	bool last;

	do {
		up = f->up;
		(void)pthread_mutex_lock(&r->lock);
		last = --f->refs == 0;
		(void)pthread_mutex_unlock(&r->lock);
		if (last)
			finish_folder(r, f);
		f = up;
	} while (last && f);
}

int restore_look(const struct restore_folder *f, const char *name,
		 struct stat *ret, struct err *e)
{
	if (f->fd < 0)
		return 0; /* a dry run into what does not exist */
	if (fstatat(f->fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	return err_sys(e, "cannot look at what is there");
}

/* Attributes that only root may set, and that matter only to root. */
static bool is_privileged_xattr(const char *name)
{
	return strncmp(name, "security.", 9) == 0 ||
	       strncmp(name, "trusted.", 8) == 0;
}

static bool is_wanted_xattr(const struct entry *en, const char *name)
{
	for (size_t i = 0; i < en->xattr_count; i++)
		if (strcmp(en->xattrs[i].name, name) == 0)
			return true;
	/* Labels of security modules are the system's, not the snapshot's. */
	return !entry_holds_xattr(name) ||
	       (strncmp(name, "security.", 9) == 0 &&
		strcmp(name, "security.capability") != 0);
}

static bool has_xattr(const char *path, const struct entry_xattr *x)
{
	char *value = malloc(x->value_len + 1);
	const ssize_t n =
		value ? lgetxattr(path, x->name, value, x->value_len + 1) : -1;
	const bool same = n >= 0 && (size_t)n == x->value_len &&
			  memcmp(value, x->value, x->value_len) == 0;

	free(value);
	return same;
}

/* All that could be set, and no others. */
static bool has_xattrs(const struct restore_run *r, const char *path,
		       const struct entry *en)
{
	ssize_t n = llistxattr(path, NULL, 0);
	char *names = n > 0 ? malloc((size_t)n) : NULL;
	bool same = n <= 0 || names;

	if (names)
		n = llistxattr(path, names, (size_t)n);
	for (const char *s = names; same && n > 0 && s < names + n;
	     s += strlen(s) + 1)
		same = is_wanted_xattr(en, s);
	free(names);
	for (size_t i = 0; same && i < en->xattr_count; i++)
		same = (!r->privileged &&
			is_privileged_xattr(en->xattrs[i].name)) ||
		       has_xattr(path, &en->xattrs[i]);
	return same;
}

bool restore_has_metadata(const struct restore_run *r,
			  const struct restore_folder *f, const char *name,
			  const struct entry *en)
{
	/* Without its owner, bits that mean him are left out: safe_mode(). */
	const mode_t bits = r->privileged
				    ? ENTRY_MODE_BITS
				    : ENTRY_MODE_BITS &
					      ~(mode_t)(S_ISUID | S_ISGID);
	char path[64 + 256];
	struct stat st;
	struct err e;

	if (restore_look(f, name, &st, &e) != 1 ||
	    ((st.st_mode ^ en->mode) & bits) != 0 ||
	    (r->privileged && (st.st_uid != en->uid || st.st_gid != en->gid)))
		return false;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", f->fd, name);
	return has_xattrs(r, path, en);
}

/* Some file systems list what is theirs, and refuse in their own ways. */
static bool is_fixed_xattr(int sys)
{
	return sys == ENODATA || sys == EPERM || sys == ENOTSUP ||
	       sys == EINVAL;
}

/*
 * What the entry has not: attributes of what was there before, and the ACL
 * that a new file takes over from a folder with a default one.  One that
 * cannot be removed stays: no reason to do without the file.
 */
static int drop_xattrs(int fd, const char *path, const struct entry *en,
		       struct err *e)
{
	ssize_t n = fd >= 0 ? flistxattr(fd, NULL, 0)
			    : llistxattr(path, NULL, 0);
	char *names;
	int failed = 0;

	if (n <= 0)
		return 0;
	names = malloc((size_t)n + 1);
	if (!names)
		return err_oom(e);
	n = fd >= 0 ? flistxattr(fd, names, (size_t)n)
		    : llistxattr(path, names, (size_t)n);
	names[n > 0 ? n : 0] = '\0';
	for (const char *s = names; !failed && n > 0 && s < names + n;
	     s += strlen(s) + 1)
		if (!is_wanted_xattr(en, s) && seam_removexattr(fd, path, s) &&
		    !is_fixed_xattr(errno))
			failed = err_sys(e, "cannot remove the attribute %s",
					 text_quote_str(s).s);
	free(names);
	return failed;
}

/*
 * What a file system that takes other attributes, or smaller ones, says; one
 * without room for a value says ENOSPC with the disk nearly empty.
 */
static bool is_unsupported_xattr(int sys)
{
	return sys == ENOTSUP || sys == EPERM || sys == ENOSPC ||
	       sys == E2BIG || sys == ERANGE;
}

static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

static int set_xattr(struct restore_run *r, int fd, const char *path,
		     const struct entry *en, const struct entry_xattr *x,
		     struct err *e)
{
	char what[300];

	if (!r->privileged && is_privileged_xattr(x->name)) {
		(void)snprintf(what, sizeof(what), "attribute %s", x->name);
		restore_leave_out(r, en, what);
		return 0;
	}
	if (seam_setxattr(fd, path, x->name, x->value, x->value_len) == 0)
		return 0;
	if (!is_unsupported_xattr(errno))
		return err_sys(e, "cannot set the attribute %s",
			       text_quote_str(x->name).s);
	/* Without room for it, too, and that is not for good. */
	if (errno == ENOTSUP)
		(void)snprintf(what, sizeof(what),
			       "attribute %s (not supported there)", x->name);
	else
		(void)snprintf(what, sizeof(what), "attribute %s: %s", x->name,
			       err_errno_text(errno));
	restore_leave_out(r, en, what);
	return 0;
}

/*
 * ACLs are the last: one may take the right to write from the owner, and then
 * only root could set others.
 */
static int set_xattrs(struct restore_run *r, int fd, const char *path,
		      const struct entry *en, struct err *e)
{
	for (int acls = 0; acls < 2; acls++)
		for (size_t i = 0; i < en->xattr_count; i++)
			if (is_acl(en->xattrs[i].name) == acls &&
			    set_xattr(r, fd, path, en, &en->xattrs[i], e) < 0)
				return -1;
	return 0;
}

/* 1 when it is as it was, 0 when that was left out. */
static int set_owner(struct restore_run *r, const struct restore_folder *f,
		     const char *name, int fd, const struct entry *en,
		     struct err *e)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
	struct stat st;

	if (!r->privileged) {
		if (en->uid != r->uid || en->gid != r->gid)
			restore_leave_out(r, en, "owner");
		return 0;
	}
	/* To chown(2) these mean "as it is", which is ours. */
	if (en->uid == (uid_t)-1 || en->gid == (gid_t)-1) {
		restore_leave_out(r, en, "owner (there is none of that id)");
		return 0;
	}
	/* Nearly always it is root's file that root made: a look is cheaper
	 * than a change of owner that changes nothing. */
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == en->uid &&
	    st.st_gid == en->gid)
		return 1;
	if (seam_chown(fd >= 0 ? fd : f->fd, fd >= 0 ? "" : name, en->uid,
		       en->gid, flags) == 0)
		return 1;
	/* FAT, shares that squash root, ids that a namespace lacks. */
	if (errno != EPERM && errno != EINVAL && errno != ENOTSUP)
		return err_sys(e, "cannot set the owner");
	restore_leave_out(r, en, "owner (not supported there)");
	return 0;
}

/* fchmodat(2) would follow a symlink that a rival put there meanwhile. */
static int chmod_special(const struct restore_folder *f, const char *name,
			 mode_t mode)
{
	CLEANUP(file_close)
	const int fd = openat(f->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[64];

	if (fd < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return seam_chmod(AT_FDCWD, path, mode);
}

/*
 * Whether a folder may hand on its group: it is the right one, and one of
 * ours, else the system drops the bit without a word.
 */
static bool can_share(const struct restore_run *r, int fd,
		      const struct entry *en)
{
	struct stat st;

	return en->type == ENTRY_FOLDER && fstat(fd, &st) == 0 &&
	       st.st_gid == en->gid &&
	       (st.st_gid == r->gid || group_member(st.st_gid));
}

/* Without its owner someone else's setuid bit would become ours. */
static mode_t safe_mode(struct restore_run *r, int fd, const struct entry *en,
			bool owned)
{
	mode_t risky = en->mode & (S_ISUID | S_ISGID);

	if (owned || !risky)
		return en->mode;
	if (risky & S_ISGID && can_share(r, fd, en))
		risky &= ~(mode_t)S_ISGID;
	if (risky)
		restore_leave_out(r, en, "setuid or setgid bit");
	return en->mode & ~risky;
}

static int set_mode(const struct restore_folder *f, const char *name, int fd,
		    mode_t mode, struct err *e)
{
	if (fd >= 0 || !f || !name ? seam_fchmod(fd, mode)
				   : chmod_special(f, name, mode))
		return err_sys(e, "cannot set the mode");
	return 0;
}

/* 1 or 0 as set_owner(), or -1. */
static int set_owner_and_xattrs(struct restore_run *r,
				const struct restore_folder *f,
				const char *name, int fd,
				const struct entry *en, struct err *e)
{
	char path[64 + 256];
	const char *by = fd < 0 ? path : NULL;
	const int owned = set_owner(r, f, name, fd, en, e);

	/* Attributes of what has no descriptor go through the folder's. */
	if (fd < 0)
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", f->fd,
			       name);
	if (owned < 0 || drop_xattrs(fd, by, en, e) ||
	    set_xattrs(r, fd, by, en, e))
		return -1;
	return owned;
}

int restore_times(const struct restore_folder *f, const char *name, int fd,
		  const struct entry *en, struct err *e)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = en->mtime.sec, .tv_nsec = (long)en->mtime.nsec },
	};

	if (fd >= 0 ? seam_utimens(fd, NULL, times, 0)
		    : seam_utimens(f->fd, name, times, AT_SYMLINK_NOFOLLOW))
		return err_sys(e, "cannot set the times");
	return 0;
}

/* What a new file has is the same for all that are made in a folder. */
static int drop_inherited(struct restore_folder *f, int fd,
			  const struct entry *en, struct err *e)
{
	if (atomic_load_explicit(&f->makes_plain, memory_order_relaxed))
		return 0;
	if (flistxattr(fd, NULL, 0) > 0 || !f->is_closed)
		return drop_xattrs(fd, NULL, en, e);
	atomic_store_explicit(&f->makes_plain, true, memory_order_relaxed);
	return 0;
}

int restore_rights(struct restore_run *r, struct restore_folder *f, int fd,
		   const struct entry *en, mode_t *ret, struct err *e)
{
	int owned;

	assert(fd >= 0);
	owned = set_owner(r, NULL, NULL, fd, en, e);
	if (owned < 0 || drop_inherited(f, fd, en, e) ||
	    set_xattrs(r, fd, NULL, en, e))
		return -1;
	*ret = safe_mode(r, fd, en, owned);
	return 0;
}

int restore_mode(int fd, mode_t mode, struct err *e)
{
	return set_mode(NULL, NULL, fd, mode, e);
}

/*
 * The order matters: a change of owner clears setuid bits and capabilities;
 * an ACL changes the mode; writing changes times.  The mode comes last: with it
 * a folder is no unfinished one any more.
 */
int restore_metadata(struct restore_run *r, const struct restore_folder *f,
		     const char *name, int fd, const struct entry *en,
		     struct err *e)
{
	const int owned = set_owner_and_xattrs(r, f, name, fd, en, e);

	if (owned < 0 || restore_times(f, name, fd, en, e))
		return -1;
	if (en->type == ENTRY_SYMLINK)
		return 0;
	return set_mode(f, name, fd, safe_mode(r, fd, en, owned), e);
}

static bool same_special(const struct restore_folder *f, const char *name,
			 const struct entry *en, const struct stat *st)
{
	char target[4096];
	ssize_t n;

	if ((st->st_mode & S_IFMT) != entry_type_to_format(en->type))
		return false;
	switch (en->type) {
	case ENTRY_SYMLINK:
		n = readlinkat(f->fd, name, target, sizeof(target));
		return n >= 0 && (size_t)n == en->target_len &&
		       memcmp(target, en->target, (size_t)n) == 0;
	case ENTRY_CHARACTER:
	case ENTRY_BLOCK:
		return major(st->st_rdev) == en->device_major &&
		       minor(st->st_rdev) == en->device_minor;
	default:
		return true;
	}
}

static int make_special(const struct restore_folder *f, const struct entry *en,
			const char *name, struct err *e)
{
	const mode_t format = entry_type_to_format(en->type);
	char *target;
	int failed;

	if (en->type != ENTRY_SYMLINK) {
		if (seam_mknod(f->fd, name, format | 0600,
			       makedev(en->device_major, en->device_minor)))
			return err_sys(e, "cannot make the %s",
				       entry_type_name(en->type));
		return 0;
	}
	target = strndup(en->target, en->target_len);
	if (!target)
		return err_oom(e);
	failed = seam_symlink(target, f->fd, name);
	free(target);
	return failed ? err_sys(e, "cannot make the symlink") : 0;
}

/* In place of what is there: beside it, then renamed over it. */
static int replace_special(struct restore_run *r,
			   const struct restore_folder *f,
			   const struct entry *en, const char *name,
			   struct err *e)
{
	char *temporary = restore_temporary_name(r, f, en, e);
	int failed;

	if (!temporary)
		return -1;
	failed = make_special(f, en, temporary, e);
	if (!failed)
		failed = restore_metadata(r, f, temporary, -1, en, e);
	if (!failed && seam_rename(f->fd, temporary, f->fd, name, 0))
		failed = err_sys(e, "cannot put it in place");
	if (failed)
		(void)!seam_unlink(f->fd, temporary, 0);
	free(temporary);
	return failed;
}

int restore_special(struct restore_run *r, struct restore_folder *f,
		    const struct entry *en, const char *name, struct err *e)
{
	struct stat st;
	const int there = restore_look(f, name, &st, e);

	if (there < 0)
		return -1;
	if (there && r->o->overwrite == RESTORE_NEVER)
		return 0;
	if (!r->privileged &&
	    (en->type == ENTRY_CHARACTER || en->type == ENTRY_BLOCK)) {
		restore_leave_out(r, en, "device");
		return 0;
	}
	if (there && S_ISDIR(st.st_mode))
		return err_set(e, ERR_EXISTS, "a folder is in the way");
	if (r->o->dry_run)
		return 1;
	if (there && !same_special(f, name, en, &st))
		return replace_special(r, f, en, name, e) ? -1 : 1;
	if (!there && make_special(f, en, name, e))
		return -1;
	return restore_metadata(r, f, name, -1, en, e) ? -1 : 1;
}
