#include "storage/repository/chunk_cipher.h"

#include <assert.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/openssl.h"
#include "base/secret.h"

#define HALF   (SEAL_NONCE / 2)
#define FORGED "it fails authentication"

/* So many bytes take libcrypto a nanosecond less than libsodium. */
#define SAVES_NS_OF 2

_Static_assert(HALF == 12, "half of the random bytes is GCM's nonce");
_Static_assert(KEYS_SIZE == 32, "AES-256");
_Static_assert(CHUNK_SEALED_MAX < INT_MAX, "libcrypto counts in int");
_Static_assert(HALF == crypto_aead_aes256gcm_NPUBBYTES, "nonce");
_Static_assert(SEAL_TAG == crypto_aead_aes256gcm_ABYTES, "tag");
_Static_assert(KEYS_SIZE == crypto_aead_aes256gcm_KEYBYTES, "key");

/*
 * The cipher is fetched and given to the context once: each of that allocates.
 * A key and a nonce, without a cipher, start the context again, in either
 * direction.
 */
struct chunk_cipher {
	const struct openssl_crypto *lib; /* or NULL: it has not come */
	EVP_CIPHER *aes;
	EVP_CIPHER_CTX *gcm;
	bool is_ready;
};

int chunk_cipher_new(struct chunk_cipher **ret, struct err *e)
{
	struct chunk_cipher *c = calloc(1, sizeof(*c));

	if (!c)
		return err_oom(e);
	*ret = c;
	return 0;
}

void chunk_cipher_free(struct chunk_cipher *c)
{
	if (!c)
		return;
	if (c->lib) {
		c->lib->EVP_CIPHER_CTX_free(c->gcm); /* and wipe it */
		c->lib->EVP_CIPHER_free(c->aes);
	}
	free(c);
}

static int bring_libcrypto(struct chunk_cipher *c, struct err *e)
{
	const struct openssl_crypto *lib = openssl_crypto(e);

	if (!lib)
		return -1;
	c->lib = lib;
	if (!c->aes)
		c->aes = lib->EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (!c->gcm)
		c->gcm = lib->EVP_CIPHER_CTX_new();
	if (!c->aes || !c->gcm ||
	    lib->EVP_CipherInit_ex2(c->gcm, c->aes, NULL, NULL, 1, NULL) != 1)
		return err_oom(e);
	c->is_ready = true;
	return 0;
}

/*
 * Whether libcrypto does n bytes: 1, or 0 for libsodium, which has to when the
 * other cannot be had, and can only with the processor's instructions.
 */
static int choose(struct chunk_cipher *c, size_t n, struct err *e)
{
	const bool can_without = crypto_aead_aes256gcm_is_available();
	struct err why;

	if (c->is_ready)
		return 1;
	if (can_without && !openssl_pays(n / SAVES_NS_OF))
		return 0;
	if (bring_libcrypto(c, &why) == 0)
		return 1;
	if (can_without)
		return 0;
	*e = why;
	return -1;
}

/* Of that chunk and those random bytes. */
static void derive(const struct chunk_binding *to,
		   const uint8_t random[SEAL_NONCE], uint8_t key[KEYS_SIZE])
{
	uint8_t rest[CHUNK_ID_SIZE + HALF];

	memcpy(rest, to->id->b, CHUNK_ID_SIZE);
	memcpy(rest + CHUNK_ID_SIZE, random, HALF);
	keys_derive(to->data_key, "chunk", rest, sizeof(rest), key);
}

/* The expanded key is the caller's to wipe: libsodium leaves its own behind. */
static void expand(const struct chunk_binding *to,
		   const uint8_t random[SEAL_NONCE],
		   crypto_aead_aes256gcm_state *ret)
{
	uint8_t key[KEYS_SIZE];

	derive(to, random, key);
	(void)crypto_aead_aes256gcm_beforenm(ret, key);
	secret_wipe(key, sizeof(key));
}

