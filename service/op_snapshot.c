/* Snapshots: create, list, show, delete, undelete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/args.h"
#include "service/client.h"
#include "service/config.h"
#include "service/driver.h"
#include "service/engine.h"
#include "service/engine_locks.h"
#include "service/engine_named.h"
#include "service/engine_read.h"
#include "service/notes.h"
#include "service/op.h"
#include "service/own_folders.h"
#include "service/progress.h"
#include "service/resource.h"
#include "storage/snapshot.h"

/* Everything that `snapshot create` holds while it works. */
struct creating {
	struct operation_call *call;
	struct repository *repository;
	struct snapshot_errors *errors;
	struct source *source;
	struct resource_source declared; /* what a manifest would say */
	const char **words;		 /* its paths, or argv */
	const char **excludes;
	char *cache;
	struct driver driver;
	struct instant held_at;
	struct own_folders own;
	struct manifest about;
	struct notes notes;
	struct notes left_out;
	bool has_stayed; /* what was held */
};

static void creating_init(struct creating *x, struct operation_call *call)
{
	*x = (struct creating){ .call = call };
	manifest_init(&x->about);
	notes_init(&x->notes);
	notes_init(&x->left_out);
}

static void creating_done(struct creating *x)
{
	source_close(x->source);
	snapshot_errors_free(x->errors);
	driver_done(&x->driver);
	free(x->words);
	free(x->excludes);
	free(x->cache);
	own_folders_done(&x->own);
	manifest_done(&x->about);
	notes_done(&x->notes);
	notes_done(&x->left_out);
	repository_close(x->repository);
}
static inline void cleanup_creating_done(struct creating *x)
{
	creating_done(x);
}

static int check_tags(const struct args *args, struct err *e)
{
	for (size_t i = 0; i < args_count(args, "tag"); i++) {
		const char *tag = args_nth(args, "tag", i);

		if (*tag && *tag != '=' && text_is_utf8(tag, strlen(tag)))
			continue;
		(void)err_set(e, ERR_USAGE, "%s is no tag",
			      text_quote_str(tag).s);
		return err_hint(e, "tags are KEY=VALUE, or KEY alone");
	}
	return 0;
}

/*
 * No policy expires a snapshot without a source, nor one of a source that no
 * manifest can declare, so neither is made by an unset variable of a shell.
 */
static int set_source(struct manifest *m, const char *source, struct err *e)
{
	if (!source)
		return 0;
	if (!resource_name_valid(source)) {
		(void)err_set(e, ERR_USAGE, "%s is no name of a source",
			      text_quote_str(source).s);
		return err_hint(e, "names are lower-case letters, digits and "
				   "\"-\"; without --source it is ad hoc");
	}
	(void)snprintf(m->source, sizeof(m->source), "%s", source);
	return 0;
}

/* All values of an argument; the caller frees *ret. */
static int collect(const struct args *args, const char *name, const char ***ret,
		   struct resource_texts *texts, struct err *e)
{
	const size_t n = args_count(args, name);

	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return err_oom(e);
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = args_nth(args, name, i);
	*texts = (struct resource_texts){ *ret, n };
	return 0;
}

/* What would have no effect was meant for something. */
static int check_options(const struct args *args, struct err *e)
{
	static const struct {
		const char *option;
		const char *types;
	} only[] = {
		{ "exclude", "files btrfs" },
		{ "exclude-caches", "files btrfs" },
		{ "cross-file-systems", "files" },
		{ "reread", "files block btrfs" },
		{ "file", "command block" },
		{ "timeout", "command" },
		{ "min-size", "command" },
		{ "user", "command" },
	};
	const char *type = args_text(args, "type");

	for (size_t i = 0; i < sizeof(only) / sizeof(*only); i++)
		if (args_given(args, only[i].option) &&
		    !strstr(only[i].types, type))
			return err_set(e, ERR_USAGE,
				       "--%s means nothing with --type %s",
				       only[i].option, type);
	return 0;
}

