/* Occurrences, runs, claims, endings, accounts, the clock. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

static int see_occurrence(void *arg, const struct catalog_occurrence *o,
			  struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%" PRId64 ":%s", o->at.sec,
		       catalog_occurrence_state_name(o->state));
	return see(arg, text);
}

static int see_run(void *arg, const struct catalog_run *r, struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%" PRId64 ":%s", r->attempt,
		       catalog_run_state_name(r->state));
	return see(arg, text);
}

static int copy_occurrence(void *arg, const struct catalog_occurrence *o,
			   struct err *e)
{
	(void)e;
	*(struct catalog_occurrence *)arg = *o;
	return 0;
}

static struct catalog_occurrence get(struct frame *f, int64_t id)
{
	struct catalog_occurrence o = { .id = 0 };

	ck_assert_int_eq(
		catalog_occurrence_get(f->c, id, copy_occurrence, &o, &f->e),
		1);
	return o;
}

static struct seen list(struct frame *f,
			const struct catalog_occurrence_filter filter)
{
	struct seen s = { .n = 0 };

	ok(f, catalog_occurrences(f->c, &filter, see_occurrence, &s, &f->e));
	return s;
}

static struct seen runs(struct frame *f, const struct catalog_run_filter filter)
{
	struct seen s = { .n = 0 };

	ok(f, catalog_runs(f->c, &filter, see_run, &s, &f->e));
	return s;
}

START_TEST(noting_twice_is_noting_once)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_occurrence o = occurrence_at(100);
	int64_t first, second;

	frame_open(&f);
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &first, &f.e), 1);
	o.state = CATALOG_MISSED;
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &second, &f.e), 0);
	ck_assert_int_eq(first, second);
	ck_assert_int_eq(get(&f, first).state, CATALOG_DUE);
	o.schedule_uid = "u2";
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &second, &f.e), 1);
	ck_assert_int_ne(first, second);
	o.state = CATALOG_SUCCEEDED;
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &second, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_BUG);
}
END_TEST

START_TEST(one_that_was_missed_is_noted_with_its_lateness)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_occurrence o = occurrence_at(100);
	int64_t id;

	frame_open(&f);
	o.state = CATALOG_MISSED;
	o.reason = "the daemon was down";
	o.noted = at(165);
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &id, &f.e), 1);
	o = get(&f, id);
	ck_assert_int_eq(o.state, CATALOG_MISSED);
	ck_assert_int_eq(o.lateness_ms, 60000);
	ck_assert_int_eq(o.finished.sec, 165);
	ck_assert_int_eq(catalog_occurrence_end(f.c, id, CATALOG_SKIPPED, "x",
						at(200), &f.e),
			 0);
	ck_assert_int_eq(get(&f, id).state, CATALOG_MISSED);
}
END_TEST

/* Suspended, say, between its instant and the start that jitter gave it. */
START_TEST(what_ends_before_its_start_is_not_late)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_occurrence o = occurrence_at(100);
	int64_t id;

	frame_open(&f);
	o.jittered = at(900);
	o.noted = at(100);
	o.state = CATALOG_SKIPPED;
	o.reason = "suspended";
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &id, &f.e), 1);
	ck_assert_int_eq(get(&f, id).lateness_ms, 0);
	o.at = at(200);
	o.state = CATALOG_DUE;
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &id, &f.e), 1);
	ck_assert_int_eq(catalog_occurrence_end(f.c, id, CATALOG_SKIPPED,
						"suspended", at(300), &f.e),
			 1);
	ck_assert_int_eq(get(&f, id).lateness_ms, 0);
}
END_TEST

START_TEST(one_that_ends_takes_its_next_attempt_along)
{
	CLEANUP(frame_done) struct frame f;
	int64_t id, run;

	frame_open(&f);
	id = note_due(&f, 100);
	run = queue_run(&f, id, 106);
	ck_assert_int_eq(catalog_occurrence_end(f.c, id, CATALOG_SKIPPED, "x",
						at(107), &f.e),
			 1);
	ck_assert_int_eq(get(&f, id).state, CATALOG_SKIPPED);
	ck_assert_int_eq(claim_run(&f, run, 108), CATALOG_NOT_QUEUED);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM runs WHERE "
					 "state = 'cancelled' AND message = "
					 "'x' AND finished_us = 107000000"),
			 1);
}
END_TEST

