#include <string.h>

#include "base/text.h"
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* ---- Regions
 * ------------------------------------------------------------------------ */

static int put_region(struct catalog *c, const struct catalog_region *r,
		      struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO regions (repository, region, url, is_primary, "
		"seen_ok_us, failed_us, message, listed_us, inventory) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (repository, region) DO UPDATE SET "
		"url = excluded.url, is_primary = excluded.is_primary, "
		"seen_ok_us = excluded.seen_ok_us, "
		"failed_us = excluded.failed_us, message = excluded.message, "
		"listed_us = excluded.listed_us, "
		"inventory = excluded.inventory",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, r->repository);
	sql_text(s, r->region);
	sql_text(s, r->url);
	sql_int(s, r->primary);
	sql_time_or_null(s, r->seen_ok);
	sql_time_or_null(s, r->failed);
	sql_text(s, r->message);
	sql_time_or_null(s, r->listed);
	sql_json(s, r->inventory_json, "{}");
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_region_put(struct catalog *c, const struct catalog_region *r,
		       struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, put_region(c, r, e), e);
}

static int remove_region(struct catalog *c, const char *repository,
			 const char *region, const struct catalog_actor *actor,
			 struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "DELETE FROM regions WHERE "
				      "repository = ? AND region = ?",
				      e);
	int removed;

	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_text(s, region);
	removed = sql_run(s, e);
	if (removed <= 0)
		return removed;
	if (catalog_record(
		    c, actor, "region.remove", region,
		    (const struct catalog_fact[2]){
			    { "repository", repository }, { NULL, NULL } },
		    e) < 0)
		return -1;
	return 1;
}

int catalog_region_remove(struct catalog *c, const char *repository,
			  const char *region, const struct catalog_actor *actor,
			  struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, remove_region(c, repository, region, actor, e),
			      e);
}

struct region_to {
	catalog_region_visit *visit;
	void *arg;
};

static int region_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct region_to *t = to;
	struct catalog_region r;

	r.repository = sql_get_text(s);
	r.region = sql_get_text(s);
	r.url = sql_get_text(s);
	r.primary = sql_get_bool(s);
	r.seen_ok = sql_get_time(s);
	r.failed = sql_get_time(s);
	r.message = sql_get_text(s);
	r.listed = sql_get_time(s);
	r.inventory_json = sql_get_text(s);
	return t->visit(t->arg, &r, e);
}

int catalog_regions(struct catalog *c, const char *repository,
		    catalog_region_visit *visit, void *arg, struct err *e)
{
	const struct region_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT repository, region, url, is_primary, "
		      "seen_ok_us, failed_us, message, listed_us, inventory "
		      "FROM regions");
	sql_when_text(&q, "repository = ?", repository);
	sql_more(&q, " ORDER BY repository, is_primary DESC, region");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), region_row, &to,
			    e);
}

/* ---- Checks
 * ------------------------------------------------------------------------- */

static int add_check(struct catalog *c, const struct catalog_check_row *k,
		     int64_t *ret_id, struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO checks (uid, repository, region, snapshot, run, "
		"level, result, started_us, finished_us, objects, bytes, "
		"damaged, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, uid.s);
	sql_text(s, k->repository);
	sql_text(s, k->region);
	sql_text(s, k->snapshot);
	sql_id_or_null(s, k->run);
	sql_text(s, k->level);
	sql_text(s, k->result);
	sql_time(s, k->started);
	sql_time(s, k->finished);
	sql_uint(s, k->objects);
	sql_uint(s, k->bytes);
	sql_uint(s, k->damaged);
	sql_json(s, k->details_json, "{}");
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

int catalog_check_add(struct catalog *c, const struct catalog_check_row *k,
		      int64_t *ret_id, struct err *e)
{
	int64_t id = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, add_check(c, k, &id, e), e);
	if (got == 0)
		*ret_id = id;
	return got;
}

struct check_to {
	catalog_check_visit *visit;
	void *arg;
};

static int check_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct check_to *t = to;
	struct catalog_check_row k;

	k.id = sql_get_int(s);
	k.repository = sql_get_text(s);
	k.region = sql_get_text(s);
	k.snapshot = sql_get_text(s);
	k.run = sql_get_int(s);
	k.level = sql_get_text(s);
	k.result = sql_get_text(s);
	k.started = sql_get_time(s);
	k.finished = sql_get_time(s);
	k.objects = sql_get_uint(s);
	k.bytes = sql_get_uint(s);
	k.damaged = sql_get_uint(s);
	k.details_json = sql_get_text(s);
	return t->visit(t->arg, &k, e);
}

int catalog_checks(struct catalog *c, const struct catalog_check_filter *filter,
		   catalog_check_visit *visit, void *arg, struct err *e)
{
	const struct check_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT id, repository, region, snapshot, run, level, "
		      "result, started_us, finished_us, objects, bytes, "
		      "damaged, details FROM checks");
	sql_when_text(&q, "repository = ?", filter->repository);
	sql_when_text(&q, "region = ?", filter->region);
	if (filter->locks) /* by the words of the index checks_locks */
		sql_when(&q, "instr(details, '\"object_lock\"') > 0");
	sql_when_text(&q, "snapshot = ?", filter->snapshot);
	sql_when_time(&q, "started_us >= ?", filter->from);
	sql_when_time(&q, "started_us < ?", filter->to);
	sql_more(&q, " ORDER BY id DESC");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), check_row, &to, e);
}

/* ---- Drills
 * ------------------------------------------------------------------------- */

#define DRILL_FIELDS                                                       \
	"drill, schedule, repository, region, source, snapshot, run, "     \
	"started_us, finished_us, passed, rto_ms, rpo_ms, rto_target_ms, " \
	"rpo_target_ms, files, bytes, checks, evidence, message"

static void bind_drill(struct sql_stmt *s, const struct catalog_drill *d)
{
	sql_text(s, d->drill);
	sql_text(s, d->schedule);
	sql_text(s, d->repository);
	sql_text(s, d->region);
	sql_text(s, d->source);
	sql_text(s, d->snapshot);
	sql_id_or_null(s, d->run);
	sql_time(s, d->started);
	sql_time_or_null(s, d->finished);
	sql_int(s, d->passed);
	sql_int(s, d->rto_ms);
	sql_int(s, d->rpo_ms);
	sql_int(s, d->rto_target_ms);
	sql_int(s, d->rpo_target_ms);
	sql_uint(s, d->files);
	sql_uint(s, d->bytes);
	sql_json(s, d->checks_json, "[]");
	sql_json(s, d->evidence_json, "{}");
	sql_text(s, d->message);
}

static int insert_drill(struct catalog *c, const struct catalog_drill *d,
			int64_t *ret_id, struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO drills (" DRILL_FIELDS ", uid) VALUES (?, ?, ?, "
		"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	bind_drill(s, d);
	sql_text(s, uid.s);
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

static int put_drill(struct catalog *c, const struct catalog_drill *d,
		     int64_t *ret_id, struct err *e)
{
	struct sql_stmt *s;
	int changed;

	if (d->id == 0)
		return insert_drill(c, d, ret_id, e);
	s = sql_stmt(c->db,
		     "UPDATE drills SET (" DRILL_FIELDS ") = (?, ?, ?, ?, ?, "
		     "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE id = ?",
		     e);
	if (s == NULL)
		return -1;
	bind_drill(s, d);
	sql_int(s, d->id);
	changed = sql_run(s, e);
	if (changed == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no drill run %lld",
			       (long long)d->id);
	*ret_id = d->id;
	return changed < 0 ? -1 : 0;
}

int catalog_drill_put(struct catalog *c, const struct catalog_drill *d,
		      int64_t *ret_id, struct err *e)
{
	int64_t id = 0;
	int got;

	if (catalog_begin(c, e) < 0)
		return -1;
	got = catalog_finish(c, put_drill(c, d, &id, e), e);
	if (got == 0)
		*ret_id = id;
	return got;
}

struct drill_to {
	catalog_drill_visit *visit;
	void *arg;
};

static int drill_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct drill_to *t = to;
	struct catalog_drill d;

	d.id = sql_get_int(s);
	d.drill = sql_get_text(s);
	d.schedule = sql_get_text(s);
	d.repository = sql_get_text(s);
	d.region = sql_get_text(s);
	d.source = sql_get_text(s);
	d.snapshot = sql_get_text(s);
	d.run = sql_get_int(s);
	d.started = sql_get_time(s);
	d.finished = sql_get_time(s);
	d.passed = sql_get_bool(s);
	d.rto_ms = sql_get_int(s);
	d.rpo_ms = sql_get_int(s);
	d.rto_target_ms = sql_get_int(s);
	d.rpo_target_ms = sql_get_int(s);
	d.files = sql_get_uint(s);
	d.bytes = sql_get_uint(s);
	d.checks_json = sql_get_text(s);
	d.evidence_json = sql_get_text(s);
	d.message = sql_get_text(s);
	return t->visit(t->arg, &d, e);
}

int catalog_drills(struct catalog *c, const struct catalog_drill_filter *filter,
		   catalog_drill_visit *visit, void *arg, struct err *e)
{
	const struct drill_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, "SELECT id, " DRILL_FIELDS " FROM drills");
	if (filter->id != 0)
		sql_when_int(&q, "id = ?", filter->id);
	sql_when_text(&q, "drill = ?", filter->drill);
	sql_when_text(&q, "source = ?", filter->source);
	sql_when_time(&q, "started_us >= ?", filter->from);
	sql_when_time(&q, "started_us < ?", filter->to);
	if (filter->after_id != 0)
		sql_when_int(&q, "id < ?", filter->after_id);
	sql_more(&q, " ORDER BY id DESC");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), drill_row, &to, e);
}
