/*
 * Questions that are asked before their turn, several at once: store_ask().
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/stores/store_internal.h"

#define ASKERS 16
/* Of an object that is kept; a larger one is read by whoever wants it. */
#define OBJECT_MAX ((size_t)64 << 10)
/* Of a listing: a page of names, and some. */
#define LISTING_MAX ((size_t)128 << 10)
/* Objects of a listing that are had in advance of its visitor. */
#define AHEAD ((size_t)64)

enum state { WAITING, COMING, THERE, GONE };

struct answer {
	struct store_question question;
	enum state state; /* GONE: taken, or it failed */
	bool changed;	  /* GONE when it is there */
	int found;	  /* of an object: 1, 0 */
	/* An object's bytes; or a listing's: u64 size and name, with its NUL,
	 * of each. */
	struct buf bytes;
};

struct store_asked {
	struct store_asked *next; /* of the store's */
	struct store *store;
	pthread_t asker; /* whose they are */
	struct answer *v;
	size_t n;
	size_t begun;
	bool ending;
	pthread_t threads[ASKERS];
	size_t n_threads;
};

/* Of all that is asked of any store: held for moments. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;

/* ---- asking ------------------------------------------------------------- */

static int add_entry(void *arg, const struct store_entry *entry, struct err *e)
{
	struct buf *b = arg;

	return buf_add_u64(b, entry->size, e) ||
			       buf_add(b, entry->name, strlen(entry->name) + 1,
				       e)
		       ? -1
		       : 0;
}

static bool ask_listing(struct store *s, struct answer *a)
{
	struct err ignored = { 0 };

	buf_init(&a->bytes, LISTING_MAX);
	return s->ops->list(s, a->question.name, add_entry, &a->bytes,
			    &ignored) == 0;
}

static bool ask_object(struct store *s, struct answer *a)
{
	const size_t most = a->question.most ? a->question.most : OBJECT_MAX;
	struct err ignored = { 0 };
	size_t got = 0;

	buf_init(&a->bytes, most);
	if (buf_reserve(&a->bytes, most, &ignored))
		return false;
	a->found = s->ops->read(s, a->question.name, 0, a->bytes.data, most,
				&got, &ignored);
	a->bytes.len = a->found > 0 ? got : 0;
	return a->found >= 0 && got < most;
}

static void *asker(void *arg)
{
	struct store_asked *x = arg;

	(void)pthread_mutex_lock(&lock);
	while (!x->ending && x->begun < x->n) {
		struct answer *a = &x->v[x->begun++];
		bool there;

		a->state = COMING;
		(void)pthread_mutex_unlock(&lock);
		there = a->question.kind == STORE_ASK_LISTING
				? ask_listing(x->store, a)
				: ask_object(x->store, a);
		(void)pthread_mutex_lock(&lock);
		a->state = there && !a->changed ? THERE : GONE;
		(void)pthread_cond_broadcast(&came);
	}
	(void)pthread_mutex_unlock(&lock);
	return NULL;
}

struct store_asked *store_ask(struct store *s, const struct store_question *v,
			      size_t n)
{
	struct store_asked *x;

	if (n == 0 || store_features(s) & STORE_LOCAL)
		return NULL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->v = calloc(n, sizeof(*x->v));
	if (!x->v) {
		free(x);
		return NULL;
	}
	x->store = s;
	x->asker = pthread_self();
	x->n = n;
	for (size_t i = 0; i < n; i++)
		x->v[i].question = v[i];
	while (x->n_threads < n && x->n_threads < ASKERS &&
	       pthread_create(&x->threads[x->n_threads], NULL, asker, x) == 0)
		x->n_threads++;
	if (x->n_threads == 0) {
		free(x->v);
		free(x);
		return NULL;
	}
	(void)pthread_mutex_lock(&lock);
	x->next = s->asked;
	s->asked = x;
	(void)pthread_mutex_unlock(&lock);
	return x;
}

void store_ask_done(struct store_asked *x)
{
	struct store_asked *before;

	if (!x)
		return;
	(void)pthread_mutex_lock(&lock);
	x->ending = true;
	before = x->store->asked;
	if (before == x)
		x->store->asked = x->next;
	while (before != x && before->next != x)
		before = before->next;
	before->next = before == x ? before->next : x->next;
	(void)pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < x->n_threads; i++)
		(void)pthread_join(x->threads[i], NULL);
	for (size_t i = 0; i < x->n; i++)
		buf_done(&x->v[i].bytes);
	free(x->v);
	free(x);
}

