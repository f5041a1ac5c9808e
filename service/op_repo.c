/* Repositories as a whole: made, counted, checked. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/engine_read.h"
#include "service/findings.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/repository/aliens.h"
#include "storage/repository/check.h"
#include "storage/repository/guards.h"
#include "storage/repository/stats.h"
#include "storage/stores/store.h"

static int refuse_repository(void *arg, const struct store_entry *entry,
			     struct err *e)
{
	(void)arg;
	(void)entry;
	return err_set(e, ERR_EXISTS, "there is a repository already");
}

static int refuse_taken(void *arg, const struct store_entry *entry,
			struct err *e)
{
	(void)arg;
	/* keyring_init() continues what an interrupted one left. */
	if (strcmp(entry->name, "config") == 0 ||
	    strncmp(entry->name, "keys/", 5) == 0)
		return 0;
	return err_set(e, ERR_EXISTS, "it is not empty: it holds %s",
		       text_quote_str(entry->name).s);
}

static void write_made(struct json *j, const struct keys *keys,
		       const struct store *s, const struct args *a, bool made)
{
	const char *file = args_text(a, "key-file");
	char id[OBJECT_ID_TEXT];

	object_id_format(keys_repository(keys), id);
	json_begin_object(j);
	json_kv_str(j, "repository", id);
	json_kv_str(j, "url", s->url);
	if (file && !args_text(a, "passphrase-file")) {
		json_path(j, "key_file", file, strlen(file));
		json_kv_bool(j, "key_file_made", made);
	}
	json_kv_str(j, "note",
		    "without its key nobody can read it, and nobody can make "
		    "another: keep a copy of the key elsewhere");
	json_end_object(j);
}

/* Before a key file or a folder is made for nothing. */
static int expect_vacant(const char *url, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;

	if (store_open(url, false, &s, e)) {
		if (e->code != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		return 0;
	}
	if (store_list(s, "keyring/", refuse_repository, NULL, e) ||
	    store_pure(s, e) || store_list(s, "", refuse_taken, NULL, e)) {
		if (e->code == ERR_EXISTS)
			(void)err_hint(e, "name a new or empty place");
		return err_wrap(e, "cannot make a repository in %s",
				store_shown(s).s);
	}
	if (!(store_features(s) & STORE_READ_ONLY))
		return 0;
	(void)err_set(e, ERR_DENIED,
		      "cannot make a repository in %s: it can only be read",
		      store_shown(s).s);
	return err_hint(e, "is its file system mounted read-only, or is its "
			   "folder somebody else's?");
}

/* The key of the new repository; *ret_make: its file is still to be made. */
static int init_credential(const struct operation_call *call,
			   struct keyring_credential **ret, bool *ret_make,
			   struct err *e)
{
	*ret_make = false;
	if (engine_credential(call, ret, e) == 0)
		return 0;
	if (e->code != ERR_NOT_FOUND || !args_text(call->args, "key-file") ||
	    args_text(call->args, "passphrase-file"))
		return -1;
	err_clear(e);
	*ret_make = true;
	return 0;
}

/*
 * In an order in which a refusal leaves nothing behind: look at the key, look
 * at the place, make the key, make the place.
 */
static int init(struct operation_call *call, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	CLEANUP(keys_free) struct keys *keys = NULL;
	const char *key_file = args_text(call->args, "key-file");
	const char *url = args_text(call->args, "url");
	bool make;

	if (strncmp(url, "mem:", 4) == 0) {
		(void)err_set(e, ERR_USAGE,
			      "what is in memory is gone when this command "
			      "ends");
		return err_hint(e, "write file:///DIR, or a plain path");
	}
	if (init_credential(call, &c, &make, e) || expect_vacant(url, e) ||
	    (make && keyring_credential_make_key_file(key_file, &c, e)))
		return -1;
	if (store_open(url, true, &s, e)) {
		if (make)
			/* Nothing is sealed with it. */
			(void)!seam_unlink(AT_FDCWD, key_file, 0);
		return -1;
	}
	if (keyring_init(s, c, args_text(call->args, "label"), call->now, &keys,
			 e))
		return -1;
	write_made(call->reply, keys, s, call->args, make);
	return 0;
}

struct counting {
	struct operation_call *call;
	uint64_t left_out;
};

static int count_without(void *arg, const char *name, const struct err *why,
			 struct err *e UNUSED)
{
	struct counting *c = arg;

	c->left_out++;
	operation_damaged(c->call);
	progress_note(c->call->progress,
		      "warning: what is damaged in %s is not counted: %s; "
		      "`snapctl repo check` says more",
		      name, why->text);
	return 0;
}

static int stats(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	struct counting c = { .call = call };
	struct stats x;
	struct json *j = call->reply;

	if (engine_read(call, &r, e) ||
	    stats_count(r, count_without, &c, &x, e))
		return -1;
	json_begin_object(j);
	json_kv_uint(j, "snapshots", x.snapshots);
	json_kv_uint(j, "packs", x.packs);
	json_kv_uint(j, "chunks", x.chunks);
	json_kv_uint(j, "index_entries", x.index_entries);
	json_kv_uint(j, "stored_bytes", x.stored_bytes);
	json_kv_uint(j, "logical_bytes", x.logical_bytes);
	json_kv_uint(j, "left_out", c.left_out);
	json_end_object(j);
	return 0;
}

/*
 * Checking.
 */
struct checking {
	struct operation_call *call;
	const char *stage;
	struct guards_result locks;
	struct aliens_result aliens;
};

static void on_progress(void *arg, const struct check_progress *p)
{
	struct checking *x = arg;

	if (x->stage != p->stage) {
		x->stage = p->stage;
		progress_stage(x->call->progress, p->stage, p->bytes_total);
	}
	progress_set(x->call->progress, p->done, p->bytes);
}

static bool is_all_given_up(const struct check_result *x)
{
	for (uint64_t i = 0; i < x->n_findings && i < CHECK_FINDINGS_MAX; i++)
		if (!x->findings[i].quarantined)
			return false;
	return true;
}

/* Receipts that went, and nothing else. */
static bool is_all_absent(const struct check_result *x)
{
	for (uint64_t i = 0; i < x->n_findings && i < CHECK_FINDINGS_MAX; i++)
		if (!x->findings[i].is_absent && !x->findings[i].quarantined)
			return false;
	return x->lost == 0;
}

/* What only a newer program or keyring reads, which no repair gives up. */
static uint64_t count_newer(const struct check_result *x)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < x->n_findings && i < CHECK_FINDINGS_MAX; i++)
		n += x->findings[i].newer;
	return n;
}

/* What the reader can do about it, or NULL.  after is NULL or a repair's. */
static const char *advice(const struct check_result *x,
			  const struct check_result *after)
{
	const uint64_t newer = count_newer(x);

	if (x->sound)
		return NULL;
	if (newer && (after || newer == findings_unsettled(x)))
		return "a newer snapctl, or one with keys that came later, "
		       "wrote what this one does not know: upgrade it and "
		       "check again; no repair gives that up";
	if (!after && is_all_absent(x))
		return "all data is there; `snapctl repo check --repair` "
		       "writes what is missing, by the time that the writer "
		       "claims, or with `--from REGION` as that region has it";
	if (after && !after->sound && is_all_absent(after))
		return "a region that may have what is missing cannot be read; "
		       "repair again once it can";
	if (!after && x->returned && is_all_given_up(x))
		return "what an earlier repair gave up can be read again: "
		       "`snapctl repo check --repair` brings it back";
	if (!after && !is_all_given_up(x))
		return "`snapctl repo check --repair` rebuilds what can be "
		       "rebuilt and gives up the rest, so that the next "
		       "snapshot stores it again; it deletes nothing";
	/* A node that came back leads to what nobody looked for before. */
	if (after && !after->sound && x->fetched)
		return "what came from the other region leads to more: run it "
		       "again";
	if (after && after->sound)
		return "all that snapshots need is in its place again";
	return "take a snapshot of the same paths now: what they still hold is "
	       "stored again, also for older snapshots that share it; the rest "
	       "comes back only from another region: `snapctl repo check "
	       "--repair --from REGION`";
}

static void write_locks(struct json *j, const struct guards_result *x,
			const struct err *why)
{
	if (!x->can && !why->code)
		return;
	json_key(j, "object_lock");
	json_begin_object(j);
	if (why->code)
		json_kv_str(j, "error", why->text);
	json_kv_uint(j, "snapshots", x->snapshots);
	json_kv_uint(j, "objects", x->objects);
	json_kv_uint(j, "asked", x->asked);
	json_kv_uint(j, "short", x->too_short);
	json_kv_uint(j, "lengthened", x->lengthened);
	json_kv_uint(j, "held", x->held);
	if (x->least.sec)
		json_kv_instant(j, "until_least", x->least);
	findings_write_locks(j, x);
	json_end_object(j);
}

/* What somebody else put on top of objects. */
static void write_aliens(struct json *j, const struct aliens_result *x)
{
	json_key(j, "foreign");
	json_begin_list(j);
	for (uint64_t i = 0; i < x->objects && i < ALIENS_FINDINGS_MAX; i++) {
		json_begin_object(j);
		json_kv_str(j, "object", x->findings[i].object);
		json_kv_uint(j, "versions", x->findings[i].versions);
		json_end_object(j);
	}
	json_end_list(j);
	json_kv_uint(j, "foreign_count", x->objects);
}

/* Why what a check found, or the look after it, may be there all along. */
static const struct err *unread_of(const struct check_result *x,
				   const struct check_result *after)
{
	if (!x->sound && x->unread.code)
		return &x->unread;
	return after && !after->sound && after->unread.code ? &after->unread
							    : NULL;
}

static void write_check(struct json *j, const struct check_result *x,
			const struct check_options *o,
			const struct check_result *after,
			const struct guards_result *locks,
			const struct err *locks_why,
			const struct aliens_result *aliens, double seconds)
{
	const char *what = advice(x, after);
	const struct err *unread;

	if (!what && locks_why->code)
		what = after ? "not all that is locked could be locked in its "
			       "store, or asked about: \"--json\" says why"
			     : "whether what is locked is so in its store "
			       "could not be asked: \"--json\" says why";
	if (!what && locks->too_short)
		what = after ? "not all that is locked is so in its store: it "
			       "says that it locks what it then does not"
			     : "not all that is locked is so in its store: "
			       "`snapctl repo check --repair` locks it";
	if (!what && aliens->objects)
		what = "somebody put other versions on top of objects: what "
		       "was written is below and is what is read, but their "
		       "credentials are in other hands; \"--json\" names "
		       "them";

	json_begin_object(j);
	json_kv_bool(j, "sound", x->sound);
	json_kv_str(j, "level", o->level == CHECK_DATA ? "data" : "structure");
	json_kv_uint(j, "snapshots", x->snapshots);
	json_kv_uint(j, "objects", x->objects);
	json_kv_uint(j, "packs", x->packs);
	json_kv_uint(j, "packs_read", x->packs_read);
	json_kv_uint(j, "chunks", x->chunks);
	json_kv_uint(j, "index_entries", x->index_entries);
	json_kv_uint(j, "bytes", x->bytes);
	json_kv_uint(j, "unindexed", x->unindexed);
	json_kv_uint(j, "unknown", x->unknown);
	json_kv_uint(j, "lost", x->lost);
	json_kv_uint(j, "returned", x->returned);
	json_kv_double(j, "seconds", seconds);
	json_key(j, "damaged");
	findings_write(j, x, false);
	json_kv_uint(j, "damaged_count", findings_unsettled(x));
	json_key(j, "quarantined");
	findings_write(j, x, true);
	if (after) {
		json_key(j, "repaired");
		json_begin_object(j);
		json_kv_uint(j, "indexed", x->indexed);
		json_kv_uint(j, "salvaged", x->salvaged);
		json_kv_uint(j, "fetched", x->fetched);
		json_kv_uint(j, "receipts", x->receipts);
		json_kv_uint(j, "quarantined", x->quarantined);
		json_kv_bool(j, "sound", after->sound);
		json_kv_uint(j, "lost", after->lost);
		json_end_object(j);
	}
	write_locks(j, locks, locks_why);
	if (aliens->objects)
		write_aliens(j, aliens);
	unread = unread_of(x, after);
	if (unread)
		json_kv_str(j, "unread", unread->text);
	if (what)
		json_kv_str(j, "advice", what);
	json_end_object(j);
}

/* What --from leads to, another region of r, or NULL when it is not given. */
static int open_other(const struct operation_call *call,
		      const struct repository *r, struct repository **ret,
		      struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(repository_close) struct repository *other = NULL;
	CLEANUP(resource_free) struct resource *named = NULL;
	const char *from = args_text(call->args, "from");
	const struct resource_region *region;
	const char *url;

	if (!from)
		return 0;
	if (!args_switch(call->args, "repair"))
		return err_set(e, ERR_USAGE, "--from goes with --repair");
	if (engine_named(call, &named, e) < 0 ||
	    engine_named_region(named, from, &region, &url, e) ||
	    engine_named_key(call, named, &key, e) ||
	    repository_open(url, key, &other, e))
		return -1;
	if (!object_id_equal(keys_repository(repository_keys(r)),
			     keys_repository(repository_keys(other))) ||
	    !keys_agree(repository_keys(r), repository_keys(other)))
		return err_set(e, ERR_USAGE,
			       "%s is no region of this repository",
			       text_quote_str(from).s);
	*ret = other;
	other = NULL;
	return 0;
}

/* What a repair came to: another look, without reading all data again. */
static int look_again(struct operation_call *call,
		      const struct check_options *was, struct check_result *ret,
		      struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	struct check_options o = *was;

	o.n_others = 0;
	o.repair = false;
	o.level = CHECK_STRUCTURE;
	if (engine_open(call, &r, e))
		return -1;
	return check_run(r, &o, ret, e);
}

static void on_asked(void *arg, uint64_t asked)
{
	const struct operation_call *call = arg;

	progress_set(call->progress, asked, 0);
}

static int ask_locks(struct operation_call *call, struct repository *r,
		     struct guards_result *ret, struct err *why, struct err *e)
{
	const struct guards_options o = { .now = call->now,
					  .ask = true,
					  .progress = on_asked,
					  .arg = call,
					  .cancel = call->stop };

	progress_stage(call->progress, "locks", 0);
	if (guards_run(r, &o, ret, why) == 0) {
		err_clear(why); /* of what was got over */
		return 0;
	}
	if (why->code != ERR_INTERRUPTED)
		return 0;
	*e = *why;
	return -1;
}

/* Whatever guard records say, of which some may be forged. */
static int mend_locks(struct operation_call *call, struct repository *r,
		      struct guards_result *ret, struct err *why, struct err *e)
{
	const struct guards_options o = { .now = call->now,
					  .afresh = true,
					  .cancel = call->stop };
	struct guards_result mended;

	progress_stage(call->progress, "locking again", 0);
	if (guards_run(r, &o, &mended, why) < 0) {
		if (why->code != ERR_INTERRUPTED)
			return 0;
		*e = *why;
		return -1;
	}
	if (ask_locks(call, r, ret, why, e))
		return -1;
	ret->lengthened = mended.lengthened;
	ret->held = mended.held;
	return 0;
}

/*
 * Whether the region's store guards what is locked in it.  That it does not is
 * no damage: what is to be done was done in part.
 */
static int check_locks(struct operation_call *call, struct repository *r,
		       struct guards_result *ret, struct err *why,
		       struct err *e)
{
	if (ask_locks(call, r, ret, why, e) ||
	    (ret->too_short && args_switch(call->args, "repair") &&
	     mend_locks(call, r, ret, why, e)))
		return -1;
	/* The rest is known, and is to be told. */
	if (why->code || ret->too_short)
		operation_partial(call);
	return 0;
}

static void note_unread(struct operation_call *call, const struct err *why)
{
	if (why)
		progress_note(call->progress,
			      "warning: not everything could be read, so that "
			      "what is found may not be damaged: %s",
			      why->text);
}

static int check(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(repository_close) struct repository *other = NULL;
	CLEANUP(check_result_done) struct check_result result = { 0 };
	CLEANUP(check_result_done) struct check_result after = { 0 };
	struct checking x = { .call = call };
	struct check_other from = { .chunks = 0 };
	struct err locks_why = { 0 };
	struct check_options o = {
		.level = args_switch(call->args, "read-data") ? CHECK_DATA
							      : CHECK_STRUCTURE,
		.repair = args_switch(call->args, "repair"),
		.now = call->now,
		.cancel = call->stop,
		.progress = on_progress,
		.arg = &x,
	};
	const int64_t begun_ms = clock_boot_ms();

	if (engine_open(call, &r, e) || open_other(call, r, &other, e))
		return -1;
	from.r = other;
	o.others = &from;
	o.n_others = other != NULL;
	if (check_run(r, &o, &result, e))
		return -1;
	if (from.why.code) {
		*e = from.why;
		return -1;
	}
	if (from.unopened.code)
		progress_note(
			call->progress,
			"warning: region %s did not give all that it has: "
			"%s",
			text_quote_str(args_text(call->args, "from")).s,
			from.unopened.text);
	note_unread(call, unread_of(&result, NULL));
	if (o.repair && look_again(call, &o, &after, e))
		return -1;
	if (o.repair && !unread_of(&result, NULL))
		note_unread(call, unread_of(&after, NULL));
	if (check_locks(call, r, &x.locks, &locks_why, e) ||
	    aliens_find(r, call->stop, &x.aliens, e))
		return -1;
	/* Nothing is damaged by it. */
	if (x.aliens.objects)
		operation_partial(call);
	if (!result.sound)
		operation_damaged(call);
	write_check(call->reply, &result, &o, o.repair ? &after : NULL,
		    &x.locks, &locks_why, &x.aliens,
		    (double)(clock_boot_ms() - begun_ms) / 1000);
	return 0;
}

static const struct operation_param init_params[] = {
	{ .name = "url",
	  .kind = PARAM_POSITIONAL,
	  .type = PARAM_PATH,
	  .required = true,
	  .value = "URL",
	  .help = "a new or empty place: a folder, file:///DIR; or in a "
		  "bucket, s3://BUCKET/PREFIX?region=NAME" },
	{ .name = "key-file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .env = "SNAPCTL_KEY_FILE",
	  .value = "FILE",
	  .help = "the key that will open it; made, readable by you alone, "
		  "when it is missing" },
	{ .name = "passphrase-file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "FILE",
	  .help = "a file whose first line is the passphrase" },
	{ .name = "label",
	  .kind = PARAM_OPTION,
	  .fallback = "first",
	  .value = "TEXT",
	  .help = "whose key it is, for `key list`" },
	{ 0 },
};

static const struct operation_param check_params[] = {
	{ .name = "read-data",
	  .kind = PARAM_SWITCH,
	  .help = "read, decrypt and verify every stored byte" },
	{ .name = "repair",
	  .kind = PARAM_SWITCH,
	  .help = "rebuild what can be rebuilt, give up the rest, delete "
		  "nothing" },
	{ .name = "from",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "REGION",
	  .help = "with --repair: copy what snapshots miss from this region of "
		  "the repository, a location, or a name where --repo is one" },
	{ 0 },
};

const struct operation op_repo_rows[] = {
	{ .verb = "repo init",
	  .flags = OPERATION_DIRECT | OPERATION_CHANGES,
	  .params = init_params,
	  .view = "repository url key_file note",
	  .summary = "make a repository in a new or empty place",
	  .help = "Everything in it is encrypted with keys that only the key "
		  "file or the passphrase opens. Losing every key loses the "
		  "repository: there is no other way in and no default key.",
	  .run = init },
	{ .verb = "repo check",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = check_params,
	  .view = "!check",
	  .summary = "tell whether a repository is sound",
	  .help = "Without --read-data all but the contents of files is read "
		  "and compared: every small object (keyrings, fences and "
		  "voids among them, and whether each key slot is there), the "
		  "directories of all packs, the index, and what each "
		  "snapshot refers to. "
		  "Damaged objects are named with the snapshots and paths "
		  "that lose by them; the exit status is then 4. Chunks that "
		  "interrupted sessions left are no damage.\n\n"
		  "Where the region's store guards objects, it is asked what "
		  "guards each one that locked and held snapshots need "
		  "(object_lock): a request for each, several at once. What "
		  "is guarded too briefly is named, with exit status 3; with "
		  "--repair it is guarded again, whatever guard records say. "
		  "The service asks by itself, a share each day, at the step "
		  "\"verify\" of runs.\n\n"
		  "--repair writes a new index for what no sound one names, "
		  "copies what still opens out of damaged packs, and notes "
		  "what is lost, so that the next snapshot stores it again; "
		  "and a receipt that went, which tells when its snapshot was "
		  "received, by the time that the writer claims. "
		  "With --from what snapshots miss here comes from another "
		  "region, if it has it soundly, and so do receipts. "
		  "With --read-data it finds more. What was given up is told "
		  "apart from new damage ever after; put back sound, it is "
		  "not looked at until another --repair copies what snapshots "
		  "miss out of it. Garbage collections, which stop at damage, "
		  "go on after a repair, and may take what only a directory "
		  "led to that cannot be read: where another region or an "
		  "older disk may still have it, look there first. What only a "
		  "newer snapctl, or one with newer keys, can read is never "
		  "given up.",
	  .run = check },
	{ .verb = "repo stats",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .view = "snapshots:count packs:count chunks:count "
		  "index_entries:count stored_bytes:size logical_bytes:size "
		  "left_out:count",
	  .summary = "count what a repository holds",
	  .help = "Reads manifests and the index, no pack. Those that are "
		  "damaged are named, what is sound besides is counted, and "
		  "the exit status is 4.",
	  .run = stats },
	{ 0 },
};
