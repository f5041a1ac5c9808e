/* snapctl(1): a hand-written frame around the table of operations. */
#include <string.h>

#include "service/help.h"

static const char head[] =
	".Dd November 23, 2026\n"
	".Dt SNAPCTL 1\n"
	".Os\n"
	".Sh NAME\n"
	".Nm snapctl\n"
	".Nd take, keep, copy and prove snapshots\n"
	".Sh SYNOPSIS\n"
	".Nm\n"
	".Ar command\n"
	".Op Ar option ...\n"
	".Op Ar argument ...\n"
	".Sh DESCRIPTION\n"
	".Nm\n"
	"takes snapshots of files, keeps them deduplicated, compressed and\n"
	"encrypted in a repository, restores them, and asks the daemon\n"
	".Xr snapctld 8\n"
	"about schedules, runs, drills and reports.\n"
	"What touches files, keys or a location runs in the caller's own\n"
	"process with the caller's rights; what concerns the catalog goes to\n"
	"the daemon over its socket.\n"
	".Pp\n"
	"A repository is named by its location\n"
	".Pq Pa file:///srv/backup\n"
	"or by its name in the catalog.\n"
	"See\n"
	".Sx LOCATIONS\n"
	"for what a location can be.\n"
	"A snapshot is named by its id, a prefix of it that fits no other, or\n"
	".Cm latest .\n"
	".Sh OPTIONS\n"
	"Every command takes these:\n";

/* Parameters as in storage/stores/s3_place.h, sources as in s3_credentials.h.
 */
static const char locations[] =
	".Sh LOCATIONS\n"
	".Bl -tag -width Ds\n"
	".It Pa file:///DIR , DIR\n"
	"a folder.\n"
	"Objects can be locked in one that is append-only\n"
	".Pq Xr chattr 1 ,\n"
	"which takes the capability CAP_LINUX_IMMUTABLE.\n"
	".It Pa s3://BUCKET/PREFIX Ns Op ?NAME=VALUE Ns Op &...\n"
	"a bucket of an S3-compatible store, or what is below a prefix in it.\n"
	"The bucket must be there.\n"
	"The names are:\n"
	".Bl -tag -width Ds -compact\n"
	".It Cm region\n"
	"where it is; else\n"
	".Ev AWS_REGION\n"
	"or\n"
	".Ev AWS_DEFAULT_REGION ,\n"
	"else us-east-1\n"
	".It Cm endpoint\n"
	"the URL of the server; else\n"
	".Ev AWS_ENDPOINT_URL_S3\n"
	"or\n"
	".Ev AWS_ENDPOINT_URL ,\n"
	"else Amazon's\n"
	".It Cm style\n"
	".Cm path\n"
	"or\n"
	".Cm virtual ;\n"
	"without it, path where there is an endpoint\n"
	".It Cm credentials\n"
	"a credentials file of this region's own, absolute, which nobody else\n"
	"may read\n"
	".It Cm profile\n"
	"the section of the credentials file\n"
	".It Cm ca\n"
	"a file of PEM certificates that the server's must lead to; else\n"
	".Ev AWS_CA_BUNDLE ,\n"
	"else the system's\n"
	".It Cm class\n"
	"the storage class of data packs\n"
	".It Cm sse , sse-key\n"
	"server-side encryption, AES256 or aws:kms, and its key\n"
	".It Cm list\n"
	".Cm eventual\n"
	"where a listing may miss what was written: nothing is collected there\n"
	".It Cm lock\n"
	".Cm compliance ,\n"
	".Cm governance\n"
	"or\n"
	".Cm off :\n"
	"how objects are locked where the bucket has object lock; else as its\n"
	"default rule says, or compliance\n"
	".El\n"
	".Pp\n"
	"Credentials are taken from the first of these that is there: the file\n"
	"that\n"
	".Cm credentials\n"
	"names;\n"
	".Ev AWS_ACCESS_KEY_ID\n"
	"and\n"
	".Ev AWS_SECRET_ACCESS_KEY\n"
	"with\n"
	".Ev AWS_SESSION_TOKEN ;\n"
	".Ev AWS_WEB_IDENTITY_TOKEN_FILE\n"
	"with\n"
	".Ev AWS_ROLE_ARN ;\n"
	"the shared credentials file,\n"
	".Ev AWS_SHARED_CREDENTIALS_FILE\n"
	"or\n"
	".Pa ~/.aws/credentials ;\n"
	".Ev AWS_CONTAINER_CREDENTIALS_RELATIVE_URI\n"
	"or\n"
	".Ev AWS_CONTAINER_CREDENTIALS_FULL_URI ;\n"
	"the instance's metadata service.\n"
	"The URL itself never holds any.\n"
	"Proxies are taken from\n"
	".Ev http_proxy , https_proxy\n"
	"and\n"
	".Ev no_proxy .\n"
	".El\n";

