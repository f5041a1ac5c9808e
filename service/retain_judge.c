/* What is decided about one source in one region, stored, and done. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "service/catalog_keep.h"
#include "service/mirror.h"
#include "service/retain_decide.h"
#include "storage/repository/deletion.h"

struct judging {
	struct retain *x;
	const struct resource *source;
	const struct retain_rule_sets *rules; /* the region's */
	const struct retain_rule_sets *all;   /* every region's */
	struct retain_region *region;
	struct retain_elsewhere elsewhere[RETAIN_ELSEWHERE_MAX];
	struct retain_copy **copies; /* those that are judged */
	struct retain_input *inputs; /* of each */
	size_t n;
	struct retain_case c;
	struct retain_decisions decisions;
	struct arena arena; /* the copies in all regions */
	struct buf text;    /* of the inputs */
};

/* 64 copies of a million snapshots. */
#define COPIES_MAX ((size_t)8 << 30)

static void judging_done(struct judging *j)
{
	retain_decisions_done(&j->decisions);
	arena_done(&j->arena);
	free(j->inputs);
	free(j->copies);
	buf_done(&j->text);
}
static inline void cleanup_judging_done(struct judging *j)
{
	judging_done(j);
}

/* ---- What is judged ----------------------------------------------------- */

static bool is_of(const struct judging *j, const struct retain_copy *c)
{
	return strcmp(c->source, j->source->name) == 0;
}

/*
 * The day is UTC's.  Everything deleted since it began counts, by whomever:
 * the budget is there for the day on which something else went wrong, too.
 */
static void count_budget(struct judging *j)
{
	const struct instant day = {
		.sec = j->x->now.sec - (j->x->now.sec % 86400 + 86400) % 86400
	};

	for (size_t i = 0; i < j->region->n; i++) {
		const struct retain_copy *c = &j->region->v[i];
		const bool today = c->deleted &&
				   instant_compare(c->deleted_at, day) >= 0;

		if (!is_of(j, c))
			continue;
		j->c.deleted += today;
		j->c.present += (today || !c->deleted) &&
				instant_compare(c->received, day) < 0;
	}
}

static int collect(struct judging *j, struct err *e)
{
	const struct retain_region *g = j->region;

	j->copies = calloc(g->n + 1, sizeof(struct retain_copy *));
	j->inputs = calloc(g->n + 1, sizeof(*j->inputs));
	if (!j->copies || !j->inputs)
		return err_oom(e);
	for (size_t i = 0; i < g->n; i++) {
		struct retain_copy *c = &g->v[i];

		if (c->deleted || !is_of(j, c))
			continue;
		j->copies[j->n] = c;
		j->inputs[j->n++] = (struct retain_input){
			.id = c->text,
			.received = c->received,
			.complete = c->complete,
			.scheduled = c->scheduled,
			.held = c->held,
			.locked = c->locked,
			.locked_until = c->locked_until,
			.tags = c->tags,
			.n_tags = c->n_tags,
		};
	}
	j->c = (struct retain_case){
		.now = j->x->now,
		.rules = j->rules,
		.cooling_off_ms = config_ms(j->x->run->config,
					    CONFIG_COOLING_OFF),
		.is_doubtful = g->is_doubtful,
		.v = j->inputs,
		.n = j->n,
	};
	count_budget(j);
	return 0;
}

/* Ids are sorted as the region's copies are. */
static struct retain_input *find(const struct judging *j, const char *id)
{
	size_t low = 0, high = j->n;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;
		const int c = strcmp(id, j->inputs[mid].id);

		if (c == 0)
			return &j->inputs[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* ---- Copies and lists in the catalog ------------------------------------ */

/* Those of one snapshot stand together. */
struct copies {
	struct judging *j;
	char id[OBJECT_ID_TEXT];
	struct retain_verified v[RETAIN_COPIES_MAX];
	size_t n;
};

static int close_copies(struct copies *k, struct err *e)
{
	struct retain_input *in = k->n ? find(k->j, k->id) : NULL;
	struct retain_verified *v;

	if (in) {
		v = arena_new(&k->j->arena, k->n * sizeof(*v), e);
		if (!v)
			return -1;
		memcpy(v, k->v, k->n * sizeof(*v));
		in->copies = v;
		in->n_copies = k->n;
	}
	k->n = 0;
	return 0;
}

static int add_replica(void *arg, const struct catalog_replica *row,
		       struct err *e)
{
	struct copies *k = arg;
	struct retain_verified *v;

	if (strcmp(k->id, row->snapshot) != 0 && close_copies(k, e) < 0)
		return -1;
	(void)snprintf(k->id, sizeof(k->id), "%s", row->snapshot);
	if (strcmp(row->state, "complete") != 0 || k->n == RETAIN_COPIES_MAX)
		return 0;
	v = &k->v[k->n++];
	(void)snprintf(v->region, sizeof(v->region), "%s", row->region);
	v->copy.verified = row->oldest_verified.sec != 0;
	v->copy.oldest = row->oldest_verified;
	return 0;
}

/* Only a floor asks for them. */
static int see_copies(struct judging *j, struct err *e)
{
	const struct catalog_replica_filter filter = {
		.repository = j->x->run->repository->name
	};
	struct copies k = { .j = j };

	if (!retain_has_floor(j->rules))
		return 0;
	if (catalog_replicas(j->x->run->catalog, &filter, add_replica, &k, e) <
	    0)
		return -1;
	return close_copies(&k, e);
}

struct lists {
	struct judging *j;
	const struct catalog_shortening *list;
};

static int see_listed(void *arg, const char *id, struct err *e UNUSED)
{
	const struct lists *l = arg;
	struct retain_input *in = find(l->j, id);

	if (!in)
		return 0;
	if (strcmp(l->list->state, "waiting") == 0) {
		in->shown = true;
		in->shown_at = l->list->shown;
	} else if (strcmp(l->list->state, "cancelled") == 0) {
		in->cancelled = true;
	}
	return 0;
}

static int see_list(void *arg, const struct catalog_shortening *list,
		    struct err *e)
{
	struct lists *l = arg;

	if (strcmp(list->region, retain_scope(l->j->region->region)) != 0)
		return 0;
	l->list = list;
	return catalog_shortening_snapshots(l->j->x->run->catalog, list->id,
					    see_listed, l, e) < 0
		       ? -1
		       : 0;
}

static int see_lists(struct judging *j, struct err *e)
{
	const struct catalog_shortening_filter filter = {
		.repository = j->x->run->repository->name,
		.source = j->source->name
	};
	struct lists l = { .j = j };

	return catalog_shortenings(j->x->run->catalog, &filter, see_list, &l,
				   e) < 0
		       ? -1
		       : 0;
}

/* ---- What other regions wait for ---------------------------------------- */

/* What the catalog knows of a region, for what its listing does not tell. */
struct elsewhere {
	struct judging *j;
	const struct retain_region *region;
	uint32_t bit;
};

static int see_there(void *arg, const struct catalog_replica *row,
		     struct err *e UNUSED)
{
	const struct elsewhere *w = arg;
	struct retain_input *in = find(w->j, row->snapshot);

	if (!in)
		return 0;
	if (strcmp(row->state, "gone") == 0) {
		in->gone |= w->bit;
		in->lacks &= ~w->bit;
	} else if (strcmp(row->state, "complete") == 0 &&
		   !w->region->repository) {
		in->lacks &= ~w->bit;
	}
	return 0;
}

static int look_elsewhere(struct judging *j, const struct retain_region *g,
			  uint32_t bit, struct err *e)
{
	const struct catalog_replica_filter filter = {
		.repository = j->x->run->repository->name,
		.region = g->region->name
	};
	struct elsewhere w = { j, g, bit };

	for (size_t i = 0; i < j->n; i++)
		j->inputs[i].lacks |= bit;
	if (catalog_replicas(j->x->run->catalog, &filter, see_there, &w, e) < 0)
		return -1;
	for (size_t i = 0; i < j->n && g->repository; i++) {
		const struct retain_copy *c = retain_find(g, j->inputs[i].id);

		if (!c)
			continue;
		j->inputs[i].lacks &= ~bit;
		j->inputs[i].gone &= ~bit;
		if (c->deleted)
			j->inputs[i].gone |= bit;
	}
	return 0;
}

/*
 * Copies come from the primary.  What that has is its own to keep until it is
 * everywhere; what it deleted for all regions nobody copies any more.  What it
 * let go of for itself alone, or never had, it brings nowhere: then this may be
 * the only region that can, as one that was the primary before.
 */
static void leave_to_primary(struct judging *j, const struct retain_region *g)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct retain_copy *c = retain_find(g, j->inputs[i].id);

		if (c && !(c->deleted && c->this_region))
			j->inputs[i].lacks = 0;
	}
}

/*
 * Regions that schedules of the source copy to, where other rules hold.  Where
 * none has a policy of its own there are none.
 */
static int see_elsewhere(struct judging *j, struct err *e)
{
	const struct retain_region *primary = NULL;

	for (size_t i = 0; i < j->x->n_regions; i++) {
		const struct retain_region *g = &j->x->regions[i];
		const size_t n = j->c.n_elsewhere;

		if (g->region->primary)
			primary = g;
		if (g == j->region || !j->all[i].is_served ||
		    n == RETAIN_ELSEWHERE_MAX ||
		    retain_rules_same(&j->all[i], j->rules))
			continue;
		j->elsewhere[j->c.n_elsewhere++] = (struct retain_elsewhere){
			.region = g->region->name, .rules = &j->all[i]
		};
		if (look_elsewhere(j, g, UINT32_C(1) << n, e) < 0)
			return -1;
	}
	j->c.elsewhere = j->elsewhere;
	if (primary && primary != j->region)
		leave_to_primary(j, primary);
	return 0;
}

/* ---- Shortenings -------------------------------------------------------- */

static void describe_change(const struct judging *j, char *out, size_t n)
{
	const struct retain_rules *now = &j->rules->v[j->rules->own];
	const struct retain_rules *was = NULL;

	for (size_t i = 0; i < j->rules->n; i++)
		if (j->rules->v[i].former &&
		    (!was || !j->rules->v[i].before_all))
			was = &j->rules->v[i];
	if (was && was->name[0] && strcmp(was->name, now->name) == 0)
		(void)snprintf(out, n, "policy %s version %jd → %jd", now->name,
			       (intmax_t)was->version, (intmax_t)now->version);
	else if (was)
		(void)snprintf(out, n, "%s%s → policy %s version %jd",
			       was->name[0] ? "policy " : "no policy",
			       was->name, now->name, (intmax_t)now->version);
	else
		(void)snprintf(out, n, "shown again after it was cancelled");
}

static int show(struct judging *j, const char *const *ids, size_t n,
		struct err *e)
{
	char cause[256];
	const struct catalog_shortening s = {
		.repository = j->x->run->repository->name,
		.source = j->source->name,
		.region = retain_scope(j->region->region),
		.policy = j->rules->v[j->rules->own].name,
		.cause = cause,
		.actor = "snapctld",
		.shown = j->x->now,
		.due = instant_add_ms(j->x->now, config_ms(j->x->run->config,
							   CONFIG_COOLING_OFF))
	};
	int64_t id;

	describe_change(j, cause, sizeof(cause));
	return catalog_shortening_add(j->x->run->catalog, &s, ids, n, &id, e) <
			       0
		       ? -1
		       : 0;
}

static int show_shortenings(struct judging *j, struct err *e)
{
	const char **ids = calloc(j->n + 1, sizeof(*ids));
	size_t n = 0;
	int failed = 0;

	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < j->n; i++) {
		const enum shortening what = j->decisions.v[i].shortening;

		if (what == SHORTENING_SHOW)
			ids[n++] = j->copies[i]->text;
		j->copies[i]->kept_again = what == SHORTENING_FORGET;
	}
	if (n)
		failed = show(j, ids, n, e);
	free(ids);
	return failed;
}

/* ---- Storing ------------------------------------------------------------ */

static int write_summary(const struct judging *j, struct buf *out,
			 struct err *e)
{
	uint64_t counts[GUARD_VERDICTS] = { 0 };
	struct json k;

	for (size_t i = 0; i < j->n; i++)
		counts[j->decisions.v[i].verdict]++;
	json_init(&k, json_to_buf, out);
	json_begin_object(&k);
	for (int v = 0; v < GUARD_VERDICTS; v++)
		if (counts[v])
			json_kv_uint(&k,
				     retain_outcome_name((enum guard_verdict)v),
				     counts[v]);
	json_end_object(&k);
	return json_finish(&k, e);
}

/* 64 sets at most, each a name and a uid. */
#define RULES_MAX 65536

static int write_rules(const struct judging *j, struct buf *out, struct err *e)
{
	struct json k;

	json_init(&k, json_to_buf, out);
	json_begin_list(&k);
	for (size_t i = 0; i < j->rules->n; i++) {
		const struct retain_rules *r = &j->rules->v[i];

		if (r->former)
			continue;
		json_begin_object(&k);
		json_kv_str(&k, "policy", r->name);
		json_kv_str(&k, "uid", r->uid);
		json_kv_int(&k, "version", r->version);
		if (r->floor_only)
			json_kv_bool(&k, "floor_only", true);
		if (i == j->rules->own && j->rules->is_own)
			json_kv_bool(&k, "region", true);
		json_end_object(&k);
	}
	json_end_list(&k);
	return json_finish(&k, e);
}

