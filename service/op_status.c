/* Is everything protected, when did it last work, what is next, what is
 * wrong: at a glance. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "schedules/guard.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/op_status_internal.h"

/* More problems than this are a list that nobody reads. */
enum { PROBLEMS_MAX = 50 };
/* Of what changed longer ago, reports tell. */
enum { DRIFT_DAYS = 90 };

void op_status_moment(struct json *j, const char *key, struct instant t)
{
	if (t.sec != 0)
		json_kv_instant(j, key, t);
	else
		json_kv_str(j, key, NULL);
}

void op_status_problem(struct status *s, const char *message, const char *hint)
{
	if (s->problem_count++ >= PROBLEMS_MAX)
		return;
	json_begin_object(&s->problems);
	json_kv_str(&s->problems, "message", message);
	json_kv_str(&s->problems, "hint", hint);
	json_end_object(&s->problems);
}

/* ---- One schedule ------------------------------------------------------- */

static int read_ending(void *arg, const struct catalog_occurrence *o,
		       struct err *e UNUSED)
{
	struct ending *end = arg;

	end->any = true;
	end->state = o->state;
	end->at = o->finished.sec ? o->finished : o->at;
	(void)snprintf(end->reason, sizeof(end->reason), "%.199s", o->reason);
	if (o->state != CATALOG_SKIPPED)
		return 1;
	end->overlaps += strcmp(o->reason, plan_reason_name(PLAN_OVERLAP)) == 0;
	return 0;
}

struct hand_search {
	const char *uid;
	struct ending *end;
};

static int read_by_hand(void *arg, const struct catalog_run *r,
			struct err *e UNUSED)
{
	const struct hand_search *h = arg;
	struct ending *end = h->end;

	if (strcmp(r->schedule_uid, h->uid) != 0)
		return 0;
	if (r->state == CATALOG_RUN_SUCCEEDED)
		return 1;
	if (r->occurrence != 0)
		return 0;
	end->by_hand = r->id;
	end->by_hand_state = r->state;
	(void)snprintf(end->by_hand_message, sizeof(end->by_hand_message),
		       "%.199s", r->message);
	return 1;
}

/* The ledger has no row for a run that is no occurrence: runs tell of it. */
static int find_by_hand(struct status *s, const struct timetable_entry *entry,
			struct ending *ret, struct err *e)
{
	const struct catalog_run_filter filter = {
		.schedule = entry->name,
		.kind = entry->kind,
		.states = 1U << CATALOG_RUN_SUCCEEDED |
			  1U << CATALOG_RUN_PARTIAL | 1U << CATALOG_RUN_FAILED |
			  1U << CATALOG_RUN_INTERRUPTED,
		.limit = ENDINGS_MAX,
	};
	struct hand_search h = { .uid = entry->uid, .end = ret };

	return catalog_runs(s->call->catalog, &filter, read_by_hand, &h, e) < 0
		       ? -1
		       : 0;
}

static int find_ending(struct status *s, const struct timetable_entry *entry,
		       struct ending *ret, struct err *e)
{
	const struct catalog_occurrence_filter filter = {
		.schedule_uid = entry->uid,
		.states = ~(1U << CATALOG_DUE | 1U << CATALOG_RUNNING |
			    1U << CATALOG_SUPERSEDED) &
			  ((1U << CATALOG_OCCURRENCE_STATES) - 1),
		.limit = ENDINGS_MAX,
	};

	*ret = (struct ending){ .any = false };
	if (catalog_occurrences(s->call->catalog, &filter, read_ending, ret,
				e) < 0)
		return -1;
	return find_by_hand(s, entry, ret, e);
}

static int count_one(void *arg, const struct catalog_run *r UNUSED,
		     struct err *e UNUSED)
{
	++*(size_t *)arg;
	return 1;
}

static bool is_running(struct status *s, const struct timetable_entry *entry)
{
	const struct catalog_run_filter filter = {
		.schedule = entry->name,
		.kind = entry->kind,
		.states = 1U << CATALOG_RUN_RUNNING,
		.limit = 1,
	};
	struct err ignored;
	size_t n = 0;

	return catalog_runs(s->call->catalog, &filter, count_one, &n,
			    &ignored) >= 0 &&
	       n > 0;
}

