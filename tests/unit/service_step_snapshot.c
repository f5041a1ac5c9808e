/* The step "snapshot", on real small trees, without a daemon. */
#include <signal.h>
#include <sys/wait.h>

#include "base/seam.h"
#include "tests/support/check_main.h"
#include "tests/support/run_frame.h"

START_TEST(takes_and_records)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t id;

	run_open(&t);
	id = run_attempt(&t, 0);
	ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	ck_assert_int_eq(
		frame_count(&t.f,
			    "SELECT count(*) FROM snapshots WHERE source = "
			    "'web' AND state = 'complete' AND files = 1 AND "
			    "receipt = 'daemon' AND schedule = 'nightly' AND "
			    "run = 1 AND bytes_read = 4"),
		1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM replicas "
					   "WHERE region = 'a' AND "
					   "state = 'complete'"),
			 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM regions WHERE "
					   "seen_ok_us > 0"),
			 1);
}
END_TEST

START_TEST(a_run_done_again_takes_nothing)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t id;

	run_open(&t);
	id = run_attempt(&t, 0);
	ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
	ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	/* Another occurrence is another snapshot. */
	run_clock(&t, 1700003600);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
}
END_TEST

START_TEST(policies_lock)
{
	CLEANUP(run_done) struct run_frame t;

	run_open(&t);
	run_apply(&t, "Policy", "gold", NULL, "{\"lock\":\"7d\"}");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").locked, 1);
	ck_assert_int_eq(frame_count(&t.f,
				     "SELECT lock_until_us - received_us FROM "
				     "snapshots"),
			 7 * 86400 * INT64_C(1000000));
}
END_TEST

START_TEST(its_own_folders_are_left_out)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[2 * SCRATCH_PATH];

	run_open(&t);
	ck_assert_int_eq(mkdir(run_path(&t, "state"), 0700), 0);
	ck_assert_int_eq(mkdir(run_path(&t, "cache"), 0700), 0);
	run_file(&t, "state/x", "x");
	run_file(&t, "cache/x", "x");
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\"],\"exclude\":["
		       "\"keys\",\"clock\",\"catalog.db*\"]}",
		       t.root);
	run_apply(&t, "Source", "web", "{\"tier\":\"gold\"}", spec);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	/* <root>/web/one is all that is left. */
	ck_assert_int_eq(frame_count(&t.f, "SELECT files FROM snapshots"), 1);
}
END_TEST

/* However it is written: regions are folders, not their names. */
START_TEST(regions_are_told_by_what_they_are)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[4 * SCRATCH_PATH];

	run_open(&t);
	run_region(&t, "b");
	ck_assert_int_eq(symlink("b", run_path(&t, "link")), 0);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":[{\"name\":"
		       "\"a\",\"url\":\"FILE://%s/%%61\"},{\"name\":\"b\","
		       "\"url\":\"file://%s/lin%%6b\"}]}",
		       t.root, t.root);
	run_apply(&t, "Repository", "main", NULL, spec);
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\"],\"exclude\":["
		       "\"keys\",\"clock\",\"catalog.db*\"]}",
		       t.root);
	run_apply(&t, "Source", "web", "{\"tier\":\"gold\"}", spec);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert_int_eq(frame_count(&t.f, "SELECT files FROM snapshots"), 1);
}
END_TEST

START_TEST(every_source_is_told_of)
{
	CLEANUP(run_done) struct run_frame t;

	run_open(&t);
	run_apply(&t, "Source", "gone", "{\"tier\":\"gold\"}",
		  "{\"type\":\"files\",\"paths\":[\"/nowhere/at/all\"]}");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_PARTIAL);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'snapshot' AND region = '' AND source = "
				  "'gone' AND state = 'failed' AND message "
				  "LIKE '%/nowhere/at/all%'"),
		1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'snapshot' AND region = '' AND source = "
				  "'web' AND state = 'succeeded'"),
		1);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
}
END_TEST

START_TEST(what_cannot_be_read_makes_it_partial)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[2 * SCRATCH_PATH];

	run_open(&t);
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\",\"%s\"]}",
		       run_path(&t, "web"), run_path(&t, "missing"));
	run_apply(&t, "Source", "web", "{\"tier\":\"gold\"}", spec);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_PARTIAL);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM snapshots WHERE state "
				  "= 'partial' AND errors = 1"),
		1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'snapshot' AND region = '' AND details ->> "
				  "'$.errors[0].path' LIKE '%/missing'"),
		1);
}
END_TEST

START_TEST(an_unreachable_region_is_named)
{
	CLEANUP(run_done) struct run_frame t;

	run_open(&t);
	ck_assert_int_eq(rename(run_path(&t, "a"), run_path(&t, "away")), 0);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_FAILED);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'snapshot' AND message LIKE "
				  "'region \"a\" of repository \"main\": %'"),
		1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM regions WHERE "
					   "failed_us > 0 AND seen_ok_us IS "
					   "NULL AND message <> ''"),
			 1);
}
END_TEST

