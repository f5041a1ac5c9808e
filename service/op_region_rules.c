/* The rules of a region, for commands that copy into it (engine_rules.h). */
#include <string.h>

#include "service/args.h"
#include "service/op.h"
#include "service/op_known.h"
#include "service/region_locks.h"
#include "service/resource.h"
#include "service/retain_decide.h"
#include "service/run_region.h"

#define INPUTS_MAX ((size_t)4 << 20)

static int read_repository(void *arg, const struct catalog_resource *row,
			   struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, arg, e);
}

/* As an evaluation stores what it asks of another region. */
static int write_rules(struct operation_call *call,
		       const struct retain_asking *a,
		       const struct retain_rule_sets *sets, struct err *e)
{
	const struct retain_elsewhere here = { .region = a->region->name,
					       .rules = sets };
	const struct retain_case c = { .now = a->x.now,
				       .rules = sets,
				       .elsewhere = &here,
				       .n_elsewhere = 1 };
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, INPUTS_MAX);
	if (retain_inputs_write(&c, &text, e) < 0)
		return -1;
	json_key(call->reply, "inputs");
	json_raw(call->reply, buf_str(&text));
	return 0;
}

static int tell(struct operation_call *call, struct resource *repository,
		const struct resource_region *region, struct err *e)
{
	const char *source = args_text(call->args, "source");
	struct run run = { .repository = repository,
			   .catalog = call->catalog,
			   .config = call->config };
	CLEANUP(retain_asking_done) struct retain_asking asking;
	const struct retain_rule_sets *sets = NULL;
	struct run_lock lock;
	bool apart = false;
	int found = 0;

	retain_asking_init(&asking, &run, region, call->now);
	if (retain_was_apart(call->catalog, repository, &apart, e) < 0 ||
	    run_region_lock(&run, region, &lock, e) < 0)
		return -1;
	if (source)
		found = retain_asking_load(&asking, source, &sets, e);
	if (found < 0)
		return -1;
	json_begin_object(call->reply);
	json_kv_str(call->reply, "repository", repository->name);
	json_kv_str(call->reply, "region", region->name);
	json_kv_bool(call->reply, "apart", apart);
	json_kv_int(call->reply, "lock_seconds", lock.ms / 1000);
	if (args_switch(call->args, "locks") &&
	    region_locks_write(call->catalog, repository->name, call->now,
			       call->reply, e) < 0)
		return -1;
	if (found > 0 && write_rules(call, &asking, sets, e) < 0)
		return -1;
	json_end_object(call->reply);
	return 0;
}

static int rules(struct operation_call *call, struct err *e)
{
	const char *name = args_text(call->args, "repository");
	const char *wanted = args_text(call->args, "region");
	CLEANUP(resource_free) struct resource *repository = NULL;
	const struct resource_region *region;
	const int found = catalog_resource_get(call->catalog, "Repository",
					       name, read_repository,
					       &repository, e);

	if (found <= 0)
		return found < 0 ? -1
				 : op_known_refuse(call, "Repository", name, e);
	region = resource_region(repository, wanted);
	if (!region)
		return err_set(
			e, ERR_NOT_FOUND, "repository %s declares no region %s",
			text_quote_str(name).s, text_quote_str(wanted).s);
	return tell(call, repository, region, e);
}

static const struct operation_param params[] = {
	{ .name = "repository",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "REPOSITORY",
	  .help = "its name" },
	{ .name = "region",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "REGION",
	  .help = "one of its regions" },
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "the source whose snapshots the rules are asked about" },
	{ .name = "locks",
	  .kind = PARAM_SWITCH,
	  .help = "tell also how snapshots are locked in regions whose own "
		  "policy has no lock" },
	{ 0 }
};

const struct operation op_region_rules_rows[] = {
	{ .verb = "region rules",
	  .method = "GET",
	  .route = "/repositories/{repository}/regions/{region}/rules",
	  .flags = OPERATION_DAEMON | OPERATION_JSON,
	  .params = params,
	  .summary = "tell by which rules a region keeps a source's snapshots",
	  .help = "`region promote`, `region heal` and `replicate` ask this, "
		  "so as not to want what the region would let go of at once. "
		  "The inputs are as an evaluation of retention stores them; "
		  "apart says whether any region of the repository keeps, or "
		  "ever kept, by a policy of its own. Lock_seconds is the lock "
		  "of the region's own policy, 0 when that has none; with "
		  "--locks, else_seconds is the longest that schedules of the "
		  "repository lock, and locks names the snapshots that their "
		  "own schedule locks otherwise.",
	  .run = rules },
	{ 0 },
};
