/*
 * The parts of the index that its files share: one index object, and the
 * cache of opened blocks.  Private to this folder, its tests and fuzzers.
 */
#ifndef STORAGE_REPOSITORY_INDEX_INTERNAL_H
#define STORAGE_REPOSITORY_INDEX_INTERNAL_H

#include <stdatomic.h>

#include "base/mapped.h"
#include "storage/repository/container.h"
#include "storage/repository/index.h"

#define INDEX_BLOCK_PLAIN (INDEX_BLOCK_SIZE - SEAL_OVERHEAD)
/* An entry is ordered by what it begins with: chunk id and pack id. */
#define INDEX_KEY_SIZE 48

/* A billion entries; bounds what a reader allocates for a root (35 MiB). */
#define INDEX_BLOCKS_MAX     (1U << 22)
#define INDEX_SUPERSEDED_MAX 65536

extern const struct container_spec index_spec;

void index_encode(const struct pack_entry *x, uint8_t out[INDEX_ENTRY_SIZE])
	NONNULL(1, 2);
void index_decode(const uint8_t in[INDEX_ENTRY_SIZE], struct pack_entry *ret)
	NONNULL(1, 2);
/*
 * The first of n encoded entries whose id is not below id: n when there is
 * none.
 */
size_t index_lower_bound(const uint8_t *entries, size_t n,
			 const struct chunk_id *id) NONNULL(1, 3);

/* One opened index object: its root in memory. */
struct index_object {
	struct container in;
	struct object_id session;
	uint64_t entries;
	uint32_t blocks;
	uint32_t fillers; /* blocks behind them that only fill */
	uint32_t serial;  /* number within its set, for the cache */
	bool resident;	  /* its entries are held in memory by the set */
	bool voided;	  /* it is none: a void of its session leaves it out */
	bool fenced;	  /* its session is: a void that is to come may, too */
	bool replaced;	  /* another object that counts supersedes it */
	bool ignored;	  /* for one of these reasons, or as it is damaged */
	atomic_bool told; /* that it is damaged */
	uint64_t *fences; /* big-endian value of each block's first 8 bytes */
	size_t n_superseded;
	struct object_id *superseded;
	struct buf whole; /* all its bytes, or empty: index_object_slim() */
	/* Look-ups that had to ask the store for a block; and what is before
	 * the root, as it is there, once they were many. */
	atomic_uint missed;
	atomic_int copied; /* enum index_copied */
	struct mapped copy;
};
enum index_copied { INDEX_NOT_COPIED, INDEX_COPYING, INDEX_COPIED };

/*
 * Where a request takes long, an object smaller than this is read at once, and
 * its bytes kept: 16 blocks, and what else they have.
 */
#define INDEX_WHOLE_MAX ((size_t)320 << 10)
/*
 * A larger one, of which look-ups have read one block in so many, is copied to
 * a temporary file, in large pieces.  A block costs a request; the whole, 20 ms
 * and 50 MB/s away, about one for each 64 of its blocks: so it costs at most
 * three times what would have been the least, however many look-ups come.
 * 20,000 look-ups all over 240 blocks, with a cache for a few of them, were
 * 20,039 requests, and are 9 at most.
 */
#define INDEX_COPY_PART 32
/* Before a block of it is asked for by a look-up: copies it when it is time. */
void index_object_missed(struct index_object *o) NONNULL(1);
/* Keep them no longer: blocks are read from the store. */
void index_object_slim(struct index_object *o) NONNULL(1);

/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_NEWER, ERR_BAD_KEY. */
int index_object_open(struct store *s, const struct keys *k,
		      struct object_id id, struct index_object **ret,
		      struct err *e) NONNULL(1, 2, 4, 5) MUST_CHECK;
void index_object_free(struct index_object *o);
DEFINE_CLEANUP(struct index_object *, index_object_free);

/* How many entries that block has. */
size_t index_object_count(const struct index_object *o, uint32_t block)
	NONNULL(1);
/*
 * Read, open and check one block (or filler, which is only checked).
 * ERR_BUSY when the object was removed since it was opened.
 */
int index_object_block(const struct index_object *o, uint32_t block,
		       uint8_t plain[INDEX_BLOCK_PLAIN], struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/* The same for plaintexts, for fuzzers: what the two above do with them. */
int index_object_parse_root(struct index_object *o, const void *plain, size_t n,
			    struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
int index_object_check_block(const struct index_object *o, uint32_t block,
			     const uint8_t plain[INDEX_BLOCK_PLAIN],
			     struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

/*
 * Opened blocks, bounded.  Many threads; a block is used under the lock of
 * its shard, which takes a tenth of a microsecond, so nothing is counted or
 * copied.
 */
struct index_cache;
int index_cache_new(size_t bytes, struct index_cache **ret, struct err *e)
	NONNULL(2, 3) MUST_CHECK;
void index_cache_free(struct index_cache *c);
DEFINE_CLEANUP(struct index_cache *, index_cache_free);
typedef void index_cache_use(void *arg, const uint8_t *plain);
/* Call use with the block, if it is here. */
bool index_cache_find(struct index_cache *c, uint64_t key, index_cache_use *use,
		      void *arg) NONNULL(1, 3);
/* Keep plain (INDEX_BLOCK_PLAIN bytes of malloc), which is now the cache's. */
void index_cache_keep(struct index_cache *c, uint64_t key, uint8_t *plain)
	NONNULL(1, 3);

/*
 * The objects of a set that count, in an array for the caller to free(); they
 * live as long as the set.
 */
int index_set_snapshot(struct index_set *x, struct index_object ***ret,
		       size_t *ret_n, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Every object that is there, ignored ones too.  Not beside index_set_add. */
typedef int index_object_visit(void *arg, const struct index_object *o,
			       struct err *e);
int index_set_each(struct index_set *x, index_object_visit *visit, void *arg,
		   struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
/* index_set_walk() of these objects alone. */
int index_set_walk_some(struct index_set *x,
			struct index_object *const *objects, size_t n,
			index_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4, 6) MUST_CHECK;
/* The same of objects that belong to no set: one that is damaged fails. */
int index_objects_walk(struct index_object *const *objects, size_t n,
		       index_visit *visit, void *arg, struct err *e)
	NONNULL(3, 5) MUST_CHECK;
/*
 * How many of them, smallest first, are to be merged; 0: none.
 *
 * Several of about one size are, as the levels of a log-structured merge tree:
 * each entry is written again a number of times that grows with the logarithm
 * of the whole, and so does the number of objects (O'Neil et al., "The
 * Log-Structured Merge-Tree", 1996).
 */
size_t index_objects_choose(struct index_object *const *objects, size_t n)
	MUST_CHECK;
/* A block of o failed so: 0, and told, when the set goes on without it. */
int index_set_leave_out(struct index_set *x, struct index_object *o,
			const struct err *why, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
