/*
 * The daemon's unix socket: made, guarded, and removed again.
 *
 * The path gets mode 0660 and the group that is configured, if the system has
 * it; who is in that group may connect.  A socket that is there already is
 * replaced only if it belongs to this user and nobody listens; whatever else
 * is in the way is left alone and named.
 */
#ifndef SERVICE_LISTENER_H
#define SERVICE_LISTENER_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

/* Which file the socket is; another one may come to lie at its path. */
struct listener_file {
	dev_t dev;
	ino_t ino;
};

/*
 * Make the socket (its folder too) and listen.  ERR_BUSY: somebody listens
 * there already.  ERR_EXISTS: something that is not ours is in the way.
 */
int listener_open(const char *path, const char *group, int *ret_fd,
		  struct listener_file *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/*
 * Remove what listener_open() made, unless another file has replaced it.  The
 * descriptor is still open: closed, its number could be another file's.
 */
void listener_remove(const char *path, const struct listener_file *made)
	NONNULL(1, 2);

#endif
