/*
 * What S3 and STS reply, read with libexpat: hostile bytes, as everything that
 * comes from a server.  A document type is refused (entities, and what they
 * blow up to, come with one), so is nesting deeper than 16, a text longer than
 * its ceiling, and another encoding than UTF-8.  Namespaces are ignored, and
 * so are elements that nobody asked for.
 *
 * A reply that ends early, or lacks what it must have, is ERR_CORRUPT: never
 * an empty list.
 */
#ifndef STORAGE_STORES_S3_XML_H
#define STORAGE_STORES_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"

#define S3_KEY_MAX   1024 /* of an object's name, in bytes */
#define S3_TOKEN_MAX 2048 /* of a continuation token, an upload's id */

/*
 * One object of a ListObjectsV2, one upload of a ListMultipartUploads, or one
 * version or deletion (a "delete marker") of a ListObjectVersions.
 */
struct s3_item {
	/* Percent codes and "+" undone where the reply says that there are any
	 * (EncodingType: a server may ignore encoding-type=url). */
	char key[S3_KEY_MAX + 1];
	uint64_t size;		   /* objects, versions */
	char id[S3_TOKEN_MAX + 1]; /* UploadId, VersionId; "" of objects */
	bool deletion;		   /* it is one, and has no bytes */
	/* Initiated; LastModified, or zero where a server does not tell. */
	struct instant when;
};
/* As store_visit: 0 goes on, 1 ends, -1 fails. */
typedef int s3_visit(void *arg, const struct s3_item *item, struct err *e);

/* What a page says beside its items. */
struct s3_page {
	bool more; /* IsTruncated */
	/* What to ask on with when there is more: NextContinuationToken, or
	 * NextKeyMarker (percent codes undone) and NextUploadIdMarker or
	 * NextVersionIdMarker ("" where there is none). */
	char token[S3_TOKEN_MAX + 1];
	char id_marker[S3_TOKEN_MAX + 1];
};

/*
 * ListBucketResult, ListMultipartUploadsResult, ListVersionsResult (of which
 * versions and deletions are visited in the order in which they stand there):
 * 10,000 items at most.  Nothing is visited unless the whole is well-formed and
 * complete, and *ret_page is written after the last visit.  Returns 1 when a
 * visitor ended it.  A key that holds a NUL or is longer than any can be is
 * ERR_CORRUPT.
 */
int s3_xml_list(const void *xml, size_t n, s3_visit *visit, void *arg,
		struct s3_page *ret_page, struct err *e) NONNULL(1, 3, 5, 6)
	MUST_CHECK;
int s3_xml_uploads(const void *xml, size_t n, s3_visit *visit, void *arg,
		   struct s3_page *ret_page, struct err *e) NONNULL(1, 3, 5, 6)
	MUST_CHECK;
int s3_xml_versions(const void *xml, size_t n, s3_visit *visit, void *arg,
		    struct s3_page *ret_page, struct err *e) NONNULL(1, 3, 5, 6)
	MUST_CHECK;

/*
 * An <Error> (at the root, or in STS's <ErrorResponse>): 1, or 0 when the
 * bytes are none, whatever they are.  What follows its <Code> may be broken or
 * missing.  Texts are cut to fit; bytes that are not printable ASCII have
 * become "?".
 */
struct s3_error {
	char code[64]; /* "NoSuchKey", "SlowDown" */
	char message[256];
	char request[128];  /* RequestId */
	char region[64];    /* of AuthorizationHeaderMalformed, redirects */
	char endpoint[256]; /* of PermanentRedirect */
};
int s3_xml_error(const void *xml, size_t n, struct s3_error *ret) NONNULL(1, 3);

/*
 * The text of the element at a path below the root ("UploadId", or
 * "AssumeRoleWithWebIdentityResult/Credentials/SessionToken"); the root must
 * be called so.  ERR_CORRUPT when it is not there, empty, there twice, or
 * longer than room - 1; out is all zeros then.  No copy stays in memory.
 */
int s3_xml_text(const void *xml, size_t n, const char *root, const char *path,
		char *out, size_t room, struct err *e) NONNULL(1, 3, 4, 5, 7)
	MUST_CHECK;

#endif
