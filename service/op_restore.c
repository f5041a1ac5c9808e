/* Getting things back: ls, cat, restore. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_read.h"
#include "service/notes.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/repository/ahead.h"
#include "storage/repository/tree.h"
#include "storage/restore.h"
#include "storage/restore_output.h"
#include "storage/sources/exclude.h"
#include "storage/stores/store.h"

#define CACHE_BYTES (4U << 20)
/* Sealed chunks that come ahead of cat, where a request takes long. */
#define AHEAD_BYTES ((size_t)32 << 20)

/* A snapshot and a path in it, opened for reading. */
struct place {
	struct engine_reading *reading;
	struct repository *repository;
	struct repository_snapshot snapshot;
	struct reader *reader;
	struct tree *tree;
	struct buf snap;
	struct buf path; /* "" for everything */
};

static void place_done(struct place *p)
{
	tree_close(p->tree);
	reader_free(p->reader);
	repository_snapshot_done(&p->snapshot);
	repository_close(p->repository);
	engine_reading_free(p->reading);
	buf_done(&p->snap);
	buf_done(&p->path);
}
static inline void cleanup_place_done(struct place *p)
{
	place_done(p);
}

static void place_init(struct place *p)
{
	*p = (struct place){ .repository = NULL };
	manifest_init(&p->snapshot.manifest);
	buf_init(&p->snap, ENTRY_PATH_MAX);
	buf_init(&p->path, ENTRY_PATH_MAX);
}

static int place_open(struct place *p, const struct operation_call *call,
		      struct err *e)
{
	if (engine_split(args_text(call->args, "snapshot"), &p->snap, &p->path,
			 e) ||
	    engine_reading_new(call, &p->reading, e))
		return -1;
	return engine_reading_open(p->reading, buf_str(&p->snap),
				   &p->repository, &p->snapshot, e);
}

static int place_seek(struct place *p, struct err *e)
{
	if (reader_new(p->repository, CACHE_BYTES, &p->reader, e) ||
	    tree_open(p->reader, &p->snapshot.manifest.tree, NULL, &p->tree, e))
		return -1;
	return p->path.len ? tree_seek(p->tree, p->path.data, p->path.len, e)
			   : 0;
}

static int no_such_path(const struct place *p, struct err *e)
{
	(void)err_set(e, ERR_NOT_FOUND, "%s is not in snapshot %s",
		      text_quote(p->path.data, p->path.len).s,
		      buf_str(&p->snap));
	return err_hint(e, "`snapctl ls %s` shows what is", buf_str(&p->snap));
}

static void write_entry(struct json *j, const struct entry *en)
{
	json_begin_object(j);
	json_path(j, "path", en->path, en->path_len);
	json_kv_str(j, "type", entry_type_name(en->type));
	json_kv_uint(j, "mode", en->mode);
	json_kv_uint(j, "uid", en->uid);
	json_kv_uint(j, "gid", en->gid);
	json_kv_uint(j, "size", en->size);
	json_kv_instant(j, "mtime", en->mtime);
	if (en->type == ENTRY_SYMLINK)
		json_path(j, "link", en->target, en->target_len);
	else
		json_kv_str(j, "link", NULL);
	json_end_object(j);
}

static bool is_within(const struct place *p, const struct entry *en)
{
	return p->path.len == 0 || entry_path_within(en->path, en->path_len,
						     p->path.data, p->path.len);
}

static int ls(struct operation_call *call, struct err *e)
{
	CLEANUP(place_done) struct place p;
	struct content content;
	struct entry en;
	bool any = false;
	int got;

	place_init(&p);
	if (place_open(&p, call, e) || place_seek(&p, e))
		return -1;
	/* Nothing is written before it is known that the path exists. */
	got = tree_next(p.tree, &en, &content, e);
	if (got < 0)
		return -1;
	if (p.path.len && (!got || !is_within(&p, &en)))
		return no_such_path(&p, e);
	json_begin_list(call->reply);
	while (got == 1 && is_within(&p, &en)) {
		any = true;
		write_entry(call->reply, &en);
		if (operation_stopped(call, e))
			return -1;
		got = tree_next(p.tree, &en, &content, e);
		if (got < 0)
			return -1;
	}
	json_end_list(call->reply);
	(void)any;
	return 0;
}

struct output {
	struct operation_call *call;
	struct reader *reader;
	struct ahead *ahead;
};

