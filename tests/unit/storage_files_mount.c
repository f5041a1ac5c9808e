/*
 * Mount points: their folder is an entry, what is mounted there is not, unless
 * told.  Needs root and a mount namespace of its own; exits 77 without.
 */
#include "storage/sources/files.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_list.h"

static void walk(struct tree_list *t, const char *root, bool cross)
{
	CLEANUP(source_close) struct source *s = NULL;
	const struct files_options o = {
		.paths = &root,
		.path_count = 1,
		.cross_file_systems = cross,
		.report = tree_list_report,
		.report_arg = t,
	};
	struct err e = { 0 };

	ck_ok(files_open(&o, &s, &e));
	tree_list_source(t, s, 1000);
	tree_list_cut(t, root);
	ck_assert_uint_eq(t->error_count, 0);
}

START_TEST(mount_points_end_the_walk_unless_told)
{
	CLEANUP(scratch_done) struct scratch dir;
	struct tree_list t = { 0 };
	char on[SCRATCH_PATH];
	char file[SCRATCH_PATH];
	int fd;

	scratch_init(&dir);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "on", on), 0700), 0);
	ck_assert_int_eq(mount("none", on, "tmpfs", 0, "mode=711"), 0);
	fd = open(scratch_path(&dir, "on/file", file),
		  O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(link(file, scratch_path(&dir, "on/link", on)), 0);
	(void)close(fd);

	walk(&t, dir.path, false);
	ck_assert_uint_eq(t.count, 2);
	/* What the folder is while something is mounted there. */
	ck_assert_int_eq(
		strncmp(tree_list_find(&t, scratch_path(&dir, "on", on))->text,
			"folder 711 ", 11),
		0);
	tree_list_done(&t);

	walk(&t, dir.path, true);
	ck_assert_uint_eq(t.count, 4);
	ck_assert_ptr_nonnull(tree_list_find(&t, file));
	ck_assert_uint_ne(tree_list_find(&t, file)->group[0], 0);
	tree_list_done(&t);

	/* A path that is a mount point is meant. */
	walk(&t, scratch_path(&dir, "on", on), false);
	ck_assert_uint_eq(t.count, 3);
	tree_list_done(&t);
	ck_assert_int_eq(umount2(on, MNT_DETACH), 0);
}
END_TEST

static void cases(TCase *tc)
{
	/* In the child that Check makes for the test, or in this process. */
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		exit(77);
	tcase_add_test(tc, mount_points_end_the_walk_unless_told);
}
CHECK_MAIN("storage/sources/files and mount points", cases)
