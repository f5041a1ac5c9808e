/*
 * Everything the programs print for people goes through here.
 *
 * A renderer is a json_sink: it takes the text of one JSON value in pieces,
 * from an operation in this process or from the daemon alike, and writes it
 * to a stream as it is (RENDER_JSON), for people (RENDER_TEXT) or as RFC 4180
 * CSV.  A list at the top is rendered element by element, so memory does not
 * grow with its length; every other value is kept whole and must stay below
 * RENDER_VALUE bytes.
 *
 * For people, a list of objects is a table, whose widths come from its first
 * RENDER_AHEAD rows; an object is a column of keys and values with its lists
 * below; a list of texts is one text a line; a text is printed as it is.
 * Control bytes, and the marks that reorder text, are shown as escapes.
 *
 * A view chooses and orders keys: "id time:age source bytes:size".  Each word
 * is KEY[.KEY][:TYPE][=HEADING] ("_" in a heading is a space).  Types: text
 * (the default), size, count, seconds, age ("3 h ago"), time, state
 * (coloured), short (an id's first eight digits), list, mode, yesno, fields
 * (an object with its keys: "a: 1, b: {c: 2}").  NULL
 * takes all keys as they come.  A last word "+KEY=WHAT" adds a line below the
 * table for people: how many rows, and how many with each value of KEY.  A view
 * "!NAME" is drawn by a function of its own (renderers[] in render.c), a list
 * element by element.
 *
 * Deliberately without knowledge of any operation besides those.
 */
#ifndef SERVICE_RENDER_H
#define SERVICE_RENDER_H

#include <stdbool.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "base/json.h"

#define RENDER_VALUE ((size_t)64 << 20)
#define RENDER_AHEAD 512

enum render_form {
	RENDER_TEXT,
	RENDER_JSON,
	RENDER_CSV,
};

struct render_style {
	enum render_form form;
	bool colour;
	struct instant now; /* what ages are counted from */
};

struct render;

/* view is kept by reference. */
int render_new(struct render **ret, FILE *out, const char *view,
	       const struct render_style *style, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
void render_free(struct render *r);
DEFINE_CLEANUP(struct render *, render_free);

/* The sink; arg is the struct render.  Fails with err.sys == EPIPE when the
 * reader went away. */
json_sink render_write;
/* The value is over: print what is held, flush. */
int render_finish(struct render *r, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Whether some of a JSON value is out: a failure must not begin another. */
bool render_has_begun(const struct render *r) NONNULL(1);
/* It was an empty list for a person, who has been shown nothing so far. */
bool render_is_empty(const struct render *r) NONNULL(1);

#endif
