#include "service/run_double.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/catalog_keep.h"
#include "service/mirror.h"
#include "service/run_region.h"
#include "storage/repository/deletion.h"

/* A failed attempt or two leave one each; what is more is for the next run.
 * Half of them are the newest: those that cannot be decided keep no others out.
 */
enum { DOUBLES_MAX = 64 };

/* So long a store may take to list what an attempt published last of all. */
#define LATE_MS (INT64_C(24) * 3600 * 1000)

struct found {
	int64_t run;
	char source[RESOURCE_NAME_MAX + 1];
	struct object_id id;
	char again[OBJECT_ID_TEXT];
	char again_in[RESOURCE_NAME_MAX + 1];
	struct instant started;
};

struct doubles {
	struct run *run;
	const struct resource_region *region;
	struct repository *in;
	struct found v[DOUBLES_MAX];
	size_t n;
};

static bool has(const struct doubles *all, const struct catalog_double *row)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].run == row->run &&
		    strcmp(all->v[i].source, row->source) == 0)
			return true;
	return false;
}

static int see(void *arg, const struct catalog_double *row,
	       struct err *e UNUSED)
{
	struct doubles *all = arg;
	struct found *f = &all->v[all->n];

	/* Several attempts may have ended: the last of them comes first. */
	if (has(all, row))
		return 0;
	if (all->n == (row->in_turn ? DOUBLES_MAX : DOUBLES_MAX / 2))
		return 1;
	*f = (struct found){ .run = row->run, .started = row->started };
	if (!object_id_parse(row->snapshot, &f->id))
		return 0;
	(void)snprintf(f->source, sizeof(f->source), "%s", row->source);
	(void)snprintf(f->again, sizeof(f->again), "%s", row->again);
	(void)snprintf(f->again_in, sizeof(f->again_in), "%s", row->again_in);
	all->n++;
	return 0;
}

/* What became of it: from now on nobody looks for it. */
static int settle(const struct doubles *all, const struct found *f,
		  const char *state, const char *message, struct err *e)
{
	char id[OBJECT_ID_TEXT];
	char details[2 * OBJECT_ID_TEXT + 64];
	const struct catalog_step row = { .run = f->run,
					  .source = f->source,
					  .step = "snapshot",
					  .region = all->region->name,
					  .state = state,
					  .started = f->started,
					  .finished = clock_now(),
					  .message = message,
					  .details_json = details };

	object_id_format(f->id, id);
	(void)snprintf(details, sizeof(details),
		       "{\"snapshot\":\"%s\",\"taken_again\":\"%s\"}", id,
		       f->again);
	log_event(LOG_LEVEL_WARN,
		  "snapshot %.8s of %s, which run %jd made in region %s: %s",
		  id, f->source, (intmax_t)f->run, all->region->name, message);
	return catalog_step_put(all->run->catalog, &row, e);
}

/* Its row, and that it is here: reports tell what it is. */
static int tell_catalog(const struct doubles *all, const struct found *f,
			const struct repository_snapshot *s, struct err *e)
{
	struct catalog *c = all->run->catalog;
	const char *repository = all->run->repository->name;
	const struct mirror_origin origin = { .repository = repository,
					      .run = f->run };

	return mirror_snapshot(c, &origin, s, e) < 0 ||
			       mirror_copy(c, repository, all->region->name, s,
					   s->received, e) < 0
		       ? -1
		       : 0;
}

/* And why it is gone. */
static int record(const struct doubles *all, const struct found *f,
		  const struct repository_snapshot *s, const char *reason,
		  struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = clock_now() };
	char id[OBJECT_ID_TEXT];

	object_id_format(f->id, id);
	return tell_catalog(all, f, s, e) < 0 ||
			       catalog_snapshot_deleted_in(
				       all->run->catalog,
				       all->run->repository->name, id,
				       all->region->name, reason, &who, e) < 0
		       ? -1
		       : 0;
}

/* ---- The other one ------------------------------------------------------ */

/* What became of the one that counts: the first two another region may know
 * better, the last two are the same wherever it is. */
enum other { OTHER_GONE, OTHER_UNKNOWN, OTHER_WORSE, OTHER_COUNTS };

/* In one region: a manifest may be listed there, and be void. */
static enum other other_in(struct repository *r, const struct found *f,
			   const struct repository_snapshot *s)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot other;
	struct err why = { 0 };
	int counts;

	manifest_init(&other.manifest);
	if (repository_find(r, f->again, NULL, false, &other, NULL, &why) < 0)
		return why.code == ERR_NOT_FOUND && !why.of_store
			       ? OTHER_GONE
			       : OTHER_UNKNOWN;
	counts = repository_counts(r, other.manifest.snapshot, &why);
	if (counts <= 0)
		return counts < 0 ? OTHER_UNKNOWN : OTHER_GONE;
	return other.manifest.state != MANIFEST_COMPLETE &&
			       s->manifest.state == MANIFEST_COMPLETE
		       ? OTHER_WORSE
		       : OTHER_COUNTS;
}

static enum other other_at(const struct doubles *all,
			   const struct resource_region *region,
			   const struct found *f,
			   const struct repository_snapshot *s)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	struct err ignored = { 0 };

	if (run_region_open(all->run, region, &r, &ignored) < 0)
		return OTHER_UNKNOWN;
	return other_in(r, f, s);
}

/*
 * Here, where it went, and then in all others: it may have been copied, and
 * its own region let go of it.  A region that is not asked may have it.
 */
static int find_other(const struct doubles *all, const struct found *f,
		      const struct repository_snapshot *s, enum other *ret,
		      struct err *e)
{
	const struct resource *declared = all->run->repository;
	const struct resource_region *went = resource_region(declared,
							     f->again_in);
	enum other best = other_in(all->in, f, s);
	enum other one;

	if (went && went != all->region && best < OTHER_WORSE) {
		one = other_at(all, went, f, s);
		best = one > best ? one : best;
	}
	for (size_t i = 0;
	     i < declared->repository.region_count && best < OTHER_WORSE; i++) {
		const struct resource_region *region =
			&declared->repository.regions[i];

		if (region == all->region || region == went)
			continue;
		if (run_stopped(all->run, e) < 0)
			return -1;
		one = other_at(all, region, f, s);
		best = one > best ? one : best;
	}
	*ret = best;
	return 0;
}

/* ---- This one ----------------------------------------------------------- */

static int stay(const struct doubles *all, const struct found *f,
		const struct repository_snapshot *s, const char *why,
		struct err *e)
{
	const bool whole = s->manifest.state == MANIFEST_COMPLETE;
	char message[300];

	(void)snprintf(message, sizeof(message),
		       "it stays: what was taken again as %.8s in region "
		       "%.63s %s",
		       f->again, f->again_in, why);
	return tell_catalog(all, f, s, e) < 0
		       ? -1
		       : settle(all, f, whole ? "succeeded" : "partial",
				message, e);
}

static int delete_it(const struct doubles *all, const struct found *f,
		     const struct repository_snapshot *s, struct err *e)
{
	char reason[200];
	char message[300];
	const struct deletion d = { .now = clock_now(),
				    .grace_ms = DELETION_GRACE_MS,
				    .by = "snapctld",
				    .reason = reason };
	struct err why = { 0 };

	(void)snprintf(reason, sizeof(reason),
		       "its run lost region %.63s, and it was taken again as "
		       "%.8s in region %.63s",
		       all->region->name, f->again, f->again_in);
	if (deletion_delete(all->in, s, &d, &why) == 0) {
		(void)snprintf(message, sizeof(message), "deleted: %s", reason);
		return record(all, f, s, reason, e) < 0
			       ? -1
			       : settle(all, f, "failed", message, e);
	}
	if (why.code == ERR_DENIED && !why.of_store) {
		(void)snprintf(message, sizeof(message),
			       "taken again as %.8s in region %.63s, and stays "
			       "beside that: %.150s",
			       f->again, f->again_in, why.text);
		return settle(all, f, "failed", message, e);
	}
	log_failure(LOG_LEVEL_WARN, "a snapshot that was taken twice", &why);
	return 0;
}

/* Only beside one that is there, and as good, it is one too many. */
static int weigh(const struct doubles *all, const struct found *f,
		 const struct repository_snapshot *s, struct err *e)
{
	enum other other;

	if (find_other(all, f, s, &other, e) < 0)
		return -1;
	switch (other) {
	case OTHER_COUNTS:
		return delete_it(all, f, s, e);
	case OTHER_WORSE:
		return stay(all, f, s, "is not whole", e);
	case OTHER_GONE:
		return stay(all, f, s, "is not there any more", e);
	case OTHER_UNKNOWN:
		log_event(LOG_LEVEL_WARN,
			  "%s was taken twice, in region %s and in region %s, "
			  "which cannot be asked: both stay for now",
			  f->source, all->region->name, f->again_in);
		return 0;
	}
	return 0;
}

static int retire(const struct doubles *all, const struct found *f,
		  struct err *e)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char id[OBJECT_ID_TEXT];
	struct err why = { 0 };

	object_id_format(f->id, id);
	manifest_init(&s.manifest);
	if (repository_find(all->in, id, NULL, false, &s, NULL, &why) == 0)
		return weigh(all, f, &s, e);
	if (why.code != ERR_NOT_FOUND || why.of_store) {
		log_failure(LOG_LEVEL_WARN, "a snapshot that was taken twice",
			    &why);
		return 0;
	}
	return instant_ms_between(f->started, clock_now()) < LATE_MS
		       ? 0
		       : settle(all, f, "failed", "it was never published", e);
}

int run_double_retire(struct run *r, const struct resource_region *region,
		      struct repository *in, struct err *e)
{
	struct doubles all = { .run = r, .region = region, .in = in };

	if (catalog_doubles(r->catalog, r->repository->name, region->name,
			    r->id, see, &all, e) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++)
		if (run_stopped(r, e) < 0 || retire(&all, &all.v[i], e) < 0)
			return -1;
	return 0;
}
