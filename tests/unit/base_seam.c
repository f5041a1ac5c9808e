#include "base/seam.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

struct record {
	unsigned int n;
	enum seam_call calls[64];
	char paths[64][32];
	enum seam_call fail;
};

static int note(void *arg, enum seam_call call, const char *path)
{
	struct record *r = arg;

	ck_assert_uint_lt(r->n, 64);
	r->calls[r->n] = call;
	(void)snprintf(r->paths[r->n], sizeof(r->paths[0]), "%s", path);
	r->n++;
	return call == r->fail ? EDQUOT : 0;
}

/* One call of each function, in a folder; how many of them failed. */
static unsigned int call_everything(int dir, unsigned int *ret_total)
{
	const struct timespec times[2] = { { 1, 2 }, { -3, 4 } };
	const int fd = seam_open(dir, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const bool ok[] = {
		fd >= 0,
		!seam_write(fd, "hello", 5),
		!seam_pwrite(fd, "J", 1, 0),
		!seam_fallocate(fd, 0, 0, 100),
		!seam_truncate(fd, 3),
		!seam_fchmod(fd, 0640),
		!seam_fsync(fd),
		!seam_link(dir, "a", dir, "b", 0),
		!seam_rename(dir, "b", dir, "c", RENAME_NOREPLACE),
		!seam_symlink("nowhere", dir, "s"),
		!seam_mkdir(dir, "d", 0700),
		!seam_mknod(dir, "f", S_IFIFO | 0600, 0),
		!seam_chmod(dir, "c", 0600),
		!seam_chown(dir, "s", getuid(), getgid(), AT_SYMLINK_NOFOLLOW),
		!seam_utimens(dir, "a", times, 0),
		!seam_sync_dir(dir),
		!seam_unlink(dir, "d", AT_REMOVEDIR),
		!seam_unlink(dir, "s", 0),
		!seam_unlink(dir, "f", 0),
		!seam_announce(SEAM_WRITE, "library"),
		!seam_send("object"),
	};
	unsigned int failed = 0;

	for (size_t i = 0; i < sizeof(ok); i++)
		failed += !ok[i];
	if (fd >= 0)
		(void)close(fd);
	*ret_total = sizeof(ok);
	return failed;
}

static int open_folder(const struct scratch *s)
{
	const int dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(dir, 0);
	return dir;
}

START_TEST(does_what_its_namesakes_do)
{
	CLEANUP(scratch_done) struct scratch s;
	unsigned int total;
	struct stat st;
	int dir;

	scratch_init(&s);
	dir = open_folder(&s);
	ck_assert_uint_eq(call_everything(dir, &total), 0);
	ck_assert_uint_eq(scratch_count(&s), 2);
	ck_assert_int_eq(fstatat(dir, "a", &st, 0), 0);
	ck_assert_int_eq(st.st_size, 3);
	ck_assert_uint_eq(st.st_nlink, 2);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(st.st_mtim.tv_sec, -3);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 4);
	(void)close(dir);
}
END_TEST

START_TEST(counts_and_names_each_call)
{
	CLEANUP(scratch_done) struct scratch s;
	struct record r = { .fail = SEAM_COUNT };
	const uint64_t before = seam_calls();
	unsigned int total;
	int dir;

	scratch_init(&s);
	dir = open_folder(&s);
	seam_set_hook(note, &r);
	ck_assert_uint_eq(call_everything(dir, &total), 0);
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(r.n, total);
	ck_assert_uint_eq(seam_calls() - before, total);
	ck_assert_int_eq(r.calls[0], SEAM_OPEN_WRITE);
	ck_assert_str_eq(r.paths[0], "a");
	ck_assert_int_eq(r.calls[1], SEAM_WRITE);
	ck_assert_str_eq(r.paths[1], "");
	ck_assert_int_eq(r.calls[8], SEAM_RENAME);
	ck_assert_str_eq(r.paths[8], "c");
	ck_assert_int_eq(r.calls[total - 1], SEAM_SEND);
	ck_assert_str_eq(r.paths[total - 1], "object");
	ck_assert_int_eq(seam_fsync(dir), 0);
	ck_assert_uint_eq(r.n, total);
	(void)close(dir);
}
END_TEST

struct deeds {
	unsigned int n;
	char text[2048]; /* "call name<old-name bytes@offset", one a line */
};

static void keep(void *arg, const struct seam_deed *d)
{
	struct deeds *k = arg;
	const size_t used = strlen(k->text);

	k->n++;
	errno = EILSEQ;
	(void)snprintf(k->text + used, sizeof(k->text) - used,
		       "%d %s<%s %.*s@%d\n", (int)d->call,
		       d->path ? d->path : "", d->old_path ? d->old_path : "",
		       (int)d->n, d->bytes ? (const char *)d->bytes : "",
		       (int)d->offset);
}

static void expect_deed(const struct deeds *k, enum seam_call call,
			const char *rest)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "%d %s\n", (int)call, rest);
	ck_assert_msg(strstr(k->text, line), "no \"%s\" in:\n%s", line,
		      k->text);
}

