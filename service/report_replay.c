/*
 * Each decision that was in force at a moment, made again from the inputs that
 * were stored with it.
 *
 * An evaluation is read and decided once for all its decisions, which come
 * together.  Stored inputs are believed as far as their hash, the policy's
 * version in the catalog and the evaluation's own row agree with them.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_hash.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/report.h"
#include "service/retain_decide.h"

enum replayed { SAME, DIFFERS, UNKNOWN };

static const char *const replayed_names[] = {
	[SAME] = "same", [DIFFERS] = "differs", [UNKNOWN] = "unknown"
};

/* What there is to say about one decision. */
struct verdict {
	enum replayed is;
	char why[400]; /* when it is not the same */
};

/* The evaluation that is looked at. */
struct evaluation {
	int64_t id; /* 0: none */
	struct instant now;
	char *repository, *source, *region, *policy;
	int64_t version;
	bool decided;	/* stored and decisions are there */
	bool is_unsure; /* decisions may be missing */
	struct verdict verdict;
	struct retain_stored stored;
	struct retain_decisions decisions;
	size_t *by_id; /* indices of the inputs */
	bool *told;    /* a decision about it is stored */
};

struct replay {
	struct operation_call *call;
	struct instant from, to; /* of receipt; {0, 0}: any */
	json_t *holds;
	struct evaluation v;
};

static void evaluation_done(struct evaluation *v)
{
	free(v->repository);
	free(v->source);
	free(v->region);
	free(v->policy);
	free(v->by_id);
	free(v->told);
	if (v->decided) {
		retain_decisions_done(&v->decisions);
		retain_stored_done(&v->stored);
	}
	*v = (struct evaluation){ .id = 0 };
}

static void judge(struct verdict *v, enum replayed is, const char *why)
{
	v->is = is;
	(void)snprintf(v->why, sizeof(v->why), "%.390s", why);
}

/* ---- An evaluation and its inputs --------------------------------------- */

static int compare_inputs(const void *a, const void *b, void *arg)
{
	const struct retain_input *v = arg;

	return strcmp(v[*(const size_t *)a].id, v[*(const size_t *)b].id);
}

static int index_inputs(struct evaluation *v, struct err *e)
{
	const size_t n = v->stored.c.n;

	v->by_id = calloc(n + 1, sizeof(*v->by_id));
	v->told = calloc(n + 1, sizeof(*v->told));
	if (!v->by_id || !v->told)
		return err_oom(e);
	for (size_t i = 0; i < n; i++)
		v->by_id[i] = i;
	if (n > 1)
		qsort_r(v->by_id, n, sizeof(*v->by_id), compare_inputs,
			(void *)(uintptr_t)v->stored.c.v);
	return 0;
}

