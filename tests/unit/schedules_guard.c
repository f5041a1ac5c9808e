#include "schedules/guard.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

#define DAY_MS INT64_C(86400000)
#define N      12

static const struct instant now = { 100 * 86400, 0 };
static struct guard_snapshot all[N];
static char ids[N][8];
static enum guard_verdict got[N];

/* n snapshots, one a day, the first the oldest, none kept. */
static void start(size_t n)
{
	memset(all, 0, sizeof(all));
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(ids[i], sizeof(ids[i]), "s%02zu", i);
		all[i].id = ids[i];
		all[i].received.sec = (int64_t)i * 86400;
		all[i].proven = true;
	}
}

/* One letter each: k d h l w f c b. */
static const char *decide(size_t n, uint32_t floor, uint64_t budget)
{
	static char out[N + 1];
	const struct guard_limits limits = { floor, budget };
	struct err e;

	ck_assert_int_eq(guard_decide(all, n, &limits, now, got, &e), 0);
	for (size_t i = 0; i < n; i++)
		out[i] = "kdhlwfcb"[got[i]];
	out[n] = '\0';
	return out;
}

START_TEST(nothing_objects)
{
	start(4);
	all[3].kept = true;
	ck_assert_str_eq(decide(4, 0, 99), "dddk");
	ck_assert_str_eq(decide(0, 3, 0), "");
}
END_TEST

START_TEST(holds_and_locks_come_first)
{
	start(4);
	all[0].held = all[0].locked = all[0].cooling_off = true;
	all[0].locked_until.sec = INT64_MAX;
	all[1].locked = true;
	all[1].locked_until = (struct instant){ now.sec, 1 };
	all[2].locked = true;
	all[2].locked_until = now;
	ck_assert_str_eq(decide(4, 0, 99), "hldd");
	ck_assert_str_eq(decide(4, 5, 0), "hlff");
	/* Until when says nothing about one that is not locked. */
	all[1].locked = false;
	ck_assert_str_eq(decide(4, 0, 99), "hddd");
}
END_TEST

/* It stays, so it counts for the floor, and costs nothing of the budget. */
START_TEST(what_another_region_waits_for_stays)
{
	start(6);
	all[0].awaited = all[1].awaited = all[2].awaited = true;
	all[0].held = true;
	all[1].cooling_off = true;
	all[5].kept = true;
	ck_assert_str_eq(decide(6, 0, 2), "hwwddk");
	ck_assert_str_eq(decide(6, 4, 2), "hwwddk");
	ck_assert_str_eq(decide(6, 5, 2), "hwwdfk");
	all[2].locked = true;
	all[2].locked_until.sec = INT64_MAX;
	all[1].kept = true;
	ck_assert_str_eq(decide(6, 0, 1), "hkldbk");
}
END_TEST

START_TEST(a_floor_keeps_the_newest_proven)
{
	start(6);
	ck_assert_str_eq(decide(6, 3, 99), "dddfff");
	all[5].kept = true;
	ck_assert_str_eq(decide(6, 3, 99), "dddffk");
	all[4].proven = false;
	ck_assert_str_eq(decide(6, 3, 99), "ddffdk");
	all[0].kept = all[1].kept = true;
	ck_assert_str_eq(decide(6, 3, 99), "kkdddk");
}
END_TEST

START_TEST(too_few_proven_block_everything)
{
	start(6);
	for (size_t i = 2; i < 6; i++)
		all[i].proven = false;
	ck_assert_str_eq(decide(6, 3, 99), "ffffff");
	ck_assert_str_eq(decide(6, 2, 99), "ffdddd");
}
END_TEST

START_TEST(the_budget_takes_the_oldest_first)
{
	struct guard_snapshot swap;

	start(5);
	swap = all[0];
	all[0] = all[4];
	all[4] = swap;
	ck_assert_str_eq(decide(5, 0, 2), "bdbbd");
	all[1].cooling_off = true;
	ck_assert_str_eq(decide(5, 0, 2), "bcdbd");
	ck_assert_str_eq(decide(5, 0, 0), "bcbbb");
	/* Two are in the wrong order, too, and what is kept takes no part. */
	start(3);
	all[0].received.sec = 86400 * 2;
	all[1].kept = true;
	all[2].received.sec = 0;
	ck_assert_str_eq(decide(3, 0, 1), "bkd");
	start(2);
	all[1].kept = true;
	ck_assert_str_eq(decide(2, 0, 1), "dk");
}
END_TEST

