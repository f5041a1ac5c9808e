#include "base/instant.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	struct err e;
	int64_t ms;

	if (instant_duration_parse(text, &ms, &e)) {
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0]);
	} else {
		char again[INSTANT_TEXT];
		int64_t back;

		FUZZ_PROMISE(ms >= 0 && ms % 1000 == 0);
		instant_duration_format(ms, again);
		FUZZ_PROMISE(!instant_duration_parse(again, &back, &e));
		FUZZ_PROMISE(back == ms);
	}
	free(text);
	return 0;
}
