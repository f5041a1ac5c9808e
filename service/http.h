/*
 * The API: the table of operations over HTTP on a listening unix socket.
 *
 * Hidden here: libmicrohttpd, threads, how a request becomes a call.
 *
 * - "/v1" and a row's route, with parameters from the path, the query, and
 *   for other methods than GET from a flat JSON object as body. The reply is
 *   the operation's JSON value; a failure is {"error":{"code","message",
 *   "hint"}} with the HTTP status of its code. "Snapctl-Outcome: partial" or
 *   "damaged" tells what exit statuses 3 and 4 do.
 * - Who asks is known by SO_PEERCRED. Rows with OPERATION_CHANGES are for
 *   root and the daemon's own uid only; whoever may connect may read.
 * - A reply is complete before its first byte leaves (a long one waits in an
 *   unlinked file): an error is always a proper error, and a client that
 *   reads slowly never keeps the catalog's snapshot open.
 * - One thread moves bytes for all connections; a few workers, each with a
 *   catalog handle of its own, run operations. So a thousand idle clients
 *   cost a thousand descriptors and no thread.  Rows with OPERATION_CHANGES
 *   have workers of their own: while somebody else writes the catalog, who only
 *   asks is served.  Each of a crowd that changes something waits for that as
 *   long as one would, with its time in the queue, and then hears ERR_BUSY.
 * - Every request, from its first byte (or the connection) to the last byte
 *   of the reply, has one deadline, whatever trickles in meanwhile.
 * - A peer that does not ask (ten seconds without complete headers) is let
 *   go; where all connections are taken, the one that is idle for longest
 *   goes after a second already. So idle peers shut nobody out.
 */
#ifndef SERVICE_HTTP_H
#define SERVICE_HTTP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/operation.h"

struct http;

struct http_settings {
	const char *catalog_path; /* opened by each worker; NULL: none */
	const struct config *config;
	void (*wake)(void *wake_arg); /* see struct operation_call */
	void *wake_arg;
	size_t body_bytes;	  /* the largest request */
	int64_t request_ms;	  /* the longest one */
	unsigned int connections; /* at once; more wait to be accepted */
	unsigned int workers;	  /* of requests that change, and of others */
};

/* Serve what connects to listen_fd, which http_stop() closes. */
int http_start(int listen_fd, const struct http_settings *settings,
	       struct http **ret, struct err *e) NONNULL(2, 3, 4) MUST_CHECK;
/*
 * Accept nothing more, let operations that run come to their end, cut the
 * rest off.
 */
void http_stop(struct http *h);
DEFINE_CLEANUP(struct http *, http_stop);

#endif
