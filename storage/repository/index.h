/*
 * Which pack of this region holds a chunk (FORMAT.md §6).
 *
 * Index objects are sorted blocks, each sealed with its position, so that a
 * look-up opens one block and nothing has to be loaded whole.  An index_set
 * is all index objects of a region together; opened blocks are kept in a
 * bounded cache.  Look-ups may come from many threads.  Where a request takes
 * long, an object that many of them fall into is copied to a temporary file (in
 * $TMPDIR or /var/tmp, as large as it is); each block is still opened there as
 * it would be in the store.
 */
#ifndef STORAGE_REPOSITORY_INDEX_H
#define STORAGE_REPOSITORY_INDEX_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"
#include "storage/repository/pack.h"
#include "storage/stores/store.h"

#define INDEX_BLOCK_SIZE    16384
#define INDEX_ENTRY_SIZE    65
#define INDEX_BLOCK_ENTRIES 251

/*
 * Write one index object from entries that ascend strictly by (id, pack);
 * they come one by one, so that merging needs no memory.  superseded objects
 * are named in the root.
 */
struct index_writer;
/* session: whose it is, so that it counts while no void says otherwise. */
int index_writer_open(struct store *s, const struct keys *k,
		      struct object_id session, struct index_writer **ret,
		      struct err *e) NONNULL(1, 2, 4, 5) MUST_CHECK;
int index_writer_add(struct index_writer *w, const struct pack_entry *entry,
		     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
int index_writer_supersede(struct index_writer *w, struct object_id index,
			   struct err *e) NONNULL(1, 3) MUST_CHECK;
/* Durable when 0; *ret_id (may be NULL) is its id. */
int index_writer_commit(struct index_writer *w, struct object_id *ret_id,
			struct err *e) NONNULL(1, 3) MUST_CHECK;
void index_writer_free(struct index_writer *w);
DEFINE_CLEANUP(struct index_writer *, index_writer_free);

/* Sort by (id, pack) and drop equal ones; the new number. */
size_t index_sort(struct pack_entry *entries, size_t n);

struct index_set;

/*
 * Open all index objects of a region: reads each root, and the blocks of
 * small objects (up to 16 blocks), whose entries are merged in memory, so
 * that hundreds of them cost a look-up no more than one.  Each larger object
 * costs a look-up one block, of a chunk that is there as of one that is not:
 * keep them few.  cache_bytes bounds what is held of blocks and entries; the
 * roots come on top (8 bytes for 251 entries).  One that another supersedes
 * counts for nothing, and need not open.
 *
 * An index object that is damaged (object_is_damage()) is given
 * to damaged, if that is not NULL, and then left out: the object, or only the
 * block that a look-up falls into, which counts as holding nothing.  Each
 * object is told once, by index_set_open() or by any thread that walks or
 * looks something up, so damaged and arg must live as long as the set, and
 * damaged must not use it.  Without damaged, opening or the look-up fails.
 * ERR_NEWER and ERR_BAD_KEY are no damage.
 *
 * An object of a voided session that its voids do not name is none, and
 * supersedes nothing (FORMAT.md §10).
 *
 * An object that another process merged and removed while it was in use is
 * looked for in what took its place (index_set_refresh()); a walk ends with
 * ERR_BUSY then.
 */
typedef int index_damaged(void *arg, struct object_id id, const struct err *why,
			  struct err *e);
struct index_set_options {
	size_t cache_bytes;
	index_damaged *damaged;
	void *arg;
	/* For those who do not store what is named here: an object of a
	 * session that is fenced is none, as a void that is yet to come may
	 * leave it out; index_set_is_whole() is then false. */
	bool rely;
	/* Stays as it was opened, but for index_set_add(). */
	bool frozen;
};
int index_set_open(struct store *s, const struct keys *k,
		   const struct index_set_options *o, struct index_set **ret,
		   struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/*
 * List the region's index objects again, and take in what came; what went is
 * left out.  Packs that are hidden stay hidden.
 */
int index_set_refresh(struct index_set *x, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void index_set_free(struct index_set *x);
DEFINE_CLEANUP(struct index_set *, index_set_free);
/* Whether nothing has been left out so far that may count; */
bool index_set_is_whole(const struct index_set *x) NONNULL(1);
/* and of that, whether something was damaged: else a void is to come. */
bool index_set_is_damaged(const struct index_set *x) NONNULL(1);
/* If not: the errno of the last that the system did not let be read, or 0. */
int index_set_left_out_sys(const struct index_set *x) NONNULL(1);

/*
 * Packs and chunks to be treated as absent: marked packs, quarantined chunks.
 * Call before look-ups begin.
 */
int index_set_hide_pack(struct index_set *x, struct object_id pack,
			struct err *e) NONNULL(1, 3) MUST_CHECK;
int index_set_hide_chunk(struct index_set *x, const struct chunk_id *id,
			 struct object_id pack, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;

/* 1 and where it lies, 0 when no visible pack holds it, -1. */
int index_set_find(struct index_set *x, const struct chunk_id *id,
		   struct pack_entry *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Another holder than those in the n packs given (after damage): as above. */
int index_set_find_other(struct index_set *x, const struct chunk_id *id,
			 const struct object_id *not_in, size_t n,
			 struct pack_entry *ret, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;
/*
 * For who only reads: also in objects that do not count, or that another
 * supersedes.  The key and the right to write are enough to forge a void, or
 * what supersedes, that hides what snapshots need; whoever reads loses nothing
 * by what is authentic all the same.  Once something was found in one of these
 * objects, all look-ups in this set go so.  Not in the n packs given: what
 * counts may name one that holds nothing.
 */
int index_set_find_everywhere(struct index_set *x, const struct chunk_id *id,
			      const struct object_id *not_in, size_t n,
			      struct pack_entry *ret, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;
/*
 * Make a just-committed object visible to look-ups, and ignore from now on
 * those that it supersedes.
 */
int index_set_add(struct index_set *x, struct object_id index, struct err *e)
	NONNULL(1, 3) MUST_CHECK;

/*
 * All entries of all objects in ascending (id, pack) order, duplicates once,
 * hidden ones too; streams through a k-way merge with one block of each
 * object in memory.  Reads every byte of every object: when it succeeds none
 * is damaged, or each that is was told, as by a look-up, and its other blocks
 * visited.
 */
typedef int index_visit(void *arg, const struct pack_entry *entry,
			struct err *e);
int index_set_walk(struct index_set *x, index_visit *visit, void *arg,
		   struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

/*
 * The entries of all objects, duplicates counted again; the objects.  Not
 * while index_set_add() runs.
 */
uint64_t index_set_entries(const struct index_set *x) NONNULL(1);
size_t index_set_objects(const struct index_set *x) NONNULL(1);

#endif
