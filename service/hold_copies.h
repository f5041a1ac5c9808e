/*
 * Legal holds that a region does not have yet, as it was away when they were
 * added: their records are put there before its store lets go of what no hold
 * is on, which it judges by the records that it has.
 */
#ifndef SERVICE_HOLD_COPIES_H
#define SERVICE_HOLD_COPIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/record.h"
#include "storage/repository/repository.h"

/* Those in force in any of the regions that were read; each once. */
struct hold_copies {
	struct record *v;
	size_t n;
};
void hold_copies_done(struct hold_copies *x) NONNULL(1);
static inline void cleanup_hold_copies_done(struct hold_copies *x)
{
	hold_copies_done(x);
}
/* A copy of a hold; one that is there already stays as it is. */
int hold_copies_add(struct hold_copies *x, const struct record *hold,
		    struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Add a region's.  -1 also for one that does not open: it could be any. */
int hold_copies_read(struct hold_copies *x, struct repository *r, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* The holds of which a region has a record, in force or released. */
struct hold_ids {
	struct object_id *v;
	size_t n;
};
void hold_ids_done(struct hold_ids *x) NONNULL(1);
static inline void cleanup_hold_ids_done(struct hold_ids *x)
{
	hold_ids_done(x);
}
bool hold_ids_has(const struct hold_ids *x, struct object_id id) NONNULL(1);

/* Whether somebody told the service that it is released. */
typedef bool hold_is_released(const void *arg, struct object_id id);
/*
 * Put in the region what it lacks of x, but for those that are released.  *ret
 * (the caller's to done) is what it has by then.
 */
int hold_copies_put(const struct hold_copies *x, struct repository *r,
		    hold_is_released *is_released, const void *arg,
		    struct hold_ids *ret, struct err *e) NONNULL(1, 2, 3, 5, 6)
	MUST_CHECK;

#endif
