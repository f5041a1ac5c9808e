/*
 * Where contents are cut: as the rule says, byte by byte.  Should it change,
 * every file would be stored once more.
 */
#include "storage/repository/cut.h"

#include <sodium.h>
#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define SIZE ((size_t)1 << 17)

static uint8_t bytes[SIZE];
static uint8_t key[KEYS_SIZE];
static struct random dice;

static void set_up(void)
{
	dice = random_seed();
	random_bytes(&dice, key, sizeof(key));
}

/* What a byte adds: SipHash-2-4 of it under the second half of the key. */
static uint64_t gear(uint8_t byte)
{
	uint8_t out[8];
	uint64_t v = 0;

	ck_assert_int_eq(crypto_shorthash(out, &byte, 1, key + KEYS_SIZE / 2),
			 0);
	for (unsigned int i = 0; i < 8; i++)
		v |= (uint64_t)out[i] << (8 * i);
	return v;
}

struct bounds {
	size_t min, aim, max;
};

/*
 * The hash of the bytes from 64 before the least on has as many zeros in front
 * as the bits of what lies between the least and the aim, and two: before the
 * aim two more, after it two fewer.
 */
static size_t by_the_rule(const struct bounds *b, const uint64_t gears[256],
			  const uint8_t *p, size_t n)
{
	const size_t end = n < b->max ? n : b->max;
	unsigned int bits = 0;
	uint64_t hash = 0;

	while (((b->aim - b->min) >> bits) > 1)
		bits++;
	if (end <= b->min)
		return end;
	for (size_t i = b->min - 64; i < end; i++) {
		hash = (hash << 1) + gears[p[i]];
		if (hash >> (64 - (i < b->aim ? bits + 2 : bits - 2)) == 0)
			return i < b->min ? b->min : i + 1;
	}
	return end;
}

static size_t cut_all(const struct bounds *b)
{
	CLEANUP(cut_free) struct cut *c = NULL;
	uint64_t gears[256];
	size_t at = 0;
	size_t cuts = 0;
	struct err e;

	for (unsigned int i = 0; i < 256; i++)
		gears[i] = gear((uint8_t)i);
	ck_ok(cut_new(key, b->min, b->aim, b->max, &c, &e));
	while (at < SIZE) {
		const size_t got = cut_find(c, bytes + at, SIZE - at);

		ck_assert_uint_eq(got,
				  by_the_rule(b, gears, bytes + at, SIZE - at));
		at += got;
		cuts++;
	}
	ck_assert_uint_eq(at, SIZE);
	return cuts;
}

static const struct bounds tried[] = { { 64, 256, 1024 },
				       { 64, 200, 5000 },
				       { 1000, 1100, 3000 },
				       { 2048, 8192, 32768 } };
#define TRIED (sizeof(tried) / sizeof(tried[0]))

START_TEST(contents_are_cut_by_the_rule)
{
	random_bytes(&dice, bytes, SIZE);
	for (size_t i = 0; i < TRIED; i++) {
		const size_t cuts = cut_all(&tried[i]);

		/* Neither all at the least, nor all at the most. */
		ck_assert_uint_gt(cuts, SIZE / tried[i].max + 2);
		ck_assert_uint_lt(cuts, SIZE / tried[i].min - 2);
	}
	memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; i < TRIED; i++)
		(void)cut_all(&tried[i]);
}
END_TEST

/* What is too short to be cut, and what is just long enough. */
START_TEST(short_contents_are_one_chunk)
{
	CLEANUP(cut_free) struct cut *c = NULL;
	struct err e;

	ck_ok(cut_new(key, 64, 256, 1024, &c, &e));
	random_bytes(&dice, bytes, SIZE);
	for (size_t n = 0; n <= 64; n++)
		ck_assert_uint_eq(cut_find(c, bytes, n), n);
	for (size_t n = 65; n < 200; n++)
		ck_assert_uint_ge(cut_find(c, bytes, n), 64);
}
END_TEST

/* Two domains with other keys cut and hash in other places. */
START_TEST(another_key_cuts_elsewhere)
{
	const struct bounds b = { 2048, 8192, 32768 };
	CLEANUP(cut_free) struct cut *one = NULL;
	CLEANUP(cut_free) struct cut *two = NULL;
	uint64_t hash;
	size_t same = 0;
	struct err e;

	random_bytes(&dice, bytes, SIZE);
	ck_ok(cut_new(key, b.min, b.aim, b.max, &one, &e));
	hash = cut_hash(key, bytes, 16);
	key[0]++;
	ck_assert_uint_ne(cut_hash(key, bytes, 16), hash);
	key[KEYS_SIZE - 1]++;
	ck_ok(cut_new(key, b.min, b.aim, b.max, &two, &e));
	for (size_t i = 0; i < 16; i++)
		same += cut_find(one, bytes + 1000 * i, b.max) ==
			cut_find(two, bytes + 1000 * i, b.max);
	ck_assert_uint_lt(same, 16);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, contents_are_cut_by_the_rule);
	tcase_add_test(tc, short_contents_are_one_chunk);
	tcase_add_test(tc, another_key_cuts_elsewhere);
}

CHECK_MAIN("storage/cut", cases)
