/*
 * A local folder of files that say what was learnt when snapshots were taken,
 * one for each of the last few snapshots of a path, so that the next one can
 * be cheaper.
 *
 * None of them is ever the only place of anything.  Nobody but us may have
 * written to the folder: what another could have put there proves nothing.
 */
#ifndef STORAGE_SOURCES_KEPT_H
#define STORAGE_SOURCES_KEPT_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/object.h"

/* Files of one path that stay: several repositories may have it. */
#define KEPT_FILES 4

#define KEPT_MARK_DIGITS 16U
#define KEPT_NAME_BYTES \
	(KEPT_MARK_DIGITS + sizeof("-") + OBJECT_ID_TEXT - 1 + 4U)

struct kept {
	char *folder;
	char mark[KEPT_MARK_DIGITS + 1]; /* of the path */
	const char *ending;		 /* of names: ".map", say */
};

/*
 * What is known of a path, in that folder below `above`.  The ending has four
 * bytes and is the caller's; no other string is.
 */
int kept_init(struct kept *k, const char *above, const char *folder,
	      const char *ending, const char *path, struct err *e)
	NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;
void kept_done(struct kept *k) NONNULL(1);

/* A descriptor of the folder; ERR_NOT_FOUND, ERR_DENIED. */
int kept_open(const struct kept *k, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* The same, after making it where it is missing. */
int kept_make(const struct kept *k, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* What the file of that snapshot is called. */
void kept_name(const struct kept *k, struct object_id snapshot,
	       char out[KEPT_NAME_BYTES]) NONNULL(1, 3);

/*
 * After the file of `own` was written: drop those of this path but for the two
 * named here and the KEPT_FILES newest others; and what was left half-written.
 */
void kept_drop_old(const struct kept *k, int folder, struct object_id own,
		   struct object_id parent) NONNULL(1);

#endif
