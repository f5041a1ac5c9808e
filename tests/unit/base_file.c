#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/seam.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static void expect_content(const char *path, const char *want)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, 1000);
	ck_ok(file_read_all(path, &b, &e));
	ck_assert_str_eq(buf_str(&b), want);
}

START_TEST(replaces_whole_files)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct stat st;
	struct err e;

	scratch_init(&s);
	scratch_path(&s, "key", path);
	ck_ok(file_replace(path, "one", 3, 0600, &e));
	expect_content(path, "one");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_ok(file_replace(path, "", 0, 0600, &e));
	expect_content(path, "");
	ck_ok(file_replace(path, "three", 5, 0600, &e));
	expect_content(path, "three");
	ck_assert_uint_eq(scratch_count(&s), 1);
}
END_TEST

START_TEST(creates_but_never_over_something)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct err e;

	scratch_init(&s);
	scratch_path(&s, "key", path);
	ck_ok(file_create(path, "one", 3, 0600, &e));
	ck_assert_int_eq(file_create(path, "two", 3, 0600, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert(strstr(e.text, "/key\" exists already"));
	expect_content(path, "one");
	ck_assert_int_eq(symlink("nowhere", scratch_path(&s, "l", path)), 0);
	ck_assert_int_eq(file_create(path, "two", 3, 0600, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_uint_eq(scratch_count(&s), 2);
}
END_TEST

START_TEST(works_in_the_current_folder)
{
	CLEANUP(scratch_done) struct scratch s;
	struct err e;

	scratch_init(&s);
	ck_assert_int_eq(chdir(s.path), 0);
	ck_ok(file_replace("plain", "x", 1, 0600, &e));
	expect_content("plain", "x");
	ck_ok(file_make_folders("a/b", 0700, &e));
	ck_ok(file_create("a/b/c", "y", 1, 0600, &e));
	expect_content("a/b/c", "y");
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(names_what_cannot_be_written)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct err e;

	scratch_init(&s);
	scratch_path(&s, "no/key", path);
	ck_assert_int_eq(file_replace(path, "x", 1, 0600, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert(strstr(e.text, "cannot open the folder \"/"));
	scratch_path(&s, "", path);
	ck_assert_int_eq(file_replace(path, "x", 1, 0600, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(mkdir(scratch_path(&s, "d", path), 0700), 0);
	ck_assert_int_eq(file_replace(path, "x", 1, 0600, &e), -1);
	ck_assert_int_eq(e.sys, EISDIR);
	ck_assert_uint_eq(scratch_count(&s), 1);
}
END_TEST

struct fault {
	unsigned int left; /* calls until the one that fails */
	bool hit;
};

static int fail_later(void *arg, enum seam_call call, const char *path)
{
	struct fault *f = arg;

	(void)call;
	(void)path;
	if (f->left == 0 || --f->left > 0)
		return 0;
	f->hit = true;
	return ENOSPC;
}

/* Each write-like call failing in turn: old or new content, nothing else. */
START_TEST(leaves_no_temporary_file_when_any_call_fails)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	unsigned int faults = 0;
	struct err e;

	scratch_init(&s);
	scratch_path(&s, "key", path);
	ck_ok(file_create(path, "old", 3, 0600, &e));
	for (unsigned int n = 1;; n++) {
		struct fault f = { .left = n };
		int result;

		seam_set_hook(fail_later, &f);
		result = file_replace(path, "old", 3, 0600, &e);
		seam_set_hook(NULL, NULL);
		expect_content(path, "old");
		ck_assert_uint_eq(scratch_count(&s), 1);
		if (!f.hit) {
			ck_assert_int_eq(result, 0);
			break;
		}
		ck_assert_int_eq(result, -1);
		ck_assert_int_eq(e.code, ERR_FULL);
		faults++;
	}
	ck_assert_uint_eq(faults, 5);
}
END_TEST

struct order {
	unsigned int n;
	enum seam_call calls[8];
};

static int note(void *arg, enum seam_call call, const char *path)
{
	struct order *o = arg;

	(void)path;
	ck_assert_uint_lt(o->n, 8);
	o->calls[o->n++] = call;
	return 0;
}

START_TEST(syncs_the_bytes_before_the_name)
{
	static const enum seam_call want[] = { SEAM_OPEN_WRITE, SEAM_WRITE,
					       SEAM_FSYNC, SEAM_RENAME,
					       SEAM_SYNC_DIR };
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct order o = { 0 };
	struct err e;

	scratch_init(&s);
	seam_set_hook(note, &o);
	ck_ok(file_replace(scratch_path(&s, "key", path), "x", 1, 0600, &e));
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(o.n, 5);
	ck_assert_mem_eq(o.calls, want, sizeof(want));
}
END_TEST

static int refuse_noreplace(void *arg, enum seam_call call, const char *path)
{
	(void)arg;
	(void)path;
	return call == SEAM_RENAME ? EINVAL : 0;
}

START_TEST(creates_where_rename_always_replaces)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct err e;

	scratch_init(&s);
	scratch_path(&s, "key", path);
	seam_set_hook(refuse_noreplace, NULL);
	ck_ok(file_create(path, "one", 3, 0600, &e));
	ck_assert_int_eq(file_create(path, "two", 3, 0600, &e), -1);
	seam_set_hook(NULL, NULL);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	expect_content(path, "one");
	ck_assert_uint_eq(scratch_count(&s), 1);
}
END_TEST

START_TEST(reads_up_to_the_ceiling)
{
	CLEANUP(scratch_done) struct scratch s;
	CLEANUP(buf_done) struct buf b;
	char path[SCRATCH_PATH];
	static char bytes[200000];
	struct err e;

	memset(bytes, 'x', sizeof(bytes));
	scratch_init(&s);
	scratch_path(&s, "big", path);
	ck_ok(file_create(path, bytes, sizeof(bytes), 0600, &e));
	buf_init(&b, sizeof(bytes));
	ck_ok(file_read_all(path, &b, &e));
	ck_assert_uint_eq(b.len, sizeof(bytes));
	ck_assert_mem_eq(b.data, bytes, sizeof(bytes));
	buf_done(&b);
	buf_init(&b, sizeof(bytes) - 1);
	ck_assert_int_eq(file_read_all(path, &b, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert(strstr(e.text, "is larger than the 199999 bytes"));
	buf_done(&b);
	/* It appends. */
	buf_init(&b, sizeof(bytes) + 2);
	ck_ok(buf_add(&b, "ab", 2, &e));
	ck_ok(file_read_all(path, &b, &e));
	ck_assert_uint_eq(b.len, sizeof(bytes) + 2);
	ck_assert_mem_eq(b.data, "abxx", 4);
}
END_TEST

START_TEST(names_what_cannot_be_read)
{
	CLEANUP(scratch_done) struct scratch s;
	CLEANUP(buf_done) struct buf b;
	char path[SCRATCH_PATH];
	struct err e;

	scratch_init(&s);
	buf_init(&b, 100);
	ck_assert_int_eq(file_read_all(s.path, &b, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert(strstr(e.text, "is a folder, not a file"));
	ck_assert_int_eq(file_read_all(scratch_path(&s, "no\n", path), &b, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert(strstr(e.text, "/no\\n\": no such file or directory"));
	/* Opens, but cannot be read at its start. */
	ck_assert_int_eq(file_read_all("/proc/self/mem", &b, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(reads_standard_input)
{
	CLEANUP(buf_done) struct buf b;
	const int saved = dup(STDIN_FILENO);
	int ends[2];
	struct err e;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "from a pipe", 11), 11);
	(void)close(ends[1]);
	ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	(void)close(ends[0]);
	buf_init(&b, 100);
	ck_ok(file_read_all("-", &b, &e));
	ck_assert_str_eq(buf_str(&b), "from a pipe");
	(void)dup2(saved, STDIN_FILENO);
	(void)close(saved);
}
END_TEST

START_TEST(reads_short_only_at_the_end)
{
	CLEANUP(file_close) int fd = -1;
	char out[16];
	struct err e;

	ck_ok(file_open_unnamed(NULL, &fd, &e));
	ck_assert_int_eq(seam_write(fd, "0123456789", 10), 0);
	ck_assert_int_eq(file_pread(fd, out, 16, 4), 6);
	ck_assert_mem_eq(out, "456789", 6);
	ck_assert_int_eq(file_pread(fd, out, 16, 10), 0);
	ck_assert_int_eq(file_pread(fd, out, 16, -1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(file_pread(fd, NULL, 0, 4), 0);
	ck_assert_int_eq(file_read(fd, NULL, 0), 0);
	ck_assert_int_eq(file_read(fd, out, 4), 0);
	ck_assert_int_eq(lseek(fd, 8, SEEK_SET), 8);
	ck_assert_int_eq(file_read(fd, out, 16), 2);
	ck_assert_int_eq(file_read(-1, out, 1), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(makes_folders)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct stat st;
	struct err e;

	scratch_init(&s);
	scratch_path(&s, "a//b/./c/", path);
	ck_ok(file_make_folders(path, 0700, &e));
	ck_ok(file_make_folders(path, 0755, &e));
	ck_assert_int_eq(stat(scratch_path(&s, "a/b/c", path), &st), 0);
	ck_assert(S_ISDIR(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_ok(file_make_folders("/", 0700, &e));
	ck_ok(file_create(scratch_path(&s, "a/file", path), "", 0, 0600, &e));
	ck_assert_int_eq(
		file_make_folders(scratch_path(&s, "a/file/x", path), 0700, &e),
		-1);
	ck_assert_int_eq(e.sys, ENOTDIR);
	ck_assert(strstr(e.text, "cannot make the folder \"/"));
}
END_TEST

/* Such as /home often is: to be passed, not to be listed. */
START_TEST(passes_folders_that_it_may_not_read)
{
	CLEANUP(scratch_done) struct scratch s;
	char path[SCRATCH_PATH];
	struct err e;
	int status;
	pid_t pid;

	scratch_init(&s);
	ck_assert_int_eq(chmod(s.path, 0755), 0);
	ck_assert_int_eq(mkdir(scratch_path(&s, "home", path), 0755), 0);
	ck_assert_int_eq(mkdir(scratch_path(&s, "home/me", path), 0777), 0);
	ck_assert_int_eq(chmod(path, 0777), 0);
	ck_assert_int_eq(chmod(scratch_path(&s, "home", path), 0111), 0);
	(void)scratch_path(&s, "home/me/a/b", path);
	pid = check_fork_child();
	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(2);
		if (file_make_folders(path, 0700, &e))
			_exit(1);
		/* Where it may make none it says that, not that it is not
		 * there. */
		(void)scratch_path(&s, "home/other", path);
		_exit(file_make_folders(path, 0700, &e) && e.sys == EACCES ? 0
									   : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(chmod(scratch_path(&s, "home", path), 0755), 0);
}
END_TEST

START_TEST(refuses_folder_names_beyond_the_limit)
{
	char path[400] = "/";
	struct err e;

	memset(path + 1, 'x', 300);
	ck_assert_int_eq(file_make_folders(path, 0700, &e), -1);
	ck_assert_int_eq(e.sys, ENAMETOOLONG);
}
END_TEST

START_TEST(opens_files_without_a_name)
{
	CLEANUP(scratch_done) struct scratch s;
	CLEANUP(file_close) int fd = -1;
	struct stat st;
	struct err e;

	scratch_init(&s);
	ck_ok(file_open_unnamed(s.path, &fd, &e));
	ck_assert_uint_eq(scratch_count(&s), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(seam_write(fd, "x", 1), 0);
	ck_assert_int_eq(file_open_unnamed("/no/such/folder", &fd, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* Who needs one later is told at once. */
START_TEST(knows_where_it_may_make_them)
{
	CLEANUP(scratch_done) struct scratch s;
	const bool root = geteuid() == 0;
	struct err e;
	int refused;

	scratch_init(&s);
	ck_ok(file_check_temporary(s.path, &e));
	ck_assert_uint_eq(scratch_count(&s), 0);
	ck_assert_int_eq(file_check_temporary("/no/such/folder", &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_int_eq(file_check_temporary("/etc/passwd", &e), -1);
	if (root)
		ck_assert_int_eq(seteuid(65534), 0);
	refused = file_check_temporary("/etc", &e);
	if (root)
		ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(refused, -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_str_ne(e.hint, "");
}
END_TEST

static int without_tmpfile(void *arg, enum seam_call call, const char *path)
{
	(void)call;
	return strcmp(path, arg) == 0 ? EOPNOTSUPP : 0;
}

START_TEST(opens_them_without_help_of_the_file_system)
{
	CLEANUP(scratch_done) struct scratch s;
	CLEANUP(file_close) int fd = -1;
	struct stat st;
	struct err e;

	scratch_init(&s);
	seam_set_hook(without_tmpfile, s.path);
	ck_ok(file_open_unnamed(s.path, &fd, &e));
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(scratch_count(&s), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
}
END_TEST

START_TEST(takes_descriptors)
{
	int fd = dup(STDERR_FILENO);
	const int taken = TAKE_FD(fd);

	ck_assert_int_eq(fd, -1);
	ck_assert_int_ge(taken, 0);
	errno = ENOENT;
	file_close(taken);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(fcntl(taken, F_GETFD), -1);
	errno = ENOENT;
	file_close(-1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, replaces_whole_files);
	tcase_add_test(tc, creates_but_never_over_something);
	tcase_add_test(tc, works_in_the_current_folder);
	tcase_add_test(tc, names_what_cannot_be_written);
	tcase_add_test(tc, leaves_no_temporary_file_when_any_call_fails);
	tcase_add_test(tc, syncs_the_bytes_before_the_name);
	tcase_add_test(tc, creates_where_rename_always_replaces);
	tcase_add_test(tc, reads_up_to_the_ceiling);
	tcase_add_test(tc, names_what_cannot_be_read);
	tcase_add_test(tc, reads_standard_input);
	tcase_add_test(tc, reads_short_only_at_the_end);
	tcase_add_test(tc, makes_folders);
	tcase_add_test(tc, passes_folders_that_it_may_not_read);
	tcase_add_test(tc, refuses_folder_names_beyond_the_limit);
	tcase_add_test(tc, opens_files_without_a_name);
	tcase_add_test(tc, knows_where_it_may_make_them);
	tcase_add_test(tc, opens_them_without_help_of_the_file_system);
	tcase_add_test(tc, takes_descriptors);
}

CHECK_MAIN("base/file", cases)
