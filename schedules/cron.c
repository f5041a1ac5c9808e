#include "schedules/cron.h"

#include "base/instant.h"

#define DAY_S INT64_C(86400)

/* 0001-01-01T00:00:00Z and 10000-01-01T00:00:00Z. */
#define FIRST_S INT64_C(-62135596800)
#define END_S	INT64_C(253402300800)

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/*
 * Bit d - 1 is day d of a month whose first day is `first`.  The pattern of
 * weekdays is repeated over 38 days and shifted to the first one's.
 */
static uint32_t days_of_month(const struct cron *c, int64_t first,
			      unsigned int length)
{
	const unsigned int weekday = (unsigned int)(((first + 4) % 7 + 7) % 7);
	uint64_t week = c->weekdays;
	uint32_t by_weekday;
	uint32_t by_day;

	week |= week << 7 | week << 14 | week << 21 | week << 28 | week << 35;
	by_weekday = (uint32_t)(week >> weekday);
	by_day = c->days >> 1;
	by_day = c->either ? by_day | by_weekday : by_day & by_weekday;
	return by_day & (uint32_t)((UINT64_C(1) << length) - 1);
}

/* The first matching second of a day at or after `second`, or -1. */
static int64_t time_of_day(const struct cron *c, int64_t second)
{
	const unsigned int minute = (unsigned int)((second + 59) / 60);
	unsigned int hour = minute / 60;
	uint64_t left;

	if (hour > 23)
		return -1;
	left = c->hours >> hour & 1 ? c->minutes >> (minute % 60) : 0;
	if (left)
		return 60 *
		       (int64_t)(minute + (unsigned int)__builtin_ctzll(left));
	left = (uint64_t)c->hours >> (hour + 1);
	if (!left)
		return -1;
	hour += 1 + (unsigned int)__builtin_ctzll(left);
	return 3600 * (int64_t)hour + INT64_C(60) * __builtin_ctzll(c->minutes);
}

static int64_t first_of_next(int64_t year, unsigned int month)
{
	return month == 12 ? instant_days_from_civil(year + 1, 1, 1)
			   : instant_days_from_civil(year, month + 1, 1);
}

/* The first matching local time in [from, to), month by month. */
static bool match_local(const struct cron *c, int64_t from, int64_t to,
			int64_t *ret)
{
	int64_t day = floor_div(from, DAY_S);
	int64_t second = from - day * DAY_S;
	int64_t year;
	unsigned int month;
	unsigned int mday;

	instant_civil_from_days(day, &year, &month, &mday);
	while (day * DAY_S < to) {
		const int64_t first = day - (mday - 1);
		const int64_t next = first_of_next(year, month);
		uint32_t days = 0;

		if (c->months >> month & 1)
			days = days_of_month(c, first,
					     (unsigned int)(next - first)) >>
			       (mday - 1);
		while (days) {
			const int64_t d = day + __builtin_ctz(days);
			const int64_t t = time_of_day(c, d == day ? second : 0);

			if (t >= 0) {
				*ret = d * DAY_S + t;
				return *ret < to;
			}
			days &= days - 1;
		}
		day = next;
		second = 0;
		mday = 1;
		if (++month > 12) {
			month = 1;
			year++;
		}
	}
	return false;
}

static int64_t clamp(int64_t v, int64_t min, int64_t max)
{
	if (v < min)
		return min;
	return v > max ? max : v;
}

/* A span and what its beginning means to a fixed expression. */
struct stretch {
	struct zone_span span;
	int64_t shown; /* local times below this are done with */
};

/*
 * Whether the expression fires in a stretch at or after `from`.  A stretch
 * that begins with a gap first makes up for what the gap left out.
 */
static bool fires_in(const struct cron *c, const struct stretch *s,
		     int64_t from, int64_t *ret)
{
	const int32_t offset = s->span.offset_s;
	const int64_t until = clamp(s->span.until, FIRST_S, END_S);
	int64_t local;

	if (c->fixed && from == s->span.from && s->shown > FIRST_S &&
	    match_local(c, s->shown, from + offset, &local)) {
		*ret = from;
		return true;
	}
	local = from + offset;
	if (c->fixed && local < s->shown)
		local = s->shown;
	if (!match_local(c, local, until + offset, &local))
		return false;
	*ret = local - offset;
	return true;
}

int cron_next(const struct cron *c, const struct zone *z, int64_t after_s,
	      int64_t *ret_s)
{
	int64_t from = clamp(after_s, FIRST_S - 1, END_S) + 1;
	struct stretch s = { zone_span(z, from), INT64_MIN };

	if (c->fixed)
		s.shown = zone_high_water(z, s.span);
	while (from < END_S) {
		int64_t end;

		if (fires_in(c, &s, from, ret_s))
			return 1;
		from = s.span.until;
		if (from >= END_S)
			break;
		end = from + s.span.offset_s;
		if (end > s.shown)
			s.shown = end;
		s.span = zone_span(z, from);
	}
	return 0;
}

/*
 * Goes back in growing leaps until there is an occurrence, then bisects for
 * the last one: each step halves what is left or lands on an occurrence.
 */
int cron_previous(const struct cron *c, const struct zone *z, int64_t before_s,
		  int64_t *ret_s)
{
	int64_t lo = clamp(before_s, FIRST_S, END_S);
	int64_t leap = 3600;
	int64_t found;
	int64_t hi;

	do {
		if (lo <= FIRST_S)
			return 0;
		hi = lo;
		lo = clamp(lo - leap, FIRST_S - 1, lo);
		leap *= 4;
	} while (!cron_next(c, z, lo, &found) || found >= before_s);
	/* found is an occurrence; there is none in (hi, before_s). */
	while (found < hi) {
		const int64_t mid = found + (hi - found + 1) / 2;
		int64_t at;

		if (cron_next(c, z, mid - 1, &at) && at < before_s)
			found = at;
		else
			hi = mid - 1;
	}
	*ret_s = found;
	return 1;
}

/* Finalisers of 64-bit hashes, so that near inputs give far outputs. */
static uint64_t mix(uint64_t h)
{
	h ^= h >> 30;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	h ^= h >> 27;
	h *= UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

int64_t cron_jitter_ms(const char *uid, int64_t at_s, int64_t jitter_ms)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (jitter_ms <= 0)
		return 0;
	/* FNV-1a over the name, then the instant. */
	for (const char *p = uid; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return (int64_t)(mix(h ^ mix((uint64_t)at_s)) % (uint64_t)jitter_ms);
}
