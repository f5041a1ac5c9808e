/* Credentials files: storage/stores/s3_credentials_file.c. */
#include "storage/stores/s3_credentials_internal.h"
#include "tests/support/s3_credentials_frame.h"

/* ---- Files -------------------------------------------------------------- */

START_TEST(own_file_is_its_owners)
{
	own_file("[x]\n" KEYS("OWN"));
	gives("OWN"); /* the only section there is */
	write_file("own", "[x]\n" KEYS("OWN"), 0640);
	fails_saying(ERR_DENIED, "others may read it (mode 0640)");
	ck_assert_ptr_nonnull(strstr(e.hint, "chmod 600"));
	write_file("own", "[x]\n" KEYS("OWN") "[y]\n" KEYS("Y"), 0600);
	fails_saying(ERR_USAGE, "several sections");
	(void)snprintf(place.profile, sizeof(place.profile), "y");
	start();
	gives("Y");
	write_file("own", "", 0600);
	fails_saying(ERR_USAGE, "there are no keys of a profile");
	place.profile[0] = '\0';
	fails_saying(ERR_USAGE, "there are no keys in it");
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	char *large = malloc(S3_CREDENTIALS_FILE_MAX + 2);

	ck_assert_ptr_nonnull(large);
	memset(large, '\n', S3_CREDENTIALS_FILE_MAX + 1);
	large[S3_CREDENTIALS_FILE_MAX + 1] = '\0';
	own_file(large);
	free(large);
	fails_saying(ERR_USAGE, "bytes or larger");
	ck_assert_int_eq(unlink(in_dir("own")), 0);
	ck_assert_int_eq(mkfifo(in_dir("own"), 0600), 0);
	fails_saying(ERR_USAGE, "no regular file");
	ck_assert_int_eq(unlink(in_dir("own")), 0);
	ck_assert_int_eq(mkdir(in_dir("own"), 0700), 0);
	fails_saying(ERR_USAGE, "no regular file");
}
END_TEST

