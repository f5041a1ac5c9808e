#include "storage/stores/s3_place.h"

#include <string.h>

#include "tests/support/check_main.h"

static struct err e;
static struct s3_place p;
static const struct s3_defaults nothing;

static void good(const char *url)
{
	memset(&p, 0xa5, sizeof(p));
	if (s3_place_parse(url, &nothing, &p, &e) < 0)
		ck_abort_msg("%s: %s", url, e.text);
}

/* Refused with this in its text, and nothing written. */
static void bad(const char *url, const char *text)
{
	struct s3_place before;

	memset(&p, 0xa5, sizeof(p));
	memcpy(&before, &p, sizeof(p));
	memset(&e, 0, sizeof(e));
	if (s3_place_parse(url, &nothing, &p, &e) == 0)
		ck_abort_msg("%s is taken", url);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_mem_eq(&p, &before, sizeof(p));
	if (!strstr(e.text, text))
		ck_abort_msg("%s: %s", url, e.text);
}

static void expect_path(const char *name, const char *want)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 5000);
	ck_ok(s3_place_path(&p, name, &b, &e));
	ck_assert_str_eq(buf_str(&b), want);
}

static void expect_host(const char *want)
{
	char out[64 + 1 + 256 + 8];

	s3_place_host(&p, out);
	ck_assert_str_eq(out, want);
}

START_TEST(a_bucket_alone_is_amazon_s)
{
	good("s3://backups");
	ck_assert_str_eq(p.bucket, "backups");
	ck_assert_str_eq(p.prefix, "");
	ck_assert(p.tls && !p.path_style && !p.eventual && !p.profile_named);
	ck_assert_str_eq(p.region, "us-east-1");
	ck_assert_str_eq(p.host, "s3.us-east-1.amazonaws.com");
	ck_assert_str_eq(p.profile, "");
	ck_assert_str_eq(p.credentials, "");
	ck_assert_str_eq(p.ca, "");
	ck_assert_str_eq(p.class, "");
	ck_assert_str_eq(p.sse, "");
	ck_assert_str_eq(p.sse_key, "");
	expect_host("backups.s3.us-east-1.amazonaws.com");
	expect_path(NULL, "/");
	expect_path("data/aa/1", "/data/aa/1");
	good("S3://backups/?region=eu-west-3");
	ck_assert_str_eq(p.host, "s3.eu-west-3.amazonaws.com");
	good("s3://backups?region=cn-north-1");
	ck_assert_str_eq(p.host, "s3.cn-north-1.amazonaws.com.cn");
}
END_TEST

START_TEST(every_parameter_is_taken)
{
	good("s3://backups/eu/a%20b/?endpoint=http://127.0.0.1:9000/&"
	     "region=RegionOne&style=path&profile=night%20shift&"
	     "credentials=/etc/keys/s3&ca=/etc/ca%2bours.pem&"
	     "class=STANDARD_IA&sse=aws:kms&"
	     "sse-key=arn:aws:kms:us-east-1:111122223333:key/1234-abcd&"
	     "list=eventual");
	ck_assert_str_eq(p.prefix, "eu/a b/");
	ck_assert(!p.tls && p.path_style && p.eventual && p.profile_named);
	ck_assert_str_eq(p.host, "127.0.0.1:9000");
	ck_assert_str_eq(p.region, "RegionOne");
	ck_assert_str_eq(p.profile, "night shift");
	ck_assert_str_eq(p.credentials, "/etc/keys/s3");
	ck_assert_str_eq(p.ca, "/etc/ca+ours.pem");
	ck_assert_str_eq(p.class, "STANDARD_IA");
	ck_assert_str_eq(p.sse, "aws:kms");
	ck_assert_str_eq(p.sse_key,
			 "arn:aws:kms:us-east-1:111122223333:key/1234-abcd");
	expect_host("127.0.0.1:9000");
	expect_path(NULL, "/backups");
	expect_path("config", "/backups/eu/a%20b/config");
	good("s3://backups?sse=AES256");
	ck_assert_str_eq(p.sse, "AES256");
	ck_assert_str_eq(p.lock, "");
	good("s3://backups?lock=governance");
	ck_assert_str_eq(p.lock, "governance");
	good("s3://backups?lock=compliance");
	good("s3://backups?lock=off");
	ck_assert_str_eq(p.lock, "off");
}
END_TEST

START_TEST(values_that_make_no_sense_are_refused)
{
	bad("s3://backups?style=auto", "path or virtual");
	bad("s3://backups?sse=aes256", "AES256 or aws:kms");
	bad("s3://backups?list=strong", "eventual");
	bad("s3://backups?lock=COMPLIANCE", "compliance, governance or off");
	bad("s3://backups?lock=on", "compliance, governance or off");
	bad("s3://backups?sse-key=x", "sse=aws:kms");
	bad("s3://backups?sse=AES256&sse-key=x", "sse=aws:kms");
	bad("s3://backups?sse=aws:kms&sse-key=a%20b", "sse-key=");
	bad("s3://backups?class=A%0d%0ab", "control bytes");
	bad("s3://backups?class=A+B", "class=");
	bad("s3://backups?region=a/b", "region=");
	bad("s3://backups?region=RegionOne", "Amazon has no region");
	bad("s3://backups?region=cn-", "Amazon has no region");
	bad("s3://backups?region=a.b", "Amazon has no region");
	bad("s3://backups?region=", "has no value");
	bad("s3://backups?region", "has no value");
	bad("s3://backups?region=a&region=a", "twice");
	bad("s3://backups?ca=ours.pem", "absolute path");
	bad("s3://backups?profile=%ff", "UTF-8");
	bad("s3://backups?profile=%00", "begins no code");
	bad("s3://backups?profile=%0", "begins no code");
	bad("s3://backups?profile=%g0", "begins no code");
	bad("s3://backups?profile=a\tb", "control bytes");
	bad("s3://backups?", "no parameter");
	bad("s3://backups?region=a&", "no parameter");
	bad("s3://backups?region=a#b", "region=");
	bad("s3://backups?profile=a#b", "%23");
	bad("s3://backups/a#b", "%23");
	bad("file:///backups", "s3://");
	bad("s3:backups", "s3://");
	bad("", "s3://");
}
END_TEST

START_TEST(a_slip_of_a_parameter_is_named)
{
	bad("s3://backups?enpoint=http://h", "\"enpoint\"");
	ck_assert_str_eq(e.hint, "did you mean \"endpoint\"?");
	bad("s3://backups?Region=a", "\"Region\"");
	ck_assert_str_eq(e.hint, "did you mean \"region\"?");
	bad("s3://backups?colour=a", "\"colour\"");
	ck_assert_ptr_nonnull(strstr(e.hint, "known are endpoint, "));
}
END_TEST

/* "hush" is what no message may repeat. */
START_TEST(credentials_are_refused_and_not_repeated)
{
	static const char *const urls[] = {
		"s3://AKIA:hush@backups/x",
		"s3://hush@backups",
		"s3://AKIA:hush/es@backups",
		"s3://backups?access_key=hush",
		"s3://backups?AWS_SECRET_ACCESS_KEY=hush",
		"s3://backups?secret-key=hush",
		"s3://backups?sessionToken=hush",
		"s3://backups?X-Amz-Signature=hush",
		"s3://backups?X-Amz-Credential=hush",
		"s3://backups?password=hush",
		"s3://backups?key=hush",
		"s3://backups?user=hush",
		"s3://backups?endpoint=http://AKIA:hush@host",
		"s3://backups?endpoint=hush@host",
		"s3://backups?endpoint=http%3a//AKIA%3ahush%40host",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		bad(urls[i], "no credentials");
		ck_assert_ptr_null(strstr(e.text, "hush"));
		ck_assert_ptr_null(strstr(e.hint, "hush"));
	}
	bad("s3://backups?endpoint=http://host/?sig=hush", "more than a host");
	ck_assert_ptr_null(strstr(e.text, "hush"));
	bad("s3://backups?credentials=AKIA:hush", "absolute path");
	ck_assert_ptr_null(strstr(e.text, "hush"));
	bad("s3://backups?AKIAIOSFODNN7EXAMPLE:hush", "no parameter of");
	ck_assert_ptr_null(strstr(e.text, "hush"));
}
END_TEST

/* --- Buckets and prefixes ---------------------------------------------- */

#define SIXTY "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"

START_TEST(buckets_obey_amazon_s_rules)
{
	good("s3://abc");
	good("s3://" SIXTY "abc");
	good("s3://1a-2");
	bad("s3://", "no bucket");
	bad("s3:///prefix", "no bucket");
	bad("s3://?region=a", "no bucket");
	bad("s3://ab", "shorter");
	bad("s3://" SIXTY "abcd", "longer than 63");
	bad("s3://-abc", "begin and end");
	bad("s3://abc-", "begin and end");
	bad("s3://abc.", "begin and end");
	bad("s3://a..b", "two dots");
	bad("s3://192.168.5.4", "IP address");
	bad("s3://a%62c", "holds more");
	bad("s3://b\xc3\xa9z", "holds more");
	bad("s3://Abc", "holds more");
	ck_assert_ptr_nonnull(strstr(e.hint, "style=path"));
	bad("s3://a_bc", "holds more");
	bad("s3://backups:9000/x", "no port");
	ck_assert_ptr_nonnull(strstr(e.hint, "endpoint="));
}
END_TEST

