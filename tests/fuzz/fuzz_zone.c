#include "schedules/cron.h"
#include "schedules/zone.h"
#include "tests/support/fuzz.h"

static void check_instant(const struct zone *z, int64_t t)
{
	const struct zone_span sp = zone_span(z, t);
	int64_t back = 0;

	FUZZ_PROMISE(sp.from <= t && (t < sp.until || t == INT64_MAX));
	FUZZ_PROMISE(sp.offset_s >= -ZONE_OFFSET_MAX &&
		     sp.offset_s <= ZONE_OFFSET_MAX);
	(void)zone_high_water(z, sp);
	(void)zone_from_local(z, t, &back);
}

static void check_cron(const struct zone *z, const char *text)
{
	int64_t at = 1000000000;
	struct cron c;
	struct err e;

	FUZZ_PROMISE(!cron_parse(text, &c, &e));
	for (int k = 0; k < 20; k++) {
		const int64_t before = at;

		if (!cron_next(&c, z, at, &at))
			break;
		FUZZ_PROMISE(at > before);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct zone *z = NULL;
	struct err e;

	if (zone_new(bytes, n, &z, &e)) {
		FUZZ_PROMISE((e.code == ERR_CORRUPT || e.code == ERR_USAGE) &&
			     e.text[0]);
		return 0;
	}
	check_instant(z, INT64_MIN);
	check_instant(z, INT64_MAX);
	for (int64_t t = -3000000000; t < 20000000000; t += 999999937)
		check_instant(z, t);
	check_cron(z, "30 2 * * *");
	check_cron(z, "*/7 * * * *");
	check_cron(z, "0 0 29 2 *");
	zone_free(z);
	return 0;
}
