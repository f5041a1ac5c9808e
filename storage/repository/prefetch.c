#include "storage/repository/prefetch.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Requests under way at once, of ours. */
#define FETCHERS 6
/* Ranges, so that looking one up stays cheap however small they are. */
#define RANGES_MAX 512
/* With those that are kept for what comes again. */
#define KEPT_MAX 1024
/* Gaps that are read along, but for small ones: one part in so many. */
#define GAPS_PART 16
/* Packs of which neighbours are gathered at a time, and chunks of each. */
#define GATHERS	      4
#define GATHER_CHUNKS 2048
/* Places that were read by somebody who could not wait for the plan. */
#define MISSED 64

enum range_state { RANGE_PLANNED, RANGE_COMING, RANGE_THERE, RANGE_FAILED };

/* Bytes of one pack; while they come, its fetcher's alone. */
struct range {
	struct range *next; /* in the order of planning */
	enum object_kind kind;
	struct object_id pack;
	uint32_t offset;
	uint32_t len;
	uint64_t last; /* the highest position that needs it */
	uint64_t used; /* a count of uses */
	unsigned int waiting;
	enum range_state state;
	struct err why; /* of one that failed */
	uint8_t *bytes;
};

struct piece {
	uint32_t offset;
	uint32_t len;
};

/* Chunks of one pack that are to become ranges. */
struct gather {
	enum object_kind kind;
	struct object_id pack;
	size_t n; /* 0: it is free */
	size_t bytes;
	uint64_t last;
	uint64_t begun; /* a count of those that began */
	struct piece v[GATHER_CHUNKS];
};

struct missed {
	struct object_id pack;
	uint32_t offset;
};

struct prefetch {
	struct store *store;
	size_t budget;
	pthread_mutex_t lock;	/* of what follows */
	pthread_cond_t changed; /* any of it */
	struct range *first;
	struct range **end;
	size_t n_ranges;
	size_t held; /* bytes of those that are coming or there */
	struct gather gathers[GATHERS];
	uint64_t begun;
	struct missed missed[MISSED];
	size_t n_missed;
	uint64_t uses;
	uint64_t reached;
	uint64_t places[PREFETCH_WORKERS];
	uint64_t begun_at; /* the highest of them so far */
	bool ended;
	pthread_t threads[FETCHERS];
	size_t n_threads;
};

/* ---- with the lock held ------------------------------------------------- */

static bool is_needed(const struct prefetch *p, const struct range *r)
{
	return r->last >= p->reached;
}

static bool covers(const struct range *r, enum object_kind kind,
		   const struct pack_place *place)
{
	return r->kind == kind && place->offset >= r->offset &&
	       place->offset - r->offset < r->len &&
	       place->len <= r->len - (place->offset - r->offset) &&
	       object_id_equal(r->pack, place->pack);
}

static struct range *find_range(struct prefetch *p, enum object_kind kind,
				const struct pack_place *place)
{
	for (struct range *r = p->first; r; r = r->next)
		if (r->state != RANGE_FAILED && covers(r, kind, place))
			return r;
	return NULL;
}

static void drop_range(struct prefetch *p, struct range *r)
{
	struct range **at = &p->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (p->end == &r->next)
		p->end = at;
	p->n_ranges--;
	if (r->bytes)
		p->held -= r->len;
	free(r->bytes);
	free(r);
}

/* Nobody uses it, nor will. */
static bool is_spent(const struct prefetch *p, const struct range *r)
{
	return r->state != RANGE_COMING && !r->waiting &&
	       (!is_needed(p, r) || r->state == RANGE_FAILED);
}

/* Let go what was used longest ago, until n more bytes fit. */
static bool make_room(struct prefetch *p, size_t n)
{
	while (p->held + n > p->budget || p->n_ranges > KEPT_MAX) {
		struct range *oldest = NULL;

		for (struct range *r = p->first; r; r = r->next)
			if (r->bytes && is_spent(p, r) &&
			    (!oldest || r->used < oldest->used))
				oldest = r;
		if (!oldest)
			return false;
		drop_range(p, oldest);
	}
	return true;
}

/* What was passed before it was begun is not needed; there are few of them. */
static void drop_passed(struct prefetch *p)
{
	struct range *next;

	for (struct range *r = p->first; r; r = next) {
		next = r->next;
		if (!r->bytes && is_spent(p, r))
			drop_range(p, r);
	}
}

