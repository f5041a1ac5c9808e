/* Deleting and keeping: delete, holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/engine_read.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/repository/deletion.h"
#include "storage/repository/guards.h"

/* All snapshots named, found before any is touched. */
struct chosen {
	struct repository *repository;
	struct repository_snapshot *v;
	/* Of each the region that has it, when repository does not: one that
	 * keeps by a policy of its own. */
	const struct resource_region **in;
	size_t n;
};

static void chosen_done(struct chosen *c)
{
	for (size_t i = 0; i < c->n; i++)
		repository_snapshot_done(&c->v[i]);
	free(c->v);
	free((void *)c->in);
	repository_close(c->repository);
}
static inline void cleanup_chosen_done(struct chosen *c)
{
	chosen_done(c);
}

static int open_region(const struct operation_call *call,
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
 * What the primary let go of by its rules another region may keep by its own.
 * 1, 0; -1 when none has it that could be asked, and *why tells of the first
 * that could not.
 */
static int find_elsewhere(const struct operation_call *call,
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

		if (region->primary)
			continue;
		is_open = open_region(call, named, region, &r, &e) == 0;
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

/* e: why the primary could not give it. */
static int choose_elsewhere(struct chosen *c, const struct operation_call *call,
			    const struct resource *named, const char *text,
			    bool by_id, struct err *e)
{
	const struct resource_region *region = NULL;
	struct repository_snapshot *s = &c->v[c->n];
	struct err why = { 0 };
	struct object_id id;
	const int found = find_elsewhere(call, named, text, s, &region, &why);

	if (found == 0)
		return -1;
	if (found < 0) {
		(void)err_set(e, ERR_BUSY,
			      "the primary has no snapshot %s, and region %s "
			      "could not tell: %.300s",
			      text_quote_str(text).s,
			      text_quote_str(region->name).s, why.text);
		return err_hint(e, "try again when it answers");
	}
	if (by_id && !object_id_parse(text, &id)) {
		(void)insist_on_id(s, region, text, e);
		repository_snapshot_done(s);
		return -1;
	}
	c->in[c->n] = region;
	return 0;
}

static int choose(struct chosen *c, const struct operation_call *call,
		  const struct resource *named, bool by_id, struct err *e)
{
	const size_t n = args_count(call->args, "snapshot");

	c->v = calloc(n + 1, sizeof(*c->v));
	c->in = calloc(n + 1, sizeof(const struct resource_region *));
	if (!c->v || !c->in)
		return err_oom(e);
	if (engine_open(call, &c->repository, e))
		return -1;
	for (; c->n < n; c->n++) {
		const char *text = args_nth(call->args, "snapshot", c->n);

		manifest_init(&c->v[c->n].manifest);
		if (engine_snapshot(call, c->repository, text, &c->v[c->n],
				    e) == 0)
			continue;
		if (!named || e->code != ERR_NOT_FOUND || e->of_store ||
		    strcmp(text, "latest") == 0 ||
		    choose_elsewhere(c, call, named, text, by_id, e))
			return -1;
	}
	return 0;
}

static void write_ids(struct json *j, const char *key, const struct chosen *c)
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
static void write_elsewhere(struct json *j, const struct chosen *c)
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
static int may_delete(const struct chosen *c, size_t i, struct instant now,
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
		      const struct resource *named, const struct chosen *c,
		      size_t i, const struct deletion *d, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	const struct repository_snapshot *s = &c->v[i];

	if ((c->in[i] && open_region(call, named, c->in[i], &r, e) < 0) ||
	    deletion_delete(c->repository, s, d, e) ||
	    (r && deletion_delete(r, s, d, e)))
		return -1;
	if (!is_deleted_in_all(s))
		record_deletion(call, named, c->in[i], s, d->reason);
	return 0;
}

/* The first of them; what was deleted before keeps its time. */
static struct instant restorable_until(const struct chosen *c,
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
	CLEANUP(chosen_done) struct chosen c = { .n = 0 };
	char by[256];
	const struct deletion d = { .now = call->now,
				    .grace_ms = DELETION_GRACE_MS,
				    .by = by,
				    .reason = args_text(call->args, "reason") };
	struct json *j = call->reply;

	engine_who(call, by, sizeof(by));
	if (engine_named(call, &named, e) < 0 ||
	    choose(&c, call, named, true, e))
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

static int hold_ids(const struct chosen *c, struct object_id **ret,
		    struct err *e)
{
	struct object_id *ids = calloc(c->n + 1, sizeof(*ids));

	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < c->n; i++)
		ids[i] = c->v[i].manifest.snapshot;
	*ret = ids;
	return 0;
}

/* An unset variable of a shell must not make a hold say less. */
static int expect_text(const struct args *args, const char *name,
		       const char *why, struct err *e)
{
	const char *text = args_text(args, name);

	if (!text || *text)
		return 0;
	(void)err_set(e, ERR_USAGE, "--%s is empty", name);
	return err_hint(e, "%s", why);
}

/* A source may yet come, and a mistyped one would hold nothing for ever. */
static int tell_if_unknown(const struct chosen *c,
			   const struct operation_call *call, struct err *e)
{
	const char *source = args_text(call->args, "source");
	char near[MANIFEST_TEXT_MAX + 1];
	int known;

	if (!source)
		return 0;
	known = engine_source(c->repository, source, near, e);
	if (known != 0)
		return known < 0 ? -1 : 0;
	progress_note(call->progress,
		      "note: the repository has no snapshot of source %s%s%s%s",
		      text_quote_str(source).s,
		      *near ? "; the nearest is " : "",
		      *near ? text_quote_str(near).s : "",
		      "; the hold is for those to come");
	return 0;
}

/* Of many snapshots the hold itself names each; the log says how many. */
static void record_hold(const struct operation_call *call,
			const struct resource *named, const struct chosen *c,
			const char *hold)
{
	char which[OBJECT_ID_TEXT + 32] = "";
	const struct engine_deed d = {
		.action = "hold.add",
		.object = hold,
		.reason = args_text(call->args, "case"),
		.details = { { "source", args_text(call->args, "source") },
			     { "custodian",
			       args_text(call->args, "custodian") },
			     { "snapshots", c->n ? which : NULL } },
	};

	if (c->n == 1)
		object_id_format(c->v[0].manifest.snapshot, which);
	else
		(void)snprintf(which, sizeof(which), "%zu snapshots", c->n);
	engine_record(call, named, &d);
}

/*
 * Where the region's store can keep objects from everyone, it does at once. The
 * hold has force without: of what fails, garbage collections try again.
 */
static uint64_t hold_in_store(const struct operation_call *call,
			      struct repository *r, bool release)
{
	const struct guards_options o = { .now = call->now,
					  .release = release,
					  .cancel = call->stop };
	struct guards_result result;
	struct err e = { 0 };

	if (guards_run(r, &o, &result, &e) < 0)
		progress_note(call->progress,
			      "note: that is written down, but the objects in "
			      "the store are as they were: %s",
			      e.text);
	return result.released;
}

/* Released elsewhere already, the objects in this region's store may not be. */
static int release(const struct operation_call *call, struct repository *r,
		   struct object_id id, const char *by, struct err *e)
{
	const bool failed = deletion_release(r, id, by, call->now, e) < 0;

	if (failed && e->code != ERR_NOT_FOUND)
		return -1;
	return hold_in_store(call, r, true) == 0 && failed ? -1 : 0;
}

/*
 * One hold, in the region that --repo means and, first, at once in those that
 * alone have one of the snapshots.
 */
static int put_hold(const struct operation_call *call,
		    const struct resource *named, const struct chosen *c,
		    const struct deletion_hold *h, struct err *e)
{
	struct object_id ignored;

	for (size_t i = 0; i < c->n; i++) {
		CLEANUP(repository_close) struct repository *r = NULL;
		size_t before = 0;

		while (c->in[before] != c->in[i])
			before++;
		if (before < i || !c->in[i])
			continue;
		if (open_region(call, named, c->in[i], &r, e) < 0 ||
		    deletion_hold(r, h, &ignored, e))
			return -1;
		(void)hold_in_store(call, r, false);
	}
	if (deletion_hold(c->repository, h, &ignored, e))
		return -1;
	(void)hold_in_store(call, c->repository, false);
	return 0;
}

static int hold_add(struct operation_call *call, struct err *e)
{
	CLEANUP(chosen_done) struct chosen c = { .n = 0 };
	char by[256];
	char text[OBJECT_ID_TEXT];
	CLEANUP(resource_free) struct resource *named = NULL;
	struct object_id *ids;
	int failed;

	engine_who(call, by, sizeof(by));
	if (args_count(call->args, "snapshot") == 0 &&
	    !args_given(call->args, "source")) {
		(void)err_set(e, ERR_USAGE, "nothing to hold is named");
		return err_hint(e, "name snapshots, or a source with --source");
	}
	if (expect_text(call->args, "case", "say what it is for", e) ||
	    expect_text(call->args, "source", "hold ad hoc ones by id", e) ||
	    engine_named(call, &named, e) < 0 ||
	    choose(&c, call, named, false, e) || tell_if_unknown(&c, call, e) ||
	    hold_ids(&c, &ids, e))
		/* The cleanup frees c; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	const struct deletion_hold h = {
		.id = object_id_new(),
		.snapshots = ids,
		.n_snapshots = c.n,
		.source = args_text(call->args, "source"),
		.case_name = args_text(call->args, "case"),
		.custodian = args_text(call->args, "custodian"),
		.by = by,
		.now = call->now,
	};
	failed = put_hold(call, named, &c, &h, e);
	free(ids);
	if (failed)
		return -1;
	object_id_format(h.id, text);
	record_hold(call, named, &c, text);
	json_begin_object(call->reply);
	json_kv_str(call->reply, "hold", text);
	json_end_object(call->reply);
	return 0;
}

static int hold_release(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(resource_free) struct resource *named = NULL;
	const char *text = args_text(call->args, "hold");
	const struct engine_deed d = { .action = "hold.release",
				       .object = text };
	struct object_id id;
	char by[256];

	if (!object_id_parse(text, &id)) {
		(void)err_set(e, ERR_NOT_FOUND, "there is no hold %s",
			      text_quote_str(text).s);
		return err_hint(e, "`snapctl hold list` shows all in force");
	}
	engine_who(call, by, sizeof(by));
	if (engine_named(call, &named, e) < 0 || engine_open(call, &r, e) ||
	    release(call, r, id, by, e))
		return -1;
	engine_record(call, named, &d);
	json_begin_object(call->reply);
	json_kv_str(call->reply, "released", text);
	json_end_object(call->reply);
	return 0;
}

/* Released ones are known only at the end, so holds are read twice. */
struct holds {
	struct operation_call *call;
	struct object_id *released;
	size_t n;
};

static int note_release(void *arg, const char *name, const struct record *h,
			const struct err *why, struct err *e)
{
	struct holds *x = (struct holds *)arg;
	struct object_id *grown;

	(void)name;
	(void)why;
	if (!h || object_id_is_zero(h->releases))
		return 0;
	grown = reallocarray(x->released, x->n + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	x->released = grown;
	x->released[x->n++] = h->releases;
	return 0;
}

static void write_hold(struct json *j, const struct record *h)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(h->id, id);
	json_begin_object(j);
	json_kv_str(j, "id", id);
	json_kv_instant(j, "time", h->time);
	json_kv_str(j, "by", h->by);
	json_kv_str(j, "case", *h->reason ? h->reason : NULL);
	json_kv_str(j, "custodian", *h->custodian ? h->custodian : NULL);
	json_kv_str(j, "source", *h->source ? h->source : NULL);
	json_key(j, "snapshots");
	json_begin_list(j);
	for (size_t i = 0; i < h->n_ids; i++) {
		object_id_format(h->ids[i], id);
		json_str(j, id);
	}
	json_end_list(j);
	json_end_object(j);
}

static int write_if_held(void *arg, const char *name, const struct record *h,
			 const struct err *why, struct err *e)
{
	struct holds *x = (struct holds *)arg;

	(void)e;
	if (!h) {
		operation_damaged(x->call);
		json_begin_object(x->call->reply);
		json_kv_str(x->call->reply, "id", name);
		json_kv_str(x->call->reply, "damaged", why->text);
		json_end_object(x->call->reply);
		return 0;
	}
	if (!object_id_is_zero(h->releases))
		return 0;
	for (size_t i = 0; i < x->n; i++)
		if (object_id_equal(x->released[i], h->id))
			return 0;
	write_hold(x->call->reply, h);
	return 0;
}

static int hold_list(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	struct holds x = { .call = call };
	int failed;

	if (engine_read(call, &r, e))
		return -1;
	json_begin_list(call->reply);
	failed = record_list(repository_store(r), repository_keys(r),
			     OBJECT_HOLD, note_release, &x, e) ||
		 record_list(repository_store(r), repository_keys(r),
			     OBJECT_HOLD, write_if_held, &x, e);
	free(x.released);
	if (failed)
		return -1;
	json_end_list(call->reply);
	return 0;
}

#define SNAPSHOTS_PARAM(must)                                          \
	{                                                              \
		.name = "snapshot", .kind = PARAM_POSITIONAL,          \
		.required = (must), .repeated = true, .value = "SNAP", \
		.help = "an id, a prefix of one, or latest"            \
	}
#define SOURCE_PARAM(how)                                                \
	{                                                                \
		.name = "source", .kind = PARAM_OPTION, .value = "NAME", \
		.help = (how)                                            \
	}

static const struct operation_param delete_params[] = {
	SNAPSHOTS_PARAM(true),
	{ .name = "reason",
	  .kind = PARAM_OPTION,
	  .value = "TEXT",
	  .help = "kept with the deletion" },
	SOURCE_PARAM(ENGINE_SOURCE_HELP),
	{ 0 },
};

static const struct operation_param hold_add_params[] = {
	SNAPSHOTS_PARAM(false),
	SOURCE_PARAM("hold every snapshot of this source, also future ones, "
		     "besides the snapshots that are named"),
	{ .name = "case",
	  .kind = PARAM_OPTION,
	  .required = true,
	  .value = "TEXT",
	  .help = "the case that the hold is for" },
	{ .name = "custodian",
	  .kind = PARAM_OPTION,
	  .value = "TEXT",
	  .help = "who is answerable for it" },
	{ 0 },
};

static const struct operation_param hold_release_params[] = {
	{ .name = "hold",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "HOLD",
	  .help = "the id that hold list shows" },
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
	{ .verb = "hold add",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = hold_add_params,
	  .view = "hold",
	  .summary = "put snapshots, or a source, under a legal hold",
	  .help = "It has force at once in the region that --repo means and, "
		  "of what another region alone has, there; in the others "
		  "when they are next replicated to. A run's "
		  "retention obeys what it finds in any region of its "
		  "Repository, and from then on \"report retention\" names "
		  "the case and the custodian.\n\n"
		  "Where the region's store guards objects, all that the "
		  "snapshots need gets a legal hold there, at once or with the "
		  "next garbage collection of that region.\n\n" ENGINE_RECORD_HELP,
	  .run = hold_add },
	{ .verb = "hold release",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = hold_release_params,
	  .view = "released",
	  .summary = "release a legal hold",
	  .help = "In a region whose store guards objects, the legal holds "
		  "that no other hold needs are released there, too: in the "
		  "region that --repo means, and in no other, as the daemon "
		  "releases none. Give each other region's location as --repo, "
		  "once the release was replicated to it.\n\n" ENGINE_RECORD_HELP,
	  .run = hold_release },
	{ .verb = "hold list",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .view = "id time:time by case custodian source snapshots:list",
	  .summary = "list the legal holds in force",
	  .run = hold_list },
	{ 0 },
};
