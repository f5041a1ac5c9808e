/*
 * The step "gc": in each region of the repository the space of what no
 * snapshot needs is given back.  See storage/repository/gc.h.
 *
 * It is a run of its own, of the kind Maintenance, on the period that the
 * repository names: it goes on when no schedule runs, and no snapshot waits
 * for it.  A region that cannot be reached, is damaged or lists too little
 * keeps everything, and the others go on.
 *
 * Before that, where the region's store guards objects, what locked snapshots
 * need is guarded ahead of need (storage/repository/guards.h).  When that fails
 * the region is collected all the same, and the run says so.
 *
 * Doing it again is harmless: what was marked stays marked, what was deleted
 * is gone.  Each region's row tells what came of it, for `status`, and what is
 * gone for good has an audit record in the same change.  A deleted snapshot of
 * which no region has a manifest any more is written down as purged, whoever
 * collected it: `report retention` tells when.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/engine.h"
#include "service/op_gc.h"
#include "service/run_holds.h"
#include "service/run_region.h"
#include "service/step.h"

#define DETAILS_MAX ((size_t)1 << 20)
/* Ids of some sixteen million snapshots. */
#define IDS_MAX ((size_t)1 << 28)

struct remaining;

/* One region's turn. */
struct collecting {
	struct run *run;
	const struct resource_region *region;
	struct instant started;
	struct gc_result *result;
	struct remaining *remaining;
	struct guards_result guards;
	struct err unguarded; /* why not all of it is */
	struct run_holds holds;
};

/* ---- Writing down ------------------------------------------------------- */

static int write_details(const struct collecting *x, struct buf *out,
			 struct err *e)
{
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	op_gc_write(&j, x->result);
	op_gc_write_guards(&j, &x->guards, &x->unguarded);
	json_end_object(&j);
	return json_finish(&j, e);
}

static int put_row(const struct collecting *x, const struct err *why,
		   struct err *e)
{
	CLEANUP(buf_done) struct buf details;
	struct catalog_step row = { .run = x->run->id,
				    .source = "",
				    .step = "gc",
				    .region = x->region->name,
				    .state = why ? "failed" : "succeeded",
				    .started = x->started,
				    .finished = clock_now(),
				    .message = why ? why->text : "" };

	buf_init(&details, DETAILS_MAX);
	if (write_details(x, &details, e) < 0)
		return -1;
	row.details_json = buf_str(&details);
	return catalog_step_put(x->run->catalog, &row, e);
}

/* As a text, as all details are that come by way of `audit note`. */
static void kv_number(struct json *j, const char *key, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%ju", (uintmax_t)n);
	json_kv_str(j, key, text);
}

static int audit(const struct collecting *x, struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = clock_now() };
	const struct gc_result *g = x->result;
	CLEANUP(buf_done) struct buf details;
	char object[sizeof("Repository/") + RESOURCE_NAME_MAX];
	struct json j;

	buf_init(&details, DETAILS_MAX);
	if (g->snapshots == 0 && g->deleted == 0)
		return 0;
	json_init(&j, json_to_buf, &details);
	json_begin_object(&j);
	json_kv_str(&j, "repository", x->run->repository->name);
	json_kv_str(&j, "region", x->region->name);
	kv_number(&j, "run", (uint64_t)x->run->id);
	kv_number(&j, "snapshots", g->snapshots);
	kv_number(&j, "packs", g->deleted);
	kv_number(&j, "bytes_freed", g->bytes_freed);
	json_end_object(&j);
	(void)snprintf(object, sizeof(object), "Repository/%s",
		       x->run->repository->name);
	return json_finish(&j, e) < 0
		       ? -1
		       : catalog_audit_add(x->run->catalog, &who, "repo.gc",
					   object, buf_str(&details), e);
}

/*
 * What came of it and what is gone, as one.  One that was asked to stop came
 * to nothing that the next does not come to as well.
 */
