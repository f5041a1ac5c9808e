/*
 * A folder for a fuzz target whose parser opens files by name: made once, in
 * memory where that can be, and gone with the process.  One that is killed,
 * or that a broken promise ends, leaves it.
 */
#ifndef TESTS_SUPPORT_FUZZ_FOLDER_H
#define TESTS_SUPPORT_FUZZ_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/fuzz.h"

static char fuzz_folder_path[4096];
static int fuzz_folder_fd = -1;

static inline void fuzz_folder_drop(void)
{
	DIR *d = fdopendir(fuzz_folder_fd);
	const struct dirent *en;

	while (d && (en = readdir(d)))
		if (en->d_name[0] != '.')
			(void)unlinkat(dirfd(d), en->d_name, 0);
	if (d)
		(void)closedir(d);
	(void)rmdir(fuzz_folder_path);
}

/* Its descriptor. */
static inline int fuzz_folder(void)
{
	const char *memory = getenv("SNAPCTL_TEST_MEMORY");
	const char *other = getenv("TMPDIR");

	if (fuzz_folder_fd >= 0)
		return fuzz_folder_fd;
	(void)snprintf(fuzz_folder_path, sizeof(fuzz_folder_path),
		       "%s/fuzz-XXXXXX",
		       memory && *memory	       ? memory
		       : other && *other	       ? other
		       : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
						       : "/tmp");
	FUZZ_PROMISE(mkdtemp(fuzz_folder_path) != NULL);
	fuzz_folder_fd = open(fuzz_folder_path,
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_PROMISE(fuzz_folder_fd >= 0);
	FUZZ_PROMISE(atexit(fuzz_folder_drop) == 0);
	return fuzz_folder_fd;
}

/* Write a file of it. */
static inline void fuzz_folder_put(const char *name, const void *bytes,
				   size_t n)
{
	const int fd = openat(fuzz_folder(), name,
			      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_PROMISE(fd >= 0);
	FUZZ_PROMISE(n == 0 || write(fd, bytes, n) == (ssize_t)n);
	(void)close(fd);
}

/* Read one of n bytes, no more and no less, into out. */
static inline void fuzz_folder_get(const char *name, void *out, size_t n)
{
	const int fd = openat(fuzz_folder(), name, O_RDONLY | O_CLOEXEC);
	uint8_t more;

	FUZZ_PROMISE(fd >= 0);
	FUZZ_PROMISE(read(fd, out, n) == (ssize_t)n);
	FUZZ_PROMISE(read(fd, &more, 1) == 0);
	(void)close(fd);
}

#endif
