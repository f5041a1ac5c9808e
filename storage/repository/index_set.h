/*
 * All index objects of a region together, as index.c opens them and
 * index_search.c looks up in them.  Private to these two.
 */
#ifndef STORAGE_REPOSITORY_INDEX_SET_H
#define STORAGE_REPOSITORY_INDEX_SET_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/repository/index_hidden.h"
#include "storage/repository/index_internal.h"

/* What is merged and removed while we look is found in the next listing. */
#define INDEX_LISTINGS_MAX 8

/* Encoded entries in order.  Runs double in size, so there are few. */
struct run {
	uint8_t *entries;
	size_t n;
};
#define RUNS_MAX 64

struct index_set {
	struct store *store;
	const struct keys *keys;
	pthread_rwlock_t lock;
	struct index_object **objects;
	size_t n;
	size_t cap;
	struct run runs[RUNS_MAX];
	size_t n_runs;
	size_t resident_bytes;
	size_t resident_max;
	size_t whole_bytes; /* of objects that are kept until they are loaded */
	struct index_cache *cache;
	struct index_hidden hidden;
	index_damaged *damaged;
	void *arg;
	bool rely;
	bool frozen;
	struct voids *voids;
	/* index_set_find_everywhere() found something in what does not count */
	atomic_bool everywhere;
	atomic_bool lacks;	 /* something damaged was left out */
	atomic_bool awaits;	 /* of a session that is fenced; no void yet */
	atomic_int left_out_sys; /* why, if the system did not let it be read */
};

#endif
