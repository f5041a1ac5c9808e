/* What a policy would do, and shortenings that wait. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "schedules/retention.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/op.h"
#include "service/op_actor.h"
#include "service/zoneinfo.h"

/* ---- policy simulate ---------------------------------------------------- */

/* Everything that a simulation reads; texts belong to the documents. */
struct simulation {
	json_t *policy_json;
	json_t *snapshots_json;
	struct zone *zone;
	struct retention_policy policy;
	const char **tags; /* those of keep-tags, then of the snapshots */
	size_t n_tags;
	struct retention_snapshot *snapshots;
	size_t n;
	struct retention_result result;
};

static void simulation_done(struct simulation *s)
{
	retention_result_done(&s->result);
	free(s->snapshots);
	free(s->tags);
	zone_free(s->zone);
	json_decref(s->snapshots_json);
	json_decref(s->policy_json);
}

static int load(const struct args *args, const char *name, json_t **ret,
		struct err *e)
{
	const char *label;
	size_t n;
	const char *text = args_document(args, name, &n, &label);
	json_error_t why;
	const int got = jsontree_load(text, n, JSON_REJECT_DUPLICATES, ret,
				      &why, e);

	if (got == 0)
		(void)err_set(e, ERR_USAGE, "%s:%d:%d: not JSON: %s",
			      text_quote_str(label).s, why.line, why.column,
			      why.text);
	return got > 0 ? 0 : -1;
}

/* Take the strings of a list into s->tags, which has room for them. */
static int take_tags(struct simulation *s, const json_t *list,
		     const char *const **ret, size_t *ret_n, struct err *e)
{
	*ret = s->tags + s->n_tags;
	*ret_n = json_array_size(list);
	if (list && !json_is_array(list))
		return err_set(e, ERR_USAGE, "the tags are no list");
	for (size_t i = 0; i < *ret_n; i++) {
		const char *tag = json_string_value(json_array_get(list, i));

		if (!tag)
			return err_set(e, ERR_USAGE, "a tag is no string");
		s->tags[s->n_tags++] = tag;
	}
	return 0;
}

/* How many tags both documents hold. */
static size_t count_tags(const struct simulation *s)
{
	size_t n = json_array_size(
		json_object_get(s->policy_json, "keep-tags"));

	for (size_t i = 0; i < json_array_size(s->snapshots_json); i++)
		n += json_array_size(json_object_get(
			json_array_get(s->snapshots_json, i), "tags"));
	return n;
}

static int take_rule(struct simulation *s, const char *name,
		     const json_t *value, struct err *e)
{
	enum retention_kind kind;
	const char *const *tags;
	size_t n_tags;

	if (!retention_kind_named(name, &kind))
		return err_set(e, ERR_USAGE, "%s is no retention rule",
			       text_quote_str(name).s);
	switch (retention_kind_value(kind)) {
	case RETENTION_COUNT:
		if (!json_is_integer(value))
			return err_set(e, ERR_USAGE, "%s takes a whole number",
				       name);
		return retention_add_count(&s->policy, kind,
					   json_integer_value(value), e);
	case RETENTION_DURATION:
		if (!json_is_string(value))
			return err_set(e, ERR_USAGE,
				       "%s takes a duration such as \"1y2m\"",
				       name);
		return retention_add_duration(&s->policy, kind,
					      json_string_value(value), e);
	case RETENTION_TAG_LIST:
		if (take_tags(s, value, &tags, &n_tags, e) < 0)
			return err_wrap(e, "%s", name);
		return retention_add_tags(&s->policy, tags, n_tags, e);
	}
	return err_set(e, ERR_BUG, "a rule takes no value");
}

static int read_policy(struct simulation *s, struct err *e)
{
	const json_t *zone = json_object_get(s->policy_json, "timeZone");
	const char *name;
	json_t *value;

	if (!json_is_object(s->policy_json))
		return err_set(e, ERR_USAGE, "the policy is no JSON object");
	if (zone && !json_is_string(zone))
		return err_set(e, ERR_USAGE, "timeZone is no string");
	if (zoneinfo_load(zone ? json_string_value(zone) : "UTC", &s->zone, e) <
	    0)
		return -1;
	s->policy.zone = s->zone;
	json_object_foreach(s->policy_json, name,
			    value) if (strcmp(name, "timeZone") != 0 &&
				       take_rule(s, name, value, e) <
					       0) return -1;
	return 0;
}

/* Retention goes by receipt; a claimed time stands in where that is not told.
 */
static const char *time_of(const json_t *snapshot)
{
	const char *received = json_string_value(
		json_object_get(snapshot, "received"));

	return received ? received
			: json_string_value(json_object_get(snapshot, "time"));
}

