/*
 * One thread drives libcurl's multi handle; callers hand exchanges over under
 * the lock, wake it, and sleep on the exchange's condition.
 *
 *	caller: s3_http_start → [fresh] → thread: curl_multi_add_handle
 *	thread: what has ended → outcome, done → caller: s3_http_wait
 *
 * Easy handles are kept for the next exchange, so that what libcurl learnt (TLS
 * sessions, addresses) is kept too; connections belong to the multi handle.
 */
#include "storage/stores/s3_http.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/openssl.h"
#include "base/seam.h"
#include "base/secret.h"
#include "base/text.h"

#define CONNECT_MS INT64_C(10000)
#define STALL_MS   INT64_C(30000)
#define WHOLE_MS   INT64_C(600000)

/* Connections that are kept when nobody uses them. */
#define IDLE_CONNECTIONS 32L
/* Headers of a reply, all together; what is more is no server's of this kind.
 */
#define HEADERS_MAX 65536
/* libcurl's buffers: at a gigabit 16 KiB are a system call every 130 us. */
#define RECEIVE_BUFFER 262144L
#define SEND_BUFFER    524288L

/* An exchange between start and wait. */
struct under_way {
	struct under_way *next; /* in fresh, or in active */
	struct s3_http *http;
	struct s3_exchange *x;
	CURL *easy;
	struct curl_slist *lines;
	size_t headers_len;
	bool head_ended; /* of the reply; not so when it was cut */
	bool too_large;
	bool no_memory;
	int certificate; /* what is wrong with it; X509_V_OK: nothing known */
	bool cancelled;	 /* under the lock */
	bool done;	 /* under the lock */
	char why[CURL_ERROR_SIZE];
};

struct s3_http {
	char *ca;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something is done */
	/* Under the lock: */
	struct under_way *fresh;
	bool running; /* there is a thread */
	bool ending;  /* it is to end */
	/* The thread's own: */
	struct under_way *active;
	CURL *spare[16];
	size_t n_spare;
	/* Made with the thread; curl_multi_wakeup() may be called by all. */
	CURLM *multi;
	pthread_t thread;
};

/* What is there once, for all of this process. */
static const struct openssl_crypto *crypto;
static const struct openssl_tls *tls;
/* Where a TLS context has its struct under_way. */
static int owner_index = -1;
static bool has_libraries;

/* Under the lock.  What could not be brought is asked for again. */
static int bring_libraries(struct err *e)
{
	CURLcode code;

	crypto = openssl_crypto(e);
	if (!crypto)
		return -1;
	tls = openssl_tls(e);
	if (!tls)
		return -1;
	if (owner_index < 0) /* SSL_CTX_get_ex_new_index() */
		owner_index = crypto->CRYPTO_get_ex_new_index(
			CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, NULL);
	if (owner_index < 0)
		return err_oom(e);
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
		return err_set(e, ERR_IO, "libcurl does not start: %s",
			       curl_easy_strerror(code));
	has_libraries = true;
	return 0;
}

static int need_libraries(struct err *e)
{
	static pthread_mutex_t bringing = PTHREAD_MUTEX_INITIALIZER;
	int failed = 0;

	(void)pthread_mutex_lock(&bringing);
	if (!has_libraries)
		failed = bring_libraries(e);
	(void)pthread_mutex_unlock(&bringing);
	return failed;
}

/* ---- whom it talks to --------------------------------------------------- */

/* As OpenSSL decides, and kept: libcurl calls a handshake that was cut and a
 * certificate with a forged signature by one name. */
static int on_certificate(int is_good, X509_STORE_CTX *chain)
{
	const SSL *of = crypto->X509_STORE_CTX_get_ex_data(
		chain, tls->SSL_get_ex_data_X509_STORE_CTX_idx());
	struct under_way *u = tls->SSL_CTX_get_ex_data(tls->SSL_get_SSL_CTX(of),
						       owner_index);

	if (!is_good)
		u->certificate = crypto->X509_STORE_CTX_get_error(chain);
	return is_good;
}

/* A connection may outlive the exchange that began it, so it shakes hands only
 * once (TLS 1.2 could again). */
static CURLcode on_tls(CURL *easy UNUSED, void *context, void *under_way)
{
	SSL_CTX *of = context;

	(void)tls->SSL_CTX_set_options(of, SSL_OP_NO_RENEGOTIATION);
	tls->SSL_CTX_set_verify(of, tls->SSL_CTX_get_verify_mode(of),
				on_certificate);
	return tls->SSL_CTX_set_ex_data(of, owner_index, under_way) == 1
		       ? CURLE_OK
		       : CURLE_OUT_OF_MEMORY;
}

