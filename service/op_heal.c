/* region heal: what a region lacks, out of the others. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_copy_locks.h"
#include "service/engine_named.h"
#include "service/engine_rules.h"
#include "service/findings.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/heal.h"

/* What is left is named to a person; --json has all. */
#define LEFT_SHOWN 20

/* Another region, and whether it could be opened. */
struct other {
	const char *name; /* or NULL: it was given as a location */
	const char *url;
	uint64_t down_bytes; /* at most, a second; 0: no limit */
	struct repository *r;
	struct heal_source *source; /* NULL: it could not, and why */
	struct err why;
};

struct healing {
	struct operation_call *call;
	struct resource *named; /* or NULL: --repo is a location */
	struct keyring_credential *key;
	const struct resource_region *region; /* or NULL */
	const char *url;
	struct other *others;
	size_t n;
	struct heal_source *sources;
	size_t n_sources;
	const char *stage;
	struct engine_copy_locks locks;
};

static void healing_done(struct healing *x)
{
	for (size_t i = 0; i < x->n; i++)
		repository_close(x->others[i].r);
	free(x->others);
	free(x->sources);
	engine_copy_locks_done(&x->locks);
	keyring_credential_free(x->key);
	resource_free(x->named);
}

/* ---- Which regions ------------------------------------------------------ */

static int find_region(struct healing *x, struct err *e)
{
	const char *name = args_text(x->call->args, "name");

	if (name)
		return engine_named_region(x->named, name, &x->region, &x->url,
					   e);
	if (x->named) {
		x->region = resource_region(x->named, NULL);
		x->url = x->region->url;
	} else {
		x->url = args_text(x->call->args, "repo");
	}
	return 0;
}

static void add_other(struct healing *x, const struct resource_region *region,
		      const char *url)
{
	if (store_local_same(url, x->url))
		return;
	x->others[x->n++] =
		(struct other){ .name = region ? region->name : NULL,
				.url = url,
				.down_bytes = region ? region->down_bytes : 0 };
}

/* The one that is meant, or all others that are declared, the primary first. */
static int find_others(struct healing *x, struct err *e)
{
	const size_t n = x->named ? x->named->repository.region_count : 0;
	const char *from = args_text(x->call->args, "from");
	const struct resource_region *region;
	const char *url;

	x->others = calloc(n + 1, sizeof(*x->others));
	if (!x->others)
		return err_oom(e);
	if (from) {
		if (engine_named_region(x->named, from, &region, &url, e))
			return -1;
		add_other(x, region, url);
	}
	for (int primary = 1; !from && primary >= 0; primary--)
		for (size_t i = 0; i < n; i++) {
			region = &x->named->repository.regions[i];
			if (region->primary == primary)
				add_other(x, region, region->url);
		}
	/* --repo itself may be what the region is healed from. */
	if (!x->n && !x->named)
		add_other(x, NULL, args_text(x->call->args, "repo"));
	if (x->n)
		return 0;
	(void)err_set(e, ERR_USAGE, "there is no other region to heal %s from",
		      text_quote_str(x->url).s);
	return err_hint(e, "name one with --from, another than itself");
}

static int open_others(struct healing *x, struct err *e)
{
	x->sources = calloc(x->n + 1, sizeof(*x->sources));
	if (!x->sources)
		return err_oom(e);
	for (size_t i = 0; i < x->n; i++) {
		struct other *o = &x->others[i];

		if (operation_stopped(x->call, e))
			return -1;
		assert(o->url);
		if (repository_open(o->url, x->key, &o->r, &o->why)) {
			/* What was asked for by name is to be there. */
			if (x->n == 1) {
				*e = o->why;
				return -1;
			}
			progress_note(x->call->progress,
				      "warning: region %s cannot be asked: %s",
				      o->name ? o->name : o->url, o->why.text);
			operation_partial(x->call);
			continue;
		}
		o->source = &x->sources[x->n_sources++];
		o->source->r = o->r;
		o->source->read_limit = o->down_bytes;
	}
	if (x->n_sources)
		return 0;
	*e = x->others[0].why;
	return err_wrap(e, "no other region can be asked");
}

/* ---- Telling ------------------------------------------------------------ */

