/*
 * The view "!apply": what became of each resource, and of a changed one each
 * field, as it was and as it is.
 *
 *	unchanged  Source web-config, version 1
 *	changed    Policy gold, version 4
 *	           spec.retention.keep-daily: 30 -> 7
 *	           note: what was kept may be let go by this; …
 */
#include <string.h>

#include "service/render_internal.h"

/* Below the kind and name. */
#define INDENT	 "           "
#define WORD_MAX 64

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "";
}

/* "/spec/retention" as "spec.retention"; RFC 6901's escapes undone. */
static int add_path(const char *path, struct buf *out, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, 4096);
	for (const char *s = path + (*path == '/'); *s; s++) {
		const char *c = *s == '/' ? "." : s;

		if (*s == '~' && s[1])
			c = *++s == '1' ? "/" : "~";
		if (buf_add(&text, c, 1, e) < 0)
			return -1;
	}
	return render_name(buf_str(&text), text.len, out, e);
}

static int add_value(const struct render_style *style, const json_t *value,
		     struct buf *out, struct err *e)
{
	const bool in_brackets = json_is_object(value) || json_is_array(value);

	if (!value)
		return buf_add_str(out, "(none)", e);
	return (in_brackets &&
		buf_add_byte(out, json_is_object(value) ? '{' : '[', e) < 0) ||
			       render_value(style, CELL_FIELDS, value, out, e) <
				       0 ||
			       (in_brackets &&
				buf_add_byte(out,
					     json_is_object(value) ? '}' : ']',
					     e) < 0)
		       ? -1
		       : 0;
}

static int add_change(const struct render_style *style, const json_t *change,
		      struct buf *out, struct err *e)
{
	if (buf_add_str(out, INDENT, e) < 0 ||
	    add_path(text_of(change, "path"), out, e) < 0 ||
	    buf_add_str(out, ": ", e) < 0 ||
	    add_value(style, json_object_get(change, "from"), out, e) < 0 ||
	    buf_add_str(out, " -> ", e) < 0 ||
	    add_value(style, json_object_get(change, "to"), out, e) < 0)
		return -1;
	return buf_add_byte(out, '\n', e);
}

static int add_head(const struct render_style *style, const json_t *one,
		    struct buf *out, struct err *e)
{
	const char *result = text_of(one, "result");
	const char *name = text_of(one, "name");

	return buf_add_str(out,
			   render_colour(style, render_state_colour(result)),
			   e) < 0 ||
			       render_word(result, WORD_MAX, 9, out, e) < 0 ||
			       buf_addf(out, e, "%s  ", render_plain(style)) <
				       0 ||
			       render_word(text_of(one, "kind"), WORD_MAX, 0,
					   out, e) < 0 ||
			       buf_add_byte(out, ' ', e) < 0 ||
			       render_name(name, strlen(name), out, e) < 0 ||
			       buf_addf(out, e, ", version %jd\n",
					(intmax_t)json_integer_value(
						json_object_get(one,
								"version"))) < 0
		       ? -1
		       : 0;
}

int render_apply(FILE *out, const struct render_style *style,
		 const json_t *value, struct err *e)
{
	const json_t *changes = json_object_get(value, "difference");
	const char *note = text_of(value, "note");
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, RENDER_VALUE);
	if (add_head(style, value, &text, e) < 0)
		return -1;
	/* All of a new one is new: its manifest says it better. */
	for (size_t i = 0; strcmp(text_of(value, "result"), "changed") == 0 &&
			   i < json_array_size(changes);
	     i++)
		if (add_change(style, json_array_get(changes, i), &text, e) < 0)
			return -1;
	if (*note && (buf_add_str(&text, INDENT "note: ", e) < 0 ||
		      render_escape(note, strlen(note), false, &text, e) < 0 ||
		      buf_add_byte(&text, '\n', e) < 0))
		return -1;
	return render_put(out, buf_str(&text), text.len, e);
}
