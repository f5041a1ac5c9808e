/*
 * Whether a file that is being read holds what a snapshot says, read no
 * further than to the first difference.
 *
 * The file comes from a source's handle, in pieces and holes of the source's
 * own choice; the snapshot's from its chunks.  What reads as zeros is equal,
 * hole or not.
 */
#ifndef STORAGE_COMPARE_STREAM_H
#define STORAGE_COMPARE_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/ahead.h"
#include "storage/repository/content.h"
#include "storage/repository/reader.h"
#include "storage/sources/source.h"

/* Bytes that are read at a time. */
#define COMPARE_STREAM_BYTES ((size_t)256 << 10)

/* The caller's, for many files, one after the other. */
struct compare_stream {
	struct reader *nodes;	   /* maps of contents */
	struct reader *data;	   /* chunks */
	uint8_t *bytes;		   /* COMPARE_STREAM_BYTES of memory */
	const atomic_bool *cancel; /* or NULL */
	struct ahead *ahead;	   /* or NULL */
	uint64_t position;	   /* for that: of the file under way */
	uint64_t compared;	   /* bytes, in all */

	/* Of the file under way. */
	struct source_handle *handle;
	uint64_t hole;	/* zeros that come next */
	size_t at, len; /* in bytes */
	bool differs;
};

/*
 * Whether the described handle of a file, unread so far, holds the content: 1,
 * 0, -1.  ERR_CORRUPT when a chunk of the snapshot is damaged, ERR_INTERRUPTED.
 * source_finish() then tells how reading went.
 */
int compare_stream_same(struct compare_stream *s, struct source_handle *h,
			const struct content *c, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif
