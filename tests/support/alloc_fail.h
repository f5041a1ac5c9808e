/*
 * Running a story again and again with another allocation failing each time.
 *
 * A program that depends on `alloc_fail` (tests/support/meson.build) has its
 * own calls of malloc and its relatives led through here by the linker; those
 * inside shared libraries are not reached.  Leaks that a failure leaves
 * behind are for the address sanitizer to find.  One thread counts: the one
 * that called alloc_fail_at().
 */
#ifndef TESTS_SUPPORT_ALLOC_FAIL_H
#define TESTS_SUPPORT_ALLOC_FAIL_H

#include <stdbool.h>

#include "base/err.h"

/* The nth allocation of this thread from now on fails, once; 0: none. */
void alloc_fail_at(unsigned int n);
/* Whether it came to that since alloc_fail_at(). */
bool alloc_fail_happened(void);

/*
 * Tell story with the 1st, 2nd, 3rd … allocation failing until one telling
 * needs no more.  It must return -1 with ERR_NO_MEMORY exactly when an
 * allocation failed; the number of failures is returned, and a story that
 * never allocates, or behaves otherwise, fails the Check test.
 */
unsigned int alloc_fail_each(int (*story)(void *arg, struct err *e), void *arg)
	NONNULL(1);

#endif
