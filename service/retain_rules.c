/*
 * The rules in force come from the resources; those that were in force before
 * come from the evaluations, whose inputs name each policy with its version:
 * whatever door a change came through (policy, label, schedule, source), the
 * evaluations before it were made by other rules than those after it.  Each
 * names the policies of all schedules of the source, not only of the one that
 * ran, so it does not matter which of them runs again, or when.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/retain.h"
#include "service/zoneinfo.h"

enum { SETS_MAX = 64 };

void retain_rules_done(struct retain_rule_sets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		resource_free(s->v[i].resource);
		zone_free(s->v[i].zone);
		free(s->v[i].spec);
	}
	free(s->v);
	*s = (struct retain_rule_sets){ .n = 0 };
}

struct retain_rules *retain_rules_add(struct retain_rule_sets *s, struct err *e)
{
	struct retain_rules *more;

	if (s->n == SETS_MAX) {
		(void)err_set(e, ERR_FULL, "more than %d sets of rules apply",
			      SETS_MAX);
		return NULL;
	}
	more = reallocarray(s->v, s->n + 1, sizeof(*more));
	if (!more) {
		(void)err_oom(e);
		return NULL;
	}
	s->v = more;
	s->v[s->n] = (struct retain_rules){ .former = false };
	return &s->v[s->n++];
}

static bool has(const struct retain_rule_sets *s, const char *uid,
		int64_t version, bool floor_only)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].before_all && strcmp(s->v[i].uid, uid) == 0 &&
		    s->v[i].version == version &&
		    (floor_only || !s->v[i].floor_only))
			return true;
	return false;
}

int retain_rules_prepare(struct retain_rules *r,
			 const struct resource_form *form, struct err *e)
{
	if (resource_from_form(form, &r->resource, e) < 0)
		return -1;
	r->spec = strdup(form->spec_json);
	if (!r->spec)
		return err_oom(e);
	r->policy = r->resource->policy.retention;
	if (zoneinfo_load(r->resource->policy.time_zone, &r->zone, e) < 0)
		return err_wrap(e, "policy %s", text_quote_str(r->name).s);
	r->policy.zone = r->zone;
	return 0;
}

/* ---- In force ----------------------------------------------------------- */

struct names {
	struct run *run;
	const struct resource *source;
	const struct resource_region *region;
	char v[SETS_MAX][RESOURCE_NAME_MAX + 1]; /* of policies; "": none */
	size_t n;
	bool is_served;
};

static int add_name(struct names *names, const char *policy, struct err *e)
{
	if (!policy)
		policy = "";
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i], policy) == 0)
			return 0;
	if (names->n == SETS_MAX)
		return err_set(e, ERR_FULL, "more than %d policies apply",
			       SETS_MAX);
	(void)snprintf(names->v[names->n++], sizeof(names->v[0]), "%s", policy);
	return 0;
}

static int look_at_schedule(void *arg, const struct catalog_resource *row,
			    struct err *e)
{
	struct names *names = arg;
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	CLEANUP(resource_free) struct resource *schedule = NULL;

	if (resource_from_form(&form, &schedule, e) < 0)
		return -1;
	if (strcmp(schedule->schedule.repository,
		   names->run->repository->name) != 0 ||
	    !resource_selects(schedule, names->source))
		return 0;
	for (size_t i = 0; i < schedule->schedule.replicate_to.count; i++)
		names->is_served |=
			strcmp(schedule->schedule.replicate_to.items[i],
			       names->region->name) == 0;
	return add_name(names, schedule->schedule.policy, e);
}

static int read_policy(void *arg, const struct catalog_resource *row,
		       struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	struct retain_rules *r = arg;

	(void)snprintf(r->name, sizeof(r->name), "%s", row->name);
	(void)snprintf(r->uid, sizeof(r->uid), "%s", row->uid);
	r->version = row->version;
	return retain_rules_prepare(r, &form, e);
}

/* Without a floor it says nothing here. */
static void drop_without_floor(struct retain_rule_sets *s)
{
	struct retain_rules *r = &s->v[s->n - 1];

	if (r->resource && r->resource->policy.floor_snapshots)
		return;
	resource_free(r->resource);
	zone_free(r->zone);
	free(r->spec);
	s->n--;
}

