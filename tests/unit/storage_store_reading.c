/*
 * Listings whose visitor reads (store_list_reading()): nobody can tell them
 * from others.  And which files a store reads (store_reads()).  Every backend.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/store_backends.h"

#define OBJECTS 40
#define LARGE	((size_t)3 * 65536)

/* Sizes about the bound of what is fetched ahead. */
static size_t size_of(unsigned int i)
{
	static const size_t sizes[] = { 0, 1, 300, 65535, 65536, 65537, LARGE };

	return i % 5 ? i : sizes[i / 5 % 7];
}

static uint8_t byte_of(unsigned int i, size_t at)
{
	return (uint8_t)(i * 31 + at * 2654435761U / 8192);
}

static void name_of(unsigned int i, char out[16])
{
	(void)snprintf(out, 16, "k/%03u", i);
}

static void put_objects(unsigned int n)
{
	static uint8_t bytes[LARGE];
	char name[16];

	for (unsigned int i = 0; i < n; i++) {
		for (size_t k = 0; k < size_of(i); k++)
			bytes[k] = byte_of(i, k);
		name_of(i, name);
		ck_ok(store_put(store, name, bytes, size_of(i), 0, &e));
	}
}

/* 1 when it is there and right, 0 when it is not there, else an error. */
static int read_right(unsigned int i, struct err *err)
{
	CLEANUP(buf_done) struct buf b;
	char name[16];
	int r;

	buf_init(&b, LARGE + 1);
	name_of(i, name);
	r = store_get(store, name, &b, err);
	if (r <= 0)
		return r;
	if (b.len != size_of(i))
		return err_set(err, ERR_BUG, "%zu bytes of %s", b.len, name);
	for (size_t k = 0; k < b.len; k++) {
		if (b.data[k] != byte_of(i, k))
			return err_set(err, ERR_BUG, "byte %zu of %s", k, name);
	}
	return 1;
}

static unsigned int number_of(const struct store_entry *entry)
{
	return (unsigned int)strtoul(entry->name + 2, NULL, 10);
}

struct seen {
	unsigned int n;
	unsigned int stop_after; /* 0: never */
	unsigned int fail_after;
	bool reads;
};

static int visit(void *arg, const struct store_entry *entry, struct err *err)
{
	struct seen *s = arg;
	const unsigned int i = number_of(entry);
	char name[16];

	name_of(s->n, name);
	if (i != s->n || strcmp(name, entry->name) != 0 ||
	    entry->size != size_of(i))
		return err_set(err, ERR_BUG, "%s of %llu as number %u",
			       entry->name, (unsigned long long)entry->size,
			       s->n);
	s->n++;
	if (s->reads && read_right(i, err) != 1)
		return err->code ? -1 : err_set(err, ERR_BUG, "absent");
	if (s->fail_after == s->n)
		return err_set(err, ERR_BUSY, "the visitor gave up");
	return s->stop_after == s->n;
}

