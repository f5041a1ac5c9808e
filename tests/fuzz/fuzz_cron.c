#include "base/instant.h"
#include "schedules/cron.h"
#include "tests/support/fuzz.h"

/* What can fire does, at a whole minute, and is found again. */
static void check_next(const struct cron *c)
{
	const int64_t at = 1774749600;
	int64_t next = 0;
	int64_t back = 0;

	FUZZ_PROMISE(cron_next(c, zone_utc(), at, &next) == 1);
	FUZZ_PROMISE(next > at && next % 60 == 0);
	FUZZ_PROMISE(cron_previous(c, zone_utc(), next + 1, &back));
	FUZZ_PROMISE(back == next);
	if (cron_previous(c, zone_utc(), next, &back))
		FUZZ_PROMISE(back <= at);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	struct cron c;
	struct err e;

	if (cron_parse(text, &c, &e))
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0]);
	else
		check_next(&c);
	free(text);
	return 0;
}
