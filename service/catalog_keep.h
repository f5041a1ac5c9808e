/*
 * The catalog's part about what is kept, where, and why: snapshots, their
 * copies, regions, checks, collections, drills, decisions, shortenings and
 * holds.
 *
 * All of it mirrors or explains what lives in repositories; a repository is
 * right where the two disagree.  The manners are those of service/catalog.h.
 */
#ifndef SERVICE_CATALOG_KEEP_H
#define SERVICE_CATALOG_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/catalog.h"

/* ---- Snapshots and their copies ----------------------------------------- */

struct catalog_snapshot {
	const char *repository;
	const char *id;	    /* 32 hexadecimal digits */
	const char *source; /* "" for ad hoc ones */
	const char *type;   /* the source's driver: "files" */
	const char *host;
	const char *schedule; /* "" when none made it */
	int64_t run;	      /* or 0 */
	const char *state;    /* "complete", "partial" */
	const char *parent;   /* id or "" */
	struct instant time;  /* claimed */
	struct instant received;
	const char *receipt; /* whose clock: "daemon", "store", "process" */
	struct instant started, finished;
	struct instant lock_until; /* or 0 */
	struct instant deleted;	   /* tombstone, or 0 */
	/* Also of one that is deleted in some regions only, so far. */
	const char *deleted_reason;
	struct instant purged;	/* when gc made it unrestorable, or 0 */
	const char *paths_json; /* NULL: [] */
	const char *tags_json;	/* ["KEY=VALUE"]; NULL: [] */
	uint64_t files, dirs, errors;
	uint64_t bytes, bytes_read, bytes_new;
};
/*
 * Insert, or bring up to date, the row of that repository and id.  A lock is
 * never shortened, a tombstone never lost this way (see _deleted()).
 */
