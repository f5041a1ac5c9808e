/*
 * Two documents, a line with "=" between them: rules of retention and a list
 * of snapshots, through the whole operation that reads them.  Each snapshot is
 * either kept or deleted.
 */
#include <jansson.h>

#include "base/json.h"
#include "service/args.h"
#include "service/operation.h"
#include "tests/support/fuzz.h"

static size_t snapshots(const char *text, size_t n)
{
	json_t *list = json_loadb(text, n, 0, NULL);
	const size_t count = json_array_size(list);

	json_decref(list);
	return count;
}

static void check(const struct buf *reply, size_t n)
{
	json_t *v = json_loadb(buf_str(reply), reply->len, 0, NULL);

	FUZZ_PROMISE(v != NULL);
	FUZZ_PROMISE(json_array_size(json_object_get(v, "keep")) +
			     json_array_size(json_object_get(v, "delete")) ==
		     n);
	json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const struct operation *op = operation_named("policy simulate");
	CLEANUP(args_free) struct args *a = NULL;
	CLEANUP(buf_done) struct buf reply;
	const char *text = (const char *)bytes;
	const char *cut = n ? memmem(text, n, "\n=\n", 3) : NULL;
	struct operation_call call = { .operation = op,
				       .now = { .sec = 1774749600 } };
	const char *list;
	size_t len;
	struct json j;
	struct err e = { 0 };

	buf_init(&reply, (size_t)64 << 20);
	if (!cut)
		return 0;
	list = cut + 3;
	len = n - (size_t)(list - text);
	FUZZ_PROMISE(op && args_new(&a, op, &e) == 0);
	if (args_add_document(a, "policy", "policy", text, (size_t)(cut - text),
			      &e) ||
	    args_add_document(a, "snapshots", "list", list, len, &e)) {
		FUZZ_PROMISE(e.code == ERR_USAGE);
		return 0;
	}
	FUZZ_PROMISE(args_finish(a, &e) == 0);
	json_init(&j, json_to_buf, &reply);
	call.args = a;
	call.reply = &j;
	if (op->run(&call, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_USAGE);
		return 0;
	}
	FUZZ_PROMISE(json_finish(&j, &e) == 0);
	check(&reply, snapshots(list, len));
	return 0;
}
