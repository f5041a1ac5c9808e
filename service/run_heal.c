#include "service/run_heal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/engine.h"
#include "service/findings.h"
#include "service/retain.h"
#include "service/run_region.h"
#include "storage/heal.h"

#define DETAILS_MAX ((size_t)1 << 20)
/* Snapshots that are told by their ids; all are counted. */
#define SNAPSHOTS_TOLD 100

struct healing {
	struct run *run;
	const struct resource_region *region;
	struct instant started;
	struct keyring_credential *key;
	/* The other regions; sources[i] is of names[i]. */
	struct heal_source *sources;
	const char **names;
	size_t n;
	char unreached[300]; /* the first that could not be opened, and why */
	struct heal_result result;
};

static void healing_done(struct healing *x)
{
	for (size_t i = 0; i < x->n; i++)
		repository_close(x->sources[i].r);
	free(x->sources);
	free(x->names);
	keyring_credential_free(x->key);
	heal_result_done(&x->result);
}

/* A region that does not answer is left out; the catalog knows of it. */
static int add_source(struct healing *x, const struct resource_region *other,
		      struct err *e)
{
	struct err why = { 0 };

	if (run_stopped(x->run, e) < 0)
		return -1;
	if (run_region_open(x->run, other, &x->sources[x->n].r, &why) == 0) {
		x->names[x->n++] = other->name;
		return 0;
	}
	if (!*x->unreached)
		(void)text_fit(why.text, x->unreached, sizeof(x->unreached));
	return 0;
}

static int open_sources(struct healing *x, struct err *e)
{
	const struct resource_repository *about =
		&x->run->repository->repository;

	x->sources = calloc(about->region_count + 1, sizeof(*x->sources));
	x->names = calloc(about->region_count + 1, sizeof(char *));
	if (!x->sources || !x->names)
		return err_oom(e);
	for (int primary = 1; primary >= 0; primary--)
		for (size_t i = 0; i < about->region_count; i++) {
			const struct resource_region *other =
				&about->regions[i];

			if (other->primary == primary &&
			    strcmp(other->name, x->region->name) != 0 &&
			    add_source(x, other, e) < 0)
				return -1;
		}
	return 0;
}

static bool has_changed(const struct heal_result *r)
{
	return r->fetched || r->salvaged || r->indexed || r->quarantined ||
	       r->records || r->n_snapshots;
}

/* ---- Telling ------------------------------------------------------------ */

static void write_sources(const struct healing *x, struct json *j)
{
	json_key(j, "from");
	json_begin_list(j);
	for (size_t i = 0; i < x->n; i++) {
		const struct heal_source *s = &x->sources[i];

		json_begin_object(j);
		json_kv_str(j, "region", x->names[i]);
		json_kv_uint(j, "chunks", s->chunks);
		json_kv_uint(j, "bytes", s->bytes);
		json_kv_uint(j, "snapshots", s->snapshots);
		if (s->why.code)
			json_kv_str(j, "error", s->why.text);
		json_end_object(j);
	}
	json_end_list(j);
}

static int write_details(const struct healing *x, struct buf *out,
			 struct err *e)
{
	const struct heal_result *r = &x->result;
	char id[OBJECT_ID_TEXT];
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	json_kv_str(&j, "repository", x->run->repository->name);
	json_kv_str(&j, "region", x->region->name);
	json_kv_int(&j, "run", x->run->id);
	json_kv_bool(&j, "sound", r->sound);
	json_kv_uint(&j, "damaged", findings_unsettled(&r->found));
	json_kv_uint(&j, "chunks", r->fetched);
	json_kv_uint(&j, "bytes", r->bytes);
	json_kv_uint(&j, "salvaged", r->salvaged);
	json_kv_uint(&j, "indexed", r->indexed);
	json_kv_uint(&j, "records", r->records);
	json_kv_uint(&j, "left", findings_unsettled(heal_left(r)));
	json_kv_uint(&j, "snapshot_count", r->n_snapshots);
	json_key(&j, "snapshots");
	json_begin_list(&j);
	for (size_t i = 0; i < r->n_snapshots && i < SNAPSHOTS_TOLD; i++) {
		object_id_format(r->snapshots[i], id);
		json_str(&j, id);
	}
	json_end_list(&j);
	write_sources(x, &j);
	json_end_object(&j);
	return json_finish(&j, e);
}

static int audit(const struct healing *x, const char *details, struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = clock_now() };
	char object[sizeof("Repository/") + RESOURCE_NAME_MAX];

	(void)snprintf(object, sizeof(object), "Repository/%s",
		       x->run->repository->name);
	return catalog_audit_add(x->run->catalog, &who, "region.heal", object,
				 details, e);
}

/* Why something is left, as far as one of the other regions is to blame. */
static const char *reason(const struct healing *x, char out[221])
{
	char why[141];

	if (*x->unreached)
		return text_fit(x->unreached, out, 221);
	out[0] = '\0';
	for (size_t i = 0; !*out && i < x->n; i++)
		if (x->sources[i].why.code)
			(void)snprintf(out, 221, "region %.63s: %s",
				       x->names[i],
				       text_fit(x->sources[i].why.text, why,
						sizeof(why)));
	return out;
}

