/*
 * Segments, out and in: what their rows are is told by catalog_shapes, that of
 * resources by write_version().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/catalog_internal.h"
#include "service/catalog_shapes.h"

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

static int export_shape(const struct export *p, const struct catalog_shape *h,
			struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, CATALOG_SHAPE_SQL);
	if (catalog_shapes_export_sql(h, &text, e) < 0)
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
	for (size_t i = 0; i < catalog_shapes_n; i++)
		if (export_shape(p, &catalog_shapes[i], e) < 0)
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

/*
 * Inputs that are a patch of others, which no segment told of so far, have a
 * row to name; the text may come yet.
 */
static const char *const inputs_steps[] = {
	"INSERT INTO inputs (hash, body) SELECT ?1 ->> 'base', '' WHERE "
	"?1 ->> 'base' IS NOT NULL ON CONFLICT (hash) DO NOTHING",

	"INSERT INTO inputs (hash, body, base, place) SELECT "
	"substr(?1 ->> 'inputs', 1, 64), substr(?1 ->> 'inputs', 66), b.id, "
	"coalesce(?1 ->> 'place', 0) FROM (SELECT 1) LEFT JOIN inputs b "
	"ON b.hash = ?1 ->> 'base' WHERE true "
	"ON CONFLICT (hash) DO UPDATE SET body = excluded.body, "
	"base = excluded.base, place = excluded.place WHERE inputs.body = '' "
	"OR (inputs.base IS NOT NULL AND excluded.base IS NULL)",
};

static int write_inputs(struct catalog *c, const char *line, size_t n,
			struct err *e)
{
	for (size_t i = 0; i < sizeof(inputs_steps) / sizeof(char *); i++)
		if (run_line(c, inputs_steps[i], line, n, e) < 0)
			return -1;
	return 0;
}

static int write_row(struct catalog *c, const struct catalog_shape *h,
		     const char *line, size_t n, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, CATALOG_SHAPE_SQL);
	if (strcmp(h->kind, "evaluation") == 0 &&
	    write_inputs(c, line, n, e) < 0)
		return -1;
	if (catalog_shapes_import_sql(h, &text, e) < 0 ||
	    run_line(c, buf_str(&text), line, n, e) < 0)
		return -1;
	for (size_t i = 0; i < CATALOG_AFTER && h->after[i]; i++)
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
	for (size_t i = 0; i < catalog_shapes_n; i++)
		if (strcmp(line->kind, catalog_shapes[i].kind) == 0)
			return write_row(c, &catalog_shapes[i], text, n, e);
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
