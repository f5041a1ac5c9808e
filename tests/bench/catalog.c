/*
 * What each operation on the catalog costs after a year of a large fleet.
 *
 *	catalog FOLDER [SOURCES [DAYS]]		default 1000 365
 *
 * The catalog is made in FOLDER, which has to be empty: each source has a
 * schedule of its own and a run a day, with its occurrence, steps, snapshot,
 * copies in two regions, and what retention decided, which keeps the last
 * seven and each thirtieth.  Retention judges once a week here, not each day:
 * a figure of its own.  Rows are written through the catalog's own functions,
 * a day's for all sources in one transaction.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/operation.h"
#include "service/scheduler.h"
#include "service/timetable.h"
#include "tests/bench/measure.h"

#define BEGIN_S INT64_C(1767225600) /* 2026-01-01 */
#define DAY_S	86400
#define LAST	7
#define EACH	30
#define LIVE	(LAST + 2 * 366 / EACH + 2)

static struct err e;

static void must(int got, const char *what)
{
	if (got >= 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, e.text);
	exit(1);
}

struct fleet {
	const char *folder;
	char path[4096];
	int sources, days;
	struct catalog *c;
	/* Of an operation. */
	const char *verb;
	const char *const *told;
	bool rows_only; /* a segment: do not keep its text */
};

static void open_catalog(struct fleet *f)
{
	must(catalog_open(f->path, &f->c, &e), "open");
}

static struct instant moment(const struct fleet *f, int source, int day)
{
	return (struct instant){ .sec = BEGIN_S + (int64_t)day * DAY_S +
					(int64_t)source * 3600 / f->sources };
}

static struct instant now_of(const struct fleet *f)
{
	return (struct instant){ .sec = BEGIN_S + (int64_t)f->days * DAY_S };
}

static void id_of(int source, int day, char id[33])
{
	(void)snprintf(id, 33, "%016llx%08x%08x",
		       (unsigned long long)(source * 1000 + day + 1) *
			       0x9e3779b97f4a7c15U,
		       (unsigned int)source, (unsigned int)day);
}

/* ---- Resources ------------------------------------------------------------
 */

#define NAME_TEXT 24
#define SPEC_TEXT 256

static void name_of(int source, char name[NAME_TEXT])
{
	(void)snprintf(name, NAME_TEXT, "s%05d", source);
}

static void apply(struct fleet *f, struct catalog_document *docs, size_t n)
{
	const struct catalog_actor who = { .name = "root",
					   .now = { .sec = BEGIN_S - 1 } };
	struct catalog_applied *applied = calloc(n, sizeof(*applied));

	if (!applied)
		exit(1);
	must(catalog_apply(f->c, docs, n, &who, applied, &e), "apply");
	catalog_applied_done(applied, n);
	free(applied);
}

static void declare(void *arg)
{
	struct fleet *f = arg;
	const size_t n = 2 * (size_t)f->sources;
	struct catalog_document few[] = {
		{ .kind = "Repository",
		  .name = "main",
		  .spec_json = "{\"keyFile\":\"main.key\",\"regions\":["
			       "{\"name\":\"eu\",\"url\":\"file:///eu\"},"
			       "{\"name\":\"us\",\"url\":\"file:///us\"}],"
			       "\"gc\":{\"every\":\"0s\"}}" },
		{ .kind = "Policy",
		  .name = "gold",
		  .spec_json = "{\"retention\":{\"keep-last\":7}}" },
	};
	struct catalog_document *docs = calloc(n, sizeof(*docs));
	char(*names)[NAME_TEXT] = calloc(n, sizeof(*names));
	char(*specs)[SPEC_TEXT] = calloc(n, sizeof(*specs));

	if (!docs || !names || !specs)
		exit(1);
	open_catalog(f);
	apply(f, few, 2);
	for (int i = 0; i < f->sources; i++) {
		const size_t s = (size_t)i;
		const size_t t = (size_t)(f->sources + i);

		name_of(i, names[s]);
		name_of(i, names[t]);
		(void)snprintf(specs[s], SPEC_TEXT,
			       "{\"type\":\"files\",\"paths\":[\"/srv/%d\"]}",
			       i);
		(void)snprintf(specs[t], SPEC_TEXT,
			       "{\"cron\":\"%d %d * * *\",\"sources\":"
			       "{\"names\":[\"%s\"]},\"repository\":\"main\","
			       "\"policy\":\"gold\",\"replicateTo\":[\"us\"],"
			       "\"rpo\":\"26h\"}",
			       i % 60, i / 60 % 24, names[s]);
		docs[s] = (struct catalog_document){ .kind = "Source",
						     .name = names[s],
						     .spec_json = specs[s] };
		docs[t] = (struct catalog_document){ .kind = "Schedule",
						     .name = names[t],
						     .spec_json = specs[t] };
	}
	apply(f, docs, n);
	for (int i = 0; i < 2; i++) {
		const struct catalog_region r = { .repository = "main",
						  .region = i ? "us" : "eu",
						  .url = "file:///nowhere",
						  .primary = i == 0,
						  .seen_ok = now_of(f) };

		must(catalog_region_put(f->c, &r, &e), "region");
	}
	free(docs);
	free(names);
	free(specs);
	catalog_close(f->c);
}

