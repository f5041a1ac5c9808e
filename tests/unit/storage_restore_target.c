/* Restored folders and metadata: storage/restore_target.c. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/support/restore_frame.h"

/* Attributes that each file seems to have, as on other file systems. */
static const char stubborn[] = "system.nfs4_acl\0user.stays";
static bool is_stubborn;

ssize_t __wrap_flistxattr(int fd, char *out, size_t n);
ssize_t __real_flistxattr(int fd, char *out, size_t n);
ssize_t __wrap_flistxattr(int fd, char *out, size_t n)
{
	ssize_t had = __real_flistxattr(fd, out, n);

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

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, attributes_that_cannot_be_removed_stay);
	tcase_add_test(tc, attributes_of_before_go);
}

CHECK_MAIN("storage/restore_target", cases)
