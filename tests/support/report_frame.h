/* What an operation of the daemon replies, asked of a catalog. */
#ifndef TESTS_SUPPORT_REPORT_FRAME_H
#define TESTS_SUPPORT_REPORT_FRAME_H

#include <jansson.h>

#include "base/buf.h"
#include "base/json.h"
#include "service/args.h"
#include "service/operation.h"
#include "tests/support/catalog_frame.h"

/*
 * The JSON into out, which is begun here; told: names and values of parameters,
 * then NULL; one whose name is "" is left out.
 */
static inline enum operation_outcome report_reply(struct frame *f,
						  const char *verb,
						  int64_t now_s,
						  const char *const *told,
						  struct buf *out)
{
	CLEANUP(args_free) struct args *args = NULL;
	const struct operation *op = operation_named(verb);
	struct operation_call call = { .operation = op,
				       .catalog = f->c,
				       .now = { .sec = now_s } };
	struct json j;

	buf_init(out, (size_t)64 << 20);
	ck_assert_ptr_nonnull(op);
	ok(f, args_new(&args, op, &f->e));
	for (; *told; told += 2)
		if (**told)
			ok(f, args_add_str(args, told[0], told[1], &f->e));
	ok(f, args_finish(args, &f->e));
	call.args = args;
	call.reply = &j;
	json_init(&j, json_to_buf, out);
	ok(f, op->run(&call, &f->e));
	ok(f, json_finish(&j, &f->e));
	return call.outcome;
}

/* CSV has a column for each key of JSON, in its order. */
static inline void report_columns(const char *csv, const char *json)
{
	json_t *rows = json_loads(json, 0, NULL);
	const char *at = csv;
	const char *key;
	json_t *value;

	ck_assert_ptr_nonnull(rows);
	json_object_foreach(json_array_get(rows, 0), key, value)
	{
		const size_t n = strcspn(at, " ");

		ck_assert_msg(strlen(key) == n && strncmp(at, key, n) == 0,
			      "%s is not at \"%s\"", key, at);
		at += n + (at[n] == ' ');
	}
	if (json_array_size(rows))
		ck_assert_str_eq(at, "");
	json_decref(rows);
}

#endif