/* ---- what a reply says -------------------------------------------------- */

/* Copy n bytes of a header's value; what is not printable becomes "?". */
static void copy_value(const char *value, size_t n, char *out, size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < n && used + 1 < room; i++) {
		const bool prints = value[i] >= ' ' && value[i] <= '~';

		out[used] = '?';
		if (prints)
			out[used] = value[i];
		used++;
	}
	out[used] = '\0';
}

static void copy_number(const char *text, uint64_t *ret)
{
	int64_t v;

	if (text_number(text, 0, INT64_MAX, &v))
		*ret = (uint64_t)v;
}

/* Digits, and the byte behind them; *text moves behind that. */
static bool take_digits(const char **text, char end, uint64_t *ret)
{
	const size_t n = strspn(*text, "0123456789");
	char digits[24];
	int64_t v;

	if (n >= sizeof(digits) || (*text)[n] != end)
		return false;
	memcpy(digits, *text, n);
	digits[n] = '\0';
	if (!text_number(digits, 0, INT64_MAX, &v))
		return false;
	*ret = (uint64_t)v;
	*text += n + (end != '\0');
	return true;
}

/* "bytes 0-4/100": the total, and where it begins. */
static void take_range(struct s3_http_reply *reply, const char *text)
{
	static const char unit[] = "bytes ";
	uint64_t from;
	uint64_t to;
	uint64_t total;

	if (strncmp(text, unit, sizeof(unit) - 1) != 0)
		return;
	text += sizeof(unit) - 1;
	if (take_digits(&text, '-', &from) && take_digits(&text, '/', &to) &&
	    take_digits(&text, '\0', &total) && from <= to && to < total) {
		reply->range_at = from;
		reply->total = total;
	}
}

static void take_header(struct s3_http_reply *reply, const char *name,
			const char *value)
{
	const struct {
		const char *name;
		char *out;
		size_t room;
	} texts[] = {
		{ "etag", reply->etag, sizeof(reply->etag) },
		{ "x-amz-request-id", reply->request_id,
		  sizeof(reply->request_id) },
		{ "x-amz-bucket-region", reply->region, sizeof(reply->region) },
		{ "x-amz-checksum-sha256", reply->checksum_sha256,
		  sizeof(reply->checksum_sha256) },
		{ "x-amz-meta-snapctl-upload", reply->upload_tag,
		  sizeof(reply->upload_tag) },
		{ "x-amz-version-id", reply->version, sizeof(reply->version) },
		{ "x-amz-object-lock-mode", reply->lock_mode,
		  sizeof(reply->lock_mode) },
		{ "x-amz-object-lock-retain-until-date", reply->lock_until,
		  sizeof(reply->lock_until) },
		{ "x-amz-object-lock-legal-hold", reply->lock_hold,
		  sizeof(reply->lock_hold) },
	};
	int64_t seconds;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcasecmp(name, texts[i].name) == 0) {
			(void)snprintf(texts[i].out, texts[i].room, "%s",
				       value);
			return;
		}
	}
	if (strcasecmp(name, "content-length") == 0) {
		copy_number(value, &reply->length);
	} else if (strcasecmp(name, "content-range") == 0) {
		take_range(reply, value);
	} else if (strcasecmp(name, "retry-after") == 0) {
		if (text_number(value, 0, 86400, &seconds))
			reply->retry_after_s = seconds;
	} else if (strcasecmp(name, "date") == 0) {
		const time_t t = curl_getdate(value, NULL);

		reply->has_date = t != (time_t)-1;
		reply->date = (struct instant){ .sec = t };
	}
}

static void reply_init(struct s3_http_reply *r)
{
	memset(r, 0, sizeof(*r));
	r->length = UINT64_MAX;
	r->total = UINT64_MAX;
	r->retry_after_s = -1;
}

/* One line of the head, with its line end. */
static void take_line(struct s3_http_reply *reply, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);
	char name[64];
	char value[S3_VERSION_MAX + 1];
	size_t at;

	/* A status line begins a head: forget what one before it (of 100
	 * Continue, of a proxy) said. */
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		reply_init(reply);
		return;
	}
	if (!colon || (size_t)(colon - line) >= sizeof(name))
		return;
	at = (size_t)(colon - line);
	copy_value(line, at, name, sizeof(name));
	at++;
	while (at < n && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (n > at && (line[n - 1] == '\r' || line[n - 1] == '\n' ||
			  line[n - 1] == ' '))
		n--;
	copy_value(line + at, n - at, value, sizeof(value));
	take_header(reply, name, value);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct under_way *u = arg;

	assert(size == 1);
	u->headers_len += n;
	u->x->received += n;
	if (u->headers_len > HEADERS_MAX) {
		u->too_large = true;
		return 0;
	}
	u->head_ended = line[0] == '\r' || line[0] == '\n';
	take_line(&u->x->reply, line, n);
	return n;
}

/* Whether what comes is what was asked for, and not an error's text. */
static bool is_wanted(const struct under_way *u)
{
	long status = 0;

	(void)curl_easy_getinfo(u->easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300;
}

static bool add_to_room(struct s3_exchange *x, const char *bytes, size_t n)
{
	if (n > x->room_len - x->reply.body_len)
		return false;
	memcpy((char *)x->room + x->reply.body_len, bytes, n);
	x->reply.body_len += n;
	return true;
}

/* An error's text is cut; anything else must be whole. */
static bool add_to_buf(struct under_way *u, const char *bytes, size_t n,
		       bool whole)
{
	struct buf *b = u->x->body_buf;
	const size_t room = b ? b->max - b->len : 0;
	struct err ignored;

	if (n > room && whole)
		return false;
	if (n > room)
		n = room;
	u->no_memory = b && n && buf_add(b, bytes, n, &ignored) < 0;
	return !u->no_memory;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct under_way *u = arg;
	const bool wanted = is_wanted(u);
	const bool fits = u->x->room && wanted
				  ? add_to_room(u->x, bytes, n)
				  : add_to_buf(u, bytes, n, wanted);

	assert(size == 1);
	u->x->received += n;
	if (fits)
		return n;
	u->too_large = !u->no_memory;
	return 0;
}

/* ---- how it ended ------------------------------------------------------- */

/* libcurl's words begin with a capital and may hold a server's. */
static void say(struct s3_exchange *x, const char *words)
{
	size_t small = 0;

	copy_value(words, strlen(words), x->why, sizeof(x->why));
	while (x->why[1 + small] >= 'a' && x->why[1 + small] <= 'z')
		small++;
	/* But not a name's: "OpenSSL". */
	if (x->why[0] >= 'A' && x->why[0] <= 'Z' && small &&
	    (x->why[1 + small] < 'A' || x->why[1 + small] > 'Z'))
		x->why[0] = (char)(x->why[0] | 0x20);
}

/* Whether there was a connection that all was agreed on. */
static bool was_connected(CURL *easy)
{
	curl_off_t at = 0;

	(void)curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &at);
	return at > 0;
}

/* What a proxy answered that was to make a tunnel, and did not; else 0. */
static long tunnel_refusal(CURL *easy)
{
	long status = 0;

	(void)curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return status >= 300 ? status : 0;
}

static enum s3_http_outcome judge(const struct under_way *u, CURLcode code)
{
	if (u->too_large)
		return S3_HTTP_TOO_LARGE;
	if (u->no_memory)
		return S3_HTTP_REFUSED;
	if (code != CURLE_OK && tunnel_refusal(u->easy))
		return S3_HTTP_NO_TUNNEL;
	switch (code) {
	case CURLE_OK:
		return u->head_ended ? S3_HTTP_REPLIED : S3_HTTP_BROKEN;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_PROXY:
		return S3_HTTP_UNREACHED;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return S3_HTTP_UNTRUSTED;
	case CURLE_OPERATION_TIMEDOUT:
		return was_connected(u->easy) ? S3_HTTP_TIMEOUT
					      : S3_HTTP_UNREACHED;
	case CURLE_UNSUPPORTED_PROTOCOL:
		/* Of the URL; or what came is no HTTP. */
		return was_connected(u->easy) ? S3_HTTP_BROKEN
					      : S3_HTTP_REFUSED;
	case CURLE_FAILED_INIT:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_URL_MALFORMAT:
	case CURLE_BAD_FUNCTION_ARGUMENT:
	case CURLE_UNKNOWN_OPTION:
		return S3_HTTP_REFUSED;
	case CURLE_SSL_CONNECT_ERROR:
		/* Among others: a forged signature, a line that was cut. */
		return u->certificate != X509_V_OK ? S3_HTTP_UNTRUSTED
						   : S3_HTTP_BROKEN;
	default:
		return S3_HTTP_BROKEN;
	}
}

