/*
 * The process that starts programs for a run that is confined.
 *
 * What a process gave up, those that it starts do not get back, and hooks,
 * dumps and providers of volumes may need all of it (run_confine.h). So before
 * it is confined a run of sources with such programs forks this one, which
 * holds no key and reads nothing but what the run asks for; from then on
 * child_start() and the guardians of hooks come from here, as its children.
 *
 * It believes the run nothing: it starts what the sources, as they were read
 * before the fork, declare, argument by argument, for that user and with that
 * environment; of a volume's programs the snapshot's name is the run's to say,
 * and only of the form that volume.h has. So a run that was taken over can have
 * these programs run once more, which its schedule does anyway, and no others.
 *
 * It dies with the run, and the programs with it, but for guardians, as ever.
 */
#ifndef SERVICE_STARTER_H
#define SERVICE_STARTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/run.h"

/* Whether a source, or any of the run's, has programs to start. */
bool starter_is_needed_for(const struct resource_source *s) NONNULL(1);
bool starter_is_needed(const struct run *r) NONNULL(1);
/* Once, before there are threads or keys. */
int starter_begin(const struct run *r, struct err *e) NONNULL(1, 2) MUST_CHECK;
bool starter_is_there(void);

/*
 * Have a guardian follow a plan (guardian.h), with its socket and journal,
 * which stay the caller's.  ERR_DENIED when no source declares it.
 */
int starter_guard(int fd, int journal_fd, const char *plan, pid_t *ret,
		  struct err *e) NONNULL(3, 4, 5) MUST_CHECK;
/* Until that guardian has ended. */
void starter_wait(pid_t guardian);

/*
 * What it is asked for, as JSON: {"argv","environment","user"}, or a plan.
 * Whether the sources of a run declare it.
 */
bool starter_may_start(const struct run *r, const char *request) NONNULL(1, 2);
bool starter_may_guard(const struct run *r, const char *plan) NONNULL(1, 2);

#endif
