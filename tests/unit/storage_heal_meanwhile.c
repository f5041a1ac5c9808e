/* Healing a region in which snapshots are taken meanwhile: storage/heal.h. */
#include "storage/heal.h"

#include "base/clock.h"

#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct err e;

/* The first is healed from the other. */
static const char *const urls[2] = { "mem:heal-0", "mem:heal-1" };

static void set_up(void)
{
	const struct replicate_options o = { .host = "h" };
	struct replicate_result copied;
	char path[SCRATCH_PATH];
	struct repository *from;
	struct repository *to;

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
	region_file(tree, "a", 2000000, &dice);
	region_init(urls[0], key);
	from = region_open(urls[0], key);
	(void)region_snapshot(from, tree, "s", 0);
	to = region_add(from, urls[1], key);
	ck_ok(replicate_run(from, to, &o, &copied, &e));
	repository_close(to);
	repository_close(from);
}

static void tear_down(void)
{
	keyring_credential_free(key);
	for (int i = 0; i < 2; i++)
		store_mem_forget(urls[i]);
	scratch_done(&dir);
}

static int remove_one(void *arg, const struct store_entry *entry, struct err *x)
{
	return store_remove(arg, entry->name, x);
}

static void lose(const char *prefix)
{
	struct store *s = NULL;

	ck_ok(store_open(urls[0], false, &s, &e));
	ck_ok(store_list(s, prefix, remove_one, s, &e));
	store_close(s);
}

/* The first so many looks each meet a snapshot that stores anew what was lost,
 * after they have seen that it was. */
static unsigned int meetings;
static unsigned int met;

static void meet(void *arg UNUSED, const struct check_progress *p)
{
	static bool listed;
	struct repository *r;

	if (strcmp(p->stage, "listing") == 0)
		listed = true;
	if (!listed || strcmp(p->stage, "trees") != 0 || met == meetings)
		return;
	listed = false;
	met++;
	r = region_open(urls[0], key);
	(void)region_snapshot(r, tree, "s", 0);
	repository_close(r);
	if (met == meetings)
		return;
	lose("data/");
	lose("index/");
}

START_TEST(what_a_snapshot_stores_anew_meanwhile_is_looked_at_again)
{
	for (meetings = 1; meetings <= 2; meetings++) {
		struct heal_source from = { .r = NULL };
		const struct heal_options o = { .from = &from,
						.n_from = 1,
						.read_data = true,
						.now = clock_now(),
						.host = "h",
						.progress = meet };
		struct heal_result x;

		met = 0;
		lose("data/");
		lose("index/");
		from.r = region_open(urls[1], key);
		ck_ok(heal_run(urls[0], key, &o, &x, &e));
		repository_close(from.r);
		ck_assert_uint_eq(met, meetings);
		ck_assert(x.sound);
		heal_result_done(&x);
	}
}
END_TEST

/* It does not look for ever. */
START_TEST(who_meets_them_each_time_gives_up)
{
	struct heal_source from = { .r = region_open(urls[1], key) };
	const struct heal_options o = { .from = &from,
					.n_from = 1,
					.read_data = true,
					.now = clock_now(),
					.host = "h",
					.progress = meet };
	struct heal_result x;
	int failed;

	meetings = 100;
	met = 0;
	lose("data/");
	lose("index/");
	failed = heal_run(urls[0], key, &o, &x, &e);
	repository_close(from.r);
	ck_assert_int_eq(failed, -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_ne(e.hint, "");
	ck_assert_uint_ge(met, 5);
	ck_assert_uint_lt(met, 20);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(
		tc, what_a_snapshot_stores_anew_meanwhile_is_looked_at_again);
	tcase_add_test(tc, who_meets_them_each_time_gives_up);
}

CHECK_MAIN("storage/heal_meanwhile", cases)
