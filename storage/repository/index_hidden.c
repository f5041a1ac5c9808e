#include "storage/repository/index_hidden.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_internal.h"

static size_t hidden_place(const struct index_hidden *h,
			   const uint8_t key[INDEX_KEY_SIZE])
{
	uint64_t a;
	uint64_t b;
	size_t i;

	/* Both halves are random already. */
	memcpy(&a, key, sizeof(a));
	memcpy(&b, key + CHUNK_ID_SIZE, sizeof(b));
	i = (size_t)(a ^ b) & (h->cap - 1);
	while (h->taken[i] && memcmp(h->keys[i], key, INDEX_KEY_SIZE) != 0)
		i = (i + 1) & (h->cap - 1);
	return i;
}

void index_hidden_done(struct index_hidden *h)
{
	free(h->keys);
	free(h->taken);
}

static int hidden_grow(struct index_hidden *h, struct err *e)
{
	struct index_hidden bigger = { .cap = h->cap ? h->cap * 2 : 64,
				       .n = h->n };

	bigger.keys = calloc(bigger.cap, INDEX_KEY_SIZE);
	bigger.taken = calloc(bigger.cap, sizeof(bool));
	if (!bigger.keys || !bigger.taken) {
		index_hidden_done(&bigger);
		return err_oom(e);
	}
	for (size_t i = 0; i < h->cap; i++) {
		size_t to;

		if (!h->taken[i])
			continue;
		to = hidden_place(&bigger, h->keys[i]);
		memcpy(bigger.keys[to], h->keys[i], INDEX_KEY_SIZE);
		bigger.taken[to] = true;
	}
	free(h->keys);
	free(h->taken);
	h->keys = bigger.keys;
	h->taken = bigger.taken;
	h->cap = bigger.cap;
	return 0;
}

int index_hidden_add(struct index_hidden *h, const struct chunk_id *id,
		     struct object_id pack, struct err *e)
{
	uint8_t key[INDEX_KEY_SIZE];
	size_t i;

	memcpy(key, id->b, sizeof(id->b));
	memcpy(key + sizeof(id->b), pack.b, sizeof(pack.b));
	if (h->n * 2 >= h->cap && hidden_grow(h, e))
		return -1;
	i = hidden_place(h, key);
	h->n += !h->taken[i];
	h->taken[i] = true;
	memcpy(h->keys[i], key, sizeof(key));
	return 0;
}

bool index_hidden_has(const struct index_hidden *h, const uint8_t *entry)
{
	uint8_t key[INDEX_KEY_SIZE] = { 0 };

	if (h->n == 0)
		return false;
	if (h->taken[hidden_place(h, entry)])
		return true;
	memcpy(key + CHUNK_ID_SIZE, entry + CHUNK_ID_SIZE,
	       INDEX_KEY_SIZE - CHUNK_ID_SIZE);
	return h->taken[hidden_place(h, key)];
}
