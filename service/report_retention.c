/* Each snapshot: why it is kept, or when and why it was deleted. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/report.h"

/* Regions of one repository with decisions of their own. */
#define VERDICTS_MAX 32

struct report {
	struct operation_call *call;
	const char *source; /* or NULL */
	json_t *holds;	    /* of report_holds_load() */
	/* {"REPOSITORY/SNAPSHOT/REGION": "when"} of shortenings; "": of those
	 * regions that have no policy of their own. */
	json_t *due;
};

/* The last decision about a snapshot in one region. */
struct verdict {
	char region[64];
	char outcome[32];
	char policy[64];
	int64_t version;
	struct instant decided;
	char *reasons;
	bool told;
};

struct verdicts {
	struct verdict v[VERDICTS_MAX];
	size_t n;
};

static void verdicts_done(struct verdicts *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->v[i].reasons);
}
static inline void cleanup_verdicts_done(struct verdicts *x)
{
	verdicts_done(x);
}

static struct verdict *verdict_of(struct verdicts *x, const char *region)
{
	for (size_t i = 0; i < x->n; i++)
		if (strcmp(x->v[i].region, region) == 0)
			return &x->v[i];
	if (x->n == VERDICTS_MAX)
		return NULL;
	(void)snprintf(x->v[x->n].region, sizeof(x->v[0].region), "%.63s",
		       region);
	return &x->v[x->n++];
}

/* They come oldest first: the last one of a region stays. */
static int take_decision(void *arg, const struct catalog_decision_row *d,
			 struct err *e)
{
	struct verdict *v = verdict_of(arg, d->region);

	if (!v)
		return 0;
	free(v->reasons);
	v->reasons = strdup(d->reasons_json);
	if (!v->reasons)
		return err_oom(e);
	(void)snprintf(v->outcome, sizeof(v->outcome), "%.31s", d->outcome);
	(void)snprintf(v->policy, sizeof(v->policy), "%.63s", d->policy);
	v->version = d->policy_version;
	v->decided = d->last;
	return 0;
}

static bool same(const struct verdict *a, const struct verdict *b)
{
	return strcmp(a->outcome, b->outcome) == 0 &&
	       strcmp(a->policy, b->policy) == 0 && a->version == b->version &&
	       strcmp(a->reasons, b->reasons) == 0;
}

/* ---- Reasons ------------------------------------------------------------ */

static bool is_locked(const struct report *r, const struct catalog_snapshot *s)
{
	return s->lock_until.sec != 0 &&
	       instant_compare(s->lock_until, r->call->now) > 0;
}

static void due_key(const char *repository, const char *snapshot,
		    const char *region, char out[500])
{
	(void)snprintf(out, 500, "%.300s/%.64s/%.64s", repository, snapshot,
		       region);
}

/* When what a change lets go of may go, or NULL. */
static const char *due_of(const struct report *r,
			  const struct catalog_snapshot *s,
			  const struct verdict *v)
{
	const char *const regions[] = { v ? v->region : "", "" };
	const char *due = NULL;
	char key[500];

	for (size_t i = 0; i < 2 && !due; i++) {
		due_key(s->repository, s->id, regions[i], key);
		due = json_string_value(json_object_get(r->due, key));
	}
	return due;
}

/* All that keeps it, or let it go. */
static void write_reasons(const struct report *r,
			  const struct catalog_snapshot *s,
			  const struct verdict *v)
{
	struct json *j = r->call->reply;
	const char *due = due_of(r, s, v);
	char when[INSTANT_TEXT];
	char text[400];

	json_key(j, "reasons");
	json_begin_list(j);
	if (s->deleted.sec != 0) {
		json_str(j, s->deleted_reason);
		json_end_list(j);
		return;
	}
	/* One region has it no more, and another has it still. */
	if (s->deleted_reason[0])
		json_str(j, s->deleted_reason);
	if (v)
		report_rules(j, v->reasons);
	report_holds(j, r->holds,
		     &(struct report_held){ .repository = s->repository,
					    .snapshot = s->id,
					    .source = s->source,
					    .at = r->call->now });
	if (is_locked(r, s)) {
		instant_format(s->lock_until, when);
		(void)snprintf(text, sizeof(text), "locked until %s", when);
		json_str(j, text);
	}
	if (v && strcmp(v->outcome, "floor-blocked") == 0)
		json_str(j, "the floor is not met");
	if (v && strcmp(v->outcome, "held-by-budget") == 0)
		json_str(j, "the day's deletions are used up");
	if (due) {
		(void)snprintf(text, sizeof(text),
			       "a shortening waits until %s", due);
		json_str(j, text);
	}
	if (!v)
		json_str(j, s->source[0] ? "no policy has judged it"
					 : "no source is named: never expired");
	json_end_list(j);
}

