/*
 * Packs: many sealed chunks in one object (FORMAT.md §5).
 *
 * A pack_writer streams sealed chunks to the store as they come, so that
 * memory does not hold a pack; closing it appends directory, padding and
 * trailer, and commits durably.  Where each chunk lies is known at once, but
 * may be told to an index only after pack_writer_commit() succeeded.
 */
#ifndef STORAGE_REPOSITORY_PACK_H
#define STORAGE_REPOSITORY_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"
#include "storage/stores/store.h"

/*
 * Bounds of one pack, which bound the memory that reading its directory takes
 * (16 MiB) and what is lost with one object.
 */
#define PACK_MAX	((uint64_t)256 << 20)
#define PACK_CHUNKS_MAX 262144

/* Where a sealed chunk lies. */
struct pack_place {
	struct object_id pack;
	uint32_t offset;
	uint32_t len; /* sealed bytes */
};
/* A line of a directory, and of an index. */
struct pack_entry {
	struct chunk_seal seal;
	struct pack_place place;
};

struct pack_writer;

/* kind: OBJECT_DATA_PACK or OBJECT_META_PACK. */
int pack_writer_open(struct store *s, const struct keys *k,
		     enum object_kind kind, struct pack_writer **ret,
		     struct err *e) NONNULL(1, 2, 4, 5) MUST_CHECK;
/* Whether one more chunk of n sealed bytes stays within the bounds. */
bool pack_writer_fits(const struct pack_writer *p, size_t n) NONNULL(1);
int pack_writer_add(struct pack_writer *p, const struct chunk_seal *seal,
		    const void *sealed, size_t n, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;
/* Bytes so far, and what the object would measure if committed now. */
uint64_t pack_writer_size(const struct pack_writer *p) NONNULL(1);
uint64_t pack_writer_final_size(const struct pack_writer *p) NONNULL(1);
/*
 * Whether it had better end here than with one of the chunks to come, up to
 * aim bytes, if they are of about n bytes each: for the padding's sake.
 */
bool pack_writer_ends_well(const struct pack_writer *p, uint64_t aim, size_t n)
	NONNULL(1);
/* What was added, in order; valid until the writer is freed. */
size_t pack_writer_entries(const struct pack_writer *p,
			   const struct pack_entry **ret) NONNULL(1, 2);
/*
 * Make it durable.  The writer is used up either way but its entries can be
 * read until pack_writer_free().
 */
int pack_writer_commit(struct pack_writer *p, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/* NULL-safe; an uncommitted pack leaves nothing. */
void pack_writer_free(struct pack_writer *p);
DEFINE_CLEANUP(struct pack_writer *, pack_writer_free);

/*
 * The directory of a pack, authenticated: 0 and visit called for each chunk
 * in order, after all of it was checked: tiling, padding, size.
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_NEWER, ERR_BAD_KEY (unknown epoch).
 */
typedef int pack_visit(void *arg, const struct pack_entry *entry,
		       struct err *e);
int pack_read_directory(struct store *s, const struct keys *k,
			enum object_kind kind, struct object_id id,
			pack_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 5, 7) MUST_CHECK;

/*
 * The sealed bytes at place into out (place->len bytes), as they are: the
 * chunk's own tag tells whether they are right.  ERR_NOT_FOUND when the pack
 * is gone, ERR_CORRUPT when it ends before.
 */
int pack_read(struct store *s, enum object_kind kind,
	      const struct pack_place *place, uint8_t *out, struct err *e)
	NONNULL(1, 3, 4, 5) MUST_CHECK;

/*
 * The same of a chunk that opens: opens says 0, or -1 with what is wrong with
 * the bytes.  Where the store keeps versions and they are damage, of the oldest
 * version of the pack of which they are none (versions.h).
 */
typedef int pack_opens(void *arg, const uint8_t *sealed, struct err *e);
int pack_read_that(struct store *s, enum object_kind kind,
		   const struct pack_place *place, uint8_t *out,
		   pack_opens *opens, void *arg, struct err *e)
	NONNULL(1, 3, 4, 5, 7) MUST_CHECK;

/*
 * Visit the objects that are called as packs are, data packs first, and maybe
 * others below "data/" and "meta/"; as store_list() in all else.
 */
int pack_list(struct store *s, store_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;

/* For qsort(), of struct pack_entry: as they lie, pack by pack. */
int pack_by_place(const void *a, const void *b) NONNULL(1, 2);
/*
 * Bytes that are read at once; a single chunk may be longer.  What lies between
 * two chunks is read along when it is less than the gap: a request to a remote
 * store costs about as much.
 */
#define PACK_RUN_BYTES (4U << 20)
#define PACK_RUN_GAP   (64U << 10)
/* How many of n > 0 entries, in that order, one request reads well: 1 or more.
 * They are of one pack, and do not overlap. */
size_t pack_run(const struct pack_entry *v, size_t n) NONNULL(1);

#endif
