/*
 * Copying snapshots from one region of a repository to another.
 *
 * A region is a whole copy of the repository at a URL: it shares config, key
 * slots and keyrings byte for byte, and has packs, index and manifests of its
 * own.  Chunks move sealed as they are; each is opened on the way, since a
 * replica may list only what it can restore, and damage met now can still be
 * mended from another holder.  (Its id is not derived again: it stands in
 * what the tag authenticates, and was compared when the chunk was sealed.)
 *
 * Each snapshot is written by a session of its own, in the order of FORMAT.md
 * §10, so that killing this at any moment leaves a region that lists what it
 * restores, and the next run goes on from the chunks that arrived.
 *
 * What the region has of a snapshot already: a chunk is looked up in the
 * region's index, one by one.  That a tree node is there does not prove that
 * what it refers to is, so nothing below a node is skipped, with one
 * exception: nodes of a snapshot of the same source that the region lists and
 * has not deleted, as seen after our session was there for collectors to see,
 * and only while the region has no mark and no quarantine.  Such a snapshot
 * was published after everything that it reaches was durable there (invariant
 * 1), and a collector that wants any of it gone must first mark, and waits
 * for us.
 *
 * Records (FORMAT.md §9) are copied as they are, by name.  Tombstones,
 * undeletes and segments of the catalog follow the direction of the copying,
 * as a region may keep less than another and its deletions must not spread
 * back; holds, their releases and locks go both ways, as they protect.
 * A tombstone whose scope is one region stays there in any case, and says
 * nothing of the others.  What the target has deleted is not copied again.
 *
 * Memory: the writer's (writer.h), and 32 MiB that come ahead from a far
 * source, unless reading is limited; what is listed of both regions.
 *
 * Deliberately not here: removing anything from the target but keys that were
 * revoked, and mending what is damaged there.
 */
#ifndef STORAGE_REPLICATE_H
#define STORAGE_REPLICATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/repository.h"

/*
 * Make the store `to` a region of the repository at `from`, or bring its keys
 * up to date (keyring_copy()).  ERR_EXISTS when it holds anything else.
 * Killed anywhere, the next call finishes it.
 */
