/* Secrets that are known by their names, and those of several lines. */
#include "service/mask_internal.h"

/* ---- Small things ------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

static bool is_any(char c, const char *of)
{
	return c && strchr(of, c);
}

static bool in_name(char c)
{
	return mask_is_alnum(c) || c == '_' || c == '-' || c == '.';
}

static size_t skip_blanks(const struct mask_line *l, size_t i)
{
	while (i < l->n && is_blank(l->s[i]))
		i++;
	return i;
}

/* Without blanks, and the \r of a DOS line, at its end. */
static size_t line_end(const struct mask_line *l)
{
	size_t n = l->n;

	while (n > 0 && is_blank(l->s[n - 1]))
		n--;
	return n;
}

static size_t find(const struct mask_line *l, size_t from, const char *what)
{
	const char *at = from < l->n ? memmem(l->s + from, l->n - from, what,
					      strlen(what))
				     : NULL;

	return at ? (size_t)(at - l->s) : l->n;
}

static void hide_all(struct mask_line *l)
{
	mask_line_hide(l, skip_blanks(l, 0), line_end(l));
}

/* ---- Keys between BEGIN and END ----------------------------------------- */

/* From where on: behind "----BEGIN " or "---- BEGIN " (word: "BEGIN "), or n.
 * The word is looked for and not both spellings of the whole: one that a line
 * does not have would be looked for to its end each time. */
static size_t find_dashed(const struct mask_line *l, size_t from,
			  const char *word)
{
	for (;;) {
		const size_t at = find(l, from, word);
		const size_t dashes = at - (at > from && at < l->n &&
					    l->s[at - 1] == ' ');

		if (at == l->n)
			return at;
		if (dashes >= from + 4 &&
		    memcmp(l->s + dashes - 4, "----", 4) == 0)
			return at + strlen(word);
		from = at + 1;
	}
}

/* Where the dashes before "END " begin. */
static size_t find_end(const struct mask_line *l, size_t from)
{
	size_t at = find_dashed(l, from, "END ");

	if (at == l->n)
		return at;
	at -= strlen("END ");
	at -= l->s[at - 1] == ' ';
	while (at > from && l->s[at - 1] == '-')
		at--;
	return at;
}

