/*
 * Private to schedules/zone.c: the rule in a TZif footer, which is a POSIX TZ
 * string with the extensions of RFC 8536 section 3.3.1:
 *
 *	CET-1CEST,M3.5.0,M10.5.0/3
 *
 * A standard offset and, if wanted, another one between two days of each
 * year.  Signs are reversed: "-1" lies east of Greenwich.
 */
#ifndef SCHEDULES_ZONE_RULE_H
#define SCHEDULES_ZONE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "schedules/zone.h"

struct zone_rule {
	int32_t standard_s;
	int32_t summer_s;
	bool has_summer;
	/* When each begins, on the clock of the other. */
	struct zone_rule_day {
		enum { ZONE_DAY_JULIAN, ZONE_DAY_ZERO, ZONE_DAY_MONTH } form;
		unsigned int day; /* Jn, n, or the weekday of Mm.w.d */
		unsigned int week, month;
		int32_t time_s; /* may be negative or beyond a day */
	} summer_from, summer_until;
};

/* ERR_CORRUPT when the n bytes are no such rule. */
int zone_rule_parse(const char *text, size_t n, struct zone_rule *ret,
		    struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

/* As zone_span(), were the rule in force at all times. */
struct zone_span zone_rule_span(const struct zone_rule *r, int64_t utc_s)
	NONNULL(1);

#endif
