/* The table of operations, and the values that are checked against it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "service/args.h"
#include "service/render.h"
#include "tests/support/check_main.h"

static struct err e;

/* A default must pass its own parameter's check. */
static void check_param(const struct operation *op,
			const struct operation_param *p)
{
	ck_assert_msg(p->help && *p->help, "%s %s: no help", op->verb, p->name);
	ck_assert_int_eq(p->type == PARAM_CHOICE, p->choices != NULL);
	ck_assert_msg(p->kind == PARAM_SWITCH || p->value || p->choices,
		      "%s %s: no name for its value", op->verb, p->name);
	ck_assert_msg(!p->required || !p->fallback, "%s %s: both", op->verb,
		      p->name);
	if (p->fallback) {
		struct args *a = NULL;

		ck_ok(args_new(&a, op, &e));
		ck_ok(args_add_str(a, p->name, p->fallback, &e));
		args_free(a);
	}
}

/* Every row is whole, and its view can be read. */
START_TEST(rows)
{
	const struct render_style style = { .form = RENDER_TEXT };
	const struct operation *op;
	const struct operation_param *p;

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		const unsigned int where = op->flags & (OPERATION_DIRECT |
							OPERATION_DAEMON);
		struct render *r = NULL;

		ck_assert_ptr_eq(operation_named(op->verb), op);
		ck_assert_ptr_nonnull(op->run);
		ck_assert_msg(where == OPERATION_DIRECT ||
				      where == OPERATION_DAEMON,
			      "%s runs nowhere, or twice", op->verb);
		ck_assert_msg(where == OPERATION_DIRECT || op->route,
			      "%s has no route", op->verb);
		ck_assert_int_eq(op->route != NULL, op->method != NULL);
		ck_assert_msg(!(op->flags & OPERATION_BYTES) || !op->route,
			      "%s cannot be served", op->verb);
		ck_assert_msg(islower((unsigned char)op->summary[0]), "%s: %s",
			      op->verb, op->summary);
		ck_ok(render_new(&r, stdout, op->view, &style, &e));
		render_free(r);
		for (size_t k = 0; (p = operation_param(op, k)); k++) {
			ck_assert_ptr_eq(operation_param_named(op, p->name), p);
			check_param(op, p);
			if (!p->view)
				continue;
			ck_assert_int_eq(p->csv != NULL, op->csv != NULL);
			ck_ok(render_new(&r, stdout, p->view, &style, &e));
			render_free(r);
		}
	}
}
END_TEST

/* No verb is the beginning of another, no two rows answer one request. */
START_TEST(unambiguous)
{
	const struct operation *a;
	const struct operation *b;

	for (size_t i = 0; (a = operation_nth(i)); i++)
		for (size_t k = 0; (b = operation_nth(k)); k++) {
			const size_t n = strlen(a->verb);

			if (i == k)
				continue;
			ck_assert_msg(strncmp(a->verb, b->verb, n) != 0 ||
					      b->verb[n] > ' ',
				      "%s and %s", a->verb, b->verb);
			ck_assert_msg(!a->route || !b->route ||
					      strcmp(a->method, b->method) ||
					      strcmp(a->route, b->route),
				      "%s and %s", a->verb, b->verb);
		}
}
END_TEST

static int keep_part(void *arg, const char *name, const char *text, size_t n,
		     struct err *why UNUSED)
{
	char **kept = (char **)arg;

	ck_assert_str_eq(name, "id");
	*kept = strndup(text, n);
	return 0;
}

START_TEST(routes)
{
	const struct operation *op = NULL;
	char *part = NULL;

	ck_assert_int_eq(operation_routed("GET", "/runs", &op, &e), 1);
	ck_assert_str_eq(op->verb, "run list");
	ck_assert_int_eq(operation_routed("GET", "/runs/12%2f", &op, &e), 1);
	ck_assert_str_eq(op->verb, "run show");
	ck_assert_int_eq(
		operation_match_route(op, "/runs/12%2f", keep_part, &part, &e),
		1);
	ck_assert_str_eq(part, "12%2f");
	free(part);
	ck_assert(operation_in_route(op, "id"));
	ck_assert(!operation_in_route(op, "i"));
	ck_assert_int_eq(operation_routed("PUT", "/runs", &op, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(operation_routed("GET", "/runs/", &op, &e), 0);
	ck_assert_int_eq(operation_routed("GET", "/runs/1/2", &op, &e), 0);
	ck_assert_int_eq(operation_routed("GET", "", &op, &e), 0);
}
END_TEST

static const struct operation_param params[] = {
	{ .name = "word",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "WORD",
	  .help = "x" },
	{ .name = "size",
	  .kind = PARAM_OPTION,
	  .type = PARAM_SIZE,
	  .value = "N",
	  .help = "x" },
	{ .name = "for",
	  .kind = PARAM_OPTION,
	  .type = PARAM_DURATION,
	  .fallback = "90s",
	  .value = "D",
	  .help = "x" },
	{ .name = "tag",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "T",
	  .help = "x" },
	{ .name = "dry", .kind = PARAM_SWITCH, .help = "x" },
	{ 0 }
};
static const struct operation sample = { .verb = "sample", .params = params };

START_TEST(values)
{
	struct args *a = NULL;

	ck_ok(args_new(&a, &sample, &e));
	ck_ok(args_add_str(a, "size", "64K", &e));
	ck_ok(args_add_str(a, "tag", "a", &e));
	ck_ok(args_add_str(a, "tag", "b", &e));
	ck_assert_int_eq(args_finish(a, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "WORD"));
	ck_ok(args_add_str(a, "word", "x", &e));
	ck_ok(args_add_str(a, "dry", "true", &e));
	ck_ok(args_finish(a, &e));
	ck_assert_uint_eq(args_size(a, "size"), 65536);
	ck_assert_int_eq(args_duration_ms(a, "for"), 90000);
	ck_assert(!args_given(a, "for"));
	ck_assert(args_given(a, "size"));
	ck_assert(args_switch(a, "dry"));
	ck_assert_uint_eq(args_count(a, "tag"), 2);
	ck_assert_str_eq(args_nth(a, "tag", 1), "b");
	ck_assert_ptr_null(args_nth(a, "tag", 2));
	args_free(a);
}
END_TEST

START_TEST(refused)
{
	static const struct {
		const char *name, *text, *told;
	} wrong[] = {
		{ "size", "64KB", "64K" },
		{ "size", "-1", "size" },
		{ "size", "", "size" },
		{ "size", "9223372036854775807K", "size" },
		{ "for", "1x", "--for" },
		{ "dry", "yes", "true" },
		{ "wrod", "x", "\"wrod\"" },
	};
	struct args *a = NULL;

	ck_ok(args_new(&a, &sample, &e));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(
			args_add_str(a, wrong[i].name, wrong[i].text, &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_msg(strstr(e.text, wrong[i].told) != NULL, "%s",
			      e.text);
	}
	ck_assert_str_eq(e.hint, "did you mean \"word\"?");
	ck_assert_int_eq(args_add(a, "word", "a\0b", 3, &e), -1);
	ck_ok(args_add_str(a, "word", "x", &e));
	ck_assert_int_eq(args_add_str(a, "word", "y", &e), -1);
	args_free(a);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, rows);
	tcase_add_test(tc, unambiguous);
	tcase_add_test(tc, routes);
	tcase_add_test(tc, values);
	tcase_add_test(tc, refused);
}
CHECK_MAIN("service/operation", cases)
