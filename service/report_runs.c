/* Every expected occurrence, and what became of it. */
#include <stdio.h>
#include <string.h>

#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "service/report.h"

#define DEFAULT_MS (INT64_C(30) * 86400 * 1000)

struct report {
	struct operation_call *call;
	struct report_window window;
	const char *schedule; /* or NULL */
};

/* The attempts of one occurrence. */
struct attempts {
	int64_t n;
	char message[300]; /* of the last that had one */
};

static int count_attempt(void *arg, const struct catalog_run *r,
			 struct err *e UNUSED)
{
	struct attempts *a = arg;

	if (r->attempt > a->n)
		a->n = r->attempt;
	/* The newest come first. */
	if (!a->message[0])
		(void)snprintf(a->message, sizeof(a->message), "%.299s",
			       r->message);
	return 0;
}

static int write_attempts(struct report *r, const struct catalog_occurrence *o,
			  struct err *e)
{
	const struct catalog_run_filter filter = { .occurrence = o->id };
	struct json *j = r->call->reply;
	struct attempts a = { .n = 0 };

	/* What never started has none: the most of a long list of missed. */
	if (o->started.sec != 0 &&
	    catalog_runs(r->call->catalog, &filter, count_attempt, &a, e) < 0)
		return -1;
	json_kv_int(j, "attempts", a.n);
	json_kv_str(j, "message", o->reason[0] ? o->reason : a.message);
	return 0;
}

static int write_row(void *arg, const struct catalog_occurrence *o,
		     struct err *e)
{
	struct report *r = arg;
	struct json *j = r->call->reply;

	if (operation_stopped(r->call, e) < 0)
		return -1;
	json_begin_object(j);
	json_kv_instant(j, "occurrence", o->at);
	json_kv_str(j, "kind", o->kind);
	json_kv_str(j, "schedule", o->schedule);
	json_key(j, "sources");
	json_raw(j, o->sources_json[0] ? o->sources_json : "[]");
	json_kv_str(j, "state", catalog_occurrence_state_name(o->state));
	report_seconds(j, "lateness_seconds", o->lateness_ms,
		       o->state != CATALOG_DUE);
	report_moment(j, "started", o->started);
	report_moment(j, "finished", o->finished);
	if (write_attempts(r, o, e) < 0)
		return -1;
	json_end_object(j);
	return 0;
}

/* What a lost catalog cannot tell is said, and not left out. */
static int write_gap(void *arg, const struct catalog_gap *g,
		     struct err *e UNUSED)
{
	struct report *r = arg;
	struct json *j = r->call->reply;

	if (instant_compare(g->from, r->window.to) >= 0 ||
	    instant_compare(g->to, r->window.from) <= 0)
		return 0;
	json_begin_object(j);
	json_kv_instant(j, "occurrence", g->from);
	json_kv_str(j, "kind", "Gap");
	json_kv_str(j, "schedule", NULL);
	json_key(j, "sources");
	json_raw(j, "[]");
	json_kv_str(j, "state", "unknown");
	json_kv_str(j, "lateness_seconds", NULL);
	json_kv_instant(j, "started", g->from);
	json_kv_instant(j, "finished", g->to);
	json_kv_int(j, "attempts", 0);
	json_kv_str(j, "message", g->reason);
	json_end_object(j);
	return 0;
}

int report_runs(struct operation_call *call, struct err *e)
{
	struct report r = { .call = call,
			    .schedule = args_text(call->args, "schedule") };
	struct catalog_occurrence_filter filter = { .schedule = r.schedule,
						    .oldest_first = true };

	if (report_window(call, DEFAULT_MS, &r.window, e) < 0)
		return -1;
	filter.from = r.window.from;
	filter.to = r.window.to;
	json_begin_list(call->reply);
	if (catalog_gaps(call->catalog, write_gap, &r, e) < 0 ||
	    catalog_occurrences(call->catalog, &filter, write_row, &r, e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}
