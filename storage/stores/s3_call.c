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
#include "storage/stores/s3_silence.h"
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
/*
 * As long as a connection may take (s3_http.h): how long a server that is away
 * is left alone, and what somebody in a hurry waits for.
 */
#define PAUSE_MS    INT64_C(10000)
#define PATIENCE    3 /* pauses that who has patience waits for his turn */
#define SERVERS_MAX 16

/* What all clients of this process know of a server. */
struct server {
	bool used;
	bool tls;
	char host[64 + 1 + 256 + 8];
	struct s3_silence silence;
	char why[200]; /* of the last try that had no reply */
};

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

	atomic_int patience;   /* an enum store_patience */
	struct server *server; /* under servers_lock */
	struct server own;     /* when there are too many */
};

/* ---- servers ------------------------------------------------------------ */

static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct server servers[SERVERS_MAX];

static int64_t pause_ms(void)
{
	const int64_t patience = seam_patience_ms();

	return patience ? patience : PAUSE_MS;
}

/* The client's, whose bucket may be another than that of others. */
static void find_server(struct s3_client *c)
{
	size_t i = 0;

	(void)pthread_mutex_lock(&servers_lock);
	while (i < SERVERS_MAX && servers[i].used &&
	       (servers[i].tls != c->place.tls ||
		strcmp(servers[i].host, c->host) != 0))
		i++;
	c->server = i < SERVERS_MAX ? &servers[i] : &c->own;
	c->server->used = true;
	c->server->tls = c->place.tls;
	memcpy(c->server->host, c->host, sizeof(c->host));
	(void)pthread_mutex_unlock(&servers_lock);
}

void s3_client_forget_all(void)
{
	(void)pthread_mutex_lock(&servers_lock);
	for (size_t i = 0; i < SERVERS_MAX; i++)
		servers[i].silence = (struct s3_silence){ 0 };
	(void)pthread_mutex_unlock(&servers_lock);
}

void s3_client_set_patience(struct s3_client *c, enum store_patience p)
{
	atomic_store(&c->patience, (int)p);
}

static bool is_hurried(struct s3_client *c)
{
	return atomic_load(&c->patience) != STORE_PATIENT;
}

static bool is_away(struct s3_client *c)
{
	bool yes;

	(void)pthread_mutex_lock(&servers_lock);
	yes = s3_silence_is_away(&c->server->silence, clock_boot_ms(),
				 is_hurried(c));
	(void)pthread_mutex_unlock(&servers_lock);
	return yes;
}

/* *seen is what that was decided by. */
static enum s3_silence_turn take_turn(struct s3_client *c, struct server *seen)
{
	enum s3_silence_turn turn;

	(void)pthread_mutex_lock(&servers_lock);
	*seen = *c->server;
	turn = s3_silence_turn(&c->server->silence, clock_boot_ms(),
			       is_hurried(c), pause_ms());
	(void)pthread_mutex_unlock(&servers_lock);
	return turn;
}

static void leave_turn(struct s3_client *c, enum s3_silence_turn turn)
{
	if (turn != S3_SILENCE_PROBE)
		return;
	(void)pthread_mutex_lock(&servers_lock);
	s3_silence_probe_ended(&c->server->silence);
	(void)pthread_mutex_unlock(&servers_lock);
}

/* Nothing was sent: since when, and after what; and when that may end. */
static int refuse(struct s3_client *c, const struct server *seen, struct err *e)
{
	const struct s3_silence *s = &seen->silence;
	const int64_t now = clock_boot_ms();
	char since[INSTANT_TEXT];
	char left[INSTANT_TEXT];

	/* To the second; the next one, if that is begun. */
	instant_duration_format((s3_silence_left_ms(s, now, pause_ms()) + 999) /
					1000 * 1000,
				left);
	instant_format(
		(struct instant){
			.sec = instant_add_ms(clock_now(), s->since_ms - now)
				       .sec },
		since);
	return err_set(e, ERR_BUSY,
		       "%s is away: no reply to %u tries since %s, and it is "
		       "%s%s (%s)",
		       text_quote_str(c->place.host).s, s->tries, since,
		       s->is_asked ? "being asked again" : "asked again in ",
		       s->is_asked ? "" : left, seen->why);
}

/* Whether a call that began then, and was refused, or his own probe, goes on.
 */
static bool is_waiting(struct s3_client *c, int64_t began_ms)
{
	return !is_hurried(c) && !store_is_stopping() &&
	       clock_boot_ms() - began_ms < PATIENCE * pause_ms();
}

/* ------------------------------------------------------------------------- */

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
	enum s3_silence_turn turn;
	int64_t call_ms;  /* when the call began */
	int64_t began_ms; /* of the exchange */
};

