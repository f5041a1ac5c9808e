/*
 * Directories of packs, and at level `data` all that lies in them.
 *
 * The caller's thread reads each pack from beginning to end, in pieces of
 * whole chunks, and hands them to workers.  A worker opens chunk after chunk,
 * and verifies the ids of two of them at a time, which may be of two pieces.
 * At most QUEUE_LENGTH + 3 * workers + 1 pieces are in memory, and two opened
 * chunks of each worker's.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/queue.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/check_internal.h"
#include "storage/repository/chunk_pair.h"

/* A piece: large enough that a request costs little beside its bytes. */
#define PIECE_BYTES  ((size_t)512 << 10)
#define QUEUE_LENGTH 2
#define WORKERS_MAX  8
/* Room for an opened chunk of common writers, had at once: one that grows
 * leaves holes behind, and pages that nothing is written to cost nothing. */
#define PLAIN_BYTES ((size_t)4 << 20)

/* One pack that is being read. */
struct job {
	struct check_pack *pack;
	struct object_id id;
	struct pack_entry *entries;
	size_t n;
	size_t cap;
	unsigned int users; /* pieces under way, and the reading thread */
	bool whole;	    /* all of it was handed out */
	bool dropped;	    /* and some of it was not judged */
};

struct piece {
	struct job *job;
	const struct pack_entry *entries;
	size_t n;
	size_t left; /* of them, not yet judged; and one while they are begun */
	size_t len;
	uint8_t bytes[];
};

struct reading {
	struct check *c;
	struct queue *queue;
	pthread_t threads[WORKERS_MAX];
	unsigned int n_threads;
	bool failed;
	struct err failure;
	struct check_ahead *ahead; /* the reading thread's */
	struct store *store;	   /* through which it reads */
};

static void fail(struct reading *x, const struct err *why)
{
	(void)pthread_mutex_lock(&x->c->lock);
	if (!x->failed)
		x->failure = *why;
	x->failed = true;
	(void)pthread_mutex_unlock(&x->c->lock);
	queue_abort(x->queue);
}

/* Under the lock. */
static void release(struct check *c, struct job *j)
{
	if (--j->users)
		return;
	if (j->whole && !j->dropped && !j->pack->finding &&
	    !j->pack->given_up) {
		c->out->packs_read++;
		if (c->o->verified)
			c->o->verified(c->o->arg, j->id, j->pack->size,
				       clock_now());
	}
	free(j->entries);
	free(j);
}

/*
 * Opening the sealed chunks.
 */
static bool is_given_up(struct check *c, const struct pack_entry *entry)
{
	bool yes;

	(void)pthread_mutex_lock(&c->lock);
	yes = check_given_up(c, &entry->seal.id, entry->place.pack);
	(void)pthread_mutex_unlock(&c->lock);
	return yes;
}

static int note_damage(struct check *c, const struct pack_entry *entry,
		       const struct err *why, struct err *e)
{
	int failed;

	(void)pthread_mutex_lock(&c->lock);
	check_note_unread(c, why);
	failed = check_damage_chunk(c, entry, why->text, e);
	(void)pthread_mutex_unlock(&c->lock);
	return failed;
}

/* One of the chunks whose ids a worker verifies at a time. */
struct slot {
	struct piece *piece; /* NULL: idle */
	const struct pack_entry *entry;
	uint8_t *plain; /* room bytes, of which used were ever written */
	size_t room;
	size_t used;
};

struct worker {
	struct reading *x;
	struct chunk_worker *chunks;
	struct chunk_pair *pair;
	struct slot slots[CHUNK_PAIR];
};

/* n of those that the piece waits for are done; it goes with the last. */
static void finish(struct check *c, struct piece *p, size_t n)
{
	assert(n <= p->left);
	p->left -= n;
	if (p->left)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->out->chunks += p->n;
	c->out->bytes += p->len;
	check_advance(c, p->n, p->len);
	release(c, p->job);
	(void)pthread_mutex_unlock(&c->lock);
	free(p);
}

