/*
 * Who may open the repository: slots and keyring generations (FORMAT.md §3).
 *
 * Each owner's key file or passphrase opens a slot; the slot's private key
 * opens the newest keyring; the keyring holds the epochs and domains.  Losing
 * every slot loses the repository: there is no other way in and no default
 * key.
 */
#ifndef STORAGE_REPOSITORY_KEYRING_H
#define STORAGE_REPOSITORY_KEYRING_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/keys.h"
#include "storage/stores/store.h"

enum keyring_slot_type { KEYRING_KEY_FILE = 1, KEYRING_PASSPHRASE = 2 };

/* What an owner brings.  Lives in locked memory. */
struct keyring_credential;

/*
 * The key in a key file (`snapctl-key-1`, base64).  ERR_NOT_FOUND, ERR_USAGE
 * when it is no key file; a file that others can read is refused with
 * ERR_DENIED and the chmod that mends it.
 */
int keyring_credential_key_file(const char *path,
				struct keyring_credential **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Makes the key file (0600, durable) with a fresh key; ERR_EXISTS. */
int keyring_credential_make_key_file(const char *path,
				     struct keyring_credential **ret,
				     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * The first line of a file ("-": standard input), without its newline.  As a
 * key file it must be readable by its owner alone; a pipe may be anything.
 */
int keyring_credential_passphrase_file(const char *path,
				       struct keyring_credential **ret,
				       struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
void keyring_credential_free(struct keyring_credential *c);
DEFINE_CLEANUP(struct keyring_credential *, keyring_credential_free);

/*
 * Make a new repository in an empty store: config, a slot, and last keyring
 * generation 1 with one epoch and domain 0, by which it becomes a repository.
 * What an interrupted init left (config, slots, no keyring) is taken over.
 * ERR_EXISTS when there is a repository, or anything else; of two that run at
 * the same moment one succeeds and the other finds ERR_EXISTS.
 */
int keyring_init(struct store *s, const struct keyring_credential *c,
		 const char *label, struct instant now, struct keys **ret,
		 struct err *e) NONNULL(1, 2, 3, 5, 6) MUST_CHECK;

/*
 * Open: ERR_NOT_FOUND when there is no repository, ERR_NEWER, ERR_BAD_KEY
 * when the credential opens no slot, ERR_CORRUPT.  Changes nothing.
 */
int keyring_open(struct store *s, const struct keyring_credential *c,
		 struct keys **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/*
 * The current epoch of the repository as its newest keyring says in the open:
 * for those who opened it before and must know whether a key was revoked
 * since.  Whoever can write to the store could lie.  Reads one small object.
 */
int keyring_epoch(struct store *s, uint32_t *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* The same; while the newest one is that of k, by its name alone. */
int keyring_epoch_since(struct store *s, const struct keys *k, uint32_t *ret,
			struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

struct keyring_slot {
	struct object_id id;
	enum keyring_slot_type type;
	char label[128];
	struct instant added;
	bool is_yours; /* the credential at hand opens it */
};
typedef int keyring_visit(void *arg, const struct keyring_slot *slot,
			  struct err *e);

/* The slots that the newest keyring names, in the order they were added. */
int keyring_list(struct store *s, const struct keyring_credential *c,
		 keyring_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;
/*
 * Add a slot for fresh; ERR_EXISTS when it opens one already.  A rival change
 * at the same moment is retried on top of it.  Killed anywhere, the repository
 * opens as before or with both; what may be left is a slot that opens nothing.
 */
int keyring_add(struct store *s, const struct keyring_credential *c,
		const struct keyring_credential *fresh, const char *label,
		struct instant now, struct object_id *ret_slot, struct err *e)
	NONNULL(1, 2, 3, 4, 6, 7) MUST_CHECK;
/*
 * Revoke a slot and open a new epoch for the others.  The last slot, and the
 * one that c opens itself, cannot be revoked (ERR_USAGE).  Killed anywhere,
 * the repository opens with the remaining slots; repeating it finishes it.
 */
int keyring_revoke(struct store *s, const struct keyring_credential *c,
		   struct object_id slot, struct instant now, struct err *e)
	NONNULL(1, 2, 5) MUST_CHECK;

/*
 * Make `to` a further region of the repository at `from`, opened by c: slots,
 * keyrings, and config last, byte for byte; or, when it is one, bring its
 * keys up to date, revocations included.  ERR_EXISTS when it holds anything
 * else; ERR_CORRUPT, with nothing changed there, when its keys were changed on
 * their own: a generation is replaced or removed only by one that came from
 * it.  A region whose keyring came from that of `from` and is newer is left
 * alone.  Killed anywhere, the next call finishes it.
 */
int keyring_copy(struct store *from, struct store *to,
		 const struct keyring_credential *c, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
