/* What is protected, by what, how well; and what is not. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/report.h"
#include "service/run_locks.h"
#include "service/timetable.h"

#define DEFAULT_MS (INT64_C(30) * 86400 * 1000)

struct report {
	struct operation_call *call;
	struct report_window window;
	struct timetable *timetable;
	json_t *proofs; /* "schedule source" → second of the newest */
	/* "repository region" → what is known of its locks, or false. */
	json_t *locks;
};

/*
 * The newest complete snapshot of a source that was there at the end of the
 * window, also if it has been deleted since.
 */
struct newest {
	struct instant to;
	bool any;
	char id[33];
	struct instant received;
	/* Of its copies: the one that was looked at longest ago, or 0. */
	struct instant verified;
	bool never_verified;
	/* Of its regions that lock: the one asked longest ago, or 0. */
	struct instant guards_asked;
	char unguarded[300]; /* what is wrong in the first; or "" */
};

static int take_newest(void *arg, const struct catalog_snapshot *s,
		       struct err *e UNUSED)
{
	struct newest *n = arg;

	if (s->deleted.sec && instant_compare(s->deleted, n->to) <= 0)
		return 0;
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
		.deleted = CATALOG_WITH_DELETED,
		.to = r->window.to,
	};

	*ret = (struct newest){ .to = r->window.to };
	return catalog_snapshots(r->call->catalog, &filter, take_newest, ret,
				 e) < 0
		       ? -1
		       : 0;
}

/* A copy that is gone by now was there when its snapshot was. */
static bool was_there(const struct catalog_replica *x, struct instant to)
{
	return (strcmp(x->state, "complete") == 0 ||
		strcmp(x->state, "gone") == 0) &&
	       x->completed.sec && instant_compare(x->completed, to) < 0;
}

/* Regions are few, and sources many. */
static int learn_locks(struct report *r, const char *repository,
		       const char *region, const char *key, struct err *e)
{
	struct run_locks_known known;
	char text[300] = "";
	json_t *value;

	if (run_locks_known(r->call->catalog, repository, region, r->window.to,
			    &known, e) < 0)
		return -1;
	(void)run_locks_wrong(&known, region, text);
	value = known.any
			? json_pack("{s:I, s:s}", "asked",
				    (json_int_t)known.asked.sec, "wrong", text)
			: json_false();
	return !value || json_object_set_new(r->locks, key, value) < 0
		       ? err_oom(e)
		       : 0;
}

static int note_locks(struct report *r, const struct catalog_replica *x,
		      struct newest *n, struct err *e)
{
	const json_t *known;
	struct instant asked;
	char key[200];

	(void)snprintf(key, sizeof(key), "%.63s %.63s", x->repository,
		       x->region);
	if (!json_object_get(r->locks, key) &&
	    learn_locks(r, x->repository, x->region, key, e) < 0)
		return -1;
	known = json_object_get(r->locks, key);
	if (!json_is_object(known))
		return 0;
	asked.sec = json_integer_value(json_object_get(known, "asked"));
	asked.nsec = 0;
	if (n->guards_asked.sec == 0 ||
	    instant_compare(asked, n->guards_asked) < 0)
		n->guards_asked = asked;
	if (!n->unguarded[0])
		(void)snprintf(
			n->unguarded, sizeof(n->unguarded), "%s",
			json_string_value(json_object_get(known, "wrong")));
	return 0;
}

struct copies {
	struct report *r;
	struct json *j;
	struct newest *newest;
};

static int write_copy(void *arg, const struct catalog_replica *x, struct err *e)
{
	const struct copies *c = arg;
	struct newest *n = c->newest;

	if (!was_there(x, n->to))
		return 0;
	json_str(c->j, x->region);
	if (x->oldest_verified.sec == 0)
		n->never_verified = true;
	else if (n->verified.sec == 0 ||
		 instant_compare(x->oldest_verified, n->verified) < 0)
		n->verified = x->oldest_verified;
	return note_locks(c->r, x, n, e);
}

