/* A drill's one step: plan it from the catalog, do it without, record it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/drill.h"
#include "service/engine.h"
#include "service/region_health.h"
#include "service/step.h"

#define EVIDENCE_BYTES ((size_t)16 << 20)
#define REGIONS_MAX    DRILL_REGIONS_MAX

/* What the plan points at. */
struct papers {
	const struct resource_region *regions[REGIONS_MAX];
	size_t region_count;
	char key_file[PATH_MAX];
	char folder[PATH_MAX];
	const char **sources;
	struct buf source_names; /* "etc, docs" */
	struct buf evidence, details;
};

static void papers_init(struct papers *p)
{
	*p = (struct papers){ .sources = NULL };
	buf_init(&p->source_names, EVIDENCE_BYTES);
	buf_init(&p->evidence, EVIDENCE_BYTES);
	buf_init(&p->details, EVIDENCE_BYTES);
}

static void papers_done(struct papers *p)
{
	free(p->sources);
	buf_done(&p->source_names);
	buf_done(&p->evidence);
	buf_done(&p->details);
}
static inline void cleanup_papers_done(struct papers *p)
{
	papers_done(p);
}

static int join(char out[PATH_MAX], const char *folder, const char *name,
		struct err *e)
{
	const int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);

	if (n < 0 || n >= PATH_MAX)
		return err_set(e, ERR_USAGE, "the path of %s is too long",
			       text_quote_str(name).s);
	return 0;
}

/* ---- From where --------------------------------------------------------- */

/* How old what a region has of the run's sources would be: as of the catalog.
 */
struct newest {
	const struct run *run;
	const char *region;
	struct region_fact *fact;
};

static int see_newest(void *arg, const struct catalog_newest *row,
		      struct err *e UNUSED)
{
	const struct newest *n = arg;
	struct instant *oldest = &n->fact->received;

	if (strcmp(row->region, n->region) != 0)
		return 0;
	for (size_t i = 0; i < n->run->source_count; i++)
		if (strcmp(row->source, n->run->sources[i]->name) == 0 &&
		    (oldest->sec == 0 ||
		     instant_compare(row->received, *oldest) < 0))
			*oldest = row->received;
	return 0;
}

/* Those that the schedule copies to, in the order of what is known of them. */
static int find_others(const struct run *r, struct papers *p, struct err *e)
{
	const struct resource_texts *names =
		&r->schedule->schedule.replicate_to;
	const struct resource_region *all[REGIONS_MAX];
	struct region_fact facts[REGIONS_MAX];
	size_t order[REGIONS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < names->count && n < REGIONS_MAX; i++) {
		const struct resource_region *region = resource_region(
			r->repository, names->items[i]);
		struct newest newest = { r, names->items[i], &facts[n] };

		if (!region || run_is_without(r, region->name))
			continue;
		if (region_health_get(r->catalog, r->repository->name,
				      region->name, &facts[n], e) < 0 ||
		    catalog_newest(r->catalog, r->repository->name, NULL,
				   see_newest, &newest, e) < 0)
			return -1;
		all[n++] = region;
	}
	region_choice_order(facts, n, true, order);
	for (size_t i = 0; i < n; i++)
		p->regions[p->region_count++] = all[order[i]];
	return 0;
}

/* The one that is named; else the primary, unless that is shut away. */
static int find_regions(const struct run *r, struct papers *p, struct err *e)
{
	const char *name = r->drill->drill.region;
	const struct resource_region *region = resource_region(r->repository,
							       name);

	if (!region)
		return err_set(e, ERR_NOT_FOUND,
			       "repository %s has no region %s",
			       r->repository->name, name);
	if (!run_is_without(r, region->name))
		p->regions[p->region_count++] = region;
	else if (!name && find_others(r, p, e) < 0)
		return -1;
	return p->region_count ? 0
			       : err_set(e, ERR_NOT_FOUND,
					 "no region is left to restore from");
}

static int plan(const struct run *r, struct papers *p, struct drill_plan *ret,
		struct err *e)
{
	const struct resource_drill *d = &r->drill->drill;

