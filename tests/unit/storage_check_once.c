/* A check of which one call fails, and none after it, calls nothing sound. */
#include <stdatomic.h>

#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	gc_frame_init(g, "mem:check_once");
	gc_file(g, "kept");
	(void)gc_take(g);
	gc_erase(g, 0);
	gc_ok(gc_undelete(g, 0));
	gc_mark_all(g);
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static void count_call(void *arg, const char *name)
{
	(void)name;
	atomic_fetch_add((atomic_ullong *)arg, 1);
}

/* Whether it ends, and says that all is sound. */
static bool says_sound(enum check_level level)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = level, .now = g->now };

	err_clear(&g->e);
	return check_run(g->f.r, &o, &x, &g->e) == 0 && x.sound;
}

static void expect_never_sound(enum check_level level)
{
	static const enum fault_call tried[] = { FAULT_READ, FAULT_SIZE,
						 FAULT_LIST };

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		atomic_ullong calls = 0;
		struct fault f = { .call = tried[i],
				   .action = FAULT_RUN,
				   .everyone = true,
				   .run = count_call,
				   .arg = &calls };

		gc_reopen(g);
		fault_add(gc_store(g), &f);
		ck_assert(says_sound(level));
		ck_assert_uint_gt(calls, 0);
		f.action = FAULT_FAIL;
		f.times = 1;
		for (f.nth = 1; f.nth <= calls; f.nth++) {
			gc_reopen(g);
			fault_add(gc_store(g), &f);
			ck_assert_msg(!says_sound(level), "%zu, call %llu", i,
				      (unsigned long long)f.nth);
		}
	}
}

START_TEST(a_call_that_fails_once_is_not_passed_over)
{
	expect_never_sound(CHECK_STRUCTURE);
	expect_never_sound(CHECK_DATA);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_call_that_fails_once_is_not_passed_over);
}

CHECK_MAIN("storage/check_once", cases)
