/* Regions: replicate; region add, list, status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_copy_locks.h"
#include "service/engine_locks.h"
#include "service/engine_named.h"
#include "service/engine_rules.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/replicate.h"

/* What the operations here begin with: the region that --repo means. */
struct origin {
	struct operation_call *call;
	struct resource *named; /* or NULL: --repo is a location */
	struct keyring_credential *key;
	const char *url;
	struct repository *from;
};

static void origin_done(struct origin *o)
{
	repository_close(o->from);
	keyring_credential_free(o->key);
	resource_free(o->named);
}
static inline void cleanup_origin_done(struct origin *o)
{
	origin_done(o);
}

static int origin_open(struct origin *o, struct err *e)
{
	if (engine_named(o->call, &o->named, e) < 0 ||
	    engine_named_key(o->call, o->named, &o->key, e))
		return -1;
	o->url = o->named ? resource_region(o->named, NULL)->url
			  : args_text(o->call->args, "repo");
	return repository_open(o->url, o->key, &o->from, e);
}

static const char *repository_name(const struct origin *o)
{
	return o->named ? o->named->name : NULL;
}

/* ---- replicate ---------------------------------------------------------- */

struct copying {
	struct origin origin;
	struct repository *to;
	const struct resource_region *region; /* or NULL */
	struct replicate_options options;
	struct object_id *only;
	struct object_id *skip; /* what the region would let go at once */
	struct engine_copy_locks locks;
};

static void copying_done(struct copying *x)
{
	repository_close(x->to);
	free(x->only);
	free(x->skip);
	engine_copy_locks_done(&x->locks);
	origin_done(&x->origin);
}
static inline void cleanup_copying_done(struct copying *x)
{
	copying_done(x);
}

/* Where --to leads, and how fast. */
static int find_target(struct copying *x, const char **ret_url, struct err *e)
{
	const struct resource *named = x->origin.named;

	if (engine_named_region(named, args_text(x->origin.call->args, "to"),
				&x->region, ret_url, e))
		return -1;
	if (x->region) {
		x->options.write_limit = x->region->up_bytes;
		x->options.read_limit =
			resource_region(named, NULL)->down_bytes;
	} else {
		x->region = engine_rules_region(named, *ret_url);
	}
	return 0;
}

/* The target must be a region: a typing error must not make one. */
static int open_target(struct copying *x, const char *url, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;
	uint64_t size;
	int found;

	if (store_open(url, false, &s, e))
		return -1;
	found = store_size(s, "config", &size, e);
	if (found < 0)
		return -1;
	if (!found) {
		(void)err_set(e, ERR_NOT_FOUND, "there is no region at %s yet",
			      text_quote_str(url).s);
		return err_hint(e,
				"`snapctl region add NAME URL` makes it one");
	}
	if (store_local_same(s->url, repository_store(x->origin.from)->url))
		return err_set(e, ERR_USAGE, "%s would be copied onto itself",
			       text_quote_str(url).s);
	if (replicate_settle(repository_store(x->origin.from), s, x->origin.key,
			     e))
		return -1;
	return repository_open(url, x->origin.key, &x->to, e);
}

static int choose(struct copying *x, struct err *e)
{
	const struct args *args = x->origin.call->args;
	const size_t n = args_count(args, "snapshot");

	if (n == 0)
		return 0;
	x->only = calloc(n, sizeof(*x->only));
	if (!x->only)
		return err_oom(e);
	for (size_t i = 0; i < n; i++) {
		struct repository_snapshot s;
		int failed;

		manifest_init(&s.manifest);
		failed = engine_snapshot(x->origin.call, x->origin.from,
					 args_nth(args, "snapshot", i), &s, e);
		x->only[i] = s.manifest.snapshot;
		repository_snapshot_done(&s);
		if (failed)
			return -1;
	}
	x->options.only = x->only;
	x->options.n_only = n;
	return 0;
}