START_TEST(other_servers_have_more_names_by_path)
{
	good("s3://My_Bucket?style=path");
	ck_assert(p.path_style);
	expect_host("s3.us-east-1.amazonaws.com");
	expect_path("a", "/My_Bucket/a");
	good("s3://My_Bucket?endpoint=http://host");
	expect_path(NULL, "/My_Bucket");
	bad("s3://My_Bucket?endpoint=http://host&style=virtual", "holds more");
	bad("s3://_bucket?style=path", "begin and end");
	bad("s3://a..b?style=path", "two dots");
	bad("s3://a+b?style=path", "holds more");
	bad("s3://10.0.0.1?style=path", "IP address");
}
END_TEST

START_TEST(a_bucket_with_dots_is_asked_for_by_path_over_tls)
{
	good("s3://a.b.c");
	ck_assert(p.path_style);
	expect_host("s3.us-east-1.amazonaws.com");
	expect_path("x", "/a.b.c/x");
	good("s3://a.b?endpoint=https://host&style=virtual");
	ck_assert(p.path_style);
	good("s3://a.b?endpoint=http://host&style=virtual");
	ck_assert(!p.path_style);
	expect_host("a.b.host");
	expect_path("x", "/x");
	expect_path(NULL, "/");
	good("s3://a.-b");
	bad("s3://a.-b?endpoint=http://host&style=virtual", "a dot is beside");
	bad("s3://a-.b?endpoint=http://host&style=virtual", "a dot is beside");
}
END_TEST

START_TEST(prefixes_are_made_of_components)
{
	char url[600] = "s3://abc/";
	size_t n = strlen(url);

	good("s3://abc/");
	ck_assert_str_eq(p.prefix, "");
	good("s3://abc/a/b");
	ck_assert_str_eq(p.prefix, "a/b/");
	good("s3://abc/a/b/");
	ck_assert_str_eq(p.prefix, "a/b/");
	good("s3://abc/.a/..b/...");
	ck_assert_str_eq(p.prefix, ".a/..b/.../");
	good("s3://abc/100%25+%3f%23\xc3\xa9");
	ck_assert_str_eq(p.prefix, "100%+?#\xc3\xa9/");
	expect_path("a", "/100%25%2B%3F%23%C3%A9/a");
	bad("s3://abc//", "component");
	bad("s3://abc//a", "component");
	bad("s3://abc/a//b", "component");
	bad("s3://abc/a//", "component");
	bad("s3://abc/.", "component");
	bad("s3://abc/a/../b", "component");
	bad("s3://abc/a%2f%2e%2e/b", "component");
	bad("s3://abc/a%2f/b", "component");
	bad("s3://abc/a%0ab", "control bytes");
	bad("s3://abc/a\x7f", "control bytes");
	bad("s3://abc/%e9", "UTF-8");
	bad("s3://abc/%", "begins no code");
	bad("s3://abc/%2?region=a", "begins no code");
	/* 510 bytes and a slash are what there is room for. */
	memset(url + n, 'p', 510);
	good(url);
	ck_assert_uint_eq(strlen(p.prefix), 511);
	url[n + 510] = 'p';
	bad(url, "longer than 510");
	url[n + 510] = '/';
	good(url);
	ck_assert_uint_eq(strlen(p.prefix), 511);
	url[n + 511] = '/';
	bad(url, "longer than 511");
}
END_TEST

/* --- Endpoints ----------------------------------------------------------- */

static void endpoint(const char *text, bool tls, const char *host)
{
	char url[1000];

	(void)snprintf(url, sizeof(url), "s3://abc?endpoint=%s", text);
	good(url);
	ck_assert_str_eq(p.host, host);
	ck_assert(p.tls == tls && p.path_style);
}

START_TEST(endpoints_are_hosts_with_ports)
{
	endpoint("http://minio", false, "minio");
	endpoint("HTTPS://MinIO.Example.COM/", true, "minio.example.com");
	endpoint("http://a_b:9000", false, "a_b:9000");
	endpoint("http://10.1.2.3:65535", false, "10.1.2.3:65535");
	/* The scheme's own port is not sent, so it is not signed. */
	endpoint("http://host:80", false, "host");
	endpoint("http://host:443", false, "host:443");
	endpoint("https://host:443/", true, "host");
	endpoint("https://host:80", true, "host:80");
	endpoint("http://[::1]", false, "[::1]");
	endpoint("http://[::1]:9000", false, "[::1]:9000");
	endpoint("https://[2001:DB8:0:0::A]:443", true, "[2001:db8::a]");
	endpoint("http://h" SIXTY ".example", false, "h" SIXTY ".example");
}
END_TEST

