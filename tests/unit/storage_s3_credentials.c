/* Where an S3 store's keys come from: storage/stores/s3_credentials.h. */
#include "storage/stores/s3_credentials.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/s3_credentials_frame.h"

/* ---- Their order -------------------------------------------------------- */

START_TEST(first_that_is_there_is_asked)
{
	own_file("[default]\n" KEYS("OWN"));
	environment();
	web_identity();
	shared_file("[default]\n" KEYS("SHARED"));
	container();
	instance();
	gives("OWN");
	comes_from("the profile \"default\" of \"/");
	place.credentials[0] = '\0';
	start();
	comes_from("the environment"); /* before it was asked */
	gives("ENV");
	comes_from("the environment");
	set("AWS_ACCESS_KEY_ID", "");
	set("AWS_SECRET_ACCESS_KEY", NULL);
	ck_assert_uint_eq(n_asked, 0);
	start();
	gives("STS");
	comes_from("the role \"arn:aws:iam::123:role/backup\"");
	set("AWS_WEB_IDENTITY_TOKEN_FILE", NULL);
	start();
	gives("SHARED");
	shared_file("[default]\nregion = eu-west-1\n[other]\n" KEYS("OTHER"));
	ck_assert_uint_eq(n_asked, 1);
	start();
	gives("CONTAINER");
	comes_from("the container's credentials service");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL);
	start();
	gives("INSTANCE");
	comes_from("the role \"backup-role\" of this instance");
	set("AWS_EC2_METADATA_DISABLED", "True");
	n_asked = 0;
	fails_saying(ERR_DENIED, "there are no credentials");
	ck_assert_ptr_nonnull(strstr(e.hint, "credentials=FILE"));
	ck_assert_uint_eq(n_asked, 0);
}
END_TEST

/* Whoever breaks one is told; the next would be somebody else. */
START_TEST(broken_one_is_not_passed_over)
{
	instance();
	container();
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.org/");
	fails_saying(ERR_USAGE, "in the clear");
	shared_file("aws_access_key_id = hush\n");
	fails_saying(ERR_USAGE, "line 1:");
	web_identity();
	set("AWS_ROLE_ARN", NULL);
	fails_saying(ERR_USAGE, "AWS_ROLE_ARN is not");
	set("AWS_SECRET_ACCESS_KEY", "hush/ENV");
	fails_saying(ERR_USAGE, "AWS_ACCESS_KEY_ID is not");
	set("AWS_ACCESS_KEY_ID", "ENV\n");
	fails_saying(ERR_USAGE, "AWS_ACCESS_KEY_ID holds what no key has");
	environment();
	set("AWS_SESSION_TOKEN", "hush token");
	fails_saying(ERR_USAGE, "AWS_SESSION_TOKEN holds");
	(void)snprintf(place.credentials, sizeof(place.credentials), "%s",
		       in_dir("missing"));
	fails_saying(ERR_NOT_FOUND, "there is no such file");
	ck_assert_uint_eq(n_asked, 0);
}
END_TEST

START_TEST(named_profile_must_be_there)
{
	environment();
	instance();
	shared_file("[default]\n" KEYS("SHARED") "[a b]\n" KEYS("AB"));
	place.profile_named = true;
	(void)snprintf(place.profile, sizeof(place.profile), "a b");
	gives("AB");
	comes_from("the profile \"a b\"");
	(void)snprintf(place.profile, sizeof(place.profile), "c");
	fails_saying(ERR_USAGE, "there are no keys of a profile \"c\"");
	ck_assert_int_eq(unlink(in_dir(".aws/credentials")), 0);
	fails_saying(ERR_NOT_FOUND, "there is no such file");
	/* The environment's name for it comes after the environment's keys. */
	place.profile_named = false;
	start();
	gives("ENV");
	set("AWS_ACCESS_KEY_ID", NULL);
	set("AWS_SECRET_ACCESS_KEY", NULL);
	fails_saying(ERR_NOT_FOUND, "there is no such file");
	ck_assert_uint_eq(n_asked, 0);
}
END_TEST

/* The linker leads what is read of files through here. */
static size_t n_reads;
ssize_t __real_file_read(int fd, void *out, size_t n);
ssize_t __wrap_file_read(int fd, void *out, size_t n);
ssize_t __wrap_file_read(int fd, void *out, size_t n)
{
	n_reads++;
	return __real_file_read(fd, out, n);
}

/* ---- Files -------------------------------------------------------------- */

static int add_path(void *arg, const char *path, struct err *err)
{
	if (buf_add_str(arg, path + strlen(dir.path), err))
		return -1;
	return buf_add_byte(arg, ' ', err);
}