/* What everybody may see; all else that begins so is private. */
static bool is_public(const char *s, size_t n)
{
	static const char *const names[] = {
		"CERTIFICATE",
		"TRUSTED CERTIFICATE",
		"NEW CERTIFICATE",
		"X509",
		"PUBLIC KEY",
		"RSA PUBLIC KEY",
		"DSA PUBLIC",
		"EC PUBLIC",
		"SSH2 PUBLIC",
		"PGP PUBLIC",
		"PGP SIGNATURE",
		"DH PARAMETERS",
		"EC PARAM",
		"PKCS7",
		"CMS",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (n >= strlen(names[i]) &&
		    memcmp(s, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* From where a private key begins: to its end, or the line's. */
static size_t hide_block(struct mask_line *l, struct mask_state *s, size_t from)
{
	const size_t end = find_end(l, from);

	mask_line_hide(l, from, end < l->n ? end : line_end(l));
	s->in_private = end == l->n;
	return end;
}

/* The keys that begin on a line: there are several where \n is written out. */
static void look_for_begins(struct mask_line *l, struct mask_state *s,
			    size_t from)
{
	size_t public = l->n;

	while ((from = find_dashed(l, from, "BEGIN ")) < l->n) {
		if (is_public(l->s + from, l->n - from)) {
			public = from;
			continue;
		}
		public = l->n;
		from = find(l, from, "----");
		while (from < l->n && l->s[from] == '-')
			from++;
		from = hide_block(l, s, from);
	}
	if (public < l->n)
		s->in_public = find_end(l, public) == l->n;
}

static void look_for_keys(struct mask_line *l, struct mask_state *s)
{
	const size_t first = skip_blanks(l, 0);
	size_t from = 0;

	if (s->in_private)
		from = hide_block(l, s, first);
	if (s->in_private)
		return;
	if (s->in_public)
		s->in_public = find_end(l, 0) == l->n &&
			       mask_token_long(l->s + first, l->n - first) > 0;
	look_for_begins(l, s, from);
}

/* "Private-Lines: 8": of PuTTY. */
static void look_for_putty(const struct mask_line *l, struct mask_state *s)
{
	static const char name[] = "private-lines:";
	size_t i = sizeof(name) - 1;

	if (!mask_begins(l->s, l->n, name))
		return;
	s->rest = MASK_REST_COUNT;
	s->count = 0;
	for (i = skip_blanks(l, i);
	     i < l->n && l->s[i] >= '0' && l->s[i] <= '9' && s->count < 10000;
	     i++)
		s->count = 10 * s->count + (size_t)(l->s[i] - '0');
}

/* ---- Names and values --------------------------------------------------- */

/* A name on a line, and what is behind it. */
struct named {
	size_t from, to;
	bool quoted;
	bool secret;
};

/* The column that what belongs to a name is indented more than. */
static size_t column_of(const struct mask_line *l, const struct named *x)
{
	size_t i = 0;

	while (i < x->from &&
	       (is_blank(l->s[i]) || l->s[i] == '-' || is_quote(l->s[i])))
		i++;
	if (i == x->from)
		return x->from - x->quoted;
	return skip_blanks(l, 0);
}

static void expect_indented(const struct mask_line *l, struct mask_state *s,
			    const struct named *x)
{
	s->rest = MASK_REST_INDENT;
	s->indent = column_of(l, x);
}

/* Whether what comes is indented below: "|", ">-", "!vault |", "{", "[". */
static bool goes_on_below(const struct mask_line *l, size_t from)
{
	size_t end = line_end(l);

	while (end > from && (l->s[end - 1] == '-' || l->s[end - 1] == '+' ||
			      (l->s[end - 1] >= '1' && l->s[end - 1] <= '9')))
		end--;
	return end == from || is_any(l->s[end - 1], "|>{[(");
}

/* From behind a quote to the one that closes it, or else the line's end. */
static size_t hide_quoted(struct mask_line *l, struct mask_state *s,
			  const struct named *x, size_t from)
{
	const char quote = l->s[from - 1];
	size_t end = from;

	/* Two of them are one that belongs to it: SQL, YAML. */
	while (end < l->n && (l->s[end] != quote ||
			      (end + 1 < l->n && l->s[end + 1] == quote)))
		end += l->s[end] == '\\' || l->s[end] == quote ? 2 : 1;
	if (end >= l->n) {
		mask_line_hide(l, from, line_end(l));
		s->rest = MASK_REST_QUOTE;
		s->quote = quote;
		return l->n;
	}
	if (!mask_name_is_harmless(l->s + x->from, x->to - x->from, l->s + from,
				   end - from))
		mask_line_hide(l, from, end);
	return end + 1;
}

/* What is assigned to a secret's name, from `from` on; where it ends. */
static size_t hide_value(struct mask_line *l, struct mask_state *s,
			 const struct named *x, size_t from)
{
	const size_t end = line_end(l);

	while (from < end && l->s[from] == '\\')
		from++;
	if (from < end && is_quote(l->s[from]))
		return hide_quoted(l, s, x, from + 1);
	if (from >= end || goes_on_below(l, from))
		expect_indented(l, s, x);
	else if (l->s[end - 1] == '\\')
		s->rest = MASK_REST_LINE;
	if (from < end && l->s[from] != '|' && l->s[from] != '>' &&
	    !mask_name_is_harmless(l->s + x->from, x->to - x->from, l->s + from,
				   end - from))
		mask_line_hide(l, from, end);
	return l->n;
}

/* <password>VALUE</password> */
static size_t hide_element(struct mask_line *l, struct mask_state *s,
			   size_t from)
{
	const size_t end = find(l, from, "</");

	mask_line_hide(l, skip_blanks(l, from), end < l->n ? end : line_end(l));
	if (end == l->n)
		s->rest = MASK_REST_ELEMENT;
	return end;
}

/* The word at `from`, unless it tells nothing. */
static size_t hide_word(struct mask_line *l, const struct named *x, size_t from)
{
	size_t end = from;

	while (end < l->n && !is_blank(l->s[end]))
		end++;
	if (!mask_name_is_harmless(l->s + x->from, x->to - x->from, l->s + from,
				   end - from))
		mask_line_hide(l, from, end);
	return end;
}

/* Behind a name, its quote and brackets: whether a value is assigned. */
static bool is_assigned(const struct mask_line *l, const struct named *x,
			size_t *at)
{
	size_t i = *at;

	while (i < l->n && (l->s[i] == '\\' || is_quote(l->s[i]) ||
			    l->s[i] == ']' || l->s[i] == ')' || l->s[i] == '}'))
		i++;
	i = skip_blanks(l, i);
	if (i < l->n && l->s[i] == ',' && x->quoted) {
		*at = skip_blanks(l, i + 1);
		return true;
	}
	if (i >= l->n || !is_any(l->s[i], "=:+?!~"))
		return false;
	while (i < l->n && is_any(l->s[i], "=:+?!~"))
		i++;
	if (l->s[i - 1] != '=' && l->s[i - 1] != ':')
		return false;
	if (i < l->n && l->s[i] == '>')
		i++;
	*at = skip_blanks(l, i);
	return true;
}

/* With the word before it: "Access Key", "API token". */
static bool is_secret(const struct mask_line *l, const struct named *x)
{
	size_t from = x->from;

	if (mask_name_is_secret(l->s + x->from, x->to - x->from))
		return true;
	if (from < 2 || l->s[from - 1] != ' ' || !in_name(l->s[from - 2]))
		return false;
	for (from--; from > 0 && x->to - from < 64 && in_name(l->s[from - 1]);)
		from--;
	return mask_name_is_secret(l->s + from, x->to - from);
}

/* IDENTIFIED BY 'x' */
static bool is_identified_by(const struct mask_line *l, const struct named *x)
{
	return x->to - x->from == 2 && mask_begins(l->s + x->from, 2, "by") &&
	       x->from >= 11 &&
	       mask_begins(l->s + x->from - 11, 10, "identified");
}

/*
 * "password VALUE": nothing before it on its line but what makes it an item.  A
 * comment may be a setting too, but more than two words are a sentence.
 */
static bool begins_line(const struct mask_line *l, const struct named *x)
{
	const size_t first = skip_blanks(l, 0);
	size_t i = first;

	while (i < x->from && (is_blank(l->s[i]) || is_any(l->s[i], "#;/*!-")))
		i++;
	if (i < x->from)
		return false;
	if (first == x->from || !is_any(l->s[first], "#;/*!"))
		return true;
	for (i = skip_blanks(l, x->to); i < l->n && !is_blank(l->s[i]);)
		i++;
	return i >= line_end(l);
}

/* machine H login U password P */
static bool follows_login(const struct mask_line *l, size_t from)
{
	const size_t at = find(l, 0, "login ");

	return at < from && (at == 0 || is_blank(l->s[at - 1]));
}

/* A value that only a space keeps from its name; where it ends. */
static size_t look_behind(struct mask_line *l, struct mask_state *s,
			  const struct named *x)
{
	const size_t at = skip_blanks(l, x->to);

	if (at == x->to || at >= l->n || x->quoted)
		return x->to;
	if (!x->secret && !is_identified_by(l, x))
		return x->to;
	if (is_quote(l->s[at]))
		return hide_quoted(l, s, x, at + 1);
	if (l->s[x->from] == '-' || begins_line(l, x) ||
	    follows_login(l, x->from))
		return hide_word(l, x, at);
	return x->to;
}

/* name="password" value="x": the name of a value is a value itself. */
static bool tells_name(const struct mask_line *l, const struct named *x)
{
	static const char *const names[] = {
		"name", "key",	 "env",	   "var",     "variable",  "property",
		"id",	"field", "option", "setting", "parameter",
	};
	const size_t n = x->to - x->from;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == n &&
		    mask_begins(l->s + x->from, n, names[i]))
			return true;
	return false;
}

/* What follows a value that is a secret's name, here or on the next line. */
static void hide_its_value(struct mask_line *l, struct mask_state *s,
			   size_t from)
{
	size_t end = from + (from < l->n && is_quote(l->s[from]));
	const size_t name = end;

	while (end < l->n && in_name(l->s[end]))
		end++;
	if (!mask_name_is_secret(l->s + name, end - name))
		return;
	while (end < l->n && is_any(l->s[end], "\"'` \t,/>}\r"))
		end++;
	if (end < l->n)
		mask_line_hide(l, end, line_end(l));
	else
		s->rest = MASK_REST_VALUE;
}

/* A word that may be a name; where to go on. */
static size_t look_at_name(struct mask_line *l, struct mask_state *s,
			   struct named *x)
{
	size_t at = x->to;
	size_t n;

	x->secret = is_secret(l, x);
	if (x->secret && x->from > 0 && l->s[x->from - 1] == '<' && at < l->n &&
	    l->s[at] == '>')
		return hide_element(l, s, at + 1);
	if (!is_assigned(l, x, &at))
		return look_behind(l, s, x);
	if (x->secret)
		return hide_value(l, s, x, at);
	if (tells_name(l, x))
		hide_its_value(l, s, at);
	if (at < l->n && is_quote(l->s[at]))
		at++;
	n = mask_token_long(l->s + at, l->n - at);
	mask_line_hide(l, at, at + n);
	return at + n;
}

static void look_for_names(struct mask_line *l, struct mask_state *s)
{
	struct named x = { 0 };

	for (size_t i = 0; i < l->n;) {
		if (!in_name(l->s[i])) {
			i++;
			continue;
		}
		x.from = i;
		while (i < l->n && in_name(l->s[i]))
			i++;
		x.to = i;
		x.quoted = x.from > 0 && is_quote(l->s[x.from - 1]);
		i = look_at_name(l, s, &x);
	}
}

/* A line of nothing but digits: what is wrapped, or a file's only content. */
static void look_for_digits(struct mask_line *l, const struct mask_state *s)
{
	const size_t from = skip_blanks(l, 0);
	const size_t end = line_end(l);

	if (!s->in_public && from < end &&
	    mask_token_long(l->s + from, end - from) >= 40)
		mask_line_hide(l, from, end);
}

/* ---- What an earlier line left ------------------------------------------ */

/* Whether this line is indented as what belongs to the name above it is. */
static bool is_below(const struct mask_line *l, const struct mask_state *s)
{
	const size_t at = skip_blanks(l, 0);

	if (at >= line_end(l) || at > s->indent)
		return true;
	return at == s->indent && l->s[at] == '-' &&
	       (at + 1 == l->n || is_blank(l->s[at + 1]));
}

/* To the quote that ends a value; the rest of the line is one of its own. */
static bool end_quote(struct mask_line *l, struct mask_state *s)
{
	const char *at = memchr(l->s, s->quote, l->n);

	mask_line_hide(l, 0, at ? (size_t)(at - l->s) : line_end(l));
	if (at)
		s->rest = MASK_REST_NONE;
	return !at;
}

static bool end_element(struct mask_line *l, struct mask_state *s)
{
	const size_t at = find(l, 0, "</");

	mask_line_hide(l, skip_blanks(l, 0), at < l->n ? at : line_end(l));
	if (at < l->n)
		s->rest = MASK_REST_NONE;
	return at == l->n;
}

/* "value: x" below "name: PASSWORD". */
static void hide_named_value(struct mask_line *l, struct mask_state *s)
{
	struct named x = { .from = 0 };
	size_t at;

	s->rest = MASK_REST_NONE;
	while (x.from < l->n && !in_name(l->s[x.from]))
		x.from++;
	if (x.from < l->n && l->s[x.from] == '-')
		x.from = skip_blanks(l, x.from + 1);
	for (x.to = x.from; x.to < l->n && in_name(l->s[x.to]);)
		x.to++;
	x.quoted = x.from > 0 && is_quote(l->s[x.from - 1]);
	at = x.to;
	if ((mask_begins(l->s + x.from, x.to - x.from, "val") ||
	     mask_begins(l->s + x.from, x.to - x.from, "data") ||
	     mask_begins(l->s + x.from, x.to - x.from, "default")) &&
	    is_assigned(l, &x, &at))
		(void)hide_value(l, s, &x, at);
}

/* Whether the whole line belongs to a value that an earlier one began. */
static bool go_on(struct mask_line *l, struct mask_state *s)
{
	const size_t end = line_end(l);

	switch (s->rest) {
	case MASK_REST_INDENT:
		if (is_below(l, s)) {
			hide_all(l);
			return true;
		}
		break;
	case MASK_REST_QUOTE:
		return end_quote(l, s);
	case MASK_REST_ELEMENT:
		return end_element(l, s);
	case MASK_REST_LINE:
		hide_all(l);
		if (end == 0 || l->s[end - 1] != '\\')
			s->rest = MASK_REST_NONE;
		return true;
	case MASK_REST_COUNT:
		if (s->count > 0) {
			s->count--;
			hide_all(l);
			return true;
		}
		break;
	case MASK_REST_VALUE:
		hide_named_value(l, s);
		return false;
	default:
		return false;
	}
	s->rest = MASK_REST_NONE;
	return false;
}

void mask_line_look(struct mask_line *l, struct mask_state *s)
{
	const bool was_private = s->in_private;

	look_for_keys(l, s);
	if (was_private && s->in_private)
		return;
	if (go_on(l, s))
		return;
	look_for_putty(l, s);
	look_for_digits(l, s);
	look_for_names(l, s);
	mask_token_hide(l);
}
