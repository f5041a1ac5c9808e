/* The index: storage/repository/index.h. */
#include "storage/repository/index.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_internal.h"
#include "storage/repository/record.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"
#include "tests/support/repo_store.h"

#define CACHE ((size_t)1 << 20)

static struct keys *keys;
static struct store *store;

static void set_up(void)
{
	struct err e;

	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index", true, &store, &e));
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget("mem:index");
	keys_free(keys);
}

/* The nth entry of a made-up repository: ids ascend with n. */
static struct pack_entry entry_of(uint32_t n, uint8_t pack)
{
	struct pack_entry x = { .seal = { .kind = CHUNK_DATA,
					  .domain = 1,
					  .epoch = 2,
					  .plain_len = 1000 + n % 1000 },
				.place = { .offset = 32 + n, .len = 141 } };

	memset(&x.seal.id, 0x5a, sizeof(x.seal.id));
	x.seal.id.b[0] = (uint8_t)(n >> 16);
	x.seal.id.b[1] = (uint8_t)(n >> 8);
	x.seal.id.b[2] = (uint8_t)n;
	memset(&x.place.pack, pack, sizeof(x.place.pack));
	return x;
}

static bool same(const struct pack_entry *a, const struct pack_entry *b)
{
	uint8_t x[INDEX_ENTRY_SIZE];
	uint8_t y[INDEX_ENTRY_SIZE];

	index_encode(a, x);
	index_encode(b, y);
	return memcmp(x, y, sizeof(x)) == 0;
}

/* An object with the entries from, from + step, … below to, in one pack. */
static struct object_id write_range(uint32_t from, uint32_t to, uint32_t step,
				    uint8_t pack,
				    const struct object_id *superseded)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct object_id id;
	struct err e;

	ck_ok(index_writer_open(store, keys, (struct object_id){ { 0 } }, &w,
				&e));
	for (uint32_t n = from; n < to; n += step) {
		const struct pack_entry x = entry_of(n, pack);

		ck_ok(index_writer_add(w, &x, &e));
	}
	if (superseded)
		ck_ok(index_writer_supersede(w, *superseded, &e));
	ck_ok(index_writer_commit(w, &id, &e));
	return id;
}

static int open_with(size_t cache, index_damaged *damaged, void *arg,
		     struct index_set **ret, struct err *e)
{
	const struct index_set_options o = { .cache_bytes = cache,
					     .damaged = damaged,
					     .arg = arg };

	return index_set_open(store, keys, &o, ret, e);
}

static struct index_set *open_set(size_t cache)
{
	struct index_set *x = NULL;
	struct err e;

	ck_ok(open_with(cache, NULL, NULL, &x, &e));
	return x;
}

/* Which pack holds the nth chunk: its byte, or 0 for none. */
static uint8_t holder(struct index_set *x, uint32_t n)
{
	const struct pack_entry want = entry_of(n, 0);
	struct pack_entry got;
	struct err e;
	int r;

	r = index_set_find(x, &want.seal.id, &got, &e);
	ck_assert_msg(r >= 0, "%s", e.text);
	if (r == 0)
		return 0;
	ck_assert(chunk_id_equal(&got.seal.id, &want.seal.id));
	ck_assert_uint_eq(got.place.offset, want.place.offset);
	return got.place.pack.b[0];
}

START_TEST(entries_are_65_bytes)
{
	struct pack_entry x = entry_of(0x010203, 9);
	struct pack_entry back;
	uint8_t b[INDEX_ENTRY_SIZE];

	x.seal.kind = CHUNK_VALUE;
	x.seal.epoch = 0x1234;
	x.seal.domain = 0x5678;
	index_encode(&x, b);
	ck_assert_mem_eq(b + 60, "\x34\x12\x78\x56\x06", 5);
	index_decode(b, &back);
	ck_assert(same(&x, &back));
}
END_TEST

