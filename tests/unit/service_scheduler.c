/* The scheduler's ticks, with clocks that are given and without processes. */
#include "service/scheduler.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

/* 2023-11-14T22:13:20Z, and a process id that cannot be anybody's. */
#define START	1700000000
#define NOBODY	INT32_MAX
#define MINUTES "* * * * *"

/* ---- A supervisor without children --------------------------------------- */

static struct {
	int64_t runs[64];
	size_t n;
} children;

int __wrap_supervisor_start(struct supervisor *s, int64_t run, pid_t *ret_pid,
			    int64_t *ret_start, struct err *e);
void __wrap_supervisor_go(struct supervisor *s, int64_t run, bool go);
size_t __wrap_supervisor_count(const struct supervisor *s);
bool __wrap_supervisor_has(const struct supervisor *s, int64_t run);

int __wrap_supervisor_start(struct supervisor *s UNUSED, int64_t run,
			    pid_t *ret_pid, int64_t *ret_start,
			    struct err *e UNUSED)
{
	ck_assert_uint_lt(children.n, 64);
	children.runs[children.n++] = run;
	*ret_pid = NOBODY;
	*ret_start = 1;
	return 0;
}

void __wrap_supervisor_go(struct supervisor *s UNUSED, int64_t run UNUSED,
			  bool go)
{
	ck_assert(go);
}

size_t __wrap_supervisor_count(const struct supervisor *s UNUSED)
{
	return children.n;
}

bool __wrap_supervisor_has(const struct supervisor *s UNUSED, int64_t run)
{
	for (size_t i = 0; i < children.n; i++)
		if (children.runs[i] == run)
			return true;
	return false;
}

/* ---- A world ------------------------------------------------------------- */

struct world {
	struct frame f;
	struct scheduler *s;
	const char *host, *boot_id;
	unsigned int host_max;
	int64_t now_s, boot_ms;
	struct instant next;
};

/* The daemon starts. */
static void begin(struct world *w)
{
	const struct scheduler_settings settings = {
		/* Never looked into: all that is asked of it is here. */
		.supervisor = (struct supervisor *)(void *)&children,
		.catalog = w->f.c,
		.host = w->host,
		.boot_id = w->boot_id,
		.host_max = w->host_max,
	};

	children.n = 0;
	scheduler_free(w->s);
	ok(&w->f, scheduler_new(&settings, &w->s, &w->f.e));
	ok(&w->f, scheduler_recover(w->s, at(w->now_s), w->boot_ms, &w->f.e));
}

static void apply(struct world *w, const char *kind, const char *name,
		  const char *spec)
{
	const struct catalog_document d = { .kind = kind,
					    .name = name,
					    .spec_json = spec };
	const struct catalog_actor who = by("tester", w->now_s);
	struct catalog_applied applied = { 0 };

	ok(&w->f, catalog_apply(w->f.c, &d, 1, &who, &applied, &w->f.e));
	catalog_applied_done(&applied, 1);
	/* When something is done follows from its uid: the same each time. */
	frame_sql(&w->f, "UPDATE resources SET uid = 'uid ' || id");
	if (w->s)
		scheduler_reload(w->s);
}

static void schedule(struct world *w, const char *name, const char *cron,
		     const char *more)
{
	char spec[512];

	(void)snprintf(spec, sizeof(spec),
		       "{\"cron\":\"%s\",\"sources\":{\"names\":[\"etc\"]},"
		       "\"repository\":\"main\"%s}",
		       cron, more);
	apply(w, "Schedule", name, spec);
}

static void drop_kind(struct world *w, const char *kind, const char *name)
{
	const struct catalog_actor who = by("tester", w->now_s);

	ok(&w->f, catalog_resource_delete(w->f.c, kind, name, &who, &w->f.e));
	scheduler_reload(w->s);
}

static void drop(struct world *w, const char *name)
{
	drop_kind(w, "Schedule", name);
}

static void repository_gc(struct world *w, int concurrency, const char *every)
{
	char spec[512];

	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":[{\"name\":\"a\","
		       "\"url\":\"file:///nowhere\"}],\"concurrency\":%d,"
		       "\"gc\":{\"every\":\"%s\"}}",
		       concurrency, every);
	apply(w, "Repository", "main", spec);
}

static void repository(struct world *w, int concurrency)
{
	repository_gc(w, concurrency, "0s");
}

