/* Limits of bytes a second, by counting bytes against a clock of our own. */
#include "storage/rate.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define SECOND 1000000

START_TEST(no_limit_never_rests)
{
	struct rate r;

	rate_init(&r, 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(rate_moved(&r, UINT64_MAX, i), 0);
}
END_TEST

/* Whoever rests as told moves the limit's bytes: no more, and hardly less. */
START_TEST(moves_what_the_limit_allows)
{
	static const uint64_t limits[] = { 1, 1000, 50000000, 12345678901 };
	struct random dice = random_seed();

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		const uint64_t limit = limits[i];
		const uint64_t most = limit / 10 + 1;
		int64_t now = 77 * (int64_t)SECOND;
		const int64_t begin = now;
		uint64_t moved = 0;
		struct rate r;

		rate_init(&r, limit);
		while (now - begin < 100 * (int64_t)SECOND) {
			const uint64_t n = random_below(&dice, most) + 1;

			moved += n;
			now += rate_moved(&r, n, now);
			/* The work itself takes time, too. */
			now += (int64_t)random_below(&dice, 5);
			ck_assert_uint_le(moved,
					  (uint64_t)(now - begin) / 1000 *
							  limit / 1000 +
						  limit / 4 + limit / 500 + 2);
		}
		ck_assert_uint_ge(moved,
				  (uint64_t)(now - begin) / SECOND * limit -
					  limit / 5 - most);
	}
}
END_TEST

/* Time in which nothing moved is not saved up beyond one burst. */
START_TEST(idle_time_is_no_credit)
{
	struct rate r;

	rate_init(&r, 1000);
	ck_assert_int_eq(rate_moved(&r, 250, 0), 0);
	ck_assert_int_eq(rate_moved(&r, 250, 3600LL * SECOND), 0);
	ck_assert_int_eq(rate_moved(&r, 1000, 3600LL * SECOND), SECOND);
}
END_TEST

START_TEST(absurd_amounts_do_not_wrap)
{
	struct rate r;

	rate_init(&r, 3);
	for (int i = 0; i < 100000; i++)
		ck_assert_int_gt(rate_moved(&r, UINT64_MAX, 5), 0);
	rate_init(&r, UINT64_MAX);
	ck_assert_int_eq(rate_moved(&r, UINT64_MAX - 1, 5),
			 SECOND - RATE_BURST_US);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, no_limit_never_rests);
	tcase_add_test(tc, moves_what_the_limit_allows);
	tcase_add_test(tc, idle_time_is_no_credit);
	tcase_add_test(tc, absurd_amounts_do_not_wrap);
}

CHECK_MAIN("storage/rate", cases)
