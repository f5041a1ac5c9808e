/*
 * Signatures of requests: AWS Signature Version 4, in the Authorization
 * header (Amazon S3 API reference, "Authenticating Requests: Using the
 * Authorization Header").  Pure: the time is an argument.
 *
 * S3's own rule holds: a path is encoded once.  The body is always part of
 * what is signed; a server that verifies it notices what the way changed.
 */
#ifndef STORAGE_STORES_S3_SIGN_H
#define STORAGE_STORES_S3_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"

/*
 * Who signs.  Lives in secret memory (s3_keys_new()); texts end in NUL and
 * hold printable ASCII only.
 */
struct s3_keys {
	char id[160];
	char secret[256];
	char token[8192]; /* of temporary credentials; else "" */
};
/* Nothing in it yet; NULL without memory. */
struct s3_keys *s3_keys_new(void);
void s3_keys_free(struct s3_keys *k);

/* What is signed; everything is borrowed. */
struct s3_signing {
	const char *method; /* "GET" */
	const char *host;   /* as it is sent */
	const char *path;   /* percent-encoded, begins with "/" */
	const char *query;  /* encoded and sorted (s3_query_add()), or "" */
	/* "name: value" each: lower-case names in strictly rising order, none
	 * of which is among those that signing adds. */
	const char *const *headers;
	size_t n_headers;
	const char *body_sha256; /* 64 digits */
	const char *region;
	const char *service; /* "s3"; "sts" */
	struct instant now;
};

#define S3_SHA256_TEXT 65
/* SHA-256 in lower-case hexadecimal digits. */
int s3_sha256(const void *bytes, size_t n, char out[S3_SHA256_TEXT],
	      struct err *e) NONNULL(3, 4) MUST_CHECK;

#define S3_MD5_TEXT 25
/* MD5 in base64, as Content-MD5 has it: a sum of what is sent, no more. */
int s3_md5(const void *bytes, size_t n, char out[S3_MD5_TEXT], struct err *e)
	NONNULL(3, 4) MUST_CHECK;

/*
 * Append to lines, each ended by a NUL, the header lines that a signed
 * request has besides host and those given: x-amz-content-sha256 (S3 alone
 * asks for it: of service "s3" only), x-amz-date, x-amz-security-token (when
 * there is one), authorization.  lines holds what stays secret for a while
 * (the token): use buf_wipe().  Nothing is appended on failure.
 */
int s3_sign(const struct s3_signing *s, const struct s3_keys *keys,
	    struct buf *lines, struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/* Percent-encode: all but A-Z a-z 0-9 - . _ ~, and "/" if it is kept. */
int s3_encode(const char *text, bool keep_slash, struct buf *out, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/*
 * The reverse of n bytes, with plus also "+" for a space, as a text: the length
 * that it has, and whole when that is less than room; -1 when a "%" begins no
 * code, or one of a NUL.
 */
ptrdiff_t s3_decode(const char *text, size_t n, bool plus, char *out,
		    size_t room) NONNULL(1, 4) MUST_CHECK;
/*
 * Append "name=value" (value encoded; NULL: "name=") to a query, after an "&"
 * unless it is empty.  The caller adds names in rising order.
 */
int s3_query_add(struct buf *query, const char *name, const char *value,
		 struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

#endif
