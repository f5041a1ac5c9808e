#include "service/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/scheduler_internal.h"

/*
 * Resources are read again when they change (the API says so); once a minute
 * anyway, as a catalog can be restored under us.  A daemon that was off for
 * years, or whose clock says so, writes its ledger in portions, and no more
 * than some of them in a tick: signals and other schedules have their turn,
 * and a clock that is wrong until the network is there does little harm.
 */
enum { READ_EVERY_MS = 60000, PORTION = 1000, TICK_ROWS = 5000 };

/* Open occurrences of one schedule that are looked at in one tick. */
enum { OPEN_MAX = 2000 };

int scheduler_new(const struct scheduler_settings *settings,
		  struct scheduler **ret, struct err *e)
{
	struct scheduler *s = calloc(1, sizeof(*s));

	if (!s)
		return err_oom(e);
	s->settings = *settings;
	s->stale = true;
	*ret = s;
	return 0;
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	timetable_free(s->timetable);
	free(s);
}

void scheduler_reload(struct scheduler *s)
{
	s->stale = true;
}

void scheduler_set_host_max(struct scheduler *s, unsigned int host_max)
{
	s->settings.host_max = host_max;
}

int scheduler_copy_run(void *arg, const struct catalog_run *r,
		       struct err *e UNUSED)
{
	struct scheduler_run *run = arg;

	*run = (struct scheduler_run){ .id = r->id,
				       .occurrence = r->occurrence,
				       .attempt = r->attempt,
				       .pid = r->pid,
				       .pid_start = r->pid_start,
				       .at_s = r->occurrence_at.sec,
				       .state = r->state,
				       .not_before = r->not_before,
				       .cancel_asked = r->cancel_asked.sec !=
						       0 };
	(void)snprintf(run->schedule_uid, sizeof(run->schedule_uid), "%s",
		       r->schedule_uid);
	(void)snprintf(run->kind, sizeof(run->kind), "%s", r->kind);
	(void)snprintf(run->boot_id, sizeof(run->boot_id), "%s", r->boot_id);
	return 0;
}

/* ---- What became due ---------------------------------------------------- */

struct accounting {
	struct scheduler *s;
	const struct timetable_entry *entry;
	struct instant now;
	size_t rows;
};

static enum catalog_occurrence_state ledger_state(enum plan_state state)
{
	switch (state) {
	case PLAN_MISSED:
		return CATALOG_MISSED;
	case PLAN_SKIPPED:
		return CATALOG_SKIPPED;
	case PLAN_SUPERSEDED:
		return CATALOG_SUPERSEDED;
	case PLAN_FAILED:
		return CATALOG_FAILED;
	case PLAN_WAITING:
	case PLAN_STATES:
		break;
	}
	return CATALOG_DUE;
}

static int note(void *arg, const struct plan_occurrence *o, struct err *e)
{
	struct accounting *a = arg;
	const struct catalog_occurrence row = {
		.kind = a->entry->kind,
		.schedule_uid = a->entry->uid,
		.schedule = a->entry->name,
		.schedule_version = a->entry->version,
		.repository = a->entry->repository,
		.sources_json = a->entry->sources_json,
		.at = { .sec = o->at_s },
		.jittered = { .sec = o->start_s },
		.noted = a->now,
		.state = ledger_state(o->state),
		/* "caught-up" is found again by this name: see open_row(). */
		.reason = o->reason == PLAN_ON_TIME
				  ? ""
				  : plan_reason_name(o->reason),
		.lateness_ms = o->late_s * 1000,
	};
	int64_t id;

	a->rows++;
	if (row.state != CATALOG_DUE)
		log_event(LOG_LEVEL_WARN, "%s %s: an occurrence was %s (%s)",
			  row.kind, row.schedule,
			  catalog_occurrence_state_name(row.state), row.reason);
	return catalog_occurrence_note(a->s->settings.catalog, &row, &id, e) < 0
		       ? -1
		       : 0;
}

/* One portion: its rows and how far it went are one transaction. */
static int account_portion(struct scheduler *s, struct timetable_entry *as,
			   struct plan_gap *gap, struct instant now,
			   struct err *e)
{
	struct catalog *c = s->settings.catalog;
	struct accounting a = { .s = s, .entry = as, .now = now };
	int more;

