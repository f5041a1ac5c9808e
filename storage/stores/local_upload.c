/*
 * Writing into the store in a folder.
 *
 * An object becomes durable and visible like this; a crash after any step
 * leaves at most a file in tmp/, which the first upload of a day later
 * removes (and not what is still open, see keep_young()):
 *
 *   1. create tmp/<random>.part, write it;
 *   2. fsync it, so that its bytes are there before its name is;
 *   3. make the folders of its name; sync the parent of each whose entry is
 *      not known to be durable (it may be another process that made it and
 *      died), which makes those beside it durable, too;
 *   4. move it to its name, which fails when that is taken; or over it, for
 *      STORE_REPLACE;
 *   5. sync the folder of its name.
 *
 * When the sync of step 3 fails, a folder made for it is taken back, and so is,
 * with STORE_OR_NONE, the name when that of step 5 does: whoever came later
 * would rely on what a power cut still takes away.  Fences, keyrings and other
 * records stay: somebody may have acted on them already, and one too many harms
 * nobody. Who read an index object in between and relies on it misses it then;
 * `repo check --repair` finds its packs.
 *
 * What is to be guarded says until when before step 2, and is made immutable
 * after step 5: a crash in between leaves it to the next guard.  Not after step
 * 4: a power cut might leave it in tmp/, and immutable, for ever.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/stores/local_internal.h"

/*
 * Ten objects of 32 MiB in pieces of 32 KiB, each committed, ext4, the best
 * of seven runs interleaved on a shared disk: 147 ms with 256 KiB, 148 with
 * 128 KiB, 173 with 1 MiB; 212 without early write-back; dd conv=fsync 211,
 * cp and sync 250.  The disk's other users spread single runs tenfold, so
 * nothing finer is to be read from this.  256 KiB stays in the second-level
 * cache, and is what each concurrent upload costs.
 */
#define BUFFER_BYTES	((size_t)256 << 10)
#define WRITEBACK_BYTES ((uint64_t)8 << 20)

/* Folders of a folder: 256 each have data/ and meta/. */
#define FOLDERS_BYTES ((size_t)16 << 10)

/* Of what nobody has written to, or touched, for a day. */
#define STALE_SECONDS ((time_t)24 * 3600)
/* From when on one that is still open is touched. */
#define TOUCH_SECONDS ((time_t)3600)

#define PART_RANDOM 16
#define PART_HEX    ((size_t)2 * PART_RANDOM)
#define PART_SUFFIX ".part"

struct local_upload {
	struct store_upload upload;
	struct local *local;
	struct local_upload *next; /* in local's list */
	int tmp;		   /* the folder of part */
	int fd;			   /* -1 until part exists */
	bool replace;
	bool or_none;
	struct instant until; /* guarded from its beginning on; or 0 */
	char part[PART_HEX + sizeof(PART_SUFFIX)];
	uint64_t written; /* bytes given to the kernel */
	uint64_t pushed;  /* of these, on their way to the disk */
	size_t used, cap;
	uint8_t *buffer;
};

static int open_tmp(const struct local *l, int *ret_fd, struct err *e)
{
	int fd = local_open_folder(l->root, "tmp");

	if (fd < 0 && errno == ENOENT) {
		if (local_alive(l, e) < 0)
			return -1;
		if (seam_mkdir(l->root, "tmp", 0700) < 0 && errno != EEXIST)
			return local_sys(e, "");
		fd = local_open_folder(l->root, "tmp");
	}
	if (fd < 0)
		return local_sys(e, "folder \"tmp\"");
	*ret_fd = fd;
	return 0;
}

static bool is_part(const char *name)
{
	return strspn(name, "0123456789abcdef") == PART_HEX &&
	       strcmp(name + PART_HEX, PART_SUFFIX) == 0;
}

/* Remove a file of tmp/; when that fails it is swept a day later. */
static void discard(int tmp, const char *part)
{
	if (seam_unlink(tmp, part, 0) < 0)
		return;
}

/*
 * Remove the uploads that died.  Their age is taken against a file that was
 * created just now, so both times are the file system's own.  What cannot be
 * removed, or read, is in nobody's way.
 */
static void sweep(int tmp, time_t now)
{
	const int fd = local_open_folder(tmp, ".");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (!dir) {
		file_close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		struct stat st;

		if (!is_part(d->d_name) ||
		    fstatat(tmp, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || st.st_mtime > now - STALE_SECONDS)
			continue;
		discard(tmp, d->d_name);
	}
	(void)closedir(dir);
}

/*
 * Touch what has been open for long, so that no other process takes it for
 * dead: a session that finds nearly everything stored may take days to fill
 * its pack.  It puts its counter all the time, and each upload that begins
 * comes by here.  Not by a lock, which not every file system has and which
 * NFS can lose.
 */
static void keep_young(struct local *l, time_t now)
{
	static const struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
						  { .tv_nsec = UTIME_NOW } };
	struct stat st;

	(void)pthread_mutex_lock(&l->lock);
	for (const struct local_upload *u = l->open; u; u = u->next)
		/* When that fails the next one to begin tries again. */
		if (fstat(u->fd, &st) == 0 &&
		    st.st_mtime < now - TOUCH_SECONDS &&
		    seam_utimens(u->fd, NULL, times, 0) < 0)
			continue;
	(void)pthread_mutex_unlock(&l->lock);
}

static int create_part(struct local_upload *u, struct err *e)
{
	struct local *l = u->local;
	uint8_t random[PART_RANDOM];
	struct stat st;
	bool first;

	secret_nonce(random, sizeof(random));
	text_hex(random, sizeof(random), u->part);
	memcpy(u->part + PART_HEX, PART_SUFFIX, sizeof(PART_SUFFIX));
	u->fd = seam_open(u->tmp, u->part,
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  0400);
	if (u->fd < 0)
		return local_sys(e, "");
	(void)pthread_mutex_lock(&l->lock);
	first = !l->swept;
	l->swept = true;
	(void)pthread_mutex_unlock(&l->lock);
	if (fstat(u->fd, &st) < 0)
		return 0;
	keep_young(l, st.st_mtime);
	if (first)
		sweep(u->tmp, st.st_mtime);
	return 0;
}

static void enlist(struct local_upload *u)
{
	struct local *l = u->local;

	(void)pthread_mutex_lock(&l->lock);
	u->next = l->open;
	l->open = u;
	(void)pthread_mutex_unlock(&l->lock);
}

/* Also of one that was not enlisted yet. */
static void strike(struct local_upload *u)
{
	struct local *l = u->local;

	(void)pthread_mutex_lock(&l->lock);
	for (struct local_upload **at = &l->open; *at; at = &(*at)->next)
		if (*at == u) {
			*at = u->next;
			break;
		}
	(void)pthread_mutex_unlock(&l->lock);
}

static void upload_free(struct local_upload *u)
{
	strike(u);
	file_close(u->tmp);
	file_close(u->fd);
	free(u->buffer);
	free(u);
}

void local_abort(struct store_upload *upload)
{
	struct local_upload *u = (struct local_upload *)upload;

	if (u->fd >= 0)
		discard(u->tmp, u->part);
	upload_free(u);
}

int local_begin(struct store *s, const char *name UNUSED, uint64_t size,
		unsigned int flags, struct store_upload **ret, struct err *e)
{
	struct local_upload *u;

	if (local_writable((struct local *)s, e) < 0)
		return -1;
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_oom(e);
	u->local = (struct local *)s;
	u->tmp = -1;
	u->fd = -1;
	u->replace = flags & STORE_REPLACE;
	u->or_none = flags & STORE_OR_NONE;
	u->cap = size > 0 && size < BUFFER_BYTES ? (size_t)size : BUFFER_BYTES;
	u->buffer = malloc(u->cap);
	if (!u->buffer) {
		(void)err_oom(e);
		goto failed;
	}
	if (open_tmp(u->local, &u->tmp, e) < 0 || create_part(u, e) < 0)
		goto failed;
	enlist(u);
	*ret = &u->upload;
	return 0;
failed:
	upload_free(u);
	return -1;
}

static int write_out(struct local_upload *u, const uint8_t *bytes, size_t n,
		     struct err *e)
{
	if (n == 0)
		return 0;
	if (seam_write(u->fd, bytes, n) < 0)
		return local_sys(e, "");
	u->written += n;
	if (u->written - u->pushed < WRITEBACK_BYTES)
		return 0;
	/* Only a hint, which some file systems do not take. */
	(void)sync_file_range(u->fd, (off64_t)u->pushed,
			      (off64_t)(u->written - u->pushed),
			      SYNC_FILE_RANGE_WRITE);
	u->pushed = u->written;
	return 0;
}

