/* What a text that gives no tree is said to be. */
#include "service/jsontree.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

static struct err e;
static void release(json_t *v)
{
	json_decref(v);
}
DEFINE_CLEANUP(json_t *, release);

static int load(const char *text, json_t **ret)
{
	json_error_t why;

	return jsontree_load(text, strlen(text), 0, ret, &why, &e);
}

#define SOUND                                                           \
	"{\"a\": [1, 2.5, \"a text that is longer than some\", null], " \
	"\"b\": {\"c\": \"\\u00e4\\n\", \"d\": [[], {}, true]}, "       \
	"\"n\": 1234567890123456789, "                                  \
	"\"a name that takes more than the buffer has at first, and then\": 1}"

/* No assertion in it, which would allocate as well. */
static bool right; /* each time: there with all that it has, or not there */

static int load_sound(void *arg, struct err *why)
{
	CLEANUP(release) json_t *v = NULL;
	const int got = load(SOUND, &v);

	(void)arg;
	*why = e;
	right = right && got != 0 && (got > 0) == (v != NULL) &&
		(got < 0 || json_integer_value(json_object_get(v, "n")) ==
				    1234567890123456789);
	return got < 0 ? -1 : 0;
}

/* Wherever it runs out. */
START_TEST(a_sound_text_is_never_none)
{
	right = true;
	ck_assert_uint_gt(alloc_fail_each(load_sound, NULL), 10);
	ck_assert(right);
}
END_TEST

START_TEST(no_json_is_told_apart)
{
	static const char *const texts[] = { "", "{", "[1,]", "{\"a\": x}" };
	json_t *v;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		ck_assert_int_eq(load(texts[i], &v), 0);
		ck_assert_ptr_null(v);
	}
}
END_TEST

static size_t whole; /* so many bytes it is */

static int write_it(void *arg, struct err *why)
{
	char *text = jsontree_dump(arg, JSON_COMPACT | JSON_SORT_KEYS);
	const int failed = text ? 0 : err_oom(why);

	right = right && (failed || strlen(text) == whole);
	free(text);
	return failed;
}

START_TEST(writing_needs_memory_too)
{
	CLEANUP(release) json_t *v = NULL;
	char *text = NULL;

	ck_assert_int_eq(load(SOUND, &v), 1);
	ck_assert_int_eq(jsontree_text(v, &text, &e), 0);
	whole = strlen(text);
	free(text);
	right = true;
	ck_assert_uint_gt(alloc_fail_each(write_it, v), 3);
	ck_assert(right);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_sound_text_is_never_none);
	tcase_add_test(tc, no_json_is_told_apart);
	tcase_add_test(tc, writing_needs_memory_too);
}

CHECK_MAIN("service/jsontree", cases)
