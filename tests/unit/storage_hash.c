/* Keyed hashes: storage/repository/hash.h. */
#include "storage/repository/hash.h"

#include <string.h>

#include "tests/support/check_main.h"

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

static void cases(TCase *tc)
{
	tcase_add_test(tc, it_is_the_one_that_is_published);
}

CHECK_MAIN("storage/repository/hash", cases)
