#include "schedules/zone_rule.h"

#include <string.h>

#include "base/instant.h"
#include "base/text.h"

#define DAY_S INT64_C(86400)

/*
 * Years are computed with 64 bits; beyond this many seconds (some 2 billion
 * years) the rule's answer no longer matters, only that there is one.
 */
#define FAR_S (INT64_C(1) << 56)

struct reader {
	const char *p;
	const char *end;
	bool bad;
};

static bool at(const struct reader *r, char c)
{
	return !r->bad && r->p < r->end && *r->p == c;
}

static bool take(struct reader *r, char c)
{
	if (!at(r, c))
		return false;
	r->p++;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static unsigned int number(struct reader *r, unsigned int min, unsigned int max)
{
	unsigned int v = 0;
	const char *start = r->p;

	while (r->p < r->end && is_digit(*r->p) && v <= max)
		v = v * 10 + (unsigned int)(*r->p++ - '0');
	if (r->p == start || v < min || v > max) {
		r->bad = true;
		return 0;
	}
	return v;
}

static void name(struct reader *r)
{
	const char *start = r->p;
	const bool quoted = take(r, '<');

	while (r->p < r->end && *r->p != '>' &&
	       (quoted || ((*r->p | 0x20) >= 'a' && (*r->p | 0x20) <= 'z')))
		r->p++;
	if (r->p - start < 3 || (quoted && !take(r, '>')))
		r->bad = true;
}

/* [+-]h[h[h]][:mm[:ss]] in seconds. */
static int32_t clock_time(struct reader *r, unsigned int max_hours)
{
	const bool negative = take(r, '-');
	int32_t s;

	if (!negative)
		(void)take(r, '+');
	s = (int32_t)number(r, 0, max_hours) * 3600;
	if (take(r, ':')) {
		s += (int32_t)number(r, 0, 59) * 60;
		if (take(r, ':'))
			s += (int32_t)number(r, 0, 59);
	}
	return negative ? -s : s;
}

static void day(struct reader *r, struct zone_rule_day *d)
{
	if (take(r, 'J')) {
		d->form = ZONE_DAY_JULIAN;
		d->day = number(r, 1, 365);
	} else if (take(r, 'M')) {
		d->form = ZONE_DAY_MONTH;
		d->month = number(r, 1, 12);
		r->bad |= !take(r, '.');
		d->week = number(r, 1, 5);
		r->bad |= !take(r, '.');
		d->day = number(r, 0, 6);
	} else {
		d->form = ZONE_DAY_ZERO;
		d->day = number(r, 0, 365);
	}
	d->time_s = take(r, '/') ? clock_time(r, 167) : 2 * 3600;
}

int zone_rule_parse(const char *text, size_t n, struct zone_rule *ret,
		    struct err *e)
{
	struct reader r = { text, text + n, false };
	struct zone_rule rule = { .has_summer = false };

	name(&r);
	rule.standard_s = -clock_time(&r, 24);
	if (!r.bad && r.p < r.end) {
		rule.has_summer = true;
		name(&r);
		rule.summer_s = rule.standard_s + 3600;
		if (r.p < r.end && !at(&r, ','))
			rule.summer_s = -clock_time(&r, 24);
		r.bad |= !take(&r, ',');
		day(&r, &rule.summer_from);
		r.bad |= !take(&r, ',');
		day(&r, &rule.summer_until);
	}
	if (r.bad || r.p != r.end)
		return err_set(e, ERR_CORRUPT,
			       "%s is no rule for a time zone: byte %td",
			       text_quote(text, n).s, r.p - text + 1);
	*ret = rule;
	return 0;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* The day of a year on which d falls, as days since 1970. */
static int64_t day_in_year(const struct zone_rule_day *d, int64_t year)
{
	int64_t first;
	int64_t next_month;
	int64_t weekday;

	if (d->form != ZONE_DAY_MONTH) {
		first = instant_days_from_civil(year, 1, 1);
		if (d->form == ZONE_DAY_ZERO)
			return first + d->day;
		/* J60 is 1 March in every year: 29 February has no number. */
		return first + d->day - 1 + (d->day >= 60 && is_leap(year));
	}
	first = instant_days_from_civil(year, d->month, 1);
	next_month = d->month == 12
			     ? instant_days_from_civil(year + 1, 1, 1)
			     : instant_days_from_civil(year, d->month + 1, 1);
	weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
	first += (d->day + 7 - weekday) % 7 + 7 * (int64_t)(d->week - 1);
	return first < next_month ? first : first - 7;
}

struct change {
	int64_t at;
	int32_t offset_s; /* from then on */
};

/*
 * A change of one year can lie in the first days of the next, so the last one
 * before an instant may belong to the year before the last.
 */
#define CHANGES 8

/*
 * Both changes of the years around one, ascending.  The insertion keeps
 * changes of one instant in order, the later year's last, so that "summer
 * all year round" (it ends at the instant at which it begins) never ends.
 */
static void changes_around(const struct zone_rule *r, int64_t year,
			   struct change out[CHANGES])
{
	size_t n = 0;

	for (int64_t y = year - 2; y <= year + 1; y++) {
		const struct change both[2] = {
			{ day_in_year(&r->summer_until, y) * DAY_S +
				  r->summer_until.time_s - r->summer_s,
			  r->standard_s },
			{ day_in_year(&r->summer_from, y) * DAY_S +
				  r->summer_from.time_s - r->standard_s,
			  r->summer_s },
		};

		for (size_t k = 0; k < 2; k++) {
			size_t i = n++;

			for (; i > 0 && out[i - 1].at > both[k].at; i--)
				out[i] = out[i - 1];
			out[i] = both[k];
		}
	}
}

struct zone_span zone_rule_span(const struct zone_rule *r, int64_t utc_s)
{
	struct zone_span sp = { INT64_MIN, INT64_MAX, r->standard_s };
	struct change changes[CHANGES] = { { 0, 0 } };
	int64_t year;
	unsigned int month;
	unsigned int mday;

	if (!r->has_summer || utc_s > FAR_S || utc_s < -FAR_S)
		return sp;
	instant_civil_from_days((utc_s - (utc_s < 0 ? DAY_S - 1 : 0)) / DAY_S,
				&year, &month, &mday);
	changes_around(r, year, changes);
	for (size_t i = 0; i < CHANGES; i++) {
		if (changes[i].at > utc_s) {
			sp.until = changes[i].at;
			break;
		}
		sp.from = changes[i].at;
		sp.offset_s = changes[i].offset_s;
	}
	return sp;
}
