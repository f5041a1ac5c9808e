/*
 * A tree that others change while it is walked: the walk ends, keeps its
 * order, never leaves the tree, and what is recorded holds together.
 */
#include "storage/sources/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_gen.h"
#include "tests/support/tree_list.h"

#define ROUNDS 60

/* A child that does the same thing to the tree until it is killed. */
typedef void mischief(const char *root, struct random *r);

static pid_t start(mischief *what, const char *root, struct random *r)
{
	const pid_t parent = getpid();
	const pid_t pid = check_fork_child();

	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || chdir(root) < 0)
		_exit(1);
	for (;;)
		what(root, r);
}

static void stop(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	/* It was still at it, so that the walk had something to meet. */
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void may_fail(int result)
{
	(void)result;
}

static void write_file(const char *path, char byte, size_t n)
{
	char bytes[5000];
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			    0600);

	memset(bytes, byte, sizeof(bytes));
	if (fd >= 0) {
		while (n > 0) {
			const size_t part = n < sizeof(bytes) ? n
							      : sizeof(bytes);

			if (write(fd, bytes, part) != (ssize_t)part)
				break;
			n -= part;
		}
		(void)close(fd);
	}
}

/*
 * Files that come first, so that what comes after them was looked at a good
 * while before it is opened.
 */
static void make_ballast(const char *root)
{
	char path[SCRATCH_PATH];
	int i;

	(void)snprintf(path, sizeof(path), "%s/0", root);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	for (i = 0; i < 200; i++) {
		(void)snprintf(path, sizeof(path), "%s/0/%d", root, i);
		write_file(path, 'b', 100);
	}
}

static void walk(struct tree_list *t, const char *root, unsigned int threads)
{
	CLEANUP(source_close) struct source *s = NULL;
	const struct files_options o = {
		.paths = &root,
		.path_count = 1,
		.report = tree_list_report,
		.report_arg = t,
		.threads = threads,
	};
	struct err e = { 0 };

	ck_ok(files_open(&o, &s, &e));
	/* Order and sizes are asserted in there. */
	tree_list_source(t, s, 700);
	tree_list_cut(t, root);
}

/* Everything that mutating a tree can do, all the time. */
static void mutate(const char *root, struct random *r)
{
	tree_gen_mutate(root, 5, r);
}

START_TEST(a_storm_of_changes)
{
	struct random r = random_seed();
	struct scratch dir;
	pid_t pid;
	int i;

	scratch_init(&dir);
	tree_gen_fill(dir.path, 300, &r);
	pid = start(mutate, dir.path, &r);
	for (i = 0; i < ROUNDS; i++) {
		struct tree_list t = { 0 };

		walk(&t, dir.path, 1 + (unsigned int)i % 3);
		/* The root is never touched. */
		ck_assert_str_eq(t.lines[0].path, dir.path);
		/* As root nothing is unreadable, so nothing is an error. */
		if (geteuid() == 0 && t.error_count)
			ck_abort_msg("%s", t.errors[0]);
		tree_list_done(&t);
	}
	stop(pid);
	scratch_done(&dir);
}
END_TEST

/* A folder, its place taken by a link to what is outside, and back. */
static void swap_for_link(const char *root, struct random *r)
{
	(void)root;
	(void)r;
	may_fail(rename("in/folder", "aside"));
	may_fail(symlink("../../outside", "in/folder"));
	may_fail(unlink("in/folder"));
	may_fail(rename("aside", "in/folder"));
	may_fail(rename("in/file", "aside-file"));
	may_fail(symlink("../../outside/secret", "in/file"));
	may_fail(unlink("in/file"));
	may_fail(rename("aside-file", "in/file"));
}

START_TEST(links_lead_nowhere)
{
	struct random r = { 1 };
	struct scratch dir;
	char root[SCRATCH_PATH];
	char path[SCRATCH_PATH];
	pid_t pid;
	int i;

	scratch_init(&dir);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "outside", path), 0700), 0);
	write_file(scratch_path(&dir, "outside/secret", path), 's', 10);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "tree", root), 0700), 0);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "tree/in", path), 0700), 0);
	write_file(scratch_path(&dir, "tree/in/file", path), 'f', 20);
	ck_assert_int_eq(
		mkdir(scratch_path(&dir, "tree/in/folder", path), 0700), 0);
	write_file(scratch_path(&dir, "tree/in/folder/file", path), 'f', 20);
	make_ballast(root);
	pid = start(swap_for_link, root, &r);
	for (i = 0; i < ROUNDS; i++) {
		struct tree_list t = { 0 };
		size_t j;

		walk(&t, root, 2);
		for (j = 0; j < t.count; j++) {
			ck_assert_ptr_null(strstr(t.lines[j].path, "secret"));
			/* The secret is the only file of 10 bytes. */
			ck_assert_ptr_null(strstr(t.lines[j].text, " 10 ino"));
		}
		ck_assert_uint_eq(t.error_count, 0);
		tree_list_done(&t);
	}
	stop(pid);
	scratch_done(&dir);
}
END_TEST

/* A file, and what would keep a reader waiting for ever in its place. */
static void swap_for_fifo(const char *root, struct random *r)
{
	(void)root;
	(void)r;
	write_file("new", 'f', 30);
	may_fail(rename("new", "file"));
	may_fail(mkfifo("fifo", 0600));
	may_fail(rename("fifo", "file"));
}

START_TEST(fifos_keep_nobody_waiting)
{
	struct random r = { 1 };
	struct scratch dir;
	pid_t pid;
	int i;

	scratch_init(&dir);
	make_ballast(dir.path);
	pid = start(swap_for_fifo, dir.path, &r);
	for (i = 0; i < ROUNDS; i++) {
		struct tree_list t = { 0 };

		walk(&t, dir.path, 1);
		ck_assert_uint_eq(t.error_count, 0);
		tree_list_done(&t);
	}
	stop(pid);
	scratch_done(&dir);
}
END_TEST

/* One that grows without end, and one that is emptied again and again. */
static void grow_and_shrink(const char *root, struct random *r)
{
	char bytes[4096];
	struct stat st;
	int fd = open("grows", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	(void)root;
	random_bytes(r, bytes, sizeof(bytes));
	may_fail(write(fd, bytes, sizeof(bytes)) < 0);
	if (fstat(fd, &st) == 0 && st.st_size > 64 << 20)
		may_fail(ftruncate(fd, 0));
	(void)close(fd);
	write_file("shrinks", 's', 20000);
}

START_TEST(sizes_that_move_end_somewhere)
{
	struct random r = { 1 };
	struct scratch dir;
	unsigned int flagged = 0;
	pid_t pid;
	int i;

	scratch_init(&dir);
	pid = start(grow_and_shrink, dir.path, &r);
	/* Who shares a busy machine may find it all standing still, a while. */
	for (i = 0; i < ROUNDS || flagged == 0; i++) {
		struct tree_list t = { 0 };
		size_t j;

		walk(&t, dir.path, 1);
		for (j = 0; j < t.count; j++)
			flagged += t.lines[j].state != SOURCE_OK;
		ck_assert_uint_eq(t.error_count, 0);
		tree_list_done(&t);
	}
	stop(pid);
	scratch_done(&dir);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_storm_of_changes);
	tcase_add_test(tc, links_lead_nowhere);
	tcase_add_test(tc, fifos_keep_nobody_waiting);
	tcase_add_test(tc, sizes_that_move_end_somewhere);
}
CHECK_MAIN("storage/sources/files in a tree that moves", cases)
