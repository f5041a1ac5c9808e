/*
 * Which instants an expression means in a zone, by brute force: the C library
 * is asked what the wall shows at each minute of a stretch of time.
 *
 * A fixed expression is due for each local time that matches, when the wall
 * first shows it or, having left it out, something later; any other one at
 * each minute at which the wall matches.  Nothing of schedules/ is used.
 */
#ifndef TESTS_SUPPORT_CRON_ORACLE_H
#define TESTS_SUPPORT_CRON_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/support/cron_draw.h"
#include "tests/support/libc_zone.h"

/* So long before a stretch the wall can have shown all that it shows in it. */
#define CRON_ORACLE_LEAD (2 * 86400)

struct cron_oracle {
	int64_t from, until; /* due() answers for [from, until) */
	int64_t *wall;	     /* from `from - LEAD` on, each minute */
	size_t minutes;
	bool odd; /* offsets are no whole minutes: no answers */
};

/* Whole minutes; the zone is TZ's. */
static inline void cron_oracle_cover(struct cron_oracle *o, int64_t from,
				     int64_t until)
{
	const int64_t first = from - CRON_ORACLE_LEAD;

	free(o->wall);
	o->from = from;
	o->until = until;
	o->odd = false;
	o->minutes = (size_t)((until - first) / 60);
	o->wall = malloc(o->minutes * sizeof(*o->wall));
	ck_assert_ptr_nonnull(o->wall);
	for (size_t i = 0; i < o->minutes; i++) {
		o->wall[i] = libc_zone_local(first + 60 * (int64_t)i);
		o->odd = o->odd || o->wall[i] % 60 != 0;
	}
}

static inline bool cron_oracle_matches(const struct cron_draw *t, int64_t local)
{
	const int64_t minute = local / 60;

	/* Most minutes are told by these, and cheaply. */
	return t->ok[0][minute % 60] && t->ok[1][minute / 60 % 24] &&
	       cron_draw_matches(t, local);
}

/* Whether any local minute behind `after`, up to `last`, matches. */
static inline bool cron_oracle_any(const struct cron_draw *t, int64_t after,
				   int64_t last)
{
	while ((after += 60) <= last)
		if (cron_oracle_matches(t, after))
			return true;
	return false;
}

/* The instants, ascending; *ret is for free(). */
static inline size_t cron_oracle_due(const struct cron_oracle *o,
				     const struct cron_draw *t, int64_t **ret)
{
	const bool fixed = cron_draw_is_fixed(t);
	const size_t lead = CRON_ORACLE_LEAD / 60;
	int64_t shown = o->wall[0]; /* the most that the wall has shown */
	int64_t *due = malloc(o->minutes * sizeof(*due));
	size_t n = 0;

	ck_assert_ptr_nonnull(due);
	for (size_t i = 1; i < o->minutes; i++) {
		const int64_t wall = o->wall[i];
		const bool fires = fixed ? cron_oracle_any(t, shown, wall)
					 : cron_oracle_matches(t, wall);

		if (wall > shown)
			shown = wall;
		if (fires && i >= lead)
			due[n++] = o->from + 60 * (int64_t)(i - lead);
	}
	*ret = due;
	return n;
}

static inline void cron_oracle_done(struct cron_oracle *o)
{
	free(o->wall);
	o->wall = NULL;
}

#endif
