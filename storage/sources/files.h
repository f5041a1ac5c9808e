/*
 * The source of files and folders of this machine.
 *
 * Hidden here: how a walk in path order is made fast (threads read folders
 * ahead of the caller, in the caller's order, within a bound), and how it is
 * made safe in a tree that others change meanwhile: everything is opened
 * relative to a folder that was opened before, never through a symlink, never
 * waiting for the other end of a FIFO, and compared with what was seen.
 *
 * What is recorded: every folder above a path, as a folder, also where a
 * symlink leads to it; then the path with everything below.  A path that is
 * a symlink itself is recorded as one, unless it was written with '/' at the
 * end, or another path leads through it.  A path is never excluded itself,
 * nor cut off by what lies above it: also one that lies within another is
 * taken wholly, from the file system that it is on.
 *
 * Left out: what a pattern excludes; with exclude_caches the content of
 * folders with a CACHEDIR.TAG (bford.info/cachedir), but not the folder and
 * the tag; what lies beyond a mount point (st_dev differs, so btrfs
 * subvolumes count) unless told, but not the folder that is the mount point;
 * the folders in `skip`, wholly; a path that lies in one is reported.
 *
 * Extended attributes are all that the kernel lists and entries hold
 * (entry_holds_xattr()).  As root that includes trusted.*,
 * security.capability, security.selinux.
 *
 * A file holds as many bytes as its size says when it is opened; those of
 * procfs and the like, which have none until they are read, are recorded as
 * empty.  Access times stay as they were where the system permits it.
 * Nothing is dropped from the page cache.
 *
 * Memory: bounded by the read-ahead's bound and by how deep the tree is; what
 * a folder's names need beyond some MiB lies in an unlinked temporary file.
 */
#ifndef STORAGE_SOURCES_FILES_H
#define STORAGE_SOURCES_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/sources/source.h"

/*
 * Whether a path is excluded; what is below an excluded folder is not looked
 * at.  path has len bytes and a NUL after them.  Called by the threads that
 * read ahead, so it must not change anything.
 */
typedef bool files_excluded(const void *arg, const char *path, size_t len,
			    bool is_folder);

struct files_identity {
	dev_t dev;
	ino_t ino;
};

/*
 * What somebody knows of the tree from when it was read before; see
 * source_begin() and source_same_below().
 */
struct files_known {
	void (*begin)(void *arg, const struct object_id *parent,
		      struct object_id own);
	/* From several threads, after begin. */
	bool (*same_below)(void *arg, const struct files_identity *folder);
	void *arg;
};

struct files_options {
	/*
	 * Relative ones begin at the working folder; "." and ".." are
	 * resolved; duplicates are merged.  One that does not exist is
	 * reported by the first source_next(), but when none exists
	 * files_open() fails.
	 */
	const char *const *paths;
	size_t path_count;
	/*
	 * An absolute path of the folder to be read where there is one path
	 * only: what lies in it is recorded as if it lay below that path, which
	 * need not exist, but for the folders above it.  A snapshot of a
	 * volume, say.  NULL: the path itself.
	 */
	const char *place;
	/* What is read holds still: what is gone when it is looked at again was
	 * taken away from us, and is reported. */
	bool holds_still;
	files_excluded *excluded; /* NULL: nothing is */
	const void *excluded_arg;
	bool exclude_caches;
	bool cross_file_systems;
	const struct files_identity *skip; /* borrowed until close */
	size_t skip_count;
	const struct files_known *known; /* borrowed until close; or NULL */
	source_report *report;
	void *report_arg;
	const char *temporary; /* folder for large folders; NULL: $TMPDIR */
	unsigned int threads;  /* that read ahead; 0: the default */
};

/*
 * ERR_USAGE when there is no path, or none exists; ERR_DENIED, ERR_NO_MEMORY.
 * Strings are copied.
 */
int files_open(const struct files_options *options, struct source **ret,
	       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * The paths as files_open() resolves them, for the manifest: absolute,
 * normalised, in order, without duplicates.  One block for free().
 */
int files_resolve(const char *const *paths, size_t count, char ***ret,
		  size_t *ret_count, struct err *e) NONNULL(1, 3, 4, 5)
	MUST_CHECK;

#endif
