/*
 * The S3 store between its callers and a server that lists, replies, refuses
 * and stands still in all the wrong ways; and how it stops.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/raw_server.h"
#include "tests/support/s3_server.h"
#include "tests/support/scratch.h"

static struct s3_server server;
static struct raw_server raw;
static struct store *store;
static struct err e;
static char prefix[32];
static atomic_llong ahead_ms; /* of this machine's clock */

int64_t __real_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void)
{
	return __real_clock_boot_ms() + atomic_load(&ahead_ms);
}

/* Time that passes without anybody waiting for it. */
static atomic_bool in_a_hurry;

void __real_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms)
{
	if (atomic_load(&in_a_hurry))
		atomic_fetch_add(&ahead_ms, ms);
	else
		__real_clock_sleep_ms(ms);
}

static void start_server(void)
{
	const char *const words[] = { "--bucket", "bucket", NULL };

	s3_server_environment();
	s3_server_start(&server, words);
}

static void stop_server(void)
{
	s3_server_stop(&server);
}

static void set_up_at(int port, const char *more)
{
	static unsigned int cases;
	char url[SCRATCH_PATH + 128];

	err_clear(&e);
	(void)snprintf(prefix, sizeof(prefix), "%d-%u", (int)getpid(), ++cases);
	(void)snprintf(url, sizeof(url),
		       "s3://bucket/%s?endpoint=http://127.0.0.1:%d%s", prefix,
		       port, more);
	ck_ok(store_open(url, false, &store, &e));
}

static void set_up(const char *more)
{
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	set_up_at(server.port, more);
}

static void tear_down(void)
{
	store_close(store);
}

static void fault(const char *operation, const char *kind, const char *more)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"fault\", \"match\": \"^%s \", "
			     "\"kind\": \"%s\"%s}",
			     operation, kind, more);
}

static void put(const char *name)
{
	ck_ok(store_put(store, name, name, strlen(name), 0, &e));
}

/* An object that we did not write. */
static void put_foreign(const char *key)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"put\", \"bucket\": \"bucket\", "
			     "\"key\": \"%s/%s\", \"data\": \"\"}",
			     prefix, key);
}

/* ---- lists --------------------------------------------------------------- */

/* Names, each after a space. */
static int collect(void *arg, const struct store_entry *entry, struct err *err)
{
	struct buf *b = arg;

	return buf_addf(b, err, " %s", entry->name);
}

/* In each of the ways that there are. */
#define WAYS 3
static int list(struct buf *b, size_t way)
{
	buf_init(b, 1 << 20);
	switch (way) {
	case 0:
		return store_list(store, "", collect, b, &e);
	case 1:
		return store_list_reading(store, "", collect, b, &e);
	default:
		return store_list_after(store, "A", collect, b, &e);
	}
}

START_TEST(a_listing_that_cannot_be_had_whole_fails)
{
	static const struct {
		const char *kind;
		const char *more;
		enum err_code code;
	} rows[] = {
		{ "garbage", "", ERR_IO },
		{ "bomb", "", ERR_IO },
		{ "cut_body", ", \"bytes\": 400", ERR_IO },
		{ "cut_body", ", \"bytes\": 0", ERR_IO },
		{ "error", ", \"code\": \"AccessDenied\"", ERR_DENIED },
		{ "error", ", \"code\": \"NoSuchBucket\"", ERR_NOT_FOUND },
		{ "ok_error", ", \"code\": \"AccessDenied\"", ERR_DENIED },
	};
	struct buf b;

	set_up("");
	put("a/1");
	put("a/2");
	for (size_t i = 0; i < WAYS * sizeof(rows) / sizeof(rows[0]); i++) {
		fault("ListObjectsV2", rows[i / WAYS].kind,
		      rows[i / WAYS].more);
		ck_assert_int_eq(list(&b, i % WAYS), -1);
		if (e.code != rows[i / WAYS].code || b.len)
			ck_abort_msg("%s: %s", rows[i / WAYS].kind, e.text);
		buf_done(&b);
	}
	/* What broke on its way is asked for again. */
	for (size_t way = 0; way < WAYS; way++) {
		fault("ListObjectsV2", "truncate", ", \"bytes\": 300");
		ck_ok(list(&b, way));
		ck_assert_str_eq(buf_str(&b), " a/1 a/2");
		buf_done(&b);
	}
	tear_down();
}
END_TEST

START_TEST(a_listing_that_goes_round_fails)
{
	struct buf b;

	set_up("");
	put("a/1");
	for (size_t way = 0; way < WAYS; way++) {
		fault("ListObjectsV2", "endless_list", ", \"next\": 1000");
		ck_assert_int_eq(list(&b, way), -1);
		ck_assert_int_eq(e.code, ERR_IO);
		ck_assert_int_lt(s3_server_count(&server, "ListObjectsV2"), 12);
		buf_done(&b);
		(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	}
	tear_down();
}
END_TEST

/* What comes before is not sent. */
START_TEST(a_listing_may_begin_at_a_name)
{
	const char *told;
	struct buf b;

	set_up("");
	put("a/1");
	put("a/2");
	buf_init(&b, 1 << 10);
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	ck_ok(store_list_after(store, "a/1", collect, &b, &e));
	ck_assert_str_eq(buf_str(&b), " a/2");
	buf_done(&b);
	told = s3_server_tell(&server, "{\"do\": \"log\"}");
	ck_assert_msg(strstr(told, "&start-after=") && strstr(told, "%2Fa%2F1"),
		      "%s", told);
	tear_down();
}
END_TEST

START_TEST(keys_that_are_no_objects_are_told_by_pure_alone)
{
	struct buf b;

	set_up("");
	put("a/1");
	put_foreign(""); /* a console's empty folder */
	ck_ok(store_pure(store, &e));
	ck_ok(list(&b, 0));
	ck_assert_str_eq(buf_str(&b), " a/1");
	buf_done(&b);
	put_foreign("a/README.TXT");
	ck_assert_int_eq(store_pure(store, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_ptr_nonnull(strstr(e.text, "a/README.TXT"));
	put_foreign("a//x");
	put_foreign("a/ +%41");
	put_foreign("tmp/1");
	for (size_t way = 0; way < WAYS; way++) {
		ck_ok(list(&b, way));
		ck_assert_str_eq(buf_str(&b), " a/1");
		buf_done(&b);
	}
	tear_down();
}
END_TEST

/* ---- replies of any kind ------------------------------------------------- */

static void serve_reply(struct raw_server *r, int fd, unsigned int n UNUSED)
{
	while (raw_request(r, fd)) {
		if (!raw_reply(r, fd))
			break;
	}
}

static char *list_reply(const char *contents)
{
	static char text[4096];
	char xml[3000];
	const int n = snprintf(
		xml, sizeof(xml),
		"<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false"
		"</IsTruncated>%s</ListBucketResult>",
		contents);

	(void)snprintf(text, sizeof(text),
		       "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n,
		       xml);
	return text;
}

#define KEY(name)                         \
	"<Contents><Key>@/" name "</Key>" \
	"<Size>1</Size></Contents>"

START_TEST(a_listing_out_of_order_or_of_others_fails)
{
	static const struct {
		const char *contents;
		const char *names; /* NULL: it fails */
	} rows[] = {
		{ KEY("a") KEY("b"), " a b" },
		{ KEY("b") KEY("a"), NULL },
		{ KEY("a") KEY("a"), NULL },
		{ KEY("a") "<Contents><Key>zzz/b</Key><Size>1</Size>"
			   "</Contents>",
		  NULL },
	};
	char contents[1000];
	struct buf b;

	raw_start(&raw, serve_reply);
	set_up_at(raw.port, "");
	for (size_t i = 0; i < WAYS * sizeof(rows) / sizeof(rows[0]); i++) {
		const char *names = rows[i / WAYS].names;
		size_t used = 0;

		/* "@" becomes the prefix. */
		for (const char *at = rows[i / WAYS].contents; *at; at++) {
			if (*at != '@') {
				contents[used++] = *at;
				continue;
			}
			used += (size_t)snprintf(contents + used,
						 sizeof(contents) - used, "%s",
						 prefix);
		}
		contents[used] = '\0';
		raw_will_say(&raw, list_reply(contents));
		if (names) {
			ck_ok(list(&b, i % WAYS));
			ck_assert_str_eq(buf_str(&b), names);
		} else {
			ck_assert_int_eq(list(&b, i % WAYS), -1);
			ck_assert_int_eq(e.code, ERR_IO);
		}
		buf_done(&b);
	}
	/* One that begins with the first of all, whatever it is asked for. */
	(void)snprintf(contents, sizeof(contents),
		       "<Contents><Key>%s/a</Key><Size>1</Size></Contents>"
		       "<Contents><Key>%s/b</Key><Size>1</Size></Contents>",
		       prefix, prefix);
	raw_will_say(&raw, list_reply(contents));
	buf_init(&b, 1 << 10);
	ck_ok(store_list_after(store, "a", collect, &b, &e));
	ck_assert_str_eq(buf_str(&b), " b");
	buf_done(&b);
	tear_down();
	raw_stop(&raw);
}
END_TEST

/* Pages without a key say again and again where the next one is. */
START_TEST(pages_without_a_key_do_not_go_round)
{
	struct buf b;

	raw_start(&raw, serve_reply);
	set_up_at(raw.port, "");
	raw_will_say(&raw, "HTTP/1.1 200 OK\r\nContent-Length: 139\r\n\r\n"
			   "<ListBucketResult><IsTruncated>true</IsTruncated>"
			   "<NextContinuationToken>same</NextContinuationToken>"
			   "</ListBucketResult>                    ");
	for (size_t way = 0; way < WAYS; way++) {
		ck_assert_int_eq(list(&b, way), -1);
		ck_assert_int_eq(e.code, ERR_IO);
		ck_assert_uint_le(atomic_load(&raw.requests), 3 * (way + 1));
		buf_done(&b);
	}
	tear_down();
	raw_stop(&raw);
}
END_TEST

START_TEST(bytes_that_were_not_asked_for_are_none)
{
	static const struct {
		const char *said;
		int got; /* -1: it fails */
	} rows[] = {
		{ "206 Part\r\nContent-Length: 4\r\n"
		  "Content-Range: bytes 0-3/10\r\n\r\nabcd",
		  4 },
		{ "206 Part\r\nContent-Length: 2\r\n"
		  "Content-Range: bytes 0-1/2\r\n\r\nab",
		  2 },
		/* Others, fewer, of nothing known. */
		{ "206 Part\r\nContent-Length: 4\r\n"
		  "Content-Range: bytes 1-4/10\r\n\r\nabcd",
		  -1 },
		{ "206 Part\r\nContent-Length: 3\r\n"
		  "Content-Range: bytes 0-2/10\r\n\r\nabc",
		  -1 },
		{ "206 Part\r\nContent-Length: 4\r\n\r\nabcd", -1 },
		{ "206 Part\r\nContent-Length: 4\r\n"
		  "Content-Range: bytes 0-3/*\r\n\r\nabcd",
		  -1 },
		{ "206 Part\r\nContent-Length: 5\r\n"
		  "Content-Range: bytes 0-4/10\r\n\r\nabcde",
		  -1 },
		{ "204 None\r\n\r\n", -1 },
		{ "200 OK\r\nContent-Length: 3\r\n\r\nabc", 3 },
		{ "200 OK\r\nContent-Length: 0\r\n\r\n", 0 },
		/* It may have ended early: nothing says that it did not. */
		{ "200 OK\r\n\r\nab", -1 },
		{ "200 OK\r\n\r\n", -1 },
		{ "416 Beyond\r\nContent-Length: 0\r\n\r\n", 0 },
	};
	char said[300];
	char out[5];

	raw_start(&raw, serve_reply);
	set_up_at(raw.port, "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t got = 99;
		int r;

		const char *head_end = strstr(rows[i].said, "\r\n");

		(void)snprintf(
			said, sizeof(said), "HTTP/1.1 %.*s\r\nETag: \"x\"%s",
			(int)(head_end - rows[i].said), rows[i].said, head_end);
		raw_will_say(&raw, said);
		out[4] = 'z';
		r = store_read(store, "k", 0, out, 4, &got, &e);
		if (r != (rows[i].got < 0 ? -1 : 1) ||
		    (r > 0 && (int)got != rows[i].got) || out[4] != 'z')
			ck_abort_msg("%s: %d, %zu", said, r, got);
	}
	tear_down();
	raw_stop(&raw);
}
END_TEST

START_TEST(a_size_that_is_not_told_is_none)
{
	uint64_t size = 7;

	raw_start(&raw, serve_reply);
	set_up_at(raw.port, "");
	raw_will_say(&raw, "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\n"
			   "Content-Range: bytes 0-0/12\r\n"
			   "Content-Length: 1\r\n\r\na");
	ck_assert_int_eq(store_size(store, "k", &size, &e), 1);
	ck_assert_uint_eq(size, 12);
	raw_will_say(&raw, "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\n"
			   "Content-Length: 1\r\n\r\na");
	ck_assert_int_eq(store_size(store, "k", &size, &e), -1);
	tear_down();
	raw_stop(&raw);
}
END_TEST

START_TEST(what_is_no_s3_server_is_not_taken_for_one)
{
	struct instant now;

	set_up("");
	fault("ListObjectsV2", "garbage", "");
	ck_assert_int_eq(store_now(store, &now, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.hint, "is it an S3 server?"));
	fault("ListObjectsV2", "cut_body", ", \"bytes\": 0");
	ck_assert_int_eq(store_now(store, &now, &e), -1);
	ck_ok(store_now(store, &now, &e));
	tear_down();
}
END_TEST

/* ---- tries --------------------------------------------------------------- */

START_TEST(what_a_try_can_help_is_tried_eight_times)
{
	char c;
	size_t got;

	set_up("");
	put("k");
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	atomic_store(&in_a_hurry, true);
	fault("GetObject", "error", ", \"next\": 7");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), 1);
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 8);
	fault("GetObject", "error", ", \"next\": 8");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "after 8 tries"));
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 16);
	/* Nor for longer than three minutes, as the server asks for them. */
	fault("GetObject", "error", ", \"next\": 8, \"retry_after\": 60");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_int_le(s3_server_count(&server, "GetObject"), 16 + 4);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	/* Not so what no try can help. */
	fault("GetObject", "error", ", \"code\": \"InvalidObjectState\"");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_ptr_null(strstr(e.text, "tries"));
	atomic_store(&in_a_hurry, false);
	tear_down();
}
END_TEST

