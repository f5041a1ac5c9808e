/* What a command prints, as a source: storage/sources/command.h. */
#include "storage/sources/command.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/repo_frame.h"
#include "tests/support/snapshot_view.h"

static struct repo_frame f;
static struct err e;
static atomic_bool stop;

static void set_up(void)
{
	repo_frame_init(&f, "mem:command");
	atomic_store(&stop, false);
	err_clear(&e);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

struct script {
	const char *text;
	int64_t timeout_ms; /* 0: a minute */
	uint64_t at_least;
};

/* Take a snapshot of what a script prints: as snapshot_take(). */
static int take(struct script s, struct snapshot_result *ret,
		struct child_tail *said)
{
	const char *const argv[] = { "/bin/sh", "-c", s.text };
	const struct command_options o = {
		.name = "dump.sql",
		.child = { .argv = argv, .argc = 3 },
		.timeout_ms = s.timeout_ms ? s.timeout_ms : 60000,
		.at_least = s.at_least,
		.cancel = &stop,
	};
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct snapshot_options so = { .no_parent = false };
	int failed;

	ck_ok(snapshot_errors_new(&errors, &e));
	if (command_open(&o, &source, &e) < 0 || !source)
		ck_abort_msg("%s", e.text);
	failed = repo_take_source(&f, source, errors, &so, ret, &e);
	if (said)
		*said = *command_said(source);
	return failed;
}

static int count_one(void *arg, struct repository_snapshot *s, struct err *err)
{
	(void)s;
	(void)err;
	++*(unsigned int *)arg;
	return 0;
}

static unsigned int count_snapshots(void)
{
	unsigned int n = 0;

	repo_frame_reopen(&f);
	if (!f.r)
		return UINT_MAX;
	ck_ok(repository_snapshots(f.r, true, count_one, NULL, &n, &e));
	return n;
}

/* That the file holds what `seq 1 n` prints. */
static void expect_numbers(const char *path, long n)
{
	FILE *file = fopen(path, "re");
	char line[32];
	char want[32];

	ck_assert_ptr_nonnull(file);
	for (long i = 1; i <= n; i++) {
		(void)snprintf(want, sizeof(want), "%ld\n", i);
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
		if (strcmp(line, want) != 0)
			ck_abort_msg("line %ld is %s", i, line);
	}
	ck_assert_ptr_null(fgets(line, sizeof(line), file));
	ck_assert_int_eq(fclose(file), 0);
}

/* A dump is nobody else's to read. */
static void expect_private(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, geteuid());
}

START_TEST(all_that_it_prints_is_one_file)
{
	struct snapshot_result r;
	struct restore_options o = { .path = "/", .path_len = 1 };
	struct restore_result back;
	char path[2 * SCRATCH_PATH];

	ck_ok(take((struct script){ .text = "seq 1 1000000" }, &r, NULL));
	ck_assert_int_eq(r.state, MANIFEST_COMPLETE);
	ck_assert_uint_eq(r.files, 1);
	ck_assert_uint_eq(r.bytes, 6888896);
	ck_assert_uint_eq(r.bytes_read, 6888896);
	ck_ok(repo_restore_with(&f, r.id, &o, &back, &e));
	(void)snprintf(path, sizeof(path), "%s/dump.sql", f.to);
	expect_numbers(path, 1000000);
	expect_private(path);
}
END_TEST

START_TEST(what_is_the_same_again_is_not_stored_again)
{
	struct snapshot_result first, second;

	ck_ok(take((struct script){ .text = "seq 1 2000000" }, &first, NULL));
	ck_ok(take((struct script){ .text = "seq 1 1000000; echo changed; seq "
					    "1000001 2000000" },
		   &second, NULL));
	ck_assert_uint_eq(second.bytes_read, second.bytes);
	ck_assert_uint_lt(second.bytes_new * 3, first.bytes_new);
	ck_assert(object_id_equal(second.parent, first.id));
}
END_TEST

START_TEST(little_and_nothing_can_be_printed)
{
	struct snapshot_result r;

	ck_ok(take((struct script){ .text = "echo hi", .at_least = 3 }, &r,
		   NULL));
	ck_assert_uint_eq(r.bytes, 3);
	ck_ok(take((struct script){ .text = ":" }, &r, NULL));
	ck_assert_uint_eq(r.bytes, 0);
	ck_assert_uint_eq(r.files, 1);
}
END_TEST

