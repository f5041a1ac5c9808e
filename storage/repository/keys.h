/*
 * The secrets of an opened repository and the keys derived from them
 * (FORMAT.md §1).  How they were unlocked is keyring.h's business.
 *
 * A struct keys is made once when a repository is opened, lives in locked
 * memory and is read by many threads; nothing changes it afterwards but
 * keys_add_epoch() before it is shared.
 */
#ifndef STORAGE_REPOSITORY_KEYS_H
#define STORAGE_REPOSITORY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/object.h"

#define KEYS_SIZE	 32
#define KEYS_EPOCHS_MAX	 1024
#define KEYS_DOMAINS_MAX 1024

struct keys;

/* Empty, for the repository of that id. */
int keys_new(struct object_id repository, struct keys **ret, struct err *e)
	NONNULL(2, 3) MUST_CHECK;
void keys_free(struct keys *k);
DEFINE_CLEANUP(struct keys *, keys_free);

struct object_id keys_repository(const struct keys *k) NONNULL(1);

/* Epochs count from 1; the highest added is current. */
int keys_add_epoch(struct keys *k, uint32_t epoch, const uint8_t key[KEYS_SIZE],
		   struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
int keys_add_domain(struct keys *k, uint16_t domain,
		    const uint8_t secret[KEYS_SIZE], struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
uint32_t keys_epoch(const struct keys *k) NONNULL(1);
/* The keyring's generation that they are from; 0: not known. */
void keys_set_generation(struct keys *k, uint32_t generation) NONNULL(1);
uint32_t keys_generation(const struct keys *k) NONNULL(1);
/*
 * Whom to ask for the current epoch as it is now, should one be met that is
 * not known here: a key may have been revoked since k was read.
 */
typedef int keys_newest(void *arg, uint32_t *ret, struct err *e);
void keys_ask(struct keys *k, keys_newest *newest, void *arg) NONNULL(1, 2);
/* Whether that epoch came after k was read; false when nobody can tell. */
bool keys_came_later(const struct keys *k, uint32_t epoch) NONNULL(1);
/* Whether epochs and domains that both know have the same keys. */
bool keys_agree(const struct keys *a, const struct keys *b) NONNULL(1, 2);

/*
 * Derived keys, or NULL when the epoch or domain is not known here.  They
 * live as long as k.  Derived when added, so a look-up costs an array access.
 */
const uint8_t *keys_object(const struct keys *k, uint32_t epoch) NONNULL(1);
const uint8_t *keys_data(const struct keys *k, uint16_t domain, uint32_t epoch)
	NONNULL(1);
const uint8_t *keys_id(const struct keys *k, uint16_t domain) NONNULL(1);
const uint8_t *keys_cut(const struct keys *k, uint16_t domain) NONNULL(1);

/* kdf() of FORMAT.md §1. */
void keys_derive(const uint8_t key[KEYS_SIZE], const char *label,
		 const void *rest, size_t n, uint8_t out[KEYS_SIZE])
	NONNULL(1, 2, 5);

#endif
