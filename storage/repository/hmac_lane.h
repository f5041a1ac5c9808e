/*
 * HMAC-SHA256 (RFC 2104) of a text as runs of whole blocks, for whoever
 * computes them with sha256_two.h: alone, or beside those of another lane.
 *
 * A lane holds what its key is made of: it belongs into secret_new()'s memory.
 * It is one thread's, and may begin again at any time.
 */
#ifndef STORAGE_REPOSITORY_HMAC_LANE_H
#define STORAGE_REPOSITORY_HMAC_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "storage/repository/keys.h"
#include "storage/repository/sha256_two.h"

/* One byte that says what the text is, or none; and n bytes. */
struct hmac_text {
	const uint8_t *tag;
	const void *bytes;
	size_t n;
};

/* A run of whole blocks. */
struct hmac_run {
	const uint8_t *at;
	size_t n;
};

struct hmac_lane {
	struct sha256_state state;
	struct hmac_run runs[3];
	size_t run; /* the one that is next */
	bool is_outer;
	uint8_t outer_pad[SHA256_BLOCK];
	uint8_t head[2 * SHA256_BLOCK];
	uint8_t tail[2 * SHA256_BLOCK];
};

/* The bytes stay with the lane until it has no more blocks. */
void hmac_lane_begin(struct hmac_lane *x, const uint8_t key[KEYS_SIZE],
		     const struct hmac_text *text) NONNULL(1, 2, 3);
/* Whether there are blocks to do. */
bool hmac_lane_more(struct hmac_lane *x) NONNULL(1);
/* Do some, of lanes that have more: as many as both have at hand. */
void hmac_lane_both(struct hmac_lane *a, struct hmac_lane *b) NONNULL(1, 2);
void hmac_lane_alone(struct hmac_lane *x) NONNULL(1);
/* What came of it, when there are no more. */
void hmac_lane_digest(const struct hmac_lane *x, uint8_t out[32]) NONNULL(1, 2);

#endif
