/* The settings: what holds, and where it comes from. */
#include <unistd.h>

#include "service/args.h"
#include "service/config.h"
#include "service/op.h"

/* As the daemon of this user would read them. */
static struct config_input input_of(const struct operation_call *call)
{
	return (struct config_input){ .config_file = call->config_file,
				      .environment = environ,
				      .uid = call->caller.uid,
				      .daemon = true };
}

static int check(struct operation_call *call, struct err *e)
{
	const struct config_input input = input_of(call);
	bool ok;

	if (config_check(&input, call->reply, &ok, e) < 0)
		return -1;
	/* The reply names what is wrong; the status says that there is. */
	if (!ok)
		operation_refused(call);
	return 0;
}

static int show(struct operation_call *call, struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	CLEANUP(config_free) struct config *config = NULL;
	const struct config_input input = input_of(call);

	problem_init(&problems);
	if (config_load(&input, &config, &problems, e) < 0)
		return -1;
	config_write(config, args_switch(call->args, "origin"), call->reply);
	return 0;
}

static const struct operation_param show_params[] = {
	{ .name = "origin",
	  .kind = PARAM_SWITCH,
	  .help = "also the layer, file and line of each value" },
	{ 0 }
};

const struct operation op_config_rows[] = {
	{ .verb = "config check",
	  .flags = OPERATION_DIRECT,
	  .summary = "check the settings' files, and say how to mend them",
	  .run = check },
	{ .verb = "config show",
	  .flags = OPERATION_DIRECT,
	  .params = show_params,
	  .summary = "show the settings that hold",
	  .run = show },
	{ 0 },
};
