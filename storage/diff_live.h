/*
 * What differs between a snapshot of files and the same paths of this machine
 * as they are now.
 *
 * Hidden here: the tree is laid beside a walk of the files source, as when the
 * next snapshot is taken, and what is unchanged is decided in the same way: a
 * file whose size, times and inode are those that the snapshot saw is not
 * read.  Of every other one the bytes are compared, up to the first
 * difference.  So a file that was merely touched differs in its mtime alone,
 * and one of which only the ctime changed does not differ.
 *
 * Paths and patterns are the snapshot's.  A path that it went through a
 * symlink for is one still.  Folders that cannot be listed, and files that
 * cannot be read, are visited as unreadable; what the snapshot has in such a
 * folder is not called removed.
 *
 * Memory: bounded, as the walk's.
 */
#ifndef STORAGE_DIFF_LIVE_H
#define STORAGE_DIFF_LIVE_H

#include <stdatomic.h>

#include "storage/diff.h"
#include "storage/sources/files.h"

struct diff_live_options {
	/* What a manifest does not tell: files.h. */
	bool exclude_caches;
	bool cross_file_systems;
	const struct files_identity *skip; /* borrowed */
	size_t skip_count;
	const atomic_bool *cancel; /* or NULL */
};

/*
 * In the order of paths, but that a folder may be found unreadable after it
 * was visited.  m is of type "files": ERR_USAGE otherwise.  ERR_CORRUPT when
 * the snapshot cannot be read, ERR_INTERRUPTED.
 */
int diff_live(struct repository *r, const struct manifest *m,
	      const struct diff_live_options *o, diff_visit *visit, void *arg,
	      struct err *e) NONNULL(1, 2, 3, 4, 6) MUST_CHECK;

#endif
