/*
 * Shared credentials files: the keys that are taken fit into a header, and a
 * file that says them plainly gives the same.  What is said of a file that is
 * refused names a line of it.
 */
#include "base/err.h"
#include "storage/stores/s3_credentials_internal.h"
#include "tests/support/fuzz.h"

static void promise_text(const char *text, size_t least)
{
	const size_t n = strlen(text);

	FUZZ_PROMISE(n >= least);
	for (size_t i = 0; i < n; i++)
		FUZZ_PROMISE(text[i] > ' ' && text[i] <= '~');
}

static int parse(const uint8_t *data, size_t n, const char *profile,
		 struct s3_keys *keys, struct err *e)
{
	char section[128] = "";
	const int r = s3_credentials_parse((const char *)data, n, profile, keys,
					   section, e);

	FUZZ_PROMISE(r >= 0 || e->code == ERR_USAGE);
	FUZZ_PROMISE(memchr(section, '\0', sizeof(section)));
	return r;
}

static void promise_same(const struct s3_keys *keys, struct s3_keys *again)
{
	struct buf plain;
	struct err e;

	buf_init(&plain, 16384);
	if (buf_addf(&plain, &e,
		     "[default]\naws_access_key_id=%s\n"
		     "aws_secret_access_key=%s\naws_session_token=%s\n",
		     keys->id, keys->secret, keys->token))
		abort();
	FUZZ_PROMISE(parse(plain.data, plain.len, NULL, again, &e) == 1);
	FUZZ_PROMISE(strcmp(again->id, keys->id) == 0);
	FUZZ_PROMISE(strcmp(again->secret, keys->secret) == 0);
	FUZZ_PROMISE(strcmp(again->token, keys->token) == 0);
	buf_wipe(&plain);
}

static void try_profile(const uint8_t *data, size_t n, const char *profile)
{
	struct s3_keys *keys = s3_keys_new();
	struct s3_keys *again = s3_keys_new();
	struct err e;
	int r;

	if (!keys || !again)
		abort();
	r = parse(data, n, profile, keys, &e);
	if (r > 0) {
		promise_text(keys->id, 1);
		promise_text(keys->secret, 1);
		promise_text(keys->token, 0);
		promise_same(keys, again);
	} else if (r < 0) {
		FUZZ_PROMISE(strncmp(e.text, "line ", 5) == 0 ||
			     (!profile && strncmp(e.text, "it has ", 7) == 0));
	}
	s3_keys_free(again);
	s3_keys_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	try_profile(data, n, NULL);
	try_profile(data, n, "default");
	try_profile(data, n, "x");
	return 0;
}
