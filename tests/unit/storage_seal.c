/* Sealing and boxes: storage/repository/seal.h. */
#include "storage/repository/seal.h"

#include <sodium.h>
#include <string.h>

#include "base/text.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

static struct keys *keys;
static struct object_id id;
static struct object_name name;

static void set_up(void)
{
	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	id = object_id_new();
	name = object_name(OBJECT_HOLD, id);
}

static void tear_down(void)
{
	keys_free(keys);
}

/* draft-irtf-cfrg-xchacha-03, A.3.1. */
START_TEST(the_aead_is_xchacha20_poly1305)
{
	static const char plain[] =
		"Ladies and Gentlemen of the class of '99: If I could offer "
		"you only one tip for the future, sunscreen would be it.";
	static const char sealed_hex[] =
		"404142434445464748494a4b4c4d4e4f5051525354555657"
		"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396c"
		"bb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213"
		"b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565"
		"d3fff921f9664c97637da9768812f615c68b13b52e"
		"c0875924c1c7987947deafd8780acf49";
	static const uint8_t ad_bytes[] = {
		0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
		0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7
	};
	struct seal_ad ad = { .len = 0 };
	uint8_t key[KEYS_SIZE];
	uint8_t sealed[sizeof(plain) - 1 + SEAL_OVERHEAD];
	uint8_t out[sizeof(plain) - 1];

	seal_ad_add(&ad, ad_bytes, sizeof(ad_bytes));
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(0x80 + i);
	ck_assert_uint_eq(strlen(sealed_hex), 2 * sizeof(sealed));
	ck_assert(text_unhex(sealed_hex, sizeof(sealed), sealed));
	ck_assert(seal_open(key, &ad, sealed, sizeof(sealed), out));
	ck_assert_mem_eq(out, plain, sizeof(out));
}
END_TEST

START_TEST(sealing_opens_and_nonces_differ)
{
	const uint8_t key[KEYS_SIZE] = { 1 };
	struct seal_ad ad = { .len = 0 };
	uint8_t a[5 + SEAL_OVERHEAD];
	uint8_t b[5 + SEAL_OVERHEAD];
	uint8_t out[5];

	seal_ad_u64(&ad, 0x0102030405060708);
	ck_assert_uint_eq(ad.len, 8);
	ck_assert_uint_eq(ad.b[0], 8);
	seal_bytes(key, &ad, "hello", 5, a);
	seal_bytes(key, &ad, "hello", 5, b);
	ck_assert_mem_ne(a, b, SEAL_NONCE);
	ck_assert(seal_open(key, &ad, a, sizeof(a), out));
	ck_assert_mem_eq(out, "hello", 5);
	for (size_t n = 0; n < sizeof(a); n++)
		ck_assert(!seal_open(key, &ad, a, n, out));
}
END_TEST

/* header, repository, label and its NUL, name; then what is added. */
START_TEST(associated_data_has_all_of_its_parts)
{
	struct seal_ad ad = { .len = 5 };
	uint8_t header[OBJECT_HEADER_SIZE];
	struct object_id repository;

	memset(header, 0xa5, sizeof(header));
	memset(repository.b, 0x07, sizeof(repository.b));
	seal_ad_object(header, repository, "box", "holds/x", &ad);
	ck_assert_uint_eq(ad.len, 32 + 16 + 4 + 7);
	ck_assert_mem_eq(ad.b, header, 32);
	ck_assert_mem_eq(ad.b + 32, repository.b, 16);
	ck_assert_mem_eq(ad.b + 48, "box\0holds/x", 11);
	seal_ad_u64(&ad, 0x0102030405060708);
	ck_assert_uint_eq(ad.len, 59 + 8);
	ck_assert_mem_eq(ad.b + 59, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
}
END_TEST

START_TEST(nothing_can_be_sealed)
{
	const uint8_t key[KEYS_SIZE] = { 1 };
	const struct seal_ad ad = { .len = 0 };
	uint8_t sealed[SEAL_OVERHEAD];
	uint8_t out[1];

	seal_bytes(key, &ad, "", 0, sealed);
	ck_assert(seal_open(key, &ad, sealed, sizeof(sealed), out));
	sealed[0] ^= 1;
	ck_assert(!seal_open(key, &ad, sealed, sizeof(sealed), out));
}
END_TEST

static void box_of(const void *payload, size_t n, struct buf *box)
{
	struct err e;

	buf_init(box, SEAL_BOX_MAX);
	ck_ok(seal_box(keys, OBJECT_HOLD, name.s, payload, n, box, &e));
	ck_assert(object_is_padded(box->len));
}

/* 1 when box opens, 0 when it is refused as something not to be trusted. */
static int opens(const struct keys *k, enum object_kind kind, const char *as,
		 const struct buf *box, size_t n)
{
	CLEANUP(buf_done) struct buf out;
	struct err e;

	buf_init(&out, SEAL_PAYLOAD_MAX);
	if (seal_box_open(k, kind, as, box->data, n, &out, &e) == 0)
		return 1;
	ck_assert(e.code == ERR_CORRUPT || e.code == ERR_NEWER ||
		  e.code == ERR_BAD_KEY);
	ck_assert_uint_eq(out.len, 0);
	return 0;
}

START_TEST(boxes_round_trip)
{
	static uint8_t payload[1 << 20];
	static const size_t sizes[] = { 0, 1, 100, 1023, 1024, 5000, 1 << 20 };
	struct err e;

	for (int noise = 0; noise < 2; noise++) {
		if (noise)
			secret_nonce(payload, sizeof(payload));
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			CLEANUP(buf_done) struct buf box;
			CLEANUP(buf_done) struct buf out;

			box_of(payload, sizes[i], &box);
			if (!noise && sizes[i] > 1024)
				ck_assert_uint_lt(box.len, 400);
			buf_init(&out, SEAL_PAYLOAD_MAX);
			ck_ok(buf_add_str(&out, "x", &e));
			ck_ok(seal_box_open(keys, OBJECT_HOLD, name.s, box.data,
					    box.len, &out, &e));
			ck_assert_uint_eq(out.len, sizes[i] + 1);
			ck_assert_mem_eq(out.data + 1, payload, sizes[i]);
		}
	}
}
END_TEST

START_TEST(the_largest_payload_fits)
{
	uint8_t *payload = calloc(1, SEAL_PAYLOAD_MAX + 1);
	struct err e = { 0 };

	ck_assert_ptr_nonnull(payload);
	for (int noise = 0; noise < 2; noise++) {
		CLEANUP(buf_done) struct buf box;
		CLEANUP(buf_done) struct buf out;

		if (noise)
			secret_nonce(payload, SEAL_PAYLOAD_MAX);
		box_of(payload, SEAL_PAYLOAD_MAX, &box);
		buf_init(&out, SEAL_PAYLOAD_MAX);
		ck_ok(seal_box_open(keys, OBJECT_HOLD, name.s, box.data,
				    box.len, &out, &e));
		ck_assert_uint_eq(out.len, SEAL_PAYLOAD_MAX);
		ck_assert_int_eq(memcmp(out.data, payload, SEAL_PAYLOAD_MAX),
				 0);
		buf_clear(&box);
		ck_assert_int_eq(seal_box(keys, OBJECT_HOLD, name.s, payload,
					  SEAL_PAYLOAD_MAX + 1, &box, &e),
				 -1);
		ck_assert_int_eq(e.code, ERR_BUG);
	}
	free(payload);
}
END_TEST

