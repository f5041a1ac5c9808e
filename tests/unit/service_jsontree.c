/* What a text that gives no tree is said to be. */
#include "service/jsontree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check_main.h"

static struct err e;
static int left; /* allocations that jansson still gets; below 0: all */

static void *scarce(size_t n)
{
	if (left == 0) {
		errno = ENOMEM;
		return NULL;
	}
	left -= left > 0;
	return malloc(n);
}

static int load(const char *text, json_t **ret)
{
	json_error_t why;

	return jsontree_load(text, strlen(text), 0, ret, &why, &e);
}

#define SOUND                                                           \
	"{\"a\": [1, 2.5, \"a text that is longer than some\", null], " \
	"\"b\": {\"c\": \"\\u00e4\\n\", \"d\": [[], {}, true]}}"

/* Wherever it runs out. */
START_TEST(a_sound_text_is_never_none)
{
	json_t *v = NULL;
	int got = -1;
	int n = 0;

	for (; got < 0; n++) {
		err_clear(&e);
		left = n;
		errno = EAGAIN;
		got = load(SOUND, &v);
		left = -1;
		ck_assert_int_eq(errno, EAGAIN);
		ck_assert_int_eq(got < 0, e.code == ERR_NO_MEMORY);
		ck_assert_int_eq(got < 0, !v);
	}
	ck_assert_int_eq(got, 1);
	ck_assert_int_gt(n, 10);
	json_decref(v);
}
END_TEST

START_TEST(no_json_is_told_apart)
{
	static const char *const texts[] = { "", "{", "[1,]", "{\"a\": x}" };
	json_t *v;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		errno = ENOMEM; /* of something else */
		ck_assert_int_eq(load(texts[i], &v), 0);
		ck_assert_ptr_null(v);
	}
}
END_TEST

START_TEST(writing_needs_memory_too)
{
	json_t *v = NULL;
	char *text;

	ck_assert_int_eq(load(SOUND, &v), 1);
	left = 0;
	ck_assert_int_eq(jsontree_text(v, &text, &e), -1);
	left = -1;
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
	ck_assert_int_eq(jsontree_text(v, &text, &e), 0);
	free(text);
	json_decref(v);
}
END_TEST

static void set_up(void)
{
	left = -1;
	err_clear(&e);
	json_set_alloc_funcs(scarce, free);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, a_sound_text_is_never_none);
	tcase_add_test(tc, no_json_is_told_apart);
	tcase_add_test(tc, writing_needs_memory_too);
}

CHECK_MAIN("service/jsontree", cases)
