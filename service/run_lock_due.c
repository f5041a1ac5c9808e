#include "service/run_lock_due.h"

#include "base/clock.h"
#include "storage/replicate.h"
#include "storage/repository/guards.h"

int run_lock_due_begin(struct run_lock_due *ret, const struct run *r,
		       const struct resource_region *origin,
		       const struct resource_region *region,
		       struct repository *to, struct err *e)
{
	struct run_lock_due x = {
		.run = r, .to = to, .can_guard = -1, .now = clock_now()
	};

	if (run_region_lock(r, origin, &x.there, e) < 0 ||
	    run_region_lock(r, region, &x.own, e) < 0)
		return -1;
	*ret = x;
	return 0;
}

/* By a rule of the region it is in, or of that it comes from: 1 and for how
 * long, but for locks that count in every region; 0, -1. */
static int ask_rules(const struct run_lock_due *x,
		     const struct repository_snapshot *s, int64_t *ret_ms,
		     struct err *e)
{
	*ret_ms = x->own.ms;
	if (x->own.is_own)
		return 1;
	return x->there.is_own && s->locked
		       ? run_region_lock_of(x->run, s, ret_ms, e)
		       : 0;
}

int run_lock_due_ask(struct run_lock_due *x,
		     const struct repository_snapshot *s, unsigned int where,
		     struct err *e)
{
	struct repository_snapshot all = *s; /* borrows */
	int by_rule;
	int64_t ms;

	if (!(where & REPLICATE_UNNAMED))
		return 0;
	by_rule = ask_rules(x, s, &ms, e);
	if (by_rule < 0)
		return -1;
	if (by_rule && ms &&
	    instant_compare(instant_add_ms(s->received, ms), x->now) > 0)
		return 1;
	all.locked = s->locked_for_all;
	all.locked_until = s->locked_for_all_until;
	/* In force for nobody knows how long, or not any more. */
	if (instant_compare(guards_need(&all, x->now), x->now) <= 0)
		return 0;
	/* Without, those that were copied with the records do. */
	if (x->can_guard < 0)
		x->can_guard = store_can_guard(repository_store(x->to), e);
	return x->can_guard;
}
