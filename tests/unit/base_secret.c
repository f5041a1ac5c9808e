#include "base/secret.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check_main.h"

START_TEST(starts_out_of_core_dumps)
{
	/* In a child: it cannot be undone. */
	const pid_t child = check_fork_child();
	int status;

	if (child == 0) {
		struct rlimit limit;
		struct err e;

		if (secret_start(&e) || secret_start(&e))
			_exit(1);
		if (prctl(PR_GET_DUMPABLE) != 0)
			_exit(2);
		if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_max != 0)
			_exit(3);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(gives_zeroed_memory)
{
	static const size_t sizes[] = { 1, 32, 4096, 70000 };

	for (size_t i = 0; i < 4; i++) {
		uint8_t *p = secret_new(sizes[i]);

		ck_assert_ptr_nonnull(p);
		for (size_t k = 0; k < sizes[i]; k++)
			ck_assert_uint_eq(p[k], 0);
		memset(p, 0xa5, sizes[i]);
		secret_free(p);
	}
	secret_free(NULL);
	ck_assert_ptr_null(secret_new(SIZE_MAX));
}
END_TEST

START_TEST(a_byte_too_far_is_the_end)
{
	const pid_t child = check_fork_child();
	int status;

	if (child == 0) {
		volatile uint8_t *p;

		if (!freopen("/dev/null", "we", stderr))
			_exit(0);
		p = secret_new(32);
		if (!p)
			_exit(0);
		p[32] = 1;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	/* By signal, or by the sanitizer that caught it. */
	ck_assert_int_ne(status, 0);
}
END_TEST

static void expect_random(void (*fill)(void *out, size_t n))
{
	static uint8_t bytes[100000];
	unsigned int counts[256] = { 0 };
	uint8_t guard[10];

	memset(guard, 7, sizeof(guard));
	fill(guard + 1, 0);
	ck_assert_uint_eq(guard[1], 7);
	fill(guard + 1, 8);
	ck_assert_uint_eq(guard[0], 7);
	ck_assert_uint_eq(guard[9], 7);

	fill(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		counts[bytes[i]]++;
	/* 390 expected, with a deviation of 20: eight of them either way. */
	for (size_t i = 0; i < 256; i++)
		ck_assert(counts[i] > 230 && counts[i] < 550);
	/* No two blocks of 16 alike. */
	for (size_t i = 0; i + 16 < 4096; i += 16)
		for (size_t k = i + 16; k + 16 < 4096; k += 16)
			ck_assert_mem_ne(bytes + i, bytes + k, 16);
}

START_TEST(draws_random_bytes)
{
	expect_random(secret_random);
	expect_random(secret_nonce);
}
END_TEST

START_TEST(parent_and_child_draw_different_ids)
{
	uint8_t own[16];
	uint8_t theirs[16];
	int ends[2];
	pid_t child;

	/* Seeded before the fork: both hold the same state. */
	secret_nonce(own, sizeof(own));
	ck_assert_int_eq(pipe(ends), 0);
	child = check_fork_child();
	if (child == 0) {
		secret_nonce(theirs, sizeof(theirs));
		_exit(write(ends[1], theirs, 16) == 16 ? 0 : 1);
	}
	secret_nonce(own, sizeof(own));
	ck_assert_int_eq(read(ends[0], theirs, 16), 16);
	ck_assert_mem_ne(own, theirs, 16);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	(void)close(ends[0]);
	(void)close(ends[1]);
}
END_TEST

static void *draw(void *arg)
{
	secret_nonce(arg, 16);
	return NULL;
}

START_TEST(threads_draw_different_ids)
{
	uint8_t ids[8][16];
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		ck_assert(!pthread_create(&threads[i], NULL, draw, ids[i]));
	for (int i = 0; i < 8; i++)
		ck_assert(!pthread_join(threads[i], NULL));
	for (int i = 0; i < 8; i++)
		for (int k = 0; k < i; k++)
			ck_assert_mem_ne(ids[i], ids[k], 16);
}
END_TEST

START_TEST(wipes)
{
	char text[] = "passphrase";

	secret_wipe(text, sizeof(text));
	for (size_t i = 0; i < sizeof(text); i++)
		ck_assert_int_eq(text[i], 0);
	secret_wipe(NULL, 0);
}
END_TEST

START_TEST(hashes_tables_with_siphash)
{
	/* The paper's example (SipHash, appendix A). */
	uint8_t key[16];
	uint8_t message[15];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	memcpy(message, key, sizeof(message));
	ck_assert_uint_eq(secret_table_hash(key, message, 15),
			  UINT64_C(0xa129ca6149be45e5));
	key[0] ^= 1;
	ck_assert_uint_ne(secret_table_hash(key, message, 15),
			  UINT64_C(0xa129ca6149be45e5));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, starts_out_of_core_dumps);
	tcase_add_test(tc, gives_zeroed_memory);
	tcase_add_test(tc, a_byte_too_far_is_the_end);
	tcase_add_test(tc, draws_random_bytes);
	tcase_add_test(tc, parent_and_child_draw_different_ids);
	tcase_add_test(tc, threads_draw_different_ids);
	tcase_add_test(tc, wipes);
	tcase_add_test(tc, hashes_tables_with_siphash);
}

CHECK_MAIN("base/secret", cases)