/* What is named is meant. */
static int look_for_unwanted(struct copying *x, struct err *e)
{
	const struct origin *o = &x->origin;
	struct replicate_options *options = &x->options;
	CLEANUP(engine_rules_done) struct engine_rules rules;

	engine_rules_init(&rules, o->call, o->named, x->region);
	if (engine_rules_apart(o->call, o->named, &options->apart, e) < 0)
		return -1;
	if (!options->only &&
	    engine_rules_unwanted(&rules, &o->from, 1, x->to, &x->skip,
				  &options->n_skip, e) < 0)
		return -1;
	options->skip = x->skip;
	return 0;
}

static int lock_of(void *arg, const struct repository_snapshot *s,
		   int64_t *ret_ms, struct err *e)
{
	struct copying *x = (struct copying *)arg;

	return engine_copy_locks_of(&x->locks, s, ret_ms, e);
}

/* A lock of the region that it comes from says nothing of this one. */
static int look_for_locks(struct copying *x, struct err *e)
{
	struct replicate_options *options = &x->options;

	x->locks.call = x->origin.call;
	x->locks.named = x->origin.named;
	if (!x->region)
		return 0;
	if (engine_copy_locks_own(x->origin.call, x->origin.named, x->region,
				  &options->lock_ms, e))
		return -1;
	options->lock_of = options->lock_ms ? NULL : lock_of;
	return 0;
}

static void on_progress(void *arg, const struct replicate_progress *p)
{
	const struct copying *x = (const struct copying *)arg;

	progress_set(x->origin.call->progress, p->chunks, p->bytes);
}

static int on_done(void *arg, const struct replicate_one *one, struct err *e)
{
	struct copying *x = (struct copying *)arg;
	struct json *j = x->origin.call->reply;
	char id[OBJECT_ID_TEXT];

	(void)e;
	object_id_format(one->snapshot->manifest.snapshot, id);
	json_begin_object(j);
	json_kv_str(j, "snapshot", id);
	json_kv_uint(j, "bytes", one->bytes);
	if (one->why) {
		json_kv_str(j, "error", one->why->text);
		operation_damaged(x->origin.call);
	}
	json_end_object(j);
	return 0;
}

static int replicate(struct operation_call *call, struct err *e)
{
	CLEANUP(copying_done) struct copying x = { .origin = { .call = call } };
	struct json *j = call->reply;
	char told[REPLICATE_UNOPENED_TEXT];
	struct replicate_unopened unopened;
	struct replicate_result r;
	const int64_t begun_ms = clock_boot_ms();
	const char *url;
	char host[256];

	engine_host(host, sizeof(host));
	/* The cleanup frees x; clang-tidy 14 misses those of structs. */
	if (origin_open(&x.origin, e) || find_target(&x, &url, e) ||
	    open_target(&x, url, e) || choose(&x, e) ||
	    look_for_unwanted(&x, e) || look_for_locks(&x, e))
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	if (args_text(call->args, "limit"))
		x.options.write_limit = args_size(call->args, "limit");
	x.options.host = host;
	x.options.cancel = call->stop;
	x.options.progress = on_progress;
	x.options.done = on_done;
	x.options.arg = &x;
	progress_stage(call->progress, "copying", 0);
	json_begin_object(j);
	json_kv_str(j, "to", repository_store(x.to)->url);
	json_key(j, "snapshots");
	json_begin_list(j);
	if (replicate_run(x.origin.from, x.to, &x.options, &r, e))
		return -1;
	json_end_list(j);
	json_kv_uint(j, "copied", r.copied);
	json_kv_uint(j, "present", r.present);
	json_kv_uint(j, "deleted_there", r.deleted);
	json_kv_uint(j, "let_go", x.options.n_skip);
	json_kv_uint(j, "failed", r.failed);
	json_kv_uint(j, "records", r.records);
	json_kv_uint(j, "chunks", r.chunks);
	json_kv_uint(j, "bytes", r.bytes);
	json_kv_double(j, "seconds",
		       (double)(clock_boot_ms() - begun_ms) / 1000.0);
	json_end_object(j);
	unopened = replicate_unopened_sum(&r.unopened_from,
					  &r.unopened_records);
	if (unopened.n)
		progress_note(call->progress, "warning: %s: %s",
			      repository_store(x.origin.from)->url,
			      replicate_unopened_text(&unopened, told));
	if (r.unopened_to.n)
		progress_note(call->progress, "warning: %s: %s",
			      repository_store(x.to)->url,
			      replicate_unopened_text(&r.unopened_to, told));
	if (unopened.n || r.unopened_to.n)
		operation_damaged(call);
	return 0;
}

