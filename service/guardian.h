/*
 * The process that runs the hooks of a source, and that what a freeze needs
 * afterwards can be left to.
 *
 * A run asks for hooks, and may be killed at any time; what has to follow
 * after a freeze must happen all the same, and once.  So they are all run by a
 * guardian: a process in a session of its own, which asking signals do not end,
 * which holds no key, and which learns from its socket's end that the run is
 * gone.  It alone decides what is due:
 *
 *	before	in order, until one fails, which has to undo its own work
 *	after	once, when any before it succeeded, or was cut off, so that
 *		nobody knows what it did; or when there is none before
 *	always	once, at the end, in any case
 *
 * Those of after and always are all run, whatever becomes of the others; and
 * also when the run does not ask for them within the limit, for one that writes
 * to what it froze would wait for ever.
 *
 * A journal tells what is due while it is: who finds one of the same boot,
 * unlocked, knows that its guardian was killed, too, and lets another one do
 * it, all of it, for nobody knows how far it was.  What another boot left is
 * not undone: a file system is not frozen any more, but a service that was
 * stopped, say, starts by other means.  A plan that "lasts" is followed also
 * then, and is in its journal until all of it succeeded.
 */
#ifndef SERVICE_GUARDIAN_H
#define SERVICE_GUARDIAN_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * What goes over the socket: frames of a u32 length and JSON.  The run's are
 *
 *	{"name","limit_ms","lasts",
 *	 "hooks":[{"when","argv","user","timeout_ms","called"}]}
 *	"before", "after", "recover"
 *
 * where "recover" is "after" with everything due; each of these is answered by
 * {"failed": what the first said that failed, or null, "late": whether it was
 * done before it was asked for, "kept": whether it stays in the journal,
 *"hooks": [{"when","program","passed", "message","output","seconds"}]}.
 */
#define GUARDIAN_FRAME_MAX (8U << 20)
int guardian_send(int fd, const void *bytes, size_t n, struct err *e)
	NONNULL(2, 4) MUST_CHECK;
/* 1 with the frame in out, 0 at the end, -1. */
int guardian_receive(int fd, struct buf *out, struct err *e) NONNULL(2, 3)
	MUST_CHECK;

/* "<boot id>": of what a journal of another boot says nothing holds. */
int guardian_boot(char out[64], struct err *e) NONNULL(1, 2) MUST_CHECK;

/*
 * Serve the socket to its end; journal_fd is locked; the exit status.  The plan
 * is the file plan_fd, or if that is -1 the first frame.
 */
int guardian_main(int fd, int journal_fd, int plan_fd) MUST_CHECK;

#endif
