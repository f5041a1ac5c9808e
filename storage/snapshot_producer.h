/*
 * Private to snapshot_produce.c and snapshot_send.c: the producer, and how it
 * hands on what it has.
 */
#ifndef STORAGE_SNAPSHOT_PRODUCER_H
#define STORAGE_SNAPSHOT_PRODUCER_H

#include "base/attr.h"
#include "base/filemap.h"
#include "storage/repository/cut.h"
#include "storage/snapshot_ahead.h"
#include "storage/snapshot_internal.h"
#include "storage/snapshot_small.h"

struct snapshot_producer {
	struct snapshot_pipeline *p;
	struct source *source;
	struct ahead *ahead;
	struct cut *cutter;
	struct snapshot_small *small;
	uint8_t *window;     /* NULL until a file is read into it */
	size_t window_dirty; /* of it, may have been written */
	bool large;	     /* the file that is read */
	bool blocks;	     /* SOURCE_BLOCKS */

	/* The parent's tree, one entry ahead. */
	struct tree *parent;
	struct reader *reader;
	struct entry was;
	struct content was_content;
	bool has_was;
	/* Since the source's last offer something could not be read of it. */
	bool has_gap;
	/* The last entry that was kept without the source's delivering it. */
	struct buf kept_up_to;
	uint64_t kept_bytes; /* of all that it has not delivered */

	/* The group of small files that is being filled. */
	struct snapshot_job *group;
	uint32_t groups; /* so far */
	size_t group_events;
	size_t group_content; /* bytes of extents */

	struct snapshot_batch *batch; /* of events that are to be sent */

	struct filemap *links; /* group → struct link_seen */
	/* The folder that vanished last, until something below it is there. */
	struct buf vanished;
	struct snapshot_progress progress;
	int64_t told_ms;
};

/* Cancelled?  And, when it is due, progress is told. */
int snapshot_poll(struct snapshot_producer *q, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

/* NULL: no memory. */
struct snapshot_job *snapshot_job_new(size_t cap, struct err *e) NONNULL(2);
/* Hand a chunk to the workers; what refers to it keeps it alive. */
int snapshot_send_job(struct snapshot_producer *q, struct snapshot_job *j,
		      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* The group of small files that is open, if there is one. */
int snapshot_close_group(struct snapshot_producer *q, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
/* Entries must never wait for long behind a group that is still open. */
int snapshot_bound_group(struct snapshot_producer *q, struct err *e)
	NONNULL(1, 2) MUST_CHECK;

/*
 * Events go in batches, that are sent when they are full, or when told to.
 * What ev owns is taken over, also when it fails.
 */
int snapshot_send_event(struct snapshot_producer *q,
			const struct snapshot_event *ev, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
int snapshot_send_batch(struct snapshot_producer *q, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
/* Of a job, or, with NULL, a hole. */
int snapshot_send_piece(struct snapshot_producer *q, struct snapshot_job *j,
			uint64_t len, struct err *e) NONNULL(1, 4) MUST_CHECK;
/* An entry with its own copy of everything, content of the parent included. */
int snapshot_send_entry(struct snapshot_producer *q, const struct entry *en,
			const struct content *content, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;

#endif
