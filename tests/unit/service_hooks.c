/* Hooks around a snapshot, and who sees to them: service/hooks.h. */
#include "service/hooks.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "service/guardian.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct err e;
static atomic_bool stop;
static char folder[SCRATCH_PATH];
static char log_path[SCRATCH_PATH];
static char scripts[8][6 * SCRATCH_PATH];
static const char *words[8][3];
static struct resource_hook list[8];
static struct resource source;

static void set_up(void)
{
	scratch_init(&dir);
	(void)scratch_path(&dir, "hooks", folder);
	(void)scratch_path(&dir, "log", log_path);
	memset(list, 0, sizeof(list));
	source = (struct resource){ .kind = RESOURCE_SOURCE, .name = "web" };
	source.source.hooks = list;
	source.source.quiesce_limit_ms = 600000;
	atomic_store(&stop, false);
	err_clear(&e);
}

static void tear_down(void)
{
	scratch_done(&dir);
}

static void ok(int got)
{
	if (got < 0)
		ck_abort_msg("%s", e.text);
}

/* It fails, and says so; "" is said by all. */
static void fails(int got, const char *said)
{
	ck_assert_int_eq(got, -1);
	ck_assert_msg(strstr(e.text, said) != NULL, "%s", e.text);
}

/* The test's own program stands in for snapctld. */
static void become(void)
{
	_exit(guardian_main(3, 4, -1));
}

/* One that writes its name into the log, and then does as the script says. */
static void add(const char *when, const char *name, const char *script)
{
	const size_t i = source.source.hook_count++;

	ck_assert_uint_lt(i, 8);
	(void)snprintf(scripts[i], sizeof(scripts[i]), "echo %s >>%s; %s", name,
		       log_path, script);
	words[i][0] = "/bin/sh";
	words[i][1] = "-c";
	words[i][2] = scripts[i];
	list[i] = (struct resource_hook){ .when = when,
					  .argv = { words[i], 3 },
					  .timeout_ms = 60000 };
}

static int open_hooks(struct hooks **ret)
{
	const struct hooks_settings settings = {
		.source = "web",
		.list = list,
		.count = source.source.hook_count,
		.limit_ms = source.source.quiesce_limit_ms,
		.journal = "web",
		.folder = folder,
		.run = 7,
		.stop = &stop,
		.become = become
	};

	return hooks_open(&settings, ret, &e);
}