static int store(struct judging *j, struct err *e)
{
	const struct retain_rules *own = &j->rules->v[j->rules->own];
	CLEANUP(buf_done) struct buf summary;
	CLEANUP(buf_done) struct buf rules;
	struct catalog_evaluation v = { .repository =
						j->x->run->repository->name,
					.source = j->source->name,
					.region = j->region->region->name,
					.policy = own->name,
					.policy_uid = own->uid,
					.policy_version = own->version,
					.run = j->x->run->id,
					.now = j->x->now,
					.actor = "snapctld" };
	struct catalog_decision *decisions = calloc(j->n + 1,
						    sizeof(*decisions));
	int64_t id;
	int failed;

	buf_init(&summary, 4096);
	buf_init(&rules, RULES_MAX);
	if (!decisions)
		return err_oom(e);
	failed = retain_inputs_write(&j->c, &j->text, e) < 0 ||
		 write_summary(j, &summary, e) < 0 ||
		 write_rules(j, &rules, e) < 0;
	for (size_t i = 0; i < j->n && !failed; i++)
		decisions[i] = (struct catalog_decision){
			.snapshot = j->copies[i]->text,
			.outcome = retain_outcome_name(
				j->decisions.v[i].verdict),
			.reasons_json = j->decisions.v[i].reasons
		};
	v.inputs_json = buf_str(&j->text);
	v.summary_json = buf_str(&summary);
	v.rules_json = buf_str(&rules);
	if (!failed)
		failed = catalog_evaluation_add(j->x->run->catalog, &v,
						decisions, j->n, &id, e) < 0;
	free(decisions);
	return failed ? -1 : 0;
}

/* ---- Deleting ----------------------------------------------------------- */

/*
 * The decision is durable before its tombstone is, and the tombstone before
 * the catalog says so: killed in between, the next run's listing finds the
 * tombstone and brings the catalog up to date.
 */
static int delete_copy(struct judging *j, struct retain_copy *c, struct err *e)
{
	const struct retain_rules *own = &j->rules->v[j->rules->own];
	struct repository_snapshot s = { .held = c->held,
					 .locked = c->locked,
					 .locked_until = c->locked_until };
	struct err why = { 0 };
	char reason[DELETION_RULES_MAX];
	const struct deletion d = { .now = j->x->now,
				    .grace_ms = config_ms(j->x->run->config,
							  CONFIG_GRACE),
				    .by = DELETION_SERVICE,
				    .reason = reason,
				    .this_region = j->rules->is_apart };

	deletion_rules_reason(reason, own->name, own->version);
	s.manifest.snapshot = c->id;
	(void)snprintf(s.manifest.source, sizeof(s.manifest.source), "%s",
		       j->source->name);
	if (deletion_delete(j->region->repository, &s, &d, &why) < 0) {
		/* A hold or lock that came since: the next run decides. */
		if (why.code == ERR_DENIED && !why.sys)
			return 0;
		*e = why;
		return -1;
	}
	c->deleted = s.deleted = true;
	c->this_region = d.this_region;
	c->deleted_at = j->x->now;
	return mirror_copy(j->x->run->catalog, j->x->run->repository->name,
			   j->region->region->name, &s, j->x->now, e);
}

static int delete_all(struct judging *j, struct err *e)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->decisions.v[i].verdict != GUARD_DELETE)
			continue;
		if (run_stopped(j->x->run, e) < 0 ||
		    delete_copy(j, j->copies[i], e) < 0)
			return -1;
	}
	return 0;
}

int retain_judge(struct retain *x, const struct resource *source,
		 const struct retain_rule_sets *rules, size_t region,
		 struct retain_outcome *io, struct err *e)
{
	CLEANUP(judging_done)
	struct judging j = { .x = x,
			     .source = source,
			     .rules = &rules[region],
			     .all = rules,
			     .region = &x->regions[region] };

	arena_init(&j.arena, COPIES_MAX);
	buf_init(&j.text, RETAIN_INPUTS_MAX);
	if (collect(&j, e) < 0 || see_copies(&j, e) < 0 ||
	    see_elsewhere(&j, e) < 0 || see_lists(&j, e) < 0 ||
	    retain_decide(&j.c, &j.decisions, e) < 0 ||
	    show_shortenings(&j, e) < 0 || store(&j, e) < 0)
		/* The cleanup frees j; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	for (size_t i = 0; i < j.n; i++)
		io->counts[j.decisions.v[i].verdict]++;
	return delete_all(&j, e);
}
