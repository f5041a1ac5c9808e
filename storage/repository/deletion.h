/*
 * Deleting snapshots, and taking it back (FORMAT.md §9).
 *
 * Deleting writes a tombstone: the snapshot stays restorable until a
 * collector removes, after the grace period, what nothing else needs.  Holds
 * and locks are obeyed here, so that every deleter obeys them, with or
 * without the daemon.  Nothing is ever removed by this module.
 */
#ifndef STORAGE_REPOSITORY_DELETION_H
#define STORAGE_REPOSITORY_DELETION_H

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/record.h"
#include "storage/repository/repository.h"

/* The default grace period (design §9). */
#define DELETION_GRACE_MS (24LL * 3600 * 1000)

struct deletion {
	struct instant now;
	int64_t grace_ms;
	const char *by;	    /* who asked */
	const char *reason; /* "" for none */
	bool this_region;   /* the tombstone is copied to no other */
};

/*
 * Whether a snapshot of which that is known may be deleted: ERR_DENIED when it
 * is held or locked (the message says which and until when).
 */
int deletion_may(const struct repository_snapshot *s, struct instant now,
		 struct err *e) NONNULL(1, 3) MUST_CHECK;
/*
 * Delete a snapshot: ERR_DENIED as deletion_may(), also by what came since s
 * was listed.  One that is deleted
 * already stays as it is: 0; one that is deleted in this region only, or by
 * rules, is then deleted in all.
 */
int deletion_delete(struct repository *r, const struct repository_snapshot *s,
		    const struct deletion *d, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/*
 * Whether retention deleted, by a policy's rules: such deletions were of all
 * regions before these could keep by rules of their own, and are each region's
 * own matter since (FORMAT.md §9), whatever their scope.
 */
#define DELETION_SERVICE   "snapctld"
#define DELETION_RULES_MAX 200
void deletion_rules_reason(char out[DELETION_RULES_MAX], const char *policy,
			   int64_t version) NONNULL(1, 2);
bool deletion_is_by_rules(const struct record *tombstone) NONNULL(1);

/*
 * Take a deletion back, through the writer's protocol: with a session open,
 * every chunk that the snapshot reaches is looked up, marked packs counting
 * as absent; then its manifest is published anew under that session, and the
 * tombstones are revoked.  ERR_NOT_FOUND when it is not deleted or something
 * is gone already; ERR_BUSY when a collector gave the session up: whether it
 * is deleted still depends on what that collector saw.
 */
int deletion_undelete(struct repository *r, const struct repository_snapshot *s,
		      const struct deletion *d, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * Lengthen a snapshot's lock; a time that is no later changes nothing.  Its
 * manifest is one that was acknowledged, and now counts whatever voids say.
 */
int deletion_lock(struct repository *r, const struct repository_snapshot *s,
		  struct instant until, const char *by, struct instant now,
		  struct err *e) NONNULL(1, 2, 4, 6) MUST_CHECK;

/*
 * The same for this region alone: where regions are locked by rules of their
 * own, each copy has a lock of its own (replicate.h).
 */
int deletion_lock_here(struct repository *r,
		       const struct repository_snapshot *s,
		       struct instant until, const char *by, struct instant now,
		       struct err *e) NONNULL(1, 2, 4, 6) MUST_CHECK;

/* A legal hold on snapshots, or on all of a source. */
struct deletion_hold {
	struct object_id id; /* as in another region; zeros: a new one */
	const struct object_id *snapshots;
	size_t n_snapshots;
	const char *source; /* NULL: none */
	const char *case_name;
	const char *custodian;
	const char *by;
	struct instant now;
};
int deletion_hold(struct repository *r, const struct deletion_hold *h,
		  struct object_id *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* ERR_NOT_FOUND when there is no such hold in force. */
int deletion_release(struct repository *r, struct object_id hold,
		     const char *by, struct instant now, struct err *e)
	NONNULL(1, 3, 5) MUST_CHECK;

#endif