static int write_zeros(struct operation_call *call, uint64_t n, struct err *e)
{
	static const uint8_t zeros[65536];

	while (n) {
		const size_t now = n < sizeof(zeros) ? (size_t)n
						     : sizeof(zeros);

		if (operation_stopped(call, e) ||
		    operation_write(call, zeros, now, e))
			return -1;
		n -= now;
	}
	return 0;
}

static int write_extent(void *arg, uint64_t offset, const struct extent *x,
			struct err *e)
{
	const struct output *o = (const struct output *)arg;
	const uint8_t *plain;
	size_t n;

	ahead_reached(o->ahead, offset);
	if (x->hole)
		return write_zeros(o->call, x->len, e);
	if (operation_stopped(o->call, e) ||
	    reader_get(o->reader, &x->id, CHUNK_DATA, &plain, &n, e))
		return -1;
	if (x->offset > n || x->len > n - x->offset)
		return err_set(e, ERR_CORRUPT,
			       "a file refers to bytes beyond its chunk");
	return operation_write(o->call, plain + x->offset, (size_t)x->len, e);
}

/*
 * The file that is meant: the one at the path or, of a stream, the only one
 * there is.
 */
static int find_file(struct place *p, struct entry *en, struct content *content,
		     struct err *e)
{
	int got;

	if (p->path.len == 0 && !manifest_is_stream(&p->snapshot.manifest)) {
		(void)err_set(e, ERR_USAGE, "no file is named");
		return err_hint(e, "give SNAP:PATH, as in latest:/etc/hosts");
	}
	if (place_seek(p, e))
		return -1;
	do
		got = tree_next(p->tree, en, content, e);
	while (got == 1 && p->path.len == 0 && en->type == ENTRY_FOLDER);
	if (got < 0)
		return -1;
	if (!got ||
	    (p->path.len && entry_path_compare(en->path, en->path_len,
					       p->path.data, p->path.len) != 0))
		return no_such_path(p, e);
	if (en->type == ENTRY_FILE)
		return 0;
	(void)err_set(e, ERR_USAGE, "%s is a %s, not a file",
		      text_quote(en->path, en->path_len).s,
		      entry_type_name(en->type));
	return err_hint(e, "`snapctl ls` lists it, `snapctl restore` brings it "
			   "back");
}

static int cat(struct operation_call *call, struct err *e)
{
	CLEANUP(place_done) struct place p;
	/* Maps and data through two readers: each borrows from its own. */
	CLEANUP(ahead_free) struct ahead *ahead = NULL;
	CLEANUP(reader_free) struct reader *data = NULL;
	struct content content;
	const struct ahead_work work = { .bytes = AHEAD_BYTES,
					 .content = &content };
	struct output o;
	struct entry en;

	place_init(&p);
	if (place_open(&p, call, e) || find_file(&p, &en, &content, e))
		return -1;
	if (reader_new(p.repository, CACHE_BYTES, &data, e))
		return -1;
	ahead = ahead_start(p.repository, &work);
	reader_take_from(data, ahead_prefetch(ahead));
	o = (struct output){ call, data, ahead };
	return content_walk(p.reader, &content, write_extent, &o, e);
}

static const char not_pinned[] =
	"note: the snapshot could not be pinned in the repository "
	"(read-only?); a garbage collection would not know of this restore";

/* What restore_run() and restore_output() call back with. */
struct restoring {
	struct operation_call *call;
	const char *target; /* of --output */
	struct exclude *include;
	struct exclude *exclude;
	bool any; /* the walk met something that include picks */
	struct notes errors;
	struct notes left_out;
};

static bool wanted(void *arg, const char *path, size_t len, bool is_folder)
{
	struct restoring *x = (struct restoring *)arg;
	bool picked;

	while (len && *path == '/') {
		path++;
		len--;
	}
	picked = exclude_empty(x->include) ||
		 exclude_picks(x->include, path, len, is_folder);
	x->any = x->any || picked;
	return picked && !exclude_match(x->exclude, path, len, is_folder);
}

static void on_progress(void *arg, const struct restore_progress *p)
{
	const struct restoring *x = (const struct restoring *)arg;

	if (p->bytes_total)
		progress_total(x->call->progress, p->bytes_total);
	progress_set(x->call->progress, p->files, p->bytes);
}

static void on_error(void *arg, const char *path, size_t len,
		     const char *message)
{
	notes_add(&((struct restoring *)arg)->errors, path, len, message);
}

static void on_left_out(void *arg, const char *path, size_t len,
			const char *message)
{
	notes_add(&((struct restoring *)arg)->left_out, path, len, message);
}

static int add_patterns(struct exclude *set, const struct args *args,
			const char *name, struct err *e)
{
	for (size_t i = 0; i < args_count(args, name); i++)
		if (exclude_add(set, args_nth(args, name, i), e))
			return -1;
	return 0;
}

static enum restore_overwrite overwrite_of(const struct args *args)
{
	const char *text = args_text(args, "overwrite");

	if (strcmp(text, "always") == 0)
		return RESTORE_ALWAYS;
	return strcmp(text, "never") == 0 ? RESTORE_NEVER : RESTORE_CHANGED;
}

static void write_result(struct restoring *x, const struct place *p,
			 const struct restore_result *r, int64_t ms)
{
	struct json *j = x->call->reply;

	json_begin_object(j);
	engine_reading_write(p->reading, j);
	json_kv_uint(j, "files", r->files);
	json_kv_uint(j, "folders", r->folders);
	json_kv_uint(j, "bytes", r->bytes);
	json_kv_uint(j, "reused", r->reused);
	json_kv_uint(j, "skipped", r->skipped);
	notes_write(&x->left_out, j, "left_out");
	notes_write(&x->errors, j, "errors");
	json_kv_double(j, "seconds", (double)ms / 1000.0);
	json_end_object(j);
}

static int restore_once(struct restoring *x, const struct place *p,
			struct restore_result *ret, struct err *e)
{
	const struct args *args = x->call->args;
	const bool filtered = args_count(args, "include") ||
			      args_count(args, "exclude");
	const struct restore_options o = {
		.to = args_text(args, "to"),
		.path = p->path.len ? buf_str(&p->path) : NULL,
		.path_len = p->path.len,
		.overwrite = overwrite_of(args),
		.dry_run = args_switch(args, "dry-run"),
		.no_privileged = args_switch(args, "no-privileged"),
		.wanted = filtered ? wanted : NULL,
		.failed = on_error,
		.left_out = on_left_out,
		.progress = on_progress,
		.cancel = x->call->stop,
		.arg = x,
	};

	/* Whoever goes on elsewhere need not wait for long. */
	if (engine_reading_other(p->reading))
		store_set_patience(repository_store(p->repository),
				   STORE_FICKLE);
	progress_stage(x->call->progress, "restoring", 0);
	return restore_run(p->repository, &p->snapshot.manifest, &o, ret, e);
}

/* The same snapshot in another region: 1, or 0 when none has it. */
static int move_on(struct restoring *x, struct place *p, const struct err *why)
{
	CLEANUP(repository_close) struct repository *other = NULL;
	struct repository_snapshot s;
	struct err ignored = { 0 };
	char id[OBJECT_ID_TEXT];

	if (!engine_reading_other(p->reading))
		return 0;
	object_id_format(p->snapshot.manifest.snapshot, id);
	engine_reading_leave(p->reading, why);
	manifest_init(&s.manifest);
	if (engine_reading_open(p->reading, id, &other, &s, &ignored)) {
		repository_snapshot_done(&s);
		return 0;
	}
	repository_snapshot_done(&p->snapshot);
	p->snapshot = s;
	repository_close(p->repository);
	p->repository = TAKE(other);
	notes_done(&x->errors);
	notes_init(&x->errors);
	notes_done(&x->left_out);
	notes_init(&x->left_out);
	return 1;
}

/*
 * From as many regions as it takes: what one could not give, the next one
 * does.  What is there by then is not written again (but for --overwrite
 * always, which goes by nothing that is there).
 */
static int restore_from_any(struct restoring *x, struct place *p,
			    struct restore_result *ret, struct err *e)
{
	for (;;) {
		const int failed = restore_once(x, p, ret, e);
		struct err why = { 0 };

		if (failed) {
			if (!ret->unread && e->code != ERR_CORRUPT)
				return -1;
			why = *e;
		} else if (ret->damaged || ret->unread) {
			(void)err_set(&why, ret->damaged ? ERR_CORRUPT : ERR_IO,
				      "%ju of what is restored",
				      (uintmax_t)ret->errors);
		} else {
			return 0;
		}
		if (!move_on(x, p, &why))
			return failed;
		err_clear(e);
	}
}

