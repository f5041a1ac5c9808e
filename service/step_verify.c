/*
 * The step "verify": whether each region of the repository holds what it
 * says, so that a copy counts for the floors of retention only when it does.
 *
 * The structure of a region is checked whole at every run.  Of its packs
 * those are read that
 *
 *	never were	what came with this run's snapshots, and all of a
 *			region that is new
 *	take a turn	the packs of one part of the cycle: a run each, so that
 *			the reading spreads evenly over verifyEvery
 *	are due		older than verifyEvery less two runs of the schedule:
 *			a missed night breaks no promise
 *
 * in this order, the longest unread first, up to verifyBudget bytes.
 *
 * A copy is as old as the oldest reading of any pack of its region: more than
 * it reaches, so never too young.  While some pack was never read no copy is
 * dated anew, but what was proven before stays so, and ages.  A copy that
 * loses by damage, or that the region no longer lists, is not proven at all.
 *
 * Packs that were read stay read when the run is stopped halfway.
 *
 * What guards what is locked is asked of its store by a cycle of its own
 * (run_locks.h).
 *
 * A region that is damaged, or lists less than it had, is healed at once from
 * the others (run_heal.h), and looked at again: what that comes to counts.
 * Where it is the primary, what could not be copied before is copied then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "schedules/cron.h"
#include "service/catalog_keep.h"
#include "service/findings.h"
#include "service/id_list.h"
#include "service/run_heal.h"
#include "service/run_locks.h"
#include "service/run_region.h"
#include "service/step.h"
#include "service/zoneinfo.h"
#include "storage/repository/check.h"
#include "storage/repository/pack.h"
#include "storage/stores/store.h"

#define DETAILS_MAX ((size_t)1 << 20)
#define PACKS_MAX   ((size_t)1 << 24)

enum { FINDINGS_TOLD = 20, GAPS = 8 };

struct pack {
	struct object_id id;
	uint64_t size;
	struct instant read; /* or 0: never, or not soundly */
	bool wanted;
	bool fresh;   /* read in this run */
	bool damaged; /* a finding names it */
};

/* One region's turn. */
struct verifying {
	struct run *run;
	const struct resource_region *region;
	struct repository *repository;
	struct instant started;
	struct pack *packs; /* by id */
	size_t n, room;
	struct id_list gone;	  /* were read once, and are not there now */
	struct id_list snapshots; /* listed before the packs were */
	struct id_list deleted;	  /* so are these */
	struct id_list lost;	  /* it had them, and nobody deleted them */
	struct id_list losers;	  /* of those listed, what loses by damage */
	bool all_lose;		  /* more than are named */
	/* Why one that is listed could not be read then; or none. */
	struct err unopened;
	struct check_result result;
	uint64_t unread; /* bytes that were never read */
	struct instant oldest;
	int64_t cycle_ms; /* within which all are read */
	struct run_locks locks;
	bool *ret_short; /* whether they are guarded too briefly */
};

static void verifying_done(struct verifying *x)
{
	check_result_done(&x->result);
	free(x->packs);
	free(x->gone.v);
	free(x->snapshots.v);
	free(x->deleted.v);
	free(x->lost.v);
	free(x->losers.v);
	repository_close(x->repository);
}
static inline void cleanup_verifying_done(struct verifying *x)
{
	verifying_done(x);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct object_id));
}

/* ---- What is there ------------------------------------------------------ */

/* The id comes first in a pack, so that packs compare as their ids do. */
static struct pack *find_pack(struct verifying *x, struct object_id id)
{
	return x->n ? bsearch(&id, x->packs, x->n, sizeof(*x->packs),
			      compare_ids)
		    : NULL;
}

static int add_pack(void *arg, const struct store_entry *entry, struct err *e)
{
	struct verifying *x = arg;
	struct object_id first, id;

	if (!object_name_parse(OBJECT_DATA_PACK, entry->name, &first, &id) &&
	    !object_name_parse(OBJECT_META_PACK, entry->name, &first, &id))
		return 0;
	if (x->n == x->room) {
		const size_t room = x->room ? 2 * x->room : 256;
		struct pack *more;

		if (room > PACKS_MAX)
			return err_set(e, ERR_CORRUPT,
				       "the region holds too many packs");
		more = reallocarray(x->packs, room, sizeof(*more));
		if (!more)
			return err_oom(e);
		x->packs = more;
		x->room = room;
	}
	x->packs[x->n++] = (struct pack){ .id = id, .size = entry->size };
	return 0;
}

static int add_snapshot(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct verifying *x = arg;

	return id_list_add(s->deleted ? &x->deleted : &x->snapshots,
			   s->manifest.snapshot, e);
}

/* It counts as not listed, until somebody can read it. */
static int note_unopened(void *arg, const char *name, const struct err *why,
			 struct err *e)
{
	struct verifying *x = arg;

	(void)name;
	(void)e;
	if (!x->unopened.code)
		x->unopened = *why;
	return 0;
}

/* A copy that the region had, and does not list; nor is it on its way. */
static int see_lost(void *arg, const struct catalog_replica *row, struct err *e)
{
	struct verifying *x = arg;
	struct object_id id;

	if (strcmp(row->state, "complete") != 0 ||
	    !object_id_parse(row->snapshot, &id) ||
	    instant_compare(row->completed, x->started) >= 0 ||
	    id_list_has(&x->snapshots, id) || id_list_has(&x->deleted, id))
		return 0;
	return id_list_add(&x->lost, id, e);
}

static int see_tombstone(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct object_id first, id;

	return object_name_parse(OBJECT_TOMBSTONE, entry->name, &first, &id)
		       ? id_list_add(arg, first, e)
		       : 0;
}

/* Those whose manifests a collector took are deleted, too. */
static int leave_out_deleted(struct verifying *x, struct err *e)
{
	struct id_list tombstones = { .n = 0 };
	size_t n = 0;
	int failed = store_list(repository_store(x->repository), "tombstones/",
				see_tombstone, &tombstones, e);

	id_list_sort(&tombstones);
	for (size_t i = 0; i < x->lost.n && failed >= 0; i++) {
		const struct object_id id = x->lost.v[i];
		/* An undelete may have revoked it. */
		const int deleted = id_list_has(&tombstones, id)
					    ? repository_is_deleted(
						      x->repository, id, e)
					    : 0;

		failed = deleted < 0 ? -1 : 0;
		if (!deleted)
			x->lost.v[n++] = id;
	}
	free(tombstones.v);
	x->lost.n = n;
	return failed < 0 ? -1 : 0;
}

static int find_lost(struct verifying *x, struct err *e)
{
	const struct catalog_replica_filter filter = {
		.repository = x->run->repository->name,
		.region = x->region->name
	};

	if (catalog_replicas(x->run->catalog, &filter, see_lost, x, e) < 0)
		return -1;
	return x->lost.n ? leave_out_deleted(x, e) : 0;
}

static int recall(void *arg, const struct catalog_pack_read *row, struct err *e)
{
	struct verifying *x = arg;
	struct object_id id;
	struct pack *p;

	if (!object_id_parse(row->pack, &id))
		return 0;
	p = find_pack(x, id);
	if (!p)
		return id_list_add(&x->gone, id, e);
	/* A reading in the future proves nothing. */
	if (instant_compare(row->read, x->started) <= 0)
		p->read = row->read;
	return 0;
}

/* Snapshots first: what is listed then is complete in what is listed later. */
static int list(struct verifying *x, struct err *e)
{
	struct store *s = repository_store(x->repository);

	if (repository_snapshots(x->repository, true, add_snapshot,
				 note_unopened, x, e) < 0 ||
	    pack_list(s, add_pack, x, e) < 0)
		return -1;
	id_list_sort(&x->snapshots);
	id_list_sort(&x->deleted);
	if (find_lost(x, e) < 0)
		return -1;
	if (x->n)
		qsort(x->packs, x->n, sizeof(*x->packs), compare_ids);
	return catalog_pack_reads(x->run->catalog, x->run->repository->name,
				  x->region->name, recall, x, e);
}

