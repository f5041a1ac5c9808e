/* Healing a region from the others: storage/heal.h. */
#include "storage/heal.h"

#include <errno.h>

#include "base/clock.h"

#include "storage/repository/deletion.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/repo_records.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct err e;

/* Regions "mem:0" and so on; the last two are healed from. */
#define REGIONS 3
static const char *const urls[REGIONS] = { "mem:0", "mem:1", "mem:2" };
static struct object_id first_id;
static struct object_id second_id;

static void copy_all(void)
{
	for (int i = 1; i < REGIONS; i++) {
		const struct replicate_options o = { .host = "h" };
		struct repository *from = region_open(urls[0], key);
		struct repository *to = region_add(from, urls[i], key);
		struct replicate_result r;

		ck_ok(replicate_run(from, to, &o, &r, &e));
		repository_close(to);
		repository_close(from);
	}
}

static void set_up(void)
{
	char path[SCRATCH_PATH];
	struct repository *r;

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
	region_file(tree, "a", 2000000, &dice);
	region_file(tree, "b", 1000, &dice);
	region_islands(tree, "c", 1100, &dice);
	region_init(urls[0], key);
	r = region_open(urls[0], key);
	first_id = region_snapshot(r, tree, "s", 0);
	region_file(tree, "d", 300000, &dice);
	second_id = region_snapshot(r, tree, "s", 1); /* a list of errors */
	repository_close(r);
	copy_all();
}

static void tear_down(void)
{
	keyring_credential_free(key);
	for (int i = 0; i < REGIONS; i++)
		store_mem_forget(urls[i]);
	scratch_done(&dir);
}

/* The rests that are taken, of the thread that heals; while they are counted,
 * nobody waits for them, and no other time passes for it: what is slow by
 * itself need not rest. */
static _Thread_local bool counts_rests;
static int64_t rested_ms;
static int64_t begun_ms;

int64_t __real_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void)
{
	return counts_rests ? begun_ms + rested_ms : __real_clock_boot_ms();
}

void __real_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms)
{
	if (counts_rests)
		rested_ms += ms;
	else
		__real_clock_sleep_ms(ms);
}

/* ---- Damage ------------------------------------------------------------- */

struct names {
	char v[200][STORE_NAME_MAX + 1];
	size_t n;
};

static int keep_name(void *arg, const struct store_entry *entry,
		     struct err *err UNUSED)
{
	struct names *l = arg;

	ck_assert_uint_lt(l->n, 200);
	(void)snprintf(l->v[l->n++], sizeof(l->v[0]), "%s", entry->name);
	return 0;
}

static struct names list(const char *url, const char *prefix)
{
	struct store *s = NULL;
	struct names l = { .n = 0 };

	ck_ok(store_open(url, false, &s, &e));
	ck_ok(store_list(s, prefix, keep_name, &l, &e));
	store_close(s);
	return l;
}

static void lose(const char *url, const char *prefix)
{
	const struct names l = list(url, prefix);
	struct store *s = NULL;

	ck_ok(store_open(url, false, &s, &e));
	for (size_t i = 0; i < l.n; i++)
		ck_ok(store_remove(s, l.v[i], &e));
	store_close(s);
}

static void flip(const char *url, const char *prefix)
{
	const struct names l = list(url, prefix);
	struct store *s = NULL;

	ck_ok(store_open(url, false, &s, &e));
	for (size_t i = 0; i < l.n; i++) {
		CLEANUP(buf_done) struct buf b;

		repo_get(s, l.v[i], &b);
		b.data[b.len / 3] ^= 1;
		repo_set(s, l.v[i], b.data, b.len);
	}
	store_close(s);
}

/* ---- Healing ------------------------------------------------------------ */

struct healed {
	struct heal_result r;
	struct heal_source from[REGIONS];
	int failed;
};

/* Region 0 from those that are open, with what is asked for besides. */
static struct healed heal_from(struct repository *const *from, size_t n,
			       struct heal_options o)
{
	struct healed x = { .failed = 0 };

