/*
 * What differs between two texts, line by line, and as a unified diff.
 *
 * Hidden here: how few lines are found that must go and come.  The lines that
 * both begin and end with are set aside; then E. W. Myers, "An O(ND)
 * Difference Algorithm and Its Variations" (Algorithmica 1, 1986), in the
 * variant that takes linear space: the middle of a shortest way is looked for
 * from both ends, and each half then done the same way.
 *
 * Lines are compared with their newlines, so that a last line without one
 * differs from the same line with one.
 *
 * Cost: (lines + lines) × differences, but never more than LINES_WORK steps:
 * what is left then counts as replaced, and the result is still right, only
 * longer than it need be.  Memory: some 20 bytes a line.
 *
 * Pure: bytes in, bytes out.  It knows neither files nor what a line means.
 */
#ifndef STORAGE_LINES_H
#define STORAGE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* Unchanged lines shown around what changed, as diff -u does. */
#define LINES_CONTEXT 3
/* Some tenths of a second; texts that differ in 4000 lines of 10000 stay
 * below it. */
#define LINES_WORK ((int64_t)50 << 20)
/* Bytes of one text. */
#define LINES_TEXT_MAX ((size_t)64 << 20)

/* A text cut into lines; each has its newline, but for the last one maybe. */
struct lines {
	const uint8_t *bytes; /* borrowed */
	uint32_t *at;	      /* n + 1: line i is at[i] … at[i + 1] */
	size_t n;
};

/* ERR_USAGE for more than LINES_TEXT_MAX bytes. */
int lines_split(const void *bytes, size_t n, struct lines *ret, struct err *e)
	NONNULL(3, 4) MUST_CHECK;
/* All zero is fine. */
void lines_done(struct lines *x) NONNULL(1);
static inline void cleanup_lines_done(struct lines *x)
{
	lines_done(x);
}

/* In the place of a_n lines from a on come b_n lines from b on. */
struct lines_change {
	size_t a, a_n;
	size_t b, b_n;
};

/* Ascending; at least one line lies between two of them. */
struct lines_changes {
	struct lines_change *v;
	size_t n;
	size_t removed; /* lines, in all */
	size_t added;
	bool rough; /* the bound of work was met: they are not the fewest */
};

int lines_compare(const struct lines *a, const struct lines *b,
		  struct lines_changes *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
void lines_changes_done(struct lines_changes *x) NONNULL(1);
static inline void cleanup_lines_changes_done(struct lines_changes *x)
{
	lines_changes_done(x);
}

/*
 * Append the hunks as diff -u writes them; the two lines above them that name
 * the files are the caller's.  a and b may be what is shown of the texts that
 * were compared: as many lines, of other bytes.  A hunk in which what goes and
 * what comes then look alike says so behind its second "@@".
 */
int lines_unified(const struct lines_changes *x, const struct lines *a,
		  const struct lines *b, struct buf *out, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

#endif
