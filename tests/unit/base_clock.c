#include "base/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/check_main.h"

static int64_t wall_s(void)
{
	struct timespec t;

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &t), 0);
	return t.tv_sec;
}

START_TEST(tells_wall_time)
{
	const int64_t before = wall_s();
	const struct instant now = clock_now();

	ck_assert_int_ge(now.sec + 1, before);
	ck_assert_int_le(now.sec, wall_s());
	ck_assert_uint_lt(now.nsec, 1000000000);
}
END_TEST

START_TEST(boot_time_only_runs)
{
	int64_t last = clock_boot_ms();

	for (int i = 0; i < 1000; i++) {
		const int64_t now = clock_boot_ms();

		ck_assert_int_ge(now, last);
		last = now;
	}
	clock_sleep_ms(20);
	ck_assert_int_ge(clock_boot_ms(), last + 19);
	clock_sleep_ms(0);
	clock_sleep_ms(-5);
}
END_TEST

static void expect_shift(int64_t shift)
{
	const int64_t before = wall_s();
	const int64_t now = clock_now().sec - shift;

	ck_assert_int_ge(now + 1, before);
	ck_assert_int_le(now, wall_s());
}

START_TEST(can_be_shifted)
{
	const int64_t boot = clock_boot_ms();

	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "86400", 1), 0);
	expect_shift(86400);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "-3600", 1), 0);
	expect_shift(-3600);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "tomorrow", 1), 0);
	expect_shift(0);
	/* A day is nowhere near what the boot clock has moved. */
	ck_assert_int_lt(clock_boot_ms() - boot, 3600000);
}
END_TEST

static void write_shift(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(can_be_shifted_while_it_runs)
{
	char path[] = "/tmp/snapctl-clock-XXXXXX";
	char setting[64];
	const int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	(void)snprintf(setting, sizeof(setting), "@%s", path);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", setting, 1), 0);
	expect_shift(0);
	write_shift(path, "600\n");
	expect_shift(600);
	write_shift(path, "-31536000");
	expect_shift(-31536000);
	ck_assert_int_eq(unlink(path), 0);
	expect_shift(0);
	ck_assert_int_eq(unsetenv("SNAPCTL_TEST_CLOCK"), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, tells_wall_time);
	tcase_add_test(tc, boot_time_only_runs);
	tcase_add_test(tc, can_be_shifted);
	tcase_add_test(tc, can_be_shifted_while_it_runs);
}

CHECK_MAIN("base/clock", cases)