static void seal_without(const struct chunk_binding *to, uint8_t method,
			 const void *body, size_t n, uint8_t *out)
{
	uint8_t *p = out + SEAL_NONCE;
	crypto_aead_aes256gcm_state state;

	expand(to, out, &state);
	p[0] = method;
	if (n)
		memcpy(p + 1, body, n);
	/* Cannot fail: its only error is a length of 64 GiB. */
	(void)crypto_aead_aes256gcm_encrypt_detached_afternm(
		p, p + 1 + n, NULL, p, n + 1, to->ad.b, to->ad.len, NULL,
		out + HALF, &state);
	secret_wipe(&state, sizeof(state));
}

static int open_without(const struct chunk_binding *to, const uint8_t *sealed,
			size_t n, uint8_t *out, struct err *e)
{
	crypto_aead_aes256gcm_state state;
	int bad;

	expand(to, sealed, &state);
	bad = crypto_aead_aes256gcm_decrypt_detached_afternm(
		out, NULL, sealed + SEAL_NONCE, n - SEAL_OVERHEAD,
		sealed + n - SEAL_TAG, to->ad.b, to->ad.len, sealed + HALF,
		&state);
	secret_wipe(&state, sizeof(state));
	return bad ? err_set(e, ERR_CORRUPT, FORGED) : 0;
}

static bool start(struct chunk_cipher *c, const struct chunk_binding *to,
		  const uint8_t random[SEAL_NONCE], bool sealing)
{
	uint8_t key[KEYS_SIZE];
	bool ok;
	int n;

	derive(to, random, key);
	ok = c->lib->EVP_CipherInit_ex2(c->gcm, NULL, key, random + HALF,
					sealing, NULL) == 1 &&
	     c->lib->EVP_CipherUpdate(c->gcm, NULL, &n, to->ad.b,
				      (int)to->ad.len) == 1;
	secret_wipe(key, sizeof(key));
	return ok;
}

int chunk_cipher_seal(struct chunk_cipher *c, const struct chunk_binding *to,
		      uint8_t method, const void *body, size_t n, uint8_t *out,
		      struct err *e)
{
	uint8_t *p = out + SEAL_NONCE;
	const int by_libcrypto = choose(c, n, e);
	int got;

	assert(n <= CHUNK_MAX);
	if (by_libcrypto < 0)
		return -1;
	secret_nonce(out, SEAL_NONCE);
	if (!by_libcrypto) {
		seal_without(to, method, body, n, out);
		return 0;
	}
	if (!start(c, to, out, true) ||
	    c->lib->EVP_CipherUpdate(c->gcm, p, &got, &method, 1) != 1 ||
	    (n > 0 && c->lib->EVP_CipherUpdate(c->gcm, p + 1, &got, body,
					       (int)n) != 1) ||
	    c->lib->EVP_CipherFinal_ex(c->gcm, p + 1 + n, &got) != 1 ||
	    c->lib->EVP_CIPHER_CTX_ctrl(c->gcm, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG,
					p + 1 + n) != 1)
		return err_set(e, ERR_NO_MEMORY,
			       "libcrypto cannot encrypt: out of memory");
	return 0;
}

int chunk_cipher_open(struct chunk_cipher *c, const struct chunk_binding *to,
		      const void *sealed, size_t n, uint8_t *out, struct err *e)
{
	const uint8_t *p = sealed;
	const int by_libcrypto = choose(c, n, e);
	uint8_t tag[SEAL_TAG];
	int got;

	assert(n > SEAL_OVERHEAD && n <= CHUNK_SEALED_MAX);
	if (by_libcrypto < 0)
		return -1;
	if (!by_libcrypto)
		return open_without(to, p, n, out, e);
	memcpy(tag, p + n - SEAL_TAG, SEAL_TAG);
	if (!start(c, to, p, false) ||
	    c->lib->EVP_CipherUpdate(c->gcm, out, &got, p + SEAL_NONCE,
				     (int)(n - SEAL_OVERHEAD)) != 1 ||
	    c->lib->EVP_CIPHER_CTX_ctrl(c->gcm, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG,
					tag) != 1)
		return err_set(e, ERR_NO_MEMORY,
			       "libcrypto cannot decrypt: out of memory");
	/* The one thing that compares the tag. */
	if (c->lib->EVP_CipherFinal_ex(c->gcm, out + n - SEAL_OVERHEAD, &got) !=
	    1)
		return err_set(e, ERR_CORRUPT, FORGED);
	return 0;
}