static int by_offset(const void *a, const void *b)
{
	const struct piece *x = a;
	const struct piece *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/*
 * How many of them, in order, one request reads well.  What several threads
 * wrote lies a little out of order: a larger gap is mostly needed soon, and is
 * read along while gaps are a small part of it all.
 */
static size_t run_of(const struct piece *v, size_t n, uint64_t *ret_bytes)
{
	const uint64_t begin = v[0].offset;
	uint64_t end = begin + v[0].len;
	uint64_t gaps = 0;
	size_t i;

	for (i = 1; i < n; i++) {
		const uint64_t next_end = (uint64_t)v[i].offset + v[i].len;
		const uint64_t gap = v[i].offset > end ? v[i].offset - end : 0;

		if ((gap > PACK_RUN_GAP &&
		     (gaps + gap) * GAPS_PART > next_end - begin) ||
		    next_end - begin > PREFETCH_RANGE)
			break;
		gaps += gap;
		end = next_end > end ? next_end : end;
	}
	*ret_bytes = end - begin;
	return i;
}

/* Without memory it is read by whoever needs it. */
static void add_range(struct prefetch *p, const struct gather *g,
		      const struct piece *v, uint64_t bytes)
{
	struct range *r = calloc(1, sizeof(*r));

	if (!r)
		return;
	*r = (struct range){ .kind = g->kind,
			     .pack = g->pack,
			     .offset = v[0].offset,
			     .len = (uint32_t)bytes,
			     .last = g->last,
			     .state = RANGE_PLANNED };
	*p->end = r;
	p->end = &r->next;
	p->n_ranges++;
}

/*
 * What was gathered becomes ranges; with some, only where a range is large: to
 * the others there may be neighbours yet.
 */
static void close_gather(struct prefetch *p, struct gather *g, bool some)
{
	size_t kept = 0;
	uint64_t bytes;
	size_t n;

	if (g->n)
		qsort(g->v, g->n, sizeof(g->v[0]), by_offset);
	g->bytes = 0;
	for (size_t i = 0; i < g->n; i += n) {
		n = run_of(&g->v[i], g->n - i, &bytes);
		if (!some || bytes >= PREFETCH_RANGE / 2) {
			add_range(p, g, &g->v[i], bytes);
			continue;
		}
		memmove(&g->v[kept], &g->v[i], n * sizeof(g->v[0]));
		kept += n;
		g->bytes += (size_t)bytes;
	}
	g->n = kept;
	(void)pthread_cond_broadcast(&p->changed);
}

static struct gather *find_gather(struct prefetch *p, enum object_kind kind,
				  struct object_id pack)
{
	for (size_t i = 0; i < GATHERS; i++) {
		struct gather *g = &p->gathers[i];

		if (g->n && g->kind == kind && object_id_equal(g->pack, pack))
			return g;
	}
	return NULL;
}

static bool has_piece(const struct gather *g, const struct pack_place *place)
{
	/* What was added last is what is asked for again. */
	for (size_t i = g->n; i > 0; i--)
		if (g->v[i - 1].offset == place->offset)
			return true;
	return false;
}

static struct gather *begin_gather(struct prefetch *p, enum object_kind kind,
				   struct object_id pack)
{
	struct gather *g = &p->gathers[0];

	for (size_t i = 0; i < GATHERS && g->n; i++)
		if (!p->gathers[i].n || p->gathers[i].begun < g->begun)
			g = &p->gathers[i];
	close_gather(p, g, false);
	g->kind = kind;
	g->pack = pack;
	g->begun = ++p->begun;
	return g;
}

static void gather(struct prefetch *p, enum object_kind kind,
		   const struct pack_place *place, uint64_t position)
{
	struct gather *g = find_gather(p, kind, place->pack);

	if (g && has_piece(g, place)) {
		g->last = position;
		return;
	}
	if (!g)
		g = begin_gather(p, kind, place->pack);
	g->v[g->n++] = (struct piece){ place->offset, place->len };
	g->bytes += place->len;
	g->last = position;
	if (g->bytes < PREFETCH_RANGE && g->n < GATHER_CHUNKS)
		return;
	close_gather(p, g, true);
	/* Much that lies apart is not worth waiting for more. */
	if (g->bytes >= PREFETCH_RANGE / 2 || g->n >= GATHER_CHUNKS / 2)
		close_gather(p, g, false);
}

static bool was_missed(const struct prefetch *p, const struct pack_place *place)
{
	for (size_t i = 0; i < MISSED && i < p->n_missed; i++)
		if (p->missed[i].offset == place->offset &&
		    object_id_equal(p->missed[i].pack, place->pack))
			return true;
	return false;
}

/* Whether n more bytes may be planned. */
static bool has_room(struct prefetch *p, size_t n)
{
	size_t needed = n;
	size_t ranges = 0;

	for (const struct range *r = p->first; r; r = r->next) {
		if (is_spent(p, r))
			continue;
		needed += r->len;
		ranges++;
	}
	for (size_t i = 0; i < GATHERS; i++)
		if (p->gathers[i].n && p->gathers[i].last >= p->reached)
			needed += p->gathers[i].bytes;
	return needed <= p->budget && ranges < RANGES_MAX;
}

/* Of a planner that waits: what it has gathered already had better come. */
static void close_large(struct prefetch *p)
{
	for (size_t i = 0; i < GATHERS; i++)
		close_gather(p, &p->gathers[i], true);
}

static struct range *first_planned(struct prefetch *p)
{
	struct range *r = p->first;

	while (r && r->state != RANGE_PLANNED)
		r = r->next;
	return r;
}

/* The next one to fetch, with room for it, or NULL. */
static struct range *next_range(struct prefetch *p)
{
	const struct range *r;

	drop_passed(p);
	r = first_planned(p);
	if (!r || !make_room(p, r->len))
		return NULL;
	/* The same: only what has bytes makes room. */
	return first_planned(p);
}

/* Fetch it, without the lock meanwhile. */
static void fetch(struct prefetch *p, struct range *r)
{
	const struct object_name name = object_name(r->kind, r->pack);
	size_t got = 0;
	int found = -1;

	r->state = RANGE_COMING;
	r->bytes = malloc(r->len);
	if (r->bytes) {
		p->held += r->len;
		(void)pthread_mutex_unlock(&p->lock);
		found = store_read_once(p->store, name.s, r->offset, r->bytes,
					r->len, &got, &r->why);
		(void)pthread_mutex_lock(&p->lock);
	}
	if (found > 0 && got == r->len) {
		r->state = RANGE_THERE;
		r->used = ++p->uses;
	} else {
		r->state = RANGE_FAILED;
		/* Who needs it finds out; but a store that does not answer
		 * would keep everybody waiting once more. */
		if (found < 0 && r->why.code == ERR_BUSY)
			p->ended = true;
	}
	(void)pthread_cond_broadcast(&p->changed);
}

static void *fetcher(void *arg)
{
	struct prefetch *p = arg;

	(void)pthread_mutex_lock(&p->lock);
	while (!p->ended) {
		struct range *r = next_range(p);

		if (r)
			fetch(p, r);
		else
			(void)pthread_cond_wait(&p->changed, &p->lock);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- what is called ----------------------------------------------------- */

int prefetch_new(struct store *s, size_t bytes, struct prefetch **ret,
		 struct err *e)
{
	struct prefetch *p = calloc(1, sizeof(*p));

	if (!p)
		return err_oom(e);
	p->store = s;
	p->budget = bytes;
	p->end = &p->first;
	for (size_t i = 0; i < PREFETCH_WORKERS; i++)
		p->places[i] = PREFETCH_NOWHERE;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->changed, NULL);
	/* With none, whoever takes a range fetches it. */
	while (p->n_threads < FETCHERS &&
	       pthread_create(&p->threads[p->n_threads], NULL, fetcher, p) == 0)
		p->n_threads++;
	*ret = p;
	return 0;
}

void prefetch_free(struct prefetch *p)
{
	if (!p)
		return;
	prefetch_end(p);
	for (size_t i = 0; i < p->n_threads; i++)
		(void)pthread_join(p->threads[i], NULL);
	while (p->first)
		drop_range(p, p->first);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

bool prefetch_want(struct prefetch *p, enum object_kind kind,
		   const struct pack_place *place, uint64_t position)
{
	struct range *r;
	bool goes_on;

	(void)pthread_mutex_lock(&p->lock);
	r = find_range(p, kind, place);
	while (!r && !p->ended && position >= p->reached &&
	       !has_room(p, place->len)) {
		close_large(p);
		(void)pthread_cond_wait(&p->changed, &p->lock);
	}
	if (r && r->last < position)
		r->last = position;
	if (!r && !p->ended && position >= p->reached && !was_missed(p, place))
		gather(p, kind, place, position);
	goes_on = !p->ended;
	(void)pthread_mutex_unlock(&p->lock);
	return goes_on;
}

bool prefetch_try(struct prefetch *p, enum object_kind kind,
		  const struct pack_place *place, uint64_t position)
{
	bool planned;

	(void)pthread_mutex_lock(&p->lock);
	planned = !p->ended && has_room(p, place->len);
	if (planned)
		gather(p, kind, place, position);
	(void)pthread_mutex_unlock(&p->lock);
	return planned;
}

static uint64_t least_place(const struct prefetch *p)
{
	uint64_t least = PREFETCH_NOWHERE;

	for (size_t k = 0; k < PREFETCH_WORKERS; k++)
		if (p->places[k] < least)
			least = p->places[k];
	return least;
}

void prefetch_wait(struct prefetch *p, size_t n)
{
	(void)pthread_mutex_lock(&p->lock);
	while (!p->ended && !has_room(p, n) &&
	       least_place(p) != PREFETCH_NOWHERE) {
		close_large(p);
		(void)pthread_cond_wait(&p->changed, &p->lock);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

void prefetch_wanted_all(struct prefetch *p)
{
	(void)pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < GATHERS; i++)
		close_gather(p, &p->gathers[i], false);
	(void)pthread_mutex_unlock(&p->lock);
}

/* The range that has, or will have it; what is being gathered becomes one. */
static struct range *find(struct prefetch *p, enum object_kind kind,
			  const struct pack_place *place)
{
	struct gather *g;
	struct range *r = find_range(p, kind, place);

	if (r)
		return r;
	g = find_gather(p, kind, place->pack);
	if (!g || !has_piece(g, place))
		return NULL;
	close_gather(p, g, false);
	return find_range(p, kind, place);
}

static void copy_out(struct prefetch *p, struct range *r,
		     const struct pack_place *place, void *out)
{
	r->used = ++p->uses;
	memcpy(out, r->bytes + (place->offset - r->offset), place->len);
}

int prefetch_take(struct prefetch *p, enum object_kind kind,
		  const struct pack_place *place, void *out, struct err *e)
{
	struct range *r;
	int result = 0;

	(void)pthread_mutex_lock(&p->lock);
	r = find(p, kind, place);
	if (r) {
		r->waiting++; /* it stays */
		if (r->state == RANGE_PLANNED && !p->ended)
			fetch(p, r);
		while (r->state == RANGE_COMING)
			(void)pthread_cond_wait(&p->changed, &p->lock);
		r->waiting--;
		if (r->state == RANGE_THERE) {
			copy_out(p, r, place, out);
			result = 1;
		} else if (r->state == RANGE_FAILED &&
			   (r->why.code == ERR_BUSY ||
			    r->why.code == ERR_INTERRUPTED)) {
			*e = r->why;
			result = -1;
		}
	}
	if (result == 0) {
		p->missed[p->n_missed++ % MISSED] =
			(struct missed){ place->pack, place->offset };
	}
	(void)pthread_mutex_unlock(&p->lock);
	return result;
}

static void reach(struct prefetch *p, uint64_t position)
{
	if (position <= p->reached)
		return;
	p->reached = position;
	(void)pthread_cond_broadcast(&p->changed);
}

void prefetch_reached(struct prefetch *p, uint64_t position)
{
	(void)pthread_mutex_lock(&p->lock);
	reach(p, position);
	(void)pthread_mutex_unlock(&p->lock);
}

void prefetch_at(struct prefetch *p, size_t i, uint64_t position)
{
	uint64_t least;

	assert(i < PREFETCH_WORKERS);
	(void)pthread_mutex_lock(&p->lock);
	p->places[i] = position;
	if (position != PREFETCH_NOWHERE && position > p->begun_at)
		p->begun_at = position;
	least = least_place(p);
	reach(p, least != PREFETCH_NOWHERE ? least : p->begun_at + 1);
	if (least == PREFETCH_NOWHERE)
		(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

void prefetch_end(struct prefetch *p)
{
	(void)pthread_mutex_lock(&p->lock);
	p->ended = true;
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}
