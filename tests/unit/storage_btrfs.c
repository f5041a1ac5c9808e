/*
 * Snapshots of subvolumes (storage/sources/btrfs.h).
 */
#include "storage/sources/btrfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/sources/files.h"
#include "tests/support/btrfs_place.h"
#include "tests/support/tree_list.h"

static struct btrfs_place place;
static struct err e;

static const char *in(const char *name)
{
	static char paths[4][2 * SCRATCH_PATH];
	static size_t next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", place.data, name);
	return path;
}

static void write_file(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			    0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static void set_up(void)
{
	btrfs_place_init(&place);
	write_file(in("file"), "before");
	err_clear(&e);
}

static void tear_down(void)
{
	btrfs_place_done(&place);
}

static int try_to_take(const char *path, struct btrfs_snapshot **ret)
{
	if (btrfs_snapshot_new(path, ret, &e) < 0)
		return -1;
	return btrfs_snapshot_take(*ret, "web", &e);
}

static void take(struct btrfs_snapshot **ret)
{
	if (try_to_take(place.data, ret) < 0)
		ck_abort_msg("%s", e.text);
}

static void let_go(struct btrfs_snapshot *s)
{
	if (btrfs_snapshot_remove(s, &e) < 0)
		ck_abort_msg("%s", e.text);
}

/* How many lie in our folder there. */
static size_t count(void)
{
	DIR *d = opendir(in(BTRFS_FOLDER));
	const struct dirent *entry;
	size_t n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return n;
}

static void walk(const struct btrfs_snapshot *s, struct tree_list *t)
{
	const char *const path = place.data;
	const struct files_options o = { .paths = &path,
					 .path_count = 1,
					 .place = btrfs_snapshot_place(s),
					 .report = tree_list_report,
					 .report_arg = t };
	struct source *walked;

	ck_ok(files_open(&o, &walked, &e));
	tree_list_source(t, walked, 1000);
	tree_list_cut(t, place.data);
	source_close(walked);
}

static char *content_of(const char *folder, const char *name)
{
	static char text[100];
	char path[200];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	return text;
}

START_TEST(it_is_of_one_moment_and_goes_away)
{
	struct btrfs_snapshot *s = NULL;
	struct tree_list before = { 0 };
	struct tree_list got = { 0 };
	struct stat was;
	struct stat is;

	take(&s); /* so that the folder is there */
	let_go(s);
	tree_list_naive(&before, place.data);
	ck_assert_int_eq(stat(place.data, &was), 0);
	take(&s);
	write_file(in("file"), "after");
	write_file(in("more"), "x");
	ck_assert_str_eq(content_of(btrfs_snapshot_place(s), "file"), "before");
	walk(s, &got);
	ck_assert_uint_eq(got.error_count, 0);
	tree_list_expect_same(&got, &before);
	ck_assert_uint_eq(count(), 1);
	let_go(s);
	ck_assert_uint_eq(count(), 0);
	ck_assert_int_eq(unlink(in("more")), 0);
	/* It leaves no trace in what is protected. */
	ck_assert_int_eq(stat(place.data, &was), 0);
	take(&s);
	let_go(s);
	ck_assert_int_eq(stat(place.data, &is), 0);
	ck_assert_int_eq(was.st_mtim.tv_sec, is.st_mtim.tv_sec);
	ck_assert_int_eq(was.st_mtim.tv_nsec, is.st_mtim.tv_nsec);
	tree_list_done(&before);
	tree_list_done(&got);
}
END_TEST

/* In another process, that is killed before it can remove it. */
static void leave_one_behind(void)
{
	const pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct btrfs_snapshot *s;

		_exit(try_to_take(place.data, &s) < 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(what_a_killed_one_left_is_removed_and_nothing_else)
{
	struct btrfs_snapshot *held = NULL;
	struct btrfs_snapshot *s = NULL;

	leave_one_behind();
	ck_assert_uint_eq(count(), 1);
	take(&held); /* which removes the other */
	ck_assert_uint_eq(count(), 1);
	leave_one_behind();
	ck_assert_uint_eq(count(), 2);
	/* The administrator's: another name, not read-only, of another. */
	RUN("btrfs", "subvolume", "snapshot", "-r", place.data,
	    in(BTRFS_FOLDER "/mine"));
	RUN("btrfs", "subvolume", "snapshot", place.data,
	    in(BTRFS_FOLDER "/web-0123456789abcdef"));
	RUN("btrfs", "subvolume", "snapshot", "-r", place.on,
	    in(BTRFS_FOLDER "/web-0123456789abcdee"));
	ck_assert_int_eq(mkdir(in(BTRFS_FOLDER "/web-0123456789abcded"), 0700),
			 0);
	ck_assert_uint_eq(count(), 6);
	take(&s);
	ck_assert_uint_eq(count(), 6); /* one less, one more */
	let_go(s);
	ck_assert_uint_eq(count(), 5);
	ck_assert_str_eq(content_of(btrfs_snapshot_place(held), "file"),
			 "before");
	let_go(held);
	ck_assert_uint_eq(count(), 4);
}
END_TEST

static void refused(const char *path, int code, const char *said)
{
	struct btrfs_snapshot *s = NULL;

	err_clear(&e);
	ck_assert_int_eq(try_to_take(path, &s), -1);
	ck_assert_msg((int)e.code == code, "%d: %s", (int)e.code, e.text);
	ck_assert_msg(strstr(e.text, said) != NULL, "%s", e.text);
}

START_TEST(what_is_none_is_told)
{
	ck_assert_int_eq(mkdir(in("sub"), 0700), 0);
	refused(in("sub"), ERR_USAGE, "a folder in one");
	ck_assert_ptr_nonnull(strstr(e.hint, place.data));
	refused(place.dir.path, ERR_USAGE, "is no btrfs");
	refused(in("file"), ERR_USAGE, "");
	refused(in("missing"), ERR_USAGE, "");
}
END_TEST

/* Whoever owns the subvolume's root may have put it there. */
START_TEST(a_folder_of_somebody_elses_is_not_used)
{
	char other[SCRATCH_PATH];

	ck_assert_int_eq(mkdir(scratch_path(&place.dir, "other", other), 0700),
			 0);
	ck_assert_int_eq(symlink(other, in(BTRFS_FOLDER)), 0);
	refused(place.data, ERR_DENIED, BTRFS_FOLDER);
	ck_assert_int_eq(unlink(in(BTRFS_FOLDER)), 0);
	ck_assert_int_eq(mkdir(in(BTRFS_FOLDER), 0700), 0);
	ck_assert_int_eq(chown(in(BTRFS_FOLDER), 65534, 65534), 0);
	refused(place.data, ERR_DENIED, "is not ours");
	ck_assert_int_eq(chown(in(BTRFS_FOLDER), 0, 0), 0);
	ck_assert_int_eq(chmod(in(BTRFS_FOLDER), 0777), 0);
	refused(place.data, ERR_DENIED, "is not ours");
}
END_TEST

START_TEST(subvolumes_within_are_told)
{
	struct btrfs_snapshot *s = NULL;
	const char *const *list;
	size_t n = 0;
	size_t total = 0;

	ck_assert_int_eq(mkdir(in("sub"), 0700), 0);
	RUN("btrfs", "subvolume", "create", in("sub/a"));
	RUN("btrfs", "subvolume", "create", in("b"));
	RUN("btrfs", "subvolume", "create", in("b/deeper"));
	take(&s);
	list = btrfs_snapshot_nested(s, &n, &total);
	/* Those within these are within these. */
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(total, 2);
	ck_assert_int_eq(strcmp(list[0], "sub/a") == 0 ||
				 strcmp(list[1], "sub/a") == 0,
			 1);
	ck_assert_int_eq(strcmp(list[0], "b") == 0 || strcmp(list[1], "b") == 0,
			 1);
	let_go(s);
}
END_TEST

START_TEST(one_that_is_read_only_is_read_as_it_is)
{
	struct btrfs_snapshot *s = NULL;
	struct stat st;

	RUN("btrfs", "property", "set", place.data, "ro", "true");
	take(&s);
	ck_assert_str_eq(content_of(btrfs_snapshot_place(s), "file"), "before");
	ck_assert_int_eq(stat(in(BTRFS_FOLDER), &st), -1);
	let_go(s);
	ck_assert_int_eq(stat(place.data, &st), 0);
}
END_TEST

/* By an administrator's script, say.  What is left is not the whole of it. */
START_TEST(one_that_is_removed_while_it_is_read_is_told)
{
	struct btrfs_snapshot *s = NULL;
	const char *const path = place.data;
	struct tree_list got = { 0 };
	struct files_options o = { .paths = &path,
				   .path_count = 1,
				   .holds_still = true,
				   .report = tree_list_report,
				   .report_arg = &got };
	struct source *walked;

	take(&s);
	ck_ok(btrfs_snapshot_check(s, &e));
	o.place = btrfs_snapshot_place(s);
	ck_ok(files_open(&o, &walked, &e));
	RUN("bash", "-c", "btrfs subvolume delete \"$0\"/*", in(BTRFS_FOLDER));
	tree_list_source(&got, walked, 1000);
	ck_assert_uint_gt(got.error_count, 0);
	source_close(walked);
	ck_assert_int_eq(btrfs_snapshot_check(s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "was removed while"));
	let_go(s);
	tree_list_done(&got);
}
END_TEST

/* It stays until another one can be removed; but not too many of them. */
START_TEST(one_that_cannot_be_removed_is_told)
{
	struct btrfs_snapshot *s = NULL;
	struct btrfs_snapshot *next = NULL;

	take(&s);
	RUN("chattr", "+i", in(BTRFS_FOLDER));
	ck_assert_int_eq(btrfs_snapshot_remove(s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "stays for the next"));
	RUN("chattr", "-i", in(BTRFS_FOLDER));
	leave_one_behind(); /* which removes the first one */
	ck_assert_uint_eq(count(), 1);
	for (int i = 1; i < BTRFS_LEFT_MAX; i++) {
		char name[100];

		(void)snprintf(name, sizeof(name),
			       BTRFS_FOLDER "/web-0123456789abcd0%d", i);
		RUN("btrfs", "subvolume", "snapshot", "-r", place.data,
		    in(name));
	}
	RUN("chattr", "+i", in(BTRFS_FOLDER));
	refused(place.data, ERR_DENIED, "so none is taken");
	RUN("chattr", "-i", in(BTRFS_FOLDER));
	ck_assert_uint_eq(count(), BTRFS_LEFT_MAX);
	take(&next);
	let_go(next);
	ck_assert_uint_eq(count(), 0);
}
END_TEST

static void cases(TCase *tc)
{
	btrfs_place_begin();
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_is_of_one_moment_and_goes_away);
	tcase_add_test(tc, what_a_killed_one_left_is_removed_and_nothing_else);
	tcase_add_test(tc, what_is_none_is_told);
	tcase_add_test(tc, a_folder_of_somebody_elses_is_not_used);
	tcase_add_test(tc, subvolumes_within_are_told);
	tcase_add_test(tc, one_that_is_read_only_is_read_as_it_is);
	tcase_add_test(tc, one_that_is_removed_while_it_is_read_is_told);
	tcase_add_test(tc, one_that_cannot_be_removed_is_told);
}
CHECK_MAIN("storage/sources/btrfs", cases)
