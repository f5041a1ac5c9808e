/* What the renderer makes of replies, by example. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/render.h"
#include "tests/support/check_main.h"

static struct err e;

/* Render json, given in pieces of n bytes; the text is the caller's. */
static char *render(const char *view, enum render_form form, const char *json,
		    size_t n, int *ret_status)
{
	const struct render_style style = { .form = form,
					    .now = { .sec = 1000000000 } };
	struct render *r = NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	const size_t all = strlen(json);
	int status = 0;

	ck_assert_ptr_nonnull(out);
	ck_ok(render_new(&r, out, view, &style, &e));
	for (size_t at = 0; at < all && status == 0; at += n)
		status = render_write(r, json + at, all - at < n ? all - at : n,
				      &e);
	if (status == 0)
		status = render_finish(r, &e);
	*ret_status = status;
	render_free(r);
	(void)fclose(out);
	return text;
}

static void expect_form(const char *view, enum render_form form,
			const char *json, const char *text)
{
	/* Cut anywhere, also inside escapes and code points. */
	for (size_t n = 1; n < 20; n += 3) {
		int status;
		char *got = render(view, form, json, n, &status);

		ck_assert_int_eq(status, 0);
		ck_assert_str_eq(got, text);
		free(got);
	}
}

static void expect(const char *view, const char *json, const char *text)
{
	expect_form(view, RENDER_TEXT, json, text);
}

START_TEST(tables)
{
	expect("id bytes:size",
	       "[{\"id\":\"a\",\"bytes\":512},"
	       "{\"id\":\"long\",\"bytes\":2048}]",
	       "ID      BYTES\na       512 B\nlong  2.0 KiB\n");
	expect("a.b=inner missing", "[{\"a\":{\"b\":7}}]",
	       "INNER  MISSING\n7      -\n");
	/* Columns are columns of the terminal, not bytes. */
	expect("a b", "[{\"a\":\"漢字\",\"b\":1},{\"a\":\"é\",\"b\":2}]",
	       "A     B\n漢字  1\né     2\n");
	expect(NULL, "[{\"x_y\":[1,\"a\"],\"z\":true}]",
	       "X Y   Z\n1, a  yes\n");
	expect("id", "[]", "");
	expect("id +s=rows", "[]", "0 rows\n");
	expect("id +s=rows",
	       "[{\"id\":1,\"s\":\"x\"},{\"id\":2,\"s\":\"y\"},"
	       "{\"id\":3,\"s\":\"x\"}]",
	       "ID\n1\n2\n3\n\n3 rows: 2 x, 1 y\n");
}
END_TEST

START_TEST(cells)
{
	expect("t:age", "[{\"t\":\"2001-09-09T00:46:40Z\"}]",
	       "T\n60 min ago\n");
	expect("t:age", "[{\"t\":\"2001-09-09T03:46:40Z\"}]", "T\nin 2 h\n");
	expect("t:time", "[{\"t\":\"2001-09-09T01:46:40.5Z\"}]",
	       "T\n2001-09-09 01:46:40Z\n");
	expect("n:count m:mode", "[{\"n\":1234567,\"m\":33261}]",
	       "        N  M\n1,234,567  -rwxr-xr-x\n");
	expect("m:mode", "[{\"m\":17407}]", "M\ndrwxrwxrwt\n");
	expect("s:seconds", "[{\"s\":90}]", "    S\n1m30s\n");
	expect("f:fields",
	       "[{\"f\":{\"a\":1,\"b\":{\"c\":[\"x\",{\"d\":true}]},"
	       "\"e\":\"30 2 * * *\"}},{\"f\":{}}]",
	       "F\na: 1, b: {c: [x, {d: true}]}, e: 30 2 * * *\n-\n");
	expect("i:short", "[{\"i\":\"0123456789abcdef\"}]", "I\n01234567\n");
}
END_TEST

START_TEST(hostile_text)
{
	/* Nothing moves the cursor, nothing reorders, no line is added. */
	expect("p", "[{\"p\":\"a\\u001b[2J\\n\\u0000b\"}]",
	       "P\na\\x1b[2J\\n\\x00b\n");
	expect("p", "[{\"p\":\"a\\u202eb\\u009b\"}]",
	       "P\na\\xe2\\x80\\xaeb\\xc2\\x9b\n");
	/* A tab and what stands for one are told apart. */
	expect("p", "[{\"p\":\"a\\tb\"},{\"p\":\"a\\\\tb\"}]",
	       "P\na\\tb\na\\\\tb\n");
	expect("path", "[{\"path_b64\":\"XHj/\"}]", "PATH\n\\\\x\\xff\n");
	expect(NULL, "[\"a\\\\\"]", "a\\\\\n");
	expect(NULL, "\"a\\\\\"", "a\\\n");
	expect("path", "[{\"path_b64\":\"YP8K\"}]", "PATH\n`\\xff\\n\n");
}
END_TEST

START_TEST(other_values)
{
	expect(NULL, "\"a\\n\\tb\"", "a\n\tb\n");
	expect(NULL, "[\"a\",\"b\\n\"]", "a\nb\\n\n");
	expect(NULL,
	       "{\"id\":3,\"two_words\":\"x\",\"empty\":null,"
	       "\"rows\":[{\"a\":1}]}",
	       "id         3\ntwo words  x\n\nrows:\nA\n1\n");
	expect("id empty", "{\"id\":3,\"empty\":null}", "id     3\nempty  -\n");
}
END_TEST

START_TEST(what_apply_changed)
{
	expect("!apply",
	       "[{\"kind\":\"Policy\",\"name\":\"gold\",\"result\":\"changed\","
	       "\"version\":4,\"difference\":[{\"path\":\"/spec/a~1b\","
	       "\"from\":30,\"to\":7},{\"path\":\"/labels/x\",\"to\":"
	       "[\"a\\n\"]},{\"path\":\"/spec/c\",\"from\":{\"d\":1}}],"
	       "\"note\":\"it\"},"
	       "{\"kind\":\"Source\",\"name\":\"web\",\"result\":\"created\","
	       "\"version\":1,\"difference\":[{\"path\":\"/spec/t\",\"to\":1}],"
	       "\"note\":null},"
	       "{\"kind\":\"Source\",\"name\":\"db\",\"result\":\"unchanged\","
	       "\"version\":2,\"difference\":[],\"note\":null}]",
	       "changed    Policy gold, version 4\n"
	       "           spec.a/b: 30 -> 7\n"
	       "           labels.x: (none) -> [a\\n]\n"
	       "           spec.c: {d: 1} -> (none)\n"
	       "           note: it\n"
	       "created    Source web, version 1\n"
	       "unchanged  Source db, version 2\n");
}
END_TEST

/* Lines of files are as hostile as their names. */
START_TEST(what_differs)
{
	expect("!diff",
	       "[{\"change\":\"changed\",\"path\":\"/a\\nb\",\"what\":"
	       "[\"content\"],\"diff\":\"--- x\\n+++ x\\n@@ -1 +1 @@\\n"
	       "-a\\u001b[2J\\r\\n+\u202e\\\\\\tb\\n\"},"
	       "{\"change\":\"added\",\"path\":\"/c\",\"what\":[],"
	       "\"note\":\"binary files differ\"},"
	       "{\"change\":\"added\",\"path\":\"/d\",\"what\":[],"
	       "\"diff_b64\":\"K/8K\"},"
	       "{\"change\":\"unreadable\",\"path\":\"/e\",\"what\":[],"
	       "\"message\":\"not\\u0007permitted\"}]",
	       "changed  /a\\nb  content\n--- x\n+++ x\n@@ -1 +1 @@\n"
	       "-a\\x1b[2J\\x0d\n+\\xe2\\x80\\xae\\\tb\n"
	       "added    /c\nbinary files differ\n"
	       "added    /d\n+\\xff\n"
	       "unreadable /e  not\\x07permitted\n");
	expect("!run",
	       "{\"id\":7,\"schedule\":\"s\",\"state\":\"succeeded\","
	       "\"attempt\":1,\"steps\":[{\"step\":\"snapshot\",\"source\":"
	       "\"etc\",\"state\":\"succeeded\",\"details\":{\"drift\":"
	       "{\"files\":[{\"change\":\"added\",\"path\":\"/a\",\"diff\":"
	       "\"+x\\n\",\"note\":\"cut off here\"}],\"more\":2}}}]}",
	       "✓ run 7 of s succeeded\n  attempt 1\n\n"
	       "  ✓ snapshot   etc\n"
	       "      added    /a\n      +x\n      cut off here\n"
	       "      … and 2 more\n");
}
END_TEST

START_TEST(csv)
{
	expect_form("a b", RENDER_CSV,
		    "[{\"a\":\"x,\\\"y\\\"\",\"b\":1048576},"
		    "{\"a\":\"l\\n2\",\"b\":null}]",
		    "a,b\r\n\"x,\"\"y\"\"\",1048576\r\n\"l\n2\",\r\n");
	expect_form("a b", RENDER_CSV, "[]", "a,b\r\n");
	expect_form("a b", RENDER_CSV, "[{\"a\":[],\"b\":[1,2]}]",
		    "a,b\r\n,\"1, 2\"\r\n");
}
END_TEST

