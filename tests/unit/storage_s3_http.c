/*
 * Exchanges over HTTP with servers that answer slowly or not at all, that are
 * not to be trusted, or whose connections die; that none is lost or mixed up,
 * and nothing leaks.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "storage/stores/s3_sign.h"
#include "tests/support/s3_http_frame.h"
#include "tests/support/s3_server.h"
#include "tests/support/scratch.h"

static struct s3_server server;

/* ---- limits ------------------------------------------------------------- */

/* By path: a reply, its head alone, a byte now and then, or nothing. */
static void serve_slowly(struct raw_server *r, int fd, unsigned int n UNUSED)
{
	char path[4096];

	if (!raw_request(r, fd))
		return;
	(void)raw_last(r, path);
	if (strstr(path, "/whole")) {
		(void)raw_say(fd,
			      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
		return;
	}
	if (strstr(path, "/half"))
		(void)raw_say(fd,
			      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
	if (strstr(path, "/slow")) {
		if (!raw_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
				 "\r\n"))
			return;
		while (raw_say(fd, "x") && !atomic_load(&r->ending))
			clock_sleep_ms(50);
		return;
	}
	raw_stand(fd);
}

/*
 * It says nothing; a reply's head; or the network takes connections and passes
 * nothing on, until it does again.
 */
/* No other test of this program runs before. */
START_TEST(what_could_not_begin_begins_later)
{
	const struct s3_http_options o = { .ca = NULL };
	struct s3_http *h = NULL;
	struct rlimit files;
	struct rlimit none;
	struct err why;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = files;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(s3_http_new(&o, &h, &why), -1);
	ck_assert_int_eq(why.code, ERR_IO);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	ck_ok(s3_http_new(&o, &h, &why));
	s3_http_free(h);
}
END_TEST

START_TEST(who_stands_still_is_given_up)
{
	static const char *const paths[] = { "/mute", "/half", "/mute" };
	struct raw_server half;
	struct s3_server proxy;
	struct asked a[4];
	int64_t begun_ms;

	set_up(serve_slowly);
	raw_start(&half, serve_slowly);
	s3_server_start_proxy(&proxy, raw.port);
	(void)s3_server_tell(&proxy, "{\"do\": \"set\", \"black_hole\": true}");
	ask_init(&a[0], "GET", raw.port);
	ask_init(&a[1], "GET", half.port);
	ask_init(&a[2], "GET", proxy.port);
	begun_ms = clock_boot_ms();
	for (unsigned int i = 0; i < 3; i++) {
		add_path(&a[i], paths[i]);
		with_room(&a[i]);
		a[i].x.stall_ms = 1000;
		s3_http_start(http, &a[i].x);
	}
	for (unsigned int i = 0; i < 3; i++) {
		/* (Not before its time, which may be over here.) */
		ck_assert(i || !s3_http_wait_ms(http, &a[i].x, 100) ||
			  clock_boot_ms() - begun_ms >= 1000);
		s3_http_wait(http, &a[i].x);
		ck_assert_int_eq(a[i].x.outcome, S3_HTTP_TIMEOUT);
		ask_done(&a[i]);
	}
	(void)s3_server_tell(&proxy,
			     "{\"do\": \"set\", \"black_hole\": false}");
	(void)s3_server_tell(&proxy, "{\"do\": \"cut\", \"reset\": true}");
	ask_init(&a[3], "GET", proxy.port);
	add_path(&a[3], "/whole");
	s3_http_do(http, &a[3].x);
	ck_assert_int_eq(a[3].x.outcome, S3_HTTP_REPLIED);
	ck_assert_str_eq(buf_str(&a[3].text), "x");
	ask_done(&a[3]);
	s3_server_stop(&proxy);
	raw_stop(&half);
	tear_down(serve_slowly);
}
END_TEST

START_TEST(a_byte_now_and_then_does_not_go_on_for_ever)
{
	struct asked a;
	size_t got = 0;

	set_up(serve_slowly);
	/* For longer where it takes longer until some of them have come. */
	for (int64_t ms = 600; got < 2 && ms < 60000; ms *= 4) {
		ask_init(&a, "GET", raw.port);
		add_path(&a, "/slow");
		a.x.whole_ms = ms;
		s3_http_do(http, &a.x);
		ck_assert_int_eq(a.x.outcome, S3_HTTP_TIMEOUT);
		got = a.text.len;
		ask_done(&a);
	}
	ck_assert_uint_gt(got, 1);
	tear_down(serve_slowly);
}
END_TEST

/* Nobody listens; nobody accepts; nobody says a word of TLS. */
START_TEST(who_cannot_be_reached_is_not_waited_for)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int filling[4];
	struct asked a[3];
	int port;
	int full;
	int closed;

	set_up(serve_slowly);
	closed = raw_bind(&port);
	ask_init(&a[0], "GET", port);
	full = raw_listen(0, &port);
	to.sin_port = htons((uint16_t)port);
	for (unsigned int i = 0; i < 4; i++) {
		filling[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(filling[i],
			      (const struct sockaddr *)(const void *)&to,
			      sizeof(to));
	}
	ask_init(&a[1], "GET", port);
	ask_init(&a[2], "GET", raw.port);
	(void)snprintf(a[2].url, sizeof(a[2].url), "https://127.0.0.1:%d/",
		       raw.port);
	for (unsigned int i = 0; i < 3; i++) {
		a[i].x.connect_ms = 500;
		s3_http_start(http, &a[i].x);
	}
	for (unsigned int i = 0; i < 3; i++) {
		s3_http_wait(http, &a[i].x);
		ck_assert_int_eq(a[i].x.outcome, S3_HTTP_UNREACHED);
		ck_assert_str_ne(a[i].x.why, "");
		ask_done(&a[i]);
	}
	for (unsigned int i = 0; i < 4; i++)
		(void)close(filling[i]);
	(void)close(full);
	(void)close(closed);
	tear_down(serve_slowly);
}
END_TEST

/*
 * A name server that says nothing: libcurl asks by a thread of its own, in a
 * call that cannot be ended.  This takes the C library's place for it.
 */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint asked;

int getaddrinfo(const char *name, const char *service,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	union {
		void *symbol;
		int (*call)(const char *, const char *, const struct addrinfo *,
			    struct addrinfo **);
	} real = { .symbol = dlsym(RTLD_NEXT, "getaddrinfo") };

	if (strcmp(name, "mute.invalid") != 0)
		return real.call(name, service, hints, ret);
	atomic_fetch_add(&asked, 1);
	(void)pthread_mutex_lock(&asking);
	(void)pthread_mutex_unlock(&asking);
	return EAI_AGAIN;
}

START_TEST(a_mute_name_server_keeps_nobody_waiting)
{
	struct asked a[2];
	struct asked b;

	(void)pthread_mutex_lock(&asking);
	set_up(serve_reply);
	for (unsigned int i = 0; i < 2; i++) {
		ask_init(&a[i], "GET", 1);
		(void)snprintf(a[i].url, sizeof(a[i].url),
			       "http://mute.invalid/");
		a[i].x.connect_ms = i ? 60000 : 300;
		s3_http_start(http, &a[i].x);
	}
	while (atomic_load(&asked) < 2)
		clock_sleep_ms(5);
	ck_assert(s3_http_wait_ms(http, &a[0].x, 10000));
	ck_assert_int_eq(a[0].x.outcome, S3_HTTP_UNREACHED);
	s3_http_cancel(http, &a[1].x);
	ck_assert(s3_http_wait_ms(http, &a[1].x, 10000));
	ck_assert_int_eq(get(&b, "GET", true,
			     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
			 S3_HTTP_REPLIED);
	for (unsigned int i = 0; i < 2; i++)
		ask_done(&a[i]);
	ask_done(&b);
	raw_stop(&raw);
	s3_http_free(http);
	/* The threads end by themselves. */
	(void)pthread_mutex_unlock(&asking);
	while (check_open_descriptors() > descriptors)
		clock_sleep_ms(5);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
	static const char *const urls[] = { "", "ftp://127.0.0.1/", "http://",
					    "file:///etc/passwd" };
	struct asked a;

	set_up(NULL);
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		ask_init(&a, "GET", 1);
		a.x.url = urls[i];
		s3_http_do(http, &a.x);
		ck_assert_int_eq(a.x.outcome, S3_HTTP_REFUSED);
		ask_done(&a);
	}
	tear_down(NULL);
}
END_TEST

START_TEST(what_is_given_up_ends_at_once)
{
	struct asked a[3];

	set_up(serve_slowly);
	/* Before it began, or soon after; under way; the third after both. */
	for (unsigned int i = 0; i < 2; i++) {
		ask_init(&a[i], "GET", raw.port);
		add_path(&a[i], "/mute");
	}
	s3_http_start(http, &a[0].x);
	s3_http_cancel(http, &a[0].x);
	s3_http_wait(http, &a[0].x);
	ck_assert_int_eq(a[0].x.outcome, S3_HTTP_BROKEN);
	s3_http_start(http, &a[1].x);
	while (atomic_load(&raw.requests) == 0)
		clock_sleep_ms(5);
	ck_assert(!s3_http_wait_ms(http, &a[1].x, 1));
	s3_http_cancel(http, &a[1].x);
	s3_http_wait(http, &a[1].x);
	ck_assert_int_eq(a[1].x.outcome, S3_HTTP_BROKEN);
	/* It is over: nothing happens. */
	s3_http_cancel(http, &a[1].x);
	s3_http_wait(http, &a[1].x);
	ask_init(&a[2], "GET", raw.port);
	add_path(&a[2], "/whole");
	s3_http_do(http, &a[2].x);
	ck_assert_int_eq(a[2].x.outcome, S3_HTTP_REPLIED);
	ck_assert_str_eq(buf_str(&a[2].text), "x");
	for (unsigned int i = 0; i < 3; i++)
		ask_done(&a[i]);
	tear_down(serve_slowly);
}
END_TEST

/* ---- connections -------------------------------------------------------- */

/* The first connection ends when the second request has been read. */
static void serve_dying(struct raw_server *r, int fd, unsigned int n)
{
	while (raw_request(r, fd)) {
		if (n == 0 && atomic_load(&r->requests) == 2)
			return;
		if (!raw_reply(r, fd))
			return;
	}
}

START_TEST(a_kept_connection_that_dies_loses_no_request)
{
	static const char *const methods[] = { "GET", "PUT", "POST", "DELETE" };
	static char body[300000];

	for (unsigned int i = 0; i < 4; i++) {
		struct asked a;

		set_up(serve_dying);
		ck_assert_int_eq(get(&a, "GET", true,
				     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
				     "\r\nx"),
				 S3_HTTP_REPLIED);
		ask_done(&a);
		ask_init(&a, methods[i], raw.port);
		if (methods[i][0] == 'P') {
			a.x.body = body;
			a.x.body_len = sizeof(body);
		}
		s3_http_do(http, &a.x);
		ck_assert_int_eq(a.x.outcome, S3_HTTP_REPLIED);
		ck_assert_int_eq(a.x.reply.status, 200);
		ck_assert_str_eq(buf_str(&a.text), "x");
		ck_assert_uint_eq(raw_last(&raw, head), a.x.body_len);
		ck_assert_uint_eq(atomic_load(&raw.requests), 3);
		ask_done(&a);
		tear_down(serve_dying);
	}
}
END_TEST

/* A signed request of the server's bucket "b". */
static void sign(struct asked *a, struct buf *lines, unsigned int number,
		 const char *body)
{
	struct s3_keys *keys = s3_keys_new();
	char host[32];
	char path[32];
	char sha256[S3_SHA256_TEXT];
	struct s3_signing s = { .method = a->x.method,
				.host = host,
				.path = path,
				.query = "",
				.body_sha256 = sha256,
				.region = "us-east-1",
				.service = "s3",
				.now = clock_now() };
	struct err why;

	ck_assert_ptr_nonnull(keys);
	(void)snprintf(keys->id, sizeof(keys->id), "AKIDTEST");
	(void)snprintf(keys->secret, sizeof(keys->secret), "secrettest");
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", server.port);
	(void)snprintf(path, sizeof(path), "/b/%u", number);
	(void)snprintf(a->url, sizeof(a->url), "http://%s%s", host, path);
	buf_init(lines, 8192);
	if (s3_sha256(body, strlen(body), sha256, &why) ||
	    s3_sign(&s, keys, lines, &why))
		ck_abort_msg("%s", why.text);
	s3_keys_free(keys);
	a->x.headers = (const char *)lines->data;
	a->x.headers_len = lines->len;
	a->x.body = body;
	a->x.body_len = strlen(body);
}

struct worker {
	pthread_t thread;
	unsigned int number;
	const char *wrong;
};

/* Put a text under a number, and get it. */
static const char *put_and_get(unsigned int number)
{
	struct buf lines;
	struct asked a;
	char body[2000];
	const char *wrong = NULL;

	memset(body, 'a' + (int)(number % 26), sizeof(body));
	body[(number * 37) % 999] = '\0';
	ask_init(&a, "PUT", 0);
	sign(&a, &lines, number, body);
	s3_http_do(http, &a.x);
	if (a.x.outcome != S3_HTTP_REPLIED || a.x.reply.status != 200)
		wrong = "PUT";
	buf_done(&lines);
	ask_done(&a);
	if (wrong)
		return wrong;
	ask_init(&a, "GET", 0);
	sign(&a, &lines, number, "");
	a.x.body = NULL;
	s3_http_do(http, &a.x);
	if (a.x.outcome != S3_HTTP_REPLIED || a.x.reply.status != 200)
		wrong = "GET";
	else if (strcmp(buf_str(&a.text), body) != 0)
		wrong = "another one's bytes";
	buf_done(&lines);
	ask_done(&a);
	return wrong;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < 7 && !w->wrong; i++)
		w->wrong = put_and_get(w->number * 7 + i);
	return NULL;
}

