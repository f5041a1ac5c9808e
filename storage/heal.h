/*
 * Healing a region from the others: what its snapshots miss, and snapshots
 * whose manifests it lost, come back from regions that have them soundly.
 *
 *  0. bring its keys up to date, as what comes may be sealed under an epoch
 *     that is new.  Where the region does not open: its config, when what else
 * it holds opens with the repository's keys, and slots and keyrings that are
 * missing. A config that is damaged is the only object that is ever replaced; a
 *     keyring that is may be one that was changed apart, and stays
 *  1. look (check.h): by inventory, which reads no data; with read_data every
 *     stored byte, or those packs that are suspected
 *  2. copy what is damaged or missing from here, where it can still be read,
 *     else from the other regions in their order; each chunk is opened first,
 *     and comes sealed as it is; look again, as what came back may lead to
 *     more
 *  3. bring back what other regions list and this one neither lists nor has
 *     deleted (replicate.h)
 *  4. look again
 *
 * Like all repairs it only adds.  It gives up (FORMAT.md §9, quarantine)
 * nothing but what is in its place again: what nobody has soundly is told, and
 * left as it was, so that collectors go on stopping at it; `repo check
 * --repair` is for those who know that it is gone.  What any of the regions
 * has deleted in all of them is not made anew; nor what this one has deleted.
 *
 * Killed anywhere, the next call goes on with what arrived.  It locks nothing:
 * writers, and collectors, may be at work meanwhile.
 *
 * What it cannot bring back, as no other region has the same: sessions' voids
 * and fences, and the tombstones of a region.  That some are gone is told
 * where an inventory counted them.
 */
#ifndef STORAGE_HEAL_H
#define STORAGE_HEAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/check.h"
#include "storage/repository/keyring.h"
#include "storage/repository/repository.h"

/* Another region, and what it gave. */
struct heal_source {
	struct repository *r;
	uint64_t read_limit; /* bytes a second; 0: none */
	uint64_t chunks;     /* with dry_run: that it would be asked for */
	uint64_t bytes;
	uint64_t snapshots;
	struct err why; /* what kept it from giving all it has, or none */
};

struct heal_options {
	struct heal_source *from; /* the first that has it soundly gives it */
	size_t n_from;
	bool dry_run;	/* change nothing; tell what would be */
	bool read_data; /* every stored byte of the region */
	/* Packs that are read, whatever read_data says. */
	const struct object_id *suspects;
	size_t n_suspects;
	/* Only these snapshots are brought back, and those whose manifests are
	 * damaged; NULL: whatever the region lacks. */
	const struct object_id *only;
	size_t n_only;
	/*
	 * Of what the others list, what the region would let go of at once, in
	 * ascending order (freed here): it is not brought back, unless its
	 * manifest is damaged here.  Asked before step 3, once the region is
	 * open.  May be NULL.
	 */
	int (*unwanted)(void *arg, struct repository *to,
			struct object_id **ret, size_t *ret_n, struct err *e);
	bool apart; /* as in struct replicate_options */
	/* As in struct replicate_options: how the region locks what comes. */
	int64_t lock_ms;
	int (*lock_of)(void *arg, const struct repository_snapshot *s,
		       int64_t *ret_ms, struct err *e);
	uint64_t write_limit; /* bytes a second, 0: none */
	struct instant now;
	const char *host;    /* said in the session; may be NULL */
	const char *scratch; /* folder for unlinked files; NULL: default */
	/* Polled; true ends with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
	/* As check.h has it; stage "snapshots" is step 3.  May be NULL. */
	void (*progress)(void *arg, const struct check_progress *p);
	void *arg; /* of unwanted and lock_of as well */
};

/* At most so many are told; all are counted. */
#define HEAL_FAILURES_MAX 1000

/* A snapshot that could not be brought back. */
struct heal_failure {
	struct object_id snapshot;
	char why[300];
};

struct heal_result {
	bool sound; /* by the last look, and nothing failed */
	struct check_result found;
	struct check_result left; /* the last look; with dry_run none */
	uint64_t indexed, salvaged, fetched, bytes, quarantined;
	uint64_t offered; /* with dry_run: chunks that others list */
	/* Brought back; with dry_run, would be. */
	struct object_id *snapshots;
	size_t n_snapshots;
	uint64_t records; /* holds, locks, receipts, segments */
	uint64_t deleted; /* left alone, as some region has deleted them */
	uint64_t let_go;  /* left out, as they are unwanted */
	struct heal_failure *failures;
	size_t n_failures; /* may be more than are told */
};

/*
 * 0 also when something is left: look at ret->sound, and at the sources' why.
 * -1 when the region cannot be opened, read or written, or is no region of
 * the same repository as the others.
 */
int heal_run(const char *url, const struct keyring_credential *c,
	     const struct heal_options *o, struct heal_result *ret,
	     struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* The last look. */
static inline const struct check_result *heal_left(const struct heal_result *x)
{
	return x->left.objects ? &x->left : &x->found;
}
void heal_result_done(struct heal_result *x) NONNULL(1);
static inline void cleanup_heal_result_done(struct heal_result *x)
{
	heal_result_done(x);
}

#endif
