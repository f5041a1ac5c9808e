/*
 * A read-only snapshot of a btrfs subvolume, for as long as it is read.
 *
 * What lies in it is what a crash at one moment would have left, however long
 * it takes to read it: what was synced by then, and some of what was not, whose
 * times may be newer than its bytes.  Files that changed after the taking began
 * must not be taken for unchanged by their times (snapshot_options.held_at). It
 * is read with the files source (files_options.place), and recorded as the
 * subvolume that it is of: inodes and times are those of the subvolume, so that
 * the next one finds its parent, though each has a device number of its own.
 *
 * It is called ".snapctl/LABEL-<16 digits>", in a folder of the subvolume's
 * root that is root's alone, and stays there empty: making and removing it
 * would change when that root was modified, time and again.  In the snapshot it
 * is left out.
 *
 * Whoever takes one removes what others left behind who were killed: what lies
 * in that folder, is called as ours are, is a read-only snapshot of this very
 * subvolume, and is in use by nobody, which its lock (flock) tells.
 *
 * A subvolume that is read-only itself is read as it is.
 *
 * A snapshot ends where another subvolume begins: those are told of.
 */
#ifndef STORAGE_SOURCES_BTRFS_H
#define STORAGE_SOURCES_BTRFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/sources/btrfs_tree.h"

/* In the subvolume's root. */
#define BTRFS_FOLDER ".snapctl"

/* So many that cannot be removed, and no more are taken: they keep space. */
#define BTRFS_LEFT_MAX 3

struct btrfs_snapshot;

/*
 * Have all ready to take one of the subvolume at path, and remove what was left
 * behind.  ERR_USAGE when it is none, which says what it is instead; ERR_DENIED
 * for anybody but root.
 */
int btrfs_snapshot_new(const char *path, struct btrfs_snapshot **ret,
		       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * Take it, once; label says whose it is, lower-case letters, digits and "-".
 * Also after -1 btrfs_snapshot_remove() is due.  Not while the file system is
 * frozen: it would wait until that is thawed.
 */
int btrfs_snapshot_take(struct btrfs_snapshot *s, const char *label,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Where to read it: an absolute path that holds as long as it does. */
const char *btrfs_snapshot_place(const struct btrfs_snapshot *s) NONNULL(1)
	RETURNS_NONNULL;
/*
 * Of which moment it is, and how to learn more of it.  False when that cannot
 * be told: it is no snapshot of ours but the subvolume itself.
 */
struct btrfs_moment {
	struct btrfs_mounting mounting;
	uint8_t subvolume[16]; /* the UUID of what it was taken of */
	uint64_t generation;   /* the transaction that it ended with */
	/* Of the snapshot, for as long as it is not removed: */
	int fd;
	dev_t device;
	uint64_t folder; /* the inode of BTRFS_FOLDER */
};
bool btrfs_snapshot_moment(const struct btrfs_snapshot *s,
			   struct btrfs_moment *ret) NONNULL(1, 2) MUST_CHECK;
/*
 * After it was read: ERR_IO when it was removed meanwhile, and what was read
 * may be less than it was.
 */
int btrfs_snapshot_check(const struct btrfs_snapshot *s, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
/*
 * Subvolumes within it, which it does not hold: paths relative to its own, the
 * first 100 of *ret_total.
 */
const char *const *btrfs_snapshot_nested(const struct btrfs_snapshot *s,
					 size_t *ret_count, size_t *ret_total)
	NONNULL(1, 2, 3);
/*
 * Remove it, which frees s in any case; nothing in it is open any more.  -1
 * when it stays behind, for the next one to remove.  NULL-safe.
 */
int btrfs_snapshot_remove(struct btrfs_snapshot *s, struct err *e) NONNULL(2)
	MUST_CHECK;

#endif
