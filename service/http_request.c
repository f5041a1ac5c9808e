/* What a request says, and where a reply waits. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/http_internal.h"
#include "service/jsontree.h"

#define PREFIX "/v1"

/* An object of lists, or of documents, is two levels; of its members there are
 * as many as args.h takes. */
enum { DEPTH_MAX = 4, VALUES_MAX = ARGS_VALUES };

void http_reply_init(struct http_reply *r)
{
	*r = (struct http_reply){ .fd = -1 };
	buf_init(&r->memory, HTTP_REPLY_MEMORY);
}

void http_reply_done(struct http_reply *r)
{
	buf_done(&r->memory);
	file_close(r->fd);
	r->fd = -1;
}

void http_reply_clear(struct http_reply *r)
{
	http_reply_done(r);
	http_reply_init(r);
}

/* Memory does not suffice: go on in a file. */
static int spill(struct http_reply *r, struct err *e)
{
	if (file_open_unnamed(NULL, &r->fd, e) < 0)
		return -1;
	if (seam_write(r->fd, r->memory.data, r->memory.len) < 0)
		return err_sys(e, "cannot keep a long reply");
	buf_done(&r->memory);
	return 0;
}

int http_reply_write(void *arg, const char *text, size_t n, struct err *e)
{
	struct http_reply *r = arg;

	if (n > HTTP_REPLY_MAX - r->size)
		return err_set(e, ERR_FULL, "the reply is too long");
	if (r->fd < 0 && n > HTTP_REPLY_MEMORY - r->memory.len &&
	    spill(r, e) < 0)
		return -1;
	if (r->fd < 0) {
		if (buf_add(&r->memory, text, n, e) < 0)
			return -1;
	} else if (seam_write(r->fd, text, n) < 0) {
		return err_sys(e, "cannot keep a long reply");
	}
	r->size += n;
	return 0;
}

void http_reply_error(struct http_reply *r, const struct err *why)
{
	struct err ignored;
	struct json j;

	http_reply_clear(r);
	json_init(&j, http_reply_write, r);
	json_begin_object(&j);
	json_key(&j, "error");
	json_begin_object(&j);
	json_kv_str(&j, "code", err_kind(why->code)->name);
	json_kv_str(&j, "message", why->text);
	json_kv_str(&j, "hint", err_advice(why) ? err_advice(why) : "");
	json_end_object(&j);
	json_end_object(&j);
	/* Without memory for a sentence the status alone must do. */
	if (json_finish(&j, &ignored) < 0)
		http_reply_clear(r);
}

int http_route(const char *method, const char *path,
	       const struct operation **ret, struct err *e)
{
	int found = 0;

	if (strncmp(path, PREFIX "/", strlen(PREFIX) + 1) == 0)
		found = operation_routed(method, path + strlen(PREFIX), ret, e);
	if (found != 0)
		return found < 0 ? -1 : 0;
	(void)err_set(e, ERR_NOT_FOUND, "there is nothing at %s",
		      text_quote_str(path).s);
	return err_hint(e, "GET /v1/openapi.json lists what there is");
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decoding, strictly: "%" and two digits, never a zero byte. */
static int decode(const char *text, size_t n, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int byte = (unsigned char)text[i];

		if (text[i] == '%') {
			const int high = i + 1 < n ? digit(text[i + 1]) : -1;
			const int low = i + 2 < n ? digit(text[i + 2]) : -1;

			byte = high < 0 || low < 0 ? 0 : high * 16 + low;
			i += 2;
		}
		if (byte == 0)
			return err_set(e, ERR_USAGE,
				       "%s is not percent-encoded",
				       text_quote(text, n).s);
		if (buf_add_byte(out, (uint8_t)byte, e) < 0)
			return -1;
	}
	return 0;
}

static int take_part(void *arg, const char *name, const char *text, size_t n,
		     struct err *e)
{
	CLEANUP(buf_done) struct buf value;

	buf_init(&value, 65536);
	if (decode(text, n, &value, e) < 0)
		return -1;
	return args_add(arg, name, buf_str(&value), value.len, e);
}

