/*
 * How well a region answers, and why it could not be written to, as the
 * catalog keeps it: a JSON object in the region's row.
 */
#ifndef SERVICE_REGION_HEALTH_H
#define SERVICE_REGION_HEALTH_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "service/catalog.h"
#include "service/region_choice.h"

/* Whether the text tells of any contact; if so, failures and latency.  Why it
 * could not be written to in any case. */
bool region_health_read(const char *json, struct region_fact *ret)
	NONNULL(1, 2);
/*
 * All that the catalog knows of it but what it holds; nothing when there is no
 * such region.
 */
int region_health_get(struct catalog *c, const char *repository,
		      const char *region, struct region_fact *ret,
		      struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* What region_health_read() reads. */
int region_health_write(const struct region_fact *fact, struct buf *out,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
