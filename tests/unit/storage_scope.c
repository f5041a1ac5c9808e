/* Deletions of one region alone: the scope of tombstones (FORMAT.md §9). */
#include "storage/heal.h"
#include "storage/repository/deletion.h"
#include "storage/repository/seal.h"
#include "tests/support/region.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct err e;

/* A warm region, an archive, and one that was not copied to yet. */
#define WARM	"mem:warm"
#define ARCHIVE "mem:archive"
#define THIRD	"mem:third"
static struct object_id old_id, new_id;

static struct replicate_result copy(const char *from_url, const char *to_url,
				    struct replicate_options o)
{
	struct repository *from = region_open(from_url, key);
	struct repository *to = region_add(from, to_url, key);
	struct replicate_result r;

	ck_ok(replicate_run(from, to, &o, &r, &e));
	repository_close(to);
	repository_close(from);
	return r;
}

static const struct replicate_options plainly = { .host = "h" };

static void set_up(void)
{
	char path[SCRATCH_PATH];
	struct repository *r;

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
	region_file(tree, "a", 1000, &dice);
	region_init(WARM, key);
	r = region_open(WARM, key);
	old_id = region_snapshot(r, tree, "s", 0);
	region_file(tree, "b", 1000, &dice);
	new_id = region_snapshot(r, tree, "s", 0);
	repository_close(r);
	(void)copy(WARM, ARCHIVE, plainly);
}

static void tear_down(void)
{
	keyring_credential_free(key);
	store_mem_forget(WARM);
	store_mem_forget(ARCHIVE);
	store_mem_forget(THIRD);
	scratch_done(&dir);
}

/* What a region says of a snapshot. */
static struct repository_snapshot look(const char *url, struct object_id id)
{
	struct repository *r = region_open(url, key);
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(r, text, NULL, true, &s, NULL, &e));
	repository_close(r);
	repository_snapshot_done(&s);
	return s;
}

static void erase_as(const char *url, struct object_id id, bool this_region,
		     const char *by, const char *reason)
{
	struct deletion d = { .grace_ms = 1000,
			      .by = by,
			      .reason = reason,
			      .this_region = this_region };
	struct repository *r = region_open(url, key);
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	d.now = clock_now();
	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(r, text, NULL, true, &s, NULL, &e));
	ck_ok(deletion_delete(r, &s, &d, &e));
	repository_snapshot_done(&s);
	repository_close(r);
}

static void erase(const char *url, struct object_id id, bool this_region)
{
	erase_as(url, id, this_region, "test", "why");
}

/* As retention did where no region had rules of its own. */
static void let_go(const char *url, struct object_id id)
{
	char reason[DELETION_RULES_MAX];

	deletion_rules_reason(reason, "days", 12);
	erase_as(url, id, false, DELETION_SERVICE, reason);
}

static bool is_live(const char *url, struct object_id id)
{
	static struct region_census c;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	region_census(url, key, &c);
	return strstr(c.ids, text) != NULL;
}

static int count(void *arg, const struct store_entry *entry UNUSED,
		 struct err *err UNUSED)
{
	++*(int *)arg;
	return 0;
}

static int tombstones(const char *url)
{
	struct store *s = NULL;
	int n = 0;

	ck_ok(store_open(url, false, &s, &e));
	ck_ok(store_list(s, "tombstones/", count, &n, &e));
	store_close(s);
	return n;
}

static int take_first(void *arg, const struct store_entry *entry,
		      struct err *err UNUSED)
{
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 1;
}

static void first(struct store *s, const char *prefix,
		  char name[STORE_NAME_MAX + 1])
{
	name[0] = '\0';
	ck_ok(store_list(s, prefix, take_first, name, &e));
	ck_assert_msg(name[0], "nothing begins with %s", prefix);
}

/* As a collector does once the grace period is over. */
static void collect(const char *url, struct object_id id)
{
	char prefix[STORE_NAME_MAX], text[OBJECT_ID_TEXT];
	struct store *s = NULL;
	char name[STORE_NAME_MAX + 1] = "";

	object_id_format(id, text);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s-", text);
	ck_ok(store_open(url, false, &s, &e));
	first(s, prefix, name);
	ck_ok(store_remove(s, name, &e));
	store_close(s);
}

/* ---- Copying ------------------------------------------------------------ */