START_TEST(a_run_takes_its_occurrence_through_to_the_end)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_occurrence o;
	int64_t id, run;

	frame_open(&f);
	id = note_due(&f, 100);
	run = queue_run(&f, id, 106);
	ck_assert_int_eq(claim_run(&f, run, 108), CATALOG_CLAIMED);
	/* While a run lives the occurrence cannot be ended aside of it. */
	ck_assert_int_eq(catalog_occurrence_end(f.c, id, CATALOG_SKIPPED, "x",
						at(109), &f.e),
			 0);
	ck_assert_int_eq(claim_run(&f, run, 108), CATALOG_NOT_QUEUED);
	o = get(&f, id);
	ck_assert_int_eq(o.state, CATALOG_RUNNING);
	ck_assert_int_eq(o.lateness_ms, 3000);
	ck_assert_int_eq(
		end_run(&f, run, CATALOG_RUN_PARTIAL, 120, CATALOG_PARTIAL), 1);
	ck_assert_int_eq(
		end_run(&f, run, CATALOG_RUN_FAILED, 121, CATALOG_FAILED), 0);
	o = get(&f, id);
	ck_assert_int_eq(o.state, CATALOG_PARTIAL);
	ck_assert_int_eq(o.finished.sec, 120);
	ck_assert_int_eq(o.lateness_ms, 3000);
}
END_TEST

START_TEST(a_retry_is_another_run_of_the_same_occurrence)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_run_end end = { .state = CATALOG_RUN_FAILED,
				       .message = "no route",
				       .now = at(120),
				       .retry_at = at(180),
				       .outcome = CATALOG_FAILED };
	int64_t id, first;

	frame_open(&f);
	id = note_due(&f, 100);
	first = queue_run(&f, id, 106);
	ck_assert_int_eq(claim_run(&f, first, 108), CATALOG_CLAIMED);
	end.run = first;
	ck_assert_int_eq(catalog_run_end(f.c, &end, &f.e), 1);
	ck_assert_int_eq(get(&f, id).state, CATALOG_RUNNING);
	ck_assert_str_eq(
		runs(&f, (struct catalog_run_filter){ .occurrence = id }).text,
		"2:queued 1:failed");
	ck_assert_int_eq(claim_run(&f, first + 1, 150), CATALOG_NOT_YET);
	ck_assert_int_eq(claim_run(&f, first + 1, 180), CATALOG_CLAIMED);
	ck_assert_int_eq(end_run(&f, first + 1, CATALOG_RUN_SUCCEEDED, 190,
				 CATALOG_SUCCEEDED),
			 1);
	ck_assert_int_eq(get(&f, id).state, CATALOG_SUCCEEDED);
	ck_assert_int_eq(get(&f, id).started.sec, 108);
}
END_TEST

