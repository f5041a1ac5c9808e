/*
 * Trees: the entries of a snapshot as one sorted sequence, cut into nodes by
 * keyed hashes of their paths (FORMAT.md §7).
 *
 * Whatever does not change between two snapshots has the same nodes, so a
 * tree costs what changed.  Building is streaming; reading is a cursor that
 * merges with a walk in one pass, seeks, and skips what it is told to.
 */
#ifndef STORAGE_REPOSITORY_TREE_H
#define STORAGE_REPOSITORY_TREE_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/content.h"
#include "storage/repository/entry.h"
#include "storage/repository/manifest.h"
#include "storage/repository/reader.h"
#include "storage/repository/writer.h"

struct tree_builder;

int tree_builder_new(struct writer *w, struct chunk_worker *worker,
		     struct tree_builder **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void tree_builder_free(struct tree_builder *b);
DEFINE_CLEANUP(struct tree_builder *, tree_builder_free);

/*
 * Append an entry, in ascending order and after every folder above it (ERR_BUG
 * otherwise).  content is that of a file, NULL for others.  Hints whose inode
 * is 0 are not trusted later.
 */
int tree_builder_add(struct tree_builder *b, const struct entry *en,
		     const struct content *content, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;
/* Close all nodes.  The builder cannot be used afterwards. */
int tree_builder_finish(struct tree_builder *b, struct manifest_root *ret_tree,
			struct manifest_root *ret_hints, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

struct tree;

/*
 * A cursor before the first entry.  hints may be NULL or empty: entries then
 * have inode 0.  The reader must outlive it and may be shared with others in
 * the same thread.
 */
int tree_open(struct reader *x, const struct manifest_root *root,
	      const struct manifest_root *hints, struct tree **ret,
	      struct err *e) NONNULL(1, 2, 4, 5) MUST_CHECK;
void tree_close(struct tree *t);
DEFINE_CLEANUP(struct tree *, tree_close);

/*
 * The next entry and its content: 1, 0 at the end, -1.  Everything is
 * borrowed until the next call.  After ERR_CORRUPT the next call goes on
 * behind the node (or behind the one entry of which an attribute is lost) that
 * could not be read; tree_lost() says where it begins.  Folders above later
 * entries may have been lost with it.
 */
int tree_next(struct tree *t, struct entry *ret, struct content *ret_content,
	      struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/*
 * Go to before the first entry that is not lower than path.  After ERR_CORRUPT
 * tree_next() goes on behind what could not be read, as it does of itself.
 */
int tree_seek(struct tree *t, const void *path, size_t len, struct err *e)
	NONNULL(1, 4) MUST_CHECK;
/*
 * When the cursor stands before the first entry of a leaf: 1 and the leaf's
 * id, so that two trees can be compared by skipping equal leaves; else 0.
 */
int tree_at_leaf(struct tree *t, struct chunk_id *ret_leaf, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void tree_skip_leaf(struct tree *t) NONNULL(1);
/* After ERR_CORRUPT: the first path of what was lost ("" when not known). */
const char *tree_lost(const struct tree *t, size_t *ret_len) NONNULL(1, 2);

/*
 * Every chunk that a tree reaches: its nodes; as CHUNK_DATA all that its leaves
 * name (data, maps and values alike), maps then again as CHUNK_MAP; or the
 * nodes of the hints' tree.  visit returns 0 to go on below a node, 1
 * to leave out what lies below it (seen before), -1 to fail.  Chunks may be
 * visited more than once.  A node that cannot be read is given to damaged.
 */
typedef int tree_visit(void *arg, const struct chunk_id *id,
		       enum chunk_kind kind, struct err *e);
typedef int tree_damaged(void *arg, const struct chunk_id *id,
			 enum chunk_kind kind, const struct err *why,
			 struct err *e);
int tree_references(struct reader *x, const struct manifest_root *root,
		    bool is_hints, tree_visit *visit, tree_damaged *damaged,
		    void *arg, struct err *e) NONNULL(1, 2, 4, 7) MUST_CHECK;

#endif
