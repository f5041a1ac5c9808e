/*
 * How far a long operation is, told to a person on standard error.
 *
 * On a terminal a bar with rate and time left, redrawn ten times a second;
 * elsewhere a line every half minute; with --quiet nothing.  All functions
 * may be called from any thread and with NULL, cost a few atomic additions,
 * and never fail.
 */
#ifndef SERVICE_PROGRESS_H
#define SERVICE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum progress_mode {
	PROGRESS_NONE,
	PROGRESS_LINES,
	PROGRESS_BAR,
};

struct progress;

/* The mode that suits descriptor fd. */
enum progress_mode progress_mode_of(int fd, bool quiet);

int progress_new(struct progress **ret, int fd, enum progress_mode mode,
		 struct err *e) NONNULL(1, 4) MUST_CHECK;
/* Erases the bar. */
void progress_free(struct progress *p);
DEFINE_CLEANUP(struct progress *, progress_free);

/*
 * A new stage ("reading", "copying to us-east") with what it amounts to in
 * bytes, or 0 when that is not known.  The counters start again.
 */
void progress_stage(struct progress *p, const char *stage, uint64_t total)
	NONNULL(2);
/* The total became known, or grew. */
void progress_total(struct progress *p, uint64_t total);
/* So much more was done: items (files, objects) and bytes. */
void progress_add(struct progress *p, uint64_t items, uint64_t bytes);
/* The counters as they are now, for callers that count themselves. */
void progress_set(struct progress *p, uint64_t items, uint64_t bytes);
/* Print something on the way (a warning) without tearing the bar. */
void progress_note(struct progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3)
	NONNULL(2);

#endif
