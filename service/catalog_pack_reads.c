/* Which packs were read, and when; see service/catalog_keep.h. */
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

static int put_read(struct catalog *c, const struct catalog_pack_read *p,
		    struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO pack_reads (repository, region, pack, read_us) "
		"VALUES (?, ?, ?, ?) ON CONFLICT (repository, region, pack) "
		"DO UPDATE SET read_us = excluded.read_us",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, p->repository);
	sql_text(s, p->region);
	sql_text(s, p->pack);
	sql_time(s, p->read);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int forget_read(struct catalog *c, const struct catalog_pack_read *p,
		       struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"DELETE FROM pack_reads WHERE repository = ? AND region = ? "
		"AND pack = ?",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, p->repository);
	sql_text(s, p->region);
	sql_text(s, p->pack);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_pack_read_put(struct catalog *c, const struct catalog_pack_read *p,
			  struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(
		c, p->read.sec ? put_read(c, p, e) : forget_read(c, p, e), e);
}

struct read_to {
	catalog_pack_read_visit *visit;
	void *arg;
};

static int read_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct read_to *t = to;
	struct catalog_pack_read p;

	p.repository = sql_get_text(s);
	p.region = sql_get_text(s);
	p.pack = sql_get_text(s);
	p.read = sql_get_time(s);
	return t->visit(t->arg, &p, e);
}

int catalog_pack_reads(struct catalog *c, const char *repository,
		       const char *region, catalog_pack_read_visit *visit,
		       void *arg, struct err *e)
{
	const struct read_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT repository, region, pack, read_us "
		      "FROM pack_reads");
	sql_when_text(&q, "repository = ?", repository);
	sql_when_text(&q, "region = ?", region);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), read_row, &to, e);
}