	for (size_t i = 0; i < n; i++)
		x.from[i].r = from[i];
	o.from = x.from;
	o.n_from = n;
	o.now = clock_now();
	o.host = "h";
	x.failed = heal_run(urls[0], key, &o, &x.r, &e);
	return x;
}

/* From regions first to last. */
static struct healed heal(int first, int last, struct heal_options o)
{
	struct repository *from[REGIONS] = { NULL };
	struct healed x;

	for (int i = first; i <= last; i++)
		from[i - first] = region_open(urls[i], key);
	x = heal_from(from, (size_t)(last - first + 1), o);
	for (int i = first; i <= last; i++)
		repository_close(from[i - first]);
	ck_assert_msg(x.failed == 0, "%s", e.text);
	return x;
}

static const struct heal_options plainly = { .read_data = false };
static const struct heal_options thoroughly = { .read_data = true };

/* All that is stored, read: as sound as was said. */
static bool is_sound(const char *url)
{
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };
	struct repository *r = region_open(url, key);
	struct check_result x;
	bool sound;

	ck_ok(check_run(r, &o, &x, &e));
	sound = x.sound;
	check_result_done(&x);
	repository_close(r);
	return sound;
}

static void expect_healed(void)
{
	ck_assert(is_sound(urls[0]));
	region_expect_same(urls[0], urls[1], key);
}

START_TEST(a_sound_region_is_left_alone)
{
	const size_t before = list(urls[0], "").n;
	struct healed x = heal(1, 2, thoroughly);

	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.fetched + x.r.indexed + x.r.quarantined, 0);
	ck_assert_uint_eq(x.r.n_snapshots + x.r.records, 0);
	ck_assert_uint_eq(list(urls[0], "").n, before);
	heal_result_done(&x.r);
}
END_TEST

/* What protects, lets go and tells, in all regions. */
static void put_records(void)
{
	static const enum object_kind kinds[] = { OBJECT_HOLD, OBJECT_LOCK,
						  OBJECT_TOMBSTONE,
						  OBJECT_GUARD };
	struct repository *r = region_open(urls[0], key);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		repo_put_record(repository_store(r), repository_keys(r),
				kinds[i]);
	ck_ok(seal_box_put(
		repository_store(r), repository_keys(r), OBJECT_SEGMENT,
		object_name_segment(1, object_id_new()).s, "{}", 2, 0, &e));
	repository_close(r);
	copy_all();
}

/* One that is damaged stands in the way of its own name. */
static bool is_record(const char *name)
{
	static const char *const folders[] = { "receipts/", "holds/",
					       "locks/",    "tombstones/",
					       "guards/",   "catalog/" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (strncmp(name, folders[i], strlen(folders[i])) == 0)
			return true;
	return false;
}

/* They come back, but for those that other regions do not have, or keep. */
static bool comes_back(const char *name)
{
	return strncmp(name, "tombstones/", 11) != 0 &&
	       strncmp(name, "guards/", 7) != 0;
}

/* Each object by itself, lost or damaged, comes to be as good as it was. */
START_TEST(any_object_may_be_lost_or_damaged)
{
	struct names all;
	unsigned int tried = 0;

	put_records();
	all = list(urls[0], "");

	for (size_t i = check_first() - 1; i < all.n; i += CHECK_EVERY)
		for (int lost = 0; lost < 2; lost++) {
			struct healed x;

			/* A keyring that does not open may be one that was
			 * changed apart: it stays, and so do slots. */
			if (!lost && !strncmp(all.v[i], "key", 3))
				continue;
			if (list(urls[0], all.v[i]).n == 0)
				continue; /* superseded by an earlier turn */
			tried++;
			(lost ? lose : flip)(urls[0], all.v[i]);
			x = heal(1, 2, thoroughly);
			/* It is told, and costs nothing else. */
			if (!lost && is_record(all.v[i])) {
				ck_assert_msg(!x.r.sound, "%s", all.v[i]);
				lose(urls[0], all.v[i]);
				heal_result_done(&x.r);
				x = heal(1, 2, thoroughly);
			}
			ck_assert_msg(x.r.sound, "%s, %d", all.v[i], lost);
			heal_result_done(&x.r);
			ck_assert_msg(!is_record(all.v[i]) ||
					      !comes_back(all.v[i]) ||
					      list(urls[0], all.v[i]).n == 1,
				      "%s, %d", all.v[i], lost);
			/* The damaged one still lies beside the new one. */
			if (!strncmp(all.v[i], "snapshots", 9))
				lose(urls[0], all.v[i]);
			expect_healed();
		}
	ck_assert_uint_gt(tried, 2);
}
END_TEST

START_TEST(what_a_region_lost_altogether_comes_back)
{
	struct healed x;

	lose(urls[0], "snapshots/");
	lose(urls[0], "receipts/");
	lose(urls[0], "index/");
	lose(urls[0], "meta/");
	lose(urls[0], "data/");
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.n_snapshots, 2);
	ck_assert_uint_eq(x.from[0].snapshots, 2);
	ck_assert_uint_eq(x.from[1].snapshots + x.from[1].chunks, 0);
	heal_result_done(&x.r);
	expect_healed();
	/* Now all is as it should be, and nothing moves. */
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.fetched + x.r.n_snapshots + x.r.records, 0);
	heal_result_done(&x.r);
}
END_TEST