START_TEST(every_flipped_bit_of_a_box_is_found)
{
	CLEANUP(buf_done) struct buf box;

	box_of("payload", 7, &box);
	ck_assert_int_eq(opens(keys, OBJECT_HOLD, name.s, &box, box.len), 1);
	for (size_t bit = 0; bit < box.len * 8; bit++) {
		box.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(
			opens(keys, OBJECT_HOLD, name.s, &box, box.len), 0);
		box.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(a_box_of_another_length_is_refused)
{
	CLEANUP(buf_done) struct buf box;
	size_t n;
	struct err e;

	box_of("payload", 7, &box);
	n = box.len;
	for (size_t len = 0; len < n; len++)
		ck_assert_int_eq(opens(keys, OBJECT_HOLD, name.s, &box, len),
				 0);
	ck_ok(buf_add_zeros(&box, 64, &e));
	for (size_t len = n + 1; len <= n + 64; len++)
		ck_assert_int_eq(opens(keys, OBJECT_HOLD, name.s, &box, len),
				 0);
}
END_TEST

START_TEST(a_box_opens_only_in_its_place)
{
	CLEANUP(keys_free) struct keys *other = repo_keys(8, 2);
	CLEANUP(buf_done) struct buf box;
	struct object_id next = id;

	ck_assert_ptr_nonnull(other);
	box_of("payload", 7, &box);
	next.b[0] ^= 1;
	ck_assert_int_eq(opens(keys, OBJECT_HOLD,
			       object_name(OBJECT_HOLD, next).s, &box, box.len),
			 0);
	ck_assert_int_eq(opens(keys, OBJECT_PIN, object_name(OBJECT_PIN, id).s,
			       &box, box.len),
			 0);
	ck_assert_int_eq(opens(other, OBJECT_HOLD, name.s, &box, box.len), 0);
	/* With the header of the place where it was put. */
	memcpy(box.data + 16, next.b, sizeof(next.b));
	ck_assert_int_eq(opens(keys, OBJECT_HOLD,
			       object_name(OBJECT_HOLD, next).s, &box, box.len),
			 0);
}
END_TEST

START_TEST(the_epoch_is_bound_and_an_unknown_one_is_no_damage)
{
	CLEANUP(keys_free) struct keys *older = repo_keys(7, 1);
	CLEANUP(buf_done) struct buf box;
	CLEANUP(buf_done) struct buf out;
	struct err e;

	ck_assert_ptr_nonnull(older);
	buf_init(&out, 100);
	box_of("payload", 7, &box);
	ck_assert_int_eq(seal_box_open(older, OBJECT_HOLD, name.s, box.data,
				       box.len, &out, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
	box.data[12] = 1;
	ck_assert_int_eq(seal_box_open(keys, OBJECT_HOLD, name.s, box.data,
				       box.len, &out, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

/* Of a header that names what nobody knows, it is told what it was. */
START_TEST(an_altered_header_is_damage_and_a_later_epoch_is_not)
{
	static const struct {
		size_t at;
		uint8_t value;
	} altered[] = { { 12, 9 }, { 9, 99 } };

	for (uint32_t epoch = 1; epoch <= 3; epoch++) {
		CLEANUP(keys_free) struct keys *then = repo_keys(7, epoch);
		CLEANUP(buf_done) struct buf box;
		CLEANUP(buf_done) struct buf out;
		struct err e = { 0 };

		ck_assert_ptr_nonnull(then);
		buf_init(&box, SEAL_BOX_MAX);
		buf_init(&out, 100);
		ck_ok(seal_box(then, OBJECT_HOLD, name.s, "payload", 7, &box,
			       &e));
		for (size_t i = 0; i < 2; i++) {
			const uint8_t was = box.data[altered[i].at];

			box.data[altered[i].at] = altered[i].value;
			ck_assert_int_eq(seal_box_open(keys, OBJECT_HOLD,
						       name.s, box.data,
						       box.len, &out, &e),
					 -1);
			/* What came with epoch 3 is not known to be wrong. */
			ck_assert_int_eq(e.code, epoch < 3 ? ERR_CORRUPT
						 : i == 0  ? ERR_BAD_KEY
							   : ERR_NEWER);
			ck_assert_int_eq(seal_is_unknown(&e), epoch == 3);
			box.data[altered[i].at] = was;
		}
	}
}
END_TEST

START_TEST(what_is_unknown_is_told_by_its_code)
{
	static const enum err_code unknown[] = { ERR_NEWER, ERR_BAD_KEY,
						 ERR_BUSY };
	static const enum err_code known[] = { ERR_CORRUPT, ERR_IO,
					       ERR_NOT_FOUND, ERR_BUG };
	struct err e = { 0 };

	for (size_t i = 0; i < 3; i++) {
		e.code = unknown[i];
		ck_assert(seal_is_unknown(&e));
	}
	for (size_t i = 0; i < 4; i++) {
		e.code = known[i];
		ck_assert(!seal_is_unknown(&e));
	}
}
END_TEST

START_TEST(a_name_of_another_kind_is_our_bug)
{
	CLEANUP(buf_done) struct buf box;
	struct err e;

	buf_init(&box, SEAL_BOX_MAX);
	ck_assert_int_eq(seal_box(keys, OBJECT_PIN, name.s, "x", 1, &box, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_BUG);
	/* What is no box has names, too. */
	e.code = ERR_NONE;
	ck_assert_int_eq(seal_box(keys, OBJECT_INDEX,
				  object_name(OBJECT_INDEX, id).s, "x", 1, &box,
				  &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_BUG);
}
END_TEST

START_TEST(plaintexts_behind_the_tag_are_checked_too)
{
	CLEANUP(buf_done) struct buf out;
	/* method, length, payload, padding up to 80 - 72 = 8 bytes */
	uint8_t plain[8] = { 0, 2, 0, 0, 0, 'h', 'i', 0 };
	struct err e;

	buf_init(&out, 100);
	ck_ok(seal_box_parse(plain, 8, &out, &e));
	ck_assert_str_eq(buf_str(&out), "hi");
	plain[7] = 1;
	ck_assert_int_eq(seal_box_parse(plain, 8, &out, &e), -1);
	plain[7] = 0;
	ck_assert_int_eq(seal_box_parse(plain, 7, &out, &e), -1);
	plain[0] = 2;
	ck_assert_int_eq(seal_box_parse(plain, 8, &out, &e), -1);
	plain[0] = 1;
	ck_assert_int_eq(seal_box_parse(plain, 8, &out, &e), -1);
	plain[0] = 0;
	plain[1] = 4;
	ck_assert_int_eq(seal_box_parse(plain, 8, &out, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_uint_eq(out.len, 2);
}
END_TEST

START_TEST(boxes_go_to_and_from_a_store)
{
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(buf_done) struct buf out;
	struct err e;

	buf_init(&out, SEAL_PAYLOAD_MAX);
	ck_ok(store_open("mem:seal", true, &s, &e));
	ck_assert_int_eq(seal_box_get(s, keys, OBJECT_HOLD, name.s, &out, &e),
			 0);
	ck_ok(seal_box_put(s, keys, OBJECT_HOLD, name.s, "one", 3, 0, &e));
	ck_assert_int_eq(
		seal_box_put(s, keys, OBJECT_HOLD, name.s, "two", 3, 0, &e),
		-1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_int_eq(seal_box_get(s, keys, OBJECT_HOLD, name.s, &out, &e),
			 1);
	ck_assert_str_eq(buf_str(&out), "one");
	store_mem_forget("mem:seal");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, the_aead_is_xchacha20_poly1305);
	tcase_add_test(tc, sealing_opens_and_nonces_differ);
	tcase_add_test(tc, associated_data_has_all_of_its_parts);
	tcase_add_test(tc, nothing_can_be_sealed);
	tcase_add_test(tc, boxes_round_trip);
	tcase_add_test(tc, the_largest_payload_fits);
	tcase_add_test(tc, every_flipped_bit_of_a_box_is_found);
	tcase_add_test(tc, a_box_of_another_length_is_refused);
	tcase_add_test(tc, a_box_opens_only_in_its_place);
	tcase_add_test(tc, the_epoch_is_bound_and_an_unknown_one_is_no_damage);
	tcase_add_test(tc,
		       an_altered_header_is_damage_and_a_later_epoch_is_not);
	tcase_add_test(tc, what_is_unknown_is_told_by_its_code);
	tcase_add_test(tc, a_name_of_another_kind_is_our_bug);
	tcase_add_test(tc, plaintexts_behind_the_tag_are_checked_too);
	tcase_add_test(tc, boxes_go_to_and_from_a_store);
}
CHECK_MAIN("storage/seal", cases)