/* 1 and the index of the input, or 0. */
static int find(const struct evaluation *v, const char *id, size_t *ret)
{
	size_t low = 0, high = v->decided ? v->stored.c.n : 0;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;
		const int c = strcmp(id, v->stored.c.v[v->by_id[mid]].id);

		if (c == 0) {
			*ret = v->by_id[mid];
			return 1;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return 0;
}

struct check_rules {
	const struct retain_rules *rules;
	bool differ;
};

static int check_version(void *arg, const struct catalog_version *row,
			 struct err *e)
{
	struct check_rules *k = arg;
	json_t *there = jsontree_loads(row->spec_json, 0, NULL);
	json_t *here = k->rules->spec ? jsontree_loads(k->rules->spec, 0, NULL)
				      : json_null();

	if (!there || !here)
		return err_set(e, ERR_CORRUPT,
			       "version %jd of a policy is no JSON",
			       (intmax_t)row->version);
	k->differ = !json_equal(there, here);
	json_decref(there);
	json_decref(here);
	return 0;
}

/* The rules that were decided by are those of the versions that are named. */
static int check_rules(struct replay *r, const struct catalog_evaluation *row,
		       struct err *e)
{
	struct evaluation *v = &r->v;
	const struct retain_rules *own = &v->stored.rules.v[0];
	char why[300];

	if (strcmp(own->name, row->policy) != 0 ||
	    strcmp(own->uid, row->policy_uid) != 0 ||
	    own->version != row->policy_version) {
		(void)snprintf(why, sizeof(why),
			       "the inputs are of policy %s version %jd, the "
			       "evaluation is of policy %s version %jd",
			       own->name, (intmax_t)own->version, row->policy,
			       (intmax_t)row->policy_version);
		judge(&v->verdict, DIFFERS, why);
	}
	for (size_t i = 0; i < v->stored.rules.n; i++) {
		struct check_rules k = { .rules = &v->stored.rules.v[i] };

		/* What the catalog does not know any more says nothing. */
		if (k.rules->spec &&
		    catalog_version_get(r->call->catalog, k.rules->uid,
					k.rules->version, check_version, &k,
					e) < 0)
			return -1;
		if (!k.differ)
			continue;
		(void)snprintf(why, sizeof(why),
			       "the stored rules are not those of policy %s "
			       "version %jd",
			       k.rules->name, (intmax_t)k.rules->version);
		judge(&v->verdict, DIFFERS, why);
	}
	return 0;
}

static int decide(struct replay *r, const struct catalog_evaluation *row,
		  struct err *e)
{
	struct evaluation *v = &r->v;

	if (retain_decide(&v->stored.c, &v->decisions, e) < 0) {
		retain_stored_done(&v->stored);
		return -1;
	}
	v->decided = true;
	return index_inputs(v, e) < 0 || check_rules(r, row, e) < 0 ? -1 : 0;
}

static int copy(const char *text, char **ret, struct err *e)
{
	*ret = strdup(text);
	return *ret ? 0 : err_oom(e);
}

static int take_evaluation(void *arg, const struct catalog_evaluation *row,
			   struct err *e)
{
	struct replay *r = arg;
	struct evaluation *v = &r->v;
	char hash[CATALOG_HASH_TEXT];
	struct err why = { 0 };
	int got;

	v->id = row->id;
	v->now = row->now;
	v->version = row->policy_version;
	v->is_unsure = row->is_unsure;
	if (copy(row->repository, &v->repository, e) < 0 ||
	    copy(row->source, &v->source, e) < 0 ||
	    copy(row->region, &v->region, e) < 0 ||
	    copy(row->policy, &v->policy, e) < 0)
		return -1;
	if (row->inputs_state == CATALOG_INPUTS_MISSING) {
		judge(&v->verdict, UNKNOWN,
		      "what it was made with is told as what changed since an "
		      "earlier evaluation, which is lost with a part of the "
		      "catalog");
		return 0;
	}
	catalog_hash(row->inputs_json, strlen(row->inputs_json), hash);
	got = retain_inputs_read(row->inputs_json, row->now, &v->stored, &why);
	if (got < 0 && why.code == ERR_NO_MEMORY) {
		*e = why;
		return -1;
	}
	if (got > 0 && decide(r, row, e) < 0)
		return -1;
	if (strcmp(hash, row->inputs_hash) != 0)
		judge(&v->verdict, DIFFERS,
		      "the stored inputs were changed: their SHA-256 is not "
		      "the one that they were stored with");
	else if (got == 0)
		judge(&v->verdict, UNKNOWN,
		      "inputs not stored: cannot be replayed");
	else if (got < 0)
		judge(&v->verdict, why.code == ERR_CORRUPT ? DIFFERS : UNKNOWN,
		      why.text);
	return 0;
}

/* ---- A decision --------------------------------------------------------- */

static bool is_json_same(const char *a, const char *b)
{
	json_t *x = jsontree_loads(a, 0, NULL);
	json_t *y = jsontree_loads(b, 0, NULL);
	const bool same = x && y && json_equal(x, y);

	json_decref(x);
	json_decref(y);
	return same;
}

/* "the replay says keep: keep-daily 2026-03-29, keep-last 1" */
static void tell_replay(const struct retain_decision *d, const char *begin,
			char *out, size_t n)
{
	json_t *list = jsontree_loads(d->reasons, 0, NULL);
	size_t used = (size_t)snprintf(out, n, "%sthe replay says %s", begin,
				       retain_outcome_name(d->verdict));

	for (size_t i = 0; i < json_array_size(list) && used < n; i++) {
		char text[REPORT_RULE_TEXT];

		report_rule(json_array_get(list, i), text);
		used += (size_t)snprintf(out + used, n - used, "%s%s",
					 i ? ", " : ": ", text);
	}
	json_decref(list);
}

static void compare(const struct evaluation *v,
		    const struct catalog_decision_row *row,
		    const struct retain_decision *d, struct verdict *ret)
{
	char why[300];

	*ret = v->verdict;
	if (ret->is != SAME)
		return;
	if (!d) {
		judge(ret, DIFFERS, "the stored inputs do not list it");
		return;
	}
	if (!row && v->is_unsure) {
		judge(ret, UNKNOWN,
		      "decisions of that time are lost with a part of the "
		      "catalog");
		return;
	}
	if (row && strcmp(retain_outcome_name(d->verdict), row->outcome) == 0 &&
	    is_json_same(d->reasons, row->reasons_json))
		return;
	tell_replay(d, row ? "" : "no decision is stored, ", why, sizeof(why));
	judge(ret, DIFFERS, why);
	if (!v->stored.zone_changed)
		return;
	(void)snprintf(ret->why, sizeof(ret->why),
		       "the system's data about time zone %.40s say something "
		       "else about these years than they did: %.200s",
		       v->stored.zone_changed, why);
	ret->is = UNKNOWN;
}

static bool is_asked_for(const struct replay *r, const struct retain_input *in)
{
	if (!in)
		return true;
	return instant_compare(in->received, r->from) >= 0 &&
	       (r->to.sec == 0 || instant_compare(in->received, r->to) < 0);
}

/* The case of a hold is told, not decided upon: it is no part of the replay. */
static void write_stored(const struct replay *r,
			 const struct catalog_decision_row *row)
{
	struct json *j = r->call->reply;

	json_kv_str(j, "decision", row ? row->outcome : NULL);
	json_key(j, "reasons");
	json_begin_list(j);
	if (row) {
		report_rules(j, row->reasons_json);
		report_holds(
			j, r->holds,
			&(struct report_held){ .repository = row->repository,
					       .snapshot = row->snapshot,
					       .source = row->source,
					       .at = r->v.now });
	}
	json_end_list(j);
}

static void write_replayed(struct json *j, const struct retain_decision *d)
{
	json_kv_str(j, "replay_decision",
		    d ? retain_outcome_name(d->verdict) : NULL);
	json_key(j, "replay_reasons");
	json_begin_list(j);
	if (d)
		report_rules(j, d->reasons);
	json_end_list(j);
}

/* row NULL: there is none, and there should be; in and d: or NULL. */
static void write_row(struct replay *r, const char *snapshot,
		      const struct catalog_decision_row *row,
		      const struct retain_input *in,
		      const struct retain_decision *d)
{
	const struct evaluation *v = &r->v;
	struct json *j = r->call->reply;
	struct verdict verdict;

	compare(v, row, d, &verdict);
	if (verdict.is == DIFFERS)
		operation_damaged(r->call);
	else if (verdict.is == UNKNOWN)
		operation_partial(r->call);
	json_begin_object(j);
	json_kv_str(j, "snapshot", snapshot);
	json_kv_str(j, "repository", row ? row->repository : v->repository);
	json_kv_str(j, "source", row ? row->source : v->source);
	json_kv_str(j, "region", row ? row->region : v->region);
	report_moment(j, "received", in ? in->received : (struct instant){ 0 });
	write_stored(r, row);
	json_kv_str(j, "policy", v->policy);
	json_kv_int(j, "policy_version", v->version);
	report_moment(j, "since", row ? row->first : (struct instant){ 0 });
	json_kv_instant(j, "decided", v->now);
	json_kv_str(j, "replayed", replayed_names[verdict.is]);
	write_replayed(j, d);
	json_kv_str(j, "message", verdict.is == SAME ? NULL : verdict.why);
	json_end_object(j);
}

/* ---- All of them -------------------------------------------------------- */

/* What was judged and has no decision. */
static int find_lost(struct replay *r, struct err *e)
{
	const struct evaluation *v = &r->v;

	for (size_t i = 0; i < v->stored.c.n; i++) {
		const struct retain_input *in = &v->stored.c.v[i];
		int decided;

		/* Most of an old one's were decided upon later as well. */
		if (v->told[i] || !is_asked_for(r, in))
			continue;
		decided = catalog_decided(r->call->catalog, v->id, in->id, e);
		if (decided < 0)
			return -1;
		if (decided == 0)
			write_row(r, in->id, NULL, in, &v->decisions.v[i]);
	}
	return 0;
}

static int end_evaluation(struct replay *r, struct err *e)
{
	const bool doubtful = !r->v.decided || r->v.verdict.is != SAME;

	if (!doubtful && find_lost(r, e) < 0)
		return -1;
	evaluation_done(&r->v);
	return 0;
}

static int begin_evaluation(struct replay *r, int64_t id, struct err *e)
{
	const struct catalog_evaluation_filter filter = { .id = id };

	return operation_stopped(r->call, e) < 0 || end_evaluation(r, e) < 0 ||
			       catalog_evaluations(r->call->catalog, &filter,
						   take_evaluation, r, e) < 0
		       ? -1
		       : 0;
}

static int see_decision(void *arg, const struct catalog_decision_row *row,
			struct err *e)
{
	struct replay *r = arg;
	const struct retain_input *in = NULL;
	const struct retain_decision *d = NULL;
	size_t i;

	if (row->last_evaluation != r->v.id &&
	    begin_evaluation(r, row->last_evaluation, e) < 0)
		return -1;
	if (find(&r->v, row->snapshot, &i)) {
		in = &r->v.stored.c.v[i];
		d = &r->v.decisions.v[i];
		r->v.told[i] = true;
	}
	if (is_asked_for(r, in))
		write_row(r, row->snapshot, row, in, d);
	return 0;
}

int report_replay(struct operation_call *call, struct err *e)
{
	const struct catalog_decision_filter filter = {
		.as_of = args_time(call->args, "as-of"),
		.source = args_text(call->args, "source")
	};
	struct replay r = { .call = call };
	int status;

	if (args_text(call->args, "from"))
		r.from = args_time(call->args, "from");
	if (args_text(call->args, "to"))
		r.to = args_time(call->args, "to");
	if (report_holds_load(call->catalog, &r.holds, e) < 0)
		return -1;
	json_begin_list(call->reply);
	status = catalog_decisions_as_of(call->catalog, &filter, see_decision,
					 &r, e);
	if (status == 0)
		status = end_evaluation(&r, e);
	evaluation_done(&r.v);
	json_decref(r.holds);
	if (status < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}
