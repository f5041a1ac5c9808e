#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

START_TEST(writes_nested_values)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;
	struct err e;

	buf_init(&b, 1000);
	json_init(&j, json_to_buf, &b);
	json_begin_object(&j);
	json_kv_str(&j, "name", "web");
	json_kv_str(&j, "nothing", NULL);
	json_kv_int(&j, "low", INT64_MIN);
	json_kv_uint(&j, "high", UINT64_MAX);
	json_kv_bool(&j, "yes", true);
	json_key(&j, "list");
	json_begin_list(&j);
	json_int(&j, 1);
	json_bool(&j, false);
	json_none(&j);
	json_begin_list(&j);
	json_end_list(&j);
	json_begin_object(&j);
	json_end_object(&j);
	json_raw(&j, "{\"raw\":[]}");
	json_end_list(&j);
	json_kv_instant(&j, "at", (struct instant){ 0, 500000000 });
	json_end_object(&j);
	ck_ok(json_finish(&j, &e));
	ck_assert_str_eq(buf_str(&b),
			 "{\"name\":\"web\",\"nothing\":null,"
			 "\"low\":-9223372036854775808,"
			 "\"high\":9223372036854775807,\"yes\":true,"
			 "\"list\":[1,false,null,[],{},{\"raw\":[]}],"
			 "\"at\":\"1970-01-01T00:00:00.5Z\"}");
}
END_TEST

static void expect_string(const char *s, size_t n, const char *want)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;
	struct err e;

	buf_init(&b, 1000);
	json_init(&j, json_to_buf, &b);
	json_strn(&j, s, n);
	ck_ok(json_finish(&j, &e));
	ck_assert_str_eq(buf_str(&b), want);
}

START_TEST(escapes_strings)
{
	expect_string("", 0, "\"\"");
	expect_string("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	expect_string("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
	expect_string("\0\x1f\x7f", 3, "\"\\u0000\\u001f\\u007f\"");
	expect_string("ü€𝄞", strlen("ü€𝄞"), "\"ü€𝄞\"");
	/* The output is UTF-8 whatever came in. */
	expect_string("a\xff"
		      "b\xe2\x82",
		      5,
		      "\"a\xef\xbf\xbd"
		      "b\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

static void expect_double(double v, const char *want)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;
	struct err e;

	buf_init(&b, 1000);
	json_init(&j, json_to_buf, &b);
	json_double(&j, v);
	ck_ok(json_finish(&j, &e));
	ck_assert_str_eq(buf_str(&b), want);
}

START_TEST(writes_three_decimals)
{
	expect_double(0, "0.000");
	expect_double(1.5, "1.500");
	expect_double(-2.25, "-2.250");
	expect_double(0.0006, "0.001");
	expect_double(-0.0001, "0.000");
	expect_double(123456789.125, "123456789.125");
	expect_double(1e15, "1000000000000000");
	expect_double(-1e20, "-100000000000000000000");
	expect_double((double)INFINITY, "null");
	expect_double((double)NAN, "null");
}
END_TEST

static void expect_path(const char *p, size_t n, const char *want)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;
	struct err e;

	buf_init(&b, 1000);
	json_init(&j, json_to_buf, &b);
	json_begin_object(&j);
	json_path(&j, "path", p, n);
	json_kv_int(&j, "n", 1);
	json_end_object(&j);
	ck_ok(json_finish(&j, &e));
	ck_assert_str_eq(buf_str(&b), want);
}

START_TEST(writes_paths_of_any_bytes)
{
	char bytes[100];

	expect_path("/a\nb", 4, "{\"path\":\"/a\\nb\",\"n\":1}");
	expect_path("/a\xff", 3, "{\"path_b64\":\"L2H/\",\"n\":1}");
	memset(bytes, 0xff, sizeof(bytes));
	expect_path(bytes, 100,
		    "{\"path_b64\":\""
		    "////////////////////////////////////////////////////////"
		    "////////////////////////////////////////////////////////"
		    "/////////////////////w==\",\"n\":1}");
}
END_TEST

START_TEST(a_value_that_there_is_no_memory_for_fails_the_whole)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;
	struct err e;

	buf_init(&b, 1000);
	json_init(&j, json_to_buf, &b);
	json_begin_object(&j);
	json_key(&j, "a");
	json_raw(&j, "[1]");
	json_key(&j, "b");
	json_raw(&j, NULL);
	json_kv_int(&j, "n", 1);
	json_end_object(&j);
	ck_assert_int_eq(json_finish(&j, &e), -1);
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
}
END_TEST

