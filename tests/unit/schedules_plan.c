#include "schedules/plan.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/zonefile.h"

#define HOUR 3600
#define DAY  86400

static int64_t utc(const char *text)
{
	struct instant t = { 0 };
	struct err e;

	ck_ok(instant_parse(text, &t, &e));
	return t.sec;
}

static struct cron cron(const char *text)
{
	struct cron c = { 0 };
	struct err e;

	ck_ok(cron_parse(text, &c, &e));
	return c;
}

static struct plan_schedule schedule(const char *text)
{
	return (struct plan_schedule){ .uid = "s1",
				       .cron = cron(text),
				       .zone = zone_utc(),
				       .retries = 3 };
}

struct rows {
	struct plan_occurrence o[2000];
	size_t n;
};

static struct rows rows;

static int collect(void *arg, const struct plan_occurrence *o, struct err *e)
{
	struct rows *r = arg;

	if (r->n == sizeof(r->o) / sizeof(r->o[0]))
		return err_set(e, ERR_BUG, "too many rows");
	r->o[r->n++] = *o;
	return 0;
}

static void account(const struct plan_schedule *s, int64_t from, int64_t now,
		    size_t most)
{
	struct plan_gap gap = { from, now, most };
	struct err e;
	int more = 1;

	rows.n = 0;
	while (more) {
		const size_t before = rows.n;

		more = plan_account(s, &gap, collect, &rows, &e);
		ck_assert_msg(more == 0 || more == 1, "%s", e.text);
		ck_assert_uint_le(rows.n - before, most);
	}
	ck_assert_int_eq(gap.accounted_s, now > from ? now : from);
}

/* "02-01 missed window" for each row, separated by ", ". */
static const char *told(void)
{
	static char out[4096];
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < rows.n; i++) {
		char t[INSTANT_TEXT];

		instant_format((struct instant){ rows.o[i].at_s, 0 }, t);
		used += (size_t)snprintf(out + used, sizeof(out) - used,
					 "%s%.2s %s %s", i ? ", " : "", t + 8,
					 plan_state_name(rows.o[i].state),
					 plan_reason_name(rows.o[i].reason));
	}
	return out;
}

START_TEST(applying_fires_nothing)
{
	const struct plan_schedule s = schedule("0 2 * * *");
	const int64_t applied = utc("2026-03-01T02:00:00Z");

	account(&s, applied, applied, 100);
	ck_assert_uint_eq(rows.n, 0);
	account(&s, applied, applied + HOUR, 100);
	ck_assert_uint_eq(rows.n, 0);
	account(&s, applied - 1, applied + 1, 100);
	ck_assert_str_eq(told(), "01 waiting on-time");
}
END_TEST

START_TEST(a_clock_set_back_doubles_nothing)
{
	const struct plan_schedule s = schedule("0 2 * * *");

	account(&s, utc("2026-03-01T02:00:00Z"), utc("2026-03-01T01:00:00Z"),
		100);
	ck_assert_uint_eq(rows.n, 0);
}
END_TEST

START_TEST(five_missed_occurrences_are_five_rows)
{
	struct plan_schedule s = schedule("0 2 * * *");
	const int64_t off = utc("2026-03-01T12:00:00Z");
	const int64_t on = utc("2026-03-06T12:00:00Z");

	account(&s, off, on, 2);
	ck_assert_str_eq(told(), "02 superseded newer, 03 superseded newer, "
				 "04 superseded newer, 05 superseded newer, "
				 "06 waiting caught-up");
	ck_assert_int_eq(rows.o[4].late_s, 10 * HOUR);
	ck_assert(rows.o[4].caught_up);
	s.catch_up = PLAN_CATCH_UP_ALL;
	account(&s, off, on, 3);
	ck_assert_str_eq(told(), "02 waiting caught-up, 03 waiting caught-up, "
				 "04 waiting caught-up, 05 waiting caught-up, "
				 "06 waiting caught-up");
	s.catch_up = PLAN_CATCH_UP_NONE;
	account(&s, off, on, 1);
	ck_assert_str_eq(told(),
			 "02 missed no-catch-up, 03 missed no-catch-up, "
			 "04 missed no-catch-up, 05 missed "
			 "no-catch-up, 06 missed no-catch-up");
	s.suspended = true;
	account(&s, off, on, 9);
	ck_assert_uint_eq(rows.n, 5);
	ck_assert_int_eq(rows.o[4].state, PLAN_SKIPPED);
	ck_assert_int_eq(rows.o[4].reason, PLAN_SUSPENDED);
}
END_TEST

