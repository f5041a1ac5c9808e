/* libcurl, which is loaded when it is first needed. */
#include <curl/curl.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/support/check_main.h"

/* Nobody has asked for it: no other test of this program runs before. */
START_TEST(what_cannot_be_loaded_is_told_and_tried_again)
{
	struct rlimit files;
	struct rlimit none;
	CURL *easy;

	/* As after a failure. */
	curl_easy_cleanup(NULL);
	curl_slist_free_all(NULL);
	ck_assert_int_eq(curl_multi_cleanup(NULL), CURLM_BAD_HANDLE);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = files;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_ne(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
	ck_assert_str_eq(curl_easy_strerror(CURLE_FAILED_INIT),
			 "libcurl.so.4 cannot be loaded");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
	ck_assert_ptr_nonnull(
		strstr(curl_easy_strerror(CURLE_COULDNT_CONNECT), "connect"));
	easy = curl_easy_init();
	ck_assert_ptr_nonnull(easy);
	curl_easy_cleanup(easy);
}
END_TEST

static char *private_of(CURL *easy)
{
	char *text = NULL;

	ck_assert_int_eq(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &text),
			 CURLE_OK);
	return text;
}

static size_t swallow(char *bytes, size_t size, size_t n, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * n;
}

/* Values of each type of option come through as they are. */
START_TEST(options_of_each_type_arrive)
{
	char text[] = "mine";
	CURL *easy;
	CURLM *multi;

	ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
	easy = curl_easy_init();
	multi = curl_multi_init();
	ck_assert(easy && multi);
	ck_assert_int_eq(curl_easy_setopt(easy, CURLOPT_PRIVATE, text),
			 CURLE_OK);
	ck_assert_ptr_eq(private_of(easy), text);
	/* A long: within its bounds, and not. */
	ck_assert_int_eq(curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 3L),
			 CURLE_OK);
	ck_assert_int_ne(curl_easy_setopt(easy, CURLOPT_MAXREDIRS, -2L),
			 CURLE_OK);
	ck_assert_int_eq(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow),
			 CURLE_OK);
	/* More than 32 bits, and less than nothing. */
	ck_assert_int_eq(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
					  (curl_off_t)1 << 40),
			 CURLE_OK);
	ck_assert_int_ne(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
					  -((curl_off_t)1 << 40)),
			 CURLE_OK);
	ck_assert_int_eq(
		curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 5L),
		CURLM_OK);
	ck_assert_int_eq(curl_multi_cleanup(multi), CURLM_OK);
	curl_easy_cleanup(easy);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_cannot_be_loaded_is_told_and_tried_again);
	tcase_add_test(tc, options_of_each_type_arrive);
}

CHECK_MAIN("base/late_curl", cases)
