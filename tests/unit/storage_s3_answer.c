/* What S3's answers mean, how long to wait, how many at once. */
#include <stdio.h>
#include <string.h>

#include "storage/stores/s3_answer.h"
#include "tests/support/check_main.h"

static struct s3_place place;
static struct s3_question question;
static struct s3_exchange exchange;
static struct s3_error error;
static struct err e;

static void set_up(void)
{
	memset(&place, 0, sizeof(place));
	(void)snprintf(place.host, sizeof(place.host), "s3.example:9000");
	(void)snprintf(place.bucket, sizeof(place.bucket), "backup");
	(void)snprintf(place.region, sizeof(place.region), "eu-west-1");
	question = (struct s3_question){
		.place = &place,
		.right = "s3:PutObject",
		.key_id = "AKIDTEST",
		.origin = "the environment",
		.now = { .sec = 1000000 },
		.has_words = true,
	};
	memset(&exchange, 0, sizeof(exchange));
	exchange.outcome = S3_HTTP_REPLIED;
	exchange.reply.status = 200;
	exchange.reply.retry_after_s = -1;
	memset(&error, 0, sizeof(error));
	err_clear(&e);
}

static enum s3_verdict ask(int status, const char *code)
{
	exchange.reply.status = status;
	(void)snprintf(error.code, sizeof(error.code), "%s", code);
	return s3_answer(&question, &exchange, &error, &e);
}

START_TEST(success_is_success_unless_its_text_is_an_error)
{
	ck_assert_int_eq(ask(200, ""), S3_DONE);
	ck_assert_int_eq(ask(206, ""), S3_DONE);
	ck_assert_int_eq(ask(204, ""), S3_DONE);
	/* So CompleteMultipartUpload fails after its head was sent. */
	ck_assert_int_eq(ask(200, "InternalError"), S3_AGAIN);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_int_eq(ask(200, "AccessDenied"), S3_FAILED);
}
END_TEST

START_TEST(absent_is_what_s3_says_is_absent)
{
	ck_assert_int_eq(ask(404, "NoSuchKey"), S3_ABSENT);
	ck_assert_int_eq(ask(404, "NoSuchUpload"), S3_ABSENT);
	ck_assert_int_eq(ask(412, ""), S3_TAKEN);
	ck_assert_int_eq(ask(416, "InvalidRange"), S3_BEYOND);
	ck_assert_int_eq(ask(404, "NoSuchBucket"), S3_FAILED);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(e.hint, "make the bucket first"));
	/* Of a proxy, say: nothing is absent because of that. */
	ck_assert_int_eq(ask(404, ""), S3_AGAIN);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_int_eq(ask(404, "NoSuchThing"), S3_AGAIN);
	/* A HEAD has no words for it. */
	question.has_words = false;
	ck_assert_int_eq(ask(404, ""), S3_ABSENT);
}
END_TEST

static const struct {
	int status;
	const char *code;
	enum s3_verdict verdict;
	enum err_code err;
	const char *words;
} answers[] = {
	{ 403, "AccessDenied", S3_FAILED, ERR_DENIED, "access denied" },
	{ 403, "", S3_FAILED, ERR_DENIED, "access denied (status 403)" },
	{ 403, "InvalidAccessKeyId", S3_NEW_KEYS, ERR_DENIED,
	  "does not know the access key" },
	{ 403, "SignatureDoesNotMatch", S3_NEW_KEYS, ERR_DENIED,
	  "the secret key is not" },
	{ 400, "ExpiredToken", S3_NEW_KEYS, ERR_DENIED, "have ended" },
	{ 503, "SlowDown", S3_SLOWER, ERR_BUSY, "fewer requests" },
	{ 429, "", S3_SLOWER, ERR_BUSY, "fewer requests" },
	{ 503, "", S3_SLOWER, ERR_BUSY, "not available" },
	{ 500, "InternalError", S3_AGAIN, ERR_BUSY, "internal error" },
	{ 502, "", S3_AGAIN, ERR_BUSY, "in front of the server" },
	{ 400, "BadDigest", S3_AGAIN, ERR_BUSY, "changed on the way" },
	{ 400, "RequestTimeout", S3_AGAIN, ERR_BUSY, "waited too long" },
	{ 409, "OperationAborted", S3_AGAIN, ERR_BUSY, "in the way" },
	{ 403, "QuotaExceeded", S3_FAILED, ERR_FULL, "quota" },
	{ 403, "InvalidObjectState", S3_FAILED, ERR_BUSY, "archive" },
	{ 501, "NotImplemented", S3_FAILED, ERR_IO, "does not know this" },
	{ 400, "SomethingNew", S3_FAILED, ERR_IO, "it does not say why" },
	{ 302, "", S3_FAILED, ERR_IO, "the server refused" },
	{ 407, "", S3_FAILED, ERR_DENIED, "proxy" },
};

START_TEST(each_answer_has_its_meaning)
{
	ck_assert_int_eq(ask(answers[_i].status, answers[_i].code),
			 answers[_i].verdict);
	ck_assert_int_eq(e.code, answers[_i].err);
	ck_assert_msg(strstr(e.text, answers[_i].words) != NULL, "%s", e.text);
}
END_TEST

START_TEST(a_refusal_names_what_is_missing_and_what_a_provider_asks_for)
{
	(void)snprintf(error.request, sizeof(error.request), "tx0001-42");
	(void)ask(403, "AccessDenied");
	ck_assert_str_eq(e.text,
			 "access denied (AccessDenied, request tx0001-42)");
	ck_assert_str_eq(e.hint, "the access key AKIDTEST (from the "
				 "environment) needs s3:PutObject here");
	error.request[0] = '\0';
	(void)snprintf(exchange.reply.request_id,
		       sizeof(exchange.reply.request_id), "from-the-head");
	(void)ask(500, "");
	ck_assert_ptr_nonnull(strstr(e.text, "request from-the-head)"));
	(void)ask(403, "InvalidAccessKeyId");
	ck_assert_str_eq(e.hint,
			 "the access key AKIDTEST is from the environment");
	(void)snprintf(error.message, sizeof(error.message), "it is \"so\"");
	(void)ask(400, "Strange");
	ck_assert_ptr_nonnull(strstr(e.text, "\"it is \\\"so\\\"\""));
}
END_TEST

START_TEST(another_region_is_named_with_the_mend)
{
	(void)snprintf(error.region, sizeof(error.region), "us-west-2");
	ck_assert_int_eq(ask(400, "AuthorizationHeaderMalformed"), S3_FAILED);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_str_eq(e.text, "the bucket is in the region \"us-west-2\", "
				 "not in \"eu-west-1\"");
	ck_assert_ptr_nonnull(strstr(e.hint, "region=us-west-2"));
	error.region[0] = '\0';
	(void)snprintf(exchange.reply.region, sizeof(exchange.reply.region),
		       "ap-south-1");
	ck_assert_int_eq(ask(301, ""), S3_FAILED);
	ck_assert_ptr_nonnull(strstr(e.hint, "region=ap-south-1"));
	exchange.reply.region[0] = '\0';
	(void)snprintf(error.endpoint, sizeof(error.endpoint), "s3.other");
	ck_assert_int_eq(ask(301, "PermanentRedirect"), S3_FAILED);
	ck_assert_ptr_nonnull(strstr(e.text, "\"s3.other\""));
	error.endpoint[0] = '\0';
	ck_assert_int_eq(ask(301, "PermanentRedirect"), S3_FAILED);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

START_TEST(a_clock_that_is_off_is_measured)
{
	exchange.reply.has_date = true;
	exchange.reply.date = (struct instant){ .sec = 1000000 - 1200 };
	ck_assert_int_eq(ask(403, "RequestTimeTooSkewed"), S3_FAILED);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.text, "is 20m ahead of the server's"));
	exchange.reply.date = (struct instant){ .sec = 1000000 + 7200 };
	(void)ask(403, "RequestTimeTooSkewed");
	ck_assert_ptr_nonnull(strstr(e.text, "is 2h behind the server's"));
	exchange.reply.has_date = false;
	(void)ask(403, "RequestTimeTooSkewed");
	ck_assert_ptr_nonnull(strstr(e.text, "too old or too young"));
}
END_TEST

static const struct {
	enum s3_http_outcome outcome;
	enum s3_verdict verdict;
	enum err_code err;
	const char *words;
} ends[] = {
	{ S3_HTTP_UNREACHED, S3_AGAIN, ERR_BUSY, "cannot be reached: why" },
	{ S3_HTTP_BROKEN, S3_AGAIN, ERR_BUSY, "broke: why" },
	{ S3_HTTP_TIMEOUT, S3_SLOWER, ERR_BUSY, "did not answer in time" },
	{ S3_HTTP_UNTRUSTED, S3_FAILED, ERR_DENIED, "not to be trusted: why" },
	{ S3_HTTP_TOO_LARGE, S3_FAILED, ERR_IO, "more than it was asked for" },
	{ S3_HTTP_REFUSED, S3_FAILED, ERR_NO_MEMORY, "not sent: why" },
};

START_TEST(what_got_no_reply_says_so)
{
	exchange.outcome = ends[_i].outcome;
	(void)snprintf(exchange.why, sizeof(exchange.why), "why");
	ck_assert_int_eq(ask(0, ""), ends[_i].verdict);
	ck_assert_int_eq(e.code, ends[_i].err);
	ck_assert_msg(strstr(e.text, ends[_i].words) != NULL, "%s", e.text);
}
END_TEST

