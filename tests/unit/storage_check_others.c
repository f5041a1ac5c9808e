/*
 * What a region lost is looked for in another one that is damaged as well, or
 * of which not all can be read (check.h): what was not found there may be there
 * all the same, and that is told.
 */
#include "storage/repository/check.h"

#include <errno.h>

#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct err e;
static struct repository *here;
static struct repository *there;
static struct store *faulty; /* there's */

static const char *const urls[2] = { "mem:others-0", "mem:others-1" };

static void set_up(void)
{
	const struct replicate_options o = { .host = "h" };
	struct replicate_result copied;
	struct random dice = random_seed();
	char path[SCRATCH_PATH];
	char tree[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	region_file(tree, "a", 3000000, &dice);
	region_init(urls[0], key);
	here = region_open(urls[0], key);
	(void)region_snapshot(here, tree, "s", 0);
	there = region_add(here, urls[1], key);
	ck_ok(replicate_run(here, there, &o, &copied, &e));
	repository_close(there);
	there = NULL;
}

static void tear_down(void)
{
	repository_close(here);
	repository_close(there);
	keyring_credential_free(key);
	for (int i = 0; i < 2; i++)
		store_mem_forget(urls[i]);
	scratch_done(&dir);
}

static int remove_one(void *arg, const struct store_entry *entry, struct err *x)
{
	return store_remove(arg, entry->name, x);
}

/* What the region held of its data, and what it knew of it. */
static void lose_data(void)
{
	ck_ok(store_list(repository_store(here), "data/", remove_one,
			 repository_store(here), &e));
	ck_ok(store_list(repository_store(here), "index/", remove_one,
			 repository_store(here), &e));
	repository_close(here);
	here = region_open(urls[0], key);
}

/* With that fault, once it is open. */
static void open_there(const struct fault *fault)
{
	ck_ok(store_open(urls[1], false, &faulty, &e));
	ck_ok(fault_wrap(faulty, &faulty, &e));
	ck_ok(repository_open_on(faulty, key, &there, &e));
	fault_add(faulty, fault);
}

static void close_there(void)
{
	repository_close(there);
	there = NULL;
}

static struct check_other ask(struct check_result *ret)
{
	struct check_other other = { .r = there };
	const struct check_options o = { .level = CHECK_DATA,
					 .others = &other,
					 .n_others = 1,
					 .now = clock_now() };

	ck_ok(check_run(here, &o, ret, &e));
	ck_assert(!ret->sound);
	ck_assert_uint_gt(ret->lost, 0);
	return other;
}

/* All that says where it has what. */
static const struct fault of_index[] = {
	{ .action = FAULT_FLIP, .amount = 100 },
	{ .action = FAULT_FLIP, .amount = 1000 },
	{ .action = FAULT_FLIP, .amount = 1 },
	{ .action = FAULT_SHORT, .amount = 50 },
	{ .action = FAULT_FAIL, .code = ERR_IO, .sys = EIO },
};

START_TEST(an_index_that_does_not_open_is_told)
{
	lose_data();
	for (size_t i = 0; i < sizeof(of_index) / sizeof(of_index[0]); i++) {
		CLEANUP(check_result_done) struct check_result got = { 0 };
		struct fault fault = of_index[i];
		struct check_other other;

		fault.call = FAULT_READ;
		fault.prefix = "index/";
		fault.everyone = true;
		open_there(&fault);
		other = ask(&got);
		ck_assert_uint_eq(got.offered, 0);
		ck_assert_int_eq(other.why.code, ERR_NONE);
		ck_assert_msg(other.unopened.code != ERR_NONE, "%zu", i);
		ck_assert_int_eq(other.unopened.sys, fault.sys);
		close_there();
	}
}
END_TEST

START_TEST(a_region_that_does_not_answer_is_told)
{
	CLEANUP(check_result_done) struct check_result got = { 0 };
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FAIL,
				     .prefix = "index/",
				     .everyone = true,
				     .code = ERR_BUSY };
	struct check_other other;

	lose_data();
	open_there(&fault);
	other = ask(&got);
	ck_assert_int_eq(other.why.code, ERR_BUSY);
	ck_assert_uint_eq(got.offered, 0);
}
END_TEST

/* Else it has all. */
START_TEST(a_sound_one_offers_what_was_lost)
{
	CLEANUP(check_result_done) struct check_result got = { 0 };
	const struct fault none = { .call = FAULT_READ,
				    .action = FAULT_FAIL,
				    .prefix = "nothing/" };
	struct check_other other;

	lose_data();
	open_there(&none);
	other = ask(&got);
	ck_assert_int_eq(other.why.code, ERR_NONE);
	ck_assert_int_eq(other.unopened.code, ERR_NONE);
	ck_assert_uint_eq(got.offered, got.lost);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_index_that_does_not_open_is_told);
	tcase_add_test(tc, a_region_that_does_not_answer_is_told);
	tcase_add_test(tc, a_sound_one_offers_what_was_lost);
}

CHECK_MAIN("storage/check_others", cases)
