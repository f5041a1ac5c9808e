/*
 * How fast a region may be written to and read from, by its declaration and
 * the time of day.
 *
 * It holds for what runs do, and for `replicate`: not for a restore by hand,
 * whose caller is waited for.
 */
#ifndef SERVICE_BANDWIDTH_H
#define SERVICE_BANDWIDTH_H

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/resource.h"
#include "storage/stores/limit.h"
#include "storage/stores/store.h"

struct bandwidth;

int bandwidth_new(const struct resource_region *region, struct bandwidth **ret,
		  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void bandwidth_free(struct bandwidth *b);
DEFINE_CLEANUP(struct bandwidth *, bandwidth_free);

/* What holds at a time: of the first window around it, else of the region. */
struct limit_rates bandwidth_at(const struct bandwidth *b, struct instant t)
	NONNULL(1);

/*
 * The store at the region's URL (store_open(), nothing made), kept to its
 * limits when it has any.
 */
int bandwidth_open(const struct resource_region *region, struct store **ret,
		   struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
