/* Restored folders and metadata: storage/restore_target.c. */
#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "tests/support/restore_frame.h"

/* Attributes that each file seems to have, as on other file systems. */
static const char stubborn[] = "system.nfs4_acl\0user.stays";
static bool is_stubborn;
static atomic_uint listings;

ssize_t __wrap_flistxattr(int fd, char *out, size_t n);
ssize_t __real_flistxattr(int fd, char *out, size_t n);
ssize_t __wrap_flistxattr(int fd, char *out, size_t n)
{
	ssize_t had = __real_flistxattr(fd, out, n);

	atomic_fetch_add(&listings, 1);
	if (!is_stubborn || had < 0)
		return had;
	if (n >= (size_t)had + sizeof(stubborn))
		memcpy(out + had, stubborn, sizeof(stubborn));
	return had + (ssize_t)sizeof(stubborn);
}

static unsigned int nfs4_removals;

int __wrap_fremovexattr(int fd, const char *name);
int __real_fremovexattr(int fd, const char *name);
int __wrap_fremovexattr(int fd, const char *name)
{
	nfs4_removals += strcmp(name, "system.nfs4_acl") == 0;
	if (strcmp(name, "system.nfs4_acl") == 0 ||
	    strcmp(name, "user.stays") == 0) {
		errno = EINVAL;
		return -1;
	}
	return __real_fremovexattr(fd, name);
}

/* What shows by attributes what it keeps elsewhere is restored onto, too. */
START_TEST(attributes_that_cannot_be_removed_stay)
{
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	ck_assert_int_eq(mkdir(at(f.from, "d"), 0750), 0);
	id = repo_take(&f).id;
	is_stubborn = true;
	nfs4_removals = 0;
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	is_stubborn = false;
	ck_assert_msg(got.errors == 0, "%s", f.failed);
	expect_text(at(f.to, "a"), "a");
	ck_assert_uint_eq(look(at(f.to, "d")).st_mode & 07777, 0750);
	ck_assert_uint_eq(nfs4_removals, 0);
}
END_TEST

/* What the file had before and the snapshot has not goes. */
START_TEST(attributes_of_before_go)
{
	struct restore_result got;
	struct object_id id;
	char value[10];

	write_text(at(f.from, "a"), "a");
	id = repo_take(&f).id;
	(void)repo_restore(&f, id);
	if (setxattr(at(f.to, "a"), "user.old", "x", 1, 0) != 0)
		ck_skip("attributes", "not supported here");
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_int_lt(
		getxattr(at(f.to, "a"), "user.old", value, sizeof(value)), 0);
}
END_TEST

/*
 * In a folder of somebody else each new file is looked at: its owner may give
 * it a default ACL at any moment, which later files would take over.
 */
START_TEST(what_others_may_make_inherited_is_looked_for)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct restore_result got;
	struct object_id id;

	for (size_t i = 0; i < 4; i++)
		write_text(at(f.from, names[i]), names[i]);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0755), 0);
	atomic_store(&listings, 0);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_uint_ge(atomic_load(&listings), 4);
}
END_TEST

/* A default ACL of the folder around the target: none of its files keeps it. */
START_TEST(no_file_keeps_what_it_inherited)
{
	/* user::rwx user:1:rwx group::rwx mask::rwx other::rwx */
	static const uint8_t acl[] = {
		2, 0, 0,   0,	1,   0,	  7,  0, 255, 255, 255, 255, 2,	  0,  7,
		0, 1, 0,   0,	0,   4,	  0,  7, 0,   255, 255, 255, 255, 16, 0,
		7, 0, 255, 255, 255, 255, 32, 0, 7,   0,   255, 255, 255, 255
	};
	static const char *const names[] = { "a", "b", "d/a", "d/b" };
	struct restore_result got;
	struct object_id id;
	char value[100];

	ck_assert_int_eq(mkdir(at(f.from, "d"), 0750), 0);
	for (size_t i = 0; i < 4; i++)
		write_text(at(f.from, names[i]), names[i]);
	id = repo_take(&f).id;
	if (setxattr(f.dir.path, "system.posix_acl_default", acl, sizeof(acl),
		     0) != 0)
		ck_skip("default ACL", "not supported here");
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_msg(got.errors == 0, "%s", f.failed);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_lt(getxattr(at(f.to, names[i]),
					  "system.posix_acl_access", value,
					  sizeof(value)),
				 0);
	ck_assert_int_lt(getxattr(at(f.to, "d"), "system.posix_acl_default",
				  value, sizeof(value)),
			 0);
}
END_TEST

