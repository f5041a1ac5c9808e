/*
 * The one seam through which everything that changes the outside world's
 * files goes: each call here is one "write-like" system call.
 *
 * Tests put a hook in it to fail the nth call, to kill the process before or
 * after it, or to record it for the replay of power cuts.  Code outside this
 * file does not call the plain functions (tests/lint checks).  Every function
 * behaves as its namesake, errno included, but EINTR is retried where that is
 * meaningful.
 */
#ifndef BASE_SEAM_H
#define BASE_SEAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/attr.h"

enum seam_call {
	SEAM_OPEN_WRITE, /* open that creates, truncates or allows writing */
	SEAM_WRITE,
	SEAM_FSYNC,
	SEAM_SYNC_DIR,
	SEAM_RENAME,
	SEAM_LINK,
	SEAM_UNLINK,
	SEAM_MKDIR,
	SEAM_TRUNCATE,
	SEAM_META, /* owner, mode, times, xattrs, flags */
	SEAM_SEND, /* a request that changes a remote store */
	SEAM_COUNT
};

/*
 * Called before each call with its kind and a path or name ("" when only a
 * descriptor is known); a positive result is an errno with which the call
 * fails without having happened.  NULL removes it.  Set before threads start.
 */
typedef int seam_hook(void *arg, enum seam_call call, const char *path);
void seam_set_hook(seam_hook *hook, void *arg);

/*
 * What a call did, for a test that replays power cuts.  Told once it has
 * succeeded, while nothing else passes the seam.
 */
struct seam_deed {
	enum seam_call call;
	int flags; /* those of the call */
	/* The file, or with SEAM_SYNC_DIR the folder; -1: path names it, or
	 * what lies in that folder. */
	int fd;
	/* What was made, removed, moved to; NULL when only fd is known. */
	int dir_fd;
	const char *path;
	/* Link and rename: the old name. */
	int old_dir_fd;
	const char *old_path;
	const void *bytes; /* written: n of them */
	size_t n;
	/* Where they went, -1: up to where fd stands now; or the new size. */
	int64_t offset;
};
typedef void seam_recorder(void *arg, const struct seam_deed *deed);
/*
 * NULL removes it.  Set before threads start.  Owners, modes and times are not
 * told, nor what fallocate(2) did; of attributes and flags (SEAM_META) only
 * that some of fd were set.
 */
void seam_set_recorder(seam_recorder *recorder, void *arg);

/*
 * Reads SNAPCTL_TEST_SEAM: "kill:N" (SIGKILL before the Nth call from now on),
 * "stop:N" (SIGSTOP before that call, so that a test knows where it stands),
 * "fail:N:ERRNO" (that one fails), "count:FILE" (the number of calls is
 * written to FILE at exit).  Anything else ends the program, so that no test
 * passes because its fault never came.  Does nothing in builds without test
 * hooks.
 */
void seam_from_environment(void);

/*
 * SNAPCTL_TEST_LEASE_MS, for tests that cannot wait two minutes to see an
 * owner given up; 0 when it is not set, and in builds without test hooks.
 */
int64_t seam_lease_ms(void);

/* SNAPCTL_TEST_PATIENCE_MS, in the same way: how long a server may be silent,
 * or take to be connected to. */
int64_t seam_patience_ms(void);

/* How many calls were made by this process. */
uint64_t seam_calls(void);

int seam_open(int dir_fd, const char *path, int flags, mode_t mode) NONNULL(2)
	MUST_CHECK;
/* All n bytes or -1; short writes are continued. */
int seam_write(int fd, const void *bytes, size_t n) NONNULL(2) MUST_CHECK;
int seam_pwrite(int fd, const void *bytes, size_t n, int64_t offset) NONNULL(2)
	MUST_CHECK;
int seam_fsync(int fd) MUST_CHECK;
/* Make the entries of a folder durable. */
int seam_sync_dir(int dir_fd) MUST_CHECK;
int seam_rename(int old_dir, const char *old_path, int new_dir,
		const char *new_path, unsigned int flags) NONNULL(2, 4)
	MUST_CHECK;
int seam_link(int old_dir, const char *old_path, int new_dir,
	      const char *new_path, int flags) NONNULL(2, 4) MUST_CHECK;
int seam_symlink(const char *target, int dir_fd, const char *path) NONNULL(1, 3)
	MUST_CHECK;
int seam_unlink(int dir_fd, const char *path, int flags) NONNULL(2) MUST_CHECK;
int seam_mkdir(int dir_fd, const char *path, mode_t mode) NONNULL(2) MUST_CHECK;
int seam_mknod(int dir_fd, const char *path, mode_t mode, dev_t dev) NONNULL(2)
	MUST_CHECK;
int seam_truncate(int fd, int64_t size) MUST_CHECK;
/* fallocate(2): punching holes and the like. */
int seam_fallocate(int fd, int mode, int64_t offset, int64_t n) MUST_CHECK;
int seam_chown(int dir_fd, const char *path, uid_t uid, gid_t gid, int flags)
	NONNULL(2) MUST_CHECK;
int seam_fchmod(int fd, mode_t mode) MUST_CHECK;
int seam_chmod(int dir_fd, const char *path, mode_t mode) NONNULL(2) MUST_CHECK;
int seam_utimens(int dir_fd, const char *path, const struct timespec times[2],
		 int flags) NONNULL(3) MUST_CHECK;
/* On a descriptor, or on a path (not followed) when fd is -1. */
/* Of fd, or with fd -1 of what is at path, a symlink itself. */
int seam_removexattr(int fd, const char *path, const char *name) NONNULL(3)
	MUST_CHECK;
int seam_setxattr(int fd, const char *path, const char *name, const void *value,
		  size_t n) NONNULL(3) MUST_CHECK;
/* FS_IOC_SETFLAGS: immutable, append-only and the like. */
int seam_set_flags(int fd, unsigned int flags) MUST_CHECK;
/*
 * Announce what a library is about to do with a file; 0 or -1 with errno.  The
 * caller then has it done, or reports the failure.
 */
int seam_announce(enum seam_call call, const char *path) NONNULL(2) MUST_CHECK;
/* Tell the recorder, if there is one, that the library has done so. */
void seam_tell(const struct seam_deed *deed) NONNULL(1);
/* Announce a write-like request to a remote store; 0 or -1 with errno. */
int seam_send(const char *name) NONNULL(1) MUST_CHECK;

#endif
