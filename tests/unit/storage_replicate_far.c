/*
 * Copying from a region where a request takes long: packs come in large ranges
 * ahead of those who hand their chunks on, and it is the same copy, or the same
 * failure, whatever comes instead of what was asked for.
 */
#include <stdatomic.h>

#include "storage/replicate.h"
#include "storage/repository/prefetch.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct repository *from;
static struct repository *to;
static struct store *far;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct object_id id;
static atomic_uint reads; /* of data packs */
static atomic_uint lists; /* that the target was asked for */
static atomic_bool cancel;
static struct err e;

/* 28 MB: a pack, whole. */
static void set_up(void)
{
	char path[SCRATCH_PATH];
	struct repository *r;

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
	region_file(tree, "a", 27000000, &dice);
	region_file(tree, "b", 1000000, &dice);
	region_init("mem:from", key);
	r = region_open("mem:from", key);
	id = region_snapshot(r, tree, "s", 0);
	to = region_add(r, "mem:to", key);
	repository_close(r);
	from = NULL;
	atomic_store(&cancel, false);
}

static void tear_down(void)
{
	repository_close(from);
	repository_close(to);
	keyring_credential_free(key);
	store_mem_forget("mem:from");
	store_mem_forget("mem:to");
	scratch_done(&dir);
}

static void count_read(void *arg UNUSED, const char *name UNUSED)
{
	atomic_fetch_add(&reads, 1);
}

/* The source anew, as something far, with that fault. */
static void go_far(const struct fault *fault)
{
	const struct fault counted = { .call = FAULT_READ,
				       .action = FAULT_RUN,
				       .prefix = "data/",
				       .everyone = true,
				       .run = count_read };

	repository_close(from);
	from = NULL;
	ck_ok(store_open("mem:from", false, &far, &e));
	ck_ok(fault_wrap(far, &far, &e));
	fault_set_far(far);
	if (fault)
		fault_add(far, fault);
	fault_add(far, &counted);
	ck_ok(repository_open_on(far, key, &from, &e));
	atomic_store(&reads, 0);
}

struct telling {
	enum err_code why; /* of the snapshot */
};

static int tell(void *arg, const struct replicate_one *one,
		struct err *err UNUSED)
{
	struct telling *t = arg;

	t->why = one->why ? one->why->code : ERR_NONE;
	return 0;
}

static int copy(struct telling *t, struct replicate_result *ret)
{
	const struct replicate_options o = {
		.host = "h", .cancel = &cancel, .done = tell, .arg = t
	};

	*t = (struct telling){ ERR_NONE };
	return replicate_run(from, to, &o, ret, &e);
}

static void expect_copied(void)
{
	struct replicate_result r;
	struct telling t;

	ck_ok(copy(&t, &r));
	ck_assert_uint_eq(r.copied, 1);
	ck_assert_int_eq(t.why, ERR_NONE);
	region_expect_same("mem:from", "mem:to", key);
}

static int add_ranges(void *arg, const struct store_entry *entry,
		      struct err *err UNUSED)
{
	*(uint64_t *)arg += entry->size / (PREFETCH_RANGE * 3 / 4) + 1;
	return 0;
}

/* A chunk does not end where a range could. */
START_TEST(packs_come_in_large_ranges)
{
	uint64_t ranges = 0;

	go_far(NULL);
	expect_copied();
	ck_ok(store_list(far, "data/", add_ranges, &ranges, &e));
	ck_assert_uint_ge(atomic_load(&reads), 3);
	ck_assert_uint_le(atomic_load(&reads), ranges);
}
END_TEST

/* The target takes nothing before three ranges are read. */
static void wait_for_reads(void *arg UNUSED, const char *name UNUSED)
{
	while (atomic_load(&reads) < 3)
		clock_sleep_ms(1);
}

START_TEST(reading_does_not_wait_for_writing)
{
	const struct fault fault = { .call = FAULT_APPEND,
				     .action = FAULT_RUN,
				     .prefix = "data/",
				     .everyone = true,
				     .run = wait_for_reads };
	struct store *s = NULL;

	repository_close(to);
	to = NULL;
	ck_ok(store_open("mem:to", false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_add(s, &fault);
	ck_ok(repository_open_on(s, key, &to, &e));
	go_far(NULL);
	expect_copied();
}
END_TEST

/* Whatever one of the ranges comes to, once: whoever hands it on reads it. */
START_TEST(what_comes_wrong_is_read_again)
{
	static const struct fault faults[] = {
		{ .action = FAULT_FLIP, .amount = 12345 },
		{ .action = FAULT_SHORT, .amount = 70000 },
		{ .action = FAULT_SHORT, .amount = 0 },
		{ .action = FAULT_FAIL },
		{ .action = FAULT_ABSENT },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct fault fault = faults[i];

		fault.call = FAULT_READ;
		fault.prefix = "data/";
		fault.everyone = true;
		fault.times = 1;
		fault.nth = i % 3 + 1;
		repository_close(to);
		store_mem_forget("mem:to");
		go_far(&fault);
		to = region_add(from, "mem:to", key);
		expect_copied();
		ck_assert_uint_le(atomic_load(&reads), 20);
	}
}
END_TEST

/* What is so for good is told as it is nearby, and nothing is listed. */
START_TEST(damage_is_told)
{
	static const struct fault faults[] = {
		{ .action = FAULT_FLIP, .amount = 4567 },
		{ .action = FAULT_SHORT, .amount = 70000 },
		{ .action = FAULT_ABSENT },
	};
	static struct region_census c;

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct fault fault = faults[i];
		struct replicate_result r;
		struct telling t;

		fault.call = FAULT_READ;
		fault.prefix = "data/";
		fault.everyone = true;
		go_far(&fault);
		ck_ok(copy(&t, &r));
		ck_assert_uint_eq(r.failed, 1);
		ck_assert_int_eq(t.why, ERR_CORRUPT);
		region_census("mem:to", key, &c);
		ck_assert_uint_eq(c.n, 0);
	}
	go_far(NULL);
	expect_copied();
}
END_TEST

START_TEST(who_does_not_answer_ends_it)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FAIL,
				     .prefix = "data/",
				     .everyone = true,
				     .nth = 2,
				     .code = ERR_BUSY };
	struct replicate_result r;
	struct telling t;

	go_far(&fault);
	ck_assert_int_eq(copy(&t, &r), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	go_far(NULL);
	expect_copied();
}
END_TEST

static void stop(void *arg UNUSED, const char *name UNUSED)
{
	atomic_store(&cancel, true);
}

START_TEST(it_can_be_stopped_while_much_is_ahead)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_RUN,
				     .prefix = "data/",
				     .everyone = true,
				     .times = 1,
				     .run = stop };
	struct replicate_result r;
	struct telling t;

	go_far(&fault);
	ck_assert_int_eq(copy(&t, &r), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	atomic_store(&cancel, false);
	go_far(NULL);
	expect_copied();
}
END_TEST

/* More than there is room for, and a target that fails in the middle. */
START_TEST(who_waits_for_room_is_told_of_a_failure)
{
	const struct fault fault = { .call = FAULT_APPEND,
				     .action = FAULT_FAIL,
				     .prefix = "data/",
				     .everyone = true,
				     .nth = 3 };
	struct replicate_result r;
	struct repository *plain = region_open("mem:from", key);
	struct store *s = NULL;
	struct telling t;

	region_file(tree, "c", 40000000, &dice);
	id = region_snapshot(plain, tree, "s", 0);
	repository_close(plain);
	repository_close(to);
	to = NULL;
	ck_ok(store_open("mem:to", false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_add(s, &fault);
	ck_ok(repository_open_on(s, key, &to, &e));
	go_far(NULL);
	ck_assert_int_eq(copy(&t, &r), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	fault_clear(s);
	ck_ok(copy(&t, &r));
	ck_assert_uint_eq(r.copied, 2);
	region_expect_same("mem:from", "mem:to", key);
}
END_TEST

static void count_list(void *arg UNUSED, const char *name UNUSED)
{
	atomic_fetch_add(&lists, 1);
}

/* The source says nothing of its holds before the target was asked for much. */
static void wait_for_lists(void *arg UNUSED, const char *name UNUSED)
{
	while (atomic_load(&lists) < 5)
		clock_sleep_ms(1);
}

static void put_record(const char *url, struct record *r)
{
	struct repository *x = region_open(url, key);

	r->id = object_id_new();
	r->time = clock_now();
	ck_ok(record_put(repository_store(x), repository_keys(x), r, 0, &e));
	repository_close(x);
	record_done(r);
}

static void put_hold(const char *url, const char *source)
{
	struct record r;

	record_init(&r, OBJECT_HOLD);
	(void)snprintf(r.source, sizeof(r.source), "%s", source);
	put_record(url, &r);
}

static int count(void *arg, const struct store_entry *entry UNUSED,
		 struct err *err UNUSED)
{
	++*(unsigned int *)arg;
	return 0;
}

static unsigned int count_of(struct repository *r, const char *prefix)
{
	unsigned int n = 0;

	ck_ok(store_list(repository_store(r), prefix, count, &n, &e));
	return n;
}

/* All that both regions list is asked for at once, and comes to the same. */
START_TEST(records_of_both_are_listed_at_once)
{
	const struct fault slow = { .call = FAULT_LIST,
				    .action = FAULT_RUN,
				    .prefix = "holds/",
				    .everyone = true,
				    .times = 1,
				    .run = wait_for_lists };
	const struct fault counting = { .call = FAULT_LIST,
					.action = FAULT_RUN,
					.everyone = true,
					.run = count_list };
	struct store *s = NULL;

	put_hold("mem:from", "s");
	put_hold("mem:to", "t");
	repository_close(to);
	to = NULL;
	ck_ok(store_open("mem:to", false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_set_far(s);
	fault_add(s, &counting);
	ck_ok(repository_open_on(s, key, &to, &e));
	go_far(&slow);
	atomic_store(&lists, 0);
	expect_copied();
	ck_assert_uint_eq(count_of(from, "holds/"), 2);
	ck_assert_uint_eq(count_of(to, "holds/"), 2);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, packs_come_in_large_ranges);
	tcase_add_test(tc, reading_does_not_wait_for_writing);
	tcase_add_test(tc, what_comes_wrong_is_read_again);
	tcase_add_test(tc, damage_is_told);
	tcase_add_test(tc, who_does_not_answer_ends_it);
	tcase_add_test(tc, it_can_be_stopped_while_much_is_ahead);
	tcase_add_test(tc, who_waits_for_room_is_told_of_a_failure);
	tcase_add_test(tc, records_of_both_are_listed_at_once);
}

CHECK_MAIN("storage/replicate_far", cases)
