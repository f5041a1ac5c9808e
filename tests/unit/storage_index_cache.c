/* Which opened index blocks stay in memory: index_cache_*(). */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_internal.h"
#include "tests/support/check_main.h"

#define SHARDS 16
/* Blocks that each shard has room for. */
#define EACH 4
#define ROOM (SHARDS * EACH * ((size_t)INDEX_BLOCK_PLAIN + 64))
/* So many keys that each shard gets more than it has room for. */
#define MANY 400

static struct index_cache *cache;
static struct err e;

static void tear_down(void)
{
	index_cache_free(cache);
	cache = NULL;
}

/* A block that says whose it is, at both ends. */
static void keep(uint64_t key, uint8_t more)
{
	uint8_t *plain = calloc(1, INDEX_BLOCK_PLAIN);

	ck_assert_ptr_nonnull(plain);
	memcpy(plain, &key, sizeof(key));
	plain[INDEX_BLOCK_PLAIN - 1] = more;
	index_cache_keep(cache, key, plain);
}

struct seen {
	uint64_t key;
	uint8_t more;
	unsigned int times;
};

static void see(void *arg, const uint8_t *plain)
{
	struct seen *s = arg;

	memcpy(&s->key, plain, sizeof(s->key));
	s->more = plain[INDEX_BLOCK_PLAIN - 1];
	s->times++;
}

static bool is_here(uint64_t key, uint8_t more)
{
	struct seen s = { .times = 0 };
	const bool found = index_cache_find(cache, key, see, &s);

	ck_assert_uint_eq(s.times, found);
	if (found) {
		ck_assert_uint_eq(s.key, key);
		ck_assert_uint_eq(s.more, more);
	}
	return found;
}

START_TEST(what_is_kept_is_found)
{
	ck_ok(index_cache_new(ROOM, &cache, &e));
	ck_assert(!is_here(0, 0));
	keep(0, 1);
	keep(5, 2);
	ck_assert(is_here(0, 1));
	ck_assert(is_here(5, 2));
	ck_assert(!is_here(1, 0));
}
END_TEST

/* Two threads opened the same block: it is here once, as it was first. */
START_TEST(what_is_here_is_kept_once)
{
	ck_ok(index_cache_new(ROOM, &cache, &e));
	for (uint8_t more = 1; more < 3 * EACH; more++)
		keep(7, more);
	ck_assert(is_here(7, 1));
}
END_TEST

START_TEST(there_is_room_for_so_many_bytes)
{
	unsigned int found = 0;

	ck_ok(index_cache_new(ROOM, &cache, &e));
	for (uint64_t key = 0; key < MANY; key++) {
		keep(key, 3);
		ck_assert(is_here(key, 3));
	}
	for (uint64_t key = 0; key < MANY; key++)
		found += is_here(key, 3);
	ck_assert_uint_eq(found, SHARDS * EACH);
}
END_TEST

START_TEST(what_is_used_stays)
{
	unsigned int unused = 0;

	ck_ok(index_cache_new(ROOM, &cache, &e));
	keep(0, 1);
	for (uint64_t key = 1; key < MANY; key++) {
		ck_assert(is_here(0, 1));
		keep(key, 2);
	}
	for (uint64_t key = 1; key < MANY / 2; key++)
		unused += is_here(key, 2);
	ck_assert_uint_eq(unused, 0);
}
END_TEST

/* All of a shard were used: the hand comes round, and takes one of them. */
START_TEST(where_all_are_used_one_goes)
{
	ck_ok(index_cache_new(ROOM, &cache, &e));
	for (uint64_t key = 0; key < MANY; key++) {
		unsigned int found = 0;

		keep(key, 4);
		for (uint64_t k = 0; k <= key; k++)
			found += is_here(k, 4);
		ck_assert_uint_ge(found, key < EACH ? key + 1 : EACH);
		ck_assert_uint_le(found, SHARDS * EACH);
	}
}
END_TEST

START_TEST(without_room_nothing_is_kept)
{
	ck_ok(index_cache_new(0, &cache, &e));
	keep(0, 1);
	ck_assert(!is_here(0, 1));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_test(tc, what_is_kept_is_found);
	tcase_add_test(tc, what_is_here_is_kept_once);
	tcase_add_test(tc, there_is_room_for_so_many_bytes);
	tcase_add_test(tc, what_is_used_stays);
	tcase_add_test(tc, where_all_are_used_one_goes);
	tcase_add_test(tc, without_room_nothing_is_kept);
}

CHECK_MAIN("storage/index_cache", cases)
