#include "service/run_region.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "service/bandwidth.h"
#include "service/catalog_keep.h"
#include "service/region_health.h"

const struct resource_region *run_region_primary(const struct run *r)
{
	const struct resource_region *region = resource_region(r->repository,
							       NULL);

	assert(region);
	return region;
}

/* What is known of a region and outlives this contact. */
struct known {
	const char *region;
	struct instant seen_ok, failed, listed;
	struct region_fact fact;
	char message[600];
	bool is_first;
};

static int recall(void *arg, const struct catalog_region *row,
		  struct err *e UNUSED)
{
	struct known *k = arg;

	if (strcmp(row->region, k->region) != 0)
		return 0;
	k->seen_ok = row->seen_ok;
	k->failed = row->failed;
	k->listed = row->listed;
	(void)snprintf(k->message, sizeof(k->message), "%s", row->message);
	k->is_first = !region_health_read(row->inventory_json, &k->fact);
	return 0;
}

/* What is known of the region; zeros when nothing is. */
static int know(struct run *r, const struct resource_region *region,
		struct known *ret, struct err *e)
{
	*ret = (struct known){ .region = region->name, .is_first = true };
	return catalog_regions(r->catalog, r->repository->name, recall, ret,
			       e) < 0
		       ? -1
		       : 0;
}

static int put(struct run *r, const struct resource_region *region,
	       const struct known *k, struct err *e)
{
	struct catalog_region row = { .repository = r->repository->name,
				      .region = region->name,
				      .url = region->url,
				      .primary = region->primary,
				      .seen_ok = k->seen_ok,
				      .failed = k->failed,
				      .message = k->message,
				      .listed = k->listed };
	CLEANUP(buf_done) struct buf health;

	buf_init(&health, 2048);
	if (region_health_write(&k->fact, &health, e) < 0)
		return -1;
	row.inventory_json = buf_str(&health);
	return catalog_region_put(r->catalog, &row, e) < 0 ? -1 : 0;
}

/* Note how the region answered; why NULL when it did. */
static int note(struct run *r, const struct resource_region *region,
		const struct err *why, int64_t took_ms, struct err *e)
{
	struct known k;

	if (know(r, region, &k, e) < 0)
		return -1;
	region_choice_learn(&k.fact, k.is_first, why ? -1 : took_ms);
	if (why)
		k.failed = clock_now();
	else
		k.seen_ok = clock_now();
	(void)snprintf(k.message, sizeof(k.message), "%s",
		       why ? why->text : "");
	return put(r, region, &k, e);
}

/* A disk that is full, or slow, is no read-only one. */
static const char *refusal_of(const struct err *why)
{
	switch (why->code) {
	case ERR_FULL:
		return "full";
	case ERR_BUSY:
		return "busy";
	default:
		return "read-only";
	}
}

/* Note why it cannot be written to; NULL: it can. */
static int note_writing(struct run *r, const struct resource_region *region,
			const struct err *why, struct err *e)
{
	struct known k;

	if (know(r, region, &k, e) < 0)
		return -1;
	if (!why && !k.fact.unwritable[0])
		return 0;
	(void)snprintf(k.fact.unwritable, sizeof(k.fact.unwritable), "%.199s",
		       why ? why->text : "");
	(void)snprintf(k.fact.refusal, sizeof(k.fact.refusal), "%s",
		       why ? refusal_of(why) : "");
	return put(r, region, &k, e);
}

int run_region_wrote(struct run *r, const struct resource_region *region,
		     struct err *e)
{
	return note_writing(r, region, NULL, e);
}

int run_region_key(const struct run *r, struct keyring_credential **ret,
		   struct err *e)
{
	char path[4096];
	const int n = snprintf(path, sizeof(path), "%s/%s",
			       config_text(r->config, CONFIG_KEYS),
			       r->repository->repository.key_file);

	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, "the key file's path is too long");
	return keyring_credential_key_file(path, ret, e);
}

