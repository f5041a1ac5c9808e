/*
 * What btrfs says about where the bytes of an image lie, and since when.
 *
 * Data on btrfs is copied on write: an extent of a file that has checksums is
 * written once, before any file refers to it, and never again while one does.
 * So bytes are as they were when they lie in the same place of the same
 * extent, provided that it really is the same: a place on the disk can be
 * freed, and given to another extent.  What proves that it was not:
 *
 *	Let C be a transaction that was committed before the first map was
 *	made.  Everything that happened after the map was made belongs to
 *	transactions after C, and a number that was committed is never given
 *	again.
 *
 *	(1) The extent tree notes the transaction in which each extent was
 *	    allocated, and neither a clone, a snapshot nor a split changes
 *	    that.  An extent that the first map names was allocated then.  If
 *	    what lies there now was allocated in C or before, it is that one:
 *	    another one would have been allocated after the map was made.
 *	    This holds whichever file refers to it, so also for an image in a
 *	    snapshot of the subvolume; and for what a balance has moved the
 *	    new place was allocated when it was moved.
 *
 *	(2) A node of the tree that was written in C or before has not changed
 *	    since, so what it says of this very inode it said all the time,
 *	    and the extent was referred to all the time.  That saves asking
 *	    about each extent.
 *
 * A file extent item's own generation proves less, and is not used: a clone
 * keeps that of its original, and a balance that of what it moves.
 *
 * This would be undone by transactions that did not happen after all: after a
 * crash, or when a disk was put back to an older state, numbers after that
 * state are given again.  Both take a new mount.  So a map counts only as long
 * as the file system stays mounted (btrfs_tree.h).
 * (A machine whose memory is put back together with this disk, but not the one
 * that holds the maps, is beyond that, unless its numbers are behind C still.)
 *
 * What is not told, so that it is read: whatever is written in place, or could
 * be (an inode without copying or checksums; space that is allocated and not
 * written to); data within the tree; encodings that are not known here.
 *
 * A gap between pieces may be a moment of somebody's rearranging them, so a
 * gap by itself says nothing: bytes are zeros when lseek(2), which waits for
 * such work, says that there is a hole, then and now.
 *
 * What is written while a map is made, or later while the image is read,
 * changes the image's times: then the snapshot is partial, and no parent.
 *
 * Other file systems say where data lies, too (FIEMAP), but that tells nothing
 * about change: ext4 and xfs write in place, into extents that stay the same.
 */
#ifndef STORAGE_SOURCES_BLOCK_BTRFS_H
#define STORAGE_SOURCES_BLOCK_BTRFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/sources/block_map.h"

/*
 * The map of an open image of that size as it is now, bound to a snapshot.
 * Everything written to it before is on the disk then, and a transaction
 * committed.  1; 0 when nothing can be said of it: no btrfs, no privilege, an
 * image that is written in place; -1 when it should have been possible, or
 * *cancel (may be NULL) became true.  Moves the descriptor's position.
 */
int block_btrfs_map(int fd, uint64_t size, struct object_id snapshot,
		    const atomic_bool *cancel, struct block_map **ret,
		    struct err *e) NONNULL(5, 6) MUST_CHECK;

/* Whether a map of then can be held against one of now at all. */
bool block_btrfs_comparable(const struct block_map_head *then,
			    const struct block_map_head *now) NONNULL(1, 2);

/* Whether both are of one inode, so that (2) applies. */
bool block_btrfs_same_inode(const struct block_map_head *then,
			    const struct block_map_head *now) NONNULL(1, 2);

/* In which transaction the extent was allocated that is there now. */
bool block_btrfs_allocated(int fd, uint64_t disk, uint64_t disk_len,
			   uint64_t *ret) NONNULL(4);

#endif
