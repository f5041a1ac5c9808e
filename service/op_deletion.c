/* Deleting snapshots. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/engine_read.h"
#include "service/op.h"
#include "service/op_choose.h"
#include "storage/repository/deletion.h"

static void write_ids(struct json *j, const char *key,
		      const struct op_chosen *c)
{
	char id[OBJECT_ID_TEXT];

	json_key(j, key);
	json_begin_list(j);
	for (size_t i = 0; i < c->n; i++) {
		object_id_format(c->v[i].manifest.snapshot, id);
		json_str(j, id);
	}
	json_end_list(j);
}

/* Of those that another region alone had, which. */
static void write_elsewhere(struct json *j, const struct op_chosen *c)
{
	char id[OBJECT_ID_TEXT];
	bool any = false;

	for (size_t i = 0; i < c->n; i++)
		any = any || c->in[i];
	if (!any) {
		json_kv_str(j, "only_in", NULL);
		return;
	}
	json_key(j, "only_in");
	json_begin_object(j);
	for (size_t i = 0; i < c->n; i++) {
		object_id_format(c->v[i].manifest.snapshot, id);
		if (c->in[i])
			json_kv_str(j, id, c->in[i]->name);
	}
	json_end_object(j);
}

/* Where the deletion is not yet: copying takes it there. */
static void write_others(struct json *j, const struct resource *named)
{
	json_key(j, "follows_in");
	json_begin_list(j);
	for (size_t i = 0; named && i < named->repository.region_count; i++)
		if (!named->repository.regions[i].primary)
			json_str(j, named->repository.regions[i].name);
	json_end_list(j);
}

static void record_deletion(const struct operation_call *call,
			    const struct resource *named,
			    const struct resource_region *in,
			    const struct repository_snapshot *s,
			    const char *reason)
{
	char id[OBJECT_ID_TEXT];
	const struct engine_deed d = {
		.action = "snapshot.delete",
		.object = id,
		.region = in	  ? in->name
			  : named ? resource_region(named, NULL)->name
				  : NULL,
		.reason = reason,
	};

	object_id_format(s->manifest.snapshot, id);
	engine_record(call, named, &d);
}

static bool is_deleted_in_all(const struct repository_snapshot *s)
{
	return s->deleted && !s->this_region;
}

/*
 * Before anything is written: of what another region alone has, that region
 * does not know what the primary has to say.  deletion_delete() asks the region
 * it writes to once more.
 */
static int may_delete(const struct op_chosen *c, size_t i, struct instant now,
		      struct err *e)
{
	struct repository_snapshot *s = &c->v[i];

	if (is_deleted_in_all(s))
		return 0;
	if (c->in[i] && repository_snapshot_guards(c->repository, s, e))
		return -1;
	return deletion_may(s, now, e);
}

/*
 * In the region that --repo means, from which it goes to all others, and at
 * once in the one that alone has it.
 */
static int delete_one(const struct operation_call *call,
		      const struct resource *named, const struct op_chosen *c,
		      size_t i, const struct deletion *d, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	const struct repository_snapshot *s = &c->v[i];

	if ((c->in[i] && op_choose_open(call, named, c->in[i], &r, e) < 0) ||
	    deletion_delete(c->repository, s, d, e) ||
	    (r && deletion_delete(r, s, d, e)))
		return -1;
	if (!is_deleted_in_all(s))
		record_deletion(call, named, c->in[i], s, d->reason);
	return 0;
}

/* The first of them; what was deleted before keeps its time. */
static struct instant restorable_until(const struct op_chosen *c,
				       const struct deletion *d)
{
	struct instant first = instant_add_ms(d->now, d->grace_ms);

	for (size_t i = 0; i < c->n; i++)
		if (is_deleted_in_all(&c->v[i]) &&
		    instant_compare(c->v[i].restorable_until, first) < 0)
			first = c->v[i].restorable_until;
	return first;
}

static int delete (struct operation_call *call, struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;
	CLEANUP(op_chosen_done) struct op_chosen c = { .n = 0 };
	char by[256];
	const struct deletion d = { .now = call->now,
				    .grace_ms = DELETION_GRACE_MS,
				    .by = by,
				    .reason = args_text(call->args, "reason") };
	struct json *j = call->reply;

	engine_who(call, by, sizeof(by));
	if (engine_named(call, &named, e) < 0 ||
	    op_choose(&c, call, named, true, e))
		return -1;
	for (size_t i = 0; i < c.n; i++)
		if (may_delete(&c, i, d.now, e))
			return -1;
	for (size_t i = 0; i < c.n; i++)
		if (delete_one(call, named, &c, i, &d, e))
			return -1;
	json_begin_object(j);
	write_ids(j, "deleted", &c);
	write_elsewhere(j, &c);
	json_kv_instant(j, "restorable_until", restorable_until(&c, &d));
	write_others(j, named);
	json_end_object(j);
	return 0;
}

static const struct operation_param delete_params[] = {
	OP_CHOOSE_PARAM(true),
	{ .name = "reason",
	  .kind = PARAM_OPTION,
	  .value = "TEXT",
	  .help = "kept with the deletion" },
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = ENGINE_SOURCE_HELP },
	{ 0 },
};

const struct operation op_deletion_rows[] = {
	{ .verb = "snapshot delete",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = delete_params,
	  .view = "deleted:list only_in:fields restorable_until:time "
		  "follows_in:list=follows",
	  .summary = "delete snapshots; they stay restorable for a day",
	  .help = "All of them are looked up before any is deleted. Snapshots "
		  "under a hold or a lock are refused with exit status 7, and "
		  "then none of them is deleted.\n\n"
		  "It is deleted in the region that --repo means. With --repo "
		  "by name that is the primary, and the others that are "
		  "named follow when they are next replicated to, also where "
		  "a region's own policy would keep it. What only such a "
		  "region still has is deleted there, by its whole id, and "
		  "the reply names the region.\n\n" ENGINE_RECORD_HELP,
	  .run = delete },
	{ 0 },
};
