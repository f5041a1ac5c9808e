#include "service/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sandbox.h"
#include "service/client.h"
#include "service/config.h"
#include "service/help.h"
#include "service/progress.h"
#include "service/render.h"
#include "storage/stores/store.h"

static atomic_bool stop;

static void on_signal(int number UNUSED)
{
	atomic_store(&stop, true);
}

/* Unless whoever started us had it ignored, as nohup(1) does. */
static void catch_signal(int number, const struct sigaction *how)
{
	struct sigaction before;

	if (sigaction(number, NULL, &before) == 0 &&
	    before.sa_handler != SIG_IGN)
		(void)sigaction(number, how, NULL);
}

/* The first signal asks; a second one, of the same kind, ends us at once. */
static void catch_signals(void)
{
	struct sigaction ask = { .sa_handler = on_signal,
				 .sa_flags = (int)SA_RESETHAND };

	catch_signal(SIGINT, &ask);
	catch_signal(SIGTERM, &ask);
	catch_signal(SIGHUP, &ask);
	store_stop_when(&stop);
}

/* Die as a filter does whose reader went away. */
static int die_of_sigpipe(void)
{
	struct sigaction deadly = { .sa_handler = SIG_DFL };

	(void)sigaction(SIGPIPE, &deadly, NULL);
	(void)raise(SIGPIPE);
	return err_kind(ERR_IO)->exit_status;
}

static void report_json(const struct err *e)
{
	struct err ignored;
	struct json j;

	json_init(&j, json_to_file, stdout);
	json_begin_object(&j);
	json_key(&j, "error");
	json_begin_object(&j);
	json_kv_str(&j, "code", err_kind(e->code)->name);
	json_kv_str(&j, "message", e->text);
	json_kv_str(&j, "hint", err_advice(e) ? err_advice(e) : "");
	json_end_object(&j);
	json_end_object(&j);
	if (json_finish(&j, &ignored) == 0)
		(void)fputc('\n', stdout);
	(void)fflush(stdout);
}

/* One sentence, a line of advice; a request that makes no sense: its usage. */
static void report_text(const struct cli_request *r, const struct err *e,
			bool usage)
{
	CLEANUP(buf_done) struct buf text;
	struct err ignored;

	buf_init(&text, 100000);
	(void)fprintf(stderr, "snapctl: %s\n", e->text);
	if (err_advice(e))
		(void)fprintf(stderr, "  %s\n", err_advice(e));
	else if (usage && r->operation &&
		 help_usage(r->operation, &text, &ignored) == 0)
		(void)fputs(buf_str(&text), stderr);
}

/* Where to read on, unless it was said, or the usage will be told. */
static void advise(const struct cli_request *r, struct err *e)
{
	if (err_advice(e))
		return;
	if (r->operation && r->json)
		(void)err_hint(e, "\"snapctl %s --help\" tells what it takes",
			       r->operation->verb);
	else if (!r->operation && r->noun)
		(void)err_hint(e, "\"snapctl %s --help\" lists its commands",
			       r->noun);
	else if (!r->operation)
		(void)err_hint(e, "\"snapctl --help\" lists the commands");
}

/* The exit status of a failure, after it was told. */
static int failed(const struct cli_request *r, const struct err *e, bool usage)
{
	if (e->sys == EPIPE)
		return die_of_sigpipe();
	if (r->json && !r->has_begun)
		report_json(e);
	else
		report_text(r, e, usage);
	return err_kind(e->code)->exit_status;
}

static int print_help(const struct cli_request *r, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, (size_t)1 << 20);
	if ((r->operation ? help_operation(r->operation, &text, e)
			  : help_overview(r->noun, &text, e)) < 0)
		return -1;
	if (fwrite(buf_str(&text), 1, text.len, stdout) != text.len ||
	    fflush(stdout) != 0)
		return err_sys(e, "cannot write the output");
	return 0;
}

static bool wants_colour(void)
{
	const char *no = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && (!no || !*no) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}

static struct render_style style_of(const struct cli_request *r)
{
	struct render_style style = { .colour = wants_colour(),
				      .now = clock_now() };
	const char *format = r->operation->flags & OPERATION_FORMATS
				     ? args_text(r->args, "format")
				     : NULL;

	if (r->json || r->operation->flags & OPERATION_JSON ||
	    (format && strcmp(format, "json") == 0))
		style.form = RENDER_JSON;
	else if (format && strcmp(format, "csv") == 0)
		style.form = RENDER_CSV;
	return style;
}

