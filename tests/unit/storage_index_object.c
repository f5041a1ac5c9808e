/* One index object's blocks, and several that do not open. */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/container.h"
#include "storage/repository/index.h"
#include "storage/repository/index_internal.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"
#include "tests/support/repo_store.h"

static struct err e;

/* The nth entry: ids ascend with n, also in the bytes that fences are of. */
static struct pack_entry entry_of(uint32_t n)
{
	struct pack_entry x = { .seal = { .kind = CHUNK_DATA,
					  .domain = 1,
					  .epoch = 2,
					  .plain_len = 1000 },
				.place = { .offset = 32, .len = 141 } };

	memset(&x.seal.id, 0x5a, sizeof(x.seal.id));
	x.seal.id.b[6] = (uint8_t)(n >> 8);
	x.seal.id.b[7] = (uint8_t)n;
	memset(&x.place.pack, 1, sizeof(x.place.pack));
	return x;
}

static uint64_t fence_of(uint32_t n)
{
	const struct pack_entry x = entry_of(n);
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | x.seal.id.b[i];
	return v;
}

/* The first block of two, full. */
static uint8_t plain[INDEX_BLOCK_PLAIN];

static void put_entry(uint32_t at, const struct pack_entry *x)
{
	index_encode(x, plain + 2 + (size_t)at * INDEX_ENTRY_SIZE);
}

static void fill_block(void)
{
	memset(plain, 0, sizeof(plain));
	plain[0] = INDEX_BLOCK_ENTRIES;
	for (uint32_t i = 0; i < INDEX_BLOCK_ENTRIES; i++) {
		const struct pack_entry x = entry_of(i);

		put_entry(i, &x);
	}
}

