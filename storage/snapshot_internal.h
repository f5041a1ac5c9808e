/*
 * Private to snapshot*.c: what the pipeline's threads share.
 */
#ifndef STORAGE_SNAPSHOT_INTERNAL_H
#define STORAGE_SNAPSHOT_INTERNAL_H

#include <pthread.h>

#include "base/buf.h"
#include "base/queue.h"
#include "storage/repository/content.h"
#include "storage/repository/cut.h"
#include "storage/repository/tree.h"
#include "storage/repository/writer.h"
#include "storage/snapshot.h"

/*
 * Plaintext in flight: the job queue, up to two jobs in each worker's hands and
 * the group that is being filled; about 1 MiB each, 2 MiB at most.
 */
#define SNAPSHOT_JOBS	     4
#define SNAPSHOT_WORKERS_MAX 8
/* Events between producer and tree thread, and how many it gets at a time: to
 * wake it for each costs more than most of them. */
#define SNAPSHOT_EVENTS 4096
#define SNAPSHOT_BATCH	64
/* Extents of unchanged files in them: 48 KB each would be 200 MB in all. */
#define SNAPSHOT_CONTENT_BYTES ((size_t)4 << 20)
/*
 * A group is closed when this many events, or bytes of extents, came after its
 * first file: events wait for their group, so an open group must never fill
 * their queue.
 */
#define SNAPSHOT_GROUP_EVENTS  (SNAPSHOT_EVENTS / 2)
#define SNAPSHOT_GROUP_CONTENT (SNAPSHOT_CONTENT_BYTES / 2)

struct snapshot_errors {
	pthread_mutex_t lock;
	struct buf list; /* (bytes path ‖ bytes message)*, as stored */
	uint64_t n;
	source_report *forward;
	void *arg;
};

/* A chunk on its way: filled by the producer, named by a worker. */
struct snapshot_job {
	uint8_t *data;
	size_t len;
	bool large;	   /* of a file of SNAPSHOT_LARGE or more */
	uint32_t group;	   /* its number, from 1; 0: no group of small files */
	unsigned int refs; /* the pipeline's lock guards these */
	bool done;
	struct chunk_id id;
};

enum snapshot_event_type {
	EVENT_ENTRY, /* no content, or the parent's */
	EVENT_PIECE, /* the next of the file that is under way */
	EVENT_FILE,  /* the end of that file; its last piece, if len is not 0 */
	EVENT_DROP,  /* that file is left out after all */
	EVENT_LINK,  /* a file with the content of its group's first member */
};

/*
 * A piece is of a job, of a group that a job of an earlier event was, of a
 * chunk that the parent has, or, with none of them, a hole.
 */
struct snapshot_event {
	enum snapshot_event_type type;
	struct entry entry;	/* owned */
	struct content content; /* its extents are owned and reserved */
	struct snapshot_job *job;
	uint32_t group;
	uint32_t offset;
	uint64_t len;
	bool kept; /* the parent's chunk of this id */
	struct chunk_id id;
};

struct snapshot_batch {
	size_t n;
	struct snapshot_event v[SNAPSHOT_BATCH];
};

struct snapshot_pipeline {
	struct writer *writer;
	const struct snapshot_options *options;
	struct snapshot_errors *errors;
	struct queue *jobs;
	struct queue *events; /* batches of them */
	pthread_t workers[SNAPSHOT_WORKERS_MAX];
	size_t n_workers;
	pthread_t tree_thread;
	bool has_tree_thread;

	pthread_mutex_t lock;
	pthread_cond_t job_done;
	pthread_cond_t content_gone;
	size_t content_bytes; /* extents in events */
	bool failed;
	struct err failure;

	/* The tree thread's, read after it was joined. */
	struct manifest_root tree;
	struct manifest_root hints;
	uint64_t files;
	uint64_t dirs;
	uint64_t others;
	uint64_t bytes;
};

/* The first failure counts; everything stops. */
void snapshot_fail(struct snapshot_pipeline *p, const struct err *why)
	NONNULL(1, 2);
bool snapshot_failed(struct snapshot_pipeline *p) NONNULL(1);
void snapshot_job_unref(struct snapshot_pipeline *p, struct snapshot_job *j)
	NONNULL(1, 2);
/* Whether n more extents may be in events now; if so, they are counted. */
bool snapshot_content_try(struct snapshot_pipeline *p, size_t n) NONNULL(1)
	MUST_CHECK;
/* Wait until they may: false when all has failed. */
bool snapshot_content_reserve(struct snapshot_pipeline *p, size_t n) NONNULL(1)
	MUST_CHECK;
void snapshot_content_release(struct snapshot_pipeline *p, size_t n) NONNULL(1);
/* What an event owns. */
void snapshot_event_done(struct snapshot_pipeline *p, struct snapshot_event *ev)
	NONNULL(1, 2);
/* A batch with what is left in it.  NULL-safe. */
void snapshot_batch_free(struct snapshot_pipeline *p, struct snapshot_batch *b)
	NONNULL(1);

/* The producer does, with its first job. */
int snapshot_start_workers(struct snapshot_pipeline *p, struct err *e)
	NONNULL(1, 2) MUST_CHECK;

/* Thread functions; the argument is the pipeline. */
void *snapshot_worker(void *arg);
void *snapshot_tree_thread(void *arg);

/*
 * Walk the source and feed the pipeline (snapshot_produce.c); parent may be
 * NULL.
 */
int snapshot_produce(struct snapshot_pipeline *p, struct source *source,
		     struct tree *parent, struct reader *reader,
		     uint64_t *ret_bytes_read, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;

#endif
