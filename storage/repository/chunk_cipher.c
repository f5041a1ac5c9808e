#include "storage/repository/chunk_cipher.h"

#include <assert.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#define HALF (SEAL_NONCE / 2)
_Static_assert(HALF == 12, "half of the random bytes is GCM's nonce");
_Static_assert(KEYS_SIZE == 32, "AES-256");
_Static_assert(CHUNK_SEALED_MAX < INT_MAX, "libcrypto counts in int");

/*
 * The cipher is fetched and given to the context once: each of that allocates.
 * A key and a nonce, without a cipher, start the context again, in either
 * direction.
 */
struct chunk_cipher {
	EVP_CIPHER *aes;
	EVP_CIPHER_CTX *gcm;
};

int chunk_cipher_new(struct chunk_cipher **ret, struct err *e)
{
	struct chunk_cipher *c = calloc(1, sizeof(*c));

	if (!c)
		return err_oom(e);
	c->aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	c->gcm = EVP_CIPHER_CTX_new();
	if (!c->aes || !c->gcm ||
	    EVP_CipherInit_ex2(c->gcm, c->aes, NULL, NULL, 1, NULL) != 1) {
		chunk_cipher_free(c);
		return err_oom(e);
	}
	*ret = c;
	return 0;
}

void chunk_cipher_free(struct chunk_cipher *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->gcm); /* and wipe it */
	EVP_CIPHER_free(c->aes);
	free(c);
}

/* With the key of that chunk and those random bytes. */
static bool start(struct chunk_cipher *c, const struct chunk_binding *to,
		  const uint8_t random[SEAL_NONCE], bool sealing)
{
	uint8_t rest[CHUNK_ID_SIZE + HALF];
	uint8_t key[KEYS_SIZE];
	bool ok;
	int n;

	memcpy(rest, to->id->b, CHUNK_ID_SIZE);
	memcpy(rest + CHUNK_ID_SIZE, random, HALF);
	keys_derive(to->data_key, "chunk", rest, sizeof(rest), key);
	ok = EVP_CipherInit_ex2(c->gcm, NULL, key, random + HALF, sealing,
				NULL) == 1 &&
	     EVP_CipherUpdate(c->gcm, NULL, &n, to->ad.b, (int)to->ad.len) == 1;
	secret_wipe(key, sizeof(key));
	return ok;
}

int chunk_cipher_seal(struct chunk_cipher *c, const struct chunk_binding *to,
		      uint8_t method, const void *body, size_t n, uint8_t *out,
		      struct err *e)
{
	uint8_t *p = out + SEAL_NONCE;
	int got;

	assert(n <= CHUNK_MAX);
	secret_nonce(out, SEAL_NONCE);
	if (!start(c, to, out, true) ||
	    EVP_CipherUpdate(c->gcm, p, &got, &method, 1) != 1 ||
	    (n > 0 &&
	     EVP_CipherUpdate(c->gcm, p + 1, &got, body, (int)n) != 1) ||
	    EVP_CipherFinal_ex(c->gcm, p + 1 + n, &got) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c->gcm, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG,
				p + 1 + n) != 1)
		return err_set(e, ERR_NO_MEMORY,
			       "libcrypto cannot encrypt: out of memory");
	return 0;
}

int chunk_cipher_open(struct chunk_cipher *c, const struct chunk_binding *to,
		      const void *sealed, size_t n, uint8_t *out, struct err *e)
{
	const uint8_t *p = sealed;
	uint8_t tag[SEAL_TAG];
	int got;

	assert(n > SEAL_OVERHEAD && n <= CHUNK_SEALED_MAX);
	memcpy(tag, p + n - SEAL_TAG, SEAL_TAG);
	if (!start(c, to, p, false) ||
	    EVP_CipherUpdate(c->gcm, out, &got, p + SEAL_NONCE,
			     (int)(n - SEAL_OVERHEAD)) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c->gcm, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, tag) !=
		    1)
		return err_set(e, ERR_NO_MEMORY,
			       "libcrypto cannot decrypt: out of memory");
	/* The one thing that compares the tag. */
	if (EVP_CipherFinal_ex(c->gcm, out + n - SEAL_OVERHEAD, &got) != 1)
		return err_set(e, ERR_CORRUPT, "it fails authentication");
	return 0;
}
