#include "tests/support/tree_gen.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/scratch.h"

#define PATH_SIZE 3000
#define DEPTH_MAX 8

/* Random trees: a name that is taken, a thing that is not permitted. */
static void may_fail(int result)
{
	(void)result;
}

/* As ck_assert(), which a child that goes on for ever may not use. */
static void must(bool done)
{
	if (!done)
		ck_abort_msg("the tree cannot be made: error %d", errno);
}

/* The start of a name: what sorts oddly, and what is no text. */
static const char *const odd_names[] = {
	"a",	 "a!",	 "a b",	     "a.b",	 "a0",	 "A",
	"-rf",	 "~",	 "...",	     "..a",	 ".a",	 "new\nline",
	"tab\t", "\x01", "\xff\xfe", "\xc3\xa9", "\x80", "\"quoted\"",
	"$(x)",	 "a\\b", "*",	     "\x7f",	 " ",	 "CACHEDIR.TAG",
};

static void random_name(struct random *r, char out[256])
{
	const char *odd = odd_names[random_below(
		r, sizeof(odd_names) / sizeof(odd_names[0]))];

	if (random_below(r, 40) == 0) {
		memset(out, 'x', 255);
		out[255] = '\0';
		out[random_below(r, 255)] = (char)(1 + random_below(r, 46));
		return;
	}
	(void)snprintf(out, 256, "%s%x", odd, (unsigned)random_below(r, 4096));
}

static void write_bytes(int fd, struct random *r, size_t n, off_t at)
{
	uint8_t bytes[4096];

	while (n > 0) {
		const size_t part = n < sizeof(bytes) ? n : sizeof(bytes);

		random_bytes(r, bytes, part);
		must(pwrite(fd, bytes, part, at) == (ssize_t)part);
		at += (off_t)part;
		n -= part;
	}
}

static void fill_file(int fd, struct random *r)
{
	off_t at = 0;
	unsigned int i;

	switch (random_below(r, 6)) {
	case 0:
		break;
	case 1:
		write_bytes(fd, r, random_below(r, 200000), 0);
		break;
	case 2:
	case 3:
		for (i = (unsigned int)random_below(r, 4); i > 0; i--) {
			at += (off_t)random_below(r, 1 << 20);
			write_bytes(fd, r, 1 + random_below(r, 5000), at);
		}
		at += (off_t)random_below(r, 1 << 20);
		must(ftruncate(fd, at) == 0);
		break;
	default:
		write_bytes(fd, r, random_below(r, 3000), 0);
	}
}

static void make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/');
	char folder[PATH_SIZE];
	size_t n;
	int dir;
	int fd;

	/* A socket's address is short: go through a descriptor. */
	(void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path),
		       path);
	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(dir >= 0 && fd >= 0);
	n = (size_t)snprintf(a.sun_path, sizeof(a.sun_path),
			     "/proc/self/fd/%d/", dir);
	if (n + strlen(slash + 1) < sizeof(a.sun_path)) {
		memcpy(a.sun_path + n, slash + 1, strlen(slash + 1));
		may_fail(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	}
	(void)close(fd);
	(void)close(dir);
}

static void set_attrs(const char *path, bool link, struct random *r)
{
	/* user::rwx user:1:r-x group::r-x mask::r-x other::--- */
	static const uint8_t acl[] = {
		2, 0, 0,   0,	1,   0,	  7,  0, 255, 255, 255, 255, 2,	  0,  5,
		0, 1, 0,   0,	0,   4,	  0,  5, 0,   255, 255, 255, 255, 16, 0,
		5, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255
	};
	/* VFS_CAP_REVISION_2, cap_net_raw permitted and effective */
	static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 32 };
	uint8_t value[300];
	const size_t n = random_below(r, sizeof(value));

	random_bytes(r, value, n);
	if (random_below(r, 4) == 0)
		(void)lsetxattr(path, "trusted.snap", value, n, 0);
	if (link)
		return;
	if (random_below(r, 4) == 0)
		(void)lsetxattr(path, "user.z", value, n, 0);
	if (random_below(r, 4) == 0)
		(void)lsetxattr(path, "user.a\xff\n", value, 0, 0);
	if (random_below(r, 5) == 0)
		(void)lsetxattr(path, "system.posix_acl_access", acl,
				sizeof(acl), 0);
	if (random_below(r, 5) == 0)
		(void)lsetxattr(path, "system.posix_acl_default", acl,
				sizeof(acl), 0);
	if (random_below(r, 5) == 0)
		(void)lsetxattr(path, "security.capability", capability,
				sizeof(capability), 0);
}

static void set_odd(const char *path, struct random *r)
{
	static const int64_t odd_times[] = { -1,	 0, -2000000000,
					     2000000000, 1, 4000000000 };
	struct stat st;
	struct timespec times[2] = { 0 };

	if (lstat(path, &st) < 0)
		return;
	if (geteuid() == 0 && random_below(r, 3) == 0)
		may_fail(lchown(path, (uid_t)(random_u64(r) & 0xfffffffe),
				(gid_t)(random_u64(r) & 0xfffffffe)));
	if (!S_ISLNK(st.st_mode) && random_below(r, 3) == 0) {
		mode_t mode = (mode_t)random_below(r, 010000);

		/* Whoever is not root has to read it afterwards. */
		if (geteuid() != 0)
			mode |= S_ISDIR(st.st_mode) ? 0700 : 0400;
		may_fail(chmod(path, mode));
	}
	set_attrs(path, S_ISLNK(st.st_mode), r);
	times[1].tv_sec = odd_times[random_below(r, 6)];
	times[1].tv_nsec = (long)random_below(r, 1000000000);
	if (random_below(r, 2))
		(void)utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static void make_device(const char *path, struct random *r)
{
	const mode_t type = random_below(r, 2) ? S_IFCHR : S_IFBLK;

	may_fail(mknod(path, type | 0600,
		       makedev((unsigned)random_below(r, 4096),
			       (unsigned)random_below(r, 1 << 20))));
}

static void make_file(const char *path, struct random *r)
{
	struct stat st;
	int fd;

	/* A name can come twice, and be a fifo's or a device's by now. */
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	fill_file(fd, r);
	(void)close(fd);
}

/* A symlink to anything: what exists, what does not, a long name. */
static void make_symlink(const char *path, const char *other, struct random *r)
{
	char target[4096];

	memset(target, 't', sizeof(target));
	target[1 + random_below(r, 4094)] = '\0';
	target[4095] = '\0';
	may_fail(symlink(random_below(r, 2) && *other ? other : target, path));
}

static bool make_one(const char *path, char *last_file, struct random *r)
{
	switch (random_below(r, 12)) {
	case 0:
	case 1:
	case 2:
		return mkdir(path, 0700) == 0;
	case 3:
		make_symlink(path, last_file, r);
		break;
	case 4:
		if (*last_file)
			may_fail(link(last_file, path));
		break;
	case 5:
		may_fail(mkfifo(path, 0600));
		break;
	case 6:
		make_socket(path);
		break;
	case 7:
		make_device(path, r);
		break;
	default:
		make_file(path, r);
		(void)snprintf(last_file, PATH_SIZE, "%s", path);
	}
	return false;
}

static void fill(const char *folder, unsigned int *left, unsigned int depth,
		 char *last_file, struct random *r)
{
	uint64_t n = 1 + random_below(r, 20);
	char path[PATH_SIZE];
	char name[256];

	while (n-- > 0 && *left > 0) {
		random_name(r, name);
		if (strlen(folder) + 260 > sizeof(path))
			return;
		(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
		(*left)--;
		if (make_one(path, last_file, r) && depth < DEPTH_MAX)
			fill(path, left, depth + 1, last_file, r);
		set_odd(path, r);
	}
}

void tree_gen_fill(const char *root, unsigned int n, struct random *r)
{
	char last_file[PATH_SIZE] = "";

	while (n > 0)
		fill(root, &n, 0, last_file, r);
}

/* Some path below root, or root. */
static void random_path(const char *root, struct random *r, char *out)
{
	(void)snprintf(out, PATH_SIZE, "%s", root);
	while (random_below(r, 6)) {
		DIR *d = opendir(out);
		const struct dirent *entry;
		char name[256] = "";
		unsigned int seen = 0;
		size_t n;

		if (!d)
			return;
		while ((entry = readdir(d)))
			if (strcmp(entry->d_name, ".") != 0 &&
			    strcmp(entry->d_name, "..") != 0 &&
			    random_below(r, ++seen) == 0)
				(void)snprintf(name, sizeof(name), "%s",
					       entry->d_name);
		(void)closedir(d);
		n = strlen(out);
		if (!*name || n + 260 > PATH_SIZE)
			return;
		(void)snprintf(out + n, PATH_SIZE - n, "/%s", name);
	}
}

static void mutate_one(const char *root, const char *path, struct random *r)
{
	struct stat st;
	char other[PATH_SIZE];
	char name[256];
	int fd;

	if (strcmp(root, path) == 0 || lstat(path, &st) < 0)
		return;
	switch (random_below(r, 5)) {
	case 0:
		if (S_ISDIR(st.st_mode))
			scratch_remove(path);
		else
			may_fail(unlink(path));
		break;
	case 1:
		random_name(r, name);
		(void)snprintf(other, sizeof(other), "%s/%s", root, name);
		may_fail(rename(path, other));
		break;
	case 2:
		if (!S_ISREG(st.st_mode))
			break;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0) {
			fill_file(fd, r);
			(void)close(fd);
		}
		break;
	case 3:
		if (S_ISDIR(st.st_mode))
			tree_gen_fill(path, 1 + (unsigned)random_below(r, 5),
				      r);
		break;
	default:
		set_odd(path, r);
	}
}

void tree_gen_mutate(const char *root, unsigned int n, struct random *r)
{
	char path[PATH_SIZE];

	while (n-- > 0) {
		random_path(root, r, path);
		mutate_one(root, path, r);
	}
}
