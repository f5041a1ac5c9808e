/* Services that give an S3 store its keys: s3_credentials_service.c and

 * s3_credentials_reply.c.  They are played here; real conversations over HTTP
 * are storage_s3_identity.c's.
 */
#include "storage/stores/s3_credentials_internal.h"
#include "tests/support/s3_credentials_frame.h"

/* ---- Web identities ----------------------------------------------------- */

START_TEST(web_identity_is_asked_of_sts)
{
	struct s3_keys *k;

	web_identity();
	k = got("STS");
	ck_assert_str_eq(k->token, "hushtoken/STS");
	s3_keys_free(k);
	ck_assert_uint_eq(n_asked, 1);
	ck_assert_str_eq(asked[0].line,
			 "POST https://sts.us-east-1.amazonaws.com/");
	ck_assert_str_eq(asked[0].headers,
			 "Content-Type: application/x-www-form-urlencoded\n");
	ck_assert_str_eq(asked[0].body,
			 "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3A"
			 "iam%3A%3A123%3Arole%2Fbackup&RoleSessionName=snapctl&"
			 "Version=2011-06-15&WebIdentityToken="
			 "hush.web.identity.of.a.service.account");
	ck_assert(!asked[0].no_proxy);
	set("AWS_ROLE_SESSION_NAME", "me");
	set("AWS_DEFAULT_REGION", "cn-north-1");
	start();
	gives("STS");
	ck_assert_str_eq(asked[1].line,
			 "POST https://sts.cn-north-1.amazonaws.com.cn/");
	ck_assert_ptr_nonnull(strstr(asked[1].body, "RoleSessionName=me&"));
	set("AWS_REGION", "evil.example/");
	fails_saying(ERR_USAGE, "is no region");
	set("AWS_ENDPOINT_URL", "http://minio:9000");
	start();
	gives("STS");
	ck_assert_str_eq(asked[2].line, "POST http://minio:9000/");
	set("AWS_ENDPOINT_URL_STS", "https://hush@sts/");
	fails_saying(ERR_USAGE, "AWS_ENDPOINT_URL_STS names a user");
	set("AWS_ENDPOINT_URL_STS", "sts");
	fails_saying(ERR_USAGE, "AWS_ENDPOINT_URL_STS is no URL");
	set("AWS_ENDPOINT_URL_STS", "http://sts/\r\nX: y");
	fails_saying(ERR_USAGE, "a byte that no URL has");
}
END_TEST

START_TEST(token_files_hold_a_token)
{
	web_identity();
	write_file("jwt", "hush.a\nX-Header: b\n", 0644);
	fails_saying(ERR_USAGE, "holds more than a token (byte 7)");
	write_file("jwt", "\n", 0644);
	fails_saying(ERR_USAGE, "is empty");
	ck_assert_int_eq(unlink(in_dir("jwt")), 0);
	fails_saying(ERR_NOT_FOUND, "no such file");
	ck_assert_uint_eq(n_asked, 0);
}
END_TEST

static void sts_says(int status, const char *code, const char *message)
{
	char body[1024];

	(void)snprintf(body, sizeof(body),
		       "<ErrorResponse><Error><Type>Sender</Type><Code>%s"
		       "</Code><Message>%s</Message></Error></ErrorResponse>",
		       code, message);
	rule("POST", "/", status, body);
}

START_TEST(what_sts_refuses_is_told)
{
	web_identity();
	sts_says(403, "AccessDenied", "Not authorized");
	fails_saying(ERR_DENIED, "refuses: AccessDenied: Not authorized");
	ck_assert_ptr_nonnull(strstr(e.hint, "trust policy"));
	ck_assert_uint_eq(n_asked, 1);
	sts_says(400, "InvalidIdentityToken",
		 "bad: hush.web.identity.of.a.service.account");
	fails_saying(ERR_DENIED, "refuses (HTTP status 400)");
	/* Cut, as a long one is. */
	sts_says(400, "InvalidIdentityToken", "web.identity.of.a.serv");
	fails_saying(ERR_DENIED, "refuses (HTTP status 400)");
	sts_says(400, "IDPCommunicationError", "later");
	fails_saying(ERR_BUSY, "IDPCommunicationError");
	n_asked = 0;
	rule("POST", "/", 503, "");
	fails_saying(ERR_BUSY, "is busy (HTTP status 503)");
	ck_assert_uint_eq(n_asked, 2);
	rule("POST", "/", 0, "");
	fails_saying(ERR_BUSY, "cannot be reached: nobody listens");
	rule("POST", "/", 302, "hush");
	fails_saying(ERR_IO, "replies with HTTP status 302");
	rule("POST", "/", 200, "<a>hush");
	(void)fails(ERR_IO);
	sts_gives("ST S", "2026-03-01T13:00:00Z");
	(void)fails(ERR_IO);
	sts_gives("STS", "hush");
	(void)fails(ERR_IO);
}
END_TEST

/* ---- Containers --------------------------------------------------------- */

START_TEST(container_is_asked_with_its_token)
{
	struct s3_keys *k;

	container();
	k = got("CONTAINER");
	ck_assert_str_eq(k->token, "hushtoken/CONTAINER");
	s3_keys_free(k);
	ck_assert_str_eq(asked[0].line,
			 "GET http://169.254.170.23/v1/credentials");
	ck_assert_str_eq(asked[0].headers, "Authorization: hush-container\n");
	ck_assert(asked[0].no_proxy);
	ck_assert_int_eq(asked[0].connect_ms, 1000);
	/* The file goes first, and is read anew each time. */
	write_file("token", "hush-file", 0600);
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", in_dir("token"));
	start();
	gives("CONTAINER");
	ck_assert_str_eq(asked[1].headers, "Authorization: hush-file\n");
	write_file("token", "hush-newer\r\n", 0600);
	pass(56 * MINUTE_MS);
	gives("CONTAINER");
	ck_assert_str_eq(asked[2].headers, "Authorization: hush-newer\n");
	write_file("token", "hush\r\nX: y", 0600);
	fails_saying(ERR_USAGE, "holds more than a token");
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL);
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush\r\nX: y");
	fails_saying(ERR_USAGE, "no text for a header");
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL);
	set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/id");
	json_keys("http://169.254.170.2/v2/id", "ECS", "2026-03-01T14:00:00Z");
	start();
	gives("ECS");
	ck_assert_str_eq(asked[3].headers, "");
	set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ".evil.example/");
	fails_saying(ERR_USAGE, "does not begin with");
}
END_TEST

START_TEST(keys_go_in_the_clear_only_nearby)
{
	static const char *const near[] = {
		"localhost", "LOCALHOST",     "127.0.0.1",	"127.3.2.1",
		"[::1]",     "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"
	};
	static const char *const far[] = {
		"127.evil.example",
		"127.0.0.1.evil.example",
		"127.1",
		"localhost.evil",
		"169.254.169.254",
		"10.0.0.1",
		"[::2]",
		"127.0.0.",
		"127..0.0.1",
	};

	for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++)
		ck_assert_msg(s3_credentials_near(near[i], strlen(near[i])),
			      "%s", near[i]);
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		ck_assert_msg(!s3_credentials_near(far[i], strlen(far[i])),
			      "%s", far[i]);
	container();
	json_keys("/far", "FAR", "");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://agent.example/far");
	gives("FAR");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[::1]:8080/far");
	start();
	gives("FAR");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI",
	    "http://127.0.0.1@evil.example/far");
	fails_saying(ERR_USAGE, "names a user");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "file:///far");
	fails_saying(ERR_USAGE, "is no URL");
	ck_assert_uint_eq(n_asked, 2);
}
END_TEST

#define JSON_KEYS "\"AccessKeyId\":\"J\",\"SecretAccessKey\":\"hush/J\""

START_TEST(replies_are_judged)
{
	static const struct {
		const char *body;
		enum err_code code;
		const char *part;
	} bad[] = {
		{ "", ERR_IO, "is no JSON" },
		{ "hush", ERR_IO, "is no JSON" },
		{ "{" JSON_KEYS ",\"Token\":\"hush", ERR_IO, "is no JSON" },
		{ "[\"hush\"]", ERR_IO, "no JSON object" },
		{ "{" JSON_KEYS "," JSON_KEYS "}", ERR_IO, "is no JSON" },
		{ "{\"AccessKeyId\":\"J\"}", ERR_IO,
		  "no SecretAccessKey in it" },
		{ "{\"AccessKeyId\":\"J\",\"SecretAccessKey\":[\"hush\"]}",
		  ERR_IO, "no SecretAccessKey in it" },
		{ "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"hush\"}", ERR_IO,
		  "AccessKeyId is empty" },
		{ "{\"AccessKeyId\":\"J\",\"SecretAccessKey\":\"hush\\n\"}",
		  ERR_IO, "SecretAccessKey holds" },
		{ "{" JSON_KEYS ",\"Token\":\"hush\\r\\nX: y\"}", ERR_IO,
		  "Token holds" },
		{ "{" JSON_KEYS ",\"Expiration\":\"soon\"}", ERR_IO,
		  "is no time" },
		{ "{\"Code\":\"AssumeRoleUnauthorizedAccess\"," JSON_KEYS "}",
		  ERR_DENIED, "\"AssumeRoleUnauthorizedAccess\"" },
	};

	container();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n_rules = 0;
		rule("GET", "/v1/credentials", 200, bad[i].body);
		fails_saying(bad[i].code, bad[i].part);
	}
	rule("GET", "/v1/credentials", 403, "hush");
	fails_saying(ERR_DENIED, "refuses (HTTP status 403)");
	rule("GET", "/v1/credentials", 500, "hush");
	fails_saying(ERR_BUSY, "is busy (HTTP status 500)");
	/* Neither a token nor an end. */
	rule("GET", "/v1/credentials", 200,
	     "{" JSON_KEYS ",\"Expiration\":null}");
	start();
	n_asked = 0;
	gives("J");
	pass(INT64_C(100) * 24 * 60 * MINUTE_MS);
	gives("J");
	ck_assert_uint_eq(n_asked, 1);
}
END_TEST