static void write_guards(struct json *j, const struct newest *n)
{
	if (n->guards_asked.sec)
		json_kv_bool(j, "guarded", !n->unguarded[0]);
	else
		json_kv_str(j, "guarded", NULL);
	report_moment(j, "guards_asked", n->guards_asked);
}

static int write_regions(struct report *r, const char *repository,
			 struct newest *n, struct err *e)
{
	const struct catalog_replica_filter filter = { .repository = repository,
						       .snapshot = n->id };
	struct copies c = { r, r->call->reply, n };
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
	write_guards(c.j, n);
	return 0;
}

/* ---- Regions that are behind -------------------------------------------- */

/* Whether a region has a copy that is young enough for the rpo. */
struct young {
	struct report *r;
	const char *repository, *region;
	bool found;
};

static int take_copy(void *arg, const struct catalog_replica *x,
		     struct err *e UNUSED)
{
	struct young *y = arg;

	y->found = y->found || was_there(x, y->r->window.to);
	return 0;
}

static int look_for_copy(void *arg, const struct catalog_snapshot *s,
			 struct err *e)
{
	struct young *y = arg;
	const struct catalog_replica_filter filter = {
		.repository = y->repository,
		.snapshot = s->id,
		.region = y->region,
	};

	if (s->deleted.sec && instant_compare(s->deleted, y->r->window.to) <= 0)
		return 0;
	if (catalog_replicas(y->r->call->catalog, &filter, take_copy, y, e) < 0)
		return -1;
	return y->found;
}

/* The first region of the schedule that misses its rpo, or NULL. */
static int find_behind(struct report *r, const struct timetable_entry *t,
		       const char *source, const char **ret, struct err *e)
{
	const struct resource_schedule *schedule = &t->resource->schedule;
	const struct catalog_snapshot_filter filter = {
		.repository = t->repository,
		.source = source,
		.state = "complete",
		.deleted = CATALOG_WITH_DELETED,
		.from = instant_add_ms(r->window.to, -t->rpo_ms),
		.to = r->window.to,
	};

	*ret = NULL;
	for (size_t i = 0; t->rpo_ms && i < schedule->replicate_to.count; i++) {
		struct young y = { .r = r,
				   .repository = t->repository,
				   .region = schedule->replicate_to.items[i] };

		if (catalog_snapshots(r->call->catalog, &filter, look_for_copy,
				      &y, e) < 0)
			return -1;
		if (!y.found) {
			*ret = y.region;
			return 0;
		}
	}
	return 0;
}

/* ---- Proofs ------------------------------------------------------------- */

/* Names have no space. */
static char *proof_key(const char *schedule, const char *source, struct err *e)
{
	char *key;

	if (asprintf(&key, "%s %s", schedule, source) >= 0)
		return key;
	(void)err_oom(e);
	return NULL;
}

/* Newest first: the first one of a source counts. */
static int note_proof(struct report *r, const struct catalog_drill *d,
		      const char *source, struct err *e)
{
	char *key = proof_key(d->schedule, source, e);
	int failed = 0;

	if (!key)
		return -1;
	if (!json_object_get(r->proofs, key) &&
	    json_object_set_new(r->proofs, key, json_integer(d->finished.sec)))
		failed = err_oom(e);
	free(key);
	return failed;
}

/*
 * What a drill proves is in its evidence: the sources that it restored, and
 * those only of which it restored everything.
 */
static int take_proof(void *arg, const struct catalog_drill *d, struct err *e)
{
	struct report *r = arg;
	json_error_t why;
	json_t *evidence;
	json_t *snapshots;
	int failed = 0;

	if (!d->passed || d->finished.sec == 0 ||
	    instant_compare(d->finished, r->window.to) >= 0)
		return 0;
	evidence = jsontree_loads(d->evidence_json, 0, &why);
	snapshots = json_object_get(evidence, "snapshots");
	for (size_t i = 0; i < json_array_size(snapshots) && !failed; i++) {
		const json_t *s = json_array_get(snapshots, i);
		const char *source = json_string_value(
			json_object_get(s, "source"));
		const char *state = json_string_value(
			json_object_get(s, "state"));

		if (source && state && strcmp(state, "complete") == 0)
			failed = note_proof(r, d, source, e);
	}
	json_decref(evidence);
	return failed;
}

