/*
 * Segments are driven by one table: what each kind of row consists of, and
 * how it names other rows so that the name means the same in every catalog.
 * Both directions' SQL is composed from it, so that they cannot drift apart.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/catalog_internal.h"

/* A column that is a row's number here and something lasting in a segment. */
struct link {
	const char *column;
	const char *name;     /* its key in the JSON object */
	const char *exported; /* of the row t */
	const char *imported; /* of the line ?1 */
};

struct shape {
	const char *kind; /* as in the table of changes */
	const char *table;
	const char *columns;	 /* kept as they are, separated by spaces */
	const char *key;	 /* what makes a row the same row */
	const char *update_when; /* which old rows may change; NULL: none */
	struct link links[2];
	const char *after[2]; /* more SQL for the line ?1, or NULL */
};

#define RUN_LINK                                                         \
	{                                                                \
		"run", "run", "(SELECT uid FROM runs WHERE id = t.run)", \
			"(SELECT id FROM runs WHERE uid = ?1 ->> 'run')" \
	}

/* What has ended, or was deleted, is never taken back by an older line. */
#define IF_LIVE(table, states) table ".state IN (" states ")"

/*
 * In the order of dependence: within a segment a row follows what it names.
 * Resources are not here: see write_version().
 */
static const struct shape shapes[] = {
	{ .kind = "occurrence",
	  .table = "occurrences",
	  .columns = "kind schedule_uid schedule schedule_version repository "
		     "sources at_us jittered_us noted_us state reason "
		     "lateness_ms started_us finished_us",
	  .key = "schedule_uid, at_us",
	  .update_when = IF_LIVE("occurrences", "'due', 'running'") },
	{ .kind = "run",
	  .table = "runs",
	  .columns = "uid kind schedule_uid schedule repository sources state "
		     "attempt queued_us not_before_us started_us finished_us "
		     "next_retry_us cancel_asked_us host boot_id pid "
		     "pid_start requested_by message",
	  .key = "uid",
	  .update_when = IF_LIVE("runs", "'queued', 'running'"),
	  .links = { { "occurrence", "occurrence",
		       "(SELECT schedule_uid || ' ' || at_us FROM occurrences "
		       "WHERE id = t.occurrence)",
		       "(SELECT id FROM occurrences WHERE schedule_uid = "
		       "substr(?1 ->> 'occurrence', 1, "
		       "instr(?1 ->> 'occurrence', ' ') - 1) AND at_us = "
		       "CAST(substr(?1 ->> 'occurrence', "
		       "instr(?1 ->> 'occurrence', ' ') + 1) AS INTEGER))" } } },
	{ .kind = "step",
	  .table = "run_steps",
	  .columns = "source step region state started_us finished_us message "
		     "details",
	  .key = "run, source, step, region",
	  .update_when = "true",
	  .links = { RUN_LINK } },
	{ .kind = "snapshot",
	  .table = "snapshots",
	  .columns = "repository snapshot source type host schedule state "
		     "parent time_us received_us receipt started_us "
		     "finished_us lock_until_us deleted_us deleted_reason "
		     "purged_us paths tags files dirs errors bytes "
		     "bytes_read bytes_new",
	  .key = "repository, snapshot",
	  .update_when = "snapshots.purged_us IS NULL",
	  .links = { RUN_LINK } },
	{ .kind = "replica",
	  .table = "replicas",
	  .columns = "region state completed_us oldest_verified_us bytes "
		     "message",
	  .key = "snapshot, region",
	  .update_when = "true",
	  .links = { { "snapshot", "snapshot",
		       "(SELECT repository || ' ' || snapshot FROM snapshots "
		       "WHERE id = t.snapshot)",
		       "(SELECT id FROM snapshots WHERE repository = "
		       "substr(?1 ->> 'snapshot', 1, "
		       "instr(?1 ->> 'snapshot', ' ') - 1) AND snapshot = "
		       "substr(?1 ->> 'snapshot', "
		       "instr(?1 ->> 'snapshot', ' ') + 1))" } } },
	{ .kind = "region",
	  .table = "regions",
	  .columns = "repository region url is_primary seen_ok_us failed_us "
		     "message listed_us inventory",
	  .key = "repository, region",
	  .update_when = "true" },
	{ .kind = "check",
	  .table = "checks",
	  .columns = "uid repository region snapshot level result started_us "
		     "finished_us objects bytes damaged details",
	  .key = "uid",
	  .links = { RUN_LINK } },
	{ .kind = "drill",
	  .table = "drills",
	  .columns = "uid drill schedule repository region source snapshot "
		     "started_us finished_us passed rto_ms rpo_ms "
		     "rto_target_ms rpo_target_ms files bytes checks evidence "
		     "message",
	  .key = "uid",
	  .update_when = "drills.finished_us IS NULL",
	  .links = { RUN_LINK } },
	{ .kind = "evaluation",
	  .table = "evaluations",
	  .columns = "uid repository source region policy policy_uid "
		     "policy_version now_us actor summary",
	  .key = "uid",
	  .links = { RUN_LINK,
		     { "inputs", "inputs",
		       "(SELECT hash || ' ' || body FROM inputs "
		       "WHERE id = t.inputs)",
		       "(SELECT id FROM inputs WHERE hash = "
		       "substr(?1 ->> 'inputs', 1, 64))" } } },
	{ .kind = "decision",
	  .table = "decisions",
	  .columns = "repository source region snapshot outcome reasons",
	  .key = "repository, snapshot, source, region, first",
	  .update_when = "excluded.last > decisions.last",
	  .links = { { "first", "first",
		       "(SELECT uid FROM evaluations WHERE id = t.first)",
		       "(SELECT id FROM evaluations WHERE "
		       "uid = ?1 ->> 'first')" },
		     { "last", "last",
		       "(SELECT uid FROM evaluations WHERE id = t.last)",
		       "(SELECT id FROM evaluations WHERE "
		       "uid = ?1 ->> 'last')" } } },
	{ .kind = "shortening",
	  .table = "shortenings",
	  .columns = "uid repository source policy cause actor shown_us due_us "
		     "state",
	  .key = "uid",
	  .update_when = IF_LIVE("shortenings", "'waiting'"),
	  /* Not a column: carried for what comes after. */
	  .links = { { NULL, "snapshots",
		       "(SELECT json_group_array(snapshot) FROM "
		       "shortening_snapshots WHERE shortening = t.id)",
		       NULL } },
	  .after = { "DELETE FROM shortening_snapshots WHERE shortening = "
		     "(SELECT id FROM shortenings WHERE uid = ?1 ->> 'uid')",
		     "INSERT INTO shortening_snapshots SELECT s.id, "
		     "j.value FROM shortenings s, "
		     "json_each(?1 ->> 'snapshots') j "
		     "WHERE s.uid = ?1 ->> 'uid'" } },
	{ .kind = "hold",
	  .table = "holds",
	  .columns = "repository hold snapshots source matter custodian "
		     "placed_by placed_us released_us",
	  .key = "repository, hold",
	  .update_when = "holds.released_us IS NULL" },
	{ .kind = "audit",
	  .table = "audit",
	  .columns = "chain seq at_us actor_uid actor action object details "
		     "prev hash",
	  .key = "chain, seq" },
	{ .kind = "gap",
	  .table = "gaps",
	  .columns = "repository from_us to_us reason",
	  .key = "repository, from_us, to_us" },
};
#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))
#define N_LINKS	 2

/* ---- Composing SQL
 * ------------------------------------------------------------------- */

/* Every shape's SQL fits well (asserted by buf's ceiling in the tests). */
#define SQL_MAX 8192

/* Calls add(b, column) for each column of a list. */
typedef int add_column(struct buf *b, const char *column, struct err *e);

static int each_column(struct buf *b, const char *columns, add_column *add,
		       struct err *e)
{
	char name[64];

	while (*columns != '\0') {
		const size_t n = strcspn(columns, " ");

		assert(n > 0 && n < sizeof(name));
		memcpy(name, columns, n);
		name[n] = '\0';
		if (add(b, name, e) < 0)
			return -1;
		columns += n;
		columns += strspn(columns, " ");
	}
	return 0;
}

static int add_pair(struct buf *b, const char *column, struct err *e)
{
	return buf_addf(b, e, ", '%s', t.%s", column, column);
}

static int add_name(struct buf *b, const char *column, struct err *e)
{
	return buf_addf(b, e, ", %s", column);
}

static int add_value(struct buf *b, const char *column, struct err *e)
{
	return buf_addf(b, e, ", ?1 ->> '%s'", column);
}

static int add_update(struct buf *b, const char *column, struct err *e)
{
	return buf_addf(b, e, ", %s = excluded.%s", column, column);
}

