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

/* Of each version, one after the other: 1, 0 absent, -1. */
static int ask_each(struct gc *g, const char *name, struct store_guard *ret,
		    struct err *e)
{
	struct store_guard x;
	unsigned int n = 1;
	int there;

	*ret = (struct store_guard){ .held = false };
	while ((there = store_turn(g->store, name, n, e)) > 0) {
		if (store_guarded(g->store, name, &x, e) < 0)
			return -1;
		ret->held |= x.held;
		if (instant_compare(x.until, ret->until) > 0)
			ret->until = x.until;
		n++;
	}
	return there < 0 ? -1 : n > 1;
}

/*
 * The most that guards any version of it: while one is, nothing of it goes.
 * Somebody may have put another on top, or below, that nothing guards.
 */
static int most_of(struct gc *g, const char *name, struct store_guard *ret,
		   struct err *e)
{
	struct err ignored = { 0 };
	int found;

	if (!store_has_several(g->store, name))
		return store_guarded(g->store, name, ret, e);
	found = ask_each(g, name, ret, e);
	/* The first is what is read from here on, whatever was answered. */
	if (store_turn(g->store, name, 1, found < 0 ? &ignored : e) < 0)
		return -1;
	return found;
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
