/*
 * How a region of a declared repository locks what a command copies into it,
 * as runs do (service/run_region.h): for as long as its own policy says; else,
 * what is locked where it comes from by that region's own, as the schedule says
 * that took it; all other locks count in every region.  The daemon tells.
 */
#ifndef SERVICE_ENGINE_COPY_LOCKS_H
#define SERVICE_ENGINE_COPY_LOCKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/operation.h"
#include "service/resource.h"
#include "storage/repository/repository.h"

struct engine_copy_locks {
	const struct operation_call *call;
	const struct resource *named;
	bool asked; /* for what follows: once, and only when it is needed */
	int64_t else_ms;
	struct engine_copy_lock *v; /* by snapshot */
	size_t n;
};
void engine_copy_locks_done(struct engine_copy_locks *x) NONNULL(1);
static inline void cleanup_engine_copy_locks_done(struct engine_copy_locks *x)
{
	engine_copy_locks_done(x);
}
/* By the region's own policy; 0: that has none. */
int engine_copy_locks_own(const struct operation_call *call,
			  const struct resource *named,
			  const struct resource_region *region, int64_t *ret_ms,
			  struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* In a region without: a lock_of of struct replicate_options. */
int engine_copy_locks_of(struct engine_copy_locks *x,
			 const struct repository_snapshot *s, int64_t *ret_ms,
			 struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