/* ---- region add --------------------------------------------------------- */

/* What a manifest lacks to know the region. */
static int write_advice(const struct origin *o, const char *name,
			const char *url, struct err *e)
{
	const struct resource_region *known =
		o->named ? resource_region(o->named, name) : NULL;
	struct json *j = o->call->reply;
	CLEANUP(buf_done) struct buf line;
	const bool declared = known && store_local_same(known->url, url);

	buf_init(&line, 8192);
	json_begin_object(j);
	json_kv_str(j, "region", name);
	json_kv_str(j, "url", url);
	json_kv_str(j, "repository", repository_name(o));
	json_kv_bool(j, "declared", declared);
	if (!declared) {
		if (buf_addf(&line, e, "- {name: %s, url: \"%s\"}", name, url))
			return -1;
		json_kv_str(j, "add_to_regions", buf_str(&line));
	}
	json_end_object(j);
	return 0;
}

static int add(struct operation_call *call, struct err *e)
{
	CLEANUP(origin_done) struct origin o = { .call = call };
	CLEANUP(store_close) struct store *s = NULL;
	const char *name = args_text(call->args, "name");
	const char *url = args_text(call->args, "url");

	if (!resource_name_valid(name)) {
		(void)err_set(e, ERR_USAGE, "%s is no name of a region",
			      text_quote_str(name).s);
		return err_hint(e, "names are lower-case letters, digits and "
				   "\"-\"");
	}
	if (origin_open(&o, e) || store_open(url, true, &s, e))
		return -1;
	if (store_local_same(s->url, repository_store(o.from)->url))
		return err_set(e, ERR_USAGE, "%s is where the repository is",
			       text_quote_str(url).s);
	if (replicate_settle(repository_store(o.from), s, o.key, e))
		return -1;
	return write_advice(&o, name, s->url, e);
}

/* ---- region list, status ------------------------------------------------ */

static void write_region(struct json *j, const struct resource_region *r)
{
	json_kv_str(j, "region", r->name);
	json_kv_str(j, "url", r->url);
	json_kv_bool(j, "primary", r->primary);
	json_kv_str(j, "policy", r->policy);
}

static int list(struct operation_call *call, struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;
	struct json *j = call->reply;
	const struct resource_region alone = {
		.url = args_text(call->args, "repo"), .primary = true
	};

	if (engine_named(call, &named, e) < 0)
		return -1;
	json_begin_list(j);
	for (size_t i = 0; i < (named ? named->repository.region_count : 1);
	     i++) {
		json_begin_object(j);
		write_region(j, named ? &named->repository.regions[i] : &alone);
		json_end_object(j);
	}
	json_end_list(j);
	return 0;
}

/* One region as it stands. */
struct standing {
	uint64_t snapshots;
	uint64_t missing;
	uint64_t let_go;
	uint64_t refused;
	struct replicate_compared unopened;
	uint64_t stored_bytes;
	bool has_newest;
	struct object_id newest;
	struct instant received;
	struct engine_locks locks; /* of the newest */
};

