/*
 * What the pure parts cost: retention for a million snapshots, a tick over
 * ten thousand schedules.  Prints figures; judges nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "schedules/plan.h"
#include "schedules/retention.h"
#include "service/zoneinfo.h"

#define SNAPSHOTS 1000000
#define SCHEDULES 10000
#define NOW_S	  INT64_C(1774749600)

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fail(const struct err *e)
{
	(void)fprintf(stderr, "%s\n", e->text);
	return EXIT_FAILURE;
}

static int add_rules(struct retention_policy *p, struct err *e)
{
	static const struct {
		enum retention_kind kind;
		int64_t count;
	} counts[] = { { RETENTION_LAST, 1000 },   { RETENTION_HOURLY, -1 },
		       { RETENTION_DAILY, 3650 },  { RETENTION_WEEKLY, 520 },
		       { RETENTION_MONTHLY, 120 }, { RETENTION_YEARLY, -1 } };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (retention_add_count(p, counts[i].kind, counts[i].count, e))
			return -1;
	return retention_add_duration(p, RETENTION_WITHIN_DAILY, "5y", e);
}

static int run_retention(const struct zone *z, const char *order, int stride,
			 struct err *e)
{
	static struct retention_snapshot s[SNAPSHOTS];
	static char ids[SNAPSHOTS][16];
	struct retention_policy p = { .zone = z };
	struct retention_result r;
	size_t kept = 0;
	double begin;

	if (add_rules(&p, e))
		return -1;
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		const int64_t place = ((int64_t)i * stride) % SNAPSHOTS;

		(void)snprintf(ids[i], sizeof(ids[i]), "%08zx", i);
		s[i] = (struct retention_snapshot){
			.id = ids[i],
			.received = { NOW_S - 600 * (SNAPSHOTS - place), 0 },
			.complete = i % 50 != 0,
		};
	}
	begin = seconds();
	if (retention_decide(&p, s, SNAPSHOTS, (struct instant){ NOW_S, 0 }, &r,
			     e))
		return -1;
	for (size_t i = 0; i < r.n; i++)
		kept += r.decisions[i].keep;
	(void)printf("retention: %d snapshots %s, %zu rules: %.3f s, "
		     "%zu kept, %zu reasons\n",
		     SNAPSHOTS, order, p.n_rules, seconds() - begin, kept,
		     r.n_reasons);
	retention_result_done(&r);
	return 0;
}

static int count(void *arg, const struct plan_occurrence *o, struct err *e)
{
	(void)o;
	(void)e;
	++*(size_t *)arg;
	return 0;
}

static int run_tick(const struct zone *const zones[4], struct err *e)
{
	static struct plan_schedule s[SCHEDULES];
	static struct plan_blackout office = { .for_s = 36000 };
	static char uids[SCHEDULES][16];
	size_t due = 0;
	int64_t wake = INT64_MAX;
	double begin;

	if (cron_parse("0 8 * * MON-FRI", &office.cron, e))
		return -1;
	for (int i = 0; i < SCHEDULES; i++) {
		char text[64];

		(void)snprintf(uids[i], sizeof(uids[i]), "u%d", i);
		(void)snprintf(text, sizeof(text), "%d %d * * *", i % 60,
			       i / 60 % 24);
		s[i] = (struct plan_schedule){ .uid = uids[i],
					       .zone = zones[i % 4],
					       .jitter_ms = 600000,
					       .blackouts = &office,
					       .n_blackouts = i % 2 ? 1 : 0 };
		if (cron_parse(text, &s[i].cron, e))
			return -1;
	}
	begin = seconds();
	for (int i = 0; i < SCHEDULES; i++) {
		struct plan_gap gap = { NOW_S - 60, NOW_S, 1000 };
		int64_t next;

		if (plan_account(&s[i], &gap, count, &due, e) < 0)
			return -1;
		next = plan_wake(&s[i], gap.accounted_s, NULL, 0);
		wake = next < wake ? next : wake;
	}
	(void)printf("tick: %d schedules: %.2f ms, %zu due, next in %lld s\n",
		     SCHEDULES, (seconds() - begin) * 1e3, due,
		     (long long)(wake - NOW_S));
	return 0;
}

static int run_gap(const struct zone *z, struct err *e)
{
	struct plan_schedule s = { .uid = "u", .zone = z };
	struct plan_gap gap = { NOW_S - INT64_C(5) * 365 * 86400, NOW_S,
				SIZE_MAX };
	size_t due = 0;
	const double begin = seconds();

	if (cron_parse("* * * * *", &s.cron, e) ||
	    plan_account(&s, &gap, count, &due, e) < 0)
		return -1;
	(void)printf("gap: 5 years of each minute: %.3f s, %zu occurrences\n",
		     seconds() - begin, due);
	return 0;
}

int main(void)
{
	static const char *const names[4] = { "UTC", "Europe/Berlin",
					      "America/New_York",
					      "Asia/Kolkata" };
	struct zone *zones[4] = { NULL };
	struct err e;

	for (size_t i = 0; i < 4; i++)
		if (zoneinfo_load(names[i], &zones[i], &e))
			return fail(&e);
	if (run_retention(zones[1], "in order", 1, &e) ||
	    run_retention(zones[1], "in no order", 7919, &e) ||
	    run_tick((const struct zone *const *)zones, &e) ||
	    run_gap(zones[1], &e))
		return fail(&e);
	for (size_t i = 0; i < 4; i++)
		zone_free(zones[i]);
	return EXIT_SUCCESS;
}
