/*
 * Which chunks the snapshots need.
 *
 * The index gives the ids of all chunks in ascending order; of each the first
 * eight bytes are kept, and two bits.  Ids are hashes, so where one stands in
 * the order follows nearly from its value, and is found within a page or two.
 * Two ids that begin alike share their fate: that keeps a chunk too many,
 * once in the life of a repository.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapped.h"
#include "base/text.h"
#include "storage/repository/gc_internal.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"

/* Trees are read node by node; neighbours share packs, not nodes. */
#define READER_BYTES ((size_t)16 << 20)

struct gc_live {
	struct gc *g;
	struct mapped ids;   /* uint64_t each: the first bytes, big-endian */
	struct mapped bits;  /* two for each: needed, pinned */
	struct mapped ranks; /* uint32_t each; with guarding only */
	uint32_t rank;	     /* of who is traced */
	uint64_t n;
	uint64_t needed;
	struct reader *reader;
	struct filemap *seen[2]; /* nodes that were walked; of pinned trees */
};

enum { BIT_NEEDED = 1, BIT_PINNED = 2 };

static uint64_t first_bytes(const struct chunk_id *id)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | id->b[i];
	return v;
}

static uint64_t id_at(const struct gc_live *l, uint64_t i)
{
	uint64_t v;

	memcpy(&v, l->ids.bytes + i * sizeof(v), sizeof(v));
	return v;
}

int gc_live_new(struct gc *g, struct gc_live **ret, struct err *e)
{
	const uint64_t room = index_set_entries(g->index) + 1;
	struct gc_live *l = calloc(1, sizeof(*l));

	if (!l)
		return err_oom(e);
	l->g = g;
	if (mapped_open(g->o->scratch, room * sizeof(uint64_t), &l->ids, e) ||
	    mapped_open(g->o->scratch, room / 4 + 1, &l->bits, e) ||
	    (g->guarding && mapped_open(g->o->scratch, room * sizeof(uint32_t),
					&l->ranks, e)) ||
	    filemap_new(&l->seen[0], g->o->scratch, CHUNK_ID_SIZE, 0, e) ||
	    filemap_new(&l->seen[1], g->o->scratch, CHUNK_ID_SIZE, 0, e) ||
	    reader_new_in(g->r, g->index, READER_BYTES, &l->reader, e)) {
		gc_live_free(l);
		return -1;
	}
	*ret = l;
	return 0;
}

void gc_live_free(struct gc_live *l)
{
	if (!l)
		return;
	mapped_close(&l->ids);
	mapped_close(&l->bits);
	mapped_close(&l->ranks);
	filemap_free(l->seen[0]);
	filemap_free(l->seen[1]);
	reader_free(l->reader);
	free(l);
}

void gc_live_add(struct gc_live *l, const struct chunk_id *id)
{
	const uint64_t v = first_bytes(id);

	assert((l->n + 1) * sizeof(v) <= l->ids.n);
	memcpy(l->ids.bytes + l->n * sizeof(v), &v, sizeof(v));
	l->n++;
}

static unsigned int bits_of(const struct gc_live *l, uint64_t i)
{
	return l->bits.bytes[i / 4] >> (i % 4 * 2) & 3U;
}

static void set_bits(struct gc_live *l, uint64_t i, unsigned int bits)
{
	/* What is pinned was needed before: trace(). */
	if (!(bits_of(l, i) & BIT_NEEDED)) {
		l->needed++;
		if (l->g->guarding)
			memcpy(l->ranks.bytes + i * sizeof(l->rank), &l->rank,
			       sizeof(l->rank));
	}
	l->bits.bytes[i / 4] |= (uint8_t)(bits << (i % 4 * 2));
}

/* Where want would be if ids were spread evenly between low and high. */
static uint64_t guess(uint64_t low, uint64_t high, uint64_t at_low,
		      uint64_t at_high, uint64_t want)
{
	const unsigned __int128 width = high - low;

	if (at_high == at_low)
		return low;
	return low + (uint64_t)(width * (want - at_low) / (at_high - at_low));
}

/* The first whose id is not below want, or n: interpolating. */
static uint64_t lower_bound(const struct gc_live *l, uint64_t want)
{
	uint64_t low = 0;
	uint64_t high = l->n; /* everything from here on is not below */

	for (unsigned int turn = 0; low < high; turn++) {
		const uint64_t at_low = id_at(l, low);
		const uint64_t at_high = id_at(l, high - 1);
		uint64_t middle;

		if (want <= at_low)
			return low;
		if (want > at_high)
			return high;
		/* Now and then by halves, whatever the ids are. */
		middle = turn % 4 == 3
				 ? low + (high - low) / 2
				 : guess(low, high - 1, at_low, at_high, want);
		if (id_at(l, middle) < want)
			low = middle + 1;
		else
			high = middle;
		/* guess() may answer high - 1 for ever: that is decided. */
	}
	return low;
}

bool gc_live_fits(const struct gc_live *l, uint64_t ordinal,
		  const struct chunk_id *id)
{
	return ordinal < l->n && id_at(l, ordinal) == first_bytes(id);
}

bool gc_live_is(const struct gc_live *l, uint64_t ordinal)
{
	return bits_of(l, ordinal) & BIT_NEEDED;
}

uint32_t gc_live_rank(const struct gc_live *l, uint64_t ordinal)
{
	uint32_t rank = 0;

	if (l->g->guarding)
		memcpy(&rank, l->ranks.bytes + ordinal * sizeof(rank),
		       sizeof(rank));
	return rank;
}

bool gc_live_is_pinned(const struct gc_live *l, uint64_t ordinal)
{
	return bits_of(l, ordinal) & BIT_PINNED;
}

uint64_t gc_live_count(const struct gc_live *l)
{
	return l->needed;
}

/* ---- Tracing ------------------------------------------------------------ */

struct trace {
	struct gc_live *l;
	const struct gc_snapshot *snapshot;
	unsigned int bits;
	bool pinned;
};

static int refuse(const struct chunk_id *id, const char *who, const char *what,
		  struct err *e)
{
	char hex[2 * CHUNK_ID_SIZE + 1];

	text_hex(id->b, CHUNK_ID_SIZE, hex);
	hex[16] = '\0';
	return gc_refuse(e, "%s needs chunk %s…, which %s", who, hex, what);
}

/*
 * A collection that is less patient lets go of a snapshot, its manifest first,
 * that is deleted and still counts for us.
 */
static int let_go(const struct trace *t, struct err *e)
{
	struct err ignored = { 0 };

	if (repository_counts(t->l->g->r, t->snapshot->id, &ignored))
		return 0;
	(void)err_set(e, ERR_BUSY, "another garbage collection is at work");
	return 1;
}

/* Unless an earlier repair gave it up. */
static int lacks(const struct trace *t, const struct chunk_id *id,
		 const char *what, struct err *e)
{
	char who[sizeof("snapshot ") + OBJECT_ID_TEXT] = "snapshot ";

	if (filemap_find(t->l->g->lost, id->b))
		return 0;
	if (t->l->g->guarding) {
		t->l->g->blind = t->l->g->blind || t->pinned;
		return 0;
	}
	if (let_go(t, e))
		return -1;
	object_id_format(t->snapshot->id, who + strlen(who));
	who[strlen("snapshot ") + 8] = '\0';
	return refuse(id, who, what, e);
}

int gc_live_expect(const struct gc_live *l, const struct chunk_id *id,
		   struct err *e)
{
	return filemap_find(l->g->lost, id->b)
		       ? 0
		       : refuse(id, "a snapshot", "no pack holds", e);
}

static int need(struct trace *t, const struct chunk_id *id, struct err *e)
{
	struct gc_live *l = t->l;
	const uint64_t want = first_bytes(id);
	uint64_t i = lower_bound(l, want);

	if (i == l->n || id_at(l, i) != want)
		return lacks(t, id, "no pack holds", e);
	for (; i < l->n && id_at(l, i) == want; i++)
		set_bits(l, i, t->bits);
	return 0;
}

/* 1 when it was here before, 0, -1. */
static int walked(struct trace *t, const struct chunk_id *id, struct err *e)
{
	void *value;
	const int fresh = filemap_add(t->l->seen[t->pinned], id->b, &value, e);

	return fresh < 0 ? -1 : !fresh;
}

static int visit(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		 struct err *e)
{
	struct trace *t = arg;
	struct gc *g = t->l->g;

	if (need(t, id, e))
		return -1;
	if (kind == CHUNK_DATA || kind == CHUNK_VALUE)
		return 0;
	if (gc_stopped(g, e))
		return -1;
	gc_stage(g, "trees", t->l->needed, 0);
	return walked(t, id, e);
}

/* More packs than this never hold one chunk. */
#define HOLDERS_MAX 64

/*
 * Whether a pack that holds it went since the survey listed packs: 1, 0, -1.
 * Its index stays as it was opened, so that what another collection moved
 * meanwhile cannot be found where it is now.
 */
static int is_taken(struct gc *g, const struct chunk_id *id, struct err *e)
{
	struct object_id seen[HOLDERS_MAX];
	struct pack_entry at;

	for (size_t n = 0; n < HOLDERS_MAX; n++) {
		const struct gc_pack *p;
		uint64_t size;
		int found = index_set_find_other(g->index, id, seen, n, &at, e);

		if (found <= 0)
			return found;
		seen[n] = at.place.pack;
		p = filemap_find(g->packs, at.place.pack.b);
		if (!p || !p->listed)
			continue;
		found = store_size(
			g->store,
			object_name((enum object_kind)p->kind, at.place.pack).s,
			&size, e);
		if (found <= 0)
			return found < 0 ? -1 : 1;
	}
	return 0;
}

static int damaged(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		   const struct err *why, struct err *e)
{
	struct trace *t = arg;
	struct gc *g = t->l->g;
	char what[sizeof(why->text) + 32];
	int taken;

	(void)kind;
	(void)snprintf(what, sizeof(what), "cannot be read: %s", why->text);
	if (why->sys == EIO && g->unread.code == ERR_NONE)
		g->unread = *why;
	if (lacks(t, id, what, e) == 0)
		return 0;
	taken = is_taken(g, id, e);
	if (taken > 0)
		(void)err_set(e, ERR_BUSY,
			      "another garbage collection is at work");
	return -1;
}

int gc_live_trace(struct gc_live *l, const struct gc_snapshot *s, bool pinned,
		  struct err *e)
{
	struct trace t = { .l = l,
			   .snapshot = s,
			   .bits = pinned ? BIT_PINNED : BIT_NEEDED,
			   .pinned = pinned };

	l->rank = s->rank;
	if (tree_references(l->reader, &s->tree, false, visit, damaged, &t,
			    e) ||
	    tree_references(l->reader, &s->hints, true, visit, damaged, &t, e))
		return -1;
	return s->has_errors ? need(&t, &s->error_list, e) : 0;
}
