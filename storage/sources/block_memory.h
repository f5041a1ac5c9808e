/*
 * What the source of an image remembers from one snapshot to the next: maps
 * (block_map.h), as files in a local folder (kept.h), each bound to the
 * snapshot that was taken when it was made.
 *
 * It only ever makes reading less.  Whatever is missing, unreadable, of
 * another image, another mounting or another snapshot is as if it were not
 * there.  A map is saved after its snapshot was published, and when nothing
 * may be frozen any more; one that nobody saves is forgotten.
 */
#ifndef STORAGE_SOURCES_BLOCK_MEMORY_H
#define STORAGE_SOURCES_BLOCK_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/object.h"

struct block_memory;

/*
 * Of the image that path leads to; the folder `block` in the cache folder is
 * made when something is saved.  Both are copied.
 */
int block_memory_new(const char *cache, const char *path,
		     struct block_memory **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void block_memory_free(struct block_memory *m);
DEFINE_CLEANUP(struct block_memory *, block_memory_free);

/*
 * A snapshot of the open image begins, of that size; parent may be NULL.  fd
 * and cancel (may be NULL) stay until block_memory_end().  Forgets what it
 * knew of another one.
 */
void block_memory_begin(struct block_memory *m, int fd, uint64_t size,
			const struct object_id *parent, struct object_id own,
			const atomic_bool *cancel) NONNULL(1);
/*
 * The next range of whole blocks that are as in the parent, in order and each
 * behind the last: false when there are no more.
 */
bool block_memory_same(struct block_memory *m, uint64_t *ret_from,
		       uint64_t *ret_to) NONNULL(1, 2, 3);
/*
 * The image is not used any more.  is_as_it_was: nobody wrote to it from when
 * block_memory_begin() was called, and what the snapshot has of it is right.
 */
void block_memory_end(struct block_memory *m, bool is_as_it_was) NONNULL(1);

/*
 * The snapshot was published: keep its map, if there is a good one, and drop
 * old ones.  On failure the next snapshot reads everything.
 */
int block_memory_save(struct block_memory *m, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

#endif