/* ---- Instances ---------------------------------------------------------- */

START_TEST(instance_is_asked_with_a_session)
{
	instance();
	gives("INSTANCE");
	ck_assert_uint_eq(n_asked, 3);
	ck_assert_str_eq(asked[0].line, "PUT " METADATA "api/token");
	ck_assert_str_eq(asked[0].headers,
			 "X-aws-ec2-metadata-token-ttl-seconds: 21600\n");
	ck_assert_str_eq(asked[1].line, "GET " ROLES);
	ck_assert_str_eq(asked[1].headers,
			 "X-aws-ec2-metadata-token: hush-session\n");
	ck_assert_str_eq(asked[2].line, "GET " ROLES "backup-role");
	ck_assert_str_eq(asked[2].headers, asked[1].headers);
	for (int i = 0; i < 3; i++) {
		ck_assert(asked[i].no_proxy);
		ck_assert_int_eq(asked[i].connect_ms, 1000);
	}
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
	start();
	(void)fails(ERR_DENIED);
	ck_assert_str_eq(asked[3].line,
			 "PUT http://[fd00:ec2::254]/latest/api/token");
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254/");
	start();
	gives("INSTANCE");
}
END_TEST

START_TEST(machine_without_metadata_is_told)
{
	fails_saying(ERR_DENIED, "there are no credentials for S3: the "
				 "instance's metadata service (http://"
				 "169.254.169.254): cannot be reached");
	ck_assert_ptr_nonnull(strstr(e.hint, "AWS_ACCESS_KEY_ID"));
	/* Twice, each with its limits: told within three seconds. */
	ck_assert_uint_eq(n_asked, 2);
	ck_assert_int_le(asked[0].whole_ms + asked[1].whole_ms, 2800);
	ck_assert_int_gt(asked[0].whole_ms, 0);
	/* Somebody said that there is one. */
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
	fails_saying(ERR_BUSY, "cannot be reached");
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", NULL);
	rule("PUT", "token", 404, "");
	fails_saying(ERR_DENIED, "there are no credentials for S3");
	rule("PUT", "token", 403, "");
	fails_saying(ERR_DENIED, "is switched off");
	rule("PUT", "token", 500, "");
	fails_saying(ERR_BUSY, "is busy");
	rule("PUT", "token", 200, "hush\r\nX: y\x01");
	rule("GET", ROLES, 404, "");
	fails_saying(ERR_DENIED, "knows no role");
	rule("PUT", "token", 200, "hush x");
	fails_saying(ERR_IO, "gives no session token");
	rule("PUT", "token", 200, "hush");
	rule("GET", ROLES, 200, "../../user-data");
	fails_saying(ERR_IO, "no name of a role");
	rule("GET", ROLES, 200, "<html>");
	fails_saying(ERR_IO, "no name of a role");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, web_identity_is_asked_of_sts);
	tcase_add_test(tc, token_files_hold_a_token);
	tcase_add_test(tc, what_sts_refuses_is_told);
	tcase_add_test(tc, container_is_asked_with_its_token);
	tcase_add_test(tc, keys_go_in_the_clear_only_nearby);
	tcase_add_test(tc, replies_are_judged);
	tcase_add_test(tc, instance_is_asked_with_a_session);
	tcase_add_test(tc, machine_without_metadata_is_told);
}

CHECK_MAIN("storage/s3_credentials_service", cases)
