/*
 * What a region holds, mirrored into the catalog.
 *
 * A repository is right where the two disagree; this is the one place that
 * turns a manifest with its records into a row.  Tombstones are mirrored with
 * an audit record, so they are a call of their own.
 */
#ifndef SERVICE_MIRROR_H
#define SERVICE_MIRROR_H

#include "base/attr.h"
#include "base/err.h"
#include "service/catalog.h"
#include "storage/repository/repository.h"

/* What no manifest tells. */
struct mirror_origin {
	const char *repository; /* its name in the catalog */
	const char *schedule;	/* or NULL: not known */
	int64_t run;		/* or 0: not known */
	uint64_t bytes_read, bytes_new;
};

/* Insert the snapshot's row or bring it up to date; not its tombstone. */
int mirror_snapshot(struct catalog *c, const struct mirror_origin *origin,
		    const struct repository_snapshot *s, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * The region has a whole copy of it, since that moment; or its tombstone
 * (s->deleted), which leaves an audit record when it was not known.
 */
int mirror_copy(struct catalog *c, const char *repository, const char *region,
		const struct repository_snapshot *s, struct instant completed,
		struct err *e) NONNULL(1, 2, 3, 4, 6) MUST_CHECK;

#endif
