#include "service/drill_command.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/instant.h"

/* How often a wish to stop is looked for. */
#define POLL_MS 200

enum watch { WATCH_ENDED, WATCH_TIMED_OUT, WATCH_STOPPED };

static enum watch watch(const struct child *c,
			const struct drill_command *command,
			struct child_tail *output)
{
	const int64_t deadline = clock_boot_ms() + command->timeout_ms;
	struct pollfd fds[2] = { { .fd = c->pid_fd, .events = POLLIN },
				 { .fd = c->out, .events = POLLIN } };

	for (;;) {
		const int64_t left = deadline - clock_boot_ms();

		if (command->stop && atomic_load(command->stop))
			return WATCH_STOPPED;
		if (left <= 0)
			return WATCH_TIMED_OUT;
		(void)poll(fds, 2, (int)(left < POLL_MS ? left : POLL_MS));
		/* Its end of output is not its end. */
		if (fds[1].revents && !child_tail_read(output, c->out))
			fds[1].fd = -1;
		if (fds[0].revents)
			return WATCH_ENDED;
	}
}

static void tell(struct drill_command_end *end, enum watch how, int status,
		 int64_t timeout_ms)
{
	char limit[INSTANT_TEXT];
	char how_it_ended[64];

	instant_duration_format(timeout_ms, limit);
	child_tell_end(status, how_it_ended);
	if (how == WATCH_TIMED_OUT) {
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
	enum watch how;
	int status;

	*ret = (struct drill_command_end){ .exit_status = -1 };
	if (child_start(&c, &options, &why) < 0) {
		(void)snprintf(ret->message, sizeof(ret->message), "%.299s",
			       why.text);
		return 0;
	}
	how = watch(&c, command, &ret->output);
	status = child_end(&c);
	(void)child_tail_read(&ret->output, c.out);
	if (how == WATCH_STOPPED)
		return err_set(e, ERR_INTERRUPTED, "asked to stop");
	tell(ret, how, status, command->timeout_ms);
	return 0;
}
