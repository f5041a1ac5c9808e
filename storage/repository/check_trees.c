/*
 * Every chunk that a snapshot reaches must lie at a sound place.  Nodes that
 * several snapshots share are walked once; only when something is missing
 * does a second walk go through every snapshot to tell whose paths it were.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/check_internal.h"
#include "storage/repository/content.h"
#include "storage/repository/tree.h"

/* Opened chunks that the reader keeps: a few dozen leaves. */
#define READER_BYTES ((size_t)8 << 20)
/* Failures in one tree after which telling more helps nobody. */
#define FAILURES_MAX 100000

struct walk {
	struct check *c;
	struct check_snapshot *s;
	struct reader *reader;

	/* Of the second walk. */
	uint32_t number;	    /* of the snapshot, from 1 */
	struct check_finding *node; /* of the first node that is lost */
	struct check_finding *any;  /* of the first chunk that is lost */
};

/*
 * Chunks.
 */
static bool kind_fits(enum chunk_kind expected, uint8_t kind)
{
	/* A leaf's table does not tell what its chunks are. */
	if (expected == CHUNK_DATA)
		return kind == CHUNK_DATA || kind == CHUNK_MAP ||
		       kind == CHUNK_VALUE;
	return kind == expected;
}

static bool is_readable(const struct check_chunk *chunk)
{
	return chunk->sound || chunk->loose;
}

static int get_chunk(struct check *c, const struct chunk_id *id,
		     struct check_chunk **ret, struct err *e)
{
	void *value;

	if (filemap_add(c->chunks, id->b, &value, e) < 0)
		return -1;
	*ret = value;
	return 0;
}

/* The finding that stands for a chunk that a snapshot misses. */
static uint32_t blame(struct check *c, struct check_snapshot *s,
		      const struct check_chunk *chunk)
{
	struct check_finding *f;

	if (chunk->finding)
		return chunk->finding;
	if (c->index_finding) {
		f = check_finding(c, c->index_finding);
		if (f)
			f->chunks++;
		return c->index_finding;
	}
	if (!s->finding)
		s->finding = check_find(c, s->name.s, OBJECT_MANIFEST,
					"it needs chunks that no pack holds");
	f = check_finding(c, s->finding);
	if (f)
		f->chunks++;
	return s->finding;
}

static void lose(struct check *c, struct check_snapshot *s,
		 struct check_chunk *chunk)
{
	if (chunk->lost)
		return;
	chunk->lost = true;
	c->out->lost++;
	chunk->finding = blame(c, s, chunk);
}

/* As index_set_find_other(); a damaged block (told already) finds nothing. */
static int find_place(struct check *c, const struct chunk_id *id,
		      const struct object_id *not_in, size_t n,
		      struct pack_entry *ret, struct err *e)
{
	struct index_set *index;
	int found;

	if (repository_index(c->r, &index, e))
		return -1;
	found = index_set_find_other(index, id, not_in, n, ret, e);
	if (found >= 0 || !object_is_damage(e))
		return found;
	check_note_unread(c, e);
	err_clear(e);
	return 0;
}

/* All places of a chunk are damaged, as its reader found. */
static int damage_places(struct check *c, const struct chunk_id *id,
			 const char *why, struct err *e)
{
	struct object_id seen[8];
	struct pack_entry x;
	size_t n = 0;
	int found;

	while (n < sizeof(seen) / sizeof(seen[0]) &&
	       (found = find_place(c, id, seen, n, &x, e))) {
		if (found < 0 || check_damage_chunk(c, &x, why, e))
			return -1;
		seen[n++] = x.place.pack;
	}
	return 0;
}

static int damage_chunk(struct walk *w, const struct chunk_id *id,
			const struct err *why, struct err *e)
{
	struct check_chunk *chunk;
	struct check_pack *pack;
	struct pack_entry x;
	int found;

	if (get_chunk(w->c, id, &chunk, e))
		return -1;
	if (chunk->lost)
		return 0;
	check_note_unread(w->c, why);
	if (damage_places(w->c, id, why->text, e))
		return -1;
	found = find_place(w->c, id, NULL, 0, &x, e);
	if (found < 0)
		return -1;
	pack = found ? filemap_find(w->c->packs, x.place.pack.b) : NULL;
	if (pack)
		chunk->finding = pack->finding;
	chunk->sound = 0;
	chunk->loose = 0;
	lose(w->c, w->s, chunk);
	return 0;
}

/*
 * The first walk.
 */
static int visit(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		 struct err *e)
{
	struct walk *w = arg;
	struct check_chunk *chunk;
	const bool is_node = kind == CHUNK_INNER || kind == CHUNK_LEAF ||
			     kind == CHUNK_HINTS || kind == CHUNK_MAP;

	if (get_chunk(w->c, id, &chunk, e))
		return -1;
	if (!is_readable(chunk) || !kind_fits(kind, chunk->kind)) {
		lose(w->c, w->s, chunk);
		return is_node;
	}
	if (!is_node)
		return 0;
	if (chunk->seen)
		return 1;
	chunk->seen = true;
	check_advance(w->c, 1, 0);
	return check_stopped(w->c, e) ? -1 : 0;
}

/*
 * A leaf is read together with the large values of its attributes: when one
 * of these is what cannot be read, the leaf is not to blame.  1 when so.
 */
static int blame_values(struct walk *w, const struct chunk_id *leaf,
			struct err *e)
{
	struct content_table t = { 0 };
	struct err why = { 0 };
	const uint8_t *plain;
	struct cursor at;
	int result = 0;
	size_t n;

	if (reader_get(w->reader, leaf, CHUNK_LEAF, &plain, &n, &why))
		return 0;
	at = cursor_of(plain, n);
	if (content_table_decode(&at, &t, &why))
		t.n = 0;
	for (size_t i = 0; result >= 0 && i < t.n; i++) {
		const struct check_chunk *chunk;

		if (visit(w, &t.ids[i], CHUNK_DATA, e) < 0) {
			result = -1;
			break;
		}
		chunk = filemap_find(w->c->chunks, t.ids[i].b);
		if (!chunk || chunk->kind != CHUNK_VALUE)
			continue;
		if (!chunk->lost && reader_get(w->reader, &t.ids[i],
					       CHUNK_VALUE, &plain, &n, &why))
			result = damage_chunk(w, &t.ids[i], &why, e);
		if (result == 0 && chunk->lost)
			result = 1;
	}
	content_table_done(&t);
	return result;
}

static int unreadable(void *arg, const struct chunk_id *id,
		      enum chunk_kind kind, const struct err *why,
		      struct err *e)
{
	struct walk *w = arg;

	if (kind == CHUNK_LEAF) {
		const int values = blame_values(w, id, e);

		if (values)
			return values < 0 ? -1 : 0;
	}
	return damage_chunk(w, id, why, e);
}

/* The list of errors that the snapshot was made with. */
static int visit_errors(struct walk *w, struct err *e)
{
	struct check_chunk *chunk;

	if (!w->s->has_errors)
		return 0;
	if (get_chunk(w->c, &w->s->error_list, &chunk, e))
		return -1;
	if (!is_readable(chunk) || chunk->kind != CHUNK_VALUE)
		lose(w->c, w->s, chunk);
	return 0;
}

int check_trees(struct check *c, struct err *e)
{
	CLEANUP(reader_free) struct reader *reader = NULL;
	struct walk w = { .c = c };

	check_stage(c, "trees", 0);
	if (reader_new(c->r, READER_BYTES, &reader, e))
		return -1;
	reader_verify_ids(reader, true);
	w.reader = reader;
	for (size_t i = 0; i < c->n_snapshots; i++) {
		w.s = &c->snapshots[i];
		if (tree_references(reader, &w.s->tree, false, visit,
				    unreadable, &w, e) ||
		    tree_references(reader, &w.s->hints, true, visit,
				    unreadable, &w, e) ||
		    visit_errors(&w, e))
			return -1;
	}
	return 0;
}

/*
 * The second walk: whose loss it is.
 */
static struct check_finding *finding_of(struct check *c,
					const struct chunk_id *id)
{
	const struct check_chunk *chunk = filemap_find(c->chunks, id->b);

	return chunk && chunk->lost ? check_finding(c, chunk->finding) : NULL;
}

static int attribute(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		     struct err *e)
{
	struct walk *w = arg;
	struct check_chunk *chunk = filemap_find(w->c->chunks, id->b);
	struct check_finding *f;

	if (check_stopped(w->c, e))
		return -1;
	/* Maps may be named again and again, and each of those below them; so
	 * may nodes of a tree that is none. */
	if (chunk && kind != CHUNK_DATA) {
		if (chunk->told == w->number)
			return 1;
		chunk->told = w->number;
	}
	if (!chunk || !chunk->lost)
		return 0;
	f = check_finding(w->c, chunk->finding);
	if (f) {
		check_add_snapshot(f, w->s->id);
		if (!w->any)
			w->any = f;
		if (!w->node && kind != CHUNK_HINTS &&
		    chunk->kind != CHUNK_DATA)
			w->node = f;
	}
	return kind != CHUNK_DATA;
}

