/* A command line, a line for each argument.  Documents are not read. */
#include "base/file.h"
#include "service/cli.h"
#include "tests/support/fuzz.h"

#define ARGUMENTS 64

static bool armed; /* only what cli_parse() reads is no file */

int __real_file_read_all(const char *path, struct buf *out, struct err *e);
int __wrap_file_read_all(const char *path, struct buf *out, struct err *e);
int __wrap_file_read_all(const char *path, struct buf *out, struct err *e)
{
	if (!armed)
		return __real_file_read_all(path, out, e);
	return buf_add_str(out, "kind: Policy\n", e);
}

static int cut(char *text, char *argv[ARGUMENTS + 2])
{
	static char program[] = "snapctl";
	int argc = 1;

	argv[0] = program;
	while (text && argc <= ARGUMENTS) {
		char *end = strchr(text, '\n');

		argv[argc++] = text;
		if (end)
			*end++ = '\0';
		text = end;
	}
	argv[argc] = NULL;
	return argc;
}

static void check(const struct cli_request *r)
{
	const struct operation_param *p;

	FUZZ_PROMISE(r->help || (r->operation && r->args && !r->noun));
	if (r->help)
		return;
	for (size_t i = 0; (p = operation_param(r->operation, i)); i++)
		if (p->required && p->kind != PARAM_SWITCH)
			FUZZ_PROMISE(args_count(r->args, p->name) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(cli_done) struct cli_request r;
	char *text = fuzz_text(bytes, n);
	char *argv[ARGUMENTS + 2];
	struct err e = { .code = ERR_NONE };
	const int argc = cut(text, argv);

	armed = true;
	if (cli_parse(argc, argv, &r, &e) < 0)
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0]);
	else
		check(&r);
	armed = false;
	cli_done(&r);
	free(text);
	return 0;
}
