/* What is protected, by what, how well; and what is not. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/report.h"
#include "service/timetable.h"

#define DEFAULT_MS (INT64_C(30) * 86400 * 1000)

struct report {
	struct operation_call *call;
	struct report_window window;
	struct timetable *timetable;
};

/* The newest complete snapshot of a source by the end of the window. */
struct newest {
	bool any;
	char id[33];
	struct instant received;
	/* Of its copies: the one that was looked at longest ago, or 0. */
	struct instant verified;
	bool never_verified;
};

static int take_newest(void *arg, const struct catalog_snapshot *s,
		       struct err *e UNUSED)
{
	struct newest *n = arg;

	n->any = true;
	n->received = s->received;
	(void)snprintf(n->id, sizeof(n->id), "%.32s", s->id);
	return 1;
}

static int find_newest(struct report *r, const char *repository,
		       const char *source, struct newest *ret, struct err *e)
{
	const struct catalog_snapshot_filter filter = {
		.repository = repository,
		.source = source,
		.state = "complete",
		.to = r->window.to,
		.limit = 1,
	};

	*ret = (struct newest){ .any = false };
	return catalog_snapshots(r->call->catalog, &filter, take_newest, ret,
				 e) < 0
		       ? -1
		       : 0;
}

struct copies {
	struct json *j;
	struct newest *newest;
};

static int write_copy(void *arg, const struct catalog_replica *x,
		      struct err *e UNUSED)
{
	const struct copies *c = arg;
	struct newest *n = c->newest;

	if (strcmp(x->state, "complete") != 0)
		return 0;
	json_str(c->j, x->region);
	if (x->oldest_verified.sec == 0)
		n->never_verified = true;
	else if (n->verified.sec == 0 ||
		 instant_compare(x->oldest_verified, n->verified) < 0)
		n->verified = x->oldest_verified;
	return 0;
}

static int write_regions(struct report *r, const char *repository,
			 struct newest *n, struct err *e)
{
	const struct catalog_replica_filter filter = { .repository = repository,
						       .snapshot = n->id };
	struct copies c = { r->call->reply, n };
	struct instant verified = { 0 };

	json_key(c.j, "regions");
	json_begin_list(c.j);
	if (n->any &&
	    catalog_replicas(r->call->catalog, &filter, write_copy, &c, e) < 0)
		return -1;
	json_end_list(c.j);
	if (!n->never_verified)
		verified = n->verified;
	report_moment(c.j, "last_verified", verified);
	return 0;
}

static int take_proof(void *arg, const struct catalog_drill *d,
		      struct err *e UNUSED)
{
	struct instant *proven = arg;

	if (!d->passed || d->finished.sec == 0)
		return 0;
	*proven = d->finished;
	return 1;
}

/* When the newest drill of any Drill for this schedule passed. */
static int find_proof(struct report *r, const struct timetable_entry *schedule,
		      struct instant *ret, struct err *e)
{
	*ret = (struct instant){ 0 };
	for (size_t i = 0; i < r->timetable->count; i++) {
		const struct timetable_entry *t = &r->timetable->entries[i];
		const struct catalog_drill_filter filter = {
			.drill = t->name, .to = r->window.to
		};
		struct instant proven = { 0 };

		if (!t->resource || t->resource->kind != RESOURCE_DRILL ||
		    strcmp(t->resource->drill.schedule, schedule->name) != 0)
			continue;
		if (catalog_drills(r->call->catalog, &filter, take_proof,
				   &proven, e) < 0)
			return -1;
		if (instant_compare(proven, *ret) > 0)
			*ret = proven;
	}
	return 0;
}

/* ---- Rows --------------------------------------------------------------- */

struct judgement {
	const char *state;
	char message[300];
};

static void judge(const struct report *r, const struct timetable_entry *t,
		  const struct newest *n, struct judgement *ret)
{
	const int64_t age_ms = instant_ms_between(n->received, r->window.to);
	char age[INSTANT_TEXT];
	char rpo[INSTANT_TEXT];

	*ret = (struct judgement){ .state = "protected" };
	if (t->problem[0]) {
		ret->state = "never-due";
		(void)snprintf(ret->message, sizeof(ret->message), "%s",
			       t->problem);
	} else if (t->plan.suspended) {
		ret->state = "suspended";
		(void)snprintf(ret->message, sizeof(ret->message),
			       "schedule %s is suspended", t->name);
	} else if (!n->any) {
		ret->state = "never-succeeded";
		(void)snprintf(ret->message, sizeof(ret->message),
			       "there is no complete snapshot");
	} else if (t->rpo_ms > 0 && age_ms > t->rpo_ms) {
		ret->state = "late";
		instant_duration_format(age_ms, age);
		instant_duration_format(t->rpo_ms, rpo);
		(void)snprintf(ret->message, sizeof(ret->message),
			       "the newest complete snapshot is %s old, the "
			       "target is %s",
			       age, rpo);
	}
}