static int see_snapshot(void *arg, const struct repository_snapshot *s,
			unsigned int where, struct err *e)
{
	struct standing *x = (struct standing *)arg;

	(void)e;
	if (where & REPLICATE_REFUSED) {
		x->refused++;
		x->let_go += where & REPLICATE_ALONE && where & REPLICATE_FROM;
	} else if (where == REPLICATE_FROM) {
		x->missing++;
	}
	if (!(where & REPLICATE_TO))
		return 0;
	x->snapshots++;
	if (s->manifest.state == MANIFEST_COMPLETE) {
		x->has_newest = true; /* they come in order of receipt */
		x->newest = s->manifest.snapshot;
		x->received = s->received;
	}
	return 0;
}

static int add_size(void *arg, const struct store_entry *entry, struct err *e)
{
	(void)e;
	((struct standing *)arg)->stored_bytes += entry->size;
	return 0;
}

/* That it lacks what its rules would let go of at once is as it should be. */
static int forgive(const struct origin *o, const struct resource_region *region,
		   struct repository *to, struct standing *x, struct err *e)
{
	CLEANUP(engine_rules_done) struct engine_rules rules;
	struct object_id *ids = NULL;
	size_t n = 0;

	engine_rules_init(&rules, o->call, o->named, region);
	if (!x->missing)
		return 0;
	if (engine_rules_unwanted(&rules, &o->from, 1, to, &ids, &n, e) < 0)
		return -1;
	free(ids);
	x->let_go += n;
	x->missing -= n < x->missing ? n : x->missing;
	return 0;
}

static int look(const struct origin *o, const struct resource_region *region,
		struct standing *x, struct err *e)
{
	CLEANUP(repository_close) struct repository *to = NULL;

	if (repository_open(region->url, o->key, &to, e) ||
	    replicate_compare(o->from, to, see_snapshot, NULL, x, &x->unopened,
			      e) ||
	    forgive(o, engine_rules_region(o->named, region->url), to, x, e) ||
	    engine_locks_find(o->call, to, x->newest,
			      args_switch(o->call->args, "exact"), &x->locks,
			      e))
		return -1;
	return store_list(repository_store(to), "", add_size, x, e);
}

/* The tightest RPO of the schedules that write to a region. */
struct target {
	const struct resource *repository;
	const struct resource_region *region;
	int64_t rpo_ms; /* 0: none */
};

static int see_schedule(void *arg, const struct resource *r, struct err *e)
{
	struct target *t = (struct target *)arg;
	const struct resource_schedule *s = &r->schedule;
	bool writes = t->region->primary;

	(void)e;
	if (!s->rpo_ms || strcmp(s->repository, t->repository->name) != 0)
		return 0;
	/* A location that is given besides has no name: nobody writes to it. */
	for (size_t i = 0; t->region->name && i < s->replicate_to.count; i++)
		if (!strcmp(s->replicate_to.items[i], t->region->name))
			writes = true;
	if (writes && (!t->rpo_ms || s->rpo_ms < t->rpo_ms))
		t->rpo_ms = s->rpo_ms;
	return 0;
}

static void write_standing(const struct origin *o, const struct standing *x,
			   int64_t rpo_ms)
{
	struct json *j = o->call->reply;
	const int64_t age_ms = instant_ms_between(x->received, o->call->now);
	char id[OBJECT_ID_TEXT];

	object_id_format(x->newest, id);
	json_kv_str(j, "newest", x->has_newest ? id : NULL);
	if (x->has_newest) {
		json_kv_instant(j, "received", x->received);
		json_kv_int(j, "age_seconds", age_ms / 1000);
	}
	if (rpo_ms) {
		json_kv_int(j, "rpo_seconds", rpo_ms / 1000);
		json_kv_bool(j, "late", !x->has_newest || age_ms > rpo_ms);
	}
	json_kv_uint(j, "snapshots", x->snapshots);
	json_kv_uint(j, "missing", x->missing);
	json_kv_uint(j, "let_go", x->let_go);
	json_kv_uint(j, "deleted_there", x->refused);
	json_kv_uint(j, "damaged", x->unopened.to.n);
	json_kv_uint(j, "stored_bytes", x->stored_bytes);
	engine_locks_write(j, &x->locks);
}

/* What nothing needs any more, and its lock keeps all the same. */
static void write_waiting(const struct origin *o,
			  const struct resource_region *region)
{
	struct json *j = o->call->reply;
	struct engine_known known;
	struct err ignored;

	if (!o->named || !region->name ||
	    engine_known_region(o->call, o->named->name, region->name, &known,
				&ignored) <= 0 ||
	    !known.any_locked)
		return;
	json_kv_int(j, "objects_locked", known.locked);
	json_kv_int(j, "bytes_locked", known.bytes_locked);
	if (known.locked_until.sec)
		json_kv_instant(j, "bytes_locked_until", known.locked_until);
	if (known.collected.sec)
		json_kv_instant(j, "bytes_locked_at", known.collected);
}

/* As the daemon knows it: a region that is away goes on falling behind. */
static void write_known(const struct origin *o,
			const struct resource_region *region)
{
	struct json *j = o->call->reply;
	struct engine_known known;
	struct err ignored;

	if (!o->named || !region->name ||
	    engine_known_region(o->call, o->named->name, region->name, &known,
				&ignored) <= 0)
		return;
	if (known.newest.sec) {
		json_kv_instant(j, "received", known.newest);
		json_kv_int(j, "age_seconds",
			    instant_ms_between(known.newest, o->call->now) /
				    1000);
	}
	if (known.rpo_s) {
		json_kv_int(j, "rpo_seconds", known.rpo_s);
		json_kv_bool(j, "late", known.late);
	}
}

/* A region that cannot be had is told of; the others follow. */
static int write_status(const struct origin *o,
			const struct resource_region *region, struct err *e)
{
	struct json *j = o->call->reply;
	struct target t = { .repository = o->named, .region = region };
	struct standing x = { .snapshots = 0 };
	char told[REPLICATE_UNOPENED_TEXT];
	struct err why = { 0 };
	const bool failed = look(o, region, &x, &why) != 0;

	if (o->named &&
	    engine_declared(o->call, "schedule", NULL, see_schedule, &t, e))
		return -1;
	json_begin_object(j);
	write_region(j, region);
	json_kv_bool(j, "reachable", !failed);
	if (failed) {
		json_kv_str(j, "error", why.text);
		write_known(o, region);
		operation_partial(o->call);
	} else {
		write_standing(o, &x, t.rpo_ms);
		if (x.locks.is.mode)
			write_waiting(o, region);
		if (args_switch(o->call->args, "exact") &&
		    (x.locks.why.code || x.locks.too_short))
			operation_partial(o->call);
		if (x.unopened.to.n)
			progress_note(
				o->call->progress, "warning: %s: %s",
				region->name ? region->name : region->url,
				replicate_unopened_text(&x.unopened.to, told));
		if (x.unopened.from.n || x.unopened.to.n)
			operation_damaged(o->call);
	}
	json_end_object(j);
	return operation_stopped(o->call, e);
}

static int status(struct operation_call *call, struct err *e)
{
	CLEANUP(origin_done) struct origin o = { .call = call };
	const struct resource_region alone = {
		.url = args_text(call->args, "repo"), .primary = true
	};

	if (origin_open(&o, e))
		return -1;
	json_begin_list(call->reply);
	if (!o.named && write_status(&o, &alone, e))
		return -1;
	for (size_t i = 0; o.named && i < o.named->repository.region_count; i++)
		if (write_status(&o, &o.named->repository.regions[i], e))
			return -1;
	for (size_t i = 0; i < args_count(call->args, "url"); i++) {
		const struct resource_region r = { .url = args_nth(call->args,
								   "url", i) };

		if (write_status(&o, &r, e))
			return -1;
	}
	json_end_list(call->reply);
	return 0;
}

