/* The step "replicate", between folders, without a daemon. */
#include "storage/replicate.h"

#include <pthread.h>

#include "tests/support/check_main.h"
#include "tests/support/run_frame.h"

/*
 * Where two copyings meet: each waits until the other is under way, as long as
 * a test may wait for anything.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t met;
	int wanted; /* 0: nobody waits */
	int there;
	bool failed;
} meeting = { .lock = PTHREAD_MUTEX_INITIALIZER,
	      .met = PTHREAD_COND_INITIALIZER };

static void meet(void)
{
	struct timespec until;

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &until), 0);
	until.tv_sec += 300;
	(void)pthread_mutex_lock(&meeting.lock);
	meeting.there++;
	(void)pthread_cond_broadcast(&meeting.met);
	while (meeting.there < meeting.wanted && !meeting.failed)
		meeting.failed = pthread_cond_timedwait(&meeting.met,
							&meeting.lock,
							&until) != 0;
	(void)pthread_mutex_unlock(&meeting.lock);
}

int __real_replicate_run(struct repository *from, struct repository *to,
			 const struct replicate_options *o,
			 struct replicate_result *ret, struct err *e);
int __wrap_replicate_run(struct repository *from, struct repository *to,
			 const struct replicate_options *o,
			 struct replicate_result *ret, struct err *e);
int __wrap_replicate_run(struct repository *from, struct repository *to,
			 const struct replicate_options *o,
			 struct replicate_result *ret, struct err *e)
{
	meet();
	return __real_replicate_run(from, to, o, ret, e);
}

/* Make <root>/name a region of the repository. */
static void settle(struct run_frame *t, const char *name)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *from = NULL;
	CLEANUP(store_close) struct store *to = NULL;

	ok(&t->f, keyring_credential_key_file(run_path(t, "keys/main.key"),
					      &key, &t->f.e));
	ok(&t->f, store_open(run_path(t, "a"), false, &from, &t->f.e));
	ok(&t->f, store_open(run_path(t, name), true, &to, &t->f.e));
	ok(&t->f, replicate_settle(from, to, key, &t->f.e));
}

/* Regions a, b and c, of which b and c are copied to. */
static void begin(struct run_frame *t)
{
	char spec[4 * SCRATCH_PATH];

	run_open(t);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\"},"
		       "{\"name\":\"c\",\"url\":\"file://%s\"}]}",
		       run_path(t, "a"), run_path(t, "b"), run_path(t, "c"));
	run_apply(t, "Repository", "main", NULL, spec);
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"b\",\"c\"],\"rpo\":\"26h\"}");
	settle(t, "b");
}

static int64_t rows(struct run_frame *t, const char *region, const char *state)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM run_steps WHERE step = "
		       "'replicate' AND region = '%s' AND state = '%s'",
		       region, state);
	return frame_count(&t->f, sql);
}

START_TEST(every_region_gets_it)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	settle(&t, "c");
	meeting.wanted = 2; /* at once: else the first waits in vain */
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert(!meeting.failed);
	meeting.wanted = 0;
	ck_assert_int_eq(run_counts(&t, "b").live, 1);
	ck_assert_int_eq(run_counts(&t, "c").live, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM replicas "
					   "WHERE state = 'complete'"),
			 3);
	ck_assert_int_eq(rows(&t, "b", "succeeded"), 1);
	ck_assert_int_eq(rows(&t, "c", "succeeded"), 1);
	ck_assert_int_eq(
		frame_count(&t.f,
			    "SELECT count(*) FROM run_steps WHERE region IN "
			    "('b', 'c') AND details ->> '$.missing' = 0 AND "
			    "details ->> '$.copied' = 1 AND details ->> "
			    "'$.rpo_seconds' = 93600 AND NOT details ->> "
			    "'$.late'"),
		2);
}
END_TEST

static void move(struct run_frame *t, const char *from, const char *to)
{
	ck_assert_int_eq(rename(run_path(t, from), run_path(t, to)), 0);
}

/* What the last run says of region b. */
static bool told(struct run_frame *t, const char *what)
{
	char sql[400];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM (SELECT details AS d FROM "
		       "run_steps WHERE step = 'replicate' AND region = 'b' "
		       "ORDER BY run DESC LIMIT 1) WHERE %s",
		       what);
	return frame_count(&t->f, sql) == 1;
}

#define LAG "d ->> '$.lag_seconds'"

/* By the source that is the furthest behind; one that it never had has no
 * lag.  What another has is new each time. */
