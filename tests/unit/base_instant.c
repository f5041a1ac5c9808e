#include "base/instant.h"

#include <string.h>

#include "tests/support/check_main.h"

START_TEST(formats_utc)
{
	static const struct {
		struct instant t;
		const char *text;
	} rows[] = {
		{ { 0, 0 }, "1970-01-01T00:00:00Z" },
		{ { -1, 999999999 }, "1969-12-31T23:59:59.999999999Z" },
		{ { 1774749600, 0 }, "2026-03-29T02:00:00Z" },
		{ { 1774749600, 500000000 }, "2026-03-29T02:00:00.5Z" },
		{ { 1774749600, 1 }, "2026-03-29T02:00:00.000000001Z" },
		{ { 951782400, 0 }, "2000-02-29T00:00:00Z" },
		{ { 4107542400, 0 }, "2100-03-01T00:00:00Z" },
		{ { 253402300799, 0 }, "9999-12-31T23:59:59Z" },
		{ { 253402300800, 0 }, "+10000-01-01T00:00:00Z" },
		{ { -62167219200, 0 }, "0000-01-01T00:00:00Z" },
		{ { -62167219201, 0 }, "-0001-12-31T23:59:59Z" },
		{ { INT64_MAX, 999999999 },
		  "+292277026596-12-04T15:30:07.999999999Z" },
		{ { INT64_MIN, 0 }, "-292277022657-01-27T08:29:52Z" },
	};
	char out[INSTANT_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		instant_format(rows[i].t, out);
		ck_assert_str_eq(out, rows[i].text);
	}
}
END_TEST

START_TEST(formats_with_an_offset)
{
	const struct instant t = { 1774749600, 0 };
	const struct instant last = { INT64_MAX, 999999999 };
	char out[INSTANT_TEXT];

	instant_format_offset(t, 7200, out);
	ck_assert_str_eq(out, "2026-03-29T04:00:00+02:00");
	instant_format_offset(t, -12600, out);
	ck_assert_str_eq(out, "2026-03-28T22:30:00-03:30");
	instant_format_offset(t, 0, out);
	ck_assert_str_eq(out, "2026-03-29T02:00:00+00:00");
	/* Berlin's local mean time, +00:53:28: the instant stays the same. */
	instant_format_offset(t, 3208, out);
	ck_assert_str_eq(out, "2026-03-29T02:53:00+00:53");
	instant_format_offset(last, 50400, out);
	ck_assert_str_eq(out, "+292277026596-12-05T05:30:07.999999999+14:00");
}
END_TEST