static void open_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	frame_open(&w->f);
	w->host = "h1";
	w->boot_id = "0123456789abcdef";
	w->now_s = START;
	w->boot_ms = 5000;
	repository(w, 9);
	apply(w, "Source", "etc", "{\"type\":\"files\",\"paths\":[\"/etc\"]}");
	begin(w);
}

static void close_world(struct world *w)
{
	scheduler_free(w->s);
	frame_done(&w->f);
}
static inline void cleanup_close_world(struct world *w)
{
	close_world(w);
}

static void tick(struct world *w)
{
	ok(&w->f,
	   scheduler_tick(w->s, at(w->now_s), w->boot_ms, &w->next, &w->f.e));
}

/* So much time passes, by both clocks; then a tick. */
static void pass(struct world *w, int64_t seconds)
{
	w->now_s += seconds;
	w->boot_ms += seconds * 1000;
	tick(w);
}

/* A child tells how it ended, and nobody hears it. */
static void tell(struct world *w, int64_t run, const char *state)
{
	const struct catalog_step step = {
		.run = run,
		.step = "run",
		.source = "",
		.region = "",
		.message = strcmp(state, "succeeded") == 0 ? "" : "m",
		.state = state
	};

	ok(&w->f, catalog_step_put(w->f.c, &step, &w->f.e));
}

/* The oldest child ends; with a word about how, or killed without one. */
static void end_child(struct world *w, const char *state)
{
	struct supervisor_end end = { .exit_status = -1, .signal = 9 };

	ck_assert_uint_gt(children.n, 0);
	end.run = children.runs[0];
	if (state)
		tell(w, end.run, state);
	children.n--;
	memmove(children.runs, children.runs + 1,
		children.n * sizeof(children.runs[0]));
	ok(&w->f, scheduler_ended(w->s, &end, false, at(w->now_s), w->boot_ms,
				  &w->f.e));
}

static int see_occurrence(void *arg, const struct catalog_occurrence *o,
			  struct err *e UNUSED)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "%s:%s", o->schedule,
		       catalog_occurrence_state_name(o->state));
	if (o->reason[0])
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
			       "(%s)", o->reason);
	return see(arg, text);
}

/* "nightly:succeeded nightly:skipped(overlap)", the oldest first. */
static const char *ledger(struct world *w)
{
	static struct seen seen;
	const struct catalog_occurrence_filter filter = { .oldest_first =
								  true };

	memset(&seen, 0, sizeof(seen));
	ok(&w->f, catalog_occurrences(w->f.c, &filter, see_occurrence, &seen,
				      &w->f.e));
	return seen.text;
}

static int see_run(void *arg, const struct catalog_run *r, struct err *e UNUSED)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "%s:%s", r->schedule,
		       catalog_run_state_name(r->state));
	return see(arg, text);
}

static const char *runs(struct world *w)
{
	static struct seen seen;
	const struct catalog_run_filter filter = { .oldest_first = true };

	memset(&seen, 0, sizeof(seen));
	ok(&w->f, catalog_runs(w->f.c, &filter, see_run, &seen, &w->f.e));
	return seen.text;
}

/* ---- Retries ------------------------------------------------------------- */

/* An occurrence failed once and will be tried again. */
static void fail_once(struct world *w)
{
	open_world(w);
	schedule(w, "nightly", "14 22 * * *", "");
	tick(w);
	pass(w, 60);
	ck_assert_str_eq(ledger(w), "nightly:running");
	end_child(w, "failed");
	ck_assert_str_eq(ledger(w), "nightly:running");
	ck_assert_str_eq(runs(w), "nightly:failed nightly:queued");
}

START_TEST(a_retry_ends_with_its_schedule)
{
	CLEANUP(close_world) struct world w;

	fail_once(&w);
	drop(&w, "nightly");
	tick(&w);
	ck_assert_str_eq(ledger(&w),
			 "nightly:failed(the schedule was deleted)");
	ck_assert_str_eq(runs(&w), "nightly:failed nightly:cancelled");
}
END_TEST

START_TEST(a_retry_ends_when_it_is_suspended)
{
	CLEANUP(close_world) struct world w;

	fail_once(&w);
	schedule(&w, "nightly", "14 22 * * *", ",\"suspend\":true");
	tick(&w);
	ck_assert_str_eq(ledger(&w), "nightly:failed(suspended)");
	ck_assert_str_eq(runs(&w), "nightly:failed nightly:cancelled");
	schedule(&w, "nightly", "14 22 * * *", "");
	pass(&w, 200);
	ck_assert_str_eq(ledger(&w), "nightly:failed(suspended)");
}
END_TEST

