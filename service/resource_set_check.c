#include "service/resource_set_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/operation.h"

/* One resource as it would be after the apply. */
struct after {
	const struct resource *resource;
	const struct set_item *item; /* NULL: exists, and stays as it is */
	struct resource *owned;
};

struct checking {
	const struct resource_set *set;
	struct problem_list *problems;
	struct after *all; /* by kind */
	size_t count, size;
	enum resource_kind kind; /* while the world is listed */
	struct err *e;
};

static bool same(const struct resource *r, enum resource_kind kind,
		 const char *name)
{
	return r->kind == kind && r->name && strcmp(r->name, name) == 0;
}

static int add(struct checking *c, struct after one, struct err *e)
{
	struct after *all;

	if (c->count == c->size) {
		c->size = c->size ? c->size * 2 : 64;
		all = realloc(c->all, c->size * sizeof(*all));
		if (all == NULL)
			return err_oom(e);
		c->all = all;
	}
	c->all[c->count++] = one;
	return 0;
}

static const struct set_item *in_set(const struct resource_set *s,
				     enum resource_kind kind, const char *name)
{
	size_t low = 0;
	size_t high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct resource *r = s->items[mid].resource;
		int c = r->kind != kind ? (r->kind < kind ? -1 : 1)
					: strcmp(r->name, name);

		if (c == 0)
			return &s->items[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool is_broken(const struct checking *c, enum resource_kind kind,
		      const char *name)
{
	for (size_t i = 0; i < c->set->broken_count; i++)
		if (same(c->set->broken[i].resource, kind, name))
			return true;
	return false;
}

/* Existing resources that no document replaces. */
static int visit_existing(void *arg, const struct resource_form *form,
			  struct err *e)
{
	struct checking *c = arg;
	struct resource *r;

	if (in_set(c->set, c->kind, form->name) ||
	    is_broken(c, c->kind, form->name))
		return 0;
	if (resource_from_form(form, &r, e) < 0)
		return -1;
	if (add(c, (struct after){ r, NULL, r }, e) == 0)
		return 0;
	resource_free(r);
	return -1;
}

static int by_name(const void *a, const void *b)
{
	const struct after *x = a;
	const struct after *y = b;

	if (x->resource->kind != y->resource->kind)
		return x->resource->kind < y->resource->kind ? -1 : 1;
	return strcmp(x->resource->name, y->resource->name);
}

static int collect(struct checking *c, const struct resource_world *world)
{
	for (size_t i = 0; i < c->set->count; i++) {
		const struct set_item *item = &c->set->items[i];

		if (add(c, (struct after){ item->resource, item, NULL }, c->e) <
		    0)
			return -1;
	}
	for (unsigned int k = 0; world && k < RESOURCE_KINDS; k++) {
		c->kind = (enum resource_kind)k;
		if (world->list(world->arg, c->kind, visit_existing, c, c->e) <
		    0)
			return -1;
	}
	if (c->count > 0)
		qsort(c->all, c->count, sizeof(*c->all), by_name);
	return 0;
}

static const struct after *find(const struct checking *c,
				enum resource_kind kind, const char *name)
{
	struct resource key = { .kind = kind, .name = name };
	struct after one = { .resource = &key };

	if (name == NULL || c->count == 0)
		return NULL;
	return bsearch(&one, c->all, c->count, sizeof(one), by_name);
}

/* ---- Saying it at the right place ------------------------------------------
 */

/* "spec.sources.names" and an index into that list, or -1. */
struct spot {
	const char *parts[3];
	int64_t index;
};

static struct problem_place spot_place(const struct set_item *item,
				       const struct spot *spot)
{
	const struct yaml_node *node = yaml_get(item->document, "spec");
	const struct yaml_node *next;

	if (node == NULL)
		return yaml_place(item->y, item->document);
	for (size_t i = 0; i < 3 && spot->parts[i]; i++) {
		next = yaml_get(node, spot->parts[i]);
		if (next == NULL)
			return yaml_place(item->y, node);
		node = next;
	}
	next = spot->index >= 0 ? node->first : NULL;
	for (int64_t i = 0; next && i < spot->index; i++)
		next = next->next;
	return yaml_place(item->y, next ? next : node);
}

/*
 * A problem of one resource.  When it stands in no document but something
 * that it refers to does (blame), that document broke it.  When neither does,
 * it was there before and is no matter of this apply.
 */
static bool report(struct checking *c, const struct after *of,
		   const struct after *blame, const struct spot *spot,
		   const char *what)
{
	if (of->item) {
		problem_add(c->problems, spot_place(of->item, spot), "%s",
			    what);
		return true;
	}
	if (blame == NULL || blame->item == NULL)
		return false;
	problem_add(c->problems,
		    yaml_place(blame->item->y, blame->item->document),
		    "this would break %s %s, which exists: %s",
		    resource_kind_name(of->resource->kind),
		    text_quote_str(of->resource->name).s, what);
	return true;
}

struct names {
	const struct checking *c;
	enum resource_kind kind;
};

static const char *nth_name(void *arg, size_t n)
{
	const struct names *names = arg;

	for (size_t i = 0; i < names->c->count; i++)
		if (names->c->all[i].resource->kind == names->kind && n-- == 0)
			return names->c->all[i].resource->name;
	return NULL;
}

static const char *nth_region(void *arg, size_t n)
{
	const struct resource *const *r = arg;
	const struct resource_repository *repo = &(*r)->repository;

	return n < repo->region_count ? repo->regions[n].name : NULL;
}

static void mend_nearest(struct checking *c, const char *name,
			 const char *(*nth)(void *, size_t), void *arg)
{
	const char *nearest = operation_nearest(name, nth, arg);

	if (nearest)
		problem_mend(c->problems, "did you mean \"%s\"?", nearest);
}

/* The names are looked at one after the other: only after a failure. */
static const struct after *need(struct checking *c, const struct after *of,
				enum resource_kind kind, const char *name,
				const struct spot *spot)
{
	const struct after *found = find(c, kind, name);
	struct names names = { c, kind };
	char what[600];

	if (found || name == NULL || is_broken(c, kind, name))
		return found;
	(void)snprintf(what, sizeof(what),
		       "found %s %s, which neither exists nor is declared",
		       resource_kind_name(kind), text_quote_str(name).s);
	if (report(c, of, NULL, spot, what))
		mend_nearest(c, name, nth_name, &names);
	return NULL;
}

/* ---- What each kind needs ---------------------------------------------------
 */

static void check_region(struct checking *c, const struct after *of,
			 const struct after *repo, const char *name,
			 const struct spot *spot)
{
	const struct resource *r = repo->resource;
	char what[600];

	if (resource_region(r, name))
		return;
	(void)snprintf(what, sizeof(what),
		       "found region %s, which Repository %s does not have",
		       text_quote_str(name).s, text_quote_str(r->name).s);
	if (report(c, of, repo, spot, what) && of->item)
		mend_nearest(c, name, nth_region, &r);
}

static void check_copies(struct checking *c, const struct after *of,
			 const struct after *repo)
{
	const struct resource_schedule *s = &of->resource->schedule;
	char what[600];

	for (size_t i = 0; i < s->replicate_to.count; i++) {
		const struct spot spot = { { "replicateTo" }, (int64_t)i };
		const char *name = s->replicate_to.items[i];
		const struct resource_region *region = resource_region(
			repo->resource, name);

		check_region(c, of, repo, name, &spot);
		if (region == NULL || !region->primary)
			continue;
		(void)snprintf(what, sizeof(what),
			       "found region %s, which is the primary: it is "
			       "written first",
			       text_quote_str(name).s);
		(void)report(c, of, repo, &spot, what);
	}
}

/* A floor that can never be reached would hold back every deletion. */
static void check_floor(struct checking *c, const struct after *of,
			const struct after *repo, const struct after *policy)
{
	const struct resource_schedule *s = &of->resource->schedule;
	const int64_t want = policy->resource->policy.floor_regions;
	const int64_t have = (int64_t)s->replicate_to.count + 1;
	const struct spot spot = { { "policy" }, -1 };
	char what[800];

	if (want <= have)
		return;
	(void)snprintf(what, sizeof(what),
		       "found Policy %s, whose floor needs %lld regions, "
		       "where the snapshots have copies in %lld",
		       text_quote_str(policy->resource->name).s,
		       (long long)want, (long long)have);
	if (report(c, of, policy->item ? policy : repo, &spot, what))
		problem_mend(c->problems,
			     "name more regions in replicateTo, or lower "
			     "floor.regions");
}

static void check_selector(struct checking *c, const struct after *of)
{
	const struct resource_schedule *s = &of->resource->schedule;
	const struct spot spot = { { "sources", "matchLabels" }, -1 };

	for (size_t i = 0; i < s->source_names.count; i++) {
		const struct spot at = { { "sources", "names" }, (int64_t)i };

		(void)need(c, of, RESOURCE_SOURCE, s->source_names.items[i],
			   &at);
	}
	if (s->match_labels.count == 0 || of->item == NULL)
		return;
	for (size_t i = 0; i < c->set->broken_count; i++)
		if (c->set->broken[i].resource->kind == RESOURCE_SOURCE)
			return;
	for (size_t i = 0; i < c->count; i++)
		if (c->all[i].resource->kind == RESOURCE_SOURCE &&
		    resource_selects(of->resource, c->all[i].resource))
			return;
	problem_warn(c->problems, spot_place(of->item, &spot),
		     "no source has these labels: nothing is protected by "
		     "this schedule");
}

static void check_schedule(struct checking *c, const struct after *of)
{
	const struct resource_schedule *s = &of->resource->schedule;
	const struct spot repository = { { "repository" }, -1 };
	const struct spot policy = { { "policy" }, -1 };
	const struct after *repo, *rules;

	repo = need(c, of, RESOURCE_REPOSITORY, s->repository, &repository);
	rules = need(c, of, RESOURCE_POLICY, s->policy, &policy);
	check_selector(c, of);
	if (repo)
		check_copies(c, of, repo);
	if (repo && rules)
		check_floor(c, of, repo, rules);
}

static bool has_text(const struct resource_texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->items[i], text) == 0)
			return true;
	return false;
}

