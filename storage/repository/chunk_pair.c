#include "storage/repository/chunk_pair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "storage/repository/hmac_lane.h"

struct lane {
	struct chunk_plain text;
	bool is_busy;
	struct hmac_lane hmac;
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

int chunk_pair_begin(struct chunk_pair *p, unsigned int lane,
		     const struct chunk_plain *plain, struct err *e)
{
	struct lane *x = &p->lanes[lane];
	const uint8_t *key = keys_id(p->keys, plain->domain);
	const uint8_t tag = (uint8_t)plain->kind;

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
	hmac_lane_begin(&x->hmac, key,
			&(struct hmac_text){ .tag = &tag,
					     .bytes = plain->bytes,
					     .n = plain->n });
	return 0;
}

static bool has_blocks(struct lane *x)
{
	return x->is_busy && hmac_lane_more(&x->hmac);
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
			hmac_lane_both(&lanes[0].hmac, &lanes[1].hmac);
		else
			hmac_lane_alone(&lanes[first ? 0 : 1].hmac);
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
	hmac_lane_digest(&p->lanes[*lane].hmac, ret->b);
	return 0;
}
