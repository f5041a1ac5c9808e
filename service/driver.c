#include "service/driver.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "service/engine.h"
#include "service/volume.h"
#include "storage/repository/hash.h"
#include "storage/sources/block.h"
#include "storage/sources/block_memory.h"
#include "storage/sources/btrfs.h"
#include "storage/sources/btrfs_memory.h"
#include "storage/sources/command.h"
#include "storage/sources/files.h"

/* Patterns, all together. */
#define RULES_MAX ((size_t)64 << 20)

struct driver_type {
	const char *name;
	const char *kept_as; /* what a manifest calls its content */
	int (*prepare)(struct driver *d, struct manifest *about, struct err *e);
	int (*open)(const struct driver *d, const struct own_folders *own,
		    struct snapshot_errors *errors, struct source **ret,
		    struct err *e);
	/* NULL where there is nothing to do, or to tell. */
	int (*ready)(struct driver *d, struct err *e);
	int (*hold)(struct driver *d, struct err *e);
	const struct child_tail *(*said)(const struct source *s);
};

/* ---- files -------------------------------------------------------------- */

static int prepare_files(struct driver *d, struct manifest *about,
			 struct err *e)
{
	const struct resource_source *s = d->declared;

	if (files_resolve(s->paths.items, s->paths.count, &d->roots,
			  &d->n_roots, e) < 0 ||
	    exclude_new(&d->exclude, e) < 0)
		return -1;
	d->scope = (struct exclude_scope){
		.set = d->exclude,
		.roots = (const char *const *)d->roots,
		.root_count = d->n_roots,
	};
	for (size_t i = 0; i < d->n_roots; i++)
		if (manifest_list_add(&about->paths, d->roots[i],
				      strlen(d->roots[i]), e) < 0)
			return -1;
	for (size_t i = 0; i < s->exclude.count; i++) {
		const char *pattern = s->exclude.items[i];

		if (exclude_add(d->exclude, pattern, e) < 0 ||
		    manifest_list_add(&about->excludes, pattern,
				      strlen(pattern), e) < 0)
			return -1;
	}
	return 0;
}

static int open_tree(const struct driver *d, const char *place,
		     const struct own_folders *own,
		     const struct files_known *known,
		     struct snapshot_errors *errors, struct source **ret,
		     struct err *e)
{
	const struct files_options o = {
		.paths = d->declared->paths.items,
		.path_count = d->declared->paths.count,
		.place = place,
		.holds_still = place != NULL,
		.excluded = exclude_empty(d->exclude) ? NULL : exclude_below,
		.excluded_arg = &d->scope,
		.exclude_caches = d->exclude_caches,
		.cross_file_systems = d->cross_file_systems,
		.skip = own->list,
		.skip_count = own->count,
		.known = known,
		.report = snapshot_report,
		.report_arg = errors,
	};

	return files_open(&o, ret, e);
}

static int open_files(const struct driver *d, const struct own_folders *own,
		      struct snapshot_errors *errors, struct source **ret,
		      struct err *e)
{
	return open_tree(d, NULL, own, NULL, errors, ret, e);
}

/* ---- command ------------------------------------------------------------ */

static int check_name(const char *name, struct err *e)
{
	if (source_name_valid(name))
		return 0;
	(void)err_set(e, ERR_USAGE, "a file of a snapshot cannot be called %s",
		      text_quote_str(name).s);
	return err_hint(e, "it is a name without \"/\"");
}

static const char *command_name(const struct driver *d)
{
	return d->declared->file ? d->declared->file : "stdout";
}

static int prepare_command(struct driver *d, struct manifest *about,
			   struct err *e)
{
	const char *name = command_name(d);
	char path[258];

	if (check_name(name, e) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/%s", name);
	return manifest_list_add(&about->paths, path, strlen(path), e);
}

static int open_command(const struct driver *d, const struct own_folders *own,
			struct snapshot_errors *errors, struct source **ret,
			struct err *e)
{
	const struct resource_source *s = d->declared;
	const struct command_options o = {
		.name = command_name(d),
		.child = { .argv = s->argv.items,
			   .argc = s->argv.count,
			   .folder = d->as_caller ? "." : "/",
			   .user = s->user,
			   .environment = s->environment.items,
			   .environment_count = s->environment.count,
			   /* But nobody else gets what is the caller's. */
			   .inherits = d->as_caller && !s->user },
		.timeout_ms = s->timeout_ms,
		.at_least = s->min_size,
		.cancel = d->cancel,
	};

