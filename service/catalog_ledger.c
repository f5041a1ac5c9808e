#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/catalog_internal.h"

static const char *const state_names[CATALOG_OCCURRENCE_STATES] = {
	[CATALOG_DUE] = "due",
	[CATALOG_RUNNING] = "running",
	[CATALOG_SUCCEEDED] = "succeeded",
	[CATALOG_PARTIAL] = "partial",
	[CATALOG_FAILED] = "failed",
	[CATALOG_MISSED] = "missed",
	[CATALOG_SKIPPED] = "skipped",
	[CATALOG_SUPERSEDED] = "superseded",
};

const char *catalog_occurrence_state_name(enum catalog_occurrence_state s)
{
	return (unsigned int)s < CATALOG_OCCURRENCE_STATES ? state_names[s]
							   : "unknown";
}

int catalog_occurrence_state_named(const char *name)
{
	for (int i = 0; i < CATALOG_OCCURRENCE_STATES; i++)
		if (strcmp(name, state_names[i]) == 0)
			return i;
	return -1;
}

/* ---- Writing down
 * -------------------------------------------------------------- */

static int find_noted(struct catalog *c, const struct catalog_occurrence *o,
		      int64_t *ret_id, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT id FROM occurrences WHERE "
				      "schedule_uid = ? AND at_us = ?",
				      e);

	if (s == NULL)
		return -1;
	sql_text(s, o->schedule_uid);
	sql_time(s, o->at);
	return catalog_one_int(s, ret_id, e);
}

static int insert_occurrence(struct catalog *c,
			     const struct catalog_occurrence *o, struct err *e)
{
	const bool ended = o->state != CATALOG_DUE;
	const int64_t late_ms = instant_ms_between(o->jittered, o->noted);
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO occurrences (kind, schedule_uid, schedule, "
		"schedule_version, repository, sources, at_us, jittered_us, "
		"noted_us, state, reason, lateness_ms, finished_us) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, o->kind);
	sql_text(s, o->schedule_uid);
	sql_text(s, o->schedule);
	sql_int(s, o->schedule_version);
	sql_text(s, o->repository);
	sql_json(s, o->sources_json, "[]");
	sql_time(s, o->at);
	sql_time(s, o->jittered);
	sql_time(s, o->noted);
	sql_text(s, catalog_occurrence_state_name(o->state));
	sql_text(s, o->reason);
	sql_int(s, ended && late_ms > 0 ? late_ms : 0);
	sql_time_or_null(s, ended ? o->noted : (struct instant){ 0 });
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int note(struct catalog *c, const struct catalog_occurrence *o,
		int64_t *ret_id, struct err *e)
{
	const int got = find_noted(c, o, ret_id, e);

	if (got != 0)
		return got < 0 ? -1 : 0;
	if (insert_occurrence(c, o, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 1;
}

int catalog_occurrence_note(struct catalog *c,
			    const struct catalog_occurrence *o, int64_t *ret_id,
			    struct err *e)
{
	int64_t id = 0;
	int got;

	if (o->state != CATALOG_DUE && o->state != CATALOG_MISSED &&
	    o->state != CATALOG_SKIPPED && o->state != CATALOG_SUPERSEDED)
		return err_set(e, ERR_BUG, "an occurrence cannot begin as %s",
			       catalog_occurrence_state_name(o->state));
	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, note(c, o, &id, e), e);
	if (got >= 0)
		*ret_id = id;
	return got;
}

/* ---- Ending
 * ---------------------------------------------------------------------- */

int catalog_end_occurrence(struct catalog *c, int64_t id,
			   enum catalog_occurrence_state state,
			   const char *reason, struct instant now,
			   struct err *e)
{
	struct sql_stmt *s = NULL;

	if (state <= CATALOG_RUNNING || state >= CATALOG_OCCURRENCE_STATES)
		return err_set(e, ERR_BUG, "an occurrence cannot end as %s",
			       catalog_occurrence_state_name(state));
	/* Its lateness is that of the first attempt, if there was one. */
	s = sql_stmt(
		c->db,
		"UPDATE occurrences SET state = ?2, reason = ?3, "
		"finished_us = ?4, lateness_ms = CASE WHEN started_us IS NULL "
		"THEN max(0, ?4 - jittered_us) / 1000 ELSE lateness_ms END "
		"WHERE id = ?1 AND state IN ('due', 'running') AND NOT EXISTS ("
		"SELECT 1 FROM runs WHERE occurrence = ?1 AND "
		"state IN ('queued', 'running'))",
		e);
	if (s == NULL)
		return -1;
	sql_int(s, id);
	sql_text(s, catalog_occurrence_state_name(state));
	sql_text(s, reason);
	sql_time(s, now);
	return sql_run(s, e);
}

/* The next attempt, which waits for its time. */
static int cancel_queued(struct catalog *c, int64_t occurrence,
			 const char *reason, struct instant now, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE runs SET state = 'cancelled', "
				      "message = ?2, finished_us = ?3 WHERE "
				      "occurrence = ?1 AND state = 'queued'",
				      e);

	if (s == NULL)
		return -1;
	sql_int(s, occurrence);
	sql_text(s, reason);
	sql_time(s, now);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_occurrence_end(struct catalog *c, int64_t id,
			   enum catalog_occurrence_state state,
			   const char *reason, struct instant now,
			   struct err *e)
{
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = cancel_queued(c, id, reason, now, e);
	if (got == 0)
		got = catalog_end_occurrence(c, id, state, reason, now, e);
	return catalog_finish(c, got, e);
}

/* ---- Reading
 * --------------------------------------------------------------------- */

/*
 * Every list walks an index in its own order and stops at its limit.  With
 * 10,000 schedules and 100,000 occurrences, runs and snapshots each
 * (tests/bench/catalog.c; two cores, others busy): the newest 50 0.2 ms, one
 * schedule's 0.1 ms, a later page 0.1 ms, a day's 10,000 5 ms, orphans 0.05
 * ms (the partial index of what is open), all 84 ms; runs: newest 50 0.3 ms,
 * one source's 0.2 ms, the queue 0.05 ms, a day's 10,000 49 ms, all 296 ms;
 * snapshots: newest 50 0.2 ms, all 145 ms; newest per source and region, all
 * 20,000 of them, 388 ms.
 */
#define OCCURRENCE_COLUMNS                                                   \
	"SELECT id, kind, schedule_uid, schedule, schedule_version, "        \
	"repository, sources, at_us, jittered_us, noted_us, state, reason, " \
	"lateness_ms, started_us, finished_us FROM occurrences"

struct occurrence_to {
	catalog_occurrence_visit *visit;
	void *arg;
};

static int occurrence_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct occurrence_to *t = to;
	struct catalog_occurrence o;
	int state;

	o.id = sql_get_int(s);
	o.kind = sql_get_text(s);
	o.schedule_uid = sql_get_text(s);
	o.schedule = sql_get_text(s);
	o.schedule_version = sql_get_int(s);
	o.repository = sql_get_text(s);
	o.sources_json = sql_get_text(s);
	o.at = sql_get_time(s);
	o.jittered = sql_get_time(s);
	o.noted = sql_get_time(s);
	state = catalog_occurrence_state_named(sql_get_text(s));
	if (state < 0)
		return err_set(e, ERR_CORRUPT,
			       "occurrence %lld has an unknown state",
			       (long long)o.id);
	o.state = (enum catalog_occurrence_state)state;
	o.reason = sql_get_text(s);
	o.lateness_ms = sql_get_int(s);
	o.started = sql_get_time(s);
	o.finished = sql_get_time(s);
	return t->visit(t->arg, &o, e);
}

int catalog_occurrence_get(struct catalog *c, int64_t id,
			   catalog_occurrence_visit *visit, void *arg,
			   struct err *e)
{
	const struct occurrence_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, OCCURRENCE_COLUMNS);
	sql_when_int(&q, "id = ?", id);
	return catalog_each(c, sql_query_stmt(c->db, &q, e), occurrence_row,
			    &to, e);
}

int catalog_occurrences(struct catalog *c,
			const struct catalog_occurrence_filter *filter,
			catalog_occurrence_visit *visit, void *arg,
			struct err *e)
{
	const struct occurrence_to to = { visit, arg };
	const bool up = filter->oldest_first;
	struct sql_query q;

	sql_query(&q, OCCURRENCE_COLUMNS);
	sql_when_text(&q, "schedule = ?", filter->schedule);
	sql_when_text(&q, "schedule_uid = ?", filter->schedule_uid);
	sql_when_text(&q, "repository = ?", filter->repository);
	catalog_when_states(&q, filter->states, state_names,
			    CATALOG_OCCURRENCE_STATES);
	if (filter->orphaned)
		sql_when(&q, "state IN ('due', 'running') AND NOT EXISTS ("
			     "SELECT 1 FROM runs WHERE "
			     "runs.occurrence = occurrences.id AND "
			     "runs.state IN ('queued', 'running'))");
	sql_when_time(&q, "at_us >= ?", filter->from);
	sql_when_time(&q, "at_us < ?", filter->to);
	if (filter->after_id != 0) {
		sql_when(&q, up ? "(at_us, id) > ((SELECT at_us FROM "
				  "occurrences WHERE id = ?), ?)"
				: "(at_us, id) < ((SELECT at_us FROM "
				  "occurrences WHERE id = ?), ?)");
		sql_arg_int(&q, filter->after_id);
		sql_arg_int(&q, filter->after_id);
	}
	sql_more(&q,
		 up ? " ORDER BY at_us, id" : " ORDER BY at_us DESC, id DESC");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), occurrence_row,
			    &to, e);
}

