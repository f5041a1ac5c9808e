/*
 * JSON documents in one spelling, and what differs between two.
 *
 * Pure.  Canonical text has sorted keys and no spaces, so that equal
 * documents are equal bytes whatever their author's order was.
 */
#ifndef SERVICE_CATALOG_DIFFERENCE_H
#define SERVICE_CATALOG_DIFFERENCE_H

#include "base/attr.h"
#include "base/err.h"

/*
 * The canonical text of an object (free() it).  ERR_USAGE, naming what, for
 * what is not one JSON object or has a key twice.
 */
int catalog_difference_canonical(const char *json, const char *what, char **ret,
				 struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * What leads from one object to another, as in struct catalog_version: one
 * entry for each innermost value that differs.  Lists are compared as wholes.
 */
int catalog_difference(const char *from, const char *to, char **ret,
		       struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
