#include "storage/repository/chunk_pair.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "storage/repository/sha256_two.h"

/* A run of whole blocks. */
struct run {
	const uint8_t *at;
	size_t n;
};

/*
 * HMAC (RFC 2104) hashes twice: the inner pad and the text, then the outer pad
 * and the inner digest.  Each time what does not lie in whole blocks goes
 * through head and tail: what is before the text's first whole block, and
 * what is after its last one with the padding (FIPS 180-4, 5.1.1).
 */
struct lane {
	struct chunk_plain text;
	bool is_busy;
	struct sha256_state state;
	struct run runs[3];
	size_t run; /* the one that is next */
	bool is_outer;
	uint8_t outer_pad[SHA256_BLOCK];
	uint8_t head[2 * SHA256_BLOCK];
	uint8_t tail[2 * SHA256_BLOCK];
};

struct chunk_pair {
	const struct keys *keys;
	struct chunk_worker *worker;
	struct lane *lanes; /* CHUNK_PAIR; they hold what keys are made of */
	bool one_by_one;
	unsigned int first; /* then: the lane that began first */
};

/* Two texts of unlike lengths: side by side, then the longer one alone. */
static int try_out(struct chunk_pair *p, struct err *e)
{
	uint8_t bytes[CHUNK_PAIR][500];
	struct chunk_plain plain[CHUNK_PAIR];

	for (unsigned int i = 0; i < CHUNK_PAIR; i++) {
		plain[i] = (struct chunk_plain){ .kind = CHUNK_DATA,
						 .bytes = bytes[i],
						 .n = 500 - i * 217 };
		memset(bytes[i], (int)('a' + i), sizeof(bytes[i]));
		if (chunk_pair_begin(p, i, &plain[i], e))
			return -1;
	}
	for (unsigned int i = 0; i < CHUNK_PAIR; i++) {
		struct chunk_id got, want;
		unsigned int lane;

		if (chunk_pair_end(p, &lane, &got, e) ||
		    chunk_identify(p->worker, 0, CHUNK_DATA, bytes[lane],
				   plain[lane].n, &want, e))
			return -1;
		if (!chunk_id_equal(&got, &want))
			return err_set(
				e, ERR_BUG,
				"two ways to compute SHA-256 differ on this "
				"machine: it is not to be trusted");
	}
	return 0;
}

int chunk_pair_new(const struct keys *k, struct chunk_worker *w,
		   struct chunk_pair **ret, struct err *e)
{
	struct chunk_pair *p = calloc(1, sizeof(*p));

	if (!p)
		return err_oom(e);
	p->keys = k;
	p->worker = w;
	p->one_by_one = !sha256_two_here();
	p->lanes = secret_new(CHUNK_PAIR * sizeof(*p->lanes));
	if (!p->lanes) {
		chunk_pair_free(p);
		return err_oom(e);
	}
	if (try_out(p, e)) {
		chunk_pair_free(p);
		return -1;
	}
	*ret = p;
	return 0;
}

void chunk_pair_free(struct chunk_pair *p)
{
	if (!p)
		return;
	secret_free(p->lanes);
	free(p);
}

void chunk_pair_one_by_one(struct chunk_pair *p)
{
	p->one_by_one = true;
}

/* n bytes that are left over, and the padding of a text of total bytes. */
static struct run pad(uint8_t tail[2 * SHA256_BLOCK], const uint8_t *from,
		      size_t n, size_t total)
{
	const size_t blocks = n + 1 + sizeof(uint64_t) <= SHA256_BLOCK ? 1 : 2;
	const uint64_t bits = htobe64((uint64_t)total * 8);

	memset(tail, 0, 2 * SHA256_BLOCK);
	if (n)
		memcpy(tail, from, n);
	tail[n] = 0x80;
	memcpy(tail + blocks * SHA256_BLOCK - sizeof(bits), &bits,
	       sizeof(bits));
	return (struct run){ tail, blocks };
}

static void begin_inner(struct lane *x)
{
	const uint8_t *bytes = x->text.bytes;
	const size_t n = x->text.n;
	/* Beside the kind in the text's first block. */
	const size_t first = SHA256_BLOCK - 1;
	const size_t whole = n < first ? 0 : (n - first) / SHA256_BLOCK;
	const size_t used = n < first ? 0 : first + whole * SHA256_BLOCK;
	uint8_t start[SHA256_BLOCK] = { (uint8_t)x->text.kind };

	if (n >= first) {
		x->head[SHA256_BLOCK] = start[0];
		memcpy(x->head + SHA256_BLOCK + 1, bytes, first);
		x->runs[0] = (struct run){ x->head, 2 };
		x->runs[1] = (struct run){ bytes + first, whole };
		x->runs[2] = pad(x->tail, bytes + used, n - used,
				 SHA256_BLOCK + 1 + n);
		return;
	}
	if (n)
		memcpy(start + 1, bytes, n);
	x->runs[0] = (struct run){ x->head, 1 };
	x->runs[1] = (struct run){ NULL, 0 };
	x->runs[2] = pad(x->tail, start, 1 + n, SHA256_BLOCK + 1 + n);
	secret_wipe(start, sizeof(start));
}

