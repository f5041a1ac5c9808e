/*
 * Services that give keys: STS for the token of a web identity, the agent of
 * a container, the metadata of an instance.
 *
 * The last two are next to this process and answer at once, so that they are
 * not waited for long: a machine that has none is told within three seconds.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/stores/s3_credentials_internal.h"
#include "storage/stores/s3_xml.h"
#include "storage/stores/store.h"

/* Each is asked so often, if it may help. */
#define TRIES	 2
#define PAUSE_MS 200
#define POLL_MS	 INT64_C(100)

/* Of an instance's or a container's service. */
#define NEAR_CONNECT_MS 1000
#define NEAR_WHOLE_MS	5000
/* Of the first question to an instance: where nobody listens, and also where
 * the answer does not come as far as into a container, this is what is lost. */
#define FIRST_WHOLE_MS 1300
/* Of STS. */
#define FAR_WHOLE_MS 30000

#define HEADERS_MAX (S3_CREDENTIALS_TOKEN_MAX + 1024)

/* What is asked, and what came back. */
struct question {
	const char *method;
	const char *url;
	struct buf *headers;
	const struct buf *body; /* or NULL */
	bool near;
	int64_t whole_ms;
	struct buf reply;
	int status; /* 0: there was none */
	char why[200];
};

static void ask_once(struct s3_http *http, struct question *q)
{
	struct s3_exchange x = {
		.method = q->method,
		.url = q->url,
		.headers = buf_str(q->headers),
		.headers_len = q->headers->len,
		.body = q->body ? q->body->data : NULL,
		.body_len = q->body ? q->body->len : 0,
		.no_proxy = q->near,
		.connect_ms = q->near ? NEAR_CONNECT_MS : 0,
		.whole_ms = q->whole_ms,
		.body_buf = &q->reply,
	};

	buf_clear(&q->reply);
	s3_http_start(http, &x);
	/* Keys are for what comes, and when the program is to stop nothing
	 * does that is worth waiting for. */
	while (!s3_http_wait_ms(http, &x, POLL_MS)) {
		if (store_is_stopping())
			s3_http_cancel(http, &x);
	}
	q->status = x.outcome == S3_HTTP_REPLIED ? x.reply.status : 0;
	(void)snprintf(q->why, sizeof(q->why), "%s", x.why);
	if (x.outcome == S3_HTTP_UNTRUSTED || x.outcome == S3_HTTP_TOO_LARGE)
		q->status = -1;
}

/*
 * 0 when there was a reply that is final; ERR_BUSY when none came or the
 * service says that it is busy, ERR_IO when trying again is no use.
 */
static int ask(struct s3_http *http, struct question *q, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		if (i > 0)
			clock_sleep_ms(PAUSE_MS);
		ask_once(http, q);
		if (q->status <= 0 && store_is_stopping())
			return err_set(e, ERR_INTERRUPTED, "stopped as asked");
		if (q->status < 0)
			return err_set(e, ERR_IO, "cannot be asked: %s",
				       q->why);
		if (q->status > 0 && q->status < 500 && q->status != 429)
			return 0;
	}
	if (q->status > 0)
		return err_set(e, ERR_BUSY, "is busy (HTTP status %d)",
			       q->status);
	return err_set(e, ERR_BUSY, "cannot be reached: %s", q->why);
}

static void question_init(struct question *q, struct buf *headers)
{
	*q = (struct question){ .method = "GET", .headers = headers };
	buf_init(headers, HEADERS_MAX);
	buf_init(&q->reply, S3_CREDENTIALS_REPLY_MAX);
}

static int add_header(struct buf *headers, const char *name, const char *value,
		      struct err *e)
{
	if (buf_add_str(headers, name, e) || buf_add_str(headers, ": ", e) ||
	    buf_add_str(headers, value, e))
		return -1;
	return buf_add_byte(headers, 0, e);
}

/* ---- Addresses ---------------------------------------------------------- */

struct address {
	bool tls;
	const char *host; /* borrowed; without its port */
	size_t host_n;
};

/* http:// or https://HOST[:PORT][/…], and nothing that is no text of a URL. */
static int parse_address(const char *what, const char *url, struct address *ret,
			 struct err *e)
{
	const size_t scheme = strncasecmp(url, "https://", 8) == 0  ? 8
			      : strncasecmp(url, "http://", 7) == 0 ? 7
								    : 0;
	const char *host = url + scheme;
	const size_t n = strcspn(host, "/?#");
	const char *end;

