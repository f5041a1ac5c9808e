/* A step that does nothing but behave as a test asks for. */
#include "service/step.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"

enum { WORD = 512 };

/* The word for this attempt. */
static void pick(const char *script, int64_t attempt, char out[WORD])
{
	const char *at = script;

	while (attempt-- > 1 && strchr(at, ' '))
		at = strchr(at, ' ') + 1;
	(void)snprintf(out, WORD, "%.*s", (int)strcspn(at, " "), at);
}

static int hang(const struct run *r, bool obey, struct err *e)
{
	while (!obey || run_stopped(r, e) == 0)
		clock_sleep_ms(1000);
	return -1;
}

static int wait_ms(const struct run *r, const char *text, struct err *e)
{
	int64_t ms;

	if (!text_number(text, 0, INT32_MAX, &ms))
		return err_set(e, ERR_USAGE, "SNAPCTL_TEST_RUN is wrong");
	for (; ms > 0; ms -= 50) {
		if (run_stopped(r, e) < 0)
			return -1;
		clock_sleep_ms(ms < 50 ? ms : 50);
	}
	return 0;
}

static int try_open(const char *path, bool writes, struct err *e)
{
	CLEANUP(file_close)
	const int fd = writes ? seam_open(AT_FDCWD, path,
					  O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
			      : open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? 0 : err_sys(e, "cannot open it");
}

int step_rehearse(struct run *r, const struct resource *source,
		  struct run_result *result, struct err *e)
{
	char name[128];
	const char *script;
	char word[WORD];

	(void)snprintf(name, sizeof(name), "SNAPCTL_TEST_RUN_%s", r->name);
	script = getenv(name);
	if (!script)
		script = getenv(source ? "SNAPCTL_TEST_RUN"
				       : "SNAPCTL_TEST_COLLECT");
	pick(script ? script : "", r->attempt, word);
	result->state = RUN_SUCCEEDED;
	if (strcmp(word, "fail") == 0)
		return err_set(e, ERR_IO, "it was to fail");
	if (strcmp(word, "hang") == 0)
		return hang(r, true, e);
	if (strcmp(word, "ignore") == 0)
		return hang(r, false, e);
	if (strcmp(word, "crash") == 0)
		(void)raise(SIGKILL);
	if (strcmp(word, "partial") == 0)
		result->state = RUN_PARTIAL;
	if (strncmp(word, "write:", 6) == 0)
		return try_open(word + 6, true, e);
	if (strncmp(word, "read:", 5) == 0)
		return try_open(word + 5, false, e);
	if (strncmp(word, "sleep:", 6) == 0)
		return wait_ms(r, word + 6, e);
	return 0;
}