/* ---- What to read ------------------------------------------------------- */

/* The longest that the next few runs are apart. */
static int find_period(const struct run *r, struct instant now, int64_t *ret_ms,
		       struct err *e)
{
	const struct resource_schedule *s = &r->schedule->schedule;
	CLEANUP(zone_free) struct zone *zone = NULL;
	int64_t longest_s = 60;
	int64_t at_s = now.sec;
	struct cron cron;

	if (cron_parse(s->cron, &cron, e) < 0 ||
	    zoneinfo_load(s->time_zone, &zone, e) < 0)
		return -1;
	for (int i = 0; i <= GAPS; i++) {
		int64_t next_s;

		if (cron_next(&cron, zone, at_s, &next_s) != 1)
			break;
		if (i > 0 && next_s - at_s > longest_s)
			longest_s = next_s - at_s;
		at_s = next_s;
	}
	*ret_ms = longest_s * 1000;
	return 0;
}

static int compare_read(const void *a, const void *b)
{
	const struct pack *x = *(struct pack *const *)a;
	const struct pack *y = *(struct pack *const *)b;
	const int order = instant_compare(x->read, y->read);

	return order ? order : compare_ids(x, y);
}

struct cycle {
	int64_t due_ms;	 /* this old: read it */
	int64_t turn_ms; /* its turn, and not read a moment ago */
	unsigned int part, parts;
};

static int find_cycle(const struct verifying *x, struct cycle *ret,
		      struct err *e)
{
	const int64_t every_ms = x->run->repository->repository.verify_every_ms;
	int64_t period_ms, parts;

	if (find_period(x->run, x->started, &period_ms, e) < 0)
		return -1;
	ret->due_ms = every_ms - 2 * period_ms;
	ret->turn_ms = period_ms / 2;
	parts = ret->due_ms / period_ms;
	if (parts < 1)
		parts = 1;
	ret->parts = parts > INT32_MAX ? INT32_MAX : (unsigned int)parts;
	ret->part = (unsigned int)(x->started.sec / (period_ms / 1000) %
				   ret->parts);
	return 0;
}

static bool is_due(const struct verifying *x, const struct cycle *c,
		   const struct pack *p)
{
	const int64_t age_ms = instant_ms_between(p->read, x->started);

	return p->read.sec == 0 || age_ms >= c->due_ms ||
	       (age_ms >= c->turn_ms &&
		check_in_part(p->id, c->part, c->parts));
}

/* At least one of them, however small the budget. */
static int choose(struct verifying *x, struct err *e)
{
	uint64_t left = config_bytes(x->run->config, CONFIG_VERIFY_BUDGET);
	struct pack **order;
	struct cycle cycle;
	size_t n = 0;

	if (find_cycle(x, &cycle, e) < 0)
		return -1;
	x->cycle_ms = cycle.due_ms;
	order = calloc(x->n + 1, sizeof(struct pack *));
	if (!order)
		return err_oom(e);
	for (size_t i = 0; i < x->n; i++)
		if (is_due(x, &cycle, &x->packs[i]))
			order[n++] = &x->packs[i];
	if (n)
		qsort(order, n, sizeof(struct pack *), compare_read);
	for (size_t i = 0; i < n && (i == 0 || order[i]->size <= left); i++) {
		order[i]->wanted = true;
		left -= order[i]->size <= left ? order[i]->size : left;
	}
	free(order);
	return 0;
}

static bool is_wanted(void *arg, struct object_id id)
{
	const struct pack *p = find_pack(arg, id);

	return p && p->wanted;
}

static void on_verified(void *arg, struct object_id id, uint64_t size UNUSED,
			struct instant when)
{
	struct pack *p = find_pack(arg, id);

	if (p) {
		p->read = when;
		p->fresh = true;
	}
}

/* ---- What it came to ---------------------------------------------------- */

