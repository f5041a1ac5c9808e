#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "schedules/cron.h"

#define SUNDAY 7

static const char *const month_names[] = { "JAN", "FEB", "MAR", "APR",
					   "MAY", "JUN", "JUL", "AUG",
					   "SEP", "OCT", "NOV", "DEC" };
static const char *const day_names[] = { "SUN", "MON", "TUE", "WED",
					 "THU", "FRI", "SAT" };

/* Rows in the order of the fields. */
static const struct field {
	const char *name;
	const char *expected;
	unsigned int min, max;
	const char *const *names; /* of min, min + 1, … */
	unsigned int n_names;
} fields[] = {
	{ "minute", "0-59", 0, 59, NULL, 0 },
	{ "hour", "0-23", 0, 23, NULL, 0 },
	{ "day of month", "1-31", 1, 31, NULL, 0 },
	{ "month", "1-12 or JAN-DEC", 1, 12, month_names, 12 },
	{ "day of week", "0-7 or SUN-SAT", 0, SUNDAY, day_names, 7 },
};

#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY };

static const struct {
	const char *name;
	const char *means;
} macros[] = {
	{ "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },
	{ "@midnight", "0 0 * * *" }, { "@weekly", "0 0 * * 0" },
	{ "@monthly", "0 0 1 * *" },  { "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};

/* One field while it is read; p stops at the first byte that does not fit. */
struct reader {
	const char *text; /* the whole expression */
	const struct field *f;
	const char *start, *end; /* the field */
	const char *p;
};

static int refuse(const struct reader *r, const char *expected, struct err *e)
{
	return err_set(e, ERR_USAGE,
		       "cron %s: %s %s: expected %s at column %td",
		       text_quote_str(r->text).s, r->f->name,
		       text_quote(r->start, (size_t)(r->end - r->start)).s,
		       expected, r->p - r->text + 1);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Three letters, the whole word. */
static bool read_name(struct reader *r, unsigned int *ret)
{
	const char *p = r->p;

	while (p < r->end && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z')
		p++;
	if (p - r->p != 3)
		return false;
	for (unsigned int i = 0; i < r->f->n_names; i++) {
		if (strncasecmp(r->p, r->f->names[i], 3) == 0) {
			*ret = r->f->min + i;
			r->p = p;
			return true;
		}
	}
	return false;
}

static bool read_number(struct reader *r, unsigned int min, unsigned int max,
			unsigned int *ret)
{
	const char *p = r->p;
	unsigned int v = 0;

	while (p < r->end && is_digit(*p) && v <= max)
		v = v * 10 + (unsigned int)(*p++ - '0');
	if (p == r->p || v < min || v > max || (p < r->end && is_digit(*p)))
		return false;
	*ret = v;
	r->p = p;
	return true;
}

static bool read_value(struct reader *r, unsigned int *ret)
{
	return read_number(r, r->f->min, r->f->max, ret) || read_name(r, ret);
}

static bool take(struct reader *r, char c)
{
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static int read_step(struct reader *r, unsigned int *ret, struct err *e)
{
	const unsigned int most = r->f->max - r->f->min + (r->f->max != SUNDAY);
	char expected[48];

	if (read_number(r, 1, most, ret))
		return 0;
	(void)snprintf(expected, sizeof(expected), "a step of 1-%u", most);
	return refuse(r, expected, e);
}

/* "a", "a-b" or "*", and whether a step without an end runs on. */
static int read_range(struct reader *r, unsigned int *ret_from,
		      unsigned int *ret_to, struct err *e)
{
	const char *second;

	if (take(r, '*')) {
		*ret_from = r->f->min;
		*ret_to = r->f->max - (r->f->max == SUNDAY);
		return 0;
	}
	if (!read_value(r, ret_from))
		return refuse(r, r->f->expected, e);
	*ret_to = *ret_from;
	if (r->p < r->end && *r->p == '/')
		*ret_to = r->f->max - (r->f->max == SUNDAY);
	if (!take(r, '-'))
		return 0;
	second = r->p;
	if (!read_value(r, ret_to))
		return refuse(r, r->f->expected, e);
	if (r->f->names == day_names && *ret_to == 0 && *ret_from > 0)
		*ret_to = SUNDAY;
	if (*ret_to >= *ret_from)
		return 0;
	r->p = second;
	(void)refuse(r, "a range that does not run backwards", e);
	return err_hint(e, "write it as two ranges separated by a comma");
}

static int read_item(struct reader *r, uint64_t *set, struct err *e)
{
	unsigned int from;
	unsigned int to;
	unsigned int step = 1;

	if (read_range(r, &from, &to, e))
		return -1;
	if (take(r, '/') && read_step(r, &step, e))
		return -1;
	if (to < from)
		to = from; /* "7/2" in the day of week */
	for (unsigned int v = from; v <= to; v += step)
		*set |= UINT64_C(1) << v;
	return 0;
}

static int read_field(struct reader *r, uint64_t *ret, struct err *e)
{
	uint64_t set = 0;

	do {
		if (read_item(r, &set, e))
			return -1;
	} while (take(r, ','));
	if (r->p < r->end) {
		(void)refuse(r, "\",\", \"-\", \"/\" or the end of the field",
			     e);
		if (strchr("?LW#", *r->p))
			return err_hint(e, "\"?\", \"L\", \"W\" and \"#\" are "
					   "not part of five-field cron");
		return -1;
	}
	*ret = set;
	return 0;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t");
}

static int wrong_count(const char *text, size_t found, struct err *e)
{
	(void)err_set(e, ERR_USAGE,
		      "cron %s: found %zu fields, expected 5: minute, hour, "
		      "day of month, month, day of week",
		      text_quote_str(text).s, found);
	if (strncmp(text, "TZ=", 3) == 0 || strncmp(text, "CRON_TZ=", 8) == 0)
		return err_hint(e, "name the zone in timeZone instead");
	if (found == 6)
		return err_hint(e, "there is no field for seconds or years");
	return -1;
}

static int split(const char *text, struct reader r[N_FIELDS], struct err *e)
{
	const char *p = skip_blanks(text);
	size_t n = 0;

	for (; *p; n++) {
		const char *end = p + strcspn(p, " \t");

		if (n < N_FIELDS)
			r[n] = (struct reader){ text, &fields[n], p, end, p };
		p = skip_blanks(end);
	}
	return n == N_FIELDS ? 0 : wrong_count(text, n, e);
}

static const char *expand(const char *text)
{
	const char *p = skip_blanks(text);
	size_t n = strcspn(p, " \t");

	if (*skip_blanks(p + n))
		return text;
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
		if (strlen(macros[i].name) == n &&
		    strncasecmp(macros[i].name, p, n) == 0)
			return macros[i].means;
	return text;
}

/* Whether some month has a day of the set; 29 February counts. */
static bool has_day(uint16_t months, uint32_t days)
{
	static const unsigned int length[13] = { 0,  31, 29, 31, 30, 31, 30,
						 31, 31, 30, 31, 30, 31 };

	for (unsigned int m = 1; m <= 12; m++)
		if (months >> m & 1 && days & ((UINT64_C(2) << length[m]) - 2))
			return true;
	return false;
}

int cron_parse(const char *text, struct cron *ret, struct err *e)
{
	struct reader r[N_FIELDS];
	uint64_t sets[N_FIELDS];
	const char *full;
	struct cron c;

	if (strlen(text) > CRON_TEXT_MAX)
		return err_set(e, ERR_USAGE,
			       "cron %s: longer than %d characters",
			       text_quote_str(text).s, CRON_TEXT_MAX);
	full = expand(text);
	if (*skip_blanks(full) == '@') {
		(void)err_set(e, ERR_USAGE, "cron %s: no such timetable",
			      text_quote_str(text).s);
		return err_hint(e, "there are @hourly, @daily, @weekly, "
				   "@monthly and @yearly");
	}
	if (split(full, r, e))
		return -1;
	for (size_t i = 0; i < N_FIELDS; i++)
		if (read_field(&r[i], &sets[i], e))
			return -1;
	c = (struct cron){
		.minutes = sets[MINUTE],
		.hours = (uint32_t)sets[HOUR],
		.days = (uint32_t)sets[DAY],
		.months = (uint16_t)sets[MONTH],
		.weekdays = (uint8_t)((sets[WEEKDAY] | sets[WEEKDAY] >> 7) &
				      0x7f),
		.either = *r[DAY].start != '*' && *r[WEEKDAY].start != '*',
		.fixed = *r[HOUR].start != '*' && sets[HOUR] != 0xffffff,
	};
	if (!c.either && !has_day(c.months, c.days))
		return err_set(e, ERR_USAGE,
			       "cron %s: can never fire: no month of those "
			       "named has such a day",
			       text_quote_str(text).s);
	*ret = c;
	return 0;
}
