/* Runs: what happened, what happens, and what somebody asks for. */
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/op.h"
#include "service/op_actor.h"
#include "service/op_known.h"
#include "service/timetable.h"

static void write_moment(struct json *j, const char *key, struct instant t)
{
	if (t.sec != 0)
		json_kv_instant(j, key, t);
	else
		json_kv_str(j, key, NULL);
}

/* The names of a JSON list, as one text: "a, b". */
static void write_raw(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_raw(j, text[0] ? text : "[]");
}

static void write_fields(const struct catalog_run *r, struct json *j)
{
	json_kv_int(j, "id", r->id);
	json_kv_str(j, "kind", r->kind);
	json_kv_str(j, "schedule", r->schedule);
	write_raw(j, "source", r->sources_json);
	write_moment(j, "occurrence", r->occurrence_at);
	json_kv_str(j, "state", catalog_run_state_name(r->state));
	json_kv_int(j, "attempt", r->attempt);
	write_moment(j, "started", r->started);
	write_moment(j, "finished", r->finished);
	write_raw(j, "snapshot", r->snapshots_json);
	json_kv_str(j, "message", r->message);
}

static int write_row(void *arg, const struct catalog_run *r,
		     struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	write_fields(r, j);
	json_end_object(j);
	return 0;
}

static int note_any(void *arg, const struct catalog_run *r UNUSED,
		    struct err *e UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

/* What is deleted may have run, so a run is as good as a declaration. */
static int expect_known(struct operation_call *call,
			const struct catalog_run_filter *by, struct err *e)
{
	const char *name = by->schedule ? by->schedule : by->source;
	const char *kind = by->schedule ? "Schedule" : "Source";
	bool any = false;
	int known;

	if (!name)
		return 0;
	known = op_known(call, kind, name, e);
	if (known == 0 && by->schedule)
		known = op_known(call, "Drill", name, e);
	if (known == 0 && by->schedule)
		known = op_known(call, "Repository", name, e);
	if (known == 0 &&
	    catalog_runs(call->catalog, by, note_any, &any, e) < 0)
		return -1;
	if (known != 0 || any)
		return known < 0 ? -1 : 0;
	return op_known_refuse(call, kind, name, e);
}

static const struct {
	const char *word, *kind;
} kinds[] = { { "schedule", "Schedule" },
	      { "drill", "Drill" },
	      { "maintenance", "Maintenance" } };

static int list(struct operation_call *call, struct err *e)
{
	const char *state = args_text(call->args, "state");
	const char *kind = args_text(call->args, "kind");
	struct catalog_run_filter filter = {
		.schedule = args_text(call->args, "schedule"),
		.source = args_text(call->args, "source"),
		.limit = args_limit(call->args, "limit"),
	};

	for (size_t i = 0; kind && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].word, kind) == 0)
			filter.kind = kinds[i].kind;
	if (state)
		filter.states = 1U << catalog_run_state_named(state);
	if (expect_known(call,
			 &(struct catalog_run_filter){
				 .schedule = filter.schedule, .limit = 1 },
			 e) < 0 ||
	    expect_known(call,
			 &(struct catalog_run_filter){ .source = filter.source,
						       .limit = 1 },
			 e) < 0)
		return -1;
	json_begin_list(call->reply);
	if (catalog_runs(call->catalog, &filter, write_row, call->reply, e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}

/* ---- One run ------------------------------------------------------------ */

static int take_id(const struct operation_call *call, int64_t *ret,
		   struct err *e)
{
	const char *text = args_text(call->args, "id");

	if (text_number(text, 1, INT64_MAX, ret))
		return 0;
	return err_set(e, ERR_USAGE, "%s is no run's number",
		       text_quote_str(text).s);
}

static int no_run(int64_t id, struct err *e)
{
	(void)err_set(e, ERR_NOT_FOUND, "there is no run %jd", (intmax_t)id);
	return err_hint(e, "\"snapctl run list\" lists them");
}

static int write_step(void *arg, const struct catalog_step *s,
		      struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	json_kv_str(j, "step", s->step);
	json_kv_str(j, "source", s->source);
	json_kv_str(j, "region", s->region);
	json_kv_str(j, "state", s->state);
	write_moment(j, "started", s->started);
	write_moment(j, "finished", s->finished);
	json_kv_str(j, "message", s->message);
	json_key(j, "details");
	json_raw(j, s->details_json[0] ? s->details_json : "{}");
	json_end_object(j);
	return 0;
}

static int write_details(void *arg, const struct catalog_run *r,
			 struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	write_fields(r, j);
	json_kv_str(j, "repository", r->repository);
	json_kv_str(j, "requested_by", r->requested_by);
	write_moment(j, "queued", r->queued);
	write_moment(j, "next_retry", r->next_retry);
	write_moment(j, "cancel_asked", r->cancel_asked);
	json_kv_str(j, "host", r->host);
	json_kv_int(j, "pid", r->pid);
	return 0;
}

static int show(struct operation_call *call, struct err *e)
{
	int64_t id;
	int found;

	if (take_id(call, &id, e) < 0)
		return -1;
	found = catalog_run_get(call->catalog, id, write_details, call->reply,
				e);
	if (found < 1)
		return found < 0 ? -1 : no_run(id, e);
	json_key(call->reply, "steps");
	json_begin_list(call->reply);
	if (catalog_steps(call->catalog, id, write_step, call->reply, e) < 0)
		return -1;
	json_end_list(call->reply);
	json_end_object(call->reply);
	return 0;
}

/* ---- Asking for runs ---------------------------------------------------- */

static int queue(struct operation_call *call,
		 const struct timetable_entry *entry, int64_t *ret_id,
		 struct err *e)
{
	struct op_actor actor;
	struct catalog_run row = { .kind = entry->kind,
				   .schedule_uid = entry->uid,
				   .schedule = entry->name,
				   .repository = entry->repository,
				   .sources_json = entry->sources_json,
				   .queued = call->now };

	if (entry->problem[0])
		return err_set(e, ERR_USAGE, "%s cannot run: %s", entry->name,
			       entry->problem);
	op_actor_init(&actor, call);
	row.requested_by = actor.name;
	return catalog_run_ask(call->catalog, &row, &actor.actor, ret_id, e);
}

static int start(struct operation_call *call, struct err *e)
{
	CLEANUP(timetable_free) struct timetable *t = NULL;
	const char *name = args_text(call->args, "schedule");
	const struct timetable_entry *entry;
	int64_t id;

	if (timetable_load(call->catalog, NULL, &t, e) < 0)
		return -1;
	entry = timetable_named(t, "Schedule", name);
	if (!entry && timetable_named(t, "Drill", name)) {
		(void)err_set(e, ERR_NOT_FOUND, "%s is a drill, no schedule",
			      text_quote_str(name).s);
		return err_hint(e, "\"snapctl drill run %s\" runs it", name);
	}
	if (!entry)
		return op_known_refuse(call, "Schedule", name, e);
	if (queue(call, entry, &id, e) < 0)
		return -1;
	if (call->wake)
		call->wake(call->wake_arg);
	json_begin_object(call->reply);
	json_kv_int(call->reply, "id", id);
	json_kv_str(call->reply, "schedule", name);
	json_kv_str(call->reply, "state", "queued");
	json_end_object(call->reply);
	return 0;
}

static int cancel(struct operation_call *call, struct err *e)
{
	struct op_actor actor;
	int64_t id;
	int did;

	op_actor_init(&actor, call);
	if (take_id(call, &id, e) < 0)
		return -1;
	did = catalog_run_cancel(call->catalog, id, &actor.actor, e);
	if (did < 0)
		return -1;
	if (call->wake)
		call->wake(call->wake_arg);
	json_begin_object(call->reply);
	json_kv_int(call->reply, "id", id);
	json_kv_str(call->reply, "result",
		    did == 1   ? "cancelled"
		    : did == 2 ? "asked to stop"
			       : "had ended already");
	json_end_object(call->reply);
	return 0;
}

/* ---- Rows --------------------------------------------------------------- */

static const struct operation_param list_params[] = {
	{ .name = "schedule",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "only runs of this schedule or drill, or the maintenance "
		  "of this repository" },
	{ .name = "kind",
	  .kind = PARAM_OPTION,
	  .type = PARAM_CHOICE,
	  .value = "KIND",
	  .choices = "schedule|drill|maintenance",
	  .help = "only runs of schedules, of drills, or that collect garbage "
		  "in a repository" },
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "only runs of this source" },
	{ .name = "state",
	  .kind = PARAM_OPTION,
	  .type = PARAM_CHOICE,
	  .value = "STATE",
	  .choices = "queued|running|succeeded|partial|failed|cancelled|"
		     "interrupted",
	  .help = "only runs in this state" },
	{ .name = "limit",
	  .kind = PARAM_OPTION,
	  .type = PARAM_NUMBER,
	  .fallback = "50",
	  .value = "N",
	  .help = "at most so many, the newest; 0 for all" },
	{ 0 }
};

