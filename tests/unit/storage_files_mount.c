/*
 * Mount points: their folder is an entry, what is mounted there is not, unless
 * told.  Needs root and a mount namespace of its own; exits 77 without.
 */
#include "storage/sources/files.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_list.h"

static void walk_all(struct tree_list *t, const char *const *paths, size_t n,
		     bool cross)
{
	CLEANUP(source_close) struct source *s = NULL;
	const struct files_options o = {
		.paths = paths,
		.path_count = n,
		.cross_file_systems = cross,
		.report = tree_list_report,
		.report_arg = t,
	};
	struct err e = { 0 };

	ck_ok(files_open(&o, &s, &e));
	tree_list_source(t, s, 1000);
	tree_list_cut(t, paths[0]);
	ck_assert_uint_eq(t->error_count, 0);
}

static void walk(struct tree_list *t, const char *root, bool cross)
{
	walk_all(t, &root, 1, cross);
}

static void make_file(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}

/* The names below the first path, with spaces between, as they come. */
static void expect_names(const struct tree_list *t, const char *root,
			 const char *want)
{
	char got[1000] = "";
	size_t n = 0;

	for (size_t i = 1; i < t->count; i++)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s",
				      n ? " " : "",
				      t->lines[i].path + strlen(root) + 1);
	ck_assert_str_eq(got, want);
}

START_TEST(mount_points_end_the_walk_unless_told)
{
	CLEANUP(scratch_done) struct scratch dir;
	struct tree_list t = { 0 };
	char on[SCRATCH_PATH];
	char file[SCRATCH_PATH];

	scratch_init(&dir);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "on", on), 0700), 0);
	ck_assert_int_eq(mount("none", on, "tmpfs", 0, "mode=711"), 0);
	make_file(scratch_path(&dir, "on/file", file));
	ck_assert_int_eq(link(file, scratch_path(&dir, "on/link", on)), 0);

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

/* `snapshot create / /home`, where /home is another file system. */
START_TEST(a_path_beyond_a_mount_point_is_taken_wholly)
{
	CLEANUP(scratch_done) struct scratch dir;
	struct tree_list t = { 0 };
	char on[SCRATCH_PATH];
	char path[SCRATCH_PATH];
	const char *paths[3];

	scratch_init(&dir);
	paths[0] = dir.path;
	make_file(scratch_path(&dir, "before", path));
	make_file(scratch_path(&dir, "on.after", path));
	ck_assert_int_eq(mkdir(scratch_path(&dir, "on", on), 0700), 0);
	ck_assert_int_eq(mount("none", on, "tmpfs", 0, "mode=711"), 0);
	make_file(scratch_path(&dir, "on/file", path));
	ck_assert_int_eq(mkdir(scratch_path(&dir, "on/in", path), 0700), 0);
	make_file(scratch_path(&dir, "on/in/x", path));
	ck_assert_int_eq(mkdir(scratch_path(&dir, "on/not", path), 0700), 0);
	ck_assert_int_eq(mount("none", path, "tmpfs", 0, NULL), 0);
	make_file(scratch_path(&dir, "on/not/y", path));

	/* Its own file system is the one that it is taken from. */
	paths[1] = on;
	walk_all(&t, paths, 2, false);
	expect_names(&t, dir.path,
		     "before on on/file on/in on/in/x on/not on.after");
	tree_list_done(&t);

	/* Only what is named: the mount point is a folder above it. */
	paths[1] = scratch_path(&dir, "on/in", path);
	walk_all(&t, paths, 2, false);
	expect_names(&t, dir.path, "before on on/in on/in/x on.after");
	tree_list_done(&t);

	paths[2] = on;
	walk_all(&t, paths, 3, false);
	expect_names(&t, dir.path,
		     "before on on/file on/in on/in/x on/not on.after");
	tree_list_done(&t);

	walk_all(&t, paths, 2, true);
	expect_names(&t, dir.path,
		     "before on on/file on/in on/in/x on/not on/not/y "
		     "on.after");
	tree_list_done(&t);
	ck_assert_int_eq(
		umount2(scratch_path(&dir, "on/not", path), MNT_DETACH), 0);
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
	tcase_add_test(tc, a_path_beyond_a_mount_point_is_taken_wholly);
}
CHECK_MAIN("storage/sources/files and mount points", cases)