/* The bytes that went out: head, and as much of the body as was sent. */
static void count_sent(struct under_way *u)
{
	curl_off_t body = 0;
	long head = 0;

	(void)curl_easy_getinfo(u->easy, CURLINFO_SIZE_UPLOAD_T, &body);
	(void)curl_easy_getinfo(u->easy, CURLINFO_REQUEST_SIZE, &head);
	/* Some versions count what was sent with the head in it. */
	u->x->sent = (uint64_t)(head > body ? head : body + head);
}

static void conclude(struct under_way *u, CURLcode code)
{
	struct s3_exchange *x = u->x;
	long status = 0;

	x->outcome = judge(u, code);
	(void)curl_easy_getinfo(u->easy, CURLINFO_RESPONSE_CODE, &status);
	if (x->outcome == S3_HTTP_NO_TUNNEL)
		status = tunnel_refusal(u->easy);
	x->reply.status = (int)status;
	count_sent(u);
	if (x->outcome == S3_HTTP_TOO_LARGE)
		say(x, "the reply is larger than it can be");
	else if (u->no_memory)
		say(x, "out of memory");
	else if (x->outcome == S3_HTTP_UNTRUSTED &&
		 code == CURLE_SSL_CONNECT_ERROR)
		say(x, crypto->X509_verify_cert_error_string(u->certificate));
	else if (code == CURLE_OK && x->outcome != S3_HTTP_REPLIED)
		say(x, "the reply ends within its head");
	else if (x->outcome != S3_HTTP_REPLIED)
		say(x, u->why[0] ? u->why : curl_easy_strerror(code));
}

/* ---- the thread --------------------------------------------------------- */

static bool set_limits(CURL *easy, const struct s3_exchange *x)
{
	const int64_t patience = seam_patience_ms();
	const int64_t connect = x->connect_ms ? x->connect_ms
				: patience    ? patience
					      : CONNECT_MS;
	const int64_t stall = x->stall_ms ? x->stall_ms
			      : patience  ? patience
					  : STALL_MS;
	const int64_t whole = x->whole_ms ? x->whole_ms : WHOLE_MS;

	return !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
				 (long)connect) &&
	       !curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
				 (long)((stall + 999) / 1000)) &&
	       !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)whole);
}

/*
 * PUT and POST go as a POST's fields do: a piece of memory that libcurl can
 * begin anew with when a kept connection turns out to be dead.
 */
static bool set_method(CURL *easy, const struct s3_exchange *x)
{
	if (strcmp(x->method, "GET") == 0)
		return !curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	if (strcmp(x->method, "HEAD") == 0)
		return !curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (strcmp(x->method, "DELETE") == 0)
		return !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
	return !curl_easy_setopt(easy, CURLOPT_POST, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, x->method) &&
	       !curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
				 x->body ? x->body : "") &&
	       !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)x->body_len);
}

static bool set_lines(struct under_way *u)
{
	const struct s3_exchange *x = u->x;
	/* Neither waits for a leave to send nor calls bytes a form. */
	static const char *const own[] = { "Expect:", "Content-Type:" };
	bool has_type = false;
	struct curl_slist *more;

	for (size_t at = 0; at < x->headers_len;
	     at += strlen(x->headers + at) + 1) {
		const char *line = x->headers + at;

		has_type |= strncasecmp(line, "content-type:", 13) == 0;
		more = curl_slist_append(u->lines, line);
		if (!more)
			return false;
		u->lines = more;
	}
	for (size_t i = 0; i < (has_type ? 1 : 2); i++) {
		more = curl_slist_append(u->lines, own[i]);
		if (!more)
			return false;
		u->lines = more;
	}
	return !curl_easy_setopt(u->easy, CURLOPT_HTTPHEADER, u->lines);
}

