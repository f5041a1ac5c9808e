/*
 * What a run's process gives up before each of its steps.
 *
 * Hidden here: which folders a run has to do with.
 *
 * A step reads bytes that nobody vouches for, names of files and objects of a
 * region, in a process that holds keys and is often root's. So it keeps what it
 * needs, and nothing else (base/sandbox.h):
 *
 *	snapshot	reads everything; writes to the regions, the state and
 *			cache folders, and where temporary files go
 *	replicate, verify, retain, report, gc
 *			read those, the system's own folders and the keys only
 *	drill		so, too, and gives owners, modes and devices, below the
 *			state folder; not the regions that it shuts away
 *
 * None of them starts programs, but for two. What hooks, commands and
 * providers of volumes need is the administrator's to say, sudo or mount among
 * it, and what a process gave up its children do not get back: another process
 * starts them (starter.h), forked before; where that could not be had, the run
 * is not confined before the last of its sources that have such was taken. And
 * a drill's commands are confined as the drill is, though they may read and
 * execute everything, and write to the temporary folders; they run as nobody
 * where no user is named, and have no other job than to look.
 *
 * What is mounted on one of its places while a run is confined is none of them.
 */
#ifndef SERVICE_RUN_CONFINE_H
#define SERVICE_RUN_CONFINE_H

#include "base/attr.h"
#include "base/err.h"
#include "service/run.h"

/*
 * Before a step, of the source of that index or of the run as a whole (0).
 * What could not be given up is logged, and the run goes on; -1 only for want
 * of memory.
 */
int run_confine(struct run *r, const struct run_step *step, size_t source,
		struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
/* Tell the daemon's log what its runs give up. */
void run_confine_announce(const struct config *config) NONNULL(1);

#endif
