/*
 * Memory that is given back all at once: for trees built from one input.
 *
 * Nothing is freed by itself, nothing moves.  The ceiling bounds what one
 * input can make us hold; reaching it is ERR_USAGE, for the input is to
 * blame.
 */
#ifndef SERVICE_ARENA_H
#define SERVICE_ARENA_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

struct arena_block;
struct arena {
	struct arena_block *newest;
	size_t total; /* bytes asked of malloc */
	size_t max;
};

void arena_init(struct arena *a, size_t max) NONNULL(1);
void arena_done(struct arena *a) NONNULL(1);

/* n zeroed bytes, aligned for anything; NULL with *e. */
void *arena_new(struct arena *a, size_t n, struct err *e) NONNULL(1, 3)
	MUST_CHECK;
/* A copy of n bytes with a NUL behind it. */
char *arena_text(struct arena *a, const void *bytes, size_t n, struct err *e)
	NONNULL(1, 4) MUST_CHECK;

#endif
