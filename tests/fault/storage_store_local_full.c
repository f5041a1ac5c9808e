/*
 * The store in a folder on a file system that is full, and on one that is
 * mounted read-only.  Needs to mount a tmpfs, so root; exits 77 without.
 *
 * A namespace of its own keeps the mounts from everybody else.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

#define SKIPPED 77

static struct scratch dir;
static struct err e;

static uint64_t free_bytes(void)
{
	struct statvfs vfs;

	ck_assert_int_eq(statvfs(dir.path, &vfs), 0);
	return (uint64_t)vfs.f_bfree * vfs.f_bsize;
}

static int sum(void *arg, const struct store_entry *entry, struct err *err)
{
	(void)err;
	*(uint64_t *)arg += entry->size;
	return 0;
}

START_TEST(a_full_disk)
{
	static char bytes[300000];
	struct store *s = NULL;
	uint64_t total = 0;
	uint64_t before;
	char name[32];
	int n = 0;

	scratch_init(&dir);
	ck_assert_int_eq(mount("none", dir.path, "tmpfs", 0, "size=1m"), 0);
	ck_ok(store_open(dir.path, false, &s, &e));
	for (;; n++) {
		before = free_bytes();
		(void)snprintf(name, sizeof(name), "data/%d", n);
		if (store_put(s, name, bytes, sizeof(bytes), 0, &e) < 0)
			break;
	}
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(e.code, ERR_FULL);
	ck_assert_ptr_nonnull(strstr(e.text, "no space left on device"));
	ck_assert_ptr_nonnull(strstr(e.text, "\"data/3\""));
	/* What was begun has gone, what was there stays. */
	ck_assert_uint_eq(free_bytes(), before);
	ck_ok(store_list(s, "", sum, &total, &e));
	ck_assert_uint_eq(total, 3 * sizeof(bytes));
	/* Room can be made, and used. */
	ck_ok(store_remove(s, "data/0", &e));
	ck_ok(store_put(s, "data/3", bytes, sizeof(bytes), 0, &e));
	store_close(s);
	ck_assert_int_eq(umount(dir.path), 0);
	scratch_done(&dir);
}
END_TEST

START_TEST(a_read_only_mount)
{
	struct store *s = NULL;
	uint64_t size = 0;

	scratch_init(&dir);
	ck_assert_int_eq(mount("none", dir.path, "tmpfs", 0, "size=1m"), 0);
	ck_ok(store_open(dir.path, false, &s, &e));
	ck_assert_uint_eq(store_features(s) & STORE_READ_ONLY, 0);
	ck_ok(store_put(s, "a/1", "x", 1, 0, &e));
	ck_assert_int_eq(
		mount(NULL, dir.path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	/* It has become so under an open store. */
	ck_assert_int_eq(store_put(s, "a/2", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_int_eq(store_remove(s, "a/1", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	store_close(s);
	/* It is so from the start. */
	ck_ok(store_open(dir.path, false, &s, &e));
	ck_assert_uint_ne(store_features(s) & STORE_READ_ONLY, 0);
	ck_assert_int_eq(store_put(s, "a/2", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_int_eq(store_remove(s, "a/1", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_int_eq(store_size(s, "a/1", &size, &e), 1);
	store_close(s);
	ck_assert_int_eq(umount(dir.path), 0);
	scratch_done(&dir);
}
END_TEST

/* An unmount while the store is in use; another folder shows below. */
START_TEST(an_unmount_under_an_open_store)
{
	struct store *s = NULL;
	uint64_t total = 0;

	scratch_init(&dir);
	ck_assert_int_eq(mount("none", dir.path, "tmpfs", 0, "size=1m"), 0);
	ck_ok(store_open(dir.path, false, &s, &e));
	ck_ok(store_put(s, "a/1", "123", 3, 0, &e));
	ck_assert_int_eq(umount2(dir.path, MNT_DETACH), 0);
	ck_ok(store_list(s, "", sum, &total, &e));
	ck_assert_uint_eq(total, 3);
	store_close(s);
	scratch_done(&dir);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_full_disk);
	tcase_add_test(tc, a_read_only_mount);
	tcase_add_test(tc, an_unmount_under_an_open_store);
}

static int run(void)
{
	SRunner *r;
	Suite *suite = suite_create("storage/store_local_full");
	TCase *tc = tcase_create("mounts");
	int failed;

	cases(tc);
	suite_add_tcase(suite, tc);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		(void)fputs("needs root, to mount a tmpfs\n", stderr);
		return SKIPPED;
	}
	return run();
}
