#include "storage/sources/block_btrfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/seam.h"
#include "storage/sources/btrfs_tree.h"

/* Flags of an inode, in its item: see fs/btrfs/btrfs_inode.h. */
#define INODE_NODATASUM ((uint64_t)1 << 0)
#define INODE_NODATACOW ((uint64_t)1 << 1)
/* Longer than a clock's tick anywhere. */
#define TICK_MS 20

bool block_btrfs_allocated(int fd, uint64_t disk, uint64_t disk_len,
			   uint64_t *ret)
{
	const struct btrfs_item_key key = { disk, BTRFS_EXTENT_ITEM_KEY,
					    disk_len };
	uint8_t bytes[sizeof(struct btrfs_extent_item)];
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	if (btrfs_find_item(fd, BTRFS_EXTENT_TREE_OBJECTID, &key, bytes,
			    sizeof(bytes)) != 1)
		return false;
	(void)cursor_u64(&c); /* references */
	*ret = cursor_u64(&c);
	return cursor_u64(&c) & BTRFS_EXTENT_FLAG_DATA && !c.bad;
}

/* ---- Which image, in which state ---------------------------------------- */

/* Whether its data is never written in place; its generation. */
static bool read_inode(int fd, uint64_t inode, uint64_t *ret_generation)
{
	const struct btrfs_item_key key = { inode, BTRFS_INODE_ITEM_KEY, 0 };
	uint8_t bytes[sizeof(struct btrfs_inode_item)];
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	const size_t before_flags = offsetof(struct btrfs_inode_item, flags) -
				    sizeof(uint64_t);
	int attributes = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &attributes) < 0 ||
	    attributes & FS_NOCOW_FL ||
	    btrfs_find_item(fd, 0, &key, bytes, sizeof(bytes)) != 1)
		return false;
	*ret_generation = cursor_u64(&c);
	(void)cursor_bytes(&c, before_flags);
	return !(cursor_u64(&c) & (INODE_NODATACOW | INODE_NODATASUM)) &&
	       !c.bad;
}

/* Which file it is, if it is one of which something can be said. */
static bool identify(int fd, struct block_map_head *h)
{
	struct btrfs_ioctl_ino_lookup_args lookup = {
		.objectid = BTRFS_FIRST_FREE_OBJECTID
	};
	struct stat st;

	if (!btrfs_mounting_of(fd, &h->mounting) || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode) ||
	    ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) < 0)
		return false;
	h->tree = lookup.treeid;
	h->inode = st.st_ino;
	return true;
}

/*
 * Everything that is to be in the map onto the disk, and a transaction
 * committed behind it.  A tick later, so that whatever is written from now on
 * gets another time than what was written before the image was opened.
 */
static int commit(int fd, uint64_t *ret, struct err *e)
{
	__u64 transid = 0;

	clock_sleep_ms(TICK_MS);
	if (seam_fsync(fd) || ioctl(fd, BTRFS_IOC_START_SYNC, &transid) < 0 ||
	    transid == 0 || ioctl(fd, BTRFS_IOC_WAIT_SYNC, &transid) < 0)
		return err_sys(e, "cannot commit what was written to it");
	*ret = transid;
	return 0;
}

bool block_btrfs_comparable(const struct block_map_head *then,
			    const struct block_map_head *now)
{
	return btrfs_mounting_same(&then->mounting, &now->mounting) &&
	       then->transid != 0 && then->transid <= now->transid;
}

bool block_btrfs_same_inode(const struct block_map_head *then,
			    const struct block_map_head *now)
{
	return then->tree == now->tree && then->inode == now->inode &&
	       then->generation == now->generation;
}

/* ---- Its pieces --------------------------------------------------------- */

struct mapping {
	int fd;
	uint64_t size;
	const atomic_bool *cancel;
	struct block_map *map;
	uint64_t at; /* the map is made up to here */
};

static bool is_cancelled(const struct mapping *m, struct err *e)
{
	if (!m->cancel || !atomic_load(m->cancel))
		return false;
	(void)err_set(e, ERR_INTERRUPTED, "interrupted");
	return true;
}

static int add_zeros(struct mapping *m, uint64_t from, uint64_t to,
		     struct err *e)
{
	const struct block_piece p = { .at = from,
				       .len = to - from,
				       .zero = true };

	return from < to ? block_map_add(m->map, &p, e) : 0;
}

