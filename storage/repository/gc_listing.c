/*
 * Whether what is listed is all there is.
 *
 * A listing that fails ends everything anyway.  One that is short in silence
 * is told by three things: the sum of a folder's sixteen parts, which a store
 * that cuts long listings gives whole; our own session, which must be there;
 * and inventories.  Packs and index objects are held against each other, and
 * both against the trees, by the survey.
 *
 * A listing that was whole says nothing of the next one.  So what manifests
 * there are is written down here, and each survey must find them again, or that
 * they are gone: asked for one by one, as a store that lists too little still
 * has them.
 */
#include <stdio.h>
#include <stdlib.h>

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
/* Of a folder: by the first digit of an id. */
#define PARTS 16

/* Of one kind, by one or some listings. */
struct listing {
	struct gc *g;
	enum object_kind kind;
	struct inventory_sum *sum;
};

static int note(void *arg, const struct store_entry *entry, struct err *e)
{
	const struct listing *l = arg;
	struct object_id snapshot;
	struct object_id session;

	inventory_note(l->sum, entry->name);
	if (l->kind != OBJECT_MANIFEST ||
	    !object_name_parse(l->kind, entry->name, &snapshot, &session))
		return 0;
	return gc_ids_add(&l->g->known[0], snapshot, e) ||
			       gc_ids_add(&l->g->known[1], session, e)
		       ? -1
		       : 0;
}

static int list_one(struct gc *g, enum object_kind kind, const char *prefix,
		    struct inventory_sum *sum, struct err *e)
{
	struct listing l = { g, kind, sum };

	return store_list(g->store, prefix, note, &l, e);
}

static int list_whole(struct gc *g, enum object_kind kind,
		      struct inventory_sum *ret, struct err *e)
{
	char prefix[64];

	*ret = (struct inventory_sum){ 0 };
	(void)snprintf(prefix, sizeof(prefix), "%s/", object_kind_folder(kind));
	return list_one(g, kind, prefix, ret, e);
}

static int list_parts(struct gc *g, enum object_kind kind,
		      struct inventory_sum *ret, struct err *e)
{
	char prefix[64];

	*ret = (struct inventory_sum){ 0 };
	for (unsigned int digit = 0; digit < PARTS; digit++) {
		(void)snprintf(prefix, sizeof(prefix), "%s/%x",
			       object_kind_folder(kind), digit);
		if (list_one(g, kind, prefix, ret, e))
			return -1;
	}
	return 0;
}

/*
 * All folders, or the parts of them all, at once: what lies in one has no
 * order to what lies in another, and a folder stays between its two listings.
 */
static int list_all(struct gc *g, bool parts,
		    struct inventory_sum ret[DECIDING], struct err *e)
{
	const size_t each = parts ? PARTS : 1;
	struct store_question *v = calloc(DECIDING * each, sizeof(*v));
	struct store_asked *asked;
	int failed = 0;

	if (!v)
		return err_oom(e);
	for (size_t i = 0; i < DECIDING * each; i++) {
		v[i].kind = STORE_ASK_LISTING;
		(void)snprintf(
			v[i].name, sizeof(v[i].name), parts ? "%s/%zx" : "%s/",
			object_kind_folder(deciding[i / each]), i % each);
	}
	asked = store_ask(g->store, v, DECIDING * each);
	for (size_t i = 0; !failed && i < DECIDING; i++)
		failed = gc_stopped(g, e) ||
			 (parts ? list_parts : list_whole)(g, deciding[i],
							   &ret[i], e);
	store_ask_done(asked);
	free(v);
	return failed ? -1 : 0;
}

static bool is_same(const struct inventory_sum *a,
		    const struct inventory_sum *b)
{
	return a->n == b->n && a->hash == b->hash;
}

/* A folder, its parts, and it once more, in this order. */
struct look {
	struct inventory_sum before;
	struct inventory_sum parts;
	struct inventory_sum after;
};

/* Whoever came after the first look may have left before the last one. */
static bool comes_and_goes(enum object_kind kind)
{
	return kind == OBJECT_SESSION || kind == OBJECT_PIN;
}

/*
 * While others write the two differ for good reasons: what stands still must
 * agree.  Names that are no ids are in no part.  0: they agree; 1: it is to be
 * looked at again; -1.
 */
static int judge_parts(enum object_kind kind, const struct look *l, bool last,
		       struct err *e)
{
	if (is_same(&l->before, &l->parts) || l->parts.n < l->before.n)
		return 0;
	if (!is_same(&l->before, &l->after) || (comes_and_goes(kind) && !last))
		return 1;
	return gc_refuse(
		e,
		"the store lists %llu objects in \"%s/\", and %llu when "
		"asked for its parts",
		(unsigned long long)l->before.n, object_kind_folder(kind),
		(unsigned long long)l->parts.n);
}

static int look_again(struct gc *g, enum object_kind kind, struct err *e)
{
	struct look l;
	int r = 1;

	for (int i = 1; r == 1 && i < TRIES; i++) {
		if (list_whole(g, kind, &l.before, e) ||
		    list_parts(g, kind, &l.parts, e) ||
		    list_whole(g, kind, &l.after, e))
			return -1;
		r = judge_parts(kind, &l, i == TRIES - 1, e);
	}
	return r < 0 ? -1 : 0;
}

static int check_parts(struct gc *g, struct err *e)
{
	struct inventory_sum before[DECIDING];
	struct inventory_sum parts[DECIDING];
	struct inventory_sum after[DECIDING];

	if (list_all(g, false, before, e) || list_all(g, true, parts, e) ||
	    list_all(g, false, after, e))
		return -1;
	for (size_t i = 0; i < DECIDING; i++) {
		const struct look l = { before[i], parts[i], after[i] };
		const int r = judge_parts(deciding[i], &l, false, e);

		if (r < 0 || (r > 0 && look_again(g, deciding[i], e)))
			return -1;
	}
	return 0;
}

static int check_own_session(struct gc *g, struct err *e)
{
	const struct object_name name = object_name(OBJECT_SESSION, g->session);
	struct inventory_sum own = { 0 };

	if (inventory_add(g->store, name.s, &own, e))
		return -1;
	if (own.n)
		return 0;
	return gc_refuse(e,
			 "the store does not list \"%s\", which was just put "
			 "there",
			 name.s);
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
	if (store_features(g->store) & STORE_EVENTUAL)
		return err_set(e, ERR_DENIED,
			       "this store may list less than there is, so "
			       "that garbage cannot be told for sure");
	gc_stage(g, "listing", 0, 0);
	if (check_own_session(g, e) || check_parts(g, e))
		return -1;
	return inventory_compare(g->store, g->keys, refuse_short, NULL, e);
}

static int expect_gone(struct gc *g, struct voids *voids,
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
	if (voids_judge(voids, session, snapshot, &answer, e))
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
	int failed = voids_read(g->store, g->keys, &voids, e);

	for (size_t i = 0; !failed && i < g->n_snapshots; i++)
		failed = gc_ids_add(&found, g->snapshots[i].id, e);
	gc_ids_sort(&found);
	gc_ids_sort(&g->lost_manifests);
	for (size_t i = 0; !failed && i < g->known[0].n; i++)
		if (!gc_ids_has(&found, g->known[0].v[i]) &&
		    !gc_ids_has(&g->lost_manifests, g->known[1].v[i]))
			failed = expect_gone(g, voids, g->known[0].v[i],
					     g->known[1].v[i], e);
	gc_ids_done(&found);
	return failed ? -1 : 0;
}