/* All that a process may want to read, for who confines it. */
START_TEST(files_are_named)
{
	CLEANUP(buf_done) struct buf paths;

	buf_init(&paths, 4096);
	ck_ok(s3_credentials_files(&place, add_path, &paths, &e));
	ck_assert_str_eq(buf_str(&paths), "/.aws/credentials ");
	own_file("");
	set("AWS_SHARED_CREDENTIALS_FILE", in_dir("shared"));
	set("AWS_WEB_IDENTITY_TOKEN_FILE", in_dir("jwt"));
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", in_dir("token"));
	buf_clear(&paths);
	ck_ok(s3_credentials_files(&place, add_path, &paths, &e));
	ck_assert_str_eq(buf_str(&paths), "/own /shared /jwt /token ");
}
END_TEST

/* ---- Files that change -------------------------------------------------- */

START_TEST(changed_file_is_read_again)
{
	struct s3_keys *k;

	own_file("[default]\n" KEYS("FIRST"));
	n_reads = 0;
	k = got("FIRST");
	gives("FIRST");
	ck_assert_uint_eq(n_reads, 1);
	ck_assert_int_eq(s3_credentials_refused(c, k), 0);
	write_file("own", "[default]\n" KEYS("SECOND"), 0600);
	/* The server refused what was replaced meanwhile. */
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	gives("SECOND");
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	s3_keys_free(k);
	/* Half of a file: it is being written, and the old ones are good. */
	write_file("own", "[default]\naws_access_", 0600);
	gives("SECOND");
	gives("SECOND");
	ck_assert_uint_eq(n_reads, 3);
	ck_assert_int_eq(unlink(in_dir("own")), 0);
	environment();
	gives("SECOND");
	own_file("[default]\n" KEYS("THIRD"));
	gives("THIRD");
	/* Till the server takes them no more. */
	write_file("own", "[default]\naws_access_", 0600);
	k = got("THIRD");
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	s3_keys_free(k);
	(void)fails(ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "line 2:"));
	own_file("[default]\n" KEYS("FOURTH"));
	gives("FOURTH");
}
END_TEST

START_TEST(environment_has_nothing_newer)
{
	struct s3_keys *k;

	environment();
	set("AWS_SESSION_TOKEN", "hushtoken/ENV");
	k = got("ENV");
	ck_assert_str_eq(k->token, "hushtoken/ENV");
	ck_assert_int_eq(s3_credentials_refused(c, k), 0);
	s3_keys_free(k);
	gives("ENV");
}
END_TEST

/* ---- What ends ---------------------------------------------------------- */

static void asked_times(size_t n)
{
	ck_assert_msg(n_asked == n, "%zu questions", n_asked);
}

START_TEST(keys_are_had_anew_before_they_end)
{
	web_identity();
	gives("STS"); /* good until 13:00 */
	pass(54 * MINUTE_MS);
	gives("STS");
	asked_times(1);
	sts_gives("NEWER", "2026-03-01T14:00:00+00:00");
	write_file("jwt", "hush.rotated", 0644);
	pass(MINUTE_MS);
	gives("NEWER");
	ck_assert_ptr_nonnull(strstr(asked[1].body, "Token=hush.rotated"));
	/* The wall clock jumps: nothing ended. */
	wall = instant_add_ms(wall, 3000 * MINUTE_MS);
	gives("NEWER");
	asked_times(2);
}
END_TEST

START_TEST(old_keys_serve_while_no_new_ones_come)
{
	web_identity();
	gives("STS");
	rule("POST", "/", 400, "hush");
	pass(55 * MINUTE_MS);
	gives("STS");
	asked_times(2);
	pass(29000);
	gives("STS");
	asked_times(2);
	pass(1000);
	gives("STS");
	asked_times(3);
	/* To their end, and then each question counts. */
	pass(5 * MINUTE_MS);
	(void)fails(ERR_IO);
	(void)fails(ERR_IO);
	asked_times(5);
	sts_gives("NEWER", "2026-03-01T14:00:00Z");
	gives("NEWER");
}
END_TEST

/* The service is who it was, also when others have come. */
START_TEST(source_stays_the_same)
{
	container();
	gives("CONTAINER");
	shared_file("[default]\n" KEYS("SHARED"));
	environment();
	instance();
	rule("GET", "/v1/credentials", 0, "");
	pass(56 * MINUTE_MS);
	gives("CONTAINER");
	pass(5 * MINUTE_MS);
	(void)fails(ERR_BUSY);
	json_keys("/v1/credentials", "AGAIN", "2026-03-01T14:30:00Z");
	gives("AGAIN");
}
END_TEST

