/*
 * The step "snapshot": take one snapshot of one source into the primary
 * region, or into another one while that is away (run_region_written()).
 *
 * In order, so that a kill between any two leaves nothing done twice:
 *
 *  1. look whether this run, or an earlier attempt of its occurrence, wrote
 *     an id down under which its region has a snapshot, of a session that
 *     no collector fenced: then it is that,
 *  2. else write a fresh id down,
 *  3. take the snapshot under that id,
 *  4. lock it for as long as the policy says,
 *  5. mirror it, and its copy in that region, in the catalog,
 *  6. write down that the id is finished.
 *
 * 4 to 6 may be done again without effect.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "service/drift.h"
#include "service/driver.h"
#include "service/hooks.h"
#include "service/mirror.h"
#include "service/notes.h"
#include "service/own_folders.h"
#include "service/run_region.h"
#include "service/run_snapshot.h"
#include "service/step.h"
#include "storage/repository/deletion.h"
#include "storage/repository/guards.h"
#include "storage/repository/writer.h"
#include "storage/snapshot.h"

/* Errors named in the catalog; the snapshot itself lists them all. */
enum { NAMED_ERRORS = 100 };

struct taking {
	struct run *run;
	const struct resource *declared;
	struct repository *repository;
	struct snapshot_errors *errors;
	struct source *source;
	struct driver driver;
	struct instant held_at;
	struct own_folders own;
	bool stays; /* not looked for where it was begun before */
	struct manifest about;
	struct notes notes;
	struct notes left_out;
	uint64_t named;
	struct hooks *hooks;
	char hooks_folder[4096];
	struct err hook_failure;      /* of those that came after */
	struct err release_failure;   /* what was held is still there */
	struct child_tail said;	      /* by a command */
	struct snapshot_result taken; /* zeros when found, not taken */
	struct repository_snapshot snapshot;
	struct drift drift;
	int has_drift; /* 1, 0, or -1 and why not */
	struct err no_drift;
};

static void taking_init(struct taking *x, struct run *r,
			const struct resource *source)
{
	*x = (struct taking){
		.run = r,
		.declared = source,
		.driver = { .declared = &source->source,
			    .cancel = r->stop,
			    .cache = config_text(r->config, CONFIG_CACHE),
			    .state = config_text(r->config, CONFIG_STATE),
			    .run = r->id },
	};
	manifest_init(&x->about);
	manifest_init(&x->snapshot.manifest);
	notes_init(&x->notes);
	notes_init(&x->left_out);
	drift_init(&x->drift);
}

static void taking_done(struct taking *x)
{
	hooks_close(x->hooks);
	source_close(x->source);
	snapshot_errors_free(x->errors);
	driver_done(&x->driver);
	own_folders_done(&x->own);
	notes_done(&x->notes);
	notes_done(&x->left_out);
	drift_done(&x->drift);
	manifest_done(&x->about);
	repository_snapshot_done(&x->snapshot);
	repository_close(x->repository);
}
static inline void cleanup_taking_done(struct taking *x)
{
	taking_done(x);
}

/* ---- What is taken ------------------------------------------------------ */

/* Regions, state and cache. */
static int find_own(struct taking *x, struct err *e)
{
	const struct config *config = x->run->config;
	struct own_folders *own = &x->own;

	if (own_folders_add_path(own, config_text(config, CONFIG_STATE), e) <
		    0 ||
	    own_folders_add_path(own, config_text(config, CONFIG_CACHE), e) <
		    0 ||
	    own_folders_add_store(own, repository_store(x->repository), e) < 0)
		return -1;
	return own_folders_add_regions(own, x->run->repository, e);
}

static int prepare(struct taking *x, struct err *e)
{
	/* Names are shorter: the resources were validated. */
	(void)snprintf(x->about.source, sizeof(x->about.source), "%s",
		       x->declared->name);
	return driver_prepare(&x->driver, &x->about, e) < 0 ||
			       driver_ready(&x->driver, e) < 0
		       ? -1
		       : 0;
}

/* What quiesces may have mounted it. */
static int look(struct taking *x, struct err *e)
{
	return find_own(x, e) < 0 ||
			       driver_locate(&x->driver, &x->own, e) < 0 ||
			       snapshot_errors_new(&x->errors, e) < 0
		       ? -1
		       : 0;
}

