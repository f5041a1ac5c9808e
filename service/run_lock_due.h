/*
 * Whether a copy that the primary has is still to be locked there, as the
 * copying of it was cut off between its manifest and its lock.  Asks nothing of
 * any store but, once and where it matters, whether it can guard.
 */
#ifndef SERVICE_RUN_LOCK_DUE_H
#define SERVICE_RUN_LOCK_DUE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/run.h"
#include "service/run_region.h"
#include "storage/repository/repository.h"

struct run_lock_due {
	const struct run *run;
	struct repository *to;
	struct run_lock there, own; /* of the region it comes from, and to's */
	int can_guard;		    /* to's store; -1: not asked yet */
	struct instant now;
};
/* From origin to region, which is open as to. */
int run_lock_due_begin(struct run_lock_due *ret, const struct run *r,
		       const struct resource_region *origin,
		       const struct resource_region *region,
		       struct repository *to, struct err *e)
	NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;
/*
 * For a snapshot of which `where` says so (REPLICATE_UNNAMED): 1 when
 * replicate_run() would lock it (replicate.c, lacks_lock()) to some effect,
 * which a record that is there already would not have; 0, -1.
 */
int run_lock_due_ask(struct run_lock_due *x,
		     const struct repository_snapshot *s, unsigned int where,
		     struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

#endif