	for (const char *p = url; *p; p++)
		if (*p < 0x21 || *p > 0x7e)
			return err_set(e, ERR_USAGE,
				       "%s holds a byte that no URL has", what);
	if (!scheme)
		return err_set(e, ERR_USAGE,
			       "%s is no URL (http:// or https://)", what);
	if (memchr(host, '@', n))
		return err_set(e, ERR_USAGE,
			       "%s names a user: a URL may hold no passwords",
			       what);
	end = host[0] == '[' ? memchr(host, ']', n) : memchr(host, ':', n);
	if (host[0] == '[' && end)
		end++;
	ret->tls = scheme == 8;
	ret->host = host;
	ret->host_n = end ? (size_t)(end - host) : n;
	if (ret->host_n == 0)
		return err_set(e, ERR_USAGE, "%s names no host", what);
	return 0;
}

/* 127.0.0.0/8, in four numbers: "127.evil.example" is a name. */
static bool is_loopback(const char *host, size_t n)
{
	unsigned int dots = 0;
	unsigned int digits = 0;

	if (n > 15 || n < 4 || memcmp(host, "127.", 4) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (host[i] == '.' && digits > 0) {
			dots++;
			digits = 0;
		} else if (host[i] >= '0' && host[i] <= '9' && digits < 3) {
			digits++;
		} else {
			return false;
		}
	}
	return dots == 3 && digits > 0;
}

bool s3_credentials_near(const char *host, size_t n)
{
	static const char *const known[] = {
		"localhost",	  "[::1]", "169.254.170.2", /* ECS */
		"169.254.170.23",			    /* EKS */
		"[fd00:ec2::23]",			    /* EKS, IPv6 */
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (n == strlen(known[i]) && !strncasecmp(host, known[i], n))
			return true;
	return is_loopback(host, n);
}

/* ---- STS ---------------------------------------------------------------- */

static int sts_url(const struct s3_place *p, struct buf *url, struct err *e)
{
	const char *set = s3_credentials_variable("AWS_ENDPOINT_URL_STS");
	const char *what = "AWS_ENDPOINT_URL_STS";
	const char *region = s3_credentials_variable("AWS_REGION");
	struct address a;

	if (!set) {
		what = "AWS_ENDPOINT_URL";
		set = s3_credentials_variable(what);
	}
	if (set) {
		if (parse_address(what, set, &a, e) || buf_add_str(url, set, e))
			return -1;
		return strchr(a.host, '/') ? 0 : buf_add_byte(url, '/', e);
	}
	if (!region)
		region = s3_credentials_variable("AWS_DEFAULT_REGION");
	if (!region)
		region = p->region;
	/* It becomes part of a host's name. */
	if (!region[0] || strlen(region) > 63 ||
	    region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return err_set(e, ERR_USAGE, "%s is no region of Amazon's",
			       text_quote_str(region).s);
	return buf_addf(url, e, "https://sts.%s.amazonaws.com%s/", region,
			strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

static int sts_form(const char *role, const struct buf *token, struct buf *form,
		    struct err *e)
{
	const char *session = s3_credentials_variable("AWS_ROLE_SESSION_NAME");

	if (s3_query_add(form, "Action", "AssumeRoleWithWebIdentity", e) ||
	    s3_query_add(form, "RoleArn", role, e) ||
	    s3_query_add(form, "RoleSessionName", session ? session : "snapctl",
			 e) ||
	    s3_query_add(form, "Version", "2011-06-15", e))
		return -1;
	return s3_query_add(form, "WebIdentityToken", buf_str(token), e);
}

/* A message may repeat what it is about; one that does is not shown. */
static bool repeats(const char *message, const struct buf *token)
{
	const size_t n = strlen(message);
	const size_t some = token->len < 16 ? token->len : 16;

	for (size_t i = 0; i + some <= n; i++)
		if (memmem(token->data, token->len, message + i, some))
			return true;
	return false;
}

static int sts_refusal(const struct question *q, const struct buf *token,
		       struct err *e)
{
	struct s3_error said;

	if (!s3_xml_error(q->reply.data ? (const void *)q->reply.data : "",
			  q->reply.len, &said))
		return err_set(e, ERR_IO, "replies with HTTP status %d",
			       q->status);
	if (repeats(said.message, token) || repeats(said.code, token))
		return err_set(e, ERR_DENIED, "refuses (HTTP status %d)",
			       q->status);
	/* The provider of the identity could not be asked. */
	if (strcmp(said.code, "IDPCommunicationError") == 0 ||
	    strcmp(said.code, "Throttling") == 0)
		return err_set(e, ERR_BUSY, "is busy: %s", said.code);
	(void)err_set(e, ERR_DENIED, "refuses: %.60s: %.200s", said.code,
		      said.message);
	if (strcmp(said.code, "AccessDenied") == 0 ||
	    strcmp(said.code, "InvalidIdentityToken") == 0)
		(void)err_hint(e, "the role's trust policy must name this "
				  "identity's provider and subject");
	return -1;
}

/* What STS says, with the token and the form in hand. */
static int sts_ask(struct s3_http *http, const char *url,
		   const struct buf *token, const struct buf *form,
		   struct s3_credentials_got *ret, struct err *e)
{
	CLEANUP(buf_wipe) struct buf headers;
	struct question q;
	int r = -1;

	question_init(&q, &headers);
	q.method = "POST";
	q.url = url;
	q.body = form;
	q.whole_ms = FAR_WHOLE_MS;
	if (add_header(&headers, "Content-Type",
		       "application/x-www-form-urlencoded", e) == 0 &&
	    ask(http, &q, e) == 0)
		r = q.status == 200 ? s3_credentials_xml(buf_str(&q.reply),
							 q.reply.len, ret, e)
				    : sts_refusal(&q, token, e);
	buf_wipe(&q.reply);
	return r;
}

int s3_credentials_from_sts(const struct s3_place *p, struct s3_http *http,
			    struct s3_credentials_got *ret, struct err *e)
{
	const char *file = s3_credentials_variable(
		"AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *role = s3_credentials_variable("AWS_ROLE_ARN");
	CLEANUP(buf_wipe) struct buf token;
	CLEANUP(buf_wipe) struct buf form;
	CLEANUP(buf_done) struct buf url;

	buf_init(&token, S3_CREDENTIALS_TOKEN_MAX + 1);
	buf_init(&form, 3 * S3_CREDENTIALS_TOKEN_MAX + 8192);
	buf_init(&url, 4096);
	if (!file || !role)
		return err_set(
			e, ERR_USAGE, "%s is set, and %s is not",
			role ? "AWS_ROLE_ARN" : "AWS_WEB_IDENTITY_TOKEN_FILE",
			role ? "AWS_WEB_IDENTITY_TOKEN_FILE" : "AWS_ROLE_ARN");
	(void)snprintf(ret->origin, sizeof(ret->origin),
		       "the role %.180s (web identity)",
		       text_quote_str(role).s);
	if (s3_credentials_token_file(file, &token, e) || sts_url(p, &url, e) ||
	    sts_form(role, &token, &form, e))
		return -1;
	if (sts_ask(http, buf_str(&url), &token, &form, ret, e))
		return err_wrap(e, "STS (%.200s)", buf_str(&url));
	return 1;
}

/* ---- The container's agent ---------------------------------------------- */

static int container_url(struct buf *url, struct err *e)
{
	const char *relative = s3_credentials_variable(
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = s3_credentials_variable(
		"AWS_CONTAINER_CREDENTIALS_FULL_URI");
	struct address a;

	if (relative) {
		if (relative[0] != '/')
			return err_set(e, ERR_USAGE,
				       "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI "
				       "does not begin with \"/\"");
		if (buf_addf(url, e, "http://169.254.170.2%s", relative))
			return -1;
		return parse_address("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
				     buf_str(url), &a, e);
	}
	if (!full)
		return err_set(e, ERR_USAGE,
			       "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set "
			       "any more");
	if (parse_address("AWS_CONTAINER_CREDENTIALS_FULL_URI", full, &a, e))
		return -1;
	if (!a.tls && !s3_credentials_near(a.host, a.host_n)) {
		err_put_(e, ERR_USAGE,
			 "AWS_CONTAINER_CREDENTIALS_FULL_URI would have keys "
			 "sent in the clear by %s",
			 text_quote(a.host, a.host_n).s);
		return err_hint(e, "use https://; http:// is for this machine "
				   "and for the agents of ECS and EKS");
	}
	return buf_add_str(url, full, e);
}

static int container_token(struct buf *headers, struct err *e)
{
	const char *file = s3_credentials_variable(
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *plain = s3_credentials_variable(
		"AWS_CONTAINER_AUTHORIZATION_TOKEN");
	CLEANUP(buf_wipe) struct buf token;

	buf_init(&token, S3_CREDENTIALS_TOKEN_MAX + 1);
	if (file) {
		if (s3_credentials_token_file(file, &token, e))
			return -1;
		return add_header(headers, "Authorization", buf_str(&token), e);
	}
	if (!plain)
		return 0;
	/* "Bearer …" has a blank. */
	for (const char *p = plain; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return err_set(e, ERR_USAGE,
				       "AWS_CONTAINER_AUTHORIZATION_TOKEN is "
				       "no text for a header");
	if (strlen(plain) > S3_CREDENTIALS_TOKEN_MAX)
		return err_set(e, ERR_USAGE,
			       "AWS_CONTAINER_AUTHORIZATION_TOKEN is too long");
	return add_header(headers, "Authorization", plain, e);
}

/* A reply with keys, of the container's agent or the instance. */
static int near_keys(const struct question *q, struct s3_credentials_got *ret,
		     struct err *e)
{
	if (q->status == 401 || q->status == 403 || q->status == 404)
		return err_set(e, ERR_DENIED, "refuses (HTTP status %d)",
			       q->status);
	if (q->status != 200)
		return err_set(e, ERR_IO, "replies with HTTP status %d",
			       q->status);
	if (s3_credentials_json(buf_str(&q->reply), q->reply.len, ret, e))
		return err_wrap(e, "what it replies");
	return 0;
}

int s3_credentials_from_container(struct s3_http *http,
				  struct s3_credentials_got *ret, struct err *e)
{
	CLEANUP(buf_wipe) struct buf headers;
	CLEANUP(buf_done) struct buf url;
	struct address a;
	struct question q;
	int r;

	buf_init(&url, 4096);
	question_init(&q, &headers);
	if (container_url(&url, e) || container_token(&headers, e) ||
	    parse_address("it", buf_str(&url), &a, e))
		return -1;
	(void)snprintf(ret->origin, sizeof(ret->origin),
		       "the container's credentials service at %.180s",
		       text_quote(a.host, a.host_n).s);
	q.url = buf_str(&url);
	q.near = true;
	q.whole_ms = NEAR_WHOLE_MS;
	r = ask(http, &q, e) || near_keys(&q, ret, e) ? -1 : 1;
	buf_wipe(&q.reply);
	if (r < 0)
		return err_wrap(e, "the container's credentials service (%s)",
				text_quote(a.host, a.host_n).s);
	return r;
}

/* ---- The instance's metadata -------------------------------------------- */

#define ROLES "/latest/meta-data/iam/security-credentials/"

struct instance {
	struct s3_http *http;
	char base[512];	    /* without "/" at its end */
	struct buf headers; /* with the session's token */
	char role[72];
	char url[800];
};

static int instance_base(struct instance *in, struct err *e)
{
	const char *what = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
	const char *set = s3_credentials_variable(what);
	const char *mode = s3_credentials_variable(
		"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	struct address a;
	size_t n;

	if (!set)
		set = mode && strcasecmp(mode, "IPv6") == 0
			      ? "http://[fd00:ec2::254]"
			      : "http://169.254.169.254";
	if (parse_address(what, set, &a, e))
		return -1;
	n = strlen(set);
	while (n > 0 && set[n - 1] == '/')
		n--;
	if (n >= sizeof(in->base))
		return err_set(e, ERR_USAGE, "%s is too long", what);
	(void)snprintf(in->base, sizeof(in->base), "%.*s", (int)n, set);
	return 0;
}

/* A body that is one line of text for a header or a path. */
static bool one_line(const struct buf *body, size_t *ret_n)
{
	size_t n = 0;

	while (n < body->len && body->data[n] > 0x20 && body->data[n] < 0x7f)
		n++;
	*ret_n = n;
	return n > 0 && (n == body->len || body->data[n] == '\r' ||
			 body->data[n] == '\n');
}

/* 1, or 0 when nobody there knows of such a thing. */
static int session_token(struct instance *in, struct err *e)
{
	CLEANUP(buf_done) struct buf headers;
	CLEANUP(buf_wipe) struct buf token;
	struct question q;
	char url[640];
	size_t n;
	int r = -1;

	buf_init(&token, S3_CREDENTIALS_TOKEN_MAX);
	question_init(&q, &headers);
	(void)snprintf(url, sizeof(url), "%s/latest/api/token", in->base);
	q.method = "PUT";
	q.url = url;
	q.near = true;
	q.whole_ms = FIRST_WHOLE_MS;
	if (add_header(&headers, "X-aws-ec2-metadata-token-ttl-seconds",
		       "21600", e))
		return -1;
	if (ask(in->http, &q, e)) {
		r = e->code == ERR_BUSY && q.status == 0 ? 0 : -1;
	} else if (q.status == 404 || q.status == 405) {
		/* Another cloud's. */
		(void)err_set(e, ERR_DENIED, "has no session tokens");
		r = 0;
	} else if (q.status == 403) {
		(void)err_set(e, ERR_DENIED, "is switched off");
		r = 0;
	} else if (q.status != 200 || !one_line(&q.reply, &n) ||
		   n > S3_CREDENTIALS_TOKEN_MAX) {
		(void)err_set(e, ERR_IO,
			      "gives no session token (HTTP status "
			      "%d)",
			      q.status);
	} else if (buf_add(&token, q.reply.data, n, e) == 0 &&
		   add_header(&in->headers, "X-aws-ec2-metadata-token",
			      buf_str(&token), e) == 0) {
		r = 1;
	}
	buf_wipe(&q.reply);
	return r;
}

static int instance_get(struct instance *in, const char *path, const char *name,
			struct question *q, struct err *e)
{
	*q = (struct question){ .method = "GET", .headers = &in->headers };
	buf_init(&q->reply, S3_CREDENTIALS_REPLY_MAX);
	(void)snprintf(in->url, sizeof(in->url), "%s%s%s", in->base, path,
		       name);
	q->url = in->url;
	q->near = true;
	q->whole_ms = NEAR_WHOLE_MS;
	return ask(in->http, q, e);
}

/* The role's name; the characters are those that IAM allows. */
static int instance_role(struct instance *in, struct err *e)
{
	struct question q;
	size_t n = 0;
	int r = instance_get(in, ROLES, "", &q, e);

	if (r == 0 && (q.status == 404 || (q.status == 200 && !q.reply.len))) {
		err_put_(e, ERR_DENIED, "knows no role of this instance");
		r = err_hint(e, "give the instance a profile whose role may "
				"use the bucket");
	} else if (r == 0 && q.status != 200) {
		r = err_set(e, ERR_IO, "replies with HTTP status %d", q.status);
	} else if (r == 0 &&
		   (!one_line(&q.reply, &n) || n >= sizeof(in->role))) {
		r = err_set(e, ERR_IO, "says no name of a role");
	} else if (r == 0) {
		memcpy(in->role, q.reply.data, n);
		in->role[n] = '\0';
		for (size_t i = 0; i < n; i++)
			if (strchr("/?#%&\\\"<>:;", in->role[i]))
				r = err_set(e, ERR_IO,
					    "says no name of a role");
	}
	buf_wipe(&q.reply);
	return r;
}

static int instance_keys(struct instance *in, struct s3_credentials_got *ret,
			 struct err *e)
{
	struct question q;
	int r = instance_get(in, ROLES, in->role, &q, e);

	if (r == 0)
		r = near_keys(&q, ret, e);
	buf_wipe(&q.reply);
	return r;
}

int s3_credentials_from_instance(struct s3_http *http,
				 struct s3_credentials_got *ret, struct err *e)
{
	struct instance in = { .http = http };
	int r;

	(void)snprintf(ret->origin, sizeof(ret->origin),
		       "this instance's metadata");
	if (instance_base(&in, e))
		return -1;
	buf_init(&in.headers, HEADERS_MAX);
	r = session_token(&in, e);
	if (r > 0)
		r = instance_role(&in, e) || instance_keys(&in, ret, e) ? -1
									: 1;
	buf_wipe(&in.headers);
	if (r > 0)
		(void)snprintf(ret->origin, sizeof(ret->origin),
			       "the role %.100s of this instance",
			       text_quote_str(in.role).s);
	else
		(void)err_wrap(e, "the instance's metadata service (%.200s)",
			       in.base);
	return r;
}
