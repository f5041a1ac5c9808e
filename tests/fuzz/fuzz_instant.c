#include "base/instant.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	struct instant t;
	struct err e;

	if (instant_parse(text, &t, &e)) {
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0]);
	} else {
		char again[INSTANT_TEXT];
		struct instant back;

		FUZZ_PROMISE(t.nsec < 1000000000);
		instant_format(t, again);
		/* An offset may lead out of the years that can be read. */
		if (again[0] != '+' && again[0] != '-') {
			FUZZ_PROMISE(!instant_parse(again, &back, &e));
			FUZZ_PROMISE(!instant_compare(t, back));
		}
	}
	free(text);
	return 0;
}
