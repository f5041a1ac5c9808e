/*
 * Text for people, made from bytes nobody vouches for.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* A quoted string for a message; lives on the caller's stack. */
struct text_quoted {
	char s[200];
};

/*
 * The n bytes in double quotes: control bytes, quotes, backslashes, bytes
 * that are not UTF-8 and characters that turn the direction of writing as
 * escapes (\n, \", \x9f), more than about 180 bytes elided in the middle.  For
 * one message; use as text_quote(p, n).s
 */
struct text_quoted text_quote(const void *bytes, size_t n);
struct text_quoted text_quote_str(const char *s) NONNULL(1);

/*
 * The same escapes without quotes or elision, cut at a whole character to
 * what fits into room bytes with its NUL; the length.  room > 0.
 */
size_t text_escape(const void *bytes, size_t n, char *out, size_t room)
	NONNULL(3);

/*
 * text, or, when it has no room in room bytes with its NUL, as much of it with
 * its middle elided at whole characters: of a failure the beginning says what,
 * and the end says why.  room is 16 at least; out.
 */
char *text_fit(const char *text, char *out, size_t room) NONNULL(1, 2)
	RETURNS_NONNULL;

/* Whether the n bytes are well-formed UTF-8 (RFC 3629: no surrogates). */
bool text_is_utf8(const void *bytes, size_t n);

/* Lower-case hexadecimal; out has room for 2 n + 1 bytes. */
void text_hex(const void *bytes, size_t n, char *out) NONNULL(3);
/* The reverse: exactly 2 n digits of either case, else false. */
bool text_unhex(const char *digits, size_t n, void *out) NONNULL(1, 3);

/* Base64 with padding (RFC 4648); out has room for text_base64_size(n). */
size_t text_base64_size(size_t n);
void text_base64(const void *bytes, size_t n, char *out) NONNULL(3);
/*
 * The reverse, strictly (padded, nothing in between, unused bits zero): the
 * number of bytes, or -1.  out has room for 3/4 of n.
 */
ptrdiff_t text_unbase64(const char *s, size_t n, void *out) NONNULL(1, 3);

/* "1.4 GiB", "512 B": at most 16 bytes with the NUL. */
void text_size(uint64_t bytes, char out[16]);

/*
 * A whole decimal number in [min, max]: true and *ret set, or false.  No
 * sign other than a leading '-', no spaces, no overflow.
 */
bool text_number(const char *s, int64_t min, int64_t max, int64_t *ret)
	NONNULL(1, 4) MUST_CHECK;

/*
 * The distance of two names in insertions, deletions, substitutions and swaps
 * of neighbours (Damerau), for "did you mean".  Names over 64 bytes are as
 * far apart as can be.
 */
unsigned int text_distance(const char *a, const char *b) NONNULL(1, 2);

#endif