static int compose_export(const struct shape *h, struct buf *b, struct err *e)
{
	if (buf_addf(b, e, "SELECT json_object('row', '%s'", h->kind) < 0 ||
	    each_column(b, h->columns, add_pair, e) < 0)
		return -1;
	for (size_t i = 0; i < N_LINKS && h->links[i].name; i++)
		if (buf_addf(b, e, ", '%s', %s", h->links[i].name,
			     h->links[i].exported) < 0)
			return -1;
	return buf_addf(b, e,
			") FROM %s t JOIN changes c ON c.row = t.id WHERE "
			"c.kind = '%s' AND c.repository IN (?1, '') AND "
			"c.seq > ?2 AND c.seq <= ?3 ORDER BY c.seq",
			h->table, h->kind);
}

static bool is_column(const struct link *l)
{
	return l->column != NULL;
}

/* The links' part of one of the three lists of an INSERT. */
static int add_links(const struct shape *h, struct buf *b, char part,
		     struct err *e)
{
	for (size_t i = 0; i < N_LINKS; i++) {
		const struct link *l = &h->links[i];
		int got = 0;

		if (!is_column(l))
			continue;
		if (part == 'n')
			got = add_name(b, l->column, e);
		else if (part == 'v')
			got = buf_addf(b, e, ", %s", l->imported);
		else
			got = add_update(b, l->column, e);
		if (got < 0)
			return -1;
	}
	return 0;
}

/*
 * A line whose row names one that this catalog was never told of (its
 * segment was lost) is left out where the name is part of the key; elsewhere
 * the column becomes NULL.
 */
static int add_conditions(const struct shape *h, struct buf *b, struct err *e)
{
	if (buf_add_str(b, " WHERE true", e) < 0)
		return -1;
	for (size_t i = 0; i < N_LINKS; i++) {
		const struct link *l = &h->links[i];
		const bool needed = is_column(l) &&
				    (strstr(h->key, l->column) != NULL ||
				     strcmp(l->column, "last") == 0 ||
				     strcmp(l->column, "inputs") == 0);

		if (needed &&
		    buf_addf(b, e, " AND %s IS NOT NULL", l->imported) < 0)
			return -1;
	}
	return 0;
}

/* Each list begins with its first element twice removed: ", " is skipped. */
static int add_list(struct buf *b, const struct shape *h, char part,
		    add_column *add, struct err *e)
{
	CLEANUP(buf_done) struct buf list;

	buf_init(&list, SQL_MAX);
	if (each_column(&list, h->columns, add, e) < 0 ||
	    add_links(h, &list, part, e) < 0)
		return -1;
	return buf_add_str(b, buf_str(&list) + 2, e);
}

static int compose_import(const struct shape *h, struct buf *b, struct err *e)
{
	if (buf_addf(b, e, "INSERT INTO %s (", h->table) < 0 ||
	    add_list(b, h, 'n', add_name, e) < 0 ||
	    buf_add_str(b, ") SELECT ", e) < 0 ||
	    add_list(b, h, 'v', add_value, e) < 0 ||
	    add_conditions(h, b, e) < 0 ||
	    buf_addf(b, e, " ON CONFLICT (%s) DO ", h->key) < 0)
		return -1;
	if (h->update_when == NULL)
		return buf_add_str(b, "NOTHING", e);
	if (buf_add_str(b, "UPDATE SET ", e) < 0 ||
	    add_list(b, h, 'u', add_update, e) < 0)
		return -1;
	return buf_addf(b, e, " WHERE %s", h->update_when);
}

/* ---- Export
 * ---------------------------------------------------------------------------
 */

struct export
{
	struct catalog *c;
	const struct catalog_export *x;
	struct catalog_segment *segment;
	int64_t since;
};

static int put_line(const struct export *p, const char *text, struct err *e)
{
	const size_t n = strlen(text);

	if (n > CATALOG_LINE_MAX)
		return catalog_pieces_write(text, n, p->x->sink, p->x->arg, e);
	if (p->x->sink(p->x->arg, text, n, e) < 0)
		return -1;
	return p->x->sink(p->x->arg, "\n", 1, e);
}

