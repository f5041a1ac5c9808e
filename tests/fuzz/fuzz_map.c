/*
 * A map of extents: the first eight bytes are the size that its parent claims.
 * What is taken is written and taken again as the same.
 */
#include "storage/repository/content.h"
#include "tests/support/fuzz.h"

static struct extent first[CONTENT_EXTENTS_MAX];
static struct extent second[CONTENT_EXTENTS_MAX];

static void check_same(const struct content *a, const struct content *b)
{
	FUZZ_PROMISE(a->level == b->level && a->n == b->n);
	for (size_t i = 0; i < a->n; i++) {
		const struct extent *x = &a->v[i];
		const struct extent *y = &b->v[i];

		FUZZ_PROMISE(x->len == y->len && x->offset == y->offset &&
			     x->hole == y->hole);
		FUZZ_PROMISE(chunk_id_equal(&x->id, &y->id));
	}
}

static void write_again(const struct content *a, uint64_t size)
{
	struct content_table t = { 0 };
	struct content b = { .v = second };
	CLEANUP(buf_done) struct buf out;
	struct err e = { 0 };
	struct cursor c;

	buf_init(&out, CHUNK_MAX);
	FUZZ_PROMISE(content_encode(a, &t, &out, &e) == 0);
	c = cursor_of(out.data, out.len);
	FUZZ_PROMISE(content_decode(&c, &t, size, &b, &e) == 0);
	FUZZ_PROMISE(c.left == 0);
	check_same(a, &b);
	content_table_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct content_table t = { 0 };
	struct content a = { .v = first };
	struct cursor c = cursor_of(bytes, n);
	const uint64_t size = cursor_u64(&c);
	uint64_t sum = 0;
	struct err e = { 0 };

	if (content_table_decode(&c, &t, &e) == 0 &&
	    content_decode(&c, &t, size, &a, &e) == 0) {
		for (size_t i = 0; i < a.n; i++)
			sum += a.v[i].len;
		FUZZ_PROMISE(sum == size);
		write_again(&a, size);
	} else {
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
	}
	content_table_done(&t);
	return 0;
}