/* The run goes on, and is not tried again when it fails. */
START_TEST(nothing_is_tried_again_without_its_schedule)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	schedule(&w, "nightly", "14 22 * * *", "");
	tick(&w);
	pass(&w, 60);
	drop(&w, "nightly");
	tick(&w);
	ck_assert_str_eq(ledger(&w), "nightly:running");
	end_child(&w, "failed");
	ck_assert_str_eq(ledger(&w), "nightly:failed(m)");
	ck_assert_str_eq(runs(&w), "nightly:failed");
}
END_TEST

/* ---- Turns --------------------------------------------------------------- */

static int64_t count_done(const struct world *w, const char *name)
{
	char select[120];

	(void)snprintf(select, sizeof(select),
		       "SELECT count(*) FROM runs WHERE schedule = '%s' AND "
		       "state = 'succeeded'",
		       name);
	return frame_count(&w->f, select);
}

/* One place, and runs that last longer than it takes to be due again. */
START_TEST(whoever_waited_longest_is_next)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	repository(&w, 1);
	schedule(&w, "a", MINUTES, ",\"overlap\":\"queue\"");
	schedule(&w, "b", MINUTES, ",\"overlap\":\"queue\"");
	schedule(&w, "c", MINUTES, ",\"overlap\":\"queue\"");
	tick(&w);
	for (int i = 0; i < 9; i++) {
		pass(&w, 70);
		ck_assert_uint_eq(children.n, 1);
		end_child(&w, "succeeded");
		/* The place is taken again at once. */
		tick(&w);
		ck_assert_uint_eq(children.n, 1);
	}
	ck_assert_int_eq(count_done(&w, "a"), 3);
	ck_assert_int_eq(count_done(&w, "b"), 3);
	ck_assert_int_eq(count_done(&w, "c"), 3);
}
END_TEST

/* ---- Maintenance of a repository ----------------------------------------- */

#define HOUR INT64_C(3600)
#define DAY  INT64_C(86400)

/* To the moment at which there is something to do. */
static void pass_to_next(struct world *w)
{
	pass(w, w->next.sec - w->now_s);
}

START_TEST(each_period_a_collection)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	repository_gc(&w, 9, "1h");
	tick(&w);
	ck_assert_str_eq(ledger(&w), "");
	ck_assert_int_le(w.next.sec, w.now_s + HOUR);
	pass_to_next(&w);
	ck_assert_str_eq(ledger(&w), "main:running");
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM runs WHERE "
					   "kind = 'Maintenance' AND "
					   "repository = 'main' AND sources = "
					   "'[]'"),
			 1);
	/* One at a time. */
	pass(&w, HOUR);
	ck_assert_str_eq(ledger(&w), "main:running main:skipped(overlap)");
	end_child(&w, "succeeded");
	pass_to_next(&w);
	end_child(&w, "failed");
	ck_assert_str_eq(ledger(&w), "main:succeeded main:skipped(overlap) "
				     "main:failed(m)");
	/* Nobody was there for a while: once for all of them. */
	w.now_s += 4 * HOUR;
	w.boot_ms += 4 * HOUR * 1000;
	begin(&w);
	tick(&w);
	ck_assert_uint_eq(children.n, 1);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM occurrences "
					   "WHERE state = 'superseded'"),
			 3);
}
END_TEST

START_TEST(what_was_never_expected_was_not_missed)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	/* An earlier program's, which knew of no such thing. */
	repository_gc(&w, 9, "1d");
	pass(&w, 0);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM accounts"), 1);
	frame_sql(&w.f, "DELETE FROM accounts");
	w.now_s += 100 * DAY;
	w.boot_ms += 100 * DAY * 1000;
	begin(&w);
	tick(&w);
	ck_assert_str_eq(ledger(&w), "");
	ck_assert_int_le(w.next.sec, w.now_s + DAY);
	pass_to_next(&w);
	ck_assert_str_eq(ledger(&w), "main:running");
}
END_TEST

START_TEST(turned_off_it_is_not_due)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	tick(&w);
	ck_assert_int_eq(w.next.sec, INT64_MAX);
	pass(&w, 40 * DAY);
	ck_assert_str_eq(ledger(&w), "");
	/* Turned on, it fires nothing of the time before. */
	repository_gc(&w, 9, "1d");
	tick(&w);
	ck_assert_str_eq(ledger(&w), "");
	ck_assert_int_le(w.next.sec, w.now_s + DAY);
	pass_to_next(&w);
	ck_assert_str_eq(ledger(&w), "main:running");
	repository_gc(&w, 9, "0s");
	tick(&w);
	end_child(&w, "succeeded");
	pass(&w, 40 * DAY);
	ck_assert_str_eq(ledger(&w), "main:succeeded");
}
END_TEST

START_TEST(snapshots_do_not_wait_for_a_collection)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	repository_gc(&w, 1, "1h");
	tick(&w);
	schedule(&w, "nightly", MINUTES, ",\"overlap\":\"queue\"");
	tick(&w);
	pass(&w, 60);
	ck_assert_uint_eq(children.n, 1);
	/* It waits for them … */
	pass(&w, HOUR);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM runs WHERE "
					   "kind = 'Maintenance'"),
			 0);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM occurrences "
					   "WHERE kind = 'Maintenance' AND "
					   "state = 'due'"),
			 1);
	/* … as whoever waited longest is next … */
	end_child(&w, "succeeded");
	tick(&w);
	for (int i = 0; i < 3 && children.n < 2; i++) {
		end_child(&w, "succeeded");
		tick(&w);
	}
	/* … and they do not wait for it. */
	ck_assert_uint_eq(children.n, 2);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM runs WHERE "
					   "kind = 'Maintenance' AND state = "
					   "'running'"),
			 1);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM runs WHERE "
					   "kind = 'Schedule' AND state = "
					   "'running'"),
			 1);
}
END_TEST

START_TEST(a_repository_that_goes_takes_what_waits_along)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	w.host_max = 1;
	begin(&w);
	repository_gc(&w, 9, "1h");
	tick(&w);
	schedule(&w, "nightly", MINUTES, ",\"overlap\":\"queue\"");
	tick(&w);
	pass(&w, 60);
	pass(&w, HOUR);
	drop(&w, "nightly");
	drop_kind(&w, "Repository", "main");
	tick(&w);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM occurrences "
					   "WHERE kind = 'Maintenance' AND "
					   "state = 'skipped' AND reason = "
					   "'the repository was deleted'"),
			 1);
}
END_TEST

/* ---- After an earlier daemon --------------------------------------------- */

START_TEST(a_dead_run_blocks_nobody_whatever_the_host_is_called)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	schedule(&w, "nightly", "14 22 * * *", "");
	tick(&w);
	pass(&w, 60);
	ck_assert_str_eq(runs(&w), "nightly:running");
	w.host = "h2";
	begin(&w);
	tick(&w);
	ck_assert_str_eq(runs(&w), "nightly:interrupted nightly:running");
	end_child(&w, "succeeded");
	ck_assert_str_eq(ledger(&w), "nightly:succeeded");
}
END_TEST

START_TEST(a_failure_that_nobody_saw_is_tried_again)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	schedule(&w, "nightly", "14 22 * * *", "");
	tick(&w);
	pass(&w, 60);
	tell(&w, children.runs[0], "failed");
	begin(&w);
	ck_assert_str_eq(ledger(&w), "nightly:running");
	ck_assert_str_eq(runs(&w), "nightly:failed nightly:queued");
	pass(&w, 90);
	end_child(&w, "succeeded");
	ck_assert_str_eq(ledger(&w), "nightly:succeeded");
}
END_TEST

/* Only what failed counts. */
START_TEST(interruptions_use_up_no_retries)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	schedule(&w, "nightly", "14 22 * * *", ",\"retries\":1");
	tick(&w);
	pass(&w, 60);
	for (int i = 0; i < 3; i++) {
		begin(&w);
		pass(&w, 1);
		ck_assert_uint_eq(children.n, 1);
	}
	end_child(&w, "failed");
	ck_assert_str_eq(ledger(&w), "nightly:running");
	pass(&w, 90);
	begin(&w);
	pass(&w, 1);
	end_child(&w, "failed");
	ck_assert_str_eq(ledger(&w), "nightly:failed(m)");
	ck_assert_str_eq(runs(&w), "nightly:interrupted nightly:interrupted "
				   "nightly:interrupted nightly:failed "
				   "nightly:interrupted nightly:failed");
}
END_TEST