static void on_progress(void *arg, const struct check_progress *p)
{
	struct healing *x = arg;

	if (x->stage != p->stage) {
		x->stage = p->stage;
		progress_stage(x->call->progress, p->stage, p->bytes_total);
	}
	progress_set(x->call->progress, p->done, p->bytes);
}

static const char *region_name(const struct healing *x)
{
	return x->region ? x->region->name : NULL;
}

static void write_sources(const struct healing *x, struct json *j)
{
	json_key(j, "from");
	json_begin_list(j);
	for (size_t i = 0; i < x->n; i++) {
		const struct other *o = &x->others[i];
		const struct heal_source *s = o->source;
		const struct err *why = s ? &s->why : &o->why;

		json_begin_object(j);
		json_kv_str(j, "region", o->name);
		json_kv_str(j, "url", o->url);
		json_kv_uint(j, "chunks", s ? s->chunks : 0);
		json_kv_uint(j, "bytes", s ? s->bytes : 0);
		json_kv_uint(j, "snapshots", s ? s->snapshots : 0);
		if (why->code)
			json_kv_str(j, "error", why->text);
		json_end_object(j);
	}
	json_end_list(j);
}

static void write_snapshots(struct json *j, const struct heal_result *r)
{
	char id[OBJECT_ID_TEXT];

	json_key(j, "snapshots");
	json_begin_list(j);
	for (size_t i = 0; i < r->n_snapshots; i++) {
		object_id_format(r->snapshots[i], id);
		json_str(j, id);
	}
	json_end_list(j);
	json_kv_uint(j, "snapshot_count", r->n_snapshots);
	json_key(j, "failed");
	json_begin_list(j);
	for (size_t i = 0; i < r->n_failures && i < HEAL_FAILURES_MAX; i++) {
		object_id_format(r->failures[i].snapshot, id);
		json_begin_object(j);
		json_kv_str(j, "snapshot", id);
		json_kv_str(j, "error", r->failures[i].why);
		json_end_object(j);
	}
	json_end_list(j);
}

static bool only_receipts_left(const struct heal_result *r)
{
	const struct check_result *left = heal_left(r);

	for (uint64_t i = 0; i < left->n_findings && i < CHECK_FINDINGS_MAX;
	     i++)
		if (!findings_settled(&left->findings[i]) &&
		    !left->findings[i].is_absent)
			return false;
	return left->lost == 0 && r->n_failures == 0;
}

/* With --dry-run: what is in its place only after a healing. */
static const char *advice(const struct healing *x, const struct heal_result *r)
{
	if (r->sound)
		return NULL;
	if (args_switch(x->call->args, "dry-run"))
		return "nothing was changed";
	if (only_receipts_left(r))
		return "all data is there, and no region that could be asked "
		       "has the receipts that are left: `snapctl repo check "
		       "--repair` writes them by the times that the "
		       "snapshots' writers claim";
	return "no region that could be asked has what is left: `snapctl "
	       "repo check --repair` gives it up, so that the next snapshot "
	       "of the same paths stores it again";
}

static void write_healed(const struct healing *x, const struct heal_result *r,
			 double seconds)
{
	const struct check_result *left = heal_left(r);
	struct json *j = x->call->reply;
	const char *what = advice(x, r);

	json_begin_object(j);
	json_kv_str(j, "region", region_name(x));
	json_kv_str(j, "url", x->url);
	json_kv_bool(j, "sound", r->sound);
	json_kv_bool(j, "dry_run", args_switch(x->call->args, "dry-run"));
	json_kv_str(j, "level",
		    args_switch(x->call->args, "read-data") ? "data"
							    : "structure");
	json_kv_uint(j, "damaged_count", findings_unsettled(&r->found));
	json_kv_uint(j, "lost", r->found.lost);
	json_kv_uint(j, "offered", r->offered);
	json_kv_uint(j, "fetched", r->fetched);
	json_kv_uint(j, "bytes", r->bytes);
	json_kv_uint(j, "salvaged", r->salvaged);
	json_kv_uint(j, "indexed", r->indexed);
	json_kv_uint(j, "quarantined", r->quarantined);
	json_kv_uint(j, "records", r->records);
	write_snapshots(j, r);
	json_kv_uint(j, "deleted_there", r->deleted);
	json_kv_uint(j, "let_go", r->let_go);
	write_sources(x, j);
	json_key(j, "left");
	findings_write(j, left, false);
	json_kv_uint(j, "left_count", findings_unsettled(left));
	json_kv_double(j, "seconds", seconds);
	if (what)
		json_kv_str(j, "advice", what);
	json_end_object(j);
}

