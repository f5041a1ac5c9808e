/* A store that is held to so many bytes a second: same answers, paced. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "storage/stores/fault.h"
#include "storage/stores/limit.h"
#include "tests/support/check_main.h"

/* The linker leads the clock and its sleeping through here: no test waits. */
static int64_t now_ms;
static int64_t slept_ms;
static struct limit_rates rates;
static unsigned int n_asked;
static unsigned int n_done;
static struct store *store;
static struct err e;

int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void)
{
	return now_ms;
}

void __wrap_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms)
{
	now_ms += ms;
	slept_ms += ms;
}

static void ask(void *arg, struct limit_rates *ret)
{
	ck_assert_ptr_eq(arg, &rates);
	*ret = rates;
	n_asked++;
}

static void done(void *arg UNUSED)
{
	n_done++;
}

static void set_up(void)
{
	const struct limit_options o = { .ask = ask,
					 .done = done,
					 .arg = &rates };
	struct store *inner = NULL;

	err_clear(&e);
	now_ms = 1000;
	slept_ms = 0;
	n_asked = n_done = 0;
	rates = (struct limit_rates){ 0 };
	ck_ok(store_open("mem:limit", true, &inner, &e));
	ck_ok(limit_wrap(inner, &o, &store, &e));
}

static void tear_down(void)
{
	store_close(store);
	ck_assert_uint_eq(n_done, 1);
	store_mem_forget("mem:limit");
	store_stop_when(NULL);
}

static char bytes[1 << 20];

static void put_paced(void)
{
	static unsigned int n;
	char name[16];

	(void)snprintf(name, sizeof(name), "p%u", n++);
	ck_ok(store_put(store, name, bytes, sizeof(bytes), 0, &e));
}

START_TEST(without_a_limit_nothing_waits)
{
	for (int i = 0; i < 10; i++)
		put_paced();
	ck_assert_int_eq(slept_ms, 0);
}
END_TEST

START_TEST(up_and_down_are_held_apart)
{
	size_t got;

	ck_ok(store_put(store, "a", bytes, sizeof(bytes), 0, &e));
	now_ms += 5000; /* the limit is asked for anew */
	rates.up = 1 << 20;
	for (int i = 0; i < 10; i++)
		put_paced();
	ck_assert_int_ge(slept_ms, 9700);
	ck_assert_int_le(slept_ms, 10100);
	slept_ms = 0;
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(store_read(store, "a", 0, bytes, sizeof(bytes),
					    &got, &e),
				 1);
	ck_assert_int_eq(slept_ms, 0);
	rates = (struct limit_rates){ .down = 2 << 20 };
	now_ms += 5000;
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(store_read(store, "a", 0, bytes, sizeof(bytes),
					    &got, &e),
				 1);
	ck_assert_int_ge(slept_ms, 4600);
	ck_assert_int_le(slept_ms, 5100);
}
END_TEST

START_TEST(a_limit_that_changes_holds_a_second_later)
{
	rates.up = 1 << 20;
	ck_ok(store_put(store, "a", bytes, sizeof(bytes), 0, &e));
	rates.up = 4 << 20;
	slept_ms = 0;
	now_ms += 1000;
	for (int i = 0; i < 8; i++)
		put_paced();
	ck_assert_int_ge(slept_ms, 1500);
	ck_assert_int_le(slept_ms, 2100);
	/* No more often than that is asked, however much is done. */
	ck_assert_uint_le(n_asked, 5);
	rates.up = 0;
	now_ms += 1000;
	slept_ms = 0;
	for (int i = 0; i < 8; i++)
		put_paced();
	ck_assert_int_eq(slept_ms, 0);
}
END_TEST

/* After five seconds of rest the night begins. */
static void ask_and_raise(void *arg, struct limit_rates *ret)
{
	if (slept_ms >= 5000)
		rates.up = 1 << 20;
	ask(arg, ret);
}

START_TEST(a_rest_ends_when_the_limit_is_raised)
{
	const struct limit_options o = { .ask = ask_and_raise, .arg = &rates };
	struct store *inner = NULL;
	struct store *night = NULL;

	rates.up = 1;
	ck_ok(store_open("mem:limit", true, &inner, &e));
	ck_ok(limit_wrap(inner, &o, &night, &e));
	ck_ok(store_put(night, "a", bytes, sizeof(bytes), 0, &e));
	ck_assert_int_ge(slept_ms, 5000);
	ck_assert_int_le(slept_ms, 7000);
	store_close(night);
}
END_TEST

START_TEST(a_beat_does_not_rest_and_counts)
{
	rates.up = 1 << 10;
	for (int i = 0; i < 20; i++)
		ck_ok(store_put(store, "beat", bytes, 1000, STORE_REPLACE, &e));
	ck_assert_int_eq(slept_ms, 0);
	ck_ok(store_put(store, "large", bytes, 20480, 0, &e));
	ck_assert_int_ge(slept_ms, 38000);
	ck_assert_int_le(slept_ms, 41000);
}
END_TEST

/* A pack is written chunk by chunk, and many chunks are small. */
START_TEST(what_comes_in_small_pieces_rests_as_well)
{
	struct store_upload *u = NULL;

	rates.up = 100000;
	ck_ok(store_begin(store, "pack", 0, 0, &u, &e));
	for (int i = 0; i < 1000; i++)
		ck_ok(store_append(u, bytes, 1000, &e));
	ck_ok(store_commit(u, &e));
	ck_assert_int_ge(slept_ms, 9700);
	ck_assert_int_le(slept_ms, 10100);
}
END_TEST

START_TEST(a_rest_ends_when_the_program_is_to_stop)
{
	atomic_bool stop = true;

	rates.up = 1;
	store_stop_when(&stop);
	ck_ok(store_put(store, "a", bytes, sizeof(bytes), 0, &e));
	ck_assert_int_le(slept_ms, 100);
}
END_TEST

START_TEST(all_else_is_the_inner_store_s)
{
	struct store_upload *u = NULL;
	uint64_t size = 0;
	struct instant t;

	ck_ok(store_put(store, "a", "abc", 3, 0, &e));
	ck_assert_int_eq(store_size(store, "a", &size, &e), 1);
	ck_assert_uint_eq(size, 3);
	ck_assert_int_eq(store_put(store, "a", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_ok(store_begin(store, "b", 0, 0, &u, &e));
	store_abort(u);
	ck_assert_int_eq(store_size(store, "b", &size, &e), 0);
	ck_ok(store_remove(store, "a", &e));
	ck_assert_int_eq(store_size(store, "a", &size, &e), 0);
	ck_assert_uint_eq(store_features(store), STORE_LOCAL);
	ck_assert_int_eq(store_now(store, &t, &e), -1);
	ck_ok(store_pure(store, &e));
	ck_assert_str_eq(store->url, "mem:limit");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, without_a_limit_nothing_waits);
	tcase_add_test(tc, up_and_down_are_held_apart);
	tcase_add_test(tc, a_limit_that_changes_holds_a_second_later);
	tcase_add_test(tc, a_rest_ends_when_the_limit_is_raised);
	tcase_add_test(tc, a_beat_does_not_rest_and_counts);
	tcase_add_test(tc, what_comes_in_small_pieces_rests_as_well);
	tcase_add_test(tc, a_rest_ends_when_the_program_is_to_stop);
	tcase_add_test(tc, all_else_is_the_inner_store_s);
}

CHECK_MAIN("storage/limit", cases)
