/*
 * What segments of the catalog consist of: one table of what each kind of row
 * is, and how it names other rows so that the name means the same in every
 * catalog.  Both directions' SQL is composed from it, so that they cannot
 * drift apart.
 */
#ifndef SERVICE_CATALOG_SHAPES_H
#define SERVICE_CATALOG_SHAPES_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { CATALOG_LINKS = 6, CATALOG_AFTER = 3 };

/* A column that is a row's number here and something lasting in a segment. */
struct catalog_link {
	const char *column;
	const char *name;     /* its key in the JSON object */
	const char *exported; /* of the row t */
	const char *imported; /* of the line ?1 */
	const char *needed;   /* a line is left out when not; or NULL */
};

struct catalog_shape {
	const char *kind; /* as in the table of changes */
	const char *table;
	const char *columns;	 /* kept as they are, separated by spaces */
	const char *key;	 /* what makes a row the same row */
	const char *update_when; /* which old rows may change; NULL: none */
	struct catalog_link links[CATALOG_LINKS];
	const char *after[CATALOG_AFTER]; /* SQL for the line ?1, or NULL */
};

/*
 * In the order of dependence: within a segment a row follows what it names.
 * Resources are not among them.
 */
extern const struct catalog_shape catalog_shapes[];
extern const size_t catalog_shapes_n;

/* Every shape's SQL fits well (asserted by buf's ceiling in the tests). */
#define CATALOG_SHAPE_SQL 8192

/* The lines of its rows; ?1 the repository, ?2 < seq <= ?3. */
int catalog_shapes_export_sql(const struct catalog_shape *h, struct buf *b,
			      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* The row of the line ?1. */
int catalog_shapes_import_sql(const struct catalog_shape *h, struct buf *b,
			      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
