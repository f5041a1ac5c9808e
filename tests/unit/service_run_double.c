/* Snapshots that were taken twice, in regions that went meanwhile. */
#include "tests/support/check_main.h"
#include "tests/support/failover_frame.h"

static void expect_retired(struct run_frame *t, const char *region)
{
	char sql[400];

	(void)snprintf(
		sql, sizeof(sql),
		"step = 'snapshot' AND region = '%s' AND state = "
		"'failed' AND message LIKE 'deleted: its run lost region "
		"%s, and it was taken again as %%'",
		region, region);
	ck_assert_int_eq(steps(t, sql), 1);
	ck_assert_int_eq(frame_count(&t->f, "SELECT count(*) FROM audit WHERE "
					    "action = 'snapshot.delete'"),
			 1);
	ck_assert_int_eq(frame_count(&t->f,
				     "SELECT count(*) FROM snapshots WHERE "
				     "deleted_reason LIKE 'its run lost%'"),
			 1);
}

/* It is in the primary, and the answer was lost: it is that one. */
START_TEST(one_that_was_published_all_the_same_counts)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	refuse("a", FAULT_COMMIT, ERR_BUSY, "snapshots/");
	refusal.fault.action = FAULT_FAIL_AFTER;
	refusal.until = 2;
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	refuse_nothing();
	expect_live(&t, 2, 2, 2);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
	ck_assert_int_eq(unwritable(&t, "a"), 0);
	ck_assert_int_eq(steps(&t, "message = 'an earlier attempt had taken "
				   "it'"),
			 1);
}
END_TEST

/* The primary was lost with the answer, and is back before the run's end. */
START_TEST(one_that_cannot_be_asked_for_goes)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	refuse("a", FAULT_COMMIT, ERR_BUSY, "snapshots/");
	refusal.fault.action = FAULT_FAIL_AFTER;
	/* Its folder is looked at before it is read from. */
	refusal.until = 2;
	refusal.gone = 3;
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	refuse_nothing();
	expect_live(&t, 2, 2, 2);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
	expect_retired(&t, "a");
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_live(&t, 3, 3, 3);
	expect_retired(&t, "a");
}
END_TEST

/* It is there, and the lock that its policy demands is refused. */
START_TEST(one_that_cannot_be_locked_goes)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":50},\"lock\":\"1d\"}");
	refuse("a", FAULT_BEGIN, ERR_DENIED, "locks/");
	ck_assert_int_eq(day(&t, 0), RUN_PARTIAL);
	refuse_nothing();
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
	ck_assert_int_eq(run_counts(&t, "b").locked, 1);
	expect_retired(&t, "a");
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	expect_live(&t, 2, 2, 2);
	ck_assert_int_eq(run_counts(&t, "a").locked, 2);
}
END_TEST

/* As if it had been killed right after the publishing. */
static int64_t kill_after_publishing(struct run_frame *t)
{
	const int64_t run = frame_count(&t->f, "SELECT max(id) FROM runs");

	frame_sql(&t->f, "DELETE FROM run_steps WHERE run = (SELECT max(id) "
			 "FROM runs) AND NOT (step = 'snapshot' AND region <> "
			 "'')");
	frame_sql(&t->f, "UPDATE run_steps SET state = 'running' WHERE run = "
			 "(SELECT max(id) FROM runs)");
	frame_sql(&t->f, "DELETE FROM replicas WHERE snapshot IN (SELECT id "
			 "FROM snapshots WHERE run = (SELECT max(id) FROM "
			 "runs))");
	frame_sql(&t->f, "DELETE FROM snapshots WHERE run = (SELECT max(id) "
			 "FROM runs)");
	frame_sql(&t->f, "UPDATE runs SET state = 'interrupted', finished_us = "
			 "started_us + 1 WHERE id = (SELECT max(id) FROM "
			 "runs)");
	return run;
}

static int64_t occurrence_of(struct run_frame *t, int64_t run)
{
	char sql[100];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT occurrence FROM runs WHERE id = %jd",
		       (intmax_t)run);
	return frame_count(&t->f, sql);
}

/*
 * Its attempt had published it when the primary went, and the next one took
 * another elsewhere; then the primary is back.
 */
