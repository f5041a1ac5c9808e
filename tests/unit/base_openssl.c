/* OpenSSL, which is loaded when it is first needed. */
#include "base/openssl.h"

#include <string.h>
#include <sys/resource.h>

#include "tests/support/check_main.h"

static rlim_t limit_files(rlim_t n)
{
	struct rlimit l;
	rlim_t before;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	before = l.rlim_cur;
	l.rlim_cur = n;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	return before;
}

/* Nobody has asked for it: no other test of this program runs before. */
START_TEST(it_does_not_pay_for_little)
{
	rlim_t files;
	struct err e;

	for (int i = 0; i < 390; i++)
		ck_assert(!openssl_pays(10000));
	ck_assert(openssl_pays(1100000));
	/* That was not among what was done without it. */
	ck_assert(!openssl_pays(10000));
	ck_assert(openssl_pays(100000));
	ck_assert(openssl_pays(1));
	/* Where it could not come, the count begins anew. */
	files = limit_files(0);
	ck_assert_ptr_null(openssl_crypto(&e));
	(void)limit_files(files);
	ck_assert(!openssl_pays(1));
	/* Once it is there it is used. */
	ck_assert_ptr_nonnull(openssl_crypto(&e));
	ck_assert(openssl_pays(1));
}
END_TEST

START_TEST(what_cannot_be_loaded_is_told_and_tried_again)
{
	const rlim_t files = limit_files(0);
	struct err e;

	ck_assert_ptr_null(openssl_tls(&e));
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_ptr_nonnull(strstr(e.text, "OpenSSL cannot be loaded: "
					     "libssl.so.3"));
	(void)limit_files(files);
	ck_assert_ptr_nonnull(openssl_tls(&e));
	ck_assert_ptr_eq(openssl_tls(&e), openssl_tls(&e));
}
END_TEST

/* The libcrypto that we have is the one that libssl has. */
START_TEST(both_are_of_one_piece)
{
	const struct openssl_crypto *crypto;
	const struct openssl_tls *tls;
	struct err e;
	int theirs;

	tls = openssl_tls(&e);
	ck_assert_ptr_nonnull(tls);
	crypto = openssl_crypto(&e);
	ck_assert_ptr_nonnull(crypto);
	ck_assert_ptr_eq(crypto, openssl_crypto(&e));
	theirs = tls->SSL_get_ex_data_X509_STORE_CTX_idx();
	ck_assert_int_ge(theirs, 0);
	ck_assert_int_gt(
		crypto->CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_X509_STORE_CTX,
						0, NULL, NULL, NULL, NULL),
		theirs);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, it_does_not_pay_for_little);
	tcase_add_test(tc, what_cannot_be_loaded_is_told_and_tried_again);
	tcase_add_test(tc, both_are_of_one_piece);
}

CHECK_MAIN("base/openssl", cases)
