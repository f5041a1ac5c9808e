#include <string.h>

#include "base/text.h"
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* ---- Snapshots
 * --------------------------------------------------------------------- */

static void bind_snapshot(struct sql_stmt *s, const struct catalog_snapshot *n)
{
	sql_text(s, n->repository);
	sql_text(s, n->id);
	sql_text(s, n->source);
	sql_text(s, n->type);
	sql_text(s, n->host);
	sql_text(s, n->schedule);
	sql_id_or_null(s, n->run);
	sql_text(s, n->state);
	sql_text(s, n->parent);
	sql_time(s, n->time);
	sql_time(s, n->received);
	sql_text(s, n->receipt);
	sql_time(s, n->started);
	sql_time(s, n->finished);
	sql_time_or_null(s, n->lock_until);
	sql_time_or_null(s, n->deleted);
	sql_text(s, n->deleted_reason);
	sql_time_or_null(s, n->purged);
	sql_json(s, n->paths_json, "[]");
	sql_json(s, n->tags_json, "[]");
	sql_uint(s, n->files);
	sql_uint(s, n->dirs);
	sql_uint(s, n->errors);
	sql_uint(s, n->bytes);
	sql_uint(s, n->bytes_read);
	sql_uint(s, n->bytes_new);
}

/*
 * The repository is scanned again and again; what a scan cannot know (the
 * run, what was read for it) or must not take back (a lock, a tombstone) stays.
 */
#define SNAPSHOT_PUT                                                           \
	"INSERT INTO snapshots (repository, snapshot, source, type, host, "    \
	"schedule, run, state, parent, time_us, received_us, receipt, "        \
	"started_us, finished_us, lock_until_us, deleted_us, "                 \
	"deleted_reason, purged_us, paths, tags, files, dirs, errors, bytes, " \
	"bytes_read, bytes_new) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "  \
	"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "                           \
	"ON CONFLICT (repository, snapshot) DO UPDATE SET "                    \
	"source = excluded.source, type = excluded.type, "                     \
	"host = excluded.host, schedule = CASE WHEN excluded.schedule = '' "   \
	"THEN schedule ELSE excluded.schedule END, "                           \
	"run = coalesce(excluded.run, run), state = excluded.state, "          \
	"parent = excluded.parent, time_us = excluded.time_us, "               \
	"received_us = excluded.received_us, receipt = excluded.receipt, "     \
	"started_us = excluded.started_us, "                                   \
	"finished_us = excluded.finished_us, "                                 \
	"lock_until_us = nullif(max(coalesce(lock_until_us, 0), "              \
	"coalesce(excluded.lock_until_us, 0)), 0), "                           \
	"deleted_reason = CASE WHEN deleted_us IS NULL AND "                   \
	"excluded.deleted_us IS NOT NULL THEN excluded.deleted_reason "        \
	"ELSE deleted_reason END, "                                            \
	"deleted_us = coalesce(deleted_us, excluded.deleted_us), "             \
	"purged_us = coalesce(purged_us, excluded.purged_us), "                \
	"paths = excluded.paths, tags = excluded.tags, "                       \
	"files = excluded.files, dirs = excluded.dirs, "                       \
	"errors = excluded.errors, bytes = excluded.bytes, "                   \
	"bytes_read = max(bytes_read, excluded.bytes_read), "                  \
	"bytes_new = max(bytes_new, excluded.bytes_new)"

static int put_snapshot(struct catalog *c, const struct catalog_snapshot *n,
			struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, SNAPSHOT_PUT, e);

	if (s == NULL)
		return -1;
	bind_snapshot(s, n);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_snapshot_put(struct catalog *c, const struct catalog_snapshot *s,
			 struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, put_snapshot(c, s, e), e);
}

/* The row of a snapshot, or ERR_NOT_FOUND. */
static int row_of(struct catalog *c, const char *repository, const char *id,
		  int64_t *ret, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT id FROM snapshots WHERE "
				      "repository = ? AND snapshot = ?",
				      e);
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_text(s, id);
	got = catalog_one_int(s, ret, e);
	if (got == 0)
		return err_set(e, ERR_NOT_FOUND,
			       "there is no snapshot %s in repository %s",
			       text_quote_str(id).s,
			       text_quote_str(repository).s);
	return got < 0 ? -1 : 0;
}

