/*
 * What tests of an S3 store's credentials share: a home of their own, clocks
 * that stand until pass(), the six sources, and the services among them, which
 * are played here (the linker leads s3_http_start() and the clocks here).
 *
 * Everything secret says "hush", and no message may.
 */
#ifndef TESTS_SUPPORT_S3_CREDENTIALS_FRAME_H
#define TESTS_SUPPORT_S3_CREDENTIALS_FRAME_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/secret.h"
#include "storage/stores/s3_credentials.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

#define MINUTE_MS ((int64_t)60 * 1000)

static struct scratch dir;
static struct s3_place place;
static struct s3_credentials *c;
static struct err e;
static char here; /* stands for a struct s3_http, which nobody looks into */

/* ---- Clocks ------------------------------------------------------------- */

static int64_t boot_ms;
static struct instant wall;

int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void)
{
	return boot_ms;
}

struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	return wall;
}

void __wrap_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms)
{
	(void)ms;
}

static inline void pass(int64_t ms)
{
	boot_ms += ms;
	wall = instant_add_ms(wall, ms);
}

/* ---- Services ----------------------------------------------------------- */

/* What is replied to a method and the end of a URL; the newest rule counts. */
struct rule {
	const char *method;
	const char *end;
	int status; /* 0: nobody listens */
	char body[2048];
};
struct asked {
	char line[512];	    /* "PUT http://…" */
	char headers[4096]; /* with newlines between them */
	char body[4096];
	bool no_proxy;
	int64_t connect_ms;
	int64_t whole_ms;
};
static struct rule rules[24];
static size_t n_rules;
static struct asked asked[64];
static size_t n_asked;
static UNUSED void (*meanwhile)(void); /* before a reply */
static pthread_mutex_t playing = PTHREAD_MUTEX_INITIALIZER;

static inline void rule(const char *method, const char *end, int status,
			const char *body)
{
	ck_assert_uint_lt(n_rules, 24);
	rules[n_rules] = (struct rule){ method, end, status, "" };
	(void)snprintf(rules[n_rules++].body, sizeof(rules[0].body), "%s",
		       body);
}

static inline const struct rule *rule_for(const struct s3_exchange *x)
{
	const size_t n = strlen(x->url);

	for (size_t i = n_rules; i-- > 0;) {
		const size_t k = strlen(rules[i].end);

		if (strcmp(rules[i].method, x->method) == 0 && k <= n &&
		    strcmp(x->url + n - k, rules[i].end) == 0)
			return &rules[i];
	}
	return NULL;
}

static inline void note(const struct s3_exchange *x)
{
	struct asked *a = &asked[n_asked++];

	ck_assert_uint_le(n_asked, 64);
	ck_assert_uint_lt(x->headers_len, sizeof(a->headers));
	ck_assert_uint_lt(x->body_len, sizeof(a->body));
	*a = (struct asked){ .no_proxy = x->no_proxy,
			     .connect_ms = x->connect_ms,
			     .whole_ms = x->whole_ms };
	(void)snprintf(a->line, sizeof(a->line), "%s %s", x->method, x->url);
	for (size_t i = 0; i < x->headers_len; i++)
		a->headers[i] = x->headers[i] ? x->headers[i] : '\n';
	if (x->body_len)
		memcpy(a->body, x->body, x->body_len);
}

/* What was started has its reply. */
bool __wrap_s3_http_wait_ms(struct s3_http *h, struct s3_exchange *x,
			    int64_t ms);
bool __wrap_s3_http_wait_ms(struct s3_http *h UNUSED,
			    struct s3_exchange *x UNUSED, int64_t ms UNUSED)
{
	return true;
}

void __wrap_s3_http_start(struct s3_http *h, struct s3_exchange *x);
void __wrap_s3_http_start(struct s3_http *h, struct s3_exchange *x)
{
	const struct rule *r;

	ck_assert_ptr_eq((void *)h, (void *)&here);
	(void)pthread_mutex_lock(&playing);
	note(x);
	r = rule_for(x);
	if (meanwhile)
		meanwhile();
	x->outcome = r && r->status ? S3_HTTP_REPLIED : S3_HTTP_UNREACHED;
	x->reply.status = r ? r->status : 0;
	if (x->outcome == S3_HTTP_UNREACHED)
		(void)snprintf(x->why, sizeof(x->why), "nobody listens");
	else
		ck_ok(buf_add_str(x->body_buf, r->body, &e));
	(void)pthread_mutex_unlock(&playing);
}

/* ---- The frame ---------------------------------------------------------- */

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_PROFILE",
	"AWS_REGION",
	"AWS_DEFAULT_REGION",
	"AWS_ENDPOINT_URL",
	"AWS_ENDPOINT_URL_STS",
	"AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_ROLE_ARN",
	"AWS_ROLE_SESSION_NAME",
	"AWS_SHARED_CREDENTIALS_FILE",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_DISABLED",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
};

static inline void set(const char *name, const char *value)
{
	ck_assert_int_eq(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static inline char *in_dir(const char *name)
{
	static char path[SCRATCH_PATH];

	return scratch_path(&dir, name, path);
}

static inline void write_file(const char *name, const char *text, mode_t mode)
{
	ck_ok(file_replace(in_dir(name), text, strlen(text), mode, &e));
}

static inline void set_up(void)
{
	ck_ok(secret_start(&e));
	scratch_init(&dir);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		set(variables[i], NULL);
	set("HOME", dir.path);
	place = (struct s3_place){ .tls = true };
	(void)snprintf(place.region, sizeof(place.region), "us-east-1");
	n_rules = n_asked = 0;
	meanwhile = NULL;
	boot_ms = 1000;
	ck_ok(instant_parse("2026-03-01T12:00:00Z", &wall, &e));
	c = NULL;
}

static inline void tear_down(void)
{
	s3_credentials_free(c);
	c = NULL;
	scratch_done(&dir);
}

/* Forget what is known so far: a process that starts. */
static inline void start(void)
{
	s3_credentials_free(c);
	c = NULL;
	ck_ok(s3_credentials_new(&place, (struct s3_http *)(void *)&here, &c,
				 &e));
}

/* Each id has its secret and, but for those of files, its token. */
static inline struct s3_keys *got(const char *id)
{
	struct s3_keys *k = NULL;
	char secret[64];

	if (!c)
		start();
	ck_ok(s3_credentials_get(c, &k, &e));
	ck_assert_str_eq(k->id, id);
	(void)snprintf(secret, sizeof(secret), "hush/%s", id);
	ck_assert_str_eq(k->secret, secret);
	return k;
}

static inline void gives(const char *id)
{
	s3_keys_free(got(id));
}

/* What is said of a failure; never anything secret, all of which says hush. */
static inline const char *fails(enum err_code code)
{
	struct s3_keys *k = NULL;

	if (!c)
		start();
	err_clear(&e);
	ck_assert_int_eq(s3_credentials_get(c, &k, &e), -1);
	ck_assert_ptr_null(k);
	ck_assert_msg(e.code == code, "%s: %s", err_kind(e.code)->name, e.text);
	ck_assert_msg(!strstr(e.text, "hush"), "%s", e.text);
	ck_assert_msg(!strstr(e.hint, "hush"), "%s", e.hint);
	return e.text;
}

static inline void fails_saying(enum err_code code, const char *part)
{
	start();
	ck_assert_msg(strstr(fails(code), part) != NULL, "%s", e.text);
}

static inline void comes_from(const char *origin)
{
	char out[256];

	s3_credentials_origin(c, out);
	ck_assert_msg(strstr(out, origin) != NULL, "%s", out);
}

/* ---- The sources, set up ------------------------------------------------ */

static inline void own_file(const char *text)
{
	write_file("own", text, 0600);
	(void)snprintf(place.credentials, sizeof(place.credentials), "%s",
		       in_dir("own"));
}

static inline void environment(void)
{
	set("AWS_ACCESS_KEY_ID", "ENV");
	set("AWS_SECRET_ACCESS_KEY", "hush/ENV");
}

#define KEYS(id)                                               \
	"aws_access_key_id = " id "\naws_secret_access_key = " \
	"hush/" id "\n"

static inline void shared_file(const char *text)
{
	ck_ok(file_make_folders(in_dir(".aws"), 0700, &e));
	write_file(".aws/credentials", text, 0644);
}

static inline void sts_gives(const char *id, const char *end)
{
	char body[2048];

	(void)snprintf(
		body, sizeof(body),
		"<AssumeRoleWithWebIdentityResponse xmlns=\"https://"
		"sts.amazonaws.com/doc/2011-06-15/\">"
		"<AssumeRoleWithWebIdentityResult><Credentials>"
		"<SessionToken>hushtoken/%s</SessionToken>"
		"<SecretAccessKey>hush/%s</SecretAccessKey>"
		"<Expiration>%s</Expiration><AccessKeyId>%s</AccessKeyId>"
		"</Credentials></AssumeRoleWithWebIdentityResult>"
		"</AssumeRoleWithWebIdentityResponse>",
		id, id, end, id);
	rule("POST", "/", 200, body);
}

static inline void web_identity(void)
{
	write_file("jwt", "hush.web.identity.of.a.service.account\n", 0644);
	set("AWS_WEB_IDENTITY_TOKEN_FILE", in_dir("jwt"));
	set("AWS_ROLE_ARN", "arn:aws:iam::123:role/backup");
	sts_gives("STS", "2026-03-01T13:00:00Z");
}

static inline void json_keys(const char *end_of_url, const char *id,
			     const char *end)
{
	char body[2048];

	(void)snprintf(body, sizeof(body),
		       "{\"Code\":\"Success\",\"AccessKeyId\":\"%s\","
		       "\"SecretAccessKey\":\"hush\\/%s\",\"Token\":"
		       "\"hushtoken/%s\",\"Expiration\":\"%s\"}",
		       id, id, id, end);
	rule("GET", end_of_url, 200, body);
}

static inline void container(void)
{
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI",
	    "http://169.254.170.23/v1/credentials");
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush-container");
	json_keys("http://169.254.170.23/v1/credentials", "CONTAINER",
		  "2026-03-01T13:00:00Z");
}

#define METADATA "http://169.254.169.254/latest/"
#define ROLES	 METADATA "meta-data/iam/security-credentials/"

static inline void instance(void)
{
	rule("PUT", METADATA "api/token", 200, "hush-session");
	rule("GET", ROLES, 200, "backup-role\n");
	json_keys(ROLES "backup-role", "INSTANCE", "2026-03-01T13:00:00Z");
}

#endif
