#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define DEPTH_MAX 32

void json_init(struct json *j, json_sink *sink, void *arg)
{
	*j = (struct json){ .sink = sink, .arg = arg };
}

int json_to_buf(void *arg, const char *text, size_t n, struct err *e)
{
	return buf_add(arg, text, n, e);
}

int json_to_file(void *arg, const char *text, size_t n, struct err *e)
{
	if (fwrite(text, 1, n, arg) == n)
		return 0;
	return err_sys(e, "cannot write the output");
}

static void flush(struct json *j)
{
	if (j->failed || j->pending_len == 0)
		return;
	if (j->sink(j->arg, j->pending, j->pending_len, &j->failure))
		j->failed = true;
	j->pending_len = 0;
}

static void put(struct json *j, const char *text, size_t n)
{
	while (n > 0 && !j->failed) {
		size_t k = sizeof(j->pending) - j->pending_len;

		if (k > n)
			k = n;
		memcpy(j->pending + j->pending_len, text, k);
		j->pending_len += k;
		text += k;
		n -= k;
		if (j->pending_len == sizeof(j->pending))
			flush(j);
	}
}

static void put_str(struct json *j, const char *s)
{
	put(j, s, strlen(s));
}

static void put_escaped(struct json *j, uint8_t byte)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *at = byte ? strchr(from, byte) : NULL;
	char text[8];

	if (at)
		(void)snprintf(text, sizeof(text), "\\%c", to[at - from]);
	else
		(void)snprintf(text, sizeof(text), "\\u%04x", byte);
	put_str(j, text);
}

static bool is_plain(uint8_t byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/* How many of the n bytes are one character of UTF-8; 0 when none is. */
static size_t character(const uint8_t *p, size_t n)
{
	for (size_t k = 1; k <= 4 && k <= n; k++)
		if (text_is_utf8(p, k))
			return k;
	return 0;
}

/* The inside of a string.  Bytes that are not UTF-8 become U+FFFD. */
static void put_text(struct json *j, const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;

	while (n > 0 && !j->failed) {
		size_t k = 0;

		while (k < n && is_plain(p[k]))
			k++;
		if (k == 0 && p[0] < 0x80) {
			put_escaped(j, p[0]);
			k = 1;
		} else if (k == 0) {
			k = character(p, n);
			put(j, k ? (const char *)p : "\xef\xbf\xbd", k ? k : 3);
			k = k ? k : 1;
		} else {
			put(j, (const char *)p, k);
		}
		p += k;
		n -= k;
	}
}

/* The comma that the next value or key needs. */
static void separate(struct json *j)
{
	if (j->comma[j->depth])
		put(j, ",", 1);
	j->comma[j->depth] = true;
}

static void value(struct json *j)
{
	if (j->after_key) {
		j->after_key = false;
		return;
	}
	assert(j->depth > 0 ? j->is_list[j->depth] : !j->comma[0]);
	separate(j);
}

static void open_level(struct json *j, bool is_list)
{
	if (j->failed)
		return;
	value(j);
	assert(j->depth < DEPTH_MAX);
	put(j, is_list ? "[" : "{", 1);
	j->depth++;
	j->comma[j->depth] = false;
	j->is_list[j->depth] = is_list;
}

static void close_level(struct json *j, bool is_list)
{
	if (j->failed)
		return;
	assert(j->depth > 0 && j->is_list[j->depth] == is_list &&
	       !j->after_key);
	put(j, is_list ? "]" : "}", 1);
	j->depth--;
}

void json_begin_object(struct json *j)
{
	open_level(j, false);
}

void json_end_object(struct json *j)
{
	close_level(j, false);
}

void json_begin_list(struct json *j)
{
	open_level(j, true);
}

void json_end_list(struct json *j)
{
	close_level(j, true);
}

static void key_with(struct json *j, const char *key, const char *suffix)
{
	if (j->failed)
		return;
	assert(j->depth > 0 && !j->is_list[j->depth] && !j->after_key);
	separate(j);
	put(j, "\"", 1);
	put_text(j, key, strlen(key));
	put_str(j, suffix);
	put(j, "\":", 2);
	j->after_key = true;
}

void json_key(struct json *j, const char *key)
{
	key_with(j, key, "");
}

void json_strn(struct json *j, const char *s, size_t n)
{
	if (j->failed)
		return;
	value(j);
	put(j, "\"", 1);
	put_text(j, s, n);
	put(j, "\"", 1);
}

void json_str(struct json *j, const char *s)
{
	json_strn(j, s, strlen(s));
}

void json_raw(struct json *j, const char *text)
{
	if (j->failed)
		return;
	if (!text) {
		j->failed = true;
		(void)err_oom(&j->failure);
		return;
	}
	value(j);
	put_str(j, text);
}

void json_int(struct json *j, int64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)v);
	json_raw(j, text);
}

void json_uint(struct json *j, uint64_t v)
{
	char text[24];

	if (v > INT64_MAX)
		v = INT64_MAX;
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	json_raw(j, text);
}

/* By whole thousandths: printf's decimal point depends on the locale. */
void json_double(struct json *j, double v)
{
	char text[400];

	if (!isfinite(v)) {
		json_none(j);
	} else if (v > -1e15 && v < 1e15) {
		const double up = (v < 0 ? -v : v) * 1000 + 0.5;
		const unsigned long long n = (unsigned long long)up;

		(void)snprintf(text, sizeof(text), "%s%llu.%03llu",
			       v < 0 && n > 0 ? "-" : "", n / 1000, n % 1000);
		json_raw(j, text);
	} else {
		(void)snprintf(text, sizeof(text), "%.0f", v);
		json_raw(j, text);
	}
}

void json_bool(struct json *j, bool v)
{
	json_raw(j, v ? "true" : "false");
}

void json_none(struct json *j)
{
	json_raw(j, "null");
}

void json_instant(struct json *j, struct instant t)
{
	char text[INSTANT_TEXT];

	instant_format(t, text);
	json_str(j, text);
}

void json_kv_str(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	if (s)
		json_str(j, s);
	else
		json_none(j);
}

void json_kv_int(struct json *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

void json_kv_uint(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_uint(j, v);
}

void json_kv_double(struct json *j, const char *key, double v)
{
	json_key(j, key);
	json_double(j, v);
}

void json_kv_bool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

void json_kv_instant(struct json *j, const char *key, struct instant t)
{
	json_key(j, key);
	json_instant(j, t);
}

void json_path(struct json *j, const char *key, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	char piece[65];

	if (text_is_utf8(bytes, n)) {
		json_key(j, key);
		json_strn(j, bytes, n);
		return;
	}
	key_with(j, key, "_b64");
	if (j->failed)
		return;
	value(j);
	put(j, "\"", 1);
	while (n > 0) {
		const size_t k = n < 48 ? n : 48;

		text_base64(p, k, piece);
		put_str(j, piece);
		p += k;
		n -= k;
	}
	put(j, "\"", 1);
}

int json_finish(struct json *j, struct err *e)
{
	flush(j);
	if (j->failed) {
		*e = j->failure;
		return -1;
	}
	assert(j->depth == 0 && !j->after_key && j->comma[0]);
	return 0;
}