static uint64_t findings_kept(const struct check_result *r)
{
	return r->n_findings < CHECK_FINDINGS_MAX ? r->n_findings
						  : CHECK_FINDINGS_MAX;
}

static int note_finding(struct verifying *x, const struct check_finding *f,
			struct err *e)
{
	struct object_id first, id;
	struct pack *p = NULL;

	if (object_name_parse(OBJECT_DATA_PACK, f->object, &first, &id) ||
	    object_name_parse(OBJECT_META_PACK, f->object, &first, &id))
		p = find_pack(x, id);
	if (p)
		p->damaged = true;
	if (findings_settled(f))
		return 0;
	x->all_lose = x->all_lose || f->n_snapshots > CHECK_SNAPSHOTS_MAX;
	for (uint64_t i = 0; i < f->n_snapshots && i < CHECK_SNAPSHOTS_MAX; i++)
		if (id_list_add(&x->losers, f->snapshots[i], e) < 0)
			return -1;
	/* A manifest that does not open: whose it is, its name tells. */
	if (object_name_parse(OBJECT_MANIFEST, f->object, &first, &id))
		return id_list_add(&x->losers, first, e);
	return 0;
}

static int judge(struct verifying *x, struct err *e)
{
	const uint64_t kept = findings_kept(&x->result);

	x->all_lose = x->result.n_findings > kept;
	for (uint64_t i = 0; i < kept; i++)
		if (note_finding(x, &x->result.findings[i], e) < 0)
			return -1;
	id_list_sort(&x->losers);
	x->oldest = x->started;
	for (size_t i = 0; i < x->n; i++) {
		const struct pack *p = &x->packs[i];

		if (p->damaged)
			continue;
		if (p->read.sec == 0)
			x->unread += p->size;
		if (instant_compare(p->read, x->oldest) < 0)
			x->oldest = p->read;
	}
	return 0;
}

static int put_read(struct verifying *x, struct object_id id,
		    struct instant when, struct err *e)
{
	char text[OBJECT_ID_TEXT];
	const struct catalog_pack_read row = { .repository =
						       x->run->repository->name,
					       .region = x->region->name,
					       .pack = text,
					       .read = when };

	object_id_format(id, text);
	return catalog_pack_read_put(x->run->catalog, &row, e);
}

static int put_reads(struct verifying *x, struct err *e)
{
	const struct instant never = { 0 };

	for (size_t i = 0; i < x->gone.n; i++)
		if (put_read(x, x->gone.v[i], never, e) < 0)
			return -1;
	for (size_t i = 0; i < x->n; i++) {
		const struct pack *p = &x->packs[i];

		if ((p->fresh || p->damaged) &&
		    put_read(x, p->id, p->damaged ? never : p->read, e) < 0)
			return -1;
	}
	return 0;
}

/* A copy whose date changes. */
struct copy {
	char id[OBJECT_ID_TEXT];
	struct instant completed, verified;
	uint64_t bytes;
};

struct copies {
	const struct verifying *x;
	struct copy *v;
	size_t n, room;
};

static struct instant date_copy(const struct verifying *x,
				const struct catalog_replica *row)
{
	struct instant was = row->oldest_verified;
	struct object_id id;

	if (instant_compare(was, x->started) > 0)
		was = (struct instant){ 0 };
	if (!object_id_parse(row->snapshot, &id) || x->all_lose ||
	    id_list_has(&x->losers, id))
		return (struct instant){ 0 };
	if (!id_list_has(&x->snapshots, id))
		/* Unless it came while the region was being read. */
		return instant_compare(row->completed, x->started) >= 0
			       ? was
			       : (struct instant){ 0 };
	return instant_compare(x->oldest, was) > 0 ? x->oldest : was;
}

