#include "storage/repository/compress_patch.h"

#include <stdbool.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/text.h"

#define WINDOW_LOG_MIN 10 /* of zstd */
#define HASH_LOG_MAX   22 /* 16 MiB of memory */

/* ---- Making ------------------------------------------------------------- */

/* All of the first text can be named while the window covers the other. */
static int window_log(size_t n)
{
	int log = WINDOW_LOG_MIN;

	while ((size_t)1 << log < n)
		log++;
	return log;
}

/*
 * Of a prefix, zstd looks at the last 8 << hash log bytes only, in versions
 * from 1.5.5 on: the default's 17 are 1 MiB.
 */
static int hash_log(size_t n)
{
	int log = 17;

	while (log < HASH_LOG_MAX && (size_t)8 << log < n)
		log++;
	return log;
}

static bool set_up(ZSTD_CCtx *c, const struct buf *from, size_t n)
{
	return !ZSTD_isError(
		       ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 3)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog,
						    window_log(n))) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog,
						    hash_log(from->len))) &&
	       !ZSTD_isError(
		       ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)) &&
	       !ZSTD_isError(ZSTD_CCtx_refPrefix(c, buf_str(from), from->len));
}

/* Append the frame: 1, or 0 when it takes more than max. */
static int compress(const struct buf *from, const char *to, size_t max,
		    struct buf *ret, struct err *e)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	const size_t n = strlen(to);
	size_t got;

	if (buf_reserve(ret, ZSTD_compressBound(n), e) < 0) {
		(void)ZSTD_freeCCtx(c);
		return -1;
	}
	if (!c || !set_up(c, from, n)) {
		(void)ZSTD_freeCCtx(c);
		return err_oom(e);
	}
	got = ZSTD_compress2(c, ret->data + ret->len, ZSTD_compressBound(n), to,
			     n);
	(void)ZSTD_freeCCtx(c);
	if (ZSTD_isError(got))
		return err_oom(e);
	ret->len += got;
	return ret->len <= max;
}

static int add_base64(const struct buf *frame, struct buf *ret, struct err *e)
{
	const size_t n = text_base64_size(frame->len);

	if (buf_reserve(ret, n, e) < 0)
		return -1;
	text_base64(frame->data, frame->len, (char *)ret->data + ret->len);
	ret->len += strlen(buf_str(ret) + ret->len);
	return 0;
}

int compress_patch_make(const struct buf *from, const char *to, size_t max,
			struct buf *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf frame;
	int got;

	buf_init(&frame, 2 * COMPRESS_PATCH_TEXT_MAX);
	if (from->len > COMPRESS_PATCH_TEXT_MAX ||
	    strlen(to) > COMPRESS_PATCH_TEXT_MAX)
		return 0;
	/* Four characters of base64 hold three bytes. */
	got = compress(from, to, max / 4 * 3, &frame, e);
	if (got > 0 && add_base64(&frame, ret, e) < 0)
		return -1;
	return got;
}

/* ---- Applying ----------------------------------------------------------- */

static int no_patch(struct err *e)
{
	return err_set(e, ERR_CORRUPT, "what changed since cannot be read");
}

static int decompress(const struct buf *from, const struct buf *frame, size_t n,
		      struct buf *ret, struct err *e)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	size_t got;

	if (!d)
		return err_oom(e);
	got = ZSTD_DCtx_refPrefix(d, buf_str(from), from->len);
	if (!ZSTD_isError(got))
		got = ZSTD_decompressDCtx(d, ret->data + ret->len, n,
					  frame->data, frame->len);
	(void)ZSTD_freeDCtx(d);
	if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
		return err_oom(e);
	if (ZSTD_isError(got) || got != n)
		return no_patch(e);
	ret->len += n;
	ret->data[ret->len] = 0;
	return 0;
}

int compress_patch_apply(const struct buf *from, const char *patch,
			 struct buf *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf frame;
	const size_t length = strlen(patch);
	unsigned long long n;
	ptrdiff_t got;

	buf_init(&frame, COMPRESS_PATCH_TEXT_MAX);
	if (buf_reserve(&frame, length / 4 * 3, e) < 0)
		return -1;
	got = text_unbase64(patch, length, frame.data);
	if (got < 0)
		return no_patch(e);
	frame.len = (size_t)got;
	n = ZSTD_getFrameContentSize(frame.data, frame.len);
	if (n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR ||
	    n > COMPRESS_PATCH_TEXT_MAX)
		return no_patch(e);
	if (buf_reserve(ret, (size_t)n, e) < 0)
		return -1;
	return decompress(from, &frame, (size_t)n, ret, e);
}
