#include "tests/support/call_fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

static atomic_uint counted;
static unsigned int fails_at; /* 0: nothing is counted */
static int fails_with;
static const char *_Atomic failed;

void call_fail_at(unsigned int n, int sys)
{
	atomic_store(&counted, 0);
	atomic_store(&failed, NULL);
	fails_with = sys;
	fails_at = n;
}

const char *call_fail_happened(void)
{
	return atomic_load(&failed);
}

unsigned int call_fail_end(void)
{
	fails_at = 0;
	return atomic_load(&counted);
}

/* Whether it is this one's turn. */
static bool turn(const char *name)
{
	if (!fails_at || atomic_fetch_add(&counted, 1) + 1 != fails_at)
		return false;
	atomic_store(&failed, name);
	return true;
}

static bool fails(const char *name)
{
	if (fails_with == CALL_SHORT || !turn(name))
		return false;
	errno = fails_with;
	return true;
}

/* How many of n bytes this call may move; -1: it fails. */
static ssize_t moves(const char *name, size_t n)
{
	if (fails_with != CALL_SHORT)
		return fails(name) ? -1 : (ssize_t)n;
	return n > 1 && turn(name) ? (ssize_t)(n / 2) : (ssize_t)n;
}

/* The linker's --wrap leads each name here, and __real_ to the original. */
#define WRAPPED(type, failure, name, params, args)                    \
	type __real_##name params;                                    \
	type __wrap_##name params;                                    \
	type __wrap_##name params                                     \
	{                                                             \
		return fails(#name) ? (failure) : __real_##name args; \
	}

#define WRAPPED_MOVE(name, params, args, n)          \
	ssize_t __real_##name params;                \
	ssize_t __wrap_##name params;                \
	ssize_t __wrap_##name params                 \
	{                                            \
		const ssize_t may = moves(#name, n); \
                                                     \
		if (may < 0)                         \
			return -1;                   \
		(n) = (size_t)may;                   \
		return __real_##name args;           \
	}

WRAPPED_MOVE(read, (int fd, void *p, size_t n), (fd, p, n), n)
WRAPPED_MOVE(write, (int fd, const void *p, size_t n), (fd, p, n), n)
WRAPPED_MOVE(pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at),
	     n)
WRAPPED_MOVE(pwrite64, (int fd, const void *p, size_t n, off64_t at),
	     (fd, p, n, at), n)

WRAPPED(int, -1, __openat64_2, (int dir, const char *path, int flags),
	(dir, path, flags))
WRAPPED(int, -1, fstat64, (int fd, struct stat *st), (fd, st))
WRAPPED(int, -1, stat64, (const char *path, struct stat *st), (path, st))
WRAPPED(int, -1, lstat64, (const char *path, struct stat *st), (path, st))
WRAPPED(int, -1, fstatat64,
	(int dir, const char *path, struct stat *st, int flags),
	(dir, path, st, flags))
WRAPPED(int, -1, statx,
	(int dir, const char *path, int flags, unsigned int mask,
	 struct statx *x),
	(dir, path, flags, mask, x))
WRAPPED(int, -1, fstatfs64, (int fd, struct statfs *fs), (fd, fs))
WRAPPED(int, -1, fstatvfs64, (int fd, struct statvfs *fs), (fd, fs))
WRAPPED(int, -1, faccessat, (int dir, const char *path, int mode, int flags),
	(dir, path, mode, flags))
WRAPPED(int, -1, fsync, (int fd), (fd))
WRAPPED(int, -1, syncfs, (int fd), (fd))
WRAPPED(int, -1, renameat2,
	(int from, const char *old, int to, const char *name,
	 unsigned int flags),
	(from, old, to, name, flags))
WRAPPED(int, -1, linkat,
	(int from, const char *old, int to, const char *name, int flags),
	(from, old, to, name, flags))
WRAPPED(int, -1, symlinkat, (const char *target, int dir, const char *name),
	(target, dir, name))
WRAPPED(int, -1, unlinkat, (int dir, const char *name, int flags),
	(dir, name, flags))
WRAPPED(int, -1, mkdirat, (int dir, const char *name, mode_t mode),
	(dir, name, mode))
WRAPPED(int, -1, ftruncate64, (int fd, off64_t size), (fd, size))
WRAPPED(int, -1, fallocate64, (int fd, int mode, off64_t at, off64_t n),
	(fd, mode, at, n))
WRAPPED(off64_t, -1, lseek64, (int fd, off64_t at, int from), (fd, at, from))
WRAPPED(ssize_t, -1, readlinkat, (int dir, const char *p, char *out, size_t n),
	(dir, p, out, n))
WRAPPED(ssize_t, -1, readlink, (const char *p, char *out, size_t n),
	(p, out, n))
WRAPPED(ssize_t, -1, getdents64, (int fd, void *out, size_t n), (fd, out, n))
WRAPPED(DIR *, NULL, fdopendir, (int fd), (fd))
WRAPPED(DIR *, NULL, opendir, (const char *path), (path))
WRAPPED(void *, MAP_FAILED, mmap64,
	(void *at, size_t n, int prot, int flags, int fd, off64_t offset),
	(at, n, prot, flags, fd, offset))
WRAPPED(void *, MAP_FAILED, mremap, (void *at, size_t n, size_t now, int flags),
	(at, n, now, flags))
WRAPPED(int, -1, flock, (int fd, int what), (fd, what))
WRAPPED(int, -1, fchdir, (int fd), (fd))
WRAPPED(int, -1, mknodat, (int dir, const char *name, mode_t mode, dev_t dev),
	(dir, name, mode, dev))
WRAPPED(int, -1, sync_file_range,
	(int fd, off64_t at, off64_t n, unsigned int flags), (fd, at, n, flags))
WRAPPED(ssize_t, -1, lgetxattr,
	(const char *path, const char *name, void *out, size_t n),
	(path, name, out, n))
WRAPPED(ssize_t, -1, llistxattr, (const char *path, char *out, size_t n),
	(path, out, n))
WRAPPED(int, -1, lsetxattr,
	(const char *path, const char *name, const void *value, size_t n,
	 int flags),
	(path, name, value, n, flags))
WRAPPED(int, -1, fremovexattr, (int fd, const char *name), (fd, name))
WRAPPED(ssize_t, -1, flistxattr, (int fd, char *out, size_t n), (fd, out, n))
WRAPPED(ssize_t, -1, fgetxattr, (int fd, const char *name, void *out, size_t n),
	(fd, name, out, n))
WRAPPED(int, -1, fsetxattr,
	(int fd, const char *name, const void *value, size_t n, int flags),
	(fd, name, value, n, flags))
WRAPPED(int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
WRAPPED(int, -1, fchmodat, (int dir, const char *path, mode_t mode, int flags),
	(dir, path, mode, flags))
WRAPPED(int, -1, fchownat,
	(int dir, const char *path, uid_t uid, gid_t gid, int flags),
	(dir, path, uid, gid, flags))
WRAPPED(int, -1, futimens, (int fd, const struct timespec *times), (fd, times))
WRAPPED(int, -1, utimensat,
	(int dir, const char *path, const struct timespec *times, int flags),
	(dir, path, times, flags))

/* The first entry of a folder stands for all. */
struct dirent *__real_readdir64(DIR *d);
struct dirent *__wrap_readdir64(DIR *d);
struct dirent *__wrap_readdir64(DIR *d)
{
	static _Thread_local const DIR *last;
	const bool again = d == last;

	last = d;
	return !again && fails("readdir") ? NULL : __real_readdir64(d);
}

/* Those with an argument that is there or not. */
static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return fails("open") ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return fails("openat") ? -1 : __real_openat64(dir, path, flags, mode);
}

int __real_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, what);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fails("ioctl") ? -1 : __real_ioctl(fd, what, arg);
}

/* Of those that the C library has no function for, this one only. */
long __real_syscall(long what, long a, long b, long c, long d, long x);
long __wrap_syscall(long what, long a, long b, long c, long d, long x);
long __wrap_syscall(long what, long a, long b, long c, long d, long x)
{
	return what == SYS_openat2 && fails("openat2")
		       ? -1
		       : __real_syscall(what, a, b, c, d, x);
}

/* It returns what others leave in errno. */
int __real_pthread_create(pthread_t *ret, const pthread_attr_t *how,
			  void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *how,
			  void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *how,
			  void *(*run)(void *), void *arg)
{
	return fails("pthread_create")
		       ? fails_with
		       : __real_pthread_create(ret, how, run, arg);
}

/* Only the duplication of a descriptor fails for want of something. */
int __real_fcntl64(int fd, int what, ...);
int __wrap_fcntl64(int fd, int what, ...);
int __wrap_fcntl64(int fd, int what, ...)
{
	va_list ap;
	long arg;

	va_start(ap, what);
	arg = va_arg(ap, long);
	va_end(ap);
	if ((what == F_DUPFD || what == F_DUPFD_CLOEXEC) && fails("fcntl"))
		return -1;
	return __real_fcntl64(fd, what, arg);
}
