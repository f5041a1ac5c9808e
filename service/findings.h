/*
 * What a check found, as replies tell it.
 */
#ifndef SERVICE_FINDINGS_H
#define SERVICE_FINDINGS_H

#include "base/attr.h"
#include "base/json.h"
#include "storage/repository/check.h"
#include "storage/repository/guards.h"

/* Given up by an earlier repair, and nobody loses by it any more. */
bool findings_settled(const struct check_finding *f) NONNULL(1);
/* All others, those that are not kept included. */
uint64_t findings_unsettled(const struct check_result *x) NONNULL(1);
/* A list of those that are kept, either settled or not. */
void findings_write(struct json *j, const struct check_result *x, bool settled)
	NONNULL(1, 2);
/* The key "findings": what is guarded too briefly, as far as it is kept. */
void findings_write_locks(struct json *j, const struct guards_result *x)
	NONNULL(1, 2);

#endif
