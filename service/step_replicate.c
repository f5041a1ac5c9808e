/*
 * The step "replicate": bring each region of the schedule's replicateTo up to
 * date, the run's new snapshots first (they are the newest of their sources),
 * then what it missed before.
 *
 * Regions are independent: one that fails is told of, and the others go on.
 * What arrived stays, so that a retry goes on from there.  How far a region
 * is behind stands in the catalog, one row for each, with the RPO it is
 * measured against.
 *
 * Several are served at once, as one that is slow or far away mostly waits:
 * each in a thread of its own, with a handle of its own on the catalog.  They
 * share the source, read at its limit together.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/engine.h"
#include "service/mirror.h"
#include "service/run_region.h"
#include "service/step.h"
#include "storage/replicate.h"

#define DETAILS_MAX ((size_t)1 << 20)
/* Each has a pipeline of its own, of a few dozen MB. */
#define AT_ONCE 4

/* One region's turn. */
struct copying {
	struct run *run;
	const struct resource_region *region;
	struct repository *from;
	struct replicate_reading *reading;
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
		.reading = x->reading,
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

/* ---- All of them -------------------------------------------------------- */

/* One region's turn, as the others see it. */
struct turn {
	const struct resource_region *region;
	bool done; /* served and recorded, well or not */
	bool well; /* it is up to date */
	char message[300];
	struct err e; /* when it was not done */
};

struct turns {
	struct run *run;
	struct repository *from;
	struct replicate_reading *reading;
	struct turn *v;
	size_t n;
	atomic_size_t next;
};

static int serve(struct run *r, const struct turns *all, struct turn *t,
		 struct err *e)
{
	CLEANUP(copying_done)
	struct copying x = { .run = r,
			     .region = t->region,
			     .from = all->from,
			     .reading = all->reading };
	CLEANUP(buf_done) struct buf details;
	const struct instant started = clock_now();
	struct err why = { 0 };
	const bool failed = copy(&x, &why) < 0 || measure(&x, &why) < 0;

	buf_init(&details, DETAILS_MAX);
	if ((failed && run_stopped(r, e) < 0) ||
	    record(&x, started, failed ? &why : NULL, &details, e) < 0)
		return -1;
	t->well = !failed && !x.result.failed;
	if (!t->well)
		(void)snprintf(t->message, sizeof(t->message),
			       "region %.63s: %.220s", t->region->name,
			       failed ? why.text : x.first_failure);
	return 0;
}

/* Until none is left: one whose turn fails for good keeps nobody waiting. */
static void serve_some(struct run *r, struct turns *all)
{
	size_t i;

	while ((i = atomic_fetch_add(&all->next, 1)) < all->n) {
		struct turn *t = &all->v[i];

		t->done = run_stopped(r, &t->e) == 0 &&
			  serve(r, all, t, &t->e) == 0;
	}
}

/* What a thread changes of the run is its own: the handle on the catalog. */
static void *thread_main(void *arg)
{
	struct turns *all = arg;
	CLEANUP(catalog_close) struct catalog *c = NULL;
	struct run mine = *all->run;
	struct err ignored = { 0 };

	/* Without one the others do its part. */
	if (catalog_open_another(all->run->catalog, &c, &ignored) < 0)
		return NULL;
	mine.catalog = c;
	serve_some(&mine, all);
	return NULL;
}

/* This thread is one of them, and enough where no other can be had. */
static void serve_all(struct turns *all)
{
	pthread_t threads[AT_ONCE - 1];
	size_t n = 0;

	while (n < AT_ONCE - 1 && n + 1 < all->n &&
	       pthread_create(&threads[n], NULL, thread_main, all) == 0)
		n++;
	serve_some(all->run, all);
	while (n > 0)
		(void)pthread_join(threads[--n], NULL);
}

static int sum_up(const struct turns *all, struct run_result *result,
		  struct err *e)
{
	size_t well = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct turn *t = &all->v[i];

		if (!t->done) {
			*e = t->e;
			return -1;
		}
		well += t->well;
		if (*t->message && !*result->message)
			memcpy(result->message, t->message,
			       sizeof(result->message));
	}
	result->state = well == all->n ? RUN_SUCCEEDED
			: well	       ? RUN_PARTIAL
				       : RUN_FAILED;
	return 0;
}

static int serve_regions(struct turns *all, struct run_result *result,
			 struct err *e)
{
	CLEANUP(repository_close) struct repository *from = NULL;
	CLEANUP(replicate_reading_free)
	struct replicate_reading *reading = NULL;
	const struct resource_region *primary = run_region_primary(all->run);

	if (run_region_open(all->run, primary, &from, e) < 0 ||
	    replicate_reading_new(primary->down_bytes, &reading, e) < 0)
		return -1;
	all->from = from;
	all->reading = reading;
	serve_all(all);
	return sum_up(all, result, e);
}

int step_replicate(struct run *r, const struct resource *source UNUSED,
		   struct run_result *result, struct err *e)
{
	const struct resource_texts *names =
		&r->schedule->schedule.replicate_to;
	struct turns all = { .run = r };
	int failed;

	if (names->count == 0) {
		result->state = RUN_SKIPPED;
		return 0;
	}
	all.v = calloc(names->count, sizeof(*all.v));
	if (!all.v)
		return err_oom(e);
	for (size_t i = 0; i < names->count; i++) {
		const struct resource_region *region = resource_region(
			r->repository, names->items[i]);

		/* Validated when it was applied; the primary has it all. */
		if (region && !region->primary)
			all.v[all.n++].region = region;
	}
	failed = serve_regions(&all, result, e);
	free(all.v);
	return failed;
}
