#include "storage/sources/exclude.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/*
 * A pattern is compiled to tokens, one for each byte it matches: below 256
 * the byte itself, from T_SET on a set of bytes.
 */
enum {
	T_ANY = 256, /* ? */
	T_STAR,	     /* any bytes of one component */
	T_SLASH,
	T_DEEP, /* any components; a component of its own */
	T_SET,
};

struct byte_set {
	uint64_t bits[4];
};

struct pattern {
	bool negated;
	bool folders_only;
	bool anchored; /* matches the whole path, else the last component */
	size_t n;
	uint16_t *tokens; /* in one block with what follows */
	struct byte_set *sets;
};

struct exclude {
	struct pattern **patterns;
	size_t n, cap;
};

int exclude_new(struct exclude **ret, struct err *e)
{
	struct exclude *set = calloc(1, sizeof(*set));

	if (!set)
		return err_oom(e);
	*ret = set;
	return 0;
}

void exclude_free(struct exclude *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++)
		free(set->patterns[i]);
	free(set->patterns);
	free(set);
}

bool exclude_empty(const struct exclude *set)
{
	return set->n == 0;
}

static void set_add(struct byte_set *set, unsigned int byte)
{
	set->bits[byte / 64] |= (uint64_t)1 << byte % 64;
}

static bool set_has(const struct byte_set *set, unsigned int byte)
{
	return set->bits[byte / 64] >> byte % 64 & 1;
}

static bool is_in(unsigned int c, unsigned int low, unsigned int high)
{
	return c >= low && c <= high;
}

/* The bytes of ASCII that belong to a class of POSIX. */
enum class_bits {
	C_LOWER = 1,
	C_UPPER = 2,
	C_DIGIT = 4,
	C_HEX = 8, /* the letters of hexadecimal digits */
	C_PUNCT = 16,
	C_SPACE = 32,
	C_BLANK = 64,
	C_CNTRL = 128,
	C_SPACE_BAR = 256,
};

static unsigned int bits_of(unsigned int c)
{
	unsigned int bits = 0;

	if (is_in(c, 'a', 'z'))
		bits |= C_LOWER;
	else if (is_in(c, 'A', 'Z'))
		bits |= C_UPPER;
	else if (is_in(c, '0', '9'))
		bits |= C_DIGIT;
	else if (is_in(c, '!', '~'))
		bits |= C_PUNCT;
	if (is_in(c | 0x20, 'a', 'f'))
		bits |= C_HEX;
	if (c == ' ')
		bits |= C_SPACE_BAR;
	if (c == ' ' || is_in(c, '\t', '\r'))
		bits |= C_SPACE;
	if (c == ' ' || c == '\t')
		bits |= C_BLANK;
	if (c < ' ' || c == 0x7f)
		bits |= C_CNTRL;
	return bits;
}

static const struct {
	const char *name;
	unsigned int bits;
} classes[] = {
	{ "alnum", C_LOWER | C_UPPER | C_DIGIT },
	{ "alpha", C_LOWER | C_UPPER },
	{ "blank", C_BLANK },
	{ "cntrl", C_CNTRL },
	{ "digit", C_DIGIT },
	{ "graph", C_LOWER | C_UPPER | C_DIGIT | C_PUNCT },
	{ "lower", C_LOWER },
	{ "print", C_LOWER | C_UPPER | C_DIGIT | C_PUNCT | C_SPACE_BAR },
	{ "punct", C_PUNCT },
	{ "space", C_SPACE },
	{ "upper", C_UPPER },
	{ "xdigit", C_DIGIT | C_HEX },
};

static bool add_class(struct byte_set *set, const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strlen(classes[i].name) != n ||
		    memcmp(classes[i].name, name, n) != 0)
			continue;
		for (unsigned int c = 0; c < 128; c++)
			if (bits_of(c) & classes[i].bits)
				set_add(set, c);
		return true;
	}
	return false;
}

/* A pattern being compiled: text from at to end. */
struct parser {
	const uint8_t *at;
	const uint8_t *end;
	struct pattern *p;
	size_t sets;
};

/* The text of "[:class:]" at the parser, or NULL. */
static const uint8_t *class_end(const struct parser *c)
{
	const uint8_t *close;

	if (c->end - c->at < 4 || c->at[0] != '[' || c->at[1] != ':')
		return NULL;
	close = memchr(c->at + 2, ']', (size_t)(c->end - c->at) - 2);
	return close && close > c->at + 2 && close[-1] == ':' ? close : NULL;
}

/* One byte of a set, unescaped; -1 when the text ends. */
static int set_byte(struct parser *c)
{
	if (c->at < c->end && *c->at == '\\')
		c->at++;
	return c->at < c->end ? *c->at++ : -1;
}

/*
 * One item of a set: a byte, a range or a class.  *last is the byte that a
 * range may begin with, or -1 after a range or class.
 */
static const char *set_item(struct parser *c, struct byte_set *set, int *last)
{
	const uint8_t *close = class_end(c);
	int high;

	if (close) {
		const char *name = (const char *)c->at + 2;
		const size_t n = (size_t)(close - c->at) - 3;

		c->at = close + 1;
		*last = -1;
		return add_class(set, name, n) ? NULL
					       : "names an unknown class";
	}
	if (*c->at == '-' && *last >= 0 && c->end - c->at > 1 &&
	    c->at[1] != ']') {
		c->at++;
		high = set_byte(c);
		for (int b = *last; b <= high; b++)
			set_add(set, (unsigned int)b);
		*last = -1;
		return high < 0 ? "has no closing ]" : NULL;
	}
	*last = set_byte(c);
	if (*last < 0)
		return "has no closing ]";
	set_add(set, (unsigned int)*last);
	return NULL;
}

/* The set after its "[": NULL, or what is wrong with the pattern. */
static const char *parse_set(struct parser *c)
{
	struct byte_set *set = &c->p->sets[c->sets];
	bool negated = false;
	bool first = true;
	int last = -1;

	if (c->at < c->end && (*c->at == '!' || *c->at == '^')) {
		negated = true;
		c->at++;
	}
	for (; first || c->at >= c->end || *c->at != ']'; first = false) {
		const char *wrong = "has no closing ]";

		if (c->at < c->end)
			wrong = set_item(c, set, &last);
		if (wrong)
			return wrong;
	}
	c->at++;
	for (size_t i = 0; negated && i < 4; i++)
		set->bits[i] = ~set->bits[i];
	c->p->tokens[c->p->n++] = (uint16_t)(T_SET + c->sets++);
	return NULL;
}

/* Asterisks: several are more than one only as a whole component. */
static void parse_stars(struct parser *c)
{
	struct pattern *p = c->p;
	const bool starts = p->n == 0 || p->tokens[p->n - 1] == T_SLASH;
	size_t n = 0;

	for (; c->at < c->end && *c->at == '*'; c->at++)
		n++;
	if (n > 1 && starts && p->anchored &&
	    (c->at == c->end || *c->at == '/'))
		p->tokens[p->n++] = T_DEEP;
	else
		p->tokens[p->n++] = T_STAR;
}

/* Everything: NULL, or what is wrong with the pattern. */
static const char *parse(struct parser *c)
{
	while (c->at < c->end) {
		struct pattern *p = c->p;
		const char *wrong;

		switch (*c->at) {
		case '*':
			parse_stars(c);
			continue;
		case '[':
			c->at++;
			wrong = parse_set(c);
			if (wrong)
				return wrong;
			continue;
		case '?':
			p->tokens[p->n++] = T_ANY;
			break;
		case '/':
			p->tokens[p->n++] = T_SLASH;
			break;
		case '\\':
			if (++c->at == c->end)
				return "ends with a backslash";
			p->tokens[p->n++] = *c->at == '/' ? T_SLASH : *c->at;
			break;
		default:
			p->tokens[p->n++] = *c->at;
		}
		c->at++;
	}
	return NULL;
}

/* The length of line without spaces at its end that no backslash keeps. */
static size_t trimmed_length(const char *line)
{
	size_t n = 0;
	size_t kept = 0;

	while (line[n]) {
		const bool escaped = line[n] == '\\' && line[n + 1];

		n += escaped ? 2 : 1;
		if (escaped || line[n - 1] != ' ')
			kept = n;
	}
	return kept;
}

