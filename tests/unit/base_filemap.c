#include "base/filemap.h"

#include <errno.h>
#include <string.h>

#include "base/seam.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

START_TEST(finds_what_was_added)
{
	CLEANUP(filemap_free) struct filemap *m = NULL;
	struct err e;
	void *value;

	ck_ok(filemap_new(&m, NULL, 3, 4, &e));
	ck_assert_ptr_null(filemap_find(m, "abc"));
	ck_assert_int_eq(filemap_add(m, "abc", &value, &e), 1);
	ck_assert_mem_eq(value, "\0\0\0\0", 4);
	memcpy(value, "1234", 4);
	ck_assert_int_eq(filemap_add(m, "abc", &value, &e), 0);
	ck_assert_mem_eq(value, "1234", 4);
	ck_assert_int_eq(filemap_add(m, "abd", &value, &e), 1);
	ck_assert_mem_eq(value, "\0\0\0\0", 4);
	ck_assert_mem_eq(filemap_find(m, "abc"), "1234", 4);
	ck_assert_ptr_null(filemap_find(m, "abe"));
	/* The key of all zeros is a key like any other. */
	ck_assert_ptr_null(filemap_find(m, "\0\0\0"));
	ck_assert_int_eq(filemap_add(m, "\0\0\0", &value, &e), 1);
	ck_assert_ptr_nonnull(filemap_find(m, "\0\0\0"));
	ck_assert_uint_eq(filemap_count(m), 3);
}
END_TEST

START_TEST(takes_any_size)
{
	static const size_t sizes[] = { 1, 7, 8, 9, 32, 4096 };
	static uint8_t key[4096];
	struct err e;

	for (size_t k = 0; k < 6; k++) {
		for (size_t v = 0; v < 6; v++) {
			CLEANUP(filemap_free) struct filemap *m = NULL;
			void *value;

			ck_ok(filemap_new(&m, NULL, sizes[k], sizes[v], &e));
			for (int i = 0; i < 100; i++) {
				memset(key, i, sizeof(key));
				ck_assert_int_eq(
					filemap_add(m, key, &value, &e), 1);
				ck_assert_uint_eq((uintptr_t)value % 8, 0);
				memset(value, i, sizes[v]);
			}
			for (int i = 0; i < 100; i++) {
				memset(key, i, sizeof(key));
				value = filemap_find(m, key);
				ck_assert_mem_eq(value, key, sizes[v]);
			}
		}
	}
}
END_TEST

START_TEST(can_be_a_set)
{
	CLEANUP(filemap_free) struct filemap *m = NULL;
	struct err e;
	void *value;

	ck_ok(filemap_new(&m, NULL, 1, 0, &e));
	for (unsigned int i = 0; i < 256; i++) {
		const uint8_t key = (uint8_t)i;

		ck_assert_int_eq(filemap_add(m, &key, &value, &e), 1);
	}
	ck_assert_uint_eq(filemap_count(m), 256);
	ck_assert_ptr_nonnull(filemap_find(m, "\x80"));
}
END_TEST

START_TEST(walks_them_in_their_order)
{
	CLEANUP(filemap_free) struct filemap *m = NULL;
	uint64_t pos = 0;
	const void *key;
	void *value;
	uint32_t n = 0;
	struct err e;

	ck_ok(filemap_new(&m, NULL, 4, 4, &e));
	ck_assert_int_eq(filemap_next(m, &pos, &key, &value), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		ck_assert_int_eq(filemap_add(m, &i, &value, &e), 1);
		memcpy(value, &i, 4);
	}
	pos = 0;
	while (filemap_next(m, &pos, &key, &value)) {
		ck_assert_mem_eq(key, &n, 4);
		ck_assert_mem_eq(value, key, 4);
		n++;
	}
	ck_assert_uint_eq(n, 1000);
}
END_TEST

