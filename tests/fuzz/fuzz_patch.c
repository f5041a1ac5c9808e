/*
 * What leads from one text to another.  The first two bytes say how long the
 * first text is; the rest is both a frame that claims to lead on from it, and a
 * text to which a frame is made.
 */
#include "base/text.h"
#include "storage/repository/compress_patch.h"
#include "tests/support/fuzz.h"

#define MADE_MAX ((size_t)1 << 20)

static void apply(const struct buf *from, const uint8_t *frame, size_t n)
{
	CLEANUP(buf_done) struct buf to;
	char *patch = malloc(text_base64_size(n));
	struct err e = { 0 };

	FUZZ_PROMISE(patch != NULL);
	text_base64(frame, n, patch);
	buf_init(&to, MADE_MAX);
	if (compress_patch_apply(from, patch, &to, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
		FUZZ_PROMISE(to.len == 0);
	}
	FUZZ_PROMISE(to.len <= MADE_MAX);
	free(patch);
}

static void make(const struct buf *from, const char *text)
{
	CLEANUP(buf_done) struct buf patch;
	CLEANUP(buf_done) struct buf to;
	struct err e = { 0 };
	int got;

	buf_init(&patch, 4 * MADE_MAX);
	buf_init(&to, MADE_MAX);
	got = compress_patch_make(from, text, MADE_MAX, &patch, &e);
	FUZZ_PROMISE(got == 1);
	FUZZ_PROMISE(compress_patch_apply(from, buf_str(&patch), &to, &e) == 0);
	FUZZ_PROMISE(to.len == strlen(text) &&
		     memcmp(buf_str(&to), text, to.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(buf_done) struct buf from;
	struct err e;
	char *text;
	size_t len;

	buf_init(&from, MADE_MAX);
	if (n < 2 || n > MADE_MAX / 2)
		return 0;
	len = (size_t)(bytes[0] | bytes[1] << 8);
	bytes += 2;
	n -= 2;
	if (len > n)
		len = n;
	FUZZ_PROMISE(buf_add(&from, bytes, len, &e) == 0);
	apply(&from, bytes + len, n - len);
	text = fuzz_text(bytes + len, n - len);
	make(&from, text);
	free(text);
	return 0;
}