static int line_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct export *p = to;

	p->segment->rows++;
	return put_line(p, sql_get_text(s), e);
}

static int export_rows(const struct export *p, const char *text, struct err *e)
{
	struct sql_stmt *s = sql_stmt(p->c->db, text, e);

	if (s == NULL)
		return -1;
	sql_text(s, p->x->repository);
	sql_int(s, p->since);
	sql_int(s, p->segment->upto);
	return catalog_list(p->c, s, line_row, p, e);
}

static int export_shape(const struct export *p, const struct shape *h,
			struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, SQL_MAX);
	if (compose_export(h, &text, e) < 0)
		return -1;
	return export_rows(p, buf_str(&text), e);
}

#define EXPORT_VERSIONS                                                    \
	"SELECT json_object('row', 'version', 'resource_kind', r.kind, "   \
	"'name', r.name, 'uid', r.uid, 'created_us', r.created_us, "       \
	"'version', t.version, 'deleted', t.deleted, 'at_us', t.at_us, "   \
	"'actor_uid', t.actor_uid, 'actor', t.actor, 'labels', t.labels, " \
	"'spec', t.spec, 'refs', t.refs, 'difference', t.difference) "     \
	"FROM resource_versions t JOIN resources r ON r.id = t.resource "  \
	"JOIN changes c ON c.row = t.id WHERE c.kind = 'version' AND "     \
	"c.repository IN (?1, '') AND c.seq > ?2 AND c.seq <= ?3 "         \
	"ORDER BY c.seq"

static int find_marks(const struct export *p, int64_t *ret_since, struct err *e)
{
	struct catalog_segment *g = p->segment;
	struct sql_stmt *s = sql_stmt(
		p->c->db,
		"SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE "
		"name = 'changes'), 0), coalesce(g.number, 0) + 1, "
		"coalesce(g.upto, 0), coalesce(h.count, 0), "
		"coalesce(h.hash, '') FROM identity "
		"LEFT JOIN segments g ON g.repository = ? "
		"LEFT JOIN audit_heads h ON h.chain = identity.uid",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, p->x->repository);
	got = sql_step(s, e);
	if (got > 0) {
		g->upto = sql_get_int(s);
		g->number = sql_get_int(s);
		*ret_since = sql_get_int(s);
		g->head_count = sql_get_uint(s);
		(void)snprintf(g->head_hash, sizeof(g->head_hash), "%s",
			       sql_get_text(s));
	}
	sql_end(s);
	return got < 0 ? -1 : 0;
}

static int export_first(const struct export *p, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		p->c->db,
		"SELECT json_object('segment', ?1, 'catalog', identity.uid, "
		"'repository', ?2, 'made', ?3, 'program', ?4, 'heads', "
		"(SELECT json_group_array(json_object('chain', chain, "
		"'count', count, 'hash', hash)) FROM audit_heads)) "
		"FROM identity",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_int(s, p->segment->number);
	sql_text(s, p->x->repository);
	sql_time(s, p->x->now);
	sql_text(s, SNAPCTL_VERSION);
	got = sql_step(s, e);
	if (got > 0)
		got = put_line(p, sql_get_text(s), e);
	sql_end(s);
	return got < 0 ? -1 : 0;
}

static int export_all(struct export *p, struct err *e)
{
	if (find_marks(p, &p->since, e) < 0 || export_first(p, e) < 0 ||
	    export_rows(p, EXPORT_VERSIONS, e) < 0)
		return -1;
	for (size_t i = 0; i < N_SHAPES; i++)
		if (export_shape(p, &shapes[i], e) < 0)
			return -1;
	return 0;
}

int catalog_segment_export(struct catalog *c, const struct catalog_export *x,
			   struct catalog_segment *ret, struct err *e)
{
	struct catalog_segment segment = { .number = 0 };
	struct export p = { .c = c, .x = x, .segment = &segment };
	int got;

	if (catalog_begin_read(c, e) < 0)
		return -1;
	got = export_all(&p, e);
	catalog_end_read(c);
	if (got == 0)
		*ret = segment;
	return got;
}

