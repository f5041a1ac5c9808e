#include "storage/sources/btrfs_memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/seam.h"
#include "storage/repository/hash.h"
#include "storage/sources/btrfs_changes.h"
#include "storage/sources/kept.h"

#define MAGIC	   "snapseen"
#define BODY_BYTES ((size_t)8 + 16 + 16 + 16 + 8 + 16 + 8 + BTRFS_RULES_BYTES)
#define FILE_BYTES (BODY_BYTES + HASH_SIZE)

static const uint8_t label[KEYS_SIZE] = "snapctl: a subvolume seen, v1";

/* What a file says. */
struct seen {
	struct object_id snapshot;
	struct btrfs_moment moment;
	uint8_t rules[BTRFS_RULES_BYTES];
};

struct btrfs_memory {
	struct kept kept;
	struct files_known known;
	const struct btrfs_snapshot *read; /* NULL: nothing is to be said */
	const atomic_bool *cancel;
	struct seen now;
	bool is_told; /* all of now is set */
	struct object_id parent;
	struct btrfs_changes *changes; /* NULL: unknown */
	uint64_t device;
};

/* ---- Files -------------------------------------------------------------- */

static int add_checksum(struct buf *b, struct err *e)
{
	CLEANUP(hash_free) struct hash *h = NULL;
	uint8_t sum[HASH_SIZE];

	return hash_new(label, &h, e) < 0 ||
			       hash_bytes(h, b->data, b->len, sum, e) < 0
		       ? -1
		       : buf_add(b, sum, sizeof(sum), e);
}

static int encode(const struct seen *s, struct buf *b, struct err *e)
{
	const struct btrfs_moment *m = &s->moment;
	const struct btrfs_mounting *on = &m->mounting;

	return buf_add_str(b, MAGIC, e) < 0 ||
			       buf_add(b, s->snapshot.b, sizeof(s->snapshot.b),
				       e) < 0 ||
			       buf_add(b, on->file_system,
				       sizeof(on->file_system), e) < 0 ||
			       buf_add(b, on->boot, sizeof(on->boot), e) < 0 ||
			       buf_add_u64(b, on->number, e) < 0 ||
			       buf_add(b, m->subvolume, sizeof(m->subvolume),
				       e) < 0 ||
			       buf_add_u64(b, m->generation, e) < 0 ||
			       buf_add(b, s->rules, sizeof(s->rules), e) < 0
		       ? -1
		       : add_checksum(b, e);
}

/* False for anything but what encode() writes. */
static bool decode(const uint8_t bytes[FILE_BYTES], struct seen *ret)
{
	CLEANUP(buf_done) struct buf again;
	struct cursor c = cursor_of(bytes, FILE_BYTES);
	struct btrfs_moment *m = &ret->moment;
	struct err ignored = { 0 };

	(void)cursor_bytes(&c, strlen(MAGIC));
	cursor_copy(&c, ret->snapshot.b, sizeof(ret->snapshot.b));
	cursor_copy(&c, m->mounting.file_system,
		    sizeof(m->mounting.file_system));
	cursor_copy(&c, m->mounting.boot, sizeof(m->mounting.boot));
	m->mounting.number = cursor_u64(&c);
	cursor_copy(&c, m->subvolume, sizeof(m->subvolume));
	m->generation = cursor_u64(&c);
	cursor_copy(&c, ret->rules, sizeof(ret->rules));
	buf_init(&again, FILE_BYTES);
	return !c.bad && encode(ret, &again, &ignored) == 0 &&
	       again.len == FILE_BYTES &&
	       memcmp(again.data, bytes, FILE_BYTES) == 0;
}

static bool load(const struct btrfs_memory *m, struct object_id snapshot,
		 struct seen *ret)
{
	CLEANUP(file_close) int folder = -1;
	CLEANUP(file_close) int fd = -1;
	uint8_t bytes[FILE_BYTES + 1];
	char name[KEPT_NAME_BYTES];
	struct err ignored = { 0 };

	folder = kept_open(&m->kept, &ignored);
	if (folder < 0)
		return false;
	kept_name(&m->kept, snapshot, name);
	fd = openat(folder, name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	return fd >= 0 &&
	       file_read(fd, bytes, sizeof(bytes)) == (ssize_t)FILE_BYTES &&
	       decode(bytes, ret) && object_id_equal(ret->snapshot, snapshot);
}

static int save(const struct seen *s, int folder, const char *name,
		struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;
	CLEANUP(file_close) int fd = -1;
	char temporary[KEPT_NAME_BYTES + 4];

	buf_init(&bytes, FILE_BYTES);
	if (encode(s, &bytes, e) < 0)
		return -1;
	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	fd = seam_open(folder, temporary,
		       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		       0600);
	if (fd >= 0 && seam_pwrite(fd, bytes.data, bytes.len, 0) == 0 &&
	    seam_rename(folder, temporary, folder, name, 0) == 0)
		return 0;
	(void)err_sys(e, "cannot keep of which moment a subvolume's snapshot "
			 "is");
	if (fd >= 0)
		(void)!seam_unlink(folder, temporary, 0);
	return -1;
}

/* ---- What the files source asks ----------------------------------------- */

static void forget(struct btrfs_memory *m)
{
	btrfs_changes_free(m->changes);
	m->changes = NULL;
	m->is_told = false;
	m->parent = (struct object_id){ { 0 } };
}

static bool is_comparable(const struct seen *then, const struct seen *now)
{
	return btrfs_mounting_same(&then->moment.mounting,
				   &now->moment.mounting) &&
	       memcmp(then->moment.subvolume, now->moment.subvolume,
		      sizeof(now->moment.subvolume)) == 0 &&
	       then->moment.generation != 0 &&
	       then->moment.generation < now->moment.generation &&
	       memcmp(then->rules, now->rules, sizeof(now->rules)) == 0;
}

static void begin(void *arg, const struct object_id *parent,
		  struct object_id own)
{
	struct btrfs_memory *m = arg;
	struct err ignored = { 0 };
	struct seen then;

	forget(m);
	m->now.snapshot = own;
	m->is_told = btrfs_snapshot_moment(m->read, &m->now.moment);
	if (!m->is_told || !parent)
		return;
	m->parent = *parent;
	if (!load(m, *parent, &then) || !is_comparable(&then, &m->now))
		return;
	m->device = m->now.moment.device;
	if (btrfs_changes_find(m->now.moment.fd, then.moment.generation,
			       m->now.moment.folder, m->cancel, &m->changes,
			       &ignored) != 1)
		m->changes = NULL;
}

static bool same_below(void *arg, const struct files_identity *folder)
{
	const struct btrfs_memory *m = arg;

	/* Inodes of less are no folders of the subvolume's. */
	return m->changes && folder->dev == m->device &&
	       folder->ino >= BTRFS_SUBVOLUME_ROOT &&
	       !btrfs_changes_below(m->changes, folder->ino);
}

/* ---- From outside ------------------------------------------------------- */

int btrfs_memory_new(const char *cache, const char *path,
		     struct btrfs_memory **ret, struct err *e)
{
	struct btrfs_memory *m = calloc(1, sizeof(*m));

	if (!m)
		return err_oom(e);
	if (kept_init(&m->kept, cache, "btrfs", ".gen", path, e) < 0) {
		btrfs_memory_free(m);
		return -1;
	}
	m->known = (struct files_known){ begin, same_below, m };
	*ret = m;
	return 0;
}

void btrfs_memory_free(struct btrfs_memory *m)
{
	if (!m)
		return;
	forget(m);
	kept_done(&m->kept);
	free(m);
}

const struct files_known *btrfs_memory_known(
	struct btrfs_memory *m, const struct btrfs_snapshot *s,
	const uint8_t rules[BTRFS_RULES_BYTES], const atomic_bool *cancel)
{
	forget(m);
	m->read = s;
	m->cancel = cancel;
	memcpy(m->now.rules, rules, sizeof(m->now.rules));
	return &m->known;
}

int btrfs_memory_save(struct btrfs_memory *m, struct err *e)
{
	CLEANUP(file_close) int folder = -1;
	char name[KEPT_NAME_BYTES];

	if (!m->is_told)
		return 0;
	folder = kept_make(&m->kept, e);
	if (folder < 0)
		return -1;
	kept_name(&m->kept, m->now.snapshot, name);
	if (save(&m->now, folder, name, e) < 0)
		return -1;
	kept_drop_old(&m->kept, folder, m->now.snapshot, m->parent);
	return 0;
}