static int write_ledger(struct report *r, const struct timetable_entry *t,
			struct err *e)
{
	uint64_t counts[CATALOG_OCCURRENCE_STATES] = { 0 };
	struct json *j = r->call->reply;
	uint64_t all = 0;

	if (t &&
	    catalog_occurrence_counts(r->call->catalog, t->uid, r->window.from,
				      r->window.to, counts, e) < 0)
		return -1;
	for (int i = 0; i < CATALOG_OCCURRENCE_STATES; i++)
		all += counts[i];
	json_kv_uint(j, "expected", all);
	json_kv_uint(j, "succeeded", counts[CATALOG_SUCCEEDED]);
	return 0;
}

static void write_rpo(const struct report *r, const struct timetable_entry *t,
		      const struct newest *n)
{
	const int64_t age_ms = instant_ms_between(n->received, r->window.to);
	struct json *j = r->call->reply;

	report_moment(j, "last_success", n->received);
	report_seconds(j, "age_seconds", age_ms, n->any);
	report_seconds(j, "rpo_seconds", t->rpo_ms, t->rpo_ms > 0);
	if (t->rpo_ms > 0)
		json_kv_bool(j, "rpo_met", n->any && age_ms <= t->rpo_ms);
	else
		json_kv_str(j, "rpo_met", NULL);
}

static int write_protected(struct report *r, const char *source,
			   const struct timetable_entry *t, struct err *e)
{
	struct json *j = r->call->reply;
	struct instant proven;
	struct judgement verdict;
	struct newest n;

	if (find_newest(r, t->repository, source, &n, e) < 0 ||
	    find_proof(r, t, &proven, e) < 0)
		return -1;
	judge(r, t, &n, &verdict);
	json_begin_object(j);
	json_kv_str(j, "source", source);
	json_kv_str(j, "schedule", t->name);
	json_kv_str(j, "repository", t->repository);
	json_kv_str(j, "state", verdict.state);
	write_rpo(r, t, &n);
	if (write_regions(r, t->repository, &n, e) < 0)
		return -1;
	report_moment(j, "last_proven", proven);
	if (write_ledger(r, t, e) < 0)
		return -1;
	json_kv_str(j, "message", verdict.message);
	json_end_object(j);
	return 0;
}

static int write_unprotected(struct report *r, const char *source,
			     struct err *e)
{
	static const char *const nothing[] = { "schedule", "repository" };
	struct json *j = r->call->reply;
	struct newest n = { .any = false };

	json_begin_object(j);
	json_kv_str(j, "source", source);
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		json_kv_str(j, nothing[i], NULL);
	json_kv_str(j, "state", "unprotected");
	json_kv_str(j, "last_success", NULL);
	json_kv_str(j, "age_seconds", NULL);
	json_kv_str(j, "rpo_seconds", NULL);
	json_kv_str(j, "rpo_met", NULL);
	if (write_regions(r, "", &n, e) < 0)
		return -1;
	json_kv_str(j, "last_proven", NULL);
	if (write_ledger(r, NULL, e) < 0)
		return -1;
	json_kv_str(j, "message", "no schedule takes this source");
	json_end_object(j);
	return 0;
}

static int visit_source(void *arg, const struct catalog_resource *row,
			struct err *e)
{
	CLEANUP(resource_free) struct resource *source = NULL;
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	struct report *r = arg;
	bool any = false;

	if (operation_stopped(r->call, e) < 0 ||
	    resource_from_form(&form, &source, e) < 0)
		return -1;
	for (size_t i = 0; i < r->timetable->count; i++) {
		const struct timetable_entry *t = &r->timetable->entries[i];

		if (!t->resource || t->resource->kind != RESOURCE_SCHEDULE ||
		    !resource_selects(t->resource, source))
			continue;
		any = true;
		if (write_protected(r, source->name, t, e) < 0)
			return -1;
	}
	return any ? 0 : write_unprotected(r, source->name, e);
}

int report_coverage(struct operation_call *call, struct err *e)
{
	CLEANUP(timetable_free) struct timetable *t = NULL;
	const struct catalog_resource_filter sources = { .kind = "Source" };
	struct report r = { .call = call };

	if (report_window(call, DEFAULT_MS, &r.window, e) < 0 ||
	    timetable_load(call->catalog, NULL, &t, e) < 0)
		return -1;
	r.timetable = t;
	json_begin_list(call->reply);
	if (catalog_resources(call->catalog, &sources, visit_source, &r, e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}
