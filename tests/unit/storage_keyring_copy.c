/* Keyrings that follow one another from region to region, and forks. */
#include "storage/repository/keyring.h"

#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct repository *from;
static char tree[SCRATCH_PATH];
static struct err e;

static void set_up(void)
{
	struct random dice = random_seed();
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	region_file(tree, "a", 1000, &dice);
	region_init("mem:from", key);
	from = region_open("mem:from", key);
}

static void tear_down(void)
{
	repository_close(from);
	keyring_credential_free(key);
	store_mem_forget("mem:from");
	store_mem_forget("mem:to");
	scratch_done(&dir);
}

/* A key file and its slot, added to the repository at s. */
static struct keyring_credential *add_key(struct store *s, const char *name,
					  struct object_id *ret_slot)
{
	char path[SCRATCH_PATH];
	struct keyring_credential *c = region_key(
		scratch_path(&dir, name, path));

	ck_ok(keyring_add(s, key, c, name, clock_now(), ret_slot, &e));
	return c;
}

/* Two regions whose keyrings have two generations, and what they share. */
struct twins {
	struct keyring_credential *second;
	struct object_id slot; /* of second */
	struct repository *to;
};

static void make_twins(struct twins *t)
{
	t->second = add_key(repository_store(from), "second", &t->slot);
	t->to = region_add(from, "mem:to", key);
}

static void revoke_second(const struct twins *t, struct repository *r)
{
	ck_ok(keyring_revoke(repository_store(r), key, t->slot, clock_now(),
			     &e));
}

/* A snapshot that only the newest epoch of that region opens. */
static void snapshot_under_newest(struct repository **r, const char *url)
{
	repository_close(*r);
	*r = region_open(url, key);
	(void)region_snapshot(*r, tree, "s", 0);
}

static void expect_fork(struct repository *a, struct repository *b)
{
	ck_assert_int_eq(replicate_settle(repository_store(a),
					  repository_store(b), key, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_str_ne(e.hint, "");
}

/*
 * The region has an epoch of its own in a generation that ours has left
 * behind: its keyring is the only copy of a key that seals what it holds.
 */
START_TEST(keys_changed_apart_are_never_outranked)
{
	static struct region_census c;
	struct keyring_credential *third;
	struct twins t;
	struct object_id slot;

	make_twins(&t);
	revoke_second(&t, t.to);
	snapshot_under_newest(&t.to, "mem:to");
	third = add_key(repository_store(from), "third", &slot);
	revoke_second(&t, from);
	expect_fork(from, t.to);
	repository_close(t.to);
	region_census("mem:to", key, &c);
	ck_assert_uint_eq(c.n, 1);
	keyring_credential_free(t.second);
	keyring_credential_free(third);
}
END_TEST

/* The same the other way: their newer keyring never knew our epoch. */
START_TEST(keys_changed_apart_are_not_taken_for_newer)
{
	const struct replicate_options o = { .host = NULL };
	static struct region_census c;
	struct keyring_credential *third;
	struct replicate_result r;
	struct twins t;
	struct object_id slot;

	make_twins(&t);
	revoke_second(&t, from);
	snapshot_under_newest(&from, "mem:from");
	revoke_second(&t, t.to);
	third = add_key(repository_store(t.to), "third", &slot);
	expect_fork(from, t.to);
	/* Nor does anything move between handles that were open before. */
	repository_close(t.to);
	t.to = region_open("mem:to", key);
	ck_assert_int_eq(replicate_run(from, t.to, &o, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	repository_close(t.to);
	region_census("mem:to", key, &c);
	ck_assert_uint_eq(c.n, 0);
	keyring_credential_free(t.second);
	keyring_credential_free(third);
}
END_TEST

/* Keys that were changed there alone stay, and copying goes on. */
START_TEST(a_newer_keyring_that_came_from_ours_stays)
{
	const struct replicate_options o = { .host = NULL };
	struct replicate_result r;
	struct twins t;
	uint64_t size;

	make_twins(&t);
	(void)region_snapshot(from, tree, "s", 0);
	revoke_second(&t, t.to);
	ck_ok(replicate_settle(repository_store(from), repository_store(t.to),
			       key, &e));
	ck_assert_int_eq(store_size(repository_store(t.to), "keyring/00000003",
				    &size, &e),
			 1);
	repository_close(t.to);
	t.to = region_open("mem:to", key);
	ck_ok(replicate_run(from, t.to, &o, &r, &e));
	ck_assert_uint_eq(r.copied, 1);
	repository_close(t.to);
	region_expect_same("mem:from", "mem:to", key);
	keyring_credential_free(t.second);
}
END_TEST

/* A slot that went missing here is not what a revocation leaves. */
START_TEST(a_lost_slot_is_not_removed_there)
{
	struct twins t;
	struct object_name name;
	uint64_t size;

	make_twins(&t);
	name = object_name(OBJECT_SLOT, t.slot);
	ck_ok(store_remove(repository_store(from), name.s, &e));
	ck_ok(replicate_settle(repository_store(from), repository_store(t.to),
			       key, &e));
	ck_assert_int_eq(store_size(repository_store(t.to), name.s, &size, &e),
			 1);
	repository_close(t.to);
	keyring_credential_free(t.second);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, keys_changed_apart_are_never_outranked);
	tcase_add_test(tc, keys_changed_apart_are_not_taken_for_newer);
	tcase_add_test(tc, a_newer_keyring_that_came_from_ours_stays);
	tcase_add_test(tc, a_lost_slot_is_not_removed_there);
}

CHECK_MAIN("storage/keyring_copy", cases)