START_TEST(it_stays_where_it_was_written)
{
	erase(WARM, old_id, true);
	ck_assert(!is_live(WARM, old_id));
	ck_assert(look(WARM, old_id).this_region);
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert(is_live(ARCHIVE, old_id));
	ck_assert_int_eq(tombstones(ARCHIVE), 0);
	/* What people delete goes there all the same. */
	erase(WARM, new_id, false);
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert(!is_live(ARCHIVE, new_id));
	ck_assert(is_live(ARCHIVE, old_id));
	ck_assert_int_eq(tombstones(ARCHIVE), 1);
}
END_TEST

/* Another primary, which has more, is copied to the one that let it go. */
START_TEST(what_a_region_let_go_does_not_come_back_to_it)
{
	struct replicate_result r;

	erase(WARM, old_id, true);
	for (int i = 0; i < 2; i++) {
		r = copy(ARCHIVE, WARM, plainly);
		ck_assert_uint_eq(r.copied, 0);
		ck_assert_uint_eq(r.deleted, 1);
		ck_assert(!is_live(WARM, old_id));
		if (i == 0)
			collect(WARM, old_id);
	}
}
END_TEST

/* As promoting does: records alone. */
START_TEST(it_does_not_follow_with_the_records)
{
	static const struct object_id none;
	const struct replicate_options o = { .only = &none, .n_only = 0 };

	erase(WARM, old_id, true);
	(void)copy(WARM, ARCHIVE, o);
	ck_assert_int_eq(tombstones(ARCHIVE), 0);
	erase(WARM, old_id, false);
	(void)copy(WARM, ARCHIVE, o);
	ck_assert_int_eq(tombstones(ARCHIVE), 1);
	ck_assert(!is_live(ARCHIVE, old_id));
}
END_TEST

/* A region that the warm one is behind of, and a third that catches up. */
START_TEST(it_says_nothing_of_other_regions)
{
	struct repository *warm = region_open(WARM, key);
	struct replicate_options o = { .host = "h",
				       .also = &warm,
				       .n_also = 1 };
	struct replicate_result r;

	erase(WARM, old_id, true);
	erase(WARM, new_id, false);
	r = copy(ARCHIVE, THIRD, o);
	ck_assert_uint_eq(r.copied, 1);
	ck_assert_uint_eq(r.deleted, 1);
	ck_assert(is_live(THIRD, old_id));
	ck_assert(!is_live(THIRD, new_id));
	repository_close(warm);
}
END_TEST

/* ---- Healing ------------------------------------------------------------ */

static size_t heal_apart(const char *url, const char *a, const char *b,
			 bool is_apart)
{
	struct repository *others[] = { region_open(a, key),
					region_open(b, key) };
	struct heal_source from[] = { { .r = others[0] }, { .r = others[1] } };
	const struct heal_options o = { .from = from,
					.n_from = 2,
					.apart = is_apart,
					.now = clock_now(),
					.host = "h" };
	struct heal_result r;
	size_t n;

	ck_ok(heal_run(url, key, &o, &r, &e));
	ck_assert(r.sound);
	n = r.n_snapshots;
	heal_result_done(&r);
	repository_close(others[0]);
	repository_close(others[1]);
	return n;
}

/* Region lost all it lists, and is healed from the two others. */
static size_t heal(const char *url, const char *a, const char *b)
{
	return heal_apart(url, a, b, false);
}

START_TEST(another_region_heals_what_one_let_go)
{
	(void)copy(WARM, THIRD, plainly);
	erase(WARM, old_id, true);
	collect(ARCHIVE, old_id);
	collect(ARCHIVE, new_id);
	ck_assert_uint_eq(heal(ARCHIVE, WARM, THIRD), 2);
	ck_assert(is_live(ARCHIVE, old_id));
}
END_TEST

START_TEST(healing_brings_nothing_back_that_the_region_let_go)
{
	(void)copy(WARM, THIRD, plainly);
	erase(WARM, old_id, true);
	collect(WARM, old_id);
	ck_assert_uint_eq(heal(WARM, ARCHIVE, THIRD), 0);
	ck_assert(!is_live(WARM, old_id));
}
END_TEST

/* ---- Deletions of before ------------------------------------------------ */

static const struct replicate_options apart = { .host = "h", .apart = true };

