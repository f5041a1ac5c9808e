#include "service/drill_scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "base/text.h"

static void close_dir(DIR *d)
{
	if (d)
		(void)closedir(d);
}
DEFINE_CLEANUP(DIR *, close_dir);

/* A folder of the same mount: EXDEV for what somebody mounted there. */
static int open_folder(int dir_fd, const char *name, unsigned int how)
{
	const struct open_how o = {
		.flags = how | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, dir_fd, name, &o, sizeof(o));
}

/* The entries of a folder, by a descriptor of its own. */
static DIR *list(int dir_fd, const char *name)
{
	const int fd = open_folder(dir_fd, name, O_RDONLY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		file_close(fd);
	return d;
}

static bool is_self(const struct dirent *x)
{
	return strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0;
}

/* Restored folders may deny everything to their owner. */
static int make_writable(int dir_fd, const char *name)
{
	CLEANUP(file_close) const int fd = open_folder(dir_fd, name, O_PATH);
	char path[64];

	if (fd < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return seam_chmod(AT_FDCWD, path, 0700);
}

/* How far it came, and the first thing that kept it from an entry. */
struct removal {
	int top;
	uint64_t steps; /* entries that went, or moved */
	uint64_t moved;
	int why; /* errno, or 0; of this pass */
};

/* The others go all the same. */
static void miss(struct removal *x)
{
	if (!x->why)
		x->why = errno;
}

/* Under the first name that is free: a removal that was killed left some. */
static bool moves_up(struct removal *x, int dir_fd, const char *name)
{
	char aside[32];

	if (make_writable(dir_fd, name) < 0)
		return false;
	do {
		(void)snprintf(aside, sizeof(aside), "aside-%ju",
			       (uintmax_t)x->moved++);
		if (seam_rename(dir_fd, name, x->top, aside,
				RENAME_NOREPLACE) == 0)
			return true;
	} while (errno == EEXIST);
	return false;
}

/*
 * Empty and remove the folder top/name.  Folders within move up into top,
 * where their turn comes: so nothing here is deeper than one level.
 */
static void remove_folder(struct removal *x, const char *name)
{
	CLEANUP(close_dir) DIR *d = NULL;
	const struct dirent *entry;

	if (make_writable(x->top, name) == 0)
		d = list(x->top, name);
	if (!d) {
		miss(x);
		return;
	}
	while ((entry = readdir(d))) {
		if (is_self(entry))
			continue;
		if (seam_unlink(dirfd(d), entry->d_name, 0) == 0 ||
		    (errno == EISDIR && moves_up(x, dirfd(d), entry->d_name)))
			x->steps++;
		else
			miss(x);
	}
	if (seam_unlink(x->top, name, AT_REMOVEDIR) == 0)
		x->steps++;
	else if (errno != ENOTEMPTY)
		miss(x);
}

static void pass(struct removal *x)
{
	CLEANUP(close_dir) DIR *d = list(x->top, ".");
	const struct dirent *entry;

	if (!d) {
		miss(x);
		return;
	}
	while ((entry = readdir(d))) {
		if (is_self(entry))
			continue;
		if (seam_unlink(x->top, entry->d_name, 0) == 0)
			x->steps++;
		else if (errno == EISDIR)
			remove_folder(x, entry->d_name);
		else if (errno != ENOENT)
			miss(x);
	}
}

static int remove_all(int parent_fd, const char *name, int top, struct err *e)
{
	struct removal x = { .top = top };
	uint64_t before;

	do {
		before = x.steps;
		x.why = 0;
		pass(&x);
	} while (x.steps != before);
	if (seam_unlink(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (x.why)
		errno = x.why;
	return err_sys(e, "cannot remove the drill's folder %s",
		       text_quote_str(name).s);
}

/* "drill-17-4711" */
static bool is_our_name(const char *name)
{
	static const char digits[] = "0123456789";
	size_t n;

	if (strncmp(name, "drill-", 6) != 0)
		return false;
	name += 6;
	n = strspn(name, digits);
	if (n == 0 || name[n] != '-')
		return false;
	name += n + 1;
	n = strspn(name, digits);
	return n > 0 && name[n] == '\0';
}

/* Open it with the lock: -1 also when a living drill holds it. */
static int open_locked(int parent_fd, const char *name)
{
	CLEANUP(file_close) int fd = -1;
	struct stat st;

	fd = openat(parent_fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 ||
	    st.st_uid != geteuid() || st.st_nlink == 0)
		return -1;
	return TAKE_FD(fd);
}

static int clean(int parent_fd, struct err *e)
{
	CLEANUP(close_dir) DIR *d = list(parent_fd, ".");
	const struct dirent *x;
	struct err another;
	int failed = 0;

	if (!d)
		return err_sys(e, "cannot list the folder of drills");
	while ((x = readdir(d))) {
		CLEANUP(file_close) int fd = -1;

		if (!is_our_name(x->d_name))
			continue;
		fd = open_locked(parent_fd, x->d_name);
		if (fd >= 0 && remove_all(parent_fd, x->d_name, fd,
					  failed ? &another : e) < 0)
			failed = -1;
	}
	return failed;
}

static int open_parent(const char *parent)
{
	return open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int drill_scratch_clean(const char *parent, struct err *e)
{
	CLEANUP(file_close) const int fd = open_parent(parent);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(e, "cannot open the folder %s",
			       text_quote_str(parent).s);
	return clean(fd, e);
}

static int make(struct drill_scratch *s, const char *parent, int64_t run,
		struct err *e)
{
	int n;

	(void)snprintf(s->name, sizeof(s->name), "drill-%jd-%jd", (intmax_t)run,
		       (intmax_t)getpid());
	n = snprintf(s->root, sizeof(s->root), "%s/%s/root", parent, s->name);
	if (n < 0 || (size_t)n >= sizeof(s->root))
		return err_set(e, ERR_USAGE, "the path of %s is too long",
			       text_quote_str(parent).s);
	if (seam_mkdir(s->parent_fd, s->name, 0700) < 0)
		return err_sys(e, "cannot make the folder %s",
			       text_quote_str(s->root).s);
	s->fd = open_locked(s->parent_fd, s->name);
	if (s->fd < 0)
		/* Another's cleaning came between: it is gone, or will be. */
		return err_set(e, ERR_BUSY, "cannot lock the folder %s",
			       text_quote_str(s->name).s);
	(void)snprintf(s->path, sizeof(s->path), "%.*s", n - 5, s->root);
	return 0;
}

int drill_scratch_make(struct drill_scratch *s, const char *parent, int64_t run,
		       struct err *e)
{
	*s = (struct drill_scratch){ .parent_fd = -1, .fd = -1 };
	if (file_make_folders(parent, 0700, e) < 0)
		return -1;
	s->parent_fd = open_parent(parent);
	if (s->parent_fd < 0)
		return err_sys(e, "cannot open the folder %s",
			       text_quote_str(parent).s);
	if (clean(s->parent_fd, &s->left) < 0)
		log_failure(LOG_LEVEL_WARN, "a killed drill left something",
			    &s->left);
	if (make(s, parent, run, e) == 0)
		return 0;
	file_close(s->parent_fd);
	s->parent_fd = -1;
	return -1;
}

int drill_scratch_remove(struct drill_scratch *s, struct err *e)
{
	int failed;

	if (s->fd < 0)
		return 0;
	failed = remove_all(s->parent_fd, s->name, s->fd, e);
	file_close(s->fd);
	file_close(s->parent_fd);
	s->fd = -1;
	s->parent_fd = -1;
	s->path[0] = '\0';
	return failed;
}
