/* Everything that a tree reaches, for collectors, checks and replication. */
#include <stdlib.h>

#include "storage/repository/tree_node.h"

struct refs {
	struct reader *reader;
	bool is_hints;
	tree_visit *visit;
	tree_damaged *damaged;
	void *arg;
};

/* What cannot be read is the caller's to judge, when it wants to. */
static int lost(const struct refs *r, const struct chunk_id *id,
		enum chunk_kind kind, const struct err *why, struct err *e)
{
	if (!r->damaged || why->code != ERR_CORRUPT) {
		*e = *why;
		return -1;
	}
	return r->damaged(r->arg, id, kind, why, e);
}

static int visit_map(const struct refs *r, const struct extent *x,
		     uint8_t level, struct err *e);

static int visit_extents(const struct refs *r, const struct content *c,
			 bool data_too, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct extent *x = &c->v[i];
		int result = 0;

		if (c->level)
			result = visit_map(r, x, c->level, e);
		else if (data_too && !x->hole)
			result = r->visit(r->arg, &x->id, CHUNK_DATA, e);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int read_map(const struct refs *r, const struct extent *x, uint8_t level,
		    struct content *c, struct err *e)
{
	struct content_table t = { 0 };
	const uint8_t *plain;
	struct cursor at;
	size_t n;
	int failed;

	if (reader_get(r->reader, &x->id, CHUNK_MAP, &plain, &n, e))
		return -1;
	at = cursor_of(plain, n);
	failed = content_table_decode(&at, &t, e) ||
		 content_decode(&at, &t, x->len, c, e) ||
		 cursor_finish(&at, "a map", e);
	content_table_done(&t);
	if (!failed && c->level + 1 != level)
		failed = err_set(e, ERR_CORRUPT, "a map has the wrong level");
	return failed ? -1 : 0;
}

/* Maps are at most CONTENT_LEVEL_MAX deep: each lies one level lower. */
// NOLINTNEXTLINE(misc-no-recursion)
static int visit_map(const struct refs *r, const struct extent *x,
		     uint8_t level, struct err *e)
{
	struct content c = { 0 };
	struct err why = { 0 };
	int result = r->visit(r->arg, &x->id, CHUNK_MAP, e);

	if (result)
		return result < 0 ? -1 : 0;
	c.v = calloc(CONTENT_EXTENTS_MAX, sizeof(*c.v));
	if (!c.v)
		return err_oom(e);
	if (read_map(r, x, level, &c, &why))
		result = lost(r, &x->id, CHUNK_MAP, &why, e);
	else
		result = visit_extents(r, &c, true, e);
	free(c.v);
	return result;
}

/* A leaf read as a tree of its own: its table, and maps of its files. */
static int visit_leaf(const struct refs *r, const struct chunk_id *id,
		      struct err *e)
{
	const struct manifest_root root = { .id = *id };
	CLEANUP(tree_close) struct tree *t = NULL;
	const struct content_table *table;
	struct content content;
	struct entry en;
	struct err why = { 0 };
	bool first = true;
	int got;

	if (tree_open(r->reader, &root, NULL, &t, e))
		return -1;
	tree_without_values(t); /* the table names them */
	while ((got = tree_next(t, &en, &content, &why)) == 1) {
		table = tree_table(t);
		for (size_t i = 0; first && i < table->n; i++)
			if (r->visit(r->arg, &table->ids[i], CHUNK_DATA, e) < 0)
				return -1;
		first = false;
		if (content.level && visit_extents(r, &content, false, e))
			return -1;
	}
	return got < 0 ? lost(r, id, CHUNK_LEAF, &why, e) : 0;
}

static int visit_node(const struct refs *r, const struct chunk_id *id,
		      uint8_t height, struct err *e);

static int visit_inner(const struct refs *r, const struct chunk_id *id,
		       uint8_t height, struct err *e)
{
	/* Where it stands is no fault of the node's, which others may share:
	 * a collector keeps what it names, and a check tells of the tree. */
	static const struct tree_range any = { .first = NULL };
	struct tree_inner n = { 0 };
	struct err why = { 0 };
	const uint8_t *plain;
	size_t len;
	int result = 0;

	if (reader_get(r->reader, id, CHUNK_INNER, &plain, &len, &why) ||
	    tree_inner_parse(&n, plain, len, height, &any, &why)) {
		tree_inner_done(&n);
		return lost(r, id, CHUNK_INNER, &why, e);
	}
	for (size_t i = 0; !result && i < n.n; i++)
		result = visit_node(r, &n.v[i].id, (uint8_t)(height - 1), e);
	tree_inner_done(&n);
	return result;
}

/* Heights fall by one with each step and begin at most at the maximum. */
// NOLINTNEXTLINE(misc-no-recursion)
static int visit_node(const struct refs *r, const struct chunk_id *id,
		      uint8_t height, struct err *e)
{
	const enum chunk_kind leaf = r->is_hints ? CHUNK_HINTS : CHUNK_LEAF;
	const int seen = r->visit(r->arg, id, height ? CHUNK_INNER : leaf, e);

	if (seen)
		return seen < 0 ? -1 : 0;
	if (height)
		return visit_inner(r, id, height, e);
	return r->is_hints ? 0 : visit_leaf(r, id, e);
}

int tree_references(struct reader *x, const struct manifest_root *root,
		    bool is_hints, tree_visit *visit, tree_damaged *damaged,
		    void *arg, struct err *e)
{
	const struct refs r = { x, is_hints, visit, damaged, arg };

	if (root->empty)
		return 0;
	if (root->height > TREE_HEIGHT_MAX)
		return err_set(e, ERR_CORRUPT, "a tree is too high");
	return visit_node(&r, &root->id, root->height, e);
}
