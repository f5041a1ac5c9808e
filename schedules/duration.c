#include "schedules/duration.h"

#include <stddef.h>
#include <stdio.h>

#include "base/text.h"

#define DAY_S INT64_C(86400)

static const char letters[] = "ymwdh";

/*
 * Far enough beyond any snapshot, near enough that nothing below overflows
 * (DURATION_MAX years are 3e13 seconds).
 */
#define FAR_S (INT64_C(1) << 56)

static int32_t *member(struct duration *d, size_t unit)
{
	int32_t *const members[] = { &d->years, &d->months, &d->weeks, &d->days,
				     &d->hours };

	return members[unit];
}

static int refuse(const char *text, const char *why, struct err *e)
{
	(void)err_set(e, ERR_USAGE, "duration %s: %s", text_quote_str(text).s,
		      why);
	return err_hint(e, "write it as \"1y2m3w4d5h\": years, months, weeks, "
			   "days, hours, in this order");
}

int duration_parse(const char *text, struct duration *ret, struct err *e)
{
	struct duration d = { 0 };
	size_t unit = 0;
	const char *p = text;

	if (!*p)
		return refuse(text, "empty", e);
	while (*p) {
		const char *start = p;
		int32_t v = 0;

		for (; *p >= '0' && *p <= '9'; p++) {
			v = v * 10 + (*p - '0');
			if (v > DURATION_MAX)
				return refuse(text, "a number is too large", e);
		}
		if (p == start)
			return refuse(text, "expected a number before a unit",
				      e);
		while (letters[unit] && letters[unit] != *p)
			unit++;
		if (!*p || !letters[unit])
			return refuse(text,
				      "expected the units y, m, w, d, h, each "
				      "once and in this order",
				      e);
		*member(&d, unit++) = v;
		p++;
	}
	*ret = d;
	return 0;
}

void duration_format(struct duration d, char out[DURATION_TEXT])
{
	size_t used = 0;

	for (size_t i = 0; letters[i]; i++) {
		const int32_t v = *member(&d, i);

		if (v)
			used += (size_t)snprintf(out + used,
						 DURATION_TEXT - used, "%d%c",
						 v, letters[i]);
	}
	if (!used)
		(void)snprintf(out, DURATION_TEXT, "0d");
}

bool duration_is_zero(struct duration d)
{
	return !(d.years || d.months || d.weeks || d.days || d.hours);
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

struct instant duration_before(struct instant t, struct duration d,
			       const struct zone *z)
{
	int64_t local;
	int64_t days;
	int64_t year;
	int64_t months;
	unsigned int month;
	unsigned int mday;
	int64_t utc_s;

	if (t.sec < -FAR_S || t.sec > FAR_S)
		return t;
	local = zone_to_local(z, t.sec);
	days = floor_div(local, DAY_S);
	instant_civil_from_days(days, &year, &month, &mday);
	months = (year - d.years) * 12 + (month - 1) - d.months;
	local -= days * DAY_S;
	year = floor_div(months, 12);
	month = (unsigned int)(months - year * 12) + 1;
	days = instant_days_from_civil(year, month, 1) + mday - 1;
	days -= d.weeks * INT64_C(7) + d.days;
	/*
	 * Without a shift of the date there is nothing to look up again: t
	 * may lie in the second pass of a fold.
	 */
	if (d.years || d.months || d.weeks || d.days)
		(void)zone_from_local(z, days * DAY_S + local, &utc_s);
	else
		utc_s = t.sec;
	t.sec = utc_s - d.hours * INT64_C(3600);
	return t;
}
