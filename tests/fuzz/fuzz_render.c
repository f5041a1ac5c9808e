/*
 * A reply as people see it: the first byte chooses view, form and colour, the
 * second how the text is cut.  Whatever names and lines hold, a terminal gets
 * text, newlines, and the colours that we made.
 */
#include <stdio.h>

#include "base/text.h"
#include "service/render.h"
#include "tests/support/fuzz.h"

static const char *const views[] = {
	NULL,
	"id time:age source bytes:size",
	"type mode:mode uid gid size:size mtime:time path link",
	"a.b:fields c:list d:yesno e:short f:seconds g:count state:state "
	"+state=expected",
	"!apply",
	"!check",
	"!status",
	"!drill",
	"!run",
	"!diff",
};
#define VIEWS (sizeof(views) / sizeof(views[0]))

/* The length of a colour at p, or 0. */
static size_t colour(const char *p)
{
	const size_t n = p[0] == '\033' && p[1] == '['
				 ? strspn(p + 2, "0123456789;")
				 : 0;

	return n && p[2 + n] == 'm' ? n + 3 : 0;
}

static void check(const char *text, size_t n, bool coloured)
{
	FUZZ_PROMISE(strlen(text) == n);
	FUZZ_PROMISE(text_is_utf8(text, n));
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (c == '\033') {
			FUZZ_PROMISE(coloured && colour(text + i));
			i += colour(text + i) - 1;
			continue;
		}
		FUZZ_PROMISE(c == '\n' || c == '\t' ||
			     (c >= 0x20 && c != 0x7f));
		/* C1 controls, and what turns the direction of writing. */
		FUZZ_PROMISE(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
		FUZZ_PROMISE(strncmp(text + i, "\xe2\x80\xae", 3) != 0);
	}
}

static int write_all(struct render *r, const char *text, size_t n, size_t step,
		     struct err *e)
{
	for (size_t at = 0; at < n; at += step)
		if (render_write(r, text + at, n - at < step ? n - at : step,
				 e) < 0)
			return -1;
	return render_finish(r, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct render_style style = { .now = { .sec = 1000000000 } };
	struct render *r = NULL;
	char *text = NULL;
	size_t size = 0;
	struct err e = { .code = ERR_NONE };
	FILE *out;

	if (n < 2)
		return 0;
	style.form = bytes[0] / VIEWS % 4 == 2 ? RENDER_CSV : RENDER_TEXT;
	style.colour = bytes[0] / VIEWS % 2;
	out = open_memstream(&text, &size);
	FUZZ_PROMISE(out != NULL);
	FUZZ_PROMISE(render_new(&r, out, views[bytes[0] % VIEWS], &style, &e) ==
		     0);
	if (write_all(r, (const char *)bytes + 2, n - 2, bytes[1] + 1U, &e) < 0)
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
	render_free(r);
	(void)fclose(out);
	if (style.form == RENDER_TEXT)
		check(text, size, style.colour);
	free(text);
	return 0;
}
