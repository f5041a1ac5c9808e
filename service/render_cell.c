/* Cells: one JSON value as a piece of one line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/render_internal.h"

static const char *const type_names[] = {
	[CELL_TEXT] = "text",	[CELL_SIZE] = "size",
	[CELL_COUNT] = "count", [CELL_SECONDS] = "seconds",
	[CELL_AGE] = "age",	[CELL_TIME] = "time",
	[CELL_STATE] = "state", [CELL_SHORT] = "short",
	[CELL_LIST] = "list",	[CELL_MODE] = "mode",
	[CELL_YESNO] = "yesno", [CELL_FIELDS] = "fields",
};

const char *render_colour(const struct render_style *style,
			  enum render_colour colour)
{
	static const char *const escapes[] = {
		[COLOUR_NONE] = "",	     [COLOUR_BOLD] = "\033[1m",
		[COLOUR_DIM] = "\033[2m",    [COLOUR_RED] = "\033[31m",
		[COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
		[COLOUR_BLUE] = "\033[34m",
	};

	return style->colour ? escapes[colour] : "";
}

const char *render_plain(const struct render_style *style)
{
	return style->colour ? "\033[0m" : "";
}

enum render_colour render_state_colour(const char *state)
{
	static const struct {
		const char *state;
		enum render_colour colour;
	} colours[] = {
		{ "succeeded", COLOUR_GREEN },
		{ "complete", COLOUR_GREEN },
		{ "ok", COLOUR_GREEN },
		{ "passed", COLOUR_GREEN },
		{ "protected", COLOUR_GREEN },
		{ "created", COLOUR_GREEN },
		{ "kept", COLOUR_GREEN },
		{ "partial", COLOUR_YELLOW },
		{ "missed", COLOUR_YELLOW },
		{ "skipped", COLOUR_YELLOW },
		{ "superseded", COLOUR_DIM },
		{ "late", COLOUR_YELLOW },
		{ "changed", COLOUR_YELLOW },
		{ "interrupted", COLOUR_YELLOW },
		{ "cancelled", COLOUR_YELLOW },
		{ "failed", COLOUR_RED },
		{ "damaged", COLOUR_RED },
		{ "read-only", COLOUR_RED },
		{ "full", COLOUR_RED },
		{ "busy", COLOUR_RED },
		{ "unprotected", COLOUR_RED },
		{ "unreadable", COLOUR_RED },
		{ "running", COLOUR_BLUE },
		{ "pending", COLOUR_BLUE },
		{ "waiting", COLOUR_BLUE },
		{ "unchanged", COLOUR_DIM },
	};

	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (strcmp(colours[i].state, state) == 0)
			return colours[i].colour;
	return COLOUR_NONE;
}

/* "bytes_new" is headed BYTES NEW. */
static void heading_of(const char *key, char out[64])
{
	size_t n = 0;

	for (; n < 63 && key[n]; n++) {
		const char c = key[n];

		out[n] = (char)(c == '_' || c == '.'   ? ' '
				: c >= 'a' && c <= 'z' ? c - 'a' + 'A'
						       : c);
	}
	out[n] = '\0';
}

/* Copy the n bytes of a view's word; false when there is no room. */
static bool take(char out[64], const char *text, size_t n)
{
	if (n == 0 || n >= 64)
		return false;
	memcpy(out, text, n);
	out[n] = '\0';
	return true;
}

static bool parse_column(const char *word, size_t n, struct render_column *c)
{
	const size_t key = strcspn(word, ":= ");
	size_t at = key;

	*c = (struct render_column){ .type = CELL_TEXT };
	if (!take(c->key, word, key))
		return false;
	heading_of(c->key, c->heading);
	if (at < n && word[at] == ':') {
		const size_t len = strcspn(word + at + 1, "= ");
		char name[64];
		size_t t = 0;

		if (!take(name, word + at + 1, len))
			return false;
		while (t <= CELL_FIELDS && strcmp(type_names[t], name) != 0)
			t++;
		if (t > CELL_FIELDS)
			return false;
		c->type = (enum cell_type)t;
		at += 1 + len;
	}
	if (at < n && word[at] == '=') {
		char name[64];

		if (!take(name, word + at + 1, n - at - 1))
			return false;
		heading_of(name, c->heading);
		at = n;
	}
	return at == n;
}