/*
 * The next moment of its timetable, or {0, 0}: after what is accounted for,
 * by the timetable's time, and said as the wall clock will show it.
 */
static int find_next(const struct status *s,
		     const struct timetable_entry *entry, struct instant *ret,
		     struct err *e)
{
	struct catalog_account account;
	int64_t from_s = s->timetable_now.sec;
	int found;

	*ret = (struct instant){ 0 };
	if (entry->problem[0] || entry->plan.suspended)
		return 0;
	found = catalog_account_get(s->call->catalog, entry->uid, &account, e);
	if (found < 0)
		return -1;
	if (found == 1 && account.accounted.sec > from_s)
		from_s = account.accounted.sec;
	if (plan_next(&entry->plan, from_s, &ret->sec) == 1)
		ret->sec += s->call->now.sec - s->timetable_now.sec;
	else
		ret->sec = 0;
	return 0;
}

/* ---- One source --------------------------------------------------------- */

static const char *state_of(const struct status *s,
			    const struct timetable_entry *entry,
			    const struct ending *end,
			    const struct copies *copies)
{
	/* The target is for each region: the one that is behind decides. */
	const int64_t age_ms = instant_ms_between(copies->oldest, s->call->now);

	if (end->any &&
	    (end->state == CATALOG_FAILED || end->state == CATALOG_MISSED))
		return "failed";
	if (copies->newest.sec == 0)
		return end->any ? "unprotected" : "waiting";
	if ((entry->rpo_ms && age_ms > entry->rpo_ms) ||
	    end->overlaps >= OVERLAPS)
		return "late";
	return "protected";
}

/* Its schedule had its time, and brought nothing. */
static void tell_none(struct status *s, const char *source, struct instant next)
{
	char moment[INSTANT_TEXT];
	char text[300];

	s->unprotected++;
	instant_format(next, moment);
	(void)snprintf(text, sizeof(text),
		       "%s: there is no complete snapshot of it yet%s%s",
		       source, next.sec ? "; next run at " : "",
		       next.sec ? moment : "");
	op_status_problem(s, text, "\"snapctl run list\" shows what happened");
}

static int read_text(void *arg, const struct catalog_resource *r,
		     struct err *e UNUSED)
{
	json_t *spec = jsontree_loads(r->spec_json, 0, NULL);

	*(bool *)arg = json_is_true(json_object_get(spec, "text"));
	json_decref(spec);
	return 0;
}

/* The last change that a run found in a source of configuration. */
static int write_drift(struct status *s, const struct timetable_entry *entry,
		       const char *source, struct err *e)
{
	const struct instant after = instant_add_ms(
		s->call->now, -DRIFT_DAYS * INT64_C(86400000));
	struct json *j = s->call->reply;
	struct catalog_drift d;
	bool text = false;
	int found;

	if (catalog_resource_get(s->call->catalog, "Source", source, read_text,
				 &text, e) < 0)
		return -1;
	if (!text)
		return 0;
	found = catalog_drift(s->call->catalog, entry->repository, source,
			      after, &d, e);
	if (found != 1)
		return found;
	json_key(j, "drift");
	json_begin_object(j);
	json_kv_int(j, "run", d.run);
	json_kv_instant(j, "at", d.finished);
	json_kv_uint(j, "added", d.added);
	json_kv_uint(j, "removed", d.removed);
	json_kv_uint(j, "changed", d.changed);
	json_end_object(j);
	return 0;
}

static int write_source(struct status *s, const struct timetable_entry *entry,
			const struct ending *end, struct instant next,
			const char *source, struct err *e)
{
	struct json *j = s->call->reply;
	struct copies copies;
	const char *state;

	if (op_status_copies(s, entry, source, &copies, e) < 0)
		return -1;
	state = state_of(s, entry, end, &copies);
	s->sources++;
	if (strcmp(state, "waiting") == 0)
		s->waiting++;
	else if (copies.newest.sec == 0)
		tell_none(s, source, next);
	else if (strcmp(state, "protected") != 0)
		s->troubled++;
	if (instant_compare(copies.newest, s->last_success) > 0)
		s->last_success = copies.newest;
	json_begin_object(j);
	json_kv_str(j, "source", source);
	json_kv_str(j, "schedule", entry->name);
	json_kv_str(j, "repository", entry->repository);
	json_kv_str(j, "state", is_running(s, entry) ? "running" : state);
	op_status_moment(j, "last_success", copies.newest);
	op_status_moment(j, "next", next);
	if (write_drift(s, entry, source, e) < 0)
		return -1;
	json_end_object(j);
	return 0;
}

static void tell_ending(struct status *s, const struct timetable_entry *entry,
			const struct ending *end)
{
	char text[400];

	if (end->overlaps >= OVERLAPS) {
		(void)snprintf(text, sizeof(text),
			       "%s: the last %u%s occurrences were skipped, as "
			       "a run of an earlier one went on",
			       entry->name, end->overlaps,
			       end->overlaps == ENDINGS_MAX ? " or more" : "");
		op_status_problem(
			s, text,
			"\"snapctl run list\" shows it, \"snapctl run "
			"cancel ID\" ends it");
	}
	if (!end->any ||
	    (end->state != CATALOG_FAILED && end->state != CATALOG_MISSED &&
	     end->state != CATALOG_PARTIAL))
		return;
	(void)snprintf(text, sizeof(text), "%s: the last run %s%s%s",
		       entry->name,
		       end->state == CATALOG_MISSED    ? "was missed"
		       : end->state == CATALOG_PARTIAL ? "was done in part"
						       : "failed",
		       end->reason[0] ? ": " : "", end->reason);
	op_status_problem(s, text,
			  "\"snapctl run list\" and \"snapctl run show ID\" "
			  "say more");
}

static void tell_by_hand(struct status *s, const struct timetable_entry *entry,
			 const struct ending *end)
{
	char text[400];
	char hint[100];

	if (!end->by_hand)
		return;
	(void)snprintf(
		text, sizeof(text), "%s: the last run by hand %s%s%s",
		entry->name,
		end->by_hand_state == CATALOG_RUN_PARTIAL ? "was done in part"
		: end->by_hand_state == CATALOG_RUN_INTERRUPTED
			? "was interrupted"
			: "failed",
		end->by_hand_message[0] ? ": " : "", end->by_hand_message);
	(void)snprintf(hint, sizeof(hint), "\"snapctl run show %jd\" says more",
		       (intmax_t)end->by_hand);
	op_status_problem(s, text, hint);
	if (end->by_hand_state != CATALOG_RUN_PARTIAL)
		s->troubled++;
}

/* Some sources of it wait: what they wait for. */
static void tell_waiting(struct status *s, const struct timetable_entry *entry,
			 const struct ending *end, struct instant next)
{
	const char *so_far = end->by_hand ? "nothing has succeeded yet"
					  : "nothing has run yet";
	char moment[INSTANT_TEXT];
	char text[400];
	char hint[300];

	if (is_running(s, entry)) {
		(void)snprintf(text, sizeof(text),
			       "%s: %s; the first run is under way",
			       entry->name, so_far);
	} else if (next.sec) {
		instant_format(next, moment);
		(void)snprintf(text, sizeof(text), "%s: %s; first run at %s",
			       entry->name, so_far, moment);
	} else {
		(void)snprintf(text, sizeof(text), "%s: %s, and nothing is due",
			       entry->name, so_far);
	}
	(void)snprintf(hint, sizeof(hint),
		       "\"snapctl run start %s\" runs it now", entry->name);
	op_status_problem(s, text, hint);
}

static int write_schedule(struct status *s, const struct timetable_entry *entry,
			  struct err *e)
{
	struct instant next;
	struct ending end;
	json_error_t why;
	json_t *sources;
	size_t waiting;
	int status = 0;

	if (entry->problem[0]) {
		char text[400];

		(void)snprintf(text, sizeof(text), "%s is never due: %s",
			       entry->name, entry->problem);
		op_status_problem(s, text, NULL);
		return 0;
	}
	if (find_ending(s, entry, &end, e) < 0 ||
	    find_next(s, entry, &next, e) < 0)
		return -1;
	if (strcmp(entry->kind, "Maintenance") == 0)
		return op_status_maintenance(s, entry, &end, e);
	tell_ending(s, entry, &end);
	tell_by_hand(s, entry, &end);
	if (next.sec && (s->next.sec == 0 || next.sec < s->next.sec))
		s->next = next;
	if (strcmp(entry->kind, "Schedule") != 0)
		return 0;
	waiting = s->waiting;
	sources = jsontree_loads(entry->sources_json, 0, &why);
	for (size_t i = 0; i < json_array_size(sources) && status == 0; i++)
		status = write_source(
			s, entry, &end, next,
			json_string_value(json_array_get(sources, i)), e);
	json_decref(sources);
	if (s->waiting > waiting)
		tell_waiting(s, entry, &end, next);
	return status;
}

/* ---- What retention held back ------------------------------------------- */

struct held_back {
	struct status *s;
	const char *source;
};

static uint64_t count_of(const json_t *summary, enum guard_verdict v)
{
	const json_int_t n = json_integer_value(
		json_object_get(summary, guard_verdict_name(v)));

	return n > 0 ? (uint64_t)n : 0;
}

static void tell_awaited(struct status *s, const char *source,
			 const char *region, uint64_t awaited)
{
	char text[400];

	if (!awaited)
		return;
	(void)snprintf(text, sizeof(text),
		       "%s: waits-for-region: %ju snapshot%s in region %s that "
		       "no rule keeps there stay%s, for %s",
		       source, (uintmax_t)awaited, awaited == 1 ? "" : "s",
		       region, awaited == 1 ? "s" : "",
		       guard_verdict_text(GUARD_WAITS_FOR_REGION));
	op_status_problem(s, text,
			  "\"snapctl report retention\" names the region; one "
			  "that is gone for good is waited for until no "
			  "schedule copies to it any more");
	s->troubled++;
}

/* A floor that is not met is an alarm; a budget lets go of the rest later. */
static void tell_held_back(struct status *s, const char *source,
			   const char *region, uint64_t blocked,
			   uint64_t budget)
{
	char text[400];

	if (blocked) {
		(void)snprintf(text, sizeof(text),
			       "%s: floor-blocked: %ju snapshot%s in region %s "
			       "that no rule keeps stay%s, for %s",
			       source, (uintmax_t)blocked,
			       blocked == 1 ? "" : "s", region,
			       blocked == 1 ? "s" : "",
			       guard_verdict_text(GUARD_FLOOR_BLOCKED));
		op_status_problem(
			s, text,
			"\"snapctl report retention\" lists them, "
			"\"snapctl report coverage\" tells when copies "
			"were verified");
		s->troubled++;
	}
	if (budget) {
		(void)snprintf(text, sizeof(text),
			       "%s: held-by-budget: %ju snapshot%s in region "
			       "%s that no rule keeps stay%s for now, for %s",
			       source, (uintmax_t)budget,
			       budget == 1 ? "" : "s", region,
			       budget == 1 ? "s" : "",
			       guard_verdict_text(GUARD_HELD_BY_BUDGET));
		op_status_problem(
			s, text,
			"\"snapctl report retention\" lists them; they go "
			"on later days, the oldest first");
	}
}

static int look_at_outcome(void *arg, const struct catalog_outcome *o,
			   struct err *e UNUSED)
{
	const struct held_back *h = arg;
	json_t *summary = jsontree_loads(o->summary_json, 0, NULL);
	const uint64_t blocked = count_of(summary, GUARD_FLOOR_BLOCKED);
	const uint64_t budget = count_of(summary, GUARD_HELD_BY_BUDGET);
	const uint64_t awaited = count_of(summary, GUARD_WAITS_FOR_REGION);
	struct json *j = &h->s->held_back;

	json_decref(summary);
	if (!blocked && !budget && !awaited)
		return 0;
	tell_awaited(h->s, h->source, o->region, awaited);
	tell_held_back(h->s, h->source, o->region, blocked, budget);
	json_begin_object(j);
	json_kv_str(j, "source", h->source);
	json_kv_str(j, "repository", o->repository);
	json_kv_str(j, "region", o->region);
	json_kv_uint(j, "floor_blocked", blocked);
	json_kv_uint(j, "held_by_budget", budget);
	json_kv_uint(j, "waits_for_region", awaited);
	json_kv_instant(j, "decided", o->now);
	json_end_object(j);
	return 0;
}

static int look_at_shortening(void *arg, const struct catalog_shortening *x,
			      struct err *e UNUSED)
{
	char due[INSTANT_TEXT];
	char text[500];
	char hint[200];

	instant_format((struct instant){ .sec = x->due.sec }, due);
	(void)snprintf(text, sizeof(text),
		       "%.64s: a change (%.200s) lets go of %ju snapshot%s%s"
		       "%.64s, which may be deleted from %s on",
		       x->source, x->cause, (uintmax_t)x->snapshots,
		       x->snapshots == 1 ? "" : "s",
		       x->region[0] ? " in region " : "", x->region, due);
	(void)snprintf(hint, sizeof(hint),
		       "\"snapctl policy pending\" lists them, \"snapctl "
		       "policy cancel %.64s\" lets them wait anew",
		       x->policy);
	op_status_problem(arg, text, hint);
	return 0;
}

static int look_at_shortenings(struct status *s, struct err *e)
{
	const struct catalog_shortening_filter filter = { .state = "waiting" };

	return catalog_shortenings(s->call->catalog, &filter,
				   look_at_shortening, s, e) < 0
		       ? -1
		       : 0;
}

/* ---- What no schedule takes --------------------------------------------- */

static bool is_scheduled(const struct status *s, const struct resource *source)
{
	const struct timetable_entry *entry = NULL;

	while ((entry = timetable_taker(s->timetable, source, entry)))
		if (!entry->plan.suspended)
			return true;
	return false;
}

static int look_at_source(void *arg, const struct catalog_resource *row,
			  struct err *e)
{
	CLEANUP(resource_free) struct resource *source = NULL;
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };
	struct status *s = arg;
	struct json *j = s->call->reply;
	char text[200];

	if (resource_from_form(&form, &source, e) < 0)
		return -1;
	if (is_scheduled(s, source)) {
		struct held_back h = { s, row->name };

		return catalog_outcomes(s->call->catalog, row->name,
					look_at_outcome, &h, e) < 0
			       ? -1
			       : 0;
	}
	s->sources++;
	s->unprotected++;
	s->troubled++;
	json_begin_object(j);
	json_kv_str(j, "source", row->name);
	json_kv_str(j, "schedule", NULL);
	json_kv_str(j, "state", "unprotected");
	json_kv_str(j, "last_success", NULL);
	json_kv_str(j, "next", NULL);
	json_end_object(j);
	(void)snprintf(text, sizeof(text), "%s: no schedule takes this source",
		       row->name);
	op_status_problem(s, text,
			  "give it a label that a schedule matches, or name "
			  "it in one");
	return 0;
}

static int write_sources(struct status *s, struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = "Source" };

	json_key(s->call->reply, "sources");
	json_begin_list(s->call->reply);
	for (size_t i = 0; i < s->timetable->count; i++)
		if (write_schedule(s, &s->timetable->entries[i], e) < 0)
			return -1;
	if (catalog_resources(s->call->catalog, &filter, look_at_source, s, e) <
	    0)
		return -1;
	json_end_list(s->call->reply);
	return 0;
}

/* ---- All ---------------------------------------------------------------- */

/*
 * Which time it is for the timetable.  The scheduler stores what it believes
 * each minute; while a jump is unconfirmed it goes on from there by the
 * boot-time clock (scheduler_clock.c).
 */
static int read_clock(struct status *s, struct err *e)
{
	const int found = catalog_clock_get(s->call->catalog, &s->clock, e);
	int64_t gained_ms;

	s->timetable_now = s->call->now;
	if (found < 0)
		return -1;
	if (found == 0 || !s->clock.suspicious.sec)
		return 0;
	s->timetable_now = instant_add_ms(s->clock.wall,
					  clock_boot_ms() - s->clock.boot_ms);
	gained_ms = instant_ms_between(s->timetable_now, s->call->now);
	if (gained_ms < PLAN_CLOCK_STEP_MS && gained_ms > -PLAN_CLOCK_STEP_MS)
		s->timetable_now = s->call->now;
	return 0;
}

static void look_at_clock(struct status *s)
{
	if (!s->clock.suspicious.sec)
		return;
	op_status_problem(
		s,
		s->timetable_now.sec == s->call->now.sec
			? "the clock jumped: retention and gc stand still"
			: "the clock jumped: retention and gc stand "
			  "still, and the timetable goes on as if it had "
			  "not",
		"set the clock right, then \"snapctl clock confirm\"");
	s->troubled++;
}

/* One line; each thing that is not well has one of its own below it. */
static void summarise(const struct status *s, char *text, size_t n)
{
	if (s->sources == 0)
		(void)snprintf(text, n,
			       "nothing is protected: nothing is declared");
	else if (s->unprotected)
		(void)snprintf(text, n, "%zu of %zu sources are not protected",
			       s->unprotected, s->sources);
	else if (s->waiting)
		(void)snprintf(text, n,
			       "%zu of %zu sources wait for their first run%s",
			       s->waiting, s->sources,
			       s->troubled ? ", and not all is well" : "");
	else if (s->troubled)
		(void)snprintf(text, n, "protected, but not all is well");
	else
		(void)snprintf(text, n, "everything is protected");
}

static void write_summary(struct status *s)
{
	struct json *j = s->call->reply;
	char text[120];

	summarise(s, text, sizeof(text));
	json_kv_str(j, "state",
		    s->sources == 0 || s->unprotected ? "unprotected"
		    : s->troubled		      ? "late"
		    : s->waiting		      ? "waiting"
						      : "protected");
	json_kv_str(j, "summary", text);
	op_status_moment(j, "last_success", s->last_success);
	op_status_moment(j, "next", s->next);
	json_kv_str(j, "version", SNAPCTL_VERSION);
}

static int write_status(struct status *s, struct err *e)
{
	struct json *j = s->call->reply;

	json_init(&s->problems, json_to_buf, &s->problems_text);
	json_begin_list(&s->problems);
	json_init(&s->held_back, json_to_buf, &s->held_back_text);
	json_begin_list(&s->held_back);
	json_begin_object(j);
	if (read_clock(s, e) < 0 || write_sources(s, e) < 0 ||
	    op_status_regions(s, e) < 0 || look_at_shortenings(s, e) < 0)
		return -1;
	look_at_clock(s);
	if (s->sources == 0)
		op_status_problem(s, "there is no source yet",
				  "\"snapctl apply -f FILE\" declares what to "
				  "protect");
	json_end_list(&s->problems);
	json_end_list(&s->held_back);
	if (json_finish(&s->problems, e) < 0 ||
	    json_finish(&s->held_back, e) < 0)
		return -1;
	json_key(j, "held_back");
	json_raw(j, buf_str(&s->held_back_text));
	json_key(j, "problems");
	json_raw(j, buf_str(&s->problems_text));
	write_summary(s);
	json_end_object(j);
	return 0;
}

static int status(struct operation_call *call, struct err *e)
{
	CLEANUP(timetable_free) struct timetable *t = NULL;
	struct status s = { .call = call };
	int done;

	if (timetable_load(call->catalog, NULL, &t, e) < 0)
		return -1;
	s.timetable = t;
	buf_init(&s.problems_text, (size_t)4 << 20);
	buf_init(&s.held_back_text, (size_t)64 << 20);
	done = write_status(&s, e);
	buf_done(&s.problems_text);
	buf_done(&s.held_back_text);
	free(s.lags);
	return done;
}

const struct operation op_status_rows[] = {
	{ .verb = "status",
	  .method = "GET",
	  .route = "/status",
	  .flags = OPERATION_DAEMON,
	  .view = "!status",
	  .summary = "tell at a glance whether everything is protected",
	  .help = "What is not well is named, each thing on a line, with what "
		  "retention held back: by a floor that is not met, by a "
		  "region that would keep it and has not got it yet, by the "
		  "day's budget of deletions, by the cooling-off of a change. "
		  "For each region it tells how old the newest copy there is "
		  "of the source that is furthest behind (lag_seconds), and "
		  "whether that is beyond the target of a schedule that "
		  "writes there (rpo_seconds, late), also while that is "
		  "suspended or the region away; when garbage was last "
		  "collected there (collected), how much is marked and will be freed "
		  "(bytes_pending), and whom that waits for (blocked_by, "
		  "waits_for); a collection that failed is named until one "
		  "succeeds. A run or a drill that somebody asked for and that failed is named "
		  "until a later one of the same name succeeds. Of a source of "
		  "configuration (text: true) it tells when a run last found "
		  "it changed, within 90 days (drift). \"snapshot "
		  "create\" works without the daemon: how it ended is known "
		  "to its caller alone.",
	  .run = status },
	{ 0 },
};
