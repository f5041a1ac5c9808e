/* Runs while the primary region is away, between folders, without a daemon. */
#include <errno.h>
#include <glob.h>

#include "tests/support/check_main.h"
#include "tests/support/failover_frame.h"

START_TEST(it_is_asked_for)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, false);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "a", "away");
	ck_assert_int_eq(day(&t, 1), RUN_FAILED);
	move(&t, "away", "a");
	expect_live(&t, 1, 1, 1);
}
END_TEST

START_TEST(the_primary_catches_up)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "a", "away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	/* An empty mount point is no region, and becomes none. */
	ck_assert_int_eq(mkdir(run_path(&t, "a"), 0700), 0);
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	ck_assert_int_eq(rmdir(run_path(&t, "a")), 0);
	ck_assert_int_eq(run_counts(&t, "b").live, 3);
	ck_assert_int_eq(run_counts(&t, "c").live, 3);
	/* What says where it went: the rows, and the run. */
	ck_assert_int_eq(steps(&t, "step = 'snapshot' AND region = 'b' AND "
				   "state = 'succeeded'"),
			 2);
	ck_assert_int_eq(steps(&t, "step = 'snapshot' AND region = '' AND "
				   "details ->> '$.region' = 'b' AND "
				   "message LIKE 'in region b, as%'"),
			 2);
	ck_assert_int_eq(steps(&t, "step = 'run' AND state = 'partial' AND "
				   "message LIKE 'replicate: the primary is "
				   "away, and snapshots went to region b%'"),
			 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM replicas "
					   "WHERE region = 'a'"),
			 1);
	/* The second in order serves when the first is away, too. */
	move(&t, "b", "b.away");
	ck_assert_int_eq(day(&t, 3), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "c").live, 4);
	move(&t, "b.away", "b");
	move(&t, "away", "a");
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	ck_assert_int_eq(day(&t, 4), RUN_SUCCEEDED);
	expect_live(&t, 5, 5, 5);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM snapshots"),
			 5);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM replicas "
					   "WHERE state = 'complete'"),
			 15);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'a' AND "
				   "state = 'succeeded' AND "
				   "details ->> '$.copied' = 3"),
			 1);
	/* Once. */
	ck_assert_int_eq(day(&t, 5), RUN_SUCCEEDED);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'a' AND "
				   "state = 'succeeded'"),
			 1);
	expect_live(&t, 6, 6, 6);
}
END_TEST

/* What another region deleted, it deleted for itself; and the primary's
 * deletions hold, whoever has the snapshot still. */
START_TEST(deletions_are_the_primarys)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	move(&t, "a", "away");
	delete_in(&t, "b");
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "b").live, 2);
	ck_assert_int_eq(run_counts(&t, "c").live, 3);
	move(&t, "away", "a");
	delete_in(&t, "a");
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	/* Of days 0, 2 and 3. */
	expect_live(&t, 3, 3, 3);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
}
END_TEST

/* Another is the primary now: what the old one alone has comes along. */
START_TEST(the_next_primary_catches_up)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, false);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "b", "away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "away", "b");
	move(&t, "a", "away");
	declare(&t, "b", false);
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"a\",\"c\"],\"rpo\":\"26h\"}");
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	/* From c, which had it. */
	ck_assert_int_eq(run_counts(&t, "b").live, 3);
	ck_assert_int_eq(run_counts(&t, "c").live, 3);
	/* The run writes to b: nobody asks how far behind that is. */
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'b' AND "
				   "details ->> '$.rpo_seconds' IS NOT NULL"),
			 0);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'b' AND "
				   "details ->> '$.copied' = 1 AND run = "
				   "(SELECT max(run) FROM run_steps)"),
			 1);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'c' AND "
				   "details ->> '$.rpo_seconds' = 93600 AND "
				   "NOT details ->> '$.late'"),
			 1);
	move(&t, "away", "a");
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	expect_live(&t, 4, 4, 4);
}
END_TEST

/*
 * An attempt that died after it had published where the next one does not
 * write: it is found there, and not taken twice.
 */
