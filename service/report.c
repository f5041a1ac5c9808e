#include "service/report.h"

#include <jansson.h>
#include <stdio.h>

#include "service/args.h"
#include "service/jsontree.h"

int report_window(const struct operation_call *call, int64_t default_ms,
		  struct report_window *ret, struct err *e)
{
	struct report_window w = { .to = call->now };

	if (args_text(call->args, "to"))
		w.to = args_time(call->args, "to");
	if (args_text(call->args, "from"))
		w.from = args_time(call->args, "from");
	else if (default_ms)
		w.from = instant_add_ms(w.to, -default_ms);
	if (instant_compare(w.from, w.to) >= 0)
		return err_set(e, ERR_USAGE, "--from is not before --to");
	*ret = w;
	return 0;
}

void report_moment(struct json *j, const char *key, struct instant t)
{
	if (t.sec != 0)
		json_kv_instant(j, key, t);
	else
		json_kv_str(j, key, NULL);
}

void report_seconds(struct json *j, const char *key, int64_t ms, bool known)
{
	if (known)
		json_kv_double(j, key, (double)ms / 1000.0);
	else
		json_kv_str(j, key, NULL);
}

void report_rule(const struct json_t *reason, char out[REPORT_RULE_TEXT])
{
	const char *rule = json_string_value(json_object_get(reason, "rule"));
	const char *bucket = json_string_value(
		json_object_get(reason, "bucket"));

	(void)snprintf(out, REPORT_RULE_TEXT, "%.90s%s%.100s",
		       rule ? rule : "?", bucket && *bucket ? " " : "",
		       bucket ? bucket : "");
}

void report_rules(struct json *j, const char *reasons_json)
{
	json_t *list = jsontree_loads(reasons_json, 0, NULL);
	char text[REPORT_RULE_TEXT];

	for (size_t i = 0; i < json_array_size(list); i++) {
		report_rule(json_array_get(list, i), text);
		json_str(j, text);
	}
	json_decref(list);
}