	if (catalog_begin(c, e) < 0)
		return -1;
	more = plan_account(&as->plan, gap, note, &a, e);
	if (more < 0 ||
	    catalog_account_set(c, as->uid,
				(struct instant){ .sec = gap->accounted_s },
				e) < 0 ||
	    catalog_commit(c, e) < 0) {
		catalog_rollback(c);
		return -1;
	}
	s->rows_left -= a.rows;
	return more;
}

/*
 * Account with the plan of `as` until then, if anything can be due; or as far
 * as the rows of this tick reach, and the next one goes on.
 */
static int account_until(struct scheduler *s, struct timetable_entry *as,
			 int64_t *accounted_s, int64_t until_s,
			 struct instant now, struct err *e)
{
	struct plan_gap gap = { .accounted_s = *accounted_s, .now_s = until_s };
	int64_t first;
	int more = 1;

	if (until_s <= *accounted_s)
		return 0;
	/* Most ticks have nothing to write. */
	if (plan_next(&as->plan, *accounted_s, &first) != 1 ||
	    first > until_s) {
		*accounted_s = until_s;
		return 0;
	}
	while (more == 1 && s->rows_left > 0) {
		gap.most = s->rows_left < PORTION ? s->rows_left : PORTION;
		more = account_portion(s, as, &gap, now, e);
		if (more < 0)
			return -1;
		*accounted_s = gap.accounted_s;
	}
	return 0;
}

static bool is_maintenance(const struct timetable_entry *entry)
{
	return strcmp(entry->kind, "Maintenance") == 0;
}

/*
 * Where the ledger stands; for a new schedule, where it was applied.  While
 * the clock is in doubt it cannot be said when that was, but that it was
 * lately.  Maintenance of a repository that an earlier program declared was
 * not expected before this one came.
 */
static int read_account(struct scheduler *s, struct timetable_entry *entry,
			struct instant now, struct err *e)
{
	struct catalog_account account;
	const int found = catalog_account_get(s->settings.catalog, entry->uid,
					      &account, e);

	if (found < 0)
		return -1;
	if (found == 1) {
		entry->accounted_s = account.accounted.sec;
		return 0;
	}
	account.accounted = s->in_doubt || entry->created.sec > now.sec ||
					    is_maintenance(entry)
				    ? now
				    : entry->created;
	entry->accounted_s = account.accounted.sec;
	return catalog_account_set(
		s->settings.catalog, entry->uid,
		(struct instant){ .sec = entry->accounted_s }, e);
}

/* A change counts from its moment; until then the version before holds. */
static int account_old_version(struct scheduler *s,
			       struct timetable_entry *entry, int64_t changed_s,
			       struct instant now, struct err *e)
{
	struct timetable_entry old;
	int found;
	int status;

	found = timetable_old_version(s->settings.catalog, entry,
				      entry->version - 1, &old, e);
	if (found <= 0)
		return found;
	status = account_until(s, &old, &entry->accounted_s, changed_s, now, e);
	timetable_entry_done(&old);
	if (status < 0 || entry->accounted_s < changed_s)
		return status;
	return catalog_account_set(s->settings.catalog, entry->uid,
				   (struct instant){ .sec = changed_s }, e);
}

static int account(struct scheduler *s, struct timetable_entry *entry,
		   struct instant now, struct err *e)
{
	/* What changed under our eyes changed just now, whatever a clock that
	 * is in doubt said then. */
	const bool is_known = entry->accounted_s != INT64_MIN;
	const int64_t changed_s = s->in_doubt && is_known ? now.sec
							  : entry->changed.sec;

	if (!is_known && read_account(s, entry, now, e) < 0)
		return -1;
	if (!entry->settled && entry->version > 1 && changed_s <= now.sec &&
	    changed_s > entry->accounted_s) {
		if (account_old_version(s, entry, changed_s, now, e) < 0)
			return -1;
		if (s->rows_left == 0)
			return 0;
	}
	entry->settled = true;
	return account_until(s, entry, &entry->accounted_s, now.sec, now, e);
}

/* ---- What happens to it ------------------------------------------------- */

struct open_rows {
	struct scheduler *s;
	struct plan_open open[OPEN_MAX];
	struct plan_step steps[OPEN_MAX];
	int64_t occurrence[OPEN_MAX];
	int64_t queued_run[OPEN_MAX]; /* 0: none yet */
	size_t n;
};

