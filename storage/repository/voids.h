/*
 * What a session that was given up leaves behind: which of its index objects,
 * manifests and undeletes count (FORMAT.md §10).
 *
 * Voids are listed by name, and read only when something of their session is
 * there: most sessions end well, and most of what the others left was merged
 * long ago.
 */
#ifndef STORAGE_REPOSITORY_VOIDS_H
#define STORAGE_REPOSITORY_VOIDS_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"
#include "storage/stores/store.h"

struct voids;

/* List them: what was voided before this call is known to the result. */
int voids_read(struct store *s, const struct keys *k, struct voids **ret,
	       struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
void voids_free(struct voids *v);
DEFINE_CLEANUP(struct voids *, voids_free);

enum voids_answer {
	VOIDS_COUNTS,
	VOIDS_DOES_NOT,
	/* A void of its session does not open: it counts, but what is to be
	 * stored must not rely on it. */
	VOIDS_IN_DOUBT,
};
/*
 * Whether an object of that session counts: an index object by its id, a
 * manifest by its snapshot, an undelete by its own.  One thread at a time.
 */
int voids_judge(struct voids *v, struct object_id session,
		struct object_id object, enum voids_answer *ret, struct err *e)
	NONNULL(1, 4, 5) MUST_CHECK;

/* Whether the session has a void, of whatever content. */
bool voids_has(const struct voids *v, struct object_id session) NONNULL(1);

#endif