int catalog_snapshot_put(struct catalog *c, const struct catalog_snapshot *s,
			 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * Mirror a tombstone (reason not NULL) or its undoing (NULL): 1, or 0 when it
 * was so already.  ERR_NOT_FOUND.
 */
int catalog_snapshot_deleted(struct catalog *c, const char *repository,
			     const char *id, const char *reason,
			     const struct catalog_actor *actor, struct err *e)
	NONNULL(1, 2, 3, 5, 6) MUST_CHECK;
/*
 * Somebody deleted it in one region: its copy there is gone.  Where another
 * region has a copy still, the row keeps the reason and is deleted later, or
 * never; else it is deleted with it.  1, or 0 when it was so already.
 * ERR_NOT_FOUND.
 */
int catalog_snapshot_deleted_in(struct catalog *c, const char *repository,
				const char *id, const char *region,
				const char *reason,
				const struct catalog_actor *actor,
				struct err *e) NONNULL(1, 2, 3, 4, 5, 6, 7)
	MUST_CHECK;
/* gc has removed it for good: 1, or 0 when that was known or it is unknown. */
int catalog_snapshot_purged(struct catalog *c, const char *repository,
			    const char *id, struct instant now, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

typedef int catalog_snapshot_visit(void *arg, const struct catalog_snapshot *s,
				   struct err *e);
enum catalog_deleted {
	CATALOG_LIVE_ONLY,
	CATALOG_WITH_DELETED,
	CATALOG_DELETED_ONLY, /* and not purged */
};
struct catalog_snapshot_filter {
	const char *repository; /* or NULL */
	const char *source;	/* or NULL; "" means ad hoc ones */
	const char *id_prefix;	/* or NULL; repository must be given */
	const char *state;	/* or NULL */
	int64_t run;		/* or 0 */
	enum catalog_deleted deleted;
	struct instant from, to; /* from <= received < to; or 0 */
	/* paging: only what comes after this one in the list; both or none */
	struct instant after_received;
	const char *after_id;
	unsigned int limit;
};
/* Latest receipt first, then by id. */
int catalog_snapshots(struct catalog *c,
		      const struct catalog_snapshot_filter *filter,
		      catalog_snapshot_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

struct catalog_replica {
	const char *repository, *snapshot, *region;
	const char *state;	  /* "pending", "running", "complete", "failed",
				     "gone" */
	struct instant completed; /* or 0 */
	struct instant oldest_verified; /* of its packs; or 0: never */
	uint64_t bytes;			/* sent for it */
	const char *message;
};
/* Insert or replace.  The snapshot must be known: ERR_NOT_FOUND. */
int catalog_replica_put(struct catalog *c, const struct catalog_replica *r,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
typedef int catalog_replica_visit(void *arg, const struct catalog_replica *r,
				  struct err *e);
struct catalog_replica_filter {
	const char *repository;
	const char *snapshot; /* or NULL */
	const char *region;   /* or NULL */
};
/* By snapshot, then region; copies of purged snapshots are left out. */
int catalog_replicas(struct catalog *c,
		     const struct catalog_replica_filter *filter,
		     catalog_replica_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/* What is newest for one source in one region. */
struct catalog_newest {
	const char *repository, *source, *region;
	const char *snapshot;	  /* newest complete one held there, or "" */
	struct instant received;  /* of it, or 0 */
	struct instant completed; /* when the copy was finished, or 0 */
	struct instant oldest_verified; /* or 0 */
	uint64_t snapshots; /* live complete ones of this source there */
};
typedef int catalog_newest_visit(void *arg, const struct catalog_newest *n,
				 struct err *e);
/*
 * For every source and region with a copy; NULLs mean all.  By repository,
 * source, region.  Cost: one index look-up for each row, plus the counting.
 */
int catalog_newest(struct catalog *c, const char *repository,
		   const char *source, catalog_newest_visit *visit, void *arg,
		   struct err *e) NONNULL(1, 4, 6) MUST_CHECK;

/*
 * A snapshot that an attempt began in a region and never acknowledged, while
 * its occurrence, or the same run, ended with another one of that source.
 */
struct catalog_double {
	int64_t run;
	const char *source, *region, *snapshot;
	struct instant started;
	const char *again, *again_in; /* that one, and the region it went to */
	bool in_turn;		      /* not (or again) as one of the newest */
};
typedef int catalog_double_visit(void *arg, const struct catalog_double *d,
				 struct err *e);
/*
 * In a region, of the repository's runs that have ended, and of the run `now`
 * itself.  However old they are, at a cost that does not grow: each call looks
 * through the newest thousand snapshots that nobody acknowledged there, and
 * through the next thousand of them in turn, going on where the last call
 * ended, or where its visitor returned 1.  Some are visited twice.
 */
int catalog_doubles(struct catalog *c, const char *repository,
		    const char *region, int64_t now,
		    catalog_double_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5, 7) MUST_CHECK;

/* ---- Regions, checks, drills -------------------------------------------- */

struct catalog_region {
	const char *repository, *region;
	const char *url; /* without credentials */
	bool primary;
	struct instant seen_ok; /* last successful contact, or 0 */
	struct instant failed;	/* last failed contact, or 0 */
	const char *message;	/* of that failure */
	struct instant listed;	/* last inventory, or 0 */
	/* How it answers, as service/region_health.h has it; NULL: {} */
	const char *inventory_json;
};
int catalog_region_put(struct catalog *c, const struct catalog_region *r,
		       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* 1, or 0 when there is none. */
int catalog_region_remove(struct catalog *c, const char *repository,
			  const char *region, const struct catalog_actor *actor,
			  struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
typedef int catalog_region_visit(void *arg, const struct catalog_region *r,
				 struct err *e);
/* repository NULL: all.  The primary first, then by name. */
int catalog_regions(struct catalog *c, const char *repository,
		    catalog_region_visit *visit, void *arg, struct err *e)
	NONNULL(1, 3, 5) MUST_CHECK;

/* What is known of garbage collections in one region. */
struct catalog_collection {
	/* The newest that ended: its run, and its step's row. */
	int64_t run;
	const char *state; /* "succeeded", "failed" */
	struct instant finished;
	const char *message;
	/* The newest that succeeded, as `repo gc` tells it; or 0, "". */
	struct instant collected;
	const char *details_json;
};
typedef int catalog_collection_visit(void *arg,
				     const struct catalog_collection *k,
				     struct err *e);
/* From the steps "gc" of runs: see catalog_step_put(). */
int catalog_collection_get(struct catalog *c, const char *repository,
			   const char *region, catalog_collection_visit *visit,
			   void *arg, struct err *e) NONNULL(1, 2, 3, 4, 6)
	MUST_CHECK;

struct catalog_check_row {
	int64_t id;
	const char *repository, *region;
	const char *snapshot; /* or "": the region as a whole */
	int64_t run;	      /* or 0 */
	const char *level;    /* "listed", "structure", "data" */
	const char *result;   /* "sound", "damaged", "failed" */
	struct instant started, finished;
	uint64_t objects, bytes, damaged;
	const char *details_json; /* NULL: {} */
};
int catalog_check_add(struct catalog *c, const struct catalog_check_row *k,
		      int64_t *ret_id, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
typedef int catalog_check_visit(void *arg, const struct catalog_check_row *k,
				struct err *e);
struct catalog_check_filter {
	const char *repository, *region, *snapshot; /* each or NULL */
	bool locks; /* that asked whether what is locked is guarded */
	struct instant from, to;
	unsigned int limit;
};
/* Newest first. */
int catalog_checks(struct catalog *c, const struct catalog_check_filter *filter,
		   catalog_check_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/* When a pack was last read whole and found sound. */
struct catalog_pack_read {
	const char *repository, *region;
	const char *pack;    /* 32 hexadecimal digits */
	struct instant read; /* 0: forget it, it is gone or damaged */
};
int catalog_pack_read_put(struct catalog *c, const struct catalog_pack_read *p,
			  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
typedef int catalog_pack_read_visit(void *arg,
				    const struct catalog_pack_read *p,
				    struct err *e);
int catalog_pack_reads(struct catalog *c, const char *repository,
		       const char *region, catalog_pack_read_visit *visit,
		       void *arg, struct err *e) NONNULL(1, 2, 3, 4, 6)
	MUST_CHECK;

struct catalog_drill {
	int64_t id;
	const char *drill;    /* the resource's name */
	const char *schedule; /* whose snapshots it proves */
	const char *repository, *region, *source, *snapshot;
	int64_t run;			  /* or 0 */
	struct instant started, finished; /* finished or 0: under way */
	bool passed;
	int64_t rto_ms, rpo_ms;		      /* -1: not measured */
	int64_t rto_target_ms, rpo_target_ms; /* 0: none */
	uint64_t files, bytes;
	const char *checks_json;   /* [{"type","passed","message"}]; [] */
	const char *evidence_json; /* NULL: {} */
	const char *message;
};
/* id 0 inserts; else the row of that id is replaced (ERR_NOT_FOUND). */
int catalog_drill_put(struct catalog *c, const struct catalog_drill *d,
		      int64_t *ret_id, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
typedef int catalog_drill_visit(void *arg, const struct catalog_drill *d,
				struct err *e);
struct catalog_drill_filter {
	int64_t id;		 /* or 0 */
	const char *drill;	 /* or NULL */
	const char *source;	 /* or NULL */
	struct instant from, to; /* by start; or 0 */
	int64_t after_id;	 /* paging: only what follows it; 0: all */
	unsigned int limit;
};
/* Newest first. */
int catalog_drills(struct catalog *c, const struct catalog_drill_filter *filter,
		   catalog_drill_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/* ---- Decisions, shortenings, holds -------------------------------------- */

/* Whether what an evaluation was made with can be told. */
enum catalog_inputs_state {
	CATALOG_INPUTS_THERE,
	CATALOG_INPUTS_MISSING, /* with a segment that was lost */
	CATALOG_INPUTS_DAMAGED,
};
struct catalog_evaluation {
	int64_t id;
	const char *repository, *source;
	const char *region; /* "" when for all regions */
	const char *policy, *policy_uid;
	int64_t policy_version;
	int64_t run;	    /* or 0 */
	struct instant now; /* the `now` that was evaluated */
	const char *actor;
	const char *inputs_json; /* everything else that was evaluated */
	/* Both computed here and ignored on input: the SHA-256; and when it
	 * is not "there", inputs_json is "". */
	const char *inputs_hash;
	enum catalog_inputs_state inputs_state;
	/* Decisions may be missing, with a segment that was lost; computed. */
	bool is_unsure;
	const char *summary_json; /* {"keep":N,…}; NULL: {} */
	/* The sets in force: [{"policy","uid","version"}]; "" or NULL: only the
	 * inputs tell. */
	const char *rules_json;
};
struct catalog_decision {
	const char *snapshot;
	const char *outcome;	  /* "keep", "delete", "held", "locked",
				     "waits-for-region", "floor-blocked",
				     "held-by-budget", "waiting" */
	const char *reasons_json; /* [{"rule","bucket"}]; NULL: [] */
};
/*
 * Store an evaluation with its decisions as one.  The inputs are stored once
 * for all evaluations that share them, and as what differs from those of the
 * evaluation before where that is less.  A decision holds until another
 * evaluation of the same repository, source and region decides otherwise,
 * leaves its snapshot out, or goes by another policy: one that repeats the last
 * one about its snapshot is not written.  Cost: reading what holds, writing
 * what changed.
 */
int catalog_evaluation_add(struct catalog *c,
			   const struct catalog_evaluation *v,
			   const struct catalog_decision *decisions, size_t n,
			   int64_t *ret_id, struct err *e) NONNULL(1, 2, 5, 6)
	MUST_CHECK;

typedef int catalog_evaluation_visit(void *arg,
				     const struct catalog_evaluation *v,
				     struct err *e);
struct catalog_evaluation_filter {
	int64_t id;					   /* or 0 */
	const char *repository, *source, *region, *policy; /* each or NULL */
	struct instant as_of; /* only those with now <= as_of; or 0 */
	bool newest_only;     /* one for each repository, source and region */
	bool without_inputs;  /* inputs_json is "", and costs nothing */
	int64_t after_id;     /* paging: only what follows it; 0: all */
	unsigned int limit;
};
/* Newest first. */
int catalog_evaluations(struct catalog *c,
			const struct catalog_evaluation_filter *filter,
			catalog_evaluation_visit *visit, void *arg,
			struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;

/* What the last evaluation of a source came to, in one region. */
struct catalog_outcome {
	const char *repository, *region;
	struct instant now;
	const char *summary_json;
};
typedef int catalog_outcome_visit(void *arg, const struct catalog_outcome *o,
				  struct err *e);
/* In each region that is known.  Cost: an index look-up for each. */
int catalog_outcomes(struct catalog *c, const char *source,
		     catalog_outcome_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/* A decision as it stood from one evaluation to another. */
struct catalog_decision_row {
	int64_t first_evaluation, last_evaluation;
	struct instant first, last; /* their `now` */
	const char *repository, *source, *region;
	const char *snapshot, *outcome, *reasons_json;
	const char *policy;
	int64_t policy_version;
};
typedef int catalog_decision_visit(void *arg,
				   const struct catalog_decision_row *d,
				   struct err *e);
/* Those of one evaluation, by snapshot. */
int catalog_decisions(struct catalog *c, int64_t evaluation,
		      catalog_decision_visit *visit, void *arg, struct err *e)
	NONNULL(1, 3, 5) MUST_CHECK;
/* Whether one of them is about the snapshot: 1 or 0.  Cost: a look-up. */
int catalog_decided(struct catalog *c, int64_t evaluation, const char *snapshot,
		    struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
/* What was ever decided about one snapshot, oldest first. */
int catalog_decisions_of(struct catalog *c, const char *repository,
			 const char *snapshot, catalog_decision_visit *visit,
			 void *arg, struct err *e) NONNULL(1, 2, 3, 4, 6)
	MUST_CHECK;

struct catalog_decision_filter {
	struct instant as_of;
	const char *source; /* or NULL */
};
/*
 * Of each snapshot in each region the last decision that was made by then.
 * Its last and last_evaluation are those by then, too, and it comes together
 * with the others of that evaluation, by snapshot.
 */
int catalog_decisions_as_of(struct catalog *c,
			    const struct catalog_decision_filter *filter,
			    catalog_decision_visit *visit, void *arg,
			    struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;

struct catalog_shortening {
	int64_t id;
	const char *repository, *source;
	const char *region; /* that alone; "" or NULL: all that have no policy
			       of their own */
	const char *policy;
	const char *cause; /* "policy gold version 3 → 4" */
	const char *actor;
	struct instant shown, due;
	const char *state;  /* "waiting", "applied", "cancelled" */
	uint64_t snapshots; /* how many it lists */
};
/*
 * Write down what a change would delete, and from when it may.  A snapshot
 * that a waiting shortening of the same repository, source and region lists
 * already keeps its earlier date and is left out; when none is left nothing is
 * stored, and 0 returned; else 1 and the id.
 */
int catalog_shortening_add(struct catalog *c,
			   const struct catalog_shortening *s,
			   const char *const *snapshots, size_t n,
			   int64_t *ret_id, struct err *e) NONNULL(1, 2, 5, 6)
	MUST_CHECK;
/* Every waiting one of a policy: how many were cancelled. */
int catalog_shortening_cancel(struct catalog *c, const char *policy,
			      const struct catalog_actor *actor,
			      uint64_t *ret_count, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* A snapshot is kept again: off every waiting list of source and region. */
int catalog_shortening_forget(struct catalog *c, const char *repository,
			      const char *source, const char *region,
			      const char *snapshot, struct err *e)
	NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;
/* waiting → applied: 1, or 0 when it is not waiting. */
int catalog_shortening_applied(struct catalog *c, int64_t id,
			       const struct catalog_actor *actor, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
typedef int catalog_shortening_visit(void *arg,
				     const struct catalog_shortening *s,
				     struct err *e);
struct catalog_shortening_filter {
	int64_t id;					  /* or 0 */
	const char *repository, *source, *policy, *state; /* each or NULL */
};
/* By due date. */
int catalog_shortenings(struct catalog *c,
			const struct catalog_shortening_filter *filter,
			catalog_shortening_visit *visit, void *arg,
			struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;
typedef int catalog_id_visit(void *arg, const char *id, struct err *e);
/* The snapshots that a shortening lists, by id. */
int catalog_shortening_snapshots(struct catalog *c, int64_t id,
				 catalog_id_visit *visit, void *arg,
				 struct err *e) NONNULL(1, 3, 5) MUST_CHECK;

/* Mirrors a hold in the repository, which is where it has force. */
struct catalog_hold {
	const char *repository, *id; /* the hold's own id */
	const char *snapshots_json;  /* what is held: those; NULL: [], … */
	const char *source;	     /* … and all of a source, or "" */
	const char *matter;	     /* the case */
	const char *custodian;
	const char *by;			 /* who placed it */
	struct instant placed, released; /* released or 0 */
};
/*
 * Insert it, or note that it is released; what is released stays so.  It
 * leaves an audit record when there is none yet of who did it.
 */
int catalog_hold_put(struct catalog *c, const struct catalog_hold *h,
		     const struct catalog_actor *actor, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
typedef int catalog_hold_visit(void *arg, const struct catalog_hold *h,
			       struct err *e);
/* repository NULL: all; in_force: those not released.  By time. */
int catalog_holds(struct catalog *c, const char *repository, bool in_force,
		  catalog_hold_visit *visit, void *arg, struct err *e)
	NONNULL(1, 4, 6) MUST_CHECK;

#endif
