/*
 * What the catalog's files share; nobody else includes it.
 *
 * A write function has one shape: begin, do, finish.  catalog_finish() takes
 * the result of the doing: negative rolls back, else commits and returns it.
 */
#ifndef SERVICE_CATALOG_INTERNAL_H
#define SERVICE_CATALOG_INTERNAL_H

#include "base/json.h"
#include "migrations/migrations.h"
#include "service/catalog.h"
#include "service/sql.h"

struct catalog {
	struct sql *db;
	struct catalog_uid identity;
	unsigned int depth;    /* of transactions that write */
	unsigned int visiting; /* lists under way */
	bool reading;	       /* within catalog_begin_read() */
	bool torn; /* a rollback failed: nothing is committed any more */
};

int catalog_finish(struct catalog *c, int result, struct err *e) NONNULL(1, 3)
	MUST_CHECK;

/* Bring db up to the last of n migrations; see catalog_open(). */
int catalog_migrate(struct sql *db, const char *path,
		    const struct migration *all, size_t n, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/*
 * Give every row of s to row(), which reads the columns and calls the
 * visitor that `to` names; then give s back.  s NULL (not prepared) is -1,
 * else how many rows were visited: 0, or 1 for "some".
 */
typedef int catalog_row(const void *to, struct sql_stmt *s, struct err *e);
int catalog_each(struct catalog *c, struct sql_stmt *s, catalog_row *row,
		 const void *to, struct err *e) NONNULL(1, 3, 4, 5) MUST_CHECK;
/* For lists: 0 whether or not there were rows. */
int catalog_list(struct catalog *c, struct sql_stmt *s, catalog_row *row,
		 const void *to, struct err *e) NONNULL(1, 3, 4, 5) MUST_CHECK;

/* One number that a statement yields: 1, or 0 without a row. */
int catalog_one_int(struct sql_stmt *s, int64_t *ret, struct err *e)
	NONNULL(2, 3) MUST_CHECK;

struct catalog_uid catalog_draw_uid(void);

/*
 * As catalog_occurrence_end(), within the caller's transaction; it does not
 * end one with a queued run, either.
 */
int catalog_end_occurrence(struct catalog *c, int64_t id,
			   enum catalog_occurrence_state state,
			   const char *reason, struct instant now,
			   struct err *e) NONNULL(1, 6) MUST_CHECK;

/*
 * Segments: a line longer than CATALOG_LINE_MAX goes out as pieces, each a
 * line for sink, which is given its '\n' too.
 */
#define CATALOG_LINE_MAX  ((size_t)4 << 20)
#define CATALOG_WHOLE_MAX ((size_t)512 << 20) /* what pieces may make up */
int catalog_pieces_write(const char *line, size_t n, json_sink *sink, void *arg,
			 struct err *e) NONNULL(1, 3, 5) MUST_CHECK;
/*
 * Keep a piece, until the connection ends.  1 with the whole line appended to
 * ret when it was the last that was missing, else 0.  ERR_CORRUPT.
 */
int catalog_pieces_join(struct catalog *c, const char *piece, size_t n,
			struct buf *ret, struct err *e) NONNULL(1, 2, 4, 5)
	MUST_CHECK;

/* Bits 1 << state as a condition "state IN ('a','b')"; 0 adds nothing. */
void catalog_when_states(struct sql_query *q, unsigned int bits,
			 const char *const *names, size_t n) NONNULL(1, 3);

/*
 * An audit record with details of one or two strings: {"key":"value"}.
 * Part of the caller's transaction.
 */
struct catalog_fact {
	const char *key, *value;
};
int catalog_record(struct catalog *c, const struct catalog_actor *actor,
		   const char *action, const char *object,
		   const struct catalog_fact facts[2], struct err *e)
	NONNULL(1, 2, 3, 4, 6) MUST_CHECK;

#endif
