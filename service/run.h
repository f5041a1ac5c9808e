/*
 * What `snapctld --run ID` does: the steps of one run, in order.
 *
 *	snapshot → replicate → verify → retain → report     a schedule's run
 *	drill						    a drill's run
 *	gc → report					    a repository's
 *
 * Each step is a row of a table {name, function} (run_steps.c) and a file
 * step_<name>.c.  A step is idempotent: its state stands in the catalog, one
 * row for each source it works on (or one for the run as a whole), and a step
 * that succeeded is not done again.  A source whose step failed is left out
 * of the steps after it; the others go on.
 *
 * After an essential one failed, for all sources or the run as a whole, only
 * what has nothing to do with it is done still: while the primary region is
 * away, and runs are not to go elsewhere, what the others hold is verified all
 * the same, or the promise that all of it is read in time would break with it.
 * What is retained is not judged then: of a source that is not protected any
 * more nothing is deleted.
 *
 * To add a step: write step_<name>.c with its function, name it in
 * service/step.h, and put a row into run_steps.c at its place.
 *
 * The last thing a run writes is the step "run" with its result, from which
 * the supervisor's side closes it, also when nobody saw the process end.
 *
 * The function of a step gets the run and the source (NULL for the run as a
 * whole), does its work, fills in *result, and returns 0; or -1 and *e, which
 * becomes a failed result.  It asks run_stopped() now and then.
 */
#ifndef SERVICE_RUN_H
#define SERVICE_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/catalog.h"
#include "service/config.h"
#include "service/resource.h"

/* What its process gave up so far: run_confine.h. */
enum run_confinement { RUN_FREE, RUN_READS, RUN_CONFINED };

/* One run, and what it is about.  Strings belong to it. */
struct run {
	int64_t id;
	int64_t attempt;
	int64_t occurrence;	      /* or 0: ad hoc */
	struct instant occurrence_at; /* or 0 */
	char *kind;		      /* "Schedule", "Drill", "Maintenance" */
	char *name;		      /* of the schedule, drill, repository */
	char *schedule_uid;
	/* Of a drill: the drill's schedule.  Of a repository: NULL, and no
	 * sources. */
	struct resource *schedule;
	struct resource *drill; /* or NULL */
	struct resource *repository;
	struct resource *policy; /* or NULL: keep everything */
	struct resource **sources;
	size_t source_count;

	/* The region that it writes to, once that is settled (run_region.h);
	 * and why that is not the primary, or "". */
	const struct resource_region *written;
	char not_primary[300];
	bool primary_opens; /* it does, but could not be written to */
	/* A bit for each of the repository's that was silent, and is not
	 * waited for again. */
	unsigned int silent;

	struct catalog *catalog;
	const struct config *config;
	const atomic_bool *stop;
	bool confines; /* its process is its own, and gives up what it can */
	enum run_confinement confinement;
	/* The kernel keeps it from the regions that its drill shuts away. */
	bool shuts_away;
};

/* Whether the run is a drill that does without that region. */
bool run_is_without(const struct run *r, const char *region) NONNULL(1, 2);

enum run_state {
	RUN_SUCCEEDED,
	RUN_SKIPPED, /* there was nothing to do: as good as succeeded */
	RUN_PARTIAL,
	RUN_FAILED,
};

struct run_result {
	enum run_state state;
	char message[300];  /* what was left out, or why it failed; or "" */
	struct buf details; /* a JSON object for the catalog; or empty */
};

typedef int run_function(struct run *r, const struct resource *source,
			 struct run_result *result, struct err *e);

struct run_step {
	const char *name;
	bool for_each_source;
	/* Whether its failure alone makes the run failed, not partial. */
	bool essential;
	/* Whether it is done when the run has failed by then, too. */
	bool in_any_case;
	run_function *act;
};

/* 0, or -1 with ERR_INTERRUPTED. */
int run_stopped(const struct run *r, struct err *e) NONNULL(1, 2) MUST_CHECK;

/*
 * 1, or 0 while the wall clock is in doubt, and *result says so: nothing may
 * be deleted then.
 */
int run_clock_is_sure(const struct run *r, struct run_result *result,
		      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Do the steps that are not done yet and write the result down.  -1 only when
 * the catalog failed or the run was asked to stop; nothing is then lost.
 */
int run_perform(struct run *r, const struct run_step *steps, size_t n,
		enum run_state *ret, struct err *e) NONNULL(1, 2, 4, 5)
	MUST_CHECK;

/* Read what a run is about.  ERR_NOT_FOUND: no such run or resource. */
int run_load(struct catalog *c, int64_t id, struct run **ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
void run_free(struct run *r);
DEFINE_CLEANUP(struct run *, run_free);

/* The steps of a kind of run. */
const struct run_step *run_steps(const char *kind, size_t *ret_n) NONNULL(1, 2);

/* The whole of `snapctld --run ID`; the exit status. */
int run_main(const struct config *config, int64_t id) NONNULL(1) MUST_CHECK;

#endif