/* The packs are there: nothing needs to come from anywhere. */
START_TEST(an_index_is_made_anew_from_its_packs)
{
	struct healed x;

	lose(urls[0], "index/");
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_gt(x.r.indexed, 0);
	ck_assert_uint_eq(x.r.fetched, 0);
	heal_result_done(&x.r);
	expect_healed();
}
END_TEST

START_TEST(dry_run_changes_nothing)
{
	const struct heal_options dry = { .dry_run = true };
	struct healed x;
	size_t before;

	lose(urls[0], "data/");
	lose(urls[0], "receipts/");
	{
		const struct names l = list(urls[0], "snapshots/");

		lose(urls[0], l.v[0]);
	}
	before = list(urls[0], "").n;
	x = heal(1, 2, dry);
	ck_assert(!x.r.sound);
	ck_assert_uint_gt(x.r.found.lost, 0);
	ck_assert_uint_eq(x.r.offered, x.r.found.lost);
	ck_assert_uint_eq(x.from[1].chunks, x.r.found.lost);
	ck_assert_uint_eq(x.r.n_snapshots, 1);
	ck_assert_uint_eq(x.r.fetched, 0);
	ck_assert_uint_eq(list(urls[0], "").n, before);
	heal_result_done(&x.r);
}
END_TEST

/* ---- Regions that are damaged themselves -------------------------------- */

START_TEST(what_one_region_has_damaged_another_gives)
{
	struct healed x;

	lose(urls[0], "data/");
	lose(urls[0], "meta/");
	flip(urls[1], "data/");
	flip(urls[1], "meta/");
	lose(urls[2], "snapshots/"); /* its chunks are sound */
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_gt(x.from[0].chunks, 0);
	ck_assert_uint_gt(x.from[1].chunks, 0);
	heal_result_done(&x.r);
	ck_assert(is_sound(urls[0]));
}
END_TEST

/* Manifests that only a damaged region lists, and those that do not open. */
START_TEST(manifests_come_from_who_has_them)
{
	const struct names damaged = list(urls[0], "snapshots/");
	struct healed x;

	flip(urls[0], "snapshots/");
	flip(urls[1], "snapshots/");
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.from[0].snapshots, 0);
	ck_assert_uint_eq(x.from[1].snapshots, 2);
	ck_assert_int_eq(x.from[0].why.code, ERR_CORRUPT);
	ck_assert_int_eq(x.from[1].why.code, ERR_NONE);
	heal_result_done(&x.r);
	ck_assert(is_sound(urls[0]));
	/* The damaged ones still lie beside them, given up. */
	for (size_t i = 0; i < damaged.n; i++)
		lose(urls[0], damaged.v[i]);
	ck_assert(is_sound(urls[0]));
	region_expect_same(urls[0], urls[2], key);
}
END_TEST

