/* Collecting garbage by hand. */
#include "service/op_gc.h"

#include <assert.h>
#include <stdio.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/repository/gc.h"

struct collecting {
	struct operation_call *call;
	const char *stage;
};

static void on_progress(void *arg, const struct gc_progress *p)
{
	struct collecting *x = arg;

	if (x->stage != p->stage) {
		x->stage = p->stage;
		progress_stage(x->call->progress, p->stage, 0);
	}
	progress_set(x->call->progress, p->done, 0);
}

static void write_blocked(struct json *j, const struct gc_result *x)
{
	char id[OBJECT_ID_TEXT];

	json_key(j, "blocked_by");
	json_begin_list(j);
	for (uint64_t i = 0; i < x->n_blocked && i < GC_BLOCKERS_MAX; i++) {
		const struct gc_blocker *b = &x->blocked[i];

		object_id_format(b->id, id);
		json_begin_object(j);
		json_kv_str(j, "kind", object_kind_name(b->kind));
		json_kv_str(j, "id", id);
		json_kv_str(j, "host", b->host);
		json_kv_str(j, "why", b->why);
		json_end_object(j);
	}
	json_end_list(j);
}

/* Where nothing is, because nothing is guarded, nothing is said. */
static void write_locked(struct json *j, const struct gc_result *x)
{
	if (!x->locked && !x->bytes_locked && !x->snapshots_locked)
		return;
	json_kv_uint(j, "locked", x->locked);
	json_kv_uint(j, "bytes_locked", x->bytes_locked);
	json_kv_uint(j, "snapshots_locked", x->snapshots_locked);
	if (x->locked_until.sec)
		json_kv_instant(j, "locked_until", x->locked_until);
}

void op_gc_write(struct json *j, const struct gc_result *x)
{
	json_kv_uint(j, "marked", x->marked);
	json_kv_uint(j, "deleted", x->deleted);
	json_kv_uint(j, "snapshots", x->snapshots);
	json_kv_uint(j, "bytes_freed", x->bytes_freed);
	json_kv_uint(j, "bytes_pending", x->bytes_pending);
	write_locked(j, x);
	json_kv_uint(j, "bytes_copied", x->bytes_copied);
	json_kv_uint(j, "chunks", x->chunks);
	json_kv_uint(j, "chunks_needed", x->chunks_live);
	json_kv_uint(j, "index_merged", x->index_merged);
	json_kv_uint(j, "sessions_ended", x->sessions_ended);
	write_blocked(j, x);
}

void op_gc_write_guards(struct json *j, const struct guards_result *x,
			const struct err *why)
{
	if (!x->can && !why->code)
		return;
	json_key(j, "object_lock");
	json_begin_object(j);
	json_kv_uint(j, "snapshots", x->snapshots);
	json_kv_uint(j, "objects", x->objects);
	json_kv_uint(j, "lengthened", x->lengthened);
	json_kv_uint(j, "held", x->held);
	json_kv_uint(j, "released", x->released);
	if (why->code)
		json_kv_str(j, "error", why->text);
	json_end_object(j);
}

/* The region that --repo and --region mean; named as engine_named() says. */
static int open_region(const struct operation_call *call,
		       const struct resource *named,
		       const struct resource_region **ret_region,
		       struct repository **ret, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	const char *region = args_text(call->args, "region");

	*ret_region = named ? resource_region(named, region) : NULL;
	if (region && !named) {
		(void)err_set(e, ERR_USAGE,
			      "regions have names only where --repo is the "
			      "name of a repository");
		return err_hint(e, "give the region's location as --repo");
	}
	if (region && !*ret_region)
		return err_set(e, ERR_NOT_FOUND,
			       "repository %s declares no region %s",
			       text_quote_str(named->name).s,
			       text_quote_str(region).s);
	assert(!named || *ret_region); /* it has a primary one */
	if (engine_named_key(call, named, &key, e))
		return -1;
	return repository_open(named ? (*ret_region)->url
				     : args_text(call->args, "repo"),
			       key, ret, e);
}

/* What is gone for good, also before a failure. */
static void record(const struct operation_call *call,
		   const struct resource *named,
		   const struct resource_region *region,
		   const struct gc_result *x)
{
	char object[sizeof("Repository/") + RESOURCE_NAME_MAX];
	char snapshots[24], packs[24], freed[24];
	const struct engine_deed d = { .action = "repo.gc",
				       .object = object,
				       .region = region ? region->name : NULL,
				       .details = {
					       { "snapshots", snapshots },
					       { "packs", packs },
					       { "bytes_freed", freed } } };

	if (!named || (x->snapshots == 0 && x->deleted == 0))
		return;
	(void)snprintf(object, sizeof(object), "Repository/%s", named->name);
	(void)snprintf(snapshots, sizeof(snapshots), "%ju",
		       (uintmax_t)x->snapshots);
	(void)snprintf(packs, sizeof(packs), "%ju", (uintmax_t)x->deleted);
	(void)snprintf(freed, sizeof(freed), "%ju", (uintmax_t)x->bytes_freed);
	engine_record(call, named, &d);
}