START_TEST(an_occurrence_has_one_live_run_and_none_after_its_end)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_run r = { .queued = at(1), .kind = "Schedule" };
	int64_t run, other;

	frame_open(&f);
	r.occurrence = note_due(&f, 100);
	run = queue_run(&f, r.occurrence, 106);
	ck_assert_int_eq(catalog_run_queue(f.c, &r, &other, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_EXISTS);
	(void)end_run(&f, run, CATALOG_RUN_FAILED, 110, CATALOG_FAILED);
	ck_assert_int_eq(catalog_run_queue(f.c, &r, &other, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_USAGE);
	r.occurrence = 999;
	ck_assert_int_eq(catalog_run_queue(f.c, &r, &other, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(claims_keep_within_their_limits)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_run r = { .kind = "Schedule", .queued = at(1) };
	struct catalog_claim k = { .now = at(2), .host = "h1" };
	enum catalog_claim_result got;
	int64_t ids[4];

	frame_open(&f);
	for (int i = 0; i < 4; i++) {
		r.repository = i < 3 ? "main" : "other";
		r.schedule_uid = i < 2 ? "u1" : "u2";
		ok(&f, catalog_run_queue(f.c, &r, &ids[i], &f.e));
	}
	k.repository_max = 2;
	k.host_max = 3;
	k.schedule_max = 1;
	k.run = ids[0];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
	k.run = ids[1];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_SCHEDULE_BUSY);
	k.schedule_max = 2;
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
	k.run = ids[2];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_REPOSITORY_BUSY);
	k.repository_max = 0;
	k.host_max = 2;
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_HOST_BUSY);
	/* Another host has room of its own. */
	k.host = "h2";
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
	k.run = 12345;
	ck_assert_int_eq(catalog_run_claim(f.c, &k, &got, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(maintenance_takes_what_room_others_leave)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_run r = { .queued = at(1), .repository = "main" };
	struct catalog_claim k = { .now = at(2),
				   .host = "h1",
				   .repository_max = 1,
				   .host_max = 2,
				   .schedule_max = 1 };
	enum catalog_claim_result got;
	int64_t ids[5];
	static const char *const kinds[] = { "Maintenance", "Schedule",
					     "Maintenance", "Schedule",
					     "Maintenance" };

	frame_open(&f);
	for (int i = 0; i < 5; i++) {
		r.kind = kinds[i];
		r.schedule_uid = (const char *[]){ "u0", "u1", "u2", "u3",
						   "u4" }[i];
		if (i == 3)
			r.repository = "other";
		ok(&f, catalog_run_queue(f.c, &r, &ids[i], &f.e));
	}
	/* It runs, and keeps no snapshot waiting. */
	k.run = ids[0];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
	k.run = ids[1];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
	/* Another one waits for both: in the repository, and on the host. */
	k.run = ids[2];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_REPOSITORY_BUSY);
	k.run = ids[4];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_HOST_BUSY);
	k.run = ids[3];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
	(void)end_run(&f, ids[0], CATALOG_RUN_SUCCEEDED, 3, CATALOG_SUCCEEDED);
	(void)end_run(&f, ids[1], CATALOG_RUN_SUCCEEDED, 3, CATALOG_SUCCEEDED);
	k.run = ids[2];
	ok(&f, catalog_run_claim(f.c, &k, &got, &f.e));
	ck_assert_int_eq(got, CATALOG_CLAIMED);
}
END_TEST

/* How many of the runs this process got; -1 when something failed. */
static int claim_all(const char *path, int64_t n)
{
	struct catalog_claim k = { .now = at(5), .host = "h", .host_max = 10 };
	struct catalog *c = NULL;
	enum catalog_claim_result got;
	struct err e;
	int mine = 0;

	if (catalog_open(path, &c, &e) < 0)
		return -1;
	for (k.run = 1; k.run <= n; k.run++) {
		if (catalog_run_claim(c, &k, &got, &e) < 0)
			return -1;
		mine += got == CATALOG_CLAIMED;
	}
	catalog_close(c);
	return mine;
}

START_TEST(two_processes_never_claim_the_same_run)
{
	CLEANUP(frame_done) struct frame f;
	pid_t pids[2];
	int total = 0;

	frame_open(&f);
	for (int i = 0; i < 40; i++)
		(void)queue_run(&f, 0, 1);
	catalog_close(f.c);
	f.c = NULL;
	for (int i = 0; i < 2; i++) {
		pids[i] = check_fork_child();
		if (pids[i] == 0)
			_exit(claim_all(f.path, 40) & 0xff);
	}
	for (int i = 0; i < 2; i++) {
		int status;

		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 255);
		total += WEXITSTATUS(status);
	}
	/* The host's limit holds over both, too. */
	ck_assert_int_eq(total, 10);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM runs WHERE "
					 "state = 'running'"),
			 10);
}
END_TEST

static int alive_if_pid_8(void *arg, const struct catalog_run *r, struct err *e)
{
	(void)arg;
	(void)e;
	return r->pid == 8;
}