static const char tail[] = ".Sh ENVIRONMENT\n"
			   ".Bl -tag -width Ds\n"
			   ".It Ev SNAPCTL_REPO\n"
			   "the repository, as with\n"
			   ".Fl -repo\n"
			   ".It Ev SNAPCTL_KEY_FILE\n"
			   "the key file, as with\n"
			   ".Fl -key-file\n"
			   ".It Ev SNAPCTL_SOCKET\n"
			   "the daemon's socket, as with\n"
			   ".Fl -socket\n"
			   ".It Ev NO_COLOR\n"
			   "if set and not empty, nothing is coloured\n"
			   ".El\n"
			   ".Sh EXIT STATUS\n"
			   ".Bl -tag -width 4n -compact\n"
			   ".It 0\n"
			   "done\n"
			   ".It 1\n"
			   "failed\n"
			   ".It 2\n"
			   "the request makes no sense\n"
			   ".It 3\n"
			   "done in part; each omission is named\n"
			   ".It 4\n"
			   "damage was found, or the key opens nothing\n"
			   ".It 5\n"
			   "not found\n"
			   ".It 6\n"
			   "busy or unreachable; try again\n"
			   ".It 7\n"
			   "not permitted\n"
			   ".It 130\n"
			   "interrupted, with nothing half-done\n"
			   ".El\n"
			   ".Sh SEE ALSO\n"
			   ".Xr snapctld 8\n";

/* Text in which nothing is taken for a macro or an escape. */
static int add_text(const char *text, struct buf *out, struct err *e)
{
	bool at_start = true;
	size_t column = 0;

	for (; *text; text++) {
		/* One sentence a line, as mdoc asks, and short lines. */
		const bool breaks = *text == '\n' ||
				    (*text == ' ' &&
				     (column > 60 || text[-1] == '.'));

		if (at_start && (*text == '.' || *text == '\'') &&
		    buf_add_str(out, "\\&", e) < 0)
			return -1;
		if (*text == '\\') {
			if (buf_add_str(out, "\\e", e) < 0)
				return -1;
		} else if (buf_add_byte(out, breaks ? '\n' : (uint8_t)*text,
					e) < 0) {
			return -1;
		}
		at_start = breaks;
		column = breaks ? 0 : column + 1;
	}
	return buf_add_byte(out, '\n', e);
}

static int add_param(const struct operation_param *p, struct buf *out,
		     struct err *e)
{
	const char *value = p->value ? p->value : "VALUE";

	if (buf_add_str(out, ".It ", e) < 0)
		return -1;
	if (p->letter && buf_addf(out, e, "Fl %c , ", p->letter) < 0)
		return -1;
	if (p->kind == PARAM_POSITIONAL) {
		if (buf_addf(out, e, "Ar %s%s\n", value,
			     p->repeated ? " ..." : "") < 0)
			return -1;
	} else if (p->kind == PARAM_SWITCH) {
		if (buf_addf(out, e, "Fl -%s\n", p->name) < 0)
			return -1;
	} else if (buf_addf(out, e, "Fl -%s Ar %s\n", p->name,
			    p->choices && !p->value ? p->choices : value) < 0) {
		return -1;
	}
	if (add_text(p->help, out, e) < 0)
		return -1;
	if (p->fallback && *p->fallback)
		return buf_addf(out, e, ".Pq default: %s\n", p->fallback);
	return 0;
}

static int add_params(const struct operation *op, struct buf *out,
		      struct err *e)
{
	const struct operation_param *p;

	if (!op->params || !op->params->name)
		return 0;
	if (buf_add_str(out, ".Bl -tag -width Ds -compact\n", e) < 0)
		return -1;
	/* Those of the repository are described once. */
	for (p = op->params; p->name; p++)
		if (add_param(p, out, e) < 0)
			return -1;
	return buf_add_str(out, ".El\n", e);
}

static int add_paragraphs(const char *text, struct buf *out, struct err *e)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		const size_t n = end ? (size_t)(end - text) : strlen(text);
		CLEANUP(buf_done) struct buf one;

		buf_init(&one, 100000);
		if (buf_add(&one, text, n, e) < 0 ||
		    buf_add_str(out, ".Pp\n", e) < 0 ||
		    add_text(buf_str(&one), out, e) < 0)
			return -1;
		text += n + strspn(text + n, "\n");
	}
	return 0;
}

static int add_operation(const struct operation *op, struct buf *out,
			 struct err *e)
{
	if (buf_addf(out, e, ".Ss %s\n", op->verb) < 0 ||
	    add_text(op->summary, out, e) < 0 || add_params(op, out, e) < 0)
		return -1;
	return op->help ? add_paragraphs(op->help, out, e) : 0;
}

/* The parameters of OPERATION_NEEDS_REPO, from any operation that has it. */
static int add_repository(struct buf *out, struct err *e)
{
	static const struct operation any = { .verb = "",
					      .flags = OPERATION_NEEDS_REPO };
	const struct operation_param *p;

	if (buf_add_str(out,
			".Pp\nCommands on a repository take these as well:\n"
			".Bl -tag -width Ds -compact\n",
			e) < 0)
		return -1;
	for (size_t i = 0; (p = operation_param(&any, i)); i++)
		if (add_param(p, out, e) < 0)
			return -1;
	return buf_add_str(out, ".El\n", e);
}

int help_manual(struct buf *out, struct err *e)
{
	const struct operation *op;

	if (buf_add_str(out, head, e) < 0 ||
	    buf_add_str(out, ".Bl -tag -width Ds -compact\n", e) < 0)
		return -1;
	for (const struct operation_param *p = help_general; p->name; p++)
		if (add_param(p, out, e) < 0)
			return -1;
	if (buf_add_str(out, ".El\n", e) < 0 || add_repository(out, e) < 0 ||
	    buf_add_str(out, ".Sh COMMANDS\n", e) < 0)
		return -1;
	for (size_t i = 0; (op = operation_nth(i)); i++)
		if (add_operation(op, out, e) < 0)
			return -1;
	if (buf_add_str(out, locations, e) < 0)
		return -1;
	return buf_add_str(out, tail, e);
}
