/* Drills on real small repositories, without a daemon. */
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "service/drill_scratch.h"
#include "tests/support/check_main.h"
#include "tests/support/run_frame.h"

/* ---- Doing one ---------------------------------------------------------- */

static void apply_drill(struct run_frame *t, const char *more)
{
	char spec[2000];

	(void)snprintf(spec, sizeof(spec),
		       "{\"cron\":\"0 6 * * SUN\",\"schedule\":\"nightly\"%s}",
		       more);
	run_apply(t, "Drill", "weekly", NULL, spec);
}

static int64_t queue_drill(struct run_frame *t)
{
	const struct instant now = clock_now();
	char uid[33] = "";
	const struct catalog_run r = { .kind = "Drill",
				       .schedule_uid = uid,
				       .schedule = "weekly",
				       .repository = "main",
				       .queued = now,
				       .requested_by = "tester" };
	int64_t id = 0;

	ck_assert_int_eq(catalog_resource_get(t->f.c, "Drill", "weekly",
					      copy_uid, uid, &t->f.e),
			 1);
	ok(&t->f, catalog_run_queue(t->f.c, &r, &id, &t->f.e));
	ck_assert_int_eq(claim_run(&t->f, id, now.sec), CATALOG_CLAIMED);
	return id;
}

static int perform(struct run_frame *t, enum run_state *ret)
{
	const struct run_step *steps;
	size_t n;

	steps = run_steps("Drill", &n);
	return run_perform(run_get(t, queue_drill(t)), steps, n, ret, &t->f.e);
}

static enum run_state drill(struct run_frame *t)
{
	enum run_state state = RUN_FAILED;

	ok(&t->f, perform(t, &state));
	return state;
}

static void snapshot(struct run_frame *t)
{
	ck_assert_int_eq(run_do(t, run_attempt(t, 0)), RUN_SUCCEEDED);
}

/* ---- The evidence ------------------------------------------------------- */

struct evidence {
	bool found, passed;
	int64_t rto_ms, rpo_ms;
	char message[300], snapshot[33], source[300];
	json_t *checks;
};

static int take(void *arg, const struct catalog_drill *d, struct err *e UNUSED)
{
	struct evidence *x = arg;

	x->found = true;
	x->passed = d->passed;
	x->rto_ms = d->rto_ms;
	x->rpo_ms = d->rpo_ms;
	(void)snprintf(x->message, sizeof(x->message), "%s", d->message);
	(void)snprintf(x->snapshot, sizeof(x->snapshot), "%s", d->snapshot);
	(void)snprintf(x->source, sizeof(x->source), "%s", d->source);
	x->checks = json_loads(d->checks_json, 0, NULL);
	ck_assert_ptr_nonnull(x->checks);
	return 1;
}

static void evidence_done(struct evidence *x)
{
	json_decref(x->checks);
}
static inline void cleanup_evidence_done(struct evidence *x)
{
	evidence_done(x);
}

static struct evidence newest(struct run_frame *t)
{
	const struct catalog_drill_filter filter = { .drill = "weekly" };
	struct evidence x = { .found = false };

	ok(&t->f, catalog_drills(t->f.c, &filter, take, &x, &t->f.e));
	ck_assert(x.found);
	return x;
}

/* The check whose name begins so; asserts whether it passed. */
static const char *check_is(const struct evidence *x, const char *name,
			    bool passed)
{
	for (size_t i = 0; i < json_array_size(x->checks); i++) {
		const json_t *c = json_array_get(x->checks, i);
		const char *is = json_string_value(json_object_get(c, "name"));

		if (strncmp(is, name, strlen(name)) != 0)
			continue;
		ck_assert_msg(json_is_true(json_object_get(c, "passed")) ==
				      passed,
			      "%s", is);
		ck_assert(json_is_number(json_object_get(c, "seconds")));
		return json_string_value(json_object_get(c, "message"));
	}
	ck_abort_msg("there is no check %s", name);
	return "";
}

/* How many entries the folder of drills has. */
static int scratch_left(const struct run_frame *t)
{
	DIR *d = opendir(run_path(t, "state/drills"));
	int n = -2;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* ---- Cases -------------------------------------------------------------- */

START_TEST(passes_and_records)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	apply_drill(&t, ",\"rto\":\"30m\",\"checks\":[{\"type\":\"tree\"},{"
			"\"type\":\"command\",\"argv\":[\"test\",\"-d\",\"."
			"\"]}]");
	snapshot(&t);
	/* From its end on, however long it took. */
	run_clock(&t, clock_now().sec + 600);
	ck_assert_int_eq(drill(&t), RUN_SUCCEEDED);
	x = newest(&t);
	ck_assert(x.passed);
	ck_assert_str_eq(x.message, "");
	ck_assert_str_eq(x.source, "web");
	ck_assert_uint_eq(strlen(x.snapshot), 32);
	ck_assert_int_ge(x.rto_ms, 0);
	ck_assert_int_ge(x.rpo_ms, 599 * 1000);
	ck_assert_int_lt(x.rpo_ms, 660 * 1000);
	(void)check_is(&x, "restore web", true);
	(void)check_is(&x, "tree web", true);
	(void)check_is(&x, "command test -d .", true);
	(void)check_is(&x, "rto", true);
	ck_assert_int_eq(scratch_left(&t), 0);
	ck_assert_int_eq(frame_count(&t.f,
				     "SELECT count(*) FROM audit WHERE action "
				     "= 'drill.run' AND object = "
				     "'Drill/weekly'"),
			 1);
}
END_TEST

START_TEST(a_command_that_fails_hangs_or_is_missing)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	apply_drill(&t, ",\"checks\":["
			"{\"type\":\"command\",\"argv\":[\"false\"]},"
			"{\"type\":\"command\",\"argv\":[\"sleep\",\"600\"],"
			"\"timeout\":\"1s\"},"
			"{\"type\":\"command\",\"argv\":[\"no-such-program\"]},"
			"{\"type\":\"command\",\"argv\":[\"true\"]}]");
	snapshot(&t);
	ck_assert_int_eq(drill(&t), RUN_FAILED);
	x = newest(&t);
	ck_assert(!x.passed);
	ck_assert_str_eq(check_is(&x, "command false", false),
			 "it ended with status 1");
	ck_assert_str_eq(check_is(&x, "command sleep", false),
			 "it was not done within 1s, and was killed");
	ck_assert_str_eq(check_is(&x, "command no-such-program", false),
			 "there is no program \"no-such-program\"");
	(void)check_is(&x, "command true", true);
	ck_assert_str_eq(x.message, "command false: it ended with status 1");
	ck_assert_int_eq(scratch_left(&t), 0);
}
END_TEST

START_TEST(a_command_sees_nothing_of_ours)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	ck_assert_int_eq(setenv("SNAPCTL_SECRET", "hunter2", 1), 0);
	apply_drill(&t, ",\"checks\":[{\"type\":\"command\",\"argv\":[\"sh\","
			"\"-c\",\"! env | grep -q hunter2 && test -z "
			"\\\"$SNAPCTL_SECRET\\\" && head -c 100000 /dev/zero "
			"&& echo the end\"]}]");
	snapshot(&t);
	ck_assert_int_eq(drill(&t), RUN_SUCCEEDED);
	(void)unsetenv("SNAPCTL_SECRET");
	x = newest(&t);
	{
		const char *output = json_string_value(
			json_object_get(json_array_get(x.checks, 1), "output"));
		const size_t n = strlen(output);

		/* Of much the end is kept. */
		ck_assert_uint_lt(n, 20000);
		ck_assert_uint_gt(n, 8);
		ck_assert_str_eq(output + n - 8, "the end\n");
	}
}
END_TEST

/* Flip a byte in the middle of every pack below the region. */
static void damage(const struct run_frame *t, const char *folder)
{
	DIR *d = opendir(run_path(t, folder));
	const struct dirent *x;
	int damaged = 0;

	ck_assert_ptr_nonnull(d);
	while ((x = readdir(d))) {
		char path[SCRATCH_PATH + 300];
		struct stat st;
		uint8_t byte;
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s", run_path(t, folder),
			       x->d_name);
		if (lstat(path, &st) < 0 || x->d_name[0] == '.')
			continue;
		if (S_ISDIR(st.st_mode)) {
			char deeper[400];

			(void)snprintf(deeper, sizeof(deeper), "%.100s/%.255s",
				       folder, x->d_name);
			damage(t, deeper);
			damaged++;
			continue;
		}
		(void)chmod(path, 0600);
		fd = open(path, O_RDWR);
		ck_assert_int_ge(fd, 0);
		for (off_t at = 64; at < st.st_size; at += 16) {
			ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
			byte ^= 0x40;
			ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		}
		(void)close(fd);
		damaged++;
	}
	(void)closedir(d);
	ck_assert_int_gt(damaged, 0);
}

START_TEST(a_damaged_region_fails)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	apply_drill(&t, "");
	snapshot(&t);
	damage(&t, "a/data");
	ck_assert_int_eq(drill(&t), RUN_FAILED);
	x = newest(&t);
	ck_assert(!x.passed);
	ck_assert_str_ne(x.message, "");
	(void)check_is(&x, "restore web", false);
	ck_assert_int_eq(scratch_left(&t), 0);
}
END_TEST

START_TEST(a_region_that_is_away_fails)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	apply_drill(&t, ",\"checks\":[{\"type\":\"command\",\"argv\":[\"true\""
			"]}]");
	snapshot(&t);
	ck_assert_int_eq(rename(run_path(&t, "a"), run_path(&t, "gone")), 0);
	ck_assert_int_eq(drill(&t), RUN_FAILED);
	x = newest(&t);
	ck_assert(!x.passed);
	ck_assert_int_eq(x.rto_ms, -1);
	ck_assert_int_eq(x.rpo_ms, -1);
	(void)check_is(&x, "region a", false);
	(void)check_is(&x, "command true", false);
}
END_TEST

START_TEST(without_a_snapshot_it_fails)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	apply_drill(&t, "");
	ck_assert_int_eq(drill(&t), RUN_FAILED);
	x = newest(&t);
	ck_assert_str_eq(check_is(&x, "restore web", false),
			 "region a has no snapshot of web");
	ck_assert_int_eq(scratch_left(&t), 0);
}
END_TEST

START_TEST(data_older_than_the_target_fails)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };

	run_open(&t);
	apply_drill(&t, "");
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"names\":[\"web\"]},"
		  "\"repository\":\"main\",\"rpo\":\"1h\"}");
	snapshot(&t);
	run_clock(&t, 1700000000 + 3500);
	ck_assert_int_eq(drill(&t), RUN_SUCCEEDED);
	run_clock(&t, 1700000000 + 3700);
	ck_assert_int_eq(drill(&t), RUN_FAILED);
	x = newest(&t);
	(void)check_is(&x, "tree web", true);
	ck_assert_ptr_nonnull(
		strstr(check_is(&x, "rpo", false), "over the target of 1h"));
}
END_TEST