/* The arguments as a Source. */
static int declare(struct creating *x, struct err *e)
{
	const struct args *args = x->call->args;
	struct resource_source *s = &x->declared;
	const bool is_command = strcmp(args_text(args, "type"), "command") == 0;

	s->type = args_text(args, "type");
	s->file = args_text(args, "file");
	s->user = args_text(args, "user");
	s->timeout_ms = args_duration_ms(args, "timeout");
	s->min_size = args_size(args, "min-size");
	if (s->timeout_ms == 0)
		return err_set(e, ERR_USAGE,
			       "no command is done within no time");
	x->driver = (struct driver){
		.declared = s,
		.cancel = x->call->stop,
		.exclude_caches = args_switch(args, "exclude-caches"),
		.cross_file_systems = args_switch(args, "cross-file-systems"),
		.as_caller = true,
	};
	return check_options(args, e) ||
			       collect(args, "path", &x->words,
				       is_command ? &s->argv : &s->paths, e) ||
			       collect(args, "exclude", &x->excludes,
				       &s->exclude, e)
		       ? -1
		       : 0;
}

/* As a daemon of this user would have it; none where that is not settled. */
static int find_cache(struct creating *x, struct err *e)
{
	CLEANUP(config_free) struct config *config = NULL;
	struct err ignored = { 0 };
	const char *type = x->declared.type;

	if ((strcmp(type, "block") != 0 && strcmp(type, "btrfs") != 0) ||
	    client_settings(x->call->config_file, NULL, &config, &ignored) < 0)
		return 0;
	x->cache = strdup(config_text(config, CONFIG_CACHE));
	x->driver.cache = x->cache;
	return x->cache ? 0 : err_oom(e);
}

/* What the manifest says of its origin. */
static int describe(struct creating *x, struct err *e)
{
	const struct args *args = x->call->args;
	struct manifest *m = &x->about;

	if (check_tags(args, e) || set_source(m, args_text(args, "source"), e))
		return -1;
	if (args_text(args, "time")) {
		m->claimed = args_time(args, "time");
		m->has_claimed = true;
	}
	for (size_t i = 0; i < args_count(args, "tag"); i++) {
		const char *tag = args_nth(args, "tag", i);

		if (manifest_list_add(&m->tags, tag, strlen(tag), e))
			return -1;
	}
	return driver_prepare(&x->driver, m, e);
}

/* The repository, with all its regions where they are known by a name. */
static int find_own(struct creating *x, struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;
	const int found = engine_named(x->call, &named, e);

	if (found < 0 ||
	    own_folders_add_store(&x->own, repository_store(x->repository), e) <
		    0)
		return -1;
	return found ? own_folders_add_regions(&x->own, named, e) : 0;
}

static void on_progress(void *arg, const struct snapshot_progress *p)
{
	const struct creating *x = (const struct creating *)arg;

	if (p->all_found)
		progress_total(x->call->progress, p->bytes_found);
	progress_set(x->call->progress, p->entries, p->bytes);
}

static void on_error(void *arg, const char *path, size_t len,
		     const char *message)
{
	notes_add(&((struct creating *)arg)->notes, path, len, message);
}

static void write_result(struct creating *x, const struct snapshot_result *r,
			 int64_t ms)
{
	struct json *j = x->call->reply;
	char id[OBJECT_ID_TEXT];

	object_id_format(r->id, id);
	json_begin_object(j);
	json_kv_str(j, "snapshot", id);
	json_kv_str(j, "state",
		    r->state == MANIFEST_COMPLETE ? "complete" : "partial");
	json_kv_uint(j, "files", r->files);
	json_kv_uint(j, "dirs", r->dirs);
	json_kv_uint(j, "bytes", r->bytes);
	json_kv_uint(j, "bytes_read", r->bytes_read);
	json_kv_uint(j, "bytes_new", r->bytes_new);
	json_kv_double(j, "seconds", (double)ms / 1000.0);
	notes_write(&x->notes, j, "errors");
	if (x->left_out.n > 0)
		notes_write(&x->left_out, j, "left_out");
	json_end_object(j);
}

/* A warning of a command that ended well is the reader's to judge. */
static void tell_said(struct creating *x)
{
	const struct child_tail *said =
		x->source ? driver_said(&x->driver, x->source) : NULL;
	const char *line;
	const size_t n = said ? child_tail_line(said, &line) : 0;

	if (n)
		progress_note(x->call->progress,
			      "note: the command ended well and said: %s",
			      text_quote(line, n).s);
}

