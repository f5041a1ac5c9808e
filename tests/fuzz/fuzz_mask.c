#include "service/mask.h"
#include "storage/lines.h"
#include "tests/support/fuzz.h"

static void mask_into(const struct mask *m, const char *text, size_t n,
		      struct buf *out, struct lines *lines)
{
	struct err e = { .code = ERR_NONE };

	FUZZ_PROMISE(mask_text(m, "/etc/x", 6, text, n, out, &e) == 0);
	FUZZ_PROMISE(lines_split(out->data, out->len, lines, &e) == 0);
}

/* Two texts, with a line of "=" between: masked, and laid side by side. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	const size_t len = strlen(text);
	const char *cut = strstr(text, "\n=\n");
	const size_t a_len = cut ? (size_t)(cut - text) + 1 : len;
	const char *b_text = text + a_len + (cut ? 2 : 0);
	const size_t b_len = strlen(b_text);
	CLEANUP(lines_done) struct lines a = { .at = NULL };
	CLEANUP(lines_done) struct lines b = { .at = NULL };
	CLEANUP(lines_done) struct lines a_shown = { .at = NULL };
	CLEANUP(lines_done) struct lines b_shown = { .at = NULL };
	CLEANUP(lines_changes_done) struct lines_changes x = { .v = NULL };
	CLEANUP(buf_done) struct buf a_out;
	CLEANUP(buf_done) struct buf b_out;
	CLEANUP(buf_done) struct buf out;
	struct mask *m = NULL;
	struct err e = { .code = ERR_NONE };

	buf_init(&a_out, 16 * n + 64);
	buf_init(&b_out, 16 * n + 64);
	buf_init(&out, 64 * n + 4096);
	if (mask_new(&m, &e) || mask_add(m, "id=([a-z]+)", &e))
		abort();
	mask_into(m, text, a_len, &a_out, &a_shown);
	mask_into(m, b_text, b_len, &b_out, &b_shown);
	FUZZ_PROMISE(lines_split(text, a_len, &a, &e) == 0);
	FUZZ_PROMISE(lines_split(b_text, b_len, &b, &e) == 0);
	FUZZ_PROMISE(a.n == a_shown.n && b.n == b_shown.n);
	FUZZ_PROMISE(lines_compare(&a, &b, &x, &e) == 0);
	FUZZ_PROMISE(a.n - x.removed == b.n - x.added);
	FUZZ_PROMISE(lines_unified(&x, &a_shown, &b_shown, &out, &e) == 0);
	FUZZ_PROMISE((out.len == 0) == (x.n == 0));
	mask_free(m);
	free(text);
	return 0;
}
