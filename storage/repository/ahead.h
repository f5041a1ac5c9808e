/*
 * A thread that goes through a work before the work does, where a request takes
 * long, and tells which chunks it will need: prefetch.h.
 *
 * The work is one file, or the files of a tree in its order.  Where the thread
 * errs, bytes are fetched in vain, or are read by those who need them; where it
 * meets what cannot be read it goes on, or ends, and the work finds out.
 *
 * Position, for both: the bytes of the files before this one, and within it.
 *
 * Memory: what it is given, for sealed chunks, and 2 MiB for nodes and maps.
 */
#ifndef STORAGE_REPOSITORY_AHEAD_H
#define STORAGE_REPOSITORY_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "storage/repository/content.h"
#include "storage/repository/entry.h"
#include "storage/repository/manifest.h"
#include "storage/repository/prefetch.h"
#include "storage/repository/repository.h"

struct ahead;

/* Whether the work will read a file that it comes to; of the other thread. */
typedef bool ahead_reads(void *arg, const struct entry *en);

/* All that is borrowed stays until ahead_end(). */
struct ahead_work {
	size_t bytes; /* of sealed chunks, as PREFETCH_BYTES */
	/* One file, */
	const struct content *content;
	/* or, where that is NULL, those of a tree: at and below path. */
	const struct manifest_root *tree;
	const char *path; /* NULL: all */
	size_t path_len;
	ahead_reads *reads; /* NULL: all */
	void *arg;
};

/* NULL: nothing is read ahead, of a local store for one. */
struct ahead *ahead_start(struct repository *r, const struct ahead_work *w)
	NONNULL(1, 2);
/* What the work's readers take from, reader_take_from(); NULL for NULL. */
struct prefetch *ahead_prefetch(const struct ahead *a);
/* As prefetch_at() and prefetch_reached(); nothing for NULL. */
void ahead_at(struct ahead *a, size_t i, uint64_t position);
void ahead_reached(struct ahead *a, uint64_t position);
/* The work ends: nothing more is planned, or begun. */
void ahead_end(struct ahead *a);
/* All readers are gone; ahead_end() is done when it was not. */
void ahead_free(struct ahead *a);
DEFINE_CLEANUP(struct ahead *, ahead_free);

#endif
