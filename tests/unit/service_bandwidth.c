/* What a region may be sent and asked for, by its windows. */
#include "base/clock.h"
#include "service/bandwidth.h"
#include "tests/support/check_main.h"

static struct err e;

static struct limit_rates at(const struct resource_region *region,
			     const char *when)
{
	struct bandwidth *b = NULL;
	struct limit_rates rates;
	struct instant t;

	ck_ok(instant_parse(when, &t, &e));
	ck_ok(bandwidth_new(region, &b, &e));
	rates = bandwidth_at(b, t);
	bandwidth_free(b);
	return rates;
}

static struct resource_bandwidth windows[] = {
	{ .cron = "0 8 * * MON-FRI",
	  .for_ms = INT64_C(36000000),
	  .up_bytes = 5 },
	{ .cron = "0 0 * * SUN",
	  .for_ms = INT64_C(86400000),
	  .up_bytes = 900,
	  .down_bytes = 800 },
	{ .cron = "0 0 * * *", .for_ms = INT64_C(86400000), .down_bytes = 70 },
};
static struct resource_region region = {
	.up_bytes = 100,
	.down_bytes = 200,
	.windows = windows,
	.window_count = 2,
	.time_zone = "Europe/Berlin",
};

START_TEST(a_window_takes_the_place_of_what_it_names)
{
	/* A Monday in winter: 08:00 there is 07:00Z. */
	ck_assert_uint_eq(at(&region, "2026-11-30T06:59:59Z").up, 100);
	ck_assert_uint_eq(at(&region, "2026-11-30T07:00:00Z").up, 5);
	ck_assert_uint_eq(at(&region, "2026-11-30T07:00:00Z").down, 200);
	ck_assert_uint_eq(at(&region, "2026-11-30T16:59:59Z").up, 5);
	ck_assert_uint_eq(at(&region, "2026-11-30T17:00:00Z").up, 100);
	/* And in summer, 06:00Z. */
	ck_assert_uint_eq(at(&region, "2026-07-06T06:00:00Z").up, 5);
	ck_assert_uint_eq(at(&region, "2026-07-06T05:59:59Z").up, 100);
	/* Saturday has none, Sunday another. */
	ck_assert_uint_eq(at(&region, "2026-11-28T12:00:00Z").up, 100);
	ck_assert_uint_eq(at(&region, "2026-11-29T12:00:00Z").up, 900);
	ck_assert_uint_eq(at(&region, "2026-11-29T12:00:00Z").down, 800);
}
END_TEST

START_TEST(the_first_window_that_holds_is_the_one)
{
	struct resource_region r = region;

	r.window_count = 3;
	ck_assert_uint_eq(at(&r, "2026-11-30T08:00:00Z").up, 5);
	ck_assert_uint_eq(at(&r, "2026-11-30T08:00:00Z").down, 200);
	ck_assert_uint_eq(at(&r, "2026-11-28T12:00:00Z").down, 70);
	ck_assert_uint_eq(at(&r, "2026-11-28T12:00:00Z").up, 100);
}
END_TEST

START_TEST(without_limits_a_store_is_as_it_is)
{
	struct resource_region r = { .url = "mem:bandwidth",
				     .time_zone = "UTC" };
	struct store *s = NULL;
	struct store *plain = NULL;

	ck_assert_int_eq(bandwidth_open(&r, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_ok(store_open(r.url, true, &plain, &e));
	ck_ok(bandwidth_open(&r, &s, &e));
	ck_assert_ptr_eq(s->ops, plain->ops);
	store_close(s);
	r.up_bytes = 7;
	ck_ok(bandwidth_open(&r, &s, &e));
	ck_assert_ptr_ne(s->ops, plain->ops);
	store_close(s);
	r.time_zone = "No/Where";
	ck_assert_int_eq(bandwidth_open(&r, &s, &e), -1);
	store_close(plain);
	store_mem_forget(r.url);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_window_takes_the_place_of_what_it_names);
	tcase_add_test(tc, the_first_window_that_holds_is_the_one);
	tcase_add_test(tc, without_limits_a_store_is_as_it_is);
}

CHECK_MAIN("service/bandwidth", cases)
