/*
 * zstd, with contexts that are kept (RFC 8878).  A struct compress belongs to
 * one thread.  Frames carry their content size and no checksum: the AEAD tag
 * stands for it.
 */
#ifndef STORAGE_REPOSITORY_COMPRESS_H
#define STORAGE_REPOSITORY_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct compress;

int compress_new(struct compress **ret, struct err *e) NONNULL(1, 2) MUST_CHECK;
void compress_free(struct compress *c);
DEFINE_CLEANUP(struct compress *, compress_free);

/* How much work a frame is worth; FORMAT.md's appendix has the figures. */
enum compress_effort {
	COMPRESS_NOT,
	COMPRESS_QUICK, /* data: below zstd's level 2, but for matches of 5 */
	COMPRESS_WELL,	/* boxes: level 3 */
	COMPRESS_BEST,	/* metadata: level 6 */
	/* Large files: WELL while that makes them smaller, QUICK else. */
	COMPRESS_FITTING,
	COMPRESS_EFFORTS
};

/* An upper bound of the frame's size for n bytes. */
size_t compress_bound(size_t n);
/*
 * Whether bytes look as if compressing them would pay (1 or 0): samples a few
 * places for uneven bytes and for repetition; costs some ten microseconds.
 */
int compress_is_worth_it(const void *bytes, size_t n);
/*
 * The size of the frame in out (cap bytes), or 0 when it would not fit: give
 * a cap below n to have "does not pay" found early.
 */
size_t compress_frame(struct compress *c, enum compress_effort effort,
		      const void *in, size_t n, void *out, size_t cap)
	NONNULL(1);
/*
 * Decompress exactly one frame whose content is exactly want bytes.
 * ERR_CORRUPT otherwise; never allocates by what the frame declares.
 */
int compress_open(struct compress *c, const void *frame, size_t n, void *out,
		  size_t want, struct err *e) NONNULL(1, 6) MUST_CHECK;
/* What a frame says of its content's size; ERR_CORRUPT if it is not one. */
int compress_content_size(const void *frame, size_t n, uint64_t *ret,
			  struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
/* Bytes that c holds now; they grow to those of the largest input and effort.
 */
size_t compress_memory(const struct compress *c) NONNULL(1);

#endif
