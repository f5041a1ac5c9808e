#include "service/yaml.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/check_main.h"

static struct problem_list problems;
static struct err e;

static struct yaml *parse(const void *text, size_t n)
{
	struct yaml *y = NULL;

	problem_init(&problems);
	if (yaml_parse("f.yaml", text, n, &y, &problems, &e) < 0) {
		ck_assert_ptr_null(y);
		return NULL;
	}
	ck_assert_uint_eq(problems.errors, 0);
	return y;
}

static const struct yaml_node *only(const struct yaml *y)
{
	ck_assert_ptr_nonnull(y);
	ck_assert_uint_eq(yaml_count(y), 1);
	return yaml_document(y, 0);
}

START_TEST(scalars_follow_the_core_schema)
{
	static const struct {
		const char *text;
		enum yaml_kind kind;
		int64_t number;
	} cases[] = {
		{ "a:", YAML_NULL, 0 },
		{ "a: ~", YAML_NULL, 0 },
		{ "a: null", YAML_NULL, 0 },
		{ "a: true", YAML_BOOL, 1 },
		{ "a: False", YAML_BOOL, 0 },
		{ "a: yes", YAML_TEXT, 0 },
		{ "a: 12", YAML_INT, 12 },
		{ "a: -7", YAML_INT, -7 },
		{ "a: 007", YAML_INT, 7 },
		{ "a: 0o17", YAML_INT, 15 },
		{ "a: 0x1F", YAML_INT, 31 },
		{ "a: 9223372036854775807", YAML_INT, INT64_MAX },
		{ "a: 9223372036854775808", YAML_FLOAT, 0 },
		{ "a: 1.5", YAML_FLOAT, 0 },
		{ "a: .5e-3", YAML_FLOAT, 0 },
		{ "a: .inf", YAML_FLOAT, 0 },
		{ "a: 1.2.3", YAML_TEXT, 0 },
		{ "a: '12'", YAML_TEXT, 0 },
		{ "a: \"\"", YAML_TEXT, 0 },
		{ "a: !!str 12", YAML_TEXT, 0 },
		{ "a: !!int 12", YAML_INT, 12 },
		{ "a: 50M", YAML_TEXT, 0 },
		{ "a: [1]", YAML_LIST, 0 },
		{ "a: {}", YAML_MAP, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(yaml_free)
		struct yaml *y = parse(cases[i].text, strlen(cases[i].text));
		const struct yaml_node *a = yaml_get(only(y), "a");

		ck_assert_msg(a && a->kind == cases[i].kind, "%s",
			      cases[i].text);
		if (a->kind == YAML_INT)
			ck_assert_int_eq(a->number, cases[i].number);
		if (a->kind == YAML_BOOL)
			ck_assert_int_eq(a->boolean, cases[i].number);
	}
}
END_TEST

/* libfyaml loses memory over some of these, so they are not its to read. */
START_TEST(quotes_in_a_row_are_quotes)
{
	static const char *const cases[][2] = {
		{ "''''", "'" },
		{ "''''''''''''''", "''''''" },
		{ "'x''''y'", "x''y" },
		{ "'''''x''y'''''", "''x'y''" },
		{ "\"''''''''''\"", "''''''''''" },
		{ "x''''y", "x''''y" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(yaml_free) struct yaml *y = NULL;
		char text[100];
		/* With a byte order mark before it, and without. */
		int n = snprintf(text, sizeof(text),
				 "\xef\xbb\xbf"
				 "a: [%s, %s]\n? %s\n: b\n",
				 cases[i][0], cases[i][0], cases[i][0]);

		y = parse(text, (size_t)n);
		ck_assert_str_eq(yaml_get(only(y), "a")->first->text,
				 cases[i][1]);
		yaml_free(y);
		y = parse(text + 3, (size_t)n - 3);
		ck_assert_str_eq(yaml_get(only(y), "a")->first->text,
				 cases[i][1]);
		ck_assert_str_eq(yaml_get(only(y), "a")->first->next->text,
				 cases[i][1]);
		ck_assert_ptr_nonnull(yaml_get(only(y), cases[i][1]));
	}
}
END_TEST

START_TEST(values_and_keys_know_their_place)
{
	static const char text[] = "# first\n"
				   "list:\n"
				   "  - a\n"
				   "  - \"b\"\n"
				   "m: {k: v, \xc3\xa4: |\n"
				   "}\n";
	static const char ok[] = "# first\n"
				 "list:\n"
				 "  - a\n"
				 "  - \"b\"\n"
				 "m: {\xc3\xa4: v, absent: , 'q': w}\n";
	CLEANUP(yaml_free) struct yaml *y = parse(ok, sizeof(ok) - 1);
	const struct yaml_node *root = only(y);
	const struct yaml_node *list = yaml_get(root, "list");
	const struct yaml_node *m = yaml_get(root, "m");
	const struct yaml_node *q = yaml_get(m, "q");

	ck_assert_uint_eq(list->count, 2);
	ck_assert_uint_eq(list->key_line, 2);
	ck_assert_uint_eq(list->first->line, 3);
	ck_assert_uint_eq(list->first->column, 5);
	ck_assert_uint_eq(list->first->next->line, 4);
	ck_assert_uint_eq(list->first->next->column, 5);
	ck_assert_uint_eq(m->line, 5);
	ck_assert_uint_eq(m->column, 4);
	/* Columns count characters: the one before is two bytes. */
	ck_assert_uint_eq(m->first->column, 8);
	ck_assert_uint_eq(yaml_get(m, "absent")->column, 11);
	ck_assert_uint_eq(q->key_column, 21);
	ck_assert_uint_eq(q->column, 26);
	ck_assert_uint_eq(yaml_key_place(y, q).column, 21);
	ck_assert_str_eq(yaml_place(y, q).file, "f.yaml");
	ck_assert_ptr_null(parse(text, sizeof(text) - 1));
	problem_done(&problems);
}
END_TEST

START_TEST(documents_of_comments_do_not_count)
{
	static const char text[] = "# c\n---\na: 1\n---\n# c\n---\nb: 2\n...\n";
	CLEANUP(yaml_free) struct yaml *y = parse(text, sizeof(text) - 1);
	CLEANUP(yaml_free) struct yaml *none = parse("", 0);

	ck_assert_ptr_nonnull(y);
	ck_assert_uint_eq(yaml_count(y), 2);
	ck_assert_int_eq(yaml_get(yaml_document(y, 1), "b")->number, 2);
	ck_assert_ptr_nonnull(none);
	ck_assert_uint_eq(yaml_count(none), 0);
}
END_TEST

START_TEST(json_is_read_too)
{
	static const char text[] =
		"{\"a\":\"x\\u0001\\t\x7f\\/\\\"\\\\\",\"b\":[true,null,-1]}";
	CLEANUP(yaml_free) struct yaml *y = parse(text, sizeof(text) - 1);
	const struct yaml_node *root = only(y);

	ck_assert_str_eq(yaml_get(root, "a")->text, "x\x01\t\x7f/\"\\");
	ck_assert_uint_eq(yaml_get(root, "b")->count, 3);
}
END_TEST

START_TEST(what_is_refused_is_said_with_its_place)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "a: 1\nb: &x 1\n",
		  "f.yaml:2:4: found an anchor, expected a value; anchors and "
		  "aliases are not taken; write the value out each time\n" },
		{ "a: 1\nb: *x\n",
		  "f.yaml:2:4: found an alias, expected a value; anchors and "
		  "aliases are not taken; write the value out each time\n" },
		{ "a: 'x''''\n  y'\n",
		  "f.yaml:1:4: found '''' in a text of several lines, expected "
		  "that in double quotes only\n" },
		{ "a: {b: 1}\n<<: {c: 2}\n",
		  "f.yaml:2:1: found a merge key, expected a name; write the "
		  "merged keys out\n" },
		{ "a: !mine 1\n",
		  "f.yaml:1:10: found the tag \"!mine\", expected none, or one "
		  "of the core schema as !!str\n" },
		{ "a: !!binary x\n",
		  "f.yaml:1:13: found the tag \"tag:yaml.org,2002:binary\", "
		  "expected none, or one of the core schema as !!str\n" },
		{ "a: !!int x\n",
		  "f.yaml:1:10: found the text \"x\", which its tag does not "
		  "allow\n" },
		{ "a: 1\nb: 2\n\"a\": 3\n",
		  "f.yaml:3:1: found the key \"a\" again, expected it once; it "
		  "stands in line 1 already\n" },
		{ "x: {b, c: d, b}\n",
		  "f.yaml:1:14: found the key \"b\" again, expected it once; "
		  "it stands in line 1 already\n" },
		{ "a: \xff\n",
		  "f.yaml:1:4: found the byte 0xff, which is not UTF-8; save "
		  "the file as UTF-8\n" },
		{ "\xc3\xa4: 1\nb: \xc3\xa4\xed\xa0\x80\n",
		  "f.yaml:2:5: found the byte 0xed, which is not UTF-8; save "
		  "the file as UTF-8\n" },
		{ "a: b\x01\n",
		  "f.yaml:1:5: found the control byte 0x01, expected text\n" },
		{ "a: \"\\0\"\n",
		  "f.yaml:1:4: found a NUL character in a text, expected "
		  "none\n" },
		{ "? [x]\n: 1\n",
		  "f.yaml:1:3: found a list or map as a key, expected a "
		  "name\n" },
		{ ": 1\n", "f.yaml:1:1: found an empty key, expected a "
			   "name\n" },
		{ "%YAML 1.1\n---\na: 1\n",
		  "f.yaml:2:1: found YAML version 1.1, expected 1.2\n" },
		{ "a: [1\n",
		  "f.yaml:2:1: found what is no YAML: flow sequence without a "
		  "closing bracket\n" },
		{ "a: b: c\n",
		  "f.yaml:1:5: found what is no YAML: invalid nested block "
		  "mapping on the same line\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(buf_done) struct buf out = { 0 };

		buf_init(&out, 4096);
		ck_assert_msg(parse(cases[i].text, strlen(cases[i].text)) ==
				      NULL,
			      "%s", cases[i].text);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_ok(problem_format(&problems, &out, &e));
		ck_assert_str_eq(buf_str(&out), cases[i].expected);
		problem_done(&problems);
	}
}
END_TEST

/* n times piece, between two texts. */
static struct yaml *repeated(const char *before, const char *piece, size_t n)
{
	CLEANUP(buf_done) struct buf b = { 0 };

	buf_init(&b, 4 << 20);
	ck_ok(buf_add_str(&b, before, &e));
	for (size_t i = 0; i < n; i++)
		ck_ok(buf_add_str(&b, piece, &e));
	return parse(b.data, b.len);
}

START_TEST(limits_hold)
{
	CLEANUP(yaml_free) struct yaml *deep = NULL;
	static const char *const pieces[] = {
		"- ", "[", "{a: ", "? ", "[[],", "{a,", "- &a [*a,*a]\n"
	};
	char text[200] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < YAML_DEPTH; i++)
		text[n++] = '[';
	for (unsigned int i = 0; i < YAML_DEPTH; i++)
		text[n++] = ']';
	deep = parse(text, n);
	ck_assert_ptr_nonnull(deep);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		size_t times = YAML_BYTES / strlen(pieces[i]);

		ck_assert_msg(repeated("", pieces[i], times) == NULL, "%s",
			      pieces[i]);
		ck_assert_uint_eq(problems.errors, 1);
		problem_done(&problems);
	}
	ck_assert_ptr_null(repeated("# ", "x", YAML_BYTES));
	ck_assert_str_eq(problems.items[0].text,
			 "found 1048578 bytes, expected at most 1048576");
	problem_done(&problems);
}
END_TEST

