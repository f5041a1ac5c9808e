/* What the program says about itself. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "service/args.h"
#include "service/completion.h"
#include "service/help.h"
#include "service/op.h"
#include "service/openapi.h"

/* More than all help together. */
#define TEXT_MAX ((size_t)4 << 20)

static int version(struct operation_call *call, struct err *e UNUSED)
{
	struct json *j = call->reply;

	json_begin_object(j);
	json_kv_str(j, "version", SNAPCTL_VERSION);
	json_kv_int(j, "api", 1);
	json_end_object(j);
	return 0;
}

/* The words given, as a verb or its beginning. */
static int add_help(const struct args *args, struct buf *out, struct err *e)
{
	const size_t words = args_count(args, "command");
	const char *first = args_text(args, "command");
	const char *second = args_nth(args, "command", 1);
	const struct operation *op;
	char verb[128];

	if (words == 0)
		return help_overview(NULL, out, e);
	(void)snprintf(verb, sizeof(verb), "%s%s%s", first, second ? " " : "",
		       second ? second : "");
	op = operation_named(verb);
	if (op)
		return help_operation(op, out, e);
	if (!second && help_has(first))
		return help_overview(first, out, e);
	(void)err_set(e, ERR_USAGE, "there is no command %s",
		      text_quote_str(verb).s);
	return err_hint(e, "\"snapctl --help\" lists the commands");
}

static int help(struct operation_call *call, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, TEXT_MAX);
	if ((args_switch(call->args, "manual")
		     ? help_manual(&text, e)
		     : add_help(call->args, &text, e)) < 0)
		return -1;
	return operation_write(call, text.data, text.len, e);
}

static int completion(struct operation_call *call, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, TEXT_MAX);
	if (completion_write(args_text(call->args, "shell"), &text, e) < 0)
		return -1;
	return operation_write(call, text.data, text.len, e);
}

static int api(struct operation_call *call, struct err *e UNUSED)
{
	openapi_write(call->reply);
	return 0;
}

static const struct operation_param help_params[] = {
	{ .name = "command",
	  .kind = PARAM_POSITIONAL,
	  .repeated = true,
	  .value = "COMMAND",
	  .help = "what to explain; everything in short without one" },
	{ .name = "manual",
	  .kind = PARAM_SWITCH,
	  .help = "print the manual page, snapctl(1), as mdoc source" },
	{ 0 }
};

static const struct operation_param completion_params[] = {
	{ .name = "shell",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_CHOICE,
	  .required = true,
	  .value = "SHELL",
	  .choices = "bash|zsh|fish",
	  .help = "whose script to print" },
	{ 0 }
};

const struct operation op_program_rows[] = {
	{ .verb = "version",
	  .method = "GET",
	  .route = "/version",
	  .flags = OPERATION_DIRECT,
	  .view = "version",
	  .summary = "print the version of this program",
	  .run = version },
	{ .verb = "api",
	  .method = "GET",
	  .route = "/openapi.json",
	  .flags = OPERATION_DIRECT | OPERATION_JSON,
	  .summary = "print the OpenAPI document of the daemon's interface",
	  .run = api },
	{ .verb = "completion",
	  .flags = OPERATION_DIRECT | OPERATION_BYTES,
	  .params = completion_params,
	  .summary = "print a completion script for a shell",
	  .help = "For bash: eval \"$(snapctl completion bash)\". For zsh: "
		  "save it as _snapctl in a folder of $fpath. For fish: save "
		  "it as ~/.config/fish/completions/snapctl.fish.",
	  .run = completion },
	{ .verb = "help",
	  .flags = OPERATION_DIRECT | OPERATION_BYTES,
	  .params = help_params,
	  .summary = "explain a command",
	  .run = help },
	{ 0 },
};
