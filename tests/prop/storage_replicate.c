/*
 * Regions after any history: snapshots, deletions, undeletes, holds, locks and
 * copying in any order, the copying cut off at any call to the target.  At
 * every moment the target lists only what it restores in full, and never what
 * is deleted in it for good; in the end both list the same.
 */
#include "storage/repository/deletion.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

#define ROUNDS 6
#define STEPS  25
#define MOST   12

static struct scratch dir;
static struct keyring_credential *key;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct object_id ids[MOST];
static size_t n_ids;
static struct err e;

static void set_up(void)
{
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
}

static void tear_down(void)
{
	keyring_credential_free(key);
	scratch_done(&dir);
}

static void take_snapshot(struct repository *from)
{
	static const char *const sources[] = { "s", "t", "" };
	char name[8];

	if (n_ids == MOST)
		return;
	(void)snprintf(name, sizeof(name), "f%u",
		       (unsigned int)random_below(&dice, 6));
	if (random_below(&dice, 5) == 0)
		region_islands(tree, name, 1050, &dice);
	else
		region_file(tree, name, random_below(&dice, 500000), &dice);
	ids[n_ids++] = region_snapshot(from, tree,
				       sources[random_below(&dice, 3)],
				       (unsigned int)random_below(&dice, 2));
}

/* Delete, undelete, lock or hold one of the snapshots. */
static void change(struct repository *from)
{
	struct deletion d = { .by = "test", .grace_ms = 1000 };
	struct repository_snapshot s;
	struct deletion_hold h = { .n_snapshots = 1,
				   .case_name = "c",
				   .by = "test" };
	struct object_id hold;
	char text[OBJECT_ID_TEXT];

	if (n_ids == 0)
		return;
	d.now = clock_now();
	h.now = d.now;
	h.snapshots = &ids[random_below(&dice, n_ids)];
	object_id_format(*h.snapshots, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(from, text, NULL, true, &s, NULL, &e));
	if (s.deleted)
		ck_ok(deletion_undelete(from, &s, &d, &e));
	else if (random_below(&dice, 4) == 0)
		ck_ok(deletion_hold(from, &h, &hold, &e));
	else if (random_below(&dice, 4) == 0)
		ck_ok(deletion_lock(from, &s, d.now, "test", d.now, &e));
	else if (!s.held && !s.locked)
		ck_ok(deletion_delete(from, &s, &d, &e));
	repository_snapshot_done(&s);
}

/* Settle and copy; after `nth` calls nothing reaches the target any more. */
static int copy(struct repository *from, uint64_t nth, bool only_one)
{
	const struct fault cut = { .call = FAULT_ANY,
				   .action = FAULT_FAIL,
				   .nth = nth };
	struct replicate_options o = { .host = "h" };
	struct replicate_result r;
	struct repository *to = NULL;
	struct store *inner = NULL;
	struct store *s = NULL;
	int failed;

	if (only_one && n_ids) {
		o.only = &ids[random_below(&dice, n_ids)];
		o.n_only = 1;
	}
	ck_ok(store_open("mem:to", true, &inner, &e));
	ck_ok(fault_wrap(inner, &s, &e));
	if (nth)
		fault_add(s, &cut);
	failed = replicate_settle(repository_store(from), s, key, &e);
	if (failed) {
		store_close(s);
		return -1;
	}
	failed = repository_open_on(s, key, &to, &e) ||
		 replicate_run(from, to, &o, &r, &e);
	repository_close(to);
	return failed ? -1 : 0;
}

/* No region yet, or one in which everything that is listed is whole. */
static void look(void)
{
	static struct region_census c;
	struct repository *to = NULL;
	struct store *s = NULL;

	ck_ok(store_open("mem:to", true, &s, &e));
	if (repository_open_on(s, key, &to, &e)) {
		ck_assert_int_eq(e.code, ERR_NOT_FOUND);
		return;
	}
	repository_close(to);
	region_census("mem:to", key, &c);
}

static void one_history(void)
{
	struct repository *from;

	n_ids = 0;
	region_init("mem:from", key);
	from = region_open("mem:from", key);
	for (int i = 0; i < STEPS; i++) {
		switch (random_below(&dice, 4)) {
		case 0:
			take_snapshot(from);
			break;
		case 1:
			change(from);
			break;
		case 2:
			(void)!copy(from, 1 + random_below(&dice, 120), false);
			look();
			break;
		default:
			/* The one chosen may be deleted: then not found. */
			if (copy(from, 0, true))
				ck_assert_int_eq(e.code, ERR_NOT_FOUND);
			look();
		}
	}
	ck_ok(copy(from, 0, false));
	repository_close(from);
	region_expect_same("mem:from", "mem:to", key);
	store_mem_forget("mem:from");
	store_mem_forget("mem:to");
}

START_TEST(after_any_history_a_replica_is_equal)
{
	for (int i = 0; i < ROUNDS; i++)
		one_history();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, after_any_history_a_replica_is_equal);
}

CHECK_MAIN("storage/replicate against any history", cases)
