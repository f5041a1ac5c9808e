/*
 * Guards in a folder: immutable files.
 *
 * A file with the attribute "immutable" is neither changed, renamed nor removed
 * by anybody before the attribute is taken away, which takes the capability
 * CAP_LINUX_IMMUTABLE; nor is one in a folder that is "append-only".  An
 * administrator makes the store's folder append-only (chattr +a), and says by
 * that that objects are to be guarded there.  Then
 *
 *	DIR/		append-only, by the administrator
 *	DIR/data/	append-only, by us: data/ab/ cannot be renamed away
 *	DIR/data/ab/	as ever: what nothing guards can be removed
 *	DIR/data/ab/X	immutable, with until when in "user.snapctl.guard"
 *
 * The value is the moment as RFC 3339 has it, "2027-01-31T09:30:00Z", and
 *behind it " held" while it is held.  A file that is immutable and does not say
 *until when is held.  One that says so and is not immutable is not guarded: so
 *a crash between the steps below leaves it for a moment, and the next guard
 * mends that.
 *
 *   1. take "immutable" away, if it is there;
 *   2. write until when;
 *   3. make it immutable;
 *   4. fsync it.
 *
 * Who guards one object meanwhile waits (flock(2), which ends with its
 *process), or the shorter of two guards might win.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/stores/local_internal.h"

#define ATTRIBUTE "user.snapctl.guard"
#define HELD	  " held"
#define VALUE_MAX (INSTANT_TEXT + sizeof(HELD))

/* ---- attributes --------------------------------------------------------- */

/* 0 where a file system has none. */
static int get_flags(int fd, unsigned int *ret)
{
	long flags = 0; /* as the call was declared; it fills an int */
	int *first = (int *)&flags;

	*ret = 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return errno == ENOTTY || errno == EOPNOTSUPP ||
				       errno == EINVAL || errno == ENOSYS
			       ? 0
			       : -1;
	*ret = (unsigned int)*first;
	return 0;
}

static int refused(struct err *e, const char *what)
{
	const int sys = errno;

	if (sys == EPERM || sys == EACCES) {
		(void)err_set(e, ERR_DENIED, "%s", what);
		return err_hint(e, "that takes the capability "
				   "CAP_LINUX_IMMUTABLE, which root has");
	}
	if (sys == ENOTTY || sys == EOPNOTSUPP || sys == EINVAL) {
		(void)err_set(e, ERR_DENIED, "%s: its file system cannot",
			      what);
		return err_hint(e, "ext4, XFS and btrfs can");
	}
	return local_sys(e, what);
}

static int change_flags(int fd, unsigned int set, unsigned int clear,
			const char *what, struct err *e)
{
	unsigned int flags;

	if (get_flags(fd, &flags) < 0)
		return local_sys(e, what);
	if ((flags | set) == flags && !(flags & clear))
		return 0;
	if (seam_set_flags(fd, (flags | set) & ~clear) < 0)
		return refused(e, what);
	return 0;
}

static int make_immutable(int fd, struct err *e)
{
	return change_flags(fd, FS_IMMUTABLE_FL, 0, "it is not made immutable",
			    e);
}

/* Whoever took it away has to bring it back: what fails once may do twice. */
static int make_immutable_again(int fd, struct err *e)
{
	unsigned int tries = 0;

	while (make_immutable(fd, e))
		if (++tries == 3)
			return -1;
	return 0;
}

static int make_mutable(int fd, struct err *e)
{
	return change_flags(fd, 0, FS_IMMUTABLE_FL, "it stays immutable", e);
}

int local_can_guard(struct store *s, struct err *e)
{
	unsigned int flags;

	if (get_flags(((struct local *)s)->root, &flags) < 0)
		return local_sys(e, "the store's folder");
	return (flags & FS_APPEND_FL) != 0;
}

const char *local_guard_mode(struct store *s UNUSED)
{
	return "immutable";
}

static int need_guards(struct store *s, struct err *e)
{
	const int r = local_can_guard(s, e);

	if (r)
		return r < 0 ? -1 : 0;
	(void)err_set(e, ERR_USAGE, "the store's folder is not append-only");
	return err_hint(e, "chattr +a its folder, where objects are to be "
			   "locked");
}

