/*
 * What is due and why: from a schedule, the ledger's tail and the time to
 * rows for the ledger and decisions about those that are open.
 *
 * The scheduler's tick is three pure steps and what the service does between
 * them:
 *
 *	plan_account()	which occurrences became due since the last tick, and
 *			how each enters the ledger: waiting for its start, or
 *			ended already.  The service inserts the rows and the
 *			new "accounted until" in one transaction.
 *	plan_decide()	what happens to the schedule's open occurrences now:
 *			start, wait until some time, or end without a run.
 *	plan_order()	whose turn it is: the starts of all schedules, in the
 *			order in which the service claims them until the
 *			limits of their repositories and of the host are
 *			reached.
 *
 * An occurrence is named by its schedule and its instant before jitter
 * (at_s); it enters the ledger at that instant and starts at start_s, which
 * is jitter later.  A new schedule is accounted until the instant at which it
 * was applied, so applying it fires nothing; before a change is applied, the
 * old version is accounted until that instant.  When the clock went back,
 * nothing is due until it passes "accounted until" again: no occurrence twice.
 *
 * What was due while nobody looked.  An occurrence is *late* when it is first
 * seen more than PLAN_ON_TIME_S after its start.  catchUp decides:
 *
 *	one	of all that are due the newest that may run is run, the
 *		others end as superseded (as missed, when none may run)
 *	all	each runs, one after the other, whatever overlap says
 *	none	late ones end as missed
 *
 * In this order: while suspended, what is due is skipped(suspended); a start
 * in a blackout window is skipped(blackout); a start whose window has passed
 * (startWindow > 0) is missed(window); then catchUp.
 *
 * An open occurrence that may start waits while another of the same schedule
 * runs or is between retries.  overlap: skip ends it as skipped(overlap) at
 * once; queue lets it wait its turn, and the queue has one place: a newer one
 * that is due supersedes the one that waits.  A late start, a queued one and
 * a retry wait for the end of a blackout window; none of the first two
 * outlives startWindow.  A retry ignores startWindow.
 *
 * A timetable is a cron expression or a period.  The instants of a period lie
 * that far apart from 1970 on, shifted by hash of the uid, so that many of the
 * same period do not come together.
 *
 * Instants are UTC seconds; nothing here allocates.
 */
#ifndef SCHEDULES_PLAN_H
#define SCHEDULES_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "schedules/cron.h"
#include "schedules/zone.h"

/* Ticks may be this late without anything being called late. */
#define PLAN_ON_TIME_S 300

enum plan_catch_up { PLAN_CATCH_UP_ONE, PLAN_CATCH_UP_ALL, PLAN_CATCH_UP_NONE };
enum plan_overlap { PLAN_OVERLAP_SKIP, PLAN_OVERLAP_QUEUE };

/* Windows that begin with a timetable, in the schedule's zone. */
struct plan_blackout {
	struct cron cron;
	int64_t for_s;
};

/* As every_s: nothing is ever due. */
#define PLAN_NEVER INT64_MAX

struct plan_schedule {
	const char *uid;
	struct cron cron; /* when every_s is 0 */
	int64_t every_s;
	const struct zone *zone;
	enum plan_catch_up catch_up;
	enum plan_overlap overlap;
	int64_t start_window_s; /* 0: no limit */
	int64_t jitter_ms;
	const struct plan_blackout *blackouts;
	size_t n_blackouts;
	bool suspended;
	uint32_t retries;
};

/* Where an occurrence stands; the names are the ledger's. */
enum plan_state {
	PLAN_WAITING, /* open: its run is still to come */
	PLAN_MISSED,
	PLAN_SKIPPED,
	PLAN_SUPERSEDED,
	PLAN_FAILED,
	PLAN_STATES
};

enum plan_reason {
	PLAN_ON_TIME,
	PLAN_CAUGHT_UP,	  /* late, and run by catchUp */
	PLAN_NEWER,	  /* a newer one is run instead */
	PLAN_NO_CATCH_UP, /* late, and catchUp is none or none may run */
	PLAN_WINDOW,	  /* startWindow has passed */
	PLAN_SUSPENDED,
	PLAN_BLACKOUT,
	PLAN_OVERLAP, /* the one before is not done */
	PLAN_NOT_YET, /* before its start, or before the next retry */
	PLAN_RETRY,
	PLAN_REASONS
};

/* "superseded", "window"; for manifests "one", "skip". */
const char *plan_state_name(enum plan_state s) RETURNS_NONNULL;
const char *plan_reason_name(enum plan_reason r) RETURNS_NONNULL;
const char *plan_catch_up_name(enum plan_catch_up c) RETURNS_NONNULL;
const char *plan_overlap_name(enum plan_overlap o) RETURNS_NONNULL;
/* The reverse: 1 or 0. */
int plan_catch_up_named(const char *name, enum plan_catch_up *ret)
	NONNULL(1, 2);
