/*
 * A folder whose file system has immutable and append-only files, in a mount
 * namespace of the program's own, so that nothing of it is left however the
 * program ends: a tmpfs, or, where that has no such files, an ext4 on a loop
 * device.
 *
 *	if (!guard_place_begin(&place)) exit(77);
 *	guard_place_folder(&place, "store", path);
 */
#ifndef TESTS_SUPPORT_GUARD_PLACE_H
#define TESTS_SUPPORT_GUARD_PLACE_H

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/child.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

struct guard_place {
	struct scratch dir;
	char on[SCRATCH_PATH];
	bool mounted;
};

/* Its attributes; -1 where there are none. */
static inline int guard_place_flags(const char *path)
{
	const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int flags[2] = { -1, 0 };

	if (fd < 0)
		return -1;
	if (ioctl(fd, FS_IOC_GETFLAGS, flags) < 0)
		flags[0] = -1;
	(void)close(fd);
	return flags[0];
}

/* As chattr(1) does. */
static inline bool guard_place_change(const char *path, int set, int clear)
{
	const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int flags[2] = { 0, 0 };
	bool done;

	if (fd < 0)
		return false;
	done = ioctl(fd, FS_IOC_GETFLAGS, flags) == 0;
	flags[0] = (flags[0] | set) & ~clear;
	done = done && ioctl(fd, FS_IOC_SETFLAGS, flags) == 0;
	(void)close(fd);
	return done;
}

static inline bool guard_place_can(const struct guard_place *p)
{
	char path[SCRATCH_PATH];
	bool can;

	(void)snprintf(path, sizeof(path), "%.500s/try", p->on);
	if (mkdir(path, 0700) < 0)
		return false;
	can = setxattr(path, "user.try", "1", 1, 0) == 0 &&
	      guard_place_change(path, FS_APPEND_FL, 0) &&
	      guard_place_change(path, FS_IMMUTABLE_FL, FS_APPEND_FL) &&
	      guard_place_change(path, 0, FS_IMMUTABLE_FL);
	return rmdir(path) == 0 && can;
}

static inline bool guard_place_run(const char *const *argv, size_t argc)
{
	const struct child_options o = { .argv = argv, .argc = argc };
	struct child_tail said = { 0 };
	struct err err = { 0 };
	struct child c;

	if (child_start(&c, &o, &err))
		return false;
	if (child_watch(&c, 60000, NULL, &said, NULL) == CHILD_ENDED)
		return child_end(&c) == 0;
	child_drop(&c);
	return false;
}

static inline bool guard_place_ext4(struct guard_place *p)
{
	char image[SCRATCH_PATH];
	const char *const make[] = { "mkfs.ext4", "-q", "-F", image };
	const char *const mount_it[] = { "mount", "-o", "loop", image, p->on };
	const int fd = open(scratch_path(&p->dir, "image", image),
			    O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	p->mounted = ftruncate(fd, 64 << 20) == 0 && guard_place_run(make, 4) &&
		     guard_place_run(mount_it, 5);
	(void)close(fd);
	return p->mounted;
}

static inline void guard_place_end(struct guard_place *p)
{
	if (p->mounted)
		ck_assert_int_eq(umount2(p->on, MNT_DETACH), 0);
	scratch_done(&p->dir);
}

/* Once in a program, before it has threads; false where it cannot be. */
static inline bool guard_place_begin(struct guard_place *p)
{
	*p = (struct guard_place){ .mounted = false };
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	scratch_init(&p->dir);
	ck_assert_int_eq(mkdir(scratch_path(&p->dir, "on", p->on), 0700), 0);
	p->mounted = mount("tmpfs", p->on, "tmpfs", 0, "size=64m") == 0;
	if (p->mounted && guard_place_can(p))
		return true;
	if (p->mounted)
		ck_assert_int_eq(umount2(p->on, MNT_DETACH), 0);
	p->mounted = false;
	if (guard_place_ext4(p) && guard_place_can(p))
		return true;
	guard_place_end(p);
	return false;
}

/* A new folder, append-only as an administrator makes it. */
static inline void guard_place_folder(const struct guard_place *p,
				      const char *name, char out[SCRATCH_PATH])
{
	(void)snprintf(out, SCRATCH_PATH, "%.400s/%s", p->on, name);
	ck_assert_int_eq(mkdir(out, 0700), 0);
	ck_assert(guard_place_change(out, FS_APPEND_FL, 0));
}

/*
 * What else is in such folders: removed whatever guards it, and copied with
 * that, as no user can.
 */
static inline void guard_place_remove(const char *path)
{
	const struct dirent *entry;
	DIR *d;

	(void)guard_place_change(path, 0, FS_APPEND_FL | FS_IMMUTABLE_FL);
	d = opendir(path);
	if (!d) {
		ck_assert_int_eq(unlink(path), 0);
		return;
	}
	while ((entry = readdir(d))) {
		char below[2 * SCRATCH_PATH];

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(below, sizeof(below), "%.600s/%s", path,
			       entry->d_name);
		guard_place_remove(below);
	}
	(void)closedir(d);
	ck_assert_int_eq(rmdir(path), 0);
}

static inline void guard_place_copy_file(const char *from, const char *to)
{
	static uint8_t bytes[1 << 21];
	char value[64];
	const int in = open(from, O_RDONLY | O_CLOEXEC);
	const int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const ssize_t n = read(in, bytes, sizeof(bytes));
	const ssize_t of_guard = fgetxattr(in, "user.snapctl.guard", value,
					   sizeof(value));

	ck_assert(in >= 0 && out >= 0 && n < (ssize_t)sizeof(bytes));
	ck_assert_int_eq(write(out, bytes, (size_t)n), n);
	if (of_guard >= 0)
		ck_assert_int_eq(fsetxattr(out, "user.snapctl.guard", value,
					   (size_t)of_guard, 0),
				 0);
	ck_assert_int_eq(fchmod(out, 0400), 0);
	(void)close(in);
	(void)close(out);
}

static inline void guard_place_copy(const char *from, const char *to)
{
	const int guard = guard_place_flags(from) &
			  (FS_APPEND_FL | FS_IMMUTABLE_FL);
	const struct dirent *entry;
	DIR *d = opendir(from);

	if (d)
		ck_assert_int_eq(mkdir(to, 0700), 0);
	else
		guard_place_copy_file(from, to);
	while (d && (entry = readdir(d))) {
		char old[2 * SCRATCH_PATH];
		char new[2 * SCRATCH_PATH];

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(old, sizeof(old), "%.600s/%s", from,
			       entry->d_name);
		(void)snprintf(new, sizeof(new), "%.600s/%s", to,
			       entry->d_name);
		guard_place_copy(old, new);
	}
	if (d)
		(void)closedir(d);
	ck_assert(!guard || guard_place_change(to, guard, 0));
}

#endif
