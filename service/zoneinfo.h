/*
 * Time zones by their IANA name, from the system's tz database.
 *
 * The database is the folder $TZDIR, or /usr/share/zoneinfo.  The process's
 * TZ plays no part.  Each call reads the file afresh: after an update of
 * tzdata the next call sees it; who loads many schedules keeps what it got.
 * Only names that the IANA could give are accepted: not "localtime", not the
 * "posix/" and "right/" copies, nothing that leaves the folder.
 */
#ifndef SERVICE_ZONEINFO_H
#define SERVICE_ZONEINFO_H

#include "base/attr.h"
#include "base/err.h"
#include "schedules/zone.h"

/*
 * The caller's to free.  "UTC" needs no database.  ERR_USAGE for a name that
 * is none or is not there, with the nearest one as the hint; ERR_NOT_FOUND
 * when there is no database; otherwise as zone_new() and file_read_all().
 */
int zoneinfo_load(const char *name, struct zone **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
