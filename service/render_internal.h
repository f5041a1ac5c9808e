/*
 * What the parts of the renderer share: cells and the stream.
 */
#ifndef SERVICE_RENDER_INTERNAL_H
#define SERVICE_RENDER_INTERNAL_H

#include <jansson.h>

#include "base/buf.h"
#include "service/render.h"

#define RENDER_COLUMNS 32

enum cell_type {
	CELL_TEXT,
	CELL_SIZE,
	CELL_COUNT,
	CELL_SECONDS,
	CELL_AGE,
	CELL_TIME,
	CELL_STATE,
	CELL_SHORT,
	CELL_LIST,
	CELL_MODE,
	CELL_YESNO,
	CELL_FIELDS,
};

struct render_column {
	char key[64];
	char heading[64];
	enum cell_type type;
	size_t width;
};

struct render_columns {
	struct render_column at[RENDER_COLUMNS];
	size_t count;
};

enum render_colour {
	COLOUR_NONE,
	COLOUR_BOLD,
	COLOUR_DIM,
	COLOUR_RED,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_BLUE,
};

/* The escape that starts a colour, or ends it: "" without colours. */
const char *render_colour(const struct render_style *style,
			  enum render_colour colour) NONNULL(1);
const char *render_plain(const struct render_style *style) NONNULL(1);
/* What a state such as "failed" looks like. */
enum render_colour render_state_colour(const char *state) NONNULL(1);

/* Parse a view.  ERR_BUG: the table of operations has a wrong one. */
int render_columns_parse(const char *view, struct render_columns *ret,
			 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* One column for each key of object. */
void render_columns_of(const json_t *object, struct render_columns *ret)
	NONNULL(1, 2);
/* The value under "a.b", or its decoded "a.b_b64", or NULL; *ret_raw tells
 * that the result is a new string of bytes made from base64 in raw. */
const json_t *render_find(const json_t *object, const char *key) NONNULL(1, 2);

/* Append the cell's text for people: one line, escaped, without colour. */
int render_cell(const struct render_style *style,
		const struct render_column *column, const json_t *object,
		struct buf *out, struct err *e) NONNULL(1, 2, 3, 4, 5)
	MUST_CHECK;
/* The same for a bare value. */
int render_value(const struct render_style *style, enum cell_type type,
		 const json_t *value, struct buf *out, struct err *e)
	NONNULL(1, 4, 5) MUST_CHECK;
/* Append n bytes with control bytes escaped; newlines stay when they may. */
int render_escape(const char *text, size_t n, bool lines, struct buf *out,
		  struct err *e) NONNULL(4, 5) MUST_CHECK;
/*
 * The same for what may be a name: backslashes are escaped as well, so that no
 * two names look alike.
 */
int render_name(const char *text, size_t n, struct buf *out, struct err *e)
	NONNULL(3, 4) MUST_CHECK;
/*
 * The same for a word that ought to be one of ours, or the beginning of an id:
 * at most so many bytes of it, filled up with blanks to that width.
 */
int render_word(const char *text, size_t most, size_t width, struct buf *out,
		struct err *e) NONNULL(1, 4, 5) MUST_CHECK;
/* Terminal columns that the n bytes of UTF-8 take. */
size_t render_width(const char *text, size_t n);
/* "3 h ago", "in 2 d" */
void render_age(struct instant now, struct instant t, char out[32]) NONNULL(3);

/* Write to the stream; ERR_IO with sys. */
int render_put(FILE *out, const char *text, size_t n, struct err *e)
	NONNULL(1, 4) MUST_CHECK;

/* Views that are drawn by a function: "!check", "!status"; "!apply" and "!diff"
 * draw each element of a list. */
int render_apply(FILE *out, const struct render_style *style,
		 const json_t *value, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
int render_check(FILE *out, const struct render_style *style,
		 const json_t *value, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
int render_status(FILE *out, const struct render_style *style,
		  const json_t *value, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
int render_run(FILE *out, const struct render_style *style, const json_t *value,
	       struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
int render_diff(FILE *out, const struct render_style *style,
		const json_t *value, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Of a change: the line that names it, and its diff, each line behind indent.
 */
int render_diff_head(const struct render_style *style, const json_t *change,
		     struct buf *out, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
int render_diff_lines(const struct render_style *style, const char *indent,
		      const json_t *change, struct buf *out, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
int render_drill(FILE *out, const struct render_style *style,
		 const json_t *value, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif
