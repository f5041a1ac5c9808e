/*
 * What a source of a subvolume remembers from one snapshot to the next: of
 * which moment each was, so that the next one can tell what has changed since
 * (btrfs_changes.h), and does not walk the rest.
 *
 * It only ever makes walking less.  Whatever is missing, unreadable, of
 * another subvolume, mounting or snapshot, or was read by other rules, is as
 * if it were not there.
 *
 *	file    "snapseen" ‖ snapshot[16] ‖ file system[16] ‖ boot[16] ‖
 *	        u64 mounting ‖ subvolume[16] ‖ u64 generation ‖ rules[32] ‖
 *	        checksum[32]; integers little-endian
 *
 * It says nothing beyond the boot that it was written in, so it is not synced.
 */
#ifndef STORAGE_SOURCES_BTRFS_MEMORY_H
#define STORAGE_SOURCES_BTRFS_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/object.h"
#include "storage/sources/btrfs.h"
#include "storage/sources/files.h"

#define BTRFS_RULES_BYTES 32

struct btrfs_memory;

/*
 * Of the subvolume at that path; the folder `btrfs` in the cache folder is made
 * when something is saved.  Both are copied.
 */
int btrfs_memory_new(const char *cache, const char *path,
		     struct btrfs_memory **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void btrfs_memory_free(struct btrfs_memory *m);
DEFINE_CLEANUP(struct btrfs_memory *, btrfs_memory_free);

/*
 * What the files source is to be told of, for files_options.known: s is what
 * is read, and was taken; rules stand for everything that decides what of it
 * is recorded.  s and *cancel (may be NULL) stay until that source is closed,
 * what is returned until m is freed or asked again.
 */
const struct files_known *
btrfs_memory_known(struct btrfs_memory *m, const struct btrfs_snapshot *s,
		   const uint8_t rules[BTRFS_RULES_BYTES],
		   const atomic_bool *cancel) NONNULL(1, 2, 3) RETURNS_NONNULL;

/*
 * The snapshot was published, and whole: keep what there is to be known of it,
 * and drop what is old.  On failure the next snapshot walks everything.
 */
int btrfs_memory_save(struct btrfs_memory *m, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

#endif