static int ignore(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		  const struct err *why, struct err *e)
{
	(void)arg;
	(void)id;
	(void)kind;
	(void)why;
	(void)e;
	return 0;
}

struct file {
	struct walk *w;
	const struct entry *entry;
};

static int attribute_extent(void *arg, uint64_t offset, const struct extent *x,
			    struct err *e)
{
	struct file *f = arg;
	struct check_finding *of;

	(void)offset;
	if (check_stopped(f->w->c, e))
		return -1;
	of = x->hole ? NULL : finding_of(f->w->c, &x->id);
	if (!of)
		return 0;
	return check_add_path(of, f->entry->path, f->entry->path_len, e);
}

static int attribute_file(struct walk *w, const struct entry *en,
			  const struct content *content, struct err *e)
{
	struct file f = { .w = w, .entry = en };
	struct err why = { 0 };

	for (size_t i = 0; content->level && i < content->n; i++) {
		struct check_finding *of = finding_of(w->c, &content->v[i].id);

		if (of)
			return check_add_path(of, en->path, en->path_len, e);
	}
	if (content_walk(w->reader, content, attribute_extent, &f, &why) >= 0)
		return 0;
	if (!check_is_damage(&why)) {
		*e = why;
		return -1;
	}
	check_note_unread(w->c, &why);
	if (!w->node)
		return 0;
	return check_add_path(w->node, en->path, en->path_len, e);
}

/* What a tree could not be read at: its leaf's finding, else a node's. */
static int attribute_gap(struct walk *w, const struct tree *t,
			 const struct chunk_id *leaf, struct err *e)
{
	struct check_finding *f = finding_of(w->c, leaf);
	const char *path;
	size_t len;

	if (!f)
		f = w->node;
	path = tree_lost(t, &len);
	if (len == 0) {
		path = "/";
		len = 1;
	}
	return f ? check_add_path(f, path, len, e) : 0;
}

static int attribute_paths(struct walk *w, struct err *e)
{
	CLEANUP(tree_close) struct tree *t = NULL;
	struct chunk_id leaf = { { 0 } };
	unsigned int failures = 0;
	struct content content;
	struct entry en;

	if (tree_open(w->reader, &w->s->tree, NULL, &t, e))
		return -1;
	for (;;) {
		struct err why = { 0 };
		int got = tree_at_leaf(t, &leaf, &why);

		if (got >= 0)
			got = tree_next(t, &en, &content, &why);
		else
			leaf = (struct chunk_id){ { 0 } };
		if (got == 0 || check_stopped(w->c, e))
			return got == 0 ? 0 : -1;
		if (got == 1) {
			if (en.type == ENTRY_FILE &&
			    attribute_file(w, &en, &content, e))
				return -1;
			continue;
		}
		if (!check_is_damage(&why)) {
			*e = why;
			return -1;
		}
		check_note_unread(w->c, &why);
		if (attribute_gap(w, t, &leaf, e))
			return -1;
		if (++failures > FAILURES_MAX)
			return 0;
	}
}

int check_losses(struct check *c, struct err *e)
{
	CLEANUP(reader_free) struct reader *reader = NULL;

	check_stage(c, "losses", 0);
	if (reader_new(c->r, READER_BYTES, &reader, e))
		return -1;
	for (size_t i = 0; i < c->n_snapshots; i++) {
		struct walk w = { .c = c,
				  .s = &c->snapshots[i],
				  .number = (uint32_t)i + 1,
				  .reader = reader };

		check_advance(c, 1, 0);
		if (w.s->has_errors &&
		    attribute(&w, &w.s->error_list, CHUNK_VALUE, e) < 0)
			return -1;
		w.node = NULL;
		if (tree_references(reader, &w.s->tree, false, attribute,
				    ignore, &w, e))
			return -1;
		if (w.any && attribute_paths(&w, e))
			return -1;
		if (tree_references(reader, &w.s->hints, true, attribute,
				    ignore, &w, e))
			return -1;
	}
	return 0;
}
