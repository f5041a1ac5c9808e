/* What the root of an index object may say. */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/container.h"
#include "storage/repository/index_internal.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"
#include "tests/support/repo_store.h"

/* The plaintext of a root for n entries in blocks of zeros, to be spoilt. */
static int parse_root(uint64_t entries, uint32_t blocks, uint32_t superseded,
		      const uint8_t *rest, size_t n)
{
	CLEANUP(index_object_free)
	struct index_object *o = calloc(1, sizeof(*o));
	CLEANUP(buf_done) struct buf b;
	struct err e;

	ck_assert_ptr_nonnull(o);
	buf_init(&b, 100000);
	o->in.tail_at = OBJECT_HEADER_SIZE + 2 * INDEX_BLOCK_SIZE;
	ck_ok(buf_add(&b, o->session.b, sizeof(o->session.b), &e));
	ck_ok(buf_add_u64(&b, entries, &e));
	ck_ok(buf_add_u32(&b, blocks, &e));
	ck_ok(buf_add_u32(&b, superseded, &e));
	ck_ok(buf_add(&b, rest, n, &e));
	if (index_object_parse_root(o, b.data, b.len, &e) == 0)
		return 0;
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	return -1;
}

START_TEST(hostile_roots_are_refused)
{
	static const uint8_t up[40] = { 1, 0, 0, 0, 0, 0, 0, 0, 2,
					0, 0, 0, 0, 0, 0, 0, 3 };
	static const uint8_t down[16] = { 2, 0, 0, 0, 0, 0, 0, 0, 1 };
	static uint8_t zeros[INDEX_BLOCK_SIZE + 16];

	ck_assert_int_eq(parse_root(252, 2, 0, up, 16), 0);
	ck_assert_int_eq(parse_root(252, 2, 1, zeros, 32), 0);
	ck_assert_int_eq(parse_root(251, 1, 0, up, 8), 0);
	ck_assert_int_eq(parse_root(252, 2, 0, down, 16), -1);
	ck_assert_int_eq(parse_root(252, 2, 0, up, 15), -1);
	ck_assert_int_eq(parse_root(251, 2, 0, up, 16), -1);
	ck_assert_int_eq(parse_root(503, 2, 0, up, 16), -1);
	ck_assert_int_eq(parse_root(503, 3, 0, up, 24), -1);
	ck_assert_int_eq(parse_root(UINT64_MAX, UINT32_MAX, 0, up, 16), -1);
	ck_assert_int_eq(parse_root(252, 2, UINT32_MAX, up, 16), -1);
	ck_assert_int_eq(parse_root(252, 2, 2, up, 40), -1);
	ck_assert_int_eq(parse_root(251, 1, 0, up, 16), -1); /* padding */
	ck_assert_int_eq(parse_root(252, 2, 0, zeros, sizeof(zeros)), -1);
	ck_assert_int_eq(parse_root(252, 2, 0, zeros, sizeof(zeros) - 1), 0);
}
END_TEST

/* A root that names so many blocks and superseded objects in so much space. */
static int parse_spacious(uint64_t blocks_of_space, uint32_t superseded)
{
	CLEANUP(index_object_free)
	struct index_object *o = calloc(1, sizeof(*o));
	static uint8_t root[32 + 16 * (INDEX_SUPERSEDED_MAX + 1)];
	struct err e;

	ck_assert_ptr_nonnull(o);
	o->in.tail_at = OBJECT_HEADER_SIZE + blocks_of_space * INDEX_BLOCK_SIZE;
	memcpy(root + 28, &superseded, sizeof(superseded)); /* little-endian */
	return index_object_parse_root(o, root, 32 + 16 * (size_t)superseded,
				       &e);
}

START_TEST(roots_have_limits)
{
	const uint64_t most = 2 * (uint64_t)INDEX_BLOCKS_MAX;

	ck_assert_int_eq(parse_spacious(0, 0), 0);
	ck_assert_int_eq(parse_spacious(most, 0), 0);
	ck_assert_int_eq(parse_spacious(most + 1, 0), -1);
	ck_assert_int_eq(parse_spacious(0, INDEX_SUPERSEDED_MAX), 0);
	ck_assert_int_eq(parse_spacious(0, INDEX_SUPERSEDED_MAX + 1), -1);
}
END_TEST

/* What is missing would read as 0: an index that names nothing. */
START_TEST(a_root_that_is_cut_off_is_refused)
{
	static const uint8_t zeros[32];
	struct err e;

	for (size_t n = 0; n <= sizeof(zeros); n++) {
		struct index_object *o = calloc(1, sizeof(*o));
		int failed;

		ck_assert_ptr_nonnull(o);
		o->in.tail_at = OBJECT_HEADER_SIZE;
		failed = index_object_parse_root(o, zeros, n, &e);
		index_object_free(o);
		ck_assert_int_eq(failed, n < sizeof(zeros) ? -1 : 0);
	}
}
END_TEST

/* What fills an object of so many full blocks, before any of it is written. */
static uint64_t filling(uint32_t blocks, uint32_t superseded)
{
	const uint64_t bare = OBJECT_HEADER_SIZE +
			      (uint64_t)blocks * INDEX_BLOCK_SIZE + 32 +
			      16 * (uint64_t)superseded + 8 * (uint64_t)blocks +
			      SEAL_OVERHEAD + CONTAINER_TRAILER;

	return object_padded(bare) - bare;
}

/* It is blocks to the last byte: the root has nothing to be filled with. */
START_TEST(filling_of_whole_blocks_is_written_and_read)
{
	CLEANUP(keys_free) struct keys *keys = repo_keys(7, 2);
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	CLEANUP(index_object_free) struct index_object *o = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	struct pack_entry x = { .seal = { .kind = CHUNK_DATA, .epoch = 2 },
				.place = { .offset = 32, .len = 141 } };
	uint32_t blocks = 64;
	uint32_t superseded = 0;
	struct object_id id;
	struct err e;

	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:index_root", true, &s, &e));
	while (filling(blocks, superseded) % INDEX_BLOCK_SIZE ||
	       !filling(blocks, superseded)) {
		superseded = (superseded + 1) % 1024;
		blocks += !superseded;
		ck_assert_uint_lt(blocks, 200);
	}
	ck_ok(index_writer_open(s, keys, (struct object_id){ { 0 } }, &w, &e));
	for (uint32_t n = 0; n < blocks * INDEX_BLOCK_ENTRIES; n++) {
		x.seal.id.b[0] = (uint8_t)(n >> 16);
		x.seal.id.b[1] = (uint8_t)(n >> 8);
		x.seal.id.b[2] = (uint8_t)n;
		ck_ok(index_writer_add(w, &x, &e));
	}
	for (uint32_t n = 0; n < superseded; n++)
		ck_ok(index_writer_supersede(w, object_id_new(), &e));
	ck_ok(index_writer_commit(w, &id, &e));
	ck_ok(index_object_open(s, keys, id, &o, &e));
	ck_assert_uint_eq(o->blocks, blocks);
	ck_assert_uint_eq(o->n_superseded, superseded);
	ck_assert_uint_eq(o->fillers,
			  filling(blocks, superseded) / INDEX_BLOCK_SIZE);
	store_mem_forget("mem:index_root");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, hostile_roots_are_refused);
	tcase_add_test(tc, a_root_that_is_cut_off_is_refused);
	tcase_add_test(tc, roots_have_limits);
	tcase_add_test(tc, filling_of_whole_blocks_is_written_and_read);
}

CHECK_MAIN("storage/index_root", cases)
