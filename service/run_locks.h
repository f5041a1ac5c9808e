/*
 * Whether the store of a region guards what is locked there, asked of the store
 * itself by the step "verify" of runs, so that nobody has to believe what guard
 * records say.
 *
 * A share of the objects is asked each day, by a cycle: an object is always in
 * the same part, and each part is asked once in so many days as keep both
 * verifyEvery and half of the region's lock.  Days on which nothing ran are
 * made up for.  On the others of a day's runs nothing is asked, so that the
 * requests of a day are bounded however often a schedule runs; the repository's
 * keys, index objects and hold records, which are few, are of every part.  What
 * fell short the last time is asked at every run until it does no more.
 *
 * What it came to stands in the check of the region, from where `status`,
 * `region health` and `report coverage` have it.
 */
#ifndef SERVICE_RUN_LOCKS_H
#define SERVICE_RUN_LOCKS_H

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/run.h"
#include "storage/repository/guards.h"

/* What a region's checks say, or said before that moment (0: now). */
struct run_locks_known {
	bool any;
	struct instant asked;
	uint64_t snapshots, objects; /* locked and held; that these need */
	uint64_t too_short;	     /* or not held */
	char why[200];		     /* it could not be asked; or "" */
};
int run_locks_known(struct catalog *c, const char *repository,
		    const char *region, struct instant to,
		    struct run_locks_known *ret, struct err *e)
	NONNULL(1, 2, 3, 5, 6) MUST_CHECK;
/* Whether something is wrong; if so, what. */
bool run_locks_wrong(const struct run_locks_known *x, const char *region,
		     char text[300]) NONNULL(1, 2, 3);
/* What to do about it. */
#define RUN_LOCKS_HINT                                                          \
	"\"snapctl repo check\" names it, and \"snapctl repo check --repair\" " \
	"locks it again"
/* The keys "guarded" and "guards_asked": null where nothing is known. */
void run_locks_known_write(struct json *j, const struct run_locks_known *x)
	NONNULL(1, 2);

struct run_locks {
	bool asked; /* else it was nobody's turn, or the store has no guards */
	int64_t day;
	unsigned int parts;  /* of the cycle */
	unsigned int behind; /* parts that are asked: those of as many days */
	struct guards_result result;
	struct err why; /* it could not be asked */
};
/*
 * Ask those whose turn it is by that moment, of what is verified once in
 * cycle_ms.  -1 when the catalog failed or the run was asked to stop.
 */
int run_locks_ask(struct run *r, const struct resource_region *region,
		  struct repository *repository, struct instant now,
		  int64_t cycle_ms, struct run_locks *ret, struct err *e)
	NONNULL(1, 2, 3, 6, 7) MUST_CHECK;
/* The key "object_lock", where anything was asked. */
void run_locks_write(struct json *j, const struct run_locks *x,
		     struct instant now) NONNULL(1, 2);
/* Whether something is wrong; if so, what. */
bool run_locks_fall_short(const struct run_locks *x, const char *region,
			  char text[300]) NONNULL(1, 2, 3);

#endif
