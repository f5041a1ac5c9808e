/*
 * Which snapshot a run makes of a source, written down before it is made.
 *
 * The id stands in the details of the row (run, source, "snapshot", name of
 * the region that is written) from before anything is stored.  A run that was
 * killed anywhere is continued by looking for that id in that region: there, it
 * was published and is never taken again; absent, nobody will publish it.
 * Attempts of one occurrence look at each other's rows, so that a retry takes
 * only what is missing.
 */
#ifndef SERVICE_RUN_SNAPSHOT_H
#define SERVICE_RUN_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/run.h"
#include "storage/repository/object.h"

/* Write down that this run is about to make snapshot id of the source, in
 * r->written. */
int run_snapshot_begin(struct run *r, const char *source, struct object_id id,
		       struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
/* It is there, published and mirrored in the catalog. */
int run_snapshot_end(struct run *r, const char *source, struct object_id id,
		     bool partial, struct err *e) NONNULL(1, 2, 5) MUST_CHECK;

struct run_snapshot {
	struct object_id id;
	char region[RESOURCE_NAME_MAX + 1];
};

/*
 * What this run and earlier attempts wrote down for the source, finished or
 * not, the latest first; the caller frees *ret.
 */
int run_snapshot_begun(struct run *r, const char *source,
		       struct run_snapshot **ret, size_t *ret_n, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

/*
 * The snapshot that this run is about, for the steps that follow: 1, or 0
 * when its step snapshot has not succeeded for this source.
 */
int run_snapshot_get(struct run *r, const char *source, struct object_id *ret,
		     struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
