#include "storage/diff.h"

#include <string.h>

#include "storage/diff_internal.h"
#include "storage/repository/tree.h"

#define CACHE_BYTES (4U << 20)

const char *diff_aspect_name(unsigned int bit)
{
	switch (bit) {
	case DIFF_TYPE:
		return "type";
	case DIFF_CONTENT:
		return "content";
	case DIFF_MODE:
		return "mode";
	case DIFF_OWNER:
		return "owner";
	case DIFF_TIME:
		return "mtime";
	case DIFF_XATTRS:
		return "xattrs";
	default:
		return "links";
	}
}

/* One of the two trees, and the entry it stands at. */
struct side {
	struct reader *nodes; /* the cursor's */
	struct reader *data;
	struct tree *tree;
	struct entry entry;
	struct content content;
	bool has; /* entry is not yet dealt with */
	bool ended;
};

static int side_open(struct side *s, struct repository *r,
		     const struct manifest_root *root, struct err *e)
{
	if (reader_new(r, CACHE_BYTES, &s->nodes, e) ||
	    reader_new(r, CACHE_BYTES, &s->data, e))
		return -1;
	return tree_open(s->nodes, root, NULL, &s->tree, e);
}

static void side_done(struct side *s)
{
	tree_close(s->tree);
	reader_free(s->nodes);
	reader_free(s->data);
}

static int side_next(struct side *s, struct err *e)
{
	int got;

	if (s->has || s->ended)
		return 0;
	got = tree_next(s->tree, &s->entry, &s->content, e);
	if (got < 0)
		return -1;
	s->has = got == 1;
	s->ended = got == 0;
	return 0;
}

/* While both stand before leaves, and before the same one, skip it. */
static int skip_equal(struct side *a, struct side *b, struct err *e)
{
	struct chunk_id x;
	struct chunk_id y;
	int at_a;
	int at_b;

	while (!a->has && !b->has && !a->ended && !b->ended) {
		at_a = tree_at_leaf(a->tree, &x, e);
		if (at_a < 0)
			return -1;
		at_b = at_a ? tree_at_leaf(b->tree, &y, e) : 0;
		if (at_b < 0)
			return -1;
		if (!at_b || !chunk_id_equal(&x, &y))
			return 0;
		tree_skip_leaf(a->tree);
		tree_skip_leaf(b->tree);
	}
	return 0;
}

static bool same_extents(const struct content *a, const struct content *b)
{
	if (a->level != b->level || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].hole != b->v[i].hole ||
		    a->v[i].len != b->v[i].len ||
		    a->v[i].offset != b->v[i].offset ||
		    !chunk_id_equal(&a->v[i].id, &b->v[i].id))
			return false;
	return true;
}

struct filling {
	struct reader *reader;
	struct buf *to;
};

static int fill(void *arg, uint64_t offset UNUSED, const struct extent *x,
		struct err *e)
{
	const struct filling *f = (const struct filling *)arg;
	const uint8_t *plain;
	size_t n;

	if (x->hole)
		return buf_add_zeros(f->to, (size_t)x->len, e);
	if (reader_get(f->reader, &x->id, CHUNK_DATA, &plain, &n, e))
		return -1;
	if (x->offset > n || x->len > n - x->offset)
		return err_set(e, ERR_CORRUPT,
			       "a file refers to bytes beyond its chunk");
	return buf_add(f->to, plain + x->offset, (size_t)x->len, e);
}

int diff_whole(struct reader *nodes, struct reader *data,
	       const struct content *c, struct buf *out, struct err *e)
{
	struct filling f = { data, out };

	return content_walk(nodes, c, fill, &f, e) < 0 ? -1 : 0;
}

/* 1 when the bytes differ, 0 when they do not, -1. */
static int content_differs(struct side *a, struct side *b, struct err *e)
{
	CLEANUP(buf_done) struct buf x;
	CLEANUP(buf_done) struct buf y;

	buf_init(&x, DIFF_READ_MAX);
	buf_init(&y, DIFF_READ_MAX);
	if (a->entry.size != b->entry.size)
		return 1;
	if (same_extents(&a->content, &b->content))
		return 0;
	/* Small files share chunks with neighbours, so the same bytes may lie
	 * in different chunks. */
	if (a->entry.size > DIFF_READ_MAX)
		return 1;
	if (diff_whole(a->nodes, a->data, &a->content, &x, e) ||
	    diff_whole(b->nodes, b->data, &b->content, &y, e))
		return -1;
	return x.len != y.len || (x.len && memcmp(x.data, y.data, x.len) != 0);
}

