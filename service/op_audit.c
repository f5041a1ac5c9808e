/* The audit log, and the clock that everything is dated by. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/engine.h"
#include "service/jsontree.h"
#include "service/op.h"
#include "service/op_actor.h"
#include "service/op_known.h"
#include "storage/repository/object.h"

/* Of a hold: as many as a record takes. */
#define HOLD_IDS_MAX ((size_t)4 << 20)

static int write_record(void *arg, const struct catalog_audit *a,
			struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	json_kv_int(j, "seq", a->seq);
	json_kv_instant(j, "at", a->at);
	json_kv_str(j, "actor", a->actor);
	json_kv_int(j, "uid", a->actor_uid);
	json_kv_str(j, "action", a->action);
	json_kv_str(j, "object", a->object);
	json_key(j, "details");
	json_raw(j, a->details_json[0] ? a->details_json : "{}");
	json_kv_str(j, "chain", a->chain);
	json_kv_str(j, "hash", a->hash);
	json_end_object(j);
	return 0;
}

static int show_log(struct operation_call *call, struct err *e)
{
	struct catalog_audit_filter filter = {
		.action = args_text(call->args, "action"),
		.object = args_text(call->args, "object"),
		.limit = args_limit(call->args, "limit"),
	};

	if (args_text(call->args, "from"))
		filter.from = args_time(call->args, "from");
	if (args_text(call->args, "to"))
		filter.to = args_time(call->args, "to");
	json_begin_list(call->reply);
	if (catalog_audits(call->catalog, &filter, write_record, call->reply,
			   e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}

static int verify(struct operation_call *call, struct err *e)
{
	struct catalog_audit_state state;
	struct json *j = call->reply;

	if (catalog_audit_verify(call->catalog, &state, e) < 0)
		return -1;
	json_begin_object(j);
	json_kv_bool(j, "sound", state.sound);
	json_kv_uint(j, "records", state.records);
	if (!state.sound) {
		json_kv_str(j, "chain", state.chain.s);
		json_kv_int(j, "seq", state.seq);
		json_kv_str(j, "message", state.why);
		operation_damaged(call);
	}
	json_end_object(j);
	return 0;
}

/* ---- What a command did in the caller's own process --------------------- */

static int add_text(json_t *object, const char *key, const char *text,
		    struct err *e)
{
	if (json_object_get(object, key))
		return err_set(e, ERR_USAGE, "%s is told twice",
			       text_quote_str(key).s);
	return json_object_set_new(object, key, json_string(text)) < 0
		       ? err_oom(e)
		       : 0;
}

static int add_detail(json_t *object, const char *text, struct err *e)
{
	const char *equals = strchr(text, '=');
	char key[64];

	if (!equals || (size_t)(equals - text) >= sizeof(key))
		return err_set(e, ERR_USAGE, "%s is not KEY=VALUE",
			       text_quote_str(text).s);
	(void)snprintf(key, sizeof(key), "%.*s", (int)(equals - text), text);
	return add_text(object, key, equals + 1, e);
}

static int make_details(const struct args *args, json_t *object, struct err *e)
{
	static const char *const own[] = { "region", "reason" };

	if (add_text(object, "repository", args_text(args, "in"), e) < 0)
		return -1;
	for (size_t i = 0; i < 2; i++)
		if (args_text(args, own[i]) &&
		    add_text(object, own[i], args_text(args, own[i]), e) < 0)
			return -1;
	for (size_t i = 0; i < args_count(args, "detail"); i++)
		if (add_detail(object, args_nth(args, "detail", i), e) < 0)
			return -1;
	return 0;
}

static int add_record(struct operation_call *call,
		      const struct catalog_actor *actor, struct err *e)
{
	json_t *object = json_object();
	char *text = NULL;
	int failed;

	failed = !object ? err_oom(e) : make_details(call->args, object, e);
	if (!failed && !(text = jsontree_dump(object, JSON_COMPACT)))
		failed = err_oom(e);
	if (!failed)
		failed = catalog_audit_add(
			call->catalog, actor, args_text(call->args, "action"),
			args_text(call->args, "object"), text, e);
	free(text);
	json_decref(object);
	return failed;
}

/*
 * A snapshot's row says so as well, for the reports: 1 and it has left the
 * record; 0 when it does not know the snapshot, or knew.
 */
static int mark_snapshot(struct operation_call *call,
			 const struct catalog_actor *actor, struct err *e)
{
	const char *action = args_text(call->args, "action");
	const char *reason = args_text(call->args, "reason");
	const char *region = args_text(call->args, "region");
	char host[256];
	char *text;
	int did = 0;

	engine_host(host, sizeof(host));
	if (asprintf(&text, "deleted by %s@%s%s%s", actor->name, host,
		     reason && *reason ? ": " : "", reason ? reason : "") < 0)
		return err_oom(e);
	if (strcmp(action, "snapshot.delete") == 0 && region)
		did = catalog_snapshot_deleted_in(
			call->catalog, args_text(call->args, "in"),
			args_text(call->args, "object"), region, text, actor,
			e);
	else if (strcmp(action, "snapshot.undelete") == 0)
		did = catalog_snapshot_deleted(
			call->catalog, args_text(call->args, "in"),
			args_text(call->args, "object"), NULL, actor, e);
	free(text);
	return did < 0 && e->code == ERR_NOT_FOUND ? 0 : did;
}

/* ---- Holds: retention obeys them though their region is away ------------ */

static int write_ids(struct operation_call *call, struct buf *out,
		     struct err *e)
{
	struct object_id id;
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_list(&j);
	for (size_t i = 0; i < args_count(call->args, "snapshot"); i++) {
		const char *text = args_nth(call->args, "snapshot", i);

		if (!object_id_parse(text, &id))
			return err_set(e, ERR_USAGE, "%s is no snapshot's id",
				       text_quote_str(text).s);
		json_str(&j, text);
	}
	json_end_list(&j);
	return json_finish(&j, e);
}

/* Of --detail KEY=VALUE; or "". */
static const char *detail_of(const struct args *args, const char *key)
{
	const size_t n = strlen(key);

	for (size_t i = 0; i < args_count(args, "detail"); i++) {
		const char *text = args_nth(args, "detail", i);

		if (strncmp(text, key, n) == 0 && text[n] == '=')
			return text + n + 1;
	}
	return "";
}

static int note_hold(struct operation_call *call,
		     const struct catalog_actor *actor, struct err *e)
{
	const char *matter = args_text(call->args, "reason");
	CLEANUP(buf_done) struct buf ids;
	struct catalog_hold h = {
		.repository = args_text(call->args, "in"),
		.id = args_text(call->args, "object"),
		.source = detail_of(call->args, "source"),
		.matter = matter ? matter : "",
		.custodian = detail_of(call->args, "custodian"),
		.by = actor->name,
		.placed = actor->now,
	};

	buf_init(&ids, HOLD_IDS_MAX);
	if (write_ids(call, &ids, e) < 0)
		return -1;
	h.snapshots_json = buf_str(&ids);
	if (!*h.source && args_count(call->args, "snapshot") == 0)
		return 0;
	return catalog_hold_put(call->catalog, &h, actor, e) < 0 ? -1 : 0;
}

struct sought {
	const char *hold;
	bool found;
};

static int see_hold(void *arg, const struct catalog_hold *h,
		    struct err *e UNUSED)
{
	struct sought *x = arg;

	x->found = x->found || strcmp(h->id, x->hold) == 0;
	return x->found;
}

/* In a region that still has it, it has force until a run reaches that. */
static int note_release(struct operation_call *call,
			const struct catalog_actor *actor, struct err *e)
{
	const struct catalog_hold h = {
		.repository = args_text(call->args, "in"),
		.id = args_text(call->args, "object"),
		.source = "",
		.matter = "",
		.custodian = "",
		.by = "",
		.placed = actor->now,
		.released = actor->now,
	};
	struct sought x = { .hold = h.id };

	if (catalog_holds(call->catalog, h.repository, true, see_hold, &x, e) <
	    0)
		return -1;
	if (!x.found)
		return 0;
	return catalog_hold_put(call->catalog, &h, actor, e) < 0 ? -1 : 0;
}

/* After the record of who did it. */
static int mark_hold(struct operation_call *call,
		     const struct catalog_actor *actor, struct err *e)
{
	const char *action = args_text(call->args, "action");
	struct object_id id;

	if (!object_id_parse(args_text(call->args, "object"), &id))
		return 0;
	if (strcmp(action, "hold.add") == 0)
		return note_hold(call, actor, e);
	return strcmp(action, "hold.release") == 0
		       ? note_release(call, actor, e)
		       : 0;
}

static int take_note(struct operation_call *call,
		     const struct catalog_actor *actor, struct err *e)
{
	const int marked = mark_snapshot(call, actor, e);

	if (marked != 0)
		return marked < 0 ? -1 : 0;
	return add_record(call, actor, e) < 0 ? -1 : mark_hold(call, actor, e);
}

static int note(struct operation_call *call, struct err *e)
{
	const char *repository = args_text(call->args, "in");
	const int known = op_known(call, "Repository", repository, e);
	struct op_actor actor;

	op_actor_init(&actor, call);
	if (known <= 0)
		return known < 0 ? -1
				 : op_known_refuse(call, "Repository",
						   repository, e);
	if (catalog_begin(call->catalog, e) < 0)
		return -1;
	if (take_note(call, &actor.actor, e) < 0 ||
	    catalog_commit(call->catalog, e) < 0) {
		catalog_rollback(call->catalog);
		return -1;
	}
	json_begin_object(call->reply);
	json_kv_str(call->reply, "noted", args_text(call->args, "action"));
	json_end_object(call->reply);
	return 0;
}

static int confirm(struct operation_call *call, struct err *e)
{
	struct op_actor actor;
	int did;

	op_actor_init(&actor, call);
	did = catalog_clock_confirm(call->catalog, &actor.actor, e);
	if (did < 0)
		return -1;
	json_begin_object(call->reply);
	json_kv_str(call->reply, "result",
		    did ? "confirmed" : "nothing was suspected");
	json_end_object(call->reply);
	return 0;
}

static const struct operation_param log_params[] = {
	{ .name = "action",
	  .kind = PARAM_OPTION,
	  .value = "ACTION",
	  .help = "only this action; \"resource.*\" for all that begin so" },
	{ .name = "object",
	  .kind = PARAM_OPTION,
	  .value = "KIND/NAME",
	  .help = "only what was done to this" },
	{ .name = "from",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "not before this moment" },
	{ .name = "to",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "before this moment" },
	{ .name = "limit",
	  .kind = PARAM_OPTION,
	  .type = PARAM_NUMBER,
	  .fallback = "100",
	  .value = "N",
	  .help = "at most so many, the newest; 0 for all" },
	{ 0 }
};

static const struct operation_param note_params[] = {
	{ .name = "action",
	  .kind = PARAM_OPTION,
	  .type = PARAM_CHOICE,
	  .required = true,
	  .value = "ACTION",
	  .choices =
		  "snapshot.delete|snapshot.undelete|hold.add|"
		  "hold.release|hold.released|key.add|key.revoke|repo.gc|region.heal",
	  .help = "what was done" },
	{ .name = "object",
	  .kind = PARAM_OPTION,
	  .required = true,
	  .value = "ID",
	  .help = "the id of what it was done to" },
	{ .name = "in",
	  .kind = PARAM_OPTION,
	  .required = true,
	  .value = "REPOSITORY",
	  .help = "the repository, by its name" },
	{ .name = "region",
	  .kind = PARAM_OPTION,
	  .value = "REGION",
	  .help = "in which region, when not in all" },
	{ .name = "reason",
	  .kind = PARAM_OPTION,
	  .value = "TEXT",
	  .help = "why, or for which case" },
	{ .name = "detail",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "KEY=VALUE",
	  .help = "what else is to be known" },
	{ .name = "snapshot",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "ID",
	  .help = "of hold.add: a snapshot that is held, by its whole id" },
	{ 0 }
};

const struct operation op_audit_rows[] = {
	{ .verb = "audit log",
	  .method = "GET",
	  .route = "/audit",
	  .flags = OPERATION_DAEMON,
	  .params = log_params,
	  .view = "seq at:time actor action object details",
	  .summary = "show who changed what, and when",
	  .run = show_log },
	{ .verb = "audit verify",
	  .method = "GET",
	  .route = "/audit/verify",
	  .flags = OPERATION_DAEMON,
	  .summary = "check that no record was changed, removed or reordered",
	  .run = verify },
	{ .verb = "audit note",
	  .method = "POST",
	  .route = "/audit",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = note_params,
	  .view = "noted",
	  .summary = "write down what was done to a repository",
	  .help = "Commands that work on a repository in the caller's own "
		  "process call this when they are done, where --repo is a "
		  "name. What was done with a location can be noted by hand.",
	  .run = note },
	{ .verb = "clock confirm",
	  .method = "POST",
	  .route = "/clock/confirm",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .view = "result",
	  .summary = "say that the clock is right after it jumped",
	  .help = "Retention and garbage collection stop when the wall clock "
		  "gains or loses five minutes, because they would delete by "
		  "a wrong date. The timetable goes on as if it had not "
		  "jumped. This lets retention go on and the timetable "
		  "follow the clock; where that was set back, what had been "
		  "noted for times to come and was not run is forgotten, and "
		  "due again.",
	  .run = confirm },
	{ 0 },
};
