/*
 * The repository's bottom against naive second opinions: sizes, fields, chunks
 * of every size, the index against a sorted array; and all of it once more
 * with each allocation failing in turn.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/fields.h"
#include "storage/repository/index.h"
#include "storage/repository/keyring.h"
#include "storage/repository/seal.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"
#include "tests/support/repo_keys.h"
#include "tests/support/scratch.h"

static struct keys *keys;
static struct store *store;
static struct random dice;

static void set_up(void)
{
	struct err e;

	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:prop", true, &store, &e));
	dice = random_seed();
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget("mem:prop");
	keys_free(keys);
}

START_TEST(padme_grows_little_and_stays)
{
	for (int i = 0; i < 1000000; i++) {
		const uint64_t n = random_any_size(&dice) >> 8;
		const uint64_t padded = object_padded(n);

		ck_assert_uint_ge(padded, n);
		ck_assert_uint_le((padded - n) * 100, n * 12);
		ck_assert_uint_eq(object_padded(padded), padded);
		ck_assert(object_is_padded(padded));
		ck_assert_uint_ge(object_padded(n + 1), padded);
	}
}
END_TEST

START_TEST(fields_come_back)
{
	for (int round = 0; round < 2000; round++) {
		CLEANUP(buf_done) struct buf b;
		uint64_t tags[20];
		uint64_t values[20];
		uint64_t tag = 1;
		uint64_t last = 0;
		struct cursor c;
		struct field f;
		struct err e;

		buf_init(&b, 100000);
		for (int i = 0; i < 20; i++) {
			tag += random_below(&dice, 3);
			tags[i] = tag;
			values[i] = random_any_size(&dice);
			ck_ok(fields_add_uint(&b, tag, values[i], &e));
		}
		c = cursor_of(b.data, b.len);
		for (int i = 0; i < 20; i++) {
			ck_assert_int_eq(fields_next(&c, &last, &f, &e), 1);
			ck_assert_uint_eq(f.tag, tags[i]);
			ck_assert_uint_eq(field_uint(&f), values[i]);
		}
		ck_assert_int_eq(fields_next(&c, &last, &f, &e), 0);
	}
}
END_TEST

START_TEST(chunks_come_back)
{
	static uint8_t plain[300000];
	static uint8_t out[300000];
	CLEANUP(chunk_worker_free) struct chunk_worker *w = NULL;
	struct err e;

	ck_ok(chunk_worker_new(keys, &w, &e));
	for (int round = 0; round < 1500; round++) {
		const size_t n = random_any_size(&dice) % sizeof(plain);
		const size_t noise = random_below(&dice, n + 1);
		const enum chunk_kind kind = (enum chunk_kind)(
			1 + random_below(&dice, 6));
		const uint16_t domain = (uint16_t)random_below(&dice, 2);
		const enum compress_effort effort = (enum compress_effort)
			random_below(&dice, COMPRESS_EFFORTS);
		struct chunk_plain whole = { .kind = kind,
					     .domain = domain,
					     .effort = effort,
					     .bytes = plain,
					     .n = n };
		struct chunk_sealed s;
		struct chunk_id id;

		memset(plain, (int)random_below(&dice, 256), n);
		random_bytes(&dice, plain, noise);
		ck_ok(chunk_identify(w, domain, kind, plain, n, &id, &e));
		ck_ok(chunk_seal_new(w, &id, &whole, &s, &e));
		ck_assert_uint_le(s.len, n + 1 + SEAL_OVERHEAD);
		ck_ok(chunk_open(w, &s.seal, s.bytes, s.len, out, &e));
		ck_assert(n == 0 || memcmp(out, plain, n) == 0);
		ck_ok(chunk_verify(w, &s.seal, out, &e));
	}
}
END_TEST

/* Few different ids and packs, so that many coincide. */
static struct pack_entry random_entry(void)
{
	struct pack_entry x = {
		.seal = { .kind = CHUNK_DATA, .epoch = 1, .plain_len = 100 },
		.place = { .offset = 32, .len = 100 }
	};

