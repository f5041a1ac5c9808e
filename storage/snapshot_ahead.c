#include "storage/snapshot_ahead.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/snapshot.h"

/*
 * Entries change hands several at a time: to wake a thread costs about as much
 * as to read a small file.  A reader claims this many, or fewer when they are
 * not so small; half as many wait for company before it is told of them.
 */
#define CLAIM	    16U
#define CLAIM_BYTES (SNAPSHOT_AHEAD_BYTES / 32)
#define SHOW	    (CLAIM / 2)

struct slot {
	struct ahead_item item;
	size_t bytes; /* counted in ahead's */
	bool done;
};

/*
 * Entries first … end, each in the slot of its number's remainder.  Numbers
 * only grow: first ≤ ready ≤ shown ≤ end and ready ≤ claimed ≤ shown.  A slot
 * is the caller's up to ready and from shown on, a reader's while it is claimed
 * and not done.
 */
struct ahead {
	struct source *source;
	struct slot slots[SNAPSHOT_AHEAD];
	size_t bytes; /* of content, taken and not given back */
	bool has_given;
	struct hash *hash; /* the caller's */
	uint64_t first;
	uint64_t end;

	pthread_mutex_t lock; /* for what follows, and done */
	pthread_cond_t work;
	pthread_cond_t arrived;
	/* The caller alone changes these two, and may read them unlocked. */
	uint64_t ready;	  /* all before it are done */
	uint64_t shown;	  /* to the readers */
	uint64_t claimed; /* the next for a reader */
	unsigned int idle;
	bool waits; /* the caller, for the one that is ready next */
	bool stop;
	struct reader {
		struct ahead *ahead;
		struct hash *hash;
		pthread_t thread;
	} readers[SNAPSHOT_READERS];
	unsigned int n_readers;
};

/* Data and holes of a small file, taking turns. */
struct pieces {
	struct source_extent v[SNAPSHOT_PIECES];
	size_t n;
};

int snapshot_ahead_new(struct source *s, const uint8_t cut_key[KEYS_SIZE],
		       struct ahead **ret, struct err *e)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return err_oom(e);
	a->source = s;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->work, NULL);
	(void)pthread_cond_init(&a->arrived, NULL);
	if (snapshot_small_hash(cut_key, &a->hash, e))
		return -1;
	for (unsigned int i = 0; i < SNAPSHOT_READERS; i++) {
		a->readers[i].ahead = a;
		if (snapshot_small_hash(cut_key, &a->readers[i].hash, e))
			return -1;
	}
	*ret = TAKE(a);
	return 0;
}

static void item_done(struct ahead_item *i)
{
	source_release(i->handle);
	entry_done(&i->listed);
	free(i->data);
	if (i->pieces != &i->piece)
		free(i->pieces);
	*i = (struct ahead_item){ 0 };
}

