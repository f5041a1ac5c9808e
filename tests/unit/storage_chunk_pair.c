/* Ids of two chunks at a time: storage/repository/chunk_pair.h. */
#include "storage/repository/chunk_pair.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "storage/repository/sha256_two.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

#define BYTES ((size_t)100000)

static struct keys *keys;
static struct chunk_worker *worker;
static struct chunk_pair *pair;
static uint8_t *bytes;

static void set_up(void)
{
	struct err e;

	keys = repo_keys(7, 2);
	bytes = malloc(BYTES);
	ck_assert(keys && bytes);
	secret_nonce(bytes, BYTES);
	ck_ok(chunk_worker_new(keys, &worker, &e));
	ck_ok(chunk_pair_new(keys, worker, &pair, &e));
}

static void tear_down(void)
{
	chunk_pair_free(pair);
	chunk_worker_free(worker);
	keys_free(keys);
	free(bytes);
}

/* Each case runs both ways. */
static void choose(int i)
{
	if (i)
		chunk_pair_one_by_one(pair);
}

static struct chunk_seal seal_of(const uint8_t *plain, size_t n)
{
	struct chunk_seal s = { .kind = CHUNK_DATA,
				.domain = (uint16_t)(n % 2),
				.plain_len = (uint32_t)n };
	struct err e;

	ck_ok(chunk_identify(worker, s.domain, s.kind, plain, n, &s.id, &e));
	return s;
}

static void begin(unsigned int lane, const struct chunk_seal *s,
		  const uint8_t *plain)
{
	struct err e;

	ck_ok(chunk_pair_begin(pair, lane, s, plain, &e));
}

/* Which lane ended, and that it was right, or not. */
static unsigned int end(bool *right)
{
	unsigned int lane = 9;
	struct err e = { 0 };

	*right = chunk_pair_end(pair, &lane, &e) == 0;
	ck_assert_uint_lt(lane, CHUNK_PAIR);
	if (!*right)
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	return lane;
}

static void check_alone(const struct chunk_seal *s, const uint8_t *plain,
			bool want)
{
	bool right;

	begin(1, s, plain);
	ck_assert_uint_eq(end(&right), 1);
	ck_assert_int_eq(right, want);
}

/* Around the ends of blocks, and each byte of it counts. */
START_TEST(every_size_has_its_id)
{
	choose(_i);
	for (size_t n = 0; n <= 260; n++) {
		struct chunk_seal s = seal_of(bytes, n);

		check_alone(&s, bytes, true);
		for (size_t at = 0; at < n; at += n % 8 + 1) {
			bytes[at] ^= 1;
			check_alone(&s, bytes, false);
			bytes[at] ^= 1;
		}
		s.kind = CHUNK_LEAF;
		check_alone(&s, bytes, false);
		s.kind = CHUNK_DATA;
		s.domain ^= 1;
		check_alone(&s, bytes, false);
	}
}
END_TEST

START_TEST(two_do_not_disturb_each_other)
{
	choose(_i);
	for (size_t n = 0; n <= 200; n += 3)
		for (size_t m = 0; m <= 1000; m += 37) {
			const struct chunk_seal a = seal_of(bytes, n);
			struct chunk_seal b = seal_of(bytes + n, m);
			bool right[CHUNK_PAIR];

			b.id.b[m % CHUNK_ID_SIZE] ^= 1;
			begin(0, &a, bytes);
			begin(1, &b, bytes + n);
			for (int i = 0; i < CHUNK_PAIR; i++) {
				bool is;
				const unsigned int lane = end(&is);

				right[lane] = is;
			}
			ck_assert(right[0]);
			ck_assert(!right[1]);
		}
}
END_TEST

/* As a reader does it: a lane that has ended takes the next chunk. */
START_TEST(many_pass_through)
{
	struct chunk_seal seals[CHUNK_PAIR];
	bool is_wrong[CHUNK_PAIR] = { false };
	bool is_busy[CHUNK_PAIR] = { false };
	unsigned int ended = 0;

	choose(_i);
	for (unsigned int i = 0; i < 400 + CHUNK_PAIR; i++) {
		unsigned int lane = is_busy[0] ? 1 : 0;
		bool right;

		if (i >= 400 || is_busy[lane]) {
			lane = end(&right);
			ck_assert(is_busy[lane]);
			ck_assert_int_eq(right, !is_wrong[lane]);
			is_busy[lane] = false;
			ended++;
		}
		if (i >= 400)
			continue;
		seals[lane] = seal_of(bytes + i, i * i % (BYTES - 400));
		is_wrong[lane] = i % 7 == 0;
		seals[lane].id.b[31] ^= is_wrong[lane];
		is_busy[lane] = true;
		begin(lane, &seals[lane], bytes + i);
	}
	ck_assert_uint_eq(ended, 400);
}
END_TEST

START_TEST(an_unknown_domain_begins_nothing)
{
	struct chunk_seal s = seal_of(bytes, 100);
	struct err e;

	choose(_i);
	s.domain = 9;
	ck_assert_int_eq(chunk_pair_begin(pair, 0, &s, bytes, &e), -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
	s.domain = 0;
	begin(0, &s, bytes);
	ck_assert_uint_eq(end(&(bool){ false }), 0);
}
END_TEST

/* FIPS 180-4's example of one block, "abc", beside another text. */
START_TEST(the_standard_says_the_same)
{
	static const uint8_t want[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01,
					  0xcf, 0xea, 0x41, 0x41, 0x40, 0xde,
					  0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03,
					  0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
					  0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00,
					  0x15, 0xad };
	const uint8_t block[SHA256_BLOCK] = { 'a', 'b', 'c', 0x80, [63] = 24 };
	struct sha256_state a, b;
	uint8_t got[32];

	if (!sha256_two_here())
		return;
	sha256_two_begin(&a);
	sha256_two_begin(&b);
	sha256_two_blocks(&a, block, &b, bytes, 1);
	sha256_two_digest(&a, got);
	ck_assert_mem_eq(got, want, sizeof(want));
	sha256_two_begin(&a);
	sha256_two_blocks(&b, bytes, &a, block, 1);
	sha256_two_digest(&a, got);
	ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, every_size_has_its_id, 0, 2);
	tcase_add_loop_test(tc, two_do_not_disturb_each_other, 0, 2);
	tcase_add_loop_test(tc, many_pass_through, 0, 2);
	tcase_add_loop_test(tc, an_unknown_domain_begins_nothing, 0, 2);
	tcase_add_test(tc, the_standard_says_the_same);
}
CHECK_MAIN("storage/chunk_pair", cases)