/*
 * A repository is read that nobody vouches for.  Where to is the caller's to
 * say, so files can be changed everywhere; what is given up is what no command
 * does, and starting programs, except for the one that takes a program's
 * output.  It is no failure where that cannot be done.
 */
static void confine(const struct cli_request *r)
{
	const struct sandbox s = { .reads = true,
				   .writes = true,
				   .attributes = true,
				   .connects = true };
	struct sandbox_state ignored;
	struct err e;

	if (!(r->operation->flags & OPERATION_NEEDS_REPO) ||
	    (strcmp(r->operation->verb, "snapshot create") == 0 &&
	     strcmp(args_text(r->args, "type"), "command") == 0))
		return;
	(void)!sandbox_enter(&s, &ignored, &e);
}

/* In this process, with the caller's rights. */
static int run_here(const struct cli_request *r, struct operation_call *call,
		    struct json *reply, struct err *e)
{
	CLEANUP(progress_free) struct progress *progress = NULL;

	if (progress_new(&progress, STDERR_FILENO,
			 progress_mode_of(STDERR_FILENO, r->quiet), e) < 0)
		return -1;
	call->progress = progress;
	confine(r);
	if (r->operation->run(call, e) < 0)
		return -1;
	if (r->operation->flags & OPERATION_BYTES)
		return 0;
	return json_finish(reply, e);
}

/* By the daemon; progress of its work is the daemon's. */
static int ask_daemon(const struct cli_request *r, struct render *render,
		      enum operation_outcome *ret, struct err *e)
{
	CLEANUP(config_free) struct config *config = NULL;
	struct client_call call = { .operation = r->operation,
				    .args = r->args,
				    .stop = &stop,
				    .sink = render_write,
				    .arg = render };

	if (client_settings(r->config, r->socket, &config, e) < 0)
		return -1;
	call.socket = config_text(config, CONFIG_SOCKET);
	return client_call(&call, ret, e);
}

/* An empty list is told, though not where scripts count lines. */
static int finish(const struct cli_request *r, struct render *render,
		  struct err *e)
{
	if (render_finish(render, e) < 0)
		return -1;
	if (render_is_empty(render) && !r->quiet)
		(void)fputs("(nothing to list)\n", stderr);
	return 0;
}

static int run_rendered(const struct cli_request *r, struct render *render,
			enum operation_outcome *ret, struct err *e)
{
	struct json reply;
	struct operation_call call = {
		.operation = r->operation,
		.args = r->args,
		.reply = &reply,
		.out_fd = STDOUT_FILENO,
		.stop = &stop,
		.now = clock_now(),
		.caller = { .uid = getuid(), .gid = getgid(), .pid = getpid() },
		.config_file = r->config,
		.socket = r->socket,
	};

	json_init(&reply, render_write, render);
	catch_signals();
	if (r->operation->flags & OPERATION_DAEMON)
		return ask_daemon(r, render, ret, e) < 0 ? -1
							 : finish(r, render, e);
	if (run_here(r, &call, &reply, e) < 0)
		return -1;
	*ret = call.outcome;
	if (r->operation->flags & OPERATION_BYTES)
		return 0;
	return finish(r, render, e);
}

static int run(struct cli_request *r, enum operation_outcome *ret,
	       struct err *e)
{
	CLEANUP(render_free) struct render *render = NULL;
	const struct render_style style = style_of(r);
	const char *view = operation_view(r->operation, r->args,
					  style.form == RENDER_CSV);
	int failed;

	if (render_new(&render, stdout, view, &style, e) < 0)
		return -1;
	failed = run_rendered(r, render, ret, e);
	r->has_begun = render_has_begun(render);
	return failed;
}

int cli_main(int argc, char *const *argv)
{
	CLEANUP(cli_done) struct cli_request r;
	enum operation_outcome outcome = OPERATION_DONE;
	struct err e = { 0 };

	if (cli_parse(argc, argv, &r, &e) < 0) {
		advise(&r, &e);
		return failed(&r, &e, true);
	}
	if ((r.help ? print_help(&r, &e) : run(&r, &outcome, &e)) < 0)
		return failed(&r, &e, false);
	switch (outcome) {
	case OPERATION_PARTIAL:
		return err_kind(ERR_PARTIAL)->exit_status;
	case OPERATION_FAILED:
		return EXIT_FAILURE;
	case OPERATION_REFUSED:
		return err_kind(ERR_USAGE)->exit_status;
	case OPERATION_DAMAGED:
		return err_kind(ERR_CORRUPT)->exit_status;
	case OPERATION_DONE:
		break;
	}
	return 0;
}
