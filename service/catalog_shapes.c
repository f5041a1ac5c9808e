#include "service/catalog_shapes.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define RUN_LINK                                                               \
	{                                                                      \
		"run", "run", "(SELECT uid FROM runs WHERE id = t.run)",       \
			"(SELECT id FROM runs WHERE uid = ?1 ->> 'run')", NULL \
	}

#define FIRST "(SELECT id FROM evaluations WHERE uid = ?1 ->> 'first')"
#define ENDED "(SELECT id FROM evaluations WHERE uid = ?1 ->> 'ended')"

/* The line's evaluation v does not follow the group's newest one here. */
#define DOES_NOT_FOLLOW                                                      \
	"(?1 ->> 'previous') IS NOT (SELECT p.uid FROM evaluations p WHERE " \
	"p.repository = v.repository AND p.source = v.source AND "           \
	"p.region = v.region AND p.id < v.id ORDER BY p.id DESC LIMIT 1)"

/*
 * What an evaluation line does to decisions that came before it, once its row
 * is there: those that it names end with it.  All that are open do when it does
 * not follow the group's newest evaluation here, because segments in between
 * are lost, for nobody tells which of them still stood; it is then unsure, and
 * so are those that follow.  By the index of what is open ("+first"): what has
 * ended is more with each evaluation.
 */
#define OPEN_BEFORE                                                           \
	"UPDATE decisions SET ended = v.id FROM evaluations v "               \
	"WHERE v.uid = ?1 ->> 'uid' AND decisions.repository = "              \
	"v.repository AND decisions.source = v.source AND decisions.region "  \
	"= v.region AND decisions.ended IS NULL AND +decisions.first < v.id " \
	"AND "
#define END_NAMED                                          \
	OPEN_BEFORE "decisions.snapshot IN (SELECT value " \
		    "FROM json_each(?1, '$.ends'))"
#define END_UNKNOWN                                            \
	OPEN_BEFORE                                            \
	"NOT EXISTS (SELECT 1 FROM evaluations n WHERE "       \
	"n.repository = v.repository AND n.source = v.source " \
	"AND n.region = v.region AND n.id > v.id) AND " DOES_NOT_FOLLOW
#define NOTE_UNKNOWN                                                         \
	"UPDATE evaluations AS v SET unsure = 1 WHERE v.uid = ?1 ->> 'uid' " \
	"AND (" DOES_NOT_FOLLOW " OR EXISTS (SELECT 1 FROM evaluations p "   \
	"WHERE p.uid = ?1 ->> 'previous' AND p.unsure))"

/*
 * Of several open decisions about one snapshot, which catalogs that were
 * rebuilt apart from each other may have told, the last is the one that stands.
 */
#define LATER                                                              \
	"FROM decisions n WHERE n.repository = decisions.repository AND "  \
	"n.snapshot = decisions.snapshot AND n.source = decisions.source " \
	"AND n.region = decisions.region AND n.first > decisions.first"
#define END_EARLIER                                                           \
	"UPDATE decisions SET ended = (SELECT min(n.first) " LATER ") WHERE " \
	"repository = ?1 ->> 'repository' AND source = ?1 ->> 'source' AND "  \
	"region = ?1 ->> 'region' AND snapshot = ?1 ->> 'snapshot' AND "      \
	"ended IS NULL AND EXISTS (SELECT 1 " LATER ")"

/* What has ended, or was deleted, is never taken back by an older line. */
#define IF_LIVE(table, states) table ".state IN (" states ")"
/* What a run is of never changes: run_sources is made of it once. */
#define RUN_LIVE                               \
	IF_LIVE("runs", "'queued', 'running'") \
	" AND excluded.sources = runs.sources"

const struct catalog_shape catalog_shapes[] = {
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
	  .update_when = RUN_LIVE,
	  .links = { { "occurrence", "occurrence",
		       "(SELECT schedule_uid || ' ' || at_us FROM occurrences "
		       "WHERE id = t.occurrence)",
		       "(SELECT id FROM occurrences WHERE schedule_uid = "
		       "substr(?1 ->> 'occurrence', 1, "
		       "instr(?1 ->> 'occurrence', ' ') - 1) AND at_us = "
		       "CAST(substr(?1 ->> 'occurrence', "
		       "instr(?1 ->> 'occurrence', ' ') + 1) AS INTEGER))",
		       NULL } } },
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
		       "instr(?1 ->> 'snapshot', ' ') + 1))",
		       NULL } } },
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
		     "policy_version now_us actor summary rules",
	  .key = "uid",
	  .links = { RUN_LINK,
		     { "inputs", "inputs",
		       "(SELECT hash || ' ' || body FROM inputs "
		       "WHERE id = t.inputs)",
		       "(SELECT id FROM inputs WHERE hash = "
		       "substr(?1 ->> 'inputs', 1, 64))",
		       NULL },
		     /* Not columns.  What the inputs are a patch of: */
		     { NULL, "base",
		       "(SELECT b.hash FROM inputs i JOIN inputs b "
		       "ON b.id = i.base WHERE i.id = t.inputs)",
		       NULL, NULL },
		     { NULL, "place",
		       "(SELECT place FROM inputs WHERE id = t.inputs)", NULL,
		       NULL },
		     /* Carried for what comes after: */
		     { NULL, "previous",
		       "(SELECT p.uid FROM evaluations p WHERE p.repository "
		       "= t.repository AND p.source = t.source AND p.region "
		       "= t.region AND p.id < t.id ORDER BY p.id DESC LIMIT 1)",
		       NULL, NULL },
		     { NULL, "ends",
		       "json((SELECT json_group_array(d.snapshot) FROM "
		       "decisions d WHERE d.ended = t.id))",
		       NULL, NULL } },
	  .after = { END_NAMED, END_UNKNOWN, NOTE_UNKNOWN } },
	{ .kind = "decision",
	  .table = "decisions",
	  .columns = "repository source region snapshot outcome reasons",
	  .key = "repository, snapshot, source, region, first",
	  .update_when = "excluded.ended > coalesce(decisions.ended, 0)",
	  .links = { { "first", "first",
		       "(SELECT uid FROM evaluations WHERE id = t.first)",
		       FIRST, FIRST " IS NOT NULL" },
		     { "ended", "ended",
		       "(SELECT uid FROM evaluations WHERE id = t.ended)",
		       ENDED,
		       "(?1 ->> 'ended' IS NULL OR " ENDED " IS NOT NULL)" } },
	  .after = { END_EARLIER } },
	{ .kind = "shortening",
	  .table = "shortenings",
	  .columns = "uid repository source region policy cause actor "
		     "shown_us due_us state",
	  .key = "uid",
	  .update_when = IF_LIVE("shortenings", "'waiting'"),
	  /* Not a column: carried for what comes after. */
	  .links = { { NULL, "snapshots",
		       "(SELECT json_group_array(snapshot) FROM "
		       "shortening_snapshots WHERE shortening = t.id)",
		       NULL, NULL } },
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
const size_t catalog_shapes_n = sizeof(catalog_shapes) /
				sizeof(catalog_shapes[0]);

/* ---- Composing SQL
 * ------------------------------------------------------------------- */

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

int catalog_shapes_export_sql(const struct catalog_shape *h, struct buf *b,
			      struct err *e)
{
	if (buf_addf(b, e, "SELECT json_object('row', '%s'", h->kind) < 0 ||
	    each_column(b, h->columns, add_pair, e) < 0)
		return -1;
	for (size_t i = 0; i < CATALOG_LINKS && h->links[i].name; i++)
		if (buf_addf(b, e, ", '%s', %s", h->links[i].name,
			     h->links[i].exported) < 0)
			return -1;
	return buf_addf(b, e,
			") FROM %s t JOIN changes c ON c.row = t.id WHERE "
			"c.kind = '%s' AND c.repository IN (?1, '') AND "
			"c.seq > ?2 AND c.seq <= ?3 ORDER BY c.seq",
			h->table, h->kind);
}

static bool is_column(const struct catalog_link *l)
{
	return l->column != NULL;
}

/* The links' part of one of the three lists of an INSERT. */
static int add_links(const struct catalog_shape *h, struct buf *b, char part,
		     struct err *e)
{
	for (size_t i = 0; i < CATALOG_LINKS; i++) {
		const struct catalog_link *l = &h->links[i];
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
 * segment was lost) is left out where it is needed: where the link says when,
 * and where the name is part of the key or is that of the inputs.  Elsewhere
 * the column becomes NULL.
 */
static int add_conditions(const struct catalog_shape *h, struct buf *b,
			  struct err *e)
{
	if (buf_add_str(b, " WHERE true", e) < 0)
		return -1;
	for (size_t i = 0; i < CATALOG_LINKS; i++) {
		const struct catalog_link *l = &h->links[i];
		const bool key = is_column(l) &&
				 (strstr(h->key, l->column) != NULL ||
				  strcmp(l->column, "inputs") == 0);

		if (l->needed && buf_addf(b, e, " AND %s", l->needed) < 0)
			return -1;
		if (key && !l->needed &&
		    buf_addf(b, e, " AND %s IS NOT NULL", l->imported) < 0)
			return -1;
	}
	return 0;
}

/* Each list begins with its first element twice removed: ", " is skipped. */
static int add_list(struct buf *b, const struct catalog_shape *h, char part,
		    add_column *add, struct err *e)
{
	CLEANUP(buf_done) struct buf list;

	buf_init(&list, CATALOG_SHAPE_SQL);
	if (each_column(&list, h->columns, add, e) < 0 ||
	    add_links(h, &list, part, e) < 0)
		return -1;
	return buf_add_str(b, buf_str(&list) + 2, e);
}

int catalog_shapes_import_sql(const struct catalog_shape *h, struct buf *b,
			      struct err *e)
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
