/*
 * What differs between two texts, with a line of "=" between them: whoever
 * applies the diff to the first gets the second.
 */
#include "storage/lines.h"
#include "tests/support/fuzz.h"

struct text {
	const char *p;
	size_t left;
};

/* The next line, with its newline. */
static struct text take_line(struct text *t)
{
	const char *end = memchr(t->p, '\n', t->left);
	struct text line = { t->p, end ? (size_t)(end - t->p) + 1 : t->left };

	t->p += line.left;
	t->left -= line.left;
	return line;
}

static void copy(struct buf *to, struct text line)
{
	struct err e;

	FUZZ_PROMISE(buf_add(to, line.p, line.left, &e) == 0);
}

static void expect(struct text got, struct text want, bool no_newline)
{
	/* A diff's lines have newlines where those of a file may have none. */
	FUZZ_PROMISE(got.left == want.left + no_newline);
	FUZZ_PROMISE(memcmp(got.p, want.p, want.left) == 0);
}

/* Whether the line that follows says that the one before it had no newline. */
static bool take_no_newline(struct text *diff)
{
	if (diff->left == 0 || diff->p[0] != '\\')
		return false;
	(void)take_line(diff);
	return true;
}

/* "@@ -A,N +B,M @@": where the hunk begins in the first text. */
static size_t hunk_at(struct text head)
{
	char text[100] = "";
	unsigned long a = 0;
	unsigned long n = 1;

	memcpy(text, head.p, head.left < 99 ? head.left : 99);
	FUZZ_PROMISE(sscanf(text, "@@ -%lu,%lu", &a, &n) >= 1);
	return n ? a - 1 : a;
}

/* A reading of the diff that shares nothing with what wrote it. */
static void apply(struct text a, struct text diff, struct buf *out)
{
	size_t at = 0;

	while (diff.left) {
		struct text line = take_line(&diff);
		const char mark = line.p[0];
		struct text body = { line.p + 1, line.left - 1 };
		bool bare;

		if (mark == '@') {
			for (const size_t to = hunk_at(line); at < to; at++)
				copy(out, take_line(&a));
			continue;
		}
		bare = take_no_newline(&diff);
		if (mark != '+') {
			struct text from = take_line(&a);

			expect(body, from, bare);
			at++;
		}
		if (mark != '-')
			copy(out, (struct text){ body.p, body.left - bare });
	}
	copy(out, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(lines_done) struct lines a = { .at = NULL };
	CLEANUP(lines_done) struct lines b = { .at = NULL };
	CLEANUP(lines_changes_done) struct lines_changes x = { .v = NULL };
	CLEANUP(buf_done) struct buf diff;
	CLEANUP(buf_done) struct buf out;
	struct err e = { .code = ERR_NONE };
	const char *text = (const char *)bytes;
	const char *cut = n ? memmem(text, n, "\n=\n", 3) : NULL;
	const size_t a_len = cut ? (size_t)(cut - text) + 1 : n;
	const char *b_text = cut ? text + a_len + 2 : text;
	const size_t b_len = cut ? n - a_len - 2 : 0;

	buf_init(&diff, 64 * n + 4096);
	buf_init(&out, 2 * n + 1);
	FUZZ_PROMISE(lines_split(text, a_len, &a, &e) == 0);
	FUZZ_PROMISE(lines_split(b_text, b_len, &b, &e) == 0);
	FUZZ_PROMISE(lines_compare(&a, &b, &x, &e) == 0);
	FUZZ_PROMISE(lines_unified(&x, &a, &b, &diff, &e) == 0);
	apply((struct text){ text, a_len },
	      (struct text){ buf_str(&diff), diff.len }, &out);
	FUZZ_PROMISE(out.len == b_len);
	FUZZ_PROMISE(b_len == 0 || memcmp(out.data, b_text, b_len) == 0);
	return 0;
}
