/* Legal holds: add, release, list. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/engine_read.h"
#include "service/hold_copies.h"
#include "service/op.h"
#include "service/op_choose.h"
#include "service/progress.h"
#include "storage/repository/deletion.h"
#include "storage/repository/guards.h"

static int hold_ids(const struct op_chosen *c, struct object_id **ret,
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
static int tell_if_unknown(const struct op_chosen *c,
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

/* Of many snapshots the catalog has each; the log says how many. */
static void record_hold(const struct operation_call *call,
			const struct resource *named, const struct op_chosen *c,
			const struct object_id *ids, const char *hold)
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
		.snapshots = ids,
		.n_snapshots = c->n,
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
static int hold_in_store(const struct operation_call *call,
			 struct repository *r, bool release, uint64_t *ret_n,
			 struct err *e)
{
	const struct guards_options o = { .now = call->now,
					  .release = release,
					  .cancel = call->stop };
	struct guards_result result = { .released = 0 };
	const int failed = guards_run(r, &o, &result, e);

	*ret_n = result.released;
	return failed < 0 ? -1 : 0;
}

/* What became of it in one region. */
struct outcome {
	const struct resource_region *region; /* NULL: --repo is a location */
	bool done;
	struct err why; /* it is not */
};

static void write_outcomes(struct operation_call *call, const char *key,
			   const struct outcome *v, size_t n, bool done)
{
	struct json *j = call->reply;

	json_key(j, key);
	json_begin_list(j);
	for (size_t i = 0; i < n; i++)
		if (v[i].done == done)
			json_str(j, v[i].region->name);
	json_end_list(j);
}

/* Each region that is left out is named, and why. */
static void tell_outcomes(struct operation_call *call, const char *what,
			  const struct outcome *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].done)
			continue;
		operation_partial(call);
		progress_note(call->progress, "note: region %s %s: %s",
			      text_quote_str(v[i].region->name).s, what,
			      v[i].why.text);
	}
}

/* Of the declared regions; what the caller frees. */
static struct outcome *outcomes_of(const struct resource *named, struct err *e)
{
	const size_t n = named ? named->repository.region_count : 1;
	struct outcome *v = calloc(n, sizeof(*v));

	for (size_t i = 0; v && named && i < n; i++)
		v[i].region = &named->repository.regions[i];
	if (!v)
		(void)err_oom(e);
	return v;
}

/* A region that alone has one of the snapshots must not be left out. */
static bool is_alone(const struct op_chosen *c,
		     const struct resource_region *region)
{
	for (size_t i = 0; region && i < c->n; i++)
		if (c->in[i] == region)
			return true;
	return false;
}

static int put_hold_in(struct operation_call *call,
		       const struct resource *named, const struct op_chosen *c,
		       const struct deletion_hold *h, struct outcome *o)
{
	CLEANUP(repository_close) struct repository *other = NULL;
	struct repository *r = c->repository;
	struct object_id ignored;
	uint64_t n;

	if (o->region && o->region != c->region) {
		if (op_choose_open(call, named, o->region, &other, &o->why))
			return -1;
		r = other;
	}
	if (deletion_hold(r, h, &ignored, &o->why))
		return -1;
	o->done = true;
	if (hold_in_store(call, r, false, &n, &o->why)) {
		operation_partial(call);
		progress_note(call->progress,
			      "note: that is written down, but the objects in "
			      "the store are as they were: %s",
			      o->why.text);
	}
	return 0;
}

/*
 * One hold, in all regions that can be had: first in those that alone have one
 * of the snapshots, and in the one that was read; others get it by replication.
 * Once it is in force anywhere that is told, whatever the others do.
 */
static int put_hold(struct operation_call *call, const struct resource *named,
		    const struct op_chosen *c, const struct deletion_hold *h,
		    struct outcome *v, size_t n, struct err *e)
{
	bool any = false;

	for (int first = 1; first >= 0; first--)
		for (size_t i = 0; i < n; i++) {
			const bool must = v[i].region == c->region ||
					  is_alone(c, v[i].region);

			if (must != first)
				continue;
			if (put_hold_in(call, named, c, h, &v[i]) == 0) {
				any = true;
			} else if (must && !any) {
				*e = v[i].why;
				return -1;
			}
		}
	return 0;
}

/* Where the nth snapshot was found, the hold is not: that region; or NULL. */
static const struct outcome *lacking(const struct op_chosen *c, size_t nth,
				     const struct outcome *v, size_t n)
{
	const struct resource_region *in = c->in[nth] ? c->in[nth] : c->region;

	for (size_t i = 0; i < n; i++)
		if (v[i].region == in && !v[i].done)
			return &v[i];
	return NULL;
}

