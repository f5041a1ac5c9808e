/*
 * The child processes that do the runs.
 *
 * Each run is a process of its own, `snapctld --run ID`, in a process group
 * of its own, with its output in STATE/runs/ID.log.  A child does nothing
 * before its process is written down in the catalog, is asked to stop by
 * SIGTERM and made to by SIGKILL when its time is over, and dies with the
 * daemon.  Nothing here ever waits: children are looked at when SIGCHLD says
 * so.
 *
 * A process that hangs in the kernel, in a mount that died, say, gets SIGKILL
 * and stays.  It does nothing of its own any more, whenever it wakes; so two
 * seconds later it counts as ended, and nobody waits for it.
 *
 * Deliberately without knowledge of schedules, retries, or what a run does.
 */
#ifndef SERVICE_SUPERVISOR_H
#define SERVICE_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

struct supervisor;

struct supervisor_settings {
	const char *log_folder; /* made if missing */
	int64_t grace_ms;	/* from SIGTERM to SIGKILL */
};

int supervisor_new(const struct supervisor_settings *settings,
		   struct supervisor **ret, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
/* Kills what is still there. */
void supervisor_free(struct supervisor *s);
/*
 * Give the children from now on these n arguments, which are copied, before
 * "--run" and the run's number.
 */
int supervisor_set_arguments(struct supervisor *s, char *const *arguments,
			     size_t n, struct err *e) NONNULL(1, 4) MUST_CHECK;
DEFINE_CLEANUP(struct supervisor *, supervisor_free);

/*
 * Start the process of a run, which waits for supervisor_go(); hand out its
 * id and its start time in the kernel's ticks, which tell it from a later
 * process of the same id.
 */
int supervisor_start(struct supervisor *s, int64_t run, pid_t *ret_pid,
		     int64_t *ret_start, struct err *e) NONNULL(1, 3, 4, 5)
	MUST_CHECK;
/* Let it begin; or, with go false, make it end without having begun. */
void supervisor_go(struct supervisor *s, int64_t run, bool go) NONNULL(1);
/* SIGTERM now, SIGKILL when the grace is over; once. */
void supervisor_cancel(struct supervisor *s, int64_t run, int64_t now_ms)
	NONNULL(1);
void supervisor_cancel_all(struct supervisor *s, int64_t now_ms) NONNULL(1);
/*
 * SIGKILL those whose grace is over, and give up those that do not die of it;
 * when to call again, or INT64_MAX.
 */
int64_t supervisor_enforce(struct supervisor *s, int64_t now_ms) NONNULL(1);

struct supervisor_end {
	int64_t run;
	int exit_status; /* or -1 when a signal ended it */
	int signal;
	bool cancelled; /* it was asked to stop */
	pid_t lingers;	/* its process, which SIGKILL did not end yet; or 0 */
};
/* Take one child that ended: 1, or 0 when there is none. */
int supervisor_reap(struct supervisor *s, struct supervisor_end *ret)
	NONNULL(1, 2);
size_t supervisor_count(const struct supervisor *s) NONNULL(1);
bool supervisor_has(const struct supervisor *s, int64_t run) NONNULL(1);

/* The start time of a process, or -1 when there is none of that id. */
int64_t supervisor_process_start(pid_t pid);

#endif
