/*
 * A store that wraps another one and moves no more than so many bytes a second
 * to it, and from it.
 *
 * Who moved some bytes rests afterwards (storage/rate.h), so that a limit holds
 * for all that is done through this store, by however many threads: snapshots,
 * copies, restores, checks.  Bytes of objects are counted; what a protocol adds
 * is not.  What replaces an object (a session's beats do) is counted and
 * does not rest, so that it arrives in time.  It holds on average: a store that
 * sends by parts (S3's) sends each as fast as it can.
 *
 * The limits are asked for about once a second, as they may differ by the time
 * of day.  A rest ends when a limit is raised, or the program is to stop
 * (store_stop_when()).
 */
#ifndef STORAGE_STORES_LIMIT_H
#define STORAGE_STORES_LIMIT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/stores/store.h"

/* Bytes a second; 0: no limit. */
struct limit_rates {
	uint64_t up;
	uint64_t down;
};

struct limit_options {
	/* What holds now.  From any thread, one at a time. */
	void (*ask)(void *arg, struct limit_rates *ret);
	/* When the store is closed, or could not be made; may be NULL. */
	void (*done)(void *arg);
	void *arg;
};

/* Wrap inner, which the new store then owns (also when this fails). */
int limit_wrap(struct store *inner, const struct limit_options *o,
	       struct store **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif
