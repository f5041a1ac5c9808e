#include "storage/stores/s3_ahead.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/stores/store.h"

#define STRETCHES   6
#define STREAMS	    16
#define AHEAD_FIRST ((size_t)256 << 10)
#define AHEAD_MAX   ((size_t)4 << 20)
/* Who asks for as much at once is served well enough. */
#define AHEAD_LARGE AHEAD_MAX
/*
 * What may be skipped in what still counts as reading on, and how far back:
 * threads that share the work come out of step by a few chunks.
 */
#define GAP_MAX	 ((uint64_t)256 << 10)
#define BACK_MAX ((uint64_t)1 << 20)
#define KEPT_MS	 INT64_C(10000)

enum stretch_state { STRETCH_EMPTY, STRETCH_COMING, STRETCH_THERE };

/* Bytes of one object; while they come, fetched by one thread without the
 * lock. */
struct stretch {
	enum stretch_state state;
	bool stale; /* to be forgotten when it is there */
	char name[STORE_NAME_MAX + 1];
	uint64_t offset;
	size_t wanted;
	size_t len; /* less than wanted: the object ends there */
	int64_t at_ms;
	uint64_t used; /* a count of uses */
	uint8_t *bytes;
	size_t room;
};

/* Up to where an object was read; by several, there are several of it. */
struct stream {
	char name[STORE_NAME_MAX + 1];
	uint64_t next;
	size_t ahead; /* 0: read once */
	uint64_t used;
};

struct s3_ahead {
	s3_ahead_fetch *fetch;
	void *arg;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t came;
	uint64_t uses;
	struct stretch stretches[STRETCHES];
	struct stream streams[STREAMS];
};

int s3_ahead_new(s3_ahead_fetch *fetch, void *arg, struct s3_ahead **ret,
		 struct err *e)
{
	struct s3_ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return err_oom(e);
	a->fetch = fetch;
	a->arg = arg;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->came, NULL);
	*ret = a;
	return 0;
}

void s3_ahead_free(struct s3_ahead *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < STRETCHES; i++) {
		assert(a->stretches[i].state != STRETCH_COMING);
		free(a->stretches[i].bytes);
	}
	(void)pthread_cond_destroy(&a->came);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- with the lock held ------------------------------------------------- */

static void drop_old(struct s3_ahead *a, int64_t now_ms)
{
	for (size_t i = 0; i < STRETCHES; i++) {
		struct stretch *s = &a->stretches[i];

		if (s->state == STRETCH_THERE && now_ms - s->at_ms > KEPT_MS)
			s->state = STRETCH_EMPTY;
	}
}