int local_append(struct store_upload *upload, const void *bytes, size_t n,
		 struct err *e)
{
	struct local_upload *u = (struct local_upload *)upload;
	const uint8_t *p = bytes;

	while (n > 0) {
		size_t k = u->cap - u->used;

		if (u->used == 0 && n >= u->cap) {
			/* Large pieces are not copied. */
			k = n < BUFFER_BYTES ? n : BUFFER_BYTES;
			if (write_out(u, p, k, e) < 0)
				return -1;
		} else {
			k = n < k ? n : k;
			memcpy(u->buffer + u->used, p, k);
			u->used += k;
		}
		if (u->used == u->cap) {
			if (write_out(u, u->buffer, u->used, e) < 0)
				return -1;
			u->used = 0;
		}
		p += k;
		n -= k;
	}
	return 0;
}

/* Whether the folder of the first n bytes of name is known to be durable. */
static bool is_durable(struct local *l, const char *name, size_t n)
{
	char item[STORE_NAME_MAX + 3];
	bool known;

	(void)snprintf(item, sizeof(item), "\n%.*s\n", (int)n, name);
	(void)pthread_mutex_lock(&l->lock);
	known = strstr(buf_str(&l->durable), item) != NULL;
	(void)pthread_mutex_unlock(&l->lock);
	return known;
}

/* A name that does not fit is not remembered, which only costs. */
static void set_durable(struct local *l, const char *name, size_t n)
{
	struct err ignored = { .code = ERR_NONE };

	if (is_durable(l, name, n))
		return;
	(void)pthread_mutex_lock(&l->lock);
	if (buf_addf(&l->durable, &ignored, "\n%.*s\n", (int)n, name) < 0)
		err_clear(&ignored);
	(void)pthread_mutex_unlock(&l->lock);
}

/*
 * The folders that lie in parent, which the first n bytes of name call with
 * their '/', each with a NUL.  What is not among them is synced when needed.
 */
