#include "base/seam.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

static seam_hook *hook_fn;
static void *hook_arg;
static _Atomic uint64_t calls;

/* One call at a time, so that what is told is in the order of the deeds. */
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;
static seam_recorder *recorder_fn;
static void *recorder_arg;

uint64_t seam_calls(void)
{
	return atomic_load(&calls);
}

void seam_set_hook(seam_hook *hook, void *arg)
{
	hook_fn = hook;
	hook_arg = arg;
}

void seam_set_recorder(seam_recorder *recorder, void *arg)
{
	recorder_fn = recorder;
	recorder_arg = arg;
}

#ifdef SNAPCTL_TEST_HOOKS

#include "base/text.h"

/* What SNAPCTL_TEST_SEAM asks for; set before threads start. */
static struct {
	uint64_t start;	  /* calls made before */
	uint64_t kill_at; /* 0: never */
	uint64_t stop_at;
	uint64_t fail_at;
	int fail_errno;
	char count_file[4096];
	int64_t lease_ms;
	int64_t patience_ms;
} plan;

int64_t seam_lease_ms(void)
{
	return plan.lease_ms;
}

int64_t seam_patience_ms(void)
{
	return plan.patience_ms;
}

static int planned(uint64_t n)
{
	n -= plan.start;
	/* Threads that race past the one that dies die here as well. */
	if (plan.kill_at && n >= plan.kill_at)
		(void)kill(getpid(), SIGKILL);
	if (n == plan.stop_at)
		(void)kill(getpid(), SIGSTOP);
	return n == plan.fail_at ? plan.fail_errno : 0;
}

static void write_count(void)
{
	FILE *f = fopen(plan.count_file, "we");

	if (!f)
		return;
	(void)fprintf(f, "%llu\n", (unsigned long long)seam_calls());
	(void)fclose(f);
}

/* A setting nobody can read must not pass for a test that ran. */
static void refuse(const char *setting)
{
	(void)fprintf(stderr,
		      "SNAPCTL_TEST_SEAM: %s is not kill:N, "
		      "stop:N, fail:N:ERRNO or count:FILE\n",
		      text_quote_str(setting).s);
	abort();
}

static void plan_fail(const char *setting)
{
	const char *colon = strchr(setting, ':');
	char first[24];
	int64_t n;
	int64_t sys;

	if (!colon || (size_t)(colon - setting) >= sizeof(first)) {
		refuse(setting);
		return;
	}
	memcpy(first, setting, (size_t)(colon - setting));
	first[colon - setting] = '\0';
	if (!text_number(first, 1, INT64_MAX, &n) ||
	    !text_number(colon + 1, 1, 4095, &sys)) {
		refuse(setting);
		return;
	}
	plan.fail_at = (uint64_t)n;
	plan.fail_errno = (int)sys;
}

static void plan_ms(const char *name, int64_t *ret)
{
	const char *setting = getenv(name);

	if (!setting || text_number(setting, 1, INT32_MAX, ret))
		return;
	(void)fprintf(stderr, "%s: %s is no time\n", name,
		      text_quote_str(setting).s);
	abort();
}

void seam_from_environment(void)
{
	const char *setting = getenv("SNAPCTL_TEST_SEAM");
	int64_t n;

	plan_ms("SNAPCTL_TEST_LEASE_MS", &plan.lease_ms);
	plan_ms("SNAPCTL_TEST_PATIENCE_MS", &plan.patience_ms);
	if (!setting)
		return;
	plan.start = seam_calls();
	if (strncmp(setting, "kill:", 5) == 0) {
		if (!text_number(setting + 5, 1, INT64_MAX, &n)) {
			refuse(setting);
			return;
		}
		plan.kill_at = (uint64_t)n;
	} else if (strncmp(setting, "stop:", 5) == 0) {
		if (!text_number(setting + 5, 1, INT64_MAX, &n)) {
			refuse(setting);
			return;
		}
		plan.stop_at = (uint64_t)n;
	} else if (strncmp(setting, "fail:", 5) == 0) {
		plan_fail(setting + 5);
	} else if (strncmp(setting, "count:", 6) == 0 && setting[6] &&
		   strlen(setting + 6) < sizeof(plan.count_file)) {
		memcpy(plan.count_file, setting + 6, strlen(setting + 6) + 1);
		(void)atexit(write_count);
	} else {
		refuse(setting);
	}
}

#else

