#include "storage/stores/s3_call.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/stores/s3_credentials.h"
#include "storage/stores/s3_sign.h"
#include "storage/stores/store.h"

#define TRIES	   8
#define TRIES_MUTE 3 /* without any reply */
#define TRYING_MS  INT64_C(180000)
/* One without a body must end in this time, others by this rate. */
#define SMALL_MS   INT64_C(60000)
#define SLOW_BYTES ((uint64_t)16 << 10) /* a second */
/* How soon a call notices that the program was asked to stop. */
#define POLL_MS	    INT64_C(100)
#define STOPPING_MS INT64_C(15000)
#define LINES_MAX   ((size_t)16 << 10)
#define URL_MAX	    ((size_t)16 << 10)
/* Of a reply that nobody asked to see. */
#define ERROR_TEXT_MAX ((size_t)64 << 10)

struct s3_client {
	struct s3_place place;
	char host[64 + 1 + 256 + 8];
	struct s3_http *http;
	struct s3_credentials *credentials;
	pthread_mutex_t lock;
	pthread_cond_t free_lane;
	/* Under the lock: */
	struct s3_lanes lanes;
	unsigned int busy;
	struct s3_traffic traffic;
	int64_t stopped_ms; /* when that was noticed; 0: it was not */
};

/* One try of a call. */
struct attempt {
	struct s3_client *client;
	struct s3_call *call;
	struct s3_keys *keys;
	const char *sha256;
	struct instant now;
	struct buf url;
	struct buf lines;
	struct buf reply; /* when the caller has no body_buf, or a room */
	struct s3_exchange exchange;
};

static void attempt_done(struct attempt *a)
{
	s3_keys_free(a->keys);
	buf_done(&a->url);
	buf_wipe(&a->lines); /* a token may be in it */
	buf_done(&a->reply);
}
static inline void cleanup_attempt_done(struct attempt *a)
{
	attempt_done(a);
}

/* Else a file that is not there reads as a server that is not trusted. */
static int check_ca(const char *path, struct err *e)
{
	CLEANUP(file_close) int fd = -1;

	if (!path[0])
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return 0;
	(void)err_sys(e, "cannot use the certificates in %s",
		      text_quote_str(path).s);
	e->code = ERR_USAGE;
	return err_hint(e, "mend ca= in the region's URL, or AWS_CA_BUNDLE");
}

int s3_client_new(const struct s3_place *p, struct s3_client **ret,
		  struct err *e)
{
	const struct s3_http_options o = { .ca = p->ca };
	struct s3_client *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (!c)
		return err_oom(e);
	c->place = *p;
	s3_place_host(p, c->host);
	s3_lanes_init(&c->lanes);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->free_lane, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (check_ca(c->place.ca, e) || s3_http_new(&o, &c->http, e) ||
	    s3_credentials_new(&c->place, c->http, &c->credentials, e)) {
		s3_client_free(c);
		return -1;
	}
	*ret = c;
	return 0;
}

void s3_client_free(struct s3_client *c)
{
	if (!c)
		return;
	assert(c->busy == 0);
	s3_credentials_free(c->credentials);
	s3_http_free(c->http);
	(void)pthread_cond_destroy(&c->free_lane);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct s3_place *s3_client_place(const struct s3_client *c)
{
	return &c->place;
}

void s3_client_traffic(struct s3_client *c, struct s3_traffic *ret)
{
	(void)pthread_mutex_lock(&c->lock);
	*ret = c->traffic;
	(void)pthread_mutex_unlock(&c->lock);
}

/* ---- stopping ----------------------------------------------------------- */

/*
 * How long a call may go on: -1 without a limit, else milliseconds, since the
 * program was asked to stop.
 */
static int64_t time_left(struct s3_client *c)
{
	const int64_t now = clock_boot_ms();
	int64_t left;

	if (!store_is_stopping())
		return -1;
	(void)pthread_mutex_lock(&c->lock);
	if (c->stopped_ms == 0)
		c->stopped_ms = now;
	left = c->stopped_ms + STOPPING_MS - now;
	(void)pthread_mutex_unlock(&c->lock);
	return left > 0 ? left : 0;
}

static int interrupted(struct err *e)
{
	return err_set(e, ERR_INTERRUPTED, "stopped as asked");
}

/* Sleep for so long, or until the program is to stop. */
static void rest(int64_t ms)
{
	const int64_t until = clock_boot_ms() + ms;

	while (!store_is_stopping()) {
		const int64_t left = until - clock_boot_ms();

		if (left <= 0)
			return;
		clock_sleep_ms(left < POLL_MS ? left : POLL_MS);
	}
}

/* ---- lanes -------------------------------------------------------------- */

static void deadline(int64_t ms, struct timespec *ret)
{
	(void)clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += (time_t)(ms / 1000);
	ret->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_nsec -= 1000000000;
		ret->tv_sec++;
	}
}

