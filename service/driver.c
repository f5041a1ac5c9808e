#include "service/driver.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "service/engine.h"
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

static int prepare_command(struct driver *d, struct manifest *about,
			   struct err *e)
{
	const char *name = d->declared->file;
	char path[258];

	if (!command_name_valid(name)) {
		(void)err_set(e, ERR_USAGE,
			      "a file of a snapshot cannot be called %s",
			      text_quote_str(name).s);
		return err_hint(e, "it is a name without \"/\"");
	}
	(void)snprintf(path, sizeof(path), "/%s", name);
	return manifest_list_add(&about->paths, path, strlen(path), e);
}

static int open_command(const struct driver *d, const struct own_folders *own,
			struct snapshot_errors *errors, struct source **ret,
			struct err *e)
{
	const struct resource_source *s = d->declared;
	const struct command_options o = {
		.name = s->file,
		.child = { .argv = s->argv.items,
			   .argc = s->argv.count,
			   .folder = d->as_caller ? "." : "/",
			   .user = s->user,
			   .environment = s->environment.items,
			   .environment_count = s->environment.count,
			   .inherits = d->as_caller },
		.timeout_ms = s->timeout_ms,
		.at_least = s->min_size,
		.cancel = d->cancel,
	};

	(void)own;
	(void)errors; /* it succeeds as a whole, or fails */
	return command_open(&o, ret, e);
}

/* ---- All of them -------------------------------------------------------- */

static const struct driver_type types[] = {
	{ "files", prepare_files, open_files, NULL },
	{ "command", prepare_command, open_command, command_said },
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
