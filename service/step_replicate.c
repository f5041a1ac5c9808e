/*
 * The step "replicate": bring each region of the schedule's replicateTo up to
 * date, the run's new snapshots first (they are the newest of their sources),
 * then what it missed before.
 *
 * Before that the primary gets what only the others have: what runs wrote
 * there while it was away, or what a region that is the primary no more had
 * not passed on.  Nothing is known of how that came about, nor needs to be: by
 * inventory it is what another region lists, and the primary neither has nor
 * has deleted.  A run that wrote elsewhere, because the primary is away,
 * copies from there, to the primary as well, should it be back.
 *
 * Deletions spread from the primary only, and of retention's own only where no
 * region keeps by a policy of its own.  One that does gets nothing that its
 * rules would let go at once.
 *
 * Regions are independent: one that fails is told of, and the others go on.
 * What arrived stays, so that a retry goes on from there.  How far a region
 * is behind stands in the catalog, one row for each, with the RPO it is
 * measured against.
 *
 * Several are served at once, as one that is slow or far away mostly waits:
 * each in a thread of its own, with a handle of its own on the catalog.  They
 * share the source; the limits of regions are their stores' (bandwidth.h).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "service/catalog_keep.h"
#include "service/engine.h"
#include "service/id_list.h"
#include "service/mirror.h"
#include "service/retain.h"
#include "service/run_double.h"
#include "service/run_lock_due.h"
#include "service/run_region.h"
#include "service/step.h"
#include "service/unwanted.h"
#include "storage/replicate.h"

#define DETAILS_MAX ((size_t)1 << 20)
#define MESSAGE_MAX sizeof(((struct run_result *)NULL)->message)
/* Each has a pipeline of its own, of a few dozen MB. */
#define AT_ONCE 4

/* One region's turn. */
struct copying {
	struct run *run;
	const struct resource_region *region;
	const struct resource_region *origin; /* from is of it */
	struct repository *from;
	struct repository *to;
	bool is_catching_up; /* to the primary, of what it missed */
	/* Further regions, while that: what they deleted is not brought. */
	struct repository **also;
	size_t n_also;
	struct object_id *skip; /* what it would let go at once */
	size_t n_skip;
	struct replicate_result result;
	char first_failure[300];
	uint64_t unguarded; /* are there, and not locked for long enough */
	uint64_t unread;    /* the origin has them, and could not tell more */
	uint64_t missing;   /* after the copying */
	/* Of the run's source that is furthest behind. */
	bool has_oldest;
	struct instant oldest;
	bool bare; /* the region lacks some source altogether */
};

static void copying_done(struct copying *x)
{
	repository_close(x->to);
	free(x->skip);
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
	run_region_bear(x->run, x->region, s);
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
	char text[221];

	if (one->why) {
		if (!*x->first_failure)
			(void)text_fit(one->why->text, x->first_failure,
				       sizeof(x->first_failure));
		return 0;
	}
	if (one->unguarded) {
		x->unguarded++;
		if (!*x->first_failure)
			(void)snprintf(x->first_failure,
				       sizeof(x->first_failure),
				       "what was copied is not locked yet: %s",
				       text_fit(one->unguarded->text, text,
						sizeof(text)));
	}
	if (mirror_snapshot(x->run->catalog, &origin, one->snapshot, e) < 0)
		return -1;
	return mirror_copy(x->run->catalog, x->run->repository->name,
			   x->region->name, one->snapshot, clock_now(), e);
}

static int see_row(void *arg, const struct catalog_replica *row,
		   struct err *e UNUSED)
{
	const char **state = arg;

	*state = strcmp(row->state, "complete") == 0 ? "complete" : "gone";
	return 0;
}

/*
 * The region may well lack it, unless it had it once, as the catalog knows:
 * deleted since, or lost, which its verification notices.
 */
static int on_unread(void *arg, struct object_id id, struct err *e)
{
	struct copying *x = arg;
	char text[OBJECT_ID_TEXT];
	const struct catalog_replica_filter filter = {
		.repository = x->run->repository->name,
		.snapshot = text,
		.region = x->region->name
	};
	const char *state = NULL;

	object_id_format(id, text);
	if (unwanted_has(x->skip, x->n_skip, id))
		return 0;
	if (catalog_replicas(x->run->catalog, &filter, see_row, &state, e) < 0)
		return -1;
	if (!state || (!x->is_catching_up && strcmp(state, "complete") == 0))
		x->unread++;
	return 0;
}

static void tell_unread(struct copying *x, uint64_t before, int sys)
{
	const uint64_t n = x->unread - before;

	if (n && !*x->first_failure)
		(void)snprintf(x->first_failure, sizeof(x->first_failure),
			       "%ju manifest%s of region \"%.63s\" cannot be "
			       "read, so that what %s of is not copied "
			       "from there%s%s",
			       (uintmax_t)n, n == 1 ? "" : "s", x->origin->name,
			       n == 1 ? "it tells" : "they tell",
			       sys ? ": " : "", sys ? err_errno_text(sys) : "");
}

/*
 * Where it comes from it was locked by that region's own policy, which says
 * nothing of this one.
 */
static int lock_of(void *arg, const struct repository_snapshot *s,
		   int64_t *ret_ms, struct err *e)
{
	const struct copying *x = arg;

	return run_region_lock_of(x->run, s, ret_ms, e);
}

static int copy(struct copying *x, const struct object_id *only, size_t n,
		struct err *e)
{
	char host[256];
	const uint64_t unread = x->unread;
	struct run_lock there = { .ms = 0 };
	struct run_lock lock = { .ms = 0 };
	const int failed = run_region_lock(x->run, x->origin, &there, e) < 0 ||
			   run_region_lock(x->run, x->region, &lock, e) < 0;
	struct replicate_options o = {
		.only = only,
		.n_only = n,
		.skip = x->skip,
		.n_skip = x->n_skip,
		.without_tombstones = x->is_catching_up ||
				      !x->run->written->primary,
		.also = x->also,
		.n_also = x->n_also,
		.host = host,
		.lock_ms = lock.is_own ? lock.ms : 0,
		.lock_of = there.is_own && !lock.is_own ? lock_of : NULL,
		.cancel = x->run->stop,
		.done = on_done,
		.unread = on_unread,
		.arg = x,
	};

	if (failed)
		return -1;
	engine_host(host, sizeof(host));
	if (retain_was_apart(x->run->catalog, x->run->repository, &o.apart, e) <
		    0 ||
	    replicate_run(x->from, x->to, &o, &x->result, e) < 0)
		return -1;
	tell_unread(x, unread, x->result.unopened_from.sys);
	return 0;
}

/* ---- What the primary missed -------------------------------------------- */

static bool is_skipped(const struct copying *x, struct object_id id)
{
	return unwanted_has(x->skip, x->n_skip, id);
}

struct missed {
	struct copying *x;
	struct id_list had; /* the primary, as the catalog knows; sorted */
	struct id_list missed;
	/* Among them: it has it, and a copy was cut off before its lock. */
	size_t unlocked;
	struct run_lock_due due;
};

static int see_copy(void *arg, const struct catalog_replica *row, struct err *e)
{
	struct object_id id;

	if (strcmp(row->state, "complete") != 0 ||
	    !object_id_parse(row->snapshot, &id))
		return 0;
	return id_list_add(arg, id, e);
}

static int see_missed(void *arg, const struct repository_snapshot *s,
		      unsigned int where, struct err *e)
{
	struct missed *m = arg;
	const struct object_id id = s->manifest.snapshot;
	const int due = run_lock_due_ask(&m->due, s, where, e);

	if (due < 0)
		return -1;
	if (!due && (where != REPLICATE_FROM || id_list_has(&m->had, id) ||
		     is_skipped(m->x, id)))
		return 0;
	m->unlocked += (size_t)due;
	return id_list_add(&m->missed, id, e);
}

static int see_unread(void *arg, struct object_id id, struct err *e)
{
	const struct missed *m = arg;

	return on_unread(m->x, id, e);
}

/* All regions but these two that answer: what one deleted stays deleted. */
static int open_others(struct copying *x, struct err *e)
{
	const struct resource_repository *all = &x->run->repository->repository;

	x->also = calloc(all->region_count, sizeof(struct repository *));
	if (!x->also)
		return err_oom(e);
	for (size_t i = 0; i < all->region_count; i++) {
		const struct resource_region *region = &all->regions[i];
		struct err ignored = { 0 };

		if (region != x->origin && region != x->region &&
		    run_region_open(x->run, region, &x->also[x->n_also],
				    &ignored) == 0)
			x->n_also++;
	}
	return 0;
}