/* ---- A year ---------------------------------------------------------------
 */

static int take_uid(void *arg, const struct catalog_resource *r,
		    struct err *why)
{
	(void)why;
	(void)snprintf(arg, 33, "%s", r->uid);
	return 0;
}

static void add_step(struct fleet *f, int64_t run, const char *source,
		     const char *step, const char *region, struct instant at)
{
	const struct catalog_step s = { .run = run,
					.source = source,
					.step = step,
					.region = region,
					.state = "succeeded",
					.started = at,
					.finished = at };

	must(catalog_step_put(f->c, &s, &e), "step");
}

static bool lives(int day, int today)
{
	return day > today - LAST || day % EACH == 0;
}

static void judge(struct fleet *f, const char *source, int number, int today,
		  const char *region, int64_t run)
{
	static char inputs[1 << 14];
	static char ids[LIVE][33];
	struct catalog_decision d[LIVE];
	const struct catalog_evaluation v = { .repository = "main",
					      .source = source,
					      .region = region,
					      .policy = "gold",
					      .policy_uid = "p",
					      .policy_version = 1,
					      .run = run,
					      .now = moment(f, number, today),
					      .actor = "snapctld",
					      .inputs_json = inputs };
	size_t n = 0;
	int len = snprintf(inputs, sizeof(inputs), "{\"snapshots\":[");
	int64_t id;

	for (int day = today; day >= 0 && n < LIVE; day--) {
		if (!lives(day, today))
			continue;
		id_of(number, day, ids[n]);
		len += snprintf(inputs + len, sizeof(inputs) - (size_t)len,
				"%s{\"id\":\"%s\",\"received\":%d,\"copies\":"
				"[\"eu\",\"us\"]}",
				n ? "," : "", ids[n], day);
		d[n] = (struct catalog_decision){
			.snapshot = ids[n],
			.outcome = "keep",
			.reasons_json = "[{\"rule\":\"keep-last\"}]"
		};
		n++;
	}
	(void)snprintf(inputs + len, sizeof(inputs) - (size_t)len,
		       "],\"region\":\"%s\"}", region);
	must(catalog_evaluation_add(f->c, &v, d, n, &id, &e), "evaluation");
}

static void let_go(struct fleet *f, int number, int today)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = moment(f, number, today) };
	char id[33];

	if (today < LAST || lives(today - LAST, today))
		return;
	id_of(number, today - LAST, id);
	must(catalog_snapshot_deleted(f->c, "main", id, "no rule keeps it",
				      &who, &e),
	     "delete");
	must(catalog_snapshot_purged(f->c, "main", id, who.now, &e), "purge");
}

static void keep(struct fleet *f, const char *source, int number, int day,
		 int64_t run)
{
	const struct instant at = moment(f, number, day);
	char id[33];
	const struct catalog_snapshot n = { .repository = "main",
					    .id = id,
					    .source = source,
					    .type = "files",
					    .schedule = source,
					    .run = run,
					    .state = "complete",
					    .time = at,
					    .received = at,
					    .started = at,
					    .finished = at,
					    .paths_json = "[\"/srv\"]" };
	struct catalog_replica p = { .repository = "main",
				     .snapshot = id,
				     .state = "complete",
				     .completed = at,
				     .oldest_verified = at };

	id_of(number, day, id);
	must(catalog_snapshot_put(f->c, &n, &e), "snapshot");
	for (int i = 0; i < 2; i++) {
		p.region = i ? "us" : "eu";
		must(catalog_replica_put(f->c, &p, &e), "replica");
		add_step(f, run, source, "verify", p.region, at);
		if (day % 7 == 0)
			judge(f, source, number, day, p.region, run);
	}
	let_go(f, number, day);
}