/* How the hold gets there, and how it is taken back. */
static void advise(struct operation_call *call, const struct resource *named,
		   const char *hold, const struct outcome *missed,
		   const struct outcome *v, size_t n)
{
	const char *repository = named->name;
	const char *to = missed->region->name;

	/* The primary gets it when it is copied from. */
	for (size_t i = 0; missed->region->primary && i < n; i++)
		if (v[i].done)
			to = v[i].region->name;
	progress_note(call->progress,
		      "note: once region %s answers, \"snapctl replicate --to "
		      "%s --repo %s\" brings the hold there, or the next run "
		      "that copies; \"snapctl hold release %s --repo %s\" "
		      "takes it back",
		      text_quote_str(missed->region->name).s, to, repository,
		      hold, repository);
}

/* What was to be held, and is not where it is, for each snapshot. */
static void write_unheld(struct operation_call *call,
			 const struct resource *named,
			 const struct op_chosen *c, const char *hold,
			 const struct outcome *v, size_t n)
{
	const struct outcome *missed = NULL;
	const struct outcome *done = v;
	char id[OBJECT_ID_TEXT];

	while (!done->done)
		done++;
	json_key(call->reply, "unheld");
	json_begin_list(call->reply);
	for (size_t i = 0; i < c->n; i++) {
		const struct outcome *o = lacking(c, i, v, n);

		if (!o)
			continue;
		object_id_format(c->v[i].manifest.snapshot, id);
		json_str(call->reply, id);
		progress_note(call->progress,
			      "note: hold %s is in force in region %s, but not "
			      "in %s, which has snapshot %s",
			      hold, text_quote_str(done->region->name).s,
			      text_quote_str(o->region->name).s, id);
		missed = o;
	}
	json_end_list(call->reply);
	if (missed)
		advise(call, named, hold, missed, v, n);
}

static void write_held(struct operation_call *call,
		       const struct resource *named, const struct op_chosen *c,
		       const char *hold, const struct outcome *v, size_t n)
{
	struct json *j = call->reply;

	json_begin_object(j);
	json_kv_str(j, "hold", hold);
	if (named) {
		write_outcomes(call, "held_in", v, n, true);
		write_outcomes(call, "follows_in", v, n, false);
		tell_outcomes(call, "gets it when it is next replicated to", v,
			      n);
		write_unheld(call, named, c, hold, v, n);
	}
	json_end_object(j);
}

static int hold_add(struct operation_call *call, struct err *e)
{
	CLEANUP(op_chosen_done) struct op_chosen c = { .n = 0 };
	char by[256];
	char text[OBJECT_ID_TEXT];
	CLEANUP(resource_free) struct resource *named = NULL;
	struct outcome *outcomes;
	struct object_id *ids;
	size_t n;
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
	    op_choose(&c, call, named, false, e) ||
	    tell_if_unknown(&c, call, e) || hold_ids(&c, &ids, e))
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
	outcomes = outcomes_of(named, e);
	n = named ? named->repository.region_count : 1;
	failed = !outcomes || put_hold(call, named, &c, &h, outcomes, n, e) < 0;
	if (!failed) {
		object_id_format(h.id, text);
		record_hold(call, named, &c, ids, text);
		write_held(call, named, &c, text, outcomes, n);
	}
	free(ids);
	free(outcomes);
	return failed ? -1 : 0;
}

/* What people told the service that it is held, and released. */
struct releases {
	json_t *log; /* records; NULL: there is no service that knows */
	const char *repository;
	/* Of all regions, to be in each before its store lets go. */
	struct hold_copies holds;
	bool all;		      /* they could be read */
	const char *own;	      /* that is released now */
	bool own_seen;		      /* some region has it as released */
	char foreign[OBJECT_ID_TEXT]; /* one that nobody told, or "" */
};

static int ask_releases(const struct operation_call *call,
			const struct resource *named, struct releases *x,
			struct err *e)
{
	static const char *const params[][2] = { { "action", "hold.*" },
						 { "limit", "0" },
						 { NULL, NULL } };

	if (!named)
		return 0;
	x->repository = named->name;
	return engine_ask_tree(call, "audit log", params, (size_t)64 << 20,
			       &x->log, e);
}

static bool says(const json_t *row, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(row, key));

	return value && strcmp(value, text) == 0;
}

/* Not what the service itself saw in some region, where it may be forged. */
static bool was_told(const struct releases *x, const char *action,
		     const char *hold)
{
	const json_t *row;
	size_t i;

	json_array_foreach(x->log, i, row)
	{
		if (says(row, "action", action) && says(row, "object", hold) &&
		    json_integer_value(json_object_get(row, "uid")) >= 0)
			return true;
	}
	return false;
}

