/* Starts: of all that may start now, those that the limits have room for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/scheduler_internal.h"

/* ---- Starting ----------------------------------------------------------- */

/* Close a run whose process could not be started. */
static int not_started(struct scheduler *s, int64_t run_id,
		       const struct err *why, struct instant now, struct err *e)
{
	struct scheduler_run run = { 0 };
	struct scheduler_verdict verdict = { .state = CATALOG_RUN_FAILED };

	(void)snprintf(verdict.message, sizeof(verdict.message), "%.399s",
		       why->text);
	log_failure(LOG_LEVEL_ERROR, "cannot start a run", why);
	if (catalog_run_get(s->settings.catalog, run_id, scheduler_copy_run,
			    &run, e) < 0)
		return -1;
	return scheduler_close_run(s, &run, &verdict, now, e);
}

/* A claimed run gets its process, which begins once it is written down. */
static int launch(struct scheduler *s, int64_t run, struct instant now,
		  struct err *e)
{
	struct err why;
	int64_t start;
	pid_t pid;

	if (supervisor_start(s->settings.supervisor, run, &pid, &start, &why) <
	    0)
		return not_started(s, run, &why, now, e);
	if (catalog_run_process(s->settings.catalog, run, pid, start, e) < 0) {
		supervisor_go(s->settings.supervisor, run, false);
		return -1;
	}
	supervisor_go(s->settings.supervisor, run, true);
	log_event(LOG_LEVEL_INFO, "run %jd started as process %d",
		  (intmax_t)run, (int)pid);
	return 0;
}

static int claim(struct scheduler *s, int64_t run, unsigned int repository_max,
		 struct instant now, enum catalog_claim_result *ret,
		 struct err *e)
{
	const struct catalog_claim claim = {
		.run = run,
		.now = now,
		.host = s->settings.host,
		.boot_id = s->settings.boot_id,
		.repository_max = repository_max,
		.host_max = s->settings.host_max,
		.schedule_max = 1,
	};

	return catalog_run_claim(s->settings.catalog, &claim, ret, e);
}

/*
 * The first attempt is queued and claimed as one: while the limits have no
 * room the occurrence stays due, and overlap and windows go on to hold.
 */
static int queue_and_claim(struct scheduler *s,
			   const struct timetable_entry *entry,
			   int64_t occurrence, struct instant now, int64_t *run,
			   enum catalog_claim_result *ret, struct err *e)
{
	struct catalog *c = s->settings.catalog;
	const struct catalog_run row = { .occurrence = occurrence,
					 .kind = entry->kind,
					 .schedule_uid = entry->uid,
					 .schedule = entry->name,
					 .repository = entry->repository,
					 .sources_json = entry->sources_json,
					 .queued = now,
					 .requested_by = "schedule" };

	if (catalog_begin(c, e) < 0)
		return -1;
	if (catalog_run_queue(c, &row, run, e) < 0 ||
	    claim(s, *run, entry->repository_max, now, ret, e) < 0) {
		catalog_rollback(c);
		return -1;
	}
	if (*ret != CATALOG_CLAIMED) {
		catalog_rollback(c);
		return 0;
	}
	if (catalog_commit(c, e) < 0) {
		catalog_rollback(c);
		return -1;
	}
	return 0;
}

/* ---- All ----------------------------------------------------------------- */

int scheduler_start_add(struct scheduler_starts *starts,
			const struct scheduler_start *start, struct err *e)
{
	if (starts->n == starts->room) {
		const size_t room = starts->room ? 2 * starts->room : 64;
		struct scheduler_start *more = reallocarray(starts->v, room,
							    sizeof(*more));

		if (!more)
			return err_oom(e);
		starts->v = more;
		starts->room = room;
	}
	starts->v[starts->n++] = *start;
	return 0;
}

/* More than this are asked for again in the next tick. */
enum { ASKED_MAX = 64 };

struct asked {
	struct scheduler *s;
	struct scheduler_starts *starts;
	struct instant now;
	size_t n;
};

