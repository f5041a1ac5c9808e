/*
 * Where an S3 region is, and what is asked of it, as its URL says (design
 * §10):
 *
 *	s3://BUCKET[/PREFIX][?NAME=VALUE[&NAME=VALUE]…]
 *
 *	endpoint=URL	http:// or https://HOST[:PORT], the host a name, an
 *			IPv4 address or an IPv6 one in brackets; Amazon's for
 *			the region when missing
 *	region=NAME	us-east-1 when nothing says
 *	style=S		path, or virtual (the bucket is part of the host's
 *			name); path when there is an endpoint, else virtual.
 *			With TLS a bucket with dots is always asked for by
 *			path: certificates for *.HOST do not cover it
 *	profile=NAME	the section of the shared credentials file
 *	credentials=FILE	a credentials file of this region's own
 *	ca=FILE		certificates (PEM) that the server's must lead to;
 *			both are absolute paths
 *	class=NAME	storage class of data packs; all else stays warm
 *	sse=NAME	server-side encryption: AES256 or aws:kms
 *	sse-key=ID	the key of aws:kms
 *	list=eventual	a LIST may miss a finished PUT, so gc refuses
 *	lock=MODE	how objects are locked where the bucket has object lock:
 *			compliance, governance or off; else as its default rule
 *			says, or compliance
 *
 * BUCKET obeys Amazon's rules (3 to 63 of a-z, 0-9, dots and hyphens, and no
 * IP address); under path style, other servers' capitals and underscores are
 * taken, too.  Names that Amazon only reserves are its own to refuse.  PREFIX
 * is UTF-8 without control bytes, of components that are neither empty, "."
 * nor ".."; one slash at its end may be left out.
 *
 * Percent codes are undone in PREFIX and values.  A URL never holds
 * credentials: what looks like some is refused, and not repeated in the
 * message.  Pure: no environment, no files, no network.
 */
#ifndef STORAGE_STORES_S3_PLACE_H
#define STORAGE_STORES_S3_PLACE_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct s3_place {
	char bucket[64];
	char prefix[512]; /* "" or ends in "/"; begins with no "/" */
	bool tls;
	bool path_style;
	/* HOST[:PORT] of the endpoint as it is sent and signed: lower case,
	 * addresses in their one form, no port where it is the scheme's. */
	char host[256 + 8];
	char region[64];
	char profile[128];     /* "": the default one */
	bool profile_named;    /* by the URL, not by the environment */
	char credentials[512]; /* "": where everybody's are */
	char ca[512];	       /* "": the system's */
	char class[64];	       /* "": the bucket's */
	char sse[16];	       /* "": the bucket's */
	char sse_key[256];
	bool eventual;
	char lock[16]; /* "": nothing was said */
};

/* What the environment says where a URL does not; each may be NULL or "". */
struct s3_defaults {
	const char *endpoint; /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL */
	const char *region;   /* AWS_REGION, AWS_DEFAULT_REGION */
	const char *profile;  /* AWS_PROFILE */
	const char *ca;	      /* AWS_CA_BUNDLE */
};

/*
 * ERR_USAGE for what makes no sense, with the mend: no bucket, a name that the
 * rules for buckets do not allow, an unknown parameter (with the one that may
 * be meant), one given twice, a value that is too long, control bytes,
 * credentials.  *ret is written only on success.
 */
int s3_place_parse(const char *url, const struct s3_defaults *defaults,
		   struct s3_place *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/* The host that a request about the bucket names: BUCKET.HOST, or HOST. */
void s3_place_host(const struct s3_place *p, char out[64 + 1 + 256 + 8])
	NONNULL(1, 2);

/*
 * Append the path of a request, percent-encoded as SigV4 wants it: of the
 * object called name (the prefix is put in front), or of the bucket (NULL):
 * "/BUCKET" or, where that is part of the host's name, "/".
 */
int s3_place_path(const struct s3_place *p, const char *name, struct buf *out,
		  struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

#endif
