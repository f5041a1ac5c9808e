#include "base/descriptors.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/support/check_main.h"
#include "tests/support/hostile_control.h"

static struct err e;
static int ends[2];

/* What the kernel never says of such a socket: of another level, or type. */
static struct {
	bool changes;
	int level, type;
} said;

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	const ssize_t n = __real_recvmsg(fd, message, flags);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(message) : NULL;

	if (head && said.changes) {
		int fd_in_it;

		memcpy(&fd_in_it, CMSG_DATA(head), sizeof(fd_in_it));
		(void)close(fd_in_it);
		head->cmsg_level = said.level;
		head->cmsg_type = said.type;
	}
	return n;
}

static void begin(void)
{
	said.changes = false;
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void end(void)
{
	file_close(ends[0]);
	file_close(ends[1]);
}

static bool is_null_device(int fd)
{
	struct stat got;
	struct stat wanted;

	return fstat(fd, &got) == 0 && stat("/dev/null", &wanted) == 0 &&
	       got.st_rdev == wanted.st_rdev;
}

START_TEST(what_is_sent_arrives)
{
	const int sent = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int fds[DESCRIPTORS_MAX] = { sent, sent, sent };
	const int before = check_open_descriptors();

	begin();
	for (size_t n = 1; n <= DESCRIPTORS_MAX; n++) {
		int got[DESCRIPTORS_MAX] = { -1, -1, -1 };

		ck_ok(descriptors_send(ends[0], fds, n, &e));
		ck_ok(descriptors_receive(ends[1], got, n, &e));
		for (size_t i = 0; i < DESCRIPTORS_MAX; i++) {
			ck_assert(i < n ? is_null_device(got[i]) &&
						  fcntl(got[i], F_GETFD) ==
							  FD_CLOEXEC
					: got[i] == -1);
			file_close(got[i]);
		}
	}
	end();
	ck_assert_int_eq(check_open_descriptors(), before);
	file_close(sent);
}
END_TEST

START_TEST(too_many_are_not_sent)
{
	const int fds[DESCRIPTORS_MAX + 1] = { 0, 0, 0, 0 };

	begin();
	ck_assert_int_lt(descriptors_send(ends[0], fds, 0, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
	ck_assert_int_lt(
		descriptors_send(ends[0], fds, DESCRIPTORS_MAX + 1, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
	end();
}
END_TEST

static void refuses(size_t wanted, size_t first, size_t second)
{
	int got[DESCRIPTORS_MAX + 1] = { -7, -7, -7, -7 };
	int before;

	begin();
	before = check_open_descriptors();
	ck_assert(hostile_control(ends[0], first, second));
	ck_assert_msg(descriptors_receive(ends[1], got, wanted, &e) < 0,
		      "%zu and %zu for %zu", first, second, wanted);
	ck_assert_int_eq(e.code, ERR_IO);
	for (size_t i = 0; i <= DESCRIPTORS_MAX; i++)
		ck_assert_int_eq(got[i], -7);
	ck_assert_msg(check_open_descriptors() == before,
		      "%zu and %zu for %zu: some stay open", first, second,
		      wanted);
	end();
}

START_TEST(another_number_is_refused_and_closed)
{
	for (size_t wanted = 0; wanted <= DESCRIPTORS_MAX; wanted++)
		for (size_t first = 0; first <= 6; first++)
			for (size_t second = 0; second <= 6; second++)
				if (first + second != wanted)
					refuses(wanted, first, second);
	refuses(2, HOSTILE_MAX, HOSTILE_MAX);
}
END_TEST

START_TEST(some_in_each_of_two_messages_are_taken)
{
	int got[DESCRIPTORS_MAX] = { -1, -1, -1 };

	begin();
	ck_assert(hostile_control(ends[0], 1, 1));
	ck_ok(descriptors_receive(ends[1], got, 2, &e));
	file_close(got[0]);
	file_close(got[1]);
	end();
}
END_TEST

/* There is no room for the last: that two arrive of three is no two. */
START_TEST(some_that_got_lost_are_noticed)
{
	struct rlimit all;
	struct rlimit two;
	unsigned int are_free = 0;
	int got[2];
	int before;
	int r;

	begin();
	before = check_open_descriptors();
	ck_assert(hostile_control(ends[0], 3, 0));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
	two = all;
	for (two.rlim_cur = 0; are_free < 2; two.rlim_cur++)
		are_free += fcntl((int)two.rlim_cur, F_GETFD) < 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &two), 0);
	r = descriptors_receive(ends[1], got, 2, &e);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
	ck_assert_int_lt(r, 0);
	ck_assert_int_eq(check_open_descriptors(), before);
	end();
}
END_TEST

/* It says as what the other end runs: that is no descriptor. */
START_TEST(something_else_beside_them_is_refused)
{
	int got[DESCRIPTORS_MAX];
	int before;

	begin();
	ck_assert_int_eq(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED,
				    &(int){ 1 }, sizeof(int)),
			 0);
	before = check_open_descriptors();
	for (size_t n = 0; n <= 3; n++) {
		ck_assert(hostile_control(ends[0], n, 0));
		ck_assert_int_lt(descriptors_receive(ends[1], got, n, &e), 0);
		ck_assert_int_eq(check_open_descriptors(), before);
	}
	end();
}
END_TEST

static void refuses_said(int level, int type)
{
	int got[DESCRIPTORS_MAX];

	begin();
	said.changes = true;
	said.level = level;
	said.type = type;
	ck_assert(hostile_control(ends[0], 1, 0));
	ck_assert_int_lt(descriptors_receive(ends[1], got, 1, &e), 0);
	ck_assert(hostile_control(ends[0], 1, 0));
	ck_assert_int_lt(descriptors_receive(ends[1], got, 0, &e), 0);
	end();
}

START_TEST(other_kinds_of_messages_hold_no_descriptors)
{
	refuses_said(IPPROTO_IP, SCM_RIGHTS);
	refuses_said(SOL_SOCKET, SCM_RIGHTS + 100);
}
END_TEST

START_TEST(the_end_is_no_descriptor)
{
	int got[DESCRIPTORS_MAX];

	begin();
	ck_assert_int_eq(shutdown(ends[0], SHUT_WR), 0);
	ck_assert_int_lt(descriptors_receive(ends[1], got, 0, &e), 0);
	ck_assert_int_lt(descriptors_receive(ends[1], got, 1, &e), 0);
	file_close(ends[1]);
	ck_assert_int_lt(descriptors_receive(ends[1], got, 1, &e), 0);
	ck_assert_int_lt(descriptors_send(ends[0], &(int){ 0 }, 1, &e), 0);
	ends[1] = -1;
	end();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_is_sent_arrives);
	tcase_add_test(tc, too_many_are_not_sent);
	tcase_add_test(tc, another_number_is_refused_and_closed);
	tcase_add_test(tc, some_in_each_of_two_messages_are_taken);
	tcase_add_test(tc, some_that_got_lost_are_noticed);
	tcase_add_test(tc, something_else_beside_them_is_refused);
	tcase_add_test(tc, other_kinds_of_messages_hold_no_descriptors);
	tcase_add_test(tc, the_end_is_no_descriptor);
}

CHECK_MAIN("base/descriptors", cases)
