/*
 * Opened index blocks in a bounded number of slots: shards by key, each a
 * hash table of its slots and a clock hand over them.
 */
#include <pthread.h>
#include <stdlib.h>

#include "storage/repository/index_internal.h"

#define SHARDS 16
#define NONE   UINT32_MAX

struct slot {
	uint64_t key;
	uint8_t *plain; /* NULL: the slot is free */
	uint32_t next;	/* in its bucket */
	bool used;	/* since the hand came by */
};

struct shard {
	pthread_mutex_t lock;
	struct slot *slots;
	uint32_t *buckets; /* as many as slots */
	uint32_t n;
	uint32_t hand;
};

struct index_cache {
	struct shard shards[SHARDS];
};

/* Keys are small counters: spread them (Fibonacci hashing). */
static uint64_t spread(uint64_t key)
{
	return key * 0x9e3779b97f4a7c15U;
}

static struct shard *shard_of(struct index_cache *c, uint64_t key)
{
	return &c->shards[spread(key) >> 60];
}

static uint32_t *bucket_of(struct shard *s, uint64_t key)
{
	return &s->buckets[(spread(key) >> 20 & 0xffffffff) % s->n];
}

static int fill_shard(struct shard *s, uint32_t n, struct err *e)
{
	s->slots = calloc(n, sizeof(*s->slots));
	s->buckets = malloc(n * sizeof(*s->buckets));
	if (!s->slots || !s->buckets)
		return err_oom(e);
	s->n = n;
	for (uint32_t i = 0; i < n; i++)
		s->buckets[i] = NONE;
	return 0;
}

int index_cache_new(size_t bytes, struct index_cache **ret, struct err *e)
{
	CLEANUP(index_cache_free)
	struct index_cache *c = calloc(1, sizeof(*c));
	const size_t each = bytes / SHARDS /
			    (INDEX_BLOCK_PLAIN + sizeof(struct slot) +
			     sizeof(uint32_t));

	if (!c)
		return err_oom(e);
	for (size_t i = 0; i < SHARDS; i++)
		(void)pthread_mutex_init(&c->shards[i].lock, NULL);
	for (size_t i = 0; i < SHARDS && each > 0; i++)
		if (fill_shard(&c->shards[i],
			       each < NONE ? (uint32_t)each : NONE - 1, e))
			return -1;
	*ret = TAKE(c);
	return 0;
}

void index_cache_free(struct index_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		for (uint32_t k = 0; k < s->n; k++)
			free(s->slots[k].plain);
		free(s->slots);
		free(s->buckets);
		(void)pthread_mutex_destroy(&s->lock);
	}
	free(c);
}

static struct slot *find_slot(struct shard *s, uint64_t key)
{
	if (s->n == 0)
		return NULL;
	for (uint32_t i = *bucket_of(s, key); i != NONE; i = s->slots[i].next)
		if (s->slots[i].key == key)
			return &s->slots[i];
	return NULL;
}

bool index_cache_find(struct index_cache *c, uint64_t key, index_cache_use *use,
		      void *arg)
{
	struct shard *s = shard_of(c, key);
	struct slot *slot;

	(void)pthread_mutex_lock(&s->lock);
	slot = find_slot(s, key);
	if (slot) {
		slot->used = true;
		use(arg, slot->plain);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return slot != NULL;
}

/* The next slot that was not used since the hand came by, out of its bucket. */
static uint32_t evict(struct shard *s)
{
	uint32_t i = s->hand;
	uint32_t *link;

	while (s->slots[i].plain && s->slots[i].used) {
		s->slots[i].used = false;
		i = (i + 1) % s->n;
	}
	s->hand = (i + 1) % s->n;
	if (!s->slots[i].plain)
		return i;
	link = bucket_of(s, s->slots[i].key);
	while (*link != i)
		link = &s->slots[*link].next;
	*link = s->slots[i].next;
	free(s->slots[i].plain);
	return i;
}

void index_cache_keep(struct index_cache *c, uint64_t key, uint8_t *plain)
{
	struct shard *s = shard_of(c, key);

	(void)pthread_mutex_lock(&s->lock);
	/* Another thread may have opened the same block meanwhile. */
	if (s->n == 0 || find_slot(s, key)) {
		free(plain);
	} else {
		const uint32_t i = evict(s);
		uint32_t *bucket = bucket_of(s, key);

		s->slots[i] = (struct slot){ .key = key,
					     .plain = plain,
					     .next = *bucket };
		*bucket = i;
	}
	(void)pthread_mutex_unlock(&s->lock);
}