/* ---- answering ---------------------------------------------------------- */

static struct answer *find(const struct store *s, enum store_question_kind kind,
			   const char *name)
{
	for (struct store_asked *x = s->asked; x; x = x->next) {
		if (!pthread_equal(x->asker, pthread_self()))
			continue;
		for (size_t i = 0; i < x->n; i++) {
			struct answer *a = &x->v[i];

			if (a->state != GONE && a->question.kind == kind &&
			    strcmp(a->question.name, name) == 0)
				return a;
		}
	}
	return NULL;
}

/* The answer, which nobody else gets then; NULL: there is none. */
static struct answer *take(const struct store *s, enum store_question_kind kind,
			   const char *name)
{
	struct answer *a;

	(void)pthread_mutex_lock(&lock);
	a = find(s, kind, name);
	while (a && a->state != THERE && a->state != GONE)
		(void)pthread_cond_wait(&came, &lock);
	if (a && a->state == GONE)
		a = NULL;
	if (a)
		a->state = GONE;
	(void)pthread_mutex_unlock(&lock);
	return a;
}

int store_ask_read(struct store *s, const char *name, void *out, size_t n,
		   size_t *ret_got, int *ret)
{
	const struct answer *a = take(s, STORE_ASK_OBJECT, name);

	if (!a)
		return 0;
	*ret = a->found;
	*ret_got = a->bytes.len < n ? a->bytes.len : n;
	if (*ret_got)
		memcpy(out, a->bytes.data, *ret_got);
	return 1;
}

void store_ask_forget(struct store *s, const char *name)
{
	(void)pthread_mutex_lock(&lock);
	for (struct store_asked *x = s->asked; x; x = x->next)
		for (size_t i = 0; i < x->n; i++) {
			struct answer *a = &x->v[i];

			if (a->question.kind != STORE_ASK_OBJECT ||
			    strcmp(a->question.name, name) != 0)
				continue;
			a->changed = true;
			if (a->state == THERE)
				a->state = GONE;
		}
	(void)pthread_mutex_unlock(&lock);
}

/* The next entry of a listing that was kept; false at its end. */
static bool next_entry(const struct buf *b, size_t *at, struct store_entry *ret)
{
	const uint8_t *p = b->data + *at;

	if (*at >= b->len)
		return false;
	ret->size = 0;
	for (unsigned int i = 0; i < 8; i++)
		ret->size |= (uint64_t)p[i] << (8 * i);
	ret->name = (const char *)p + 8;
	*at += 8 + strlen(ret->name) + 1;
	return true;
}

/* What lies from there on, as far as it is worth asking for at once. */
static struct store_asked *ask_entries(struct store *s, const struct buf *b,
				       size_t at)
{
	struct store_question *v = calloc(AHEAD, sizeof(*v));
	struct store_asked *x = NULL;
	struct store_entry entry;
	size_t n = 0;

	for (size_t i = 0; v && i < AHEAD && next_entry(b, &at, &entry); i++) {
		if (entry.size >= OBJECT_MAX)
			continue;
		v[n].kind = STORE_ASK_OBJECT;
		(void)snprintf(v[n].name, sizeof(v[n].name), "%s", entry.name);
		n++;
	}
	if (n > 1) /* one alone is as soon had by who wants it */
		x = store_ask(s, v, n);
	free(v);
	return x;
}

static int visit_all(struct store *s, const struct buf *b, bool reading,
		     store_visit *visit, void *arg, struct err *e)
{
	struct store_asked *objects = NULL;
	struct store_entry entry;
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && at < b->len; i++) {
		if (reading && i % AHEAD == 0) {
			store_ask_done(objects);
			objects = ask_entries(s, b, at);
		}
		if (next_entry(b, &at, &entry))
			r = visit(arg, &entry, e);
	}
	store_ask_done(objects);
	return r < 0 ? -1 : 0;
}

int store_ask_list(struct store *s, const char *prefix, bool reading,
		   store_visit *visit, void *arg, int *ret, struct err *e)
{
	const struct answer *a = take(s, STORE_ASK_LISTING, prefix);

	if (!a)
		return 0;
	*ret = visit_all(s, &a->bytes, reading, visit, arg, e);
	return 1;
}