int replicate_settle(struct store *from, struct store *to,
		     const struct keyring_credential *c, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

struct replicate_progress {
	uint64_t snapshots;	  /* copied so far */
	uint64_t snapshots_total; /* to be copied */
	uint64_t chunks;
	uint64_t bytes; /* sealed, stored in the target */
};

/* One snapshot that was copied, or (why not NULL) could not be. */
struct replicate_one {
	const struct repository_snapshot *snapshot;
	uint64_t chunks;
	uint64_t bytes;
	const struct err *why;
	/* It is there, but not guarded for as long as it is locked; or NULL. */
	const struct err *unguarded;
};
/* -1 ends the run. */
typedef int replicate_done(void *arg, const struct replicate_one *one,
			   struct err *e);

/*
 * A snapshot of the source that could not be told of, as its manifest does not
 * open, or the disk does not give it; the target does not list it either, and
 * neither has deleted it.  -1 ends it.
 */
typedef int replicate_unread(void *arg, struct object_id snapshot,
			     struct err *e);

struct replicate_options {
	const struct object_id *only; /* NULL: everything that is missing */
	size_t n_only;
	/* These are left out, whatever is in `only`; in ascending order. */
	const struct object_id *skip;
	size_t n_skip;
	/* The source's tombstones stay its own: it is not the region whose
	 * deletions count in others. */
	bool without_tombstones;
	/*
	 * Regions keep, or kept, by rules of their own: what retention deleted
	 * (deletion.h) stays where it did, and says nothing of other regions,
	 * whatever its scope.  That a region deleted anything for itself alone
	 * tells the same of it.
	 */
	bool apart;
	/*
	 * To bring back what the target lost, from a region that may well keep
	 * less than it does, or be behind: deletions do not follow, the source
	 * gets nothing but a pin, what is in `only` and not there is left out,
	 * and so is what any of `also`, further regions, has deleted in all of
	 * them.  Receipts that were lost come along.
	 */
	bool heal;
	struct repository *const *also;
	size_t n_also;
	/*
	 * The target locks by a rule of its own: what is copied is locked
	 * there for so long after its receipt, and there alone.  0: as it is
	 * in the source.
	 */
	int64_t lock_ms;
	/*
	 * Or by one that differs from snapshot to snapshot, for who knows it:
	 * 1 and for how long (0: not at all), 0: as it is in the source; -1.
	 * Locks that count in every region count all the same.  May be NULL.
	 */
	int (*lock_of)(void *arg, const struct repository_snapshot *s,
		       int64_t *ret_ms, struct err *e);
	bool dry_run; /* give done() what would be copied; change nothing */
	uint64_t read_limit;  /* bytes a second from the source; 0: none */
	uint64_t write_limit; /* bytes a second to the target */
	const char *host;     /* said in the session; may be NULL */
	const char *scratch;  /* folder for unlinked files; NULL: default */
	/* Polled; true ends the run with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
	/* From the caller's thread, now and then.  May be NULL. */
	void (*progress)(void *arg, const struct replicate_progress *p);
	replicate_done *done; /* may be NULL */
	/* After the copying, unless `only` says what is.  May be NULL. */
	replicate_unread *unread;
	void *arg;
};

/* Manifests, or records, that do not open. */
struct replicate_unopened {
	uint64_t n;
	int sys; /* errno of the first that the disk did not give; 0: damage */
};
void replicate_unopened_add(struct replicate_unopened *x, const struct err *why)
	NONNULL(1, 2);
struct replicate_unopened
replicate_unopened_sum(const struct replicate_unopened *a,
		       const struct replicate_unopened *b) NONNULL(1, 2);
/* "2 manifests or records do not open: input/output error", into out; out. */
#define REPLICATE_UNOPENED_TEXT 200
char *replicate_unopened_text(const struct replicate_unopened *x,
			      char out[REPLICATE_UNOPENED_TEXT]) NONNULL(1, 2);

struct replicate_result {
	uint64_t copied;
	uint64_t present; /* of the source's snapshots: there already */
	uint64_t deleted; /* deleted there, or by one of also: left alone */
	uint64_t failed;  /* given to done() with a reason */
	struct replicate_unopened unopened_from;    /* the source's manifests */
	struct replicate_unopened unopened_to;	    /* the target's */
	struct replicate_unopened unopened_records; /* of the source */
	uint64_t records;			    /* copied, both ways */
	uint64_t chunks;
	uint64_t bytes;
	bool pinned; /* collectors of the source knew about us */
};

/*
 * Copy records, then what is missing: the newest complete snapshot of each
 * source first, then the others, newest first.  Both are regions of one
 * repository (ERR_USAGE), with the same keys (ERR_CORRUPT).  A snapshot that is
 * damaged in the source is given to done() and the others go on; everything
 * else that fails ends the run, with what was copied safe.  ERR_NOT_FOUND when
 * one of `only` does not exist or is deleted in the source.
 */
int replicate_run(struct repository *from, struct repository *to,
		  const struct replicate_options *o,
		  struct replicate_result *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

/* Where a snapshot is, by inventory. */
enum replicate_where {
	REPLICATE_FROM = 1,    /* in the source, not deleted */
	REPLICATE_TO = 2,      /* in the target, not deleted */
	REPLICATE_REFUSED = 4, /* missing in the target, deleted there */
	REPLICATE_ALONE = 8,   /* with REFUSED: for the target alone */
	/* With FROM and TO: of the locks in the target, if there are any, none
	 * names the session whose manifest of it is there, so that the one that
	 * a copy ends with may have been cut off. */
	REPLICATE_UNNAMED = 16,
};
/*
 * Visit every snapshot that either region lists, in order of receipt; no data
 * is read.  Manifests that do not open are counted in *ret (may be NULL), and
 * the source's told to unread (may be NULL).
 */
struct replicate_compared {
	struct replicate_unopened from;
	struct replicate_unopened to;
};
typedef int replicate_visit(void *arg, const struct repository_snapshot *s,
			    unsigned int where, struct err *e);
int replicate_compare(struct repository *from, struct repository *to,
		      replicate_visit *visit, replicate_unread *unread,
		      void *arg, struct replicate_compared *ret, struct err *e)
	NONNULL(1, 2, 3, 7) MUST_CHECK;

#endif
