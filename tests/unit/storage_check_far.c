/*
 * Checking all data where a request takes long: packs come in large ranges,
 * each once, and what is wrong with them is found as nearby.
 */
#include <errno.h>
#include <stdatomic.h>

#include "storage/repository/check.h"
#include "storage/repository/prefetch.h"
#include "storage/stores/fault.h"
#include "tests/support/restore_frame.h"

static atomic_uint reads; /* of data packs */

static void count_read(void *arg UNUSED, const char *name UNUSED)
{
	atomic_fetch_add(&reads, 1);
}

/* A snapshot of 22 MB, behind a store that is far, with that fault. */
static void go_far(const struct fault *fault)
{
	const struct fault counted = { .call = FAULT_READ,
				       .action = FAULT_RUN,
				       .prefix = "data/",
				       .everyone = true,
				       .run = count_read };
	struct store *far = NULL;

	for (unsigned int i = 0; i < 11; i++) {
		char name[100];

		(void)snprintf(name, sizeof(name), "f%u", i);
		write_bytes(at(f.from, name), 2000000, i);
	}
	(void)repo_take(&f);
	repository_close(f.r);
	f.r = NULL;
	ck_ok(store_open(f.url, false, &far, &e));
	ck_ok(fault_wrap(far, &far, &e));
	fault_set_far(far);
	if (fault)
		fault_add(far, fault);
	fault_add(far, &counted);
	ck_ok(repository_open_on(far, f.credential, &f.r, &e));
	atomic_store(&reads, 0);
}

static int check(struct check_result *ret)
{
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };

	return check_run(f.r, &o, ret, &e);
}

static int add_ranges(void *arg, const struct store_entry *entry,
		      struct err *err UNUSED)
{
	*(uint64_t *)arg += (entry->size + PREFETCH_RANGE - 1) / PREFETCH_RANGE;
	return 0;
}

START_TEST(each_range_is_read_once)
{
	CLEANUP(check_result_done) struct check_result got = { 0 };
	uint64_t ranges = 0;

	go_far(NULL);
	ck_ok(check(&got));
	ck_assert(got.sound);
	ck_assert_uint_ge(got.bytes, 22000000);
	ck_ok(store_list(repository_store(f.r), "data/", add_ranges, &ranges,
			 &e));
	ck_assert_uint_ge(ranges, 3);
	ck_assert_uint_eq(atomic_load(&reads), ranges);
}
END_TEST

START_TEST(damage_is_found)
{
	static const struct fault faults[] = {
		{ .action = FAULT_FLIP, .amount = 100000 },
		{ .action = FAULT_SHORT, .amount = 200000 },
		{ .action = FAULT_ABSENT },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		CLEANUP(check_result_done) struct check_result got = { 0 };
		struct fault fault = faults[i];

		fault.call = FAULT_READ;
		fault.prefix = "data/";
		fault.everyone = true;
		go_far(&fault);
		ck_ok(check(&got));
		ck_assert(!got.sound);
		ck_assert_int_eq(got.unread.code, ERR_NONE);
	}
}
END_TEST

START_TEST(what_the_disk_refuses_is_told)
{
	static const char *const of[] = { "data/", "meta/", "index/" };

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		CLEANUP(check_result_done) struct check_result got = { 0 };
		const struct fault fault = { .call = FAULT_READ,
					     .action = FAULT_FAIL,
					     .prefix = of[i],
					     .everyone = true,
					     .code = ERR_IO,
					     .sys = EIO };

		go_far(&fault);
		ck_ok(check(&got));
		ck_assert(!got.sound);
		ck_assert_int_eq(got.unread.code, ERR_IO);
		ck_assert_int_eq(got.unread.sys, EIO);
		ck_assert_ptr_nonnull(strstr(got.unread.text, of[i]));
	}
}
END_TEST

START_TEST(a_store_that_does_not_answer_ends_it)
{
	CLEANUP(check_result_done) struct check_result got = { 0 };
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FAIL,
				     .prefix = "data/",
				     .everyone = true,
				     .nth = 2,
				     .code = ERR_BUSY };

	go_far(&fault);
	ck_assert_int_eq(check(&got), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, each_range_is_read_once);
	tcase_add_test(tc, damage_is_found);
	tcase_add_test(tc, what_the_disk_refuses_is_told);
	tcase_add_test(tc, a_store_that_does_not_answer_ends_it);
}

CHECK_MAIN("storage/check_far", cases)