START_TEST(several_sources_lie_together)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(evidence_done) struct evidence x = { 0 };
	char spec[3 * SCRATCH_PATH];

	run_open(&t);
	ck_assert_int_eq(mkdir(run_path(&t, "web/deep"), 0750), 0);
	run_file(&t, "web/deep/two", "two\n");
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\"]}",
		       run_path(&t, "web/deep"));
	run_apply(&t, "Source", "app", "{\"tier\":\"gold\"}", spec);
	(void)snprintf(spec, sizeof(spec),
		       ",\"checks\":[{\"type\":\"tree\"},{\"type\":\"command\","
		       "\"user\":\"root\",\"argv\":[\"cat\",\".%s\",\".%s\"]}]",
		       run_path(&t, "web/one"), run_path(&t, "web/deep/two"));
	if (geteuid() != 0)
		ck_skip("several_sources_lie_together", "takes root");
	apply_drill(&t, spec);
	snapshot(&t);
	ck_assert_int_eq(drill(&t), RUN_SUCCEEDED);
	x = newest(&t);
	ck_assert_str_eq(x.source, "app, web");
	(void)check_is(&x, "tree app", true);
	(void)check_is(&x, "tree web", true);
}
END_TEST

START_TEST(asked_to_stop_it_leaves_nothing)
{
	CLEANUP(run_done) struct run_frame t;
	enum run_state state;

	run_open(&t);
	apply_drill(&t, "");
	snapshot(&t);
	atomic_store(&t.stop, true);
	ck_assert_int_eq(perform(&t, &state), -1);
	ck_assert_int_eq(t.f.e.code, ERR_INTERRUPTED);
	ck_assert_int_eq(scratch_left(&t), 0);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM drills"), 0);
}
END_TEST

/* What a killed drill leaves: folders without permissions, deep ones. */
static void leave(const struct run_frame *t, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "state/drills/%s", name);
	ck_assert_int_eq(mkdir(run_path(t, path), 0700), 0);
	for (int i = 0; i < 60; i++) {
		const size_t n = strlen(path);

		(void)snprintf(path + n, sizeof(path) - n, "/d");
		ck_assert_int_eq(mkdir(run_path(t, path), 0700), 0);
	}
	(void)snprintf(path, sizeof(path), "state/drills/%s/link", name);
	ck_assert_int_eq(symlink("../keep", run_path(t, path)), 0);
	(void)snprintf(path, sizeof(path), "state/drills/%s/d/d", name);
	ck_assert_int_eq(chmod(run_path(t, path), 0), 0);
}

START_TEST(leftovers_go_and_nothing_else)
{
	CLEANUP(run_done) struct run_frame t;
	int living;

	run_open(&t);
	apply_drill(&t, "");
	snapshot(&t);
	ck_assert_int_eq(mkdir(run_path(&t, "state"), 0700) |
				 mkdir(run_path(&t, "state/drills"), 0700),
			 0);
	leave(&t, "drill-9-99");
	leave(&t, "drill-10-100");
	ck_assert_int_eq(
		mkdir(run_path(&t, "state/drills/keep"), 0700) |
			mkdir(run_path(&t, "state/drills/drill-1"), 0700) |
			mkdir(run_path(&t, "state/drills/drill-1-2x"), 0700),
		0);
	run_file(&t, "state/drills/keep/file", "x");
	run_file(&t, "state/drills/drill-7-7", "a file is not ours");
	/* This one is being done. */
	living = open(run_path(&t, "state/drills/drill-10-100"),
		      O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(flock(living, LOCK_EX), 0);
	ck_assert_int_eq(drill(&t), RUN_SUCCEEDED);
	ck_assert_int_eq(access(run_path(&t, "state/drills/drill-9-99"), F_OK),
			 -1);
	ck_assert_int_eq(scratch_left(&t), 5);
	ck_assert_int_eq(access(run_path(&t, "state/drills/keep/file"), F_OK),
			 0);
	(void)close(living);
	ok(&t.f, drill_scratch_clean(run_path(&t, "state/drills"), &t.f.e));
	ck_assert_int_eq(scratch_left(&t), 4);
}
END_TEST

/* Of its own: nothing of it is left, however the test ends. */
static bool mount_there(const char *path)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", path, "tmpfs", 0, "size=1m,mode=750") == 0;
}

/* What somebody mounted there stays as it is, and is told; it keeps nothing
 * else. */
static void expect_mount_stays(const char *name)
{
	CLEANUP(run_done) struct run_frame t;
	char path[256];
	char file[300];
	struct stat st;

	run_open(&t);
	ck_assert_int_eq(mkdir(run_path(&t, "state"), 0700), 0);
	ck_assert_int_eq(mkdir(run_path(&t, "state/drills"), 0700), 0);
	leave(&t, "drill-9-99");
	leave(&t, "drill-10-100");
	(void)snprintf(path, sizeof(path), "state/drills/drill-9-99/%s", name);
	if (!mount_there(run_path(&t, path))) {
		ck_skip("what cannot be removed", "cannot mount");
		return;
	}
	(void)snprintf(file, sizeof(file), "%s/file", path);
	run_file(&t, file, "x");
	ck_assert_int_eq(
		drill_scratch_clean(run_path(&t, "state/drills"), &t.f.e), -1);
	ck_assert_ptr_nonnull(strstr(t.f.e.text, "\"drill-9-99\": "));
	ck_assert_int_eq(access(run_path(&t, file), F_OK), 0);
	ck_assert_int_eq(stat(run_path(&t, path), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0750);
	/* Of two times 61 folders and a link, what leads there. */
	ck_assert_int_eq(umount(run_path(&t, path)), 0);
	ck_assert_int_eq(rmdir(run_path(&t, path)), 0);
	if (strchr(name, '/'))
		ck_assert_int_eq(
			rmdir(run_path(&t, "state/drills/drill-9-99/d")), 0);
	ck_assert_int_eq(rmdir(run_path(&t, "state/drills/drill-9-99")), 0);
	ck_assert_int_eq(scratch_left(&t), 0);
}

START_TEST(what_is_mounted_there_keeps_nothing_else)
{
	expect_mount_stays("m");
}
END_TEST

START_TEST(what_is_mounted_further_down_keeps_nothing_else)
{
	expect_mount_stays("d/m");
}
END_TEST

/* Its folders are called like those that are moved aside. */
START_TEST(a_removal_that_was_killed_is_gone_on_with)
{
	CLEANUP(run_done) struct run_frame t;

	run_open(&t);
	ck_assert_int_eq(mkdir(run_path(&t, "state"), 0700), 0);
	ck_assert_int_eq(mkdir(run_path(&t, "state/drills"), 0700), 0);
	leave(&t, "drill-9-99");
	for (int i = 0; i < 3; i++) {
		char path[80];

		(void)snprintf(path, sizeof(path),
			       "state/drills/drill-9-99/aside-%d", i);
		ck_assert_int_eq(mkdir(run_path(&t, path), 0700), 0);
		(void)snprintf(path, sizeof(path),
			       "state/drills/drill-9-99/aside-%d/below", i);
		ck_assert_int_eq(mkdir(run_path(&t, path), 0700), 0);
	}
	ok(&t.f, drill_scratch_clean(run_path(&t, "state/drills"), &t.f.e));
	ck_assert_int_eq(scratch_left(&t), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, passes_and_records);
	tcase_add_test(tc, a_command_that_fails_hangs_or_is_missing);
	tcase_add_test(tc, a_command_sees_nothing_of_ours);
	tcase_add_test(tc, a_damaged_region_fails);
	tcase_add_test(tc, a_region_that_is_away_fails);
	tcase_add_test(tc, without_a_snapshot_it_fails);
	tcase_add_test(tc, data_older_than_the_target_fails);
	tcase_add_test(tc, several_sources_lie_together);
	tcase_add_test(tc, asked_to_stop_it_leaves_nothing);
	tcase_add_test(tc, leftovers_go_and_nothing_else);
	tcase_add_test(tc, what_is_mounted_there_keeps_nothing_else);
	tcase_add_test(tc, what_is_mounted_further_down_keeps_nothing_else);
	tcase_add_test(tc, a_removal_that_was_killed_is_gone_on_with);
}

CHECK_MAIN("service/drill", cases)
