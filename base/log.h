/*
 * The daemon's log: one line an event on standard error, "key=value" pairs
 * (logfmt) with a level that systemd understands when SYSTEMD journal is on
 * the other end ("<4>…").  Only programs call it; libraries return errors.
 * Values are quoted and escaped; secrets are never passed to it.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/attr.h"
#include "base/err.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
/* The level with this name, or -1. */
int log_level_named(const char *name) NONNULL(1);

/* One event.  The message is a sentence fragment; fmt is printf's. */
void log_event(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "<doing>: <error>", with its code and hint as fields. */
void log_failure(enum log_level level, const char *doing, const struct err *e)
	NONNULL(2, 3);

#endif