static bool set_up(struct under_way *u)
{
	const struct s3_http *h = u->http;
	const struct s3_exchange *x = u->x;
	CURL *c = u->easy;

	return !curl_easy_setopt(c, CURLOPT_ERRORBUFFER, u->why) &&
	       !curl_easy_setopt(c, CURLOPT_PRIVATE, u) &&
	       !curl_easy_setopt(c, CURLOPT_URL, x->url) &&
	       !curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       !curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L) &&
	       !curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) &&
	       /* Else it waits for a name server before it gives up. */
	       !curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L) &&
	       !curl_easy_setopt(c, CURLOPT_SSLVERSION,
				 (long)CURL_SSLVERSION_TLSv1_2) &&
	       !curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_tls) &&
	       !curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, u) &&
	       !curl_easy_setopt(c, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER) &&
	       !curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER) &&
	       !curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) &&
	       !curl_easy_setopt(c, CURLOPT_HEADERDATA, u) &&
	       !curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) &&
	       !curl_easy_setopt(c, CURLOPT_WRITEDATA, u) &&
	       !curl_easy_setopt(c, CURLOPT_USERAGENT,
				 "snapctl/" SNAPCTL_VERSION) &&
	       (!h->ca || (!curl_easy_setopt(c, CURLOPT_CAINFO, h->ca) &&
			   !curl_easy_setopt(c, CURLOPT_CAPATH, NULL))) &&
	       (!x->is_fresh ||
		!curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L)) &&
	       (!x->no_proxy || !curl_easy_setopt(c, CURLOPT_NOPROXY, "*")) &&
	       set_limits(c, x) && set_method(c, x) && set_lines(u);
}

/* Tell whoever waits. */
static void announce(struct under_way *u)
{
	struct s3_http *h = u->http;

	(void)pthread_mutex_lock(&h->lock);
	u->done = true;
	(void)pthread_cond_broadcast(&h->changed);
	(void)pthread_mutex_unlock(&h->lock);
}

/* A token may be among them; what libcurl itself copied is out of reach. */
static void wipe_lines(struct curl_slist *lines)
{
	for (; lines; lines = lines->next)
		secret_wipe(lines->data, strlen(lines->data));
}

static void drop_easy(struct s3_http *h, struct under_way *u)
{
	CURL *easy = TAKE(u->easy);

	wipe_lines(u->lines);
	curl_slist_free_all(TAKE(u->lines));
	if (!easy)
		return;
	/* After a failure to resolve a name, libcurl 7.88 keeps the handle's
	 * buffer and refuses to be told its size again. */
	if (u->x->outcome == S3_HTTP_REPLIED &&
	    h->n_spare < sizeof(h->spare) / sizeof(h->spare[0])) {
		curl_easy_reset(easy);
		h->spare[h->n_spare++] = easy;
	} else {
		curl_easy_cleanup(easy);
	}
}

/* It never came to be an exchange. */
static void refuse(struct s3_http *h, struct under_way *u)
{
	u->x->outcome = S3_HTTP_REFUSED;
	say(u->x, "out of memory");
	drop_easy(h, u);
	announce(u);
}

/*
 * One that was used before can refuse its options: libcurl 7.88 keeps the
 * buffer of some that spoke HTTP/2, and then takes no size of it.
 */
static bool begin_with_spare(struct s3_http *h, struct under_way *u)
{
	if (!h->n_spare)
		return false;
	u->easy = h->spare[--h->n_spare];
	if (set_up(u))
		return true;
	curl_easy_cleanup(TAKE(u->easy));
	wipe_lines(u->lines);
	curl_slist_free_all(TAKE(u->lines));
	return false;
}

static bool begin_with_new(struct under_way *u)
{
	u->easy = curl_easy_init();
	return u->easy && set_up(u);
}

static void begin(struct s3_http *h, struct under_way *u)
{
	if ((!begin_with_spare(h, u) && !begin_with_new(u)) ||
	    curl_multi_add_handle(h->multi, u->easy) != CURLM_OK) {
		refuse(h, u);
		return;
	}
	u->next = h->active;
	h->active = u;
}

static void end(struct s3_http *h, struct under_way *u, CURLcode code)
{
	struct under_way **at = &h->active;

	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	conclude(u, code);
	(void)curl_multi_remove_handle(h->multi, u->easy);
	drop_easy(h, u);
	announce(u);
}

static void begin_fresh(struct s3_http *h)
{
	struct under_way *list;

	(void)pthread_mutex_lock(&h->lock);
	list = TAKE(h->fresh);
	(void)pthread_mutex_unlock(&h->lock);
	while (list) {
		struct under_way *u = list;

		list = u->next;
		begin(h, u);
	}
}

/* One of the active ones that was given up, or NULL. */
static struct under_way *find_cancelled(struct s3_http *h)
{
	struct under_way *u;

	(void)pthread_mutex_lock(&h->lock);
	for (u = h->active; u && !u->cancelled;)
		u = u->next;
	(void)pthread_mutex_unlock(&h->lock);
	return u;
}

static void end_some(struct s3_http *h)
{
	struct under_way *given_up;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		char *private = NULL;
		const CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE,
					&private);
		/* It was given by us, as what it is. */
		end(h, (struct under_way *)(void *)private, code);
	}
	while ((given_up = find_cancelled(h)) != NULL)
		end(h, given_up, CURLE_ABORTED_BY_CALLBACK);
}

static bool is_ending(struct s3_http *h)
{
	bool yes;

	(void)pthread_mutex_lock(&h->lock);
	yes = h->ending;
	(void)pthread_mutex_unlock(&h->lock);
	return yes;
}

static void *drive(void *arg)
{
	struct s3_http *h = arg;
	int running;

	while (!is_ending(h)) {
		begin_fresh(h);
		(void)curl_multi_perform(h->multi, &running);
		end_some(h);
		(void)curl_multi_poll(h->multi, NULL, 0, 1000, NULL);
	}
	return NULL;
}

/* ---- callers ------------------------------------------------------------ */

int s3_http_new(const struct s3_http_options *o, struct s3_http **ret,
		struct err *e)
{
	pthread_condattr_t attr;
	struct s3_http *h;

	if (need_libraries(e))
		return -1;
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_oom(e);
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&h->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (o->ca && o->ca[0])
		h->ca = strdup(o->ca);
	h->multi = curl_multi_init();
	if ((o->ca && o->ca[0] && !h->ca) || !h->multi ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS,
			      IDLE_CONNECTIONS) != CURLM_OK) {
		s3_http_free(h);
		return err_oom(e);
	}
	*ret = h;
	return 0;
}

void s3_http_free(struct s3_http *h)
{
	if (!h)
		return;
	if (h->running) {
		(void)pthread_mutex_lock(&h->lock);
		h->ending = true;
		(void)pthread_mutex_unlock(&h->lock);
		(void)curl_multi_wakeup(h->multi);
		(void)pthread_join(h->thread, NULL);
	}
	assert(!h->active && !h->fresh);
	while (h->n_spare)
		curl_easy_cleanup(h->spare[--h->n_spare]);
	(void)curl_multi_cleanup(h->multi);
	(void)pthread_cond_destroy(&h->changed);
	(void)pthread_mutex_destroy(&h->lock);
	free(h->ca);
	free(h);
}

/* Signals are for the program's own threads. */
static int start_thread(struct s3_http *h)
{
	sigset_t all;
	sigset_t before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	r = pthread_create(&h->thread, NULL, drive, h);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

void s3_http_start(struct s3_http *h, struct s3_exchange *x)
{
	struct under_way *u = calloc(1, sizeof(*u));
	bool taken = false;

	reply_init(&x->reply);
	x->why[0] = '\0';
	x->sent = x->received = 0;
	x->under_way = u;
	if (u) {
		u->http = h;
		u->x = x;
		(void)pthread_mutex_lock(&h->lock);
		if (!h->running)
			h->running = start_thread(h) == 0;
		taken = h->running;
		if (taken) {
			u->next = h->fresh;
			h->fresh = u;
		}
		(void)pthread_mutex_unlock(&h->lock);
	}
	if (taken) {
		(void)curl_multi_wakeup(h->multi);
		return;
	}
	free(u);
	x->under_way = NULL;
	x->outcome = S3_HTTP_REFUSED;
	say(x, u ? "no thread can be started" : "out of memory");
}

bool s3_http_wait_ms(struct s3_http *h, struct s3_exchange *x, int64_t ms)
{
	struct under_way *u = x->under_way;
	struct timespec until;
	int r = 0;

	if (!u)
		return true;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_mutex_lock(&h->lock);
	while (!u->done && r == 0)
		r = pthread_cond_timedwait(&h->changed, &h->lock, &until);
	if (u->done)
		x->under_way = NULL;
	(void)pthread_mutex_unlock(&h->lock);
	if (x->under_way)
		return false;
	free(u);
	return true;
}

void s3_http_wait(struct s3_http *h, struct s3_exchange *x)
{
	while (!s3_http_wait_ms(h, x, 60000))
		continue;
}

void s3_http_cancel(struct s3_http *h, struct s3_exchange *x)
{
	struct under_way *u = x->under_way;

	if (!u)
		return;
	(void)pthread_mutex_lock(&h->lock);
	u->cancelled = true;
	(void)pthread_mutex_unlock(&h->lock);
	(void)curl_multi_wakeup(h->multi);
}

void s3_http_do(struct s3_http *h, struct s3_exchange *x)
{
	s3_http_start(h, x);
	s3_http_wait(h, x);
}