START_TEST(a_server_without_a_reply_is_asked_three_times)
{
	char c;
	size_t got;

	set_up("");
	fault("GetObject", "dropped", ", \"next\": 100");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "after 3 tries"));
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 3);
	tear_down();
}
END_TEST

/* ---- keys ---------------------------------------------------------------- */

static void write_keys(const char *path, const char *id, const char *secret)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	(void)fprintf(f,
		      "[default]\naws_access_key_id = %s\n"
		      "aws_secret_access_key = %s\n",
		      id, secret);
	(void)fclose(f);
	ck_assert_int_eq(chmod(path, 0600), 0);
}

START_TEST(keys_that_were_renewed_are_taken_once)
{
	CLEANUP(scratch_done) struct scratch dir;
	char path[SCRATCH_PATH];
	char more[SCRATCH_PATH + 32];
	char c;
	size_t got;

	scratch_init(&dir);
	(void)unsetenv("AWS_ACCESS_KEY_ID");
	(void)unsetenv("AWS_SECRET_ACCESS_KEY");
	(void)scratch_path(&dir, "keys", path);
	write_keys(path, "AKIDOLD", "one");
	(void)s3_server_tell(&server,
			     "{\"do\": \"key\", \"key\": \"AKIDOLD:one\"}");
	(void)snprintf(more, sizeof(more), "&credentials=%s", path);
	set_up(more);
	put("k");
	/* The server forgets them: no other ones are there. */
	(void)s3_server_tell(&server,
			     "{\"do\": \"forget_key\", \"id\": \"AKIDOLD\"}");
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "AKIDOLD"));
	ck_assert_ptr_nonnull(strstr(e.hint, path));
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 1);
	/* Now there are. */
	write_keys(path, "AKIDNEWER", "another");
	(void)s3_server_tell(
		&server, "{\"do\": \"key\", \"key\": \"AKIDNEWER:another\"}");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), 1);
	/* The server has a pair that ends under way, and one try is enough. */
	fault("GetObject", "error", ", \"code\": \"ExpiredToken\"");
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 1);
	tear_down();
	s3_server_environment();
}
END_TEST

/* ---- stopping ------------------------------------------------------------ */

#define READERS 12 /* more than may be under way at first */

struct reader {
	pthread_t thread;
	atomic_bool done;
	int r;
	struct err why;
};

static void *read_it(void *arg)
{
	struct reader *r = arg;
	char c;
	size_t got;

	r->r = store_read(store, "k", 0, &c, 1, &got, &r->why);
	atomic_store(&r->done, true);
	return NULL;
}

static void start(struct reader *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		atomic_init(&r[i].done, false);
		ck_assert_int_eq(
			pthread_create(&r[i].thread, NULL, read_it, &r[i]), 0);
	}
}

static unsigned int count_done(struct reader *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < READERS; i++)
		n += atomic_load(&r[i].done);
	return n;
}

static void wait_for_struck(unsigned int n)
{
	char told[32];

	(void)snprintf(told, sizeof(told), "\"struck\": %u", n);
	while (!strstr(s3_server_tell(&server, "{\"do\": \"faults\"}"), told))
		clock_sleep_ms(10);
}

START_TEST(what_is_under_way_ends_soon_after_it_was_asked_to_stop)
{
	struct reader r[READERS];
	atomic_bool stop;
	char c;
	size_t got;

	atomic_init(&stop, false);
	store_stop_when(&stop);
	set_up("");
	put("k");
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	fault("GetObject", "hang", ", \"next\": 100");
	start(r, READERS);
	wait_for_struck(8); /* the others wait for their turn */
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < READERS; i++)
		ck_assert(!atomic_load(&r[i].done));
	/* More than once: they must have noticed before. */
	while (count_done(r) < READERS) {
		atomic_fetch_add(&ahead_ms, 15000);
		clock_sleep_ms(50);
	}
	for (unsigned int i = 0; i < READERS; i++) {
		(void)pthread_join(r[i].thread, NULL);
		ck_assert_int_eq(r[i].r, -1);
		ck_assert_int_eq(r[i].why.code, ERR_INTERRUPTED);
	}
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert_int_eq(s3_server_count(&server, "peak"), 8);
	tear_down();
	store_stop_when(NULL);
}
END_TEST

