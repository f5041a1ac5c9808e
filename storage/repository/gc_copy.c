/*
 * copy: what is needed and would go moves into new packs, sealed as it is.
 *
 * Chunks are read in the order in which they lie, and each is opened on the
 * way: what is damaged is not carried along in silence.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mapped.h"
#include "storage/repository/gc_internal.h"

/* Index entries of one new index object: as a session writes. */
#define INDEX_ENTRIES 64000

struct copying {
	struct gc *g;
	struct mapped list; /* struct pack_entry each */
	size_t n;
	size_t room;
	struct chunk_worker *worker;
	uint8_t *sealed;
	uint8_t *plain;
	struct pack_writer *pack[2]; /* data, metadata */
	struct pack_entry *fresh;
	size_t n_fresh;
};

/* Where a chunk is to be copied from, or NULL: it need not be. */
static const struct gc_place *source_of(const struct gc_group *group)
{
	const struct gc_place *at;

	if (!group->live)
		return NULL;
	at = gc_holder(group);
	if (at)
		return at->pack->rewrite ? at : NULL;
	for (size_t i = 0; i < group->n; i++) {
		const struct gc_pack *p = group->v[i].pack;

		if (group->v[i].usable && p->due && !p->pinned &&
		    !p->keeps_lost)
			return &group->v[i];
	}
	return NULL;
}

static int count(void *arg, const struct gc_group *group, struct err *e)
{
	struct copying *c = arg;

	(void)e;
	c->room += source_of(group) != NULL;
	return 0;
}

static int add(void *arg, const struct gc_group *group, struct err *e)
{
	struct copying *c = arg;
	const struct gc_place *at = source_of(group);

	if (!at)
		return 0;
	if (c->n == c->room)
		return err_set(e, ERR_BUSY, "the index changed meanwhile");
	memcpy(c->list.bytes + c->n * sizeof(at->entry), &at->entry,
	       sizeof(at->entry));
	c->n++;
	return 0;
}

static int compare_places(const void *a, const void *b)
{
	const struct pack_entry *x = a;
	const struct pack_entry *y = b;
	const int c = object_id_compare(x->place.pack, y->place.pack);

	if (c)
		return c;
	if (x->place.offset != y->place.offset)
		return x->place.offset < y->place.offset ? -1 : 1;
	return 0;
}

/* ---- New packs ---------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
	const struct pack_entry *x = a;
	const struct pack_entry *y = b;

	return chunk_id_compare(&x->seal.id, &y->seal.id);
}

/* A pack of ours is known at once, so that the next look finds it. */
static int note_new_packs(struct copying *c, struct err *e)
{
	for (size_t i = 0; i < c->n_fresh; i++) {
		const struct pack_entry *x = &c->fresh[i];
		struct gc_pack *p;
		void *value;

		if (filemap_add(c->g->packs, x->place.pack.b, &value, e) < 0)
			return -1;
		p = value;
		p->kind = (uint8_t)(chunk_kind_is_meta(x->seal.kind)
					    ? OBJECT_META_PACK
					    : OBJECT_DATA_PACK);
		p->listed = true;
		p->underway = true;
		p->entries++;
		p->live++;
		p->live_bytes += x->place.len;
		p->size += x->place.len;
	}
	return 0;
}

static int write_index(struct copying *c, struct err *e)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct gc *g = c->g;
	struct object_id id;

	if (c->n_fresh == 0)
		return 0;
	qsort(c->fresh, c->n_fresh, sizeof(*c->fresh), compare_entries);
	if (gc_confirm(g, e) ||
	    index_writer_open(g->store, g->keys, g->session, &w, e))
		return -1;
	for (size_t i = 0; i < c->n_fresh; i++)
		if (index_writer_add(w, &c->fresh[i], e))
			return -1;
	if (index_writer_commit(w, &id, e) || note_new_packs(c, e) ||
	    index_set_add(g->index, id, e))
		return -1;
	c->n_fresh = 0;
	return 0;
}

