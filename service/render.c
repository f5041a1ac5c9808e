#include "service/render.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/jsontree.h"
#include "service/render_internal.h"

/* Where in the text of the value the scanner is. */
enum place {
	BEFORE,	 /* the first byte */
	ELEMENT, /* inside the list at the top */
	WHOLE,	 /* inside any other value, kept until its end */
	AFTER,	 /* past the end of the list */
};

/* "+state=expected": the rows of a list, counted by a key. */
struct render_tally {
	char key[64];
	char what[64];
	uint64_t all;
	struct {
		char name[32];
		uint64_t n;
	} values[16];
	size_t count;
};

struct render {
	FILE *out;
	const char *view;
	struct render_style style;
	enum place place;
	unsigned int depth; /* of nesting below the element */
	bool in_string;
	bool escaped;
	struct buf text; /* of the element or value so far */

	struct render_tally tally;

	/* A list: its columns, and the rows held to measure them. */
	struct render_columns columns;
	bool has_columns;
	bool has_rows;
	bool has_begun; /* JSON only */
	bool measured;	/* widths are fixed, rows go straight out */
	json_t *ahead;
	struct buf line;
};

static const struct {
	const char *view;
	int (*draw)(FILE *out, const struct render_style *style,
		    const json_t *value, struct err *e);
} renderers[] = {
	{ "!apply", render_apply },   { "!check", render_check },
	{ "!status", render_status }, { "!drill", render_drill },
	{ "!run", render_run },	      { "!diff", render_diff },
};

int render_put(FILE *out, const char *text, size_t n, struct err *e)
{
	if (fwrite(text, 1, n, out) == n)
		return 0;
	return err_sys(e, "cannot write the output");
}

static int put_str(struct render *r, const char *text, struct err *e)
{
	return render_put(r->out, text, strlen(text), e);
}

/* The length of view without its tally. */
static size_t take_tally(const char *view, struct render_tally *ret)
{
	const char *at = strstr(view, " +");
	const char *what = at ? strchr(at, '=') : NULL;

	if (!what)
		return strlen(view);
	(void)snprintf(ret->key, sizeof(ret->key), "%.*s", (int)(what - at - 2),
		       at + 2);
	(void)snprintf(ret->what, sizeof(ret->what), "%.63s", what + 1);
	return (size_t)(at - view);
}

static void tally(struct render_tally *t, const json_t *row)
{
	const char *is = json_string_value(json_object_get(row, t->key));
	size_t i = 0;

	t->all++;
	while (is && i < t->count && strcmp(t->values[i].name, is) != 0)
		i++;
	if (!is || i == sizeof(t->values) / sizeof(t->values[0]))
		return;
	if (i == t->count)
		(void)snprintf(t->values[t->count++].name,
			       sizeof(t->values[0].name), "%.31s", is);
	t->values[i].n++;
}

/* "9 expected: 7 succeeded, 2 failed" */
static int put_tally(struct render *r, struct err *e)
{
	const struct render_tally *t = &r->tally;

	if (!t->key[0] || r->style.form != RENDER_TEXT)
		return 0;
	if (buf_addf(&r->line, e, "%s%ju %s", t->all ? "\n" : "",
		     (uintmax_t)t->all, t->what) < 0)
		return -1;
	for (size_t i = 0; i < t->count; i++)
		if (buf_addf(&r->line, e, "%s %ju ", i ? "," : ":",
			     (uintmax_t)t->values[i].n) < 0 ||
		    render_escape(t->values[i].name, strlen(t->values[i].name),
				  false, &r->line, e) < 0)
			return -1;
	if (buf_add_byte(&r->line, '\n', e) < 0)
		return -1;
	return render_put(r->out, buf_str(&r->line), r->line.len, e);
}

int render_new(struct render **ret, FILE *out, const char *view,
	       const struct render_style *style, struct err *e)
{
	struct render *r = calloc(1, sizeof(*r));

	if (!r)
		return err_oom(e);
	r->out = out;
	r->view = view;
	r->style = *style;
	buf_init(&r->text, RENDER_VALUE);
	buf_init(&r->line, RENDER_VALUE);
	r->ahead = json_array();
	if (!r->ahead) {
		render_free(r);
		return err_oom(e);
	}
	if (view && view[0] != '!') {
		char columns[1024];

		(void)snprintf(columns, sizeof(columns), "%.*s",
			       (int)take_tally(view, &r->tally), view);
		if (render_columns_parse(columns, &r->columns, e) < 0) {
			render_free(r);
			return -1;
		}
		r->has_columns = true;
	}
	*ret = r;
	return 0;
}

void render_free(struct render *r)
{
	if (!r)
		return;
	json_decref(r->ahead);
	buf_done(&r->text);
	buf_done(&r->line);
	free(r);
}

static int parse(struct render *r, json_t **ret, struct err *e)
{
	json_error_t why;
	json_t *value;
	const int got = jsontree_load(buf_str(&r->text), r->text.len,
				      JSON_DECODE_ANY | JSON_ALLOW_NUL, &value,
				      &why, e);

	if (got == 0)
		(void)err_set(e, ERR_CORRUPT, "the reply is not JSON: %s",
			      why.text);
	if (got <= 0)
		return -1;
	buf_clear(&r->text);
	*ret = value;
	return 0;
}

static bool is_right_aligned(enum cell_type type)
{
	return type == CELL_SIZE || type == CELL_COUNT || type == CELL_SECONDS;
}

static int add_spaces(struct buf *b, size_t n, struct err *e)
{
	while (n-- > 0)
		if (buf_add_byte(b, ' ', e) < 0)
			return -1;
	return 0;
}

/* One cell of a table: padded to its column, coloured when it is a state. */
static int add_padded(struct render *r, const struct render_column *c,
		      const struct buf *cell, bool last, struct err *e)
{
	const size_t width = render_width(buf_str(cell), cell->len);
	const size_t pad = c->width > width ? c->width - width : 0;
	const bool right = is_right_aligned(c->type);
	enum render_colour colour = COLOUR_NONE;

	if (c->type == CELL_STATE)
		colour = render_state_colour(buf_str(cell));
	if (right && add_spaces(&r->line, pad, e) < 0)
		return -1;
	if (colour != COLOUR_NONE &&
	    buf_add_str(&r->line, render_colour(&r->style, colour), e) < 0)
		return -1;
	if (buf_add(&r->line, cell->data, cell->len, e) < 0)
		return -1;
	if (colour != COLOUR_NONE &&
	    buf_add_str(&r->line, render_plain(&r->style), e) < 0)
		return -1;
	if (last)
		return buf_add_byte(&r->line, '\n', e);
	if (!right && add_spaces(&r->line, pad, e) < 0)
		return -1;
	return add_spaces(&r->line, 2, e);
}

static int put_line(struct render *r, struct err *e)
{
	const int status = render_put(r->out, buf_str(&r->line), r->line.len,
				      e);

	buf_clear(&r->line);
	return status;
}

static int put_row(struct render *r, const struct render_columns *columns,
		   const json_t *row, struct err *e)
{
	CLEANUP(buf_done) struct buf cell;

	buf_init(&cell, RENDER_VALUE);
	for (size_t i = 0; i < columns->count; i++) {
		buf_clear(&cell);
		if (render_cell(&r->style, &columns->at[i], row, &cell, e) <
			    0 ||
		    add_padded(r, &columns->at[i], &cell,
			       i + 1 == columns->count, e) < 0)
			return -1;
	}
	return put_line(r, e);
}

static int put_headings(struct render *r, const struct render_columns *columns,
			struct err *e)
{
	CLEANUP(buf_done) struct buf cell;

	buf_init(&cell, 256);
	if (columns->count == 0) /* of objects that are empty */
		return 0;
	if (buf_add_str(&r->line, render_colour(&r->style, COLOUR_BOLD), e) < 0)
		return -1;
	for (size_t i = 0; i < columns->count; i++) {
		struct render_column plain = columns->at[i];

		if (plain.type == CELL_STATE)
			plain.type = CELL_TEXT;
		buf_clear(&cell);
		if (render_name(plain.heading, strlen(plain.heading), &cell,
				e) < 0 ||
		    add_padded(r, &plain, &cell, i + 1 == columns->count, e) <
			    0)
			return -1;
	}
	/* Before the newline that ends the line. */
	r->line.len--;
	if (buf_add_str(&r->line, render_plain(&r->style), e) < 0 ||
	    buf_add_byte(&r->line, '\n', e) < 0)
		return -1;
	return put_line(r, e);
}

