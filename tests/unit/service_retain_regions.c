/*
 * Regions that keep by policies of their own: the steps "replicate" and
 * "retain", on two small real regions, without a daemon.
 */
#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "tests/support/apart_frame.h"
#include "tests/support/check_main.h"

/* ---- Keeping ------------------------------------------------------------ */

START_TEST(each_keeps_by_its_own)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 4, true);
	nights(&t, 6);
	ck_assert_int_eq(live(&t, "a"), 2);
	ck_assert_int_eq(live(&t, "b"), 4);
	/* What either let go is its own matter: no tombstone was copied. */
	ck_assert_int_eq(tombstones(&t, "a"), 4);
	ck_assert_int_eq(tombstones(&t, "b"), 2);
	ck_assert_int_eq(rows(&t, "snapshots WHERE deleted_us IS NULL"), 4);
	ck_assert_int_eq(rows(&t, "snapshots WHERE deleted_reason = "
				  "'policy years'"),
			 2);
	ck_assert_int_eq(rows(&t, "evaluations WHERE policy = 'years' AND "
				  "region = 'b'"),
			 6);
	ck_assert_int_eq(rows(&t, "evaluations WHERE policy = 'gold' AND "
				  "region = 'a'"),
			 6);
	ck_assert_int_eq(rows(&t, "shortenings"), 0);
	ck_assert_int_eq(rows(&t, "run_steps WHERE state NOT IN ('succeeded',"
				  "'skipped')"),
			 0);
}
END_TEST

START_TEST(without_a_policy_of_its_own_the_primary_decides)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 4, false);
	nights(&t, 4);
	ck_assert_int_eq(live(&t, "a"), 2);
	ck_assert_int_eq(live(&t, "b"), 2);
	/* Each judged itself, and the primary's came along. */
	nights(&t, 1);
	ck_assert_int_ge(tombstones(&t, "b"), 3);
	ck_assert_int_eq(rows(&t, "evaluations WHERE policy <> 'gold'"), 0);
}
END_TEST

/* The primary keeps days by a policy of its own, the archive by the
 * schedule's. */
START_TEST(the_primary_may_be_the_one_that_keeps_less)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 9, 2, false);
	declare(&t, "years", "b", NULL);
	nights(&t, 5);
	ck_assert_int_eq(live(&t, "a"), 2);
	ck_assert_int_eq(live(&t, "b"), 5);
	ck_assert_int_eq(tombstones(&t, "b"), 0);
}
END_TEST

START_TEST(a_person_deletes_in_all)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct deletion d = { .grace_ms = DELETION_GRACE_MS,
			      .by = "ann@box",
			      .reason = "" };

	begin(&t, 9, 9, true);
	nights(&t, 3);
	d.now = clock_now();
	manifest_init(&s.manifest);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f,
		   repository_find(r, "latest", NULL, false, &s, NULL, &t.f.e));
		ok(&t.f, deletion_delete(r, &s, &d, &t.f.e));
	}
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "a"), 3);
	ck_assert_int_eq(live(&t, "b"), 3);
	ck_assert_int_eq(tombstones(&t, "b"), 1);
}
END_TEST

/* The newest of region b is deleted there alone, as the catalog is told. */
static void delete_in_b(struct run_frame *t, const struct deletion *d,
			struct repository_snapshot *ret)
{
	CLEANUP(repository_close) struct repository *r = run_repository(t, "b");
	const struct catalog_actor who = { .name = "ann", .now = d->now };
	char id[OBJECT_ID_TEXT];

	manifest_init(&ret->manifest);
	ok(&t->f,
	   repository_find(r, "latest", NULL, false, ret, NULL, &t->f.e));
	ok(&t->f, deletion_delete(r, ret, d, &t->f.e));
	object_id_format(ret->manifest.snapshot, id);
	ck_assert_int_eq(catalog_snapshot_deleted_in(t->f.c, "main", id, "b",
						     "x", &who, &t->f.e),
			 1);
}

/* Until it is taken back there, which nobody may have told; and while a region
 * that is away may have it deleted, it stays. */
