/*
 * Guarding many objects, or asking what guards them: each is a request or two
 * to a store that may be far away, so several are under way at once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/guards_internal.h"

#define THREADS 8
/* Names that wait; more are guarded in between. */
#define WAITING_MAX 4096
/* Who asks wants to hear how far it is. */
#define ASKING_MAX 256
/* So many that fail with none between that does not: all would. */
#define IN_A_ROW_MAX 64

struct item {
	char name[STORE_NAME_MAX + 1];
	struct instant until;
	struct guards_question about;
	struct store_guard is; /* the answer */
	bool there;	       /* and guarded */
};

struct guards_bulk {
	struct store *store;
	guards_bulk_done *done;
	guards_bulk_answer *answer; /* or NULL: it guards */
	void *arg;
	struct item *v;
	size_t n;
	size_t room;
	uint64_t there; /* of all that ran */

	pthread_mutex_t lock; /* next, in_a_row, failure, there */
	size_t next;
	unsigned int in_a_row; /* that failed */
	struct err failure;    /* the first */
};

int guards_bulk_new(struct store *s, guards_bulk_done *done, void *arg,
		    struct guards_bulk **ret, struct err *e)
{
	struct guards_bulk *b = calloc(1, sizeof(*b));

	if (!b)
		return err_oom(e);
	(void)pthread_mutex_init(&b->lock, NULL);
	b->store = s;
	b->done = done;
	b->arg = arg;
	*ret = b;
	return 0;
}

int guards_bulk_new_asking(struct store *s, guards_bulk_answer *answer,
			   void *arg, struct guards_bulk **ret, struct err *e)
{
	if (guards_bulk_new(s, NULL, arg, ret, e))
		return -1;
	(*ret)->answer = answer;
	return 0;
}

void guards_bulk_free(struct guards_bulk *b)
{
	if (!b)
		return;
	(void)pthread_mutex_destroy(&b->lock);
	free(b->v);
	free(b);
}

/* The next one, or NULL. */
static struct item *take(struct guards_bulk *b)
{
	struct item *x = NULL;

	(void)pthread_mutex_lock(&b->lock);
	if (b->in_a_row < IN_A_ROW_MAX && b->next < b->n)
		x = &b->v[b->next++];
	(void)pthread_mutex_unlock(&b->lock);
	return x;
}

static int do_one(struct guards_bulk *b, struct item *x, struct err *e)
{
	return b->answer ? store_guarded(b->store, x->name, &x->is, e)
			 : store_guard(b->store, x->name, x->until, e);
}

static void *work(void *arg)
{
	struct guards_bulk *b = arg;
	struct item *x;

	while ((x = take(b))) {
		struct err e = { 0 };
		const int there = do_one(b, x, &e);

		(void)pthread_mutex_lock(&b->lock);
		if (there < 0 && b->failure.code == ERR_NONE)
			b->failure = e;
		b->in_a_row = there < 0 ? b->in_a_row + 1 : 0;
		b->there += there > 0;
		x->there = there > 0;
		(void)pthread_mutex_unlock(&b->lock);
	}
	return NULL;
}

static int tell_one(struct guards_bulk *b, const struct item *x, struct err *e)
{
	if (!x->there)
		return 0;
	if (b->answer)
		return b->answer(b->arg, x->name, &x->about, &x->is, e);
	return b->done ? b->done(b->arg, x->name, x->until, e) : 0;
}

static int tell(struct guards_bulk *b, struct err *e)
{
	const size_t n = b->n;

	b->n = 0;
	for (size_t i = 0; i < n; i++)
		if (tell_one(b, &b->v[i], e))
			return -1;
	return 0;
}

/* Our own thread works, too: there is always one. */
static int run_all(struct guards_bulk *b, struct err *e)
{
	pthread_t threads[THREADS - 1];
	size_t n = 0;

	b->next = 0;
	while (n < THREADS - 1 && n + 1 < b->n &&
	       pthread_create(&threads[n], NULL, work, b) == 0)
		n++;
	(void)work(b);
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	return tell(b, e);
}

static int add(struct guards_bulk *b, const char *name, const struct item *what,
	       struct err *e)
{
	if (b->n == (b->answer ? ASKING_MAX : WAITING_MAX) && run_all(b, e))
		return -1;
	if (b->n == b->room) {
		const size_t room = b->room ? 2 * b->room : 64;
		struct item *grown = reallocarray(b->v, room, sizeof(*grown));

		if (!grown)
			return err_oom(e);
		b->v = grown;
		b->room = room;
	}
	b->v[b->n] = *what;
	(void)memccpy(b->v[b->n].name, name, '\0', STORE_NAME_MAX);
	b->v[b->n++].name[STORE_NAME_MAX] = '\0';
	return 0;
}

int guards_bulk_add(struct guards_bulk *b, const char *name,
		    struct instant until, struct err *e)
{
	const struct item what = { .until = until };

	return add(b, name, &what, e);
}

int guards_bulk_ask(struct guards_bulk *b, const char *name,
		    const struct guards_question *about, struct err *e)
{
	const struct item what = { .about = *about };

	return add(b, name, &what, e);
}

int guards_bulk_run(struct guards_bulk *b, uint64_t *ret, struct err *e)
{
	const int failed = run_all(b, e);
	const struct err failure = b->failure;

	if (ret)
		*ret = b->there;
	b->there = 0;
	b->in_a_row = 0;
	err_clear(&b->failure);
	if (failed || failure.code == ERR_NONE)
		return failed;
	*e = failure;
	return -1;
}