static int load_current(struct retain *x, const struct resource *source,
			const struct resource_region *region,
			struct retain_rule_sets *s, struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = "Schedule" };
	const struct resource_repository *r = &x->run->repository->repository;
	struct names names = { .run = x->run,
			       .source = source,
			       .region = region,
			       .is_served = region->primary };
	const char *own = region->policy;

	if (!own && x->run->policy)
		own = x->run->policy->name;
	/* The region's own first, or the run's.  Outside of runs those of all
	 * schedules are asked; what none brings here nobody judges. */
	if (((own || x->run->schedule) && add_name(&names, own, e) < 0) ||
	    (region->policy && x->run->policy &&
	     add_name(&names, x->run->policy->name, e) < 0) ||
	    catalog_resources(x->run->catalog, &filter, look_at_schedule,
			      &names, e) < 0 ||
	    (names.n == 0 && add_name(&names, NULL, e) < 0))
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		struct retain_rules *set = retain_rules_add(s, e);
		int found;

		if (!set)
			return -1;
		set->floor_only = region->policy && i > 0;
		found = !names.v[i][0];
		if (!found)
			found = catalog_resource_get(x->run->catalog, "Policy",
						     names.v[i], read_policy,
						     set, e);
		if (found < 0)
			return -1;
		if (found == 0)
			return err_set(e, ERR_NOT_FOUND,
				       "there is no policy %s",
				       text_quote_str(names.v[i]).s);
		if (set->floor_only)
			drop_without_floor(s);
	}
	s->own = 0;
	s->is_own = region->policy != NULL;
	for (size_t i = 0; i < r->region_count; i++)
		s->is_apart |= r->regions[i].policy != NULL;
	s->is_served = names.is_served;
	return 0;
}

/* ---- Formerly in force -------------------------------------------------- */

struct former {
	char name[RESOURCE_NAME_MAX + 1];
	char uid[33];
	int64_t version;
	bool floor_only;
	bool was_own;		   /* this region's own policy */
	struct instant until;	   /* by any region's evaluations */
	struct instant until_here; /* by this region's; or 0 */
};

struct history {
	struct catalog *catalog;
	const char *region;
	const struct retain_rule_sets *current;
	struct instant begin;	   /* of the cooling-off period */
	struct instant newer;	   /* when the evaluation just newer was made */
	struct instant newer_here; /* the same, of this region */
	struct former v[SETS_MAX];
	size_t n;
	bool complete;	/* it reaches back beyond the period */
	bool is_judged; /* this region was, ever */
	bool is_apart;	/* one was, by a policy of its own */
};

static struct former *find_former(struct history *h, const char *uid,
				  int64_t version, bool floor_only)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->v[i].uid, uid) == 0 &&
		    h->v[i].version == version &&
		    (floor_only || !h->v[i].floor_only))
			return &h->v[i];
	return NULL;
}

static void later_of(struct instant *t, struct instant other)
{
	if (instant_compare(other, *t) > 0)
		*t = other;
}

/* Newest first, so whatever is seen now was replaced by h->newer, and if it is
 * this region's, here by h->newer_here. */
static int add_former(struct history *h, const struct former *set, bool is_here,
		      struct err *e)
{
	struct former *f = find_former(h, set->uid, set->version,
				       set->floor_only);

	if (has(h->current, set->uid, set->version, set->floor_only))
		return 0;
	if (!f && h->n == SETS_MAX)
		return err_set(e, ERR_FULL,
			       "more than %d sets of rules applied lately",
			       SETS_MAX);
	if (!f) {
		f = &h->v[h->n++];
		*f = *set;
		f->until = h->newer;
	}
	f->was_own |= set->was_own;
	if (is_here)
		later_of(&f->until_here, h->newer_here);
	return 0;
}

static const char *text_of(const json_t *set, const char *key)
{
	const char *text = json_string_value(json_object_get(set, key));

	return text ? text : "";
}

/*
 * The sets that an evaluation was made with, all schedules' of the source,
 * or NULL.  They come first in its inputs, and what follows may be some
 * hundred megabytes about snapshots, so it is left alone.
 */
static json_t *read_sets(const char *inputs)
{
	const size_t n = strlen(RETAIN_INPUTS_BEGIN);

	return strncmp(inputs, RETAIN_INPUTS_BEGIN, n) == 0
		       ? jsontree_loads(inputs + n, JSON_DISABLE_EOF_CHECK,
					NULL)
		       : NULL;
}

