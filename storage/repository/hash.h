/*
 * HMAC-SHA256 (RFC 2104) under one key, for many texts: names that must not
 * collide and that say nothing to whoever lacks the key.
 *
 * With the SHA instructions of x86-64 they are made here (hmac_lane.h: as fast
 * as libcrypto, 1.1 to 1.3 GB/s beside 1.25, without its coming).  Elsewhere
 * libsodium makes them until libcrypto, which is seven times as fast, is worth
 * its coming (base/openssl.h), and when that cannot be had.
 *
 * A hash is one thread's; to start it anew for a text costs 0.5 µs.
 */
#ifndef STORAGE_REPOSITORY_HASH_H
#define STORAGE_REPOSITORY_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/keys.h"

#define HASH_SIZE 32

struct hash;

/* ERR_BUG when a first text gets another name than libsodium gives it. */
int hash_new(const uint8_t key[KEYS_SIZE], struct hash **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void hash_free(struct hash *h);
DEFINE_CLEANUP(struct hash *, hash_free);

/* From now on another key. */
void hash_use(struct hash *h, const uint8_t key[KEYS_SIZE]) NONNULL(1, 2);

int hash_bytes(struct hash *h, const void *bytes, size_t n,
	       uint8_t out[HASH_SIZE], struct err *e) NONNULL(1, 4, 5)
	MUST_CHECK;
/* Of one byte, which says what they are, and those. */
int hash_tagged(struct hash *h, uint8_t tag, const void *bytes, size_t n,
		uint8_t out[HASH_SIZE], struct err *e) NONNULL(1, 5, 6)
	MUST_CHECK;

#endif