static int set_deleted(struct catalog *c, int64_t row, const char *reason,
		       struct instant now, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		reason ? "UPDATE snapshots SET deleted_reason = ?2, "
			 "deleted_us = ?3 WHERE id = ?1 AND deleted_us IS NULL"
		       : "UPDATE snapshots SET deleted_reason = '', "
			 "deleted_us = NULL WHERE id = ?1 AND "
			 "(deleted_us IS NOT NULL OR deleted_reason <> '') "
			 "AND purged_us IS NULL",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, row);
	if (reason != NULL) {
		sql_text(s, reason);
		sql_time(s, now);
	}
	return sql_run(s, e);
}

static int deleted(struct catalog *c, const struct catalog_snapshot *n,
		   const char *reason, const struct catalog_actor *actor,
		   struct err *e)
{
	int64_t row = 0;
	int changed;

	if (row_of(c, n->repository, n->id, &row, e) < 0)
		return -1;
	changed = set_deleted(c, row, reason, actor->now, e);
	if (changed <= 0)
		return changed;
	if (catalog_record(c, actor,
			   reason ? "snapshot.delete" : "snapshot.undelete",
			   n->id,
			   (const struct catalog_fact[2]){
				   { "repository", n->repository },
				   { reason ? "reason" : NULL, reason } },
			   e) < 0)
		return -1;
	return 1;
}

int catalog_snapshot_deleted(struct catalog *c, const char *repository,
			     const char *id, const char *reason,
			     const struct catalog_actor *actor, struct err *e)
{
	const struct catalog_snapshot n = { .repository = repository,
					    .id = id };

	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, deleted(c, &n, reason, actor, e), e);
}

/* 1 when it was known to be there. */
static int copy_gone(struct catalog *c, int64_t row, const char *region,
		     struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE replicas SET state = 'gone' "
				      "WHERE snapshot = ? AND region = ? AND "
				      "state = 'complete'",
				      e);

	if (s == NULL)
		return -1;
	sql_int(s, row);
	sql_text(s, region);
	return sql_run(s, e);
}

static int has_copies(struct catalog *c, int64_t row, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT count(*) FROM replicas WHERE "
				      "snapshot = ? AND state = 'complete'",
				      e);
	int64_t n = 0;

	if (s == NULL)
		return -1;
	sql_int(s, row);
	return catalog_one_int(s, &n, e) < 0 ? -1 : n > 0;
}

static int keep_reason(struct catalog *c, int64_t row, const char *reason,
		       struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE snapshots SET deleted_reason = "
				      "?2 WHERE id = ?1 AND deleted_us IS NULL "
				      "AND deleted_reason = ''",
				      e);

	if (s == NULL)
		return -1;
	sql_int(s, row);
	sql_text(s, reason);
	return sql_run(s, e);
}

static int deleted_in(struct catalog *c, const struct catalog_snapshot *n,
		      const char *region, const char *reason,
		      const struct catalog_actor *actor, struct err *e)
{
	int64_t row = 0;
	int copies, changed;

	if (row_of(c, n->repository, n->id, &row, e) < 0 ||
	    copy_gone(c, row, region, e) < 0)
		return -1;
	copies = has_copies(c, row, e);
	if (copies < 0)
		return -1;
	if (copies == 0)
		return deleted(c, n, reason, actor, e);
	changed = keep_reason(c, row, reason, e);
	if (changed <= 0)
		return changed;
	if (catalog_record(c, actor, "snapshot.delete", n->id,
			   (const struct catalog_fact[2]){
				   { "repository", n->repository },
				   { "reason", reason } },
			   e) < 0)
		return -1;
	return 1;
}

int catalog_snapshot_deleted_in(struct catalog *c, const char *repository,
				const char *id, const char *region,
				const char *reason,
				const struct catalog_actor *actor,
				struct err *e)
{
	const struct catalog_snapshot n = { .repository = repository,
					    .id = id };

	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, deleted_in(c, &n, region, reason, actor, e),
			      e);
}