START_TEST(an_attempt_elsewhere_is_found)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t run;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "a", "away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "away", "a");
	run = frame_count(&t.f, "SELECT max(id) FROM runs");
	/* As if nothing after the publishing had been written down. */
	frame_sql(&t.f, "DELETE FROM run_steps WHERE run = (SELECT max(id) "
			"FROM runs) AND NOT (step = 'snapshot' AND region = "
			"'b')");
	frame_sql(&t.f, "UPDATE run_steps SET state = 'running' WHERE run = "
			"(SELECT max(id) FROM runs)");
	ck_assert_int_eq(run_do(&t, run), RUN_SUCCEEDED);
	expect_live(&t, 2, 2, 2);
	ck_assert_int_eq(steps(&t, "step = 'snapshot' AND region = '' AND "
				   "message = 'an earlier attempt had taken "
				   "it'"),
			 1);
}
END_TEST

/* ---- It can be read, and not written to --------------------------------- */

/* What status calls it. */
static void expect_refusal(struct run_frame *t, const char *region,
			   const char *word)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM regions WHERE region = '%s' AND "
		       "inventory ->> '$.refusal' = '%s'",
		       region, word);
	ck_assert_int_eq(frame_count(&t->f, sql), 1);
}

/* A disk that turned read-only, one that is full, a bucket that takes nothing
 * any more, or goes halfway. */
START_TEST(what_takes_nothing_is_left)
{
	static const struct {
		enum fault_call call;
		enum err_code code;
		const char *prefix;
	} ways[] = {
		{ FAULT_BEGIN, ERR_DENIED, NULL },
		{ FAULT_APPEND, ERR_FULL, "data/" },
		{ FAULT_COMMIT, ERR_FULL, "index/" },
		{ FAULT_COMMIT, ERR_DENIED, "snapshots/" },
		{ FAULT_BEGIN, ERR_IO, "meta/" },
		{ FAULT_COMMIT, ERR_BUSY, "data/" },
		{ FAULT_BEGIN, ERR_NOT_FOUND, "data/" },
	};
	const size_t n = sizeof(ways) / sizeof(ways[0]);
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	for (size_t i = 0; i < n; i++) {
		const int taken = 2 * (int)i + 2;

		refuse("a", ways[i].call, ways[i].code, ways[i].prefix);
		ck_assert_int_eq(day(&t, taken - 1), RUN_PARTIAL);
		refuse_nothing();
		expect_live(&t, taken - 1, taken, taken);
		ck_assert_int_eq(unwritable(&t, "a"), 1);
		expect_refusal(&t, "a",
			       ways[i].code == ERR_FULL	  ? "full"
			       : ways[i].code == ERR_BUSY ? "busy"
							  : "read-only");
		ck_assert_int_eq(steps(&t,
				       "step = 'snapshot' AND region = '' AND "
				       "message = 'in region b, as the primary "
				       "cannot be written to'"),
				 (int)i + 1);
		ck_assert_int_eq(
			steps(&t, "step = 'run' AND state = 'partial' AND "
				  "message LIKE 'replicate: the primary cannot "
				  "be written to, and snapshots went to region "
				  "b: _%'"),
			(int)i + 1);
		/* It takes all again. */
		ck_assert_int_eq(day(&t, taken), RUN_SUCCEEDED);
		expect_live(&t, taken + 1, taken + 1, taken + 1);
		ck_assert_int_eq(unwritable(&t, "a"), 0);
	}
}
END_TEST

/* What it fails with it fails with anywhere, or a person is to look first. */
START_TEST(other_failures_move_nothing)
{
	static const enum err_code codes[] = { ERR_BAD_KEY, ERR_NEWER,
					       ERR_CORRUPT, ERR_NO_MEMORY,
					       ERR_USAGE };
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		refuse("a", FAULT_BEGIN, codes[i], "data/");
		ck_assert_int_eq(day(&t, 1), RUN_FAILED);
		refuse_nothing();
	}
	/* The source's own. */
	run_apply(&t, "Source", "web", "{\"tier\":\"gold\"}",
		  "{\"type\":\"command\",\"argv\":[\"/nowhere/at/all\"]}");
	ck_assert_int_eq(day(&t, 1), RUN_FAILED);
	expect_live(&t, 1, 1, 1);
	ck_assert_int_eq(unwritable(&t, "a"), 0);
}
END_TEST

START_TEST(it_is_asked_for_here_too)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, false);
	refuse("a", FAULT_BEGIN, ERR_DENIED, NULL);
	ck_assert_int_eq(day(&t, 0), RUN_FAILED);
	refuse_nothing();
	expect_live(&t, 0, 0, 0);
}
END_TEST

/* None of two; then none at all. */
START_TEST(the_third_in_order_serves)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	refuse("ab", FAULT_BEGIN, ERR_FULL, "data/");
	ck_assert_int_eq(day(&t, 0), RUN_PARTIAL);
	refuse_nothing();
	expect_live(&t, 0, 0, 1);
	ck_assert_int_eq(unwritable(&t, "a") + unwritable(&t, "b"), 2);
	refuse("abc", FAULT_BEGIN, ERR_FULL, "data/");
	ck_assert_int_eq(day(&t, 1), RUN_FAILED);
	refuse_nothing();
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_live(&t, 2, 2, 2);
	ck_assert_int_eq(unwritable(&t, "a") + unwritable(&t, "b") +
				 unwritable(&t, "c"),
			 0);
}
END_TEST

/* What was taken before is copied with what was not. */
START_TEST(what_was_taken_before_is_copied_too)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[2 * SCRATCH_PATH];

	begin(&t, true);
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\"]}",
		       run_path(&t, "web"));
	run_apply(&t, "Source", "zoo", "{\"tier\":\"gold\"}", spec);
	refuse("a", FAULT_BEGIN, ERR_FULL, "snapshots/");
	refusal.from = 2;
	ck_assert_int_eq(day(&t, 0), RUN_PARTIAL);
	refuse_nothing();
	expect_live(&t, 1, 2, 2);
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	expect_live(&t, 4, 4, 4);
}
END_TEST

/* Not what its own rules would let go at once. */
START_TEST(a_region_with_rules_of_its_own_is_not_filled)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[4 * SCRATCH_PATH];

	begin(&t, true);
	run_apply(&t, "Policy", "few", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	(void)snprintf(spec, sizeof(spec),
		       "{\"failover\":true,\"keyFile\":\"main.key\","
		       "\"regions\":["
		       "{\"name\":\"a\",\"primary\":true,"
		       "\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"policy\":\"few\","
		       "\"url\":\"file://%s\"},"
		       "{\"name\":\"c\",\"url\":\"file://%s\"}]}",
		       run_path(&t, "a"), run_path(&t, "b"), run_path(&t, "c"));
	run_apply(&t, "Repository", "main", NULL, spec);
	move(&t, "b", "b.away");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(day(&t, i), RUN_PARTIAL);
	move(&t, "b.away", "b");
	refuse("a", FAULT_BEGIN, ERR_FULL, "snapshots/");
	ck_assert_int_eq(day(&t, 3), RUN_PARTIAL);
	refuse_nothing();
	/* This one, and what its rules keep of all that the primary has. */
	ck_assert_int_eq(run_counts(&t, "b").live, 2);
	ck_assert_int_eq(run_counts(&t, "b").deleted, 0);
	ck_assert_int_eq(day(&t, 4), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 5);
	ck_assert_int_eq(run_counts(&t, "c").live, 5);
}
END_TEST

/* ---- What goes on without it -------------------------------------------- */

static int64_t done_in(struct run_frame *t, const char *step, const char *state,
		       const char *regions)
{
	char sql[400];

	(void)snprintf(sql, sizeof(sql),
		       "run = (SELECT max(id) FROM runs) AND step = '%s' AND "
		       "state = '%s' AND region IN (%s)",
		       step, state, regions);
	return steps(t, sql);
}

