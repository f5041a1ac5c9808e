/* Programs that we start: base/child.h. */
#include "base/child.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct err e;

/* Run a script to its end; what it printed and said. */
static int run(const struct child_options *more, const char *script,
	       struct child_tail *out, struct child_tail *said)
{
	const char *const argv[] = { "/bin/sh", "-c", script };
	struct child_options o = more ? *more : (struct child_options){ 0 };
	struct child c;
	bool open = true;
	int status;

	if (!o.argv) {
		o.argv = argv;
		o.argc = 3;
	}
	memset(out, 0, sizeof(*out));
	memset(said, 0, sizeof(*said));
	ck_ok(child_start(&c, &o, &e));
	while (open) {
		struct pollfd fds[2] = { { .fd = c.out, .events = POLLIN },
					 { .fd = c.err, .events = POLLIN } };

		ck_assert_int_ge(poll(fds, 2, 60000), 1);
		open = child_tail_read(out, c.out);
		if (c.err >= 0)
			(void)child_tail_read(said, c.err);
	}
	/* Its end of output comes a moment before its own. */
	{
		struct pollfd end = { .fd = c.pid_fd, .events = POLLIN };

		ck_assert_int_eq(poll(&end, 1, 60000), 1);
	}
	status = child_end(&c);
	if (c.err >= 0)
		(void)child_tail_read(said, c.err);
	child_drop(&c);
	return status;
}

static void expect(const struct child_tail *t, const char *want)
{
	ck_assert_uint_eq(t->len, strlen(want));
	ck_assert_int_eq(memcmp(t->bytes, want, t->len), 0);
}

static bool has_line(const struct child_tail *t, const char *want)
{
	char text[sizeof(t->bytes) + 2];
	char line[300];

	(void)snprintf(text, sizeof(text), "\n%.*s", (int)t->len, t->bytes);
	(void)snprintf(line, sizeof(line), "\n%s\n", want);
	return strstr(text, line) != NULL;
}

START_TEST(arguments_arrive_as_they_are)
{
	const char *const argv[] = { "printf",	  "%s|", "a b",
				     "$HOME; ls", "",	 "\xff" };
	const struct child_options o = { .argv = argv, .argc = 6 };
	struct child_tail out, said;

	ck_assert_int_eq(run(&o, NULL, &out, &said), 0);
	expect(&out, "a b|$HOME; ls||\xff|");
}
END_TEST

START_TEST(it_ends_as_it_ends)
{
	struct child_tail out, said;
	char text[64];

	child_tell_end(run(NULL, "exit 3", &out, &said), text);
	ck_assert_str_eq(text, "it ended with status 3");
	child_tell_end(run(NULL, "kill -TERM $$", &out, &said), text);
	ck_assert_str_eq(text, "signal 15 ended it");
}
END_TEST

START_TEST(nothing_secret_gets_in)
{
	static const char *const added[] = { "PGHOST=/run/x", "LANG=de_DE" };
	const struct child_options o = { .environment = added,
					 .environment_count = 2 };
	struct child_tail out, said;

	ck_assert_int_eq(setenv("AWS_SECRET_ACCESS_KEY", "hush", 1), 0);
	ck_assert_int_eq(
		run(&o, "env | cut -d= -f1 | sort | tr '\\n' ' '", &out, &said),
		0);
	/* PWD and _ are the shell's own. */
	ck_assert_ptr_null(memmem(out.bytes, out.len, "AWS", 3));
	ck_assert_int_eq(run(&o, "env", &out, &said), 0);
	ck_assert(has_line(&out, "PGHOST=/run/x"));
	ck_assert(has_line(&out, "LANG=de_DE"));
	ck_assert(!has_line(&out, "LANG=C.UTF-8"));
	ck_assert_ptr_nonnull(memmem(out.bytes, out.len, "HOME=/", 6));
}
END_TEST

START_TEST(or_all_that_is_ours_does)
{
	static const char *const added[] = { "OURS=changed" };
	const struct child_options o = { .environment = added,
					 .environment_count = 1,
					 .inherits = true };
	struct child_tail out, said;

	ck_assert_int_eq(setenv("OURS", "x", 1), 0);
	ck_assert_int_eq(setenv("MINE", "y", 1), 0);
	ck_assert_int_eq(run(&o, "env", &out, &said), 0);
	ck_assert(has_line(&out, "OURS=changed"));
	ck_assert(has_line(&out, "MINE=y"));
	ck_assert(!has_line(&out, "OURS=x"));
}
END_TEST

START_TEST(it_starts_in_its_folder_without_our_descriptors)
{
	const struct child_options o = { .folder = "/usr", .apart = true };
	struct child_tail out, said;

	ck_assert_int_eq(run(&o, "pwd; ls /proc/self/fd | wc -l; echo no >&2",
			     &out, &said),
			 0);
	/* 0, 1, 2, and the folder that ls reads. */
	expect(&out, "/usr\n4\n");
	expect(&said, "no\n");
}
END_TEST

START_TEST(its_group_goes_with_it)
{
	const char *const argv[] = { "/bin/sh", "-c",
				     "sleep 1000 & echo $!; sleep 1000" };
	const struct child_options o = { .argv = argv, .argc = 3 };
	struct child_tail out = { .len = 0 };
	struct pollfd fd;
	struct child c;
	pid_t other;
	int status;

	ck_ok(child_start(&c, &o, &e));
	fd = (struct pollfd){ .fd = c.out, .events = POLLIN };
	ck_assert_int_eq(poll(&fd, 1, 60000), 1);
	ck_assert(child_tail_read(&out, c.out));
	other = (pid_t)strtol(out.bytes, NULL, 10);
	ck_assert_int_gt(other, 1);
	status = child_end(&c);
	ck_assert(WIFSIGNALED(status));
	/* Init has yet to wait for it, perhaps; but it runs no more. */
	fd.events = POLLIN;
	ck_assert_int_eq(poll(&fd, 1, 60000), 1);
	ck_assert(!child_tail_read(&out, c.out));
	child_drop(&c);
}
END_TEST

static void refuse(const char *program, const char *user, const char *folder,
		   enum err_code code)
{
	const char *const argv[] = { program };
	const struct child_options o = {
		.argv = argv, .argc = 1, .user = user, .folder = folder
	};
	struct child c;

	err_clear(&e);
	ck_assert_int_eq(child_start(&c, &o, &e), -1);
	ck_assert_int_eq(e.code, code);
	child_drop(&c);
}

START_TEST(what_is_not_there_is_told)
{
	refuse("/nowhere/at/all", NULL, NULL, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "\"/nowhere/at/all\""));
	refuse("no-such-program", NULL, NULL, ERR_USAGE);
	refuse("", NULL, NULL, ERR_USAGE);
	refuse("/usr", NULL, NULL, ERR_USAGE);
	refuse("/etc/passwd", NULL, NULL, ERR_USAGE);
	refuse("true", "no-such-user", NULL, ERR_USAGE);
	refuse("true", NULL, "/nowhere", ERR_USAGE);
	if (geteuid() != 0)
		refuse("true", "root", NULL, ERR_DENIED);
}
END_TEST

/* The file is there and may be executed; what should read it is not. */
START_TEST(what_cannot_be_executed_says_so)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	const char *const argv[] = { path };
	const struct child_options o = { .argv = argv, .argc = 1 };
	struct child_tail out, said;
	char text[64];

	scratch_init(&s);
	ck_ok(file_create(scratch_path(&s, "script", path), "#!/nowhere/sh\n",
			  14, 0755, &e));
	child_tell_end(run(&o, NULL, &out, &said), text);
	ck_assert_str_eq(text, "it ended with status 127");
	expect(&out, "it cannot be executed: no such file or "
		     "directory\n");
}
END_TEST

