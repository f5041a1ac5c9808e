#include "schedules/guard.h"

#include <stdlib.h>
#include <string.h>

/* However few there are, this many may go in a day. */
#define BUDGET_LEAST 2
#define BUDGET_SHARE 10

static const struct {
	const char *name;
	const char *text;
} verdicts[GUARD_VERDICTS] = {
	[GUARD_KEEP] = { "keep", "a rule keeps it" },
	[GUARD_DELETE] = { "delete", "no rule keeps it" },
	[GUARD_HELD] = { "held", "a legal hold is on it" },
	[GUARD_LOCKED] = { "locked", "it is locked until a later time" },
	[GUARD_WAITS_FOR_REGION] = { "waits-for-region",
				     "a region whose rules would keep it has "
				     "not got it yet" },
	[GUARD_FLOOR_BLOCKED] = { "floor-blocked",
				  "too few snapshots of its source would "
				  "remain whose copies are verified" },
	[GUARD_COOLING_OFF] = { "cooling-off",
				"a change let it go, and its announcement is "
				"not old enough" },
	[GUARD_HELD_BY_BUDGET] = { "held-by-budget",
				   "as many as may go in a day have gone" },
};

const char *guard_verdict_name(enum guard_verdict v)
{
	return (unsigned int)v < GUARD_VERDICTS ? verdicts[v].name : "";
}

const char *guard_verdict_text(enum guard_verdict v)
{
	return (unsigned int)v < GUARD_VERDICTS ? verdicts[v].text : "";
}

bool guard_is_proven(const struct guard_floor *f,
		     const struct guard_copy *copies, size_t n,
		     struct instant now)
{
	const uint32_t wanted = f->regions ? f->regions : 1;
	uint32_t regions = 0;

	for (size_t i = 0; i < n; i++) {
		const int64_t age_ms = instant_ms_between(copies[i].oldest,
							  now);

		regions += copies[i].verified && age_ms >= 0 &&
			   age_ms <= f->verified_within_ms;
	}
	return regions >= wanted;
}

uint64_t guard_budget(uint64_t present, uint64_t deleted)
{
	uint64_t budget = present / BUDGET_SHARE;

	if (budget < BUDGET_LEAST)
		budget = BUDGET_LEAST;
	return deleted < budget ? budget - deleted : 0;
}

/* Oldest first, the same time by id. */
static int compare(const void *a, const void *b, void *arg)
{
	const struct guard_snapshot *s = *(const struct guard_snapshot **)arg;
	const struct guard_snapshot *x = &s[*(const size_t *)a];
	const struct guard_snapshot *y = &s[*(const size_t *)b];
	const int order = instant_compare(x->received, y->received);

	return order ? order : strcmp(x->id, y->id);
}

static enum guard_verdict by_itself(const struct guard_snapshot *s,
				    struct instant now)
{
	if (s->kept)
		return GUARD_KEEP;
	if (s->held)
		return GUARD_HELD;
	if (s->locked && instant_compare(now, s->locked_until) < 0)
		return GUARD_LOCKED;
	if (s->awaited)
		return GUARD_WAITS_FOR_REGION;
	return GUARD_DELETE;
}

/* The n candidates for deletion are at order[], oldest first. */
struct candidates {
	const struct guard_snapshot *snapshots;
	size_t *order;
	size_t n;
	size_t proven;	  /* of all snapshots */
	size_t remaining; /* proven ones that are no candidates */
};

static void apply_floor(const struct candidates *c, uint32_t floor,
			enum guard_verdict *verdicts_out)
{
	size_t remaining = c->remaining;

	for (size_t i = c->n; i-- > 0;) {
		const size_t k = c->order[i];
		const bool proven = c->snapshots[k].proven;

		if (c->proven < floor || (proven && remaining < floor))
			verdicts_out[k] = GUARD_FLOOR_BLOCKED;
		remaining += proven;
	}
}

static void apply_rest(const struct candidates *c, uint64_t budget,
		       enum guard_verdict *verdicts_out)
{
	for (size_t i = 0; i < c->n; i++) {
		enum guard_verdict *v = &verdicts_out[c->order[i]];

		if (*v != GUARD_DELETE)
			continue;
		if (c->snapshots[c->order[i]].cooling_off)
			*v = GUARD_COOLING_OFF;
		else if (budget == 0)
			*v = GUARD_HELD_BY_BUDGET;
		else
			budget--;
	}
}

int guard_decide(const struct guard_snapshot *snapshots, size_t n,
		 const struct guard_limits *limits, struct instant now,
		 enum guard_verdict *ret, struct err *e)
{
	struct candidates c = { .snapshots = snapshots };

	c.order = calloc(n ? n : 1, sizeof(*c.order));
	if (!c.order)
		return err_oom(e);
	for (size_t i = 0; i < n; i++) {
		const bool proven = snapshots[i].proven;

		ret[i] = by_itself(&snapshots[i], now);
		c.proven += proven;
		if (ret[i] == GUARD_DELETE)
			c.order[c.n++] = i;
		else
			c.remaining += proven;
	}
	if (c.n > 1)
		qsort_r(c.order, c.n, sizeof(*c.order), compare, &snapshots);
	apply_floor(&c, limits->floor, ret);
	apply_rest(&c, limits->budget, ret);
	free(c.order);
	return 0;
}
