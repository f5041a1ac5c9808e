/*
 * As storage_power_cut.c, of what is done now and then: the key file and the
 * repository that it opens are made in one folder; a legal hold is set and
 * released; a deletion is taken back; a region that lost its data is healed
 * from the other, and one that lost its index rebuilt.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "base/seam.h"
#include "storage/heal.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "tests/support/power_cut.h"
#include "tests/support/region.h"
#include "tests/support/repo_frame.h"

/* What was acknowledged last, in the order of the story. */
enum step {
	NOTHING,
	MADE,
	TAKEN,
	REPLICATED,
	DELETED, /* the second snapshot */
	HELD,	 /* the first one */
	UNDELETED,
	RELEASED,
	LOST, /* the data of region b, which is no story of ours */
	HEALED,
	BLIND, /* region b has no index */
	REBUILT,
};

enum { FIRST, SECOND, SNAPSHOTS };

static struct scratch dir;
static char disk[SCRATCH_PATH], tree[SCRATCH_PATH];
static struct object_id ids[SNAPSHOTS];
static struct tree_list trees[SNAPSHOTS];
static struct power_cut *power;
static struct err e;

struct places {
	char key[SCRATCH_PATH + 16];
	char a[SCRATCH_PATH + 16], b[SCRATCH_PATH + 16];
};

static void name_places(struct places *x, const char *root)
{
	(void)snprintf(x->key, sizeof(x->key), "%s/key", root);
	(void)snprintf(x->a, sizeof(x->a), "%s/a", root);
	(void)snprintf(x->b, sizeof(x->b), "%s/b", root);
}

/* ---- The story ----------------------------------------------------------- */

static void find(struct repository *r, size_t i, struct repository_snapshot *s)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(ids[i], text);
	manifest_init(&s->manifest);
	if (repository_find(r, text, NULL, true, s, NULL, &e))
		ck_abort_msg("%s: snapshot %zu: %s", power_cut_describe(power),
			     i, e.text);
}

static void take(struct repository *r, size_t i)
{
	struct random dice = { .state = i };
	char name[16];

	(void)snprintf(name, sizeof(name), "file%zu", i);
	region_file(tree, name, 60000, &dice);
	ids[i] = region_snapshot(r, tree, "web", 0);
	repo_list(&trees[i], tree);
}

static int change(struct repository *r, size_t i,
		  int (*how)(struct repository *r,
			     const struct repository_snapshot *s,
			     const struct deletion *d, struct err *e))
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct deletion d = { .now = clock_now(),
				    .grace_ms = 86400000,
				    .by = "test",
				    .reason = "" };

	find(r, i, &s);
	return how(r, &s, &d, &e);
}

/* The objects whose names begin so. */
static int remove_one(void *arg, const struct store_entry *entry,
		      struct err *why)
{
	return store_remove(arg, entry->name, why) < 0 ? -1 : 0;
}

static void lose(const char *url, const char *prefix)
{
	CLEANUP(store_close) struct store *s = NULL;

	ck_ok(store_open(url, false, &s, &e));
	ck_ok(store_list(s, prefix, remove_one, s, &e));
}

static void heal(const struct places *x, const struct keyring_credential *key)
{
	struct heal_source from = { .r = region_open(x->a, key) };
	const struct heal_options o = {
		.from = &from, .n_from = 1, .now = clock_now(), .host = "host"
	};
	struct heal_result result = { .sound = false };

	if (heal_run(x->b, key, &o, &result, &e) || !result.sound)
		ck_abort_msg("%s: %s", power_cut_describe(power), e.text);
	heal_result_done(&result);
	repository_close(from.r);
}

static void repair(const char *url, const struct keyring_credential *key)
{
	CLEANUP(check_result_done) struct check_result x = { .packs = 0 };
	CLEANUP(repository_close) struct repository *r = region_open(url, key);
	const struct check_options o = { .level = CHECK_DATA,
					 .repair = true,
					 .now = clock_now() };

	if (check_run(r, &o, &x, &e))
		ck_abort_msg("%s: %s", power_cut_describe(power), e.text);
}

static void work(void)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	const struct replicate_options copying = { .host = "h" };
	struct replicate_result copied;
	struct deletion_hold h = { .snapshots = &ids[FIRST],
				   .n_snapshots = 1,
				   .case_name = "case",
				   .custodian = "keeper",
				   .by = "test" };
	struct repository *r;
	struct repository *to;
	struct object_id hold;
	struct places x;

	name_places(&x, disk);
	key = region_key(x.key);
	region_init(x.a, key);
	power_cut_acknowledge(power);
	r = region_open(x.a, key);
	take(r, FIRST);
	take(r, SECOND);
	power_cut_acknowledge(power);
	to = region_add(r, x.b, key);
	ck_ok(replicate_run(r, to, &copying, &copied, &e));
	repository_close(to);
	power_cut_acknowledge(power);
	ck_ok(change(r, SECOND, deletion_delete));
	power_cut_acknowledge(power);
	h.now = clock_now();
	ck_ok(deletion_hold(r, &h, &hold, &e));
	power_cut_acknowledge(power);
	ck_ok(change(r, SECOND, deletion_undelete));
	power_cut_acknowledge(power);
	ck_ok(deletion_release(r, hold, "test", clock_now(), &e));
	power_cut_acknowledge(power);
	repository_close(r);
	lose(x.b, "data/");
	power_cut_acknowledge(power);
	heal(&x, key);
	power_cut_acknowledge(power);
	lose(x.b, "index/");
	power_cut_acknowledge(power);
	repair(x.b, key);
	power_cut_acknowledge(power);
}

