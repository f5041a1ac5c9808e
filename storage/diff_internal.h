/*
 * Private to storage/diff*.c: what both kinds of comparison share.
 */
#ifndef STORAGE_DIFF_INTERNAL_H
#define STORAGE_DIFF_INTERNAL_H

#include "storage/diff.h"
#include "storage/repository/content.h"

/* In what respect they differ, but for what files hold. */
unsigned int diff_aspects(const struct entry *a, const struct entry *b)
	NONNULL(1, 2);

/* Append all the bytes of a content; out's ceiling bounds them. */
int diff_whole(struct reader *nodes, struct reader *data,
	       const struct content *c, struct buf *out, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

#endif
