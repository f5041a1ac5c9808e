/* The map against a plain array of all possible keys. */
#include "base/filemap.h"

#include <stdbool.h>
#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"

enum { KEYS = 1 << 16 };

struct naive {
	bool there[KEYS];
	uint64_t value[KEYS];
	uint64_t count;
};

static void expect_same(struct filemap *m, const struct naive *want)
{
	static bool seen[KEYS];
	uint64_t pos = 0;
	uint64_t n = 0;
	const void *key;
	void *value;

	ck_assert_uint_eq(filemap_count(m), want->count);
	memset(seen, 0, sizeof(seen));
	while (filemap_next(m, &pos, &key, &value)) {
		uint16_t k;

		memcpy(&k, key, sizeof(k));
		ck_assert(want->there[k] && !seen[k]);
		ck_assert_mem_eq(value, &want->value[k], 8);
		seen[k] = true;
		n++;
	}
	ck_assert_uint_eq(n, want->count);
}

START_TEST(behaves_as_an_array_does)
{
	static struct naive naive;
	struct random r = random_seed();

	for (int round = 0; round < 5; round++) {
		CLEANUP(filemap_free) struct filemap *m = NULL;
		struct err e;

		memset(&naive, 0, sizeof(naive));
		ck_ok(filemap_new(&m, NULL, sizeof(uint16_t), 8, &e));
		for (int step = 0; step < 200000; step++) {
			const uint16_t k = (uint16_t)random_any_size(&r);
			const uint64_t v = random_u64(&r);
			void *value;

			if (random_below(&r, 2)) {
				value = filemap_find(m, &k);
				ck_assert(!value == !naive.there[k]);
				if (value)
					ck_assert_mem_eq(value, &naive.value[k],
							 8);
				continue;
			}
			ck_assert_int_eq(filemap_add(m, &k, &value, &e),
					 !naive.there[k]);
			ck_assert_mem_eq(value, &naive.value[k], 8);
			naive.count += !naive.there[k];
			naive.there[k] = true;
			naive.value[k] = v;
			memcpy(value, &v, 8);
		}
		expect_same(m, &naive);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, behaves_as_an_array_does);
}

CHECK_MAIN("prop base/filemap", cases)