static void release(struct creating *x)
{
	struct err why;

	source_close(x->source);
	x->source = NULL;
	if (driver_release(&x->driver, &why) == 0)
		return;
	x->has_stayed = true;
	progress_note(x->call->progress, "warning: %s", why.text);
}

/* What was held is let go as soon as it can be. */
static int was_read(void *arg, struct err *e)
{
	struct creating *x = (struct creating *)arg;
	const int failed = driver_check(&x->driver, e);

	if (driver_holds(&x->driver))
		release(x);
	return failed;
}

static void tell_left_out(void *arg, const char *path, size_t len,
			  const char *message)
{
	struct creating *x = arg;

	notes_add(&x->left_out, path, len, message);
	progress_note(x->call->progress, "note: %s: %s",
		      text_quote(path, len).s, message);
}

static int hold(struct creating *x, struct err *e)
{
	if (driver_ready(&x->driver, e))
		return -1;
	x->held_at = clock_now();
	if (driver_hold(&x->driver, e) || driver_locate(&x->driver, &x->own, e))
		return -1;
	driver_tell_left_out(&x->driver, tell_left_out, x);
	return 0;
}

/* It makes the next one cheaper, and this one no better. */
static void keep(struct creating *x)
{
	struct err e = { 0 };

	if (driver_keep(&x->driver, &e) < 0)
		progress_note(x->call->progress,
			      "note: the next snapshot will read more: %s",
			      e.text);
}

static int take(struct creating *x, struct err *e)
{
	struct snapshot_options o = {
		.about = &x->about,
		.no_parent = args_switch(x->call->args, "reread"),
		.cancel = x->call->stop,
		.progress = on_progress,
		.report = on_error,
		.was_read = was_read,
		.arg = x,
	};
	const int64_t begun_ms = clock_boot_ms();
	struct snapshot_result result;

	if (hold(x, e))
		return -1;
	if (driver_holds(&x->driver))
		o.held_at = x->held_at;
	if (driver_open(&x->driver, &x->own, x->errors, &x->source, e) ||
	    snapshot_take(x->repository, x->source, x->errors, &o, &result, e))
		return -1;
	if (result.state == MANIFEST_PARTIAL)
		operation_partial(x->call);
	tell_said(x);
	write_result(x, &result, clock_boot_ms() - begun_ms);
	/* The source is used up before what it borrows goes. */
	source_close(x->source);
	x->source = NULL;
	if (result.state == MANIFEST_COMPLETE && !x->has_stayed)
		keep(x);
	return 0;
}

/* Once more from the beginning, knowing nothing. */
static int renew(struct creating *x, struct err *e)
{
	release(x);
	snapshot_errors_free(x->errors);
	x->errors = NULL;
	notes_done(&x->notes);
	notes_init(&x->notes);
	notes_done(&x->left_out);
	notes_init(&x->left_out);
	repository_close(x->repository);
	x->repository = NULL;
	return engine_open(x->call, &x->repository, e) ||
			       snapshot_errors_new(&x->errors, e)
		       ? -1
		       : 0;
}

/* So often in a row nobody oversleeps by accident. */
#define ATTEMPTS 3

/*
 * Who stood still so long that it was given up opens a new session and checks
 * every reference again (FORMAT.md §10); what it stored is there.
 */
static int take_until_done(struct creating *x, struct err *e)
{
	for (int attempt = 1;; attempt++) {
		progress_stage(x->call->progress, "reading", 0);
		if (take(x, e) == 0)
			return 0;
		if (e->code != ERR_BUSY || attempt == ATTEMPTS)
			return -1;
		progress_note(x->call->progress,
			      "%s; taking the snapshot again", e->text);
		err_clear(e);
		if (operation_stopped(x->call, e) || renew(x, e))
			return -1;
	}
}

static int create(struct operation_call *call, struct err *e)
{
	CLEANUP(creating_done) struct creating x;

	creating_init(&x, call);
	/* The cleanup frees x; clang-tidy 14 misses those of structs.
	 * NOLINTBEGIN(clang-analyzer-unix.Malloc) */
	if (declare(&x, e) || find_cache(&x, e) || describe(&x, e) ||
	    engine_open(call, &x.repository, e) || find_own(&x, e) ||
	    snapshot_errors_new(&x.errors, e))
		return -1;
	if (take_until_done(&x, e) == 0)
		return 0;
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	/* A command's end says nothing of what became of ours. */
	return strcmp(x.declared.type, "command") == 0
		       ? err_wrap(e, "no snapshot was taken")
		       : -1;
}

struct listing {
	struct operation_call *call;
	const char *source;
	bool any; /* the list was begun */
};

static int list_one(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct listing *l = (struct listing *)arg;

	if (l->source && strcmp(l->source, s->manifest.source) != 0)
		return 0;
	if (!l->any)
		json_begin_list(l->call->reply);
	l->any = true;
	engine_write_snapshot(l->call->reply, s);
	return operation_stopped(l->call, e);
}

static int list_damaged(void *arg, const char *name, const struct err *why,
			struct err *e)
{
	const struct listing *l = (const struct listing *)arg;

	(void)e;
	operation_damaged(l->call);
	progress_note(l->call->progress,
		      "warning: %s cannot be read: %s; `snapctl repo check` "
		      "says more",
		      name, why->text);
	return 0;
}

static int list(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	struct listing l = { .call = call,
			     .source = args_text(call->args, "source") };

	if (engine_read(call, &r, e))
		return -1;
	if (repository_snapshots(r, args_switch(call->args, "deleted"),
				 list_one, list_damaged, &l, e))
		return -1;
	if (!l.any && l.source && engine_expect_source(call, r, l.source, e))
		return -1;
	if (!l.any)
		json_begin_list(call->reply);
	json_end_list(call->reply);
	return 0;
}

static int show(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(engine_reading_free) struct engine_reading *x = NULL;

	manifest_init(&s.manifest);
	if (engine_reading_new(call, &x, e) ||
	    engine_reading_open(x, args_text(call->args, "snapshot"), &r, &s,
				e))
		return -1;
	json_begin_object(call->reply);
	if (engine_write_details(call, r, &s, engine_reading_region(x), e) ||
	    engine_locks_list(call, r, engine_reading_region(x),
			      s.manifest.snapshot,
			      args_switch(call->args, "exact"), e))
		return -1;
	json_end_object(call->reply);
	return 0;
}

#define SNAPSHOT_PARAM                                        \
	{                                                     \
		.name = "snapshot", .kind = PARAM_POSITIONAL, \
		.required = true, .value = "SNAP",            \
		.help = "an id, a prefix of one, or latest"   \
	}
#define SOURCE_PARAM                                                     \
	{                                                                \
		.name = "source", .kind = PARAM_OPTION, .value = "NAME", \
		.help = ENGINE_SOURCE_HELP                               \
	}

static const struct operation_param create_params[] = {
	{ .name = "path",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_PATH,
	  .required = true,
	  .repeated = true,
	  .value = "PATH",
	  .help = "what to protect; with --type command the program and its "
		  "arguments, best after \"--\"" },
	{ .name = "type",
	  .kind = PARAM_OPTION,
	  .type = PARAM_CHOICE,
	  .choices = "files|command|block|btrfs",
	  .fallback = "files",
	  .value = "TYPE",
	  .help = "files and folders, what a command prints, a block device "
		  "or disk image, or a btrfs subvolume" },
	{ .name = "file",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "what the command's output (else \"stdout\"), or the disk, "
		  "is called in the snapshot" },
	{ .name = "timeout",
	  .kind = PARAM_OPTION,
	  .type = PARAM_DURATION,
	  .fallback = RESOURCE_SOURCE_TIMEOUT,
	  .value = "DURATION",
	  .help = "the command is killed after this time, and there is no "
		  "snapshot" },
	{ .name = "min-size",
	  .kind = PARAM_OPTION,
	  .type = PARAM_SIZE,
	  .fallback = RESOURCE_SOURCE_MIN_SIZE,
	  .value = "SIZE",
	  .help = "when the command prints less, there is no snapshot" },
	{ .name = "user",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "run the command as this user" },
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "the source it is a snapshot of; without, it is ad hoc and "
		  "no policy expires it" },
	{ .name = "exclude",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "PATTERN",
	  .help = "leave out what matches, in gitignore's manner" },
	{ .name = "exclude-caches",
	  .kind = PARAM_SWITCH,
	  .help = "leave out what lies in folders with a CACHEDIR.TAG" },
	{ .name = "cross-file-systems",
	  .kind = PARAM_SWITCH,
	  .help = "go into other file systems that are mounted below" },
	{ .name = "tag",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "KEY=VALUE",
	  .help = "label the snapshot" },
	{ .name = "time",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "the time that the data is of, when it is not now; retention "
		  "goes by the time of receipt" },
	{ .name = "reread",
	  .kind = PARAM_SWITCH,
	  .help = "read everything, also what looks unchanged" },
	{ 0 },
};

