/*
 * What this process, and what it starts, may still do: taken away for good.
 *
 * Hidden here: how Linux is asked for it, and what of it the kernel has.
 *
 * - No new privileges: no setuid program gives any.
 * - A filter of system calls. It is a list of what nothing of ours does, so
 *   that a new C library, which finds other calls for the same purpose, still
 *   works; a list of what is allowed would break with it, at night, in ten
 *   years. What is on it fails with EPERM. What only an intruder asks for
 *   (another kernel, a module, a reboot, calls in another architecture's
 *   numbers) ends the process by SIGSYS.
 * - Landlock: files may be changed, and read where that is asked for, only at
 *   or below the places that are named. It tells no owners, modes, times and
 *   attributes from others; without `attributes` the filter takes those away
 *   everywhere. TCP ports, and signals and abstract sockets to processes
 *   outside, where the kernel has that.
 *
 * A rule is about the file system that is mounted there now. So places that may
 * be written to are held open, lest an automounter takes one away meanwhile and
 * brings another back.
 *
 * What the kernel does not have is left out: a backup that is less confined
 * is better than none. Whoever enters twice has less of both.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

enum sandbox_right {
	SANDBOX_READ = 1,
	SANDBOX_WRITE = 2,   /* all but making devices, sockets, FIFOs */
	SANDBOX_FOLDERS = 4, /* make and remove folders, nothing else */
	SANDBOX_SPECIAL = 8, /* make devices, sockets and FIFOs */
};

struct sandbox_place {
	const char *path; /* one that is not there is left out */
	unsigned int rights;
};

struct sandbox {
	const struct sandbox_place *places;
	size_t place_count;
	/* Anywhere, not only at the places that say so: */
	bool reads;
	bool writes;
	bool executes; /* and becomes other users */
	/* Everywhere, which places cannot say: */
	bool attributes; /* owners, modes, extended attributes, devices */
	bool connects;	 /* by TCP; nobody here listens */
};

/* What is in force. */
struct sandbox_state {
	bool no_new_privileges;
	bool filter;
	int landlock; /* the version of its interface, 0: the kernel has none */
};

/*
 * Before there are threads: it would not hold for those there are, so with
 * more than one it is refused (ERR_BUG).  -1 also when the kernel refused for
 * other reasons than not to have it; what *ret says is in force all the same.
 */
int sandbox_enter(const struct sandbox *s, struct sandbox_state *ret,
		  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* What this kernel has. */
void sandbox_probe(struct sandbox_state *ret) NONNULL(1);

#define SANDBOX_TEXT 96
/* "no new privileges, a filter of system calls, Landlock 7"; "nothing" */
void sandbox_tell(const struct sandbox_state *s, char out[SANDBOX_TEXT])
	NONNULL(1, 2);

#endif