START_TEST(what_retention_deleted_before_stays_where_it_did)
{
	let_go(WARM, old_id);
	ck_assert(look(WARM, old_id).this_region);
	(void)copy(WARM, ARCHIVE, apart);
	ck_assert_int_eq(tombstones(ARCHIVE), 0);
	/* That the region has deleted anything for itself alone tells it. */
	erase(WARM, new_id, true);
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert_int_eq(tombstones(ARCHIVE), 0);
	ck_assert(is_live(ARCHIVE, old_id));
	/* In its own region it deletes, and nothing comes back. */
	ck_assert_uint_eq(copy(ARCHIVE, WARM, apart).deleted, 2);
	ck_assert(!is_live(WARM, old_id));
}
END_TEST

START_TEST(where_no_region_keeps_apart_it_follows_as_ever)
{
	let_go(WARM, old_id);
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert(!is_live(ARCHIVE, old_id));
	ck_assert_int_eq(tombstones(ARCHIVE), 1);
}
END_TEST

/* What a person deletes is deleted, whoever did so before. */
START_TEST(a_person_deletes_what_retention_did)
{
	let_go(WARM, old_id);
	erase_as(WARM, old_id, false, "ann@box", "");
	ck_assert_int_eq(tombstones(WARM), 2);
	ck_assert(!look(WARM, old_id).this_region);
	erase_as(WARM, old_id, false, "ann@box", "");
	ck_assert_int_eq(tombstones(WARM), 2);
	(void)copy(WARM, ARCHIVE, apart);
	ck_assert(!is_live(ARCHIVE, old_id));
}
END_TEST

START_TEST(only_retention_speaks_as_retention_does)
{
	static const char *const said[][2] = {
		{ "snapctld@box", "policy days version 12" },
		{ "ann@box", "policy days version 12" },
		{ DELETION_SERVICE, "policy days version 12 was wrong" },
		{ DELETION_SERVICE, "policy days version " },
		{ DELETION_SERVICE, "policy of the house version 12" },
		{ DELETION_SERVICE, "its run lost region a" },
		{ DELETION_SERVICE, "" },
	};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		struct record t;

		record_init(&t, OBJECT_TOMBSTONE);
		(void)snprintf(t.by, sizeof(t.by), "%s", said[i][0]);
		(void)snprintf(t.reason, sizeof(t.reason), "%s", said[i][1]);
		ck_assert_msg(!deletion_is_by_rules(&t), "%s: %s", t.by,
			      t.reason);
	}
	erase_as(WARM, old_id, false, said[0][0], said[0][1]);
	erase_as(WARM, new_id, false, said[5][0], said[5][1]);
	(void)copy(WARM, ARCHIVE, apart);
	ck_assert(!is_live(ARCHIVE, old_id));
	ck_assert(!is_live(ARCHIVE, new_id));
}
END_TEST

START_TEST(it_says_nothing_of_what_others_catch_up_with_or_heal)
{
	struct repository *warm = region_open(WARM, key);
	struct replicate_options o = apart;

	o.also = &warm;
	o.n_also = 1;
	let_go(WARM, old_id);
	ck_assert_uint_eq(copy(ARCHIVE, THIRD, o).copied, 2);
	o.apart = false;
	collect(THIRD, old_id);
	ck_assert_uint_eq(copy(ARCHIVE, THIRD, o).deleted, 1);
	repository_close(warm);
	ck_assert_uint_eq(heal_apart(THIRD, WARM, ARCHIVE, false), 0);
	ck_assert_uint_eq(heal_apart(THIRD, WARM, ARCHIVE, true), 1);
	ck_assert(is_live(THIRD, old_id));
}
END_TEST

/* ---- The record --------------------------------------------------------- */

START_TEST(a_person_deletes_in_all_regions_what_one_let_go)
{
	erase(WARM, old_id, true);
	erase(WARM, old_id, true); /* it is so already */
	ck_assert_int_eq(tombstones(WARM), 1);
	erase(WARM, old_id, false);
	ck_assert_int_eq(tombstones(WARM), 2);
	ck_assert(!look(WARM, old_id).this_region);
	/* What is deleted in all is in this one. */
	erase(WARM, old_id, true);
	erase(WARM, old_id, false);
	ck_assert_int_eq(tombstones(WARM), 2);
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert(!is_live(ARCHIVE, old_id));
}
END_TEST

START_TEST(it_is_taken_back_like_any_other)
{
	struct repository *r = region_open(WARM, key);
	struct deletion d = { .grace_ms = 1000, .by = "test", .reason = "" };
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	erase(WARM, old_id, true);
	d.now = clock_now();
	object_id_format(old_id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(r, text, NULL, true, &s, NULL, &e));
	ck_ok(deletion_undelete(r, &s, &d, &e));
	repository_snapshot_done(&s);
	repository_close(r);
	ck_assert(is_live(WARM, old_id));
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert(is_live(ARCHIVE, old_id));
	ck_assert_int_eq(tombstones(ARCHIVE), 0);
}
END_TEST

/* Programs of before know version 0 alone, and leave this one where it is. */
START_TEST(only_with_a_scope_it_is_of_a_newer_version)
{
	char name[STORE_NAME_MAX + 1] = "";
	struct store *s = NULL;

	ck_ok(store_open(WARM, false, &s, &e));
	for (int scoped = 1; scoped >= 0; scoped--) {
		CLEANUP(buf_done) struct buf box;

		erase(WARM, scoped ? old_id : new_id, scoped);
		first(s, "tombstones/", name);
		repo_get(s, name, &box);
		ck_assert_int_eq(box.data[9], scoped);
		/* Nor is a version that was changed taken for one. */
		for (uint8_t v = 0; v < 4; v++) {
			CLEANUP(buf_wipe) struct buf payload;
			struct repository *r = region_open(WARM, key);

			if (v == scoped) {
				repository_close(r);
				continue;
			}
			box.data[9] = v;
			buf_init(&payload, SEAL_PAYLOAD_MAX);
			ck_assert_int_eq(seal_box_open(repository_keys(r),
						       OBJECT_TOMBSTONE, name,
						       box.data, box.len,
						       &payload, &e),
					 -1);
			ck_assert_int_eq(e.code, ERR_CORRUPT);
			err_clear(&e);
			repository_close(r);
		}
		ck_ok(store_remove(s, name, &e));
	}
	store_close(s);
}
END_TEST

/* One that is not known might delete elsewhere: no deletion, and no damage. */
START_TEST(a_scope_that_is_not_known_is_newer)
{
	struct repository *r = region_open(WARM, key);
	struct record t, got;
	struct object_name name;

	record_init(&t, OBJECT_TOMBSTONE);
	t.id = object_id_new();
	t.snapshot = old_id;
	t.time = t.until = clock_now();
	t.scope = 2;
	name = record_name(&t);
	ck_ok(record_put(repository_store(r), repository_keys(r), &t, 0, &e));
	ck_assert_int_eq(record_get(repository_store(r), repository_keys(r),
				    OBJECT_TOMBSTONE, name.s, &got, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_NEWER);
	err_clear(&e);
	repository_close(r);
	ck_assert(is_live(WARM, old_id));
	(void)copy(WARM, ARCHIVE, plainly);
	ck_assert_int_eq(tombstones(ARCHIVE), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_stays_where_it_was_written);
	tcase_add_test(tc, what_a_region_let_go_does_not_come_back_to_it);
	tcase_add_test(tc, it_does_not_follow_with_the_records);
	tcase_add_test(tc, it_says_nothing_of_other_regions);
	tcase_add_test(tc, another_region_heals_what_one_let_go);
	tcase_add_test(tc, healing_brings_nothing_back_that_the_region_let_go);
	tcase_add_test(tc, what_retention_deleted_before_stays_where_it_did);
	tcase_add_test(tc, where_no_region_keeps_apart_it_follows_as_ever);
	tcase_add_test(tc, a_person_deletes_what_retention_did);
	tcase_add_test(tc, only_retention_speaks_as_retention_does);
	tcase_add_test(tc,
		       it_says_nothing_of_what_others_catch_up_with_or_heal);
	tcase_add_test(tc, a_person_deletes_in_all_regions_what_one_let_go);
	tcase_add_test(tc, it_is_taken_back_like_any_other);
	tcase_add_test(tc, only_with_a_scope_it_is_of_a_newer_version);
	tcase_add_test(tc, a_scope_that_is_not_known_is_newer);
}

CHECK_MAIN("storage/scope", cases)
