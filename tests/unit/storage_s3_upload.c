/*
 * Writing to a bucket when replies are lost, cut, or errors under status 200;
 * what is left behind, and what is swept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/s3_server.h"

#define MIB ((size_t)1 << 20)

static struct s3_server server;
static struct store *store;
static struct err e;
static char prefix[32];
static int64_t ahead_s; /* of the clocks: ours, as the server's */

struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	struct instant now = __real_clock_now();

	now.sec += ahead_s;
	return now;
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

static struct store *opened(const char *more)
{
	struct store *s = NULL;
	char url[256];

	(void)snprintf(url, sizeof(url),
		       "s3://bucket/%s?endpoint=http://127.0.0.1:%d%s", prefix,
		       server.port, more);
	ck_ok(store_open(url, true, &s, &e));
	return s;
}

static void shift_clocks(int64_t seconds)
{
	ahead_s = seconds;
	(void)s3_server_tell(&server, "{\"do\": \"set\", \"shift\": %lld}",
			     (long long)seconds);
}

static void set_up(const char *more)
{
	static unsigned int cases;

	err_clear(&e);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	(void)s3_server_tell(&server, "{\"do\": \"drop\"}");
	(void)s3_server_tell(&server,
			     "{\"do\": \"set\", \"if_none_match\": true}");
	shift_clocks(0);
	(void)snprintf(prefix, sizeof(prefix), "%d-%u", (int)getpid(), ++cases);
	store = opened(more);
	(void)s3_server_tell(&server, "{\"do\": \"counts\", \"reset\": true}");
}

static void tear_down(void)
{
	store_close(store);
}

/* A rule of s3_faults.py for an operation. */
static void fault(const char *operation, const char *kind, const char *more)
{
	(void)s3_server_tell(&server,
			     "{\"do\": \"fault\", \"match\": \"^%s \", "
			     "\"kind\": \"%s\"%s}",
			     operation, kind, more);
}

static int64_t count(const char *operation)
{
	return s3_server_count(&server, operation);
}

static void expect_no_uploads(void)
{
	ck_assert_str_eq(s3_server_tell(&server, "{\"do\": \"uploads\"}"),
			 "[]");
}

/* Byte i of an object, so that a part in a wrong place shows. */
static uint8_t byte_of(size_t i)
{
	return (uint8_t)(i * 2654435761U >> 13);
}

/* A piece, of the object's bytes at an offset, that lasts until the next. */
static const uint8_t *piece(size_t offset, size_t n)
{
	static uint8_t bytes[4 * MIB];

	ck_assert_uint_le(n, sizeof(bytes));
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_of(offset + i);
	return bytes;
}

static int append(struct store_upload *u, size_t size)
{
	for (size_t at = 0; at < size; at += 4 * MIB) {
		const size_t n = size - at < 4 * MIB ? size - at : 4 * MIB;

		if (store_append(u, piece(at, n), n, &e))
			return -1;
	}
	return 0;
}

static int put(const char *name, size_t size)
{
	struct store_upload *u = NULL;

	ck_ok(store_begin(store, name, size, 0, &u, &e));
	if (append(u, size)) {
		store_abort(u);
		return -1;
	}
	return store_commit(u, &e);
}

static void expect(const char *name, size_t size)
{
	static uint8_t out[4 * MIB];
	uint64_t is = 0;
	size_t got = 0;

	ck_assert_int_eq(store_size(store, name, &is, &e), 1);
	ck_assert_uint_eq(is, size);
	for (size_t at = 0; at < size; at += got) {
		const size_t n = size - at < 4 * MIB ? size - at : 4 * MIB;

		ck_assert_int_eq(store_read(store, name, at, out, n, &got, &e),
				 1);
		ck_assert_uint_eq(got, n);
		ck_assert_mem_eq(out, piece(at, n), n);
	}
}

static void expect_none(const char *name)
{
	uint64_t size;

	ck_assert_int_eq(store_size(store, name, &size, &e), 0);
}

/* ---- parts -------------------------------------------------------------- */