START_TEST(json_is_left_alone)
{
	expect_form("a", RENDER_JSON, "[{\"b\":1}]", "[{\"b\":1}]\n");
}
END_TEST

START_TEST(long_lists)
{
	/* More rows than are held back: widths stay, nothing is lost. */
	enum { ROWS = 3 * RENDER_AHEAD };
	char *json = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&json, &size);
	size_t lines = 0;
	char *text;
	int status;

	ck_assert_ptr_nonnull(out);
	for (int i = 0; i < ROWS; i++)
		(void)fprintf(out, "%c{\"id\":%d}", i ? ',' : '[', i);
	(void)fputc(']', out);
	(void)fclose(out);
	text = render("id", RENDER_TEXT, json, 4096, &status);
	ck_assert_int_eq(status, 0);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	ck_assert_uint_eq(lines, ROWS + 1);
	ck_assert_ptr_nonnull(strstr(text, "\n1535\n"));
	free(text);
	free(json);
}
END_TEST

START_TEST(broken_replies)
{
	static const char *const broken[] = { "",    "[",   "[{]",    "{\"a\":",
					      "nul", "[{}", "[1,,2]x" };

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		int status;
		char *text = render(NULL, RENDER_TEXT, broken[i], 3, &status);

		/* An empty element is dropped, the rest is refused. */
		ck_assert_int_eq(status, i == 6 ? 0 : -1);
		free(text);
	}
}
END_TEST

START_TEST(wrong_views)
{
	static const char *const wrong[] = { "a:nonsense", ":size",
					     "a:", "a:size:x", "a=" };
	const struct render_style style = { .form = RENDER_TEXT };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct render *r;

		ck_assert_int_eq(render_new(&r, stdout, wrong[i], &style, &e),
				 -1);
		ck_assert_int_eq(e.code, ERR_BUG);
	}
}
END_TEST

START_TEST(a_check_tells_of_locks)
{
	expect("!check",
	       "{\"sound\":true,\"level\":\"structure\",\"snapshots\":2,"
	       "\"packs\":3,\"seconds\":0.1,\"object_lock\":{"
	       "\"snapshots\":2,\"objects\":1234,\"short\":0,"
	       "\"findings\":[]}}",
	       "● sound: all that snapshots need is in its place\n"
	       "  2 snapshots, 3 packs; 0.1 s\n"
	       "  2 locked or held snapshots: 1,234 objects, all locked in the "
	       "store\n");
	expect("!check",
	       "{\"sound\":true,\"level\":\"structure\",\"snapshots\":1,"
	       "\"packs\":1,\"seconds\":0.1,\"object_lock\":{"
	       "\"snapshots\":1,\"objects\":7,\"short\":22,\"findings\":[{"
	       "\"object\":\"data/aa\",\"until\":\"2026-01-01T00:00:00Z\","
	       "\"needed\":\"2027-01-01T00:00:00Z\"},{\"object\":\"config\","
	       "\"needed\":\"2027-01-01T00:00:00Z\"},{\"object\":"
	       "\"meta/a\\u001b\",\"hold_missing\":true}]}}",
	       "● sound: all that snapshots need is in its place\n"
	       "  1 snapshot, 1 pack; 0.1 s\n"
	       "  1 locked or held snapshot: 7 objects, 22 of them not as long "
	       "as needed\n\n"
	       "! data/aa\n    it is locked until 2026-01-01T00:00:00Z, and "
	       "needed until 2027-01-01T00:00:00Z\n"
	       "! config\n    it is not locked, and needed until "
	       "2027-01-01T00:00:00Z\n"
	       "! meta/a\\x1b\n    it is not held\n"
	       "  and 19 more objects\n");
	/* Nothing is locked, or it could not be asked, which the advice tells.
	 */
	expect("!check",
	       "{\"sound\":true,\"level\":\"structure\",\"snapshots\":0,"
	       "\"packs\":0,\"seconds\":0.1,\"object_lock\":{"
	       "\"snapshots\":0}}",
	       "● sound: all that snapshots need is in its place\n"
	       "  0 snapshots, 0 packs; 0.1 s\n");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, tables);
	tcase_add_test(tc, cells);
	tcase_add_test(tc, hostile_text);
	tcase_add_test(tc, other_values);
	tcase_add_test(tc, what_apply_changed);
	tcase_add_test(tc, what_differs);
	tcase_add_test(tc, csv);
	tcase_add_test(tc, json_is_left_alone);
	tcase_add_test(tc, long_lists);
	tcase_add_test(tc, broken_replies);
	tcase_add_test(tc, wrong_views);
	tcase_add_test(tc, a_check_tells_of_locks);
}
CHECK_MAIN("service/render", cases)
