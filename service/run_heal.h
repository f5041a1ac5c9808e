/*
 * Healing a region of a run's repository, as soon as the run finds it damaged.
 *
 * What comes of it stands among the run's steps, as "heal" of that region, and
 * in the audit log.
 */
#ifndef SERVICE_RUN_HEAL_H
#define SERVICE_RUN_HEAL_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/run.h"
#include "storage/repository/object.h"

/* What was found to be wrong, besides what an inventory tells. */
struct run_damage {
	const struct object_id *packs; /* that do not read as they should */
	size_t n_packs;
	const struct object_id *lost; /* snapshots that it had */
	size_t n_lost;
};

/*
 * From the other regions, the primary first (storage/heal.h).  1 when anything
 * came back, so that the region is to be looked at again, and told says from
 * where; 0 when nothing did, and why is among the steps; -1 when the catalog
 * failed or the run was asked to stop.
 */
int run_heal(struct run *r, const struct resource_region *region,
	     const struct run_damage *damage, char told[200], struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

#endif
