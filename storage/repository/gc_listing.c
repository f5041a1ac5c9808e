/*
 * Whether what is listed is all there is.
 *
 * A listing that fails ends everything anyway.  One that is short in silence
 * is told by three things: the sum of a folder's sixteen parts, which a store
 * that cuts long listings gives whole; our own session, which must be there;
 * and inventories.  Packs and index objects are held against each other, and
 * both against the trees, by the survey.
 */
#include <stdio.h>

#include "storage/repository/gc_internal.h"
#include "storage/repository/inventory.h"

/* What decides, and is small enough to be listed twice. */
static const enum object_kind deciding[] = {
	OBJECT_SESSION, OBJECT_PIN,	  OBJECT_MARK,	   OBJECT_MANIFEST,
	OBJECT_INDEX,	OBJECT_TOMBSTONE, OBJECT_UNDELETE, OBJECT_HOLD,
	OBJECT_LOCK,	OBJECT_RECEIPT,
};
#define DECIDING (sizeof(deciding) / sizeof(deciding[0]))
/* Things come and go while we list. */
#define TRIES 5

static int list_whole(struct gc *g, enum object_kind kind,
		      struct inventory_sum *ret, struct err *e)
{
	char prefix[64];

	*ret = (struct inventory_sum){ 0 };
	(void)snprintf(prefix, sizeof(prefix), "%s/", object_kind_folder(kind));
	return inventory_add(g->store, prefix, ret, e);
}

static int list_parts(struct gc *g, enum object_kind kind,
		      struct inventory_sum *ret, struct err *e)
{
	char prefix[64];

	*ret = (struct inventory_sum){ 0 };
	for (unsigned int digit = 0; digit < 16; digit++) {
		(void)snprintf(prefix, sizeof(prefix), "%s/%x",
			       object_kind_folder(kind), digit);
		if (inventory_add(g->store, prefix, ret, e))
			return -1;
	}
	return 0;
}

static bool is_same(const struct inventory_sum *a,
		    const struct inventory_sum *b)
{
	return a->n == b->n && a->hash == b->hash;
}

/*
 * While others write the two differ for good reasons: what stands still must
 * agree.  Names that are no ids are in no part.
 */
static int check_parts(struct gc *g, enum object_kind kind, struct err *e)
{
	struct inventory_sum before, parts, after;

	for (int i = 0; i < TRIES; i++) {
		if (list_whole(g, kind, &before, e) ||
		    list_parts(g, kind, &parts, e) ||
		    list_whole(g, kind, &after, e))
			return -1;
		if (is_same(&before, &parts) || parts.n < before.n)
			return 0;
		if (is_same(&before, &after))
			return gc_refuse(
				e,
				"the store lists %llu objects in \"%s/\", and "
				"%llu when asked for its parts",
				(unsigned long long)before.n,
				object_kind_folder(kind),
				(unsigned long long)parts.n);
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
	if (check_own_session(g, e))
		return -1;
	for (size_t i = 0; i < DECIDING; i++)
		if (gc_stopped(g, e) || check_parts(g, deciding[i], e))
			return -1;
	return inventory_compare(g->store, g->keys, refuse_short, NULL, e);
}
