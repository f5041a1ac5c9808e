/* Questions about timetables. */
#include "schedules/cron.h"
#include "service/args.h"
#include "service/op.h"
#include "service/zoneinfo.h"

/* More occurrences than anybody reads; also the bound of the loop. */
enum { COUNT_MAX = 100000 };

static int next(struct operation_call *call, struct err *e)
{
	CLEANUP(zone_free) struct zone *zone = NULL;
	const int64_t count = args_number(call->args, "count");
	int64_t at = args_text(call->args, "after")
			     ? args_time(call->args, "after").sec
			     : call->now.sec;
	struct cron cron;

	if (count > COUNT_MAX)
		return err_set(e, ERR_USAGE, "--count is more than %d",
			       COUNT_MAX);
	if (cron_parse(args_text(call->args, "expression"), &cron, e) < 0)
		return err_wrap(e, "EXPR");
	if (zoneinfo_load(args_text(call->args, "time-zone"), &zone, e) < 0)
		return err_wrap(e, "--time-zone");
	json_begin_list(call->reply);
	for (int64_t i = 0; i < count && cron_next(&cron, zone, at, &at) == 1;
	     i++) {
		char text[INSTANT_TEXT];

		instant_format_offset((struct instant){ .sec = at },
				      zone_offset_s(zone, at), text);
		json_str(call->reply, text);
	}
	json_end_list(call->reply);
	return 0;
}

static const struct operation_param next_params[] = {
	{ .name = "expression",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "EXPR",
	  .help = "five cron fields, or @hourly, @daily, @weekly, @monthly, "
		  "@yearly" },
	{ .name = "time-zone",
	  .kind = PARAM_OPTION,
	  .fallback = "UTC",
	  .value = "ZONE",
	  .help = "the IANA zone whose clock it follows" },
	{ .name = "after",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "what comes after this moment, instead of now" },
	{ .name = "count",
	  .kind = PARAM_OPTION,
	  .type = PARAM_NUMBER,
	  .fallback = "5",
	  .value = "N",
	  .help = "how many to print" },
	{ 0 }
};

const struct operation op_schedule_rows[] = {
	{ .verb = "schedule next",
	  .method = "GET",
	  .route = "/schedule/next",
	  .flags = OPERATION_DIRECT,
	  .params = next_params,
	  .summary = "print when a cron expression fires next",
	  .help = "An expression whose hours are fixed fires once for each "
		  "local time: one that a change to summer time leaves out "
		  "fires at the first moment after the gap, one that comes "
		  "twice fires the first time only. Every other expression "
		  "follows the clock on the wall. Fewer lines are printed "
		  "when there are fewer occurrences.",
	  .run = next },
	{ 0 },
};
