#include "storage/compare_stream.h"

#include <string.h>

static int poll_outside(const struct compare_stream *s, struct err *e)
{
	if (!s->cancel || !atomic_load(s->cancel))
		return 0;
	return err_set(e, ERR_INTERRUPTED, "asked to stop");
}

/* Make sure that something is there: 1, or 0 at the end. */
static int stream_fill(struct compare_stream *s, struct err *e)
{
	struct source_extent x;
	int got;

	if (s->hole || s->at < s->len)
		return 1;
	got = source_read(s->handle, s->bytes, COMPARE_STREAM_BYTES, &x, e);
	if (got != 1)
		return got;
	if (x.hole) {
		s->hole = x.len;
	} else {
		s->at = 0;
		s->len = (size_t)x.len;
	}
	return 1;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Whether the next n bytes are those of want (NULL: zeros): 1, 0, -1. */
static int stream_is(struct compare_stream *s, const uint8_t *want, uint64_t n,
		     struct err *e)
{
	while (n) {
		const int got = stream_fill(s, e);
		uint64_t now = s->hole ? s->hole : s->len - s->at;
		bool same;

		if (got != 1)
			return got;
		if (now > n)
			now = n;
		if (s->hole)
			same = !want || is_zero(want, (size_t)now);
		else if (want)
			same = memcmp(want, s->bytes + s->at, (size_t)now) == 0;
		else
			same = is_zero(s->bytes + s->at, (size_t)now);
		if (!same)
			return 0;
		if (s->hole)
			s->hole -= now;
		else
			s->at += (size_t)now;
		if (want)
			want += now;
		n -= now;
	}
	return 1;
}

static int compare_extent(void *arg, uint64_t offset, const struct extent *x,
			  struct err *e)
{
	struct compare_stream *s = (struct compare_stream *)arg;
	const uint8_t *plain = NULL;
	size_t n = 0;
	int same;

	if (poll_outside(s, e))
		return -1;
	ahead_reached(s->ahead, s->position + offset);
	if (!x->hole) {
		if (reader_get(s->data, &x->id, CHUNK_DATA, &plain, &n, e))
			return -1;
		if (x->offset > n || x->len > n - x->offset)
			return err_set(e, ERR_CORRUPT,
				       "a file refers to bytes beyond its "
				       "chunk");
		plain += x->offset;
	}
	same = stream_is(s, plain, x->len, e);
	if (same < 0)
		return -1;
	s->compared += x->len;
	s->differs = !same;
	return s->differs;
}

int compare_stream_same(struct compare_stream *s, struct source_handle *h,
			const struct content *c, struct err *e)
{
	int more;

	s->handle = h;
	s->hole = 0;
	s->at = 0;
	s->len = 0;
	s->differs = false;
	if (content_walk(s->nodes, c, compare_extent, s, e) < 0)
		return -1;
	if (s->differs)
		return 0;
	more = stream_fill(s, e);
	return more < 0 ? -1 : !more;
}
