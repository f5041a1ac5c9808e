/*
 * Copying to another region is killed before each of its calls to the system
 * in turn, from making the region to the last record.  Whatever it got to, the
 * region is none yet, or lists only what it restores in full; and the next
 * run makes it equal.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/seam.h"
#include "storage/repository/deletion.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static char from_url[SCRATCH_PATH];
static char to_url[SCRATCH_PATH];
static struct err e;

struct deadline {
	atomic_uint calls;
	unsigned int kill_at;
};

static int die(void *arg, enum seam_call call, const char *path)
{
	struct deadline *d = arg;

	(void)call;
	(void)path;
	/* Threads that race past the one that dies die here as well. */
	if (atomic_fetch_add(&d->calls, 1) + 1 >= d->kill_at)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static void child(unsigned int kill_at)
{
	const struct replicate_options o = { .host = "h" };
	struct deadline d = { .kill_at = kill_at };
	struct err why = { 0 };
	struct replicate_result r;
	struct repository *from = NULL;
	struct repository *to = NULL;
	struct store *s = NULL;

	seam_set_hook(die, &d);
	if (repository_open(from_url, key, &from, &why) ||
	    store_open(to_url, true, &s, &why) ||
	    replicate_settle(repository_store(from), s, key, &why) ||
	    repository_open(to_url, key, &to, &why) ||
	    replicate_run(from, to, &o, &r, &why))
		_exit(1);
	repository_close(to);
	repository_close(from);
	_exit(0);
}

/* 1 when it ended by itself, 0 when it was killed. */
static int run_until(unsigned int kill_at)
{
	int status = 0;
	const pid_t pid = check_fork_child();

	if (pid == 0)
		child(kill_at);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		ck_assert_int_eq(WTERMSIG(status), SIGKILL);
		return 0;
	}
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	return 1;
}

/* The region is none, or sound in all that it lists. */
static void check_target(unsigned int kill_at)
{
	static struct region_census c;
	struct repository *to = NULL;
	struct err why = { 0 };

	if (repository_open(to_url, key, &to, &why) == 0) {
		repository_close(to);
		region_census(to_url, key, &c);
	} else if (why.code != ERR_NOT_FOUND) {
		ck_abort_msg("killed at %u: %s", kill_at, why.text);
	}
}

static void set_up(void)
{
	struct random dice = random_seed();
	struct repository *from;
	struct repository_snapshot s;
	char tree[SCRATCH_PATH];
	struct object_id id;
	char text[OBJECT_ID_TEXT];
	const struct deletion d = { .now = clock_now(), .by = "test" };

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", tree));
	(void)scratch_path(&dir, "from", from_url);
	(void)scratch_path(&dir, "to", to_url);
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	region_init(from_url, key);
	from = region_open(from_url, key);
	region_file(tree, "a", 400000, &dice);
	id = region_snapshot(from, tree, "s", 0);
	region_islands(tree, "b", 1100, &dice);
	(void)region_snapshot(from, tree, "s", 1);
	region_file(tree, "c", 100000, &dice);
	(void)region_snapshot(from, tree, "t", 0);
	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(from, text, NULL, true, &s, NULL, &e));
	ck_ok(deletion_delete(from, &s, &d, &e));
	repository_snapshot_done(&s);
	ck_ok(repository_find(from, text, NULL, true, &s, NULL, &e));
	ck_ok(deletion_undelete(from, &s, &d, &e));
	repository_snapshot_done(&s);
	repository_close(from);
}

static void tear_down(void)
{
	keyring_credential_free(key);
	scratch_done(&dir);
}

static void forget_target(void)
{
	struct store *s = NULL;
	char gone[SCRATCH_PATH + 16];
	static unsigned int number;

	/* A fresh place each time: the old one moves aside. */
	(void)snprintf(gone, sizeof(gone), "%s.%u", to_url, number++);
	if (access(to_url, F_OK) == 0)
		ck_assert_int_eq(rename(to_url, gone), 0);
	ck_ok(store_open(to_url, true, &s, &e));
	store_close(s);
}

START_TEST(killed_at_every_call_it_lists_what_it_restores)
{
	unsigned int kill_at = check_first();

	for (unsigned int n = 1;; n++, kill_at += CHECK_EVERY) {
		forget_target();
		if (run_until(kill_at))
			break;
		check_target(kill_at);
		ck_assert_uint_lt(kill_at, 2000);
		/* Every few, that the next run finishes it. */
		if (n % 7 == 0) {
			ck_assert_int_eq(run_until(UINT32_MAX), 1);
			region_expect_same(from_url, to_url, key);
		}
	}
	ck_assert_uint_gt(kill_at, 40);
	region_expect_same(from_url, to_url, key);
}
END_TEST

/* Killed again and again in the same place, a little later each time. */
START_TEST(killed_again_and_again_it_gets_there)
{
	unsigned int kill_at = 5;

	forget_target();
	while (!run_until(kill_at)) {
		check_target(kill_at);
		kill_at += 6;
		ck_assert_uint_lt(kill_at, 4000);
	}
	region_expect_same(from_url, to_url, key);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, killed_at_every_call_it_lists_what_it_restores);
	tcase_add_test(tc, killed_again_and_again_it_gets_there);
}

CHECK_MAIN("storage/replicate, killed", cases)