START_TEST(why_it_was_deleted_in_one_region_is_known_as_long_as_it_is)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct deletion d = { .grace_ms = DELETION_GRACE_MS,
			      .by = "ann@box",
			      .reason = "",
			      .this_region = true };

	begin(&t, 9, 9, true);
	nights(&t, 2);
	d.now = clock_now();
	delete_in_b(&t, &d, &s);
	nights(&t, 1);
	ck_assert_int_eq(rows(&t, "snapshots WHERE deleted_reason = 'x'"), 1);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "b");

		d.now = clock_now();
		s.deleted = true;
		ok(&t.f, deletion_undelete(r, &s, &d, &t.f.e));
	}
	away(&t, true);
	nights(&t, 1);
	ck_assert_int_eq(rows(&t, "snapshots WHERE deleted_reason = 'x'"), 1);
	away(&t, false);
	nights(&t, 1);
	ck_assert_int_eq(rows(&t, "snapshots WHERE deleted_reason <> ''"), 0);
	ck_assert_int_eq(rows(&t, "snapshots WHERE deleted_us IS NOT NULL"), 0);
}
END_TEST

/* The schedule's floor is a promise about copies, wherever they are. */
START_TEST(the_floors_of_schedules_hold_too)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 9, 1, true);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":9},\"floor\":{\"snapshots\":3,"
		  "\"verifiedWithin\":\"30d\",\"regions\":2}}");
	nights(&t, 5);
	ck_assert_int_eq(live(&t, "a"), 5);
	ck_assert_int_ge(live(&t, "b"), 3);
	ck_assert_int_eq(decided(&t, "b", "keep"), 1);
	ck_assert_int_eq(decided(&t, "b", "floor-blocked"), 2);
}
END_TEST

/* ---- Copying ------------------------------------------------------------ */

/* Four nights in region a alone, which is then copied to the warm b. */
static void begin_alone(struct run_frame *t)
{
	begin(t, 9, 2, true);
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\"}");
	nights(t, 4);
	declare(t, NULL, "b", "years");
	nights(t, 1);
}

START_TEST(a_region_gets_what_it_keeps)
{
	CLEANUP(run_done) struct run_frame t;

	begin_alone(&t);
	ck_assert_int_eq(live(&t, "a"), 5);
	ck_assert_int_eq(live(&t, "b"), 2);
	ck_assert_int_eq(tombstones(&t, "b"), 0);
	ck_assert_int_eq(rows(&t, "run_steps WHERE step = 'replicate' AND "
				  "region = 'b' AND details LIKE "
				  "'%%\"copied\":2,%%\"missing\":0,%%'"),
			 1);
	ck_assert_int_eq(rows(&t, "decisions WHERE region = 'b' AND outcome <> "
				  "'keep'"),
			 0);
}
END_TEST

/* It was made the primary, and the old one copies what that has missed. */
START_TEST(a_warm_region_stays_so_when_it_is_promoted)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[4 * SCRATCH_PATH];

	begin_alone(&t);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\",\"primary\":"
		       "true,\"policy\":\"years\"}]}",
		       run_path(&t, "a"), run_path(&t, "b"));
	run_apply(&t, "Repository", "main", NULL, spec);
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"a\"]}");
	nights(&t, 2);
	ck_assert_int_eq(live(&t, "a"), 7);
	ck_assert_int_eq(live(&t, "b"), 2);
	ck_assert_int_eq(tombstones(&t, "b"), 2);
}
END_TEST

/* ---- Waiting ------------------------------------------------------------ */

START_TEST(what_an_archive_would_keep_waits_for_it)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	/* The archive has the first two, and the rules keep the last two. */
	ck_assert_int_eq(live(&t, "a"), 4);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 2);
	ck_assert_int_eq(rows(&t, "decisions WHERE ended IS NULL AND reasons = "
				  "'[{\"rule\":\"waits-for-region\","
				  "\"bucket\":\"b\"}]'"),
			 2);
	ck_assert_int_eq(rows(&t, "run_steps WHERE step = 'retain' AND state "
				  "= 'partial' AND details LIKE "
				  "'%%\"waits-for-region\":2%%'"),
			 1);
	away(&t, false);
	nights(&t, 1);
	/* It has all now, and they go, two a day. */
	ck_assert_int_eq(live(&t, "b"), 7);
	ck_assert_int_eq(live(&t, "a"), 3);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "a"), 2);
	ck_assert_int_eq(live(&t, "b"), 8);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 0);
}
END_TEST

