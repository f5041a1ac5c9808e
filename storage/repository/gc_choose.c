/*
 * mark: which packs are rewritten first, and what then may be marked.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/gc_internal.h"

/* Packs that may be rewritten; more than this wait for the next time. */
#define CANDIDATES_MAX 65536
/* So many small packs are worth one large one. */
#define SMALL_PACKS 16

struct candidate {
	struct object_id id;
	uint64_t live_bytes;
	uint64_t size;
	uint8_t kind;
	bool small;
};

struct candidates {
	struct candidate *v;
	size_t n;
	size_t small[2]; /* of data, of metadata */
	uint64_t small_bytes[2];
};

static uint64_t aim_of(uint8_t kind)
{
	return kind == OBJECT_META_PACK ? GC_META_PACK_BYTES
					: GC_DATA_PACK_BYTES;
}

static bool is_mostly_dead(const struct gc_pack *p)
{
	return p->live_bytes <= p->bytes / 2;
}

/*
 * Or it is less than a quarter of what it could be.  Where something is live,
 * the pack is there, whole, and not marked: gc_holder().
 */
static bool is_candidate(const struct gc_pack *p)
{
	return p->live && !p->underway && !p->keeps_lost &&
	       (p->live_bytes < p->size / 2 || p->size < aim_of(p->kind) / 4);
}

static void add_candidate(struct candidates *c, const void *key,
			  const struct gc_pack *p)
{
	struct candidate *x = &c->v[c->n++];
	const bool meta = p->kind == OBJECT_META_PACK;

	*x = (struct candidate){ .live_bytes = p->live_bytes,
				 .size = p->size,
				 .kind = p->kind,
				 .small = !is_mostly_dead(p) };
	memcpy(x->id.b, key, sizeof(x->id.b));
	if (!x->small)
		return;
	c->small[meta]++;
	c->small_bytes[meta] += p->live_bytes;
}

/* The deadest first: what is freed for each byte that is copied. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a;
	const struct candidate *y = b;
	const double of_x = (double)x->live_bytes / (double)(x->size + 1);
	const double of_y = (double)y->live_bytes / (double)(y->size + 1);

	if (x->small != y->small)
		return x->small ? 1 : -1;
	if (x->small && x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if (of_x < of_y)
		return -1;
	return of_x > of_y ? 1 : object_id_compare(x->id, y->id);
}

static int choose_within(struct gc *g, struct candidates *c, bool *ret_any,
			 struct err *e)
{
	uint64_t left = g->o->rewrite_bytes;
	int guarded;

	for (size_t i = 0; i < c->n; i++) {
		const struct candidate *x = &c->v[i];
		const bool meta = x->kind == OBJECT_META_PACK;
		struct gc_pack *p = filemap_find(g->packs, x->id.b);

		if (x->small && c->small[meta] < SMALL_PACKS &&
		    c->small_bytes[meta] < aim_of(x->kind))
			continue;
		if (!p || x->live_bytes > left)
			continue;
		/* It would only lie there twice. */
		guarded = gc_is_guarded(
			g, object_name((enum object_kind)x->kind, x->id).s, e);
		if (guarded < 0)
			return -1;
		if (guarded)
			continue;
		left -= x->live_bytes;
		p->rewrite = *ret_any = true;
	}
	return 0;
}

int gc_choose(struct gc *g, struct err *e)
{
	struct candidates c = { .n = 0 };
	uint64_t pos = 0;
	const void *key;
	void *value;
	bool chosen = false;
	int failed;

	c.v = calloc(CANDIDATES_MAX, sizeof(*c.v));
	if (!c.v)
		return err_oom(e);
	while (c.n < CANDIDATES_MAX &&
	       filemap_next(g->packs, &pos, &key, &value))
		if (is_candidate(value))
			add_candidate(&c, key, value);
	qsort(c.v, c.n, sizeof(*c.v), compare_candidates);
	failed = choose_within(g, &c, &chosen, e);
	free(c.v);
	return failed ? -1 : chosen ? gc_sum_again(g, e) : 0;
}

/* 1 when it may not go yet, 0, -1. */
static int has_to_wait(struct gc *g, struct gc_pack *p, struct object_id id,
		       struct err *e)
{
	const int guarded = gc_has_to_wait(
		g, object_name((enum object_kind)p->kind, id).s, e);

	if (guarded > 0) {
		p->locked = true;
		g->out->locked++;
		g->out->bytes_locked += p->size;
	}
	return guarded;
}

int gc_garbage(struct gc *g, struct gc_ids *ret, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;
	int waits;

	while (filemap_next(g->packs, &pos, &key, &value)) {
		struct gc_pack *p = value;
		struct object_id id;

		/* A mark of a clock that is far ahead would never be due. */
		if (!p->listed || (p->marked && p->marked_well) ||
		    p->quarantined || p->underway || p->keeps_lost ||
		    (p->live && !p->rewrite))
			continue;
		/* What no index names may be a living session's. */
		if (!p->entries && g->others.n)
			continue;
		memcpy(id.b, key, sizeof(id.b));
		waits = has_to_wait(g, p, id, e);
		if (waits < 0 || (!waits && gc_ids_add(ret, id, e)))
			return -1;
		if (waits)
			continue;
		p->marked = p->marked_well = true;
		g->out->marked++;
	}
	return 0;
}