static int write_mark(struct catalog *c, const char *repository,
		      const struct catalog_segment *g, struct instant now,
		      struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (repository) DO UPDATE SET "
		"number = excluded.number, upto = excluded.upto, "
		"done_us = excluded.done_us, chain = excluded.chain, "
		"head_count = excluded.head_count, "
		"head_hash = excluded.head_hash "
		"WHERE excluded.upto >= segments.upto",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_int(s, g->number);
	sql_int(s, g->upto);
	sql_time(s, now);
	sql_text(s, c->identity.s);
	sql_uint(s, g->head_count);
	sql_text(s, g->head_hash);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int mark_done(struct catalog *c, const char *repository,
		     const struct catalog_segment *g, struct instant now,
		     struct err *e)
{
	struct sql_stmt *s;

	if (write_mark(c, repository, g, now, e) < 0)
		return -1;
	s = sql_stmt(c->db,
		     "DELETE FROM changes WHERE repository = ? AND seq <= ? "
		     "AND repository <> ''",
		     e);
	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_int(s, g->upto);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_segment_done(struct catalog *c, const char *repository,
			 const struct catalog_segment *s, struct instant now,
			 struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, mark_done(c, repository, s, now, e), e);
}

/* ---- Import
 * ---------------------------------------------------------------------------
 */

static int run_line(struct catalog *c, const char *text, const char *line,
		    size_t n, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, text, e);

	if (s == NULL)
		return -1;
	sql_textn(s, line, n);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/*
 * A resource of that name that was applied here meanwhile stays the live
 * one; the imported one then comes in as deleted, with its versions.
 */
static const char *const version_steps[] = {
	"INSERT INTO resources (kind, name, uid, version, created_us, "
	"changed_us, deleted_us, labels, spec) SELECT ?1 ->> 'resource_kind', "
	"?1 ->> 'name', ?1 ->> 'uid', ?1 ->> 'version', ?1 ->> 'created_us', "
	"?1 ->> 'at_us', CASE WHEN ?1 ->> 'deleted' OR EXISTS (SELECT 1 FROM "
	"resources r WHERE r.kind = ?1 ->> 'resource_kind' AND r.name = "
	"?1 ->> 'name' AND r.deleted_us IS NULL AND r.uid <> ?1 ->> 'uid') "
	"THEN ?1 ->> 'at_us' END, ?1 ->> 'labels', ?1 ->> 'spec' WHERE true "
	"ON CONFLICT (uid) DO UPDATE SET version = excluded.version, "
	"changed_us = excluded.changed_us, deleted_us = excluded.deleted_us, "
	"labels = excluded.labels, spec = excluded.spec "
	"WHERE excluded.version > resources.version",

	"INSERT INTO resource_versions (resource, version, deleted, at_us, "
	"actor_uid, actor, labels, spec, refs, difference) SELECT r.id, "
	"?1 ->> 'version', ?1 ->> 'deleted', ?1 ->> 'at_us', "
	"?1 ->> 'actor_uid', ?1 ->> 'actor', ?1 ->> 'labels', ?1 ->> 'spec', "
	"?1 ->> 'refs', ?1 ->> 'difference' FROM resources r WHERE "
	"r.uid = ?1 ->> 'uid' ON CONFLICT (resource, version) DO NOTHING",

	"DELETE FROM resource_labels WHERE resource = (SELECT id FROM "
	"resources WHERE uid = ?1 ->> 'uid')",

	"DELETE FROM resource_refs WHERE resource = (SELECT id FROM resources "
	"WHERE uid = ?1 ->> 'uid')",

	"INSERT INTO resource_labels SELECT r.id, j.key, j.value FROM "
	"resources r, json_each(r.labels) j WHERE r.uid = ?1 ->> 'uid' AND "
	"r.deleted_us IS NULL",

	"INSERT OR IGNORE INTO resource_refs SELECT r.id, j.value ->> 'kind', "
	"j.value ->> 'name' FROM resources r JOIN resource_versions v ON "
	"v.resource = r.id AND v.version = r.version, json_each(v.refs) j "
	"WHERE r.uid = ?1 ->> 'uid' AND r.deleted_us IS NULL",
};

static int write_version(struct catalog *c, const char *line, size_t n,
			 struct err *e)
{
	for (size_t i = 0; i < sizeof(version_steps) / sizeof(char *); i++)
		if (run_line(c, version_steps[i], line, n, e) < 0)
			return -1;
	return 0;
}

static int write_row(struct catalog *c, const struct shape *h, const char *line,
		     size_t n, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, SQL_MAX);
	if (strcmp(h->kind, "evaluation") == 0 &&
	    run_line(c,
		     "INSERT INTO inputs (hash, body) SELECT "
		     "substr(?1 ->> 'inputs', 1, 64), "
		     "substr(?1 ->> 'inputs', 66) WHERE true "
		     "ON CONFLICT (hash) DO NOTHING",
		     line, n, e) < 0)
		return -1;
	if (compose_import(h, &text, e) < 0 ||
	    run_line(c, buf_str(&text), line, n, e) < 0)
		return -1;
	for (size_t i = 0; i < 2 && h->after[i]; i++)
		if (run_line(c, h->after[i], line, n, e) < 0)
			return -1;
	return 0;
}