/* Nothing damaged is passed on, and what is left is told, and not given up:
 * collectors go on stopping at it. */
START_TEST(damage_does_not_spread)
{
	struct names quarantines;
	struct healed x;
	uint64_t wanted = 0;
	uint64_t left;

	lose(urls[0], "data/");
	flip(urls[1], "data/");
	x = heal(1, 1, plainly);
	ck_assert(!x.r.sound);
	left = x.r.left.lost;
	ck_assert_uint_gt(left, 0);
	ck_assert_uint_lt(left, x.r.found.lost);
	for (uint64_t i = 0; i < x.r.left.n_findings; i++)
		wanted += !x.r.left.findings[i].quarantined;
	ck_assert_uint_gt(wanted, 0);
	heal_result_done(&x.r);
	quarantines = list(urls[0], "quarantine/");
	/* All that came opens, and the rest is wanted as before. */
	x = heal(1, 1, thoroughly);
	ck_assert(!x.r.sound);
	ck_assert_uint_eq(x.r.found.lost, left);
	ck_assert_uint_eq(x.r.fetched, 0);
	heal_result_done(&x.r);
	ck_assert_uint_eq(list(urls[0], "quarantine/").n, quarantines.n);
	x = heal(2, 2, thoroughly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.fetched, left);
	heal_result_done(&x.r);
	region_expect_same(urls[0], urls[2], key);
}
END_TEST

/* A manifest that came from a region without its data is not published. */
START_TEST(a_snapshot_without_its_data_does_not_come)
{
	struct healed x;

	lose(urls[0], "snapshots/");
	lose(urls[0], "data/");
	lose(urls[0], "index/");
	flip(urls[1], "data/");
	x = heal(1, 1, plainly);
	ck_assert(!x.r.sound);
	ck_assert_uint_eq(x.r.n_failures, 2);
	ck_assert_uint_eq(x.r.n_snapshots, 0);
	heal_result_done(&x.r);
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.n_failures, 0);
	ck_assert_uint_eq(x.from[1].snapshots, 2);
	heal_result_done(&x.r);
	ck_assert(is_sound(urls[0]));
}
END_TEST

/* Of two, the second region has one: the other is what is told. */
START_TEST(only_what_no_region_has_is_a_failure)
{
	char text[OBJECT_ID_TEXT];
	char prefix[64];
	struct healed x;

	lose(urls[0], "snapshots/");
	lose(urls[0], "data/");
	lose(urls[0], "index/");
	flip(urls[1], "data/");
	object_id_format(first_id, text);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s", text);
	lose(urls[2], prefix);
	x = heal(1, 2, plainly);
	ck_assert(!x.r.sound);
	ck_assert_uint_eq(x.r.n_failures, 1);
	ck_assert(object_id_equal(x.r.failures[0].snapshot, first_id));
	ck_assert_uint_eq(x.r.n_snapshots, 1);
	ck_assert(object_id_equal(x.r.snapshots[0], second_id));
	heal_result_done(&x.r);
}
END_TEST

/* ---- What was deleted --------------------------------------------------- */

static void erase(const char *url, struct object_id id)
{
	const struct deletion d = {
		.now = clock_now(), .grace_ms = 1000, .by = "test", .reason = ""
	};
	struct repository *r = region_open(url, key);
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(r, text, NULL, true, &s, NULL, &e));
	ck_ok(deletion_delete(r, &s, &d, &e));
	repository_snapshot_done(&s);
	repository_close(r);
}

static bool is_listed(const char *url, struct object_id id)
{
	static struct region_census c;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	region_census(url, key, &c);
	return strstr(c.ids, text) != NULL;
}

/* Deleted in region where, lost in region 0: it stays away. */
static void expect_deleted(int where)
{
	struct healed x;

	erase(urls[where], first_id);
	lose(urls[0], "snapshots/");
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.n_snapshots, 1);
	ck_assert_uint_eq(x.r.deleted, 1);
	heal_result_done(&x.r);
	ck_assert(!is_listed(urls[0], first_id));
	ck_assert(is_listed(urls[0], second_id));
}

