/*
 * How the bytes of a chunk are sealed (FORMAT.md §4): AES-256-GCM (NIST SP
 * 800-38D), each seal under a key of its own.  That key is derived
 * from the data key, the chunk's id and half of the seal's random bytes, so
 * GCM's short nonces, the other half, may be random for as many chunks as we
 * will ever seal.  The layout and the overhead are those of seal.h.
 *
 * The first 8 MB or so of a process are libsodium's, where the processor has
 * the instructions that it needs.  Then libcrypto, which is two to three times
 * as fast, has been worth its coming (base/openssl.h).
 *
 * What is associated, and what the bytes mean, is chunk.c's business.
 */
#ifndef STORAGE_REPOSITORY_CHUNK_CIPHER_H
#define STORAGE_REPOSITORY_CHUNK_CIPHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/keys.h"
#include "storage/repository/seal.h"

/* One thread's; holds the key of its last chunk until the next, or freed. */
struct chunk_cipher;
int chunk_cipher_new(struct chunk_cipher **ret, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void chunk_cipher_free(struct chunk_cipher *c);
DEFINE_CLEANUP(struct chunk_cipher *, chunk_cipher_free);

/* What a seal is bound to. */
struct chunk_binding {
	const uint8_t *data_key; /* KEYS_SIZE */
	const struct chunk_id *id;
	struct seal_ad ad;
};

/*
 * method ‖ body (n bytes, at most CHUNK_MAX) into out: n + 1 + SEAL_OVERHEAD
 * bytes.  body and out must not overlap.
 */
int chunk_cipher_seal(struct chunk_cipher *c, const struct chunk_binding *to,
		      uint8_t method, const void *body, size_t n, uint8_t *out,
		      struct err *e) NONNULL(1, 2, 6, 7) MUST_CHECK;
/*
 * out gets n - SEAL_OVERHEAD bytes, method ‖ body.  ERR_CORRUPT, and nothing
 * of out is usable, when the tag does not fit.  n is more than SEAL_OVERHEAD
 * and at most CHUNK_SEALED_MAX.
 */
int chunk_cipher_open(struct chunk_cipher *c, const struct chunk_binding *to,
		      const void *sealed, size_t n, uint8_t *out, struct err *e)
	NONNULL(1, 2, 3, 5, 6) MUST_CHECK;

#endif