START_TEST(runs_of_the_dead_are_interrupted_and_their_occurrences_found)
{
	CLEANUP(frame_done) struct frame f;
	int64_t id, dead, living;

	frame_open(&f);
	id = note_due(&f, 100);
	dead = queue_run(&f, id, 100);
	living = queue_run(&f, note_due(&f, 200), 100);
	(void)claim_run(&f, dead, 110);
	(void)claim_run(&f, living, 110);
	ck_assert_int_eq(catalog_run_process(f.c, living, 8, 55, &f.e), 1);
	ck_assert_int_eq(
		list(&f, (struct catalog_occurrence_filter){ .orphaned = true })
			.n,
		0);
	ok(&f, catalog_runs_interrupt(f.c, "h1", alive_if_pid_8, NULL, at(300),
				      &f.e));
	ck_assert_str_eq(
		runs(&f, (struct catalog_run_filter){ .limit = 0 }).text,
		"1:running 1:interrupted");
	ck_assert_str_eq(
		list(&f, (struct catalog_occurrence_filter){ .orphaned = true })
			.text,
		"100:running");
	/* Another attempt, or the end: both are possible. */
	(void)queue_run(&f, id, 301);
	ck_assert_int_eq(
		list(&f, (struct catalog_occurrence_filter){ .orphaned = true })
			.n,
		0);
	ok(&f, catalog_runs_interrupt(f.c, "h2", NULL, NULL, at(300), &f.e));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM runs WHERE "
					 "state = 'interrupted'"),
			 1);
	ok(&f, catalog_runs_interrupt(f.c, "h1", NULL, NULL, at(300), &f.e));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM runs WHERE "
					 "state = 'interrupted'"),
			 2);
}
END_TEST

START_TEST(cancelling_depends_on_how_far_it_is)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 150);
	int64_t id, run;

	frame_open(&f);
	id = note_due(&f, 100);
	run = queue_run(&f, id, 100);
	ck_assert_int_eq(catalog_run_cancel(f.c, run, &who, &f.e), 1);
	ck_assert_int_eq(get(&f, id).state, CATALOG_SKIPPED);
	ck_assert_int_eq(catalog_run_cancel(f.c, run, &who, &f.e), 0);
	id = note_due(&f, 200);
	run = queue_run(&f, id, 200);
	(void)claim_run(&f, run, 210);
	ck_assert_int_eq(catalog_run_cancel(f.c, run, &who, &f.e), 2);
	ck_assert_int_eq(get(&f, id).state, CATALOG_RUNNING);
	ck_assert_int_eq(frame_count(&f, "SELECT cancel_asked_us FROM runs "
					 "WHERE state = 'running'"),
			 150000000);
	ck_assert_int_eq(catalog_run_cancel(f.c, 777, &who, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit WHERE "
					 "action = 'run.cancel'"),
			 2);
}
END_TEST

START_TEST(a_ledger_goes_back_with_its_clock)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_account account = { 0 };
	struct catalog_occurrence o = occurrence_at(900);
	uint64_t forgotten = 0;
	int64_t id, run;

	frame_open(&f);
	o.state = CATALOG_SUPERSEDED;
	o.noted = at(950);
	(void)note_due(&f, 100);
	ok(&f, catalog_occurrence_note(f.c, &o, &id, &f.e));
	id = note_due(&f, 1000);
	run = queue_run(&f, id, 1000);
	ck_assert_int_eq(claim_run(&f, run, 1000), CATALOG_CLAIMED);
	ck_assert_int_eq(catalog_run_end(f.c,
					 &(const struct catalog_run_end){
						 .run = run,
						 .state = CATALOG_RUN_FAILED,
						 .message = "m",
						 .now = at(1001),
						 .retry_at = at(1061),
						 .reason = "r" },
					 &f.e),
			 1);
	ok(&f, catalog_account_set(f.c, "u1", at(1000), &f.e));
	ok(&f, catalog_ledger_rewind(f.c, at(500), &forgotten, &f.e));
	ck_assert_uint_eq(forgotten, 1);
	ck_assert_str_eq(
		list(&f,
		     (struct catalog_occurrence_filter){ .oldest_first = true })
			.text,
		"100:due 1000:running");
	ck_assert_int_eq(catalog_account_get(f.c, "u1", &account, &f.e), 1);
	ck_assert_int_eq(account.accounted.sec, 500);
	ck_assert_int_eq(claim_run(&f, run + 1, 500), CATALOG_CLAIMED);
	/* What is forgotten can be noted again. */
	o.state = CATALOG_DUE;
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &id, &f.e), 1);
}
END_TEST

