/* Which region is read: service/region_choice.h, service/region_health.h. */
#include "service/region_choice.h"

#include <stdio.h>

#include "service/region_health.h"
#include "tests/support/check_main.h"

#define N 4

static struct region_fact facts[N];

/* "0123": who is asked, in order. */
static const char *order(bool is_latest)
{
	static char out[N + 1];
	size_t got[N];

	region_choice_order(facts, N, is_latest, got);
	for (size_t i = 0; i < N; i++)
		out[i] = (char)('0' + got[i]);
	return out;
}

static void begin(void)
{
	memset(facts, 0, sizeof(facts));
	facts[1].primary = true;
}

START_TEST(the_primary_comes_first)
{
	ck_assert_str_eq(order(false), "1023");
	/* Also when it failed before: only asking it tells. */
	facts[1].failed = facts[1].damaged = true;
	facts[1].failures = 1000;
	ck_assert_str_eq(order(false), "1023");
}
END_TEST

START_TEST(others_follow_by_how_well_they_answer)
{
	facts[0].failed = true;
	ck_assert_str_eq(order(false), "1230");
	facts[2].damaged = true;
	ck_assert_str_eq(order(false), "1320");
	facts[2].damaged = facts[0].failed = false;
	facts[0].failures = 300;
	facts[2].failures = 299;
	ck_assert_str_eq(order(false), "1320");
	facts[0].failures = facts[2].failures = 0;
	facts[0].latency_ms = 100;
	facts[2].latency_ms = 99; /* as quick as any */
	ck_assert_str_eq(order(false), "1230");
	facts[2].latency_ms = 1000;
	ck_assert_str_eq(order(false), "1302");
	/* Failing weighs more than being slow. */
	facts[3].failures = 1;
	ck_assert_str_eq(order(false), "1023");
}
END_TEST

START_TEST(the_newest_comes_before_the_primary)
{
	for (size_t i = 0; i < N; i++)
		facts[i].received.sec = 100;
	ck_assert_str_eq(order(true), "1023");
	facts[3].received.sec = 101;
	facts[3].failed = true;
	ck_assert_str_eq(order(true), "3102");
	ck_assert_str_eq(order(false), "1023");
	facts[1].received.sec = 0;
	ck_assert_str_eq(order(true), "3021");
}
END_TEST

/* A letter for each use, as in the header's table; in order of the codes. */
START_TEST(what_says_nothing_of_others)
{
	static const char *const uses[ERR_COUNT] = {
		[ERR_BUSY] = "row",	 [ERR_IO] = "row",
		[ERR_DENIED] = "row",	 [ERR_FULL] = "-ow",
		[ERR_USAGE] = "-o-",	 [ERR_CORRUPT] = "ro-",
		[ERR_NOT_FOUND] = "row",
	};

	for (int i = 0; i < ERR_COUNT; i++) {
		const char *want = uses[i] ? uses[i] : "---";
		struct err why = { .code = (enum err_code)i };

		ck_assert(region_choice_is_away(&why, REGION_READ) ==
			  (want[0] == 'r'));
		ck_assert(region_choice_is_away(&why, REGION_OPEN_TO_WRITE) ==
			  (want[1] == 'o'));
		/* A source may have failed so, too. */
		ck_assert(!region_choice_is_away(&why, REGION_WRITE));
		why.of_store = true;
		ck_assert(region_choice_is_away(&why, REGION_WRITE) ==
			  (want[2] == 'w'));
	}
}
END_TEST

START_TEST(the_last_contacts_count)
{
	struct region_fact f = { .failures = 0 };

	region_choice_learn(&f, true, 40);
	ck_assert(!f.failed);
	ck_assert_uint_eq(f.failures, 0);
	ck_assert_int_eq(f.latency_ms, 40);
	region_choice_learn(&f, false, -1);
	ck_assert(f.failed);
	ck_assert_uint_eq(f.failures, 125);
	ck_assert_int_eq(f.latency_ms, 40);
	region_choice_learn(&f, false, 120);
	ck_assert(!f.failed);
	ck_assert_uint_eq(f.failures, 109);
	ck_assert_int_eq(f.latency_ms, 50);
	for (int i = 0; i < 60; i++)
		region_choice_learn(&f, false, 10);
	ck_assert_uint_eq(f.failures, 0);
	for (int i = 0; i < 60; i++)
		region_choice_learn(&f, false, -1);
	ck_assert_uint_gt(f.failures, 980);
	ck_assert_uint_le(f.failures, 1000);
	region_choice_learn(&f, true, -1);
	ck_assert_uint_eq(f.failures, 1000);
}
END_TEST

START_TEST(it_is_kept_as_json)
{
	static const char *const bad[] = { "",
					   "{}",
					   "[]",
					   "{\"failures\":-1}",
					   "{\"failures\":1001}",
					   "{\"failures\":\"1\"}" };
	struct region_fact f = { .failures = 17, .latency_ms = 2500 };
	struct region_fact got = { .primary = true, .unwritable = "x" };
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 600);
	ck_ok(region_health_write(&f, &b, &e));
	ck_assert(region_health_read(buf_str(&b), &got));
	ck_assert_uint_eq(got.failures, 17);
	ck_assert_int_eq(got.latency_ms, 2500);
	ck_assert(got.primary);
	ck_assert_str_eq(got.unwritable, "");
	/* Cut within a character, it ends before that. */
	memset(f.unwritable, 'a', sizeof(f.unwritable) - 2);
	f.unwritable[0] = '"';
	f.unwritable[sizeof(f.unwritable) - 2] = '\xc3';
	(void)snprintf(f.refusal, sizeof(f.refusal), "full");
	buf_clear(&b);
	ck_ok(region_health_write(&f, &b, &e));
	ck_assert(region_health_read(buf_str(&b), &got));
	f.unwritable[sizeof(f.unwritable) - 2] = '\0';
	ck_assert_str_eq(got.unwritable, f.unwritable);
	ck_assert_str_eq(got.refusal, "full");
	/* As it was before that was told. */
	(void)region_health_read("{\"unwritable\":\"x\"}", &got);
	ck_assert_str_eq(got.refusal, "read-only");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert(!region_health_read(bad[i], &got));
	ck_assert(
		region_health_read("{\"failures\":3,\"latency_ms\":-4}", &got));
	ck_assert_uint_eq(got.failures, 3);
	ck_assert_int_eq(got.latency_ms, 2500);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, the_primary_comes_first);
	tcase_add_test(tc, others_follow_by_how_well_they_answer);
	tcase_add_test(tc, the_newest_comes_before_the_primary);
	tcase_add_test(tc, what_says_nothing_of_others);
	tcase_add_test(tc, the_last_contacts_count);
	tcase_add_test(tc, it_is_kept_as_json);
}

CHECK_MAIN("service/region_choice", cases)
