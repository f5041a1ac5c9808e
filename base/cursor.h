/*
 * Reading bytes that came from outside, without ever reading past them.
 *
 * A cursor walks a byte string that it does not own.  The first read that
 * does not fit makes the cursor bad: that read and all later ones return zero
 * or NULL, so a parser reads a whole record and asks cursor_finish() once.
 * Varints are unsigned LEB128 of at most ten bytes and must be minimal, so
 * that one value has one encoding; svarints are zigzag over that.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct cursor {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct cursor cursor_of(const void *bytes, size_t n)
{
	return (struct cursor){ .p = (const uint8_t *)bytes, .left = n };
}

uint8_t cursor_u8(struct cursor *c) NONNULL(1);
uint16_t cursor_u16(struct cursor *c) NONNULL(1);
uint32_t cursor_u32(struct cursor *c) NONNULL(1);
uint64_t cursor_u64(struct cursor *c) NONNULL(1);
uint64_t cursor_varint(struct cursor *c) NONNULL(1);
int64_t cursor_svarint(struct cursor *c) NONNULL(1);
/* A varint that must not exceed max. */
uint64_t cursor_varint_max(struct cursor *c, uint64_t max) NONNULL(1);
/* n bytes within the string, or NULL. */
const uint8_t *cursor_bytes(struct cursor *c, size_t n) NONNULL(1);
/* n bytes copied out; zeros when bad. */
void cursor_copy(struct cursor *c, void *out, size_t n) NONNULL(1);
/* The next n bytes as a cursor of their own. */
struct cursor cursor_sub(struct cursor *c, size_t n) NONNULL(1);
/* Whether all that is left is zero (padding). */
bool cursor_zeros(const struct cursor *c) NONNULL(1);

/* 0 when every read fitted and nothing is left, else ERR_CORRUPT. */
int cursor_finish(const struct cursor *c, const char *what, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
