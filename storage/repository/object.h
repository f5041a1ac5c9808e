/*
 * What every object of a repository is called and how it begins (FORMAT.md
 * §2): ids, kinds, names, the 32-byte header and Padmé sizes.
 */
#ifndef STORAGE_REPOSITORY_OBJECT_H
#define STORAGE_REPOSITORY_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/stores/store.h"

struct object_id {
	uint8_t b[16];
};

/* The kinds, as numbered in FORMAT.md.  Never renumber. */
enum object_kind {
	OBJECT_CONFIG = 1,
	OBJECT_SLOT,
	OBJECT_KEYRING,
	OBJECT_DATA_PACK,
	OBJECT_META_PACK,
	OBJECT_INDEX,
	OBJECT_MANIFEST,
	OBJECT_RECEIPT,
	OBJECT_SESSION,
	OBJECT_FENCE,
	OBJECT_VOID,
	OBJECT_MARK,
	OBJECT_TOMBSTONE,
	OBJECT_UNDELETE,
	OBJECT_HOLD,
	OBJECT_LOCK,
	OBJECT_PIN,
	OBJECT_SEGMENT,
	OBJECT_QUARANTINE,
	OBJECT_CENSUS,
	OBJECT_INVENTORY,
	OBJECT_GUARD,
	OBJECT_KIND_END
};

#define OBJECT_HEADER_SIZE 32
#define OBJECT_ID_TEXT	   33 /* 32 digits and a NUL */

/* A fresh random id. */
struct object_id object_id_new(void);
bool object_id_equal(struct object_id a, struct object_id b);
int object_id_compare(struct object_id a, struct object_id b);
bool object_id_is_zero(struct object_id id);
void object_id_format(struct object_id id, char out[OBJECT_ID_TEXT]) NONNULL(2);
/* Exactly 32 hexadecimal digits, else false. */
bool object_id_parse(const char *text, struct object_id *ret) NONNULL(1, 2);

/* "data", "manifest", … for messages; the folder in the store. */
const char *object_kind_name(enum object_kind kind) RETURNS_NONNULL;
const char *object_kind_folder(enum object_kind kind) RETURNS_NONNULL;

/*
 * Whether objects of that name are guarded (stores/store.h) in regions that can
 * guard them: those that it takes to restore, and that keep a snapshot from
 * being deleted.  What is replaced or goes away is not, nor what lets go:
 * sessions, pins, fences, voids, marks, tombstones, quarantines.
 */
bool object_is_guarded(const char *name) NONNULL(1);

/* A name in the store; lives on the stack.  Use as object_name(…).s */
struct object_name {
	char s[STORE_NAME_MAX + 1];
};
/*
 * The name of an object of one id (packs, index, sessions, receipts, …), of
 * two ids (manifests, voids, tombstones, undeletes, locks), or of a number
 * (keyrings) or a number and an id (catalog segments).
 */
struct object_name object_name(enum object_kind kind, struct object_id id);
struct object_name object_name_pair(enum object_kind kind,
				    struct object_id first,
				    struct object_id last);
struct object_name object_name_generation(uint32_t generation);
/* A segment's sequence is its number times this, and the part's from 0. */
#define OBJECT_SEGMENT_PARTS UINT64_C(65536)
struct object_name object_name_segment(uint64_t sequence, struct object_id id);

/*
 * The ids in a name of that kind: false when the name is not of the kind's
 * form.  ret_first is zero for kinds of one id.
 */
bool object_name_parse(enum object_kind kind, const char *name,
		       struct object_id *ret_first, struct object_id *ret_last)
	NONNULL(2, 3, 4);
bool object_name_parse_number(enum object_kind kind, const char *name,
			      uint64_t *ret) NONNULL(2, 3);

/* The newest version of a kind that this program knows (FORMAT.md §2, §9). */
uint8_t object_kind_version(enum object_kind kind);

/* The header that every object but config begins with. */
struct object_header {
	enum object_kind kind;
	uint8_t version;
	uint32_t epoch;
	struct object_id id;
};
void object_header_encode(const struct object_header *h,
			  uint8_t out[OBJECT_HEADER_SIZE]) NONNULL(1, 2);
/*
 * ERR_CORRUPT when it is no header of ours or not of the kind expected,
 * ERR_NEWER when the kind's version is not known to this program.
 */
int object_header_decode(const uint8_t in[OBJECT_HEADER_SIZE],
			 enum object_kind expected, struct object_header *ret,
			 struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

/*
 * Whether a failure to read an object says that the object is damaged, so
 * that another copy may be sound and all else can go on: its bytes are wrong,
 * or its disk cannot give them (a bad sector).  The latter says EIO and comes
 * from what reads a store: what also writes to one tells the two apart.
 */
bool object_is_damage(const struct err *why) NONNULL(1);

/* The smallest Padmé size that is at least n. */
uint64_t object_padded(uint64_t n);
bool object_is_padded(uint64_t n);

#endif