/* Nothing is kept back that the region would let go at once. */
START_TEST(what_a_warm_region_would_let_go_waits_for_nobody)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 3, 1, true);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	ck_assert_int_eq(live(&t, "a"), 3);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 0);
	away(&t, false);
}
END_TEST

/* Region c as well, an archive, beside the warm b; a keeps all. */
static void declare_three(struct run_frame *t, bool failover)
{
	char spec[6 * SCRATCH_PATH];

	policy(t, "few", "\"keep-last\":1");
	settle(t, "c");
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"failover\":%s,\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\",\"policy\":"
		       "\"few\"},"
		       "{\"name\":\"c\",\"url\":\"file://%s\",\"policy\":"
		       "\"years\"}]}",
		       failover ? "true" : "false", run_path(t, "a"),
		       run_path(t, "b"), run_path(t, "c"));
	run_apply(t, "Repository", "main", NULL, spec);
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"b\",\"c\"]}");
}

/* What the primary has it gives to the archive once that is back. */
START_TEST(where_the_primary_has_it_nobody_else_waits)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 9, 9, true);
	declare_three(&t, false);
	nights(&t, 2);
	ck_assert_int_eq(rename(run_path(&t, "c"), run_path(&t, "gone")), 0);
	nights(&t, 3);
	ck_assert_int_eq(live(&t, "a"), 5);
	ck_assert_int_eq(live(&t, "b"), 1);
	ck_assert_int_eq(decided(&t, "b", "waits-for-region"), 0);
}
END_TEST

/* Runs wrote to the warm one, which is the only one that has it. */
START_TEST(what_the_primary_missed_waits_for_it)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 9, 9, true);
	declare_three(&t, true);
	nights(&t, 2);
	ck_assert_int_eq(rename(run_path(&t, "a"), run_path(&t, "gone")), 0);
	nights(&t, 3);
	/* Two of the three, and the newest by its own rules. */
	ck_assert_int_eq(live(&t, "b"), 3);
	ck_assert_int_eq(decided(&t, "b", "waits-for-region"), 2);
	ck_assert_int_eq(rename(run_path(&t, "gone"), run_path(&t, "a")), 0);
	nights(&t, 2);
	ck_assert_int_eq(live(&t, "a"), 7);
	ck_assert_int_eq(live(&t, "b"), 1);
	ck_assert_int_eq(live(&t, "c"), 7);
}
END_TEST

/* It goes back to what it was before the archive is there again. */
START_TEST(a_mistake_about_an_archive_that_is_away_lets_go_of_nothing)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 2);
	policy(&t, "years", "\"keep-last\":1");
	nights(&t, 2);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 4);
	ck_assert_int_eq(decided(&t, "a", "delete"), 0);
	policy(&t, "years", "\"keep-last\":9");
	away(&t, false);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "b"), 9);
}
END_TEST

/* What waited is copied, and listed there: the change cools off as any. */
START_TEST(a_change_of_an_archive_that_is_away_waits_there)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	policy(&t, "years", "\"keep-last\":1");
	nights(&t, 1);
	away(&t, false);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "b"), 8);
	ck_assert_int_eq(decided(&t, "b", "waiting"), 7);
	nights(&t, 15);
	ck_assert_int_eq(live(&t, "b"), 1);
	ck_assert_int_eq(live(&t, "a"), 2);
}
END_TEST

START_TEST(what_waits_for_an_archive_does_so_when_that_loses_its_policy)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	declare(&t, NULL, "b", NULL);
	nights(&t, 1);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 3);
	ck_assert_int_eq(decided(&t, "a", "delete"), 0);
	away(&t, false);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "b"), 8);
	ck_assert_int_eq(decided(&t, "b", "waiting"), 6);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 0);
}
END_TEST

