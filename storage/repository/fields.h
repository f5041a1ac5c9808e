/*
 * The payload of small objects: tagged fields in ascending order (FORMAT.md
 * §2).  Written with fields_add_*() in order; read by walking.
 */
#ifndef STORAGE_REPOSITORY_FIELDS_H
#define STORAGE_REPOSITORY_FIELDS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/object.h"

int fields_add(struct buf *b, uint64_t tag, const void *bytes, size_t n,
	       struct err *e) NONNULL(1, 5) MUST_CHECK;
int fields_add_str(struct buf *b, uint64_t tag, const char *s, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/*
 * from (NULL: "") as a text that field_str() takes back: cut between
 * characters to fit n bytes with the NUL, what is no UTF-8 replaced by '?'.
 * For text that describes; what a record is about must not be cut.
 */
void fields_text(char *to, size_t n, const char *from) NONNULL(1);
int fields_add_uint(struct buf *b, uint64_t tag, uint64_t v, struct err *e)
	NONNULL(1, 4) MUST_CHECK;
int fields_add_instant(struct buf *b, uint64_t tag, struct instant t,
		       struct err *e) NONNULL(1, 4) MUST_CHECK;
int fields_add_id(struct buf *b, uint64_t tag, struct object_id id,
		  struct err *e) NONNULL(1, 4) MUST_CHECK;

struct field {
	uint64_t tag;
	struct cursor value;
};
/*
 * The next field: 1; 0 at the end; -1 (ERR_CORRUPT) when the list is broken
 * or tags descend.  *last_tag starts at 0.
 */
int fields_next(struct cursor *c, uint64_t *last_tag, struct field *ret,
		struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* The whole value as one thing; each sets value.bad when it is not that. */
uint64_t field_uint(struct field *f) NONNULL(1);
struct instant field_instant(struct field *f) NONNULL(1);
struct object_id field_id(struct field *f) NONNULL(1);
/* UTF-8 without NUL into out (n bytes with the NUL). */
void field_str(struct field *f, char *out, size_t n) NONNULL(1, 2);

#endif