static unsigned int bit_of(const struct run *r,
			   const struct resource_region *region)
{
	const struct resource_repository *all = &r->repository->repository;
	size_t i = 0;

	while (i < all->region_count && &all->regions[i] != region)
		i++;
	return i < all->region_count && i < 32 ? 1U << i : 0;
}

/*
 * The first step that needs it waits for one that is silent; those after it
 * look whether it is back, and no longer than that.
 */
void run_region_bear(const struct run *r, const struct resource_region *region,
		     struct store *s)
{
	store_set_patience(s, r->silent & bit_of(r, region) ? STORE_HURRIED
							    : STORE_PATIENT);
}

static int open_region(struct run *r, const struct resource_region *region,
		       struct repository **ret, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	struct store *s = NULL;

	if (run_region_key(r, &key, e) < 0 || bandwidth_open(region, &s, e) < 0)
		return -1;
	run_region_bear(r, region, s);
	if (repository_open_on(s, key, ret, e)) {
		if (e->code == ERR_BUSY)
			r->silent |= bit_of(r, region);
		return -1;
	}
	r->silent &= ~bit_of(r, region);
	store_set_patience(repository_store(*ret), STORE_PATIENT);
	return 0;
}

int run_region_open(struct run *r, const struct resource_region *region,
		    struct repository **ret, struct err *e)
{
	CLEANUP(repository_close) struct repository *opened = NULL;
	const int64_t began_ms = clock_boot_ms();
	struct err why = { 0 };

	if (open_region(r, region, &opened, &why) < 0) {
		if (note(r, region, &why, 0, e) < 0)
			return -1;
		*e = why;
		return err_wrap(e, "region %s of repository %s",
				text_quote_str(region->name).s,
				text_quote_str(r->repository->name).s);
	}
	if (note(r, region, NULL, clock_boot_ms() - began_ms, e) < 0)
		return -1;
	*ret = TAKE(opened);
	return 0;
}

/* ---- When the primary is away ------------------------------------------- */

static bool may_leave(const struct run *r)
{
	return r->repository->repository.failover && r->schedule && !r->drill;
}

/* Of those after the one that is left, in the order of replicateTo. */
static size_t first_to_try(const struct run *r,
			   const struct resource_region *left)
{
	const struct resource_texts *names =
		&r->schedule->schedule.replicate_to;

	for (size_t i = 0; !left->primary && i < names->count; i++)
		if (strcmp(names->items[i], left->name) == 0)
			return i + 1;
	return 0;
}

static int open_another(struct run *r, const struct resource_region *left,
			const struct err *why, struct repository **ret)
{
	const struct resource_texts *names =
		&r->schedule->schedule.replicate_to;

	for (size_t i = first_to_try(r, left); i < names->count; i++) {
		const struct resource_region *region = resource_region(
			r->repository, names->items[i]);
		struct err ignored = { 0 };

		if (!region || region->primary ||
		    run_region_open(r, region, ret, &ignored) < 0)
			continue;
		r->written = region;
		if (left->primary)
			(void)text_fit(why->text, r->not_primary,
				       sizeof(r->not_primary));
		log_event(LOG_LEVEL_WARN,
			  "the run writes to region %s, as region %s %s: %s",
			  region->name, left->name,
			  r->primary_opens ? "cannot be written to" : "is away",
			  why->text);
		return 0;
	}
	return -1;
}

int run_region_written(struct run *r, struct repository **ret, struct err *e)
{
	const struct resource_region *region = r->written
						       ? r->written
						       : run_region_primary(r);

	if (run_region_open(r, region, ret, e) == 0) {
		r->written = region;
		return 0;
	}
	if (!region->primary || !may_leave(r) ||
	    !region_choice_is_away(e, REGION_OPEN_TO_WRITE))
		return -1;
	return open_another(r, region, e, ret);
}

int run_region_leave(struct run *r, const struct err *why,
		     struct repository **ret, struct err *e)
{
	const struct resource_region *left = r->written;

