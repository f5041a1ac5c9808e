/*
 * What a power cut may leave of the folders that a story writes to.
 *
 * All that passes base/seam.h while the story runs is recorded, with the
 * bytes.  Then the story is cut after each of its calls in turn, and for each
 * cut the folders are made as a disk may hold them that forgets whatever was
 * not synced, call by call:
 *
 *   - what was written to a file, how it was truncated, and what guards it
 *     (stores/local_guard.c), is certain once the file was synced later; a name
 * in a folder (made, removed, moved) once the folder was.  A rename is one
 * change of both its folders, and certain with either, as every journalled file
 * system has it.  That a file was synced makes none of its names certain.
 *   - what is not certain is there or not, each for itself, in any order;
 *     and the last write of all may be torn: the first half of it, or the
 *     length of it as zeros.
 *
 * This is the weakest disk that POSIX describes, as in Pillai and others, "All
 * File Systems Are Not Created Equal", OSDI 2014.  A sync that failed can be
 * imitated too (power_cut_sync_failed()).  Not imitated: blocks that rot, and a
 * disk that loses what it said was synced (for that: storage/stores/fault.h).
 *
 * Of the 2^n disks that n uncertain changes make, these are looked at: none
 * and all of them; only those of names, only those of bytes; each of the last
 * few alone, and all but it; torn last writes; a few at random.  The same disk
 * is looked at once.
 */
#ifndef TESTS_SUPPORT_POWER_CUT_H
#define TESTS_SUPPORT_POWER_CUT_H

#include <stddef.h>

#include <stdlib.h>

#include "base/attr.h"
#include "tests/support/check_main.h"

struct power_cut;

/*
 * Record from now on what is done below root, which holds few and small
 * files: all that is there counts as certain.
 */
struct power_cut *power_cut_record(const char *root) NONNULL(1);
/* The story was told that what it did so far is safe; counted from 1. */
void power_cut_acknowledge(struct power_cut *p) NONNULL(1);
/*
 * fsync(2) of fd failed.  What was not certain of that file or folder is lost
 * by then, and no later sync of it that works makes it certain: the kernel told
 * once, and forgot.  As in Rebello and others, "Can Applications Recover from
 * fsync Failures?", USENIX ATC 2020.
 */
void power_cut_sync_failed(struct power_cut *p, int fd) NONNULL(1);
/* The story is over.  Files that were not recorded there fail the test. */
void power_cut_stop(struct power_cut *p) NONNULL(1);

/*
 * A disk after a cut, as a folder like root, which is the check's own and may
 * be changed; acknowledged of it is safe, by its count.
 */
typedef void power_cut_check(void *arg, const char *root,
			     unsigned int acknowledged);
/*
 * Check the disks of all cuts, each at a path where nothing is; at most `most`
 * of them (0: all), spread over the story.  How many were looked at.
 */
unsigned int power_cut_each(struct power_cut *p, const char *at,
			    unsigned int most, power_cut_check *check,
			    void *arg) NONNULL(1, 2, 4);
/* `most`, or 0 when SNAPCTL_TEST_FULL asks for all. */
static inline unsigned int power_cut_full(unsigned int most)
{
	return getenv("SNAPCTL_TEST_FULL") ? 0 : most / CHECK_EVERY;
}
/* Calls that were recorded: so many cuts there are. */
size_t power_cut_calls(const struct power_cut *p) NONNULL(1);
/* In words, what the disk is that is being looked at: for messages. */
const char *power_cut_describe(const struct power_cut *p) NONNULL(1);
void power_cut_free(struct power_cut *p);

#endif