static int add_asked(void *arg, const struct catalog_run *r, struct err *e)
{
	struct asked *a = arg;
	const struct scheduler_start start = {
		.entry = timetable_find(a->s->timetable, r->schedule_uid),
		.run = r->id,
		/* The wall clock's word; see scheduler_clock.c. */
		.start_s = r->queued.sec < a->now.sec ? r->queued.sec
						      : a->now.sec,
	};

	if (r->occurrence != 0)
		return 0;
	if (scheduler_start_add(a->starts, &start, e) < 0)
		return -1;
	return ++a->n == ASKED_MAX;
}

int scheduler_start_asked(struct scheduler *s, struct scheduler_starts *starts,
			  struct instant now, struct err *e)
{
	const struct catalog_run_filter filter = {
		.states = 1U << CATALOG_RUN_QUEUED, .oldest_first = true
	};
	struct asked asked = { .s = s, .starts = starts, .now = now };

	return catalog_runs(s->settings.catalog, &filter, add_asked, &asked,
			    e) < 0
		       ? -1
		       : 0;
}

/* What was found to have no room left, so that nobody asks again. */
struct full {
	bool host;
	const char **repositories;
	size_t n;
};

static bool is_full(const struct full *f, const struct timetable_entry *entry)
{
	for (size_t i = 0; i < f->n && entry; i++)
		if (strcmp(f->repositories[i], entry->repository) == 0)
			return true;
	return f->host;
}

static int claim_one(struct scheduler *s, struct scheduler_start *start,
		     struct instant now, enum catalog_claim_result *ret,
		     struct err *e)
{
	const struct timetable_entry *entry = start->entry;

	/* Only what was queued can be without an entry. */
	if (start->run || !entry)
		return claim(s, start->run, entry ? entry->repository_max : 0,
			     now, ret, e);
	return queue_and_claim(s, entry, start->occurrence, now, &start->run,
			       ret, e);
}

/* Where there is no room for maintenance, there may be for others. */
static bool counts(const struct timetable_entry *entry)
{
	return !entry || strcmp(entry->kind, "Maintenance") != 0;
}

/* Without room it waits for the end of a run. */
static int start_one(struct scheduler *s, struct scheduler_start *start,
		     struct full *full, struct instant now, struct err *e)
{
	struct timetable_entry *entry = start->entry;
	enum catalog_claim_result result;

	if (entry)
		entry->waits = true;
	if (is_full(full, entry))
		return 0;
	if (claim_one(s, start, now, &result, e) < 0)
		return -1;
	switch (result) {
	case CATALOG_CLAIMED:
		if (entry)
			entry->waits = false;
		return launch(s, start->run, now, e);
	case CATALOG_HOST_BUSY:
		full->host = full->host || counts(entry);
		return 0;
	case CATALOG_REPOSITORY_BUSY:
		if (entry && counts(entry))
			full->repositories[full->n++] = entry->repository;
		return 0;
	case CATALOG_SCHEDULE_BUSY:
	case CATALOG_NOT_QUEUED:
	case CATALOG_NOT_YET:
		return 0;
	}
	return 0;
}

/* Whoever was not looked at because of a failure is looked at again. */
static void look_again(const struct scheduler_starts *starts)
{
	for (size_t i = 0; i < starts->n; i++)
		if (starts->v[i].entry)
			starts->v[i].entry->wake_s = INT64_MIN;
}

int scheduler_start_all(struct scheduler *s, struct scheduler_starts *starts,
			struct instant now, struct err *e)
{
	struct plan_candidate *order = calloc(starts->n + 1, sizeof(*order));
	struct full full = { .repositories = calloc(starts->n + 1,
						    sizeof(char *)) };
	int status = order && full.repositories ? 0 : err_oom(e);

	for (size_t i = 0; i < starts->n && status == 0; i++)
		order[i] = (struct plan_candidate){
			.uid = starts->v[i].entry ? starts->v[i].entry->uid
						  : "",
			.start_s = starts->v[i].start_s,
			.index = i,
		};
	if (status == 0)
		plan_order(order, starts->n);
	for (size_t i = 0; i < starts->n && status == 0; i++)
		status = start_one(s, &starts->v[order[i].index], &full, now,
				   e);
	if (status < 0)
		look_again(starts);
	free(order);
	free(full.repositories);
	return status;
}