/* What a proxy answers that is to make a tunnel to the server. */
static const struct {
	int status;
	enum s3_verdict verdict;
	enum err_code err;
	const char *words;
	const char *hint;
} tunnels[] = {
	{ 407, S3_FAILED, ERR_DENIED, "wants credentials of its own",
	  "https_proxy" },
	{ 403, S3_FAILED, ERR_DENIED, "does not let us through", "no_proxy" },
	{ 405, S3_FAILED, ERR_DENIED, "(its status 405)", "no_proxy" },
	{ 502, S3_AGAIN, ERR_BUSY, "the proxy cannot reach", "" },
	{ 503, S3_AGAIN, ERR_BUSY, "(its status 503)", "" },
};

START_TEST(a_proxy_that_makes_no_tunnel_is_named)
{
	exchange.outcome = S3_HTTP_NO_TUNNEL;
	ck_assert_int_eq(ask(tunnels[_i].status, ""), tunnels[_i].verdict);
	ck_assert_int_eq(e.code, tunnels[_i].err);
	ck_assert_msg(strstr(e.text, tunnels[_i].words) != NULL, "%s", e.text);
	ck_assert_msg(strstr(e.hint, tunnels[_i].hint) != NULL, "%s", e.hint);
}
END_TEST

START_TEST(waits_double_and_end_and_honour_the_server)
{
	const uint64_t most = UINT64_MAX - UINT64_MAX % 100001;

	for (unsigned int attempt = 1; attempt < 200; attempt++) {
		int64_t top = 100;

		for (unsigned int i = 1; i < attempt && top < 20000; i++)
			top *= 2;
		if (top > 20000)
			top = 20000;
		for (uint64_t chance = 0; chance < 5000; chance += 7)
			ck_assert_int_le(s3_delay_ms(attempt, chance, -1), top);
		ck_assert_int_eq(s3_delay_ms(attempt, (uint64_t)top, -1), top);
		ck_assert_int_eq(s3_delay_ms(attempt, 0, -1), 0);
	}
	ck_assert_int_eq(s3_delay_ms(1, 0, 7), 7000);
	ck_assert_int_eq(s3_delay_ms(1, 50, 7), 7050);
	ck_assert_int_eq(s3_delay_ms(1, 0, 86400), 60000);
	ck_assert_int_ge(s3_delay_ms(1, most, -1), 0);
}
END_TEST

START_TEST(lanes_grow_by_one_a_round_and_halve_once_a_second)
{
	struct s3_lanes l;
	unsigned int n;

	s3_lanes_init(&l);
	n = s3_lanes_width(&l);
	for (unsigned int i = 0; i <= n; i++)
		s3_lanes_passed(&l);
	ck_assert_uint_eq(s3_lanes_width(&l), n + 1);
	s3_lanes_slowed(&l, 5000);
	ck_assert_uint_eq(s3_lanes_width(&l), (n + 1) / 2);
	s3_lanes_slowed(&l, 5999);
	ck_assert_uint_eq(s3_lanes_width(&l), (n + 1) / 2);
	for (int64_t t = 6000; t < 60000; t += 1000)
		s3_lanes_slowed(&l, t);
	ck_assert_uint_eq(s3_lanes_width(&l), 1);
	for (int i = 0; i < 100000; i++)
		s3_lanes_passed(&l);
	ck_assert_uint_eq(s3_lanes_width(&l), S3_LANES_MAX);
}
END_TEST

static void add_cases(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, success_is_success_unless_its_text_is_an_error);
	tcase_add_test(t, absent_is_what_s3_says_is_absent);
	tcase_add_loop_test(t, each_answer_has_its_meaning, 0,
			    (int)(sizeof(answers) / sizeof(answers[0])));
	tcase_add_test(
		t,
		a_refusal_names_what_is_missing_and_what_a_provider_asks_for);
	tcase_add_test(t, another_region_is_named_with_the_mend);
	tcase_add_test(t, a_clock_that_is_off_is_measured);
	tcase_add_loop_test(t, what_got_no_reply_says_so, 0,
			    (int)(sizeof(ends) / sizeof(ends[0])));
	tcase_add_loop_test(t, a_proxy_that_makes_no_tunnel_is_named, 0,
			    (int)(sizeof(tunnels) / sizeof(tunnels[0])));
	tcase_add_test(t, waits_double_and_end_and_honour_the_server);
	tcase_add_test(t, lanes_grow_by_one_a_round_and_halve_once_a_second);
}

CHECK_MAIN("storage/s3_answer", add_cases)
