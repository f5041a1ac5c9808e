#include "schedules/plan.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_S 60
#define RETRY_LAST_S  3600

/* Chained blackout windows are followed this often before looking again. */
#define CHAIN_MAX 1000

static const char *const state_names[PLAN_STATES] = {
	[PLAN_WAITING] = "waiting", [PLAN_MISSED] = "missed",
	[PLAN_SKIPPED] = "skipped", [PLAN_SUPERSEDED] = "superseded",
	[PLAN_FAILED] = "failed",
};

static const char *const reason_names[PLAN_REASONS] = {
	[PLAN_ON_TIME] = "on-time",   [PLAN_CAUGHT_UP] = "caught-up",
	[PLAN_NEWER] = "newer",	      [PLAN_NO_CATCH_UP] = "no-catch-up",
	[PLAN_WINDOW] = "window",     [PLAN_SUSPENDED] = "suspended",
	[PLAN_BLACKOUT] = "blackout", [PLAN_OVERLAP] = "overlap",
	[PLAN_NOT_YET] = "not-yet",   [PLAN_RETRY] = "retry",
};

static const char *const catch_up_names[] = {
	[PLAN_CATCH_UP_ONE] = "one",
	[PLAN_CATCH_UP_ALL] = "all",
	[PLAN_CATCH_UP_NONE] = "none",
};

static const char *const overlap_names[] = {
	[PLAN_OVERLAP_SKIP] = "skip",
	[PLAN_OVERLAP_QUEUE] = "queue",
};

const char *plan_state_name(enum plan_state s)
{
	return (unsigned int)s < PLAN_STATES ? state_names[s] : "";
}

const char *plan_reason_name(enum plan_reason r)
{
	return (unsigned int)r < PLAN_REASONS ? reason_names[r] : "";
}

const char *plan_catch_up_name(enum plan_catch_up c)
{
	return (unsigned int)c <= PLAN_CATCH_UP_NONE ? catch_up_names[c] : "";
}

const char *plan_overlap_name(enum plan_overlap o)
{
	return (unsigned int)o <= PLAN_OVERLAP_QUEUE ? overlap_names[o] : "";
}

int plan_catch_up_named(const char *name, enum plan_catch_up *ret)
{
	for (unsigned int i = 0; i <= PLAN_CATCH_UP_NONE; i++) {
		if (strcmp(catch_up_names[i], name) == 0) {
			*ret = (enum plan_catch_up)i;
			return 1;
		}
	}
	return 0;
}

int plan_overlap_named(const char *name, enum plan_overlap *ret)
{
	for (unsigned int i = 0; i <= PLAN_OVERLAP_QUEUE; i++) {
		if (strcmp(overlap_names[i], name) == 0) {
			*ret = (enum plan_overlap)i;
			return 1;
		}
	}
	return 0;
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* Where in its period; a period that is none has no instants. */
static int64_t phase_of(const struct plan_schedule *s)
{
	return cron_jitter_ms(s->uid, 0, s->every_s * 1000) / 1000;
}

/* The last instant of the period at or before t. */
static int64_t period_floor(const struct plan_schedule *s, int64_t t_s)
{
	const int64_t past = (t_s - phase_of(s)) % s->every_s;

	return t_s - past - (past < 0 ? s->every_s : 0);
}

int plan_next(const struct plan_schedule *s, int64_t after_s, int64_t *ret_s)
{
	if (s->every_s == 0)
		return cron_next(&s->cron, s->zone, after_s, ret_s);
	if (s->every_s == PLAN_NEVER)
		return 0;
	*ret_s = period_floor(s, after_s) + s->every_s;
	return 1;
}

static int previous(const struct plan_schedule *s, int64_t before_s,
		    int64_t *ret_s)
{
	if (s->every_s == 0)
		return cron_previous(&s->cron, s->zone, before_s, ret_s);
	if (s->every_s == PLAN_NEVER)
		return 0;
	*ret_s = period_floor(s, before_s - 1);
	return 1;
}

static int64_t start_of(const struct plan_schedule *s, int64_t at_s)
{
	return at_s + cron_jitter_ms(s->uid, at_s, s->jitter_ms) / 1000;
}

/* The earliest begin of a window around t, or INT64_MAX. */
static int64_t blackout_begin(const struct plan_schedule *s,
			      const struct plan_blackout *b, int64_t t_s)
{
	int64_t begin;

	if (b->for_s > 0 &&
	    cron_next(&b->cron, s->zone, add(t_s, -b->for_s), &begin) &&
	    begin <= t_s)
		return begin;
	return INT64_MAX;
}

int plan_in_blackout(const struct plan_schedule *s, int64_t t_s,
		     int64_t *ret_until_s)
{
	int64_t until = t_s;
	bool moved = true;

	for (size_t chain = 0; moved && chain < CHAIN_MAX; chain++) {
		moved = false;
		for (size_t i = 0; i < s->n_blackouts; i++) {
			const struct plan_blackout *b = &s->blackouts[i];
			int64_t begin;

			if (blackout_begin(s, b, until) > until ||
			    !cron_previous(&b->cron, s->zone, add(until, 1),
					   &begin))
				continue;
			until = add(begin, b->for_s);
			moved = true;
		}
	}
	if (until == t_s)
		return 0;
	*ret_until_s = until;
	return 1;
}

static bool is_blacked_out(const struct plan_schedule *s, int64_t t_s)
{
	for (size_t i = 0; i < s->n_blackouts; i++)
		if (blackout_begin(s, &s->blackouts[i], t_s) <= t_s)
			return true;
	return false;
}

static bool window_passed(const struct plan_schedule *s, int64_t start_s,
			  int64_t now_s)
{
	return s->start_window_s > 0 && now_s > add(start_s, s->start_window_s);
}

/*
 * From where to go on searching backwards when the start of at_s is blacked
 * out: over the whole window, unless jitter could carry what is due in it
 * beyond its end.
 */
static int64_t before_blackout(const struct plan_schedule *s, int64_t at_s)
{
	const int64_t start_s = start_of(s, at_s);
	const int64_t latest_s = add(at_s, s->jitter_ms / 1000 + 1);
	int64_t before = at_s;

	for (size_t i = 0; i < s->n_blackouts; i++) {
		const struct plan_blackout *b = &s->blackouts[i];
		const int64_t begin = blackout_begin(s, b, start_s);

		if (begin <= start_s && latest_s < add(begin, b->for_s) &&
		    begin < before)
			before = begin;
	}
	return before;
}

/* The newest occurrence in (accounted_s, now_s] that may run, or INT64_MIN. */
static int64_t newest_runnable(const struct plan_schedule *s,
			       int64_t accounted_s, int64_t now_s)
{
	int64_t before = add(now_s, 1);
	int64_t at_s;

	while (previous(s, before, &at_s) && at_s > accounted_s) {
		const int64_t start_s = start_of(s, at_s);

		if (window_passed(s, add(at_s, s->jitter_ms / 1000), now_s))
			break;
		if (is_blacked_out(s, start_s))
			before = before_blackout(s, at_s);
		else if (window_passed(s, start_s, now_s))
			before = at_s;
		else
			return at_s;
	}
	return INT64_MIN;
}

static struct plan_occurrence ended(struct plan_occurrence o,
				    enum plan_state state,
				    enum plan_reason reason)
{
	o.state = state;
	o.reason = reason;
	return o;
}

static struct plan_occurrence enter(const struct plan_schedule *s, int64_t at_s,
				    int64_t newest_s, int64_t now_s)
{
	const int64_t start_s = start_of(s, at_s);
	struct plan_occurrence o = {
		.at_s = at_s,
		.start_s = start_s,
		.late_s = now_s > start_s ? now_s - start_s : 0,
		.state = PLAN_WAITING,
	};

	o.caught_up = o.late_s > PLAN_ON_TIME_S;
	o.reason = o.caught_up ? PLAN_CAUGHT_UP : PLAN_ON_TIME;
	if (s->suspended)
		return ended(o, PLAN_SKIPPED, PLAN_SUSPENDED);
	if (is_blacked_out(s, start_s))
		return ended(o, PLAN_SKIPPED, PLAN_BLACKOUT);
	if (window_passed(s, start_s, now_s))
		return ended(o, PLAN_MISSED, PLAN_WINDOW);
	if (s->catch_up == PLAN_CATCH_UP_NONE && o.caught_up)
		return ended(o, PLAN_MISSED, PLAN_NO_CATCH_UP);
	if (s->catch_up == PLAN_CATCH_UP_ONE && at_s < newest_s)
		return ended(o, PLAN_SUPERSEDED, PLAN_NEWER);
	return o;
}

int plan_account(const struct plan_schedule *s, struct plan_gap *gap,
		 plan_sink *sink, void *arg, struct err *e)
{
	const bool one = s->catch_up == PLAN_CATCH_UP_ONE && !s->suspended;
	int64_t newest_s = INT64_MIN;
	int64_t at_s = gap->accounted_s;
	size_t n = 0;

	while (plan_next(s, at_s, &at_s) && at_s <= gap->now_s) {
		struct plan_occurrence o;

		/* Most ticks find nothing due and are spared this search. */
		if (n == 0 && one)
			newest_s = newest_runnable(s, gap->accounted_s,
						   gap->now_s);
		if (n++ == gap->most)
			return 1;
		o = enter(s, at_s, newest_s, gap->now_s);
		if (sink(arg, &o, e))
			return -1;
		gap->accounted_s = at_s;
	}
	if (gap->now_s > gap->accounted_s)
		gap->accounted_s = gap->now_s;
	return 0;
}

static struct plan_step wait_until(enum plan_reason reason, int64_t until_s)
{
	return (struct plan_step){ PLAN_WAIT, PLAN_WAITING, reason, until_s };
}

static struct plan_step end_as(enum plan_state state, enum plan_reason reason)
{
	return (struct plan_step){ PLAN_END, state, reason, 0 };
}

/* A wait that startWindow may cut short. */
static struct plan_step wait_in_window(const struct plan_schedule *s,
				       const struct plan_open *o,
				       enum plan_reason reason, int64_t until_s)
{
	int64_t last = INT64_MAX;

	if (s->start_window_s > 0 && o->attempts == 0)
		last = add(add(o->start_s, s->start_window_s), 1);
	return wait_until(reason, until_s < last ? until_s : last);
}

/* One that may start, were there not another: it waits or ends. */
static struct plan_step overlapped(const struct plan_schedule *s,
				   const struct plan_open *open, size_t n,
				   size_t i, int64_t now_s)
{
	const struct plan_open *o = &open[i];

	if (o->attempts > 0 ||
	    (o->caught_up && s->catch_up == PLAN_CATCH_UP_ALL))
		return wait_in_window(s, o, PLAN_OVERLAP, INT64_MAX);
	if (s->overlap == PLAN_OVERLAP_SKIP)
		return end_as(PLAN_SKIPPED, PLAN_OVERLAP);
	for (size_t k = i + 1; k < n; k++)
		if (!open[k].running && open[k].attempts == 0 &&
		    open[k].start_s <= now_s)
			return end_as(PLAN_SUPERSEDED, PLAN_NEWER);
	return wait_in_window(s, o, PLAN_OVERLAP, INT64_MAX);
}

/* What stands in the way of a start whatever the others do; or PLAN_START. */
static struct plan_step alone(const struct plan_schedule *s,
			      const struct plan_open *o, int64_t now_s)
{
	const bool is_retry = o->attempts > 0;
	const int64_t due_s = is_retry ? o->retry_s : o->start_s;
	struct plan_step start = { PLAN_START, PLAN_WAITING, PLAN_ON_TIME, 0 };

	if (s->suspended)
		return end_as(is_retry ? PLAN_FAILED : PLAN_SKIPPED,
			      PLAN_SUSPENDED);
	if (!is_retry && window_passed(s, o->start_s, now_s))
		return end_as(PLAN_MISSED, PLAN_WINDOW);
	if (now_s < due_s)
		return wait_until(PLAN_NOT_YET, due_s);
	if (is_retry)
		start.reason = PLAN_RETRY;
	else if (o->caught_up)
		start.reason = PLAN_CAUGHT_UP;
	return start;
}

/* Holds the schedule: it runs, or failed and will be tried again. */
static bool is_under_way(const struct plan_open *o)
{
	return o->running || o->attempts > 0;
}

void plan_decide(const struct plan_schedule *s, const struct plan_open *open,
		 size_t n, int64_t now_s, struct plan_step *ret_steps)
{
	size_t under_way = 0;
	bool taken = false;

	for (size_t i = 0; i < n; i++)
		under_way += is_under_way(&open[i]);
	for (size_t i = 0; i < n; i++) {
		const struct plan_open *o = &open[i];
		const bool others = under_way > is_under_way(o);
		struct plan_step *step = &ret_steps[i];
		int64_t until_s;

		if (o->running) {
			*step = wait_until(PLAN_ON_TIME, INT64_MAX);
			continue;
		}
		*step = alone(s, o, now_s);
		if (step->action != PLAN_START)
			continue;
		if (others || taken) {
			*step = overlapped(s, open, n, i, now_s);
			continue;
		}
		taken = true;
		if (plan_in_blackout(s, now_s, &until_s))
			*step = wait_in_window(s, o, PLAN_BLACKOUT, until_s);
	}
}

int64_t plan_wake(const struct plan_schedule *s, int64_t accounted_s,
		  const struct plan_step *steps, size_t n)
{
	int64_t wake = INT64_MAX;
	int64_t next;

	if (plan_next(s, accounted_s, &next))
		wake = next;
	for (size_t i = 0; i < n; i++)
		if (steps[i].action == PLAN_WAIT && steps[i].until_s < wake)
			wake = steps[i].until_s;
	return wake;
}

int plan_retry(const struct plan_schedule *s, int64_t at_s, uint32_t attempts,
	       int64_t *ret_delay_s)
{
	int64_t delay = RETRY_FIRST_S;

	if (attempts == 0 || attempts > s->retries)
		return 0;
	for (uint32_t i = 1; i < attempts && delay < RETRY_LAST_S; i++)
		delay *= 2;
	if (delay > RETRY_LAST_S)
		delay = RETRY_LAST_S;
	*ret_delay_s = delay +
		       cron_jitter_ms(s->uid, at_s ^ attempts, delay * 250) /
			       1000;
	return 1;
}

static int earlier_first(const void *a, const void *b)
{
	const struct plan_candidate *x = a;
	const struct plan_candidate *y = b;

	if (x->start_s != y->start_s)
		return x->start_s < y->start_s ? -1 : 1;
	if (strcmp(x->uid, y->uid) != 0)
		return strcmp(x->uid, y->uid);
	return (x->index > y->index) - (x->index < y->index);
}

void plan_order(struct plan_candidate *candidates, size_t n)
{
	if (n > 1)
		qsort(candidates, n, sizeof(*candidates), earlier_first);
}

bool plan_clock_is_suspicious(struct plan_clocks then, struct plan_clocks now,
			      int64_t *ret_gained_ms)
{
	int64_t gained = instant_ms_between(then.wall, now.wall);

	if (then.boot_id != now.boot_id) {
		*ret_gained_ms = gained < 0 ? gained : 0;
		return gained <= -PLAN_CLOCK_STEP_MS;
	}
	gained = add(gained, then.boot_ms - now.boot_ms);
	*ret_gained_ms = gained;
	return gained >= PLAN_CLOCK_STEP_MS || gained <= -PLAN_CLOCK_STEP_MS;
}