/* One that is due in this second counts, one of the next second does not. */
START_TEST(what_is_due_ends_with_now)
{
	struct plan_schedule s = schedule("0 2 * * *");
	int64_t at;

	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-03T02:00:00Z"),
		9);
	ck_assert_str_eq(told(), "02 superseded newer, 03 waiting on-time");
	ck_assert_int_eq(rows.o[1].late_s, 0);
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-04T01:59:59Z"),
		9);
	ck_assert_str_eq(told(), "02 superseded newer, 03 waiting caught-up");
	s = (struct plan_schedule){ .uid = "s1", .every_s = HOUR };
	ck_assert_int_eq(plan_next(&s, utc("2026-03-01T12:00:00Z"), &at), 1);
	account(&s, at - 1, at + HOUR, 9);
	ck_assert_str_eq(told(), "01 superseded newer, 01 waiting on-time");
	account(&s, at - 1, at + 2 * HOUR - 1, 9);
	ck_assert_str_eq(told(), "01 superseded newer, 01 waiting caught-up");
}
END_TEST

START_TEST(none_still_runs_what_is_on_time)
{
	struct plan_schedule s = schedule("0 2 * * *");

	s.catch_up = PLAN_CATCH_UP_NONE;
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-02T02:05:00Z"),
		9);
	ck_assert_str_eq(told(), "02 waiting on-time");
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-02T02:05:01Z"),
		9);
	ck_assert_str_eq(told(), "02 missed no-catch-up");
}
END_TEST

START_TEST(the_start_window_ends)
{
	struct plan_schedule s = schedule("0 2 * * *");

	s.start_window_s = 2 * HOUR;
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-03T04:00:00Z"),
		9);
	ck_assert_str_eq(told(), "02 missed window, 03 waiting caught-up");
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-03T04:00:01Z"),
		9);
	ck_assert_str_eq(told(), "02 missed window, 03 missed window");
	s.start_window_s = 1;
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-02T02:00:02Z"),
		9);
	ck_assert_str_eq(told(), "02 missed window");
}
END_TEST

START_TEST(blackouts_skip_what_would_start_in_them)
{
	struct plan_blackout office = { cron("0 8 * * MON-FRI"), 10 * HOUR };
	struct plan_schedule s = schedule("0 */6 * * *");
	int64_t until = 0;

	s.blackouts = &office;
	s.n_blackouts = 1;
	/* 2026-03-02 is a Monday. */
	account(&s, utc("2026-03-02T00:00:00Z"), utc("2026-03-02T18:00:00Z"),
		99);
	ck_assert_str_eq(told(), "02 superseded newer, 02 skipped blackout, "
				 "02 waiting on-time");
	/* The newest that may run is the one before the window. */
	account(&s, utc("2026-03-02T00:00:00Z"), utc("2026-03-02T17:59:00Z"),
		99);
	ck_assert_str_eq(told(), "02 waiting caught-up, 02 skipped blackout");
	ck_assert_int_eq(
		plan_in_blackout(&s, utc("2026-03-02T07:59:59Z"), &until), 0);
	ck_assert_int_eq(
		plan_in_blackout(&s, utc("2026-03-02T08:00:00Z"), &until), 1);
	ck_assert_int_eq(until, utc("2026-03-02T18:00:00Z"));
	ck_assert_int_eq(plan_in_blackout(&s, until, &until), 0);
}
END_TEST

START_TEST(a_blackout_begins_at_its_second_and_may_be_short)
{
	struct plan_blackout b = { cron("0 2 * * *"), 1 };
	struct plan_schedule s = schedule("0 2 * * *");
	const int64_t begin = utc("2026-03-02T02:00:00Z");
	int64_t until = 0;

	s.blackouts = &b;
	s.n_blackouts = 1;
	account(&s, begin - 1, begin, 9);
	ck_assert_str_eq(told(), "02 skipped blackout");
	ck_assert_int_eq(plan_in_blackout(&s, begin - 1, &until), 0);
	ck_assert_int_eq(plan_in_blackout(&s, begin, &until), 1);
	ck_assert_int_eq(until, begin + 1);
	ck_assert_int_eq(plan_in_blackout(&s, begin + 1, &until), 0);
	b.for_s = 0;
	account(&s, begin - 1, begin, 9);
	ck_assert_str_eq(told(), "02 waiting on-time");
	ck_assert_int_eq(plan_in_blackout(&s, begin, &until), 0);
}
END_TEST

/*
 * Jitter carries some out of a blackout that they are due in, and past others
 * that it leaves there: the newest of those that may run is the one to run.
 */
START_TEST(of_what_jitter_carries_out_of_a_blackout_the_newest_runs)
{
	struct plan_blackout two[] = { { cron("0 8 * * *"), HOUR },
				       { cron("0 7 * * *"), 60 } };
	struct plan_schedule s = schedule("* * * * *");
	const int64_t from = utc("2026-03-02T06:55:00Z");

	s.jitter_ms = 600000;
	s.blackouts = two;
	s.n_blackouts = 2;
	for (int64_t now = from; now < from + 150 * 60; now += 60) {
		bool taken = false;

		account(&s, from, now, 999);
		for (size_t i = rows.n; i-- > 0;) {
			const struct plan_occurrence *o = &rows.o[i];

			if (o->state == PLAN_SKIPPED)
				continue;
			ck_assert_int_eq(o->state, taken ? PLAN_SUPERSEDED
							 : PLAN_WAITING);
			taken = true;
		}
	}
}
END_TEST

/*
 * An hour of every minute, and jitter of weeks: of two that may run still, one
 * of which jitter carries as far as it can, the newer one is the one to run.
 */
START_TEST(jitter_counts_to_its_end)
{
	const int64_t first = utc("2026-01-01T00:00:00Z");
	struct plan_schedule s = schedule("* 0 1 1 *");
	unsigned int met = 0;
	char uid[16];

	s.jitter_ms = 5000000000;
	s.start_window_s = 60;
	s.uid = uid;
	for (unsigned int n = 0; met < 2; n++) {
		int64_t latest = 0;
		int64_t newer = 0;
		size_t waiting = 0;

		(void)snprintf(uid, sizeof(uid), "s%u", n);
		for (int64_t at = first; at < first + HOUR; at += 60) {
			const int64_t start = at + cron_jitter_ms(uid, at,
								  s.jitter_ms) /
							   1000;

			if (latest >= start &&
			    start > at + (s.jitter_ms - 4000000) / 1000)
				newer = start;
			if (start > latest)
				latest = start;
		}
		if (!newer)
			continue;
		met++;
		account(&s, first - 1, newer + s.start_window_s, 999);
		ck_assert_uint_eq(rows.n, 60);
		for (size_t i = 0; i < rows.n; i++)
			waiting += rows.o[i].state == PLAN_WAITING;
		ck_assert_uint_eq(waiting, 1);
	}
}
END_TEST

START_TEST(chained_and_endless_blackouts_end)
{
	struct plan_blackout two[] = { { cron("0 8 * * *"), 2 * HOUR },
				       { cron("30 9 * * *"), 2 * HOUR } };
	struct plan_blackout endless = { cron("* * * * *"), 120 };
	struct plan_schedule s = schedule("0 2 * * *");
	int64_t until = 0;

	s.blackouts = two;
	s.n_blackouts = 2;
	ck_assert_int_eq(
		plan_in_blackout(&s, utc("2026-03-02T08:10:00Z"), &until), 1);
	ck_assert_int_eq(until, utc("2026-03-02T11:30:00Z"));
	/* In whichever order they stand. */
	two[0].cron = cron("30 9 * * *");
	two[1].cron = cron("0 8 * * *");
	ck_assert_int_eq(
		plan_in_blackout(&s, utc("2026-03-02T08:10:00Z"), &until), 1);
	ck_assert_int_eq(until, utc("2026-03-02T11:30:00Z"));
	s.blackouts = &endless;
	s.n_blackouts = 1;
	ck_assert_int_eq(plan_in_blackout(&s, 1000000000, &until), 1);
	ck_assert_int_gt(until, 1000000000);
	account(&s, utc("2026-03-01T12:00:00Z"), utc("2026-03-03T12:00:00Z"),
		9);
	ck_assert_str_eq(told(), "02 skipped blackout, 03 skipped blackout");
}
END_TEST

