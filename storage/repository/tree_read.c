#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/repository/tree_node.h"

#define ENTRIES_MAX (1U << 20)

struct tree {
	struct reader *reader;
	struct tree_way way;
	struct tree_way hint_way;
	bool has_hints;
	bool without_values;

	/* The leaf that comes next, when it is known already. */
	struct tree_stop next;
	struct tree_stop next_hints;
	bool has_next;
	bool has_next_hints; /* known, of this leaf or a later one */

	/* The leaf that is being read. */
	struct buf leaf;
	struct cursor at;
	uint64_t left;	/* entries */
	bool first;	/* none of them was read yet */
	size_t differs; /* where the path before differs from the leaf's end */
	struct content_table table;
	struct buf hints;
	struct cursor hints_at;

	/* The entry last read, against which the next is coded. */
	struct buf path;
	struct entry before;
	uint64_t inode;
	int64_t ctime_sec;
	struct extent *extents;
	struct entry_xattr *xattrs;
	size_t xattrs_cap;
	struct buf names;
	struct buf values;
	struct err value_lost; /* of the entry that is being read */

	struct buf lost;

	/* tree_seek() found this one: it is what tree_next() gives next. */
	bool pushed;
	struct entry pushed_entry;
	struct content pushed_content;
};

int tree_open(struct reader *x, const struct manifest_root *root,
	      const struct manifest_root *hints, struct tree **ret,
	      struct err *e)
{
	static const struct manifest_root none = { .empty = true };
	CLEANUP(tree_close) struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return err_oom(e);
	t->reader = x;
	t->has_hints = hints && !hints->empty;
	tree_way_init(&t->way, root);
	tree_way_init(&t->hint_way, t->has_hints && hints ? hints : &none);
	buf_init(&t->leaf, CHUNK_MAX);
	buf_init(&t->hints, CHUNK_MAX);
	buf_init(&t->path, ENTRY_PATH_MAX);
	buf_init(&t->names, CHUNK_MAX);
	buf_init(&t->values, ENTRY_XATTR_VALUES_MAX);
	buf_init(&t->lost, ENTRY_PATH_MAX);
	t->extents = calloc(CONTENT_EXTENTS_MAX, sizeof(*t->extents));
	if (!t->extents)
		return err_oom(e);
	*ret = TAKE(t);
	return 0;
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	tree_way_done(&t->way);
	tree_way_done(&t->hint_way);
	buf_wipe(&t->leaf);
	buf_wipe(&t->hints);
	buf_done(&t->path);
	buf_done(&t->names);
	buf_wipe(&t->values);
	buf_done(&t->lost);
	content_table_done(&t->table);
	free(t->extents);
	free(t->xattrs);
	free(t);
}

const char *tree_lost(const struct tree *t, size_t *ret_len)
{
	*ret_len = t->lost.len;
	return buf_str(&t->lost);
}

static int malformed(struct err *e)
{
	return err_set(e, ERR_CORRUPT, "a leaf is malformed");
}

/* Remember where what cannot be read begins. */
static void set_lost(struct tree *t, const struct tree_stop *at)
{
	struct err ignored = { 0 };

	buf_clear(&t->lost);
	if (at->in.first)
		(void)!buf_add(&t->lost, at->in.first, at->in.first_len,
			       &ignored);
}

/* A copy of a chunk: what the reader gives is borrowed only. */
static int fetch(struct tree *t, const struct chunk_id *id,
		 enum chunk_kind kind, struct buf *to, struct cursor *ret_at,
		 struct err *e)
{
	const uint8_t *plain;
	size_t n;

	if (reader_get(t->reader, id, kind, &plain, &n, e))
		return -1;
	buf_clear(to);
	if (buf_add(to, plain, n, e))
		return -1;
	*ret_at = cursor_of(to->data, to->len);
	return 0;
}

static int compare_stops(const struct tree_stop *a, const struct tree_stop *b)
{
	if (!a->in.first || !b->in.first) /* a root alone has no path */
		return !!a->in.first - !!b->in.first;
	return entry_path_compare(a->in.first, a->in.first_len, b->in.first,
				  b->in.first_len);
}

