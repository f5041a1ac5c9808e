/*
 * The ids of chunks, two chunks at a time (sha256_two.h): for whoever has many.
 * Machines without the instructions do one after the other, by
 * chunk_identify().
 */
#ifndef STORAGE_REPOSITORY_CHUNK_PAIR_H
#define STORAGE_REPOSITORY_CHUNK_PAIR_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/keys.h"

#define CHUNK_PAIR 2

/* One thread's. */
struct chunk_pair;
/*
 * ERR_BUG when the ids of a trial differ from chunk_identify()'s: what makes
 * ids and what checks them both come here, and would agree on a wrong one.
 */
int chunk_pair_new(const struct keys *k, struct chunk_worker *w,
		   struct chunk_pair **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
void chunk_pair_free(struct chunk_pair *p);
DEFINE_CLEANUP(struct chunk_pair *, chunk_pair_free);
/* From now on as on a machine without the instructions; both lanes are idle. */
void chunk_pair_one_by_one(struct chunk_pair *p) NONNULL(1);

/*
 * Begin with a chunk in one of CHUNK_PAIR lanes, which is idle.  Its bytes stay
 * with the pair until that lane has ended.  ERR_BAD_KEY when the domain is not
 * in the keyring, and nothing has begun.
 */
int chunk_pair_begin(struct chunk_pair *p, unsigned int lane,
		     const struct chunk_plain *plain, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/*
 * Go on until a lane has ended, which it says in *lane; one of them is busy.
 * The lane has ended after -1, too.
 */
int chunk_pair_end(struct chunk_pair *p, unsigned int *lane,
		   struct chunk_id *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif
