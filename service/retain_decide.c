#include "service/retain_decide.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "service/catalog_hash.h"

/* What is found out about one snapshot on the way. */
struct judged {
	const struct retain_input *in;
	bool kept, kept_before; /* before: also by a former floor */
	bool floor_before;	/* a former floor alone keeps it */
	bool proven;
	uint32_t awaited; /* a bit for each region elsewhere */
	enum shortening shortening;
	enum guard_verdict verdict;
	size_t reasons; /* where its JSON begins in the text */
};

struct judging {
	const struct retain_case *c;
	const struct retain_rule_sets *rules;
	struct judged *v;
	size_t n;
	struct retention_snapshot *snapshots;
	struct retention_result *results; /* one for each set */
	struct buf text;
};

static void judging_done(struct judging *j)
{
	for (size_t i = 0; j->results && i < j->rules->n; i++)
		retention_result_done(&j->results[i]);
	free(j->results);
	free(j->snapshots);
	free(j->v);
	buf_done(&j->text);
}
static inline void cleanup_judging_done(struct judging *j)
{
	judging_done(j);
}

static int collect(struct judging *j, struct err *e)
{
	j->v = calloc(j->n + 1, sizeof(*j->v));
	j->snapshots = calloc(j->n + 1, sizeof(*j->snapshots));
	j->results = calloc(j->rules->n + 1, sizeof(*j->results));
	if (!j->v || !j->snapshots || !j->results)
		return err_oom(e);
	for (size_t i = 0; i < j->n; i++) {
		const struct retain_input *in = &j->c->v[i];

		j->v[i].in = in;
		j->snapshots[i] =
			(struct retention_snapshot){ .id = in->id,
						     .received = in->received,
						     .complete = in->complete,
						     .tags = in->tags,
						     .n_tags = in->n_tags };
	}
	return 0;
}

/* ---- The rules ---------------------------------------------------------- */

static bool applied_to(const struct retain_rules *r, const struct judged *d)
{
	return retain_rules_reach(r, d->in->received) &&
	       !(r->former && r->before_all && d->in->scheduled);
}

static int apply_rules(struct judging *j, struct err *e)
{
	for (size_t k = 0; k < j->rules->n; k++) {
		const struct retain_rules *r = &j->rules->v[k];

		if (r->floor_only)
			continue;
		if (retention_decide(&r->policy, j->snapshots, j->n, j->c->now,
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

/* Why the kth rules keep the ith snapshot, if they do. */
static void write_kept(const struct judging *j, size_t i, size_t k,
		       struct json *out)
{
	const struct retention_result *result = &j->results[k];
	const struct retention_decision *d = &result->decisions[i];

	for (size_t m = 0; m < d->n_reasons; m++)
		write_reason(&j->rules->v[k], &result->reasons[d->reasons + m],
			     k != j->rules->own, out);
}

/* For which regions it stays, as if they were rules that keep it. */
static void write_awaited(const struct judging *j, const struct judged *d,
			  struct json *out)
{
	for (size_t i = 0; i < j->c->n_elsewhere; i++) {
		if (!(d->awaited & UINT32_C(1) << i))
			continue;
		json_begin_object(out);
		json_kv_str(out, "rule",
			    guard_verdict_name(GUARD_WAITS_FOR_REGION));
		json_kv_str(out, "bucket", j->c->elsewhere[i].region);
		json_end_object(out);
	}
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
			const struct retain_rules *r = &j->rules->v[k];

			if (!r->former && !r->floor_only)
				write_kept(j, i, k, &out);
		}
		if (j->v[i].verdict == GUARD_WAITS_FOR_REGION)
			write_awaited(j, &j->v[i], &out);
		json_end_list(&out);
		if (json_finish(&out, e) < 0 ||
		    buf_add_byte(&j->text, 0, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- Other regions ------------------------------------------------------ */

/*
 * What a region would keep of what is here and it has not deleted, and whatever
 * it may have besides, which need not be known (retention_might_keep()).
 */
static int await(struct judging *j, size_t at, struct err *e)
{
	const struct retain_rule_sets *rules = j->c->elsewhere[at].rules;
	const uint32_t bit = UINT32_C(1) << at;
	struct retention_snapshot *s = calloc(j->n + 1, sizeof(*s));
	size_t *which = calloc(j->n + 1, sizeof(*which));
	int failed = s && which ? 0 : err_oom(e);
	size_t n = 0;

	for (size_t i = 0; i < j->n && failed == 0; i++)
		if (!(j->v[i].in->gone & bit)) {
			which[n] = i;
			s[n++] = j->snapshots[i];
		}
	for (size_t k = 0; k < rules->n && failed == 0; k++) {
		const struct retain_rules *r = &rules->v[k];
		struct retention_result result = { 0 };

		if (!retain_rules_is_asked(r))
			continue;
		failed = (j->c->asks_exactly ? retention_decide
					     : retention_might_keep)(
			&r->policy, s, n, j->c->now, &result, e);
		for (size_t i = 0; i < n && failed == 0; i++)
			if (result.decisions[i].keep &&
			    retain_rules_reach(r, s[i].received))
				j->v[which[i]].awaited |=
					j->v[which[i]].in->lacks & bit;
		retention_result_done(&result);
	}
	free(which);
	free(s);
	return failed;
}

static int apply_elsewhere(struct judging *j, struct err *e)
{
	for (size_t i = 0; i < j->c->n_elsewhere; i++)
		if (await(j, i, e) < 0)
			return -1;
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
			.id = d->in->id,
			.received = d->in->received,
			.kept = d->kept || (before && d->kept_before),
			.proven = d->proven,
			.held = d->in->held,
			.locked = d->in->locked,
			.locked_until = d->in->locked_until,
			.awaited = d->awaited != 0,
			.cooling_off = is_cooling_off(d),
		};
	}
	if (failed == 0)
		failed = guard_decide(s, j->n, limits, j->c->now, verdicts, e);
	for (size_t i = 0; i < j->n && failed == 0; i++)
		j->v[i].verdict = verdicts[i];
	free(s);
	free(verdicts);
	return failed;
}

static int apply_guards(struct judging *j, struct err *e)
{
	const struct retain_case *c = j->c;
	const struct guard_limits limits = {
		.floor = j->rules->floor.snapshots,
		.budget = c->is_doubtful ? 0
					 : guard_budget(c->present, c->deleted)
	};

	return guard(j, &limits, false, e);
}

bool retain_has_floor(const struct retain_rule_sets *rules)
{
	return rules->floor.snapshots || rules->floor_before.snapshots;
}

/* Which ones count for that floor. */
static void prove(struct judging *j, const struct guard_floor *floor)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct retain_input *in = j->v[i].in;
		struct guard_copy copies[RETAIN_COPIES_MAX];
		size_t n = 0;

		for (; n < in->n_copies && n < RETAIN_COPIES_MAX; n++)
			copies[n] = in->copies[n].copy;
		j->v[i].proven = floor->snapshots && in->complete &&
				 guard_is_proven(floor, copies, n, j->c->now);
	}
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

	if (is_same(now, was)) {
		prove(j, now);
		return 0;
	}
	limits.floor = was->snapshots;
	prove(j, was);
	if (guard(j, &limits, true, e) < 0)
		return -1;
	for (size_t i = 0; i < j->n; i++)
		j->v[i].floor_before = j->v[i].verdict == GUARD_FLOOR_BLOCKED &&
				       instant_compare(j->v[i].in->received,
						       j->rules->floor_until) <=
					       0;
	limits.floor = now->snapshots;
	prove(j, now);
	if (guard(j, &limits, false, e) < 0)
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
	const struct retain_input *in = d->in;
	const struct shortening_change change = {
		.any = j->rules->changed || in->cancelled,
		.changed = in->cancelled ? j->c->now : j->rules->last,
		.cooling_off_ms = j->c->cooling_off_ms
	};
	const struct shortening_snapshot s = { .kept = d->kept,
					       .kept_before = d->kept_before ||
							      in->cancelled,
					       .shown = in->shown,
					       .shown_at = in->shown_at };

	d->shortening = shortening_decide(&change, &s, j->c->now);
}

/* ---- All ---------------------------------------------------------------- */

static int deliver(struct judging *j, struct retain_decisions *ret,
		   struct err *e)
{
	ret->v = calloc(j->n + 1, sizeof(*ret->v));
	if (!ret->v)
		return err_oom(e);
	ret->n = j->n;
	ret->text = j->text;
	buf_init(&j->text, RETAIN_INPUTS_MAX);
	for (size_t i = 0; i < j->n; i++)
		ret->v[i] = (struct retain_decision){
			.verdict = j->v[i].verdict,
			.shortening = j->v[i].shortening,
			.reasons = buf_str(&ret->text) + j->v[i].reasons
		};
	return 0;
}

int retain_decide(const struct retain_case *c, struct retain_decisions *ret,
		  struct err *e)
{
	CLEANUP(judging_done)
	struct judging j = { .c = c, .rules = c->rules, .n = c->n };

	buf_init(&j.text, RETAIN_INPUTS_MAX);
	if (collect(&j, e) < 0 || apply_rules(&j, e) < 0 ||
	    apply_elsewhere(&j, e) < 0 || apply_floors(&j, e) < 0)
		/* The cleanup frees j; clang-tidy 14 misses those of
		 * structs. */
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	for (size_t i = 0; i < j.n; i++)
		decide_shortening(&j, &j.v[i]);
	return apply_guards(&j, e) < 0 || write_reasons(&j, e) < 0
		       ? -1
		       : deliver(&j, ret, e);
}

void retain_decisions_done(struct retain_decisions *d)
{
	free(d->v);
	buf_done(&d->text);
	d->v = NULL;
	d->n = 0;
}

const char *retain_outcome_name(enum guard_verdict v)
{
	return v == GUARD_COOLING_OFF ? "waiting" : guard_verdict_name(v);
}

/* ---- Zones -------------------------------------------------------------- */

/* Two offsets a year; some countries had some more. */
enum { SPANS_MAX = 4096 };

void retain_zone_digest(const struct zone *z, struct instant now,
			char out[RETAIN_ZONE_DIGEST])
{
	char hash[CATALOG_HASH_TEXT];
	char text[CATALOG_HASH_TEXT + 64];
	int n;
	struct zone_span sp = zone_span(z, 0);
	int32_t told = sp.offset_s;

	n = snprintf(text, sizeof(text), "%d", (int)told);
	catalog_hash(text, (size_t)n, hash);
	for (int i = 0; i < SPANS_MAX && sp.until <= now.sec; i++) {
		sp = zone_span(z, sp.until);
		/* Neighbours with one offset are one span. */
		if (sp.offset_s == told)
			continue;
		told = sp.offset_s;
		n = snprintf(text, sizeof(text), "%s %" PRId64 " %d", hash,
			     sp.from, (int)sp.offset_s);
		catalog_hash(text, (size_t)n, hash);
	}
	(void)snprintf(out, RETAIN_ZONE_DIGEST, "%.16s", hash);
}
