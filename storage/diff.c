#include "storage/diff.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/tree.h"

#define CACHE_BYTES (4U << 20)
/*
 * Small files share chunks with neighbours, so the same bytes may lie in
 * different chunks; up to this size they are compared themselves.
 */
#define COMPARE_BYTES_MAX (1U << 20)

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
	uint8_t *to;
};

static int fill(void *arg, uint64_t offset, const struct extent *x,
		struct err *e)
{
	const struct filling *f = (const struct filling *)arg;
	const uint8_t *plain;
	size_t n;

	if (x->hole)
		return 0; /* zeros already */
	if (reader_get(f->reader, &x->id, CHUNK_DATA, &plain, &n, e))
		return -1;
	if (x->offset > n || x->len > n - x->offset)
		return err_set(e, ERR_CORRUPT,
			       "a file refers to bytes beyond its chunk");
	memcpy(f->to + offset, plain + x->offset, (size_t)x->len);
	return 0;
}

static uint8_t *whole(struct side *s, struct err *e)
{
	uint8_t *bytes = calloc(1, (size_t)s->entry.size + 1);
	const struct filling f = { s->data, bytes };

	if (!bytes) {
		(void)err_oom(e);
		return NULL;
	}
	if (content_walk(s->nodes, &s->content, fill, (void *)(uintptr_t)&f,
			 e) == 0)
		return bytes;
	free(bytes);
	return NULL;
}

/* 1 when the bytes differ, 0 when they do not, -1. */
static int content_differs(struct side *a, struct side *b, struct err *e)
{
	uint8_t *x;
	uint8_t *y;
	int differs = -1;

	if (a->entry.size != b->entry.size)
		return 1;
	if (same_extents(&a->content, &b->content))
		return 0;
	if (a->entry.size > COMPARE_BYTES_MAX)
		return 1;
	x = whole(a, e);
	y = x ? whole(b, e) : NULL;
	if (x && y)
		differs = memcmp(x, y, (size_t)a->entry.size) != 0;
	free(x);
	free(y);
	return differs;
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

static int compare(struct side *x, struct side *y, unsigned int *ret,
		   struct err *e)
{
	const struct entry *a = &x->entry;
	const struct entry *b = &y->entry;
	unsigned int aspects = 0;
	int differs = 0;

	if (a->type != b->type)
		aspects |= DIFF_TYPE;
	else if (a->type == ENTRY_FILE)
		differs = content_differs(x, y, e);
	else
		differs = !same_special(a, b);
	if (differs < 0)
		return -1;
	if (differs)
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
	*ret = aspects;
	return 0;
}

/* The lower of the two, or both when they are the same path. */
static int step(struct side *a, struct side *b, diff_visit *visit, void *arg,
		struct err *e)
{
	unsigned int aspects;
	int order = 0;

	if (a->has && b->has)
		order = entry_path_compare(a->entry.path, a->entry.path_len,
					   b->entry.path, b->entry.path_len);
	else
		order = a->has ? -1 : 1;
	if (order < 0) {
		a->has = false;
		return visit(arg, &a->entry, NULL, 0, e);
	}
	if (order > 0) {
		b->has = false;
		return visit(arg, NULL, &b->entry, 0, e);
	}
	a->has = false;
	b->has = false;
	if (compare(a, b, &aspects, e))
		return -1;
	return aspects ? visit(arg, &a->entry, &b->entry, aspects, e) : 0;
}

int diff_run(struct repository *r, const struct manifest_root *before,
	     const struct manifest_root *after, diff_visit *visit, void *arg,
	     struct err *e)
{
	struct side a = { .nodes = NULL };
	struct side b = { .nodes = NULL };
	int failed;

	failed = side_open(&a, r, before, e) || side_open(&b, r, after, e);
	while (!failed) {
		failed = skip_equal(&a, &b, e) || side_next(&a, e) ||
			 side_next(&b, e);
		if (failed || (a.ended && b.ended && !a.has && !b.has))
			break;
		failed = step(&a, &b, visit, arg, e) < 0;
	}
	side_done(&a);
	side_done(&b);
	return failed ? -1 : 0;
}
