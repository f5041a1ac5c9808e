#include "schedules/cron.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/instant.h"
#include "tests/support/check_main.h"
#include "tests/support/zonefile.h"

static struct cron parsed(const char *text)
{
	struct cron c = { 0 };
	struct err e;

	ck_assert_int_eq(cron_parse(text, &c, &e), 0);
	return c;
}

static int64_t utc(const char *text)
{
	struct instant t = { 0 };
	struct err e;

	ck_ok(instant_parse(text, &t, &e));
	return t.sec;
}

/* The first occurrences after `after`, as RFC 3339 in the zone. */
static void expect(const char *zone, const char *text, const char *after,
		   const char *const *want, size_t n)
{
	struct zone *z = zonefile_load(zone);
	const struct cron c = parsed(text);
	int64_t t = utc(after);

	for (size_t i = 0; i < n; i++) {
		char got[INSTANT_TEXT];
		const int64_t before = t;
		int64_t back;

		ck_assert_int_eq(cron_next(&c, z, t, &t), 1);
		instant_format_offset((struct instant){ t, 0 },
				      zone_offset_s(z, t), got);
		ck_assert_msg(strcmp(got, want[i]) == 0,
			      "%s: occurrence %zu is %s, not %s", text, i, got,
			      want[i]);
		ck_assert_int_eq(cron_previous(&c, z, t + 1, &back), 1);
		ck_assert_int_eq(back, t);
		if (i > 0) {
			ck_assert_int_eq(cron_previous(&c, z, t, &back), 1);
			ck_assert_int_eq(back, before);
		}
	}
	zone_free(z);
}

#define EXPECT(zone, text, after, ...)                              \
	do {                                                        \
		static const char *const want_[] = { __VA_ARGS__ }; \
		expect(zone, text, after, want_,                    \
		       sizeof(want_) / sizeof(want_[0]));           \
	} while (0)

/* Of a text in quotes: five fields of what fields are made of. */
static bool is_expression(const char *text)
{
	size_t fields = 1;

	for (const char *p = text; *p; p++) {
		const bool space = *p == ' ';

		if (!space && !isalnum((unsigned char)*p) &&
		    !strchr("*/,-", *p))
			return false;
		fields += space;
	}
	return fields == 5 && (isdigit((unsigned char)*text) || *text == '*');
}

/* What a document calls one that can never fire is refused for that only. */
static void expect_read(const char *path, const char *text)
{
	struct cron c;
	struct err e;

	if (cron_parse(text, &c, &e))
		ck_assert_msg(strstr(e.text, "can never fire") != NULL,
			      "%s says \"%s\": %s", path, text, e.text);
}

/* Each expression in quotes, and each @word; how many there were. */
static size_t read_document(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[4000];
	size_t n = 0;

	ck_assert_msg(f != NULL, "%s is not there", path);
	while (fgets(line, sizeof(line), f)) {
		char *p = line;

		while ((p = strpbrk(p, "\"@"))) {
			const char mark = *p;
			char *from = mark == '@' ? p : p + 1;
			char *end = from + (mark == '@');
			bool is_one;
			char was;

			while (*end &&
			       (mark == '@' ? islower((unsigned char)*end)
					    : *end != '"'))
				end++;
			was = *end;
			*end = '\0';
			is_one = mark == '@' ? end - from > 4
					     : is_expression(from);
			if (is_one)
				expect_read(path, from);
			n += is_one;
			*end = was;
			p = mark == '@' || is_one ? end + (was == '"') : from;
		}
	}
	(void)fclose(f);
	return n;
}

START_TEST(what_documents_show_is_read)
{
	ck_assert_uint_ge(read_document(HOUSE "/schedules/cron.h"), 7 + 6);
	ck_assert_uint_ge(read_document(HOUSE "/service/op_schedule.c"), 5);
	ck_assert_uint_ge(read_document(HOUSE "/service/example.yaml"), 2);
	ck_assert_uint_ge(read_document(HOUSE "/README.md"), 1);
}
END_TEST

