/*
 * What the pure parts cost: retention for many snapshots, a tick over a
 * hundredth as many schedules.  Prints figures; judges nothing.
 *
 *	schedules [SNAPSHOTS]		default 1,000,000
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "schedules/plan.h"
#include "schedules/retention.h"
#include "service/zoneinfo.h"
#include "tests/bench/measure.h"

#define NOW_S INT64_C(1774749600)

static struct err e;

static void check(int failed)
{
	if (failed >= 0)
		return;
	(void)fprintf(stderr, "schedules: %s\n", e.text);
	exit(1);
}

static void *table(size_t n, size_t size)
{
	void *t = calloc(n, size);

	if (!t)
		exit(1);
	return t;
}

struct job {
	size_t n;
	size_t stride; /* of the order in which snapshots are given */
	const struct zone *zones[4];
};

static int add_rules(struct retention_policy *p)
{
	static const struct {
		enum retention_kind kind;
		int64_t count;
	} counts[] = { { RETENTION_LAST, 1000 },   { RETENTION_HOURLY, -1 },
		       { RETENTION_DAILY, 3650 },  { RETENTION_WEEKLY, 520 },
		       { RETENTION_MONTHLY, 120 }, { RETENTION_YEARLY, -1 } };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (retention_add_count(p, counts[i].kind, counts[i].count, &e))
			return -1;
	return retention_add_duration(p, RETENTION_WITHIN_DAILY, "5y", &e);
}

static void run_retention(void *arg)
{
	const struct job *job = arg;
	struct retention_snapshot *s = table(job->n, sizeof(*s));
	char(*ids)[24] = table(job->n, sizeof(*ids));
	struct retention_policy p = { .zone = job->zones[1] };
	struct retention_result r;

	check(add_rules(&p));
	for (size_t i = 0; i < job->n; i++) {
		const size_t place = i * job->stride % job->n;

		(void)snprintf(ids[i], sizeof(ids[i]), "%08zx", i);
		s[i] = (struct retention_snapshot){
			.id = ids[i],
			.received = { NOW_S - 600 * (int64_t)(job->n - place),
				      0 },
			.complete = i % 50 != 0,
		};
	}
	measure_begin();
	check(retention_decide(&p, s, job->n, (struct instant){ NOW_S, 0 }, &r,
			       &e));
	retention_result_done(&r);
	free(ids);
	free(s);
}

static int count(void *arg, const struct plan_occurrence *o, struct err *why)
{
	(void)o;
	(void)why;
	++*(size_t *)arg;
	return 0;
}

static void run_tick(void *arg)
{
	static struct plan_blackout office = { .for_s = 36000 };
	const struct job *job = arg;
	struct plan_schedule *s = table(job->n, sizeof(*s));
	char(*uids)[24] = table(job->n, sizeof(*uids));
	size_t due = 0;
	int64_t wake = INT64_MAX;

	check(cron_parse("0 8 * * MON-FRI", &office.cron, &e));
	for (size_t i = 0; i < job->n; i++) {
		char text[64];

		(void)snprintf(uids[i], sizeof(uids[i]), "u%zu", i);
		(void)snprintf(text, sizeof(text), "%zu %zu * * *", i % 60,
			       i / 60 % 24);
		s[i] = (struct plan_schedule){ .uid = uids[i],
					       .zone = job->zones[i % 4],
					       .jitter_ms = 600000,
					       .blackouts = &office,
					       .n_blackouts = i % 2 ? 1 : 0 };
		check(cron_parse(text, &s[i].cron, &e));
	}
	measure_begin();
	for (size_t i = 0; i < job->n; i++) {
		struct plan_gap gap = { NOW_S - 60, NOW_S, 1000 };
		int64_t next;

		check(plan_account(&s[i], &gap, count, &due, &e));
		next = plan_wake(&s[i], gap.accounted_s, NULL, 0);
		wake = next < wake ? next : wake;
	}
	free(uids);
	free(s);
}

static void run_gap(void *arg)
{
	const struct job *job = arg;
	struct plan_schedule s = { .uid = "u", .zone = job->zones[1] };
	struct plan_gap gap = { NOW_S - (int64_t)job->n * 60, NOW_S, SIZE_MAX };
	size_t due = 0;

	check(cron_parse("* * * * *", &s.cron, &e));
	check(plan_account(&s, &gap, count, &due, &e));
}

int main(int argc, char **argv)
{
	static const char *const names[4] = { "UTC", "Europe/Berlin",
					      "America/New_York",
					      "Asia/Kolkata" };
	struct zone *zones[4] = { NULL };
	int64_t n = 1000000;
	struct job job;

	if (argc > 1 && !text_number(argv[1], 100, 10000000, &n)) {
		(void)fprintf(stderr, "usage: schedules [SNAPSHOTS]\n");
		return 2;
	}
	for (size_t i = 0; i < 4; i++) {
		check(zoneinfo_load(names[i], &zones[i], &e));
		job.zones[i] = zones[i];
	}
	job.n = (size_t)n;
	job.stride = 1;
	measure("retention, in order", job.n, run_retention, &job);
	job.stride = 7919;
	measure("retention, in no order", job.n, run_retention, &job);
	measure("what was due each minute while down", job.n, run_gap, &job);
	job.n /= 100;
	measure("tick over schedules", job.n, run_tick, &job);
	for (size_t i = 0; i < 4; i++)
		zone_free(zones[i]);
	return EXIT_SUCCESS;
}