static const char *state_of(const struct catalog_snapshot *s,
			    const struct verdict *v)
{
	if (s->purged.sec != 0)
		return "purged";
	if (s->deleted.sec != 0)
		return "deleted";
	if (!v || strcmp(v->outcome, "keep") == 0)
		return "kept";
	return strcmp(v->outcome, "delete") == 0 ? "expiring" : v->outcome;
}

/* ---- Rows --------------------------------------------------------------- */

static void write_regions(struct json *j, struct verdicts *x, size_t first)
{
	json_key(j, "regions");
	json_begin_list(j);
	for (size_t i = first; i < x->n; i++)
		if (!x->v[i].told && same(&x->v[i], &x->v[first])) {
			x->v[i].told = true;
			if (x->v[i].region[0])
				json_str(j, x->v[i].region);
		}
	json_end_list(j);
}

/* x, first: the decision, and those that say the same; first == n: none. */
static void write_row(const struct report *r, const struct catalog_snapshot *s,
		      struct verdicts *x, size_t first)
{
	const struct verdict *v = first < x->n ? &x->v[first] : NULL;
	struct json *j = r->call->reply;

	json_begin_object(j);
	json_kv_str(j, "snapshot", s->id);
	json_kv_str(j, "repository", s->repository);
	json_kv_str(j, "source", s->source[0] ? s->source : NULL);
	json_kv_instant(j, "received", s->received);
	json_kv_str(j, "completeness", s->state);
	json_kv_str(j, "state", state_of(s, v));
	write_reasons(r, s, v);
	write_regions(j, x, first);
	json_kv_str(j, "policy", v ? v->policy : NULL);
	if (v)
		json_kv_int(j, "policy_version", v->version);
	else
		json_kv_str(j, "policy_version", NULL);
	report_moment(j, "decided", v ? v->decided : (struct instant){ 0 });
	report_moment(j, "deleted", s->deleted);
	report_moment(j, "purged", s->purged);
	report_moment(j, "lock_until", s->lock_until);
	json_end_object(j);
}

static int visit_snapshot(void *arg, const struct catalog_snapshot *s,
			  struct err *e)
{
	CLEANUP(verdicts_done) struct verdicts x = { .n = 0 };
	const struct report *r = arg;

	if (operation_stopped(r->call, e) < 0 ||
	    catalog_decisions_of(r->call->catalog, s->repository, s->id,
				 take_decision, &x, e) < 0)
		return -1;
	if (x.n == 0)
		write_row(r, s, &x, 0);
	for (size_t i = 0; i < x.n; i++)
		if (!x.v[i].told)
			write_row(r, s, &x, i);
	return 0;
}

/* ---- What is few and asked for often ------------------------------------ */

struct shortening {
	struct report *r;
	const struct catalog_shortening *s;
};

static int take_due(void *arg, const char *id, struct err *e)
{
	const struct shortening *x = arg;
	char key[500];
	char when[INSTANT_TEXT];

	instant_format(x->s->due, when);
	due_key(x->s->repository, id, x->s->region, key);
	return json_object_set_new(x->r->due, key, json_string(when)) < 0
		       ? err_oom(e)
		       : 0;
}

static int take_shortening(void *arg, const struct catalog_shortening *s,
			   struct err *e)
{
	struct shortening x = { arg, s };
	struct report *r = arg;

	return catalog_shortening_snapshots(r->call->catalog, s->id, take_due,
					    &x, e);
}

static int run(struct report *r, const struct report_window *w, struct err *e)
{
	const struct catalog_shortening_filter waiting = { .state = "waiting" };
	const struct catalog_snapshot_filter filter = {
		.source = r->source,
		.deleted = CATALOG_WITH_DELETED,
		.from = w->from,
		.to = w->to,
	};
	struct catalog *c = r->call->catalog;

	if (!r->due)
		return err_oom(e);
	if (report_holds_load(c, &r->holds, e) < 0 ||
	    catalog_shortenings(c, &waiting, take_shortening, r, e) < 0)
		return -1;
	json_begin_list(r->call->reply);
	if (catalog_snapshots(c, &filter, visit_snapshot, r, e) < 0)
		return -1;
	json_end_list(r->call->reply);
	return 0;
}

int report_retention(struct operation_call *call, struct err *e)
{
	struct report r = { .call = call,
			    .source = args_text(call->args, "source") };
	struct report_window w;
	int status;

	if (report_window(call, 0, &w, e) < 0)
		return -1;
	if (args_text(call->args, "as-of"))
		return report_replay(call, e);
	r.due = json_object();
	status = run(&r, &w, e);
	json_decref(r.holds);
	json_decref(r.due);
	return status;
}
