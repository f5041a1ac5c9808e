#include "storage/repository/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct hash {
	EVP_MAC *hmac;
	EVP_MAC_CTX *mac; /* its key is set */
};

void hash_free(struct hash *h)
{
	if (!h)
		return;
	EVP_MAC_CTX_free(h->mac);
	EVP_MAC_free(h->hmac);
	free(h);
}

int hash_new(const uint8_t key[KEYS_SIZE], struct hash **ret, struct err *e)
{
	static char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
						 0),
		OSSL_PARAM_construct_end(),
	};
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return err_oom(e);
	h->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (h->hmac)
		h->mac = EVP_MAC_CTX_new(h->hmac);
	if (!h->mac || EVP_MAC_init(h->mac, key, KEYS_SIZE, params) != 1) {
		hash_free(h);
		return err_oom(e);
	}
	*ret = h;
	return 0;
}

int hash_bytes(struct hash *h, const void *bytes, size_t n,
	       uint8_t out[HASH_SIZE], struct err *e)
{
	size_t len;

	/* Without a key: with the one before, from the beginning. */
	if (EVP_MAC_init(h->mac, NULL, 0, NULL) != 1 ||
	    (n && EVP_MAC_update(h->mac, (const uint8_t *)bytes, n) != 1) ||
	    EVP_MAC_final(h->mac, out, &len, HASH_SIZE) != 1 ||
	    len != HASH_SIZE)
		return err_set(e, ERR_NO_MEMORY,
			       "libcrypto cannot compute HMAC: out of memory");
	return 0;
}
