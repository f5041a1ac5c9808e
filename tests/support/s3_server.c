#include "tests/support/s3_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* By its whole name: else it finds its own things by the first one in PATH. */
#define PYTHON	  "/usr/bin/python3"
#define WORDS_MAX 32
#define TEXT_MAX  65536

/* It is one of ours, in the child: whatever is wrong ends it. */
static void run(const char *program, const char *const *words, const int in[2],
		const int out[2])
{
	const char *argv[WORDS_MAX + 4] = { PYTHON, "-B", program };
	size_t n = 3;

	while (*words && n < WORDS_MAX + 3)
		argv[n++] = *words++;
	if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
		_exit(126);
	(void)execv(PYTHON, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* The numbers after the words that it prints when it listens. */
static void read_ports(struct s3_server *s, int from, bool proxy)
{
	FILE *f = fdopen(from, "r");
	int n = 0;

	if (f)
		n = fscanf(f, proxy ? "port %d control %d" : "port %d",
			   &s->port, &s->control_port);
	if (f)
		(void)fclose(f);
	if (n != (proxy ? 2 : 1))
		ck_abort_msg("a server of the tests does not start");
	if (!proxy)
		s->control_port = s->port;
}

static void start(struct s3_server *s, const char *program,
		  const char *const *words, bool proxy)
{
	int in[2];
	int out[2];

	*s = (struct s3_server){ .input = -1 };
	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	s->pid = fork();
	ck_assert_int_ge(s->pid, 0);
	if (s->pid == 0)
		run(program, words, in, out);
	(void)close(in[0]);
	(void)close(out[1]);
	s->input = in[1];
	read_ports(s, out[0], proxy);
}

void s3_server_start(struct s3_server *s, const char *const *words)
{
	start(s, TESTS_SUPPORT "/s3_server.py", words, false);
}

void s3_server_start_proxy(struct s3_server *s, int to)
{
	char text[16];
	const char *const words[] = { "--to", text, NULL };

	(void)snprintf(text, sizeof(text), "%d", to);
	start(s, TESTS_SUPPORT "/tcp_proxy.py", words, true);
}

void s3_server_stop(struct s3_server *s)
{
	int status = 0;

	if (s->input >= 0)
		(void)close(s->input);
	s->input = -1;
	if (s->pid > 0)
		(void)waitpid(s->pid, &status, 0);
	s->pid = 0;
	free(TAKE(s->told));
}

static int connect_to(int port)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)(const void *)&to,
				 sizeof(to)),
			 0);
	return fd;
}

static void send_all(int fd, const char *text, size_t n)
{
	while (n) {
		const ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		ck_assert_int_gt(sent, 0);
		text += sent;
		n -= (size_t)sent;
	}
}

/* What comes until the end. */
static char *receive_all(int fd)
{
	size_t used = 0;
	size_t room = 4096;
	char *text = malloc(room);

	for (;;) {
		ssize_t got;

		ck_assert_ptr_nonnull(text);
		got = recv(fd, text + used, room - used - 1, 0);
		ck_assert_int_ge(got, 0);
		if (got == 0)
			break;
		used += (size_t)got;
		if (used + 1 == room)
			text = realloc(text, room *= 2);
	}
	text[used] = '\0';
	return text;
}

const char *s3_server_tell(struct s3_server *s, const char *format, ...)
{
	static char body[TEXT_MAX];
	static char request[TEXT_MAX + 256];
	const int fd = connect_to(s->control_port);
	char *reply;
	const char *text;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(body, sizeof(body), format, args);
	va_end(args);
	ck_assert_int_lt(n, TEXT_MAX);
	n = snprintf(request, sizeof(request),
		     "POST /_control HTTP/1.1\r\nHost: localhost\r\n"
		     "Connection: close\r\nContent-Length: %d\r\n\r\n%s",
		     n, body);
	send_all(fd, request, (size_t)n);
	reply = receive_all(fd);
	(void)close(fd);
	text = strstr(reply, "\r\n\r\n");
	if (strncmp(reply, "HTTP/1.1 200", 12) != 0 &&
	    strncmp(reply, "HTTP/1.0 200", 12) != 0)
		ck_abort_msg("%s: %s", body, reply);
	ck_assert_ptr_nonnull(text);
	free(s->told);
	s->told = strdup(text + 4);
	free(reply);
	ck_assert_ptr_nonnull(s->told);
	return s->told;
}

int64_t s3_server_count(struct s3_server *s, const char *name)
{
	const char *told = s3_server_tell(s, "{\"do\": \"counts\"}");
	char key[80];
	const char *at;

	(void)snprintf(key, sizeof(key), "\"%s\": ", name);
	at = strstr(told, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : 0;
}

void s3_server_environment(void)
{
	static const char *const gone[] = {
		"AWS_PROFILE",
		"AWS_REGION",
		"AWS_DEFAULT_REGION",
		"AWS_CA_BUNDLE",
		"AWS_SESSION_TOKEN",
		"AWS_ENDPOINT_URL",
		"AWS_ENDPOINT_URL_S3",
		"AWS_ROLE_ARN",
		"AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"http_proxy",
		"https_proxy",
		"HTTPS_PROXY",
		"all_proxy",
		"ALL_PROXY",
		"no_proxy",
		"NO_PROXY",
	};

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		(void)unsetenv(gone[i]);
	(void)setenv("AWS_ACCESS_KEY_ID", "AKIDTEST", 1);
	(void)setenv("AWS_SECRET_ACCESS_KEY", "secrettest", 1);
	(void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	(void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/keys", 1);
}
