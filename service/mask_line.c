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

static size_t find(const struct mask_line *l, size_t from, const char *what)
{
	const char *at = from < l->n ? memmem(l->s + from, l->n - from, what,
					      strlen(what))
				     : NULL;

	return at ? (size_t)(at - l->s) : l->n;
}

/* As far as a name or a word that belongs to it may be away, so that a line of
 * many is not read to its end for each. */
#define NEAR 256

static size_t find_near(const struct mask_line *l, size_t from,
			const char *what)
{
	struct mask_line part = *l;
	size_t at;

	if (from < l->n && l->n - from > NEAR)
		part.n = from + NEAR;
	at = find(&part, from, what);
	return at < part.n ? at : l->n;
}

static void hide_all(struct mask_line *l)
{
	mask_line_hide(l, l->first, l->end);
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

	mask_line_hide(l, from, end < l->n ? end : l->end);
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
	const size_t first = l->first;
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
	return l->first;
}

static void expect_indented(const struct mask_line *l, struct mask_state *s,
			    const struct named *x)
{
	s->rest = MASK_REST_INDENT;
	s->indent = column_of(l, x);
}

/* Where a comment behind a blank begins, or the line ends, without blanks. */
static size_t before_comment(const struct mask_line *l, size_t from)
{
	size_t end = from;

	while (end < l->end &&
	       (l->s[end] != '#' || (end > 0 && !is_blank(l->s[end - 1]))))
		end++;
	while (end > from && is_blank(l->s[end - 1]))
		end--;
	return end;
}

/*
 * Whether what comes is indented below: nothing, "&anchor", "!type", "|", ">-",
 * "!vault |", "{", "[", and before a comment as well.
 */
static bool goes_on_below(const struct mask_line *l, size_t from)
{
	size_t end = before_comment(l, from);

	if (end == from || is_any(l->s[from], "&!"))
		return true;
	while (end > from && (l->s[end - 1] == '-' || l->s[end - 1] == '+' ||
			      (l->s[end - 1] >= '1' && l->s[end - 1] <= '9')))
		end--;
	return end == from || is_any(l->s[end - 1], "|>{[(+.\\,");
}

/* "|2-": that alone, and a comment, shows nothing of what is below it. */
static bool is_block(const struct mask_line *l, size_t from)
{
	const size_t end = before_comment(l, from);
	size_t i = from + 1;

	if (from >= end || (l->s[from] != '|' && l->s[from] != '>'))
		return false;
	while (i < end && is_any(l->s[i], "+-123456789"))
		i++;
	return i == end;
}

/* "<<-'EOF'" in what is assigned: the word that ends it. */
static bool is_document(const struct mask_line *l, struct mask_state *s,
			size_t from)
{
	const size_t at = find_near(l, from, "<<");
	size_t i = at + 2;
	size_t k = 0;

	if (at == l->n || (at > from && !is_any(l->s[at - 1], " \t(\"'`")))
		return false;
	while (i < l->n && is_any(l->s[i], "-~<\\\"' \t"))
		i++;
	while (i < l->n && k + 1 < sizeof(s->until) &&
	       (mask_is_alnum(l->s[i]) || l->s[i] == '_'))
		s->until[k++] = l->s[i++];
	s->until[k] = '\0';
	if (k == 0)
		return false;
	s->rest = MASK_REST_UNTIL;
	return true;
}

/* From within a quoted value to the quote that closes it, or else n. */
static size_t find_quote(const struct mask_line *l, size_t from, char quote)
{
	size_t end = from;

	/* Two of them are one that belongs to it: SQL, YAML. */
	while (end < l->n && (l->s[end] != quote ||
			      (end + 1 < l->n && l->s[end + 1] == quote)))
		end += l->s[end] == '\\' || l->s[end] == quote ? 2 : 1;
	return end < l->n ? end : l->n;
}

/* Whether a value is over where its quote closed: a, 'b'c, "d"); "e"/> */
static bool is_closer(const struct mask_line *l, size_t i)
{
	return i >= l->n || is_blank(l->s[i]) ||
	       is_any(l->s[i], ",;:)}]<>|?&#") ||
	       (l->s[i] == '/' && i + 1 < l->n && l->s[i + 1] == '>');
}

/* Behind a quote that closed, over an operator: where the next piece begins, or
 * 0.  "a" + "b", "a" . "b", "a" "b", "a" \ */
static size_t next_piece(const struct mask_line *l, size_t i)
{
	const size_t first = skip_blanks(l, i);
	size_t at = first;

	if (!is_closer(l, i))
		return i;
	if (at < l->n && is_any(l->s[at], "+.~&|\\"))
		at++;
	if (at < l->n && l->s[at - 1] == l->s[at] && at > first)
		at++;
	at = skip_blanks(l, at);
	if (at < l->n ? is_quote(l->s[at]) : at > first && first < l->end)
		return at;
	return 0;
}

