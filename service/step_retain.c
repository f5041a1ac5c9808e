/*
 * The step "retain": what the policy lets go of is deleted, region by region,
 * where nothing stands against it.  See service/retain.h.
 *
 * Doing it again is harmless: it judges what is there then, and the day's
 * budget counts what was deleted already.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "service/catalog_keep.h"
#include "service/retain.h"
#include "service/run_snapshot.h"
#include "service/step.h"

/* ---- Lists that shrink -------------------------------------------------- */

/* Off the list only when every region keeps it: one list serves them all. */
static int forget_kept(struct retain *x, const struct resource *source,
		       struct err *e)
{
	for (size_t i = 0; i < x->n_regions && !x->unreached; i++) {
		const char *scope = retain_scope(x->regions[i].region);

		for (size_t k = 0; k < x->regions[i].n; k++) {
			const struct retain_copy *c = &x->regions[i].v[k];

			if (!c->kept_again ||
			    strcmp(c->source, source->name) != 0 ||
			    !retain_is_kept_again(x, scope, c->text))
				continue;
			if (catalog_shortening_forget(
				    x->run->catalog, x->run->repository->name,
				    source->name, scope, c->text, e) < 0)
				return -1;
		}
	}
	return 0;
}

/* ---- Lists that are done ------------------------------------------------ */

struct waiting {
	const struct retain *x;
	const char *scope; /* of the list that is looked at */
	int64_t ids[256];
	size_t n;
	bool live;
};

static int see_snapshot(void *arg, const char *id, struct err *e UNUSED)
{
	struct waiting *w = arg;

	w->live |= retain_is_live_in(w->x, w->scope, id);
	return w->live ? 1 : 0;
}

static int see_list(void *arg, const struct catalog_shortening *list,
		    struct err *e)
{
	struct waiting *w = arg;

	w->live = false;
	w->scope = list->region;
	if (catalog_shortening_snapshots(w->x->run->catalog, list->id,
					 see_snapshot, w, e) < 0)
		return -1;
	if (!w->live && w->n < sizeof(w->ids) / sizeof(w->ids[0]))
		w->ids[w->n++] = list->id;
	return 0;
}

/*
 * Nothing that it lists is left: it was carried out, or the region has no
 * policy of its own any more, and so no rules that let anything go.
 */
static int close_lists(struct retain *x, const struct resource *source,
		       struct err *e)
{
	const struct catalog_shortening_filter filter = {
		.repository = x->run->repository->name,
		.source = source->name,
		.state = "waiting"
	};
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = x->now };
	struct waiting w = { .x = x };

	if (x->unreached)
		return 0;
	if (catalog_shortenings(x->run->catalog, &filter, see_list, &w, e) < 0)
		return -1;
	for (size_t i = 0; i < w.n; i++)
		if (catalog_shortening_applied(x->run->catalog, w.ids[i], &who,
					       e) < 0)
			return -1;
	return 0;
}

/* ---- Deletions that are whole ------------------------------------------- */

static int mirror_deletions(struct retain *x, const struct resource *source,
			    const struct retain_rule_sets *rules, struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = x->now };
	char reason[200];

	for (size_t i = 0; i < x->n_regions; i++) {
		(void)snprintf(reason, sizeof(reason), "policy %s",
			       rules[i].v[rules[i].own].name);
		for (size_t k = 0; k < x->regions[i].n; k++) {
			const struct retain_copy *c = &x->regions[i].v[k];

			if (!c->deleted ||
			    instant_compare(c->deleted_at, x->now) != 0 ||
			    strcmp(c->source, source->name) != 0 ||
			    x->unreached || retain_is_live(x, c->text))
				continue;
			if (catalog_snapshot_deleted(
				    x->run->catalog, x->run->repository->name,
				    c->text, reason, &who, e) < 0)
				return -1;
		}
	}
	return 0;
}

/* ---- Holds -------------------------------------------------------------- */