static void expect_failure(struct script s, enum err_code code,
			   const char *said)
{
	struct snapshot_result r;

	err_clear(&e);
	ck_assert_int_eq(take(s, &r, NULL), -1);
	ck_assert_int_eq(e.code, code);
	ck_assert_msg(strstr(e.text, said) != NULL, "%s", e.text);
	err_clear(&e);
	ck_assert_uint_eq(count_snapshots(), 0);
}

START_TEST(a_command_that_fails_makes_no_snapshot)
{
	expect_failure((struct script){ .text = "seq 1 1000000; echo 'no such "
						"table' >&2; exit 7" },
		       ERR_IO,
		       "sh\" failed: it ended with status 7, saying \"no such "
		       "table\"");
	expect_failure((struct script){ .text = "echo x; kill -9 $$" }, ERR_IO,
		       "failed: signal 9 ended it");
}
END_TEST

START_TEST(nor_does_one_that_prints_too_little)
{
	expect_failure((struct script){ .text = "echo hi", .at_least = 4 },
		       ERR_IO, "printed 3 bytes, fewer than the 4 it has to");
	expect_failure((struct script){ .text = ":", .at_least = 1 }, ERR_IO,
		       "printed 0 bytes");
}
END_TEST

START_TEST(nor_one_that_hangs)
{
	expect_failure((struct script){ .text = "echo begun; sleep 1000",
					.timeout_ms = 300 },
		       ERR_IO, "was not done within");
	/* Also when its output is at its end, or never is. */
	expect_failure((struct script){ .text = "echo x; exec >&-; sleep 1000",
					.timeout_ms = 300 },
		       ERR_IO, "was not done within");
	expect_failure((struct script){ .text = "yes", .timeout_ms = 300 },
		       ERR_IO, "was not done within");
}
END_TEST

START_TEST(who_is_left_behind_delays_nobody_for_long)
{
	expect_failure((struct script){ .text = "sleep 1000 & echo x" }, ERR_IO,
		       "keeps its output open");
}
END_TEST

static void *stop_soon(void *arg)
{
	(void)arg;
	clock_sleep_ms(100);
	atomic_store(&stop, true);
	return NULL;
}

START_TEST(it_is_interrupted_at_once)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, NULL), 0);
	expect_failure((struct script){ .text = "sleep 1000" }, ERR_INTERRUPTED,
		       "interrupted");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(words_are_kept_and_hinder_nothing)
{
	struct snapshot_result r;
	struct child_tail said;
	const char *line;
	size_t n;

	ck_ok(take((struct script){ .text = "seq 1 1000000 >&2; echo data; "
					    "exec 2>&-; sleep 0.1; echo more" },
		   &r, &said));
	ck_assert_uint_eq(r.bytes, 10);
	n = child_tail_line(&said, &line);
	ck_assert_uint_eq(n, 7);
	ck_assert_int_eq(memcmp(line, "1000000", 7), 0);
}
END_TEST

START_TEST(what_is_no_program_is_no_source)
{
	const char *const argv[] = { "/nowhere/at/all" };
	const struct command_options o = { .name = "x",
					   .child = { .argv = argv, .argc = 1 },
					   .timeout_ms = 1 };
	struct source *s = NULL;

	ck_assert_int_eq(command_open(&o, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(names_are_of_files)
{
	char name[300] = "";

	ck_assert(source_name_valid("dump.sql"));
	ck_assert(!source_name_valid(""));
	ck_assert(!source_name_valid("."));
	ck_assert(!source_name_valid(".."));
	ck_assert(!source_name_valid("a/b"));
	memset(name, 'x', 255);
	ck_assert(source_name_valid(name));
	name[255] = 'x';
	ck_assert(!source_name_valid(name));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, all_that_it_prints_is_one_file);
	tcase_add_test(tc, what_is_the_same_again_is_not_stored_again);
	tcase_add_test(tc, little_and_nothing_can_be_printed);
	tcase_add_test(tc, a_command_that_fails_makes_no_snapshot);
	tcase_add_test(tc, nor_does_one_that_prints_too_little);
	tcase_add_test(tc, nor_one_that_hangs);
	tcase_add_test(tc, who_is_left_behind_delays_nobody_for_long);
	tcase_add_test(tc, it_is_interrupted_at_once);
	tcase_add_test(tc, words_are_kept_and_hinder_nothing);
	tcase_add_test(tc, what_is_no_program_is_no_source);
	tcase_add_test(tc, names_are_of_files);
}
CHECK_MAIN("storage/command", cases)