static void one_run(struct fleet *f, const char *uid, int number, int day)
{
	const struct instant at = moment(f, number, day);
	char name[NAME_TEXT], sources[40];
	struct catalog_occurrence o = { .kind = "Schedule",
					.schedule_uid = uid,
					.schedule = name,
					.schedule_version = 1,
					.repository = "main",
					.sources_json = sources,
					.at = at,
					.jittered = at,
					.noted = at };
	struct catalog_run r = { .kind = "Schedule",
				 .schedule_uid = uid,
				 .schedule = name,
				 .repository = "main",
				 .sources_json = sources,
				 .queued = at };
	struct catalog_claim k = { .host = "h", .now = at };
	struct catalog_run_end end = { .now = at };
	const bool failed = (number + day) % 50 == 0;
	enum catalog_claim_result result;

	name_of(number, name);
	(void)snprintf(sources, sizeof(sources), "[\"%s\"]", name);
	must(catalog_occurrence_note(f->c, &o, &r.occurrence, &e), "note");
	must(catalog_run_queue(f->c, &r, &k.run, &e), "queue");
	must(catalog_run_claim(f->c, &k, &result, &e), "claim");
	add_step(f, k.run, name, "snapshot", "", at);
	keep(f, name, number, day, k.run);
	add_step(f, k.run, name, "replicate", "us", at);
	add_step(f, k.run, "", "report", "", at);
	end.run = k.run;
	end.state = failed ? CATALOG_RUN_FAILED : CATALOG_RUN_SUCCEEDED;
	end.outcome = failed ? CATALOG_FAILED : CATALOG_SUCCEEDED;
	must(catalog_run_end(f->c, &end, &e), "end");
}

static void fill(void *arg)
{
	struct fleet *f = arg;
	char(*uids)[33] = calloc((size_t)f->sources, sizeof(*uids));

	if (!uids)
		exit(1);
	open_catalog(f);
	for (int i = 0; i < f->sources; i++) {
		char name[NAME_TEXT];

		name_of(i, name);
		must(catalog_resource_get(f->c, "Schedule", name, take_uid,
					  uids[i], &e),
		     "get");
	}
	for (int day = 0; day < f->days; day++) {
		must(catalog_begin(f->c, &e), "begin");
		for (int i = 0; i < f->sources; i++)
			one_run(f, uids[i], i, day);
		must(catalog_commit(f->c, &e), "commit");
	}
	for (int i = 0; i < f->sources; i++)
		must(catalog_account_set(f->c, uids[i], now_of(f), &e),
		     "account");
	free(uids);
	catalog_close(f->c);
}

/* ---- Operations -----------------------------------------------------------
 */

static int drop_text(void *arg, const char *text, size_t n, struct err *why)
{
	(void)arg;
	(void)text;
	(void)n;
	(void)why;
	return 0;
}

static void operate(void *arg)
{
	struct fleet *f = arg;
	const struct operation *op = operation_named(f->verb);
	struct operation_call call = { .operation = op, .now = now_of(f) };
	struct args *args;
	struct json j;

	if (!op)
		exit(1);
	must(args_new(&args, op, &e), f->verb);
	for (const char *const *t = f->told; *t; t += 2)
		must(args_add_str(args, t[0], t[1], &e), f->verb);
	must(args_finish(args, &e), f->verb);
	open_catalog(f);
	measure_begin();
	call.args = args;
	call.reply = &j;
	call.catalog = f->c;
	json_init(&j, drop_text, NULL);
	must(op->run(&call, &e), f->verb);
	must(json_finish(&j, &e), f->verb);
	args_free(args);
	catalog_close(f->c);
}

static void open_and_close(void *arg)
{
	struct fleet *f = arg;

	open_catalog(f);
	catalog_close(f->c);
}

/* ---- Segments -------------------------------------------------------------
 */

static int write_text(void *arg, const char *text, size_t n, struct err *why)
{
	(void)why;
	return fwrite(text, 1, n, arg) == n ? 0 : -1;
}

static FILE *segment_file(const struct fleet *f, const char *mode)
{
	char path[4200];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/segment", f->folder);
	file = fopen(path, mode);
	if (!file)
		exit(1);
	return file;
}

static void export(void *arg)
{
	struct fleet *f = arg;
	FILE *file = segment_file(f, f->rows_only ? "re" : "we");
	const struct catalog_export x = { .repository = "main",
					  .now = now_of(f),
					  .sink = f->rows_only ? drop_text
							       : write_text,
					  .arg = file };
	struct catalog_segment segment;

	open_catalog(f);
	measure_begin();
	must(catalog_segment_export(f->c, &x, &segment, &e), "export");
	must(catalog_segment_done(f->c, "main", &segment, now_of(f), &e),
	     "done");
	(void)fclose(file);
	catalog_close(f->c);
}

/* In portions, as it comes back from the objects of a repository. */
static void rebuild(void *arg)
{
	static char text[(8 << 20) + (4 << 20)];
	struct fleet *f = arg;
	const struct catalog_actor who = { .name = "root", .now = now_of(f) };
	struct catalog_imported io = { 0 };
	FILE *file = segment_file(f, "re");
	size_t n = 0;
	size_t got;

	(void)snprintf(f->path, sizeof(f->path), "%s/rebuilt.db", f->folder);
	open_catalog(f);
	measure_begin();
	while ((got = fread(text + n, 1, (8 << 20) - n, file)) > 0 || n) {
		const char *last;
		size_t whole;

		n += got;
		last = memrchr(text, '\n', n);
		if (!last)
			exit(1);
		whole = (size_t)(last + 1 - text);
		must(catalog_segment_import(f->c, text, whole, &io, &e),
		     "import");
		n -= whole;
		memmove(text, text + whole, n);
	}
	must(catalog_rebuilt(f->c, "main", &io, &who, &e), "rebuilt");
	(void)fclose(file);
	catalog_close(f->c);
}

