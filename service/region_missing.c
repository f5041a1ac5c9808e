#include "service/region_missing.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/report.h"
#include "service/retain.h"
#include "service/unwanted.h"

enum { TAGS_MAX = 256 };

/* Where a snapshot is. */
struct place {
	char id[OBJECT_ID_TEXT];
	bool elsewhere, here, gone;
};

struct looking {
	const char *region;
	bool is_apart;
	struct instant now;
	struct place *v; /* by id, as the catalog lists copies */
	size_t n, room;
	json_t *holds;
	struct unwanted unwanted;
	struct region_missing *ret;
	/* What is unwanted, once that is known; and else what is counted. */
	struct object_id *ids;
	size_t n_ids;
	bool is_judged;
};

static void looking_done(struct looking *l)
{
	free(l->v);
	free(l->ids);
	json_decref(l->holds);
	unwanted_done(&l->unwanted);
}
static inline void cleanup_looking_done(struct looking *l)
{
	looking_done(l);
}

static int add_place(struct looking *l, const char *id, struct err *e)
{
	if (l->n == l->room) {
		const size_t room = l->room ? 2 * l->room : 64;
		struct place *more = reallocarray(l->v, room, sizeof(*more));

		if (!more)
			return err_oom(e);
		l->v = more;
		l->room = room;
	}
	l->v[l->n] = (struct place){ .here = false };
	(void)snprintf(l->v[l->n++].id, sizeof(l->v->id), "%s", id);
	return 0;
}

/* Those of one snapshot stand together. */
static int see_copy(void *arg, const struct catalog_replica *row, struct err *e)
{
	struct looking *l = arg;
	const bool complete = strcmp(row->state, "complete") == 0;
	const bool here = strcmp(row->region, l->region) == 0;
	struct place *p;

	if ((!l->n || strcmp(l->v[l->n - 1].id, row->snapshot) != 0) &&
	    add_place(l, row->snapshot, e) < 0)
		return -1;
	p = &l->v[l->n - 1];
	p->elsewhere |= complete && !here;
	p->here |= complete && here;
	p->gone |= here && strcmp(row->state, "gone") == 0;
	return 0;
}

static int by_id(const void *key, const void *element)
{
	return strcmp(key, ((const struct place *)element)->id);
}

static const struct place *find(const struct looking *l, const char *id)
{
	return l->n ? bsearch(id, l->v, l->n, sizeof(*l->v), by_id) : NULL;
}

/* ---- What the rules are asked about ------------------------------------- */

static bool is_held(const struct looking *l, const struct catalog_snapshot *s)
{
	const struct report_held what = { .repository = s->repository,
					  .snapshot = s->id,
					  .source = s->source,
					  .at = l->now };

	return report_is_held(l->holds, &what);
}

static int add_item(struct looking *l, const struct catalog_snapshot *s,
		    const struct place *p, struct err *e)
{
	const char *tags[TAGS_MAX];
	struct unwanted_item item = {
		.source = s->source,
		.s = { .received = s->received,
		       .complete = strcmp(s->state, "complete") == 0,
		       .tags = tags },
		.is_lacking = !p->here,
		.is_kept = is_held(l, s),
	};
	json_t *list;
	int failed;

	if (!object_id_parse(s->id, &item.id))
		return 0;
	list = jsontree_loads(s->tags_json ? s->tags_json : "[]", 0, NULL);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *tag = json_string_value(json_array_get(list, i));

		/* More tags than that: no rule is to miss one. */
		item.is_kept |= item.s.n_tags == TAGS_MAX;
		if (tag && item.s.n_tags < TAGS_MAX)
			tags[item.s.n_tags++] = tag;
	}
	failed = unwanted_add(&l->unwanted, &item, e);
	json_decref(list);
	return failed;
}

static bool is_unwanted(const struct looking *l, const char *id)
{
	struct object_id parsed;

	return object_id_parse(id, &parsed) &&
	       unwanted_has(l->ids, l->n_ids, parsed);
}

static void count(struct looking *l, const struct catalog_snapshot *s,
		  const struct place *p)
{
	struct region_missing *m = l->ret;

	if (p->here)
		return;
	if (l->is_apart && (p->gone || is_unwanted(l, s->id))) {
		m->let_go++;
		return;
	}
	m->missing++;
	if (m->n_named < REGION_MISSING_NAMED)
		(void)snprintf(m->named[m->n_named++], OBJECT_ID_TEXT, "%s",
			       s->id);
}

/* The newest first.  What it has deleted it is not asked about. */
static int see_snapshot(void *arg, const struct catalog_snapshot *s,
			struct err *e)
{
	struct looking *l = arg;
	const struct place *p = find(l, s->id);

	if (!p || !p->elsewhere)
		return 0;
	if (l->is_judged) {
		count(l, s, p);
		return 0;
	}
	return p->gone ? 0 : add_item(l, s, p, e);
}

/* ---- All of it ---------------------------------------------------------- */

static int judge(struct looking *l, struct retain_asking *asking,
		 const struct catalog_snapshot_filter *live, struct err *e)
{
	struct catalog *c = asking->x.run->catalog;

	return report_holds_load(c, &l->holds, e) < 0 ||
			       catalog_snapshots(c, live, see_snapshot, l, e) <
				       0 ||
			       unwanted_judge(&l->unwanted, retain_asking_load,
					      asking, asking->x.now, e) < 0 ||
			       unwanted_ids(&l->unwanted, &l->ids, &l->n_ids,
					    e) < 0
		       ? -1
		       : 0;
}

int region_missing_find(struct catalog *c, const struct config *config,
			struct resource *repository,
			const struct resource_region *region,
			struct instant now, struct region_missing *ret,
			struct err *e)
{
	const struct catalog_replica_filter copies = {
		.repository = repository->name
	};
	const struct catalog_snapshot_filter live = {
		.repository = repository->name
	};
	struct run run = { .repository = repository,
			   .catalog = c,
			   .config = config };
	CLEANUP(retain_asking_done) struct retain_asking asking;
	CLEANUP(looking_done)
	struct looking l = { .region = region->name, .now = now, .ret = ret };

	retain_asking_init(&asking, &run, region, now);
	unwanted_init(&l.unwanted);
	*ret = (struct region_missing){ .missing = 0 };
	l.is_apart = retain_any_apart(&repository->repository);
	if (catalog_replicas(c, &copies, see_copy, &l, e) < 0 ||
	    (l.is_apart && judge(&l, &asking, &live, e) < 0))
		/* The cleanup frees l; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	l.is_judged = true;
	return catalog_snapshots(c, &live, see_snapshot, &l, e) < 0 ? -1 : 0;
}