static const struct operation_param id_params[] = {
	{ .name = "id",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "ID",
	  .help = "the run's number" },
	{ 0 }
};

static const struct operation_param start_params[] = {
	{ .name = "schedule",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "SCHEDULE",
	  .help = "whose run to start now" },
	{ 0 }
};

const struct operation op_run_rows[] = {
	{ .verb = "run list",
	  .method = "GET",
	  .route = "/runs",
	  .flags = OPERATION_DAEMON,
	  .params = list_params,
	  .view = "id kind schedule source:list occurrence:time state:state attempt "
		  "started:age finished:age message",
	  .summary = "list what ran and what runs, the newest first",
	  .run = list },
	{ .verb = "run show",
	  .method = "GET",
	  .route = "/runs/{id}",
	  .flags = OPERATION_DAEMON,
	  .params = id_params,
	  .view = "!run",
	  .summary = "show one run with its steps",
	  .run = show },
	{ .verb = "run start",
	  .method = "POST",
	  .route = "/runs",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = start_params,
	  .view = "id schedule state",
	  .summary = "run a schedule now, besides its timetable",
	  .help = "The run obeys the limits of its repository and of the host, "
		  "and waits while another of the same schedule runs.",
	  .run = start },
	{ .verb = "run cancel",
	  .method = "DELETE",
	  .route = "/runs/{id}",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = id_params,
	  .view = "id result",
	  .summary = "stop a run, or take it from the queue",
	  .run = cancel },
	{ 0 },
};