static int close_pack(struct copying *c, size_t which, struct err *e)
{
	const struct pack_entry *entries;
	size_t n;
	int failed;

	if (!c->pack[which])
		return 0;
	failed = pack_writer_commit(c->pack[which], e);
	n = pack_writer_entries(c->pack[which], &entries);
	for (size_t i = 0; !failed && i < n; i++) {
		if (c->n_fresh == INDEX_ENTRIES)
			failed = write_index(c, e);
		if (!failed)
			c->fresh[c->n_fresh++] = entries[i];
	}
	pack_writer_free(c->pack[which]);
	c->pack[which] = NULL;
	return failed ? -1 : 0;
}

static int add_to_pack(struct copying *c, const struct pack_entry *x,
		       struct err *e)
{
	const size_t which = chunk_kind_is_meta(x->seal.kind);
	const uint64_t aim = which ? GC_META_PACK_BYTES : GC_DATA_PACK_BYTES;
	struct pack_writer **p = &c->pack[which];

	if (*p &&
	    (pack_writer_size(*p) + x->place.len > aim ||
	     !pack_writer_fits(*p, x->place.len)) &&
	    close_pack(c, which, e))
		return -1;
	if (!*p &&
	    pack_writer_open(c->g->store, c->g->keys,
			     which ? OBJECT_META_PACK : OBJECT_DATA_PACK, p, e))
		return -1;
	if (pack_writer_add(*p, &x->seal, c->sealed, x->place.len, e))
		return -1;
	if (pack_writer_ends_well(*p, aim, x->place.len))
		return close_pack(c, which, e);
	return 0;
}

struct opening {
	struct copying *c;
	const struct pack_entry *at;
};

static int opens(void *arg, const uint8_t *sealed, struct err *e)
{
	const struct opening *o = arg;

	return chunk_open(o->c->worker, &o->at->seal, sealed, o->at->place.len,
			  o->c->plain, e);
}

static int copy_one(struct copying *c, const struct pack_entry *x,
		    struct err *e)
{
	struct gc *g = c->g;
	const enum object_kind kind = chunk_kind_is_meta(x->seal.kind)
					      ? OBJECT_META_PACK
					      : OBJECT_DATA_PACK;
	struct opening o = { c, x };
	struct err why = { 0 };

	if (pack_read_that(g->store, kind, &x->place, c->sealed, opens, &o,
			   &why)) {
		/* Another collector copied, and deleted, before us. */
		if (why.code == ERR_NOT_FOUND)
			return err_set(e, ERR_BUSY,
				       "another garbage collection is at work");
		if (object_is_damage(&why))
			return gc_refuse(e,
					 "what is needed cannot be copied: "
					 "%s",
					 why.text);
		*e = why;
		return -1;
	}
	if (add_to_pack(c, x, e))
		return -1;
	g->out->chunks_copied++;
	g->out->bytes_copied += x->place.len;
	return 0;
}

static int copy_all(struct copying *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		struct pack_entry x;

		memcpy(&x, c->list.bytes + i * sizeof(x), sizeof(x));
		if (gc_stopped(c->g, e) || copy_one(c, &x, e))
			return -1;
		gc_stage(c->g, "copying", i + 1, c->n);
	}
	return close_pack(c, 0, e) || close_pack(c, 1, e) || write_index(c, e)
		       ? -1
		       : 0;
}

static int run(struct copying *c, struct err *e)
{
	struct gc *g = c->g;

	if (gc_walk(g, count, c, e))
		return -1;
	if (c->room == 0)
		return 0;
	c->sealed = malloc(CHUNK_SEALED_MAX);
	c->plain = malloc(CHUNK_MAX);
	c->fresh = calloc(INDEX_ENTRIES, sizeof(*c->fresh));
	if (!c->sealed || !c->plain || !c->fresh)
		return err_oom(e);
	if (chunk_worker_new(g->keys, &c->worker, e) ||
	    mapped_open(g->o->scratch, c->room * sizeof(struct pack_entry),
			&c->list, e) ||
	    gc_walk(g, add, c, e))
		return -1;
	qsort(c->list.bytes, c->n, sizeof(struct pack_entry), compare_places);
	return copy_all(c, e);
}

int gc_copy(struct gc *g, struct err *e)
{
	struct copying c = { .g = g };
	const int failed = run(&c, e);

	for (int i = 0; i < 2; i++)
		pack_writer_free(c.pack[i]);
	mapped_close(&c.list);
	chunk_worker_free(c.worker);
	free(c.sealed);
	free(c.plain);
	free(c.fresh);
	return failed;
}
