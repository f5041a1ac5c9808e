/*
 * Keys for tests of the repository's bottom: fixed ones, so that a failure
 * repeats, without slots or passphrases.
 */
#ifndef TESTS_SUPPORT_REPO_KEYS_H
#define TESTS_SUPPORT_REPO_KEYS_H

#include <string.h>

#include "base/secret.h"
#include "storage/repository/keys.h"

/*
 * Keys of a repository whose id is all repository bytes, with epochs 1 … n
 * and domains 0 and 1.  NULL when that fails.
 */
static inline struct keys *repo_keys(uint8_t repository, uint32_t epochs)
{
	struct keys *k = NULL;
	struct object_id id;
	uint8_t key[KEYS_SIZE];
	struct err e;

	memset(id.b, repository, sizeof(id.b));
	if (secret_start(&e) || keys_new(id, &k, &e))
		return NULL;
	for (uint16_t d = 0; d < 2; d++) {
		memset(key, 0x40 + d + repository, sizeof(key));
		if (keys_add_domain(k, d, key, &e))
			goto failed;
	}
	for (uint32_t i = 1; i <= epochs; i++) {
		memset(key, (int)(0x80 + i + repository), sizeof(key));
		if (keys_add_epoch(k, i, key, &e))
			goto failed;
	}
	return k;
failed:
	keys_free(k);
	return NULL;
}

#endif