START_TEST(what_is_no_endpoint_is_refused)
{
	static const char *const endpoints[] = {
		"host:9000",
		"ftp://host",
		"http:host",
		"http://",
		"http:///",
		"http://:9000",
		"http://host/path",
		"http://host//",
		"http://host?a",
		"http://host%23a",
		"http://host:",
		"http://host:0",
		"http://host:65536",
		"http://host:+1",
		"http://host:1x",
		"http://host:00000080801",
		"http://a..b",
		"http://.a",
		"http://a.",
		"http://-a",
		"http://a-",
		"http://a b",
		"http://a%25b",
		"http://b\xc3\xa9z",
		"http://127.1",
		"http://1",
		"http://0x7f.1",
		"http://0x7f000001",
		"http://1.2.3.256",
		"http://01.2.3.4",
		"http://host.1",
		"http://[::1",
		"http://[]",
		"http://[::1]x",
		"http://[::1]9000",
		"http://[::1%25eth0]",
		"http://[1.2.3.4]",
		"http://[g::]",
		"http://::1",
		"http://[::1]:",
		"http://a,b",
		"http://a\\b",
		"http://h" SIXTY "abc.example",
	};

	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		char url[1000];

		(void)snprintf(url, sizeof(url), "s3://abc?endpoint=%s",
			       endpoints[i]);
		bad(url, "endpoint");
	}
}
END_TEST

START_TEST(a_bucket_is_no_part_of_an_address)
{
	bad("s3://abc?endpoint=http://10.0.0.1&style=virtual", "an address");
	bad("s3://abc?endpoint=http://10.0.0.1:90&style=virtual", "an address");
	bad("s3://abc?endpoint=http://[::1]&style=virtual", "an address");
	good("s3://abc?endpoint=http://host:90&style=virtual");
	expect_host("abc.host:90");
}
END_TEST

/* --- The environment ------------------------------------------------------ */

START_TEST(the_environment_fills_in_what_the_url_leaves_out)
{
	const struct s3_defaults d = {
		.endpoint = "https://env.example",
		.region = "eu-central-1",
		.profile = "env",
		.ca = "env.pem",
	};
	const struct s3_defaults empty = { "", "", "", "" };

	ck_ok(s3_place_parse("s3://abc", &d, &p, &e));
	ck_assert_str_eq(p.host, "env.example");
	ck_assert_str_eq(p.region, "eu-central-1");
	ck_assert_str_eq(p.profile, "env");
	ck_assert_str_eq(p.ca, "env.pem");
	ck_assert(p.path_style && !p.profile_named);
	ck_ok(s3_place_parse("s3://abc?endpoint=http://url&region=url&"
			     "profile=url&ca=/url",
			     &d, &p, &e));
	ck_assert_str_eq(p.host, "url");
	ck_assert_str_eq(p.region, "url");
	ck_assert_str_eq(p.profile, "url");
	ck_assert_str_eq(p.ca, "/url");
	ck_assert(p.profile_named);
	ck_ok(s3_place_parse("s3://abc", &empty, &p, &e));
	ck_assert_str_eq(p.host, "s3.us-east-1.amazonaws.com");
	ck_assert(!p.path_style);
}
END_TEST

START_TEST(an_environment_that_makes_no_sense_is_refused)
{
	char large[600];
	struct s3_defaults d[] = {
		{ .region = "a/b" },
		{ .region = "a\n" },
		{ .endpoint = "http://AKIA:hush@host" },
		{ .endpoint = "host" },
		{ .profile = "\xff" },
		{ .profile = large },
		{ .ca = large },
	};

	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	for (size_t i = 0; i < sizeof(d) / sizeof(d[0]); i++) {
		ck_assert_int_eq(s3_place_parse("s3://abc", &d[i], &p, &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_ptr_null(strstr(e.text, "hush"));
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_bucket_alone_is_amazon_s);
	tcase_add_test(tc, every_parameter_is_taken);
	tcase_add_test(tc, values_that_make_no_sense_are_refused);
	tcase_add_test(tc, a_slip_of_a_parameter_is_named);
	tcase_add_test(tc, credentials_are_refused_and_not_repeated);
	tcase_add_test(tc, buckets_obey_amazon_s_rules);
	tcase_add_test(tc, other_servers_have_more_names_by_path);
	tcase_add_test(tc, a_bucket_with_dots_is_asked_for_by_path_over_tls);
	tcase_add_test(tc, prefixes_are_made_of_components);
	tcase_add_test(tc, endpoints_are_hosts_with_ports);
	tcase_add_test(tc, what_is_no_endpoint_is_refused);
	tcase_add_test(tc, a_bucket_is_no_part_of_an_address);
	tcase_add_test(tc, the_environment_fills_in_what_the_url_leaves_out);
	tcase_add_test(tc, an_environment_that_makes_no_sense_is_refused);
}

CHECK_MAIN("storage/s3_place", cases)
