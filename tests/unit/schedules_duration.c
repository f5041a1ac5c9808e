#include "schedules/duration.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/zonefile.h"

START_TEST(durations_are_read_and_written)
{
	static const struct {
		const char *text;
		struct duration d;
		const char *again;
	} forms[] = {
		{ "1y2m3w4d5h", { 1, 2, 3, 4, 5 }, "1y2m3w4d5h" },
		{ "1y2m3d4h", { 1, 2, 0, 3, 4 }, "1y2m3d4h" },
		{ "7d", { 0, 0, 0, 7, 0 }, "7d" },
		{ "36h", { 0, 0, 0, 0, 36 }, "36h" },
		{ "0d", { 0, 0, 0, 0, 0 }, "0d" },
		{ "007d0h", { 0, 0, 0, 7, 0 }, "7d" },
		{ "1000000y", { 1000000, 0, 0, 0, 0 }, "1000000y" },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct duration d = { 0 };
		char out[DURATION_TEXT];
		struct err e;

		ck_ok(duration_parse(forms[i].text, &d, &e));
		ck_assert_mem_eq(&d, &forms[i].d, sizeof(d));
		duration_format(d, out);
		ck_assert_str_eq(out, forms[i].again);
	}
}
END_TEST

START_TEST(other_texts_are_refused)
{
	static const char *const wrong[] = {
		"",	"d",	"7",	    "1d1y",
		"1d1d", "1.5d", "-1d",	    "+1d",
		"1s",	"1 d",	"1000001d", "1D",
		"7dd",	"d7",	"1y 2m",    "99999999999999999999y",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct duration d;
		struct err e = { 0 };

		ck_assert_msg(duration_parse(wrong[i], &d, &e) == -1,
			      "\"%s\" was read", wrong[i]);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_str_ne(e.hint, "");
	}
}
END_TEST

START_TEST(dates_run_over_and_walls_have_gaps)
{
	static const struct {
		const char *zone, *t, *minus, *gives;
	} rows[] = {
		{ "UTC", "2026-03-31T12:00:00Z", "1m", "2026-03-03T12:00:00Z" },
		{ "UTC", "2028-03-31T12:00:00Z", "1m", "2028-03-02T12:00:00Z" },
		{ "UTC", "2024-02-29T00:00:00Z", "1y", "2023-03-01T00:00:00Z" },
		{ "UTC", "2026-01-15T00:00:00Z", "14m",
		  "2024-11-15T00:00:00Z" },
		{ "UTC", "2026-01-15T00:00:00.5Z", "2w1d1h",
		  "2025-12-30T23:00:00.5Z" },
		{ "UTC", "2026-01-15T00:00:00Z", "1w", "2026-01-08T00:00:00Z" },
		{ "UTC", "1969-03-31T12:00:00Z", "1m", "1969-03-03T12:00:00Z" },
		/* 02:30 on 29 March is in the gap. */
		{ "Europe/Berlin", "2026-03-30T00:30:00Z", "1d",
		  "2026-03-29T01:00:00Z" },
		/* The first pass of 02:30 on 25 October. */
		{ "Europe/Berlin", "2026-10-26T01:30:00Z", "1d",
		  "2026-10-25T00:30:00Z" },
		/* A day on the wall is not always 24 hours. */
		{ "Europe/Berlin", "2026-03-29T20:00:00Z", "1d",
		  "2026-03-28T21:00:00Z" },
		{ "Europe/Berlin", "2026-03-29T20:00:00Z", "24h",
		  "2026-03-28T20:00:00Z" },
		{ "Europe/Berlin", "2026-10-25T01:30:00Z", "0d",
		  "2026-10-25T01:30:00Z" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct zone *z = zonefile_load(rows[i].zone);
		struct instant t = { 0 };
		struct duration d = { 0 };
		char out[INSTANT_TEXT];
		struct err e;

		ck_ok(instant_parse(rows[i].t, &t, &e));
		ck_ok(duration_parse(rows[i].minus, &d, &e));
		instant_format(duration_before(t, d, z), out);
		ck_assert_str_eq(out, rows[i].gives);
		zone_free(z);
	}
}
END_TEST

START_TEST(none_is_zero_and_any_is_not)
{
	static const char *const some[] = { "1y", "1m", "1w", "1d", "1h" };
	struct duration d = { 0 };
	struct err e;

	ck_assert(duration_is_zero(d));
	ck_ok(duration_parse("0y0m0w0d0h", &d, &e));
	ck_assert(duration_is_zero(d));
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		ck_ok(duration_parse(some[i], &d, &e));
		ck_assert(!duration_is_zero(d));
	}
}
END_TEST

START_TEST(extremes_do_no_harm)
{
	const struct duration most = { DURATION_MAX, DURATION_MAX, DURATION_MAX,
				       DURATION_MAX, DURATION_MAX };
	const struct instant ends[] = { { INT64_MIN, 0 }, { INT64_MAX, 0 } };
	const struct instant now = { 1774749600, 0 };

	for (size_t i = 0; i < 2; i++)
		ck_assert(instant_compare(
				  duration_before(ends[i], most, zone_utc()),
				  ends[i]) == 0);
	ck_assert(duration_before(now, most, zone_utc()).sec <
		  -INT64_C(30000000000000));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, durations_are_read_and_written);
	tcase_add_test(tc, other_texts_are_refused);
	tcase_add_test(tc, dates_run_over_and_walls_have_gaps);
	tcase_add_test(tc, none_is_zero_and_any_is_not);
	tcase_add_test(tc, extremes_do_no_harm);
}
CHECK_MAIN("schedules/duration", cases)
