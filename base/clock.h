/*
 * The two clocks.  Wall time can jump; boot time only runs (it counts
 * suspend), so waits, leases and jumps of the wall clock are measured on it.
 *
 * Pure code never calls these: it takes `now`.  For scenario tests the wall
 * clock can be shifted with SNAPCTL_TEST_CLOCK (seconds to add, or "@FILE"
 * whose contents are that number, read again at each call); programs built
 * for release (-Dtest_hooks=false) ignore it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/instant.h"

struct instant clock_now(void);
int64_t clock_boot_ms(void);
/* Sleep on the boot clock; returns early when a signal arrives. */
void clock_sleep_ms(int64_t ms);

#endif
