/*
 * What is shown of a file that differs: a unified diff, with secrets masked.
 *
 * Hidden here: what counts as text, how much of it, and that lines are compared
 * as they are and shown as mask.h lets them.  So a password that was changed
 * is a line that changed, whose value is not told on either side.
 *
 * Text is what file(1) takes for it: no NUL, and of the control bytes those
 * that terminals and printers know (\a \b \t \n \v \f \r, ESC).  It need not be
 * UTF-8.  All else is binary, and files above DIFF_READ_MAX are too large.  A
 * symlink's target is a text of one line.
 *
 * The text is for patch(1) as for people: bytes are as they are, and it is the
 * renderer's to make them harmless on a terminal.  Only names in the two lines
 * at its head are quoted, as diff does, where they would break the line.
 */
#ifndef SERVICE_UNIFIED_H
#define SERVICE_UNIFIED_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "service/mask.h"
#include "storage/diff.h"

struct unified {
	struct buf text;
	size_t added; /* lines */
	size_t removed;
	const char *instead; /* why there is no text; else NULL */
};

void unified_init(struct unified *x) NONNULL(1);
void unified_done(struct unified *x) NONNULL(1);
static inline void cleanup_unified_done(struct unified *x)
{
	unified_done(x);
}

/*
 * While c is visited.  1; 0 when what it holds is not what changed, or both
 * sides are empty; -1.
 */
int unified_make(const struct diff_change *c, const struct mask *m,
		 struct unified *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/*
 * As members of an object: lines_added, lines_removed, and diff (diff_b64
 * where it is not UTF-8), or note.
 */
void unified_write(const struct unified *x, struct json *j) NONNULL(1, 2);

#endif