START_TEST(lists_filter_and_page)
{
	CLEANUP(frame_done) struct frame f;
	int64_t ids[5];

	frame_open(&f);
	/* Not in the order of their instants. */
	for (int i = 0; i < 5; i++)
		ids[i] = note_due(&f, (i * 3) % 5 * 100 + 100);
	ck_assert_int_eq(catalog_occurrence_end(f.c, ids[1], CATALOG_SKIPPED,
						"x", at(600), &f.e),
			 1);
	ck_assert_str_eq(
		list(&f, (struct catalog_occurrence_filter){ .limit = 2 }).text,
		"500:due 400:skipped");
	ck_assert_str_eq(list(&f,
			      (struct catalog_occurrence_filter){
				      .limit = 2, .after_id = ids[1] })
				 .text,
			 "300:due 200:due");
	ck_assert_str_eq(
		list(&f,
		     (struct catalog_occurrence_filter){ .oldest_first = true,
							 .after_id = ids[2] })
			.text,
		"300:due 400:skipped 500:due");
	ck_assert_str_eq(
		list(&f, (struct catalog_occurrence_filter){ .from = at(200),
							     .to = at(400) })
			.text,
		"300:due 200:due");
	ck_assert_str_eq(list(&f,
			      (struct catalog_occurrence_filter){
				      .states = 1U << CATALOG_SKIPPED |
						1U << CATALOG_FAILED })
				 .text,
			 "400:skipped");
	ck_assert_int_eq(
		list(&f,
		     (struct catalog_occurrence_filter){ .schedule = "weekly" })
			.n,
		0);
	ck_assert_int_eq(
		list(&f,
		     (struct catalog_occurrence_filter){ .schedule = "nightly",
							 .schedule_uid = "u1",
							 .repository = "main" })
			.n,
		5);
}
END_TEST

START_TEST(runs_are_found_by_what_they_name)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_run r = { .kind = "Drill",
				 .schedule = "dr",
				 .repository = "main",
				 .sources_json = "[\"mail\"]",
				 .not_before = at(50),
				 .queued = at(10) };
	int64_t first, id;

	frame_open(&f);
	first = queue_run(&f, 0, 20);
	ok(&f, catalog_run_queue(f.c, &r, &id, &f.e));
	r.not_before = at(0);
	ok(&f, catalog_run_queue(f.c, &r, &id, &f.e));
	ck_assert_int_eq(
		runs(&f, (struct catalog_run_filter){ .source = "db" }).n, 1);
	ck_assert_int_eq(
		runs(&f, (struct catalog_run_filter){ .source = "mail" }).n, 2);
	ck_assert_int_eq(
		runs(&f, (struct catalog_run_filter){ .kind = "Drill",
						      .schedule = "dr",
						      .repository = "main" })
			.n,
		2);
	ck_assert_int_eq(
		runs(&f, (struct catalog_run_filter){ .from = at(15) }).n, 1);
	ck_assert_int_eq(
		runs(&f, (struct catalog_run_filter){ .after_id = first + 1 })
			.n,
		1);
	/* The queue's order: what may start first. */
	ck_assert_int_eq(
		runs(&f, (struct catalog_run_filter){ .oldest_first = true,
						      .after_id = id })
			.n,
		1);
}
END_TEST

static int see_step(void *arg, const struct catalog_step *s, struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%s@%s/%s:%s", s->step, s->source,
		       s->region, s->state);
	return see(arg, text);
}

START_TEST(steps_are_replaced_in_place)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_step s = { .source = "web",
				  .step = "snapshot",
				  .state = "running" };
	struct seen seen = { .n = 0 };

	frame_open(&f);
	s.run = queue_run(&f, 0, 1);
	ok(&f, catalog_step_put(f.c, &s, &f.e));
	s.step = "replicate";
	s.region = "us";
	ok(&f, catalog_step_put(f.c, &s, &f.e));
	s.step = "snapshot";
	s.region = NULL;
	s.state = "succeeded";
	ok(&f, catalog_step_put(f.c, &s, &f.e));
	ok(&f, catalog_steps(f.c, s.run, see_step, &seen, &f.e));
	ck_assert_str_eq(seen.text, "snapshot@web/:succeeded "
				    "replicate@web/us:running");
	s.state = "nonsense";
	ck_assert_int_eq(catalog_step_put(f.c, &s, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_USAGE);
}
END_TEST

