#include <stdio.h>
#include <string.h>

#include "service/catalog_hash.h"
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* ---- Evaluations
 * -------------------------------------------------------------------- */

static int put_inputs(struct catalog *c, const char *body, int64_t *ret_id,
		      struct err *e)
{
	char hash[CATALOG_HASH_TEXT];
	struct sql_stmt *s;

	catalog_hash(body, strlen(body), hash);
	s = sql_stmt(c->db,
		     "INSERT INTO inputs (hash, body) VALUES (?, ?) "
		     "ON CONFLICT (hash) DO NOTHING",
		     e);
	if (s == NULL)
		return -1;
	sql_text(s, hash);
	sql_text(s, body);
	if (sql_run(s, e) < 0)
		return -1;
	s = sql_stmt(c->db, "SELECT id FROM inputs WHERE hash = ?", e);
	if (s == NULL)
		return -1;
	sql_text(s, hash);
	return catalog_one_int(s, ret_id, e) < 0 ? -1 : 0;
}

static int insert_evaluation(struct catalog *c,
			     const struct catalog_evaluation *v, int64_t inputs,
			     int64_t *ret_id, struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO evaluations (uid, repository, source, region, "
		"policy, policy_uid, policy_version, run, now_us, actor, "
		"inputs, summary) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, uid.s);
	sql_text(s, v->repository);
	sql_text(s, v->source);
	sql_text(s, v->region);
	sql_text(s, v->policy);
	sql_text(s, v->policy_uid);
	sql_int(s, v->policy_version);
	sql_id_or_null(s, v->run);
	sql_time(s, v->now);
	sql_text(s, v->actor);
	sql_int(s, inputs);
	sql_json(s, v->summary_json, "{}");
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

/*
 * The evaluation before, of the same group and under the same policy: only
 * what it decided can be "still so".  0 when there is none.
 */
static int find_previous(struct catalog *c, const struct catalog_evaluation *v,
			 int64_t *ret, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT CASE WHEN policy_uid = ?4 AND policy_version = ?5 "
		"AND policy = ?6 THEN id ELSE 0 END FROM evaluations "
		"WHERE repository = ?1 AND source = ?2 AND region = ?3 "
		"ORDER BY id DESC LIMIT 1",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, v->repository);
	sql_text(s, v->source);
	sql_text(s, v->region);
	sql_text(s, v->policy_uid);
	sql_int(s, v->policy_version);
	sql_text(s, v->policy);
	got = catalog_one_int(s, ret, e);
	if (got == 0)
		*ret = 0;
	return got < 0 ? -1 : 0;
}

/* ---- Decisions
 * ---------------------------------------------------------------------- */

/*
 * 1 when the last decision about it said the same and was prolonged.  By the
 * index that has the snapshot ("+last"): by the group's last evaluation each
 * of n decisions would look at all n.
 */
static int still_so(struct catalog *c, const struct catalog_evaluation *v,
		    int64_t previous, int64_t id,
		    const struct catalog_decision *d, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE decisions SET last = ?2 WHERE repository = ?3 AND "
		"snapshot = ?4 AND source = ?5 AND region = ?6 AND +last = ?1 "
		"AND outcome = ?7 AND reasons = ?8",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, previous);
	sql_int(s, id);
	sql_text(s, v->repository);
	sql_text(s, d->snapshot);
	sql_text(s, v->source);
	sql_text(s, v->region);
	sql_text(s, d->outcome);
	sql_json(s, d->reasons_json, "[]");
	return sql_run(s, e);
}

