/* Holds, which the step "retain" obeys in whatever region they are. */
#include "service/catalog_keep.h"
#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_store.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };
#define START 1700000000

static int64_t today;

/* A run on the next day; its state. */
static enum run_state night(struct run_frame *t)
{
	enum run_state state;
	int64_t id;

	today += DAY;
	run_clock(t, today);
	id = run_attempt(t, 0);
	state = run_do(t, id);
	(void)end_run(&t->f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
		      CATALOG_SUCCEEDED);
	return state;
}

static void nights(struct run_frame *t, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(night(t), RUN_SUCCEEDED);
}

static void begin(struct run_frame *t, const char *policy)
{
	today = START;
	run_open(t);
	run_apply(t, "Policy", "gold", NULL, policy);
}

START_TEST(holds_and_locks_are_obeyed)
{
	CLEANUP(run_done) struct run_frame t;
	struct object_id id;
	char text[OBJECT_ID_TEXT];
	char query[128];

	begin(&t, "{\"retention\":{\"keep-last\":1},\"lock\":\"2d12h\"}");
	nights(&t, 3);
	/* Both older ones are locked for two days and a half. */
	ck_assert_int_eq(run_counts(&t, "a").live, 3);
	ck_assert_int_ge(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'locked'"),
			 2);
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 3);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");
		const struct deletion_hold h = { .source = "web",
						 .case_name = "case",
						 .custodian = "c",
						 .by = "root",
						 .now = clock_now() };

		ok(&t.f, deletion_hold(r, &h, &id, &t.f.e));
	}
	nights(&t, 4);
	ck_assert_int_eq(run_counts(&t, "a").live, 7);
	ck_assert_int_ge(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'held'"),
			 6);
	/* The reports know of it, with its case. */
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM holds WHERE "
					   "source = 'web' AND matter = 'case' "
					   "AND custodian = 'c' AND placed_by "
					   "= 'root' AND released_us IS NULL"),
			 1);
	object_id_format(id, text);
	(void)snprintf(query, sizeof(query),
		       "SELECT count(*) FROM holds WHERE hold = '%s'", text);
	ck_assert_int_eq(frame_count(&t.f, query), 1);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f, deletion_release(r, id, "root", clock_now(), &t.f.e));
	}
	nights(&t, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM holds WHERE "
					   "released_us IS NOT NULL"),
			 1);
	ck_assert_int_lt(run_counts(&t, "a").live, 8);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM audit WHERE "
					   "action IN ('hold.add', "
					   "'hold.release')"),
			 2);
}
END_TEST

/* Region b, beside a; nothing is copied there. */
static void declare_other(struct run_frame *t)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *from = NULL;
	CLEANUP(store_close) struct store *to = NULL;
	char spec[4 * SCRATCH_PATH];

	ok(&t->f, keyring_credential_key_file(run_path(t, "keys/main.key"),
					      &key, &t->f.e));
	ok(&t->f, store_open(run_path(t, "a"), false, &from, &t->f.e));
	ok(&t->f, store_open(run_path(t, "b"), true, &to, &t->f.e));
	ok(&t->f, replicate_settle(from, to, key, &t->f.e));
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\"}]}",
		       run_path(t, "a"), run_path(t, "b"));
	run_apply(t, "Repository", "main", NULL, spec);
}

/* In whatever region the hold is; it names snapshots, not their source. */
START_TEST(a_hold_holds_in_other_regions_too)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(repository_snapshot_done) struct repository_snapshot held;
	CLEANUP(repository_close) struct repository *a = NULL;
	CLEANUP(repository_close) struct repository *b = NULL;
	struct deletion_hold h = { .n_snapshots = 1,
				   .case_name = "case",
				   .by = "root" };
	char id[OBJECT_ID_TEXT];
	struct object_id hold;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	declare_other(&t);
	nights(&t, 2);
	a = run_repository(&t, "a");
	b = run_repository(&t, "b");
	manifest_init(&s.manifest);
	manifest_init(&held.manifest);
	ok(&t.f, repository_find(a, "latest", NULL, false, &s, NULL, &t.f.e));
	h.snapshots = &s.manifest.snapshot;
	h.now = clock_now();
	ok(&t.f, deletion_hold(b, &h, &hold, &t.f.e));
	nights(&t, 3);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	object_id_format(s.manifest.snapshot, id);
	ok(&t.f, repository_find(a, id, NULL, false, &held, NULL, &t.f.e));
	ck_assert(!held.deleted);
}
END_TEST

