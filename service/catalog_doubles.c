/* Snapshots that were taken twice; see service/catalog_keep.h. */
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

struct double_to {
	catalog_double_visit *visit;
	void *arg;
};

static int double_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct double_to *t = to;
	struct catalog_double d;

	d.run = sql_get_int(s);
	d.source = sql_get_text(s);
	d.region = sql_get_text(s);
	d.snapshot = sql_get_text(s);
	d.started = sql_get_time(s);
	d.again = sql_get_text(s);
	d.again_in = sql_get_text(s);
	return t->visit(t->arg, &d, e);
}

/* The id that a row of the step "snapshot" is about. */
#define ID(alias) "json_extract(" alias ".details, '$.snapshot')"
/* Such rows, of the source of s, that an attempt of its occurrence ended. */
#define ENDED(alias)                                                          \
	alias ".source = s.source AND " alias ".step = 'snapshot' AND " alias \
	      ".region <> '' AND " alias ".state IN ('succeeded', "           \
	      "'partial') AND " alias ".run IN (SELECT r.id UNION SELECT "    \
	      "o.id FROM runs o WHERE o.occurrence = r.occurrence)"

/*
 * From the newest run on, by its index, so that it ends after so many, and not
 * with all that there ever were: CROSS JOIN keeps SQLite from beginning
 * elsewhere.
 */
int catalog_doubles(struct catalog *c, const char *repository, int64_t now,
		    catalog_double_visit *visit, void *arg, struct err *e)
{
	const struct double_to to = { visit, arg };
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT s.run, s.source, s.region, " ID("s") ", s.started_us, " ID(
			"k") ", k.region FROM (SELECT id, occurrence, state FROM "
			     "runs WHERE repository = ?1 ORDER BY id DESC LIMIT 5000) r "
			     "CROSS JOIN run_steps s CROSS JOIN run_steps k "
			     "WHERE s.run = r.id AND s.step = 'snapshot' AND "
			     "s.region <> '' AND s.state = 'running' AND "
			     "(r.id = ?2 OR r.state NOT IN ('queued', 'running')) AND " ENDED("k") " AND NOT EXISTS (SELECT 1 FROM run_steps x WHERE " ENDED(
				     "x") " AND " ID("x") " = " ID("s") ") "
									"ORDER BY s.id, k.id DESC",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, repository);
	sql_int(s, now);
	return catalog_list(c, s, double_row, &to, e);
}
