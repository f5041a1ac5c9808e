/*
 * The view "!diff": entries that changed, each with its unified diff.
 *
 *	changed  /etc/nginx/nginx.conf  content, mtime
 *	--- /etc/nginx/nginx.conf
 *	+++ /etc/nginx/nginx.conf
 *	@@ -1,3 +1,3 @@
 *	 user www-data;
 *	-worker_processes 4;
 *	+worker_processes 16;
 *	 events {}
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/render_internal.h"

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "";
}

static enum render_colour colour_of(const char *line, size_t number)
{
	if (number < 2)
		return COLOUR_BOLD;
	switch (line[0]) {
	case '-':
		return COLOUR_RED;
	case '+':
		return COLOUR_GREEN;
	case '@':
		return COLOUR_BLUE;
	default:
		return COLOUR_NONE;
	}
}

static int add_lines(const struct render_style *style, const char *indent,
		     const char *text, size_t n, struct buf *out, struct err *e)
{
	size_t number = 0;

	for (size_t at = 0; at < n; number++) {
		const char *end = memchr(text + at, '\n', n - at);
		const size_t len = end ? (size_t)(end - text) - at : n - at;

		if (buf_addf(out, e, "%s%s", indent,
			     render_colour(style,
					   colour_of(text + at, number))) ||
		    render_escape(text + at, len, true, out, e) ||
		    buf_addf(out, e, "%s\n", render_plain(style)))
			return -1;
		at += len + 1;
	}
	return 0;
}

static int add_base64(const struct render_style *style, const char *indent,
		      const char *text, struct buf *out, struct err *e)
{
	char *bytes = malloc(strlen(text) + 1);
	ptrdiff_t n;
	int failed;

	if (!bytes)
		return err_oom(e);
	n = text_unbase64(text, strlen(text), bytes);
	failed = n < 0 ? err_set(e, ERR_CORRUPT, "a diff is not base64")
		       : add_lines(style, indent, bytes, (size_t)n, out, e);
	free(bytes);
	return failed;
}

int render_diff_lines(const struct render_style *style, const char *indent,
		      const json_t *change, struct buf *out, struct err *e)
{
	const json_t *text = json_object_get(change, "diff");
	const char *other = text_of(change, "diff_b64");
	const char *note = text_of(change, "note");

	if (json_is_string(text) &&
	    add_lines(style, indent, json_string_value(text),
		      json_string_length(text), out, e))
		return -1;
	if (*other && add_base64(style, indent, other, out, e))
		return -1;
	if (!*note)
		return 0;
	if (buf_add_str(out, indent, e) ||
	    render_escape(note, strlen(note), false, out, e))
		return -1;
	return buf_add_byte(out, '\n', e);
}

int render_diff_head(const struct render_style *style, const json_t *change,
		     struct buf *out, struct err *e)
{
	static const struct render_column path = { .key = "path" };
	static const struct render_column what = { .key = "what",
						   .type = CELL_LIST };
	const char *word = text_of(change, "change");
	const char *message = text_of(change, "message");

	if (buf_add_str(out, render_colour(style, render_state_colour(word)),
			e) ||
	    render_word(word, 64, 8, out, e) ||
	    buf_addf(out, e, "%s ", render_plain(style)) ||
	    render_cell(style, &path, change, out, e))
		return -1;
	if (json_array_size(json_object_get(change, "what")) &&
	    (buf_add_str(out, "  ", e) ||
	     render_cell(style, &what, change, out, e)))
		return -1;
	if (*message &&
	    (buf_add_str(out, "  ", e) ||
	     render_escape(message, strlen(message), false, out, e)))
		return -1;
	return buf_add_byte(out, '\n', e);
}

int render_diff(FILE *out, const struct render_style *style,
		const json_t *value, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, RENDER_VALUE);
	if (render_diff_head(style, value, &text, e) ||
	    render_diff_lines(style, "", value, &text, e))
		return -1;
	return render_put(out, buf_str(&text), text.len, e);
}
