#include "storage/stores/s3_answer.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Clocks that differ by less are not why a server refuses. */
#define SKEW_MS INT64_C(60000)

/* What one of S3's error codes, or a status without one, is to us. */
struct meaning {
	const char *code; /* NULL: of the status */
	int status;
	enum s3_verdict verdict;
	enum err_code err;
	const char *words;
	const char *hint; /* or NULL */
};

/*
 * Sorted by what they are about.  Of a code that is not here the status says
 * what it is; so it goes for codes that only some servers know.
 */
static const struct meaning meanings[] = {
	/* Absent. */
	{ "NoSuchKey", 0, S3_ABSENT, ERR_NONE, "", NULL },
	{ "NoSuchVersion", 0, S3_ABSENT, ERR_NONE, "", NULL },
	{ "NoSuchUpload", 0, S3_ABSENT, ERR_NONE, "", NULL },
	/* No lock of the bucket, none of the object. */
	{ "ObjectLockConfigurationNotFoundError", 0, S3_ABSENT, ERR_NONE, "",
	  NULL },
	{ "NoSuchObjectLockConfiguration", 0, S3_ABSENT, ERR_NONE, "", NULL },
	{ "PreconditionFailed", 0, S3_TAKEN, ERR_NONE, "", NULL },
	{ "InvalidRange", 0, S3_BEYOND, ERR_NONE, "", NULL },
	{ "NoSuchBucket", 0, S3_FAILED, ERR_NOT_FOUND,
	  "there is no such bucket",
	  "mend the URL, or make the bucket first: snapctl makes none" },
	/* Who asks. */
	{ "AccessDenied", 0, S3_FAILED, ERR_DENIED, "access denied", NULL },
	{ "InvalidAccessKeyId", 0, S3_NEW_KEYS, ERR_DENIED,
	  "the server does not know the access key", NULL },
	{ "SignatureDoesNotMatch", 0, S3_NEW_KEYS, ERR_DENIED,
	  "the secret key is not the one of the access key",
	  "both must be of one pair; mind lost or added characters" },
	{ "ExpiredToken", 0, S3_NEW_KEYS, ERR_DENIED,
	  "the temporary credentials have ended", "get new ones" },
	{ "ExpiredTokenException", 0, S3_NEW_KEYS, ERR_DENIED,
	  "the temporary credentials have ended", "get new ones" },
	{ "TokenRefreshRequired", 0, S3_NEW_KEYS, ERR_DENIED,
	  "the temporary credentials have ended", "get new ones" },
	{ "InvalidToken", 0, S3_NEW_KEYS, ERR_DENIED,
	  "the server does not know the session token", NULL },
	{ "AccountProblem", 0, S3_FAILED, ERR_DENIED,
	  "there is a problem with the account", NULL },
	{ "AllAccessDisabled", 0, S3_FAILED, ERR_DENIED,
	  "all access to the bucket is disabled", NULL },
	/* Where. */
	{ "InvalidBucketName", 0, S3_FAILED, ERR_USAGE,
	  "the server takes no such name for a bucket", NULL },
	/* Now and then. */
	{ "SlowDown", 0, S3_SLOWER, ERR_BUSY,
	  "the server asks for fewer requests", NULL },
	{ "RequestLimitExceeded", 0, S3_SLOWER, ERR_BUSY,
	  "the server asks for fewer requests", NULL },
	{ "ThrottlingException", 0, S3_SLOWER, ERR_BUSY,
	  "the server asks for fewer requests", NULL },
	{ "ServiceUnavailable", 0, S3_SLOWER, ERR_BUSY,
	  "the server is not available", NULL },
	{ "InternalError", 0, S3_AGAIN, ERR_BUSY,
	  "the server had an internal error", NULL },
	{ "RequestTimeout", 0, S3_AGAIN, ERR_BUSY,
	  "the server waited too long for the request's bytes", NULL },
	{ "OperationAborted", 0, S3_AGAIN, ERR_BUSY,
	  "another request is in the way", NULL },
	{ "ConditionalRequestConflict", 0, S3_AGAIN, ERR_BUSY,
	  "another request is in the way", NULL },
	{ "BadDigest", 0, S3_AGAIN, ERR_BUSY,
	  "the bytes were changed on the way", NULL },
	{ "InvalidDigest", 0, S3_AGAIN, ERR_BUSY,
	  "the bytes were changed on the way", NULL },
	{ "XAmzContentSHA256Mismatch", 0, S3_AGAIN, ERR_BUSY,
	  "the bytes were changed on the way", NULL },
	{ "IncompleteBody", 0, S3_AGAIN, ERR_BUSY, "not all bytes arrived",
	  NULL },
	/* What it can hold. */
	{ "QuotaExceeded", 0, S3_FAILED, ERR_FULL, "the quota is used up",
	  NULL },
	{ "InsufficientStorage", 0, S3_FAILED, ERR_FULL, "the store is full",
	  NULL },
	{ "InvalidObjectState", 0, S3_FAILED, ERR_BUSY,
	  "the object is in an archive, from which it must be fetched first",
	  "have its storage class's restore done (some hours), then try "
	  "again" },
	{ "InvalidStorageClass", 0, S3_FAILED, ERR_USAGE,
	  "the server has no such storage class",
	  "mend class=… in the region's URL" },
	{ "NotImplemented", 0, S3_FAILED, ERR_IO,
	  "the server does not know this request",
	  "is it an S3 server, and new enough?" },

	{ NULL, 403, S3_FAILED, ERR_DENIED, "access denied", NULL },
	{ NULL, 404, S3_ABSENT, ERR_NONE, "", NULL },
	{ NULL, 408, S3_AGAIN, ERR_BUSY, "the server waited too long", NULL },
	{ NULL, 409, S3_AGAIN, ERR_BUSY, "another request is in the way",
	  NULL },
	{ NULL, 412, S3_TAKEN, ERR_NONE, "", NULL },
	{ NULL, 416, S3_BEYOND, ERR_NONE, "", NULL },
	{ NULL, 429, S3_SLOWER, ERR_BUSY, "the server asks for fewer requests",
	  NULL },
	{ NULL, 401, S3_FAILED, ERR_DENIED,
	  "the server wants other credentials", "is it an S3 server?" },
	{ NULL, 407, S3_FAILED, ERR_DENIED,
	  "the proxy wants credentials of its own",
	  "they go into the proxy's URL in https_proxy" },
	{ NULL, 500, S3_AGAIN, ERR_BUSY, "the server had an internal error",
	  NULL },
	{ NULL, 502, S3_AGAIN, ERR_BUSY,
	  "what is in front of the server "
	  "cannot reach it",
	  NULL },
	{ NULL, 503, S3_SLOWER, ERR_BUSY, "the server is not available", NULL },
	{ NULL, 504, S3_AGAIN, ERR_BUSY,
	  "what is in front of the server "
	  "cannot reach it",
	  NULL },
	{ NULL, 507, S3_FAILED, ERR_FULL, "the store is full", NULL },
};

static const struct meaning *find_meaning(const char *code, int status)
{
	const struct meaning *found = NULL;

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const struct meaning *m = &meanings[i];

		if (m->code && strcmp(m->code, code) == 0)
			return m;
		if (!m->code && m->status == status)
			found = m;
	}
	return found;
}

/* "(SlowDown, request 1234)": what a provider asks for. */
static void add_reference(struct err *e, const struct s3_exchange *x,
			  const struct s3_error *error)
{
	const char *id = error->request[0] ? error->request
					   : x->reply.request_id;
	const size_t used = strlen(e->text);
	char status[24];

	(void)snprintf(status, sizeof(status), "status %d", x->reply.status);
	(void)snprintf(e->text + used, sizeof(e->text) - used, " (%s%s%s)",
		       error->code[0] ? error->code : status,
		       id[0] ? ", request " : "", id);
}

static void hint_untrusted(const struct s3_question *q, struct err *e)
{
	if (q->place->ca[0])
		(void)err_hint(e,
			       "it must be good today and for this host, and "
			       "lead to one in the PEM file %.130s",
			       q->place->ca);
	else
		(void)err_hint(e, "it must be good today and for this host; "
				  "for an authority of your own write ca=FILE "
				  "(PEM) into the region's URL");
}

/* It ended without a reply. */
static enum s3_verdict no_reply(const struct s3_question *q,
				const struct s3_exchange *x, struct err *e)
{
	switch (x->outcome) {
	case S3_HTTP_UNREACHED:
		(void)err_set(e, ERR_BUSY, "%s cannot be reached: %s",
			      text_quote_str(q->place->host).s, x->why);
		return S3_AGAIN;
	case S3_HTTP_UNTRUSTED:
		(void)err_set(e, ERR_DENIED,
			      "the certificate of %s is not to be trusted: %s",
			      text_quote_str(q->place->host).s, x->why);
		hint_untrusted(q, e);
		return S3_FAILED;
	case S3_HTTP_TIMEOUT:
		(void)err_set(e, ERR_BUSY, "%s did not answer in time: %s",
			      text_quote_str(q->place->host).s, x->why);
		return S3_SLOWER;
	case S3_HTTP_TOO_LARGE:
		(void)err_set(e, ERR_IO, "%s sent more than it was asked for",
			      text_quote_str(q->place->host).s);
		(void)err_hint(e, "is it an S3 server?");
		return S3_FAILED;
	case S3_HTTP_REFUSED:
		(void)err_set(e, ERR_NO_MEMORY, "the request was not sent: %s",
			      x->why);
		return S3_FAILED;
	case S3_HTTP_BROKEN:
	case S3_HTTP_REPLIED:
		break;
	}
	(void)err_set(e, ERR_BUSY, "the connection to %s broke: %s",
		      text_quote_str(q->place->host).s, x->why);
	return S3_AGAIN;
}

