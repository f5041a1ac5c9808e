#include "storage/sources/block_same.h"

#include "storage/sources/source.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void block_same_init(struct block_same *x, struct block_map *then,
		     struct block_map *now, block_same_proof *proof, void *arg)
{
	const uint64_t size = least(block_map_head(then)->size,
				    block_map_head(now)->size);

	*x = (struct block_same){
		.then = then,
		.now = now,
		.proof = proof,
		.arg = arg,
		.limit = size / SOURCE_BLOCK * SOURCE_BLOCK,
	};
}

/* A piece of each map at hand: 1; 0 when one has no more; -1. */
static int load(struct block_same *x, struct err *e)
{
	int got = 1;

	if (!x->has_then) {
		got = block_map_next(x->then, &x->then_piece, e);
		x->has_then = got == 1;
	}
	if (got == 1 && !x->has_now) {
		got = block_map_next(x->now, &x->now_piece, e);
		x->has_now = got == 1;
	}
	return got;
}

/* Whether they say the same of the bytes that are in both. */
static bool is_equal(const struct block_piece *a, const struct block_piece *b)
{
	if (a->zero || b->zero)
		return a->zero && b->zero;
	/* The byte at 0 of the image would be the same byte of the extent;
	 * both differences may wrap around alike. */
	return a->disk == b->disk && a->disk_len == b->disk_len &&
	       a->compression == b->compression &&
	       a->offset - a->at == b->offset - b->at;
}

/* The next bytes that are as they were. */
static int next_bytes(struct block_same *x, uint64_t *ret_from,
		      uint64_t *ret_to, struct err *e)
{
	int got;

	while ((got = load(x, e)) == 1) {
		const struct block_piece then = x->then_piece;
		const struct block_piece now = x->now_piece;
		const uint64_t from = most(then.at, now.at);
		const uint64_t to = least(then.at + then.len, now.at + now.len);

		x->has_then = then.at + then.len > to;
		x->has_now = now.at + now.len > to;
		if (from < to && is_equal(&then, &now) &&
		    (now.zero || x->proof(x->arg, &now))) {
			*ret_from = from;
			*ret_to = to;
			return 1;
		}
	}
	return got;
}

/* The whole blocks of what was gathered, if there are any. */
static bool blocks_of(const struct block_same *x, uint64_t *ret_from,
		      uint64_t *ret_to)
{
	const uint64_t from = (x->from + SOURCE_BLOCK - 1) / SOURCE_BLOCK *
			      SOURCE_BLOCK;
	const uint64_t to = least(x->to / SOURCE_BLOCK * SOURCE_BLOCK,
				  x->limit);

	if (from >= to)
		return false;
	*ret_from = from;
	*ret_to = to;
	return true;
}

int block_same_next(struct block_same *x, uint64_t *ret_from, uint64_t *ret_to,
		    struct err *e)
{
	uint64_t from = 0;
	uint64_t to = 0;
	bool any;
	int got;

	while (!x->is_at_end) {
		got = next_bytes(x, &from, &to, e);
		x->is_at_end = got != 1;
		if (got < 0)
			return -1;
		if (got == 0) {
			from = to = 0;
		} else if (from == x->to && x->to - x->from < BLOCK_SAME_MAX) {
			x->to = to;
			continue;
		}
		any = blocks_of(x, ret_from, ret_to);
		/* A block at the seam of two ranges is in the second. */
		x->from = any && from == x->to ? *ret_to : from;
		x->to = to;
		if (any)
			return 1;
	}
	return 0;
}
