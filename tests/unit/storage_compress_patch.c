/* Patches: what they make, that they are small, and ones that are none. */
#include <string.h>

#include "base/buf.h"
#include "storage/repository/compress_patch.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define MAX ((size_t)64 << 20)

/* Made and applied it is `to` again; how long it is. */
static size_t round_trip(const struct buf *from, const struct buf *to)
{
	CLEANUP(buf_done) struct buf patch, made;
	struct err e;

	buf_init(&patch, MAX);
	buf_init(&made, MAX);
	/* After what is there already. */
	ck_ok(buf_add_str(&made, "so far: ", &e));
	ck_assert_int_eq(
		compress_patch_make(from, buf_str(to), MAX, &patch, &e), 1);
	ck_ok(compress_patch_apply(from, buf_str(&patch), &made, &e));
	ck_assert_str_eq(buf_str(&made) + 8, buf_str(to));
	return patch.len;
}

static void set(struct buf *b, const char *text)
{
	struct err e;

	buf_init(b, MAX);
	ck_ok(buf_add_str(b, text, &e));
}

/* ---- Lists of snapshots ------------------------------------------------- */

static void add_one(struct buf *b, unsigned int id, const char *verified)
{
	struct err e;

	ck_ok(buf_addf(b, &e,
		       "%s{\"id\":\"%08x\",\"received\":\"2026-01-%02uT%02u:"
		       "00:00Z\",\"complete\":true,\"tags\":[],\"copies\":["
		       "{\"region\":\"eu\",\"verified\":\"%s\"},{\"region\":"
		       "\"us\"}]}",
		       b->data[b->len - 1] == '[' ? "" : ",", id * 0x9e3779b1U,
		       id % 31 + 1, id % 24, verified));
}

static void make_list(struct buf *b, unsigned int from, unsigned int to,
		      unsigned int without, const char *verified)
{
	struct err e;

	buf_init(b, MAX);
	ck_ok(buf_addf(b, &e, "{\"present\":%u,\"snapshots\":[", to));
	for (unsigned int i = from; i < to; i++)
		if (i != without)
			add_one(b, i, verified);
	ck_ok(buf_add_str(b, "]}", &e));
}

static size_t length_of(unsigned int from, unsigned int to,
			unsigned int without, const char *verified)
{
	CLEANUP(buf_done) struct buf a, b;

	make_list(&a, 0, 1000, UINT32_MAX, "2026-01-01T01:02:03.456789Z");
	make_list(&b, from, to, without, verified);
	ck_assert_uint_gt(a.len, 100000);
	return round_trip(&a, &b);
}

START_TEST(what_is_the_same_is_not_told)
{
	const char *then = "2026-01-01T01:02:03.456789Z";
	const char *now = "2026-01-02T01:02:03Z";

	ck_assert_uint_lt(length_of(0, 1000, UINT32_MAX, then), 100);
	ck_assert_uint_lt(length_of(0, 1001, UINT32_MAX, then), 200);
	ck_assert_uint_lt(length_of(1, 1001, 500, then), 300);
	/* A date of each is a few bytes of each. */
	ck_assert_uint_lt(length_of(1, 1001, 500, now), 10000);
}
END_TEST

/* The first may be longer than what a window of the other's length holds. */
START_TEST(a_short_text_of_a_long_one)
{
	CLEANUP(buf_done) struct buf a, b, c;

	make_list(&a, 0, 60000, UINT32_MAX, "x");
	make_list(&b, 0, 20, UINT32_MAX, "x");
	make_list(&c, 1, 60001, UINT32_MAX, "x");
	ck_assert_uint_gt(a.len, 6000000);
	(void)round_trip(&a, &b);
	/* Of a long one the beginning is found as well. */
	ck_assert_uint_lt(round_trip(&a, &c), 20000);
	ck_assert_uint_gt(round_trip(&b, &a), 1000);
}
END_TEST

START_TEST(a_patch_that_is_longer_is_none)
{
	CLEANUP(buf_done) struct buf none, a, patch;
	struct err e;
	size_t n;

	set(&none, "");
	make_list(&a, 0, 100, UINT32_MAX, "x");
	n = round_trip(&none, &a);
	buf_init(&patch, MAX);
	ck_assert_int_eq(compress_patch_make(&none, buf_str(&a), n, &patch, &e),
			 1);
	ck_assert_uint_eq(patch.len, n);
	buf_clear(&patch);
	for (size_t max = 0; max < n; max++)
		ck_assert_int_eq(compress_patch_make(&none, buf_str(&a), max,
						     &patch, &e),
				 0);
	ck_assert_uint_eq(patch.len, 0);
}
END_TEST

/* ---- Any texts ---------------------------------------------------------- */

static void draw(struct random *r, struct buf *b)
{
	static const char *const words[] = {
		",\"a\":\"one\"",
		",{\"id\":\"two\"",
		"}",
		",\"v\":\"four\"",
		"\\\"",
		"x",
	};
	struct err e;

	buf_init(b, MAX);
	for (uint64_t n = random_below(r, 60); n > 0; n--)
		ck_ok(buf_add_str(b, words[random_below(r, 6)], &e));
}

START_TEST(random_texts)
{
	struct random r = random_seed();

	for (int i = 0; i < 3000; i++) {
		CLEANUP(buf_done) struct buf a, b;

		draw(&r, &a);
		draw(&r, &b);
		(void)round_trip(&a, &b);
	}
}
END_TEST

/* ---- What is no patch --------------------------------------------------- */

static void expect_none(const struct buf *from, const char *patch)
{
	CLEANUP(buf_done) struct buf made;
	struct err e;

	buf_init(&made, MAX);
	ck_assert_msg(compress_patch_apply(from, patch, &made, &e) == -1, "%s",
		      patch);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_uint_eq(made.len, 0);
}

START_TEST(what_is_no_patch)
{
	static const char *const bad[] = {
		"",
		"x",
		"AAAA",
		"KLUv/Q==",
		/* A frame that says it holds 2^60 bytes, or does not say. */
		"KLUv/eAAAAAAAAAAEAEAAA==",
		"KLUv/QBYAQAA",
	};
	CLEANUP(buf_done) struct buf from;

	set(&from, "abc");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_none(&from, bad[i]);
}
END_TEST

START_TEST(a_changed_one_and_one_of_another_text)
{
	CLEANUP(buf_done) struct buf a, b, other, patch;
	struct err e;

	make_list(&a, 0, 30, UINT32_MAX, "x");
	make_list(&b, 0, 31, UINT32_MAX, "x");
	make_list(&other, 1, 30, UINT32_MAX, "x");
	buf_init(&patch, MAX);
	ck_assert_int_eq(compress_patch_make(&a, buf_str(&b), MAX, &patch, &e),
			 1);
	expect_none(&other, buf_str(&patch));
	for (size_t i = 0; i < patch.len; i++) {
		const uint8_t was = patch.data[i];

		patch.data[i] = was == 'A' ? 'B' : 'A';
		expect_none(&a, buf_str(&patch));
		patch.data[i] = 0;
		expect_none(&a, buf_str(&patch));
		patch.data[i] = was;
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_is_the_same_is_not_told);
	tcase_add_test(tc, a_short_text_of_a_long_one);
	tcase_add_test(tc, a_patch_that_is_longer_is_none);
	tcase_add_test(tc, random_texts);
	tcase_add_test(tc, what_is_no_patch);
	tcase_add_test(tc, a_changed_one_and_one_of_another_text);
}

CHECK_MAIN("storage/compress_patch", cases)