START_TEST(many_at_once_are_not_mixed_up)
{
	const char *const words[] = { "--bucket", "b", NULL };
	struct worker w[16];

	s3_server_start(&server, words);
	set_up(NULL);
	for (unsigned int i = 0; i < 16; i++) {
		w[i] = (struct worker){ .number = i };
		ck_assert_int_eq(
			pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned int i = 0; i < 16; i++) {
		(void)pthread_join(w[i].thread, NULL);
		if (w[i].wrong)
			ck_abort_msg("%s", w[i].wrong);
	}
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 112);
	/* Those, and one for each word to the server. */
	ck_assert_int_le(s3_server_count(&server, "connections"), 16 + 2);
	tear_down(NULL);
	s3_server_stop(&server);
}
END_TEST

/* ---- trust -------------------------------------------------------------- */

static void make_certificates(struct scratch *dir)
{
	int status = 0;
	pid_t pid;

	scratch_init(dir);
	pid = check_fork_child();
	if (pid == 0) {
		(void)execl("/usr/bin/python3", "/usr/bin/python3", "-B",
			    TESTS_SUPPORT "/tls_material.py", dir->path, NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static void ask_tls(const struct scratch *dir, const char *ca, int port,
		    struct asked *a)
{
	char path[SCRATCH_PATH];
	const struct s3_http_options o = {
		.ca = ca ? scratch_path(dir, ca, path) : ""
	};

	ck_ok(s3_http_new(&o, &http, &e));
	ask_init(a, "GET", port);
	(void)snprintf(a->url, sizeof(a->url), "https://127.0.0.1:%d/", port);
	s3_http_do(http, &a->x);
	ask_done(a);
	s3_http_free(TAKE(http));
}

START_TEST(only_who_can_be_trusted_is_talked_to)
{
	static const struct {
		const char *name;
		const char *words;
	} who[] = {
		{ "expired", "expired" },
		{ "wrong_host", "no alternative certificate subject name" },
		{ "stranger", "unable to get local issuer" },
		{ "forged", "certificate signature failure" },
		{ "good", NULL },
	};
	struct s3_server servers[5];
	struct scratch dir;
	struct asked a;

	descriptors = check_open_descriptors();
	err_clear(&e);
	make_certificates(&dir);
	for (size_t i = 0; i < 5; i++) {
		char cert[SCRATCH_PATH + 32];
		char key[SCRATCH_PATH + 32];
		const char *const words[] = { "--tls-cert", cert, "--tls-key",
					      key, NULL };

		(void)snprintf(cert, sizeof(cert), "%s/%s.pem", dir.path,
			       who[i].name);
		(void)snprintf(key, sizeof(key), "%s/%s.key", dir.path,
			       who[i].name);
		s3_server_start(&servers[i], words);
	}
	for (size_t i = 0; i < 5; i++) {
		ask_tls(&dir, "ca.pem", servers[i].port, &a);
		if (who[i].words) {
			ck_assert_int_eq(a.x.outcome, S3_HTTP_UNTRUSTED);
			if (!strstr(a.x.why, who[i].words))
				ck_abort_msg("%s: %s", who[i].name, a.x.why);
		} else {
			ck_assert_int_eq(a.x.outcome, S3_HTTP_REPLIED);
			ck_assert_int_eq(a.x.reply.status, 403);
		}
	}
	/* Nor does the system trust an authority of the tests'; nor is one
	 * trusted whose file is not there. */
	ask_tls(&dir, NULL, servers[4].port, &a);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_UNTRUSTED);
	ask_tls(&dir, "none.pem", servers[4].port, &a);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_UNTRUSTED);
	for (size_t i = 0; i < 5; i++)
		s3_server_stop(&servers[i]);
	scratch_done(&dir);
	ck_assert_int_eq(check_open_descriptors(), descriptors);
}
END_TEST

/* One that can be trusted, and a line to it. */
static void start_good(struct scratch *dir, struct s3_server *line)
{
	char cert[SCRATCH_PATH + 32];
	char key[SCRATCH_PATH + 32];
	const char *const words[] = { "--tls-cert", cert, "--tls-key", key,
				      NULL };

	descriptors = check_open_descriptors();
	err_clear(&e);
	make_certificates(dir);
	(void)snprintf(cert, sizeof(cert), "%s/good.pem", dir->path);
	(void)snprintf(key, sizeof(key), "%s/good.key", dir->path);
	s3_server_start(&server, words);
	s3_server_start_proxy(line, server.port);
}

static void stop_good(struct scratch *dir, struct s3_server *line)
{
	s3_server_stop(line);
	s3_server_stop(&server);
	scratch_done(dir);
	ck_assert_int_eq(check_open_descriptors(), descriptors);
}

/* A bad line, or a server that goes, says nothing of whom it can trust. */
START_TEST(a_handshake_that_is_cut_is_no_stranger)
{
	static const struct {
		const char *way;
		int bytes;
	} cuts[] = { { "up", 1 },    { "up", 200 },   { "down", 1 },
		     { "down", 64 }, { "down", 300 }, { "down", 700 } };
	struct s3_server line;
	struct scratch dir;
	struct asked a;

	start_good(&dir, &line);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		(void)s3_server_tell(&line,
				     "{\"do\": \"reset_after\", "
				     "\"bytes\": %d, \"way\": \"%s\"}",
				     cuts[i].bytes, cuts[i].way);
		ask_tls(&dir, "ca.pem", line.port, &a);
		if (a.x.outcome != S3_HTTP_BROKEN)
			ck_abort_msg("%s %d: %d: %s", cuts[i].way,
				     cuts[i].bytes, (int)a.x.outcome, a.x.why);
		/* It was the handshake. */
		ck_assert_uint_eq(a.x.sent, 0);
	}
	stop_good(&dir, &line);
}
END_TEST

/* It outlives the exchange that began it, which is freed. */
START_TEST(a_trusted_connection_serves_one_after_the_other)
{
	struct s3_server line;
	struct scratch dir;
	char path[SCRATCH_PATH];
	struct s3_http_options o = { .ca = path };
	struct asked a;

	start_good(&dir, &line);
	(void)scratch_path(&dir, "ca.pem", path);
	ck_ok(s3_http_new(&o, &http, &e));
	for (int i = 0; i < 3; i++) {
		ask_init(&a, "GET", line.port);
		(void)snprintf(a.url, sizeof(a.url), "https://127.0.0.1:%d/",
			       line.port);
		s3_http_do(http, &a.x);
		ck_assert_int_eq(a.x.outcome, S3_HTTP_REPLIED);
		ask_done(&a);
	}
	s3_http_free(TAKE(http));
	ck_assert_int_eq(s3_server_count(&line, "connections"), 1);
	stop_good(&dir, &line);
}
END_TEST

/* ---- proxies ------------------------------------------------------------ */

START_TEST(a_proxy_is_taken_from_the_environment)
{
	char proxy[64];
	struct asked a;

	set_up(serve_reply);
	(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", raw.port);
	(void)setenv("http_proxy", proxy, 1);
	raw_will_say(&raw, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\np");
	ask_init(&a, "GET", 1);
	(void)snprintf(a.url, sizeof(a.url), "http://s3.example/b/k");
	s3_http_do(http, &a.x);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_REPLIED);
	(void)raw_last(&raw, head);
	ck_assert_ptr_nonnull(strstr(head, "GET http://s3.example/b/k "));
	ask_done(&a);
	/* Not for those that say so, nor where the environment does. */
	ask_init(&a, "GET", 1);
	a.x.no_proxy = true;
	s3_http_do(http, &a.x);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_UNREACHED);
	ask_done(&a);
	(void)setenv("no_proxy", "127.0.0.1", 1);
	ask_init(&a, "GET", 1);
	s3_http_do(http, &a.x);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_UNREACHED);
	ask_done(&a);
	ck_assert_uint_eq(atomic_load(&raw.requests), 1);
	(void)unsetenv("no_proxy");
	(void)unsetenv("http_proxy");
	tear_down(serve_reply);
}
END_TEST

static void cases(TCase *tc)
{
	s3_server_environment();
	tcase_add_test(tc, what_could_not_begin_begins_later);
	tcase_add_test(tc, who_stands_still_is_given_up);
	tcase_add_test(tc, a_byte_now_and_then_does_not_go_on_for_ever);
	tcase_add_test(tc, who_cannot_be_reached_is_not_waited_for);
	tcase_add_test(tc, a_mute_name_server_keeps_nobody_waiting);
	tcase_add_test(tc, what_makes_no_sense_is_refused);
	tcase_add_test(tc, what_is_given_up_ends_at_once);
	tcase_add_test(tc, a_kept_connection_that_dies_loses_no_request);
	tcase_add_test(tc, many_at_once_are_not_mixed_up);
	tcase_add_test(tc, only_who_can_be_trusted_is_talked_to);
	tcase_add_test(tc, a_handshake_that_is_cut_is_no_stranger);
	tcase_add_test(tc, a_trusted_connection_serves_one_after_the_other);
	tcase_add_test(tc, a_proxy_is_taken_from_the_environment);
}

CHECK_MAIN("storage/s3_http", cases)
