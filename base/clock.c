#include "base/clock.h"

#include <errno.h>
#include <time.h>

#ifdef SNAPCTL_TEST_HOOKS

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/text.h"

/* A file that is just being rewritten may be empty for a moment: no shift. */
static int64_t test_shift_s(void)
{
	const char *setting = getenv("SNAPCTL_TEST_CLOCK");
	CLEANUP(buf_done) struct buf text;
	struct err e;
	int64_t shift = 0;

	buf_init(&text, 64);
	if (!setting)
		return 0;
	if (setting[0] == '@') {
		if (file_read_all(setting + 1, &text, &e))
			return 0;
		while (text.len && strchr("\n ", text.data[text.len - 1]))
			text.data[--text.len] = 0;
		setting = buf_str(&text);
	}
	if (!text_number(setting, INT32_MIN * INT64_C(1000),
			 INT32_MAX * INT64_C(1000), &shift))
		return 0;
	return shift;
}

#else

static int64_t test_shift_s(void)
{
	return 0;
}

#endif

struct instant clock_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (struct instant){ t.tv_sec + test_shift_s(),
				 (uint32_t)t.tv_nsec };
}

int64_t clock_boot_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_sleep_ms(int64_t ms)
{
	const struct timespec t = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000,
	};

	if (ms > 0)
		(void)clock_nanosleep(CLOCK_BOOTTIME, 0, &t, NULL);
}
