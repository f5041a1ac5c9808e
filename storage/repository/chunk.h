/*
 * The smallest thing stored: a piece of plaintext with a keyed id (FORMAT.md
 * §4).  This module makes ids, seals, opens, and verifies; where a sealed
 * chunk lies is the index's business.
 */
#ifndef STORAGE_REPOSITORY_CHUNK_H
#define STORAGE_REPOSITORY_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/repository/compress.h"
#include "storage/repository/keys.h"
#include "storage/repository/seal.h"

#define CHUNK_ID_SIZE	 32
#define CHUNK_MAX	 (16U << 20) /* plaintext bytes */
#define CHUNK_SEALED_MAX (CHUNK_MAX + 1 + SEAL_OVERHEAD)

struct chunk_id {
	uint8_t b[CHUNK_ID_SIZE];
};

enum chunk_kind {
	CHUNK_DATA = 1,
	CHUNK_LEAF,
	CHUNK_INNER,
	CHUNK_HINTS,
	CHUNK_MAP,
	CHUNK_VALUE,
	CHUNK_KIND_END
};

bool chunk_id_equal(const struct chunk_id *a, const struct chunk_id *b)
	NONNULL(1, 2);
int chunk_id_compare(const struct chunk_id *a, const struct chunk_id *b)
	NONNULL(1, 2);
bool chunk_kind_is_meta(enum chunk_kind kind);

/*
 * One thread's tools for chunks: hash, cipher, compression, and scratch
 * memory that grows to the largest chunk seen.
 */
struct chunk_worker;
int chunk_worker_new(const struct keys *k, struct chunk_worker **ret,
		     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void chunk_worker_free(struct chunk_worker *w);
DEFINE_CLEANUP(struct chunk_worker *, chunk_worker_free);

/* The id of plaintext in domain. */
int chunk_identify(struct chunk_worker *w, uint16_t domain,
		   enum chunk_kind kind, const void *plain, size_t n,
		   struct chunk_id *ret, struct err *e) NONNULL(1, 6, 7)
	MUST_CHECK;

/* What has to be known to open a sealed chunk, besides its bytes. */
struct chunk_seal {
	struct chunk_id id;
	enum chunk_kind kind;
	uint16_t domain;
	uint16_t epoch;
	uint32_t plain_len;
};

/* What is to be sealed, and how. */
struct chunk_plain {
	enum chunk_kind kind;
	uint16_t domain;
	enum compress_effort effort;
	const void *bytes;
	size_t n;
};
struct chunk_sealed {
	struct chunk_seal seal;
	const uint8_t *bytes; /* the worker's, until its next call */
	size_t len;
};

/*
 * Compress, seal under the current epoch and, before returning, open the
 * result again and compare it with the plaintext (promise 6): ERR_BUG when it
 * differs.
 */
int chunk_seal_new(struct chunk_worker *w, const struct chunk_id *id,
		   const struct chunk_plain *plain, struct chunk_sealed *ret,
		   struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

/*
 * Open a sealed chunk: out gets s->plain_len bytes.  ERR_CORRUPT when the tag,
 * the length or the frame does not fit; ERR_BAD_KEY when the epoch or domain
 * is not in the keyring.
 */
int chunk_open(struct chunk_worker *w, const struct chunk_seal *s,
	       const void *sealed, size_t n, uint8_t *out, struct err *e)
	NONNULL(1, 2, 3, 6) MUST_CHECK;
/* Whether plain really has that id (level `data` of verification). */
int chunk_verify(struct chunk_worker *w, const struct chunk_seal *s,
		 const void *plain, struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

#endif
