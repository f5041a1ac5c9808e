/* Derived keys: storage/repository/keys.h. */
#include "storage/repository/keys.h"

#include <string.h>

#include "base/text.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

/*
 * From another implementation:
 * python3 -c 'import hashlib; print(hashlib.blake2b(b"snapctl/1 " + label +
 * b"\0" + rest, digest_size=32, key=bytes(range(32))).hexdigest())'
 */
START_TEST(derivation_has_known_answers)
{
	static const struct {
		const char *label;
		const char *rest;
		size_t n;
		const char *want;
	} vectors[] = {
		{ "object", "", 0,
		  "d0478323121674141eb650c45658a15b28112c41c4eee6cba8691f3d27bb7de5" },
		{ "data", "\1\0abc", 5,
		  "34a53d9fbfe367a17755e0738330548a95ea391b96d61130096b72b3f54edf2f" },
		{ "id", "", 0,
		  "39bc264b497eccc06919bf68e996c2d0d00787d5c7d535a0a1e08a8c3d95fb9d" },
	};
	uint8_t key[KEYS_SIZE];
	uint8_t out[KEYS_SIZE];
	char text[2 * KEYS_SIZE + 1];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		keys_derive(key, vectors[i].label, vectors[i].rest,
			    vectors[i].n, out);
		text_hex(out, sizeof(out), text);
		ck_assert_str_eq(text, vectors[i].want);
	}
}
END_TEST

START_TEST(keys_are_those_of_the_format)
{
	CLEANUP(keys_free) struct keys *k = repo_keys(7, 3);
	uint8_t epoch[KEYS_SIZE];
	uint8_t rest[2 + KEYS_SIZE] = { 1, 0 };
	uint8_t want[KEYS_SIZE];

	ck_assert_ptr_nonnull(k);
	ck_assert_uint_eq(keys_epoch(k), 3);
	memset(epoch, 0x80 + 2 + 7, sizeof(epoch));
	keys_derive(epoch, "object", NULL, 0, want);
	ck_assert_mem_eq(keys_object(k, 2), want, KEYS_SIZE);
	memset(rest + 2, 0x40 + 1 + 7, KEYS_SIZE);
	keys_derive(epoch, "data", rest, sizeof(rest), want);
	ck_assert_mem_eq(keys_data(k, 1, 2), want, KEYS_SIZE);
	keys_derive(rest + 2, "id", NULL, 0, want);
	ck_assert_mem_eq(keys_id(k, 1), want, KEYS_SIZE);
	keys_derive(rest + 2, "cut", NULL, 0, want);
	ck_assert_mem_eq(keys_cut(k, 1), want, KEYS_SIZE);
}
END_TEST

/* Both bytes of the domain's number are in it. */
START_TEST(data_keys_are_those_of_their_domain)
{
	CLEANUP(keys_free) struct keys *k = NULL;
	const struct object_id repository = { { 7 } };
	uint8_t rest[2 + KEYS_SIZE] = { 0x34, 0x12 };
	uint8_t epoch[KEYS_SIZE] = { 5 };
	uint8_t want[KEYS_SIZE];
	struct err e;

	ck_ok(keys_new(repository, &k, &e));
	ck_ok(keys_add_domain(k, 0x1234, rest + 2, &e));
	ck_ok(keys_add_epoch(k, 1, epoch, &e));
	keys_derive(epoch, "data", rest, sizeof(rest), want);
	ck_assert_mem_eq(keys_data(k, 0x1234, 1), want, KEYS_SIZE);
}
END_TEST

START_TEST(unknown_numbers_have_no_keys)
{
	CLEANUP(keys_free) struct keys *k = repo_keys(7, 1);

	ck_assert_ptr_nonnull(k);
	ck_assert_ptr_null(keys_object(k, 0));
	ck_assert_ptr_null(keys_object(k, 2));
	ck_assert_ptr_null(keys_object(k, 65536 + 1));
	ck_assert_ptr_null(keys_data(k, 0, 2));
	ck_assert_ptr_null(keys_data(k, 2, 1));
	ck_assert_ptr_null(keys_id(k, 2));
	ck_assert_ptr_null(keys_cut(k, 2));
}
END_TEST

START_TEST(numbers_are_bounded_and_single)
{
	CLEANUP(keys_free) struct keys *k = repo_keys(7, 1);
	const uint8_t key[KEYS_SIZE] = { 1 };
	const uint8_t *first;
	struct err e;

	ck_assert_ptr_nonnull(k);
	first = keys_data(k, 0, 1);
	ck_assert_int_eq(keys_add_epoch(k, 0, key, &e), -1);
	ck_assert_int_eq(keys_add_epoch(k, 1, key, &e), -1);
	ck_assert_int_eq(keys_add_epoch(k, 65536, key, &e), -1);
	ck_assert_int_eq(keys_add_domain(k, 1, key, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	for (uint32_t i = 1; i < KEYS_EPOCHS_MAX; i++)
		ck_ok(keys_add_epoch(k, 65536 - i, key, &e));
	ck_assert_int_eq(keys_add_epoch(k, 2, key, &e), -1);
	for (uint32_t i = 2; i < KEYS_DOMAINS_MAX && i < 20; i++)
		ck_ok(keys_add_domain(k, (uint16_t)i, key, &e));
	ck_assert_uint_eq(keys_epoch(k), 65535);
	/* What was given away stays where it is. */
	ck_assert_ptr_eq(keys_data(k, 0, 1), first);
	ck_assert_mem_eq(keys_data(k, 19, 65535), keys_data(k, 19, 65534),
			 KEYS_SIZE);
	ck_assert_mem_ne(keys_data(k, 19, 65535), keys_data(k, 18, 65535),
			 KEYS_SIZE);
}
END_TEST

START_TEST(keys_agree_on_what_both_know)
{
	CLEANUP(keys_free) struct keys *a = repo_keys(7, 1);
	CLEANUP(keys_free) struct keys *b = repo_keys(7, 1);
	const uint8_t key[KEYS_SIZE] = { 1 };
	const uint8_t other[KEYS_SIZE] = { 2 };
	struct err e;

	ck_assert(a && b);
	ck_ok(keys_add_epoch(a, 2, key, &e));
	ck_ok(keys_add_domain(b, 5, key, &e));
	ck_assert(keys_agree(a, b) && keys_agree(b, a));
	ck_ok(keys_add_domain(a, 5, other, &e));
	ck_assert(!keys_agree(a, b) && !keys_agree(b, a));
}
END_TEST

START_TEST(epochs_of_one_number_and_two_keys_do_not_agree)
{
	CLEANUP(keys_free) struct keys *a = repo_keys(7, 1);
	CLEANUP(keys_free) struct keys *b = repo_keys(7, 1);
	const uint8_t key[KEYS_SIZE] = { 1 };
	const uint8_t other[KEYS_SIZE] = { 2 };
	struct err e;

	ck_assert(a && b);
	ck_ok(keys_add_epoch(a, 2, key, &e));
	ck_ok(keys_add_epoch(b, 2, other, &e));
	ck_assert(!keys_agree(a, b) && !keys_agree(b, a));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, derivation_has_known_answers);
	tcase_add_test(tc, keys_are_those_of_the_format);
	tcase_add_test(tc, data_keys_are_those_of_their_domain);
	tcase_add_test(tc, unknown_numbers_have_no_keys);
	tcase_add_test(tc, numbers_are_bounded_and_single);
	tcase_add_test(tc, keys_agree_on_what_both_know);
	tcase_add_test(tc, epochs_of_one_number_and_two_keys_do_not_agree);
}
CHECK_MAIN("storage/keys", cases)