static int grow(struct exclude *set, struct err *e)
{
	const size_t cap = set->cap ? set->cap * 2 : 8;
	struct pattern **more;

	if (set->n == EXCLUDE_COUNT_MAX)
		return err_set(e, ERR_USAGE, "more than %d patterns",
			       EXCLUDE_COUNT_MAX);
	if (set->n < set->cap)
		return 0;
	more = reallocarray(set->patterns, cap, sizeof(struct pattern *));
	if (!more)
		return err_oom(e);
	set->patterns = more;
	set->cap = cap;
	return 0;
}

/* Room for a pattern of n bytes: a token for each, a set for each "[". */
static struct pattern *pattern_new(const char *text, size_t n)
{
	size_t sets = 0;
	struct pattern *p;

	for (size_t i = 0; i < n; i++)
		sets += text[i] == '[';
	p = calloc(1, sizeof(*p) + sets * sizeof(struct byte_set) +
			      n * sizeof(uint16_t));
	if (!p)
		return NULL;
	p->sets = (struct byte_set *)(p + 1);
	p->tokens = (uint16_t *)(p->sets + sets);
	return p;
}

static int compile(struct pattern *p, const char *text, size_t n, struct err *e)
{
	struct parser c = { .p = p };
	const char *wrong;

	c.at = (const uint8_t *)text;
	c.end = c.at + n;
	p->anchored = memchr(text, '/', n) != NULL;
	if (*c.at == '/')
		c.at++;
	wrong = parse(&c);
	if (wrong)
		return err_set(e, ERR_USAGE, "pattern %s %s",
			       text_quote(text, n).s, wrong);
	assert(p->n <= n);
	return 0;
}

int exclude_add(struct exclude *set, const char *line, struct err *e)
{
	const char *text = line;
	struct pattern *p;
	size_t n;
	bool negated;
	bool folders_only;

	if (strlen(line) > EXCLUDE_PATTERN_MAX)
		return err_set(e, ERR_USAGE,
			       "pattern %s is longer than %d bytes",
			       text_quote_str(line).s, EXCLUDE_PATTERN_MAX);
	if (line[0] == '#')
		return 0;
	n = trimmed_length(line);
	negated = n > 0 && text[0] == '!';
	text += negated;
	n -= negated;
	folders_only = n > 0 && text[n - 1] == '/';
	n -= folders_only;
	if (n == 0) /* blank, or "/": the root is never excluded */
		return 0;
	if (grow(set, e) < 0)
		return -1;
	p = pattern_new(text, n);
	if (!p)
		return err_oom(e);
	p->negated = negated;
	p->folders_only = folders_only;
	if (compile(p, text, n, e) < 0) {
		free(p);
		return -1;
	}
	set->patterns[set->n++] = p;
	return 0;
}

static bool token_matches(const struct pattern *p, uint16_t token, uint8_t byte)
{
	if (token < 256)
		return token == byte;
	if (token >= T_SET)
		return set_has(&p->sets[token - T_SET], byte);
	return token == T_ANY;
}

/*
 * Tokens [t, t_end) against one component.  When something does not fit, only
 * the last star needs to take one byte more: what an earlier one could take
 * instead, the last can take as well.
 */
static bool component_matches(const struct pattern *p, size_t t, size_t t_end,
			      const char *s, const char *end)
{
	size_t star = SIZE_MAX; /* the token after the last star */
	const char *taken = s;	/* the end of what that star has taken */

	for (;;) {
		if (t < t_end && p->tokens[t] == T_STAR) {
			star = ++t;
			taken = s;
		} else if (s < end && t < t_end &&
			   token_matches(p, p->tokens[t], (uint8_t)*s)) {
			s++;
			t++;
		} else if (s == end && t == t_end) {
			return true;
		} else if (star != SIZE_MAX && taken < end) {
			s = ++taken;
			t = star;
		} else {
			return false;
		}
	}
}

static size_t component_end(const struct pattern *p, size_t t)
{
	while (t < p->n && p->tokens[t] != T_SLASH)
		t++;
	return t;
}

static const char *next_slash(const char *s, const char *end)
{
	const char *slash = memchr(s, '/', (size_t)(end - s));

	return slash ? slash : end;
}

/*
 * The whole path, component by component; T_DEEP is to components what a star
 * is to bytes.  A position one beyond the end means that none is left.
 */
static bool path_matches(const struct pattern *p, const char *s,
			 const char *end)
{
	size_t t = 0;
	size_t deep = SIZE_MAX; /* the component after the last T_DEEP */
	const char *taken = s;	/* the component behind what that has taken */

	while (s <= end) {
		const char *s_end = next_slash(s, end);
		const size_t t_end = t <= p->n ? component_end(p, t) : t;

		if (t < p->n && p->tokens[t] == T_DEEP) {
			if (t_end == p->n)
				return true;
			t = deep = t_end + 1;
			taken = s;
			continue;
		}
		if (t <= p->n && component_matches(p, t, t_end, s, s_end)) {
			s = s_end + 1;
			t = t_end + 1;
			if (s > end && t > p->n)
				return true;
			continue;
		}
		if (deep == SIZE_MAX)
			return false;
		taken = next_slash(taken, end) + 1;
		s = taken;
		t = deep;
	}
	return false;
}

static bool pattern_matches(const struct pattern *p, const char *path,
			    size_t len, bool is_folder)
{
	const char *slash;

	if (p->folders_only && !is_folder)
		return false;
	if (p->anchored)
		return path_matches(p, path, path + len);
	slash = memrchr(path, '/', len);
	return component_matches(p, 0, p->n, slash ? slash + 1 : path,
				 path + len);
}

enum exclude_verdict exclude_verdict(const struct exclude *set,
				     const char *path, size_t len,
				     bool is_folder)
{
	if (len == 0)
		return EXCLUDE_NONE;
	for (size_t i = set->n; i-- > 0;)
		if (pattern_matches(set->patterns[i], path, len, is_folder))
			return set->patterns[i]->negated ? EXCLUDE_NO
							 : EXCLUDE_YES;
	return EXCLUDE_NONE;
}

bool exclude_match(const struct exclude *set, const char *path, size_t len,
		   bool is_folder)
{
	for (size_t n = 0; n < len; n++)
		if (path[n] == '/' &&
		    exclude_verdict(set, path, n, true) == EXCLUDE_YES)
			return true;
	return exclude_verdict(set, path, len, is_folder) == EXCLUDE_YES;
}

bool exclude_picks(const struct exclude *set, const char *path, size_t len,
		   bool is_folder)
{
	while (len > 0) {
		const enum exclude_verdict v = exclude_verdict(set, path, len,
							       is_folder);
		const char *slash;

		if (v != EXCLUDE_NONE)
			return v == EXCLUDE_YES;
		slash = memrchr(path, '/', len);
		len = slash ? (size_t)(slash - path) : 0;
		is_folder = true;
	}
	return false;
}

/* How many bytes of path root takes, its slash included; 0: not below. */
static size_t bytes_of_root(const char *root, const char *path, size_t len)
{
	size_t n;

	root += root[0] == '/';
	n = strlen(root);
	while (n > 0 && root[n - 1] == '/')
		n--;
	if (n == 0)
		return 1;
	if (len <= n + 1 || memcmp(path, root, n) != 0 || path[n] != '/')
		return 0;
	return n + 2;
}

bool exclude_below(const void *scope, const char *path, size_t len,
		   bool is_folder)
{
	const struct exclude_scope *s = scope;
	size_t below = SIZE_MAX;

	/* Both with and without the slash in front, as the root may be. */
	if (len > 0 && path[0] == '/') {
		path++;
		len--;
	}
	for (;;) {
		enum exclude_verdict verdict;
		size_t longest = 0;

		for (size_t i = 0; i < s->root_count; i++) {
			const size_t n = bytes_of_root(s->roots[i], path, len);

			if (n > longest && n < below)
				longest = n;
		}
		if (longest == 0)
			return false;
		/* It counts from one, so that "/" is a root. */
		verdict = exclude_verdict(s->set, path + longest - 1,
					  len - longest + 1, is_folder);
		if (verdict != EXCLUDE_NONE)
			return verdict == EXCLUDE_YES;
		below = longest;
	}
}