int http_take_path(struct args *a, const struct operation *op, const char *path,
		   struct err *e)
{
	return operation_match_route(op, path + strlen(PREFIX), take_part, a,
				     e) < 0
		       ? -1
		       : 0;
}

int http_take_query(struct args *a, const char *name, const char *value,
		    struct err *e)
{
	CLEANUP(buf_done) struct buf key;

	buf_init(&key, 256);
	if (decode(name, strlen(name), &key, e) < 0)
		return -1;
	return take_part(a, buf_str(&key), value, strlen(value), e);
}

/* A string, number or boolean as text. */
static int take_scalar(struct args *a, const char *name, const json_t *value,
		       struct err *e)
{
	char number[32];

	if (json_is_string(value))
		return args_add(a, name, json_string_value(value),
				json_string_length(value), e);
	if (json_is_boolean(value))
		return args_add_str(a, name,
				    json_is_true(value) ? "true" : "false", e);
	if (json_is_integer(value)) {
		(void)snprintf(number, sizeof(number), "%lld",
			       (long long)json_integer_value(value));
		return args_add_str(a, name, number, e);
	}
	return err_set(e, ERR_USAGE,
		       "%s is no string, whole number, boolean or list of them",
		       text_quote_str(name).s);
}

/* A document with the name by which messages call it: {"name","text"}. */
static int take_document(struct args *a, const char *name, const json_t *value,
			 struct err *e)
{
	const json_t *text = json_object_get(value, "text");
	const json_t *label = json_object_get(value, "name");

	if (!json_is_string(text) || !json_is_string(label) ||
	    json_object_size(value) != 2)
		return err_set(e, ERR_USAGE,
			       "%s is no object with \"name\" and \"text\"",
			       text_quote_str(name).s);
	return args_add_document(a, name, json_string_value(label),
				 json_string_value(text),
				 json_string_length(text), e);
}

static int take_member(struct args *a, const char *name, const json_t *value,
		       struct err *e)
{
	if (json_is_null(value))
		return 0;
	if (json_is_object(value))
		return take_document(a, name, value, e);
	if (!json_is_array(value))
		return take_scalar(a, name, value, e);
	for (size_t i = 0; i < json_array_size(value); i++)
		if (take_scalar(a, name, json_array_get(value, i), e) < 0)
			return -1;
	return 0;
}

/*
 * What a text of JSON would become is many times as large: so before it is
 * parsed, its brackets and commas are counted.  Strings hold anything.
 */
static int check_shape(const char *body, size_t n, struct err *e)
{
	bool in_string = false;
	size_t values = 0;
	unsigned int depth = 0;

	for (size_t i = 0; i < n; i++) {
		const char c = body[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		if (in_string)
			continue;
		depth += c == '[' || c == '{';
		depth -= depth && (c == ']' || c == '}');
		values += c == ',';
		if (depth > DEPTH_MAX)
			return err_set(e, ERR_USAGE,
				       "the request's body is deeper than %d "
				       "levels",
				       DEPTH_MAX);
		if (values == VALUES_MAX)
			return err_set(e, ERR_USAGE,
				       "the request's body has more than %d "
				       "values",
				       VALUES_MAX);
	}
	return 0;
}

int http_take_body(struct args *a, const char *body, size_t n, struct err *e)
{
	json_error_t why;
	json_t *object;
	const char *key;
	json_t *value;
	int status = 0;
	int got;

	if (n == 0)
		return 0;
	if (check_shape(body, n, e) < 0)
		return -1;
	got = jsontree_load(body, n, JSON_REJECT_DUPLICATES, &object, &why, e);
	if (got == 0)
		(void)err_set(e, ERR_USAGE,
			      "the request's body is not JSON: %s", why.text);
	if (got <= 0)
		return -1;
	if (!json_is_object(object))
		status = err_set(e, ERR_USAGE,
				 "the request's body is no JSON object");
	json_object_foreach(object, key, value) if (status == 0)
		status = take_member(a, key, value, e);
	json_decref(object);
	return status;
}
