/*
 * A snapshot's manifest.  What is taken can be written, and that is taken
 * again and is its own form.
 */
#include "storage/repository/manifest.h"
#include "tests/support/fuzz.h"

static void write_again(const struct manifest *m)
{
	CLEANUP(manifest_done) struct manifest again;
	CLEANUP(buf_done) struct buf one;
	CLEANUP(buf_done) struct buf two;
	struct err e = { 0 };

	manifest_init(&again);
	buf_init(&one, (size_t)64 << 20);
	buf_init(&two, (size_t)64 << 20);
	FUZZ_PROMISE(manifest_encode(m, &one, &e) == 0);
	FUZZ_PROMISE(manifest_decode(one.data, one.len, &again, &e) == 0);
	FUZZ_PROMISE(object_id_equal(m->snapshot, again.snapshot));
	FUZZ_PROMISE(manifest_list_equal(&m->paths, &again.paths));
	FUZZ_PROMISE(manifest_encode(&again, &two, &e) == 0);
	FUZZ_PROMISE(one.len == two.len &&
		     memcmp(one.data, two.data, one.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(manifest_done) struct manifest m;
	struct err e = { 0 };

	manifest_init(&m);
	if (manifest_decode(bytes, n, &m, &e))
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
	else
		write_again(&m);
	return 0;
}
