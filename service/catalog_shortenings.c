#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* ---- Shortenings
 * -------------------------------------------------------------------- */

static int insert_shortening(struct catalog *c,
			     const struct catalog_shortening *h,
			     int64_t *ret_id, struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO shortenings (uid, repository, source, region, "
		"policy, cause, actor, shown_us, due_us, state) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, uid.s);
	sql_text(s, h->repository);
	sql_text(s, h->source);
	sql_text(s, h->region ? h->region : "");
	sql_text(s, h->policy);
	sql_text(s, h->cause);
	sql_text(s, h->actor);
	sql_time(s, h->shown);
	sql_time(s, h->due);
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

/* 1 when it was added, 0 when another waiting one lists it already. */
static int add_snapshot(struct catalog *c, const struct catalog_shortening *h,
			int64_t id, const char *snapshot, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO shortening_snapshots (shortening, snapshot) "
		"SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM shortenings h "
		"JOIN shortening_snapshots n ON n.shortening = h.id WHERE "
		"h.repository = ?3 AND h.source = ?4 AND "
		"coalesce(h.region, '') = ?5 AND h.state = 'waiting' "
		"AND n.snapshot = ?2)",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, id);
	sql_text(s, snapshot);
	sql_text(s, h->repository);
	sql_text(s, h->source);
	sql_text(s, h->region ? h->region : "");
	return sql_run(s, e);
}

static int record_shortening(struct catalog *c,
			     const struct catalog_shortening *h, uint64_t n,
			     struct err *e)
{
	const struct catalog_actor actor = { -1, h->actor, h->shown };
	char object[600], count[24];

	(void)snprintf(object, sizeof(object), "Policy/%s",
		       h->policy ? h->policy : "");
	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)n);
	return catalog_record(
		c, &actor, "shortening.show", object,
		(const struct catalog_fact[2]){ { "cause", h->cause },
						{ "snapshots", count } },
		e);
}

/* 1, or 0 when every snapshot is listed elsewhere: then nothing is kept. */
static int add_shortening(struct catalog *c, const struct catalog_shortening *h,
			  const char *const *snapshots, size_t n,
			  int64_t *ret_id, struct err *e)
{
	uint64_t added = 0;

	if (insert_shortening(c, h, ret_id, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const int got = add_snapshot(c, h, *ret_id, snapshots[i], e);

		if (got < 0)
			return -1;
		added += (uint64_t)got;
	}
	if (added == 0)
		return 0;
	return record_shortening(c, h, added, e) < 0 ? -1 : 1;
}

int catalog_shortening_add(struct catalog *c,
			   const struct catalog_shortening *s,
			   const char *const *snapshots, size_t n,
			   int64_t *ret_id, struct err *e)
{
	int64_t id = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = add_shortening(c, s, snapshots, n, &id, e);
	if (got == 0) {
		catalog_rollback(c);
		return 0;
	}
	got = catalog_finish(c, got, e);
	if (got > 0)
		*ret_id = id;
	return got;
}

static int cancel(struct catalog *c, const char *policy,
		  const struct catalog_actor *actor, uint64_t *ret_count,
		  struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE shortenings SET "
				      "state = 'cancelled' WHERE policy = ? "
				      "AND state = 'waiting'",
				      e);
	char object[600], count[24];
	int changed;

	if (s == NULL)
		return -1;
	sql_text(s, policy);
	changed = sql_run(s, e);
	if (changed < 0)
		return -1;
	*ret_count = (uint64_t)changed;
	if (changed == 0)
		return 0;
	(void)snprintf(object, sizeof(object), "Policy/%s", policy);
	(void)snprintf(count, sizeof(count), "%d", changed);
	return catalog_record(c, actor, "shortening.cancel", object,
			      (const struct catalog_fact[2]){
				      { "cancelled", count }, { NULL, NULL } },
			      e);
}