/* That is how somebody says that it is gone for good. */
START_TEST(what_waits_for_an_archive_goes_when_nobody_copies_there)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\"}");
	nights(&t, 2);
	ck_assert_int_eq(live(&t, "a"), 2);
}
END_TEST

/* Two regions that keep the same, one of which is the primary, and the
 * archive b. */
static void declare_twins(struct run_frame *t, bool is_c_primary)
{
	char spec[6 * SCRATCH_PATH];

	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\",\"primary\":%s},"
		       "{\"name\":\"c\",\"url\":\"file://%s\",\"primary\":%s},"
		       "{\"name\":\"b\",\"url\":\"file://%s\",\"policy\":"
		       "\"years\"}]}",
		       run_path(t, "a"), is_c_primary ? "false" : "true",
		       run_path(t, "c"), is_c_primary ? "true" : "false",
		       run_path(t, "b"));
	run_apply(t, "Repository", "main", NULL, spec);
	(void)snprintf(spec, sizeof(spec),
		       "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		       "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		       "\"gold\",\"replicateTo\":[\"%s\",\"b\"]}",
		       is_c_primary ? "a" : "c");
	run_apply(t, "Schedule", "nightly", NULL, spec);
}

/* As `snapctl replicate` does, by hand. */
static void replicate(struct run_frame *t, const char *from, const char *to)
{
	CLEANUP(repository_close)
	struct repository *source = run_repository(t, from);
	CLEANUP(repository_close)
	struct repository *target = run_repository(t, to);
	const struct replicate_options o = { .without_tombstones = true };
	struct replicate_result result;

	ok(&t->f, replicate_run(source, target, &o, &result, &t->f.e));
}

/* The twin let go of what the primary had for the archive, and is made the
 * primary: the old one is the only one that has it. */
START_TEST(what_waits_in_the_old_primary_waits_on)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	settle(&t, "c");
	declare_twins(&t, false);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 4);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 2);
	ck_assert_int_eq(live(&t, "c"), 2);
	declare_twins(&t, true);
	nights(&t, 2);
	ck_assert_int_eq(decided(&t, "c", "waits-for-region"), 2);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 2);
	/* The new ones it leaves to the new primary, as a twin does. */
	ck_assert_int_eq(live(&t, "a"), 4);
	away(&t, false);
	nights(&t, 1);
	/* All but those two came from the new one. */
	ck_assert_int_eq(live(&t, "b"), 7);
	ck_assert_int_eq(rows(&t, "run_steps WHERE step = 'retain' AND state "
				  "= 'partial' AND details LIKE "
				  "'%%\"waits-for-region\":2%%'"),
			 2);
	replicate(&t, "a", "b");
	nights(&t, 3);
	ck_assert_int_eq(live(&t, "a"), 2);
	ck_assert_int_eq(live(&t, "b"), 9);
	ck_assert_int_eq(decided(&t, "a", "waits-for-region"), 0);
}
END_TEST

/* What people delete is deleted for all: nobody waits to bring it. */
START_TEST(what_a_person_deleted_in_the_primary_waits_nowhere)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct deletion d = { .grace_ms = DELETION_GRACE_MS,
			      .by = "ann@box",
			      .reason = "" };

	begin(&t, 2, 9, true);
	settle(&t, "c");
	declare_twins(&t, false);
	nights(&t, 2);
	away(&t, true);
	nights(&t, 2);
	d.now = clock_now();
	manifest_init(&s.manifest);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f,
		   repository_find(r, "latest", NULL, false, &s, NULL, &t.f.e));
		ok(&t.f, deletion_delete(r, &s, &d, &t.f.e));
	}
	nights(&t, 4);
	away(&t, false);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "b"), 8);
	ck_assert_int_eq(decided(&t, "c", "waits-for-region"), 0);
}
END_TEST

