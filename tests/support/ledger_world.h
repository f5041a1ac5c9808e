/*
 * A daemon's scheduler in a world of its own: clocks that step, a machine that
 * boots anew, runs that end well, badly or without a word, and a daemon that
 * is killed before any call that writes.  Hours pass in no time.
 *
 * Each life of the daemon is a process; what the world knows lies in memory
 * that survives it.  The daemon's successor has the catalog alone.  Beside it
 * goes a model of which time it is for the timetable (service/scheduler.h),
 * written from what is promised, so that tests can say what must be in the
 * ledger.
 */
#ifndef TESTS_SUPPORT_LEDGER_WORLD_H
#define TESTS_SUPPORT_LEDGER_WORLD_H

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/seam.h"
#include "service/scheduler.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"
#include "tests/support/cron_draw.h"
#include "tests/support/random.h"

#define LEDGER_SCHEDULES 3
#define LEDGER_VERSIONS	 4
#define LEDGER_CHILDREN	 64
/* Where plan_clock_is_suspicious() begins, and how often clocks are stored. */
#define LEDGER_STEP_MS	INT64_C(300000)
#define LEDGER_STORE_MS 60000

/* A schedule as one version has it. */
struct ledger_plan {
	struct cron_draw cron, blackout;
	int64_t blackout_s; /* 0: none */
	int64_t window_s, jitter_s;
	int catch_up; /* of ledger_catch_up[] */
	bool queue, suspended;
	unsigned int retries;
	int64_t from_s; /* what is due later is due by it */
};
static const char *const ledger_catch_up[] = { "one", "all", "none" };
enum { LEDGER_ONE, LEDGER_ALL, LEDGER_NONE };

struct ledger_schedule {
	char name[8], uid[33];
	struct ledger_plan v[LEDGER_VERSIONS];
	int n;
	/* Everything due in (low_s, accounted_s] must be in the ledger. */
	int64_t low_s, accounted_s;
	int64_t created_s;
	bool is_new; /* nothing was accounted for yet */
};

/* What the timetable goes by. */
struct ledger_clock {
	bool known, in_doubt, confirmed;
	bool first; /* look of this life */
	int64_t wall_ms, boot_ms, put_ms;
	int boot; /* in which it was believed */
};

struct ledger_world {
	uint64_t seed;
	struct random dice;
	char path[SCRATCH_PATH];
	const char *zone;

	/* The truth: what passes, and what the clocks show of it. */
	int64_t now_ms, wall_ahead_ms, booted_ms;
	int boot;
	int64_t most_step_ms; /* of the wall clock, in this story */
	int64_t sleep_ms;     /* the daemon's longest */
	bool changing;	      /* schedules change, and so no clock does much */

	struct ledger_clock clock;
	int64_t time_ms; /* the timetable's, of the last tick */
	int64_t back_ms; /* so far it ever went back, in sum */
	bool in_tick;
	int64_t rewind_ms; /* the tick takes the ledger back there; or 0 */

	struct ledger_schedule s[LEDGER_SCHEDULES];
	int n;
	struct {
		int64_t run, ends_ms;
		int how;
	} children[LEDGER_CHILDREN];
	int n_children;

	uint64_t calls, kill_at; /* of the seam, in this life */
	uint64_t ticks, steps, confirmed, kills, lives;
	char failed[600];
};

/* What a life has at hand. */
struct ledger_life {
	struct ledger_world *w;
	struct catalog *c;
	struct scheduler *s;
	struct instant next;
	struct err e;
	char boot[40];
	int idle;
};

/* ---- Saying no ---------------------------------------------------------- */

/* In a life, which is a process of its own and may not assert. */
static inline void ledger_fail(struct ledger_world *w, const char *form, ...)
	PRINTF_LIKE(2, 3);
static inline void ledger_fail(struct ledger_world *w, const char *form, ...)
{
	va_list args;

	va_start(args, form);
	(void)vsnprintf(w->failed, sizeof(w->failed), form, args);
	va_end(args);
	_exit(9);
}