/* What cannot be healed has a name, for who reads no JSON, too. */
static void name_left(const struct healing *x, const struct heal_result *r)
{
	const struct check_result *left = heal_left(r);
	struct progress *p = x->call->progress;
	char id[OBJECT_ID_TEXT];
	unsigned int shown = 0;

	for (uint64_t i = 0; i < left->n_findings && i < CHECK_FINDINGS_MAX &&
			     shown < LEFT_SHOWN;
	     i++) {
		const struct check_finding *f = &left->findings[i];

		if (findings_settled(f))
			continue;
		shown++;
		if (f->is_absent)
			progress_note(p, "%s: %s", f->object, f->message);
		else
			progress_note(p,
				      "%s: %s; snapshots that lose by it: %ju",
				      f->object, f->message,
				      (uintmax_t)f->n_snapshots);
	}
	for (size_t i = 0; i < r->n_failures && i < LEFT_SHOWN; i++) {
		object_id_format(r->failures[i].snapshot, id);
		progress_note(p, "snapshot %s: %s", id, r->failures[i].why);
	}
}

static void name_sources(const struct healing *x)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct other *o = &x->others[i];

		if (!o->source || !o->source->why.code)
			continue;
		progress_note(x->call->progress,
			      "warning: region %s did not give all it has: %s",
			      o->name ? o->name : o->url, o->source->why.text);
		operation_partial(x->call);
	}
}

/* Nothing is to be told of where nothing was wrong. */
static void record(const struct healing *x, const struct heal_result *r)
{
	char object[sizeof("Repository/") + RESOURCE_NAME_MAX];
	char chunks[24], snapshots[24];
	const struct engine_deed d = {
		.action = "region.heal",
		.object = object,
		.region = region_name(x),
		.details = { { "chunks", chunks },
			     { "snapshots", snapshots },
			     { "sound", r->sound ? "yes" : "no" } }
	};

	if (!x->named || args_switch(x->call->args, "dry-run") ||
	    !(r->fetched || r->salvaged || r->indexed || r->quarantined ||
	      r->records || r->n_snapshots))
		return;
	(void)snprintf(object, sizeof(object), "Repository/%s", x->named->name);
	(void)snprintf(chunks, sizeof(chunks), "%ju",
		       (uintmax_t)(r->fetched + r->salvaged));
	(void)snprintf(snapshots, sizeof(snapshots), "%zu", r->n_snapshots);
	engine_record(x->call, x->named, &d);
}

/* ---- What the region would let go of ------------------------------------- */

/* By what all of the others have together. */
static int unwanted(void *arg, struct repository *to, struct object_id **ret,
		    size_t *ret_n, struct err *e)
{
	const struct healing *x = arg;
	struct repository **from = calloc(x->n_sources + 1,
					  sizeof(struct repository *));
	CLEANUP(engine_rules_done) struct engine_rules rules;
	int failed;

	engine_rules_init(&rules, x->call, x->named,
			  engine_rules_region(x->named, x->url));
	if (!from)
		return err_oom(e);
	for (size_t i = 0; i < x->n_sources; i++)
		from[i] = x->sources[i].r;
	failed = engine_rules_unwanted(&rules, from, x->n_sources, to, ret,
				       ret_n, e);
	free((void *)from);
	return failed;
}

/* ---- How the region locks what comes ------------------------------------ */

static int lock_of(void *arg, const struct repository_snapshot *s,
		   int64_t *ret_ms, struct err *e)
{
	struct healing *x = arg;

	return engine_copy_locks_of(&x->locks, s, ret_ms, e);
}

static int look_for_locks(struct healing *x, struct heal_options *o,
			  struct err *e)
{
	const struct resource_region *region = engine_rules_region(x->named,
								   x->url);

	x->locks.call = x->call;
	x->locks.named = x->named;
	if (!region)
		return 0;
	if (engine_copy_locks_own(x->call, x->named, region, &o->lock_ms, e))
		return -1;
	o->lock_of = o->lock_ms ? NULL : lock_of;
	return 0;
}

/* ---- The operation ------------------------------------------------------ */

static int act(struct healing *x, struct err *e)
{
	CLEANUP(heal_result_done) struct heal_result r = { .sound = false };
	struct operation_call *call = x->call;
	char host[256];
	struct heal_options o = {
		.dry_run = args_switch(call->args, "dry-run"),
		.read_data = args_switch(call->args, "read-data"),
		.now = call->now,
		.host = host,
		.cancel = call->stop,
		.progress = on_progress,
		.unwanted = unwanted,
		.arg = x,
	};
	const int64_t begun_ms = clock_boot_ms();

	engine_host(host, sizeof(host));
	if (engine_named(call, &x->named, e) < 0 ||
	    engine_named_key(call, x->named, &x->key, e) || find_region(x, e) ||
	    find_others(x, e) || open_others(x, e))
		return -1;
	if (engine_rules_apart(call, x->named, &o.apart, e) ||
	    look_for_locks(x, &o, e))
		return -1;
	o.from = x->sources;
	o.n_from = x->n_sources;
	if (x->region)
		o.write_limit = x->region->up_bytes;
	if (heal_run(x->url, x->key, &o, &r, e))
		return -1;
	record(x, &r);
	name_left(x, &r);
	name_sources(x);
	if (!r.sound)
		operation_damaged(call);
	write_healed(x, &r, (double)(clock_boot_ms() - begun_ms) / 1000);
	return 0;
}

static int heal(struct operation_call *call, struct err *e)
{
	struct healing x = { .call = call };
	const int failed = act(&x, e);

	healing_done(&x);
	return failed;
}

static const struct operation_param heal_params[] = {
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_PATH,
	  .value = "REGION|URL",
	  .help = "the region to heal; the one that --repo means without" },
	{ .name = "from",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "REGION|URL",
	  .help = "take what is lacking from this region alone; from all that "
		  "are declared without, the primary first" },
	{ .name = "read-data",
	  .kind = PARAM_SWITCH,
	  .help = "read and verify every stored byte of the region first" },
	{ .name = "dry-run",
	  .kind = PARAM_SWITCH,
	  .help = "tell what is lacking, and who lists it; change nothing" },
	{ 0 }
};

const struct operation op_heal_rows[] = {
	{ .verb = "region heal",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_CHANGES,
	  .params = heal_params,
	  .view = "region url sound damaged_count:count lost:count "
		  "fetched:count bytes:size salvaged:count "
		  "snapshot_count:count deleted_there:count let_go:count "
		  "left_count:count seconds advice",
	  .summary = "bring back what a region lost, from the others",
	  .help = "What snapshots miss in the region is found by inventory "
		  "(with --read-data also what no longer reads as it was "
		  "written), and comes from the first region that has it "
		  "soundly: each chunk is opened before it is sent, sealed as "
		  "it is. So do snapshots whose manifests were lost or are "
		  "damaged, lost holds, locks and receipts, and what the "
		  "region is opened by, where that was lost. What any of "
		  "the regions has deleted is not made anew, unless it did so "
		  "by a policy of its own (deleted_there "
		  "counts it; `snapctl replicate SNAP` from a region that "
		  "still has it does); nor, with --repo by name, what the "
		  "region's own rules would let go of at once (let_go counts "
		  "it). It is locked as the region's own policy says, or as "
		  "in the others; with --repo by name, not by what is another "
		  "region's own policy.\n\n"
		  "Nothing is overwritten or deleted, and nothing given up "
		  "that is not in its place again: the exit status is 4 when "
		  "something is left, and 3 when a region could not be asked, "
		  "each of which is named. What arrived before an "
		  "interruption is not sent again. Snapshots, copies and "
		  "collections go on meanwhile. " ENGINE_RECORD_HELP "\n\n"
		  "The service does this by itself where the step \"verify\" "
		  "of a run finds a region damaged, or short of what it had: "
		  "by hand it is for those who will not wait, and for "
		  "--read-data.",
	  .run = heal },
	{ 0 }
};
