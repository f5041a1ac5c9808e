/* The regions in `status`: whether they work, what they hold, and the space
 * that comes back in them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_keep.h"
#include "service/hold_releases.h"
#include "service/jsontree.h"
#include "service/op_status_internal.h"
#include "service/region_health.h"
#include "service/run_locks.h"

struct region_newest {
	const char *region;
	struct instant newest;
};

static int read_region_newest(void *arg, const struct catalog_newest *n,
			      struct err *e UNUSED)
{
	struct region_newest *r = arg;

	if (strcmp(n->region, r->region) == 0 &&
	    instant_compare(n->received, r->newest) > 0)
		r->newest = n->received;
	return 0;
}

static int read_check(void *arg, const struct catalog_check_row *k,
		      struct err *e UNUSED)
{
	bool *damaged = arg;

	if (strcmp(k->result, "failed") == 0)
		return 0;
	*damaged = strcmp(k->result, "damaged") == 0;
	return 1;
}

static void tell_damage(struct status *s, const struct catalog_region *r)
{
	char text[200];

	(void)snprintf(text, sizeof(text),
		       "region %s of %s is damaged: its copies that lose by it "
		       "protect nothing",
		       r->region, r->repository);
	op_status_problem(
		s, text,
		"\"snapctl region heal\" brings back what another region has; "
		"the next run tries, too");
	s->troubled++;
}

/* ---- Space that comes back ---------------------------------------------- */

/* What is known of collections in one region. */
struct collections {
	bool failed; /* the last that ended */
	char message[300];
	struct instant collected;
	json_t *details; /* of the last that succeeded, or NULL */
};

static int read_collection(void *arg, const struct catalog_collection *k,
			   struct err *e UNUSED)
{
	struct collections *x = arg;

	x->failed = strcmp(k->state, "failed") == 0;
	x->collected = k->collected;
	(void)snprintf(x->message, sizeof(x->message), "%.299s", k->message);
	x->details = jsontree_loads(k->details_json, 0, NULL);
	return 0;
}

/* The region as it is declared, where the service collects; or NULL. */
static const struct resource_region *collected_region(const struct status *s,
						      const char *repository,
						      const char *region)
{
	const struct timetable_entry *entry = timetable_named(
		s->timetable, "Maintenance", repository);

	return entry && entry->resource && entry->plan.every_s != PLAN_NEVER
		       ? resource_region(entry->resource, region)
		       : NULL;
}

/* Who keeps marked packs from going, in a few words. */
static void write_blockers(struct json *j, const json_t *details)
{
	const json_t *all = json_object_get(details, "blocked_by");
	const json_t *first = json_array_get(all, 0);
	const char *host = json_string_value(json_object_get(first, "host"));
	const char *why = json_string_value(json_object_get(first, "why"));
	const size_t n = json_array_size(all);
	char *text = all ? jsontree_dump(all, JSON_COMPACT) : NULL;
	char waits[400];

	json_key(j, "blocked_by");
	json_raw(j, all ? text : "[]");
	free(text);
	if (n == 0)
		return;
	(void)snprintf(waits, sizeof(waits), "%s %s", host ? host : "somebody",
		       why ? why : "is there");
	if (n > 1)
		(void)snprintf(waits + strlen(waits),
			       sizeof(waits) - strlen(waits), ", and %zu more",
			       n - 1);
	json_kv_str(j, "waits_for", waits);
}

/* What nothing needs, and only its lock keeps; where anything can be locked. */
static void write_locked(struct json *j, const json_t *details)
{
	const json_t *until = json_object_get(details, "locked_until");

	if (!json_object_get(details, "object_lock"))
		return;
	json_kv_int(j, "locked",
		    json_integer_value(json_object_get(details, "locked")));
	json_kv_int(
		j, "bytes_locked",
		json_integer_value(json_object_get(details, "bytes_locked")));
	json_kv_str(j, "locked_until", json_string_value(until));
}

static void write_collections(struct json *j, const struct collections *x)
{
	const json_t *pending = json_object_get(x->details, "bytes_pending");

	op_status_moment(j, "collected", x->collected);
	if (json_is_integer(pending))
		json_kv_int(j, "bytes_pending", json_integer_value(pending));
	else
		json_kv_str(j, "bytes_pending", NULL);
	write_locked(j, x->details);
	write_blockers(j, x->details);
}

/* Also after it is reachable again: then it is not collected yet. */
static void tell_uncollected(struct status *s, const struct collections *x,
			     const struct resource_region *region)
{
	char text[400];
	char hint[300];

	(void)snprintf(text, sizeof(text), "garbage is not collected: %s",
		       x->message);
	(void)snprintf(hint, sizeof(hint),
		       "space comes back when a collection succeeds; \"snapctl "
		       "repo check --repo %.200s\" looks for damage",
		       region->url);
	op_status_problem(s, text, hint);
	s->troubled++;
}

static int note_failed(void *arg, const struct catalog_collection *k,
		       struct err *e UNUSED)
{
	bool *failed = arg;

	*failed = *failed || strcmp(k->state, "failed") == 0;
	return 0;
}

/* Whether a region that is alarmed for tells it already. */
static int is_told(struct status *s, const struct timetable_entry *entry,
		   bool *ret, struct err *e)
{
	const struct resource_repository *r = &entry->resource->repository;

	/* The clock has an alarm of its own. */
	*ret = s->clock.suspicious.sec != 0;
	for (size_t i = 0; i < r->region_count; i++)
		if (catalog_collection_get(s->call->catalog, entry->name,
					   r->regions[i].name, note_failed, ret,
					   e) < 0)
			return -1;
	return 0;
}

int op_status_maintenance(struct status *s, const struct timetable_entry *entry,
			  const struct ending *end, struct err *e)
{
	const bool partial = end->state == CATALOG_PARTIAL;
	char text[400];
	bool told;

	if (entry->plan.every_s == PLAN_NEVER)
		return 0;
	if (end->overlaps >= OVERLAPS) {
		(void)snprintf(text, sizeof(text),
			       "repository %s: the last %u%s collections of "
			       "garbage were skipped, as an earlier one was "
			       "not done",
			       entry->name, end->overlaps,
			       end->overlaps == ENDINGS_MAX ? " or more" : "");
		op_status_problem(s, text,
				  "\"snapctl run list --kind maintenance\" "
				  "shows it, \"snapctl run cancel ID\" ends "
				  "it");
		s->troubled++;
	}
	if (!end->any || (end->state != CATALOG_FAILED && !partial))
		return 0;
	if (is_told(s, entry, &told, e) < 0)
		return -1;
	if (told)
		return 0;
	(void)snprintf(text, sizeof(text),
		       "repository %s: the last collection of garbage %s%s%s",
		       entry->name, partial ? "was done in part" : "failed",
		       end->reason[0] ? ": " : "", end->reason);
	op_status_problem(s, text,
			  "\"snapctl run list --kind maintenance\" and "
			  "\"snapctl run show ID\" say more");
	s->troubled++;
	return 0;
}

/* ---- All of them -------------------------------------------------------- */

/* Where a schedule writes; without a target nothing is late. */
static void write_lag(const struct status *s, const struct catalog_region *r)
{
	const struct status_lag *l = op_status_lag(s, r->repository, r->region);
	struct json *j = s->call->reply;

	if (!l)
		return;
	if (l->oldest.sec) {
		const int64_t lag_ms = instant_ms_between(l->oldest,
							  s->call->now);
		char text[INSTANT_TEXT];

		instant_duration_format(lag_ms / 60000 * 60000, text);
		json_kv_str(j, "lag", lag_ms < 60000 ? NULL : text);
		json_kv_int(j, "lag_seconds", lag_ms / 1000);
	} else {
		json_kv_str(j, "lag", "no copy");
		json_kv_str(j, "lag_seconds", NULL);
	}
	if (!l->rpo_ms)
		return;
	json_kv_int(j, "rpo_seconds", l->rpo_ms / 1000);
	json_kv_bool(j, "late", l->late);
}

/* What becomes of runs while the primary is away. */
static const char *primary_hint(const struct status *s, const char *repository)
{
	const struct timetable_entry *entry = timetable_named(
		s->timetable, "Maintenance", repository);
	const struct resource *r = entry ? entry->resource : NULL;

	if (!r || r->repository.region_count < 2)
		return NULL;
	return r->repository.failover
		       ? "runs write to another region until it is back; "
			 "\"snapctl region promote\" makes another the "
			 "primary"
		       : "runs fail until it is back; \"snapctl region "
			 "promote\" makes another the primary";
}

/* Its own, by which it keeps; or NULL. */
static const char *policy_of(const struct status *s,
			     const struct catalog_region *r)
{
	const struct timetable_entry *entry = timetable_named(
		s->timetable, "Maintenance", r->repository);
	const struct resource_region *region =
		entry && entry->resource
			? resource_region(entry->resource, r->region)
			: NULL;

	return region ? region->policy : NULL;
}

/* Until something gets there again, whether or not it can be read. */
static void tell_unwritable(struct status *s, const struct catalog_region *r,
			    const struct region_fact *fact)
{
	char text[400];

	(void)snprintf(text, sizeof(text),
		       "region %s of %s cannot be written to: %s", r->region,
		       r->repository, fact->unwritable);
	op_status_problem(s, text,
			  r->primary ? primary_hint(s, r->repository) : NULL);
	s->troubled++;
}

