/*
 * Putting one file of a snapshot, as a rule a disk or a command's output, into
 * a file of another name or onto a block device.
 *
 * A file that is not there is written beside its name, sparse, and gets it
 * when it is whole and durable.  What is there already is kept unless told
 * otherwise; then, and on a device, only the ranges that differ are written, in
 * place: until it is done, that is neither the old nor the new.
 *
 * The pipeline: the caller's thread walks the content; workers (one a core)
 * fetch, compare and write extents, from a far store of what comes ahead.
 *
 * Memory: for each worker 5 MiB and a chunk; ahead of them 32 MiB.
 */
#ifndef STORAGE_RESTORE_OUTPUT_H
#define STORAGE_RESTORE_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/manifest.h"
#include "storage/repository/repository.h"

struct restore_output_options {
	const char *path; /* of the file in the snapshot; NULL: its only one */
	size_t path_len;
	const char *to;
	/* Write to a file that is there, to a device that is in use. */
	bool overwrite;
	/* A range that is damaged in the repository: from any thread, one at a
	 * time.  May be NULL. */
	void (*lost)(void *arg, uint64_t from, uint64_t n, const char *why);
	/* Of the caller's thread, now and then.  May be NULL. */
	void (*progress)(void *arg, uint64_t bytes, uint64_t total);
	const atomic_bool *cancel; /* may be NULL */
	void *arg;
};

struct restore_output_result {
	uint64_t bytes;	  /* its size */
	uint64_t written; /* of them; the others were so already, or holes */
	uint64_t lost;	  /* in ranges that are damaged: left as they were */
	bool pinned;	  /* collectors knew about us */
};

/*
 * 0 when everything that could be restored is there, and durable.  ERR_USAGE:
 * it names no file, the target is of no use or too small; ERR_EXISTS: a file
 * is there; ERR_BUSY: the device is in use (mounted, say); ERR_NOT_FOUND: the
 * path is not in the snapshot.
 */
int restore_output(struct repository *r, const struct manifest *m,
		   const struct restore_output_options *o,
		   struct restore_output_result *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

#endif
