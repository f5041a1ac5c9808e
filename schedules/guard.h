/*
 * What stands between "the rules let it go" and a deletion.
 *
 * A snapshot that schedules/retention.h does not keep is deleted in a region
 * only when nothing below objects.  The first objection is the verdict:
 *
 *	held		a legal hold; it outranks everything
 *	locked		its lock-until has not passed
 *	waits-for-region	another region, where other rules hold, lacks
 *			it, and would keep it
 *	floor-blocked	fewer than N snapshots of the source would remain
 *			that are proven: complete, with copies in at least R
 *			regions that were verified within D.  While fewer than
 *			N are proven at all, nothing of the source goes; else
 *			only the newest of those proven that the rules let go
 *			are kept back, as many as are needed
 *	cooling-off	a change of policy, label, schedule or source turned
 *			keep into delete, and the list it is on has not been
 *			shown for long enough
 *	held-by-budget	max(2, 10 %) deletions for each source, region and day
 *			are used up; the oldest go first
 *
 * One call judges one source in one region, where the rules may differ from
 * another region's.  A snapshot that was not received yet, as far as now can
 * tell, is never asked about: the rules keep it.
 *
 * All pure, on plain values that can be stored with a decision and replayed.
 */
#ifndef SCHEDULES_GUARD_H
#define SCHEDULES_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"

enum guard_verdict {
	GUARD_KEEP,   /* the rules keep it */
	GUARD_DELETE, /* nothing objects */
	GUARD_HELD,
	GUARD_LOCKED,
	GUARD_WAITS_FOR_REGION,
	GUARD_FLOOR_BLOCKED,
	GUARD_COOLING_OFF,
	GUARD_HELD_BY_BUDGET,
	GUARD_VERDICTS
};

/* "floor-blocked"; and a clause that explains it. */
const char *guard_verdict_name(enum guard_verdict v) RETURNS_NONNULL;
const char *guard_verdict_text(enum guard_verdict v) RETURNS_NONNULL;

struct guard_floor {
	uint32_t snapshots; /* N; 0: no floor */
	uint32_t regions;   /* R; 0 counts as 1 */
	int64_t verified_within_ms;
};

/* A copy of a snapshot in a region. */
struct guard_copy {
	bool verified;	       /* ever, all of it */
	struct instant oldest; /* when its least recently verified pack was */
};

/*
 * Whether a snapshot with these copies, one for each region that has it,
 * counts for the floor.  A verification in the future proves nothing.
 */
bool guard_is_proven(const struct guard_floor *f,
		     const struct guard_copy *copies, size_t n,
		     struct instant now) NONNULL(1);

struct guard_snapshot {
	const char *id;
	struct instant received;
	bool kept;   /* by the rules */
	bool proven; /* guard_is_proven(), and complete */
	bool held;
	bool locked; /* has a lock-until */
	struct instant locked_until;
	bool awaited;	  /* by a region that lacks it and would keep it */
	bool cooling_off; /* shortening_decide() says SHOW or WAITING */
};

struct guard_limits {
	uint32_t floor;	 /* N of the floor */
	uint64_t budget; /* deletions left today: guard_budget() */
};

/*
 * What may still be deleted today where `present` snapshots of the source
 * were when the day began and `deleted` went since.
 */
uint64_t guard_budget(uint64_t present, uint64_t deleted);

/*
 * The verdict for each of n snapshots, in their order.  ERR_NO_MEMORY only.
 */
int guard_decide(const struct guard_snapshot *snapshots, size_t n,
		 const struct guard_limits *limits, struct instant now,
		 enum guard_verdict *ret, struct err *e) NONNULL(3, 6)
	MUST_CHECK;

#endif
