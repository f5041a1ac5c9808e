/* The store in a folder: opening, reading, removing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/stores/local_internal.h"

int local_sys(struct err *e, const char *doing)
{
	const int sys = errno;

	if (sys == ELOOP || sys == ENOTDIR) {
		(void)err_set(e, ERR_CORRUPT,
			      "%s%sa file or symbolic link where a folder of "
			      "the store belongs",
			      doing, doing[0] ? ": " : "");
		e->sys = sys;
		return -1;
	}
	(void)err_sys(e, "%s", doing);
	if (!doing[0]) /* without the ": " in front of the reason */
		memmove(e->text, e->text + 2, strlen(e->text + 2) + 1);
	/* What was there a moment ago: nothing that a caller asked for. */
	if (sys == ENOENT)
		e->code = ERR_IO;
	return -1;
}

int local_alive(const struct local *l, struct err *e)
{
	struct stat st;

	if (fstat(l->root, &st) < 0)
		return local_sys(e, "the store's folder");
	if (st.st_nlink == 0)
		return err_set(e, ERR_IO,
			       "the store's folder was removed while in use");
	return 0;
}

int local_writable(const struct local *l, struct err *e)
{
	if (!l->read_only)
		return 0;
	(void)err_set(e, ERR_DENIED, "it can only be read here");
	return err_hint(e, "is its file system mounted read-only, or is its "
			   "folder somebody else's?");
}