/* What is shut away must be there, and something else must be left. */
static void check_without(struct checking *c, const struct after *of,
			  const struct after *schedule,
			  const struct after *repo)
{
	const struct resource_drill *d = &of->resource->drill;
	const struct resource_texts *to =
		&schedule->resource->schedule.replicate_to;
	const struct resource_region *primary = resource_region(repo->resource,
								NULL);
	const struct spot at = { { "without" }, -1 };
	bool is_left = d->region ? !has_text(&d->without, d->region)
				 : primary && !has_text(&d->without,
							primary->name);

	for (size_t i = 0; i < d->without.count; i++) {
		const struct spot spot = { { "without" }, (int64_t)i };

		check_region(c, of, repo, d->without.items[i], &spot);
	}
	for (size_t i = 0; !d->region && i < to->count; i++)
		is_left = is_left || !has_text(&d->without, to->items[i]);
	if (is_left || d->without.count == 0)
		return;
	if (report(c, of, schedule->item ? schedule : repo, &at,
		   "found no region that is left to restore from"))
		problem_mend(c->problems,
			     "shut fewer away, or name more regions in the "
			     "schedule's replicateTo");
}

static void check_drill(struct checking *c, const struct after *of)
{
	const struct resource_drill *d = &of->resource->drill;
	const struct spot schedule_at = { { "schedule" }, -1 };
	const struct spot region_at = { { "region" }, -1 };
	const struct after *schedule, *repo;
	const struct resource_schedule *s;
	const struct resource_region *region;
	char what[800];

	schedule = need(c, of, RESOURCE_SCHEDULE, d->schedule, &schedule_at);
	if (schedule == NULL)
		return;
	s = &schedule->resource->schedule;
	repo = find(c, RESOURCE_REPOSITORY, s->repository);
	if (repo == NULL)
		return;
	check_without(c, of, schedule, repo);
	if (d->region == NULL)
		return;
	check_region(c, of, repo, d->region, &region_at);
	region = resource_region(repo->resource, d->region);
	if (region == NULL || region->primary ||
	    has_text(&s->replicate_to, d->region))
		return;
	(void)snprintf(what, sizeof(what),
		       "found region %s, to which Schedule %s copies nothing",
		       text_quote_str(d->region).s,
		       text_quote_str(d->schedule).s);
	if (report(c, of, schedule->item ? schedule : repo, &region_at, what))
		problem_mend(c->problems,
			     "name it in the schedule's replicateTo");
}

/* The floor of a region's policy counts copies in all regions. */
static void check_region_policy(struct checking *c, const struct after *of,
				size_t region)
{
	const struct resource_repository *repo = &of->resource->repository;
	const struct spot spot = { { "regions" }, (int64_t)region };
	const char *name = repo->regions[region].policy;
	const struct after *rules = need(c, of, RESOURCE_POLICY, name, &spot);
	char what[800];

	if (!rules || rules->resource->policy.floor_regions <=
			      (int64_t)repo->region_count)
		return;
	(void)snprintf(what, sizeof(what),
		       "found Policy %s, whose floor needs %lld regions, "
		       "where the repository has %zu",
		       text_quote_str(name).s,
		       (long long)rules->resource->policy.floor_regions,
		       repo->region_count);
	if (report(c, of, rules, &spot, what))
		problem_mend(c->problems, "lower its floor.regions");
}

/* Two repositories in one place would be one repository with two keys. */
static void check_places(struct checking *c, const struct after *of,
			 size_t region)
{
	const struct resource_region *mine =
		&of->resource->repository.regions[region];
	const struct spot spot = { { "regions" }, (int64_t)region };

	for (size_t i = 0; i < c->count; i++) {
		const struct resource *r = c->all[i].resource;
		char what[600];

		if (r == of->resource || r->kind != RESOURCE_REPOSITORY ||
		    (c->all[i].item && by_name(&c->all[i], of) > 0))
			continue;
		for (size_t k = 0; k < r->repository.region_count; k++) {
			if (strcmp(r->repository.regions[k].url, mine->url) !=
			    0)
				continue;
			(void)snprintf(what, sizeof(what),
				       "found a place that Repository %s "
				       "has, expected another one",
				       text_quote_str(r->name).s);
			(void)report(c, of, NULL, &spot, what);
		}
	}
}

static void check_one(struct checking *c, const struct after *of)
{
	switch (of->resource->kind) {
	case RESOURCE_REPOSITORY:
		for (size_t i = 0; i < of->resource->repository.region_count;
		     i++) {
			check_places(c, of, i);
			check_region_policy(c, of, i);
		}
		break;
	case RESOURCE_SCHEDULE:
		check_schedule(c, of);
		break;
	case RESOURCE_DRILL:
		check_drill(c, of);
		break;
	default:
		break;
	}
}

static void check_twice(struct checking *c)
{
	for (size_t i = 1; i < c->set->count; i++) {
		const struct set_item *a = &c->set->items[i - 1];
		const struct set_item *b = &c->set->items[i];

		if (!same(a->resource, b->resource->kind, b->resource->name))
			continue;
		problem_add(c->problems, yaml_place(b->y, b->document),
			    "found %s %s again, expected it once",
			    resource_kind_name(b->resource->kind),
			    text_quote_str(b->resource->name).s);
		problem_mend(c->problems, "it stands in %s line %u already",
			     yaml_label(a->y), a->document->line);
	}
}

int resource_set_check(const struct resource_set *s,
		       const struct resource_world *world,
		       struct problem_list *problems, struct err *e)
{
	struct checking c = { .set = s, .problems = problems, .e = e };
	int rc = collect(&c, world);

	if (rc == 0) {
		check_twice(&c);
		for (size_t i = 0; i < c.count; i++)
			check_one(&c, &c.all[i]);
	}
	for (size_t i = 0; i < c.count; i++)
		resource_free(c.all[i].owned);
	free(c.all);
	return rc < 0 ? -1 : 0;
}