/* The other catalog's chains; one's own head is never taken from outside. */
static int write_heads(struct catalog *c, const char *line, size_t n,
		       struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO audit_heads SELECT j.value ->> 'chain', "
		"j.value ->> 'count', j.value ->> 'hash' FROM "
		"json_each(?1, '$.heads') j WHERE j.value ->> 'chain' <> ?2 "
		"ON CONFLICT (chain) DO UPDATE SET count = excluded.count, "
		"hash = excluded.hash WHERE excluded.count > count",
		e);

	if (s == NULL)
		return -1;
	sql_textn(s, line, n);
	sql_text(s, c->identity.s);
	return sql_run(s, e) < 0 ? -1 : 0;
}

struct line {
	char kind[24];
	int64_t segment; /* its number on a first line, or 0 */
	struct instant made;
};

static int look_at(struct catalog *c, const char *line, size_t n,
		   struct line *ret, struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT coalesce(?1 ->> 'row', ''), "
		"coalesce(?1 ->> 'segment', 0), coalesce(?1 ->> 'made', 0) "
		"WHERE json_valid(?1) AND json_type(?1) = 'object'",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_textn(s, line, n);
	got = sql_step(s, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(e, ERR_CORRUPT, "it is not a JSON object");
	(void)snprintf(ret->kind, sizeof(ret->kind), "%s", sql_get_text(s));
	ret->segment = sql_get_int(s);
	ret->made = sql_get_time(s);
	return 0;
}

static int import_row(struct catalog *c, const struct line *line,
		      const char *text, size_t n, struct err *e)
{
	if (strcmp(line->kind, "version") == 0)
		return write_version(c, text, n, e);
	for (size_t i = 0; i < N_SHAPES; i++)
		if (strcmp(line->kind, shapes[i].kind) == 0)
			return write_row(c, &shapes[i], text, n, e);
	return err_set(e, ERR_NEWER, "it is of an unknown kind %s",
		       text_quote_str(line->kind).s);
}

static int import_piece(struct catalog *c, const char *text, size_t n,
			struct catalog_imported *io, struct err *e)
{
	CLEANUP(buf_done) struct buf whole;
	struct line line;
	int got;

	buf_init(&whole, CATALOG_WHOLE_MAX);
	got = catalog_pieces_join(c, text, n, &whole, e);
	if (got <= 0)
		return got;
	if (look_at(c, buf_str(&whole), whole.len, &line, e) < 0)
		return -1;
	io->rows++;
	return import_row(c, &line, buf_str(&whole), whole.len, e);
}

static int import_line(struct catalog *c, const char *text, size_t n,
		       struct catalog_imported *io, struct err *e)
{
	struct line line;

	if (look_at(c, text, n, &line, e) < 0)
		return -1;
	if (line.segment > 0) {
		if (instant_compare(line.made, io->newest) > 0)
			io->newest = line.made;
		if (line.segment > io->number)
			io->number = line.segment;
		return write_heads(c, text, n, e);
	}
	if (strcmp(line.kind, "piece") == 0)
		return import_piece(c, text, n, io, e);
	io->rows++;
	return import_row(c, &line, text, n, e);
}

static int import_lines(struct catalog *c, const char *text, size_t n,
			struct catalog_imported *io, struct err *e)
{
	uint64_t number = 0;

	while (n > 0) {
		const char *end = memchr(text, '\n', n);
		const size_t len = end ? (size_t)(end - text) : n;

		number++;
		if (len > 0 && import_line(c, text, len, io, e) < 0) {
			/* What no table takes was not written by export. */
			if (e->code == ERR_USAGE || e->code == ERR_EXISTS ||
			    e->code == ERR_BUG)
				e->code = ERR_CORRUPT;
			return err_wrap(e, "line %llu of the segment",
					(unsigned long long)number);
		}
		text += end ? len + 1 : len;
		n -= end ? len + 1 : len;
	}
	return 0;
}

int catalog_segment_import(struct catalog *c, const char *text, size_t n,
			   struct catalog_imported *io, struct err *e)
{
	struct catalog_imported imported = *io;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, import_lines(c, text, n, &imported, e), e);
	if (got == 0)
		*io = imported;
	return got;
}

