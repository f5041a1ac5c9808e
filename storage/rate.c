#include "storage/rate.h"

#define SECOND_US 1000000

void rate_init(struct rate *r, uint64_t bytes_per_s)
{
	*r = (struct rate){ .bytes_per_s = bytes_per_s, .ahead_us = INT64_MIN };
}

/* What n bytes cost, rounded up; absurd ones cost a year. */
static int64_t cost_us(uint64_t n, uint64_t bytes_per_s)
{
	const int64_t most = 365LL * 24 * 3600 * SECOND_US;
	const uint64_t seconds = n / bytes_per_s;
	uint64_t rest;

	if (seconds >= (uint64_t)(most / SECOND_US))
		return most;
	if (__builtin_mul_overflow(n % bytes_per_s, (uint64_t)SECOND_US, &rest))
		return (int64_t)(seconds + 1) * SECOND_US;
	rest = rest / bytes_per_s + (rest % bytes_per_s != 0);
	return (int64_t)(seconds * SECOND_US + rest);
}

int64_t rate_moved(struct rate *r, uint64_t n, int64_t now_us)
{
	if (r->bytes_per_s == 0)
		return 0;
	if (r->ahead_us < now_us - RATE_BURST_US)
		r->ahead_us = now_us - RATE_BURST_US;
	if (__builtin_add_overflow(r->ahead_us, cost_us(n, r->bytes_per_s),
				   &r->ahead_us))
		r->ahead_us = INT64_MAX;
	return r->ahead_us > now_us ? r->ahead_us - now_us : 0;
}
