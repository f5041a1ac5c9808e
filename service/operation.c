#include "service/operation.h"

#include <assert.h>
#include <string.h>

#include "base/seam.h"
#include "base/text.h"
#include "service/args.h"
#include "service/op.h"

/* The order of the help. */
static const struct operation *const tables[] = {
	op_status_rows,	      op_resource_rows, op_snapshot_rows,
	op_restore_rows,      op_diff_rows,	op_compare_rows,
	op_undelete_rows,     op_deletion_rows, op_hold_rows,
	op_repo_rows,	      op_gc_rows,	op_key_rows,
	op_region_rows,	      op_heal_rows,	op_region_health_rows,
	op_region_rules_rows, op_promote_rows,	op_schedule_rows,
	op_run_rows,	      op_drill_rows,	op_report_rows,
	op_policy_rows,	      op_audit_rows,	op_catalog_rows,
	op_config_rows,	      op_program_rows,
};

/* What every operation with OPERATION_NEEDS_REPO takes besides its own. */
static const struct operation_param repo_params[] = {
	{ .name = "repo",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .required = true,
	  .env = "SNAPCTL_REPO",
	  .value = "URL|NAME",
	  .help = "the repository: a location, or a name from the catalog" },
	{ .name = "key-file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .env = "SNAPCTL_KEY_FILE",
	  .value = "FILE",
	  .help = "the key that opens it" },
	{ .name = "passphrase-file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "FILE",
	  .help = "a file whose first line is the passphrase" },
	{ 0 }
};

/* What every operation with OPERATION_READS takes. */
static const struct operation_param region_param = {
	.name = "region",
	.kind = PARAM_OPTION,
	.value = "NAME",
	.help = "read this region, where --repo is a name; else the primary "
		"one or, when that is away, another"
};

void operation_partial(struct operation_call *call)
{
	if (call->outcome < OPERATION_PARTIAL)
		call->outcome = OPERATION_PARTIAL;
}

void operation_failed(struct operation_call *call)
{
	if (call->outcome < OPERATION_FAILED)
		call->outcome = OPERATION_FAILED;
}

void operation_refused(struct operation_call *call)
{
	if (call->outcome < OPERATION_REFUSED)
		call->outcome = OPERATION_REFUSED;
}

void operation_damaged(struct operation_call *call)
{
	call->outcome = OPERATION_DAMAGED;
}

int operation_write(struct operation_call *call, const void *bytes, size_t n,
		    struct err *e)
{
	if (seam_write(call->out_fd, bytes, n) == 0)
		return 0;
	return err_sys(e, "cannot write the output");
}

int operation_stopped(const struct operation_call *call, struct err *e)
{
	if (!call->stop ||
	    !atomic_load_explicit(call->stop, memory_order_relaxed))
		return 0;
	return err_set(e, ERR_INTERRUPTED, "interrupted");
}

const struct operation *operation_nth(size_t n)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct operation *op = tables[t]; op->verb; op++)
			if (n-- == 0)
				return op;
	return NULL;
}

const struct operation *operation_named(const char *verb)
{
	const struct operation *op;

	for (size_t i = 0; (op = operation_nth(i)); i++)
		if (strcmp(op->verb, verb) == 0)
			return op;
	return NULL;
}

const struct operation_param *operation_param(const struct operation *op,
					      size_t n)
{
	size_t own = 0;

	for (const struct operation_param *p = op->params; p && p->name; p++)
		if (own++ == n)
			return p;
	if (op->flags & OPERATION_READS && own++ == n)
		return &region_param;
	if (!(op->flags & OPERATION_NEEDS_REPO) ||
	    n - own >= sizeof(repo_params) / sizeof(repo_params[0]) - 1)
		return NULL;
	return &repo_params[n - own];
}

const struct operation_param *operation_param_named(const struct operation *op,
						    const char *name)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const char *operation_view(const struct operation *op, const struct args *args,
			   bool csv)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->view && args_given(args, p->name))
			return csv ? p->csv : p->view;
	return csv ? op->csv : op->view;
}

/* The length of the component that s begins with. */
static size_t component(const char *s)
{
	return strcspn(s, "/");
}

static bool is_placeholder(const char *s, size_t n)
{
	return n > 2 && s[0] == '{' && s[n - 1] == '}';
}

int operation_match_route(const struct operation *op, const char *path,
			  operation_part *part, void *arg, struct err *e)
{
	const char *route = op->route;

	if (!route)
		return 0;
	while (*route == '/' && *path == '/') {
		const size_t want = component(++route);
		const size_t have = component(++path);

		if (is_placeholder(route, want)) {
			char name[64] = "";

			assert(want - 2 < sizeof(name));
			memcpy(name, route + 1, want - 2);
			if (have == 0)
				return 0;
			if (part && part(arg, name, path, have, e) < 0)
				return -1;
		} else if (want != have || strncmp(route, path, want) != 0) {
			return 0;
		}
		route += want;
		path += have;
	}
	return *route == '\0' && *path == '\0';
}

bool operation_in_route(const struct operation *op, const char *name)
{
	const size_t n = strlen(name);
	const char *at = op->route;

	if (at == NULL)
		return false;
	while ((at = strchr(at, '{'))) {
		at++;
		if (strncmp(at, name, n) == 0 && at[n] == '}')
			return true;
	}
	return false;
}

int operation_routed(const char *method, const char *path,
		     const struct operation **ret, struct err *e)
{
	const struct operation *op;
	const char *other = NULL;

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		if (operation_match_route(op, path, NULL, NULL, e) != 1)
			continue;
		if (strcmp(op->method, method) == 0) {
			*ret = op;
			return 1;
		}
		other = op->method;
	}
	if (!other)
		return 0;
	(void)err_set(e, ERR_USAGE, "%s is not answered with %s",
		      text_quote_str(path).s, text_quote_str(method).s);
	return err_hint(e, "it answers %s", other);
}

const char *operation_nearest(const char *typed,
			      const char *(*candidate)(void *arg, size_t n),
			      void *arg)
{
	/* One slip in a short word, one in three letters of a longer one. */
	const size_t letters = strlen(typed);
	unsigned int best = letters < 3 ? 2 : (unsigned int)letters / 3 + 2;
	const char *found = NULL;
	const char *name;

	for (size_t i = 0; (name = candidate(arg, i)); i++) {
		const unsigned int far = text_distance(typed, name);

		if (far < best) {
			best = far;
			found = name;
		}
	}
	return found;
}
