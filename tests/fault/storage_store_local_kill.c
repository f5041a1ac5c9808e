/*
 * A writer is killed before each of its calls to the system in turn.  Whatever
 * it got to, the store is consistent: an object is whole or absent, what was
 * acknowledged is there, what was replaced is one version or the other, and
 * the next writer can work.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/seam.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct err e;

/* Steps done, told to the parent through a pipe: one byte for each. */
static int told;

static void tell(void)
{
	if (write(told, "x", 1) != 1)
		_exit(3);
}

struct deadline {
	unsigned int calls;
	unsigned int kill_at;
	bool links; /* as on NFS, which cannot rename without replacing */
};

static int die(void *arg, enum seam_call call, const char *path)
{
	struct deadline *d = arg;

	if (++d->calls == d->kill_at)
		(void)kill(getpid(), SIGKILL);
	/* The session's object is replaced, which NFS can do. */
	return d->links && call == SEAM_RENAME && strcmp(path, "s") != 0
		       ? EINVAL
		       : 0;
}

static char text[3000000];

/* What the writer does; each step that was acknowledged is told. */
static int story(struct store *s, struct err *err)
{
	if (store_put(s, "data/ab/1", text, sizeof(text), 0, err) < 0)
		return -1;
	tell();
	if (store_put(s, "data/ab/2", text, 10, 0, err) < 0)
		return -1;
	tell();
	if (store_put(s, "sessions/s", text, 1000, STORE_REPLACE, err) < 0)
		return -1;
	tell();
	if (store_put(s, "sessions/s", text, 2000, STORE_REPLACE, err) < 0)
		return -1;
	tell();
	if (store_remove(s, "data/ab/2", err) < 0)
		return -1;
	tell();
	return 0;
}

static void child(struct deadline d)
{
	struct err err = { .code = ERR_NONE };
	struct store *s = NULL;

	if (store_open(dir.path, true, &s, &err) < 0)
		_exit(4);
	seam_set_hook(die, &d);
	if (story(s, &err) < 0)
		_exit(5);
	_exit(0);
}

static int sizes(void *arg, const struct store_entry *entry, struct err *err)
{
	return buf_addf(arg, err, "%s=%llu ", entry->name,
			(unsigned long long)entry->size);
}

/* What a listing may be after so many steps were acknowledged. */
static bool allowed(unsigned int steps, const char *listing)
{
	static const char *const states[] = {
		"",
		"data/ab/1=3000000 ",
		"data/ab/1=3000000 data/ab/2=10 ",
		"data/ab/1=3000000 data/ab/2=10 sessions/s=1000 ",
		"data/ab/1=3000000 data/ab/2=10 sessions/s=2000 ",
		"data/ab/1=3000000 sessions/s=2000 ",
	};

	return strcmp(listing, states[steps]) == 0 ||
	       (steps < 5 && strcmp(listing, states[steps + 1]) == 0);
}

static void check(unsigned int steps, unsigned int kill_at)
{
	CLEANUP(buf_done) struct buf b;
	struct store *s = NULL;
	uint64_t size = 0;

	buf_init(&b, 4 << 20);
	ck_ok(store_open(dir.path, false, &s, &e));
	ck_ok(store_list(s, "", sizes, &b, &e));
	if (!allowed(steps, buf_str(&b)))
		ck_abort_msg("killed at call %u, %u steps acknowledged: %s",
			     kill_at, steps, buf_str(&b));
	buf_clear(&b);
	if (store_get(s, "data/ab/1", &b, &e) > 0)
		ck_assert_mem_eq(b.data, text, sizeof(text));
	/* Others work at once, in the same places. */
	ck_ok(store_put(s, "data/ab/3", "x", 1, 0, &e));
	ck_assert_int_eq(store_size(s, "data/ab/3", &size, &e), 1);
	store_close(s);
}

/* Kill at this call; false when the story ended before it. */
static bool kill_one(struct deadline d)
{
	int fds[2];
	int status = 0;
	unsigned int steps = 0;
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	scratch_init(&dir);
	pid = check_fork_child();
	if (pid == 0) {
		(void)close(fds[0]);
		told = fds[1];
		child(d);
	}
	(void)close(fds[1]);
	while (read(fds[0], &c, 1) == 1)
		steps++;
	(void)close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	check(steps, d.kill_at);
	scratch_done(&dir);
	return WIFSIGNALED(status);
}

static void kill_all(bool links)
{
	unsigned int n = 1;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 31 >> 3);
	while (kill_one((struct deadline){ .kill_at = n, .links = links }))
		n++;
	/* Five steps of no fewer than two calls each. */
	ck_assert_uint_gt(n, 10);
	ck_assert_uint_lt(n, 200);
}

START_TEST(killed_before_every_call)
{
	kill_all(false);
}
END_TEST

/* As on NFS, where a name is given by link and unlink. */
START_TEST(killed_where_new_names_are_linked)
{
	kill_all(true);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, killed_before_every_call);
	tcase_add_test(tc, killed_where_new_names_are_linked);
}

CHECK_MAIN("storage/store_local_kill", cases)
