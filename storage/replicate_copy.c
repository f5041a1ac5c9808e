/*
 * The chunks of one snapshot, on their way:
 *
 *	caller's thread   walks the tree in the source, asks the target's
 *	   │              index, sorts what is lacking by where it lies;
 *	   │              tells what is read ahead (prefetch.h), where a
 *	   │              request takes long
 *	   │ runs (bounded queue)
 *	   ▼
 *	workers           read a run at once, open each chunk, hand it on
 *	   │
 *	   ▼
 *	the writer's packer and committer, which send while others read
 *
 * Memory: one batch of places, for each worker one run of sealed bytes and one
 * opened chunk, and what is read ahead.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/filemap.h"
#include "base/queue.h"
#include "base/text.h"
#include "storage/rate.h"
#include "storage/replicate_internal.h"
#include "storage/repository/prefetch.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"

/* Places gathered before they are sorted: 5 MB, and order over some 60 GB. */
#define BATCH	    65536
#define RUNS	    16
#define WORKERS_MAX PREFETCH_WORKERS
/* Sealed chunks that come ahead of the workers. */
#define AHEAD_BYTES ((size_t)32 << 20)
#define CACHE_BYTES (4U << 20)
/* Other packs that are tried when one holds a chunk damaged. */
#define HOLDERS_MAX 64
/* What is lost must not cost a listing again and again. */
#define FUTILE_MAX 64

struct replicate_limits {
	pthread_mutex_t lock; /* of what follows */
	struct rate in;
	struct rate out;
};

int replicate_limits_new(const struct replicate_options *o,
			 struct replicate_limits **ret, struct err *e)
{
	struct replicate_limits *l = calloc(1, sizeof(*l));

	if (!l)
		return err_oom(e);
	(void)pthread_mutex_init(&l->lock, NULL);
	rate_init(&l->in, o->read_limit);
	rate_init(&l->out, o->write_limit);
	*ret = l;
	return 0;
}

