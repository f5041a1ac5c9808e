/*
 * Changes that turn an existing keep into a delete: shown first, done later.
 *
 * While a change of policy, label, schedule or source is younger than the
 * cooling-off period, the service evaluates the former rules, too (all that
 * were in force during the period), and says with kept_before whether any of
 * them, or the floor of any, keeps a snapshot now.  What they keep and the
 * rules in force do not is put on a list that people see, and from then on
 * waits the whole period; what was on the list and is kept again is taken off,
 * and would have to be shown again.  Once the change is older than the period,
 * what was not shown is ordinary ageing; what was shown obeys the time at which
 * it was.
 *
 * So nothing that a change let go is deleted unless it was shown for the
 * whole period and the rules still let it go.  Pure, one snapshot at a time.
 */
#ifndef SCHEDULES_SHORTENING_H
#define SCHEDULES_SHORTENING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/instant.h"

enum shortening {
	SHORTENING_NONE,    /* kept, or ordinary ageing */
	SHORTENING_SHOW,    /* put it on the list, dated now */
	SHORTENING_WAITING, /* on the list, not for long enough */
	SHORTENING_RIPE,    /* on the list for long enough: may go */
	SHORTENING_FORGET,  /* on the list, but kept: take it off */
};

struct shortening_change {
	bool any; /* a policy was changed, ever */
	struct instant changed;
	int64_t cooling_off_ms;
};

struct shortening_snapshot {
	bool kept;	  /* by the rules in force */
	bool kept_before; /* by a former policy or its floor */
	bool shown;	  /* is on the list */
	struct instant shown_at;
};

enum shortening shortening_decide(const struct shortening_change *c,
				  const struct shortening_snapshot *s,
				  struct instant now) NONNULL(1, 2);

#endif
