#include "service/catalog_hash.h"

#include <sodium.h>

#include "base/text.h"

void catalog_hash(const void *bytes, size_t n, char out[CATALOG_HASH_TEXT])
{
	unsigned char raw[crypto_hash_sha256_BYTES];

	(void)crypto_hash_sha256(raw, bytes, n);
	text_hex(raw, sizeof(raw), out);
}
