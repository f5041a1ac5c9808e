/* The ends of runs: what they told, what is left of them, what comes next. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/scheduler_internal.h"

/*
 * A run that was interrupted (the daemon stopped or died) did not fail, so it
 * uses up no retry; but it is tried so much more often only, in case it is
 * the run that brings the machine down.
 */
enum { INTERRUPTIONS = 5 };

/* All processes of an earlier daemon's runs together get this long to die. */
enum { KILL_WAIT_MS = 2000, KILL_LOOK_MS = 20 };

/* ---- Closing ------------------------------------------------------------ */

static enum catalog_occurrence_state outcome_of(enum catalog_run_state state,
						int64_t attempt)
{
	switch (state) {
	case CATALOG_RUN_SUCCEEDED:
		return CATALOG_SUCCEEDED;
	case CATALOG_RUN_PARTIAL:
		return CATALOG_PARTIAL;
	case CATALOG_RUN_CANCELLED:
		return attempt > 1 ? CATALOG_FAILED : CATALOG_SKIPPED;
	default:
		return CATALOG_FAILED;
	}
}

/* How often an occurrence was tried in vain, and why. */
struct tried {
	uint32_t failed, interrupted;
};

static int count_try(void *arg, const struct catalog_run *r,
		     struct err *e UNUSED)
{
	struct tried *tried = arg;

	tried->failed += r->state == CATALOG_RUN_FAILED;
	tried->interrupted += r->state == CATALOG_RUN_INTERRUPTED;
	return 0;
}

/* When the next attempt is after this one, or {0, 0} when there is none. */
static int next_attempt(const struct scheduler *s,
			const struct scheduler_run *run,
			enum catalog_run_state state, struct instant now,
			struct instant *ret, struct err *e)
{
	const struct catalog_run_filter filter = { .occurrence =
							   run->occurrence };
	const struct timetable_entry *entry = timetable_find(s->timetable,
							     run->schedule_uid);
	struct tried tried = { 0 };
	int64_t delay_s = 0;

	*ret = (struct instant){ 0 };
	/* Nobody would look after a retry of a schedule that is gone. */
	if (run->occurrence == 0 || !entry)
		return 0;
	if (catalog_runs(s->settings.catalog, &filter, count_try, &tried, e) <
	    0)
		return -1;
	if (state == CATALOG_RUN_INTERRUPTED
		    ? tried.interrupted + 1 >=
			      INTERRUPTIONS + entry->plan.retries
		    : state != CATALOG_RUN_FAILED || entry->problem[0] ||
			      !plan_retry(&entry->plan, run->at_s,
					  tried.failed + 1, &delay_s))
		return 0;
	*ret = (struct instant){ .sec = now.sec + delay_s };
	return 0;
}

int scheduler_close_run(struct scheduler *s, const struct scheduler_run *run,
			const struct scheduler_verdict *verdict,
			struct instant now, struct err *e)
{
	struct catalog_run_end end = {
		.run = run->id,
		.state = verdict->state,
		.message = verdict->message,
		.now = now,
		.outcome = outcome_of(verdict->state, run->attempt),
		.reason = verdict->message,
	};
	struct timetable_entry *entry;

	if (next_attempt(s, run, verdict->state, now, &end.retry_at, e) < 0 ||
	    catalog_run_end(s->settings.catalog, &end, e) < 0)
		return -1;
	log_event(verdict->state == CATALOG_RUN_SUCCEEDED ? LOG_LEVEL_INFO
							  : LOG_LEVEL_WARN,
		  "run %jd %s%s%s%s", (intmax_t)run->id,
		  catalog_run_state_name(verdict->state),
		  verdict->message[0] ? ": " : "", verdict->message,
		  end.retry_at.sec ? " (it will be tried again)" : "");
	/* Its schedule, and any that waited for room, may go on. */
	for (size_t i = 0; i < s->timetable->count; i++) {
		entry = &s->timetable->entries[i];
		if (entry->waits || strcmp(entry->uid, run->schedule_uid) == 0)
			entry->wake_s = INT64_MIN;
	}
	return 0;
}

/* ---- Judging ------------------------------------------------------------ */

struct told {
	bool any;
	struct scheduler_verdict verdict;
};

/* The step "run" is the last word of a run's process. */
static int read_step(void *arg, const struct catalog_step *step,
		     struct err *e UNUSED)
{
	static const struct {
		const char *name;
		enum catalog_run_state state;
	} states[] = { { "succeeded", CATALOG_RUN_SUCCEEDED },
		       { "partial", CATALOG_RUN_PARTIAL },
		       { "failed", CATALOG_RUN_FAILED } };
	struct told *told = arg;

	if (strcmp(step->step, "run") != 0)
		return 0;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(states[i].name, step->state) == 0) {
			told->any = true;
			told->verdict.state = states[i].state;
		}
	(void)snprintf(told->verdict.message, sizeof(told->verdict.message),
		       "%.399s", step->message);
	return 0;
}

static int ask_steps(struct scheduler *s, int64_t run, struct told *ret,
		     struct err *e)
{
	*ret = (struct told){ .any = false };
	return catalog_steps(s->settings.catalog, run, read_step, ret, e) < 0
		       ? -1
		       : 0;
}

static void judge(const struct supervisor_end *end, bool cancel_asked,
		  bool stopping, struct scheduler_verdict *ret)
{
	ret->message[0] = '\0';
	if (cancel_asked) {
		ret->state = CATALOG_RUN_CANCELLED;
		(void)snprintf(ret->message, sizeof(ret->message), "cancelled");
	} else if (stopping) {
		ret->state = CATALOG_RUN_INTERRUPTED;
		(void)snprintf(ret->message, sizeof(ret->message),
			       "the daemon stopped");
	} else if (end->signal) {
		ret->state = CATALOG_RUN_FAILED;
		(void)snprintf(ret->message, sizeof(ret->message),
			       "its process was killed by signal %d (SIG%s)",
			       end->signal, sigabbrev_np(end->signal));
	} else {
		ret->state = CATALOG_RUN_FAILED;
		(void)snprintf(ret->message, sizeof(ret->message),
			       "its process ended with status %d and told "
			       "nothing; see its log",
			       end->exit_status);
	}
}

/* More of the message: one that does not die of SIGKILL hangs in the kernel. */
static void tell_lingering(intmax_t pid, struct scheduler_verdict *ret)
{
	const size_t n = strlen(ret->message);

	(void)snprintf(ret->message + n, sizeof(ret->message) - n,
		       "%sits process %jd does not end: it waits in the kernel "
		       "for a device, or a mount that does not answer",
		       n ? "; " : "", pid);
}

int scheduler_ended(struct scheduler *s, const struct supervisor_end *end,
		    bool stopping, struct instant wall, int64_t boot_ms,
		    struct err *e)
{
	const struct instant now = scheduler_clock_now(s, wall, boot_ms);
	struct scheduler_run run = { 0 };
	struct told told = { .any = false };
	const int found = catalog_run_get(s->settings.catalog, end->run,
					  scheduler_copy_run, &run, e);

	if (found < 0 || (found == 1 && ask_steps(s, end->run, &told, e) < 0))
		return -1;
	if (found == 0 || run.state != CATALOG_RUN_RUNNING)
		return 0;
	if (!told.any)
		judge(end, run.cancel_asked, stopping, &told.verdict);
	if (!told.any && end->lingers)
		tell_lingering(end->lingers, &told.verdict);
	return scheduler_close_run(s, &run, &told.verdict, now, e);
}

/* ---- After an earlier daemon -------------------------------------------- */

struct strays {
	struct scheduler *s;
	struct scheduler_run *runs;
	size_t n, room;
};

/*
 * The lock on the state folder means that no other daemon's run can be alive,
 * whatever this host was called when it began.
 */
static int add_stray(void *arg, const struct catalog_run *r, struct err *e)
{
	struct strays *strays = arg;

	if (supervisor_has(strays->s->settings.supervisor, r->id))
		return 0;
	if (strays->n == strays->room) {
		const size_t room = strays->room ? 2 * strays->room : 16;
		struct scheduler_run *more = reallocarray(strays->runs, room,
							  sizeof(*more));

		if (!more)
			return err_oom(e);
		strays->runs = more;
		strays->room = room;
	}
	return scheduler_copy_run(&strays->runs[strays->n++], r, e);
}

/*
 * A process can only be told from others within one boot; the host's name
 * says nothing, as it can change while the process runs.
 */
static bool is_alive(const struct scheduler *s, const struct scheduler_run *run)
{
	return run->pid > 0 && strcmp(run->boot_id, s->settings.boot_id) == 0 &&
	       supervisor_process_start((pid_t)run->pid) == run->pid_start;
}

/*
 * Whether the process is gone, after it was made to go.  One that hangs in the
 * kernel is not, but does nothing of its own any more.
 */
static bool make_gone(const struct scheduler *s,
		      const struct scheduler_run *run, int64_t limit_ms)
{
	while (is_alive(s, run)) {
		(void)kill(-(pid_t)run->pid, SIGKILL);
		(void)kill((pid_t)run->pid, SIGKILL);
		if (clock_boot_ms() >= limit_ms)
			return false;
		clock_sleep_ms(KILL_LOOK_MS);
	}
	return true;
}

static int close_stray(struct scheduler *s, const struct scheduler_run *run,
		       int64_t limit_ms, struct instant now, struct err *e)
{
	const bool gone = make_gone(s, run, limit_ms);
	struct told told = { .any = false };

	if (ask_steps(s, run->id, &told, e) < 0)
		return -1;
	if (!told.any) {
		told.verdict.state = run->cancel_asked
					     ? CATALOG_RUN_CANCELLED
					     : CATALOG_RUN_INTERRUPTED;
		(void)snprintf(
			told.verdict.message, sizeof(told.verdict.message),
			run->cancel_asked ? "cancelled" : "the daemon died");
		if (!gone)
			tell_lingering((intmax_t)run->pid, &told.verdict);
	}
	return scheduler_close_run(s, run, &told.verdict, now, e);
}

int scheduler_recover(struct scheduler *s, struct instant wall, int64_t boot_ms,
		      struct err *e)
{
	const struct catalog_run_filter filter = {
		.states = 1U << CATALOG_RUN_RUNNING
	};
	struct strays strays = { .s = s };
	const int64_t limit_ms = clock_boot_ms() + KILL_WAIT_MS;
	struct instant now;
	int status;

	if (scheduler_clock_look(s, wall, boot_ms, &now, e) < 0)
		return -1;
	/* What failed is tried again as its schedule says. */
	if (scheduler_read_resources(s, now, boot_ms, e) < 0)
		return -1;
	status = catalog_runs(s->settings.catalog, &filter, add_stray, &strays,
			      e);
	for (size_t i = 0; i < strays.n && status >= 0; i++)
		status = close_stray(s, &strays.runs[i], limit_ms, now, e);
	free(strays.runs);
	return status < 0 ? -1 : 0;
}