int local_open_folder(int dir, const char *name)
{
	return openat(dir, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int local_walk_from(const struct local *l, int root, const char *name,
		    int *ret_fd, const char **ret_base, struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	char component[STORE_NAME_MAX + 1];

	for (;;) {
		const char *slash = strchr(name, '/');
		int next;

		if (!slash)
			break;
		memcpy(component, name, (size_t)(slash - name));
		component[slash - name] = '\0';
		next = local_open_folder(fd < 0 ? root : fd, component);
		if (next < 0 && errno == ENOENT)
			return local_alive(l, e);
		if (next < 0)
			return local_sys(e, "");
		file_close(fd);
		fd = next;
		name = slash + 1;
	}
	if (fd < 0)
		fd = fcntl(root, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return local_sys(e, "the store's folder");
	*ret_fd = TAKE_FD(fd);
	*ret_base = name;
	return 1;
}

int local_walk(const struct local *l, const char *name, int *ret_fd,
	       const char **ret_base, struct err *e)
{
	return local_walk_from(l, l->root, name, ret_fd, ret_base, e);
}

/* The value of a hexadecimal digit, or -1. */
static int digit(char c)
{
	uint8_t v;
	const char pair[3] = { '0', c, '\0' };

	return text_unhex(pair, 1, &v) ? v : -1;
}

/* Undo percent-encoding into out, which has room for all of in. */
static int percent_decode(const char *in, char *out, struct err *e)
{
	for (; *in; in++) {
		int high;
		int low;

		if (*in == '?' || *in == '#')
			return err_set(e, ERR_USAGE,
				       "file: takes no %c; write %%%02X for "
				       "one in a name",
				       *in, (unsigned int)*in);
		if (*in != '%') {
			*out++ = *in;
			continue;
		}
		high = digit(in[1]);
		low = high < 0 ? -1 : digit(in[2]);
		if (low < 0 || high + low == 0)
			return err_set(e, ERR_USAGE,
				       "%s is no percent-encoded byte",
				       text_quote(in, strnlen(in, 3)).s);
		*out++ = (char)(high << 4 | low);
		in += 2;
	}
	*out = '\0';
	return 0;
}

static int path_of_url(const char *url, char out[PATH_MAX], struct err *e)
{
	if (strlen(url) >= PATH_MAX)
		return err_set(e, ERR_USAGE, "the path is too long");
	if (strncasecmp(url, "file:", 5) != 0) {
		memcpy(out, url, strlen(url) + 1);
		return 0;
	}
	if (strncmp(url + 5, "///", 3) != 0) {
		(void)err_set(e, ERR_USAGE,
			      "file: takes an absolute path on this machine");
		return err_hint(e, "write file:///DIR, or a plain path");
	}
	return percent_decode(url + 7, out, e);
}

bool store_local_same(const char *a, const char *b)
{
	char x[PATH_MAX];
	char y[PATH_MAX];
	struct err ignored;

	if (path_of_url(a, x, &ignored) < 0 || path_of_url(b, y, &ignored) < 0)
		return strcmp(a, b) == 0;
	return strcmp(x, y) == 0;
}

/*
 * Whether nothing can be written, as far as that can be known beforehand:
 * every upload begins in tmp/.
 */
static bool is_read_only(int root)
{
	struct statvfs vfs;

	if (fstatvfs(root, &vfs) == 0 && (vfs.f_flag & ST_RDONLY))
		return true;
	if (faccessat(root, "tmp", W_OK, AT_EACCESS) == 0)
		return false;
	if (errno == ENOENT && faccessat(root, ".", W_OK, AT_EACCESS) == 0)
		return false;
	return errno == EACCES || errno == EROFS || errno == EPERM;
}

static int open_root(const char *path, bool create, int *ret_fd, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && create) {
		if (file_make_folders(path, 0700, e) < 0)
			return -1;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno == ENOTDIR)
		return err_set(e, ERR_USAGE, "not a folder");
	if (errno != ENOENT)
		return local_sys(e, "");
	(void)err_set(e, ERR_NOT_FOUND, "there is no such folder");
	return err_hint(e, "is the file system mounted that it is on?");
}

static void local_close(struct store *s)
{
	struct local *l = (struct local *)s;

	file_close(l->root);
	buf_done(&l->durable);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static int local_open(const char *url, bool create, struct store **ret,
		      struct err *e)
{
	CLEANUP(file_close) int root = -1;
	char path[PATH_MAX];
	struct local *l;

	if (path_of_url(url, path, e) < 0 ||
	    open_root(path, create, &root, e) < 0)
		return -1;
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_oom(e);
	(void)pthread_mutex_init(&l->lock, NULL);
	/* 256 folders each of data/ and meta/ are 4 KiB.  What does not fit
	 * is not remembered, which costs a sync, not correctness. */
	buf_init(&l->durable, (size_t)64 << 10);
	l->read_only = is_read_only(root);
	l->root = TAKE_FD(root);
	*ret = &l->store;
	return 0;
}

static unsigned int local_features(const struct store *s)
{
	const struct local *l = (const struct local *)s;

	return STORE_LOCAL | (l->read_only ? STORE_READ_ONLY : 0U);
}

/* O_NONBLOCK, so that a pipe somebody left there cannot make us wait. */
int local_open_object(const struct local *l, const char *name, int *ret_fd,
		      struct stat *ret_st, struct err *e)
{
	CLEANUP(file_close) int dir = -1;
	CLEANUP(file_close) int fd = -1;
	const char *base = NULL;
	const int r = local_walk(l, name, &dir, &base, e);

	if (r <= 0)
		return r;
	fd = openat(dir, base,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return local_alive(l, e);
	if (fd < 0 && errno != ELOOP && errno != ENXIO)
		return local_sys(e, "");
	if (fd >= 0 && fstat(fd, ret_st) < 0)
		return local_sys(e, "");
	if (fd < 0 || !S_ISREG(ret_st->st_mode))
		return err_set(e, ERR_CORRUPT, "it is not a regular file");
	*ret_fd = TAKE_FD(fd);
	return 1;
}

static int local_read(struct store *s, const char *name, uint64_t offset,
		      void *out, size_t n, size_t *ret_got, struct err *e)
{
	/* On NFS a file that another host has just replaced is stale when it
	 * is read; the name then leads to the new one. */
	for (int attempt = 0;; attempt++) {
		CLEANUP(file_close) int fd = -1;
		struct stat st;
		const int r = local_open_object((struct local *)s, name, &fd,
						&st, e);
		ssize_t got;

		if (r <= 0)
			return r;
		got = file_pread(fd, out, n, (int64_t)offset);
		if (got >= 0) {
			*ret_got = (size_t)got;
			return 1;
		}
		if (errno != ESTALE || attempt == 2)
			return local_sys(e, "");
	}
}

static int local_size(struct store *s, const char *name, uint64_t *ret,
		      struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	struct stat st;
	const int r = local_open_object((struct local *)s, name, &fd, &st, e);

	if (r > 0)
		*ret = (uint64_t)st.st_size;
	return r;
}

static int local_remove(struct store *s, const char *name, struct err *e)
{
	CLEANUP(file_close) int dir = -1;
	const char *base = NULL;
	int r = local_writable((struct local *)s, e);

	if (r == 0)
		r = local_walk((struct local *)s, name, &dir, &base, e);
	if (r <= 0)
		return r;
	r = seam_unlink(dir, base, 0);
	if (r < 0 && errno == EPERM) {
		if (local_release((struct local *)s, name, e) < 0)
			return -1;
		r = seam_unlink(dir, base, 0);
		if (r < 0 && errno == EPERM)
			return local_kept(e);
	}
	if (r < 0 && errno != ENOENT)
		return local_sys(e, "");
	/* Also when it was absent: whoever unlinked it may have died before
	 * that was durable, and the caller is told that it is gone. */
	if (seam_sync_dir(dir) < 0)
		return local_sys(e, "sync of its folder");
	return local_alive((struct local *)s, e);
}

static int local_folder(const struct store *s, struct store_folder *ret,
			struct err *e)
{
	const int root = ((const struct local *)s)->root;
	char link[32];
	struct stat st;
	ssize_t n;

	if (fstat(root, &st) < 0)
		return local_sys(e, "");
	*ret = (struct store_folder){ .dev = st.st_dev, .ino = st.st_ino };
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	n = readlink(link, ret->path, sizeof(ret->path) - 1);
	ret->path[n > 0 ? n : 0] = '\0';
	return 1;
}

const struct store_ops store_local_ops = {
	.scheme = "file",
	.open = local_open,
	.close = local_close,
	.features = local_features,
	.begin = local_begin,
	.append = local_append,
	.commit = local_commit,
	.abort = local_abort,
	.read = local_read,
	.size = local_size,
	.list = local_list,
	.list_after = local_list_after,
	.remove = local_remove,
	.local_folder = local_folder,
	.pure = local_pure,
	.can_guard = local_can_guard,
	.guard_upload = local_guard_upload,
	.guard = local_guard,
	.hold = local_hold,
	.guarded = local_guarded,
	.guard_mode = local_guard_mode,
};
