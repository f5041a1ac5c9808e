/*
 * Whether chunks have the ids that they are stored under, two chunks at a
 * time (sha256_two.h): for whoever reads many.  Machines without the
 * instructions do one after the other, by chunk_verify().
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
int chunk_pair_new(const struct keys *k, struct chunk_worker *w,
		   struct chunk_pair **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
void chunk_pair_free(struct chunk_pair *p);
DEFINE_CLEANUP(struct chunk_pair *, chunk_pair_free);
/* From now on as on a machine without the instructions; both lanes are idle. */
void chunk_pair_one_by_one(struct chunk_pair *p) NONNULL(1);

/*
 * Begin with a chunk in one of CHUNK_PAIR lanes, which is idle.  s and plain
 * stay with the pair until that lane has ended.  ERR_BAD_KEY when the domain
 * is not in the keyring, and nothing has begun.
 */
int chunk_pair_begin(struct chunk_pair *p, unsigned int lane,
		     const struct chunk_seal *s, const void *plain,
		     struct err *e) NONNULL(1, 3, 5) MUST_CHECK;
/*
 * Go on until a lane has ended, which it says in *lane; one of them is busy.
 * 0: the id is the chunk's own.  -1: as chunk_verify().
 */
int chunk_pair_end(struct chunk_pair *p, unsigned int *lane, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