START_TEST(shared_file_has_its_places)
{
	write_file("elsewhere", "[default]\n" KEYS("ELSE"), 0600);
	shared_file("[default]\n" KEYS("SHARED"));
	set("AWS_SHARED_CREDENTIALS_FILE", in_dir("elsewhere"));
	gives("ELSE");
	set("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
	start();
	gives("SHARED");
	/* Users of the system have none, and no home either. */
	set("AWS_SHARED_CREDENTIALS_FILE", NULL);
	set("HOME", "/dev/null");
	fails_saying(ERR_DENIED, "there are no credentials");
	/* As Kubernetes mounts it. */
	ck_assert_int_eq(symlink("elsewhere", in_dir("link")), 0);
	set("AWS_SHARED_CREDENTIALS_FILE", in_dir("link"));
	start();
	gives("ELSE");
}
END_TEST

/* "ID SECRET TOKEN", "none", or what is said of the failure. */
static const char *parsed(const char *text, const char *profile)
{
	static char out[9000];
	struct s3_keys *k = s3_keys_new();
	char section[128] = "";
	int r;

	ck_assert_ptr_nonnull(k);
	r = s3_credentials_parse(text, strlen(text), profile, k, section, &e);
	if (r > 0)
		(void)snprintf(out, sizeof(out), "%s %s %s", k->id, k->secret,
			       k->token);
	else
		(void)snprintf(out, sizeof(out), "%s", r ? e.text : "none");
	ck_assert_msg(r > 0 || !strstr(out, "hush"), "%s", out);
	ck_assert(r >= 0 || e.code == ERR_USAGE);
	s3_keys_free(k);
	return out;
}

static const struct {
	const char *text;
	const char *result;
} files[] = {
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=b/+=\n",
	  "A b/+= " },
	/* Case, blanks, CRLF, no last newline, the other delimiter. */
	{ "\xef\xbb\xbf[ default ]\r\n AWS_Access_Key_ID :  A \r\n"
	  "\tAWS_SECRET_ACCESS_KEY\t=\tB\r\naws_session_token=T",
	  "A B T" },
	{ "# c\n\n;c\n[default] # c\n  # c\naws_access_key_id = A # c\n"
	  "aws_secret_access_key = B#;b ;c\naws_session_token =\n",
	  "A B#;b " },
	/* Others' names for things. */
	{ "[profile default]\naws_access_key_id=A\naws_secret_access_key=B\n"
	  "aws_security_token=T\n",
	  "A B T" },
	{ "[profile \"default\"]\naws_access_key_id=A\n"
	  "aws_secret_access_key=B\n",
	  "A B " },
	{ "[Default]\naws_access_key_id=A\naws_secret_access_key=B\n", "none" },
	/* Twice: one, and what comes later counts. */
	{ "[default]\naws_access_key_id=X\naws_secret_access_key=B\n[o]\n"
	  "aws_access_key_id=Y\n[default]\naws_access_key_id=A\n",
	  "A B " },
	/* Settings of settings. */
	{ "[default]\ns3 =\n  aws_access_key_id = X\n  nonsense\n"
	  "aws_access_key_id=A\naws_secret_access_key=B\n",
	  "A B " },
	{ "[default]\n  aws_access_key_id=A\n  aws_secret_access_key=B\n",
	  "A B " },
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=hush\n"
	  "  hush\n",
	  "line 4: a key must be on one line" },
	{ "", "none" },
	{ "[o]\naws_access_key_id=X\n", "none" },
	{ "[default]\nregion=x\n", "none" },
	{ "[default]\naws_access_key_id=A\n",
	  "line 2: there is no aws_secret_access_key with it" },
	{ "[default]\naws_secret_access_key=hush\n",
	  "line 2: there is no aws_access_key_id with it" },
	{ "[default]\naws_session_token=hush\n",
	  "line 2: there is no aws_access_key_id with it" },
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=\n",
	  "line 3: aws_secret_access_key is empty" },
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=hush hush\n",
	  "line 3: aws_secret_access_key holds what no key has (character 5)" },
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=hush\x01\n",
	  "line 3: aws_secret_access_key holds what no key has (character 5)" },
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=hush\xc3\xa4\n",
	  "line 3: aws_secret_access_key holds what no key has (character 5)" },
	/* What is broken anywhere. */
	{ "aws_secret_access_key=hush\n",
	  "line 1: a section (\"[default]\") must come first" },
	{ "[default]\n[o]\nhush\n", "line 3: is no section, and has no \"=\"" },
	{ "[default]\n=hush\n", "line 2: nothing is before the \"=\"" },
	{ "[default\n", "line 1: a section's name has no end (\"]\")" },
	{ "[default] x=hush\n", "line 1: something follows a section's name" },
	{ "[]\n", "line 1: a section's name is empty, or too long" },
	/* What stands for keys elsewhere. */
	{ "[default]\naws_access_key_id=A\naws_secret_access_key=hush\n"
	  "role_arn=r\n",
	  "line 4: a role (role_arn) is not taken on here" },
	{ "[default]\nweb_identity_token_file=f\n",
	  "line 2: an identity's token is not taken from here" },
	{ "[default]\nsso_session=s\n",
	  "line 2: single sign-on (sso_…) is not supported" },
	{ "[default]\ncredential_process=hush hush\n",
	  "line 2: programs (credential_process) are not run" },
	{ "[default]\nsource_profile=o\n",
	  "line 2: keys from another profile are not supported" },
	{ "[default]\ncredential_process=x\naws_access_key_id=A\n"
	  "aws_secret_access_key=B\n",
	  "A B " },
};

START_TEST(files_are_read_as_elsewhere)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		err_clear(&e);
		ck_assert_msg(strcmp(parsed(files[i].text, "default"),
				     files[i].result) == 0,
			      "file %zu: %s", i,
			      parsed(files[i].text, "default"));
		/* All that is not done here says what would help. */
		ck_assert(!strstr(files[i].result, " not ") || e.hint[0]);
	}
}
END_TEST

/* A key of the longest kind is taken, one that is longer is not. */
START_TEST(keys_have_their_room)
{
	char text[10000] = "[default]\naws_access_key_id=A\n"
			   "aws_secret_access_key=B\naws_session_token=";
	const size_t n = strlen(text);

	memset(text + n, 'T', 8191);
	ck_assert_str_ne(parsed(text, "default"), "none");
	ck_assert_int_eq(strncmp(parsed(text, "default"), "A B TTT", 7), 0);
	text[n + 8191] = 'T';
	ck_assert_str_eq(parsed(text, "default"),
			 "line 4: aws_session_token is longer than the 8191 "
			 "characters that it may have");
	text[n + 8191] = '\0';
	text[2] = '\0'; /* a zero amid a line */
	{
		struct s3_keys *k = s3_keys_new();
		char section[128];

		ck_assert_ptr_nonnull(k);
		ck_assert_int_eq(s3_credentials_parse(text, n + 10, "default",
						      k, section, &e),
				 -1);
		s3_keys_free(k);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, own_file_is_its_owners);
	tcase_add_test(tc, what_is_no_file_is_refused);
	tcase_add_test(tc, shared_file_has_its_places);
	tcase_add_test(tc, files_are_read_as_elsewhere);
	tcase_add_test(tc, keys_have_their_room);
}

CHECK_MAIN("storage/s3_credentials_file", cases)