static void expect_finished(const char *name, mode_t mode)
{
	const struct stat got = look(at(f.to, name));
	const struct stat want = look(at(f.from, name));

	ck_assert_uint_eq(got.st_mode & 07777, mode);
	ck_assert_int_eq(got.st_mtim.tv_sec, want.st_mtim.tv_sec);
	ck_assert_int_eq(got.st_mtim.tv_nsec, want.st_mtim.tv_nsec);
}

static atomic_bool cancel;
static bool cancels;

/* Files only: the folders are made because of them. */
static bool want_files(void *arg, const char *path, size_t len, bool is_folder)
{
	(void)arg;
	(void)path;
	(void)len;
	if (!is_folder && cancels)
		atomic_store(&cancel, true);
	return !is_folder;
}

/* Folders on the way to what is included are finished by the next run. */
START_TEST(folders_of_an_interrupted_run_are_finished)
{
	struct restore_options o = { .wanted = want_files, .cancel = &cancel };
	struct restore_result got;
	struct object_id id;

	ck_assert_int_eq(mkdir(at(f.from, "d"), 0755), 0);
	ck_assert_int_eq(mkdir(at(f.from, "d/e"), 0755), 0);
	ck_assert_int_eq(chmod(at(f.from, "d/e"), 0751), 0);
	write_text(at(f.from, "d/e/a"), "a");
	write_text(at(f.from, "d/e/b"), "b");
	id = repo_take(&f).id;
	cancels = true;
	ck_assert_int_lt(repo_restore_with(&f, id, &o, &got, &e), 0);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert_uint_eq(look(at(f.to, "d/e")).st_mode & 0777, 0700);
	cancels = false;
	atomic_store(&cancel, false);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert_uint_eq(got.errors, 0);
	expect_finished("d/e", 0751);
	expect_finished("d", 0755);
	expect_finished(".", 0755);
}
END_TEST

/* Others' folders on that way are left as they are, private ones as well. */
START_TEST(folders_of_others_are_no_unfinished_ones)
{
	struct restore_options o = { .wanted = want_files };
	struct restore_result got;
	struct object_id id;

	ck_assert_int_eq(mkdir(at(f.from, "d"), 0755), 0);
	write_text(at(f.from, "d/a"), "a");
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_assert_int_eq(mkdir(at(f.to, "d"), 0700), 0);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	expect_text(at(f.to, "d/a"), "a");
	ck_assert_uint_eq(look(at(f.to, "d")).st_mode & 07777, 0700);
	ck_assert_uint_eq(look(f.to).st_mode & 07777, 0700);
}
END_TEST

/* A target of which the snapshot says nothing is an ordinary private folder. */
START_TEST(a_folder_without_an_entry_is_private)
{
	char path[2 * SCRATCH_PATH];
	struct restore_options o = { .path = path };
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	id = repo_take(&f).id;
	(void)snprintf(path, sizeof(path), "%s", at(f.from, "a"));
	o.path_len = strlen(path);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	expect_text(at(f.to, "a"), "a");
	ck_assert_uint_eq(look(f.to).st_mode & 07777, 0700);
}
END_TEST

