/*
 * How well a region answers, as the catalog keeps it: a JSON object in the
 * region's row.
 */
#ifndef SERVICE_REGION_HEALTH_H
#define SERVICE_REGION_HEALTH_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "service/region_choice.h"

/* Whether the text tells of any contact; if so, failures and latency. */
bool region_health_read(const char *json, struct region_fact *ret)
	NONNULL(1, 2);
/* What region_health_read() reads. */
int region_health_write(const struct region_fact *fact, struct buf *out,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
