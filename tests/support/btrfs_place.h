/*
 * A subvolume on a btrfs of the test's own.  Needs root, a mount namespace and
 * a loop device; btrfs_place_begin(), once in the program, exits with 77
 * without.
 */
#ifndef TESTS_SUPPORT_BTRFS_PLACE_H
#define TESTS_SUPPORT_BTRFS_PLACE_H

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

struct btrfs_place {
	struct scratch dir;
	char on[SCRATCH_PATH];	 /* the file system */
	char data[SCRATCH_PATH]; /* the subvolume */
};

/* In the child that Check makes for the test, or in this process. */
static inline void btrfs_place_begin(void)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    access("/dev/loop-control", R_OK | W_OK) < 0)
		exit(77);
}

static inline void btrfs_place_run(const char *const *argv, size_t argc)
{
	const struct child_options o = { .argv = argv, .argc = argc };
	CLEANUP(child_drop) struct child c;
	struct child_tail said = { 0 };
	struct err e = { 0 };

	ck_ok(child_start(&c, &o, &e));
	ck_assert_int_eq(child_watch(&c, 60000, NULL, &said, NULL),
			 CHILD_ENDED);
	if (child_end(&c) != 0)
		ck_abort_msg("%s: %.*s", argv[0], (int)said.len, said.bytes);
}
#define RUN(...)                                                          \
	do {                                                              \
		const char *const argv_[] = { __VA_ARGS__ };              \
		btrfs_place_run(argv_, sizeof(argv_) / sizeof(argv_[0])); \
	} while (0)

static inline void btrfs_place_init(struct btrfs_place *p)
{
	char image[SCRATCH_PATH];
	int fd;

	scratch_init(&p->dir);
	fd = open(scratch_path(&p->dir, "image", image),
		  O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 120 << 20), 0);
	(void)close(fd);
	ck_assert_int_eq(mkdir(scratch_path(&p->dir, "on", p->on), 0700), 0);
	RUN("mkfs.btrfs", "-q", image);
	RUN("mount", "-o", "loop,noatime", image, p->on);
	(void)scratch_path(&p->dir, "on/data", p->data);
	RUN("btrfs", "subvolume", "create", p->data);
}

static inline void btrfs_place_done(struct btrfs_place *p)
{
	ck_assert_int_eq(umount2(p->on, MNT_DETACH), 0);
	scratch_done(&p->dir);
}

#endif