/* ---- After the cut ------------------------------------------------------- */

static void expect_sound(const char *url, const struct keyring_credential *key)
{
	CLEANUP(check_result_done) struct check_result x = { .packs = 0 };
	CLEANUP(repository_close) struct repository *r = region_open(url, key);
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };

	if (check_run(r, &o, &x, &e))
		ck_abort_msg("%s: %s", power_cut_describe(power), e.text);
	ck_assert_msg(x.sound, "%s: %s: %s", power_cut_describe(power),
		      x.n_findings ? x.findings[0].object : "",
		      x.n_findings ? x.findings[0].message : "");
}

static void expect_restores(const char *url,
			    const struct keyring_credential *key)
{
	struct repo_frame f = { .failures = 0 };

	f.r = region_open(url, key);
	(void)snprintf(f.from, sizeof(f.from), "%s", tree);
	(void)scratch_path(&dir, "to", f.to);
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		(void)repo_restore(&f, ids[i]);
		ck_assert_msg(f.failures == 0, "%s: %s",
			      power_cut_describe(power), f.failed);
		repo_expect_same(&trees[i], f.to);
		scratch_remove(f.to);
	}
	repository_close(f.r);
}

/* As acknowledged; what was under way may be as before, or done. */
static void expect_states(const char *url, const struct keyring_credential *key,
			  unsigned int done)
{
	CLEANUP(repository_close) struct repository *r = region_open(url, key);
	CLEANUP(repository_snapshot_done) struct repository_snapshot first;
	CLEANUP(repository_snapshot_done) struct repository_snapshot second;
	struct err why = { 0 };
	bool held;

	find(r, FIRST, &first);
	find(r, SECOND, &second);
	held = deletion_may(&first, clock_now(), &why) < 0;
	ck_assert_msg(!first.deleted, "%s: it is deleted",
		      power_cut_describe(power));
	ck_assert_msg(held || done < HELD || done + 1 >= RELEASED,
		      "%s: it is not held", power_cut_describe(power));
	ck_assert_msg(!held || (done + 1 >= HELD && done < RELEASED),
		      "%s: it is held", power_cut_describe(power));
	ck_assert_msg(!second.deleted ||
			      (done + 1 >= DELETED && done < UNDELETED),
		      "%s: it is deleted", power_cut_describe(power));
}

static unsigned int looked;

static void check(void *arg, const char *root, unsigned int done)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	struct repository *r = NULL;
	struct err why = { 0 };
	struct places x;

	(void)arg;
	looked++;
	name_places(&x, root);
	if (keyring_credential_key_file(x.key, &key, &why)) {
		/* Nothing is there that only it would open. */
		ck_assert_msg(done < MADE, "%s: %s", power_cut_describe(power),
			      why.text);
		ck_assert_msg(access(x.a, F_OK) < 0,
			      "%s: a repository without a key",
			      power_cut_describe(power));
		/* What there is of it is no key, and is told apart. */
		(void)unlink(x.key);
		key = region_key(x.key);
	}
	if (done < MADE && repository_open(x.a, key, &r, &why)) {
		region_init(x.a, key);
		return;
	}
	repository_close(r);
	expect_sound(x.a, key);
	if (done < TAKEN)
		return;
	expect_states(x.a, key, done);
	if (looked % 4 == 0)
		expect_restores(x.a, key);
	if (done < REPLICATED)
		return;
	/* What was lost there is not the cut's doing; it is mended as before.
	 */
	if (done + 1 >= LOST && done < HEALED)
		heal(&x, key);
	if (done + 1 >= BLIND && done < REBUILT)
		repair(x.b, key);
	expect_sound(x.b, key);
	if (looked % 4 == 0)
		expect_restores(x.b, key);
}

START_TEST(whatever_is_left_of_what_was_not_synced)
{
	char path[SCRATCH_PATH];

	work();
	power_cut_stop(power);
	(void)power_cut_each(power, scratch_path(&dir, "disk", path),
			     power_cut_full(400), check, NULL);
	(void)printf("%zu calls, %u disks\n", power_cut_calls(power), looked);
	ck_assert_uint_gt(looked, 100 / CHECK_EVERY);
}
END_TEST

static void set_up(void)
{
	scratch_init(&dir);
	(void)scratch_path(&dir, "work", disk);
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(disk, 0700) | mkdir(tree, 0700), 0);
	power = power_cut_record(disk);
}

static void tear_down(void)
{
	power_cut_free(power);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		tree_list_done(&trees[i]);
	scratch_done(&dir);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, whatever_is_left_of_what_was_not_synced);
}

CHECK_MAIN("storage/power_cut_seldom", cases)
