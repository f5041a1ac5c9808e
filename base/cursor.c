#include "base/cursor.h"

#include <string.h>

const uint8_t *cursor_bytes(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->left) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

void cursor_copy(struct cursor *c, void *out, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);

	if (p && n)
		memcpy(out, p, n);
	else if (n)
		memset(out, 0, n);
}

static uint64_t little_endian(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)little_endian(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
	return (uint16_t)little_endian(c, 2);
}

uint32_t cursor_u32(struct cursor *c)
{
	return (uint32_t)little_endian(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
	return little_endian(c, 8);
}

uint64_t cursor_varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64 && !c->bad && c->left;
	     shift += 7) {
		const uint8_t byte = *c->p++;

		c->left--;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		/* Not minimal, or bits beyond the 64th. */
		if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
			break;
		return v;
	}
	c->bad = true;
	return 0;
}

int64_t cursor_svarint(struct cursor *c)
{
	const uint64_t u = cursor_varint(c);

	return (int64_t)((u >> 1) ^ (~(u & 1) + 1));
}

uint64_t cursor_varint_max(struct cursor *c, uint64_t max)
{
	const uint64_t v = cursor_varint(c);

	if (v <= max)
		return v;
	c->bad = true;
	return 0;
}

struct cursor cursor_sub(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);

	return (struct cursor){ .p = p, .left = p ? n : 0, .bad = c->bad };
}

bool cursor_zeros(const struct cursor *c)
{
	uint8_t any = 0;

	for (size_t i = 0; i < c->left; i++)
		any |= c->p[i];
	return any == 0;
}

int cursor_finish(const struct cursor *c, const char *what, struct err *e)
{
	if (c->bad)
		return err_set(e, ERR_CORRUPT, "%s ends too early", what);
	if (c->left)
		return err_set(e, ERR_CORRUPT, "%s has %zu bytes too many",
			       what, c->left);
	return 0;
}