START_TEST(streams_more_than_its_buffer)
{
	CLEANUP(buf_done) struct buf b;
	static char text[20000];
	struct json j;
	struct err e;

	memset(text, '"', sizeof(text) - 1);
	buf_init(&b, 100000);
	json_init(&j, json_to_buf, &b);
	json_begin_list(&j);
	json_str(&j, text);
	json_end_list(&j);
	ck_ok(json_finish(&j, &e));
	ck_assert_uint_eq(b.len, 2 * (sizeof(text) - 1) + 4);
	ck_assert(strncmp(buf_str(&b), "[\"\\\"\\\"", 6) == 0);
	ck_assert_str_eq(buf_str(&b) + b.len - 4, "\\\"\"]");
}
END_TEST

START_TEST(nests_as_deep_as_it_says)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;
	struct err e;

	buf_init(&b, 1000);
	json_init(&j, json_to_buf, &b);
	for (int i = 0; i < 32; i++)
		json_begin_list(&j);
	for (int i = 0; i < 32; i++)
		json_end_list(&j);
	ck_ok(json_finish(&j, &e));
	ck_assert_uint_eq(b.len, 64);
}
END_TEST

static int refuse_second(void *arg, const char *text, size_t n, struct err *e)
{
	int *calls = arg;

	(void)text;
	(void)n;
	return ++*calls == 2 ? err_set(e, ERR_FULL, "no room") : 0;
}

START_TEST(reports_the_sinks_first_failure)
{
	struct json j;
	struct err e;
	int calls = 0;

	json_init(&j, refuse_second, &calls);
	json_begin_list(&j);
	for (int i = 0; i < 10000; i++)
		json_str(&j, "element");
	json_begin_object(&j);
	json_path(&j, "k", "\xff", 1);
	json_end_object(&j);
	json_end_list(&j);
	ck_assert_int_eq(json_finish(&j, &e), -1);
	ck_assert_int_eq(e.code, ERR_FULL);
	ck_assert_str_eq(e.text, "no room");
	ck_assert_int_eq(calls, 2);
}
END_TEST

START_TEST(writes_to_a_stream)
{
	FILE *f = fopen("/dev/full", "we");
	struct json j;
	struct err e;

	ck_assert_ptr_nonnull(f);
	(void)setvbuf(f, NULL, _IONBF, 0);
	json_init(&j, json_to_file, f);
	json_none(&j);
	ck_assert_int_eq(json_finish(&j, &e), -1);
	ck_assert_int_eq(e.code, ERR_FULL);
	(void)fclose(f);
	f = tmpfile();
	ck_assert_ptr_nonnull(f);
	json_init(&j, json_to_file, f);
	json_bool(&j, true);
	ck_ok(json_finish(&j, &e));
	ck_assert_int_eq(ftell(f), 4);
	(void)fclose(f);
}
END_TEST

static int write_much(void *arg, struct err *e)
{
	CLEANUP(buf_done) struct buf b;
	struct json j;

	(void)arg;
	buf_init(&b, 1000000);
	json_init(&j, json_to_buf, &b);
	json_begin_list(&j);
	for (int i = 0; i < 5000; i++)
		json_int(&j, i);
	json_end_list(&j);
	return json_finish(&j, e);
}

START_TEST(survives_the_lack_of_memory)
{
	ck_assert_uint_gt(alloc_fail_each(write_much, NULL), 2);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, writes_nested_values);
	tcase_add_test(tc, escapes_strings);
	tcase_add_test(tc, writes_three_decimals);
	tcase_add_test(tc, writes_paths_of_any_bytes);
	tcase_add_test(tc, a_value_that_there_is_no_memory_for_fails_the_whole);
	tcase_add_test(tc, streams_more_than_its_buffer);
	tcase_add_test(tc, nests_as_deep_as_it_says);
	tcase_add_test(tc, reports_the_sinks_first_failure);
	tcase_add_test(tc, writes_to_a_stream);
	tcase_add_test(tc, survives_the_lack_of_memory);
}

CHECK_MAIN("base/json", cases)
