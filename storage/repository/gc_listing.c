/*
 * Whether what is listed is all there is.
 *
 * A listing that fails ends everything anyway.  One that is short in silence
 * is told by three things: another listing, of all that comes after the data
 * packs, in which each folder begins elsewhere, so that a store that cuts long
 * listings cuts it in another place, or ends it before; our own session, which
 * must be there; and inventories.  Packs and index objects are held against
 * each other, and both against the trees, by the survey.
 *
 * That other listing is one request for each thousand objects.  It took the
 * place of one listing of each sixteenth of each folder, which were 160: 20 ms
 * away that took 0.33 s of a collection's 1.6, and is 0.02 now.
 *
 * A listing that was whole says nothing of the next one.  So what manifests
 * there are is written down here, and each survey must find them again, or that
 * they are gone: asked for one by one, as a store that lists too little still
 * has them.  So must the listings of what is to go: packs of a deleted snapshot
 * that went without its manifest would be missed by whoever finds that.
 */
#include <stdio.h>
#include <string.h>

#include "storage/repository/gc_internal.h"
#include "storage/repository/inventory.h"
#include "storage/repository/voids.h"

/* What decides, and is small enough to be listed twice. */
static const enum object_kind deciding[] = {
	OBJECT_SESSION, OBJECT_PIN,	  OBJECT_MARK,	   OBJECT_MANIFEST,
	OBJECT_INDEX,	OBJECT_TOMBSTONE, OBJECT_UNDELETE, OBJECT_HOLD,
	OBJECT_LOCK,	OBJECT_RECEIPT,
};
#define DECIDING (sizeof(deciding) / sizeof(deciding[0]))
/* Things come and go while we list. */
#define TRIES 5

/* Of one kind. */
struct listing {
	struct gc *g;
	enum object_kind kind;
	struct inventory_sum *sum;
};

static void note_own(struct gc *g, const char *name)
{
	const struct object_name own = object_name(OBJECT_SESSION, g->session);

	g->is_listed = g->is_listed || strcmp(name, own.s) == 0;
}

static int note(void *arg, const struct store_entry *entry, struct err *e)
{
	const struct listing *l = arg;
	struct object_id snapshot;
	struct object_id session;

	inventory_note(l->sum, entry->name);
	if (l->kind == OBJECT_SESSION)
		note_own(l->g, entry->name);
	if (l->kind != OBJECT_MANIFEST ||
	    !object_name_parse(l->kind, entry->name, &snapshot, &session))
		return 0;
	return gc_ids_add(&l->g->known[0], snapshot, e) ||
			       gc_ids_add(&l->g->known[1], session, e)
		       ? -1
		       : 0;
}

static int list_folder(struct gc *g, enum object_kind kind,
		       struct inventory_sum *ret, struct err *e)
{
	struct listing l = { g, kind, ret };
	char prefix[64];

	*ret = (struct inventory_sum){ 0 };
	(void)snprintf(prefix, sizeof(prefix), "%s/", object_kind_folder(kind));
	return store_list(g->store, prefix, note, &l, e);
}

/* All folders at once, and inventories, which are read next. */
static struct store_asked *ask_folders(struct gc *g)
{
	struct store_question v[DECIDING + 1] = { 0 };

	for (size_t i = 0; i <= DECIDING; i++) {
		const enum object_kind kind = i < DECIDING ? deciding[i]
							   : OBJECT_INVENTORY;

		v[i].kind = STORE_ASK_LISTING;
		(void)snprintf(v[i].name, sizeof(v[i].name), "%s/",
			       object_kind_folder(kind));
	}
	return store_ask(g->store, v, DECIDING + 1);
}

static bool is_same(const struct inventory_sum *a,
		    const struct inventory_sum *b)
{
	return a->n == b->n && a->hash == b->hash;
}

/* A folder, all there is, and the folder once more, in this order. */
struct look {
	struct inventory_sum before;
	struct inventory_sum all;
	struct inventory_sum after;
};

/* Whoever came after the first look may have left before the last one. */
static bool comes_and_goes(enum object_kind kind)
{
	return kind == OBJECT_SESSION || kind == OBJECT_PIN;
}

/* Fewer than there were before and after: whoever came explains that not. */
static bool is_short(const struct look *l)
{
	return l->all.n < l->before.n && l->all.n < l->after.n;
}

/*
 * While others write the two differ for good reasons: what stands still must
 * agree.  0: they agree; 1: it is to be looked at again; -1.
 */
static int judge(enum object_kind kind, const struct look *l, bool last,
		 struct err *e)
{
	if (is_same(&l->before, &l->all))
		return 0;
	if (!last && (comes_and_goes(kind) || !is_same(&l->before, &l->after)))
		return 1;
	if (!is_same(&l->before, &l->after) && !is_short(l))
		return 1;
	return gc_refuse(
		e,
		"the store lists %llu objects in \"%s/\", and %llu of them when "
		"asked for more than that",
		(unsigned long long)l->before.n, object_kind_folder(kind),
		(unsigned long long)l->all.n);
}

static int look_again(struct gc *g, enum object_kind kind, struct err *e)
{
	struct inventory_sum all[OBJECT_KIND_END];
	struct look l = { .before = { .n = 0 } };
	int r = 1;

	for (int i = 1; r == 1 && i < TRIES; i++) {
		if (gc_stopped(g, e) || list_folder(g, kind, &l.before, e) ||
		    inventory_sums(g->store, all, e) ||
		    list_folder(g, kind, &l.after, e))
			return -1;
		l.all = all[kind];
		r = judge(kind, &l, i == TRIES - 1, e);
	}
	return r < 0 ? -1 : 0;
}

static int check_own_session(const struct gc *g, struct err *e)
{
	if (g->is_listed)
		return 0;
	return gc_refuse(e,
			 "the store does not list \"%s\", which was just put "
			 "there",
			 object_name(OBJECT_SESSION, g->session).s);
}

/*
 * The first look at all of them is one round of requests, of which none is
 * known to be the first: what differs is looked at again, in order.
 */
static int check_folders(struct gc *g, struct inventory_sum *all, struct err *e)
{
	struct inventory_sum v[DECIDING];
	int failed = inventory_sums(g->store, all, e);

	for (size_t i = 0; !failed && i < DECIDING; i++)
		failed = gc_stopped(g, e) ||
			 list_folder(g, deciding[i], &v[i], e);
	for (size_t i = 0; !failed && i < DECIDING; i++) {
		if (!is_same(&v[i], &all[deciding[i]]))
			failed = look_again(g, deciding[i], e);
		else if (deciding[i] == OBJECT_SESSION)
			failed = check_own_session(g, e);
	}
	return failed || check_own_session(g, e) ? -1 : 0;
}

static int refuse_short(void *arg, enum object_kind kind, uint64_t listed,
			uint64_t counted, struct object_id by, struct err *e)
{
	(void)arg;
	(void)by;
	return gc_refuse(e,
			 "the store lists %llu objects in \"%s/\", where there "
			 "were %llu at the last collection",
			 (unsigned long long)listed, object_kind_folder(kind),
			 (unsigned long long)counted);
}

int gc_listing_check(struct gc *g, struct err *e)
{
	struct inventory_sum all[OBJECT_KIND_END];
	struct store_asked *asked;
	int failed;

	if (store_features(g->store) & STORE_EVENTUAL)
		return err_set(e, ERR_DENIED,
			       "this store may list less than there is, so "
			       "that garbage cannot be told for sure");
	gc_stage(g, "listing", 0, 0);
	asked = ask_folders(g);
	failed = check_folders(g, all, e) ||
		 inventory_compare(g->store, g->keys, all, refuse_short, NULL,
				   e);
	store_ask_done(asked);
	return failed ? -1 : 0;
}

