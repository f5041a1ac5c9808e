/*
 * The snapshots that an operation on many of them means, in the primary region
 * or, of what that let go of by its rules, in another one that keeps by a
 * policy of its own.  To hold "latest", in the region that has the newest
 * (service/engine_read.h).
 */
#ifndef SERVICE_OP_CHOOSE_H
#define SERVICE_OP_CHOOSE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/operation.h"
#include "service/resource.h"
#include "storage/repository/repository.h"

/* All snapshots named, found before any is touched. */
struct op_chosen {
	struct repository *repository;
	const struct resource_region *region; /* its; NULL: a location */
	struct repository_snapshot *v;
	/* Of each the region that has it, when repository does not: one that
	 * keeps by a policy of its own. */
	const struct resource_region **in;
	size_t n;
};
void op_chosen_done(struct op_chosen *c) NONNULL(1);
static inline void cleanup_op_chosen_done(struct op_chosen *c)
{
	op_chosen_done(c);
}

/*
 * Find all that the call names; named is its Repository, or NULL.  With by_id
 * (to delete) what the primary does not have is found by its whole id only, and
 * there is no doing without the primary.
 */
int op_choose(struct op_chosen *c, const struct operation_call *call,
	      const struct resource *named, bool by_id, struct err *e)
	NONNULL(1, 2, 5) MUST_CHECK;
/* A region of named, with the key that the call means. */
int op_choose_open(const struct operation_call *call,
		   const struct resource *named,
		   const struct resource_region *region,
		   struct repository **ret, struct err *e) NONNULL(1, 3, 4, 5)
	MUST_CHECK;

#define OP_CHOOSE_PARAM(must)                                          \
	{                                                              \
		.name = "snapshot", .kind = PARAM_POSITIONAL,          \
		.required = (must), .repeated = true, .value = "SNAP", \
		.help = "an id, a prefix of one, or latest"            \
	}

#endif