void replicate_limits_free(struct replicate_limits *l)
{
	if (!l)
		return;
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

/* Neighbours in one pack. */
struct run {
	uint64_t position; /* chunks before its first */
	size_t n;
	struct pack_entry v[];
};

struct pipeline {
	const struct replicate_copy *c;
	struct index_set *index; /* the source's */
	struct queue *runs;
	struct prefetch *prefetch; /* or NULL */
	pthread_t workers[WORKERS_MAX];
	size_t n_workers;
	pthread_mutex_t popping; /* n_entered; taking a run, and telling so */
	size_t n_entered;

	/* The caller's thread. */
	struct filemap *seen; /* chunk id → bits of kinds */
	struct pack_entry *batch;
	size_t n_batch;
	unsigned int futile; /* as the worker's */
	uint64_t sent;	     /* chunks of the batches before */
	size_t planned;	     /* of this batch, to come ahead */

	pthread_mutex_t lock;
	bool failed;
	struct err failure;
};

static void fail(struct pipeline *p, const struct err *why)
{
	(void)pthread_mutex_lock(&p->lock);
	if (!p->failed) {
		p->failure = *why;
		p->failed = true;
	}
	(void)pthread_mutex_unlock(&p->lock);
	queue_abort(p->runs);
	if (p->prefetch)
		prefetch_end(p->prefetch);
}

static int cancelled(const struct pipeline *p, struct err *e)
{
	if (p->c->o->cancel && atomic_load(p->c->o->cancel))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	return 0;
}

/*
 * Where a chunk lies in the index as it is now: a collector of the source may
 * have moved it, when there is no pin or before it was there.  1; 0 when it
 * is nowhere, or when too many were not; -1.
 */
static int find_moved(const struct pipeline *p, unsigned int *futile,
		      const struct chunk_id *id, struct pack_entry *ret,
		      struct err *e)
{
	int found;

	if (*futile >= FUTILE_MAX)
		return 0;
	++*futile;
	if (index_set_refresh(p->index, e))
		return -1;
	found = index_set_find_everywhere(p->index, id, NULL, 0, ret, e);
	if (found == 1)
		*futile = 0;
	return found;
}

/*
 * The workers.
 */
struct worker {
	struct pipeline *p;
	unsigned int futile; /* times in a row that the index was no newer */
	struct chunk_worker *chunks;
	uint8_t *sealed;
	size_t sealed_cap;
	uint8_t *plain;
	size_t plain_cap;
};

static int64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Rest for what was moved, awake enough to be cancelled. */
static int rest(struct pipeline *p, uint64_t in, uint64_t out, struct err *e)
{
	struct replicate_limits *l = p->c->limits;
	int64_t us;
	int64_t us_out;

	(void)pthread_mutex_lock(&l->lock);
	us = rate_moved(&l->in, in, now_us());
	us_out = rate_moved(&l->out, out, now_us());
	(void)pthread_mutex_unlock(&l->lock);
	us = us > us_out ? us : us_out;
	while (us > 0) {
		const int64_t part = us < 100000 ? us : 100000;

		if (cancelled(p, e))
			return -1;
		clock_sleep_ms((part + 999) / 1000);
		us -= part;
	}
	return cancelled(p, e);
}

static int make_room(uint8_t **b, size_t *cap, size_t n, struct err *e)
{
	uint8_t *grown;

	if (*b && n <= *cap)
		return 0;
	grown = realloc(*b, n + 1);
	if (!grown)
		return err_oom(e);
	*b = grown;
	*cap = n;
	return 0;
}

static enum object_kind pack_kind(const struct pack_entry *at)
{
	return chunk_kind_is_meta(at->seal.kind) ? OBJECT_META_PACK
						 : OBJECT_DATA_PACK;
}

static bool is_damage(const struct err *e)
{
	return object_is_damage(e) || e->code == ERR_NOT_FOUND;
}

/* Open a sealed chunk, which tells whether it is sound, and hand it on. */
static int hand_on(struct worker *w, const struct pack_entry *at,
		   const uint8_t *sealed, struct err *e)
{
	uint64_t fresh;

	if (at->seal.plain_len > CHUNK_MAX ||
	    make_room(&w->plain, &w->plain_cap, (size_t)at->seal.plain_len + 1,
		      e))
		return at->seal.plain_len > CHUNK_MAX
			       ? err_set(e, ERR_CORRUPT, "a chunk is too long")
			       : -1;
	if (chunk_open(w->chunks, &at->seal, sealed, at->place.len, w->plain,
		       e))
		return -1;
	if (writer_add_sealed(w->p->c->writer, &at->seal, sealed, at->place.len,
			      &fresh, e)) {
		/* Nothing that the target says is damage of the source. */
		if (is_damage(e)) {
			e->code = ERR_IO;
			e->sys = 0;
		}
		return -1;
	}
	return rest(w->p, at->place.len, fresh, e);
}

struct opening {
	struct worker *w;
	const struct pack_entry *at;
};

static int hand_on_opened(void *arg, const uint8_t *sealed, struct err *e)
{
	const struct opening *o = arg;

	return hand_on(o->w, o->at, sealed, e);
}

/* One chunk by itself. */
static int move_one(struct worker *w, const struct pack_entry *at,
		    struct err *e)
{
	struct opening o = { w, at };

	if (at->place.len > CHUNK_SEALED_MAX)
		return err_set(e, ERR_CORRUPT, "a chunk is too long");
	if (make_room(&w->sealed, &w->sealed_cap, at->place.len, e))
		return -1;
	return pack_read_that(repository_store(w->p->c->from), pack_kind(at),
			      &at->place, w->sealed, hand_on_opened, &o, e);
}

typedef int find_holder(struct index_set *x, const struct chunk_id *id,
			const struct object_id *not_in, size_t n,
			struct pack_entry *ret, struct err *e);

/* From any pack that holds it soundly.  *ret_gone when one was not there. */
static int move_from_holders(struct worker *w, const struct pack_entry *first,
			     find_holder *find_other, bool *ret_gone,
			     struct err *e)
{
	struct object_id tried[HOLDERS_MAX];
	struct pack_entry at = *first;
	struct err why = { 0 };

	*ret_gone = false;
	for (size_t n = 0; n < HOLDERS_MAX; n++) {
		struct err *now = n ? &why : e;

		if (move_one(w, &at, now) == 0) {
			if (n)
				err_clear(e);
			return 0;
		}
		if (!is_damage(now)) {
			if (n)
				*e = why;
			return -1;
		}
		if (now->code == ERR_NOT_FOUND)
			*ret_gone = true;
		tried[n] = at.place.pack;
		if (find_other(w->p->index, &first->seal.id, tried, n + 1, &at,
			       &why) != 1)
			break;
	}
	e->code = ERR_CORRUPT;
	return -1;
}

static int move_any(struct worker *w, const struct pack_entry *first,
		    struct err *e)
{
	struct pack_entry at = *first;
	struct err why = { 0 };
	char hex[2 * CHUNK_ID_SIZE + 1];
	bool gone;
	int found;

	if (move_from_holders(w, first, index_set_find_other, &gone, e) == 0)
		return 0;
	text_hex(first->seal.id.b, CHUNK_ID_SIZE, hex);
	hex[16] = '\0';
	found = e->code == ERR_CORRUPT && gone
			? find_moved(w->p, &w->futile, &first->seal.id, &at,
				     &why)
			: 0;
	if (found == 1 && move_from_holders(w, &at, index_set_find_everywhere,
					    &gone, &why) == 0) {
		err_clear(e);
		return 0;
	}
	if (found && !is_damage(&why))
		*e = why;
	return err_wrap(e, "chunk %s…", hex);
}

/*
 * What came ahead, as far as it is here and sound: *ret_n of the run.  What is
 * not is told by who reads it as always.
 */
static int move_ahead(struct worker *w, const struct run *r, size_t *ret_n,
		      struct err *e)
{
	struct prefetch *p = w->p->prefetch;
	struct err why = { 0 };
	size_t i = 0;
	int here = 1;

	while (p && i < r->n) {
		const struct pack_entry *at = &r->v[i];

		if (at->place.len > CHUNK_SEALED_MAX)
			break;
		if (make_room(&w->sealed, &w->sealed_cap, at->place.len, e))
			return -1;
		here = prefetch_take(p, pack_kind(at), &at->place, w->sealed,
				     e);
		if (here <= 0)
			break;
		if (hand_on(w, at, w->sealed, &why)) {
			if (is_damage(&why))
				break;
			*e = why;
			return -1;
		}
		i++;
	}
	*ret_n = i;
	return here < 0 ? -1 : 0;
}

/* Neighbours with one request; what is wrong with them, chunk by chunk. */
static int move_span(struct worker *w, const struct pack_entry *v, size_t n,
		     struct err *e)
{
	const struct pack_entry *last = &v[n - 1];
	struct pack_place span = v[0].place;
	struct err why = { 0 };
	bool whole;

	span.len = last->place.offset + last->place.len - span.offset;
	if (make_room(&w->sealed, &w->sealed_cap, span.len, e))
		return -1;
	whole = pack_read(repository_store(w->p->c->from), pack_kind(v), &span,
			  w->sealed, &why) == 0;
	if (!whole && !is_damage(&why)) {
		*e = why;
		return -1;
	}
	for (size_t i = 0; whole && i < n; i++) {
		const struct pack_entry *at = &v[i];

		if (hand_on(w, at, w->sealed + (at->place.offset - span.offset),
			    &why) == 0)
			continue;
		if (!is_damage(&why)) {
			*e = why;
			return -1;
		}
		/* The span is overwritten from here on: one by one. */
		whole = false;
	}
	for (size_t i = 0; !whole && i < n; i++)
		if (move_any(w, &v[i], e))
			return -1;
	return 0;
}

static int move_run(struct worker *w, const struct run *r, struct err *e)
{
	size_t n;

	if (move_ahead(w, r, &n, e))
		return -1;
	if (n == r->n)
		return 0;
	return r->n - n > 1 ? move_span(w, &r->v[n], r->n - n, e)
			    : move_any(w, &r->v[n], e);
}

static size_t enter(struct pipeline *p)
{
	size_t i;

	(void)pthread_mutex_lock(&p->popping);
	i = p->n_entered++;
	(void)pthread_mutex_unlock(&p->popping);
	return i;
}

/* They come in order: nobody is before the least of those under way. */
static struct run *next_run(struct pipeline *p, size_t i)
{
	struct run *r = NULL;
	void *item;

	(void)pthread_mutex_lock(&p->popping);
	if (queue_pop(p->runs, &item)) {
		r = (struct run *)item;
		if (p->prefetch)
			prefetch_at(p->prefetch, i, r->position);
	}
	(void)pthread_mutex_unlock(&p->popping);
	return r;
}

/* To its end, which makes room. */
static void leave_run(struct pipeline *p, size_t i, const struct run *r)
{
	if (!p->prefetch)
		return;
	prefetch_at(p->prefetch, i, r->position + r->n - 1);
	prefetch_at(p->prefetch, i, PREFETCH_NOWHERE);
}

static int work(struct worker *w, struct err *e)
{
	const size_t i = enter(w->p);
	struct run *r;

	while ((r = next_run(w->p, i)) != NULL) {
		const int failed = cancelled(w->p, e) || move_run(w, r, e);

		leave_run(w->p, i, r);
		free(r);
		if (failed)
			return -1;
	}
	return 0;
}

static void *worker_main(void *arg)
{
	struct pipeline *p = (struct pipeline *)arg;
	CLEANUP(chunk_worker_free) struct chunk_worker *chunks = NULL;
	struct worker w = { .p = p };
	struct err e = { 0 };

	/* The source's keys: of the two regions it is never behind. */
	if (chunk_worker_new(repository_keys(p->c->from), &chunks, &e)) {
		fail(p, &e);
		return NULL;
	}
	w.chunks = chunks;
	if (work(&w, &e))
		fail(p, &e);
	if (w.plain)
		explicit_bzero(w.plain, w.plain_cap);
	free(w.plain);
	free(w.sealed);
	return NULL;
}

/*
 * The caller's thread.
 */
static int pipeline_failure(struct pipeline *p, struct err *e)
{
	bool failed;

	(void)pthread_mutex_lock(&p->lock);
	failed = p->failed;
	if (failed)
		*e = p->failure;
	(void)pthread_mutex_unlock(&p->lock);
	return failed ? -1 : 0;
}

/*
 * Of the batch, what there is room for comes ahead.  For those that are sent
 * now, up to `to`, room is waited for while somebody works, who makes it.
 */
static void plan(struct pipeline *p, size_t from, size_t to)
{
	bool goes_on = p->prefetch != NULL;

	if (p->planned < from)
		p->planned = from;
	while (goes_on && p->planned < p->n_batch) {
		const struct pack_entry *at = &p->batch[p->planned];

		if (p->planned < to)
			prefetch_wait(p->prefetch, at->place.len);
		goes_on = prefetch_try(p->prefetch, pack_kind(at), &at->place,
				       p->sent + p->planned);
		p->planned += goes_on;
	}
	if (p->prefetch && p->planned == p->n_batch)
		prefetch_wanted_all(p->prefetch);
}

static int send_batch(struct pipeline *p, struct err *e)
{
	size_t done = 0;

	if (p->n_batch)
		qsort(p->batch, p->n_batch, sizeof(*p->batch), pack_by_place);
	while (done < p->n_batch) {
		const struct pack_entry *v = p->batch + done;
		const size_t n = pack_run(v, p->n_batch - done);
		struct run *r = malloc(sizeof(*r) + n * sizeof(*v));

		if (!r)
			return err_oom(e);
		r->position = p->sent + done;
		r->n = n;
		for (size_t i = 0; i < n; i++)
			r->v[i] = v[i];
		plan(p, done, done + n);
		if (!queue_push(p->runs, r)) {
			free(r);
			if (pipeline_failure(p, e))
				return -1;
			return err_set(e, ERR_BUG,
				       "the pipeline takes no more");
		}
		done += n;
		p->c->tick(p->c->arg);
	}
	p->sent += p->n_batch;
	p->n_batch = 0;
	p->planned = 0;
	return 0;
}

/* A chunk that the snapshot needs, met for the first time. */
static int need(struct pipeline *p, const struct chunk_id *id, struct err *e)
{
	const int has = writer_has(p->c->writer, id, e);
	char hex[2 * CHUNK_ID_SIZE + 1];
	int found;

	if (has)
		return has < 0 ? -1 : 0;
	if (p->n_batch == BATCH && send_batch(p, e))
		return -1;
	found = index_set_find(p->index, id, &p->batch[p->n_batch], e);
	if (found == 0)
		found = find_moved(p, &p->futile, id, &p->batch[p->n_batch], e);
	if (found == 1) {
		p->n_batch++;
		return 0;
	}
	if (found < 0 && object_is_damage(e))
		e->code = ERR_CORRUPT;
	if (found < 0)
		return -1;
	text_hex(id->b, CHUNK_ID_SIZE, hex);
	hex[16] = '\0';
	return err_set(e, ERR_CORRUPT, "chunk %s… is in no pack", hex);
}

/*
 * A kind is part of what was seen: the map of a file is visited as something
 * that a leaf names, and then again for what it refers to.
 */
static int visit(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		 struct err *e)
{
	struct pipeline *p = (struct pipeline *)arg;
	const uint8_t bit = (uint8_t)(1U << kind);
	void *value;
	const int fresh = filemap_add(p->seen, id->b, &value, e);
	uint8_t *kinds = (uint8_t *)value;

	if (fresh < 0 || cancelled(p, e))
		return -1;
	if (*kinds & bit)
		return 1;
	*kinds |= bit;
	return fresh ? need(p, id, e) : 0;
}

/* A node of the base: it and what lies below is there. */
static int visit_base(void *arg, const struct chunk_id *id,
		      enum chunk_kind kind, struct err *e)
{
	struct pipeline *p = (struct pipeline *)arg;
	void *value;

	if (filemap_add(p->seen, id->b, &value, e) < 0)
		return -1;
	*(uint8_t *)value |= (uint8_t)(1U << kind);
	return kind != CHUNK_INNER;
}

/* What the source itself cannot read of the base is walked otherwise. */
static int ignore_damage(void *arg, const struct chunk_id *id,
			 enum chunk_kind kind, const struct err *why,
			 struct err *e)
{
	(void)arg;
	(void)id;
	(void)kind;
	(void)why;
	(void)e;
	return 0;
}

static int walk(struct pipeline *p, const struct manifest *m, struct err *e)
{
	CLEANUP(reader_free) struct reader *x = NULL;
	const struct manifest *base = p->c->base;

	if (reader_new(p->c->from, CACHE_BYTES, &x, e))
		return -1;
	if (base && (tree_references(x, &base->tree, false, visit_base,
				     ignore_damage, p, e) ||
		     tree_references(x, &base->hints, true, visit_base,
				     ignore_damage, p, e)))
		return -1;
	if (tree_references(x, &m->tree, false, visit, NULL, p, e) ||
	    tree_references(x, &m->hints, true, visit, NULL, p, e) ||
	    (m->errors && visit(p, &m->error_list, CHUNK_VALUE, e) < 0))
		return -1;
	return send_batch(p, e);
}

/* What may be read slowly only must not come in a burst. */
static void read_ahead(struct pipeline *p)
{
	struct store *s = repository_store(p->c->from);
	struct err ignored = { 0 };

	if (store_features(s) & STORE_LOCAL || p->c->o->read_limit ||
	    prefetch_new(s, AHEAD_BYTES, &p->prefetch, &ignored))
		p->prefetch = NULL;
}

static int start(struct pipeline *p, struct err *e)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const size_t want = cores < 1		  ? 1
			    : cores > WORKERS_MAX ? WORKERS_MAX
						  : (size_t)cores;

	p->batch = calloc(BATCH, sizeof(*p->batch));
	if (!p->batch)
		return err_oom(e);
	if (repository_index(p->c->from, &p->index, e) ||
	    filemap_new(&p->seen, p->c->o->scratch, CHUNK_ID_SIZE, 1, e) ||
	    queue_new(&p->runs, RUNS, e))
		return -1;
	read_ahead(p);
	while (p->n_workers < want) {
		errno = pthread_create(&p->workers[p->n_workers], NULL,
				       worker_main, p);
		if (errno)
			return err_sys(e, "cannot start a thread");
		p->n_workers++;
	}
	return 0;
}

static void stop(struct pipeline *p, bool at_once)
{
	void *item;

	if (p->prefetch && at_once)
		prefetch_end(p->prefetch);
	if (p->runs && at_once)
		queue_abort(p->runs);
	else if (p->runs)
		queue_close(p->runs);
	for (size_t i = 0; i < p->n_workers; i++)
		(void)pthread_join(p->workers[i], NULL);
	while (p->runs && (item = queue_drain(p->runs)))
		free(item);
}

int replicate_copy_chunks(const struct replicate_copy *c,
			  const struct manifest *m, struct err *e)
{
	struct pipeline p = { .c = c };
	int failed;

	(void)pthread_mutex_init(&p.lock, NULL);
	(void)pthread_mutex_init(&p.popping, NULL);
	failed = start(&p, e) || walk(&p, m, e);
	stop(&p, failed);
	if (!failed)
		failed = pipeline_failure(&p, e);
	prefetch_free(p.prefetch);
	queue_free(p.runs);
	filemap_free(p.seen);
	free(p.batch);
	(void)pthread_mutex_destroy(&p.popping);
	(void)pthread_mutex_destroy(&p.lock);
	return failed ? -1 : 0;
}