static int purged(struct catalog *c, const char *repository, const char *id,
		  struct instant now, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "UPDATE snapshots SET purged_us = ? "
				      "WHERE repository = ? AND snapshot = ? "
				      "AND purged_us IS NULL",
				      e);

	if (s == NULL)
		return -1;
	sql_time(s, now);
	sql_text(s, repository);
	sql_text(s, id);
	return sql_run(s, e);
}

int catalog_snapshot_purged(struct catalog *c, const char *repository,
			    const char *id, struct instant now, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, purged(c, repository, id, now, e), e);
}

#define SNAPSHOT_COLUMNS                                                      \
	"SELECT repository, snapshot, source, type, host, schedule, run, "    \
	"state, parent, time_us, received_us, receipt, started_us, "          \
	"finished_us, lock_until_us, deleted_us, deleted_reason, purged_us, " \
	"paths, tags, files, dirs, errors, bytes, bytes_read, bytes_new "     \
	"FROM snapshots"

struct snapshot_to {
	catalog_snapshot_visit *visit;
	void *arg;
};

static int snapshot_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct snapshot_to *t = to;
	struct catalog_snapshot n;

	n.repository = sql_get_text(s);
	n.id = sql_get_text(s);
	n.source = sql_get_text(s);
	n.type = sql_get_text(s);
	n.host = sql_get_text(s);
	n.schedule = sql_get_text(s);
	n.run = sql_get_int(s);
	n.state = sql_get_text(s);
	n.parent = sql_get_text(s);
	n.time = sql_get_time(s);
	n.received = sql_get_time(s);
	n.receipt = sql_get_text(s);
	n.started = sql_get_time(s);
	n.finished = sql_get_time(s);
	n.lock_until = sql_get_time(s);
	n.deleted = sql_get_time(s);
	n.deleted_reason = sql_get_text(s);
	n.purged = sql_get_time(s);
	n.paths_json = sql_get_text(s);
	n.tags_json = sql_get_text(s);
	n.files = sql_get_uint(s);
	n.dirs = sql_get_uint(s);
	n.errors = sql_get_uint(s);
	n.bytes = sql_get_uint(s);
	n.bytes_read = sql_get_uint(s);
	n.bytes_new = sql_get_uint(s);
	return t->visit(t->arg, &n, e);
}

int catalog_snapshots(struct catalog *c,
		      const struct catalog_snapshot_filter *filter,
		      catalog_snapshot_visit *visit, void *arg, struct err *e)
{
	const struct snapshot_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, SNAPSHOT_COLUMNS);
	sql_when_text(&q, "repository = ?", filter->repository);
	sql_when_text(&q, "source = ?", filter->source);
	sql_when_text(&q, "state = ?", filter->state);
	if (filter->run != 0)
		sql_when_int(&q, "run = ?", filter->run);
	if (filter->id_prefix != NULL) {
		/* Digits sort below "g": a range that the key's index has. */
		sql_when(&q, "snapshot >= ? AND snapshot < ? || 'g'");
		sql_arg_text(&q, filter->id_prefix);
		sql_arg_text(&q, filter->id_prefix);
	}
	if (filter->deleted == CATALOG_LIVE_ONLY)
		sql_when(&q, "deleted_us IS NULL AND purged_us IS NULL");
	if (filter->deleted == CATALOG_DELETED_ONLY)
		sql_when(&q, "deleted_us IS NOT NULL AND purged_us IS NULL");
	sql_when_time(&q, "received_us >= ?", filter->from);
	sql_when_time(&q, "received_us < ?", filter->to);
	if (filter->after_id != NULL) {
		/* The first term lets an index begin there. */
		sql_when(&q, "received_us <= ? AND "
			     "(received_us < ? OR snapshot > ?)");
		sql_arg_int(&q, sql_us(filter->after_received));
		sql_arg_int(&q, sql_us(filter->after_received));
		sql_arg_text(&q, filter->after_id);
	}
	sql_more(&q, " ORDER BY received_us DESC, snapshot");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), snapshot_row, &to,
			    e);
}