static int read_snapshot(struct simulation *s, const json_t *value,
			 struct err *e)
{
	struct retention_snapshot *snapshot = &s->snapshots[s->n];
	const char *id = json_string_value(json_object_get(value, "id"));
	const char *time = time_of(value);
	const char *state = json_string_value(json_object_get(value, "state"));

	if (!id || !time)
		return err_set(e, ERR_USAGE,
			       "it is no object with \"id\" and \"time\" or "
			       "\"received\"");
	snapshot->id = id;
	snapshot->complete = !state || strcmp(state, "complete") == 0;
	if (instant_parse(time, &snapshot->received, e) < 0 ||
	    take_tags(s, json_object_get(value, "tags"), &snapshot->tags,
		      &snapshot->n_tags, e) < 0)
		return -1;
	s->n++;
	return 0;
}

static int read_snapshots(struct simulation *s, struct err *e)
{
	const size_t n = json_array_size(s->snapshots_json);

	if (!json_is_array(s->snapshots_json))
		return err_set(e, ERR_USAGE, "the snapshots are no JSON list");
	s->snapshots = calloc(n + 1, sizeof(*s->snapshots));
	if (!s->snapshots)
		return err_oom(e);
	for (size_t i = 0; i < n; i++)
		if (read_snapshot(s, json_array_get(s->snapshots_json, i), e) <
		    0)
			return err_wrap(e, "snapshot %zu", i + 1);
	return 0;
}

static void write_reason(const struct simulation *s,
			 const struct retention_reason *r, struct json *j)
{
	char bucket[RETENTION_BUCKET_TEXT];

	retention_bucket_format(&s->policy, r, bucket);
	json_begin_object(j);
	json_kv_str(j, "rule", retention_kind_name(r->kind));
	json_kv_str(j, "bucket", bucket);
	if (r->oldest)
		json_kv_bool(j, "oldest", true);
	json_end_object(j);
}

static void write_kept(const struct simulation *s, size_t i, struct json *j)
{
	const struct retention_decision *d = &s->result.decisions[i];

	json_begin_object(j);
	json_kv_str(j, "id", s->snapshots[i].id);
	json_key(j, "reasons");
	json_begin_list(j);
	for (size_t k = 0; k < d->n_reasons; k++)
		write_reason(s, &s->result.reasons[d->reasons + k], j);
	json_end_list(j);
	json_end_object(j);
}

static void write_result(const struct simulation *s, struct json *j)
{
	json_begin_object(j);
	json_key(j, "keep");
	json_begin_list(j);
	for (size_t i = 0; i < s->n; i++)
		if (s->result.decisions[s->result.order[i]].keep)
			write_kept(s, s->result.order[i], j);
	json_end_list(j);
	json_key(j, "delete");
	json_begin_list(j);
	for (size_t i = 0; i < s->n; i++) {
		const size_t at = s->result.order[i];

		assert(s->snapshots[at].id);
		if (!s->result.decisions[at].keep)
			json_str(j, s->snapshots[at].id);
	}
	json_end_list(j);
	json_end_object(j);
}

static int decide(struct operation_call *call, struct simulation *s,
		  struct err *e)
{
	const struct instant now = args_text(call->args, "now")
					   ? args_time(call->args, "now")
					   : call->now;

	if (load(call->args, "policy", &s->policy_json, e) < 0 ||
	    load(call->args, "snapshots", &s->snapshots_json, e) < 0)
		return -1;
	s->tags = calloc(count_tags(s) + 1, sizeof(*s->tags));
	if (!s->tags)
		return err_oom(e);
	if (read_policy(s, e) < 0)
		return err_wrap(e, "--policy");
	if (read_snapshots(s, e) < 0)
		return err_wrap(e, "--snapshots");
	return retention_decide(&s->policy, s->snapshots, s->n, now, &s->result,
				e);
}

static int simulate(struct operation_call *call, struct err *e)
{
	struct simulation s = { 0 };
	const int status = decide(call, &s, e);

	if (status == 0)
		write_result(&s, call->reply);
	simulation_done(&s);
	return status;
}

/* ---- Shortenings that wait ---------------------------------------------- */

static int write_id(void *arg, const char *id, struct err *e UNUSED)
{
	json_str(arg, id);
	return 0;
}

static int write_shortening(void *arg, const struct catalog_shortening *s,
			    struct err *e)
{
	struct operation_call *call = arg;
	struct json *j = call->reply;

