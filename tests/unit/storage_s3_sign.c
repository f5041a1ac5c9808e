/*
 * The vectors are Amazon's: the examples of the S3 API reference ("Signature
 * Calculations for the Authorization Header: Transferring Payload in a Single
 * Chunk"), and those of the Signature Version 4 test suite whose rules are
 * S3's, too.
 */
#include "storage/stores/s3_sign.h"

#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MANY  128

static struct err e;

/* The nth line of those that signing added, or NULL. */
static const char *line(const struct buf *lines, size_t n)
{
	size_t at = 0;

	while (n-- > 0 && at < lines->len)
		at += strlen((const char *)lines->data + at) + 1;
	return at < lines->len ? (const char *)lines->data + at : NULL;
}

static const char *last_line(const struct buf *lines)
{
	const char *at = NULL;

	for (size_t i = 0; line(lines, i); i++)
		at = line(lines, i);
	ck_assert_ptr_nonnull(at);
	return at;
}

static struct s3_keys *keys_of(const char *id, const char *secret)
{
	struct s3_keys *k = s3_keys_new();

	ck_assert_ptr_nonnull(k);
	(void)snprintf(k->id, sizeof(k->id), "%s", id);
	(void)snprintf(k->secret, sizeof(k->secret), "%s", secret);
	return k;
}

static void expect_signed(const struct s3_signing *s, const struct s3_keys *k,
			  const char *names, const char *signature)
{
	CLEANUP(buf_wipe) struct buf lines;
	char want[2000];
	const char *day = s->now.sec == 1369353600 ? "20130524" : "20150830";

	buf_init(&lines, 20000);
	ck_ok(s3_sign(s, k, &lines, &e));
	(void)snprintf(want, sizeof(want),
		       "authorization: AWS4-HMAC-SHA256 Credential=%s/%s/"
		       "us-east-1/%s/aws4_request, SignedHeaders=%s, "
		       "Signature=%s",
		       k->id, day, s->service, names, signature);
	ck_assert_str_eq(last_line(&lines), want);
}

static const struct s3_signing reference = {
	.method = "GET",
	.host = "examplebucket.s3.amazonaws.com",
	.path = "/",
	.query = "",
	.body_sha256 = EMPTY,
	.region = "us-east-1",
	.service = "s3",
	.now = { .sec = 1369353600, .nsec = 999999999 },
};

static void expect_reference(const struct s3_signing *s, const char *names,
			     const char *signature)
{
	struct s3_keys *k = keys_of("AKIAIOSFODNN7EXAMPLE",
				    "wJalrXUtnFEMI/K7MDENG/"
				    "bPxRfiCYEXAMPLEKEY");

	expect_signed(s, k, names, signature);
	s3_keys_free(k);
}

START_TEST(signs_the_reference_s_get)
{
	static const char *const headers[] = { "range: bytes=0-9" };
	struct s3_signing s = reference;

	s.path = "/test.txt";
	s.headers = headers;
	s.n_headers = 1;
	expect_reference(&s, "host;range;x-amz-content-sha256;x-amz-date",
			 "f0e8bdb87c964420e857bd35b5d6ed31"
			 "0bd44f0170aba48dd91039c6036bdb41");
}
END_TEST

START_TEST(signs_the_reference_s_put)
{
	static const char *const headers[] = {
		"date: Fri, 24 May 2013 00:00:00 GMT",
		"x-amz-storage-class: REDUCED_REDUNDANCY",
	};
	static const char body[] = "Welcome to Amazon S3.";
	CLEANUP(buf_done) struct buf path;
	char hash[S3_SHA256_TEXT];
	struct s3_signing s = reference;

	buf_init(&path, MANY);
	ck_ok(s3_encode("/test$file.text", true, &path, &e));
	ck_ok(s3_sha256(body, sizeof(body) - 1, hash, &e));
	ck_assert_str_eq(hash, "44ce7dd67c959e0d3524ffac1771dfbb"
			       "a87d2b6b4b4e99e42034a8b803f8b072");
	s.method = "PUT";
	s.path = buf_str(&path);
	s.headers = headers;
	s.n_headers = 2;
	s.body_sha256 = hash;
	expect_reference(&s,
			 "date;host;x-amz-content-sha256;x-amz-date;"
			 "x-amz-storage-class",
			 "98ad721746da40c64f1a55b78f14c238"
			 "d841ea1380cd77a1b5971af0ece108bd");
}
END_TEST

