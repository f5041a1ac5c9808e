/*
 * Folders that a snapshot of files leaves out since the service writes them
 * itself: a repository within what it protects would hold itself.
 *
 * Hidden here: they are told by what they are, never by how they are written.
 * A region may be named by a relative path, through a symlink or a mount, or
 * as a URL with any capitals and percent-encoded bytes.
 */
#ifndef SERVICE_OWN_FOLDERS_H
#define SERVICE_OWN_FOLDERS_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/resource.h"
#include "storage/sources/files.h"
#include "storage/stores/store.h"

struct own_folders {
	struct files_identity *list; /* for files_options.skip */
	char **paths;		     /* of each; NULL: it is not known */
	size_t count;
};

/* All zero is empty. */
void own_folders_done(struct own_folders *x) NONNULL(1);

/* What path leads to; nothing when that is no folder.  path may be NULL. */
int own_folders_add_path(struct own_folders *x, const char *path, struct err *e)
	NONNULL(1, 3) MUST_CHECK;
/* Where the store lies, if on this machine. */
int own_folders_add_store(struct own_folders *x, const struct store *s,
			  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Those of another list that lie below a path, as they are in a copy of it. */
int own_folders_move(struct own_folders *x, const struct own_folders *from,
		     const char *path, const char *copy, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* A region, if it can be reached on this machine. */
int own_folders_add_region(struct own_folders *x,
			   const struct resource_region *region, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Each region of a Repository. */
int own_folders_add_regions(struct own_folders *x,
			    const struct resource *repository, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
