/*
 * Versions of objects that somebody else put (FORMAT.md §10, Versions).
 *
 * Objects are written once, so that two versions of one are the same bytes, of
 * an upload that was sent again, or somebody put something on top.  Readers
 * pass over that, and nothing is lost by it; but it is the trace of somebody
 * with a writer's credentials, and takes space.
 */
#ifndef STORAGE_REPOSITORY_ALIENS_H
#define STORAGE_REPOSITORY_ALIENS_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/repository.h"

/* At most so many are told; all are counted. */
#define ALIENS_FINDINGS_MAX 64
struct aliens_finding {
	char object[STORE_NAME_MAX + 1];
	unsigned int versions; /* that are no deletions */
};
struct aliens_result {
	uint64_t objects; /* of which there are versions that differ */
	struct aliens_finding findings[ALIENS_FINDINGS_MAX];
};

/*
 * Of the kinds that stores can guard.  Costs a listing where versions are kept,
 * and of objects with several each of these is asked for, or read.  cancel is
 * polled, and may be NULL; true ends with ERR_INTERRUPTED.
 */
int aliens_find(struct repository *r, const atomic_bool *cancel,
		struct aliens_result *ret, struct err *e) NONNULL(1, 3, 4)
	MUST_CHECK;

#endif
