/*
 * Calendar durations against timegm()'s normalisation, and against trying
 * each minute where a wall jumps.
 */
#include "schedules/duration.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/libc_zone.h"
#include "tests/support/random.h"
#include "tests/support/zonefile.h"

static struct duration draw(struct random *r)
{
	return (struct duration){
		.years = (int32_t)random_below(r, 30),
		.months = (int32_t)random_below(r, 40),
		.weeks = (int32_t)random_below(r, 60),
		.days = (int32_t)random_below(r, 500),
		.hours = (int32_t)random_below(r, 2000),
	};
}

static int64_t wall_before(int64_t local, struct duration d)
{
	const time_t when = (time_t)local;
	struct tm tm = { 0 };

	(void)gmtime_r(&when, &tm);
	tm.tm_year -= d.years;
	tm.tm_mon -= d.months;
	tm.tm_mday -= 7 * d.weeks + d.days;
	return timegm(&tm);
}

START_TEST(utc_agrees_with_timegm)
{
	struct random r = random_seed();

	for (int i = 0; i < 200000; i++) {
		const struct duration d = draw(&r);
		const struct instant t = {
			(int64_t)random_below(&r, 8000000000) - 2000000000,
			(uint32_t)random_below(&r, 1000000000)
		};
		const struct instant got = duration_before(t, d, zone_utc());

		ck_assert_int_eq(got.sec, wall_before(t.sec, d) -
						  d.hours * INT64_C(3600));
		ck_assert_uint_eq(got.nsec, t.nsec);
	}
}
END_TEST

START_TEST(walls_agree_with_stepping)
{
	static const char *const zones[] = { "Europe/Berlin", "Africa/Cairo",
					     "Australia/Lord_Howe",
					     "America/Sao_Paulo" };
	struct random r = random_seed();

	for (int i = 0; i < 400; i++) {
		const char *name = zones[i % 4];
		CLEANUP(zone_free) struct zone *z = zonefile_load(name);
		struct duration d = draw(&r);
		struct instant t = {
			(int64_t)random_below(&r, 30000000) * 60 + 600000000, 0
		};
		int64_t wall;

		/* Half of them aim at a jump. */
		d.days |= 1;
		libc_zone_set(name);
		if (i % 8 >= 4) {
			const int64_t at = zone_span(z, t.sec).from;

			d = (struct duration){ .days = 1 };
			t.sec = at + 86400 -
				(int64_t)random_below(&r, 300) * 60;
		}
		wall = wall_before(libc_zone_local(t.sec), d);
		ck_assert_int_eq(duration_before(t, d, z).sec,
				 libc_zone_instant(wall) -
					 d.hours * INT64_C(3600));
	}
}
END_TEST

START_TEST(texts_come_back)
{
	struct random r = random_seed();

	for (int i = 0; i < 100000; i++) {
		const struct duration d = draw(&r);
		struct duration back = { 0 };
		char text[DURATION_TEXT];
		struct err e;

		duration_format(d, text);
		ck_ok(duration_parse(text, &back, &e));
		ck_assert_mem_eq(&d, &back, sizeof(d));
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, utc_agrees_with_timegm);
	tcase_add_test(tc, walls_agree_with_stepping);
	tcase_add_test(tc, texts_come_back);
}
CHECK_MAIN("schedules/duration and timegm", cases)
