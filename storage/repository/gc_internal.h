/*
 * Private to gc*.c.  One collection, in the order of FORMAT.md §10:
 *
 *	gc.c		the order of the steps
 *	gc_listing.c	whether what is listed is all there is: inventories
 *	gc_wait.c	announce, wait, fence, void
 *	gc_marks.c	mark, census, delete, and marks that are spent
 *	gc_survey.c	judge, look again: snapshots, packs, sums
 *	gc_choose.c	which packs are rewritten, which may be marked
 *	gc_live.c	which chunks the snapshots need
 *	gc_copy.c	copy
 *	gc_merge.c	clean: few index objects, without what is gone
 *	gc_guarded.c	what the store does not let go yet
 */
#ifndef STORAGE_REPOSITORY_GC_INTERNAL_H
#define STORAGE_REPOSITORY_GC_INTERNAL_H

#include "base/filemap.h"
#include "storage/repository/beat.h"
#include "storage/repository/gc.h"
#include "storage/repository/index.h"
#include "storage/repository/pack.h"
#include "storage/repository/record.h"

/* As sessions aim at (writer.c). */
#define GC_DATA_PACK_BYTES ((uint64_t)32 << 20)
#define GC_META_PACK_BYTES ((uint64_t)8 << 20)
/* A census, or a mark, of more is written as several. */
#define GC_IDS_MAX ((size_t)RECORD_IDS_MAX)

/* Ids in a growing array, sorted when asked for. */
struct gc_ids {
	struct object_id *v;
	size_t n, room;
};
int gc_ids_add(struct gc_ids *l, struct object_id id, struct err *e)
	NONNULL(1, 3) MUST_CHECK;
void gc_ids_sort(struct gc_ids *l) NONNULL(1);
bool gc_ids_has(const struct gc_ids *l, struct object_id id) NONNULL(1);
void gc_ids_done(struct gc_ids *l) NONNULL(1);

/* A mark of any collector, as it was read before we waited. */
struct gc_mark {
	struct object_id id;
	struct instant time;
	struct gc_ids ids; /* packs and superseded index objects */
	bool has_census;
	struct gc_ids census; /* sessions that were there when it was */
	bool due;	      /* its grace period is over */
	bool blocked;	      /* a session of its census is alive */
};

/* Key: pack id. */
struct gc_pack {
	uint64_t size;	     /* of the object */
	uint64_t bytes;	     /* sealed, of all chunks that the index names */
	uint64_t live_bytes; /* of those of which it is the holder */
	uint32_t live;	     /* such chunks */
	uint32_t entries;    /* of the index that name it */
	uint8_t kind;	     /* enum object_kind */
	bool listed;
	bool marked;	  /* by anybody */
	bool marked_well; /* by somebody whose clock is not far ahead */
	bool asked;	  /* whether it is there, though it was not listed */
	bool due;	  /* by a mark whose time has come */
	bool pinned;	  /* who reads a snapshot needs something of it */
	bool underway;	  /* of a session that is alive */
	bool keeps_lost;  /* all that is left of a chunk that is needed */
	bool named_still; /* by an index object that is ignored, but there */
	bool quarantined; /* wholly */
	bool rewrite;	  /* what is live in it moves */
	bool locked;	  /* nothing needs it, and it may not go yet */
	bool held;	  /* guards_run(): a snapshot that is held needs it */
	uint32_t rank;	  /* guards_run(): from 1, of who needs it; 0: nobody */
};

struct gc_live;

struct gc_snapshot {
	struct object_id id;
	struct object_id session; /* of its manifest */
	struct manifest_root tree;
	struct manifest_root hints;
	struct chunk_id error_list;
	bool has_errors;
	bool dead;     /* deleted, past its time, and nobody reads it */
	char *source;  /* of a dead one */
	bool pinned;   /* somebody reads it */
	uint32_t rank; /* guards_run(): from 1 */
};

struct gc_pin {
	struct object_id id;
	struct gc_ids snapshots; /* none: all */
	char host[RECORD_TEXT_MAX + 1];
};

