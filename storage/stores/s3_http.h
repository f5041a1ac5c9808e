/*
 * Requests over HTTP, for the S3 store and what gets its credentials: one
 * thread with libcurl's multi handle, which keeps connections and uses HTTP/2
 * where the server does.  Callers start exchanges, as many as they like, and
 * wait for each.
 *
 * Hidden here: libcurl.  Not here: signatures, retries, what S3 means by its
 * answers (s3_call.h).
 *
 * Certificates are always verified.  Proxies are taken from the environment,
 * as curl(1) does, but for exchanges that say no_proxy.  No redirection is
 * followed.  Each exchange has limits: for connecting, for standing still, and
 * as a whole.
 */
#ifndef STORAGE_STORES_S3_HTTP_H
#define STORAGE_STORES_S3_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"

struct s3_http;

/* Amazon's have 32 bytes; 1024 is its promise. */
#define S3_VERSION_MAX 1024

struct s3_http_options {
	const char *ca; /* a PEM file in place of the system's; NULL or "" */
};

/* Starts no thread yet: the first exchange does. */
int s3_http_new(const struct s3_http_options *o, struct s3_http **ret,
		struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* No exchange may be under way. */
void s3_http_free(struct s3_http *h);
DEFINE_CLEANUP(struct s3_http *, s3_http_free);

/* How far an exchange came. */
enum s3_http_outcome {
	S3_HTTP_REPLIED = 1, /* there is a status, and the whole body */
	S3_HTTP_UNREACHED,   /* no connection: nothing was sent */
	S3_HTTP_NO_TUNNEL,   /* the proxy makes none; status is its answer */
	S3_HTTP_UNTRUSTED,   /* the server's certificate, or its name */
	S3_HTTP_BROKEN,	     /* the connection ended, or its bytes were wrong */
	S3_HTTP_TIMEOUT,     /* one of the limits */
	S3_HTTP_TOO_LARGE,   /* the body is larger than its room */
	S3_HTTP_REFUSED,     /* libcurl did not even try: a bug or no memory */
};

/* What of a reply's headers somebody asks for; "" when it was not there. */
struct s3_http_reply {
	int status;
	size_t body_len; /* what of room was filled, or of ret_body */
	uint64_t length; /* Content-Length; UINT64_MAX: none */
	/* Content-Range's: where it begins, and of how much (the same). */
	uint64_t range_at;
	uint64_t total;
	bool has_date;
	struct instant date;   /* Date */
	int64_t retry_after_s; /* -1: none */
	char etag[128];
	char request_id[128];		  /* x-amz-request-id */
	char region[64];		  /* x-amz-bucket-region */
	char checksum_sha256[64];	  /* x-amz-checksum-sha256 */
	char upload_tag[64];		  /* x-amz-meta-snapctl-upload */
	char version[S3_VERSION_MAX + 1]; /* x-amz-version-id */
	char lock_mode[32];		  /* x-amz-object-lock-mode */
	char lock_until[64]; /* x-amz-object-lock-retain-until-date */
	char lock_hold[8];   /* x-amz-object-lock-legal-hold */
};

struct s3_exchange {
	/* The request; borrowed until the exchange was waited for. */
	const char *method; /* GET PUT POST DELETE HEAD */
	const char *url;    /* without credentials */
	/* Header lines one after the other, each ended by a NUL. */
	const char *headers;
	size_t headers_len;
	const void *body; /* PUT, POST */
	size_t body_len;
	bool no_proxy;
	bool is_fresh; /* over a connection of its own */
	/* Limits; 0 takes the usual one (10 s, 30 s, 10 min). */
	int64_t connect_ms;
	int64_t stall_ms; /* without a byte either way */
	int64_t whole_ms;
	/*
	 * Where the reply's body goes: a success's (2xx) to room when that is
	 * not NULL; all else to body_buf, whose ceiling bounds it (no more than
	 * its first bytes are kept of an error's).
	 */
	void *room;
	size_t room_len;
	struct buf *body_buf;

	/* Afterwards. */
	enum s3_http_outcome outcome;
	struct s3_http_reply reply;
	char why[200];		 /* of what was no reply, a clause for people */
	uint64_t sent, received; /* bytes of bodies and headers */

	void *under_way; /* s3_http.c's */
};

/*
 * Start; *x stays where it is until it was waited for.  It cannot fail: what
 * goes wrong is the exchange's outcome.
 */
void s3_http_start(struct s3_http *h, struct s3_exchange *x) NONNULL(1, 2);
/* Until its outcome is known.  x must have been started. */
void s3_http_wait(struct s3_http *h, struct s3_exchange *x) NONNULL(1, 2);
/* The same for a while: whether it is known. */
bool s3_http_wait_ms(struct s3_http *h, struct s3_exchange *x, int64_t ms)
	NONNULL(1, 2);
/* Give it up: its outcome is soon S3_HTTP_BROKEN, and is to be waited for. */
void s3_http_cancel(struct s3_http *h, struct s3_exchange *x) NONNULL(1, 2);
/* Both at once. */
void s3_http_do(struct s3_http *h, struct s3_exchange *x) NONNULL(1, 2);

#endif
