#include "service/http.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/queue.h"
#include "base/text.h"
#include "service/catalog.h"
#include "service/http_internal.h"

/* Request line and headers together; curl's are some 150 bytes. */
enum { HEADER_BYTES = 16384, WATCH_EVERY_MS = 250 };

/*
 * Whoever connects asks at once: a peer is idle that did not send its headers
 * in this time.  Where no place is left the shorter time counts, which still
 * is long for a client that was only about to write.
 */
enum { HEADER_MS = 10000, CROWDED_MS = 1000 };

/*
 * A body is kept in memory until it is whole.  All that are larger than this
 * are counted, so that many connections are not as many times the largest one.
 */
enum { LARGE_BYTES = 65536, LARGE_AT_ONCE = 16 };

/* One that others write for a moment is waited for, in any case. */
enum { PATIENCE_LEAST_MS = 100 };

/* A connection, from accept to close, in the list that the watch walks. */
struct peer {
	struct peer *next, *prev;
	int fd;
	int64_t since_ms; /* boot time at which its request began */
	bool asked;	  /* the headers of one are there */
	bool cut;
};

/*
 * Requests that wait, and who runs them.  Those that change something wait for
 * each other and for whoever else writes the catalog: they have a lane of their
 * own, so that nobody who only asks stands behind them.
 */
struct lane {
	struct queue *jobs;
	pthread_t *workers;
	unsigned int worker_count;
};
enum { ASKING, CHANGING, LANES };

/* A request, from its first line until the reply went out. */
struct request {
	struct http *h;
	struct MHD_Connection *connection;
	struct peer *peer;
	const struct operation *op;
	struct args *args;
	struct operation_caller caller;
	struct buf body;
	struct http_reply reply;
	enum operation_outcome outcome;
	struct err failure; /* code ERR_NONE while all is well */
	int64_t whole_ms;   /* boot time since when it waits for a worker */
	bool ran;	    /* the reply is ready */
	bool large;
};

struct http {
	struct http_settings settings;
	struct MHD_Daemon *daemon;
	uid_t uid;
	atomic_bool stop;
	struct lane lanes[LANES];
	unsigned int
		large; /* requests; known to libmicrohttpd's thread alone */
	pthread_t watch;
	bool watching;
	pthread_mutex_t lock; /* of peers */
	struct peer peers;    /* a ring */
	unsigned int served;  /* of them, those that are not cut */
};

/* ---- Deadlines ---------------------------------------------------------- */

/* A peer leaves the list before its descriptor is closed, so the number is
 * never another's. */
static void cut(struct http *h, struct peer *p)
{
	p->cut = true;
	h->served--;
	(void)shutdown(p->fd, SHUT_RDWR);
}

/* It has not asked, and not because we were slow to read. */
static bool is_idle(const struct peer *p, int64_t before_ms)
{
	int unread = 0;

	return !p->cut && !p->asked && p->since_ms < before_ms &&
	       (ioctl(p->fd, FIONREAD, &unread) < 0 || unread == 0);
}

/* One place stays free, at the cost of whoever is idle for longest. */
static void make_room(struct http *h, int64_t now_ms)
{
	struct peer *oldest = NULL;
	int64_t before_ms = now_ms - CROWDED_MS;

	if (h->served < h->settings.connections)
		return;
	for (struct peer *p = h->peers.next; p != &h->peers; p = p->next)
		if (is_idle(p, before_ms)) {
			oldest = p;
			before_ms = p->since_ms;
		}
	if (oldest)
		cut(h, oldest);
}

static void cut_old(struct http *h, int64_t now_ms)
{
	const int64_t request_ms = h->settings.request_ms;
	const int64_t idle_ms = request_ms < HEADER_MS ? request_ms : HEADER_MS;

	for (struct peer *p = h->peers.next; p != &h->peers; p = p->next)
		if (is_idle(p, now_ms - idle_ms) ||
		    (!p->cut && p->since_ms < now_ms - request_ms))
			cut(h, p);
}

/*
 * libmicrohttpd ends connections only for idleness, so one byte a second
 * would keep one for ever.  This thread ends every request that is too old,
 * and every peer that does not ask, by shutting its socket down;
 * libmicrohttpd then sees it closed.
 */
static void *watch(void *arg)
{
	struct http *h = arg;

	while (!atomic_load(&h->stop)) {
		const int64_t now_ms = clock_boot_ms();

		pthread_mutex_lock(&h->lock);
		cut_old(h, now_ms);
		make_room(h, now_ms);
		pthread_mutex_unlock(&h->lock);
		clock_sleep_ms(WATCH_EVERY_MS);
	}
	return NULL;
}

static int socket_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	struct peer *p = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		p = calloc(1, sizeof(*p));
		*context = p;
		if (!p)
			return; /* refused at its first request */
		p->fd = socket_of(c);
		p->since_ms = clock_boot_ms();
		pthread_mutex_lock(&h->lock);
		p->next = h->peers.next;
		p->prev = &h->peers;
		p->next->prev = p;
		h->peers.next = p;
		h->served++;
		make_room(h, p->since_ms);
		pthread_mutex_unlock(&h->lock);
	} else if (p) {
		pthread_mutex_lock(&h->lock);
		p->next->prev = p->prev;
		p->prev->next = p->next;
		h->served -= p->cut ? 0 : 1;
		pthread_mutex_unlock(&h->lock);
		free(p);
		*context = NULL;
	}
}

/* ---- Running ------------------------------------------------------------ */

static int run(struct request *q, struct catalog *catalog)
{
	struct http *h = q->h;
	struct json reply;
	struct operation_call call = {
		.operation = q->op,
		.args = q->args,
		.reply = &reply,
		.out_fd = -1,
		.stop = &h->stop,
		.now = clock_now(),
		.caller = q->caller,
		.config = h->settings.config,
		.catalog = catalog,
		.wake = h->settings.wake,
		.wake_arg = h->settings.wake_arg,
	};

	json_init(&reply, http_reply_write, &q->reply);
	if (q->op->run(&call, &q->failure) < 0 ||
	    json_finish(&reply, &q->failure) < 0)
		return -1;
	q->outcome = call.outcome;
	return 0;
}

/* Who waited for a worker waited for the catalog: else each of a crowd would
 * do so for all those before it. */
static int64_t patience_of(const struct request *q)
{
	const int64_t waited = clock_boot_ms() - q->whole_ms;

	return waited < CATALOG_PATIENCE_MS - PATIENCE_LEAST_MS
		       ? CATALOG_PATIENCE_MS - waited
		       : PATIENCE_LEAST_MS;
}

/* A catalog that cannot be opened now may be there for the next request. */
static int run_with_catalog(struct request *q, struct catalog **catalog)
{
	const struct http_settings *s = &q->h->settings;

	if (!*catalog && s->catalog_path &&
	    catalog_open(s->catalog_path, catalog, &q->failure) < 0)
		return -1;
	if (*catalog)
		catalog_set_patience(*catalog, patience_of(q));
	return run(q, *catalog);
}

static void *work(void *arg)
{
	struct lane *lane = arg;
	struct catalog *catalog = NULL;
	void *item;

	while (queue_pop(lane->jobs, &item) == 1) {
		struct request *q = item;

		if (run_with_catalog(q, &catalog) < 0)
			http_reply_error(&q->reply, &q->failure);
		q->ran = true;
		MHD_resume_connection(q->connection);
	}
	catalog_close(catalog);
	return NULL;
}

/* ---- Requests ----------------------------------------------------------- */

/* Who is at the other end of the socket. */
static int find_caller(struct request *q, struct err *e)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(socket_of(q->connection), SOL_SOCKET, SO_PEERCRED, &peer,
		       &n) < 0)
		return err_sys(e, "cannot tell who asks");
	q->caller = (struct operation_caller){ .uid = peer.uid,
					       .gid = peer.gid,
					       .pid = peer.pid };
	return 0;
}

static int check_rights(const struct request *q, struct err *e)
{
	if (!(q->op->flags & OPERATION_CHANGES) || q->caller.uid == 0 ||
	    q->caller.uid == q->h->uid)
		return 0;
	(void)err_set(e, ERR_DENIED, "user %u may not call \"%s\"",
		      (unsigned int)q->caller.uid, q->op->verb);
	return err_hint(e, "changes are for root and the daemon's own user");
}

struct query {
	struct request *q;
	struct err *e;
	int status;
};

static enum MHD_Result take_query(void *arg, enum MHD_ValueKind kind UNUSED,
				  const char *name, const char *value)
{
	struct query *query = arg;

	query->status = http_take_query(query->q->args, name,
					value ? value : "true", query->e);
	return query->status == 0 ? MHD_YES : MHD_NO;
}

/* Everything that the first line and the headers tell. */
static int begin(struct request *q, const char *method, const char *path,
		 struct err *e)
{
	struct query query = { .q = q, .e = e };

	if (find_caller(q, e) < 0 || http_route(method, path, &q->op, e) < 0 ||
	    check_rights(q, e) < 0 || args_new(&q->args, q->op, e) < 0 ||
	    http_take_path(q->args, q->op, path, e) < 0)
		return -1;
	(void)MHD_get_connection_values(q->connection, MHD_GET_ARGUMENT_KIND,
					take_query, &query);
	return query.status;
}

