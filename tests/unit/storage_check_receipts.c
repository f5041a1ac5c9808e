/*
 * Receipts that went: check.h finds them, a repair writes them, and healing
 * brings those of another region.
 */
#include <errno.h>

#include "storage/heal.h"
#include "storage/repository/check.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct object_id id;
static struct instant received;
static char name[STORE_NAME_MAX + 1]; /* of its receipt */
static struct err e;

/* Whether it has a receipt; when it counts as received. */
static bool find(const char *url, struct instant *ret)
{
	CLEANUP(repository_close) struct repository *r = region_open(url, key);
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(r, text, NULL, true, &s, NULL, &e));
	repository_snapshot_done(&s);
	*ret = s.received;
	return s.has_receipt;
}

static void lose(const char *url)
{
	CLEANUP(repository_close) struct repository *r = region_open(url, key);

	ck_ok(store_remove(repository_store(r), name, &e));
}

/* Two regions; the first has lost the receipt. */
static void set_up(void)
{
	const struct replicate_options o = { .host = "h" };
	struct random dice = random_seed();
	struct replicate_result copied;
	struct repository *from;
	struct repository *to;
	char path[SCRATCH_PATH];
	char tree[SCRATCH_PATH];
	struct instant guess;

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	ck_assert_int_eq(mkdir(scratch_path(&dir, "tree", tree), 0700), 0);
	region_file(tree, "a", 3000, &dice);
	region_init("mem:0", key);
	from = region_open("mem:0", key);
	id = region_snapshot(from, tree, "s", 0);
	to = region_add(from, "mem:1", key);
	ck_ok(replicate_run(from, to, &o, &copied, &e));
	repository_close(to);
	repository_close(from);
	(void)snprintf(name, sizeof(name), "%s",
		       object_name(OBJECT_RECEIPT, id).s);
	ck_assert(find("mem:0", &received));
	lose("mem:0");
	ck_assert(!find("mem:0", &guess));
	ck_assert_int_ne(instant_compare(guess, received), 0);
}

static void tear_down(void)
{
	keyring_credential_free(key);
	store_mem_forget("mem:0");
	store_mem_forget("mem:1");
	scratch_done(&dir);
}

/* Repair the first region, from another that has that fault, or none. */
static void repair(const struct fault *fault, struct check_result *ret)
{
	CLEANUP(repository_close)
	struct repository *r = region_open("mem:0", key);
	CLEANUP(repository_close) struct repository *from = NULL;
	struct check_other other = { .r = NULL };
	const struct check_options o = { .level = CHECK_STRUCTURE,
					 .repair = true,
					 .others = &other,
					 .n_others = 1,
					 .now = clock_now(),
					 .scratch = dir.path };
	struct store *s = NULL;

	ck_ok(store_open("mem:1", false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	if (fault)
		fault_add(s, fault);
	ck_ok(repository_open_on(s, key, &from, &e));
	other.r = from;
	ck_ok(check_run(r, &o, ret, &e));
	ck_assert_int_eq(other.why.code != ERR_NONE, fault != NULL);
}

static void expect_brought(void)
{
	struct instant now;

	ck_assert(find("mem:0", &now));
	ck_assert_int_eq(instant_compare(now, received), 0);
}

START_TEST(another_region_knows_better)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	repair(NULL, &x);
	ck_assert_uint_eq(x.receipts, 1);
	ck_assert_uint_eq(x.quarantined, 0);
	expect_brought();
}
END_TEST

/* What is written is fixed: not while a region may know, and cannot say. */
START_TEST(nothing_is_guessed_that_a_region_may_know)
{
	const struct fault bad = { .call = FAULT_READ,
				   .action = FAULT_FAIL,
				   .prefix = "receipts/",
				   .sys = EIO };
	CLEANUP(check_result_done) struct check_result x = { 0 };

	repair(&bad, &x);
	ck_assert_uint_eq(x.receipts + x.quarantined, 0);
	ck_assert(!x.sound);
	check_result_done(&x);
	repair(NULL, &x);
	ck_assert_uint_eq(x.receipts, 1);
	expect_brought();
}
END_TEST

static void heal(struct heal_result *ret)
{
	static const struct object_id none[1];
	CLEANUP(repository_close)
	struct repository *from = region_open("mem:1", key);
	struct heal_source source = { .r = from };
	const struct heal_options o = { .from = &source,
					.n_from = 1,
					.only = none,
					.now = clock_now(),
					.host = "h",
					.scratch = dir.path };

	ck_ok(heal_run("mem:0", key, &o, ret, &e));
	ck_assert_uint_eq(source.why.code, ERR_NONE);
}

/* No snapshot of the region is to be brought back: so the daemon asks. */
START_TEST(healing_brings_it)
{
	CLEANUP(heal_result_done) struct heal_result got = { .sound = false };

	heal(&got);
	ck_assert(got.sound);
	ck_assert_uint_ge(got.records, 1);
	expect_brought();
}
END_TEST

/* Where no region has it, healing guesses nothing and gives nothing up. */
START_TEST(healing_leaves_what_nobody_has)
{
	CLEANUP(heal_result_done) struct heal_result got = { .sound = false };
	struct instant guess;

	lose("mem:1");
	heal(&got);
	ck_assert(!got.sound);
	ck_assert_uint_eq(got.quarantined, 0);
	ck_assert_uint_eq(heal_left(&got)->n_findings, 1);
	ck_assert(heal_left(&got)->findings[0].is_absent);
	ck_assert(!find("mem:0", &guess));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, another_region_knows_better);
	tcase_add_test(tc, nothing_is_guessed_that_a_region_may_know);
	tcase_add_test(tc, healing_brings_it);
	tcase_add_test(tc, healing_leaves_what_nobody_has);
}

CHECK_MAIN("storage/check, receipts", cases)
