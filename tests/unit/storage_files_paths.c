/* The paths that a snapshot of files is given, and what each of them means. */
#include "storage/sources/files.h"

#include <stdlib.h>

#include "tests/support/files_place.h"

START_TEST(folders_above_are_entries)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	struct err e = { 0 };
	struct entry en;

	place_init(&p);
	make_folder("in");
	make_folder("out");
	write_file("in/file", "x");
	write_file("out/file", "x");
	p.paths[0] = "in/file";
	ck_ok(files_open(&p.options, &s, &e));
	ck_assert_int_eq(source_next(s, &en, &e), 1);
	ck_assert_str_eq(en.path, "/");
	ck_assert_int_eq(en.type, ENTRY_FOLDER);
	tree_list_source(&p.list, s, 10);
	tree_list_cut(&p.list, p.dir.path);
	expect_names(&p, "in in/file");
	ck_assert_uint_eq(p.list.error_count, 0);
}
END_TEST

START_TEST(paths_are_resolved_and_merged)
{
	CLEANUP(place_done) struct place p;
	static const char *const given[] = {
		"/usr//lib/./x/", "/usr/lib", "/a", "/a!", "/a/b", "/usr/lib/",
	};
	static const char *const dots[] = { "link/../there", "." };
	struct err e = { 0 };
	char **got;
	size_t n;

	place_init(&p);
	ck_ok(files_resolve(given, 6, &got, &n, &e));
	ck_assert_uint_eq(n, 5);
	ck_assert_str_eq(got[0], "/a");
	ck_assert_str_eq(got[1], "/a/b");
	ck_assert_str_eq(got[2], "/a!");
	ck_assert_str_eq(got[3], "/usr/lib");
	ck_assert_str_eq(got[4], "/usr/lib/x");
	free(got);
	/* ".." is where the link leads, not where it stands. */
	make_folder("real");
	make_folder("real/below");
	ck_assert_int_eq(symlink("real/below", "link"), 0);
	ck_ok(files_resolve(dots, 1, &got, &n, &e));
	ck_assert_str_eq(got[0] + strlen(p.dir.path), "/real/there");
	free(got);
	ck_ok(files_resolve(dots + 1, 1, &got, &n, &e));
	ck_assert_str_eq(got[0], p.dir.path);
	free(got);
	ck_assert_int_eq(files_resolve(dots, 0, &got, &n, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

START_TEST(missing_paths_are_named)
{
	CLEANUP(place_done) struct place p;
	struct source *s;
	struct err e = { 0 };

	place_init(&p);
	p.paths[0] = "no-such";
	ck_assert_int_eq(files_open(&p.options, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "no-such"));
	write_file("there", "");
	p.paths[1] = "there";
	p.options.path_count = 2;
	walk(&p);
	expect_names(&p, "there");
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/no-such: "));
	p.options.path_count = 0;
	ck_assert_int_eq(files_open(&p.options, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	p.options.path_count = 2;
	p.paths[1] = "neither";
	ck_assert_int_eq(files_open(&p.options, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_str_eq(e.text, "none of the 2 paths exists");
}
END_TEST

START_TEST(paths_that_make_no_sense)
{
	CLEANUP(place_done) struct place p;
	char *longest = malloc(ENTRY_PATH_MAX + 2);
	const struct {
		const char *path, *told;
	} wrong[] = {
		{ "", "an empty path names nothing" },
		{ "no-such/../x", "\"no-such/../x\": no such file" },
		{ longest, "is too long" },
	};
	struct err e = { 0 };
	char **got;
	size_t n;

	place_init(&p);
	ck_assert_ptr_nonnull(longest);
	memset(longest, 'x', ENTRY_PATH_MAX + 1);
	longest[0] = '/';
	longest[ENTRY_PATH_MAX + 1] = '\0';
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(files_resolve(&wrong[i].path, 1, &got, &n, &e),
				 -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_msg(strstr(e.text, wrong[i].told), "%s", e.text);
	}
	free(longest);
}
END_TEST

START_TEST(a_link_is_followed_only_with_a_slash)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("real");
	write_file("real/file", "x");
	ck_assert_int_eq(symlink("real", "link"), 0);
	p.paths[0] = "link";
	walk(&p);
	expect_names(&p, "link");
	ck_assert_int_eq(strncmp(line_of(&p, "link")->text, "symlink", 7), 0);
	tree_list_done(&p.list);
	p.paths[0] = "link/";
	walk(&p);
	expect_names(&p, "link link/file");
	ck_assert_int_eq(strncmp(line_of(&p, "link")->text, "folder", 6), 0);
	tree_list_done(&p.list);
	p.paths[0] = "link/file";
	walk(&p);
	expect_names(&p, "link link/file");
	ck_assert_int_eq(line_of(&p, "link/file")->state, SOURCE_OK);
}
END_TEST

static bool excludes(const void *arg UNUSED, const char *path,
		     size_t len UNUSED, bool is_folder UNUSED)
{
	return strcmp(strrchr(path, '/') + 1, "no") == 0;
}

static void also(struct place *p, const char *path)
{
	p->paths[p->options.path_count++] = path;
}

/* As when it is the only path: neither pattern nor tag cuts it off. */
START_TEST(a_path_within_another_is_never_left_out)
{
	static const char tag[] =
		"Signature: 8a477f597d28d172789f06886806bc55\n# a cache\n";
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("no");
	write_file("no/other", "");
	make_folder("no/in");
	write_file("no/in/file", "");
	write_file("no/in/no", "");
	make_folder("cache");
	write_file("cache/CACHEDIR.TAG", tag);
	write_file("cache/other", "");
	make_folder("cache/in");
	write_file("cache/in/file", "");
	make_folder("plain");
	write_file("plain/file", "");
	p.options.excluded = excludes;
	p.options.exclude_caches = true;
	also(&p, "no/in");
	also(&p, "cache/in");
	also(&p, "plain/file");
	walk(&p);
	expect_names(&p, "cache cache/CACHEDIR.TAG cache/in cache/in/file "
			 "no no/in no/in/file plain plain/file");
	tree_list_done(&p.list);
	p.paths[1] = "no";
	walk(&p);
	expect_names(&p, "cache cache/CACHEDIR.TAG cache/in cache/in/file "
			 "no no/in no/in/file no/other plain plain/file");
	ck_assert_uint_eq(p.list.error_count, 0);
}
END_TEST

START_TEST(a_path_within_another_may_lead_through_a_link)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("out");
	make_folder("out/below");
	write_file("out/below/file", "");
	write_file("out/other", "");
	make_folder("in");
	write_file("in/file", "");
	ck_assert_int_eq(symlink("../out", "in/link"), 0);
	ck_assert_int_eq(symlink("nowhere", "in/loose"), 0);
	p.paths[0] = "in";
	also(&p, "in/link/below");
	walk(&p);
	expect_names(&p, "in in/file in/link in/link/below "
			 "in/link/below/file in/loose");
	ck_assert_int_eq(strncmp(line_of(&p, "in/link")->text, "folder", 6), 0);
	tree_list_done(&p.list);
	p.paths[1] = "in/link/";
	walk(&p);
	expect_names(&p, "in in/file in/link in/link/below "
			 "in/link/below/file in/link/other in/loose");
	ck_assert_uint_eq(p.list.error_count, 0);
	tree_list_done(&p.list);
	/* The path is missing, but what the other one means is not. */
	p.paths[1] = "in/file/x";
	also(&p, "in/loose/x");
	also(&p, "in/gone/x");
	walk(&p);
	expect_names(&p, "in in/file in/link in/loose");
	ck_assert_int_eq(strncmp(line_of(&p, "in/loose")->text, "symlink", 7),
			 0);
	ck_assert_uint_eq(p.list.error_count, 3);
	ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/in/file: "));
	ck_assert_ptr_nonnull(strstr(p.list.errors[1], "/in/gone: "));
	ck_assert_ptr_nonnull(strstr(p.list.errors[2], "/in/loose: "));
}
END_TEST

START_TEST(a_path_within_a_folder_that_cannot_be_listed)
{
	CLEANUP(place_done) struct place p;
	const bool root = geteuid() == 0;

	place_init(&p);
	make_folder("closed");
	make_folder("closed/open");
	write_file("closed/open/file", "");
	ck_assert_int_eq(chmod("closed/open/file", 0644), 0);
	ck_assert_int_eq(chmod("closed/open", 0755), 0);
	ck_assert_int_eq(chmod("closed", 0311), 0);
	ck_assert_int_eq(chmod(".", 0755), 0);
	also(&p, "closed/open");
	if (root)
		ck_assert_int_eq(seteuid(65534), 0);
	walk(&p);
	if (root)
		ck_assert_int_eq(seteuid(0), 0);
	expect_names(&p, "closed closed/open closed/open/file");
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[0], "/closed: cannot list the folder: "));
}
END_TEST

START_TEST(a_path_that_is_skipped_is_named)
{
	CLEANUP(place_done) struct place p;
	struct files_identity skip;
	struct stat st;

	place_init(&p);
	make_folder("own");
	make_folder("own/in");
	write_file("own/in/file", "");
	write_file("file", "");
	ck_assert_int_eq(stat("own", &st), 0);
	skip = (struct files_identity){ st.st_dev, st.st_ino };
	p.options.skip = &skip;
	p.options.skip_count = 1;
	also(&p, "own/in");
	walk(&p);
	expect_names(&p, "file");
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/own: "));
	tree_list_done(&p.list);
	p.options.path_count = 1;
	p.paths[0] = "own";
	walk(&p);
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/own: it is"));
}
END_TEST

/* A copy elsewhere is read, and told as if it lay where the path says. */
START_TEST(another_place_stands_for_a_path)
{
	CLEANUP(place_done) struct place p;
	struct tree_list want = { 0 };
	char at[SCRATCH_PATH];
	char as[SCRATCH_PATH];

	place_init(&p);
	make_folder("copy");
	make_folder("copy/sub");
	write_file("copy/file", "x");
	write_file("copy/sub/deep", "y");
	ck_assert_int_eq(link("copy/file", "copy/sub/same"), 0);
	ck_assert_int_eq(symlink("nowhere", "copy/link"), 0);
	p.paths[0] = scratch_path(&p.dir, "as/if", as);
	p.options.place = scratch_path(&p.dir, "copy", at);
	/* The folder above is the real one. */
	make_folder("as");
	walk(&p);
	ck_assert_uint_eq(p.list.error_count, 0);
	expect_names(&p, "as as/if as/if/file as/if/link as/if/sub "
			 "as/if/sub/deep as/if/sub/same");
	/* Even beside something else of that name. */
	tree_list_done(&p.list);
	make_folder("as/if");
	write_file("as/if/other", "z");
	walk(&p);
	expect_names(&p, "as as/if as/if/file as/if/link as/if/sub "
			 "as/if/sub/deep as/if/sub/same");
	tree_list_naive(&want, at);
	for (size_t i = 0; i < want.count; i++) {
		char path[2 * SCRATCH_PATH];
		const struct tree_line *got;

		(void)snprintf(path, sizeof(path), "%s%s", as,
			       want.lines[i].path + strlen(at));
		got = tree_list_find(&p.list, path);
		ck_assert_ptr_nonnull(got);
		if (want.lines[i].group[0] == 0)
			ck_assert_str_eq(got->text, want.lines[i].text);
	}
	tree_list_done(&want);
	/* The root itself may be elsewhere. */
	tree_list_done(&p.list);
	p.paths[0] = "/";
	tree_list_done(&p.list);
	{
		CLEANUP(source_close) struct source *s = NULL;
		struct err e = { 0 };
		struct entry en;

		ck_ok(files_open(&p.options, &s, &e));
		ck_assert_int_eq(source_next(s, &en, &e), 1);
		ck_assert_str_eq(en.path, "/");
		ck_assert_int_eq(source_next(s, &en, &e), 1);
		ck_assert_str_eq(en.path, "/file");
	}
}
END_TEST

START_TEST(a_place_that_is_not_there_is_told)
{
	CLEANUP(place_done) struct place p;
	struct source *s;
	struct err e = { 0 };
	char at[SCRATCH_PATH];

	place_init(&p);
	p.options.place = scratch_path(&p.dir, "gone", at);
	ck_assert_int_eq(files_open(&p.options, &s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "is no folder"));
	/* Nor what it is to be recorded in. */
	make_folder("gone");
	p.paths[0] = "no-such/path";
	ck_assert_int_eq(files_open(&p.options, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "no folder above"));
}
END_TEST

/* Between being looked at and being opened. */
START_TEST(a_path_that_vanishes_is_named)
{
	CLEANUP(place_done) struct place p;
	struct err e = { 0 };

	place_init(&p);
	for (int folder = 0; folder < 2; folder++) {
		CLEANUP(source_close) struct source *s = NULL;
		struct entry en;

		if (folder)
			make_folder("path");
		else
			write_file("path", "");
		p.paths[0] = "path";
		ck_ok(files_open(&p.options, &s, &e));
		while (source_next(s, &en, &e) > 0) {
			CLEANUP(source_release) struct source_handle *h = NULL;

			if (strcmp(strrchr(en.path, '/'), "/path") != 0)
				continue;
			ck_assert_int_eq(remove("path"), 0);
			ck_ok(source_take(s, &h, &e));
			ck_assert_int_eq(source_describe(h, &en, &e), 0);
			ck_assert_int_eq(source_finish(h, &en), SOURCE_FAILED);
		}
		ck_assert_uint_ge(p.list.error_count, 1);
		ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/path: "));
		tree_list_done(&p.list);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, folders_above_are_entries);
	tcase_add_test(tc, paths_are_resolved_and_merged);
	tcase_add_test(tc, missing_paths_are_named);
	tcase_add_test(tc, paths_that_make_no_sense);
	tcase_add_test(tc, a_link_is_followed_only_with_a_slash);
	tcase_add_test(tc, a_path_within_another_is_never_left_out);
	tcase_add_test(tc, a_path_within_another_may_lead_through_a_link);
	tcase_add_test(tc, a_path_within_a_folder_that_cannot_be_listed);
	tcase_add_test(tc, a_path_that_is_skipped_is_named);
	tcase_add_test(tc, another_place_stands_for_a_path);
	tcase_add_test(tc, a_place_that_is_not_there_is_told);
	tcase_add_test(tc, a_path_that_vanishes_is_named);
}
CHECK_MAIN("storage/sources/files and its paths", cases)
