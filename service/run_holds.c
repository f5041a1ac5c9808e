#include "service/run_holds.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/hold_copies.h"
#include "service/jsontree.h"
#include "service/run_region.h"
#include "storage/repository/deletion.h"
#include "storage/repository/record.h"

#define DETAILS_MAX ((size_t)64 << 10)

struct looking {
	const struct run *run;
	const struct resource_region *region;
	struct run_holds *x;
};

/* All that no hold is on is let go of at once: none may be released there
 * that nobody asked for. */
static int see_release(void *arg, const char *name UNUSED,
		       const struct record *r, const struct err *why UNUSED,
		       struct err *e UNUSED)
{
	const struct looking *l = arg;
	char id[OBJECT_ID_TEXT];

	if (!r || object_id_is_zero(r->releases) ||
	    hold_releases_asked(&l->x->all, l->run->repository->name,
				r->releases))
		return 0;
	object_id_format(r->releases, id);
	(void)snprintf(
		l->x->why, sizeof(l->x->why),
		"hold %s is released there, which nobody told the "
		"service: \"snapctl hold release\" does, or it is forged",
		id);
	return 0;
}

static int release(const struct looking *l, struct repository *r, struct err *e)
{
	const struct run_holds *x = l->x;
	const struct hold_release *one;
	size_t at = 0;

	while ((one = hold_releases_next(&x->all, l->run->repository->name,
					 l->region->name, &at))) {
		if (deletion_release(r, one->hold, "snapctld", clock_now(),
				     e) == 0)
			continue;
		if (e->code != ERR_NOT_FOUND || e->of_store)
			return -1;
		err_clear(e); /* its record came by replication, or never did */
	}
	return 0;
}

/* ---- Holds that came while it was away ---------------------------------- */

/* 1; 0 when it cannot be asked now; -1. */
static int read_other(struct run *r, const struct resource_region *region,
		      struct hold_copies *holds, struct err *e)
{
	CLEANUP(repository_close) struct repository *other = NULL;

	if (run_region_open(r, region, &other, e) == 0 &&
	    hold_copies_read(holds, other, e) == 0)
		return 1;
	if (e->code == ERR_INTERRUPTED || e->code == ERR_NO_MEMORY)
		return -1;
	err_clear(e);
	return 0;
}

static int take_ids(struct record *hold, const char *text, struct err *e)
{
	json_t *ids = jsontree_loads(text, 0, NULL);
	int failed = !ids;

	for (size_t i = 0; !failed && i < json_array_size(ids); i++) {
		const char *one = json_string_value(json_array_get(ids, i));
		struct object_id id;

		failed = !one || !object_id_parse(one, &id) ||
			 record_add_id(hold, id, e);
	}
	json_decref(ids);
	return failed ? err_set(e, ERR_CORRUPT,
				"what a hold is on cannot be read")
		      : 0;
}

/* Of the catalog; one that is no hold's in a repository is none. */
static int take_known(void *arg, const struct catalog_hold *h, struct err *e)
{
	CLEANUP(record_done) struct record hold;

	record_init(&hold, OBJECT_HOLD);
	if (!object_id_parse(h->id, &hold.id))
		return 0;
	hold.time = h->placed;
	(void)snprintf(hold.by, sizeof(hold.by), "%s", h->by);
	(void)snprintf(hold.reason, sizeof(hold.reason), "%s", h->matter);
	(void)snprintf(hold.custodian, sizeof(hold.custodian), "%s",
		       h->custodian);
	(void)snprintf(hold.source, sizeof(hold.source), "%s", h->source);
	return take_ids(&hold, h->snapshots_json, e) < 0
		       ? -1
		       : hold_copies_add(arg, &hold, e);
}

/* In the other regions; of those that are away, as the catalog knows. */
static int gather(struct run *r, const struct resource_region *region,
		  struct hold_copies *holds, struct err *e)
{
	const struct resource_repository *about = &r->repository->repository;
	bool all = true;

	for (size_t i = 0; i < about->region_count; i++) {
		int did;

		if (strcmp(about->regions[i].name, region->name) == 0)
			continue;
		did = read_other(r, &about->regions[i], holds, e);
		if (did < 0)
			return -1;
		all = all && did;
	}
	return all ? 0
		   : catalog_holds(r->catalog, r->repository->name, true,
				   take_known, holds, e);
}

static bool is_released(const void *arg, struct object_id id)
{
	const struct looking *l = arg;

	return hold_releases_asked(&l->x->all, l->run->repository->name, id);
}

static int complete(struct run *r, const struct looking *l,
		    struct repository *repository, struct err *e)
{
	CLEANUP(hold_copies_done) struct hold_copies holds = { .n = 0 };
	CLEANUP(hold_ids_done) struct hold_ids there = { .n = 0 };

	return gather(r, l->region, &holds, e) < 0
		       ? -1
		       : hold_copies_put(&holds, repository, is_released, l,
					 &there, e);
}

int run_holds_begin(struct run *r, const struct resource_region *region,
		    struct repository *repository, struct run_holds *ret,
		    struct err *e)
{
	struct looking l = { r, region, ret };

	*ret = (struct run_holds){ .pending = 0 };
	if (hold_releases_read(r->catalog, &ret->all, e) < 0)
		return -1;
	ret->pending = hold_releases_pending(&ret->all, r->repository->name,
					     region->name);
	if (ret->pending == 0)
		return 0;
	if (complete(r, &l, repository, e) || release(&l, repository, e) ||
	    record_list(repository_store(repository),
			repository_keys(repository), OBJECT_HOLD, see_release,
			&l, e)) {
		run_holds_done(ret);
		return -1;
	}
	ret->release = !ret->why[0];
	return 0;
}

static int note(const struct run *r, const struct resource_region *region,
		struct object_id hold, struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = clock_now() };
	CLEANUP(buf_done) struct buf details;
	char id[OBJECT_ID_TEXT];
	struct json j;

	object_id_format(hold, id);
	buf_init(&details, DETAILS_MAX);
	json_init(&j, json_to_buf, &details);
	json_begin_object(&j);
	json_kv_str(&j, "repository", r->repository->name);
	json_kv_str(&j, "region", region->name);
	json_end_object(&j);
	return json_finish(&j, e) < 0
		       ? -1
		       : catalog_audit_add(r->catalog, &who, "hold.released",
					   id, buf_str(&details), e);
}

int run_holds_conclude(const struct run *r,
		       const struct resource_region *region,
		       const struct run_holds *x, struct err *e)
{
	const struct hold_release *one;
	size_t at = 0;

	while (x->release &&
	       (one = hold_releases_next(&x->all, r->repository->name,
					 region->name, &at)))
		if (note(r, region, one->hold, e) < 0)
			return -1;
	return 0;
}

void run_holds_done(struct run_holds *x)
{
	hold_releases_done(&x->all);
}
