/*
 * A source: what is protected, seen as entries with content.
 *
 * This is the whole interface between a snapshot and what it reads.  A driver
 * is one row of struct source_ops; it has a constructor of its own (files:
 * files_open()), because what it needs to be told differs, and is used
 * through the functions below from then on.
 *
 * One thread calls source_next() and gets the entries with what costs one
 * stat: type, mode, owner, times, size, hints.  If these equal the parent
 * snapshot's, nothing more is asked (an unchanged ctime means unchanged
 * extended attributes).  Else source_take() makes a handle that outlives the
 * walk's moving on; any thread may work on a handle, one thread at a time:
 *
 *	source_describe()   what stat does not tell; opens a file
 *	source_read() …     files: data, holes, and what is as it was, until 0
 *	source_finish()     files: how it went
 *	source_release()
 *
 * A handle of a file holds a descriptor between source_describe() and
 * source_release(), so the number of handles in that state is the caller's
 * to bound (a few dozen).  Handles that wait hold no descriptor: the folders
 * they need are opened, and closed, by the driver within a bound of its own.
 *
 * What happens to an entry that does not hold still:
 *
 *	gone before its stat             never delivered; no error
 *	gone, or of another type, when   source_describe() says 0, state
 *	it is opened (or read)             SOURCE_VANISHED; leave it out; no
 *					   error: a snapshot begun a moment
 *					   later would not have it either
 *	what was asked for by its name   SOURCE_FAILED then, and reported
 *	a folder that is gone then, or   it is as it was delivered: what lies
 *	cannot be opened                   in it is delivered all the same
 *	its folder is gone, so that it   the folder is reported, once
 *	cannot be opened or listed
 *	another file of that name        the new one is read, entry says so
 *	written to while it is read      SOURCE_CHANGED, recorded, flagged
 *	grew                             read up to its size when opened;
 *					   SOURCE_GREW, recorded, flagged
 *	shrank                           what there was; SOURCE_SHRANK,
 *					   recorded, flagged
 *	unreadable, or EIO half-way      SOURCE_FAILED, reported, left out: a
 *					   file in a snapshot is whole
 *	a folder that cannot be listed   delivered without content; reported
 *	an attribute that cannot be read the entry without it; reported
 *
 * Failures of single entries go to source_report, and the snapshot is then
 * partial; -1 with *e ends the walk (no memory, the source itself is gone).
 */
#ifndef STORAGE_SOURCES_SOURCE_H
#define STORAGE_SOURCES_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/entry.h"
#include "storage/repository/object.h"

/*
 * An entry that could not be had, or not whole.  Called by the thread that is
 * inside a source_ function, so possibly by several at once.  The message is
 * a clause as in struct err and does not repeat the path.
 */
typedef void source_report(void *arg, const char *path, size_t path_len,
			   const char *message);

enum source_feature {
	SOURCE_UNORDERED = 1, /* may entries come in another order? */
	/* Files come in whole blocks of SOURCE_BLOCK bytes from their
	 * beginning on, data and holes alike, and are cut at such. */
	SOURCE_BLOCKS = 2,
};

enum source_state {
	SOURCE_OK,
	SOURCE_CHANGED,
	SOURCE_GREW,
	SOURCE_SHRANK,
	SOURCE_VANISHED, /* leave it out */
	SOURCE_FAILED,	 /* leave it out; was reported */
	SOURCE_STATE_END
};

/* Of disks; FORMAT.md's appendix has the figures. */
#define SOURCE_BLOCK ((size_t)256 << 10)

/* The size of a file that is a stream: source_finish() sets what came. */
#define SOURCE_SIZE_UNKNOWN UINT64_MAX

/*
 * len bytes of data that were put into the caller's memory, or of a hole, or
 * that are as in the parent snapshot and were not read.  The last is an offer,
 * see source_begin(); it is of whole blocks, from a block's beginning on.
 */
struct source_extent {
	uint64_t len; /* > 0 */
	bool hole;
	bool same;
};

/* How far a source is; found runs ahead of delivered. */
struct source_progress {
	uint64_t entries_found;
	uint64_t bytes_found; /* of files */
	uint64_t entries_delivered;
	uint64_t bytes_delivered; /* sizes of delivered files */
	bool all_found;		  /* found will not grow any more */
};

struct source;
struct source_handle;

struct source_ops {
	const char *type; /* "files", "command", "block" */