static int count_row(const void *to, struct sql_stmt *s, struct err *e)
{
	uint64_t *const *counts = to;
	const int state = catalog_occurrence_state_named(sql_get_text(s));

	(void)e;
	if (state >= 0)
		(*counts)[state] = sql_get_uint(s);
	return 0;
}

int catalog_occurrence_counts(struct catalog *c, const char *schedule_uid,
			      struct instant from, struct instant to,
			      uint64_t ret[CATALOG_OCCURRENCE_STATES],
			      struct err *e)
{
	uint64_t counts[CATALOG_OCCURRENCE_STATES] = { 0 };
	uint64_t *at = counts;
	struct sql_query q;

	sql_query(&q, "SELECT state, count(*) FROM occurrences");
	sql_when_text(&q, "schedule_uid = ?", schedule_uid);
	sql_when_time(&q, "at_us >= ?", from);
	sql_when_time(&q, "at_us < ?", to);
	sql_more(&q, " GROUP BY state");
	if (catalog_list(c, sql_query_stmt(c->db, &q, e), count_row, &at, e) <
	    0)
		return -1;
	memcpy(ret, counts, sizeof(counts));
	return 0;
}

/* ---- Accounts
 * -------------------------------------------------------------------- */

int catalog_account_get(struct catalog *c, const char *schedule_uid,
			struct catalog_account *ret, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT accounted_us, applied_us FROM accounts WHERE "
		"schedule_uid = ?",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, schedule_uid);
	got = sql_step(s, e);
	if (got > 0) {
		ret->accounted = sql_get_time(s);
		ret->applied = sql_get_time(s);
	}
	sql_end(s);
	return got;
}

static int account(struct catalog *c, const char *schedule_uid,
		   struct instant accounted, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO accounts VALUES (?1, ?2, ?2) ON CONFLICT "
		"(schedule_uid) DO UPDATE SET accounted_us = "
		"max(accounted_us, excluded.accounted_us)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, schedule_uid);
	sql_time(s, accounted);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_account_set(struct catalog *c, const char *schedule_uid,
			struct instant accounted, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, account(c, schedule_uid, accounted, e), e);
}

/* ---- Back
 * ------------------------------------------------------------------------ */

/* How many rows a statement about what lies after now has changed. */
static int after(struct catalog *c, const char *text, struct instant now,
		 struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, text, e);

	if (s == NULL)
		return -1;
	sql_time(s, now);
	return sql_run(s, e);
}