/* Whether runs go elsewhere or fail: what the others hold is looked after. */
START_TEST(the_others_are_looked_after)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t run;

	for (int failover = 0; failover <= 1; failover++) {
		if (failover)
			declare(&t, "a", true);
		else
			begin(&t, false);
		ck_assert_int_eq(day(&t, 2 * failover), RUN_SUCCEEDED);
		move(&t, "a", "away");
		ck_assert_int_eq(day(&t, 2 * failover + 1),
				 failover ? RUN_PARTIAL : RUN_FAILED);
		ck_assert_int_eq(done_in(&t, "verify", "succeeded", "'b', 'c'"),
				 2);
		ck_assert_int_eq(done_in(&t, "verify", "failed", "'a'"), 1);
		ck_assert_int_eq(done_in(&t, "retain", "partial", "''"),
				 failover);
		ck_assert_int_eq(
			frame_count(&t.f,
				    "SELECT count(*) FROM checks WHERE run = "
				    "(SELECT max(id) FROM runs) AND region IN "
				    "('b', 'c') AND result = 'sound'"),
			2);
		/* Space comes back in them; the run says where it does not. */
		run = run_attempt_of(&t, "Maintenance", "main", 0);
		ck_assert_int_eq(run_do(&t, run), RUN_PARTIAL);
		ck_assert_int_eq(done_in(&t, "gc", "succeeded", "'b', 'c'"), 2);
		ck_assert_int_eq(done_in(&t, "gc", "failed", "'a'"), 1);
		ck_assert_int_eq(steps(&t, "step = 'run' AND state = 'partial' "
					   "AND message LIKE 'gc: region "
					   "\"a\" of %'"),
				 failover + 1);
		move(&t, "away", "a");
		run_clock(&t, 1700000000 + (2 * failover + 1) * DAY + 3600);
		run = run_attempt_of(&t, "Maintenance", "main", 0);
		ck_assert_int_eq(run_do(&t, run), RUN_SUCCEEDED);
	}
}
END_TEST

/* A source that is not protected any more loses nothing. */
START_TEST(nothing_is_deleted_of_what_was_not_taken)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, false);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-within\":\"2d\"}}");
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	move(&t, "a", "away");
	ck_assert_int_eq(day(&t, 20), RUN_FAILED);
	move(&t, "away", "a");
	expect_live(&t, 2, 2, 2);
	ck_assert_int_eq(day(&t, 21), RUN_SUCCEEDED);
	ck_assert_int_lt(run_counts(&t, "b").live, 3);
}
END_TEST

/* ---- Drills ------------------------------------------------------------- */

static enum run_state drill(struct run_frame *t, const char *more)
{
	char spec[600];
	char uid[33] = "";
	const struct instant now = clock_now();
	const struct catalog_run r = { .kind = "Drill",
				       .schedule_uid = uid,
				       .schedule = "weekly",
				       .repository = "main",
				       .queued = now,
				       .requested_by = "tester" };
	int64_t id = 0;

	(void)snprintf(spec, sizeof(spec),
		       "{\"cron\":\"0 6 * * SUN\",\"schedule\":\"nightly\"%s}",
		       more);
	run_apply(t, "Drill", "weekly", NULL, spec);
	ck_assert_int_eq(catalog_resource_get(t->f.c, "Drill", "weekly",
					      copy_uid, uid, &t->f.e),
			 1);
	ok(&t->f, catalog_run_queue(t->f.c, &r, &id, &t->f.e));
	ck_assert_int_eq(claim_run(&t->f, id, now.sec), CATALOG_CLAIMED);
	return run_do(t, id);
}

/* How many drills, of all, are so. */
static int64_t drills(struct run_frame *t, const char *where)
{
	char sql[600];

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM drills WHERE %s",
		       where);
	return frame_count(&t->f, sql);
}

START_TEST(a_drill_does_without)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(drill(&t, ""), RUN_SUCCEEDED);
	ck_assert_int_eq(drills(&t, "region = 'a' AND passed AND "
				    "evidence ->> '$.without' = '[]'"),
			 1);
	/* Which of two that are as good, their latencies decide. */
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\"],\"rto\":\"1h\""),
			 RUN_SUCCEEDED);
	ck_assert_int_eq(
		drills(&t, "region IN ('b', 'c') AND passed AND "
			   "evidence ->> '$.region' = region AND "
			   "evidence ->> '$.without[0].region' = 'a' AND "
			   "NOT evidence ->> '$.without[0].kept_out' AND "
			   "round(evidence ->> '$.rto_seconds' * 1000) = "
			   "rto_ms AND "
			   "evidence ->> '$.rto_target_seconds' = 3600 AND "
			   "round(evidence ->> '$.rpo_seconds' * 1000) = "
			   "rpo_ms AND "
			   "evidence ->> '$.rpo_target_seconds' IS NULL"),
		1);
	/* It goes on to the next one by itself, not to what is shut away. */
	move(&t, "b", "b.away");
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\"]"), RUN_SUCCEEDED);
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\",\"b\"]"),
			 RUN_SUCCEEDED);
	ck_assert_int_ge(drills(&t, "region = 'c' AND passed"), 2);
	move(&t, "c", "c.away");
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\"]"), RUN_FAILED);
	ck_assert_int_eq(drills(&t, "NOT passed"), 1);
	/* The one that is named is the one. */
	move(&t, "c.away", "c");
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\"],\"region\":\"b\""),
			 RUN_FAILED);
	ck_assert_int_eq(drill(&t, ",\"without\":[\"b\"],\"region\":\"c\""),
			 RUN_SUCCEEDED);
	/* One that was silent is asked once more when no other opens. */
	move(&t, "b.away", "b");
	move(&t, "c", "c.away");
	refusal = (struct refusal){ .regions = "b", .from = 1000, .gone = 1 };
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\"]"), RUN_SUCCEEDED);
	ck_assert_int_eq(refusal.opened, 2);
	refuse_nothing();
}
END_TEST

/* What it holds is older: that is what would be lost. */
START_TEST(a_drill_takes_the_newest_that_is_left)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "b", "b.away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "b.away", "b");
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\"]"), RUN_SUCCEEDED);
	ck_assert_int_eq(drills(&t, "region = 'c' AND rpo_ms < 43200000"), 1);
	ck_assert_int_eq(drill(&t, ",\"without\":[\"a\",\"c\"]"),
			 RUN_SUCCEEDED);
	ck_assert_int_eq(drills(&t, "region = 'b' AND rpo_ms > 43200000"), 1);
}
END_TEST

START_TEST(what_was_missed_and_cannot_be_read_is_told)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, true);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "a", "away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "away", "a");
	hide_newest(&t, "bc");
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	refuse_nothing();
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'a' AND "
				   "state = 'partial' AND details ->> "
				   "'$.unread' = 2 AND message LIKE '1 "
				   "manifest of region \"b\" cannot be read%: "
				   "input/output error'"),
			 1);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = '' AND "
				   "state = 'partial' AND message LIKE "
				   "'region a: 1 manifest of region \"b\"%'"),
			 1);
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	expect_live(&t, 4, 4, 4);
}
END_TEST

/* By the region that lacks it; one that has it is up to date. */
START_TEST(what_cannot_be_read_is_told)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, false);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "c", "away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "away", "c");
	hide_newest(&t, "a");
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	refuse_nothing();
	ck_assert_int_eq(run_counts(&t, "c").live, 2);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'b' AND "
				   "state = 'succeeded'"),
			 3);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'c' AND "
				   "state = 'partial' AND details ->> "
				   "'$.copied' = 1 AND message LIKE '1 "
				   "manifest of region \"a\" cannot be read%: "
				   "input/output error'"),
			 1);
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	expect_live(&t, 4, 4, 4);
}
END_TEST

/* Both regions lack it, and got all else: the step did not fail. */
START_TEST(what_can_be_read_is_copied)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, false);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "b", "b.away");
	move(&t, "c", "c.away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "b.away", "b");
	move(&t, "c.away", "c");
	hide_newest(&t, "a");
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	refuse_nothing();
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = '' AND "
				   "state = 'failed'"),
			 1);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = '' AND "
				   "state = 'partial'"),
			 1);
	expect_live(&t, 3, 2, 2);
}
END_TEST