/*
 * The hints of the next leaf.  Both trees have the same cuts, but where nodes
 * of either are damaged one gets ahead of the other.  Hints speed things up;
 * damaged ones are done without.
 */
static void find_hints(struct tree *t)
{
	struct err ignored = { 0 };
	int got;

	if (!t->has_hints)
		return;
	while (!t->has_next_hints ||
	       compare_stops(&t->next_hints, &t->next) < 0) {
		got = tree_way_next(&t->hint_way, t->reader, &t->next_hints,
				    &ignored);
		t->has_next_hints = got == 1;
		if (got == 0)
			return;
		if (got < 0 && ignored.code != ERR_CORRUPT) {
			t->has_hints = false;
			return;
		}
	}
}

/* Know the next leaf: 1, 0 at the end. */
static int find_next(struct tree *t, struct err *e)
{
	int got;

	if (t->has_next)
		return 1;
	got = tree_way_next(&t->way, t->reader, &t->next, e);
	if (got < 0)
		set_lost(t, &t->next);
	if (got != 1)
		return got;
	find_hints(t);
	t->has_next = true;
	return 1;
}

static void open_hints(struct tree *t)
{
	struct err ignored = { 0 };

	t->hints_at = cursor_of(NULL, 0);
	if (!t->has_hints || !t->has_next_hints ||
	    compare_stops(&t->next_hints, &t->next) != 0)
		return;
	t->has_next_hints = false;
	if (fetch(t, &t->next_hints.id, CHUNK_HINTS, &t->hints, &t->hints_at,
		  &ignored)) {
		t->hints_at = cursor_of(NULL, 0);
		return;
	}
	if (cursor_varint(&t->hints_at) != t->left)
		t->hints_at = cursor_of(NULL, 0);
}

static int open_leaf(struct tree *t, struct err *e)
{
	t->has_next = false;
	t->left = 0;
	if (fetch(t, &t->next.id, CHUNK_LEAF, &t->leaf, &t->at, e) ||
	    content_table_decode(&t->at, &t->table, e)) {
		set_lost(t, &t->next);
		return -1;
	}
	t->left = cursor_varint_max(&t->at, ENTRIES_MAX);
	if (t->at.bad || t->left == 0) {
		set_lost(t, &t->next);
		t->left = 0;
		return malformed(e);
	}
	open_hints(t);
	t->first = true;
	t->differs = 0;
	buf_clear(&t->path);
	t->before = (struct entry){ 0 };
	t->inode = 0;
	t->ctime_sec = 0;
	return 0;
}

static void read_hint(struct tree *t, struct entry *en)
{
	struct cursor *c = &t->hints_at;

	if (c->left == 0)
		return;
	t->inode += (uint64_t)cursor_svarint(c);
	t->ctime_sec = (int64_t)((uint64_t)t->ctime_sec +
				 (uint64_t)cursor_svarint(c));
	en->ctime.sec = t->ctime_sec;
	en->ctime.nsec = (uint32_t)cursor_varint_max(c, INSTANT_NSEC_MAX);
	en->inode = c->bad ? 0 : t->inode;
	if (c->bad)
		*c = cursor_of(NULL, 0);
}

/* The value that has a chunk of its own; room was made for it. */
static int read_large_value(struct tree *t, uint64_t number,
			    struct entry_xattr *x, struct err *e)
{
	const uint8_t *plain;
	size_t n;

	if (number >= t->table.n)
		return malformed(e);
	x->value = NULL;
	x->value_len = 0;
	if (t->without_values || t->value_lost.code)
		return 0;
	/* A value that is lost costs this entry, not those after it. */
	if (reader_get(t->reader, &t->table.ids[number], CHUNK_VALUE, &plain,
		       &n, &t->value_lost)) {
		if (t->value_lost.code == ERR_CORRUPT)
			return 0;
		*e = t->value_lost;
		return -1;
	}
	/* Values may move while the list grows: offsets until it is whole. */
	x->value_len = n;
	return buf_add(&t->values, plain, n, e);
}

static int read_xattr(struct tree *t, struct entry_xattr *x, struct err *e)
{
	const size_t len = (size_t)cursor_varint_max(&t->at,
						     ENTRY_XATTR_NAME_MAX);
	const uint8_t *name = cursor_bytes(&t->at, len);
	const uint64_t v = cursor_varint(&t->at);

	if (t->at.bad || (len && memchr(name, '\0', len)))
		return malformed(e);
	if (buf_add(&t->names, name, len, e) ||
	    buf_add_byte(&t->names, '\0', e))
		return -1;
	if (v & 1)
		return read_large_value(t, v / 2, x, e);
	x->value_len = (size_t)(v / 2);
	x->value = cursor_bytes(&t->at, x->value_len);
	return t->at.bad ? malformed(e) : 0;
}

static int read_xattrs(struct tree *t, struct entry *en, struct err *e)
{
	const size_t n = (size_t)cursor_varint_max(&t->at, ENTRY_XATTRS_MAX);
	struct entry_xattr *grown;
	const char *name;
	const uint8_t *large;

	if (t->at.bad || n > t->at.left)
		return malformed(e);
	if (n > t->xattrs_cap) {
		grown = reallocarray(t->xattrs, n, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		t->xattrs = grown;
		t->xattrs_cap = n;
	}
	buf_clear(&t->names);
	buf_clear(&t->values);
	for (size_t i = 0; i < n; i++)
		if (read_xattr(t, &t->xattrs[i], e))
			return -1;
	name = buf_str(&t->names);
	large = t->values.data;
	for (size_t i = 0; i < n; i++) {
		t->xattrs[i].name = name;
		name += strlen(name) + 1;
		if (t->xattrs[i].value)
			continue;
		t->xattrs[i].value = large;
		if (large)
			large += t->xattrs[i].value_len;
	}
	en->xattrs = t->xattrs;
	en->xattr_count = n;
	return 0;
}

static int read_body(struct tree *t, struct entry *en, struct content *content,
		     struct err *e)
{
	switch (en->type) {
	case ENTRY_FILE:
		en->size = cursor_varint(&t->at);
		return content_decode(&t->at, &t->table, en->size, content, e);
	case ENTRY_SYMLINK:
		en->target_len = (size_t)cursor_varint_max(&t->at,
							   ENTRY_TARGET_MAX);
		en->target = (const char *)cursor_bytes(&t->at, en->target_len);
		return 0;
	case ENTRY_CHARACTER:
	case ENTRY_BLOCK:
		en->device_major = (uint32_t)cursor_varint_max(&t->at,
							       UINT32_MAX);
		en->device_minor = (uint32_t)cursor_varint_max(&t->at,
							       UINT32_MAX);
		return 0;
	default:
		return 0;
	}
}

/* An owner, coded as the difference from the one before. */
static uint32_t read_owner(struct cursor *c, uint32_t before)
{
	const int64_t v = cursor_svarint(c);

	if (v < -(int64_t)UINT32_MAX || v > (int64_t)UINT32_MAX ||
	    (int64_t)before + v < 0 || (int64_t)before + v > UINT32_MAX) {
		c->bad = true;
		return 0;
	}
	return (uint32_t)((int64_t)before + v);
}

/*
 * Whether a path may stand in this leaf.  The one before, of which it shares
 * some bytes, was lower than the leaf's end: where they differed among those,
 * this one is, too.
 */
static bool is_in_leaf(struct tree *t, size_t shared)
{
	const struct tree_range *in = &t->next.in;
	const uint8_t *path = t->path.data;
	const size_t len = t->path.len;
	size_t i = shared < t->differs ? shared : t->differs;

	if (t->first && !tree_range_begins(in, path, len))
		return false;
	if (!in->end || (!t->first && t->differs < shared))
		return true;
	while (i < len && i < in->end_len && path[i] == in->end[i])
		i++;
	t->differs = i;
	return entry_path_compare(path + i, len - i, in->end + i,
				  in->end_len - i) < 0;
}

static int read_entry(struct tree *t, struct entry *en, struct content *content,
		      struct err *e)
{
	struct cursor *c = &t->at;
	size_t shared;

	*en = (struct entry){ 0 };
	*content = (struct content){ .v = t->extents };
	t->value_lost = (struct err){ 0 };
	if (tree_path_next(c, &t->path, &shared, e))
		return err_wrap(e, "a leaf is malformed");
	if (!is_in_leaf(t, shared))
		return err_set(e, ERR_CORRUPT,
			       "a leaf is not what its parent says");
	t->first = false;
	en->path = buf_str(&t->path);
	en->path_len = t->path.len;
	en->type = (enum entry_type)cursor_u8(c);
	en->flags = (uint32_t)cursor_varint_max(c, 7);
	en->mode = (uint32_t)cursor_varint_max(c, ENTRY_MODE_BITS);
	en->uid = read_owner(c, t->before.uid);
	en->gid = read_owner(c, t->before.gid);
	en->mtime.sec = (int64_t)((uint64_t)t->before.mtime.sec +
				  (uint64_t)cursor_svarint(c));
	en->mtime.nsec = (uint32_t)cursor_varint_max(c, INSTANT_NSEC_MAX);
	if (c->bad)
		return malformed(e);
	if (read_body(t, en, content, e))
		return -1;
	if (en->flags & ENTRY_HARD_LINK)
		en->link_group = cursor_u64(c);
	if (en->flags & ENTRY_XATTRS && read_xattrs(t, en, e))
		return -1;
	if (c->bad || !entry_valid(en))
		return malformed(e);
	read_hint(t, en);
	t->before = (struct entry){ .uid = en->uid,
				    .gid = en->gid,
				    .mtime = en->mtime };
	return 0;
}

/* From the entry that was read last. */
static void set_lost_here(struct tree *t)
{
	struct err ignored = { 0 };

	buf_clear(&t->lost);
	(void)!buf_add(&t->lost, t->path.data, t->path.len, &ignored);
}

int tree_next(struct tree *t, struct entry *ret, struct content *ret_content,
	      struct err *e)
{
	int got;

	if (t->pushed) {
		t->pushed = false;
		*ret = t->pushed_entry;
		*ret_content = t->pushed_content;
		return 1;
	}
	if (t->left == 0) {
		got = find_next(t, e);
		if (got != 1)
			return got;
		if (open_leaf(t, e))
			return -1;
	}
	if (read_entry(t, ret, ret_content, e)) {
		set_lost_here(t);
		t->left = 0;
		return -1;
	}
	t->left--;
	if (t->left == 0 && t->at.left) {
		set_lost_here(t);
		return malformed(e);
	}
	if (t->value_lost.code) {
		set_lost_here(t);
		*e = t->value_lost;
		return err_wrap(e, "an attribute is lost");
	}
	return 1;
}

int tree_seek(struct tree *t, const void *path, size_t len, struct err *e)
{
	struct err ignored = { 0 };
	int got;

	t->left = 0;
	t->pushed = false;
	t->has_next = false;
	got = tree_way_seek(&t->way, t->reader, path, len, &t->next, e);
	if (got < 0)
		set_lost(t, &t->next);
	if (got != 1)
		return got;
	got = t->has_hints ? tree_way_seek(&t->hint_way, t->reader, path, len,
					   &t->next_hints, &ignored)
			   : 0;
	t->has_next_hints = got == 1;
	find_hints(t);
	t->has_next = true;
	do {
		got = tree_next(t, &t->pushed_entry, &t->pushed_content, e);
		if (got != 1)
			return got;
	} while (entry_path_compare(t->pushed_entry.path,
				    t->pushed_entry.path_len, path, len) < 0);
	t->pushed = true;
	return 0;
}

int tree_at_leaf(struct tree *t, struct chunk_id *ret_leaf, struct err *e)
{
	int got;

	if (t->pushed || t->left)
		return 0;
	got = find_next(t, e);
	if (got == 1)
		*ret_leaf = t->next.id;
	return got;
}

void tree_skip_leaf(struct tree *t)
{
	t->has_next = false;
}

void tree_without_values(struct tree *t)
{
	t->without_values = true;
}

struct tree_range tree_leaf_range(const struct tree *t)
{
	return t->next.in;
}

const struct content_table *tree_table(const struct tree *t)
{
	return &t->table;
}