	/* No handle is left and no other call is under way. */
	void (*close)(struct source *s);
	/* Bits of enum source_feature. */
	unsigned int (*features)(const struct source *s);
	/* The slots of the functions below; those of begin, refuse and the
	 * two of `below` may be NULL. */
	void (*begin)(struct source *s, const struct object_id *parent,
		      struct object_id own);
	bool (*same_below)(const struct source *s);
	void (*skip_below)(struct source *s);
	int (*next)(struct source *s, struct entry *ret, struct err *e);
	int (*take)(struct source *s, struct source_handle **ret,
		    struct err *e);
	int (*describe)(struct source_handle *h, struct entry *en,
			struct err *e);
	int (*read)(struct source_handle *h, void *out, size_t n,
		    struct source_extent *ret, struct err *e);
	void (*refuse)(struct source_handle *h);
	enum source_state (*finish)(struct source_handle *h, struct entry *en);
	void (*release)(struct source_handle *h);
	void (*progress)(const struct source *s, struct source_progress *ret);
};

/* First member of every driver's own structs. */
struct source {
	const struct source_ops *ops;
};
struct source_handle {
	struct source *source;
};

void source_close(struct source *s);
DEFINE_CLEANUP(struct source *, source_close);

/* Whether the one file of a stream can be called so: a component of a path. */
bool source_name_valid(const char *name) NONNULL(1);

unsigned int source_features(const struct source *s) NONNULL(1);

/*
 * Once, before the first source_next(): the snapshot that is being taken, and
 * its parent, NULL when it has none.  A source may then say of parts of a file
 * (SOURCE_BLOCKS), or of all below a folder, that they are as they were when
 * the parent was taken; one that was told of no parent never does.  It answers
 * for that being so, the caller for having what the parent has of them.
 */
void source_begin(struct source *s, const struct object_id *parent,
		  struct object_id own) NONNULL(1);

/*
 * The next entry: 1, 0 at the end, -1.  In the order of entry_path_compare()
 * unless SOURCE_UNORDERED; the folders above an entry come before it.  What
 * *ret points at (the path, with a NUL after it) lives until the next call.
 * No target and no xattrs yet; link_group is final.
 */
int source_next(struct source *s, struct entry *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Whether everything below the folder that source_next() delivered last is as
 * it was when the parent was taken: the same entries, in all that is recorded
 * of them, inodes and change times too.  It is an offer, and delivered all the
 * same, unless source_skip_below() is called before the next source_next().
 */
bool source_same_below(const struct source *s) NONNULL(1);
void source_skip_below(struct source *s) NONNULL(1);

/*
 * A handle on the entry that source_next() delivered last, for any thread.
 * Called by the thread that calls source_next(), before its next call.
 */
int source_take(struct source *s, struct source_handle **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Complete the entry: xattrs and target, which live until the handle is
 * released.  A file is opened, and mode, owner, times, size, group and hints
 * are those of what was opened.  en->path and path_len must be set (and
 * alive during the call) as source_next() told them; they and en->owned stay,
 * the rest is written over.  1; 0 when the entry is to be left out, or a
 * folder to be what source_next() told (source_finish() says why); -1.
 */
int source_describe(struct source_handle *h, struct entry *en, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * After source_describe() of a file said 1: up to n bytes of data into out,
 * or a hole of any length, or an offer of what is as it was, in order without
 * gaps; only the last data of an extent is shorter than n.  1; 0 at the end, or
 * when it cannot go on (source_finish() says which); -1.
 */
int source_read(struct source_handle *h, void *out, size_t n,
		struct source_extent *ret, struct err *e) NONNULL(1, 2, 4, 5)
	MUST_CHECK;

/*
 * The offer that source_read() just made is of no use: it comes again as data
 * and holes, and there are no more offers for this file.
 */
void source_refuse(struct source_handle *h) NONNULL(1);

/*
 * After source_read() or source_describe() said 0 (or for an entry without
 * content, where it is SOURCE_OK and needless): how it went.  Sets en->size
 * to the bytes delivered and ENTRY_CHANGED where it is due.  Reports with
 * en->path, which must be set.
 */
enum source_state source_finish(struct source_handle *h, struct entry *en)
	NONNULL(1, 2) MUST_CHECK;

/* NULL-safe; at any time. */
void source_release(struct source_handle *h);
DEFINE_CLEANUP(struct source_handle *, source_release);

/* From any thread. */
void source_progress(const struct source *s, struct source_progress *ret)
	NONNULL(1, 2);

/* Whether an entry that ended in this state is recorded. */
bool source_state_recorded(enum source_state state);
/* "ok", "changed", "grew", "shrank", "vanished", "failed" */
const char *source_state_name(enum source_state state) RETURNS_NONNULL;

#endif
