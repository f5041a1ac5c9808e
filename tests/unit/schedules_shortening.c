#include "schedules/shortening.h"

#include "tests/support/check_main.h"

#define DAY    INT64_C(86400)
#define DAY_MS (DAY * 1000)

static const struct shortening_change change = {
	.any = true,
	.changed = { 10 * DAY, 0 },
	.cooling_off_ms = 7 * DAY_MS,
};

static enum shortening on_day(int64_t day, struct shortening_snapshot s)
{
	return shortening_decide(&change, &s, (struct instant){ day * DAY, 0 });
}

START_TEST(what_was_kept_is_shown_and_waits)
{
	struct shortening_snapshot s = { .kept_before = true };

	ck_assert_int_eq(on_day(10, s), SHORTENING_SHOW);
	s.shown = true;
	s.shown_at.sec = 10 * DAY;
	ck_assert_int_eq(on_day(10, s), SHORTENING_WAITING);
	ck_assert_int_eq(on_day(16, s), SHORTENING_WAITING);
	ck_assert_int_eq(on_day(17, s), SHORTENING_RIPE);
	/* Whether the former rules would still keep it plays no part now. */
	s.kept_before = false;
	ck_assert_int_eq(on_day(16, s), SHORTENING_WAITING);
}
END_TEST

START_TEST(what_joins_the_list_later_waits_longer)
{
	struct shortening_snapshot s = { .kept_before = true };

	ck_assert_int_eq(on_day(16, s), SHORTENING_SHOW);
	s.shown = true;
	s.shown_at.sec = 16 * DAY;
	ck_assert_int_eq(on_day(20, s), SHORTENING_WAITING);
	ck_assert_int_eq(on_day(23, s), SHORTENING_RIPE);
}
END_TEST

START_TEST(what_is_kept_again_is_forgotten)
{
	const struct shortening_snapshot s = { .kept = true,
					       .kept_before = true,
					       .shown = true,
					       .shown_at = { 10 * DAY, 0 } };

	ck_assert_int_eq(on_day(12, s), SHORTENING_FORGET);
	ck_assert_int_eq(on_day(99, s), SHORTENING_FORGET);
}
END_TEST

START_TEST(ageing_is_no_shortening)
{
	struct shortening_snapshot s = { .kept_before = false };
	struct shortening_change none = change;

	ck_assert_int_eq(on_day(12, s), SHORTENING_NONE);
	s.kept_before = true;
	ck_assert_int_eq(on_day(17, s), SHORTENING_NONE);
	/* Nothing was changed, so that nothing has to cool off. */
	none.any = false;
	ck_assert_int_eq(
		shortening_decide(&none, &s, (struct instant){ 12 * DAY, 0 }),
		SHORTENING_NONE);
	s.kept = true;
	ck_assert_int_eq(on_day(12, s), SHORTENING_NONE);
}
END_TEST

START_TEST(a_list_from_the_future_waits)
{
	const struct shortening_snapshot s = { .shown = true,
					       .shown_at = { 50 * DAY, 0 } };

	ck_assert_int_eq(on_day(12, s), SHORTENING_WAITING);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_was_kept_is_shown_and_waits);
	tcase_add_test(tc, what_joins_the_list_later_waits_longer);
	tcase_add_test(tc, what_is_kept_again_is_forgotten);
	tcase_add_test(tc, ageing_is_no_shortening);
	tcase_add_test(tc, a_list_from_the_future_waits);
}
CHECK_MAIN("schedules/shortening", cases)
