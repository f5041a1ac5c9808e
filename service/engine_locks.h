/*
 * How a snapshot is locked in the store of one region, as replies tell it:
 * what the region's records say, which costs little; or, asked for, what the
 * store says of each object.
 */
#ifndef SERVICE_ENGINE_LOCKS_H
#define SERVICE_ENGINE_LOCKS_H

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/operation.h"
#include "storage/repository/guards.h"

struct engine_locks {
	struct guards_of is;
	bool exact;	  /* the store was asked about each object */
	uint64_t objects; /* that the snapshot needs; with exact */
	uint64_t too_short;
	struct err why; /* what kept it from being known */
};

/* Of that snapshot in r: what cannot be known is in ret->why.  -1: stopped. */
int engine_locks_find(const struct operation_call *call, struct repository *r,
		      struct object_id snapshot, bool exact,
		      struct engine_locks *ret, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;
/*
 * The keys lock_mode ("none" where nothing can be locked), lock_until and
 * lock_held; with exact, lock_objects and lock_short; or lock_error.
 */
void engine_locks_write(struct json *j, const struct engine_locks *x)
	NONNULL(1, 2);
/*
 * The key "locks", a list: of the region that was opened (NULL: --repo is a
 * location) and, with exact, of all others that are declared.
 */
int engine_locks_list(struct operation_call *call, struct repository *r,
		      const char *region, struct object_id snapshot, bool exact,
		      struct err *e) NONNULL(1, 2, 6) MUST_CHECK;

#define ENGINE_LOCKS_HELP                                                   \
	"Lock_mode is how the region's store locks objects: compliance or " \
	"governance (S3's object lock), immutable (files of a folder that " \
	"is append-only), none; lock_until, until when it locks all that "  \
	"the snapshot needs, at least, as the region's records say, to "    \
	"within six hours. With --exact the store is asked about each "     \
	"object, a request for each: what it says is then lock_until, and " \
	"lock_short how many of lock_objects are locked too briefly, or "   \
	"not held, for what the snapshot needs."

#endif
