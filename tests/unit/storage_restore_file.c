/* Restored regular files: storage/restore_file.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/seam.h"
#include "tests/support/restore_frame.h"

/*
 * Stamps as a file system gives them that keeps no finer ones than this; 0:
 * as they are.
 */
static int64_t stamp_ns;

static void coarsen(struct timespec *t)
{
	const int64_t seconds = stamp_ns / 1000000000;

	if (stamp_ns > 0)
		t->tv_nsec -= t->tv_nsec % (seconds ? 1000000000 : stamp_ns);
	if (seconds > 1)
		t->tv_sec -= t->tv_sec % seconds;
}

static int coarsen_all(int result, struct stat *st)
{
	if (result == 0) {
		coarsen(&st->st_mtim);
		coarsen(&st->st_ctim);
		if (stamp_ns > 1000000000)
			st->st_ctim = st->st_mtim; /* FAT has but one */
	}
	return result;
}

/* The names that fstat() and fstatat() have with large files. */
int __wrap_fstat64(int fd, struct stat *st);
int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st)
{
	return coarsen_all(__real_fstat64(fd, st), st);
}

int __wrap_fstatat64(int dir, const char *path, struct stat *st, int flags);
int __real_fstatat64(int dir, const char *path, struct stat *st, int flags);
int __wrap_fstatat64(int dir, const char *path, struct stat *st, int flags)
{
	return coarsen_all(__real_fstatat64(dir, path, st, flags), st);
}

static void set_mtime(const char *path, time_t sec, long nsec)
{
	const struct timespec t = { .tv_sec = sec, .tv_nsec = nsec };

	ck_assert_int_eq(
		utimensat(AT_FDCWD, path, (struct timespec[2]){ t, t }, 0), 0);
}

/* Whether content was written that nobody has waited for, and what was done. */
static atomic_bool is_unsynced;
static atomic_uint synced;
static atomic_uint timed;
static int sync_error; /* 0: it works */
static dev_t watched;  /* a file system, and how often it was synced */
static atomic_uint watched_synced;

static int note_writes(void *arg, enum seam_call call, const char *path)
{
	(void)arg;
	(void)path;
	if (call == SEAM_WRITE || call == SEAM_TRUNCATE)
		atomic_store(&is_unsynced, true);
	return 0;
}

int __wrap_syncfs(int fd);
int __real_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	struct stat st;

	atomic_fetch_add(&synced, 1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	if (st.st_dev == watched)
		atomic_fetch_add(&watched_synced, 1);
	atomic_store(&is_unsynced, false);
	errno = sync_error;
	return sync_error ? -1 : __real_syncfs(fd);
}

int __wrap_futimens(int fd, const struct timespec times[2]);
int __real_futimens(int fd, const struct timespec times[2]);
int __wrap_futimens(int fd, const struct timespec times[2])
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	if (S_ISREG(st.st_mode)) {
		ck_assert_msg(!atomic_load(&is_unsynced),
			      "its time comes before its content");
		atomic_fetch_add(&timed, 1);
	}
	return __real_futimens(fd, times);
}

static void write_holes(const char *path, const char *head, off_t size)
{
	write_text(path, head);
	ck_assert_int_eq(truncate(path, size), 0);
}

/* One file, restored where nothing is, and over itself. */
static void expect_time_after_content(const char *name)
{
	const struct object_id id = repo_take(&f).id;
	struct restore_result got;

	seam_set_hook(note_writes, NULL);
	for (int twice = 0; twice < 2; twice++) {
		atomic_store(&timed, 0);
		ck_ok(restore(id, RESTORE_ALWAYS, &got));
		ck_assert_uint_eq(got.errors, 0);
		ck_assert_uint_eq(got.files, 1);
		ck_assert_uint_eq(atomic_load(&timed), 1);
	}
	seam_set_hook(NULL, NULL);
	ck_assert_int_eq(unlink(at(f.from, name)), 0);
	ck_assert_int_eq(unlink(at(f.to, name)), 0);
}

/*
 * The next restore trusts size and mtime.  A power cut must not leave both
 * right and the content missing.
 */