#define LEDGER_OK(l, call)                                                 \
	do {                                                               \
		if ((call) < 0)                                            \
			ledger_fail((l)->w, "%s: %s", #call, (l)->e.text); \
	} while (0)

/* ---- Clocks ------------------------------------------------------------- */

static inline int64_t ledger_wall(const struct ledger_world *w)
{
	return w->now_ms + w->wall_ahead_ms;
}

static inline int64_t ledger_boot_ms(const struct ledger_world *w)
{
	return w->now_ms - w->booted_ms + 5000;
}

static inline int64_t ledger_sec(int64_t ms)
{
	return ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
}

static inline struct instant ledger_instant(int64_t ms)
{
	const int64_t sec = ledger_sec(ms);

	return (struct instant){
		.sec = sec, .nsec = (uint32_t)(ms - sec * 1000) * 1000000
	};
}

static inline void ledger_boot_name(int boot, char out[40])
{
	(void)snprintf(out, 40, "%08x-0000-4000-8000-000000000000",
		       0xb0070000U + (unsigned int)boot);
}

static inline int64_t ledger_expected(const struct ledger_world *w)
{
	return w->clock.wall_ms + ledger_boot_ms(w) - w->clock.boot_ms;
}

/* Of two boots only a loss says anything. */
static inline bool ledger_suspicious(const struct ledger_world *w)
{
	const int64_t gained = ledger_wall(w) - ledger_expected(w);

	return gained <= -LEDGER_STEP_MS ||
	       (w->clock.boot == w->boot && gained >= LEDGER_STEP_MS);
}

static inline void ledger_believe(struct ledger_world *w)
{
	struct ledger_clock *k = &w->clock;

	k->known = true;
	k->in_doubt = k->confirmed = false;
	k->wall_ms = ledger_wall(w);
	k->boot_ms = k->put_ms = ledger_boot_ms(w);
	k->boot = w->boot;
}

/* Which time it is for the timetable, when the daemon looks now. */
static inline void ledger_look(struct ledger_world *w)
{
	struct ledger_clock *k = &w->clock;
	const int64_t before_ms = w->time_ms;

	w->rewind_ms = 0;
	if (!k->known || !ledger_suspicious(w)) {
		if (!k->known || k->in_doubt || k->first ||
		    k->boot != w->boot ||
		    ledger_boot_ms(w) - k->put_ms >= LEDGER_STORE_MS)
			ledger_believe(w);
		w->time_ms = ledger_wall(w);
	} else if (k->in_doubt && k->confirmed) {
		ledger_believe(w);
		w->time_ms = w->rewind_ms = ledger_wall(w);
		w->confirmed++;
	} else {
		/* Doubted anew, whatever was said of an earlier doubt. */
		k->confirmed = k->confirmed && k->in_doubt;
		k->in_doubt = true;
		w->time_ms = ledger_expected(w);
	}
	k->first = false;
	if (before_ms && w->time_ms < before_ms)
		w->back_ms += before_ms - w->time_ms;
}

/* What the daemon before left of it. */
static inline void ledger_read(struct ledger_world *w)
{
	const struct frame f = { .c = NULL };
	struct frame as = f;
	struct ledger_clock *k = &w->clock;
	char boot[40];
	char select[160];

	(void)snprintf(as.path, sizeof(as.path), "%s", w->path);
	*k = (struct ledger_clock){ .first = true };
	for (int i = 0; i < w->n; i++) {
		(void)snprintf(select, sizeof(select),
			       "SELECT count(*) FROM accounts WHERE "
			       "schedule_uid = '%s'",
			       w->s[i].uid);
		w->s[i].is_new = frame_count(&as, select) == 0;
	}
	k->known = frame_count(&as, "SELECT count(*) FROM clock") == 1;
	if (!k->known)
		return;
	k->wall_ms = frame_count(&as, "SELECT wall_us FROM clock") / 1000;
	k->boot_ms = frame_count(&as, "SELECT boot_ms FROM clock");
	ledger_boot_name(w->boot, boot);
	(void)snprintf(select, sizeof(select),
		       "SELECT boot_id = '%s' FROM clock", boot);
	if (frame_count(&as, select)) {
		k->boot = w->boot;
		return;
	}
	k->boot = -1;
	k->boot_ms = ledger_boot_ms(w);
}

/* ---- Ticks -------------------------------------------------------------- */

/* A new one counts from when it was applied, if that can have been. */
static inline void ledger_account(struct ledger_world *w,
				  struct ledger_schedule *s)
{
	const int64_t now_s = ledger_sec(w->time_ms);

	if (s->is_new)
		s->low_s = s->accounted_s = w->clock.in_doubt ||
							    s->created_s > now_s
						    ? now_s
						    : s->created_s;
}

static inline void ledger_tick(struct ledger_life *l)
{
	struct ledger_world *w = l->w;

	w->in_tick = true;
	ledger_look(w);
	for (int i = 0; i < w->n; i++)
		ledger_account(w, &w->s[i]);
	LEDGER_OK(l, scheduler_tick(l->s, ledger_instant(ledger_wall(w)),
				    ledger_boot_ms(w), &l->next, &l->e));
	for (int i = 0; i < w->n; i++) {
		struct ledger_schedule *s = &w->s[i];
		const int64_t now_s = ledger_sec(w->time_ms);

		if (w->rewind_ms) {
			s->accounted_s = now_s;
			if (now_s < s->low_s)
				s->low_s = now_s;
		}
		if (now_s > s->accounted_s)
			s->accounted_s = now_s;
		s->is_new = false;
	}
	w->rewind_ms = 0;
	w->in_tick = false;
	w->ticks++;
}

/* ---- Runs --------------------------------------------------------------- */

enum { LEDGER_WELL, LEDGER_BADLY, LEDGER_SILENTLY };

/* The last word of a run's process. */
static inline void ledger_tell(struct ledger_life *l, int64_t run, int how)
{
	const struct catalog_step step = {
		.run = run,
		.step = "run",
		.source = "",
		.region = "",
		.message = how == LEDGER_WELL ? "" : "m",
		.state = how == LEDGER_WELL ? "succeeded" : "failed",
	};

	if (how != LEDGER_SILENTLY)
		LEDGER_OK(l, catalog_step_put(l->c, &step, &l->e));
}

static inline bool ledger_end_children(struct ledger_life *l)
{
	struct ledger_world *w = l->w;
	bool any = false;

	for (int i = 0; i < w->n_children;) {
		struct supervisor_end end = { .run = w->children[i].run,
					      .exit_status = -1,
					      .signal = 9 };
		const int how = w->children[i].how;

		if (w->children[i].ends_ms > w->now_ms) {
			i++;
			continue;
		}
		ledger_tell(l, end.run, how);
		w->children[i] = w->children[--w->n_children];
		LEDGER_OK(l, scheduler_ended(l->s, &end, false,
					     ledger_instant(ledger_wall(w)),
					     ledger_boot_ms(w), &l->e));
		any = true;
	}
	return any;
}

/* The supervisor's part: a child is a line in the world's list. */
static inline void ledger_child(struct ledger_world *w, int64_t run)
{
	const uint64_t fate = random_below(&w->dice, 10);
	int64_t lasts_ms = 0;

	if (w->n_children == LEDGER_CHILDREN)
		ledger_fail(w, "there are too many runs at once");
	if (random_below(&w->dice, 2))
		lasts_ms = (int64_t)(random_any_size(&w->dice) %
				     (4 * 3600 * 1000));
	w->children[w->n_children].run = run;
	w->children[w->n_children].ends_ms = w->now_ms + lasts_ms;
	w->children[w->n_children++].how = fate < 7   ? LEDGER_WELL
					   : fate < 9 ? LEDGER_BADLY
						      : LEDGER_SILENTLY;
}

/* ---- Schedules ---------------------------------------------------------- */

static inline void ledger_spec(const struct ledger_world *w,
			       const struct ledger_plan *p, char *out,
			       size_t room)
{
	size_t n = (size_t)snprintf(
		out, room,
		"{\"cron\":\"%s\",\"timeZone\":\"%s\",\"sources\":{\"names\":"
		"[\"etc\"]},\"repository\":\"main\",\"catchUp\":\"%s\","
		"\"overlap\":\"%s\",\"retries\":%u,\"suspend\":%s",
		p->cron.text, w->zone, ledger_catch_up[p->catch_up],
		p->queue ? "queue" : "skip", p->retries,
		p->suspended ? "true" : "false");

	if (p->window_s)
		n += (size_t)snprintf(out + n, room - n,
				      ",\"startWindow\":\"%" PRId64 "s\"",
				      p->window_s);
	if (p->jitter_s)
		n += (size_t)snprintf(out + n, room - n,
				      ",\"jitter\":\"%" PRId64 "s\"",
				      p->jitter_s);
	if (p->blackout_s)
		n += (size_t)snprintf(out + n, room - n,
				      ",\"blackout\":[{\"cron\":\"%s\","
				      "\"for\":\"%" PRId64 "s\"}]",
				      p->blackout.text, p->blackout_s);
	(void)snprintf(out + n, room - n, "}");
}

static inline void ledger_apply(struct ledger_life *l, const char *kind,
				const char *name, const char *spec)
{
	const struct catalog_document d = { .kind = kind,
					    .name = name,
					    .spec_json = spec };
	struct catalog_actor who = by("tester", 0);
	struct catalog_applied applied = { 0 };

	who.now = ledger_instant(ledger_wall(l->w));
	LEDGER_OK(l, catalog_apply(l->c, &d, 1, &who, &applied, &l->e));
	catalog_applied_done(&applied, 1);
	if (l->s)
		scheduler_reload(l->s);
}

/* Another version of one of them, which is the last one's but for a little. */
static inline void ledger_change(struct ledger_life *l)
{
	struct ledger_world *w = l->w;
	struct ledger_schedule *s =
		&w->s[random_below(&w->dice, (uint64_t)w->n)];
	struct ledger_plan *p = &s->v[s->n];
	char spec[1500];

	if (s->n == LEDGER_VERSIONS)
		return;
	*p = s->v[s->n - 1];
	/* Of all that could change, what no oracle of ours would notice is the
	 * text alone: so that there is a new version in any case. */
	p->retries++;
	switch (random_below(&w->dice, 4)) {
	case 0:
		p->suspended = !p->suspended;
		break;
	case 1:
		p->catch_up = (p->catch_up + 1) % 3;
		break;
	case 2:
		p->cron = cron_draw_usual(&w->dice);
		break;
	default:
		p->window_s = p->window_s ? 0 : 1800;
	}
	p->from_s = ledger_sec(ledger_wall(w));
	if (p->from_s < s->accounted_s)
		p->from_s = s->accounted_s;
	s->n++;
	ledger_spec(w, p, spec, sizeof(spec));
	ledger_apply(l, "Schedule", s->name, spec);
}

/* ---- What happens ------------------------------------------------------- */

/* Of any order of magnitude, below 2 * most. */
static inline int64_t ledger_any(struct random *r, int64_t least, int64_t most)
{
	int64_t v = least;

	while (v < most / 2 && random_below(r, 5))
		v *= 2;
	return v + (int64_t)random_below(r, (uint64_t)v);
}

static inline void ledger_step(struct ledger_world *w, int64_t least_ms,
			       int64_t most_ms)
{
	const int64_t by = ledger_any(&w->dice, least_ms, most_ms);

	w->wall_ahead_ms += random_below(&w->dice, 2) ? by : -by;
	w->steps++;
}

static inline void ledger_confirm(struct ledger_life *l)
{
	struct ledger_world *w = l->w;
	struct catalog_actor who = by("root", 0);
	int changed;

	who.now = ledger_instant(ledger_wall(w));
	changed = catalog_clock_confirm(l->c, &who, &l->e);
	LEDGER_OK(l, changed);
	if (changed != 1)
		ledger_fail(w, "nobody knows that the clock is in doubt");
	w->clock.confirmed = true;
	scheduler_reload(l->s);
}

static inline void ledger_event(struct ledger_life *l)
{
	struct ledger_world *w = l->w;

	if (w->changing && random_below(&w->dice, 2) && !w->clock.in_doubt) {
		ledger_change(l);
		return;
	}
	if (w->changing || random_below(&w->dice, 3) == 0) {
		/* So little is followed at once. */
		ledger_step(w, 1000, w->changing ? 60000 : LEDGER_STEP_MS / 2);
		return;
	}
	if (w->clock.in_doubt && random_below(&w->dice, 2)) {
		ledger_confirm(l);
		return;
	}
	if (w->clock.in_doubt && random_below(&w->dice, 2)) {
		/* It is set right again. */
		w->wall_ahead_ms = w->time_ms - w->now_ms;
		return;
	}
	ledger_step(w, 60000, w->most_step_ms / 2);
}

/* ---- A life ------------------------------------------------------------- */

static inline int ledger_count_call(void *arg, enum seam_call call,
				    const char *path)
{
	struct ledger_world *w = arg;

	(void)call;
	(void)path;
	if (++w->calls == w->kill_at)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static inline void ledger_begin(struct ledger_life *l)
{
	struct ledger_world *w = l->w;
	const struct scheduler_settings settings = {
		/* Never looked into: its functions are the world's. */
		.supervisor = (struct supervisor *)(void *)w,
		.catalog = l->c,
		.host = "h1",
		.boot_id = l->boot,
	};

	ledger_boot_name(w->boot, l->boot);
	/* What ran when the daemon died may have ended well since. */
	while (w->n_children > 0) {
		const int how = w->children[--w->n_children].how;

		if (random_below(&w->dice, 2))
			ledger_tell(l, w->children[w->n_children].run, how);
	}
	LEDGER_OK(l, scheduler_new(&settings, &l->s, &l->e));
	w->calls = 0;
	seam_set_hook(ledger_count_call, w);
	w->in_tick = true;
	ledger_look(w);
	if (w->rewind_ms)
		ledger_fail(w, "a new daemon cannot know of a confirmation");
	LEDGER_OK(l, scheduler_recover(l->s, ledger_instant(ledger_wall(w)),
				       ledger_boot_ms(w), &l->e));
	ledger_tick(l);
}

/* So long nothing happens that the daemon waits for. */
static inline int64_t ledger_pause(const struct ledger_life *l)
{
	const struct ledger_world *w = l->w;
	int64_t pause = w->sleep_ms;

	if (l->next.sec < ledger_sec(ledger_wall(w)))
		pause = 0;
	else if (l->next.sec < INT64_MAX / 2000 &&
		 l->next.sec * 1000 - ledger_wall(w) < pause)
		pause = l->next.sec * 1000 - ledger_wall(w);
	for (int i = 0; i < w->n_children; i++)
		if (w->children[i].ends_ms - w->now_ms < pause)
			pause = w->children[i].ends_ms - w->now_ms;
	return pause > 0 ? pause : 0;
}

static inline int ledger_found(void *arg, const struct catalog_occurrence *o,
			       struct err *e)
{
	(void)e;
	*(int64_t *)arg = o->at.sec;
	return 1;
}

/* Nothing was due that the daemon did not want to be awake for. */
static inline void ledger_expect_none(struct ledger_life *l, int64_t after_s,
				      int64_t before_s)
{
	const struct catalog_occurrence_filter filter = {
		.from = { .sec = after_s + 1 },
		.to = { .sec = before_s },
		.limit = 1,
	};
	int64_t found_s = 0;

	if (after_s + 1 >= before_s)
		return;
	LEDGER_OK(l, catalog_occurrences(l->c, &filter, ledger_found, &found_s,
					 &l->e));
	if (found_s)
		ledger_fail(l->w,
			    "it slept from %jd until %jd, though %jd was due",
			    (intmax_t)after_s, (intmax_t)before_s,
			    (intmax_t)found_s);
}

static inline void ledger_go_on(struct ledger_life *l)
{
	struct ledger_world *w = l->w;
	const int64_t pause = ledger_pause(l);
	const int64_t was = w->wall_ahead_ms;
	const bool doubted = w->clock.in_doubt;
	const int64_t before_s = ledger_sec(w->time_ms);
	const int64_t next_s = l->next.sec < INT64_MAX / 2000
				       ? l->next.sec
				       : INT64_MAX / 2000000;

	l->idle = pause ? 0 : l->idle + 1;
	w->now_ms += pause;
	/* A machine with more to do than that. */
	if (random_below(&w->dice, 20) == 0)
		w->now_ms += ledger_any(&w->dice, 1000, 600000);
	if (ledger_end_children(l))
		l->idle = 0;
	if (random_below(&w->dice, 25) == 0) {
		ledger_event(l);
		l->idle = 0;
	}
	if (l->idle > 20)
		ledger_fail(w, "it wants to be asked again and again");
	ledger_tick(l);
	if (was == w->wall_ahead_ms && !w->back_ms && !doubted)
		ledger_expect_none(l, before_s, next_s);
}

/* A process: it ends by _exit() or is killed. */
static inline void ledger_live(struct ledger_world *w, int64_t until_ms)
{
	struct ledger_life l = { .w = w };

	log_set_level(LOG_LEVEL_ERROR);
	LEDGER_OK(&l, catalog_open(w->path, &l.c, &l.e));
	ledger_begin(&l);
	while (w->now_ms < until_ms)
		ledger_go_on(&l);
	_exit(0);
}

#endif
