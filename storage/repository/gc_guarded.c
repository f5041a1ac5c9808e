/*
 * What the store does not let go yet (stores/store.h, guards).
 *
 * It is asked of what would go, and only there, so that a collection with
 * nothing to take asks nothing.  The store goes by its own clock: one that it
 * still guards by that when ours says that its time is over waits, too.
 */
#include <stdio.h>

#include "storage/repository/gc_internal.h"

/* No two clocks that are right are further apart. */
#define CLOCKS_MS INT64_C(86400000)

static void note(struct gc *g, const struct store_guard *guard)
{
	if (!guard->held &&
	    instant_compare(guard->until, g->out->locked_until) > 0)
		g->out->locked_until = guard->until;
}

/*
 * The most that guards any version of it: while one is, nothing of it goes.
 * Somebody may have put another on top, or below, that nothing guards.
 */
static int most_of(struct gc *g, const char *name, struct store_guard *ret,
		   struct err *e)
{
	struct store_guard x;
	unsigned int n = 1;
	int there = 1;

	if (!store_has_several(g->store, name))
		return store_guarded(g->store, name, ret, e);
	*ret = (struct store_guard){ .held = false };
	while ((there = store_turn(g->store, name, n, e)) > 0) {
		if (store_guarded(g->store, name, &x, e) < 0)
			return -1;
		ret->held |= x.held;
		if (instant_compare(x.until, ret->until) > 0)
			ret->until = x.until;
		n++;
	}
	if (there < 0 || store_turn(g->store, name, 1, e) < 0)
		return -1;
	return n > 1;
}

/* 1 and by what, 0, -1. */
static int ask(struct gc *g, const char *name, struct store_guard *ret,
	       struct err *e)
{
	int found;

	if (!g->can_guard)
		return 0;
	found = most_of(g, name, ret, e);
	if (found <= 0)
		return found;
	return ret->held || instant_compare(ret->until, g->o->now) > 0;
}

int gc_is_guarded(struct gc *g, const char *name, struct err *e)
{
	struct store_guard guard;

	return ask(g, name, &guard, e);
}

int gc_has_to_wait(struct gc *g, const char *name, struct err *e)
{
	struct store_guard guard;
	const int guarded = ask(g, name, &guard, e);

	if (guarded > 0)
		note(g, &guard);
	return guarded;
}

int gc_remove(struct gc *g, const char *name, struct err *e)
{
	struct store_guard guard;
	struct err why = { 0 };
	int found;

	if (store_remove(g->store, name, e) == 0)
		return 1;
	if (e->code != ERR_DENIED || !g->can_guard)
		return -1;
	found = most_of(g, name, &guard, &why);
	if (found < 0 ||
	    (found && !guard.held &&
	     instant_compare(instant_add_ms(guard.until, CLOCKS_MS),
			     g->o->now) <= 0))
		return -1; /* a right is missing: *e says so */
	err_clear(e);
	if (found)
		note(g, &guard);
	return 0;
}
