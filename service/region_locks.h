/*
 * How snapshots are locked in the regions of a repository that have no lock of
 * their own: as the schedules do that took them (run_region_lock_of()).  For
 * commands that copy by hand, which the daemon tells at once of all.
 */
#ifndef SERVICE_REGION_LOCKS_H
#define SERVICE_REGION_LOCKS_H

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "base/json.h"
#include "service/catalog.h"
#include "service/resource.h"

/*
 * The keys "else_seconds", the longest lock of the repository's schedules,
 * which is that of snapshots that none is known to have taken, too; and
 * "locks", [{"snapshot","seconds"}] of those that are locked otherwise.  What
 * neither would lock any more is left out.
 */
int region_locks_write(struct catalog *c, const char *repository,
		       struct instant now, struct json *j, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;

#endif