int catalog_shortening_cancel(struct catalog *c, const char *policy,
			      const struct catalog_actor *actor,
			      uint64_t *ret_count, struct err *e)
{
	uint64_t count = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, cancel(c, policy, actor, &count, e), e);
	if (got == 0)
		*ret_count = count;
	return got;
}

#define FORGET_WHERE                                                 \
	"repository = ?1 AND source = ?2 AND state = 'waiting' AND " \
	"coalesce(region, '') = ?4 AND "                             \
	"EXISTS (SELECT 1 FROM shortening_snapshots n WHERE "        \
	"n.shortening = shortenings.id AND n.snapshot = ?3)"

static int run_forget(struct catalog *c, const char *text,
		      const char *const keys[4], struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, text, e);

	if (s == NULL)
		return -1;
	for (int i = 0; i < 4; i++)
		sql_text(s, keys[i]);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_shortening_forget(struct catalog *c, const char *repository,
			      const char *source, const char *region,
			      const char *snapshot, struct err *e)
{
	const char *const keys[4] = { repository, source, snapshot, region };
	int failed;

	if (catalog_begin(c, e) < 0)
		return -1;
	/* The list is part of the row where segments are concerned: touch it,
	 * so that it is exported again. */
	failed = run_forget(c,
			    "UPDATE shortenings SET state = state "
			    "WHERE " FORGET_WHERE,
			    keys, e);
	if (failed == 0)
		failed = run_forget(c,
				    "DELETE FROM shortening_snapshots WHERE "
				    "snapshot = ?3 AND shortening IN (SELECT "
				    "id FROM shortenings WHERE " FORGET_WHERE
				    ")",
				    keys, e);
	return catalog_finish(c, failed, e);
}

static int applied(struct catalog *c, int64_t id,
		   const struct catalog_actor *actor, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE shortenings SET "
				      "state = 'applied' WHERE id = ? AND "
				      "state = 'waiting'",
				      e);
	char object[48];
	int changed;

	if (s == NULL)
		return -1;
	sql_int(s, id);
	changed = sql_run(s, e);
	if (changed <= 0)
		return changed;
	(void)snprintf(object, sizeof(object), "Shortening/%lld",
		       (long long)id);
	return catalog_record(c, actor, "shortening.apply", object, NULL, e) < 0
		       ? -1
		       : 1;
}

int catalog_shortening_applied(struct catalog *c, int64_t id,
			       const struct catalog_actor *actor, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, applied(c, id, actor, e), e);
}

struct shortening_to {
	catalog_shortening_visit *visit;
	void *arg;
};

static int shortening_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct shortening_to *t = to;
	struct catalog_shortening h;

	h.id = sql_get_int(s);
	h.repository = sql_get_text(s);
	h.source = sql_get_text(s);
	h.region = sql_get_text(s);
	h.policy = sql_get_text(s);
	h.cause = sql_get_text(s);
	h.actor = sql_get_text(s);
	h.shown = sql_get_time(s);
	h.due = sql_get_time(s);
	h.state = sql_get_text(s);
	h.snapshots = sql_get_uint(s);
	return t->visit(t->arg, &h, e);
}

int catalog_shortenings(struct catalog *c,
			const struct catalog_shortening_filter *filter,
			catalog_shortening_visit *visit, void *arg,
			struct err *e)
{
	const struct shortening_to to = { visit, arg };
	struct sql_query q;

	sql_query(
		&q,
		"SELECT id, repository, source, coalesce(region, ''), "
		"policy, cause, actor, shown_us, due_us, state, (SELECT count(*) FROM "
		"shortening_snapshots n WHERE n.shortening = h.id) "
		"FROM shortenings h");
	if (filter->id != 0)
		sql_when_int(&q, "id = ?", filter->id);
	sql_when_text(&q, "repository = ?", filter->repository);
	sql_when_text(&q, "source = ?", filter->source);
	sql_when_text(&q, "policy = ?", filter->policy);
	sql_when_text(&q, "state = ?", filter->state);
	sql_more(&q, " ORDER BY due_us, id");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), shortening_row,
			    &to, e);
}

