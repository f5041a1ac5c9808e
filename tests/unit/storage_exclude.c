/* The rules of gitignore(5), one after the other, and what we refuse. */
#include <stdio.h>
#include <string.h>

#include "storage/sources/exclude.h"
#include "tests/support/check_main.h"

static struct err e;

/* Patterns separated by newlines. */
static struct exclude *set_of(const char *lines)
{
	struct exclude *set = NULL;

	err_clear(&e);
	ck_ok(exclude_new(&set, &e));
	while (*lines) {
		const size_t n = strcspn(lines, "\n");
		char line[300];

		(void)snprintf(line, sizeof(line), "%.*s", (int)n, lines);
		ck_ok(exclude_add(set, line, &e));
		lines += n + (lines[n] == '\n');
	}
	return set;
}

/* Whether path is excluded; a "/" at its end makes it a folder. */
static bool excludes(const char *lines, const char *path)
{
	CLEANUP(exclude_free) struct exclude *set = set_of(lines);
	const size_t n = strlen(path);
	const bool is_folder = n > 0 && path[n - 1] == '/';

	return exclude_match(set, path, n - is_folder, is_folder);
}

#define yes(lines, path) ck_assert_msg(excludes(lines, path), path)
#define no(lines, path)	 ck_assert_msg(!excludes(lines, path), path)

START_TEST(a_name_matches_at_any_depth)
{
	yes("foo", "foo");
	yes("foo", "a/b/foo");
	yes("foo", "foo/");
	yes("foo", "foo/below/it");
	no("foo", "foobar");
	no("foo", "a/foobar/x");
	no("foo", "Foo");
	no("", "foo");
}
END_TEST

START_TEST(a_slash_anchors)
{
	yes("/foo", "foo");
	no("/foo", "a/foo");
	yes("a/foo", "a/foo");
	yes("/a/foo", "a/foo/x");
	no("a/foo", "b/a/foo");
	yes("doc/frotz/", "doc/frotz/");
	no("doc/frotz/", "a/doc/frotz/");
	yes("frotz/", "a/frotz/");
	no("a//foo", "a/foo");
	no("//foo", "foo");
}
END_TEST

START_TEST(a_slash_at_the_end_means_folders)
{
	no("foo/", "foo");
	yes("foo/", "foo/");
	yes("foo/", "foo/x");
	yes("foo/", "a/foo/x");
	no("**/", "x");
	yes("**/", "x/");
	no("/", "x/");
}
END_TEST

START_TEST(wildcards_match_no_slash)
{
	yes("*.o", "a/x.o");
	yes("*.o", ".o");
	no("*.o", "x.oo");
	yes("a/*", "a/b/");
	yes("a/*", "a/b/c"); /* for a/b is excluded */
	no("a/*/c", "a/c");
	no("a/*/c", "a/b/b/c");
	no("a*c", "a/c");
	yes("a?c", "abc");
	no("/a?c", "a/c");
	no("a?c", "ac");
	yes("*", ".hidden");
	yes("*a*b*c*", "xxaxxbxxbxxcxx");
	no("*a*b*c*", "xxaxxcxxbxx");
}
END_TEST

START_TEST(two_asterisks)
{
	yes("**/foo", "foo");
	yes("**/foo", "a/b/foo");
	yes("**/foo/bar", "a/foo/bar");
	no("**/foo/bar", "a/foo/x/bar");
	yes("abc/**", "abc/x");
	yes("abc/**", "abc/x/y");
	no("abc/**", "abc/");
	no("abc/**", "x/abc/y");
	yes("a/**/b", "a/b");
	yes("a/**/b", "a/x/y/b");
	no("a/**/b", "a/x/yb");
	no("a/**/b", "x/a/b");
	yes("a/**/b/**/c", "a/b/b/x/c");
	yes("a/**/b/*/c", "a/b/b/x/c");
	no("a/**/b/*/d", "a/b/b/x/c");
	yes("/**", "x");
	yes("a**c", "abbc"); /* elsewhere as one */
	no("/a**c", "a/c");
	yes("**/**/x", "x");
}
END_TEST

