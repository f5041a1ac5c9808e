#include "service/op_choose.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/engine_read.h"

void op_chosen_done(struct op_chosen *c)
{
	for (size_t i = 0; i < c->n; i++)
		repository_snapshot_done(&c->v[i]);
	free(c->v);
	free((void *)c->in);
	repository_close(c->repository);
}

int op_choose_open(const struct operation_call *call,
		   const struct resource *named,
		   const struct resource_region *region,
		   struct repository **ret, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;

	return engine_named_key(call, named, &key, e) ||
			       repository_open(region->url, key, ret, e)
		       ? -1
		       : 0;
}

/*
 * What the region that is read (seldom another than the primary) let go of by
 * its rules another may keep by its own.  1, 0; -1 when none has it that could
 * be asked, and *why tells of the first that could not.
 */
static int find_elsewhere(const struct op_chosen *c,
			  const struct operation_call *call,
			  const struct resource *named, const char *text,
			  struct repository_snapshot *ret,
			  const struct resource_region **ret_region,
			  struct err *why)
{
	struct err e = { 0 };

	for (size_t i = 0; i < named->repository.region_count; i++) {
		CLEANUP(repository_close) struct repository *r = NULL;
		const struct resource_region *region =
			&named->repository.regions[i];
		bool is_open;

		if (region == c->region)
			continue;
		is_open = op_choose_open(call, named, region, &r, &e) == 0;
		if (is_open && engine_snapshot(call, r, text, ret, &e) == 0) {
			*ret_region = region;
			return 1;
		}
		if ((is_open && e.code == ERR_NOT_FOUND && !e.of_store) ||
		    why->code)
			continue;
		*why = e;
		*ret_region = region;
	}
	return why->code ? -1 : 0;
}

/*
 * By the start of an id only what the primary has is deleted: a slip of a digit
 * may well be the start of an old one that an archive alone has.
 */
static int insist_on_id(const struct repository_snapshot *s,
			const struct resource_region *region, const char *text,
			struct err *e)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(s->manifest.snapshot, id);
	(void)err_set(e, ERR_NOT_FOUND,
		      "the primary has no snapshot %s; region %s has %s",
		      text_quote_str(text).s, text_quote_str(region->name).s,
		      id);
	return err_hint(e, "what another region alone has is deleted by its "
			   "whole id");
}

/* The nth; e: why the region that is read could not give it. */
static int choose_elsewhere(struct op_chosen *c, size_t nth,
			    const struct operation_call *call,
			    const struct resource *named, const char *text,
			    bool by_id, struct err *e)
{
	const struct resource_region *region = NULL;
	struct repository_snapshot *s = &c->v[nth];
	struct err why = { 0 };
	struct object_id id;
	const int found = find_elsewhere(c, call, named, text, s, &region,
					 &why);

	if (found == 0)
		return -1;
	if (found < 0) {
		(void)err_set(e, ERR_BUSY,
			      "region %s has no snapshot %s, and region %s "
			      "could not tell: %.300s",
			      text_quote_str(c->region->name).s,
			      text_quote_str(text).s,
			      text_quote_str(region->name).s, why.text);
		return err_hint(e, "try again when it answers");
	}
	if (by_id && !object_id_parse(text, &id)) {
		(void)insist_on_id(s, region, text, e);
		return -1;
	}
	c->in[nth] = region;
	return 0;
}

/* The primary or, to hold what is in others, the first that can be had. */
static int open_first(struct op_chosen *c, const struct operation_call *call,
		      const struct resource *named, bool by_id, struct err *e)
{
	struct err ignored;

	c->region = named ? resource_region(named, NULL) : NULL;
	if (engine_open(call, &c->repository, e) == 0)
		return 0;
	for (size_t i = 0;
	     named && !by_id && i < named->repository.region_count; i++) {
		c->region = &named->repository.regions[i];
		if (c->region->primary ||
		    op_choose_open(call, named, c->region, &c->repository,
				   &ignored))
			continue;
		err_clear(e);
		return 0;
	}
	return -1;
}

/* What holds the newest of all that can be had, as those who read do. */
static int open_latest(struct op_chosen *c, size_t nth,
		       const struct operation_call *call,
		       const struct resource *named, struct err *e)
{
	CLEANUP(engine_reading_free) struct engine_reading *x = NULL;

	if (engine_reading_new(call, &x, e) ||
	    engine_reading_open(x, "latest", &c->repository, &c->v[nth], e))
		return -1;
	c->region = resource_region(named, engine_reading_region(x));
	return 0;
}

static bool is_latest(const struct operation_call *call, size_t nth)
{
	return strcmp(args_nth(call->args, "snapshot", nth), "latest") == 0;
}

static int choose(struct op_chosen *c, size_t nth,
		  const struct operation_call *call,
		  const struct resource *named, bool by_id, struct err *e)
{
	const char *text = args_nth(call->args, "snapshot", nth);

	if (engine_snapshot(call, c->repository, text, &c->v[nth], e) == 0)
		return 0;
	if (!named || e->code != ERR_NOT_FOUND || e->of_store ||
	    is_latest(call, nth))
		return -1;
	return choose_elsewhere(c, nth, call, named, text, by_id, e);
}

int op_choose(struct op_chosen *c, const struct operation_call *call,
	      const struct resource *named, bool by_id, struct err *e)
{
	const size_t n = args_count(call->args, "snapshot");
	size_t latest = named && !by_id ? 0 : n;

	c->v = calloc(n + 1, sizeof(*c->v));
	c->in = calloc(n + 1, sizeof(const struct resource_region *));
	if (!c->v || !c->in)
		return err_oom(e);
	for (; c->n < n; c->n++)
		manifest_init(&c->v[c->n].manifest);
	while (latest < n && !is_latest(call, latest))
		latest++;
	if (latest < n ? open_latest(c, latest, call, named, e)
		       : open_first(c, call, named, by_id, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (i != latest && choose(c, i, call, named, by_id, e))
			return -1;
	return 0;
}