static bool was_asked(const struct releases *x, const char *hold)
{
	return strcmp(x->own, hold) == 0 || was_told(x, "hold.release", hold);
}

static int see_foreign(void *arg, const char *name UNUSED,
		       const struct record *h, const struct err *why UNUSED,
		       struct err *e UNUSED)
{
	struct releases *x = arg;
	char id[OBJECT_ID_TEXT];

	if (!h || object_id_is_zero(h->releases))
		return 0;
	object_id_format(h->releases, id);
	x->own_seen = x->own_seen || strcmp(x->own, id) == 0;
	if (!was_asked(x, id))
		(void)snprintf(x->foreign, sizeof(x->foreign), "%s", id);
	return 0;
}

/*
 * A store lets go of all that no hold is on at once: not where one is released
 * that nobody told the service, as who has a writer's key can.
 */
static int expect_no_foreign(struct releases *x, struct repository *r,
			     struct err *e)
{
	x->foreign[0] = '\0';
	if (record_list(repository_store(r), repository_keys(r), OBJECT_HOLD,
			see_foreign, x, e))
		return -1;
	if (!x->log || !x->foreign[0])
		return 0;
	return err_set(e, ERR_DENIED,
		       "hold %s is released there, too, which nobody told the "
		       "service: release it as well, or it is forged",
		       x->foreign);
}

/* ---- Holds that came while a region was away ---------------------------- */

static void read_holds(const struct operation_call *call,
		       const struct resource *named, struct releases *x)
{
	const size_t n = named ? named->repository.region_count : 0;

	x->all = true;
	for (size_t i = 0; n > 1 && i < n; i++) {
		CLEANUP(repository_close) struct repository *r = NULL;
		struct err ignored;

		x->all = op_choose_open(call, named,
					&named->repository.regions[i], &r,
					&ignored) == 0 &&
			 hold_copies_read(&x->holds, r, &ignored) == 0 &&
			 x->all;
	}
}

static bool is_released(const void *arg, struct object_id id)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	return was_asked(arg, text);
}

/* Of one that a region alone has which cannot be read, the log tells. */
static int expect_all(const struct releases *x, const struct hold_ids *there,
		      struct err *e)
{
	const json_t *row;
	size_t i;

	json_array_foreach(x->log, i, row)
	{
		const char *hold = json_string_value(
			json_object_get(row, "object"));
		struct object_id id;

		if (!says(row, "action", "hold.add") ||
		    !says(json_object_get(row, "details"), "repository",
			  x->repository) ||
		    !hold || !object_id_parse(hold, &id) ||
		    hold_ids_has(there, id) || is_released(x, id))
			continue;
		return err_set(e, ERR_DENIED,
			       "hold %s is not there yet: what its store holds "
			       "may be under that one",
			       hold);
	}
	return 0;
}

/* Its store judges by the holds that the region has: so it is given all. */
static int complete(const struct releases *x, struct repository *r,
		    struct err *e)
{
	CLEANUP(hold_ids_done) struct hold_ids there = { .n = 0 };

	if (!x->log)
		return 0;
	return hold_copies_put(&x->holds, r, is_released, x, &there, e) ||
			       (!x->all && expect_all(x, &there, e))
		       ? -1
		       : 0;
}

/* In one region; known: it knew of the hold, or its store held something that
 * no hold is on. */
static int release_in(const struct operation_call *call, struct repository *r,
		      struct releases *x, struct object_id id, const char *by,
		      bool *ret_known, struct err *e)
{
	const bool known = deletion_release(r, id, by, call->now, e) == 0;
	uint64_t n;

	if (!known && (e->code != ERR_NOT_FOUND || e->of_store))
		return -1;
	err_clear(e);
	*ret_known = *ret_known || known;
	/* Released elsewhere already, the objects in this store may not be. */
	if (expect_no_foreign(x, r, e) || complete(x, r, e) ||
	    hold_in_store(call, r, true, &n, e))
		return -1;
	/* What no hold is on goes by a slip of an id as well: no proof. */
	*ret_known = *ret_known || (n && (x->own_seen ||
					  was_told(x, "hold.release", x->own)));
	return 0;
}

/* In all of them, whatever becomes of one; whether any knew of it. */
static bool release_all(const struct operation_call *call,
			const struct resource *named, struct releases *x,
			struct object_id id, const char *by, struct outcome *v,
			size_t n)
{
	/* The region that has it may be away. */
	bool known = was_told(x, "hold.add", x->own);

	read_holds(call, named, x);
	for (size_t i = 0; i < n; i++) {
		CLEANUP(repository_close) struct repository *r = NULL;

		if ((v[i].region ? op_choose_open(call, named, v[i].region, &r,
						  &v[i].why)
				 : engine_open(call, &r, &v[i].why)) == 0)
			v[i].done = release_in(call, r, x, id, by, &known,
					       &v[i].why) == 0;
	}
	return known || (x->log && x->own_seen);
}

