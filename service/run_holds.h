/*
 * Legal holds that were released while a region was away: a run that reaches it
 * makes good there what people asked for (hold_releases.h).
 */
#ifndef SERVICE_RUN_HOLDS_H
#define SERVICE_RUN_HOLDS_H

#include "base/attr.h"
#include "base/err.h"
#include "service/hold_releases.h"
#include "service/run.h"
#include "storage/repository/repository.h"

struct run_holds {
	struct hold_releases all;
	size_t pending; /* that the region still has */
	/* What no hold is on any more may be let go of in its store. */
	bool release;
	/* Why not: a hold that is released there, and nobody asked for that. */
	char why[200];
};

/*
 * Write down in the region what is to be released there, and before that which
 * holds came while it was away: its store lets go of what none is on that the
 * region has.  -1 when the catalog or the region failed.
 */
int run_holds_begin(struct run *r, const struct resource_region *region,
		    struct repository *repository, struct run_holds *ret,
		    struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* The store has let go of it: so it is written down.  In a change of the
 * caller's. */
int run_holds_conclude(const struct run *r,
		       const struct resource_region *region,
		       const struct run_holds *x, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void run_holds_done(struct run_holds *x) NONNULL(1);

#endif
