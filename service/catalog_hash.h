/*
 * The catalog's one hash: SHA-256 as 64 hexadecimal digits, so that anyone
 * with sha256sum can check what the catalog says.
 */
#ifndef SERVICE_CATALOG_HASH_H
#define SERVICE_CATALOG_HASH_H

#include <stddef.h>

#include "base/attr.h"

#define CATALOG_HASH_TEXT 65

void catalog_hash(const void *bytes, size_t n, char out[CATALOG_HASH_TEXT])
	NONNULL(3);

#endif