START_TEST(each_object_is_read_as_it_is)
{
	struct seen s = { .reads = true };

	set_up(_i);
	put_objects(OBJECTS);
	ck_ok(store_list_reading(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	s.n = 0;
	ck_ok(store_list(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	s.n = 0;
	ck_ok(store_list_reading(store, "none/", visit, &s, &e));
	ck_assert_uint_eq(s.n, 0);
	tear_down(_i);
}
END_TEST

START_TEST(a_single_object_is_read)
{
	struct seen s = { .reads = true };

	set_up(_i);
	put_objects(1);
	ck_ok(store_list_reading(store, "", visit, &s, &e));
	ck_assert_uint_eq(s.n, 1);
	tear_down(_i);
}
END_TEST

START_TEST(the_visitor_need_not_read_nor_go_on)
{
	struct seen s = { .reads = false };

	set_up(_i);
	put_objects(OBJECTS);
	ck_ok(store_list_reading(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	for (unsigned int n = 1; n < 20; n += 6) {
		s = (struct seen){ .stop_after = n, .reads = n % 2 };
		ck_ok(store_list_reading(store, "k/", visit, &s, &e));
		ck_assert_uint_eq(s.n, n);
		s = (struct seen){ .fail_after = n, .reads = n % 2 };
		ck_assert_int_eq(store_list_reading(store, "k/", visit, &s, &e),
				 -1);
		ck_assert_uint_eq(s.n, n);
		ck_assert_int_eq(e.code, ERR_BUSY);
		ck_assert_str_eq(e.text, "the visitor gave up");
		err_clear(&e);
	}
	tear_down(_i);
}
END_TEST

/* Another listing within, by the same thread, and on with the outer one. */
static int visit_nested(void *arg, const struct store_entry *entry,
			struct err *err)
{
	struct seen *s = arg;
	struct seen inner = { .reads = true, .stop_after = 12 };
	const unsigned int i = number_of(entry);

	s->n++;
	if (i % 8 == 3) {
		if (store_list_reading(store, "k/", visit, &inner, err) ||
		    inner.n != 12)
			return -1;
		inner.n = 0;
		if (store_list(store, "k/", visit, &inner, err))
			return -1;
	}
	return read_right(i, err) == 1 ? 0 : -1;
}

START_TEST(listings_nest)
{
	struct seen s = { .n = 0 };

	set_up(_i);
	put_objects(OBJECTS);
	ck_ok(store_list_reading(store, "k/", visit_nested, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	tear_down(_i);
}
END_TEST

static int read_piece(unsigned int i, uint64_t offset, size_t n,
		      struct err *err)
{
	uint8_t out[1000];
	size_t got = 0;
	size_t there;
	char name[16];

	name_of(i, name);
	if (store_read(store, name, offset, out, n, &got, err) != 1)
		return -1;
	there = offset < size_of(i) ? size_of(i) - (size_t)offset : 0;
	if (got != (there < n ? there : n))
		return err_set(err, ERR_BUG, "%zu at %llu of %s", got,
			       (unsigned long long)offset, name);
	for (size_t k = 0; k < got; k++) {
		if (out[k] != byte_of(i, (size_t)offset + k))
			return err_set(err, ERR_BUG, "a byte of %s", name);
	}
	return 0;
}

/* What it reads is not what it is told of, or not whole, or twice. */
static int visit_elsewhere(void *arg, const struct store_entry *entry,
			   struct err *err)
{
	struct seen *s = arg;
	const unsigned int i = number_of(entry);
	const unsigned int next = (i + 1) % OBJECTS;
	uint64_t size = 0;

	s->n++;
	if (read_piece(i, 0, 0, err) || read_piece(i, 0, 7, err) ||
	    read_piece(i, 3, 1000, err) || read_piece(next, 0, 1000, err) ||
	    read_piece((i + 30) % OBJECTS, 100, 5, err) ||
	    read_right(next, err) != 1 || read_right(i, err) != 1 ||
	    read_right(i, err) != 1 ||
	    store_size(store, entry->name, &size, err) != 1)
		return -1;
	return size == size_of(i) ? 0 : err_set(err, ERR_BUG, "the size");
}

START_TEST(the_visitor_may_read_what_it_likes)
{
	struct seen s = { .n = 0 };

	set_up(_i);
	put_objects(OBJECTS);
	ck_ok(store_list_reading(store, "k/", visit_elsewhere, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	tear_down(_i);
}
END_TEST

/* Of what it removed it may be told, but reads it no more. */
static int visit_and_remove(void *arg, const struct store_entry *entry,
			    struct err *err)
{
	struct seen *s = arg;
	const unsigned int i = number_of(entry);
	char name[16];

	s->n++;
	if (read_right(i, err) != (i % 3 != 0 || i == 0))
		return err->code ? -1 : err_set(err, ERR_BUG, "number %u", i);
	if (i + 1 < OBJECTS && (i + 1) % 3 == 0) {
		name_of(i + 1, name);
		if (store_remove(store, name, err))
			return -1;
	}
	name_of(i, name);
	if (store_remove(store, name, err))
		return -1;
	return read_right(i, err) == 0 ? 0
				       : err_set(err, ERR_BUG, "still %u", i);
}

START_TEST(what_the_visitor_removed_is_gone)
{
	struct seen s = { .n = 0 };
	unsigned int left = 0;

	set_up(_i);
	put_objects(OBJECTS);
	ck_ok(store_list_reading(store, "k/", visit_and_remove, &s, &e));
	for (unsigned int i = 0; i < OBJECTS; i++)
		left += read_right(i, &e) == 1;
	ck_assert_uint_eq(left, 0);
	tear_down(_i);
}
END_TEST

/* Somebody else removes what was not visited yet: bytes, or none. */
static int visit_removed(void *arg, const struct store_entry *entry,
			 struct err *err)
{
	struct seen *s = arg;
	const char *prefix;
	const unsigned int i = number_of(entry);

	if (s->n++ == 0) {
		prefix = strstr(store->url, "contract/") + strlen("contract/");
		for (unsigned int k = 5; k < OBJECTS; k += 5)
			(void)s3_server_tell(
				&server,
				"{\"do\": \"delete\", \"bucket\": \"contract\""
				", \"key\": \"%.*s/k/%03u\"}",
				(int)strcspn(prefix, "?"), prefix, k);
	}
	return read_right(i, err) < 0 ? -1 : 0;
}

START_TEST(what_others_remove_is_whole_or_gone)
{
	struct seen s = { .n = 0 };

	set_up(S3);
	put_objects(OBJECTS);
	ck_ok(store_list_reading(store, "k/", visit_removed, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	ck_assert_int_eq(read_right(5, &e), 0);
	tear_down(S3);
}
END_TEST

static void *remove_slowly(void *arg)
{
	struct err ignored;

	return store_remove(arg, "data/x", &ignored) ? arg : NULL;
}

/* Reading on until the removal has ended, for which the server takes long. */
START_TEST(what_is_read_while_it_is_removed_is_not_kept)
{
	static char bytes[400000];
	pthread_t thread;
	void *failed;
	size_t got = 0;

	set_up(S3);
	ck_ok(store_put(store, "data/x", bytes, sizeof(bytes), 0, &e));
	ck_ok(store_read(store, "data/x", 0, bytes, 10, &got, &e));
	(void)s3_server_tell(&server,
			     "{\"do\": \"fault\", \"match\": \"DeleteObject\","
			     " \"kind\": \"hang\", \"seconds\": 0.5}");
	ck_assert_int_eq(pthread_create(&thread, NULL, remove_slowly, store),
			 0);
	while (!strstr(s3_server_tell(&server, "{\"do\": \"faults\"}"),
		       "\"struck\": 1"))
		continue;
	ck_ok(store_read(store, "data/x", 10, bytes, 10, &got, &e));
	ck_assert_int_eq(pthread_join(thread, &failed), 0);
	ck_assert_ptr_null(failed);
	ck_assert_int_eq(store_read(store, "data/x", 20, bytes, 10, &got, &e),
			 0);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	tear_down(S3);
}
END_TEST

START_TEST(small_objects_are_fetched_ahead_and_once)
{
	struct seen s = { .reads = true };

	set_up(S3);
	put_objects(OBJECTS);
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
	/* Each takes long enough for others to be under way besides. */
	(void)s3_server_tell(&server,
			     "{\"do\": \"fault\", \"match\": \"GetObject\", "
			     "\"kind\": \"hang\", \"seconds\": 0.2, "
			     "\"every\": 1}");
	ck_ok(store_list_reading(store, "k/", visit, &s, &e));
	/* One request for each: of three objects 65536 bytes or more, which
	 * store_get() asks for three times. */
	ck_assert_int_le(s3_server_count(&server, "GetObject"), OBJECTS + 6);
	ck_assert_int_ge(s3_server_count(&server, "peak"), 3);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	tear_down(S3);
}
END_TEST

/* It reads nothing before a fetch ahead has failed, which its own must not. */
static int visit_after_fault(void *arg, const struct store_entry *entry,
			     struct err *err)
{
	while (!strstr(s3_server_tell(&server, "{\"do\": \"faults\"}"),
		       "\"struck\": 1"))
		clock_sleep_ms(10);
	return visit(arg, entry, err);
}

/* A fetch ahead that fails is nobody's concern; the reader asks again. */
START_TEST(what_fails_ahead_is_asked_for_again)
{
	struct seen s = { .reads = true };

	set_up(S3);
	put_objects(OBJECTS);
	(void)s3_server_tell(&server,
			     "{\"do\": \"fault\", \"match\": \"GetObject\", "
			     "\"kind\": \"error\", \"code\": \"AccessDenied\","
			     " \"next\": 1, \"after\": 3}");
	ck_ok(store_list_reading(store, "k/", visit_after_fault, &s, &e));
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	ck_assert_uint_eq(s.n, OBJECTS);
	tear_down(S3);
}
END_TEST

/* ---- which files it reads ------------------------------------------------ */

struct files {
	unsigned int n;
	char paths[8][128];
	unsigned int fail_after;
};

static int note_file(void *arg, const char *path, struct err *err)
{
	struct files *f = arg;

	ck_assert_uint_lt(f->n, 8);
	(void)snprintf(f->paths[f->n++], sizeof(f->paths[0]), "%s", path);
	return f->fail_after == f->n ? err_set(err, ERR_BUSY, "enough") : 0;
}

static bool names_file(const struct files *f, const char *path)
{
	for (unsigned int i = 0; i < f->n; i++) {
		if (strcmp(f->paths[i], path) == 0)
			return true;
	}
	return false;
}

START_TEST(only_s3_reads_files)
{
	struct files f = { .n = 0 };

	set_up(_i);
	ck_ok(store_reads(store, note_file, &f, &e));
	if (is_s3(_i))
		ck_assert(names_file(&f, "/nonexistent/keys"));
	else
		ck_assert_uint_eq(f.n, 0);
	tear_down(_i);
}
END_TEST

START_TEST(s3_tells_of_each_file_that_it_may_read)
{
	struct files f = { .n = 0 };
	char url[512];

	s3_url(url, "&ca=/etc/passwd&credentials=/x/keys");
	(void)setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/x/web", 1);
	ck_ok(store_open(url, false, &store, &e));
	ck_ok(store_reads(store, note_file, &f, &e));
	ck_assert(names_file(&f, "/etc/passwd"));
	ck_assert(names_file(&f, "/x/keys"));
	ck_assert(names_file(&f, "/x/web"));
	f = (struct files){ .fail_after = 2 };
	ck_assert_int_eq(store_reads(store, note_file, &f, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_uint_eq(f.n, 2);
	(void)unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	store_close(store);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, backends_start, backends_stop);
#define ADD(name) tcase_add_loop_test(tc, name, 0, N_BACKENDS)
	ADD(each_object_is_read_as_it_is);
	ADD(a_single_object_is_read);
	ADD(the_visitor_need_not_read_nor_go_on);
	ADD(listings_nest);
	ADD(the_visitor_may_read_what_it_likes);
	ADD(what_the_visitor_removed_is_gone);
	tcase_add_test(tc, what_others_remove_is_whole_or_gone);
	tcase_add_test(tc, what_is_read_while_it_is_removed_is_not_kept);
	tcase_add_test(tc, small_objects_are_fetched_ahead_and_once);
	tcase_add_test(tc, what_fails_ahead_is_asked_for_again);
	ADD(only_s3_reads_files);
	tcase_add_test(tc, s3_tells_of_each_file_that_it_may_read);
}

CHECK_MAIN("storage/store/reading", cases)
