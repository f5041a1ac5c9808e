/*
 * The steps of runs, one file each; service/run.h says what a step is and
 * how to add one.
 */
#ifndef SERVICE_STEP_H
#define SERVICE_STEP_H

#include "service/run.h"

/* Of a schedule, for each source: takes the snapshot. */
run_function step_snapshot;
/* Once, for all regions: copies what they lack. */
run_function step_replicate;
/* Once, for all regions: reads what is new or due, and dates their copies. */
run_function step_verify;
/* Once, for all sources: deletes what their policies let go of. */
run_function step_retain;
/* Once: leaves in the repository what `catalog rebuild` needs. */
run_function step_report;

/*
 * In builds with test hooks: what SNAPCTL_TEST_RUN says (or, for a schedule
 * NAME, SNAPCTL_TEST_RUN_NAME), word by word, one
 * for each attempt ("fail", "hang", "ignore" SIGTERM, "crash", "partial",
 * "sleep:MS", "read:PATH", "write:PATH"); the last word also for all later
 * attempts.
 */
run_function step_rehearse;

/* In every region: gives back the space of what no snapshot needs. */
run_function step_gc;

/* Restore from a region, look at it, record the evidence: service/drill.h. */
run_function step_drill;

#endif
