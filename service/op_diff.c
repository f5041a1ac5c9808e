/* What changed: between two snapshots, and since one on this machine. */
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/client.h"
#include "service/config.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/engine_read.h"
#include "service/mask.h"
#include "service/op.h"
#include "service/own_folders.h"
#include "service/progress.h"
#include "service/region_choice.h"
#include "service/resource.h"
#include "service/unified.h"
#include "storage/diff_live.h"
#include "storage/sources/exclude.h"

struct diffing {
	struct operation_call *call;
	struct repository *repository;
	struct exclude *picked; /* NULL: all are */
	struct mask *mask;	/* NULL: lines are not shown */
	struct own_folders own; /* left out on this machine */
	struct repository_snapshot a;
	struct repository_snapshot b;
};

static void diffing_init(struct diffing *x, struct operation_call *call)
{
	*x = (struct diffing){ .call = call };
	manifest_init(&x->a.manifest);
	manifest_init(&x->b.manifest);
}

static void diffing_done(struct diffing *x)
{
	repository_snapshot_done(&x->a);
	repository_snapshot_done(&x->b);
	exclude_free(x->picked);
	mask_free(x->mask);
	own_folders_done(&x->own);
	repository_close(x->repository);
}
static inline void cleanup_diffing_done(struct diffing *x)
{
	diffing_done(x);
}

/* ---- One entry ---------------------------------------------------------- */

static void write_what(struct json *j, unsigned int aspects)
{
	json_key(j, "what");
	json_begin_list(j);
	for (unsigned int bit = 1; bit <= DIFF_LINKS; bit <<= 1)
		if (aspects & bit)
			json_str(j, diff_aspect_name(bit));
	json_end_list(j);
}

static int write_lines(const struct diffing *x, const struct diff_change *c,
		       struct err *e)
{
	CLEANUP(unified_done) struct unified u;
	int got;

	unified_init(&u);
	got = unified_make(c, x->mask, &u, e);
	if (got == 1)
		unified_write(&u, x->call->reply);
	return got < 0 ? -1 : 0;
}

static bool is_picked(const struct diffing *x, const struct entry *en)
{
	return !x->picked ||
	       (en->path_len > 1 &&
		exclude_picks(x->picked, en->path + 1, en->path_len - 1,
			      en->type == ENTRY_FOLDER));
}

/* An omission, which is named in the reply and for people on the way. */
static void tell_unreadable(const struct diffing *x, const struct entry *en,
			    const char *why)
{
	operation_partial(x->call);
	progress_note(x->call->progress, "%s: %s",
		      text_quote(en->path, en->path_len).s, why);
}

static int write_change(void *arg, const struct diff_change *c, struct err *e)
{
	const struct diffing *x = (const struct diffing *)arg;
	const struct entry *en = c->after ? c->after : c->before;
	struct json *j = x->call->reply;

	if (!en)
		return err_set(e, ERR_BUG, "a change of nothing");
	if (!is_picked(x, en))
		return operation_stopped(x->call, e);
	if (c->unreadable)
		tell_unreadable(x, en, c->unreadable);
	json_begin_object(j);
	json_kv_str(j, "change",
		    c->unreadable ? "unreadable"
		    : !c->before  ? "added"
		    : !c->after	  ? "removed"
				  : "changed");
	json_path(j, "path", en->path, en->path_len);
	json_kv_str(j, "type", entry_type_name(en->type));
	if (c->before && c->before->type == ENTRY_FILE)
		json_kv_uint(j, "size_before", c->before->size);
	if (c->after && c->after->type == ENTRY_FILE)
		json_kv_uint(j, "size_after", c->after->size);
	write_what(j, c->aspects);
	if (c->unreadable)
		json_kv_str(j, "message", c->unreadable);
	if (x->mask && write_lines(x, c, e))
		return -1;
	json_end_object(j);
	return operation_stopped(x->call, e);
}

/* ---- What is asked for -------------------------------------------------- */

static int read_paths(struct diffing *x, struct err *e)
{
	const struct args *args = x->call->args;

	if (args_count(args, "path") && exclude_new(&x->picked, e))
		return -1;
	for (size_t i = 0; i < args_count(args, "path"); i++)
		if (exclude_add(x->picked, args_nth(args, "path", i), e))
			return -1;
	return 0;
}

static int read_masks(struct diffing *x, struct err *e)
{
	const struct args *args = x->call->args;

	if (!args_switch(args, "unified"))
		return args_count(args, "mask")
			       ? err_set(e, ERR_USAGE,
					 "--mask means nothing without "
					 "--unified")
			       : 0;
	if (mask_new(&x->mask, e))
		return -1;
	for (size_t i = 0; i < args_count(args, "mask"); i++)
		if (mask_add(x->mask, args_nth(args, "mask", i), e))
			return -1;
	return 0;
}

static int add_masks(void *arg, const struct resource *r, struct err *e)
{
	const struct resource_source *s = &r->source;

	for (size_t i = 0; i < s->mask.count; i++)
		if (mask_add((struct mask *)arg, s->mask.items[i], e))
			return -1;
	return 0;
}

/* With --repo by name also what the Source says: one that is gone says
 * nothing. */
static int mask_declared(struct diffing *x, struct err *e)
{
	const char *source = x->a.manifest.source;
	struct err why = { 0 };

	if (!x->mask || !*source ||
	    engine_is_location(args_text(x->call->args, "repo")) ||
	    engine_declared(x->call, "source", source, add_masks, x->mask,
			    &why) == 0 ||
	    why.code == ERR_NOT_FOUND)
		return 0;
	*e = why;
	return -1;
}

/*
 * The daemon's, as this machine's settings have them, which its own snapshots
 * leave out; none where they cannot be read.
 */
static int find_daemons(struct diffing *x, struct err *e)
{
	CLEANUP(config_free) struct config *config = NULL;
	struct err ignored = { 0 };

	if (!*x->a.manifest.source ||
	    client_settings(x->call->config_file, NULL, &config, &ignored) < 0)
		return 0;
	return own_folders_add_path(&x->own, config_text(config, CONFIG_STATE),
				    e) < 0 ||
			       own_folders_add_path(
				       &x->own,
				       config_text(config, CONFIG_CACHE), e) < 0
		       ? -1
		       : 0;
}

/* What snapshots leave out since it is ours. */
static int find_own(struct diffing *x, struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;
	const int found = engine_named(x->call, &named, e);

	if (found < 0 || find_daemons(x, e) ||
	    own_folders_add_store(&x->own, repository_store(x->repository), e))
		return -1;
	return found ? own_folders_add_regions(&x->own, named, e) : 0;
}

static int compare_live(struct diffing *x, struct err *e)
{
	const struct manifest *m = &x->a.manifest;
	struct diff_live_options o = {
		.exclude_caches = args_switch(x->call->args, "exclude-caches"),
		.cross_file_systems = args_switch(x->call->args,
						  "cross-file-systems"),
		.cancel = x->call->stop,
	};
	char host[MANIFEST_TEXT_MAX + 1];

	if (find_own(x, e))
		return -1;
	o.skip = x->own.list;
	o.skip_count = x->own.count;
	engine_host(host, sizeof(host));
	if (strcmp(host, m->host) != 0)
		progress_note(x->call->progress,
			      "the snapshot is of %s, and this is %s",
			      text_quote_str(m->host).s,
			      text_quote_str(host).s);
	return diff_live(x->repository, m, &o, write_change, x, e);
}

static int check_live(const struct args *args, bool live, struct err *e)
{
	if (strcmp(args_text(args, "before"), "live") == 0) {
		(void)err_set(e, ERR_USAGE,
			      "what is live is newer than any snapshot");
		return err_hint(e, "\"snapctl snapshot diff SNAP live\"");
	}
	if (!live && (args_switch(args, "exclude-caches") ||
		      args_switch(args, "cross-file-systems")))
		return err_set(e, ERR_USAGE,
			       "--exclude-caches and --cross-file-systems mean "
			       "nothing between two snapshots");
	return 0;
}

/*
 * Both in one region; it is chosen by the one that says "latest", if one does.
 */
static int open_both(struct diffing *x, bool live, struct err *e)
{
	const char *before = args_text(x->call->args, "before");
	const char *after = args_text(x->call->args, "after");
	const bool by_after = strcmp(after, "latest") == 0;
	const char *other = by_after ? before : live ? NULL : after;
	struct repository_snapshot *first = by_after ? &x->b : &x->a;
	struct repository_snapshot *second = by_after ? &x->a : &x->b;
	CLEANUP(engine_reading_free) struct engine_reading *reading = NULL;

	if (engine_reading_new(x->call, &reading, e))
		return -1;
	for (;;) {
		if (engine_reading_open(reading, by_after ? after : before,
					&x->repository, first, e))
			return -1;
		if (!other || engine_snapshot(x->call, x->repository, other,
					      second, e) == 0)
			return 0;
		if (!region_choice_is_away(e, REGION_READ) ||
		    !engine_reading_other(reading))
			return -1;
		engine_reading_leave(reading, e);
		repository_close(x->repository);
		x->repository = NULL;
		repository_snapshot_done(second);
		manifest_init(&second->manifest);
	}
}

static int diff(struct operation_call *call, struct err *e)
{
	CLEANUP(diffing_done) struct diffing x;
	const char *after = args_text(call->args, "after");
	const bool live = strcmp(after, "live") == 0;

	diffing_init(&x, call);
	if (check_live(call->args, live, e) || read_paths(&x, e) ||
	    read_masks(&x, e) || open_both(&x, live, e) || mask_declared(&x, e))
		return -1;
	json_begin_list(call->reply);
	if (live ? compare_live(&x, e)
		 : diff_run(x.repository, &x.a.manifest.tree,
			    &x.b.manifest.tree, write_change, &x, e))
		return -1;
	json_end_list(call->reply);
	return 0;
}

static const struct operation_param params[] = {
	{ .name = "before",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "SNAP",
	  .help = "the older snapshot" },
	{ .name = "after",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "SNAP|live",
	  .help = "the newer one; live: what is there now, on this machine" },
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "whose snapshots are meant; \"\" means ad hoc ones" },
	{ .name = "path",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "PATTERN",
	  .help = "only what matches, and what is in it, in gitignore's "
		  "manner: nginx.conf, /etc/nginx" },
	{ .name = "exclude-caches",
	  .kind = PARAM_SWITCH,
	  .help = "live: leave out caches, as the snapshot did" },
	{ .name = "cross-file-systems",
	  .kind = PARAM_SWITCH,
	  .help = "live: enter other file systems, as the snapshot did" },
	{ .name = "unified",
	  .kind = PARAM_SWITCH,
	  .view = "!diff",
	  .help = "show which lines of text files changed, secrets masked" },
	{ .name = "mask",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "REGEX",
	  .help = "mask this, too: its first group, or all of it" },
	{ 0 },
};

const struct operation op_diff_rows[] = {
	{ .verb = "snapshot diff",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = params,
	  .view = "change:state path type what:list size_before:size=before "
		  "size_after:size=after",
	  .summary = "show what changed between two snapshots, or since one",
	  .help = "The exit status is 0 with or without differences.\n\n"
		  "With --unified each change of a text file, and of where a "
		  "symlink leads, is shown as diff -u does; patch applies it. "
		  "Text has no NUL and no control bytes but those that "
		  "terminals know; files above 1 MiB are not shown. Private "
		  "keys, passwords, tokens and the like read ********, "
		  "changed or not; REGEX is a POSIX extended one, matched line "
		  "by line. With --repo by name what the Source masks is "
		  "masked, too.",
	  .run = diff },
	{ 0 },
};
