/*
 * The manifest: what one snapshot is and where its tree begins (FORMAT.md §8).
 */
#ifndef STORAGE_REPOSITORY_MANIFEST_H
#define STORAGE_REPOSITORY_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/chunk.h"
#include "storage/repository/object.h"

#define MANIFEST_TEXT_MAX 255	/* names of sources, hosts, users, types */
#define MANIFEST_LIST_MAX 65536 /* FORMAT.md §2: how often a field repeats */

enum manifest_state { MANIFEST_COMPLETE = 1, MANIFEST_PARTIAL = 2 };

/* A tree by its root (FORMAT.md §7). */
struct manifest_root {
	bool empty;
	uint8_t height;
	struct chunk_id id;
};

/* A byte string of a list (paths need not be UTF-8). */
struct manifest_bytes {
	uint8_t *data;
	size_t len;
};
struct manifest_list {
	struct manifest_bytes *v;
	size_t n;
};

struct manifest {
	struct object_id snapshot;
	struct object_id session;
	char source[MANIFEST_TEXT_MAX + 1]; /* "" for ad hoc */
	char type[MANIFEST_TEXT_MAX + 1];   /* "files", "command", "block" */
	char host[MANIFEST_TEXT_MAX + 1];
	char user[MANIFEST_TEXT_MAX + 1];
	char program[MANIFEST_TEXT_MAX + 1];
	struct manifest_list paths;
	struct manifest_list tags;
	struct manifest_list excludes;
	struct instant begun;
	struct instant ended;
	struct instant claimed; /* with has_claimed */
	bool has_claimed;
	enum manifest_state state;
	struct manifest_root tree;
	struct manifest_root hints;
	uint64_t files;
	uint64_t dirs;
	uint64_t others;
	uint64_t bytes;
	uint64_t errors;
	struct chunk_id error_list; /* with errors > 0 */
	struct object_id parent;    /* zero: none */
	uint16_t domain;
};

void manifest_init(struct manifest *m) NONNULL(1);
void manifest_done(struct manifest *m) NONNULL(1);
static inline void cleanup_manifest_done(struct manifest *m)
{
	manifest_done(m);
}

/* Append a copy to a list; ERR_USAGE when it is full. */
int manifest_list_add(struct manifest_list *l, const void *bytes, size_t n,
		      struct err *e) NONNULL(1, 4) MUST_CHECK;
void manifest_list_done(struct manifest_list *l) NONNULL(1);
/* Whether two lists hold the same strings in the same order. */
bool manifest_list_equal(const struct manifest_list *a,
			 const struct manifest_list *b) NONNULL(1, 2);

/* Whether it is a stream (of a command, a block device): of one file only. */
bool manifest_is_stream(const struct manifest *m) NONNULL(1);

/* The payload of the box, appended to out; and back (m initialised). */
int manifest_encode(const struct manifest *m, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
int manifest_decode(const void *payload, size_t n, struct manifest *m,
		    struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

#endif
