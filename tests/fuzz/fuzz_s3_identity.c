/*
 * What services reply that give keys: JSON, or STS's XML when the first byte
 * is a "<".  What is taken fits into a header; as JSON of our own it is read
 * as the same.
 */
#include "base/json.h"
#include "storage/stores/s3_credentials_internal.h"
#include "tests/support/fuzz.h"

static void promise_text(const char *text, size_t least)
{
	const size_t n = strlen(text);

	FUZZ_PROMISE(n >= least);
	for (size_t i = 0; i < n; i++)
		FUZZ_PROMISE(text[i] > ' ' && text[i] <= '~');
}

static void write_json(const struct s3_credentials_got *got, struct buf *out)
{
	struct json j;
	struct err e;

	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	json_kv_str(&j, "AccessKeyId", got->keys->id);
	json_kv_str(&j, "SecretAccessKey", got->keys->secret);
	json_kv_str(&j, "Token", got->keys->token);
	if (got->ends)
		json_kv_instant(&j, "Expiration", got->end);
	json_end_object(&j);
	if (json_finish(&j, &e))
		abort();
}

static void promise_same(const struct s3_credentials_got *got)
{
	struct s3_credentials_got again = { .keys = s3_keys_new() };
	struct buf text;
	struct err e;

	if (!again.keys)
		abort();
	buf_init(&text, S3_CREDENTIALS_REPLY_MAX);
	write_json(got, &text);
	/* A time close to the end of year 9999 may be in another, in UTC. */
	if (s3_credentials_json(buf_str(&text), text.len, &again, &e)) {
		FUZZ_PROMISE(strstr(e.text, "is no time"));
	} else {
		FUZZ_PROMISE(memcmp(again.keys->id, got->keys->id,
				    strlen(got->keys->id) + 1) == 0);
		FUZZ_PROMISE(strcmp(again.keys->secret, got->keys->secret) ==
			     0);
		FUZZ_PROMISE(strcmp(again.keys->token, got->keys->token) == 0);
		FUZZ_PROMISE(again.ends == got->ends);
		FUZZ_PROMISE(!got->ends ||
			     instant_compare(again.end, got->end) == 0);
	}
	buf_wipe(&text);
	s3_keys_free(again.keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct s3_credentials_got got = { .keys = s3_keys_new() };
	char *text = fuzz_text(data, n);
	struct err e;
	int r;

	if (!got.keys)
		abort();
	r = text[0] == '<' ? s3_credentials_xml(text, n, &got, &e)
			   : s3_credentials_json(text, n, &got, &e);
	if (r == 0) {
		promise_text(got.keys->id, 1);
		promise_text(got.keys->secret, 1);
		promise_text(got.keys->token, text[0] == '<' ? 1 : 0);
		promise_same(&got);
	} else {
		FUZZ_PROMISE(e.code == ERR_IO || e.code == ERR_DENIED);
	}
	s3_keys_free(got.keys);
	free(text);
	return 0;
}