/* The newest run of an occurrence says where it stands. */
static int add_attempts(struct open_rows *rows, size_t i, struct err *e)
{
	const struct catalog_run_filter filter = {
		.occurrence = rows->occurrence[i], .limit = 1
	};
	struct scheduler_run run = { 0 };
	struct plan_open *open = &rows->open[i];

	if (catalog_runs(rows->s->settings.catalog, &filter, scheduler_copy_run,
			 &run, e) < 0)
		return -1;
	if (run.id == 0)
		return 0;
	open->running = run.state == CATALOG_RUN_RUNNING;
	open->attempts = (uint32_t)(run.attempt - 1);
	open->retry_s = run.not_before.sec;
	if (run.state == CATALOG_RUN_QUEUED)
		rows->queued_run[i] = run.id;
	return 0;
}

static int open_row(void *arg, const struct catalog_occurrence *o,
		    struct err *e UNUSED)
{
	struct open_rows *rows = arg;
	const size_t i = rows->n++;

	rows->occurrence[i] = o->id;
	rows->queued_run[i] = 0;
	rows->open[i] = (struct plan_open){
		.at_s = o->at.sec,
		.start_s = o->jittered.sec,
		.caught_up = strcmp(o->reason,
				    plan_reason_name(PLAN_CAUGHT_UP)) == 0,
	};
	return rows->n == OPEN_MAX;
}

static int find_open(struct open_rows *rows,
		     const struct timetable_entry *entry, struct err *e)
{
	const struct catalog_occurrence_filter filter = {
		.schedule_uid = entry->uid,
		.states = 1U << CATALOG_DUE | 1U << CATALOG_RUNNING,
		.limit = OPEN_MAX,
		.oldest_first = true,
	};

	rows->n = 0;
	if (catalog_occurrences(rows->s->settings.catalog, &filter, open_row,
				rows, e) < 0)
		return -1;
	for (size_t i = 0; i < rows->n; i++)
		if (add_attempts(rows, i, e) < 0)
			return -1;
	return 0;
}

/* ---- Acting ------------------------------------------------------------- */

static int act(struct scheduler *s, struct timetable_entry *entry,
	       const struct open_rows *rows, size_t i,
	       struct scheduler_starts *starts, struct instant now,
	       struct err *e)
{
	const struct plan_step *step = &rows->steps[i];
	const struct plan_open *open = &rows->open[i];
	const struct scheduler_start start = {
		.entry = entry,
		.occurrence = rows->occurrence[i],
		.run = rows->queued_run[i],
		.start_s = open->attempts ? open->retry_s : open->start_s,
	};

	switch (step->action) {
	case PLAN_WAIT:
		return 0;
	case PLAN_START:
		return scheduler_start_add(starts, &start, e);
	case PLAN_END:
		log_event(LOG_LEVEL_WARN, "%s %s: an occurrence is %s (%s)",
			  entry->kind, entry->name,
			  plan_state_name(step->state),
			  plan_reason_name(step->reason));
		return catalog_occurrence_end(
			       s->settings.catalog, rows->occurrence[i],
			       ledger_state(step->state),
			       plan_reason_name(step->reason), now, e) < 0
			       ? -1
			       : 0;
	}
	return 0;
}

/*
 * One schedule: account, decide, act, and when to look again, if all that was
 * possible.
 */
static int look_at(struct scheduler *s, struct timetable_entry *entry,
		   struct open_rows *rows, struct scheduler_starts *starts,
		   struct instant now, struct err *e)
{
	if (account(s, entry, now, e) < 0 || find_open(rows, entry, e) < 0)
		return -1;
	plan_decide(&entry->plan, rows->open, rows->n, now.sec, rows->steps);
	for (size_t i = 0; i < rows->n; i++)
		if (act(s, entry, rows, i, starts, now, e) < 0)
			return -1;
	entry->waits = false;
	entry->wake_s = plan_wake(&entry->plan, entry->accounted_s, rows->steps,
				  rows->n);
	return 0;
}

/* ---- Runs that somebody wants to end ------------------------------------ */

static int cancel_one(void *arg, const struct catalog_run *r,
		      struct err *e UNUSED)
{
	struct scheduler *s = arg;

	if (r->cancel_asked.sec != 0)
		supervisor_cancel(s->settings.supervisor, r->id,
				  clock_boot_ms());
	return 0;
}

static int cancel_asked(struct scheduler *s, struct err *e)
{
	const struct catalog_run_filter filter = {
		.states = 1U << CATALOG_RUN_RUNNING
	};

	if (supervisor_count(s->settings.supervisor) == 0)
		return 0;
	return catalog_runs(s->settings.catalog, &filter, cancel_one, s, e) < 0
		       ? -1
		       : 0;
}