	json_begin_object(j);
	json_kv_int(j, "id", s->id);
	json_kv_str(j, "policy", s->policy);
	json_kv_str(j, "repository", s->repository);
	json_kv_str(j, "source", s->source);
	json_kv_str(j, "region", s->region[0] ? s->region : NULL);
	json_kv_str(j, "cause", s->cause);
	json_kv_str(j, "actor", s->actor);
	json_kv_instant(j, "shown", s->shown);
	json_kv_instant(j, "due", s->due);
	json_kv_uint(j, "count", s->snapshots);
	json_key(j, "snapshots");
	json_begin_list(j);
	if (catalog_shortening_snapshots(call->catalog, s->id, write_id, j, e) <
	    0)
		return -1;
	json_end_list(j);
	json_end_object(j);
	return 0;
}

static int pending(struct operation_call *call, struct err *e)
{
	const struct catalog_shortening_filter filter = { .state = "waiting" };

	json_begin_list(call->reply);
	if (catalog_shortenings(call->catalog, &filter, write_shortening, call,
				e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}

static int cancel(struct operation_call *call, struct err *e)
{
	const char *name = args_text(call->args, "name");
	struct op_actor actor;
	uint64_t n;

	op_actor_init(&actor, call);
	if (catalog_shortening_cancel(call->catalog, name, &actor.actor, &n,
				      e) < 0)
		return -1;
	if (n == 0) {
		(void)err_set(e, ERR_NOT_FOUND,
			      "no shortening of policy %s waits",
			      text_quote_str(name).s);
		return err_hint(e, "\"snapctl policy pending\" lists them");
	}
	json_begin_object(call->reply);
	json_kv_str(call->reply, "policy", name);
	json_kv_uint(call->reply, "cancelled", n);
	json_kv_str(call->reply, "note",
		    "the policy itself is unchanged: while it lets these "
		    "snapshots go, the next run lists them again and a new "
		    "cooling-off period begins; apply the longer policy again "
		    "to keep them");
	json_end_object(call->reply);
	return 0;
}

static const struct operation_param cancel_params[] = {
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "NAME",
	  .help = "the policy" },
	{ 0 }
};

/* A million snapshots without tags are 50 MB. */
#define SNAPSHOTS_MAX ((size_t)512 << 20)

static const struct operation_param simulate_params[] = {
	{ .name = "policy",
	  .kind = PARAM_OPTION,
	  .type = PARAM_DOCUMENT,
	  .required = true,
	  .value = "FILE",
	  .help = "the rules, as JSON: {\"keep-daily\":7,\"timeZone\":\"UTC\"}" },
	{ .name = "snapshots",
	  .kind = PARAM_OPTION,
	  .type = PARAM_DOCUMENT,
	  .required = true,
	  .value = "FILE",
	  .help = "the snapshots, as JSON: [{\"id\",\"time\",\"tags\"}]",
	  .document_max = SNAPSHOTS_MAX },
	{ .name = "now",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "the moment to decide at, instead of now" },
	{ 0 }
};

const struct operation op_policy_rows[] = {
	{ .verb = "policy simulate",
	  .method = "POST",
	  .route = "/policy/simulate",
	  .flags = OPERATION_DIRECT,
	  .params = simulate_params,
	  .summary = "tell which snapshots a set of rules would keep, and why",
	  .help = "Nothing is read but the two files. Floors, holds and locks "
		  "are not considered: they can only keep more.\n\n"
		  "A snapshot is judged by the time of its receipt, "
		  "\"received\", as retention does it, and by \"time\", "
		  "which may be claimed, only where that is missing: what "
		  "\"snapshot list --json\" prints can be given as it is.",
	  .run = simulate },
	{ .verb = "policy pending",
	  .method = "GET",
	  .route = "/policy/pending",
	  .flags = OPERATION_DAEMON,
	  .view = "policy source region count:count due:age cause actor",
	  .summary = "list what changes would delete once their time comes",
	  .help = "A change that lets go of snapshots which were kept waits, "
		  "and then deletes only what it listed. A region is named "
		  "where it keeps by a policy of its own; else it is about "
		  "all the others.",
	  .run = pending },
	{ .verb = "policy cancel",
	  .method = "DELETE",
	  .route = "/policy/pending/{name}",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = cancel_params,
	  .view = "policy cancelled note",
	  .summary = "let what a change would delete wait anew",
	  .help = "The lists that wait are dropped, and nothing on them is "
		  "deleted for now. The policy stays as it is: while it lets "
		  "these snapshots go, the next run lists them again, with a "
		  "new cooling-off period. To keep them for good, apply the "
		  "policy as it was; that empties the lists by itself.",
	  .run = cancel },
	{ 0 },
};