int render_columns_parse(const char *view, struct render_columns *ret,
			 struct err *e)
{
	ret->count = 0;
	while (*view) {
		const size_t n = strcspn(view, " ");

		if (n > 0) {
			if (ret->count == RENDER_COLUMNS ||
			    !parse_column(view, n, &ret->at[ret->count]))
				return err_set(e, ERR_BUG,
					       "the view %s is malformed",
					       text_quote_str(view).s);
			ret->count++;
		}
		view += n + (view[n] == ' ');
	}
	return 0;
}

/* Without a view, values show themselves as what they look like. */
static enum cell_type guess(const char *key, const json_t *value)
{
	const char *text = json_string_value(value);
	struct instant t;
	struct err ignored;

	if (json_is_array(value))
		return CELL_LIST;
	if (text && strcmp(key, "state") == 0)
		return CELL_STATE;
	if (text && strlen(text) >= 20 &&
	    instant_parse(text, &t, &ignored) == 0)
		return CELL_TIME;
	if (json_is_integer(value) && strcmp(key, "bytes") == 0)
		return CELL_SIZE;
	return CELL_TEXT;
}

void render_columns_of(const json_t *object, struct render_columns *ret)
{
	const char *key;
	const json_t *value;

	ret->count = 0;
	/* jansson's iterators want a non-const object and change nothing. */
	for (void *i = json_object_iter((json_t *)(uintptr_t)object);
	     i && ret->count < RENDER_COLUMNS;
	     i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
		struct render_column *c = &ret->at[ret->count];
		size_t n;

		key = json_object_iter_key(i);
		value = json_object_iter_value(i);
		n = strlen(key);
		if (n > 4 && strcmp(key + n - 4, "_b64") == 0)
			n -= 4;
		*c = (struct render_column){ .type = CELL_TEXT };
		if (!take(c->key, key, n) ||
		    (key[n] && json_object_get(object, c->key)))
			continue;
		heading_of(c->key, c->heading);
		c->type = guess(c->key, value);
		ret->count++;
	}
}

const json_t *render_find(const json_t *object, const char *key)
{
	const json_t *at = object;

	for (size_t n = strcspn(key, "."); key[n]; n = strcspn(key, ".")) {
		char name[64];

		if (!take(name, key, n))
			return NULL;
		at = json_object_get(at, name);
		key += n + 1;
	}
	return json_object_get(at, key);
}

/*
 * Code points from outside are shown as they are unless they move the cursor
 * or reorder what stands beside them.
 */
static bool is_harmless(uint32_t c)
{
	return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) &&
	       !(c >= 0x200e && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff;
}

/* One code point of UTF-8; its length, 1 with *ret = byte when malformed. */
static size_t decode(const char *text, size_t n, uint32_t *ret)
{
	const unsigned char first = (unsigned char)text[0];
	const size_t want = first < 0x80	     ? 1
			    : (first & 0xe0) == 0xc0 ? 2
			    : (first & 0xf0) == 0xe0 ? 3
			    : (first & 0xf8) == 0xf0 ? 4
						     : 0;
	uint32_t c = first;

	if (want == 0 || want > n || !text_is_utf8(text, want)) {
		*ret = UINT32_MAX;
		return 1;
	}
	if (want > 1)
		c = first & (0xffU >> (want + 1));
	for (size_t i = 1; i < want; i++)
		c = c << 6 | ((unsigned char)text[i] & 0x3fU);
	*ret = c;
	return want;
}

static int escape_one(const char *text, size_t len, struct buf *out,
		      struct err *e)
{
	if (text[0] == '\n' && len == 1)
		return buf_add_str(out, "\\n", e);
	if (text[0] == '\t' && len == 1)
		return buf_add_str(out, "\\t", e);
	if (text[0] == '\\' && len == 1)
		return buf_add_str(out, "\\\\", e);
	for (size_t i = 0; i < len; i++)
		if (buf_addf(out, e, "\\x%02x", (unsigned char)text[i]) < 0)
			return -1;
	return 0;
}

/* But for the characters of keep, which are ASCII. */
static int escape(const char *text, size_t n, const char *keep, struct buf *out,
		  struct err *e)
{
	while (n > 0) {
		uint32_t c;
		const size_t len = decode(text, n, &c);
		const bool kept = c && c < 0x80 && strchr(keep, (int)c);
		const bool harmless = c != UINT32_MAX && is_harmless(c) &&
				      c != '\\';

		if ((kept || harmless ? buf_add(out, text, len, e)
				      : escape_one(text, len, out, e)) < 0)
			return -1;
		text += len;
		n -= len;
	}
	return 0;
}

int render_escape(const char *text, size_t n, bool lines, struct buf *out,
		  struct err *e)
{
	return escape(text, n, lines ? "\n\t\\" : "\\", out, e);
}

int render_name(const char *text, size_t n, struct buf *out, struct err *e)
{
	return escape(text, n, "", out, e);
}

int render_word(const char *text, size_t most, size_t width, struct buf *out,
		struct err *e)
{
	const size_t before = out->len;

	if (render_name(text, strnlen(text, most), out, e) < 0)
		return -1;
	while (out->len - before < width)
		if (buf_add_byte(out, ' ', e) < 0)
			return -1;
	return 0;
}

/*
 * Widths after Unicode's EastAsianWidth (W and F) and the combining marks
 * that names really hold; the ranges are rounded to whole blocks.
 */
static size_t columns_of(uint32_t c)
{
	static const struct {
		uint32_t from, to;
		size_t columns;
	} ranges[] = {
		{ 0x0300, 0x036f, 0 },	 { 0x0483, 0x0489, 0 },
		{ 0x0591, 0x05bd, 0 },	 { 0x064b, 0x065f, 0 },
		{ 0x1100, 0x115f, 2 },	 { 0x1ab0, 0x1aff, 0 },
		{ 0x1dc0, 0x1dff, 0 },	 { 0x200b, 0x200d, 0 },
		{ 0x20d0, 0x20ff, 0 },	 { 0x2e80, 0x303e, 2 },
		{ 0x3041, 0xa4cf, 2 },	 { 0xa960, 0xa97f, 2 },
		{ 0xac00, 0xd7a3, 2 },	 { 0xf900, 0xfaff, 2 },
		{ 0xfe00, 0xfe0f, 0 },	 { 0xfe20, 0xfe2f, 0 },
		{ 0xfe30, 0xfe6f, 2 },	 { 0xff00, 0xff60, 2 },
		{ 0xffe0, 0xffe6, 2 },	 { 0x1f300, 0x1f64f, 2 },
		{ 0x1f680, 0x1f6ff, 2 }, { 0x1f900, 0x1faff, 2 },
		{ 0x20000, 0x3fffd, 2 }, { 0xe0100, 0xe01ef, 0 },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return ranges[i].columns;
	return 1;
}

size_t render_width(const char *text, size_t n)
{
	size_t columns = 0;

	while (n > 0) {
		uint32_t c;
		const size_t len = decode(text, n, &c);

		columns += columns_of(c);
		text += len;
		n -= len;
	}
	return columns;
}

void render_age(struct instant now, struct instant t, char out[32])
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = { { 365LL * 86400, "y" },
		      { 86400, "d" },
		      { 3600, "h" },
		      { 60, "min" } };
	const int64_t ms = instant_ms_between(t, now);
	const bool past = ms >= 0;
	const int64_t s = (past ? ms : -ms) / 1000;

	if (s < 5) {
		(void)snprintf(out, 32, "now");
		return;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		/* From two of a unit on, so that 25 h stays 25 h. */
		if (s >= 2 * units[i].seconds) {
			(void)snprintf(out, 32, "%s%jd %s%s", past ? "" : "in ",
				       (intmax_t)(s / units[i].seconds),
				       units[i].unit, past ? " ago" : "");
			return;
		}
	(void)snprintf(out, 32, "%s%jd s%s", past ? "" : "in ", (intmax_t)s,
		       past ? " ago" : "");
}

static int add_time(const struct render_style *style, enum cell_type type,
		    const char *text, struct buf *out, struct err *e)
{
	struct instant t;
	struct err ignored;
	char shown[INSTANT_TEXT];
	char *letter;

	if (instant_parse(text, &t, &ignored) < 0)
		return render_escape(text, strlen(text), false, out, e);
	if (type == CELL_AGE) {
		render_age(style->now, t, shown);
		return buf_add_str(out, shown, e);
	}
	t.nsec = 0;
	instant_format(t, shown);
	letter = strchr(shown, 'T');
	if (letter)
		*letter = ' ';
	return buf_add_str(out, shown, e);
}

/* "12,345,678" */
static int add_count(int64_t v, struct buf *out, struct err *e)
{
	char digits[24];
	size_t n;

	(void)snprintf(digits, sizeof(digits), "%jd", (intmax_t)v);
	n = strlen(digits);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0 && digits[i - 1] != '-' &&
		    buf_add_byte(out, ',', e) < 0)
			return -1;
		if (buf_add_byte(out, (uint8_t)digits[i], e) < 0)
			return -1;
	}
	return 0;
}

