/*
 * Asking a btrfs: items of its trees, and which mounting of which file system
 * one looks at.
 *
 * Searches need root (CAP_SYS_ADMIN).  Items come in the order of their keys:
 * object, type, offset (btrfs.readthedocs.io, "On-disk format").
 */
#ifndef STORAGE_SOURCES_BTRFS_TREE_H
#define STORAGE_SOURCES_BTRFS_TREE_H

#include <linux/btrfs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/cursor.h"

/* Room for answers, of which each has as many items as fit. */
#define BTRFS_TREE_MANY ((size_t)256 << 10) /* about 3000 small ones */
#define BTRFS_TREE_FEW	((size_t)4 << 10)

/* The inode of a subvolume's root, and the least that is of one of its own. */
#define BTRFS_SUBVOLUME_ROOT 256U

struct btrfs_item_key {
	uint64_t object;
	uint32_t type;
	uint64_t offset;
};

struct btrfs_range {
	uint64_t tree; /* 0: the subvolume that the descriptor is in */
	struct btrfs_item_key from;
	struct btrfs_item_key to; /* the last, itself among them */
	/* Only of leaves that were written in this transaction or later. */
	uint64_t since;
};

/* Private but for its being made on the stack. */
struct btrfs_search {
	int fd;
	struct btrfs_ioctl_search_key key; /* of the next answer */
	uint8_t *answer;		   /* with room for so much */
	size_t room;
	struct cursor left;
	uint32_t items; /* left in the answer */
	bool at_end;
};

struct btrfs_found {
	struct btrfs_item_key key;
	uint64_t transid;    /* in which its leaf was written */
	struct cursor bytes; /* until the next call */
};

/* 0, or -1 and errno; to be ended in both cases. */
int btrfs_search_begin(struct btrfs_search *s, int fd,
		       const struct btrfs_range *range, size_t room)
	NONNULL(1, 3) MUST_CHECK;
/* 1, 0 when there are no more, -1 and errno. */
int btrfs_search_next(struct btrfs_search *s, struct btrfs_found *ret)
	NONNULL(1, 2) MUST_CHECK;
void btrfs_search_end(struct btrfs_search *s) NONNULL(1);

/* The only item of that key, its first n bytes: 1, 0, -1 and errno. */
int btrfs_find_item(int fd, uint64_t tree, const struct btrfs_item_key *key,
		    uint8_t *out, size_t n) NONNULL(3, 4) MUST_CHECK;

/*
 * A mounting of a file system: numbers of transactions that were committed are
 * not given again as long as it lasts.  (After a crash, or when a disk was put
 * back to an older state, they are.)  It is known by the kernel's boot, and by
 * the kernel object of the mounting, whose number is not used again until the
 * next boot.
 */
struct btrfs_mounting {
	uint8_t file_system[16];
	uint8_t boot[16];
	uint64_t number;
};
/* False when the descriptor is of no btrfs, or that is not told. */
bool btrfs_mounting_of(int fd, struct btrfs_mounting *ret) NONNULL(2)
	MUST_CHECK;
bool btrfs_mounting_same(const struct btrfs_mounting *a,
			 const struct btrfs_mounting *b) NONNULL(1, 2);

#endif
