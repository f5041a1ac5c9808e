/*
 * Bytes in an unlinked temporary file, mapped: what grows with the work is
 * page cache that the kernel can write back, never anonymous memory.  What is
 * smaller than MAPPED_FILE_MIN is plain memory: to make, fill and remove such a
 * file takes a quarter of a millisecond, and small work begins with a dozen.
 */
#ifndef BASE_MAPPED_H
#define BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define MAPPED_FILE_MIN ((size_t)64 << 10)

struct mapped {
	uint8_t *bytes; /* aligned as malloc()'s */
	size_t n;
};

/*
 * n zeros (at least one).  Their blocks are allocated, so that a full disk is
 * an error here and no SIGBUS later.  folder as in file_open_unnamed().
 */
int mapped_open(const char *folder, size_t n, struct mapped *ret, struct err *e)
	NONNULL(3, 4) MUST_CHECK;
/* Of one that is all zero, too. */
void mapped_close(struct mapped *m) NONNULL(1);

#endif