static int take_sets(void *arg, const struct catalog_evaluation *v,
		     struct err *e UNUSED)
{
	*(json_t **)arg = read_sets(v->inputs_json);
	return 1;
}

/* The sets in force at an evaluation, or NULL when nobody knows them. */
static int load_sets(const struct history *h,
		     const struct catalog_evaluation *v, json_t **ret,
		     struct err *e)
{
	const struct catalog_evaluation_filter filter = { .id = v->id };

	*ret = jsontree_loads(v->rules_json, 0, NULL);
	return *ret ? 0
		    : catalog_evaluations(h->catalog, &filter, take_sets, ret,
					  e);
}

/* It was made by a policy of the region's own. */
static bool is_apart(const json_t *sets)
{
	return json_is_true(json_object_get(json_array_get(sets, 0), "region"));
}

static int add_sets(struct history *h, const struct catalog_evaluation *v,
		    const json_t *sets, struct err *e)
{
	const bool is_here = strcmp(v->region, h->region) == 0;
	const struct former unknown = { .version = 0 };
	const bool is_own = is_here && is_apart(sets);
	struct former set = { .version = v->policy_version, .was_own = is_own };

	(void)snprintf(set.name, sizeof(set.name), "%s", v->policy);
	(void)snprintf(set.uid, sizeof(set.uid), "%s", v->policy_uid);
	/* Its own row names the policy of the schedule that ran.  By which
	 * others nobody may know: they may have kept everything. */
	if (add_former(h, &set, is_here, e) < 0 ||
	    (!sets && add_former(h, &unknown, is_here, e) < 0))
		return -1;
	for (size_t i = 0; i < json_array_size(sets); i++) {
		const json_t *from = json_array_get(sets, i);

		set = (struct former){
			.version = json_integer_value(
				json_object_get(from, "version")),
			.floor_only = json_is_true(
				json_object_get(from, "floor_only"))
		};
		(void)snprintf(set.name, sizeof(set.name), "%s",
			       text_of(from, "policy"));
		(void)snprintf(set.uid, sizeof(set.uid), "%s",
			       text_of(from, "uid"));
		if (add_former(h, &set, is_here, e) < 0)
			return -1;
	}
	return 0;
}

static int look_at_evaluation(void *arg, const struct catalog_evaluation *v,
			      struct err *e)
{
	struct history *h = arg;
	const bool is_here = strcmp(v->region, h->region) == 0;
	json_t *sets = NULL;
	int failed = load_sets(h, v, &sets, e);
	bool apart;

	if (failed < 0)
		return -1;
	apart = is_apart(sets);
	h->is_judged |= is_here;
	h->is_apart |= apart;
	/* Another region that keeps by a policy of its own is another matter,
	 * and so is any to one that does. */
	if (!is_here && (apart || h->current->is_own)) {
		json_decref(sets);
		return 0;
	}
	failed = add_sets(h, v, sets, e);
	json_decref(sets);
	if (failed < 0)
		return -1;
	h->newer = v->now;
	if (is_here)
		h->newer_here = v->now;
	h->complete = instant_compare(v->now, h->begin) <= 0;
	return h->complete ? 1 : 0;
}

/* ---- Before the period -------------------------------------------------- */

/*
 * A region that has no policy of its own shares its history with the others
 * that have none, which may have been judged all the time while it was away,
 * or just before it.  So where regions keep by rules of their own, what it was
 * judged by when the period began is looked up by itself.
 */
struct looking_back {
	struct history *h;
	bool is_here; /* its sets are this region's */
	bool found, is_apart;
};

static int look_back(void *arg, const struct catalog_evaluation *v,
		     struct err *e)
{
	struct looking_back *b = arg;
	json_t *sets = NULL;
	int failed = load_sets(b->h, v, &sets, e);

	b->found = true;
	b->is_apart |= is_apart(sets);
	if (failed == 0 && b->is_here)
		failed = add_sets(b->h, v, sets, e);
	json_decref(sets);
	return failed < 0 ? -1 : 0;
}

/* The last evaluation in that region (NULL: in each that there ever was) by
 * the beginning of the period. */
