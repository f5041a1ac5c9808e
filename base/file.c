#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/seam.h"
#include "base/secret.h"
#include "base/text.h"

#define READ_STEP 65536

void file_close(int fd)
{
	const int sys = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = sys;
}

/* offset < 0 reads from the descriptor's own position. */
static ssize_t read_up_to(int fd, void *out, size_t n, int64_t offset)
{
	uint8_t *p = out;
	size_t done = 0;

	while (done < n) {
		const ssize_t k = offset < 0 ? read(fd, p + done, n - done)
					     : pread(fd, p + done, n - done,
						     offset + (int64_t)done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		if (k == 0)
			break;
		done += (size_t)k;
	}
	return (ssize_t)done;
}

ssize_t file_read(int fd, void *out, size_t n)
{
	return read_up_to(fd, out, n, -1);
}

ssize_t file_pread(int fd, void *out, size_t n, int64_t offset)
{
	if (offset < 0) {
		errno = EINVAL;
		return -1;
	}
	return read_up_to(fd, out, n, offset);
}

static int read_to_end(int fd, const char *path, struct buf *out, struct err *e)
{
	for (;;) {
		const size_t room = out->max - out->len;
		const size_t step = room < READ_STEP ? room : READ_STEP;
		uint8_t one_more;
		ssize_t n;

		if (buf_reserve(out, step, e))
			return -1;
		/* At the ceiling, a byte more means that it does not fit. */
		n = step ? file_read(fd, out->data + out->len, step)
			 : file_read(fd, &one_more, 1);
		if (n < 0)
			return err_sys(e, "cannot read %s",
				       text_quote_str(path).s);
		if (!step && n > 0)
			return err_set(e, ERR_CORRUPT,
				       "%s is larger than the %zu bytes that "
				       "it may have",
				       text_quote_str(path).s, out->max);
		if (step) {
			out->len += (size_t)n;
			out->data[out->len] = 0;
		}
		if ((size_t)n < step || !step)
			return 0;
	}
}

int file_read_all(const char *path, struct buf *out, struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	struct stat st;

	if (strcmp(path, "-") == 0)
		return read_to_end(STDIN_FILENO, path, out, e);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, "cannot open %s", text_quote_str(path).s);
	if (fstat(fd, &st))
		return err_sys(e, "cannot read %s", text_quote_str(path).s);
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_USAGE, "%s is a folder, not a file",
			       text_quote_str(path).s);
	return read_to_end(fd, path, out, e);
}

/* The folder of path, open for syncing; *ret_name is the part behind it. */
static int open_parent(const char *path, const char **ret_name, int *ret_fd,
		       struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char folder[PATH_MAX] = ".";
	size_t n;
	int fd;

	if (slash) {
		n = slash == path ? 1 : (size_t)(slash - path);
		if (n >= sizeof(folder))
			return err_set(e, ERR_USAGE, "%s is too long a path",
				       text_quote_str(path).s);
		memcpy(folder, path, n);
		folder[n] = '\0';
	}
	if (!*name)
		return err_set(e, ERR_USAGE, "%s is not the name of a file",
			       text_quote_str(path).s);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot open the folder %s",
			       text_quote_str(folder).s);
	*ret_name = name;
	*ret_fd = fd;
	return 0;
}

#define TEMPORARY_NAME 32

static void temporary_name(char out[TEMPORARY_NAME])
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];

	secret_nonce(random, sizeof(random));
	text_hex(random, sizeof(random), hex);
	(void)snprintf(out, TEMPORARY_NAME, ".tmp-%s", hex);
}

/* Give the temporary file its name; what has the name already may stay. */
static int settle(int folder, const char *temporary, const char *name,
		  bool replace)
{
	if (replace)
		return seam_rename(folder, temporary, folder, name, 0);
	if (!seam_rename(folder, temporary, folder, name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system (NFS, older FUSE) that cannot refuse to replace. */
	if (seam_link(folder, temporary, folder, name, 0))
		return -1;
	return seam_unlink(folder, temporary, 0);
}

static int write_durably(int folder, const char *temporary, const void *bytes,
			 size_t n, mode_t mode)
{
	CLEANUP(file_close)
	int fd = seam_open(folder, temporary,
			   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return -1;
	if (seam_write(fd, bytes, n))
		return -1;
	return seam_fsync(fd);
}

struct placing {
	const void *bytes;
	size_t n;
	mode_t mode;
	bool replace;
};

/*
 * The bytes are durable before their name is, so whoever finds the name after
 * a power cut finds all of them; the folder is synced last, so that the name
 * is there when we say so.
 */
static int place(const char *path, const struct placing *what, struct err *e)
{
	CLEANUP(file_close) int folder = -1;
	char temporary[TEMPORARY_NAME];
	const char *name;

	if (open_parent(path, &name, &folder, e))
		return -1;
	temporary_name(temporary);
	if (write_durably(folder, temporary, what->bytes, what->n,
			  what->mode) ||
	    settle(folder, temporary, name, what->replace)) {
		if (errno == EEXIST)
			(void)err_set(e, ERR_EXISTS, "%s exists already",
				      text_quote_str(path).s);
		else
			(void)err_sys(e, "cannot write %s",
				      text_quote_str(path).s);
		if (seam_unlink(folder, temporary, 0) && errno != ENOENT)
			(void)err_hint(e,
				       "%s is left over beside it and can "
				       "be removed",
				       temporary);
		return -1;
	}
	if (seam_sync_dir(folder))
		return err_sys(e, "cannot make %s durable",
			       text_quote_str(path).s);
	return 0;
}

int file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
		 struct err *e)
{
	const struct placing what = { bytes, n, mode, true };

	return place(path, &what, e);
}

int file_create(const char *path, const void *bytes, size_t n, mode_t mode,
		struct err *e)
{
	const struct placing what = { bytes, n, mode, false };

	return place(path, &what, e);
}

/* Of a folder that is open only to be passed (O_PATH). */
static int sync_parent(int path_fd)
{
	CLEANUP(file_close)
	const int fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : seam_sync_dir(fd);
}

/*
 * Moves from *at, the folder made so far, to its child; a new child is
 * made durable in its parent before anything is put inside it.
 */
static int step_into(int *at, const char *name, mode_t mode)
{
	int next;

	if (!seam_mkdir(*at, name, mode)) {
		if (sync_parent(*at))
			return -1;
	} else if (errno != EEXIST) {
		/* Also where nothing may be made, what exists is passed. */
		const int sys = errno;
		struct stat st;

		if (fstatat(*at, name, &st, 0)) {
			errno = sys;
			return -1;
		}
	}
	next = openat(*at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (next < 0)
		return -1;
	file_close(*at);
	*at = next;
	return 0;
}

int file_make_folders(const char *path, mode_t mode, struct err *e)
{
	CLEANUP(file_close) int at = -1;
	char name[NAME_MAX + 1];

	at = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return err_sys(e, "cannot open the folder of %s",
			       text_quote_str(path).s);
	for (const char *p = path; *p;) {
		const size_t n = strcspn(p, "/");

		if (n >= sizeof(name)) {
			errno = ENAMETOOLONG;
			return err_sys(e, "cannot make the folder %s",
				       text_quote_str(path).s);
		}
		memcpy(name, p, n);
		name[n] = '\0';
		if (n > 0 && step_into(&at, name, mode))
			return err_sys(e, "cannot make the folder %s",
				       text_quote_str(path).s);
		p += n;
		p += strspn(p, "/");
	}
	return 0;
}

static const char *temporary_folder(const char *folder)
{
	if (!folder)
		folder = getenv("TMPDIR");
	return folder && *folder ? folder : "/var/tmp";
}

static int no_temporary(struct err *e, const char *folder)
{
	return err_sys(e, "cannot make a temporary file in %s",
		       text_quote_str(folder).s);
}

int file_check_temporary(const char *folder, struct err *e)
{
	const char *path = temporary_folder(folder);
	CLEANUP(file_close)
	int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return no_temporary(e, path);
	return 0;
}

int file_open_unnamed(const char *folder, int *ret_fd, struct err *e)
{
	CLEANUP(file_close) int dir = -1;
	char name[TEMPORARY_NAME];
	int fd;

	folder = temporary_folder(folder);
	fd = seam_open(AT_FDCWD, folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return no_temporary(e, folder);
	if (fd < 0) {
		/* Overlay and network file systems without O_TMPFILE. */
		dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		temporary_name(name);
		if (dir >= 0)
			fd = seam_open(dir, name,
				       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
				       0600);
		if (fd < 0 || seam_unlink(dir, name, 0)) {
			(void)no_temporary(e, folder);
			file_close(fd);
			return -1;
		}
	}
	*ret_fd = fd;
	return 0;
}