/* ---- Ticks ----------------------------------------------------------------
 */

static void load_timetable(void *arg)
{
	struct fleet *f = arg;
	struct timetable *t;

	open_catalog(f);
	measure_begin();
	must(timetable_load(f->c, NULL, &t, &e), "timetable");
	timetable_free(t);
	catalog_close(f->c);
}

/* The second tick of a daemon, in which nothing is due. */
static void tick(void *arg)
{
	struct fleet *f = arg;
	struct supervisor *children;
	struct scheduler *s;
	struct instant next;
	char log[4200];

	(void)snprintf(log, sizeof(log), "%s/runs", f->folder);
	open_catalog(f);
	must(supervisor_new(&(const struct supervisor_settings){ log, 1000 },
			    &children, &e),
	     "supervisor");
	must(scheduler_new(
		     &(const struct scheduler_settings){ .catalog = f->c,
							 .supervisor = children,
							 .host = "h",
							 .boot_id = "b" },
		     &s, &e),
	     "scheduler");
	if (f->rows_only)
		must(scheduler_tick(s, now_of(f), 1000, &next, &e), "tick");
	measure_begin();
	must(scheduler_tick(s, now_of(f), 2000, &next, &e), "tick");
	scheduler_free(s);
	supervisor_free(children);
	catalog_close(f->c);
}

/* ---- All ------------------------------------------------------------------
 */

static const char *const nothing[] = { NULL };
static const char *const year[] = { "from", "2026-01-01T00:00:00Z", NULL };
static const char *const one_source[] = { "source", "s00000", NULL };
static const char *const then[] = { "as-of", "2026-06-01T00:00:00Z", NULL };
static const char *const then_one[] = { "as-of", "2026-06-01T00:00:00Z",
					"source", "s00000", NULL };
static const char *const sources[] = { "kind", "source", NULL };
static const char *const failed[] = { "state", "failed", NULL };

static const struct {
	const char *what, *verb;
	const char *const *told;
} operations[] = {
	{ "status", "status", nothing },
	{ "get source", "get", sources },
	{ "run list", "run list", nothing },
	{ "run list --source", "run list", one_source },
	{ "run list --state failed", "run list", failed },
	{ "report runs, 30 days", "report runs", nothing },
	{ "report runs, all", "report runs", year },
	{ "report coverage", "report coverage", nothing },
	{ "report coverage, all", "report coverage", year },
	{ "report drills", "report drills", nothing },
	{ "report retention --source", "report retention", one_source },
	{ "report retention", "report retention", nothing },
	{ "report retention --as-of --source", "report retention", then_one },
	{ "report retention --as-of", "report retention", then },
	{ "audit log", "audit log", nothing },
	{ "audit verify", "audit verify", nothing },
};

int main(int argc, char **argv)
{
	struct fleet f = { 0 };
	int64_t days = 365;
	int64_t sources_n = 1000;
	uint64_t n;

	if (argc < 2 ||
	    (argc > 2 && !text_number(argv[2], 1, 100000, &sources_n)) ||
	    (argc > 3 && !text_number(argv[3], 1, 366, &days))) {
		(void)fprintf(stderr,
			      "usage: catalog FOLDER [SOURCES [DAYS]]\n");
		return 2;
	}
	f.folder = argv[1];
	f.sources = (int)sources_n;
	f.days = (int)days;
	(void)snprintf(f.path, sizeof(f.path), "%s/catalog.db", f.folder);
	n = (uint64_t)f.sources * (uint64_t)f.days;
	measure("catalog: declare sources and schedules", (uint64_t)f.sources,
		declare, &f);
	measure("catalog: a run a day of each", n, fill, &f);
	measure("catalog: open", n, open_and_close, &f);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]);
	     i++) {
		f.verb = operations[i].verb;
		f.told = operations[i].told;
		measure(operations[i].what, n, operate, &f);
	}
	measure("catalog: read the timetable", (uint64_t)f.sources,
		load_timetable, &f);
	measure("scheduler: the first tick", (uint64_t)f.sources, tick, &f);
	f.rows_only = true;
	measure("scheduler: a tick with nothing due", (uint64_t)f.sources, tick,
		&f);
	f.rows_only = false;
	measure("catalog: first segment", n, export, &f);
	f.rows_only = true;
	measure("catalog: a segment without news", n, export, &f);
	measure("catalog: rebuild", n, rebuild, &f);
	return 0;
}