START_TEST(of_one_time_the_lesser_id_goes_first)
{
	start(3);
	all[0].id = "z";
	all[1].id = "a";
	all[1].received = all[0].received;
	ck_assert_str_eq(decide(3, 0, 1), "bdb");
	/* Whatever the ids: time comes first. */
	all[1].received.sec++;
	ck_assert_str_eq(decide(3, 0, 1), "dbb");
}
END_TEST

START_TEST(a_tenth_but_at_least_two)
{
	ck_assert_uint_eq(guard_budget(0, 0), 2);
	ck_assert_uint_eq(guard_budget(29, 0), 2);
	ck_assert_uint_eq(guard_budget(30, 0), 3);
	ck_assert_uint_eq(guard_budget(1000, 40), 60);
	ck_assert_uint_eq(guard_budget(1000, 100), 0);
	ck_assert_uint_eq(guard_budget(1000, 200), 0);
}
END_TEST

START_TEST(a_copy_is_as_old_as_its_oldest_pack)
{
	const struct guard_floor f = { 3, 2, 30 * DAY_MS };
	struct guard_copy copies[3] = {
		{ true, { 70 * 86400, 0 } },
		{ true, { 99 * 86400, 0 } },
		{ false, { 99 * 86400, 0 } },
	};

	ck_assert(guard_is_proven(&f, copies, 3, now));
	copies[0].oldest.sec--;
	ck_assert(!guard_is_proven(&f, copies, 3, now));
	copies[2].verified = true;
	ck_assert(guard_is_proven(&f, copies, 3, now));
	copies[2].oldest = now;
	ck_assert(guard_is_proven(&f, copies, 3, now));
	copies[2].oldest.sec = now.sec + 1;
	ck_assert(!guard_is_proven(&f, copies, 3, now));
	ck_assert(!guard_is_proven(&f, NULL, 0, now));
}
END_TEST

static int decide_three(void *arg, struct err *e)
{
	const struct guard_limits limits = { 1, 1 };

	(void)arg;
	return guard_decide(all, 3, &limits, now, got, e);
}

START_TEST(without_memory_nothing_is_decided)
{
	start(3);
	ck_assert_uint_ge(alloc_fail_each(decide_three, NULL), 1);
}
END_TEST

START_TEST(verdicts_explain_themselves)
{
	for (unsigned int i = 0; i < GUARD_VERDICTS; i++) {
		ck_assert_str_ne(guard_verdict_name((enum guard_verdict)i), "");
		ck_assert_str_ne(guard_verdict_text((enum guard_verdict)i), "");
	}
	ck_assert_str_eq(guard_verdict_name(GUARD_HELD_BY_BUDGET),
			 "held-by-budget");
	ck_assert_str_eq(guard_verdict_name(GUARD_VERDICTS), "");
	ck_assert_str_eq(guard_verdict_text(GUARD_VERDICTS), "");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, nothing_objects);
	tcase_add_test(tc, holds_and_locks_come_first);
	tcase_add_test(tc, what_another_region_waits_for_stays);
	tcase_add_test(tc, a_floor_keeps_the_newest_proven);
	tcase_add_test(tc, too_few_proven_block_everything);
	tcase_add_test(tc, the_budget_takes_the_oldest_first);
	tcase_add_test(tc, of_one_time_the_lesser_id_goes_first);
	tcase_add_test(tc, a_tenth_but_at_least_two);
	tcase_add_test(tc, a_copy_is_as_old_as_its_oldest_pack);
	tcase_add_test(tc, without_memory_nothing_is_decided);
	tcase_add_test(tc, verdicts_explain_themselves);
}
CHECK_MAIN("schedules/guard", cases)
