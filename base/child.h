/*
 * A program of somebody else's that we start, watch and end.
 *
 * It runs without a shell, in a process group of its own, with /dev/null as
 * its input, and inherits no descriptor of ours.  The kernel kills it when the
 * thread that started it dies.  When it has ended, or has to, its whole group
 * is killed; what has left the group is nobody's.
 *
 * Its environment is ours, or PATH, LANG, HOME, USER and LOGNAME set anew, so
 * that nothing secret gets in; and in both cases what the caller adds.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"

struct child_options {
	const char *const *argv; /* a name without '/' is looked for in PATH */
	size_t argc;		 /* > 0 */
	const char *folder;	 /* where it starts; NULL: "/" */
	/* Who it becomes, which only root can do for others; NULL: who we
	 * are.  "nobody" need not exist. */
	const char *user;
	const char *const *environment; /* "KEY=VALUE" to add or replace */
	size_t environment_count;
	bool inherits; /* our environment, and our PATH to look in */
	bool confined; /* it cannot gain privileges */
	bool apart;    /* what it says to standard error has its own pipe */
};

struct child {
	pid_t pid;  /* until it was waited for: nobody else has its number */
	int pid_fd; /* readable once it has ended */
	int out;    /* what it prints, never blocking; -1: closed */
	int err;    /* with `apart` */
	uid_t uid;  /* who it is */
	gid_t gid;
	int remote; /* > 0: a starter's number for it */
};

/*
 * Who starts programs, and ends them, in the place of this process; all but
 * those that inherit from it.  It fills in the child, or returns -1; and
 * returns the status.
 */
struct child_starter {
	int (*start)(struct child *c, const struct child_options *o,
		     struct err *e);
	int (*end)(struct child *c);
};
/* From then on; before there are threads. */
void child_set_starter(const struct child_starter *starter) NONNULL(1);

/* Before child_start(); child_end() and child_drop() then do nothing. */
void child_init(struct child *c) NONNULL(1);
/*
 * ERR_USAGE when there is no such program, user or folder, ERR_DENIED when we
 * cannot become that user.  A program that cannot be executed after all says
 * so to standard error and ends with 127.
 */
int child_start(struct child *c, const struct child_options *o, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/*
 * Kill what is left of its group, wait for it: its status as wait(2) tells.
 * What it printed can still be read.  One that cannot be killed, a setuid
 * program of somebody else's, has five seconds to see its pipes closed.
 */
int child_end(struct child *c) NONNULL(1);
/* End it, and close everything. */
void child_drop(struct child *c) NONNULL(1);
static inline void cleanup_child_drop(struct child *c)
{
	child_drop(c);
}

/* "it ended with status 3", "signal 9 ended it" */
void child_tell_end(int status, char out[64]) NONNULL(2);

/* The last bytes that a program printed. */
struct child_tail {
	size_t len;
	char bytes[4096];
};
/*
 * Take what is there to be read from fd, though not for ever: false once it is
 * at its end.
 */
bool child_tail_read(struct child_tail *t, int fd) NONNULL(1);
enum child_watched { CHILD_ENDED, CHILD_TIMED_OUT, CHILD_STOPPED };
/*
 * Read what it prints until it ends, its time is over, or stop, which may be
 * NULL, becomes true; child_end() is then due.  err_tail is for what comes
 * `apart`; may be NULL.
 */
enum child_watched child_watch(struct child *c, int64_t timeout_ms,
			       const atomic_bool *stop, struct child_tail *out,
			       struct child_tail *err_tail) NONNULL(1, 4)
	MUST_CHECK;
/*
 * The last line that says something new, without its newline: its length.
 * Lines that are indented continue the one before them.
 */
size_t child_tail_line(const struct child_tail *t, const char **ret)
	NONNULL(1, 2);
/* All of it as a value, lines as they are, what is no text escaped. */
void child_tail_write(const struct child_tail *t, struct json *j) NONNULL(1, 2);

#endif
