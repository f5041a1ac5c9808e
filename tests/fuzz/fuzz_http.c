/*
 * What a request says: a line "METHOD PATH?QUERY", and behind it the body.
 * Routed and taken apart as the daemon does it; what was taken can be read.
 */
#include "service/http_internal.h"
#include "tests/support/fuzz.h"

/* libmicrohttpd cuts a query at "&" and "=", and leaves the rest to us. */
static int take_query(struct args *a, char *query, struct err *e)
{
	char *next;

	for (char *name = query; name; name = next) {
		char *value = strchr(name, '=');

		next = strchr(name, '&');
		if (next)
			*next++ = '\0';
		if (value && (!next || value < next))
			*value++ = '\0';
		else
			value = NULL;
		if (*name && http_take_query(a, name, value ? value : "", e))
			return -1;
	}
	return 0;
}

static void read_one(const struct args *a, const struct operation_param *p)
{
	const size_t n = args_count(a, p->name);
	const char *label;
	size_t len;

	FUZZ_PROMISE(n <= 1 || p->repeated);
	for (size_t i = 0; i < n; i++)
		FUZZ_PROMISE(args_nth(a, p->name, i) != NULL);
	if (p->kind == PARAM_SWITCH) {
		(void)args_switch(a, p->name);
		return;
	}
	FUZZ_PROMISE(n > 0 || !p->required);
	if (n != 1 || p->repeated)
		return;
	if (p->type == PARAM_DOCUMENT)
		FUZZ_PROMISE(strlen(args_document(a, p->name, &len, &label)) ==
			     len);
	else if (p->type == PARAM_NUMBER)
		FUZZ_PROMISE(args_number(a, p->name) >= 0);
	else if (p->type == PARAM_DURATION)
		FUZZ_PROMISE(args_duration_ms(a, p->name) >= 0);
}

static int take_all(struct args *a, const struct operation *op, char *path,
		    char *query, const char *body, size_t n, struct err *e)
{
	if (http_take_path(a, op, path, e) || take_query(a, query, e) ||
	    http_take_body(a, body, n, e))
		return -1;
	return args_finish(a, e);
}

static void refuse(const struct err *why)
{
	struct http_reply r;

	FUZZ_PROMISE(why->code == ERR_USAGE || why->code == ERR_NOT_FOUND ||
		     why->code == ERR_CORRUPT);
	http_reply_init(&r);
	http_reply_error(&r, why);
	FUZZ_PROMISE(r.size > 0 && r.fd < 0);
	http_reply_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(args_free) struct args *a = NULL;
	const struct operation *op;
	char *text = fuzz_text(bytes, n);
	char *body = strchr(text, '\n');
	char *path = strchr(text, ' ');
	char *query = NULL;
	struct err e = { .code = ERR_NONE };
	size_t len;

	if (body)
		*body++ = '\0';
	if (path && (!body || path < body))
		*path++ = '\0';
	else
		path = text + strlen(text);
	query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	len = body ? n - (size_t)(body - text) : 0;
	if (http_route(text, path, &op, &e)) {
		refuse(&e);
	} else {
		FUZZ_PROMISE(args_new(&a, op, &e) == 0);
		if (take_all(a, op, path, query, body ? body : "", len, &e))
			refuse(&e);
		else
			for (size_t i = 0; operation_param(op, i); i++)
				read_one(a, operation_param(op, i));
	}
	free(text);
	return 0;
}
