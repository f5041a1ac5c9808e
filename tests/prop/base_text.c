/* Encodings there and back; what is shown of hostile bytes is harmless. */
#include "base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"

START_TEST(encodings_go_both_ways)
{
	struct random r = random_seed();

	for (int round = 0; round < 100000; round++) {
		uint8_t bytes[100];
		uint8_t back[100];
		char text[201];
		const size_t n = random_below(&r, sizeof(bytes));

		random_bytes(&r, bytes, n);
		text_hex(bytes, n, text);
		ck_assert_uint_eq(strlen(text), 2 * n);
		ck_assert(text_unhex(text, n, back));
		ck_assert_mem_eq(back, bytes, n);
		text_base64(bytes, n, text);
		ck_assert_uint_eq(strlen(text) + 1, text_base64_size(n));
		ck_assert_int_eq(text_unbase64(text, strlen(text), back),
				 (ptrdiff_t)n);
		ck_assert_mem_eq(back, bytes, n);
	}
}
END_TEST

/* What is accepted at all is the encoding of what it decodes to. */
START_TEST(base64_has_one_spelling)
{
	static const char near[] = "ABZaz09+/=-_ \n";
	struct random r = random_seed();
	unsigned int read = 0;

	for (int round = 0; round < 500000; round++) {
		const size_t n = random_below(&r, 13);
		char text[13] = "";
		char again[13];
		uint8_t bytes[12];
		ptrdiff_t got;

		for (size_t i = 0; i < n; i++)
			text[i] =
				near[random_below(&r, 9 + random_below(&r, 6))];
		got = text_unbase64(text, n, bytes);
		if (got < 0)
			continue;
		text_base64(bytes, (size_t)got, again);
		ck_assert_str_eq(again, text);
		read++;
	}
	ck_assert_uint_gt(read, 10000);
}
END_TEST

START_TEST(quotes_are_printable_and_bounded)
{
	struct random r = random_seed();

	for (int round = 0; round < 100000; round++) {
		uint8_t bytes[400];
		struct text_quoted q;
		const size_t n = random_below(&r, sizeof(bytes));
		bool printable = true;

		random_bytes(&r, bytes, n);
		for (size_t i = 0; random_below(&r, 2) && i < n; i++)
			bytes[i] &= 0x7f;
		q = text_quote(bytes, n);
		ck_assert_uint_lt(strlen(q.s), sizeof(q.s));
		ck_assert(text_is_utf8(q.s, strlen(q.s)));
		for (const char *p = q.s; *p; p++)
			printable = printable && !iscntrl((unsigned char)*p);
		ck_assert(printable);
	}
}
END_TEST

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* By the definition, without a table. */
static unsigned int naive_distance(const char *a, size_t n, const char *b,
				   size_t m)
{
	unsigned int d;

	if (n == 0 || m == 0)
		return (unsigned int)(n + m);
	d = min3(naive_distance(a, n - 1, b, m) + 1,
		 naive_distance(a, n, b, m - 1) + 1,
		 naive_distance(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]));
	if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1])
		d = min3(d, d, naive_distance(a, n - 2, b, m - 2) + 1);
	return d;
}

START_TEST(distance_is_what_its_definition_says)
{
	struct random r = random_seed();

	for (int round = 0; round < 20000; round++) {
		char a[6] = "";
		char b[6] = "";

		for (size_t i = 0, n = random_below(&r, 6); i < n; i++)
			a[i] = (char)('a' + random_below(&r, 3));
		for (size_t i = 0, n = random_below(&r, 6); i < n; i++)
			b[i] = (char)('a' + random_below(&r, 3));
		ck_assert_uint_eq(text_distance(a, b),
				  naive_distance(a, strlen(a), b, strlen(b)));
		ck_assert_uint_eq(text_distance(a, b), text_distance(b, a));
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, encodings_go_both_ways);
	tcase_add_test(tc, base64_has_one_spelling);
	tcase_add_test(tc, quotes_are_printable_and_bounded);
	tcase_add_test(tc, distance_is_what_its_definition_says);
}

CHECK_MAIN("prop base/text", cases)