START_TEST(years_off_are_written_in_portions)
{
	const struct plan_schedule s = schedule("0 * * * *");
	struct plan_gap gap = { utc("2020-01-01T00:00:00Z"),
				utc("2026-01-01T00:30:00Z"), 1000 };
	int64_t last = gap.accounted_s;
	size_t total = 0;
	size_t waiting = 0;
	struct err e;
	int more = 1;

	while (more > 0) {
		rows.n = 0;
		more = plan_account(&s, &gap, collect, &rows, &e);
		ck_assert_int_ge(more, 0);
		for (size_t i = 0; i < rows.n; i++) {
			ck_assert_int_eq(rows.o[i].at_s, last + HOUR);
			last = rows.o[i].at_s;
			waiting += rows.o[i].state == PLAN_WAITING;
		}
		total += rows.n;
	}
	ck_assert_uint_eq(total, 24 * (6 * 365 + 2));
	ck_assert_uint_eq(waiting, 1);
	ck_assert_int_eq(rows.o[rows.n - 1].state, PLAN_WAITING);
}
END_TEST

static int refuse(void *arg, const struct plan_occurrence *o, struct err *e)
{
	(void)arg;
	(void)o;
	return err_set(e, ERR_FULL, "the ledger is full");
}

START_TEST(a_sink_that_fails_loses_nothing)
{
	const struct plan_schedule s = schedule("0 2 * * *");
	struct plan_gap gap = { 0, 10 * DAY, 5 };
	struct err e = { 0 };

	ck_assert_int_eq(plan_account(&s, &gap, refuse, NULL, &e), -1);
	ck_assert_int_eq(e.code, ERR_FULL);
	ck_assert_int_eq(gap.accounted_s, 0);
}
END_TEST

START_TEST(jitter_moves_the_start_not_the_name)
{
	struct plan_schedule s = schedule("0 2 * * *");

	s.jitter_ms = 600000;
	account(&s, 0, 50 * DAY, 100);
	for (size_t i = 0; i < rows.n; i++) {
		const struct plan_occurrence *o = &rows.o[i];

		ck_assert_int_eq(o->at_s % DAY, 2 * HOUR);
		ck_assert(o->start_s >= o->at_s && o->start_s < o->at_s + 600);
		ck_assert_int_eq(o->start_s - o->at_s,
				 cron_jitter_ms(s.uid, o->at_s, s.jitter_ms) /
					 1000);
	}
	/* None is late before its start. */
	account(&s, 2 * HOUR - 1, 2 * HOUR, 1);
	ck_assert_int_gt(rows.o[0].start_s, rows.o[0].at_s);
	ck_assert_int_eq(rows.o[0].late_s, 0);
}
END_TEST

/* One letter for each step: w(ait), S(tart), then state and reason. */
static const char *steps(const struct plan_schedule *s,
			 const struct plan_open *open, size_t n, int64_t now)
{
	static char out[512];
	struct plan_step got[8];
	size_t used = 0;

	memset(got, 0xff, sizeof(got));
	plan_decide(s, open, n, now, got);
	for (size_t i = 0; i < n; i++) {
		static const char *const actions[] = { "wait", "start", "end" };

		used += (size_t)snprintf(out + used, sizeof(out) - used,
					 "%s%s %s %s", i ? ", " : "",
					 actions[got[i].action],
					 plan_state_name(got[i].state),
					 plan_reason_name(got[i].reason));
	}
	return out;
}

START_TEST(overlap_skips_or_queues)
{
	struct plan_schedule s = schedule("0 * * * *");
	const struct plan_open open[] = {
		{ .at_s = 0, .running = true },
		{ .at_s = HOUR, .start_s = HOUR },
		{ .at_s = 2 * HOUR, .start_s = 2 * HOUR },
	};

	ck_assert_str_eq(steps(&s, open, 2, HOUR),
			 "wait waiting on-time, end skipped overlap");
	s.overlap = PLAN_OVERLAP_QUEUE;
	ck_assert_str_eq(steps(&s, open, 3, HOUR),
			 "wait waiting on-time, wait waiting overlap, "
			 "wait waiting not-yet");
	ck_assert_str_eq(steps(&s, open, 3, 2 * HOUR),
			 "wait waiting on-time, end superseded newer, "
			 "wait waiting overlap");
	ck_assert_str_eq(steps(&s, open + 1, 1, HOUR), "start waiting on-time");
	s.start_window_s = 60;
	ck_assert_str_eq(steps(&s, open, 2, HOUR + 61),
			 "wait waiting on-time, end missed window");
}
END_TEST

