/*
 * One zstd frame, as a chunk or a box holds it: two bytes, the length that is
 * expected, then the frame.  Whatever the frame declares, memory stays below
 * what the expected length takes; and what is taken is what zstd's streaming
 * decompressor makes of it.
 */
#include <zstd.h>

#include "storage/repository/compress.h"
#include "tests/support/fuzz.h"

static uint8_t out[1 << 16];
static uint8_t other[1 << 16];

static void check_other(const uint8_t *frame, size_t n, size_t want)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_outBuffer to = { other, sizeof(other), 0 };
	ZSTD_inBuffer from = { frame, n, 0 };
	size_t got = 1;

	FUZZ_PROMISE(d != NULL);
	while (got && !ZSTD_isError(got) && from.pos < from.size)
		got = ZSTD_decompressStream(d, &to, &from);
	/* Windows that streaming refuses, a decompressor at once need not. */
	if (!ZSTD_isError(got)) {
		FUZZ_PROMISE(from.pos == n && to.pos == want);
		FUZZ_PROMISE(memcmp(out, other, want) == 0);
	}
	(void)ZSTD_freeDStream(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(compress_free) struct compress *c = NULL;
	size_t before;
	uint64_t size;
	size_t want;
	struct err e;

	if (n < 2)
		return 0;
	want = (size_t)(bytes[0] | bytes[1] << 8);
	FUZZ_PROMISE(compress_new(&c, &e) == 0);
	before = compress_memory(c);
	if (compress_open(c, bytes + 2, n - 2, out, want, &e)) {
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
	} else {
		FUZZ_PROMISE(compress_content_size(bytes + 2, n - 2, &size,
						   &e) == 0);
		FUZZ_PROMISE(size == want);
		check_other(bytes + 2, n - 2, want);
	}
	FUZZ_PROMISE(compress_memory(c) <= before + (1U << 20));
	return 0;
}
