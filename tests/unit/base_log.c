#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/instant.h"
#include "tests/support/check_main.h"

static char logged[8192];
static int catching = -1;
static int real_stderr = -1;

static void catch_log(void)
{
	struct err e;

	ck_ok(file_open_unnamed(NULL, &catching, &e));
	real_stderr = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(catching, STDERR_FILENO), 0);
}

static const char *caught(void)
{
	ssize_t n;

	(void)fflush(stderr);
	(void)dup2(real_stderr, STDERR_FILENO);
	(void)close(real_stderr);
	n = file_pread(catching, logged, sizeof(logged) - 1, 0);
	ck_assert_int_ge(n, 0);
	logged[n] = '\0';
	file_close(catching);
	return logged;
}

/* What follows the time, which must be one. */
static const char *after_time(const char *line)
{
	char text[64];
	const char *space = strchr(line, ' ');
	struct instant t;
	struct err e;

	ck_assert(strncmp(line, "time=", 5) == 0);
	ck_assert_ptr_nonnull(space);
	(void)snprintf(text, sizeof(text), "%.*s", (int)(space - line - 5),
		       line + 5);
	ck_ok(instant_parse(text, &t, &e));
	return space + 1;
}

START_TEST(writes_one_line_an_event)
{
	catch_log();
	log_event(LOG_LEVEL_INFO, "run %d of %s", 7, "nightly");
	ck_assert_str_eq(after_time(caught()),
			 "level=info msg=\"run 7 of nightly\"\n");
}
END_TEST

START_TEST(cannot_be_made_to_write_two)
{
	catch_log();
	log_event(LOG_LEVEL_WARN, "source \"a\nlevel=info msg=fake\"");
	ck_assert_str_eq(after_time(caught()),
			 "level=warn "
			 "msg=\"source \\\"a\\nlevel=info msg=fake\\\"\"\n");
}
END_TEST

START_TEST(writes_failures_with_code_and_hint)
{
	struct err e;

	(void)err_set(&e, ERR_NOT_FOUND, "no region \"eu\"");
	catch_log();
	log_failure(LOG_LEVEL_ERROR, "replicating", &e);
	ck_assert_str_eq(after_time(caught()),
			 "level=error msg=\"replicating: no region "
			 "\\\"eu\\\"\" code=not-found\n");
	(void)err_hint(&e, "name another");
	catch_log();
	log_failure(LOG_LEVEL_ERROR, "replicating", &e);
	ck_assert(strstr(caught(), " code=not-found hint=\"name another\"\n"));
}
END_TEST

START_TEST(obeys_the_level)
{
	struct err e;

	(void)err_set(&e, ERR_IO, "x");
	catch_log();
	log_event(LOG_LEVEL_DEBUG, "unseen");
	log_failure(LOG_LEVEL_DEBUG, "unseen", &e);
	log_set_level(LOG_LEVEL_ERROR);
	log_event(LOG_LEVEL_WARN, "unseen");
	log_event(LOG_LEVEL_ERROR, "seen");
	log_set_level(LOG_LEVEL_DEBUG);
	log_event(LOG_LEVEL_DEBUG, "seen");
	log_set_level(LOG_LEVEL_INFO);
	(void)caught();
	ck_assert_ptr_null(strstr(logged, "unseen"));
	ck_assert_ptr_nonnull(strstr(logged, "level=error msg=\"seen\""));
	ck_assert_ptr_nonnull(strstr(logged, "level=debug msg=\"seen\""));
	ck_assert_int_eq(log_level_named("error"), LOG_LEVEL_ERROR);
	ck_assert_int_eq(log_level_named("warn"), LOG_LEVEL_WARN);
	ck_assert_int_eq(log_level_named("info"), LOG_LEVEL_INFO);
	ck_assert_int_eq(log_level_named("debug"), LOG_LEVEL_DEBUG);
	ck_assert_int_eq(log_level_named("loud"), -1);
}
END_TEST

START_TEST(speaks_to_the_journal)
{
	char stream[64];
	struct stat st;

	catch_log();
	ck_assert_int_eq(fstat(catching, &st), 0);
	(void)snprintf(stream, sizeof(stream), "%llu:%llu",
		       (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_event(LOG_LEVEL_WARN, "careful");
	ck_assert_str_eq(caught(), "<4>level=warn msg=\"careful\"\n");
	/* Redirected since: nobody there understands "<4>". */
	catch_log();
	ck_assert_int_eq(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	log_event(LOG_LEVEL_WARN, "careful");
	ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
	ck_assert_str_eq(after_time(caught()), "level=warn msg=\"careful\"\n");
}
END_TEST

START_TEST(ends_the_longest_line)
{
	struct err e;
	char doing[3000];

	memset(doing, 1, sizeof(doing));
	doing[sizeof(doing) - 1] = '\0';
	(void)err_set(&e, ERR_IO, "%s", doing);
	(void)err_hint(&e, "%s", doing);
	catch_log();
	log_event(LOG_LEVEL_ERROR, "%s", doing);
	log_failure(LOG_LEVEL_ERROR, doing, &e);
	(void)caught();
	ck_assert_uint_gt(strlen(logged), 4000);
	ck_assert_str_eq(logged + strlen(logged) - 1, "\n");
	ck_assert_ptr_eq(strchr(strchr(logged, '\n') + 1, '\n'),
			 logged + strlen(logged) - 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, writes_one_line_an_event);
	tcase_add_test(tc, cannot_be_made_to_write_two);
	tcase_add_test(tc, writes_failures_with_code_and_hint);
	tcase_add_test(tc, obeys_the_level);
	tcase_add_test(tc, speaks_to_the_journal);
	tcase_add_test(tc, ends_the_longest_line);
}

CHECK_MAIN("base/log", cases)
