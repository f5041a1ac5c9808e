/*
 * Where the bytes of one file lie: extents over chunks and holes, and for
 * large files maps of extents in chunks of their own (FORMAT.md §7).
 *
 * A content_builder takes extents in order and keeps at most a map's worth of
 * each level in memory, so a file of 10 TB costs no more than one of 1 GB.
 */
#ifndef STORAGE_REPOSITORY_CONTENT_H
#define STORAGE_REPOSITORY_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/reader.h"
#include "storage/repository/writer.h"

#define CONTENT_LEVEL_MAX 4
/* Extents of one map, or in an entry itself. */
#define CONTENT_EXTENTS_MAX 1024

struct extent {
	uint64_t len; /* > 0 */
	struct chunk_id id;
	uint32_t offset; /* within the chunk's plaintext; level 0 only */
	bool hole;
};

/* level 0: data and holes; above: every extent is a map. */
struct content {
	uint8_t level;
	size_t n;
	struct extent *v;
};

/*
 * Whether the extents are as trees hold them and add up to size: what is not
 * stored is what is refused.
 */
bool content_valid(const struct content *c, uint64_t size) NONNULL(1);

struct content_builder;

int content_builder_new(struct writer *w, struct chunk_worker *worker,
			struct content_builder **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void content_builder_free(struct content_builder *b);
DEFINE_CLEANUP(struct content_builder *, content_builder_free);

/*
 * Adjacent holes, and adjacent pieces of one chunk, become one extent.
 * ERR_BUG for one that no content may hold.
 */
int content_builder_add(struct content_builder *b, const struct extent *x,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * The content of everything added, borrowed until the next call; the builder
 * is then empty and ready for the next file.
 */
int content_builder_finish(struct content_builder *b, struct content *ret,
			   struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Visit the data and holes of a content in order, maps read through x.
 * offset is that within the file.  1 ends the walk early.
 */
typedef int content_visit(void *arg, uint64_t offset, const struct extent *x,
			  struct err *e);
int content_walk(struct reader *x, const struct content *c,
		 content_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;
/*
 * The same for those only that have bytes in [from, to), whole as they are.
 * Maps of others are not read.
 */
int content_walk_range(struct reader *x, const struct content *c, uint64_t from,
		       uint64_t to, content_visit *visit, void *arg,
		       struct err *e) NONNULL(1, 2, 5, 7) MUST_CHECK;

/*
 * A table of chunk ids, and extents that name them by number: the encoding
 * that leaves and maps share.
 */
struct content_table {
	struct chunk_id *ids;
	size_t n;
	size_t cap;
};
int content_table_number(struct content_table *t, const struct chunk_id *id,
			 size_t *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
void content_table_done(struct content_table *t) NONNULL(1);
int content_encode(const struct content *c, struct content_table *t,
		   struct buf *out, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Reads into v (room for CONTENT_EXTENTS_MAX); the content is valid. */
int content_decode(struct cursor *c, const struct content_table *t,
		   uint64_t size, struct content *ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
/* The table at the head of a leaf or map; t borrows nothing. */
int content_table_decode(struct cursor *c, struct content_table *t,
			 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
