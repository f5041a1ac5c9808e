/*
 * What is wrong with a file that a person wrote: all of it, in order.
 *
 * A struct err carries one failure.  Someone who mends a manifest wants to
 * hear everything at once, each with its place, so readers of such files add
 * to a list instead of stopping at the first.  The list is bounded: after
 * PROBLEM_MAX it only counts.  Warnings stand in the same list and never make
 * a file refused.  Adding cannot fail; out of memory is remembered, and
 * problem_err() says so.
 */
#ifndef SERVICE_PROBLEM_H
#define SERVICE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define PROBLEM_MAX 20

/* A place in a file; lines and columns (in characters) count from 1, 0 is
 * not known. */
struct problem_place {
	const char *file;
	uint32_t line;
	uint32_t column;
};

struct problem {
	char *file; /* as the caller named it: "web.yaml", "SNAPCTL_TICK" */
	uint32_t line;
	uint32_t column;
	bool warning;
	char *text; /* what was found, and what was expected */
	char *mend; /* what to do about it, or NULL */
};

struct problem_list {
	struct problem items[PROBLEM_MAX];
	size_t count;
	size_t errors;	 /* those that are no warnings, uncounted ones too */
	size_t left_out; /* added after the list was full */
	bool no_memory;
};

void problem_init(struct problem_list *p) NONNULL(1);
void problem_done(struct problem_list *p) NONNULL(1);
static inline void cleanup_problem_done(struct problem_list *p)
{
	problem_done(p);
}

/* Add an error, or a warning; and give the newest one its mend. */
void problem_add(struct problem_list *p, struct problem_place at,
		 const char *fmt, ...) PRINTF_LIKE(3, 4) NONNULL(1, 3);
void problem_warn(struct problem_list *p, struct problem_place at,
		  const char *fmt, ...) PRINTF_LIKE(3, 4) NONNULL(1, 3);
void problem_mend(struct problem_list *p, const char *fmt, ...)
	PRINTF_LIKE(2, 3) NONNULL(1, 2);

/*
 * 0 when the list holds no error, else -1 with *e: ERR_USAGE and as many
 * problems as its text holds ("web.yaml:3:7: …; web.yaml:9:1: …; and 4
 * more"), the first mend as hint.
 */
int problem_err(const struct problem_list *p, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

/* One line each: "FILE:LINE:COLUMN: TEXT" and, when there is one, "; MEND". */
int problem_format(const struct problem_list *p, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* [{"file","line","column","level":"error|warning","message","mend"}] */
void problem_write(const struct problem_list *p, struct json *j) NONNULL(1, 2);

#endif
