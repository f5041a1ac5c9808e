/* Ids, sealing, opening of chunks: storage/repository/chunk.h, compress.h. */
#include "storage/repository/chunk.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/openssl.h"
#include "base/text.h"
#include "storage/repository/chunk_cipher.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"

static struct keys *keys;
static struct chunk_worker *worker;

/* How a seal goes wrong; plain text of as many bytes in another's place. */
static enum { RIGHT, FLIPPED, EXCHANGED } sealing;
static const uint8_t *other_body;
static size_t other_size;

int __real_chunk_cipher_seal(struct chunk_cipher *c,
			     const struct chunk_binding *to, uint8_t method,
			     const void *body, size_t n, uint8_t *out,
			     struct err *e);
int __wrap_chunk_cipher_seal(struct chunk_cipher *c,
			     const struct chunk_binding *to, uint8_t method,
			     const void *body, size_t n, uint8_t *out,
			     struct err *e);
int __wrap_chunk_cipher_seal(struct chunk_cipher *c,
			     const struct chunk_binding *to, uint8_t method,
			     const void *body, size_t n, uint8_t *out,
			     struct err *e)
{
	if (sealing == EXCHANGED) {
		ck_assert_uint_eq(other_size, n);
		body = other_body;
	}
	if (__real_chunk_cipher_seal(c, to, method, body, n, out, e))
		return -1;
	if (sealing == FLIPPED)
		out[SEAL_NONCE] ^= 1;
	return 0;
}

/* Whether libcrypto is worth its coming. */
static bool pays;

bool __wrap_openssl_pays(uint64_t saved_ns);
bool __wrap_openssl_pays(uint64_t saved_ns)
{
	(void)saved_ns;
	return pays;
}

/* It cannot be loaded. */
static bool is_missing;

const struct openssl_crypto *__real_openssl_crypto(struct err *e);
const struct openssl_crypto *__wrap_openssl_crypto(struct err *e);
const struct openssl_crypto *__wrap_openssl_crypto(struct err *e)
{
	if (!is_missing)
		return __real_openssl_crypto(e);
	(void)err_set(e, ERR_IO, "there is none");
	return NULL;
}

