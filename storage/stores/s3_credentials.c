/*
 * Where keys come from is found out once: from then on they come from there
 * (else a file that is just being replaced would make this process somebody
 * else, such as the instance it runs on).
 *
 * How long they are good is counted on the clock that only runs.  Keys that
 * have ended by the wall clock when they come are taken all the same, and soon
 * asked for again: it may be this machine's clock that is wrong, and the
 * store's server knows.
 */
#include "storage/stores/s3_credentials.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/stores/s3_credentials_internal.h"

/* New keys are asked for so long before the old ones end. */
#define AHEAD_MS ((int64_t)5 * 60 * 1000)
/* So long after a question that was not answered as wished the next may come
 * while there are keys that are good. */
#define AGAIN_MS ((int64_t)30 * 1000)
/* What a service gives is good for so long at least, and at most. */
#define LIFE_MIN_MS (2 * AGAIN_MS)
#define LIFE_MAX_MS ((int64_t)7 * 24 * 3600 * 1000)

struct s3_credentials {
	struct s3_place place;
	struct s3_http *http;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t renewed;
	bool renewing;	    /* a thread does; what it needs it has copied */
	uint64_t round;	    /* how many were done */
	struct err failure; /* of the last round; ERR_NONE: there was none */

	enum s3_credentials_source source; /* of the first keys */
	char path[4096];		   /* of a file */
	struct s3_keys *keys;		   /* NULL: none yet */
	struct s3_credentials_stamp stamp; /* of the file they are in */
	struct s3_credentials_stamp seen;  /* and of when it was last read */
	bool ends;
	bool refused;	/* the server does not want them */
	int64_t end_ms; /* boot time */
	int64_t again_ms;
	int64_t refused_ms; /* when new ones were last asked for because of
			     * that, 0: never */
	char origin[256];
};

const char *s3_credentials_variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int s3_credentials_take(const char *what, const char *text, size_t n, char *out,
			size_t room, struct err *e)
{
	if (n == 0)
		return err_set(e, ERR_USAGE, "%s is empty", what);
	if (n >= room)
		return err_set(e, ERR_USAGE,
			       "%s is longer than the %zu characters that it "
			       "may have",
			       what, room - 1);
	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x21 || text[i] > 0x7e)
			return err_set(e, ERR_USAGE,
				       "%s holds what no key has (character "
				       "%zu)",
				       what, i + 1);
	if (out) {
		memcpy(out, text, n);
		out[n] = '\0';
	}
	return 0;
}

/* ---- Which source ------------------------------------------------------- */

static bool is_file(enum s3_credentials_source s)
{
	return s == S3_CREDENTIALS_OWN_FILE || s == S3_CREDENTIALS_SHARED_FILE;
}

static bool variable(const char *name)
{
	return s3_credentials_variable(name) != NULL;
}

static bool metadata_disabled(void)
{
	const char *said = s3_credentials_variable("AWS_EC2_METADATA_DISABLED");

	return said && strcasecmp(said, "true") == 0;
}

/* The first source that is there, after the one called after. */
static enum s3_credentials_source choose(const struct s3_place *p,
					 enum s3_credentials_source after)
{
	const bool named = p->profile_named;

