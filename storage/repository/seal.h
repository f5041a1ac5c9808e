/*
 * Sealing and opening of all but chunks (chunk_cipher.h): the one place that
 * calls this AEAD (FORMAT.md §1, §2).
 *
 * XChaCha20-Poly1305 from libsodium (draft-irtf-cfrg-xchacha-03): its nonces
 * may be random for as many messages as we will ever seal.
 */
#ifndef STORAGE_REPOSITORY_SEAL_H
#define STORAGE_REPOSITORY_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"

#define SEAL_NONCE    24
#define SEAL_TAG      16
#define SEAL_OVERHEAD (SEAL_NONCE + SEAL_TAG)

/* Associated data, built in place.  Large enough for every form we use. */
struct seal_ad {
	uint8_t b[OBJECT_HEADER_SIZE + 16 + 16 + STORE_NAME_MAX + 16];
	size_t len;
};

/* header ‖ repository id ‖ label ‖ 0 ‖ name */
void seal_ad_object(const uint8_t header[OBJECT_HEADER_SIZE],
		    struct object_id repository, const char *label,
		    const char *name, struct seal_ad *ret) NONNULL(1, 3, 4, 5);
/* Append a little-endian u64 (the position of an index block), or bytes. */
void seal_ad_u64(struct seal_ad *ad, uint64_t v) NONNULL(1);
void seal_ad_add(struct seal_ad *ad, const void *bytes, size_t n) NONNULL(1, 2);

/* out gets n + SEAL_OVERHEAD bytes; in and out must not overlap. */
void seal_bytes(const uint8_t key[KEYS_SIZE], const struct seal_ad *ad,
		const void *in, size_t n, uint8_t *out) NONNULL(1, 2, 5);
/*
 * out gets n - SEAL_OVERHEAD bytes; false, and nothing of out is usable, when
 * the tag does not fit or n is too small.  in and out must not overlap.
 */
bool seal_open(const uint8_t key[KEYS_SIZE], const struct seal_ad *ad,
	       const void *in, size_t n, uint8_t *out) NONNULL(1, 2, 5)
	MUST_CHECK;

#define SEAL_PAYLOAD_MAX ((size_t)16 << 20)
/* The largest box: such a payload and 1/32 of padding at most. */
#define SEAL_BOX_MAX (SEAL_PAYLOAD_MAX + ((size_t)1 << 20))

/*
 * A whole box object (FORMAT.md §2): header, sealed padded payload, under the
 * current epoch.  Payloads beyond 1 KiB are compressed when that helps.  name
 * is the object's name in the store, whose last id goes into the header.
 */
int seal_box(const struct keys *k, enum object_kind kind, const char *name,
	     const void *payload, size_t n, struct buf *out, struct err *e)
	NONNULL(1, 3, 6, 7) MUST_CHECK;
/*
 * The payload of a box; appended to out.  ERR_CORRUPT, ERR_NEWER; ERR_BAD_KEY
 * when its epoch is not known here, and ERR_BUSY when it came since this
 * process opened the repository, as the newest keyring says.  Neither is
 * damage: such a fence or mark must not be taken for absent.
 */
int seal_box_open(const struct keys *k, enum object_kind kind, const char *name,
		  const void *box, size_t n, struct buf *out, struct err *e)
	NONNULL(1, 3, 4, 6, 7) MUST_CHECK;

/* The plaintext of a box, for seal_box_open() and its fuzzer. */
int seal_box_parse(const void *plain, size_t n, struct buf *out, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/* Of an epoch that k lacks: ERR_BUSY when it came later, or ERR_BAD_KEY; -1. */
int seal_epoch_unknown(const struct keys *k, uint32_t epoch, struct err *e)
	NONNULL(1, 3);
/* Whether that, or a newer version, kept a header from being judged. */
bool seal_is_unknown(const struct err *why) NONNULL(1);

/* The same straight to and from a store.  seal_box_get: 1, or 0 when absent. */
int seal_box_put(struct store *s, const struct keys *k, enum object_kind kind,
		 const char *name, const void *payload, size_t n,
		 unsigned int put_flags, struct err *e) NONNULL(1, 2, 4, 8)
	MUST_CHECK;
/* Of a version of its kind that is not 0 (FORMAT.md §9 says which are). */
struct seal_as {
	enum object_kind kind;
	uint8_t version;
};
int seal_box_put_as(struct store *s, const struct keys *k, struct seal_as as,
		    const char *name, const void *payload, size_t n,
		    unsigned int put_flags, struct err *e) NONNULL(1, 2, 4, 8)
	MUST_CHECK;
int seal_box_get(struct store *s, const struct keys *k, enum object_kind kind,
		 const char *name, struct buf *out, struct err *e)
	NONNULL(1, 2, 4, 5, 6) MUST_CHECK;

#endif
