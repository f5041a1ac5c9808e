/* The daemon's socket, and who gets at it: service/listener.h. */
#include "service/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/seam.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static char folder[SCRATCH_PATH], path[SCRATCH_PATH];
static struct err e;

static void refused(int failed, enum err_code code)
{
	ck_assert_int_lt(failed, 0);
	ck_assert_int_eq(e.code, code);
}

static void begin(void)
{
	scratch_init(&dir);
	scratch_path(&dir, "run", folder);
	scratch_path(&dir, "run/s", path);
}

static void end(void)
{
	scratch_done(&dir);
}

static int connects(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int failed;

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_lt(strlen(path), sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path));
	failed = connect(fd, (const struct sockaddr *)&at, sizeof(at));
	(void)close(fd);
	return failed;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

/* This process's own, which may have no name. */
static const char *own_group(void)
{
	const struct group *g = getgrgid(getegid());

	return g ? g->gr_name : NULL;
}

static const mode_t masks[] = { 0, 0022, 0077, 0777 };

START_TEST(its_group_may_connect_whatever_the_umask)
{
	const char *group = own_group();
	struct listener_file made;
	struct stat st;

	for (size_t i = 0; group && i < 4; i++) {
		const mode_t was = umask(masks[i]);
		int fd = -1;

		begin();
		ck_ok(listener_open(path, group, &fd, &made, &e));
		/* It changes the umask, and gives it back. */
		ck_assert_uint_eq(umask(was), masks[i]);
		ck_assert_uint_eq(mode_of(path), 0660);
		ck_assert_uint_eq(mode_of(folder), 0755);
		ck_assert_int_eq(lstat(path, &st), 0);
		ck_assert_uint_eq(st.st_uid, geteuid());
		ck_assert_uint_eq(st.st_gid, getegid());
		ck_assert_int_eq(connects(), 0);
		listener_remove(path, &made);
		ck_assert_int_ne(access(path, F_OK), 0);
		(void)close(fd);
		end();
	}
}
END_TEST

START_TEST(without_its_group_nobody_else_may)
{
	static const char *const none[] = { "no-such-group-here", "" };
	const mode_t was = umask(0);

	for (size_t i = 0; i < 2; i++) {
		struct listener_file made;
		int fd = -1;

		begin();
		ck_ok(listener_open(path, none[i], &fd, &made, &e));
		ck_assert_uint_eq(mode_of(path), 0600);
		(void)close(fd);
		end();
	}
	(void)umask(was);
}
END_TEST

static unsigned int looked;

/* Before its group and mode are set: nobody else's yet, and deaf. */
static int look(void *arg UNUSED, enum seam_call call, const char *name UNUSED)
{
	if (call != SEAM_META)
		return 0;
	looked++;
	ck_assert_uint_eq(mode_of(path) & 077, 0);
	ck_assert_int_lt(connects(), 0);
	ck_assert_int_eq(errno, ECONNREFUSED);
	return 0;
}

START_TEST(nobody_comes_before_it_is_theirs)
{
	const mode_t was = umask(0);
	const char *group = own_group();
	struct listener_file made;
	int fd = -1;

	begin();
	seam_set_hook(look, NULL);
	ck_ok(listener_open(path, group ? group : "", &fd, &made, &e));
	seam_set_hook(NULL, NULL);
	ck_assert_uint_ge(looked, 1);
	(void)umask(was);
	(void)close(fd);
	end();
}
END_TEST

START_TEST(what_is_not_ours_is_left_alone)
{
	struct listener_file made;
	struct stat st;
	int fd = -1;

	begin();
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	ck_assert_int_eq(symlink("elsewhere", path), 0);
	refused(listener_open(path, "", &fd, &made, &e), ERR_EXISTS);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(unlink(path), 0);
	/* Somebody else's socket, that nobody listens at. */
	if (geteuid() == 0) {
		ck_ok(listener_open(path, "", &fd, &made, &e));
		(void)close(fd);
		ck_assert_int_eq(chown(path, 65534, 65534), 0);
		refused(listener_open(path, "", &fd, &made, &e), ERR_EXISTS);
		ck_assert_int_eq(access(path, F_OK), 0);
		ck_assert_int_eq(unlink(path), 0);
	}
	end();
}
END_TEST

START_TEST(a_dead_one_is_replaced_and_a_live_one_is_not)
{
	struct listener_file first, second;
	int fd = -1, again = -1;

	begin();
	ck_ok(listener_open(path, "", &fd, &first, &e));
	refused(listener_open(path, "", &again, &second, &e), ERR_BUSY);
	ck_assert_int_eq(connects(), 0);
	(void)close(fd);
	ck_ok(listener_open(path, "", &again, &second, &e));
	ck_assert_int_eq(connects(), 0);
	/* The first one's end does not take the second one's away. */
	if (first.ino != second.ino) {
		listener_remove(path, &first);
		ck_assert_int_eq(access(path, F_OK), 0);
	}
	listener_remove(path, &second);
	ck_assert_int_ne(access(path, F_OK), 0);
	(void)close(again);
	end();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, its_group_may_connect_whatever_the_umask);
	tcase_add_test(tc, without_its_group_nobody_else_may);
	tcase_add_test(tc, nobody_comes_before_it_is_theirs);
	tcase_add_test(tc, what_is_not_ours_is_left_alone);
	tcase_add_test(tc, a_dead_one_is_replaced_and_a_live_one_is_not);
}

CHECK_MAIN("service/listener", cases)