START_TEST(a_block_ends_where_the_next_begins)
{
	uint64_t fences[2] = { fence_of(0), fence_of(INDEX_BLOCK_ENTRIES - 1) };
	const struct index_object o = { .entries = INDEX_BLOCK_ENTRIES + 1,
					.blocks = 2,
					.fences = fences };

	fill_block();
	/* A chunk may go on in the next block. */
	ck_ok(index_object_check_block(&o, 0, plain, &e));
	fences[1] = fence_of(INDEX_BLOCK_ENTRIES - 2);
	ck_assert_int_eq(index_object_check_block(&o, 0, plain, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	fences[1] = UINT64_MAX;
	ck_ok(index_object_check_block(&o, 0, plain, &e));
	fences[0]++;
	ck_assert_int_eq(index_object_check_block(&o, 0, plain, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

/* By chunk, then by pack, and nothing twice, at every place in the block. */
START_TEST(entries_ascend)
{
	uint64_t fences[2] = { fence_of(0), UINT64_MAX };
	const struct index_object o = { .entries = INDEX_BLOCK_ENTRIES + 1,
					.blocks = 2,
					.fences = fences };

	for (uint32_t i = 1; i < INDEX_BLOCK_ENTRIES; i++) {
		struct pack_entry x = entry_of(i - 1);

		fill_block();
		put_entry(i, &x); /* the same again */
		ck_assert_int_eq(index_object_check_block(&o, 0, plain, &e),
				 -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
		x.place.pack.b[15]--; /* in a pack that comes before */
		put_entry(i, &x);
		ck_assert_int_eq(index_object_check_block(&o, 0, plain, &e),
				 -1);
		x.place.pack.b[15] += 2; /* in one that comes after */
		put_entry(i, &x);
		ck_ok(index_object_check_block(&o, 0, plain, &e));
	}
}
END_TEST

static int count_damaged(void *arg, struct object_id id, const struct err *why,
			 struct err *_e)
{
	unsigned int *n = (unsigned int *)arg;

	(void)id;
	(void)_e;
	ck_assert_int_eq(why->code, ERR_CORRUPT);
	(*n)++;
	return 0;
}

START_TEST(each_that_does_not_open_is_told)
{
	CLEANUP(keys_free) struct keys *keys = repo_keys(7, 2);
	CLEANUP(index_set_free) struct index_set *x = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	static const uint8_t rubbish[256] = { 0x5a };
	unsigned int told = 0;
	const struct index_set_options o = { .cache_bytes = 1 << 20,
					     .damaged = count_damaged,
					     .arg = &told };

	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_object", true, &s, &e));
	for (int i = 0; i < 3; i++)
		repo_set(s, object_name(OBJECT_INDEX, object_id_new()).s,
			 rubbish, sizeof(rubbish));
	ck_ok(index_set_open(s, keys, &o, &x, &e));
	ck_assert_uint_eq(told, 3);
	ck_assert(!index_set_is_whole(x));
	store_mem_forget("mem:index_object");
}
END_TEST

/* How many of these, smallest first, are merged into one. */
static size_t chosen(const uint64_t *entries, size_t n)
{
	struct index_object v[8] = { { .entries = 0 } };
	struct index_object *objects[8];

	for (size_t i = 0; i < n; i++) {
		v[i].entries = entries[i];
		objects[i] = &v[i];
	}
	return index_objects_choose(objects, n);
}
#define CHOSEN(...)                               \
	chosen((const uint64_t[]){ __VA_ARGS__ }, \
	       sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

/* Four at least, and none that would be copied for next to nothing. */
START_TEST(objects_of_about_one_size_are_merged)
{
	ck_assert_uint_eq(CHOSEN(1, 1, 1), 0);
	ck_assert_uint_eq(CHOSEN(1, 1, 1, 1), 4);
	ck_assert_uint_eq(CHOSEN(1, 1, 1, 4096), 4);
	ck_assert_uint_eq(CHOSEN(1, 1, 1, 4097), 0);
	ck_assert_uint_eq(CHOSEN(1, 1, 1, 1, 4097), 4);
	ck_assert_uint_eq(CHOSEN(2000, 2000, 2000, 12000), 4);
	ck_assert_uint_eq(CHOSEN(2000, 2000, 2000, 12001), 0);
	ck_assert_uint_eq(CHOSEN(5000, 5000, 5000, 30000), 4);
	ck_assert_uint_eq(CHOSEN(5000, 5000, 5000, 30001), 0);
	/* One that is large does not part those around it. */
	ck_assert_uint_eq(CHOSEN(1, 1, 5000, 10004), 4);
}
END_TEST

static struct object_id put_one(struct store *s, const struct keys *keys,
				uint32_t n)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	const struct pack_entry one = entry_of(n);
	struct object_id id;

	ck_ok(index_writer_open(s, keys, (struct object_id){ { 0 } }, &w, &e));
	ck_ok(index_writer_add(w, &one, &e));
	ck_ok(index_writer_commit(w, &id, &e));
	return id;
}

static int visit_any(void *arg, const struct pack_entry *x, struct err *_e)
{
	(void)arg;
	(void)x;
	(void)_e;
	return 0;
}

/* Of one's own there is none to go on without: what is wrong is told. */
START_TEST(a_walk_of_objects_ends_at_a_damaged_block)
{
	CLEANUP(keys_free) struct keys *keys = repo_keys(7, 2);
	CLEANUP(index_object_free) struct index_object *o = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(buf_done) struct buf b;

	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_object", true, &s, &e));
	ck_ok(index_object_open(s, keys, put_one(s, keys, 0), &o, &e));
	ck_ok(index_objects_walk(&o, 1, visit_any, NULL, &e));
	repo_get(s, o->in.name.s, &b);
	b.data[OBJECT_HEADER_SIZE] ^= 1;
	repo_set(s, o->in.name.s, b.data, b.len);
	err_clear(&e);
	ck_assert_int_eq(index_objects_walk(&o, 1, visit_any, NULL, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	store_mem_forget("mem:index_object");
}
END_TEST

/* However small each is: a run of them is merged with the one before. */
START_TEST(many_small_objects_are_held_in_memory)
{
	CLEANUP(keys_free) struct keys *keys = repo_keys(7, 2);
	CLEANUP(index_set_free) struct index_set *x = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	const struct index_set_options o = { .cache_bytes = 1 << 20 };
	struct pack_entry got;

	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_object", true, &s, &e));
	for (uint32_t i = 0; i < 100; i++)
		(void)put_one(s, keys, i);
	ck_ok(index_set_open(s, keys, &o, &x, &e));
	for (uint32_t i = 0; i < 100; i++) {
		const struct pack_entry want = entry_of(i);

		ck_assert_int_eq(index_set_find(x, &want.seal.id, &got, &e), 1);
	}
	store_mem_forget("mem:index_object");
}
END_TEST

/* What is listed is gone, each time: what is held in memory is found still. */
START_TEST(an_index_that_changes_all_the_time_is_found)
{
	CLEANUP(keys_free) struct keys *keys = repo_keys(7, 2);
	CLEANUP(index_set_free) struct index_set *x = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	const struct index_set_options o = { .cache_bytes = 1 << 20 };
	const struct pack_entry want = entry_of(0);
	struct object_name name;
	const struct fault gone = { .call = FAULT_ANY,
				    .action = FAULT_ABSENT,
				    .prefix = name.s };
	struct pack_entry got;

	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_object", true, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	(void)put_one(s, keys, 0);
	ck_ok(index_set_open(s, keys, &o, &x, &e));
	name = object_name(OBJECT_INDEX, put_one(s, keys, 1));
	fault_add(s, &gone);
	ck_assert_int_eq(index_set_refresh(x, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_int_eq(index_set_find(x, &want.seal.id, &got, &e), 1);
	store_mem_forget("mem:index_object");
}
END_TEST

/* Whether a trailer that says so makes sense; all else of it is right. */
static bool makes_sense(struct store *s, const struct keys *keys,
			uint64_t tail_at, uint64_t len, uint64_t more)
{
	const uint64_t said[] = { tail_at, len, more }; /* little-endian */
	uint8_t sealed[CONTAINER_TRAILER];
	CLEANUP(buf_done) struct buf tail;
	struct container c;
	struct seal_ad ad;

	buf_init(&tail, 1 << 20);
	ck_ok(container_begin(&c, s, keys, &index_spec, &e));
	/* 1024 bytes, which is a padded size. */
	ck_ok(buf_add_zeros(&tail,
			    1024 - OBJECT_HEADER_SIZE - CONTAINER_TRAILER, &e));
	ck_ok(container_append(&c, tail.data, tail.len, &e));
	container_ad(&c, "trailer", &ad);
	seal_bytes(c.key, &ad, said, sizeof(said), sealed);
	ck_ok(container_append(&c, sealed, sizeof(sealed), &e));
	ck_ok(store_commit(TAKE(c.upload), &e));
	buf_clear(&tail);
	ck_assert_int_eq(container_open(&c, s, keys, &index_spec, &tail, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	return !strstr(e.text, "its trailer makes no sense");
}

START_TEST(trailers_make_sense)
{
	CLEANUP(keys_free) struct keys *keys = repo_keys(7, 2);
	CLEANUP(store_close) struct store *s = NULL;
	const uint64_t end = 1024 - CONTAINER_TRAILER;
	const struct {
		uint64_t tail_at, len, more;
		bool sense; /* then it is the tail that does not open */
	} tried[] = {
		{ 100, end - 100, 0, true },
		{ OBJECT_HEADER_SIZE, end - OBJECT_HEADER_SIZE, 0, true },
		{ end - SEAL_OVERHEAD, SEAL_OVERHEAD, 0, true },
		{ 100, end - 100, 1, false },
		{ 100, end - 99, 0, false },
		{ 100, end - 101, 0, false },
		{ OBJECT_HEADER_SIZE - 1, end - OBJECT_HEADER_SIZE + 1, 0,
		  false },
		{ end - SEAL_OVERHEAD + 1, SEAL_OVERHEAD - 1, 0, false },
		{ end, 0, 0, false },
		{ end + 1, UINT64_MAX, 0, false },
		{ end + 1, 0, 0, false },
		{ UINT64_MAX, end + 1, 0, false },
	};

	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_object", true, &s, &e));
	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++)
		ck_assert_msg(makes_sense(s, keys, tried[i].tail_at,
					  tried[i].len,
					  tried[i].more) == tried[i].sense,
			      "trailer %zu", i);
	store_mem_forget("mem:index_object");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_block_ends_where_the_next_begins);
	tcase_add_test(tc, entries_ascend);
	tcase_add_test(tc, each_that_does_not_open_is_told);
	tcase_add_test(tc, objects_of_about_one_size_are_merged);
	tcase_add_test(tc, a_walk_of_objects_ends_at_a_damaged_block);
	tcase_add_test(tc, many_small_objects_are_held_in_memory);
	tcase_add_test(tc, an_index_that_changes_all_the_time_is_found);
	tcase_add_test(tc, trailers_make_sense);
}

CHECK_MAIN("storage/index_object", cases)
