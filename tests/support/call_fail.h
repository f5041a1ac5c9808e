/*
 * Running a story again and again with another call to the system failing, or
 * moving half of the bytes, each time.
 *
 * A program that depends on `call_fail` (tests/support/meson.build) has its
 * own calls about files led through here by the linker, reading ones as well
 * as those of base/seam.h; those inside shared libraries are not reached.
 * Calls of all threads count together, from call_fail_at() on.
 */
#ifndef TESTS_SUPPORT_CALL_FAIL_H
#define TESTS_SUPPORT_CALL_FAIL_H

#include <stdbool.h>

/* Instead of an errno: the call moves half of its bytes, and succeeds. */
#define CALL_SHORT (-1)

/*
 * The nth call from now on fails with an errno, once; 0: none.  With
 * CALL_SHORT only calls that move several bytes are counted.
 */
void call_fail_at(unsigned int n, int sys);
/* The name of the function that failed since, or NULL: so many were made. */
const char *call_fail_happened(void);
/* Ends it; how many were counted. */
unsigned int call_fail_end(void);

#endif
