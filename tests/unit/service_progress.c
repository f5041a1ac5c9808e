/* What a person sees of a long operation: service/progress.h. */
#include "service/progress.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/clock.h"
#include "tests/support/check_main.h"

int64_t __wrap_clock_boot_ms(void);

static int64_t now_ms;
static struct err e;

int64_t __wrap_clock_boot_ms(void)
{
	return now_ms;
}

static int ends[2]; /* what is shown comes out of the first */
static struct progress *p;

static void begin(enum progress_mode mode)
{
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	now_ms = 1000000;
	ck_ok(progress_new(&p, ends[1], mode, &e));
}

static void end(void)
{
	progress_free(p);
	ck_assert_int_eq(close(ends[0]), 0);
	ck_assert_int_eq(close(ends[1]), 0);
}

/* All that was shown since the last time. */
static const char *shown(int fd)
{
	static char text[4096];
	const ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void expect(const char *text)
{
	ck_assert_str_eq(shown(ends[0]), text);
}

#define BAR(full, empty, rest) "\r\033[K" full empty "  " rest
#define FIVE_FULL	       "█████"
#define FIVE_EMPTY	       "░░░░░"

START_TEST(a_bar_tells_rate_and_time_left)
{
	begin(PROGRESS_BAR);
	progress_stage(p, "reading", 400 << 20);
	progress_add(p, 3, 50 << 20);
	expect(""); /* what is over at once needs no bar */
	now_ms += 1000;
	progress_add(p, 1, 50 << 20);
	expect(BAR(FIVE_FULL, FIVE_EMPTY FIVE_EMPTY FIVE_EMPTY,
		   "reading  100 MiB of 400 MiB, 4 items, 100 MiB/s"));
	/* Not more than ten times a second. */
	now_ms += 99;
	progress_add(p, 1, 1);
	expect("");
	now_ms += 2901;
	progress_set(p, 9, 200 << 20);
	expect(BAR(
		FIVE_FULL FIVE_FULL, FIVE_EMPTY FIVE_EMPTY,
		"reading  200 MiB of 400 MiB, 9 items, 50.0 MiB/s, 4s left"));
	/* A note stands on a line of its own, and so does what is next. */
	progress_note(p, "warning: %s", "x");
	expect("\r\033[Kwarning: x\n");
	progress_note(p, "again");
	expect("again\n");
	now_ms += 1000;
	progress_set(p, 10, 500 << 20); /* it grew meanwhile */
	expect(BAR(FIVE_FULL FIVE_FULL FIVE_FULL FIVE_FULL, "",
		   "reading  500 MiB of 400 MiB, 10 items, 100 MiB/s"));
	progress_stage(p, "copying", 0);
	expect("\r\033[K");
	now_ms += 1000;
	progress_add(p, 0, 1 << 20);
	expect("\r\033[Kcopying  1.0 MiB, 1.0 MiB/s");
	progress_total(p, 2 << 20);
	now_ms += 1000;
	progress_add(p, 0, 0);
	expect(BAR(FIVE_FULL FIVE_FULL, FIVE_EMPTY FIVE_EMPTY,
		   "copying  1.0 MiB of 2.0 MiB, 512 KiB/s"));
	progress_free(p);
	p = NULL;
	expect("\r\033[K");
	end();
}
END_TEST

START_TEST(elsewhere_it_is_a_line_now_and_then)
{
	begin(PROGRESS_LINES);
	progress_stage(p, "reading", 1000);
	now_ms += 29999;
	progress_add(p, 1, 500);
	expect("");
	now_ms += 1;
	progress_add(p, 1, 0);
	expect("reading  500 B of 1000 B, 2 items, 16 B/s, 31s left\n");
	now_ms += 29999;
	progress_add(p, 1, 0);
	expect("");
	progress_note(p, "note: %d", 7);
	expect("note: 7\n");
	ck_assert_int_eq(progress_mode_of(ends[1], false), PROGRESS_LINES);
	end();
}
END_TEST

START_TEST(nothing_is_shown_to_who_wants_nothing)
{
	begin(PROGRESS_NONE);
	progress_stage(p, "reading", 1000);
	now_ms += 100000;
	progress_add(p, 1, 500);
	progress_note(p, "note");
	expect("");
	end();
	/* Nor is there always somebody to tell. */
	progress_stage(NULL, "reading", 1);
	progress_total(NULL, 1);
	progress_add(NULL, 1, 1);
	progress_set(NULL, 1, 1);
	progress_note(NULL, "note");
	progress_free(NULL);
}
END_TEST

static int terminal(unsigned short columns, int *ret_other)
{
	const struct winsize size = { .ws_row = 24, .ws_col = columns };
	const int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios raw;
	char name[64];

	if (fd < 0)
		return -1;
	ck_assert_int_eq(grantpt(fd), 0);
	ck_assert_int_eq(unlockpt(fd), 0);
	ck_assert_int_eq(ptsname_r(fd, name, sizeof(name)), 0);
	*ret_other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(*ret_other, 0);
	ck_assert_int_eq(tcgetattr(*ret_other, &raw), 0);
	cfmakeraw(&raw);
	ck_assert_int_eq(tcsetattr(*ret_other, TCSANOW, &raw), 0);
	ck_assert_int_eq(ioctl(fd, TIOCSWINSZ, &size), 0);
	return fd;
}

static const struct {
	unsigned short columns;
	const char *shown;
} terminals[] = {
	{ 30, "\r\033[Kreading  100 MiB of 400 MiB, " },
	{ 60, BAR(FIVE_FULL, FIVE_EMPTY FIVE_EMPTY FIVE_EMPTY,
		  "reading  100 MiB of 400 MiB, 4 items,") },
};

/* One that wrapped could not be erased. */
START_TEST(never_wider_than_the_terminal)
{
	int other;
	const int fd = terminal(terminals[_i].columns, &other);

	if (fd < 0)
		ck_skip("progress_terminal", "no terminals can be made");
	ck_assert_int_eq(progress_mode_of(other, false), PROGRESS_BAR);
	ck_assert_int_eq(progress_mode_of(other, true), PROGRESS_NONE);
	now_ms = 1000000;
	ck_ok(progress_new(&p, other, PROGRESS_BAR, &e));
	progress_stage(p, "reading", 400 << 20);
	now_ms += 4000;
	progress_add(p, 4, 100 << 20);
	ck_assert_str_eq(shown(fd), terminals[_i].shown);
	progress_free(p);
	ck_assert_int_eq(close(other), 0);
	ck_assert_int_eq(close(fd), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_bar_tells_rate_and_time_left);
	tcase_add_test(tc, elsewhere_it_is_a_line_now_and_then);
	tcase_add_test(tc, nothing_is_shown_to_who_wants_nothing);
	tcase_add_loop_test(tc, never_wider_than_the_terminal, 0, 2);
}

CHECK_MAIN("service/progress", cases)
