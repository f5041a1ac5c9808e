/*
 * Points in time and lengths of clock time.
 *
 * An instant is a count of nanoseconds since 1970-01-01T00:00:00Z without
 * leap seconds, split so that every time a file can carry fits: seconds are
 * signed 64 bits, nanoseconds are 0 … 999,999,999 and count forward.
 */
#ifndef BASE_INSTANT_H
#define BASE_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct instant {
	int64_t sec;
	uint32_t nsec;
};

#define INSTANT_NSEC_MAX 999999999

/* Room for any instant as text. */
#define INSTANT_TEXT 48

/* <0, 0 or >0 as a is before, at or after b. */
int instant_compare(struct instant a, struct instant b);
/* b - a in milliseconds, rounded down, saturating. */
int64_t instant_ms_between(struct instant a, struct instant b);
/* Saturating. */
struct instant instant_add_ms(struct instant t, int64_t ms);

/*
 * RFC 3339 in UTC with as many fractional digits as needed ("…T09:30:00Z",
 * "…:00.5Z"); years outside 0000-9999 are written with a sign and as many
 * digits as they need, which instant_parse() does not read.
 */
void instant_format(struct instant t, char out[INSTANT_TEXT]) NONNULL(2);
/*
 * As above with an explicit offset of less than 100 hours, seconds of it
 * dropped: "2026-03-29T03:00:00+02:00".
 */
void instant_format_offset(struct instant t, int32_t offset_s,
			   char out[INSTANT_TEXT]) NONNULL(3);
/*
 * Reads RFC 3339 ("T" or a space or "t"; "Z" or an offset; a leap second
 * reads as the next second; digits after the ninth of a fraction are dropped).
 * ERR_USAGE names what was expected.
 */
int instant_parse(const char *s, struct instant *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Proleptic Gregorian calendar arithmetic, exact for all int64 days; years
 * beyond those saturate.  Days past the end of the month count on: 31
 * February is 3 March, or 2 March in a leap year.
 */
int64_t instant_days_from_civil(int64_t year, unsigned int month,
				unsigned int day);
void instant_civil_from_days(int64_t days, int64_t *ret_year,
			     unsigned int *ret_month, unsigned int *ret_day)
	NONNULL(2, 3, 4);

/*
 * A clock duration "1d2h30m5s" (m = minutes; units once each, in falling
 * order; also "0s") in milliseconds.  ERR_USAGE for anything else, overflow
 * included.
 */
int instant_duration_parse(const char *s, int64_t *ret_ms, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/*
 * The same in units: "26h" is "1d2h", 0 is "0s".  What is left below a second
 * is dropped; negative ones begin with '-', which the parser does not read.
 */
void instant_duration_format(int64_t ms, char out[INSTANT_TEXT]) NONNULL(2);

#endif
