#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "schedules/shortening.h"
#include "service/catalog_keep.h"
#include "service/mirror.h"
#include "service/retain.h"
#include "storage/repository/deletion.h"

/* A reason is some tens of bytes; inputs are some hundreds a snapshot. */
#define TEXT_MAX ((size_t)256 << 20)

/* What is decided about one copy on the way. */
struct judged {
	struct retain_copy *copy;
	bool kept, kept_before; /* before: also by a former floor */
	bool floor_before;	/* a former floor alone keeps it */
	bool proven;
	bool shown, cancelled;
	struct instant shown_at;
	enum shortening shortening;
	enum guard_verdict verdict;
	size_t reasons; /* where its JSON begins in the text */
};

struct judging {
	struct retain *x;
	const struct resource *source;
	const struct retain_rule_sets *rules;
	struct retain_region *region;
	struct judged *v;
	size_t n;
	struct retention_snapshot *snapshots;
	struct retention_result *results; /* one for each set */
	uint64_t budget;
	struct buf text, inputs;
};

static void judging_done(struct judging *j)
{
	for (size_t i = 0; j->results && i < j->rules->n; i++)
		retention_result_done(&j->results[i]);
	free(j->results);
	free(j->snapshots);
	free(j->v);
	buf_done(&j->text);
	buf_done(&j->inputs);
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
static uint64_t count_budget(const struct judging *j)
{
	const struct instant day = {
		.sec = j->x->now.sec - (j->x->now.sec % 86400 + 86400) % 86400
	};
	uint64_t present = 0, deleted = 0;

	for (size_t i = 0; i < j->region->n; i++) {
		const struct retain_copy *c = &j->region->v[i];
		const bool today = c->deleted &&
				   instant_compare(c->deleted_at, day) >= 0;

		if (!is_of(j, c))
			continue;
		deleted += today;
		present += (today || !c->deleted) &&
			   instant_compare(c->received, day) < 0;
	}
	return guard_budget(present, deleted);
}

static int collect(struct judging *j, struct err *e)
{
	const struct retain_region *g = j->region;

	j->v = calloc(g->n + 1, sizeof(*j->v));
	j->snapshots = calloc(g->n + 1, sizeof(*j->snapshots));
	j->results = calloc(j->rules->n, sizeof(*j->results));
	if (!j->v || !j->snapshots || !j->results)
		return err_oom(e);
	for (size_t i = 0; i < g->n; i++) {
		struct retain_copy *c = &g->v[i];

		if (c->deleted || !is_of(j, c))
			continue;
		j->v[j->n].copy = c;
		j->snapshots[j->n++] =
			(struct retention_snapshot){ .id = c->text,
						     .received = c->received,
						     .complete = c->complete,
						     .tags = c->tags,
						     .n_tags = c->n_tags };
	}
	j->budget = count_budget(j);
	return 0;
}

/* Ids are sorted as the region's copies are. */
static struct judged *find(const struct judging *j, const char *id)
{
	size_t low = 0, high = j->n;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;
		const int c = strcmp(id, j->v[mid].copy->text);

		if (c == 0)
			return &j->v[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* ---- Copies and lists in the catalog ------------------------------------ */

enum { REGIONS_MAX = 64 };

struct copies {
	struct judging *j;
	const struct guard_floor *floor;
	char id[OBJECT_ID_TEXT];
	struct guard_copy v[REGIONS_MAX];
	size_t n;
};

static void close_copies(struct copies *k)
{
	struct judged *d = k->n ? find(k->j, k->id) : NULL;

	if (d)
		d->proven = d->copy->complete &&
			    guard_is_proven(k->floor, k->v, k->n, k->j->x->now);
	k->n = 0;
}

static int add_replica(void *arg, const struct catalog_replica *row,
		       struct err *e UNUSED)
{
	struct copies *k = arg;

	if (strcmp(k->id, row->snapshot) != 0)
		close_copies(k);
	(void)snprintf(k->id, sizeof(k->id), "%s", row->snapshot);
	if (strcmp(row->state, "complete") == 0 && k->n < REGIONS_MAX)
		k->v[k->n++] = (struct guard_copy){
			.verified = row->oldest_verified.sec != 0,
			.oldest = row->oldest_verified,
		};
	return 0;
}

/* Which ones count for that floor. */
static int prove(struct judging *j, const struct guard_floor *floor,
		 struct err *e)
{
	const struct catalog_replica_filter filter = {
		.repository = j->x->run->repository->name
	};
	struct copies k = { .j = j, .floor = floor };

	for (size_t i = 0; i < j->n; i++)
		j->v[i].proven = false;
	if (!floor->snapshots)
		return 0;
	if (catalog_replicas(j->x->run->catalog, &filter, add_replica, &k, e) <
	    0)
		return -1;
	close_copies(&k);
	return 0;
}

struct lists {
	struct judging *j;
	const struct catalog_shortening *list;
};

static int see_listed(void *arg, const char *id, struct err *e UNUSED)
{
	const struct lists *l = arg;
	struct judged *d = find(l->j, id);

	if (!d)
		return 0;
	if (strcmp(l->list->state, "waiting") == 0) {
		d->shown = true;
		d->shown_at = l->list->shown;
	} else if (strcmp(l->list->state, "cancelled") == 0) {
		d->cancelled = true;
	}
	return 0;
}

static int see_list(void *arg, const struct catalog_shortening *list,
		    struct err *e)
{
	struct lists *l = arg;

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

/* ---- The rules ---------------------------------------------------------- */

static bool applied_to(const struct retain_rules *r, const struct judged *d)
{
	if (!r->former)
		return true;
	return instant_compare(d->copy->received, r->until) <= 0 &&
	       !(r->before_all && d->copy->scheduled);
}

static int apply_rules(struct judging *j, struct err *e)
{
	for (size_t k = 0; k < j->rules->n; k++) {
		const struct retain_rules *r = &j->rules->v[k];

		if (retention_decide(&r->policy, j->snapshots, j->n, j->x->now,
				     &j->results[k], e) < 0)
			return -1;
		for (size_t i = 0; i < j->n; i++) {
			const bool keep = j->results[k].decisions[i].keep &&
					  applied_to(r, &j->v[i]);

			j->v[i].kept |= keep && !r->former;
			j->v[i].kept_before |= keep && r->former;
		}
	}
	return 0;
}

static void write_reason(const struct retain_rules *r,
			 const struct retention_reason *why, bool name_policy,
			 struct json *out)
{
	char bucket[RETENTION_BUCKET_TEXT];

	retention_bucket_format(&r->policy, why, bucket);
	json_begin_object(out);
	json_kv_str(out, "rule", retention_kind_name(why->kind));
	json_kv_str(out, "bucket", bucket);
	if (why->oldest)
		json_kv_bool(out, "oldest", true);
	if (name_policy)
		json_kv_str(out, "policy", r->name);
	json_end_object(out);
}

/* The reasons of all rules in force, each decision's ended by a NUL. */
static int write_reasons(struct judging *j, struct err *e)
{
	for (size_t i = 0; i < j->n; i++) {
		struct json out;

		j->v[i].reasons = j->text.len;
		json_init(&out, json_to_buf, &j->text);
		json_begin_list(&out);
		for (size_t k = 0; k < j->rules->n; k++) {
			const struct retention_result *result = &j->results[k];
			const struct retention_decision *d =
				&result->decisions[i];

			if (j->rules->v[k].former)
				continue;
			for (size_t m = 0; m < d->n_reasons; m++)
				write_reason(&j->rules->v[k],
					     &result->reasons[d->reasons + m],
					     k != j->rules->own, &out);
		}
		json_end_list(&out);
		if (json_finish(&out, e) < 0 ||
		    buf_add_byte(&j->text, 0, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- The guards --------------------------------------------------------- */

static bool is_cooling_off(const struct judged *d)
{
	return d->shortening == SHORTENING_SHOW ||
	       d->shortening == SHORTENING_WAITING;
}

/* The verdicts under these limits; before: as if former rules held as well. */
static int guard(struct judging *j, const struct guard_limits *limits,
		 bool before, struct err *e)
{
	struct guard_snapshot *s = calloc(j->n + 1, sizeof(*s));
	enum guard_verdict *verdicts = calloc(j->n + 1, sizeof(*verdicts));
	int failed = s && verdicts ? 0 : err_oom(e);

	for (size_t i = 0; i < j->n && failed == 0; i++) {
		const struct judged *d = &j->v[i];

		s[i] = (struct guard_snapshot){
			.id = d->copy->text,
			.received = d->copy->received,
			.kept = d->kept || (before && d->kept_before),
			.proven = d->proven,
			.held = d->copy->held,
			.locked = d->copy->locked,
			.locked_until = d->copy->locked_until,
			.cooling_off = is_cooling_off(d),
		};
	}
	if (failed == 0)
		failed = guard_decide(s, j->n, limits, j->x->now, verdicts, e);
	for (size_t i = 0; i < j->n && failed == 0; i++)
		j->v[i].verdict = verdicts[i];
	free(s);
	free(verdicts);
	return failed;
}

static int apply_guards(struct judging *j, struct err *e)
{
	const struct guard_limits limits = { .floor = j->rules->floor.snapshots,
					     .budget = j->region->is_doubtful
							       ? 0
							       : j->budget };

	return guard(j, &limits, false, e);
}

static bool is_same(const struct guard_floor *a, const struct guard_floor *b)
{
	return a->snapshots == b->snapshots && a->regions == b->regions &&
	       a->verified_within_ms == b->verified_within_ms;
}

/*
 * What a former floor would keep back and the floor in force does not: that
 * the floor was lowered turned its keep into a delete.  Whoever is proven is
 * left as the floor in force sees it.
 */
static int apply_floors(struct judging *j, struct err *e)
{
	const struct guard_floor *now = &j->rules->floor;
	const struct guard_floor *was = &j->rules->floor_before;
	struct guard_limits limits = { .budget = UINT64_MAX };

	if (is_same(now, was))
		return prove(j, now, e);
	limits.floor = was->snapshots;
	if (prove(j, was, e) < 0 || guard(j, &limits, true, e) < 0)
		return -1;
	for (size_t i = 0; i < j->n; i++)
		j->v[i].floor_before = j->v[i].verdict == GUARD_FLOOR_BLOCKED &&
				       instant_compare(j->v[i].copy->received,
						       j->rules->floor_until) <=
					       0;
	limits.floor = now->snapshots;
	if (prove(j, now, e) < 0 || guard(j, &limits, false, e) < 0)
		return -1;
	for (size_t i = 0; i < j->n; i++) {
		struct judged *d = &j->v[i];

		d->floor_before &= d->verdict == GUARD_DELETE;
		d->kept_before |= d->floor_before;
	}
	return 0;
}

/* ---- Shortenings -------------------------------------------------------- */

/*
 * A list that somebody cancelled is to be shown again for the whole period,
 * however old the change is by now: else cancelling would delete at once.
 */
static void decide_shortening(const struct judging *j, struct judged *d)
{
	const struct shortening_change change = {
		.any = j->rules->changed || d->cancelled,
		.changed = d->cancelled ? j->x->now : j->rules->last,
		.cooling_off_ms = config_ms(j->x->run->config,
					    CONFIG_COOLING_OFF)
	};
	const struct shortening_snapshot s = { .kept = d->kept,
					       .kept_before = d->kept_before ||
							      d->cancelled,
					       .shown = d->shown,
					       .shown_at = d->shown_at };

	d->shortening = shortening_decide(&change, &s, j->x->now);
}

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

static int apply_shortenings(struct judging *j, struct err *e)
{
	const char **ids = calloc(j->n + 1, sizeof(*ids));
	size_t n = 0;
	int failed = 0;

	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < j->n; i++) {
		struct judged *d = &j->v[i];

		decide_shortening(j, d);
		if (d->shortening == SHORTENING_SHOW)
			ids[n++] = d->copy->text;
		d->copy->kept_again = d->shortening == SHORTENING_FORGET;
	}
	if (failed == 0 && n)
		failed = show(j, ids, n, e);
	free(ids);
	return failed;
}

/* ---- Storing ------------------------------------------------------------ */

static void write_sets(const struct judging *j, bool former, struct json *out)
{
	json_begin_list(out);
	for (size_t i = 0; i < j->rules->n; i++) {
		const struct retain_rules *r = &j->rules->v[i];

		if (r->former != former)
			continue;
		json_begin_object(out);
		json_kv_str(out, "policy", r->name);
		json_kv_str(out, "uid", r->uid);
		json_kv_int(out, "version", r->version);
		if (former)
			json_kv_instant(out, "until", r->until);
		if (r->before_all)
			json_kv_bool(out, "before_all", true);
		json_end_object(out);
	}
	json_end_list(out);
}

static void write_input(const struct judged *d, struct json *out)
{
	const struct retain_copy *c = d->copy;

	json_begin_object(out);
	json_kv_str(out, "id", c->text);
	json_kv_instant(out, "received", c->received);
	json_kv_bool(out, "complete", c->complete);
	json_kv_bool(out, "scheduled", c->scheduled);
	json_key(out, "tags");
	json_begin_list(out);
	for (size_t i = 0; i < c->n_tags; i++)
		json_str(out, c->tags[i]);
	json_end_list(out);
	json_kv_bool(out, "proven", d->proven);
	if (d->floor_before)
		json_kv_bool(out, "floor_before", true);
	json_kv_bool(out, "held", c->held);
	if (c->locked)
		json_kv_instant(out, "locked_until", c->locked_until);
	if (d->shown)
		json_kv_instant(out, "shown", d->shown_at);
	if (d->cancelled)
		json_kv_bool(out, "cancelled", true);
	json_end_object(out);
}

static int write_inputs(struct judging *j, struct err *e)
{
	const struct guard_floor *floor = &j->rules->floor;
	struct json out;

	json_init(&out, json_to_buf, &j->inputs);
	json_begin_object(&out);
	json_key(&out, "policies"); /* first: RETAIN_INPUTS_BEGIN */
	write_sets(j, false, &out);
	json_key(&out, "former");
	write_sets(j, true, &out);
	json_key(&out, "floor");
	json_begin_object(&out);
	json_kv_uint(&out, "snapshots", floor->snapshots);
	json_kv_uint(&out, "regions", floor->regions);
	json_kv_int(&out, "verified_within_ms", floor->verified_within_ms);
	json_end_object(&out);
	json_kv_int(&out, "cooling_off_ms",
		    config_ms(j->x->run->config, CONFIG_COOLING_OFF));
	json_kv_uint(&out, "budget", j->budget);
	json_kv_bool(&out, "doubtful", j->region->is_doubtful);
	json_key(&out, "snapshots");
	json_begin_list(&out);
	for (size_t i = 0; i < j->n; i++)
		write_input(&j->v[i], &out);
	json_end_list(&out);
	json_end_object(&out);
	return json_finish(&out, e);
}

/* The catalog's word for it. */
static const char *outcome_name(enum guard_verdict v)
{
	return v == GUARD_COOLING_OFF ? "waiting" : guard_verdict_name(v);
}

static int write_summary(const struct judging *j, struct buf *out,
			 struct err *e)
{
	uint64_t counts[GUARD_VERDICTS] = { 0 };
	struct json k;

	for (size_t i = 0; i < j->n; i++)
		counts[j->v[i].verdict]++;
	json_init(&k, json_to_buf, out);
	json_begin_object(&k);
	for (int v = 0; v < GUARD_VERDICTS; v++)
		if (counts[v])
			json_kv_uint(&k, outcome_name((enum guard_verdict)v),
				     counts[v]);
	json_end_object(&k);
	return json_finish(&k, e);
}

static int store(struct judging *j, struct err *e)
{
	const struct retain_rules *own = &j->rules->v[j->rules->own];
	CLEANUP(buf_done) struct buf summary;
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

	if (!decisions)
		return err_oom(e);
	buf_init(&summary, 4096);
	failed = write_reasons(j, e) < 0 || write_inputs(j, e) < 0 ||
		 write_summary(j, &summary, e) < 0;
	for (size_t i = 0; i < j->n && !failed; i++)
		decisions[i] = (struct catalog_decision){
			.snapshot = j->v[i].copy->text,
			.outcome = outcome_name(j->v[i].verdict),
			.reasons_json = buf_str(&j->text) + j->v[i].reasons
		};
	v.inputs_json = buf_str(&j->inputs);
	v.summary_json = buf_str(&summary);
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
	char reason[200];
	const struct deletion d = { .now = j->x->now,
				    .grace_ms = config_ms(j->x->run->config,
							  CONFIG_GRACE),
				    .by = "snapctld",
				    .reason = reason };

	(void)snprintf(reason, sizeof(reason), "policy %s version %jd",
		       own->name, (intmax_t)own->version);
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
	c->deleted_at = j->x->now;
	return mirror_copy(j->x->run->catalog, j->x->run->repository->name,
			   j->region->region->name, &s, j->x->now, e);
}

static int delete_all(struct judging *j, struct err *e)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->v[i].verdict != GUARD_DELETE)
			continue;
		if (run_stopped(j->x->run, e) < 0 ||
		    delete_copy(j, j->v[i].copy, e) < 0)
			return -1;
	}
	return 0;
}

int retain_judge(struct retain *x, const struct resource *source,
		 const struct retain_rule_sets *rules,
		 struct retain_region *region, struct retain_outcome *io,
		 struct err *e)
{
	CLEANUP(judging_done)
	struct judging j = {
		.x = x, .source = source, .rules = rules, .region = region
	};

	buf_init(&j.text, TEXT_MAX);
	buf_init(&j.inputs, TEXT_MAX);
	if (collect(&j, e) < 0 || see_lists(&j, e) < 0 ||
	    apply_rules(&j, e) < 0 || apply_floors(&j, e) < 0 ||
	    apply_shortenings(&j, e) < 0 || apply_guards(&j, e) < 0 ||
	    store(&j, e) < 0)
		/* The cleanup frees j; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	for (size_t i = 0; i < j.n; i++)
		io->counts[j.v[i].verdict]++;
	return delete_all(&j, e);
}