/* The same for chunks that are not judged, as the check ends in an error. */
static void give_up(struct check *c, struct piece *p, size_t n)
{
	(void)pthread_mutex_lock(&c->lock);
	p->job->dropped = true;
	(void)pthread_mutex_unlock(&c->lock);
	finish(c, p, n);
}

/* Note why a chunk is not what it should be. */
static int condemn(struct check *c, const struct pack_entry *entry,
		   const struct err *why, struct err *e)
{
	if (is_given_up(c, entry))
		return 0;
	if (check_is_damage(why))
		return note_damage(c, entry, why, e);
	*e = *why;
	return -1;
}

/* The lane whose chunk has its id next; -1 when it is not that chunk's. */
static int verify_next(struct worker *w, unsigned int *lane, struct err *e)
{
	const struct slot *s;
	struct chunk_id id;

	if (chunk_pair_end(w->pair, lane, &id, e))
		return -1;
	s = &w->slots[*lane];
	assert(s->entry && s->plain);
	if (chunk_id_equal(&id, &s->entry->seal.id))
		return 0;
	/* By other code as well, before anything is called damaged. */
	return chunk_verify(w->chunks, &s->entry->seal, s->plain, e);
}

/* Judge the chunk that is next. */
static int end_slot(struct worker *w, struct err *e)
{
	struct check *c = w->x->c;
	struct err why = { 0 };
	unsigned int lane;
	const int wrong = verify_next(w, &lane, &why);
	struct slot *s = &w->slots[lane];
	struct piece *p = TAKE(s->piece);

	if (wrong && condemn(c, s->entry, &why, e)) {
		give_up(c, p, 1);
		return -1;
	}
	finish(c, p, 1);
	return 0;
}

static bool is_busy(const struct worker *w)
{
	for (size_t i = 0; i < CHUNK_PAIR; i++)
		if (w->slots[i].piece)
			return true;
	return false;
}

static int idle_lane(struct worker *w, unsigned int *lane, struct err *e)
{
	for (;;) {
		for (*lane = 0; *lane < CHUNK_PAIR; ++*lane)
			if (!w->slots[*lane].piece)
				return 0;
		if (end_slot(w, e))
			return -1;
	}
}

static void forget_plain(struct slot *s)
{
	secret_wipe(s->plain, s->used);
	free(s->plain);
	s->plain = NULL;
	s->room = 0;
	s->used = 0;
}

static int make_room(struct slot *s, size_t n, struct err *e)
{
	if (!s->plain || n > s->room) {
		forget_plain(s);
		s->plain = malloc(n > PLAIN_BYTES ? n : PLAIN_BYTES);
		if (!s->plain)
			return err_oom(e);
		s->room = n > PLAIN_BYTES ? n : PLAIN_BYTES;
	}
	if (n > s->used)
		s->used = n;
	return 0;
}

/* Open a chunk and begin with its id: 0; 1 when it is judged already. */
static int begin_chunk(struct worker *w, struct piece *p,
		       const struct pack_entry *entry, const uint8_t *sealed,
		       struct err *e)
{
	struct chunk_plain plain = { .kind = entry->seal.kind,
				     .domain = entry->seal.domain,
				     .n = entry->seal.plain_len };
	struct err why = { 0 };
	struct slot *s;
	unsigned int lane;

	if (idle_lane(w, &lane, e))
		return -1;
	s = &w->slots[lane];
	if (make_room(s, plain.n, e))
		return -1;
	plain.bytes = s->plain;
	if (chunk_open(w->chunks, &entry->seal, sealed, entry->place.len,
		       s->plain, &why) ||
	    chunk_pair_begin(w->pair, lane, &plain, &why))
		return condemn(w->x->c, entry, &why, e) ? -1 : 1;
	s->piece = p;
	s->entry = entry;
	return 0;
}

