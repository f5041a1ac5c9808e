/*
 * Inventories: how many objects there were of the kinds that never go away
 * (FORMAT.md §9), so that a listing that is short of some is noticed.
 */
#ifndef STORAGE_REPOSITORY_INVENTORY_H
#define STORAGE_REPOSITORY_INVENTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"
#include "storage/stores/store.h"

/* A set of names, as far as equality goes. */
struct inventory_sum {
	uint64_t n;
	uint64_t hash;
};
void inventory_note(struct inventory_sum *sum, const char *name) NONNULL(1, 2);
/* Add every object whose name begins with prefix. */
int inventory_add(struct store *s, const char *prefix,
		  struct inventory_sum *sum, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/*
 * By one listing, of all that comes after data packs: what there is of each
 * kind.  Zero: there is none, or its folder comes before (configs, censuses,
 * catalog segments, data packs).
 */
#define INVENTORY_AFTER "data/~"
int inventory_sums(struct store *s, struct inventory_sum ret[OBJECT_KIND_END],
		   struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/* A kind of which fewer are listed than were counted; by: that inventory. */
typedef int inventory_short(void *arg, enum object_kind kind, uint64_t listed,
			    uint64_t counted, struct object_id by,
			    struct err *e);
/*
 * Hold what is listed now against all inventories.  One that does not open
 * says nothing.  before: what inventory_sums() said a moment ago, so that only
 * what seems short is listed again; or NULL.
 */
int inventory_compare(struct store *s, const struct keys *k,
		      const struct inventory_sum *before,
		      inventory_short *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4, 6) MUST_CHECK;

/*
 * Write down what is listed now, if that is more than was; the older ones,
 * which now ask for no more, go.  With accept it is written whatever there is,
 * and the others are kept and replaced: for those who know why some are gone.
 */
int inventory_put(struct store *s, const struct keys *k, struct instant now,
		  bool accept, struct err *e) NONNULL(1, 2, 5) MUST_CHECK;

#endif