/* A region that cannot be asked may be the only one that has it. */
START_TEST(a_hold_of_a_region_that_is_away_holds)
{
	const struct catalog_actor who = { .uid = 0, .name = "root" };
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(repository_snapshot_done) struct repository_snapshot held;
	CLEANUP(repository_close) struct repository *a = NULL;
	char id[OBJECT_ID_TEXT];
	char ids[OBJECT_ID_TEXT + 8];
	struct catalog_hold h = { .repository = "main",
				  .id = "00000000000000000000000000000007",
				  .source = "",
				  .matter = "case",
				  .custodian = "",
				  .by = "root" };

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	declare_other(&t);
	nights(&t, 2);
	a = run_repository(&t, "a");
	manifest_init(&s.manifest);
	manifest_init(&held.manifest);
	ok(&t.f, repository_find(a, "latest", NULL, false, &s, NULL, &t.f.e));
	object_id_format(s.manifest.snapshot, id);
	(void)snprintf(ids, sizeof(ids), "[\"%s\"]", id);
	h.snapshots_json = ids;
	h.placed = clock_now();
	ok(&t.f, catalog_hold_put(t.f.c, &h, &who, &t.f.e));
	ck_assert_int_eq(rename(run_path(&t, "b"), run_path(&t, "gone")), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ok(&t.f, repository_find(a, id, NULL, false, &held, NULL, &t.f.e));
	ck_assert(!held.deleted);
	/* Nor does it hold more than what it names. */
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	/* All regions were asked: what they say counts. */
	ck_assert_int_eq(rename(run_path(&t, "gone"), run_path(&t, "b")), 0);
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
}
END_TEST

/* It may be on anything. */
START_TEST(a_known_hold_on_half_an_id_lets_go_of_nothing)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(repository_close) struct repository *a = NULL;
	const struct catalog_actor who = { .uid = 0, .name = "root" };
	char id[OBJECT_ID_TEXT];
	char ids[2 * OBJECT_ID_TEXT + 16];
	struct catalog_hold h = { .repository = "main",
				  .id = "00000000000000000000000000000007",
				  .source = "",
				  .matter = "case",
				  .custodian = "",
				  .by = "root",
				  .snapshots_json = ids };
	int live;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	declare_other(&t);
	nights(&t, 2);
	live = run_counts(&t, "a").live;
	a = run_repository(&t, "a");
	manifest_init(&s.manifest);
	ok(&t.f, repository_find(a, "latest", NULL, false, &s, NULL, &t.f.e));
	object_id_format(s.manifest.snapshot, id);
	/* A whole one that follows does not make up for it. */
	(void)snprintf(ids, sizeof(ids), "[\"0123456789abcdef\"%s%s%s]",
		       _i ? ",\"" : "", _i ? id : "", _i ? "\"" : "");
	h.placed = clock_now();
	ok(&t.f, catalog_hold_put(t.f.c, &h, &who, &t.f.e));
	ck_assert_int_eq(rename(run_path(&t, "b"), run_path(&t, "gone")), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "a").live, live + 2);
}
END_TEST

static int copy_hold(void *arg, const struct store_entry *entry, struct err *e)
{
	struct run_frame *t = arg;
	CLEANUP(buf_done) struct buf bytes;
	CLEANUP(repository_close) struct repository *a = run_repository(t, "a");
	CLEANUP(repository_close) struct repository *b = run_repository(t, "b");

	(void)e;
	repo_get(repository_store(a), entry->name, &bytes);
	repo_set(repository_store(b), entry->name, bytes.data, bytes.len);
	return 0;
}

/* What one region says was released is no release where it was not. */
START_TEST(a_hold_that_is_released_in_one_region_holds_in_the_other)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_close) struct repository *a = NULL;
	struct deletion_hold h = { .source = "web",
				   .case_name = "case",
				   .custodian = "c",
				   .by = "root" };
	struct object_id id;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	declare_other(&t);
	nights(&t, 1);
	a = run_repository(&t, "a");
	h.now = clock_now();
	ok(&t.f, deletion_hold(a, &h, &id, &t.f.e));
	ok(&t.f,
	   store_list(repository_store(a), "holds/", copy_hold, &t, &t.f.e));
	ok(&t.f, deletion_release(a, id, "root", clock_now(), &t.f.e));
	nights(&t, 3);
	ck_assert_int_eq(run_counts(&t, "a").live, 4);
}
END_TEST

/* What does not open could name anything, and is not passed over in silence. */
START_TEST(a_hold_that_cannot_be_read_holds_everything)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	nights(&t, 1);
	(void)mkdir(run_path(&t, "a/holds"), 0700);
	run_file(&t, "a/holds/00000000000000000000000000000001", "x");
	ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM run_steps "
					   "WHERE step = 'retain' AND message "
					   "LIKE '%cannot be read, and so "
					   "every snapshot is held%'"),
			 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, holds_and_locks_are_obeyed);
	tcase_add_loop_test(tc, a_known_hold_on_half_an_id_lets_go_of_nothing,
			    0, 2);
	tcase_add_test(tc, a_hold_holds_in_other_regions_too);
	tcase_add_test(tc, a_hold_of_a_region_that_is_away_holds);
	tcase_add_test(
		tc, a_hold_that_is_released_in_one_region_holds_in_the_other);
	tcase_add_test(tc, a_hold_that_cannot_be_read_holds_everything);
}

CHECK_MAIN("service/retain_holds", cases)
