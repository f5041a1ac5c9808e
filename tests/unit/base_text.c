#include "base/text.h"

#include <limits.h>
#include <string.h>

#include "tests/support/check_main.h"

static void expect_quote(const char *bytes, size_t n, const char *want)
{
	ck_assert_str_eq(text_quote(bytes, n).s, want);
}

START_TEST(quotes_plain_and_utf8_text)
{
	expect_quote("", 0, "\"\"");
	expect_quote("/srv/data", 9, "\"/srv/data\"");
	expect_quote("Müll €𝄞", strlen("Müll €𝄞"), "\"Müll €𝄞\"");
	ck_assert_str_eq(text_quote_str("a b").s, "\"a b\"");
}
END_TEST

START_TEST(quotes_what_could_rewrite_a_terminal)
{
	expect_quote("a\nb\tc\rd", 7, "\"a\\nb\\tc\\rd\"");
	expect_quote("say \"hi\" \\", 10, "\"say \\\"hi\\\" \\\\\"");
	expect_quote("\0\x1b[2J\x7f", 6, "\"\\x00\\x1b[2J\\x7f\"");
	/* Not UTF-8: a stray byte, an overlong form, a surrogate. */
	expect_quote("\xff", 1, "\"\\xff\"");
	expect_quote("\xc0\xaf", 2, "\"\\xc0\\xaf\"");
	expect_quote("\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\"");
	/* C1 controls and direction overrides are UTF-8, but not harmless. */
	expect_quote("\xc2\x9b", 2, "\"\\xc2\\x9b\"");
	expect_quote("a\xe2\x80\xae"
		     "b",
		     5, "\"a\\xe2\\x80\\xaeb\"");
	expect_quote("\xe2\x81\xa6", 3, "\"\\xe2\\x81\\xa6\"");
}
END_TEST

START_TEST(elides_the_middle)
{
	char name[4000];
	struct text_quoted q;

	memset(name, 'a', 2000);
	memset(name + 2000, 'z', 2000);
	q = text_quote(name, 180);
	ck_assert_uint_eq(strlen(q.s), 182);
	q = text_quote(name, sizeof(name));
	ck_assert_uint_lt(strlen(q.s), sizeof(q.s));
	ck_assert_uint_gt(strlen(q.s), 150);
	ck_assert(strncmp(q.s, "\"aaaa", 5) == 0);
	ck_assert(strstr(q.s, "aaa…zzz") != NULL);
	ck_assert_str_eq(q.s + strlen(q.s) - 3, "zz\"");
}
END_TEST

START_TEST(never_overflows_nor_cuts_a_character)
{
	char bytes[1000];

	for (size_t n = 0; n < sizeof(bytes); n++) {
		struct text_quoted q;

		memset(bytes, 0xff, n);
		q = text_quote(bytes, n);
		ck_assert_uint_lt(strlen(q.s), sizeof(q.s));
		for (size_t i = 0; i + 1 < n; i += 2)
			memcpy(bytes + i, "ü", 2);
		q = text_quote(bytes, n / 2 * 2);
		ck_assert(text_is_utf8(q.s, strlen(q.s)));
		ck_assert(!strchr(q.s, '\\'));
	}
}
END_TEST

/* Whatever the room, of a failure both what and why are there. */
START_TEST(fits_with_both_ends)
{
	static const char text[] = "cannot read object \"dätä/é\" in "
				   "\"file:///srv/ü/ö\": input/output error";
	char out[sizeof(text)];

	ck_assert_str_eq(text_fit(text, out, sizeof(out)), text);
	ck_assert_str_eq(text_fit("", out, 16), "");
	ck_assert_str_eq(text_fit("0123456789abcdef", out, 16),
			 "012345…abcdef");
	for (size_t room = 16; room < sizeof(text); room++) {
		memset(out, 'x', sizeof(out));
		ck_assert_ptr_eq(text_fit(text, out, room), out);
		ck_assert(strlen(out) < room && strlen(out) + 8 > room);
		ck_assert(text_is_utf8(out, strlen(out)));
		ck_assert_int_eq(strncmp(out, "canno", 5), 0);
		ck_assert_str_eq(out + strlen(out) - 5, "error");
		ck_assert_ptr_nonnull(strstr(out, "…"));
	}
}
END_TEST