/* ---- what guards a file ------------------------------------------------- */

void local_guard_parse(char *value, size_t n, struct store_guard *ret)
{
	const size_t suffix = sizeof(HELD) - 1;
	struct err ignored;

	ret->held = n >= suffix && strcmp(value + n - suffix, HELD) == 0;
	if (ret->held)
		value[n - suffix] = '\0';
	/* Nobody knows until when: not before somebody says so.  A NUL within
	 * would hide what follows. */
	if (memchr(value, '\0', ret->held ? n - suffix : n) ||
	    instant_parse(value, &ret->until, &ignored)) {
		ret->until = (struct instant){ .sec = 0 };
		ret->held = true;
	}
}

/*
 * What guards a file, when it is immutable; else what was to guard it when
 * somebody died between the steps above.
 */
static int read_state(int fd, struct store_guard *ret, bool *ret_immutable,
		      struct err *e)
{
	char value[VALUE_MAX];
	unsigned int flags;
	ssize_t n;

	*ret_immutable = false;
	*ret = (struct store_guard){ .held = false };
	if (get_flags(fd, &flags) < 0)
		return local_sys(e, "what locks it");
	*ret_immutable = flags & FS_IMMUTABLE_FL;
	ret->held = *ret_immutable;
	n = fgetxattr(fd, ATTRIBUTE, value, sizeof(value) - 1);
	if (n < 0 && errno != ENODATA && errno != ERANGE && errno != EOPNOTSUPP)
		return local_sys(e, "what locks it");
	if (n >= 0) {
		value[n] = '\0';
		local_guard_parse(value, (size_t)n, ret);
	}
	return 0;
}

static bool is_over(const struct store_guard *g)
{
	return !g->held && instant_compare(g->until, clock_now()) <= 0;
}

static int refuse_guarded(const struct store_guard *g, struct err *e)
{
	char until[INSTANT_TEXT];

	if (g->held)
		return err_set(e, ERR_DENIED, "it is held");
	instant_format(g->until, until);
	return err_set(e, ERR_DENIED, "it is locked until %s", until);
}

/* Objects may be read by their owner alone, who may not write them. */
static int write_attribute(int fd, const char *value, struct err *e)
{
	static const char what[] = "until when it is locked";
	const size_t n = strlen(value);
	int r = seam_setxattr(fd, NULL, ATTRIBUTE, value, n);

	if (r < 0 && errno == EACCES) {
		if (seam_fchmod(fd, 0600) < 0)
			return local_sys(e, what);
		r = seam_setxattr(fd, NULL, ATTRIBUTE, value, n);
		if (seam_fchmod(fd, 0400) < 0)
			return local_sys(e, what);
	}
	return r < 0 ? local_sys(e, what) : 0;
}

static int say_guard(int fd, const struct store_guard *g, struct err *e)
{
	char value[VALUE_MAX];
	char until[INSTANT_TEXT];
	struct instant t = g->until;

	if (t.nsec) { /* whole seconds, at least */
		t.sec++;
		t.nsec = 0;
	}
	instant_format(t, until);
	(void)snprintf(value, sizeof(value), "%s%s", until,
		       g->held ? HELD : "");
	return write_attribute(fd, value, e);
}

/* The steps at the head of this file. */
static int set_guard(int fd, const struct store_guard *g, struct err *e)
{
	struct err ignored;

	if (make_mutable(fd, e))
		return -1;
	if (say_guard(fd, g, e)) {
		/* What it said before holds again, or at least something. */
		if (make_immutable_again(fd, &ignored))
			return -1;
		return -1;
	}
	if (make_immutable_again(fd, e))
		return -1;
	return seam_fsync(fd) < 0 ? local_sys(e, "") : 0;
}

/* Nothing guards it any longer. */
static int clear_guard(int fd, struct err *e)
{
	static const struct store_guard none = { .held = false };

	if (make_mutable(fd, e) || say_guard(fd, &none, e))
		return -1;
	return seam_fsync(fd) < 0 ? local_sys(e, "") : 0;
}

/* ---- the folders above -------------------------------------------------- */

/*
 * Make those that hold folders append-only.  The one that holds objects stays
 * as it is, and so does the store's own: it is the administrator's.
 */