	(void)own;
	(void)errors; /* it succeeds as a whole, or fails */
	return command_open(&o, ret, e);
}

/* ---- block -------------------------------------------------------------- */

/* "sdb1", of /dev/sdb1. */
static const char *block_name(const struct driver *d)
{
	const char *path = d->declared->paths.items[0];
	const char *slash = strrchr(path, '/');

	if (d->declared->file)
		return d->declared->file;
	return slash ? slash + 1 : path;
}

static int check_one_path(const struct driver *d, const char *what,
			  struct err *e)
{
	const size_t n = d->declared->paths.count;

	return n == 1 ? 0
		      : err_set(e, ERR_USAGE,
				"a snapshot is of one %s, and %zu paths were "
				"given",
				what, n);
}

static int remember_block(struct driver *d, const char *path, struct err *e)
{
	return d->cache ? block_memory_new(d->cache, path, &d->memory, e) : 0;
}

/*
 * The parent is the newest snapshot of the same path: what leads to a device,
 * below /dev/disk/by-id say, often stays the same longer than what it is.
 */
static int prepare_block(struct driver *d, struct manifest *about,
			 struct err *e)
{
	const struct resource_source *s = d->declared;
	char *whole;
	int failed;

	if (check_one_path(d, "device or image", e) < 0)
		return -1;
	if (check_name(block_name(d), e) < 0)
		return -1;
	whole = s->paths.items[0][0] == '/' ? strdup(s->paths.items[0])
					    : realpath(s->paths.items[0], NULL);
	if (!whole) {
		(void)err_sys(e, "cannot find %s",
			      text_quote_str(s->paths.items[0]).s);
		if (e->code == ERR_NOT_FOUND)
			e->code = ERR_USAGE;
		return -1;
	}
	failed = manifest_list_add(&about->paths, whole, strlen(whole), e) ||
		 remember_block(d, whole, e);
	free(whole);
	return failed ? -1 : 0;
}

static int open_disk(const struct driver *d, const char *path,
		     struct snapshot_errors *errors, struct source **ret,
		     struct err *e)
{
	const struct block_options o = {
		.path = path,
		.name = block_name(d),
		.memory = d->memory,
		.cancel = d->cancel,
		.report = snapshot_report,
		.report_arg = errors,
	};

	return block_open(&o, ret, e);
}

static int open_block(const struct driver *d, const struct own_folders *own,
		      struct snapshot_errors *errors, struct source **ret,
		      struct err *e)
{
	(void)own;
	return open_disk(d, d->declared->paths.items[0], errors, ret, e);
}

/* ---- btrfs -------------------------------------------------------------- */

/* Our own folder in it is no part of it. */
static int prepare_btrfs(struct driver *d, struct manifest *about,
			 struct err *e)
{
	if (check_one_path(d, "subvolume", e) < 0 ||
	    prepare_files(d, about, e) < 0 ||
	    exclude_add(d->exclude, "/" BTRFS_FOLDER "/", e) < 0)
		return -1;
	return d->cache ? btrfs_memory_new(d->cache, d->roots[0], &d->seen, e)
			: 0;
}

/*
 * Everything that decides what of a subvolume is recorded: what was left out
 * by other rules is missing from the parent, though nothing there changed.
 */
static int hash_rules(const struct driver *d, uint8_t out[BTRFS_RULES_BYTES],
		      struct err *e)
{
	/* To be raised when a walk begins to leave out, or record, others. */
	static const uint8_t label[KEYS_SIZE] = "snapctl: rules of a walk, v1";
	const struct resource_source *s = d->declared;
	CLEANUP(hash_free) struct hash *h = NULL;
	CLEANUP(buf_done) struct buf all;

