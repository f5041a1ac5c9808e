/*
 * The parts of the API that know nothing of libmicrohttpd: what a request
 * says, and where a reply waits.
 */
#ifndef SERVICE_HTTP_INTERNAL_H
#define SERVICE_HTTP_INTERNAL_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "service/args.h"

/* Replies up to this stay in memory, longer ones go to an unlinked file. */
#define HTTP_REPLY_MEMORY ((size_t)256 << 10)
/* More than this is no reply but a mistake. */
#define HTTP_REPLY_MAX ((uint64_t)4 << 30)

struct http_reply {
	struct buf memory;
	int fd; /* -1 as long as memory suffices */
	uint64_t size;
};

void http_reply_init(struct http_reply *r) NONNULL(1);
void http_reply_done(struct http_reply *r) NONNULL(1);
/* Forget what was written. */
void http_reply_clear(struct http_reply *r) NONNULL(1);
json_sink http_reply_write; /* arg is the struct http_reply */
/* Replace the reply by that of a failure. */
void http_reply_error(struct http_reply *r, const struct err *why)
	NONNULL(1, 2);

/* The row that answers, or ERR_NOT_FOUND or ERR_USAGE. */
int http_route(const char *method, const char *path,
	       const struct operation **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Take the parameters that stand in the path, percent-encoded. */
int http_take_path(struct args *a, const struct operation *op, const char *path,
		   struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* One "name=value" of a query, percent-encoded. */
int http_take_query(struct args *a, const char *name, const char *value,
		    struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* The members of a JSON object; nothing for an empty body. */
int http_take_body(struct args *a, const char *body, size_t n, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;

#endif