static void set_up(void)
{
	struct err e;

	sealing = RIGHT;
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

	pays = _i;
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

START_TEST(round_trip_with_every_effort)
{
	const size_t n = 70000;
	uint8_t *plain = malloc(n);
	uint8_t *out = malloc(n);
	struct err e;

	pays = _i;
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

/*
 * Made by Python's hashlib and cryptography from what FORMAT.md says, for the
 * keys above, with the random bytes a0 … b7.
 */
START_TEST(chunks_are_sealed_as_the_format_says)
{
	static const struct {
		const char *word;
		size_t times;
		const char *id;
		const char *sealed;
	} vectors[] = {
		{ "an entry of a tree", 1,
		  "cc708050f8cac46646c59f67993bcda0"
		  "52364dfb4c3b4ae843e5f825d922fac4",
		  "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7"
		  "e11aca81d131cd599fd789826e3348eab86469"
		  "0bf11e67e4bb2345802250b94ea0d284" },
		{ "an entry of a tree; ", 40,
		  "5daf558e1f96f1f65cb84be16d68c496"
		  "60428434194fc6d55ac8fc8cdcb382c8",
		  "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7"
		  "b0cc52221635c08d2e255e8c8b3656cf70e817568bc0c375"
		  "8200825906e33daffaea3700c689ed6c"
		  "b2bd806ce1c22adc0f3007a88efd" },
	};

	pays = _i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const size_t n = vectors[i].times * strlen(vectors[i].word);
		const size_t len = strlen(vectors[i].sealed) / 2;
		struct chunk_seal s = { .kind = CHUNK_LEAF,
					.domain = 1,
					.epoch = 2,
					.plain_len = (uint32_t)n };
		struct chunk_id want;
		uint8_t sealed[100];
		uint8_t plain[1000];
		uint8_t out[1000];
		struct err e;

		for (size_t k = 0; k < n; k++)
			plain[k] = (uint8_t)vectors[i]
					   .word[k % strlen(vectors[i].word)];
		ck_assert(text_unhex(vectors[i].id, sizeof(want.b), want.b));
		ck_assert_uint_le(len, sizeof(sealed));
		ck_assert(text_unhex(vectors[i].sealed, len, sealed));
		ck_ok(chunk_identify(worker, 1, CHUNK_LEAF, plain, n, &s.id,
				     &e));
		ck_assert_mem_eq(s.id.b, want.b, sizeof(want.b));
		ck_ok(chunk_open(worker, &s, sealed, len, out, &e));
		ck_assert_mem_eq(out, plain, n);
	}
}
END_TEST

/* Both halves of the random bytes, the key's and the nonce's, are drawn. */
START_TEST(two_seals_of_one_chunk_differ)
{
	uint8_t plain[64] = { 0 };
	uint8_t out[64];
	uint8_t *sealed[2];
	struct chunk_seal s;
	size_t n;
	struct err e;

	pays = _i;
	for (int i = 0; i < 2; i++) {
		seal(plain, sizeof(plain), CHUNK_DATA, 0, &s, &sealed[i], &n);
		ck_assert_uint_eq(n, sizeof(plain) + 1 + SEAL_OVERHEAD);
	}
	for (size_t at = 0; at + 12 <= n; at += 12)
		ck_assert_mem_ne(sealed[0] + at, sealed[1] + at, 12);
	for (int i = 0; i < 2; i++) {
		ck_ok(chunk_open(worker, &s, sealed[i], n, out, &e));
		ck_assert_mem_eq(out, plain, sizeof(plain));
	}
	/* Each half belongs to its seal. */
	for (size_t at = 0; at < SEAL_NONCE; at += 12) {
		uint8_t mixed[sizeof(plain) + 1 + SEAL_OVERHEAD];

		memcpy(mixed, sealed[0], n);
		memcpy(mixed + at, sealed[1] + at, 12);
		ck_assert_int_eq(chunk_open(worker, &s, mixed, n, out, &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
	free(sealed[0]);
	free(sealed[1]);
}
END_TEST

static void refused(const struct chunk_seal *s, const uint8_t *sealed, size_t n,
		    enum err_code code)
{
	uint8_t out[300];
	struct err e;

	ck_assert_int_eq(chunk_open(worker, s, sealed, n, out, &e), -1);
	ck_assert_int_eq(e.code, code);
}

START_TEST(every_flipped_bit_is_found)
{
	uint8_t plain[300];
	uint8_t out[300];
	struct err e;

	pays = _i;
	fill_text(plain, sizeof(plain));
	for (int i = 0; i < 2; i++) {
		struct chunk_seal s;
		uint8_t *sealed;
		size_t n;

		seal(plain, sizeof(plain), CHUNK_LEAF,
		     i ? COMPRESS_QUICK : COMPRESS_NOT, &s, &sealed, &n);
		for (size_t bit = 0; bit < n * 8; bit++) {
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			refused(&s, sealed, n, ERR_CORRUPT);
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t len = 0; len < n; len++)
			refused(&s, sealed, len, ERR_CORRUPT);
		ck_ok(chunk_open(worker, &s, sealed, n, out, &e));
		free(sealed);
	}
}
END_TEST

/* Keys of repository 7 that hold the same bytes in all places. */
static struct keys *same_keys(uint8_t domain, uint8_t epoch)
{
	const struct object_id id = { "\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7" };
	struct keys *k = NULL;
	uint8_t bytes[2][KEYS_SIZE];
	struct err e;

	memset(bytes[0], domain, KEYS_SIZE);
	memset(bytes[1], epoch, KEYS_SIZE);
	ck_ok(keys_new(id, &k, &e));
	ck_ok(keys_add_domain(k, 0, bytes[0], &e));
	for (uint32_t bit = 1; bit < 0x10000; bit <<= 1) {
		ck_ok(keys_add_domain(k, (uint16_t)bit, bytes[0], &e));
		ck_ok(keys_add_epoch(k, bit, bytes[1], &e));
	}
	ck_ok(keys_add_epoch(k, 0xffff, bytes[1], &e));
	for (uint32_t bit = 1; bit < 0x10000; bit <<= 1)
		ck_ok(keys_add_epoch(k, 0xffff ^ bit, bytes[1], &e));
	return k;
}

/* Of what is known besides the bytes, where every number has a key. */
START_TEST(every_flipped_bit_of_the_seal_is_found)
{
	CLEANUP(keys_free) struct keys *all = same_keys(1, 2);
	struct chunk_seal s;
	uint8_t *sealed;
	size_t n;
	struct err e;

	pays = _i;
	chunk_worker_free(worker);
	ck_ok(chunk_worker_new(all, &worker, &e));
	seal("some words", 10, CHUNK_LEAF, 0, &s, &sealed, &n);
	ck_assert_uint_eq(s.epoch, 0xffff);
	for (size_t bit = 0; bit < sizeof(s.id.b) * 8; bit++) {
		s.id.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		refused(&s, sealed, n, ERR_CORRUPT);
		s.id.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned int bit = 1; bit < 0x100; bit <<= 1) {
		struct chunk_seal t = s;

		t.kind = (enum chunk_kind)((unsigned int)s.kind ^ bit);
		refused(&t, sealed, n, ERR_CORRUPT);
	}
	for (unsigned int bit = 1; bit < 0x10000; bit <<= 1) {
		struct chunk_seal t = s;

		t.domain = (uint16_t)(s.domain ^ bit);
		refused(&t, sealed, n, ERR_CORRUPT);
		t = s;
		t.epoch = (uint16_t)(s.epoch ^ bit);
		refused(&t, sealed, n, ERR_CORRUPT);
	}
	free(sealed);
	chunk_worker_free(worker);
	worker = NULL;
}
END_TEST

/* Another epoch's key or domain's secret, all else being the same. */
START_TEST(a_wrong_data_key_is_refused)
{
	static const uint8_t bytes[][2] = { { 1, 2 }, { 1, 3 }, { 4, 2 } };
	struct chunk_seal s;
	uint8_t *sealed = NULL;
	size_t n = 0;

	pays = _i;
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		CLEANUP(keys_free)
		struct keys *k = same_keys(bytes[i][0], bytes[i][1]);
		uint8_t out[10];
		struct err e;

		chunk_worker_free(worker);
		ck_ok(chunk_worker_new(k, &worker, &e));
		if (i == 0) {
			seal("some words", 10, CHUNK_DATA, 0, &s, &sealed, &n);
			ck_ok(chunk_open(worker, &s, sealed, n, out, &e));
		} else {
			refused(&s, sealed, n, ERR_CORRUPT);
		}
		chunk_worker_free(worker);
		worker = NULL;
	}
	free(sealed);
}
END_TEST

/* What was sealed is opened and compared before anyone hears of it. */
START_TEST(a_seal_gone_wrong_is_not_handed_out)
{
	CLEANUP(compress_free) struct compress *c = NULL;
	uint8_t plain[2][5000];
	uint8_t frame[6000];
	struct err e;

	ck_ok(compress_new(&c, &e));
	fill_text(plain[0], sizeof(plain[0]));
	memcpy(plain[1], plain[0], sizeof(plain[0]));
	/* Another byte of the same alphabet: the frame has the same size. */
	plain[1][0] = plain[0][0] == 'e' ? 't' : 'e';
	for (int framed = 0; framed < 2; framed++) {
		const enum compress_effort effort = framed ? COMPRESS_WELL
							   : COMPRESS_NOT;
		const struct chunk_plain whole = { .kind = CHUNK_DATA,
						   .effort = effort,
						   .bytes = plain[0],
						   .n = sizeof(plain[0]) };
		struct chunk_sealed sealed;
		struct chunk_id id;

		other_body = framed ? frame : plain[1];
		other_size = framed ? compress_frame(c, effort, plain[1],
						     sizeof(plain[1]), frame,
						     sizeof(frame))
				    : sizeof(plain[1]);
		ck_ok(chunk_identify(worker, 0, CHUNK_DATA, plain[0],
				     sizeof(plain[0]), &id, &e));
		for (sealing = FLIPPED; sealing <= EXCHANGED; sealing++) {
			ck_assert_int_eq(chunk_seal_new(worker, &id, &whole,
							&sealed, &e),
					 -1);
			ck_assert_int_eq(e.code, ERR_BUG);
			ck_assert_ptr_nonnull(
				strstr(e.text, "as it was sealed"));
		}
		sealing = RIGHT;
		ck_ok(chunk_seal_new(worker, &id, &whole, &sealed, &e));
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

	pays = _i;
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

	pays = _i;
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

/* What was sealed before libcrypto came is opened after it, and the other way
 * round. */
START_TEST(either_opens_what_the_other_sealed)
{
	static const size_t sizes[] = { 0,  1,	2,   14,   15,	 16,   17,
					31, 33, 127, 1000, 4097, 70000 };
	static uint8_t plain[70000];
	static uint8_t out[70000];
	CLEANUP(chunk_worker_free) struct chunk_worker *late = NULL;
	struct err e;

	fill_text(plain, sizeof(plain));
	pays = true;
	ck_ok(chunk_worker_new(keys, &late, &e));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const size_t n = sizes[i];
		struct chunk_plain whole = { .kind = CHUNK_DATA,
					     .bytes = plain,
					     .n = n };
		struct chunk_sealed sealed;
		struct chunk_id id;

		pays = false;
		ck_ok(chunk_identify(worker, 0, CHUNK_DATA, plain, n, &id, &e));
		ck_ok(chunk_seal_new(worker, &id, &whole, &sealed, &e));
		pays = true;
		ck_ok(chunk_open(late, &sealed.seal, sealed.bytes, sealed.len,
				 out, &e));
		ck_assert(n == 0 || memcmp(out, plain, n) == 0);
		ck_ok(chunk_verify(late, &sealed.seal, plain, &e));
		ck_ok(chunk_seal_new(late, &id, &whole, &sealed, &e));
		pays = false;
		memset(out, 0, sizeof(out));
		ck_ok(chunk_open(worker, &sealed.seal, sealed.bytes, sealed.len,
				 out, &e));
		ck_assert(n == 0 || memcmp(out, plain, n) == 0);
	}
}
END_TEST

/* libsodium goes on where it can; then it is tried again. */
START_TEST(without_libcrypto_it_goes_on)
{
	const bool can = crypto_aead_aes256gcm_is_available();
	uint8_t plain[5000];
	uint8_t out[5000];
	struct chunk_plain whole = { .kind = CHUNK_DATA,
				     .bytes = plain,
				     .n = sizeof(plain) };
	struct chunk_sealed sealed;
	struct chunk_id id;
	struct err e;

	fill_text(plain, sizeof(plain));
	pays = true;
	is_missing = true;
	ck_ok(chunk_identify(worker, 0, CHUNK_DATA, plain, sizeof(plain), &id,
			     &e));
	if (can) {
		ck_ok(chunk_seal_new(worker, &id, &whole, &sealed, &e));
	} else {
		ck_assert_int_eq(
			chunk_seal_new(worker, &id, &whole, &sealed, &e), -1);
		ck_assert_ptr_nonnull(strstr(e.text, "there is none"));
	}
	is_missing = false;
	if (can) {
		ck_ok(chunk_open(worker, &sealed.seal, sealed.bytes, sealed.len,
				 out, &e));
		ck_assert_mem_eq(out, plain, sizeof(plain));
	}
	ck_ok(chunk_seal_new(worker, &id, &whole, &sealed, &e));
	ck_ok(chunk_verify(worker, &sealed.seal, plain, &e));
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

/* Lengths of 40 frames of the same bytes, and of one by each effort. */
static void frames_of(const uint8_t *bytes, size_t n, size_t lens[40],
		      size_t *quick, size_t *well)
{
	CLEANUP(compress_free) struct compress *c = NULL;
	uint8_t *frame = malloc(n);
	struct err e;

	ck_assert_ptr_nonnull(frame);
	ck_ok(compress_new(&c, &e));
	for (int i = 0; i < 40; i++)
		lens[i] = compress_frame(c, COMPRESS_FITTING, bytes, n, frame,
					 n);
	*quick = compress_frame(c, COMPRESS_QUICK, bytes, n, frame, n);
	*well = compress_frame(c, COMPRESS_WELL, bytes, n, frame, n);
	free(frame);
}

START_TEST(more_work_goes_where_it_pays)
{
	static uint8_t bytes[1 << 20];
	size_t lens[40], quick, well;

	/* Letters alone: whoever looks for matches longer finds none. */
	for (size_t i = 0; i < sizeof(bytes); i++) {
		secret_nonce(bytes + i, 1);
		bytes[i] = (uint8_t)('a' + bytes[i] % 16);
	}
	frames_of(bytes, sizeof(bytes), lens, &quick, &well);
	ck_assert_uint_gt(well, quick - quick / 32);
	for (int i = 0; i < 40; i++)
		ck_assert_uint_eq(lens[i], quick);
	/* Words from a list that a small table cannot hold. */
	for (size_t i = 0; i + 16 <= sizeof(bytes); i += 16) {
		uint16_t word;

		secret_nonce((uint8_t *)&word, sizeof(word));
		word %= 20000;
		for (size_t k = 0; k < 16; k++)
			bytes[i + k] = (uint8_t)((word + 1) * (k + 7) *
							 0x9e3779b1U >>
						 13);
	}
	frames_of(bytes, sizeof(bytes), lens, &quick, &well);
	ck_assert_uint_lt(well, quick - quick / 32);
	for (int i = 0; i < 40; i++)
		ck_assert_uint_eq(lens[i], well);
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
	tcase_add_loop_test(tc, ids_are_hmac_sha256, 0, 2);
	tcase_add_loop_test(tc, round_trip_with_every_effort, 0, 2);
	tcase_add_loop_test(tc, chunks_are_sealed_as_the_format_says, 0, 2);
	tcase_add_loop_test(tc, two_seals_of_one_chunk_differ, 0, 2);
	tcase_add_loop_test(tc, every_flipped_bit_is_found, 0, 2);
	tcase_add_loop_test(tc, every_flipped_bit_of_the_seal_is_found, 0, 2);
	tcase_add_loop_test(tc, a_wrong_data_key_is_refused, 0, 2);
	tcase_add_test(tc, a_seal_gone_wrong_is_not_handed_out);
	tcase_add_loop_test(tc, what_belongs_to_another_does_not_open, 0, 2);
	tcase_add_loop_test(tc, the_empty_and_the_largest_chunk, 0, 2);
	tcase_add_test(tc, either_opens_what_the_other_sealed);
	tcase_add_test(tc, without_libcrypto_it_goes_on);
	tcase_add_test(tc, frames_are_taken_exactly);
	tcase_add_test(tc, more_work_goes_where_it_pays);
	tcase_add_test(tc, noise_is_told_from_text);
}
CHECK_MAIN("storage/chunk", cases)
