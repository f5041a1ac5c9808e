#include "storage/repository/tree_node.h"

#include <stdlib.h>
#include <string.h>

int tree_path_next(struct cursor *c, struct buf *path, size_t *ret_shared,
		   struct err *e)
{
	const size_t shared = (size_t)cursor_varint_max(c, path->len);
	const size_t rest = (size_t)cursor_varint_max(c, ENTRY_PATH_MAX);
	const uint8_t *bytes = cursor_bytes(c, rest);

	if (c->bad || shared + rest > ENTRY_PATH_MAX)
		return err_set(e, ERR_CORRUPT, "a path is malformed");
	/* Ascending: what follows the shared part must be higher. */
	if (path->len &&
	    entry_path_compare(path->data + shared, path->len - shared, bytes,
			       rest) >= 0)
		return err_set(e, ERR_CORRUPT, "paths are out of order");
	path->len = shared;
	if (buf_add(path, bytes, rest, e))
		return -1;
	if (!entry_path_goes_on(path->data, path->len, shared))
		return err_set(e, ERR_CORRUPT, "a path is malformed");
	*ret_shared = shared;
	return 0;
}

void tree_inner_done(struct tree_inner *n)
{
	free(n->v);
	buf_done(&n->paths);
	*n = (struct tree_inner){ 0 };
}

static int parse_child(struct cursor *c, struct buf *path, struct tree_inner *n,
		       struct tree_child *ret, struct err *e)
{
	size_t shared;

	if (tree_path_next(c, path, &shared, e))
		return -1;
	*ret = (struct tree_child){ .path_at = n->paths.len,
				    .path_len = path->len };
	cursor_copy(c, ret->id.b, CHUNK_ID_SIZE);
	ret->entries = cursor_varint(c);
	ret->bytes = cursor_varint(c);
	return buf_add(&n->paths, path->data, path->len, e);
}

bool tree_range_begins(const struct tree_range *r, const void *path, size_t len)
{
	return !r->first ||
	       (r->first_len == len && memcmp(r->first, path, len) == 0);
}

bool tree_range_ends(const struct tree_range *r, const void *path, size_t len)
{
	return !r->end || entry_path_compare(path, len, r->end, r->end_len) < 0;
}

struct tree_range tree_inner_range(const struct tree_inner *n, size_t i,
				   const struct tree_range *in)
{
	struct tree_range r = { .first = n->paths.data + n->v[i].path_at,
				.first_len = n->v[i].path_len,
				.end = in->end,
				.end_len = in->end_len };

	if (i + 1 < n->n) {
		r.end = n->paths.data + n->v[i + 1].path_at;
		r.end_len = n->v[i + 1].path_len;
	}
	return r;
}

static int not_as_named(struct err *e)
{
	return err_set(e, ERR_CORRUPT,
		       "an inner node is not what its parent says");
}

/* The first child tells already whether the node stands here. */
static int parse_children(struct cursor *c, struct tree_inner *n, size_t count,
			  const struct tree_range *in, struct err *e)
{
	CLEANUP(buf_done) struct buf path;

	buf_init(&path, ENTRY_PATH_MAX);
	for (size_t i = 0; i < count; i++) {
		if (parse_child(c, &path, n, &n->v[i], e))
			return err_wrap(e, "an inner node is malformed");
		if (i == 0 && !tree_range_begins(in, path.data, path.len))
			return not_as_named(e);
	}
	return count && !tree_range_ends(in, path.data, path.len)
		       ? not_as_named(e)
		       : 0;
}

