/*
 * Rounds of a property test: some in each test run, or as many as fit into
 * $SNAPCTL_TEST_SECONDS, for `./dev trees` and `./dev time`.
 */
#ifndef TESTS_SUPPORT_LONG_RUN_H
#define TESTS_SUPPORT_LONG_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

struct long_run {
	uint64_t rounds; /* begun */
	uint64_t most;	 /* where no time is given */
	int64_t seconds; /* 0: none is given */
	int64_t begun_ms;
	int64_t told_ms;
};

static inline struct long_run long_run_of(uint64_t rounds)
{
	const char *seconds = getenv("SNAPCTL_TEST_SECONDS");

	return (struct long_run){
		.most = rounds,
		.seconds = seconds ? strtoll(seconds, NULL, 10) : 0,
		.begun_ms = clock_boot_ms(),
		.told_ms = clock_boot_ms(),
	};
}

/* Whether to begin another round. */
static inline bool long_run_next(struct long_run *l)
{
	const int64_t now = clock_boot_ms();
	const bool more = l->seconds ? now - l->begun_ms < l->seconds * 1000
				     : l->rounds < l->most;

	if (l->seconds && (now - l->told_ms >= 60000 || !more)) {
		(void)printf("%ju rounds in %jd s\n", (uintmax_t)l->rounds,
			     (intmax_t)((now - l->begun_ms) / 1000));
		(void)fflush(stdout);
		l->told_ms = now;
	}
	l->rounds += more;
	return more;
}

#endif