	if (!left || !may_leave(r) || !region_choice_is_away(why, REGION_WRITE))
		return 0;
	if (note_writing(r, left, why, e) < 0)
		return -1;
	if (why->code == ERR_BUSY)
		r->silent |= bit_of(r, left);
	r->primary_opens = r->primary_opens || left->primary;
	return open_another(r, left, why, ret) == 0;
}

/* ---- Locks -------------------------------------------------------------- */

static int read_lock(void *arg, const struct catalog_resource *row,
		     struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	CLEANUP(resource_free) struct resource *policy = NULL;

	if (resource_from_form(&form, &policy, e) < 0)
		return -1;
	*(int64_t *)arg = policy->policy.lock_ms;
	return 0;
}

static int policy_lock(const struct run *r, const char *policy, int64_t *ret_ms,
		       struct err *e)
{
	const int found = catalog_resource_get(r->catalog, "Policy", policy,
					       read_lock, ret_ms, e);

	if (found < 0)
		return -1;
	return found ? 0
		     : err_set(e, ERR_NOT_FOUND, "there is no policy %s",
			       text_quote_str(policy).s);
}

/* 0: it has none. */
static int own_lock(const struct run *r, const struct resource_region *region,
		    int64_t *ret_ms, struct err *e)
{
	*ret_ms = 0;
	return region->policy ? policy_lock(r, region->policy, ret_ms, e) : 0;
}

static int read_schedule(void *arg, const struct catalog_resource *row,
			 struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, arg, e);
}

/* This run's when there is no schedule of that name any more. */
static int lock_by(const struct run *r, const char *schedule, int64_t *ret_ms,
		   struct err *e)
{
	CLEANUP(resource_free) struct resource *other = NULL;
	const char *policy;

	*ret_ms = r->policy ? r->policy->policy.lock_ms : 0;
	if (!*schedule || strcmp(schedule, r->schedule->name) == 0)
		return 0;
	if (catalog_resource_get(r->catalog, "Schedule", schedule,
				 read_schedule, &other, e) < 0)
		return -1;
	if (!other)
		return 0;
	*ret_ms = 0;
	policy = other->schedule.policy;
	return policy ? policy_lock(r, policy, ret_ms, e) : 0;
}

static int recall_schedule(void *arg, const struct catalog_snapshot *row,
			   struct err *e UNUSED)
{
	(void)snprintf(arg, RESOURCE_NAME_MAX + 1, "%s", row->schedule);
	return 0;
}

int run_region_lock_of(const struct run *r, const struct repository_snapshot *s,
		       int64_t *ret_ms, struct err *e)
{
	char id[OBJECT_ID_TEXT];
	char schedule[RESOURCE_NAME_MAX + 1] = "";
	const struct catalog_snapshot_filter filter = {
		.repository = r->repository->name,
		.id_prefix = id,
		.deleted = CATALOG_WITH_DELETED,
	};

	object_id_format(s->manifest.snapshot, id);
	if (catalog_snapshots(r->catalog, &filter, recall_schedule, schedule,
			      e) < 0)
		return -1;
	if (!*schedule && !s->lock_is_here)
		return 0;
	return lock_by(r, schedule, ret_ms, e) < 0 ? -1 : 1;
}

int run_region_lock(const struct run *r, const struct resource_region *region,
		    struct run_lock *ret, struct err *e)
{
	const struct resource_repository *all = &r->repository->repository;
	struct run_lock lock = { .ms = r->policy ? r->policy->policy.lock_ms
						 : 0 };

	for (size_t i = 0; i < all->region_count; i++) {
		int64_t ms;

		if (own_lock(r, &all->regions[i], &ms, e) < 0)
			return -1;
		lock.is_apart |= ms > 0;
		if (&all->regions[i] != region || ms == 0)
			continue;
		lock.ms = ms;
		lock.is_own = true;
	}
	*ret = lock;
	return 0;
}
