#include "service/unified.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "storage/lines.h"

/* A byte that is masked becomes eight at most, with a newline beside it. */
#define SHOWN_MAX (8 * DIFF_READ_MAX)

/* One side of a change. */
struct text {
	struct buf bytes;
	struct buf shown;
	struct lines lines;
	struct lines shown_lines;
};

static void text_init(struct text *t)
{
	buf_init(&t->bytes, DIFF_READ_MAX);
	buf_init(&t->shown, SHOWN_MAX);
	t->lines = (struct lines){ .at = NULL };
	t->shown_lines = (struct lines){ .at = NULL };
}

/* Plaintext of files: what was not to be shown is not left in memory. */
static void text_done(struct text *t)
{
	lines_done(&t->lines);
	lines_done(&t->shown_lines);
	buf_wipe(&t->bytes);
	buf_done(&t->shown);
}
static inline void cleanup_text_done(struct text *t)
{
	text_done(t);
}

void unified_init(struct unified *x)
{
	*x = (struct unified){ .instead = NULL };
	buf_init(&x->text, 4 * SHOWN_MAX);
}

void unified_done(struct unified *x)
{
	buf_done(&x->text);
}

static bool is_text(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++) {
		const uint8_t c = b->data[i];

		if (c < 7 || (c > 13 && c < 32 && c != 27) || c == 127)
			return false;
	}
	return true;
}

/* ---- Names -------------------------------------------------------------- */

/* As git and GNU diff write one that would break its line. */
static int add_quoted(const char *path, size_t n, struct buf *out,
		      struct err *e)
{
	const bool utf8 = text_is_utf8(path, n);

	if (buf_add_byte(out, '"', e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		const uint8_t c = (uint8_t)path[i];
		const char *const letters = "abtnvfr";

		if (c >= 7 && c <= 13 ? buf_addf(out, e, "\\%c", letters[c - 7])
		    : c == '"' || c == '\\' ? buf_addf(out, e, "\\%c", c)
		    : c < 32 || c == 127 || (c > 127 && !utf8)
			    ? buf_addf(out, e, "\\%03o", c)
			    : buf_add_byte(out, c, e))
			return -1;
	}
	return buf_add_byte(out, '"', e);
}

static bool is_plain(const char *path, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)path[i] < 32 || path[i] == 127 || path[i] == '"' ||
		    path[i] == '\\')
			return false;
	return text_is_utf8(path, n);
}

static int add_name(const char *mark, const struct entry *en, struct buf *out,
		    struct err *e)
{
	if (buf_addf(out, e, "%s ", mark))
		return -1;
	if (!en)
		return buf_add_str(out, "/dev/null\n", e);
	if (!is_plain(en->path, en->path_len)) {
		if (add_quoted(en->path, en->path_len, out, e))
			return -1;
	} else if (buf_add(out, en->path, en->path_len, e) ||
		   /* patch takes a name to end at a blank otherwise */
		   (memchr(en->path, ' ', en->path_len) &&
		    buf_add_byte(out, '\t', e))) {
		return -1;
	}
	return buf_add_byte(out, '\n', e);
}

/* ---- Both sides --------------------------------------------------------- */

static bool is_shown(const struct entry *en)
{
	return en && (en->type == ENTRY_FILE || en->type == ENTRY_SYMLINK);
}

/* 1; 0 and x->instead. */
static int read_text(const struct diff_change *c, bool after, struct text *t,
		     struct unified *x, struct err *e)
{
	const struct entry *en = after ? c->after : c->before;
	int got;

	if (!is_shown(en))
		return 1;
	if (en->type == ENTRY_SYMLINK)
		return buf_add(&t->bytes, en->target, en->target_len, e) < 0
			       ? -1
			       : 1;
	if (en->size > DIFF_READ_MAX) {
		x->instead = "differ (too large to show)";
		return 0;
	}
	got = diff_read(c, after, &t->bytes, e);
	if (got < 0)
		return -1;
	if (got == 0)
		x->instead = "differ (it cannot be read)";
	else if (!is_text(&t->bytes))
		x->instead = "binary files differ";
	return x->instead == NULL;
}

static int prepare(const struct mask *m, const struct entry *en, struct text *t,
		   struct err *e)
{
	return mask_text(m, en->path, en->path_len, t->bytes.data, t->bytes.len,
			 &t->shown, e) < 0 ||
			       lines_split(t->bytes.data, t->bytes.len,
					   &t->lines, e) < 0 ||
			       lines_split(t->shown.data, t->shown.len,
					   &t->shown_lines, e) < 0
		       ? -1
		       : 0;
}

static int compare(const struct diff_change *c, const struct text *a,
		   const struct text *b, struct unified *x, struct err *e)
{
	CLEANUP(lines_changes_done) struct lines_changes d = { .v = NULL };

	/* Masked lines are lines still: else nothing fits together. */
	if (a->lines.n != a->shown_lines.n || b->lines.n != b->shown_lines.n)
		return err_set(e, ERR_BUG, "masking lost a line");
	if (lines_compare(&a->lines, &b->lines, &d, e) < 0)
		return -1;
	x->added = d.added;
	x->removed = d.removed;
	if (d.n == 0)
		return 0;
	if (add_name("---", c->before, &x->text, e) < 0 ||
	    add_name("+++", c->after, &x->text, e) < 0 ||
	    lines_unified(&d, &a->shown_lines, &b->shown_lines, &x->text, e) <
		    0)
		return -1;
	return 1;
}

int unified_make(const struct diff_change *c, const struct mask *m,
		 struct unified *ret, struct err *e)
{
	CLEANUP(text_done) struct text a;
	CLEANUP(text_done) struct text b;
	const struct entry *en = c->after ? c->after : c->before;
	int got;

	text_init(&a);
	text_init(&b);
	if (c->unreadable || (!is_shown(c->before) && !is_shown(c->after)) ||
	    (c->before && c->after &&
	     !(c->aspects & (DIFF_CONTENT | DIFF_TYPE))))
		return 0;
	got = read_text(c, false, &a, ret, e);
	if (got == 1)
		got = read_text(c, true, &b, ret, e);
	if (got != 1)
		return got < 0 ? -1 : 1;
	if (prepare(m, en, &a, e) < 0 || prepare(m, en, &b, e) < 0)
		return -1;
	return compare(c, &a, &b, ret, e);
}

void unified_write(const struct unified *x, struct json *j)
{
	if (x->instead) {
		json_kv_str(j, "note", x->instead);
		return;
	}
	json_kv_uint(j, "lines_added", x->added);
	json_kv_uint(j, "lines_removed", x->removed);
	json_path(j, "diff", buf_str(&x->text), x->text.len);
}