/* The server signs for another region than we do. */
static bool is_elsewhere(const struct s3_exchange *x,
			 const struct s3_error *error)
{
	static const char *const codes[] = {
		"AuthorizationHeaderMalformed",
		"PermanentRedirect",
		"TemporaryRedirect",
		"IllegalLocationConstraintException",
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (strcmp(error->code, codes[i]) == 0)
			return true;
	}
	return x->reply.status >= 300 && x->reply.status < 400 &&
	       x->reply.region[0];
}

static void say_elsewhere(const struct s3_question *q,
			  const struct s3_exchange *x,
			  const struct s3_error *error, struct err *e)
{
	const char *region = error->region[0] ? error->region : x->reply.region;

	if (region[0] && strcmp(region, q->place->region) != 0) {
		(void)err_set(e, ERR_USAGE,
			      "the bucket is in the region %s, not in %s",
			      text_quote_str(region).s,
			      text_quote_str(q->place->region).s);
		(void)err_hint(e, "write region=%.64s into the region's URL",
			       region);
	} else if (error->endpoint[0]) {
		(void)err_set(e, ERR_USAGE, "the bucket is at %s, not at %s",
			      text_quote_str(error->endpoint).s,
			      text_quote_str(q->place->host).s);
		(void)err_hint(e, "mend endpoint= in the region's URL");
	} else {
		(void)err_set(e, ERR_USAGE,
			      "the bucket is in another region than %s",
			      text_quote_str(q->place->region).s);
		(void)err_hint(e, "mend region= or endpoint= in the region's "
				  "URL");
	}
}

/* By how much this machine's clock is ahead of the server's. */
static int64_t skew_ms(const struct s3_question *q, const struct s3_exchange *x)
{
	return x->reply.has_date ? instant_ms_between(x->reply.date, q->now)
				 : 0;
}

static void say_skewed(const struct s3_question *q, const struct s3_exchange *x,
		       struct err *e)
{
	const int64_t ms = skew_ms(q, x);
	char by[INSTANT_TEXT];

	instant_duration_format(ms < 0 ? -ms : ms, by);
	if (ms < -SKEW_MS || ms > SKEW_MS)
		(void)err_set(e, ERR_DENIED,
			      "this machine's clock is %s %s the server's", by,
			      ms < 0 ? "behind" : "ahead of");
	else
		(void)err_set(e, ERR_DENIED,
			      "the server finds the request too old or too "
			      "young");
	(void)err_hint(e, "set the clock (timedatectl, chronyc): signatures "
			  "are good for 15 minutes");
}

static bool is_skewed(const struct s3_error *error)
{
	return strcmp(error->code, "RequestTimeTooSkewed") == 0 ||
	       strcmp(error->code, "RequestExpired") == 0;
}