static int see_copy(void *arg, const struct catalog_replica *row, struct err *e)
{
	struct copies *k = arg;
	const struct instant verified = date_copy(k->x, row);
	struct copy *c;

	if (strcmp(row->state, "complete") != 0 ||
	    instant_compare(verified, row->oldest_verified) == 0)
		return 0;
	if (k->n == k->room) {
		const size_t room = k->room ? 2 * k->room : 64;
		struct copy *more = reallocarray(k->v, room, sizeof(*more));

		if (!more)
			return err_oom(e);
		k->v = more;
		k->room = room;
	}
	c = &k->v[k->n++];
	*c = (struct copy){ .completed = row->completed,
			    .verified = verified,
			    .bytes = row->bytes };
	(void)snprintf(c->id, sizeof(c->id), "%s", row->snapshot);
	return 0;
}

static int date_copies(struct verifying *x, struct err *e)
{
	const char *repository = x->run->repository->name;
	const struct catalog_replica_filter filter = {
		.repository = repository, .region = x->region->name
	};
	struct copies k = { .x = x };
	int failed = catalog_replicas(x->run->catalog, &filter, see_copy, &k,
				      e);

	for (size_t i = 0; i < k.n && failed >= 0; i++) {
		const struct catalog_replica row = {
			.repository = repository,
			.snapshot = k.v[i].id,
			.region = x->region->name,
			.state = "complete",
			.completed = k.v[i].completed,
			.oldest_verified = k.v[i].verified,
			.bytes = k.v[i].bytes,
			.message = ""
		};

		failed = catalog_replica_put(x->run->catalog, &row, e);
	}
	free(k.v);
	return failed < 0 ? -1 : 0;
}

/* ---- Telling ------------------------------------------------------------ */

static bool is_sound(const struct verifying *x)
{
	return x->result.sound && x->lost.n == 0;
}

static void write_findings(struct json *j, const struct check_result *r)
{
	unsigned int told = 0;

	json_key(j, "damaged");
	json_begin_list(j);
	for (uint64_t i = 0; i < findings_kept(r) && told < FINDINGS_TOLD;
	     i++) {
		const struct check_finding *f = &r->findings[i];

		if (findings_settled(f))
			continue;
		told++;
		json_begin_object(j);
		json_kv_str(j, "object", f->object);
		json_kv_str(j, "message", f->message);
		json_kv_uint(j, "snapshots", f->n_snapshots);
		json_end_object(j);
	}
	json_end_list(j);
}

static int write_details(const struct verifying *x, struct buf *out,
			 struct err *e)
{
	const struct check_result *r = &x->result;
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	json_kv_str(&j, "region", x->region->name);
	json_kv_bool(&j, "sound", is_sound(x));
	json_kv_uint(&j, "snapshots", r->snapshots);
	json_kv_uint(&j, "lost_snapshots", x->lost.n);
	json_kv_uint(&j, "packs", r->packs);
	json_kv_uint(&j, "packs_read", r->packs_read);
	json_kv_uint(&j, "bytes", r->bytes);
	json_kv_uint(&j, "unread_bytes", x->unread);
	json_kv_uint(&j, "lost_chunks", r->lost);
	if (x->oldest.sec)
		json_kv_instant(&j, "oldest_read", x->oldest);
	write_findings(&j, r);
	run_locks_write(&j, &x->locks, x->started);
	json_end_object(&j);
	return json_finish(&j, e);
}

static void write_damage(const struct verifying *x, char out[300])
{
	char why[180];

	if (x->result.sound) {
		(void)snprintf(out, 300,
			       "region %.63s does not list %zu snapshots that "
			       "it had%s%s",
			       x->region->name, x->lost.n,
			       x->unopened.code ? ": " : "",
			       text_fit(x->unopened.text, why, sizeof(why)));
		return;
	}
	(void)snprintf(out, 300,
		       "region %.63s is damaged in %ju objects: `snapctl repo "
		       "check --read-data --repo %.120s` names them",
		       x->region->name,
		       (uintmax_t)findings_unsettled(&x->result),
		       x->region->url);
}

