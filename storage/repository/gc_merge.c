/*
 * clean: few index objects, without what is gone.
 *
 * Objects are merged when there are several of about one size
 * (index_objects_choose()); all of them, when a quarter of what they say is of
 * packs that are gone.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"
#include "storage/repository/writer.h"

/* Merging holds a block of each in memory: × 16 KiB. */
#define MERGED_MAX 8192

struct objects {
	struct index_object **v;
	size_t n;
	size_t room;
	bool (*wanted)(const struct index_object *o);
};

static bool is_in_use(const struct index_object *o)
{
	return !o->ignored;
}

static bool is_replaced(const struct index_object *o)
{
	return o->replaced;
}

/* Whose void may yet come and leave it out. */
static bool is_in_doubt(const struct index_object *o)
{
	return !o->ignored && o->fenced;
}

static int add_object(void *arg, const struct index_object *o, struct err *e)
{
	struct objects *l = arg;

	if (!l->wanted(o))
		return 0;
	if (l->n == l->room) {
		const size_t room = l->room ? 2 * l->room : 16;
		struct index_object **grown = reallocarray(l->v, room,
							   sizeof(*grown));

		if (!grown)
			return err_oom(e);
		l->v = grown;
		l->room = room;
	}
	/* They are the set's; what walks them wants them as it has them. */
	l->v[l->n++] = (struct index_object *)(uintptr_t)o;
	return 0;
}

static int by_entries(const void *a, const void *b)
{
	const struct index_object *x = *(struct index_object *const *)a;
	const struct index_object *y = *(struct index_object *const *)b;

	if (x->entries != y->entries)
		return x->entries < y->entries ? -1 : 1;
	return object_id_compare(x->in.id, y->in.id);
}

static bool is_gone(const struct gc_pack *p)
{
	return p && p->marked && !p->listed;
}

static bool is_worn(struct gc *g)
{
	uint64_t gone = 0;
	uint64_t all = 0;
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(g->packs, &pos, &key, &value)) {
		const struct gc_pack *p = value;

		all += p->entries;
		gone += is_gone(p) ? p->entries : 0;
	}
	return gone && gone >= all / 4;
}

struct merging {
	struct gc *g;
	struct index_writer *to;
	uint64_t done;
	uint64_t total;
};

static int add_entry(void *arg, const struct pack_entry *x, struct err *e)
{
	struct merging *m = arg;

	if (++m->done % 4096 == 0) {
		gc_stage(m->g, "merging the index", m->done, m->total);
		if (gc_stopped(m->g, e))
			return -1;
	}
	if (is_gone(filemap_find(m->g->packs, x->place.pack.b)))
		return 0;
	return index_writer_add(m->to, x, e);
}

static size_t superseded_max(const struct gc *g)
{
	return g->o->superseded_max ? g->o->superseded_max
				    : INDEX_SUPERSEDED_MAX;
}

/*
 * Also what others superseded, as far as a root has room: so these need not
 * wait for it to go (is_relied_on()).
 */
static int supersede(struct merging *m, struct index_object *const *v, size_t n,
		     const struct objects *old, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (index_writer_supersede(m->to, v[i]->in.id, e))
			return -1;
	for (size_t k = 0; k < old->n && n + k < superseded_max(m->g); k++)
		if (index_writer_supersede(m->to, old->v[k]->in.id, e))
			return -1;
	return 0;
}

static int merge(struct gc *g, struct index_object *const *v, size_t n,
		 const struct objects *old, struct err *e)
{
	CLEANUP(index_writer_free) struct index_writer *to = NULL;
	struct merging m = { .g = g };
	struct object_id id;

	if (gc_confirm(g, e) ||
	    index_writer_open(g->store, g->keys, g->session, &to, e))
		return -1;
	m.to = to;
	for (size_t i = 0; i < n; i++)
		m.total += v[i]->entries;
	if (index_set_walk_some(g->index, v, n, add_entry, &m, e) ||
	    supersede(&m, v, n, old, e) || index_writer_commit(to, &id, e) ||
	    index_set_add(g->index, id, e))
		return -1;
	g->out->index_merged += n;
	return 0;
}

static int adopt(struct gc *g, struct objects *doubted, struct objects *old,
		 struct err *e)
{
	if (index_set_each(g->index, add_object, doubted, e) ||
	    index_set_each(g->index, add_object, old, e))
		return -1;
	if (doubted->n == 0)
		return 0;
	for (size_t at = 0; at < doubted->n; at += MERGED_MAX) {
		const size_t n = doubted->n - at < MERGED_MAX ? doubted->n - at
							      : MERGED_MAX;

		if (merge(g, doubted->v + at, n, old, e))
			return -1;
	}
	return gc_confirm(g, e);
}