static int planned(uint64_t n)
{
	(void)n;
	return 0;
}

void seam_from_environment(void)
{
}

int64_t seam_lease_ms(void)
{
	return 0;
}

int64_t seam_patience_ms(void)
{
	return 0;
}

#endif

/* Whether the call may happen; if not, errno says why. */
static bool may(enum seam_call call, const char *path)
{
	const uint64_t n = atomic_fetch_add(&calls, 1) + 1;
	int sys = planned(n);

	if (sys <= 0 && hook_fn)
		sys = hook_fn(hook_arg, call, path);
	if (sys <= 0)
		return true;
	errno = sys;
	return false;
}

/* The same; when it may, done() must follow. */
static bool enter(enum seam_call call, const char *path)
{
	if (!may(call, path))
		return false;
	if (recorder_fn)
		(void)pthread_mutex_lock(&recording);
	return true;
}

/* Yields result, which is less than 0 when the call failed. */
static int done(int result, const struct seam_deed *deed)
{
	const int sys = errno;

	if (!recorder_fn)
		return result;
	if (result >= 0 && deed)
		recorder_fn(recorder_arg, deed);
	(void)pthread_mutex_unlock(&recording);
	errno = sys;
	return result;
}

/* done(result, a deed with these members) */
#define DONE(result, kind, ...)                 \
	done(result, &(const struct seam_deed){ \
			     .call = (kind), .fd = -1, __VA_ARGS__ })

int seam_open(int dir_fd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (!enter(SEAM_OPEN_WRITE, path))
		return -1;
	do
		fd = openat(dir_fd, path, flags, mode);
	while (fd < 0 && errno == EINTR);
	return done(fd, &(const struct seam_deed){ .call = SEAM_OPEN_WRITE,
						   .fd = fd,
						   .dir_fd = dir_fd,
						   .path = path,
						   .flags = flags });
}

/* offset < 0 writes at the descriptor's own position. */
static int write_all(int fd, const void *bytes, size_t n, int64_t offset)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		const ssize_t got = offset < 0 ? write(fd, p, n)
					       : pwrite(fd, p, n, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0) {
			errno = EIO;
			return -1;
		}
		p += got;
		n -= (size_t)got;
		if (offset >= 0)
			offset += got;
	}
	return 0;
}

static int write_at(int fd, const void *bytes, size_t n, int64_t offset)
{
	const struct seam_deed deed = { .call = SEAM_WRITE,
					.fd = fd,
					.bytes = bytes,
					.n = n,
					.offset = offset };

	if (!enter(SEAM_WRITE, ""))
		return -1;
	return done(write_all(fd, bytes, n, offset), &deed);
}

int seam_write(int fd, const void *bytes, size_t n)
{
	return write_at(fd, bytes, n, -1);
}

int seam_pwrite(int fd, const void *bytes, size_t n, int64_t offset)
{
	if (offset < 0) {
		errno = EINVAL;
		return -1;
	}
	return write_at(fd, bytes, n, offset);
}

/* Repeats a call that a signal cut short before it did anything. */
#define RETRY(call)                                          \
	__extension__({                                      \
		int retry_result_;                           \
		do                                           \
			retry_result_ = (call);              \
		while (retry_result_ < 0 && errno == EINTR); \
		retry_result_;                               \
	})

static int sync_fd(enum seam_call call, int fd)
{
	const struct seam_deed deed = { .call = call, .fd = fd };

	return enter(call, "") ? done(RETRY(fsync(fd)), &deed) : -1;
}

int seam_fsync(int fd)
{
	return sync_fd(SEAM_FSYNC, fd);
}

int seam_sync_dir(int dir_fd)
{
	return sync_fd(SEAM_SYNC_DIR, dir_fd);
}

int seam_rename(int old_dir, const char *old_path, int new_dir,
		const char *new_path, unsigned int flags)
{
	if (!enter(SEAM_RENAME, new_path))
		return -1;
	return DONE(renameat2(old_dir, old_path, new_dir, new_path, flags),
		    SEAM_RENAME, .dir_fd = new_dir, .path = new_path,
		    .old_dir_fd = old_dir, .old_path = old_path,
		    .flags = (int)flags);
}

int seam_link(int old_dir, const char *old_path, int new_dir,
	      const char *new_path, int flags)
{
	if (!enter(SEAM_LINK, new_path))
		return -1;
	return DONE(linkat(old_dir, old_path, new_dir, new_path, flags),
		    SEAM_LINK, .dir_fd = new_dir, .path = new_path,
		    .old_dir_fd = old_dir, .old_path = old_path,
		    .flags = flags);
}

