/*
 * As service_faults.c, with three regions: each call to the system fails in
 * turn, or moves half of its bytes, and each allocation, of a run while the
 * primary is away, of the one with which it catches up, of a promotion, and of
 * a restore from another region than the primary.  Each time, besides: there
 * is one primary, by all that says so; the next run succeeds, and all regions
 * then have each snapshot once.
 */
#include "base/log.h"
#include "tests/support/failover_story.h"

static void tell_promote(void)
{
	const char *const params[][2] = { { "name", "b" },
					  { "repo", "main" },
					  { "key-file",
					    run_path(&t, "keys/main.key") },
					  { NULL, NULL } };

	tell_operation("region promote", params);
}

static void tell_restore(void)
{
	const char *const params[][2] = { { "snapshot", "latest" },
					  { "source", "web" },
					  { "to", run_path(&t, "to") },
					  { "repo", "main" },
					  { "key-file",
					    run_path(&t, "keys/main.key") },
					  { NULL, NULL } };

	tell_operation("restore", params);
}

/* ---- The world before, and afterwards ------------------------------------ */

static void lose_primary(void)
{
	move(&t, "a", "away");
}

static void before_catching_up(void)
{
	fault_world_open(&t, "the beginning");
	move(&t, "a", "away");
	ck_assert_int_eq(run_do(&t, run_id), RUN_PARTIAL);
	run_clock(&t, 1700000000 + 2 * DAY);
	run_file(&t, "web/one", "two days\n");
	run_id = run_attempt(&t, 0);
	move(&t, "away", "a");
}

static void find_primary(void)
{
	if (access(run_path(&t, "away"), F_OK) == 0)
		move(&t, "away", "a");
}

/* A run that is told of is there; of a failed one, the next attempt is. */
static void after_run(const char *when)
{
	const struct outcome *o = &outcome;

	if (o->failed || (o->state != RUN_SUCCEEDED && o->state != RUN_PARTIAL))
		(void)run_do(&t, run_id);
	find_primary();
	run_clock(&t, 1700000000 + 5 * DAY);
	run_file(&t, "web/one", "five days\n");
	ck_assert_msg(day(&t, 5) == RUN_SUCCEEDED, "after %s: the next run",
		      when);
}

/* So many in each region, and in the catalog, once. */
static void expect_each(const char *when, int n)
{
	static const char *const regions[] = { "a", "b", "c" };

	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(run_counts(&t, regions[i]).live == n,
			      "after %s: %d snapshots in %s", when,
			      run_counts(&t, regions[i]).live, regions[i]);
	ck_assert_msg(frame_count(&t.f, "SELECT count(*) FROM snapshots") == n,
		      "after %s: %d snapshots in the catalog", when,
		      (int)frame_count(&t.f, "SELECT count(*) FROM snapshots"));
}

/* In region b, as it says. */
static void after_away(const char *when)
{
	if (!outcome.failed && outcome.state == RUN_PARTIAL)
		ck_assert_msg(run_counts(&t, "b").live == 2 ||
				      run_counts(&t, "c").live == 2,
			      "%s: it is nowhere", when);
	after_run(when);
	expect_each(when, 3);
}

static void after_catching_up(const char *when)
{
	if (!outcome.failed && outcome.state == RUN_SUCCEEDED)
		expect_each(when, 3);
	after_run(when);
	expect_each(when, 4);
}

static int64_t promoted(const char *where)
{
	char select[300];

	(void)snprintf(select, sizeof(select), "SELECT count(*) FROM %s",
		       where);
	return frame_count(&t.f, select);
}

static void after_promote(const char *when)
{
	const int64_t by_audit = promoted(
		"audit WHERE action = 'region.promote'");

	ck_assert_msg(outcome.failed || by_audit == 1, "%s: it is not", when);
	ck_assert_msg(promoted("resources, json_each(spec, '$.regions') AS r "
			       "WHERE kind = 'Repository' AND "
			       "r.value ->> '$.name' = 'b' AND "
			       "r.value ->> '$.primary'") == by_audit &&
			      promoted("resources, json_each(spec, "
				       "'$.replicateTo') AS r WHERE kind = "
				       "'Schedule' AND r.value = 'a'") ==
				      by_audit &&
			      promoted("regions WHERE region = 'b' AND "
				       "is_primary") == by_audit,
		      "%s: by half", when);
	ck_assert_msg(day(&t, 5) == RUN_SUCCEEDED, "after %s: the next run",
		      when);
	expect_each(when, 2);
}

static void after_restore(const char *when)
{
	char path[3 * SCRATCH_PATH];
	char text[16] = "";
	FILE *f;

	if (outcome.failed || outcome.outcome != OPERATION_DONE)
		return;
	(void)snprintf(path, sizeof(path), "%s%s", run_path(&t, "to"),
		       run_path(&t, "web/one"));
	f = fopen(path, "re");
	ck_assert_msg(f && fgets(text, sizeof(text), f) &&
			      strcmp(text, "0\n") == 0,
		      "%s: \"%s\"", when, text);
	(void)fclose(f);
}

static const struct story stories[] = {
	{ FRAME("run elsewhere"), tell_run, lose_primary, after_away,
	  RUN_PARTIAL },
	{ FRAME("catching up"), tell_run, before_catching_up, after_catching_up,
	  RUN_SUCCEEDED },
	{ FRAME("promote"), tell_promote, NULL, after_promote, 0 },
	{ FRAME("restore from another"), tell_restore, lose_primary,
	  after_restore, 0 },
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

/* About so many tellings of a story with each kind of failure, unless all are:
 * each takes two runs, and the next time others are tried. */
#define TELLINGS 3

START_TEST(every_call_in_turn)
{
	story = &stories[_i];
	ck_assert_uint_gt(fault_each_call(&story->frame, TELLINGS), 0);
}
END_TEST

START_TEST(every_allocation_in_turn)
{
	story = &stories[_i];
	ck_assert_uint_gt(fault_each_allocation(&story->frame, TELLINGS), 0);
}
END_TEST

static void set_up(void)
{
	begin(&t, true);
	/* It dies of it, in fy_parse_input_append(), as of version 0.7. */
	alloc_all_spare("libfyaml.so");
	log_set_level(LOG_LEVEL_ERROR);
	ck_assert_int_eq(setenv("SNAPCTL_ETC", run_path(&t, "etc"), 1), 0);
	ck_assert_int_eq(setenv("SNAPCTL_STATE", run_path(&t, "state"), 1), 0);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	run_clock(&t, 1700000000 + DAY);
	first_run = run_attempt(&t, 0);
	fault_world_keep(&t);
}

static void tear_down(void)
{
	fault_world_done();
	run_done(&t);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, every_call_in_turn, 0, STORIES);
	if (alloc_all_works())
		tcase_add_loop_test(tc, every_allocation_in_turn, 0, STORIES);
}

CHECK_MAIN("service/faults/failover", cases)