static void close_others(struct copying *x)
{
	for (size_t i = 0; i < x->n_also; i++)
		repository_close(x->also[i]);
	free(x->also);
	x->also = NULL;
	x->n_also = 0;
}

/*
 * Keys first, and then the primary anew: what comes may be sealed under an
 * epoch that is new to it.
 */
static int copy_missed(struct copying *x, const struct id_list *missed,
		       struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(repository_close) struct repository *to = NULL;
	struct repository *const before = x->to;
	int failed;

	if (run_region_key(x->run, &key, e) < 0 ||
	    replicate_settle(repository_store(x->from), repository_store(x->to),
			     key, e) < 0 ||
	    run_region_open(x->run, x->region, &to, e) < 0)
		return -1;
	x->to = to;
	failed = open_others(x, e) < 0 || copy(x, missed->v, missed->n, e) < 0;
	close_others(x);
	x->to = before;
	return failed ? -1 : 0;
}

static void skip_none(struct copying *x)
{
	free(x->skip);
	x->skip = NULL;
	x->n_skip = 0;
}

/* It need not get what its own rules would let go at once. */
static int look_for_unwanted(struct copying *x, struct err *e)
{
	skip_none(x);
	return retain_unwanted(x->run, x->region, x->from, x->to, &x->skip,
			       &x->n_skip, e);
}

/*
 * *ret: how many there were.  A lock that was cut off when they came is made
 * good, which the inventory tells for nothing.  What the primary had and lost
 * is no such: its verification notices, and heals it, with a record.
 */
static int catch_up(struct copying *x, size_t *ret, struct err *e)
{
	const struct catalog_replica_filter filter = {
		.repository = x->run->repository->name,
		.region = x->region->name
	};
	const uint64_t unread = x->unread;
	struct missed m = { .x = x };
	struct replicate_compared unopened = { .from = { .sys = 0 } };
	int failed;

	failed = look_for_unwanted(x, e) < 0 ||
		 run_lock_due_begin(&m.due, x->run, x->origin, x->region, x->to,
				    e) < 0 ||
		 catalog_replicas(x->run->catalog, &filter, see_copy, &m.had,
				  e) < 0;

	id_list_sort(&m.had);
	failed = failed || replicate_compare(x->from, x->to, see_missed,
					     see_unread, &m, &unopened, e) < 0;
	*ret = m.missed.n - m.unlocked;
	if (!failed && m.missed.n)
		failed = copy_missed(x, &m.missed, e) < 0;
	if (!failed)
		tell_unread(x, unread, unopened.from.sys);
	id_list_done(&m.had);
	id_list_done(&m.missed);
	return failed ? -1 : 0;
}

/* ---- How far a region is ------------------------------------------------ */

/* The newest complete snapshot of each of the run's sources in the region. */
struct newest {
	struct copying *x;
	struct instant *received; /* or 0 */
};

static int see(void *arg, const struct repository_snapshot *s,
	       unsigned int where, struct err *e UNUSED)
{
	struct newest *n = arg;
	const struct run *r = n->x->run;

	if (where == REPLICATE_FROM && !is_skipped(n->x, s->manifest.snapshot))
		n->x->missing++;
	if (!(where & REPLICATE_TO) || s->manifest.state != MANIFEST_COMPLETE)
		return 0;
	for (size_t i = 0; i < r->source_count; i++)
		if (strcmp(s->manifest.source, r->sources[i]->name) == 0)
			n->received[i] = s->received;
	return 0;
}

static int measure(struct copying *x, struct err *e)
{
	const size_t count = x->run->source_count;
	struct newest n = { .x = x };
	int failed;

	n.received = calloc(count + 1, sizeof(*n.received));
	if (!n.received)
		return err_oom(e);
	failed = replicate_compare(x->from, x->to, see, NULL, &n, NULL, e);
	for (size_t i = 0; !failed && i < count; i++) {
		const struct instant t = n.received[i];

		if (t.sec == 0)
			x->bare = true;
		else if (!x->has_oldest || instant_compare(t, x->oldest) < 0)
			x->oldest = t;
		x->has_oldest = x->has_oldest || t.sec != 0;
	}
	free(n.received);
	return failed ? -1 : 0;
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
	if (x->unguarded)
		json_kv_uint(j, "unlocked", x->unguarded);
	if (x->unread)
		json_kv_uint(j, "unread", x->unread);
	json_kv_uint(j, "missing", x->missing);
	json_kv_uint(j, "records", x->result.records);
	json_kv_uint(j, "chunks", x->result.chunks);
	json_kv_uint(j, "bytes", x->result.bytes);
	if (x->has_oldest && !x->bare)
		json_kv_int(j, "lag_seconds", lag_ms / 1000);
	/* How far behind the region is that the run writes to nobody asks. */
	if (rpo_ms && x->region != x->run->written) {
		json_kv_int(j, "rpo_seconds", rpo_ms / 1000);
		json_kv_bool(j, "late",
			     x->bare || !x->has_oldest || lag_ms > rpo_ms);
	}
	json_end_object(j);
}

static bool is_lacking(const struct copying *x)
{
	return x->result.failed || x->unguarded || x->unread;
}

/* The region's row: state and details, or why it failed. */
static int record(const struct copying *x, struct instant started,
		  const struct err *why, struct buf *details, struct err *e)
{
	struct catalog_step row = { .run = x->run->id,
				    .source = "",
				    .step = "replicate",
				    .region = x->region->name,
				    .state = why	     ? "failed"
					     : is_lacking(x) ? "partial"
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

enum {
	NOT_SERVED,    /* some of it, or nothing */
	SERVED,	       /* it is up to date */
	SERVED_UNREAD, /* with all that could be told of */
	NOTHING_MISSED,
};

/*
 * What came of a region: one of these, and unless it is up to date message says
 * why, if it does not say something already; -1.
 */
static int conclude(struct copying *x, struct instant started,
		    const struct err *why, char message[MESSAGE_MAX],
		    struct err *e)
{
	CLEANUP(buf_done) struct buf details;
	char text[221];

	buf_init(&details, DETAILS_MAX);
	if (why && run_stopped(x->run, e) < 0)
		return -1;
	if (record(x, started, why, &details, e) < 0)
		return -1;
	if (!why && x->result.copied &&
	    run_region_wrote(x->run, x->region, e) < 0)
		return -1;
	if (!why && !is_lacking(x))
		return SERVED;
	if (!*message)
		(void)snprintf(message, MESSAGE_MAX, "region %.63s: %s",
			       x->region->name,
			       text_fit(why ? why->text : x->first_failure,
					text, sizeof(text)));
	return !why && !x->result.failed && !x->unguarded ? SERVED_UNREAD
							  : NOT_SERVED;
}

static int open_to(struct copying *x, struct err *e)
{
	return open_target(x, e) < 0 ||
			       run_region_open(x->run, x->region, &x->to, e) < 0
		       ? -1
		       : 0;
}

/* ---- The primary, first ------------------------------------------------- */

/* The step as a whole. */
struct step {
	struct run *run;
	struct repository *from; /* the region that the run writes to */
	struct run_result *result;
	size_t regions, served, served_unread;
	/* Of all regions. */
	struct replicate_result caught_up;
	uint64_t unread;
	char first_failure[300];
};

static void count(struct step *t, int one)
{
	t->regions++;
	t->served += one == SERVED;
	t->served_unread += one == SERVED_UNREAD;
}

/* One row for the primary, of what it got from all of them. */
static void add_up(struct step *t, struct copying *x)
{
	x->result.copied += t->caught_up.copied;
	x->result.failed += t->caught_up.failed;
	x->result.records += t->caught_up.records;
	x->result.chunks += t->caught_up.chunks;
	x->result.bytes += t->caught_up.bytes;
	t->caught_up = x->result;
	x->unread += t->unread;
	t->unread = x->unread;
	if (!*t->first_failure)
		memcpy(t->first_failure, x->first_failure,
		       sizeof(t->first_failure));
	memcpy(x->first_failure, t->first_failure, sizeof(x->first_failure));
}

/*
 * Bring to the primary what region has of what it missed, if anything.  One
 * that is away is told of when it is served.
 */
static int fetch_missed(struct step *t, const struct resource_region *region,
			struct err *e)
{
	CLEANUP(repository_close) struct repository *from = NULL;
	struct copying x = { .run = t->run,
			     .region = t->run->written,
			     .origin = region,
			     .to = t->from,
			     .is_catching_up = true };
	const struct instant started = clock_now();
	struct err why = { 0 };
	size_t missed = 0;
	bool failed;

	if (run_region_open(t->run, region, &from, &why) < 0)
		return NOTHING_MISSED;
	if (run_double_retire(t->run, region, from, e) < 0)
		return -1;
	x.from = from;
	failed = catch_up(&x, &missed, &why) < 0;
	skip_none(&x);
	if (missed == 0 && x.unread == 0 && !failed)
		return NOTHING_MISSED;
	if (failed)
		(void)err_wrap(&why, "from region %s",
			       text_quote_str(region->name).s);
	log_event(LOG_LEVEL_INFO,
		  "region %s missed %zu snapshots that region %s has",
		  x.region->name, missed, region->name);
	add_up(t, &x);
	return conclude(&x, started, failed ? &why : NULL, t->result->message,
			e);
}

/*
 * What the primary has, and the region that the run goes by lacks: of sources
 * that were taken before the primary could not be written to any more.  That
 * region need not have been one of those that keep much.
 */
static int take_along(struct copying *x, struct err *e)
{
	const struct resource_region *there = x->region;
	struct repository *const from = x->from;
	struct repository *const to = x->to;
	int failed;

	x->region = x->origin;
	x->origin = there;
	x->from = to;
	x->to = from;
	failed = look_for_unwanted(x, e) < 0 || copy(x, NULL, 0, e) < 0;
	skip_none(x);
	x->origin = x->region;
	x->region = there;
	x->from = from;
	x->to = to;
	x->result = (struct replicate_result){ .copied = 0 };
	return failed ? -1 : 0;
}

/*
 * The primary is away, or cannot be written to: should that be over, it is
 * brought up to date now.
 */
static int serve_primary(struct step *t, struct err *e)
{
	struct run *r = t->run;
	CLEANUP(copying_done)
	struct copying x = { .run = r,
			     .region = run_region_primary(r),
			     .origin = r->written,
			     .from = t->from,
			     .is_catching_up = true };
	const struct instant started = clock_now();
	struct err why = { 0 };
	size_t missed = 0;
	const bool is_away = run_region_open(r, x.region, &x.to, &why) < 0;
	char text[151];
	bool failed;

	if (!is_away && run_double_retire(r, x.region, x.to, e) < 0)
		return -1;
	failed = is_away || take_along(&x, &why) < 0 ||
		 catch_up(&x, &missed, &why) < 0 || measure(&x, &why) < 0;
	if (!failed)
		return conclude(&x, started, NULL, t->result->message, e);
	(void)snprintf(t->result->message, sizeof(t->result->message),
		       "the primary %s, and snapshots went to region %.63s: "
		       "%s",
		       is_away ? "is away" : "cannot be written to",
		       r->written->name,
		       text_fit(why.text, text, sizeof(text)));
	return conclude(&x, started, &why, t->result->message, e);
}

/* The nth of replicateTo, if the run does not write to it; or NULL. */
static const struct resource_region *other_region(const struct run *r, size_t n)
{
	const struct resource_texts *names =
		&r->schedule->schedule.replicate_to;
	/* Validated when it was applied. */
	const struct resource_region *region = resource_region(r->repository,
							       names->items[n]);

	return region && !region->primary && region != r->written ? region
								  : NULL;
}

/* Before the others are served from it, or to it. */
static int do_primary(struct step *t, struct err *e)
{
	const struct run *r = t->run;
	int one;

	if (!r->written->primary) {
		one = serve_primary(t, e);
		count(t, one);
		return one < 0 ? -1 : 0;
	}
	if (run_double_retire(t->run, r->written, t->from, e) < 0)
		return -1;
	for (size_t i = 0; i < r->schedule->schedule.replicate_to.count; i++) {
		const struct resource_region *region = other_region(r, i);

		if (run_stopped(r, e) < 0)
			return -1;
		if (!region)
			continue;
		one = fetch_missed(t, region, e);
		if (one < 0)
			return -1;
		if (one != NOTHING_MISSED)
			count(t, one);
	}
	return 0;
}

/* ---- All others, at once ------------------------------------------------ */

/* One region's turn, as the others see it. */
struct turn {
	const struct resource_region *region;
	bool done; /* served and recorded, well or not */
	int came;  /* as conclude() says */
	char message[MESSAGE_MAX];
	struct err e; /* when it was not done */
};

struct turns {
	struct step *step;
	struct turn *v;
	size_t n;
	atomic_size_t next;
};

/* Bring a region up to date. */
static int serve(struct run *r, const struct step *step, struct turn *t,
		 struct err *e)
{
	CLEANUP(copying_done)
	struct copying x = { .run = r,
			     .region = t->region,
			     .origin = r->written,
			     .from = step->from };
	const struct instant started = clock_now();
	struct err why = { 0 };
	const bool failed = open_to(&x, &why) < 0 ||
			    look_for_unwanted(&x, &why) < 0 ||
			    copy(&x, NULL, 0, &why) < 0 ||
			    measure(&x, &why) < 0;
	const int one = conclude(&x, started, failed ? &why : NULL, t->message,
				 e);

	t->came = one;
	return one < 0 ? -1 : 0;
}

/* Until none is left: one whose turn fails for good keeps nobody waiting. */
static void serve_some(struct run *r, struct turns *all)
{
	size_t i;

	while ((i = atomic_fetch_add(&all->next, 1)) < all->n) {
		struct turn *t = &all->v[i];

		t->done = run_stopped(r, &t->e) == 0 &&
			  serve(r, all->step, t, &t->e) == 0;
	}
}

/*
 * What a thread changes of the run is its own: the handle on the catalog, and
 * which regions are silent.
 */
struct helper {
	pthread_t thread;
	struct turns *all;
	struct run mine;
};

static void *thread_main(void *arg)
{
	struct helper *h = arg;
	CLEANUP(catalog_close) struct catalog *c = NULL;
	struct err ignored = { 0 };

	/* Without one the others do its part. */
	if (catalog_open_another(h->mine.catalog, &c, &ignored) < 0)
		return NULL;
	h->mine.catalog = c;
	serve_some(&h->mine, h->all);
	return NULL;
}

/*
 * This thread is one of them, and enough where no other can be had.  The run is
 * copied before anybody changes it, and told what they learned when all ended.
 */
static void serve_all(struct turns *all)
{
	struct run *r = all->step->run;
	const unsigned int silent = r->silent;
	struct helper helpers[AT_ONCE - 1];
	size_t n = 0;

	while (n < AT_ONCE - 1 && n + 1 < all->n) {
		struct helper *h = &helpers[n];

		h->all = all;
		h->mine = *r;
		if (pthread_create(&h->thread, NULL, thread_main, h) != 0)
			break;
		n++;
	}
	serve_some(r, all);
	while (n > 0) {
		const struct helper *h = &helpers[--n];

		(void)pthread_join(h->thread, NULL);
		r->silent |= h->mine.silent & ~silent;
		r->silent &= ~(silent & ~h->mine.silent);
	}
}

static int sum_up(const struct turns *all, struct step *step, struct err *e)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct turn *t = &all->v[i];

		if (!t->done) {
			*e = t->e;
			return -1;
		}
		count(step, t->came);
		if (*t->message && !*step->result->message)
			memcpy(step->result->message, t->message,
			       sizeof(t->message));
	}
	return 0;
}

