/*
 * Regions whose store guards objects against everyone (stores/store.h): for
 * how long what is written there is guarded (FORMAT.md §9, guard; §10).
 *
 * A snapshot that its policy locks for D is guarded until its receipt plus D,
 * at least: its manifest, its receipt and locks, and the packs and index
 * objects that it needs.  What a session writes is guarded from its beginning
 * on, for D and what is ahead of need: so that the snapshots of some time to
 * come find it guarded for long enough, and need not lengthen it.
 */
#ifndef STORAGE_REPOSITORY_GUARDS_H
#define STORAGE_REPOSITORY_GUARDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/repository.h"

/*
 * How much longer than a lock of so many milliseconds: a quarter of it, a day
 * at least (but no more than the lock itself), 30 days at most.
 */
int64_t guards_ahead_ms(int64_t lock_ms);
/* Until, and what is ahead of need for a lock from then until then. */
struct instant guards_ahead(struct instant from, struct instant until);

/*
 * No snapshot is locked for longer after its receipt: a record that says so is
 * forged, or mistaken, and nobody can undo a guard.  (Ten years, so that a
 * guard with what is ahead of need fits what stores take.)
 */
#define GUARDS_LOCK_MAX_MS (INT64_C(3660) * 86400000)
/* What a collector, a repair or an undelete writes, until a pass lengthens it:
 * whoever needs it, for how long, is known to the pass only. */
#define GUARDS_SHORT_MS (INT64_C(30) * 86400000)

/*
 * Index objects are guarded for no longer than that: most are merged into
 * others soon, and what was merged stays until its guard is over.  What still
 * counts is lengthened, by whoever writes a locked snapshot and by each pass,
 * once so little is left; to GUARDS_SHORT_MS.
 *
 * All that one says can be found in the packs' own directories (`repo check
 * --repair`), at two requests for each pack.  So whoever removes some when
 * nothing has lengthened them for a week, costs a repair, and no data.
 *
 * Superseded index objects that wait, of a source with a snapshot every hour
 * and a collection every day (a simulation of a year, by the rule of
 * index_objects_choose(); of five years in brackets):
 *
 *	guarded for            lock 30 d   lock 3660 d   requests a month
 *	as long as packs             988          9121 (and  35, 31
 *	                                         growing)
 *	30 d, at 15 d again          800           800        2
 *	14 d, at 7 d for 30 d        401           401 (402)  3
 *	7 d, at 3.5 d for 30 d       230           230 (230)  5
 *
 * What a collector merged no record tells of, so that the next snapshot
 * lengthens it at once: 15 more, and a request a day.  Each of them costs
 * whoever opens the index a request.  A week is what a daemon may be away.
 */
#define GUARDS_INDEX_MS	    (INT64_C(14) * 86400000)
#define GUARDS_INDEX_LOW_MS (INT64_C(7) * 86400000)
/* Less than that, and nobody lengthens them: who checks tells so. */
#define GUARDS_INDEX_LEAST_MS INT64_C(86400000)

/*
 * Where what snapshots need is to be guarded until need (and then until goal),
 * index objects are until the earlier of the two; then, that goal.
 */
struct instant guards_index_need(struct instant need, struct instant now);
struct instant guards_index_goal(struct instant goal, struct instant now);
/* And who checks takes what is guarded for less for guarded too briefly. */
struct instant guards_index_judged(struct instant need, struct instant now);

/* Until when what a snapshot needs has to be guarded; 0: it need not be. */
struct instant guards_need(const struct repository_snapshot *s,
			   struct instant now) NONNULL(1);

/*
 * From now on new objects of r are guarded until then; when that is over, none
 * are.  1; 0 when the store guards nothing, or none are to be guarded; -1.
 * Before other threads use r.
 */
int guards_begin(struct repository *r, struct instant until, struct instant now,
		 struct err *e) NONNULL(1, 4) MUST_CHECK;
/*
 * The same, for what may be what some snapshot that is locked needs: as long as
 * any lock of one that exists, but for GUARDS_SHORT_MS at most.  What it stands
 * for keeps its own guard.  Costs a look at all snapshots.
 */
int guards_begin_short(struct repository *r, struct instant now, struct err *e)
	NONNULL(1, 3) MUST_CHECK;

/*
 * What guard records say, so that nobody has to ask the store about each
 * object: as damaged or lost ones only say less, what is not known is guarded
 * again.
 */
