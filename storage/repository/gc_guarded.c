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

/* 1 and by what, 0, -1. */
static int ask(struct gc *g, const char *name, struct store_guard *ret,
	       struct err *e)
{
	int found;

	if (!g->can_guard)
		return 0;
	found = store_guarded(g->store, name, ret, e);
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
	found = store_guarded(g->store, name, &guard, &why);
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
