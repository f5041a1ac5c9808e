/*
 * A folder for one test, gone again at its end, with what is in it.
 *
 *	CLEANUP(scratch_done) struct scratch dir;
 *	scratch_init(&dir);
 *	path = scratch_path(&dir, "file", buffer);
 *
 * Under $SNAPCTL_TEST_SCRATCH, else $TMPDIR, else /tmp.
 */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include "base/attr.h"

#define SCRATCH_PATH 512

struct scratch {
	char path[SCRATCH_PATH];
};

void scratch_init(struct scratch *s) NONNULL(1);
void scratch_done(struct scratch *s) NONNULL(1);
/*
 * Remove root and everything below, however deep and also from read-only
 * folders.  Links are not followed.  Fails the test when something stays.
 */
void scratch_remove(const char *root) NONNULL(1);

static inline void cleanup_scratch_done(struct scratch *s)
{
	scratch_done(s);
}

/* out, holding the path of name inside. */
char *scratch_path(const struct scratch *s, const char *name,
		   char out[SCRATCH_PATH]) NONNULL(1, 2, 3);
/* How many entries the folder has. */
unsigned int scratch_count(const struct scratch *s) NONNULL(1);

#endif
