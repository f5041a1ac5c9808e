/* The rules that unwanted.h asks, as the catalog has them. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "service/jsontree.h"
#include "service/retain.h"
#include "service/unwanted.h"
#include "storage/replicate.h"

void retain_asking_init(struct retain_asking *a, struct run *r,
			const struct resource_region *region,
			struct instant now)
{
	*a = (struct retain_asking){ .region = region };
	retain_init(&a->x, r, now);
}

void retain_asking_done(struct retain_asking *a)
{
	retain_rules_done(&a->sets);
	retain_done(&a->x);
}

static int read_source(void *arg, const struct catalog_resource *row,
		       struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, arg, e);
}

int retain_asking_load(void *arg, const char *name,
		       const struct retain_rule_sets **ret, struct err *e)
{
	struct retain_asking *a = arg;
	CLEANUP(resource_free) struct resource *source = NULL;
	const int found = catalog_resource_get(a->x.run->catalog, "Source",
					       name, read_source, &source, e);

	if (found <= 0)
		return found;
	retain_rules_done(&a->sets);
	if (retain_rules_load(&a->x, source, a->region, &a->sets, e) < 0)
		return -1;
	*ret = &a->sets;
	return 1;
}

bool retain_any_apart(const struct resource_repository *r)
{
	for (size_t i = 0; i < r->region_count; i++)
		if (r->regions[i].policy)
			return true;
	return false;
}

/* Of one version of the Repository: read as JSON, as not every old one need be
 * valid today. */
static int see_version(void *arg, const struct catalog_version *v,
		       struct err *e)
{
	bool *apart = arg;
	const json_t *region;
	json_t *spec;
	size_t i;

	if (jsontree_load(v->spec_json, strlen(v->spec_json), 0, &spec, NULL,
			  e) < 0)
		return -1;
	json_array_foreach(json_object_get(spec, "regions"), i,
			   region) *apart |=
		json_is_string(json_object_get(region, "policy"));
	json_decref(spec);
	return *apart ? 1 : 0;
}

int retain_was_apart(struct catalog *c, const struct resource *repository,
		     bool *ret, struct err *e)
{
	*ret = retain_any_apart(&repository->repository);
	return *ret ? 0
	       : catalog_versions(c, "Repository", repository->name,
				  see_version, ret, e) < 0
		       ? -1
		       : 0;
}

int retain_unwanted(struct run *r, const struct resource_region *region,
		    struct repository *from, struct repository *to,
		    struct object_id **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(retain_asking_done) struct retain_asking asking;
	CLEANUP(unwanted_done) struct unwanted u;

	retain_asking_init(&asking, r, region, clock_now());
	unwanted_init(&u);
	*ret = NULL;
	*ret_n = 0;
	if (!retain_any_apart(&r->repository->repository))
		return 0;
	return replicate_compare(from, to, unwanted_see, NULL, &u, NULL, e) <
				       0 ||
			       unwanted_judge(&u, retain_asking_load, &asking,
					      asking.x.now, e) < 0 ||
			       unwanted_ids(&u, ret, ret_n, e) < 0
		       ? -1
		       : 0;
}
