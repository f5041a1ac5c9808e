/*
 * Drift: what changed in a source of configuration between a snapshot and the
 * one before it.
 *
 * Hidden here: which snapshot that is, what counts, and how much of it is kept.
 * The one before is the parent that the snapshot was taken from, or else the
 * newest complete one of the same source before it.  What was merely touched
 * (mtime) has not drifted.  Secrets are masked, by the source's patterns too,
 * before anything is kept: the result goes into the catalog.
 *
 * At most DRIFT_FILES entries are listed, with DRIFT_PATHS bytes of names, and
 * DRIFT_DIFFS bytes of differences in all: a diff that does not fit is cut
 * behind a line, and says so.  All are counted.  No more than DRIFT_LOOK bytes
 * of files are compared line by line, so that no run is held up by it.  Of a
 * partial snapshot nothing is told as removed: it may not have been readable.
 *
 * It knows manifests, and what a Source declares; so whichever driver has a
 * tree of files as its snapshot can have drift, too.
 */
#ifndef SERVICE_DRIFT_H
#define SERVICE_DRIFT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "service/resource.h"
#include "storage/repository/repository.h"

enum { DRIFT_FILES = 100 };
#define DRIFT_PATHS ((size_t)16 << 10)
#define DRIFT_DIFFS ((size_t)64 << 10)
#define DRIFT_LOOK  ((size_t)8 << 20)

struct drift {
	struct object_id since;
	uint64_t added;
	uint64_t removed;
	uint64_t changed;
	struct buf
		json; /* {"since","added","removed","changed","files","more"} */
};

void drift_init(struct drift *d) NONNULL(1);
void drift_done(struct drift *d) NONNULL(1);
static inline void cleanup_drift_done(struct drift *d)
{
	drift_done(d);
}

/*
 * What changed up to m, a snapshot of the source: 1; 0 when the source does not
 * ask for it, or there is none before; -1.  stop may be NULL.
 */
int drift_find(struct repository *r, const struct manifest *m,
	       const struct resource_source *source, const atomic_bool *stop,
	       struct drift *ret, struct err *e) NONNULL(1, 2, 3, 5, 6)
	MUST_CHECK;

#endif
