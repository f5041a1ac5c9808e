#include "service/run_holds.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "service/catalog_audit.h"
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

int run_holds_begin(const struct run *r, const struct resource_region *region,
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
	if (release(&l, repository, e) ||
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