static void free_request(struct request *q)
{
	if (!q)
		return;
	q->h->large -= q->large ? 1 : 0;
	args_free(q->args);
	buf_done(&q->body);
	http_reply_done(&q->reply);
	free(q);
}

static const char *outcome_name(enum operation_outcome outcome)
{
	return outcome == OPERATION_PARTIAL   ? "partial"
	       : outcome == OPERATION_FAILED  ? "failed"
	       : outcome == OPERATION_REFUSED ? "refused"
	       : outcome == OPERATION_DAMAGED ? "damaged"
					      : "done";
}

/* Hand the reply to libmicrohttpd, which takes its memory or descriptor. */
static enum MHD_Result respond(struct request *q)
{
	struct http_reply *r = &q->reply;
	struct MHD_Response *response;
	enum MHD_Result sent;

	if (r->fd >= 0) {
		response = MHD_create_response_from_fd64(r->size, r->fd);
		if (response)
			r->fd = -1;
	} else {
		response = MHD_create_response_from_buffer(
			r->memory.len, r->memory.data, MHD_RESPMEM_MUST_COPY);
	}
	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				      "application/json");
	(void)MHD_add_response_header(response, "Snapctl-Version",
				      SNAPCTL_VERSION);
	(void)MHD_add_response_header(response, "Snapctl-Outcome",
				      outcome_name(q->outcome));
	sent = MHD_queue_response(
		q->connection,
		(unsigned int)err_kind(q->failure.code)->http_status, response);
	MHD_destroy_response(response);
	return sent;
}

static enum MHD_Result refuse(struct request *q)
{
	http_reply_error(&q->reply, &q->failure);
	return respond(q);
}

/* A body that its header declares too long is refused before it comes. */
static int check_length(struct request *q, struct err *e)
{
	const size_t most = q->h->settings.body_bytes;
	const char *length = MHD_lookup_connection_value(
		q->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	int64_t n = 0;
	char size[16];

	if (!length || text_number(length, 0, (int64_t)most, &n))
		return 0;
	text_size(most, size);
	return err_set(e, ERR_USAGE, "the request is longer than %s", size);
}

/* Of large ones there are few at a time. */
static int check_large(struct request *q, size_t more, struct err *e)
{
	struct http *h = q->h;

	if (q->large || q->body.len + more <= LARGE_BYTES)
		return 0;
	if (h->large == LARGE_AT_ONCE)
		return err_set(e, ERR_BUSY,
			       "there are %d requests of more than %d KiB at "
			       "once",
			       LARGE_AT_ONCE, LARGE_BYTES >> 10);
	h->large++;
	q->large = true;
	return 0;
}

static int add_to_body(struct request *q, const char *bytes, size_t n,
		       struct err *e)
{
	if (strcmp(q->op->method, "GET") == 0)
		return err_set(e, ERR_USAGE, "a GET has no body");
	if (check_large(q, n, e) < 0)
		return -1;
	if (buf_add(&q->body, bytes, n, e) == 0)
		return 0;
	return e->code == ERR_CORRUPT
		       ? err_set(e, ERR_USAGE, "the request is too long")
		       : -1;
}

static enum MHD_Result take_body(struct request *q, const char *bytes,
				 size_t *n)
{
	/* After a failure the rest is read and dropped, up to the deadline:
	 * a reply can only follow the whole request. */
	if (q->failure.code == ERR_NONE &&
	    add_to_body(q, bytes, *n, &q->failure) < 0)
		buf_done(&q->body);
	*n = 0;
	return MHD_YES;
}

static struct lane *lane_of(const struct request *q)
{
	return &q->h->lanes[q->op->flags & OPERATION_CHANGES ? CHANGING
							     : ASKING];
}

/* The request is whole: give it to a worker. */
static enum MHD_Result dispatch(struct request *q)
{
	if (q->failure.code == ERR_NONE &&
	    http_take_body(q->args, buf_str(&q->body), q->body.len,
			   &q->failure) == 0 &&
	    args_finish(q->args, &q->failure) == 0) {
		MHD_suspend_connection(q->connection);
		q->whole_ms = clock_boot_ms();
		if (queue_push(lane_of(q)->jobs, q))
			return MHD_YES;
		(void)err_set(&q->failure, ERR_BUSY, "the daemon is stopping");
		MHD_resume_connection(q->connection);
		http_reply_error(&q->reply, &q->failure);
		q->ran = true;
		return MHD_YES;
	}
	return refuse(q);
}

static struct request *new_request(struct http *h, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *q = calloc(1, sizeof(*q));

	if (!q || !info || !info->socket_context) {
		free(q);
		return NULL;
	}
	q->h = h;
	q->connection = c;
	q->peer = info->socket_context;
	pthread_mutex_lock(&h->lock);
	q->peer->asked = true;
	pthread_mutex_unlock(&h->lock);
	buf_init(&q->body, h->settings.body_bytes);
	http_reply_init(&q->reply);
	return q;
}

/*
 * libmicrohttpd calls this when the headers are there, for each piece of the
 * body, when the request is whole, and when a worker has run it.
 */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c,
				  const char *path, const char *method,
				  const char *version UNUSED, const char *bytes,
				  size_t *n, void **context)
{
	struct request *q = *context;

	if (!q) {
		q = new_request(arg, c);
		*context = q;
		if (!q)
			return MHD_NO;
		if (begin(q, method, path, &q->failure) < 0 ||
		    check_length(q, &q->failure) < 0)
			return refuse(q);
		return MHD_YES;
	}
	if (q->ran)
		return respond(q);
	if (*n > 0)
		return take_body(q, bytes, n);
	return dispatch(q);
}

