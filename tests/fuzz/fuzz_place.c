/* What a volume's provider printed as the place of its snapshot. */
#include "service/volume.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char place[4096];
	struct err e;
	size_t len;

	if (volume_parse_place((const char *)bytes, n, place, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0]);
		return 0;
	}
	len = strlen(place);
	FUZZ_PROMISE(len == n || len + 1 == n);
	FUZZ_PROMISE(memcmp(place, bytes, len) == 0);
	FUZZ_PROMISE(place[0] == '/' && !strpbrk(place, "\n\r\033"));
	FUZZ_PROMISE(!strstr(place, "//") && !strstr(place, "/../") &&
		     !strstr(place, "/./"));
	FUZZ_PROMISE(len < 3 || strcmp(place + len - 3, "/..") != 0);
	return 0;
}
