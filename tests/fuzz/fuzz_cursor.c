/* The first bytes choose what is read from the rest. */
#include "base/buf.h"
#include "base/cursor.h"
#include "tests/support/fuzz.h"

static void read_varint(struct cursor *c)
{
	CLEANUP(buf_done) struct buf b;
	const uint8_t *at = c->p;
	struct err e;
	uint64_t v;

	buf_init(&b, 10);
	v = cursor_varint(c);
	if (c->bad) {
		FUZZ_PROMISE(v == 0);
		return;
	}
	/* One value, one encoding. */
	FUZZ_PROMISE(!buf_add_varint(&b, v, &e));
	FUZZ_PROMISE(b.len == (size_t)(c->p - at));
	FUZZ_PROMISE(memcmp(b.data, at, b.len) == 0);
}

static void read_one(struct cursor *c, uint8_t what)
{
	uint8_t copy[16];
	struct cursor part;

	switch (what % 9) {
	case 0:
		(void)cursor_u8(c);
		break;
	case 1:
		(void)cursor_u16(c);
		break;
	case 2:
		(void)cursor_u32(c);
		break;
	case 3:
		(void)cursor_u64(c);
		break;
	case 4:
		read_varint(c);
		break;
	case 5:
		(void)cursor_svarint(c);
		break;
	case 6:
		cursor_copy(c, copy, what % 17);
		break;
	case 7:
		FUZZ_PROMISE(cursor_varint_max(c, what) <= what);
		break;
	default:
		part = cursor_sub(c, what);
		FUZZ_PROMISE(part.bad || part.left == what);
		read_varint(&part);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const size_t reads = n < 32 ? n / 2 : 16;
	struct cursor c = cursor_of(bytes + reads, n - reads);
	struct err e = { .code = ERR_NONE };
	int finished;

	for (size_t i = 0; i < reads; i++) {
		const bool was_bad = c.bad;
		const size_t left = c.left;

		read_one(&c, bytes[i]);
		FUZZ_PROMISE(c.left <= left);
		FUZZ_PROMISE(c.bad || !was_bad);
		FUZZ_PROMISE(c.p + c.left == bytes + n);
	}
	finished = cursor_finish(&c, "the input", &e);
	FUZZ_PROMISE((finished == 0) == (!c.bad && c.left == 0));
	FUZZ_PROMISE((finished == 0) == (e.code == ERR_NONE));
	return 0;
}
