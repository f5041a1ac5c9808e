#include "base/buf.h"

#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

START_TEST(appends_and_ends_in_nul)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 100);
	ck_assert_str_eq(buf_str(&b), "");
	ck_ok(buf_add(&b, NULL, 0, &e));
	ck_ok(buf_add_str(&b, "abc", &e));
	ck_ok(buf_add_byte(&b, 'd', &e));
	ck_ok(buf_addf(&b, &e, "%d-%s", 42, "x"));
	ck_assert_str_eq(buf_str(&b), "abcd42-x");
	ck_assert_uint_eq(b.len, 8);
	ck_ok(buf_add_zeros(&b, 3, &e));
	ck_assert_uint_eq(b.len, 11);
	ck_assert_mem_eq(b.data, "abcd42-x\0\0\0", 12);
}
END_TEST

START_TEST(formats_more_than_fits_on_the_stack)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 1000);
	ck_ok(buf_addf(&b, &e, "%0255d|%0256d|", 1, 2));
	ck_assert_uint_eq(b.len, 255 + 256 + 2);
	ck_assert(b.data[255] == '|' && b.data[254] == '1');
	ck_assert_str_eq(buf_str(&b) + 510, "02|");
	ck_assert_int_eq(buf_addf(&b, &e, "%0999d", 1), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_uint_eq(b.len, 513);
}
END_TEST

START_TEST(stops_at_the_ceiling)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 10);
	ck_ok(buf_add(&b, "0123456789", 10, &e));
	ck_assert_int_eq(buf_add_byte(&b, 'x', &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(buf_add_zeros(&b, 1, &e), -1);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_str_eq(buf_str(&b), "0123456789");
	buf_clear(&b);
	ck_assert_str_eq(buf_str(&b), "");
	ck_ok(buf_add(&b, "again", 5, &e));
	ck_assert_str_eq(buf_str(&b), "again");
}
END_TEST

START_TEST(holds_nothing_under_a_ceiling_of_zero)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 0);
	ck_ok(buf_add(&b, "", 0, &e));
	ck_assert_int_eq(buf_add_byte(&b, 1, &e), -1);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(never_reserves_past_the_ceiling)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 1000);
	for (size_t i = 0; i < 1000; i++) {
		ck_ok(buf_add_byte(&b, (uint8_t)i, &e));
		ck_assert_uint_le(b.cap, 1001);
	}
	for (size_t i = 0; i < 1000; i++)
		ck_assert_uint_eq(b.data[i], (uint8_t)i);
	ck_assert_uint_eq(b.data[1000], 0);
}
END_TEST

START_TEST(can_be_used_again_after_done)
{
	struct buf b;
	struct err e;

	buf_init(&b, 64);
	ck_ok(buf_add_str(&b, "secret", &e));
	buf_wipe(&b);
	ck_assert(b.data == NULL && b.len == 0 && b.cap == 0);
	ck_assert_uint_eq(b.max, 64);
	ck_ok(buf_add_str(&b, "more", &e));
	ck_assert_str_eq(buf_str(&b), "more");
	buf_done(&b);
	buf_done(&b);
	buf_wipe(&b);
}
END_TEST

/* What lies in memory that is given back, beside the pages nobody wrote. */
static const void *watched;
static size_t watched_bytes;
static size_t left_behind;

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; p && p == watched && i < watched_bytes; i++)
		left_behind += bytes[i] == 'S';
	__real_free(p);
}

static void watch(const struct buf *b)
{
	watched = b->data;
	watched_bytes = b->cap;
}

/* However it came there. */
START_TEST(what_was_written_is_wiped)
{
	for (int way = 0; way < 4; way++) {
		struct buf b;
		struct err e;

		left_behind = 0;
		buf_init(&b, 1 << 20);
		ck_ok(buf_room(&b, 50000, &e));
		memset(b.data, 0, b.cap);
		if (way == 0) {
			ck_ok(buf_add(&b, "SSSSSSSS", 8, &e));
		} else if (way == 1) {
			ck_ok(buf_reserve(&b, 30000, &e));
			memset(b.data, 'S', 30000);
			b.len = 12;
		} else {
			memset(b.data, 'S', 20000);
			buf_wrote(&b, 20000);
		}
		if (way == 3)
			buf_clear(&b);
		watch(&b);
		/* Grown, and then given up. */
		ck_ok(buf_room(&b, 100000, &e));
		ck_assert_ptr_ne(b.data, watched);
		memset(b.data + b.len, 0, b.cap - b.len);
		watch(&b);
		buf_wipe(&b);
		watched = NULL;
		ck_assert_uint_eq(left_behind, 0);
	}
}
END_TEST

/* Pages that nobody writes are not had for wiping alone. */
START_TEST(what_was_not_written_is_not_touched)
{
	CLEANUP(buf_wipe) struct buf b;
	struct err e;

	buf_init(&b, 16 << 20);
	ck_ok(buf_room(&b, 10 << 20, &e));
	buf_wrote(&b, 1000);
	ck_assert_uint_lt(b.dirty, 4096);
	ck_ok(buf_add(&b, "more", 4, &e));
	ck_assert_uint_lt(b.dirty, 4096);
	ck_ok(buf_room(&b, 15 << 20, &e));
	ck_assert_uint_lt(b.dirty, 4096);
	ck_ok(buf_reserve(&b, 10000, &e));
	ck_assert_uint_ge(b.dirty, 10004);
	buf_clear(&b);
	ck_assert_uint_ge(b.dirty, 10004);
}
END_TEST

START_TEST(writes_little_endian)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 100);
	ck_ok(buf_add_u16(&b, 0x0102, &e));
	ck_ok(buf_add_u32(&b, 0x01020304, &e));
	ck_ok(buf_add_u64(&b, UINT64_C(0x0102030405060708), &e));
	ck_assert_uint_eq(b.len, 14);
	ck_assert_mem_eq(b.data,
			 "\x02\x01\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03"
			 "\x02\x01",
			 14);
}
END_TEST

static void expect_varint(uint64_t v, const char *bytes, size_t n)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 10);
	ck_ok(buf_add_varint(&b, v, &e));
	ck_assert_uint_eq(b.len, n);
	ck_assert_mem_eq(b.data, bytes, n);
}

static void expect_svarint(int64_t v, const char *bytes, size_t n)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 10);
	ck_ok(buf_add_svarint(&b, v, &e));
	ck_assert_uint_eq(b.len, n);
	ck_assert_mem_eq(b.data, bytes, n);
}

START_TEST(writes_varints)
{
	expect_varint(0, "\0", 1);
	expect_varint(127, "\x7f", 1);
	expect_varint(128, "\x80\x01", 2);
	expect_varint(300, "\xac\x02", 2);
	expect_varint(UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		      10);
	expect_svarint(0, "\0", 1);
	expect_svarint(-1, "\x01", 1);
	expect_svarint(1, "\x02", 1);
	expect_svarint(-2, "\x03", 1);
	expect_svarint(-65, "\x81\x01", 2);
	expect_svarint(INT64_MAX, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		       10);
	expect_svarint(INT64_MIN, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		       10);
}
END_TEST

static int grows(void *arg, struct err *e)
{
	CLEANUP(buf_wipe) struct buf b;
	const char *before;

	(void)arg;
	buf_init(&b, 100000);
	for (int i = 0; i < 1000; i++) {
		const size_t len = b.len;

		if (!buf_addf(&b, e, "line %d\n", i))
			continue;
		/* What was there is there still. */
		before = buf_str(&b);
		ck_assert_uint_eq(strlen(before), len);
		ck_assert(len == 0 || before[len - 1] == '\n');
		return -1;
	}
	return buf_add_zeros(&b, 50000, e);
}

START_TEST(survives_the_lack_of_memory)
{
	ck_assert_uint_gt(alloc_fail_each(grows, NULL), 5);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, appends_and_ends_in_nul);
	tcase_add_test(tc, formats_more_than_fits_on_the_stack);
	tcase_add_test(tc, stops_at_the_ceiling);
	tcase_add_test(tc, holds_nothing_under_a_ceiling_of_zero);
	tcase_add_test(tc, never_reserves_past_the_ceiling);
	tcase_add_test(tc, can_be_used_again_after_done);
	tcase_add_test(tc, what_was_written_is_wiped);
	tcase_add_test(tc, what_was_not_written_is_not_touched);
	tcase_add_test(tc, writes_little_endian);
	tcase_add_test(tc, writes_varints);
	tcase_add_test(tc, survives_the_lack_of_memory);
}

CHECK_MAIN("base/buf", cases)
