/*
 * Every store that there is, plain and wrapped in a fault injector that
 * injects nothing, for cases that hold for all of them:
 *
 *	START_TEST(name) { set_up(_i); ... tear_down(_i); } END_TEST
 *	tcase_add_unchecked_fixture(tc, backends_start, backends_stop);
 *	tcase_add_loop_test(tc, name, 0, N_BACKENDS);
 *
 * One S3 server for the program; each case has a prefix of its own.
 */
#ifndef TESTS_SUPPORT_STORE_BACKENDS_H
#define TESTS_SUPPORT_STORE_BACKENDS_H

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "storage/stores/fault.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/s3_server.h"
#include "tests/support/scratch.h"

enum backend {
	MEM,
	LOCAL,
	MEM_FAULTY,
	LOCAL_FAULTY,
	S3,
	S3_FAULTY,
	S3_CARELESS, /* the server does not know If-None-Match */
	S3_LOCKED,   /* the bucket has object lock, and so keeps versions */
	N_BACKENDS
};

static struct scratch dir;
static struct store *store;
static struct err e;
static struct s3_server server;

static inline void backends_start(void)
{
	const char *const words[] = { "--bucket", "contract", "--bucket",
				      "locked:lock", NULL };

	s3_server_environment();
	s3_server_start(&server, words);
}

static inline void backends_stop(void)
{
	s3_server_stop(&server);
}

static inline bool is_s3(int backend)
{
	return backend == S3 || backend == S3_FAULTY ||
	       backend == S3_CARELESS || backend == S3_LOCKED;
}

static inline bool is_local(int backend)
{
	return backend == LOCAL || backend == LOCAL_FAULTY;
}

static inline bool is_faulty(int backend)
{
	return backend == MEM_FAULTY || backend == LOCAL_FAULTY ||
	       backend == S3_FAULTY;
}

/* A place of the case's own on the server; more begins with "&", or is "". */
static inline void s3_url_in(const char *bucket, char out[512],
			     const char *more)
{
	static unsigned int cases;

	(void)snprintf(out, 512, "s3://%s/%d-%u?endpoint=http://127.0.0.1:%d%s",
		       bucket, (int)getpid(), ++cases, server.port, more);
}

static inline void s3_url(char out[512], const char *more)
{
	s3_url_in("contract", out, more);
}

static inline void set_up(int backend)
{
	char url[SCRATCH_PATH + 16];
	struct store *inner = NULL;

	err_clear(&e);
	if (is_s3(backend)) {
		(void)s3_server_tell(&server,
				     "{\"do\": \"set\", "
				     "\"if_none_match\": %s}",
				     backend == S3_CARELESS ? "false" : "true");
		s3_url_in(backend == S3_LOCKED ? "locked" : "contract", url,
			  "");
	} else if (is_local(backend)) {
		scratch_init(&dir);
		(void)snprintf(url, sizeof(url), "%s/store", dir.path);
	} else {
		(void)snprintf(url, sizeof(url), "mem:guard-contract");
	}
	ck_ok(store_open(url, true, &inner, &e));
	store = inner;
	if (is_faulty(backend))
		ck_ok(fault_wrap(inner, &store, &e));
}

static inline void tear_down(int backend)
{
	store_close(store);
	if (is_local(backend))
		scratch_done(&dir);
	else if (!is_s3(backend))
		store_mem_forget("mem:guard-contract");
}

#endif
