/*
 * Timetables in cron's words: which instants an expression means in a zone.
 *
 * Five fields separated by spaces or tabs,
 *
 *	minute 0-59, hour 0-23, day of month 1-31, month 1-12 or JAN-DEC,
 *	day of week 0-7 or SUN-SAT (0 and 7 are both Sunday),
 *
 * each a comma-separated list of `*`, a value or a range `a-b`, where `*` and a
 * range may be followed by a step `/n`, and so may a value: `a/n` runs from a
 * to the end of the field.  Names are of either case; a range may end in SUN
 * ("SAT-SUN").  Or one of @hourly, @daily (@midnight),
 * @weekly, @monthly, @yearly (@annually).
 *
 * A day matches when its month does and, where neither day field begins with
 * `*`, either day field does ("0 0 13 * FRI": each 13th and each Friday);
 * where one of them begins with `*`, both must.  An expression that can never
 * fire ("0 0 31 2 *") is refused.
 *
 * Summer time.  An expression is *fixed* when its hour field neither begins
 * with `*` nor covers all 24 hours.  A fixed expression fires once for each
 * matching local time: one in a gap at the first instant after the gap
 * (several of them collapse into that one), one in a fold on the first pass.
 * Every other expression follows the wall clock and fires at each real
 * instant that matches.  In Europe/Berlin:
 *
 *	"30 2 * * *"	2026-03-29 03:00:00+02:00  (02:30 is in the gap)
 *			2026-10-25 02:30:00+02:00  (not again at +01:00)
 *	"0,30 2 * * *"	2026-03-29 03:00:00+02:00  once for both
 *	"0 2,3 * * *"	2026-03-29 03:00:00+02:00  once for both
 *	"30 * * * *"	2026-03-29 01:30+01:00, 03:30+02:00
 *			2026-10-25 02:30+02:00, 02:30+01:00, 03:30+01:00
 *
 * Pure; nothing allocates.  Instants are whole UTC seconds.
 */
#ifndef SCHEDULES_CRON_H
#define SCHEDULES_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "schedules/zone.h"

/* A parsed expression: bit k of a set is the value k. */
struct cron {
	uint64_t minutes;
	uint32_t hours;
	uint32_t days;	  /* of the month, bits 1 … 31 */
	uint16_t months;  /* bits 1 … 12 */
	uint8_t weekdays; /* bits 0 (Sunday) … 6 */
	bool either;	  /* one of both day fields is enough */
	bool fixed;	  /* see above */
};

/* Longer texts are refused. */
#define CRON_TEXT_MAX 256

/* ERR_USAGE names the field, what stands there, what may, and the column. */
int cron_parse(const char *text, struct cron *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * The first instant after (before) the given one: 1, or 0 when there is none
 * within the years 1 to 9999.  Cost: below a microsecond for an ordinary
 * expression (cron_previous: some twenty times that).
 */
int cron_next(const struct cron *c, const struct zone *z, int64_t after_s,
	      int64_t *ret_s) NONNULL(1, 2, 4);
int cron_previous(const struct cron *c, const struct zone *z, int64_t before_s,
		  int64_t *ret_s) NONNULL(1, 2, 4);

/*
 * A shift in [0, jitter_ms) that depends on nothing but its arguments, so
 * that an occurrence has the same start in each process and after a restart
 * while schedules with one timetable are spread.  The mapping is part of the
 * ledger's meaning and never changes.
 */
int64_t cron_jitter_ms(const char *uid, int64_t at_s, int64_t jitter_ms)
	NONNULL(1);

#endif
