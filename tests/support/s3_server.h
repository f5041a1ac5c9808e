/*
 * The S3 server of the tests (s3_server.py), and the bad network before it
 * (tcp_proxy.py), from C.
 *
 *	s3_server_start(&server, (const char *[]){ "--bucket", "b", NULL });
 *	s3_server_tell(&server, "{\"do\": \"fault\", \"kind\": \"hang\"}");
 *	s3_server_stop(&server);
 *
 * One for a program will do: Python takes as long to start as a hundred
 * requests.  What goes wrong here fails the test.
 */
#ifndef TESTS_SUPPORT_S3_SERVER_H
#define TESTS_SUPPORT_S3_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

struct s3_server {
	pid_t pid;
	int input;	  /* it ends when this does */
	int port;	  /* for clients */
	int control_port; /* for what it is told */
	char *told;	  /* its last answer */
};

/* words: as on its command line, ended by NULL. */
void s3_server_start(struct s3_server *s, const char *const *words)
	NONNULL(1, 2);
/* tcp_proxy.py before a port of 127.0.0.1. */
void s3_server_start_proxy(struct s3_server *s, int to) NONNULL(1);
void s3_server_stop(struct s3_server *s) NONNULL(1);

/* A word to /_control, in JSON; its answer, which lasts until the next one. */
const char *s3_server_tell(struct s3_server *s, const char *format, ...)
	PRINTF_LIKE(2, 3) NONNULL(1, 2);
/* A number among its counts, by name ("PutObject", "connections"). */
int64_t s3_server_count(struct s3_server *s, const char *name) NONNULL(1, 2);

/* Keys that it knows, and nothing else that a store could take from this
 * machine's environment. */
void s3_server_environment(void);

#endif