START_TEST(only_what_could_start_takes_anothers_place)
{
	struct plan_schedule s = schedule("0 * * * *");
	struct plan_open open[] = {
		{ .at_s = 0, .start_s = 0 },
		{ .at_s = HOUR, .start_s = HOUR, .running = true },
		{ .at_s = 2 * HOUR, .start_s = 3 * HOUR },
	};

	s.overlap = PLAN_OVERLAP_QUEUE;
	ck_assert_str_eq(steps(&s, open, 2, 2 * HOUR),
			 "wait waiting overlap, wait waiting on-time");
	open[1].running = false;
	open[1].attempts = 1;
	open[1].retry_s = 5 * HOUR;
	ck_assert_str_eq(steps(&s, open, 3, 2 * HOUR),
			 "wait waiting overlap, wait waiting not-yet, "
			 "wait waiting not-yet");
	ck_assert_str_eq(steps(&s, open, 3, 3 * HOUR),
			 "end superseded newer, wait waiting not-yet, "
			 "wait waiting overlap");
}
END_TEST

START_TEST(all_runs_each_in_turn)
{
	struct plan_schedule s = schedule("0 * * * *");
	const struct plan_open open[] = {
		{ .at_s = 0, .start_s = 0, .caught_up = true },
		{ .at_s = HOUR, .start_s = HOUR, .caught_up = true },
		{ .at_s = 2 * HOUR, .start_s = 2 * HOUR, .caught_up = true },
	};

	s.catch_up = PLAN_CATCH_UP_ALL;
	ck_assert_str_eq(steps(&s, open, 3, 9 * HOUR),
			 "start waiting caught-up, wait waiting overlap, "
			 "wait waiting overlap");
	ck_assert_str_eq(steps(&s, open + 1, 2, 9 * HOUR),
			 "start waiting caught-up, wait waiting overlap");
}
END_TEST

START_TEST(only_of_all_the_late_ones_wait_for_another)
{
	struct plan_schedule s = schedule("0 * * * *");
	struct plan_open open[] = {
		{ .at_s = 0, .running = true },
		{ .at_s = HOUR, .start_s = HOUR, .caught_up = true },
	};

	ck_assert_str_eq(steps(&s, open, 2, HOUR + 600),
			 "wait waiting on-time, end skipped overlap");
	s.catch_up = PLAN_CATCH_UP_ALL;
	ck_assert_str_eq(steps(&s, open, 2, HOUR + 600),
			 "wait waiting on-time, wait waiting overlap");
	open[1].caught_up = false;
	ck_assert_str_eq(steps(&s, open, 2, HOUR),
			 "wait waiting on-time, end skipped overlap");
}
END_TEST

START_TEST(retries_hold_the_schedule)
{
	struct plan_schedule s = schedule("0 * * * *");
	const struct plan_open open[] = {
		{ .at_s = 0, .attempts = 1, .retry_s = HOUR + 60 },
		{ .at_s = HOUR, .start_s = HOUR },
	};

	ck_assert_str_eq(steps(&s, open, 2, HOUR),
			 "wait waiting not-yet, end skipped overlap");
	ck_assert_str_eq(steps(&s, open, 1, HOUR + 60), "start waiting retry");
	/* The window is for the first attempt. */
	s.start_window_s = 60;
	ck_assert_str_eq(steps(&s, open, 1, 9 * HOUR), "start waiting retry");
	s.suspended = true;
	ck_assert_str_eq(steps(&s, open, 2, HOUR),
			 "end failed suspended, end skipped suspended");
}
END_TEST

/* It was under way: another one does not end it. */
START_TEST(a_retry_waits_for_another)
{
	struct plan_schedule s = schedule("0 * * * *");
	const struct plan_open open[] = {
		{ .at_s = 0, .running = true },
		{ .at_s = HOUR, .attempts = 1, .retry_s = HOUR + 60 },
	};
	struct plan_step got[2];

	s.start_window_s = 60;
	ck_assert_str_eq(steps(&s, open, 2, 2 * HOUR),
			 "wait waiting on-time, wait waiting overlap");
	plan_decide(&s, open, 2, 2 * HOUR, got);
	ck_assert_int_eq(got[0].until_s, INT64_MAX);
	ck_assert_int_eq(got[1].until_s, INT64_MAX);
}
END_TEST

START_TEST(the_earliest_wait_wakes)
{
	const struct plan_schedule s = schedule("0 7 * * *");
	const struct plan_step got[] = {
		{ PLAN_END, PLAN_SKIPPED, PLAN_OVERLAP, 1 },
		{ PLAN_START, PLAN_WAITING, PLAN_ON_TIME, 2 },
		{ PLAN_WAIT, PLAN_WAITING, PLAN_NOT_YET, 9 * HOUR },
		{ PLAN_WAIT, PLAN_WAITING, PLAN_NOT_YET, 5 * HOUR },
		{ PLAN_WAIT, PLAN_WAITING, PLAN_NOT_YET, 6 * HOUR },
	};

	ck_assert_int_eq(plan_wake(&s, 0, got, 3), 7 * HOUR);
	ck_assert_int_eq(plan_wake(&s, 0, got, 5), 5 * HOUR);
}
END_TEST

START_TEST(starts_wait_for_the_end_of_a_blackout)
{
	struct plan_blackout b = { cron("0 8 * * *"), 2 * HOUR };
	struct plan_schedule s = schedule("0 7 * * *");
	struct plan_open o = { .at_s = 7 * HOUR, .start_s = 7 * HOUR };
	struct plan_step step;

	s.blackouts = &b;
	s.n_blackouts = 1;
	plan_decide(&s, &o, 1, 9 * HOUR, &step);
	ck_assert_int_eq(step.action, PLAN_WAIT);
	ck_assert_int_eq(step.reason, PLAN_BLACKOUT);
	ck_assert_int_eq(step.until_s, 10 * HOUR);
	ck_assert_int_eq(plan_wake(&s, 9 * HOUR, &step, 1), 10 * HOUR);
	ck_assert_int_eq(plan_wake(&s, 9 * HOUR, NULL, 0), 31 * HOUR);
	s.start_window_s = 2 * HOUR + 60;
	plan_decide(&s, &o, 1, 9 * HOUR, &step);
	ck_assert_int_eq(step.until_s, 9 * HOUR + 61);
	b.cron = cron("0 7 * * *");
	s.start_window_s = 1;
	plan_decide(&s, &o, 1, 7 * HOUR, &step);
	ck_assert_int_eq(step.until_s, 7 * HOUR + 2);
	b.cron = cron("0 8 * * *");
	/* A retry waits for it all, whatever the window. */
	o.attempts = 1;
	plan_decide(&s, &o, 1, 9 * HOUR, &step);
	ck_assert_int_eq(step.reason, PLAN_BLACKOUT);
	ck_assert_int_eq(step.until_s, 10 * HOUR);
}
END_TEST

START_TEST(retries_back_off)
{
	struct plan_schedule s = schedule("0 * * * *");
	int64_t first = 0;
	int64_t again = 0;
	int64_t d = 0;

	s.retries = 20;
	ck_assert_int_eq(plan_retry(&s, 0, 0, &d), 0);
	ck_assert_int_eq(plan_retry(&s, 0, 1, &first), 1);
	ck_assert_int_eq(plan_retry(&s, 0, 1, &again), 1);
	ck_assert_int_eq(first, again);
	ck_assert(first >= 60 && first <= 75);
	ck_assert_int_eq(plan_retry(&s, 0, 3, &d), 1);
	ck_assert(d >= 240 && d <= 300);
	ck_assert_int_eq(plan_retry(&s, 0, 20, &d), 1);
	ck_assert(d >= 3600 && d <= 4500);
	ck_assert_int_eq(plan_retry(&s, 0, 21, &d), 0);
}
END_TEST

/* Up to a quarter more, and never more than an hour and that. */
START_TEST(retries_are_spread)
{
	static const int64_t wanted[] = { 60,  120,  240,  480,
					  960, 1920, 3600, 3600 };
	struct plan_schedule s = schedule("0 * * * *");

	s.retries = 8;
	for (uint32_t attempts = 1; attempts <= 8; attempts++) {
		const int64_t delay = wanted[attempts - 1];
		int64_t least = INT64_MAX;
		int64_t most = 0;

		for (int64_t at = 0; at < 200 * HOUR; at += HOUR) {
			int64_t d = 0;

			ck_assert_int_eq(plan_retry(&s, at, attempts, &d), 1);
			least = d < least ? d : least;
			most = d > most ? d : most;
		}
		ck_assert_int_ge(least, delay);
		ck_assert_int_lt(least, delay + delay / 16);
		ck_assert_int_le(most, delay + delay / 4);
		ck_assert_int_gt(most, delay + delay / 5);
	}
}
END_TEST