static int begin_piece(struct worker *w, struct piece *p, struct err *e)
{
	const uint8_t *at = p->bytes;
	size_t judged = 0;

	for (size_t i = 0; i < p->n; i++) {
		const int is = begin_chunk(w, p, &p->entries[i], at, e);

		if (is < 0) {
			give_up(w->x->c, p, judged + p->n - i + 1);
			return -1;
		}
		judged += (size_t)is;
		at += p->entries[i].place.len;
	}
	finish(w->x->c, p, judged + 1);
	return 0;
}

static int work(struct worker *w, struct err *e)
{
	void *item;

	while (queue_pop(w->x->queue, &item))
		if (begin_piece(w, item, e))
			return -1;
	while (is_busy(w))
		if (end_slot(w, e))
			return -1;
	return 0;
}

static void *worker(void *arg)
{
	struct worker w = { .x = arg };
	CLEANUP(chunk_worker_free) struct chunk_worker *chunks = NULL;
	CLEANUP(chunk_pair_free) struct chunk_pair *pair = NULL;
	struct err e = { 0 };

	if (chunk_worker_new(w.x->c->keys, &chunks, &e) ||
	    chunk_pair_new(w.x->c->keys, chunks, &pair, &e)) {
		fail(w.x, &e);
		return NULL;
	}
	w.chunks = chunks;
	w.pair = pair;
	if (work(&w, &e))
		fail(w.x, &e);
	for (size_t i = 0; i < CHUNK_PAIR; i++) {
		if (w.slots[i].piece)
			give_up(w.x->c, w.slots[i].piece, 1);
		forget_plain(&w.slots[i]);
	}
	return NULL;
}

/*
 * Reading.
 */
static int keep_entry(void *arg, const struct pack_entry *entry, struct err *e)
{
	struct job *j = arg;
	struct pack_entry *grown;

	if (j->n == j->cap) {
		j->cap = j->cap ? j->cap * 2 : 64;
		grown = reallocarray(j->entries, j->cap, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		j->entries = grown;
	}
	j->entries[j->n++] = *entry;
	return 0;
}

/* What the directory says, for the index to be compared with. */
static int note_places(struct check *c, struct job *j, struct err *e)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct pack_entry *x = &j->entries[i];
		const struct check_key key = check_key(&x->seal.id, j->id);
		struct check_place *place;
		void *value;

		if (filemap_add(c->places, key.b, &value, e) < 0)
			return -1;
		place = value;
		*place = (struct check_place){
			.offset = x->place.offset,
			.len = x->place.len,
			.plain_len = x->seal.plain_len,
			.epoch = x->seal.epoch,
			.domain = x->seal.domain,
			.kind = (uint8_t)x->seal.kind,
			.in_directory = true,
			.quarantined = j->pack->quarantined ||
				       check_given_up(c, &x->seal.id, j->id),
		};
		j->pack->given_up += place->quarantined;
	}
	return 0;
}

/*
 * What one request could not give, chunk by chunk: a bad sector costs what
 * lies on it, not its neighbours.  Zeros stand for a chunk that is lost.
 */
static int read_apart(struct reading *r, const char *name, struct piece *p,
		      struct err *e)
{
	struct check *c = r->c;
	uint8_t *to = p->bytes;

	for (size_t i = 0; i < p->n; i++) {
		const struct pack_entry *x = &p->entries[i];
		struct err why = { 0 };

		if (container_read(r->store, name, x->place.offset, to,
				   x->place.len, &why)) {
			if (!check_is_damage(&why)) {
				*e = why;
				return -1;
			}
			memset(to, 0, x->place.len);
			if (note_damage(c, x, &why, e))
				return -1;
		}
		to += x->place.len;
	}
	return 0;
}