static void attempt_done(struct attempt *a)
{
	leave_turn(a->client, a->turn);
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
	find_server(c);
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

static void leave_lane(struct s3_client *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->busy--;
	(void)pthread_cond_signal(&c->free_lane);
	(void)pthread_mutex_unlock(&c->lock);
}

static void count(struct s3_client *c, const struct s3_exchange *x, bool again)
{
	(void)pthread_mutex_lock(&c->lock);
	c->traffic.requests++;
	c->traffic.retries += again;
	c->traffic.sent += x->sent;
	c->traffic.received += x->received;
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

/* A try after another one that had no reply. */
static bool is_doubtful(const struct attempt *a)
{
	return a->turn == S3_SILENCE_PROBE ||
	       (a->call->attempts > 0 && a->call->reply.status == 0);
}

/* Of silence, and of what a connection takes; 0: the usual ones. */
static int64_t limit_ms(const struct attempt *a)
{
	const int patience = atomic_load(&a->client->patience);

	return patience == STORE_HURRIED ||
			       (patience == STORE_FICKLE && is_doubtful(a))
		       ? pause_ms()
		       : 0;
}

static void describe(struct attempt *a)
{
	struct s3_call *call = a->call;
	struct s3_exchange *x = &a->exchange;

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
		.connect_ms = limit_ms(a),
		.stall_ms = limit_ms(a),
		.is_fresh = is_doubtful(a),
	};
}

/* In a lane. */
static int carry(struct attempt *a, struct err *e)
{
	struct s3_call *call = a->call;
	struct s3_exchange *x = &a->exchange;
	const bool changes = strcmp(call->method, "GET") != 0 &&
			     strcmp(call->method, "HEAD") != 0;
	int r;

	if (changes && seam_send(call->name ? call->name : ""))
		return err_sys(e, "cannot send");
	describe(a);
	if (call->body_buf)
		buf_clear(call->body_buf);
	call->attempts++;
	a->began_ms = clock_boot_ms();
	s3_http_start(a->client->http, x);
	r = await(a->client, x, e);
	count(a->client, x, call->attempts > 1);
	return r;
}

/*
 * Whoever waited for a lane meanwhile may have no reason to go on.  1: it was
 * refused, and is to come again.  For as long as somebody is asking, too: a
 * probe that lasts is one whose bytes move.
 */
static int exchange(struct attempt *a, struct err *e)
{
	struct s3_client *c = a->client;
	struct server seen;
	int r;

	if (take_lane(c, e))
		return -1;
	a->turn = take_turn(c, &seen);
	if (a->turn != S3_SILENCE_REFUSED)
		r = carry(a, e);
	else if (is_waiting(c, seen.silence.is_asked ? clock_boot_ms()
						     : a->call_ms))
		r = 1;
	else
		r = refuse(c, &seen, e);
	leave_lane(c);
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

/* Whether another try may. */
static bool may_help(enum s3_verdict v)
{
	return v == S3_AGAIN || v == S3_SLOWER || v == S3_NEW_KEYS;
}

static bool is_mute(const struct s3_call *call, enum s3_verdict v)
{
	return may_help(v) && call->reply.status == 0;
}

/* What the try tells of the server; with none sent, nothing. */
static void learn(struct attempt *a, enum s3_verdict v)
{
	const struct s3_exchange *x = &a->exchange;
	struct server *of = a->client->server;
	const int64_t now = clock_boot_ms();

	(void)pthread_mutex_lock(&servers_lock);
	if (is_mute(a->call, v)) {
		s3_silence_met(&of->silence, a->began_ms, now, pause_ms());
		(void)snprintf(of->why, sizeof(of->why), "%s", x->why);
	} else if (x->outcome != S3_HTTP_REFUSED) {
		s3_silence_heard(&of->silence, now);
	}
	(void)pthread_mutex_unlock(&servers_lock);
}

/* One try, and what came of it. */
struct tried {
	enum s3_verdict verdict;
	bool was_probe;
	int64_t began_ms;
};

/* -1 when the call is over, 1 when there was none, as in exchange(). */
static int try_once(struct s3_client *c, struct s3_call *call,
		    const char *sha256, int64_t call_ms, struct tried *ret,
		    struct err *e)
{
	CLEANUP(attempt_done)
	struct attempt a = {
		.client = c, .call = call, .sha256 = sha256, .call_ms = call_ms
	};
	enum s3_verdict v;
	int r;

	buf_init(&a.url, URL_MAX);
	buf_init(&a.lines, LINES_MAX);
	buf_init(&a.reply, ERROR_TEXT_MAX);
	if (s3_credentials_get(c->credentials, &a.keys, e))
		return -1;
	a.now = clock_now();
	if (sign(&a, e))
		return -1;
	r = exchange(&a, e);
	if (r)
		return r;
	v = judge(&a, e);
	adjust(c, v);
	learn(&a, v);
	if (v == S3_NEW_KEYS &&
	    (call->attempts > 2 ||
	     !s3_credentials_refused(c->credentials, a.keys)))
		v = S3_FAILED;
	*ret = (struct tried){ .verdict = v,
			       .was_probe = a.turn == S3_SILENCE_PROBE,
			       .began_ms = a.began_ms };
	return 0;
}

/*
 * A server that is silent was asked often enough.  What ends at once costs no
 * patience.
 */
static bool is_enough(struct s3_client *c, const struct s3_call *call,
		      bool was_probe, int64_t first_ms, int64_t began_ms)
{
	const int patience = atomic_load(&c->patience);
	const bool is_slow = clock_boot_ms() - first_ms >= pause_ms() / 2;

	if (call->attempts >= TRIES_MUTE)
		return true;
	if (was_probe || is_away(c))
		return !is_waiting(c, began_ms);
	return is_slow && (patience == STORE_HURRIED ||
			   (patience == STORE_FICKLE && call->attempts > 1));
}

static bool is_over(struct s3_client *c, const struct s3_call *call,
		    const struct tried *t, int64_t first_ms, int64_t began_ms)
{
	return !may_help(t->verdict) ||
	       clock_boot_ms() - began_ms > TRYING_MS ||
	       (is_mute(call, t->verdict)
			? is_enough(c, call, t->was_probe, first_ms, began_ms)
			: call->attempts >= TRIES);
}

/* It was the last try, and nobody replied. */
static void give_up(struct s3_client *c, int64_t first_ms)
{
	(void)pthread_mutex_lock(&servers_lock);
	s3_silence_give_up(&c->server->silence, first_ms, clock_boot_ms(),
			   pause_ms());
	(void)pthread_mutex_unlock(&servers_lock);
}

static void say_tries(const struct s3_call *call, struct err *e)
{
	const size_t used = strlen(e->text);

	if (call->attempts > 1)
		(void)snprintf(e->text + used, sizeof(e->text) - used,
			       ", after %u tries", call->attempts);
}

/* One that was made, when it was its turn: 0; -1 when the call is over. */
static int try_in_turn(struct s3_client *c, struct s3_call *call,
		       const char *sha256, int64_t call_ms, struct tried *ret,
		       struct err *e)
{
	for (;;) {
		int r;

		if (time_left(c) == 0)
			return interrupted(e);
		r = try_once(c, call, sha256, call_ms, ret, e);
		if (r <= 0)
			return r;
		rest(POLL_MS);
		if (store_is_stopping())
			return interrupted(e);
	}
}

/* No further try is made. */
static int conclude(struct s3_client *c, struct s3_call *call, int64_t first_ms,
		    struct err *why, struct err *e)
{
	if (call->verdict <= S3_BEYOND)
		return 0;
	say_tries(call, why);
	if (is_mute(call, call->verdict) && !store_is_stopping())
		give_up(c, first_ms);
	if (may_help(call->verdict) && store_is_stopping()) {
		(void)err_wrap(why, "stopped as asked");
		why->code = ERR_INTERRUPTED;
	}
	call->verdict = S3_FAILED;
	*e = *why;
	return -1;
}

int s3_call(struct s3_client *c, struct s3_call *call, struct err *e)
{
	const int64_t began = clock_boot_ms();
	char sha256[S3_SHA256_TEXT];
	const char *hash = call->body_sha256;
	struct tried t = { .verdict = S3_FAILED };
	int64_t first_ms = -1;
	uint64_t chance;
	struct err why;

	assert(call->n_headers <= S3_CALL_HEADERS);
	call->attempts = 0;
	if (!hash && s3_sha256(call->body, call->body_len, sha256, e))
		return -1;
	hash = hash ? hash : sha256;
	for (;;) {
		if (try_in_turn(c, call, hash, began, &t, &why)) {
			call->verdict = S3_FAILED;
			*e = why;
			return -1;
		}
		call->verdict = t.verdict;
		if (first_ms < 0)
			first_ms = t.began_ms;
		if (is_over(c, call, &t, first_ms, began))
			break;
		secret_nonce(&chance, sizeof(chance));
		if (call->verdict != S3_NEW_KEYS)
			rest(s3_delay_ms(call->attempts, chance,
					 call->reply.retry_after_s));
		if (store_is_stopping())
			break;
	}
	return conclude(c, call, first_ms, &why, e);
}
