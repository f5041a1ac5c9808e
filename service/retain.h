/*
 * Retention of one repository's sources, as the step "retain" does it: what
 * is where, which rules hold, what they and the guards say, and the deleting.
 *
 *	retain_gather()	lists every region; manifests and records are the
 *			truth, and the catalog is brought up to date with them
 *	retain_rules_*	the rules in force for a source, and those that were
 *			in force while a change of them is still cooling off
 *	retain_judge()	decides for one source in one region, stores the
 *			decisions with their reasons, and deletes
 *
 * Each region is judged by itself, by what it holds: one that was away for
 * weeks keeps what counts there until it has caught up.  Holds, locks and
 * copies are seen over all regions.
 *
 * A source that several schedules bring into one repository has all their
 * policies: what any of them keeps is kept.  What the floor of a former policy
 * would still keep back is kept before, as what its rules keep is.
 *
 * A region may have a policy of its own (resource.h).  Its rules are in force
 * there in place of the schedules'; of theirs only the floors are, which hold
 * everywhere.  Where any region of a repository has one, what retention deletes
 * it deletes in that region alone (the scope of a tombstone, FORMAT.md §9),
 * also for a cooling-off period after the last of them lost it; what it deleted
 * before, for all regions, stays where it did from then on (deletion.h); and
 * what another region's rules would keep is deleted in none before it is there:
 * it waits for that region.  A region's own policy that was changed or lost is
 * asked, too, until that has cooled off there: a mistake about a region that is
 * away must not let go of what waits for it.
 */
#ifndef SERVICE_RETAIN_H
#define SERVICE_RETAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "schedules/guard.h"
#include "schedules/retention.h"
#include "service/run.h"
#include "storage/repository/repository.h"

/* ---- What is where ------------------------------------------------------ */

/* One snapshot in one region. */
struct retain_copy {
	struct object_id id;
	char text[OBJECT_ID_TEXT];
	char source[MANIFEST_TEXT_MAX + 1];
	struct instant received;
	bool complete;
	bool scheduled;	   /* made by a schedule's run */
	const char **tags; /* one block */
	size_t n_tags;
	bool deleted;
	bool this_region; /* deleted, here alone */
	struct instant deleted_at;
	/* Listed in a shortening, and the rules keep it here after all. */
	bool kept_again;
	bool held, locked; /* in any region */
	bool locked_here;  /* which says nothing of the others */
	struct instant locked_until;
};

struct retain_region {
	const struct resource_region *region;
	struct repository *repository; /* NULL: not reached */
	struct retain_copy *v;
	size_t n, room;
	bool is_doubtful; /* its listing must not be trusted */
};

struct retain {
	struct run *run;
	struct instant now; /* whole microseconds, as the catalog stores it */
	struct retain_region *regions;
	size_t n_regions;
	size_t unreached;
	char problem[300]; /* the first, or "" */
};

void retain_init(struct retain *x, struct run *r, struct instant now)
	NONNULL(1, 2);
void retain_done(struct retain *x) NONNULL(1);
static inline void cleanup_retain_done(struct retain *x)
{
	retain_done(x);
}

/*
 * List every region that can be reached.  A region is doubtful, and nothing
 * is deleted there, when its listing lacks a snapshot that was there and that
 * no tombstone speaks of.
 */
int retain_gather(struct retain *x, struct err *e) NONNULL(1, 2) MUST_CHECK;

/*
 * Obey the holds of all regions that were reached in all of them, and mirror
 * them into the catalog.
 */
