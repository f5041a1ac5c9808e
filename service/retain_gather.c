#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/catalog_keep.h"
#include "service/mirror.h"
#include "service/retain.h"
#include "service/run_region.h"

void retain_init(struct retain *x, struct run *r, struct instant now)
{
	*x = (struct retain){ .run = r, .now = now };
	x->now.nsec -= x->now.nsec % 1000;
}

void retain_done(struct retain *x)
{
	for (size_t i = 0; i < x->n_regions; i++) {
		struct retain_region *g = &x->regions[i];

		for (size_t k = 0; k < g->n; k++)
			free(g->v[k].tags);
		free(g->v);
		repository_close(g->repository);
	}
	free(x->regions);
}

void retain_problem(struct retain *x, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (x->problem[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)text_fit(text, x->problem, sizeof(x->problem));
}

static int compare_id(const void *key, const void *element)
{
	return strcmp(key, ((const struct retain_copy *)element)->text);
}

static int compare_copies(const void *a, const void *b)
{
	return strcmp(((const struct retain_copy *)a)->text,
		      ((const struct retain_copy *)b)->text);
}

/* In a region that is listed: its copies are sorted by then. */
struct retain_copy *retain_find(const struct retain_region *g, const char *id)
{
	return g->n ? bsearch(id, g->v, g->n, sizeof(*g->v), compare_id) : NULL;
}

void retain_hold(struct retain *x, const char *id)
{
	for (size_t i = 0; i < x->n_regions; i++) {
		struct retain_copy *c = retain_find(&x->regions[i], id);

		if (c)
			c->held = true;
	}
}

const char *retain_scope(const struct resource_region *region)
{
	return region->policy ? region->name : "";
}

/* The region's copy, not deleted, if it is of that scope; NULL: any. */
static const struct retain_copy *find_live(const struct retain_region *g,
					   const char *scope, const char *id)
{
	const struct retain_copy *c = scope && strcmp(retain_scope(g->region),
						      scope) != 0
					      ? NULL
					      : retain_find(g, id);

	return c && !c->deleted ? c : NULL;
}

bool retain_is_live(const struct retain *x, const char *id)
{
	for (size_t i = 0; i < x->n_regions; i++)
		if (find_live(&x->regions[i], NULL, id))
			return true;
	return false;
}

bool retain_is_live_in(const struct retain *x, const char *scope,
		       const char *id)
{
	for (size_t i = 0; i < x->n_regions; i++)
		if (find_live(&x->regions[i], scope, id))
			return true;
	return false;
}

bool retain_is_kept_again(const struct retain *x, const char *scope,
			  const char *id)
{
	bool again = false;

	for (size_t i = 0; i < x->n_regions; i++) {
		const struct retain_copy *c = find_live(&x->regions[i], scope,
							id);

		if (!c)
			continue;
		if (!c->kept_again)
			return false;
		again = true;
	}
	return again;
}

/* ---- Listing a region --------------------------------------------------- */

/* Tags that are no text match no rule. */
static int copy_tags(struct retain_copy *c, const struct manifest_list *tags,
		     struct err *e)
{
	size_t size = tags->n * sizeof(char *) + 1;
	char *text;

	for (size_t i = 0; i < tags->n; i++)
		size += tags->v[i].len + 1;
	c->tags = calloc(1, size);
	if (!c->tags)
		return err_oom(e);
	text = (char *)(c->tags + tags->n);
	for (size_t i = 0; i < tags->n; i++) {
		if (!text_is_utf8(tags->v[i].data, tags->v[i].len))
			continue;
		memcpy(text, tags->v[i].data, tags->v[i].len);
		c->tags[c->n_tags++] = text;
		text += tags->v[i].len + 1;
	}
	return 0;
}

/* What the catalog knows of one snapshot. */
struct known {
	bool found, deleted, scheduled;
	bool deleted_somewhere; /* as somebody said */
	struct instant lock_until;
};

static int recall(void *arg, const struct catalog_snapshot *row,
		  struct err *e UNUSED)
{
	struct known *k = arg;

	k->found = true;
	k->deleted = row->deleted.sec != 0;
	k->deleted_somewhere = row->deleted_reason[0] != '\0';
	k->scheduled = row->schedule[0] != '\0';
	k->lock_until = row->lock_until;
	return 0;
}

static int look_up(struct retain *x, const char *id, struct known *ret,
		   struct err *e)
{
	const struct catalog_snapshot_filter filter = {
		.repository = x->run->repository->name,
		.id_prefix = id,
		.deleted = CATALOG_WITH_DELETED,
	};

	*ret = (struct known){ .found = false };
	return catalog_snapshots(x->run->catalog, &filter, recall, ret, e) < 0
		       ? -1
		       : 0;
}

struct listing {
	struct retain *x;
	struct retain_region *region;
};

static int add_copy(struct retain_region *g, const struct retain_copy *c,
		    struct err *e)
{
	if (g->n == g->room) {
		const size_t room = g->room ? 2 * g->room : 64;
		struct retain_copy *more = reallocarray(g->v, room,
							sizeof(*more));

		if (!more)
			return err_oom(e);
		g->v = more;
		g->room = room;
	}
	g->v[g->n++] = *c;
	return 0;
}

static int take(void *arg, struct repository_snapshot *s, struct err *e)
{
	const struct listing *l = arg;
	struct retain *x = l->x;
	const struct mirror_origin origin = {
		.repository = x->run->repository->name
	};
	struct retain_copy c = {
		.id = s->manifest.snapshot,
		.received = s->received,
		.complete = s->manifest.state == MANIFEST_COMPLETE,
		.deleted = s->deleted,
		.this_region = s->this_region,
		.deleted_at = s->deleted_at,
		.held = s->held,
		.locked = s->locked,
		.locked_until = s->locked_until,
		.locked_here = s->lock_is_here,
	};
	struct known known;

	object_id_format(c.id, c.text);
	memcpy(c.source, s->manifest.source, sizeof(c.source));
	if (run_stopped(x->run, e) < 0 || look_up(x, c.text, &known, e) < 0)
		return -1;
	c.scheduled = known.scheduled;
	if ((!known.found ||
	     (s->locked && !s->lock_is_here &&
	      s->locked_until.sec != INT64_MAX &&
	      instant_compare(s->locked_until, known.lock_until) > 0)) &&
	    mirror_snapshot(x->run->catalog, &origin, s, e) < 0)
		return -1;
	if (mirror_copy(x->run->catalog, origin.repository,
			l->region->region->name, s, s->received, e) < 0 ||
	    copy_tags(&c, &s->manifest.tags, e) < 0)
		return -1;
	if (add_copy(l->region, &c, e) < 0) {
		free(c.tags);
		return -1;
	}
	return 0;
}

/* What cannot be read takes no slot, so it can only make others stay. */
static int skip_damaged(void *arg, const char *name, const struct err *why,
			struct err *e UNUSED)
{
	const struct listing *l = arg;

	retain_problem(l->x, "region %s: %.100s cannot be read: %s",
		       l->region->region->name, name, why->text);
	return 0;
}

/* ---- Whether the listing is whole --------------------------------------- */

struct missing {
	struct retain *x;
	struct retain_region *region;
	char (*ids)[OBJECT_ID_TEXT];
	size_t n, room;
};

static int check_known(void *arg, const struct catalog_replica *row,
		       struct err *e)
{
	struct missing *m = arg;

	if (strcmp(row->state, "complete") != 0 ||
	    retain_find(m->region, row->snapshot))
		return 0;
	if (m->n == m->room) {
		const size_t room = m->room ? 2 * m->room : 16;
		void *more = reallocarray(m->ids, room, sizeof(*m->ids));

		if (!more)
			return err_oom(e);
		m->ids = more;
		m->room = room;
	}
	(void)snprintf(m->ids[m->n++], OBJECT_ID_TEXT, "%s", row->snapshot);
	return 0;
}

/* A tombstone explains why a snapshot is not there any more. */
static int explain(void *arg, const char *name UNUSED, const struct record *t,
		   const struct err *why UNUSED, struct err *e)
{
	struct missing *m = arg;
	char id[OBJECT_ID_TEXT];

	if (!t)
		return 0;
	object_id_format(t->snapshot, id);
	for (size_t i = 0; i < m->n; i++) {
		struct repository_snapshot gone = { .deleted = true };

		if (strcmp(m->ids[i], id) != 0)
			continue;
		gone.manifest.snapshot = t->snapshot;
		memcpy(m->ids[i], m->ids[--m->n], sizeof(m->ids[i]));
		return mirror_copy(m->x->run->catalog,
				   m->x->run->repository->name,
				   m->region->region->name, &gone, t->time, e);
	}
	return 0;
}

static int check_whole(struct retain *x, struct retain_region *g, struct err *e)
{
	const struct catalog_replica_filter filter = {
		.repository = x->run->repository->name,
		.region = g->region->name
	};
	struct missing m = { .x = x, .region = g };
	int failed = catalog_replicas(x->run->catalog, &filter, check_known, &m,
				      e);

	if (failed >= 0 && m.n)
		failed = record_list(repository_store(g->repository),
				     repository_keys(g->repository),
				     OBJECT_TOMBSTONE, explain, &m, e);
	if (failed >= 0 && m.n) {
		g->is_doubtful = true;
		retain_problem(x,
			       "region %s does not list %zu snapshots that it "
			       "had, such as %s: nothing is deleted there",
			       g->region->name, m.n, m.ids[0]);
	}
	free(m.ids);
	return failed < 0 ? -1 : 0;
}

static int list_region(struct retain *x, struct retain_region *g, struct err *e)
{
	struct listing l = { x, g };
	struct err why = { 0 };

	assert(g->region);
	if (run_region_open(x->run, g->region, &g->repository, &why) < 0 ||
	    repository_snapshots(g->repository, true, take, skip_damaged, &l,
				 &why) < 0) {
		if (why.code == ERR_INTERRUPTED || why.code == ERR_NO_MEMORY) {
			*e = why;
			return -1;
		}
		/* What was listed of it tells nothing of the rest. */
		g->is_doubtful = true;
		x->unreached++;
		retain_problem(x, "%s", why.text);
	}
	if (g->n)
		qsort(g->v, g->n, sizeof(*g->v), compare_copies);
	return g->is_doubtful ? 0 : check_whole(x, g, e);
}

/* ---- All regions -------------------------------------------------------- */

/*
 * A hold or a lock in one region protects the copies in all, but for locks by a
 * region's own rules.
 */
static void spread(struct retain *x, const struct retain_copy *from)
{
	for (size_t i = 0; i < x->n_regions; i++) {
		struct retain_copy *to = retain_find(&x->regions[i],
						     from->text);

		if (!to)
			continue;
		to->held |= from->held;
		if (from->locked_here)
			continue;
		if (from->locked &&
		    (!to->locked ||
		     instant_compare(from->locked_until, to->locked_until) > 0))
			to->locked_until = from->locked_until;
		to->locked |= from->locked;
	}
}

/* ---- Who deleted what no policy of ours let go -------------------------- */

struct deleter {
	struct instant at; /* of the tombstone that counts */
	bool found;
	char text[3 * RECORD_TEXT_MAX];
};

static int read_deleter(void *arg, const char *name UNUSED,
			const struct record *t, const struct err *why UNUSED,
			struct err *e UNUSED)
{
	struct deleter *d = arg;

	if (!t || instant_compare(t->time, d->at) != 0)
		return 0;
	(void)snprintf(d->text, sizeof(d->text), "deleted by %s%s%s", t->by,
		       t->reason[0] ? ": " : "", t->reason);
	d->found = true;
	return 0;
}

/* The tombstone tells; where it cannot be read, that it is deleted stays. */
static void find_deleter(const struct retain *x, const char *id,
			 struct deleter *ret)
{
	ret->found = false;
	(void)snprintf(ret->text, sizeof(ret->text), "deleted in every region");
	for (size_t i = 0; i < x->n_regions; i++) {
		const struct retain_region *g = &x->regions[i];
		const struct retain_copy *c = retain_find(g, id);
		struct err ignored;

		if (!c || !c->deleted)
			continue;
		ret->at = c->deleted_at;
		if (record_list_of(repository_store(g->repository),
				   repository_keys(g->repository),
				   OBJECT_TOMBSTONE, c->id, read_deleter, ret,
				   &ignored) == 0 &&
		    ret->found)
			return;
	}
}

/* No region that has it, and could be asked, has it deleted. */
static bool is_live_everywhere(const struct retain *x, const char *id)
{
	for (size_t i = 0; i < x->n_regions; i++) {
		const struct retain_copy *c = retain_find(&x->regions[i], id);

		if (c && c->deleted)
			return false;
	}
	return x->unreached == 0;
}

/* The row says "deleted" when no region has it live any more. */
static int mirror_deletion(struct retain *x, const struct retain_copy *c,
			   struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = x->now };
	const bool live = retain_is_live(x, c->text);
	struct deleter by;
	struct known known;

	if (look_up(x, c->text, &known, e) < 0)
		return -1;
	if (!known.found ||
	    (known.deleted == !live &&
	     !(known.deleted_somewhere && is_live_everywhere(x, c->text))))
		return 0;
	/* A region that was not reached may have it still. */
	if (!live && x->unreached)
		return 0;
	if (!live)
		find_deleter(x, c->text, &by);
	return catalog_snapshot_deleted(x->run->catalog,
					x->run->repository->name, c->text,
					live ? NULL : by.text, &who, e) < 0
		       ? -1
		       : 0;
}

int retain_gather(struct retain *x, struct err *e)
{
	const struct resource_repository *repository =
		&x->run->repository->repository;

	x->regions = calloc(repository->region_count, sizeof(*x->regions));
	if (!x->regions)
		return err_oom(e);
	for (; x->n_regions < repository->region_count; x->n_regions++)
		x->regions[x->n_regions].region =
			&repository->regions[x->n_regions];
	for (size_t i = 0; i < x->n_regions; i++)
		if (list_region(x, &x->regions[i], e) < 0)
			return -1;
	for (size_t i = 0; i < x->n_regions; i++)
		for (size_t k = 0; k < x->regions[i].n; k++) {
			const struct retain_copy *c = &x->regions[i].v[k];

			if (c->held || c->locked)
				spread(x, c);
			if (mirror_deletion(x, c, e) < 0)
				return -1;
		}
	return 0;
}
