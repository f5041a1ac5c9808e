#include "storage/repository/hash.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/openssl.h"
#include "base/secret.h"
#include "storage/repository/hmac_lane.h"

#define BLOCK 64

/* What hashing of a text costs beside its bytes, in bytes; and how much less a
 * byte takes libcrypto than libsodium. */
#define START_COST 256
#define SAVED_NS   5

_Static_assert(HASH_SIZE == crypto_auth_hmacsha256_BYTES, "SHA-256");
_Static_assert(KEYS_SIZE <= BLOCK, "longer keys would be hashed first");

/* A key, as it is and as HMAC wants it (RFC 2104). */
struct pads {
	uint8_t key[KEYS_SIZE];
	uint8_t inner[BLOCK];
	uint8_t outer[BLOCK];
	struct hmac_lane lane;
};

/*
 * Of libcrypto the digest is fetched once and the context is started again for
 * each half of each text: copying a prepared context instead allocates with
 * every copy in OpenSSL 3.0, and costs more than the two blocks it saves.
 */
struct hash {
	struct pads *pads;
	bool by_instructions;
	const struct openssl_crypto *lib; /* or NULL: it is not here */
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
};

void hash_free(struct hash *h)
{
	if (!h)
		return;
	if (h->lib) {
		h->lib->EVP_MD_CTX_free(h->digest); /* and wipe it */
		h->lib->EVP_MD_free(h->sha256);
	}
	secret_free(h->pads);
	free(h);
}

void hash_use(struct hash *h, const uint8_t key[KEYS_SIZE])
{
	struct pads *p = h->pads;

	memcpy(p->key, key, KEYS_SIZE);
	for (size_t i = 0; i < BLOCK; i++) {
		const uint8_t b = i < KEYS_SIZE ? key[i] : 0;

		p->inner[i] = b ^ 0x36;
		p->outer[i] = b ^ 0x5c;
	}
}

static void without_libcrypto(const struct pads *p, const struct hmac_text *t,
			      uint8_t out[HASH_SIZE])
{
	crypto_auth_hmacsha256_state state;

	(void)crypto_auth_hmacsha256_init(&state, p->key, KEYS_SIZE);
	if (t->tag)
		(void)crypto_auth_hmacsha256_update(&state, t->tag, 1);
	if (t->n)
		(void)crypto_auth_hmacsha256_update(&state, t->bytes, t->n);
	(void)crypto_auth_hmacsha256_final(&state, out);
	secret_wipe(&state, sizeof(state));
}

static void by_instructions(struct pads *p, const struct hmac_text *t,
			    uint8_t out[HASH_SIZE])
{
	hmac_lane_begin(&p->lane, p->key, t);
	while (hmac_lane_more(&p->lane))
		hmac_lane_alone(&p->lane);
	hmac_lane_digest(&p->lane, out);
}

/* What makes names and what checks them would agree on a wrong one. */
static int try_out(struct hash *h, struct err *e)
{
	static const uint8_t bytes[300] = "before it is relied upon";
	const struct hmac_text t = { .tag = bytes,
				     .bytes = bytes,
				     .n = sizeof(bytes) };
	uint8_t got[HASH_SIZE], want[HASH_SIZE];

	by_instructions(h->pads, &t, got);
	without_libcrypto(h->pads, &t, want);
	if (memcmp(got, want, HASH_SIZE) == 0)
		return 0;
	return err_set(e, ERR_BUG,
		       "two ways to compute SHA-256 differ on this machine: "
		       "it is not to be trusted");
}

int hash_new(const uint8_t key[KEYS_SIZE], struct hash **ret, struct err *e)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return err_oom(e);
	h->pads = secret_new(sizeof(*h->pads));
	if (!h->pads) {
		hash_free(h);
		return err_oom(e);
	}
	hash_use(h, key);
	h->by_instructions = sha256_two_here();
	if (h->by_instructions && try_out(h, e)) {
		hash_free(h);
		return -1;
	}
	*ret = h;
	return 0;
}

static bool bring_libcrypto(struct hash *h)
{
	struct err e;

	h->lib = openssl_crypto(&e);
	if (!h->lib)
		return false;
	if (!h->digest)
		h->digest = h->lib->EVP_MD_CTX_new();
	if (!h->sha256)
		h->sha256 = h->lib->EVP_MD_fetch(NULL, "SHA256", NULL);
	return h->digest && h->sha256;
}

static bool half(struct hash *h, const uint8_t pad[BLOCK],
		 const struct hmac_text *t, uint8_t out[HASH_SIZE])
{
	const struct openssl_crypto *lib = h->lib;
	EVP_MD_CTX *d = h->digest;

	return lib->EVP_DigestInit_ex2(d, h->sha256, NULL) == 1 &&
	       lib->EVP_DigestUpdate(d, pad, BLOCK) == 1 &&
	       (!t->tag || lib->EVP_DigestUpdate(d, t->tag, 1) == 1) &&
	       (t->n == 0 || lib->EVP_DigestUpdate(d, t->bytes, t->n) == 1) &&
	       lib->EVP_DigestFinal_ex(d, out, NULL) == 1;
}

static int make(struct hash *h, const struct hmac_text *t,
		uint8_t out[HASH_SIZE], struct err *e)
{
	uint8_t inner[HASH_SIZE];
	const struct hmac_text again = { .bytes = inner, .n = sizeof(inner) };

	if (h->by_instructions) {
		by_instructions(h->pads, t, out);
		return 0;
	}
	if (!(h->sha256 && h->digest) &&
	    !(openssl_pays((START_COST + t->n) * SAVED_NS) &&
	      bring_libcrypto(h))) {
		without_libcrypto(h->pads, t, out);
		return 0;
	}
	if (!half(h, h->pads->inner, t, inner) ||
	    !half(h, h->pads->outer, &again, out))
		return err_set(
			e, ERR_NO_MEMORY,
			"libcrypto cannot compute SHA-256: out of memory");
	return 0;
}

int hash_bytes(struct hash *h, const void *bytes, size_t n,
	       uint8_t out[HASH_SIZE], struct err *e)
{
	const struct hmac_text t = { .bytes = bytes, .n = n };

	return make(h, &t, out, e);
}

int hash_tagged(struct hash *h, uint8_t tag, const void *bytes, size_t n,
		uint8_t out[HASH_SIZE], struct err *e)
{
	const struct hmac_text t = { .tag = &tag, .bytes = bytes, .n = n };

	return make(h, &t, out, e);
}