/* The run's row for the region, and the check itself. */
static int record(struct verifying *x, const struct err *why,
		  const char *message, struct err *e)
{
	const struct instant now = clock_now();
	CLEANUP(buf_done) struct buf details;
	struct catalog_check_row k = { .repository = x->run->repository->name,
				       .region = x->region->name,
				       .snapshot = "",
				       .run = x->run->id,
				       .level = "data",
				       .result = why	       ? "failed"
						 : is_sound(x) ? "sound"
							       : "damaged",
				       .started = x->started,
				       .finished = now,
				       .objects = x->result.objects,
				       .bytes = x->result.bytes,
				       .damaged = findings_unsettled(
					       &x->result) };
	struct catalog_step row = { .run = x->run->id,
				    .source = "",
				    .step = "verify",
				    .region = x->region->name,
				    .state = why ? "failed"
					     : is_sound(x) && !*x->ret_short
						     ? "succeeded"
						     : "partial",
				    .started = x->started,
				    .finished = now,
				    .message = message };
	int64_t id;

	buf_init(&details, DETAILS_MAX);
	if (!why) {
		if (write_details(x, &details, e) < 0)
			return -1;
		row.details_json = buf_str(&details);
		k.details_json = row.details_json;
	}
	return catalog_check_add(x->run->catalog, &k, &id, e) < 0
		       ? -1
		       : catalog_step_put(x->run->catalog, &row, e);
}

/* What was read by then stays read. */
static void keep_reads(struct verifying *x)
{
	struct err ignored = { 0 };

	if (catalog_begin(x->run->catalog, &ignored) < 0)
		return;
	if (put_reads(x, &ignored) < 0 ||
	    catalog_commit(x->run->catalog, &ignored) < 0)
		catalog_rollback(x->run->catalog);
}

/* All that is known now, as one. */
static int conclude(struct verifying *x, const struct err *why,
		    const char *message, struct err *e)
{
	int failed;

	if (catalog_begin(x->run->catalog, e) < 0)
		return -1;
	failed = put_reads(x, e) < 0 || (!why && date_copies(x, e) < 0) ||
		 record(x, why, message, e) < 0;
	if (failed) {
		catalog_rollback(x->run->catalog);
		return -1;
	}
	return catalog_commit(x->run->catalog, e);
}

/* ---- The step ----------------------------------------------------------- */

static int look(struct verifying *x, struct err *e)
{
	const struct check_options o = { .level = CHECK_DATA,
					 .wanted = is_wanted,
					 .now = x->started,
					 .cancel = x->run->stop,
					 .verified = on_verified,
					 .arg = x };

	if (run_region_open(x->run, x->region, &x->repository, e) < 0 ||
	    list(x, e) < 0 || choose(x, e) < 0 ||
	    check_run(x->repository, &o, &x->result, e) < 0)
		return -1;
	return judge(x, e) < 0 || run_locks_ask(x->run, x->region,
						x->repository, x->started,
						x->cycle_ms, &x->locks, e) < 0
		       ? -1
		       : 0;
}

/* That is no damage: copies are as they are, and nothing is to be healed. */
static void judge_locks(struct verifying *x, char message[300])
{
	char text[300];

	if (!x->locks.asked)
		return;
	*x->ret_short = run_locks_fall_short(&x->locks, x->region->name, text);
	if (*x->ret_short && is_sound(x))
		(void)snprintf(message, 300, "%s", text);
}

/*
 * Look, and write down what is known then: 1 it is sound, 0 it is not or could
 * not be asked (*ret_failed), -1.  message says which, or what was healed.
 */
static int examine(struct verifying *x, char message[300], bool *ret_failed,
		   struct err *e)
{
	struct err why = { 0 };
	const bool failed = look(x, &why) < 0;
	char text[221];

	if (failed && run_stopped(x->run, e) < 0) {
		keep_reads(x);
		return -1;
	}
	if (failed)
		(void)snprintf(message, 300, "region %.63s: %s",
			       x->region->name,
			       text_fit(why.text, text, sizeof(text)));
	else if (!is_sound(x))
		write_damage(x, message);
	if (!failed)
		judge_locks(x, message);
	*ret_failed = failed;
	if (conclude(x, failed ? &why : NULL, message, e) < 0)
		return -1;
	return !failed && is_sound(x);
}

