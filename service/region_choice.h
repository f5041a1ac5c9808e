/*
 * Which region is read, when it need not be the primary one.  Pure.
 *
 * The primary has everything first, so it is asked first, unless another is
 * known to hold a newer "latest": one that runs wrote to while the primary was
 * away.  When it cannot be had, the others follow: those that answered and are
 * sound before those that did not or are damaged, then by how often they
 * failed and, roughly, how long they take.  That is what was known; whether a
 * region can be read now, only opening it tells.
 */
#ifndef SERVICE_REGION_CHOICE_H
#define SERVICE_REGION_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"

/* What is known of one region; zeros where nothing is. */
struct region_fact {
	bool primary;
	bool failed;		 /* the last contact did */
	bool damaged;		 /* the last check found damage */
	unsigned int failures;	 /* of the last contacts, in a thousand */
	int64_t latency_ms;	 /* of those that succeeded */
	struct instant received; /* of the newest that is asked for, or 0 */
};

/*
 * The order in which n regions are asked, as indices; is_latest: for the
 * newest snapshot, so that who holds a newer one comes first.
 */
void region_choice_order(const struct region_fact *facts, size_t n,
			 bool is_latest, size_t *ret_order) NONNULL(1, 4);

/*
 * Whether a failure to open a region, or to find a snapshot in it, says
 * nothing about the others: it is away, not permitted, no region, damaged, or
 * lacks the snapshot.  A wrong key is wrong everywhere.
 */
bool region_choice_is_away(const struct err *why) NONNULL(1);

/*
 * What a contact adds to what is known: failures in a thousand and latency,
 * each by an eighth, so that the last dozen or so counts.  took_ms -1: it
 * failed.
 */
void region_choice_learn(struct region_fact *io, bool is_first, int64_t took_ms)
	NONNULL(1);

#endif
