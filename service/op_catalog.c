/* The catalog's own operations: getting it back from a repository. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/args.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/config.h"
#include "service/engine.h"
#include "service/mirror.h"
#include "service/op.h"
#include "service/progress.h"
#include "service/resource.h"
#include "storage/repository/seal.h"

struct rebuilding {
	struct operation_call *call;
	struct repository *repository;
	struct catalog *catalog;
	struct config *config;
	int lock_fd;
	char path[4096];
	char name[RESOURCE_NAME_MAX + 1]; /* of the repository */
	char region[256];
	struct catalog_imported imported;
	uint64_t segments, snapshots, damaged;
};

static void rebuilding_done(struct rebuilding *x)
{
	catalog_close(x->catalog);
	repository_close(x->repository);
	config_free(x->config);
	file_close(x->lock_fd);
}
static inline void cleanup_rebuilding_done(struct rebuilding *x)
{
	rebuilding_done(x);
}

static int load_config(struct rebuilding *x, struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	const struct config_input in = { .config_file = x->call->config_file,
					 .environment = environ,
					 .uid = geteuid(),
					 .daemon = true };

	problem_init(&problems);
	return config_load(&in, &x->config, &problems, e);
}

/* The daemon holds this lock while it lives, and cannot start meanwhile. */
static int lock_state(struct rebuilding *x, struct err *e)
{
	const char *state = config_text(x->config, CONFIG_STATE);
	char path[4096];

	if (file_make_folders(state, 0700, e) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/snapctld.lock", state);
	x->lock_fd = seam_open(
		AT_FDCWD, path,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (x->lock_fd < 0)
		return err_sys(e, "cannot open %s", text_quote_str(path).s);
	if (flock(x->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "cannot lock %s",
				       text_quote_str(path).s);
		(void)err_set(e, ERR_BUSY, "snapctld works on %s",
			      text_quote_str(state).s);
		return err_hint(e, "stop it first: systemctl stop snapctld");
	}
	(void)snprintf(x->path, sizeof(x->path), "%s/catalog.db", state);
	return 0;
}

/* ---- Which repository it is --------------------------------------------- */

static int match_repository(void *arg, const struct catalog_resource *row,
			    struct err *e)
{
	struct rebuilding *x = arg;
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	CLEANUP(resource_free) struct resource *r = NULL;

	if (resource_from_form(&form, &r, e) < 0)
		return -1;
	for (size_t i = 0; i < r->repository.region_count; i++) {
		const struct resource_region *g = &r->repository.regions[i];

		if (!store_local_same(g->url,
				      repository_store(x->repository)->url))
			continue;
		(void)snprintf(x->name, sizeof(x->name), "%s", row->name);
		(void)snprintf(x->region, sizeof(x->region), "%s", g->name);
		return 1;
	}
	return 0;
}

static int see_resource(void *arg, const struct catalog_resource *r UNUSED,
			struct err *e UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

static int see_snapshot(void *arg, const struct catalog_snapshot *s UNUSED,
			struct err *e UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

static int see_run(void *arg, const struct catalog_run *r UNUSED,
		   struct err *e UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

/* Whether the catalog remembers anything of this repository. */
static int is_remembered(struct rebuilding *x, bool *ret, struct err *e)
{
	const struct catalog_snapshot_filter snapshots = {
		.repository = x->name,
		.deleted = CATALOG_WITH_DELETED,
		.limit = 1,
	};
	const struct catalog_run_filter runs = { .repository = x->name,
						 .limit = 1 };

	*ret = false;
	return catalog_snapshots(x->catalog, &snapshots, see_snapshot, ret, e) <
				       0 ||
			       catalog_runs(x->catalog, &runs, see_run, ret,
					    e) < 0
		       ? -1
		       : 0;
}

/*
 * Resources are in the segments of every repository: with several, the
 * first one rebuilt brings back those of the others as well.  What happened
 * in a repository is in its own only.
 */
static int check_forgotten(struct rebuilding *x, struct err *e)
{
	const struct catalog_resource_filter all = { .kind = NULL };
	const struct catalog_resource_filter filter = { .kind = "Repository" };
	const char *name = args_text(x->call->args, "name");
	bool any = false;

	if (catalog_resources(x->catalog, &all, see_resource, &any, e) < 0)
		return -1;
	if (!any)
		return 0;
	if (catalog_resources(x->catalog, &filter, match_repository, x, e) < 0)
		return -1;
	if (name)
		(void)snprintf(x->name, sizeof(x->name), "%s", name);
	if (x->name[0] && is_remembered(x, &any, e) < 0)
		return -1;
	if (!any)
		return 0;
	if (x->name[0])
		(void)err_set(e, ERR_EXISTS,
			      "the catalog %s has not lost repository %s",
			      text_quote_str(x->path).s, x->name);
	else
		(void)err_set(e, ERR_EXISTS,
			      "the catalog %s is another repository's",
			      text_quote_str(x->path).s);
	return err_hint(e, "move it away first, if it is to be rebuilt");
}

/* ---- Segments ----------------------------------------------------------- */

/* No catalog gets there; from here on, numbers soon would not rise any more. */
#define SEGMENT_NUMBER_MAX (UINT64_C(1) << 47)

/*
 * The number of one that does not open is taken as well, unless somebody made
 * up its name: whoever can write to the store can do that.
 */
static void see_number(struct rebuilding *x, const char *name)
{
	uint64_t sequence;

	if (!object_name_parse_number(OBJECT_SEGMENT, name, &sequence))
		return;
	sequence /= OBJECT_SEGMENT_PARTS;
	if (sequence < SEGMENT_NUMBER_MAX &&
	    (int64_t)sequence > x->imported.number)
		x->imported.number = (int64_t)sequence;
}

static int import_one(void *arg, const struct store_entry *entry, struct err *e)
{
	struct rebuilding *x = arg;
	CLEANUP(buf_done) struct buf payload;
	struct err why = { 0 };
	int got;

	buf_init(&payload, SEAL_PAYLOAD_MAX);
	if (operation_stopped(x->call, e) < 0)
		return -1;
	got = seal_box_get(repository_store(x->repository),
			   repository_keys(x->repository), OBJECT_SEGMENT,
			   entry->name, &payload, &why);
	/* What the disk cannot read is as lost; EIO of the catalog is not. */
	if (got < 0 && object_is_damage(&why))
		why.code = ERR_CORRUPT;
	if (got > 0)
		got = catalog_segment_import(x->catalog, buf_str(&payload),
					     payload.len, &x->imported, &why);
	if (got >= 0) {
		x->segments++;
		return 0;
	}
	if (why.code != ERR_CORRUPT && why.code != ERR_NEWER) {
		*e = why;
		return -1;
	}
	/* The others still tell what they know. */
	see_number(x, entry->name);
	x->damaged++;
	operation_damaged(x->call);
	progress_note(x->call->progress, "warning: %s is left out: %s",
		      entry->name, why.text);
	return 0;
}

static int find_name(struct rebuilding *x, struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = "Repository" };
	const char *name = args_text(x->call->args, "name");

	if (catalog_resources(x->catalog, &filter, match_repository, x, e) < 0)
		return -1;
	if (name)
		(void)snprintf(x->name, sizeof(x->name), "%s", name);
	if (x->name[0])
		return 0;
	(void)err_set(e, ERR_NOT_FOUND,
		      "no segment tells what this repository is called");
	return err_hint(e, "say it with --name, as in its manifest");
}

/* ---- Snapshots ---------------------------------------------------------- */

static int mirror_one(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct rebuilding *x = arg;
	const struct mirror_origin origin = { .repository = x->name };

	if (operation_stopped(x->call, e) < 0 ||
	    mirror_snapshot(x->catalog, &origin, s, e) < 0 ||
	    (x->region[0] && mirror_copy(x->catalog, x->name, x->region, s,
					 s->received, e) < 0))
		return -1;
	x->snapshots++;
	return 0;
}

static int skip_damaged(void *arg, const char *name, const struct err *why,
			struct err *e UNUSED)
{
	struct rebuilding *x = arg;

	x->damaged++;
	operation_damaged(x->call);
	progress_note(x->call->progress, "warning: %s is left out: %s", name,
		      why->text);
	return 0;
}

static int rebuild_all(struct rebuilding *x, struct err *e)
{
	const struct catalog_actor who = { .uid = x->call->caller.uid,
					   .name = "catalog rebuild",
					   .now = x->call->now };
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "%s/",
		       object_kind_folder(OBJECT_SEGMENT));
	progress_stage(x->call->progress, "reading segments", 0);
	if (store_list(repository_store(x->repository), prefix, import_one, x,
		       e) < 0 ||
	    find_name(x, e) < 0)
		return -1;
	progress_stage(x->call->progress, "reading snapshots", 0);
	if (repository_snapshots(x->repository, true, mirror_one, skip_damaged,
				 x, e) < 0)
		return -1;
	return catalog_rebuilt(x->catalog, x->name, &x->imported, &who, e);
}

static void write_summary(const struct rebuilding *x)
{
	struct json *j = x->call->reply;

	json_begin_object(j);
	json_kv_str(j, "catalog", x->path);
	json_kv_str(j, "repository", x->name);
	json_kv_uint(j, "segments", x->segments);
	json_kv_uint(j, "rows", x->imported.rows);
	json_kv_uint(j, "snapshots", x->snapshots);
	json_kv_uint(j, "left_out", x->damaged);
	json_key(j, "gap_from");
	if (x->imported.newest.sec)
		json_instant(j, x->imported.newest);
	else
		json_none(j);
	json_kv_instant(j, "gap_to", x->call->now);
	json_end_object(j);
}

static int check_name(const struct args *args, struct err *e)
{
	const char *name = args_text(args, "name");

	if (name == NULL || resource_name_valid(name))
		return 0;
	(void)err_set(e, ERR_USAGE, "%s is no name of a repository",
		      text_quote_str(name).s);
	return err_hint(e, "names are lower-case letters, digits and \"-\"");
}

/* All of it is one change: killed anywhere, the catalog is as before. */
static int rebuild(struct operation_call *call, struct err *e)
{
	CLEANUP(rebuilding_done)
	struct rebuilding x = { .call = call, .lock_fd = -1 };

	if (check_name(call->args, e) < 0 || load_config(&x, e) < 0 ||
	    engine_open(call, &x.repository, e) < 0 || lock_state(&x, e) < 0 ||
	    catalog_open(x.path, &x.catalog, e) < 0 ||
	    check_forgotten(&x, e) < 0 || catalog_begin(x.catalog, e) < 0)
		return -1;
	if (rebuild_all(&x, e) < 0) {
		catalog_rollback(x.catalog);
		return -1;
	}
	if (catalog_commit(x.catalog, e) < 0)
		return -1;
	write_summary(&x);
	return 0;
}

static const struct operation_param rebuild_params[] = {
	{ .name = "name",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "what the repository is called, when no segment tells" },
	{ 0 }
};

const struct operation op_catalog_rows[] = {
	{ .verb = "catalog rebuild",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = rebuild_params,
	  .view = "repository segments:count rows:count snapshots:count "
		  "left_out:count gap_from:time gap_to:time catalog",
	  .summary = "get a lost catalog back from a repository",
	  .help = "Policies, schedules, the ledger, decisions and the audit "
		  "log come from the segments that each run leaves in the "
		  "repository, snapshots from the repository itself. What "
		  "happened after the newest segment is recorded as a gap.\n\n"
		  "The daemon must not run, and the catalog must be missing, empty, "
		  "or rebuilt from another of its repositories: with several, "
		  "do it for each. Restoring needs no catalog.",
	  .run = rebuild },
	{ 0 },
};