START_TEST(signs_the_reference_s_queries)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_signing s = reference;

	buf_init(&query, MANY);
	ck_ok(s3_query_add(&query, "lifecycle", NULL, &e));
	s.query = buf_str(&query);
	expect_reference(&s, "host;x-amz-content-sha256;x-amz-date",
			 "fea454ca298b7da1c68078a5d1bdbfbb"
			 "e0d65c699e0f91ac7a200a0136783543");
	buf_clear(&query);
	ck_ok(s3_query_add(&query, "max-keys", "2", &e));
	ck_ok(s3_query_add(&query, "prefix", "J", &e));
	s.query = buf_str(&query);
	expect_reference(&s, "host;x-amz-content-sha256;x-amz-date",
			 "34b48302e7b5fa45bde8084f4b7868a8"
			 "6f0a534bc59db6670ed5711ef69dc6f7");
}
END_TEST

/* --- The test suite ---------------------------------------------------- */

static const char unreserved[] = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz";

/* Paths and queries are given as they are before they are encoded. */
static const struct vector {
	const char *name;
	const char *path;
	const char *query[2][2];
	const char *token;
	const char *signature;
} vectors[] = {
	{ "get-vanilla",
	  "/",
	  { { NULL } },
	  "",
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-vanilla-query-order-key-case",
	  "/",
	  { { "Param1", "value1" }, { "Param2", "value2" } },
	  "",
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-empty-query-key",
	  "/",
	  { { "Param1", "value1" } },
	  "",
	  "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
	{ "get-vanilla-query-unreserved",
	  "/",
	  { { unreserved, unreserved } },
	  "",
	  "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-vanilla-utf8-query",
	  "/",
	  { { "\xe1\x88\xb4", "bar" } },
	  "",
	  "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
	{ "get-utf8",
	  "/\xe1\x88\xb4",
	  { { NULL } },
	  "",
	  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-space-unnormalized",
	  "/example space/",
	  { { NULL } },
	  "",
	  "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-slash-unnormalized",
	  "//",
	  { { NULL } },
	  "",
	  "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e" },
	{ "get-vanilla-with-session-token",
	  "/",
	  { { NULL } },
	  "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
	  "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
};
#define N_VECTORS (int)(sizeof(vectors) / sizeof(vectors[0]))

static const struct s3_signing suite = {
	.method = "GET",
	.host = "example.amazonaws.com",
	.path = "/",
	.query = "",
	.body_sha256 = EMPTY,
	.region = "us-east-1",
	.service = "service",
	.now = { .sec = 1440938160 },
};

static struct s3_keys *suite_keys(void)
{
	return keys_of("AKIDEXAMPLE",
		       "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
}

START_TEST(signs_the_suite_s_requests)
{
	const struct vector *v = &vectors[_i];
	CLEANUP(buf_done) struct buf path;
	CLEANUP(buf_done) struct buf query;
	struct s3_keys *k = suite_keys();
	struct s3_signing s = suite;

	buf_init(&path, MANY);
	buf_init(&query, 2 * MANY);
	ck_ok(s3_encode(v->path, true, &path, &e));
	for (size_t i = 0; i < 2 && v->query[i][0]; i++)
		ck_ok(s3_query_add(&query, v->query[i][0], v->query[i][1], &e));
	s.path = buf_str(&path);
	s.query = buf_str(&query);
	(void)snprintf(k->token, sizeof(k->token), "%s", v->token);
	expect_signed(&s, k,
		      v->token[0] ? "host;x-amz-date;x-amz-security-token"
				  : "host;x-amz-date",
		      v->signature);
	s3_keys_free(k);
}
END_TEST

START_TEST(signs_the_suite_s_posts)
{
	static const char *const headers[] = {
		"content-length: 13",
		"content-type: application/x-www-form-urlencoded",
		("x-amz-content-sha256: 9095672bbd1f56dfc5b65f3e153adc87"
		 "31a4a654192329106275f4c7b24d0b6e"),
	};
	struct s3_keys *k = suite_keys();
	struct s3_signing s = suite;
	char hash[S3_SHA256_TEXT];

	ck_ok(s3_sha256("Param1=value1", 13, hash, &e));
	s.method = "POST";
	s.headers = headers;
	s.n_headers = 3;
	s.body_sha256 = hash;
	/* post-x-www-form-urlencoded */
	expect_signed(&s, k,
		      "content-length;content-type;host;x-amz-content-sha256;"
		      "x-amz-date",
		      "d3875051da38690788ef43de4db0d8f2"
		      "80229d82040bfac253562e56c3f20e0b");
	/* post-sts-header-before */
	s.headers = NULL;
	s.n_headers = 0;
	s.body_sha256 = EMPTY;
	(void)snprintf(k->token, sizeof(k->token),
		       "AQoDYXdzEPT//////////"
		       "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBu"
		       "FqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/"
		       "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT"
		       "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+"
		       "xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
		       "scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2"
		       "ICCR/oLxBA==");
	expect_signed(&s, k, "host;x-amz-date;x-amz-security-token",
		      "85d96828115b5dc0cfc3bd16ad9e210d"
		      "d772bbebba041836c64533a82be05ead");
	s3_keys_free(k);
}
END_TEST

/* get-header-value-trim */
START_TEST(spaces_of_values_count_once)
{
	static const char *const headers[] = {
		"my-header1:  value1 ",
		"my-header2: \"a   b   c\"",
	};
	struct s3_keys *k = suite_keys();
	struct s3_signing s = suite;

	s.headers = headers;
	s.n_headers = 2;
	expect_signed(&s, k, "host;my-header1;my-header2;x-amz-date",
		      "acc3ed3afb60bb290fc8d2dd0098b991"
		      "1fcaa05412b367055dee359757a9c736");
	s3_keys_free(k);
}
END_TEST

/* --- What is ours ------------------------------------------------------- */

START_TEST(adds_the_lines_that_are_signed)
{
	CLEANUP(buf_wipe) struct buf lines;
	struct s3_keys *k = suite_keys();

	buf_init(&lines, 20000);
	ck_ok(buf_add(&lines, "a: b", 5, &e));
	memset(k->token, 't', sizeof(k->token) - 1);
	ck_ok(s3_sign(&reference, k, &lines, &e));
	ck_assert_str_eq(line(&lines, 0), "a: b");
	ck_assert_str_eq(line(&lines, 1), "x-amz-content-sha256: " EMPTY);
	ck_assert_str_eq(line(&lines, 2), "x-amz-date: 20130524T000000Z");
	ck_assert(strncmp(line(&lines, 3), "x-amz-security-token: tttt", 26) ==
		  0);
	ck_assert_uint_eq(strlen(line(&lines, 3)), 22 + sizeof(k->token) - 1);
	ck_assert(strncmp(line(&lines, 4), "authorization: ", 15) == 0);
	ck_assert_ptr_null(line(&lines, 5));
	s3_keys_free(k);
}
END_TEST

START_TEST(everything_that_is_signed_changes_the_signature)
{
	static const char *const one[] = { "x-amz-a: 1" };
	static const char *const two[] = { "x-amz-a: 2" };
	struct s3_signing s[10];
	char seen[12][64];
	struct s3_keys *k = suite_keys();
	size_t n = 0;

	for (size_t i = 0; i < 10; i++)
		s[i] = reference;
	s[1].method = "PUT";
	s[2].host = "examplebucket.s3.amazonaws.com:1";
	s[3].path = "/x";
	s[4].query = "x=";
	s[5].headers = one;
	s[6].headers = two;
	s[5].n_headers = s[6].n_headers = 1;
	s[7].body_sha256 = "UNSIGNED-PAYLOAD";
	s[8].region = "us-east-2";
	s[9].now.sec++;
	for (size_t i = 0; i < 12; i++) {
		CLEANUP(buf_wipe) struct buf lines;
		const char *at;

		if (i == 10)
			k->secret[0]++;
		if (i == 11)
			k->token[0] = 't';
		buf_init(&lines, 20000);
		ck_ok(s3_sign(&s[i % 10], k, &lines, &e));
		at = strstr(last_line(&lines), "Signature=");
		ck_assert_ptr_nonnull(at);
		ck_assert_uint_eq(strlen(at), 10 + 64);
		memcpy(seen[n++], at + 10, 64);
		for (size_t m = 0; m + 1 < n; m++)
			ck_assert_mem_ne(seen[m], seen[n - 1], 64);
	}
	s3_keys_free(k);
}
END_TEST

START_TEST(secrets_may_be_as_long_as_their_room)
{
	CLEANUP(buf_wipe) struct buf lines;
	struct s3_keys *k = s3_keys_new();

	buf_init(&lines, 20000);
	ck_assert_ptr_nonnull(k);
	memset(k->id, 'i', sizeof(k->id) - 1);
	memset(k->secret, 's', sizeof(k->secret) - 1);
	ck_ok(s3_sign(&reference, k, &lines, &e));
	ck_assert_ptr_nonnull(strstr(last_line(&lines), "iii/20130524/"));
	ck_assert_ptr_null(memmem(lines.data, lines.len, "sss", 3));
	s3_keys_free(k);
	s3_keys_free(NULL);
}
END_TEST

START_TEST(a_failure_leaves_nothing_behind)
{
	CLEANUP(buf_wipe) struct buf lines;
	struct s3_keys *k = suite_keys();
	struct s3_signing s = reference;

	s.now.sec = INT64_MAX;
	buf_init(&lines, 150);
	ck_ok(buf_add(&lines, "a: b", 5, &e));
	ck_assert_int_eq(s3_sign(&s, k, &lines, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	/* The token fits, the signature does not. */
	(void)snprintf(k->token, sizeof(k->token), "token");
	ck_assert_int_eq(s3_sign(&reference, k, &lines, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_uint_eq(lines.len, 5);
	ck_assert_ptr_null(memmem(lines.data, lines.cap, "token", 5));
	s3_keys_free(k);
}
END_TEST

struct story {
	struct s3_keys *keys;
};

static int sign_once(void *arg, struct err *err)
{
	const struct story *st = arg;
	CLEANUP(buf_wipe) struct buf lines;

	buf_init(&lines, 20000);
	return s3_sign(&reference, st->keys, &lines, err);
}

START_TEST(survives_each_failing_allocation)
{
	struct story st = { suite_keys() };

	ck_assert_uint_gt(alloc_fail_each(sign_once, &st), 3);
	s3_keys_free(st.keys);
}
END_TEST

START_TEST(encodes_each_byte_once)
{
	CLEANUP(buf_done) struct buf b;
	char all[256];
	size_t plain = 0;

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	buf_init(&b, 1000);
	ck_ok(s3_encode(all, false, &b, &e));
	for (size_t i = 0, at = 0; i < 255; i++) {
		char code[4];

		if (strchr(unreserved, all[i])) {
			ck_assert_int_eq(b.data[at++], all[i]);
			plain++;
			continue;
		}
		(void)snprintf(code, sizeof(code), "%%%02X",
			       (unsigned int)i + 1);
		ck_assert_mem_eq(b.data + at, code, 3);
		at += 3;
	}
	ck_assert_uint_eq(plain, 66);
	ck_assert_uint_eq(b.len, 66 + 3 * (255 - 66));
	buf_clear(&b);
	ck_ok(s3_encode("a/b c%20", true, &b, &e));
	ck_assert_str_eq(buf_str(&b), "a/b%20c%2520");
	buf_clear(&b);
	ck_ok(s3_query_add(&b, "prefix", "a/b+c", &e));
	ck_ok(s3_query_add(&b, "uploads", NULL, &e));
	ck_ok(s3_query_add(&b, "x", "", &e));
	ck_assert_str_eq(buf_str(&b), "prefix=a%2Fb%2Bc&uploads=&x=");
}
END_TEST

static void expect_decoded(const char *text, bool plus, size_t room,
			   ptrdiff_t want, const char *out)
{
	char got[32];

	memset(got, '#', sizeof(got));
	ck_assert_int_eq(s3_decode(text, strlen(text), plus, got, room), want);
	if (want >= 0)
		ck_assert_str_eq(got, out);
	ck_assert_int_eq(got[room], '#');
}

START_TEST(decodes_what_was_encoded)
{
	CLEANUP(buf_done) struct buf b;
	char all[256];
	char got[256];

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	buf_init(&b, 1000);
	ck_ok(s3_encode(all, true, &b, &e));
	ck_assert_int_eq(s3_decode(buf_str(&b), b.len, true, got, sizeof(got)),
			 255);
	ck_assert_str_eq(got, all);
	expect_decoded("a+b%2B%2f", false, 20, 5, "a+b+/");
	expect_decoded("a+b%2B", true, 20, 4, "a b+");
	expect_decoded("", true, 20, 0, "");
	expect_decoded("%41%42%43", true, 4, 3, "ABC");
	expect_decoded("%41%42%43", true, 3, 3, "AB");
	expect_decoded("%41%42%43", true, 1, 3, "");
	expect_decoded("a%", true, 20, -1, "");
	expect_decoded("a%4", true, 20, -1, "");
	expect_decoded("a%4g", true, 20, -1, "");
	expect_decoded("a%00b", true, 20, -1, "");
	/* No code goes on behind the end. */
	ck_assert_int_eq(s3_decode("%41", 2, false, got, sizeof(got)), -1);
}
END_TEST

START_TEST(hashes_as_sha256_does)
{
	char out[S3_SHA256_TEXT];

	ck_ok(s3_sha256(NULL, 0, out, &e));
	ck_assert_str_eq(out, EMPTY);
	/* FIPS 180-2, appendix B.1. */
	ck_ok(s3_sha256("abc", 3, out, &e));
	ck_assert_str_eq(out, "ba7816bf8f01cfea414140de5dae2223"
			      "b00361a396177a9cb410ff61f20015ad");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, signs_the_reference_s_get);
	tcase_add_test(tc, signs_the_reference_s_put);
	tcase_add_test(tc, signs_the_reference_s_queries);
	tcase_add_loop_test(tc, signs_the_suite_s_requests, 0, N_VECTORS);
	tcase_add_test(tc, signs_the_suite_s_posts);
	tcase_add_test(tc, spaces_of_values_count_once);
	tcase_add_test(tc, adds_the_lines_that_are_signed);
	tcase_add_test(tc, everything_that_is_signed_changes_the_signature);
	tcase_add_test(tc, secrets_may_be_as_long_as_their_room);
	tcase_add_test(tc, a_failure_leaves_nothing_behind);
	tcase_add_test(tc, survives_each_failing_allocation);
	tcase_add_test(tc, encodes_each_byte_once);
	tcase_add_test(tc, decodes_what_was_encoded);
	tcase_add_test(tc, hashes_as_sha256_does);
}

CHECK_MAIN("storage/s3_sign", cases)
