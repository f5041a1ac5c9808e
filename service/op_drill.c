/* Drills: ask for one, wait for it, look at the evidence. */
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/args.h"
#include "service/catalog_keep.h"
#include "service/client.h"
#include "service/config.h"
#include "service/jsontree.h"
#include "service/op.h"
#include "service/op_actor.h"
#include "service/op_known.h"
#include "service/progress.h"
#include "service/timetable.h"

#define REPLY_BYTES ((size_t)16 << 20)
/* How often `drill run` asks whether it is over. */
#define POLL_MS 250

/* ---- Rows as JSON ------------------------------------------------------- */

static void write_ms(struct json *j, const char *key, int64_t ms, bool known)
{
	if (known)
		json_kv_double(j, key, (double)ms / 1000.0);
	else
		json_kv_str(j, key, NULL);
}

static void write_fields(struct json *j, const struct catalog_drill *d)
{
	json_kv_int(j, "id", d->id);
	json_kv_str(j, "drill", d->drill);
	json_kv_str(j, "region", d->region);
	json_kv_str(j, "source", d->source);
	json_kv_str(j, "snapshot", d->snapshot[0] ? d->snapshot : NULL);
	json_kv_bool(j, "passed", d->passed);
	json_kv_instant(j, "started", d->started);
	write_ms(j, "rto_seconds", d->rto_ms, d->rto_ms >= 0);
	write_ms(j, "rpo_seconds", d->rpo_ms, d->rpo_ms >= 0);
	json_kv_str(j, "message", d->message);
}

static void write_raw(struct json *j, const char *key, const char *text,
		      const char *fallback)
{
	json_key(j, key);
	json_raw(j, text[0] ? text : fallback);
}

static int write_row(void *arg, const struct catalog_drill *d,
		     struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	write_fields(j, d);
	json_kv_int(j, "run", d->run);
	json_end_object(j);
	return 0;
}

static int write_details(void *arg, const struct catalog_drill *d,
			 struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	write_fields(j, d);
	write_ms(j, "rto_target_seconds", d->rto_target_ms,
		 d->rto_target_ms > 0);
	write_ms(j, "rpo_target_seconds", d->rpo_target_ms,
		 d->rpo_target_ms > 0);
	json_kv_str(j, "schedule", d->schedule);
	json_kv_str(j, "repository", d->repository);
	json_kv_int(j, "run", d->run);
	json_kv_instant(j, "finished", d->finished);
	json_kv_uint(j, "files", d->files);
	json_kv_uint(j, "bytes", d->bytes);
	write_raw(j, "checks", d->checks_json, "[]");
	write_raw(j, "evidence", d->evidence_json, "{}");
	json_end_object(j);
	return 0;
}

/* ---- list, show --------------------------------------------------------- */

struct listing {
	struct operation_call *call;
	int64_t run; /* only of this one; 0: all */
};

static int list_row(void *arg, const struct catalog_drill *d, struct err *e)
{
	const struct listing *l = arg;

	if (l->run && d->run != l->run)
		return 0;
	return write_row(l->call->reply, d, e);
}