	x.seal.id.b[0] = (uint8_t)random_below(&dice, 40);
	x.seal.id.b[20] = (uint8_t)random_below(&dice, 80);
	x.place.pack.b[15] = (uint8_t)random_below(&dice, 4);
	return x;
}

static int compare(const struct pack_entry *a, const struct pack_entry *b)
{
	const int by_id = chunk_id_compare(&a->seal.id, &b->seal.id);

	return by_id ? by_id : object_id_compare(a->place.pack, b->place.pack);
}

struct expected {
	struct pack_entry *x;
	size_t n;
	size_t at;
};

static int expect(void *arg, const struct pack_entry *entry, struct err *e)
{
	struct expected *all = arg;

	(void)e;
	ck_assert_uint_lt(all->at, all->n);
	ck_assert_int_eq(compare(entry, &all->x[all->at]), 0);
	all->at++;
	return 0;
}

static void write_index(const struct pack_entry *x, size_t n)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct err e;

	ck_ok(index_writer_open(store, keys, (struct object_id){ { 0 } }, &w,
				&e));
	for (size_t i = 0; i < n; i++)
		ck_ok(index_writer_add(w, &x[i], &e));
	ck_ok(index_writer_commit(w, NULL, &e));
}

START_TEST(the_index_is_the_union_of_its_objects)
{
	for (int round = 0; round < 30; round++) {
		struct expected all = { .x = calloc(30000, sizeof(*all.x)) };
		CLEANUP(index_set_free) struct index_set *x = NULL;
		struct pack_entry *part = calloc(10000, sizeof(*part));
		const size_t cache = random_below(&dice, 3) << 19;
		struct err e;

		ck_assert(all.x && part);
		for (int k = 0; k < 3; k++) {
			size_t n = random_any_size(&dice) % 10000;

			for (size_t i = 0; i < n; i++)
				part[i] = random_entry();
			n = index_sort(part, n);
			write_index(part, n);
			memcpy(all.x + all.n, part, n * sizeof(*part));
			all.n += n;
		}
		all.n = index_sort(all.x, all.n);
		ck_ok(index_set_open(store, keys,
				     &(const struct index_set_options){
					     .cache_bytes = cache },
				     &x, &e));
		ck_ok(index_set_walk(x, expect, &all, &e));
		ck_assert_uint_eq(all.at, all.n);
		for (int i = 0; i < 3000; i++) {
			const struct pack_entry want = random_entry();
			struct pack_entry got;
			bool there = false;

			for (size_t k = 0; k < all.n && !there; k++)
				there = chunk_id_equal(&all.x[k].seal.id,
						       &want.seal.id);
			ck_assert_int_eq(
				index_set_find(x, &want.seal.id, &got, &e),
				there);
		}
		free(all.x);
		free(part);
		store_close(store);
		store_mem_forget("mem:prop");
		ck_ok(store_open("mem:prop", true, &store, &e));
	}
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

static int story_pack(struct store *s, struct chunk_worker *w,
		      struct pack_entry *ret, struct err *e)
{
	CLEANUP(pack_writer_free) struct pack_writer *p = NULL;
	const struct pack_entry *entries;
	const struct chunk_plain words = { .kind = CHUNK_DATA,
					   .effort = COMPRESS_QUICK,
					   .bytes = "words",
					   .n = 5 };
	struct chunk_sealed sealed;
	struct chunk_id id;

	if (chunk_identify(w, 0, CHUNK_DATA, "words", 5, &id, e) ||
	    chunk_seal_new(w, &id, &words, &sealed, e) ||
	    pack_writer_open(s, keys, OBJECT_DATA_PACK, &p, e) ||
	    pack_writer_add(p, &sealed.seal, sealed.bytes, sealed.len, e) ||
	    pack_writer_commit(p, e))
		return -1;
	(void)pack_writer_entries(p, &entries);
	*ret = entries[0];
	return pack_read_directory(s, keys, OBJECT_DATA_PACK,
				   entries[0].place.pack, ignore_entry, NULL,
				   e);
}

static int story_index(struct store *s, const struct pack_entry *entry,
		       struct err *e)
{
	CLEANUP(index_set_free) struct index_set *x = NULL;
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct pack_entry got;
	struct object_id id;

	if (index_set_open(
		    s, keys,
		    &(const struct index_set_options){ .cache_bytes = 1 << 20 },
		    &x, e) ||
	    index_set_hide_pack(x, (struct object_id){ { 9 } }, e) ||
	    index_writer_open(s, keys, (struct object_id){ { 0 } }, &w, e) ||
	    index_writer_add(w, entry, e) || index_writer_commit(w, &id, e) ||
	    index_set_add(x, id, e) ||
	    index_set_find(x, &entry->seal.id, &got, e) < 0)
		return -1;
	return index_set_walk(x, ignore_entry, NULL, e);
}

static int story_box(struct store *s, struct err *e)
{
	CLEANUP(buf_done) struct buf out;
	const struct object_name name = object_name(OBJECT_HOLD,
						    object_id_new());
	static const uint8_t payload[3000];

	buf_init(&out, 10000);
	if (seal_box_put(s, keys, OBJECT_HOLD, name.s, payload, sizeof(payload),
			 0, e))
		return -1;
	return seal_box_get(s, keys, OBJECT_HOLD, name.s, &out, e) < 0 ? -1 : 0;
}

static int story_engine(void *arg, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(chunk_worker_free) struct chunk_worker *w = NULL;
	struct pack_entry entry;

	(void)arg;
	store_mem_forget("mem:alloc");
	if (store_open("mem:alloc", true, &s, e) ||
	    chunk_worker_new(keys, &w, e) || story_pack(s, w, &entry, e) ||
	    story_index(s, &entry, e))
		return -1;
	return story_box(s, e);
}

START_TEST(the_engine_survives_each_failed_allocation)
{
	ck_assert_uint_gt(alloc_fail_each(story_engine, NULL), 20);
	store_mem_forget("mem:alloc");
}
END_TEST

static struct keyring_credential *credential[2];

static int story_keyring(void *arg, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(keys_free) struct keys *k = NULL;
	CLEANUP(keys_free) struct keys *again = NULL;
	const struct instant now = { .sec = 1 };
	struct object_id slot;

	(void)arg;
	store_mem_forget("mem:alloc");
	if (store_open("mem:alloc", true, &s, e) ||
	    keyring_init(s, credential[0], "a", now, &k, e) ||
	    keyring_add(s, credential[0], credential[1], "b", now, &slot, e) ||
	    keyring_revoke(s, credential[0], slot, now, e))
		return -1;
	return keyring_open(s, credential[0], &again, e);
}

START_TEST(the_keyring_survives_each_failed_allocation)
{
	CLEANUP(scratch_done) struct scratch dir;
	char path[SCRATCH_PATH];
	struct err e;

	scratch_init(&dir);
	ck_ok(keyring_credential_make_key_file(scratch_path(&dir, "a", path),
					       &credential[0], &e));
	ck_ok(keyring_credential_make_key_file(scratch_path(&dir, "b", path),
					       &credential[1], &e));
	ck_assert_uint_gt(alloc_fail_each(story_keyring, NULL), 20);
	keyring_credential_free(credential[0]);
	keyring_credential_free(credential[1]);
	store_mem_forget("mem:alloc");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, padme_grows_little_and_stays);
	tcase_add_test(tc, fields_come_back);
	tcase_add_test(tc, chunks_come_back);
	tcase_add_test(tc, the_index_is_the_union_of_its_objects);
	tcase_add_test(tc, the_engine_survives_each_failed_allocation);
	tcase_add_test(tc, the_keyring_survives_each_failed_allocation);
}
CHECK_MAIN("storage/repository", cases)
