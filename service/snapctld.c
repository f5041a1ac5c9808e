/* snapctld: the daemon, with --run the process of one run, and with --guard
 * that which runs its hooks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "service/config.h"
#include "service/daemon.h"
#include "service/guardian.h"
#include "service/run.h"
#include "service/start.h"

struct command {
	struct config_input input;
	struct config_flag flags[CONFIG_KEY_COUNT];
	int64_t run; /* 0: the daemon itself */
	bool guards;
	bool has_plan; /* in a file, instead of the first frame */
	bool help;
	bool version;
};

static void print_help(void)
{
	const struct config_setting *s;

	(void)puts("usage: snapctld [--config FILE] [--SETTING VALUE]…\n\n"
		   "The service of snapctl: takes snapshots on a timetable, "
		   "copies them to other\nregions, drills restores, and "
		   "answers snapctl on its socket. It stays in the\n"
		   "foreground.\n\n"
		   "  --config FILE           the instance's settings");
	for (size_t i = 0; (s = config_setting(i)); i++)
		(void)printf("  --%-20s  %s\n", s->flag, s->doc);
	(void)puts("  --help                  print this\n"
		   "  --version               print the version");
}

static int take_setting(struct command *c, const char *name, const char *value,
			struct err *e)
{
	const int key = config_flag_named(name);

	if (key < 0) {
		(void)err_set(e, ERR_USAGE, "there is no option --%s", name);
		return err_hint(e, "\"snapctld --help\" lists them");
	}
	/* The last one counts, so one for each key suffices. */
	for (size_t i = 0; i < c->input.flag_count; i++)
		if (c->flags[i].key == (enum config_key)key) {
			c->flags[i].text = value;
			return 0;
		}
	c->flags[c->input.flag_count++] = (struct config_flag){
		.key = (enum config_key)key, .text = value
	};
	return 0;
}

static int take_option(struct command *c, const char *name, const char *value,
		       struct err *e)
{
	if (strcmp(name, "config") == 0) {
		c->input.config_file = value;
		return 0;
	}
	if (strcmp(name, "guard") == 0) {
		/* What hooks_open(), or the starter, hands over. */
		c->has_plan = strcmp(value, "5") == 0;
		c->guards = c->has_plan || strcmp(value, "3") == 0;
		return c->guards ? 0
				 : err_set(e, ERR_USAGE,
					   "--guard is for runs only");
	}
	if (strcmp(name, "run") != 0)
		return take_setting(c, name, value, e);
	if (!text_number(value, 1, INT64_MAX, &c->run))
		return err_set(e, ERR_USAGE, "--run: %s is no run",
			       text_quote_str(value).s);
	return 0;
}

static int parse(int argc, char **argv, struct command *c, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		char name[64];
		const char *value;
		size_t n;

		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)
			c->help = true;
		else if (strcmp(argv[i], "--version") == 0)
			c->version = true;
		if (c->help || c->version)
			return 0;
		n = strcspn(argv[i], "=");
		if (strncmp(argv[i], "--", 2) != 0 || n < 3 ||
		    n - 2 >= sizeof(name))
			return err_set(e, ERR_USAGE, "%s is no option",
				       text_quote_str(argv[i]).s);
		(void)snprintf(name, sizeof(name), "%.*s", (int)n - 2,
			       argv[i] + 2);
		value = argv[i][n]     ? argv[i] + n + 1
			: i + 1 < argc ? argv[++i]
				       : NULL;
		if (!value)
			return err_set(e, ERR_USAGE, "--%s needs a value",
				       name);
		if (take_option(c, name, value, e) < 0)
			return -1;
	}
	return 0;
}

static int load(const struct command *c, struct config **ret, struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	CLEANUP(buf_done) struct buf text;
	struct err ignored;
	int status;

	problem_init(&problems);
	buf_init(&text, (size_t)1 << 20);
	status = config_load(&c->input, ret, &problems, e);
	/* Warnings too: nobody else will tell them.  One error tells itself. */
	if ((status == 0 || problems.count > 1) &&
	    problem_format(&problems, &text, &ignored) == 0)
		(void)fputs(buf_str(&text), stderr);
	return status;
}

static int failed(const struct err *e)
{
	(void)fprintf(stderr, "snapctld: %s\n", e->text);
	if (err_advice(e))
		(void)fprintf(stderr, "  %s\n", err_advice(e));
	return err_kind(e->code)->exit_status;
}

int main(int argc, char **argv)
{
	CLEANUP(config_free) struct config *config = NULL;
	struct command c = { .input = { .environment = environ,
					.uid = geteuid(),
					.daemon = true } };
	struct daemon_settings settings = {
		.input = &c.input,
	};
	struct err e;

	c.input.flags = c.flags;
	if (start_process(&e) < 0 || parse(argc, argv, &c, &e) < 0)
		return failed(&e);
	if (c.help) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (c.version) {
		(void)puts("snapctld " SNAPCTL_VERSION);
		return EXIT_SUCCESS;
	}
	if (c.guards)
		return guardian_main(3, 4, c.has_plan ? 5 : -1);
	/* What a run goes by is what its daemon does, who tells all of it. */
	c.input.flags_only = c.run != 0;
	if (load(&c, &config, &e) < 0)
		return failed(&e);
	log_set_level((enum log_level)log_level_named(
		config_text(config, CONFIG_LOG_LEVEL)));
	if (c.run)
		return run_main(config, c.run);
	settings.config = config;
	return daemon_run(&settings, &e) < 0 ? failed(&e) : EXIT_SUCCESS;
}