START_TEST(an_account_only_moves_forward)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_account a;

	frame_open(&f);
	ok(&f, catalog_account_set(f.c, "u1", at(100), &f.e));
	ok(&f, catalog_account_set(f.c, "u1", at(300), &f.e));
	ok(&f, catalog_account_set(f.c, "u1", at(200), &f.e));
	ck_assert_int_eq(catalog_account_get(f.c, "u1", &a, &f.e), 1);
	ck_assert_int_eq(a.accounted.sec, 300);
	ck_assert_int_eq(a.applied.sec, 100);
}
END_TEST

START_TEST(a_suspicion_stays_until_it_is_confirmed)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("root", 900);
	struct catalog_clock k = { .wall = at(100),
				   .boot_ms = 5,
				   .boot_id = "b1" };

	frame_open(&f);
	ck_assert_int_eq(catalog_clock_get(f.c, &k, &f.e), 0);
	ok(&f, catalog_clock_put(f.c, &k, &f.e));
	ck_assert_int_eq(catalog_clock_confirm(f.c, &who, &f.e), 0);
	k.suspicious = at(200);
	k.jump_ms = 400000;
	ok(&f, catalog_clock_put(f.c, &k, &f.e));
	k.suspicious = at(0);
	k.jump_ms = 0;
	k.wall = at(300);
	ok(&f, catalog_clock_put(f.c, &k, &f.e));
	ck_assert_int_eq(catalog_clock_get(f.c, &k, &f.e), 1);
	ck_assert_int_eq(k.wall.sec, 300);
	ck_assert_int_eq(k.suspicious.sec, 200);
	ck_assert_int_eq(k.jump_ms, 400000);
	ck_assert_int_eq(catalog_clock_confirm(f.c, &who, &f.e), 1);
	ck_assert_int_eq(catalog_clock_get(f.c, &k, &f.e), 1);
	ck_assert_int_eq(k.suspicious.sec, 0);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit WHERE "
					 "action LIKE 'clock.%'"),
			 2);
}
END_TEST

START_TEST(the_states_have_names)
{
	for (int i = 0; i < CATALOG_OCCURRENCE_STATES; i++)
		ck_assert_int_eq(
			catalog_occurrence_state_named(
				catalog_occurrence_state_name(
					(enum catalog_occurrence_state)i)),
			i);
	for (int i = 0; i < CATALOG_RUN_STATES; i++)
		ck_assert_int_eq(catalog_run_state_named(catalog_run_state_name(
					 (enum catalog_run_state)i)),
				 i);
	ck_assert_int_eq(catalog_run_state_named("due"), -1);
	ck_assert_int_eq(catalog_occurrence_state_named(""), -1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, noting_twice_is_noting_once);
	tcase_add_test(tc, one_that_was_missed_is_noted_with_its_lateness);
	tcase_add_test(tc, what_ends_before_its_start_is_not_late);
	tcase_add_test(tc, one_that_ends_takes_its_next_attempt_along);
	tcase_add_test(tc, a_run_takes_its_occurrence_through_to_the_end);
	tcase_add_test(tc, a_retry_is_another_run_of_the_same_occurrence);
	tcase_add_test(tc,
		       an_occurrence_has_one_live_run_and_none_after_its_end);
	tcase_add_test(tc, claims_keep_within_their_limits);
	tcase_add_test(tc, maintenance_takes_what_room_others_leave);
	tcase_add_test(tc, two_processes_never_claim_the_same_run);
	tcase_add_test(
		tc,
		runs_of_the_dead_are_interrupted_and_their_occurrences_found);
	tcase_add_test(tc, cancelling_depends_on_how_far_it_is);
	tcase_add_test(tc, a_ledger_goes_back_with_its_clock);
	tcase_add_test(tc, lists_filter_and_page);
	tcase_add_test(tc, runs_are_found_by_what_they_name);
	tcase_add_test(tc, steps_are_replaced_in_place);
	tcase_add_test(tc, an_account_only_moves_forward);
	tcase_add_test(tc, a_suspicion_stays_until_it_is_confirmed);
	tcase_add_test(tc, the_states_have_names);
}
CHECK_MAIN("service/catalog ledger", cases)