void snapshot_ahead_free(struct ahead *a)
{
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	(void)pthread_cond_broadcast(&a->work);
	(void)pthread_mutex_unlock(&a->lock);
	for (unsigned int i = 0; i < a->n_readers; i++)
		(void)pthread_join(a->readers[i].thread, NULL);
	for (unsigned int i = 0; i < SNAPSHOT_READERS; i++)
		hash_free(a->readers[i].hash);
	hash_free(a->hash);
	for (unsigned int i = 0; i < SNAPSHOT_AHEAD; i++)
		item_done(&a->slots[i].item);
	(void)pthread_cond_destroy(&a->arrived);
	(void)pthread_cond_destroy(&a->work);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/*
 * One more piece: as source_read().  When there are more turns than we keep,
 * the rest is data: the last slot is never a hole.
 */
static int read_piece(struct ahead_item *i, size_t cap, struct pieces *s,
		      struct err *e)
{
	uint8_t *to = i->data + i->len;
	const size_t room = cap - i->len;
	struct source_extent x;
	const int got = source_read(i->handle, to, room, &x, e);

	if (got != 1)
		return got;
	if (x.same)
		return err_set(e, ERR_BUG, "no small file has whole blocks");
	if (x.hole && s->n >= SNAPSHOT_PIECES - 1) {
		if (x.len > room)
			return err_set(e, ERR_BUG, "a hole is too long");
		memset(to, 0, (size_t)x.len);
		x.hole = false;
	}
	if (!x.hole)
		i->len += (size_t)x.len;
	if (s->n && s->v[s->n - 1].hole == x.hole)
		s->v[s->n - 1].len += x.len;
	else
		s->v[s->n++] = x;
	return 1;
}

static int read_small(struct ahead_item *i, struct hash *h, struct err *e)
{
	/* A byte more than it has: reading to the end needs room, too. */
	const size_t cap = (size_t)i->entry.size + 1;
	struct pieces s = { .n = 0 };
	int got;

	i->is_read = true;
	i->data = malloc(cap);
	if (!i->data)
		return err_oom(e);
	do
		got = read_piece(i, cap, &s, e);
	while (got == 1);
	if (got < 0)
		return -1;
	i->state = source_finish(i->handle, &i->entry);
	if (!s.n || !source_state_recorded(i->state))
		return 0;
	if (i->len && snapshot_small_name(h, i->data, i->len, &i->name, e))
		return -1;
	i->pieces = s.n == 1 ? &i->piece : calloc(s.n, sizeof(*s.v));
	if (!i->pieces)
		return err_oom(e);
	memcpy(i->pieces, s.v, s.n * sizeof(*s.v));
	i->n_pieces = s.n;
	return 0;
}

/* All that needs no order. */
static int look_at(struct ahead_item *i, struct hash *h, struct err *e)
{
	struct entry *en = &i->entry;

	*en = i->listed;
	i->described = source_describe(i->handle, en, e);
	if (i->described < 0)
		return -1;
	if (i->described == 0)
		i->state = source_finish(i->handle, en);
	else if (en->type != ENTRY_FILE || en->size >= SNAPSHOT_SMALL ||
		 en->flags & ENTRY_HARD_LINK)
		return 0;
	else if (read_small(i, h, e))
		return -1;
	/* What the entry borrows lives as long as the handle. */
	if (!en->xattr_count && !en->target_len) {
		source_release(i->handle);
		i->handle = NULL;
	}
	return 0;
}

/* The entries from claimed on that one reader takes; there are some. */
static uint64_t claim_end(const struct ahead *a)
{
	uint64_t to = a->claimed;
	size_t bytes = 0;

	do
		bytes += a->slots[to++ % SNAPSHOT_AHEAD].bytes;
	while (to < a->shown && to < a->claimed + CLAIM && bytes < CLAIM_BYTES);
	return to;
}

static void look_at_slot(struct slot *s, struct hash *h)
{
	if (look_at(&s->item, h, &s->item.why))
		s->item.described = -1;
}

/* One claim, with the lock held at both ends. */
static void read_some(struct ahead *a, struct hash *h)
{
	const uint64_t from = a->claimed;
	const uint64_t to = claim_end(a);

	a->claimed = to;
	/* The caller woke one of us only. */
	if (to < a->shown && a->idle)
		(void)pthread_cond_signal(&a->work);
	(void)pthread_mutex_unlock(&a->lock);
	for (uint64_t i = from; i < to; i++)
		look_at_slot(&a->slots[i % SNAPSHOT_AHEAD], h);
	(void)pthread_mutex_lock(&a->lock);
	for (uint64_t i = from; i < to; i++)
		a->slots[i % SNAPSHOT_AHEAD].done = true;
	if (a->waits && from <= a->ready && a->ready < to)
		(void)pthread_cond_signal(&a->arrived);
}

static void *reader(void *arg)
{
	struct reader *r = arg;
	struct ahead *a = r->ahead;

	(void)pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		if (a->claimed < a->shown) {
			read_some(a, r->hash);
		} else {
			a->idle++;
			(void)pthread_cond_wait(&a->work, &a->lock);
			a->idle--;
		}
	}
	(void)pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* Only once there is something to look at: most runs find little changed. */
static int start(struct ahead *a, struct err *e)
{
	while (a->n_readers < SNAPSHOT_READERS) {
		struct reader *r = &a->readers[a->n_readers];

		errno = pthread_create(&r->thread, NULL, reader, r);
		if (errno && a->n_readers == 0)
			return err_sys(e, "cannot start a thread");
		if (errno)
			break;
		a->n_readers++;
	}
	return 0;
}

static size_t content_of(const struct entry *listed)
{
	return listed->type == ENTRY_FILE && listed->size < SNAPSHOT_SMALL
		       ? (size_t)listed->size
		       : 0;
}

/* The entry given last still has its slot. */
static uint64_t taken(const struct ahead *a)
{
	return a->end - a->first;
}

bool snapshot_ahead_has_room(const struct ahead *a, const struct entry *listed)
{
	return taken(a) + 1 < SNAPSHOT_AHEAD &&
	       (taken(a) == 0 ||
		a->bytes + content_of(listed) <= SNAPSHOT_AHEAD_BYTES);
}

bool snapshot_ahead_is_empty(const struct ahead *a)
{
	return taken(a) == 0;
}

/* All that was taken is the readers' now; with the lock held. */
static void show(struct ahead *a)
{
	if (a->shown == a->end)
		return;
	a->shown = a->end;
	if (a->idle)
		(void)pthread_cond_signal(&a->work);
}

int snapshot_ahead_take(struct ahead *a, const struct entry *listed,
			struct err *e)
{
	struct slot *s = &a->slots[a->end % SNAPSHOT_AHEAD];

	assert(snapshot_ahead_has_room(a, listed));
	if (!a->n_readers && start(a, e))
		return -1;
	*s = (struct slot){ .item.taken = clock_now(),
			    .bytes = content_of(listed) };
	if (entry_copy(&s->item.listed, listed, e) ||
	    source_take(a->source, &s->item.handle, e)) {
		item_done(&s->item);
		return -1;
	}
	a->bytes += s->bytes;
	a->end++;
	if (a->end - a->shown >= SHOW) {
		(void)pthread_mutex_lock(&a->lock);
		show(a);
		(void)pthread_mutex_unlock(&a->lock);
	}
	return 0;
}

/* Wait until the first entry is done; how many are, after it, is seen, too. */
static void wait_for_first(struct ahead *a)
{
	(void)pthread_mutex_lock(&a->lock);
	show(a);
	a->waits = true;
	while (!a->slots[a->ready % SNAPSHOT_AHEAD].done)
		(void)pthread_cond_wait(&a->arrived, &a->lock);
	a->waits = false;
	while (a->ready < a->shown && a->slots[a->ready % SNAPSHOT_AHEAD].done)
		a->ready++;
	(void)pthread_mutex_unlock(&a->lock);
}

int snapshot_ahead_next(struct ahead *a, struct ahead_item **ret, struct err *e)
{
	struct slot *s = &a->slots[a->first % SNAPSHOT_AHEAD];

	assert(taken(a) > 0);
	if (a->has_given)
		item_done(&a->slots[(a->first + SNAPSHOT_AHEAD - 1) %
				    SNAPSHOT_AHEAD]
				   .item);
	if (a->first == a->ready)
		wait_for_first(a);
	a->first++;
	a->has_given = true;
	a->bytes -= s->bytes;
	if (s->item.described < 0) {
		*e = s->item.why;
		return -1;
	}
	*ret = &s->item;
	return 0;
}

int snapshot_ahead_read(struct ahead *a, struct ahead_item *i, struct err *e)
{
	assert(!i->is_read && i->handle && i->entry.size < SNAPSHOT_SMALL);
	return read_small(i, a->hash, e);
}