static int insert_decision(struct catalog *c,
			   const struct catalog_evaluation *v, int64_t id,
			   const struct catalog_decision *d, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO decisions (repository, source, region, snapshot, "
		"first, last, outcome, reasons) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, v->repository);
	sql_text(s, v->source);
	sql_text(s, v->region);
	sql_text(s, d->snapshot);
	sql_int(s, id);
	sql_int(s, id);
	sql_text(s, d->outcome);
	sql_json(s, d->reasons_json, "[]");
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int add_decision(struct catalog *c, const struct catalog_evaluation *v,
			int64_t previous, int64_t id,
			const struct catalog_decision *d, struct err *e)
{
	const int same = previous == 0 ? 0 : still_so(c, v, previous, id, d, e);

	if (same != 0)
		return same < 0 ? -1 : 0;
	return insert_decision(c, v, id, d, e);
}

static int add_evaluation(struct catalog *c, const struct catalog_evaluation *v,
			  const struct catalog_decision *decisions, size_t n,
			  int64_t *ret_id, struct err *e)
{
	int64_t previous = 0, inputs = 0;

	if (find_previous(c, v, &previous, e) < 0 ||
	    put_inputs(c, v->inputs_json ? v->inputs_json : "{}", &inputs, e) <
		    0 ||
	    insert_evaluation(c, v, inputs, ret_id, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (add_decision(c, v, previous, *ret_id, &decisions[i], e) < 0)
			return -1;
	return 0;
}

int catalog_evaluation_add(struct catalog *c,
			   const struct catalog_evaluation *v,
			   const struct catalog_decision *decisions, size_t n,
			   int64_t *ret_id, struct err *e)
{
	int64_t id = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, add_evaluation(c, v, decisions, n, &id, e), e);
	if (got == 0)
		*ret_id = id;
	return got;
}

/* ---- Reading
 * ------------------------------------------------------------------------ */

struct evaluation_to {
	catalog_evaluation_visit *visit;
	void *arg;
};

static int evaluation_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct evaluation_to *t = to;
	struct catalog_evaluation v;

	v.id = sql_get_int(s);
	v.repository = sql_get_text(s);
	v.source = sql_get_text(s);
	v.region = sql_get_text(s);
	v.policy = sql_get_text(s);
	v.policy_uid = sql_get_text(s);
	v.policy_version = sql_get_int(s);
	v.run = sql_get_int(s);
	v.now = sql_get_time(s);
	v.actor = sql_get_text(s);
	v.inputs_json = sql_get_text(s);
	v.inputs_hash = sql_get_text(s);
	v.summary_json = sql_get_text(s);
	return t->visit(t->arg, &v, e);
}

static void filter_evaluations(struct sql_query *q,
			       const struct catalog_evaluation_filter *filter)
{
	if (filter->id != 0)
		sql_when_int(q, "v.id = ?", filter->id);
	sql_when_text(q, "v.repository = ?", filter->repository);
	sql_when_text(q, "v.source = ?", filter->source);
	sql_when_text(q, "v.region = ?", filter->region);
	sql_when_text(q, "v.policy = ?", filter->policy);
	sql_when_time(q, "v.now_us <= ?", filter->as_of);
	if (filter->after_id != 0)
		sql_when_int(q, "v.id < ?", filter->after_id);
	if (!filter->newest_only)
		return;
	sql_when(q, "NOT EXISTS (SELECT 1 FROM evaluations w WHERE "
		    "w.repository = v.repository AND w.source = v.source AND "
		    "w.region = v.region AND w.id > v.id");
	if (filter->as_of.sec != 0 || filter->as_of.nsec != 0) {
		sql_more(q, " AND w.now_us <= ?");
		sql_arg_int(q, sql_us(filter->as_of));
	}
	sql_more(q, ")");
}

int catalog_evaluations(struct catalog *c,
			const struct catalog_evaluation_filter *filter,
			catalog_evaluation_visit *visit, void *arg,
			struct err *e)
{
	const struct evaluation_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q,
		  "SELECT v.id, v.repository, v.source, v.region, v.policy, "
		  "v.policy_uid, v.policy_version, v.run, v.now_us, v.actor, "
		  "i.body, i.hash, v.summary FROM evaluations v "
		  "JOIN inputs i ON i.id = v.inputs");
	filter_evaluations(&q, filter);
	sql_more(&q, " ORDER BY v.id DESC");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), evaluation_row,
			    &to, e);
}

struct outcome_to {
	catalog_outcome_visit *visit;
	void *arg;
};

static int outcome_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct outcome_to *t = to;
	struct catalog_outcome o;

	o.repository = sql_get_text(s);
	o.region = sql_get_text(s);
	o.now = sql_get_time(s);
	o.summary_json = sql_get_text(s);
	return t->visit(t->arg, &o, e);
}

int catalog_outcomes(struct catalog *c, const char *source,
		     catalog_outcome_visit *visit, void *arg, struct err *e)
{
	const struct outcome_to to = { visit, arg };
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT r.repository, r.region, v.now_us, v.summary "
		"FROM regions r JOIN evaluations v ON v.id = (SELECT w.id "
		"FROM evaluations w WHERE w.repository = r.repository AND "
		"w.source = ? AND w.region = r.region "
		"ORDER BY w.id DESC LIMIT 1) ORDER BY r.repository, r.region",
		e);

	if (s != NULL)
		sql_text(s, source);
	return catalog_list(c, s, outcome_row, &to, e);
}

#define DECISION_COLUMNS                                                   \
	"SELECT d.first, d.last, f.now_us, l.now_us, d.repository, "       \
	"d.source, d.region, d.snapshot, d.outcome, d.reasons, f.policy, " \
	"f.policy_version FROM decisions d "                               \
	"JOIN evaluations f ON f.id = d.first "                            \
	"JOIN evaluations l ON l.id = d.last"