int tree_inner_parse(struct tree_inner *n, const void *plain, size_t len,
		     uint8_t height, const struct tree_range *in, struct err *e)
{
	struct cursor c = cursor_of(plain, len);

	if (!n->v) {
		n->v = calloc(TREE_CHILDREN_MAX, sizeof(*n->v));
		if (!n->v)
			return err_oom(e);
		buf_init(&n->paths, (size_t)CHUNK_MAX * 8);
	}
	buf_clear(&n->paths);
	n->next = 0;
	n->n = 0;
	n->height = cursor_u8(&c);
	const size_t count = (size_t)cursor_varint_max(&c, TREE_CHILDREN_MAX);
	if (parse_children(&c, n, count, in, e) ||
	    cursor_finish(&c, "an inner node", e))
		return -1;
	if (n->height != height || count == 0)
		return not_as_named(e);
	n->n = count;
	return 0;
}

void tree_way_init(struct tree_way *w, const struct manifest_root *root)
{
	*w = (struct tree_way){ .root = *root };
}

void tree_way_done(struct tree_way *w)
{
	for (size_t i = 0; i < TREE_HEIGHT_MAX; i++)
		tree_inner_done(&w->levels[i]);
}

/* Open a node of that height and range as the innermost. */
static int descend(struct tree_way *w, struct reader *x,
		   const struct chunk_id *id, uint8_t height,
		   const struct tree_range *in, struct err *e)
{
	const uint8_t *plain;
	size_t len;

	if (w->depth >= TREE_HEIGHT_MAX)
		return err_set(e, ERR_CORRUPT, "a tree is too high");
	if (reader_get(x, id, CHUNK_INNER, &plain, &len, e) ||
	    tree_inner_parse(&w->levels[w->depth], plain, len, height, in, e))
		return -1;
	w->ranges[w->depth] = *in;
	w->depth++;
	return 0;
}

static int begin(struct tree_way *w, struct reader *x, struct tree_stop *ret,
		 struct err *e)
{
	static const struct tree_range all = { .first = NULL };

	w->begun = true;
	w->depth = 0;
	*ret = (struct tree_stop){ .id = w->root.id };
	if (w->root.empty)
		return 0;
	if (w->root.height == 0)
		return 1;
	return descend(w, x, &w->root.id, w->root.height, &all, e);
}

/*
 * Name child i of the innermost node, which then comes after it: 1 when that is
 * a leaf, 0 when it was opened, -1.
 */
static int stop_at(struct tree_way *w, struct reader *x, size_t i,
		   struct tree_stop *ret, struct err *e)
{
	struct tree_inner *n = &w->levels[w->depth - 1];

	n->next = i + 1;
	ret->id = n->v[i].id;
	ret->in = tree_inner_range(n, i, &w->ranges[w->depth - 1]);
	if (n->height == 1)
		return 1;
	return descend(w, x, &ret->id, (uint8_t)(n->height - 1), &ret->in, e);
}

int tree_way_next(struct tree_way *w, struct reader *x, struct tree_stop *ret,
		  struct err *e)
{
	int result;

	if (!w->begun) {
		result = begin(w, x, ret, e);
		if (result || w->depth == 0)
			return result;
	}
	while (w->depth) {
		const struct tree_inner *n = &w->levels[w->depth - 1];

		if (n->next >= n->n) {
			w->depth--;
			continue;
		}
		result = stop_at(w, x, n->next, ret, e);
		if (result)
			return result;
	}
	return 0;
}

/* The last child that begins at or before path, or the first. */
static size_t child_for(const struct tree_inner *n, const void *path,
			size_t len)
{
	size_t low = 0;
	size_t high = n->n;

	while (low + 1 < high) {
		const size_t mid = low + (high - low) / 2;
		const struct tree_child *c = &n->v[mid];

		if (entry_path_compare(n->paths.data + c->path_at, c->path_len,
				       path, len) <= 0)
			low = mid;
		else
			high = mid;
	}
	return low;
}

int tree_way_seek(struct tree_way *w, struct reader *x, const void *path,
		  size_t len, struct tree_stop *ret, struct err *e)
{
	int result = begin(w, x, ret, e);

	if (result || w->depth == 0)
		return result;
	do {
		const struct tree_inner *n = &w->levels[w->depth - 1];

		result = stop_at(w, x, child_for(n, path, len), ret, e);
	} while (result == 0);
	return result;
}