START_TEST(tells_what_was_done)
{
	CLEANUP(scratch_done) struct scratch s;
	const struct seam_deed own = { .call = SEAM_WRITE, .path = "library" };
	struct deeds k = { .n = 0 };
	unsigned int total;
	int dir;

	scratch_init(&s);
	dir = open_folder(&s);
	seam_set_recorder(keep, &k);
	ck_assert_uint_eq(call_everything(dir, &total), 0);
	expect_deed(&k, SEAM_OPEN_WRITE, "a< @0");
	expect_deed(&k, SEAM_WRITE, "< hello@-1");
	expect_deed(&k, SEAM_WRITE, "< J@0");
	expect_deed(&k, SEAM_TRUNCATE, "< @3");
	expect_deed(&k, SEAM_FSYNC, "< @0");
	expect_deed(&k, SEAM_LINK, "b<a @0");
	expect_deed(&k, SEAM_RENAME, "c<b @0");
	expect_deed(&k, SEAM_LINK, "s< @0");
	expect_deed(&k, SEAM_MKDIR, "d< @0");
	expect_deed(&k, SEAM_SYNC_DIR, "< @0");
	expect_deed(&k, SEAM_UNLINK, "f< @0");
	k = (struct deeds){ .n = 0 };
	/* Not what failed, of which errno stays as it is. */
	ck_assert_int_eq(seam_mkdir(dir, "a", 0700), -1);
	ck_assert_int_eq(errno, EEXIST);
	ck_assert_int_eq(seam_announce(SEAM_WRITE, "library"), 0);
	ck_assert_uint_eq(k.n, 0);
	seam_tell(&own);
	expect_deed(&k, SEAM_WRITE, "library< @0");
	seam_set_recorder(NULL, NULL);
	ck_assert_int_eq(seam_fsync(dir), 0);
	ck_assert_uint_eq(k.n, 1);
	(void)close(dir);
}
END_TEST

START_TEST(a_refused_call_does_not_happen)
{
	CLEANUP(scratch_done) struct scratch s;
	struct record r = { .fail = SEAM_LINK };
	unsigned int total;
	int dir;

	scratch_init(&s);
	dir = open_folder(&s);
	seam_set_hook(note, &r);
	/* link and symlink; the rename, chmod and unlink of what they made */
	ck_assert_uint_eq(call_everything(dir, &total), 6);
	errno = 0;
	ck_assert_int_eq(seam_symlink("x", dir, "y"), -1);
	ck_assert_int_eq(errno, EDQUOT);
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(scratch_count(&s), 1);
	(void)close(dir);
}
END_TEST

