#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/repository/cut.h"
#include "storage/repository/tree.h"

/*
 * Leaves of 256 entries on average: about 20 KB before compression and 6 KB
 * after it.  A file that changes costs one leaf and a few inner nodes, so
 * larger leaves would cost more each night, smaller ones compress worse.
 * FORMAT.md's appendix has the figures.
 */
#define LEAF_ENTRIES_MIN 32
#define LEAF_ENTRIES_MAX 4096
#define LEAF_BYTES_MAX	 (256U << 10) /* cut there at the latest */
#define LEAF_CUT_MASK	 255
#define INNER_MIN	 8
#define INNER_MAX	 2048
#define INNER_BYTES_MAX	 LEAF_BYTES_MAX /* four children at least */
#define INNER_CUT_MASK	 63
#define HEIGHT_MAX	 12

/* Values larger than this get a chunk of their own. */
#define VALUE_INLINE_MAX 256

/* One entry at most: path, target, extents and inline values. */
#define LEAF_CEILING CHUNK_MAX

/* The inner node that is being filled at one height of a spine. */
struct inner {
	struct buf body; /* encoded children */
	size_t n;
	uint8_t *last; /* first path of the last child */
	size_t last_len;
	uint8_t *first; /* first path of the first child */
	size_t first_len;
	uint64_t entries;
	uint64_t bytes;
	/* The only child so far, should it turn out to be the root. */
	struct chunk_id only;
};

struct spine {
	struct inner *heights[HEIGHT_MAX];
};

struct tree_builder {
	struct writer *writer;
	struct chunk_worker *worker;
	const uint8_t *cut_key;
	struct spine tree;
	struct spine hints;

	/* The leaf that is being filled. */
	struct content_table table;
	struct buf body;
	struct buf hint_body;
	struct buf whole; /* table and body, to be stored */
	size_t n;
	uint64_t bytes;
	struct entry before; /* for the deltas; its path is last */
	struct buf last;     /* path of the entry before */
	enum entry_type last_type;
	struct buf first; /* first path of this leaf */
	uint64_t hint_inode;
	int64_t hint_sec;
	bool any;
};

int tree_builder_new(struct writer *w, struct chunk_worker *worker,
		     struct tree_builder **ret, struct err *e)
{
	struct tree_builder *b = calloc(1, sizeof(*b));
	const uint8_t *cut;

	if (!b)
		return err_oom(e);
	cut = keys_cut(repository_keys(writer_repository(w)), 0);
	if (!cut) {
		free(b);
		return err_set(e, ERR_BAD_KEY, "the keyring lacks domain 0");
	}
	b->cut_key = cut;
	b->writer = w;
	b->worker = worker;
	buf_init(&b->body, LEAF_CEILING);
	buf_init(&b->hint_body, LEAF_CEILING);
	buf_init(&b->whole, LEAF_CEILING);
	buf_init(&b->last, ENTRY_PATH_MAX);
	buf_init(&b->first, ENTRY_PATH_MAX);
	*ret = b;
	return 0;
}

static void inner_free(struct inner *n)
{
	if (!n)
		return;
	buf_done(&n->body);
	free(n->last);
	free(n->first);
	free(n);
}

void tree_builder_free(struct tree_builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < HEIGHT_MAX; i++) {
		inner_free(b->tree.heights[i]);
		inner_free(b->hints.heights[i]);
	}
	content_table_done(&b->table);
	buf_wipe(&b->body);
	buf_wipe(&b->hint_body);
	buf_wipe(&b->whole);
	buf_done(&b->last);
	buf_done(&b->first);
	free(b);
}

static uint64_t path_hash(const struct tree_builder *b, const void *path,
			  size_t len)
{
	return cut_hash(b->cut_key, path, len);
}

/* Each height looks at bits of its own, so that cuts do not coincide. */
static bool is_cut(uint64_t hash, unsigned int height, uint64_t mask)
{
	const unsigned int turn = height * 11 % 64;

	if (turn)
		hash = hash >> turn | hash << (64 - turn);
	return (hash & mask) == 0;
}

static size_t shared_prefix(const uint8_t *a, size_t a_len, const void *b,
			    size_t b_len)
{
	const uint8_t *p = (const uint8_t *)b;
	const size_t n = a_len < b_len ? a_len : b_len;
	size_t i = 0;

	while (i < n && a[i] == p[i])
		i++;
	return i;
}