/* ---- the rows ----------------------------------------------------------- */

static const struct operation_param replicate_params[] = {
	{ .name = "snapshot",
	  .kind = PARAM_POSITIONAL,
	  .repeated = true,
	  .value = "SNAP",
	  .help = "copy only these; everything that is missing without" },
	{ .name = "to",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .required = true,
	  .value = "REGION|URL",
	  .help = "the region copied to" },
	{ .name = "limit",
	  .kind = PARAM_OPTION,
	  .type = PARAM_SIZE,
	  .value = "SIZE",
	  .help = "send at most this many bytes a second" },
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = ENGINE_SOURCE_HELP },
	{ 0 }
};

static const struct operation_param add_params[] = {
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "NAME",
	  .help = "how the region is called" },
	{ .name = "url",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_PATH,
	  .required = true,
	  .value = "URL",
	  .help = "where it is to be; an empty place" },
	{ 0 }
};

static const struct operation_param status_params[] = {
	{ .name = "url",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_PATH,
	  .repeated = true,
	  .value = "URL",
	  .help = "further regions to look at" },
	{ .name = "exact",
	  .kind = PARAM_SWITCH,
	  .help = "ask each region's store about each object that the newest "
		  "snapshot needs" },
	{ 0 }
};

const struct operation op_region_rows[] = {
	{ .verb = "replicate",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = replicate_params,
	  .view = "to copied present deleted_there let_go failed bytes:size "
		  "seconds",
	  .summary = "copy snapshots to another region",
	  .help = "The newest complete snapshot of each source comes first, "
		  "then what the region missed. What arrived before an "
		  "interruption is not sent again. Holds and locks are "
		  "united; deletions follow, but for those by which a region "
		  "keeps to a policy of its own, and what was deleted in the "
		  "region is not copied again. With --repo by name, what the "
		  "region's rules would let go of at once is left out (let_go "
		  "counts it), unless it is named; and copies are locked as "
		  "runs lock them: by the region's own policy, or, when that has "
		  "no lock, as their schedule says where what they come from "
		  "has a lock of its own. With a location, as in the region "
		  "that they come from.",
	  .run = replicate },
	{ .verb = "region add",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = add_params,
	  .view = "region url repository declared add_to_regions",
	  .summary = "make an empty place a further region of a repository",
	  .help = "It gets the repository's keys and no snapshots yet. What "
		  "is declared stays what the manifest says: the reply tells "
		  "the line to add to the regions of the Repository, for "
		  "`snapctl apply`.",
	  .run = add },
	{ .verb = "region list",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .view = "region url primary policy",
	  .summary = "list the regions of a repository",
	  .run = list },
	{ .verb = "region status",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = status_params,
	  .view = "region url policy reachable newest received:age late "
		  "snapshots missing let_go stored_bytes:size lock_mode=lock "
		  "lock_until:time=until bytes_locked:size=kept error",
	  .summary = "show how far each region has come",
	  .help = "By inventory: no data is read. Of a region that does not "
		  "answer it tells what the service knows, where --repo is a "
		  "name. Late is what is older than the tightest target (rpo) "
		  "of a schedule that writes there, suspended or not; `snapctl "
		  "status` tells it source by source. Policy is the region's "
		  "own, whose rules decide what is kept there; without one "
		  "those of the schedules do. Missing is what the rules want; "
		  "what they let go of (let_go) is not.\n\n"
		  "Of the newest complete snapshot there it tells how it is "
		  "locked. " ENGINE_LOCKS_HELP " With --repo by name, "
		  "objects_locked and bytes_locked are what nothing needs any "
		  "more and only its lock keeps, until bytes_locked_until at "
		  "the latest, by the region's last collection, at "
		  "bytes_locked_at.",
	  .run = status },
	{ 0 }
};
