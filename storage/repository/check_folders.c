/*
 * Entries are in order, and every folder above one is an entry before it
 * (FORMAT.md §7).
 *
 * Whether that holds within a leaf depends on the leaf and on the last entry
 * of the one before it.  So pairs of leaves are looked at, each once, however
 * many snapshots have them side by side; and a tree that was sound once is not
 * walked again.
 */
#include <string.h>

#include "base/buf.h"
#include "storage/repository/check_internal.h"
#include "storage/repository/cut.h"
#include "storage/repository/tree_node.h"

/* Opened chunks that the reader keeps: a few dozen leaves. */
#define READER_BYTES ((size_t)8 << 20)

/*
 * Zero before: the first leaf of a tree, or the root that after is.  The hash
 * is of the path that after is named by: it has to begin with that.
 */
struct pair {
	struct chunk_id before;
	struct chunk_id after;
	uint64_t named;
};

struct walk {
	struct check *c;
	struct check_snapshot *s;
	struct reader *reader;
	struct filemap *sound; /* struct pair → nothing */

	/* The last entry that was read, and its leaf; zero: there is none. */
	struct chunk_id leaf;
	struct buf path;
	enum entry_type type;
};

static int report(struct walk *w, const struct entry *en, struct err *e)
{
	struct check_finding *f;

	if (!w->s->finding)
		w->s->finding = check_find(w->c, w->s->name.s, OBJECT_MANIFEST,
					   "entries of its tree are out of "
					   "order, or lie in no folder");
	f = check_finding(w->c, w->s->finding);
	if (!f)
		return 0;
	f->chunks++;
	check_add_snapshot(f, w->s->id);
	return check_add_path(f, en->path, en->path_len, e);
}

static bool has_place(const struct walk *w, const struct entry *en)
{
	const struct entry last = { .path = buf_str(&w->path),
				    .path_len = w->path.len,
				    .type = w->type };

	if (last.path_len == 0)
		return entry_has_folder(NULL, en->path, en->path_len);
	return entry_path_compare(last.path, last.path_len, en->path,
				  en->path_len) < 0 &&
	       entry_has_folder(&last, en->path, en->path_len);
}

/*
 * Read a leaf behind what was read last.  1 when each of its entries is in its
 * place, 0 when not: the first one is reported, when it is to be judged.
 */
static int read_leaf(struct walk *w, const struct chunk_id *leaf,
		     const struct tree_range *judged, struct err *e)
{
	const struct manifest_root root = { .id = *leaf };
	CLEANUP(tree_close) struct tree *t = NULL;
	struct content content;
	struct entry en;
	bool first = true;
	int sound = 1;
	int got;

	if (tree_open(w->reader, &root, NULL, &t, e))
		return -1;
	tree_without_values(t);
	while ((got = tree_next(t, &en, &content, e)) == 1) {
		if (judged && sound &&
		    (!has_place(w, &en) ||
		     (first &&
		      !tree_range_begins(judged, en.path, en.path_len)))) {
			sound = 0;
			if (report(w, &en, e))
				return -1;
		}
		first = false;
		buf_clear(&w->path);
		if (buf_add(&w->path, en.path, en.path_len, e))
			return -1;
		w->type = en.type;
	}
	w->leaf = *leaf;
	return got < 0 ? -1 : sound;
}

static int judge(struct walk *w, const struct pair *pair,
		 const struct tree_range *in, struct err *e)
{
	void *value;
	int sound = 1;

	if (filemap_find(w->sound, pair))
		return 1;
	/* What is before the first leaf, nothing, was read. */
	if (!chunk_id_equal(&w->leaf, &pair->before))
		sound = read_leaf(w, &pair->before, NULL, e);
	if (sound == 1)
		sound = read_leaf(w, &pair->after, in, e);
	if (sound == 1 && filemap_add(w->sound, pair, &value, e) < 0)
		return -1;
	return sound;
}

static uint64_t name_of(const struct tree_range *in)
{
	static const uint8_t key[KEYS_SIZE];

	return in->first ? cut_hash(key, in->first, in->first_len) : 0;
}

/* A node that can be read, as nothing is lost, and stands elsewhere. */
static int report_node(struct walk *w, const struct tree *t, struct err *e)
{
	struct entry en = { 0 };

	en.path = tree_lost(t, &en.path_len);
	return report(w, &en, e);
}

/* Leaf by leaf: 1 when all of it is sound, -1 also for what is damaged. */
static int walk_tree(struct walk *w, struct err *e)
{
	CLEANUP(tree_close) struct tree *t = NULL;
	struct pair pair = { 0 };
	int all = 1;
	int got;

	w->leaf = pair.before;
	buf_clear(&w->path);
	if (tree_open(w->reader, &w->s->tree, NULL, &t, e))
		return -1;
	while ((got = tree_at_leaf(t, &pair.after, e)) == 1) {
		const struct tree_range in = tree_leaf_range(t);
		int sound;

		pair.named = name_of(&in);
		sound = judge(w, &pair, &in, e);
		if (sound < 0 || check_stopped(w->c, e))
			return -1;
		if (!sound)
			all = 0;
		tree_skip_leaf(t);
		pair.before = pair.after;
		check_advance(w->c, 1, 0);
	}
	if (got < 0 && check_is_damage(e) && !w->c->out->lost) {
		check_note_unread(w->c, e);
		return report_node(w, t, e) ? -1 : 0;
	}
	return got < 0 ? -1 : all;
}

static int check_tree(struct walk *w, struct err *e)
{
	const struct pair whole = { .after = w->s->tree.id };
	struct err why = { 0 };
	void *value;
	int sound;

	if (w->s->tree.empty || filemap_find(w->sound, &whole))
		return 0;
	sound = walk_tree(w, &why);
	/* What cannot be read was found before; behind it nobody can know. */
	if (sound < 0 && check_is_damage(&why)) {
		check_note_unread(w->c, &why);
		return 0;
	}
	if (sound < 0) {
		*e = why;
		return -1;
	}
	return sound && filemap_add(w->sound, &whole, &value, e) < 0 ? -1 : 0;
}

int check_folders(struct check *c, struct err *e)
{
	struct walk w = { .c = c };
	int failed;

	check_stage(c, "folders", 0);
	buf_init(&w.path, ENTRY_PATH_MAX + 1);
	failed = filemap_new(&w.sound, c->o->scratch, sizeof(struct pair), 1,
			     e) ||
		 reader_new(c->r, READER_BYTES, &w.reader, e);
	for (size_t i = 0; !failed && i < c->n_snapshots; i++) {
		w.s = &c->snapshots[i];
		failed = check_tree(&w, e);
	}
	reader_free(w.reader);
	filemap_free(w.sound);
	buf_done(&w.path);
	return failed ? -1 : 0;
}
