/*
 * A limit of bytes a second, as arithmetic: whoever has moved some bytes is
 * told how long to rest.  Knows no clock and never sleeps, so that it is
 * tested by counting.
 *
 * The rest is reckoned from a point that runs ahead of the clock by what was
 * moved (the generic cell rate algorithm, ITU-T I.371), so no more than the
 * limit times the time, one burst, and the last piece of each mover ever
 * passes.  One thread at a time.
 */
#ifndef STORAGE_RATE_H
#define STORAGE_RATE_H

#include <stdint.h>

#include "base/attr.h"

/* A quarter of a second may pass at once: it evens out uneven movers. */
#define RATE_BURST_US 250000

struct rate {
	uint64_t bytes_per_s; /* 0: no limit */
	int64_t ahead_us;     /* when all that was moved is paid for */
};

void rate_init(struct rate *r, uint64_t bytes_per_s) NONNULL(1);
/* n bytes were moved by now_us: the microseconds to rest, 0 for none. */
int64_t rate_moved(struct rate *r, uint64_t n, int64_t now_us) NONNULL(1);

#endif
