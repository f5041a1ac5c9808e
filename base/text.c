#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The bytes of the well-formed UTF-8 character at p, or 0. */
static size_t utf8_size(const uint8_t *p, size_t n)
{
	/* Lowest and highest second byte narrow E0, ED, F0 and F4. */
	uint8_t low = 0x80;
	uint8_t high = 0xbf;
	size_t size;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n < size || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return size;
}

bool text_is_utf8(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		const size_t size = utf8_size(p, n);

		if (size == 0)
			return false;
		p += size;
		n -= size;
	}
	return true;
}

/*
 * Characters that would let a file name rewrite the line it is shown in: the
 * C1 controls, and those that set or override the direction of writing.
 */
static bool is_hostile(const uint8_t *p, size_t size)
{
	if (size == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (size != 3 || p[0] != 0xe2)
		return false;
	return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f ||
				 (p[2] >= 0xa8 && p[2] < 0xaf))) ||
	       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

#define UNIT_MAX 16 /* four bytes of "\xNN" */

struct unit {
	size_t taken; /* bytes of the input */
	size_t len;
	char s[UNIT_MAX];
};

static void unit_add_byte(struct unit *u, uint8_t byte)
{
	static const char digits[] = "0123456789abcdef";
	static const char from[] = "\n\t\r\"\\";
	static const char to[] = "ntr\"\\";
	const char *at = byte ? strchr(from, byte) : NULL;

	u->s[u->len++] = '\\';
	if (at) {
		u->s[u->len++] = to[at - from];
		return;
	}
	u->s[u->len++] = 'x';
	u->s[u->len++] = digits[byte >> 4];
	u->s[u->len++] = digits[byte & 15];
}

/* The next character of the n > 0 bytes at p, as a message shows it. */
static struct unit next_unit(const uint8_t *p, size_t n)
{
	const size_t size = utf8_size(p, n);
	struct unit u = { .taken = size ? size : 1 };

	if (size > 1 && !is_hostile(p, size)) {
		memcpy(u.s, p, size);
		u.len = size;
	} else if (size == 1 && p[0] >= 0x20 && p[0] < 0x7f && p[0] != '"' &&
		   p[0] != '\\') {
		u.s[u.len++] = (char)p[0];
	} else {
		for (size_t i = 0; i < u.taken; i++)
			unit_add_byte(&u, p[i]);
	}
	return u;
}

size_t text_escape(const void *bytes, size_t n, char *out, size_t room)
{
	const uint8_t *p = bytes;
	size_t len = 0;

	while (n > 0) {
		const struct unit u = next_unit(p, n);

		if (len + u.len >= room)
			break;
		memcpy(out + len, u.s, u.len);
		len += u.len;
		p += u.taken;
		n -= u.taken;
	}
	out[len] = '\0';
	return len;
}

static const char dots[] = "…";

static bool goes_on(char c)
{
	return ((unsigned char)c & 0xc0U) == 0x80;
}

char *text_fit(const char *text, char *out, size_t room)
{
	const size_t n = strlen(text);
	size_t head = (room - sizeof(dots)) / 2;
	size_t tail = room - sizeof(dots) - head;

	if (n < room) {
		memcpy(out, text, n + 1);
		return out;
	}
	while (head > 0 && goes_on(text[head]))
		head--;
	while (tail > 0 && goes_on(text[n - tail]))
		tail--;
	memcpy(out, text, head);
	memcpy(out + head, dots, sizeof(dots) - 1);
	memcpy(out + head + sizeof(dots) - 1, text + n - tail, tail + 1);
	return out;
}

#define QUOTE_MAX 180
#define QUOTE_END 88 /* what stays of either end when the middle goes */

struct text_quoted text_quote(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	struct text_quoted q;
	size_t total = 0;
	size_t done = 0;
	size_t len = 0;
	bool cut = false;

	for (size_t i = 0; i < n;) {
		const struct unit u = next_unit(p + i, n - i);

		total += u.len;
		i += u.taken;
	}
	q.s[len++] = '"';
	for (size_t i = 0; i < n;) {
		const struct unit u = next_unit(p + i, n - i);

		i += u.taken;
		done += u.len;
		if (total > QUOTE_MAX && done > QUOTE_END &&
		    total - (done - u.len) > QUOTE_END) {
			if (!cut)
				memcpy(q.s + len, dots, sizeof(dots) - 1);
			if (!cut)
				len += sizeof(dots) - 1;
			cut = true;
			continue;
		}
		memcpy(q.s + len, u.s, u.len);
		len += u.len;
	}
	q.s[len++] = '"';
	q.s[len] = '\0';
	return q;
}

struct text_quoted text_quote_str(const char *s)
{
	return text_quote(s, strlen(s));
}

void text_hex(const void *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool text_unhex(const char *digits, size_t n, void *out)
{
	uint8_t *p = out;

	for (size_t i = 0; i < n; i++) {
		const int high = hex_value(digits[2 * i]);
		const int low = high < 0 ? -1 : hex_value(digits[2 * i + 1]);

		if (low < 0)
			return false;
		p[i] = (uint8_t)(high * 16 + low);
	}
	return digits[2 * n] == '\0';
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t text_base64_size(size_t n)
{
	return (n + 2) / 3 * 4 + 1;
}

void text_base64(const void *bytes, size_t n, char *out)
{
	const uint8_t *p = bytes;

	for (; n > 0; p += 3) {
		const size_t k = n < 3 ? n : 3;
		const unsigned int v = (unsigned int)p[0] << 16 |
				       (k > 1 ? (unsigned int)p[1] << 8 : 0) |
				       (k > 2 ? p[2] : 0);

		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		out[0] = out[1] = '=';
		if (k > 1)
			out[0] = base64_digits[v >> 6 & 63];
		if (k > 2)
			out[1] = base64_digits[v & 63];
		out += 2;
		n -= k;
	}
	*out = '\0';
}

ptrdiff_t text_unbase64(const char *s, size_t n, void *out)
{
	uint8_t *p = out;
	size_t pad = 0;
	unsigned int v = 0;

	if (n % 4 != 0)
		return -1;
	while (n > 0 && pad < 2 && s[n - pad - 1] == '=')
		pad++;
	for (size_t i = 0; i < n - pad; i++) {
		const char *at = s[i] ? strchr(base64_digits, s[i]) : NULL;

		if (!at)
			return -1;
		v = (v << 6 | (unsigned int)(at - base64_digits)) & 0xffffff;
		if (i % 4 > 0)
			*p++ = (uint8_t)(v >> (6 - 2 * (i % 4)));
	}
	/* One encoding for one value: the bits under the padding are zero. */
	if ((pad == 1 && (v & 3)) || (pad == 2 && (v & 15)))
		return -1;
	return p - (uint8_t *)out;
}

void text_size(uint64_t bytes, char out[16])
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	unsigned int unit = 0;
	unsigned int shift = 0;
	uint64_t tenths;

	if (bytes < 1024) {
		(void)snprintf(out, 16, "%u B", (unsigned int)bytes);
		return;
	}
	do {
		unit++;
		shift += 10;
		tenths = (bytes >> shift) * 10 +
			 ((bytes >> (shift - 10) & 1023) * 10 + 512) / 1024;
	} while (tenths >= 10240);
	if (tenths < 1000)
		(void)snprintf(out, 16, "%u.%u %s", (unsigned int)tenths / 10,
			       (unsigned int)tenths % 10, units[unit]);
	else
		(void)snprintf(out, 16, "%u %s", (unsigned int)tenths / 10,
			       units[unit]);
}

bool text_number(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	const bool negative = *s == '-';
	int64_t v = 0;

	if (negative)
		s++;
	if (!*s)
		return false;
	/* Counted downwards, where there is room for INT64_MIN. */
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, *s - '0', &v))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, v, &v))
		return false;
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

#define DISTANCE_MAX 64

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

unsigned int text_distance(const char *a, const char *b)
{
	/* Three rows of the table: of i - 2, i - 1 and i bytes of a. */
	unsigned int rows[3][DISTANCE_MAX + 1];
	const size_t na = strnlen(a, DISTANCE_MAX + 1);
	const size_t nb = strnlen(b, DISTANCE_MAX + 1);

	if (na > DISTANCE_MAX || nb > DISTANCE_MAX)
		return UINT_MAX;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i + 2) % 3];
		const unsigned int *swap = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				       above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(row[j], swap[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}
