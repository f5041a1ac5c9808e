/*
 * Legal holds of all regions: each is obeyed in all of them, and mirrored into
 * the catalog, so that reports tell for which case a snapshot is kept.
 *
 * A hold is released once no region that was reached has it in force: as long
 * as one has, it protects the copies in all.  The listing of a region has
 * told what its holds name there; one on a source also names what only other
 * regions have of it.  A region that cannot be asked may be the only one that
 * has a hold: as long as there is any, those that the catalog knows to be in
 * force are obeyed as well.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/retain.h"
#include "storage/repository/record.h"

/* A hold's list of snapshots: RECORD_IDS_MAX of them. */
#define LIST_MAX ((size_t)4 << 20)

/* A hold that is in force somewhere, or when it was released. */
struct mark {
	struct object_id hold;
	struct instant released;
};

struct marks {
	struct mark *v;
	size_t n, room;
};

struct holds {
	struct retain *x;
	const struct retain_region *region;
	struct marks releases; /* in this region */
	struct marks in_force; /* in any region */
};

static void holds_done(struct holds *h)
{
	free(h->releases.v);
	free(h->in_force.v);
}
static inline void cleanup_holds_done(struct holds *h)
{
	holds_done(h);
}

static int add(struct marks *m, struct object_id hold, struct instant released,
	       struct err *e)
{
	if (m->n == m->room) {
		const size_t room = m->room ? 2 * m->room : 16;
		struct mark *more = reallocarray(m->v, room, sizeof(*more));

		if (!more)
			return err_oom(e);
		m->v = more;
		m->room = room;
	}
	m->v[m->n++] = (struct mark){ hold, released };
	return 0;
}

static const struct mark *find(const struct marks *m, struct object_id hold)
{
	for (size_t i = 0; i < m->n; i++)
		if (object_id_equal(m->v[i].hold, hold))
			return &m->v[i];
	return NULL;
}

static int write_ids(const struct record *r, struct buf *out, struct err *e)
{
	char id[OBJECT_ID_TEXT];
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_list(&j);
	for (size_t i = 0; i < r->n_ids; i++) {
		object_id_format(r->ids[i], id);
		json_str(&j, id);
	}
	json_end_list(&j);
	return json_finish(&j, e);
}

static int mirror(struct holds *h, const struct record *r,
		  struct instant released, struct err *e)
{
	CLEANUP(buf_done) struct buf ids;
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = h->x->now };
	char id[OBJECT_ID_TEXT];
	struct catalog_hold row = { .repository = h->x->run->repository->name,
				    .id = id,
				    .source = r->source,
				    .matter = r->reason,
				    .custodian = r->custodian,
				    .by = r->by,
				    .placed = r->time,
				    .released = released };

	object_id_format(r->id, id);
	buf_init(&ids, LIST_MAX);
	if (write_ids(r, &ids, e) < 0)
		return -1;
	row.snapshots_json = buf_str(&ids);
	return catalog_hold_put(h->x->run->catalog, &row, &who, e) < 0 ? -1 : 0;
}

static void hold_source(struct retain *x, const char *source)
{
	for (size_t i = 0; i < x->n_regions && *source; i++)
		for (size_t k = 0; k < x->regions[i].n; k++) {
			struct retain_copy *c = &x->regions[i].v[k];

			c->held |= strcmp(c->source, source) == 0;
		}
}

/* What it names is held, in whatever region the hold and the copy are. */
static void obey(struct retain *x, const struct record *r)
{
	char id[OBJECT_ID_TEXT];

	for (size_t i = 0; i < r->n_ids; i++) {
		object_id_format(r->ids[i], id);
		retain_hold(x, id);
	}
	hold_source(x, r->source);
}

static int obey_known(void *arg, const struct catalog_hold *h, struct err *e)
{
	struct retain *x = arg;
	json_t *ids = jsontree_loads(h->snapshots_json, 0, NULL);
	bool bad = !ids;

	for (size_t i = 0; i < json_array_size(ids) && !bad; i++) {
		const char *id = json_string_value(json_array_get(ids, i));
		struct object_id unused;

		bad = !id || !object_id_parse(id, &unused);
		if (!bad)
			retain_hold(x, id);
	}
	json_decref(ids);
	if (bad)
		return err_set(e, ERR_CORRUPT,
			       "what hold %.80s is on cannot be read", h->id);
	hold_source(x, h->source);
	return 0;
}

/* ---- Two looks at every region ---------------------------------------- */

static int see_release(void *arg, const char *name UNUSED,
		       const struct record *r, const struct err *why UNUSED,
		       struct err *e)
{
	struct holds *h = arg;

	return r && !object_id_is_zero(r->releases)
		       ? add(&h->releases, r->releases, r->time, e)
		       : 0;
}

/* A hold that does not open could name anything: all is held. */
static int see_in_force(void *arg, const char *name, const struct record *r,
			const struct err *why, struct err *e)
{
	struct holds *h = arg;

	if (!r) {
		retain_problem(h->x,
			       "region %s: hold %.80s cannot be read, and so "
			       "every snapshot is held: %s",
			       h->region->region->name, name, why->text);
		return 0;
	}
	if (!object_id_is_zero(r->releases) || find(&h->releases, r->id))
		return 0;
	obey(h->x, r);
	return add(&h->in_force, r->id, (struct instant){ 0 }, e) < 0 ||
			       mirror(h, r, (struct instant){ 0 }, e) < 0
		       ? -1
		       : 0;
}

static int see_released(void *arg, const char *name UNUSED,
			const struct record *r, const struct err *why UNUSED,
			struct err *e)
{
	struct holds *h = arg;
	const struct mark *released = r ? find(&h->releases, r->id) : NULL;

	if (!released || find(&h->in_force, r->id))
		return 0;
	return mirror(h, r, released->released, e);
}

static int list(struct holds *h, record_visit *visit, struct err *e)
{
	struct repository *r = h->region->repository;

	return record_list(repository_store(r), repository_keys(r), OBJECT_HOLD,
			   visit, h, e);
}

int retain_holds(struct retain *x, struct err *e)
{
	CLEANUP(holds_done) struct holds h = { .x = x };
	bool all = true;

	for (int look = 0; look < 2; look++)
		for (size_t i = 0; i < x->n_regions; i++) {
			h.region = &x->regions[i];
			h.releases.n = 0;
			if (!h.region->repository || h.region->is_doubtful) {
				all = false;
				continue;
			}
			if (list(&h, see_release, e) < 0 ||
			    list(&h, look ? see_released : see_in_force, e) < 0)
				return -1;
		}
	return all ? 0
		   : catalog_holds(x->run->catalog, x->run->repository->name,
				   true, obey_known, x, e);
}