/* Small objects are merged in memory, large ones read by block: both ways. */
START_TEST(what_is_there_is_found_and_nothing_else)
{
	static const size_t caches[] = { 0, 40000, CACHE, 8 * CACHE };

	write_range(0, 30000, 3, 1, NULL);
	write_range(1, 9000, 3, 2, NULL);
	write_range(9001, 9100, 3, 3, NULL);
	write_range(0, 0, 1, 4, NULL);
	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		CLEANUP(index_set_free)
		struct index_set *x = open_set(caches[i]);

		ck_assert_uint_eq(index_set_objects(x), 4);
		ck_assert_uint_eq(index_set_entries(x), 13033);
		for (uint32_t n = 0; n < 30010; n += 5) {
			const uint8_t want = n % 3 == 0 && n < 30000  ? 1
					     : n % 3 == 1 && n < 9000 ? 2
					     : n % 3 == 1 && n < 9100 ? 3
								      : 0;

			ck_assert_uint_eq(holder(x, n), want);
		}
	}
}
END_TEST

START_TEST(an_empty_index_holds_nothing)
{
	CLEANUP(index_set_free) struct index_set *x = open_set(CACHE);

	ck_assert_uint_eq(holder(x, 1), 0);
	ck_assert_uint_eq(index_set_objects(x), 0);
}
END_TEST

START_TEST(other_holders_are_found)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	const struct pack_entry x5 = entry_of(5, 0);
	struct object_id not_in[2];
	struct pack_entry got;
	struct err e;

	memset(&not_in[0], 1, sizeof(not_in[0]));
	memset(&not_in[1], 2, sizeof(not_in[1]));
	write_range(0, 10, 1, 1, NULL);
	write_range(0, 10, 1, 2, NULL);
	x = open_set(CACHE);
	ck_assert_int_eq(
		index_set_find_other(x, &x5.seal.id, not_in, 1, &got, &e), 1);
	ck_assert_uint_eq(got.place.pack.b[0], 2);
	ck_assert_int_eq(
		index_set_find_other(x, &x5.seal.id, not_in + 1, 1, &got, &e),
		1);
	ck_assert_uint_eq(got.place.pack.b[0], 1);
	ck_assert_int_eq(
		index_set_find_other(x, &x5.seal.id, not_in, 2, &got, &e), 0);
}
END_TEST

/* One chunk in more packs than a block has room for. */
START_TEST(a_chunk_may_fill_several_blocks)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct object_id not_in[600];
	struct pack_entry got;
	struct err e;

	ck_ok(index_writer_open(store, keys, (struct object_id){ { 0 } }, &w,
				&e));
	for (uint32_t i = 0; i < 802; i++) {
		struct pack_entry p = entry_of(i < 100	 ? i
					       : i < 700 ? 100
							 : i - 599,
					       1);

		p.place.pack.b[0] = (uint8_t)(i >> 8);
		p.place.pack.b[1] = (uint8_t)i;
		if (i >= 100 && i < 700)
			not_in[i - 100] = p.place.pack;
		ck_ok(index_writer_add(w, &p, &e));
	}
	ck_ok(index_writer_commit(w, NULL, &e));
	for (size_t cache = 0; cache <= CACHE; cache += CACHE) {
		CLEANUP(index_set_free) struct index_set *x = open_set(cache);
		const struct pack_entry p = entry_of(100, 0);

		for (size_t n = 0; n < 600; n++) {
			ck_assert_int_eq(index_set_find_other(x, &p.seal.id,
							      not_in, n, &got,
							      &e),
					 1);
			ck_assert(object_id_equal(got.place.pack, not_in[n]));
		}
		ck_assert_int_eq(index_set_find_other(x, &p.seal.id, not_in,
						      600, &got, &e),
				 0);
	}
}
END_TEST

START_TEST(the_superseded_is_ignored)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	const struct object_id old = write_range(0, 10, 1, 1, NULL);

	write_range(5, 10, 1, 2, &old);
	x = open_set(CACHE);
	ck_assert_uint_eq(index_set_objects(x), 1);
	ck_assert_uint_eq(holder(x, 4), 0);
	ck_assert_uint_eq(holder(x, 5), 2);
}
END_TEST