	if (after < S3_CREDENTIALS_OWN_FILE && p->credentials[0])
		return S3_CREDENTIALS_OWN_FILE;
	if (after < S3_CREDENTIALS_ENVIRONMENT && !named &&
	    (variable("AWS_ACCESS_KEY_ID") ||
	     variable("AWS_SECRET_ACCESS_KEY")))
		return S3_CREDENTIALS_ENVIRONMENT;
	if (after < S3_CREDENTIALS_WEB_IDENTITY && !named &&
	    variable("AWS_WEB_IDENTITY_TOKEN_FILE"))
		return S3_CREDENTIALS_WEB_IDENTITY;
	if (after < S3_CREDENTIALS_SHARED_FILE)
		return S3_CREDENTIALS_SHARED_FILE;
	if (after < S3_CREDENTIALS_CONTAINER &&
	    (variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
	     variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")))
		return S3_CREDENTIALS_CONTAINER;
	if (after < S3_CREDENTIALS_INSTANCE && !metadata_disabled())
		return S3_CREDENTIALS_INSTANCE;
	return S3_CREDENTIALS_NONE;
}

int s3_credentials_files(const struct s3_place *p,
			 int (*visit)(void *arg, const char *path,
				      struct err *e),
			 void *arg, struct err *e)
{
	static const char *const names[] = {
		"AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	};
	char shared[4096];

	if (p->credentials[0] && visit(arg, p->credentials, e))
		return -1;
	if (s3_credentials_shared_path(shared, sizeof(shared)) == 0 &&
	    visit(arg, shared, e))
		return -1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *path = s3_credentials_variable(names[i]);

		if (path && visit(arg, path, e))
			return -1;
	}
	return 0;
}

/* ---- Asking one --------------------------------------------------------- */

static int from_environment(struct s3_credentials_got *got, struct err *e)
{
	const char *id = s3_credentials_variable("AWS_ACCESS_KEY_ID");
	const char *secret = s3_credentials_variable("AWS_SECRET_ACCESS_KEY");
	const char *token = s3_credentials_variable("AWS_SESSION_TOKEN");

	if (!id || !secret)
		return err_set(
			e, ERR_USAGE, "%s is set, and %s is not",
			id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	if (s3_credentials_take("AWS_ACCESS_KEY_ID", id, strlen(id),
				got->keys->id, sizeof(got->keys->id), e) ||
	    s3_credentials_take("AWS_SECRET_ACCESS_KEY", secret, strlen(secret),
				got->keys->secret, sizeof(got->keys->secret),
				e) ||
	    (token && s3_credentials_take("AWS_SESSION_TOKEN", token,
					  strlen(token), got->keys->token,
					  sizeof(got->keys->token), e)))
		return -1;
	(void)snprintf(got->origin, sizeof(got->origin),
		       "the environment (AWS_ACCESS_KEY_ID)");
	return 1;
}

static int path_of(const struct s3_place *p, enum s3_credentials_source s,
		   char path[4096])
{
	if (s == S3_CREDENTIALS_OWN_FILE) {
		(void)snprintf(path, 4096, "%s", p->credentials);
		return 0;
	}
	return s3_credentials_shared_path(path, 4096);
}

/* 1, 0 when it is not there after all, -1. */
static int ask(const struct s3_place *p, struct s3_http *http,
	       enum s3_credentials_source s, char path[4096],
	       struct s3_credentials_got *got, struct err *e)
{
	const bool own = s == S3_CREDENTIALS_OWN_FILE;

	switch (s) {
	case S3_CREDENTIALS_OWN_FILE:
	case S3_CREDENTIALS_SHARED_FILE:
		if (path_of(p, s, path)) {
			if (!p->profile[0])
				return 0;
			return err_set(e, ERR_USAGE,
				       "no credentials file is known that "
				       "could have the profile %s",
				       text_quote_str(p->profile).s);
		}
		return s3_credentials_from_file(path, p->profile, own, got, e);
	case S3_CREDENTIALS_ENVIRONMENT:
		return from_environment(got, e);
	case S3_CREDENTIALS_WEB_IDENTITY:
		return s3_credentials_from_sts(p, http, got, e);
	case S3_CREDENTIALS_CONTAINER:
		return s3_credentials_from_container(http, got, e);
	case S3_CREDENTIALS_INSTANCE:
		return s3_credentials_from_instance(http, got, e);
	case S3_CREDENTIALS_NONE:
		break;
	}
	return 0;
}

/* A named service that nobody answers for is broken, one that everybody may
 * or may not have is missing. */
static int none(enum s3_credentials_source last, const struct err *why,
		struct err *e)
{
	if (last == S3_CREDENTIALS_INSTANCE &&
	    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")) {
		*e = *why;
		return -1;
	}
	/* That there is no shared file needs no mention. */
	if (last == S3_CREDENTIALS_INSTANCE && why->code)
		(void)err_set(e, ERR_DENIED,
			      "there are no credentials for S3: %s", why->text);
	else
		(void)err_set(e, ERR_DENIED, "there are no credentials for S3");
	return err_hint(e, "name a file in the region's URL "
			   "(credentials=FILE), have them in "
			   "~/.aws/credentials, or set AWS_ACCESS_KEY_ID and "
			   "AWS_SECRET_ACCESS_KEY");
}

/*
 * From *source, or from the first that is there.  Touches nothing that has the
 * lock: it may take seconds.
 */
static int obtain(const struct s3_place *p, struct s3_http *http,
		  enum s3_credentials_source *source, char path[4096],
		  struct s3_credentials_got *got, struct err *e)
{
	enum s3_credentials_source s = *source;
	enum s3_credentials_source last = s;
	struct err why = { .code = ERR_NONE };
	int r = 0;

	if (s) {
		r = ask(p, http, s, path, got, &why);
		if (r > 0)
			return 0;
		if (r == 0 && why.code == ERR_NONE)
			(void)err_set(&why, ERR_DENIED,
				      "the credentials file %s has no keys any "
				      "more",
				      text_quote_str(path).s);
		*e = why;
		return -1;
	}
	while (r == 0) {
		s = choose(p, s);
		if (!s)
			return none(last, &why, e);
		r = ask(p, http, s, path, got, &why);
		last = s;
	}
	*source = s;
	if (r < 0)
		*e = why;
	return r < 0 ? -1 : 0;
}

/* ---- How good they are -------------------------------------------------- */

enum state { FRESH, AGEING, GONE };

static enum state judge(const struct s3_credentials *c)
{
	const int64_t now_ms = clock_boot_ms();
	struct s3_credentials_stamp stamp;

	if (!c->keys || c->refused || (c->ends && now_ms >= c->end_ms))
		return GONE;
	if (is_file(c->source)) {
		s3_credentials_stamp(c->path, &stamp);
		return s3_credentials_same_stamp(&stamp, &c->seen) ? FRESH
								   : AGEING;
	}
	if (c->ends && now_ms >= c->end_ms - AHEAD_MS && now_ms >= c->again_ms)
		return AGEING;
	return FRESH;
}

static int64_t life_ms(const struct s3_credentials_got *got)
{
	const int64_t ms = instant_ms_between(clock_now(), got->end);

	return ms < LIFE_MIN_MS	  ? LIFE_MIN_MS
	       : ms > LIFE_MAX_MS ? LIFE_MAX_MS
				  : ms;
}

static void install(struct s3_credentials *c, enum s3_credentials_source s,
		    const char *path, struct s3_credentials_got *got)
{
	s3_keys_free(c->keys);
	c->keys = TAKE(got->keys);
	c->source = s;
	c->refused = false;
	c->ends = got->ends;
	c->end_ms = clock_boot_ms() + (got->ends ? life_ms(got) : 0);
	c->stamp = got->stamp;
	(void)snprintf(c->path, sizeof(c->path), "%s", path);
	memcpy(c->origin, got->origin, sizeof(c->origin));
}

/* With the lock, which is given up in between.  0 when there are new ones. */
static int renew(struct s3_credentials *c, struct err *e)
{
	enum s3_credentials_source source = c->source;
	struct s3_credentials_got got = { .ends = false };
	char path[4096] = "";
	int r = -1;

	c->renewing = true;
	(void)pthread_mutex_unlock(&c->lock);
	got.keys = s3_keys_new();
	if (!got.keys)
		(void)err_oom(e);
	else
		r = obtain(&c->place, c->http, &source, path, &got, e);
	(void)pthread_mutex_lock(&c->lock);
	c->renewing = false;
	c->round++;
	c->again_ms = clock_boot_ms() + AGAIN_MS;
	c->seen = got.stamp;
	err_clear(&c->failure);
	if (r == 0)
		install(c, source, path, &got);
	else
		c->failure = *e;
	s3_keys_free(got.keys);
	(void)pthread_cond_broadcast(&c->renewed);
	return r;
}

/* Until the thread that renews is done. */
static int await(struct s3_credentials *c, struct err *e)
{
	const uint64_t round = c->round;

	while (c->round == round)
		(void)pthread_cond_wait(&c->renewed, &c->lock);
	if (c->failure.code == ERR_NONE)
		return 0;
	*e = c->failure;
	return -1;
}

/* With the lock: see that c->keys are good. */
static int see_to_keys(struct s3_credentials *c, struct err *e)
{
	struct err why;
	const enum state state = judge(c);

	if (state == FRESH || (state == AGEING && c->renewing))
		return 0;
	if (c->renewing)
		return await(c, e);
	if (renew(c, &why) == 0 || judge(c) != GONE)
		return 0;
	*e = why;
	return -1;
}

/* ---- The handle --------------------------------------------------------- */

int s3_credentials_new(const struct s3_place *p, struct s3_http *http,
		       struct s3_credentials **ret, struct err *e)
{
	struct s3_credentials *c = calloc(1, sizeof(*c));

	if (!c)
		return err_oom(e);
	c->place = *p;
	c->http = http;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->renewed, NULL);
	*ret = c;
	return 0;
}

void s3_credentials_free(struct s3_credentials *c)
{
	if (!c)
		return;
	s3_keys_free(c->keys);
	(void)pthread_cond_destroy(&c->renewed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

int s3_credentials_get(struct s3_credentials *c, struct s3_keys **ret,
		       struct err *e)
{
	struct s3_keys *copy = s3_keys_new();
	int r;

	if (!copy)
		return err_oom(e);
	(void)pthread_mutex_lock(&c->lock);
	r = see_to_keys(c, e);
	if (r == 0)
		*copy = *c->keys;
	(void)pthread_mutex_unlock(&c->lock);
	if (r) {
		s3_keys_free(copy);
		return -1;
	}
	*ret = copy;
	return 0;
}

/* Whether there may be others by now, in place of those that are held. */
static bool may_have_newer(const struct s3_credentials *c)
{
	struct s3_credentials_stamp stamp;

	if (c->source == S3_CREDENTIALS_ENVIRONMENT)
		return false;
	if (is_file(c->source)) {
		s3_credentials_stamp(c->path, &stamp);
		return !s3_credentials_same_stamp(&stamp, &c->stamp);
	}
	return c->refused_ms == 0 ||
	       clock_boot_ms() >= c->refused_ms + AGAIN_MS;
}

int s3_credentials_refused(struct s3_credentials *c, const struct s3_keys *k)
{
	int r = 1;

	(void)pthread_mutex_lock(&c->lock);
	/* Somebody else may have been told so, and have got new ones. */
	if (c->keys && !c->refused && strcmp(c->keys->id, k->id) == 0 &&
	    strcmp(c->keys->secret, k->secret) == 0 &&
	    strcmp(c->keys->token, k->token) == 0) {
		r = may_have_newer(c);
		if (r) {
			c->refused = true;
			c->refused_ms = clock_boot_ms();
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

static void describe(const struct s3_credentials *c, char out[256])
{
	static const char *const names[] = {
		[S3_CREDENTIALS_NONE] = "nowhere",
		[S3_CREDENTIALS_ENVIRONMENT] =
			"the environment (AWS_ACCESS_KEY_ID)",
		[S3_CREDENTIALS_WEB_IDENTITY] = "a web identity (AWS_ROLE_ARN)",
		[S3_CREDENTIALS_CONTAINER] =
			"the container's credentials service",
		[S3_CREDENTIALS_INSTANCE] = "this instance's metadata",
	};
	const enum s3_credentials_source s = choose(&c->place,
						    S3_CREDENTIALS_NONE);
	char path[4096];

	if (is_file(s))
		(void)snprintf(out, 256, "the credentials file %.200s",
			       path_of(&c->place, s, path)
				       ? "of this user"
				       : text_quote_str(path).s);
	else
		(void)snprintf(out, 256, "%s", names[s]);
}

void s3_credentials_origin(struct s3_credentials *c, char out[256])
{
	(void)pthread_mutex_lock(&c->lock);
	if (c->keys)
		memcpy(out, c->origin, sizeof(c->origin));
	else
		describe(c, out);
	(void)pthread_mutex_unlock(&c->lock);
}