/* Nobody copies there: nothing waits for it. */
START_TEST(a_region_that_no_schedule_copies_to_is_not_waited_for)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\"}");
	nights(&t, 4);
	ck_assert_int_eq(live(&t, "a"), 2);
}
END_TEST

/* ---- Changes ------------------------------------------------------------ */

/* So many are listed, in that scope, and nothing is gone. */
static void expect_shown(struct run_frame *t, const char *scope, int listed,
			 int in_a, int in_b)
{
	ck_assert_int_eq(
		rows(t,
		     "shortening_snapshots n JOIN shortenings s ON s.id = "
		     "n.shortening WHERE s.state = 'waiting' AND "
		     "s.region = '%s'",
		     scope),
		listed);
	ck_assert_int_eq(rows(t, "shortenings WHERE region <> '%s'", scope), 0);
	ck_assert_int_eq(live(t, "a"), in_a);
	ck_assert_int_eq(live(t, "b"), in_b);
}

START_TEST(a_change_of_its_policy_waits_there)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 5);
	policy(&t, "years", "\"keep-last\":3");
	nights(&t, 1);
	/* The others are its newest three; the primary goes on as it did. */
	expect_shown(&t, "b", 3, 2, 6);
	ck_assert_int_eq(rows(&t, "shortenings WHERE policy = 'years' AND "
				  "cause LIKE 'policy years version %%'"),
			 1);
	nights(&t, 5);
	ck_assert_int_ge(live(&t, "b"), 9);
	ck_assert_int_eq(live(&t, "a"), 2);
	nights(&t, 10);
	ck_assert_int_eq(live(&t, "b"), 3);
	ck_assert_int_eq(live(&t, "a"), 2);
	ck_assert_int_eq(rows(&t, "shortenings WHERE state = 'waiting'"), 0);
}
END_TEST

/* What waits there has nothing to do with the primary's own, */
START_TEST(a_change_of_the_schedules_policy_waits_in_the_others)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 5, 9, true);
	nights(&t, 5);
	policy(&t, "gold", "\"keep-last\":2");
	nights(&t, 1);
	expect_shown(&t, "", 3, 5, 6);
}
END_TEST

START_TEST(a_policy_that_a_region_gets_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 5, 2, false);
	nights(&t, 4);
	declare(&t, NULL, "b", "years");
	nights(&t, 1);
	expect_shown(&t, "b", 3, 5, 5);
}
END_TEST

static int count_everywhere(void *arg, const char *name UNUSED,
			    const struct record *t,
			    const struct err *why UNUSED, struct err *e UNUSED)
{
	*(int *)arg += t && t->scope == RECORD_ALL_REGIONS;
	return 0;
}

/* How many tombstones of region a are for all regions. */
static int for_everywhere(struct run_frame *t)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, "a");
	int n = 0;

	ok(&t->f, record_list(repository_store(r), repository_keys(r),
			      OBJECT_TOMBSTONE, count_everywhere, &n, &t->f.e));
	return n;
}

START_TEST(a_policy_that_a_region_loses_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 5);
	declare(&t, NULL, "b", NULL);
	nights(&t, 1);
	/* The primary let go of those before. */
	expect_shown(&t, "", 4, 2, 6);
	/* Not yet, and the primary's own deletions do not follow later, also
	 * where somebody copies who knows nothing but the regions. */
	nights(&t, 5);
	ck_assert_int_ge(live(&t, "b"), 6);
	ck_assert_int_ge(tombstones(&t, "a"), 4);
	ck_assert_int_eq(for_everywhere(&t), 0);
	nights(&t, 9);
	ck_assert_int_gt(for_everywhere(&t), 0);
}
END_TEST

/* By another name it is judged for the first time. */
START_TEST(a_region_that_gets_another_name_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	nights(&t, 5);
	declare(&t, NULL, "vault", NULL);
	nights(&t, 1);
	expect_shown(&t, "", 4, 2, 6);
}
END_TEST

/* Nothing that it had was kept by others. */
START_TEST(another_name_is_no_change_where_all_keep_alike)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, false);
	nights(&t, 9);
	ck_assert_int_eq(live(&t, "b"), 2);
	declare(&t, NULL, "vault", NULL);
	nights(&t, 1);
	ck_assert_int_eq(decided(&t, "vault", "waiting"), 0);
	ck_assert_int_eq(live(&t, "b"), 2);
}
END_TEST

/* What it had was kept by the others' rules, as far as is known. */
START_TEST(another_name_and_a_first_policy_at_once_are_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 9, 2, false);
	nights(&t, 6);
	declare(&t, NULL, "vault", "years");
	nights(&t, 3);
	/* What came since is kept by the new rules alone. */
	ck_assert_int_eq(decided(&t, "vault", "waiting"), 5);
	ck_assert_int_eq(live(&t, "b"), 7);
}
END_TEST

/* What it had for longer than the cooling-off period without being judged. */
START_TEST(a_policy_that_is_lost_while_away_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 30, true);
	nights(&t, 7);
	away(&t, true);
	nights(&t, 9);
	declare(&t, NULL, "b", NULL);
	away(&t, false);
	nights(&t, 1);
	/* The primary kept all that the archive would have. */
	ck_assert_int_eq(live(&t, "b"), 17);
	ck_assert_int_eq(decided(&t, "b", "waiting"), 15);
	ck_assert_int_eq(decided(&t, "b", "delete"), 0);
	nights(&t, 5);
	/* What the primary deletes meanwhile it deletes for itself. */
	ck_assert_int_gt(tombstones(&t, "a"), 0);
	ck_assert_int_eq(live(&t, "b"), 17 + 2);
}
END_TEST

/* The archive first, and the primary is judged last of each run. */
static void declare_first(struct run_frame *t, const char *policy)
{
	char spec[4 * SCRATCH_PATH], of_b[100] = "";

	if (policy)
		(void)snprintf(of_b, sizeof(of_b), ",\"policy\":\"%s\"",
			       policy);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"b\",\"url\":\"file://%s\"%s},"
		       "{\"name\":\"a\",\"url\":\"file://%s\","
		       "\"primary\":true}]}",
		       run_path(t, "b"), of_b, run_path(t, "a"));
	run_apply(t, "Repository", "main", NULL, spec);
}

/* Less often than the cooling-off period: nothing was judged in it. */
static void seldom(struct run_frame *t, int n)
{
	for (int i = 0; i < n; i++) {
		today += 8 * DAY;
		night(t);
	}
}

START_TEST(a_policy_that_is_lost_between_rare_runs_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 9, true);
	declare_first(&t, "years");
	seldom(&t, 6);
	ck_assert_int_eq(live(&t, "b"), 6);
	declare_first(&t, NULL);
	seldom(&t, 1);
	/* The list is of the primary as well, which has one of them. */
	expect_shown(&t, "", 5, 3, 7);
	ck_assert_int_eq(decided(&t, "b", "waiting"), 5);
}
END_TEST

/* By another name, and nobody declares the one that it had. */
START_TEST(a_region_that_was_renamed_while_away_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 2, 30, true);
	nights(&t, 7);
	away(&t, true);
	nights(&t, 9);
	declare(&t, NULL, "vault", NULL);
	away(&t, false);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "b"), 17);
	ck_assert_int_eq(decided(&t, "vault", "waiting"), 15);
}
END_TEST

/* A list of a policy that the region has no more is done. */
START_TEST(a_list_of_a_policy_that_is_gone_is_closed)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 5, 9, true);
	nights(&t, 4);
	policy(&t, "years", "\"keep-last\":2");
	nights(&t, 1);
	expect_shown(&t, "b", 3, 5, 5);
	declare(&t, NULL, "b", NULL);
	nights(&t, 1);
	ck_assert_int_eq(rows(&t, "shortenings WHERE state = 'waiting' AND "
				  "region = 'b'"),
			 0);
	ck_assert_int_eq(live(&t, "b"), 6);
}
END_TEST

/*
 * What was listed for one region and kept on in another has not been shown
 * there: a later change there waits as well.
 */
START_TEST(what_was_shown_for_one_region_was_not_for_another)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 5, 30, true);
	nights(&t, 5);
	policy(&t, "gold", "\"keep-last\":2");
	nights(&t, 8);
	policy(&t, "years", "\"keep-last\":2");
	nights(&t, 1);
	ck_assert_int_ge(decided(&t, "b", "waiting"), 7);
	nights(&t, 5);
	ck_assert_int_eq(rows(&t, "decisions WHERE region = 'b' AND outcome = "
				  "'delete' AND snapshot IN (SELECT n.snapshot "
				  "FROM shortening_snapshots n)"),
			 0);
}
END_TEST

/* The archive's lock is its own: it keeps nothing where it is not. */
START_TEST(a_lock_of_one_region_keeps_nothing_in_another)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, 1, 1, true);
	run_apply(&t, "Policy", "years", NULL,
		  "{\"retention\":{\"keep-last\":1},\"lock\":\"400d\"}");
	nights(&t, 3);
	ck_assert_int_eq(decided(&t, "a", "locked"), 0);
	ck_assert_int_eq(decided(&t, "b", "locked"), 2);
	ck_assert_int_eq(run_counts(&t, "b").live, 3);
	ck_assert_int_lt(run_counts(&t, "a").live, 3);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, each_keeps_by_its_own);
	tcase_add_test(tc, without_a_policy_of_its_own_the_primary_decides);
	tcase_add_test(tc, the_primary_may_be_the_one_that_keeps_less);
	tcase_add_test(tc, a_person_deletes_in_all);
	tcase_add_test(
		tc, why_it_was_deleted_in_one_region_is_known_as_long_as_it_is);
	tcase_add_test(tc, the_floors_of_schedules_hold_too);
	tcase_add_test(tc, a_region_gets_what_it_keeps);
	tcase_add_test(tc, a_warm_region_stays_so_when_it_is_promoted);
	tcase_add_test(tc, what_an_archive_would_keep_waits_for_it);
	tcase_add_test(tc, what_a_warm_region_would_let_go_waits_for_nobody);
	tcase_add_test(tc, where_the_primary_has_it_nobody_else_waits);
	tcase_add_test(tc, what_the_primary_missed_waits_for_it);
	tcase_add_test(tc, what_waits_in_the_old_primary_waits_on);
	tcase_add_test(tc, what_a_person_deleted_in_the_primary_waits_nowhere);
	tcase_add_test(
		tc, a_mistake_about_an_archive_that_is_away_lets_go_of_nothing);
	tcase_add_test(tc, a_change_of_an_archive_that_is_away_waits_there);
	tcase_add_test(
		tc,
		what_waits_for_an_archive_does_so_when_that_loses_its_policy);
	tcase_add_test(tc,
		       what_waits_for_an_archive_goes_when_nobody_copies_there);
	tcase_add_test(tc,
		       a_region_that_no_schedule_copies_to_is_not_waited_for);
	tcase_add_test(tc, a_change_of_its_policy_waits_there);
	tcase_add_test(tc,
		       a_change_of_the_schedules_policy_waits_in_the_others);
	tcase_add_test(tc, a_policy_that_a_region_gets_is_a_change);
	tcase_add_test(tc, a_policy_that_a_region_loses_is_a_change);
	tcase_add_test(tc, a_region_that_gets_another_name_is_a_change);
	tcase_add_test(tc, another_name_is_no_change_where_all_keep_alike);
	tcase_add_test(tc,
		       another_name_and_a_first_policy_at_once_are_a_change);
	tcase_add_test(tc, a_policy_that_is_lost_while_away_is_a_change);
	tcase_add_test(tc, a_policy_that_is_lost_between_rare_runs_is_a_change);
	tcase_add_test(tc, a_region_that_was_renamed_while_away_is_a_change);
	tcase_add_test(tc, a_list_of_a_policy_that_is_gone_is_closed);
	tcase_add_test(tc, what_was_shown_for_one_region_was_not_for_another);
	tcase_add_test(tc, a_lock_of_one_region_keeps_nothing_in_another);
}

CHECK_MAIN("service/retain_regions", cases)
