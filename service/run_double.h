/*
 * One occurrence, one snapshot that counts.
 *
 * An attempt may publish its snapshot in a region and lose that region, or its
 * own life, before anybody knows.  While the region can be asked, the next
 * attempt finds it there and takes none (step_snapshot.c).  While it cannot,
 * another is taken in another region, under an id of its own: it is of another
 * moment, and two contents under one id could not be told apart later.  That
 * one is acknowledged, and counts; the first never was.  When its region is
 * back it is deleted there, before anything is copied from or to it, with a
 * tombstone that says why and an audit record: until the grace period is over,
 * `snapshot undelete` brings it back.
 *
 * That takes a look at the other one first, where it went or wherever else it
 * is by then.  While no region that answers has it and one does not, both
 * stay.  Where it is gone, or was deleted, or is partial and the first is not,
 * the first stays for good, and counts.
 *
 * One that is locked or held stays, and is told of.
 */
#ifndef SERVICE_RUN_DOUBLE_H
#define SERVICE_RUN_DOUBLE_H

#include "base/attr.h"
#include "base/err.h"
#include "service/run.h"
#include "storage/repository/repository.h"

/*
 * Delete in a region, which is open as `in`, what attempts of r's repository
 * left there and others took again.  What the region refuses, and what cannot
 * be decided, is logged, and tried by the next run; -1 when the catalog failed
 * or the run is to stop.
 */
int run_double_retire(struct run *r, const struct resource_region *region,
		      struct repository *in, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif
