/*
 * Any allocation of the process failing: those of shared libraries and of
 * other threads, too, which alloc_fail.h does not reach.
 *
 * A program that depends on `alloc_all` (tests/support/meson.build) brings the
 * malloc() family with it, and so replaces that of the C library for all that
 * is loaded.  A sanitizer has done that already: there nothing ever fails, and
 * alloc_all_works() says so.
 */
#ifndef TESTS_SUPPORT_ALLOC_ALL_H
#define TESTS_SUPPORT_ALLOC_ALL_H

#include <stdbool.h>

bool alloc_all_works(void);
/* The nth allocation from now on fails, once; 0: none, but all are counted. */
void alloc_all_fail_at(unsigned int n);
/*
 * What that library asks for itself ("libx.so") does not fail: for one that
 * does not survive it, which is not for us to mend.
 */
void alloc_all_spare(const char *library);
/* Nor what others ask for it, on this thread, until that is taken back. */
void alloc_all_rest(bool rests);
/* Whether it came to that since. */
bool alloc_all_happened(void);
/* Ends it; how many allocations were counted. */
unsigned int alloc_all_end(void);
/* Allocations that were not freed yet. */
long alloc_all_live(void);

#endif
