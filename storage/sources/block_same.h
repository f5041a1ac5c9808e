/*
 * Two maps of one image, then and now: which whole blocks are as they were.
 *
 * A byte is as it was when both maps say that it is zero, or when both say
 * that it lies in the same place of the same extent and somebody proves that
 * the extent holds what it held then.  A block is as it was when all of its
 * bytes are.  How an extent is cut into pieces does not matter: one that was
 * written to in its middle is as it was before and behind that.
 *
 * This is the pure part: what a proof is, block_btrfs.h says.
 */
#ifndef STORAGE_SOURCES_BLOCK_SAME_H
#define STORAGE_SOURCES_BLOCK_SAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/sources/block_map.h"

/* Ranges end soon after so much, so that asking for one takes no long time. */
#define BLOCK_SAME_MAX ((uint64_t)64 << 20)

/* Whether the extent of a piece holds what it held then. */
typedef bool block_same_proof(void *arg, const struct block_piece *now);

struct block_same {
	struct block_map *then;
	struct block_map *now;
	block_same_proof *proof;
	void *arg;
	/* Private. */
	uint64_t limit; /* whole blocks of both end here */
	struct block_piece then_piece;
	struct block_piece now_piece;
	bool has_then;
	bool has_now;
	bool is_at_end;
	uint64_t from; /* bytes that are as they were, gathered so far */
	uint64_t to;
};

/* Both were not read from yet, and stay the caller's. */
void block_same_init(struct block_same *x, struct block_map *then,
		     struct block_map *now, block_same_proof *proof, void *arg)
	NONNULL(1, 2, 3, 4);

/*
 * The next range of blocks, in order: 1; 0 when there are no more; -1 when a
 * map cannot be read, and there are no more.
 */
int block_same_next(struct block_same *x, uint64_t *ret_from, uint64_t *ret_to,
		    struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
