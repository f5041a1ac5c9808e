/*
 * Encodings and what is shown of bytes nobody vouches for: what is decoded is
 * encoded to the same, and what is shown can do a terminal no harm.
 */
#include "base/text.h"
#include "tests/support/fuzz.h"

/* RFC 3629 by code points, where text_is_utf8() goes by ranges of bytes. */
static size_t code_point(const uint8_t *p, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const size_t size = p[0] < 0x80		    ? 1
			    : (p[0] & 0xe0) == 0xc0 ? 2
			    : (p[0] & 0xf0) == 0xe0 ? 3
			    : (p[0] & 0xf8) == 0xf0 ? 4
						    : 0;

	if (size == 0 || size > n)
		return 0;
	*ret = size == 1 ? p[0] : p[0] & (0xffU >> (size + 1));
	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*ret = *ret << 6 | (p[i] & 0x3fU);
	}
	return *ret < least[size] || *ret > 0x10ffff ||
			       (*ret >= 0xd800 && *ret < 0xe000)
		       ? 0
		       : size;
}

static bool is_utf8(const uint8_t *p, size_t n)
{
	uint32_t c;

	while (n > 0) {
		const size_t size = code_point(p, n, &c);

		if (size == 0)
			return false;
		p += size;
		n -= size;
	}
	return true;
}

/* One line of characters that neither move a cursor nor turn its direction. */
static void check_shown(const char *shown)
{
	const uint8_t *p = (const uint8_t *)shown;
	size_t n = strlen(shown);
	uint32_t c;

	while (n > 0) {
		const size_t size = code_point(p, n, &c);

		FUZZ_PROMISE(size > 0);
		FUZZ_PROMISE(c >= 0x20 && c != 0x7f && (c < 0x80 || c >= 0xa0));
		FUZZ_PROMISE(c < 0x200e || c > 0x200f);
		FUZZ_PROMISE(c < 0x2028 || c > 0x202e);
		FUZZ_PROMISE(c < 0x2066 || c > 0x2069);
		p += size;
		n -= size;
	}
}

static void show(const uint8_t *bytes, size_t n)
{
	const struct text_quoted q = text_quote(bytes, n);
	char out[64];
	size_t len;

	check_shown(q.s);
	FUZZ_PROMISE(strlen(q.s) >= 2 && q.s[0] == '"' &&
		     q.s[strlen(q.s) - 1] == '"');
	for (size_t room = 1; room <= sizeof(out); room += 7) {
		len = text_escape(bytes, n, out, room);
		FUZZ_PROMISE(len < room && strlen(out) == len);
		check_shown(out);
	}
}

static void decode_base64(const char *text, size_t n)
{
	uint8_t *out = malloc(n / 4 * 3 + 1);
	char *again;
	ptrdiff_t got;

	FUZZ_PROMISE(out != NULL);
	got = text_unbase64(text, n, out);
	if (got >= 0) {
		again = malloc(text_base64_size((size_t)got));
		FUZZ_PROMISE(again != NULL);
		text_base64(out, (size_t)got, again);
		FUZZ_PROMISE(strlen(again) == n && memcmp(again, text, n) == 0);
		free(again);
	}
	free(out);
}

static void decode_hex(const char *text)
{
	const size_t n = strlen(text);
	uint8_t out[16];
	char again[33];

	for (size_t k = 0; k <= sizeof(out) && 2 * k <= n; k++) {
		if (!text_unhex(text, k, out))
			continue;
		FUZZ_PROMISE(2 * k == n);
		text_hex(out, k, again);
		FUZZ_PROMISE(strcasecmp(again, text) == 0);
	}
}

static void read_number(const char *text)
{
	char again[32];
	int64_t v;

	if (!text_number(text, INT64_MIN, INT64_MAX, &v))
		return;
	FUZZ_PROMISE(text_number(text, v, v, &v));
	FUZZ_PROMISE(v == INT64_MAX ||
		     !text_number(text, v + 1, INT64_MAX, &v));
	(void)snprintf(again, sizeof(again), "%jd", (intmax_t)v);
	FUZZ_PROMISE(text_number(again, v, v, &v));
	FUZZ_PROMISE(strtoll(text, NULL, 10) == v);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	char *other = strchr(text, '\n');
	char size[16];
	uint64_t v = 0;

	show(bytes, n);
	FUZZ_PROMISE(text_is_utf8(bytes, n) == is_utf8(bytes, n));
	decode_base64(text, n);
	decode_hex(text);
	read_number(text);
	if (n >= sizeof(v))
		memcpy(&v, bytes, sizeof(v));
	text_size(v, size);
	if (other) {
		*other++ = '\0';
		FUZZ_PROMISE(text_distance(text, other) ==
			     text_distance(other, text));
		FUZZ_PROMISE((text_distance(text, other) == 0) ==
			     (strcmp(text, other) == 0));
	}
	free(text);
	return 0;
}
