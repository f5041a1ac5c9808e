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

#include "base/attr.h"
#include "base/err.h"

/*
 * Make the socket (its folder too) and listen.  ERR_BUSY: somebody listens
 * there already.  ERR_EXISTS: something that is not ours is in the way.
 */
int listener_open(const char *path, const char *group, int *ret_fd,
		  struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* Remove what listener_open() made; nobody listens any more. */
void listener_remove(const char *path) NONNULL(1);

#endif