	if (find_regions(r, p, e) < 0)
		return -1;
	p->sources = calloc(r->source_count + 1, sizeof(*p->sources));
	if (!p->sources)
		return err_oom(e);
	for (size_t i = 0; i < r->source_count; i++) {
		p->sources[i] = r->sources[i]->name;
		if (buf_addf(&p->source_names, e, "%s%s", i ? ", " : "",
			     p->sources[i]) < 0)
			return -1;
	}
	if (join(p->key_file, config_text(r->config, CONFIG_KEYS),
		 r->repository->repository.key_file, e) < 0 ||
	    join(p->folder, config_text(r->config, CONFIG_STATE), "drills", e) <
		    0)
		return -1;
	*ret = (struct drill_plan){ .regions = p->regions,
				    .region_count = p->region_count,
				    .key_file = p->key_file,
				    .sources = p->sources,
				    .source_count = r->source_count,
				    .checks = d->checks,
				    .check_count = d->check_count,
				    .rto_ms = d->rto_ms,
				    .rpo_ms = r->schedule->schedule.rpo_ms,
				    .folder = p->folder,
				    .run = r->id,
				    .stop = r->stop };
	return 0;
}

/* ---- The evidence ------------------------------------------------------- */

static void write_seconds(struct json *j, const char *key, int64_t ms,
			  bool known)
{
	if (known)
		json_kv_double(j, key, (double)ms / 1000.0);
	else
		json_kv_str(j, key, NULL);
}

/* What it had to do without, and whether the kernel saw to that. */
static void write_without(const struct run *r, struct json *j)
{
	const struct resource_repository *all = &r->repository->repository;

	json_key(j, "without");
	json_begin_list(j);
	for (size_t i = 0; i < all->region_count; i++) {
		if (!run_is_without(r, all->regions[i].name))
			continue;
		json_begin_object(j);
		json_kv_str(j, "region", all->regions[i].name);
		json_kv_str(j, "url", all->regions[i].url);
		json_kv_bool(j, "kept_out", r->shuts_away);
		json_end_object(j);
	}
	json_end_list(j);
}

/* {"region","url","without","rto_seconds",…,"host",…,"snapshots"} */
static int write_evidence(const struct run *r, struct papers *p,
			  const struct drill_plan *plan,
			  const struct drill_outcome *o, struct err *e)
{
	char host[256];
	struct json j;

	engine_host(host, sizeof(host));
	json_init(&j, json_to_buf, &p->evidence);
	json_begin_object(&j);
	json_kv_str(&j, "region", o->region->name);
	json_kv_str(&j, "url", o->region->url);
	write_without(r, &j);
	write_seconds(&j, "rto_seconds", o->rto_ms, o->rto_ms >= 0);
	write_seconds(&j, "rto_target_seconds", plan->rto_ms, plan->rto_ms > 0);
	write_seconds(&j, "rpo_seconds", o->rpo_ms, o->rpo_ms >= 0);
	write_seconds(&j, "rpo_target_seconds", plan->rpo_ms, plan->rpo_ms > 0);
	json_kv_str(&j, "host", host);
	json_kv_bool(&j, "root", geteuid() == 0);
	json_kv_str(&j, "program", "snapctld " SNAPCTL_VERSION);
	json_key(&j, "snapshots");
	json_raw(&j, buf_str(&o->snapshots));
	json_end_object(&j);
	return json_finish(&j, e);
}

/* What the step and the audit record say of it. */
static int write_details(struct papers *p, int64_t id,
			 const struct drill_outcome *o, struct err *e)
{
	struct json j;

	json_init(&j, json_to_buf, &p->details);
	json_begin_object(&j);
	json_kv_int(&j, "drill", id);
	json_kv_bool(&j, "passed", o->passed);
	json_kv_str(&j, "region", o->region->name);
	json_kv_str(&j, "snapshot", o->snapshot);
	json_kv_int(&j, "rto_ms", o->rto_ms);
	json_kv_int(&j, "rpo_ms", o->rpo_ms);
	json_end_object(&j);
	return json_finish(&j, e);
}

