/*
 * Where the bytes of an image lay at one moment: the map that a snapshot of it
 * leaves behind, so that the next one can tell what is as it was.
 *
 * It is a local file and never the only place of anything: without it, or with
 * one that is doubted, everything is read.  So it is parsed strictly, and a
 * page of it is believed only when its checksum, which covers the snapshot it
 * belongs to and the page's number, is right.
 *
 *	file    head ‖ page*            integers little-endian
 *	head    "snapmap1" ‖ snapshot[16] ‖ file system[16] ‖ boot[16] ‖
 *	        u64 mounting ‖ u64 tree ‖ u64 inode ‖ u64 generation ‖
 *	        u64 transid ‖ u64 size ‖ u64 pieces ‖ checksum[32]
 *	page    piece{64} ‖ checksum[32]; behind the last piece zeros
 *	piece   u64 at ‖ u64 len ‖ u64 disk ‖ u64 disk_len ‖ u64 offset ‖
 *	        u64 transid ‖ u64 (kind | compression << 8)
 *
 * Pieces are in order and do not overlap; of what lies between them nothing is
 * known.  Memory does not grow with them: they go to an unlinked file first,
 * and are read a page at a time.
 */
#ifndef STORAGE_SOURCES_BLOCK_MAP_H
#define STORAGE_SOURCES_BLOCK_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/object.h"
#include "storage/sources/btrfs_tree.h"

/* A map of more is none: 900 MB, 64 GiB in pieces of 4 KiB. */
#define BLOCK_MAP_PIECES_MAX ((uint64_t)1 << 24)
#define BLOCK_MAP_PAGE	     64 /* pieces */

/* Which image, which state of its file system; see block_btrfs.h. */
struct block_map_head {
	struct object_id snapshot; /* that the map belongs to */
	struct btrfs_mounting mounting;
	uint64_t tree; /* of the subvolume */
	uint64_t inode;
	uint64_t generation; /* of the inode */
	uint64_t transid;    /* committed before the map was made */
	uint64_t size;	     /* of the image */
};

/* Bytes of the image that are zeros, or lie in one extent on the disk. */
struct block_piece {
	uint64_t at;
	uint64_t len; /* > 0 */
	bool zero;    /* the rest is 0 then */
	uint8_t compression;
	uint64_t disk; /* where the extent begins */
	uint64_t disk_len;
	uint64_t offset;  /* of the piece in what the extent holds */
	uint64_t transid; /* of the node that says so */
};

struct block_map;

/* An empty one, in an unlinked file in scratch (NULL: default). */
int block_map_new(const char *scratch, const struct block_map_head *head,
		  struct block_map **ret, struct err *e) NONNULL(2, 3, 4)
	MUST_CHECK;
/* ERR_CORRUPT for a piece that no map may hold there; ERR_FULL. */
int block_map_add(struct block_map *m, const struct block_piece *p,
		  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* There are no more; it can be read from now on. */
int block_map_end(struct block_map *m, struct err *e) NONNULL(1, 2) MUST_CHECK;

/*
 * One that was saved, checked from the first to the last byte.  ERR_NOT_FOUND;
 * ERR_CORRUPT for anything that is not a whole map of that snapshot.
 */
int block_map_open(int dir_fd, const char *name, struct object_id snapshot,
		   struct block_map **ret, struct err *e) NONNULL(2, 4, 5)
	MUST_CHECK;
void block_map_free(struct block_map *m);
DEFINE_CLEANUP(struct block_map *, block_map_free);

const struct block_map_head *block_map_head(const struct block_map *m)
	RETURNS_NONNULL NONNULL(1);

/* The next piece, from the first on: 1, 0 at the end, -1 for a damaged one. */
int block_map_next(struct block_map *m, struct block_piece *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* Write it to that name, durably, atomically. */
int block_map_save(struct block_map *m, int dir_fd, const char *name,
		   struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

#endif