static int do_others(struct step *step, struct err *e)
{
	const size_t n = step->run->schedule->schedule.replicate_to.count;
	struct turns all = { .step = step };
	int failed;

	all.v = calloc(n, sizeof(*all.v));
	if (!all.v)
		return err_oom(e);
	for (size_t i = 0; i < n; i++) {
		const struct resource_region *region = other_region(step->run,
								    i);

		if (region)
			all.v[all.n++].region = region;
	}
	serve_all(&all);
	failed = sum_up(&all, step, e);
	free(all.v);
	return failed;
}

int step_replicate(struct run *r, const struct resource *source UNUSED,
		   struct run_result *result, struct err *e)
{
	CLEANUP(repository_close) struct repository *from = NULL;
	struct step step = { .run = r, .result = result };

	if (r->schedule->schedule.replicate_to.count == 0) {
		result->state = RUN_SKIPPED;
		return 0;
	}
	if (run_region_written(r, &from, e) < 0)
		return -1;
	step.from = from;
	if (do_primary(&step, e) < 0 || do_others(&step, e) < 0)
		return -1;
	result->state = step.served == step.regions	    ? RUN_SUCCEEDED
			: step.served || step.served_unread ? RUN_PARTIAL
							    : RUN_FAILED;
	return 0;
}
