/*
 * Which time it is for the timetable.
 *
 * The wall clock, as long as it agrees with the boot-time clock since both
 * were last looked at.  When it jumped it is in doubt: until somebody
 * confirms it, or it comes back, the timetable goes on from the time that was
 * last believed by the boot-time clock alone.  So backups go on at their
 * intervals whatever the wall clock does, and nothing is written down for a
 * time that may never have been.
 *
 * What was believed is stored with the boot in which it was.  Of another boot
 * only a loss is suspicious (schedules/plan.h): a clock that was wrong by
 * years when the machine started is believed until it is set right, which is
 * a jump back.  When that one is confirmed the ledger is taken back with it.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "service/scheduler_internal.h"

/* How often the clocks are compared and stored. */
enum { CLOCK_EVERY_MS = 60000 };

/* The first 16 digits of the kernel's boot id. */
static uint64_t boot_number(const char *boot_id)
{
	uint64_t v = 0;
	int digits = 0;

	for (; *boot_id && digits < 16; boot_id++) {
		const char c = *boot_id;

		if (c == '-')
			continue;
		v = v << 4 | (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
		digits++;
	}
	return v;
}

/* What was believed, as it would be by now. */
static struct plan_clocks expected(const struct scheduler *s, int64_t boot_ms)
{
	return (struct plan_clocks){
		.wall = instant_add_ms(s->believed.wall,
				       boot_ms - s->believed.boot_ms),
		.boot_ms = boot_ms,
		.boot_id = s->believed.boot_id,
	};
}

static struct plan_clocks seen(const struct scheduler *s, struct instant wall,
			       int64_t boot_ms)
{
	return (struct plan_clocks){ .wall = wall,
				     .boot_ms = boot_ms,
				     .boot_id = boot_number(
					     s->settings.boot_id) };
}

/* In one boot, jumps between two looks are seen as well. */
struct instant scheduler_clock_now(const struct scheduler *s,
				   struct instant wall, int64_t boot_ms)
{
	const struct plan_clocks then = expected(s, boot_ms);
	int64_t gained_ms;

	return s->believed.boot_id &&
			       plan_clock_is_suspicious(
				       then, seen(s, wall, boot_ms), &gained_ms)
		       ? then.wall
		       : wall;
}

/* What the daemon before believed. */
static int load(struct scheduler *s, int64_t boot_ms, struct err *e)
{
	struct catalog_clock stored;
	const int found = catalog_clock_get(s->settings.catalog, &stored, e);

	if (found <= 0)
		return found;
	(void)snprintf(s->believed_in, sizeof(s->believed_in), "%s",
		       stored.boot_id);
	s->believed =
		(struct plan_clocks){ .wall = stored.wall,
				      .boot_ms = stored.boot_ms,
				      .boot_id = boot_number(stored.boot_id) };
	/* How long the machine was off is not known. */
	if (strcmp(stored.boot_id, s->settings.boot_id) != 0)
		s->believed.boot_ms = boot_ms;
	return 0;
}

/* Every moment that was planned for may be another one. */
static void wake_all(const struct scheduler *s)
{
	for (size_t i = 0; s->timetable && i < s->timetable->count; i++)
		s->timetable->entries[i].wake_s = INT64_MIN;
}

static int put(struct scheduler *s, const struct plan_clocks *k,
	       const char *boot_id, struct instant suspicious, int64_t jump_ms,
	       struct err *e)
{
	struct catalog_clock row = { .wall = k->wall,
				     .boot_ms = k->boot_ms,
				     .suspicious = suspicious,
				     .jump_ms = jump_ms };

	(void)snprintf(row.boot_id, sizeof(row.boot_id), "%s", boot_id);
	if (catalog_clock_put(s->settings.catalog, &row, e) < 0)
		return -1;
	s->put_ms = k->boot_ms;
	return 0;
}

/* Believe what is seen, and remember it. */
static int believe(struct scheduler *s, const struct plan_clocks *now,
		   struct err *e)
{
	if (put(s, now, s->settings.boot_id, (struct instant){ 0 }, 0, e) < 0)
		return -1;
	s->believed = *now;
	(void)snprintf(s->believed_in, sizeof(s->believed_in), "%s",
		       s->settings.boot_id);
	return 0;
}

/* No longer in doubt: every moment that was planned for is another one. */
static void trust(struct scheduler *s)
{
	s->in_doubt = false;
	wake_all(s);
}

/* Whether somebody said that the clock is right: 1, 0, -1. */
static int is_confirmed(struct scheduler *s, struct err *e)
{
	struct catalog_clock stored;
	const int found = catalog_clock_get(s->settings.catalog, &stored, e);

	return found < 0 ? -1 : found == 0 || stored.suspicious.sec == 0;
}

/*
 * The clock is right: the timetable jumps as it did.  What was written down
 * for times that are now to come is taken back.  A kill before the commit
 * finds the clock in doubt again.
 */
static int follow(struct scheduler *s, const struct plan_clocks *now,
		  struct err *e)
{
	struct catalog *c = s->settings.catalog;
	const struct plan_clocks before = s->believed;
	uint64_t forgotten = 0;

	if (catalog_begin(c, e) < 0)
		return -1;
	if (catalog_ledger_rewind(c, now->wall, &forgotten, e) < 0 ||
	    believe(s, now, e) < 0 || catalog_commit(c, e) < 0) {
		catalog_rollback(c);
		s->believed = before;
		return -1;
	}
	trust(s);
	for (size_t i = 0; s->timetable && i < s->timetable->count; i++)
		s->timetable->entries[i].accounted_s = INT64_MIN;
	log_event(
		LOG_LEVEL_INFO,
		"the clock was confirmed; %ju occurrences that were noted for "
		"times to come will be due again",
		(uintmax_t)forgotten);
	return 0;
}

static int doubt(struct scheduler *s, const struct plan_clocks *now,
		 int64_t gained_ms, struct err *e)
{
	const struct plan_clocks goes_on = expected(s, now->boot_ms);
	const struct instant none = { 0 };

	/* The alarm once: it must not undo a confirmation. */
	if (s->in_doubt)
		return now->boot_ms - s->put_ms < CLOCK_EVERY_MS
			       ? 0
			       : put(s, &goes_on, s->believed_in, none, 0, e);
	if (put(s, &goes_on, s->believed_in, goes_on.wall, gained_ms, e) < 0)
		return -1;
	s->in_doubt = true;
	wake_all(s);
	log_event(LOG_LEVEL_WARN,
		  "the clock jumped by %jd s: retention and gc stop, and the "
		  "timetable goes on as if it had not, until \"snapctl clock "
		  "confirm\"",
		  (intmax_t)(gained_ms / 1000));
	return 0;
}

/* What is seen agrees with what was believed. */
static int agree(struct scheduler *s, const struct plan_clocks *now,
		 bool is_first, struct err *e)
{
	if (s->in_doubt)
		trust(s);
	else if (!is_first && s->believed.boot_id == now->boot_id &&
		 now->boot_ms - s->put_ms < CLOCK_EVERY_MS)
		return 0;
	return believe(s, now, e);
}

int scheduler_clock_look(struct scheduler *s, struct instant wall,
			 int64_t boot_ms, struct instant *ret_now,
			 struct err *e)
{
	const struct plan_clocks now = seen(s, wall, boot_ms);
	const bool is_first = !s->believed.boot_id;
	int64_t gained_ms = 0;
	int confirmed = 0;
	int status;

	if (is_first && load(s, boot_ms, e) < 0)
		return -1;
	if (!s->believed.boot_id ||
	    !plan_clock_is_suspicious(expected(s, boot_ms), now, &gained_ms)) {
		status = agree(s, &now, is_first, e);
	} else {
		if (s->in_doubt)
			confirmed = is_confirmed(s, e);
		status = confirmed < 0 ? -1
			 : confirmed   ? follow(s, &now, e)
				       : doubt(s, &now, gained_ms, e);
	}
	if (status < 0)
		return -1;
	*ret_now = scheduler_clock_now(s, wall, boot_ms);
	return 0;
}
