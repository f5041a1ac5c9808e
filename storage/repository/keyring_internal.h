/*
 * The bytes of config, slots and keyrings (FORMAT.md §3), apart from how they
 * are brought up to date.  Private to this folder, its tests and fuzzers.
 */
#ifndef STORAGE_REPOSITORY_KEYRING_INTERNAL_H
#define STORAGE_REPOSITORY_KEYRING_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "storage/repository/keyring.h"
#include "storage/repository/object.h"
#include "storage/repository/seal.h"

#define KEYRING_CHECK	    32 /* BLAKE2b-256 at the end of each object */
#define KEYRING_CONFIG_SIZE (32 + KEYRING_CHECK)
#define KEYRING_SALT	    16
#define KEYRING_PUBLIC	    32
#define KEYRING_PRIVATE	    32
#define KEYRING_SLOT_FIXED  (1 + 4 + 4 + KEYRING_SALT + KEYRING_PUBLIC)
#define KEYRING_SLOT_SIZE                                          \
	(OBJECT_HEADER_SIZE + KEYRING_SLOT_FIXED + SEAL_OVERHEAD + \
	 KEYRING_PRIVATE + KEYRING_CHECK)
#define KEYRING_SHARE	  80 /* the ring key in a sealed box */
#define KEYRING_SLOTS_MAX 256
#define KEYRING_MAX	  ((size_t)1 << 20) /* a whole keyring object */
/* Each but the first added a slot or an epoch: those end at 2,302. */
#define KEYRING_GENERATIONS_MAX 4096

#define KEYRING_PASSPHRASE_MAX 4096

struct keyring_credential {
	enum keyring_slot_type type;
	uint8_t key[KEYS_SIZE]; /* of a key file */
	size_t len;		/* of a passphrase */
	char passphrase[KEYRING_PASSPHRASE_MAX];
};
/* The key in the text of a key file.  ERR_USAGE. */
int keyring_credential_parse(const char *text, size_t n, uint8_t key[KEYS_SIZE],
			     struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

/* The opened newest keyring.  Lives in locked memory. */
struct ring_epoch {
	uint32_t number;
	uint8_t key[KEYS_SIZE];
	struct instant created;
};
struct ring_domain {
	uint16_t number;
	uint8_t secret[KEYS_SIZE];
};
struct ring_slot {
	struct keyring_slot info; /* is_yours: it opened this ring */
	uint8_t public[KEYRING_PUBLIC];
};
struct ring {
	struct object_id repository;
	uint32_t generation;
	uint32_t current;
	size_t n_earlier; /* generation - 1 */
	size_t n_epochs;
	size_t n_domains;
	size_t n_slots;
	struct ring_epoch epochs[KEYS_EPOCHS_MAX];
	struct ring_domain domains[KEYS_DOMAINS_MAX];
	struct ring_slot slots[KEYRING_SLOTS_MAX];
	/* By the checks at their ends: all generations before, and itself. */
	uint8_t earlier[KEYRING_GENERATIONS_MAX - 1][KEYRING_CHECK];
	uint8_t self[KEYRING_CHECK];
};

void keyring_config_encode(struct object_id repository,
			   uint8_t out[KEYRING_CONFIG_SIZE]) NONNULL(2);
int keyring_config_decode(const void *bytes, size_t n,
			  struct object_id *ret_repository, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

/* A fresh key pair, of which c opens the private half. */
int keyring_slot_make(const struct keyring_credential *c,
		      struct object_id repository, struct object_id slot,
		      uint8_t out[KEYRING_SLOT_SIZE],
		      uint8_t ret_public[KEYRING_PUBLIC], struct err *e)
	NONNULL(1, 4, 5, 6) MUST_CHECK;
/*
 * 1 and the key pair when c opens the slot, 0 when it does not, -1 when the
 * slot is damaged, newer, or there is no memory for the derivation.
 */
int keyring_slot_open(const struct keyring_credential *c,
		      struct object_id repository, struct object_id slot,
		      const struct buf *bytes,
		      uint8_t ret_pair[KEYRING_PUBLIC + KEYRING_PRIVATE],
		      struct err *e) NONNULL(1, 4, 5, 6) MUST_CHECK;

/* The public part of a keyring object. */
struct keyring_shell {
	uint32_t generation;
	uint32_t epoch; /* the current one, as the header says */
	size_t n_slots;
	const uint8_t *slots;  /* n_slots times id and share */
	const uint8_t *sealed; /* with its length */
	size_t sealed_len;
	size_t between; /* bytes from the header's end to sealed */
};
int keyring_shell_decode(const struct buf *bytes, uint32_t generation,
			 struct keyring_shell *ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/* The secret part of it, with the key that a slot's share held, into r. */
int keyring_ring_open(const struct buf *bytes,
		      const struct keyring_shell *shell,
		      const uint8_t ring_key[KEYS_SIZE], struct ring *r,
		      struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* The fields within, for the fuzzer. */
int keyring_ring_parse(const void *plain, size_t n, struct ring *r,
		       struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
/*
 * Whether what a store has as generation n is r as it was opened, or one that
 * r came from: only what is may be removed, or outranked, for r's sake.
 */
bool keyring_ring_follows(const struct ring *r, uint64_t n,
			  const struct buf *bytes) NONNULL(1, 3);
/* A whole object for r under a fresh ring key. */
int keyring_ring_encode(const struct ring *r, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* An empty ring, in locked memory. */
struct ring *keyring_ring_new(struct err *e) NONNULL(1);
void keyring_ring_free(struct ring *r);
DEFINE_CLEANUP(struct ring *, keyring_ring_free);
/* The newest keyring of a store into r, opened by c: as keyring_open(). */
int keyring_ring_newest(struct store *s, const struct keyring_credential *c,
			struct ring *r, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif
