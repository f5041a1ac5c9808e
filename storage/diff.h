/*
 * What differs between two trees of one repository, and who matches a name.
 *
 * Both trees are walked in one pass; leaves that they share are skipped
 * unread, so comparing two snapshots costs what changed between them.
 */
#ifndef STORAGE_DIFF_H
#define STORAGE_DIFF_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/repository/entry.h"
#include "storage/repository/repository.h"

/* Bits: in what respect an entry changed. */
enum diff_aspect {
	DIFF_TYPE = 1,
	DIFF_CONTENT = 2, /* bytes, link target or device numbers */
	DIFF_MODE = 4,
	DIFF_OWNER = 8,
	DIFF_TIME = 16,
	DIFF_XATTRS = 32,
	DIFF_LINKS = 64, /* joined or left a hard-link group */
};

/* One entry that differs; borrowed by whoever visits it. */
struct diff_change {
	const struct entry *before; /* NULL: it was added */
	const struct entry *after;  /* NULL: it was removed */
	unsigned int aspects;	    /* when both are given */
	/* What is there now could not be had, and why; else NULL.  Nothing is
	 * known of it then but its path and type. */
	const char *unreadable;

	/* diff_read()'s. */
	int (*read)(void *arg, bool after, struct buf *out, struct err *e);
	void *read_arg;
};

/* Returns 0 to go on, -1 to fail. */
typedef int diff_visit(void *arg, const struct diff_change *c, struct err *e);

/* In the order of paths.  ERR_CORRUPT when a node cannot be read. */
int diff_run(struct repository *r, const struct manifest_root *before,
	     const struct manifest_root *after, diff_visit *visit, void *arg,
	     struct err *e) NONNULL(1, 2, 3, 4, 6) MUST_CHECK;

/* Files that are read whole; larger ones are not. */
#define DIFF_READ_MAX ((size_t)1 << 20)
/*
 * While c is visited: append what the file held before, or holds after.  1; 0
 * when it is no file, is larger than DIFF_READ_MAX, is unreadable, or cannot be
 * read any more; -1.
 */
int diff_read(const struct diff_change *c, bool after, struct buf *out,
	      struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

/* "content", "mode", … for one bit. */
const char *diff_aspect_name(unsigned int bit) RETURNS_NONNULL;

#endif
