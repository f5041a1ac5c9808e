/*
 * An opened repository in one region: its store, keys and index, and which
 * snapshots exist there.
 *
 * Opening reads config, slots and keyring; the index is opened when first
 * asked for, so that `ls` of the snapshots stays cheap.  Everything here is
 * safe to use from many threads once opened.
 */
#ifndef STORAGE_REPOSITORY_REPOSITORY_H
#define STORAGE_REPOSITORY_REPOSITORY_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/index.h"
#include "storage/repository/keyring.h"
#include "storage/repository/keys.h"
#include "storage/repository/manifest.h"
#include "storage/repository/record.h"
#include "storage/stores/store.h"

struct repository;

/* ERR_NOT_FOUND, ERR_BAD_KEY, ERR_NEWER, ERR_CORRUPT; changes nothing. */
int repository_open(const char *url, const struct keyring_credential *c,
		    struct repository **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* The same on an open store, which is then r's; also when this fails. */
int repository_open_on(struct store *s, const struct keyring_credential *c,
		       struct repository **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void repository_close(struct repository *r);
DEFINE_CLEANUP(struct repository *, repository_close);

struct store *repository_store(struct repository *r) NONNULL(1);
const struct keys *repository_keys(const struct repository *r) NONNULL(1);
/*
 * The index for readers, with quarantined chunks hidden.  Opened at the first
 * call; lives as long as r, and knows what others stored since only by
 * repository_index_add().
 * What is damaged in an index object is left out (check.h tells of it):
 * whoever decides what may be deleted opens a set of its own and refuses.
 */
int repository_index(struct repository *r, struct index_set **ret,
		     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * An index of the caller's own, as the region has it at this moment: writers
 * must not believe what was read before their session (FORMAT.md §10), rely on
 * nothing that is in doubt, and hide packs that readers still need.  Damage is
 * left out of it, too: index_set_is_whole() tells.
 */
int repository_index_open(struct repository *r, bool rely,
			  struct index_set **ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/* Let readers of r see an index object that was just committed. */
int repository_index_add(struct repository *r, struct object_id index,
			 struct err *e) NONNULL(1, 3) MUST_CHECK;

/* What is true of a snapshot besides its manifest. */
struct repository_snapshot {
	struct manifest manifest;
	bool has_receipt;
	struct instant received; /* the receipt's time, else manifest.ended */
	unsigned int clock;	 /* enum record_clock of the receipt, or 0 */
	bool deleted;		 /* a tombstone that nothing revokes */
	struct instant deleted_at;
	/* Deleted, and no tombstone says more than that: of this region alone,
	 * or by its rules. */
	bool this_region;
	struct instant restorable_until; /* when deleted */
	bool in_doubt;			 /* an undelete of it does not open */
	bool deletion_unread;		 /* a tombstone of it does not open */
	bool held;
	bool held_in_doubt; /* as a hold does not open, which may be on it */
	bool locked; /* locked_until is in the future of nobody's clock */
	struct instant locked_until;
	bool locked_elsewhere; /* by another region's session, too */
	bool lock_is_ours; /* one names the session whose manifest this is */
	bool lock_is_here; /* one says nothing of other regions */
	/* By those that say something of other regions, too. */
	bool locked_for_all;
	struct instant locked_for_all_until;
	/* Why a lock, a hold or a tombstone does not open that may be on it:
	 * errno, or 0 when it is damage. */
	int unread_sys;
};

/*
 * Visit the snapshots that exist, in order of receipt time (ties: by id),
 * deleted ones included only when asked for.  A manifest that does not open
 * is given to damaged (NULL: skip it and go on).  The visited struct is
 * borrowed; keep what you need with repository_snapshot_take().
 */
typedef int repository_visit(void *arg, struct repository_snapshot *s,
			     struct err *e);
typedef int repository_damaged(void *arg, const char *name,
			       const struct err *why, struct err *e);
int repository_snapshots(struct repository *r, bool with_deleted,
			 repository_visit *visit, repository_damaged *damaged,
			 void *arg, struct err *e) NONNULL(1, 3, 6) MUST_CHECK;

/*
 * Ask now for what repository_snapshots() lists, where a request takes long:
 * each listing but that of undeletes is then of any moment since, in whatever
 * order, so that a snapshot may seem deleted and not held, or locked, although
 * the hold came before the tombstone.  For readers, who copies being one, and
 * for who looks for a parent.  Not for who decides what may be deleted, but
 * where that is asked anew of each snapshot before anything goes, as collectors
 * do (gc_reconsider()).  For store_ask_done(), when it is back.
 */
struct store_asked *repository_ask_snapshots(struct repository *r) NONNULL(1);

/*
 * Whether a snapshot is deleted as of now: 1; 0 when it is not, or when an
 * undelete of it does not open; -1.  Costs three listings and a GET a record.
 */
int repository_is_deleted(struct repository *r, struct object_id snapshot,
			  struct err *e) NONNULL(1, 3) MUST_CHECK;

/*
 * Whether a manifest of it is there that counts as of now, deleted or not: 1,
 * 0, -1.  Manifests are not opened: costs two listings, and the voids of their
 * sessions.  Who lacks what a snapshot needs asks, too: collectors remove
 * manifests first.
 */
int repository_counts(struct repository *r, struct object_id snapshot,
		      struct err *e) NONNULL(1, 3) MUST_CHECK;

void repository_snapshot_done(struct repository_snapshot *s) NONNULL(1);
/*
 * Add to *s the holds and locks that came since it was visited.  Only its id
 * and source are looked at.  Costs two listings, a GET a hold and a GET a lock
 * of this snapshot.
 */
int repository_snapshot_guards(struct repository *r,
			       struct repository_snapshot *s, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
static inline void
cleanup_repository_snapshot_done(struct repository_snapshot *s)
{
	repository_snapshot_done(s);
}

/*
 * The snapshot that a person means (design §10): a whole id, a unique prefix
 * of one, or "latest": the newest complete one, of source when
 * that is not NULL.  With several sources and no name, "latest" is ERR_USAGE
 * and lists them.  *ret_newer_partial (may be NULL) is the id of a partial
 * one that is newer than latest, or zero.  ERR_NOT_FOUND tells the nearest.
 * A manifest that does not open is no snapshot that is missing: by its id,
 * and for "latest" when its receipt does not show that it is older or a
 * tombstone that it is deleted, ERR_CORRUPT (or ERR_NEWER), with the newest
 * sound one in the hint.
 */
int repository_find(struct repository *r, const char *text, const char *source,
		    bool with_deleted, struct repository_snapshot *ret,
		    struct object_id *ret_newer_partial, struct err *e)
	NONNULL(1, 2, 5, 7) MUST_CHECK;

#endif