static int read_piece(struct reading *x, struct job *j, size_t from, size_t n,
		      struct err *e)
{
	struct check *c = x->c;
	const struct pack_entry *first = &j->entries[from];
	const struct pack_entry *last = &j->entries[from + n - 1];
	const size_t len = last->place.offset + last->place.len -
			   first->place.offset;
	const struct object_name name = object_name(
		(enum object_kind)j->pack->kind, j->id);
	struct piece *p = malloc(sizeof(*p) + len);
	struct err why = { 0 };
	int failed;

	if (!p)
		return err_oom(e);
	*p = (struct piece){
		.job = j, .entries = first, .n = n, .left = n + 1, .len = len
	};
	check_ahead_reached(x->ahead, first->place.offset);
	failed = container_read(x->store, name.s, first->place.offset, p->bytes,
				len, &why);
	if (failed && check_is_damage(&why))
		failed = read_apart(x, name.s, p, &why);
	if (failed) {
		*e = why;
		free(p);
		return -1;
	}
	(void)pthread_mutex_lock(&c->lock);
	j->users++;
	(void)pthread_mutex_unlock(&c->lock);
	if (queue_push(x->queue, p))
		return 0;
	(void)pthread_mutex_lock(&c->lock);
	j->users--;
	*e = x->failure;
	(void)pthread_mutex_unlock(&c->lock);
	free(p);
	return -1;
}

static int read_chunks(struct reading *x, struct job *j, struct err *e)
{
	size_t from = 0;

	while (from < j->n) {
		size_t n = 1;
		size_t len = j->entries[from].place.len;

		while (from + n < j->n &&
		       len + j->entries[from + n].place.len <= PIECE_BYTES)
			len += j->entries[from + n++].place.len;
		if (check_stopped(x->c, e) || read_piece(x, j, from, n, e))
			return -1;
		from += n;
	}
	j->whole = true;
	return 0;
}

/* Under the lock: the pack is of no use as a whole. */
static void lose_pack(struct check *c, struct job *j, const struct err *why)
{
	const struct object_name name = object_name(
		(enum object_kind)j->pack->kind, j->id);
	struct check_finding *f;

	check_note_unread(c, why);
	j->pack->unusable = true;
	j->pack->newer = check_is_newer(why);
	if (j->pack->newer)
		c->has_newer = true;
	if (j->pack->marked && why->code == ERR_NOT_FOUND)
		return;
	j->pack->finding = check_find(
		c, name.s, (enum object_kind)j->pack->kind, why->text);
	f = check_finding(c, j->pack->finding);
	if (f) {
		f->quarantined = j->pack->quarantined;
		f->newer = j->pack->newer;
	}
}

/* Under the lock: its directory was read, and then it was gone. */
static void forget_places(struct check *c, const struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct check_key key = check_key(&j->entries[i].seal.id,
						       j->id);
		struct check_place *place = filemap_find(c->places, key.b);

		place->in_directory = false;
	}
}

/*
 * A collector removes what it marked at any time, also between two of our
 * requests.
 */
