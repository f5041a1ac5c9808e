/*
 * Bytes in an unlinked temporary file, mapped: what grows with the work is
 * page cache that the kernel can write back, never anonymous memory.
 */
#ifndef BASE_MAPPED_H
#define BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct mapped {
	uint8_t *bytes;
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
