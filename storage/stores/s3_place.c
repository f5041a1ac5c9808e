#include "storage/stores/s3_place.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "storage/stores/s3_sign.h"

#define LETTERS_LOW "abcdefghijklmnopqrstuvwxyz"
#define LETTERS_UP  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	    "0123456789"
#define NAME_SHOWN  24
#define HOST_ROOM   256 /* of a name; a DNS name has at most 253 bytes */

/* What a URL says, before it is put together. */
struct parsed {
	struct s3_place p;
	char endpoint[512];
	char style[16];
	char list[16];
	bool seen[16]; /* by the number of the parameter */
};

/* 0, or -1 with what is wrong about a value in *e. */
typedef int check_value(const char *name, const char *value, struct err *e);

static int check_file(const char *name, const char *value, struct err *e)
{
	/* It may be a secret that somebody put here: not repeated. */
	if (value[0] != '/')
		return err_set(e, ERR_USAGE,
			       "%s= takes the absolute path of a file", name);
	return 0;
}

static int check_alphabet(const char *name, const char *value,
			  const char *alphabet, struct err *e)
{
	if (value[strspn(value, alphabet)])
		return err_set(e, ERR_USAGE, "%s= cannot be %s", name,
			       text_quote_str(value).s);
	return 0;
}

static int check_word(const char *name, const char *value, struct err *e)
{
	return check_alphabet(name, value, LETTERS_LOW LETTERS_UP DIGITS "-_.",
			      e);
}

/* Ends up in a header, which is printable ASCII. */
static int check_header(const char *name, const char *value, struct err *e)
{
	return check_alphabet(name, value,
			      LETTERS_LOW LETTERS_UP DIGITS "-_.:/+=,@", e);
}

static int check_style(const char *name, const char *value, struct err *e)
{
	if (strcmp(value, "path") != 0 && strcmp(value, "virtual") != 0)
		return err_set(e, ERR_USAGE, "%s= is path or virtual, not %s",
			       name, text_quote_str(value).s);
	return 0;
}

static int check_sse(const char *name, const char *value, struct err *e)
{
	if (strcmp(value, "AES256") != 0 && strcmp(value, "aws:kms") != 0)
		return err_set(e, ERR_USAGE, "%s= is AES256 or aws:kms, not %s",
			       name, text_quote_str(value).s);
	return 0;
}

static int check_list(const char *name, const char *value, struct err *e)
{
	if (strcmp(value, "eventual") != 0)
		return err_set(e, ERR_USAGE, "%s= is eventual, not %s", name,
			       text_quote_str(value).s);
	return 0;
}

static int check_lock(const char *name, const char *value, struct err *e)
{
	if (strcmp(value, "compliance") != 0 &&
	    strcmp(value, "governance") != 0 && strcmp(value, "off") != 0)
		return err_set(e, ERR_USAGE,
			       "%s= is compliance, governance or off, not %s",
			       name, text_quote_str(value).s);
	return 0;
}

#define IN(member) \
	offsetof(struct parsed, member), sizeof(((struct parsed *)NULL)->member)

static const struct parameter {
	const char *name;
	size_t offset;
	size_t room;
	check_value *check;
} parameters[] = {
	{ "endpoint", IN(endpoint), NULL },
	{ "region", IN(p.region), check_word },
	{ "style", IN(style), check_style },
	{ "profile", IN(p.profile), NULL },
	{ "credentials", IN(p.credentials), check_file },
	{ "ca", IN(p.ca), check_file },
	{ "class", IN(p.class), check_word },
	{ "sse", IN(p.sse), check_sse },
	{ "sse-key", IN(p.sse_key), check_header },
	{ "list", IN(list), check_list },
	{ "lock", IN(p.lock), check_lock },
};
#define N_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))
static_assert(N_PARAMETERS <= sizeof(((struct parsed *)NULL)->seen), "seen[]");

/* --- Names of parameters ----------------------------------------------- */

/* Whether someone means to say who they are with a parameter of this name. */
static bool secretive(const char *name, size_t n)
{
	static const char *const signs[] = { "secret",	   "access",
					     "token",	   "passw",
					     "credential", "signature",
					     "apikey" };
	char low[64];

	if (n >= sizeof(low))
		n = sizeof(low) - 1;
	for (size_t i = 0; i < n; i++)
		low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 32
								 : name[i]);
	low[n] = '\0';
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(low, signs[i]))
			return true;
	return strcmp(low, "key") == 0 || strcmp(low, "user") == 0 ||
	       strcmp(low, "pass") == 0;
}

