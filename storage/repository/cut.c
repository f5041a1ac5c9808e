#include "storage/repository/cut.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

struct cut {
	size_t min;
	size_t aim;
	size_t max;
	uint64_t strict; /* before aim: fewer boundaries */
	uint64_t loose;	 /* after it: more */
	uint64_t gear[256];
};

static uint64_t siphash(const uint8_t *key, const void *bytes, size_t n)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t v = 0;

	(void)crypto_shorthash(out, (const uint8_t *)bytes, n, key);
	for (unsigned int i = 0; i < sizeof(out); i++)
		v |= (uint64_t)out[i] << (8 * i);
	return v;
}

uint64_t cut_hash(const uint8_t cut_key[KEYS_SIZE], const void *bytes, size_t n)
{
	return siphash(cut_key, bytes, n);
}

static unsigned int log2_of(size_t n)
{
	return (unsigned int)(63 - __builtin_clzll(n));
}

/* The topmost bits: those that depend on the most bytes of the window. */
static uint64_t top_bits(unsigned int n)
{
	return ~(uint64_t)0 << (64 - n);
}

int cut_new(const uint8_t cut_key[KEYS_SIZE], size_t min, size_t aim,
	    size_t max, struct cut **ret, struct err *e)
{
	struct cut *c = calloc(1, sizeof(*c));

	assert(min >= 64 && min < aim && aim < max);
	if (!c)
		return err_oom(e);
	c->min = min;
	c->aim = aim;
	c->max = max;
	/* Normalised chunking: two bits more before aim, two fewer after. */
	c->strict = top_bits(log2_of(aim - min) + 2);
	c->loose = top_bits(log2_of(aim - min) - 2);
	for (unsigned int i = 0; i < 256; i++) {
		const uint8_t byte = (uint8_t)i;

		c->gear[i] = siphash(cut_key + KEYS_SIZE / 2, &byte, 1);
	}
	*ret = c;
	return 0;
}

void cut_free(struct cut *c)
{
	if (c)
		explicit_bzero(c, sizeof(*c));
	free(c);
}

/*
 * The first i in [from, to) after which hash has no bit of mask, else to.
 * Four bytes a turn: what they add is summed up beside the chain of shifts,
 * which a byte would otherwise wait for.
 */
static size_t scan(const struct cut *c, const uint8_t *p, size_t from,
		   size_t to, uint64_t mask, uint64_t *hash)
{
	uint64_t h = *hash;
	size_t i = from;

	for (; i + 4 <= to; i += 4) {
		const uint64_t one = c->gear[p[i]];
		const uint64_t two = (one << 1) + c->gear[p[i + 1]];
		const uint64_t three = (two << 1) + c->gear[p[i + 2]];
		const uint64_t four = (three << 1) + c->gear[p[i + 3]];

		if (!(((h << 1) + one) & mask))
			return i;
		if (!(((h << 2) + two) & mask))
			return i + 1;
		if (!(((h << 3) + three) & mask))
			return i + 2;
		h = (h << 4) + four;
		if (!(h & mask))
			return i + 3;
	}
	for (; i < to; i++) {
		h = (h << 1) + c->gear[p[i]];
		if (!(h & mask))
			return i;
	}
	*hash = h;
	return to;
}

size_t cut_find(const struct cut *c, const uint8_t *bytes, size_t n)
{
	const size_t end = n < c->max ? n : c->max;
	const size_t middle = end < c->aim ? end : c->aim;
	uint64_t hash = 0;
	size_t at;

	if (end <= c->min)
		return end;
	at = scan(c, bytes, c->min - 64, middle, c->strict, &hash);
	if (at < middle)
		return at < c->min ? c->min : at + 1;
	at = scan(c, bytes, middle, end, c->loose, &hash);
	return at < end ? at + 1 : end;
}
