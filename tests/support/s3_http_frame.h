/*
 * Exchanges with a server of which a test says each byte (raw_server.h).
 */
#ifndef TESTS_SUPPORT_S3_HTTP_FRAME_H
#define TESTS_SUPPORT_S3_HTTP_FRAME_H

#include <string.h>

#include "storage/stores/s3_http.h"
#include "tests/support/check_main.h"
#include "tests/support/raw_server.h"

static struct s3_http *http;
static struct raw_server raw;
static struct err e;
static int descriptors;
static char head[4096]; /* of the last request */

static inline void set_up(raw_serve *serve)
{
	const struct s3_http_options o = { .ca = NULL };

	err_clear(&e);
	descriptors = check_open_descriptors();
	ck_ok(s3_http_new(&o, &http, &e));
	if (serve)
		raw_start(&raw, serve);
}

static inline void tear_down(raw_serve *serve)
{
	if (serve)
		raw_stop(&raw);
	s3_http_free(http);
	ck_assert_int_eq(check_open_descriptors(), descriptors);
}

/* An exchange, and where its reply goes. */
struct asked {
	struct s3_exchange x;
	char url[160];
	char room[256];
	struct buf text;
};

static inline void ask_init(struct asked *a, const char *method, int port)
{
	memset(a, 0, sizeof(*a));
	(void)snprintf(a->url, sizeof(a->url), "http://127.0.0.1:%d/b/k", port);
	buf_init(&a->text, 1000);
	a->x = (struct s3_exchange){ .method = method,
				     .url = a->url,
				     .body_buf = &a->text };
}

static inline void add_path(struct asked *a, const char *path)
{
	const size_t used = strlen(a->url);

	(void)snprintf(a->url + used, sizeof(a->url) - used, "%s", path);
}

static inline void ask_done(struct asked *a)
{
	buf_done(&a->text);
}

static inline void with_room(struct asked *a)
{
	a->x.room = a->room;
	a->x.room_len = sizeof(a->room);
}

static inline void serve_reply(struct raw_server *r, int fd,
			       unsigned int n UNUSED)
{
	while (raw_request(r, fd)) {
		if (!raw_reply(r, fd))
			break;
	}
}

static inline enum s3_http_outcome get(struct asked *a, const char *method,
				       bool room, const char *said)
{
	raw_will_say(&raw, said);
	ask_init(a, method, raw.port);
	if (room)
		with_room(a);
	s3_http_do(http, &a->x);
	return a->x.outcome;
}

#endif