START_TEST(no_time_is_set_before_the_content_is_durable)
{
	int fd;

	write_holes(at(f.from, "holes"), "", 100000);
	expect_time_after_content("holes");
	write_holes(at(f.from, "tail"), "head", 3000000);
	expect_time_after_content("tail");
	write_holes(at(f.from, "middle"), "head", 3000000);
	fd = open(at(f.from, "middle"), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "end", 3), 3);
	(void)close(fd);
	expect_time_after_content("middle");
	/* By several workers. */
	write_bytes(at(f.from, "large"), 12000000, 1);
	expect_time_after_content("large");
	write_bytes(at(f.from, "small"), 3000, 1);
	expect_time_after_content("small");
}
END_TEST

/* Many small ones do not wait for each other one by one. */
START_TEST(many_files_wait_for_the_disk_together)
{
	struct restore_result got;
	struct object_id id;
	char name[100];

	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "%03d", i);
		write_bytes(at(f.from, name), 3000, (uint64_t)i);
	}
	id = repo_take(&f).id;
	atomic_store(&synced, 0);
	atomic_store(&timed, 0);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	ck_assert_uint_eq(atomic_load(&timed), 200);
	ck_assert_uint_lt(atomic_load(&synced), 20);
}
END_TEST

/* Where a restore may have so many descriptors. */
static int restore_with_few(struct object_id id, rlim_t few)
{
	const struct rlimit l = { few, few };
	struct restore_result got;

	atomic_store(&synced, 0);
	if (setrlimit(RLIMIT_NOFILE, &l) < 0 ||
	    restore(id, RESTORE_ALWAYS, &got) < 0 || got.errors)
		return 1;
	return got.files == 200 && atomic_load(&synced) >= 200 / (few / 16) ? 0
									    : 2;
}

/* Each that waits is open: of few descriptors some are for others. */
START_TEST(where_few_may_be_open_few_wait_for_the_disk_together)
{
	struct object_id id;
	char name[100];
	int status;
	pid_t pid;

	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "%03d", i);
		write_text(at(f.from, name), name);
	}
	id = repo_take(&f).id;
	pid = check_fork_child();
	if (pid == 0)
		_exit(restore_with_few(id, 400));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static int restore_all_with(struct object_id id, rlim_t few, uint64_t n)
{
	const struct rlimit l = { few, few };
	struct restore_result got;

	return setrlimit(RLIMIT_NOFILE, &l) < 0 ||
	       restore(id, RESTORE_ALWAYS, &got) < 0 || got.errors ||
	       got.files != n;
}

/* Nor do more wait to be written. */
START_TEST(where_few_may_be_open_few_wait_to_be_written)
{
	struct object_id id;
	char name[100];
	int status;
	pid_t pid;

	for (int i = 0; i < 1500; i++) {
		(void)snprintf(name, sizeof(name), "%04d", i);
		write_text(at(f.from, name), name);
	}
	id = repo_take(&f).id;
	pid = check_fork_child();
	if (pid == 0)
		_exit(restore_all_with(id, 120, 1500));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* What the disk did not take is not said to be there, now or later. */
START_TEST(without_the_disk_no_file_is_done)
{
	struct restore_result got;
	struct object_id id;

	write_bytes(at(f.from, "file"), 3000, 1);
	id = repo_take(&f).id;
	atomic_store(&timed, 0);
	sync_error = EIO;
	ck_assert_int_lt(restore(id, RESTORE_CHANGED, &got), 0);
	sync_error = 0;
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_uint_eq(atomic_load(&timed), 0);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.reused, 0);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.reused, 1);
}
END_TEST

/* Also one that is mounted below the target: before the times, and after. */
START_TEST(every_file_system_is_waited_for)
{
	struct restore_result got;
	struct object_id id;

	if (getuid() != 0)
		return;
	ck_assert_int_eq(mkdir(at(f.from, "m"), 0700), 0);
	write_text(at(f.from, "a"), "a");
	write_text(at(f.from, "m/b"), "b");
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_assert_int_eq(mkdir(at(f.to, "m"), 0700), 0);
	if (mount("none", at(f.to, "m"), "tmpfs", 0, "size=1m") != 0) {
		ck_skip("below a mount", "cannot mount");
		return;
	}
	watched = look(at(f.to, "m")).st_dev;
	atomic_store(&watched_synced, 0);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	watched = 0;
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_uint_eq(atomic_load(&watched_synced), 2);
	expect_text(at(f.to, "m/b"), "b");
	ck_assert_int_eq(umount(at(f.to, "m")), 0);
}
END_TEST

