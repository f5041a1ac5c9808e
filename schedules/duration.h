/*
 * Lengths of calendar time, as retention counts them: "1y2m3w4d5h", where m
 * is a month and w seven days.  (Lengths of clock time, where m is a minute,
 * are base/instant.h's.)
 *
 * Years, months, weeks and days are taken off the date on the wall of a
 * zone; a date that does not exist runs over into the next month, as timegm()
 * does it: 31 March minus one month is 31 February, which is 3 March (2 March
 * in a leap year).  Then hours are taken off the real time.  A local time in
 * a gap becomes the first instant after it; in a fold, its first pass.
 */
#ifndef SCHEDULES_DURATION_H
#define SCHEDULES_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "schedules/zone.h"

/* No member is negative or larger than DURATION_MAX. */
struct duration {
	int32_t years, months, weeks, days, hours;
};

#define DURATION_MAX  1000000
#define DURATION_TEXT 48

/*
 * One or more numbers with a unit, the units in the order y m w d h, each at
 * most once.  ERR_USAGE says what was found and what was expected.
 */
int duration_parse(const char *text, struct duration *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* The text again, without what is zero; "0d" when all is. */
void duration_format(struct duration d, char out[DURATION_TEXT]) NONNULL(2);
bool duration_is_zero(struct duration d);

/* t minus d.  A t more than 2^56 s from 1970 is returned as it is. */
struct instant duration_before(struct instant t, struct duration d,
			       const struct zone *z) NONNULL(3);

#endif
