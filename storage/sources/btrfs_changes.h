/*
 * Where in a snapshot of a subvolume something changed since an earlier one of
 * the same subvolume: the folders at or below which, found by the generations
 * of the tree's leaves and inodes instead of a walk.
 *
 * Whatever changes what a file or folder is, holds, or is called, writes its
 * inode's item anew, which notes the transaction (its `transid`); of a new,
 * removed or renamed entry also that of the folder.  A snapshot is made when a
 * transaction ends, G, and what is changed later belongs to later ones.  So an
 * inode whose item was written before G was then as it is now, and a folder
 * at or below which every inode is so is as it was, to the last byte and name.
 * (Not what was written in G itself: of what happens between a snapshot's
 * making and the end of its transaction there is the making of others.)
 *
 * It takes that transaction numbers are not given again: both snapshots must
 * be of one mounting (btrfs_tree.h), and of one subvolume.  (A machine whose
 * memory is put back together with this disk, but not the one that remembers
 * the generation, is beyond that, unless its numbers are behind G still.)  And
 * that all of the earlier one was read: files_options.holds_still and
 * btrfs_snapshot_check() see to that.
 *
 * Cost: reading the leaves written since then, and a look-up for each folder
 * that something changed in; memory by those folders, 24 MiB at most.
 */
#ifndef STORAGE_SOURCES_BTRFS_CHANGES_H
#define STORAGE_SOURCES_BTRFS_CHANGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/*
 * A changed inode costs about as much as a stat, so where more have changed a
 * walk takes as long.
 */
#define BTRFS_CHANGES_MAX 200000

struct btrfs_changes;

/*
 * In the read-only snapshot that fd is the root of, since generation `since`.
 * What changed in the folder of inode `ignored`, but not below it, does not
 * count; 0: none.  *cancel may be NULL.  1; 0 when it cannot be told: too
 * many, or not as expected; -1 when it should have been possible.
 */
int btrfs_changes_find(int fd, uint64_t since, uint64_t ignored,
		       const atomic_bool *cancel, struct btrfs_changes **ret,
		       struct err *e) NONNULL(5, 6) MUST_CHECK;
void btrfs_changes_free(struct btrfs_changes *c);
DEFINE_CLEANUP(struct btrfs_changes *, btrfs_changes_free);

/*
 * Whether something changed in the folder of that inode, or below it; of one
 * that was at the same path then.  From any thread.
 */
bool btrfs_changes_below(const struct btrfs_changes *c, uint64_t inode)
	NONNULL(1);

/* Inodes that changed. */
uint64_t btrfs_changes_count(const struct btrfs_changes *c) NONNULL(1);

#endif
