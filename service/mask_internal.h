/*
 * Private to service/mask*.c: one line, and which of its bytes are not shown.
 */
#ifndef SERVICE_MASK_INTERNAL_H
#define SERVICE_MASK_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "service/mask.h"

struct mask_line {
	const char *s; /* n bytes without the newline */
	size_t n;
	uint8_t *hide; /* n flags */
	size_t first;  /* behind the blanks it begins with */
	size_t item;  /* behind those, and what makes it an item or a comment */
	size_t end;   /* without the blanks at its end */
	size_t login; /* where "login " is, or n */
};

static inline void mask_line_hide(struct mask_line *l, size_t from, size_t to)
{
	if (from < to)
		memset(l->hide + from, 1, to - from);
}

/* What one line leaves behind for those after it. */
enum mask_rest {
	MASK_REST_NONE,
	MASK_REST_INDENT,  /* what is indented more than `indent` is a value */
	MASK_REST_QUOTE,   /* a value ends at the next `quote` */
	MASK_REST_ELEMENT, /* … at the next "</" */
	MASK_REST_LINE,	   /* the next line goes on with it */
	MASK_REST_COUNT,   /* so many lines: `count` */
	MASK_REST_UNTIL,   /* to the line that begins with the word `until` */
	MASK_REST_VALUE,   /* what is called "value" on the next line */
};

struct mask_state {
	enum mask_rest rest;
	size_t indent;
	size_t count;
	char quote;
	char until[32];
	bool in_private; /* between BEGIN and END */
	bool in_public;
	bool has_secret; /* the text is, or has, a Secret of Kubernetes */
};

/* In mask_name.c: whether what has this name is secret; whether such a thing
 * would be nothing that matters ("no", "true"): all that follows it on its line
 * is given, for a password may begin with such a word. */
bool mask_name_is_secret(const char *name, size_t n) NONNULL(1);
bool mask_name_is_harmless(const char *name, size_t name_len, const char *value,
			   size_t n) NONNULL(1, 3);

/* In mask_token.c: what is known by its shape, wherever it stands. */
void mask_token_hide(struct mask_line *l) NONNULL(1);
/* Whether the word at s, of at most n bytes, looks like key material; its
 * length then, else 0.  It reads the whole word: who asks goes on behind it, so
 * that a line is read no more than twice. */
size_t mask_token_long(const char *s, size_t n) NONNULL(1);

/* In mask_line.c: what is known by its name, and over several lines. */
void mask_line_look(struct mask_line *l, struct mask_state *s) NONNULL(1, 2);

/* Of ASCII, whatever the locale. */
static inline bool mask_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}
static inline char mask_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}
/* Whether the n bytes at s begin with text, whatever the case. */
static inline bool mask_begins(const char *s, size_t n, const char *text)
{
	size_t i = 0;

	while (i < n && text[i] && mask_lower(s[i]) == text[i])
		i++;
	return !text[i];
}

#endif