static void begin_outer(struct lane *x)
{
	uint8_t inner[CHUNK_ID_SIZE];

	sha256_two_digest(&x->state, inner);
	x->runs[0] = (struct run){ x->outer_pad, 1 };
	x->runs[1] = (struct run){ NULL, 0 };
	x->runs[2] = pad(x->tail, inner, sizeof(inner),
			 SHA256_BLOCK + sizeof(inner));
	x->run = 0;
	x->is_outer = true;
	sha256_two_begin(&x->state);
	secret_wipe(inner, sizeof(inner));
}

int chunk_pair_begin(struct chunk_pair *p, unsigned int lane,
		     const struct chunk_plain *plain, struct err *e)
{
	struct lane *x = &p->lanes[lane];
	const uint8_t *key = keys_id(p->keys, plain->domain);

	assert(lane < CHUNK_PAIR && !x->is_busy);
	if (!key)
		return err_set(e, ERR_BAD_KEY,
			       "domain %u is not in the keyring",
			       plain->domain);
	x->text = *plain;
	x->is_busy = true;
	if (p->one_by_one) {
		p->first = p->lanes[1 - lane].is_busy ? 1 - lane : lane;
		return 0;
	}
	for (size_t i = 0; i < SHA256_BLOCK; i++) {
		const uint8_t b = i < KEYS_SIZE ? key[i] : 0;

		x->head[i] = b ^ 0x36;
		x->outer_pad[i] = b ^ 0x5c;
	}
	x->run = 0;
	x->is_outer = false;
	begin_inner(x);
	sha256_two_begin(&x->state);
	return 0;
}

/* Whether there are blocks to do; then they are those of the run at hand. */
static bool has_blocks(struct lane *x)
{
	if (!x->is_busy)
		return false;
	for (;;) {
		while (x->run < 3 && !x->runs[x->run].n)
			x->run++;
		if (x->run < 3)
			return true;
		if (x->is_outer)
			return false;
		begin_outer(x);
	}
}

static void step(struct lane *x, size_t n)
{
	x->runs[x->run].at += n * SHA256_BLOCK;
	x->runs[x->run].n -= n;
}

/* As many blocks as both have at hand; of one alone, all that it has. */
static void advance(struct lane *a, struct lane *b)
{
	const struct run *x = &a->runs[a->run];
	const struct run *y = &b->runs[b->run];
	const size_t n = x->n < y->n ? x->n : y->n;

	sha256_two_blocks(&a->state, x->at, &b->state, y->at, n);
	step(a, n);
	step(b, n);
}

static void advance_alone(struct lane *x)
{
	const struct run *r = &x->runs[x->run];
	struct sha256_state other = { { 0 } };

	sha256_two_blocks(&x->state, r->at, &other, r->at, r->n);
	step(x, r->n);
}

/* The lane that ends next. */
static unsigned int run(struct lane *lanes)
{
	for (;;) {
		const bool first = has_blocks(&lanes[0]);
		const bool second = has_blocks(&lanes[1]);

		if (lanes[0].is_busy && !first)
			return 0;
		if (lanes[1].is_busy && !second)
			return 1;
		assert(first || second);
		if (first && second)
			advance(&lanes[0], &lanes[1]);
		else
			advance_alone(&lanes[first ? 0 : 1]);
	}
}

static int end_one(struct chunk_pair *p, unsigned int *lane,
		   struct chunk_id *ret, struct err *e)
{
	struct lane *x;

	if (!p->lanes[p->first].is_busy)
		p->first = 1 - p->first;
	*lane = p->first;
	x = &p->lanes[p->first];
	assert(x->is_busy);
	x->is_busy = false;
	return chunk_identify(p->worker, x->text.domain, x->text.kind,
			      x->text.bytes, x->text.n, ret, e);
}

int chunk_pair_end(struct chunk_pair *p, unsigned int *lane,
		   struct chunk_id *ret, struct err *e)
{
	if (p->one_by_one)
		return end_one(p, lane, ret, e);
	*lane = run(p->lanes);
	p->lanes[*lane].is_busy = false;
	sha256_two_digest(&p->lanes[*lane].state, ret->b);
	return 0;
}