/* What helps somebody who was refused. */
static void hint_refused(const struct s3_question *q, const struct meaning *m,
			 struct err *e)
{
	/* Of keys that are none it matters where they are from, not what they
	 * would be allowed. */
	if (m->verdict == S3_NEW_KEYS)
		(void)err_hint(e, "%s%sthe access key %.40s is from %.100s",
			       m->hint ? m->hint : "", m->hint ? "; " : "",
			       q->key_id, q->origin);
	else if (!e->hint[0])
		(void)err_hint(e,
			       "the access key %.40s (from %.100s) needs %s "
			       "here",
			       q->key_id, q->origin, q->right);
}

static enum s3_verdict refused(const struct s3_question *q,
			       const struct s3_exchange *x,
			       const struct s3_error *error, struct err *e)
{
	const struct meaning *m = find_meaning(error->code, x->reply.status);

	if (is_elsewhere(x, error)) {
		say_elsewhere(q, x, error, e);
		return S3_FAILED;
	}
	if (is_skewed(error)) {
		say_skewed(q, x, e);
		add_reference(e, x, error);
		return S3_FAILED;
	}
	/* Whatever is in front of a server answers so, too: a thing is absent
	 * when S3 says so in its own words. */
	if (m && m->verdict == S3_ABSENT && !m->code && q->has_words) {
		(void)err_set(e, ERR_BUSY,
			      "what answered does not know the bucket, and is "
			      "perhaps no S3 server");
		(void)err_hint(e, "look at the endpoint, and at what is in "
				  "between: a proxy, a load balancer");
		add_reference(e, x, error);
		return S3_AGAIN;
	}
	if (m && m->err == ERR_NONE)
		return m->verdict;
	if (m) {
		(void)err_set(e, m->err, "%s", m->words);
		if (m->hint)
			(void)err_hint(e, "%s", m->hint);
		if (m->err == ERR_DENIED)
			hint_refused(q, m, e);
	} else {
		(void)err_set(e, ERR_IO, "the server refused: %s",
			      error->message[0]
				      ? text_quote_str(error->message).s
				      : "it does not say why");
		if (!error->code[0])
			(void)err_hint(e, "is it an S3 server?");
	}
	add_reference(e, x, error);
	return m ? m->verdict : S3_FAILED;
}

enum s3_verdict s3_answer(const struct s3_question *q,
			  const struct s3_exchange *x,
			  const struct s3_error *error, struct err *e)
{
	err_clear(e);
	if (x->outcome != S3_HTTP_REPLIED)
		return no_reply(q, x, e);
	/* CompleteMultipartUpload begins with 200 before it knows. */
	if (x->reply.status >= 200 && x->reply.status < 300 && !error->code[0])
		return S3_DONE;
	return refused(q, x, error, e);
}

/* ---- again -------------------------------------------------------------- */

#define DELAY_MS     INT64_C(100)
#define DELAY_MAX_MS INT64_C(20000)
#define ASKED_MAX_S  INT64_C(60)

int64_t s3_delay_ms(unsigned int attempt, uint64_t chance,
		    int64_t retry_after_s)
{
	int64_t most = DELAY_MS;
	int64_t ms;

	while (attempt-- > 1 && most < DELAY_MAX_MS)
		most *= 2;
	if (most > DELAY_MAX_MS)
		most = DELAY_MAX_MS;
	ms = (int64_t)(chance % (uint64_t)(most + 1));
	if (retry_after_s > ASKED_MAX_S)
		retry_after_s = ASKED_MAX_S;
	/* Those who were all told the same come back apart. */
	return retry_after_s > 0 ? retry_after_s * 1000 + ms : ms;
}

#define NARROW_MS 1000

void s3_lanes_init(struct s3_lanes *l)
{
	*l = (struct s3_lanes){ .width = S3_LANES_START,
				.narrowed_ms = INT64_MIN / 2 };
}

void s3_lanes_passed(struct s3_lanes *l)
{
	l->width += 1 / l->width;
	if (l->width > S3_LANES_MAX)
		l->width = S3_LANES_MAX;
}

void s3_lanes_slowed(struct s3_lanes *l, int64_t now_ms)
{
	if (now_ms - l->narrowed_ms < NARROW_MS)
		return;
	l->narrowed_ms = now_ms;
	l->width /= 2;
	if (l->width < 1)
		l->width = 1;
}

unsigned int s3_lanes_width(const struct s3_lanes *l)
{
	return (unsigned int)l->width;
}
