/*
 * Offsets of every zone of the database against the C library's, and the way
 * back from the wall.
 */
#include "schedules/zone.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/libc_zone.h"
#include "tests/support/random.h"
#include "tests/support/zonefile.h"

/* 1901-12-13 to 2500: the C library counts from 32-bit times, too. */
#define FIRST INT64_C(-2147483648)
#define LAST  INT64_C(16725225600)

static void check_instant(const struct zone *z, const char *name, int64_t t)
{
	const int64_t local = libc_zone_local(t);
	const struct zone_span sp = zone_span(z, t);
	int64_t back = 0;

	ck_assert_msg(zone_to_local(z, t) == local, "%s at %lld: %lld", name,
		      (long long)t, (long long)(zone_to_local(z, t) - local));
	ck_assert(sp.from <= t && t < sp.until);
	switch (zone_from_local(z, local, &back)) {
	case ZONE_ONCE:
		ck_assert_int_eq(back, t);
		break;
	case ZONE_FOLD:
		ck_assert_int_le(back, t);
		ck_assert_int_eq(libc_zone_local(back), local);
		break;
	case ZONE_GAP:
		ck_abort_msg("%s at %lld: %lld is shown", name, (long long)t,
			     (long long)local);
	}
}

static void check_zone(struct random *r, const char *name)
{
	CLEANUP(zone_free) struct zone *z = zonefile_load(name);

	libc_zone_set(name);
	for (int i = 0; i < 200; i++) {
		const int64_t t = FIRST + (int64_t)random_below(
						  r, (uint64_t)(LAST - FIRST));
		const struct zone_span sp = zone_span(z, t);

		check_instant(z, name, t);
		/* Both sides of a transition. */
		if (sp.from > FIRST) {
			check_instant(z, name, sp.from);
			check_instant(z, name, sp.from - 1);
		}
	}
}

START_TEST(every_zone_agrees_with_the_c_library)
{
	struct random r = random_seed();
	FILE *f = fopen("/usr/share/zoneinfo/zone1970.tab", "r");
	char line[512];
	size_t n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		char name[64];

		if (line[0] == '#' || sscanf(line, "%*s %*s %63s", name) != 1)
			continue;
		check_zone(&r, name);
		n++;
	}
	(void)fclose(f);
	(void)printf("%zu zones\n", n);
	ck_assert_uint_gt(n, 200);
}
END_TEST

/* The gap's and the fold's edges, from the wall's side. */
START_TEST(skipped_times_give_the_end_of_the_gap)
{
	CLEANUP(zone_free) struct zone *z = zonefile_load("Europe/Berlin");
	struct random r = random_seed();

	libc_zone_set("Europe/Berlin");
	for (int i = 0; i < 300; i++) {
		const int64_t t = (int64_t)random_below(&r, 5000000000);
		const struct zone_span sp = zone_span(z, t);
		const int64_t before = libc_zone_local(sp.from - 1) + 1;
		const int64_t after = libc_zone_local(sp.from);
		int64_t back = 0;

		if (sp.from < 0 || after <= before)
			continue;
		for (int64_t l = before; l < after; l += 59) {
			ck_assert_int_eq(zone_from_local(z, l, &back),
					 ZONE_GAP);
			ck_assert_int_eq(back, sp.from);
		}
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, every_zone_agrees_with_the_c_library);
	tcase_add_test(tc, skipped_times_give_the_end_of_the_gap);
}
CHECK_MAIN("schedules/zone and libc", cases)
