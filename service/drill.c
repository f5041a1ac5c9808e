#include "service/drill.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "service/drill_command.h"
#include "service/drill_scratch.h"
#include "storage/compare.h"
#include "storage/repository/entry.h"
#include "storage/repository/keyring.h"
#include "storage/repository/repository.h"
#include "storage/restore.h"
#include "storage/stores/store.h"

#define DIFFERENCES_MAX 100
#define EVIDENCE_BYTES	((size_t)8 << 20)

struct drill {
	const struct drill_plan *plan;
	struct drill_outcome *out;
	struct drill_scratch scratch;
	struct repository *repository;
	struct json checks, snapshots;
	int64_t began_ms;
	bool restored; /* all sources, so that commands make sense */
	/* The paths of the sources restored so far. */
	struct manifest_list paths;
	struct instant oldest;
};

void drill_outcome_init(struct drill_outcome *o)
{
	*o = (struct drill_outcome){ .rto_ms = -1, .rpo_ms = -1 };
	buf_init(&o->checks, EVIDENCE_BYTES);
	buf_init(&o->snapshots, EVIDENCE_BYTES);
}

void drill_outcome_done(struct drill_outcome *o)
{
	buf_done(&o->checks);
	buf_done(&o->snapshots);
}

/* ---- Writing checks down ------------------------------------------------ */

struct check {
	const char *type;
	char name[160];
	bool passed;
	int64_t began_ms;
	char message[300];
};

static void check_begin(struct check *c, const char *type, const char *of)
{
	*c = (struct check){ .type = type, .began_ms = clock_boot_ms() };
	(void)snprintf(c->name, sizeof(c->name), "%s%s%.120s", type,
		       of ? " " : "", of ? of : "");
}

/* Leaves the object open, for what belongs to the type. */
static void check_write(struct drill *d, const struct check *c)
{
	struct json *j = &d->checks;

	json_begin_object(j);
	json_kv_str(j, "name", c->name);
	json_kv_str(j, "type", c->type);
	json_kv_bool(j, "passed", c->passed);
	json_kv_double(j, "seconds",
		       (double)(clock_boot_ms() - c->began_ms) / 1000.0);
	json_kv_str(j, "message", c->message);
	if (c->passed)
		return;
	d->out->passed = false;
	if (!d->out->message[0])
		(void)snprintf(d->out->message, sizeof(d->out->message),
			       "%s: %.130s", c->name, c->message);
}

static void check_end(struct drill *d, const struct check *c)
{
	check_write(d, c);
	json_end_object(&d->checks);
}

/* A check that failed for *why; -1 with *e when that ends the drill. */
static int check_fail(struct drill *d, struct check *c, const struct err *why,
		      struct err *e)
{
	if (why->code == ERR_INTERRUPTED || why->code == ERR_NO_MEMORY) {
		*e = *why;
		return -1;
	}
	(void)snprintf(c->message, sizeof(c->message), "%.299s", why->text);
	check_end(d, c);
	return 0;
}

/* ---- Which snapshot ----------------------------------------------------- */

struct choice {
	const char *source;
	struct object_id complete, any;
	bool has_complete, has_any;
};

/* They come oldest first. */
static int choose(void *arg, struct repository_snapshot *s,
		  struct err *e UNUSED)
{
	struct choice *c = (struct choice *)arg;

	if (strcmp(s->manifest.source, c->source) != 0)
		return 0;
	c->any = s->manifest.snapshot;
	c->has_any = true;
	if (s->manifest.state == MANIFEST_COMPLETE) {
		c->complete = s->manifest.snapshot;
		c->has_complete = true;
	}
	return 0;
}

/* The newest complete one; where there never was one, the newest. */
static int find_snapshot(struct drill *d, const char *source,
			 struct repository_snapshot *ret, struct err *e)
{
	struct choice c = { .source = source };
	char id[OBJECT_ID_TEXT];

	if (repository_snapshots(d->repository, false, choose, NULL, &c, e))
		return -1;
	if (!c.has_any)
		return err_set(e, ERR_NOT_FOUND,
			       "region %s has no snapshot of %s",
			       d->out->region->name, source);
	object_id_format(c.has_complete ? c.complete : c.any, id);
	if (repository_find(d->repository, id, NULL, false, ret, NULL, e))
		return -1;
	if (!c.has_complete)
		d->out->partial = true;
	return 0;
}