/* What others would have to wait for can still be taken back. */
START_TEST(until_then_a_call_is_made_and_not_repeated)
{
	struct reader r;
	atomic_bool stop;
	char c;
	size_t got;

	atomic_init(&stop, false);
	store_stop_when(&stop);
	set_up("");
	put("k");
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	fault("GetObject", "error", ", \"next\": 100, \"retry_after\": 60");
	start(&r, 1);
	while (s3_server_count(&server, "GetObject") == 0)
		clock_sleep_ms(10);
	/* It rests before its second try, which is not made. */
	atomic_store(&stop, true);
	(void)pthread_join(r.thread, NULL);
	ck_assert_int_eq(r.r, -1);
	ck_assert_int_eq(r.why.code, ERR_INTERRUPTED);
	ck_assert_ptr_nonnull(strstr(r.why.text, "internal error"));
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 1);
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert_int_eq(s3_server_count(&server, "GetObject"), 2);
	ck_ok(store_remove(store, "k", &e));
	ck_assert_int_eq(s3_server_count(&server, "DeleteObject"), 1);
	atomic_fetch_add(&ahead_ms, 15000);
	ck_assert_int_eq(store_remove(store, "k", &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert_int_eq(s3_server_count(&server, "DeleteObject"), 1);
	tear_down();
	store_stop_when(NULL);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start_server, stop_server);
	tcase_add_test(tc, a_listing_that_cannot_be_had_whole_fails);
	tcase_add_test(tc, a_listing_that_goes_round_fails);
	tcase_add_test(tc, a_listing_may_begin_at_a_name);
	tcase_add_test(tc, keys_that_are_no_objects_are_told_by_pure_alone);
	tcase_add_test(tc, a_listing_out_of_order_or_of_others_fails);
	tcase_add_test(tc, pages_without_a_key_do_not_go_round);
	tcase_add_test(tc, bytes_that_were_not_asked_for_are_none);
	tcase_add_test(tc, a_size_that_is_not_told_is_none);
	tcase_add_test(tc, what_is_no_s3_server_is_not_taken_for_one);
	tcase_add_test(tc, what_a_try_can_help_is_tried_eight_times);
	tcase_add_test(tc, a_server_without_a_reply_is_asked_three_times);
	tcase_add_test(tc, keys_that_were_renewed_are_taken_once);
	tcase_add_test(tc,
		       what_is_under_way_ends_soon_after_it_was_asked_to_stop);
	tcase_add_test(tc, until_then_a_call_is_made_and_not_repeated);
}

CHECK_MAIN("storage/s3", cases)
