/*
 * The table of operations: everything a user can ask for, once.
 *
 * The command line and the HTTP API are two encodings of this table.  Help,
 * usage lines, completion, the manual pages and the OpenAPI document are
 * printed from it; nothing about an operation is said anywhere else.
 *
 * To add an operation
 *
 *  1. write service/op_<noun>.c with its functions and
 *	const struct operation op_<noun>_rows[] = { {...}, {...}, { 0 } };
 *     (or add a row to the file of its noun),
 *  2. for a new file: name the rows in service/op.h and in tables[] of
 *     operation.c (the order there is the order in the help), and list the
 *     file in service/meson.build.
 *
 * A row is data; designated initialisers leave out what does not apply:
 *
 *	static const struct operation_param list_params[] = {
 *		{ .name = "source", .kind = PARAM_OPTION, .value = "NAME",
 *		  .help = "only snapshots of this source" },
 *		{ 0 }
 *	};
 *	{ .verb = "snapshot list",
 *	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
 *	  .params = list_params,
 *	  .view = "id time:age source state bytes:size",
 *	  .summary = "list the snapshots of a repository",
 *	  .run = list }
 *
 * Its function reads typed parameters with args_*() (service/args.h) by
 * name, writes exactly one JSON value to call->reply (base/json.h; lists may
 * be endless, nothing is kept), and returns 0, or -1 with *e.  After -1 the
 * reply is dropped when none of it went out yet.  A function that did its
 * work but had to leave something out names the omissions in the reply,
 * calls operation_partial() and returns 0; one that found damage calls
 * operation_damaged(), which outranks it.  Long work calls progress_*()
 * (service/progress.h) and asks operation_stopped() now and then, at moments
 * where stopping leaves nothing half-done.
 *
 * Operations never print, log, colour or look at argv.
 */
#ifndef SERVICE_OPERATION_H
#define SERVICE_OPERATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "base/json.h"

struct args;
struct catalog;
struct config;
struct operation_call;
struct progress;

enum operation_flag {
	/* The CLI runs it in its own process, with the caller's rights. */
	OPERATION_DIRECT = 1,
	/* The CLI sends it to the daemon's socket; call->catalog is set. */
	OPERATION_DAEMON = 2,
	/* It changes something: over the socket only root and the daemon's
	 * own uid may, and it leaves an audit record. */
	OPERATION_CHANGES = 4,
	/* It takes --repo, --key-file and --passphrase-file as well. */
	OPERATION_NEEDS_REPO = 8,
	/* Its output is bytes on call->out_fd instead of a JSON value. */
	OPERATION_BYTES = 16,
	/* It has a --format parameter (text, json, csv) that the renderer
	 * obeys; the function ignores it and writes JSON. */
	OPERATION_FORMATS = 32,
	/* Its reply is JSON also without --json: it is for programs. */
	OPERATION_JSON = 64,
	/* It reads a repository, so any region will do (service/engine_read.h):
	 * it takes --region as well. */
	OPERATION_READS = 128,
};

enum param_kind {
	PARAM_POSITIONAL = 1, /* in the order of the rows */
	PARAM_OPTION,	      /* --name VALUE */
	PARAM_SWITCH,	      /* --name, which takes no value */
};

/* What a value must look like; args.c checks it before the function runs. */
enum param_type {
	PARAM_TEXT = 0, /* any bytes but NUL */
	PARAM_PATH,	/* the same; completed with file names */
	PARAM_NUMBER,	/* a whole number from 0 */
	PARAM_SIZE,	/* bytes: 512, 64K, 10M, 2G */
	PARAM_DURATION, /* clock time: 90s, 30m, 1d12h */
	PARAM_TIME,	/* RFC 3339 */
	PARAM_CHOICE,	/* one of .choices */
	/* The text of a document.  The command line takes a file name or "-"
	 * and reads it in the caller's process; the API takes the text. */
	PARAM_DOCUMENT,
};

struct operation_param {
	const char
		*name; /* "time-zone": --time-zone, ?time-zone=, a JSON key */
	enum param_kind kind;
	enum param_type type;
	char letter; /* a short form, 'f' for -f; 0 for none */
	bool required;
	bool repeated;	      /* may be given, or follow, more than once */
	const char *fallback; /* what holds when it is not given */
	const char *env;      /* CLI: the variable that is read before that */
	const char *value;    /* "NAME": how help writes the value */
	const char *choices;  /* "bash|zsh|fish" for PARAM_CHOICE */
	const char *help;     /* one clause */
	/* It changes what the reply is: the operation's view and csv then. */
	const char *view, *csv;
	/* CLI: bytes that a document may have; 0: what a manifest may. */
	size_t document_max;
};

typedef int operation_run(struct operation_call *call, struct err *e);

struct operation {
	const char *verb;   /* "snapshot create"; one or two words */
	const char *method; /* "GET", "POST", "DELETE"; NULL: not served */
	const char *route;  /* below /v1: "/runs/{id}" names a parameter */
	unsigned int flags;
	const struct operation_param *params; /* ends with name = NULL */
	/* How the renderer shows the reply: service/render.h. */
	const char *view;
	/* OPERATION_FORMATS: the columns of CSV, all keys of a row of JSON. */
	const char *csv;
	const char *summary; /* one clause */
	const char *help;    /* paragraphs, or NULL */
	operation_run *run;
};

/* Who asks.  In the CLI, its own ids. */
struct operation_caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

enum operation_outcome {
	OPERATION_DONE = 0,
	OPERATION_PARTIAL,
	OPERATION_FAILED,  /* what was to be proven is not so: exit 1 */
	OPERATION_REFUSED, /* what was to be checked is wrong: exit 2 */
	OPERATION_DAMAGED,
};

struct operation_call {
	const struct operation *operation;
	const struct args *args;
	struct json *reply;
	int out_fd; /* OPERATION_BYTES */
	struct progress *progress;
	const atomic_bool *stop;
	struct instant now;
	struct operation_caller caller;
	const struct config *config; /* NULL when OPERATION_DIRECT ran it */
	const char *config_file;     /* --config, or NULL */
	const char *socket;	     /* the CLI: --socket, or NULL */
	struct catalog *catalog;     /* in the daemon, else NULL */
	/* In the daemon: the timetable changed, look again.  May be NULL. */
	void (*wake)(void *wake_arg);
	void *wake_arg;
	enum operation_outcome outcome;
};

/* Raise the outcome; it never falls. */
void operation_partial(struct operation_call *call) NONNULL(1);
void operation_failed(struct operation_call *call) NONNULL(1);
void operation_refused(struct operation_call *call) NONNULL(1);
void operation_damaged(struct operation_call *call) NONNULL(1);
/* Write bytes to call->out_fd, for OPERATION_BYTES. */
int operation_write(struct operation_call *call, const void *bytes, size_t n,
		    struct err *e) NONNULL(1, 4) MUST_CHECK;
/* 0, or -1 with ERR_INTERRUPTED when the user asked to stop. */
int operation_stopped(const struct operation_call *call, struct err *e)
	NONNULL(1, 2) MUST_CHECK;

/* The nth operation in the order of the help, or NULL past the end. */
const struct operation *operation_nth(size_t n);
/* The operation with exactly this verb ("run list"), or NULL. */
const struct operation *operation_named(const char *verb) NONNULL(1);
/*
 * The operation that serves this method and path (without "/v1").  1; 0 when
 * no route has this path; -1 with ERR_USAGE when one has, by another method.
 */
int operation_routed(const char *method, const char *path,
		     const struct operation **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
/*
 * Match path with the operation's route, handing each "{name}" part (still
 * percent-encoded) to part.  1, 0 when it does not match, -1 from part.
 */
typedef int operation_part(void *arg, const char *name, const char *text,
			   size_t n, struct err *e);
int operation_match_route(const struct operation *op, const char *path,
			  operation_part *part, void *arg, struct err *e)
	NONNULL(1, 2, 5) MUST_CHECK;

/* How the reply to these arguments is shown. */
const char *operation_view(const struct operation *op, const struct args *args,
			   bool csv) NONNULL(1, 2);

/*
 * The nth parameter, those of OPERATION_NEEDS_REPO at the end, or NULL past
 * the end; and the one with this name.
 */
const struct operation_param *operation_param(const struct operation *op,
					      size_t n) NONNULL(1);
const struct operation_param *operation_param_named(const struct operation *op,
						    const char *name)
	NONNULL(1, 2);
/* Whether the route has {name} in it. */
bool operation_in_route(const struct operation *op, const char *name)
	NONNULL(1, 2);

/*
 * The verb or word nearest to what was typed, or NULL when nothing is near:
 * "did you mean".  candidate(arg, n) yields names until NULL.
 */
const char *operation_nearest(const char *typed,
			      const char *(*candidate)(void *arg, size_t n),
			      void *arg) NONNULL(1, 2);

#endif
