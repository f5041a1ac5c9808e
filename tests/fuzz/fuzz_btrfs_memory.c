/*
 * The file that tells of which moment a subvolume's snapshot was.  Of the 120
 * bytes before its checksum, which is mended, any may be anything; only one
 * that was written as ours, of this snapshot, mounting, subvolume and rules,
 * and of an earlier moment, has anybody asked what changed since.
 */
#include "storage/repository/hash.h"
#include "storage/sources/btrfs_changes.h"
#include "storage/sources/btrfs_memory.h"
#include "storage/sources/kept.h"
#include "tests/support/fuzz_folder.h"

#define BODY	   120
#define FILE_BYTES (BODY + HASH_SIZE)

static uint64_t since; /* what was asked for, or 0 */

static void fill(struct btrfs_moment *m)
{
	memset(m, 0, sizeof(*m));
	memset(m->mounting.file_system, 0x11, 16);
	memset(m->mounting.boot, 0x22, 16);
	m->mounting.number = 0x33;
	memset(m->subvolume, 0x44, 16);
	m->generation = 1000;
}

bool __wrap_btrfs_snapshot_moment(const struct btrfs_snapshot *s,
				  struct btrfs_moment *ret);
bool __wrap_btrfs_snapshot_moment(const struct btrfs_snapshot *s,
				  struct btrfs_moment *ret)
{
	(void)s;
	fill(ret);
	return true;
}

int __wrap_btrfs_changes_find(int fd, uint64_t then, uint64_t folder,
			      const atomic_bool *cancel,
			      struct btrfs_changes **ret, struct err *e);
int __wrap_btrfs_changes_find(int fd, uint64_t then, uint64_t folder,
			      const atomic_bool *cancel,
			      struct btrfs_changes **ret, struct err *e)
{
	(void)fd;
	(void)folder;
	(void)cancel;
	(void)ret;
	(void)e;
	since = then;
	return 0;
}

int __wrap_kept_open(const struct kept *k, struct err *e);
int __wrap_kept_open(const struct kept *k, struct err *e)
{
	const int fd = dup(fuzz_folder());

	(void)k;
	(void)e;
	FUZZ_PROMISE(fd >= 0);
	return fd;
}

static void mend(uint8_t file[FILE_BYTES])
{
	static const uint8_t label[KEYS_SIZE] = "snapctl: a subvolume seen, v1";
	CLEANUP(hash_free) struct hash *h = NULL;
	struct err e;

	FUZZ_PROMISE(hash_new(label, &h, &e) == 0);
	FUZZ_PROMISE(hash_bytes(h, file, BODY, file + BODY, &e) == 0);
}

/* As btrfs_memory.h has it. */
static bool is_ours(const uint8_t *file, const struct object_id *parent,
		    const uint8_t *rules, uint64_t *ret_generation)
{
	struct btrfs_moment m;
	uint64_t generation = 0;

	fill(&m);
	for (unsigned int i = 0; i < 8; i++)
		generation |= (uint64_t)file[80 + i] << (8 * i);
	*ret_generation = generation;
	return memcmp(file, "snapseen", 8) == 0 &&
	       memcmp(file + 8, parent->b, 16) == 0 &&
	       memcmp(file + 24, m.mounting.file_system, 16) == 0 &&
	       memcmp(file + 40, m.mounting.boot, 16) == 0 &&
	       file[56] == 0x33 &&
	       memcmp(file + 57, "\0\0\0\0\0\0\0", 7) == 0 &&
	       memcmp(file + 64, m.subvolume, 16) == 0 &&
	       memcmp(file + 88, rules, BTRFS_RULES_BYTES) == 0 &&
	       generation > 0 && generation < m.generation;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(btrfs_memory_free) struct btrfs_memory *m = NULL;
	static const uint8_t rules[BTRFS_RULES_BYTES] = { 0x55 };
	const struct object_id parent = { { 0x66 } };
	const struct object_id own = { { 0x77 } };
	uint8_t file[FILE_BYTES + 1] = { 0 };
	const struct files_known *known;
	char name[KEPT_NAME_BYTES];
	struct kept k;
	uint64_t generation;
	static uint64_t nobody;
	struct err e;
	size_t len = n < sizeof(file) ? n : sizeof(file);

	memcpy(file, bytes, len);
	if (n >= BODY && n <= FILE_BYTES) {
		mend(file);
		len = FILE_BYTES;
	}
	since = 0;
	FUZZ_PROMISE(kept_init(&k, "/x", "btrfs", ".gen", "/v", &e) == 0);
	kept_name(&k, parent, name);
	kept_done(&k);
	fuzz_folder_put(name, file, len);
	FUZZ_PROMISE(btrfs_memory_new("/x", "/v", &m, &e) == 0);
	known = btrfs_memory_known(
		m, (const struct btrfs_snapshot *)(void *)&nobody, rules, NULL);
	known->begin(known->arg, &parent, own);
	FUZZ_PROMISE((since != 0) ==
		     (len == FILE_BYTES &&
		      is_ours(file, &parent, rules, &generation)));
	FUZZ_PROMISE(since == 0 || since == generation);
	return 0;
}
