/*
 * How long the catalog's lists take at the size of a large fleet.  Not run
 * by tests: build/tests/bench/bench_catalog [FOLDER].
 *
 * 10,000 schedules with ten occurrences and runs each, 100,000 snapshots of
 * 10,000 sources with copies in two regions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/catalog.h"
#include "service/catalog_keep.h"

#define SCHEDULES 10000
#define EACH	  10

static struct err e;

static void must(int got, const char *what)
{
	if (got >= 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, e.text);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fill_one(struct catalog *c, int schedule, int turn)
{
	char uid[40], name[40], sources[60], id[40];
	struct catalog_occurrence o = { .kind = "Schedule",
					.schedule_uid = uid,
					.schedule = name,
					.repository = "main",
					.sources_json = sources };
	struct catalog_run r = { .kind = "Schedule",
				 .schedule_uid = uid,
				 .schedule = name,
				 .repository = "main",
				 .sources_json = sources };
	struct catalog_claim k = { .host = "h" };
	struct catalog_run_end end = { .state = CATALOG_RUN_SUCCEEDED,
				       .outcome = CATALOG_SUCCEEDED };
	struct catalog_snapshot n = { .repository = "main",
				      .id = id,
				      .source = name,
				      .state = "complete" };
	struct catalog_replica p = { .repository = "main",
				     .snapshot = id,
				     .state = "complete" };
	enum catalog_claim_result result;

	(void)snprintf(uid, sizeof(uid), "uid-%05d", schedule);
	(void)snprintf(name, sizeof(name), "s%05d", schedule);
	(void)snprintf(sources, sizeof(sources), "[\"%s\"]", name);
	(void)snprintf(id, sizeof(id), "%016x%016x",
		       (unsigned int)schedule * 7919U, (unsigned int)turn);
	o.at.sec = o.jittered.sec = o.noted.sec = 1767225600 + turn * 86400 +
						  schedule;
	r.queued = k.now = end.now = n.time = n.received = o.at;
	must(catalog_occurrence_note(c, &o, &r.occurrence, &e), "note");
	must(catalog_run_queue(c, &r, &k.run, &e), "queue");
	must(catalog_run_claim(c, &k, &result, &e), "claim");
	end.run = n.run = k.run;
	must(catalog_snapshot_put(c, &n, &e), "snapshot");
	p.region = "eu";
	must(catalog_replica_put(c, &p, &e), "replica");
	p.region = "us";
	must(catalog_replica_put(c, &p, &e), "replica");
	must(catalog_run_end(c, &end, &e), "end");
}

static void fill(struct catalog *c)
{
	for (int turn = 0; turn < EACH; turn++)
		for (int i = 0; i < SCHEDULES; i += 1000) {
			must(catalog_begin(c, &e), "begin");
			for (int j = i; j < i + 1000; j++)
				fill_one(c, j, turn);
			must(catalog_commit(c, &e), "commit");
		}
}

static int count_occurrence(void *arg, const struct catalog_occurrence *o,
			    struct err *err)
{
	(void)o;
	(void)err;
	++*(int *)arg;
	return 0;
}

static int count_run(void *arg, const struct catalog_run *r, struct err *err)
{
	(void)r;
	(void)err;
	++*(int *)arg;
	return 0;
}

static int count_snapshot(void *arg, const struct catalog_snapshot *s,
			  struct err *err)
{
	(void)s;
	(void)err;
	++*(int *)arg;
	return 0;
}

static int count_newest(void *arg, const struct catalog_newest *n,
			struct err *err)
{
	(void)n;
	(void)err;
	++*(int *)arg;
	return 0;
}

#define TIME(what, call)                                           \
	do {                                                       \
		const double begun = now_ms();                     \
		int n = 0;                                         \
                                                                   \
		must((call), what);                                \
		(void)printf("%-44s %8d rows %9.2f ms\n", what, n, \
			     now_ms() - begun);                    \
	} while (0)

static void list_all(struct catalog *c)
{
	const struct catalog_occurrence_filter o[] = {
		{ .limit = 50 },
		{ .schedule = "s00077" },
		{ .orphaned = true },
		{ .from = { 1767398400, 0 }, .to = { 1767484800, 0 } },
		{ .limit = 50, .after_id = 50000 },
		{ .repository = "main", .limit = 50 },
		{ .limit = 0 },
	};
	const struct catalog_run_filter r[] = {
		{ .limit = 50 },
		{ .schedule = "s00077" },
		{ .source = "s00077" },
		{ .states = 1U << CATALOG_RUN_QUEUED, .oldest_first = true },
		{ .states = 1U << CATALOG_RUN_FAILED, .limit = 50 },
		{ .from = { 1767398400, 0 }, .to = { 1767484800, 0 } },
		{ .limit = 0 },
	};
	const struct catalog_snapshot_filter s[] = {
		{ .repository = "main", .limit = 50 },
		{ .repository = "main", .source = "s00077" },
		{ .repository = "main", .id_prefix = "00000000000004d" },
		{ .limit = 0 },
	};

	TIME("occurrences: newest 50",
	     catalog_occurrences(c, &o[0], count_occurrence, &n, &e));
	TIME("occurrences: of one schedule",
	     catalog_occurrences(c, &o[1], count_occurrence, &n, &e));
	TIME("occurrences: orphaned",
	     catalog_occurrences(c, &o[2], count_occurrence, &n, &e));
	TIME("occurrences: of one day",
	     catalog_occurrences(c, &o[3], count_occurrence, &n, &e));
	TIME("occurrences: a later page of 50",
	     catalog_occurrences(c, &o[4], count_occurrence, &n, &e));
	TIME("occurrences: newest 50 of a repository",
	     catalog_occurrences(c, &o[5], count_occurrence, &n, &e));
	TIME("occurrences: all",
	     catalog_occurrences(c, &o[6], count_occurrence, &n, &e));
	TIME("runs: newest 50", catalog_runs(c, &r[0], count_run, &n, &e));
	TIME("runs: of one schedule",
	     catalog_runs(c, &r[1], count_run, &n, &e));
	TIME("runs: of one source", catalog_runs(c, &r[2], count_run, &n, &e));
	TIME("runs: the queue", catalog_runs(c, &r[3], count_run, &n, &e));
	TIME("runs: failed ones", catalog_runs(c, &r[4], count_run, &n, &e));
	TIME("runs: of one day", catalog_runs(c, &r[5], count_run, &n, &e));
	TIME("runs: all", catalog_runs(c, &r[6], count_run, &n, &e));
	TIME("snapshots: newest 50",
	     catalog_snapshots(c, &s[0], count_snapshot, &n, &e));
	TIME("snapshots: of one source",
	     catalog_snapshots(c, &s[1], count_snapshot, &n, &e));
	TIME("snapshots: by prefix",
	     catalog_snapshots(c, &s[2], count_snapshot, &n, &e));
	TIME("snapshots: all",
	     catalog_snapshots(c, &s[3], count_snapshot, &n, &e));
	TIME("newest per source and region: one source",
	     catalog_newest(c, "main", "s00077", count_newest, &n, &e));
	TIME("newest per source and region: all",
	     catalog_newest(c, NULL, NULL, count_newest, &n, &e));
}

int main(int argc, char **argv)
{
	CLEANUP(catalog_close) struct catalog *c = NULL;
	char path[512];
	double begun;

	(void)snprintf(path, sizeof(path), "%s/bench-catalog.db",
		       argc > 1 ? argv[1] : ".");
	must(catalog_open(path, &c, &e), "open");
	begun = now_ms();
	fill(c);
	(void)printf("filled in %.1f s\n", (now_ms() - begun) / 1e3);
	list_all(c);
	return 0;
}
