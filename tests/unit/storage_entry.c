#include "storage/repository/entry.h"

#include <string.h>
#include <sys/stat.h>

#include "tests/support/check_main.h"

static int order(const char *a, const char *b)
{
	const int r = entry_path_compare(a, strlen(a), b, strlen(b));

	return (r > 0) - (r < 0);
}

START_TEST(slash_is_the_lowest_byte)
{
	static const char *const sorted[] = { "/",	"/a",	     "/a/b",
					      "/a/b/c", "/a/c",	     "/a\x01",
					      "/a!",	"/a.b",	     "/aa",
					      "/b",	"/\xc3\xa9", "/\xff" };
	const size_t n = sizeof(sorted) / sizeof(sorted[0]);
	size_t i;
	size_t j;

	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++)
			ck_assert_int_eq(order(sorted[i], sorted[j]),
					 (i > j) - (i < j));
	ck_assert_int_eq(order("", "/"), -1);
	ck_assert_int_eq(entry_path_compare(NULL, 0, NULL, 0), 0);
}
END_TEST

static bool valid(const char *s)
{
	return entry_path_valid(s, strlen(s));
}

START_TEST(paths_are_absolute_and_plain)
{
	char longest[ENTRY_PATH_MAX + 1];

	ck_assert(valid("/"));
	ck_assert(valid("/a"));
	ck_assert(valid("/a/b\nc/\xff/..."));
	ck_assert(valid("/.a/..b"));
	ck_assert(!valid(""));
	ck_assert(!valid("a"));
	ck_assert(!valid("a/b"));
	ck_assert(!valid("//"));
	ck_assert(!valid("/a/"));
	ck_assert(!valid("/a//b"));
	ck_assert(!valid("/."));
	ck_assert(!valid("/.."));
	ck_assert(!valid("/a/../b"));
	ck_assert(!valid("/a/./b"));
	ck_assert(!valid("/a/.."));
	ck_assert(!entry_path_valid("/a\0b", 4));
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	ck_assert(entry_path_valid(longest, ENTRY_PATH_MAX));
	ck_assert(!entry_path_valid(longest, ENTRY_PATH_MAX + 1));
}
END_TEST

static bool within(const char *a, const char *b)
{
	return entry_path_within(a, strlen(a), b, strlen(b));
}

START_TEST(within_counts_components)
{
	ck_assert(within("/a", "/a"));
	ck_assert(within("/a/b", "/a"));
	ck_assert(!within("/ab", "/a"));
	ck_assert(!within("/a", "/a/b"));
	ck_assert(!within("/b", "/a"));
	ck_assert(within("/", "/"));
	ck_assert(within("/a/b", "/"));
	ck_assert(!within("/", "/a"));
}
END_TEST

START_TEST(types_map_to_the_system_and_back)
{
	unsigned int t;

	for (t = ENTRY_FOLDER; t < ENTRY_TYPE_END; t++) {
		const enum entry_type type = (enum entry_type)t;
		const uint32_t format = entry_type_to_format(type);

		ck_assert_ptr_nonnull(entry_type_name(type));
		ck_assert_uint_eq(entry_type_from_format(format | 0644U), t);
	}
	ck_assert_uint_eq(entry_type_to_format(ENTRY_FOLDER), S_IFDIR);
	ck_assert_uint_eq(entry_type_to_format(ENTRY_FILE), S_IFREG);
	ck_assert_uint_eq(entry_type_from_format(0), 0);
	ck_assert_ptr_null(entry_type_name((enum entry_type)0));
	ck_assert_ptr_null(entry_type_name(ENTRY_TYPE_END));
	ck_assert_uint_eq(entry_type_to_format(ENTRY_TYPE_END), 0);
}
END_TEST

START_TEST(a_copy_stands_alone)
{
	struct err e = { 0 };
	char path[] = "/a/b";
	char target[] = "to";
	char name[] = "user.x";
	uint8_t value[] = { 1, 0, 2 };
	const struct entry_xattr xattrs[] = { { name, value, sizeof(value) },
					      { "user.y", NULL, 0 } };
	const struct entry src = {
		.path = path,
		.path_len = 4,
		.type = ENTRY_SYMLINK,
		.uid = UINT32_MAX - 1,
		.mtime = { INT64_MIN, 999999999 },
		.target = target,
		.target_len = 2,
		.xattrs = xattrs,
		.xattr_count = 2,
	};
	struct entry copy;

	ck_ok(entry_copy(&copy, &src, &e));
	memset(path, '?', 4);
	memset(target, '?', 2);
	memset(name, '?', 6);
	memset(value, 9, sizeof(value));
	ck_assert_str_eq(copy.path, "/a/b");
	ck_assert_uint_eq(copy.path_len, 4);
	ck_assert_str_eq(copy.target, "to");
	ck_assert_uint_eq(copy.uid, UINT32_MAX - 1);
	ck_assert_int_eq(copy.mtime.sec, INT64_MIN);
	ck_assert_uint_eq(copy.xattr_count, 2);
	ck_assert_str_eq(copy.xattrs[0].name, "user.x");
	ck_assert_uint_eq(copy.xattrs[0].value_len, 3);
	ck_assert_mem_eq(copy.xattrs[0].value, "\1\0\2", 3);
	ck_assert_str_eq(copy.xattrs[1].name, "user.y");
	ck_assert_uint_eq(copy.xattrs[1].value_len, 0);
	entry_done(&copy);
	ck_assert_ptr_null(copy.path);
	entry_done(&copy);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, slash_is_the_lowest_byte);
	tcase_add_test(tc, paths_are_absolute_and_plain);
	tcase_add_test(tc, within_counts_components);
	tcase_add_test(tc, types_map_to_the_system_and_back);
	tcase_add_test(tc, a_copy_stands_alone);
}
CHECK_MAIN("storage/repository/entry", cases)
