/*
 * Asking the daemon: one operation over its unix socket.
 *
 * Hidden here: libcurl, and how a call becomes a request.  The reply's text
 * goes to a sink as it arrives; nothing is kept.
 */
#ifndef SERVICE_CLIENT_H
#define SERVICE_CLIENT_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/args.h"
#include "service/config.h"
#include "service/operation.h"

/* Where to ask, what, and where the reply goes. */
struct client_call {
	const char *socket;
	const struct operation *operation; /* has a route */
	const struct args *args;
	const atomic_bool *stop;
	json_sink *sink;
	void *arg;
};

/*
 * The settings, with where the daemon listens: socket (--socket) when it is
 * not NULL, else what the layers say.
 */
int client_settings(const char *config_file, const char *socket,
		    struct config **ret, struct err *e) NONNULL(3, 4)
	MUST_CHECK;

/*
 * Make the call.  Failures of the operation come back as they were there.
 * Besides: ERR_BUSY when nobody answers (the hint says what to do); a call
 * may take long, yet not once the daemon gives no sign of life either.
 * ERR_DENIED when the socket is not for this user, ERR_USAGE when what is
 * there is no socket of ours, ERR_INTERRUPTED.
 */
int client_call(const struct client_call *call, enum operation_outcome *ret,
		struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif
