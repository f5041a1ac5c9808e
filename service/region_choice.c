#include "service/region_choice.h"

/* What takes less is all the same: a busy machine makes more of a difference.
 */
#define QUICK_MS 100

/* The order of magnitude. */
static int slowness(const struct region_fact *f)
{
	int n = 0;

	for (int64_t ms = f->latency_ms; ms >= QUICK_MS; ms /= 10)
		n++;
	return n;
}

/* Below 0: a is asked before b. */
static int compare(const struct region_fact *a, const struct region_fact *b,
		   bool is_latest)
{
	if (is_latest && instant_compare(a->received, b->received) != 0)
		return -instant_compare(a->received, b->received);
	if (a->primary != b->primary)
		return a->primary ? -1 : 1;
	if (a->failed != b->failed)
		return a->failed ? 1 : -1;
	if (a->damaged != b->damaged)
		return a->damaged ? 1 : -1;
	if (a->failures != b->failures)
		return a->failures < b->failures ? -1 : 1;
	return slowness(a) - slowness(b);
}

/* By insertion: a handful, and what is equal stays as it was declared. */
void region_choice_order(const struct region_fact *facts, size_t n,
			 bool is_latest, size_t *ret_order)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i;

		for (; at > 0 && compare(&facts[i], &facts[ret_order[at - 1]],
					 is_latest) < 0;
		     at--)
			ret_order[at] = ret_order[at - 1];
		ret_order[at] = i;
	}
}

/* The table of the header. */
static const struct {
	enum err_code code;
	bool uses[REGION_WRITE + 1];
} away[] = {
	{ ERR_BUSY, { true, true, true } },
	{ ERR_IO, { true, true, true } },
	{ ERR_DENIED, { true, true, true } },
	{ ERR_NOT_FOUND, { true, true, true } },
	{ ERR_FULL, { false, true, true } },
	{ ERR_CORRUPT, { true, true, false } },
	{ ERR_USAGE, { false, true, false } },
};

bool region_choice_is_away(const struct err *why, enum region_use use)
{
	if (use == REGION_WRITE && !why->of_store)
		return false;
	for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++)
		if (away[i].code == why->code)
			return away[i].uses[use];
	return false;
}

void region_choice_learn(struct region_fact *io, bool is_first, int64_t took_ms)
{
	const unsigned int now = took_ms < 0 ? 1000 : 0;

	io->failed = took_ms < 0;
	io->failures = is_first ? now : (io->failures * 7 + now) / 8;
	if (took_ms < 0)
		return;
	io->latency_ms = io->latency_ms > 0 ? (io->latency_ms * 7 + took_ms) / 8
					    : took_ms;
}
