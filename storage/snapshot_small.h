/*
 * The contents of small files, by name: private to snapshot*.c.
 */
#ifndef STORAGE_SNAPSHOT_SMALL_H
#define STORAGE_SNAPSHOT_SMALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/hash.h"
#include "storage/repository/keys.h"

/*
 * The contents of this session's small files, by name (snapshot_small.c): each
 * is stored once, whatever its file is called, and its name tells whether a
 * group ends behind it.  Places are kept in an unlinked file.
 *
 * Files below SNAPSHOT_NAMED_MIN are stored each time.  Of 100,000 copies of
 * 3,000 texts (20,000 of 32 bytes), twenty beside each of 5,000 larger files,
 * naming saved 2 bytes a file at 8 bytes, 10 at 16 and 17 at 32, more chunks
 * named in the leaves included; and each name takes 75 to 150 bytes of the
 * unlinked file and half a microsecond.
 */
#define SNAPSHOT_NAMED_MIN 16
struct snapshot_name {
	uint8_t b[HASH_SIZE];
};
struct snapshot_place {
	uint32_t group;
	uint32_t offset;
};

struct snapshot_small;
int snapshot_small_new(const char *scratch, struct snapshot_small **ret,
		       struct err *e) NONNULL(2, 3) MUST_CHECK;
void snapshot_small_free(struct snapshot_small *s);
DEFINE_CLEANUP(struct snapshot_small *, snapshot_small_free);

/* What names are made with; a thread needs one of its own. */
int snapshot_small_hash(const uint8_t cut_key[KEYS_SIZE], struct hash **ret,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
int snapshot_small_name(struct hash *h, const void *data, size_t n,
			struct snapshot_name *ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
/* Whether a group ends behind the n > 0 bytes of that name. */
bool snapshot_small_ends(const struct snapshot_name *name, size_t n) NONNULL(1);
/*
 * 1 when the n bytes of that name were stored before, and place is where; 0
 * when they were not, and are to be stored at the place given.
 */
int snapshot_small_place(struct snapshot_small *s,
			 const struct snapshot_name *name, size_t n,
			 struct snapshot_place *place, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;

#endif