START_TEST(parses_rfc_3339)
{
	static const struct {
		const char *text;
		struct instant t;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", { 0, 0 } },
		{ "2026-03-29t02:00:00z", { 1774749600, 0 } },
		{ "2026-03-29 04:00:00+02:00", { 1774749600, 0 } },
		{ "2026-03-28T22:30:00-03:30", { 1774749600, 0 } },
		{ "2026-03-29T02:00:00.5-00:00", { 1774749600, 500000000 } },
		{ "2026-03-29T02:00:00.1234567899Z",
		  { 1774749600, 123456789 } },
		{ "1969-12-31T23:59:59.999999999Z", { -1, 999999999 } },
		{ "2016-12-31T23:59:60Z", { 1483228800, 0 } },
		{ "2017-01-01T05:29:60+05:30", { 1483228800, 0 } },
		{ "0000-01-01T00:00:00Z", { -62167219200, 0 } },
		{ "2000-02-29T00:00:00Z", { 951782400, 0 } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct instant t;
		struct err e;

		ck_ok(instant_parse(rows[i].text, &t, &e));
		ck_assert_msg(instant_compare(t, rows[i].t) == 0, "%s",
			      rows[i].text);
	}
}
END_TEST

START_TEST(refuses_other_times)
{
	static const char *const bad[] = {
		"",
		"now",
		"2026-03-29",
		"2026-03-29T02:00Z",
		"2026-03-29T02:00:00",
		"2026-03-29T02:00:00.Z",
		"2026-03-29T02:00:00,5Z",
		"2026-03-29T02:00:00+0200",
		"2026-03-29T02:00:00+24:00",
		"2026-03-29T02:00:00+02:60",
		"2026-03-29T02:00:00Z ",
		" 2026-03-29T02:00:00Z",
		"2026-3-29T02:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z",
		"2026-01-01T12:00:60Z",
		"+10000-01-01T00:00:00Z",
		"-001-01-01T00:00:00Z",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct instant t = { 42, 43 };
		struct err e;

		ck_assert_msg(instant_parse(bad[i], &t, &e) == -1, "%s",
			      bad[i]);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert(strstr(e.text, "is not a time such as"));
		ck_assert(t.sec == 42 && t.nsec == 43);
	}
}
END_TEST

START_TEST(compares_and_adds)
{
	const struct instant a = { 10, 5 };
	const struct instant b = { 10, 6 };
	const struct instant first = { INT64_MIN, 0 };
	const struct instant last = { INT64_MAX, 999999999 };
	struct instant t;

	ck_assert_int_lt(instant_compare(a, b), 0);
	ck_assert_int_gt(instant_compare(b, a), 0);
	ck_assert_int_eq(instant_compare(a, a), 0);
	ck_assert_int_lt(instant_compare(first, last), 0);
	ck_assert_int_eq(instant_ms_between(a, b), 0);
	ck_assert_int_eq(instant_ms_between(b, a), -1);
	ck_assert_int_eq(instant_ms_between(first, last), INT64_MAX);
	ck_assert_int_eq(instant_ms_between(last, first), INT64_MIN);

	t = instant_add_ms(a, 1999);
	ck_assert(t.sec == 11 && t.nsec == 999000005);
	t = instant_add_ms(a, -1);
	ck_assert(t.sec == 9 && t.nsec == 999000005);
	t = instant_add_ms(last, INT64_MAX);
	ck_assert(instant_compare(t, last) == 0);
	t = instant_add_ms(first, INT64_MIN);
	ck_assert(instant_compare(t, first) == 0);
}
END_TEST

START_TEST(counts_days_to_the_ends_of_time)
{
	int64_t year;
	unsigned int month;
	unsigned int day;

	ck_assert_int_eq(instant_days_from_civil(1970, 1, 1), 0);
	ck_assert_int_eq(instant_days_from_civil(2026, 2, 31),
			 instant_days_from_civil(2026, 3, 3));
	ck_assert_int_eq(instant_days_from_civil(2024, 2, 31),
			 instant_days_from_civil(2024, 3, 2));
	instant_civil_from_days(INT64_MAX, &year, &month, &day);
	ck_assert_int_eq(instant_days_from_civil(year, month, day), INT64_MAX);
	instant_civil_from_days(INT64_MIN, &year, &month, &day);
	ck_assert_int_eq(instant_days_from_civil(year, month, day), INT64_MIN);
	ck_assert_int_eq(instant_days_from_civil(INT64_MAX, 12, 31), INT64_MAX);
	ck_assert_int_eq(instant_days_from_civil(INT64_MIN, 1, 1), INT64_MIN);
}
END_TEST

START_TEST(parses_durations)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "0s", 0 },
		{ "90s", 90000 },
		{ "10m", 600000 },
		{ "26h", 93600000 },
		{ "1d2h30m5s", 95405000 },
		{ "7d", INT64_C(604800000) },
		{ "1d0s", 86400000 },
		{ "106751991167d", INT64_C(9223372036828800000) },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms;
		struct err e;

		ck_ok(instant_duration_parse(rows[i].text, &ms, &e));
		ck_assert_int_eq(ms, rows[i].ms);
	}
}
END_TEST

START_TEST(refuses_other_durations)
{
	static const char *const bad[] = { "",
					   "5",
					   "s",
					   "5x",
					   "-5s",
					   "+5s",
					   "1.5h",
					   "1h1d",
					   "1h1h",
					   "1m2h",
					   "1h ",
					   " 1h",
					   "1 h",
					   "1ms",
					   "1w",
					   "1H",
					   "106751991168d",
					   "99999999999999999999s",
					   "106751991167d99999h" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t ms = 42;
		struct err e;

		ck_assert_msg(instant_duration_parse(bad[i], &ms, &e) == -1,
			      "%s", bad[i]);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_int_eq(ms, 42);
	}
}
END_TEST

START_TEST(formats_durations)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0s" },
		{ 999, "0s" },
		{ -999, "0s" },
		{ 1000, "1s" },
		{ 93600000, "1d2h" },
		{ 95405000, "1d2h30m5s" },
		{ -61000, "-1m1s" },
		{ INT64_MAX, "106751991167d7h12m55s" },
		{ INT64_MIN, "-106751991167d7h12m55s" },
	};
	char out[INSTANT_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		instant_duration_format(rows[i].ms, out);
		ck_assert_str_eq(out, rows[i].text);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, formats_utc);
	tcase_add_test(tc, formats_with_an_offset);
	tcase_add_test(tc, parses_rfc_3339);
	tcase_add_test(tc, refuses_other_times);
	tcase_add_test(tc, compares_and_adds);
	tcase_add_test(tc, counts_days_to_the_ends_of_time);
	tcase_add_test(tc, parses_durations);
	tcase_add_test(tc, refuses_other_durations);
	tcase_add_test(tc, formats_durations);
}

CHECK_MAIN("base/instant", cases)
