/*
 * Chunks and packs that an index_set is to treat as absent: a set of (chunk,
 * pack) pairs.  Private to index*.c.
 */
#ifndef STORAGE_REPOSITORY_INDEX_HIDDEN_H
#define STORAGE_REPOSITORY_INDEX_HIDDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/object.h"

/* The zero chunk id stands for a whole pack. */
struct index_hidden {
	uint8_t (*keys)[48]; /* INDEX_KEY_SIZE */
	bool *taken;
	size_t n;
	size_t cap; /* a power of two */
};

int index_hidden_add(struct index_hidden *h, const struct chunk_id *id,
		     struct object_id pack, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;
/* entry: as index_encode() writes it. */
bool index_hidden_has(const struct index_hidden *h, const uint8_t *entry)
	NONNULL(1, 2);
void index_hidden_done(struct index_hidden *h) NONNULL(1);

#endif
