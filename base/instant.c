#include "base/instant.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define NSEC_PER_SEC 1000000000
#define NSEC_PER_MS  1000000
#define SEC_PER_DAY  86400

/* 400 Gregorian years are a whole number of days. */
#define ERA_DAYS  146097
#define ERA_YEARS 400

__extension__ typedef __int128 wide;

static wide wide_of(struct instant t)
{
	return (wide)t.sec * NSEC_PER_SEC + t.nsec;
}

static int64_t saturate(wide v)
{
	if (v > INT64_MAX)
		return INT64_MAX;
	if (v < INT64_MIN)
		return INT64_MIN;
	return (int64_t)v;
}

static wide floor_div(wide a, wide b)
{
	return a / b - (a % b < 0);
}

int instant_compare(struct instant a, struct instant b)
{
	if (a.sec != b.sec)
		return a.sec < b.sec ? -1 : 1;
	return (a.nsec > b.nsec) - (a.nsec < b.nsec);
}

int64_t instant_ms_between(struct instant a, struct instant b)
{
	return saturate(floor_div(wide_of(b) - wide_of(a), NSEC_PER_MS));
}

struct instant instant_add_ms(struct instant t, int64_t ms)
{
	const wide sum = wide_of(t) + (wide)ms * NSEC_PER_MS;
	const wide sec = floor_div(sum, NSEC_PER_SEC);

	if (sec > INT64_MAX)
		return (struct instant){ INT64_MAX, NSEC_PER_SEC - 1 };
	if (sec < INT64_MIN)
		return (struct instant){ INT64_MIN, 0 };
	return (struct instant){ (int64_t)sec,
				 (uint32_t)(sum - sec * NSEC_PER_SEC) };
}

/*
 * Years are counted from 1 March of year 0, so that the leap day is the last
 * of its year; this is the number of days before each of its months.
 */
static const unsigned int days_before[12] = { 0,   31,	61,  92,  122, 153,
					      184, 214, 245, 275, 306, 337 };

/* From 0000-03-01 to 1970-01-01. */
#define DAYS_TO_EPOCH 719468

int64_t instant_days_from_civil(int64_t year, unsigned int month,
				unsigned int day)
{
	const unsigned int m = (month + 9) % 12;
	const wide y = (wide)year - (month < 3);
	const wide era = floor_div(y, ERA_YEARS);
	const wide in_era = y - era * ERA_YEARS;
	wide days;

	assert(month >= 1 && month <= 12);
	days = era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100;
	return saturate(days + days_before[m] + day - 1 - DAYS_TO_EPOCH);
}

void instant_civil_from_days(int64_t days, int64_t *ret_year,
			     unsigned int *ret_month, unsigned int *ret_day)
{
	const wide since = (wide)days + DAYS_TO_EPOCH;
	const int64_t era = (int64_t)floor_div(since, ERA_DAYS);
	unsigned int left = (unsigned int)(since - (wide)era * ERA_DAYS);
	unsigned int centuries;
	unsigned int years;
	unsigned int n;
	unsigned int m = 11;

	/* The last century of an era and the last year of four are longer. */
	centuries = left / 36524;
	if (centuries > 3)
		centuries = 3;
	left -= centuries * 36524;
	n = left / 1461;
	left -= n * 1461;
	years = centuries * 100 + n * 4;
	n = left / 365;
	if (n > 3)
		n = 3;
	left -= n * 365;
	years += n;
	while (days_before[m] > left)
		m--;
	*ret_year = era * ERA_YEARS + years + (m >= 10);
	*ret_month = m < 10 ? m + 3 : m - 9;
	*ret_day = left - days_before[m] + 1;
}

static void format_local(wide local, uint32_t nsec, const char *zone,
			 char out[INSTANT_TEXT])
{
	const int64_t days = (int64_t)floor_div(local, SEC_PER_DAY);
	const unsigned int s = (unsigned int)(local - (wide)days * SEC_PER_DAY);
	unsigned int month;
	unsigned int day;
	int64_t year;
	char fraction[16] = "";
	int n;

	instant_civil_from_days(days, &year, &month, &day);
	if (nsec) {
		n = snprintf(fraction, sizeof(fraction), ".%09u", nsec);
		while (n > 0 && fraction[n - 1] == '0')
			fraction[--n] = '\0';
	}
	n = snprintf(out, INSTANT_TEXT,
		     year < 0 || year > 9999 ? "%+05lld" : "%04lld",
		     (long long)year);
	n += snprintf(out + n, INSTANT_TEXT - (size_t)n,
		      "-%02u-%02uT%02u:%02u:%02u%s%s", month, day, s / 3600,
		      s / 60 % 60, s % 60, fraction, zone);
	assert(n < INSTANT_TEXT);
}

void instant_format(struct instant t, char out[INSTANT_TEXT])
{
	format_local(t.sec, t.nsec, "Z", out);
}

void instant_format_offset(struct instant t, int32_t offset_s,
			   char out[INSTANT_TEXT])
{
	const unsigned int minutes =
		(unsigned int)(offset_s < 0 ? -(int64_t)offset_s : offset_s) /
		60;
	const int64_t whole = (offset_s < 0 ? -1 : 1) * (int64_t)minutes * 60;
	char zone[16];

	assert(minutes < 100 * 60);
	(void)snprintf(zone, sizeof(zone), "%c%02u:%02u",
		       offset_s < 0 ? '-' : '+', minutes / 60 % 100,
		       minutes % 60);
	format_local((wide)t.sec + whole, t.nsec, zone, out);
}

/* Exactly n digits; moves *s behind them. */
static bool digits(const char **s, unsigned int n, unsigned int *ret)
{
	unsigned int v = 0;

	for (unsigned int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (unsigned int)(**s - '0');
	}
	*ret = v;
	return true;
}

static bool literal(const char **s, const char *any)
{
	if (!**s || !strchr(any, **s))
		return false;
	(*s)++;
	return true;
}

/* Digits beyond nanoseconds are read over. */
static bool fraction_of(const char **s, uint32_t *ret_nsec)
{
	uint32_t nsec = 0;
	uint32_t weight = NSEC_PER_SEC / 10;

	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9'; (*s)++) {
		nsec += weight * (uint32_t)(**s - '0');
		weight /= 10;
	}
	*ret_nsec = nsec;
	return true;
}

static bool zone_of(const char **s, int64_t *ret_offset_s)
{
	const bool west = **s == '-';
	unsigned int hours;
	unsigned int minutes;

	if (literal(s, "Zz")) {
		*ret_offset_s = 0;
		return true;
	}
	if (!literal(s, "+-") || !digits(s, 2, &hours) || !literal(s, ":") ||
	    !digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_offset_s = (west ? -INT64_C(60) : 60) *
			((int64_t)hours * 60 + minutes);
	return true;
}

static bool date_of(const char **s, int64_t *ret_days)
{
	unsigned int year;
	unsigned int month;
	unsigned int day;
	unsigned int same_month;
	unsigned int same_day;
	int64_t same_year;

	if (!digits(s, 4, &year) || !literal(s, "-") || !digits(s, 2, &month) ||
	    !literal(s, "-") || !digits(s, 2, &day) || month < 1 ||
	    month > 12 || day < 1)
		return false;
	*ret_days = instant_days_from_civil(year, month, day);
	/* A day that the month does not have comes back as another date. */
	instant_civil_from_days(*ret_days, &same_year, &same_month, &same_day);
	return same_month == month && same_day == day;
}

static bool parse(const char *s, struct instant *ret)
{
	unsigned int hour;
	unsigned int minute;
	unsigned int second;
	uint32_t nsec = 0;
	int64_t days;
	int64_t offset;
	int64_t sec;

	if (!date_of(&s, &days) || !literal(&s, "Tt ") ||
	    !digits(&s, 2, &hour) || !literal(&s, ":") ||
	    !digits(&s, 2, &minute) || !literal(&s, ":") ||
	    !digits(&s, 2, &second) || hour > 23 || minute > 59 || second > 60)
		return false;
	if (*s == '.') {
		s++;
		if (!fraction_of(&s, &nsec))
			return false;
	}
	if (!zone_of(&s, &offset) || *s)
		return false;
	sec = days * SEC_PER_DAY + (int64_t)hour * 3600 + (int64_t)minute * 60 +
	      second - offset;
	/* Leap seconds end a day of UTC. */
	if (second == 60 && sec % SEC_PER_DAY != 0)
		return false;
	*ret = (struct instant){ sec, nsec };
	return true;
}

int instant_parse(const char *s, struct instant *ret, struct err *e)
{
	if (parse(s, ret))
		return 0;
	return err_set(e, ERR_USAGE,
		       "%s is not a time such as 2026-03-29T03:00:00Z or "
		       "2026-03-29T05:00:00+02:00",
		       text_quote_str(s).s);
}

static const struct {
	char letter;
	int64_t ms;
} duration_units[] = {
	{ 'd', INT64_C(86400000) },
	{ 'h', 3600000 },
	{ 'm', 60000 },
	{ 's', 1000 },
};
#define DURATION_UNITS (sizeof(duration_units) / sizeof(duration_units[0]))

/* One "12h" whose unit is at index *unit or later; moves *unit behind it. */
static bool duration_part(const char **s, size_t *unit, int64_t *total)
{
	int64_t v = 0;

	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9'; (*s)++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, **s - '0', &v))
			return false;
	while (*unit < DURATION_UNITS && duration_units[*unit].letter != **s)
		(*unit)++;
	if (*unit == DURATION_UNITS)
		return false;
	(*s)++;
	return !__builtin_mul_overflow(v, duration_units[(*unit)++].ms, &v) &&
	       !__builtin_add_overflow(*total, v, total);
}

int instant_duration_parse(const char *s, int64_t *ret_ms, struct err *e)
{
	const char *p = s;
	int64_t total = 0;
	size_t unit = 0;

	do {
		if (!duration_part(&p, &unit, &total))
			return err_set(e, ERR_USAGE,
				       "%s is not a duration such as 90s, 10m, "
				       "26h or 1d12h",
				       text_quote_str(s).s);
	} while (*p);
	*ret_ms = total;
	return 0;
}

void instant_duration_format(int64_t ms, char out[INSTANT_TEXT])
{
	uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
	int n = 0;

	left -= left % 1000;
	if (ms < 0 && left > 0)
		out[n++] = '-';
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		const uint64_t unit = (uint64_t)duration_units[i].ms;

		if (left / unit > 0)
			n += snprintf(out + n, INSTANT_TEXT - (size_t)n,
				      "%llu%c",
				      (unsigned long long)(left / unit),
				      duration_units[i].letter);
		left %= unit;
	}
	if (n == 0)
		(void)snprintf(out, INSTANT_TEXT, "0s");
}
