/* What the producer hands on: jobs to the workers, events to the tree thread.
 */
#include "storage/snapshot_producer.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define PROGRESS_EVERY_MS 100

static int give_up(struct snapshot_producer *q, struct err *e)
{
	if (snapshot_failed(q->p)) {
		*e = q->p->failure;
		return -1;
	}
	return err_set(e, ERR_BUG, "the pipeline closed early");
}

int snapshot_poll(struct snapshot_producer *q, struct err *e)
{
	const struct snapshot_options *o = q->p->options;
	struct source_progress found;
	int64_t now_ms;

	if (o->cancel && atomic_load(o->cancel))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (!o->progress)
		return 0;
	now_ms = clock_boot_ms();
	if (now_ms < q->told_ms + PROGRESS_EVERY_MS)
		return 0;
	q->told_ms = now_ms;
	source_progress(q->source, &found);
	q->progress.bytes_found = found.bytes_found + q->kept_bytes;
	q->progress.all_found = found.all_found;
	q->progress.bytes_new = writer_totals(q->p->writer).bytes_new;
	o->progress(o->arg, &q->progress);
	return 0;
}

struct snapshot_job *snapshot_job_new(size_t cap, struct err *e)
{
	struct snapshot_job *j = calloc(1, sizeof(*j));

	if (j)
		j->data = malloc(cap);
	if (!j || !j->data) {
		free(j);
		(void)err_oom(e);
		return NULL;
	}
	j->refs = 1; /* the worker's */
	return j;
}

int snapshot_send_job(struct snapshot_producer *q, struct snapshot_job *j,
		      struct err *e)
{
	if (!q->p->n_workers && snapshot_start_workers(q->p, e)) {
		snapshot_job_unref(q->p, j);
		return -1;
	}
	if (queue_push(q->p->jobs, j))
		return 0;
	snapshot_job_unref(q->p, j);
	return give_up(q, e);
}

int snapshot_close_group(struct snapshot_producer *q, struct err *e)
{
	struct snapshot_job *j = q->group;

	q->group = NULL;
	if (j && j->len == 0) { /* only empty files, or none that stayed */
		snapshot_job_unref(q->p, j);
		return 0;
	}
	return j ? snapshot_send_job(q, j, e) : 0;
}

int snapshot_bound_group(struct snapshot_producer *q, struct err *e)
{
	if (q->group && (q->group_events >= SNAPSHOT_GROUP_EVENTS ||
			 q->group_content >= SNAPSHOT_GROUP_CONTENT))
		return snapshot_close_group(q, e);
	return 0;
}

int snapshot_send_batch(struct snapshot_producer *q, struct err *e)
{
	struct snapshot_batch *b = q->batch;

	q->batch = NULL;
	if (!b || queue_push(q->p->events, b))
		return 0;
	snapshot_batch_free(q->p, b);
	return give_up(q, e);
}

int snapshot_send_event(struct snapshot_producer *q,
			const struct snapshot_event *ev, struct err *e)
{
	if (ev->job) {
		(void)pthread_mutex_lock(&q->p->lock);
		ev->job->refs++;
		(void)pthread_mutex_unlock(&q->p->lock);
	}
	if (!q->batch) {
		q->batch = malloc(sizeof(*q->batch));
		if (!q->batch) {
			struct snapshot_event lost = *ev;

			snapshot_event_done(q->p, &lost);
			return err_oom(e);
		}
		q->batch->n = 0;
	}
	q->batch->v[q->batch->n++] = *ev;
	q->group_events++;
	q->group_content += ev->content.n * sizeof(*ev->content.v);
	return q->batch->n == SNAPSHOT_BATCH ? snapshot_send_batch(q, e) : 0;
}

int snapshot_send_piece(struct snapshot_producer *q, struct snapshot_job *j,
			uint64_t len, struct err *e)
{
	const struct snapshot_event ev = { .type = EVENT_PIECE,
					   .job = j,
					   .len = len };

	return snapshot_send_event(q, &ev, e);
}

/* A copy of an unchanged file's extents, counted among those in events. */
static int copy_content(struct snapshot_producer *q, const struct content *from,
			struct content *ret, struct err *e)
{
	const size_t bytes = from->n * sizeof(*from->v);

	/* The tree thread gives some back when it can: it must not wait for
	 * what only we could send. */
	if (!snapshot_content_try(q->p, from->n)) {
		if (snapshot_close_group(q, e) || snapshot_send_batch(q, e))
			return -1;
		if (!snapshot_content_reserve(q->p, from->n))
			return give_up(q, e);
	}
	*ret = *from;
	ret->v = malloc(bytes);
	if (!ret->v) {
		snapshot_content_release(q->p, from->n);
		return err_oom(e);
	}
	memcpy(ret->v, from->v, bytes);
	return 0;
}

int snapshot_send_entry(struct snapshot_producer *q, const struct entry *en,
			const struct content *content, struct err *e)
{
	struct snapshot_event ev = { .type = EVENT_ENTRY };

	if (content && content->n && copy_content(q, content, &ev.content, e))
		return -1;
	if (entry_copy(&ev.entry, en, e)) {
		snapshot_event_done(q->p, &ev);
		return -1;
	}
	return snapshot_send_event(q, &ev, e);
}
