/*
 * What a server replies over HTTP, byte by byte: heads, bodies and where they
 * go, floods, replies that end early; and what is sent to it.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/s3_http_frame.h"

/* The same, and then the connection ends. */
static void serve_and_end(struct raw_server *r, int fd, unsigned int n UNUSED)
{
	if (raw_request(r, fd))
		(void)raw_reply(r, fd);
}

START_TEST(what_was_asked_for_goes_to_its_room)
{
	struct asked a;

	set_up(serve_reply);
	ck_assert_int_eq(get(&a, "GET", true,
			     "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n"
			     "Content-Range: bytes 7-11/100\r\n\r\nhello"),
			 S3_HTTP_REPLIED);
	ck_assert_int_eq(a.x.reply.status, 206);
	ck_assert_uint_eq(a.x.reply.body_len, 5);
	ck_assert_uint_eq(a.x.reply.range_at, 7);
	ck_assert_uint_eq(a.x.reply.total, 100);
	ck_assert_uint_eq(a.x.reply.length, 5);
	ck_assert_mem_eq(a.room, "hello", 6);
	ck_assert_uint_eq(a.text.len, 0);
	ask_done(&a);
	ck_assert_int_eq(get(&a, "GET", true,
			     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall"),
			 S3_HTTP_REPLIED);
	ck_assert_mem_eq(a.room, "all", 4);
	ck_assert_uint_eq(a.x.reply.total, UINT64_MAX);
	ask_done(&a);
	ck_assert_int_eq(get(&a, "GET", false,
			     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxml"),
			 S3_HTTP_REPLIED);
	ck_assert_str_eq(buf_str(&a.text), "xml");
	ask_done(&a);
	tear_down(serve_reply);
}
END_TEST

START_TEST(heads_are_read)
{
	struct asked a;

	set_up(serve_reply);
	ck_assert_int_eq(
		get(&a, "HEAD", false,
		    "HTTP/1.1 100 Continue\r\nETag: no\r\n\r\n"
		    "HTTP/1.1 200 OK\r\nContent-Length: 123456789012\r\n"
		    "ETag:  \"abc\" \r\nx-amz-request-id: R\x01Q\r\n"
		    "DATE: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 7\r\n"
		    "X-Amz-Bucket-Region: eu-west-1\r\n"
		    "x-amz-checksum-sha256: c2Vj\r\n"
		    "x-amz-meta-snapctl-upload: 00ff\r\n"
		    "x-amz-version-id: v1\r\nx-amz-object-lock-mode: "
		    "COMPLIANCE\r\nx-amz-object-lock-retain-until-date: "
		    "2030-01-01T00:00:00Z\r\n\r\n"),
		S3_HTTP_REPLIED);
	ck_assert_uint_eq(a.x.reply.length, UINT64_C(123456789012));
	ck_assert_str_eq(a.x.reply.etag, "\"abc\"");
	ck_assert_str_eq(a.x.reply.request_id, "R?Q");
	ck_assert(a.x.reply.has_date);
	ck_assert_int_eq(a.x.reply.date.sec, 784111777);
	ck_assert_int_eq(a.x.reply.retry_after_s, 7);
	ck_assert_str_eq(a.x.reply.region, "eu-west-1");
	ck_assert_str_eq(a.x.reply.checksum_sha256, "c2Vj");
	ck_assert_str_eq(a.x.reply.upload_tag, "00ff");
	ck_assert_str_eq(a.x.reply.version, "v1");
	ck_assert_str_eq(a.x.reply.lock_mode, "COMPLIANCE");
	ck_assert_str_eq(a.x.reply.lock_until, "2030-01-01T00:00:00Z");
	ask_done(&a);
	ck_assert_int_eq(get(&a, "HEAD", false,
			     "HTTP/1.1 100 Continue\r\nETag: old\r\n\r\n"
			     "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n"
			     "Content-Range: bytes 9-1/100\r\nDate: never\r\n"
			     "Retry-After: soon\r\n\r\n"),
			 S3_HTTP_REPLIED);
	ck_assert_int_eq(a.x.reply.status, 404);
	ck_assert_uint_eq(a.x.reply.total, UINT64_MAX);
	ck_assert(!a.x.reply.has_date);
	ck_assert_int_eq(a.x.reply.retry_after_s, -1);
	ck_assert_str_eq(a.x.reply.etag, "");
	ask_done(&a);
	tear_down(serve_reply);
}
END_TEST

START_TEST(ranges_are_read_or_not_known)
{
	static const struct {
		const char *text;
		uint64_t at;
		uint64_t total;
	} rows[] = {
		{ "bytes 0-0/1", 0, 1 },
		{ "bytes 5-9/9223372036854775807", 5, INT64_MAX },
		{ "bytes 5-9/9223372036854775808", 0, UINT64_MAX },
		{ "bytes 5-9/99999999999999999999999999", 0, UINT64_MAX },
		{ "bytes 5-4/10", 0, UINT64_MAX },
		{ "bytes 5-10/10", 0, UINT64_MAX },
		{ "bytes 5-9/10 ,", 0, UINT64_MAX },
		{ "bytes -9/10", 0, UINT64_MAX },
		{ "bytes 5-/10", 0, UINT64_MAX },
		{ "bytes 5-9/", 0, UINT64_MAX },
		{ "bytes 5-9/*", 0, UINT64_MAX },
		{ "bytes */10", 0, UINT64_MAX },
		{ "bytes", 0, UINT64_MAX },
		{ "lines 5-9/10", 0, UINT64_MAX },
		{ "", 0, UINT64_MAX },
	};
	char said[200];
	struct asked a;

	set_up(serve_reply);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(said, sizeof(said),
			       "HTTP/1.1 206 Part\r\nContent-Length: 1\r\n"
			       "Content-Range: %s\r\n\r\nx",
			       rows[i].text);
		ck_assert_int_eq(get(&a, "GET", true, said), S3_HTTP_REPLIED);
		if (a.x.reply.range_at != rows[i].at ||
		    a.x.reply.total != rows[i].total)
			ck_abort_msg("%s", rows[i].text);
		ask_done(&a);
	}
	tear_down(serve_reply);
}
END_TEST

/* So many bytes of text after a head that says so. */
static char *long_reply(int status, size_t n)
{
	char *text = malloc(n + 200);
	const int used = snprintf(text, 200,
				  "HTTP/1.1 %d Any\r\nContent-Length: %zu\r\n"
				  "\r\n",
				  status, n);

	ck_assert_ptr_nonnull(text);
	memset(text + used, 'x', n);
	text[(size_t)used + n] = '\0';
	return text;
}

START_TEST(the_text_of_an_error_is_kept_as_far_as_it_fits)
{
	static const char *const methods[] = { "GET", "PUT", "POST", "DELETE" };
	struct asked a;
	char *said;

	set_up(serve_reply);
	ck_assert_int_eq(
		get(&a, "GET", true,
		    "HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\noops"),
		S3_HTTP_REPLIED);
	ck_assert_str_eq(buf_str(&a.text), "oops");
	ck_assert_uint_eq(a.x.reply.body_len, 0);
	ck_assert_int_eq(a.room[0], 0);
	ask_done(&a);
	said = long_reply(503, 5000);
	for (unsigned int i = 0; i < 5; i++) {
		ck_assert_int_eq(get(&a, methods[i % 4], i == 4, said),
				 S3_HTTP_REPLIED);
		ck_assert_int_eq(a.x.reply.status, 503);
		ck_assert_uint_eq(a.text.len, 1000);
		ask_done(&a);
	}
	free(said);
	tear_down(serve_reply);
}
END_TEST

START_TEST(more_than_there_is_room_for_is_refused)
{
	char *said = long_reply(200, 257);
	struct asked a;

	set_up(serve_reply);
	ck_assert_int_eq(get(&a, "GET", true, said), S3_HTTP_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(a.x.why, "larger than it can be"));
	ask_done(&a);
	free(said);
	said = long_reply(206, 257);
	ck_assert_int_eq(get(&a, "GET", true, said), S3_HTTP_TOO_LARGE);
	ask_done(&a);
	free(said);
	said = long_reply(200, 256);
	ck_assert_int_eq(get(&a, "GET", true, said), S3_HTTP_REPLIED);
	ck_assert_uint_eq(a.x.reply.body_len, 256);
	ask_done(&a);
	free(said);
	said = long_reply(200, 1001);
	ck_assert_int_eq(get(&a, "GET", false, said), S3_HTTP_TOO_LARGE);
	ask_done(&a);
	free(said);
	said = long_reply(200, 1000);
	ck_assert_int_eq(get(&a, "POST", false, said), S3_HTTP_REPLIED);
	ck_assert_uint_eq(a.text.len, 1000);
	ask_done(&a);
	free(said);
	tear_down(serve_reply);
}
END_TEST

static void serve_flood(struct raw_server *r, int fd, unsigned int n UNUSED)
{
	char line[200];
	bool goes_on = raw_request(r, fd) && raw_say(fd, "HTTP/1.1 200 OK\r\n");

	for (unsigned int i = 0; goes_on && i < 1000000; i++) {
		(void)snprintf(line, sizeof(line), "x-line-%u: %0100u\r\n", i,
			       i);
		goes_on = raw_say(fd, line);
	}
}

START_TEST(a_flood_of_headers_ends)
{
	struct asked a;

	set_up(serve_flood);
	ck_assert_int_eq(get(&a, "GET", true, ""), S3_HTTP_TOO_LARGE);
	ask_done(&a);
	tear_down(serve_flood);
}
END_TEST

START_TEST(broken_replies_are_none)
{
	static const char *const said[] = {
		"",
		"HTTP/1.1 200 OK\r\nContent-Le",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"\x15\x03\x01\x00\x02\x02\x28",
	};
	struct asked a;

	set_up(serve_and_end);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		if (get(&a, "GET", true, said[i]) != S3_HTTP_BROKEN)
			ck_abort_msg("%s: %u, status %d", said[i], a.x.outcome,
				     a.x.reply.status);
		ck_assert_str_ne(a.x.why, "");
		ck_assert(a.x.why[0] < 'A' || a.x.why[0] > 'Z' ||
			  a.x.why[1] < 'a');
		ask_done(&a);
	}
	tear_down(serve_and_end);
}
END_TEST

START_TEST(no_redirection_is_followed)
{
	struct asked a;

	set_up(serve_reply);
	ck_assert_int_eq(get(&a, "GET", true,
			     "HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\n"
			     "Location: http://127.0.0.1:1/\r\n\r\n"),
			 S3_HTTP_REPLIED);
	ck_assert_int_eq(a.x.reply.status, 307);
	ask_done(&a);
	tear_down(serve_reply);
}
END_TEST

START_TEST(requests_are_as_they_were_given)
{
	static const char lines[] = "x-amz-meta: one\0range: bytes=0-1\0";
	static char body[2 << 20]; /* for which libcurl would say Expect */
	struct asked a;

	set_up(serve_reply);
	raw_will_say(&raw, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ask_init(&a, "PUT", raw.port);
	add_path(&a, "/../a%20b//c?x=%2F");
	a.x.headers = lines;
	a.x.headers_len = sizeof(lines) - 1;
	a.x.body = body;
	a.x.body_len = sizeof(body);
	s3_http_do(http, &a.x);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_REPLIED);
	ck_assert_uint_eq(raw_last(&raw, head), sizeof(body));
	ck_assert_ptr_nonnull(
		strstr(head, "PUT /b/k/../a%20b//c?x=%2F HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(head, "\r\nx-amz-meta: one\r\n"));
	ck_assert_ptr_nonnull(strstr(head, "\r\nrange: bytes=0-1\r\n"));
	ck_assert_ptr_null(strcasestr(head, "expect:"));
	ck_assert_ptr_null(strcasestr(head, "content-type:"));
	ck_assert_uint_ge(a.x.sent, sizeof(body) + strlen(head));
	ck_assert_uint_gt(a.x.received, 20);
	ask_done(&a);
	/* An empty body is one, too. */
	ask_init(&a, "PUT", raw.port);
	s3_http_do(http, &a.x);
	ck_assert_int_eq(a.x.outcome, S3_HTTP_REPLIED);
	ck_assert_uint_eq(raw_last(&raw, head), 0);
	ck_assert_ptr_nonnull(strstr(head, "PUT /b/k "));
	ck_assert_ptr_nonnull(strcasestr(head, "\r\nContent-Length: 0\r\n"));
	ask_done(&a);
	tear_down(serve_reply);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_was_asked_for_goes_to_its_room);
	tcase_add_test(tc, heads_are_read);
	tcase_add_test(tc, ranges_are_read_or_not_known);
	tcase_add_test(tc, the_text_of_an_error_is_kept_as_far_as_it_fits);
	tcase_add_test(tc, more_than_there_is_room_for_is_refused);
	tcase_add_test(tc, a_flood_of_headers_ends);
	tcase_add_test(tc, broken_replies_are_none);
	tcase_add_test(tc, no_redirection_is_followed);
	tcase_add_test(tc, requests_are_as_they_were_given);
}

CHECK_MAIN("storage/s3_http/reply", cases)
