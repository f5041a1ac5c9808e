/* Instants against the C library's calendar, and against themselves. */
#include "base/instant.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"

/* struct tm counts years in an int, so this is how far the library goes. */
#define LIBRARY_MAX_S (INT64_C(2147483647) * 31556952)

static int64_t random_second(struct random *r, int64_t bound)
{
	const int64_t v = (int64_t)(random_any_size(r) % (uint64_t)bound);

	return random_below(r, 2) ? v : -v;
}

START_TEST(formats_as_the_c_library_does)
{
	struct random r = random_seed();

	for (int round = 0; round < 300000; round++) {
		const int64_t sec = random_second(&r, LIBRARY_MAX_S);
		const time_t t = (time_t)sec;
		char want[INSTANT_TEXT * 2];
		char have[INSTANT_TEXT];
		int64_t year;
		struct tm tm;

		ck_assert_ptr_nonnull(gmtime_r(&t, &tm));
		year = (int64_t)tm.tm_year + 1900;
		(void)snprintf(
			want, sizeof(want),
			year < 0 || year > 9999
				? "%+05" PRId64 "-%02d-%02dT%02d:%02d:%02dZ"
				: "%04" PRId64 "-%02d-%02dT%02d:%02d:%02dZ",
			year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec);
		instant_format((struct instant){ sec, 0 }, have);
		ck_assert_str_eq(have, want);
	}
}
END_TEST

/* 0000-01-01 to 9999-12-31, what RFC 3339 can say. */
#define FIRST_S INT64_C(-62167219200)
#define LAST_S	INT64_C(253402300799)

START_TEST(parses_what_it_formats)
{
	struct random r = random_seed();

	for (int round = 0; round < 300000; round++) {
		const struct instant t = {
			FIRST_S + (int64_t)random_below(&r, LAST_S - FIRST_S),
			random_below(&r, 2)
				? (uint32_t)random_below(&r, 1000000000)
				: (uint32_t)random_below(&r, 1000) * 1000000,
		};
		const int32_t offset = (int32_t)random_below(&r, 2879) * 60 -
				       1439 * 60;
		struct instant back;
		char text[INSTANT_TEXT];
		struct err e;

		instant_format(t, text);
		ck_ok(instant_parse(text, &back, &e));
		ck_assert_int_eq(instant_compare(t, back), 0);
		if (t.sec < FIRST_S + 86400 || t.sec > LAST_S - 86400)
			continue;
		instant_format_offset(t, offset, text);
		ck_ok(instant_parse(text, &back, &e));
		ck_assert_msg(instant_compare(t, back) == 0, "%s", text);
	}
}
END_TEST

START_TEST(civil_days_go_both_ways)
{
	struct random r = random_seed();
	int64_t year = 0;
	unsigned int month = 0;
	unsigned int day = 0;

	for (int round = 0; round < 300000; round++) {
		const int64_t days = (int64_t)random_any_size(&r) *
				     (random_below(&r, 2) ? 1 : -1);

		instant_civil_from_days(days, &year, &month, &day);
		ck_assert(month >= 1 && month <= 12 && day >= 1 && day <= 31);
		ck_assert_int_eq(instant_days_from_civil(year, month, day),
				 days);
	}
	/* Two eras day by day: each is the next of the one before. */
	for (int64_t days = -150000; days < 150000; days++) {
		const int64_t last_year = year;
		const unsigned int last_month = month;
		const unsigned int last_day = day;

		instant_civil_from_days(days, &year, &month, &day);
		if (days == -150000)
			continue;
		if (day != 1)
			ck_assert(day == last_day + 1 && month == last_month);
		else if (month != 1)
			ck_assert(month == last_month + 1 && year == last_year);
		else
			ck_assert(last_month == 12 && year == last_year + 1);
	}
}
END_TEST

START_TEST(adding_and_subtracting_agree)
{
	struct random r = random_seed();

	for (int round = 0; round < 300000; round++) {
		const struct instant a = {
			random_second(&r, INT64_MAX / 4000),
			(uint32_t)random_below(&r, 1000000000),
		};
		const int64_t ms = random_second(&r, INT64_MAX / 4);
		const struct instant b = instant_add_ms(a, ms);

		ck_assert_int_eq(instant_ms_between(a, b), ms);
		ck_assert_uint_lt(b.nsec, 1000000000);
		ck_assert_int_eq(instant_compare(instant_add_ms(b, -ms), a), 0);
		ck_assert_int_eq(instant_compare(a, b), (ms < 0) - (ms > 0));
	}
}
END_TEST

START_TEST(durations_go_both_ways)
{
	struct random r = random_seed();

	for (int round = 0; round < 300000; round++) {
		const int64_t ms = (int64_t)(random_any_size(&r) >> 1) / 1000 *
				   1000;
		int64_t back;
		char text[INSTANT_TEXT];
		struct err e;

		instant_duration_format(ms, text);
		ck_ok(instant_duration_parse(text, &back, &e));
		ck_assert_int_eq(back, ms);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, formats_as_the_c_library_does);
	tcase_add_test(tc, parses_what_it_formats);
	tcase_add_test(tc, civil_days_go_both_ways);
	tcase_add_test(tc, adding_and_subtracting_agree);
	tcase_add_test(tc, durations_go_both_ways);
}

CHECK_MAIN("prop base/instant", cases)