/* The stretch that has, or will have, the byte at offset. */
static struct stretch *find_stretch(struct s3_ahead *a, const char *name,
				    uint64_t offset)
{
	for (size_t i = 0; i < STRETCHES; i++) {
		struct stretch *s = &a->stretches[i];

		if (s->state != STRETCH_EMPTY && !s->stale &&
		    offset >= s->offset && offset - s->offset < s->wanted &&
		    strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

/* One that may be used for something else; NULL when all are coming. */
static struct stretch *take_stretch(struct s3_ahead *a)
{
	struct stretch *oldest = NULL;

	for (size_t i = 0; i < STRETCHES; i++) {
		struct stretch *s = &a->stretches[i];

		if (s->state == STRETCH_COMING)
			continue;
		if (s->state == STRETCH_EMPTY)
			return s;
		if (!oldest || s->used < oldest->used)
			oldest = s;
	}
	return oldest;
}

/* That of who reads on at offset, or NULL. */
static struct stream *find_stream(struct s3_ahead *a, const char *name,
				  uint64_t offset)
{
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &a->streams[i];

		if (s->used && offset + BACK_MAX >= s->next &&
		    offset <= s->next + GAP_MAX && strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static struct stream *oldest_stream(struct s3_ahead *a)
{
	struct stream *s = &a->streams[0];

	for (size_t i = 1; i < STREAMS; i++)
		if (a->streams[i].used < s->used)
			s = &a->streams[i];
	return s;
}

/* So much was got ahead: twice as much is next time. */
static void note_ahead(struct s3_ahead *a, const char *name, uint64_t offset,
		       size_t ahead)
{
	struct stream *s = find_stream(a, name, offset);

	if (s)
		s->ahead = ahead * 2 < AHEAD_MAX ? ahead * 2 : AHEAD_MAX;
}

/* Note that n bytes at offset are read; how many to get if any: 0, those. */
static size_t note_read(struct s3_ahead *a, const char *name, uint64_t offset,
			size_t n)
{
	struct stream *s = find_stream(a, name, offset);

	if (!s) {
		s = oldest_stream(a);
		(void)snprintf(s->name, sizeof(s->name), "%s", name);
		s->used = ++a->uses;
		s->ahead = 0;
		s->next = offset + n;
		return 0;
	}
	s->used = ++a->uses;
	if (s->next < offset + n)
		s->next = offset + n;
	return s->ahead ? s->ahead : AHEAD_FIRST;
}

/* ---- without it --------------------------------------------------------- */

/* Fill s, which is ours until it is told to be there. */
static int fill(struct s3_ahead *a, struct stretch *s, struct err *e)
{
	size_t got = 0;
	int r;

	if (s->room < s->wanted) {
		uint8_t *more = realloc(s->bytes, s->wanted);

		if (!more)
			return err_oom(e);
		s->bytes = more;
		s->room = s->wanted;
	}
	r = a->fetch(a->arg, s->name, s->offset, s->bytes, s->wanted, &got, e);
	s->len = got;
	return r;
}

/* 1 when s is there (or its object's end is known), 0 absent, -1. */
static int fetch_stretch(struct s3_ahead *a, struct stretch *s,
			 const char *name, uint64_t offset, size_t n,
			 int64_t now_ms, struct err *e)
{
	int r;

	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	s->offset = offset;
	s->wanted = n;
	s->len = 0;
	s->at_ms = now_ms;
	s->stale = false;
	s->state = STRETCH_COMING;
	(void)pthread_mutex_unlock(&a->lock);
	r = fill(a, s, e);
	(void)pthread_mutex_lock(&a->lock);
	s->state = r > 0 && !s->stale ? STRETCH_THERE : STRETCH_EMPTY;
	(void)pthread_cond_broadcast(&a->came);
	return r;
}

/* What s has of n bytes at offset. */
static size_t copy_from(struct s3_ahead *a, struct stretch *s, uint64_t offset,
			void *out, size_t n)
{
	const size_t at = (size_t)(offset - s->offset);
	const size_t there = at < s->len ? s->len - at : 0;
	const size_t take = there < n ? there : n;

	s->used = ++a->uses;
	if (take)
		memcpy(out, s->bytes + at, take);
	return take;
}

/* A read, and how far it has come. */
struct reading {
	const char *name;
	uint64_t offset; /* of what is still wanted, */
	char *to;	 /* where it goes, */
	size_t n;	 /* and how much that is */
	size_t ahead;
	int64_t now_ms;
	bool ends; /* the object does */
};

static void move_on(struct reading *x, size_t got)
{
	if (got == 0) /* to may be no pointer */
		return;
	x->offset += got;
	x->to += got;
	x->n -= got;
}

/*
 * Some bytes from what is kept or comes: 1, 0 absent, -1, or 2 when none is: to
 * be had directly.
 */
static int read_some(struct s3_ahead *a, struct reading *x, struct err *e)
{
	struct stretch *s = find_stretch(a, x->name, x->offset);
	int r;

	while (s && s->state == STRETCH_COMING) {
		(void)pthread_cond_wait(&a->came, &a->lock);
		s = find_stretch(a, x->name, x->offset);
	}
	if (!s) {
		s = x->ahead ? take_stretch(a) : NULL;
		if (!s)
			return 2;
		note_ahead(a, x->name, x->offset, x->ahead);
		r = fetch_stretch(a, s, x->name, x->offset,
				  x->n > x->ahead ? x->n : x->ahead, x->now_ms,
				  e);
		if (r <= 0)
			return r;
		/* The object may have been taken away meanwhile. */
		if (s->state != STRETCH_THERE)
			return 2;
	}
	x->ends = s->len < s->wanted;
	move_on(x, copy_from(a, s, x->offset, x->to, x->n));
	return 1;
}

int s3_ahead_read(struct s3_ahead *a, const char *name, uint64_t offset,
		  void *out, size_t n, int64_t now_ms, size_t *ret_got,
		  struct err *e)
{
	struct reading x = { .name = name,
			     .offset = offset,
			     .to = out,
			     .n = n,
			     .now_ms = now_ms };
	size_t got = 0;
	int r = 2;

	if (n > 0 && n < AHEAD_LARGE) {
		(void)pthread_mutex_lock(&a->lock);
		drop_old(a, now_ms);
		x.ahead = note_read(a, name, offset, n);
		do {
			r = read_some(a, &x, e);
		} while (r == 1 && x.n && !x.ends);
		(void)pthread_mutex_unlock(&a->lock);
	}
	if (r == 2) {
		r = a->fetch(a->arg, name, x.offset, x.to, x.n, &got, e);
		if (r == 1)
			move_on(&x, got);
	}
	if (r > 0)
		*ret_got = n - x.n;
	return r;
}

void s3_ahead_forget(struct s3_ahead *a, const char *name)
{
	(void)pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < STRETCHES; i++) {
		struct stretch *s = &a->stretches[i];

		if (s->state == STRETCH_EMPTY || strcmp(s->name, name) != 0)
			continue;
		if (s->state == STRETCH_COMING)
			s->stale = true;
		else
			s->state = STRETCH_EMPTY;
	}
	(void)pthread_mutex_unlock(&a->lock);
}
