/*
 * A drill: what a schedule protects is restored from one region, and looked
 * at, as on the day on which nothing else is left.
 *
 * The catalog is shut away: a drill knows a region's URL, or some of which the
 * first is taken that can be had, the key and the names of the sources, and
 * finds everything else there.  Nothing in here
 * includes or is handed the catalog; the caller records what came out.
 *
 * All sources are restored, whole, below one private folder, as they would
 * be on a new machine; each tree is compared right after its restore.  Then
 * the commands run, and the folder is removed.  The recovery time counts from
 * the first contact with the region to the end of the last check; the age of
 * the data from the moment at which the oldest snapshot began to be taken.
 *
 * A drill that fails is a result, not an error.
 */
#ifndef SERVICE_DRILL_H
#define SERVICE_DRILL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/resource.h"

/* As many as a Repository may declare. */
#define DRILL_REGIONS_MAX 16

struct drill_plan {
	/* Asked in this order: the first that opens is drilled.  One that
	 * says nothing is soon left for the others, and asked once more when
	 * none of them opens. */
	const struct resource_region *const *regions;
	size_t region_count; /* at least one */
	const char *key_file;
	const char *const *sources;
	size_t source_count;
	const struct resource_check *checks;
	size_t check_count;
	int64_t rto_ms, rpo_ms; /* targets; 0: none */
	const char *folder;	/* where drills have their scratch folders */
	int64_t run;
	const atomic_bool *stop; /* or NULL */
};

struct drill_outcome {
	const struct resource_region *region; /* of the plan */
	bool passed;
	/* A source had no complete snapshot: a partial one was drilled. */
	bool partial;
	struct instant started, finished;
	int64_t rto_ms, rpo_ms; /* -1: not measured */
	uint64_t files, bytes;
	/* The one with the oldest data, or "". */
	char snapshot[33];
	/* [{"name","type","passed","seconds","message"}]; of commands also
	 * "exit_status" and "output"; of trees also "differences":
	 * [{"path","message"}], at most a hundred. */
	struct buf checks;
	/* [{"source","snapshot","state","began","received","files","bytes"}] */
	struct buf snapshots;
	char message[300]; /* the first thing that is wrong, or "" */
	/* What kept it from removing what it, or an earlier one, restored. */
	struct err left;
};

void drill_outcome_init(struct drill_outcome *o) NONNULL(1);
void drill_outcome_done(struct drill_outcome *o) NONNULL(1);
static inline void cleanup_drill_outcome_done(struct drill_outcome *o)
{
	drill_outcome_done(o);
}

/*
 * 0 with *ret (initialised before), passed or not.  -1 only for
 * ERR_INTERRUPTED and ERR_NO_MEMORY; the scratch folder is gone then, too, if
 * ret->left says nothing else.
 */
int drill_run(const struct drill_plan *plan, struct drill_outcome *ret,
	      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