/* The names in the log so far, with blanks between. */
static const char *ran(void)
{
	static char text[1000];
	FILE *f = fopen(log_path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		(void)fclose(f);
	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\n')
			text[i] = ' ';
	return text;
}

static void expect_ran(const char *want)
{
	ck_assert_str_eq(ran(), want);
}

static void wait_until_ran(const char *want)
{
	/* Longer than a guardian takes anywhere. */
	for (int i = 0; i < 30000 && strcmp(ran(), want) != 0; i++)
		clock_sleep_ms(10);
	ck_assert_str_eq(ran(), want);
}

/* Who has the lock now knows that nobody else does anything any more. */
static void wait_for_peace(void)
{
	struct hooks *h = NULL;

	ok(open_hooks(&h));
	hooks_close(h);
}

START_TEST(they_run_around_a_snapshot)
{
	struct hooks *h = NULL;

	add("after", "thaw", ":");
	add("before", "one", ":");
	add("always", "always", ":");
	add("before", "two", ":");
	ok(open_hooks(&h));
	expect_ran("");
	ok(hooks_before(h, &e));
	expect_ran("one two ");
	ok(hooks_after(h, &e));
	expect_ran("one two thaw always ");
	/* Once. */
	ok(hooks_after(h, &e));
	hooks_close(h);
	wait_for_peace();
	expect_ran("one two thaw always ");
}
END_TEST

START_TEST(what_they_did_is_told)
{
	CLEANUP(buf_done) struct buf b;
	struct hooks *h = NULL;
	struct json j;

	buf_init(&b, 65536);
	json_init(&j, json_to_buf, &b);
	add("before", "one", "echo hello");
	add("after", "two", "echo oh; exit 3");
	ok(open_hooks(&h));
	ok(hooks_before(h, &e));
	fails(hooks_after(h, &e), "");
	ck_assert_str_eq(e.text,
			 "the hook \"/bin/sh\" (after) failed: it ended "
			 "with status 3, saying \"oh\"");
	hooks_write(h, &j);
	ok(json_finish(&j, &e));
	ck_assert_ptr_nonnull(
		strstr(buf_str(&b),
		       "[{\"when\":\"before\",\"program\":\"/bin/sh\","
		       "\"passed\":true,\"message\":\"it ended with "
		       "status 0\",\"output\":\"hello\\n\",\"seconds\":"));
	ck_assert_ptr_nonnull(strstr(
		buf_str(&b), "{\"when\":\"after\",\"program\":\"/bin/sh\","
			     "\"passed\":false,\"message\":\"it ended with "
			     "status 3\",\"output\":\"oh\\n\",\"seconds\":"));
	hooks_close(h);
}
END_TEST

START_TEST(nothing_was_frozen_by_one_that_failed)
{
	struct hooks *h = NULL;

	add("before", "one", "echo no such table; exit 1");
	add("before", "two", ":");
	add("after", "thaw", ":");
	add("always", "always", ":");
	ok(open_hooks(&h));
	fails(hooks_before(h, &e), "");
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_ptr_nonnull(strstr(e.text, "no such table"));
	ok(hooks_after(h, &e));
	expect_ran("one always ");
	hooks_close(h);
}
END_TEST

START_TEST(but_by_the_one_before_it)
{
	struct hooks *h = NULL;

	add("before", "one", ":");
	add("before", "two", "exit 1");
	add("before", "three", ":");
	add("after", "thaw", "exit 1");
	add("after", "more", ":");
	add("always", "always", ":");
	ok(open_hooks(&h));
	fails(hooks_before(h, &e), "");
	fails(hooks_after(h, &e), "");
	expect_ran("one two thaw more always ");
	hooks_close(h);
}
END_TEST

/* Nobody knows whether one that was killed froze anything. */
START_TEST(nor_by_one_that_hangs_or_dies)
{
	struct hooks *h = NULL;

	add("before", "one", "sleep 1000");
	add("after", "thaw", ":");
	/* Long enough for it to begin, which a busy machine decides. */
	for (list[0].timeout_ms = 300; strcmp(ran(), "one thaw ") != 0;
	     list[0].timeout_ms *= 4) {
		ck_assert_int_le(list[0].timeout_ms, 300 << 8);
		(void)unlink(log_path);
		ok(open_hooks(&h));
		fails(hooks_before(h, &e), "was not done within");
		ok(hooks_after(h, &e));
		hooks_close(h);
		ck_assert_ptr_nonnull(strstr(ran(), "thaw "));
	}
	list[0].timeout_ms = 60000;
	(void)snprintf(scripts[0], sizeof(scripts[0]), "kill -9 $$");
	ok(open_hooks(&h));
	fails(hooks_before(h, &e), "");
	ok(hooks_after(h, &e));
	expect_ran("one thaw thaw ");
	hooks_close(h);
}
END_TEST

START_TEST(a_program_that_is_missing_is_told)
{
	static const char *missing[] = { "/nowhere/at/all" };
	struct hooks *h = NULL;

	add("before", "one", ":");
	add("after", "thaw", ":");
	list[0].argv = (struct resource_texts){ missing, 1 };
	ok(open_hooks(&h));
	fails(hooks_before(h, &e), "there is no program");
	ok(hooks_after(h, &e));
	expect_ran("");
	hooks_close(h);
}
END_TEST

START_TEST(who_goes_without_a_word_is_thawed)
{
	struct hooks *h = NULL;

	add("before", "freeze", ":");
	add("after", "thaw", "sleep 0.2");
	add("always", "always", ":");
	ok(open_hooks(&h));
	hooks_close(h); /* nothing was asked for */
	expect_ran("");
	ok(open_hooks(&h));
	ok(hooks_before(h, &e));
	hooks_close(h);
	expect_ran("freeze thaw always ");
}
END_TEST

/* In a process of its own, as a run: up to which point? */
static void run_and_die(bool freeze)
{
	const pid_t pid = check_fork_child();
	struct hooks *h = NULL;

	if (pid == 0) {
		(void)setpgid(0, 0);
		if (open_hooks(&h) < 0 || (freeze && hooks_before(h, &e) < 0))
			_exit(1);
		(void)kill(0, SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(a_run_that_is_killed_is_thawed_once)
{
	add("before", "freeze", ":");
	add("after", "thaw", ":");
	add("always", "always", ":");
	run_and_die(false);
	wait_for_peace();
	expect_ran("");
	run_and_die(true);
	wait_until_ran("freeze thaw always ");
	wait_for_peace();
	expect_ran("freeze thaw always ");
}
END_TEST

START_TEST(also_in_the_middle_of_freezing)
{
	pid_t pid;

	add("before", "freeze", "sleep 1000");
	add("after", "thaw", ":");
	pid = check_fork_child();
	if (pid == 0) {
		struct hooks *h = NULL;

		if (open_hooks(&h) == 0)
			(void)!hooks_before(h, &e);
		_exit(0);
	}
	wait_until_ran("freeze ");
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	wait_until_ran("freeze thaw ");
	wait_for_peace();
	expect_ran("freeze thaw ");
}
END_TEST

static void *stop_once_frozen(void *arg)
{
	(void)arg;
	while (strcmp(ran(), "freeze ") != 0)
		clock_sleep_ms(10);
	atomic_store(&stop, true);
	return NULL;
}

START_TEST(who_is_asked_to_stop_cuts_freezing_short)
{
	struct hooks *h = NULL;
	pthread_t thread;

	add("before", "freeze", "sleep 1000");
	add("after", "thaw", ":");
	ok(open_hooks(&h));
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_once_frozen, NULL),
			 0);
	fails(hooks_before(h, &e), "");
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ok(hooks_after(h, &e));
	hooks_close(h);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	expect_ran("freeze thaw ");
	/* Who knows beforehand freezes nothing. */
	ok(open_hooks(&h));
	fails(hooks_before(h, &e), "");
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ok(hooks_after(h, &e));
	ck_assert(!hooks_were_late(h));
	hooks_close(h);
	expect_ran("freeze thaw ");
}
END_TEST

/* The number that a script wrote. */
static pid_t read_number(const char *path)
{
	char text[32] = "";
	FILE *f = fopen(path, "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
	ck_assert_int_eq(fclose(f), 0);
	return (pid_t)strtol(text, NULL, 10);
}

START_TEST(the_next_one_thaws_what_nobody_did)
{
	char script[4 * SCRATCH_PATH];
	char path[SCRATCH_PATH];
	struct hooks *h = NULL;
	pid_t pid;

	/* The guardian stands still, and the run waits for it in vain. */
	(void)scratch_path(&dir, "guardian", path);
	(void)snprintf(script, sizeof(script),
		       "kill -STOP $PPID; echo $PPID >%s.new; mv %s.new %s",
		       path, path, path);
	add("before", "freeze", script);
	add("after", "thaw", ":");
	add("always", "always", ":");
	pid = check_fork_child();
	if (pid == 0) {
		if (open_hooks(&h) == 0)
			(void)!hooks_before(h, &e);
		_exit(0);
	}
	while (access(path, F_OK) < 0)
		clock_sleep_ms(10);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(kill(read_number(path), SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	expect_ran("freeze ");
	(void)snprintf(scripts[0], sizeof(scripts[0]), "echo again >>%s",
		       log_path);
	ok(open_hooks(&h));
	expect_ran("freeze thaw always ");
	ok(hooks_before(h, &e));
	ok(hooks_after(h, &e));
	hooks_close(h);
	expect_ran("freeze thaw always again thaw always ");
}
END_TEST

/* Whose guardian is killed, and nobody else, has another one. */
START_TEST(a_run_without_a_guardian_thaws_at_once)
{
	char script[2 * SCRATCH_PATH];
	char path[SCRATCH_PATH];
	struct hooks *h = NULL;

	(void)scratch_path(&dir, "guardian", path);
	(void)snprintf(script, sizeof(script), "echo $PPID >%s", path);
	add("before", "freeze", script);
	add("after", "thaw", ":");
	add("always", "always", ":");
	ok(open_hooks(&h));
	ok(hooks_before(h, &e));
	ck_assert_int_eq(kill(read_number(path), SIGKILL), 0);
	fails(hooks_after(h, &e), "another one did what is due");
	/* Nobody knows whether it was frozen to the end. */
	ck_assert(hooks_were_late(h));
	expect_ran("freeze thaw always ");
	hooks_close(h);
	wait_for_peace();
	expect_ran("freeze thaw always ");
}
END_TEST

START_TEST(no_freeze_lasts_for_ever)
{
	struct hooks *h = NULL;

	add("before", "freeze", ":");
	add("after", "thaw", ":");
	source.source.quiesce_limit_ms = 200;
	ok(open_hooks(&h));
	ok(hooks_before(h, &e));
	wait_until_ran("freeze thaw ");
	fails(hooks_after(h, &e), "spec.quiesceLimit");
	ck_assert(hooks_were_late(h));
	hooks_close(h);
	wait_for_peace();
	expect_ran("freeze thaw ");
}
END_TEST

START_TEST(a_journal_of_another_boot_or_of_no_sense_is_let_be)
{
	static const char *const journals[] = {
		"{\"boot\":\"another\",\"plan\":{\"name\":\"x\",\"hooks\":[]}}",
		"{\"boot\":", "", "7", "{\"boot\":7}"
	};
	char path[2 * SCRATCH_PATH];

	add("before", "one", ":");
	wait_for_peace(); /* makes the folder */
	(void)snprintf(path, sizeof(path), "%s/web", folder);
	for (size_t i = 0; i < sizeof(journals) / sizeof(*journals); i++) {
		FILE *f = fopen(path, "we");

		ck_assert_ptr_nonnull(f);
		ck_assert(fputs(journals[i], f) >= 0);
		ck_assert_int_eq(fclose(f), 0);
		wait_for_peace();
		expect_ran("");
	}
}
END_TEST

START_TEST(those_of_one_source_take_turns)
{
	struct hooks *h = NULL;
	pid_t pid;

	add("before", "freeze", ":");
	add("after", "thaw", ":");
	/* Before the lock is taken, which a child would have, too. */
	pid = check_fork_child();
	if (pid == 0) {
		while (strncmp(ran(), "freeze ", 7) != 0)
			clock_sleep_ms(10);
		_exit(open_hooks(&h) < 0 || hooks_before(h, &e) < 0 ||
		      hooks_after(h, &e) < 0);
	}
	ok(open_hooks(&h));
	ok(hooks_before(h, &e));
	clock_sleep_ms(500);
	expect_ran("freeze ");
	ok(hooks_after(h, &e));
	hooks_close(h);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	expect_ran("freeze thaw freeze thaw ");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, they_run_around_a_snapshot);
	tcase_add_test(tc, what_they_did_is_told);
	tcase_add_test(tc, nothing_was_frozen_by_one_that_failed);
	tcase_add_test(tc, but_by_the_one_before_it);
	tcase_add_test(tc, nor_by_one_that_hangs_or_dies);
	tcase_add_test(tc, a_program_that_is_missing_is_told);
	tcase_add_test(tc, who_goes_without_a_word_is_thawed);
	tcase_add_test(tc, a_run_that_is_killed_is_thawed_once);
	tcase_add_test(tc, also_in_the_middle_of_freezing);
	tcase_add_test(tc, who_is_asked_to_stop_cuts_freezing_short);
	tcase_add_test(tc, the_next_one_thaws_what_nobody_did);
	tcase_add_test(tc, a_journal_of_another_boot_or_of_no_sense_is_let_be);
	tcase_add_test(tc, a_run_without_a_guardian_thaws_at_once);
	tcase_add_test(tc, no_freeze_lasts_for_ever);
	tcase_add_test(tc, those_of_one_source_take_turns);
}
CHECK_MAIN("service/hooks", cases)