START_TEST(what_was_deleted_here_stays_deleted)
{
	expect_deleted(0);
	/* Nor did it spread. */
	ck_assert(is_listed(urls[1], first_id));
}
END_TEST

START_TEST(what_another_region_deleted_is_not_made_anew)
{
	expect_deleted(2);
	/* Nor was it deleted in the one that has it. */
	ck_assert(is_listed(urls[1], first_id));
}
END_TEST

START_TEST(only_what_is_asked_for_comes_back)
{
	const struct heal_options o = { .only = &second_id, .n_only = 1 };
	struct healed x;

	lose(urls[0], "snapshots/");
	x = heal(1, 2, o);
	ck_assert_uint_eq(x.r.n_snapshots, 1);
	heal_result_done(&x.r);
	ck_assert(!is_listed(urls[0], first_id));
	ck_assert(is_listed(urls[0], second_id));
}
END_TEST

/* Both, in ascending order. */
static int want_none(void *arg, struct repository *to UNUSED,
		     struct object_id **ret, size_t *ret_n, struct err *err)
{
	const bool in_order = object_id_compare(first_id, second_id) < 0;

	++*(int *)arg;
	*ret = calloc(2, sizeof(**ret));
	if (!*ret)
		return err_oom(err);
	(*ret)[!in_order] = first_id;
	(*ret)[in_order] = second_id;
	*ret_n = 2;
	return 0;
}

/* What is damaged would stay so: nobody lets go of what cannot be read. */
START_TEST(what_the_region_does_not_want_is_left_out)
{
	char prefix[STORE_NAME_MAX], id[OBJECT_ID_TEXT];
	int asked = 0;
	const struct heal_options o = { .unwanted = want_none, .arg = &asked };
	struct names damaged;
	struct healed x;

	object_id_format(first_id, id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s", id);
	damaged = list(urls[0], prefix);
	flip(urls[0], prefix);
	object_id_format(second_id, id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s", id);
	lose(urls[0], prefix);
	x = heal(1, 2, o);
	ck_assert_int_eq(asked, 1);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.n_snapshots, 1);
	ck_assert_uint_eq(x.r.let_go, 1);
	heal_result_done(&x.r);
	/* The damaged one still lies beside it, given up. */
	lose(urls[0], damaged.v[0]);
	ck_assert(is_listed(urls[0], first_id));
	ck_assert(!is_listed(urls[0], second_id));
}
END_TEST

/* ---- Cut off, and regions that fail ------------------------------------- */

static struct repository *open_faulty(const char *url, const struct fault *x)
{
	struct repository *r = NULL;
	struct store *inner = NULL;
	struct store *faulty = NULL;

	ck_ok(store_open(url, false, &inner, &e));
	ck_ok(fault_wrap(inner, &faulty, &e));
	fault_add(faulty, x);
	ck_ok(repository_open_on(faulty, key, &r, &e));
	return r;
}

START_TEST(a_region_that_fails_is_told_and_the_next_asked)
{
	const struct fault dead = { .call = FAULT_READ,
				    .action = FAULT_FAIL,
				    .prefix = "data/",
				    .nth = 2,
				    .code = ERR_BUSY };
	struct repository *from[2];
	struct healed x;

	lose(urls[0], "data/");
	from[0] = open_faulty(urls[1], &dead);
	from[1] = region_open(urls[2], key);
	x = heal_from(from, 2, plainly);
	ck_ok(x.failed);
	ck_assert(x.r.sound);
	ck_assert_uint_gt(x.from[0].chunks, 0);
	ck_assert_uint_gt(x.from[1].chunks, 0);
	ck_assert_int_eq(x.from[0].why.code, ERR_BUSY);
	ck_assert_int_eq(x.from[1].why.code, ERR_NONE);
	heal_result_done(&x.r);
	repository_close(from[0]);
	repository_close(from[1]);
	expect_healed();
}
END_TEST

/* A request to a remote store costs more than what it brings. */
START_TEST(neighbours_come_with_one_request)
{
	const struct fault none = { .call = FAULT_REMOVE,
				    .action = FAULT_FAIL,
				    .prefix = "nothing" };
	struct repository *from = open_faulty(urls[1], &none);
	struct store *s = repository_store(from);
	struct healed x;

	lose(urls[0], "data/");
	x = heal_from(&from, 1, plainly);
	ck_ok(x.failed);
	ck_assert(x.r.sound);
	ck_assert_uint_gt(x.r.fetched, 1000);
	ck_assert_uint_lt(fault_calls(s, FAULT_READ), x.r.fetched / 10);
	(void)printf("%ju chunks with %ju reads\n", (uintmax_t)x.r.fetched,
		     (uintmax_t)fault_calls(s, FAULT_READ));
	heal_result_done(&x.r);
	repository_close(from);
	expect_healed();
}
END_TEST

/* What arrived is not asked for again, though no index names it yet. */
START_TEST(what_arrived_is_not_sent_again)
{
	const struct names before = list(urls[0], "data/");
	struct names packs;
	struct names known;
	struct healed x;

	lose(urls[0], "data/");
	lose(urls[0], "meta/");
	known = list(urls[0], "index/");
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_gt(x.r.fetched, before.n);
	heal_result_done(&x.r);
	/* As a kill before the index, and what followed it, leaves it. */
	packs = list(urls[0], "index/");
	for (size_t i = 0; i < packs.n; i++) {
		bool is_new = true;

		for (size_t k = 0; k < known.n; k++)
			is_new = is_new && strcmp(packs.v[i], known.v[k]) != 0;
		if (is_new)
			lose(urls[0], packs.v[i]);
	}
	lose(urls[0], "quarantine/");
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound);
	ck_assert_uint_gt(x.r.indexed, 0);
	ck_assert_uint_eq(x.r.fetched, 0);
	heal_result_done(&x.r);
	expect_healed();
}
END_TEST