START_TEST(instance_that_goes_is_busy)
{
	instance();
	gives("INSTANCE");
	rule("PUT", "token", 0, "");
	pass(61 * MINUTE_MS);
	(void)fails(ERR_BUSY);
}
END_TEST

/* This machine's clock may be wrong; the server knows. */
START_TEST(keys_that_have_ended_here_are_used)
{
	web_identity();
	sts_gives("OLD", "2026-03-01T11:00:00Z");
	gives("OLD");
	gives("OLD");
	asked_times(1);
	pass(30000);
	gives("OLD");
	asked_times(2);
}
END_TEST

START_TEST(refused_keys_are_had_anew_once)
{
	struct s3_keys *k;

	web_identity();
	k = got("STS");
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	gives("STS");
	asked_times(2);
	/* The same again: it is no use. */
	ck_assert_int_eq(s3_credentials_refused(c, k), 0);
	gives("STS");
	asked_times(2);
	pass(30000);
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	/* A second thread says the same of the same. */
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	sts_gives("NEWER", "2026-03-01T14:00:00Z");
	gives("NEWER");
	asked_times(3);
	/* And one that is late has new ones already. */
	ck_assert_int_eq(s3_credentials_refused(c, k), 1);
	gives("NEWER");
	asked_times(3);
	s3_keys_free(k);
}
END_TEST

/* ---- Memory ------------------------------------------------------------- */

static int tell(void *arg, struct err *err)
{
	struct s3_credentials *mine = NULL;
	struct s3_keys *k = NULL;
	int r;

	(void)arg;
	if (s3_credentials_new(&place, (struct s3_http *)(void *)&here, &mine,
			       err))
		return -1;
	r = s3_credentials_get(mine, &k, err);
	s3_keys_free(k);
	s3_credentials_free(mine);
	return r;
}

START_TEST(no_memory_is_told)
{
	own_file("[default]\n" KEYS("OWN"));
	ck_assert_uint_ge(alloc_fail_each(tell, NULL), 2);
}
END_TEST

/* ---- Threads ------------------------------------------------------------ */

static void ask_meanwhile(void)
{
	meanwhile = NULL;
	gives("STS");
	asked_times(2);
}

/* One renews; to the others nothing happens. */
START_TEST(others_go_on_meanwhile)
{
	web_identity();
	gives("STS");
	sts_gives("NEWER", "2026-03-01T14:00:00Z");
	pass(56 * MINUTE_MS);
	meanwhile = ask_meanwhile;
	gives("NEWER");
	ck_assert_ptr_null((void *)(uintptr_t)meanwhile);
	asked_times(2);
}
END_TEST

#define THREADS 6

static void *get_one(void *arg)
{
	struct s3_keys **k = arg;
	struct err mine;

	if (s3_credentials_get(c, k, &mine))
		*k = NULL;
	return NULL;
}

static void pause_a_while(void)
{
	const struct timespec t = { .tv_nsec = 20000000 };

	(void)nanosleep(&t, NULL);
}

/* However they come, one of them asks. */
START_TEST(one_thread_asks_for_all)
{
	pthread_t thread[THREADS];
	struct s3_keys *k[THREADS] = { NULL };

	web_identity();
	start();
	meanwhile = pause_a_while;
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, get_one, &k[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_ptr_nonnull(k[i]);
		ck_assert_str_eq(k[i]->id, "STS");
		s3_keys_free(k[i]);
	}
	asked_times(1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, first_that_is_there_is_asked);
	tcase_add_test(tc, broken_one_is_not_passed_over);
	tcase_add_test(tc, named_profile_must_be_there);
	tcase_add_test(tc, files_are_named);
	tcase_add_test(tc, changed_file_is_read_again);
	tcase_add_test(tc, environment_has_nothing_newer);
	tcase_add_test(tc, keys_are_had_anew_before_they_end);
	tcase_add_test(tc, old_keys_serve_while_no_new_ones_come);
	tcase_add_test(tc, source_stays_the_same);
	tcase_add_test(tc, instance_that_goes_is_busy);
	tcase_add_test(tc, keys_that_have_ended_here_are_used);
	tcase_add_test(tc, refused_keys_are_had_anew_once);
	tcase_add_test(tc, no_memory_is_told);
	tcase_add_test(tc, others_go_on_meanwhile);
	tcase_add_test(tc, one_thread_asks_for_all);
}

CHECK_MAIN("storage/s3_credentials", cases)
