#include "service/driver.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "service/engine.h"
#include "storage/sources/block.h"
#include "storage/sources/command.h"
#include "storage/sources/files.h"

struct driver_type {
	const char *name;
	int (*prepare)(struct driver *d, struct manifest *about, struct err *e);
	int (*open)(const struct driver *d, const struct own_folders *own,
		    struct snapshot_errors *errors, struct source **ret,
		    struct err *e);
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

static int open_files(const struct driver *d, const struct own_folders *own,
		      struct snapshot_errors *errors, struct source **ret,
		      struct err *e)
{
	const struct files_options o = {
		.paths = d->declared->paths.items,
		.path_count = d->declared->paths.count,
		.excluded = exclude_empty(d->exclude) ? NULL : exclude_below,
		.excluded_arg = &d->scope,
		.exclude_caches = d->exclude_caches,
		.cross_file_systems = d->cross_file_systems,
		.skip = own->list,
		.skip_count = own->count,
		.report = snapshot_report,
		.report_arg = errors,
	};

	return files_open(&o, ret, e);
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

	if (s->paths.count != 1)
		return err_set(e, ERR_USAGE,
			       "a snapshot is of one device or image, and %zu "
			       "paths were given",
			       s->paths.count);
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
	failed = manifest_list_add(&about->paths, whole, strlen(whole), e);
	free(whole);
	return failed;
}

static int open_block(const struct driver *d, const struct own_folders *own,
		      struct snapshot_errors *errors, struct source **ret,
		      struct err *e)
{
	const struct block_options o = {
		.path = d->declared->paths.items[0],
		.name = block_name(d),
		.cancel = d->cancel,
		.report = snapshot_report,
		.report_arg = errors,
	};

	(void)own;
	return block_open(&o, ret, e);
}

/* ---- All of them -------------------------------------------------------- */

static const struct driver_type types[] = {
	{ "files", prepare_files, open_files, NULL },
	{ "command", prepare_command, open_command, command_said },
	{ "block", prepare_block, open_block, NULL },
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
	(void)snprintf(about->type, sizeof(about->type), "%s", d->type->name);
	(void)snprintf(about->program, sizeof(about->program),
		       "snapctl " SNAPCTL_VERSION);
	engine_host(about->host, sizeof(about->host));
	fill_user(about);
	return d->type->prepare(d, about, e);
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

void driver_done(struct driver *d)
{
	exclude_free(d->exclude);
	free(d->roots);
	d->exclude = NULL;
	d->roots = NULL;
}