/* *voids are listed when they are first asked for. */
static int expect_gone(struct gc *g, struct voids **voids,
		       struct object_id snapshot, struct object_id session,
		       struct err *e)
{
	enum voids_answer answer;
	const struct object_name name = object_name_pair(OBJECT_MANIFEST,
							 snapshot, session);
	uint64_t size;
	const int there = store_size(g->store, name.s, &size, e);

	if (there <= 0)
		return there;
	/* That of a session that was given up may count no more. */
	if ((!*voids && voids_read(g->store, g->keys, voids, e)) ||
	    voids_judge(*voids, session, snapshot, &answer, e))
		return -1;
	if (answer == VOIDS_DOES_NOT)
		return 0;
	return gc_refuse(e, "the store does not list \"%s\", which is there",
			 name.s);
}

int gc_listing_expect_known(struct gc *g, struct err *e)
{
	CLEANUP(voids_free) struct voids *voids = NULL;
	struct gc_ids found = { 0 };
	int failed = 0;

	for (size_t i = 0; !failed && i < g->n_snapshots; i++)
		failed = gc_ids_add(&found, g->snapshots[i].id, e);
	gc_ids_sort(&found);
	gc_ids_sort(&g->lost_manifests);
	for (size_t i = 0; !failed && i < g->known[0].n; i++)
		if (!gc_ids_has(&found, g->known[0].v[i]) &&
		    !gc_ids_has(&g->lost_manifests, g->known[1].v[i]))
			failed = expect_gone(g, &voids, g->known[0].v[i],
					     g->known[1].v[i], e);
	gc_ids_done(&found);
	return failed ? -1 : 0;
}

/* Key of a set of manifests. */
struct manifest_key {
	struct object_id snapshot;
	struct object_id session;
};

static int note_listed(struct filemap *listed, const struct buf *names,
		       struct err *e)
{
	const char *name = buf_str(names);
	const char *end = name + names->len;
	struct manifest_key key;
	void *value;

	for (; name < end; name += strlen(name) + 1)
		if (object_name_parse(OBJECT_MANIFEST, name, &key.snapshot,
				      &key.session) &&
		    filemap_add(listed, &key, &value, e) < 0)
			return -1;
	return 0;
}

struct expecting {
	struct gc *g;
	struct filemap *listed;
	struct voids *voids;
};

static int expect_listed(struct expecting *x, struct object_id snapshot,
			 struct object_id session, struct err *e)
{
	const struct manifest_key key = { snapshot, session };

	return filemap_find(x->listed, &key)
		       ? 0
		       : expect_gone(x->g, &x->voids, snapshot, session, e);
}

static int expect_all_listed(struct expecting *x, struct gc_ids *dead,
			     struct err *e)
{
	const struct gc *g = x->g;

	for (size_t i = 0; i < g->n_snapshots; i++) {
		const struct gc_snapshot *s = &g->snapshots[i];

		if (s->dead && (gc_ids_add(dead, s->id, e) ||
				expect_listed(x, s->id, s->session, e)))
			return -1;
	}
	gc_ids_sort(dead);
	for (size_t i = 0; i < g->known[0].n; i++)
		if (gc_ids_has(dead, g->known[0].v[i]) &&
		    expect_listed(x, g->known[0].v[i], g->known[1].v[i], e))
			return -1;
	return 0;
}

int gc_listing_expect_dead(struct gc *g, const struct buf *names, struct err *e)
{
	struct expecting x = { .g = g };
	struct gc_ids dead = { 0 };
	int failed;

	failed = filemap_new(&x.listed, g->o->scratch,
			     sizeof(struct manifest_key), 1, e) ||
		 note_listed(x.listed, names, e) ||
		 expect_all_listed(&x, &dead, e);
	filemap_free(x.listed);
	voids_free(x.voids);
	gc_ids_done(&dead);
	return failed ? -1 : 0;
}
