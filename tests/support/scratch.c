#include "tests/support/scratch.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void scratch_init(struct scratch *s)
{
	const char *folder = getenv("SNAPCTL_TEST_SCRATCH");

	if (!folder)
		folder = getenv("TMPDIR");
	if (!folder)
		folder = "/tmp";
	(void)snprintf(s->path, sizeof(s->path), "%s/snapctl-test-XXXXXX",
		       folder);
	ck_assert_ptr_nonnull(mkdtemp(s->path));
}

/* What remains is counted in the end, whichever call failed. */
static void may_fail(int result)
{
	(void)result;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/*
 * Remove what is in folder `name`, or move it up into top; returns how much
 * that was.  What fails is seen by the caller: the folder does not go.
 */
static unsigned int lift(int top, const char *name, unsigned int *serial)
{
	const int in = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = in < 0 ? NULL : fdopendir(in);
	const struct dirent *entry;
	unsigned int done = 0;
	char to[32];

	while (d && (entry = readdir(d))) {
		if (is_dots(entry->d_name))
			continue;
		if (unlinkat(in, entry->d_name, 0) == 0) {
			done++;
			continue;
		}
		(void)snprintf(to, sizeof(to), ".up-%u", (*serial)++);
		may_fail(fchmodat(in, entry->d_name, 0700, 0));
		done += renameat(in, entry->d_name, top, to) == 0;
	}
	if (d)
		(void)closedir(d);
	return done;
}

/*
 * One pass over top.  Folders within folders are moved up first: no recursion,
 * however deep.  Returns how much went, and in *ret_left what did not.
 */
static unsigned int empty(int top, unsigned int *serial, unsigned int *ret_left)
{
	const int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	const struct dirent *entry;
	unsigned int done = 0;

	/* No assertion: a child that goes on for ever comes here, too. */
	if (!d)
		ck_abort_msg("a folder cannot be read: error %d", errno);
	*ret_left = 0;
	while ((entry = readdir(d))) {
		if (is_dots(entry->d_name))
			continue;
		if (unlinkat(top, entry->d_name, 0) == 0) {
			done++;
			continue;
		}
		may_fail(fchmodat(top, entry->d_name, 0700, 0));
		done += lift(top, entry->d_name, serial);
		if (unlinkat(top, entry->d_name, AT_REMOVEDIR) == 0)
			done++;
		else
			(*ret_left)++;
	}
	(void)closedir(d);
	return done;
}

void scratch_remove(const char *root)
{
	unsigned int serial = 0;
	unsigned int left;
	int fd;

	may_fail(chmod(root, 0700));
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (empty(fd, &serial, &left) > 0)
		;
	(void)close(fd);
	if (left > 0 || rmdir(root) < 0)
		ck_abort_msg("something stays in %s", root);
}

void scratch_done(struct scratch *s)
{
	scratch_remove(s->path);
}

char *scratch_path(const struct scratch *s, const char *name,
		   char out[SCRATCH_PATH])
{
	const int n = snprintf(out, SCRATCH_PATH, "%s/%s", s->path, name);

	ck_assert_int_lt(n, SCRATCH_PATH);
	return out;
}

unsigned int scratch_count(const struct scratch *s)
{
	DIR *d = opendir(s->path);
	const struct dirent *entry;
	unsigned int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)))
		n += strcmp(entry->d_name, ".") != 0 &&
		     strcmp(entry->d_name, "..") != 0;
	(void)closedir(d);
	return n;
}