/* The service goes on where it was asked to, and not done. */
static void record_release(const struct operation_call *call,
			   const struct resource *named, const char *hold,
			   const struct outcome *v, size_t n)
{
	struct engine_deed d = { .action = "hold.release", .object = hold };

	engine_record(call, named, &d);
	d.action = "hold.released";
	for (size_t i = 0; named && i < n; i++) {
		d.region = v[i].region->name;
		if (v[i].done)
			engine_record(call, named, &d);
	}
}

static void write_released(struct operation_call *call,
			   const struct resource *named, const char *hold,
			   const struct outcome *v, size_t n)
{
	struct json *j = call->reply;

	json_begin_object(j);
	json_kv_str(j, "released", hold);
	if (named) {
		write_outcomes(call, "released_in", v, n, true);
		write_outcomes(call, "still_held_in", v, n, false);
		tell_outcomes(call,
			      "still has it, until the service's next "
			      "collection there",
			      v, n);
	}
	json_end_object(j);
}

/* Nobody knew of it: because there is none, or since some could not tell. */
static int refuse_release(const char *hold, const struct outcome *v, size_t n,
			  struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (!v[i].done) {
			*e = v[i].why;
			return -1;
		}
	(void)err_set(e, ERR_NOT_FOUND, "there is no hold %s",
		      text_quote_str(hold).s);
	return err_hint(e, "`snapctl hold list` shows all in force");
}

static int hold_release(struct operation_call *call, struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;
	const char *text = args_text(call->args, "hold");
	struct releases releases = { .own = text };
	struct outcome *v;
	struct object_id id;
	char by[256];
	size_t n;
	int failed = 0;

	if (!object_id_parse(text, &id))
		return refuse_release(text, NULL, 0, e);
	engine_who(call, by, sizeof(by));
	if (engine_named(call, &named, e) < 0)
		return -1;
	n = named ? named->repository.region_count : 1;
	v = outcomes_of(named, e);
	if (!v || ask_releases(call, named, &releases, e)) {
		free(v);
		return -1;
	}
	if (release_all(call, named, &releases, id, by, v, n)) {
		record_release(call, named, text, v, n);
		write_released(call, named, text, v, n);
	} else {
		failed = refuse_release(text, v, n, e);
	}
	hold_copies_done(&releases.holds);
	json_decref(releases.log);
	free(v);
	return failed;
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

static const struct operation_param hold_add_params[] = {
	OP_CHOOSE_PARAM(false),
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "hold every snapshot of this source, also future ones, "
		  "besides the snapshots that are named" },
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

const struct operation op_hold_rows[] = {
	{ .verb = "hold add",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = hold_add_params,
	  .view = "hold held_in:list follows_in:list=follows "
		  "unheld:list=not_held",
	  .summary = "put snapshots, or a source, under a legal hold",
	  .help = "With --repo by name it has force at once in every region "
		  "that can be reached (held_in); a region that cannot gets "
		  "it when it is next replicated to (follows_in), is named "
		  "with the reason, and the exit status is 3. Unheld are "
		  "snapshots whose own region took no hold: they are under it "
		  "there once it followed, and a note says how to have that at "
		  "once, and how to take the hold back. When the region that "
		  "is asked first takes none, nothing is held anywhere. "
		  "Latest is the newest in any region that can be reached; a "
		  "note says when it may be behind. A run's "
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
	  .view = "released released_in:list still_held_in:list=still_held",
	  .summary = "release a legal hold",
	  .help = "With --repo by name in every region that can be reached "
		  "(released_in). One that cannot, or whose store does not "
		  "let go, still has it (still_held_in): it is named with the "
		  "reason, and the exit status is 3. The service lets go of "
		  "it there with the first garbage collection that reaches "
		  "it, as the audit log has who asked for it; \"snapctl "
		  "status\" tells as long as that is to come. With --repo as "
		  "a location it is released there alone.\n\n"
		  "In a region whose store guards objects, the legal holds "
		  "that no other hold needs are released there, too. A "
		  "release that is written in a repository, and that the "
		  "service was not told, lets go of nothing there: with a "
		  "writer's key it can be forged.\n\n" ENGINE_RECORD_HELP,
	  .run = hold_release },
	{ .verb = "hold list",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .view = "id time:time by case custodian source snapshots:list",
	  .summary = "list the legal holds in force",
	  .run = hold_list },
	{ 0 },
};
