/*
 * Private to writer*.c: the session's struct; the part of it that talks to
 * other sessions (writer_session.c): liveness, fences, publishing; and the one
 * that names what is stored (writer_index.c).
 */
#ifndef STORAGE_REPOSITORY_WRITER_INTERNAL_H
#define STORAGE_REPOSITORY_WRITER_INTERNAL_H

#include <pthread.h>

#include "base/filemap.h"
#include "base/queue.h"
#include "storage/repository/beat.h"
#include "storage/repository/index_internal.h"
#include "storage/repository/pack.h"
#include "storage/repository/writer.h"

struct writer {
	struct repository *repository;
	struct writer_options options;
	struct index_set *index;
	bool trusts_parent;
	bool published;

	pthread_mutex_t lock; /* known, totals, failure */
	struct filemap *known;
	struct writer_totals totals;
	bool failed;
	struct err failure;

	struct queue *sealed; /* struct parcel */
	struct queue *full;   /* struct pack_writer */
	pthread_t packer;
	pthread_t committer;
	bool has_packer;
	bool has_committer;

	/* writer_index.c, in the committer's thread: entries of durable packs
	 * not yet in an index, and the objects written, but for merged ones. */
	struct pack_entry *fresh;
	size_t n_fresh;
	size_t cap_fresh;
	uint64_t fresh_bytes;
	int64_t fresh_ms; /* since when the first of them waits */
	int64_t first_ms; /* and the session's first did; 0: there was none */
	struct index_object **named;
	size_t n_named;

	/* writer_session.c */
	struct object_id session;
	struct beat *beat;
	bool wrote_receipt;

	/* writer_guards.c */
	struct filemap *used; /* packs by id; NULL: nothing is to be guarded */
	struct instant relied_until; /* the parent that is trusted */
	struct writer_guarding guarding;
};

/* Step 1: PUT the session and keep its counter moving. */
int writer_session_open(struct writer *w, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/* Step 4: what a pack of so many bytes, which is durable now, holds. */
int writer_index_remember(struct writer *w, const struct pack_entry *entries,
			  size_t n, uint64_t bytes, struct err *e) NONNULL(1, 5)
	MUST_CHECK;
/* Whether what is remembered is much, or old. */
bool writer_index_is_due(const struct writer *w) NONNULL(1);
/* Write what is remembered as an index object, and merge our own ones. */
int writer_index_flush(struct writer *w, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void writer_index_done(struct writer *w) NONNULL(1);
bool writer_is_guarding(const struct writer *w) NONNULL(1);
/* A pack that the session refers to; fresh: that it wrote. */
int writer_note_use(struct writer *w, const struct pack_entry *at, bool fresh,
		    struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
/* Once it is published and confirmed: w->guarding says what came of it. */
void writer_guard(struct writer *w, const struct manifest *m,
		  struct instant received) NONNULL(1, 2);
/* Steps 5 to 8. */
int writer_session_publish(struct writer *w, const struct manifest *m,
			   struct instant received, enum record_clock clock,
			   struct err *e) NONNULL(1, 2, 5) MUST_CHECK;
#endif