/* Links are links also where the first name has another mtime than it had. */
START_TEST(links_are_made_where_stamps_are_coarse)
{
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	set_mtime(at(f.from, "a"), 1700000001, 123456789);
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "b")), 0);
	ck_assert_int_eq(mkfifo(at(f.from, "p"), 0600), 0);
	set_mtime(at(f.from, "p"), 1700000001, 123456789);
	ck_assert_int_eq(link(at(f.from, "p"), at(f.from, "q")), 0);
	id = repo_take(&f).id;
	stamp_ns = INT64_C(2000000000);
	for (int twice = 0; twice < 2; twice++) {
		ck_ok(restore(id, RESTORE_CHANGED, &got));
		ck_assert_uint_eq(got.errors, 0);
		ck_assert_uint_eq(got.left_out, 0);
		ck_assert_uint_eq(look(at(f.to, "b")).st_ino,
				  look(at(f.to, "a")).st_ino);
		ck_assert_uint_eq(look(at(f.to, "q")).st_ino,
				  look(at(f.to, "p")).st_ino);
	}
	stamp_ns = 0;
}
END_TEST

static int no_links(void *arg, enum seam_call call, const char *path)
{
	(void)arg;
	(void)path;
	return call == SEAM_LINK ? EPERM : 0;
}

/* Where there are no links there are copies, and it is told. */
START_TEST(a_copy_in_place_of_a_link_is_told)
{
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "b")), 0);
	id = repo_take(&f).id;
	for (int twice = 0; twice < 2; twice++) {
		seam_set_hook(no_links, NULL);
		ck_ok(restore(id, RESTORE_CHANGED, &got));
		seam_set_hook(NULL, NULL);
		ck_assert_uint_eq(got.errors, 0);
		ck_assert_uint_eq(got.files, 2);
		expect_text(at(f.to, "b"), "a");
		ck_assert_uint_ne(look(at(f.to, "b")).st_ino,
				  look(at(f.to, "a")).st_ino);
		ck_assert_uint_eq(got.left_out, 1);
		ck_assert_ptr_nonnull(
			strstr(f.left, "/b: hard link (cannot link to the "
				       "first name: operation not "
				       "permitted)"));
	}
}
END_TEST

/* What is there as well as the file system can tell is not written again. */
START_TEST(coarse_stamps_are_enough_where_there_are_no_finer)
{
	/* SMB and NTFS, UDF, NFS servers, exFAT, HFS+ and old ext4, FAT. */
	static const int64_t kept[] = { 100,	  1000,	      1000000,
					10000000, 1000000000, 2000000000 };
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	set_mtime(at(f.from, "a"), 1700000001, 123456789);
	id = repo_take(&f).id;
	(void)repo_restore(&f, id);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		stamp_ns = kept[i];
		ck_ok(restore(id, RESTORE_CHANGED, &got));
		stamp_ns = 0;
		ck_assert_uint_eq(got.files, 1);
		ck_assert_msg(got.reused == 1, "%jd ns", (intmax_t)kept[i]);
	}
}
END_TEST

/* One more second, or whole seconds where others are kept: another file. */
START_TEST(other_stamps_are_other_files)
{
	static const struct {
		int64_t kept;
		time_t sec;
		long nsec;
	} others[] = {
		{ 0, 1700000001, 123456788 },
		{ 0, 1700000001, 123000000 },
		{ 0, 1700000001, 0 },
		{ 0, 1700000000, 0 },
		{ 1000000000, 1700000000, 0 },
		{ 1000000000, 1700000002, 0 },
		{ 2000000000, 1700000002, 0 },
		{ 1000, 1700000001, 0 },
		{ 1000, 1700000001, 123457000 },
	};
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	set_mtime(at(f.from, "a"), 1700000001, 123456789);
	id = repo_take(&f).id;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		(void)repo_restore(&f, id);
		write_text(at(f.to, "a"), "b");
		set_mtime(at(f.to, "a"), others[i].sec, others[i].nsec);
		stamp_ns = others[i].kept;
		ck_ok(restore(id, RESTORE_CHANGED, &got));
		stamp_ns = 0;
		ck_assert_uint_eq(got.reused, 0);
		expect_text(at(f.to, "a"), "a");
	}
}
END_TEST

#define NOBODY 65534

static int again_as_nobody(struct object_id id)
{
	struct restore_result got;

	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		return 10;
	for (unsigned int run = 0; run < 2; run++) {
		if (restore(id, RESTORE_CHANGED, &got))
			return 11;
		if (got.errors)
			return 12;
		if (got.files != 3 || got.reused != 3 * run)
			return 13;
		if (look(at(f.to, "shut")).st_mode & 07777 ||
		    (look(at(f.to, "read")).st_mode & 07777) != 0400)
			return 14;
	}
	/* What is not as it was is mended behind closed doors, too. */
	if (chmod(at(f.to, "write"), 0) || restore(id, RESTORE_CHANGED, &got) ||
	    got.errors || got.reused != 3)
		return 15;
	return (look(at(f.to, "write")).st_mode & 07777) == 0200 ? 0 : 16;
}

/* A file that its owner may not read is there all the same. */
START_TEST(an_unreadable_file_is_known_again)
{
	struct object_id id;
	int status = 0;
	pid_t pid;

	if (getuid() != 0)
		return;
	write_text(at(f.from, "shut"), "secret");
	ck_assert_int_eq(chmod(at(f.from, "shut"), 0), 0);
	write_text(at(f.from, "write"), "secret");
	ck_assert_int_eq(chmod(at(f.from, "write"), 0200), 0);
	/* Nor may it have attributes without being writable. */
	write_text(at(f.from, "read"), "secret");
	(void)!setxattr(at(f.from, "read"), "user.x", "x", 1, 0);
	ck_assert_int_eq(chmod(at(f.from, "read"), 0400), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(chmod(f.dir.path, 0777), 0);
	pid = check_fork_child();
	if (pid == 0)
		_exit(again_as_nobody(id));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/*
 * A second restore of the snapshot into the same target, at the worst moment:
 * it takes our unfinished file for one that somebody left there, and begins
 * its own under that name.
 */
static int rival_begins(void *arg, enum seam_call call, const char *path)
{
	bool *began = arg;
	DIR *d;
	const struct dirent *each;

	/* Where files have a name from the start. */
	if (call == SEAM_OPEN_WRITE && strcmp(path, ".") == 0)
		return EOPNOTSUPP;
	if (call != SEAM_WRITE || *began)
		return 0;
	d = opendir(f.to);
	while (d && (each = readdir(d)))
		if (strncmp(each->d_name, ".snapctl-", 9) == 0) {
			const char *part = at(f.to, each->d_name);

			*began = unlink(part) == 0;
			write_text(part, "unfin");
		}
	if (d)
		(void)closedir(d);
	return 0;
}

START_TEST(what_another_restore_has_begun_is_not_put_in_place)
{
	struct restore_result got;
	struct object_id id;
	bool began = false;

	write_text(at(f.from, "a"), "whole");
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	write_text(at(f.to, "a"), "before");
	seam_set_hook(rival_begins, &began);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	seam_set_hook(NULL, NULL);
	ck_assert(began);
	ck_assert_uint_eq(got.errors, 1);
	expect_text(at(f.to, "a"), "before");
	/* And what it is writing is its own. */
	ck_ok(restore(id, RESTORE_NEVER, &got));
	ck_assert_uint_eq(got.skipped, 1);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	ck_assert_uint_eq(got.errors, 0);
	expect_text(at(f.to, "a"), "whole");
}
END_TEST

/*
 * --overwrite never keeps what was there, but not what a restore that was
 * killed began: of that, whole or not, nobody knows that it is right.
 */
START_TEST(what_a_killed_restore_left_is_not_kept)
{
	static const struct {
		const char *text; /* as it was left */
		mode_t mode;
		bool is_kept;
	} left[] = {
		{ "who", 01600, false },    /* half of it */
		{ "whole!", 01600, false }, /* without its time */
		{ "", 01640, false },	    /* nothing yet, with an ACL */
		{ "who", 0600, true },	    /* somebody's */
		{ "whole!", 0644, true },
		{ "who", 01700, true },
		{ "longer than it", 01600, true },
	};
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "whole!");
	ck_assert_int_eq(chmod(at(f.from, "a"), 0644), 0);
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "b")), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		const int others = left[i].is_kept ? 0 : 2;

		(void)unlink(at(f.to, "a"));
		(void)unlink(at(f.to, "b"));
		write_text(at(f.to, "a"), left[i].text);
		ck_assert_int_eq(link(at(f.to, "a"), at(f.to, "b")), 0);
		ck_assert_int_eq(chmod(at(f.to, "a"), left[i].mode), 0);
		ck_ok(restore(id, RESTORE_NEVER, &got));
		ck_assert_uint_eq(got.errors, 0);
		ck_assert_int_eq((int)got.files, others);
		ck_assert_int_eq((int)got.skipped, 2 - others);
		expect_text(at(f.to, "a"),
			    left[i].is_kept ? left[i].text : "whole!");
		ck_assert_uint_eq(look(at(f.to, "a")).st_mode & 07777,
				  left[i].is_kept ? left[i].mode : 0644);
		ck_assert_uint_eq(look(at(f.to, "a")).st_ino,
				  look(at(f.to, "b")).st_ino);
	}
	/* With its time, it lacks but the mode. */
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	ck_assert_int_eq(chmod(at(f.to, "a"), 01600), 0);
	ck_ok(restore(id, RESTORE_NEVER, &got));
	ck_assert_uint_eq(got.reused, 2);
	ck_assert_uint_eq(look(at(f.to, "a")).st_mode & 07777, 0644);
}
END_TEST

