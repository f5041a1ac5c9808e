#include "storage/repository/compress.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

struct compress {
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *decompressor;
	enum compress_effort effort; /* that compressor is set to */
	/* What came for COMPRESS_FITTING. */
	unsigned int fitted;
	bool well_pays; /* at the last probe */
};

int compress_new(struct compress **ret, struct err *e)
{
	struct compress *c = calloc(1, sizeof(*c));

	if (!c)
		return err_oom(e);
	c->compressor = ZSTD_createCCtx();
	c->decompressor = ZSTD_createDCtx();
	if (!c->compressor || !c->decompressor) {
		compress_free(c);
		return err_oom(e);
	}
	*ret = c;
	return 0;
}

void compress_free(struct compress *c)
{
	if (!c)
		return;
	(void)ZSTD_freeCCtx(c->compressor);
	(void)ZSTD_freeDCtx(c->decompressor);
	free(c);
}

size_t compress_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

size_t compress_memory(const struct compress *c)
{
	return sizeof(*c) + ZSTD_sizeof_CCtx(c->compressor) +
	       ZSTD_sizeof_DCtx(c->decompressor);
}

/*
 * Whether compressing pays, from windows spread over the input.  Two things
 * make a frame smaller: bytes that are not equally likely, and strings that
 * come again.  The first is judged by how often two bytes of a window are
 * alike (1 in 256 when all are equally likely; needs no logarithms), the
 * second by the number of 4-byte strings that were seen before in it.  One
 * window that would shrink is enough: chunks hold neighbours of all kinds,
 * and to compress in vain costs a third of what the seal costs, while a chunk
 * stored whole costs its size for ever.
 */
#define SAMPLE_MIN  16384 /* below this, trying costs as little as asking */
#define WINDOW	    1024
#define WINDOWS_MAX 16
#define TABLE_BITS  10

static uint32_t word_at(const uint8_t *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static bool has_likely_bytes(const uint8_t *p)
{
	uint16_t seen[256] = { 0 };
	uint32_t pairs = 0;

	/* A byte that was seen k times makes k pairs with this one. */
	for (size_t i = 0; i < WINDOW; i++)
		pairs += seen[p[i]]++;
	/* 2046 of them by chance, give or take 45: a fifth above is none. */
	return pairs > WINDOW * (WINDOW - 1) / 2 / 256 * 6 / 5;
}

static bool has_repeats(const uint8_t *p)
{
	uint16_t last[1 << TABLE_BITS] = { 0 }; /* position + 1 */
	uint32_t repeats = 0;

	for (size_t i = 0; i + 4 <= WINDOW; i++) {
		const uint32_t w = word_at(p + i);
		uint16_t *before =
			&last[(w * 2654435761U) >> (32 - TABLE_BITS)];

		repeats += *before && word_at(p + *before - 1) == w;
		*before = (uint16_t)(i + 1);
	}
	return repeats > WINDOW / 64;
}

int compress_is_worth_it(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	const size_t windows = n / SAMPLE_MIN < WINDOWS_MAX ? n / SAMPLE_MIN
							    : WINDOWS_MAX;
	size_t step;

	if (n < SAMPLE_MIN)
		return 1;
	/* In the middle of its part: not the header at the beginning. */
	step = n / windows;
	for (size_t i = 0; i < windows; i++) {
		const uint8_t *window = p + i * step + (step - WINDOW) / 2;

		if (has_likely_bytes(window) || has_repeats(window))
			return 1;
	}
	return 0;
}

/* What differs from zstd's own choice for the level; 0: nothing. */
struct setting {
	int level;
	int window_log;
	int hash_log;
	int min_match;
};

static const struct setting settings[COMPRESS_EFFORTS] = {
	[COMPRESS_QUICK] = { 1, 20, 15, 5 },
	[COMPRESS_WELL] = { 3, 0, 0, 0 },
	[COMPRESS_BEST] = { 6, 0, 0, 0 },
};

static bool set(struct compress *c, ZSTD_cParameter name, int value)
{
	return !ZSTD_isError(
		ZSTD_CCtx_setParameter(c->compressor, name, value));
}

static bool set_effort(struct compress *c, enum compress_effort effort)
{
	const struct setting *s = &settings[effort];

	if (c->effort == effort)
		return true;
	c->effort = COMPRESS_NOT;
	if (!set(c, ZSTD_c_compressionLevel, s->level) ||
	    !set(c, ZSTD_c_windowLog, s->window_log) ||
	    !set(c, ZSTD_c_hashLog, s->hash_log) ||
	    !set(c, ZSTD_c_minMatch, s->min_match) ||
	    !set(c, ZSTD_c_contentSizeFlag, 1) ||
	    !set(c, ZSTD_c_checksumFlag, 0))
		return false;
	c->effort = effort;
	return true;
}

static size_t frame(struct compress *c, enum compress_effort effort,
		    const void *in, size_t n, void *out, size_t cap)
{
	size_t got;

	if (!set_effort(c, effort))
		return 0;
	got = ZSTD_compress2(c->compressor, out, cap, in, n);
	if (!ZSTD_isError(got))
		return got;
	/* A frame that was given up must not leak into the next. */
	(void)ZSTD_CCtx_reset(c->compressor, ZSTD_reset_session_only);
	return 0;
}

/*
 * Whether trying harder makes bytes smaller goes by their kind, and the kind
 * stays the same for long stretches of a large file: each PROBE_EVERY frames
 * one is made both ways, and tells how the next ones are made.  Below 1/32
 * it does not pay: it takes half as much time again.
 */
#define PROBE_EVERY 16

static enum compress_effort fitting(const struct compress *c)
{
	return c->well_pays ? COMPRESS_WELL : COMPRESS_QUICK;
}

/* Last in the way that is likely to be kept; else it is made once more. */
static size_t probe(struct compress *c, const void *in, size_t n, void *out,
		    size_t cap)
{
	const enum compress_effort likely = fitting(c);
	const enum compress_effort other = likely == COMPRESS_WELL
						   ? COMPRESS_QUICK
						   : COMPRESS_WELL;
	const size_t of_other = frame(c, other, in, n, out, cap);
	const size_t of_likely = frame(c, likely, in, n, out, cap);
	const size_t well = likely == COMPRESS_WELL ? of_likely : of_other;
	const size_t quick = likely == COMPRESS_WELL ? of_other : of_likely;

	c->well_pays = well && (!quick || well < quick - quick / 32);
	return fitting(c) == likely ? of_likely
				    : frame(c, other, in, n, out, cap);
}

static size_t fitting_frame(struct compress *c, const void *in, size_t n,
			    void *out, size_t cap)
{
	if (c->fitted++ % PROBE_EVERY == 0)
		return probe(c, in, n, out, cap);
	return frame(c, fitting(c), in, n, out, cap);
}

size_t compress_frame(struct compress *c, enum compress_effort effort,
		      const void *in, size_t n, void *out, size_t cap)
{
	if (effort == COMPRESS_FITTING)
		return fitting_frame(c, in, n, out, cap);
	return frame(c, effort, in, n, out, cap);
}

/*
 * One ordinary frame from end to end: not several, none to be skipped.  No
 * error of zstd is a size.
 */
static bool is_one_frame(const void *frame, size_t n)
{
	return n >= 4 && ZSTD_findFrameCompressedSize(frame, n) == n &&
	       word_at(frame) == ZSTD_MAGICNUMBER;
}

int compress_content_size(const void *frame, size_t n, uint64_t *ret,
			  struct err *e)
{
	unsigned long long size;

	if (!is_one_frame(frame, n))
		return err_set(e, ERR_CORRUPT, "is not one zstd frame");
	size = ZSTD_getFrameContentSize(frame, n);
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
		return err_set(e, ERR_CORRUPT,
			       "is a zstd frame without its content's size");
	*ret = size;
	return 0;
}

int compress_open(struct compress *c, const void *frame, size_t n, void *out,
		  size_t want, struct err *e)
{
	uint64_t declared;
	size_t got;

	if (compress_content_size(frame, n, &declared, e))
		return -1;
	if (declared != want)
		return err_set(e, ERR_CORRUPT,
			       "holds %llu bytes where %zu belong",
			       (unsigned long long)declared, want);
	got = ZSTD_decompressDCtx(c->decompressor, out, want, frame, n);
	if (ZSTD_isError(got))
		return err_set(e, ERR_CORRUPT, "cannot be decompressed: %s",
			       ZSTD_getErrorName(got));
	if (got != want)
		return err_set(e, ERR_CORRUPT,
			       "decompresses to %zu bytes where %zu belong",
			       got, want);
	return 0;
}