START_TEST(escapes_within_the_room)
{
	char out[8];

	ck_assert_uint_eq(text_escape("abc", 3, out, sizeof(out)), 3);
	ck_assert_str_eq(out, "abc");
	ck_assert_uint_eq(text_escape("abcdef\n", 7, out, sizeof(out)), 6);
	ck_assert_str_eq(out, "abcdef");
	ck_assert_uint_eq(text_escape("\x01\x02", 2, out, sizeof(out)), 4);
	ck_assert_str_eq(out, "\\x01");
	ck_assert_uint_eq(text_escape("x", 1, out, 1), 0);
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(knows_utf8)
{
	static const struct {
		const char *s;
		bool is;
	} rows[] = {
		{ "", true },
		{ "plain", true },
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true },
		{ "\xee\x80\x80", true },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\x80", false },
		{ "\xc2", false },
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xed\xa0\x80", false },
		{ "\xe2\x82", false },
		{ "\xe2\x82\x28", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false },
		{ "\xf0\x90\x80\xc0", false },
		{ "ok\xff", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(text_is_utf8(rows[i].s, strlen(rows[i].s)) ==
				      rows[i].is,
			      "row %zu", i);
	ck_assert(text_is_utf8("a\0b", 3));
}
END_TEST

START_TEST(writes_and_reads_hexadecimal)
{
	uint8_t bytes[4] = { 9 };
	char out[9];

	text_hex("\x00\x9f\xab\xff", 4, out);
	ck_assert_str_eq(out, "009fabff");
	ck_assert(text_unhex("009FabFf", 4, bytes));
	ck_assert_mem_eq(bytes, "\x00\x9f\xab\xff", 4);
	ck_assert(text_unhex("", 0, bytes));
	ck_assert(!text_unhex("00", 2, bytes));
	ck_assert(!text_unhex("000", 1, bytes));
	ck_assert(!text_unhex("0g", 1, bytes));
	ck_assert(!text_unhex("0", 1, bytes));
	ck_assert(!text_unhex(" 0", 1, bytes));
}
END_TEST

START_TEST(writes_and_reads_base64)
{
	/* The vectors of RFC 4648, section 10. */
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	uint8_t back[16];
	char out[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const size_t n = strlen(rows[i][0]);

		text_base64(rows[i][0], n, out);
		ck_assert_str_eq(out, rows[i][1]);
		ck_assert_uint_eq(text_base64_size(n), strlen(out) + 1);
		ck_assert_int_eq(text_unbase64(out, strlen(out), back),
				 (ptrdiff_t)n);
		ck_assert_mem_eq(back, rows[i][0], n);
	}
}
END_TEST

START_TEST(refuses_other_base64)
{
	static const char *const bad[] = { "Zg",    "Zg=",  "Zh==",	"Zm9=",
					   "Z===",  "====", "Zg==Zg==", "Z g=",
					   "Zm9\n", "Zm-_" };
	uint8_t back[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(text_unbase64(bad[i], strlen(bad[i]), back) == -1,
			      "%s", bad[i]);
	ck_assert_int_eq(text_unbase64("Zm\0v", 4, back), -1);
}
END_TEST

START_TEST(shows_sizes)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 99 * 1024, "99.0 KiB" },
		{ 100 * 1024, "100 KiB" },
		{ 1024 * 1024 - 1, "1.0 MiB" },
		{ UINT64_C(1503238554), "1.4 GiB" },
		{ UINT64_C(1) << 60, "1.0 EiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char out[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text_size(rows[i].bytes, out);
		ck_assert_str_eq(out, rows[i].text);
	}
}
END_TEST

START_TEST(reads_numbers)
{
	int64_t v = 7;

	ck_assert(text_number("0", 0, 10, &v) && v == 0);
	ck_assert(text_number("-12", -12, 10, &v) && v == -12);
	ck_assert(text_number("9223372036854775807", INT64_MIN, INT64_MAX, &v));
	ck_assert(v == INT64_MAX);
	ck_assert(
		text_number("-9223372036854775808", INT64_MIN, INT64_MAX, &v));
	ck_assert(v == INT64_MIN);
}
END_TEST

START_TEST(refuses_what_is_no_number)
{
	static const char *const bad[] = { "",
					   "-",
					   "+1",
					   " 1",
					   "1 ",
					   "1x",
					   "0x1",
					   "1.0",
					   "--1",
					   "9223372036854775808",
					   "-9223372036854775809",
					   "99999999999999999999" };
	int64_t v = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!text_number(bad[i], INT64_MIN, INT64_MAX, &v),
			      "%s", bad[i]);
	ck_assert(!text_number("11", 0, 10, &v));
	ck_assert(!text_number("-1", 0, 10, &v));
	ck_assert_int_eq(v, 7);
}
END_TEST

START_TEST(measures_how_far_names_are_apart)
{
	char name[66] = "";

	ck_assert_uint_eq(text_distance("", ""), 0);
	ck_assert_uint_eq(text_distance("abc", ""), 3);
	ck_assert_uint_eq(text_distance("", "abc"), 3);
	ck_assert_uint_eq(text_distance("kitten", "sitting"), 3);
	ck_assert_uint_eq(text_distance("snapshot", "snapshto"), 1);
	ck_assert_uint_eq(text_distance("retsore", "restore"), 1);
	ck_assert_uint_eq(text_distance("a", "b"), 1);
	memset(name, 'a', 64);
	ck_assert_uint_eq(text_distance(name, name), 0);
	ck_assert_uint_eq(text_distance(name, "a"), 63);
	name[64] = 'a';
	ck_assert_uint_eq(text_distance(name, name), UINT_MAX);
	ck_assert_uint_eq(text_distance("a", name), UINT_MAX);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, quotes_plain_and_utf8_text);
	tcase_add_test(tc, quotes_what_could_rewrite_a_terminal);
	tcase_add_test(tc, elides_the_middle);
	tcase_add_test(tc, never_overflows_nor_cuts_a_character);
	tcase_add_test(tc, fits_with_both_ends);
	tcase_add_test(tc, escapes_within_the_room);
	tcase_add_test(tc, knows_utf8);
	tcase_add_test(tc, writes_and_reads_hexadecimal);
	tcase_add_test(tc, writes_and_reads_base64);
	tcase_add_test(tc, refuses_other_base64);
	tcase_add_test(tc, shows_sizes);
	tcase_add_test(tc, reads_numbers);
	tcase_add_test(tc, refuses_what_is_no_number);
	tcase_add_test(tc, measures_how_far_names_are_apart);
}

CHECK_MAIN("base/text", cases)
