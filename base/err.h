/*
 * What went wrong, for a program and for a person.
 *
 * A function that can fail returns int and takes a struct err as its last
 * argument.  It returns 0 (or a documented positive value) on success and
 * leaves *e alone; on failure it returns -1 and has filled in *e.  Nothing
 * below the operations prints or logs an error: it describes it here and the
 * caller decides.
 *
 * The text is a clause without capital or final period ("cannot open
 * "/srv/x": permission denied").  Each layer that knows a fact the layer
 * below did not (which snapshot, which region) adds it with err_wrap().  What
 * the reader can do about it goes into the hint, printed on a line of its
 * own.  A struct err lives on the stack and never allocates, so reporting
 * "out of memory" cannot itself run out of memory.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#include "base/attr.h"

/*
 * The codes are part of the CLI and HTTP contract: a new one needs a row in
 * err_kinds[] (err.c), which gives its exit status, HTTP status, and whether
 * trying again can help.  Never renumber.
 */
enum err_code {
	ERR_NONE = 0,
	ERR_USAGE,     /* the request, path or manifest makes no sense */
	ERR_PARTIAL,   /* done, with named omissions */
	ERR_DENIED,    /* not permitted */
	ERR_BAD_KEY,   /* the key or passphrase opens nothing */
	ERR_NOT_FOUND, /* the thing named does not exist */
	ERR_EXISTS,    /* the place or name is taken already */
	ERR_BUSY,      /* busy or unreachable; trying again can help */
	ERR_CORRUPT,   /* stored bytes fail authentication or parsing */
	ERR_NEWER,     /* the format is newer than this program */
	ERR_IO,	       /* the operating system or network refused */
	ERR_FULL,      /* no space, or over quota */
	ERR_NO_MEMORY,
	ERR_INTERRUPTED, /* asked to stop; nothing is half-done */
	ERR_BUG,	 /* an invariant of ours does not hold */
	ERR_IN_USE,	 /* something that exists refers to it */
	ERR_COUNT
};

struct err {
	enum err_code code;
	int sys;	/* errno when the system reported it, else 0 */
	bool of_store;	/* a store refused (storage/stores/store.h), no other */
	char text[600]; /* one clause; user strings quoted and escaped */
	char hint[240]; /* what to do, or "" */
};

struct err_kind {
	const char *name; /* stable, machine-readable: "not-found" */
	int exit_status;
	int http_status;
	int retryable;
	const char *advice; /* for a failure that brings no hint, or NULL */
};

/*
 * Describe a failure found here; a failure the system reported through errno
 * (ENOSPC and EDQUOT become ERR_FULL, EACCES, EPERM and EROFS ERR_DENIED,
 * ENOENT ERR_NOT_FOUND, ENOMEM ERR_NO_MEMORY, the rest ERR_IO; ": <reason>" is
 * appended, and of EACCES and EROFS the hint says what helps); or put
 * "<context>: " in front of what *e already says.  Each is an expression worth
 * -1, so "return err_set(e, ...)" ends a function, and a compiler or analyzer
 * that sees only the caller still knows it is negative.
 */
#define err_set(...)  (err_put_(__VA_ARGS__), -1)
#define err_sys(...)  (err_put_sys_(__VA_ARGS__), -1)
#define err_wrap(...) (err_put_context_(__VA_ARGS__), -1)
#define err_oom(e)    (err_put_((e), ERR_NO_MEMORY, "out of memory"), -1)

/* Add, or replace, the advice.  Also worth -1. */
#define err_hint(...) (err_put_hint_(__VA_ARGS__), -1)

void err_put_(struct err *e, enum err_code code, const char *fmt, ...)
	PRINTF_LIKE(3, 4) NONNULL(1);
void err_put_sys_(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3)
	NONNULL(1);
void err_put_context_(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3)
	NONNULL(1);
void err_put_hint_(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3)
	NONNULL(1);

/* Of what the system refused earlier: add ": <reason>", whatever the code; of 0
 * nothing. */
void err_add_reason(struct err *e, int sys) NONNULL(1);

/* What to do: the hint, else what the code advises, else NULL. */
const char *err_advice(const struct err *e) NONNULL(1);

/* Forget what *e says. */
void err_clear(struct err *e) NONNULL(1);

/* The properties of a code.  Never NULL, also for a code out of range. */
const struct err_kind *err_kind(enum err_code code) RETURNS_NONNULL;

/* The code whose kind has this name, or ERR_NONE. */
enum err_code err_code_named(const char *name) NONNULL(1);

/* What err_sys() makes of errno. */
enum err_code err_code_of_errno(int sys);

/* What errno means, in lower case, from a thread-safe source. */
const char *err_errno_text(int sys) RETURNS_NONNULL;

#endif