/*
 * From a piece of a value on, in which a quote is open when quote is one: where
 * the last piece of it ends, before the quote that closes it when it has one; n
 * when it goes on below, which s says then.
 */
static size_t end_of_pieces(const struct mask_line *l, struct mask_state *s,
			    size_t from, char quote, bool *ret_several)
{
	size_t i = from;

	for (*ret_several = false;; *ret_several = true) {
		size_t next;

		if (quote)
			i = find_quote(l, i, quote);
		else
			while (!is_closer(l, i) && !is_quote(l->s[i]))
				i += l->s[i] == '\\' ? 2 : 1;
		if (quote && i >= l->n) {
			s->rest = MASK_REST_QUOTE;
			s->quote = quote;
			return l->n;
		}
		next = i >= l->n ? 0 : next_piece(l, i + (quote != 0));
		if (next == 0)
			return i < l->n ? i : l->n;
		if (next >= l->n) {
			s->rest = MASK_REST_LINE;
			return l->n;
		}
		quote = (char)(is_quote(l->s[next]) ? l->s[next] : '\0');
		i = next + (quote != 0);
	}
}

/* From behind a quote to the one that closes it, or else the line's end. */
static size_t hide_quoted(struct mask_line *l, struct mask_state *s,
			  const struct named *x, size_t from)
{
	bool several;
	const size_t end = end_of_pieces(l, s, from, l->s[from - 1], &several);

	if (end == l->n)
		mask_line_hide(l, from, l->end);
	else if (several ||
		 !mask_name_is_harmless(l->s + x->from, x->to - x->from,
					l->s + from, end - from))
		mask_line_hide(l, from, end);
	return end < l->n ? end + 1 : l->n;
}

/* What is assigned to a secret's name, from `from` on; where it ends. */
static size_t hide_value(struct mask_line *l, struct mask_state *s,
			 const struct named *x, size_t from)
{
	const size_t end = l->end;

	while (from < end && l->s[from] == '\\')
		from++;
	if (is_document(l, s, from)) {
		mask_line_hide(l, from, end);
		return l->n;
	}
	if (from < end && is_quote(l->s[from]))
		return hide_quoted(l, s, x, from + 1);
	if (from < end && l->s[end - 1] == '\\')
		s->rest = MASK_REST_LINE;
	else if (from >= end || goes_on_below(l, from))
		expect_indented(l, s, x);
	if (from < end && !is_block(l, from) &&
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

	mask_line_hide(l, skip_blanks(l, from), end < l->n ? end : l->end);
	if (end == l->n)
		s->rest = MASK_REST_ELEMENT;
	return end;
}

/* <password, <ns:password */
static bool is_tag(const struct mask_line *l, const struct named *x)
{
	size_t i = x->from;

	if (i > 0 && l->s[i - 1] == ':')
		for (i--; i > 0 && x->from - i < 64 && in_name(l->s[i - 1]);)
			i--;
	return i > 0 && l->s[i - 1] == '<' &&
	       (x->to == l->n || is_blank(l->s[x->to]) ||
		is_any(l->s[x->to], ">/"));
}

/* From a tag's name on, or behind it: what it holds, or what is in it when that
 * is nothing. */
static size_t hide_tag(struct mask_line *l, struct mask_state *s, size_t from)
{
	const size_t close = find(l, from, ">");

	while (from < close && in_name(l->s[from]))
		from++;
	if (close == l->n || l->s[close - 1] == '/') {
		mask_line_hide(l, from, close < l->n ? close - 1 : l->end);
		if (close == l->n)
			s->rest = MASK_REST_ELEMENT;
		return close;
	}
	if (memmem(l->s + from, close - from, "value", 5))
		mask_line_hide(l, from, close);
	return hide_element(l, s, close + 1);
}

/* <name>PASSWORD</name>, from "</" on: the element behind it, or below. */
static size_t hide_next_element(struct mask_line *l, struct mask_state *s,
				size_t from)
{
	const size_t close = find_near(l, from, ">");
	const size_t next = skip_blanks(l, close < l->n ? close + 1 : l->n);

	if (next >= l->end) {
		s->rest = MASK_REST_VALUE;
		return l->n;
	}
	return l->s[next] == '<' ? hide_tag(l, s, next + 1) : from;
}

/* The word at `from`, unless it tells nothing. */
static size_t hide_word(struct mask_line *l, const struct named *x, size_t from)
{
	size_t end = from;

	while (end < l->n && !is_blank(l->s[end]))
		end++;
	if (!mask_name_is_harmless(l->s + x->from, x->to - x->from, l->s + from,
				   l->end - from))
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
 * comment may be a setting too, but more than two words are a sentence, when a
 * blank keeps them from what makes them a comment.
 */
static bool begins_line(const struct mask_line *l, const struct named *x)
{
	const size_t first = l->first;
	size_t i;

	if (l->item < x->from)
		return false;
	if (x->from <= first + 1 || !is_any(l->s[first], "#;/*!"))
		return true;
	for (i = skip_blanks(l, x->to); i < l->n && !is_blank(l->s[i]);)
		i++;
	return i >= l->end;
}

/* machine H login U password P, in any order: each is a word. */
static bool is_of_netrc(const struct mask_line *l, size_t from)
{
	const size_t first = l->first;

	return mask_begins(l->s + first, l->n - first, "machine ") ||
	       mask_begins(l->s + first, l->n - first, "default ") ||
	       (l->login < from &&
		(l->login == 0 || is_blank(l->s[l->login - 1])));
}

/* DB_PASSWORD, client-secret, $token, PASSWORD: no word of a sentence. */
static bool is_compound(const struct mask_line *l, const struct named *x)
{
	size_t lower = 0;
	size_t upper = 0;

	if (x->from > 0 && is_any(l->s[x->from - 1], "$%@"))
		return true;
	for (size_t i = x->from; i < x->to; i++) {
		if (i > x->from && i + 1 < x->to && is_any(l->s[i], "_-."))
			return true;
		lower += l->s[i] >= 'a' && l->s[i] <= 'z';
		upper += l->s[i] >= 'A' && l->s[i] <= 'Z';
	}
	return upper > 1 && lower == 0;
}

/* "neighbor A password VALUE": in lower case, and not in a comment. */
static bool is_command(const struct mask_line *l, const struct named *x)
{
	static const char *const names[] = {
		"password", "passwd", "passphrase", "secret", "psk", "community"
	};
	const size_t first = l->first;
	const size_t n = x->to - x->from;

	if (is_any(l->s[first], "#;/*!") || x->from == first ||
	    !is_blank(l->s[x->from - 1]))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == n &&
		    memcmp(l->s + x->from, names[i], n) == 0)
			return true;
	return false;
}

/* From `from` to the end of the line, unless it tells nothing. */
static size_t hide_rest(struct mask_line *l, struct mask_state *s,
			const struct named *x, size_t from)
{
	if (mask_name_is_harmless(l->s + x->from, x->to - x->from, l->s + from,
				  l->end - from))
		return from;
	mask_line_hide(l, from, l->end);
	if (l->s[l->end - 1] == '\\')
		s->rest = MASK_REST_LINE;
	return l->n;
}

/* A value that only a space keeps from its name; where it ends. */
static size_t look_behind(struct mask_line *l, struct mask_state *s,
			  const struct named *x)
{
	const size_t at = skip_blanks(l, x->to);

	if (at == x->to || at >= l->end || x->quoted)
		return x->to;
	if (!x->secret && !is_identified_by(l, x))
		return x->to;
	if (is_quote(l->s[at]))
		return hide_quoted(l, s, x, at + 1);
	if (l->s[x->from] == '-' || is_of_netrc(l, x->from))
		return hide_word(l, x, at);
	if (begins_line(l, x) || is_compound(l, x) || is_command(l, x))
		return hide_rest(l, s, x, at);
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

/* What follows a value that is a secret's name, here or on the next line;
 * whether the rest of the line is settled. */
static bool hide_its_value(struct mask_line *l, struct mask_state *s,
			   size_t from)
{
	size_t end = from + (from < l->n && is_quote(l->s[from]));
	const size_t name = end;

	while (end < l->n && in_name(l->s[end]))
		end++;
	if (!mask_name_is_secret(l->s + name, end - name))
		return false;
	while (end < l->n && is_any(l->s[end], "\"'` \t,/>}\r"))
		end++;
	if (end < l->n)
		mask_line_hide(l, end, l->end);
	else
		s->rest = MASK_REST_VALUE;
	return true;
}

/* data and stringData of a Secret, whatever their names are. */
static bool is_of_secret(const struct mask_line *l, const struct mask_state *s,
			 const struct named *x)
{
	const size_t n = x->to - x->from;

	return s->has_secret &&
	       ((n == 4 && mask_begins(l->s + x->from, n, "data")) ||
		(n == 10 && mask_begins(l->s + x->from, n, "stringdata")));
}

/* Behind "Secret", when that is what stands there. */
static size_t behind_kind(const struct mask_line *l, size_t at)
{
	const size_t name = at + (at < l->n && is_quote(l->s[at]));

	return mask_begins(l->s + name, l->n - name, "secret") ? name + 6 : at;
}

/* A word that may be a name; where to go on. */
static size_t look_at_name(struct mask_line *l, struct mask_state *s,
			   struct named *x)
{
	size_t at = x->to;
	size_t n;

	x->secret = is_secret(l, x) || is_of_secret(l, s, x);
	if (x->secret && is_tag(l, x))
		return hide_tag(l, s, x->to);
	if (x->secret && at + 1 < l->n && memcmp(l->s + at, "</", 2) == 0)
		return hide_next_element(l, s, at);
	if (!is_assigned(l, x, &at))
		return look_behind(l, s, x);
	if (x->secret)
		return hide_value(l, s, x, at);
	/* "kind": "Secret", "data": … is no pair of a name and its value. */
	if (s->has_secret && x->to - x->from == 4 &&
	    mask_begins(l->s + x->from, 4, "kind") && !x->secret)
		return behind_kind(l, at);
	if (tells_name(l, x) && hide_its_value(l, s, at))
		return l->n;
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
	const size_t from = l->first;
	const size_t end = l->end;

	if (!s->in_public && from < end &&
	    mask_token_long(l->s + from, end - from) >= 40)
		mask_line_hide(l, from, end);
}

/* ---- What an earlier line left ------------------------------------------ */

/* Whether this line is indented as what belongs to the name above it is. */
static bool is_below(const struct mask_line *l, const struct mask_state *s)
{
	const size_t at = l->first;

	if (at >= l->end || at > s->indent)
		return true;
	return at == s->indent && l->s[at] == '-' &&
	       (at + 1 == l->n || is_blank(l->s[at + 1]));
}

/* To the quote that ends a value; the rest of the line is one of its own. */
static bool end_quote(struct mask_line *l, struct mask_state *s)
{
	bool several;
	size_t end;

	s->rest = MASK_REST_NONE;
	end = end_of_pieces(l, s, 0, s->quote, &several);
	mask_line_hide(l, 0, end < l->n ? end : l->end);
	return end == l->n;
}

/* A line that begins with the word that was said. */
static bool ends_document(const struct mask_line *l, const struct mask_state *s)
{
	const size_t at = l->first;
	const size_t n = strlen(s->until);

	return l->n - at >= n && memcmp(l->s + at, s->until, n) == 0 &&
	       (at + n == l->n || !in_name(l->s[at + n]) ||
		n + 1 == sizeof(s->until));
}

static bool end_element(struct mask_line *l, struct mask_state *s)
{
	const size_t at = find(l, 0, "</");

	mask_line_hide(l, l->first, at < l->n ? at : l->end);
	if (at < l->n)
		s->rest = MASK_REST_NONE;
	return at == l->n;
}

/* "value: x" below "name: PASSWORD". */
static void hide_named_value(struct mask_line *l, struct mask_state *s)
{
	struct named x = { .from = 0 };
	size_t at;

	at = l->first;
	if (at >= l->end)
		return;
	s->rest = MASK_REST_NONE;
	if (l->s[at] == '<' && at + 1 < l->n && l->s[at + 1] != '/') {
		(void)hide_tag(l, s, at + 1);
		return;
	}
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
		if (l->end == 0 || !is_any(l->s[l->end - 1], "\\+"))
			s->rest = MASK_REST_NONE;
		return true;
	case MASK_REST_COUNT:
		if (s->count > 0) {
			s->count--;
			hide_all(l);
			return true;
		}
		break;
	case MASK_REST_UNTIL:
		if (ends_document(l, s))
			break;
		hide_all(l);
		return true;
	case MASK_REST_VALUE:
		hide_named_value(l, s);
		return s->rest != MASK_REST_NONE;
	default:
		return false;
	}
	s->rest = MASK_REST_NONE;
	return false;
}

/* What is asked of a line for each name on it. */
static void measure(struct mask_line *l)
{
	l->first = skip_blanks(l, 0);
	for (l->item = l->first;
	     l->item < l->n &&
	     (is_blank(l->s[l->item]) || is_any(l->s[l->item], "#;/*!-"));)
		l->item++;
	for (l->end = l->n; l->end > 0 && is_blank(l->s[l->end - 1]);)
		l->end--;
	l->login = find(l, 0, "login ");
}

void mask_line_look(struct mask_line *l, struct mask_state *s)
{
	const bool was_private = s->in_private;

	measure(l);
	look_for_keys(l, s);
	if (was_private && s->in_private)
		return;
	if (go_on(l, s))
		return;
	look_for_putty(l, s);
	look_for_digits(l, s);
	look_for_names(l, s);
	/* Of a longer one only what it leaves behind counts. */
	if (l->n <= MASK_LINE_MAX)
		mask_token_hide(l);
}