static int add_path(struct buf *out, const uint8_t *last, size_t last_len,
		    const void *path, size_t len, struct err *e)
{
	const size_t shared = shared_prefix(last, last_len, path, len);

	if (buf_add_varint(out, shared, e) ||
	    buf_add_varint(out, len - shared, e))
		return -1;
	return buf_add(out, (const uint8_t *)path + shared, len - shared, e);
}

static int copy_path(uint8_t **to, size_t *to_len, const void *path, size_t len,
		     struct err *e)
{
	uint8_t *fresh = malloc(len + 1);

	if (!fresh)
		return err_oom(e);
	memcpy(fresh, path, len);
	free(*to);
	*to = fresh;
	*to_len = len;
	return 0;
}

/* What a spine is told of a node that was just stored. */
struct child {
	const uint8_t *path;
	size_t path_len;
	struct chunk_id id;
	uint64_t entries;
	uint64_t bytes;
};

static int spine_add(struct tree_builder *b, struct spine *s,
		     unsigned int height, const struct child *c, struct err *e);

/* Store the inner node at a height and name it one above. */
static int inner_close(struct tree_builder *b, struct spine *s,
		       unsigned int height, struct err *e)
{
	struct inner *n = s->heights[height];
	struct child up = { .entries = n->entries, .bytes = n->bytes };
	CLEANUP(buf_done) struct buf node;
	int failed;

	buf_init(&node, CHUNK_MAX);
	if (buf_add_byte(&node, (uint8_t)height, e) ||
	    buf_add_varint(&node, n->n, e) ||
	    buf_add(&node, n->body.data, n->body.len, e) ||
	    writer_add(b->writer, b->worker, CHUNK_INNER, node.data, node.len,
		       &up.id, NULL, e))
		return -1;
	up.path = n->first;
	up.path_len = n->first_len;
	s->heights[height] = NULL;
	failed = spine_add(b, s, height + 1, &up, e);
	inner_free(n);
	return failed;
}

static int inner_add(struct inner *n, const struct child *c, struct err *e)
{
	if (n->n == 0 &&
	    copy_path(&n->first, &n->first_len, c->path, c->path_len, e))
		return -1;
	if (add_path(&n->body, n->last, n->last_len, c->path, c->path_len, e) ||
	    buf_add(&n->body, c->id.b, CHUNK_ID_SIZE, e) ||
	    buf_add_varint(&n->body, c->entries, e) ||
	    buf_add_varint(&n->body, c->bytes, e) ||
	    copy_path(&n->last, &n->last_len, c->path, c->path_len, e))
		return -1;
	n->only = c->id;
	n->entries += c->entries;
	n->bytes += c->bytes;
	n->n++;
	return 0;
}

/* Recursion goes up one height each time and is bounded by HEIGHT_MAX. */
// NOLINTNEXTLINE(misc-no-recursion)
static int spine_add(struct tree_builder *b, struct spine *s,
		     unsigned int height, const struct child *c, struct err *e)
{
	const uint64_t hash = path_hash(b, c->path, c->path_len);
	struct inner *n;

	if (height >= HEIGHT_MAX)
		return err_set(e, ERR_BUG, "a tree is too high");
	if (!s->heights[height]) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return err_oom(e);
		buf_init(&n->body, CHUNK_MAX - 64);
		s->heights[height] = n;
	}
	n = s->heights[height];
	if (inner_add(n, c, e))
		return -1;
	if (n->n >= INNER_MAX || n->body.len >= INNER_BYTES_MAX ||
	    (n->n >= INNER_MIN && is_cut(hash, height, INNER_CUT_MASK)))
		return inner_close(b, s, height, e);
	return 0;
}

/*
 * The root is the lowest height that has one node only.  An inner node of one
 * child at the top is left out: the child is the root.
 */
static int spine_finish(struct tree_builder *b, struct spine *s,
			struct manifest_root *ret, struct err *e)
{
	unsigned int top = 0;

	*ret = (struct manifest_root){ .empty = true };
	for (unsigned int h = 1; h < HEIGHT_MAX; h++)
		if (s->heights[h])
			top = h;
	for (unsigned int h = 1; h < HEIGHT_MAX; h++) {
		struct inner *n = s->heights[h];

		if (!n)
			continue;
		if (h >= top && n->n == 1) {
			*ret = (struct manifest_root){
				.height = (uint8_t)(h - 1), .id = n->only
			};
			return 0;
		}
		if (inner_close(b, s, h, e))
			return -1;
		if (top <= h)
			top = h + 1;
	}
	return 0;
}

static int add_value(struct tree_builder *b, const struct entry_xattr *x,
		     struct err *e)
{
	struct chunk_id id;
	size_t number;

	if (buf_add_varint(&b->body, strlen(x->name), e) ||
	    buf_add_str(&b->body, x->name, e))
		return -1;
	if (x->value_len <= VALUE_INLINE_MAX) {
		if (buf_add_varint(&b->body, 2 * (uint64_t)x->value_len, e))
			return -1;
		return buf_add(&b->body, x->value, x->value_len, e);
	}
	if (writer_add(b->writer, b->worker, CHUNK_VALUE, x->value,
		       x->value_len, &id, NULL, e) ||
	    content_table_number(&b->table, &id, &number, e))
		return -1;
	return buf_add_varint(&b->body, 1 + 2 * (uint64_t)number, e);
}

static int add_xattrs(struct tree_builder *b, const struct entry *en,
		      struct err *e)
{
	if (buf_add_varint(&b->body, en->xattr_count, e))
		return -1;
	for (size_t i = 0; i < en->xattr_count; i++)
		if (add_value(b, &en->xattrs[i], e))
			return -1;
	return 0;
}

static int add_body(struct tree_builder *b, const struct entry *en,
		    const struct content *content, struct err *e)
{
	static const struct content none = { 0 };

	switch (en->type) {
	case ENTRY_FILE:
		if (buf_add_varint(&b->body, en->size, e))
			return -1;
		return content_encode(content ? content : &none, &b->table,
				      &b->body, e);
	case ENTRY_SYMLINK:
		if (buf_add_varint(&b->body, en->target_len, e))
			return -1;
		return buf_add(&b->body, en->target, en->target_len, e);
	case ENTRY_CHARACTER:
	case ENTRY_BLOCK:
		if (buf_add_varint(&b->body, en->device_major, e))
			return -1;
		return buf_add_varint(&b->body, en->device_minor, e);
	default:
		return 0;
	}
}

static int add_entry(struct tree_builder *b, const struct entry *en,
		     const struct content *content, struct err *e)
{
	const struct entry *was = &b->before;
	uint32_t flags = en->flags & (ENTRY_HARD_LINK | ENTRY_CHANGED);

	if (en->xattr_count)
		flags |= ENTRY_XATTRS;
	if (add_path(&b->body, b->n ? b->last.data : NULL,
		     b->n ? b->last.len : 0, en->path, en->path_len, e) ||
	    buf_add_byte(&b->body, (uint8_t)en->type, e) ||
	    buf_add_varint(&b->body, flags, e) ||
	    buf_add_varint(&b->body, en->mode & ENTRY_MODE_BITS, e) ||
	    buf_add_svarint(&b->body, (int64_t)en->uid - was->uid, e) ||
	    buf_add_svarint(&b->body, (int64_t)en->gid - was->gid, e) ||
	    buf_add_svarint(&b->body,
			    (int64_t)((uint64_t)en->mtime.sec -
				      (uint64_t)was->mtime.sec),
			    e) ||
	    buf_add_varint(&b->body, en->mtime.nsec, e) ||
	    add_body(b, en, content, e))
		return -1;
	if (flags & ENTRY_HARD_LINK && buf_add_u64(&b->body, en->link_group, e))
		return -1;
	return flags & ENTRY_XATTRS ? add_xattrs(b, en, e) : 0;
}

static int add_hint(struct tree_builder *b, const struct entry *en,
		    struct err *e)
{
	const int64_t sec = en->inode ? en->ctime.sec : b->hint_sec;

	if (buf_add_svarint(&b->hint_body, (int64_t)(en->inode - b->hint_inode),
			    e) ||
	    buf_add_svarint(&b->hint_body,
			    (int64_t)((uint64_t)sec - (uint64_t)b->hint_sec),
			    e) ||
	    buf_add_varint(&b->hint_body, en->inode ? en->ctime.nsec : 0, e))
		return -1;
	b->hint_inode = en->inode;
	b->hint_sec = sec;
	return 0;
}

static int store_leaf(struct tree_builder *b, struct chunk_id *ret,
		      struct err *e)
{
	buf_clear(&b->whole);
	if (buf_add_varint(&b->whole, b->table.n, e) ||
	    buf_add(&b->whole, b->table.ids, b->table.n * CHUNK_ID_SIZE, e) ||
	    buf_add_varint(&b->whole, b->n, e) ||
	    buf_add(&b->whole, b->body.data, b->body.len, e))
		return -1;
	return writer_add(b->writer, b->worker, CHUNK_LEAF, b->whole.data,
			  b->whole.len, ret, NULL, e);
}

static int store_hints(struct tree_builder *b, struct chunk_id *ret,
		       struct err *e)
{
	buf_clear(&b->whole);
	if (buf_add_varint(&b->whole, b->n, e) ||
	    buf_add(&b->whole, b->hint_body.data, b->hint_body.len, e))
		return -1;
	return writer_add(b->writer, b->worker, CHUNK_HINTS, b->whole.data,
			  b->whole.len, ret, NULL, e);
}

static int leaf_close(struct tree_builder *b, struct err *e)
{
	struct child c = { .path = b->first.data,
			   .path_len = b->first.len,
			   .entries = b->n,
			   .bytes = b->bytes };

	if (store_leaf(b, &c.id, e) || spine_add(b, &b->tree, 1, &c, e) ||
	    store_hints(b, &c.id, e) || spine_add(b, &b->hints, 1, &c, e))
		return -1;
	b->table.n = 0;
	buf_clear(&b->body);
	buf_clear(&b->hint_body);
	b->n = 0;
	b->bytes = 0;
	b->before = (struct entry){ 0 };
	b->hint_inode = 0;
	b->hint_sec = 0;
	return 0;
}

/* What a reader would refuse must not be stored. */
static bool is_valid(const struct entry *en, const struct content *content)
{
	static const struct content none = { 0 };

	if (!content)
		content = &none;
	return entry_path_valid(en->path, en->path_len) && entry_valid(en) &&
	       content_valid(content, en->size) &&
	       (en->type == ENTRY_FILE || content->n == 0);
}

static bool is_in_folder(const struct tree_builder *b, const struct entry *en)
{
	const struct entry last = { .path = buf_str(&b->last),
				    .path_len = b->last.len,
				    .type = b->last_type };

	return entry_has_folder(b->any ? &last : NULL, en->path, en->path_len);
}

static int set_path(struct buf *to, const struct entry *en, struct err *e)
{
	buf_clear(to);
	return buf_add(to, en->path, en->path_len, e);
}

int tree_builder_add(struct tree_builder *b, const struct entry *en,
		     const struct content *content, struct err *e)
{
	const uint64_t hash = path_hash(b, en->path, en->path_len);

	if (b->any && entry_path_compare(b->last.data, b->last.len, en->path,
					 en->path_len) >= 0)
		return err_set(e, ERR_BUG, "entry %s comes out of order",
			       text_quote(en->path, en->path_len).s);
	if (!is_valid(en, content))
		return err_set(e, ERR_BUG, "entry %s contradicts itself",
			       text_quote(en->path, en->path_len).s);
	if (!is_in_folder(b, en))
		return err_set(e, ERR_BUG, "entry %s lies in no folder",
			       text_quote(en->path, en->path_len).s);
	if (b->n == 0 && set_path(&b->first, en, e))
		return -1;
	if (add_entry(b, en, content, e) || add_hint(b, en, e) ||
	    set_path(&b->last, en, e))
		return -1;
	b->last_type = en->type;
	b->any = true;
	b->n++;
	b->bytes += en->size;
	b->before = (struct entry){ .uid = en->uid,
				    .gid = en->gid,
				    .mtime = en->mtime };
	if (b->n >= LEAF_ENTRIES_MAX || b->body.len >= LEAF_BYTES_MAX ||
	    (b->n >= LEAF_ENTRIES_MIN && is_cut(hash, 0, LEAF_CUT_MASK)))
		return leaf_close(b, e);
	return 0;
}

int tree_builder_finish(struct tree_builder *b, struct manifest_root *ret_tree,
			struct manifest_root *ret_hints, struct err *e)
{
	struct manifest_root tree;
	struct manifest_root hints;

	if (b->n && leaf_close(b, e))
		return -1;
	if (spine_finish(b, &b->tree, &tree, e) ||
	    spine_finish(b, &b->hints, &hints, e))
		return -1;
	*ret_tree = tree;
	*ret_hints = hints;
	return 0;
}