static int put(struct run *r, struct papers *p, const struct drill_plan *plan,
	       const struct drill_outcome *o, struct err *e)
{
	const struct catalog_drill row = {
		.drill = r->name,
		.schedule = r->schedule->name,
		.repository = r->repository->name,
		.region = o->region->name,
		.source = buf_str(&p->source_names),
		.snapshot = o->snapshot,
		.run = r->id,
		.started = o->started,
		.finished = o->finished,
		.passed = o->passed,
		.rto_ms = o->rto_ms,
		.rpo_ms = o->rpo_ms,
		.rto_target_ms = plan->rto_ms,
		.rpo_target_ms = plan->rpo_ms,
		.files = o->files,
		.bytes = o->bytes,
		.checks_json = buf_str(&o->checks),
		.evidence_json = buf_str(&p->evidence),
		.message = o->message,
	};
	const struct catalog_actor actor = { .uid = -1,
					     .name = "snapctld",
					     .now = o->finished };
	char object[RESOURCE_NAME_MAX + 16];
	int64_t id;

	(void)snprintf(object, sizeof(object), "Drill/%s", r->name);
	if (catalog_drill_put(r->catalog, &row, &id, e) < 0 ||
	    write_details(p, id, o, e) < 0)
		return -1;
	return catalog_audit_add(r->catalog, &actor, "drill.run", object,
				 buf_str(&p->details), e);
}

/* The evidence and its audit record, as one. */
static int record(struct run *r, struct papers *p,
		  const struct drill_plan *plan, const struct drill_outcome *o,
		  struct err *e)
{
	if (write_evidence(r, p, plan, o, e) < 0 ||
	    catalog_begin(r->catalog, e) < 0)
		return -1;
	if (put(r, p, plan, o, e) == 0)
		return catalog_commit(r->catalog, e);
	catalog_rollback(r->catalog);
	return -1;
}

/* What is left of it is somebody's data, where nobody looks for it: that is
 * told whole, behind as much of the rest as there is room for. */
static void tell_left(const struct err *left, const char *first, char *out,
		      size_t n)
{
	char note[220];

	note[0] = '\0';
	if (left->code)
		(void)snprintf(note, sizeof(note),
			       "what was restored is still there, and the next "
			       "drill tries again: %.150s",
			       left->text);
	(void)snprintf(out, n, "%.*s%s%s", (int)(n - strlen(note) - 3), first,
		       *first && *note ? "; " : "", note);
}

/* Of one of which nothing else can be told. */
static int tell_failure(const struct err *left, struct err *e)
{
	const struct err why = *e;

	if (left->code) {
		tell_left(left, why.text, e->text, sizeof(e->text));
	}
	return -1;
}

static int tell(const struct papers *p, const struct drill_outcome *o,
		struct run_result *result, struct err *e)
{
	result->state = !o->passed		     ? RUN_FAILED
			: o->partial || o->left.code ? RUN_PARTIAL
						     : RUN_SUCCEEDED;
	tell_left(&o->left,
		  !o->passed   ? o->message
		  : o->partial ? "passed with a partial snapshot, because "
				 "there is no complete one"
			       : "",
		  result->message, sizeof(result->message));
	return buf_add(&result->details, p->details.data, p->details.len, e);
}

int step_drill(struct run *r, const struct resource *source UNUSED,
	       struct run_result *result, struct err *e)
{
	CLEANUP(drill_outcome_done) struct drill_outcome outcome;
	CLEANUP(papers_done) struct papers papers;
	struct drill_plan p;

	drill_outcome_init(&outcome);
	papers_init(&papers);
	if (plan(r, &papers, &p, e) < 0 || drill_run(&p, &outcome, e) < 0 ||
	    record(r, &papers, &p, &outcome, e) < 0)
		return tell_failure(&outcome.left, e);
	return tell(&papers, &outcome, result, e);
}
