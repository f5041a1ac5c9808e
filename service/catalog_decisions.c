#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_inputs.h"
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* ---- Evaluations
 * -------------------------------------------------------------------- */

static int insert_evaluation(struct catalog *c,
			     const struct catalog_evaluation *v, int64_t inputs,
			     int64_t *ret_id, struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO evaluations (uid, repository, source, region, "
		"policy, policy_uid, policy_version, run, now_us, actor, "
		"inputs, summary, rules) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?, ?)",
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
	sql_text(s, v->rules_json);
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

/* ---- Decisions
 * ---------------------------------------------------------------------- */

/* What an evaluation changes about the decisions of its group. */
struct changing {
	const struct catalog_evaluation *v;
	bool other_policy; /* than the group's evaluation before: all is new */
	const struct catalog_decision **sorted; /* by snapshot */
	bool *still_so;				/* of each of them */
	size_t n, at;
	int64_t *ended; /* rows */
	size_t n_ended, room;
};

static void changing_done(struct changing *g)
{
	free(g->sorted);
	free(g->still_so);
	free(g->ended);
}
static inline void cleanup_changing_done(struct changing *g)
{
	changing_done(g);
}

static int compare_snapshots(const void *a, const void *b)
{
	const struct catalog_decision *const *x = a;
	const struct catalog_decision *const *y = b;

	return strcmp((*x)->snapshot, (*y)->snapshot);
}

static int sort_decisions(struct changing *g,
			  const struct catalog_decision *decisions,
			  struct err *e)
{
	g->sorted = calloc(g->n + 1, sizeof(const struct catalog_decision *));
	g->still_so = calloc(g->n + 1, sizeof(*g->still_so));
	if (!g->sorted || !g->still_so)
		return err_oom(e);
	for (size_t i = 0; i < g->n; i++)
		g->sorted[i] = &decisions[i];
	if (g->n > 1)
		qsort(g->sorted, g->n, sizeof(const struct catalog_decision *),
		      compare_snapshots);
	return 0;
}

/* What was decided under another policy, or version of it, is not "still so".
 */
static int see_policy(struct catalog *c, struct changing *g, struct err *e)
{
	const struct catalog_evaluation *v = g->v;
	int64_t other = 0;
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT policy_uid <> ?4 OR policy_version <> ?5 OR "
		"policy <> ?6 FROM evaluations "
		"WHERE repository = ?1 AND source = ?2 AND region = ?3 "
		"ORDER BY id DESC LIMIT 1",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, v->repository);
	sql_text(s, v->source);
	sql_text(s, v->region);
	sql_text(s, v->policy_uid);
	sql_int(s, v->policy_version);
	sql_text(s, v->policy);
	if (catalog_one_int(s, &other, e) < 0)
		return -1;
	g->other_policy = other != 0;
	return 0;
}

static int end_row(struct changing *g, int64_t row, struct err *e)
{
	if (g->n_ended == g->room) {
		const size_t room = g->room ? 2 * g->room : 64;
		int64_t *more = reallocarray(g->ended, room, sizeof(*more));

		if (!more)
			return err_oom(e);
		g->ended = more;
		g->room = room;
	}
	g->ended[g->n_ended++] = row;
	return 0;
}

/* Both are sorted by snapshot; each decision keeps one row. */
static int compare_row(const void *to, struct sql_stmt *s, struct err *e)
{
	struct changing *g = *(struct changing *const *)to;
	const int64_t row = sql_get_int(s);
	const char *snapshot = sql_get_text(s);
	const char *outcome = sql_get_text(s);
	const char *reasons = sql_get_text(s);
	const struct catalog_decision *d;

	while (g->at < g->n && strcmp(g->sorted[g->at]->snapshot, snapshot) < 0)
		g->at++;
	d = g->at < g->n ? g->sorted[g->at] : NULL;
	if (!d || g->other_policy || strcmp(d->snapshot, snapshot) != 0 ||
	    strcmp(d->outcome, outcome) != 0 ||
	    strcmp(d->reasons_json ? d->reasons_json : "[]", reasons) != 0)
		return end_row(g, row, e);
	g->still_so[g->at++] = true;
	return 0;
}

static int compare_open(struct catalog *c, struct changing *g, struct err *e)
{
	const struct changing *const to = g;
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT id, snapshot, outcome, reasons FROM decisions WHERE "
		"repository = ? AND source = ? AND region = ? AND "
		"ended IS NULL ORDER BY snapshot",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, g->v->repository);
	sql_text(s, g->v->source);
	sql_text(s, g->v->region);
	return catalog_list(c, s, compare_row, &to, e);
}

static int end_decision(struct catalog *c, int64_t row, int64_t evaluation,
			struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db, "UPDATE decisions SET ended = ? WHERE id = ?", e);

	if (s == NULL)
		return -1;
	sql_int(s, evaluation);
	sql_int(s, row);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int insert_decision(struct catalog *c,
			   const struct catalog_evaluation *v, int64_t id,
			   const struct catalog_decision *d, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO decisions (repository, source, region, snapshot, "
		"first, outcome, reasons) VALUES (?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, v->repository);
	sql_text(s, v->source);
	sql_text(s, v->region);
	sql_text(s, d->snapshot);
	sql_int(s, id);
	sql_text(s, d->outcome);
	sql_json(s, d->reasons_json, "[]");
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int write_changes(struct catalog *c, const struct changing *g,
			 int64_t id, struct err *e)
{
	for (size_t i = 0; i < g->n_ended; i++)
		if (end_decision(c, g->ended[i], id, e) < 0)
			return -1;
	for (size_t i = 0; i < g->n; i++)
		if (!g->still_so[i] &&
		    insert_decision(c, g->v, id, g->sorted[i], e) < 0)
			return -1;
	return 0;
}

static int add_evaluation(struct catalog *c, const struct catalog_evaluation *v,
			  const struct catalog_decision *decisions, size_t n,
			  int64_t *ret_id, struct err *e)
{
	CLEANUP(changing_done) struct changing g = { .v = v, .n = n };
	int64_t inputs = 0;

	if (sort_decisions(&g, decisions, e) < 0 || see_policy(c, &g, e) < 0 ||
	    compare_open(c, &g, e) < 0 ||
	    catalog_inputs_put(c, v, &inputs, e) < 0 ||
	    insert_evaluation(c, v, inputs, ret_id, e) < 0)
		/* The cleanup frees g; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	return write_changes(c, &g, *ret_id, e);
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
	struct catalog *c;
	const struct catalog_evaluation_filter *filter;
	catalog_evaluation_visit *visit;
	void *arg;
};

static int evaluation_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct evaluation_to *t = to;
	CLEANUP(buf_done) struct buf inputs;
	struct catalog_evaluation v;
	int64_t inputs_id;

	buf_init(&inputs, CATALOG_WHOLE_MAX);
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
	inputs_id = sql_get_int(s);
	v.inputs_state = CATALOG_INPUTS_MISSING;
	if (!t->filter->without_inputs &&
	    catalog_inputs_get(t->c, inputs_id, &inputs, &v.inputs_state, e) <
		    0)
		return -1;
	v.inputs_json = buf_str(&inputs);
	v.inputs_hash = sql_get_text(s);
	v.is_unsure = sql_get_int(s) != 0;
	v.summary_json = sql_get_text(s);
	v.rules_json = sql_get_text(s);
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
	const struct evaluation_to to = { c, filter, visit, arg };
	struct sql_query q;

	sql_query(
		&q,
		"SELECT v.id, v.repository, v.source, v.region, v.policy, "
		"v.policy_uid, v.policy_version, v.run, v.now_us, v.actor, "
		"v.inputs, i.hash, v.unsure, v.summary, v.rules FROM evaluations v "
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

/*
 * The last evaluation at which a decision d stood: that before the one which
 * ended it, or the group's newest.  Its first stands in where somebody changed
 * the group's rows, so that no decision vanishes.
 */
#define BY_GROUP                                                             \
	"(SELECT w.id FROM evaluations w WHERE w.repository = d.repository " \
	"AND w.source = d.source AND w.region = d.region AND "               \
	"w.id >= d.first AND w.id < coalesce(d.ended, 9223372036854775807)"
#define NEWEST " ORDER BY w.id DESC LIMIT 1)"

#define DECISION_COLUMNS                                                   \
	"SELECT d.first, l.id, f.now_us, l.now_us, d.repository, "         \
	"d.source, d.region, d.snapshot, d.outcome, d.reasons, f.policy, " \
	"f.policy_version FROM decisions d "                               \
	"JOIN evaluations f ON f.id = d.first "                            \
	"JOIN evaluations l ON l.id = coalesce(" BY_GROUP NEWEST ", d.first)"

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
		  "(d.ended IS NULL OR d.ended > v.id) AND d.first <= v.id");
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
		"SELECT d.ended IS NULL OR d.ended > v.id FROM evaluations v "
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

/* A decision's evaluation by then: the last at which it stood. */
#define AS_OF                                                      \
	"SELECT d.first, v.id, f.now_us, v.now_us, d.repository, " \
	"d.source, d.region, d.snapshot, d.outcome, d.reasons, "   \
	"v.policy, v.policy_version FROM decisions d "             \
	"JOIN evaluations f ON f.id = d.first "                    \
	"JOIN evaluations v ON v.id = coalesce(" BY_GROUP          \
	" AND w.now_us <= ?" NEWEST ", d.first)"

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