static void tell_locks(struct status *s, const struct catalog_region *r,
		       const struct run_locks_known *locks)
{
	char text[300];
	char problem[400];

	if (!run_locks_wrong(locks, r->region, text))
		return;
	(void)snprintf(problem, sizeof(problem), "%s: %s", r->repository, text);
	op_status_problem(s, problem, RUN_LOCKS_HINT);
	s->troubled++;
}

struct telling {
	struct status *status;
	struct hold_releases releases;
};

/* They take care of themselves where it is collected, but somebody may wait for
 * it. */
static int tell_releases(struct telling *t, const struct catalog_region *r,
			 bool is_collected, struct err *e)
{
	struct status *s = t->status;
	char text[300];
	size_t n = 0;

	if (is_collected &&
	    hold_releases_owed(&t->releases, s->call->catalog, r->repository,
			       r->region, &n, e) < 0)
		return -1;
	json_kv_uint(s->call->reply, "holds_to_release", n);
	if (n == 0)
		return 0;
	(void)snprintf(text, sizeof(text),
		       "region %.63s of %.63s still has %zu legal %s that %s "
		       "released",
		       r->region, r->repository, n, n == 1 ? "hold" : "holds",
		       n == 1 ? "was" : "were");
	op_status_problem(s, text,
			  "the collection that reaches it lets go of them; "
			  "\"snapctl hold release\" does so now");
	return 0;
}

static int write_region(void *arg, const struct catalog_region *r,
			struct err *e)
{
	const struct catalog_check_filter checks = {
		.repository = r->repository, .region = r->region, .limit = 20
	};
	struct region_newest newest = { .region = r->region };
	struct telling *t = arg;
	struct status *s = t->status;
	struct json *j = s->call->reply;
	const struct resource_region *collects = collected_region(
		s, r->repository, r->region);
	struct collections collections = { .failed = false };
	const bool down = instant_compare(r->failed, r->seen_ok) > 0;
	struct region_fact fact = { .unwritable = "" };
	struct run_locks_known locks;
	bool damaged = false;
	bool failed;

	if (catalog_newest(s->call->catalog, r->repository, NULL,
			   read_region_newest, &newest, e) < 0 ||
	    catalog_checks(s->call->catalog, &checks, read_check, &damaged, e) <
		    0 ||
	    catalog_collection_get(s->call->catalog, r->repository, r->region,
				   read_collection, &collections, e) < 0 ||
	    run_locks_known(s->call->catalog, r->repository, r->region,
			    (struct instant){ 0 }, &locks, e) < 0)
		return -1;
	json_begin_object(j);
	json_kv_str(j, "repository", r->repository);
	json_kv_str(j, "region", r->region);
	json_kv_bool(j, "primary", r->primary);
	json_kv_str(j, "policy", policy_of(s, r));
	(void)region_health_read(r->inventory_json, &fact);
	json_kv_str(j, "state",
		    down		 ? "failed"
		    : damaged		 ? "damaged"
		    : fact.unwritable[0] ? fact.refusal
					 : "ok");
	op_status_moment(j, "newest", newest.newest);
	write_lag(s, r);
	write_collections(j, &collections);
	run_locks_known_write(j, &locks);
	failed = tell_releases(t, r, collects != NULL, e) < 0;
	json_end_object(j);
	json_decref(collections.details);
	if (failed)
		return -1;
	if (collections.failed && collects && !down)
		tell_uncollected(s, &collections, collects);
	if (damaged)
		tell_damage(s, r);
	tell_locks(s, r, &locks);
	if (fact.unwritable[0] && !down)
		tell_unwritable(s, r, &fact);
	if (down) {
		char text[400];

		(void)snprintf(text, sizeof(text),
			       "region %s of %s does not work: %.200s",
			       r->region, r->repository, r->message);
		op_status_problem(s, text,
				  r->primary ? primary_hint(s, r->repository)
					     : NULL);
		s->troubled++;
	}
	return 0;
}

static int write_regions(struct telling *t, struct err *e)
{
	struct operation_call *call = t->status->call;

	if (hold_releases_read(call->catalog, &t->releases, e) < 0)
		return -1;
	json_key(call->reply, "regions");
	json_begin_list(call->reply);
	if (catalog_regions(call->catalog, NULL, write_region, t, e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}

int op_status_regions(struct status *s, struct err *e)
{
	struct telling t = { .status = s };
	const int failed = write_regions(&t, e);

	hold_releases_done(&t.releases);
	return failed;
}