/* ---- Reading resources, ticking ----------------------------------------- */

struct gone {
	struct scheduler *s;
	struct {
		int64_t id;
		enum catalog_occurrence_state as;
		const char *why;
	} v[256];
	size_t n;
};

static int add_gone(void *arg, const struct catalog_occurrence *o,
		    struct err *e UNUSED)
{
	struct gone *g = arg;

	if (timetable_find(g->s->timetable, o->schedule_uid))
		return 0;
	g->v[g->n].id = o->id;
	g->v[g->n].why = strcmp(o->kind, "Maintenance") == 0
				 ? "the repository was deleted"
				 : "the schedule was deleted";
	g->v[g->n++].as = o->state == CATALOG_RUNNING ? CATALOG_FAILED
						      : CATALOG_SKIPPED;
	return g->n == sizeof(g->v) / sizeof(g->v[0]);
}

/*
 * What waits for a schedule that was deleted ends, also between two attempts.
 * One with a run under way ends with it.
 */
static int end_deleted(struct scheduler *s, struct instant now, struct err *e)
{
	const struct catalog_occurrence_filter filter = {
		.states = 1U << CATALOG_DUE | 1U << CATALOG_RUNNING,
		.oldest_first = true,
	};
	struct gone gone = { .s = s };

	if (catalog_occurrences(s->settings.catalog, &filter, add_gone, &gone,
				e) < 0)
		return -1;
	for (size_t i = 0; i < gone.n; i++)
		if (catalog_occurrence_end(s->settings.catalog, gone.v[i].id,
					   gone.v[i].as, gone.v[i].why, now,
					   e) < 0)
			return -1;
	return 0;
}

int scheduler_read_resources(struct scheduler *s, struct instant now,
			     int64_t boot_ms, struct err *e)
{
	struct timetable *t;

	if (!s->stale && boot_ms - s->read_ms < READ_EVERY_MS)
		return 0;
	if (timetable_load(s->settings.catalog, s->timetable, &t, e) < 0)
		return err_wrap(e, "cannot read the schedules");
	timetable_free(s->timetable);
	s->timetable = t;
	for (size_t i = 0; i < t->count; i++)
		if (t->entries[i].problem[0])
			log_event(LOG_LEVEL_ERROR, "%s %s is never due: %s",
				  t->entries[i].kind, t->entries[i].name,
				  t->entries[i].problem);
	s->stale = false;
	s->read_ms = boot_ms;
	return end_deleted(s, now, e);
}

/* Every schedule that has something to do; what may start is only found. */
static int look_at_all(struct scheduler *s, struct scheduler_starts *starts,
		       struct instant now, struct err *e)
{
	struct open_rows *rows = calloc(1, sizeof(*rows));
	int status = 0;

	if (!rows)
		return err_oom(e);
	rows->s = s;
	for (size_t i = 0; i < s->timetable->count && status == 0; i++) {
		struct timetable_entry *entry = &s->timetable->entries[i];

		if (!entry->problem[0] && entry->wake_s <= now.sec)
			status = look_at(s, entry, rows, starts, now, e);
	}
	free(rows);
	return status;
}

static struct instant next_wake(const struct scheduler *s)
{
	struct instant next = { .sec = INT64_MAX };

	for (size_t i = 0; i < s->timetable->count; i++) {
		const struct timetable_entry *entry = &s->timetable->entries[i];

		if (!entry->problem[0] && entry->wake_s < next.sec)
			next.sec = entry->wake_s;
	}
	return next;
}

int scheduler_tick(struct scheduler *s, struct instant wall, int64_t boot_ms,
		   struct instant *ret_next, struct err *e)
{
	struct scheduler_starts starts = { .n = 0 };
	struct instant now;
	int status;

	if (scheduler_clock_look(s, wall, boot_ms, &now, e) < 0 ||
	    scheduler_read_resources(s, now, boot_ms, e) < 0)
		return -1;
	s->rows_left = TICK_ROWS;
	status = look_at_all(s, &starts, now, e);
	if (status == 0)
		status = scheduler_start_asked(s, &starts, now, e);
	if (status == 0)
		status = scheduler_start_all(s, &starts, now, e);
	free(starts.v);
	if (status < 0 || cancel_asked(s, e) < 0)
		return -1;
	*ret_next = next_wake(s);
	if (ret_next->sec != INT64_MIN && ret_next->sec != INT64_MAX)
		ret_next->sec += wall.sec - now.sec;
	return 0;
}
