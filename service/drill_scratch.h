/*
 * The folder that a drill restores into.
 *
 * Each is a folder of its own, 0700, named "drill-RUN-PROCESS" within the
 * one folder that drills are told to use.  Whoever restores there holds a
 * lock on it that dies with the process; one that nobody holds was left by a
 * drill that was killed, and goes when the next one begins.  Nothing else in
 * that folder is ever touched.
 *
 * Removing follows no symlink, leaves no mount point, needs two descriptors
 * however deep the tree is, and takes folders without permissions, too.
 */
#ifndef SERVICE_DRILL_SCRATCH_H
#define SERVICE_DRILL_SCRATCH_H

#include <limits.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct drill_scratch {
	char path[PATH_MAX]; /* "" when there is none */
	char root[PATH_MAX]; /* within it, not made yet: restore into it */
	char name[64];
	int parent_fd, fd;
	struct err left; /* why something of earlier drills is still there */
};

/* Make parent if need be, remove what earlier drills left, make a new one. */
int drill_scratch_make(struct drill_scratch *s, const char *parent, int64_t run,
		       struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
/* Remove it; -1 when something could not be, which the next drill tries, and
 * all else is gone. */
int drill_scratch_remove(struct drill_scratch *s, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/* Remove what killed drills left in parent; 0 also when there is no parent. */
int drill_scratch_clean(const char *parent, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

#endif
