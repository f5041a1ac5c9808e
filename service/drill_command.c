#include "service/drill_command.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/instant.h"

static void tell(struct drill_command_end *end, enum child_watched how,
		 int status, int64_t timeout_ms)
{
	char limit[INSTANT_TEXT];
	char how_it_ended[64];

	instant_duration_format(timeout_ms, limit);
	child_tell_end(status, how_it_ended);
	if (how == CHILD_TIMED_OUT) {
		(void)snprintf(end->message, sizeof(end->message),
			       "it was not done within %s, and was killed",
			       limit);
		return;
	}
	(void)snprintf(end->message, sizeof(end->message), "%s", how_it_ended);
	if (WIFSIGNALED(status))
		return;
	end->exit_status = WEXITSTATUS(status);
	end->passed = end->exit_status == 0;
}

int drill_command_run(const struct drill_command *command,
		      struct drill_command_end *ret, struct err *e)
{
	static const char *const home[] = { "HOME=/" };
	const struct child_options options = {
		.argv = command->argv,
		.argc = command->argc,
		.folder = command->folder,
		.user = command->user	 ? command->user
			: geteuid() == 0 ? "nobody"
					 : NULL,
		.environment = home,
		.environment_count = 1,
		.confined = true,
	};
	CLEANUP(child_drop) struct child c;
	struct err why = { 0 };
	enum child_watched how;
	int status;

	*ret = (struct drill_command_end){ .exit_status = -1 };
	if (child_start(&c, &options, &why) < 0) {
		(void)snprintf(ret->message, sizeof(ret->message), "%.299s",
			       why.text);
		return 0;
	}
	how = child_watch(&c, command->timeout_ms, command->stop, &ret->output,
			  NULL);
	status = child_end(&c);
	(void)child_tail_read(&ret->output, c.out);
	if (how == CHILD_STOPPED)
		return err_set(e, ERR_INTERRUPTED, "asked to stop");
	tell(ret, how, status, command->timeout_ms);
	return 0;
}