static int look_before(struct retain *x, const struct resource *source,
		       const char *region, struct looking_back *b,
		       struct err *e)
{
	const struct catalog_evaluation_filter filter = {
		.repository = x->run->repository->name,
		.source = source->name,
		.region = region,
		.as_of = b->h->begin,
		.newest_only = !region,
		.without_inputs = true,
		.limit = region ? 1 : 0,
	};

	b->found = false;
	return catalog_evaluations(x->run->catalog, &filter, look_back, b, e) <
			       0
		       ? -1
		       : 0;
}

/*
 * Whether any region was judged by a policy of its own when the period began.
 * One that is not declared any more counts while another is new: it may be the
 * same by another name.
 */
static int see_apart(struct retain *x, const struct resource *source,
		     struct history *h, struct err *e)
{
	const struct resource_repository *r = &x->run->repository->repository;
	struct looking_back b = { .h = h };
	bool is_any_new = false;

	for (size_t i = 0; i < r->region_count && !b.is_apart; i++) {
		if (look_before(x, source, r->regions[i].name, &b, e) < 0)
			return -1;
		is_any_new |= !b.found;
	}
	if (is_any_new && !b.is_apart &&
	    look_before(x, source, NULL, &b, e) < 0)
		return -1;
	h->is_apart |= b.is_apart;
	return 0;
}

static int look_behind(struct retain *x, const struct resource *source,
		       const struct retain_rule_sets *s, struct history *h,
		       struct err *e)
{
	struct looking_back b = { .h = h, .is_here = true };

	if (s->is_own)
		return 0;
	if (!s->is_apart && !h->is_apart && see_apart(x, source, h, e) < 0)
		return -1;
	if (!s->is_apart && !h->is_apart)
		return 0;
	if (look_before(x, source, h->region, &b, e) < 0)
		return -1;
	h->is_judged |= b.found;
	h->complete |= b.found;
	for (size_t i = 0; i < h->n; i++)
		later_of(&h->v[i].until, h->v[i].until_here);
	return 0;
}

/* ---- All that was in force before --------------------------------------- */

static int read_version(void *arg, const struct catalog_version *row,
			struct err *e)
{
	struct retain_rules *r = arg;
	const struct resource_form form = { .kind = "Policy",
					    .name = r->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return retain_rules_prepare(r, &form, e);
}

static int load_former(struct retain *x, const struct former *f,
		       struct retain_rule_sets *s, struct err *e)
{
	struct retain_rules *r = retain_rules_add(s, e);

