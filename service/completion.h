/*
 * Completion scripts for shells, printed from the table of operations.
 *
 * The scripts are whole by themselves: pressing the tab key starts no
 * process.  They complete verbs, options, choices and file names.
 */
#ifndef SERVICE_COMPLETION_H
#define SERVICE_COMPLETION_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* shell is "bash", "zsh" or "fish"; anything else is ERR_USAGE. */
int completion_write(const char *shell, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