struct gc {
	struct repository *r;
	struct store *store;
	const struct keys *keys;
	const struct gc_options *o;
	struct gc_result *out;
	int64_t lease_ms;
	int64_t begun_ms; /* of the boot-time clock */
	bool can_guard;	  /* the store */
	/* guards_run(): nothing goes, so that what is damaged or missing is
	 * passed over; and of each chunk the rank of who needs it is kept. */
	bool guarding;
	struct err unread; /* the first that was, as the disk refused it */
	bool blind;	   /* one that is held may need more than was seen */

	struct object_id session;
	bool is_listed; /* our session, by some listing */
	struct beat *beat;

	struct gc_mark *marks;
	size_t n_marks;

	/* Who else is here, as last asked: gc_wait(). */
	struct gc_ids sessions; /* alive, or not known not to be */
	struct gc_ids ended;	/* fenced and voided: they count no more */

	/* A survey: gc_survey(). */
	struct index_set *index;
	struct filemap *packs;
	struct filemap *given_up; /* key: chunk id ‖ pack id */
	struct filemap *lost;	  /* key: chunk id that a quarantine names */
	struct gc_live *live;
	struct gc_snapshot *snapshots;
	size_t n_snapshots;
	struct gc_pin *pins;
	size_t n_pins;
	struct gc_ids others;  /* sessions, listed after the packs */
	struct buf manifests;  /* names, each with its NUL, of dead snapshots */
	struct gc_ids removed; /* index objects, by us */
	uint64_t entries;      /* of the index */

	/* Manifests that some listing told of: snapshots, and their sessions;
	 * one may be there more than once. */
	struct gc_ids known[2];
	struct gc_ids lost_manifests; /* damaged and given up: their sessions */
};