	if (!r)
		return -1;
	r->former = true;
	r->floor_only = f->floor_only;
	r->was_own = f->was_own;
	r->until = f->until;
	r->version = f->version;
	(void)snprintf(r->name, sizeof(r->name), "%s", f->name);
	(void)snprintf(r->uid, sizeof(r->uid), "%s", f->uid);
	/* A version that is gone from the catalog counts as one that keeps
	 * everything. */
	return !f->uid[0] ? 0
	       : catalog_version_get(x->run->catalog, f->uid, f->version,
				     read_version, r, e) < 0
		       ? -1
		       : 0;
}

/* All that was there until then was kept, as far as is known. */
static int add_unknown(struct retain_rule_sets *s, struct instant until,
		       bool before_all, struct err *e)
{
	struct retain_rules *r = retain_rules_add(s, e);

	if (!r)
		return -1;
	r->former = true;
	r->before_all = before_all;
	r->until = until;
	return 0;
}

static int see_any(void *arg, const struct catalog_evaluation *v UNUSED,
		   struct err *e UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

/* Whether the source was judged in any region at any time. */
static int was_judged(struct retain *x, const struct resource *source,
		      bool *ret, struct err *e)
{
	const struct catalog_evaluation_filter filter = {
		.repository = x->run->repository->name,
		.source = source->name,
		.without_inputs = true,
		.limit = 1,
	};

	*ret = false;
	return catalog_evaluations(x->run->catalog, &filter, see_any, ret, e) <
			       0
		       ? -1
		       : 0;
}

/*
 * A region that nobody judged by this name may be a new one, or have had
 * another name and other rules until now: where regions keep by rules of their
 * own, what it holds was kept.
 */
static int add_unjudged(struct retain *x, const struct resource *source,
			const struct history *h, struct retain_rule_sets *s,
			bool *ret, struct err *e)
{
	*ret = false;
	if (h->is_judged || !(s->is_own || h->is_apart))
		return 0;
	if (was_judged(x, source, ret, e) < 0)
		return -1;
	return *ret ? add_unknown(s, x->now, false, e) : 0;
}

static int load_history(struct retain *x, const struct resource *source,
			const struct resource_region *region,
			struct retain_rule_sets *s, struct err *e)
{
	const int64_t cooling_ms = config_ms(x->run->config,
					     CONFIG_COOLING_OFF);
	const struct catalog_evaluation_filter filter = {
		.repository = x->run->repository->name,
		.source = source->name,
		.region = s->is_own ? region->name : NULL,
		.without_inputs = true,
	};
	struct history h = { .catalog = x->run->catalog,
			     .region = region->name,
			     .current = s,
			     .begin = instant_add_ms(x->now, -cooling_ms),
			     .newer = x->now,
			     .newer_here = x->now };
	bool unjudged;

	if (catalog_evaluations(x->run->catalog, &filter, look_at_evaluation,
				&h, e) < 0 ||
	    look_behind(x, source, s, &h, e) < 0)
		return -1;
	for (size_t i = 0; i < h.n; i++)
		if (load_former(x, &h.v[i], s, e) < 0)
			return -1;
	s->is_apart |= h.is_apart;
	if (add_unjudged(x, source, &h, s, &unjudged, e) < 0)
		return -1;
	return h.complete || unjudged ? 0 : add_unknown(s, h.newer, true, e);
}

static void add_floor(struct guard_floor *f, const struct resource_policy *p)
{
	if (!p->floor_snapshots)
		return;
	if (p->floor_snapshots > f->snapshots)
		f->snapshots = (uint32_t)p->floor_snapshots;
	if (p->floor_regions > f->regions)
		f->regions = (uint32_t)p->floor_regions;
	if (!f->verified_within_ms ||
	    p->floor_verified_within_ms < f->verified_within_ms)
		f->verified_within_ms = p->floor_verified_within_ms;
}

void retain_rules_summarize(struct retain_rule_sets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct retain_rules *r = &s->v[i];

		if (r->former) {
			s->changed = true;
			later_of(&s->last, r->until);
		}
		if (!r->resource)
			continue;
		add_floor(&s->floor_before, &r->resource->policy);
		if (!r->former)
			add_floor(&s->floor, &r->resource->policy);
		else if (r->resource->policy.floor_snapshots)
			later_of(&s->floor_until, r->until);
	}
}

static bool is_in_force(const struct retain_rules *r)
{
	return !r->former && !r->floor_only;
}

static bool has_all(const struct retain_rule_sets *a,
		    const struct retain_rule_sets *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct retain_rules *r = &b->v[i];
		bool found = !is_in_force(r);

		for (size_t k = 0; k < a->n && !found; k++)
			found = is_in_force(&a->v[k]) &&
				strcmp(a->v[k].uid, r->uid) == 0;
		if (!found)
			return false;
	}
	return true;
}

bool retain_rules_is_asked(const struct retain_rules *r)
{
	return is_in_force(r) || (r->former && r->was_own && !r->floor_only);
}

bool retain_rules_reach(const struct retain_rules *r, struct instant received)
{
	return !r->former || instant_compare(received, r->until) <= 0;
}

static bool asks_former(const struct retain_rule_sets *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].former && retain_rules_is_asked(&s->v[i]))
			return true;
	return false;
}

bool retain_rules_same(const struct retain_rule_sets *theirs,
		       const struct retain_rule_sets *ours)
{
	return !asks_former(theirs) && has_all(theirs, ours) &&
	       has_all(ours, theirs);
}

int retain_rules_load(struct retain *x, const struct resource *source,
		      const struct resource_region *region,
		      struct retain_rule_sets *ret, struct err *e)
{
	CLEANUP(retain_rules_done) struct retain_rule_sets s = { .n = 0 };

	if (load_current(x, source, region, &s, e) < 0 ||
	    load_history(x, source, region, &s, e) < 0)
		return -1;
	retain_rules_summarize(&s);
	*ret = s;
	s = (struct retain_rule_sets){ .n = 0 };
	return 0;
}