static void take_twice(struct run_frame *t, bool partial)
{
	char spec[3 * SCRATCH_PATH];
	int64_t run;

	begin(t, true);
	ck_assert_int_eq(day(t, 0), RUN_SUCCEEDED);
	move(t, "b", "b.away");
	move(t, "c", "c.away");
	ck_assert_int_eq(day(t, 1), RUN_PARTIAL);
	run = kill_after_publishing(t);
	move(t, "b.away", "b");
	move(t, "a", "away");
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\",\"%s\"]}",
		       run_path(t, "web"),
		       run_path(t, partial ? "missing" : "web/one"));
	run_apply(t, "Source", "web", "{\"tier\":\"gold\"}", spec);
	ck_assert_int_eq(run_do(t, run_attempt(t, occurrence_of(t, run))),
			 RUN_PARTIAL);
	move(t, "c.away", "c");
	move(t, "away", "a");
	expect_live(t, 2, 2, 1);
	ck_assert_int_eq(steps(t, "region = 'a' AND state = 'running'"), 1);
}

START_TEST(what_an_earlier_attempt_had_published_goes)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, false);
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_live(&t, 3, 3, 3);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
	expect_retired(&t, "a");
}
END_TEST

/* It was copied, too, until it was found. */
static void expect_found(struct run_frame *t)
{
	ck_assert_int_eq(steps(t, "region = 'a' AND state = 'failed' AND "
				  "message LIKE 'deleted: its run lost %'"),
			 1);
}

/* Thousands of runs since then. */
static void fill(struct run_frame *t)
{
	frame_sql(&t->f,
		  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
		  "FROM n WHERE i < 6000) INSERT INTO runs (uid, kind, "
		  "schedule_uid, schedule, repository, sources, state, "
		  "attempt, queued_us, started_us, finished_us, host, "
		  "boot_id, pid, pid_start, requested_by, message) SELECT "
		  "'filler' || i, 'Schedule', 'x', 'nightly', 'main', '[]', "
		  "'failed', 1, 1, 1, 1, '', '', 0, 0, '', '' FROM n");
}

START_TEST(what_was_published_long_ago_goes)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, false);
	fill(&t);
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_live(&t, 3, 3, 3);
	expect_retired(&t, "a");
}
END_TEST

/* None of those since then was ever acknowledged, nor taken again: they are
 * looked through in turn. */
START_TEST(what_was_published_before_thousands_of_others_goes)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, false);
	fill(&t);
	frame_sql(&t.f, "INSERT INTO run_steps (run, source, step, region, "
			"state, message, details) SELECT id, 'web', "
			"'snapshot', 'a', 'running', '', '{\"snapshot\":\"' || "
			"uid || '\"}' FROM runs WHERE uid LIKE 'filler%' AND "
			"id % 12 < 5");
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 2501);
	for (int n = 2; n < 5; n++) {
		ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
		ck_assert_int_eq(day(&t, n), RUN_SUCCEEDED);
	}
	expect_found(&t);
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 2500);
	expect_live(&t, 5, 5, 5);
}
END_TEST

/* Those that cannot be decided keep no others out. */
START_TEST(what_is_behind_others_that_wait_goes)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, false);
	fill(&t);
	/* Of the last hundred each was taken again by another run; the region
	 * does not list them yet. */
	frame_sql(&t.f, "UPDATE runs SET occurrence = (SELECT max(occurrence) "
			"FROM runs), attempt = 100 + id WHERE uid LIKE "
			"'filler%' AND id % 60 = 0");
	frame_sql(&t.f, "INSERT INTO run_steps (run, source, step, region, "
			"state, started_us, message, details) SELECT id, "
			"'web', 'snapshot', 'a', 'running', 2000000000000000, "
			"'', '{\"snapshot\":\"' || printf('%032x', id) || "
			"'\"}' FROM runs WHERE uid LIKE 'filler%' AND "
			"id % 60 = 0");
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 101);
	for (int n = 2; n < 6; n++)
		ck_assert_int_eq(day(&t, n), RUN_SUCCEEDED);
	expect_found(&t);
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 100);
}
END_TEST

/* The region that has the other may never come back. */
START_TEST(it_waits_for_the_region_that_has_the_other)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, false);
	move(&t, "b", "b.away");
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "a").live, 3);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
	ck_assert_int_eq(run_counts(&t, "c").live, 3);
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 1);
	move(&t, "b.away", "b");
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	expect_live(&t, 4, 4, 4);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'failed' AND "
				   "message LIKE 'deleted: its run lost %'"),
			 1);
}
END_TEST

/* It is the one of its occurrence, from now on. */
static void expect_stays(struct run_frame *t, const char *message)
{
	char sql[400];

	ck_assert_int_eq(run_counts(t, "a").deleted, 0);
	(void)snprintf(sql, sizeof(sql),
		       "step = 'snapshot' AND region = 'a' AND state = "
		       "'succeeded' AND message LIKE 'it stays: %s'",
		       message);
	ck_assert_int_eq(steps(t, sql), 1);
	ck_assert_int_eq(steps(t, "region = 'a' AND state = 'running'"), 0);
	ck_assert_int_eq(
		frame_count(&t->f,
			    "SELECT count(*) FROM snapshots s, run_steps k, "
			    "replicas r WHERE k.message LIKE 'it stays: %' "
			    "AND s.snapshot = k.details ->> '$.snapshot' AND "
			    "s.run = k.run AND s.deleted_us IS NULL AND "
			    "r.snapshot = s.id AND r.region = 'a' AND r.state "
			    "= 'complete'"),
		1);
}

START_TEST(it_stays_when_the_other_was_deleted)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, false);
	delete_in(&t, "b");
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_live(&t, 3, 3, 3);
	expect_stays(&t, "% in region b is not there any more");
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	expect_live(&t, 4, 4, 4);
}
END_TEST

START_TEST(a_whole_one_stays_beside_one_that_is_not)
{
	CLEANUP(run_done) struct run_frame t;

	take_twice(&t, true);
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	expect_live(&t, 4, 4, 4);
	expect_stays(&t, "% in region b is not whole");
}
END_TEST

/* The other way round: it is the secondary that goes, the primary is back. */
START_TEST(what_was_published_elsewhere_goes)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t run;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "a", "away");
	move(&t, "c", "c.away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	run = kill_after_publishing(&t);
	move(&t, "away", "a");
	move(&t, "c.away", "c");
	move(&t, "b", "b.away");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, occurrence_of(&t, run))),
			 RUN_PARTIAL);
	move(&t, "b.away", "b");
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_live(&t, 3, 3, 3);
	ck_assert_int_eq(run_counts(&t, "b").deleted, 1);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
	expect_retired(&t, "b");
}
END_TEST

/* One that is held stays, and that is told; what was never published is not
 * looked for for ever. */
START_TEST(what_is_held_stays_beside_it)
{
	CLEANUP(run_done) struct run_frame t;
	const struct deletion_hold hold = { .source = "web",
					    .case_name = "case",
					    .custodian = "somebody",
					    .by = "tester",
					    .now = at(1700000000 + DAY) };
	struct object_id ignored;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	refuse("a", FAULT_COMMIT, ERR_BUSY, "snapshots/");
	refusal.fault.action = FAULT_FAIL_AFTER;
	/* Its folder is looked at before it is read from. */
	refusal.until = 2;
	refusal.gone = 3;
	{
		CLEANUP(repository_close)
		struct repository *a = run_repository(&t, "a");

		ok(&t.f, deletion_hold(a, &hold, &ignored, &t.f.e));
	}
	refusal.opened = 0;
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	refuse_nothing();
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
	ck_assert_int_eq(steps(&t, "step = 'snapshot' AND region = 'a' AND "
				   "state = 'failed' AND message LIKE 'taken "
				   "again as % in region b, and stays%'"),
			 1);
	refuse("a", FAULT_COMMIT, ERR_BUSY, "snapshots/");
	refusal.until = 2;
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	refuse_nothing();
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 1);
	frame_sql(&t.f, "UPDATE runs SET state = 'partial', finished_us = "
			"started_us + 1");
	ck_assert_int_eq(day(&t, 4), RUN_SUCCEEDED);
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'failed' AND "
				   "message = 'it was never published'"),
			 1);
	ck_assert_int_eq(steps(&t, "region = 'a' AND state = 'running'"), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, one_that_was_published_all_the_same_counts);
	tcase_add_test(tc, one_that_cannot_be_asked_for_goes);
	tcase_add_test(tc, one_that_cannot_be_locked_goes);
	tcase_add_test(tc, what_an_earlier_attempt_had_published_goes);
	tcase_add_test(tc, what_was_published_long_ago_goes);
	tcase_add_test(tc, what_was_published_before_thousands_of_others_goes);
	tcase_add_test(tc, what_is_behind_others_that_wait_goes);
	tcase_add_test(tc, it_waits_for_the_region_that_has_the_other);
	tcase_add_test(tc, it_stays_when_the_other_was_deleted);
	tcase_add_test(tc, a_whole_one_stays_beside_one_that_is_not);
	tcase_add_test(tc, what_was_published_elsewhere_goes);
	tcase_add_test(tc, what_is_held_stays_beside_it);
}

CHECK_MAIN("service/run_double", cases)
