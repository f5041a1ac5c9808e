/*
 * Two JSON objects, a line with "=" between them: one spelling of each, and
 * what differs.
 */
#include <jansson.h>
#include <stdbool.h>

#include "service/catalog_difference.h"
#include "tests/support/fuzz.h"

static char *canonical(const char *text)
{
	char *one = NULL;
	char *two = NULL;
	json_t *a;
	json_t *b;
	struct err e;

	if (catalog_difference_canonical(text, "it", &one, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_USAGE);
		return NULL;
	}
	FUZZ_PROMISE(catalog_difference_canonical(one, "it", &two, &e) == 0);
	FUZZ_PROMISE(strcmp(one, two) == 0);
	a = json_loads(text, 0, NULL);
	b = json_loads(one, 0, NULL);
	FUZZ_PROMISE(a && json_equal(a, b));
	json_decref(a);
	json_decref(b);
	free(two);
	return one;
}

static void compare(const char *a, const char *b)
{
	const bool same = strcmp(a, b) == 0;
	char *diff = NULL;
	json_t *list;
	struct err e;

	FUZZ_PROMISE(catalog_difference(a, b, &diff, &e) == 0);
	list = json_loads(diff, 0, NULL);
	FUZZ_PROMISE(json_is_array(list));
	FUZZ_PROMISE((json_array_size(list) == 0) == same);
	json_decref(list);
	free(diff);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	char *other = strstr(text, "\n=\n");
	char *a;
	char *b;

	if (other) {
		*other = '\0';
		other += 3;
	}
	a = canonical(text);
	b = other ? canonical(other) : NULL;
	if (a && b) {
		compare(a, b);
		compare(a, a);
	}
	free(a);
	free(b);
	free(text);
	return 0;
}