int plan_overlap_named(const char *name, enum plan_overlap *ret) NONNULL(1, 2);

/* The first instant of the timetable after t: 1, or 0 when there is none. */
int plan_next(const struct plan_schedule *s, int64_t after_s, int64_t *ret_s)
	NONNULL(1, 3);

/* A new row for the ledger. */
struct plan_occurrence {
	int64_t at_s;
	int64_t start_s;
	int64_t late_s; /* now - start_s, 0 when it is yet to come */
	enum plan_state state;
	enum plan_reason reason;
	bool caught_up; /* to be given back in struct plan_open */
};

typedef int plan_sink(void *arg, const struct plan_occurrence *o,
		      struct err *e);

/* What is to be accounted: (accounted_s, now_s], in portions. */
struct plan_gap {
	int64_t accounted_s; /* moves on with what was given to the sink */
	int64_t now_s;	     /* the same for all portions of one gap */
	size_t most;	     /* occurrences in one portion, at least 1 */
};

/*
 * Give the occurrences of the gap to the sink, oldest first, but no more than
 * `most` of them, so that a daemon that was off for years writes its ledger
 * in portions: 1 when there are more (call again), 0 when all are accounted,
 * -1 when the sink failed.  What an occurrence becomes does not depend on how
 * the portions are cut.
 */
int plan_account(const struct plan_schedule *s, struct plan_gap *gap,
		 plan_sink *sink, void *arg, struct err *e) NONNULL(1, 2, 3, 5)
	MUST_CHECK;

/* An occurrence of the ledger that has not ended. */
struct plan_open {
	int64_t at_s;
	int64_t start_s;
	int64_t retry_s;   /* when attempts > 0: not before this */
	uint32_t attempts; /* runs that failed or were interrupted */
	bool running;
	bool caught_up;
};

enum plan_action { PLAN_WAIT, PLAN_START, PLAN_END };

struct plan_step {
	enum plan_action action;
	enum plan_state state; /* of PLAN_END, else PLAN_WAITING */
	enum plan_reason reason;
	int64_t until_s; /* PLAN_WAIT: look again then; INT64_MAX when a run
			    has to end first */
};

/*
 * What to do about the n open occurrences of one schedule, ascending by at_s.
 * Those that run get PLAN_WAIT.  At most one is started.
 */
void plan_decide(const struct plan_schedule *s, const struct plan_open *open,
		 size_t n, int64_t now_s, struct plan_step *ret_steps)
	NONNULL(1);

/*
 * The earliest instant after now_s at which a tick has anything to do for
 * this schedule; INT64_MAX when never.
 */
int64_t plan_wake(const struct plan_schedule *s, int64_t accounted_s,
		  const struct plan_step *steps, size_t n) NONNULL(1);

/*
 * The pause before the next run of an occurrence after `attempts` failed
 * ones: 1 and the seconds, or 0 when its retries are used up.  One minute,
 * doubled each time up to an hour, and up to a quarter more by hash, so that
 * what failed together does not come back together.
 */
int plan_retry(const struct plan_schedule *s, int64_t at_s, uint32_t attempts,
	       int64_t *ret_delay_s) NONNULL(1, 4);

/*
 * Whether t lies in a blackout window: 1 and the end of it and of those that
 * overlap it, else 0.  Windows without any end are followed for some time
 * only; what is returned is then an instant to look again.
 */
int plan_in_blackout(const struct plan_schedule *s, int64_t t_s,
		     int64_t *ret_until_s) NONNULL(1, 3);

struct plan_candidate {
	const char *uid;
	int64_t start_s; /* since when it may start */
	size_t index;	 /* the caller's */
};

/*
 * Sort: the earliest start first, so that whoever waited longest has the next
 * place, equal ones by uid, then by index.
 */
void plan_order(struct plan_candidate *candidates, size_t n);

/* Both clocks at one moment.  boot_id tells one boot from the next. */
struct plan_clocks {
	struct instant wall;
	int64_t boot_ms;
	uint64_t boot_id;
};

#define PLAN_CLOCK_STEP_MS 300000

/*
 * Whether the wall clock gained (*ret_gained_ms > 0) or lost five minutes or
 * more on the boot-time clock since `then`.  Of two boots nothing can be said
 * but that time does not run backwards, so only a loss is suspicious.
 */
bool plan_clock_is_suspicious(struct plan_clocks then, struct plan_clocks now,
			      int64_t *ret_gained_ms) NONNULL(3);

#endif
