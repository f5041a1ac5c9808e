/*
 * The values that an operation was called with, checked and typed.
 *
 * The command line and the HTTP API both fill one of these, text by text;
 * every value is checked against its parameter's type when it is added, so
 * that a function that reads it by name cannot fail.  Reading a name that the
 * operation does not have, or as another type, is a bug of ours and asserted.
 * At most ARGS_VALUES values and ARGS_TEXT bytes of text in all.
 */
#ifndef SERVICE_ARGS_H
#define SERVICE_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/operation.h"

#define ARGS_VALUES 100000
#define ARGS_TEXT   ((size_t)64 << 20)

struct args;

int args_new(struct args **ret, const struct operation *op, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void args_free(struct args *a);
DEFINE_CLEANUP(struct args *, args_free);

/*
 * Add a value of n bytes (for a switch: "true" or "false").  ERR_USAGE: no
 * such parameter (with the nearest name as hint), given twice, not of its
 * type, a NUL inside, or too many.
 */
int args_add(struct args *a, const char *name, const char *text, size_t n,
	     struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;
int args_add_str(struct args *a, const char *name, const char *text,
		 struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* A value that counts as a default (args_given() says no). */
int args_add_default(struct args *a, const char *name, const char *text,
		     struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/*
 * A document's text with the name by which messages call it ("web.yaml",
 * "standard input").
 */
int args_add_document(struct args *a, const char *name, const char *label,
		      const char *text, size_t n, struct err *e)
	NONNULL(1, 2, 3, 4, 6) MUST_CHECK;
/* Fill in defaults.  ERR_USAGE when a required parameter is missing. */
int args_finish(struct args *a, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* Whether it was given (a default does not count). */
bool args_given(const struct args *a, const char *name) NONNULL(1, 2);
/* The text, the first one of a repeated parameter, or NULL without one. */
const char *args_text(const struct args *a, const char *name) NONNULL(1, 2);
/* A repeated parameter: how many, and each. */
size_t args_count(const struct args *a, const char *name) NONNULL(1, 2);
const char *args_nth(const struct args *a, const char *name, size_t n)
	NONNULL(1, 2);
bool args_switch(const struct args *a, const char *name) NONNULL(1, 2);

/*
 * Typed values.  Each asserts that there is one (required, given, or with a
 * default): ask args_text() != NULL first where there may be none.
 */
int64_t args_number(const struct args *a, const char *name) NONNULL(1, 2);
/* A number as "at most so many", 0 for all: what is too large is the largest.
 */
unsigned int args_limit(const struct args *a, const char *name) NONNULL(1, 2);
uint64_t args_size(const struct args *a, const char *name) NONNULL(1, 2);
int64_t args_duration_ms(const struct args *a, const char *name) NONNULL(1, 2);
struct instant args_time(const struct args *a, const char *name) NONNULL(1, 2);
/* A document: its text, NUL-terminated, its length, and its label. */
const char *args_document(const struct args *a, const char *name, size_t *ret_n,
			  const char **ret_label) NONNULL(1, 2, 3, 4);

#endif
