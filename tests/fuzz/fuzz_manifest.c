#include <string.h>

#include "service/resource.h"
#include "tests/support/fuzz.h"

static void write_form(const struct resource *r, struct buf *out)
{
	struct json j;
	struct err e;

	buf_init(out, 8 << 20);
	json_init(&j, json_to_buf, out);
	resource_write(r, &j);
	FUZZ_PROMISE(json_finish(&j, &e) == 0);
}

/* The canonical form of what was taken is taken, and is its own. */
static void check_form(const struct resource *r)
{
	struct resource_set *s;
	struct problem_list problems;
	struct buf first, again;
	struct err e;

	problem_init(&problems);
	write_form(r, &first);
	FUZZ_PROMISE(resource_set_new(&s, &e) == 0);
	FUZZ_PROMISE(resource_set_add(s, "f", buf_str(&first), first.len,
				      &problems, &e) == 0);
	FUZZ_PROMISE(problems.errors == 0 && resource_set_count(s) == 1);
	write_form(resource_set_get(s, 0), &again);
	FUZZ_PROMISE(strcmp(buf_str(&first), buf_str(&again)) == 0);
	resource_set_free(s);
	buf_done(&first);
	buf_done(&again);
	problem_done(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct problem_list problems;
	struct resource_set *s;
	struct err e;
	char *text = fuzz_text(bytes, n);

	problem_init(&problems);
	FUZZ_PROMISE(resource_set_new(&s, &e) == 0);
	FUZZ_PROMISE(resource_set_add(s, "f", text, n, &problems, &e) == 0);
	FUZZ_PROMISE(resource_set_check(s, NULL, &problems, &e) == 0);
	FUZZ_PROMISE(resource_set_count(s) > 0 || problems.errors > 0);
	for (size_t i = 0; i < resource_set_count(s); i++)
		check_form(resource_set_get(s, i));
	resource_set_free(s);
	problem_done(&problems);
	free(text);
	return 0;
}