/* ---- After a rebuild
 * ------------------------------------------------------------------ */

struct rebuilt {
	const char *repository;
	struct instant newest, now;
	int64_t number; /* of the last segment that is there */
};

static int settle(struct catalog *c, const char *text, const struct rebuilt *b,
		  struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, text, e);

	if (s == NULL)
		return -1;
	sql_text(s, b->repository);
	sql_time(s, b->newest);
	sql_time(s, b->now);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/* Runs first: an occurrence with a live run cannot end. */
static const char *const settling[] = {
	"UPDATE runs SET state = 'interrupted', finished_us = ?3, message = "
	"'the catalog was lost before its end was stored' WHERE "
	"repository = ?1 AND state IN ('queued', 'running') AND "
	"queued_us <= ?2",

	"UPDATE occurrences SET state = CASE state WHEN 'due' THEN 'missed' "
	"ELSE 'failed' END, finished_us = ?3, reason = 'the catalog was lost "
	"before its outcome was stored' WHERE repository = ?1 AND "
	"state IN ('due', 'running') AND noted_us <= ?2",

	/* ?1 and ?2 in a shape that binds them. */
	"INSERT INTO accounts SELECT uid, ?3, ?3 FROM resources WHERE "
	"deleted_us IS NULL AND kind IN ('Schedule', 'Drill') AND "
	"?1 IS NOT NULL AND ?2 IS NOT NULL ON CONFLICT (schedule_uid) "
	"DO UPDATE SET accounted_us = max(accounted_us, ?3)",

	("INSERT INTO gaps (repository, from_us, to_us, reason) VALUES (?1, "
	 "?2, ?3, 'the catalog was rebuilt') ON CONFLICT DO NOTHING"),
};

static int rebuilt(struct catalog *c, const struct rebuilt *b,
		   const struct catalog_actor *actor, struct err *e)
{
	/* What came from the repository need not go there again. */
	struct catalog_segment mark = { .number = 0 };
	struct export p = { .c = c,
			    .x =
				    &(const struct catalog_export){
					    .repository = b->repository },
			    .segment = &mark };
	char from[INSTANT_TEXT];

	if (find_marks(&p, &p.since, e) < 0)
		return -1;
	mark.number--;
	if (mark.number < b->number)
		mark.number = b->number;
	if (mark_done(c, b->repository, &mark, b->now, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(settling) / sizeof(char *); i++)
		if (settle(c, settling[i], b, e) < 0)
			return -1;
	instant_format(b->newest, from);
	return catalog_record(
		c, actor, "catalog.rebuild", b->repository,
		(const struct catalog_fact[2]){ { "nothing_known_from", from },
						{ NULL, NULL } },
		e);
}

int catalog_rebuilt(struct catalog *c, const char *repository,
		    const struct catalog_imported *imported,
		    const struct catalog_actor *actor, struct err *e)
{
	const struct rebuilt b = { repository, imported->newest, actor->now,
				   imported->number };

	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, rebuilt(c, &b, actor, e), e);
}

struct gap_to {
	catalog_gap_visit *visit;
	void *arg;
};

static int gap_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct gap_to *t = to;
	struct catalog_gap g;

	g.repository = sql_get_text(s);
	g.from = sql_get_time(s);
	g.to = sql_get_time(s);
	g.reason = sql_get_text(s);
	return t->visit(t->arg, &g, e);
}

int catalog_gaps(struct catalog *c, catalog_gap_visit *visit, void *arg,
		 struct err *e)
{
	const struct gap_to to = { visit, arg };

	return catalog_list(c,
			    sql_stmt(c->db,
				     "SELECT repository, from_us, to_us, "
				     "reason FROM gaps ORDER BY from_us, id",
				     e),
			    gap_row, &to, e);
}
