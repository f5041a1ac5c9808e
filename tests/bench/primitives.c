/*
 * What the cryptographic and compression primitives cost on this machine, one
 * core: the figures behind FORMAT.md's appendix.
 *
 *	primitives FILE...	FILEs: data to compress, in chunks of 1 MiB
 *
 * Prints Markdown tables.  Not a test: nothing here passes or fails.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "base/secret.h"
#include "storage/repository/chunk.h"
#include "storage/repository/chunk_cipher.h"
#include "storage/repository/chunk_pair.h"
#include "storage/repository/compress.h"

#define MIB	 ((size_t)1 << 20)
#define MEASURED 0.4 /* seconds for each figure */

static uint8_t key[64] = { 1, 2, 3 };
static struct chunk_worker *worker;
static struct chunk_pair *pair;
static struct chunk_cipher *cipher;
static const struct chunk_id chunk = { { 4, 5, 6 } };
static struct chunk_binding binding = { .data_key = key, .id = &chunk };
static EVP_CIPHER *aes;
static EVP_CIPHER_CTX *aes_context;
static EVP_MD *sha512_256;

/* Of the processor: the machine may be busy with other things. */
static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef void primitive(const uint8_t *in, size_t n, uint8_t *out);

static void hmac_sha256(const uint8_t *in, size_t n, uint8_t *out)
{
	struct chunk_id id;
	struct err e;

	if (chunk_identify(worker, 0, CHUNK_DATA, in, n, &id, &e))
		abort();
	memcpy(out, id.b, sizeof(id.b));
}

/* Every second call does the work of two. */
static void hmac_sha256_pair(const uint8_t *in, size_t n, uint8_t *out)
{
	const struct chunk_plain plain = { .kind = CHUNK_DATA,
					   .bytes = in,
					   .n = n };
	static unsigned int lane;
	struct chunk_id id;
	struct err e;

	if (chunk_pair_begin(pair, lane, &plain, &e))
		abort();
	if (++lane < CHUNK_PAIR)
		return;
	for (; lane; lane--)
		if (chunk_pair_end(pair, &(unsigned int){ 0 }, &id, &e))
			abort();
	memcpy(out, id.b, sizeof(id.b));
}

static void hmac_sha512_256(const uint8_t *in, size_t n, uint8_t *out)
{
	if (!HMAC(sha512_256, key, 32, in, n, out, NULL))
		abort();
}

static void blake2b(const uint8_t *in, size_t n, uint8_t *out)
{
	(void)crypto_generichash(out, 32, in, n, key, 32);
}

static void xchacha_seal(const uint8_t *in, size_t n, uint8_t *out)
{
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(
		out, NULL, in, n, NULL, 0, NULL, key + 32, key);
}

static void xchacha_open(const uint8_t *in, size_t n, uint8_t *out)
{
	/* The tag is wrong: MAC alone, as much as a forgery costs. */
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    out, NULL, NULL, in, n, NULL, 0, key + 32, key) == 0)
		abort();
}

static void aes_gcm_seal(const uint8_t *in, size_t n, uint8_t *out)
{
	int len;

	if (EVP_EncryptInit_ex2(aes_context, aes, key, key + 32, NULL) != 1 ||
	    EVP_EncryptUpdate(aes_context, out, &len, in, (int)n) != 1 ||
	    EVP_EncryptFinal_ex(aes_context, out + n, &len) != 1)
		abort();
}

static void chunk_seal(const uint8_t *in, size_t n, uint8_t *out)
{
	struct err e;

	if (chunk_cipher_seal(cipher, &binding, 0, in, n, out, &e))
		abort();
}

static void chunk_refuse(const uint8_t *in, size_t n, uint8_t *out)
{
	struct err e;

	/* The tag is wrong, but GCM decrypts before it tells. */
	if (chunk_cipher_open(cipher, &binding, in, n, out, &e) == 0)
		abort();
}

/* GB/s (10^9 bytes) of f on inputs of n bytes. */
static double rate(primitive *f, const uint8_t *in, size_t n, uint8_t *out)
{
	const double start = seconds();
	double spent;
	size_t rounds = 0;

	do {
		for (int i = 0; i < 8; i++)
			f(in, n, out);
		rounds += 8;
		spent = seconds() - start;
	} while (spent < MEASURED);
	return (double)rounds * (double)n / spent / 1e9;
}

static void primitives(void)
{
	static const struct {
		const char *name;
		primitive *run;
	} rows[] = {
		{ "HMAC-SHA-256 (SHA instructions, as hash.c does)",
		  hmac_sha256 },
		{ "two at a time, as chunk_pair.c does", hmac_sha256_pair },
		{ "HMAC-SHA-512/256 (OpenSSL)", hmac_sha512_256 },
		{ "BLAKE2b-256 keyed (libsodium)", blake2b },
		{ "XChaCha20-Poly1305 seal (libsodium)", xchacha_seal },
		{ "XChaCha20-Poly1305 refuse a forgery", xchacha_open },
		{ "AES-256-GCM seal (OpenSSL)", aes_gcm_seal },
		{ "the same, each under its own key, as chunk_cipher.c does",
		  chunk_seal },
		{ "the same, open or refuse a forgery", chunk_refuse },
	};
	uint8_t *in = calloc(1, MIB);
	uint8_t *out = calloc(1, MIB + 64);

	if (!in || !out)
		abort();
	secret_nonce(in, MIB);
	(void)printf("| GB/s, one core | 1 MiB | 16 KiB | 4 KiB |\n"
		     "|---|---|---|---|\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		(void)printf("| %s | %.2f | %.2f | %.2f |\n", rows[i].name,
			     rate(rows[i].run, in, MIB, out),
			     rate(rows[i].run, in, 16384, out),
			     rate(rows[i].run, in, 4096, out));
	free(in);
	free(out);
}

struct input {
	uint8_t *bytes;
	size_t n;
};

static struct input load(const char *path)
{
	struct input x = { .bytes = malloc(512 * MIB) };
	FILE *f = fopen(path, "rb");

	if (!f || !x.bytes)
		abort();
	x.n = fread(x.bytes, 1, 512 * MIB, f);
	(void)fclose(f);
	return x;
}

struct outcome {
	double in;
	double out;
	double compress_s;
	double open_s;
};

static struct outcome compress_all(struct compress *c, const struct input *x,
				   enum compress_effort effort)
{
	const size_t cap = compress_bound(MIB);
	uint8_t *frame = malloc(cap);
	uint8_t *again = malloc(MIB);
	struct outcome o = { 0 };
	struct err e;

	if (!frame || !again)
		abort();
	for (size_t at = 0; at < x->n; at += MIB) {
		const size_t n = x->n - at < MIB ? x->n - at : MIB;
		double t = seconds();
		const size_t got = compress_frame(c, effort, x->bytes + at, n,
						  frame, n - n / 64 - 1);

		o.compress_s += seconds() - t;
		o.in += (double)n;
		o.out += (double)(got ? got : n);
		if (!got)
			continue;
		t = seconds();
		if (compress_open(c, frame, got, again, n, &e))
			abort();
		o.open_s += seconds() - t;
	}
	free(frame);
	free(again);
	return o;
}

/* How often "does not pay" is said, and how often wrongly (2 % with little
 * effort). */
static void judge(struct compress *c, const char *path, const struct input *x)
{
	uint8_t *frame = malloc(compress_bound(MIB));
	size_t chunks = 0;
	size_t bad = 0;
	size_t said_bad = 0;
	size_t missed = 0;
	size_t wrong = 0;
	double spent = 0;

	if (!frame)
		abort();
	for (size_t at = 0; at < x->n; at += MIB) {
		const size_t n = x->n - at < MIB ? x->n - at : MIB;
		const size_t got = compress_frame(c, COMPRESS_QUICK,
						  x->bytes + at, n, frame,
						  n - n / 50 - 1);
		double t = seconds();
		const int worth = compress_is_worth_it(x->bytes + at, n);

		spent += seconds() - t;
		chunks++;
		bad += got == 0;
		said_bad += !worth;
		missed += got == 0 && worth;
		wrong += got != 0 && !worth;
	}
	free(frame);
	(void)printf("| %s | %zu | %zu | %zu | %zu | %zu | %.1f |\n", path,
		     chunks, bad, said_bad, missed, wrong,
		     spent / (double)chunks * 1e6);
}

static void compression(char **paths, int n)
{
	static const char *const names[COMPRESS_EFFORTS] = {
		[COMPRESS_QUICK] = "quick",
		[COMPRESS_WELL] = "well",
		[COMPRESS_BEST] = "best",
		[COMPRESS_FITTING] = "fitting",
	};
	struct compress *c;
	struct err e;

	if (compress_new(&c, &e))
		abort();
	(void)printf("\n| data | effort | ratio | compress MB/s | "
		     "decompress MB/s | contexts KiB |\n"
		     "|---|---|---|---|---|---|\n");
	for (int i = 0; i < n; i++) {
		struct input x = load(paths[i]);

		for (int k = COMPRESS_QUICK; k < COMPRESS_EFFORTS; k++) {
			const struct outcome o = compress_all(
				c, &x, (enum compress_effort)k);

			(void)printf("| %s | %s | %.2f | %.0f | %.0f | %zu |\n",
				     paths[i], names[k], o.in / o.out,
				     o.in / o.compress_s / 1e6,
				     o.open_s > 0 ? o.in / o.open_s / 1e6 : 0,
				     compress_memory(c) >> 10);
		}
		free(x.bytes);
	}
	(void)printf(
		"\n| data | chunks | gain under 2 %% | said to be so | "
		"missed | wrongly | µs each |\n|---|---|---|---|---|---|---|"
		"\n");
	for (int i = 0; i < n; i++) {
		struct input x = load(paths[i]);

		judge(c, paths[i], &x);
		free(x.bytes);
	}
	compress_free(c);
}

int main(int argc, char **argv)
{
	struct keys *k;
	struct err e;

	aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	aes_context = EVP_CIPHER_CTX_new();
	sha512_256 = EVP_MD_fetch(NULL, "SHA512-256", NULL);
	if (!aes || !aes_context || !sha512_256 || secret_start(&e) ||
	    keys_new((struct object_id){ { 1 } }, &k, &e) ||
	    keys_add_domain(k, 0, key, &e) || keys_add_epoch(k, 1, key, &e) ||
	    chunk_worker_new(k, &worker, &e) ||
	    chunk_pair_new(k, worker, &pair, &e) ||
	    chunk_cipher_new(&cipher, &e))
		abort();
	/* As much as belongs to a chunk: FORMAT.md §4. */
	binding.ad.len = 16 + 16 + 5 + CHUNK_ID_SIZE;
	primitives();
	if (argc > 1)
		compression(argv + 1, argc - 1);
	chunk_cipher_free(cipher);
	chunk_pair_free(pair);
	chunk_worker_free(worker);
	keys_free(k);
	EVP_MD_free(sha512_256);
	EVP_CIPHER_CTX_free(aes_context);
	EVP_CIPHER_free(aes);
	return 0;
}