static int note_any(void *arg, const struct catalog_drill *d UNUSED,
		    struct err *e UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

/* One that is deleted is known by its evidence. */
static int expect_known(struct operation_call *call, const char *drill,
			struct err *e)
{
	const struct catalog_drill_filter by = { .drill = drill, .limit = 1 };
	bool any = false;
	const int known = drill ? op_known(call, "Drill", drill, e) : 1;

	if (known < 0 || (known == 0 && catalog_drills(call->catalog, &by,
						       note_any, &any, e) < 0))
		return -1;
	return known || any ? 0 : op_known_refuse(call, "Drill", drill, e);
}

static int list(struct operation_call *call, struct err *e)
{
	struct catalog_drill_filter filter = {
		.drill = args_text(call->args, "drill"),
		.limit = args_limit(call->args, "limit"),
	};
	struct listing l = { .call = call };

	if (args_text(call->args, "run"))
		l.run = args_number(call->args, "run");
	if (args_text(call->args, "from"))
		filter.from = args_time(call->args, "from");
	if (args_text(call->args, "to"))
		filter.to = args_time(call->args, "to");
	if (expect_known(call, filter.drill, e) < 0)
		return -1;
	json_begin_list(call->reply);
	if (catalog_drills(call->catalog, &filter, list_row, &l, e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}

struct showing {
	struct json *reply;
	bool found;
};

static int show_row(void *arg, const struct catalog_drill *d, struct err *e)
{
	struct showing *s = arg;

	s->found = true;
	return write_details(s->reply, d, e);
}

static int show(struct operation_call *call, struct err *e)
{
	struct catalog_drill_filter filter = { .id = args_number(call->args,
								 "id") };
	struct showing s = { .reply = call->reply };

	if (filter.id &&
	    catalog_drills(call->catalog, &filter, show_row, &s, e) < 0)
		return -1;
	if (s.found)
		return 0;
	(void)err_set(e, ERR_NOT_FOUND, "there is no drill %jd",
		      (intmax_t)filter.id);
	return err_hint(e, "\"snapctl drill list\" lists them");
}

/* ---- start: in the daemon ----------------------------------------------- */

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
	const char *name = args_text(call->args, "name");
	const struct timetable_entry *entry;
	int64_t id;

	if (timetable_load(call->catalog, NULL, &t, e) < 0)
		return -1;
	entry = timetable_named(t, "Drill", name);
	if (!entry)
		return op_known_refuse(call, "Drill", name, e);
	if (queue(call, entry, &id, e) < 0)
		return -1;
	if (call->wake)
		call->wake(call->wake_arg);
	json_begin_object(call->reply);
	json_kv_str(call->reply, "drill", name);
	json_kv_int(call->reply, "run", id);
	json_kv_str(call->reply, "state", "queued");
	json_end_object(call->reply);
	return 0;
}

/* ---- run: start, and wait, in the caller's process ---------------------- */

/*
 * A drill takes as long as it takes, and requests do not: so the caller waits,
 * asking now and then, and the daemon keeps its workers.
 */
struct waiting {
	struct operation_call *call;
	const char *socket;
	struct buf reply;
};

/* One request with one parameter or two; its reply stays in w->reply. */
static int ask(struct waiting *w, const char *verb,
	       const char *const params[][2], struct err *e)
{
	CLEANUP(args_free) struct args *args = NULL;
	struct client_call call = { .socket = w->socket,
				    .operation = operation_named(verb),
				    .stop = w->call->stop,
				    .sink = json_to_buf,
				    .arg = &w->reply };
	enum operation_outcome outcome;

	buf_clear(&w->reply);
	if (args_new(&args, call.operation, e) < 0)
		return -1;
	for (size_t i = 0; params[i][0]; i++)
		if (args_add_str(args, params[i][0], params[i][1], e) < 0)
			return -1;
	if (args_finish(args, e) < 0)
		return -1;
	call.args = args;
	return client_call(&call, &outcome, e);
}

static int parse(const struct waiting *w, json_t **ret, struct err *e)
{
	json_error_t why;
	const int got = jsontree_load(buf_str(&w->reply), w->reply.len, 0, ret,
				      &why, e);

	if (got == 0)
		(void)err_set(e, ERR_CORRUPT, "the reply is not JSON: %s",
			      why.text);
	return got > 0 ? 0 : -1;
}

/* The number under key of the reply, or of its first element; 0: none. */
static int take_number(const struct waiting *w, const char *key, int64_t *ret,
		       struct err *e)
{
	json_t *value;
	const json_t *row;

	if (parse(w, &value, e) < 0)
		return -1;
	row = json_is_array(value) ? json_array_get(value, 0) : value;
	*ret = json_integer_value(json_object_get(row, key));
	json_decref(value);
	return 0;
}

/* Whether the run has ended, and with what message. */
static int look(const struct waiting *w, bool *ret_ended, char message[300],
		struct err *e)
{
	json_t *value;
	const char *state;
	const char *text;

	if (parse(w, &value, e) < 0)
		return -1;
	state = json_string_value(json_object_get(value, "state"));
	text = json_string_value(json_object_get(value, "message"));
	*ret_ended = state && strcmp(state, "queued") != 0 &&
		     strcmp(state, "running") != 0;
	(void)snprintf(message, 300, "%.299s", text ? text : "");
	json_decref(value);
	return 0;
}

static int wait_for(struct waiting *w, const char *run, char message[300],
		    struct err *e)
{
	const char *const params[][2] = { { "id", run }, { NULL, NULL } };
	bool ended = false;

	for (;;) {
		if (ask(w, "run show", params, e) < 0 ||
		    look(w, &ended, message, e) < 0)
			return -1;
		if (ended)
			return 0;
		clock_sleep_ms(POLL_MS);
		if (operation_stopped(w->call, e) < 0)
			return err_hint(e,
					"the drill goes on: \"snapctl run "
					"show %s\", \"snapctl run cancel "
					"%s\"",
					run, run);
	}
}

/* The evidence becomes our reply as it is. */
static int show_evidence(struct waiting *w, const char *run,
			 const char *message, struct err *e)
{
	const char *const of_run[][2] = { { "run", run },
					  { "limit", "0" },
					  { NULL, NULL } };
	char id[24];
	const char *const by_id[][2] = { { "id", id }, { NULL, NULL } };
	int64_t number;
	json_t *value;

	if (ask(w, "drill list", of_run, e) < 0 ||
	    take_number(w, "id", &number, e) < 0)
		return -1;
	if (number == 0)
		return err_set(e, ERR_IO,
			       "the drill did not come to an end: %s", message);
	(void)snprintf(id, sizeof(id), "%jd", (intmax_t)number);
	if (ask(w, "drill show", by_id, e) < 0 || parse(w, &value, e) < 0)
		return -1;
	if (!json_is_true(json_object_get(value, "passed")))
		operation_failed(w->call);
	json_decref(value);
	json_raw(w->call->reply, buf_str(&w->reply));
	return 0;
}

static int run_and_wait(struct waiting *w, struct err *e)
{
	const char *name = args_text(w->call->args, "name");
	const char *const params[][2] = { { "name", name }, { NULL, NULL } };
	char message[300];
	int64_t number;
	char run[24];

	if (ask(w, "drill start", params, e) < 0 ||
	    take_number(w, "run", &number, e) < 0)
		return -1;
	(void)snprintf(run, sizeof(run), "%jd", (intmax_t)number);
	progress_stage(w->call->progress, "drilling", 0);
	if (wait_for(w, run, message, e) < 0)
		return -1;
	return show_evidence(w, run, message, e);
}

static int run(struct operation_call *call, struct err *e)
{
	CLEANUP(config_free) struct config *config = NULL;
	struct waiting w = { .call = call };
	int status;

	if (client_settings(call->config_file, call->socket, &config, e) < 0)
		return -1;
	w.socket = config_text(config, CONFIG_SOCKET);
	buf_init(&w.reply, REPLY_BYTES);
	status = run_and_wait(&w, e);
	buf_done(&w.reply);
	return status;
}

/* ---- Rows --------------------------------------------------------------- */

static const struct operation_param name_params[] = {
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "NAME",
	  .help = "the Drill" },
	{ 0 }
};

static const struct operation_param id_params[] = {
	{ .name = "id",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_NUMBER,
	  .required = true,
	  .value = "ID",
	  .help = "the number that `drill list` shows" },
	{ 0 }
};

static const struct operation_param list_params[] = {
	{ .name = "drill",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "only of this Drill" },
	{ .name = "run",
	  .kind = PARAM_OPTION,
	  .type = PARAM_NUMBER,
	  .value = "ID",
	  .help = "only what this run did" },
	{ .name = "from",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "begun at this moment or later" },
	{ .name = "to",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "begun before this moment" },
	{ .name = "limit",
	  .kind = PARAM_OPTION,
	  .type = PARAM_NUMBER,
	  .fallback = "50",
	  .value = "N",
	  .help = "at most so many, the newest; 0 for all" },
	{ 0 }
};

const struct operation op_drill_rows[] = {
	{ .verb = "drill run",
	  .flags = OPERATION_DIRECT,
	  .params = name_params,
	  .view = "!drill",
	  .summary = "prove that what a schedule protects can be restored",
	  .help = "The daemon restores the newest complete snapshots of the "
		  "drill's schedule from the drill's region into a private "
		  "folder, with nothing but the region and the key, and looks "
		  "at them: `tree` compares every entry and every byte with "
		  "the snapshot, `command` runs a program in the restored "
		  "folder. The folder is removed afterwards. The time that it "
		  "took (rto) and the age of the data (rpo) are held against "
		  "the targets.\n\n"
		  "The exit status is 0 when everything held, and 1 when "
		  "something did not. Interrupted, the drill goes on in the "
		  "daemon.",
	  .run = run },
	{ .verb = "drill start",
	  .method = "POST",
	  .route = "/drills",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = name_params,
	  .view = "drill run state",
	  .summary = "begin a drill and do not wait for it",
	  .run = start },
	{ .verb = "drill list",
	  .method = "GET",
	  .route = "/drills",
	  .flags = OPERATION_DAEMON,
	  .params = list_params,
	  .view = "id drill region source snapshot:short passed:yesno "
		  "started:age rto_seconds:seconds=rto "
		  "rpo_seconds:seconds=rpo message",
	  .summary = "list the drills that were done, the newest first",
	  .run = list },
	{ .verb = "drill show",
	  .method = "GET",
	  .route = "/drills/{id}",
	  .flags = OPERATION_DAEMON,
	  .params = id_params,
	  .view = "!drill",
	  .summary = "show the evidence of one drill",
	  .run = show },
	{ 0 },
};
