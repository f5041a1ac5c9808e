/*
 * A resource as the catalog stores it, which a repository's segments can bring
 * in: a line with its kind, then the spec.  What is taken is written and taken
 * again, and is its own form.
 */
#include "service/resource.h"
#include "tests/support/fuzz.h"

static void write_spec(const struct resource *r, struct buf *out)
{
	struct json j;
	struct err e;

	buf_init(out, 8 << 20);
	json_init(&j, json_to_buf, out);
	resource_write_spec(r, &j);
	FUZZ_PROMISE(json_finish(&j, &e) == 0);
}

static void write_again(const struct resource *r)
{
	CLEANUP(resource_free) struct resource *again = NULL;
	CLEANUP(buf_done) struct buf one;
	CLEANUP(buf_done) struct buf two;
	struct resource_form form = { .kind = resource_kind_name(r->kind),
				      .name = r->name };
	struct err e;

	write_spec(r, &one);
	form.spec_json = buf_str(&one);
	FUZZ_PROMISE(resource_from_form(&form, &again, &e) == 0);
	write_spec(again, &two);
	FUZZ_PROMISE(strcmp(buf_str(&one), buf_str(&two)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(resource_free) struct resource *r = NULL;
	char *text = fuzz_text(bytes, n);
	char *spec = strchr(text, '\n');
	struct resource_form form = { .kind = text, .name = "web" };
	struct err e;

	if (spec) {
		*spec++ = '\0';
		form.spec_json = spec;
		if (resource_from_form(&form, &r, &e) == 0)
			write_again(r);
		else
			FUZZ_PROMISE(e.code == ERR_CORRUPT ||
				     e.code == ERR_USAGE);
	}
	free(text);
	return 0;
}