static void write_snapshot(struct drill *d, const char *source,
			   const struct repository_snapshot *s)
{
	const struct manifest *m = &s->manifest;
	struct json *j = &d->snapshots;
	char id[OBJECT_ID_TEXT];

	object_id_format(m->snapshot, id);
	json_begin_object(j);
	json_kv_str(j, "source", source);
	json_kv_str(j, "snapshot", id);
	json_kv_str(j, "state",
		    m->state == MANIFEST_COMPLETE ? "complete" : "partial");
	json_kv_instant(j, "began", m->begun);
	json_kv_instant(j, "received", s->received);
	json_kv_uint(j, "files", m->files);
	json_kv_uint(j, "bytes", m->bytes);
	json_end_object(j);
	if (!d->out->snapshot[0] || instant_compare(m->begun, d->oldest) < 0) {
		d->oldest = m->begun;
		(void)snprintf(d->out->snapshot, sizeof(d->out->snapshot), "%s",
			       id);
	}
}

/* ---- Restoring ---------------------------------------------------------- */

static void first_error(void *arg, const char *path, size_t len,
			const char *message)
{
	struct check *c = (struct check *)arg;

	if (!c->message[0])
		(void)snprintf(c->message, sizeof(c->message), "%s: %.80s",
			       text_quote(path, len).s, message);
}

static void tell_restored(struct check *c, const struct restore_result *r)
{
	char size[16];
	int n;

	c->passed = r->errors == 0;
	if (!c->passed)
		return;
	text_size(r->bytes, size);
	n = snprintf(c->message, sizeof(c->message), "%ju file%s, %s",
		     (uintmax_t)r->files, r->files == 1 ? "" : "s", size);
	if (r->left_out && n > 0 && (size_t)n < sizeof(c->message))
		(void)snprintf(c->message + n, sizeof(c->message) - (size_t)n,
			       "; %ju attributes take root",
			       (uintmax_t)r->left_out);
}

static int restore(struct drill *d, const struct manifest *m, struct check *c,
		   struct err *e)
{
	const struct restore_options o = { .to = d->scratch.root,
					   .overwrite = RESTORE_ALWAYS,
					   .scratch = d->scratch.path,
					   .failed = first_error,
					   .cancel = d->plan->stop,
					   .arg = c };
	struct restore_result r;

	if (restore_run(d->repository, m, &o, &r, e))
		return -1;
	tell_restored(c, &r);
	d->out->files += r.files;
	d->out->bytes += r.bytes;
	return 0;
}

/* ---- Comparing ---------------------------------------------------------- */

struct differences {
	struct json json;
	struct buf text;
	uint64_t n;
	char first[300];
};

static void on_difference(void *arg, const char *path, size_t len,
			  const char *message)
{
	struct differences *x = (struct differences *)arg;

	if (x->n++ == 0)
		(void)snprintf(x->first, sizeof(x->first), "%s: %.80s",
			       text_quote(path, len).s, message);
	if (x->n > DIFFERENCES_MAX)
		return;
	json_begin_object(&x->json);
	json_path(&x->json, "path", path, len);
	json_kv_str(&x->json, "message", message);
	json_end_object(&x->json);
}

static void tell_compared(struct check *c, const struct differences *x,
			  const struct compare_result *r)
{
	char size[16];

	c->passed = r->differences == 0;
	if (!c->passed) {
		(void)snprintf(c->message, sizeof(c->message),
			       "%ju difference%s, the first: %.220s",
			       (uintmax_t)x->n, x->n == 1 ? "" : "s", x->first);
		return;
	}
	text_size(r->bytes, size);
	(void)snprintf(c->message, sizeof(c->message),
		       "%ju entries and %s are as they were%s",
		       (uintmax_t)r->entries, size,
		       r->excused ? ", but for what takes root" : "");
}

/* Whether something restored before lies where this one does. */
static bool overlaps(const struct drill *d, const struct manifest *m)
{
	for (size_t i = 0; i < d->paths.n; i++)
		for (size_t k = 0; k < m->paths.n; k++) {
			const struct manifest_bytes *a = &d->paths.v[i];
			const struct manifest_bytes *b = &m->paths.v[k];

			if (entry_path_within((const char *)a->data, a->len,
					      (const char *)b->data, b->len) ||
			    entry_path_within((const char *)b->data, b->len,
					      (const char *)a->data, a->len))
				return true;
		}
	return false;
}

static int compare(struct drill *d, const struct manifest *m, struct check *c,
		   struct differences *x, struct err *e)
{
	struct compare_options o = { .folder = d->scratch.root,
				     .unprivileged = geteuid() != 0,
				     .later = d->paths.n > 0,
				     .shared = overlaps(d, m),
				     .scratch = d->scratch.path,
				     .differs = on_difference,
				     .arg = x,
				     .cancel = d->plan->stop };
	struct compare_result r;

