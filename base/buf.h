/*
 * A growing byte string with a ceiling.
 *
 * Every buffer declares at birth how large it may become, so that input from
 * outside can never make a program exhaust memory: growing past the ceiling
 * fails with ERR_CORRUPT ("larger than ... allows"), running out of memory
 * with ERR_NO_MEMORY.  The bytes are followed by a NUL that len does not
 * count, so text can be handed to C functions.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct buf {
	uint8_t *data; /* NULL until something was added */
	size_t len;
	size_t cap;
	size_t max;   /* ceiling of len */
	size_t dirty; /* of cap, may have been written: buf_wipe() wipes it */
};

/* An empty buffer that may hold up to max bytes.  Allocates nothing. */
void buf_init(struct buf *b, size_t max) NONNULL(1);
/* Give the memory back; b is then as after buf_init().  NULL-safe inside. */
void buf_done(struct buf *b) NONNULL(1);
/* As buf_done(), after overwriting the bytes: for plaintext and secrets. */
void buf_wipe(struct buf *b) NONNULL(1);
/* Forget the bytes, keep the memory. */
void buf_clear(struct buf *b) NONNULL(1);

static inline void cleanup_buf_done(struct buf *b)
{
	buf_done(b);
}
static inline void cleanup_buf_wipe(struct buf *b)
{
	buf_wipe(b);
}

/* Make room for n more bytes, all of which may be written whatever len says;
 * data may move.  0 or -1. */
int buf_reserve(struct buf *b, size_t n, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
/*
 * As buf_reserve(), where most of it will not be written: after writing call
 * buf_wrote() with what was, at most.  A page that nobody writes costs nothing
 * then, not even when it is wiped.
 */
int buf_room(struct buf *b, size_t n, struct err *e) NONNULL(1, 3) MUST_CHECK;
void buf_wrote(struct buf *b, size_t n) NONNULL(1);
/* Append.  n = 0 is fine with bytes = NULL. */
int buf_add(struct buf *b, const void *bytes, size_t n, struct err *e)
	NONNULL(1, 4) MUST_CHECK;
int buf_add_byte(struct buf *b, uint8_t byte, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
int buf_add_str(struct buf *b, const char *s, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
int buf_addf(struct buf *b, struct err *e, const char *fmt, ...)
	PRINTF_LIKE(3, 4) NONNULL(1, 2) MUST_CHECK;
int buf_add_zeros(struct buf *b, size_t n, struct err *e) NONNULL(1, 3)
	MUST_CHECK;

/* Little-endian integers and the varint of base/cursor.h. */
int buf_add_u16(struct buf *b, uint16_t v, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
int buf_add_u32(struct buf *b, uint32_t v, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
int buf_add_u64(struct buf *b, uint64_t v, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
int buf_add_varint(struct buf *b, uint64_t v, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
/* Signed, as zigzag: 0, -1, 1, -2, … become 0, 1, 2, 3, … */
int buf_add_svarint(struct buf *b, int64_t v, struct err *e) NONNULL(1, 3)
	MUST_CHECK;

/* The bytes as a C string: never NULL. */
static inline const char *buf_str(const struct buf *b)
{
	return b->data ? (const char *)b->data : "";
}

#endif
