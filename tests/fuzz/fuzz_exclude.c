#include "storage/sources/exclude.h"
#include "tests/support/fuzz.h"

/* Lines of patterns, and as the last one a path. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	char *line = text;
	char *end;
	struct exclude *set = NULL;
	struct err e = { .code = ERR_NONE };
	size_t len;

	if (exclude_new(&set, &e))
		abort();
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		if (exclude_add(set, line, &e))
			FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0]);
	}
	len = strlen(line);
	for (int folder = 0; folder < 2; folder++) {
		const bool out = exclude_match(set, line, len, folder);
		const enum exclude_verdict own = exclude_verdict(set, line, len,
								 folder);

		FUZZ_PROMISE(out || own != EXCLUDE_YES);
		FUZZ_PROMISE(!exclude_empty(set) || !out);
		if (own != EXCLUDE_NONE)
			FUZZ_PROMISE(exclude_picks(set, line, len, folder) ==
				     (own == EXCLUDE_YES));
	}
	exclude_free(set);
	free(text);
	return 0;
}
