/* Texts line by line: the hunks that diff -u writes, and the bounds. */
#include "storage/lines.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

/* The hunks, for as long as the next call. */
static const char *unified(const char *before, const char *after)
{
	static struct buf out;
	CLEANUP(lines_done) struct lines a = { .at = NULL };
	CLEANUP(lines_done) struct lines b = { .at = NULL };
	CLEANUP(lines_changes_done) struct lines_changes x = { .v = NULL };
	struct err e = { 0 };

	buf_done(&out);
	buf_init(&out, 1 << 20);
	ck_ok(lines_split(before, strlen(before), &a, &e));
	ck_ok(lines_split(after, strlen(after), &b, &e));
	ck_ok(lines_compare(&a, &b, &x, &e));
	ck_ok(lines_unified(&x, &a, &b, &out, &e));
	return buf_str(&out);
}

START_TEST(writes_hunks)
{
	ck_assert_str_eq(unified("", ""), "");
	ck_assert_str_eq(unified("a\nb\n", "a\nb\n"), "");
	ck_assert_str_eq(unified("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
	ck_assert_str_eq(unified("a\nb\n", ""), "@@ -1,2 +0,0 @@\n-a\n-b\n");
	ck_assert_str_eq(unified("1\n2\n3\n4\n5\n6\n7\n8\n9\n",
				 "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
			 "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n "
			 "8\n");
}
END_TEST

START_TEST(tells_the_newline_that_is_not_there)
{
	ck_assert_str_eq(unified("a\nb", "a\nb\n"),
			 "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of "
			 "file\n+b\n");
	ck_assert_str_eq(unified("x\na", "y\na"),
			 "@@ -1,2 +1,2 @@\n-x\n+y\n a\n\\ No newline at end of "
			 "file\n");
}
END_TEST

START_TEST(leaves_what_ends_a_block_with_its_block)
{
	ck_assert_str_eq(
		unified("a {\n}\n\nc {\n}\n", "a {\n}\n\nb {\n}\n\nc {\n}\n"),
		"@@ -1,5 +1,8 @@\n a {\n }\n \n+b {\n+}\n+\n c {\n "
		"}\n");
}
END_TEST

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* diff -u's hunks of the two, without the two lines that name the files. */
static void by_diff(struct scratch *dir, const char *before, const char *after,
		    char *out, size_t room)
{
	char a[SCRATCH_PATH];
	char b[SCRATCH_PATH];
	char to[SCRATCH_PATH];
	const char *at;
	pid_t pid;
	FILE *f;
	int status;
	size_t n;

	put(scratch_path(dir, "a", a), before);
	put(scratch_path(dir, "b", b), after);
	(void)scratch_path(dir, "to", to);
	pid = check_fork_child();
	if (pid == 0) {
		if (freopen(to, "w", stdout))
			(void)execlp("diff", "diff", "-u", a, b, NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	f = fopen(to, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(out, 1, room - 1, f);
	out[n] = '\0';
	(void)fclose(f);
	at = strstr(out, "@@ ");
	ck_assert_ptr_nonnull(at);
	memmove(out, at, strlen(at) + 1);
}

START_TEST(writes_what_diff_writes)
{
	static const char *const pairs[][2] = {
		{ "a\nb\nc\n", "a\nc\n" },
		{ "a\nc\n", "a\nb\nc\n" },
		{ "a\nb\nc\n", "a\nB\nc\n" },
		{ "a\nb\nc", "a\nb\nc\n" },
		{ "a\nb\nc\n", "a\nb\nc" },
		{ "a", "b" },
		{ "", "a\nb\n" },
		{ "a\n", "" },
		{ "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n",
		  "0\nx\n2\n3\n4\n5\n6\n7\ny\n9\n" },
		{ "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n",
		  "0\nx\n2\n3\n4\n5\n6\n7\n8\ny\n" },
		{ "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
		  "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n" },
		{ "a {\n}\n\nc {\n}\n", "a {\n}\n\nb {\n}\n\nc {\n}\n" },
		{ "x\nx\nx\n", "x\nx\nx\nx\n" },
	};
	CLEANUP(scratch_done) struct scratch dir;
	char want[4096];

	scratch_init(&dir);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		by_diff(&dir, pairs[i][0], pairs[i][1], want, sizeof(want));
		ck_assert_str_eq(unified(pairs[i][0], pairs[i][1]), want);
	}
}
END_TEST

/* As many lines, shown otherwise. */
START_TEST(says_that_what_changed_is_not_shown)
{
	CLEANUP(lines_done) struct lines a = { .at = NULL };
	CLEANUP(lines_done) struct lines b = { .at = NULL };
	CLEANUP(lines_done) struct lines shown = { .at = NULL };
	CLEANUP(lines_changes_done) struct lines_changes x = { .v = NULL };
	CLEANUP(buf_done) struct buf out;
	struct err e = { 0 };

	buf_init(&out, 4096);
	ck_ok(lines_split("k=1\n", 4, &a, &e));
	ck_ok(lines_split("k=2\n", 4, &b, &e));
	ck_ok(lines_split("k=*\n", 4, &shown, &e));
	ck_ok(lines_compare(&a, &b, &x, &e));
	ck_assert_uint_eq(x.added, 1);
	ck_assert_uint_eq(x.removed, 1);
	ck_ok(lines_unified(&x, &shown, &shown, &out, &e));
	ck_assert_str_eq(buf_str(&out),
			 "@@ -1 +1 @@ what changed is masked\n-k=*\n+k=*\n");
}
END_TEST

/* Nothing in common, in an order that is costly: it ends, and is right. */
START_TEST(has_a_bound)
{
	CLEANUP(lines_done) struct lines a = { .at = NULL };
	CLEANUP(lines_done) struct lines b = { .at = NULL };
	CLEANUP(lines_changes_done) struct lines_changes x = { .v = NULL };
	CLEANUP(buf_done) struct buf one;
	CLEANUP(buf_done) struct buf other;
	struct err e = { 0 };

	buf_init(&one, 1 << 20);
	buf_init(&other, 1 << 20);
	for (int i = 0; i < 40000; i++) {
		ck_ok(buf_addf(&one, &e, "a%d\n%c\n", i, 'a' + i % 7));
		ck_ok(buf_addf(&other, &e, "b%d\n%c\n", i, 'a' + i % 5));
	}
	ck_ok(lines_split(one.data, one.len, &a, &e));
	ck_ok(lines_split(other.data, other.len, &b, &e));
	ck_ok(lines_compare(&a, &b, &x, &e));
	ck_assert(x.rough);
	ck_assert_uint_eq(a.n - x.removed, b.n - x.added);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, writes_hunks);
	tcase_add_test(tc, tells_the_newline_that_is_not_there);
	tcase_add_test(tc, leaves_what_ends_a_block_with_its_block);
	tcase_add_test(tc, writes_what_diff_writes);
	tcase_add_test(tc, says_that_what_changed_is_not_shown);
	tcase_add_test(tc, has_a_bound);
}

CHECK_MAIN("storage/lines", cases)
