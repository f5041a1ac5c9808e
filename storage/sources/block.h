/*
 * The source of one block device, or disk image: one sparse stream.
 *
 * It is one file of the snapshot, "/NAME", delivered in whole blocks of
 * SOURCE_BLOCK bytes from its beginning on (SOURCE_BLOCKS), so that what
 * changes in one version of a disk changes the chunks that it lies in and no
 * others.  A block of zeros, and one that an image has no data for, is a hole.
 *
 * An image that is as it was, by size, times and inode, is not read again; a
 * device says nothing about that, and is.  Of an image on btrfs that root
 * reads only the blocks are read that have changed since the parent snapshot,
 * if what was remembered of that one is there (block_memory.h); on other file
 * systems, and with any doubt, all of it.
 *
 * What cannot be read is reported as a range of bytes, to the sector, and is
 * zeros in the snapshot, which is then partial; a device that is gone, or of
 * which too much cannot be read, ends it.
 *
 * Consistent is what nobody writes to meanwhile: a frozen file system, a
 * snapshot of a volume.  An image that was written to is reported; a device
 * does not tell.  What the size was when it was opened is what is read.
 */
#ifndef STORAGE_SOURCES_BLOCK_H
#define STORAGE_SOURCES_BLOCK_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/sources/block_memory.h"
#include "storage/sources/source.h"

/* Ranges, and bytes, that cannot be read, before it is given up. */
#define BLOCK_FAILURES_MAX 1000
#define BLOCK_BAD_MAX	   ((uint64_t)1 << 30)

struct block_options {
	const char *path; /* of the device or image; symlinks are followed */
	const char *name; /* source_name_valid() */
	/* What it learns of the image, and knows of it.  May be NULL. */
	struct block_memory *memory;
	/* Polled; true ends it with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
	source_report *report; /* may be NULL */
	void *report_arg;
};

/*
 * Open it.  ERR_USAGE when it is neither, or is not there.  What o points at
 * must stay until source_close().
 */
int block_open(const struct block_options *o, struct source **ret,
	       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
