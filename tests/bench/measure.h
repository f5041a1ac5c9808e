/*
 * What something costs, measured in a process of its own: so that its memory
 * and its bytes are no one else's, and nothing is warm that it does not warm
 * itself.  tests/bench/scale.py reads the lines that are printed.
 */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stdint.h>

#include "base/attr.h"

/* Ends the process when it fails, with a message. */
typedef void measure_run(void *arg);

/*
 * Run it, and print: what, n, seconds on the wall and of the processor, the
 * most anonymous memory (as seen every 5 ms), bytes that were read and
 * written by system calls.  Ends this process, too, when run does not return.
 * Nothing that may not cross fork() is open (a catalog), and no thread runs.
 */
void measure(const char *what, uint64_t n, measure_run *run, void *arg)
	NONNULL(1, 3);

/* Within run: what was done so far was only to get there. */
void measure_begin(void);

#endif