START_TEST(the_hidden_counts_as_absent)
{
	for (size_t cache = 0; cache <= CACHE; cache += CACHE) {
		CLEANUP(index_set_free) struct index_set *x = NULL;
		struct object_id pack;
		struct pack_entry p = entry_of(7, 2);
		struct err e;

		write_range(0, 10, 1, 1, NULL);
		write_range(5, 15, 1, 2, NULL);
		x = open_set(cache);
		memset(&pack, 1, sizeof(pack));
		ck_ok(index_set_hide_pack(x, pack, &e));
		ck_ok(index_set_hide_chunk(x, &p.seal.id, p.place.pack, &e));
		for (uint32_t n = 20; n < 300; n++) {
			p = entry_of(n, 9);
			ck_ok(index_set_hide_chunk(x, &p.seal.id, p.place.pack,
						   &e));
		}
		ck_assert_uint_eq(holder(x, 4), 0);
		ck_assert_uint_eq(holder(x, 6), 2);
		ck_assert_uint_eq(holder(x, 7), 0);
		ck_assert_uint_eq(holder(x, 14), 2);
	}
}
END_TEST

START_TEST(what_is_added_is_visible_at_once)
{
	CLEANUP(index_set_free) struct index_set *x = open_set(CACHE);
	struct object_id first;
	struct object_id id;
	struct err e;

	first = write_range(0, 10, 1, 1, NULL);
	ck_ok(index_set_add(x, first, &e));
	ck_assert_uint_eq(holder(x, 3), 1);
	for (uint32_t i = 1; i < 40; i++) {
		id = write_range(i * 10, i * 10 + 10, 1, 1, NULL);
		ck_ok(index_set_add(x, id, &e));
	}
	id = write_range(1000, 7000, 1, 2, NULL); /* too large to be resident */
	ck_ok(index_set_add(x, id, &e));
	for (uint32_t n = 0; n < 400; n++)
		ck_assert_uint_eq(holder(x, n), 1);
	ck_assert_uint_eq(holder(x, 6999), 2);
	id = write_range(5, 10, 1, 3, &first);
	ck_ok(index_set_add(x, id, &e));
	ck_assert_uint_eq(holder(x, 3), 0);
	ck_assert_uint_eq(holder(x, 5), 3);
	ck_assert_uint_eq(holder(x, 15), 1);
	ck_assert_int_eq(index_set_add(x, object_id_new(), &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

struct walked {
	uint32_t n;
	uint32_t stop_at;
};

static int expect_next(void *arg, const struct pack_entry *entry, struct err *e)
{
	struct walked *w = arg;
	const struct pack_entry want = entry_of(w->n, 1);

	if (w->n == w->stop_at)
		return err_set(e, ERR_INTERRUPTED, "stopped");
	ck_assert(same(entry, &want));
	w->n++;
	return 0;
}

START_TEST(a_walk_is_in_order_and_tells_each_once)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct walked w = { .stop_at = UINT32_MAX };
	struct err e;

	for (uint32_t i = 0; i < 7; i++)
		write_range(i, 10000, 7, 1, NULL);
	write_range(2000, 4000, 1, 1, NULL);
	write_range(0, 0, 1, 1, NULL);
	x = open_set(CACHE);
	ck_ok(index_set_walk(x, expect_next, &w, &e));
	ck_assert_uint_eq(w.n, 10000);
	w = (struct walked){ .stop_at = 50 };
	ck_assert_int_eq(index_set_walk(x, expect_next, &w, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
}
END_TEST

START_TEST(entries_must_ascend)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct pack_entry x = entry_of(5, 5);
	struct err e;

	ck_ok(index_writer_open(store, keys, (struct object_id){ { 0 } }, &w,
				&e));
	ck_ok(index_writer_add(w, &x, &e));
	ck_assert_int_eq(index_writer_add(w, &x, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUG);
	x.place.pack.b[0] = 4;
	ck_assert_int_eq(index_writer_add(w, &x, &e), -1);
	x.place.pack.b[0] = 6;
	ck_ok(index_writer_add(w, &x, &e));
}
END_TEST

START_TEST(sorting_drops_equals)
{
	struct pack_entry x[6] = { entry_of(3, 1), entry_of(1, 2),
				   entry_of(1, 1), entry_of(3, 1),
				   entry_of(1, 2), entry_of(0, 9) };
	const struct pack_entry want[4] = { entry_of(0, 9), entry_of(1, 1),
					    entry_of(1, 2), entry_of(3, 1) };

	ck_assert_uint_eq(index_sort(x, 6), 4);
	for (size_t i = 0; i < 4; i++)
		ck_assert(same(&x[i], &want[i]));
	ck_assert_uint_eq(index_sort(NULL, 0), 0);
}
END_TEST

static int ignore_entry(void *arg, const struct pack_entry *entry,
			struct err *e)
{
	(void)arg;
	(void)entry;
	(void)e;
	return 0;
}

/* Open all and read every byte. */
static bool believed(void *arg)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct err e;

	if (index_set_open(
		    store, arg ? arg : keys,
		    &(const struct index_set_options){ .cache_bytes = 0 }, &x,
		    &e) ||
	    index_set_walk(x, ignore_entry, NULL, &e)) {
		ck_assert(e.code == ERR_CORRUPT || e.code == ERR_NEWER ||
			  e.code == ERR_BAD_KEY);
		return false;
	}
	return true;
}

START_TEST(any_damage_of_a_root_is_found)
{
	const struct object_id id = write_range(0, 0, 1, 1, NULL);

	repo_damage(store, object_name(OBJECT_INDEX, id).s, 1, believed, NULL);
}
END_TEST

START_TEST(damage_of_blocks_is_found)
{
	const struct object_id id = write_range(0, 300, 1, 1, NULL);

	repo_damage(store, object_name(OBJECT_INDEX, id).s, 41, believed, NULL);
}
END_TEST

/* 120 blocks are padded with whole ones, which must be authentic as well. */
START_TEST(filling_is_authenticated)
{
	const struct object_id id = write_range(0, 120 * 251, 1, 1, NULL);
	const struct object_name name = object_name(OBJECT_INDEX, id);
	CLEANUP(index_object_free) struct index_object *o = NULL;
	CLEANUP(buf_done) struct buf b;
	struct err e;

	ck_ok(index_object_open(store, keys, id, &o, &e));
	ck_assert_uint_ge(o->fillers, 1);
	repo_get(store, name.s, &b);
	ck_assert(object_is_padded(b.len));
	ck_assert(believed(NULL));
	b.data[32 + 120 * INDEX_BLOCK_SIZE + 5000] ^= 1;
	repo_set(store, name.s, b.data, b.len);
	ck_assert(!believed(NULL));
}
END_TEST

START_TEST(an_object_opens_only_in_its_place)
{
	CLEANUP(keys_free) struct keys *other = repo_keys(8, 2);
	CLEANUP(keys_free) struct keys *older = repo_keys(7, 1);
	const struct object_id a = write_range(0, 10, 1, 1, NULL);
	const struct object_id b = write_range(20, 30, 1, 1, NULL);
	const struct object_name name_a = object_name(OBJECT_INDEX, a);
	const struct object_name name_b = object_name(OBJECT_INDEX, b);
	CLEANUP(buf_done) struct buf bytes;

	ck_assert(other && older);
	ck_assert(believed(keys));
	ck_assert(!believed(other));
	ck_assert(!believed(older));
	repo_swap(store, name_a.s, name_b.s);
	ck_assert(!believed(keys));
	repo_swap(store, name_a.s, name_b.s);
	repo_get(store, name_b.s, &bytes);
	memcpy(bytes.data + 16, a.b, sizeof(a.b));
	repo_set(store, name_a.s, bytes.data, bytes.len);
	ck_assert(!believed(keys));
}
END_TEST

/* Blocks of one object exchanged with each other. */
START_TEST(blocks_are_bound_to_their_place)
{
	const struct object_id id = write_range(0, 502, 1, 1, NULL);
	const struct object_name name = object_name(OBJECT_INDEX, id);
	uint8_t held[INDEX_BLOCK_SIZE];
	CLEANUP(buf_done) struct buf b;

	repo_get(store, name.s, &b);
	memcpy(held, b.data + 32, sizeof(held));
	memcpy(b.data + 32, b.data + 32 + INDEX_BLOCK_SIZE, sizeof(held));
	memcpy(b.data + 32 + INDEX_BLOCK_SIZE, held, sizeof(held));
	repo_set(store, name.s, b.data, b.len);
	ck_assert(!believed(NULL));
}
END_TEST

static int note_damaged(void *arg, struct object_id id, const struct err *why,
			struct err *e)
{
	struct object_id *noted = arg;

	(void)e;
	ck_assert_int_eq(why->code, ERR_CORRUPT);
	*noted = id;
	return 0;
}

START_TEST(the_damaged_is_told_and_left_out)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	const struct object_id good = write_range(0, 10, 1, 1, NULL);
	const struct object_id bad = write_range(10, 20, 1, 2, NULL);
	CLEANUP(buf_done) struct buf b;
	struct object_id noted = { { 0 } };
	struct err e;

	(void)good;
	repo_get(store, object_name(OBJECT_INDEX, bad).s, &b);
	/* In the root, then in a block of an object that is read whole. */
	for (size_t at = b.len - 1;; at = 100) {
		b.data[at] ^= 1;
		repo_set(store, object_name(OBJECT_INDEX, bad).s, b.data,
			 b.len);
		b.data[at] ^= 1;
		ck_ok(open_with(CACHE, note_damaged, &noted, &x, &e));
		ck_assert(object_id_equal(noted, bad));
		ck_assert_uint_eq(index_set_objects(x), 1);
		ck_assert(!index_set_is_whole(x));
		ck_assert_uint_eq(holder(x, 5), 1);
		ck_assert_uint_eq(holder(x, 15), 0);
		index_set_free(TAKE(x));
		ck_assert_int_eq(open_with(CACHE, NULL, NULL, &x, &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
		if (at == 100)
			break;
	}
}
END_TEST

/* Another process merged it into one that also names what came since. */
START_TEST(what_was_merged_while_in_use_is_found)
{
	const struct object_id old = write_range(0, 10000, 1, 1, NULL);
	CLEANUP(index_set_free) struct index_set *x = open_set(CACHE);
	struct err e;

	ck_assert_uint_eq(holder(x, 5), 1);
	(void)write_range(0, 20000, 1, 2, &old);
	ck_ok(store_remove(store, object_name(OBJECT_INDEX, old).s, &e));
	ck_assert_uint_eq(holder(x, 9000), 2);
	ck_assert_uint_eq(holder(x, 15000), 2);
	ck_assert_uint_eq(holder(x, 5), 2);
	ck_assert_uint_eq(holder(x, 20001), 0);
	ck_assert_uint_eq(index_set_objects(x), 1);
}
END_TEST

START_TEST(hostile_blocks_are_refused)
{
	uint64_t fences[2] = { 0, UINT64_MAX };
	struct index_object o = { .entries = 254,
				  .blocks = 2,
				  .fences = fences };
	static const struct {
		size_t at;
		uint8_t value;
	} spoilt[] = {
		{ 0, 2 },	   /* count */
		{ 0, 4 },	   /* count */
		{ 1, 1 },	   /* count */
		{ 2, 1 },	   /* another fence */
		{ 2 + 2, 2 },	   /* out of order */
		{ 2 + 55, 0xff },  /* sealed length */
		{ 2 + 59, 0xff },  /* length of the plaintext: 4 GiB */
		{ 2 + 60, 0 },	   /* epoch 0 */
		{ 2 + 64, 0 },	   /* kind */
		{ 2 + 64, 7 },	   /* kind */
		{ 2 + 3 * 65, 1 }, /* padding */
		{ INDEX_BLOCK_PLAIN - 1, 1 },
	};
	static uint8_t plain[INDEX_BLOCK_PLAIN];
	struct err e;

	plain[0] = 3;
	for (uint32_t i = 0; i < 3; i++) {
		struct pack_entry x = entry_of(i, 1);

		index_encode(&x, plain + 2 + (size_t)i * INDEX_ENTRY_SIZE);
	}
	for (unsigned int i = 0; i < 8; i++)
		fences[1] = fences[1] << 8 | plain[2 + i];
	fences[0] = 0;
	ck_ok(index_object_check_block(&o, 1, plain, &e));
	ck_assert_int_eq(index_object_check_block(&o, 0, plain, &e), -1);
	for (size_t i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
		const uint8_t old = plain[spoilt[i].at];

		plain[spoilt[i].at] = spoilt[i].value;
		ck_assert_msg(index_object_check_block(&o, 1, plain, &e) == -1,
			      "case %zu", i);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
		plain[spoilt[i].at] = old;
	}
}
END_TEST

struct racing {
	struct index_set *set;
	uint32_t seed;
	bool wrong;
};

static void *look_up_many(void *arg)
{
	struct racing *r = arg;
	struct pack_entry got;
	struct err e;

	for (uint32_t i = 0; i < 20000; i++) {
		const uint32_t n = (r->seed += 7919) % 20000;
		const struct pack_entry want = entry_of(n, 1);
		const int found = index_set_find(r->set, &want.seal.id, &got,
						 &e);

		if (found != (n % 2 == 0) || (found && !same(&got, &want)))
			r->wrong = true;
	}
	return NULL;
}

/* A cache of a few blocks, so that threads evict one another's all the time. */
START_TEST(threads_look_up_while_objects_are_added)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct racing r[3];
	pthread_t t[3];
	struct err e;

	write_range(0, 20000, 2, 1, NULL);
	x = open_set((size_t)40 * INDEX_BLOCK_SIZE);
	for (uint32_t i = 0; i < 3; i++) {
		r[i] = (struct racing){ .set = x, .seed = i * 1000 };
		ck_assert_int_eq(
			pthread_create(&t[i], NULL, look_up_many, &r[i]), 0);
	}
	for (uint32_t i = 0; i < 10; i++)
		ck_ok(index_set_add(x,
				    write_range(30000 + i * 100,
						30100 + i * 100, 1, 1, NULL),
				    &e));
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_int_eq(pthread_join(t[i], NULL), 0);
		ck_assert(!r[i].wrong);
	}
	ck_assert_uint_eq(holder(x, 30999), 1);
}
END_TEST

/*
 * One object too large to be held in memory with a block that cannot be had,
 * and another with half of what the first one holds.
 */
#define BAD_BLOCK 3
#define BAD_FROM  (BAD_BLOCK * INDEX_BLOCK_ENTRIES)
#define BAD_TO	  (BAD_FROM + INDEX_BLOCK_ENTRIES)
#define LARGE	  5020 /* entries: 20 blocks */

struct told {
	struct object_id id;
	_Atomic unsigned int times;
};

static int count_damaged(void *arg, struct object_id id, const struct err *why,
			 struct err *e)
{
	struct told *told = arg;

	(void)e;
	ck_assert(why->code == ERR_CORRUPT || why->sys == EIO);
	ck_assert(object_id_equal(id, told->id));
	atomic_fetch_add(&told->times, 1);
	return 0;
}

/* What supersedes one that does not open is of a session that is voided. */
START_TEST(what_does_not_count_supersedes_nothing)
{
	const struct object_id session = { { 's' } };
	const struct object_id old = write_range(0, 10, 1, 1, NULL);
	const struct object_name name = object_name(OBJECT_INDEX, old);
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	const struct pack_entry entry = entry_of(5, 2);
	CLEANUP(buf_done) struct buf b;
	struct index_set *x = NULL;
	struct told told = { .id = old };
	struct record v;
	struct err e;

	ck_ok(index_writer_open(store, keys, session, &w, &e));
	ck_ok(index_writer_add(w, &entry, &e));
	ck_ok(index_writer_supersede(w, old, &e));
	ck_ok(index_writer_commit(w, NULL, &e));
	repo_get(store, name.s, &b);
	b.data[b.len - 1] ^= 1;
	repo_set(store, name.s, b.data, b.len);
	ck_ok(open_with(CACHE, count_damaged, &told, &x, &e));
	ck_assert_uint_eq(told.times, 0);
	ck_assert_uint_eq(holder(x, 5), 2);
	index_set_free(x);
	record_init(&v, OBJECT_VOID);
	v.id = object_id_new();
	v.session = session;
	ck_ok(record_put(store, keys, &v, 0, &e));
	ck_ok(open_with(CACHE, count_damaged, &told, &x, &e));
	ck_assert_uint_eq(told.times, 1);
	ck_assert_uint_eq(holder(x, 5), 0);
	index_set_free(x);
	b.data[b.len - 1] ^= 1; /* mended, it is what counts */
	repo_set(store, name.s, b.data, b.len);
	x = open_set(CACHE);
	ck_assert_uint_eq(holder(x, 5), 1);
	index_set_free(x);
}
END_TEST

static void expect_the_rest(struct index_set *x, uint32_t from, uint32_t to)
{
	for (uint32_t n = 0; n < LARGE; n += 7)
		ck_assert_int_eq(holder(x, n) == 0,
				 n % 2 && n >= from && n < to);
}

static void *expect_holes(void *arg)
{
	expect_the_rest(arg, BAD_FROM, BAD_TO);
	return NULL;
}

static void flip_in_block(struct object_id id, uint32_t block)
{
	const struct object_name name = object_name(OBJECT_INDEX, id);
	CLEANUP(buf_done) struct buf b;

	repo_get(store, name.s, &b);
	b.data[OBJECT_HEADER_SIZE + block * INDEX_BLOCK_SIZE + 100] ^= 1;
	repo_set(store, name.s, b.data, b.len);
}

START_TEST(a_damaged_block_hides_only_what_it_holds)
{
	const struct pack_entry gone = entry_of(BAD_FROM | 1, 0);
	struct told told = { .id = write_range(0, LARGE, 1, 1, NULL) };

	(void)write_range(0, LARGE, 2, 2, NULL);
	flip_in_block(told.id, BAD_BLOCK);
	for (size_t cache = 0; cache <= CACHE; cache += CACHE) {
		CLEANUP(index_set_free) struct index_set *x = NULL;
		CLEANUP(index_set_free) struct index_set *strict = NULL;
		struct pack_entry got;
		pthread_t t[3];
		struct err e;

		told.times = 0;
		ck_ok(open_with(cache, count_damaged, &told, &x, &e));
		ck_assert(index_set_is_whole(x));
		for (size_t i = 0; i < 3; i++)
			ck_assert_int_eq(
				pthread_create(&t[i], NULL, expect_holes, x),
				0);
		for (size_t i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_join(t[i], NULL), 0);
		ck_assert_uint_eq(told.times, 1);
		ck_assert(!index_set_is_whole(x));
		strict = open_set(cache);
		ck_assert_int_eq(
			index_set_find(strict, &gone.seal.id, &got, &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
}
END_TEST

static int count_entry(void *arg, const struct pack_entry *entry, struct err *e)
{
	uint32_t *count = arg;

	(void)entry;
	(void)e;
	++*count;
	return 0;
}

START_TEST(a_walk_goes_on_behind_a_damaged_block_and_tells_once)
{
	struct told told = { .id = write_range(0, LARGE, 1, 1, NULL) };
	CLEANUP(index_set_free) struct index_set *strict = open_set(CACHE);

	flip_in_block(told.id, BAD_BLOCK);
	for (size_t cache = 0; cache <= CACHE; cache += CACHE) {
		CLEANUP(index_set_free) struct index_set *x = NULL;
		uint32_t count = 0;
		struct err e;

		told.times = 0;
		ck_ok(open_with(cache, count_damaged, &told, &x, &e));
		ck_ok(index_set_walk(x, count_entry, &count, &e));
		ck_assert_uint_eq(count, LARGE - (BAD_TO - BAD_FROM));
		ck_assert_uint_eq(told.times, 1);
		ck_assert(!index_set_is_whole(x));
		ck_assert_int_eq(
			index_set_walk(strict, count_entry, &count, &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
}
END_TEST

/* What stands in the way of a look-up may be the disk. */
START_TEST(a_block_that_the_disk_refuses_is_damaged)
{
	struct told told = { .id = write_range(0, LARGE, 1, 1, NULL) };
	const struct object_name name = object_name(OBJECT_INDEX, told.id);
	const struct fault refuses = { .call = FAULT_READ,
				       .action = FAULT_FAIL,
				       .prefix = name.s,
				       .sys = EIO };
	const struct fault busy = { .call = FAULT_READ,
				    .action = FAULT_FAIL,
				    .prefix = name.s,
				    .code = ERR_BUSY };
	const struct pack_entry gone = entry_of(1, 0);
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct pack_entry got;
	struct err e;

	(void)write_range(0, LARGE, 2, 2, NULL);
	ck_ok(fault_wrap(store, &store, &e));
	ck_ok(open_with(CACHE, count_damaged, &told, &x, &e));
	fault_add(store, &busy);
	ck_assert_int_eq(index_set_find(x, &gone.seal.id, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert(index_set_is_whole(x));
	fault_clear(store);
	fault_add(store, &refuses);
	expect_the_rest(x, 0, LARGE);
	ck_assert_uint_eq(told.times, 1);
	ck_assert(!index_set_is_whole(x));
	index_set_free(TAKE(x));
	/* Nor can its root be had then. */
	told.times = 0;
	ck_ok(open_with(CACHE, count_damaged, &told, &x, &e));
	ck_assert_uint_eq(told.times, 1);
	expect_the_rest(x, 0, LARGE);
}
END_TEST

/* The listing failed, once: what is held in memory is found all the same. */
START_TEST(a_refresh_that_fails_loses_nothing)
{
	const struct fault offline = { .call = FAULT_LIST,
				       .action = FAULT_FAIL,
				       .prefix = "fences/",
				       .times = 1 };
	const struct object_id large = write_range(0, 10000, 1, 1, NULL);
	const struct pack_entry gone = entry_of(5, 0);
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct pack_entry got;
	struct err e;

	(void)write_range(20000, 20010, 1, 2, NULL);
	ck_ok(fault_wrap(store, &store, &e));
	x = open_set(CACHE);
	ck_ok(store_remove(store, object_name(OBJECT_INDEX, large).s, &e));
	fault_add(store, &offline);
	ck_assert_int_eq(index_set_find(x, &gone.seal.id, &got, &e), -1);
	ck_assert_uint_eq(holder(x, 20005), 2);
	ck_assert_uint_eq(holder(x, 5), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, entries_are_65_bytes);
	tcase_add_test(tc, what_is_there_is_found_and_nothing_else);
	tcase_add_test(tc, an_empty_index_holds_nothing);
	tcase_add_test(tc, other_holders_are_found);
	tcase_add_test(tc, a_chunk_may_fill_several_blocks);
	tcase_add_test(tc, the_superseded_is_ignored);
	tcase_add_test(tc, what_does_not_count_supersedes_nothing);
	tcase_add_test(tc, the_hidden_counts_as_absent);
	tcase_add_test(tc, what_is_added_is_visible_at_once);
	tcase_add_test(tc, a_walk_is_in_order_and_tells_each_once);
	tcase_add_test(tc, entries_must_ascend);
	tcase_add_test(tc, sorting_drops_equals);
	tcase_add_test(tc, any_damage_of_a_root_is_found);
	tcase_add_test(tc, damage_of_blocks_is_found);
	tcase_add_test(tc, filling_is_authenticated);
	tcase_add_test(tc, an_object_opens_only_in_its_place);
	tcase_add_test(tc, blocks_are_bound_to_their_place);
	tcase_add_test(tc, the_damaged_is_told_and_left_out);
	tcase_add_test(tc, a_damaged_block_hides_only_what_it_holds);
	tcase_add_test(tc,
		       a_walk_goes_on_behind_a_damaged_block_and_tells_once);
	tcase_add_test(tc, a_block_that_the_disk_refuses_is_damaged);
	tcase_add_test(tc, what_was_merged_while_in_use_is_found);
	tcase_add_test(tc, a_refresh_that_fails_loses_nothing);
	tcase_add_test(tc, hostile_blocks_are_refused);
	tcase_add_test(tc, threads_look_up_while_objects_are_added);
}
CHECK_MAIN("storage/index", cases)
