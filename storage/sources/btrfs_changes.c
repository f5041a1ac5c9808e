#include "storage/sources/btrfs_changes.h"

#include <errno.h>
#include <linux/btrfs_tree.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/sources/btrfs_tree.h"

/* Leaves that were only moved, by a balance, are read too. */
#define ITEMS_MAX 20000000

/* 16 MiB of them: an inode may have many names, each of them deep. */
#define FOLDERS_MAX 1000000

/* Deeper than any path leads: a folder that seems to lie in itself. */
#define DEPTH_MAX 4096

/*
 * Folders, by their inodes, as a table with open addressing; 0 is no inode.
 * Numbers are given in order by the kernel, so multiplying spreads them well.
 */
struct btrfs_changes {
	uint64_t *slots;
	size_t mask; /* their number, a power of two, less one */
	size_t used;
	uint64_t inodes; /* that changed */
};

/* An inode whose names are being found. */
struct changed {
	uint64_t inode;
	uint32_t links;
	uint32_t found;
};

struct survey {
	struct btrfs_changes *c;
	int fd;
	uint64_t since;
	uint64_t ignored;
	const atomic_bool *cancel;
	uint64_t items;
	struct changed at; /* inode 0: none */
};

/* Outcomes besides 0, "go on". */
enum { UNTOLD = 1, FAILED = -1 };

/* ---- The set ------------------------------------------------------------ */

static size_t slot_of(const struct btrfs_changes *c, uint64_t inode)
{
	size_t i = (size_t)((inode * UINT64_C(0x9e3779b97f4a7c15)) >> 20) &
		   c->mask;

	while (c->slots[i] && c->slots[i] != inode)
		i = (i + 1) & c->mask;
	return i;
}

static int set_size(struct btrfs_changes *c, size_t slots)
{
	struct btrfs_changes old = *c;

	c->slots = calloc(slots, sizeof(*c->slots));
	if (!c->slots) {
		c->slots = old.slots;
		errno = ENOMEM;
		return FAILED;
	}
	c->mask = slots - 1;
	for (size_t i = 0; old.slots && i <= old.mask; i++)
		if (old.slots[i])
			c->slots[slot_of(c, old.slots[i])] = old.slots[i];
	free(old.slots);
	return 0;
}

static int add(struct btrfs_changes *c, uint64_t inode)
{
	if (c->used == FOLDERS_MAX)
		return UNTOLD;
	if (2 * (c->used + 1) > c->mask && set_size(c, 2 * (c->mask + 1)) < 0)
		return FAILED;
	c->slots[slot_of(c, inode)] = inode;
	c->used++;
	return 0;
}

bool btrfs_changes_below(const struct btrfs_changes *c, uint64_t inode)
{
	return c->slots[slot_of(c, inode)] == inode;
}

uint64_t btrfs_changes_count(const struct btrfs_changes *c)
{
	return c->inodes;
}

void btrfs_changes_free(struct btrfs_changes *c)
{
	if (!c)
		return;
	free(c->slots);
	free(c);
}

static struct btrfs_changes *changes_new(void)
{
	struct btrfs_changes *c = calloc(1, sizeof(*c));

	if (c && set_size(c, 1024) < 0) {
		free(c);
		return NULL;
	}
	return c;
}

/* ---- From an inode to the folders above it ------------------------------ */

/* The folder that a folder is in: it has one name. */
static int folder_above(const struct survey *s, uint64_t inode, uint64_t *ret)
{
	const struct btrfs_range range = {
		.from = { inode, BTRFS_INODE_REF_KEY, 0 },
		.to = { inode, BTRFS_INODE_REF_KEY, UINT64_MAX },
	};
	struct btrfs_search search;
	struct btrfs_found item = { 0 };
	int got = btrfs_search_begin(&search, s->fd, &range, BTRFS_TREE_FEW);

	if (got == 0)
		got = btrfs_search_next(&search, &item);
	btrfs_search_end(&search);
	if (got == 1)
		*ret = item.key.offset;
	return got == 1 ? 0 : got < 0 ? FAILED : UNTOLD;
}

/* A folder and those above it, up to the first that is known. */
static int mark(struct survey *s, uint64_t folder)
{
	for (unsigned int i = 0; i < DEPTH_MAX; i++) {
		int status;

		if (folder < BTRFS_SUBVOLUME_ROOT)
			return UNTOLD;
		if (btrfs_changes_below(s->c, folder))
			return 0;
		status = add(s->c, folder);
		if (status || folder == BTRFS_SUBVOLUME_ROOT)
			return status;
		status = folder_above(s, folder, &folder);
		if (status)
			return status;
	}
	return UNTOLD;
}

/* The folder of each name in an item that holds names of an inode. */
static int mark_names(struct survey *s, struct btrfs_found *item)
{
	struct cursor *c = &item->bytes;
	const bool extended = item->key.type == BTRFS_INODE_EXTREF_KEY;

	while (c->left > 0) {
		const uint64_t folder = extended ? cursor_u64(c)
						 : item->key.offset;
		int status;

		(void)cursor_u64(c); /* its place in the folder */
		(void)cursor_bytes(c, cursor_u16(c));
		if (c->bad)
			return UNTOLD;
		s->at.found++;
		status = mark(s, folder);
		if (status)
			return status;
	}
	return 0;
}

/* All its names, also from leaves that are older. */
static int find_names(struct survey *s)
{
	const struct btrfs_range range = {
		.from = { s->at.inode, BTRFS_INODE_REF_KEY, 0 },
		.to = { s->at.inode, BTRFS_INODE_EXTREF_KEY, UINT64_MAX },
	};
	struct btrfs_search search;
	struct btrfs_found item;
	int status = btrfs_search_begin(&search, s->fd, &range,
					(size_t)64 << 10);

	s->at.found = 0;
	while (status == 0) {
		const int got = btrfs_search_next(&search, &item);

		if (got <= 0) {
			status = got;
			break;
		}
		status = mark_names(s, &item);
	}
	btrfs_search_end(&search);
	if (status == 0 && s->at.found != s->at.links)
		return UNTOLD;
	return status;
}

/* No more is heard of the inode that changed last. */
static int leave_inode(struct survey *s)
{
	int status = 0;

	if (s->at.inode && s->at.found < s->at.links)
		status = find_names(s);
	s->at.inode = 0;
	return status;
}

/* ---- What changed ------------------------------------------------------- */

static int take_inode(struct survey *s, struct btrfs_found *item)
{
	struct cursor *c = &item->bytes;
	uint64_t transid;
	uint32_t mode;

	(void)cursor_u64(c); /* the generation that it was made in */
	transid = cursor_u64(c);
	(void)cursor_bytes(c, 3 * sizeof(uint64_t)); /* sizes, a group */
	s->at = (struct changed){ .inode = item->key.object,
				  .links = cursor_u32(c) };
	(void)cursor_bytes(c, 2 * sizeof(uint32_t)); /* owners */
	mode = cursor_u32(c);
	if (c->bad)
		return UNTOLD;
	if (transid < s->since || s->at.links == 0 ||
	    s->at.inode == s->ignored) {
		s->at.inode = 0;
		return 0;
	}
	if (++s->c->inodes > BTRFS_CHANGES_MAX)
		return UNTOLD;
	if (!S_ISDIR(mode))
		return 0;
	/* With it those above, so its name need not be found. */
	s->at.inode = 0;
	return mark(s, item->key.object);
}

static int take_item(struct survey *s, struct btrfs_found *item)
{
	if (item->key.object != s->at.inode ||
	    item->key.type > BTRFS_INODE_EXTREF_KEY) {
		const int status = leave_inode(s);

		if (status)
			return status;
	}
	if (item->key.type == BTRFS_INODE_ITEM_KEY)
		return take_inode(s, item);
	return s->at.inode ? mark_names(s, item) : 0;
}

static int look_through(struct survey *s)
{
	const struct btrfs_range range = {
		.from = { BTRFS_SUBVOLUME_ROOT, 0, 0 },
		.to = { BTRFS_LAST_FREE_OBJECTID, UINT8_MAX, UINT64_MAX },
		.since = s->since,
	};
	struct btrfs_search search;
	struct btrfs_found item;
	int status = btrfs_search_begin(&search, s->fd, &range,
					BTRFS_TREE_MANY);

	while (status == 0) {
		const int got = btrfs_search_next(&search, &item);

		if (got <= 0) {
			status = got;
			break;
		}
		if (++s->items > ITEMS_MAX ||
		    (s->cancel && atomic_load(s->cancel))) {
			status = UNTOLD;
			break;
		}
		status = take_item(s, &item);
	}
	btrfs_search_end(&search);
	return status ? status : leave_inode(s);
}

int btrfs_changes_find(int fd, uint64_t since, uint64_t ignored,
		       const atomic_bool *cancel, struct btrfs_changes **ret,
		       struct err *e)
{
	struct survey s = { .c = changes_new(),
			    .fd = fd,
			    .since = since,
			    .ignored = ignored,
			    .cancel = cancel };
	int status;

	if (!s.c)
		return err_oom(e);
	status = look_through(&s);
	if (status == 0) {
		*ret = s.c;
		return 1;
	}
	if (status < 0)
		(void)err_sys(e, "cannot ask btrfs what has changed");
	btrfs_changes_free(s.c);
	return status < 0 ? -1 : 0;
}