struct guards;
int guards_read(struct store *s, const struct keys *k, struct guards **ret,
		struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
void guards_free(struct guards *x);
DEFINE_CLEANUP(struct guards *, guards_free);
/*
 * Until when a pack or an index object is guarded, at least; of a snapshot:
 * all that it needs.  0 when nothing is known.
 */
struct instant guards_until(struct guards *x, struct object_id id) NONNULL(1);
/* The id by which the region's config, slots and keyrings, as they are listed
 * now, are known. */
int guards_keys_id(struct store *s, const struct keys *k, struct object_id *ret,
		   struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* Write down that these are guarded until then; zeros: that they are held. */
int guards_note(struct store *s, const struct keys *k,
		const struct object_id *ids, size_t n, struct instant until,
		struct instant now, struct err *e) NONNULL(1, 2, 7) MUST_CHECK;

/*
 * What is known of one snapshot without asking about each object: a listing,
 * and as many readings as there are records.
 */
struct guards_of {
	const char *mode;     /* store_guard_mode(); NULL: it guards nothing */
	struct instant until; /* all that it needs, at least; 0: not known */
	bool held;
};
int guards_of_snapshot(struct repository *r, struct object_id snapshot,
		       struct guards_of *ret, struct err *e) NONNULL(1, 3, 4)
	MUST_CHECK;

/*
 * A copy whose writer died before it put the lock that names its session: put
 * it (for this region alone when s->lock_is_here), once it is certain that the
 * session was not given up.  1 and (when
 * ret_name is not NULL) what it is called; 0 when it was.
 */
int guards_lock(struct repository *r, const struct repository_snapshot *s,
		struct instant until, struct instant now,
		struct object_name *ret_name, struct err *e) NONNULL(1, 2, 6)
	MUST_CHECK;

/* Many objects, several at a time. */
struct guards_bulk;
/* Told of each that is guarded now, by who adds and runs; 0, or -1 to end. */
typedef int guards_bulk_done(void *arg, const char *name, struct instant until,
			     struct err *e);
/* done may be NULL. */
int guards_bulk_new(struct store *s, guards_bulk_done *done, void *arg,
		    struct guards_bulk **ret, struct err *e) NONNULL(1, 4, 5)
	MUST_CHECK;
void guards_bulk_free(struct guards_bulk *b);
DEFINE_CLEANUP(struct guards_bulk *, guards_bulk_free);
int guards_bulk_add(struct guards_bulk *b, const char *name,
		    struct instant until, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;
/*
 * Guard all that were added, and forget them; *ret (may be NULL) is how many
 * were there.  -1 with the first failure when any could not be: all others are,
 * unless many in a row could not.
 */
int guards_bulk_run(struct guards_bulk *b, uint64_t *ret, struct err *e)
	NONNULL(1, 3) MUST_CHECK;

/*
 * Guard what the snapshots that are locked need, until that is over, and for
 * the newest of each source with what is ahead of need, so that those to come
 * find it guarded; and hold what those need that are under a hold.  What
 * records say is so is not asked of the store.
 */
struct guards_options {
	struct instant now;
	/* Release what no hold is on any more: for who releases a hold. */
	bool release;
	/* Change nothing, believe no record, and ask the store about each
	 * object: what is guarded too briefly is found. */
	bool ask;
	/* With ask: of these objects only; NULL: of all.  Each chunk is still
	 * sought in all packs that have it. */
	bool (*wanted)(void *arg, const char *name);
	/* What this snapshot needs, if it is locked or held; NULL: all. */
	const struct object_id *only;
	/* With ask: so many have answered.  May be NULL. */
	void (*progress)(void *arg, uint64_t asked);
	void *arg;
	/* Believe no record: guard and hold again all that has to be, and
	 * write down anew what is. */
	bool afresh;
	const char *scratch; /* folder for unlinked files; NULL: default */
	/* Polled; true ends with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
};
/* At most so many are told; all are counted. */
#define GUARDS_FINDINGS_MAX 64
struct guards_finding {
	char object[STORE_NAME_MAX + 1];
	struct object_id snapshot; /* the one that needs it longest */
	struct instant until;	   /* that it is guarded; or 0 */
	struct instant need;
	bool unheld; /* it has to be held, and is not */
};
struct guards_result {
	bool can;	    /* the store guards objects: else nothing is done */
	uint64_t snapshots; /* that are locked or held */
	uint64_t objects;   /* that these need */
	uint64_t lengthened; /* each a request or two */
	uint64_t held;
	uint64_t released;
	/* With ask. */
	uint64_t asked;	      /* of the objects */
	uint64_t too_short;   /* objects */
	struct instant least; /* that any is guarded; 0: none was asked for */
	struct guards_finding findings[GUARDS_FINDINGS_MAX];
};
/*
 * Beside anybody at work.  What is damaged or missing is passed over.  -1 when
 * something could not be guarded, or when the disk refuses, or a lock or a hold
 * that does not open keeps secret, what has to be: what could be is, and *ret
 * says what.
 */
int guards_run(struct repository *r, const struct guards_options *o,
	       struct guards_result *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif
