/*
 * cron_next() against stepping through real time minute by minute, with local
 * time from the C library: thirty zones and more, the week around each of
 * their transitions in many years, random expressions.
 */
#include "schedules/cron.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/cron_draw.h"
#include "tests/support/libc_zone.h"
#include "tests/support/random.h"
#include "tests/support/zonefile.h"

#define DAY  86400
#define WEEK (7 * DAY)

/* Compared is a week; a day and a half around it is known, too. */
#define EDGE	(DAY + DAY / 2)
#define MINUTES ((WEEK + 2 * EDGE) / 60)

/* Real minutes around a transition with what the wall shows. */
static struct {
	int64_t from; /* of the first minute */
	int64_t local[MINUTES];
	bool fires[MINUTES];
	/* For each local minute since the lowest: when it is first shown. */
	int64_t lowest;
	int32_t shown[2 * MINUTES];
} week;

/* False when offsets are no whole minutes. */
static bool fill_week(int64_t from)
{
	week.from = from;
	week.lowest = INT64_MAX;
	for (size_t i = 0; i < MINUTES; i++) {
		week.local[i] = libc_zone_local(from + 60 * (int64_t)i);
		if (week.local[i] % 60)
			return false;
		if (week.local[i] < week.lowest)
			week.lowest = week.local[i];
	}
	memset(week.shown, 0xff, sizeof(week.shown));
	for (int32_t i = 0; i < MINUTES; i++) {
		int32_t *first =
			&week.shown[(week.local[i] - week.lowest) / 60];

		if (*first < 0)
			*first = i;
	}
	return true;
}

static void fire_fixed(const struct cron_draw *t)
{
	int32_t next = -1;

	for (size_t k = 2 * MINUTES; k-- > 0;) {
		if (week.shown[k] >= 0)
			next = week.shown[k];
		if (next >= 0 &&
		    cron_draw_matches(t, week.lowest + 60 * (int64_t)k))
			week.fires[next] = true;
	}
}

static void fire(const struct cron_draw *t)
{
	memset(week.fires, 0, sizeof(week.fires));
	if (cron_draw_is_fixed(t)) {
		fire_fixed(t);
		return;
	}
	for (size_t i = 0; i < MINUTES; i++)
		week.fires[i] = cron_draw_matches(t, week.local[i]);
}

static void compare(const struct zone *z, const char *name,
		    const struct cron_draw *t)
{
	const size_t first = EDGE / 60;
	const size_t end = MINUTES - EDGE / 60;
	int64_t got = week.from + EDGE - 1;
	int64_t last = INT64_MIN;
	struct cron c = { 0 };
	struct err e;

	if (cron_parse(t->text, &c, &e)) {
		ck_assert_msg(strstr(e.text, "can never fire") != NULL,
			      "%s: %s", t->text, e.text);
		return;
	}
	fire(t);
	for (size_t i = first; i < end; i++) {
		const int64_t want = week.from + 60 * (int64_t)i;
		int64_t back = INT64_MIN;

		if (!week.fires[i])
			continue;
		ck_assert_msg(cron_next(&c, z, got, &got) == 1 && got == want,
			      "%s \"%s\": %lld comes next, not %lld", name,
			      t->text, (long long)got, (long long)want);
		if (last > INT64_MIN) {
			ck_assert_int_eq(cron_previous(&c, z, got, &back), 1);
			ck_assert_int_eq(back, last);
		}
		last = got;
	}
	if (cron_next(&c, z, got, &got))
		ck_assert_msg(got >= week.from + WEEK + EDGE,
			      "%s \"%s\": %lld is one too many", name, t->text,
			      (long long)got);
}

static void check_week(struct random *r, const struct zone *z, const char *name,
		       int64_t middle)
{
	static const char *const usual[] = { "30 2 * * *", "0 0 * * *" };

	if (!fill_week(middle - middle % 60 - WEEK / 2 - EDGE))
		return;
	for (int i = 0; i < 10; i++) {
		struct cron_draw t = cron_draw(r);

		if (i < 2) {
			memset(&t, 0, sizeof(t));
			(void)snprintf(t.text, sizeof(t.text), "%s", usual[i]);
			t.star[2] = t.star[3] = t.star[4] = true;
			memset(t.ok[2], 1, sizeof(t.ok[2]));
			memset(t.ok[3], 1, sizeof(t.ok[3]));
			memset(t.ok[4], 1, sizeof(t.ok[4]));
			t.ok[0][i == 0 ? 30 : 0] = true;
			t.ok[1][i == 0 ? 2 : 0] = true;
		}
		compare(z, name, &t);
	}
}

static int64_t year_begin(int year)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mday = 1 };

	return timegm(&tm);
}

/* The C library's transitions of a year, found by halving. */
static size_t check_year(struct random *r, const struct zone *z,
			 const char *name, int year)
{
	size_t n = 0;

	for (int64_t t = year_begin(year); t < year_begin(year + 1); t += DAY) {
		const long before = libc_zone_tm(t).tm_gmtoff;
		int64_t lo = t;
		int64_t hi = t + DAY;

		if (libc_zone_tm(hi).tm_gmtoff == before)
			continue;
		while (hi - lo > 1) {
			const int64_t mid = lo + (hi - lo) / 2;

			if (libc_zone_tm(mid).tm_gmtoff == before)
				lo = mid;
			else
				hi = mid;
		}
		check_week(r, z, name, hi);
		n++;
	}
	return n;
}

START_TEST(no_occurrence_is_lost_or_doubled)
{
	static const int years[] = { 2025, 2026, 2038, 2100 };
	const size_t n_zones = LIBC_ZONES;
	struct random r = random_seed();
	size_t transitions = 0;

	for (size_t i = 0; i < n_zones; i++) {
		CLEANUP(zone_free)
		struct zone *z = zonefile_load(libc_zones[i]);
		size_t found = 0;

		libc_zone_set(libc_zones[i]);
		for (size_t k = 0; k < sizeof(years) / sizeof(years[0]); k++)
			found += check_year(&r, z, libc_zones[i], years[k]);
		/* Whose offset no longer changes has changed it once. */
		for (int year = 2023; found < 4 && year > 1975; year--)
			found += check_year(&r, z, libc_zones[i], year);
		check_week(&r, z, libc_zones[i],
			   (int64_t)random_below(&r, INT64_C(8000000000)) +
				   year_begin(1980));
		transitions += found;
	}
	(void)printf("%zu zones, %zu transitions\n", n_zones, transitions);
	ck_assert_uint_gt(transitions, 4 * n_zones);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, no_occurrence_is_lost_or_doubled);
}
CHECK_MAIN("schedules/cron by stepping", cases)
