/*
 * Included first everywhere in the build that counts which lines are reached,
 * and in no other, where the linker has it in the place of _exit(): children
 * that end by that write their counts, too.  Those that are killed do not.
 */
#ifndef TESTS_SUPPORT_COVERAGE_H
#define TESTS_SUPPORT_COVERAGE_H

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status) __attribute__((weak));

void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}

#endif