/* ---- Killed -------------------------------------------------------------- */

struct deadline {
	unsigned int calls, kill_at;
};

static int die(void *arg, enum seam_call call UNUSED, const char *path)
{
	struct deadline *d = arg;

	if (frame_matters(path) &&
	    __atomic_add_fetch(&d->calls, 1, __ATOMIC_SEQ_CST) == d->kill_at)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

/* The run in a process that dies before a call; whether it lived. */
static bool lived(struct run_frame *t, int64_t id, unsigned int kill_at)
{
	int status;
	pid_t child;

	catalog_close(t->f.c);
	t->f.c = NULL;
	child = check_fork_child();
	if (child == 0) {
		struct deadline d = { .kill_at = kill_at };

		ok(&t->f, catalog_open(t->f.path, &t->f.c, &t->f.e));
		seam_set_hook(die, &d);
		(void)run_do(t, id);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ok(&t->f, catalog_open(t->f.path, &t->f.c, &t->f.e));
	if (WIFEXITED(status))
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	return WIFEXITED(status);
}

/* A later attempt of the occurrence, as after a crash. */
static int64_t retry(struct run_frame *t)
{
	const int64_t occurrence = frame_count(
		&t->f, "SELECT max(occurrence) FROM runs");

	ok(&t->f, catalog_runs_interrupt(t->f.c, "h1", NULL, NULL, clock_now(),
					 &t->f.e));
	return run_attempt(t, occurrence);
}

START_TEST(killed_anywhere_it_takes_one_snapshot)
{
	CLEANUP(run_done) struct run_frame t;
	bool done = false;
	int n = 0;

	run_open(&t);
	run_apply(&t, "Policy", "gold", NULL, "{\"lock\":\"7d\"}");
	for (unsigned int at_call = check_first(); !done;
	     at_call += CHECK_EVERY, n++) {
		int64_t id;

		run_clock(&t, 1700000000 + (int64_t)n * 86400);
		id = run_attempt(&t, 0);
		done = lived(&t, id, at_call);
		/* Every other time by the same run, or by another attempt. */
		if (at_call % 2)
			id = retry(&t);
		ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
		ck_assert_msg(run_counts(&t, "a").live == n + 1,
			      "killed before call %u: %d snapshots, not %d",
			      at_call, run_counts(&t, "a").live, n + 1);
		ck_assert_int_eq(run_counts(&t, "a").locked, n + 1);
		ck_assert_int_eq(
			frame_count(&t.f, "SELECT count(*) FROM snapshots"),
			n + 1);
		ck_assert_int_lt(at_call, 500);
		(void)end_run(&t.f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
			      CATALOG_SUCCEEDED);
	}
	ck_assert_int_gt(n, 10 / CHECK_EVERY);
}
END_TEST

/* A collector gives up the session that published the newest snapshot. */
static int fence(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct repository *r = arg;
	struct record f;
	int failed;

	record_init(&f, OBJECT_FENCE);
	f.id = s->manifest.session;
	f.time = clock_now();
	failed = record_put(repository_store(r), repository_keys(r), &f, 0, e);
	record_done(&f);
	return failed;
}

/*
 * Killed after its manifest and before it asked for its fence: what was
 * published by a session that was given up is not taken for made.
 */
START_TEST(what_a_fenced_session_published_was_not_made)
{
	CLEANUP(run_done) struct run_frame t;
	struct repository *r;
	int64_t id;

	run_open(&t);
	id = run_attempt(&t, 0);
	for (unsigned int at_call = 1; run_counts(&t, "a").live == 0; at_call++)
		ck_assert(!lived(&t, id, at_call));
	r = run_repository(&t, "a");
	ok(&t.f, repository_snapshots(r, false, fence, NULL, r, &t.f.e));
	repository_close(r);
	id = retry(&t);
	ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	/* The next attempt finds the one that counts. */
	ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
	ck_assert_int_eq(run_do(&t, retry(&t)), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, takes_and_records);
	tcase_add_test(tc, a_run_done_again_takes_nothing);
	tcase_add_test(tc, policies_lock);
	tcase_add_test(tc, its_own_folders_are_left_out);
	tcase_add_test(tc, regions_are_told_by_what_they_are);
	tcase_add_test(tc, every_source_is_told_of);
	tcase_add_test(tc, what_cannot_be_read_makes_it_partial);
	tcase_add_test(tc, an_unreachable_region_is_named);
	tcase_add_test(tc, killed_anywhere_it_takes_one_snapshot);
	tcase_add_test(tc, what_a_fenced_session_published_was_not_made);
}

CHECK_MAIN("service/step_snapshot", cases)