/* What is not durable yet has another mode, whatever becomes of us. */
static int look_at_modes(void *arg, enum seam_call call, const char *path)
{
	unsigned int *seen = arg;
	struct stat st;

	(void)path;
	/* Each call that sets a time comes before the mode, and nothing else
	 * is set of this file. */
	if (call == SEAM_META && stat(at(f.to, "a"), &st) == 0) {
		ck_assert_uint_eq(st.st_mode & 07777, 01600);
		++*seen;
	}
	return 0;
}

START_TEST(the_mode_comes_with_the_time)
{
	struct restore_result got;
	struct object_id id;
	unsigned int seen = 0;

	write_text(at(f.from, "a"), "a");
	ck_assert_int_eq(chmod(at(f.from, "a"), 0640), 0);
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_assert_int_eq(chmod(f.from, 0700), 0);
	id = repo_take(&f).id;
	seam_set_hook(look_at_modes, &seen);
	ck_ok(restore(id, RESTORE_NEVER, &got));
	seam_set_hook(NULL, NULL);
	ck_assert_uint_ge(seen, 2);
	ck_assert_uint_eq(look(at(f.to, "a")).st_mode & 07777, 0640);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, no_time_is_set_before_the_content_is_durable);
	tcase_add_test(tc, many_files_wait_for_the_disk_together);
	tcase_add_test(tc,
		       where_few_may_be_open_few_wait_for_the_disk_together);
	tcase_add_test(tc, where_few_may_be_open_few_wait_to_be_written);
	tcase_add_test(tc, without_the_disk_no_file_is_done);
	tcase_add_test(tc, every_file_system_is_waited_for);
	tcase_add_test(tc, links_are_made_where_stamps_are_coarse);
	tcase_add_test(tc, a_copy_in_place_of_a_link_is_told);
	tcase_add_test(tc, coarse_stamps_are_enough_where_there_are_no_finer);
	tcase_add_test(tc, other_stamps_are_other_files);
	tcase_add_test(tc, an_unreadable_file_is_known_again);
	tcase_add_test(tc, what_another_restore_has_begun_is_not_put_in_place);
	tcase_add_test(tc, what_a_killed_restore_left_is_not_kept);
	tcase_add_test(tc, the_mode_comes_with_the_time);
}

CHECK_MAIN("storage/restore_file", cases)