START_TEST(a_region_is_late_when_what_it_has_is_old)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[4 * SCRATCH_PATH];

	begin(&t);
	settle(&t, "c");
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\"]}",
		       run_path(&t, "keys"));
	run_apply(&t, "Source", "more", "{\"tier\":\"gold\"}", spec);
	move(&t, "web", "gone");
	(void)run_do(&t, run_attempt(&t, 0));
	ck_assert(told(&t, "d ->> '$.late' AND " LAG " IS NULL"));
	move(&t, "gone", "web");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert(told(&t, "NOT d ->> '$.late' AND " LAG " < 3600"));
	move(&t, "web", "gone");
	run_clock(&t, 1700000000 + 86400);
	(void)run_do(&t, run_attempt(&t, 0));
	ck_assert(told(&t, "NOT d ->> '$.late' AND " LAG " BETWEEN 80000 AND "
			   "90000"));
	run_clock(&t, 1700000000 + 2 * 86400);
	(void)run_do(&t, run_attempt(&t, 0));
	ck_assert(told(&t, "d ->> '$.late' AND " LAG " BETWEEN 160000 AND "
			   "180000"));
}
END_TEST

/* Nobody asks for how far behind it is. */
START_TEST(without_a_target_no_region_is_late)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	settle(&t, "c");
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"b\",\"c\"]}");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert(told(&t, "d ->> '$.late' IS NULL AND d ->> '$.rpo_seconds' "
			   "IS NULL AND " LAG " < 3600"));
}
END_TEST

/* One region away: the other is served, and the occurrence is partial. */
START_TEST(a_region_that_is_away_catches_up)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "b").live, 1);
	ck_assert_int_eq(rows(&t, "b", "succeeded"), 1);
	ck_assert_int_eq(rows(&t, "c", "failed"), 1);
	settle(&t, "c");
	run_clock(&t, 1700086400);
	run_file(&t, "web/two", "two\n");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "b").live, 2);
	ck_assert_int_eq(run_counts(&t, "c").live, 2);
}
END_TEST

START_TEST(nothing_is_made_by_itself)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(mkdir(run_path(&t, "c"), 0700), 0);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_PARTIAL);
	ck_assert_int_ne(access(run_path(&t, "c/config"), F_OK), 0);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE region "
				  "= 'c' AND message LIKE '%no region at%'"),
		1);
}
END_TEST

static int see_lock(void *arg, struct repository_snapshot *s,
		    struct err *e UNUSED)
{
	int64_t *days = arg;

	*days = s->locked ? instant_ms_between(s->received, s->locked_until) /
				    86400000
			  : 0;
	return 0;
}

/* For how many days the only snapshot of a region is locked there. */
static int64_t locked(struct run_frame *t, const char *region)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	int64_t days = -1;

	ok(&t->f,
	   repository_snapshots(r, false, see_lock, NULL, &days, &t->f.e));
	return days;
}

/* A region's own policy, longer or shorter, or without a lock of its own. */
static void lock_apart(struct run_frame *t, const char *a)
{
	char spec[5 * SCRATCH_PATH];

	run_apply(t, "Policy", "gold", NULL, "{\"lock\":\"7d\"}");
	run_apply(t, "Policy", "archive", NULL, "{\"lock\":\"400d\"}");
	run_apply(t, "Policy", "warm", NULL, "{\"lock\":\"2d\"}");
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"%s},"
		       "{\"name\":\"b\",\"url\":\"file://%s\","
		       "\"policy\":\"archive\"},"
		       "{\"name\":\"c\",\"url\":\"file://%s\","
		       "\"policy\":\"warm\"}]}",
		       run_path(t, "a"), a, run_path(t, "b"), run_path(t, "c"));
	run_apply(t, "Repository", "main", NULL, spec);
}

START_TEST(each_region_locks_by_its_own_policy)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	settle(&t, "c");
	lock_apart(&t, "");
	for (int i = 0; i < 2; i++) {
		const int64_t id = run_attempt(&t, 0);

		ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
		(void)end_run(&t.f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
			      CATALOG_SUCCEEDED);
		run_clock(&t, 1700086400);
		ck_assert_int_eq(locked(&t, "a"), 7);
		ck_assert_int_eq(locked(&t, "b"), 400);
		ck_assert_int_eq(locked(&t, "c"), 2);
	}
}
END_TEST

/* The region that runs write to as well. */
START_TEST(the_primary_locks_by_its_own_policy)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	settle(&t, "c");
	lock_apart(&t, ",\"policy\":\"warm\"");
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	ck_assert_int_eq(locked(&t, "a"), 2);
	ck_assert_int_eq(locked(&t, "b"), 400);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, every_region_gets_it);
	tcase_add_test(tc, a_region_is_late_when_what_it_has_is_old);
	tcase_add_test(tc, without_a_target_no_region_is_late);
	tcase_add_test(tc, a_region_that_is_away_catches_up);
	tcase_add_test(tc, nothing_is_made_by_itself);
	tcase_add_test(tc, each_region_locks_by_its_own_policy);
	tcase_add_test(tc, the_primary_locks_by_its_own_policy);
}

CHECK_MAIN("service/step_replicate", cases)