static void list_folders(int parent, const char *name, size_t n,
			 struct buf *ret)
{
	struct err ignored = { .code = ERR_NONE };
	const int fd = local_open_folder(parent, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!d) {
		file_close(fd);
		return;
	}
	while ((entry = readdir(d)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
		    (buf_addf(ret, &ignored, "%.*s%s", (int)n, name,
			      entry->d_name) < 0 ||
		     buf_add_byte(ret, 0, &ignored) < 0))
			break;
	(void)closedir(d);
}

/* Sync the folder, and with it the names of all that lay in it before. */
static int sync_parent(struct local *l, int parent, const char *name, size_t n)
{
	CLEANUP(buf_done) struct buf folders;

	buf_init(&folders, FOLDERS_BYTES);
	list_folders(parent, name, n, &folders);
	if (seam_sync_dir(parent) < 0)
		return -1;
	for (size_t at = 0; at < folders.len;) {
		const char *folder = buf_str(&folders) + at;
		const size_t len = strlen(folder);

		set_durable(l, folder, len);
		at += len + 1;
	}
	return 0;
}

/*
 * Take back a name whose folder could not be synced.  The next sync may work
 * and mean nothing, as the kernel tells once of what it could not write.
 */
static void unname(int dir, const char *base, int flags)
{
	const int sys = errno;

	/* If it stays: the failure that led here is what is told. */
	(void)!seam_unlink(dir, base, flags);
	errno = sys;
}

/*
 * Open the folder called by the first n bytes of name, of which the last
 * component begins at start, in *fd, which is replaced; make it if missing.
 */
static int enter_folder(struct local *l, const char *name, size_t start,
			size_t n, int *fd)
{
	char component[STORE_NAME_MAX + 1];
	bool durable = is_durable(l, name, n);
	bool made = false;
	int next;

	memcpy(component, name + start, n - start);
	component[n - start] = '\0';
	next = local_open_folder(*fd, component);
	if (next < 0 && errno == ENOENT) {
		durable = false;
		made = seam_mkdir(*fd, component, 0700) == 0;
		if (!made && errno != EEXIST)
			return -1;
		next = local_open_folder(*fd, component);
	}
	if (next < 0)
		return -1;
	if (!durable) {
		if (sync_parent(l, *fd, name, start) < 0) {
			file_close(next);
			if (made)
				unname(*fd, component, AT_REMOVEDIR);
			return -1;
		}
		set_durable(l, name, n);
	}
	file_close(*fd);
	*fd = next;
	return 0;
}

/* The folder in which name lies, made durable if need be. */
static int enter_folders(struct local *l, const char *name, int *ret_fd,
			 const char **ret_base, struct err *e)
{
	CLEANUP(file_close) int fd = fcntl(l->root, F_DUPFD_CLOEXEC, 0);
	size_t start = 0;

	if (fd < 0)
		return local_sys(e, "");
	for (size_t i = 0; name[i]; i++) {
		if (name[i] != '/')
			continue;
		if (enter_folder(l, name, start, i, &fd) < 0)
			return local_sys(e, "its folder");
		start = i + 1;
	}
	*ret_fd = TAKE_FD(fd);
	*ret_base = name + start;
	return 0;
}

/* Whether base in dir is the very file that u has written. */
static bool is_ours(const struct local_upload *u, int dir, const char *base)
{
	struct stat ours;
	struct stat there;

	return fstat(u->fd, &ours) == 0 &&
	       fstatat(dir, base, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* rename(2) that does not replace, on a file system that has none. */
static int link_and_unlink(const struct local_upload *u, int dir,
			   const char *base)
{
	if (seam_link(u->tmp, u->part, dir, base, 0) < 0 &&
	    (errno != EEXIST || !is_ours(u, dir, base)))
		return -1;
	discard(u->tmp, u->part);
	return 0;
}

static int give_name(const struct local_upload *u, int dir, const char *base,
		     struct err *e)
{
	int r;

	assert(base);
	r = seam_rename(u->tmp, u->part, dir, base,
			u->replace ? 0 : RENAME_NOREPLACE);
	if (r < 0 && u->replace && errno == EPERM) {
		if (local_release(u->local, u->upload.name, e) < 0)
			return -1;
		r = seam_rename(u->tmp, u->part, dir, base, 0);
	}
	if (r < 0 && !u->replace &&
	    (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP))
		r = link_and_unlink(u, dir, base);
	/* NFS may do a call, lose the answer, and fail when it asks again. */
	if (r < 0 && (errno == ENOENT || errno == EEXIST)) {
		const int sys = errno;

		r = is_ours(u, dir, base) ? 0 : -1;
		errno = sys;
	}
	if (r == 0)
		return 0;
	if (errno == EEXIST)
		return err_set(e, ERR_EXISTS, "it exists already");
	if (errno == EISDIR)
		return err_set(e, ERR_CORRUPT, "a folder has its name");
	return local_sys(e, "giving it its name");
}

/* The steps at the head of this file from the second on. */
static int publish(struct local_upload *u, struct err *e)
{
	CLEANUP(file_close) int dir = -1;
	const char *base = NULL;

	if (write_out(u, u->buffer, u->used, e) < 0)
		return -1;
	if (u->until.sec && local_guard_part(u->fd, u->until, e) < 0)
		return -1;
	if (seam_fsync(u->fd) < 0)
		return local_sys(e, "");
	if (enter_folders(u->local, u->upload.name, &dir, &base, e) < 0 ||
	    give_name(u, dir, base, e) < 0)
		return -1;
	if (seam_sync_dir(dir) < 0) {
		assert(base);
		if (u->or_none)
			unname(dir, base, 0);
		return local_sys(e, "sync of its folder");
	}
	if (u->until.sec &&
	    local_guard_published(u->local, u->upload.name, u->fd, e) < 0)
		return -1;
	return local_alive(u->local, e);
}

int local_commit(struct store_upload *upload, struct err *e)
{
	struct local_upload *u = (struct local_upload *)upload;

	if (publish(u, e) < 0) {
		local_abort(upload);
		return -1;
	}
	upload_free(u);
	return 0;
}

void local_guard_upload(struct store_upload *upload, struct instant until)
{
	/* What is over guards nothing. */
	if (instant_compare(until, clock_now()) > 0)
		((struct local_upload *)upload)->until = until;
}
