/*
 * A small streaming JSON writer: no document tree, so that a list of a
 * million entries costs no memory.
 *
 * Output goes to a sink function in pieces.  Nesting and commas are kept
 * here; the caller says what comes next.  Strings must be UTF-8: what is not
 * is written with json_path() as base64 beside the key ("path" becomes
 * "path_b64").  After the first failure of the sink every call does nothing,
 * and json_finish() reports it.  Depth is at most 32.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"

typedef int json_sink(void *arg, const char *text, size_t n, struct err *e);

struct json {
	json_sink *sink;
	void *arg;
	struct err failure;
	unsigned int depth;
	bool failed;
	bool comma[33]; /* a value was written at this depth already */
	bool is_list[33];
	bool after_key;
	char pending[4096]; /* not given to the sink yet */
	size_t pending_len;
};

void json_init(struct json *j, json_sink *sink, void *arg) NONNULL(1, 2);
/* The usual sinks: a struct buf, and a stdio stream. */
json_sink json_to_buf;
json_sink json_to_file;

void json_begin_object(struct json *j) NONNULL(1);
void json_end_object(struct json *j) NONNULL(1);
void json_begin_list(struct json *j) NONNULL(1);
void json_end_list(struct json *j) NONNULL(1);
void json_key(struct json *j, const char *key) NONNULL(1, 2);

void json_str(struct json *j, const char *s) NONNULL(1, 2);
void json_strn(struct json *j, const char *s, size_t n) NONNULL(1);
void json_int(struct json *j, int64_t v) NONNULL(1);
/* At most 2^63 - 1: many readers of JSON take no larger integer. */
void json_uint(struct json *j, uint64_t v) NONNULL(1);
void json_double(struct json *j, double v) NONNULL(1); /* three decimals */
void json_bool(struct json *j, bool v) NONNULL(1);
void json_none(struct json *j) NONNULL(1);
/* A value that is JSON already; NULL: there was no memory for it, which is what
 * the whole fails with. */
void json_raw(struct json *j, const char *text) NONNULL(1);
void json_instant(struct json *j, struct instant t) NONNULL(1);

/* Key and value in one. */
void json_kv_str(struct json *j, const char *key, const char *s)
	NONNULL(1, 2); /* NULL writes null */
void json_kv_int(struct json *j, const char *key, int64_t v) NONNULL(1, 2);
void json_kv_uint(struct json *j, const char *key, uint64_t v) NONNULL(1, 2);
void json_kv_double(struct json *j, const char *key, double v) NONNULL(1, 2);
void json_kv_bool(struct json *j, const char *key, bool v) NONNULL(1, 2);
void json_kv_instant(struct json *j, const char *key, struct instant t)
	NONNULL(1, 2);
/* Bytes that may not be UTF-8: under key, or base64 under "<key>_b64". */
void json_path(struct json *j, const char *key, const void *bytes, size_t n)
	NONNULL(1, 2);

/* Flush; 0 when everything was written and all is closed. */
int json_finish(struct json *j, struct err *e) NONNULL(1, 2) MUST_CHECK;

#endif