/* Who starts anew computes the same. */
START_TEST(retries_are_when_they_were)
{
	struct plan_schedule s = schedule("0 * * * *");
	int64_t sum = 0;

	s.retries = 8;
	for (int64_t at = 0; at < 100 * HOUR; at += HOUR) {
		int64_t d = 0;

		ck_assert_int_eq(plan_retry(&s, at, 8, &d), 1);
		sum += d;
	}
	ck_assert_int_eq(sum, 404582);
}
END_TEST

START_TEST(the_earliest_start_first)
{
	struct plan_candidate c[] = { { "d", 4, 0 }, { "c", 1, 1 },
				      { "b", 1, 2 }, { "a", 3, 3 },
				      { "c", 1, 4 }, { "e", 9, 5 } };
	struct plan_candidate same[] = { { "b", 1, 7 }, { "b", 1, 3 } };
	const size_t order[] = { 2, 1, 4, 3, 0, 5 };

	plan_order(same, 2);
	ck_assert_uint_eq(same[0].index, 3);
	ck_assert_uint_eq(same[1].index, 7);
	plan_order(same, 2);
	ck_assert_uint_eq(same[0].index, 3);
	plan_order(c, 6);
	for (size_t i = 0; i < 6; i++)
		ck_assert_uint_eq(c[i].index, order[i]);
	plan_order(NULL, 0);
}
END_TEST

START_TEST(a_period_comes_at_even_distances)
{
	struct plan_schedule s = { .uid = "s1", .every_s = DAY };
	struct plan_schedule other = { .uid = "s2", .every_s = DAY };
	int64_t first, next, again;

	/* Also before 1970, and from every point of the period alike. */
	for (int64_t t = -3 * DAY; t < 3 * DAY; t += 977) {
		ck_assert_int_eq(plan_next(&s, t, &first), 1);
		ck_assert_int_gt(first, t);
		ck_assert_int_le(first, t + DAY);
		ck_assert_int_eq(plan_next(&s, first - 1, &again), 1);
		ck_assert_int_eq(again, first);
		ck_assert_int_eq(plan_next(&s, first, &next), 1);
		ck_assert_int_eq(next, first + DAY);
	}
	ck_assert_int_eq(plan_next(&other, 0, &next), 1);
	ck_assert_int_eq(plan_next(&s, 0, &first), 1);
	ck_assert_int_ne(next, first);
	/* Written down: a restart, or the next release, has the same ones. */
	ck_assert_int_eq(first, 72826);
	ck_assert_int_eq(next, 47512);
	ck_assert_int_eq(plan_wake(&s, first - 1, NULL, 0), first);
	/* Of a week that nobody looked the newest is run. */
	account(&s, first - 1, first + 6 * DAY + HOUR, 3);
	ck_assert_uint_eq(rows.n, 7);
	for (size_t i = 0; i < 7; i++) {
		ck_assert_int_eq(rows.o[i].at_s, first + (int64_t)i * DAY);
		ck_assert_int_eq(rows.o[i].state,
				 i < 6 ? PLAN_SUPERSEDED : PLAN_WAITING);
	}
	ck_assert_int_eq(rows.o[6].reason, PLAN_CAUGHT_UP);
}
END_TEST

START_TEST(never_is_never)
{
	const struct plan_schedule s = { .uid = "s1", .every_s = PLAN_NEVER };
	int64_t next;

	ck_assert_int_eq(plan_next(&s, 0, &next), 0);
	ck_assert_int_eq(plan_wake(&s, 0, NULL, 0), INT64_MAX);
	account(&s, 0, INT64_C(100) * 365 * DAY, 100);
	ck_assert_uint_eq(rows.n, 0);
}
END_TEST

START_TEST(clock_steps_are_noticed)
{
	const struct plan_clocks then = { { 1000000, 0 }, 5000, 7 };
	struct plan_clocks now = { { 1000600, 0 }, 605000, 7 };
	int64_t gained = 1;

	ck_assert(!plan_clock_is_suspicious(then, now, &gained));
	ck_assert_int_eq(gained, 0);
	now.wall.sec += 299;
	ck_assert(!plan_clock_is_suspicious(then, now, &gained));
	now.wall.sec++;
	ck_assert(plan_clock_is_suspicious(then, now, &gained));
	ck_assert_int_eq(gained, 300000);
	now.wall.sec -= 600;
	ck_assert(plan_clock_is_suspicious(then, now, &gained));
	ck_assert_int_eq(gained, -300000);
	/* After a reboot only the past is impossible. */
	now = (struct plan_clocks){ { 9000000, 0 }, 10, 8 };
	ck_assert(!plan_clock_is_suspicious(then, now, &gained));
	ck_assert_int_eq(gained, 0);
	now.wall.sec = 1000000 - 299;
	ck_assert(!plan_clock_is_suspicious(then, now, &gained));
	ck_assert_int_eq(gained, -299000);
	now.wall.sec--;
	ck_assert(plan_clock_is_suspicious(then, now, &gained));
	ck_assert_int_eq(gained, -300000);
}
END_TEST