int retain_holds(struct retain *x, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* A region's copy of it, deleted or not; or NULL. */
struct retain_copy *retain_find(const struct retain_region *g, const char *id)
	NONNULL(1, 2);

/* The snapshot's copies are held. */
void retain_hold(struct retain *x, const char *id) NONNULL(1, 2);

/* Whether a region that was reached has the snapshot, not deleted. */
bool retain_is_live(const struct retain *x, const char *id) NONNULL(1, 2);

/*
 * Shortenings list what a change lets go of in one region that has a policy of
 * its own, or in all that have none: their scope is its name, or "".
 */
const char *retain_scope(const struct resource_region *region)
	RETURNS_NONNULL NONNULL(1);
/* The same as retain_is_live(), of the regions of a scope. */
bool retain_is_live_in(const struct retain *x, const char *scope,
		       const char *id) NONNULL(1, 2, 3);
/* Whether it is on a list of the scope, and kept again wherever it is there. */
bool retain_is_kept_again(const struct retain *x, const char *scope,
			  const char *id) NONNULL(1, 2, 3);

/* Note a problem: what a person is told of is the first. */
void retain_problem(struct retain *x, const char *fmt, ...) PRINTF_LIKE(2, 3)
	NONNULL(1, 2);

/* ---- Rules -------------------------------------------------------------- */

struct retain_rules {
	char name[RESOURCE_NAME_MAX + 1]; /* "": no policy, keep everything */
	char uid[33];
	int64_t version;
	struct resource *resource; /* or NULL */
	char *spec;		   /* its JSON, or NULL */
	struct zone *zone;
	struct retention_policy policy;
	/* Of a schedule, where the region has a policy of its own: the floor
	 * alone is in force. */
	bool floor_only;
	/* Rules that were replaced: what was there by then had them. */
	bool former;
	bool before_all; /* nothing had judged the source before `until` */
	bool was_own;	 /* they were the region's own policy */
	struct instant until;
};

struct retain_rule_sets {
	struct retain_rules *v;
	size_t n;
	size_t own;  /* the index of the region's own policy, or the run's */
	bool is_own; /* it is the region's */
	/* Here or in another region one was lately, or is: what is deleted
	 * here is deleted here alone. */
	bool is_apart;
	bool is_served; /* written, or copied to, by a schedule of the source */
	bool changed;	/* a former set is among them */
	struct instant last;	  /* when the last of those was replaced */
	struct guard_floor floor; /* the strictest of those in force */
	struct guard_floor floor_before; /* of the former ones as well */
	struct instant
		floor_until; /* when the last that had one was replaced */
};

/*
 * How the inputs of an evaluation begin: what follows is the list of the sets
 * in force, [{"policy","uid","version"}], with "floor_only" where that is so,
 * and "region" where the first is the region's.  retain_rules_load() finds the
 * former sets in it.
 */
#define RETAIN_INPUTS_BEGIN "{\"policies\":"

/* Those of one region. */
int retain_rules_load(struct retain *x, const struct resource *source,
		      const struct resource_region *region,
		      struct retain_rule_sets *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/*
 * For what is made of stored inputs: a new set at the end, empty, so it keeps
 * everything; the rules of a Policy into one that has its name; and what the
 * sets come to together, once all are there.
 */
struct retain_rules *retain_rules_add(struct retain_rule_sets *s, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
int retain_rules_prepare(struct retain_rules *r,
			 const struct resource_form *form, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void retain_rules_summarize(struct retain_rule_sets *s) NONNULL(1);
/*
 * Whether other regions, and those who copy, ask that set what the region would
 * keep: the rules in force, and the region's own ones that were replaced, for
 * as long as the change cools off, or the region is away and has not been
 * judged by any others.
 */
bool retain_rules_is_asked(const struct retain_rules *r) NONNULL(1);
/* Whether they apply to what was received then. */
bool retain_rules_reach(const struct retain_rules *r, struct instant received)
	NONNULL(1);
/* Whether the same rules are in force in both, whatever their floors, and
 * theirs ask no more than that. */
bool retain_rules_same(const struct retain_rule_sets *theirs,
		       const struct retain_rule_sets *ours) NONNULL(1, 2);
void retain_rules_done(struct retain_rule_sets *s) NONNULL(1);
static inline void cleanup_retain_rules_done(struct retain_rule_sets *s)
{
	retain_rules_done(s);
}

/* ---- Copying ------------------------------------------------------------ */

/* What a region of r's repository is asked by: see unwanted.h. */
struct retain_asking {
	struct retain x;
	const struct resource_region *region;
	struct retain_rule_sets sets; /* of the source that was asked last */
};
void retain_asking_init(struct retain_asking *a, struct run *r,
			const struct resource_region *region,
			struct instant now) NONNULL(1, 2, 3);
void retain_asking_done(struct retain_asking *a) NONNULL(1);
static inline void cleanup_retain_asking_done(struct retain_asking *a)
{
	retain_asking_done(a);
}
/* An unwanted_rules(); arg: the struct. */
int retain_asking_load(void *arg, const char *name,
		       const struct retain_rule_sets **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/* Whether a region of it has a policy of its own. */
bool retain_any_apart(const struct resource_repository *r) NONNULL(1);
/* The same, or one ever had, as long as the catalog remembers. */
int retain_was_apart(struct catalog *c, const struct resource *repository,
		     bool *ret, struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * Of what `from` has and `to`, which is that region, neither has nor has
 * deleted: what it need not get (unwanted.h), in ascending order (the caller
 * frees it).  None where no region of the repository has a policy of its own.
 */
int retain_unwanted(struct run *r, const struct resource_region *region,
		    struct repository *from, struct repository *to,
		    struct object_id **ret, size_t *ret_n, struct err *e)
	NONNULL(1, 2, 3, 4, 5, 6, 7) MUST_CHECK;

/* ---- Judging ------------------------------------------------------------ */

struct retain_outcome {
	uint64_t counts[GUARD_VERDICTS];
};

/* rules: of each region, in their order; region: the index of the one. */
int retain_judge(struct retain *x, const struct resource *source,
		 const struct retain_rule_sets *rules, size_t region,
		 struct retain_outcome *io, struct err *e)
	NONNULL(1, 2, 3, 5, 6) MUST_CHECK;

#endif
