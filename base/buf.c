#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 64
#define LARGE	 ((size_t)1 << 20)

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->dirty);
	buf_done(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = 0;
}

/*
 * Small ones double.  Of large ones a quarter is enough, as the old and the new
 * one are there at once, and the old one's memory is not of use to the next.
 */
static size_t grown(size_t cap)
{
	if (cap < SMALLEST)
		return SMALLEST;
	return cap < LARGE ? 2 * cap : cap + cap / 4;
}

/*
 * Grows by copying into fresh memory and wiping what was written of the old
 * block: realloc() would leave copies of plaintext in the heap.
 */
static int grow(struct buf *b, size_t want, struct err *e)
{
	size_t cap = grown(b->cap);
	uint8_t *fresh;

	if (cap < want)
		cap = want;
	if (cap > b->max + 1)
		cap = b->max + 1;
	fresh = malloc(cap);
	if (!fresh)
		return err_oom(e);
	if (b->data) {
		memcpy(fresh, b->data, b->len);
		explicit_bzero(b->data, b->dirty);
		free(b->data);
	}
	fresh[b->len] = 0;
	b->data = fresh;
	b->cap = cap;
	b->dirty = b->len + 1;
	return 0;
}

int buf_room(struct buf *b, size_t n, struct err *e)
{
	if (n > b->max || b->len > b->max - n)
		return err_set(e, ERR_CORRUPT,
			       "%zu bytes more than the %zu that fit here", n,
			       b->max);
	return b->len + n + 1 <= b->cap ? 0 : grow(b, b->len + n + 1, e);
}

void buf_wrote(struct buf *b, size_t n)
{
	if (b->dirty < b->len + n + 1)
		b->dirty = b->len + n + 1;
}

int buf_reserve(struct buf *b, size_t n, struct err *e)
{
	if (buf_room(b, n, e))
		return -1;
	buf_wrote(b, n);
	return 0;
}

int buf_add(struct buf *b, const void *bytes, size_t n, struct err *e)
{
	if (buf_reserve(b, n, e))
		return -1;
	if (n)
		memcpy(b->data + b->len, bytes, n);
	b->len += n;
	b->data[b->len] = 0;
	return 0;
}

int buf_add_byte(struct buf *b, uint8_t byte, struct err *e)
{
	return buf_add(b, &byte, 1, e);
}

int buf_add_str(struct buf *b, const char *s, struct err *e)
{
	return buf_add(b, s, strlen(s), e);
}

int buf_addf(struct buf *b, struct err *e, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return err_set(e, ERR_BUG, "cannot format \"%s\"", fmt);
	if ((size_t)n < sizeof(small))
		return buf_add(b, small, (size_t)n, e);
	if (buf_reserve(b, (size_t)n, e))
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

int buf_add_zeros(struct buf *b, size_t n, struct err *e)
{
	if (buf_reserve(b, n, e))
		return -1;
	memset(b->data + b->len, 0, n + 1);
	b->len += n;
	return 0;
}

int buf_add_u16(struct buf *b, uint16_t v, struct err *e)
{
	const uint8_t le[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	return buf_add(b, le, sizeof(le), e);
}

int buf_add_u32(struct buf *b, uint32_t v, struct err *e)
{
	uint8_t le[4];

	for (unsigned int i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> (8 * i));
	return buf_add(b, le, sizeof(le), e);
}

int buf_add_u64(struct buf *b, uint64_t v, struct err *e)
{
	uint8_t le[8];

	for (unsigned int i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> (8 * i));
	return buf_add(b, le, sizeof(le), e);
}

int buf_add_varint(struct buf *b, uint64_t v, struct err *e)
{
	uint8_t out[10];
	size_t n = 0;

	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return buf_add(b, out, n, e);
}

int buf_add_svarint(struct buf *b, int64_t v, struct err *e)
{
	const uint64_t u = (uint64_t)v;

	return buf_add_varint(b, v < 0 ? ~(u << 1) : u << 1, e);
}