/* No piece was found for the bytes up to `to`: holes are zeros. */
static int add_holes(struct mapping *m, uint64_t to, struct err *e)
{
	uint64_t at = m->at;

	while (at < to) {
		off_t data = lseek(m->fd, (off_t)at, SEEK_DATA);
		off_t hole;

		if (is_cancelled(m, e))
			return -1;
		if (data < 0 && errno == ENXIO)
			data = INT64_MAX;
		if (data < (off_t)at)
			break;
		if (add_zeros(m, at, (uint64_t)data < to ? (uint64_t)data : to,
			      e) < 0)
			return -1;
		if ((uint64_t)data >= to)
			break;
		hole = lseek(m->fd, data, SEEK_HOLE);
		if (hole <= data)
			break;
		at = (uint64_t)hole;
	}
	m->at = to;
	return 0;
}

/* An item that is of an extent whose data is on the disk, once written. */
static bool parse_piece(const struct btrfs_found *i, struct block_piece *ret)
{
	struct cursor c = i->bytes;
	uint8_t encryption;
	uint16_t other;
	uint8_t type;

	(void)cursor_u64(&c); /* generation */
	(void)cursor_u64(&c); /* bytes in memory */
	*ret = (struct block_piece){ .at = i->key.offset,
				     .transid = i->transid };
	ret->compression = cursor_u8(&c);
	encryption = cursor_u8(&c);
	other = cursor_u16(&c);
	type = cursor_u8(&c);
	if (c.bad || encryption || other || type != BTRFS_FILE_EXTENT_REG)
		return false;
	ret->disk = cursor_u64(&c);
	ret->disk_len = cursor_u64(&c);
	ret->offset = cursor_u64(&c);
	ret->len = cursor_u64(&c);
	return cursor_finish(&c, "a file extent", &(struct err){ 0 }) == 0 &&
	       ret->disk != 0 && ret->disk_len != 0;
}

/* Also an item that says nothing is a gap: it may be a hole. */
static int add_item(struct mapping *m, const struct btrfs_found *i,
		    struct err *e)
{
	struct block_piece p;

	if (!parse_piece(i, &p) || p.at >= m->size)
		return 0;
	if (p.at < m->at)
		return err_set(e, ERR_BUSY, "it is being rearranged");
	if (add_holes(m, p.at, e) < 0)
		return -1;
	if (p.len > m->size - p.at)
		p.len = m->size - p.at;
	if (block_map_add(m->map, &p, e) < 0)
		return -1;
	m->at = p.at + p.len;
	return 0;
}

static int add_all(struct mapping *m, struct btrfs_search *s, struct err *e)
{
	struct btrfs_found i;
	int got;

	while ((got = btrfs_search_next(s, &i)) == 1)
		if (is_cancelled(m, e) || add_item(m, &i, e) < 0)
			return -1;
	if (got != 0)
		return err_sys(e, "cannot learn where it lies");
	return add_holes(m, m->size, e);
}

static int make_map(struct mapping *m, const struct block_map_head *h,
		    struct err *e)
{
	const struct btrfs_range range = {
		.from = { h->inode, BTRFS_EXTENT_DATA_KEY, 0 },
		.to = { h->inode, BTRFS_EXTENT_DATA_KEY, UINT64_MAX },
	};
	struct btrfs_search s;
	int failed;

	if (block_map_new(NULL, h, &m->map, e) < 0)
		return -1;
	if (btrfs_search_begin(&s, m->fd, &range, BTRFS_TREE_MANY) < 0)
		failed = err_sys(e, "cannot learn where it lies");
	else
		failed = add_all(m, &s, e);
	btrfs_search_end(&s);
	return failed < 0 ? -1 : block_map_end(m->map, e);
}

int block_btrfs_map(int fd, uint64_t size, struct object_id snapshot,
		    const atomic_bool *cancel, struct block_map **ret,
		    struct err *e)
{
	struct block_map_head h = { .snapshot = snapshot, .size = size };
	struct mapping m = { .fd = fd, .size = size, .cancel = cancel };

	if (!identify(fd, &h) || !read_inode(fd, h.inode, &h.generation))
		return 0;
	if (commit(fd, &h.transid, e) < 0)
		return -1;
	/* Its item may have been behind what was going on. */
	if (!read_inode(fd, h.inode, &h.generation))
		return 0;
	if (make_map(&m, &h, e) < 0) {
		block_map_free(m.map);
		return -1;
	}
	*ret = m.map;
	return 1;
}
