/*
 * A hash map from fixed-size keys to fixed-size values that lives in
 * unlinked temporary files (base/mapped.h), so that what grows with the work
 * (hard links, the chunks of a session) is page cache that the kernel can write
 * back; a quarter of a MiB at most, at its beginning, is anonymous memory.
 *
 * Open addressing by slots of eight bytes, doubled at three quarters full, over
 * entries in the order in which they came.  Keys are hashed with a random key
 * of the map's own, so that hostile input cannot make probes long.  One thread
 * at a time.  Deliberately without removal.  Cost: one or two cache lines for
 * each operation.
 */
#ifndef BASE_FILEMAP_H
#define BASE_FILEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct filemap;

/* folder as in file_open_unnamed().  Sizes in bytes, at most 4096 each. */
int filemap_new(struct filemap **ret, const char *folder, size_t key_size,
		size_t value_size, struct err *e) NONNULL(1, 5) MUST_CHECK;
void filemap_free(struct filemap *m);
DEFINE_CLEANUP(struct filemap *, filemap_free);

/*
 * The value of key, for reading and writing while the map lives, or NULL when
 * there is none.
 */
void *filemap_find(struct filemap *m, const void *key) NONNULL(1, 2);
/*
 * The value of key: 1 when it is new (zeroed), 0 when it was there, -1.
 */
int filemap_add(struct filemap *m, const void *key, void **ret_value,
		struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
uint64_t filemap_count(const struct filemap *m) NONNULL(1);
/*
 * Walk all entries in the order in which they came: start with *pos = 0; 1 and
 * the pair, or 0 at the end.
 */
int filemap_next(struct filemap *m, uint64_t *pos, const void **ret_key,
		 void **ret_value) NONNULL(1, 2, 3, 4);

#endif
