/*
 * The regions of a run's repository, opened with the daemon's key.
 *
 * Hidden here: where the key lies, that each region keeps to its limits, and
 * that each attempt to reach a region is noted in the catalog, where `region
 * status` finds it.
 */
#ifndef SERVICE_RUN_REGION_H
#define SERVICE_RUN_REGION_H

#include "base/attr.h"
#include "base/err.h"
#include "service/run.h"
#include "storage/repository/keyring.h"
#include "storage/repository/repository.h"
#include "storage/stores/store.h"

/*
 * Open one region of r's repository.  The message of a failure names the
 * region; whatever kept it from opening, a later attempt may succeed.
 */
int run_region_open(struct run *r, const struct resource_region *region,
		    struct repository **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/*
 * Whoever opens the region's store on his own waits no longer for it than
 * run_region_open() would: not again, when it was silent before.
 */
void run_region_bear(const struct run *r, const struct resource_region *region,
		     struct store *s) NONNULL(1, 2, 3);

/* The daemon's key for the repository. */
int run_region_key(const struct run *r, struct keyring_credential **ret,
		   struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Open the region that the run writes to, which is then r->written: the
 * primary or, when that is away and the Repository says `failover`, the first
 * of the schedule's replicateTo that opens.  A run does not go back to the
 * primary: the next one does, and brings it what it missed (step_replicate.c).
 */
int run_region_written(struct run *r, struct repository **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * After writing to r->written failed with *why: what was begun there is begun
 * anew in another region, if that helps (region_choice.h), the Repository says
 * `failover`, and the next of replicateTo opens, which is r->written then.  1,
 * or 0 when the failure stands; -1 when the catalog failed.
 */
int run_region_leave(struct run *r, const struct err *why,
		     struct repository **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Something was written there: it can be written to, again if it could not. */
int run_region_wrote(struct run *r, const struct resource_region *region,
		     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * How snapshots are locked in a region: for so long (0: not at all) by the
 * region's own policy, when that has a lock, else by the schedule's; and
 * whether some region of the repository has a lock of its own, so that those of
 * one say nothing of the others.
 */
struct run_lock {
	int64_t ms;
	bool is_own;
	bool is_apart;
};
int run_region_lock(const struct run *r, const struct resource_region *region,
		    struct run_lock *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/*
 * How a snapshot is locked in regions without a lock of their own: as the
 * schedule does that took it.  What none took, as far as is known, as this
 * run's does if a region's own policy locked it: 1; else 0, and -1.
 */
int run_region_lock_of(const struct run *r, const struct repository_snapshot *s,
		       int64_t *ret_ms, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/* The region that is written first. */
const struct resource_region *run_region_primary(const struct run *r) NONNULL(1)
	RETURNS_NONNULL;

#endif
