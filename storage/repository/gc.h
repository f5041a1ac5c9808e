/*
 * Garbage collection: what no snapshot needs any more goes, and what is left
 * is kept in few packs and few index objects.
 *
 * The collector's steps are those of FORMAT.md §10, and this module's parts
 * bear their names.  It takes no lock: writers, readers and other collectors
 * go on meanwhile.  It never asks the catalog.  It deletes nothing whenever
 * what it sees may not be all there is: a damaged index, a manifest or a tree
 * that does not open, a pack that is named and not there, a listing that is
 * shorter than it was.
 *
 * Memory: what grows with the number of chunks (8 bytes each, two bits) and of
 * packs lies in unlinked files; trees are read node by node, the index block
 * by block.
 */
#ifndef STORAGE_REPOSITORY_GC_H
#define STORAGE_REPOSITORY_GC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/object.h"
#include "storage/repository/repository.h"

/* Bytes of packs that one collection rewrites, unless told otherwise. */
#define GC_REWRITE_BYTES (UINT64_C(4) << 30)

/* At most so many are kept; all are counted. */
#define GC_BLOCKERS_MAX 64

/* Who or what keeps marked packs from going. */
struct gc_blocker {
	enum object_kind kind; /* a session or a pin */
	struct object_id id;
	char host[256];
	char why[96]; /* "is writing a snapshot", "does not open" */
};

struct gc_progress {
	const char *stage; /* "listing", "trees", "waiting for 3 sessions", … */
	uint64_t done;
	uint64_t total; /* 0: not known */
};

struct gc_options {
	struct instant now;
	/*
	 * Packs are deleted that were marked so long ago, and snapshots that
	 * were deleted so long ago.  Negative: a day, and what each deletion
	 * said.  0: all in one call, after one more look.
	 */
	int64_t grace_ms;
	uint64_t rewrite_bytes; /* copied at most, to fill packs better */
	int64_t lease_ms;	/* 0: beat_lease_ms() */
	size_t superseded_max; /* by one index object; 0: as FORMAT.md has it */
	const char *host;      /* said in records */
	const char *scratch;   /* folder for unlinked files; NULL: default */
	/* Polled; true ends with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
	/* From the caller's thread.  May be NULL. */
	void (*progress)(void *arg, const struct gc_progress *p);
	void *arg;
};

struct gc_result {
	uint64_t marked;	/* packs, by this call */
	uint64_t deleted;	/* packs */
	uint64_t snapshots;	/* that are gone for good */
	uint64_t bytes_freed;	/* of packs and index objects that went */
	uint64_t bytes_pending; /* of packs that are marked and still there */
	/* Nothing needs these, and they may not go yet: their store guards
	 * them, all of them until then (0: while they are held). */
	uint64_t locked;       /* packs */
	uint64_t bytes_locked; /* of packs and index objects */
	struct instant locked_until;
	uint64_t snapshots_locked; /* past their time; their packs stay, too */
	uint64_t bytes_copied;	   /* rewritten, or rescued from marked packs */
	uint64_t chunks_copied;
	uint64_t index_merged;	/* objects that were merged into one */
	uint64_t index_objects; /* that count, afterwards */
	uint64_t chunks;	/* that the index names */
	uint64_t chunks_live;
	uint64_t sessions_ended; /* given up: they had stood still */
	uint64_t n_blocked;
	struct gc_blocker blocked[GC_BLOCKERS_MAX];
};

/*
 * ERR_CORRUPT: something is damaged, or less is listed than there was:
 * nothing was deleted.  ERR_BUSY: another collection was faster, or gave us
 * up: nothing is lost, try again.  ERR_DENIED on a store that cannot promise
 * what the protocol needs.  Killed anywhere, the next call goes on.  *ret is
 * written also on failure: what was deleted by then is gone.
 */
int gc_run(struct repository *r, const struct gc_options *o,
	   struct gc_result *ret, struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
