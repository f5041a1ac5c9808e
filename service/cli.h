/*
 * The command line: argv in, exit status out.
 *
 * Reads GNU long options after the table of operations ("--opt=value", "--"
 * ends them; short forms stand alone), runs the operation here or asks the
 * daemon for it, renders the reply, and says what went wrong in one sentence
 * and a second line of advice.  Knows no operation by name.
 *
 * The exit statuses are those of design §10: 0 done, 1 failed, 2 makes no
 * sense, 3 in part, 4 damage, 5 not found, 6 busy, 7 not permitted, 130
 * interrupted.  When whoever read standard output went away, the process
 * dies of SIGPIPE in silence, as a filter does.
 */
#ifndef SERVICE_CLI_H
#define SERVICE_CLI_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/args.h"
#include "service/operation.h"

/* One command line, understood. */
struct cli_request {
	const struct operation *operation; /* NULL: help for a noun, or all */
	struct args *args;
	const char *noun; /* "snapshot", when only that was said */
	bool json;
	bool quiet;
	bool help;
	bool has_begun; /* some of the reply is on standard output already */
	const char *socket; /* or NULL */
	const char *config; /* or NULL */
};

/*
 * Read argv.  Documents are read from their files.  ERR_USAGE; then
 * ret->operation and ret->json still say what was understood, and args may
 * be there: end with cli_done() in any case.
 */
int cli_parse(int argc, char *const *argv, struct cli_request *ret,
	      struct err *e) NONNULL(2, 3, 4) MUST_CHECK;
void cli_done(struct cli_request *r) NONNULL(1);
static inline void cleanup_cli_done(struct cli_request *r)
{
	cli_done(r);
}

/* The whole of snapctl; the exit status. */
int cli_main(int argc, char *const *argv) NONNULL(2) MUST_CHECK;

#endif
