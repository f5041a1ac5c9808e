/*
 * A bounded first-in first-out queue of pointers between threads.
 *
 * A full queue makes its producers wait, an empty one its consumers, so the
 * memory between two stages of a pipeline has a ceiling.  queue_close() ends
 * the flow: what is inside still comes out, then queue_pop() says 0.
 * queue_abort() ends it at once, on both sides; whoever owns the items inside
 * takes them with queue_drain() afterwards.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

struct queue;

int queue_new(struct queue **ret, size_t capacity, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
/* Must be empty or drained; no thread may be inside. */
void queue_free(struct queue *q);
DEFINE_CLEANUP(struct queue *, queue_free);

/* true when item went in, false when the queue was closed or aborted. */
bool queue_push(struct queue *q, void *item) NONNULL(1, 2) MUST_CHECK;
/* 1 and an item, or 0 when closed and empty, or aborted. */
int queue_pop(struct queue *q, void **ret_item) NONNULL(1, 2) MUST_CHECK;
/*
 * The same without waiting, for one who has an item already: 0 also when there
 * are no more items than there are others that wait for one, and when it was
 * closed: the last items go one by one to whoever is done first, so that all
 * end at about the same time.
 */
int queue_try_pop(struct queue *q, void **ret_item) NONNULL(1, 2) MUST_CHECK;
void queue_close(struct queue *q) NONNULL(1);
void queue_abort(struct queue *q) NONNULL(1);
/* After threads are joined: an item still inside, or NULL. */
void *queue_drain(struct queue *q) NONNULL(1);

#endif
