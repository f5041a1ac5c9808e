#include "schedules/duration.h"
#include "tests/support/fuzz.h"

static void check_duration(struct duration d)
{
	const struct instant now = { 1774749600, 5 };
	struct instant before = duration_before(now, d, zone_utc());
	struct duration back;
	char again[DURATION_TEXT];
	struct err e;

	duration_format(d, again);
	FUZZ_PROMISE(!duration_parse(again, &back, &e));
	FUZZ_PROMISE(!memcmp(&d, &back, sizeof(d)));
	FUZZ_PROMISE(before.sec <= now.sec);
	FUZZ_PROMISE(duration_is_zero(d) == (before.sec == now.sec));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	struct duration d;
	struct err e;

	if (duration_parse(text, &d, &e))
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0] && e.hint[0]);
	else
		check_duration(d);
	free(text);
	return 0;
}
