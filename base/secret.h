/*
 * Memory for keys: locked against swapping where the limits allow, left out
 * of core dumps, surrounded by guard pages, wiped when released (libsodium's
 * sodium_malloc).
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/*
 * Start libsodium and keep this process out of core dumps and ptrace.  Call
 * once at the start of main(), before threads.
 */
int secret_start(struct err *e) NONNULL(1) MUST_CHECK;

/* n zeroed bytes, or NULL. */
void *secret_new(size_t n) MUST_CHECK;
void secret_free(void *p);

/* Fill with random bytes from the kernel's generator. */
void secret_random(void *out, size_t n) NONNULL(1);
/*
 * Random bytes that need not stay secret (nonces, ids), from a fast generator
 * of each thread's own, seeded by the kernel and safe across fork().
 */
void secret_nonce(void *out, size_t n) NONNULL(1);
void secret_wipe(void *p, size_t n);

/*
 * SipHash-2-4 under a random key, for hash tables whose keys an enemy may
 * choose.  Not an identity of anything: 64 bits collide.
 */
uint64_t secret_table_hash(const uint8_t key[16], const void *bytes, size_t n)
	NONNULL(1, 2);

#endif
