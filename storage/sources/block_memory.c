#include "storage/sources/block_memory.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/seam.h"
#include "storage/sources/block_btrfs.h"
#include "storage/sources/block_same.h"
#include "storage/sources/kept.h"

struct block_memory {
	struct kept kept;
	struct block_map *then;
	struct block_map *now;
	struct block_same same;
	bool is_comparing;
	bool is_good; /* now's map can be saved */
	struct object_id parent;
	int fd;
	const atomic_bool *cancel;
	bool is_same_inode;
	/* The extent that was asked for last. */
	uint64_t disk;
	uint64_t disk_len;
	bool is_old;
};

int block_memory_new(const char *cache, const char *path,
		     struct block_memory **ret, struct err *e)
{
	struct block_memory *m = calloc(1, sizeof(*m));

	if (!m)
		return err_oom(e);
	m->fd = -1;
	if (kept_init(&m->kept, cache, "block", ".map", path, e) < 0) {
		block_memory_free(m);
		return -1;
	}
	*ret = m;
	return 0;
}

static void forget(struct block_memory *m)
{
	block_map_free(m->then);
	block_map_free(m->now);
	m->then = m->now = NULL;
	m->is_comparing = m->is_good = false;
	m->parent = (struct object_id){ { 0 } };
	m->disk = m->disk_len = 0;
	m->fd = -1;
	m->cancel = NULL;
}

void block_memory_free(struct block_memory *m)
{
	if (!m)
		return;
	forget(m);
	kept_done(&m->kept);
	free(m);
}

static struct block_map *load(const struct block_memory *m,
			      struct object_id snapshot)
{
	CLEANUP(file_close) int folder = -1;
	struct block_map *map = NULL;
	char name[KEPT_NAME_BYTES];
	struct err ignored = { 0 };

	folder = kept_open(&m->kept, &ignored);
	if (folder < 0)
		return NULL;
	kept_name(&m->kept, snapshot, name);
	return block_map_open(folder, name, snapshot, &map, &ignored) < 0 ? NULL
									  : map;
}

/* Whether an extent is the one that was there then: see block_btrfs.h. */
static bool proof(void *arg, const struct block_piece *now)
{
	struct block_memory *m = arg;
	const uint64_t then = block_map_head(m->then)->transid;
	uint64_t allocated;

	if (m->cancel && atomic_load(m->cancel))
		return false;
	if (m->is_same_inode && now->transid <= then)
		return true;
	if (now->disk == m->disk && now->disk_len == m->disk_len)
		return m->is_old;
	m->disk = now->disk;
	m->disk_len = now->disk_len;
	m->is_old = block_btrfs_allocated(m->fd, now->disk, now->disk_len,
					  &allocated) &&
		    allocated != 0 && allocated <= then;
	return m->is_old;
}

void block_memory_begin(struct block_memory *m, int fd, uint64_t size,
			const struct object_id *parent, struct object_id own,
			const atomic_bool *cancel)
{
	struct err ignored = { 0 };

	forget(m);
	if (block_btrfs_map(fd, size, own, cancel, &m->now, &ignored) != 1)
		return;
	if (!parent)
		return;
	m->parent = *parent;
	m->then = load(m, *parent);
	if (!m->then || !block_btrfs_comparable(block_map_head(m->then),
						block_map_head(m->now)))
		return;
	m->fd = fd;
	m->cancel = cancel;
	m->is_same_inode = block_btrfs_same_inode(block_map_head(m->then),
						  block_map_head(m->now));
	block_same_init(&m->same, m->then, m->now, proof, m);
	m->is_comparing = true;
}

bool block_memory_same(struct block_memory *m, uint64_t *ret_from,
		       uint64_t *ret_to)
{
	struct err ignored = { 0 };

	if (!m->is_comparing)
		return false;
	m->is_comparing = block_same_next(&m->same, ret_from, ret_to,
					  &ignored) == 1;
	return m->is_comparing;
}

void block_memory_end(struct block_memory *m, bool is_as_it_was)
{
	m->is_comparing = false;
	m->is_good = m->now && is_as_it_was;
	m->fd = -1;
	m->cancel = NULL;
}

int block_memory_save(struct block_memory *m, struct err *e)
{
	CLEANUP(file_close) int folder = -1;
	char name[KEPT_NAME_BYTES];
	struct object_id own;

	if (!m->is_good)
		return 0;
	folder = kept_make(&m->kept, e);
	if (folder < 0)
		return -1;
	own = block_map_head(m->now)->snapshot;
	kept_name(&m->kept, own, name);
	if (block_map_save(m->now, folder, name, e) < 0)
		return -1;
	kept_drop_old(&m->kept, folder, own, m->parent);
	return seam_sync_dir(folder) ? err_sys(e, "cannot keep the map of an "
						  "image")
				     : 0;
}