START_TEST(reports_errno)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];

	scratch_init(&s);
	ck_assert_int_eq(seam_open(AT_FDCWD, scratch_path(&s, "x/y", path),
				   O_WRONLY | O_CREAT, 0600),
			 -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(seam_write(-1, "x", 1), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(seam_pwrite(0, "x", 1, -1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(seam_mkdir(AT_FDCWD, s.path, 0700), -1);
	ck_assert_int_eq(errno, EEXIST);
	ck_assert_int_eq(seam_setxattr(-1, s.path, "user.", "v", 1), -1);
	ck_assert_int_ne(errno, 0);
}
END_TEST

START_TEST(sets_extended_attributes)
{
	CLEANUP(scratch_done) struct scratch s;
	char value[8];
	int dir;

	scratch_init(&s);
	if (seam_setxattr(-1, s.path, "user.a", "one", 3)) {
		ck_assert_int_eq(errno, ENOTSUP);
		ck_skip("seam_xattrs",
			"no user attributes in the scratch folder");
	}
	dir = open_folder(&s);
	ck_assert_int_eq(seam_setxattr(dir, NULL, "user.b", "two", 3), 0);
	ck_assert_int_eq(getxattr(s.path, "user.a", value, 8), 3);
	ck_assert_mem_eq(value, "one", 3);
	ck_assert_int_eq(getxattr(s.path, "user.b", value, 8), 3);
	ck_assert_mem_eq(value, "two", 3);
	(void)close(dir);
}
END_TEST

START_TEST(sets_flags)
{
	CLEANUP(scratch_done) struct scratch s;
	int flags[2] = { 0, 0 };
	int dir;

	scratch_init(&s);
	ck_assert_int_eq(seam_set_flags(-1, 0), -1);
	ck_assert_int_eq(errno, EBADF);
	dir = open_folder(&s);
	if (ioctl(dir, FS_IOC_GETFLAGS, flags) < 0 ||
	    seam_set_flags(dir, (unsigned int)flags[0] | FS_NODUMP_FL) < 0)
		ck_skip("seam_flags", "no flags in the scratch folder");
	ck_assert_int_eq(ioctl(dir, FS_IOC_GETFLAGS, flags), 0);
	ck_assert(flags[0] & FS_NODUMP_FL);
	(void)close(dir);
}
END_TEST

START_TEST(writes_all_through_a_small_pipe)
{
	enum { SIZE = 1 << 20 };
	static uint8_t bytes[SIZE];
	int ends[2];
	pid_t child;
	int status;

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	ck_assert_int_eq(pipe(ends), 0);
	child = check_fork_child();
	if (child == 0) {
		(void)close(ends[0]);
		_exit(seam_write(ends[1], bytes, SIZE) ? 1 : 0);
	}
	(void)close(ends[1]);
	for (size_t at = 0; at < SIZE;) {
		uint8_t piece[1000];
		const ssize_t n = read(ends[0], piece, sizeof(piece));

		ck_assert_int_gt(n, 0);
		ck_assert_mem_eq(piece, bytes + at, (size_t)n);
		at += (size_t)n;
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	(void)close(ends[0]);
}
END_TEST

/* The status of a child that makes folders 1 … 9 under setting. */
static int make_nine(const struct scratch *s, const char *setting)
{
	const pid_t child = check_fork_child();
	int status;

	if (child == 0) {
		const int dir = open_folder(s);
		char name[2] = "1";
		int failed = 0;

		(void)setenv("SNAPCTL_TEST_SEAM", setting, 1);
		if (!freopen("/dev/null", "we", stderr))
			_exit(99);
		seam_from_environment();
		for (; *name <= '9'; (*name)++)
			if (seam_mkdir(dir, name, 0700))
				failed = failed * 100 + errno;
		(void)close(dir);
		if (strncmp(setting, "count", 5) == 0)
			exit(failed);
		_exit(failed);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

START_TEST(kills_before_the_nth_call)
{
	for (unsigned int n = 1; n <= 10; n++) {
		CLEANUP(scratch_done) struct scratch s;
		char setting[16];
		int status;

		scratch_init(&s);
		(void)snprintf(setting, sizeof(setting), "kill:%u", n);
		status = make_nine(&s, setting);
		ck_assert_uint_eq(scratch_count(&s), n - 1);
		if (n < 10)
			ck_assert(WIFSIGNALED(status) &&
				  WTERMSIG(status) == SIGKILL);
		else
			ck_assert(WIFEXITED(status) &&
				  WEXITSTATUS(status) == 0);
	}
}
END_TEST

START_TEST(fails_the_nth_call_once)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	int status;

	scratch_init(&s);
	status = make_nine(&s, "fail:4:28");
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == ENOSPC);
	ck_assert_uint_eq(scratch_count(&s), 8);
	ck_assert_int_ne(access(scratch_path(&s, "4", path), F_OK), 0);
}
END_TEST

START_TEST(writes_the_count_at_exit)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	char setting[SCRATCH_PATH + 8];
	unsigned int n = 0;
	FILE *f;
	int status;

	scratch_init(&s);
	(void)snprintf(setting, sizeof(setting), "count:%s",
		       scratch_path(&s, "count", path));
	status = make_nine(&s, setting);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%u", &n), 1);
	(void)fclose(f);
	ck_assert_uint_eq(n, seam_calls() + 9);
}
END_TEST

START_TEST(refuses_a_setting_it_cannot_read)
{
	static const char *const bad[] = { "",	       "kill",	   "kill:",
					   "kill:0",   "kill:x",   "fail:3",
					   "fail:0:5", "fail:3:0", "fail:3:x",
					   "count:",   "explode:3" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(scratch_done) struct scratch s;
		int status;

		scratch_init(&s);
		status = make_nine(&s, bad[i]);
		ck_assert_msg(WIFSIGNALED(status) &&
				      WTERMSIG(status) == SIGABRT,
			      "%s", bad[i]);
		ck_assert_uint_eq(scratch_count(&s), 0);
	}
}
END_TEST

static void *send_thousand(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		if (seam_send("x"))
			return (void *)1;
	return NULL;
}

START_TEST(counts_under_threads)
{
	const uint64_t before = seam_calls();
	pthread_t threads[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, send_thousand, NULL),
			0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
		ck_assert_ptr_null(failed);
	}
	ck_assert_uint_eq(seam_calls() - before, 4000);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, does_what_its_namesakes_do);
	tcase_add_test(tc, counts_and_names_each_call);
	tcase_add_test(tc, tells_what_was_done);
	tcase_add_test(tc, a_refused_call_does_not_happen);
	tcase_add_test(tc, reports_errno);
	tcase_add_test(tc, sets_extended_attributes);
	tcase_add_test(tc, sets_flags);
	tcase_add_test(tc, writes_all_through_a_small_pipe);
	tcase_add_test(tc, kills_before_the_nth_call);
	tcase_add_test(tc, fails_the_nth_call_once);
	tcase_add_test(tc, writes_the_count_at_exit);
	tcase_add_test(tc, refuses_a_setting_it_cannot_read);
	tcase_add_test(tc, counts_under_threads);
}

CHECK_MAIN("base/seam", cases)