static int conclude(const struct collecting *x, const struct err *why,
		    struct err *e)
{
	const bool stopped = why && why->code == ERR_INTERRUPTED;
	struct catalog *c = x->run->catalog;

	if (catalog_begin(c, e) < 0)
		return -1;
	if ((!stopped && put_row(x, why, e) < 0) || audit(x, e) < 0 ||
	    run_holds_conclude(x->run, x->region, &x->holds, e) < 0) {
		catalog_rollback(c);
		return -1;
	}
	return catalog_commit(c, e);
}

/* ---- What is gone for good ---------------------------------------------- */

/* Snapshots of which a region has a manifest, deleted or not. */
struct remaining {
	struct buf ids;
	size_t regions; /* that were listed */
};

static int add_remaining(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct remaining *x = arg;
	struct object_id snapshot;
	struct object_id session;

	return object_name_parse(OBJECT_MANIFEST, entry->name, &snapshot,
				 &session)
		       ? buf_add(&x->ids, snapshot.b, sizeof(snapshot.b), e)
		       : 0;
}

static int list_remaining(struct remaining *x, struct repository *r,
			  struct err *e)
{
	if (store_list(repository_store(r), "snapshots/", add_remaining, x, e))
		return -1;
	x->regions++;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct object_id));
}

struct purging {
	const struct remaining *remaining;
	struct buf ids; /* of deleted snapshots that no region has */
};

static int add_purged(void *arg, const struct catalog_snapshot *s,
		      struct err *e)
{
	struct purging *p = arg;
	const struct buf *there = &p->remaining->ids;
	struct object_id id;

	if (!object_id_parse(s->id, &id) ||
	    (there->len && bsearch(&id, there->data, there->len / sizeof(id),
				   sizeof(id), compare_ids)))
		return 0;
	return buf_add(&p->ids, id.b, sizeof(id.b), e);
}

static int note_purged(struct run *r, const struct buf *ids, struct err *e)
{
	char text[OBJECT_ID_TEXT];
	struct object_id id;

	for (size_t at = 0; at < ids->len; at += sizeof(id)) {
		memcpy(id.b, ids->data + at, sizeof(id.b));
		object_id_format(id, text);
		if (catalog_snapshot_purged(r->catalog, r->repository->name,
					    text, clock_now(), e) < 0)
			return -1;
	}
	return 0;
}

/* Only when every region was listed: a copy may be in one that was not. */
static int write_purged(struct run *r, struct remaining *x, struct err *e)
{
	const struct catalog_snapshot_filter filter = {
		.repository = r->repository->name,
		.deleted = CATALOG_DELETED_ONLY,
	};
	struct purging p = { .remaining = x };
	int failed;

	if (x->regions < r->repository->repository.region_count)
		return 0;
	if (x->ids.len)
		qsort(x->ids.data, x->ids.len / sizeof(struct object_id),
		      sizeof(struct object_id), compare_ids);
	buf_init(&p.ids, IDS_MAX);
	failed = catalog_snapshots(r->catalog, &filter, add_purged, &p, e) <
			 0 ||
		 note_purged(r, &p.ids, e);
	buf_done(&p.ids);
	return failed ? -1 : 0;
}

/* ---- Collecting --------------------------------------------------------- */

/* What is locked and held, and what is held no more. */
static void guard(struct collecting *x, struct repository *r)
{
	struct guards_options o = { .now = x->started, .cancel = x->run->stop };

	if (run_holds_begin(x->run, x->region, r, &x->holds, &x->unguarded) < 0)
		log_failure(LOG_LEVEL_ERROR, "legal holds", &x->unguarded);
	o.release = x->holds.release;
	x->holds.release = false;
	if (guards_run(r, &o, &x->guards, &x->unguarded) < 0)
		log_failure(LOG_LEVEL_ERROR, "object lock", &x->unguarded);
	else
		x->holds.release = o.release;
}

static int collect(struct collecting *x, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	char host[256];
	const struct gc_options o = {
		.now = x->started,
		.grace_ms = -1,
		.rewrite_bytes =
			x->run->repository->repository.gc_rewrite_bytes,
		.host = host,
		.cancel = x->run->stop,
	};

	engine_host(host, sizeof(host));
	if (run_region_open(x->run, x->region, &r, e) < 0)
		return -1;
	guard(x, r);
	if (gc_run(r, &o, x->result, e) < 0 ||
	    list_remaining(x->remaining, r, e) < 0)
		return err_wrap(e, "region %s of repository %s",
				text_quote_str(x->region->name).s,
				text_quote_str(x->run->repository->name).s);
	return 0;
}

/* Deleting is no proof that anything can be written. */
static bool has_written(const struct gc_result *gc)
{
	return gc->marked || gc->bytes_copied || gc->index_merged;
}

/* The first thing that is wrong is told. */
static void write_message(const struct collecting *x, const struct err *why,
			  struct run_result *result)
{
	char *out = result->message;

	if (out[0])
		return;
	if (why)
		(void)text_fit(why->text, out, sizeof(result->message));
	else if (x->unguarded.code)
		(void)snprintf(
			out, sizeof(result->message),
			"not all of region %.63s that is locked is so in "
			"its store: %.180s",
			x->region->name, x->unguarded.text);
	else if (x->holds.why[0])
		(void)snprintf(out, sizeof(result->message),
			       "region %.63s: %.200s", x->region->name,
			       x->holds.why);
}

/* One region: 1 it is collected, 0 it is not, -1. */
static int collect_one(struct run *r, const struct resource_region *region,
		       struct gc_result *gc, struct remaining *remaining,
		       struct run_result *result, struct err *e)
{
	struct collecting x = { .run = r,
				.region = region,
				.started = clock_now(),
				.result = gc,
				.remaining = remaining };
	struct err why = { 0 };
	const bool failed = collect(&x, &why) < 0;
	const int concluded = conclude(&x, failed ? &why : NULL, e);

	run_holds_done(&x.holds);
	if (concluded < 0 ||
	    (has_written(gc) && run_region_wrote(r, region, e) < 0))
		return -1;
	if (failed && why.code == ERR_INTERRUPTED) {
		*e = why;
		return -1;
	}
	write_message(&x, failed ? &why : NULL, result);
	return !failed && !x.unguarded.code && !x.holds.why[0];
}

static int collect_all(struct run *r, struct gc_result *gc,
		       struct remaining *remaining, size_t *ret_done,
		       struct run_result *result, struct err *e)
{
	const struct resource_repository *about = &r->repository->repository;

	for (size_t i = 0; i < about->region_count; i++) {
		int one;

		if (run_stopped(r, e) < 0)
			return -1;
		/* It may have jumped while the last region was at work. */
		one = run_clock_is_sure(r, result, e);
		if (one <= 0)
			return one;
		memset(gc, 0, sizeof(*gc));
		one = collect_one(r, &about->regions[i], gc, remaining, result,
				  e);
		if (one < 0)
			return -1;
		*ret_done += (size_t)one;
	}
	return write_purged(r, remaining, e);
}

int step_gc(struct run *r, const struct resource *source UNUSED,
	    struct run_result *result, struct err *e)
{
	struct gc_result *gc = calloc(1, sizeof(*gc));
	struct remaining remaining = { .regions = 0 };
	size_t done = 0;
	int failed;

	if (!gc)
		return err_oom(e);
	buf_init(&remaining.ids, IDS_MAX);
	failed = collect_all(r, gc, &remaining, &done, result, e);
	buf_done(&remaining.ids);
	free(gc);
	if (failed)
		return -1;
	result->state = done == r->repository->repository.region_count
				? RUN_SUCCEEDED
			: done ? RUN_PARTIAL
			       : RUN_FAILED;
	return 0;
}
