/*
 * The step "replicate": bring each region of the schedule's replicateTo up to
 * date, the run's new snapshots first (they are the newest of their sources),
 * then what it missed before.
 *
 * Regions are independent: one that fails is told of, and the others go on.
 * What arrived stays, so that a retry goes on from there.  How far a region
 * is behind stands in the catalog, one row for each, with the RPO it is
 * measured against.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/engine.h"
#include "service/mirror.h"
#include "service/run_region.h"
#include "service/step.h"
#include "storage/replicate.h"

#define DETAILS_MAX ((size_t)1 << 20)

/* One region's turn. */
struct copying {
	struct run *run;
	const struct resource_region *region;
	struct repository *from;
	struct repository *to;
	struct replicate_result result;
	char first_failure[300];
	uint64_t missing; /* after the copying */
	/* Of the run's source that is furthest behind. */
	bool has_oldest;
	struct instant oldest;
	bool bare; /* the region lacks some source altogether */
};

static void copying_done(struct copying *x)
{
	repository_close(x->to);
}
static inline void cleanup_copying_done(struct copying *x)
{
	copying_done(x);
}

/* Keys first: what is copied may be sealed under an epoch that is new. */
static int open_target(struct copying *x, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	uint64_t size;
	int found;

	if (run_region_key(x->run, &key, e) < 0 ||
	    store_open(x->region->url, false, &s, e) < 0)
		return -1;
	found = store_size(s, "config", &size, e);
	if (found < 0)
		return -1;
	if (!found) {
		(void)err_set(e, ERR_NOT_FOUND, "there is no region at %s yet",
			      text_quote_str(x->region->url).s);
		return err_hint(e, "`snapctl region add` makes it one");
	}
	return replicate_settle(repository_store(x->from), s, key, e);
}

static int on_done(void *arg, const struct replicate_one *one, struct err *e)
{
	struct copying *x = arg;
	const struct mirror_origin origin = {
		.repository = x->run->repository->name
	};

	if (one->why) {
		if (!*x->first_failure)
			(void)snprintf(x->first_failure,
				       sizeof(x->first_failure), "%.299s",
				       one->why->text);
		return 0;
	}
	if (mirror_snapshot(x->run->catalog, &origin, one->snapshot, e) < 0)
		return -1;
	return mirror_copy(x->run->catalog, x->run->repository->name,
			   x->region->name, one->snapshot, clock_now(), e);
}

static int copy(struct copying *x, struct err *e)
{
	char host[256];
	const struct replicate_options o = {
		.read_limit = run_region_primary(x->run)->down_bytes,
		.write_limit = x->region->up_bytes,
		.host = host,
		.cancel = x->run->stop,
		.done = on_done,
		.arg = x,
	};

	engine_host(host, sizeof(host));
	if (open_target(x, e) < 0 ||
	    run_region_open(x->run, x->region, &x->to, e) < 0)
		return -1;
	return replicate_run(x->from, x->to, &o, &x->result, e);
}

/* The newest complete snapshot of one source in the region. */
struct newest {
	struct copying *x;
	const char *source;
	struct instant received;
	bool found;
};

static int see(void *arg, const struct repository_snapshot *s,
	       unsigned int where, struct err *e UNUSED)
{
	struct newest *n = arg;

	if (where == REPLICATE_FROM)
		n->x->missing += n->source == NULL;
	if ((where & REPLICATE_TO) && n->source &&
	    s->manifest.state == MANIFEST_COMPLETE &&
	    strcmp(s->manifest.source, n->source) == 0) {
		n->received = s->received;
		n->found = true;
	}
	return 0;
}

static int measure(struct copying *x, struct err *e)
{
	struct newest all = { .x = x };

	if (replicate_compare(x->from, x->to, see, &all, NULL, e) < 0)
		return -1;
	for (size_t i = 0; i < x->run->source_count; i++) {
		struct newest n = { .x = x,
				    .source = x->run->sources[i]->name };

		if (replicate_compare(x->from, x->to, see, &n, NULL, e) < 0)
			return -1;
		x->bare = x->bare || !n.found;
		if (n.found && (!x->has_oldest ||
				instant_compare(n.received, x->oldest) < 0)) {
			x->oldest = n.received;
			x->has_oldest = true;
		}
	}
	return 0;
}

