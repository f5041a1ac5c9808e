/*
 * Putting a snapshot, or a part of it, back into a folder.
 *
 * Restoring cannot leave its target: every name is created relative to a
 * folder that was opened before, folders are opened beneath the target
 * without following any symlink, and a path from a hostile repository is
 * checked by the tree already.  It never deletes what it did not write: a
 * file in the way is replaced by rename(2), a folder in the way of a file, or
 * the reverse, is an error of that entry.
 *
 * The pipeline: the caller's thread walks the tree, makes folders, links and
 * specials; workers (one a core) fetch chunks and write files.  Neighbouring
 * small files go to a worker together, because they share chunks.  Where a
 * request to the store takes long, another thread walks the tree ahead, and
 * what will be needed is fetched before (ahead.h; 64 MiB).  A folder
 * gets its times, owner and mode after the last of its files; until then its
 * mode is 01700, by which the run after an interrupted one knows it.  So it is
 * with a file, and 01600: it gets its time, and then its mode, when its content
 * is durable.
 */
#ifndef STORAGE_RESTORE_H
#define STORAGE_RESTORE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/manifest.h"
#include "storage/repository/repository.h"

enum restore_overwrite {
	RESTORE_CHANGED, /* when size or mtime, as far as kept there, differ */
	RESTORE_ALWAYS,
	/* Nor what belongs to it, but for files that a restore began and did
	 * not finish.  A name that is missing is linked to one of its group
	 * that is there only when that is as it was. */
	RESTORE_NEVER,
};

struct restore_progress {
	uint64_t files;
	uint64_t bytes;	      /* written, or found there */
	uint64_t bytes_total; /* of the whole snapshot; 0: not known */
};

/*
 * Whether an entry is wanted (--include, --exclude).  From any thread, one at
 * a time, and more than once for an entry.
 */
typedef bool restore_wanted(void *arg, const char *path, size_t len,
			    bool is_folder);
/*
 * Something about an entry: a failure, or what was left out ("owner",
 * "device", …).  From any thread, one at a time.
 */
typedef void restore_note(void *arg, const char *path, size_t len,
			  const char *message);

struct restore_options {
	const char *to;	  /* folder; made when missing, its parent is not */
	const char *path; /* of SNAP:PATH; NULL: everything */
	size_t path_len;
	enum restore_overwrite overwrite;
	bool dry_run;	    /* say what would be done, write nothing */
	bool no_privileged; /* as if not root */
	const char *scratch;
	restore_wanted *wanted; /* NULL: everything is */
	restore_note *failed;	/* NULL: counted only */
	restore_note *left_out; /* likewise */
	void (*progress)(void *arg, const struct restore_progress *p);
	const atomic_bool *cancel;
	void *arg;
};

struct restore_result {
	uint64_t files; /* regular files that are there as they were */
	uint64_t folders;
	uint64_t others;
	uint64_t bytes;	  /* of those files */
	uint64_t reused;  /* files that were there already */
	uint64_t skipped; /* files kept as they are by RESTORE_NEVER */
	uint64_t left_out;
	uint64_t errors;
	bool damaged; /* some errors are damage of the repository */
	/* Something could not be read there for another reason: also of a
	 * restore that this ended.  Another region may have it. */
	bool unread;
	bool pinned; /* collectors knew about us */
};

/*
 * 0 when everything that could be restored was: result tells of errors.
 * ERR_NOT_FOUND when path is not in the snapshot, or the snapshot was deleted
 * and collected meanwhile; ERR_USAGE when the target is no folder; ERR_FULL,
 * ERR_INTERRUPTED and failures that concern more than one entry end it at once,
 * ERR_BUSY of a store that does not answer any more among them.
 * Durable (syncfs) when 0.  Whenever the power goes, no file has both its size
 * and its mtime without its content, whatever the file system: the next run
 * goes by them, and begins again with what had no time yet.  One that is to
 * keep what is there knows that by its mode.
 */
int restore_run(struct repository *r, const struct manifest *m,
		const struct restore_options *o, struct restore_result *ret,
		struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

#endif