/* "-rwsr-xr-x" from the bits of st_mode; without its type "rwsr-xr-x". */
static int add_mode(int64_t mode, struct buf *out, struct err *e)
{
	static const char types[] = "?pc?d?b?-?l?s???";
	char text[11];

	text[0] = types[(mode >> 12) & 15];
	for (int i = 0; i < 9; i++)
		text[1 + i] = (char)((mode >> (8 - i)) & 1 ? "rwx"[i % 3]
							   : '-');
	if (mode & 04000)
		text[3] = text[3] == 'x' ? 's' : 'S';
	if (mode & 02000)
		text[6] = text[6] == 'x' ? 's' : 'S';
	if (mode & 01000)
		text[9] = text[9] == 'x' ? 't' : 'T';
	return mode >> 12 ? buf_add(out, text, 10, e)
			  : buf_add(out, text + 1, 9, e);
}

/* As long as milliseconds fit an int64_t. */
#define SECONDS_MAX 9e15

static int add_seconds(double s, struct buf *out, struct err *e)
{
	char text[INSTANT_TEXT];

	if (s < 60 && s > -60)
		return buf_addf(out, e, "%.1f s", s);
	if (!(s < SECONDS_MAX && s > -SECONDS_MAX))
		return buf_addf(out, e, "%.0f s", s);
	instant_duration_format((int64_t)s * 1000, text);
	return buf_add_str(out, text, e);
}

/* What lies beyond is no number of anything of ours. */
static int64_t whole_of(const json_t *value)
{
	const double d = json_number_value(value);

	if (json_is_integer(value))
		return (int64_t)json_integer_value(value);
	return d > -9.2e18 && d < 9.2e18 ? (int64_t)d
	       : d > 0			 ? INT64_MAX
					 : INT64_MIN;
}

static int add_number(enum cell_type type, const json_t *value, struct buf *out,
		      struct err *e)
{
	const int64_t v = whole_of(value);
	char text[16];

	switch (type) {
	case CELL_SIZE:
		if (v < 0)
			break;
		text_size((uint64_t)v, text);
		return buf_add_str(out, text, e);
	case CELL_COUNT:
		return add_count(v, out, e);
	case CELL_MODE:
		return add_mode(v, out, e);
	case CELL_SECONDS:
		return add_seconds(json_number_value(value), out, e);
	default:
		break;
	}
	if (json_is_integer(value))
		return buf_addf(out, e, "%jd", (intmax_t)v);
	return buf_addf(out, e, "%.3f", json_real_value(value));
}

static int add_list(const struct render_style *style, const json_t *list,
		    struct buf *out, struct err *e)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);

		if (i > 0 && buf_add_str(out, ", ", e) < 0)
			return -1;
		if (render_value(style, CELL_TEXT, item, out, e) < 0)
			return -1;
	}
	return json_array_size(list) ? 0 : buf_add_str(out, "-", e);
}

/* An object inside a cell: its values, "keep-daily 2026-01-03". */
static int add_values(const struct render_style *style, const json_t *object,
		      struct buf *out, struct err *e)
{
	const size_t start = out->len;

	for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
	     i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
		const json_t *value = json_object_iter_value(i);
		const char *text = json_string_value(value);

		if (json_is_null(value) || (text && !*text))
			continue;
		if (out->len > start && buf_add_byte(out, ' ', e) < 0)
			return -1;
		if (render_value(style, CELL_TEXT, value, out, e) < 0)
			return -1;
	}
	return out->len > start ? 0 : buf_add_str(out, "-", e);
}

static int add_fields(const struct render_style *style, const json_t *object,
		      struct buf *out, struct err *e);

/* A value beside its key: what it holds stands in brackets. */
static int add_field(const struct render_style *style, const json_t *value,
		     struct buf *out, struct err *e)
{
	if (json_is_object(value))
		return buf_add_byte(out, '{', e) < 0 ||
				       add_fields(style, value, out, e) < 0 ||
				       buf_add_byte(out, '}', e) < 0
			       ? -1
			       : 0;
	/* As a manifest spells it. */
	if (json_is_boolean(value))
		return buf_add_str(out, json_is_true(value) ? "true" : "false",
				   e);
	if (!json_is_array(value))
		return render_value(style, CELL_TEXT, value, out, e);
	if (buf_add_byte(out, '[', e) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(value); i++)
		if ((i > 0 && buf_add_str(out, ", ", e) < 0) ||
		    add_field(style, json_array_get(value, i), out, e) < 0)
			return -1;
	return buf_add_byte(out, ']', e);
}

/* "cron: 30 2 * * *, sources: {names: [web]}" */
static int add_fields(const struct render_style *style, const json_t *object,
		      struct buf *out, struct err *e)
{
	bool first = true;

	for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
	     i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
		const char *key = json_object_iter_key(i);

		if ((!first && buf_add_str(out, ", ", e) < 0) ||
		    render_name(key, strlen(key), out, e) < 0 ||
		    buf_add_str(out, ": ", e) < 0 ||
		    add_field(style, json_object_iter_value(i), out, e) < 0)
			return -1;
		first = false;
	}
	return 0;
}

int render_value(const struct render_style *style, enum cell_type type,
		 const json_t *value, struct buf *out, struct err *e)
{
	const char *text = json_string_value(value);

	if (!value || json_is_null(value))
		return buf_add_str(out, "-", e);
	if (text && (type == CELL_AGE || type == CELL_TIME))
		return add_time(style, type, text, out, e);
	if (text)
		return render_name(text,
				   type == CELL_SHORT && strlen(text) > 8
					   ? 8
					   : json_string_length(value),
				   out, e);
	if (type == CELL_FIELDS && json_is_object(value) &&
	    json_object_size(value) > 0)
		return add_fields(style, value, out, e);
	if (json_is_boolean(value))
		return buf_add_str(out, json_is_true(value) ? "yes" : "no", e);
	if (json_is_number(value))
		return add_number(type, value, out, e);
	if (json_is_array(value))
		return add_list(style, value, out, e);
	return add_values(style, value, out, e);
}

static int add_bytes(const char *name, const json_t *value, struct buf *out,
		     struct err *e)
{
	char *bytes = malloc(json_string_length(value) + 1);
	ptrdiff_t n;
	int status;

	if (!bytes)
		return err_oom(e);
	n = text_unbase64(json_string_value(value), json_string_length(value),
			  bytes);
	status = n < 0 ? err_set(e, ERR_CORRUPT, "%s is not base64", name)
		       : render_name(bytes, (size_t)n, out, e);
	free(bytes);
	return status;
}

/* A list whose other part, which is not UTF-8, is under "<key>_b64". */
static int add_both_lists(const struct render_style *style, const json_t *texts,
			  const char *name, const json_t *others,
			  struct buf *out, struct err *e)
{
	bool first = json_array_size(texts) == 0;

	if (!first && add_list(style, texts, out, e) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(others); i++) {
		const json_t *value = json_array_get(others, i);

		if (!json_is_string(value))
			return err_set(e, ERR_CORRUPT, "%s is no list of names",
				       name);
		if ((!first && buf_add_str(out, ", ", e) < 0) ||
		    add_bytes(name, value, out, e) < 0)
			return -1;
		first = false;
	}
	return 1;
}

/* The bytes under "<key>_b64", escaped; 0 when there is no such key. */
static int add_base64(const struct render_style *style, const json_t *object,
		      const char *key, struct buf *out, struct err *e)
{
	const json_t *plain = json_object_get(object, key);
	const json_t *value;
	char name[72];

	(void)snprintf(name, sizeof(name), "%s_b64", key);
	value = json_object_get(object, name);
	if (json_is_array(plain) && json_array_size(value) > 0)
		return add_both_lists(style, plain, name, value, out, e);
	if (plain || !json_is_string(value))
		return 0;
	return add_bytes(name, value, out, e) < 0 ? -1 : 1;
}

int render_cell(const struct render_style *style,
		const struct render_column *column, const json_t *object,
		struct buf *out, struct err *e)
{
	const json_t *value = render_find(object, column->key);
	const int decoded = add_base64(style, object, column->key, out, e);

	if (decoded != 0)
		return decoded < 0 ? -1 : 0;
	return render_value(style, column->type, value, out, e);
}
