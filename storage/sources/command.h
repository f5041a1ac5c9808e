/*
 * The source of one stream: what a command prints.
 *
 * It is one file of the snapshot, "/NAME", whose size nobody knows before its
 * end, and that belongs to the user it ran as, who alone may read it.  A
 * command that fails, is not done in time, prints too little or cannot be
 * started makes no snapshot at all: half a dump is worse than none, because it
 * looks like one.
 *
 * The command runs as base/child.h says, from command_open() on; what it
 * prints is taken as fast as it is stored.  It has ended, or was killed with
 * its group, when the last of its output was delivered, and at the latest in
 * source_close().  What it says to standard error is no part of the snapshot;
 * the end of it is kept.
 */
#ifndef STORAGE_SOURCES_COMMAND_H
#define STORAGE_SOURCES_COMMAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/child.h"
#include "base/err.h"
#include "storage/sources/source.h"

/* How long its output may stay open, and silent, after it has ended. */
#define COMMAND_LINGER_MS 10000

struct command_options {
	const char *name;	    /* source_name_valid() */
	struct child_options child; /* `apart` is set here */
	int64_t timeout_ms;	    /* > 0; from its start to its end */
	uint64_t at_least;	    /* bytes; fewer are a failure */
	/* Polled; true ends it with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
};

/*
 * Start it.  What o points at must stay until source_close(); as
 * child_start().
 */
int command_open(const struct command_options *o, struct source **ret,
		 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/* What it said to standard error, of a source that command_open() made. */
const struct child_tail *command_said(const struct source *s) NONNULL(1)
	RETURNS_NONNULL;

#endif
