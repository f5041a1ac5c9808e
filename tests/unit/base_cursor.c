#include "base/cursor.h"

#include <string.h>

#include "tests/support/check_main.h"

START_TEST(reads_what_is_there)
{
	static const uint8_t bytes[] = { 1,    2, 3,	4, 5, 6, 7,    8,
					 9,    1, 2,	3, 4, 5, 6,    0xac,
					 0x02, 3, 0x02, 9, 8, 7, 0x7f, 0 };
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	struct cursor sub;
	uint8_t copy[2];
	struct err e;

	ck_assert_uint_eq(cursor_u8(&c), 1);
	ck_assert_uint_eq(cursor_u16(&c), 0x0302);
	ck_assert_uint_eq(cursor_u32(&c), 0x07060504);
	ck_assert_uint_eq(cursor_u64(&c), UINT64_C(0x0605040302010908));
	ck_assert_uint_eq(cursor_varint(&c), 300);
	ck_assert_int_eq(cursor_svarint(&c), -2);
	ck_assert_int_eq(cursor_svarint(&c), 1);
	cursor_copy(&c, copy, 2);
	ck_assert_mem_eq(copy, "\x09\x08", 2);
	sub = cursor_sub(&c, 2);
	ck_assert_uint_eq(c.left, 1);
	ck_assert_uint_eq(cursor_u8(&sub), 7);
	ck_assert_uint_eq(cursor_varint_max(&sub, 127), 127);
	ck_ok(cursor_finish(&sub, "the part", &e));
	ck_assert(cursor_zeros(&c));
	ck_assert_int_eq(cursor_finish(&c, "the whole", &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_str_eq(e.text, "the whole has 1 bytes too many");
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_ok(cursor_finish(&c, "the whole", &e));
}
END_TEST

START_TEST(stays_bad_once_it_is)
{
	struct cursor c = cursor_of("\x01\x02\x03", 3);
	struct cursor sub;
	uint8_t copy[4] = { 9, 9, 9, 9 };
	struct err e;

	ck_assert_uint_eq(cursor_u32(&c), 0);
	ck_assert(c.bad);
	/* One byte would fit, but the record is lost. */
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_assert_uint_eq(cursor_varint(&c), 0);
	ck_assert_int_eq(cursor_svarint(&c), 0);
	ck_assert_ptr_null(cursor_bytes(&c, 1));
	ck_assert_ptr_null(cursor_bytes(&c, 0));
	cursor_copy(&c, copy, 4);
	ck_assert_mem_eq(copy, "\0\0\0\0", 4);
	sub = cursor_sub(&c, 1);
	ck_assert(sub.bad && sub.left == 0);
	ck_assert_int_eq(cursor_finish(&sub, "a part", &e), -1);
	ck_assert_int_eq(cursor_finish(&c, "a record", &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_str_eq(e.text, "a record ends too early");
}
END_TEST

START_TEST(takes_nothing_at_the_end)
{
	struct cursor c = cursor_of("", 0);
	struct err e;

	ck_assert_ptr_nonnull(cursor_bytes(&c, 0));
	ck_assert(cursor_zeros(&c));
	ck_ok(cursor_finish(&c, "nothing", &e));
	ck_assert_ptr_null(cursor_bytes(&c, SIZE_MAX));
	ck_assert(c.bad);
}
END_TEST

START_TEST(keeps_inside_a_part)
{
	struct cursor c = cursor_of("\x01\x02\x03\x04", 4);
	struct cursor sub = cursor_sub(&c, 2);

	ck_assert_uint_eq(cursor_u32(&sub), 0);
	ck_assert(sub.bad);
	ck_assert(!c.bad);
	ck_assert_uint_eq(cursor_u16(&c), 0x0403);
}
END_TEST

static bool is_varint(const char *bytes, size_t n)
{
	struct cursor c = cursor_of(bytes, n);
	const uint64_t v = cursor_varint(&c);

	if (c.bad)
		ck_assert_uint_eq(v, 0);
	return !c.bad;
}

START_TEST(refuses_varints_with_another_encoding)
{
	ck_assert(is_varint("\0", 1));
	ck_assert(is_varint("\x80\x01", 2));
	ck_assert(is_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
	/* Cut off, longer than needed, beyond 64 bits, without an end. */
	ck_assert(!is_varint("", 0));
	ck_assert(!is_varint("\x80", 1));
	ck_assert(!is_varint("\x80\x00", 2));
	ck_assert(!is_varint("\xff\x00", 2));
	ck_assert(!is_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
	ck_assert(
		!is_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11));
	ck_assert(
		!is_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11));
}
END_TEST

START_TEST(bounds_a_varint)
{
	struct cursor c = cursor_of("\x80\x01\x81\x01", 4);

	ck_assert_uint_eq(cursor_varint_max(&c, 128), 128);
	ck_assert(!c.bad);
	ck_assert_uint_eq(cursor_varint_max(&c, 128), 0);
	ck_assert(c.bad);
}
END_TEST

START_TEST(knows_padding)
{
	struct cursor c = cursor_of("\0\0\0\x01", 4);

	ck_assert(!cursor_zeros(&c));
	c.left = 3;
	ck_assert(cursor_zeros(&c));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, reads_what_is_there);
	tcase_add_test(tc, stays_bad_once_it_is);
	tcase_add_test(tc, takes_nothing_at_the_end);
	tcase_add_test(tc, keeps_inside_a_part);
	tcase_add_test(tc, refuses_varints_with_another_encoding);
	tcase_add_test(tc, bounds_a_varint);
	tcase_add_test(tc, knows_padding);
}

CHECK_MAIN("base/cursor", cases)
