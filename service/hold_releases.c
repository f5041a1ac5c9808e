#include "service/hold_releases.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_audit.h"
#include "service/jsontree.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static int take(void *arg, const struct catalog_audit *a, struct err *e)
{
	struct hold_releases *x = arg;
	struct hold_release *grown;
	struct object_id id;
	json_t *details;

	const bool is_done = strcmp(a->action, "hold.released") == 0;

	/* What the service itself saw in a region may be forged there. */
	if (!object_id_parse(a->object, &id) || (!is_done && a->actor_uid < 0))
		return 0;
	if ((x->n & (x->n + 1)) == 0) {
		grown = reallocarray(x->v, 2 * x->n + 1, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		x->v = grown;
	}
	details = jsontree_loads(a->details_json, 0, NULL);
	x->v[x->n].hold = id;
	x->v[x->n].at = a->at;
	(void)snprintf(x->v[x->n].repository, sizeof(x->v[0].repository), "%s",
		       text_of(details, "repository"));
	(void)snprintf(x->v[x->n].region, sizeof(x->v[0].region), "%s",
		       is_done ? text_of(details, "region") : "");
	x->n++;
	json_decref(details);
	return 0;
}

int hold_releases_read(struct catalog *c, struct hold_releases *ret,
		       struct err *e)
{
	const struct catalog_audit_filter filter = { .releases = true };
	struct hold_releases x = { .n = 0 };

	if (catalog_audits(c, &filter, take, &x, e) < 0) {
		hold_releases_done(&x);
		return -1;
	}
	*ret = x;
	return 0;
}

void hold_releases_done(struct hold_releases *x)
{
	free(x->v);
	*x = (struct hold_releases){ .n = 0 };
}

/* region "": that it was asked for. */
static bool has(const struct hold_releases *x, const char *repository,
		const char *region, struct object_id hold)
{
	for (size_t i = 0; i < x->n; i++)
		if (object_id_equal(x->v[i].hold, hold) &&
		    strcmp(x->v[i].repository, repository) == 0 &&
		    strcmp(x->v[i].region, region) == 0)
			return true;
	return false;
}

bool hold_releases_asked(const struct hold_releases *x, const char *repository,
			 struct object_id hold)
{
	return has(x, repository, "", hold);
}

/* One that was asked for twice is one: the last time, as they are read. */
static bool is_first(const struct hold_releases *x, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!x->v[i].region[0] &&
		    object_id_equal(x->v[i].hold, x->v[at].hold) &&
		    strcmp(x->v[i].repository, x->v[at].repository) == 0)
			return false;
	return true;
}

const struct hold_release *hold_releases_next(const struct hold_releases *x,
					      const char *repository,
					      const char *region, size_t *io_at)
{
	while (*io_at < x->n) {
		const size_t at = (*io_at)++;
		const struct hold_release *r = &x->v[at];

		if (!r->region[0] && strcmp(r->repository, repository) == 0 &&
		    !has(x, repository, region, r->hold) && is_first(x, at))
			return r;
	}
	return NULL;
}

size_t hold_releases_pending(const struct hold_releases *x,
			     const char *repository, const char *region)
{
	size_t at = 0;
	size_t n = 0;

	while (hold_releases_next(x, repository, region, &at))
		n++;
	return n;
}

/* ---- Since when a region is declared ------------------------------------ */

struct declaring {
	const char *region;
	struct instant since; /* 0: no version is known */
};

/* Newest first; read as JSON, as not every old one need be valid today. */
static int see_version(void *arg, const struct catalog_version *v,
		       struct err *e)
{
	struct declaring *d = arg;
	const json_t *region;
	json_t *spec;
	size_t i;

	if (v->deleted)
		return 0;
	if (jsontree_load(v->spec_json, strlen(v->spec_json), 0, &spec, NULL,
			  e) < 0)
		return -1;
	json_array_foreach(json_object_get(spec, "regions"), i, region)
	{
		if (strcmp(text_of(region, "name"), d->region) == 0)
			d->since = v->at;
	}
	json_decref(spec);
	return 0;
}

int hold_releases_owed(const struct hold_releases *x, struct catalog *c,
		       const char *repository, const char *region, size_t *ret,
		       struct err *e)
{
	struct declaring d = { .region = region };
	const struct hold_release *one;
	size_t at = 0;
	size_t n = 0;

	if (hold_releases_pending(x, repository, region) > 0 &&
	    catalog_versions(c, "Repository", repository, see_version, &d, e) <
		    0)
		return -1;
	while ((one = hold_releases_next(x, repository, region, &at)))
		n += instant_compare(one->at, d.since) >= 0;
	*ret = n;
	return 0;
}