START_TEST(sets_of_bytes)
{
	yes("[abc]", "b");
	no("[abc]", "d");
	yes("[a-c]x", "bx");
	no("[!a-c]", "b");
	yes("[!a-c]", "d");
	yes("[^a-c]", "d");
	yes("[]]", "]");
	yes("[]-]", "-");
	yes("[a-]", "-");
	yes("[-a]", "-");
	no("[c-a]", "b");
	yes("[\\]]", "]");
	yes("[a\\-c]", "-");
	no("[a\\-c]", "b");
	yes("[[:digit:][:upper:]]", "X");
	no("[[:digit:][:upper:]]", "x");
	yes("[[:space:]]a", " a");
	yes("[![:alnum:]]", "_");
	yes("[[:xdigit:]]", "F");
	no("[[:xdigit:]]", "G");
	yes("[[:punct:]]", "~");
	yes("[[:]", ":");
	no("a[/]b", "a/b");
	no("a[!x]b", "a/b");
	yes("[\x80-\xff]", "\xe9");
	no("[[:alpha:]]", "\xe9");
}
END_TEST

START_TEST(escapes_comments_and_spaces)
{
	no("# foo", "# foo");
	yes("\\#foo", "#foo");
	yes("\\!foo", "!foo");
	yes("f\\oo", "foo");
	yes("\\*", "*");
	no("\\*", "x");
	yes("foo   ", "foo");
	yes("foo\\ ", "foo ");
	yes("foo\\   ", "foo ");
	no("foo\\ ", "foo");
	yes("a b", "a b");
	yes("\xff\xfe", "x/\xff\xfe");
	no("   ", "   ");
	no("!", "!");
}
END_TEST

START_TEST(the_last_match_decides)
{
	no("*.o\n!keep.o", "keep.o");
	yes("*.o\n!keep.o", "x.o");
	yes("!keep.o\n*.o", "keep.o");
	yes("*.o\n!keep.o\nkeep.o", "keep.o");
	/* In an excluded folder nothing is taken back. */
	yes("foo/\n!foo/keep", "foo/keep");
	no("foo/*\n!foo/keep", "foo/keep");
	/* The manual's example: everything but foo/bar. */
	no("/*\n!/foo\n/foo/*\n!/foo/bar", "foo/bar/x");
	yes("/*\n!/foo\n/foo/*\n!/foo/bar", "foo/baz");
	yes("/*\n!/foo\n/foo/*\n!/foo/bar", "x");
}
END_TEST