START_TEST(every_documented_form_is_read)
{
	static const struct {
		const char *text;
		const char *same;
	} forms[] = {
		{ "@hourly", "0 * * * *" },
		{ "@daily", "0 0 * * *" },
		{ "@midnight", "0 0 * * *" },
		{ "@weekly", "0 0 * * 0" },
		{ "@monthly", "0 0 1 * *" },
		{ "@yearly", "0 0 1 1 *" },
		{ "@annually", "0 0 1 1 *" },
		{ " @Daily\t", "0 0 * * *" },
		{ "  5\t4  * * *  ", "5 4 * * *" },
		{ "0 0 * JAN-MAR mon-FRI", "0 0 * 1-3 1-5" },
		{ "0 0 * jan,Dec 7", "0 0 * 1,12 0" },
		{ "0 0 * * SAT-SUN", "0 0 * * 6,0" },
		{ "0 0 * * 5-7", "0 0 * * 0,5,6" },
		{ "0 0 * * SUN-TUE", "0 0 * * 0-2" },
		{ "0 0 * * 7/2", "0 0 * * 0" },
		{ "*/20 1-9/4 * * *", "0,20,40 1,5,9 * * *" },
		{ "50/3 * * * *", "50,53,56,59 * * * *" },
		{ "0 0 * * FRI/1", "0 0 * * 5,6" },
		{ "0 8 * * MON-FRI", "0 8 * * 1-5" },
		{ "0 6 * * SUN", "0 6 * * 7" },
		{ "30 2 * * *", "30 2 * * *" },
		{ "0 0 */10 */6 *", "0 0 1,11,21,31 1,7 *" },
		{ "0 0 * * SUN-SUN", "0 0 * * 0" },
		{ "0 0 * * MON-SUN", "0 0 * * 1,2,3,4,5,6,7" },
		{ "0 0 * * MON-WED", "0 0 * * 1,2,3" },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct cron a;
		struct cron b;

		memset(&a, 0, sizeof(a));
		memset(&b, 0, sizeof(b));
		a = parsed(forms[i].text);
		b = parsed(forms[i].same);
		ck_assert_msg(
			a.minutes == b.minutes && a.hours == b.hours &&
				a.days == b.days && a.months == b.months &&
				a.weekdays == b.weekdays && a.fixed == b.fixed,
			"%s is not %s", forms[i].text, forms[i].same);
	}
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
	static const struct {
		const char *text;
		const char *part;
	} wrong[] = {
		{ "", "found 0 fields" },
		{ "* * * *", "found 4 fields" },
		{ "0 * * * * *", "found 6 fields" },
		{ "CRON_TZ=UTC 0 0 * * *", "found 6 fields" },
		{ "60 * * * *", "minute \"60\": expected 0-59 at column 1" },
		{ "0 24 * * *", "hour \"24\": expected 0-23 at column 3" },
		{ "0 0 0 * *", "day of month \"0\": expected 1-31" },
		{ "0 0 * 13 *", "month \"13\": expected 1-12 or JAN-DEC" },
		{ "0 0 * * 8", "day of week \"8\": expected 0-7 or SUN-SAT" },
		{ "0 0 * FOO *", "month \"FOO\"" },
		{ "0 0 * JANU *", "month \"JANU\"" },
		{ "0 0 * MON *", "month \"MON\"" },
		{ "*/0 * * * *", "a step of 1-60 at column 3" },
		{ "*/61 * * * *", "a step of 1-60" },
		{ "0 0 */32 * *", "a step of 1-31" },
		{ "0 0 * */13 *", "a step of 1-12" },
		{ "0 0 * * */8", "a step of 1-7" },
		{ "0 5-0 * * *", "does not run backwards at column 5" },
		{ "5- * * * *", "expected 0-59 at column 3" },
		{ "5,,6 * * * *", "column 3" },
		{ "9-5 * * * *", "does not run backwards at column 3" },
		{ "0 0 ? * *", "day of month \"?\"" },
		{ "0 0 1W * *", "column 6" },
		{ "0 0 * * 5L", "column 10" },
		{ "0 -1 * * *", "hour \"-1\"" },
		{ "0 0 99999999999999999999 * *", "expected 1-31" },
		{ "@reboot", "no such timetable" },
		{ "@daily @daily", "no such timetable" },
		{ "0 0 31 2 *", "can never fire" },
		{ "0 0 31 APR,JUN */2", "can never fire" },
		{ "0 0 30-31 2 *", "can never fire" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cron c;
		struct err e = { 0 };

		ck_assert_msg(cron_parse(wrong[i].text, &c, &e) == -1,
			      "%s was read", wrong[i].text);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_msg(strstr(e.text, wrong[i].part) != NULL,
			      "\"%s\" lacks \"%s\"", e.text, wrong[i].part);
	}
}
END_TEST

START_TEST(what_helps_is_said)
{
	static const struct {
		const char *text;
		const char *hint;
	} wrong[] = {
		{ "TZ=UTC 0 0 * * *", "timeZone" },
		{ "CRON_TZ=UTC 0 0 * * *", "timeZone" },
		{ "0 0 0 * * *", "seconds or years" },
		{ "@noon", "@hourly" },
		{ "0 0 5-2 * *", "two ranges" },
		{ "0 0 5L * *", "not part of" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cron c;
		struct err e = { 0 };

		ck_assert_int_eq(cron_parse(wrong[i].text, &c, &e), -1);
		ck_assert_msg(strstr(e.hint, wrong[i].hint) != NULL,
			      "%s: \"%s\" lacks \"%s\"", wrong[i].text, e.hint,
			      wrong[i].hint);
	}
}
END_TEST

START_TEST(a_very_long_text_is_refused)
{
	char text[2000];
	struct cron c;
	struct err e;

	memset(text, ' ', sizeof(text));
	memcpy(text, "@daily", 6);
	text[CRON_TEXT_MAX] = '\0';
	ck_ok(cron_parse(text, &c, &e));
	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(cron_parse(text, &c, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "longer than"));
}
END_TEST

START_TEST(days_match_either_field_unless_one_has_a_star)
{
	EXPECT("UTC", "0 0 13 * FRI", "2026-03-01T00:00:00Z",
	       "2026-03-06T00:00:00+00:00", "2026-03-13T00:00:00+00:00",
	       "2026-03-20T00:00:00+00:00", "2026-03-27T00:00:00+00:00",
	       "2026-04-03T00:00:00+00:00", "2026-04-10T00:00:00+00:00",
	       "2026-04-13T00:00:00+00:00");
	EXPECT("UTC", "0 0 13 * */5", "2026-03-01T00:00:00Z",
	       "2026-03-13T00:00:00+00:00", "2026-09-13T00:00:00+00:00",
	       "2026-11-13T00:00:00+00:00");
	EXPECT("UTC", "0 0 31 2 MON", "2026-01-01T00:00:00Z",
	       "2026-02-02T00:00:00+00:00", "2026-02-09T00:00:00+00:00");
}
END_TEST

START_TEST(the_last_hour_and_years_before_1970_count)
{
	EXPECT("UTC", "30 23 * * *", "2026-03-01T23:29:00Z",
	       "2026-03-01T23:30:00+00:00", "2026-03-02T23:30:00+00:00");
	EXPECT("UTC", "59 23 31 12 *", "2026-12-31T23:58:59Z",
	       "2026-12-31T23:59:00+00:00", "2027-12-31T23:59:00+00:00");
	EXPECT("UTC", "0 12 * * *", "1969-12-30T11:59:59Z",
	       "1969-12-30T12:00:00+00:00", "1969-12-31T12:00:00+00:00",
	       "1970-01-01T12:00:00+00:00");
	EXPECT("UTC", "@daily", "1969-12-30T23:59:59Z",
	       "1969-12-31T00:00:00+00:00", "1970-01-01T00:00:00+00:00",
	       "1970-01-02T00:00:00+00:00");
	EXPECT("UTC", "0 0 * * MON", "1960-02-28T12:00:00Z",
	       "1960-02-29T00:00:00+00:00", "1960-03-07T00:00:00+00:00");
	/* In a span that has ended before 1970, too. */
	EXPECT("Europe/Berlin", "0 12 * * *", "1949-06-01T09:00:00Z",
	       "1949-06-01T12:00:00+02:00", "1949-06-02T12:00:00+02:00");
}
END_TEST

START_TEST(rare_days_are_found)
{
	EXPECT("UTC", "0 12 29 2 *", "2096-02-29T12:00:00Z",
	       "2104-02-29T12:00:00+00:00", "2108-02-29T12:00:00+00:00");
	/* 29 February and a Sunday: once in 28 years, 40 around 2100. */
	EXPECT("UTC", "59 23 29 2 */7", "2026-01-01T00:00:00Z",
	       "2032-02-29T23:59:00+00:00", "2060-02-29T23:59:00+00:00",
	       "2088-02-29T23:59:00+00:00", "2128-02-29T23:59:00+00:00");
}
END_TEST

START_TEST(a_fixed_time_in_a_gap_fires_after_it)
{
	EXPECT("Europe/Berlin", "30 2 * * *", "2026-03-27T12:00:00Z",
	       "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00",
	       "2026-03-30T02:30:00+02:00");
	EXPECT("Europe/Berlin", "0,30 2 * * *", "2026-03-28T12:00:00Z",
	       "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00");
	EXPECT("Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00:00Z",
	       "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00",
	       "2026-03-30T03:00:00+02:00");
	/* Midnight itself can lie in a gap. */
	EXPECT("Africa/Cairo", "@daily", "2026-04-23T12:00:00Z",
	       "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00");
	/* A whole day was left out. */
	EXPECT("Pacific/Apia", "0 12 * * *", "2011-12-28T23:00:00Z",
	       "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00",
	       "2011-12-31T12:00:00+14:00");
	/* The day's own restriction counts, not the day after the gap. */
	EXPECT("Pacific/Apia", "0 12 30 12 *", "2011-12-28T23:00:00Z",
	       "2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00");
}
END_TEST

START_TEST(a_fixed_time_in_a_fold_fires_once)
{
	EXPECT("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z",
	       "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00");
	/* From within the second pass, too. */
	EXPECT("Europe/Berlin", "30 2 * * *", "2026-10-25T01:10:00Z",
	       "2026-10-26T02:30:00+01:00");
	EXPECT("Australia/Lord_Howe", "*/15 1 * * *", "2026-04-04T13:00:00Z",
	       "2026-04-05T01:00:00+11:00", "2026-04-05T01:15:00+11:00",
	       "2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00",
	       "2026-04-06T01:00:00+10:30");
}
END_TEST

START_TEST(others_follow_the_wall)
{
	EXPECT("Europe/Berlin", "30 * * * *", "2026-03-29T00:00:00Z",
	       "2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00");
	EXPECT("Europe/Berlin", "30 * * * *", "2026-10-25T00:00:00Z",
	       "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00",
	       "2026-10-25T03:30:00+01:00");
	EXPECT("Europe/Berlin", "0 */2 * * *", "2026-03-28T23:30:00Z",
	       "2026-03-29T04:00:00+02:00");
	EXPECT("Europe/Berlin", "30 0-23 * * *", "2026-10-25T00:00:00Z",
	       "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00");
}
END_TEST

START_TEST(far_years_have_occurrences_and_the_last_one_ends_it)
{
	struct zone *z = zonefile_load("Europe/Berlin");
	const struct cron c = parsed("30 2 * * *");
	const struct cron every = parsed("* * * * *");
	int64_t t;

	EXPECT("Europe/Berlin", "30 2 * * *", "2400-07-01T00:00:00Z",
	       "2400-07-01T02:30:00+02:00");
	ck_assert_int_eq(cron_next(&c, z, utc("9999-12-31T12:00:00Z"), &t), 0);
	ck_assert_int_eq(cron_next(&c, z, INT64_MAX, &t), 0);
	ck_assert_int_eq(
		cron_next(&every, zone_utc(), utc("9999-12-31T23:58:59Z"), &t),
		1);
	ck_assert_int_eq(t, utc("9999-12-31T23:59:00Z"));
	ck_assert_int_eq(cron_next(&every, zone_utc(), t, &t), 0);
	ck_assert_int_eq(cron_previous(&every, zone_utc(), INT64_MAX, &t), 1);
	ck_assert_int_eq(t, utc("9999-12-31T23:59:00Z"));
	ck_assert_int_eq(cron_next(&every, zone_utc(), INT64_MIN, &t), 1);
	ck_assert_int_eq(t, INT64_C(-62135596800));
	ck_assert_int_eq(cron_previous(&every, zone_utc(), t + 1, &t), 1);
	ck_assert_int_eq(t, INT64_C(-62135596800));
	ck_assert_int_eq(cron_previous(&every, zone_utc(), t, &t), 0);
	ck_assert_int_eq(cron_next(&c, z, INT64_MIN, &t), 1);
	ck_assert_int_eq(cron_previous(&c, z, t, &t), 0);
	ck_assert_int_eq(cron_previous(&c, z, INT64_MIN, &t), 0);
	ck_assert_int_eq(cron_previous(&c, z, INT64_MAX, &t), 1);
	zone_free(z);
}
END_TEST

/* From each second, whatever the leaps and halves on the way there. */
START_TEST(the_previous_one_is_the_last_before)
{
	const struct cron every = parsed("* * * * *");
	const struct cron hourly = parsed("7 * * * *");
	const int64_t begin = utc("2026-03-01T00:00:00Z");

	for (int64_t before = begin + 1; before < begin + 7300; before++) {
		int64_t t;

		ck_assert_int_eq(cron_previous(&every, zone_utc(), before, &t),
				 1);
		ck_assert_int_eq(t, (before - 1) / 60 * 60);
		ck_assert_int_eq(cron_previous(&hourly, zone_utc(), before, &t),
				 1);
		ck_assert_int_eq(t, (before - 421) / 3600 * 3600 + 420);
	}
}
END_TEST

START_TEST(jitter_is_in_range_spread_and_stable)
{
	const int64_t ten_minutes = 600000;
	unsigned int in_first_half = 0;

	for (int64_t i = 0; i < 1000; i++) {
		const int64_t j = cron_jitter_ms("a-schedule", i * 86400,
						 ten_minutes);

		ck_assert(j >= 0 && j < ten_minutes);
		in_first_half += j < ten_minutes / 2;
	}
	ck_assert(in_first_half > 400 && in_first_half < 600);
	ck_assert_int_eq(cron_jitter_ms("x", 1, 0), 0);
	ck_assert_int_eq(cron_jitter_ms("x", 1, -1), 0);
	ck_assert_int_ne(cron_jitter_ms("a", 0, ten_minutes),
			 cron_jitter_ms("b", 0, ten_minutes));
	/* Written down: a restart, or the next release, gets the same. */
	ck_assert_int_eq(cron_jitter_ms("5f0c", 1774749600, ten_minutes),
			 232365);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_documents_show_is_read);
	tcase_add_test(tc, every_documented_form_is_read);
	tcase_add_test(tc, what_is_wrong_is_named);
	tcase_add_test(tc, what_helps_is_said);
	tcase_add_test(tc, a_very_long_text_is_refused);
	tcase_add_test(tc, days_match_either_field_unless_one_has_a_star);
	tcase_add_test(tc, the_last_hour_and_years_before_1970_count);
	tcase_add_test(tc, rare_days_are_found);
	tcase_add_test(tc, a_fixed_time_in_a_gap_fires_after_it);
	tcase_add_test(tc, a_fixed_time_in_a_fold_fires_once);
	tcase_add_test(tc, others_follow_the_wall);
	tcase_add_test(tc, far_years_have_occurrences_and_the_last_one_ends_it);
	tcase_add_test(tc, the_previous_one_is_the_last_before);
	tcase_add_test(tc, jitter_is_in_range_spread_and_stable);
}
CHECK_MAIN("schedules/cron", cases)