/* It need not be copied. */
START_TEST(what_is_deleted_need_not_be_read)
{
	CLEANUP(run_done) struct run_frame t;
	struct refusal hidden;

	begin(&t, false);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	move(&t, "c", "away");
	ck_assert_int_eq(day(&t, 1), RUN_PARTIAL);
	move(&t, "away", "c");
	hide_newest(&t, "a");
	hidden = refusal;
	refuse_nothing();
	delete_in(&t, "a");
	refusal = hidden;
	/* The step "retain" wants to read it all the same. */
	ck_assert_int_eq(day(&t, 2), RUN_PARTIAL);
	refuse_nothing();
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = 'c' AND "
				   "state = 'succeeded'"),
			 2);
	ck_assert_int_eq(steps(&t, "step = 'replicate' AND region = '' AND "
				   "state = 'succeeded'"),
			 2);
	expect_live(&t, 2, 2, 2);
}
END_TEST

/* ---- How what came from elsewhere is locked ------------------------------ */

struct lengths {
	int64_t days[4]; /* in order of receipt */
	size_t n;
};

static int see_lock(void *arg, struct repository_snapshot *s,
		    struct err *e UNUSED)
{
	struct lengths *x = arg;

	ck_assert_uint_lt(x->n, 4);
	x->days[x->n++] = s->locked ? instant_ms_between(s->received,
							 s->locked_until) /
					      (DAY * 1000)
				    : 0;
	return 0;
}

/* For how many days those of a region are locked there. */
static void expect_days(struct run_frame *t, const char *region,
			const int64_t *days, size_t n)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	struct lengths x = { .n = 0 };

	ok(&t->f, repository_snapshots(r, false, see_lock, NULL, &x, &t->f.e));
	ck_assert_uint_eq(x.n, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(x.days[i], days[i]);
}

static void expect_locked(struct run_frame *t, const char *region,
			  int64_t first, int64_t second)
{
	expect_days(t, region, (const int64_t[]){ first, second }, 2);
}

static int see_first(void *arg, struct repository_snapshot *s,
		     struct err *e UNUSED)
{
	char *id = arg;

	if (!*id)
		object_id_format(s->manifest.snapshot, id);
	return 0;
}

/* b by a policy of its own; of: what is said of a. */
static void declare_locked(struct run_frame *t, const char *of)
{
	char spec[4 * SCRATCH_PATH];

	(void)snprintf(spec, sizeof(spec),
		       "{\"failover\":true,\"keyFile\":\"main.key\","
		       "\"regions\":["
		       "{\"name\":\"a\",\"primary\":true,%s"
		       "\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"policy\":\"own\","
		       "\"url\":\"file://%s\"},"
		       "{\"name\":\"c\",\"url\":\"file://%s\"}]}",
		       of, run_path(t, "a"), run_path(t, "b"),
		       run_path(t, "c"));
	run_apply(t, "Repository", "main", NULL, spec);
}

/* One that region b took, by a policy of its own, while the primary was away;
 * then one of another schedule, which takes it to the primary. */
static void serve_elsewhere(struct run_frame *t, const char *gold,
			    const char *own)
{
	begin(t, true);
	run_apply(t, "Policy", "gold", NULL, gold);
	run_apply(t, "Policy", "own", NULL, own);
	run_apply(t, "Policy", "rare", NULL, "{\"lock\":\"90d\"}");
	declare_locked(t, "");
	run_apply(t, "Schedule", "weekly", NULL,
		  "{\"cron\":\"0 1 * * 0\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"rare\",\"replicateTo\":[\"b\",\"c\"]}");
	move(t, "a", "away");
	ck_assert_int_eq(day(t, 0), RUN_PARTIAL);
	move(t, "away", "a");
	run_clock(t, 1700000000 + DAY);
	run_file(t, "web/one", "another\n");
	ck_assert_int_eq(run_do(t, run_attempt_of(t, "Schedule", "weekly", 0)),
			 RUN_SUCCEEDED);
}