static int read_proofs(struct report *r, struct err *e)
{
	const struct catalog_drill_filter filter = { .to = r->window.to };

	r->proofs = json_object();
	if (!r->proofs)
		return err_oom(e);
	return catalog_drills(r->call->catalog, &filter, take_proof, r, e) < 0
		       ? -1
		       : 0;
}

/* When the newest drill that restored this source for this schedule passed. */
static int find_proof(const struct report *r, const char *schedule,
		      const char *source, struct instant *ret, struct err *e)
{
	char *key = proof_key(schedule, source, e);

	if (!key)
		return -1;
	*ret = (struct instant){ .sec = json_integer_value(
					 json_object_get(r->proofs, key)) };
	free(key);
	return 0;
}

/* ---- Rows --------------------------------------------------------------- */

struct judgement {
	const char *state;
	char message[300];
};

static void judge(const struct report *r, const struct timetable_entry *t,
		  const struct newest *n, const char *behind,
		  struct judgement *ret)
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
	} else if (behind) {
		ret->state = "late";
		instant_duration_format(t->rpo_ms, rpo);
		(void)snprintf(ret->message, sizeof(ret->message),
			       "region %s has no complete copy younger than "
			       "%s, the target",
			       behind, rpo);
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
		      const struct newest *n, bool behind)
{
	const int64_t age_ms = instant_ms_between(n->received, r->window.to);
	struct json *j = r->call->reply;

	report_moment(j, "last_success", n->received);
	report_seconds(j, "age_seconds", age_ms, n->any);
	report_seconds(j, "rpo_seconds", t->rpo_ms, t->rpo_ms > 0);
	if (t->rpo_ms > 0)
		json_kv_bool(j, "rpo_met",
			     n->any && age_ms <= t->rpo_ms && !behind);
	else
		json_kv_str(j, "rpo_met", NULL);
}

static int write_protected(struct report *r, const char *source,
			   const struct timetable_entry *t, struct err *e)
{
	struct json *j = r->call->reply;
	struct instant proven;
	struct judgement verdict;
	const char *behind;
	struct newest n;

	if (find_newest(r, t->repository, source, &n, e) < 0 ||
	    find_behind(r, t, source, &behind, e) < 0 ||
	    find_proof(r, t->name, source, &proven, e) < 0)
		return -1;
	judge(r, t, &n, behind, &verdict);
	json_begin_object(j);
	json_kv_str(j, "source", source);
	json_kv_str(j, "schedule", t->name);
	json_kv_str(j, "repository", t->repository);
	json_kv_str(j, "state", verdict.state);
	write_rpo(r, t, &n, behind != NULL);
	if (write_regions(r, t->repository, &n, e) < 0)
		return -1;
	report_moment(j, "last_proven", proven);
	if (write_ledger(r, t, e) < 0)
		return -1;
	json_kv_str(j, "message",
		    verdict.message[0] ? verdict.message : n.unguarded);
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
	const struct timetable_entry *t = NULL;
	struct report *r = arg;
	bool any = false;

	if (operation_stopped(r->call, e) < 0 ||
	    resource_from_form(&form, &source, e) < 0)
		return -1;
	while ((t = timetable_taker(r->timetable, source, t))) {
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
	int failed;

	if (report_window(call, DEFAULT_MS, &r.window, e) < 0 ||
	    timetable_load(call->catalog, NULL, &t, e) < 0)
		return -1;
	r.timetable = t;
	r.locks = json_object();
	if (!r.locks)
		return err_oom(e);
	json_begin_list(call->reply);
	failed = read_proofs(&r, e) < 0 ||
		 catalog_resources(call->catalog, &sources, visit_source, &r,
				   e) < 0;
	json_decref(r.proofs);
	json_decref(r.locks);
	json_end_list(call->reply);
	return failed ? -1 : 0;
}
