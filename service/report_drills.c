/* Each Drill: when it last proved a restore, how fast, how old the data. */
#include <stdio.h>
#include <string.h>

#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/report.h"
#include "service/timetable.h"

#define DEFAULT_MS (INT64_C(366) * 86400 * 1000)

/* What the window holds of one Drill. */
struct record {
	uint64_t done, failed;
	int64_t id; /* of the newest; 0: none */
	bool passed;
	struct instant last, last_passed;
	int64_t rto_ms, rpo_ms, rto_target_ms, rpo_target_ms;
	char region[64], snapshot[33], message[300];
};

static int take(void *arg, const struct catalog_drill *d, struct err *e UNUSED)
{
	struct record *x = arg;

	x->done++;
	x->failed += !d->passed;
	if (d->passed && x->last_passed.sec == 0)
		x->last_passed = d->finished;
	if (x->id)
		return 0;
	x->id = d->id;
	x->passed = d->passed;
	x->last = d->started;
	x->rto_ms = d->rto_ms;
	x->rpo_ms = d->rpo_ms;
	x->rto_target_ms = d->rto_target_ms;
	x->rpo_target_ms = d->rpo_target_ms;
	(void)snprintf(x->region, sizeof(x->region), "%.63s", d->region);
	(void)snprintf(x->snapshot, sizeof(x->snapshot), "%.32s", d->snapshot);
	(void)snprintf(x->message, sizeof(x->message), "%.299s", d->message);
	return 0;
}

static const char *state_of(const struct timetable_entry *t,
			    const struct record *x)
{
	if (x->id == 0)
		return t->problem[0] ? "never-due" : "never-run";
	return x->passed ? "passed" : "failed";
}

static const char *message_of(const struct timetable_entry *t,
			      const struct record *x)
{
	if (t->problem[0])
		return t->problem;
	return x->id ? x->message : "it was not done in this time";
}

static void write_row(struct json *j, const struct timetable_entry *t,
		      const struct record *x)
{
	json_begin_object(j);
	json_kv_str(j, "drill", t->name);
	json_kv_str(j, "schedule",
		    t->resource ? t->resource->drill.schedule : NULL);
	json_kv_str(j, "region", x->id ? x->region : NULL);
	json_kv_str(j, "state", state_of(t, x));
	report_moment(j, "last_proven", x->last_passed);
	report_moment(j, "last_done", x->last);
	if (x->id)
		json_kv_int(j, "id", x->id);
	else
		json_kv_str(j, "id", NULL);
	json_kv_str(j, "snapshot", x->snapshot[0] ? x->snapshot : NULL);
	report_seconds(j, "rto_seconds", x->rto_ms, x->id && x->rto_ms >= 0);
	report_seconds(j, "rto_target_seconds", x->rto_target_ms,
		       x->rto_target_ms > 0);
	report_seconds(j, "rpo_seconds", x->rpo_ms, x->id && x->rpo_ms >= 0);
	report_seconds(j, "rpo_target_seconds", x->rpo_target_ms,
		       x->rpo_target_ms > 0);
	json_kv_uint(j, "done", x->done);
	json_kv_uint(j, "failed", x->failed);
	json_kv_str(j, "message", message_of(t, x));
	json_end_object(j);
}

int report_drills(struct operation_call *call, struct err *e)
{
	CLEANUP(timetable_free) struct timetable *t = NULL;
	struct report_window w;

	if (report_window(call, DEFAULT_MS, &w, e) < 0 ||
	    timetable_load(call->catalog, NULL, &t, e) < 0)
		return -1;
	json_begin_list(call->reply);
	for (size_t i = 0; i < t->count; i++) {
		const struct catalog_drill_filter filter = {
			.drill = t->entries[i].name, .from = w.from, .to = w.to
		};
		struct record x = { .id = 0 };

		if (strcmp(t->entries[i].kind, "Drill") != 0)
			continue;
		if (catalog_drills(call->catalog, &filter, take, &x, e) < 0)
			return -1;
		write_row(call->reply, &t->entries[i], &x);
	}
	json_end_list(call->reply);
	return 0;
}
