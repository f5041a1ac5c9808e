#include "service/yaml.h"

#include <assert.h>
#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/arena.h"

/* YAML_NODES nodes and the text, with some room: about 10 MiB. */
#define ARENA_MAX ((size_t)16 << 20)

struct yaml {
	struct arena arena;
	const char *label;
	struct yaml_node *documents; /* linked by next */
	size_t count;
};

/* A list or map that is not closed yet. */
struct level {
	struct yaml_node *node;
	struct yaml_node *last;
	/* In a map, the key that waits for its value. */
	const char *key;
	uint32_t key_line, key_column;
};

struct reader {
	struct yaml *y;
	struct problem_list *problems;
	struct err *e;
	const char *text; /* all of it */
	size_t text_len;
	struct fy_parser *parser;
	struct fy_diag *diag;
	struct level levels[YAML_DEPTH];
	unsigned int depth;
	unsigned int nodes;
	struct yaml_node *root, *last_root;
	/* Where the last event that had a place stood. */
	uint32_t line, column;
};

static struct problem_place here(const struct reader *r)
{
	return (struct problem_place){ r->y->label, r->line, r->column };
}

/* Say that the problem just added ends the reading. */
static int refuse(struct reader *r)
{
	return err_set(r->e, ERR_USAGE, "%s is not what is expected",
		       text_quote_str(r->y->label).s);
}

/* ---- Bytes, before libfyaml sees them ---------------------------------- */

static bool allowed_byte(uint8_t c)
{
	return c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
}

static size_t character(const uint8_t *p, size_t n)
{
	for (size_t k = 1; k <= 4 && k <= n; k++)
		if (text_is_utf8(p, k))
			return k;
	return 0;
}

/* libfyaml takes a byte that is not UTF-8 for the end of the value. */
static int check_line(struct reader *r, const uint8_t *p, size_t n)
{
	r->column = 1;
	for (size_t i = 0; i < n; r->column++) {
		size_t k = character(p + i, n - i);

		if (k == 0) {
			problem_add(r->problems, here(r),
				    "found the byte 0x%02x, which is not "
				    "UTF-8",
				    p[i]);
			problem_mend(r->problems, "save the file as UTF-8");
			return refuse(r);
		}
		if (!allowed_byte(p[i])) {
			problem_add(r->problems, here(r),
				    "found the control byte 0x%02x, expected "
				    "text",
				    p[i]);
			return refuse(r);
		}
		i += k;
	}
	return 0;
}

static bool plain_line(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!allowed_byte(p[i]))
			return false;
	return text_is_utf8(p, n);
}

static int check_bytes(struct reader *r, const uint8_t *p, size_t n)
{
	r->line = 1;
	r->column = 1;
	if (n > YAML_BYTES) {
		r->line = r->column = 0;
		problem_add(r->problems, here(r),
			    "found %zu bytes, expected at most %zu", n,
			    YAML_BYTES);
		return refuse(r);
	}
	while (n > 0) {
		const uint8_t *end = memchr(p, '\n', n);
		size_t k = end ? (size_t)(end - p) : n;

		if (!plain_line(p, k))
			return check_line(r, p, k);
		r->line++;
		p += k;
		n -= k;
		if (n > 0) {
			p++;
			n--;
		}
	}
	r->line = 1;
	return 0;
}

/* ---- Scalars by the core schema ----------------------------------------- */

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

static bool digits_only(const char *s, const char *digits)
{
	return *s && s[strspn(s, digits)] == '\0';
}

/* true and the value; numbers beyond 64 bits are none. */
static bool is_int(const char *s, int64_t *ret)
{
	const char *body = s[0] == '-' || s[0] == '+' ? s + 1 : s;
	long long v;
	int base;

	if (digits_only(body, "0123456789"))
		base = 10;
	else if (strncmp(s, "0o", 2) == 0 && digits_only(s + 2, "01234567"))
		base = 8;
	else if (strncmp(s, "0x", 2) == 0 &&
		 digits_only(s + 2, "0123456789abcdefABCDEF"))
		base = 16;
	else
		return false;
	errno = 0;
	v = strtoll(base == 10 ? s : s + 2, NULL, base);
	if (errno != 0)
		return false;
	*ret = v;
	return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *s)
{
	static const char *const words[] = { ".inf",  ".Inf",  ".INF",	"-.inf",
					     "-.Inf", "-.INF", "+.inf", "+.Inf",
					     "+.INF", ".nan",  ".NaN",	".NAN",
					     NULL };
	size_t before, after = 0;

	if (one_of(s, words))
		return true;
	if (*s == '-' || *s == '+')
		s++;
	before = strspn(s, "0123456789");
	s += before;
	if (*s == '.') {
		after = strspn(s + 1, "0123456789");
		s += 1 + after;
	}
	if (before + after == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '-' || *s == '+')
			s++;
		return digits_only(s, "0123456789");
	}
	return *s == '\0';
}

static void resolve(struct yaml_node *node)
{
	static const char *const nulls[] = { "",     "~",    "null",
					     "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };

	if (one_of(node->text, nulls)) {
		node->kind = YAML_NULL;
	} else if (one_of(node->text, trues)) {
		node->kind = YAML_BOOL;
		node->boolean = true;
	} else if (one_of(node->text, falses)) {
		node->kind = YAML_BOOL;
	} else if (is_int(node->text, &node->number)) {
		node->kind = YAML_INT;
	} else if (is_float(node->text)) {
		node->kind = YAML_FLOAT;
	}
}

/* The core tags; which kind of value each stands before. */
static const struct {
	const char *tag;
	enum yaml_kind kind;
} core_tags[] = {
	{ "tag:yaml.org,2002:null", YAML_NULL },
	{ "tag:yaml.org,2002:bool", YAML_BOOL },
	{ "tag:yaml.org,2002:int", YAML_INT },
	{ "tag:yaml.org,2002:float", YAML_FLOAT },
	{ "tag:yaml.org,2002:str", YAML_TEXT },
	{ "tag:yaml.org,2002:seq", YAML_LIST },
	{ "tag:yaml.org,2002:map", YAML_MAP },
};

/* 1 and the kind that the event's tag names, 0 without a tag. */
static int tag_of(struct reader *r, struct fy_event *ev, enum yaml_kind *ret)
{
	struct fy_token *token = fy_event_get_tag_token(ev);
	size_t n = 0;
	const char *tag;

	if (token == NULL)
		return 0;
	tag = fy_token_get_text(token, &n);
	for (size_t i = 0; tag && i < sizeof(core_tags) / sizeof(*core_tags);
	     i++) {
		if (strlen(core_tags[i].tag) != n ||
		    memcmp(core_tags[i].tag, tag, n) != 0)
			continue;
		*ret = core_tags[i].kind;
		return 1;
	}
	problem_add(r->problems, here(r),
		    "found the tag %s, expected none, or one of the core "
		    "schema as !!str",
		    text_quote(tag ? tag : "", tag ? n : 0).s);
	return refuse(r);
}

static int check_tag(struct reader *r, struct fy_event *ev,
		     struct yaml_node *node)
{
	enum yaml_kind want = node->kind;
	int got = tag_of(r, ev, &want);

	if (got <= 0)
		return got;
	if (want == YAML_TEXT && node->kind < YAML_LIST) {
		node->kind = YAML_TEXT;
		return 0;
	}
	if (want == YAML_FLOAT && node->kind == YAML_INT)
		return 0;
	if (want == node->kind)
		return 0;
	problem_add(r->problems, here(r),
		    "found %s, which its tag does not "
		    "allow",
		    yaml_found(node).s);
	return refuse(r);
}

/* ---- The tree ------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	int c = strcmp(x->key, y->key);

	if (c != 0)
		return c;
	if (x->key_line != y->key_line)
		return x->key_line < y->key_line ? -1 : 1;
	return (x->key_column > y->key_column) -
	       (x->key_column < y->key_column);
}

/* By sorting, for a map may have as many keys as there are nodes. */
static int check_duplicates(struct reader *r, const struct yaml_node *map)
{
	const struct yaml_node **all, *child = map->first;
	const struct yaml_node *second = NULL, *first = NULL;

	if (map->count < 2)
		return 0;
	all = calloc(map->count, sizeof(*all));
	if (all == NULL)
		return err_oom(r->e);
	for (size_t i = 0; i < map->count; i++, child = child->next)
		all[i] = child;
	qsort(all, map->count, sizeof(*all), by_key);
	for (size_t i = 1; i < map->count; i++) {
		if (strcmp(all[i - 1]->key, all[i]->key) != 0)
			continue;
		if (second && all[i]->key_line > second->key_line)
			continue;
		first = all[i - 1];
		second = all[i];
	}
	free(all);
	if (second == NULL)
		return 0;
	problem_add(r->problems, yaml_key_place(r->y, second),
		    "found the key %s again, expected it once",
		    text_quote_str(second->key).s);
	problem_mend(r->problems, "it stands in line %u already",
		     first->key_line);
	return refuse(r);
}

static struct yaml_node *new_node(struct reader *r, enum yaml_kind kind)
{
	struct yaml_node *node;

	if (r->nodes++ >= YAML_NODES) {
		problem_add(r->problems, here(r),
			    "found more than %u values, expected fewer",
			    YAML_NODES);
		(void)refuse(r);
		return NULL;
	}
	node = arena_new(&r->y->arena, sizeof(*node), r->e);
	if (node == NULL)
		return NULL;
	node->kind = kind;
	node->text = "";
	node->line = r->line;
	node->column = r->column;
	return node;
}

static bool wants_key(const struct reader *r)
{
	const struct level *top;

	if (r->depth == 0)
		return false;
	top = &r->levels[r->depth - 1];
	return top->node->kind == YAML_MAP && top->key == NULL;
}

/* Hang a finished or opened value where it belongs. */
static void attach(struct reader *r, struct yaml_node *node)
{
	struct level *top;

	if (r->depth == 0) {
		r->root = node;
		return;
	}
	top = &r->levels[r->depth - 1];
	if (top->node->kind == YAML_MAP) {
		node->key = TAKE(top->key);
		node->key_line = top->key_line;
		node->key_column = top->key_column;
	}
	if (top->last)
		top->last->next = node;
	else
		top->node->first = node;
	top->last = node;
	top->node->count++;
}

static int open_level(struct reader *r, struct fy_event *ev,
		      enum yaml_kind kind)
{
	struct yaml_node *node;

	if (wants_key(r)) {
		problem_add(r->problems, here(r),
			    "found a list or map as a key, expected a name");
		return refuse(r);
	}
	if (r->depth == YAML_DEPTH) {
		problem_add(r->problems, here(r),
			    "found more than %u levels of nesting, expected "
			    "fewer",
			    YAML_DEPTH);
		return refuse(r);
	}
	node = new_node(r, kind);
	if (node == NULL || check_tag(r, ev, node) < 0)
		return -1;
	attach(r, node);
	r->levels[r->depth++] = (struct level){ .node = node };
	return 0;
}

static int close_level(struct reader *r)
{
	struct level *top = &r->levels[--r->depth];

	assert(top->node && top->key == NULL);
	return top->node->kind == YAML_MAP ? check_duplicates(r, top->node) : 0;
}

static int take_key(struct reader *r, const struct yaml_node *node, bool plain)
{
	struct level *top = &r->levels[r->depth - 1];

	if (plain && strcmp(node->text, "<<") == 0) {
		problem_add(r->problems, here(r),
			    "found a merge key, expected a name");
		problem_mend(r->problems, "write the merged keys out");
		return refuse(r);
	}
	if (node->kind == YAML_NULL) {
		problem_add(r->problems, here(r),
			    "found an empty key, expected a name");
		return refuse(r);
	}
	top->key = node->text;
	top->key_line = node->line;
	top->key_column = node->column;
	return 0;
}

/*
 * What stands between single quotes, when that is what libfyaml 0.7 loses
 * memory over: two doubled ones side by side.  NULL: it is not.
 */
static const char *find_doubled(const struct reader *r, struct fy_token *token,
				size_t *ret_n)
{
	const struct fy_mark *from = fy_token_start_mark(token);
	const struct fy_mark *to = fy_token_end_mark(token);

	if (fy_token_scalar_style(token) != FYSS_SINGLE_QUOTED || !from ||
	    !to || to->input_pos > r->text_len ||
	    from->input_pos > to->input_pos)
		return NULL;
	*ret_n = to->input_pos - from->input_pos;
	return memmem(r->text + from->input_pos, *ret_n, "''''", 4)
		       ? r->text + from->input_pos
		       : NULL;
}

/* Its text, which is the caller's to free; on one line only. */
static char *undouble(struct reader *r, const char *raw, size_t *n)
{
	char *text = malloc(*n + 1);
	size_t len = 0;

	if (!text) {
		(void)err_oom(r->e);
		return NULL;
	}
	if (memchr(raw, '\n', *n) || memchr(raw, '\r', *n)) {
		problem_add(r->problems, here(r),
			    "found '''' in a text of several lines, expected "
			    "that in double quotes only");
		(void)refuse(r);
		free(text);
		return NULL;
	}
	for (size_t i = 0; i < *n; i++) {
		text[len++] = raw[i];
		i += raw[i] == '\'';
	}
	*n = len;
	return text;
}

/* The text of a scalar into node. */
static int set_text(struct reader *r, struct fy_token *token,
		    struct yaml_node *node)
{
	const char *text = NULL;
	const char *raw = NULL;
	char *own = NULL;
	size_t n = 0;

	if (token)
		raw = find_doubled(r, token, &n);
	if (raw) {
		text = own = undouble(r, raw, &n);
		if (!text)
			return -1;
	} else if (token) {
		text = fy_token_get_text(token, &n);
		if (text == NULL && n > 0)
			return err_oom(r->e);
	}
	if (n > 0 && memchr(text, 0, n)) {
		problem_add(r->problems, here(r),
			    "found a NUL character in a text, expected none");
		free(own);
		return refuse(r);
	}
	node->text = arena_text(&r->y->arena, text, n, r->e);
	node->len = n;
	free(own);
	return node->text ? 0 : -1;
}

static int take_scalar(struct reader *r, struct fy_event *ev)
{
	struct fy_token *token = fy_event_get_token(ev);
	bool plain = fy_token_scalar_style(token) == FYSS_PLAIN;
	struct yaml_node *node = new_node(r, YAML_TEXT);

	if (node == NULL)
		return -1;
	/* An absent value stands where its key does. */
	if (fy_event_start_mark(ev) == NULL && r->depth > 0 &&
	    r->levels[r->depth - 1].key) {
		node->line = r->levels[r->depth - 1].key_line;
		node->column = r->levels[r->depth - 1].key_column;
	}
	if (set_text(r, token, node) < 0)
		return -1;
	if (plain)
		resolve(node);
	if (check_tag(r, ev, node) < 0)
		return -1;
	if (wants_key(r))
		return take_key(r, node, plain);
	attach(r, node);
	return 0;
}

static int begin_document(struct reader *r, struct fy_event *ev)
{
	struct fy_document_state *state = ev->document_start.document_state;
	const struct fy_version *v = NULL;

	r->root = NULL;
	if (state && fy_document_state_version_explicit(state))
		v = fy_document_state_version(state);
	if (v == NULL || (v->major == 1 && v->minor == 2))
		return 0;
	problem_add(r->problems, here(r),
		    "found YAML version %d.%d, expected 1.2", v->major,
		    v->minor);
	return refuse(r);
}

/* A document of comments only is one absent scalar: it does not count. */
static void end_document(struct reader *r)
{
	struct yaml_node *root = TAKE(r->root);

	if (root == NULL || (root->kind == YAML_NULL && root->len == 0))
		return;
	if (r->last_root)
		r->last_root->next = root;
	else
		r->y->documents = root;
	r->last_root = root;
	r->y->count++;
}

static int refuse_anchor(struct reader *r, const char *what)
{
	problem_add(r->problems, here(r), "found %s, expected a value", what);
	problem_mend(r->problems,
		     "anchors and aliases are not taken; write the value "
		     "out each time");
	return refuse(r);
}

/*
 * libfyaml's marks count from 0 and, for what begins with a quote, an
 * asterisk or an ampersand, stand behind that character: so the column is
 * right already.
 */
static void move_to(struct reader *r, const struct fy_mark *at, bool behind)
{
	if (at == NULL)
		return;
	r->line = (uint32_t)at->line + 1;
	r->column = (uint32_t)at->column + (behind && at->column > 0 ? 0 : 1);
}

static bool mark_is_behind(struct fy_event *ev)
{
	enum fy_scalar_style style;

	if (ev->type == FYET_ALIAS)
		return true;
	if (ev->type != FYET_SCALAR)
		return false;
	style = fy_token_scalar_style(fy_event_get_token(ev));
	return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

static int take_event(struct reader *r, struct fy_event *ev)
{
	struct fy_token *anchor = fy_event_get_anchor_token(ev);

	move_to(r, fy_event_start_mark(ev), mark_is_behind(ev));
	if (anchor) {
		move_to(r, fy_token_start_mark(anchor), true);
		return refuse_anchor(r, "an anchor");
	}
	switch (ev->type) {
	case FYET_ALIAS:
		return refuse_anchor(r, "an alias");
	case FYET_DOCUMENT_START:
		return begin_document(r, ev);
	case FYET_DOCUMENT_END:
		end_document(r);
		return 0;
	case FYET_SCALAR:
		return take_scalar(r, ev);
	case FYET_SEQUENCE_START:
		return open_level(r, ev, YAML_LIST);
	case FYET_MAPPING_START:
		return open_level(r, ev, YAML_MAP);
	case FYET_SEQUENCE_END:
	case FYET_MAPPING_END:
		return close_level(r);
	default:
		return 0;
	}
}

/* What libfyaml complains about, or that it just gave up. */
static int syntax_error(struct reader *r)
{
	struct fy_diag_error *d;
	void *walk = NULL;

	d = fy_diag_errors_iterate(r->diag, &walk);
	if (d && d->line > 0) {
		r->line = (uint32_t)d->line;
		r->column = d->column > 0 ? (uint32_t)d->column : 1;
	}
	problem_add(r->problems, here(r), "found what is no YAML: %s",
		    d && d->msg ? d->msg : "it cannot be read");
	return refuse(r);
}

static int read_events(struct reader *r)
{
	struct fy_event *ev;

	while ((ev = fy_parser_parse(r->parser)) != NULL) {
		int rc = take_event(r, ev);

		fy_parser_event_free(r->parser, ev);
		if (rc < 0)
			return -1;
	}
	if (fy_parser_get_stream_error(r->parser))
		return syntax_error(r);
	return 0;
}

static int read_text(struct reader *r, const void *text, size_t n)
{
	struct fy_diag_cfg diag = { 0 };
	struct fy_parse_cfg cfg = {
		.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
			 FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
	};
	int rc = -1;

	if (check_bytes(r, text, n) < 0)
		return -1;
	if (n == 0)
		return 0;
	r->text = text;
	r->text_len = n;
	fy_diag_cfg_default(&diag);
	diag.fp = NULL;
	diag.level = FYET_ERROR;
	r->diag = fy_diag_create(&diag);
	if (r->diag == NULL)
		return err_oom(r->e);
	fy_diag_set_collect_errors(r->diag, true);
	cfg.diag = r->diag;
	r->parser = fy_parser_create(&cfg);
	if (r->parser == NULL || fy_parser_set_string(r->parser, text, n) < 0)
		(void)err_oom(r->e);
	else
		rc = read_events(r);
	fy_parser_destroy(r->parser);
	fy_diag_destroy(r->diag);
	return rc;
}

int yaml_parse(const char *label, const void *text, size_t n, struct yaml **ret,
	       struct problem_list *problems, struct err *e)
{
	struct yaml *y = calloc(1, sizeof(*y));
	struct reader *r = calloc(1, sizeof(*r));
	int rc = -1;

	if (y == NULL || r == NULL) {
		free(r);
		free(y);
		return err_oom(e);
	}
	arena_init(&y->arena, ARENA_MAX);
	y->label = arena_text(&y->arena, label, strlen(label), e);
	r->y = y;
	r->problems = problems;
	r->e = e;
	if (y->label)
		rc = read_text(r, text, n);
	free(r);
	if (rc < 0) {
		yaml_free(y);
		return -1;
	}
	*ret = y;
	return 0;
}

void yaml_free(struct yaml *y)
{
	if (y == NULL)
		return;
	arena_done(&y->arena);
	free(y);
}

const char *yaml_label(const struct yaml *y)
{
	return y->label;
}

size_t yaml_count(const struct yaml *y)
{
	return y->count;
}

const struct yaml_node *yaml_document(const struct yaml *y, size_t n)
{
	const struct yaml_node *node = y->documents;

	assert(n < y->count);
	while (n-- > 0)
		node = node->next;
	return node;
}

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	if (node == NULL || node->kind != YAML_MAP)
		return NULL;
	for (node = node->first; node; node = node->next)
		if (strcmp(node->key, key) == 0)
			return node;
	return NULL;
}

struct problem_place yaml_place(const struct yaml *y,
				const struct yaml_node *node)
{
	return (struct problem_place){ y->label, node->line, node->column };
}

struct problem_place yaml_key_place(const struct yaml *y,
				    const struct yaml_node *node)
{
	if (node->key == NULL)
		return yaml_place(y, node);
	return (struct problem_place){ y->label, node->key_line,
				       node->key_column };
}

struct yaml_found yaml_found(const struct yaml_node *node)
{
	static const char *const words[] = { [YAML_NULL] = "nothing",
					     [YAML_LIST] = "a list",
					     [YAML_MAP] = "a map" };
	struct yaml_found f;

	switch (node->kind) {
	case YAML_TEXT:
		(void)snprintf(f.s, sizeof(f.s), "the text %s",
			       text_quote(node->text, node->len).s);
		break;
	case YAML_INT:
	case YAML_FLOAT:
		(void)snprintf(f.s, sizeof(f.s), "the number %.60s",
			       node->text);
		break;
	case YAML_BOOL:
		(void)snprintf(f.s, sizeof(f.s), "%s",
			       node->boolean ? "true" : "false");
		break;
	case YAML_LIST:
		(void)snprintf(f.s, sizeof(f.s), "%s",
			       node->count ? "a list" : "an empty list");
		break;
	default:
		(void)snprintf(f.s, sizeof(f.s), "%s", words[node->kind]);
	}
	return f;
}
