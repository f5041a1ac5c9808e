/* The threads that write files, and how far they have come. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "storage/restore_internal.h"

/* Jobs between the walk and the workers. */
#define JOBS 16
/*
 * Jobs come out of the queue in the order of the walk, one at a time, so that
 * nobody is before the least of those that are being done.
 */
static struct restore_job *next_job(struct restore_run *r, size_t i)
{
	struct restore_job *job = NULL;
	void *item;

	(void)pthread_mutex_lock(&r->popping);
	if (queue_pop(r->work, &item)) {
		job = (struct restore_job *)item;
		ahead_at(r->ahead, i, job->position);
	}
	(void)pthread_mutex_unlock(&r->popping);
	return job;
}

static size_t enter(struct restore_run *r)
{
	size_t i;

	(void)pthread_mutex_lock(&r->lock);
	i = r->n_entered++;
	(void)pthread_mutex_unlock(&r->lock);
	return i;
}

static void *worker(void *arg)
{
	struct restore_run *r = (struct restore_run *)arg;
	CLEANUP(reader_free) struct reader *x = NULL;
	const size_t i = enter(r);
	struct restore_job *job;
	struct err e = { 0 };

	if (reader_new(r->repository, RESTORE_CACHE_BYTES, &x, &e)) {
		restore_note_unread(r, &e);
		restore_fail(r, &e);
		queue_abort(r->work);
		return NULL;
	}
	reader_take_from(x, ahead_prefetch(r->ahead));
	while ((job = next_job(r, i)) != NULL) {
		restore_job_write(r, x, job);
		ahead_at(r->ahead, i, PREFETCH_NOWHERE);
		free(job);
	}
	return NULL;
}

/*
 * The files of all jobs, of those in the queue too, are open at once: for them
 * is half of what this process may have open, as each keeps its folder open,
 * too.
 */
static size_t job_max(size_t workers)
{
	const size_t jobs = JOBS + workers + 1;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 ||
	    l.rlim_cur / 4 / jobs >= RESTORE_EXTENTS)
		return RESTORE_EXTENTS;
	return l.rlim_cur / 4 < jobs ? 1 : l.rlim_cur / 4 / jobs;
}

int restore_work_start(struct restore_run *r, struct err *e)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const size_t want = cores < 1			  ? 1
			    : cores > RESTORE_WORKERS_MAX ? RESTORE_WORKERS_MAX
							  : (size_t)cores;

	r->job_max = job_max(want);
	if (restore_settle_start(r, e) || queue_new(&r->work, JOBS, e))
		return -1;
	while (r->n_workers < want) {
		errno = pthread_create(&r->workers[r->n_workers], NULL, worker,
				       r);
		if (errno)
			return err_sys(e, "cannot start a thread");
		r->n_workers++;
	}
	return 0;
}

void restore_work_stop(struct restore_run *r)
{
	void *item;

	if (!r->work)
		return;
	queue_close(r->work);
	for (size_t i = 0; i < r->n_workers; i++)
		(void)pthread_join(r->workers[i], NULL);
	while ((item = queue_drain(r->work))) {
		struct restore_job *job = (struct restore_job *)item;

		for (size_t i = 0; i < job->n; i++)
			restore_file_unref(r, job->pieces[i].file);
		free(job);
	}
	queue_free(r->work);
}
