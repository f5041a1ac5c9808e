#include "base/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
	pthread_mutex_t mutex;
	pthread_cond_t can_push;
	pthread_cond_t can_pop;
	size_t capacity;
	size_t first;
	size_t count;
	size_t waiting; /* in queue_pop() */
	bool closed;
	bool aborted;
	void *items[];
};

int queue_new(struct queue **ret, size_t capacity, struct err *e)
{
	size_t size;
	struct queue *q;

	assert(capacity > 0);
	if (__builtin_mul_overflow(capacity, sizeof(void *), &size) ||
	    __builtin_add_overflow(size, sizeof(*q), &size))
		return err_oom(e);
	q = calloc(1, size);
	if (!q)
		return err_oom(e);
	q->capacity = capacity;
	/* With default attributes these cannot fail on Linux. */
	(void)pthread_mutex_init(&q->mutex, NULL);
	(void)pthread_cond_init(&q->can_push, NULL);
	(void)pthread_cond_init(&q->can_pop, NULL);
	*ret = q;
	return 0;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	assert(q->count == 0);
	(void)pthread_cond_destroy(&q->can_pop);
	(void)pthread_cond_destroy(&q->can_push);
	(void)pthread_mutex_destroy(&q->mutex);
	free(q);
}

bool queue_push(struct queue *q, void *item)
{
	bool in;

	(void)pthread_mutex_lock(&q->mutex);
	while (q->count == q->capacity && !q->closed)
		(void)pthread_cond_wait(&q->can_push, &q->mutex);
	in = !q->closed;
	if (in) {
		q->items[(q->first + q->count) % q->capacity] = item;
		q->count++;
		(void)pthread_cond_signal(&q->can_pop);
	}
	(void)pthread_mutex_unlock(&q->mutex);
	return in;
}

static void *take_first(struct queue *q)
{
	void *item = q->items[q->first];

	q->first = (q->first + 1) % q->capacity;
	q->count--;
	return item;
}

/* More than spare items are there. */
static int pop(struct queue *q, size_t spare, void **ret_item)
{
	if (q->count <= spare || q->aborted)
		return 0;
	*ret_item = take_first(q);
	(void)pthread_cond_signal(&q->can_push);
	return 1;
}

int queue_pop(struct queue *q, void **ret_item)
{
	int got;

	(void)pthread_mutex_lock(&q->mutex);
	while (q->count == 0 && !q->closed) {
		q->waiting++;
		(void)pthread_cond_wait(&q->can_pop, &q->mutex);
		q->waiting--;
	}
	got = pop(q, 0, ret_item);
	(void)pthread_mutex_unlock(&q->mutex);
	return got;
}

int queue_try_pop(struct queue *q, void **ret_item)
{
	int got;

	(void)pthread_mutex_lock(&q->mutex);
	got = q->closed ? 0 : pop(q, q->waiting, ret_item);
	(void)pthread_mutex_unlock(&q->mutex);
	return got;
}

static void end(struct queue *q, bool at_once)
{
	(void)pthread_mutex_lock(&q->mutex);
	q->closed = true;
	q->aborted = q->aborted || at_once;
	(void)pthread_cond_broadcast(&q->can_push);
	(void)pthread_cond_broadcast(&q->can_pop);
	(void)pthread_mutex_unlock(&q->mutex);
}

void queue_close(struct queue *q)
{
	end(q, false);
}

void queue_abort(struct queue *q)
{
	end(q, true);
}

void *queue_drain(struct queue *q)
{
	void *item;

	(void)pthread_mutex_lock(&q->mutex);
	item = q->count > 0 ? take_first(q) : NULL;
	(void)pthread_mutex_unlock(&q->mutex);
	return item;
}
