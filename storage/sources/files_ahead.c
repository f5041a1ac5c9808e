/*
 * Reading folders ahead of the caller, in the caller's order.
 *
 * There is one sequence of items in path order: jobs (a folder that is being
 * read, or was) and supplies (a list whose folders are not all jobs yet).
 * A thread takes the first supply and turns its next folder into a job right
 * before it; when the job is done and its list has folders, a supply is put
 * right behind the job.  The caller takes jobs off the front.  So threads
 * work on what will be asked for first, and however many there are, what the
 * caller sees is the same.
 *
 * Bound: no new job while AHEAD_MAX names wait, unless the caller would wait
 * for a folder that nobody has begun.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/sources/files_internal.h"

/*
 * Names that may wait: 3 MiB or so.  The caller's unit of delay is a file
 * that it reads, so more would not make anything faster.
 */
#define AHEAD_MAX   16384U
#define THREADS_MAX 16U
/*
 * tests/bench/walk /usr, 160,921 entries, warm, two cores, against find
 * -printf with 470 to 550 ms: 1 thread 470 to 540 ms, 2 threads 230 to 250, 3
 * threads 205 to 230.  The third takes from the caller, who has work of its
 * own.
 */
#define THREADS_DEFAULT 2U

enum item_kind { JOB_UNDER_WAY, JOB_DONE, SUPPLY };

struct item {
	struct item *before;
	struct item *after;
	struct item *next_supply;
	enum item_kind kind;
	struct files_list *above; /* where the folder is a record */
	size_t index;		 /* job: the record; supply: where to look on */
	struct files_list *list; /* JOB_DONE: the folder */
};

struct files_ahead {
	const struct files_rules *rules;
	pthread_mutex_t lock;
	pthread_cond_t work;	/* threads wait for a supply, or for room */
	pthread_cond_t arrived; /* the caller waits for the front */
	struct item ends;	/* of the ring: after is the front */
	struct item *supplies;
	size_t waiting;	   /* names in jobs done */
	unsigned int busy; /* threads in the middle of a job */
	unsigned int idle; /* threads that wait */
	bool caller_waits;
	bool stop;
	bool failed;
	struct err failure;
	uint64_t found;
	uint64_t found_bytes;
	pthread_t threads[THREADS_MAX];
	unsigned int thread_count;
};

static void put_before(struct item *at, struct item *new)
{
	new->after = at;
	new->before = at->before;
	at->before->after = new;
	at->before = new;
}

static void take_out(struct item *item)
{
	item->before->after = item->after;
	item->after->before = item->before;
}

static void item_free(struct item *item)
{
	files_list_unref(item->above);
	files_list_unref(item->list);
	free(item);
}

/* The next record from `from` on whose content is to be read, or count. */
static size_t next_folder(const struct files_list *l, size_t from)
{
	while (from < l->count &&
	       (l->records[from].flags & (RECORD_DESCEND | RECORD_LATER)) !=
		       RECORD_DESCEND)
		from++;
	return from;
}

/* A supply for the folders of l right behind job; no job has it yet. */
static int add_supply(struct files_ahead *a, struct item *job,
		      struct files_list *l)
{
	const size_t first = next_folder(l, 0);
	struct item *supply;
	struct item *at;
	struct item **link;

	if (first == l->count)
		return 0;
	supply = calloc(1, sizeof(*supply));
	if (!supply)
		return -1;
	supply->kind = SUPPLY;
	supply->above = files_list_ref(l);
	supply->index = first;
	put_before(job->after, supply);
	/* Its place among the supplies: before the first that follows. */
	for (at = supply->after; at != &a->ends && at->kind != SUPPLY;)
		at = at->after;
	link = &a->supplies;
	while (*link && *link != at)
		link = &(*link)->next_supply;
	supply->next_supply = *link;
	*link = supply;
	return 0;
}

/* The first supply's next folder as a job.  NULL: no memory. */
static struct item *claim(struct files_ahead *a)
{
	struct item *supply = a->supplies;
	struct item *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->kind = JOB_UNDER_WAY;
	job->above = files_list_ref(supply->above);
	job->index = supply->index;
	put_before(supply, job);
	supply->index = next_folder(supply->above, supply->index + 1);
	if (supply->index == supply->above->count) {
		a->supplies = supply->next_supply;
		take_out(supply);
		item_free(supply);
	}
	return job;
}

static bool may_claim(const struct files_ahead *a)
{
	return a->supplies &&
	       (a->waiting < AHEAD_MAX || a->ends.after->kind == SUPPLY);
}

static void fail(struct files_ahead *a, const struct err *e)
{
	if (!a->failed)
		a->failure = *e;
	a->failed = true;
	a->stop = true;
	pthread_cond_broadcast(&a->work);
	pthread_cond_signal(&a->arrived);
}

static void count_found(struct files_ahead *a, const struct files_list *l,
			uint64_t bytes)
{
	a->found += l->count;
	a->found_bytes += bytes;
	a->waiting += l->count + 1;
}

static uint64_t bytes_of(const struct files_list *l)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < l->count; i++)
		if (S_ISREG(l->records[i].mode))
			n += l->records[i].size;
	return n;
}

/* One job, with the lock held at both ends. */
static void work_once(struct files_ahead *a, struct files_reader *r)
{
	struct item *job = claim(a);
	struct files_list *l = NULL;
	struct err e = { 0 };
	uint64_t bytes = 0;
	int status = -1;

	if (!job) {
		(void)err_oom(&e);
		fail(a, &e);
		return;
	}
	a->busy++;
	pthread_mutex_unlock(&a->lock);
	status = files_list_read(r, job->above, job->index, &l, &e);
	if (status == 0)
		bytes = bytes_of(l);
	pthread_mutex_lock(&a->lock);
	a->busy--;
	if (status == 0 && add_supply(a, job, l) < 0)
		status = err_oom(&e);
	if (status < 0) {
		files_list_unref(l);
		fail(a, &e);
		return;
	}
	job->list = l;
	job->kind = JOB_DONE;
	count_found(a, l, bytes);
	if (a->caller_waits && a->ends.after == job)
		pthread_cond_signal(&a->arrived);
	if (a->idle)
		pthread_cond_broadcast(&a->work);
}

static bool all_done(const struct files_ahead *a)
{
	return !a->supplies && a->busy == 0;
}

static void *thread_main(void *arg)
{
	struct files_ahead *a = arg;
	struct files_reader r;
	struct err e;

	if (files_reader_init(&r, a->rules, &e) < 0) {
		pthread_mutex_lock(&a->lock);
		fail(a, &e);
		pthread_mutex_unlock(&a->lock);
		return NULL;
	}
	pthread_mutex_lock(&a->lock);
	while (!a->stop && !all_done(a)) {
		if (may_claim(a)) {
			work_once(a, &r);
		} else {
			a->idle++;
			pthread_cond_wait(&a->work, &a->lock);
			a->idle--;
		}
	}
	pthread_cond_broadcast(&a->work);
	pthread_mutex_unlock(&a->lock);
	files_reader_done(&r);
	return NULL;
}

int files_ahead_start(const struct files_rules *rules, struct files_list *root,
		      struct files_ahead **ret, struct err *e)
{
	CLEANUP(files_ahead_stop) struct files_ahead *a = calloc(1, sizeof(*a));
	unsigned int want = rules->options->threads;

	if (!a)
		return err_oom(e);
	a->rules = rules;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
	pthread_cond_init(&a->arrived, NULL);
	a->ends.before = &a->ends;
	a->ends.after = &a->ends;
	a->found = 1;
	if (add_supply(a, &a->ends, root) < 0)
		return err_oom(e);
	if (want == 0)
		want = THREADS_DEFAULT;
	if (want > THREADS_MAX)
		want = THREADS_MAX;
	while (a->thread_count < want) {
		const int r = pthread_create(&a->threads[a->thread_count], NULL,
					     thread_main, a);

		if (r != 0 && a->thread_count > 0)
			break;
		errno = r;
		if (r != 0)
			return err_sys(e, "cannot start a thread");
		a->thread_count++;
	}
	*ret = TAKE(a);
	return 0;
}

void files_ahead_stop(struct files_ahead *a)
{
	unsigned int i;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->work);
	pthread_mutex_unlock(&a->lock);
	for (i = 0; i < a->thread_count; i++)
		pthread_join(a->threads[i], NULL);
	while (a->ends.after != &a->ends) {
		struct item *item = a->ends.after;

		a->ends.after = item->after;
		item_free(item);
	}
	pthread_cond_destroy(&a->arrived);
	pthread_cond_destroy(&a->work);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

int files_ahead_next(struct files_ahead *a, const struct files_list *list,
		     size_t i, struct files_list **ret, struct err *e)
{
	struct item *front;

	pthread_mutex_lock(&a->lock);
	while (!a->failed && a->ends.after->kind != JOB_DONE) {
		a->caller_waits = true;
		if (a->idle)
			pthread_cond_broadcast(&a->work);
		pthread_cond_wait(&a->arrived, &a->lock);
	}
	a->caller_waits = false;
	if (a->failed) {
		*e = a->failure;
		pthread_mutex_unlock(&a->lock);
		return -1;
	}
	front = a->ends.after;
	assert(front->above == list && front->index == i);
	take_out(front);
	a->waiting -= front->list->count + 1;
	if (a->idle && a->waiting < AHEAD_MAX / 2)
		pthread_cond_broadcast(&a->work);
	pthread_mutex_unlock(&a->lock);
	*ret = TAKE(front->list);
	item_free(front);
	return 0;
}

void files_ahead_count(struct files_ahead *a, const struct files_list *l)
{
	const uint64_t bytes = bytes_of(l);

	pthread_mutex_lock(&a->lock);
	a->found += l->count;
	a->found_bytes += bytes;
	pthread_mutex_unlock(&a->lock);
}

void files_ahead_found(struct files_ahead *a, struct source_progress *ret)
{
	pthread_mutex_lock(&a->lock);
	ret->entries_found = a->found;
	ret->bytes_found = a->found_bytes;
	ret->all_found = all_done(a);
	pthread_mutex_unlock(&a->lock);
}
