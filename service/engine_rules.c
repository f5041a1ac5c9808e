#include "service/engine_rules.h"

#include <jansson.h>
#include <stdlib.h>

#include "service/engine_named.h"
#include "service/jsontree.h"
#include "storage/replicate.h"

/* A handful of policies. */
#define REPLY_MAX ((size_t)4 << 20)

void engine_rules_init(struct engine_rules *x,
		       const struct operation_call *call,
		       const struct resource *named,
		       const struct resource_region *region)
{
	*x = (struct engine_rules){ .call = call,
				    .named = named,
				    .region = region };
	arena_init(&x->stored.arena, REPLY_MAX);
}

void engine_rules_done(struct engine_rules *x)
{
	retain_stored_done(&x->stored);
}

static int ask(const struct operation_call *call, const struct resource *named,
	       const char *region, const char *source, json_t **ret,
	       struct err *e)
{
	const char *const params[][2] = { { "repository", named->name },
					  { "region", region },
					  { "source", source },
					  { NULL, NULL } };

	if (engine_ask_tree(call, "region rules", params, REPLY_MAX, ret, e))
		return -1;
	return json_is_object(*ret)
		       ? 0
		       : err_set(e, ERR_BUG,
				 "the daemon's answer is not known");
}

static int read_rules(struct engine_rules *x, const json_t *inputs,
		      const struct retain_rule_sets **ret, struct err *e)
{
	char *text = jsontree_dump(inputs, JSON_COMPACT);
	int got;

	if (!text)
		return err_oom(e);
	retain_stored_done(&x->stored);
	got = retain_inputs_read(text, x->call->now, &x->stored, e);
	free(text);
	if (got < 0)
		return -1;
	if (got == 0 || x->stored.c.n_elsewhere != 1)
		return err_set(e, ERR_BUG, "the daemon's answer is not known");
	*ret = x->stored.zone_changed ? NULL : x->stored.elsewhere[0].rules;
	return 1;
}

int engine_rules_load(void *arg, const char *source,
		      const struct retain_rule_sets **ret, struct err *e)
{
	struct engine_rules *x = arg;
	const json_t *inputs;
	json_t *value = NULL;
	int found = 0;

	*ret = NULL;
	/* No source is declared by such a name. */
	if (!resource_name_valid(source))
		return 0;
	if (ask(x->call, x->named, x->region->name, source, &value, e) < 0) {
		json_decref(value);
		return -1;
	}
	inputs = json_object_get(value, "inputs");
	if (json_is_object(inputs))
		found = read_rules(x, inputs, ret, e);
	json_decref(value);
	return found;
}

int engine_rules_apart(const struct operation_call *call,
		       const struct resource *named, bool *ret, struct err *e)
{
	json_t *value = NULL;
	int failed;

	*ret = named && retain_any_apart(&named->repository);
	if (*ret || !named)
		return 0;
	failed = ask(call, named, resource_region(named, NULL)->name, NULL,
		     &value, e);
	*ret = json_is_true(json_object_get(value, "apart"));
	json_decref(value);
	return failed < 0 ? -1 : 0;
}

/* One that cannot be listed gives nothing either, and by less more is kept. */
static int see(struct unwanted *u, struct repository *from,
	       struct repository *to, struct err *e)
{
	struct err why = { 0 };

	if (replicate_compare(from, to, unwanted_see, NULL, u, NULL, &why) ==
		    0 ||
	    (why.code != ERR_INTERRUPTED && why.code != ERR_NO_MEMORY))
		return 0;
	*e = why;
	return -1;
}

int engine_rules_unwanted(struct engine_rules *x,
			  struct repository *const *from, size_t n,
			  struct repository *to, struct object_id **ret,
			  size_t *ret_n, struct err *e)
{
	struct unwanted u;
	int failed = 0;

	*ret = NULL;
	*ret_n = 0;
	if (!x->named || !x->region || !retain_any_apart(&x->named->repository))
		return 0;
	unwanted_init(&u);
	for (size_t i = 0; i < n && !failed; i++)
		failed = see(&u, from[i], to, e);
	failed = failed ||
		 unwanted_judge(&u, engine_rules_load, x, x->call->now, e) ||
		 unwanted_ids(&u, ret, ret_n, e);
	unwanted_done(&u);
	return failed ? -1 : 0;
}

const struct resource_region *engine_rules_region(const struct resource *named,
						  const char *url)
{
	const size_t n = named ? named->repository.region_count : 0;

	for (size_t i = 0; i < n; i++)
		if (store_local_same(named->repository.regions[i].url, url))
			return &named->repository.regions[i];
	return NULL;
}