struct decision_to {
	catalog_decision_visit *visit;
	void *arg;
};

static int decision_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct decision_to *t = to;
	struct catalog_decision_row d;

	d.first_evaluation = sql_get_int(s);
	d.last_evaluation = sql_get_int(s);
	d.first = sql_get_time(s);
	d.last = sql_get_time(s);
	d.repository = sql_get_text(s);
	d.source = sql_get_text(s);
	d.region = sql_get_text(s);
	d.snapshot = sql_get_text(s);
	d.outcome = sql_get_text(s);
	d.reasons_json = sql_get_text(s);
	d.policy = sql_get_text(s);
	d.policy_version = sql_get_int(s);
	return t->visit(t->arg, &d, e);
}

int catalog_decisions(struct catalog *c, int64_t evaluation,
		      catalog_decision_visit *visit, void *arg, struct err *e)
{
	const struct decision_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, DECISION_COLUMNS
		  " JOIN evaluations v ON v.repository = d.repository AND "
		  "v.source = d.source AND v.region = d.region AND "
		  "d.last >= v.id AND d.first <= v.id");
	sql_when_int(&q, "v.id = ?", evaluation);
	sql_more(&q, " ORDER BY d.snapshot");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), decision_row, &to,
			    e);
}

int catalog_decided(struct catalog *c, int64_t evaluation, const char *snapshot,
		    struct err *e)
{
	/* Those of a snapshot follow each other: the last that began counts. */
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT d.last >= v.id FROM evaluations v "
		"JOIN decisions d ON d.repository = v.repository AND "
		"d.snapshot = ?2 AND d.source = v.source AND "
		"d.region = v.region AND d.first <= v.id WHERE v.id = ?1 "
		"ORDER BY d.first DESC LIMIT 1",
		e);
	int64_t covers = 0;

	if (s == NULL)
		return -1;
	sql_int(s, evaluation);
	sql_text(s, snapshot);
	return catalog_one_int(s, &covers, e) < 0 ? -1 : covers != 0;
}

int catalog_decisions_of(struct catalog *c, const char *repository,
			 const char *snapshot, catalog_decision_visit *visit,
			 void *arg, struct err *e)
{
	const struct decision_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, DECISION_COLUMNS);
	sql_when_text(&q, "d.repository = ?", repository);
	sql_when_text(&q, "d.snapshot = ?", snapshot);
	sql_more(&q, " ORDER BY d.first, d.id");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), decision_row, &to,
			    e);
}

/*
 * A decision's evaluation by then: the last of its group from d.first to
 * d.last that was made by then.  d.first itself was; it stands in where
 * somebody changed the group's rows, so that no decision vanishes.
 */
#define AS_OF                                                                \
	"SELECT d.first, v.id, f.now_us, v.now_us, d.repository, "           \
	"d.source, d.region, d.snapshot, d.outcome, d.reasons, v.policy, "   \
	"v.policy_version FROM decisions d "                                 \
	"JOIN evaluations f ON f.id = d.first "                              \
	"JOIN evaluations v ON v.id = coalesce((SELECT w.id "                \
	"FROM evaluations w WHERE w.repository = d.repository AND "          \
	"w.source = d.source AND w.region = d.region AND w.id >= d.first "   \
	"AND w.id <= d.last AND w.now_us <= ? ORDER BY w.id DESC LIMIT 1), " \
	"d.first)"

int catalog_decisions_as_of(struct catalog *c,
			    const struct catalog_decision_filter *filter,
			    catalog_decision_visit *visit, void *arg,
			    struct err *e)
{
	const struct decision_to to = { visit, arg };
	const int64_t as_of = sql_us(filter->as_of);
	struct sql_query q;

	sql_query(&q, AS_OF);
	sql_arg_int(&q, as_of);
	sql_when_int(&q, "f.now_us <= ?", as_of);
	sql_when_int(&q,
		     "NOT EXISTS (SELECT 1 FROM decisions x "
		     "JOIN evaluations g ON g.id = x.first WHERE "
		     "x.repository = d.repository AND "
		     "x.snapshot = d.snapshot AND x.source = d.source AND "
		     "x.region = d.region AND x.first > d.first AND "
		     "g.now_us <= ?)",
		     as_of);
	sql_when_text(&q, "d.source = ?", filter->source);
	sql_more(&q, " ORDER BY v.id, d.snapshot");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), decision_row, &to,
			    e);
}
