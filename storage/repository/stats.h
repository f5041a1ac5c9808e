/*
 * What a repository amounts to, by its listings and its index; reads no pack.
 */
#ifndef STORAGE_REPOSITORY_STATS_H
#define STORAGE_REPOSITORY_STATS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/repository.h"

struct stats {
	uint64_t snapshots; /* deleted ones left out */
	uint64_t packs;
	uint64_t chunks;	/* different ones */
	uint64_t index_entries; /* one for each place of a chunk */
	uint64_t stored_bytes;	/* of all objects */
	uint64_t logical_bytes; /* of the files of those snapshots */
};

/*
 * Cost: two listings, the manifests, and one pass through the index.  A
 * manifest that does not open is given to damaged, and so is an index object
 * with damage, once; what is sound besides is counted.
 */
int stats_count(struct repository *r, repository_damaged *damaged, void *arg,
		struct stats *ret, struct err *e) NONNULL(1, 2, 4, 5)
	MUST_CHECK;

#endif
