/*
 * Help, usage lines and the manual page, printed from the table.
 *
 * Everything is appended to a buffer as text of at most 80 columns; nothing
 * here writes to a stream or knows about terminals.
 */
#ifndef SERVICE_HELP_H
#define SERVICE_HELP_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "service/operation.h"

/* "usage: snapctl schedule next EXPR [--time-zone ZONE] …" and a newline. */
int help_usage(const struct operation *op, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* All about one operation. */
int help_operation(const struct operation *op, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/*
 * The operations whose verb begins with this word ("snapshot"), or with NULL
 * all of them, with the general options.
 */
int help_overview(const char *word, struct buf *out, struct err *e)
	NONNULL(2, 3) MUST_CHECK;
/* Whether any operation's verb begins with this word. */
bool help_has(const char *word) NONNULL(1);
/* snapctl(1), in mdoc(7). */
int help_manual(struct buf *out, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* How a parameter is written: "PATH…", "--tag TAG", "--repair". */
int help_param(const struct operation_param *p, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* The options that every command takes; ends with name = NULL. */
extern const struct operation_param help_general[];

#endif