static int put_step(const struct healing *x, const struct err *why,
		    const char *details, struct err *e)
{
	const struct heal_result *r = &x->result;
	struct catalog_step row = { .run = x->run->id,
				    .source = "",
				    .step = "heal",
				    .region = x->region->name,
				    .state = why	? "failed"
					     : r->sound ? "succeeded"
							: "partial",
				    .started = x->started,
				    .finished = clock_now(),
				    .message = "",
				    .details_json = details };
	char message[300] = "";
	char why_left[221];

	if (why)
		row.message = why->text;
	else if (!r->sound) {
		(void)snprintf(message, sizeof(message),
			       "no region that answers has all of it: %ju "
			       "objects are left%s%s",
			       (uintmax_t)findings_unsettled(heal_left(r)),
			       *reason(x, why_left) ? "; " : "", why_left);
		row.message = message;
	}
	return catalog_step_put(x->run->catalog, &row, e);
}

/* The step and the audit record, as one. */
static int conclude(const struct healing *x, const struct err *why,
		    struct err *e)
{
	CLEANUP(buf_done) struct buf details;
	const bool told = !why && has_changed(&x->result);
	int failed;

	buf_init(&details, DETAILS_MAX);
	if ((!why && write_details(x, &details, e) < 0) ||
	    catalog_begin(x->run->catalog, e) < 0)
		return -1;
	failed = put_step(x, why, why ? NULL : buf_str(&details), e) < 0 ||
		 (told && audit(x, buf_str(&details), e) < 0);
	if (failed) {
		catalog_rollback(x->run->catalog);
		return -1;
	}
	return catalog_commit(x->run->catalog, e);
}

static void say(const struct healing *x, char told[200])
{
	const struct heal_result *r = &x->result;
	const char *from = NULL;
	bool several = false;

	for (size_t i = 0; i < x->n; i++)
		if (x->sources[i].chunks || x->sources[i].snapshots) {
			several = from != NULL;
			from = from ? from : x->names[i];
		}
	if (from)
		(void)snprintf(told, 200,
			       "from %s%s: %ju chunks, %zu snapshots", from,
			       several ? " and others" : "",
			       (uintmax_t)r->fetched, r->n_snapshots);
	else
		(void)snprintf(told, 200, "%s",
			       r->salvaged || r->indexed
				       ? "out of what it holds itself"
				       : "as what was damaged is replaced");
}

/* ---- The whole ---------------------------------------------------------- */

/* A lock of the region that it comes from says nothing of this one. */
static int lock_of(void *arg, const struct repository_snapshot *s,
		   int64_t *ret_ms, struct err *e)
{
	const struct healing *x = arg;

	return s->lock_is_here ? run_region_lock_of(x->run, s, ret_ms, e) : 0;
}

static int act(struct healing *x, const struct run_damage *damage,
	       struct err *e)
{
	static const struct object_id none[1];
	char host[256];
	struct run_lock lock = { .ms = 0 };
	struct heal_options o = {
		.from = x->sources,
		.n_from = x->n,
		.suspects = damage->packs,
		.n_suspects = damage->n_packs,
		/* A region need not hold what others do. */
		.only = damage->n_lost ? damage->lost : none,
		.n_only = damage->n_lost,
		.now = x->started,
		.host = host,
		.cancel = x->run->stop,
		.arg = x,
	};

	if (x->n == 0)
		return err_set(e, ERR_BUSY,
			       "no other region answers, to heal it from: %s",
			       x->unreached);
	engine_host(host, sizeof(host));
	if (run_region_lock(x->run, x->region, &lock, e) < 0)
		return -1;
	if (lock.is_own)
		o.lock_ms = lock.ms;
	else
		o.lock_of = lock_of;
	if (run_region_key(x->run, &x->key, e) < 0 ||
	    retain_was_apart(x->run->catalog, x->run->repository, &o.apart, e) <
		    0)
		return -1;
	return heal_run(x->region->url, x->key, &o, &x->result, e);
}

static int heal(struct healing *x, const struct run_damage *damage,
		char told[200], struct err *e)
{
	struct err why = { 0 };
	bool failed;

	if (open_sources(x, e) < 0)
		return -1;
	failed = act(x, damage, &why) < 0;
	if (failed && run_stopped(x->run, e) < 0)
		return -1;
	if (conclude(x, failed ? &why : NULL, e) < 0)
		return -1;
	if (failed || !has_changed(&x->result))
		return 0;
	say(x, told);
	return 1;
}

int run_heal(struct run *r, const struct resource_region *region,
	     const struct run_damage *damage, char told[200], struct err *e)
{
	struct healing x = { .run = r,
			     .region = region,
			     .started = clock_now() };
	const int healed = heal(&x, damage, told, e);

	healing_done(&x);
	return healed;
}