static int refuse_credentials(struct err *e)
{
	(void)err_set(e, ERR_USAGE,
		      "an S3 URL holds no credentials, and this one seems to");
	return err_hint(e, "put them into a file of the shared credentials "
			   "file's form and name it: credentials=/FILE");
}

static int unknown_parameter(const char *name, size_t n, struct err *e)
{
	char text[NAME_SHOWN + 1];
	const char *near = NULL;
	unsigned int best = 3; /* farther ones are not meant */

	if (secretive(name, n))
		return refuse_credentials(e);
	if (n > NAME_SHOWN) /* it may be anything, secrets included */
		return err_set(e, ERR_USAGE,
			       "an S3 URL has no parameter of %zu bytes", n);
	(void)err_set(e, ERR_USAGE, "an S3 URL has no parameter %s",
		      text_quote(name, n).s);
	memcpy(text, name, n);
	text[n] = '\0';
	for (size_t i = 0; i < N_PARAMETERS; i++) {
		const unsigned int d = text_distance(text, parameters[i].name);

		if (d < best) {
			best = d;
			near = parameters[i].name;
		}
	}
	return near ? err_hint(e, "did you mean \"%s\"?", near)
		    : err_hint(
			      e,
			      "known are endpoint, region, style, profile, "
			      "credentials, ca, class, sse, sse-key, list, lock");
}

/* --- Text --------------------------------------------------------------- */