struct id_to {
	catalog_id_visit *visit;
	void *arg;
};

static int id_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct id_to *t = to;

	return t->visit(t->arg, sql_get_text(s), e);
}

int catalog_shortening_snapshots(struct catalog *c, int64_t id,
				 catalog_id_visit *visit, void *arg,
				 struct err *e)
{
	const struct id_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT snapshot FROM shortening_snapshots");
	sql_when_int(&q, "shortening = ?", id);
	sql_more(&q, " ORDER BY snapshot");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), id_row, &to, e);
}

/* ---- Holds
 * -------------------------------------------------------------------------- */

/* 1 when it is new or released now, 0 when that was known. */
static int put_hold(struct catalog *c, const struct catalog_hold *h,
		    struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO holds (repository, hold, snapshots, source, "
		"matter, custodian, placed_by, placed_us, released_us) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (repository, hold) DO UPDATE SET "
		"released_us = excluded.released_us "
		"WHERE released_us IS NULL AND excluded.released_us IS NOT NULL",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, h->repository);
	sql_text(s, h->id);
	sql_json(s, h->snapshots_json, "[]");
	sql_text(s, h->source);
	sql_text(s, h->matter);
	sql_text(s, h->custodian);
	sql_text(s, h->by);
	sql_time(s, h->placed);
	sql_time_or_null(s, h->released);
	return sql_run(s, e);
}

/* The command that did it may have told so at once, with its user. */
static int is_recorded(struct catalog *c, const char *action, const char *hold,
		       struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT 1 FROM audit WHERE object = ? "
				      "AND action = ? LIMIT 1",
				      e);
	int64_t ignored;

	if (s == NULL)
		return -1;
	sql_text(s, hold);
	sql_text(s, action);
	return catalog_one_int(s, &ignored, e);
}

static int hold(struct catalog *c, const struct catalog_hold *h,
		const struct catalog_actor *actor, struct err *e)
{
	const bool release = h->released.sec != 0 || h->released.nsec != 0;
	const char *action = release ? "hold.release" : "hold.add";
	const int changed = put_hold(c, h, e);
	int recorded;

	if (changed <= 0)
		return changed;
	recorded = is_recorded(c, action, h->id, e);
	if (recorded != 0)
		return recorded < 0 ? -1 : 0;
	return catalog_record(
		c, actor, action, h->id,
		(const struct catalog_fact[2]){ { "repository", h->repository },
						{ "matter", h->matter } },
		e);
}

int catalog_hold_put(struct catalog *c, const struct catalog_hold *h,
		     const struct catalog_actor *actor, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, hold(c, h, actor, e), e);
}

struct hold_to {
	catalog_hold_visit *visit;
	void *arg;
};

static int hold_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct hold_to *t = to;
	struct catalog_hold h;

	h.repository = sql_get_text(s);
	h.id = sql_get_text(s);
	h.snapshots_json = sql_get_text(s);
	h.source = sql_get_text(s);
	h.matter = sql_get_text(s);
	h.custodian = sql_get_text(s);
	h.by = sql_get_text(s);
	h.placed = sql_get_time(s);
	h.released = sql_get_time(s);
	return t->visit(t->arg, &h, e);
}

int catalog_holds(struct catalog *c, const char *repository, bool in_force,
		  catalog_hold_visit *visit, void *arg, struct err *e)
{
	const struct hold_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT repository, hold, snapshots, source, matter, "
		      "custodian, placed_by, placed_us, released_us "
		      "FROM holds");
	sql_when_text(&q, "repository = ?", repository);
	if (in_force)
		sql_when(&q, "released_us IS NULL");
	sql_more(&q, " ORDER BY placed_us, id");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), hold_row, &to, e);
}