static void on_completed(void *arg, struct MHD_Connection *c UNUSED,
			 void **context,
			 enum MHD_RequestTerminationCode code UNUSED)
{
	struct http *h = arg;
	struct request *q = *context;

	if (!q)
		return;
	/* The next request on this connection has a time of its own. */
	pthread_mutex_lock(&h->lock);
	q->peer->since_ms = clock_boot_ms();
	q->peer->asked = false;
	pthread_mutex_unlock(&h->lock);
	free_request(q);
	*context = NULL;
}

/* We decode ourselves: here "%2F" must not become a "/" of the path. */
static size_t leave_encoded(void *arg UNUSED, struct MHD_Connection *c UNUSED,
			    char *text)
{
	return strlen(text);
}

/* ---- Starting and stopping ---------------------------------------------- */

static int start_lane(struct lane *lane, const struct http_settings *s,
		      struct err *e)
{
	/* Each connection has at most one job, so a push never waits. */
	if (queue_new(&lane->jobs, s->connections + 1, e) < 0)
		return -1;
	lane->workers = calloc(s->workers, sizeof(*lane->workers));
	if (!lane->workers)
		return err_oom(e);
	for (; lane->worker_count < s->workers; lane->worker_count++)
		if ((errno = pthread_create(&lane->workers[lane->worker_count],
					    NULL, work, lane)) != 0)
			return err_sys(e, "cannot start a thread");
	return 0;
}

/* What waits there is done first. */
static void end_lane(struct lane *lane)
{
	if (lane->jobs)
		queue_close(lane->jobs);
	for (unsigned int i = 0; i < lane->worker_count; i++)
		(void)pthread_join(lane->workers[i], NULL);
}

static int start_threads(struct http *h, struct err *e)
{
	for (size_t i = 0; i < LANES; i++)
		if (start_lane(&h->lanes[i], &h->settings, e) < 0)
			return -1;
	if ((errno = pthread_create(&h->watch, NULL, watch, h)) != 0)
		return err_sys(e, "cannot start a thread");
	h->watching = true;
	return 0;
}

static int start_daemon(struct http *h, int listen_fd, struct err *e)
{
	const unsigned int idle_s =
		(unsigned int)(h->settings.request_ms / 1000) + 1;

	h->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0,
		NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES,
		MHD_OPTION_CONNECTION_LIMIT, h->settings.connections,
		MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!h->daemon)
		return err_set(e, ERR_IO, "cannot serve the socket");
	return 0;
}

int http_start(int listen_fd, const struct http_settings *settings,
	       struct http **ret, struct err *e)
{
	struct http *h = calloc(1, sizeof(*h));

	assert(settings->workers > 0);
	if (!h)
		return err_oom(e);
	h->settings = *settings;
	h->uid = geteuid();
	h->peers.next = &h->peers;
	h->peers.prev = &h->peers;
	pthread_mutex_init(&h->lock, NULL);
	if (start_threads(h, e) < 0 || start_daemon(h, listen_fd, e) < 0) {
		http_stop(h);
		return -1;
	}
	*ret = h;
	return 0;
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	atomic_store(&h->stop, true);
	if (h->daemon)
		/* No new connections; those that are there go on. */
		file_close(MHD_quiesce_daemon(h->daemon));
	for (size_t i = 0; i < LANES; i++)
		end_lane(&h->lanes[i]);
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	if (h->watching)
		(void)pthread_join(h->watch, NULL);
	for (size_t i = 0; i < LANES; i++) {
		queue_free(h->lanes[i].jobs);
		free(h->lanes[i].workers);
	}
	pthread_mutex_destroy(&h->lock);
	free(h);
}
