/*
 * The view "!drill": whether it passed, from where, how fast, how old; then
 * each check, and what was found.
 *
 *	✓ weekly-dr passed: restored from us-east in 1.2 s, data 3 h old
 *	  without eu-west
 *	  etc (5f2c9a01, complete), 812 files, 3.4 MiB
 *
 *	  ✓ tree etc         0.2 s  1014 entries and 3.4 MiB are as they were
 *	  ✗ command "test"   0.0 s  it ended with status 1
 */
#include <string.h>

#include "service/render_internal.h"

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "";
}

static int add_text(struct buf *b, const char *text, struct err *e)
{
	return render_escape(text, strlen(text), false, b, e);
}

static int add_cell(struct buf *b, const struct render_style *style,
		    enum cell_type type, const json_t *value, struct err *e)
{
	return render_value(style, type, value, b, e);
}

static int add_mark(struct buf *b, const struct render_style *style,
		    bool passed, struct err *e)
{
	return buf_addf(
		b, e, "%s%s%s ",
		render_colour(style, passed ? COLOUR_GREEN : COLOUR_RED),
		passed ? "✓" : "✗", render_plain(style));
}

/* ", data 3 h old" */
static int add_figure(struct buf *b, const struct render_style *style,
		      const json_t *value, const char *before,
		      const char *after, struct err *e)
{
	if (!json_is_number(value))
		return 0;
	if (buf_add_str(b, before, e) < 0 ||
	    add_cell(b, style, CELL_SECONDS, value, e) < 0)
		return -1;
	return buf_add_str(b, after, e);
}

static int add_head(struct buf *b, const struct render_style *style,
		    const json_t *d, struct err *e)
{
	const bool passed = json_is_true(json_object_get(d, "passed"));

	if (add_mark(b, style, passed, e) < 0 ||
	    add_text(b, text_of(d, "drill"), e) < 0 ||
	    buf_addf(b, e, " %s: region ", passed ? "passed" : "failed") < 0 ||
	    add_text(b, text_of(d, "region"), e) < 0 ||
	    add_figure(b, style, json_object_get(d, "rto_seconds"),
		       ", restored and checked in ", "", e) < 0 ||
	    add_figure(b, style, json_object_get(d, "rpo_seconds"), ", data ",
		       " old", e) < 0)
		return -1;
	return buf_add_byte(b, '\n', e);
}

/* "  without eu-west, eu-north" */
static int add_without(struct buf *b, const json_t *d, struct err *e)
{
	const json_t *list = json_object_get(json_object_get(d, "evidence"),
					     "without");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (buf_add_str(b, i ? ", " : "  without ", e) < 0 ||
		    add_text(b, text_of(json_array_get(list, i), "region"), e) <
			    0)
			return -1;
	return json_array_size(list) ? buf_add_byte(b, '\n', e) : 0;
}

static int add_snapshot(struct buf *b, const struct render_style *style,
			const json_t *s, struct err *e)
{
	if (buf_add_str(b, "  ", e) < 0 ||
	    add_text(b, text_of(s, "source"), e) < 0 ||
	    buf_add_str(b, " (", e) < 0 ||
	    render_word(text_of(s, "snapshot"), 8, 0, b, e) < 0 ||
	    buf_add_str(b, ", ", e) < 0 ||
	    add_text(b, text_of(s, "state"), e) < 0 ||
	    buf_add_str(b, "), ", e) < 0 ||
	    add_cell(b, style, CELL_COUNT, json_object_get(s, "files"), e) <
		    0 ||
	    buf_add_str(b, " files, ", e) < 0 ||
	    add_cell(b, style, CELL_SIZE, json_object_get(s, "bytes"), e) < 0)
		return -1;
	return buf_add_byte(b, '\n', e);
}

static int add_snapshots(struct buf *b, const struct render_style *style,
			 const json_t *d, struct err *e)
{
	const json_t *list = json_object_get(json_object_get(d, "evidence"),
					     "snapshots");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (add_snapshot(b, style, json_array_get(list, i), e) < 0)
			return -1;
	return buf_add_byte(b, '\n', e);
}

/* Up to a dozen lines below a check: what it printed, or what differs. */
static int add_below(struct buf *b, const json_t *check, struct err *e)
{
	const json_t *list = json_object_get(check, "differences");
	const char *at = text_of(check, "output");

	for (size_t i = 0; i < json_array_size(list) && i < 12; i++) {
		const json_t *x = json_array_get(list, i);
		const json_t *path = render_find(x, "path");

		if (buf_add_str(b, "      ", e) < 0 ||
		    add_text(b,
			     json_is_string(path) ? json_string_value(path)
						  : text_of(x, "path_b64"),
			     e) < 0 ||
		    buf_add_str(b, ": ", e) < 0 ||
		    add_text(b, text_of(x, "message"), e) < 0 ||
		    buf_add_byte(b, '\n', e) < 0)
			return -1;
	}
	for (size_t i = 0; *at && i < 12; i++) {
		const size_t n = strcspn(at, "\n");

		if (buf_add_str(b, "      ", e) < 0 ||
		    render_escape(at, n, false, b, e) < 0 ||
		    buf_add_byte(b, '\n', e) < 0)
			return -1;
		at += n + (at[n] == '\n');
	}
	return 0;
}

static size_t widest(const json_t *checks)
{
	size_t width = 0;

	for (size_t i = 0; i < json_array_size(checks); i++) {
		const char *name = text_of(json_array_get(checks, i), "name");
		const size_t n = render_width(name, strlen(name));

		if (n > width)
			width = n;
	}
	return width;
}

static int add_check(struct buf *b, const struct render_style *style,
		     const json_t *check, size_t width, struct err *e)
{
	const bool passed = json_is_true(json_object_get(check, "passed"));
	const char *name = text_of(check, "name");

	if (buf_add_str(b, "  ", e) < 0 || add_mark(b, style, passed, e) < 0 ||
	    add_text(b, name, e) < 0)
		return -1;
	for (size_t n = render_width(name, strlen(name)); n < width + 2; n++)
		if (buf_add_byte(b, ' ', e) < 0)
			return -1;
	if (add_cell(b, style, CELL_SECONDS, json_object_get(check, "seconds"),
		     e) < 0 ||
	    buf_add_str(b, "  ", e) < 0 ||
	    add_text(b, text_of(check, "message"), e) < 0 ||
	    buf_add_byte(b, '\n', e) < 0)
		return -1;
	return add_below(b, check, e);
}

static int draw(struct buf *b, const struct render_style *style,
		const json_t *d, struct err *e)
{
	const json_t *checks = json_object_get(d, "checks");
	const size_t width = widest(checks);

	if (add_head(b, style, d, e) < 0 || add_without(b, d, e) < 0 ||
	    add_snapshots(b, style, d, e) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(checks); i++)
		if (add_check(b, style, json_array_get(checks, i), width, e) <
		    0)
			return -1;
	return 0;
}

int render_drill(FILE *out, const struct render_style *style,
		 const json_t *value, struct err *e)
{
	struct buf b;
	int status;

	buf_init(&b, RENDER_VALUE);
	status = draw(&b, style, value, e);
	if (status == 0)
		status = render_put(out, buf_str(&b), b.len, e);
	buf_done(&b);
	return status;
}
