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
	/* Why nothing could be written to it when a run last tried, or "". */
	char unwritable[200];
	/* In a word, where that is not empty: "full", "busy", "read-only". */
	char refusal[16];
};

/*
 * The order in which n regions are asked, as indices; is_latest: for the
 * newest snapshot, so that who holds a newer one comes first.
 */
void region_choice_order(const struct region_fact *facts, size_t n,
			 bool is_latest, size_t *ret_order) NONNULL(1, 4);

/*
 * Which failures say nothing about the other regions, so that one of those is
 * taken instead: to read, to write when the region does not open, and to write
 * when it did and then refused, or went (struct err's of_store: what a source,
 * a hook or the disk for temporary files failed with, it fails with anywhere).
 *
 *	failure    read  opening  writing  why
 *	busy       yes   yes      yes      it does not answer, or not in time
 *	io         yes   yes      yes      its disk, or the way to it, is ill
 *	denied     yes   yes      yes      rights were taken there, credentials
 *					   ended, a certificate is no good, a
 *					   disk turned read-only
 *	not-found  yes   yes      yes      no such bucket, an empty mount point;
 *					   to read, the snapshot is not there
 *	full       -     yes      yes      disk full, quota used up: what is
 *					   there can be read all the same
 *	corrupt    yes   yes      -        it does not open: nothing is
 *protected until it is mended. Once it did, runs write around damage, and heal
 *it usage      -     yes      -        something else than a region is where it
 *was, or the bucket has moved bad-key    -     -        -        is wrong
 *everywhere, or a stranger's repository lies there: both are for a person to
 *look at before any writing newer      -     -        -        a newer program
 *has taken over there others     -     -        -        they are ours: memory,
 *a signal, a bug
 */
enum region_use { REGION_READ, REGION_OPEN_TO_WRITE, REGION_WRITE };
bool region_choice_is_away(const struct err *why, enum region_use use)
	NONNULL(1);

/*
 * What a contact adds to what is known: failures in a thousand and latency,
 * each by an eighth, so that the last dozen or so counts.  took_ms -1: it
 * failed.
 */
void region_choice_learn(struct region_fact *io, bool is_first, int64_t took_ms)
	NONNULL(1);

#endif