static int gc(struct operation_call *call, struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;
	CLEANUP(repository_close) struct repository *r = NULL;
	const struct resource_region *region;
	struct collecting x = { .call = call };
	char host[256];
	struct gc_options o = {
		.now = call->now,
		.grace_ms = -1,
		.rewrite_bytes = args_size(call->args, "rewrite"),
		.host = host,
		.cancel = call->stop,
		.progress = on_progress,
		.arg = &x,
	};
	const struct guards_options go = { .now = call->now,
					   .cancel = call->stop };
	struct guards_result guards;
	struct err unguarded = { 0 };
	struct gc_result result = { 0 };
	int failed;

	engine_host(host, sizeof(host));
	if (args_text(call->args, "grace"))
		o.grace_ms = args_duration_ms(call->args, "grace");
	if (engine_named(call, &named, e) < 0 ||
	    open_region(call, named, &region, &r, e))
		return -1;
	if (guards_run(r, &go, &guards, &unguarded) < 0)
		progress_note(call->progress, "note: %s", unguarded.text);
	failed = gc_run(r, &o, &result, e);
	record(call, named, region, &result);
	if (failed)
		return -1;
	json_begin_object(call->reply);
	op_gc_write(call->reply, &result);
	op_gc_write_guards(call->reply, &guards, &unguarded);
	json_end_object(call->reply);
	return 0;
}

static const struct operation_param gc_params[] = {
	{ .name = "region",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "in this region, where --repo is a name; else the primary "
		  "one" },
	{ .name = "grace",
	  .kind = PARAM_OPTION,
	  .type = PARAM_DURATION,
	  .value = "D",
	  .help = "delete what was marked, and let go of snapshots that were "
		  "deleted, longer than D ago; 0s: all at once (not given: a "
		  "day, and what each deletion said)" },
	{ .name = "rewrite",
	  .kind = PARAM_OPTION,
	  .type = PARAM_SIZE,
	  .fallback = "4G",
	  .value = "SIZE",
	  .help = "copy at most so much out of packs that are mostly dead or "
		  "small" },
	{ 0 },
};

const struct operation op_gc_rows[] = {
	{ .verb = "repo gc",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_CHANGES,
	  .params = gc_params,
	  .view = "marked:count deleted:count snapshots:count bytes_freed:size "
		  "bytes_pending:size locked:count bytes_locked:size "
		  "snapshots_locked:count locked_until:time "
		  "bytes_copied:size chunks:count "
		  "chunks_needed:count index_merged:count sessions_ended:count object_lock:fields "
		  "blocked_by",
	  .summary = "give back the space of what no snapshot needs",
	  .help = "Works in two steps, so that nothing goes by mistake: packs "
		  "that nothing needs are marked, and are looked at again "
		  "before they are deleted, a day later or more. What is "
		  "needed by then after all is copied out of them first. "
		  "Snapshots that were deleted can be undeleted until their "
		  "time is over; those under a hold or a lock stay.\n\n"
		  "Nobody is locked out meanwhile: snapshots, copies, restores "
		  "and other collections go on. A session that was there when "
		  "a pack was marked, and still is, keeps that pack "
		  "(blocked_by tells which); one that stands still for two "
		  "minutes is given up, and finds out before it can publish "
		  "anything.\n\n"
		  "Where the region's store guards objects (object lock, "
		  "immutable files), what nothing needs any more stays until "
		  "its lock is over: locked and bytes_locked tell how much "
		  "waits, locked_until for how long; snapshots_locked are "
		  "deleted ones whose manifest may not go yet. There, what "
		  "locked snapshots need is locked ahead of need first, and "
		  "what is under a hold gets a legal hold (object_lock).\n\n"
		  "Packs that are mostly dead, or many small ones, are written "
		  "anew, and the index is kept in few objects. Nothing at all "
		  "is deleted when anything is damaged or missing, or the "
		  "store lists less than there was: the exit status is then "
		  "4.\n\n"
		  "Works in one region: the one that --region names, or the "
		  "primary one, of a declared repository, or that at the "
		  "location. The daemon collects in all regions by itself, "
		  "every gc.every of the Repository; \"snapctl run list --kind "
		  "maintenance\" shows it.\n\n" ENGINE_RECORD_HELP,
	  .run = gc },
	{ 0 },
};
