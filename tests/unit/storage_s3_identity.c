/*
 * Keys for an S3 store from services that are really asked: what
 * storage_s3_credentials_service.c plays, over HTTP, of
 * tests/support/s3_identity.py.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "storage/stores/s3_credentials.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct s3_place place;
static struct s3_http *http;
static struct s3_credentials *c;
static struct err e;
static pid_t server;
static int server_ends = -1; /* when this is closed */
static char base[64];

static void start_server(const char *life)
{
	char port[16] = "";
	int in[2];
	int out[2];

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	server = check_fork_child();
	if (server == 0) {
		if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		(void)close(in[0]);
		(void)close(in[1]);
		(void)close(out[0]);
		(void)close(out[1]);
		(void)execl("/usr/bin/python3", "python3", "-B",
			    HOUSE "/tests/support/s3_identity.py", life, NULL);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	server_ends = in[1];
	/* It may come in pieces. */
	for (size_t n = 0; !strchr(port, '\n'); n++)
		ck_assert_int_eq(read(out[0], port + n, n < 15 ? 1 : 0), 1);
	(void)close(out[0]);
	port[strcspn(port, "\n")] = '\0';
	(void)snprintf(base, sizeof(base), "http://127.0.0.1:%s", port);
}

static void set_up(void)
{
	static const char *const variables[] = {
		"AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY",
		"AWS_PROFILE",
		"AWS_ENDPOINT_URL",
		"AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ROLE_SESSION_NAME",
		"AWS_SHARED_CREDENTIALS_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_EC2_METADATA_DISABLED",
	};
	const struct s3_http_options o = { .ca = NULL };

	ck_ok(secret_start(&e));
	scratch_init(&dir);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		ck_assert_int_eq(unsetenv(variables[i]), 0);
	/* What is near is asked past a proxy. */
	ck_assert_int_eq(setenv("HOME", dir.path, 1), 0);
	ck_assert_int_eq(setenv("no_proxy", "", 1), 0);
	ck_ok(s3_http_new(&o, &http, &e));
	ck_ok(s3_credentials_new(&place, http, &c, &e));
}

static void tear_down(void)
{
	int status;

	s3_credentials_free(c);
	s3_http_free(http);
	if (server_ends >= 0) {
		(void)close(server_ends);
		server_ends = -1;
		ck_assert_int_eq(waitpid(server, &status, 0), server);
		ck_assert_int_eq(status, 0);
	}
	scratch_done(&dir);
}

static void set(const char *name, const char *before, const char *after)
{
	char value[1024];

	(void)snprintf(value, sizeof(value), "%s%s", before, after);
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

static struct s3_keys *got(const char *id)
{
	struct s3_keys *k = NULL;
	char text[64];

	ck_ok(s3_credentials_get(c, &k, &e));
	ck_assert_str_eq(k->id, id);
	(void)snprintf(text, sizeof(text), "secret-of-%s", id);
	ck_assert_str_eq(k->secret, text);
	(void)snprintf(text, sizeof(text), "token-of-%s", id);
	ck_assert_str_eq(k->token, text);
	return k;
}

/* First and twice, and again when the server refuses them. */
static void gives(const char *first, const char *second)
{
	struct s3_keys *k = got(first);

	s3_keys_free(got(first));
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	s3_keys_free(k);
	s3_keys_free(got(second));
}

static void token(const char *text)
{
	char path[SCRATCH_PATH];

	ck_ok(file_replace(scratch_path(&dir, "token", path), text,
			   strlen(text), 0600, &e));
}

static enum err_code failure(void)
{
	struct s3_keys *k = NULL;

	ck_assert_int_eq(s3_credentials_get(c, &k, &e), -1);
	ck_assert_msg(!strstr(e.text, "web.identity"), "%s", e.text);
	return e.code;
}

START_TEST(sts)
{
	start_server("3600");
	token("web.identity.of.another\n");
	set("AWS_WEB_IDENTITY_TOKEN_FILE", dir.path, "/token");
	set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/", "other");
	set("AWS_ENDPOINT_URL_STS", base, "");
	ck_assert_int_eq(failure(), ERR_DENIED);
	ck_assert_msg(strstr(e.text, "AccessDenied: Not authorized") != NULL,
		      "%s", e.text);
	set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/", "backup");
	ck_assert_int_eq(failure(), ERR_DENIED); /* repeats the token */
	token("web.identity");
	gives("STS1", "STS2");
}
END_TEST

START_TEST(container)
{
	start_server("3600");
	set("http_proxy", "http://127.0.0.1:1", "");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", base, "/container");
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent", "");
	ck_assert_int_eq(failure(), ERR_DENIED);
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent", "-token");
	gives("CONTAINER1", "CONTAINER2");
}
END_TEST

START_TEST(instance)
{
	start_server("3600");
	set("http_proxy", "http://127.0.0.1:1", "");
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", base, "/");
	gives("INSTANCE1", "INSTANCE2");
}
END_TEST

#define THREADS 8

static void *get_one(void *arg)
{
	struct s3_keys **k = arg;
	struct err mine;

	if (s3_credentials_get(c, k, &mine))
		*k = NULL;
	return NULL;
}

/* However they come, one of them asks. */
START_TEST(threads)
{
	pthread_t thread[THREADS];
	struct s3_keys *k[THREADS] = { NULL };

	start_server("3600");
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", base, "");
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, get_one, &k[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_ptr_nonnull(k[i]);
		ck_assert_str_eq(k[i]->id, "INSTANCE1");
		s3_keys_free(k[i]);
	}
}
END_TEST

/* Nobody listens at a port that was given back. */
START_TEST(nobody)
{
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", "");
	ck_assert_int_eq(failure(), ERR_BUSY);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, sts);
	tcase_add_test(tc, container);
	tcase_add_test(tc, instance);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, nobody);
}

CHECK_MAIN("storage/s3_identity", cases)
