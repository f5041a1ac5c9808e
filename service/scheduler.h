/*
 * From the time to runs: what is due is written down, and what may start is
 * started.
 *
 * A tick is: account for what became due (schedules/plan.h), decide about
 * open occurrences, claim as many runs as the limits allow, whoever waited
 * longest first, and hand them to the supervisor.  Every change of the ledger
 * is one transaction of the catalog, so that a kill between any two of them
 * loses and doubles nothing: an occurrence is a row before anything is done
 * about it, a run is claimed and its process written down before that process
 * begins, and what a process finished is told by its steps even if nobody was
 * there to see it end.
 *
 * The times of the ledger are the timetable's: the wall clock's, unless it is
 * in doubt.  Then, until it is confirmed, they go on from the last time that
 * was believed by the boot-time clock, so that a jump neither stops backups
 * nor writes the future down.  Functions take both clocks.
 *
 * All functions are for one thread.  None waits for anything but the
 * catalog.
 */
#ifndef SERVICE_SCHEDULER_H
#define SERVICE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/catalog.h"
#include "service/supervisor.h"

struct scheduler;

struct scheduler_settings {
	struct catalog *catalog;
	struct supervisor *supervisor;
	const char *host;
	const char *boot_id;
	unsigned int host_max; /* runs at once; 0: no limit */
};

int scheduler_new(const struct scheduler_settings *settings,
		  struct scheduler **ret, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
void scheduler_free(struct scheduler *s);
DEFINE_CLEANUP(struct scheduler *, scheduler_free);

/*
 * What an earlier daemon left: its processes are ended, runs whose steps are
 * complete are closed as they say, others become interrupted and their
 * occurrences get another attempt.  At start-up, before anything else, and
 * now and then for what could not be written down.  Waits two seconds at most,
 * for processes that hang in the kernel.
 */
int scheduler_recover(struct scheduler *s, struct instant wall, int64_t boot_ms,
		      struct err *e) NONNULL(1, 4) MUST_CHECK;

/* Resources changed: the next tick reads them again. */
void scheduler_reload(struct scheduler *s) NONNULL(1);
void scheduler_set_host_max(struct scheduler *s, unsigned int host_max)
	NONNULL(1);

/*
 * One tick; the moment, on the wall clock, at which the next one has something
 * to do.  A failure
 * leaves a consistent ledger and is worth another try.
 */
int scheduler_tick(struct scheduler *s, struct instant wall, int64_t boot_ms,
		   struct instant *ret_next, struct err *e) NONNULL(1, 4, 5)
	MUST_CHECK;

/*
 * A child ended: close its run, with another attempt where one is left.
 * stopping: the daemon itself asked it to end; the next one tries again.
 */
int scheduler_ended(struct scheduler *s, const struct supervisor_end *end,
		    bool stopping, struct instant wall, int64_t boot_ms,
		    struct err *e) NONNULL(1, 2, 6) MUST_CHECK;

#endif
