#include "service/region_locks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_keep.h"

struct schedule {
	char name[RESOURCE_NAME_MAX + 1];
	char policy[RESOURCE_NAME_MAX + 1]; /* or "" */
	bool is_here;			    /* of the repository */
	int64_t lock_ms;
};

struct locks {
	const char *repository;
	struct schedule *v;
	size_t n;
	int64_t else_ms; /* the longest of those that are here */
	int64_t most_ms; /* of all */
	struct json *j;
};

static int see_schedule(void *arg, const struct catalog_resource *row,
			struct err *e)
{
	struct locks *x = arg;
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	CLEANUP(resource_free) struct resource *r = NULL;
	const char *policy;
	struct schedule *grown;

	if (resource_from_form(&form, &r, e) < 0)
		return -1;
	grown = reallocarray(x->v, x->n + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	x->v = grown;
	grown = &x->v[x->n++];
	*grown = (struct schedule){ .is_here = strcmp(r->schedule.repository,
						      x->repository) == 0 };
	policy = r->schedule.policy ? r->schedule.policy : "";
	(void)snprintf(grown->name, sizeof(grown->name), "%s", r->name);
	(void)snprintf(grown->policy, sizeof(grown->policy), "%s", policy);
	return 0;
}

static int see_policy(void *arg, const struct catalog_resource *row,
		      struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	CLEANUP(resource_free) struct resource *policy = NULL;

	if (resource_from_form(&form, &policy, e) < 0)
		return -1;
	*(int64_t *)arg = policy->policy.lock_ms;
	return 0;
}

static int find_locks(struct catalog *c, struct locks *x, struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = "Schedule" };

	if (catalog_resources(c, &filter, see_schedule, x, e) < 0)
		return -1;
	for (size_t i = 0; i < x->n; i++) {
		struct schedule *s = &x->v[i];

		if (*s->policy &&
		    catalog_resource_get(c, "Policy", s->policy, see_policy,
					 &s->lock_ms, e) < 0)
			return -1;
		if (s->lock_ms > x->most_ms)
			x->most_ms = s->lock_ms;
		if (s->is_here && s->lock_ms > x->else_ms)
			x->else_ms = s->lock_ms;
	}
	return 0;
}

static int see_snapshot(void *arg, const struct catalog_snapshot *row,
			struct err *e UNUSED)
{
	const struct locks *x = arg;
	int64_t ms = x->else_ms;

	for (size_t i = 0; i < x->n; i++)
		if (strcmp(x->v[i].name, row->schedule) == 0)
			ms = x->v[i].lock_ms;
	if (ms == x->else_ms)
		return 0;
	json_begin_object(x->j);
	json_kv_str(x->j, "snapshot", row->id);
	json_kv_int(x->j, "seconds", ms / 1000);
	json_end_object(x->j);
	return 0;
}

int region_locks_write(struct catalog *c, const char *repository,
		       struct instant now, struct json *j, struct err *e)
{
	struct locks x = { .repository = repository, .j = j };
	struct catalog_snapshot_filter filter = {
		.repository = repository,
		.deleted = CATALOG_WITH_DELETED,
	};
	int failed = find_locks(c, &x, e);

	if (!failed) {
		filter.from = instant_add_ms(now, -x.most_ms);
		json_kv_int(j, "else_seconds", x.else_ms / 1000);
		json_key(j, "locks");
		json_begin_list(j);
		failed = catalog_snapshots(c, &filter, see_snapshot, &x, e);
		json_end_list(j);
	}
	free(x.v);
	return failed < 0 ? -1 : 0;
}
