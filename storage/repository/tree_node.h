/*
 * Private to tree_*.c: an inner node as it was read, and the way down a tree
 * to its leaves.
 */
#ifndef STORAGE_REPOSITORY_TREE_NODE_H
#define STORAGE_REPOSITORY_TREE_NODE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"

#define TREE_HEIGHT_MAX	  12
#define TREE_CHILDREN_MAX 2048

struct tree_child {
	struct chunk_id id;
	size_t path_at; /* its first path, in the node's arena */
	size_t path_len;
	uint64_t entries;
	uint64_t bytes;
};

struct tree_inner {
	uint8_t height;
	size_t n;
	size_t next; /* the child that comes next on a way */
	struct tree_child *v;
	struct buf paths; /* arena */
};

/*
 * What a node may hold, by what names it: its first path is `first`, and all
 * of them are lower than `end`.  NULL: that is not known.  So no node has more
 * than one place in a tree, however its nodes name one another.
 */
struct tree_range {
	const uint8_t *first;
	size_t first_len;
	const uint8_t *end;
	size_t end_len;
};
bool tree_range_begins(const struct tree_range *r, const void *path, size_t len)
	NONNULL(1, 2);
bool tree_range_ends(const struct tree_range *r, const void *path, size_t len)
	NONNULL(1, 2);

/* Parse a plaintext; n may be used again and again, and is done once. */
int tree_inner_parse(struct tree_inner *n, const void *plain, size_t len,
		     uint8_t height, const struct tree_range *in, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;
/* That of child i of a node of that range. */
struct tree_range tree_inner_range(const struct tree_inner *n, size_t i,
				   const struct tree_range *in) NONNULL(1, 3);
void tree_inner_done(struct tree_inner *n) NONNULL(1);

/*
 * Decode a path that is coded against the one in *path, of which *ret_shared
 * bytes stay.  ERR_CORRUPT when it is malformed or not after that one.
 */
int tree_path_next(struct cursor *c, struct buf *path, size_t *ret_shared,
		   struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/* From the root to the current leaf. */
struct tree_way {
	struct manifest_root root;
	struct tree_inner levels[TREE_HEIGHT_MAX];
	struct tree_range ranges[TREE_HEIGHT_MAX]; /* of these; borrowed */
	size_t depth; /* inner nodes that are open */
	bool begun;
};

/* A leaf (or hints chunk), or, after a failure, the node that failed. */
struct tree_stop {
	struct chunk_id id;
	struct tree_range in; /* nothing is known when the root is a leaf */
};

void tree_way_init(struct tree_way *w, const struct manifest_root *root)
	NONNULL(1, 2);
void tree_way_done(struct tree_way *w) NONNULL(1);
/* The next leaf: 1, 0 at the end, -1 (the next call goes on behind it). */
int tree_way_next(struct tree_way *w, struct reader *x, struct tree_stop *ret,
		  struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* The last leaf that begins at or before path (or the first one). */
int tree_way_seek(struct tree_way *w, struct reader *x, const void *path,
		  size_t len, struct tree_stop *ret, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;

/* Where the leaf stands that tree_at_leaf() named; until the next call. */
struct tree_range tree_leaf_range(const struct tree *t) NONNULL(1);
/* The chunks that the leaf being read names; valid after tree_next(). */
const struct content_table *tree_table(const struct tree *t) NONNULL(1);
/* Leave out attributes whose values have chunks of their own. */
void tree_without_values(struct tree *t) NONNULL(1);

#endif