START_TEST(objects_about_the_size_of_parts)
{
	static const struct {
		size_t size;
		int parts; /* 0: at once */
	} rows[] = { { 8 * MIB - 1, 0 }, { 8 * MIB, 0 },  { 8 * MIB + 1, 2 },
		     { 16 * MIB, 2 },	 { 30 * MIB, 4 }, { 40 * MIB, 5 } };
	char name[16];

	set_up("");
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)s3_server_tell(&server,
				     "{\"do\": \"counts\", \"reset\": true}");
		(void)snprintf(name, sizeof(name), "o/%u", i);
		ck_ok(put(name, rows[i].size));
		expect(name, rows[i].size);
		ck_assert_int_eq(count("UploadPart"), rows[i].parts);
		ck_assert_int_eq(count("PutObject"), !rows[i].parts);
		ck_ok(store_remove(store, name, &e));
	}
	expect_no_uploads();
	tear_down();
}
END_TEST

START_TEST(a_part_that_fails_is_sent_again)
{
	set_up("");
	fault("UploadPart", "error", ", \"code\": \"InternalError\"");
	fault("UploadPart", "lost_reply", ", \"after\": 1");
	ck_ok(put("o", 20 * MIB));
	expect("o", 20 * MIB);
	expect_no_uploads();
	tear_down();
}
END_TEST

