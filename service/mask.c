#include "service/mask.h"

#include <regex.h>
#include <stdlib.h>

#include "base/text.h"
#include "service/mask_internal.h"

struct mask {
	regex_t patterns[MASK_PATTERNS];
	size_t n;
};

/* ---- The user's patterns ------------------------------------------------ */

int mask_new(struct mask **ret, struct err *e)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_oom(e);
}

void mask_free(struct mask *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		regfree(&m->patterns[i]);
	free(m);
}

/* What repetitions multiply to: each copy of a part is compiled anew. */
#define REPEAT_MAX 256

/* Of one "{2,16}" at p: its largest number, but at least 1. */
static size_t repeats(const char *p)
{
	size_t most = 1;
	size_t n = 0;

	for (p++; *p && *p != '}'; p++) {
		n = *p >= '0' && *p <= '9' ? 10 * n + (size_t)(*p - '0') : 0;
		if (n > REPEAT_MAX)
			n = REPEAT_MAX + 1;
		if (n > most)
			most = n;
	}
	return most;
}

/*
 * What makes a pattern cost more than its length: a back-reference, matched by
 * trying all there is, and repetitions of repetitions.
 */
static int check_cost(const char *pattern, struct err *e)
{
	size_t all = 1;

	for (const char *p = pattern; *p; p++) {
		if (*p == '\\' && p[1] >= '1' && p[1] <= '9')
			return err_set(e, ERR_USAGE,
				       "%s refers back (\\%c), which a pattern "
				       "of this kind cannot",
				       text_quote_str(pattern).s, p[1]);
		if (*p == '\\' && p[1]) {
			p++;
			continue;
		}
		if (*p == '{')
			all *= repeats(p);
		if (all > REPEAT_MAX)
			return err_set(e, ERR_USAGE,
				       "%s repeats something more than %d "
				       "times",
				       text_quote_str(pattern).s, REPEAT_MAX);
	}
	return 0;
}

int mask_add(struct mask *m, const char *pattern, struct err *e)
{
	regex_t *at = &m->patterns[m->n];
	regmatch_t none[1];
	char why[200];
	int failed;

	if (m->n == MASK_PATTERNS)
		return err_set(e, ERR_USAGE,
			       "there are more than %d patterns of what is to "
			       "be masked",
			       MASK_PATTERNS);
	if (!*pattern || strlen(pattern) > MASK_PATTERN_MAX)
		return err_set(e, ERR_USAGE,
			       "a pattern of what is to be masked has 1 to %d "
			       "bytes, and %s has %zu",
			       MASK_PATTERN_MAX, text_quote_str(pattern).s,
			       strlen(pattern));
	if (check_cost(pattern, e))
		return -1;
	failed = regcomp(at, pattern, REG_EXTENDED);
	if (failed == REG_ESPACE)
		return err_oom(e);
	if (failed) {
		(void)regerror(failed, at, why, sizeof(why));
		why[0] = mask_lower(why[0]);
		return err_set(e, ERR_USAGE,
			       "%s is no regular expression (POSIX extended): "
			       "%s",
			       text_quote_str(pattern).s, why);
	}
	if (regexec(at, "", 1, none, 0) == 0) {
		regfree(at);
		return err_set(e, ERR_USAGE,
			       "%s matches also where there is nothing",
			       text_quote_str(pattern).s);
	}
	m->n++;
	return 0;
}

static void hide_matches(struct mask_line *l, const regex_t *pattern)
{
	regmatch_t m[2];
	size_t at = 0;

	while (at < l->n) {
		const regmatch_t *group;

		m[0] = (regmatch_t){ .rm_so = (regoff_t)at,
				     .rm_eo = (regoff_t)l->n };
		if (regexec(pattern, l->s, 2, m,
			    REG_STARTEND | (at ? REG_NOTBOL : 0)) != 0)
			return;
		group = pattern->re_nsub && m[1].rm_so >= 0 ? &m[1] : &m[0];
		mask_line_hide(l, (size_t)group->rm_so, (size_t)group->rm_eo);
		at = (size_t)m[0].rm_eo + (m[0].rm_eo == m[0].rm_so);
	}
}

/* ---- A text ------------------------------------------------------------- */

static int put_line(const struct mask_line *l, struct buf *out, struct err *e)
{
	if (l->n > MASK_LINE_MAX)
		return buf_add_str(out, MASK_LONG, e);
	for (size_t i = 0; i < l->n;) {
		size_t end = i;

		while (end < l->n && !l->hide[end] == !l->hide[i])
			end++;
		if (l->hide[i] ? buf_add_str(out, MASK_TEXT, e)
			       : buf_add(out, l->s + i, end - i, e))
			return -1;
		i = end;
	}
	return 0;
}

/* What a file's path says of its lines. */
enum lines {
	LINES_ANY,
	LINES_FIELDS, /* the first field is no secret, all else is */
	LINES_SECRET, /* nothing is shown */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* user:HASH, server * SECRET; one that is indented belongs to the one above. */
static void hide_fields(struct mask_line *l)
{
	size_t i = 0;

	if (l->s[0] == '#')
		return;
	while (i < l->n && !is_blank(l->s[i]) && l->s[i] != ':')
		i++;
	while (i < l->n && (is_blank(l->s[i]) || l->s[i] == ':'))
		i++;
	mask_line_hide(l, i, l->end);
}

static int add_line(const struct mask *m, enum lines kind, struct mask_state *s,
		    struct mask_line *l, struct buf *out, struct err *e)
{
	if (l->n == 0)
		return 0;
	memset(l->hide, 0, l->n);
	mask_line_look(l, s);
	if (kind == LINES_SECRET)
		mask_line_hide(l, l->first, l->end);
	else if (kind == LINES_FIELDS)
		hide_fields(l);
	if (l->n <= MASK_LINE_MAX)
		for (size_t i = 0; i < m->n; i++)
			hide_matches(l, &m->patterns[i]);
	return put_line(l, out, e);
}

/* A file of one line whose name is that of a secret is what it says. */
static bool is_one_value(const char *path, size_t path_len, const char *text,
			 size_t n)
{
	const char *slash = memrchr(path, '/', path_len);
	const char *name = slash ? slash + 1 : path;
	const char *newline = memchr(text, '\n', n);

	if (newline && newline + 1 < text + n)
		return false;
	return mask_name_is_secret(name, (size_t)(path + path_len - name)) ||
	       (path_len > 4 && memcmp(path + path_len - 4, ".key", 4) == 0);
}

static bool ends_with(const char *s, size_t n, const char *end)
{
	const size_t k = strlen(end);

	return n >= k && memcmp(s + n - k, end, k) == 0;
}

static enum lines lines_of(const char *path, size_t n)
{
	static const char *const names[] = {
		"-secrets", "sasl_passwd",    ".secrets",  "password_file",
		"htpasswd", "/gshadow",	      "/gshadow-", "/passwords",
		"/opasswd", "/passwd.client",
	};
	const char *slash = memrchr(path, '/', n);

	if (slash && ends_with(path, (size_t)(slash - path), "/secrets"))
		return LINES_SECRET;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (ends_with(path, n, names[i]))
			return LINES_FIELDS;
	return LINES_ANY;
}

/* Whether it says "kind: Secret" somewhere; that may be below the data. */
static bool has_secret(const char *text, size_t n)
{
	const char *const end = text + n;
	const char *at = text;

	while ((at = memmem(at, (size_t)(end - at), "kind", 4)) != NULL) {
		at += 4;
		while (at < end && (is_blank(*at) || *at == '"' ||
				    *at == '\'' || *at == ':'))
			at++;
		if (mask_begins(at, (size_t)(end - at), "secret") &&
		    (end - at == 6 || !mask_is_alnum(at[6]) ||
		     mask_begins(at, (size_t)(end - at), "secretlist")))
			return true;
	}
	return false;
}

static int add_lines(const struct mask *m, enum lines kind, const char *text,
		     size_t n, struct mask_line *l, struct buf *out,
		     struct err *e)
{
	struct mask_state s = { .has_secret = has_secret(text, n) };

	for (size_t at = 0; at < n; at += l->n + 1) {
		const char *end = memchr(text + at, '\n', n - at);

		l->s = text + at;
		l->n = end ? (size_t)(end - l->s) : n - at;
		if (add_line(m, kind, &s, l, out, e) ||
		    (end && buf_add_byte(out, '\n', e)))
			return -1;
	}
	return 0;
}

int mask_text(const struct mask *m, const char *path, size_t path_len,
	      const void *bytes, size_t n, struct buf *out, struct err *e)
{
	const char *text = (const char *)bytes;
	struct mask_line l = { .s = NULL };
	int failed;

	if (n && is_one_value(path, path_len, text, n))
		return buf_add_str(
			out, text[n - 1] == '\n' ? MASK_TEXT "\n" : MASK_TEXT,
			e);
	l.hide = malloc(n + 1);
	if (!l.hide)
		return err_oom(e);
	failed = add_lines(m, lines_of(path, path_len), text, n, &l, out, e);
	free(l.hide);
	return failed;
}