static int restore_with(struct restoring *x, struct place *p, struct err *e)
{
	struct operation_call *call = x->call;
	const int64_t begun_ms = clock_boot_ms();
	const bool is_dry = args_switch(call->args, "dry-run");
	struct restore_result result;

	if (restore_from_any(x, p, &result, e))
		return -1;
	if (!result.pinned && !is_dry)
		progress_note(call->progress, "%s", not_pinned);
	if (is_dry)
		progress_note(call->progress,
			      "note: a dry run: nothing was written");
	/* A mistyped pattern must not look like a restore. */
	if (args_count(call->args, "include") && !x->any)
		progress_note(call->progress,
			      "note: --include matches nothing in the "
			      "snapshot; `snapctl ls` shows what it holds");
	if (result.damaged)
		operation_damaged(call);
	else if (result.errors || result.left_out)
		operation_partial(call);
	write_result(x, p, &result, clock_boot_ms() - begun_ms);
	return 0;
}

/* ---- Onto a device, or into a file of another name ---------------------- */

static void on_lost(void *arg, uint64_t from, uint64_t n, const char *why)
{
	struct restoring *x = arg;
	char message[400];

	(void)snprintf(message, sizeof(message),
		       "bytes %ju to %ju are damaged in the repository, and "
		       "were left as they are there: %.200s",
		       (uintmax_t)from, (uintmax_t)(from + n - 1), why);
	notes_add(&x->errors, x->target, strlen(x->target), message);
}

static void on_output(void *arg, uint64_t bytes, uint64_t total)
{
	const struct restoring *x = arg;

	progress_total(x->call->progress, total);
	progress_set(x->call->progress, 0, bytes);
}

static int no_target(struct err *e)
{
	(void)err_set(e, ERR_USAGE, "where to?");
	return err_hint(e, "--to DIR, or --output FILE or DEVICE for a disk or "
			   "a command's output");
}

static int check_output(const struct args *args, struct err *e)
{
	static const char *const others[] = { "to", "include", "exclude",
					      "dry-run", "no-privileged" };

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (args_given(args, others[i]))
			return err_set(e, ERR_USAGE,
				       "--%s means nothing with --output",
				       others[i]);
	if (strcmp(args_text(args, "overwrite"), "never") == 0)
		return err_set(e, ERR_USAGE,
			       "--overwrite never means nothing with --output");
	return 0;
}

/* What was written of it is not taken for right by another restore. */
static int advise_other(const struct place *p, struct err *e)
{
	const char *other = engine_reading_other(p->reading);

	if (!other || (e->code != ERR_BUSY && e->code != ERR_CORRUPT))
		return -1;
	return err_hint(e, "another region may have it: --region %s", other);
}

static void note_other(const struct operation_call *call, const struct place *p)
{
	const char *other = engine_reading_other(p->reading);

	if (other)
		progress_note(call->progress,
			      "note: another region may have what is damaged: "
			      "--region %s --overwrite always",
			      other);
}

static int restore_to_output(struct restoring *x, struct place *p,
			     struct err *e)
{
	struct operation_call *call = x->call;
	const int64_t begun_ms = clock_boot_ms();
	const struct restore_output_options o = {
		.path = p->path.len ? buf_str(&p->path) : NULL,
		.path_len = p->path.len,
		.to = x->target,
		.overwrite = overwrite_of(call->args) == RESTORE_ALWAYS,
		.lost = on_lost,
		.progress = on_output,
		.cancel = call->stop,
		.arg = x,
	};
	struct restore_output_result r;
	struct json *j = call->reply;

	if (!o.path && !manifest_is_stream(&p->snapshot.manifest)) {
		(void)err_set(e, ERR_USAGE, "no file is named");
		return err_hint(e, "give SNAP:PATH; --to DIR restores all of a "
				   "snapshot");
	}
	progress_stage(call->progress, "restoring", 0);
	if (restore_output(p->repository, &p->snapshot.manifest, &o, &r, e))
		return advise_other(p, e);
	if (!r.pinned)
		progress_note(call->progress, "%s", not_pinned);
	if (r.lost) {
		operation_damaged(call);
		note_other(call, p);
	}
	json_begin_object(j);
	engine_reading_write(p->reading, j);
	json_kv_uint(j, "files", 1);
	json_kv_uint(j, "bytes", r.bytes);
	json_kv_uint(j, "bytes_written", r.written);
	notes_write(&x->errors, j, "errors");
	json_kv_double(j, "seconds",
		       (double)(clock_boot_ms() - begun_ms) / 1000.0);
	json_end_object(j);
	return 0;
}