static int fix_folders(const struct local *l, const char *name, struct err *e)
{
	const char *last = strrchr(name, '/');

	for (const char *at = name; last && at < last; at++) {
		CLEANUP(file_close) int fd = -1;
		char folder[STORE_NAME_MAX + 1];
		const char *base;
		int r;

		if (*at != '/')
			continue;
		(void)snprintf(folder, sizeof(folder), "%.*s/x",
			       (int)(at - name), name);
		r = local_walk(l, folder, &fd, &base, e);
		if (r <= 0)
			return r;
		if (change_flags(fd, FS_APPEND_FL, 0,
				 "its folder is not made append-only", e))
			return -1;
	}
	return 0;
}

/* ---- the calls ---------------------------------------------------------- */

/* The object, alone in our hands until it is closed: 1, 0, -1. */
static int open_locked(struct local *l, const char *name, int *ret_fd,
		       struct err *e)
{
	struct stat st;
	const int r = local_open_object(l, name, ret_fd, &st, e);
	int locked;

	if (r <= 0)
		return r;
	do
		locked = flock(*ret_fd, LOCK_EX);
	while (locked < 0 && errno == EINTR);
	/* Without, the last of two who guard it at once wins. */
	return locked < 0 && errno != ENOLCK && errno != EOPNOTSUPP
		       ? local_sys(e, "waiting for it")
		       : 1;
}

int local_guard(struct store *s, const char *name, struct instant until,
		struct err *e)
{
	struct local *l = (struct local *)s;
	CLEANUP(file_close) int fd = -1;
	struct store_guard g;
	bool immutable;
	int r;

	if (local_writable(l, e) || need_guards(s, e))
		return -1;
	r = open_locked(l, name, &fd, e);
	if (r <= 0)
		return r;
	if (read_state(fd, &g, &immutable, e))
		return -1;
	if (instant_compare(g.until, until) < 0)
		g.until = until;
	else if (immutable)
		return 1;
	if (is_over(&g))
		return 1;
	return fix_folders(l, name, e) || set_guard(fd, &g, e) ? -1 : 1;
}

int local_hold(struct store *s, const char *name, bool held, struct err *e)
{
	struct local *l = (struct local *)s;
	CLEANUP(file_close) int fd = -1;
	struct store_guard g;
	bool immutable;
	int r;

	if (local_writable(l, e) || need_guards(s, e))
		return -1;
	r = open_locked(l, name, &fd, e);
	if (r <= 0)
		return r;
	if (read_state(fd, &g, &immutable, e))
		return -1;
	if (g.held == held && immutable == !is_over(&g))
		return 1;
	g.held = held;
	if (is_over(&g))
		return clear_guard(fd, e) ? -1 : 1;
	return fix_folders(l, name, e) || set_guard(fd, &g, e) ? -1 : 1;
}

int local_guarded(struct store *s, const char *name, struct store_guard *ret,
		  struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	struct stat st;
	bool immutable;
	const int r = local_open_object((struct local *)s, name, &fd, &st, e);

	if (r <= 0)
		return r;
	if (read_state(fd, ret, &immutable, e))
		return -1;
	if (!immutable)
		*ret = (struct store_guard){ .held = false };
	return 1;
}

int local_kept(struct err *e)
{
	(void)err_set(e, ERR_DENIED, "nothing goes from its folder");
	return err_hint(e, "is it append-only (lsattr -d), or somebody "
			   "else's?");
}

int local_release(struct local *l, const char *name, struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	struct store_guard g;
	bool immutable;
	const int r = open_locked(l, name, &fd, e);

	if (r <= 0)
		return r < 0 ? -1 : 1;
	if (read_state(fd, &g, &immutable, e))
		return -1;
	if (!immutable)
		return local_kept(e);
	if (!is_over(&g))
		return refuse_guarded(&g, e);
	return make_mutable(fd, e) ? -1 : 1;
}

int local_guard_part(int fd, struct instant until, struct err *e)
{
	const struct store_guard g = { .until = until };

	return say_guard(fd, &g, e);
}

int local_guard_published(const struct local *l, const char *name, int fd,
			  struct err *e)
{
	if (fix_folders(l, name, e) || make_immutable(fd, e))
		return -1;
	return seam_fsync(fd) < 0 ? local_sys(e, "") : 0;
}