static bool same_xattrs(const struct entry *a, const struct entry *b)
{
	if (a->xattr_count != b->xattr_count)
		return false;
	for (size_t i = 0; i < a->xattr_count; i++)
		if (strcmp(a->xattrs[i].name, b->xattrs[i].name) != 0 ||
		    a->xattrs[i].value_len != b->xattrs[i].value_len ||
		    memcmp(a->xattrs[i].value, b->xattrs[i].value,
			   a->xattrs[i].value_len) != 0)
			return false;
	return true;
}

static bool same_special(const struct entry *a, const struct entry *b)
{
	return a->target_len == b->target_len &&
	       (a->target_len == 0 ||
		memcmp(a->target, b->target, a->target_len) == 0) &&
	       a->device_major == b->device_major &&
	       a->device_minor == b->device_minor;
}

unsigned int diff_aspects(const struct entry *a, const struct entry *b)
{
	unsigned int aspects = 0;

	if (a->type != b->type)
		aspects |= DIFF_TYPE;
	else if (a->type != ENTRY_FILE && !same_special(a, b))
		aspects |= DIFF_CONTENT;
	if (a->mode != b->mode)
		aspects |= DIFF_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		aspects |= DIFF_OWNER;
	if (instant_compare(a->mtime, b->mtime) != 0)
		aspects |= DIFF_TIME;
	if (!same_xattrs(a, b))
		aspects |= DIFF_XATTRS;
	if ((a->flags ^ b->flags) & ENTRY_HARD_LINK)
		aspects |= DIFF_LINKS;
	return aspects;
}

static int compare(struct side *x, struct side *y, unsigned int *ret,
		   struct err *e)
{
	int differs = 0;

	if (x->entry.type == y->entry.type && x->entry.type == ENTRY_FILE)
		differs = content_differs(x, y, e);
	if (differs < 0)
		return -1;
	*ret = diff_aspects(&x->entry, &y->entry) |
	       (differs ? DIFF_CONTENT : 0U);
	return 0;
}

struct sides {
	struct side a, b;
};

static int read_side(void *arg, bool after, struct buf *out, struct err *e)
{
	struct sides *s = (struct sides *)arg;
	struct side *x = after ? &s->b : &s->a;

	return diff_whole(x->nodes, x->data, &x->content, out, e) < 0 ? -1 : 1;
}

int diff_read(const struct diff_change *c, bool after, struct buf *out,
	      struct err *e)
{
	const struct entry *en = after ? c->after : c->before;

	if (c->unreadable || !en || en->type != ENTRY_FILE ||
	    en->size > DIFF_READ_MAX)
		return 0;
	return c->read(c->read_arg, after, out, e);
}

/* The lower of the two, or both when they are the same path. */
static int step(struct sides *s, diff_visit *visit, void *arg, struct err *e)
{
	struct diff_change c = { .read = read_side, .read_arg = s };
	struct side *a = &s->a;
	struct side *b = &s->b;
	int order = 0;

	if (a->has && b->has)
		order = entry_path_compare(a->entry.path, a->entry.path_len,
					   b->entry.path, b->entry.path_len);
	else
		order = a->has ? -1 : 1;
	if (order <= 0)
		c.before = &a->entry;
	if (order >= 0)
		c.after = &b->entry;
	a->has = a->has && !c.before;
	b->has = b->has && !c.after;
	if (order != 0)
		return visit(arg, &c, e);
	if (compare(a, b, &c.aspects, e))
		return -1;
	return c.aspects ? visit(arg, &c, e) : 0;
}

int diff_run(struct repository *r, const struct manifest_root *before,
	     const struct manifest_root *after, diff_visit *visit, void *arg,
	     struct err *e)
{
	struct sides s = { .a = { .nodes = NULL } };
	int failed;

	failed = side_open(&s.a, r, before, e) || side_open(&s.b, r, after, e);
	while (!failed) {
		failed = skip_equal(&s.a, &s.b, e) || side_next(&s.a, e) ||
			 side_next(&s.b, e);
		if (failed || (s.a.ended && s.b.ended && !s.a.has && !s.b.has))
			break;
		failed = step(&s, visit, arg, e) < 0;
	}
	side_done(&s.a);
	side_done(&s.b);
	return failed ? -1 : 0;
}
