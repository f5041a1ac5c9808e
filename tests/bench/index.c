/*
 * What a large index costs: building it in pieces as sessions do, walking
 * and merging them, opening it, looking up.
 *
 *	index FOLDER [CHUNKS]		default 10,000,000
 *
 * The store is made in FOLDER, which has to be empty: PIECES objects, which
 * are merged into one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/index_internal.h"
#include "tests/bench/measure.h"

#define LOOKUPS 10000
#define PIECES	8

struct job {
	struct store *store;
	const struct keys *keys;
	uint64_t all;
	uint8_t absent; /* what to look up is not there */
};

static void fail(const struct err *e)
{
	(void)fprintf(stderr, "index: %s\n", e->text);
	exit(1);
}

/* The nth of all chunks: ids ascend in even steps, the rest looks random. */
static struct pack_entry entry_of(uint64_t n, uint64_t all)
{
	struct pack_entry x = {
		.seal = { .kind = CHUNK_DATA, .epoch = 1, .plain_len = 500000 },
		.place = { .len = 200000 }
	};
	const uint64_t at = (UINT64_MAX / all) * n;
	uint64_t mixed = at;

	for (unsigned int i = 0; i < 8; i++)
		x.seal.id.b[i] = (uint8_t)(at >> (56 - 8 * i));
	for (unsigned int i = 8; i < sizeof(x.seal.id.b); i++) {
		mixed = mixed * 6364136223846793005U + 1442695040888963407U;
		x.seal.id.b[i] = (uint8_t)(mixed >> 56);
	}
	memcpy(x.place.pack.b, x.seal.id.b + 8, sizeof(x.place.pack.b));
	x.place.offset = 32 + (uint32_t)(mixed >> 40);
	return x;
}

/* Each piece has each PIECESth chunk. */
static void build(void *arg)
{
	const struct job *j = arg;

	for (uint64_t piece = 0; piece < PIECES; piece++) {
		struct index_writer *w;
		struct err e;

		if (index_writer_open(j->store, j->keys,
				      (struct object_id){ { 0 } }, &w, &e))
			fail(&e);
		for (uint64_t n = piece; n < j->all; n += PIECES) {
			const struct pack_entry x = entry_of(n, j->all);

			if (index_writer_add(w, &x, &e))
				fail(&e);
		}
		if (index_writer_commit(w, NULL, &e))
			fail(&e);
		index_writer_free(w);
	}
}

static struct index_set *open_set(const struct job *j)
{
	struct index_set *x;
	struct err e;

	if (index_set_open(j->store, j->keys,
			   &(const struct index_set_options){
				   .cache_bytes = (size_t)32 << 20 },
			   &x, &e))
		fail(&e);
	return x;
}

static int add_entry(void *arg, const struct pack_entry *entry, struct err *e)
{
	return index_writer_add(arg, entry, e);
}

/* As a collection does: see gc_merge.c. */
static void merge(void *arg)
{
	const struct job *j = arg;
	struct index_set *x = open_set(j);
	struct index_object **v;
	struct index_writer *w;
	struct err e;
	size_t n;

	if (index_set_snapshot(x, &v, &n, &e) ||
	    index_writer_open(j->store, j->keys, (struct object_id){ { 0 } },
			      &w, &e) ||
	    index_set_walk_some(x, v, n, add_entry, w, &e))
		fail(&e);
	for (size_t i = 0; i < n; i++)
		if (index_writer_supersede(w, v[i]->in.id, &e))
			fail(&e);
	if (index_writer_commit(w, NULL, &e))
		fail(&e);
	index_writer_free(w);
	free(v);
	index_set_free(x);
}

static void open_it(void *arg)
{
	index_set_free(open_set(arg));
}

static void look_up(void *arg)
{
	const struct job *j = arg;
	struct index_set *x = open_set(j);
	uint64_t at = 12345;

	measure_begin();
	for (int i = 0; i < LOOKUPS; i++) {
		struct pack_entry want;
		struct pack_entry got;
		struct err e;
		int r;

		at = at * 6364136223846793005U + 1442695040888963407U;
		want = entry_of((at >> 16) % j->all, j->all);
		want.seal.id.b[31] ^= j->absent;
		r = index_set_find(x, &want.seal.id, &got, &e);
		if (r < 0)
			fail(&e);
		if (r == (j->absent != 0)) {
			(void)fprintf(stderr, "index: found what is not "
					      "there, or the other way\n");
			exit(1);
		}
	}
	index_set_free(x);
}

static void look_up_all(struct job *j, const char *present, const char *absent)
{
	j->absent = 0;
	measure(present, j->all, look_up, j);
	j->absent = 1;
	measure(absent, j->all, look_up, j);
}

int main(int argc, char **argv)
{
	const uint8_t key[KEYS_SIZE] = { 7 };
	struct store *s = NULL;
	struct keys *k = NULL;
	int64_t all = 10000000;
	struct job j;
	struct err e = { 0 };

	if (argc < 2 ||
	    (argc > 2 && !text_number(argv[2], 1, 100000000, &all))) {
		(void)fprintf(stderr, "usage: index FOLDER [CHUNKS]\n");
		return 2;
	}
	if (secret_start(&e) || keys_new((struct object_id){ { 1 } }, &k, &e) ||
	    keys_add_domain(k, 0, key, &e) || keys_add_epoch(k, 1, key, &e) ||
	    store_open(argv[1], true, &s, &e))
		fail(&e);
	j = (struct job){ .store = s, .keys = k, .all = (uint64_t)all };
	measure("index: build 8 objects", j.all, build, &j);
	look_up_all(&j, "index: 10,000 look-ups in 8 objects",
		    "index: 10,000 of what is not there, in 8");
	measure("index: merge them into one", j.all, merge, &j);
	measure("index: open", j.all, open_it, &j);
	look_up_all(&j, "index: 10,000 look-ups",
		    "index: 10,000 of what is not there");
	store_close(s);
	keys_free(k);
	return 0;
}