/* ---- gc.c --------------------------------------------------------------- */
int gc_stopped(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
void gc_stage(struct gc *g, const char *stage, uint64_t done, uint64_t total)
	NONNULL(1, 2);
void gc_block(struct gc *g, enum object_kind kind, struct object_id id,
	      const char *host, const char *why) NONNULL(1, 4, 5);
/* ERR_CORRUPT with the hint that says how to go on. */
int gc_refuse(struct err *e, const char *format, ...) NONNULL(1, 2)
	__attribute__((format(printf, 2, 3))) MUST_CHECK;
/* The same, after what *e says. */
int gc_refuse_because(struct err *e, const char *what) NONNULL(1, 2) MUST_CHECK;
/*
 * confirm: ERR_BUSY when another collector gave us up, or a key was revoked
 * under which we still seal.
 */
int gc_confirm(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* ---- gc_listing.c ------------------------------------------------------- */
/*
 * Refuse to go on when the store lists less than there is, as far as can be
 * told: folders against a listing of all, and against the inventories.
 */
int gc_listing_check(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Refuse to go on when the survey's listing was short of a manifest that was
 * listed before, and that is still there.
 */
int gc_listing_expect_known(struct gc *g, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/*
 * Refuse to go on when names, each with its NUL, lack a manifest of a dead
 * snapshot that was listed before, and that is still there: it would outlive
 * what it needs.
 */
int gc_listing_expect_dead(struct gc *g, const struct buf *names, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* ---- gc_wait.c ---------------------------------------------------------- */
int gc_announce(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Sessions but our own and those that were given up: their number. */
int gc_others(struct gc *g, struct gc_ids *ret, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
/*
 * Watch every session and pin until it moved, left, or stood still for the
 * lease; give up those that did.
 */
int gc_wait(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* ---- gc_marks.c --------------------------------------------------------- */
int gc_marks_read(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
void gc_marks_done(struct gc *g) NONNULL(1);
/* PUT marks that name these, and their censuses. */
int gc_mark(struct gc *g, const struct gc_ids *ids, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Delete what the due marks name, as far as the survey allows. */
int gc_delete(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Marks whose work is done. */
int gc_marks_clean(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* ---- gc_survey.c -------------------------------------------------------- */
int gc_survey(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
void gc_survey_done(struct gc *g) NONNULL(1);
/*
 * For guards_run(): marks, packs and the index, without judging them, and
 * without snapshots, which the caller traces before it walks.
 */
int gc_survey_packs(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Whether what was dead is so still: ERR_BUSY when somebody undeleted, held,
 * locked or pinned it since.
 */
int gc_reconsider(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Once it is known which packs are rewritten: what another pack holds, too, is
 * that one's from now on.
 */
int gc_sum_again(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* All places of one chunk, in order of their packs. */
struct gc_place {
	struct pack_entry entry;
	struct gc_pack *pack;
	bool usable; /* its pack is there, and it is not given up */
};
struct gc_group {
	struct gc_place *v;
	size_t n, room;
	bool live;
	bool pinned;
	uint32_t rank; /* with guarding: of the first that was traced */
};
typedef int gc_visit(void *arg, const struct gc_group *group, struct err *e);
/* Every chunk of the index with its places. */
int gc_walk(struct gc *g, gc_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;
/*
 * The place that keeps a live chunk: the first in a pack that is neither
 * marked nor to be rewritten, else unmarked, else NULL.
 */
const struct gc_place *gc_holder(const struct gc_group *group) NONNULL(1);

/* ---- gc_choose.c -------------------------------------------------------- */
/* Choose packs to rewrite, within the budget. */
int gc_choose(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* What nothing needs and no mark names; and what was rewritten. */
int gc_garbage(struct gc *g, struct gc_ids *ret, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;

/* ---- gc_live.c ---------------------------------------------------------- */
/* What the walk tells of each chunk: ordinals count from 0 in id order. */
/* Room for as many chunks as the index has entries. */
int gc_live_new(struct gc *g, struct gc_live **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void gc_live_free(struct gc_live *l);
/* In ascending order, each once. */
void gc_live_add(struct gc_live *l, const struct chunk_id *id) NONNULL(1, 2);
/* Mark all that the snapshot reaches as needed (by readers, too). */
int gc_live_trace(struct gc_live *l, const struct gc_snapshot *s, bool pinned,
		  struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
/* Whether that chunk is the one of this number. */
bool gc_live_fits(const struct gc_live *l, uint64_t ordinal,
		  const struct chunk_id *id) NONNULL(1, 3);
bool gc_live_is(const struct gc_live *l, uint64_t ordinal) NONNULL(1);
/* The rank of the snapshot that was traced first and needs it. */
uint32_t gc_live_rank(const struct gc_live *l, uint64_t ordinal) NONNULL(1);
bool gc_live_is_pinned(const struct gc_live *l, uint64_t ordinal) NONNULL(1);
/* ERR_CORRUPT unless a quarantine says that this needed chunk is lost. */
int gc_live_expect(const struct gc_live *l, const struct chunk_id *id,
		   struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
uint64_t gc_live_count(const struct gc_live *l) NONNULL(1);

/* ---- gc_copy.c ---------------------------------------------------------- */
/*
 * Copy what is live, and only held by packs that are due or to be rewritten,
 * into new packs, named by an index object of ours.  A chunk that does not
 * open is damage: ERR_CORRUPT.
 */
int gc_copy(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* ---- gc_merge.c --------------------------------------------------------- */
/* Name by an object of ours what only objects of fenced sessions name. */
int gc_adopt(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Merge index objects when there are many, or much in them is gone. */
int gc_merge(struct gc *g, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Superseded objects that may be marked. */
int gc_superseded(struct gc *g, struct gc_ids *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* ---- gc_guarded.c ------------------------------------------------------- */
/*
 * The store's guards keep much from going for weeks.  Nothing of that is
 * marked before they are over: a mark would keep writers from using it again,
 * and from trusting their parents.  1, 0, -1.
 */
int gc_is_guarded(struct gc *g, const char *name, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* The same of what is to go: until when it is guarded is told. */
int gc_has_to_wait(struct gc *g, const char *name, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Remove it: 1; 0 when it was guarded meanwhile; -1. */
int gc_remove(struct gc *g, const char *name, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;

#endif
