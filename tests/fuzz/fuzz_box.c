/* The plaintext of a box, as someone with the key might have sealed it. */
#include "storage/repository/fields.h"
#include "storage/repository/seal.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(buf_done) struct buf payload;
	struct cursor c;
	uint64_t last = 0;
	struct field f;
	struct err e;

	buf_init(&payload, (size_t)1 << 20);
	if (seal_box_parse(data, n, &payload, &e)) {
		FUZZ_PROMISE(payload.len == 0);
		return 0;
	}
	c = cursor_of(payload.data, payload.len);
	while (fields_next(&c, &last, &f, &e) == 1) {
		struct field copy = f;
		char text[16];

		(void)field_uint(&copy);
		copy = f;
		(void)field_instant(&copy);
		copy = f;
		(void)field_id(&copy);
		copy = f;
		field_str(&copy, text, sizeof(text));
		FUZZ_PROMISE(strlen(text) < sizeof(text));
	}
	return 0;
}