START_TEST(names_go_both_ways)
{
	enum plan_catch_up c = PLAN_CATCH_UP_ONE;
	enum plan_overlap o = PLAN_OVERLAP_SKIP;

	for (unsigned int i = 0; i <= PLAN_CATCH_UP_NONE; i++) {
		const char *name = plan_catch_up_name((enum plan_catch_up)i);

		ck_assert_str_ne(name, "");
		ck_assert_int_eq(plan_catch_up_named(name, &c), 1);
		ck_assert_uint_eq(c, i);
	}
	for (unsigned int i = 0; i <= PLAN_OVERLAP_QUEUE; i++) {
		const char *name = plan_overlap_name((enum plan_overlap)i);

		ck_assert_str_ne(name, "");
		ck_assert_int_eq(plan_overlap_named(name, &o), 1);
		ck_assert_uint_eq(o, i);
	}
	ck_assert_int_eq(plan_catch_up_named("some", &c), 0);
	ck_assert_int_eq(plan_overlap_named("", &o), 0);
	for (unsigned int i = 0; i < PLAN_REASONS; i++)
		ck_assert_str_ne(plan_reason_name((enum plan_reason)i), "");
	for (unsigned int i = 0; i < PLAN_STATES; i++)
		ck_assert_str_ne(plan_state_name((enum plan_state)i), "");
	ck_assert_str_eq(plan_reason_name(PLAN_REASONS), "");
	ck_assert_str_eq(plan_state_name(PLAN_STATES), "");
	ck_assert_str_eq(plan_catch_up_name(PLAN_CATCH_UP_NONE + 1), "");
	ck_assert_str_eq(plan_overlap_name(PLAN_OVERLAP_QUEUE + 1), "");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, applying_fires_nothing);
	tcase_add_test(tc, a_clock_set_back_doubles_nothing);
	tcase_add_test(tc, five_missed_occurrences_are_five_rows);
	tcase_add_test(tc, what_is_due_ends_with_now);
	tcase_add_test(tc, none_still_runs_what_is_on_time);
	tcase_add_test(tc, the_start_window_ends);
	tcase_add_test(tc, blackouts_skip_what_would_start_in_them);
	tcase_add_test(tc, a_blackout_begins_at_its_second_and_may_be_short);
	tcase_add_test(
		tc, of_what_jitter_carries_out_of_a_blackout_the_newest_runs);
	tcase_add_test(tc, jitter_counts_to_its_end);
	tcase_add_test(tc, chained_and_endless_blackouts_end);
	tcase_add_test(tc, years_off_are_written_in_portions);
	tcase_add_test(tc, a_sink_that_fails_loses_nothing);
	tcase_add_test(tc, jitter_moves_the_start_not_the_name);
	tcase_add_test(tc, overlap_skips_or_queues);
	tcase_add_test(tc, only_what_could_start_takes_anothers_place);
	tcase_add_test(tc, all_runs_each_in_turn);
	tcase_add_test(tc, only_of_all_the_late_ones_wait_for_another);
	tcase_add_test(tc, retries_hold_the_schedule);
	tcase_add_test(tc, a_retry_waits_for_another);
	tcase_add_test(tc, the_earliest_wait_wakes);
	tcase_add_test(tc, starts_wait_for_the_end_of_a_blackout);
	tcase_add_test(tc, retries_back_off);
	tcase_add_test(tc, retries_are_spread);
	tcase_add_test(tc, retries_are_when_they_were);
	tcase_add_test(tc, the_earliest_start_first);
	tcase_add_test(tc, a_period_comes_at_even_distances);
	tcase_add_test(tc, never_is_never);
	tcase_add_test(tc, clock_steps_are_noticed);
	tcase_add_test(tc, names_go_both_ways);
}
CHECK_MAIN("schedules/plan", cases)
