/*
 * Sealed chunks ahead of those who need them, from a store where a request
 * takes long: in few large requests, several at once, and shared by all.
 *
 * One thread plans: in the order of need it tells which chunks will be read,
 * and where in the work that is (prefetch_want()).  Neighbours in a pack
 * become ranges of up to 8 MiB, fetched by threads of our own.  Any number of
 * others take what they need (prefetch_take()), and somebody tells how far the
 * work has come (prefetch_reached(), or each of them where it is:
 * prefetch_at()); what lies behind that is kept as long as there is room, for
 * what comes again.
 *
 * Nothing is promised: what was not planned, or does not come, the caller
 * reads for itself.  Nor is anything opened: the chunk's own tag tells whether
 * its bytes are right.  Nobody but the planner ever waits for room.
 *
 * Memory: PREFETCH_BYTES, and one range for each that takes what had no room
 * yet.
 */
#ifndef STORAGE_REPOSITORY_PREFETCH_H
#define STORAGE_REPOSITORY_PREFETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/pack.h"
#include "storage/stores/store.h"

#define PREFETCH_BYTES ((size_t)64 << 20)
#define PREFETCH_RANGE ((size_t)8 << 20)

struct prefetch;

/* bytes: PREFETCH_BYTES; less in tests. */
int prefetch_new(struct store *s, size_t bytes, struct prefetch **ret,
		 struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
/* Nobody may be inside any more. */
void prefetch_free(struct prefetch *p);
DEFINE_CLEANUP(struct prefetch *, prefetch_free);

/*
 * What lies there is needed at that position of the work, which never falls
 * from one call to the next.  Waits while there is no room.  false: it ended.
 */
bool prefetch_want(struct prefetch *p, enum object_kind kind,
		   const struct pack_place *place, uint64_t position)
	NONNULL(1, 3) MUST_CHECK;
/* The same without waiting: false when there is no room, or it ended. */
bool prefetch_try(struct prefetch *p, enum object_kind kind,
		  const struct pack_place *place, uint64_t position)
	NONNULL(1, 3) MUST_CHECK;
/*
 * For one on whom the work depends: waits while there is no room for n bytes
 * and somebody is at work (prefetch_at()), who will make some.
 */
void prefetch_wait(struct prefetch *p, size_t n) NONNULL(1);
/* Nothing more is wanted: what was is fetched without waiting for more. */
void prefetch_wanted_all(struct prefetch *p) NONNULL(1);

/*
 * The sealed bytes (place->len) into out: 1; 0 when they are not here and will
 * not be; -1 when the store does not answer any more.  Waits for what comes,
 * and fetches what is planned and has not begun to.
 */
int prefetch_take(struct prefetch *p, enum object_kind kind,
		  const struct pack_place *place, void *out, struct err *e)
	NONNULL(1, 3, 4, 5) MUST_CHECK;
/* All that was wanted for lower positions has been dealt with. */
void prefetch_reached(struct prefetch *p, uint64_t position) NONNULL(1);
/*
 * The same by those who share the work, up to PREFETCH_WORKERS of them: worker
 * i begins what lies at that position, or has nothing to do
 * (PREFETCH_NOWHERE).  The work has come as far as the one that is least far;
 * past the highest position that was told when nobody has anything to do.  It
 * is begun in order: who takes some of it out of a queue tells before anybody
 * else takes some.
 */
#define PREFETCH_WORKERS 8
#define PREFETCH_NOWHERE UINT64_MAX
void prefetch_at(struct prefetch *p, size_t i, uint64_t position) NONNULL(1);
/* The work ends, before it is done or after: nothing more is begun. */
void prefetch_end(struct prefetch *p) NONNULL(1);

#endif
