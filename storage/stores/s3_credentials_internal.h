/*
 * The parts of s3_credentials.c: files (s3_credentials_file.c), services
 * (s3_credentials_service.c) and what these reply (s3_credentials_reply.c).
 * No text here that describes a failure repeats what was read, but for names
 * of sections and services' own words.
 */
#ifndef STORAGE_STORES_S3_CREDENTIALS_INTERNAL_H
#define STORAGE_STORES_S3_CREDENTIALS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/stores/s3_http.h"
#include "storage/stores/s3_place.h"
#include "storage/stores/s3_sign.h"

/* Of a credentials file: larger than any that was written on purpose. */
#define S3_CREDENTIALS_FILE_MAX ((size_t)256 << 10)
/* Of a token in a file: STS takes 20,000 characters. */
#define S3_CREDENTIALS_TOKEN_MAX ((size_t)20000)
/* Of a service's reply: three texts that s3_keys has room for, and names. */
#define S3_CREDENTIALS_REPLY_MAX ((size_t)64 << 10)

/* Which of the six; their order is the header's. */
enum s3_credentials_source {
	S3_CREDENTIALS_NONE,
	S3_CREDENTIALS_OWN_FILE,
	S3_CREDENTIALS_ENVIRONMENT,
	S3_CREDENTIALS_WEB_IDENTITY,
	S3_CREDENTIALS_SHARED_FILE,
	S3_CREDENTIALS_CONTAINER,
	S3_CREDENTIALS_INSTANCE,
};

/* What tells one content of a file from the next; zeros: no such file. */
struct s3_credentials_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed; /* also by chmod */
};

/* What a source gives; keys are the caller's, and hold anything if it fails. */
struct s3_credentials_got {
	struct s3_keys *keys;
	bool ends;
	struct instant end;		   /* when it ends */
	struct s3_credentials_stamp stamp; /* files, also when it failed */
	char origin[256];
};

/* An environment variable; NULL also when it is empty. */
const char *s3_credentials_variable(const char *name) NONNULL(1);

/*
 * Take a text of n bytes for keys: printable ASCII without blanks, not empty,
 * and not longer than its room.  out may be NULL: it is judged only.
 * ERR_USAGE names it as what.
 */
int s3_credentials_take(const char *what, const char *text, size_t n, char *out,
			size_t room, struct err *e) NONNULL(1, 6) MUST_CHECK;

/* ---- Files -------------------------------------------------------------- */

/*
 * The keys of the section called profile, of the text of a credentials file;
 * NULL: [default], else the only section there is.  1, or 0 when there is no
 * such section, or it is not named and says nothing of keys.  ERR_USAGE names
 * the line.  The section's name goes to ret_section.  Pure.
 */
int s3_credentials_parse(const char *text, size_t n, const char *profile,
			 struct s3_keys *keys, char ret_section[128],
			 struct err *e) NONNULL(1, 4, 5, 6) MUST_CHECK;

/* The file as it is now.  Zeros also when it cannot be examined. */
void s3_credentials_stamp(const char *path, struct s3_credentials_stamp *ret)
	NONNULL(1, 2);
bool s3_credentials_same_stamp(const struct s3_credentials_stamp *a,
			       const struct s3_credentials_stamp *b)
	NONNULL(1, 2);

/* The shared file's path: 0, or -1 when nobody knows a home. */
int s3_credentials_shared_path(char *out, size_t room) NONNULL(1) MUST_CHECK;

/*
 * Keys from a file; own: one that only its owner may read.  1, or 0 when there
 * are none for a profile that was not named (profile ""), or no file.
 */
int s3_credentials_from_file(const char *path, const char *profile, bool own,
			     struct s3_credentials_got *ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;

/* A token's file, for a header or a form: its only line, NUL-ended. */
int s3_credentials_token_file(const char *path, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* ---- Services ----------------------------------------------------------- */

/*
 * From STS, the container's agent, the instance's metadata.  ERR_BUSY when it
 * cannot be reached, ERR_DENIED when it refuses, ERR_USAGE when what names it
 * makes no sense, ERR_IO when its reply does.  From the instance 0 when there
 * is no such service, which only ret_e tells of; else 1.
 */
int s3_credentials_from_sts(const struct s3_place *p, struct s3_http *http,
			    struct s3_credentials_got *ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
int s3_credentials_from_container(struct s3_http *http,
				  struct s3_credentials_got *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
int s3_credentials_from_instance(struct s3_http *http,
				 struct s3_credentials_got *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* ---- Replies; pure ------------------------------------------------------ */

/*
 * What the container's agent and the instance's metadata reply, in JSON, and
 * STS in XML.  ERR_IO when it makes no sense, ERR_DENIED when it says that
 * there are none.
 */
int s3_credentials_json(const char *text, size_t n,
			struct s3_credentials_got *ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
int s3_credentials_xml(const char *text, size_t n,
		       struct s3_credentials_got *ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

/*
 * Whether keys may be asked for, or a token sent, in the clear at an
 * http://HOST: loopback, or an address that containers' agents have.
 */
bool s3_credentials_near(const char *host, size_t n) NONNULL(1);

#endif
