/*
 * Private to the pass over a region (guards_pass.c): who wants to be guarded
 * (guards_wanted.c), and what is asked of the store (guards_ask.c).
 */
#ifndef STORAGE_REPOSITORY_GUARDS_PASS_INTERNAL_H
#define STORAGE_REPOSITORY_GUARDS_PASS_INTERNAL_H

#include "storage/repository/gc_internal.h"
#include "storage/repository/guards_internal.h"

/* Moments are written down rounded to so much, so that records stay few. */
#define GUARDS_ROUND_S INT64_C(21600)

/* A snapshot that is locked or held. */
struct guards_wanted {
	struct gc_snapshot s;
	struct object_name manifest;
	struct object_id id;
	struct instant received;
	struct instant need;  /* until which it is locked; or 0 */
	struct instant low;   /* what is guarded for less is lengthened */
	struct instant goal;  /* until then */
	struct instant least; /* what its own packs are guarded for */
	bool held;
	bool locked_elsewhere;
	bool unnamed;	   /* no lock names its session: see guard_unnamed() */
	bool lock_is_here; /* one says nothing of other regions */
	struct object_id session;
	char source[RECORD_TEXT_MAX + 1];
};

struct guards_pass {
	struct gc *g;
	const struct guards_options *o;
	struct guards_result *out;
	struct guards *known;
	struct guards_bulk *bulk;
	struct guards_bulk *asking; /* with ask */
	struct guards_wanted *v;
	size_t n;
	struct guards_wanted longest; /* v[0], for what all of them need */
	struct guards_wanted index;   /* for index objects */
	struct guards_wanted holding; /* for hold records themselves */
	struct filemap *now; /* object id: struct guards_known, from here on */
	struct object_id keys; /* id of config, slots and keyrings */
	int64_t keys_until;    /* that they will be guarded; 0: as was known */
	uint64_t unheld;       /* that could not be held */
	unsigned int in_a_row; /* of those, with none held between */
	struct err failure;    /* the first */
};

/* The first failure, to be told at the end. */
void guards_pass_remember(struct guards_pass *x, const struct err *why)
	NONNULL(1, 2);
/* All that are locked or held, by the time until which they are locked, the
 * longest first; traced. */
int guards_pass_list(struct guards_pass *x, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
int guards_pass_trace(struct guards_pass *x, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/* From here on it is known to be guarded until then (seconds; 0: only held). */
int guards_pass_keep(struct guards_pass *x, struct object_id id, int64_t until,
		     bool held, struct err *e) NONNULL(1, 5) MUST_CHECK;

/* Of a pass that asks: what is wanted of an object is asked of its store, with
 * many others; w lives as long as the pass. */
int guards_pass_ask(struct guards_pass *x, const char *name,
		    struct object_id id, const struct guards_wanted *w,
		    bool held, struct err *e) NONNULL(1, 2, 6) MUST_CHECK;
/* A guards_bulk_answer: the store's.  A pack's is kept for the next. */
int guards_pass_answered(void *arg, const char *name,
			 const struct guards_question *q,
			 const struct store_guard *is, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* Each chunk, in one of its packs at least: of gc_walk(). */
int guards_pass_judge(void *arg, const struct gc_group *group, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
