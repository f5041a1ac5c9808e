/*
 * The S3 store with a bucket that has object lock ("locked"), one that has
 * not ("plain"), and clients with keys that may do less than all.
 */
#ifndef TESTS_SUPPORT_S3_LOCK_FRAME_H
#define TESTS_SUPPORT_S3_LOCK_FRAME_H

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/s3_server.h"
#include "tests/support/scratch.h"

#define HOUR 3600

static struct s3_server server;
static struct store *store;
static struct err e;
static struct scratch dir; /* for keys */
static char prefix[32];

static inline struct instant in_s(int64_t seconds)
{
	struct instant t = clock_now();

	t.sec += seconds;
	return t;
}

static inline void start_server(void)
{
	const char *const words[] = { "--bucket", "plain", "--bucket",
				      "locked:lock", NULL };

	s3_server_environment();
	s3_server_start(&server, words);
}

static inline void stop_server(void)
{
	s3_server_stop(&server);
}

static inline struct store *opened(const char *bucket, int port,
				   const char *more)
{
	struct store *s = NULL;
	char url[SCRATCH_PATH + 256];

	(void)snprintf(url, sizeof(url),
		       "s3://%s/%s?endpoint=http://127.0.0.1:%d%s", bucket,
		       prefix, port, more);
	ck_ok(store_open(url, false, &s, &e));
	return s;
}

static inline void reset_counts(void)
{
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
}

static inline void set_up(const char *bucket, const char *more)
{
	static unsigned int cases;

	err_clear(&e);
	scratch_init(&dir);
	(void)snprintf(prefix, sizeof(prefix), "%d-%u", (int)getpid(), ++cases);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	store = opened(bucket, server.port, more);
	reset_counts();
}

static inline void tear_down(void)
{
	store_close(store);
	scratch_done(&dir);
}

static inline int64_t count(const char *name)
{
	return s3_server_count(&server, name);
}

static inline void expect_count(const char *name, int64_t n)
{
	if (count(name) != n)
		ck_abort_msg("%lld of %s, not %lld", (long long)count(name),
			     name, (long long)n);
}

static inline void fault(const char *operation, const char *kind,
			 const char *more)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"fault\", \"match\": \"^%s \", "
			     "\"kind\": \"%s\"%s}",
			     operation, kind, more);
}

static inline void put_to(struct store *s, const char *name, const char *text,
			  unsigned int flags)
{
	if (store_put(s, name, text, strlen(text), flags, &e))
		ck_abort_msg("%s", e.text);
}

static inline void put(const char *name, const char *text)
{
	put_to(store, name, text, 0);
}

static inline void expect(const char *name, const char *text)
{
	CLEANUP(buf_done) struct buf b;
	uint64_t size = 0;

	buf_init(&b, 1 << 20);
	if (store_get(store, name, &b, &e) != 1)
		ck_abort_msg("%s: %s", name, e.text);
	ck_assert_str_eq(buf_str(&b), text);
	ck_assert_int_eq(store_size(store, name, &size, &e), 1);
	ck_assert_uint_eq(size, strlen(text));
}

static inline void expect_none(const char *name)
{
	CLEANUP(buf_done) struct buf b;
	uint64_t size;

	buf_init(&b, 100);
	ck_assert_int_eq(store_get(store, name, &b, &e), 0);
	ck_assert_int_eq(store_size(store, name, &size, &e), 0);
}

static inline int collect(void *arg, const struct store_entry *entry,
			  struct err *err)
{
	return buf_addf(arg, err, "%s=%llu ", entry->name,
			(unsigned long long)entry->size);
}

static inline int list_of(struct store *s, struct buf *b)
{
	buf_init(b, 1 << 20);
	return store_list(s, "", collect, b, &e);
}

static inline void expect_list(const char *text)
{
	struct buf b;

	if (list_of(store, &b))
		ck_abort_msg("%s", e.text);
	ck_assert_str_eq(buf_str(&b), text);
	buf_done(&b);
}

/* What the server has of the case: versions and deletions, to be counted by
 * what stands in each. */
static inline unsigned int told_in(const char *bucket, const char *what)
{
	const char *at = s3_server_tell(&server,
					"{\"do\": \"list\", \"bucket\": "
					"\"%s\", \"prefix\": \"%s/\"}",
					bucket, prefix);
	unsigned int n = 0;

	for (; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static inline unsigned int versions_in(const char *bucket)
{
	return told_in(bucket, "\"version\"");
}

/* Somebody else's: data in base64 between quotes, or null for a deletion. */
static inline void put_on_top(const char *bucket, const char *name,
			      const char *data, unsigned int times)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"put\", \"bucket\": \"%s\", "
			     "\"key\": \"%s/%s\", \"data\": %s, "
			     "\"times\": %u}",
			     bucket, prefix, name, data, times);
}

#define FORGED	"\"Zm9yZ2Vk\"" /* "forged" */
#define DELETED "null"

static inline void add_key(const char *id, const char *may)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"key\", \"key\": \"%s:secret\", "
			     "\"may\": \"%s\"}",
			     id, may);
}

/* Another client of the same place, with another key. */
static inline struct store *opened_as(const char *bucket, const char *id,
				      const char *may)
{
	char path[SCRATCH_PATH];
	char more[SCRATCH_PATH + 32];
	FILE *f;

	add_key(id, may);
	f = fopen(scratch_path(&dir, id, path), "w");
	ck_assert_ptr_nonnull(f);
	(void)fprintf(f,
		      "[default]\naws_access_key_id = %s\n"
		      "aws_secret_access_key = secret\n",
		      id);
	(void)fclose(f);
	ck_assert_int_eq(chmod(path, 0600), 0);
	(void)snprintf(more, sizeof(more), "&credentials=%s", path);
	return opened(bucket, server.port, more);
}

static inline void set_rule(const char *bucket, const char *mode)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"bucket\", \"name\": \"%s\", "
			     "\"lock\": true}",
			     bucket);
	if (mode)
		(void)s3_server_tell(&server,
				     "{\"do\": \"rule\", \"bucket\": \"%s\", "
				     "\"mode\": \"%s\", \"days\": 1}",
				     bucket, mode);
}

static inline bool is_data(const char *name)
{
	return strncmp(name, "data/", 5) == 0;
}

#endif
