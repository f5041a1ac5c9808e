/* Keyed hashes: storage/repository/hash.h. */
#include "storage/repository/hash.h"

#include <stdio.h>
#include <string.h>

#include "storage/repository/sha256_two.h"
#include "tests/support/check_main.h"

/* Whether libcrypto is worth its coming. */
static bool pays;

bool __wrap_openssl_pays(uint64_t saved_ns);
bool __wrap_openssl_pays(uint64_t saved_ns)
{
	(void)saved_ns;
	return pays;
}

/* Which of the three ways a hash goes that is made now. */
enum way { BY_SODIUM, BY_LIBCRYPTO, BY_INSTRUCTIONS };
static bool here;

bool __real_sha256_two_here(void);
bool __wrap_sha256_two_here(void);
bool __wrap_sha256_two_here(void)
{
	return here && __real_sha256_two_here();
}

static void choose(enum way way)
{
	pays = way == BY_LIBCRYPTO;
	here = way == BY_INSTRUCTIONS;
	if (here && !__real_sha256_two_here())
		(void)fprintf(stderr, "not tested: no SHA instructions here\n");
}

/* RFC 4231; keys shorter than a block count as if zeros followed. */
START_TEST(it_is_the_one_that_is_published)
{
	static const uint8_t want[2][HASH_SIZE] = {
		{ 0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53,
		  0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b,
		  0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7,
		  0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7 },
		{ 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
		  0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
		  0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83,
		  0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43 },
	};
	static const char *const texts[] = { "Hi There",
					     "what do ya want for nothing?" };
	uint8_t keys[2][KEYS_SIZE] = { { 0 }, "Jefe" };
	struct err e = { 0 };

	choose((enum way)_i);
	memset(keys[0], 0x0b, 20);
	for (int i = 0; i < 2; i++) {
		CLEANUP(hash_free) struct hash *h = NULL;
		uint8_t got[HASH_SIZE];

		ck_ok(hash_new(keys[i], &h, &e));
		ck_ok(hash_bytes(h, NULL, 0, got, &e));
		ck_assert_mem_ne(got, want[i], HASH_SIZE);
		/* Each text from the beginning. */
		for (int k = 0; k < 2; k++) {
			ck_ok(hash_bytes(h, texts[i], strlen(texts[i]), got,
					 &e));
			ck_assert_mem_eq(got, want[i], HASH_SIZE);
		}
	}
}
END_TEST

/* Of every length, and with a tag. */
START_TEST(all_ways_are_one)
{
	static uint8_t bytes[70001];
	CLEANUP(hash_free) struct hash *early = NULL;
	CLEANUP(hash_free) struct hash *late = NULL;
	CLEANUP(hash_free) struct hash *ours = NULL;
	uint8_t key[KEYS_SIZE] = "another";
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	choose(BY_INSTRUCTIONS);
	ck_ok(hash_new(key, &ours, &e));
	choose(BY_SODIUM);
	ck_ok(hash_new(key, &early, &e));
	ck_ok(hash_new(key, &late, &e));
	for (size_t n = 0; n <= sizeof(bytes); n += n < 200 ? 1 : n) {
		struct hash *const all[] = { early, late, ours };
		uint8_t got[3][HASH_SIZE];

		key[31] = (uint8_t)n;
		for (int tagged = 0; tagged < 2; tagged++) {
			for (int i = 0; i < 3; i++) {
				pays = i > 0;
				hash_use(all[i], key);
				ck_ok(tagged ? hash_tagged(all[i], 7,
							   n ? bytes : NULL, n,
							   got[i], &e)
					     : hash_bytes(all[i],
							  n ? bytes : NULL, n,
							  got[i], &e));
			}
			ck_assert_mem_eq(got[1], got[0], HASH_SIZE);
			ck_assert_mem_eq(got[2], got[0], HASH_SIZE);
		}
	}
	/* It came meanwhile. */
	pays = true;
	ck_ok(hash_bytes(early, bytes, 100, bytes + 200, &e));
	ck_ok(hash_bytes(late, bytes, 100, bytes + 300, &e));
	ck_assert_mem_eq(bytes + 200, bytes + 300, HASH_SIZE);
}
END_TEST

/* A processor that computes something else is not believed. */
static bool lies;

void __real_sha256_two_digest(const struct sha256_state *s, uint8_t out[32]);
void __wrap_sha256_two_digest(const struct sha256_state *s, uint8_t out[32]);
void __wrap_sha256_two_digest(const struct sha256_state *s, uint8_t out[32])
{
	__real_sha256_two_digest(s, out);
	out[31] ^= lies;
}

START_TEST(what_lies_is_not_believed)
{
	const uint8_t key[KEYS_SIZE] = "key";
	struct hash *h = NULL;
	struct err e;
	int failed;

	if (!__real_sha256_two_here())
		return;
	choose(BY_INSTRUCTIONS);
	lies = true;
	failed = hash_new(key, &h, &e);
	lies = false;
	ck_assert_int_lt(failed, 0);
	ck_assert_int_eq(e.code, ERR_BUG);
	ck_assert_ptr_null(h);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, all_ways_are_one);
	tcase_add_test(tc, what_lies_is_not_believed);
	tcase_add_loop_test(tc, it_is_the_one_that_is_published, 0, 3);
}

CHECK_MAIN("storage/repository/hash", cases)
