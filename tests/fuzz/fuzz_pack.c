/* The plaintext of a pack's directory, behind its seal. */
#include "storage/repository/pack_internal.h"
#include "tests/support/fuzz.h"

static int check_place(void *arg, const struct pack_entry *x, struct err *e)
{
	uint64_t *at = arg;

	(void)e;
	FUZZ_PROMISE(x->place.offset == *at);
	FUZZ_PROMISE(x->seal.plain_len <= CHUNK_MAX);
	FUZZ_PROMISE(x->seal.kind == CHUNK_DATA);
	*at += x->place.len;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pack_body body = { .kind = OBJECT_DATA_PACK };
	uint64_t at = OBJECT_HEADER_SIZE;
	struct err e;

	if (n < 4)
		return 0;
	/* Where the directory begins is chosen as well. */
	for (unsigned int i = 0; i < 4; i++)
		body.end |= (uint64_t)data[i] << (8 * i);
	if (pack_parse_directory(&body, data + 4, n - 4, check_place, &at,
				 &e) == 0)
		FUZZ_PROMISE(at == body.end);
	else
		FUZZ_PROMISE(at == OBJECT_HEADER_SIZE);
	return 0;
}
