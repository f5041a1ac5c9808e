#include "storage/sources/block_btrfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"

/* Answers of a search at a time: about 3000 items, and one. */
#define ANSWER_BYTES ((size_t)256 << 10)
#define SINGLE_BYTES ((size_t)4 << 10)
/* Flags of an inode, in its item: see fs/btrfs/btrfs_inode.h. */
#define INODE_NODATASUM ((uint64_t)1 << 0)
#define INODE_NODATACOW ((uint64_t)1 << 1)
/* Longer than a clock's tick anywhere. */
#define TICK_MS 20

/* A search through a tree of the file system, item by item. */
struct search {
	int fd;
	struct btrfs_ioctl_search_key key; /* of the next answer */
	uint8_t *answer;		   /* with room for so much */
	size_t room;
	struct cursor left;
	uint32_t items; /* left in the answer */
};

struct item {
	uint64_t transid;
	uint64_t offset;
	struct cursor bytes;
};

/*
 * An answer lies behind its question.  The struct's end is an array that the
 * kernel fills, which is why both are one block of bytes.
 */
static int ask(struct search *s)
{
	struct btrfs_ioctl_search_args_v2 *a =
		(struct btrfs_ioctl_search_args_v2 *)(void *)s->answer;

	memset(a, 0, sizeof(*a));
	a->key = s->key;
	a->key.nr_items = UINT32_MAX;
	a->buf_size = s->room;
	if (ioctl(s->fd, BTRFS_IOC_TREE_SEARCH_V2, a) < 0)
		return -1;
	s->left = cursor_of(s->answer + sizeof(*a), s->room);
	s->items = a->key.nr_items;
	return 0;
}

/* Items of one object and type, all of them or that of one offset. */
static int search_begin(struct search *s, int fd, uint64_t tree,
			uint64_t object, uint32_t type, const uint64_t *only)
{
	const size_t room = only ? SINGLE_BYTES : ANSWER_BYTES;

	*s = (struct search){
		.fd = fd,
		.key = { .tree_id = tree,
			 .min_objectid = object,
			 .max_objectid = object,
			 .min_type = type,
			 .max_type = type,
			 .min_offset = only ? *only : 0,
			 .max_offset = only ? *only : UINT64_MAX,
			 .max_transid = UINT64_MAX },
		.answer = malloc(sizeof(struct btrfs_ioctl_search_args_v2) +
				 room),
		.room = room,
	};
	if (!s->answer) {
		errno = ENOMEM;
		return -1;
	}
	return ask(s);
}

static void search_end(struct search *s)
{
	free(s->answer);
	s->answer = NULL;
}

/* 1, 0 when there are no more, -1 and errno. */
static int search_next(struct search *s, struct item *ret)
{
	struct btrfs_ioctl_search_header h;

	if (s->items == 0)
		return 0;
	cursor_copy(&s->left, &h, sizeof(h));
	*ret = (struct item){ .transid = h.transid,
			      .offset = h.offset,
			      .bytes = cursor_sub(&s->left, h.len) };
	if (s->left.bad || h.objectid != s->key.min_objectid ||
	    h.type != s->key.min_type || h.offset < s->key.min_offset ||
	    h.offset > s->key.max_offset) {
		errno = EPROTO;
		return -1;
	}
	s->items--;
	return 1;
}

/* When an answer is used up: ask for what comes behind its last item. */
static int search_go_on(struct search *s, uint64_t last)
{
	if (s->items > 0)
		return 0;
	if (last >= s->key.max_offset)
		return 0;
	s->key.min_offset = last + 1;
	return ask(s);
}

/* The only item of that key: 1, 0, -1 and errno. */
static int find_item(int fd, uint64_t tree, uint64_t object, uint32_t type,
		     uint64_t offset, uint8_t *out, size_t n)
{
	struct search s;
	struct item i;
	int got = search_begin(&s, fd, tree, object, type, &offset);

	if (got == 0)
		got = search_next(&s, &i);
	if (got == 1) {
		cursor_copy(&i.bytes, out, n);
		got = i.bytes.bad ? 0 : 1;
	}
	search_end(&s);
	return got;
}

bool block_btrfs_allocated(int fd, uint64_t disk, uint64_t disk_len,
			   uint64_t *ret)
{
	uint8_t bytes[sizeof(struct btrfs_extent_item)];
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	if (find_item(fd, BTRFS_EXTENT_TREE_OBJECTID, disk,
		      BTRFS_EXTENT_ITEM_KEY, disk_len, bytes,
		      sizeof(bytes)) != 1)
		return false;
	(void)cursor_u64(&c); /* references */
	*ret = cursor_u64(&c);
	return cursor_u64(&c) & BTRFS_EXTENT_FLAG_DATA && !c.bad;
}

