/*
 * Each call to the system that snapshots, restores, checks, collections,
 * copies, healings and key changes make fails in turn, or moves half of its
 * bytes; and each allocation fails, those of libraries included; in a folder,
 * and in one that is read ahead as if it was far. Each time:
 * what is said to have worked has; what has not is told, with the cause; memory
 * and descriptors are given back, nothing is left over, the repository is
 * sound.
 */
#include "storage/heal.h"
#include "storage/replicate.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "tests/support/region_story.h"

static char other[SCRATCH_PATH]; /* another region, of the same */
static struct keyring_credential *second_key;

/* ---- The stories --------------------------------------------------------- */

static void tell_check(struct outcome *o)
{
	CLEANUP(check_result_done) struct check_result x = { .sound = false };
	const struct check_options options = { .level = CHECK_DATA,
					       .now = clock_now() };

	o->failed = open_repository() || check_run(f.r, &options, &x, &e);
	(void)shut(0);
	o->partial = !o->failed && !x.sound;
	o->damage = o->partial;
	if (o->partial)
		(void)snprintf(o->said, sizeof(o->said), "%s: %s",
			       x.findings[0].object, x.findings[0].message);
}

static int erase(void)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };
	const struct deletion d = {
		.now = clock_now(), .grace_ms = 0, .by = "me", .reason = ""
	};

	return find_taken(&s) || deletion_delete(f.r, &s, &d, &e) ? -1 : 0;
}

static void tell_collect(struct outcome *o)
{
	const struct gc_options options = { .now = clock_now(),
					    .host = "host" };
	struct gc_result result;

	o->failed = open_repository() || erase() ||
		    gc_run(f.r, &options, &result, &e);
	(void)shut(0);
}

static int note_copied(void *arg, const struct replicate_one *one,
		       struct err *unused)
{
	struct outcome *o = arg;

	(void)unused;
	if (one->why)
		(void)snprintf(o->said, sizeof(o->said), "%s", one->why->text);
	return 0;
}

static struct replicate_unopened all_unopened(const struct replicate_result *r)
{
	const struct replicate_unopened manifests = replicate_unopened_sum(
		&r->unopened_from, &r->unopened_to);

	return replicate_unopened_sum(&manifests, &r->unopened_records);
}

static void tell_copy(struct outcome *o)
{
	const struct replicate_options options = { .host = "host",
						   .done = note_copied,
						   .arg = o };
	CLEANUP(repository_close) struct repository *to = NULL;
	struct replicate_result result = { .failed = 0 };
	CLEANUP(store_close) struct store *s = NULL;
	char told[REPLICATE_UNOPENED_TEXT];
	struct replicate_unopened unopened;

	o->failed = open_repository() || store_open(f.to, true, &s, &e) ||
		    replicate_settle(repository_store(f.r), s, f.credential,
				     &e) ||
		    open_region(f.to, &to) ||
		    replicate_run(f.r, to, &options, &result, &e);
	unopened = all_unopened(&result);
	o->partial = !o->failed && (result.failed || unopened.n);
	o->damage = unopened.n > 0;
	if (o->damage && !o->said[0])
		(void)snprintf(o->said, sizeof(o->said), "%s",
			       replicate_unopened_text(&unopened, told));
	(void)shut(0);
}

static void tell_heal(struct outcome *o)
{
	struct heal_source from = { .r = NULL };
	const struct heal_options options = {
		.from = &from, .n_from = 1, .now = clock_now(), .host = "host"
	};
	struct heal_result result = { .sound = false };
	const struct check_result *left;

	o->failed = repository_open(other, f.credential, &from.r, &e) ||
		    heal_run(f.url, f.credential, &options, &result, &e);
	left = heal_left(&result);
	o->partial = !o->failed && (!result.sound || from.why.code);
	if (o->partial)
		(void)snprintf(
			o->said, sizeof(o->said), "%s %s %s", from.why.text,
			result.n_failures ? result.failures[0].why : "",
			left->n_findings ? left->findings[0].message : "");
	o->damage = from.why.code == ERR_CORRUPT;
	repository_close(from.r);
	heal_result_done(&result);
}

static void tell_keys(struct outcome *o)
{
	struct object_id slot;

	o->failed = open_repository() ||
		    keyring_add(repository_store(f.r), f.credential, second_key,
				"second", clock_now(), &slot, &e) ||
		    keyring_revoke(repository_store(f.r), f.credential, slot,
				   clock_now(), &e);
	(void)shut(0);
}

/* ---- Afterwards ---------------------------------------------------------- */

static void after_snapshot(const char *when)
{
	expect_restored(when);
}

static void before_collect(void)
{
	struct outcome o = { .failed = 0 };

	tell_snapshot(&o);
	ck_assert_msg(!o.failed && !o.partial, "%s", e.text);
}

static void after_copy(const char *when)
{
	expect_sound(f.to, when);
	scratch_remove(f.to);
}

/* All but what opens it. */
static void before_heal(void)
{
	static const char *const folders[] = { "data", "meta", "index",
					       "snapshots", "receipts" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char path[2 * SCRATCH_PATH];

		(void)snprintf(path, sizeof(path), "%s/%s", f.url, folders[i]);
		scratch_remove(path);
	}
}

static void finish_heal(void)
{
	struct outcome o = { .failed = 0 };

	tell_heal(&o);
	ck_assert_msg(!o.failed && !o.partial, "%s %s", e.text, o.said);
}

static void after_heal(const char *when)
{
	expect_sound(f.url, when);
	expect_restored(when);
}

static void nothing(const char *when)
{
	(void)when;
}

static const struct story stories[] = {
	{ FRAME("snapshot"), tell_snapshot, NULL, after_snapshot, true, NULL, 0,
	  false },
	{ FRAME("restore"), tell_restore, NULL, expect_restored, true, NULL, 0,
	  false },
	{ FRAME("check"), tell_check, NULL, nothing, true, NULL, 0, false },
	{ FRAME("copy"), tell_copy, NULL, after_copy, true, NULL, 0, false },
	{ FRAME("collect"), tell_collect, before_collect, nothing, false, NULL,
	  0, false },
	/* It allocates about as often as others are told at least. */
	{ FRAME("keys"), tell_keys, NULL, nothing, false, NULL, 1, false },
	{ FRAME("heal"), tell_heal, before_heal, after_heal, true, finish_heal,
	  6, false },
	FAR("snapshot, far", tell_snapshot, NULL, after_snapshot, true),
	FAR("restore, far", tell_restore, NULL, expect_restored, true),
	FAR("check, far", tell_check, NULL, nothing, true),
	FAR("copy, far", tell_copy, NULL, after_copy, true),
	FAR("collect, far", tell_collect, before_collect, nothing, false),
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

START_TEST(every_call_in_turn)
{
	tell_all_calls(&stories[_i]);
}
END_TEST

START_TEST(every_allocation_in_turn)
{
	tell_all_allocations(&stories[_i]);
}
END_TEST

/* ---- The frame ----------------------------------------------------------- */

static void set_up(void)
{
	char path[SCRATCH_PATH];

	region_set_up(other);
	ck_ok(keyring_credential_make_key_file(
		scratch_path(&f.dir, "second", path), &second_key, &e));
}

static void tear_down(void)
{
	keyring_credential_free(second_key);
	region_tear_down();
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);

	tcase_add_loop_test(tc, every_call_in_turn, 0, STORIES);
	if (alloc_all_works())
		tcase_add_loop_test(tc, every_allocation_in_turn, 0, STORIES);
}

CHECK_MAIN("storage/faults", cases)
