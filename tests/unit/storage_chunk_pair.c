/* Ids of two chunks at a time: storage/repository/chunk_pair.h. */
#include "storage/repository/chunk_pair.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "storage/repository/sha256_two.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

#define BYTES ((size_t)1500000)

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

static struct chunk_plain plain_of(const uint8_t *at, size_t n)
{
	return (struct chunk_plain){ .kind = CHUNK_DATA,
				     .domain = (uint16_t)(n % 2),
				     .bytes = at,
				     .n = n };
}

static struct chunk_id id_of(const struct chunk_plain *plain)
{
	struct chunk_id id;
	struct err e;

	ck_ok(chunk_identify(worker, plain->domain, plain->kind, plain->bytes,
			     plain->n, &id, &e));
	return id;
}

static void begin(unsigned int lane, const struct chunk_plain *plain)
{
	struct err e;

	ck_ok(chunk_pair_begin(pair, lane, plain, &e));
}

static unsigned int end(struct chunk_id *id)
{
	unsigned int lane = 9;
	struct err e;

	ck_ok(chunk_pair_end(pair, &lane, id, &e));
	ck_assert_uint_lt(lane, CHUNK_PAIR);
	return lane;
}

static void check_id(const struct chunk_plain *plain,
		     const struct chunk_id *got)
{
	const struct chunk_id want = id_of(plain);

	ck_assert_mem_eq(got->b, want.b, CHUNK_ID_SIZE);
}

static void check_alone(const struct chunk_plain *plain)
{
	struct chunk_id id;

	begin(1, plain);
	ck_assert_uint_eq(end(&id), 1);
	check_id(plain, &id);
}

/* Around the ends of blocks. */
START_TEST(every_size_has_its_id)
{
	choose(_i);
	for (size_t n = 0; n <= 260; n++) {
		struct chunk_plain plain = plain_of(bytes, n);

		check_alone(&plain);
		plain.kind = CHUNK_LEAF;
		check_alone(&plain);
		plain.domain ^= 1;
		check_alone(&plain);
	}
}
END_TEST

START_TEST(two_do_not_disturb_each_other)
{
	choose(_i);
	for (size_t n = 0; n <= 200; n += 3)
		for (size_t m = 0; m <= 1000; m += 37) {
			const struct chunk_plain plain[CHUNK_PAIR] = {
				plain_of(bytes, n), plain_of(bytes + n, m)
			};

			begin(0, &plain[0]);
			begin(1, &plain[1]);
			for (int i = 0; i < CHUNK_PAIR; i++) {
				struct chunk_id id;
				const unsigned int lane = end(&id);

				check_id(&plain[lane], &id);
			}
		}
}
END_TEST

/* As a reader does it: a lane that has ended takes the next chunk. */
START_TEST(many_pass_through)
{
	struct chunk_plain plain[CHUNK_PAIR];
	bool is_busy[CHUNK_PAIR] = { false };
	unsigned int ended = 0;

	choose(_i);
	for (unsigned int i = 0; i < 400 + CHUNK_PAIR; i++) {
		unsigned int lane = is_busy[0] ? 1 : 0;
		struct chunk_id id;

		if (i >= 400 || is_busy[lane]) {
			lane = end(&id);
			ck_assert(is_busy[lane]);
			check_id(&plain[lane], &id);
			is_busy[lane] = false;
			ended++;
		}
		if (i >= 400)
			continue;
		plain[lane] = plain_of(bytes + i, i * i * 9 % (BYTES - 400));
		is_busy[lane] = true;
		begin(lane, &plain[lane]);
	}
	ck_assert_uint_eq(ended, 400);
}
END_TEST

START_TEST(an_unknown_domain_begins_nothing)
{
	struct chunk_plain plain = plain_of(bytes, 100);
	struct chunk_id id;
	struct err e;

	choose(_i);
	plain.domain = 9;
	ck_assert_int_eq(chunk_pair_begin(pair, 0, &plain, &e), -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
	plain.domain = 0;
	begin(0, &plain);
	ck_assert_uint_eq(end(&id), 0);
	check_id(&plain, &id);
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

	if (!sha256_two_here()) {
		(void)fprintf(stderr, "not tested: no SHA instructions here\n");
		return;
	}
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