/* ---- Which image, in which state ---------------------------------------- */

static int read_boot(uint8_t out[16])
{
	CLEANUP(file_close)
	const int fd = open("/proc/sys/kernel/random/boot_id",
			    O_RDONLY | O_CLOEXEC);
	char text[36];
	char digits[33] = "";
	size_t n = 0;

	if (fd < 0 || file_read(fd, text, sizeof(text)) != sizeof(text))
		return -1;
	for (size_t i = 0; i < sizeof(text); i++) {
		if (text[i] == '-')
			continue;
		if (n == sizeof(digits) - 1)
			return -1;
		digits[n++] = text[i];
	}
	return text_unhex(digits, 16, out) ? 0 : -1;
}

/* The number of the folder that the kernel makes for it when it is mounted. */
static int read_mounting(const uint8_t fs[16], uint64_t *ret)
{
	char path[64] = "/sys/fs/btrfs/";
	size_t n = strlen(path);
	struct stat st;

	for (size_t i = 0; i < 16; i++) {
		const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-"
									 : "";

		n += (size_t)snprintf(path + n, sizeof(path) - n, "%s%02x",
				      dash, fs[i]);
	}
	if (stat(path, &st) < 0)
		return -1;
	*ret = st.st_ino;
	return 0;
}

/* Whether its data is never written in place; its generation. */
static bool read_inode(int fd, uint64_t inode, uint64_t *ret_generation)
{
	uint8_t bytes[sizeof(struct btrfs_inode_item)];
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	const size_t before_flags = offsetof(struct btrfs_inode_item, flags) -
				    sizeof(uint64_t);
	int attributes = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &attributes) < 0 ||
	    attributes & FS_NOCOW_FL ||
	    find_item(fd, 0, inode, BTRFS_INODE_ITEM_KEY, 0, bytes,
		      sizeof(bytes)) != 1)
		return false;
	*ret_generation = cursor_u64(&c);
	(void)cursor_bytes(&c, before_flags);
	return !(cursor_u64(&c) & (INODE_NODATACOW | INODE_NODATASUM)) &&
	       !c.bad;
}

/* Which file it is, if it is one of which something can be said. */
static bool identify(int fd, struct block_map_head *h)
{
	struct btrfs_ioctl_fs_info_args info = { 0 };
	struct btrfs_ioctl_ino_lookup_args lookup = {
		.objectid = BTRFS_FIRST_FREE_OBJECTID
	};
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 ||
	    (unsigned long)fs.f_type != BTRFS_SUPER_MAGIC ||
	    fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0 ||
	    ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) < 0)
		return false;
	memcpy(h->file_system, info.fsid, sizeof(h->file_system));
	h->tree = lookup.treeid;
	h->inode = st.st_ino;
	return read_boot(h->boot) == 0 &&
	       read_mounting(h->file_system, &h->mounting) == 0;
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
	return memcmp(then->file_system, now->file_system,
		      sizeof(now->file_system)) == 0 &&
	       memcmp(then->boot, now->boot, sizeof(now->boot)) == 0 &&
	       then->mounting == now->mounting && then->transid != 0 &&
	       then->transid <= now->transid;
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
static bool parse_piece(const struct item *i, struct block_piece *ret)
{
	struct cursor c = i->bytes;
	uint8_t encryption;
	uint16_t other;
	uint8_t type;

	(void)cursor_u64(&c); /* generation */
	(void)cursor_u64(&c); /* bytes in memory */
	*ret = (struct block_piece){ .at = i->offset, .transid = i->transid };
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
static int add_item(struct mapping *m, const struct item *i, struct err *e)
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

static int add_all(struct mapping *m, struct search *s, struct err *e)
{
	struct item i;
	int got;

	while ((got = search_next(s, &i)) == 1) {
		if (is_cancelled(m, e) || add_item(m, &i, e) < 0)
			return -1;
		if (search_go_on(s, i.offset) < 0)
			break;
	}
	if (got != 0)
		return err_sys(e, "cannot learn where it lies");
	return add_holes(m, m->size, e);
}

static int make_map(struct mapping *m, const struct block_map_head *h,
		    struct err *e)
{
	struct search s;
	int failed;

	if (block_map_new(NULL, h, &m->map, e) < 0)
		return -1;
	if (search_begin(&s, m->fd, 0, h->inode, BTRFS_EXTENT_DATA_KEY, NULL) <
	    0)
		failed = err_sys(e, "cannot learn where it lies");
	else
		failed = add_all(m, &s, e);
	search_end(&s);
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