START_TEST(it_is_locked_as_its_schedule_says)
{
	CLEANUP(run_done) struct run_frame t;

	serve_elsewhere(&t, "{\"lock\":\"30d\"}", "{\"lock\":\"7d\"}");
	expect_locked(&t, "a", 30, 90);
	expect_locked(&t, "b", 7, 7);
	expect_locked(&t, "c", 30, 90);
}
END_TEST

/* Not for the years of another region, which nobody could undo. */
START_TEST(it_is_not_locked_when_its_schedule_does_not)
{
	CLEANUP(run_done) struct run_frame t;

	serve_elsewhere(&t, "{\"retention\":{\"keep-last\":50}}",
			"{\"lock\":\"3650d\"}");
	expect_locked(&t, "a", 0, 90);
	expect_locked(&t, "b", 3650, 3650);
	expect_locked(&t, "c", 0, 90);
}
END_TEST

/* As of a copy that ended after its manifest: of the first, in the primary. */
static void cut_off_lock(struct run_frame *t)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, "a");
	char id[OBJECT_ID_TEXT] = "";
	glob_t found = { 0 };
	char pattern[2 * SCRATCH_PATH];

	ok(&t->f, repository_snapshots(r, false, see_first, NULL, id, &t->f.e));
	(void)snprintf(pattern, sizeof(pattern), "%s/locks/%s*",
		       run_path(t, "a"), id);
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	ck_assert_uint_eq(found.gl_pathc, 1);
	ck_assert_int_eq(unlink(found.gl_pathv[0]), 0);
	globfree(&found);
}

START_TEST(a_lock_that_was_cut_off_is_made_good)
{
	CLEANUP(run_done) struct run_frame t;

	serve_elsewhere(&t, "{\"lock\":\"30d\"}", "{\"lock\":\"7d\"}");
	cut_off_lock(&t);
	expect_locked(&t, "a", 0, 90);
	/* Nothing is missing there. */
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	expect_days(&t, "a", (const int64_t[]){ 30, 90, 30 }, 3);
	/* The primary locks by a policy of its own, from now on. */
	declare_locked(&t, "\"policy\":\"own\",");
	cut_off_lock(&t);
	ck_assert_int_eq(day(&t, 3), RUN_SUCCEEDED);
	expect_days(&t, "a", (const int64_t[]){ 7, 90, 30, 7 }, 4);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, it_is_asked_for);
	tcase_add_test(tc, the_primary_catches_up);
	tcase_add_test(tc, deletions_are_the_primarys);
	tcase_add_test(tc, the_next_primary_catches_up);
	tcase_add_test(tc, an_attempt_elsewhere_is_found);
	tcase_add_test(tc, what_takes_nothing_is_left);
	tcase_add_test(tc, other_failures_move_nothing);
	tcase_add_test(tc, it_is_asked_for_here_too);
	tcase_add_test(tc, the_third_in_order_serves);
	tcase_add_test(tc, what_was_taken_before_is_copied_too);
	tcase_add_test(tc, a_region_with_rules_of_its_own_is_not_filled);
	tcase_add_test(tc, the_others_are_looked_after);
	tcase_add_test(tc, nothing_is_deleted_of_what_was_not_taken);
	tcase_add_test(tc, what_was_missed_and_cannot_be_read_is_told);
	tcase_add_test(tc, what_cannot_be_read_is_told);
	tcase_add_test(tc, what_can_be_read_is_copied);
	tcase_add_test(tc, what_is_deleted_need_not_be_read);
	tcase_add_test(tc, a_drill_does_without);
	tcase_add_test(tc, a_drill_takes_the_newest_that_is_left);
	tcase_add_test(tc, it_is_locked_as_its_schedule_says);
	tcase_add_test(tc, it_is_not_locked_when_its_schedule_does_not);
	tcase_add_test(tc, a_lock_that_was_cut_off_is_made_good);
}

CHECK_MAIN("service/failover", cases)
