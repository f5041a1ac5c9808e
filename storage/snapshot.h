/*
 * Taking a snapshot: a source on one side, a session on the other.
 *
 * The pipeline; each arrow is a bounded queue:
 *
 *   readers           open, describe and read small files ahead of their turn
 *      |              (snapshot_ahead.h)
 *   producer          the caller's thread: walks the source beside the
 *      |      \       parent's tree, groups what is small, cuts what is large
 *      |       \
 *   workers    tree   one a core: ids, two at a time, look-up, compress, seal,
 *      |      thread  verify; one that waits for each file's chunks and builds
 *      |              the tree
 *      |
 *   packer, committer the writer's
 *
 * Workers, packer and committer start with the first chunk that needs them: of
 * one file that did not change, 7.6 ms became 7.1 (tests/bench/FIGURES.md).
 *
 * Files below SNAPSHOT_SMALL share chunks with their neighbours: one small
 * file a chunk would bloat the index and compress badly.  Each is named by a
 * keyed hash of its content.  Groups end where a file's name says so, so that
 * the same run of files makes the same chunks again elsewhere; and a file
 * whose name this session has met refers to where its content lies, in the
 * open group or one long closed.  Names, and the ids of groups, are kept in
 * unlinked files.  What the parent has is not read, so it lends no names.
 */
#ifndef STORAGE_SNAPSHOT_H
#define STORAGE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/manifest.h"
#include "storage/repository/repository.h"
#include "storage/repository/writer.h"
#include "storage/sources/source.h"

/* Chunks of large files: FORMAT.md's appendix has the figures. */
#define SNAPSHOT_CHUNK_MIN (256U << 10)
#define SNAPSHOT_CHUNK_AIM (1U << 20)
#define SNAPSHOT_CHUNK_MAX (2U << 20)
/* Files smaller than this are grouped, into chunks of about GROUP_AIM. */
#define SNAPSHOT_SMALL	   SNAPSHOT_CHUNK_MIN
#define SNAPSHOT_GROUP_AIM (512U << 10)
#define SNAPSHOT_GROUP_MAX (1U << 20)
/*
 * Files from here on are compressed harder where that makes them smaller:
 * images and tables, whose chunks are read and checked many times after they
 * were stored once.
 */
#define SNAPSHOT_LARGE ((uint64_t)64 << 20)

struct snapshot_progress {
	uint64_t entries;
	uint64_t files;
	uint64_t bytes;	      /* of files: read or found unchanged */
	uint64_t bytes_read;  /* of those, read */
	uint64_t bytes_new;   /* stored so far */
	uint64_t bytes_found; /* by the walk, so far */
	bool all_found;	      /* bytes_found is the total */
};

struct snapshot_options {
	/* Copied into the manifest: source, type, host, user, paths, tags,
	 * excludes, claimed time; everything else in it is set here. */
	const struct manifest *about;
	/* What it will be called, when the caller wrote that down beforehand;
	 * zero: drawn here. */
	struct object_id id;
	/* The data is of that moment or later, though it is read much later:
	 * what changed about then is not to be trusted the next time.  Zero: it
	 * is of when it is read. */
	struct instant held_at;
	bool by_daemon;	     /* the receipt's clock is the daemon's */
	const char *scratch; /* folder for unlinked files; NULL: default */
	bool no_parent;	     /* read everything */
	/*
	 * Where the region's store can guard objects (stores/store.h), all that
	 * the snapshot needs is guarded for so long from its receipt on, at
	 * least.  0: it is not to be locked.
	 */
	int64_t lock_ms;
	/* Polled; true ends the run with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
	/* About ten times a second, from the caller's thread.  May be NULL. */
	void (*progress)(void *arg, const struct snapshot_progress *p);
	/* Each entry that could not be had, from any thread.  May be NULL. */
	source_report *report;
	/* Everything was read, and nothing is published yet: the source is not
	 * used any more, and may be closed.  -1: there is to be no snapshot.
	 * May be NULL. */
	int (*was_read)(void *arg, struct err *e);
	void *arg;
};

struct snapshot_result {
	struct object_id id;
	enum manifest_state state;
	uint64_t files;
	uint64_t dirs;
	uint64_t others;
	uint64_t bytes;
	uint64_t bytes_read;
	uint64_t bytes_new;
	uint64_t errors;
	struct object_id parent; /* zero: none */
	struct instant received;
	struct writer_guarding guarding; /* with lock_ms */
};

/*
 * What a source reports goes here while a snapshot is taken: the caller opens
 * the source with snapshot_report as its report function and this as its
 * argument, and hands both to snapshot_take().
 */
struct snapshot_errors;
int snapshot_errors_new(struct snapshot_errors **ret, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
void snapshot_errors_free(struct snapshot_errors *x);
DEFINE_CLEANUP(struct snapshot_errors *, snapshot_errors_free);
source_report snapshot_report;

/*
 * Take a snapshot of everything that the source delivers.  0 when it is
 * durable and acknowledged; result->state says whether it is whole.  The
 * source must deliver in order.  After -1 there is no snapshot, and what was
 * stored is reused by the next one.  What o->about says is judged first of
 * all: ERR_USAGE when no manifest can hold it.
 */
int snapshot_take(struct repository *r, struct source *source,
		  struct snapshot_errors *errors,
		  const struct snapshot_options *o, struct snapshot_result *ret,
		  struct err *e) NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;

#endif
