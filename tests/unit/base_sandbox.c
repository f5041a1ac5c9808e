/* What a confined process can do, and cannot: base/sandbox.h. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/secret.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

/* A folder with own/, own/deep/, other/, each with a file "f" and a folder. */
static struct scratch dir;
static char own[SCRATCH_PATH], other[SCRATCH_PATH];

static void touch(const char *folder, const char *name)
{
	char path[2 * SCRATCH_PATH];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("text\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void begin(void)
{
	char deep[SCRATCH_PATH];

	scratch_init(&dir);
	scratch_path(&dir, "own", own);
	scratch_path(&dir, "other", other);
	scratch_path(&dir, "own/deep", deep);
	ck_assert_int_eq(mkdir(own, 0700), 0);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_int_eq(mkdir(deep, 0700), 0);
	touch(own, "f");
	touch(deep, "f");
	touch(other, "f");
}

static void end(void)
{
	scratch_done(&dir);
}

/* In a child, for it cannot be undone: what `does` returns is its status. */
static int confined(const struct sandbox *s, int (*does)(void))
{
	const pid_t child = check_fork_child();
	struct sandbox_state state;
	struct err e;
	int status = 0;

	if (child == 0) {
		if (sandbox_enter(s, &state, &e) < 0)
			_exit(99);
		if (!state.no_new_privileges || !state.filter)
			_exit(98);
		_exit(does());
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* The same when nothing is confined, lest it fail for another reason. */
static int free_too(int (*does)(void))
{
	const pid_t child = check_fork_child();
	int status = 0;

	if (child == 0)
		_exit(does());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static bool has_landlock(int version)
{
	struct sandbox_state state;

	sandbox_probe(&state);
	ck_assert(state.no_new_privileges);
	ck_assert(state.filter);
	return state.landlock >= version;
}

/* ---- System calls ------------------------------------------------------- */

/* The line at which it went otherwise, as far as a status can tell. */
#define EXPECT(right)                             \
	do {                                      \
		if (!(right))                     \
			return 1 + __LINE__ % 90; \
	} while (0)
#define FAILS_WITH(number, call) \
	EXPECT((errno = 0, (call)) < 0 && errno == (number))

static int calls_that_nothing_needs(void)
{
	/* Without the filter these are wrong, and change nothing. */
	struct timeval now = { 0, -1 };
	struct timespec then = { 0, -1 };
	struct timex change = { .modes = ADJ_TICK, .tick = 1 };
	char name[] = "none";

	FAILS_WITH(EPERM, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	FAILS_WITH(EPERM,
		   syscall(SYS_process_vm_readv, getpid(), 0, 0, 0, 0, 0));
	FAILS_WITH(EPERM, syscall(SYS_bpf, 0, 0, 0));
	FAILS_WITH(EPERM, syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
	FAILS_WITH(EPERM, syscall(SYS_userfaultfd, 0));
	FAILS_WITH(EPERM, syscall(SYS_io_uring_setup, 1, 0));
	FAILS_WITH(EPERM, syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	FAILS_WITH(EPERM, syscall(SYS_add_key, name, name, name, 1, 0));
	FAILS_WITH(EPERM, mount(name, "/", name, 0, NULL));
	FAILS_WITH(EPERM, umount2("/nowhere", 0));
	FAILS_WITH(EPERM, syscall(SYS_fsopen, name, 0));
	FAILS_WITH(EPERM, syscall(SYS_open_tree, AT_FDCWD, "/", 0));
	FAILS_WITH(EPERM, chroot("/"));
	FAILS_WITH(EPERM, unshare(CLONE_NEWUSER));
	FAILS_WITH(EPERM, syscall(SYS_settimeofday, &now, NULL));
	FAILS_WITH(EPERM, syscall(SYS_clock_settime, CLOCK_REALTIME, &then));
	FAILS_WITH(EPERM, adjtimex(&change));
	FAILS_WITH(EPERM, ioctl(0, TIOCSTI, name));
	FAILS_WITH(EAFNOSUPPORT, socket(AF_PACKET, SOCK_RAW, 0));
	FAILS_WITH(EPERM,
		   syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	FAILS_WITH(ENOSYS, syscall(SYS_clone3, NULL, 0));
	return 0;
}

START_TEST(what_no_run_does_fails)
{
	const struct sandbox s = { .reads = true };

	ck_assert_int_eq(confined(&s, calls_that_nothing_needs), 0);
	ck_assert_int_ne(free_too(calls_that_nothing_needs), 0);
}
END_TEST

/* With arguments with which it would fail, were it not for the filter. */
static int reboots(void)
{
	(void)syscall(SYS_reboot, 0, 0, 0, NULL);
	return 0;
}

static int loads_a_module(void)
{
	(void)syscall(SYS_finit_module, -1, "", 0);
	return 0;
}

START_TEST(what_only_an_intruder_does_ends_it)
{
	const struct sandbox s = { .reads = true };

	ck_assert_int_eq(confined(&s, reboots), 256 + SIGSYS);
	ck_assert_int_eq(confined(&s, loads_a_module), 256 + SIGSYS);
	ck_assert_int_eq(free_too(reboots), 0);
}
END_TEST

#ifdef __x86_64__
/* getpid(), by the numbers of 32-bit programs: 20 is writev() in ours. */
static int calls_as_others_do(void)
{
	long number = 20;

	__asm__ volatile("int $0x80" : "+a"(number) : : "memory");
	return number == getpid() ? 0 : 1;
}

static int calls_by_x32(void)
{
	(void)syscall(0x40000000 + SYS_getpid);
	return 0;
}

START_TEST(numbers_of_another_architecture_end_it)
{
	const struct sandbox s = { .reads = true };

	ck_assert_int_eq(confined(&s, calls_as_others_do), 256 + SIGSYS);
	ck_assert_int_eq(confined(&s, calls_by_x32), 256 + SIGSYS);
}
END_TEST
#endif

static void *nothing(void *arg)
{
	return arg;
}

/* What every program of ours does. */
static int the_usual(void)
{
	uint8_t random[32];
	pthread_t thread;
	int fds[2];
	pid_t child;

	secret_random(random, sizeof(random));
	EXPECT(secret_new(64) != NULL);
	EXPECT(pthread_create(&thread, NULL, nothing, NULL) == 0);
	EXPECT(pthread_join(thread, NULL) == 0);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	EXPECT(socket(AF_INET, SOCK_STREAM, 0) >= 0);
	EXPECT(pipe2(fds, O_CLOEXEC) == 0);
	child = fork();
	if (child == 0)
		_exit(7);
	EXPECT(child > 0 && waitpid(child, fds, 0) == child);
	EXPECT(kill(getpid(), 0) == 0);
	EXPECT(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
	return 0;
}

START_TEST(what_every_program_does_goes_on)
{
	const struct sandbox s = { .reads = true };

	ck_assert_int_eq(confined(&s, the_usual), 0);
}
END_TEST

/* ---- Files -------------------------------------------------------------- */

static int made(const char *folder, const char *name)
{
	char path[2 * SCRATCH_PATH];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 ? 0 : -1;
}

static int reads(const char *folder, const char *name)
{
	char path[2 * SCRATCH_PATH];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 ? 0 : -1;
}

static int changes_only_its_own(void)
{
	char from[SCRATCH_PATH], to[SCRATCH_PATH];

	EXPECT(made(own, "new") == 0);
	EXPECT(made(own, "deep/new") == 0);
	EXPECT(truncate(scratch_path(&dir, "own/f", from), 1) == 0);
	/* An upload of a store moves from one folder into another. */
	EXPECT(rename(scratch_path(&dir, "own/deep/new", from),
		      scratch_path(&dir, "own/renamed", to)) == 0);
	EXPECT(link(scratch_path(&dir, "own/renamed", from),
		    scratch_path(&dir, "own/deep/linked", to)) == 0);
	EXPECT(symlink("x", scratch_path(&dir, "own/symlink", to)) == 0);
	EXPECT(unlink(scratch_path(&dir, "own/new", to)) == 0);
	EXPECT(mkdir(scratch_path(&dir, "own/folder", to), 0700) == 0);
	EXPECT(rmdir(scratch_path(&dir, "own/folder", to)) == 0);
	EXPECT(open(own, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) >= 0);
	EXPECT(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);

	FAILS_WITH(EACCES, made(other, "new"));
	FAILS_WITH(EACCES, made(other, "f"));
	FAILS_WITH(EACCES, mkdir(scratch_path(&dir, "new", to), 0700));
	FAILS_WITH(EACCES, unlink(scratch_path(&dir, "other/f", to)));
	FAILS_WITH(EACCES, rmdir(other));
	FAILS_WITH(EACCES, symlink("x", scratch_path(&dir, "other/s", to)));
	FAILS_WITH(EACCES, rename(scratch_path(&dir, "own/renamed", from),
				  scratch_path(&dir, "other/f", to)));
	EXPECT(reads(other, "f") == 0);
	/* Also by a way through what is its own. */
	FAILS_WITH(EACCES, made(own, "deep/../../other/new"));
	return 0;
}

static const struct sandbox_place write_own[] = {
	{ own, SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/null", SANDBOX_WRITE },
	{ "/nowhere/at/all", SANDBOX_WRITE },
};

START_TEST(files_are_changed_only_where_it_may)
{
	const struct sandbox s = { .places = write_own,
				   .place_count = 3,
				   .reads = true };

	if (!has_landlock(2))
		return;
	begin();
	ck_assert_int_eq(confined(&s, changes_only_its_own), 0);
	ck_assert_int_ne(free_too(changes_only_its_own), 0);
	end();
}
END_TEST

static int truncates(void)
{
	char path[SCRATCH_PATH];

	FAILS_WITH(EACCES, truncate(scratch_path(&dir, "other/f", path), 0));
	return 0;
}

START_TEST(nor_are_they_cut_off)
{
	const struct sandbox s = { .reads = true };

	if (!has_landlock(3))
		return;
	begin();
	ck_assert_int_eq(confined(&s, truncates), 0);
	end();
}
END_TEST

static int reads_only_its_own(void)
{
	EXPECT(reads(own, "f") == 0);
	EXPECT(reads(own, "deep/f") == 0);
	FAILS_WITH(EACCES, reads(other, "f"));
	FAILS_WITH(EACCES, open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	FAILS_WITH(EACCES, open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	return 0;
}

START_TEST(files_are_read_only_where_it_may)
{
	const struct sandbox s = { .places = write_own, .place_count = 3 };

	if (!has_landlock(2))
		return;
	begin();
	ck_assert_int_eq(confined(&s, reads_only_its_own), 0);
	end();
}
END_TEST

static int makes_folders(void)
{
	char path[SCRATCH_PATH];

	EXPECT(mkdir(scratch_path(&dir, "own/.made", path), 0700) == 0);
	EXPECT(rmdir(path) == 0);
	FAILS_WITH(EACCES, made(own, "new"));
	FAILS_WITH(EACCES, unlink(scratch_path(&dir, "own/f", path)));
	return 0;
}

START_TEST(folders_alone_can_be_granted)
{
	const struct sandbox_place place = { own, SANDBOX_FOLDERS };
	const struct sandbox s = { .places = &place,
				   .place_count = 1,
				   .reads = true };

	if (!has_landlock(2))
		return;
	begin();
	ck_assert_int_eq(confined(&s, makes_folders), 0);
	end();
}
END_TEST

static int gives_no_modes(void)
{
	char path[SCRATCH_PATH];
	int fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	EXPECT(fd >= 0);
	FAILS_WITH(EPERM, chmod(scratch_path(&dir, "own/f", path), 0777));
	FAILS_WITH(EPERM, fchmod(fd, 0777));
	FAILS_WITH(EPERM, fchmodat(fd, "f", 0777, 0));
	FAILS_WITH(EPERM, chown(path, getuid(), (gid_t)-1));
	FAILS_WITH(EPERM, lchown(path, getuid(), (gid_t)-1));
	FAILS_WITH(EPERM, fchown(fd, getuid(), (gid_t)-1));
	FAILS_WITH(EPERM, setxattr(path, "user.x", "y", 1, 0));
	FAILS_WITH(EPERM, mkfifo(scratch_path(&dir, "own/fifo", path), 0600));
	return 0;
}

static int gives_modes(void)
{
	char path[SCRATCH_PATH];

	EXPECT(chmod(scratch_path(&dir, "own/f", path), 0640) == 0);
	EXPECT(mkfifo(scratch_path(&dir, "own/fifo", path), 0600) == 0);
	return 0;
}

START_TEST(modes_and_owners_are_for_those_who_restore)
{
	const struct sandbox_place place = { own,
					     SANDBOX_WRITE | SANDBOX_SPECIAL };
	struct sandbox s = { .places = &place,
			     .place_count = 1,
			     .reads = true };

	begin();
	ck_assert_int_eq(confined(&s, gives_no_modes), 0);
	s.attributes = true;
	ck_assert_int_eq(confined(&s, gives_modes), 0);
	end();
}
END_TEST

/* ---- Programs ----------------------------------------------------------- */

static int executes(void)
{
	(void)execl("/bin/true", "true", NULL);
	return errno == EPERM ? 17 : 18;
}

/* NoNewPrivs is 1, and what is confined stays so. */
static int passes_it_on(void)
{
	(void)execl("/bin/sh", "sh", "-c",
		    "grep -q '^NoNewPrivs:.1' /proc/self/status && "
		    "grep -q '^Seccomp:.2' /proc/self/status && "
		    ": >/dev/null && ! mount --bind / / 2>/dev/null",
		    NULL);
	return 1;
}

START_TEST(programs_are_for_those_who_start_them)
{
	struct sandbox s = { .places = write_own,
			     .place_count = 3,
			     .reads = true };

	ck_assert_int_eq(confined(&s, executes), 17);
	s.executes = true;
	ck_assert_int_eq(confined(&s, executes), 0);
	ck_assert_int_eq(confined(&s, passes_it_on), 0);
}
END_TEST

/* ---- The network, and others -------------------------------------------- */

static int port; /* somebody listens there */

static int connects(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(fd >= 0);
	return connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? 0
	       : errno == EACCES					  ? 17
									  : 18;
}

static int listens(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(fd >= 0);
	return bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 ? 0
	       : errno == EACCES				       ? 17
								       : 18;
}

START_TEST(nobody_listens_and_few_connect)
{
	struct sandbox s = { .reads = true };
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(at);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!has_landlock(4))
		return;
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	port = ntohs(at.sin_port);
	ck_assert_int_eq(confined(&s, connects), 17);
	ck_assert_int_eq(confined(&s, listens), 17);
	s.connects = true;
	ck_assert_int_eq(confined(&s, connects), 0);
	ck_assert_int_eq(confined(&s, listens), 17);
	ck_assert_int_eq(close(fd), 0);
}
END_TEST

static int signals_its_parent(void)
{
	return kill(getppid(), 0) == 0 ? 0 : errno == EPERM ? 17 : 18;
}

START_TEST(others_get_no_signals)
{
	const struct sandbox s = { .reads = true };

	if (!has_landlock(6))
		return;
	ck_assert_int_eq(confined(&s, signals_its_parent), 17);
	ck_assert_int_eq(free_too(signals_its_parent), 0);
}
END_TEST

/* ---- All of it ---------------------------------------------------------- */

static int enters_again(void)
{
	const struct sandbox less = { .places = write_own, .place_count = 1 };
	struct sandbox_state state;
	struct err e;

	EXPECT(reads(other, "f") == 0);
	EXPECT(sandbox_enter(&less, &state, &e) == 0);
	FAILS_WITH(EACCES, reads(other, "f"));
	EXPECT(made(own, "new") == 0);
	return 0;
}

START_TEST(who_enters_twice_has_less)
{
	const struct sandbox s = { .places = write_own,
				   .place_count = 3,
				   .reads = true };

	if (!has_landlock(2))
		return;
	begin();
	ck_assert_int_eq(confined(&s, enters_again), 0);
	end();
}
END_TEST

static int holds_its_own(void)
{
	char link[64], at[SCRATCH_PATH];
	int held = 0;

	for (int fd = 3; fd < 100; fd++) {
		ssize_t n;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, at, sizeof(at) - 1);
		at[n > 0 ? n : 0] = '\0';
		held += strcmp(at, own) == 0;
		EXPECT(strcmp(at, other) != 0);
	}
	EXPECT(held == 1);
	return 0;
}

START_TEST(what_is_mounted_there_stays)
{
	const struct sandbox_place places[] = { { own, SANDBOX_WRITE },
						{ other, SANDBOX_READ } };
	const struct sandbox s = { .places = places,
				   .place_count = 2,
				   .reads = true };

	if (!has_landlock(2))
		return;
	begin();
	ck_assert_int_eq(confined(&s, holds_its_own), 0);
	end();
}
END_TEST

static int reads_by_its_number(void)
{
	char byte;

	EXPECT(read(0, &byte, 1) == 1);
	return reads(other, "f") < 0 ? 0 : 1;
}

/* A pipe is in no file system of which rules could be made; nor is one needed.
 */
START_TEST(a_pipe_is_no_place)
{
	const struct sandbox_place places[] = {
		{ "/proc/self/fd/0", SANDBOX_READ }, { own, SANDBOX_READ }
	};
	const struct sandbox s = { .places = places, .place_count = 2 };
	int fds[2];

	if (!has_landlock(2))
		return;
	begin();
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(dup2(fds[0], 0), 0);
	ck_assert_int_eq(confined(&s, reads_by_its_number), 0);
	ck_assert_int_eq(close(fds[0]), 0);
	ck_assert_int_eq(close(fds[1]), 0);
	end();
}
END_TEST

static int writes_anywhere(void)
{
	char from[SCRATCH_PATH], to[SCRATCH_PATH];

	EXPECT(made(other, "new") == 0);
	EXPECT(rename(scratch_path(&dir, "other/new", from),
		      scratch_path(&dir, "own/deep/moved", to)) == 0);
	EXPECT(unlink(to) == 0);
	return execl("/bin/true", "true", NULL) < 0 && errno == EPERM ? 0 : 1;
}

static int does_all(void)
{
	EXPECT(writes_anywhere() != 0);
	return 1; /* it was executed instead */
}

START_TEST(everything_can_be_granted)
{
	struct sandbox s = { .reads = true, .writes = true };

	begin();
	ck_assert_int_eq(confined(&s, writes_anywhere), 0);
	s.executes = s.attributes = s.connects = true;
	ck_assert_int_eq(confined(&s, does_all), 0);
	end();
}
END_TEST

static void *waits(void *arg)
{
	char byte;

	(void)!read(*(int *)arg, &byte, 1);
	return NULL;
}

START_TEST(not_with_threads)
{
	const struct sandbox s = { .reads = true };
	const pid_t child = check_fork_child();
	struct sandbox_state state;
	pthread_t thread;
	int fds[2];
	int status = 0;
	struct err e;

	if (child == 0) {
		if (pipe(fds) < 0 ||
		    pthread_create(&thread, NULL, waits, &fds[0]) != 0)
			_exit(1);
		if (sandbox_enter(&s, &state, &e) == 0 || e.code != ERR_BUG)
			_exit(2);
		_exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(it_is_told_in_words)
{
	struct sandbox_state state = { .no_new_privileges = true,
				       .filter = true,
				       .landlock = 7 };
	char text[SANDBOX_TEXT];

	sandbox_tell(&state, text);
	ck_assert_str_eq(text, "no new privileges, a filter of system calls, "
			       "Landlock 7");
	state.landlock = 0;
	state.filter = false;
	sandbox_tell(&state, text);
	ck_assert_str_eq(text, "no new privileges");
	state.no_new_privileges = false;
	sandbox_tell(&state, text);
	ck_assert_str_eq(text, "nothing");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_no_run_does_fails);
	tcase_add_test(tc, what_only_an_intruder_does_ends_it);
#ifdef __x86_64__
	tcase_add_test(tc, numbers_of_another_architecture_end_it);
#endif
	tcase_add_test(tc, what_every_program_does_goes_on);
	tcase_add_test(tc, files_are_changed_only_where_it_may);
	tcase_add_test(tc, nor_are_they_cut_off);
	tcase_add_test(tc, files_are_read_only_where_it_may);
	tcase_add_test(tc, folders_alone_can_be_granted);
	tcase_add_test(tc, modes_and_owners_are_for_those_who_restore);
	tcase_add_test(tc, programs_are_for_those_who_start_them);
	tcase_add_test(tc, nobody_listens_and_few_connect);
	tcase_add_test(tc, others_get_no_signals);
	tcase_add_test(tc, who_enters_twice_has_less);
	tcase_add_test(tc, what_is_mounted_there_stays);
	tcase_add_test(tc, a_pipe_is_no_place);
	tcase_add_test(tc, everything_can_be_granted);
	tcase_add_test(tc, not_with_threads);
	tcase_add_test(tc, it_is_told_in_words);
}

CHECK_MAIN("base/sandbox", cases)