/* One that brings the machine down is not done for ever. */
START_TEST(interruptions_end)
{
	CLEANUP(close_world) struct world w;

	open_world(&w);
	schedule(&w, "nightly", "14 22 * * *", ",\"retries\":0");
	tick(&w);
	pass(&w, 60);
	for (int i = 0; i < 5; i++) {
		ck_assert_str_eq(ledger(&w), "nightly:running");
		begin(&w);
		pass(&w, 1);
	}
	ck_assert_str_eq(ledger(&w), "nightly:failed(the daemon died)");
}
END_TEST

/* ---- A clock that jumps -------------------------------------------------- */

/* A schedule of each ten minutes whose runs succeed at once. */
static void open_tens(struct world *w, const char *more)
{
	open_world(w);
	schedule(w, "tens", "*/10 * * * *", more);
	tick(w);
}

/* So many ticks of ten minutes; each has its run. */
static void tens(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		pass(w, 600);
		ck_assert_msg(children.n == 1, "no run in round %d: %s", i,
			      ledger(w));
		end_child(w, "succeeded");
		tick(w);
		ck_assert_uint_eq(children.n, 0);
	}
}

static int64_t rows(const struct world *w)
{
	return frame_count(&w->f, "SELECT count(*) FROM occurrences");
}

static int64_t done(const struct world *w)
{
	return frame_count(&w->f, "SELECT count(*) FROM occurrences WHERE "
				  "state = 'succeeded'");
}

static void confirm(struct world *w)
{
	const struct catalog_actor who = by("root", w->now_s);

	ck_assert_int_eq(catalog_clock_confirm(w->f.c, &who, &w->f.e), 1);
	scheduler_reload(w->s);
}

/* The machine starts anew, and its clock shows that. */
static void boot(struct world *w, const char *boot_id, int64_t shift)
{
	w->boot_id = boot_id;
	w->boot_ms = 5000;
	w->now_s += shift;
	begin(w);
	tick(w);
}

enum { MONTH = 30 * 86400 };

START_TEST(a_jump_ahead_and_back_costs_nothing)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, "");
	tens(&w, 2);
	w.now_s += MONTH;
	tick(&w);
	ck_assert_int_eq(rows(&w), 2);
	/* The wish of the next tick is one of the wall clock. */
	ck_assert_int_gt(w.next.sec, w.now_s);
	ck_assert_int_le(w.next.sec, w.now_s + 600);
	/* Backups go on, also over a restart of the daemon. */
	tens(&w, 2);
	begin(&w);
	tens(&w, 2);
	w.now_s -= MONTH;
	tick(&w);
	confirm(&w);
	tens(&w, 3);
	ck_assert_int_eq(rows(&w), 9);
	ck_assert_int_eq(done(&w), 9);
}
END_TEST

START_TEST(a_jump_ahead_that_is_right_is_followed)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, "");
	tens(&w, 1);
	w.now_s += 7200;
	tick(&w);
	ck_assert_int_eq(rows(&w), 1);
	confirm(&w);
	tick(&w);
	/* What was due between: the newest is run, the others are told. */
	ck_assert_int_eq(rows(&w), 13);
	ck_assert_uint_eq(children.n, 1);
	end_child(&w, "succeeded");
	tens(&w, 3);
	ck_assert_int_eq(done(&w), 5);
}
END_TEST

/* Set back by mistake: backups go on; rightly: from then on, by that clock. */
START_TEST(a_jump_back_costs_nothing)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, "");
	tens(&w, 2);
	w.now_s -= MONTH;
	tens(&w, 3);
	ck_assert_int_eq(done(&w), 5);
	confirm(&w);
	tick(&w);
	tens(&w, 3);
	ck_assert_int_eq(done(&w), 8);
	ck_assert_int_eq(rows(&w), 8);
}
END_TEST

/* A clock that is wrong until the network is there. */
START_TEST(a_boot_in_the_future_is_taken_back)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, "");
	tens(&w, 2);
	boot(&w, "fedcba9876543210", MONTH);
	/* It cannot be told from a month off. */
	ck_assert_int_eq(rows(&w), 2 + MONTH / 600);
	ck_assert_uint_eq(children.n, 1);
	end_child(&w, "failed");
	w.now_s -= MONTH;
	pass(&w, 30);
	confirm(&w);
	tick(&w);
	/* The newest had a run; its next attempt is not a month away. */
	ck_assert_int_eq(rows(&w), 3);
	ck_assert_uint_eq(children.n, 1);
	end_child(&w, "succeeded");
	tens(&w, 5);
	ck_assert_int_eq(rows(&w), 8);
	ck_assert_int_eq(done(&w), 8);
	ck_assert_int_eq(frame_count(&w.f, "SELECT count(*) FROM audit WHERE "
					   "action = 'ledger.rewind'"),
			 1);
}
END_TEST

