/*
 * As service_faults_failover.c, of what is done now and then: a run whose
 * retention deletes, a garbage collection, a drill, and by hand a legal hold,
 * its release, a deletion, taking it back, and the healing of a region; all of
 * it in three regions that can be reached.  Each time, besides: nothing that
 * the rules want is deleted, what is held is so in each region or said not to
 * be, and the next attempt does all of it.
 */
#include <dirent.h>

#include "base/log.h"
#include "storage/repository/check.h"
#include "tests/support/failover_story.h"

static const char *const regions[] = { "a", "b", "c" };
#define REGIONS (sizeof(regions) / sizeof(regions[0]))

/* ---- What is there ------------------------------------------------------- */

static void find_newest(struct repository *r, struct repository_snapshot *s)
{
	manifest_init(&s->manifest);
	ok(&t.f, repository_find(r, "latest", "web", false, s, NULL, &t.f.e));
}

static void expect_held(const char *when, bool held)
{
	for (size_t i = 0; i < REGIONS; i++) {
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, regions[i]);
		CLEANUP(repository_snapshot_done) struct repository_snapshot s;
		struct err why = { 0 };

		find_newest(r, &s);
		ck_assert_msg((deletion_may(&s, clock_now(), &why) < 0) == held,
			      "after %s: %sheld in %s", when,
			      held ? "not " : "", regions[i]);
	}
}

static void expect_sound(const char *when)
{
	for (size_t i = 0; i < REGIONS; i++) {
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, regions[i]);
		CLEANUP(check_result_done)
		struct check_result x = { .sound = false };
		const struct check_options o = { .level = CHECK_DATA,
						 .now = clock_now() };

		ok(&t.f, check_run(r, &o, &x, &t.f.e));
		ck_assert_msg(x.sound, "after %s: %s: %s %s", when, regions[i],
			      x.n_findings ? x.findings[0].object : "",
			      x.n_findings ? x.findings[0].message : "");
	}
}

static void expect_counts(const char *when, int live, int deleted)
{
	for (size_t i = 0; i < REGIONS; i++) {
		const struct run_count n = run_counts(&t, regions[i]);

		ck_assert_msg(n.live == live && n.deleted == deleted,
			      "after %s: %d and %d deleted in %s", when, n.live,
			      n.deleted, regions[i]);
	}
}

/* By its own account it did all that it was to do. */
static bool is_done(void)
{
	return !outcome.failed &&
	       (story->tell == tell_run ? outcome.state == RUN_SUCCEEDED
					: outcome.outcome == OPERATION_DONE);
}

/* The next attempt of what was not done. */
static void expect_again(const char *when)
{
	if (is_done())
		return;
	catalog_close(t.f.c);
	t.f.c = NULL;
	outcome = (struct outcome){ .state = RUN_FAILED };
	story->tell();
	if (!is_done() && !outcome.failed && story->tell == tell_run)
		fault_world_said(&t, outcome.said, sizeof(outcome.said));
	ck_assert_msg(is_done(), "after %s: again: %s %s", when,
		      outcome.failed ? outcome.e.text : "", outcome.said);
	fault_world_open(&t, when);
}

/* ---- Runs ---------------------------------------------------------------- */

static void before_retention(void)
{
	run_clock(&t, 1700000000 + 2 * DAY);
	run_file(&t, "web/one", "two days\n");
}

static char oldest[OBJECT_ID_TEXT];

static void expect_oldest_deleted(const char *when)
{
	for (size_t i = 0; i < REGIONS; i++) {
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, regions[i]);
		CLEANUP(repository_snapshot_done) struct repository_snapshot s;

		manifest_init(&s.manifest);
		ok(&t.f,
		   repository_find(r, oldest, NULL, true, &s, NULL, &t.f.e));
		ck_assert_msg(s.deleted, "after %s: another was deleted in %s",
			      when, regions[i]);
	}
}

/* Two are to be kept: nothing makes it fewer. */
static void after_retention(const char *when)
{
	for (size_t i = 0; i < REGIONS; i++)
		ck_assert_msg(run_counts(&t, regions[i]).live >= 2,
			      "after %s: too few in %s", when, regions[i]);
	if (is_done()) {
		expect_counts(when, 2, 1);
		expect_oldest_deleted(when);
	} else {
		(void)run_do(&t, run_id);
	}
	ck_assert_msg(day(&t, 3) == RUN_SUCCEEDED, "after %s: the next run",
		      when);
	for (size_t i = 0; i < REGIONS; i++)
		ck_assert_msg(run_counts(&t, regions[i]).live == 2,
			      "after %s: %d in %s", when,
			      run_counts(&t, regions[i]).live, regions[i]);
	ck_assert_msg(frame_count(&t.f, "SELECT count(*) FROM snapshots WHERE "
					"deleted_us IS NULL") == 2,
		      "after %s: in the catalog", when);
}

static void before_collection(void)
{
	fault_world_open(&t, "the beginning");
	ck_assert_int_eq(day(&t, 2), RUN_SUCCEEDED);
	run_clock(&t, 1700000000 + 40 * DAY);
	run_id = run_attempt_of(&t, "Maintenance", "main", 0);
}

/* What it could not do the next one does. */
static void after_collection(const char *when)
{
	if (!is_done())
		run_id = run_attempt_of(&t, "Maintenance", "main", 0);
	expect_again(when);
	expect_counts(when, 2, 0);
	expect_sound(when);
}

static void before_drill(void)
{
	fault_world_open(&t, "the beginning");
	run_apply(&t, "Drill", "weekly", NULL,
		  "{\"cron\":\"0 6 * * SUN\",\"schedule\":\"nightly\"}");
	run_id = run_attempt_of(&t, "Drill", "weekly", 0);
}