/* ---- Taking it ---------------------------------------------------------- */

static void on_error(void *arg, const char *path, size_t len,
		     const char *message)
{
	struct taking *x = arg;

	/* One at a time: see snapshot_report(). */
	if (x->named++ < NAMED_ERRORS)
		notes_add(&x->notes, path, len, message);
}

/* What a command said is kept with the run. */
static void close_source(struct taking *x)
{
	const struct child_tail *t =
		x->source ? driver_said(&x->driver, x->source) : NULL;

	if (t)
		x->said = *t;
	source_close(x->source);
	x->source = NULL;
}

/* What went wrong with what is due afterwards, if anything. */
static const struct err *after_failure(const struct taking *x)
{
	return x->hook_failure.code ? &x->hook_failure : &x->release_failure;
}

/* In any case, once. */
static void end_hooks(struct taking *x)
{
	if (x->hooks && hooks_after(x->hooks, &x->hook_failure) < 0)
		log_failure(LOG_LEVEL_ERROR, "hooks", &x->hook_failure);
}

static void release(struct taking *x)
{
	if (driver_release(&x->driver, &x->release_failure) < 0)
		log_failure(LOG_LEVEL_ERROR, "what was read",
			    &x->release_failure);
}

/* Thawed too early, what is read is not of one moment. */
static int check_hooks(struct taking *x, struct err *e)
{
	if (!x->hooks || !hooks_were_late(x->hooks))
		return 0;
	*e = x->hook_failure;
	err_clear(&x->hook_failure);
	return -1;
}

/*
 * Nothing is open any more that a hook, or a provider, might want to unmount,
 * and nothing is published yet.
 */
static int was_read(void *arg, struct err *e)
{
	struct taking *x = arg;
	const int failed = driver_check(&x->driver, e);

	close_source(x);
	end_hooks(x);
	release(x);
	return failed < 0 ? -1 : check_hooks(x, e);
}

/*
 * Where a snapshot of what is read holds still, nothing else has to, once that
 * was taken.
 */
static int hold(struct taking *x, struct err *e)
{
	x->held_at = clock_now();
	if (driver_hold(&x->driver, e) < 0)
		return -1;
	if (!driver_holds(&x->driver))
		return 0;
	end_hooks(x);
	driver_tell_left_out(&x->driver, notes_add, &x->left_out);
	return check_hooks(x, e);
}

static int take(struct taking *x, struct object_id id, struct err *e)
{
	struct run_lock how = { .ms = 0 };
	const int failed = run_region_lock(x->run, x->run->written, &how, e);
	const struct snapshot_options o = {
		.about = &x->about,
		.id = id,
		.held_at = driver_holds(&x->driver) ? x->held_at
						    : (struct instant){ 0 },
		.by_daemon = true,
		.lock_ms = how.ms,
		.cancel = x->run->stop,
		.report = on_error,
		.was_read = was_read,
		.arg = x,
	};

	if (failed < 0)
		return -1;
	return driver_open(&x->driver, &x->own, x->errors, &x->source, e) < 0 ||
			       snapshot_take(x->repository, x->source,
					     x->errors, &o, &x->taken, e) < 0
		       ? -1
		       : 0;
}

/* 1 and x->snapshot when the repository has it, live; 0 and *e, which says why,
 * when it has not. */
static int find(struct taking *x, struct object_id id, struct err *e)
{
	char text[OBJECT_ID_TEXT];
	struct repository_snapshot found;
	struct err why = { 0 };

	object_id_format(id, text);
	manifest_init(&found.manifest);
	if (repository_find(x->repository, text, NULL, false, &found, NULL,
			    &why) < 0) {
		repository_snapshot_done(&found);
		*e = why;
		/* One whose manifest is damaged is taken anew. */
		return why.code == ERR_NOT_FOUND || why.code == ERR_CORRUPT
			       ? 0
			       : -1;
	}
	repository_snapshot_done(&x->snapshot);
	x->snapshot = found;
	return 1;
}

/*
 * Whoever published what x found was killed before it could ask for its fence
 * or, asking, saw one: with a fence the snapshot was not made (FORMAT.md §10,
 * step 7), and may be annulled at any time.  1, 0, -1.
 */
static int was_made(struct taking *x, struct err *e)
{
	const int fenced = writer_is_fenced(x->repository,
					    x->snapshot.manifest.session, e);

	return fenced < 0 ? -1 : !fenced;
}

static int find_made(struct taking *x, struct object_id id, struct err *e)
{
	const int found = find(x, id, e);

	return found > 0 ? was_made(x, e) : found;
}

/*
 * It was begun in another region, as that was the primary or the primary was
 * away: when it is there, the run has to do with that region.  One that is
 * away now may have it: another is taken, since nobody knows for how long.
 */
static int find_elsewhere(struct taking *x, const struct run_snapshot *begun,
			  struct err *e)
{
	const struct resource_region *here = x->run->written;
	const struct resource_region *there = resource_region(
		x->run->repository, begun->region);
	struct repository *own = x->repository;
	struct err why = { 0 };
	int found;

	if (!there || x->stays ||
	    run_region_open(x->run, there, &x->repository, &why) < 0)
		return 0;
	x->run->written = there;
	found = find_made(x, begun->id, e);
	if (found > 0) {
		repository_close(own);
		return found;
	}
	x->run->written = here;
	repository_close(x->repository);
	x->repository = own;
	return found < 0 && e->of_store ? 0 : found;
}

static int find_begun(struct taking *x, struct err *e)
{
	struct run_snapshot *all = NULL;
	size_t n = 0;
	int found = 0;

	if (run_snapshot_begun(x->run, x->declared->name, &all, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n && found == 0; i++)
		found = strcmp(all[i].region, x->run->written->name) == 0
				? find_made(x, all[i].id, e)
				: find_elsewhere(x, &all[i], e);
	free(all);
	return found;
}

static int open_hooks(struct taking *x, struct err *e)
{
	const struct hooks_settings settings = {
		.source = x->declared->name,
		.list = x->declared->source.hooks,
		.count = x->declared->source.hook_count,
		.limit_ms = x->declared->source.quiesce_limit_ms,
		.folder = x->hooks_folder,
		.journal = x->declared->name,
		.run = x->run->id,
		.stop = x->run->stop,
	};

	if (x->declared->source.hook_count == 0)
		return 0;
	(void)snprintf(x->hooks_folder, sizeof(x->hooks_folder), "%s/hooks",
		       config_text(x->run->config, CONFIG_STATE));
	if (hooks_open(&settings, &x->hooks, e) < 0)
		return -1;
	return hooks_before(x->hooks, e);
}

static int take_fresh(struct taking *x, struct err *e)
{
	const struct object_id id = object_id_new();
	/* The catalog may lie on what hooks freeze. */
	const bool failed = run_snapshot_begin(x->run, x->declared->name, id,
					       e) < 0 ||
			    prepare(x, e) < 0 || open_hooks(x, e) < 0 ||
			    hold(x, e) < 0 || look(x, e) < 0 ||
			    take(x, id, e) < 0;
	int found;

	close_source(x);
	end_hooks(x);
	release(x);
	/* Then two things are to be mended. */
	if (failed && after_failure(x)->code) {
		const struct err why = *e;

		(void)err_set(e, why.code, "%.290s; %.290s", why.text,
			      after_failure(x)->text);
		e->of_store = why.of_store;
	}
	if (failed)
		return -1;
	found = find(x, id, e);
	if (found == 0) {
		e->code = ERR_IO;
		return err_wrap(e, "the snapshot was published, but a listing "
				   "of the region does not show it");
	}
	return found < 0 ? -1 : 0;
}

/* ---- Afterwards --------------------------------------------------------- */

static int lock(struct taking *x, struct err *e)
{
	struct instant until;
	struct run_lock how;

	if (run_region_lock(x->run, x->run->written, &how, e) < 0)
		return -1;
	if (how.ms == 0)
		return 0;
	until = instant_add_ms(x->snapshot.received, how.ms);
	/* The record, too; of a snapshot that an earlier attempt took. */
	if (guards_begin(x->repository,
			 guards_ahead(x->snapshot.received, until), clock_now(),
			 e) < 0)
		return -1;
	if ((how.is_apart ? deletion_lock_here
			  : deletion_lock)(x->repository, &x->snapshot, until,
					   "snapctld", clock_now(), e) < 0)
		return err_wrap(e, "cannot lock the snapshot");
	if (!x->snapshot.locked ||
	    instant_compare(until, x->snapshot.locked_until) > 0)
		x->snapshot.locked_until = until;
	x->snapshot.locked = true;
	return 0;
}

static int record(struct taking *x, struct err *e)
{
	struct run *r = x->run;
	const struct mirror_origin origin = {
		.repository = r->repository->name,
		.schedule = r->schedule->name,
		.run = r->id,
		.bytes_read = x->taken.bytes_read,
		.bytes_new = x->taken.bytes_new,
	};

	if (mirror_snapshot(r->catalog, &origin, &x->snapshot, e) < 0 ||
	    mirror_copy(r->catalog, r->repository->name, r->written->name,
			&x->snapshot, x->snapshot.received, e) < 0 ||
	    run_region_wrote(r, r->written, e) < 0)
		return -1;
	return run_snapshot_end(
		r, x->declared->name, x->snapshot.manifest.snapshot,
		x->snapshot.manifest.state != MANIFEST_COMPLETE, e);
}

/* Whatever comes of it, the snapshot is taken. */
static void find_drift(struct taking *x)
{
	x->has_drift = drift_find(x->repository, &x->snapshot.manifest,
				  &x->declared->source, x->run->stop, &x->drift,
				  &x->no_drift);
	if (x->has_drift < 0)
		log_failure(LOG_LEVEL_WARN, "drift", &x->no_drift);
}

static void tell_drift(const struct taking *x, struct run_result *result)
{
	const struct drift *d = &x->drift;
	const uint64_t n = d->added + d->removed + d->changed;
	char since[OBJECT_ID_TEXT];

	object_id_format(d->since, since);
	if (x->has_drift < 0)
		(void)snprintf(result->message, sizeof(result->message),
			       "what changed could not be told: %.240s",
			       x->no_drift.text);
	else if (x->has_drift && n)
		(void)snprintf(result->message, sizeof(result->message),
			       "%ju file%s changed since %.8s", (uintmax_t)n,
			       n == 1 ? "" : "s", since);
}

/* Maintenance, or the next snapshot, makes it good. */
static bool is_unguarded(const struct taking *x)
{
	return x->taken.guarding.is && x->taken.guarding.why.code;
}

/* Who may not delete it, and until when: the store itself. */
static void write_guarding(const struct taking *x, struct json *j)
{
	const struct writer_guarding *g = &x->taken.guarding;

	if (!g->is)
		return;
	json_key(j, "object_lock");
	json_begin_object(j);
	json_kv_instant(j, "until", g->until);
	json_kv_uint(j, "objects", g->objects);
	json_kv_uint(j, "lengthened", g->lengthened);
	if (g->why.code)
		json_kv_str(j, "error", g->why.text);
	json_end_object(j);
}

/* What it says in one line. */
static void tell_message(struct taking *x, bool found,
			 struct run_result *result)
{
	const struct manifest *m = &x->snapshot.manifest;
	char id[OBJECT_ID_TEXT];
	char text[221];

	object_id_format(m->snapshot, id);
	if (m->state != MANIFEST_COMPLETE)
		(void)snprintf(result->message, sizeof(result->message),
			       "%ju of its files could not be read; `snapctl "
			       "snapshot show %.8s` names them",
			       (uintmax_t)m->errors, id);
	else if (after_failure(x)->code)
		(void)snprintf(
			result->message, sizeof(result->message),
			"the snapshot is whole, but %s",
			text_fit(after_failure(x)->text, text, sizeof(text)));
	else if (is_unguarded(x))
		(void)snprintf(result->message, sizeof(result->message),
			       "the snapshot is whole, but not all of it is "
			       "locked in its store yet: %s",
			       text_fit(x->taken.guarding.why.text, text,
					sizeof(text)));
	else if (found)
		(void)snprintf(result->message, sizeof(result->message),
			       "an earlier attempt had taken it");
	else if (x->run->not_primary[0])
		(void)snprintf(result->message, sizeof(result->message),
			       "in region %.63s, as the primary %s",
			       x->run->written->name,
			       x->run->primary_opens ? "cannot be written to"
						     : "is away");
	else
		tell_drift(x, result);
}

static void write_drift(const struct taking *x, struct json *j)
{
	if (x->has_drift > 0) {
		json_raw(j, buf_str(&x->drift.json));
		return;
	}
	json_begin_object(j);
	json_kv_str(j, "error", x->no_drift.text);
	json_end_object(j);
}

static void write_taken(struct taking *x, struct json *j)
{
	const struct manifest *m = &x->snapshot.manifest;
	char id[OBJECT_ID_TEXT];

	object_id_format(m->snapshot, id);
	json_kv_str(j, "snapshot", id);
	json_kv_str(j, "region", x->run->written->name);
	json_kv_str(j, "state",
		    m->state == MANIFEST_COMPLETE ? "complete" : "partial");
	json_kv_uint(j, "files", m->files);
	json_kv_uint(j, "dirs", m->dirs);
	json_kv_uint(j, "bytes", m->bytes);
	json_kv_uint(j, "bytes_read", x->taken.bytes_read);
	json_kv_uint(j, "bytes_new", x->taken.bytes_new);
	json_kv_uint(j, "error_count", m->errors);
	write_guarding(x, j);
	notes_write(&x->notes, j, "errors");
	if (x->left_out.n > 0)
		notes_write(&x->left_out, j, "left_out");
	if (x->has_drift) {
		json_key(j, "drift");
		write_drift(x, j);
	}
	if (x->said.len) {
		json_key(j, "output");
		child_tail_write(&x->said, j);
	}
}

/* What hooks did is told also when there is no snapshot. */
static int write_details(struct taking *x, bool taken, struct buf *out,
			 struct err *e)
{
	struct json j;

	if (!taken && !x->hooks && !x->driver.volume)
		return 0;
	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	if (taken)
		write_taken(x, &j);
	if (x->hooks) {
		json_key(&j, "hooks");
		hooks_write(x->hooks, &j);
	}
	(void)driver_write_programs(&x->driver, "provider", &j);
	json_end_object(&j);
	return json_finish(&j, e);
}

/*
 * It makes the next one cheaper, and this one no better; where something may
 * still be frozen, it could wait there for ever.
 */
static void keep(struct taking *x)
{
	struct err e = { 0 };

	if (x->taken.state == MANIFEST_COMPLETE &&
	    after_failure(x)->code == 0 && driver_keep(&x->driver, &e) < 0)
		log_failure(LOG_LEVEL_WARN, "cache", &e);
}

/* 1 when an earlier attempt had taken it, 0 when it was taken now, -1. */
static int settle(struct taking *x, struct err *e)
{
	const int found = find_begun(x, e);

	return found < 0 || (found == 0 && take_fresh(x, e) < 0) ||
			       lock(x, e) < 0 || record(x, e) < 0
		       ? -1
		       : found;
}

/*
 * As settle(), and once more in the next region where writing to this one
 * failed (the table in region_choice.h).  It may be there all the same, and
 * only the answer was lost: then it is that.  Where that cannot be settled, or
 * asked for, what is there is deleted when the region is back (run_double.h).
 */
static int settle_anywhere(struct taking *x, struct err *e)
{
	struct run *r = x->run;
	const struct resource *source = x->declared;

	for (bool moved = false;; moved = true) {
		struct repository *other = NULL;
		const int found = settle(x, e);
		struct err why;

		if (found >= 0)
			return found;
		why = *e;
		if (run_region_leave(r, &why, &other, e) <= 0)
			return -1;
		taking_done(x);
		taking_init(x, r, source);
		x->repository = other;
		x->stays = moved;
	}
}

int step_snapshot(struct run *r, const struct resource *source,
		  struct run_result *result, struct err *e)
{
	CLEANUP(taking_done) struct taking x;
	struct err ignored;
	int found;

	taking_init(&x, r, source);
	if (run_region_written(r, &x.repository, e) < 0)
		return -1;
	found = settle_anywhere(&x, e);
	if (found < 0) {
		(void)!write_details(&x, false, &result->details, &ignored);
		return -1;
	}
	keep(&x);
	find_drift(&x);
	result->state = x.snapshot.manifest.state != MANIFEST_COMPLETE ||
					after_failure(&x)->code ||
					is_unguarded(&x)
				? RUN_PARTIAL
				: RUN_SUCCEEDED;
	tell_message(&x, found, result);
	return write_details(&x, true, &result->details, e);
}