	if (compare_run(d->repository, m, &o, &r, e))
		return -1;
	tell_compared(c, x, &r);
	return 0;
}

static int check_tree(struct drill *d, const char *source,
		      const struct manifest *m, struct err *e)
{
	struct differences x = { .n = 0 };
	struct err why = { 0 };
	struct check c;
	int failed;

	buf_init(&x.text, EVIDENCE_BYTES);
	json_init(&x.json, json_to_buf, &x.text);
	json_begin_list(&x.json);
	check_begin(&c, "tree", source);
	failed = compare(d, m, &c, &x, &why);
	json_end_list(&x.json);
	if (failed) {
		failed = check_fail(d, &c, &why, e);
	} else {
		check_write(d, &c);
		if (x.n && json_finish(&x.json, &why) == 0) {
			json_key(&d->checks, "differences");
			json_raw(&d->checks, buf_str(&x.text));
		}
		json_end_object(&d->checks);
	}
	buf_done(&x.text);
	return failed;
}

/* ---- One source --------------------------------------------------------- */

static bool wants_tree(const struct drill_plan *p)
{
	for (size_t i = 0; i < p->check_count; i++)
		if (strcmp(p->checks[i].type, "tree") == 0)
			return true;
	return false;
}

static int keep_paths(struct drill *d, const struct manifest *m, struct err *e)
{
	for (size_t i = 0; i < m->paths.n; i++)
		if (manifest_list_add(&d->paths, m->paths.v[i].data,
				      m->paths.v[i].len, e))
			return -1;
	return 0;
}

static int do_source(struct drill *d, const char *source, struct err *e)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct err why = { 0 };
	struct check c;

	manifest_init(&s.manifest);
	check_begin(&c, "restore", source);
	if (find_snapshot(d, source, &s, &why)) {
		d->restored = false;
		return check_fail(d, &c, &why, e);
	}
	write_snapshot(d, source, &s);
	if (restore(d, &s.manifest, &c, &why)) {
		d->restored = false;
		return check_fail(d, &c, &why, e);
	}
	check_end(d, &c);
	if (wants_tree(d->plan) && check_tree(d, source, &s.manifest, e))
		return -1;
	return keep_paths(d, &s.manifest, e);
}

/* ---- Commands ----------------------------------------------------------- */

/* "test -s etc/hostname", as far as it fits. */
static void name_command(const struct resource_texts *argv, char out[120])
{
	size_t at = 0;

	for (size_t i = 0; i < argv->count && at + 8 < 120; i++) {
		if (i)
			out[at++] = ' ';
		at += text_escape(argv->items[i], strlen(argv->items[i]),
				  out + at, 120 - at);
	}
	out[at] = '\0';
}

static int check_command(struct drill *d, const struct resource_check *check,
			 struct err *e)
{
	const struct drill_command command = { .argv = check->argv.items,
					       .argc = check->argv.count,
					       .folder = d->scratch.root,
					       .user = check->user,
					       .timeout_ms = check->timeout_ms,
					       .stop = d->plan->stop };
	struct drill_command_end end;
	char name[120];
	struct check c;

	name_command(&check->argv, name);
	check_begin(&c, "command", name);
	if (!d->restored) {
		(void)snprintf(c.message, sizeof(c.message),
			       "it was not run, because not everything was "
			       "restored");
		check_end(d, &c);
		return 0;
	}
	if (drill_command_run(&command, &end, e))
		return -1;
	c.passed = end.passed;
	(void)snprintf(c.message, sizeof(c.message), "%s", end.message);
	check_write(d, &c);
	if (end.exit_status >= 0)
		json_kv_int(&d->checks, "exit_status", end.exit_status);
	json_key(&d->checks, "output");
	child_tail_write(&end.output, &d->checks);
	json_end_object(&d->checks);
	return 0;
}

static int do_commands(struct drill *d, struct err *e)
{
	for (size_t i = 0; i < d->plan->check_count; i++)
		if (strcmp(d->plan->checks[i].type, "command") == 0 &&
		    check_command(d, &d->plan->checks[i], e))
			return -1;
	return 0;
}

/* ---- Targets ------------------------------------------------------------ */

static void check_target(struct drill *d, const char *type, int64_t measured_ms,
			 int64_t target_ms)
{
	char measured[INSTANT_TEXT];
	char target[INSTANT_TEXT];
	struct check c;

	if (target_ms == 0 || measured_ms < 0)
		return;
	check_begin(&c, type, NULL);
	c.passed = measured_ms <= target_ms;
	instant_duration_format(measured_ms, measured);
	instant_duration_format(target_ms, target);
	(void)snprintf(c.message, sizeof(c.message), "%s, %s the target of %s",
		       measured, c.passed ? "within" : "over", target);
	check_end(d, &c);
}

static void measure(struct drill *d)
{
	struct drill_outcome *out = d->out;

	if (out->snapshot[0]) {
		out->rpo_ms = instant_ms_between(d->oldest, out->started);
		if (out->rpo_ms < 0)
			out->rpo_ms = 0; /* its host's clock is ahead */
	}
	/* What was not restored took no time to restore. */
	if (d->restored)
		out->rto_ms = clock_boot_ms() - d->began_ms;
	check_target(d, "rto", out->rto_ms, d->plan->rto_ms);
	check_target(d, "rpo", out->rpo_ms, d->plan->rpo_ms);
}

/* ---- The whole ---------------------------------------------------------- */

static int open_one(struct drill *d, const struct resource_region *region,
		    const struct keyring_credential *key, bool is_hurried,
		    struct err *e)
{
	struct store *s = NULL;

	if (store_open(region->url, false, &s, e))
		return -1;
	if (is_hurried)
		store_set_patience(s, STORE_HURRIED);
	if (repository_open_on(s, key, &d->repository, e))
		return -1;
	store_set_patience(repository_store(d->repository), STORE_PATIENT);
	d->out->region = region;
	return 0;
}

/*
 * Each is asked in a hurry first, while there are others; and once more, with
 * all patience, those that were silent.  The failure that is told is that of
 * the first.
 */
static int open_region(struct drill *d, struct err *e)
{
	const struct drill_plan *p = d->plan;
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	const bool is_hurried = p->region_count > 1;
	bool is_silent[DRILL_REGIONS_MAX] = { false };

	assert(p->region_count <= DRILL_REGIONS_MAX);
	d->out->region = p->regions[0];
	if (keyring_credential_key_file(p->key_file, &key, e))
		return -1;
	for (size_t i = 0; i < p->region_count; i++) {
		struct err why = { 0 };

		if (open_one(d, p->regions[i], key, is_hurried, &why) == 0)
			return 0;
		is_silent[i] = is_hurried && why.code == ERR_BUSY;
		if (i == 0)
			*e = why;
	}
	for (size_t i = 0; i < p->region_count; i++) {
		struct err ignored = { 0 };

		if (is_silent[i] &&
		    open_one(d, p->regions[i], key, false, &ignored) == 0)
			return 0;
	}
	return -1;
}

/* A place to restore to, and the region: 1, 0 when there is no going on. */
static int begin(struct drill *d, struct err *e)
{
	struct err why = { 0 };
	struct check c;

	check_begin(&c, "region", d->plan->regions[0]->name);
	if (open_region(d, &why) == 0 &&
	    drill_scratch_make(&d->scratch, d->plan->folder, d->plan->run,
			       &why) == 0)
		return 1;
	d->restored = false;
	return check_fail(d, &c, &why, e);
}

static int perform(struct drill *d, struct err *e)
{
	const int going = begin(d, e);

	if (going < 0)
		return -1;
	for (size_t i = 0; going && i < d->plan->source_count; i++)
		if (do_source(d, d->plan->sources[i], e))
			return -1;
	if (do_commands(d, e))
		return -1;
	measure(d);
	return 0;
}

static int finish(struct drill *d, struct err *e)
{
	json_end_list(&d->checks);
	json_end_list(&d->snapshots);
	if (json_finish(&d->checks, e) || json_finish(&d->snapshots, e))
		return -1;
	d->out->finished = clock_now();
	return 0;
}

int drill_run(const struct drill_plan *plan, struct drill_outcome *ret,
	      struct err *e)
{
	struct drill d = { .plan = plan,
			   .out = ret,
			   .scratch = { .parent_fd = -1, .fd = -1 },
			   .began_ms = clock_boot_ms(),
			   .restored = true };
	int failed;

	ret->started = clock_now();
	ret->passed = true;
	json_init(&d.checks, json_to_buf, &ret->checks);
	json_init(&d.snapshots, json_to_buf, &ret->snapshots);
	json_begin_list(&d.checks);
	json_begin_list(&d.snapshots);
	failed = perform(&d, e);
	ret->left = d.scratch.left;
	if (drill_scratch_remove(&d.scratch, &ret->left))
		log_failure(LOG_LEVEL_WARN, "after the drill", &ret->left);
	repository_close(d.repository);
	manifest_list_done(&d.paths);
	return failed ? -1 : finish(&d, e);
}
