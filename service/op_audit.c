/* The audit log, and the clock that everything is dated by. */
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "service/op.h"
#include "service/op_actor.h"

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
		.limit = (unsigned int)args_number(call->args, "limit"),
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
