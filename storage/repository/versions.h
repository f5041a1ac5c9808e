/*
 * Which version of an object is the one that was written (FORMAT.md §10).
 *
 * Objects are written once.  Where a store keeps versions, whoever may write
 * can put others on top, garbage or, with the key, bytes that authenticate.  So
 * the oldest one that authenticates is the object.  A store whose lists told of
 * several versions is asked for the oldest first; of others only when what was
 * read does not open.
 */
#ifndef STORAGE_REPOSITORY_VERSIONS_H
#define STORAGE_REPOSITORY_VERSIONS_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/stores/store.h"

/* Read it from the store and open it: 1, 0 it is absent, -1. */
typedef int versions_attempt(void *arg, struct err *e);

/*
 * What attempt says of the first version, of those that it does not call
 * damaged, the store being turned to it from then on; else what it says of the
 * newest.  Also ERR_NEWER and ERR_BAD_KEY are damage where another version is
 * none: nothing authenticates them.
 */
int versions_open(struct store *s, const char *name, versions_attempt *attempt,
		  void *arg, struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;

#endif