START_TEST(suspected_packs_are_read)
{
	struct names packs = list(urls[0], "data/");
	struct object_id first;
	struct object_id id;
	const struct heal_options o = { .suspects = &id, .n_suspects = 1 };
	struct healed x;

	ck_assert(object_name_parse(OBJECT_DATA_PACK, packs.v[0], &first, &id));
	flip(urls[0], packs.v[0]);
	x = heal(1, 2, plainly);
	ck_assert(x.r.sound); /* nobody looked */
	heal_result_done(&x.r);
	x = heal(1, 2, o);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.found.packs_read + x.r.found.n_findings, 1);
	ck_assert_uint_eq(x.r.fetched, 1);
	heal_result_done(&x.r);
	expect_healed();
}
END_TEST

/* What is no region is not made one, and another repository's stays its. */
START_TEST(a_place_that_proves_nothing_stays_as_it_is)
{
	struct repository *from = region_open(urls[1], key);
	struct healed x;

	lose(urls[0], "");
	x = heal_from(&from, 1, plainly);
	ck_assert_int_eq(x.failed, -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_uint_eq(list(urls[0], "").n, 0);
	/* Manifests of a repository with other keys, without its config. */
	region_init(urls[0], key);
	{
		struct repository *r = region_open(urls[0], key);

		(void)region_snapshot(r, tree, "s", 0);
		repository_close(r);
	}
	lose(urls[0], "config");
	x = heal_from(&from, 1, plainly);
	ck_assert_int_eq(x.failed, -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_uint_eq(list(urls[0], "config").n, 0);
	repository_close(from);
}
END_TEST

/* A key was revoked, and the region was away: what came since is sealed
 * under keys that it does not know. */
START_TEST(keys_come_first)
{
	char path[SCRATCH_PATH];
	struct keyring_credential *second = region_key(
		scratch_path(&dir, "second", path));
	struct repository *r = region_open(urls[1], key);
	struct object_id slot;
	struct object_id third;
	struct healed x;

	ck_ok(keyring_add(repository_store(r), key, second, "2", clock_now(),
			  &slot, &e));
	ck_ok(keyring_revoke(repository_store(r), key, slot, clock_now(), &e));
	repository_close(r);
	r = region_open(urls[1], key);
	region_file(tree, "e", 300000, &dice);
	third = region_snapshot(r, tree, "s", 0);
	repository_close(r);
	lose(urls[0], "data/");
	x = heal(1, 1, thoroughly);
	ck_assert(x.r.sound);
	ck_assert_uint_eq(x.r.n_snapshots, 1);
	heal_result_done(&x.r);
	ck_assert(is_listed(urls[0], third));
	expect_healed();
	keyring_credential_free(second);
}
END_TEST

START_TEST(strangers_are_refused)
{
	struct repository *from[1];
	struct healed x;

	region_init("mem:stranger", key);
	from[0] = region_open("mem:stranger", key);
	x = heal_from(from, 1, plainly);
	ck_assert_int_eq(x.failed, -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	repository_close(from[0]);
	store_mem_forget("mem:stranger");
}
END_TEST

/* Three megabytes, at one a second: from the region, or into this one. */
START_TEST(limits_are_kept)
{
	for (int way = 0; way < 3; way++) {
		struct heal_source from = { .r = region_open(urls[1], key),
					    .read_limit = way == 1 ? 1000000
								   : 0 };
		const struct heal_options o = { .from = &from,
						.n_from = 1,
						.now = clock_now(),
						.write_limit = way == 2
								       ? 1000000
								       : 0 };
		struct heal_result r;

		lose(urls[0], "data/");
		begun_ms = __real_clock_boot_ms();
		rested_ms = 0;
		counts_rests = true;
		ck_ok(heal_run(urls[0], key, &o, &r, &e));
		counts_rests = false;
		ck_assert(r.sound);
		ck_assert_uint_gt(r.bytes, 2000000);
		if (way)
			ck_assert_int_ge(rested_ms, 1000);
		else
			ck_assert_int_eq(rested_ms, 0);
		heal_result_done(&r);
		repository_close(from.r);
	}
}
END_TEST

START_TEST(can_be_cancelled)
{
	const atomic_bool cancel = true;
	struct repository *from[1] = { region_open(urls[1], key) };
	const struct heal_options o = { .cancel = &cancel };
	struct healed x;

	lose(urls[0], "data/");
	x = heal_from(from, 1, o);
	ck_assert_int_eq(x.failed, -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	repository_close(from[0]);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_sound_region_is_left_alone);
	tcase_add_test(tc, any_object_may_be_lost_or_damaged);
	tcase_add_test(tc, what_a_region_lost_altogether_comes_back);
	tcase_add_test(tc, an_index_is_made_anew_from_its_packs);
	tcase_add_test(tc, dry_run_changes_nothing);
	tcase_add_test(tc, what_one_region_has_damaged_another_gives);
	tcase_add_test(tc, manifests_come_from_who_has_them);
	tcase_add_test(tc, damage_does_not_spread);
	tcase_add_test(tc, a_snapshot_without_its_data_does_not_come);
	tcase_add_test(tc, only_what_no_region_has_is_a_failure);
	tcase_add_test(tc, what_was_deleted_here_stays_deleted);
	tcase_add_test(tc, what_another_region_deleted_is_not_made_anew);
	tcase_add_test(tc, only_what_is_asked_for_comes_back);
	tcase_add_test(tc, what_the_region_does_not_want_is_left_out);
	tcase_add_test(tc, a_region_that_fails_is_told_and_the_next_asked);
	tcase_add_test(tc, neighbours_come_with_one_request);
	tcase_add_test(tc, what_arrived_is_not_sent_again);
	tcase_add_test(tc, suspected_packs_are_read);
	tcase_add_test(tc, a_place_that_proves_nothing_stays_as_it_is);
	tcase_add_test(tc, keys_come_first);
	tcase_add_test(tc, strangers_are_refused);
	tcase_add_test(tc, limits_are_kept);
	tcase_add_test(tc, can_be_cancelled);
}

CHECK_MAIN("storage/heal", cases)