	buf_init(&all, RULES_MAX);
	if (buf_add_byte(&all, d->exclude_caches, e) < 0 ||
	    buf_add_byte(&all, d->cross_file_systems, e) < 0 ||
	    buf_add_varint(&all, s->exclude.count, e) < 0)
		return -1;
	for (size_t i = 0; i < s->exclude.count; i++) {
		const size_t n = strlen(s->exclude.items[i]);

		if (buf_add_varint(&all, n, e) < 0 ||
		    buf_add(&all, s->exclude.items[i], n, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < d->own_held.count; i++)
		if (buf_add_varint(&all, d->own_held.list[i].ino, e) < 0)
			return -1;
	return hash_new(label, &h, e) < 0 ||
			       hash_bytes(h, all.data, all.len, out, e) < 0
		       ? -1
		       : 0;
}

static int ready_btrfs(struct driver *d, struct err *e)
{
	return btrfs_snapshot_new(d->declared->paths.items[0], &d->subvolume,
				  e);
}

static int hold_btrfs(struct driver *d, struct err *e)
{
	return btrfs_snapshot_take(d->subvolume, d->label, e);
}

static int open_btrfs(const struct driver *d, const struct own_folders *own,
		      struct snapshot_errors *errors, struct source **ret,
		      struct err *e)
{
	const struct files_known *known = NULL;
	uint8_t rules[BTRFS_RULES_BYTES];

	(void)own; /* in it they are elsewhere */
	if (d->seen) {
		if (hash_rules(d, rules, e) < 0)
			return -1;
		known = btrfs_memory_known(d->seen, d->subvolume, rules,
					   d->cancel);
	}
	return open_tree(d, btrfs_snapshot_place(d->subvolume), &d->own_held,
			 known, errors, ret, e);
}

/* ---- volume ------------------------------------------------------------- */

static bool is_disk(const struct driver *d)
{
	return strcmp(d->declared->content, "block") == 0;
}

static int prepare_volume(struct driver *d, struct manifest *about,
			  struct err *e)
{
	if (check_one_path(d, "volume", e) < 0)
		return -1;
	(void)snprintf(about->type, sizeof(about->type), "%s",
		       d->declared->content);
	return is_disk(d) ? prepare_block(d, about, e)
			  : prepare_files(d, about, e);
}

static int ready_volume(struct driver *d, struct err *e)
{
	const struct volume_settings settings = {
		.source = d->label,
		.declared = d->declared,
		.state = d->state,
		.run = d->run,
		.stop = d->cancel,
	};

	return volume_new(&settings, &d->volume, e) < 0 ||
			       volume_ready(d->volume, e) < 0
		       ? -1
		       : 0;
}

static int hold_volume(struct driver *d, struct err *e)
{
	return volume_create(d->volume, e);
}

static int open_volume(const struct driver *d, const struct own_folders *own,
		       struct snapshot_errors *errors, struct source **ret,
		       struct err *e)
{
	const char *place = volume_place(d->volume);

	(void)own; /* in it they are elsewhere */
	return is_disk(d) ? open_disk(d, place, errors, ret, e)
			  : open_tree(d, place, &d->own_held, NULL, errors, ret,
				      e);
}

/* ---- All of them -------------------------------------------------------- */

static const struct driver_type types[] = {
	{ .name = "files",
	  .kept_as = "files",
	  .prepare = prepare_files,
	  .open = open_files },
	{ .name = "command",
	  .kept_as = "command",
	  .prepare = prepare_command,
	  .open = open_command,
	  .said = command_said },
	{ .name = "block",
	  .kept_as = "block",
	  .prepare = prepare_block,
	  .open = open_block },
	{ .name = "btrfs",
	  .kept_as = "files",
	  .prepare = prepare_btrfs,
	  .ready = ready_btrfs,
	  .hold = hold_btrfs,
	  .open = open_btrfs },
	{ .name = "volume",
	  .kept_as = "", /* as its content, which prepare_volume() says */
	  .prepare = prepare_volume,
	  .ready = ready_volume,
	  .hold = hold_volume,
	  .open = open_volume },
};

static void fill_user(struct manifest *m)
{
	char memory[4096];
	struct passwd entry;
	struct passwd *found = NULL;

	if (getpwuid_r(geteuid(), &entry, memory, sizeof(memory), &found) ==
		    0 &&
	    found)
		(void)snprintf(m->user, sizeof(m->user), "%s", found->pw_name);
	else
		(void)snprintf(m->user, sizeof(m->user), "%u",
			       (unsigned int)geteuid());
}

int driver_prepare(struct driver *d, struct manifest *about, struct err *e)
{
	const char *type = d->declared->type;

	d->type = NULL;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, types[i].name) == 0)
			d->type = &types[i];
	if (!d->type)
		return err_set(e, ERR_USAGE,
			       "this version cannot read sources of type %s",
			       text_quote_str(type).s);
	(void)snprintf(about->type, sizeof(about->type), "%s",
		       d->type->kept_as);
	d->label = about->source[0] ? about->source : "adhoc";
	(void)snprintf(about->program, sizeof(about->program),
		       "snapctl " SNAPCTL_VERSION);
	engine_host(about->host, sizeof(about->host));
	fill_user(about);
	return d->type->prepare(d, about, e);
}

int driver_ready(struct driver *d, struct err *e)
{
	return d->type->ready ? d->type->ready(d, e) : 0;
}

int driver_hold(struct driver *d, struct err *e)
{
	return d->type->hold ? d->type->hold(d, e) : 0;
}

bool driver_holds(const struct driver *d)
{
	return d->type && d->type->hold;
}

int driver_locate(struct driver *d, const struct own_folders *own,
		  struct err *e)
{
	if (!d->type->hold)
		return 0;
	if (d->volume && volume_locate(d->volume, e) < 0)
		return -1;
	own_folders_done(&d->own_held);
	return own_folders_move(&d->own_held, own, d->declared->paths.items[0],
				d->volume ? volume_place(d->volume)
					  : btrfs_snapshot_place(d->subvolume),
				e);
}

int driver_check(const struct driver *d, struct err *e)
{
	return d->subvolume ? btrfs_snapshot_check(d->subvolume, e) : 0;
}

int driver_release(struct driver *d, struct err *e)
{
	struct btrfs_snapshot *subvolume = d->subvolume;

	d->subvolume = NULL;
	return d->volume ? volume_remove(d->volume, e)
			 : btrfs_snapshot_remove(subvolume, e);
}

bool driver_write_programs(const struct driver *d, const char *key,
			   struct json *j)
{
	if (!d->volume)
		return false;
	json_key(j, key);
	volume_write(d->volume, j);
	return true;
}

void driver_tell_left_out(const struct driver *d, source_report *tell,
			  void *arg)
{
	size_t n = 0;
	size_t total = 0;
	const char *const *nested;
	char more[80];

	if (!d->subvolume)
		return;
	nested = btrfs_snapshot_nested(d->subvolume, &n, &total);
	for (size_t i = 0; i < n; i++)
		tell(arg, nested[i], strlen(nested[i]),
		     "it is a subvolume of its own, and not in this snapshot");
	(void)snprintf(more, sizeof(more), "and %zu more subvolumes",
		       total - n);
	if (total > n)
		tell(arg, "", 0, more);
}

int driver_open(const struct driver *d, const struct own_folders *own,
		struct snapshot_errors *errors, struct source **ret,
		struct err *e)
{
	return d->type->open(d, own, errors, ret, e);
}

const struct child_tail *driver_said(const struct driver *d,
				     const struct source *s)
{
	return d->type->said ? d->type->said(s) : NULL;
}

int driver_keep(struct driver *d, struct err *e)
{
	if (d->memory)
		return block_memory_save(d->memory, e);
	return d->seen ? btrfs_memory_save(d->seen, e) : 0;
}

void driver_done(struct driver *d)
{
	struct err why;

	if (driver_release(d, &why) < 0)
		log_failure(LOG_LEVEL_ERROR, "what was read", &why);
	volume_free(d->volume);
	d->volume = NULL;
	own_folders_done(&d->own_held);
	exclude_free(d->exclude);
	free(d->roots);
	block_memory_free(d->memory);
	btrfs_memory_free(d->seen);
	d->seen = NULL;
	d->exclude = NULL;
	d->roots = NULL;
	d->memory = NULL;
}
