/*
 * Snapshots that were taken twice; see service/catalog_keep.h.
 *
 * They are among the steps that are open (the index run_steps_open).  Of those
 * only so many are looked at by one run, or a schedule that never succeeds
 * would cost every run more: the newest, and some further ones in turn, from
 * the newest down to the oldest and again.
 */
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* Of the newest, and in turn: each some index look-ups. */
enum { LOOKS = 1000 };

struct double_to {
	catalog_double_visit *visit;
	void *arg;
	bool in_turn;
	int64_t *stopped_at; /* the step at which the visitor did */
};

static int double_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct double_to *t = to;
	struct catalog_double d = { .in_turn = t->in_turn };
	const int64_t step = sql_get_int(s);
	int stop;

	d.run = sql_get_int(s);
	d.source = sql_get_text(s);
	d.region = sql_get_text(s);
	d.snapshot = sql_get_text(s);
	d.started = sql_get_time(s);
	d.again = sql_get_text(s);
	d.again_in = sql_get_text(s);
	stop = t->visit(t->arg, &d, e);
	if (stop > 0)
		*t->stopped_at = step;
	return stop;
}

/* Steps that are open, from one on downwards: the words of the index. */
#define OPEN(columns)                                                          \
	"(SELECT " columns " FROM run_steps INDEXED BY run_steps_open WHERE "  \
	"step = 'snapshot' AND state = 'running' AND region <> '' AND region " \
	"= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3)"
/* The id that a row of the step "snapshot" is about. */
#define ID(alias) "json_extract(" alias ".details, '$.snapshot')"
/* Such rows, of the source of s, that an attempt of its occurrence ended. */
#define ENDED(alias)                                                          \
	alias ".source = s.source AND " alias ".step = 'snapshot' AND " alias \
	      ".region <> '' AND " alias ".state IN ('succeeded', "           \
	      "'partial') AND " alias ".run IN (SELECT r.id UNION SELECT "    \
	      "o.id FROM runs o WHERE o.occurrence = r.occurrence)"

/* By another attempt of the very same id. */
#define ACKNOWLEDGED "EXISTS (SELECT 1 FROM run_steps x WHERE " ENDED_X SAME_ID
#define ENDED_X	     ENDED("x")
#define ENDED_K	     ENDED("k")
#define SAME_ID	     " AND " ID("x") " = " ID_OF_S ")"
#define ID_OF_S	     ID("s")
#define ID_OF_K	     ID("k")
#define OPEN_STEPS   OPEN("*")

static const char doubles[] =
	"SELECT s.id, s.run, s.source, s.region, " ID_OF_S
	", s.started_us, " ID_OF_K ", k.region FROM " OPEN_STEPS " s "
	/* CROSS JOIN keeps SQLite from beginning elsewhere. */
	"CROSS JOIN runs r CROSS JOIN run_steps k "
	"WHERE r.id = s.run AND r.repository = ?4 AND "
	"(r.id = ?5 OR r.state NOT IN ('queued', 'running')) AND " ENDED_K
	" AND NOT " ACKNOWLEDGED " ORDER BY s.id DESC, k.id DESC";

static int visit_below(struct catalog *c, const char *repository,
		       const char *region, int64_t now, int64_t before,
		       const struct double_to *to, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, doubles, e);

	if (s == NULL)
		return -1;
	sql_text(s, region);
	sql_int(s, before);
	sql_int(s, LOOKS);
	sql_text(s, repository);
	sql_int(s, now);
	return catalog_list(c, s, double_row, to, e);
}

/* The last of those that are looked at from there on, or 0: they are all. */
static int find_last(struct catalog *c, const char *region, int64_t before,
		     int64_t *ret, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT CASE WHEN count(*) = ?3 THEN "
				      "min(id) ELSE 0 END FROM " OPEN("id"),
				      e);

	if (s == NULL)
		return -1;
	sql_text(s, region);
	sql_int(s, before);
	sql_int(s, LOOKS);
	return catalog_one_int(s, ret, e);
}

static int load_turn(struct catalog *c, const char *repository,
		     const char *region, int64_t *ret, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT before FROM double_looks WHERE "
				      "repository = ? AND region = ?",
				      e);
	int found;

	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_text(s, region);
	found = catalog_one_int(s, ret, e);
	if (found == 0)
		*ret = INT64_MAX;
	return found;
}

static int store_turn(struct catalog *c, const char *repository,
		      const char *region, int64_t before, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO double_looks (repository, region, before) VALUES "
		"(?, ?, ?) ON CONFLICT DO UPDATE SET before = excluded.before",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_text(s, region);
	sql_int(s, before);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/* Where the visitor stopped the next turn begins; after the oldest the newest
 * follows. */
static int visit_in_turn(struct catalog *c, const char *repository,
			 const char *region, int64_t now,
			 catalog_double_visit *visit, void *arg, struct err *e)
{
	int64_t stopped_at = 0;
	const struct double_to to = { visit, arg, true, &stopped_at };
	int64_t before = 0;
	int64_t last = 0;
	int64_t next;

	if (load_turn(c, repository, region, &before, e) < 0 ||
	    find_last(c, region, before, &last, e) < 0 ||
	    visit_below(c, repository, region, now, before, &to, e) < 0)
		return -1;
	next = stopped_at ? stopped_at + 1 : last ? last : INT64_MAX;
	return next == before ? 0 : store_turn(c, repository, region, next, e);
}

int catalog_doubles(struct catalog *c, const char *repository,
		    const char *region, int64_t now,
		    catalog_double_visit *visit, void *arg, struct err *e)
{
	int64_t stopped_at = 0;
	const struct double_to newest = { visit, arg, false, &stopped_at };

	return visit_below(c, repository, region, now, INT64_MAX, &newest, e) <
			       0
		       ? -1
		       : visit_in_turn(c, repository, region, now, visit, arg,
				       e);
}