/* What is there is not touched, and what is made is as it was. */
START_TEST(nothing_of_a_folder_is_overwritten_either)
{
	struct restore_result got;
	struct object_id id;
	char value[10];
	bool has_attributes;

	ck_assert_int_eq(mkdir(at(f.from, "there"), 0755), 0);
	ck_assert_int_eq(mkdir(at(f.from, "there/made"), 0755), 0);
	ck_assert_int_eq(chmod(at(f.from, "there/made"), 0751), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_assert_int_eq(mkdir(at(f.to, "there"), 0711), 0);
	has_attributes = setxattr(at(f.to, "there"), "user.own", "x", 1, 0) ==
			 0;
	ck_ok(restore(id, RESTORE_NEVER, &got));
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_uint_eq(look(at(f.to, "there")).st_mode & 07777, 0711);
	ck_assert_int_eq(
		getxattr(at(f.to, "there"), "user.own", value, sizeof(value)),
		has_attributes ? 1 : -1);
	expect_finished("there/made", 0751);
	/* Otherwise both are. */
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	expect_finished("there", 0755);
	ck_assert_int_eq(
		getxattr(at(f.to, "there"), "user.own", value, sizeof(value)),
		-1);
}
END_TEST

#define NOBODY 65534

/* A shared folder's bit comes back where its group does, else it is told. */
static int share_as_nobody(struct object_id id, bool inherits)
{
	struct restore_result got;
	mode_t own;
	mode_t others;

	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		return 10;
	if (restore(id, RESTORE_CHANGED, &got) || got.errors)
		return 11;
	own = look(at(f.to, "own")).st_mode & 07777;
	others = look(at(f.to, "others")).st_mode & 07777;
	/* Below a folder that hands on root's group neither bit can be had. */
	if (own != (inherits ? 0775 : 02775) || others != 0775)
		return 12;
	/* Three owners and a bit; or two of each, the target being there. */
	if (got.left_out != 4)
		return 13;
	return strstr(f.left, inherits ? "setgid" : "owner") ? 0 : 14;
}

START_TEST(a_shared_folder_stays_so_where_its_group_is_right)
{
	struct object_id id;
	int status = 0;
	pid_t pid;

	if (getuid() != 0)
		return;
	ck_assert_int_eq(mkdir(at(f.from, "others"), 0775), 0);
	ck_assert_int_eq(chmod(at(f.from, "others"), 02775), 0);
	ck_assert_int_eq(mkdir(at(f.from, "own"), 0775), 0);
	ck_assert_int_eq(chown(at(f.from, "own"), 0, NOBODY), 0);
	ck_assert_int_eq(chmod(at(f.from, "own"), 02775), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(chmod(f.dir.path, 0777), 0);
	for (int inherits = 0; inherits < 2; inherits++) {
		if (inherits) {
			ck_assert_int_eq(rmdir(at(f.to, "own")), 0);
			ck_assert_int_eq(rmdir(at(f.to, "others")), 0);
			ck_assert_int_eq(chown(f.to, NOBODY, 0), 0);
			ck_assert_int_eq(chmod(f.to, 02777), 0);
		}
		pid = check_fork_child();
		if (pid == 0)
			_exit(share_as_nobody(id, inherits));
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status));
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, attributes_that_cannot_be_removed_stay);
	tcase_add_test(tc, attributes_of_before_go);
	tcase_add_test(tc, what_others_may_make_inherited_is_looked_for);
	tcase_add_test(tc, no_file_keeps_what_it_inherited);
	tcase_add_test(tc, folders_of_an_interrupted_run_are_finished);
	tcase_add_test(tc, folders_of_others_are_no_unfinished_ones);
	tcase_add_test(tc, a_folder_without_an_entry_is_private);
	tcase_add_test(tc, nothing_of_a_folder_is_overwritten_either);
	tcase_add_test(tc, a_shared_folder_stays_so_where_its_group_is_right);
}

CHECK_MAIN("storage/restore_target", cases)
