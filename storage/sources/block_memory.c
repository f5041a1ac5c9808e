#include "storage/sources/block_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/repository/hash.h"
#include "storage/sources/block_btrfs.h"
#include "storage/sources/block_same.h"

/* Of the path, in front of a map's name. */
#define MARK_BYTES 8
#define MARK_TEXT  (2 * MARK_BYTES + 1)
#define NAME_BYTES (MARK_TEXT - 1 + OBJECT_ID_TEXT - 1 + sizeof("-.map"))
/* Entries of the folder that are looked at. */
#define ENTRIES_MAX 100000

static const uint8_t label[KEYS_SIZE] = "snapctl: path of an image, v1";

struct block_memory {
	char *folder;
	char mark[MARK_TEXT];
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

static int make_mark(const char *path, char out[MARK_TEXT], struct err *e)
{
	CLEANUP(hash_free) struct hash *h = NULL;
	uint8_t bytes[HASH_SIZE];

	if (hash_new(label, &h, e) < 0 ||
	    hash_bytes(h, path, strlen(path), bytes, e) < 0)
		return -1;
	text_hex(bytes, MARK_BYTES, out);
	return 0;
}

int block_memory_new(const char *folder, const char *path,
		     struct block_memory **ret, struct err *e)
{
	struct block_memory *m = calloc(1, sizeof(*m));

	if (!m)
		return err_oom(e);
	m->fd = -1;
	m->folder = strdup(folder);
	if (m->folder ? make_mark(path, m->mark, e) < 0 : err_oom(e) < 0) {
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
	free(m->folder);
	free(m);
}

static void map_name(const struct block_memory *m, struct object_id snapshot,
		     char out[NAME_BYTES])
{
	char id[OBJECT_ID_TEXT];

	object_id_format(snapshot, id);
	(void)snprintf(out, NAME_BYTES, "%s-%s.map", m->mark, id);
}

/* Nobody else's folder: what another could have written is no proof. */
static int open_folder(const struct block_memory *m, struct err *e)
{
	CLEANUP(file_close)
	int fd = open(m->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "cannot open the folder %s",
			       text_quote_str(m->folder).s);
	if (st.st_uid != geteuid() || st.st_mode & 022)
		return err_set(e, ERR_DENIED,
			       "others can write to the folder %s",
			       text_quote_str(m->folder).s);
	return TAKE_FD(fd);
}

static struct block_map *load(const struct block_memory *m,
			      struct object_id snapshot)
{
	CLEANUP(file_close) int folder = -1;
	struct block_map *map = NULL;
	char name[NAME_BYTES];
	struct err ignored = { 0 };

	folder = open_folder(m, &ignored);
	if (folder < 0)
		return NULL;
	map_name(m, snapshot, name);
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

/* ---- Keeping ------------------------------------------------------------ */

struct old_map {
	char name[NAME_BYTES];
	struct timespec written;
};

static bool is_newer(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec
				    : a.tv_nsec > b.tv_nsec;
}

/* Among the newest, newest first; what falls out at the end is dropped. */
static void sift(int folder, struct old_map kept[BLOCK_MEMORY_KEPT],
		 const struct old_map *o)
{
	struct old_map in_hand = *o;

	for (size_t i = 0; i < BLOCK_MEMORY_KEPT && in_hand.name[0]; i++)
		if (!kept[i].name[0] ||
		    is_newer(in_hand.written, kept[i].written)) {
			const struct old_map out = kept[i];

			kept[i] = in_hand;
			in_hand = out;
		}
	if (in_hand.name[0])
		(void)!seam_unlink(folder, in_hand.name, 0);
}

/* Also what a killed one left half-written, an hour ago or more: what is
 * younger may be another's who writes it now. */
static void drop_old(const struct block_memory *m, int folder)
{
	struct old_map kept[BLOCK_MEMORY_KEPT] = { 0 };
	const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char own[NAME_BYTES];
	char parent[NAME_BYTES];
	const struct dirent *en;

	if (!d) {
		file_close(fd);
		return;
	}
	map_name(m, block_map_head(m->now)->snapshot, own);
	map_name(m, m->parent, parent);
	for (size_t i = 0; i < ENTRIES_MAX && (en = readdir(d)); i++) {
		struct old_map o = { 0 };
		struct stat st;

		if (strncmp(en->d_name, m->mark, MARK_TEXT - 1) != 0 ||
		    strcmp(en->d_name, own) == 0 ||
		    strcmp(en->d_name, parent) == 0 ||
		    fstatat(folder, en->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (strlen(en->d_name) != NAME_BYTES - 1) {
			if (clock_now().sec - st.st_mtim.tv_sec > 3600)
				(void)!seam_unlink(folder, en->d_name, 0);
			continue;
		}
		(void)snprintf(o.name, sizeof(o.name), "%s", en->d_name);
		o.written = st.st_mtim;
		sift(folder, kept, &o);
	}
	(void)closedir(d);
}

int block_memory_save(struct block_memory *m, struct err *e)
{
	CLEANUP(file_close) int folder = -1;
	char name[NAME_BYTES];

	if (!m->is_good)
		return 0;
	if (file_make_folders(m->folder, 0700, e) < 0)
		return -1;
	folder = open_folder(m, e);
	if (folder < 0)
		return -1;
	map_name(m, block_map_head(m->now)->snapshot, name);
	if (block_map_save(m->now, folder, name, e) < 0)
		return -1;
	drop_old(m, folder);
	return seam_sync_dir(folder) ? err_sys(e, "cannot keep the map of an "
						  "image")
				     : 0;
}