static int left_by_drills(void)
{
	DIR *d = opendir(run_path(&t, "state/drills"));
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n > 2 ? n - 2 : 0;
}

/* What it restored is secret to somebody: what cannot be removed is told, and
 * goes with the next one. */
static void after_drill(const char *when)
{
	if (left_by_drills() && !outcome.failed)
		fault_world_said(&t, outcome.said, sizeof(outcome.said));
	ck_assert_msg(!left_by_drills() || outcome.failed ||
			      strstr(outcome.said, "drill-"),
		      "after %s: something is left, untold: %s", when,
		      outcome.said);
	if (!is_done() || left_by_drills()) {
		outcome.state = RUN_FAILED;
		run_id = run_attempt_of(&t, "Drill", "weekly", 0);
	}
	expect_again(when);
	ck_assert_msg(!left_by_drills(), "after %s: something is left", when);
	ck_assert_msg(frame_count(&t.f, "SELECT count(*) FROM drills WHERE "
					"passed") > 0,
		      "after %s: no evidence", when);
}

/* ---- By hand ------------------------------------------------------------- */

static char id[OBJECT_ID_TEXT]; /* of what is held, or deleted */

static void note_newest(char *out)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(&t, "a");
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;

	find_newest(r, &s);
	object_id_format(s.manifest.snapshot, out);
}

static void tell_about(const char *verb, const char *name, const char *value)
{
	const char *const params[][2] = { { name, value },
					  { "repo", "main" },
					  { "key-file",
					    run_path(&t, "keys/main.key") },
					  { NULL, NULL } };

	tell_operation(verb, params);
}

static void tell_hold(void)
{
	const char *const params[][2] = { { "source", "web" },
					  { "case", "case" },
					  { "custodian", "keeper" },
					  { "repo", "main" },
					  { "key-file",
					    run_path(&t, "keys/main.key") },
					  { NULL, NULL } };

	tell_operation("hold add", params);
}

static void after_hold(const char *when)
{
	expect_again(when);
	expect_held(when, true);
}

static void before_release(void)
{
	const char *at;

	tell_hold();
	at = strstr(outcome.said, "\"hold\":\"");
	ck_assert_msg(is_done() && at, "%s %s", outcome.e.text, outcome.said);
	(void)snprintf(id, sizeof(id), "%s", at + strlen("\"hold\":\""));
}

static void tell_release(void)
{
	tell_about("hold release", "hold", id);
}

/* One that is released by half may be found no more where it is. */
static void after_release(const char *when)
{
	if (!is_done()) {
		outcome = (struct outcome){ .state = RUN_FAILED };
		tell_release();
		ck_assert_msg(is_done() || outcome.e.code == ERR_NOT_FOUND,
			      "after %s: again: %s %s", when, outcome.e.text,
			      outcome.said);
	}
	expect_held(when, false);
}

static void before_deletion(void)
{
	note_newest(id);
}

static void tell_deletion(void)
{
	tell_about("snapshot delete", "snapshot", id);
}

/* Of one that is deleted already nothing is left to do. */
static void after_deletion(const char *when)
{
	if (!is_done() && run_counts(&t, "a").deleted == 0)
		expect_again(when);
	ck_assert_msg(run_counts(&t, "a").live == 1 &&
			      run_counts(&t, "a").deleted == 1,
		      "after %s: it is there", when);
	/* The others follow. */
	ck_assert_msg(day(&t, 3) == RUN_SUCCEEDED, "after %s: the next run",
		      when);
	expect_counts(when, 2, 1);
}

static void before_undelete(void)
{
	before_deletion();
	tell_deletion();
	ck_assert_msg(is_done(), "%s %s", outcome.e.text, outcome.said);
}

static void tell_undelete(void)
{
	tell_about("snapshot undelete", "snapshot", id);
}

static void after_undelete(const char *when)
{
	if (!is_done() && run_counts(&t, "a").deleted > 0)
		expect_again(when);
	expect_counts(when, 2, 0);
}

static void before_heal(void)
{
	scratch_remove(run_path(&t, "b/data"));
}

static void tell_heal(void)
{
	tell_about("region heal", "name", "b");
}

static void after_heal(const char *when)
{
	expect_again(when);
	expect_sound(when);
}

static const struct story stories[] = {
	{ FRAME("retention"), tell_run, before_retention, after_retention,
	  RUN_SUCCEEDED },
	{ FRAME("collection"), tell_run, before_collection, after_collection,
	  RUN_SUCCEEDED },
	{ FRAME("drill"), tell_run, before_drill, after_drill, RUN_SUCCEEDED },
	{ FRAME("hold"), tell_hold, NULL, after_hold, 0 },
	{ FRAME("release"), tell_release, before_release, after_release, 0 },
	{ FRAME("deletion"), tell_deletion, before_deletion, after_deletion,
	  0 },
	{ FRAME("undelete"), tell_undelete, before_undelete, after_undelete,
	  0 },
	{ FRAME("heal"), tell_heal, before_heal, after_heal, 0 },
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

/* As service_faults_failover.c. */
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
	begin(&t, false);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":2}}");
	/* It dies of it, in fy_parse_input_append(), as of version 0.7. */
	alloc_all_spare("libfyaml.so");
	log_set_level(LOG_LEVEL_ERROR);
	ck_assert_int_eq(setenv("SNAPCTL_ETC", run_path(&t, "etc"), 1), 0);
	ck_assert_int_eq(setenv("SNAPCTL_STATE", run_path(&t, "state"), 1), 0);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
	note_newest(oldest);
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	run_clock(&t, 1700000000 + 2 * DAY);
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

CHECK_MAIN("service/faults/seldom", cases)
