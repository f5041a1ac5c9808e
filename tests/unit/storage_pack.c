/* Packs: storage/repository/pack.h. */
#include "storage/repository/pack.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/pack_internal.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"
#include "tests/support/repo_keys.h"
#include "tests/support/repo_store.h"

static struct keys *keys;
static struct store *store;
static struct chunk_worker *worker;

static void set_up(void)
{
	struct err e;

	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(chunk_worker_new(keys, &worker, &e));
	ck_ok(store_open("mem:pack", true, &store, &e));
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget("mem:pack");
	chunk_worker_free(worker);
	keys_free(keys);
}

static void add(struct pack_writer *p, enum chunk_kind kind, const char *text)
{
	const struct chunk_plain plain = { .kind = kind,
					   .bytes = text,
					   .n = strlen(text) };
	struct chunk_sealed s;
	struct chunk_id id;
	struct err e;

	ck_ok(chunk_identify(worker, 0, kind, text, strlen(text), &id, &e));
	ck_ok(chunk_seal_new(worker, &id, &plain, &s, &e));
	ck_assert(pack_writer_fits(p, s.len));
	ck_ok(pack_writer_add(p, &s.seal, s.bytes, s.len, &e));
}

/* A small pack of three chunks; its id. */
static struct object_id small_pack(enum object_kind kind)
{
	CLEANUP(pack_writer_free) struct pack_writer *p = NULL;
	const enum chunk_kind chunk = kind == OBJECT_META_PACK ? CHUNK_LEAF
							       : CHUNK_DATA;
	const struct pack_entry *entries;
	uint64_t size;
	uint64_t before;
	struct err e;

	ck_ok(pack_writer_open(store, keys, kind, &p, &e));
	add(p, chunk, "one");
	add(p, chunk, "");
	add(p, chunk, "three");
	before = pack_writer_final_size(p);
	ck_ok(pack_writer_commit(p, &e));
	ck_assert_uint_eq(pack_writer_size(p), before);
	ck_assert_uint_eq(pack_writer_entries(p, &entries), 3);
	ck_assert_int_eq(store_size(store,
				    object_name(kind, entries[0].place.pack).s,
				    &size, &e),
			 1);
	ck_assert_uint_eq(size, before);
	ck_assert(object_is_padded(size));
	return entries[0].place.pack;
}

struct reading {
	struct object_id id;
	enum object_kind kind;
	const struct keys *with;
	size_t n;
	enum err_code code;
};

static int open_one(void *arg, const struct pack_entry *x, struct err *e)
{
	struct reading *r = arg;
	uint8_t sealed[200];
	uint8_t plain[200];

	ck_assert_uint_le(x->place.len, sizeof(sealed));
	r->n++;
	if (pack_read(store, r->kind, &x->place, sealed, e) ||
	    chunk_open(worker, &x->seal, sealed, x->place.len, plain, e))
		return -1;
	return chunk_verify(worker, &x->seal, plain, e);
}

static bool believed(void *arg)
{
	struct reading *r = arg;
	struct err e;

	r->n = 0;
	r->code = ERR_NONE;
	if (pack_read_directory(store, r->with, r->kind, r->id, open_one, r,
				&e) == 0)
		return true;
	r->code = e.code;
	return false;
}

START_TEST(what_was_added_is_read_in_order)
{
	struct reading r = { .kind = OBJECT_DATA_PACK, .with = keys };

	r.id = small_pack(r.kind);
	ck_assert(believed(&r));
	ck_assert_uint_eq(r.n, 3);
	r.kind = OBJECT_META_PACK;
	ck_assert(!believed(&r));
	ck_assert_int_eq(r.code, ERR_NOT_FOUND);
	r.id = small_pack(r.kind);
	ck_assert(believed(&r));
}
END_TEST

/* Of noise, which nothing makes smaller. */
static uint64_t size_of_pack(const size_t lengths[3])
{
	CLEANUP(pack_writer_free) struct pack_writer *p = NULL;
	struct random r = { lengths[0] };
	uint8_t bytes[3000];
	struct err e;

	ck_ok(pack_writer_open(store, keys, OBJECT_DATA_PACK, &p, &e));
	for (size_t i = 0; i < 3; i++) {
		const struct chunk_plain plain = { .kind = CHUNK_DATA,
						   .bytes = bytes,
						   .n = lengths[i] };
		struct chunk_sealed s;
		struct chunk_id id;

		random_bytes(&r, bytes, lengths[i]);
		ck_ok(chunk_identify(worker, 0, CHUNK_DATA, bytes, lengths[i],
				     &id, &e));
		ck_ok(chunk_seal_new(worker, &id, &plain, &s, &e));
		ck_ok(pack_writer_add(p, &s.seal, s.bytes, s.len, &e));
	}
	ck_ok(pack_writer_commit(p, &e));
	return pack_writer_size(p);
}

START_TEST(where_chunks_end_does_not_show)
{
	static const size_t cuts[][3] = { { 1000, 1000, 1000 },
					  { 1, 2998, 1 },
					  { 10, 20, 2970 },
					  { 999, 1001, 1000 } };
	const uint64_t size = size_of_pack(cuts[0]);

	for (size_t i = 1; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		ck_assert_uint_eq(size_of_pack(cuts[i]), size);
	ck_assert(object_is_padded(size));
}
END_TEST

START_TEST(an_empty_pack_is_one)
{
	CLEANUP(pack_writer_free) struct pack_writer *p = NULL;
	struct reading r = { .kind = OBJECT_DATA_PACK, .with = keys };
	struct err e;

	ck_ok(pack_writer_open(store, keys, r.kind, &p, &e));
	ck_ok(pack_writer_commit(p, &e));
	ck_assert_uint_gt(pack_writer_size(p), 0);
}
END_TEST

START_TEST(any_damage_is_found)
{
	struct reading r = { .kind = OBJECT_DATA_PACK, .with = keys };

	r.id = small_pack(r.kind);
	repo_damage(store, object_name(r.kind, r.id).s, 1, believed, &r);
}
END_TEST

START_TEST(a_pack_opens_only_in_its_place)
{
	CLEANUP(keys_free) struct keys *other = repo_keys(8, 2);
	CLEANUP(buf_done) struct buf bytes;
	struct reading a = { .kind = OBJECT_DATA_PACK, .with = keys };
	struct reading b = a;
	struct object_name name;

	ck_assert_ptr_nonnull(other);
	a.id = small_pack(a.kind);
	b.id = small_pack(b.kind);
	repo_swap(store, object_name(a.kind, a.id).s,
		  object_name(b.kind, b.id).s);
	ck_assert(!believed(&a) && !believed(&b));
	ck_assert_int_eq(a.code, ERR_CORRUPT);
	repo_swap(store, object_name(a.kind, a.id).s,
		  object_name(b.kind, b.id).s);
	ck_assert(believed(&a) && believed(&b));
	/* Also when its header is made to fit the name. */
	name = object_name(a.kind, a.id);
	repo_get(store, object_name(b.kind, b.id).s, &bytes);
	memcpy(bytes.data + 16, a.id.b, sizeof(a.id.b));
	repo_set(store, name.s, bytes.data, bytes.len);
	ck_assert(!believed(&a));
	b.with = other;
	ck_assert(!believed(&b));
	ck_assert_int_eq(b.code, ERR_CORRUPT);
}
END_TEST

START_TEST(an_unknown_epoch_is_no_damage)
{
	CLEANUP(keys_free) struct keys *older = repo_keys(7, 1);
	struct reading r = { .kind = OBJECT_DATA_PACK, .with = older };

	ck_assert_ptr_nonnull(older);
	r.id = small_pack(r.kind);
	ck_assert(!believed(&r));
	ck_assert_int_eq(r.code, ERR_BAD_KEY);
}
END_TEST

START_TEST(an_uncommitted_pack_leaves_nothing)
{
	struct pack_writer *p;
	const struct pack_entry *entries;
	uint64_t size;
	struct object_name name;
	struct err e;

	ck_ok(pack_writer_open(store, keys, OBJECT_DATA_PACK, &p, &e));
	add(p, CHUNK_DATA, "one");
	ck_assert_uint_eq(pack_writer_entries(p, &entries), 1);
	name = object_name(OBJECT_DATA_PACK, entries[0].place.pack);
	pack_writer_free(p);
	ck_assert_int_eq(store_size(store, name.s, &size, &e), 0);
}
END_TEST

START_TEST(what_does_not_belong_is_our_bug)
{
	CLEANUP(pack_writer_free) struct pack_writer *p = NULL;
	const uint8_t sealed[100] = { 0 };
	struct chunk_seal s = { .kind = CHUNK_LEAF,
				.epoch = 1,
				.plain_len = 59 };
	struct err e;

	ck_ok(pack_writer_open(store, keys, OBJECT_DATA_PACK, &p, &e));
	ck_assert_int_eq(pack_writer_add(p, &s, sealed, 100, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUG);
	s.kind = CHUNK_DATA;
	ck_assert_int_eq(pack_writer_add(p, &s, sealed, 40, &e), -1);
	s.plain_len = 58;
	ck_assert_int_eq(pack_writer_add(p, &s, sealed, 100, &e), -1);
	s.plain_len = 59;
	ck_ok(pack_writer_add(p, &s, sealed, 100, &e));
	ck_assert(!pack_writer_fits(p, (size_t)PACK_MAX - 300));
}
END_TEST

/* A directory of n entries of 100 bytes each, to be spoilt. */
static size_t directory(uint8_t *out, uint32_t n)
{
	memset(out, 0, 4 + (size_t)n * 45 + 10);
	memcpy(out, &n, 4); /* little-endian, as the machines it is run on */
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *x = out + 4 + (size_t)i * 45;

		x[0] = (uint8_t)i;
		x[32] = 100; /* sealed */
		x[36] = 59;  /* plain */
		x[40] = 1;   /* epoch */
		x[44] = CHUNK_DATA;
	}
	return 4 + (size_t)n * 45 + 10;
}

static int count_one(void *arg, const struct pack_entry *x, struct err *e)
{
	size_t *n = arg;

	(void)e;
	ck_assert_uint_eq(x->place.offset, 32 + *n * 100);
	++*n;
	return 0;
}

static int parse(uint64_t end, const uint8_t *plain, size_t n)
{
	const struct pack_body body = { .kind = OBJECT_DATA_PACK, .end = end };
	size_t visits = 0;
	struct err e;

	if (pack_parse_directory(&body, plain, n, count_one, &visits, &e) == 0)
		return (int)visits;
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_uint_eq(visits, 0);
	return -1;
}

START_TEST(hostile_directories_are_refused)
{
	static const struct {
		size_t at;
		uint8_t value;
	} spoilt[] = {
		{ 0, 4 },	   /* more than there are */
		{ 0, 2 },	   /* fewer: an entry as padding */
		{ 3, 0xff },	   /* many more */
		{ 4 + 32, 101 },   /* longer than its plaintext allows */
		{ 4 + 32, 99 },	   /* a gap */
		{ 4 + 35, 0xff },  /* beyond the pack */
		{ 4 + 32, 40 },	   /* no room for a method */
		{ 4 + 39, 2 },	   /* plaintext beyond 16 MiB */
		{ 4 + 40, 0 },	   /* epoch 0 */
		{ 4 + 44, 0 },	   /* no kind */
		{ 4 + 44, 2 },	   /* metadata */
		{ 4 + 44, 7 },	   /* a kind from the future */
		{ 4 + 3 * 45, 1 }, /* padding */
		{ 4 + 3 * 45 + 9, 1 },
	};
	uint8_t b[200];
	const size_t n = directory(b, 3);

	ck_assert_int_eq(parse(332, b, n), 3);
	ck_assert_int_eq(parse(331, b, n), -1);
	ck_assert_int_eq(parse(333, b, n), -1);
	ck_assert_int_eq(parse(332, b, 4 + 3 * 45 - 1), -1);
	ck_assert_int_eq(parse(332, b, 3), -1);
	for (size_t i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
		const uint8_t old = b[spoilt[i].at];

		b[spoilt[i].at] = spoilt[i].value;
		ck_assert_msg(parse(332, b, n) == -1, "case %zu", i);
		b[spoilt[i].at] = old;
	}
	ck_assert_int_eq(parse(332, b, n), 3);
	ck_assert_int_eq(parse(32, b + 4, 0), -1);
}
END_TEST

START_TEST(reading_past_the_end_is_an_error)
{
	struct pack_place place = { .offset = 32, .len = 60 };
	uint8_t out[4096];
	struct err e;

	place.pack = small_pack(OBJECT_DATA_PACK);
	ck_ok(pack_read(store, OBJECT_DATA_PACK, &place, out, &e));
	place.len = sizeof(out);
	ck_assert_int_eq(pack_read(store, OBJECT_DATA_PACK, &place, out, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	place.pack.b[3] ^= 1;
	ck_assert_int_eq(pack_read(store, OBJECT_DATA_PACK, &place, out, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* Bytes of filling in n packs of one sequence of chunks; how many packs. */
static uint64_t filling(bool chooses, unsigned int *packs)
{
	static char text[60001];
	const uint64_t aim = 2U << 20;
	struct random dice = { 11 };
	struct pack_writer *p = NULL;
	uint64_t filled = 0;
	struct err e;

	*packs = 0;
	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 1500; i++) {
		const size_t n = 2000 + random_below(&dice, 50000);
		const struct pack_entry *entries;

		if (!p)
			ck_ok(pack_writer_open(store, keys, OBJECT_DATA_PACK,
					       &p, &e));
		text[n] = '\0';
		add(p, CHUNK_DATA, text);
		text[n] = 'x';
		if (pack_writer_size(p) + 52000 <= aim &&
		    !(chooses && pack_writer_ends_well(p, aim, n)))
			continue;
		filled += pack_writer_final_size(p) - pack_writer_size(p) -
			  45 * pack_writer_entries(p, &entries);
		++*packs;
		pack_writer_free(p);
		p = NULL;
	}
	pack_writer_free(p);
	return filled / *packs;
}

START_TEST(packs_end_where_little_is_filled_up)
{
	unsigned int packs[2];
	const uint64_t by_chance = filling(false, &packs[0]);
	const uint64_t chosen = filling(true, &packs[1]);

	/* Half a step of 32 KiB; a few of them are what is expected. */
	ck_assert_uint_gt(by_chance, 12000);
	ck_assert_uint_lt(chosen, by_chance / 3);
	/* They are not ended much too early for it. */
	ck_assert_uint_le(packs[1], packs[0] * 2);
}
END_TEST

/* Each bound of what an entry can say, and one beyond. */
START_TEST(entries_stay_in_their_pack)
{
	const struct pack_entry good = {
		.seal = { .kind = CHUNK_DATA, .epoch = 1, .plain_len = 1000 },
		.place = { .offset = OBJECT_HEADER_SIZE,
			   .len = 1001 + SEAL_OVERHEAD }
	};
	struct pack_entry x = good;

	ck_assert(pack_entry_is_sound(&x));
	x.place.len++;
	ck_assert(!pack_entry_is_sound(&x));
	x.place.len = SEAL_OVERHEAD + 1;
	ck_assert(pack_entry_is_sound(&x));
	x.place.len--;
	ck_assert(!pack_entry_is_sound(&x));
	x = good;
	x.place.offset--;
	ck_assert(!pack_entry_is_sound(&x));
	x.place.offset = (uint32_t)(PACK_MAX - x.place.len);
	ck_assert(pack_entry_is_sound(&x));
	x.place.offset++;
	ck_assert(!pack_entry_is_sound(&x));
	x.place.offset = (uint32_t)PACK_MAX + 1;
	ck_assert(!pack_entry_is_sound(&x));
	x.place.offset = UINT32_MAX;
	ck_assert(!pack_entry_is_sound(&x));
	x = good;
	x.seal.epoch = 0;
	ck_assert(!pack_entry_is_sound(&x));
	x = good;
	x.seal.kind = CHUNK_KIND_END;
	ck_assert(!pack_entry_is_sound(&x));
	x.seal.kind--;
	ck_assert(pack_entry_is_sound(&x));
	x.seal.kind = CHUNK_DATA;
	x.seal.kind--;
	ck_assert(!pack_entry_is_sound(&x));
	x = good;
	x.seal.plain_len = CHUNK_MAX;
	ck_assert(pack_entry_is_sound(&x));
	x.seal.plain_len++;
	ck_assert(!pack_entry_is_sound(&x));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_was_added_is_read_in_order);
	tcase_add_test(tc, where_chunks_end_does_not_show);
	tcase_add_test(tc, an_empty_pack_is_one);
	tcase_add_test(tc, any_damage_is_found);
	tcase_add_test(tc, a_pack_opens_only_in_its_place);
	tcase_add_test(tc, an_unknown_epoch_is_no_damage);
	tcase_add_test(tc, an_uncommitted_pack_leaves_nothing);
	tcase_add_test(tc, what_does_not_belong_is_our_bug);
	tcase_add_test(tc, packs_end_where_little_is_filled_up);
	tcase_add_test(tc, entries_stay_in_their_pack);
	tcase_add_test(tc, hostile_directories_are_refused);
	tcase_add_test(tc, reading_past_the_end_is_an_error);
}
CHECK_MAIN("storage/pack", cases)
