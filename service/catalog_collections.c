/* What garbage collections came to; see service/catalog_keep.h. */
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

struct collection_to {
	catalog_collection_visit *visit;
	void *arg;
};

static int collection_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct collection_to *t = to;
	struct catalog_collection k;

	k.run = sql_get_int(s);
	k.state = sql_get_text(s);
	k.finished = sql_get_time(s);
	k.message = sql_get_text(s);
	k.collected = sql_get_time(s);
	k.details_json = sql_get_text(s);
	return t->visit(t->arg, &k, e);
}

/* The steps of one region, by way of the index run_steps_gc. */
#define COLLECTIONS(alias)                                               \
	" FROM run_steps " alias " JOIN runs r ON r.id = " alias ".run " \
	"WHERE " alias ".step = 'gc' AND " alias ".region = ?2 AND "     \
	"r.repository = ?1 AND " alias ".finished_us IS NOT NULL "
#define NEWEST(alias) \
	"ORDER BY " alias ".finished_us DESC, " alias ".id DESC LIMIT 1"
#define SUCCEEDED(alias) "AND " alias ".state = 'succeeded' "

int catalog_collection_get(struct catalog *c, const char *repository,
			   const char *region, catalog_collection_visit *visit,
			   void *arg, struct err *e)
{
	const struct collection_to to = { visit, arg };
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT n.run, n.state, n.finished_us, n.message, "
		"(SELECT g.finished_us" COLLECTIONS("g") SUCCEEDED("g") NEWEST(
			"g") "), "
			     "(SELECT d.details" COLLECTIONS("d") SUCCEEDED("d")
				     NEWEST("d") ")" COLLECTIONS("n")
					     NEWEST("n"),
		e);

	if (s) {
		sql_text(s, repository);
		sql_text(s, region);
	}
	return catalog_each(c, s, collection_row, &to, e);
}
