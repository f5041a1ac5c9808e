/*
 * Where to cut: content-defined boundaries, keyed so that nobody without the
 * key can tell contents from where they fall.
 *
 * Large files are cut by a gear hash with two masks (Xia et al., "FastCDC",
 * USENIX ATC 2016), whose table is derived from the domain's cut key.  Paths
 * are hashed with SipHash-2-4 (Aumasson and Bernstein, 2012) under the same
 * key.  Where boundaries fall is no part of the format: readers need not know.
 */
#ifndef STORAGE_REPOSITORY_CUT_H
#define STORAGE_REPOSITORY_CUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/keys.h"

/* SipHash-2-4 with the first 16 bytes of the cut key. */
uint64_t cut_hash(const uint8_t cut_key[KEYS_SIZE], const void *bytes, size_t n)
	NONNULL(1);

struct cut;

/* Chunks of at least min, normally aim, at most max bytes (powers of two). */
int cut_new(const uint8_t cut_key[KEYS_SIZE], size_t min, size_t aim,
	    size_t max, struct cut **ret, struct err *e) NONNULL(1, 5, 6)
	MUST_CHECK;
void cut_free(struct cut *c);
DEFINE_CLEANUP(struct cut *, cut_free);

/*
 * The length of the first chunk of the n bytes: between min and max, or n
 * when there is no boundary in them (the caller then has more bytes, or the
 * end).  Looks at each byte beyond min once: about 1.5 GB/s.
 */
size_t cut_find(const struct cut *c, const uint8_t *bytes, size_t n)
	NONNULL(1, 2);

#endif