START_TEST(a_part_that_fails_for_good_leaves_nothing)
{
	set_up("");
	/* Seen when it is awaited: by a later part, or at the end. */
	for (unsigned int after = 0; after < 6; after += 2) {
		char more[80];

		(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
		(void)snprintf(more, sizeof(more),
			       ", \"code\": \"AccessDenied\", \"after\": %u",
			       after);
		fault("UploadPart", "error", more);
		ck_assert_int_eq(put("o", 42 * MIB), -1);
		ck_assert_int_eq(e.code, ERR_DENIED);
		ck_assert_ptr_nonnull(strstr(e.hint, "s3:PutObject"));
		expect_none("o");
		expect_no_uploads();
	}
	tear_down();
}
END_TEST

START_TEST(an_upload_that_does_not_begin_leaves_nothing)
{
	set_up("");
	fault("CreateMultipartUpload", "error", ", \"code\": \"AccessDenied\"");
	ck_assert_int_eq(put("o", 9 * MIB), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	fault("CreateMultipartUpload", "garbage", "");
	ck_assert_int_eq(put("o", 9 * MIB), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	fault("CreateMultipartUpload", "cut_body", ", \"bytes\": 0");
	ck_assert_int_eq(put("o", 9 * MIB), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	expect_none("o");
	tear_down();
}
END_TEST

START_TEST(abort_leaves_nothing)
{
	static const size_t sizes[] = { 0, 1000, 8 * MIB, 9 * MIB, 33 * MIB };
	struct store_upload *u = NULL;

	set_up("");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_ok(store_begin(store, "o", 0, 0, &u, &e));
		ck_ok(append(u, sizes[i]));
		store_abort(u);
		expect_none("o");
		expect_no_uploads();
	}
	ck_assert_int_eq(count("PutObject"), 0);
	tear_down();
}
END_TEST

/* ---- replies that are lost ---------------------------------------------- */

START_TEST(a_lost_reply_of_a_put_is_no_loss)
{
	for (unsigned int careless = 0; careless < 2; careless++) {
		set_up("");
		if (careless)
			(void)s3_server_tell(&server,
					     "{\"do\": \"set\", "
					     "\"if_none_match\": false}");
		fault("PutObject", "lost_reply", "");
		ck_ok(put("o", 1000));
		expect("o", 1000);
		fault("PutObject", "error",
		      ", \"code\": \"InternalError\", \"done\": true");
		ck_ok(put("p", 1000));
		expect("p", 1000);
		ck_assert_int_eq(count("PutObject"), 4);
		tear_down();
	}
}
END_TEST

START_TEST(a_lost_reply_of_complete_is_no_loss)
{
	static const struct {
		const char *kind;
		const char *more;
	} rows[] = {
		{ "lost_reply", "" },
		{ "lost_reply", ", \"reset\": true" },
		{ "dropped", "" },
		{ "ok_error", ", \"code\": \"InternalError\"" },
		{ "error", ", \"code\": \"InternalError\"" },
		{ "error", ", \"code\": \"SlowDown\", \"done\": true" },
		{ "truncate", ", \"bytes\": 60" },
		/* Its length agrees; it may have been that of a failure. */
		{ "cut_body", ", \"bytes\": 60" },
		{ "cut_body", ", \"bytes\": 0" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_up("");
		if (i == 1)
			(void)s3_server_tell(&server,
					     "{\"do\": \"set\", "
					     "\"if_none_match\": false}");
		fault("CompleteMultipartUpload", rows[i].kind, rows[i].more);
		if (put("o", 9 * MIB))
			ck_abort_msg("%s %s: %s", rows[i].kind, rows[i].more,
				     e.text);
		expect("o", 9 * MIB);
		expect_no_uploads();
		tear_down();
	}
}
END_TEST

START_TEST(complete_may_fail_for_good)
{
	set_up("");
	fault("CompleteMultipartUpload", "ok_error",
	      ", \"code\": \"AccessDenied\"");
	ck_assert_int_eq(put("o", 9 * MIB), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	expect_none("o");
	expect_no_uploads();
	/* Nothing was done, whatever it says. */
	fault("CompleteMultipartUpload", "ok_error", ", \"code\": \"\"");
	ck_assert_int_eq(put("o", 9 * MIB), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	expect_none("o");
	expect_no_uploads();
	fault("CompleteMultipartUpload", "error",
	      ", \"code\": \"NoSuchUpload\"");
	ck_assert_int_eq(put("o", 9 * MIB), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "removed the unfinished upload"));
	expect_none("o");
	expect_no_uploads();
	tear_down();
}
END_TEST

/* ---- names that are taken ----------------------------------------------- */

/* Of somebody else, between the look and the request. */
START_TEST(another_ones_object_is_not_taken_for_ones_own)
{
	static const size_t sizes[] = { 10, 9 * MIB };

	set_up("");
	for (unsigned int i = 0; i < 2; i++) {
		(void)s3_server_tell(
			&server,
			"{\"do\": \"put\", \"bucket\": \"bucket\", "
			"\"key\": \"%s/o\", \"data\": \"b3RoZXI=\"}",
			prefix);
		fault("GetObject", "error", ", \"code\": \"NoSuchKey\"");
		ck_assert_int_eq(put("o", sizes[i]), -1);
		ck_assert_int_eq(e.code, ERR_EXISTS);
		expect_no_uploads();
	}
	tear_down();
}
END_TEST

/* The second of two is told so, whose first reply was lost besides. */
START_TEST(a_lost_reply_does_not_make_it_ones_own)
{
	set_up("");
	ck_ok(put("o", 5)); /* which has a tag, but another one */
	fault("GetObject", "error", ", \"code\": \"NoSuchKey\"");
	fault("PutObject", "lost_reply", "");
	ck_assert_int_eq(put("o", 10), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	tear_down();
}
END_TEST

START_TEST(a_server_without_conditions_is_asked_without)
{
	static const struct {
		const char *operation;
		size_t size;
	} rows[] = { { "PutObject", 10 },
		     { "CompleteMultipartUpload", 9 * MIB } };

	for (unsigned int i = 0; i < 2; i++) {
		set_up("");
		fault(rows[i].operation, "error",
		      ", \"code\": \"NotImplemented\", \"status\": 501");
		ck_ok(put("o", rows[i].size));
		expect("o", rows[i].size);
		ck_assert_int_eq(count(rows[i].operation), 2);
		/* From now on; so this one is overwritten. */
		fault("GetObject", "error", ", \"code\": \"NoSuchKey\"");
		ck_ok(put("o", 20));
		expect("o", 20);
		tear_down();
	}
	set_up("");
	fault("PutObject", "error",
	      ", \"code\": \"NotImplemented\", \"status\": 501, \"next\": 2");
	ck_assert_int_eq(put("o", 10), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_ok(put("o", 10));
	tear_down();
}
END_TEST

/* ---- what objects are made with ------------------------------------------ */

/* What the server says of one object. */
static const char *told_of(const char *name)
{
	return s3_server_tell(&server,
			      "{\"do\": \"list\", \"bucket\": \"bucket\", "
			      "\"prefix\": \"%s/%s\"}",
			      prefix, name);
}

START_TEST(class_and_encryption_are_asked_for)
{
	static const struct {
		const char *name;
		size_t size;
	} rows[] = { { "data/aa/1", 10 },
		     { "data/aa/2", 9 * MIB },
		     { "meta/aa/1", 10 },
		     { "index/1", 10 },
		     { "index/2", 9 * MIB } };

	set_up("&class=STANDARD_IA&sse=aws:kms&sse-key=key-1");
	for (unsigned int i = 0; i < 5; i++) {
		const char *told;

		ck_ok(put(rows[i].name, rows[i].size));
		told = told_of(rows[i].name);
		ck_assert_ptr_nonnull(strstr(
			told, "\"x-amz-server-side-encryption\": \"aws:kms\""));
		ck_assert_ptr_nonnull(strstr(told, "-key-id\": \"key-1\""));
		ck_assert_ptr_nonnull(
			strstr(told, "x-amz-meta-snapctl-upload"));
		ck_assert_ptr_nonnull(
			strstr(told, i < 2 ? "\"class\": \"STANDARD_IA\""
					   : "\"class\": \"STANDARD\""));
	}
	tear_down();
	set_up("");
	ck_ok(put("data/aa/1", 10));
	ck_assert_ptr_null(strstr(told_of("data"), "encryption"));
	ck_assert_ptr_nonnull(
		strstr(told_of("data"), "\"class\": \"STANDARD\""));
	tear_down();
}
END_TEST

/* ---- what others left --------------------------------------------------- */

/* An upload in parts that nobody ends, as a writer leaves that is killed. */
static void leave_upload(struct store *in, const char *name)
{
	struct store_upload *u = NULL;

	fault("AbortMultipartUpload", "error", ", \"code\": \"AccessDenied\"");
	ck_ok(store_begin(in, name, 0, 0, &u, &e));
	ck_ok(append(u, 9 * MIB));
	store_abort(u);
}

static bool has_upload(const char *key)
{
	return strstr(s3_server_tell(&server, "{\"do\": \"uploads\"}"), key);
}

START_TEST(uploads_older_than_a_week_are_given_up)
{
	char mine[32];
	struct store *other;

	set_up("");
	(void)snprintf(mine, sizeof(mine), "%s", prefix);
	leave_upload(store, "data/dead/1");
	leave_upload(store, "data/dead/2");
	(void)snprintf(prefix, sizeof(prefix), "other");
	other = opened("");
	leave_upload(other, "data/dead/3");
	store_close(other);
	(void)snprintf(prefix, sizeof(prefix), "%s", mine);
	shift_clocks(3600);
	leave_upload(store, "data/young/1");
	/* A store looks once; nobody's are older than a week for this one. */
	ck_assert_int_eq(count("ListMultipartUploads"), 2);
	shift_clocks(7 * 24 * 3600 - 60);
	store_close(store);
	store = opened("");
	ck_ok(put("o/1", 9 * MIB));
	ck_assert(has_upload("data/dead/1") && has_upload("data/dead/2"));
	shift_clocks(7 * 24 * 3600 + 60);
	store_close(store);
	store = opened("");
	ck_ok(put("o/2", 9 * MIB));
	ck_assert(!has_upload("data/dead/1") && !has_upload("data/dead/2"));
	ck_assert(has_upload("data/young/1") && has_upload("data/dead/3"));
	/* What fails there is no harm to who writes. */
	store_close(store);
	store = opened("");
	fault("ListMultipartUploads", "error", ", \"code\": \"AccessDenied\"");
	ck_ok(put("o/3", 9 * MIB));
	store_close(store);
	store = opened("");
	fault("ListMultipartUploads", "garbage", "");
	ck_ok(put("o/4", 9 * MIB));
	store_close(store);
	store = opened("");
	fault("ListMultipartUploads", "cut_body", ", \"bytes\": 0");
	ck_ok(put("o/5", 9 * MIB));
	tear_down();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start_server, stop_server);
	tcase_add_test(tc, objects_about_the_size_of_parts);
	tcase_add_test(tc, a_part_that_fails_is_sent_again);
	tcase_add_test(tc, a_part_that_fails_for_good_leaves_nothing);
	tcase_add_test(tc, an_upload_that_does_not_begin_leaves_nothing);
	tcase_add_test(tc, abort_leaves_nothing);
	tcase_add_test(tc, a_lost_reply_of_a_put_is_no_loss);
	tcase_add_test(tc, a_lost_reply_of_complete_is_no_loss);
	tcase_add_test(tc, complete_may_fail_for_good);
	tcase_add_test(tc, another_ones_object_is_not_taken_for_ones_own);
	tcase_add_test(tc, a_lost_reply_does_not_make_it_ones_own);
	tcase_add_test(tc, a_server_without_conditions_is_asked_without);
	tcase_add_test(tc, class_and_encryption_are_asked_for);
	tcase_add_test(tc, uploads_older_than_a_week_are_given_up);
}

CHECK_MAIN("storage/s3_upload", cases)