/* The packs that are to be read again. */
static int find_suspects(const struct verifying *x, struct id_list *ret,
			 struct err *e)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->packs[i].damaged &&
		    id_list_add(ret, x->packs[i].id, e) < 0)
			return -1;
	return 0;
}

static int see_copying(void *arg, const struct catalog_step *s,
		       struct err *e UNUSED)
{
	bool *failed = arg;

	*failed = *failed ||
		  (strcmp(s->step, "replicate") == 0 && s->region[0] &&
		   strcmp(s->state, "succeeded") != 0);
	return 0;
}

/*
 * What the damage kept from being copied is in the primary alone, until the
 * next run: it is copied now.  The rows of the regions tell how that went.
 */
static int copy_again(struct run *r, struct err *e)
{
	struct run_result result = { .state = RUN_FAILED };
	struct err why = { 0 };
	bool wanted = false;
	int failed;

	if (catalog_steps(r->catalog, r->id, see_copying, &wanted, e) < 0)
		return -1;
	if (!wanted)
		return 0;
	buf_init(&result.details, DETAILS_MAX);
	failed = step_replicate(r, NULL, &result, &why);
	buf_done(&result.details);
	return failed < 0 && run_stopped(r, e) < 0 ? -1 : 0;
}

/* As examine(), once more after what can be healed is. */
static int heal(struct verifying *x, char message[300], bool *ret_failed,
		struct err *e)
{
	CLEANUP(verifying_done)
	struct verifying again = { .run = x->run,
				   .region = x->region,
				   .ret_short = x->ret_short };
	struct id_list suspects = { .n = 0 };
	struct run_damage damage = { .lost = x->lost.v, .n_lost = x->lost.n };
	char told[200] = "";
	int healed = find_suspects(x, &suspects, e);
	int sound;

	damage.packs = suspects.v;
	damage.n_packs = suspects.n;
	if (healed == 0)
		healed = run_heal(x->run, x->region, &damage, told, e);
	free(suspects.v);
	if (healed <= 0)
		return healed;
	(void)snprintf(message, 300, "region %.63s was damaged, and healed %s",
		       x->region->name, told);
	again.started = clock_now();
	sound = examine(&again, message, ret_failed, e);
	if (sound > 0 && x->region->primary && copy_again(x->run, e) < 0)
		return -1;
	return sound;
}

/* One region: 1 it is sound, and guarded as locked; 0 not so, or away; -1. */
static int verify(struct run *r, const struct resource_region *region,
		  struct run_result *result, bool *ret_answered, struct err *e)
{
	bool too_short = false;
	CLEANUP(verifying_done)
	struct verifying x = { .run = r,
			       .region = region,
			       .started = clock_now(),
			       .ret_short = &too_short };
	char message[300] = "";
	bool failed = false;
	int sound = examine(&x, message, &failed, e);

	if (sound == 0 && !failed && r->repository->repository.region_count > 1)
		sound = heal(&x, message, &failed, e);
	if (sound < 0)
		return -1;
	if (*message && !*result->message)
		(void)snprintf(result->message, sizeof(result->message), "%s",
			       message);
	*ret_answered = !failed;
	return sound && !too_short;
}

int step_verify(struct run *r, const struct resource *source UNUSED,
		struct run_result *result, struct err *e)
{
	const struct resource_repository *about = &r->repository->repository;
	bool any_answered = false;
	size_t sound = 0;

	for (size_t i = 0; i < about->region_count; i++) {
		bool answered = false;
		int one;

		if (run_stopped(r, e) < 0)
			return -1;
		one = verify(r, &about->regions[i], result, &answered, e);
		if (one < 0)
			return -1;
		sound += (size_t)one;
		any_answered = any_answered || answered;
	}
	result->state = sound == about->region_count ? RUN_SUCCEEDED
			: any_answered		     ? RUN_PARTIAL
						     : RUN_FAILED;
	return 0;
}
