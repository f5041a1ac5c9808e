/*
 * A store that wraps another one and makes it misbehave as told, so that
 * everything above the store interface can be tested against stores that
 * fail, lie, forget and hang.  For tests; nothing in a program opens one.
 *
 * Without faults it behaves exactly as what it wraps: the contract suite of
 * stores runs over it too.  Several threads may use it; faults are consulted
 * in the order in which they were added, and the first that applies acts.
 */
#ifndef STORAGE_STORES_FAULT_H
#define STORAGE_STORES_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/stores/store.h"

enum fault_call {
	FAULT_BEGIN,
	FAULT_APPEND,
	FAULT_COMMIT,
	FAULT_READ,
	FAULT_SIZE,
	FAULT_LIST,
	FAULT_REMOVE,
	FAULT_GUARD, /* guard, hold, guarded */
	FAULT_ANY,   /* every one of the above, counted together */
};

enum fault_action {
	FAULT_FAIL,	  /* fail without having done anything */
	FAULT_FAIL_AFTER, /* do it, then report a failure: a lost answer */
	/* commit, remove: report success without doing it.  A commit that
	 * was lost is what a power cut leaves of a store that lies about
	 * durability. */
	FAULT_LOSE,
	/* read: give at most `amount` bytes, as if the object ended there.
	 * list: end after `amount` objects in silence. */
	FAULT_SHORT,
	FAULT_HALF,   /* list: leave out every second object in silence */
	FAULT_HIDE,   /* list, of whatever: leave out what `prefix` begins */
	FAULT_FLIP,   /* read: flip bit `amount` (modulo what was read) */
	FAULT_STALE,  /* read: the bytes before the last replacement */
	FAULT_ABSENT, /* read, size: there is no such object; list: empty */
	FAULT_HANG,   /* sleep `amount` ms, at most a minute; then go on */
	FAULT_RUN,    /* let `run` do something first; then go on */
};

/*
 * What somebody else does in the middle of the caller's work, on a store of
 * its own, or with this one when it sees to it that it is not run again.
 */
typedef void fault_run(void *arg, const char *name);

struct fault {
	enum fault_call call;
	enum fault_action action;
	/* Only calls whose name (list: prefix; list_after: ">" and what it is
	 * after) begins with this; NULL: all. */
	const char *prefix;
	/* Counting the calls that match from the adding on: from the nth (0
	 * and 1: the first) for `times` calls (0: for ever). */
	uint64_t nth;
	uint64_t times;
	uint64_t amount;
	/* Only the calls of the thread that added it count, and run it; or
	 * those of every thread. */
	bool everyone;
	fault_run *run;
	fault_run *note; /* of another action: told before; may be NULL */
	void *arg;
	/* Of a failure: what it is and, if not 0, the errno behind it. */
	enum err_code code; /* ERR_NONE: ERR_IO */
	int sys;
};

/* Wrap inner, which the new store then owns (also when this fails). */
int fault_wrap(struct store *inner, struct store **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* From now on it is not STORE_LOCAL, whatever the inner one is. */
void fault_set_far(struct store *store) NONNULL(1);
/* Add a fault to a store of fault_wrap()'s, at most 16; prefix is borrowed. */
void fault_add(struct store *store, const struct fault *fault) NONNULL(1, 2);
/* Remove all faults. */
void fault_clear(struct store *store) NONNULL(1);
/* How many calls of this kind were made since the wrapping. */
uint64_t fault_calls(struct store *store, enum fault_call call) NONNULL(1);

#endif
