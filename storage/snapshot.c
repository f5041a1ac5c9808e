#include "storage/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/repository/chunk_pair.h"
#include "storage/repository/fields.h"
#include "storage/repository/guards.h"
#include "storage/repository/seal.h"
#include "storage/snapshot_internal.h"

/* Named errors kept in the manifest's list; all of them are counted. */
#define ERRORS_BYTES_MAX (8U << 20)
/* Opened chunks of the parent's tree that are kept while it is merged. */
#define PARENT_CACHE_BYTES (2U << 20)

int snapshot_errors_new(struct snapshot_errors **ret, struct err *e)
{
	struct snapshot_errors *x = calloc(1, sizeof(*x));

	if (!x)
		return err_oom(e);
	(void)pthread_mutex_init(&x->lock, NULL);
	buf_init(&x->list, ERRORS_BYTES_MAX);
	*ret = x;
	return 0;
}

void snapshot_errors_free(struct snapshot_errors *x)
{
	if (!x)
		return;
	(void)pthread_mutex_destroy(&x->lock);
	buf_done(&x->list);
	free(x);
}

void snapshot_report(void *arg, const char *path, size_t path_len,
		     const char *message)
{
	struct snapshot_errors *x = (struct snapshot_errors *)arg;
	const size_t message_len = strlen(message);
	struct err ignored = { 0 };
	size_t before;

	(void)pthread_mutex_lock(&x->lock);
	x->n++;
	before = x->list.len;
	if (buf_add_varint(&x->list, path_len, &ignored) ||
	    buf_add(&x->list, path, path_len, &ignored) ||
	    buf_add_varint(&x->list, message_len, &ignored) ||
	    buf_add(&x->list, message, message_len, &ignored))
		x->list.len = before; /* full: counted, not named */
	if (x->forward)
		x->forward(x->arg, path, path_len, message);
	(void)pthread_mutex_unlock(&x->lock);
}

void snapshot_fail(struct snapshot_pipeline *p, const struct err *why)
{
	(void)pthread_mutex_lock(&p->lock);
	if (!p->failed)
		p->failure = *why;
	p->failed = true;
	(void)pthread_cond_broadcast(&p->job_done);
	(void)pthread_cond_broadcast(&p->content_gone);
	(void)pthread_mutex_unlock(&p->lock);
	if (p->jobs)
		queue_abort(p->jobs);
	if (p->events)
		queue_abort(p->events);
}

bool snapshot_failed(struct snapshot_pipeline *p)
{
	bool failed;

	(void)pthread_mutex_lock(&p->lock);
	failed = p->failed;
	(void)pthread_mutex_unlock(&p->lock);
	return failed;
}

void snapshot_job_unref(struct snapshot_pipeline *p, struct snapshot_job *j)
{
	bool last;

	(void)pthread_mutex_lock(&p->lock);
	last = --j->refs == 0;
	(void)pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	free(j->data);
	free(j);
}

bool snapshot_content_try(struct snapshot_pipeline *p, size_t n)
{
	const size_t bytes = n * sizeof(struct extent);
	bool fits;

	(void)pthread_mutex_lock(&p->lock);
	fits = p->content_bytes + bytes <= SNAPSHOT_CONTENT_BYTES;
	if (fits)
		p->content_bytes += bytes;
	(void)pthread_mutex_unlock(&p->lock);
	return fits;
}

bool snapshot_content_reserve(struct snapshot_pipeline *p, size_t n)
{
	const size_t bytes = n * sizeof(struct extent);
	bool failed;

	(void)pthread_mutex_lock(&p->lock);
	while (!p->failed && p->content_bytes + bytes > SNAPSHOT_CONTENT_BYTES)
		(void)pthread_cond_wait(&p->content_gone, &p->lock);
	failed = p->failed;
	if (!failed)
		p->content_bytes += bytes;
	(void)pthread_mutex_unlock(&p->lock);
	return !failed;
}

void snapshot_content_release(struct snapshot_pipeline *p, size_t n)
{
	(void)pthread_mutex_lock(&p->lock);
	p->content_bytes -= n * sizeof(struct extent);
	(void)pthread_cond_signal(&p->content_gone);
	(void)pthread_mutex_unlock(&p->lock);
}

void snapshot_event_done(struct snapshot_pipeline *p, struct snapshot_event *ev)
{
	if (ev->job)
		snapshot_job_unref(p, ev->job);
	entry_done(&ev->entry);
	if (ev->content.v)
		snapshot_content_release(p, ev->content.n);
	free(ev->content.v);
}

void snapshot_batch_free(struct snapshot_pipeline *p, struct snapshot_batch *b)
{
	for (size_t i = 0; b && i < b->n; i++)
		snapshot_event_done(p, &b->v[i]);
	free(b);
}

/* A worker, and the jobs that it has in hand. */
struct worker {
	struct snapshot_pipeline *p;
	struct chunk_worker *chunks;
	struct chunk_pair *pair;
	struct snapshot_job *jobs[CHUNK_PAIR];
	size_t n;
};

static struct chunk_plain plain_of(const struct snapshot_job *j)
{
	return (struct chunk_plain){
		.kind = CHUNK_DATA,
		.effort = j->large ? COMPRESS_FITTING : COMPRESS_QUICK,
		.bytes = j->data,
		.n = j->len,
	};
}

/* One job, and another if it is there already and not among the last ones;
 * false: there will be none. */
static bool take_jobs(struct worker *w)
{
	void *item;

	w->n = 0;
	if (!queue_pop(w->p->jobs, &item))
		return false;
	do
		w->jobs[w->n++] = item;
	while (w->n < CHUNK_PAIR && queue_try_pop(w->p->jobs, &item));
	return true;
}

static int name_jobs(struct worker *w, struct chunk_id ids[CHUNK_PAIR],
		     struct err *e)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct chunk_plain plain = plain_of(w->jobs[i]);

		if (chunk_pair_begin(w->pair, (unsigned int)i, &plain, e))
			return -1;
	}
	for (size_t i = 0; i < w->n; i++) {
		struct chunk_id id;
		unsigned int lane;

		if (chunk_pair_end(w->pair, &lane, &id, e))
			return -1;
		ids[lane] = id;
	}
	return 0;
}

static int store_job(struct worker *w, struct snapshot_job *j,
		     const struct chunk_id *id, struct err *e)
{
	struct snapshot_pipeline *p = w->p;
	const struct chunk_plain plain = plain_of(j);

	if (writer_add_named(p->writer, w->chunks, id, &plain, NULL, e))
		return -1;
	/* Nobody needs the bytes any more, only the name. */
	free(j->data);
	j->data = NULL;
	(void)pthread_mutex_lock(&p->lock);
	j->id = *id;
	j->done = true;
	(void)pthread_cond_broadcast(&p->job_done);
	(void)pthread_mutex_unlock(&p->lock);
	return 0;
}

static int work(struct worker *w, struct err *e)
{
	while (take_jobs(w)) {
		struct chunk_id ids[CHUNK_PAIR];
		int failed = name_jobs(w, ids, e);

		for (size_t i = 0; i < w->n; i++) {
			if (!failed)
				failed = store_job(w, w->jobs[i], &ids[i], e);
			snapshot_job_unref(w->p, w->jobs[i]);
		}
		if (failed)
			return -1;
	}
	return 0;
}

void *snapshot_worker(void *arg)
{
	struct worker w = { .p = (struct snapshot_pipeline *)arg };
	const struct keys *k = repository_keys(writer_repository(w.p->writer));
	CLEANUP(chunk_worker_free) struct chunk_worker *chunks = NULL;
	CLEANUP(chunk_pair_free) struct chunk_pair *pair = NULL;
	struct err e = { 0 };

	if (chunk_worker_new(k, &chunks, &e) ||
	    chunk_pair_new(k, chunks, &pair, &e)) {
		snapshot_fail(w.p, &e);
		return NULL;
	}
	w.chunks = chunks;
	w.pair = pair;
	if (work(&w, &e))
		snapshot_fail(w.p, &e);
	return NULL;
}

/* One worker a core: they do nearly all that costs. */
static size_t cores(void)
{
	const long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		return 1;
	return n > SNAPSHOT_WORKERS_MAX ? SNAPSHOT_WORKERS_MAX : (size_t)n;
}

int snapshot_start_workers(struct snapshot_pipeline *p, struct err *e)
{
	const size_t want = cores();

	while (p->n_workers < want) {
		errno = pthread_create(&p->workers[p->n_workers], NULL,
				       snapshot_worker, p);
		if (errno)
			return err_sys(e, "cannot start a thread");
		p->n_workers++;
	}
	return 0;
}

static int start(struct snapshot_pipeline *p, struct err *e)
{
	if (queue_new(&p->jobs, SNAPSHOT_JOBS, e) ||
	    queue_new(&p->events, SNAPSHOT_EVENTS / SNAPSHOT_BATCH, e))
		return -1;
	errno = pthread_create(&p->tree_thread, NULL, snapshot_tree_thread, p);
	if (errno)
		return err_sys(e, "cannot start a thread");
	p->has_tree_thread = true;
	return 0;
}

/* Let what is inside come out, and wait for the threads. */
static int stop(struct snapshot_pipeline *p, struct err *e)
{
	void *item;

	if (p->jobs)
		queue_close(p->jobs);
	for (size_t i = 0; i < p->n_workers; i++)
		(void)pthread_join(p->workers[i], NULL);
	if (p->events)
		queue_close(p->events);
	if (p->has_tree_thread)
		(void)pthread_join(p->tree_thread, NULL);
	while (p->events && (item = queue_drain(p->events)))
		snapshot_batch_free(p, (struct snapshot_batch *)item);
	while (p->jobs && (item = queue_drain(p->jobs)))
		snapshot_job_unref(p, (struct snapshot_job *)item);
	if (!p->failed)
		return 0;
	*e = p->failure;
	return -1;
}

/* The whole pipeline once. */
static int run(struct snapshot_pipeline *p, struct source *source,
	       struct tree *parent, struct reader *reader,
	       struct snapshot_result *result, struct err *e)
{
	struct err why = { 0 };
	int failed;

	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->job_done, NULL);
	(void)pthread_cond_init(&p->content_gone, NULL);
	if (start(p, &why) || snapshot_produce(p, source, parent, reader,
					       &result->bytes_read, &why))
		snapshot_fail(p, &why);
	failed = stop(p, e);
	queue_free(p->jobs);
	queue_free(p->events);
	(void)pthread_cond_destroy(&p->job_done);
	(void)pthread_cond_destroy(&p->content_gone);
	(void)pthread_mutex_destroy(&p->lock);
	return failed;
}

struct parent_search {
	const struct manifest *about;
	struct manifest found;
	bool has_found;
};

/* The newest complete snapshot of the same source and paths, by this user. */
static int consider_parent(void *arg, struct repository_snapshot *s,
			   struct err *e)
{
	struct parent_search *q = (struct parent_search *)arg;
	struct manifest *m = &s->manifest;

	(void)e;
	if (m->state != MANIFEST_COMPLETE ||
	    strcmp(m->source, q->about->source) != 0 ||
	    strcmp(m->type, q->about->type) != 0 ||
	    !manifest_list_equal(&m->paths, &q->about->paths))
		return 0;
	/* Ad hoc snapshots of other hosts look alike by their paths only. */
	if (!*m->source && strcmp(m->host, q->about->host) != 0)
		return 0;
	/* One user sees attributes that are hidden from another, and what is
	 * unchanged is not looked at again. */
	if (strcmp(m->user, q->about->user) != 0)
		return 0;
	if (q->has_found)
		manifest_done(&q->found);
	q->found = *m;
	q->has_found = true;
	manifest_init(m);
	return 0;
}

static int copy_list(struct manifest_list *to, const struct manifest_list *from,
		     struct err *e)
{
	for (size_t i = 0; i < from->n; i++)
		if (manifest_list_add(to, from->v[i].data, from->v[i].len, e))
			return -1;
	return 0;
}

/* What a manifest gets only at its end: ids, roots, numbers. */
#define LATER_BYTES 4096

/*
 * What the manifest could not be written or read back with is no good at its
 * end, hours later.
 */
static int check_about(const struct manifest *m, struct err *e)
{
	CLEANUP(buf_done) struct buf payload;

	buf_init(&payload, SEAL_PAYLOAD_MAX - LATER_BYTES);
	if (!text_is_utf8(m->source, strlen(m->source)))
		return err_set(e, ERR_USAGE, "no source can be called %s",
			       text_quote_str(m->source).s);
	if (manifest_encode(m, &payload, e) == 0)
		return 0;
	if (e->code != ERR_CORRUPT)
		return -1;
	(void)err_set(e, ERR_USAGE,
		      "all paths, tags and patterns together are longer than "
		      "%zu MiB",
		      SEAL_PAYLOAD_MAX >> 20);
	return err_hint(e, "name a folder instead of what it holds");
}

static int copy_about(struct manifest *m, const struct manifest *about,
		      struct err *e)
{
	const size_t max = sizeof(m->host);

	*m = *about;
	m->paths = m->tags = m->excludes = (struct manifest_list){ 0 };
	m->parent = (struct object_id){ { 0 } };
	fields_text(m->type, max, about->type);
	fields_text(m->host, max, about->host);
	fields_text(m->user, max, about->user);
	fields_text(m->program, max, about->program);
	if (copy_list(&m->paths, &about->paths, e) ||
	    copy_list(&m->tags, &about->tags, e) ||
	    copy_list(&m->excludes, &about->excludes, e))
		return -1;
	return check_about(m, e);
}

static int store_errors(struct writer *w, struct snapshot_errors *errors,
			struct manifest *m, struct err *e)
{
	CLEANUP(chunk_worker_free) struct chunk_worker *worker = NULL;

	m->errors = errors->n;
	m->state = errors->n ? MANIFEST_PARTIAL : MANIFEST_COMPLETE;
	if (!errors->n)
		return 0;
	if (chunk_worker_new(repository_keys(writer_repository(w)), &worker, e))
		return -1;
	return writer_add(w, worker, CHUNK_VALUE, errors->list.data,
			  errors->list.len, &m->error_list, NULL, e);
}

/* The receipt's time, and whose clock told it (design §4). */
static struct instant receipt_time(struct repository *r,
				   const struct snapshot_options *o,
				   enum record_clock *ret_clock)
{
	struct store *s = repository_store(r);
	struct instant t = clock_now();
	struct err ignored = { 0 };

	*ret_clock = o->by_daemon ? RECORD_DAEMON : RECORD_PROCESS;
	if (!o->by_daemon && store_features(s) & STORE_HAS_CLOCK &&
	    store_now(s, &t, &ignored) == 0)
		*ret_clock = RECORD_STORE;
	return t;
}

/* What time it is, and which keyring is the newest, is asked at once. */
static int publish_settled(struct snapshot_pipeline *p, struct manifest *m,
			   struct snapshot_result *result, struct err *e)
{
	static const struct store_question keyring = { STORE_ASK_LISTING,
						       "keyring/", 0 };
	struct repository *r = writer_repository(p->writer);
	struct store_asked *asked = store_ask(repository_store(r), &keyring, 1);
	enum record_clock clock;
	int failed;

	result->received = receipt_time(r, p->options, &clock);
	failed = writer_publish(p->writer, m, result->received, clock, e);
	store_ask_done(asked);
	return failed;
}

static int publish(struct snapshot_pipeline *p, struct manifest *m,
		   struct snapshot_result *result, struct err *e)
{
	m->ended = clock_now();
	m->tree = p->tree;
	m->hints = p->hints;
	m->files = p->files;
	m->dirs = p->dirs;
	m->others = p->others;
	m->bytes = p->bytes;
	if (store_errors(p->writer, p->errors, m, e) ||
	    writer_settle(p->writer, e) || publish_settled(p, m, result, e))
		return -1;
	result->id = m->snapshot;
	result->state = m->state;
	result->files = m->files;
	result->dirs = m->dirs;
	result->others = m->others;
	result->bytes = m->bytes;
	result->errors = m->errors;
	result->parent = m->parent;
	result->bytes_new = writer_totals(p->writer).bytes_new;
	result->guarding = *writer_guarding(p->writer);
	return 0;
}

/* With the session open: merge with the parent, run, publish. */
static int take_with(struct snapshot_pipeline *p, struct source *source,
		     struct manifest *m, const struct parent_search *parent,
		     struct snapshot_result *result, struct err *e)
{
	struct repository *r = writer_repository(p->writer);
	CLEANUP(reader_free) struct reader *reader = NULL;
	CLEANUP(tree_close) struct tree *tree = NULL;

	/* With the session's eyes: what is marked counts as absent, also the
	 * maps on the way to a chunk. */
	if (reader_new_in(r, writer_index(p->writer), PARENT_CACHE_BYTES,
			  &reader, e))
		return -1;
	if (parent->has_found) {
		m->parent = parent->found.snapshot;
		if (tree_open(reader, &parent->found.tree, &parent->found.hints,
			      &tree, e))
			return -1;
	}
	if (run(p, source, tree, reader, result, e) ||
	    (p->options->was_read &&
	     p->options->was_read(p->options->arg, e) < 0))
		return -1;
	return publish(p, m, result, e);
}

int snapshot_take(struct repository *r, struct source *source,
		  struct snapshot_errors *errors,
		  const struct snapshot_options *o, struct snapshot_result *ret,
		  struct err *e)
{
	struct parent_search parent = { .about = o->about };
	struct snapshot_pipeline p = { .options = o, .errors = errors };
	struct snapshot_result result = { 0 };
	CLEANUP(writer_close) struct writer *writer = NULL;
	CLEANUP(manifest_done) struct manifest m;
	struct writer_options wo = {
		.purpose = RECORD_SNAPSHOT,
		.snapshot = object_id_is_zero(o->id) ? object_id_new() : o->id,
		.host = o->about->host,
		.scratch = o->scratch,
		.lock_ms = o->lock_ms,
	};
	struct store_asked *asked;
	int failed;

	manifest_init(&m);
	errors->forward = o->report;
	errors->arg = o->arg;
	if (copy_about(&m, o->about, e))
		return -1;
	m.begun = clock_now();
	if (guards_begin(
		    r,
		    instant_add_ms(m.begun,
				   o->lock_ms + guards_ahead_ms(o->lock_ms)),
		    m.begun, e) < 0)
		return -1;
	/* The session first: from then on a collector waits for us, so that
	 * the parent we choose keeps what it refers to. */
	if (writer_open(r, &wo, &writer, e))
		return -1;
	p.writer = writer;
	asked = o->no_parent ? NULL : repository_ask_snapshots(r);
	failed = !o->no_parent &&
		 repository_snapshots(r, false, consider_parent, NULL, &parent,
				      e);
	store_ask_done(asked);
	if (!failed && parent.has_found)
		failed = writer_expect_parent(writer, parent.found.snapshot, e);
	if (!failed)
		source_begin(source,
			     parent.has_found ? &parent.found.snapshot : NULL,
			     wo.snapshot);
	if (!failed)
		failed = take_with(&p, source, &m, &parent, &result, e);
	if (parent.has_found)
		manifest_done(&parent.found);
	if (failed) {
		writer_explain(writer, e);
		return -1;
	}
	*ret = result;
	return 0;
}