/* Make each column as wide as its widest cell. */
static int measure(struct render *r, struct render_columns *columns,
		   const json_t *rows, struct err *e)
{
	CLEANUP(buf_done) struct buf cell;

	buf_init(&cell, RENDER_VALUE);
	for (size_t c = 0; c < columns->count; c++) {
		struct render_column *column = &columns->at[c];

		column->width = render_width(column->heading,
					     strlen(column->heading));
		for (size_t i = 0; i < json_array_size(rows); i++) {
			size_t width;

			buf_clear(&cell);
			if (render_cell(&r->style, column,
					json_array_get(rows, i), &cell, e) < 0)
				return -1;
			width = render_width(buf_str(&cell), cell.len);
			if (width > column->width)
				column->width = width;
		}
	}
	return 0;
}

static int put_table(struct render *r, struct render_columns *columns,
		     const json_t *rows, struct err *e)
{
	if (measure(r, columns, rows, e) < 0 || put_headings(r, columns, e) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (put_row(r, columns, json_array_get(rows, i), e) < 0)
			return -1;
	return 0;
}

/* CSV after RFC 4180: a field with a comma, quote or newline is quoted. */
static int add_csv_field(struct render *r, const char *text, size_t n,
			 bool last, struct err *e)
{
	const bool quoted = memchr(text, ',', n) || memchr(text, '"', n) ||
			    memchr(text, '\n', n) || memchr(text, '\r', n);

	if (quoted && buf_add_byte(&r->line, '"', e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if ((text[i] == '"' && buf_add_byte(&r->line, '"', e) < 0) ||
		    buf_add_byte(&r->line, (uint8_t)text[i], e) < 0)
			return -1;
	if (quoted && buf_add_byte(&r->line, '"', e) < 0)
		return -1;
	return buf_add_str(&r->line, last ? "\r\n" : ",", e);
}

/* A table in CSV holds values as they are, not as people like them. */
static int put_csv_row(struct render *r, const json_t *row, struct err *e)
{
	CLEANUP(buf_done) struct buf cell;

	buf_init(&cell, RENDER_VALUE);
	for (size_t i = 0; i < r->columns.count; i++) {
		struct render_column c = r->columns.at[i];
		const json_t *value = render_find(row, c.key);
		const bool last = i + 1 == r->columns.count;

		c.type = CELL_TEXT;
		buf_clear(&cell);
		if (json_is_string(value)) {
			if (add_csv_field(r, json_string_value(value),
					  json_string_length(value), last,
					  e) < 0)
				return -1;
			continue;
		}
		if (!json_is_null(value) &&
		    !(json_is_array(value) && json_array_size(value) == 0) &&
		    render_cell(&r->style, &c, row, &cell, e) < 0)
			return -1;
		if (add_csv_field(r, buf_str(&cell), cell.len, last, e) < 0)
			return -1;
	}
	return put_line(r, e);
}

static int put_csv_headings(struct render *r, struct err *e)
{
	for (size_t i = 0; i < r->columns.count; i++) {
		const char *key = r->columns.at[i].key;

		if (add_csv_field(r, key, strlen(key),
				  i + 1 == r->columns.count, e) < 0)
			return -1;
	}
	return put_line(r, e);
}

/* A value that is no object, on a line of its own. */
static int put_plain(struct render *r, const json_t *value, struct err *e)
{
	if (json_is_string(value)) {
		const char *text = json_string_value(value);
		const size_t n = json_string_length(value);

		if ((r->place == WHOLE
			     ? render_escape(text, n, true, &r->line, e)
			     : render_name(text, n, &r->line, e)) < 0)
			return -1;
	} else if (render_value(&r->style, CELL_TEXT, value, &r->line, e) < 0) {
		return -1;
	}
	if ((r->line.len == 0 || r->line.data[r->line.len - 1] != '\n') &&
	    buf_add_byte(&r->line, '\n', e) < 0)
		return -1;
	return put_line(r, e);
}

/* Print the rows that were held back, now that their widths are known. */
static int flush_ahead(struct render *r, struct err *e)
{
	r->measured = true;
	if (json_array_size(r->ahead) == 0)
		return 0;
	if (put_table(r, &r->columns, r->ahead, e) < 0)
		return -1;
	json_array_clear(r->ahead);
	return 0;
}

/* By the view's own function: 1, or 0 when it has none. */
static int draw(struct render *r, const json_t *value, struct err *e)
{
	for (size_t i = 0; i < sizeof(renderers) / sizeof(renderers[0]); i++)
		if (r->style.form == RENDER_TEXT && r->view &&
		    strcmp(r->view, renderers[i].view) == 0)
			return renderers[i].draw(r->out, &r->style, value, e) <
					       0
				       ? -1
				       : 1;
	return 0;
}

static int put_element(struct render *r, const json_t *value, struct err *e)
{
	const int drawn = draw(r, value, e);

	r->has_rows = true;
	if (drawn != 0)
		return drawn < 0 ? -1 : 0;
	if (!json_is_object(value))
		return put_plain(r, value, e);
	if (!r->has_columns) {
		render_columns_of(value, &r->columns);
		r->has_columns = true;
	}
	if (r->style.form == RENDER_CSV) {
		if (!r->measured && put_csv_headings(r, e) < 0)
			return -1;
		r->measured = true;
		return put_csv_row(r, value, e);
	}
	if (r->tally.key[0])
		tally(&r->tally, value);
	if (r->measured)
		return put_row(r, &r->columns, value, e);
	if (json_array_append(r->ahead, (json_t *)(uintptr_t)value) < 0)
		return err_oom(e);
	if (json_array_size(r->ahead) < RENDER_AHEAD)
		return 0;
	return flush_ahead(r, e);
}

static int end_element(struct render *r, struct err *e)
{
	json_t *value;
	int status;

	if (r->text.len == 0)
		return 0;
	if (parse(r, &value, e) < 0)
		return -1;
	status = put_element(r, value, e);
	json_decref(value);
	return status;
}

static bool is_table(const json_t *value)
{
	return json_array_size(value) > 0 &&
	       json_is_object(json_array_get(value, 0));
}

/* Without a view, what says nothing is left out. */
static bool is_empty(const json_t *value)
{
	return !value || json_is_null(value) ||
	       (json_is_string(value) && json_string_length(value) == 0) ||
	       (json_is_array(value) && json_array_size(value) == 0);
}

/* A list may have all that it holds in its part that is not UTF-8. */
static bool says_nothing(const json_t *object, const char *key)
{
	char name[72];

	(void)snprintf(name, sizeof(name), "%s_b64", key);
	return is_empty(render_find(object, key)) &&
	       is_empty(json_object_get(object, name));
}

/* "bytes_new" is labelled "bytes new". */
static int put_pair(struct render *r, const struct render_column *c,
		    size_t width, const json_t *object, struct err *e)
{
	CLEANUP(buf_done) struct buf cell;
	struct render_column label = { .width = width };
	char key[sizeof(c->key)];
	size_t n = 0;

	buf_init(&cell, RENDER_VALUE);
	for (; c->key[n]; n++)
		key[n] = (char)(c->key[n] == '_' ? ' ' : c->key[n]);
	if (render_name(key, n, &cell, e) < 0)
		return -1;
	if (add_padded(r, &label, &cell, false, e) < 0)
		return -1;
	buf_clear(&cell);
	label = *c;
	label.width = 0;
	if (render_cell(&r->style, c, object, &cell, e) < 0 ||
	    add_padded(r, &label, &cell, true, e) < 0)
		return -1;
	return put_line(r, e);
}

/* The table under one key of an object, below its name. */
static int put_section(struct render *r, const char *key, const json_t *rows,
		       struct err *e)
{
	struct render_columns columns;

	if (buf_add_byte(&r->line, '\n', e) < 0 ||
	    render_name(key, strlen(key), &r->line, e) < 0 ||
	    buf_add_str(&r->line, ":\n", e) < 0 || put_line(r, e) < 0)
		return -1;
	render_columns_of(json_array_get(rows, 0), &columns);
	return put_table(r, &columns, rows, e);
}

/* The plain values of an object, in two columns. */
static int put_pairs(struct render *r, const json_t *object, struct err *e)
{
	size_t width = 0;

	for (size_t i = 0; i < r->columns.count; i++) {
		const size_t n = strlen(r->columns.at[i].key);

		if (n > width)
			width = n;
	}
	for (size_t i = 0; i < r->columns.count; i++) {
		const struct render_column *c = &r->columns.at[i];
		const json_t *value = render_find(object, c->key);

		if (is_table(value) ||
		    (value && !r->has_columns && says_nothing(object, c->key)))
			continue;
		if (put_pair(r, c, width, object, e) < 0)
			return -1;
	}
	return 0;
}

static int put_object(struct render *r, const json_t *object, struct err *e)
{
	if (!r->has_columns)
		render_columns_of(object, &r->columns);
	if (put_pairs(r, object, e) < 0)
		return -1;
	for (size_t i = 0; i < r->columns.count; i++) {
		const char *key = r->columns.at[i].key;
		const json_t *value = render_find(object, key);

		if (is_table(value) && put_section(r, key, value, e) < 0)
			return -1;
	}
	return 0;
}

static int put_csv_object(struct render *r, const json_t *object, struct err *e)
{
	if (!r->has_columns)
		render_columns_of(object, &r->columns);
	if (put_csv_headings(r, e) < 0)
		return -1;
	return put_csv_row(r, object, e);
}

static int put_whole(struct render *r, const json_t *value, struct err *e)
{
	const int drawn = draw(r, value, e);

	if (drawn != 0)
		return drawn < 0 ? -1 : 0;
	if (!json_is_object(value))
		return put_plain(r, value, e);
	if (r->style.form == RENDER_CSV)
		return put_csv_object(r, value, e);
	return put_object(r, value, e);
}

/* Follow strings and nesting; whether c ends a part of the list at the top. */
static bool is_boundary(struct render *r, char c)
{
	if (r->in_string) {
		if (r->escaped)
			r->escaped = false;
		else if (c == '\\')
			r->escaped = true;
		else if (c == '"')
			r->in_string = false;
		return false;
	}
	if (c == '"')
		r->in_string = true;
	if (c == '{' || c == '[')
		r->depth++;
	if (c != '}' && c != ']')
		return c == ',' && r->depth == 0;
	if (r->depth == 0)
		return true;
	r->depth--;
	return false;
}

/* Take bytes up to the end of the element; how many, or -1. */
static ptrdiff_t take_element(struct render *r, const char *text, size_t n,
			      struct err *e)
{
	size_t i = 0;

	while (i < n && !is_boundary(r, text[i]))
		i++;
	if (buf_add(&r->text, text, i, e) < 0)
		return -1;
	if (i == n)
		return (ptrdiff_t)i;
	if (end_element(r, e) < 0)
		return -1;
	if (text[i] == ']')
		r->place = AFTER;
	return (ptrdiff_t)i + 1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

int render_write(void *arg, const char *text, size_t n, struct err *e)
{
	struct render *r = arg;

	if (r->style.form == RENDER_JSON) {
		r->has_begun = r->has_begun || n > 0;
		return render_put(r->out, text, n, e);
	}
	while (n > 0) {
		ptrdiff_t did = 1;

		if (r->place == BEFORE && text[0] == '[') {
			r->place = ELEMENT;
		} else if (r->place == BEFORE && !is_space(text[0])) {
			r->place = WHOLE;
			did = 0;
		} else if (r->place == ELEMENT) {
			did = take_element(r, text, n, e);
		} else if (r->place == WHOLE) {
			if (buf_add(&r->text, text, n, e) < 0)
				return -1;
			did = (ptrdiff_t)n;
		}
		if (did < 0)
			return -1;
		text += did;
		n -= (size_t)did;
	}
	return 0;
}

static int finish_text(struct render *r, struct err *e)
{
	json_t *value;
	int status;

	/* A program that reads CSV expects its columns, rows or not. */
	if (r->place == AFTER && r->style.form == RENDER_CSV)
		return r->measured || !r->has_columns ? 0
						      : put_csv_headings(r, e);
	if (r->place == AFTER)
		return flush_ahead(r, e) < 0 ? -1 : put_tally(r, e);
	if (r->place != WHOLE)
		return err_set(e, ERR_CORRUPT, "the reply ends too early");
	if (parse(r, &value, e) < 0)
		return -1;
	status = put_whole(r, value, e);
	json_decref(value);
	return status;
}

int render_finish(struct render *r, struct err *e)
{
	if (r->style.form == RENDER_JSON) {
		if (put_str(r, "\n", e) < 0)
			return -1;
	} else if (finish_text(r, e) < 0) {
		return -1;
	}
	if (fflush(r->out) != 0)
		return err_sys(e, "cannot write the output");
	return 0;
}

bool render_has_begun(const struct render *r)
{
	return r->has_begun;
}

bool render_is_empty(const struct render *r)
{
	return r->style.form == RENDER_TEXT && r->place == AFTER &&
	       !r->has_rows;
}