START_TEST(leaves_nothing_in_its_folder)
{
	CLEANUP(scratch_done) struct scratch s;
	struct filemap *m = NULL;
	struct err e;
	void *value;

	scratch_init(&s);
	ck_ok(filemap_new(&m, s.path, 4, 4000, &e));
	for (uint32_t i = 0; i < 100; i++)
		ck_assert_int_eq(filemap_add(m, &i, &value, &e), 1);
	ck_assert_uint_eq(scratch_count(&s), 0);
	filemap_free(m);
	filemap_free(NULL);
	m = NULL;
	ck_assert_int_eq(filemap_new(&m, "/no/such/folder", 4, 4, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_ptr_null(m);
}
END_TEST

static int fail_fallocate(void *arg, enum seam_call call, const char *path)
{
	const int *sys = arg;

	(void)path;
	return call == SEAM_TRUNCATE ? *sys : 0;
}

static void add(struct filemap *m, uint32_t i)
{
	struct err e;
	void *value;

	ck_assert_int_eq(filemap_add(m, &i, &value, &e), 1);
	ck_assert_mem_eq(value, "\0\0\0\0", 4);
	memcpy(value, &i, 4);
}

/* What is small is memory; entries and slots are enlarged at different times.
 */
START_TEST(a_full_disk_is_an_error_and_loses_nothing)
{
	static const uint32_t full[] = { 3072, 4096, 6144, 8192, 12288 };
	CLEANUP(filemap_free) struct filemap *m = NULL;
	int sys = ENOSPC;
	uint32_t i = 0;
	struct err e;
	void *value;

	ck_ok(filemap_new(&m, NULL, 4, 4, &e));
	add(m, i++);
	for (size_t k = 0; k < sizeof(full) / sizeof(full[0]); k++) {
		seam_set_hook(fail_fallocate, &sys);
		while (i < full[k])
			add(m, i++);
		ck_assert_int_eq(filemap_add(m, &i, &value, &e), -1);
		seam_set_hook(NULL, NULL);
		ck_assert_int_eq(e.code, ERR_FULL);
		ck_assert_uint_eq(filemap_count(m), i);
		ck_assert_ptr_null(filemap_find(m, &i));
		add(m, i++);
		for (uint32_t n = 0; n < i; n++)
			ck_assert_mem_eq(filemap_find(m, &n), &n, 4);
	}
}
END_TEST

START_TEST(little_needs_no_file)
{
	CLEANUP(filemap_free) struct filemap *m = NULL;
	int sys = ENOSPC;
	struct err e;

	seam_set_hook(fail_fallocate, &sys);
	ck_ok(filemap_new(&m, NULL, 4, 4, &e));
	for (uint32_t i = 0; i < 3000; i++)
		add(m, i);
	seam_set_hook(NULL, NULL);
}
END_TEST

START_TEST(works_where_nothing_can_be_preallocated)
{
	CLEANUP(filemap_free) struct filemap *m = NULL;
	int sys = EOPNOTSUPP;
	struct err e;
	void *value;

	seam_set_hook(fail_fallocate, &sys);
	ck_ok(filemap_new(&m, NULL, 4, 4000, &e));
	for (uint32_t i = 0; i < 500; i++)
		ck_assert_int_eq(filemap_add(m, &i, &value, &e), 1);
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(filemap_count(m), 500);
}
END_TEST

/* Nothing can be preallocated, and this call fails. */
static int fail_one_kind(void *arg, enum seam_call call, const char *path)
{
	const enum seam_call *kind = arg;

	(void)path;
	if (call == SEAM_TRUNCATE)
		return EOPNOTSUPP;
	return call == *kind ? ENOSPC : 0;
}

START_TEST(what_cannot_be_filled_or_made_is_an_error)
{
	enum seam_call kinds[] = { SEAM_WRITE, SEAM_OPEN_WRITE };
	CLEANUP(scratch_done) struct scratch s;

	scratch_init(&s);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		CLEANUP(filemap_free) struct filemap *m = NULL;
		struct err e;
		void *value;
		uint32_t i = 0;
		int did;

		ck_ok(filemap_new(&m, s.path, 4, 4000, &e));
		seam_set_hook(fail_one_kind, &kinds[k]);
		do
			did = filemap_add(m, &i, &value, &e);
		while (did == 1 && ++i < 500);
		seam_set_hook(NULL, NULL);
		ck_assert_int_eq(did, -1);
		ck_assert_int_eq(e.code, ERR_FULL);
		ck_assert_uint_eq(filemap_count(m), i);
		ck_assert_uint_eq(scratch_count(&s), 0);
	}
}
END_TEST

static int fill(void *arg, struct err *e)
{
	CLEANUP(filemap_free) struct filemap *m = NULL;
	void *value;

	if (filemap_new(&m, arg, 4, 4, e))
		return -1;
	for (uint32_t i = 0; i < 200; i++)
		if (filemap_add(m, &i, &value, e) < 0)
			return -1;
	return 0;
}

START_TEST(survives_the_lack_of_memory)
{
	char folder[] = "/tmp";

	ck_assert_uint_eq(alloc_fail_each(fill, folder), 8);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, finds_what_was_added);
	tcase_add_test(tc, takes_any_size);
	tcase_add_test(tc, can_be_a_set);
	tcase_add_test(tc, walks_them_in_their_order);
	tcase_add_test(tc, leaves_nothing_in_its_folder);
	tcase_add_test(tc, a_full_disk_is_an_error_and_loses_nothing);
	tcase_add_test(tc, little_needs_no_file);
	tcase_add_test(tc, works_where_nothing_can_be_preallocated);
	tcase_add_test(tc, what_cannot_be_filled_or_made_is_an_error);
	tcase_add_test(tc, survives_the_lack_of_memory);
}

CHECK_MAIN("base/filemap", cases)
