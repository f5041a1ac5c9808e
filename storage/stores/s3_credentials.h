/*
 * Who an S3 store says it is: where its keys come from, and that they are
 * fresh.  The first of these that is there is asked, and no other:
 *
 * 1. the file that the region's URL names (credentials=FILE), in the form of
 *    the shared credentials file: its section profile=NAME, else [default],
 *    else the one it has; only its owner may read it, as with key files;
 * 2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), unless
 *    the URL names a profile;
 * 3. AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (and AWS_ROLE_SESSION_NAME),
 *    as Kubernetes gives its service accounts: AssumeRoleWithWebIdentity of
 *    STS, at AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL when one is set, unless
 *    the URL names a profile;
 * 4. the shared credentials file, AWS_SHARED_CREDENTIALS_FILE or
 *    ~/.aws/credentials, if it has keys for [default], or a profile was named:
 *    that must be in it;
 * 5. AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI (with
 *    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or …_TOKEN): of loopback, of the
 *    addresses that containers' agents have, or https only;
 * 6. the instance's metadata service, version 2 (a session token first), at
 *    AWS_EC2_METADATA_SERVICE_ENDPOINT when that is set, unless
 *    AWS_EC2_METADATA_DISABLED is true.
 *
 * An empty variable is none.  Once a source has given keys it is the only one:
 * a file that is away for a moment makes nobody else of this process.
 *
 * Files are read again when they have changed, and what ends is had anew five
 * minutes before it does (a thread at a time; the others go on with what is
 * still good, and so do all when new keys cannot be had: a service is asked
 * again after 30 s, a file when it changes).  A source that is there and is
 * broken is an error that says so: the next one is not tried instead.
 *
 * Of a profile only keys are understood.  A role, single sign-on or a program
 * in their place is refused, with what would help: no program is ever run.
 *
 * Keys live in secret memory; no message repeats any of them, but an access
 * key's id may be shown.  Any number of threads, none of which may change the
 * environment.
 */
#ifndef STORAGE_STORES_S3_CREDENTIALS_H
#define STORAGE_STORES_S3_CREDENTIALS_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/stores/s3_http.h"
#include "storage/stores/s3_place.h"
#include "storage/stores/s3_sign.h"

struct s3_credentials;

/*
 * Reads nothing yet.  http is used for 3, 5 and 6, without proxies for 5 and 6,
 * and stays the caller's.
 */
int s3_credentials_new(const struct s3_place *p, struct s3_http *http,
		       struct s3_credentials **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void s3_credentials_free(struct s3_credentials *c);
DEFINE_CLEANUP(struct s3_credentials *, s3_credentials_free);

/*
 * A copy of the keys that are good now, for s3_keys_free().  ERR_DENIED when
 * there are none, with a hint where they could be, when a service refuses, or
 * when others may read a file of 1; ERR_USAGE for a file that makes no sense
 * (file and line) and variables that make none; ERR_BUSY when a service that
 * gives them cannot be reached, ERR_IO when its reply makes no sense.
 *
 * Costs a stat() of a file, and else nothing, but when they are had anew:
 * where nothing is set and no instance's metadata answers three seconds.
 */
int s3_credentials_get(struct s3_credentials *c, struct s3_keys **ret,
		       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * The server does not know these, or says that they have ended: get new ones.
 * 1 when it is worth another try (they come from somewhere that may have newer
 * ones, or others have come since), 0 when not: a file that has not changed,
 * the environment, a service that was asked for this reason within 30 s.
 */
int s3_credentials_refused(struct s3_credentials *c, const struct s3_keys *k)
	NONNULL(1, 2);

/*
 * Visit the files that may be read for a place, as the environment stands now.
 * A file that is not there is visited, too.
 */
int s3_credentials_files(const struct s3_place *p,
			 int (*visit)(void *arg, const char *path,
				      struct err *e),
			 void *arg, struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

/*
 * Where they come from, or would be asked for first, for messages: "the
 * profile "x" of "FILE"".
 */
void s3_credentials_origin(struct s3_credentials *c, char out[256])
	NONNULL(1, 2);

#endif