static int rewind_ledger(struct catalog *c, struct instant now,
			 uint64_t *ret_forgotten, struct err *e)
{
	const struct catalog_actor self = { -1, "snapctld", now };
	char count[24];
	const int forgotten = after(
		c,
		"DELETE FROM occurrences WHERE at_us > ?1 AND NOT EXISTS ("
		"SELECT 1 FROM runs WHERE runs.occurrence = occurrences.id)",
		now, e);

	if (forgotten < 0 ||
	    after(c,
		  "UPDATE accounts SET accounted_us = ?1 WHERE "
		  "accounted_us > ?1",
		  now, e) < 0 ||
	    after(c,
		  "UPDATE runs SET not_before_us = ?1 WHERE "
		  "state = 'queued' AND not_before_us > ?1",
		  now, e) < 0)
		return -1;
	*ret_forgotten = (uint64_t)forgotten;
	if (forgotten == 0)
		return 0;
	(void)snprintf(count, sizeof(count), "%d", forgotten);
	return catalog_record(c, &self, "ledger.rewind", "Clock",
			      (const struct catalog_fact[2]){
				      { "forgotten", count }, { NULL, NULL } },
			      e);
}

int catalog_ledger_rewind(struct catalog *c, struct instant now,
			  uint64_t *ret_forgotten, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, rewind_ledger(c, now, ret_forgotten, e), e);
}

/* ---- The clock
 * ------------------------------------------------------------------- */

int catalog_clock_get(struct catalog *c, struct catalog_clock *ret,
		      struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT wall_us, boot_ms, boot_id, "
				      "suspicious_us, jump_ms FROM clock",
				      e);
	int got;

	if (s == NULL)
		return -1;
	got = sql_step(s, e);
	if (got > 0) {
		ret->wall = sql_get_time(s);
		ret->boot_ms = sql_get_int(s);
		(void)snprintf(ret->boot_id, sizeof(ret->boot_id), "%s",
			       sql_get_text(s));
		ret->suspicious = sql_get_time(s);
		ret->jump_ms = sql_get_int(s);
	}
	sql_end(s);
	return got;
}

static bool given(struct instant t)
{
	return t.sec != 0 || t.nsec != 0;
}

static int put_clock(struct catalog *c, const struct catalog_clock *k,
		     struct err *e)
{
	struct catalog_clock before = { .boot_ms = 0 };
	struct catalog_actor self = { -1, "snapctld", k->wall };
	char jump[24];
	struct sql_stmt *s;

	if (catalog_clock_get(c, &before, e) < 0)
		return -1;
	s = sql_stmt(c->db,
		     "INSERT INTO clock VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT "
		     "(one) DO UPDATE SET wall_us = excluded.wall_us, "
		     "boot_ms = excluded.boot_ms, boot_id = excluded.boot_id, "
		     "jump_ms = CASE WHEN suspicious_us IS NULL THEN "
		     "excluded.jump_ms ELSE jump_ms END, suspicious_us = "
		     "coalesce(suspicious_us, excluded.suspicious_us)",
		     e);
	if (s == NULL)
		return -1;
	sql_time(s, k->wall);
	sql_int(s, k->boot_ms);
	sql_text(s, k->boot_id);
	sql_time_or_null(s, k->suspicious);
	sql_int(s, k->jump_ms);
	if (sql_run(s, e) < 0)
		return -1;
	if (given(before.suspicious) || !given(k->suspicious))
		return 0;
	(void)snprintf(jump, sizeof(jump), "%lld", (long long)k->jump_ms);
	return catalog_record(c, &self, "clock.suspect", "Clock",
			      (const struct catalog_fact[2]){
				      { "jump_ms", jump }, { NULL, NULL } },
			      e);
}

int catalog_clock_put(struct catalog *c, const struct catalog_clock *k,
		      struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, put_clock(c, k, e), e);
}

static int confirm(struct catalog *c, const struct catalog_actor *actor,
		   struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE clock SET suspicious_us = NULL, jump_ms = 0 "
		"WHERE suspicious_us IS NOT NULL",
		e);
	const int changed = s == NULL ? -1 : sql_run(s, e);

	if (changed <= 0)
		return changed;
	if (catalog_record(c, actor, "clock.confirm", "Clock", NULL, e) < 0)
		return -1;
	return 1;
}

int catalog_clock_confirm(struct catalog *c, const struct catalog_actor *actor,
			  struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, confirm(c, actor, e), e);
}
