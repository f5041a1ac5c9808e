/* What a buffer writes, a cursor reads; what it reads has one encoding. */
#include "base/cursor.h"

#include "base/buf.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

enum { KINDS = 7, ITEMS = 200 };

struct item {
	unsigned int kind;
	uint64_t v;
};

static void write_item(struct buf *b, struct item *it)
{
	struct err e;
	int result = 0;

	switch (it->kind) {
	case 0:
		it->v = (uint8_t)it->v;
		result = buf_add_byte(b, (uint8_t)it->v, &e);
		break;
	case 1:
		it->v = (uint16_t)it->v;
		result = buf_add_u16(b, (uint16_t)it->v, &e);
		break;
	case 2:
		it->v = (uint32_t)it->v;
		result = buf_add_u32(b, (uint32_t)it->v, &e);
		break;
	case 3:
		result = buf_add_u64(b, it->v, &e);
		break;
	case 4:
		result = buf_add_varint(b, it->v, &e);
		break;
	case 5:
		result = buf_add_svarint(b, (int64_t)it->v, &e);
		break;
	default:
		it->v &= 0xff;
		result = buf_add_zeros(b, it->v, &e);
		break;
	}
	ck_ok(result);
}

static void expect_item(struct cursor *c, const struct item *it)
{
	struct cursor part;

	switch (it->kind) {
	case 0:
		ck_assert_uint_eq(cursor_u8(c), it->v);
		break;
	case 1:
		ck_assert_uint_eq(cursor_u16(c), it->v);
		break;
	case 2:
		ck_assert_uint_eq(cursor_u32(c), it->v);
		break;
	case 3:
		ck_assert_uint_eq(cursor_u64(c), it->v);
		break;
	case 4:
		ck_assert_uint_eq(cursor_varint_max(c, it->v), it->v);
		break;
	case 5:
		ck_assert_int_eq(cursor_svarint(c), (int64_t)it->v);
		break;
	default:
		part = cursor_sub(c, it->v);
		ck_assert(!part.bad && part.left == it->v);
		ck_assert(cursor_zeros(&part));
		break;
	}
}

START_TEST(reads_back_what_was_written)
{
	struct random r = random_seed();

	for (int round = 0; round < 2000; round++) {
		CLEANUP(buf_done) struct buf b;
		struct item items[ITEMS];
		struct cursor c;
		struct err e;

		buf_init(&b, 1 << 20);
		for (size_t i = 0; i < ITEMS; i++) {
			items[i].kind = (unsigned int)random_below(&r, KINDS);
			items[i].v = random_any_size(&r);
			write_item(&b, &items[i]);
		}
		c = cursor_of(b.data, b.len);
		for (size_t i = 0; i < ITEMS; i++)
			expect_item(&c, &items[i]);
		ck_ok(cursor_finish(&c, "the record", &e));
		/* Any byte less, and the record is seen to be cut. */
		c = cursor_of(b.data, random_below(&r, b.len));
		for (size_t i = 0; i < ITEMS; i++)
			switch (items[i].kind) {
			case 0:
				(void)cursor_u8(&c);
				break;
			case 1:
				(void)cursor_u16(&c);
				break;
			case 2:
				(void)cursor_u32(&c);
				break;
			case 3:
				(void)cursor_u64(&c);
				break;
			case 4:
				(void)cursor_varint(&c);
				break;
			case 5:
				(void)cursor_svarint(&c);
				break;
			default:
				(void)cursor_bytes(&c, items[i].v);
				break;
			}
		/* Only zero runs of no length may follow the cut. */
		if (c.bad)
			ck_assert_int_eq(cursor_finish(&c, "a", &e), -1);
		else
			ck_assert_uint_eq(items[ITEMS - 1].kind, 6);
	}
}
END_TEST

START_TEST(a_varint_has_one_encoding)
{
	struct random r = random_seed();
	unsigned int read = 0;

	for (int round = 0; round < 500000; round++) {
		CLEANUP(buf_done) struct buf b;
		uint8_t bytes[11];
		struct cursor c = cursor_of(bytes, sizeof(bytes));
		struct err e;
		uint64_t v;

		random_bytes(&r, bytes, sizeof(bytes));
		/* Runs of continuation bytes and of zeros. */
		for (size_t i = 0; i < sizeof(bytes); i++) {
			bytes[i] |= random_below(&r, 4) ? 0x80 : 0;
			bytes[i] &= random_below(&r, 4) ? 0xff : 0x80;
		}
		v = cursor_varint(&c);
		if (c.bad)
			continue;
		buf_init(&b, 10);
		ck_ok(buf_add_varint(&b, v, &e));
		ck_assert_uint_eq(b.len, sizeof(bytes) - c.left);
		ck_assert_mem_eq(b.data, bytes, b.len);
		read++;
	}
	ck_assert_uint_gt(read, 10000);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, reads_back_what_was_written);
	tcase_add_test(tc, a_varint_has_one_encoding);
}

CHECK_MAIN("prop base/cursor", cases)
