/* Taking deletions back, in every region that can be reached. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/op.h"
#include "storage/repository/deletion.h"

/* A region that is declared, or the one location that is given. */
struct region {
	const char *name;
	const char *url;
	struct repository *repository; /* NULL: why not */
	struct err why;
};

/* What became of a snapshot in a region. */
enum state {
	UNREACHABLE = 0,
	ABSENT,
	KEPT, /* it is not deleted there */
	DELETED,
	UNDELETED,
	FAILED, /* and is deleted still */
};
static const char *const state_names[] = { "unreachable", "absent",
					   "not deleted", "deleted",
					   "undeleted",	  "failed" };

struct cell {
	enum state state;
	struct instant restorable_until;
	bool has_until;
	struct err why;
};

struct undeleting {
	struct operation_call *call;
	struct resource *named; /* or NULL: --repo is a location */
	struct keyring_credential *key;
	struct region *regions;
	size_t n_regions;
	struct object_id *ids;
	size_t n_ids;
	struct cell *cells; /* by snapshot, then by region */
};

static void undeleting_done(struct undeleting *x)
{
	for (size_t i = 0; i < x->n_regions; i++)
		repository_close(x->regions[i].repository);
	free(x->regions);
	free(x->ids);
	free(x->cells);
	keyring_credential_free(x->key);
	resource_free(x->named);
}
static inline void cleanup_undeleting_done(struct undeleting *x)
{
	undeleting_done(x);
}

static struct cell *cell(struct undeleting *x, size_t snapshot, size_t region)
{
	return &x->cells[snapshot * x->n_regions + region];
}

/* One that cannot be had is told of; without any there is nothing to do. */
static int open_regions(struct undeleting *x, struct err *e)
{
	const struct resource_repository *declared;
	bool any = false;

	if (engine_named(x->call, &x->named, e) < 0 ||
	    engine_named_key(x->call, x->named, &x->key, e))
		return -1;
	declared = x->named ? &x->named->repository : NULL;
	x->n_regions = declared ? declared->region_count : 1;
	x->regions = calloc(x->n_regions, sizeof(*x->regions));
	if (!x->regions) {
		x->n_regions = 0;
		return err_oom(e);
	}
	for (size_t i = 0; i < x->n_regions; i++) {
		struct region *r = &x->regions[i];

		r->url = declared ? declared->regions[i].url
				  : args_text(x->call->args, "repo");
		r->name = declared ? declared->regions[i].name : r->url;
		if (repository_open(r->url, x->key, &r->repository, &r->why))
			r->repository = NULL;
		any = any || r->repository;
	}
	if (any)
		return 0;
	*e = x->regions[0].why;
	return -1;
}

/*
 * Which snapshot is meant: a region may have collected it already, or know of
 * others, so all are asked, and must agree.
 */
static int resolve(struct undeleting *x, const char *text,
		   struct object_id *ret, struct err *e)
{
	struct err first = { 0 };
	bool found = false;

	for (size_t i = 0; i < x->n_regions; i++) {
		CLEANUP(repository_snapshot_done) struct repository_snapshot s;
		struct err why = { 0 };

		manifest_init(&s.manifest);
		if (!x->regions[i].repository)
			continue;
		if (engine_snapshot(x->call, x->regions[i].repository, text, &s,
				    &why)) {
			if (!first.code || first.code == ERR_NOT_FOUND)
				first = why;
			continue;
		}
		if (found && !object_id_equal(*ret, s.manifest.snapshot)) {
			(void)err_set(e, ERR_USAGE,
				      "%s is another snapshot in region %s "
				      "than in those before",
				      text_quote_str(text).s,
				      x->regions[i].name);
			return err_hint(e, "give the whole id");
		}
		*ret = s.manifest.snapshot;
		found = true;
	}
	if (found && first.code != ERR_USAGE)
		return 0;
	*e = first;
	return -1;
}

/* What a snapshot is in a region, before anything is changed. */
static int look(struct undeleting *x, size_t snapshot, size_t region,
		struct repository_snapshot *ret, struct err *e)
{
	struct cell *c = cell(x, snapshot, region);
	struct region *r = &x->regions[region];
	char id[OBJECT_ID_TEXT];

	object_id_format(x->ids[snapshot], id);
	if (repository_find(r->repository, id, NULL, true, ret, NULL, e))
		return -1;
	c->state = ret->deleted ? DELETED : KEPT;
	c->has_until = ret->deleted;
	c->restorable_until = ret->restorable_until;
	return 0;
}

static void look_everywhere(struct undeleting *x, size_t snapshot)
{
	for (size_t i = 0; i < x->n_regions; i++) {
		CLEANUP(repository_snapshot_done) struct repository_snapshot s;
		struct cell *c = cell(x, snapshot, i);

		manifest_init(&s.manifest);
		if (!x->regions[i].repository)
			c->why = x->regions[i].why;
		else if (look(x, snapshot, i, &s, &c->why))
			c->state = c->why.code == ERR_NOT_FOUND ? ABSENT
								: FAILED;
	}
}

static int expect_deleted(struct undeleting *x, size_t snapshot, struct err *e)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(x->ids[snapshot], id);
	for (size_t i = 0; i < x->n_regions; i++) {
		const struct cell *c = cell(x, snapshot, i);

		if (c->state == DELETED)
			return 0;
		if (c->state == FAILED) {
			*e = c->why;
			return -1;
		}
	}
	(void)err_set(e, ERR_NOT_FOUND, "snapshot %s is not deleted", id);
	for (size_t i = 0; i < x->n_regions; i++)
		if (!x->regions[i].repository)
			return err_hint(e,
					"region %s cannot be reached, and may "
					"have it deleted",
					x->regions[i].name);
	return err_hint(e, "`snapctl snapshot list --deleted` shows what is");
}

static int choose(struct undeleting *x, struct err *e)
{
	const struct args *args = x->call->args;
	const size_t n = args_count(args, "snapshot");

	x->ids = calloc(n + 1, sizeof(*x->ids));
	x->cells = calloc(n * x->n_regions + 1, sizeof(*x->cells));
	if (!x->ids || !x->cells)
		return err_oom(e);
	for (; x->n_ids < n; x->n_ids++)
		if (resolve(x, args_nth(args, "snapshot", x->n_ids),
			    &x->ids[x->n_ids], e))
			return -1;
	for (size_t i = 0; i < n; i++) {
		look_everywhere(x, i);
		if (expect_deleted(x, i, e))
			return -1;
	}
	return 0;
}

static void act(struct undeleting *x, size_t snapshot, size_t region,
		const struct deletion *d)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct cell *c = cell(x, snapshot, region);

	manifest_init(&s.manifest);
	if (c->state != DELETED)
		return;
	if (look(x, snapshot, region, &s, &c->why) ||
	    deletion_undelete(x->regions[region].repository, &s, d, &c->why))
		c->state = FAILED;
	else
		c->state = UNDELETED;
}

/* Everywhere that it can be; -1 when that is nowhere. */
static int act_everywhere(struct undeleting *x, size_t snapshot,
			  const struct deletion *d, struct err *e)
{
	const struct cell *failed = NULL;
	bool any = false;

	for (size_t i = 0; i < x->n_regions; i++) {
		const struct cell *c = cell(x, snapshot, i);

		act(x, snapshot, i, d);
		any = any || c->state == UNDELETED || c->state == KEPT;
		if (c->state == FAILED && !failed)
			failed = c;
		if (operation_stopped(x->call, e))
			return -1;
	}
	if (any || !failed)
		return 0;
	*e = failed->why;
	return -1;
}

/* Of a region that was not reached the others tell it. */
static const struct instant *until_of(struct undeleting *x, size_t snapshot,
				      size_t region)
{
	const struct cell *own = cell(x, snapshot, region);

	if (own->state == UNREACHABLE)
		for (size_t i = 0; i < x->n_regions && !own->has_until; i++)
			own = cell(x, snapshot, i);
	return own->has_until ? &own->restorable_until : NULL;
}

static void write_cell(struct undeleting *x, size_t snapshot, size_t region)
{
	const struct cell *c = cell(x, snapshot, region);
	const bool open = c->state == UNREACHABLE || c->state == FAILED;
	const struct instant *until = open ? until_of(x, snapshot, region)
					   : NULL;
	struct json *j = x->call->reply;
	char id[OBJECT_ID_TEXT];

	object_id_format(x->ids[snapshot], id);
	json_begin_object(j);
	json_kv_str(j, "region", x->regions[region].name);
	json_kv_str(j, "snapshot", id);
	json_kv_str(j, "state", state_names[c->state]);
	if (until)
		json_kv_instant(j, "restorable_until", *until);
	else
		json_kv_str(j, "restorable_until", NULL);
	json_kv_str(j, "message", open ? c->why.text : NULL);
	json_end_object(j);
	if (open)
		operation_partial(x->call);
	if (c->state == FAILED && object_is_damage(&c->why))
		operation_damaged(x->call);
}

static void write_reply(struct undeleting *x)
{
	struct json *j = x->call->reply;
	char id[OBJECT_ID_TEXT];

	json_begin_object(j);
	json_key(j, "undeleted");
	json_begin_list(j);
	for (size_t i = 0; i < x->n_ids; i++) {
		object_id_format(x->ids[i], id);
		json_str(j, id);
	}
	json_end_list(j);
	json_key(j, "regions");
	json_begin_list(j);
	for (size_t i = 0; i < x->n_ids; i++)
		for (size_t k = 0; k < x->n_regions; k++)
			write_cell(x, i, k);
	json_end_list(j);
	json_end_object(j);
}

static void record(struct undeleting *x)
{
	char id[OBJECT_ID_TEXT];
	const struct engine_deed d = { .action = "snapshot.undelete",
				       .object = id };
	bool any;

	for (size_t i = 0; i < x->n_ids; i++) {
		any = false;
		for (size_t k = 0; k < x->n_regions; k++)
			any = any || cell(x, i, k)->state == UNDELETED;
		object_id_format(x->ids[i], id);
		if (any)
			engine_record(x->call, x->named, &d);
	}
}

static int undelete(struct operation_call *call, struct err *e)
{
	CLEANUP(undeleting_done) struct undeleting x = { .call = call };
	char by[256];
	const struct deletion d = { .now = call->now, .by = by };

	engine_who(call, by, sizeof(by));
	if (open_regions(&x, e) || choose(&x, e))
		/* The cleanup frees x; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	for (size_t i = 0; i < x.n_ids; i++)
		if (act_everywhere(&x, i, &d, e))
			return -1;
	record(&x);
	write_reply(&x);
	return 0;
}

static const struct operation_param undelete_params[] = {
	{ .name = "snapshot",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .repeated = true,
	  .value = "SNAP",
	  .help = "an id, or a prefix of one" },
	{ 0 },
};

const struct operation op_undelete_rows[] = {
	{ .verb = "snapshot undelete",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = undelete_params,
	  .view = "undeleted:list regions",
	  .summary = "take a deletion back within the grace period",
	  .help = "With --repo by name, in every region that is declared and "
		  "can be reached; each other one is named with the time until "
		  "which it can be asked again, and the exit status is 3. With "
		  "--repo as a location, only there.\n\n" ENGINE_RECORD_HELP,
	  .run = undelete },
	{ 0 },
};
