/*
 * What a region lacks of what other regions have, as the catalog knows it:
 * apart what its rules want, and what they let go of (unwanted.h).
 */
#ifndef SERVICE_REGION_MISSING_H
#define SERVICE_REGION_MISSING_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/catalog.h"
#include "service/config.h"
#include "service/resource.h"
#include "storage/repository/object.h"

/* So many are named, the newest. */
enum { REGION_MISSING_NAMED = 20 };

struct region_missing {
	uint64_t missing;
	uint64_t let_go; /* lacking as well, but not missing */
	char named[REGION_MISSING_NAMED][OBJECT_ID_TEXT]; /* of the missing */
	size_t n_named;
};

/*
 * Without a policy of its own in any region nothing is let go: whatever it
 * lacks is missing.  Cost: reading all rows of the repository's snapshots.
 */
int region_missing_find(struct catalog *c, const struct config *config,
			struct resource *repository,
			const struct resource_region *region,
			struct instant now, struct region_missing *ret,
			struct err *e) NONNULL(1, 3, 4, 6, 7) MUST_CHECK;

#endif
