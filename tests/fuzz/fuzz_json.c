/*
 * The writer of JSON: the bytes say what is written, and jansson, which shares
 * no code with it, reads the same.
 */
#include <jansson.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/support/fuzz.h"

/* The next value: its kind, the length of its bytes, these. */
struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

static const char *take_bytes(struct input *in, size_t n)
{
	const char *p = (const char *)in->p;

	in->p += n;
	in->left -= n;
	return p;
}

/* Write one and make the same of jansson's parts. */
static json_t *write_path(struct json *j, struct input *in, json_t *object)
{
	const size_t want = take(in);
	const size_t n = want < in->left ? want : in->left;
	const char *bytes = take_bytes(in, n);
	char key[32];
	char *base64;
	json_t *v;

	(void)snprintf(key, sizeof(key), "k%zu", json_object_size(object));
	json_path(j, key, bytes, n);
	if (text_is_utf8(bytes, n) && (v = json_stringn(bytes, n))) {
		FUZZ_PROMISE(json_object_set_new(object, key, v) == 0);
		return v;
	}
	base64 = malloc(text_base64_size(n));
	FUZZ_PROMISE(base64 != NULL);
	text_base64(bytes, n, base64);
	(void)snprintf(key, sizeof(key), "k%zu_b64", json_object_size(object));
	v = json_string(base64);
	free(base64);
	FUZZ_PROMISE(json_object_set_new(object, key, v) == 0);
	return v;
}

static void write_number(struct json *j, struct input *in, json_t *object)
{
	uint64_t v = 0;
	char key[32];

	for (int i = 0; i < 8; i++)
		v = v << 8 | take(in);
	(void)snprintf(key, sizeof(key), "k%zu", json_object_size(object));
	json_kv_int(j, key, (int64_t)v);
	FUZZ_PROMISE(json_object_set_new(object, key,
					 json_integer((json_int_t)v)) == 0);
}

static void write_instant(struct json *j, struct input *in, json_t *object)
{
	char text[INSTANT_TEXT];
	struct instant t = { 0 };
	char key[32];

	for (int i = 0; i < 5; i++)
		t.sec = t.sec << 8 | take(in);
	t.nsec = (uint32_t)take(in) * 1000;
	instant_format(t, text);
	(void)snprintf(key, sizeof(key), "k%zu", json_object_size(object));
	json_kv_instant(j, key, t);
	FUZZ_PROMISE(json_object_set_new(object, key, json_string(text)) == 0);
}

static void write_members(struct json *j, struct input *in, json_t *object)
{
	char key[32];

	while (in->left) {
		(void)snprintf(key, sizeof(key), "k%zu",
			       json_object_size(object));
		switch (take(in) % 5) {
		case 0:
			(void)write_path(j, in, object);
			break;
		case 1:
			write_number(j, in, object);
			break;
		case 2:
			json_kv_bool(j, key, true);
			FUZZ_PROMISE(json_object_set_new(object, key,
							 json_true()) == 0);
			break;
		case 3:
			write_instant(j, in, object);
			break;
		default:
			json_kv_str(j, key, NULL);
			FUZZ_PROMISE(json_object_set_new(object, key,
							 json_null()) == 0);
			break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(buf_done) struct buf out;
	struct input in = { bytes, n };
	json_t *want = json_object();
	json_error_t why;
	json_t *got;
	struct json j;
	struct err e;

	buf_init(&out, 64 * n + 4096);
	json_init(&j, json_to_buf, &out);
	json_begin_object(&j);
	write_members(&j, &in, want);
	json_end_object(&j);
	FUZZ_PROMISE(json_finish(&j, &e) == 0);
	for (size_t i = 0; i < out.len; i++)
		FUZZ_PROMISE(out.data[i] >= 0x20);
	got = json_loadb(buf_str(&out), out.len,
			 JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
	FUZZ_PROMISE(json_equal(got, want));
	json_decref(got);
	json_decref(want);
	return 0;
}