START_TEST(an_environment_has_a_ceiling)
{
	const char *const argv[] = { "true" };
	const struct child_options o = { .argv = argv,
					 .argc = 1,
					 .inherits = true };
	char *big = malloc(2 << 20);
	struct child c;

	ck_assert_ptr_nonnull(big);
	memset(big, 'x', (2 << 20) - 1);
	big[(2 << 20) - 1] = '\0';
	ck_assert_int_eq(setenv("BIG", big, 1), 0);
	free(big);
	ck_assert_int_eq(child_start(&c, &o, &e), -1);
	ck_assert_int_eq(unsetenv("BIG"), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_str_eq(e.text, "the environment is larger than 1024 KiB");
}
END_TEST

/* What `does` returns, as somebody who may little. */
static int as_nobody(int (*does)(const char *path), const char *path)
{
	const pid_t child = check_fork_child();
	int status = 0;

	if (child == 0) {
		if (setgroups(0, NULL) < 0 || setgid(65534) < 0 ||
		    setuid(65534) < 0)
			_exit(99);
		_exit(does(path));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

static int becomes_root(const char *path)
{
	const char *const argv[] = { path };
	const struct child_options o = { .argv = argv,
					 .argc = 1,
					 .user = "root" };
	struct child c;

	return child_start(&c, &o, &e) == 0 ? 1
	       : e.code != ERR_DENIED	    ? 2
	       : strstr(e.text, "\"root\"") ? 0
					    : 3;
}

/* `yes`, all of root's: it ends when nobody reads it any more. */
static int ends_what_became_root(const char *path)
{
	const char *const argv[] = { path, "--reuid=0", "yes" };
	const struct child_options o = { .argv = argv, .argc = 3 };
	char byte;
	struct child c;
	int status;

	if (child_start(&c, &o, &e) < 0)
		return 1;
	while (read(c.out, &byte, 1) < 0)
		if (errno != EAGAIN && errno != EINTR)
			return 2;
	if (kill(c.pid, SIGKILL) == 0)
		return 77; /* setuid has no effect on this file system */
	status = child_end(&c);
	child_drop(&c);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE ? 0 : 3;
}

START_TEST(others_have_only_their_own)
{
	CLEANUP(scratch_done) struct scratch s;
	CLEANUP(buf_done) struct buf program;
	char path[SCRATCH_PATH];
	int ended;

	buf_init(&program, 1 << 20);
	scratch_init(&s);
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(as_nobody(becomes_root, "true"), 0);
	ck_assert_int_eq(chmod(s.path, 0755), 0);
	ck_ok(file_read_all("/usr/bin/setpriv", &program, &e));
	ck_ok(file_create(scratch_path(&s, "becomes", path), program.data,
			  program.len, 0755, &e));
	ck_assert_int_eq(chmod(path, 04755), 0);
	ended = as_nobody(ends_what_became_root, path);
	ck_assert_msg(ended == 0 || ended == 77, "%d", ended);
}
END_TEST

START_TEST(root_becomes_others)
{
	const struct child_options o = { .user = geteuid() == 0 ? "nobody"
								: NULL };
	struct child_tail out, said;
	char want[64];

	(void)snprintf(want, sizeof(want), "%u\n",
		       geteuid() == 0 ? 65534U : (unsigned int)geteuid());
	ck_assert_int_eq(run(&o, "id -u", &out, &said), 0);
	expect(&out, want);
	if (geteuid() != 0)
		return;
	/* And cannot come back, nor keeps a group. */
	ck_assert_int_eq(run(&o, "id -G; echo $USER", &out, &said), 0);
	expect(&out, "65534\nnobody\n");
	ck_assert_int_ne(run(&o, "cat /etc/shadow", &out, &said), 0);
}
END_TEST

START_TEST(the_end_of_much_is_kept)
{
	struct child_tail out, said;
	const char *line;
	size_t n;

	ck_assert_int_eq(
		run(NULL, "seq 1 100000; echo; printf ' \\n'", &out, &said), 0);
	ck_assert_uint_eq(out.len, sizeof(out.bytes));
	n = child_tail_line(&out, &line);
	ck_assert_uint_eq(n, 6);
	ck_assert_int_eq(memcmp(line, "100000", 6), 0);
	ck_assert_int_eq(run(NULL,
			     "printf 'a\\nno server\\n\\tIs it "
			     "there?\\n  Or not?\\n'",
			     &out, &said),
			 0);
	n = child_tail_line(&out, &line);
	ck_assert_uint_eq(n, 9);
	ck_assert_int_eq(memcmp(line, "no server", 9), 0);
	ck_assert_int_eq(run(NULL, "printf '\\n\\ta\\n b'", &out, &said), 0);
	n = child_tail_line(&out, &line);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(memcmp(line, " b", 2), 0);
	ck_assert_int_eq(run(NULL, ":", &out, &said), 0);
	ck_assert_uint_eq(child_tail_line(&out, &line), 0);
}
END_TEST

START_TEST(what_is_no_text_is_told_all_the_same)
{
	CLEANUP(buf_done) struct buf b;
	struct child_tail out, said;
	struct json j;

	buf_init(&b, 65536);
	json_init(&j, json_to_buf, &b);
	ck_assert_int_eq(
		run(NULL, "printf 'a\\377\\nb\\033[1m\\n'", &out, &said), 0);
	child_tail_write(&out, &j);
	ck_ok(json_finish(&j, &e));
	ck_assert_str_eq(buf_str(&b), "\"a\\\\xff\\nb\\\\x1b[1m\\n\"");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, arguments_arrive_as_they_are);
	tcase_add_test(tc, it_ends_as_it_ends);
	tcase_add_test(tc, nothing_secret_gets_in);
	tcase_add_test(tc, or_all_that_is_ours_does);
	tcase_add_test(tc, it_starts_in_its_folder_without_our_descriptors);
	tcase_add_test(tc, its_group_goes_with_it);
	tcase_add_test(tc, what_is_not_there_is_told);
	tcase_add_test(tc, what_cannot_be_executed_says_so);
	tcase_add_test(tc, an_environment_has_a_ceiling);
	tcase_add_test(tc, others_have_only_their_own);
	tcase_add_test(tc, root_becomes_others);
	tcase_add_test(tc, the_end_of_much_is_kept);
	tcase_add_test(tc, what_is_no_text_is_told_all_the_same);
}
CHECK_MAIN("base/child", cases)