static int read_what_is_there(struct reading *x, struct job *j, struct err *e)
{
	struct check *c = x->c;
	struct err why = { 0 };

	if (!read_chunks(x, j, &why))
		return 0;
	if (why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	(void)pthread_mutex_lock(&c->lock);
	lose_pack(c, j, &why);
	forget_places(c, j);
	(void)pthread_mutex_unlock(&c->lock);
	return 0;
}

static int read_pack(struct reading *x, struct job *j, struct err *e)
{
	struct check *c = x->c;
	struct err why = { 0 };
	int unread;
	int failed = 0;

	unread = pack_read_directory(x->store, c->keys,
				     (enum object_kind)j->pack->kind, j->id,
				     keep_entry, j, &why);
	if (unread && !check_is_damage(&why) && why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	if (!unread && j->pack->quarantined)
		(void)err_set(&why, ERR_CORRUPT,
			      "an earlier repair gave it up");
	(void)pthread_mutex_lock(&c->lock);
	/* Also of what was given up: it may be what a snapshot misses. */
	if (!unread)
		failed = note_places(c, j, e);
	if (unread || j->pack->quarantined)
		lose_pack(c, j, &why);
	(void)pthread_mutex_unlock(&c->lock);
	if (failed || j->pack->unusable ||
	    !check_reads_whole(c, j->id, j->pack))
		return failed;
	return read_what_is_there(x, j, e);
}

static int read_all(struct reading *x, struct err *e)
{
	struct check *c = x->c;
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->packs, &pos, &key, &value)) {
		struct check_pack *pack = value;
		struct job *j;
		int failed;

		if (!pack->listed)
			continue;
		if (check_stopped(c, e))
			return -1;
		j = calloc(1, sizeof(*j));
		if (!j)
			return err_oom(e);
		j->pack = pack;
		j->users = 1;
		memcpy(j->id.b, key, sizeof(j->id.b));
		failed = read_pack(x, j, e);
		if (check_reads_whole(c, j->id, pack))
			check_ahead_passed(x->ahead, pack);
		(void)pthread_mutex_lock(&c->lock);
		if (c->o->level < CHECK_DATA)
			check_advance(c, 1, 0);
		release(c, j);
		(void)pthread_mutex_unlock(&c->lock);
		if (failed)
			return -1;
	}
	return 0;
}

static int start_workers(struct reading *x, struct err *e)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned int want = cores < 1		? 1
				  : cores > WORKERS_MAX ? WORKERS_MAX
							: (unsigned int)cores;

	if (x->c->o->level < CHECK_DATA)
		return 0;
	while (x->n_threads < want) {
		errno = pthread_create(&x->threads[x->n_threads], NULL, worker,
				       x);
		if (errno)
			return err_sys(e, "cannot start a thread");
		x->n_threads++;
	}
	return 0;
}

static void end_workers(struct reading *x)
{
	void *item;

	for (unsigned int i = 0; i < x->n_threads; i++)
		(void)pthread_join(x->threads[i], NULL);
	while ((item = queue_drain(x->queue))) {
		struct piece *p = item;

		p->job->dropped = true;
		release(x->c, p->job);
		free(p);
	}
	queue_free(x->queue);
}

/* Packs of which earlier repairs gave up some chunks, and nothing is new. */
static void tell_given_up(struct check *c)
{
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->packs, &pos, &key, &value)) {
		struct check_pack *pack = value;
		struct object_id id;
		struct check_finding *f;

		if (!pack->given_up || pack->finding)
			continue;
		memcpy(id.b, key, sizeof(id.b));
		pack->finding = check_find(
			c, object_name((enum object_kind)pack->kind, id).s,
			(enum object_kind)pack->kind,
			"an earlier repair gave up some of its chunks");
		f = check_finding(c, pack->finding);
		if (f) {
			f->quarantined = true;
			f->chunks = pack->given_up;
		}
	}
}

int check_packs(struct check *c, struct err *e)
{
	struct reading x = { .c = c };
	int failed;

	check_stage(c, c->o->level < CHECK_DATA ? "directories" : "reading",
		    c->o->level < CHECK_DATA ? 0
		    : c->o->parts	     ? c->bytes_total / c->o->parts
					     : c->bytes_total);
	if (queue_new(&x.queue, QUEUE_LENGTH, e))
		return -1;
	x.ahead = check_ahead_new(c);
	x.store = check_ahead_store(x.ahead, c);
	failed = start_workers(&x, e);
	if (!failed)
		failed = read_all(&x, e);
	check_ahead_free(x.ahead);
	if (failed)
		queue_abort(x.queue);
	else
		queue_close(x.queue);
	end_workers(&x);
	if (!failed && x.failed) {
		*e = x.failure;
		failed = -1;
	}
	if (!failed)
		tell_given_up(c);
	return failed;
}