/* Wait for one's turn. */
static int take_lane(struct s3_client *c, struct err *e)
{
	(void)pthread_mutex_lock(&c->lock);
	while (c->busy >= s3_lanes_width(&c->lanes)) {
		struct timespec until;

		deadline(POLL_MS, &until);
		(void)pthread_cond_timedwait(&c->free_lane, &c->lock, &until);
		(void)pthread_mutex_unlock(&c->lock);
		if (time_left(c) == 0)
			return interrupted(e);
		(void)pthread_mutex_lock(&c->lock);
	}
	c->busy++;
	(void)pthread_mutex_unlock(&c->lock);
	return 0;
}

static void leave_lane(struct s3_client *c, const struct s3_exchange *x,
		       bool again)
{
	(void)pthread_mutex_lock(&c->lock);
	c->busy--;
	c->traffic.requests++;
	c->traffic.retries += again;
	c->traffic.sent += x->sent;
	c->traffic.received += x->received;
	(void)pthread_cond_signal(&c->free_lane);
	(void)pthread_mutex_unlock(&c->lock);
}

static void adjust(struct s3_client *c, enum s3_verdict v)
{
	const int64_t now = clock_boot_ms();

	(void)pthread_mutex_lock(&c->lock);
	if (v == S3_SLOWER)
		s3_lanes_slowed(&c->lanes, now);
	else if (v == S3_DONE)
		s3_lanes_passed(&c->lanes);
	(void)pthread_mutex_unlock(&c->lock);
}

/* ---- one try ------------------------------------------------------------ */

/* SCHEME://HOST/PATH?QUERY; *ret_path is where the path begins, its length. */
static int compose_url(struct attempt *a, struct buf *path, struct err *e)
{
	const struct s3_client *c = a->client;
	const char *query = a->call->query;

	if (s3_place_path(&c->place, a->call->name, path, e) ||
	    buf_addf(&a->url, e, "%s://%s%s", c->place.tls ? "https" : "http",
		     c->host, buf_str(path)))
		return -1;
	if (query && query[0] && buf_addf(&a->url, e, "?%s", query))
		return -1;
	return 0;
}

static int sign(struct attempt *a, struct err *e)
{
	CLEANUP(buf_done) struct buf path;
	const struct s3_call *call = a->call;
	struct s3_signing s = {
		.method = call->method,
		.host = a->client->host,
		.query = call->query ? call->query : "",
		.headers = call->headers,
		.n_headers = call->n_headers,
		.body_sha256 = a->sha256,
		.region = a->client->place.region,
		.service = "s3",
		.now = a->now,
	};

	buf_init(&path, URL_MAX);
	if (compose_url(a, &path, e))
		return -1;
	s.path = buf_str(&path);
	for (size_t i = 0; i < call->n_headers; i++) {
		if (buf_add(&a->lines, call->headers[i],
			    strlen(call->headers[i]) + 1, e))
			return -1;
	}
	return s3_sign(&s, a->keys, &a->lines, e);
}

/* Until it has ended, or the program must. */
static int await(struct s3_client *c, struct s3_exchange *x, struct err *e)
{
	bool given_up = false;

	while (!s3_http_wait_ms(c->http, x, POLL_MS)) {
		if (given_up || time_left(c) != 0)
			continue;
		s3_http_cancel(c->http, x);
		given_up = true;
	}
	return given_up ? interrupted(e) : 0;
}

/* A minute, and what its bytes take on a slow line. */
static int64_t whole_ms(const struct s3_call *call)
{
	const uint64_t bytes = (uint64_t)call->body_len + call->room_len;

	return SMALL_MS + (int64_t)(bytes / SLOW_BYTES * 1000);
}

