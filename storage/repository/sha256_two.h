/*
 * SHA-256 (FIPS 180-4) of two texts at once, with the SHA instructions of
 * x86-64.  Each round of one text waits for the round before it, which leaves
 * the unit half idle; a second text fills it (FORMAT.md's appendix has the
 * figures).  Single texts are hash.c's, by way of one of two lanes
 * (hmac_lane.h); so are other machines.
 */
#ifndef STORAGE_REPOSITORY_SHA256_TWO_H
#define STORAGE_REPOSITORY_SHA256_TWO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define SHA256_BLOCK ((size_t)64)

struct sha256_state {
	uint32_t h[8];
};

/* Whether this machine has the instructions; without, call nothing else. */
bool sha256_two_here(void);
void sha256_two_begin(struct sha256_state *s) NONNULL(1);
/*
 * n blocks (SHA256_BLOCK bytes each, padding included) into each of two states.
 * For one text alone, give its blocks and a state of no use as the second.
 */
void sha256_two_blocks(struct sha256_state *a, const uint8_t *from_a,
		       struct sha256_state *b, const uint8_t *from_b, size_t n)
	NONNULL(1, 2, 3, 4);
/* The digest of what went in: 32 bytes. */
void sha256_two_digest(const struct sha256_state *s, uint8_t out[32])
	NONNULL(1);

#endif