/* What holds there are is not known: nothing is deleted. */
static int see_holds(struct retain *x, struct err *e)
{
	struct err why = { 0 };

	if (retain_holds(x, &why) == 0)
		return 0;
	if (why.code == ERR_INTERRUPTED || why.code == ERR_NO_MEMORY) {
		*e = why;
		return -1;
	}
	for (size_t i = 0; i < x->n_regions; i++)
		x->regions[i].is_doubtful = true;
	retain_problem(x, "the holds cannot be listed, nothing is deleted: %s",
		       why.text);
	return 0;
}

/* ---- The step ----------------------------------------------------------- */

/*
 * Those of all regions first, also of one that is away: what was decided of
 * one says by which rules, and is no history of the next; and what the rules
 * of one would keep waits in the others.
 */
static int judge_all(struct retain *x, const struct resource *source,
		     struct retain_rule_sets *rules,
		     struct retain_outcome *outcome, struct err *e)
{
	for (size_t i = 0; i < x->n_regions; i++)
		if (retain_rules_load(x, source, x->regions[i].region,
				      &rules[i], e) < 0)
			return -1;
	for (size_t i = 0; i < x->n_regions; i++)
		if (x->regions[i].repository &&
		    retain_judge(x, source, rules, i, outcome, e) < 0)
			return -1;
	return forget_kept(x, source, e) < 0 ||
			       mirror_deletions(x, source, rules, e) < 0
		       ? -1
		       : close_lists(x, source, e);
}

static int retain_source(struct retain *x, const struct resource *source,
			 struct retain_outcome *outcome, struct err *e)
{
	struct object_id ignored;
	const int taken = run_snapshot_get(x->run, source->name, &ignored, e);
	struct retain_rule_sets *rules;
	int failed;

	/* A source that this run could not read is left alone. */
	if (taken <= 0)
		return taken;
	rules = calloc(x->n_regions + 1, sizeof(*rules));
	if (!rules)
		return err_oom(e);
	failed = judge_all(x, source, rules, outcome, e);
	for (size_t i = 0; i < x->n_regions; i++)
		retain_rules_done(&rules[i]);
	free(rules);
	return failed;
}

static int tell(const struct retain *x, const struct retain_outcome *o,
		struct run_result *result, struct err *e)
{
	const uint64_t blocked = o->counts[GUARD_FLOOR_BLOCKED];
	const uint64_t waiting = o->counts[GUARD_WAITS_FOR_REGION];
	struct json j;

	result->state = x->problem[0] || blocked || waiting ? RUN_PARTIAL
							    : RUN_SUCCEEDED;
	if (x->problem[0])
		(void)snprintf(result->message, sizeof(result->message), "%s",
			       x->problem);
	else if (blocked)
		(void)snprintf(result->message, sizeof(result->message),
			       "floor-blocked: %ju snapshots stay, because too "
			       "few others have copies that were verified "
			       "lately",
			       (uintmax_t)blocked);
	else if (waiting)
		(void)snprintf(result->message, sizeof(result->message),
			       "waits-for-region: %ju snapshots stay, because "
			       "a region whose rules would keep them has not "
			       "got them yet",
			       (uintmax_t)waiting);
	json_init(&j, json_to_buf, &result->details);
	json_begin_object(&j);
	for (int v = 0; v < GUARD_VERDICTS; v++)
		if (o->counts[v])
			json_kv_uint(&j,
				     guard_verdict_name((enum guard_verdict)v),
				     o->counts[v]);
	json_end_object(&j);
	return json_finish(&j, e);
}

int step_retain(struct run *r, const struct resource *source UNUSED,
		struct run_result *result, struct err *e)
{
	CLEANUP(retain_done) struct retain x = { .run = r };
	struct retain_outcome outcome = { .counts = { 0 } };
	const int trusted = run_clock_is_sure(r, result, e);

	if (trusted <= 0)
		return trusted;
	retain_init(&x, r, clock_now());
	if (retain_gather(&x, e) < 0 || see_holds(&x, e) < 0)
		return -1;
	for (size_t i = 0; i < r->source_count; i++) {
		struct err why = { 0 };

		if (retain_source(&x, r->sources[i], &outcome, &why) < 0) {
			if (why.code == ERR_INTERRUPTED) {
				*e = why;
				return -1;
			}
			retain_problem(&x, "source %s: %s", r->sources[i]->name,
				       why.text);
		}
	}
	return tell(&x, &outcome, result, e);
}