static int exchange(struct attempt *a, struct err *e)
{
	struct s3_call *call = a->call;
	struct s3_exchange *x = &a->exchange;
	const bool changes = strcmp(call->method, "GET") != 0 &&
			     strcmp(call->method, "HEAD") != 0;
	int r;

	if (call->body_buf)
		buf_clear(call->body_buf);
	*x = (struct s3_exchange){
		.method = call->method,
		.url = buf_str(&a->url),
		.headers = (const char *)a->lines.data,
		.headers_len = a->lines.len,
		.body = call->body,
		.body_len = call->body_len,
		.room = call->room,
		.room_len = call->room_len,
		.body_buf = call->body_buf ? call->body_buf : &a->reply,
		.whole_ms = whole_ms(call),
	};
	if (changes && seam_send(call->name ? call->name : ""))
		return err_sys(e, "cannot send");
	if (take_lane(a->client, e))
		return -1;
	s3_http_start(a->client->http, x);
	r = await(a->client, x, e);
	leave_lane(a->client, x, call->attempts > 1);
	return r;
}

/* What the reply says: of what went wrong, if anything did. */
static enum s3_verdict judge(struct attempt *a, struct err *e)
{
	const struct s3_exchange *x = &a->exchange;
	struct s3_call *call = a->call;
	const struct buf *text = x->body_buf;
	char origin[256];
	const struct s3_question q = {
		.place = &a->client->place,
		.right = call->right,
		.key_id = a->keys->id,
		.origin = origin,
		.now = a->now,
		.has_words = strcmp(call->method, "HEAD") != 0,
	};

	s3_credentials_origin(a->client->credentials, origin);
	memset(&call->error, 0, sizeof(call->error));
	if (x->outcome == S3_HTTP_REPLIED && text->len)
		(void)s3_xml_error(text->data, text->len, &call->error);
	call->reply = x->reply;
	return s3_answer(&q, x, &call->error, e);
}

/* The verdict of one try; -1 when the call is over. */
static int try_once(struct s3_client *c, struct s3_call *call,
		    const char *sha256, enum s3_verdict *ret, struct err *e)
{
	CLEANUP(attempt_done)
	struct attempt a = { .client = c, .call = call, .sha256 = sha256 };

	buf_init(&a.url, URL_MAX);
	buf_init(&a.lines, LINES_MAX);
	buf_init(&a.reply, ERROR_TEXT_MAX);
	if (s3_credentials_get(c->credentials, &a.keys, e))
		return -1;
	a.now = clock_now();
	if (sign(&a, e) || exchange(&a, e))
		return -1;
	*ret = judge(&a, e);
	adjust(c, *ret);
	if (*ret == S3_NEW_KEYS &&
	    (call->attempts > 2 ||
	     !s3_credentials_refused(c->credentials, a.keys)))
		*ret = S3_FAILED;
	return 0;
}

/* Whether another try may. */
static bool may_help(enum s3_verdict v)
{
	return v == S3_AGAIN || v == S3_SLOWER || v == S3_NEW_KEYS;
}

static bool is_over(const struct s3_call *call, enum s3_verdict v,
		    int64_t began_ms)
{
	const bool mute = call->reply.status == 0;

	return !may_help(v) || call->attempts >= (mute ? TRIES_MUTE : TRIES) ||
	       clock_boot_ms() - began_ms > TRYING_MS;
}

static void say_tries(const struct s3_call *call, struct err *e)
{
	const size_t used = strlen(e->text);

	if (call->attempts > 1)
		(void)snprintf(e->text + used, sizeof(e->text) - used,
			       ", after %u tries", call->attempts);
}

int s3_call(struct s3_client *c, struct s3_call *call, struct err *e)
{
	const int64_t began = clock_boot_ms();
	char sha256[S3_SHA256_TEXT];
	const char *hash = call->body_sha256;
	uint64_t chance;
	struct err why;

	assert(call->n_headers <= S3_CALL_HEADERS);
	call->attempts = 0;
	if (!hash && s3_sha256(call->body, call->body_len, sha256, e))
		return -1;
	hash = hash ? hash : sha256;
	for (;;) {
		if (time_left(c) == 0)
			return interrupted(e);
		call->attempts++;
		if (try_once(c, call, hash, &call->verdict, &why)) {
			call->verdict = S3_FAILED;
			*e = why;
			return -1;
		}
		if (is_over(call, call->verdict, began))
			break;
		secret_nonce(&chance, sizeof(chance));
		if (call->verdict != S3_NEW_KEYS)
			rest(s3_delay_ms(call->attempts, chance,
					 call->reply.retry_after_s));
		if (store_is_stopping())
			break;
	}
	if (call->verdict <= S3_BEYOND)
		return 0;
	say_tries(call, &why);
	if (may_help(call->verdict) && store_is_stopping()) {
		(void)err_wrap(&why, "stopped as asked");
		why.code = ERR_INTERRUPTED;
	}
	call->verdict = S3_FAILED;
	*e = why;
	return -1;
}