/* ---- Copies
 * ------------------------------------------------------------------------- */

static int put_replica(struct catalog *c, const struct catalog_replica *r,
		       struct err *e)
{
	int64_t row = 0;
	struct sql_stmt *s;

	if (row_of(c, r->repository, r->snapshot, &row, e) < 0)
		return -1;
	s = sql_stmt(
		c->db,
		"INSERT INTO replicas (snapshot, region, state, completed_us, "
		"oldest_verified_us, bytes, message) "
		"VALUES (?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (snapshot, region) DO UPDATE SET "
		"state = excluded.state, completed_us = excluded.completed_us, "
		"oldest_verified_us = excluded.oldest_verified_us, "
		"bytes = excluded.bytes, message = excluded.message",
		e);
	if (s == NULL)
		return -1;
	sql_int(s, row);
	sql_text(s, r->region);
	sql_text(s, r->state);
	sql_time_or_null(s, r->completed);
	sql_time_or_null(s, r->oldest_verified);
	sql_uint(s, r->bytes);
	sql_text(s, r->message);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_replica_put(struct catalog *c, const struct catalog_replica *r,
			struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, put_replica(c, r, e), e);
}

struct replica_to {
	catalog_replica_visit *visit;
	void *arg;
};

static int replica_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct replica_to *t = to;
	struct catalog_replica r;

	r.repository = sql_get_text(s);
	r.snapshot = sql_get_text(s);
	r.region = sql_get_text(s);
	r.state = sql_get_text(s);
	r.completed = sql_get_time(s);
	r.oldest_verified = sql_get_time(s);
	r.bytes = sql_get_uint(s);
	r.message = sql_get_text(s);
	return t->visit(t->arg, &r, e);
}

int catalog_replicas(struct catalog *c,
		     const struct catalog_replica_filter *filter,
		     catalog_replica_visit *visit, void *arg, struct err *e)
{
	const struct replica_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q,
		  "SELECT n.repository, n.snapshot, p.region, p.state, "
		  "p.completed_us, p.oldest_verified_us, p.bytes, p.message "
		  "FROM snapshots n JOIN replicas p ON p.snapshot = n.id");
	sql_when_text(&q, "n.repository = ?", filter->repository);
	sql_when(&q, "n.purged_us IS NULL");
	sql_when_text(&q, "n.snapshot = ?", filter->snapshot);
	sql_when_text(&q, "p.region = ?", filter->region);
	sql_more(&q, " ORDER BY n.snapshot, p.region");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), replica_row, &to,
			    e);
}

struct newest_to {
	catalog_newest_visit *visit;
	void *arg;
};

static int newest_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct newest_to *t = to;
	struct catalog_newest n;

	n.repository = sql_get_text(s);
	n.source = sql_get_text(s);
	n.region = sql_get_text(s);
	n.snapshot = sql_get_text(s);
	n.received = sql_get_time(s);
	n.completed = sql_get_time(s);
	n.oldest_verified = sql_get_time(s);
	n.snapshots = sql_get_uint(s);
	return t->visit(t->arg, &n, e);
}

int catalog_newest(struct catalog *c, const char *repository,
		   const char *source, catalog_newest_visit *visit, void *arg,
		   struct err *e)
{
	const struct newest_to to = { visit, arg };
	struct sql_query q;

	/* With one max(), SQLite takes the bare columns from that row. */
	sql_query(&q, "SELECT n.repository, n.source, p.region, n.snapshot, "
		      "max(n.received_us), p.completed_us, "
		      "p.oldest_verified_us, count(*) "
		      "FROM snapshots n JOIN replicas p ON p.snapshot = n.id");
	sql_when(&q, "n.deleted_us IS NULL AND n.purged_us IS NULL AND "
		     "n.state = 'complete' AND p.state = 'complete'");
	sql_when_text(&q, "n.repository = ?", repository);
	sql_when_text(&q, "n.source = ?", source);
	sql_more(&q, " GROUP BY n.repository, n.source, p.region "
		     "ORDER BY n.repository, n.source, p.region");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), newest_row, &to,
			    e);
}
