#include "storage/repository/content.h"

#include <stdlib.h>
#include <string.h>

/*
 * A map is cut after an extent whose chunk's id says so, so that inserting
 * into a large file changes the maps near the place only: one in 512 on
 * average, never below 128 or above CONTENT_EXTENTS_MAX.
 */
#define CUT_MIN	 128
#define CUT_MASK 511

/* A chunk holds at most this many ids: a bound for what is read. */
#define TABLE_MAX (CHUNK_MAX / CHUNK_ID_SIZE)

/* Largest encoding of a map: ids and at most 30 bytes for each extent. */
#define MAP_BYTES_MAX (CONTENT_EXTENTS_MAX * (CHUNK_ID_SIZE + 40) + 64)

struct level {
	struct extent *v; /* room for CONTENT_EXTENTS_MAX */
	size_t n;
};

struct content_builder {
	struct writer *writer;
	struct chunk_worker *worker;
	struct level levels[CONTENT_LEVEL_MAX + 1];
	struct content_table table;
	struct buf body;
	struct buf map;
};

int content_builder_new(struct writer *w, struct chunk_worker *worker,
			struct content_builder **ret, struct err *e)
{
	struct content_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return err_oom(e);
	b->writer = w;
	b->worker = worker;
	buf_init(&b->body, MAP_BYTES_MAX);
	buf_init(&b->map, MAP_BYTES_MAX);
	*ret = b;
	return 0;
}

void content_builder_free(struct content_builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i <= CONTENT_LEVEL_MAX; i++)
		free(b->levels[i].v);
	content_table_done(&b->table);
	buf_done(&b->body);
	buf_done(&b->map);
	free(b);
}

void content_table_done(struct content_table *t)
{
	free(t->ids);
	*t = (struct content_table){ 0 };
}

/*
 * Files and their neighbours refer to few chunks, most often the last one, so
 * looking back a little finds nearly all repetitions; one that is missed
 * costs 32 bytes.
 */
#define LOOK_BACK 16

int content_table_number(struct content_table *t, const struct chunk_id *id,
			 size_t *ret, struct err *e)
{
	const size_t stop = t->n > LOOK_BACK ? t->n - LOOK_BACK : 0;
	struct chunk_id *grown;
	size_t cap;

	for (size_t i = t->n; i > stop; i--)
		if (chunk_id_equal(&t->ids[i - 1], id)) {
			*ret = i - 1;
			return 0;
		}
	if (t->n == t->cap) {
		cap = t->cap ? 2 * t->cap : 64;
		grown = reallocarray(t->ids, cap, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		t->ids = grown;
		t->cap = cap;
	}
	t->ids[t->n] = *id;
	*ret = t->n++;
	return 0;
}

static int encode_extent(const struct extent *x, uint8_t level,
			 struct content_table *t, struct buf *out,
			 struct err *e)
{
	size_t number;

	if (x->hole) {
		if (buf_add_varint(out, 0, e))
			return -1;
		return buf_add_varint(out, x->len, e);
	}
	if (content_table_number(t, &x->id, &number, e) ||
	    buf_add_varint(out, level ? number : number + 1, e))
		return -1;
	if (level == 0 && buf_add_varint(out, x->offset, e))
		return -1;
	return buf_add_varint(out, x->len, e);
}

int content_encode(const struct content *c, struct content_table *t,
		   struct buf *out, struct err *e)
{
	if (buf_add_byte(out, c->level, e) || buf_add_varint(out, c->n, e))
		return -1;
	for (size_t i = 0; i < c->n; i++)
		if (encode_extent(&c->v[i], c->level, t, out, e))
			return -1;
	return 0;
}

static bool extent_valid(const struct extent *x, uint8_t level)
{
	if (x->len == 0)
		return false;
	if (level || x->hole)
		return !(level && x->hole);
	return x->len <= CHUNK_MAX && x->offset + x->len <= CHUNK_MAX;
}

bool content_valid(const struct content *c, uint64_t size)
{
	uint64_t left = size;

	/* No file system knows files beyond what an off_t can say. */
	if (size > INT64_MAX || c->level > CONTENT_LEVEL_MAX ||
	    c->n > CONTENT_EXTENTS_MAX)
		return false;
	for (size_t i = 0; i < c->n; i++) {
		if (!extent_valid(&c->v[i], c->level) || c->v[i].len > left)
			return false;
		left -= c->v[i].len;
	}
	return left == 0;
}

static bool mergeable(const struct extent *last, const struct extent *x)
{
	if (last->hole || x->hole)
		return last->hole && x->hole;
	return chunk_id_equal(&last->id, &x->id) &&
	       (uint64_t)last->offset + last->len == x->offset;
}

static int add_at(struct content_builder *b, size_t at, const struct extent *x,
		  struct err *e);

/* Turn a level's extents into a map chunk, named one level up. */
static int spill(struct content_builder *b, size_t at, struct err *e)
{
	struct level *l = &b->levels[at];
	const struct content c = { .level = (uint8_t)at, .n = l->n, .v = l->v };
	struct extent up = { 0 };

	if (at == CONTENT_LEVEL_MAX)
		return err_set(e, ERR_BUG, "a file has too many extents");
	b->table.n = 0;
	buf_clear(&b->body);
	buf_clear(&b->map);
	if (content_encode(&c, &b->table, &b->body, e) ||
	    buf_add_varint(&b->map, b->table.n, e) ||
	    buf_add(&b->map, b->table.ids, b->table.n * CHUNK_ID_SIZE, e) ||
	    buf_add(&b->map, b->body.data, b->body.len, e) ||
	    writer_add(b->writer, b->worker, CHUNK_MAP, b->map.data, b->map.len,
		       &up.id, NULL, e))
		return -1;
	for (size_t i = 0; i < l->n; i++)
		up.len += l->v[i].len;
	l->n = 0;
	return add_at(b, at + 1, &up, e);
}

static bool is_cut(const struct level *l)
{
	const struct extent *last = &l->v[l->n - 1];

	if (l->n >= CONTENT_EXTENTS_MAX)
		return true;
	return l->n >= CUT_MIN && !last->hole &&
	       (((unsigned int)last->id.b[0] << 8 | last->id.b[1]) &
		CUT_MASK) == 0;
}

static int add_at(struct content_builder *b, size_t at, const struct extent *x,
		  struct err *e)
{
	struct level *l = &b->levels[at];

	if (!l->v) {
		l->v = calloc(CONTENT_EXTENTS_MAX, sizeof(*l->v));
		if (!l->v)
			return err_oom(e);
	}
	/* Spilling waits for the extent after the cut: a file that ends at a
	 * cut keeps its extents in its entry. */
	if (l->n && is_cut(l) && spill(b, at, e))
		return -1;
	l->v[l->n++] = *x;
	return 0;
}

int content_builder_add(struct content_builder *b, const struct extent *x,
			struct err *e)
{
	struct level *l = &b->levels[0];

	if (!extent_valid(x, 0))
		return err_set(e, ERR_BUG, "an extent contradicts itself");
	if (l->n && mergeable(&l->v[l->n - 1], x)) {
		l->v[l->n - 1].len += x->len;
		return 0;
	}
	return add_at(b, 0, x, e);
}

static size_t top_level(const struct content_builder *b)
{
	size_t top = 0;

	for (size_t i = 0; i <= CONTENT_LEVEL_MAX; i++)
		if (b->levels[i].n)
			top = i;
	return top;
}

int content_builder_finish(struct content_builder *b, struct content *ret,
			   struct err *e)
{
	size_t top;

	/* A spill may cut the level above, and so raise the top. */
	for (size_t i = 0; i < top_level(b); i++)
		if (b->levels[i].n && spill(b, i, e))
			return -1;
	top = top_level(b);
	*ret = (struct content){ .level = (uint8_t)top,
				 .n = b->levels[top].n,
				 .v = b->levels[top].v };
	b->levels[top].n = 0;
	return 0;
}

int content_table_decode(struct cursor *c, struct content_table *t,
			 struct err *e)
{
	const uint64_t n = cursor_varint_max(c, TABLE_MAX);
	const uint8_t *ids = cursor_bytes(c, (size_t)n * CHUNK_ID_SIZE);
	struct chunk_id *grown;

	if (c->bad)
		return err_set(e, ERR_CORRUPT, "a table of chunks is cut off");
	if (n > t->cap) {
		grown = reallocarray(t->ids, (size_t)n, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		t->ids = grown;
		t->cap = (size_t)n;
	}
	if (n)
		memcpy(t->ids, ids, (size_t)n * CHUNK_ID_SIZE);
	t->n = (size_t)n;
	return 0;
}

static void decode_extent(struct cursor *c, const struct content_table *t,
			  uint8_t level, struct extent *x)
{
	uint64_t number = cursor_varint(c);

	*x = (struct extent){ 0 };
	if (level == 0 && number-- == 0)
		x->hole = true;
	if (!x->hole) {
		if (number >= t->n) {
			c->bad = true;
			return;
		}
		x->id = t->ids[number];
		if (level == 0)
			x->offset = (uint32_t)cursor_varint_max(c, CHUNK_MAX);
	}
	x->len = cursor_varint(c);
}

int content_decode(struct cursor *c, const struct content_table *t,
		   uint64_t size, struct content *ret, struct err *e)
{
	ret->level = cursor_u8(c);
	ret->n = (size_t)cursor_varint_max(c, CONTENT_EXTENTS_MAX);
	for (size_t i = 0; !c->bad && i < ret->n; i++)
		decode_extent(c, t, ret->level, &ret->v[i]);
	if (c->bad || !content_valid(ret, size))
		return err_set(e, ERR_CORRUPT,
			       "the extents of a file do not add up");
	return 0;
}

struct walk {
	struct reader *reader;
	uint64_t from;
	uint64_t to;
	content_visit *visit;
	void *arg;
};

static int walk_level(const struct walk *w, const struct content *c,
		      uint64_t offset, struct err *e);

/* Read one map and go through it. */
static int walk_map(const struct walk *w, const struct extent *x, uint8_t level,
		    uint64_t offset, struct err *e)
{
	struct content_table t = { 0 };
	struct content below = { 0 };
	const uint8_t *plain;
	struct cursor c;
	size_t n;
	int result = -1;

	if (reader_get(w->reader, &x->id, CHUNK_MAP, &plain, &n, e))
		return -1;
	c = cursor_of(plain, n);
	below.v = calloc(CONTENT_EXTENTS_MAX, sizeof(*below.v));
	if (!below.v)
		result = err_oom(e);
	else if (content_table_decode(&c, &t, e) == 0 &&
		 content_decode(&c, &t, x->len, &below, e) == 0 &&
		 cursor_finish(&c, "a map", e) == 0) {
		if (below.level + 1 != level)
			result = err_set(e, ERR_CORRUPT,
					 "a map has the wrong level");
		else
			result = walk_level(w, &below, offset, e);
	}
	content_table_done(&t);
	free(below.v);
	return result;
}

/* Recursion is at most CONTENT_LEVEL_MAX deep: each map is one level lower. */
// NOLINTNEXTLINE(misc-no-recursion)
static int walk_level(const struct walk *w, const struct content *c,
		      uint64_t offset, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct extent *x = &c->v[i];
		int result = 0;

		if (offset >= w->to)
			break;
		if (offset + x->len <= w->from)
			; /* not there yet */
		else if (c->level)
			result = walk_map(w, x, c->level, offset, e);
		else
			result = w->visit(w->arg, offset, x, e);
		if (result)
			return result;
		offset += x->len;
	}
	return 0;
}

int content_walk_range(struct reader *x, const struct content *c, uint64_t from,
		       uint64_t to, content_visit *visit, void *arg,
		       struct err *e)
{
	const struct walk w = { x, from, to, visit, arg };

	return walk_level(&w, c, 0, e) < 0 ? -1 : 0;
}

int content_walk(struct reader *x, const struct content *c,
		 content_visit *visit, void *arg, struct err *e)
{
	return content_walk_range(x, c, 0, UINT64_MAX, visit, arg, e);
}
