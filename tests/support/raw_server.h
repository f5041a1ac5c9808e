/*
 * A TCP server on loopback whose every byte a test says: one connection after
 * the other, each handled by a function of the test's.
 */
#ifndef TESTS_SUPPORT_RAW_SERVER_H
#define TESTS_SUPPORT_RAW_SERVER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/check_main.h"

struct raw_server;
/* Connection number n (from 0) on fd, which is closed afterwards. */
typedef void raw_serve(struct raw_server *r, int fd, unsigned int n);

struct raw_server {
	int listener;
	int port;
	raw_serve *serve;
	pthread_t thread;
	atomic_int fd; /* the one that is served, to be shut down */
	atomic_bool ending;
	atomic_uint requests; /* raw_request()'s */
	pthread_mutex_t lock; /* of what follows */
	char head[4096];      /* of the last one */
	size_t body_len;
	char said[8192]; /* raw_reply()'s */
};

static inline void *raw_accept(void *arg)
{
	struct raw_server *r = arg;

	for (unsigned int n = 0; !atomic_load(&r->ending); n++) {
		const int fd = accept(r->listener, NULL, NULL);

		if (fd < 0)
			break;
		atomic_store(&r->fd, fd);
		if (!atomic_load(&r->ending))
			r->serve(r, fd, n);
		atomic_store(&r->fd, -1);
		(void)close(fd);
	}
	return NULL;
}

/* A socket that has a port to itself, at which nobody listens. */
static inline int raw_bind(int *ret_port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t n = sizeof(at);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
		bind(fd, (const struct sockaddr *)(const void *)&at, n), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)(void *)&at, &n),
			 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

/* One that listens, with room for so many who wait. */
static inline int raw_listen(int backlog, int *ret_port)
{
	const int fd = raw_bind(ret_port);

	ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

static inline void raw_start(struct raw_server *r, raw_serve *serve)
{
	memset(r, 0, sizeof(*r));
	r->serve = serve;
	(void)pthread_mutex_init(&r->lock, NULL);
	atomic_store(&r->fd, -1);
	r->listener = raw_listen(16, &r->port);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, raw_accept, r), 0);
}

static inline void raw_stop(struct raw_server *r)
{
	atomic_store(&r->ending, true);
	(void)shutdown(r->listener, SHUT_RDWR);
	if (atomic_load(&r->fd) >= 0)
		(void)shutdown(atomic_load(&r->fd), SHUT_RDWR);
	(void)pthread_join(r->thread, NULL);
	(void)pthread_mutex_destroy(&r->lock);
	(void)close(r->listener);
}

static inline bool raw_send(int fd, const char *text, size_t n)
{
	while (n) {
		const ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		text += sent;
		n -= (size_t)sent;
	}
	return true;
}

static inline bool raw_say(int fd, const char *text)
{
	return raw_send(fd, text, strlen(text));
}

/* Stand still until the other side ends, or the test. */
static inline void raw_stand(int fd)
{
	char c[512];

	while (recv(fd, c, sizeof(c), 0) > 0)
		continue;
}

/* What it is to say from now on. */
static inline void raw_will_say(struct raw_server *r, const char *text)
{
	(void)pthread_mutex_lock(&r->lock);
	ck_assert_uint_lt(strlen(text), sizeof(r->said));
	(void)snprintf(r->said, sizeof(r->said), "%s", text);
	(void)pthread_mutex_unlock(&r->lock);
}

/* Say it; whether the connection goes on: without a length its end is the
 * reply's. */
static inline bool raw_reply(struct raw_server *r, int fd)
{
	char said[sizeof(r->said)];

	(void)pthread_mutex_lock(&r->lock);
	memcpy(said, r->said, sizeof(said));
	(void)pthread_mutex_unlock(&r->lock);
	return raw_say(fd, said) && strcasestr(said, "content-length");
}

/* The last request's head, copied to out; its body's length. */
static inline size_t raw_last(struct raw_server *r, char out[4096])
{
	size_t n;

	(void)pthread_mutex_lock(&r->lock);
	memcpy(out, r->head, sizeof(r->head));
	n = r->body_len;
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}

/* A request, whole: its head, and so many bytes of a body thrown away. */
static inline bool raw_request(struct raw_server *r, int fd)
{
	static const char length[] = "\r\nContent-Length:";
	char head[sizeof(r->head)];
	char body[65536];
	const char *said;
	size_t used = 0;
	size_t all;

	while (used < 4 || memcmp(head + used - 4, "\r\n\r\n", 4) != 0) {
		if (used + 1 == sizeof(head) ||
		    recv(fd, head + used, 1, 0) != 1)
			return false;
		used++;
	}
	head[used] = '\0';
	said = strcasestr(head, length);
	all = said ? strtoul(said + sizeof(length) - 1, NULL, 10) : 0;
	for (size_t left = all; left;) {
		const ssize_t got = recv(
			fd, body, left < sizeof(body) ? left : sizeof(body), 0);

		if (got <= 0)
			return false;
		left -= (size_t)got;
	}
	(void)pthread_mutex_lock(&r->lock);
	memcpy(r->head, head, used + 1);
	r->body_len = all;
	(void)pthread_mutex_unlock(&r->lock);
	atomic_fetch_add(&r->requests, 1);
	return true;
}

#endif
