#include "storage/repository/hmac_lane.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/secret.h"

#define DIGEST 32

/*
 * HMAC hashes twice: the inner pad and the text, then the outer pad and the
 * inner digest.  Each time what does not lie in whole blocks goes through head
 * and tail: what is before the text's first whole block, and what is after its
 * last one with the padding (FIPS 180-4, 5.1.1).
 */

/* n bytes that are left over, and the padding of a text of total bytes. */
static struct hmac_run pad(uint8_t tail[2 * SHA256_BLOCK], const uint8_t *from,
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
	return (struct hmac_run){ tail, blocks };
}

static void begin_inner(struct hmac_lane *x, const struct hmac_text *text)
{
	const uint8_t *bytes = text->bytes;
	const size_t tag = text->tag ? 1 : 0;
	const size_t n = text->n;
	/* Beside the tag in the text's first block. */
	const size_t first = tag ? SHA256_BLOCK - tag : 0;
	const size_t whole = n < first ? 0 : (n - first) / SHA256_BLOCK;
	const size_t used = n < first ? 0 : first + whole * SHA256_BLOCK;
	uint8_t start[SHA256_BLOCK] = { tag ? *text->tag : 0 };

	x->runs[0] = (struct hmac_run){ x->head, 1 };
	if (n >= first) {
		if (tag) {
			x->head[SHA256_BLOCK] = start[0];
			memcpy(x->head + SHA256_BLOCK + 1, bytes, first);
			x->runs[0].n = 2;
		}
		x->runs[1] = (struct hmac_run){ n ? bytes + first : NULL,
						whole };
		x->runs[2] = pad(x->tail, n ? bytes + used : NULL, n - used,
				 SHA256_BLOCK + tag + n);
		return;
	}
	if (n)
		memcpy(start + 1, bytes, n);
	x->runs[1] = (struct hmac_run){ NULL, 0 };
	x->runs[2] = pad(x->tail, start, 1 + n, SHA256_BLOCK + 1 + n);
	secret_wipe(start, sizeof(start));
}

static void begin_outer(struct hmac_lane *x)
{
	uint8_t inner[DIGEST];

	sha256_two_digest(&x->state, inner);
	x->runs[0] = (struct hmac_run){ x->outer_pad, 1 };
	x->runs[1] = (struct hmac_run){ NULL, 0 };
	x->runs[2] = pad(x->tail, inner, sizeof(inner),
			 SHA256_BLOCK + sizeof(inner));
	x->run = 0;
	x->is_outer = true;
	sha256_two_begin(&x->state);
	secret_wipe(inner, sizeof(inner));
}

void hmac_lane_begin(struct hmac_lane *x, const uint8_t key[KEYS_SIZE],
		     const struct hmac_text *text)
{
	_Static_assert(KEYS_SIZE <= SHA256_BLOCK,
		       "longer keys would be hashed first");
	for (size_t i = 0; i < SHA256_BLOCK; i++) {
		const uint8_t b = i < KEYS_SIZE ? key[i] : 0;

		x->head[i] = b ^ 0x36;
		x->outer_pad[i] = b ^ 0x5c;
	}
	x->run = 0;
	x->is_outer = false;
	begin_inner(x, text);
	sha256_two_begin(&x->state);
}

/* Then they are those of the run at hand. */
bool hmac_lane_more(struct hmac_lane *x)
{
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

static void step(struct hmac_lane *x, size_t n)
{
	x->runs[x->run].at += n * SHA256_BLOCK;
	x->runs[x->run].n -= n;
}

void hmac_lane_both(struct hmac_lane *a, struct hmac_lane *b)
{
	const struct hmac_run *x = &a->runs[a->run];
	const struct hmac_run *y = &b->runs[b->run];
	const size_t n = x->n < y->n ? x->n : y->n;

	sha256_two_blocks(&a->state, x->at, &b->state, y->at, n);
	step(a, n);
	step(b, n);
}

void hmac_lane_alone(struct hmac_lane *x)
{
	const struct hmac_run *r = &x->runs[x->run];
	struct sha256_state other = { { 0 } };

	sha256_two_blocks(&x->state, r->at, &other, r->at, r->n);
	step(x, r->n);
}

void hmac_lane_digest(const struct hmac_lane *x, uint8_t out[32])
{
	assert(x->is_outer && x->run == 3);
	sha256_two_digest(&x->state, out);
}
