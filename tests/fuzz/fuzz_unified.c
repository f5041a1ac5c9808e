/*
 * What is shown of a file that differs: its name on the first line, then what
 * it held, a line with "=", and what it holds.  As text it is a unified diff
 * whose head names the file, however it is called.
 */
#include "service/unified.h"
#include "tests/support/fuzz.h"

struct two {
	const char *p[2];
	size_t n[2];
};

static int read_side(void *arg, bool after, struct buf *out, struct err *e)
{
	const struct two *t = arg;

	return buf_add(out, t->p[after], t->n[after], e) ? -1 : 1;
}

/* Undo what git and GNU diff do to a name; its length. */
static size_t unquote(const char *at, char *out)
{
	static const char letters[] = "abtnvfr";
	char *to = out;

	if (*at != '"') {
		const size_t n = strcspn(at, "\t\n");

		memcpy(out, at, n);
		return n;
	}
	for (at++; *at != '"'; at++) {
		unsigned int byte = (unsigned char)*at;

		FUZZ_PROMISE(byte >= 32 && byte != 127);
		if (*at == '\\') {
			const char *letter = strchr(letters, *++at);

			FUZZ_PROMISE(*at != '\0');
			if (letter) {
				byte = 7 + (unsigned int)(letter - letters);
			} else if (*at >= '0' && *at <= '3') {
				FUZZ_PROMISE(sscanf(at, "%3o", &byte) == 1);
				at += 2;
			} else {
				byte = (unsigned char)*at;
			}
		}
		*to++ = (char)byte;
	}
	return (size_t)(to - out);
}

static void check_head(const char *text, const struct entry *en)
{
	const char *second = strchr(text, '\n');
	char *name = malloc(strlen(text) + 1);

	FUZZ_PROMISE(name != NULL && second != NULL);
	FUZZ_PROMISE(strncmp(text, "--- ", 4) == 0);
	FUZZ_PROMISE(strncmp(++second, "+++ ", 4) == 0);
	FUZZ_PROMISE(unquote(text + 4, name) == en->path_len &&
		     memcmp(name, en->path, en->path_len) == 0);
	FUZZ_PROMISE(unquote(second + 4, name) == en->path_len &&
		     memcmp(name, en->path, en->path_len) == 0);
	FUZZ_PROMISE(strncmp(strchr(second, '\n') + 1, "@@ -", 4) == 0);
	free(name);
}

static void show(const struct diff_change *c)
{
	CLEANUP(unified_done) struct unified x;
	CLEANUP(mask_free) struct mask *m = NULL;
	struct err e = { 0 };

	unified_init(&x);
	FUZZ_PROMISE(mask_new(&m, &e) == 0);
	if (unified_make(c, m, &x, &e) != 1)
		return;
	FUZZ_PROMISE(!x.instead || x.text.len == 0);
	if (x.text.len)
		check_head(buf_str(&x.text), c->after);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const char *text = (const char *)bytes;
	const char *line = n ? memchr(text, '\n', n) : NULL;
	struct entry en = { .type = ENTRY_FILE, .path = text };
	struct diff_change c = { .before = &en,
				 .after = &en,
				 .aspects = DIFF_CONTENT,
				 .read = read_side };
	struct two t;
	const char *cut;

	if (!line || line == text || n > (1 << 16))
		return 0;
	en.path_len = (size_t)(line - text);
	if (memchr(text, '\0', en.path_len))
		return 0;
	t.p[0] = line + 1;
	t.n[0] = n - en.path_len - 1;
	cut = memmem(t.p[0], t.n[0], "\n=\n", 3);
	if (!cut)
		return 0;
	t.p[1] = cut + 3;
	t.n[1] = t.n[0] - (size_t)(cut + 3 - t.p[0]);
	t.n[0] = (size_t)(cut + 1 - t.p[0]);
	c.read_arg = &t;
	show(&c);
	return 0;
}
