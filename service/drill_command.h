/*
 * A program that looks at what a drill restored.
 *
 * It runs without a shell in the restored folder, in a process group of its
 * own that is killed when its time is over, when the drill is asked to stop,
 * or when the drill itself dies.  It inherits no descriptor and nothing of
 * our environment (PATH, LANG, HOME are set anew; nothing secret gets in),
 * and cannot gain privileges.  Of what it prints the end is kept.
 *
 * As root it becomes the user it is told, or "nobody"; else it stays who we
 * are.
 */
#ifndef SERVICE_DRILL_COMMAND_H
#define SERVICE_DRILL_COMMAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/child.h"
#include "base/err.h"

struct drill_command {
	const char *const *argv; /* a name without '/' is looked for in PATH */
	size_t argc;
	const char *folder;
	const char *user; /* or NULL */
	int64_t timeout_ms;
	const atomic_bool *stop; /* or NULL */
};

struct drill_command_end {
	bool passed;	   /* it ended with status 0 */
	int exit_status;   /* or -1 */
	char message[300]; /* how it ended, or why it did not begin */
	struct child_tail output;
};

/*
 * 0 with *ret, also when it could not be started: then it did not pass.  -1:
 * ERR_INTERRUPTED.
 */
int drill_command_run(const struct drill_command *command,
		      struct drill_command_end *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif
