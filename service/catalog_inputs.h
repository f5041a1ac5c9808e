/*
 * What evaluations were made with: a text each, stored once however many
 * evaluations share it, and as what differs from an earlier one where that is
 * less.
 *
 * Evaluation number p since the last whole text is told as what differs from
 * number p & (p - 1), as in a binary indexed tree (Fenwick 1994): so the nth
 * is put together in at most log2 n steps, and where each changes as much as
 * the one before, n of them take n log n.  Every 256th is whole, so that a
 * segment that is lost takes no more with it.
 */
#ifndef SERVICE_CATALOG_INPUTS_H
#define SERVICE_CATALOG_INPUTS_H

#include "base/buf.h"
#include "service/catalog_internal.h"
#include "service/catalog_keep.h"

/* Store v's inputs, for v itself is not stored yet; within a transaction. */
int catalog_inputs_put(struct catalog *c, const struct catalog_evaluation *v,
		       int64_t *ret_id, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/*
 * The text of a row, which has the hash that the row tells, appended to ret:
 * nothing, unless it is there.
 */
int catalog_inputs_get(struct catalog *c, int64_t id, struct buf *ret,
		       enum catalog_inputs_state *ret_state, struct err *e)
	NONNULL(1, 3, 4, 5) MUST_CHECK;

#endif