static bool has_control_bytes(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

/* The n bytes of in without percent codes, as text. */
static int decode(const char *what, const char *in, size_t n, char *out,
		  size_t room, struct err *e)
{
	const ptrdiff_t len = s3_decode(in, n, false, out, room);

	if (len < 0)
		return err_set(e, ERR_USAGE,
			       "a %% in %s begins no code of a byte", what);
	if ((size_t)len >= room)
		return err_set(e, ERR_USAGE, "%s is longer than %zu bytes",
			       what, room - 1);
	if (has_control_bytes(out) || !text_is_utf8(out, (size_t)len))
		return err_set(e, ERR_USAGE,
			       "%s holds control bytes, or is no UTF-8", what);
	return 0;
}

static int parse_parameter(const char *at, size_t n, struct parsed *s,
			   struct err *e)
{
	const char *equals = memchr(at, '=', n);
	const size_t name_len = equals ? (size_t)(equals - at) : n;
	const struct parameter *x = NULL;
	char what[32];
	char *out;

	for (size_t i = 0; i < N_PARAMETERS && !x; i++)
		if (strlen(parameters[i].name) == name_len &&
		    memcmp(parameters[i].name, at, name_len) == 0)
			x = &parameters[i];
	if (!x)
		return unknown_parameter(at, name_len, e);
	if (s->seen[x - parameters])
		return err_set(e, ERR_USAGE, "%s= is there twice", x->name);
	s->seen[x - parameters] = true;
	if (!equals || name_len + 1 == n)
		return err_set(e, ERR_USAGE, "%s= has no value", x->name);
	out = (char *)s + x->offset;
	(void)snprintf(what, sizeof(what), "%s=", x->name);
	if (decode(what, equals + 1, n - name_len - 1, out, x->room, e) < 0)
		return -1;
	return x->check ? x->check(x->name, out, e) : 0;
}

static int parse_query(const char *query, struct parsed *s, struct err *e)
{
	for (;;) {
		const size_t n = strcspn(query, "&");

		if (parse_parameter(query, n, s, e) < 0)
			return -1;
		if (!query[n])
			return 0;
		query += n + 1;
	}
}

/* --- Bucket and prefix -------------------------------------------------- */

static bool is_ipv4(const char *s)
{
	struct in_addr ignored;

	return inet_pton(AF_INET, s, &ignored) == 1;
}

static bool alphanumeric(char c)
{
	return c && strchr(LETTERS_LOW LETTERS_UP DIGITS, c);
}

/* What is wrong about it under either style, or NULL. */
static const char *bucket_fault(const char *b, bool strict)
{
	const size_t n = strlen(b);

	if (n < 3)
		return "is shorter than 3 characters";
	if (strict && b[strspn(b, LETTERS_LOW DIGITS ".-")])
		return "holds more than a-z, 0-9, dots and hyphens";
	if (b[strspn(b, LETTERS_LOW LETTERS_UP DIGITS "._-")])
		return "holds more than letters, digits, dots, hyphens and "
		       "underscores";
	if (!alphanumeric(b[0]) || !alphanumeric(b[n - 1]))
		return "does not begin and end with a letter or digit";
	if (strstr(b, ".."))
		return "has two dots in a row";
	if (is_ipv4(b))
		return "looks like an IP address";
	return NULL;
}

static int check_bucket(const struct s3_place *p, struct err *e)
{
	const char *fault = bucket_fault(p->bucket, !p->path_style);

	if (!fault)
		return 0;
	(void)err_set(e, ERR_USAGE, "the bucket's name %s %s",
		      text_quote_str(p->bucket).s, fault);
	if (!p->path_style && !bucket_fault(p->bucket, false))
		return err_hint(e, "with style=path its server may take it");
	return -1;
}

/* The n bytes between the bucket and the query, less the first slash. */
static int parse_prefix(const char *at, size_t n, struct s3_place *p,
			struct err *e)
{
	const char *c = p->prefix;
	size_t len;

	if (decode("the prefix", at, n, p->prefix, sizeof(p->prefix), e) < 0)
		return -1;
	len = strlen(p->prefix);
	if (len == 0)
		return 0;
	if (p->prefix[len - 1] != '/') {
		if (len + 2 > sizeof(p->prefix))
			return err_set(e, ERR_USAGE,
				       "the prefix is longer than %zu bytes",
				       sizeof(p->prefix) - 2);
		memcpy(p->prefix + len, "/", 2);
	}
	while (*c) {
		const size_t k = strcspn(c, "/");

		if (k == 0 ||
		    (c[0] == '.' && (k == 1 || (k == 2 && c[1] == '.'))))
			return err_set(e, ERR_USAGE,
				       "the prefix %s has a component that is "
				       "empty, \".\" or \"..\"",
				       text_quote_str(p->prefix).s);
		c += k + 1;
	}
	return 0;
}

/* --- Endpoint ----------------------------------------------------------- */

static int bad_endpoint(const char *endpoint, const char *why, struct err *e)
{
	(void)err_set(e, ERR_USAGE, "the endpoint %s %s",
		      text_quote_str(endpoint).s, why);
	return err_hint(e, "write http://HOST:PORT or https://HOST:PORT");
}

/*
 * A name is what DNS may know; and what the C library or libcurl would take
 * for an address in another way of writing ("127.1", "0x7f.1") is refused: it
 * would be sent as another host than the one that is signed.
 */
static bool host_name_ok(const char *s)
{
	const char *label = s;

	if (strlen(s) > 253 || s[strspn(s, LETTERS_LOW DIGITS "-_.")])
		return false;
	for (;;) {
		const size_t n = strcspn(label, ".");

		if (n == 0 || n > 63 || label[0] == '-' || label[n - 1] == '-')
			return false;
		if (!label[n])
			break;
		label += n + 1;
	}
	if (!label[strspn(label, DIGITS)] ||
	    (label[0] == '0' && label[1] == 'x'))
		return is_ipv4(s);
	return true;
}

/* "[ADDRESS]", written in the one way that there is. */
static bool normal_ipv6(char host[HOST_ROOM])
{
	struct in6_addr a;
	char text[INET6_ADDRSTRLEN];
	const size_t n = strlen(host);

	if (n < 4 || host[n - 1] != ']')
		return false;
	host[n - 1] = '\0';
	if (inet_pton(AF_INET6, host + 1, &a) != 1 ||
	    !inet_ntop(AF_INET6, &a, text, sizeof(text)))
		return false;
	(void)snprintf(host, HOST_ROOM, "[%s]", text);
	return true;
}

/* The port after ":"; the scheme's own is 0, as it is not sent. */
static bool parse_port(const char *s, bool tls, int64_t *ret)
{
	if (strspn(s, DIGITS) != strlen(s) || !text_number(s, 1, 65535, ret))
		return false;
	if (*ret == (tls ? 443 : 80))
		*ret = 0;
	return true;
}

static int parse_authority(const char *endpoint, const char *at, size_t n,
			   struct s3_place *p, struct err *e)
{
	char host[HOST_ROOM];
	const char *end = at + n;
	const char *port_at;
	int64_t port = 0;
	size_t len;

	port_at = at[0] == '[' ? memchr(at, ']', n) : memchr(at, ':', n);
	if (port_at && *port_at == ']')
		port_at++;
	len = port_at ? (size_t)(port_at - at) : n;
	if (len == 0 || len >= sizeof(host))
		return bad_endpoint(endpoint, "has no host", e);
	for (size_t i = 0; i < len; i++)
		host[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 32
							      : at[i]);
	host[len] = '\0';
	if (at[0] == '[' ? !normal_ipv6(host) : !host_name_ok(host))
		return bad_endpoint(endpoint, "has a host that is none", e);
	if (port_at && port_at < end) {
		char digits[8];

		if (end - port_at > 6 || *port_at != ':')
			return bad_endpoint(endpoint, "has no such port", e);
		(void)snprintf(digits, sizeof(digits), "%.*s",
			       (int)(end - port_at - 1), port_at + 1);
		if (!parse_port(digits, p->tls, &port))
			return bad_endpoint(endpoint, "has no such port", e);
	}
	if (port)
		(void)snprintf(p->host, sizeof(p->host), "%s:%d", host,
			       (int)port);
	else
		(void)snprintf(p->host, sizeof(p->host), "%s", host);
	return 0;
}

static int parse_endpoint(const char *endpoint, struct s3_place *p,
			  struct err *e)
{
	const char *at = endpoint;
	size_t n;

	if (strchr(endpoint, '@'))
		return refuse_credentials(e);
	if (strncasecmp(at, "https://", 8) == 0) {
		p->tls = true;
		at += 8;
	} else if (strncasecmp(at, "http://", 7) == 0) {
		p->tls = false;
		at += 7;
	} else {
		return bad_endpoint(endpoint, "is no http or https URL", e);
	}
	n = strcspn(at, "/?#");
	if (at[n] && strcmp(at + n, "/") != 0) /* not shown: it may sign */
		return err_set(e, ERR_USAGE,
			       "the endpoint has more than a host and a port");
	return parse_authority(endpoint, at, n, p, e);
}

static int amazon_endpoint(struct s3_place *p, struct err *e)
{
	const bool china = strncmp(p->region, "cn-", 3) == 0;

	p->tls = true;
	(void)snprintf(p->host, sizeof(p->host), "s3.%s.amazonaws.com%s",
		       p->region, china ? ".cn" : "");
	if (!strchr(p->region, '.') && host_name_ok(p->host))
		return 0;
	(void)err_set(e, ERR_USAGE, "Amazon has no region %s",
		      text_quote_str(p->region).s);
	return err_hint(e, "another server needs endpoint=URL");
}

/* --- The whole ---------------------------------------------------------- */

/* Take what the environment says where the URL does not. */
static int add_default(const char *what, const char *value, char *out,
		       size_t room, struct err *e)
{
	if (out[0] || !value || !value[0])
		return 0;
	if (strlen(value) >= room || has_control_bytes(value) ||
	    !text_is_utf8(value, strlen(value)))
		return err_set(e, ERR_USAGE,
			       "%s that the environment names makes no sense",
			       what);
	memcpy(out, value, strlen(value) + 1);
	return 0;
}

static int add_defaults(const struct s3_defaults *d, struct parsed *s,
			struct err *e)
{
	struct s3_place *p = &s->p;

	p->profile_named = p->profile[0] != '\0';
	if (add_default("the endpoint", d->endpoint, s->endpoint,
			sizeof(s->endpoint), e) < 0 ||
	    add_default("the region", d->region, p->region, sizeof(p->region),
			e) < 0 ||
	    add_default("the profile", d->profile, p->profile,
			sizeof(p->profile), e) < 0 ||
	    add_default("the file of certificates", d->ca, p->ca, sizeof(p->ca),
			e) < 0)
		return -1;
	if (!p->region[0])
		memcpy(p->region, "us-east-1", sizeof("us-east-1"));
	return check_word("region", p->region, e);
}

static int choose_style(struct parsed *s, struct err *e)
{
	struct s3_place *p = &s->p;

	p->path_style = s->style[0] ? strcmp(s->style, "path") == 0
				    : s->endpoint[0] != '\0';
	if (check_bucket(p, e) < 0)
		return -1;
	/* A certificate for *.HOST is for one label in place of the star. */
	if (p->tls && strchr(p->bucket, '.'))
		p->path_style = true;
	if (!p->path_style &&
	    (strstr(p->bucket, ".-") || strstr(p->bucket, "-.")))
		return err_set(e, ERR_USAGE,
			       "the bucket's name %s cannot be part of a "
			       "host's: a dot is beside a hyphen",
			       text_quote_str(p->bucket).s);
	if (!p->path_style && (p->host[0] == '[' ||
			       strspn(p->host, DIGITS ".:") == strlen(p->host)))
		return err_set(e, ERR_USAGE,
			       "style=virtual needs an endpoint with a name, "
			       "%s is an address",
			       text_quote_str(p->host).s);
	return 0;
}

/* Bucket and prefix. */
static int parse_names(const char *at, size_t n, struct s3_place *p,
		       struct err *e)
{
	const char *slash = memchr(at, '/', n);
	const size_t len = slash ? (size_t)(slash - at) : n;
	const char *colon = memchr(at, ':', len);

	if (memchr(at, '@', len))
		return refuse_credentials(e);
	if (colon && strspn(colon + 1, DIGITS) < (size_t)(at + len - colon) - 1)
		return refuse_credentials(e);
	if (colon) {
		(void)err_set(e, ERR_USAGE, "a bucket's name has no port");
		return err_hint(e, "write s3://BUCKET/PREFIX"
				   "?endpoint=http://HOST:PORT");
	}
	if (len == 0)
		return err_set(e, ERR_USAGE, "the URL names no bucket");
	if (len >= sizeof(p->bucket))
		return err_set(e, ERR_USAGE,
			       "the bucket's name is longer than %zu "
			       "characters",
			       sizeof(p->bucket) - 1);
	memcpy(p->bucket, at, len);
	p->bucket[len] = '\0';
	return slash ? parse_prefix(slash + 1, n - len - 1, p, e) : 0;
}

static int parse(const char *url, const struct s3_defaults *defaults,
		 struct parsed *s, struct err *e)
{
	struct s3_place *p = &s->p;
	size_t n;

	if (strncasecmp(url, "s3://", 5) != 0) {
		(void)err_set(e, ERR_USAGE, "an S3 URL begins with s3://");
		return err_hint(e, "write s3://BUCKET/PREFIX");
	}
	url += 5;
	n = strcspn(url, "?");
	if (parse_names(url, n, p, e) < 0 ||
	    (url[n] && parse_query(url + n + 1, s, e) < 0))
		return -1;
	if (strchr(url, '#'))
		return err_set(e, ERR_USAGE,
			       "an S3 URL takes no #; write %%23 for one");
	if (add_defaults(defaults, s, e) < 0 ||
	    (s->endpoint[0] ? parse_endpoint(s->endpoint, p, e)
			    : amazon_endpoint(p, e)) < 0 ||
	    choose_style(s, e) < 0)
		return -1;
	if (p->sse_key[0] && strcmp(p->sse, "aws:kms") != 0)
		return err_set(e, ERR_USAGE, "sse-key= needs sse=aws:kms");
	p->eventual = s->list[0] != '\0';
	return 0;
}

int s3_place_parse(const char *url, const struct s3_defaults *defaults,
		   struct s3_place *ret, struct err *e)
{
	struct parsed s;

	memset(&s, 0, sizeof(s));
	if (parse(url, defaults, &s, e) < 0)
		return -1;
	*ret = s.p;
	return 0;
}

void s3_place_host(const struct s3_place *p, char out[64 + 1 + 256 + 8])
{
	const size_t room = 64 + 1 + 256 + 8;

	if (p->path_style)
		(void)snprintf(out, room, "%s", p->host);
	else
		(void)snprintf(out, room, "%s.%s", p->bucket, p->host);
}

int s3_place_path(const struct s3_place *p, const char *name, struct buf *out,
		  struct err *e)
{
	if (buf_add_byte(out, '/', e) < 0)
		return -1;
	if (p->path_style && (s3_encode(p->bucket, false, out, e) < 0 ||
			      (name && buf_add_byte(out, '/', e) < 0)))
		return -1;
	if (!name)
		return 0;
	return s3_encode(p->prefix, true, out, e) < 0
		       ? -1
		       : s3_encode(name, true, out, e);
}
