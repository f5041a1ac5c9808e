/* Ids, sealing, opening of chunks: storage/repository/chunk.h, compress.h. */
#include "storage/repository/chunk.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

static struct keys *keys;
static struct chunk_worker *worker;

static void set_up(void)
{
	struct err e;

	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(chunk_worker_new(keys, &worker, &e));
}

static void tear_down(void)
{
	chunk_worker_free(worker);
	keys_free(keys);
}

/* Text-like bytes: compressible, never the same twice. */
static void fill_text(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)("etaoin shrdlu"[(i * i + i / 7) % 13]);
}

/* Seal plain into *ret_sealed, a copy. */
static void seal(const void *plain, size_t n, enum chunk_kind kind,
		 enum compress_effort effort, struct chunk_seal *s,
		 uint8_t **ret_sealed, size_t *ret_n)
{
	const struct chunk_plain whole = {
		.kind = kind, .effort = effort, .bytes = plain, .n = n
	};
	struct chunk_sealed sealed;
	struct chunk_id id;
	struct err e;

	ck_ok(chunk_identify(worker, 0, kind, plain, n, &id, &e));
	ck_ok(chunk_seal_new(worker, &id, &whole, &sealed, &e));
	*s = sealed.seal;
	*ret_n = sealed.len;
	*ret_sealed = malloc(*ret_n);
	ck_assert_ptr_nonnull(*ret_sealed);
	memcpy(*ret_sealed, sealed.bytes, *ret_n);
}

START_TEST(ids_are_hmac_sha256)
{
	static const size_t sizes[] = { 0, 1, 62, 63, 64, 65, 4096, 100000 };
	uint8_t *plain = calloc(1, 100001);
	uint8_t want[EVP_MAX_MD_SIZE];
	struct chunk_id id;
	struct err e;

	ck_assert_ptr_nonnull(plain);
	fill_text(plain + 1, 100000);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (uint16_t d = 0; d < 2; d++) {
			plain[0] = CHUNK_LEAF;
			ck_assert_ptr_nonnull(
				HMAC(EVP_sha256(), keys_id(keys, d), KEYS_SIZE,
				     plain, sizes[i] + 1, want, NULL));
			ck_ok(chunk_identify(worker, d, CHUNK_LEAF, plain + 1,
					     sizes[i], &id, &e));
			ck_assert_mem_eq(id.b, want, CHUNK_ID_SIZE);
		}
	free(plain);
	ck_assert_int_eq(chunk_identify(worker, 9, CHUNK_DATA, "", 0, &id, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
}
END_TEST

START_TEST(round_trip_at_every_level)
{
	const size_t n = 70000;
	uint8_t *plain = malloc(n);
	uint8_t *out = malloc(n);
	struct err e;

	ck_assert(plain && out);
	fill_text(plain, n);
	for (int i = 0; i < COMPRESS_EFFORTS; i++) {
		const enum compress_effort effort = (enum compress_effort)i;
		struct chunk_seal s;
		uint8_t *sealed;
		size_t len;

		seal(plain, n, CHUNK_DATA, effort, &s, &sealed, &len);
		ck_assert_uint_eq(s.epoch, 2);
		ck_assert_uint_eq(s.plain_len, n);
		if (effort != COMPRESS_NOT)
			ck_assert_uint_lt(len, n / 2);
		else
			ck_assert_uint_eq(len, n + 1 + SEAL_OVERHEAD);
		memset(out, 0, n);
		ck_ok(chunk_open(worker, &s, sealed, len, out, &e));
		ck_assert_mem_eq(out, plain, n);
		ck_ok(chunk_verify(worker, &s, plain, &e));
		plain[n / 2] ^= 1;
		ck_assert_int_eq(chunk_verify(worker, &s, plain, &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
		plain[n / 2] ^= 1;
		free(sealed);
	}
	free(plain);
	free(out);
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
	uint8_t plain[300];
	uint8_t out[300];
	struct err e;

	fill_text(plain, sizeof(plain));
	for (int i = 0; i < 2; i++) {
		struct chunk_seal s;
		uint8_t *sealed;
		size_t n;

		seal(plain, sizeof(plain), CHUNK_LEAF,
		     i ? COMPRESS_QUICK : COMPRESS_NOT, &s, &sealed, &n);
		for (size_t bit = 0; bit < n * 8; bit++) {
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ck_assert_int_eq(
				chunk_open(worker, &s, sealed, n, out, &e), -1);
			ck_assert_int_eq(e.code, ERR_CORRUPT);
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t len = 0; len < n; len++)
			ck_assert_int_eq(
				chunk_open(worker, &s, sealed, len, out, &e),
				-1);
		ck_ok(chunk_open(worker, &s, sealed, n, out, &e));
		free(sealed);
	}
}
END_TEST

START_TEST(what_belongs_to_another_does_not_open)
{
	CLEANUP(keys_free) struct keys *other_keys = repo_keys(8, 2);
	CLEANUP(chunk_worker_free) struct chunk_worker *other = NULL;
	struct chunk_seal s;
	struct chunk_seal t;
	uint8_t out[64];
	uint8_t *sealed;
	size_t n;
	struct err e;

	ck_assert_ptr_nonnull(other_keys);
	ck_ok(chunk_worker_new(other_keys, &other, &e));
	seal("some words", 10, CHUNK_DATA, COMPRESS_NOT, &s, &sealed, &n);
	ck_assert_int_eq(chunk_open(other, &s, sealed, n, out, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	t = s;
	t.kind = CHUNK_LEAF;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	t = s;
	t.domain = 1;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	t = s;
	t.epoch = 1;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	t = s;
	t.id.b[31] ^= 1;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	t = s;
	t.plain_len = 9;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	t = s;
	t.epoch = 3;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
	t = s;
	t.domain = 3;
	ck_assert_int_eq(chunk_open(worker, &t, sealed, n, out, &e), -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
	ck_ok(chunk_open(worker, &s, sealed, n, out, &e));
	ck_assert_mem_eq(out, "some words", 10);
	free(sealed);
}
END_TEST

START_TEST(the_empty_and_the_largest_chunk)
{
	uint8_t *plain = calloc(1, CHUNK_MAX);
	struct chunk_seal s;
	uint8_t *sealed;
	size_t n;
	struct err e;

	ck_assert_ptr_nonnull(plain);
	seal(plain, 0, CHUNK_VALUE, COMPRESS_WELL, &s, &sealed, &n);
	ck_assert_uint_eq(n, SEAL_OVERHEAD + 1);
	ck_ok(chunk_open(worker, &s, sealed, n, plain, &e));
	free(sealed);
	secret_nonce(plain, CHUNK_MAX);
	seal(plain, CHUNK_MAX, CHUNK_DATA, COMPRESS_QUICK, &s, &sealed, &n);
	ck_assert_uint_eq(n, CHUNK_SEALED_MAX);
	ck_ok(chunk_open(worker, &s, sealed, n, plain, &e));
	ck_ok(chunk_verify(worker, &s, plain, &e));
	free(sealed);
	free(plain);
}
END_TEST

START_TEST(frames_are_taken_exactly)
{
	CLEANUP(compress_free) struct compress *c = NULL;
	uint8_t plain[5000];
	uint8_t out[5001];
	uint8_t frame[2][6000];
	uint64_t size;
	size_t n;
	struct err e;

	fill_text(plain, sizeof(plain));
	ck_ok(compress_new(&c, &e));
	n = compress_frame(c, COMPRESS_WELL, plain, sizeof(plain), frame[0],
			   6000);
	ck_assert_uint_gt(n, 0);
	ck_ok(compress_content_size(frame[0], n, &size, &e));
	ck_assert_uint_eq(size, sizeof(plain));
	ck_ok(compress_open(c, frame[0], n, out, sizeof(plain), &e));
	ck_assert_mem_eq(out, plain, sizeof(plain));
	/* Too much or little asked for; cut off; a second frame behind. */
	ck_assert_int_eq(compress_open(c, frame[0], n, out, 4999, &e), -1);
	ck_assert_int_eq(compress_open(c, frame[0], n, out, 5001, &e), -1);
	ck_assert_int_eq(compress_open(c, frame[0], n - 1, out, 5000, &e), -1);
	memcpy(frame[0] + n, "\x50\x2a\x4d\x18\0\0\0\0", 8);
	ck_assert_int_eq(compress_open(c, frame[0], n + 8, out, 5000, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(compress_open(c, frame[0] + n, 8, out, 0, &e), -1);
	/* One that did not fit does not spoil the next. */
	ck_assert_uint_eq(compress_frame(c, COMPRESS_WELL, plain, sizeof(plain),
					 frame[1], 20),
			  0);
	ck_assert_uint_eq(compress_frame(c, COMPRESS_WELL, plain, sizeof(plain),
					 frame[1], 6000),
			  n);
	ck_assert_mem_eq(frame[0], frame[1], n);
}
END_TEST

START_TEST(noise_is_told_from_text)
{
	static uint8_t bytes[1 << 20];

	secret_nonce(bytes, sizeof(bytes));
	ck_assert(!compress_is_worth_it(bytes, sizeof(bytes)));
	ck_assert(!compress_is_worth_it(bytes, 20000));
	/* Noise that comes again at a short distance can be compressed. */
	for (size_t i = 256; i < sizeof(bytes); i++)
		bytes[i] = bytes[i - 256];
	ck_assert(compress_is_worth_it(bytes, sizeof(bytes)));
	fill_text(bytes, sizeof(bytes));
	ck_assert(compress_is_worth_it(bytes, sizeof(bytes)));
	ck_assert(compress_is_worth_it(bytes, 100));
	ck_assert(compress_is_worth_it(bytes, 0));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, ids_are_hmac_sha256);
	tcase_add_test(tc, round_trip_at_every_level);
	tcase_add_test(tc, every_flipped_bit_is_found);
	tcase_add_test(tc, what_belongs_to_another_does_not_open);
	tcase_add_test(tc, the_empty_and_the_largest_chunk);
	tcase_add_test(tc, frames_are_taken_exactly);
	tcase_add_test(tc, noise_is_told_from_text);
}
CHECK_MAIN("storage/chunk", cases)