static void write_details(const struct copying *x, struct instant now,
			  struct json *j)
{
	const int64_t rpo_ms = x->run->schedule->schedule.rpo_ms;
	const int64_t lag_ms = instant_ms_between(x->oldest, now);

	json_begin_object(j);
	json_kv_str(j, "region", x->region->name);
	json_kv_uint(j, "copied", x->result.copied);
	json_kv_uint(j, "failed", x->result.failed);
	json_kv_uint(j, "missing", x->missing);
	json_kv_uint(j, "records", x->result.records);
	json_kv_uint(j, "chunks", x->result.chunks);
	json_kv_uint(j, "bytes", x->result.bytes);
	if (x->has_oldest && !x->bare)
		json_kv_int(j, "lag_seconds", lag_ms / 1000);
	if (rpo_ms) {
		json_kv_int(j, "rpo_seconds", rpo_ms / 1000);
		json_kv_bool(j, "late",
			     x->bare || !x->has_oldest || lag_ms > rpo_ms);
	}
	json_end_object(j);
}

/* The region's row: state and details, or why it failed. */
static int record(const struct copying *x, struct instant started,
		  const struct err *why, struct buf *details, struct err *e)
{
	struct catalog_step row = { .run = x->run->id,
				    .source = "",
				    .step = "replicate",
				    .region = x->region->name,
				    .state = why		? "failed"
					     : x->result.failed ? "partial"
								: "succeeded",
				    .started = started,
				    .finished = clock_now(),
				    .message = why ? why->text
						   : x->first_failure };
	struct json j;

	if (!why) {
		json_init(&j, json_to_buf, details);
		write_details(x, clock_now(), &j);
		if (json_finish(&j, e) < 0)
			return -1;
		row.details_json = buf_str(details);
	}
	return catalog_step_put(x->run->catalog, &row, e);
}

/* One region: 1 it is up to date, 0 something is not, -1. */
static int serve(struct run *r, struct repository *from,
		 const struct resource_region *region,
		 struct run_result *result, struct err *e)
{
	CLEANUP(copying_done)
	struct copying x = { .run = r, .region = region, .from = from };
	CLEANUP(buf_done) struct buf details;
	const struct instant started = clock_now();
	struct err why = { 0 };
	const bool failed = copy(&x, &why) < 0 || measure(&x, &why) < 0;

	buf_init(&details, DETAILS_MAX);
	if (failed && run_stopped(r, e) < 0)
		return -1;
	if (record(&x, started, failed ? &why : NULL, &details, e) < 0)
		return -1;
	if (!failed && !x.result.failed)
		return 1;
	if (!*result->message)
		(void)snprintf(result->message, sizeof(result->message),
			       "region %.63s: %.220s", region->name,
			       failed ? why.text : x.first_failure);
	return 0;
}

int step_replicate(struct run *r, const struct resource *source UNUSED,
		   struct run_result *result, struct err *e)
{
	const struct resource_texts *names =
		&r->schedule->schedule.replicate_to;
	CLEANUP(repository_close) struct repository *from = NULL;
	size_t served = 0;
	size_t regions = 0;

	if (names->count == 0) {
		result->state = RUN_SKIPPED;
		return 0;
	}
	if (run_region_open(r, run_region_primary(r), &from, e) < 0)
		return -1;
	for (size_t i = 0; i < names->count; i++) {
		const struct resource_region *region = resource_region(
			r->repository, names->items[i]);
		int one;

		if (run_stopped(r, e) < 0)
			return -1;
		/* Validated when it was applied; the primary has it all. */
		if (!region || region->primary)
			continue;
		one = serve(r, from, region, result, e);
		if (one < 0)
			return -1;
		regions++;
		served += (size_t)one;
	}
	result->state = served == regions ? RUN_SUCCEEDED
			: served	  ? RUN_PARTIAL
					  : RUN_FAILED;
	return 0;
}
