#include "storage/repository/fields.h"

#include <string.h>

#include "base/text.h"

int fields_add(struct buf *b, uint64_t tag, const void *bytes, size_t n,
	       struct err *e)
{
	if (buf_add_varint(b, tag, e) || buf_add_varint(b, n, e))
		return -1;
	return buf_add(b, bytes, n, e);
}

int fields_add_str(struct buf *b, uint64_t tag, const char *s, struct err *e)
{
	return fields_add(b, tag, s, strlen(s), e);
}

/* The bytes of the character at s, 0 when there is none that is whole. */
static size_t character(const char *s)
{
	for (size_t n = 1; n <= 4 && s[n - 1]; n++)
		if (text_is_utf8(s, n))
			return n;
	return 0;
}

void fields_text(char *to, size_t n, const char *from)
{
	size_t at = 0;

	while (from && *from) {
		const size_t width = character(from);
		const size_t more = width ? width : 1;

		if (at + more >= n)
			break;
		if (width)
			memcpy(to + at, from, width);
		else
			to[at] = '?';
		at += more;
		from += more;
	}
	to[at] = '\0';
}

/* A value of a few bytes is put together apart, to know its length first. */
#define SMALL_VALUE 32

int fields_add_uint(struct buf *b, uint64_t tag, uint64_t v, struct err *e)
{
	CLEANUP(buf_done) struct buf value;

	buf_init(&value, SMALL_VALUE);
	if (buf_add_varint(&value, v, e))
		return -1;
	return fields_add(b, tag, value.data, value.len, e);
}

int fields_add_instant(struct buf *b, uint64_t tag, struct instant t,
		       struct err *e)
{
	CLEANUP(buf_done) struct buf value;

	buf_init(&value, SMALL_VALUE);
	if (buf_add_svarint(&value, t.sec, e) ||
	    buf_add_varint(&value, t.nsec, e))
		return -1;
	return fields_add(b, tag, value.data, value.len, e);
}

int fields_add_id(struct buf *b, uint64_t tag, struct object_id id,
		  struct err *e)
{
	return fields_add(b, tag, id.b, sizeof(id.b), e);
}

int fields_next(struct cursor *c, uint64_t *last_tag, struct field *ret,
		struct err *e)
{
	struct field f;

	if (c->bad)
		return err_set(e, ERR_CORRUPT, "a field ends too early");
	if (c->left == 0)
		return 0;
	f.tag = cursor_varint(c);
	f.value = cursor_sub(c, cursor_varint_max(c, SIZE_MAX));
	if (c->bad)
		return err_set(e, ERR_CORRUPT, "a field ends too early");
	if (f.tag == 0 || f.tag < *last_tag)
		return err_set(e, ERR_CORRUPT, "fields are out of order");
	*last_tag = f.tag;
	*ret = f;
	return 1;
}

/* What is left over means that the value is not what was asked for. */
static void whole(struct field *f)
{
	if (f->value.left)
		f->value.bad = true;
}

uint64_t field_uint(struct field *f)
{
	const uint64_t v = cursor_varint(&f->value);

	whole(f);
	return f->value.bad ? 0 : v;
}

struct instant field_instant(struct field *f)
{
	struct instant t;

	t.sec = cursor_svarint(&f->value);
	t.nsec = (uint32_t)cursor_varint_max(&f->value, 999999999);
	whole(f);
	if (f->value.bad)
		t = (struct instant){ 0 };
	return t;
}

struct object_id field_id(struct field *f)
{
	struct object_id id;

	cursor_copy(&f->value, id.b, sizeof(id.b));
	whole(f);
	if (f->value.bad)
		memset(&id, 0, sizeof(id));
	return id;
}

void field_str(struct field *f, char *out, size_t n)
{
	/* cppcheck-suppress ctuuninitvar ; fields_next() filled it in */
	const size_t len = f->value.left;
	const uint8_t *p = cursor_bytes(&f->value, len);

	if (n == 0)
		return;
	out[0] = '\0';
	if (!p || len >= n || memchr(p, 0, len) || !text_is_utf8(p, len)) {
		f->value.bad = true;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}
