/*
 * The frame of every Check program: list the cases, get a main().
 *
 *	START_TEST(adds) { ... } END_TEST
 *	static void cases(TCase *tc) { tcase_add_test(tc, adds); }
 *	CHECK_MAIN("base/buf", cases)
 *
 * No case has a time limit of its own: its program has one, in meson.build,
 * which is stretched where programs run slower.
 *
 * $SNAPCTL_TEST_CASE names the only case that is to run; where it is empty, the
 * program names its cases instead.
 */
#ifndef TESTS_SUPPORT_CHECK_MAIN_H
#define TESTS_SUPPORT_CHECK_MAIN_H

#include <check.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * fork() for a child of a case, which ends by _exit() or by a signal.  Each
 * assertion is a message in a file that both share: a child asserts only while
 * its parent waits for it, and one that goes on for ever asserts nothing.
 */
static inline pid_t check_fork_child(void)
{
	const pid_t pid = fork();

	if (pid < 0)
		ck_abort_msg("no child can be made");
	return pid;
}

/*
 * A case that tries every place in turn, to be killed at or to be damaged, does
 * so natively.  Under a sanitizer each costs five times as much, and what is
 * looked for are errors on the way, which many places share: there it tries
 * one in CHECK_EVERY, from check_first() on, 1 or a little more at random.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECK_EVERY 3
#endif
#endif
#ifndef CHECK_EVERY
#define CHECK_EVERY 1
#endif
static inline unsigned int check_first(void)
{
	unsigned int any = 0;

	(void)!getrandom(&any, sizeof(any), 0);
	return 1 + any % CHECK_EVERY;
}

/* Descriptors this process has open, this look included. */
static inline int check_open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n;
}

/*
 * Cases that run in this process, as under the sanitizers, must close what
 * they opened: neither those nor the linters see a descriptor that is lost.
 */
static inline int check_descriptors(SRunner *r, int before)
{
	const int after = check_open_descriptors();

	if (srunner_fork_status(r) != CK_NOFORK || after <= before)
		return 0;
	(void)fprintf(stderr, "%d descriptors stay open\n", after - before);
	return 1;
}

/*
 * Most tests write and sync without being about that: $SNAPCTL_TEST_MEMORY is a
 * folder in memory for them, and empty for those that are about disks.
 */
static inline void check_in_memory(void)
{
	const char *memory = getenv("SNAPCTL_TEST_MEMORY");

	if (memory && *memory && setenv("TMPDIR", memory, 1) < 0)
		abort();
}

static inline bool check_wanted(const char *name)
{
	const char *only = getenv("SNAPCTL_TEST_CASE");

	if (only && !*only)
		(void)printf("case %s\n", name);
	return !only || strcmp(only, name) == 0;
}

/* A name that no case has must not pass for a case that went well. */
static inline int check_nothing_ran(SRunner *r)
{
	const char *only = getenv("SNAPCTL_TEST_CASE");

	if (srunner_ntests_run(r) > 0 || !only || !*only)
		return 0;
	(void)fprintf(stderr, "there is no case %s\n", only);
	return 1;
}

#undef tcase_add_test
#define tcase_add_test(tc, f)                                      \
	do {                                                       \
		if (check_wanted(#f))                              \
			tcase_add_test_raise_signal((tc), (f), 0); \
	} while (0)
#undef tcase_add_loop_test
#define tcase_add_loop_test(tc, f, s, e)                                    \
	do {                                                                \
		if (check_wanted(#f))                                       \
			tcase_add_loop_test_raise_signal((tc), (f), 0, (s), \
							 (e));              \
	} while (0)

static inline int check_main(const char *name, void (*add_cases)(TCase *))
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *r = srunner_create(s);
	const int before = check_open_descriptors();
	int failed;

	check_in_memory();
	(void)umask(022); /* whatever the user's: modes are compared */
	tcase_set_timeout(tc, 0);
	add_cases(tc);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r) + check_descriptors(r, before) +
		 check_nothing_ran(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define CHECK_MAIN(name, add_cases)                 \
	int main(void)                              \
	{                                           \
		return check_main(name, add_cases); \
	}

/* A call that must succeed, showing the error text when it does not. */
#define ck_ok(call)                                            \
	do {                                                   \
		if ((call) < 0)                                \
			ck_abort_msg("%s: %s", #call, e.text); \
	} while (0)

/*
 * End a case that cannot run on this machine; ./dev test counts it, and on CI
 * and for a root of all rights takes it for a failure unless
 * tests/skips_allowed names it.
 */
#define ck_skip(name, reason)                                   \
	do {                                                    \
		(void)printf("SKIPPED %s: %s\n", name, reason); \
		(void)fflush(stdout);                           \
		return;                                         \
	} while (0)

#endif
