/* Look-ups in a large index where a request takes long. */
#include "storage/repository/index.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_internal.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

/* Chunks that are there; as many are not, one between each two. */
#define ENTRIES 60000U
#define LOOKUPS 20000U
/* The look-up that has an object of so many copied. */
#define COPYING (ENTRIES / INDEX_BLOCK_ENTRIES / INDEX_COPY_PART + 1)

static struct keys *keys;
static struct store *store;
static struct index_set *set;
static struct object_id all; /* the object */
static struct err e;

static struct pack_entry entry_of(uint32_t n)
{
	struct pack_entry x = { .seal = { .kind = CHUNK_DATA,
					  .domain = 1,
					  .epoch = 2,
					  .plain_len = 1000 },
				.place = { .offset = 32 + n, .len = 141 } };

	memset(&x.seal.id, 0x5a, sizeof(x.seal.id));
	x.seal.id.b[0] = (uint8_t)(n >> 16);
	x.seal.id.b[1] = (uint8_t)(n >> 8);
	x.seal.id.b[2] = (uint8_t)n;
	memset(&x.place.pack, 1, sizeof(x.place.pack));
	return x;
}

/* Those below to; in place of another, unless that is NULL. */
static struct object_id write_to(uint32_t to,
				 const struct object_id *superseded)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct object_id id;

	ck_ok(index_writer_open(store, keys, (struct object_id){ { 0 } }, &w,
				&e));
	for (uint32_t n = 0; n < to; n += 2) {
		const struct pack_entry x = entry_of(n);

		ck_ok(index_writer_add(w, &x, &e));
	}
	if (superseded)
		ck_ok(index_writer_supersede(w, *superseded, &e));
	ck_ok(index_writer_commit(w, &id, &e));
	return id;
}

/* With a cache for a few blocks of 240. */
static void open_set(void)
{
	const struct index_set_options o = { .cache_bytes = 128 << 10 };

	ck_ok(index_set_open(store, keys, &o, &set, &e));
}

static void set_up(void)
{
	struct store *inner = NULL;

	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_far", true, &inner, &e));
	ck_ok(fault_wrap(inner, &store, &e));
	fault_set_far(store);
	all = write_to(2 * ENTRIES, NULL);
	open_set();
}

static void tear_down(void)
{
	index_set_free(set);
	store_close(store);
	store_mem_forget("mem:index_far");
	keys_free(keys);
}

static void look_up(uint32_t n)
{
	const struct pack_entry want = entry_of(n);
	struct pack_entry got;
	const int r = index_set_find(set, &want.seal.id, &got, &e);

	ck_assert_msg(r >= 0, "%s", e.text);
	ck_assert_int_eq(r, n % 2 ? 0 : 1);
	if (r > 0)
		ck_assert_uint_eq(got.place.offset, want.place.offset);
}

/* All over the object: how many reads they are. */
static uint64_t look_up_many(void)
{
	const uint64_t before = fault_calls(store, FAULT_READ);

	for (uint32_t i = 0; i < LOOKUPS; i++)
		look_up(i * 7919U % (2 * ENTRIES));
	return fault_calls(store, FAULT_READ) - before;
}

static void break_copying(enum fault_action action)
{
	fault_add(store,
		  &(struct fault){ .call = FAULT_READ,
				   .action = action,
				   .prefix = "index/",
				   .nth = COPYING,
				   .times = 1,
				   .amount = 8000 /* bit: a block's */ });
}

/* One by one they would be about as many as there are look-ups. */
START_TEST(many_look_ups_are_few_requests)
{
	ck_assert_uint_le(look_up_many(), COPYING + 1);
}
END_TEST

/* As of who restores a file. */
START_TEST(few_look_ups_read_no_more_than_their_blocks)
{
	const uint64_t before = fault_calls(store, FAULT_READ);

	/* Had the whole been copied, the last one would ask for nothing. */
	for (uint32_t i = 0; i + 1 < COPYING; i++)
		look_up(i * 2 * ENTRIES / COPYING);
	ck_assert_uint_eq(fault_calls(store, FAULT_READ) - before, COPYING - 1);
}
END_TEST

START_TEST(what_cannot_be_copied_is_read_in_blocks)
{
	break_copying(FAULT_FAIL);
	ck_assert_uint_gt(look_up_many(), 1000);
}
END_TEST

/* Nor is a copy trusted: what does not open in it is asked for. */
START_TEST(a_copy_that_was_spoilt_is_not_used)
{
	break_copying(FAULT_FLIP);
	/* The block that does not open is read, time and again. */
	ck_assert_uint_gt(look_up_many(), COPYING + 10);
	ck_assert(index_set_is_whole(set));
}
END_TEST

static int find(uint32_t n)
{
	const struct pack_entry want = entry_of(n);
	struct pack_entry got;

	return index_set_find(set, &want.seal.id, &got, &e);
}

static int find_everywhere(uint32_t n)
{
	const struct pack_entry want = entry_of(n);
	struct pack_entry got;

	return index_set_find_everywhere(set, &want.seal.id, NULL, 0, &got, &e);
}

/* What was superseded is asked of nobody's miss, unless it had something. */
START_TEST(what_counts_sends_nobody_to_what_does_not)
{
	index_set_free(set);
	set = NULL;
	(void)write_to(ENTRIES, &all);
	open_set();
	ck_assert_int_eq(find_everywhere(2), 1);
	for (uint32_t n = 0; n < ENTRIES; n += 1000)
		ck_assert_int_eq(find(ENTRIES + n), 0);
	ck_assert_int_eq(find_everywhere(1), 0);
	ck_assert_int_eq(find(2 * ENTRIES - 2), 0);
	ck_assert_int_eq(find_everywhere(2 * ENTRIES - 2), 1);
	for (uint32_t n = 0; n < ENTRIES; n += 1000)
		ck_assert_int_eq(find(ENTRIES + n), 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, many_look_ups_are_few_requests);
	tcase_add_test(tc, few_look_ups_read_no_more_than_their_blocks);
	tcase_add_test(tc, what_cannot_be_copied_is_read_in_blocks);
	tcase_add_test(tc, a_copy_that_was_spoilt_is_not_used);
	tcase_add_test(tc, what_counts_sends_nobody_to_what_does_not);
}
CHECK_MAIN("storage/index_far", cases)