int seam_symlink(const char *target, int dir_fd, const char *path)
{
	if (!enter(SEAM_LINK, path))
		return -1;
	return DONE(symlinkat(target, dir_fd, path), SEAM_LINK,
		    .dir_fd = dir_fd, .path = path);
}

int seam_unlink(int dir_fd, const char *path, int flags)
{
	if (!enter(SEAM_UNLINK, path))
		return -1;
	return DONE(unlinkat(dir_fd, path, flags), SEAM_UNLINK,
		    .dir_fd = dir_fd, .path = path, .flags = flags);
}

int seam_mkdir(int dir_fd, const char *path, mode_t mode)
{
	if (!enter(SEAM_MKDIR, path))
		return -1;
	return DONE(mkdirat(dir_fd, path, mode), SEAM_MKDIR, .dir_fd = dir_fd,
		    .path = path);
}

int seam_mknod(int dir_fd, const char *path, mode_t mode, dev_t dev)
{
	if (!enter(SEAM_MKDIR, path))
		return -1;
	return DONE(mknodat(dir_fd, path, mode, dev), SEAM_MKDIR,
		    .dir_fd = dir_fd, .path = path);
}

int seam_truncate(int fd, int64_t size)
{
	const struct seam_deed deed = { .call = SEAM_TRUNCATE,
					.fd = fd,
					.offset = size };

	if (!enter(SEAM_TRUNCATE, ""))
		return -1;
	return done(RETRY(ftruncate(fd, size)), &deed);
}

int seam_fallocate(int fd, int mode, int64_t offset, int64_t n)
{
	if (!enter(SEAM_TRUNCATE, ""))
		return -1;
	return done(RETRY(fallocate(fd, mode, offset, n)), NULL);
}

int seam_chown(int dir_fd, const char *path, uid_t uid, gid_t gid, int flags)
{
	if (!enter(SEAM_META, path))
		return -1;
	return done(fchownat(dir_fd, path, uid, gid, flags), NULL);
}

int seam_fchmod(int fd, mode_t mode)
{
	return enter(SEAM_META, "") ? done(fchmod(fd, mode), NULL) : -1;
}

int seam_chmod(int dir_fd, const char *path, mode_t mode)
{
	if (!enter(SEAM_META, path))
		return -1;
	return done(fchmodat(dir_fd, path, mode, 0), NULL);
}

int seam_utimens(int dir_fd, const char *path, const struct timespec times[2],
		 int flags)
{
	if (!enter(SEAM_META, path ? path : ""))
		return -1;
	if (!path)
		return done(futimens(dir_fd, times), NULL);
	return done(utimensat(dir_fd, path, times, flags), NULL);
}

int seam_setxattr(int fd, const char *path, const char *name, const void *value,
		  size_t n)
{
	assert(fd >= 0 || path);
	if (!enter(SEAM_META, fd < 0 ? path : ""))
		return -1;
	if (fd >= 0)
		return done(fsetxattr(fd, name, value, n, 0),
			    &(const struct seam_deed){ .call = SEAM_META,
						       .fd = fd });
	return done(lsetxattr(path, name, value, n, 0), NULL);
}

int seam_removexattr(int fd, const char *path, const char *name)
{
	assert(fd >= 0 || path);
	if (!enter(SEAM_META, fd < 0 ? path : ""))
		return -1;
	return done(fd >= 0 ? fremovexattr(fd, name) : lremovexattr(path, name),
		    NULL);
}

int seam_set_flags(int fd, unsigned int flags)
{
	/* Declared with a long, and read as an int. */
	const int value[2] = { (int)flags, 0 };

	if (!enter(SEAM_META, ""))
		return -1;
	return done(ioctl(fd, FS_IOC_SETFLAGS, value),
		    &(const struct seam_deed){ .call = SEAM_META, .fd = fd });
}

int seam_announce(enum seam_call call, const char *path)
{
	return may(call, path) ? 0 : -1;
}

void seam_tell(const struct seam_deed *deed)
{
	if (!recorder_fn)
		return;
	(void)pthread_mutex_lock(&recording);
	(void)done(0, deed);
}

int seam_send(const char *name)
{
	return may(SEAM_SEND, name) ? 0 : -1;
}
