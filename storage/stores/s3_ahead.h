/*
 * Reading ahead in packs: a request costs tens of milliseconds whatever it
 * asks for, and a tree's nodes and a file's chunks lie one behind the other.
 *
 * Who reads an object where it was read up to gets more than was asked for: 256
 * KiB at first, twice as much each time, up to 4 MiB; what lies there is kept
 * for what is asked next.  A read anywhere else gets what it asks for and no
 * more, and so does one that is large by itself.  Two who read one object in
 * different places do not disturb one another.
 *
 * Only for objects that are never replaced.  What is kept is forgotten after
 * ten seconds, and when the object is removed through this store, so that
 * nobody sees for long what somebody else removed.
 *
 * Memory: 6 stretches of 4 MiB.  Any number of threads; two that want the same
 * bytes send one request.
 */
#ifndef STORAGE_STORES_S3_AHEAD_H
#define STORAGE_STORES_S3_AHEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct s3_ahead;

/* As store_ops.read: what gets the bytes. */
typedef int s3_ahead_fetch(void *arg, const char *name, uint64_t offset,
			   void *out, size_t n, size_t *ret_got, struct err *e);

int s3_ahead_new(s3_ahead_fetch *fetch, void *arg, struct s3_ahead **ret,
		 struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
/* Nobody may be reading. */
void s3_ahead_free(struct s3_ahead *a);

/* As store_ops.read; now_ms: of a clock that only runs. */
int s3_ahead_read(struct s3_ahead *a, const char *name, uint64_t offset,
		  void *out, size_t n, int64_t now_ms, size_t *ret_got,
		  struct err *e) NONNULL(1, 2, 7, 8) MUST_CHECK;
/* It changes: forget what is kept of it. */
void s3_ahead_forget(struct s3_ahead *a, const char *name) NONNULL(1, 2);

#endif
