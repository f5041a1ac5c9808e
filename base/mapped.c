#include "base/mapped.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/file.h"
#include "base/seam.h"

/*
 * Blocks are allocated now: a hole that the disk has no room for would be a
 * SIGBUS at the first touch, later.
 */
static int allocate(int fd, size_t bytes)
{
	static const uint8_t zeros[64 * 1024];

	if (!seam_fallocate(fd, 0, 0, (int64_t)bytes))
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -1;
	for (size_t at = 0; at < bytes; at += sizeof(zeros)) {
		const size_t n = bytes - at < sizeof(zeros) ? bytes - at
							    : sizeof(zeros);

		if (seam_pwrite(fd, zeros, n, (int64_t)at))
			return -1;
	}
	return 0;
}

static int open_small(size_t n, struct mapped *ret, struct err *e)
{
	uint8_t *bytes = calloc(1, n);

	if (!bytes)
		return err_oom(e);
	*ret = (struct mapped){ bytes, n };
	/* cppcheck-suppress memleak ; ret holds it */
	return 0;
}

int mapped_open(const char *folder, size_t n, struct mapped *ret, struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	void *bytes;

	if (n == 0 || n > INT64_MAX)
		return err_oom(e);
	if (n < MAPPED_FILE_MIN)
		return open_small(n, ret, e);
	if (file_open_unnamed(folder, &fd, e))
		return -1;
	if (allocate(fd, n))
		return err_sys(
			e, "cannot enlarge a temporary file to %zu bytes", n);
	bytes = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return err_sys(e, "cannot map a temporary file of %zu bytes",
			       n);
	*ret = (struct mapped){ bytes, n };
	/* cppcheck-suppress memleak ; ret holds it */
	return 0;
}

void mapped_close(struct mapped *m)
{
	if (m->n < MAPPED_FILE_MIN)
		free(m->bytes);
	else
		(void)munmap(m->bytes, m->n);
	*m = (struct mapped){ NULL, 0 };
}