/*
 * From now on these entries are named by an object of ours, which no void can
 * leave out once we confirmed.
 */
int gc_adopt(struct gc *g, struct err *e)
{
	struct objects doubted = { .wanted = is_in_doubt };
	struct objects old = { .wanted = is_replaced };
	const uint64_t merged = g->out->index_merged;
	const int failed = adopt(g, &doubted, &old, e);

	free(doubted.v);
	free(old.v);
	g->out->index_merged = merged;
	return failed;
}

int gc_merge(struct gc *g, struct err *e)
{
	struct objects now = { .wanted = is_in_use };
	struct objects old = { .wanted = is_replaced };
	size_t n = 0;
	int failed;

	failed = index_set_each(g->index, add_object, &now, e) ||
		 index_set_each(g->index, add_object, &old, e);
	if (!failed && now.n) {
		qsort(now.v, now.n, sizeof(*now.v), by_entries);
		n = is_worn(g) ? now.n : index_objects_choose(now.v, now.n);
	}
	/* What is more stays for the next time. */
	if (n > MERGED_MAX)
		n = MERGED_MAX;
	if (n > superseded_max(g))
		n = superseded_max(g);
	if (!failed && n)
		failed = merge(g, now.v, n, &old, e);
	free(now.v);
	free(old.v);
	if (!failed)
		g->out->index_objects = index_set_objects(g->index);
	return failed ? -1 : 0;
}

/* ---- Superseded --------------------------------------------------------- */

struct superseding {
	struct gc *g;
	struct gc_ids named; /* by objects that count for good */
	struct gc_ids kept;  /* and are not superseded themselves */
	struct gc_ids there;
	struct gc_ids *ret;
};

/*
 * What supersedes must count for good: no void can come that leaves it out,
 * as its session had no fence after the object was seen.
 */
static int note_named(void *arg, const struct index_object *o, struct err *e)
{
	struct superseding *x = arg;
	int fenced = 0;

	if (o->n_superseded == 0 || o->voided)
		return 0;
	if (!object_id_is_zero(o->session))
		fenced = writer_is_fenced(x->g->r, o->session, e);
	if (fenced)
		return fenced < 0 ? -1 : 0;
	for (size_t i = 0; i < o->n_superseded; i++)
		if (gc_ids_add(&x->named, o->superseded[i], e) ||
		    (!o->replaced && gc_ids_add(&x->kept, o->superseded[i], e)))
			return -1;
	return 0;
}

static int note_there(void *arg, const struct index_object *o, struct err *e)
{
	struct superseding *x = arg;

	return gc_ids_add(&x->there, o->in.id, e);
}

/*
 * It supersedes what is there still, as it may not go yet, and what stays says
 * nothing of: that would count again, and be merged again.
 */
static bool is_relied_on(const struct superseding *x,
			 const struct index_object *o)
{
	for (size_t i = 0; i < o->n_superseded; i++)
		if (gc_ids_has(&x->there, o->superseded[i]) &&
		    !gc_ids_has(&x->kept, o->superseded[i]))
			return true;
	return false;
}

static int note_superseded(void *arg, const struct index_object *o,
			   struct err *e)
{
	struct superseding *x = arg;
	const struct gc_pack *p = filemap_find(x->g->packs, o->in.id.b);
	int guarded;

	/* Marks name both packs and these; one of a clock that is far ahead
	 * would never be due. */
	if (!o->replaced || (p && p->marked_well) ||
	    !gc_ids_has(&x->named, o->in.id) || is_relied_on(x, o))
		return 0;
	guarded = gc_has_to_wait(x->g, o->in.name.s, e);
	if (guarded) {
		x->g->out->bytes_locked += guarded < 0 ? 0 : o->in.size;
		return guarded < 0 ? -1 : 0;
	}
	return gc_ids_add(x->ret, o->in.id, e);
}

int gc_superseded(struct gc *g, struct gc_ids *ret, struct err *e)
{
	struct superseding x = { .g = g, .ret = ret };
	int failed;

	failed = index_set_each(g->index, note_named, &x, e) ||
		 index_set_each(g->index, note_there, &x, e);
	gc_ids_sort(&x.named);
	gc_ids_sort(&x.kept);
	gc_ids_sort(&x.there);
	failed = failed || index_set_each(g->index, note_superseded, &x, e);
	gc_ids_done(&x.named);
	gc_ids_done(&x.kept);
	gc_ids_done(&x.there);
	return failed ? -1 : 0;
}
