/*
 * The details of a snapshot: the first byte is the length of what its manifest
 * is decoded from, the rest the list of errors that it was made with.  Whatever
 * a writer put there, the reply is JSON.
 */
#include <jansson.h>

#include "service/engine.h"
#include "service/render.h"
#include "storage/repository/reader.h"
#include "tests/support/fuzz.h"

static const uint8_t *list;
static size_t list_len;
static uint64_t nobody; /* whom the wrapped functions never ask */

int __wrap_reader_new(struct repository *r, size_t cache_bytes,
		      struct reader **ret, struct err *e);
int __wrap_reader_new(struct repository *r, size_t cache_bytes,
		      struct reader **ret, struct err *e)
{
	(void)r;
	(void)cache_bytes;
	(void)e;
	*ret = (struct reader *)(void *)&nobody;
	return 0;
}

void __wrap_reader_free(struct reader *x);
void __wrap_reader_free(struct reader *x)
{
	(void)x;
}

int __wrap_reader_get(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, const uint8_t **ret,
		      size_t *ret_len, struct err *e);
int __wrap_reader_get(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, const uint8_t **ret,
		      size_t *ret_len, struct err *e)
{
	(void)x;
	(void)id;
	(void)e;
	FUZZ_PROMISE(kind == CHUNK_VALUE);
	*ret = list;
	*ret_len = list_len;
	return 0;
}

/* For people, too, and in a list with others. */
static void show(const char *view, const char *before, const struct buf *reply,
		 const char *after)
{
	const struct render_style style = { .now = { .sec = 1000000000 } };
	struct render *r = NULL;
	char *text = NULL;
	size_t size = 0;
	struct err e = { 0 };
	FILE *out = open_memstream(&text, &size);

	FUZZ_PROMISE(out != NULL);
	FUZZ_PROMISE(render_new(&r, out, view, &style, &e) == 0);
	FUZZ_PROMISE(render_write(r, before, strlen(before), &e) == 0);
	FUZZ_PROMISE(render_write(r, buf_str(reply), reply->len, &e) == 0);
	FUZZ_PROMISE(render_write(r, after, strlen(after), &e) == 0);
	FUZZ_PROMISE(render_finish(r, &e) == 0);
	render_free(r);
	(void)fclose(out);
	free(text);
}

static void tell(const struct repository_snapshot *s)
{
	CLEANUP(buf_done) struct buf out;
	struct operation_call call = { .out_fd = -1 };
	struct json j;
	json_t *v;
	struct err e = { 0 };

	buf_init(&out, (size_t)64 << 20);
	json_init(&j, json_to_buf, &out);
	call.reply = &j;
	json_begin_object(&j);
	FUZZ_PROMISE(engine_write_details(&call,
					  (struct repository *)(void *)&nobody,
					  s, NULL, &e) == 0);
	json_end_object(&j);
	FUZZ_PROMISE(json_finish(&j, &e) == 0);
	v = json_loadb(buf_str(&out), out.len, JSON_ALLOW_NUL, NULL);
	FUZZ_PROMISE(json_is_object(v));
	json_decref(v);
	show(NULL, "", &out, "");
	show(operation_named("snapshot list")->view, "[", &out, "]");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(manifest_done) struct manifest m;
	struct repository_snapshot s = { .has_receipt = true };
	struct err e = { 0 };
	size_t len;

	manifest_init(&m);
	if (n < 2)
		return 0;
	len = (size_t)(bytes[0] | bytes[1] << 8);
	if (len > n - 2)
		len = n - 2;
	list = bytes + 2 + len;
	list_len = n - 2 - len;
	if (manifest_decode(bytes + 2, len, &m, &e))
		return 0;
	s.manifest = m;
	tell(&s);
	return 0;
}
