/*
 * How well a region answers, as the catalog keeps it: what is read can be
 * written, and says the same.
 */
#include "service/region_health.h"
#include "tests/support/fuzz.h"

static bool is_text(const char *text, size_t room)
{
	return strnlen(text, room) < room;
}

static void read_again(const struct region_fact *fact, bool known)
{
	CLEANUP(buf_done) struct buf b;
	struct region_fact again = { .failures = 1 };
	struct err e;

	buf_init(&b, 8192);
	FUZZ_PROMISE(region_health_write(fact, &b, &e) == 0);
	FUZZ_PROMISE(region_health_read(buf_str(&b), &again));
	FUZZ_PROMISE(!known || (again.failures == fact->failures &&
				again.latency_ms == fact->latency_ms));
	/* It may have been cut within a character. */
	FUZZ_PROMISE(strncmp(again.unwritable, fact->unwritable,
			     strlen(again.unwritable)) == 0);
	FUZZ_PROMISE(strlen(again.unwritable) + 4 > strlen(fact->unwritable));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct region_fact fact = { .failures = 5, .latency_ms = -7 };
	char *text = fuzz_text(bytes, n);
	const bool known = region_health_read(text, &fact);

	free(text);
	FUZZ_PROMISE(is_text(fact.unwritable, sizeof(fact.unwritable)));
	FUZZ_PROMISE(is_text(fact.refusal, sizeof(fact.refusal)));
	FUZZ_PROMISE(known ? fact.failures <= 1000 && fact.latency_ms >= -7
			   : fact.failures == 5 && fact.latency_ms == -7);
	FUZZ_PROMISE(!fact.unwritable[0] || fact.refusal[0]);
	fact.latency_ms = fact.latency_ms < 0 ? 0 : fact.latency_ms;
	read_again(&fact, known);
	return 0;
}