START_TEST(what_is_refused)
{
	static const char *const bad[] = { "[a",  "a[",	       "[]",  "[a\\",
					   "x\\", "[[:foo:]]", "[a-", "![" };
	CLEANUP(exclude_free) struct exclude *set = set_of("");
	char longest[EXCLUDE_PATTERN_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(exclude_add(set, bad[i], &e), -1);
		ck_assert_msg(e.code == ERR_USAGE, "%s", bad[i]);
	}
	memset(longest, 'a', sizeof(longest));
	longest[EXCLUDE_PATTERN_MAX + 1] = '\0';
	ck_assert_int_eq(exclude_add(set, longest, &e), -1);
	ck_assert(exclude_empty(set));
	longest[EXCLUDE_PATTERN_MAX] = '\0';
	ck_ok(exclude_add(set, longest, &e));
	for (int i = 1; i < EXCLUDE_COUNT_MAX; i++)
		ck_ok(exclude_add(set, "x", &e));
	ck_assert_int_eq(exclude_add(set, "y", &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert(!exclude_empty(set));
}
END_TEST

/* A matcher that tries every way would not end in this universe. */
START_TEST(hostile_patterns_take_no_time)
{
	char pattern[2000] = "";
	char path[4000];

	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 3);
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	path[sizeof(path) - 2] = 'b';
	{
		CLEANUP(exclude_free) struct exclude *set = set_of("");

		ck_ok(exclude_add(set, pattern, &e));
		ck_assert(!exclude_match(set, path, strlen(path), false));
	}
	for (size_t i = 0; i + 5 < sizeof(pattern); i += 5)
		memcpy(pattern + i, "**/a/", 6);
	for (size_t i = 1; i < sizeof(path) - 3; i += 2)
		path[i] = '/';
	{
		CLEANUP(exclude_free) struct exclude *set = set_of("");

		ck_ok(exclude_add(set, pattern, &e));
		ck_assert_int_eq(
			exclude_verdict(set, path, strlen(path), false),
			EXCLUDE_NONE);
	}
}
END_TEST

static bool picks(const char *lines, const char *path)
{
	CLEANUP(exclude_free) struct exclude *set = set_of(lines);

	return exclude_picks(set, path, strlen(path), false);
}

START_TEST(the_same_patterns_pick)
{
	ck_assert(picks("/etc", "etc/nginx/nginx.conf"));
	ck_assert(picks("*.conf", "etc/nginx/nginx.conf"));
	ck_assert(!picks("*.conf", "etc/nginx/mime.types"));
	ck_assert(!picks("/etc\n!*.bak", "etc/x.bak"));
	ck_assert(picks("/etc\n!cache/\n/etc/cache/keep", "etc/cache/keep/x"));
	ck_assert(!picks("/etc\n!cache/", "etc/cache/x"));
	ck_assert(!picks("", "x"));
	ck_assert(!picks("*", ""));
}
END_TEST

START_TEST(patterns_are_relative_to_each_root)
{
	static const char *const roots[] = { "/srv/a", "/srv/a/b/", "/home" };
	static const char *const top[] = { "/" };
	CLEANUP(exclude_free)
	struct exclude *set = set_of("/x\n*.o\n/b/z\n!/keep.o");
	const struct exclude_scope scope = { set, roots, 3 };
	const struct exclude_scope all = { set, top, 1 };

#define below(s, path) exclude_below(&(s), path, strlen(path), false)
	ck_assert(below(scope, "/srv/a/x"));
	ck_assert(below(scope, "srv/a/x"));
	ck_assert(!below(scope, "/srv/a/c/x"));
	ck_assert(below(scope, "/srv/a/b/x")); /* the longest root */
	/* A root within another does not free what lies in both. */
	ck_assert(below(scope, "/srv/a/b/z"));
	ck_assert(!below(scope, "/srv/a/b/keep.o"));
	ck_assert(below(scope, "/home/you/y.o"));
	ck_assert(!below(scope, "/homes/y.o"));
	ck_assert(!below(scope, "/home"));
	ck_assert(!below(scope, "/srv/y.o"));
	ck_assert(below(all, "/x"));
	ck_assert(below(all, "/y/z.o"));
	ck_assert(!below(all, "/y/x"));
	ck_assert(!below(all, "/"));
#undef below
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_name_matches_at_any_depth);
	tcase_add_test(tc, a_slash_anchors);
	tcase_add_test(tc, a_slash_at_the_end_means_folders);
	tcase_add_test(tc, wildcards_match_no_slash);
	tcase_add_test(tc, two_asterisks);
	tcase_add_test(tc, sets_of_bytes);
	tcase_add_test(tc, escapes_comments_and_spaces);
	tcase_add_test(tc, the_last_match_decides);
	tcase_add_test(tc, what_is_refused);
	tcase_add_test(tc, hostile_patterns_take_no_time);
	tcase_add_test(tc, the_same_patterns_pick);
	tcase_add_test(tc, patterns_are_relative_to_each_root);
}

CHECK_MAIN("storage/exclude", cases)
