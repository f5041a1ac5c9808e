#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/catalog_internal.h"

static const char *const state_names[CATALOG_RUN_STATES] = {
	[CATALOG_RUN_QUEUED] = "queued",
	[CATALOG_RUN_RUNNING] = "running",
	[CATALOG_RUN_SUCCEEDED] = "succeeded",
	[CATALOG_RUN_PARTIAL] = "partial",
	[CATALOG_RUN_FAILED] = "failed",
	[CATALOG_RUN_CANCELLED] = "cancelled",
	[CATALOG_RUN_INTERRUPTED] = "interrupted",
};

const char *catalog_run_state_name(enum catalog_run_state s)
{
	return (unsigned int)s < CATALOG_RUN_STATES ? state_names[s]
						    : "unknown";
}

int catalog_run_state_named(const char *name)
{
	for (int i = 0; i < CATALOG_RUN_STATES; i++)
		if (strcmp(name, state_names[i]) == 0)
			return i;
	return -1;
}

static int no_such_run(int64_t id, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "there is no run %lld", (long long)id);
}

static int by_id(struct catalog *c, const char *text, int64_t id, int64_t *ret,
		 struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, text, e);

	if (s == NULL)
		return -1;
	sql_int(s, id);
	return catalog_one_int(s, ret, e);
}

/* ---- Queueing
 * --------------------------------------------------------------------- */

static int expect_open(struct catalog *c, int64_t occurrence, struct err *e)
{
	int64_t open, live;
	const int got = by_id(
		c,
		"SELECT state IN ('due', 'running') FROM occurrences "
		"WHERE id = ?",
		occurrence, &open, e);

	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no occurrence %lld",
			       (long long)occurrence);
	if (!open)
		return err_set(e, ERR_USAGE, "occurrence %lld has ended",
			       (long long)occurrence);
	if (by_id(c,
		  "SELECT count(*) FROM runs WHERE occurrence = ? AND state "
		  "IN ('queued', 'running')",
		  occurrence, &live, e) < 0)
		return -1;
	if (live > 0)
		return err_set(e, ERR_EXISTS,
			       "occurrence %lld has a run already",
			       (long long)occurrence);
	return 0;
}

static int next_attempt(struct catalog *c, int64_t occurrence, int64_t *ret,
			struct err *e)
{
	*ret = 1;
	if (occurrence == 0)
		return 0;
	if (expect_open(c, occurrence, e) < 0)
		return -1;
	return by_id(c,
		     "SELECT coalesce(max(attempt), 0) + 1 FROM runs "
		     "WHERE occurrence = ?",
		     occurrence, ret, e) < 0
		       ? -1
		       : 0;
}

static int queue(struct catalog *c, const struct catalog_run *r,
		 int64_t *ret_id, struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s;
	int64_t attempt;

	if (next_attempt(c, r->occurrence, &attempt, e) < 0)
		return -1;
	s = sql_stmt(c->db,
		     "INSERT INTO runs (uid, occurrence, kind, schedule_uid, "
		     "schedule, repository, sources, state, attempt, "
		     "queued_us, not_before_us, host, boot_id, pid, pid_start, "
		     "requested_by, message) VALUES (?, ?, ?, ?, ?, ?, ?, "
		     "'queued', ?, ?, ?, '', '', 0, 0, ?, '')",
		     e);
	if (s == NULL)
		return -1;
	sql_text(s, uid.s);
	sql_id_or_null(s, r->occurrence);
	sql_text(s, r->kind);
	sql_text(s, r->schedule_uid);
	sql_text(s, r->schedule);
	sql_text(s, r->repository);
	sql_json(s, r->sources_json, "[]");
	sql_int(s, attempt);
	sql_time(s, r->queued);
	sql_time_or_null(s, r->not_before);
	sql_text(s, r->requested_by);
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

int catalog_run_queue(struct catalog *c, const struct catalog_run *r,
		      int64_t *ret_id, struct err *e)
{
	int64_t id = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, queue(c, r, &id, e), e);
	if (got == 0)
		*ret_id = id;
	return got;
}

static int ask(struct catalog *c, const struct catalog_run *r,
	       const struct catalog_actor *actor, int64_t *ret_id,
	       struct err *e)
{
	char object[32];

	if (queue(c, r, ret_id, e) < 0)
		return -1;
	(void)snprintf(object, sizeof(object), "Run/%lld", (long long)*ret_id);
	return catalog_record(
		c, actor,
		strcmp(r->kind, "Drill") == 0 ? "drill.start" : "run.start",
		object,
		(const struct catalog_fact[2]){ { "schedule", r->schedule },
						{ NULL, NULL } },
		e);
}

int catalog_run_ask(struct catalog *c, const struct catalog_run *r,
		    const struct catalog_actor *actor, int64_t *ret_id,
		    struct err *e)
{
	int64_t id = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, ask(c, r, actor, &id, e), e);
	if (got == 0)
		*ret_id = id;
	return got;
}

/* ---- Claiming
 * ---------------------------------------------------------------------- */

struct queued {
	int64_t occurrence;
	struct instant not_before;
	bool is_queued;
	uint64_t in_repository, on_host, of_schedule; /* running ones */
};

/* Whether the run o takes a place that the run r could have. */
#define COUNTS "(o.kind <> 'Maintenance' OR r.kind = 'Maintenance')"

static int look_at(struct catalog *c, const struct catalog_claim *claim,
		   struct queued *ret, struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT r.occurrence, r.not_before_us, r.state = 'queued', "
		"(SELECT count(*) FROM runs o WHERE o.state = 'running' AND "
		"o.repository = r.repository AND " COUNTS "), "
		"(SELECT count(*) FROM runs o WHERE o.state = 'running' AND "
		"o.host = ?2 AND " COUNTS "), "
		"(SELECT count(*) FROM runs o WHERE o.state = 'running' AND "
		"o.schedule_uid = r.schedule_uid AND o.schedule_uid <> '') "
		"FROM runs r WHERE r.id = ?1",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_int(s, claim->run);
	sql_text(s, claim->host);
	got = sql_step(s, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return no_such_run(claim->run, e);
	ret->occurrence = sql_get_int(s);
	ret->not_before = sql_get_time(s);
	ret->is_queued = sql_get_bool(s);
	ret->in_repository = sql_get_uint(s);
	ret->on_host = sql_get_uint(s);
	ret->of_schedule = sql_get_uint(s);
	return 0;
}

static bool full(uint64_t running, unsigned int max)
{
	return max > 0 && running >= max;
}

static enum catalog_claim_result judge(const struct queued *q,
				       const struct catalog_claim *claim)
{
	if (!q->is_queued)
		return CATALOG_NOT_QUEUED;
	if (instant_compare(q->not_before, claim->now) > 0)
		return CATALOG_NOT_YET;
	if (full(q->of_schedule, claim->schedule_max))
		return CATALOG_SCHEDULE_BUSY;
	if (full(q->in_repository, claim->repository_max))
		return CATALOG_REPOSITORY_BUSY;
	if (full(q->on_host, claim->host_max))
		return CATALOG_HOST_BUSY;
	return CATALOG_CLAIMED;
}

static int start_occurrence(struct catalog *c, int64_t id, struct instant now,
			    struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE occurrences SET state = 'running', started_us = ?2, "
		"lateness_ms = max(0, ?2 - jittered_us) / 1000 "
		"WHERE id = ?1 AND state = 'due'",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, id);
	sql_time(s, now);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int claim_run(struct catalog *c, const struct catalog_claim *claim,
		     enum catalog_claim_result *ret, struct err *e)
{
	struct queued q;
	struct sql_stmt *s;

	if (look_at(c, claim, &q, e) < 0)
		return -1;
	*ret = judge(&q, claim);
	if (*ret != CATALOG_CLAIMED)
		return 0;
	s = sql_stmt(c->db,
		     "UPDATE runs SET state = 'running', started_us = ?, "
		     "host = ?, boot_id = ?, pid = ?, pid_start = ? "
		     "WHERE id = ? AND state = 'queued'",
		     e);
	if (s == NULL)
		return -1;
	sql_time(s, claim->now);
	sql_text(s, claim->host);
	sql_text(s, claim->boot_id);
	sql_int(s, claim->pid);
	sql_int(s, claim->pid_start);
	sql_int(s, claim->run);
	if (sql_run(s, e) < 0)
		return -1;
	return q.occurrence == 0
		       ? 0
		       : start_occurrence(c, q.occurrence, claim->now, e);
}

int catalog_run_claim(struct catalog *c, const struct catalog_claim *claim,
		      enum catalog_claim_result *ret, struct err *e)
{
	enum catalog_claim_result result = CATALOG_NOT_QUEUED;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, claim_run(c, claim, &result, e), e);
	if (got == 0)
		*ret = result;
	return got;
}

static int set_process(struct catalog *c, int64_t run, int64_t pid,
		       int64_t pid_start, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE runs SET pid = ?, pid_start = ? "
				      "WHERE id = ? AND state = 'running'",
				      e);

	if (s == NULL)
		return -1;
	sql_int(s, pid);
	sql_int(s, pid_start);
	sql_int(s, run);
	return sql_run(s, e);
}

int catalog_run_process(struct catalog *c, int64_t run, int64_t pid,
			int64_t pid_start, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, set_process(c, run, pid, pid_start, e), e);
}

/* ---- Ending
 * ------------------------------------------------------------------------- */

static bool given(struct instant t)
{
	return t.sec != 0 || t.nsec != 0;
}

/* 1, or 0 when it had ended. */
static int end_row(struct catalog *c, const struct catalog_run_end *end,
		   struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE runs SET state = ?, message = ?, finished_us = ?, "
		"next_retry_us = ? WHERE id = ? AND "
		"state IN ('queued', 'running')",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, catalog_run_state_name(end->state));
	sql_text(s, end->message);
	sql_time(s, end->now);
	sql_time_or_null(s, end->retry_at);
	sql_int(s, end->run);
	return sql_run(s, e);
}

/* The next attempt is the last one's copy with the next number. */
static int queue_retry(struct catalog *c, const struct catalog_run_end *end,
		       struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO runs (uid, occurrence, kind, schedule_uid, "
		"schedule, repository, sources, state, attempt, queued_us, "
		"not_before_us, host, boot_id, pid, pid_start, requested_by, "
		"message) SELECT ?2, occurrence, kind, schedule_uid, schedule, "
		"repository, sources, 'queued', attempt + 1, ?3, ?4, '', '', "
		"0, 0, requested_by, '' FROM runs WHERE id = ?1",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, end->run);
	sql_text(s, uid.s);
	sql_time(s, end->now);
	sql_time(s, end->retry_at);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int end_run(struct catalog *c, const struct catalog_run_end *end,
		   struct err *e)
{
	int64_t occurrence = 0;
	int got = by_id(c, "SELECT occurrence FROM runs WHERE id = ?", end->run,
			&occurrence, e);

	if (got < 0)
		return -1;
	if (got == 0)
		return no_such_run(end->run, e);
	got = end_row(c, end, e);
	if (got <= 0)
		return got;
	if (occurrence == 0)
		return 1;
	if (given(end->retry_at))
		return queue_retry(c, end, e) < 0 ? -1 : 1;
	return catalog_end_occurrence(c, occurrence, end->outcome, end->reason,
				      end->now, e) < 0
		       ? -1
		       : 1;
}

int catalog_run_end(struct catalog *c, const struct catalog_run_end *end,
		    struct err *e)
{
	if (end->state <= CATALOG_RUN_RUNNING ||
	    end->state >= CATALOG_RUN_STATES)
		return err_set(e, ERR_BUG, "a run cannot end as %s",
			       catalog_run_state_name(end->state));
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, end_run(c, end, e), e);
}

/* ---- Cancelling
 * ---------------------------------------------------------------------- */

struct cancelled {
	char state[16];
	int64_t attempt;
	char schedule[256];
};

static int look_at_cancelled(struct catalog *c, int64_t run,
			     struct cancelled *ret, struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT state, attempt, schedule "
				      "FROM runs WHERE id = ?",
				      e);
	int got;

	if (s == NULL)
		return -1;
	sql_int(s, run);
	got = sql_step(s, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return no_such_run(run, e);
	(void)snprintf(ret->state, sizeof(ret->state), "%s", sql_get_text(s));
	ret->attempt = sql_get_int(s);
	(void)snprintf(ret->schedule, sizeof(ret->schedule), "%s",
		       sql_get_text(s));
	return 0;
}

static int ask_to_end(struct catalog *c, int64_t run, struct instant now,
		      struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE runs SET cancel_asked_us = coalesce(cancel_asked_us, "
		"?2) WHERE id = ?1",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, run);
	sql_time(s, now);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int cancel(struct catalog *c, int64_t run,
		  const struct catalog_actor *actor, struct err *e)
{
	struct cancelled k;
	char object[40], reason[240];
	bool is_queued;

	if (look_at_cancelled(c, run, &k, e) < 0)
		return -1;
	is_queued = strcmp(k.state, "queued") == 0;
	if (!is_queued && strcmp(k.state, "running") != 0)
		return 0;
	(void)snprintf(reason, sizeof(reason), "cancelled by %s",
		       text_quote_str(actor->name).s);
	if (is_queued) {
		const struct catalog_run_end end = {
			.run = run,
			.state = CATALOG_RUN_CANCELLED,
			.message = reason,
			.now = actor->now,
			.outcome = k.attempt > 1 ? CATALOG_FAILED
						 : CATALOG_SKIPPED,
			.reason = reason,
		};

		if (end_run(c, &end, e) < 0)
			return -1;
	} else if (ask_to_end(c, run, actor->now, e) < 0) {
		return -1;
	}
	(void)snprintf(object, sizeof(object), "Run/%lld", (long long)run);
	if (catalog_record(
		    c, actor, "run.cancel", object,
		    (const struct catalog_fact[2]){ { "schedule", k.schedule },
						    { "state", k.state } },
		    e) < 0)
		return -1;
	return is_queued ? 1 : 2;
}

int catalog_run_cancel(struct catalog *c, int64_t run,
		       const struct catalog_actor *actor, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, cancel(c, run, actor, e), e);
}

/* ---- Reading
 * ------------------------------------------------------------------------- */

#define RUN_COLUMNS                                                           \
	"SELECT id, uid, occurrence, (SELECT at_us FROM occurrences o WHERE " \
	"o.id = runs.occurrence), kind, schedule_uid, schedule, repository, " \
	"sources, state, attempt, queued_us, not_before_us, started_us, "     \
	"finished_us, next_retry_us, cancel_asked_us, host, boot_id, pid, "   \
	"pid_start, requested_by, message, (SELECT json_group_array("         \
	"snapshot) FROM snapshots n WHERE n.run = runs.id) FROM runs"

struct run_to {
	catalog_run_visit *visit;
	void *arg;
};

static int read_run(struct sql_stmt *s, struct catalog_run *r, struct err *e)
{
	int state;

	r->id = sql_get_int(s);
	r->uid = sql_get_text(s);
	r->occurrence = sql_get_int(s);
	r->occurrence_at = sql_get_time(s);
	r->kind = sql_get_text(s);
	r->schedule_uid = sql_get_text(s);
	r->schedule = sql_get_text(s);
	r->repository = sql_get_text(s);
	r->sources_json = sql_get_text(s);
	state = catalog_run_state_named(sql_get_text(s));
	if (state < 0)
		return err_set(e, ERR_CORRUPT, "run %lld has an unknown state",
			       (long long)r->id);
	r->state = (enum catalog_run_state)state;
	r->attempt = sql_get_int(s);
	r->queued = sql_get_time(s);
	r->not_before = sql_get_time(s);
	r->started = sql_get_time(s);
	r->finished = sql_get_time(s);
	r->next_retry = sql_get_time(s);
	r->cancel_asked = sql_get_time(s);
	r->host = sql_get_text(s);
	r->boot_id = sql_get_text(s);
	r->pid = sql_get_int(s);
	r->pid_start = sql_get_int(s);
	r->requested_by = sql_get_text(s);
	r->message = sql_get_text(s);
	r->snapshots_json = sql_get_text(s);
	return 0;
}

static int run_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct run_to *t = to;
	struct catalog_run r;

	if (read_run(s, &r, e) < 0)
		return -1;
	return t->visit(t->arg, &r, e);
}

int catalog_run_get(struct catalog *c, int64_t id, catalog_run_visit *visit,
		    void *arg, struct err *e)
{
	const struct run_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, RUN_COLUMNS);
	sql_when_int(&q, "id = ?", id);
	return catalog_each(c, sql_query_stmt(c->db, &q, e), run_row, &to, e);
}

static void when_after(struct sql_query *q,
		       const struct catalog_run_filter *filter)
{
	if (filter->after_id == 0)
		return;
	if (!filter->oldest_first) {
		sql_when_int(q, "id < ?", filter->after_id);
		return;
	}
	sql_when(q, "(coalesce(not_before_us, 0), id) > ((SELECT "
		    "coalesce(not_before_us, 0) FROM runs WHERE id = ?), ?)");
	sql_arg_int(q, filter->after_id);
	sql_arg_int(q, filter->after_id);
}

int catalog_runs(struct catalog *c, const struct catalog_run_filter *filter,
		 catalog_run_visit *visit, void *arg, struct err *e)
{
	const struct run_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, RUN_COLUMNS);
	sql_when_text(&q, "schedule = ?", filter->schedule);
	sql_when_text(&q, "repository = ?", filter->repository);
	sql_when_text(&q, "kind = ?", filter->kind);
	sql_when_text(&q,
		      "id IN (SELECT run FROM run_sources WHERE source = ?)",
		      filter->source);
	if (filter->occurrence != 0)
		sql_when_int(&q, "occurrence = ?", filter->occurrence);
	catalog_when_states(&q, filter->states, state_names,
			    CATALOG_RUN_STATES);
	sql_when_time(&q, "queued_us >= ?", filter->from);
	sql_when_time(&q, "queued_us < ?", filter->to);
	when_after(&q, filter);
	sql_more(&q, filter->oldest_first
			     ? " ORDER BY coalesce(not_before_us, 0), id"
			     : " ORDER BY id DESC");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), run_row, &to, e);
}

/* ---- After a crash
 * ------------------------------------------------------------------- */

#define DEAD_AT_ONCE 256

struct dead {
	catalog_run_visit *alive;
	void *arg;
	int64_t ids[DEAD_AT_ONCE];
	size_t n;
	int64_t last;
};

static int note_dead(void *arg, const struct catalog_run *r, struct err *e)
{
	struct dead *d = arg;
	const int lives = d->alive ? d->alive(d->arg, r, e) : 0;

	if (lives < 0)
		return -1;
	d->last = r->id;
	if (lives == 0)
		d->ids[d->n++] = r->id;
	return d->n == DEAD_AT_ONCE;
}

static int interrupt_some(struct catalog *c, const struct dead *d,
			  struct instant now, struct err *e)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct catalog_run_end end = {
			.run = d->ids[i],
			.state = CATALOG_RUN_INTERRUPTED,
			.message = "its process ended without a word",
			.now = now,
		};

		if (end_row(c, &end, e) < 0)
			return -1;
	}
	return 0;
}

static int interrupt(struct catalog *c, const char *host, struct dead *d,
		     struct instant now, struct err *e)
{
	const struct run_to to = { note_dead, d };
	struct sql_query q;

	do {
		d->n = 0;
		sql_query(&q, RUN_COLUMNS);
		sql_when(&q, "state = 'running'");
		sql_when_text(&q, "host = ?", host);
		sql_when_int(&q, "id > ?", d->last);
		sql_more(&q, " ORDER BY id");
		if (catalog_list(c, sql_query_stmt(c->db, &q, e), run_row, &to,
				 e) < 0 ||
		    interrupt_some(c, d, now, e) < 0)
			return -1;
	} while (d->n == DEAD_AT_ONCE);
	return 0;
}

int catalog_runs_interrupt(struct catalog *c, const char *host,
			   catalog_run_visit *alive, void *arg,
			   struct instant now, struct err *e)
{
	struct dead d = { .alive = alive, .arg = arg };

	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, interrupt(c, host, &d, now, e), e);
}

/* ---- Steps
 * ---------------------------------------------------------------------------
 */

static int put_step(struct catalog *c, const struct catalog_step *p,
		    struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO run_steps (run, source, step, region, state, "
		"started_us, finished_us, message, details) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (run, source, step, region) DO UPDATE SET "
		"state = excluded.state, started_us = excluded.started_us, "
		"finished_us = excluded.finished_us, "
		"message = excluded.message, details = excluded.details",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, p->run);
	sql_text(s, p->source);
	sql_text(s, p->step);
	sql_text(s, p->region);
	sql_text(s, p->state);
	sql_time_or_null(s, p->started);
	sql_time_or_null(s, p->finished);
	sql_text(s, p->message);
	sql_json(s, p->details_json, "{}");
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_step_put(struct catalog *c, const struct catalog_step *s,
		     struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, put_step(c, s, e), e);
}

struct step_to {
	catalog_step_visit *visit;
	void *arg;
};

static int step_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct step_to *t = to;
	struct catalog_step p;

	p.run = sql_get_int(s);
	p.source = sql_get_text(s);
	p.step = sql_get_text(s);
	p.region = sql_get_text(s);
	p.state = sql_get_text(s);
	p.started = sql_get_time(s);
	p.finished = sql_get_time(s);
	p.message = sql_get_text(s);
	p.details_json = sql_get_text(s);
	return t->visit(t->arg, &p, e);
}

int catalog_steps(struct catalog *c, int64_t run, catalog_step_visit *visit,
		  void *arg, struct err *e)
{
	const struct step_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT run, source, step, region, state, started_us, "
		      "finished_us, message, details FROM run_steps");
	sql_when_int(&q, "run = ?", run);
	sql_more(&q, " ORDER BY id");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), step_row, &to, e);
}

static int drift_row(const void *to, struct sql_stmt *s, struct err *e UNUSED)
{
	/* catalog_list() hands on what it is given as constant. */
	struct catalog_drift *d = *(struct catalog_drift *const *)to;

	d->run = sql_get_int(s);
	d->finished = sql_get_time(s);
	d->added = sql_get_uint(s);
	d->removed = sql_get_uint(s);
	d->changed = sql_get_uint(s);
	return 1;
}

/*
 * From the newest snapshot on, by its index, so that it ends with the first:
 * CROSS JOIN keeps SQLite from beginning with the steps.
 */
int catalog_drift(struct catalog *c, const char *repository, const char *source,
		  struct instant after, struct catalog_drift *ret,
		  struct err *e)
{
	struct sql_query q;

	*ret = (struct catalog_drift){ .run = 0 };
	sql_query(&q, "SELECT s.run, s.finished_us, "
		      "json_extract(s.details, '$.drift.added'), "
		      "json_extract(s.details, '$.drift.removed'), "
		      "json_extract(s.details, '$.drift.changed') "
		      "FROM snapshots n CROSS JOIN run_steps s");
	sql_when_text(&q, "n.repository = ?", repository);
	sql_when_text(&q, "n.source = ?", source);
	sql_when_time(&q, "n.received_us > ?", after);
	sql_when(&q, "s.run = n.run AND s.source = n.source AND "
		     "s.step = 'snapshot' AND s.region = ''");
	sql_when(&q, "json_extract(s.details, '$.drift.added') + "
		     "json_extract(s.details, '$.drift.removed') + "
		     "json_extract(s.details, '$.drift.changed') > 0");
	sql_more(&q, " ORDER BY n.received_us DESC, n.snapshot");
	sql_limit(&q, 1);
	if (catalog_list(c, sql_query_stmt(c->db, &q, e), drift_row, &ret, e) <
	    0)
		return -1;
	return ret->run != 0;
}
