/* Which copies are still to be locked, by what is known of them. */
#include "service/run_lock_due.h"

#include "storage/replicate.h"
#include "tests/support/check_main.h"

#define HOUR_MS	     INT64_C(3600000)
#define NOBODY_KNOWS 9999

static const struct instant now = { 1700000000, 0 };
static struct err e;

/* A region whose own policy locks for so long after the receipt, two hours
 * ago; the lock that counts in every region ends so many hours from now. */
static int ask(int64_t own_hours, int all_hours, int can_guard,
	       unsigned int where)
{
	struct run_lock_due x = { .own = { .ms = own_hours * HOUR_MS,
					   .is_own = own_hours > 0 },
				  .can_guard = can_guard,
				  .now = now };
	struct repository_snapshot s = {
		.received = instant_add_ms(now, -2 * HOUR_MS),
		.locked = all_hours != 0,
		.locked_for_all = all_hours != 0,
		.locked_for_all_until =
			all_hours == NOBODY_KNOWS
				? (struct instant){ INT64_MAX, 0 }
				: instant_add_ms(now, all_hours * HOUR_MS),
	};

	return run_lock_due_ask(&x, &s, where, &e);
}

START_TEST(by_its_own_rule)
{
	ck_assert_int_eq(ask(3, 0, 0, REPLICATE_UNNAMED), 1);
	ck_assert_int_eq(ask(2, 0, 0, REPLICATE_UNNAMED), 0);
	ck_assert_int_eq(ask(3, 0, 0, REPLICATE_TO), 0);
}
END_TEST

/* Where the store guards; elsewhere the records do. */
START_TEST(by_a_lock_of_every_region)
{
	ck_assert_int_eq(ask(0, 1, 1, REPLICATE_UNNAMED), 1);
	ck_assert_int_eq(ask(0, 1, 0, REPLICATE_UNNAMED), 0);
	ck_assert_int_eq(ask(0, -1, 1, REPLICATE_UNNAMED), 0);
	ck_assert_int_eq(ask(0, 0, 1, REPLICATE_UNNAMED), 0);
}
END_TEST

/* The rule's time is over, and the lock's is not. */
START_TEST(by_whichever_lasts_longer)
{
	ck_assert_int_eq(ask(1, 1, 1, REPLICATE_UNNAMED), 1);
	ck_assert_int_eq(ask(1, -1, 1, REPLICATE_UNNAMED), 0);
	ck_assert_int_eq(ask(3, -1, 1, REPLICATE_UNNAMED), 1);
}
END_TEST

/* As one does not open: nothing can be put in its place but by the rule. */
START_TEST(by_a_lock_of_nobody_knows_how_long)
{
	ck_assert_int_eq(ask(0, NOBODY_KNOWS, 1, REPLICATE_UNNAMED), 0);
	ck_assert_int_eq(ask(1, NOBODY_KNOWS, 1, REPLICATE_UNNAMED), 0);
	ck_assert_int_eq(ask(3, NOBODY_KNOWS, 1, REPLICATE_UNNAMED), 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, by_its_own_rule);
	tcase_add_test(tc, by_a_lock_of_every_region);
	tcase_add_test(tc, by_whichever_lasts_longer);
	tcase_add_test(tc, by_a_lock_of_nobody_knows_how_long);
}

CHECK_MAIN("service/run_lock_due", cases)