static int restore(struct operation_call *call, struct err *e)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(exclude_free) struct exclude *include = NULL;
	CLEANUP(exclude_free) struct exclude *exclude = NULL;
	struct restoring x = { .call = call,
			       .target = args_text(call->args, "output") };
	int failed;

	place_init(&p);
	if (x.target ? check_output(call->args, e)
		     : !args_text(call->args, "to") && no_target(e))
		return -1;
	if (exclude_new(&include, e) || exclude_new(&exclude, e) ||
	    add_patterns(include, call->args, "include", e) ||
	    add_patterns(exclude, call->args, "exclude", e) ||
	    place_open(&p, call, e))
		return -1;
	x.include = include;
	x.exclude = exclude;
	notes_init(&x.errors);
	notes_init(&x.left_out);
	failed = x.target ? restore_to_output(&x, &p, e)
			  : restore_with(&x, &p, e);
	notes_done(&x.errors);
	notes_done(&x.left_out);
	return failed;
}

#define SNAPSHOT_PARAM(of, how)                                \
	{                                                      \
		.name = "snapshot", .kind = PARAM_POSITIONAL,  \
		.required = true, .value = (of), .help = (how) \
	}
#define SOURCE_PARAM                                                     \
	{                                                                \
		.name = "source", .kind = PARAM_OPTION, .value = "NAME", \
		.help = ENGINE_SOURCE_HELP                               \
	}

static const struct operation_param ls_params[] = {
	SNAPSHOT_PARAM("SNAP[:PATH]", "an id, a prefix of one, or latest"),
	SOURCE_PARAM,
	{ 0 },
};

static const struct operation_param cat_params[] = {
	SNAPSHOT_PARAM("SNAP[:PATH]", "a snapshot, and a file in it, unless it "
				      "is of a command or a disk"),
	SOURCE_PARAM,
	{ 0 },
};

static const struct operation_param restore_params[] = {
	SNAPSHOT_PARAM("SNAP[:PATH]", "a snapshot, or a part of it"),
	{ .name = "to",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "DIR",
	  .help = "the folder to restore into; made when it is missing" },
	{ .name = "output",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "FILE",
	  .view = "bytes:size bytes_written:size=written seconds:seconds "
		  "errors",
	  .help = "instead: a new file, or a block device, for a disk or a "
		  "command's output" },
	{ .name = "include",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "PATTERN",
	  .help = "restore only what matches, in gitignore's manner" },
	{ .name = "exclude",
	  .kind = PARAM_OPTION,
	  .repeated = true,
	  .value = "PATTERN",
	  .help = "leave out what matches" },
	{ .name = "overwrite",
	  .kind = PARAM_OPTION,
	  .type = PARAM_CHOICE,
	  .choices = "changed|always|never",
	  .fallback = "changed",
	  .value = "WHICH",
	  .help = "which files that are there are written again" },
	{ .name = "dry-run",
	  .kind = PARAM_SWITCH,
	  .help = "say what would be done and write nothing" },
	{ .name = "no-privileged",
	  .kind = PARAM_SWITCH,
	  .help = "leave out what needs root: owners, devices, setuid bits, "
		  "capabilities" },
	SOURCE_PARAM,
	{ 0 },
};

const struct operation op_restore_rows[] = {
	{ .verb = "ls",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = ls_params,
	  .view = "type mode:mode uid gid size:size mtime:time path link",
	  .summary = "list the entries of a snapshot",
	  .run = ls },
	{ .verb = "cat",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS |
		   OPERATION_BYTES,
	  .params = cat_params,
	  .summary = "write a file of a snapshot to standard output",
	  .run = cat },
	{ .verb = "restore",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = restore_params,
	  .view = "files:count bytes:size reused:count skipped:count "
		  "seconds:seconds left_out errors",
	  .summary = "put a snapshot, or a part of it, back into a folder",
	  .help = "SNAP puts full paths below DIR: DIR/etc/nginx/nginx.conf. "
		  "SNAP:PATH puts what is in PATH below DIR: "
		  "DIR/nginx.conf.\n\n"
		  "Files that are there with the right size and time are taken "
		  "as done, so that an interrupted restore continues where it "
		  "stopped when it is run again. Nothing is ever deleted, and "
		  "nothing is written outside DIR.\n\n"
		  "With --output one file, that of a disk or a command's "
		  "output or SNAP:PATH, becomes a new sparse file, or the "
		  "content of a block device, of which only what differs is "
		  "written. --overwrite always allows a file that is there, "
		  "and a device that is in use.\n\n"
		  "With --repo by name and the primary region away, another "
		  "one is read, and a note says so; what one region cannot "
		  "give, because it is damaged or went away meanwhile, comes "
		  "from the next. --region names one.\n\n"
		  "As root, owners, devices, setuid bits and capabilities come "
		  "back; for others, and with --no-privileged, what was left "
		  "out is listed and the exit status is 3.",
	  .run = restore },
	{ 0 },
};