START_TEST(a_list_of_problems_is_bounded)
{
	CLEANUP(problem_done) struct problem_list p;
	const struct problem_place at = { "f", 3, 7 };
	CLEANUP(buf_done) struct buf out = { 0 };

	problem_init(&p);
	err_clear(&e);
	ck_ok(problem_err(&p, &e));
	problem_warn(&p, at, "careful");
	ck_ok(problem_err(&p, &e));
	for (int i = 0; i < PROBLEM_MAX + 5; i++) {
		problem_add(&p, at, "wrong %d", i);
		problem_mend(&p, "mend %d", i);
	}
	/* The errors have pushed out the warning. */
	ck_assert_uint_eq(p.count, PROBLEM_MAX);
	ck_assert_uint_eq(p.errors, PROBLEM_MAX + 5);
	ck_assert_uint_eq(p.left_out, 6);
	for (size_t i = 0; i < p.count; i++)
		ck_assert(!p.items[i].warning);
	ck_assert_int_eq(problem_err(&p, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "f:3:7: wrong 0; f:3:7: wrong 1"));
	ck_assert_str_eq(e.hint, "mend 0");
	buf_init(&out, 4096);
	ck_ok(problem_format(&p, &out, &e));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\nand 6 more\n"));
}
END_TEST

START_TEST(one_long_problem_is_shown_cut)
{
	CLEANUP(problem_done) struct problem_list p;
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	problem_init(&p);
	problem_add(&p, (struct problem_place){ "f", 1, 1 }, "%s", text);
	ck_assert_int_eq(problem_err(&p, &e), -1);
	ck_assert_uint_gt(strlen(e.text), 500);
	ck_assert_int_eq(strncmp(e.text, "f:1:1: xxx", 10), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, scalars_follow_the_core_schema);
	tcase_add_test(tc, quotes_in_a_row_are_quotes);
	tcase_add_test(tc, values_and_keys_know_their_place);
	tcase_add_test(tc, documents_of_comments_do_not_count);
	tcase_add_test(tc, json_is_read_too);
	tcase_add_test(tc, what_is_refused_is_said_with_its_place);
	tcase_add_test(tc, limits_hold);
	tcase_add_test(tc, a_list_of_problems_is_bounded);
	tcase_add_test(tc, one_long_problem_is_shown_cut);
}

CHECK_MAIN("service/yaml", cases)