static const struct operation_param list_params[] = {
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "only snapshots of this source; \"\" for those that are ad "
		  "hoc" },
	{ .name = "deleted",
	  .kind = PARAM_SWITCH,
	  .help = "also those that are deleted and can still be undeleted" },
	{ 0 },
};

static const struct operation_param show_params[] = {
	SNAPSHOT_PARAM,
	SOURCE_PARAM,
	{ .name = "exact",
	  .kind = PARAM_SWITCH,
	  .help = "ask the store of every region about each object that the "
		  "snapshot needs" },
	{ 0 },
};

const struct operation op_snapshot_rows[] = {
	{ .verb = "snapshot create",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = create_params,
	  .view = "snapshot state:state files:count dirs:count bytes:size "
		  "bytes_read:size=read bytes_new:size=new seconds:seconds "
		  "errors",
	  .summary = "take a snapshot of files and folders, of what a command "
		     "prints, of a disk, or of a subvolume",
	  .help = "What is unchanged since the newest complete snapshot that "
		  "the same user took of the same source and paths is not read "
		  "again.\n\n"
		  "Each path is taken wholly from the file system that it is "
		  "on, also when it lies within another one: neither a mount "
		  "point nor a pattern above cuts it off.\n\n"
		  "Files that cannot be read are named, the snapshot is then "
		  "partial, and the exit status 3.\n\n"
		  "A command (--type command -- PROGRAM ARGUMENT...) runs "
		  "without a shell, in the current folder and with the "
		  "environment as it is. When it fails, prints less than "
		  "--min-size or is not done within --timeout, there is no "
		  "snapshot and the exit status is 1.\n\n"
		  "A disk (--type block) is read in blocks of 256 KiB, of "
		  "which those of zeros take no space, and those that are as "
		  "they were no more. An image that looks unchanged is not "
		  "read again, and of one on btrfs root reads only the blocks "
		  "that changed since, as long as that is remembered in the "
		  "cache folder and the file system stays mounted; a device is "
		  "read whole. What cannot be read is named, and "
		  "zeros in the snapshot, which is then partial, as is that of "
		  "an image that was written to meanwhile.\n\n"
		  "A btrfs subvolume (--type btrfs) is read from a read-only "
		  "snapshot of it, so that it is of one moment; that is "
		  "removed when it was read, or by the next run. Folders below "
		  "which nothing changed since the last one are not walked, as "
		  "long as that is remembered in the cache folder and the file "
		  "system stays mounted. Subvolumes within it are left out, "
		  "and named. It takes root.",
	  .run = create },
	{ .verb = "snapshot list",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = list_params,
	  .view = "id received:time source host state:state files:count "
		  "bytes:size paths:list",
	  .summary = "list the snapshots of a repository",
	  .run = list },
	{ .verb = "snapshot show",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = show_params,
	  .view = NULL,
	  .summary = "show everything that is known of a snapshot",
	  .help = "Locked_until is what its policy asked for. Locks tells what "
		  "its store really locks, in the region that is read; with "
		  "--exact in every region, and present whether the snapshot "
		  "is there. " ENGINE_LOCKS_HELP,
	  .run = show },
	{ 0 },
};