/* A machine without a clock of its own starts in 1970. */
START_TEST(a_boot_in_the_past_is_over_when_the_clock_is_set)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, "");
	tens(&w, 2);
	boot(&w, "fedcba9876543210", -w.now_s);
	tens(&w, 1);
	w.now_s = START + 3 * 600 + 5 * 3600;
	tick(&w);
	ck_assert_int_eq(rows(&w), 3 + 5 * 6);
	end_child(&w, "succeeded");
	tens(&w, 2);
	ck_assert_int_eq(done(&w), 6);
}
END_TEST

START_TEST(a_tick_writes_so_many_rows_only)
{
	CLEANUP(close_world) struct world w;
	int64_t before;

	open_tens(&w, ",\"catchUp\":\"none\"");
	before = rows(&w);
	boot(&w, "fedcba9876543210", INT64_C(75) * 365 * 86400);
	ck_assert_int_le(rows(&w) - before, 5000);
	ck_assert_int_gt(rows(&w) - before, 0);
	/* The next tick goes on at once … */
	ck_assert_int_le(w.next.sec, w.now_s);
	tick(&w);
	ck_assert_int_eq(rows(&w) - before, 10000);
	/* … unless the clock is set right before. */
	w.now_s -= INT64_C(75) * 365 * 86400;
	tick(&w);
	confirm(&w);
	tick(&w);
	ck_assert_int_eq(rows(&w), 0);
	tens(&w, 3);
}
END_TEST

START_TEST(what_is_applied_under_a_false_clock_is_due)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, ",\"suspend\":true");
	w.now_s += MONTH;
	tick(&w);
	schedule(&w, "tens", "*/10 * * * *", "");
	tick(&w);
	tens(&w, 2);
	w.now_s -= 2 * MONTH;
	tick(&w);
	drop(&w, "tens");
	schedule(&w, "tens", "*/10 * * * *", "");
	tick(&w);
	/* Applying fires nothing, whatever the clock said. */
	ck_assert_int_eq(rows(&w), 2);
	tens(&w, 2);
	ck_assert_int_eq(rows(&w), 4);
}
END_TEST

/* A failure under a false clock is tried again when it is time. */
START_TEST(retries_go_by_the_same_clock)
{
	CLEANUP(close_world) struct world w;

	open_tens(&w, "");
	pass(&w, 600);
	w.now_s += MONTH;
	end_child(&w, "failed");
	pass(&w, 90);
	ck_assert_uint_eq(children.n, 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_retry_ends_with_its_schedule);
	tcase_add_test(tc, a_retry_ends_when_it_is_suspended);
	tcase_add_test(tc, nothing_is_tried_again_without_its_schedule);
	tcase_add_test(tc, whoever_waited_longest_is_next);
	tcase_add_test(tc, each_period_a_collection);
	tcase_add_test(tc, what_was_never_expected_was_not_missed);
	tcase_add_test(tc, turned_off_it_is_not_due);
	tcase_add_test(tc, snapshots_do_not_wait_for_a_collection);
	tcase_add_test(tc, a_repository_that_goes_takes_what_waits_along);
	tcase_add_test(tc,
		       a_dead_run_blocks_nobody_whatever_the_host_is_called);
	tcase_add_test(tc, a_failure_that_nobody_saw_is_tried_again);
	tcase_add_test(tc, interruptions_use_up_no_retries);
	tcase_add_test(tc, interruptions_end);
	tcase_add_test(tc, a_jump_ahead_and_back_costs_nothing);
	tcase_add_test(tc, a_jump_ahead_that_is_right_is_followed);
	tcase_add_test(tc, a_jump_back_costs_nothing);
	tcase_add_test(tc, a_boot_in_the_future_is_taken_back);
	tcase_add_test(tc, a_boot_in_the_past_is_over_when_the_clock_is_set);
	tcase_add_test(tc, a_tick_writes_so_many_rows_only);
	tcase_add_test(tc, what_is_applied_under_a_false_clock_is_due);
	tcase_add_test(tc, retries_go_by_the_same_clock);
}

CHECK_MAIN("service/scheduler", cases)
