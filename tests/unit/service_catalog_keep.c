/* Snapshots, copies, regions, checks, collections, drills, decisions,
 * shortenings, holds. */
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

static int see_snapshot(void *arg, const struct catalog_snapshot *s,
			struct err *e)
{
	(void)e;
	return see(arg, s->id);
}

static int copy_snapshot(void *arg, const struct catalog_snapshot *s,
			 struct err *e)
{
	(void)e;
	*(struct catalog_snapshot *)arg = *s;
	return 0;
}

static struct seen list(struct frame *f,
			const struct catalog_snapshot_filter filter)
{
	struct seen s = { .n = 0 };

	ok(f, catalog_snapshots(f->c, &filter, see_snapshot, &s, &f->e));
	return s;
}

static void put(struct frame *f, const char *id, const char *source,
		int64_t sec)
{
	const struct catalog_snapshot n = snapshot_of(id, source, sec);

	ok(f, catalog_snapshot_put(f->c, &n, &f->e));
}

START_TEST(snapshots_filter_and_page)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	put(&f, "aa01", "web", 100);
	put(&f, "aa02", "web", 200);
	put(&f, "ab03", "web", 200);
	put(&f, "ff04", "", 300);
	ck_assert_str_eq(
		list(&f,
		     (struct catalog_snapshot_filter){ .repository = "main" })
			.text,
		"ff04 aa02 ab03 aa01");
	ck_assert_str_eq(list(&f,
			      (struct catalog_snapshot_filter){
				      .limit = 1,
				      .after_received = at(200),
				      .after_id = "aa02" })
				 .text,
			 "ab03");
	ck_assert_str_eq(
		list(&f, (struct catalog_snapshot_filter){ .repository = "main",
							   .id_prefix = "aa" })
			.text,
		"aa02 aa01");
	ck_assert_str_eq(
		list(&f, (struct catalog_snapshot_filter){ .source = "" }).text,
		"ff04");
	ck_assert_str_eq(
		list(&f, (struct catalog_snapshot_filter){ .from = at(200),
							   .to = at(300) })
			.text,
		"aa02 ab03");
	ck_assert_int_eq(
		list(&f, (struct catalog_snapshot_filter){ .state = "partial" })
			.n,
		0);
}
END_TEST

START_TEST(scanning_again_takes_nothing_back)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 500);
	const struct catalog_snapshot_filter all = {
		.deleted = CATALOG_WITH_DELETED
	};
	struct catalog_snapshot n = snapshot_of("aa01", "web", 100);

	frame_open(&f);
	n.run = queue_run(&f, 0, 1);
	n.lock_until = at(900);
	ok(&f, catalog_snapshot_put(f.c, &n, &f.e));
	ck_assert_int_eq(catalog_snapshot_deleted(f.c, "main", "aa01", "rule",
						  &who, &f.e),
			 1);
	ck_assert_int_eq(catalog_snapshot_deleted(f.c, "main", "aa01", "rule",
						  &who, &f.e),
			 0);
	n.run = 0;
	n.lock_until = at(800);
	n.files = 77;
	ok(&f, catalog_snapshot_put(f.c, &n, &f.e));
	ok(&f, catalog_snapshots(f.c, &all, copy_snapshot, &n, &f.e));
	ck_assert_int_eq(n.run, 1);
	ck_assert_int_eq(n.lock_until.sec, 900);
	ck_assert_int_eq(n.deleted.sec, 500);
	ck_assert_uint_eq(n.files, 77);
	ck_assert_int_eq(
		list(&f, (struct catalog_snapshot_filter){ .run = 1 }).n, 0);
	ck_assert_int_eq(
		catalog_snapshot_deleted(f.c, "main", "aa01", NULL, &who, &f.e),
		1);
	ck_assert_int_eq(
		list(&f, (struct catalog_snapshot_filter){ .run = 1 }).n, 1);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit"), 2);
	ck_assert_int_eq(
		catalog_snapshot_deleted(f.c, "main", "ee", "x", &who, &f.e),
		-1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	/* What gc has removed cannot come back. */
	ck_assert_int_eq(
		catalog_snapshot_deleted(f.c, "main", "aa01", "x", &who, &f.e),
		1);
	ck_assert_int_eq(
		catalog_snapshot_purged(f.c, "main", "aa01", at(600), &f.e), 1);
	ck_assert_int_eq(
		catalog_snapshot_deleted(f.c, "main", "aa01", NULL, &who, &f.e),
		0);
}
END_TEST

static int see_newest(void *arg, const struct catalog_newest *n, struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%s@%s=%s/%" PRIu64, n->source,
		       n->region, n->snapshot, n->snapshots);
	return see(arg, text);
}

static int see_replica(void *arg, const struct catalog_replica *r,
		       struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%s@%s:%s", r->snapshot, r->region,
		       r->state);
	return see(arg, text);
}

static void copy(struct frame *f, const char *id, const char *region,
		 const char *state)
{
	const struct catalog_replica r = { .repository = "main",
					   .snapshot = id,
					   .region = region,
					   .state = state };

	ok(f, catalog_replica_put(f->c, &r, &f->e));
}

START_TEST(the_newest_copy_per_source_and_region_is_known)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 500);
	struct catalog_replica lost = { .repository = "main",
					.snapshot = "nope",
					.region = "us",
					.state = "complete" };
	struct seen s = { .n = 0 };

	frame_open(&f);
	put(&f, "aa01", "web", 100);
	put(&f, "aa02", "web", 200);
	put(&f, "bb01", "db", 150);
	copy(&f, "aa01", "eu", "complete");
	copy(&f, "aa02", "eu", "complete");
	copy(&f, "aa01", "us", "complete");
	copy(&f, "aa02", "us", "running");
	copy(&f, "bb01", "eu", "complete");
	ok(&f, catalog_newest(f.c, "main", NULL, see_newest, &s, &f.e));
	ck_assert_str_eq(s.text, "db@eu=bb01/1 web@eu=aa02/2 web@us=aa01/1");
	ck_assert_int_eq(
		catalog_snapshot_deleted(f.c, "main", "aa02", "x", &who, &f.e),
		1);
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_newest(f.c, NULL, "web", see_newest, &s, &f.e));
	ck_assert_str_eq(s.text, "web@eu=aa01/1 web@us=aa01/1");
	ck_assert_int_eq(catalog_replica_put(f.c, &lost, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_replicas(f.c,
				&(struct catalog_replica_filter){
					.repository = "main", .region = "us" },
				see_replica, &s, &f.e));
	ck_assert_str_eq(s.text, "aa01@us:complete aa02@us:running");
}
END_TEST

static int see_region(void *arg, const struct catalog_region *r, struct err *e)
{
	(void)e;
	return see(arg, r->region);
}

START_TEST(regions_list_the_primary_first)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 500);
	struct catalog_region r = { .repository = "main",
				    .region = "a",
				    .url = "file:///a" };
	struct seen s = { .n = 0 };

	frame_open(&f);
	ok(&f, catalog_region_put(f.c, &r, &f.e));
	r.region = "z";
	r.primary = true;
	ok(&f, catalog_region_put(f.c, &r, &f.e));
	ok(&f, catalog_regions(f.c, "main", see_region, &s, &f.e));
	ck_assert_str_eq(s.text, "z a");
	ck_assert_int_eq(catalog_region_remove(f.c, "main", "a", &who, &f.e),
			 1);
	ck_assert_int_eq(catalog_region_remove(f.c, "main", "a", &who, &f.e),
			 0);
	/* Its place may be taken again. */
	ok(&f, catalog_region_put(f.c, &r, &f.e));
}
END_TEST

static int copy_drill(void *arg, const struct catalog_drill *d, struct err *e)
{
	(void)e;
	*(struct catalog_drill *)arg = *d;
	return 0;
}

static int see_check(void *arg, const struct catalog_check_row *k,
		     struct err *e)
{
	(void)e;
	return see(arg, k->result);
}

START_TEST(drills_and_checks_are_kept)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_drill d = {
		.drill = "dr", .started = at(10), .rto_ms = -1, .rpo_ms = -1
	};
	struct catalog_check_row k = { .repository = "main",
				       .region = "us",
				       .level = "data",
				       .result = "sound",
				       .started = at(5),
				       .finished = at(6) };
	const struct catalog_drill_filter named = { .drill = "dr" };
	struct seen s = { .n = 0 };
	int64_t id, again;

	frame_open(&f);
	ok(&f, catalog_drill_put(f.c, &d, &id, &f.e));
	d.id = id;
	d.finished = at(20);
	d.passed = true;
	d.rto_ms = 10000;
	ok(&f, catalog_drill_put(f.c, &d, &again, &f.e));
	ck_assert_int_eq(again, id);
	ok(&f, catalog_drills(f.c, &named, copy_drill, &d, &f.e));
	ck_assert(d.passed);
	ck_assert_int_eq(d.rto_ms, 10000);
	ck_assert_int_eq(d.rpo_ms, -1);
	d = (struct catalog_drill){ .id = 99, .started = at(1) };
	ck_assert_int_eq(catalog_drill_put(f.c, &d, &id, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	ok(&f, catalog_check_add(f.c, &k, &id, &f.e));
	k.result = "damaged";
	ok(&f, catalog_check_add(f.c, &k, &id, &f.e));
	ok(&f, catalog_checks(f.c,
			      &(struct catalog_check_filter){
				      .repository = "main", .region = "us" },
			      see_check, &s, &f.e));
	ck_assert_str_eq(s.text, "damaged sound");
}
END_TEST

static int see_decision(void *arg, const struct catalog_decision_row *d,
			struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%s:%s:%" PRId64 "-%" PRId64,
		       d->snapshot, d->outcome, d->first.sec, d->last.sec);
	return see(arg, text);
}

static int see_evaluation(void *arg, const struct catalog_evaluation *v,
			  struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%" PRId64 "%s", v->now.sec,
		       v->inputs_json);
	return see(arg, text);
}

static int64_t evaluate(struct frame *f, int64_t sec, int64_t version,
			const char *a, const char *b)
{
	const struct catalog_evaluation v = { .repository = "main",
					      .source = "web",
					      .policy = "gold",
					      .policy_uid = "p",
					      .policy_version = version,
					      .now = at(sec),
					      .inputs_json = "[1]" };
	const struct catalog_decision d[] = { { .snapshot = "a", .outcome = a },
					      { .snapshot = "b",
						.outcome = b } };
	int64_t id;

	ok(f, catalog_evaluation_add(f->c, &v, d, b ? 2 : 1, &id, &f->e));
	return id;
}

/* A run of the kind Maintenance with that row for that region. */
static int64_t collected(struct frame *f, const char *repository,
			 const char *region, const char *state, int64_t sec)
{
	const struct catalog_run r = { .kind = "Maintenance",
				       .schedule_uid = repository,
				       .schedule = repository,
				       .repository = repository,
				       .queued = at(sec) };
	struct catalog_step s = { .step = "gc",
				  .source = "",
				  .region = region,
				  .state = state,
				  .started = at(sec),
				  .finished = at(sec),
				  .message = state };
	char details[64];

	ok(f, catalog_run_queue(f->c, &r, &s.run, &f->e));
	(void)snprintf(details, sizeof(details), "{\"deleted\":%d}", (int)sec);
	s.details_json = details;
	ok(f, catalog_step_put(f->c, &s, &f->e));
	return s.run;
}

/* A run's snapshot of web, and what it found changed. */
static int64_t drifted(struct frame *f, const char *id, int64_t sec,
		       const char *details)
{
	const struct catalog_run r = { .kind = "Schedule",
				       .schedule_uid = "u",
				       .schedule = "s",
				       .repository = "main",
				       .queued = at(sec) };
	struct catalog_step s = { .step = "snapshot",
				  .source = "web",
				  .state = "succeeded",
				  .started = at(sec),
				  .finished = at(sec),
				  .details_json = details };
	struct catalog_snapshot n = snapshot_of(id, "web", sec);

	ok(f, catalog_run_queue(f->c, &r, &s.run, &f->e));
	n.run = s.run;
	ok(f, catalog_snapshot_put(f->c, &n, &f->e));
	ok(f, catalog_step_put(f->c, &s, &f->e));
	return s.run;
}

START_TEST(the_last_drift_is_found)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_drift d;
	int64_t run;

	frame_open(&f);
	(void)drifted(&f, "aa01", 100,
		      "{\"drift\":{\"added\":1,\"removed\":0,\"changed\":0}}");
	run = drifted(&f, "aa02", 200,
		      "{\"drift\":{\"added\":0,\"removed\":2,\"changed\":3}}");
	(void)drifted(&f, "aa03", 300,
		      "{\"drift\":{\"added\":0,\"removed\":0,\"changed\":0}}");
	(void)drifted(&f, "aa04", 400, "{\"drift\":{\"error\":\"x\"}}");
	(void)drifted(&f, "aa05", 500, "{}");
	ck_assert_int_eq(catalog_drift(f.c, "main", "web", at(50), &d, &f.e),
			 1);
	ck_assert_int_eq(d.run, run);
	ck_assert_int_eq(d.finished.sec, 200);
	ck_assert_uint_eq(d.added, 0);
	ck_assert_uint_eq(d.removed, 2);
	ck_assert_uint_eq(d.changed, 3);
	ck_assert_int_eq(catalog_drift(f.c, "main", "web", at(200), &d, &f.e),
			 0);
	ck_assert_int_eq(catalog_drift(f.c, "main", "db", at(50), &d, &f.e), 0);
	ck_assert_int_eq(catalog_drift(f.c, "other", "web", at(50), &d, &f.e),
			 0);
}
END_TEST

struct collection {
	int64_t run, collected_s;
	char state[16], details[64];
};

static int see_collection(void *arg, const struct catalog_collection *k,
			  struct err *e)
{
	struct collection *x = arg;

	(void)e;
	ck_assert_str_eq(k->message, k->state);
	x->run = k->run;
	x->collected_s = k->collected.sec;
	(void)snprintf(x->state, sizeof(x->state), "%s", k->state);
	(void)snprintf(x->details, sizeof(x->details), "%s", k->details_json);
	return 0;
}

START_TEST(the_last_collection_of_a_region_is_found)
{
	CLEANUP(frame_done) struct frame f;
	struct collection x = { .run = 0 };
	int64_t last;

	frame_open(&f);
	ck_assert_int_eq(catalog_collection_get(f.c, "main", "a",
						see_collection, &x, &f.e),
			 0);
	(void)collected(&f, "main", "a", "succeeded", 100);
	(void)collected(&f, "main", "a", "succeeded", 200);
	/* Others', and one of the run as a whole. */
	(void)collected(&f, "main", "b", "succeeded", 700);
	(void)collected(&f, "other", "a", "succeeded", 800);
	(void)collected(&f, "main", "", "failed", 900);
	last = collected(&f, "main", "a", "failed", 300);
	ok(&f,
	   catalog_collection_get(f.c, "main", "a", see_collection, &x, &f.e));
	ck_assert_int_eq(x.run, last);
	ck_assert_str_eq(x.state, "failed");
	ck_assert_int_eq(x.collected_s, 200);
	ck_assert_str_eq(x.details, "{\"deleted\":200}");
	(void)collected(&f, "main", "c", "failed", 100);
	ok(&f,
	   catalog_collection_get(f.c, "main", "c", see_collection, &x, &f.e));
	ck_assert_int_eq(x.collected_s, 0);
	ck_assert_str_eq(x.details, "");
}
END_TEST

START_TEST(decisions_that_repeat_are_prolonged)
{
	CLEANUP(frame_done) struct frame f;
	struct seen s = { .n = 0 };
	int64_t second;

	frame_open(&f);
	(void)evaluate(&f, 100, 1, "keep", "keep");
	second = evaluate(&f, 200, 1, "keep", "delete");
	(void)evaluate(&f, 300, 1, "keep", NULL);
	(void)evaluate(&f, 400, 1, "keep", "delete");
	(void)evaluate(&f, 500, 2, "keep", "delete");
	ok(&f, catalog_decisions_of(f.c, "main", "a", see_decision, &s, &f.e));
	ck_assert_str_eq(s.text, "a:keep:100-400 a:keep:500-500");
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_decisions_of(f.c, "main", "b", see_decision, &s, &f.e));
	/* It was not decided about at 300: that is not "still so". */
	ck_assert_str_eq(s.text, "b:keep:100-100 b:delete:200-200 "
				 "b:delete:400-400 b:delete:500-500");
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_decisions(f.c, second, see_decision, &s, &f.e));
	ck_assert_str_eq(s.text, "a:keep:100-400 b:delete:200-200");
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM inputs"), 1);
	s = (struct seen){ .n = 0 };
	ok(&f,
	   catalog_evaluations(f.c,
			       &(struct catalog_evaluation_filter){
				       .newest_only = true, .as_of = at(350) },
			       see_evaluation, &s, &f.e));
	ck_assert_str_eq(s.text, "300[1]");
}
END_TEST

static int see_shortening(void *arg, const struct catalog_shortening *s,
			  struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%" PRId64 ":%s:%" PRIu64,
		       s->due.sec, s->state, s->snapshots);
	return see(arg, text);
}

static int see_id(void *arg, const char *id, struct err *e)
{
	(void)e;
	return see(arg, id);
}

START_TEST(a_shortening_keeps_the_earlier_date)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 500);
	const struct catalog_shortening_filter all = { .policy = "gold" };
	struct catalog_shortening h = { .repository = "main",
					.source = "web",
					.policy = "gold",
					.cause = "c",
					.actor = "root",
					.shown = at(10),
					.due = at(100) };
	const char *const first[] = { "a", "b" };
	const char *const second[] = { "b", "c" };
	struct seen s = { .n = 0 };
	uint64_t count;
	int64_t id, later;

	frame_open(&f);
	ck_assert_int_eq(catalog_shortening_add(f.c, &h, first, 2, &id, &f.e),
			 1);
	h.due = at(200);
	ck_assert_int_eq(
		catalog_shortening_add(f.c, &h, second, 2, &later, &f.e), 1);
	ck_assert_int_eq(
		catalog_shortening_add(f.c, &h, first, 2, &later, &f.e), 0);
	ok(&f, catalog_shortenings(f.c, &all, see_shortening, &s, &f.e));
	ck_assert_str_eq(s.text, "100:waiting:2 200:waiting:1");
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_shortening_snapshots(f.c, later, see_id, &s, &f.e));
	ck_assert_str_eq(s.text, "c");
	ck_assert_int_eq(catalog_shortening_applied(f.c, id, &who, &f.e), 1);
	ck_assert_int_eq(catalog_shortening_applied(f.c, id, &who, &f.e), 0);
	ok(&f, catalog_shortening_cancel(f.c, "gold", &who, &count, &f.e));
	ck_assert_uint_eq(count, 1);
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_shortenings(f.c, &all, see_shortening, &s, &f.e));
	ck_assert_str_eq(s.text, "100:applied:2 200:cancelled:1");
	/* A cancelled one no longer stands in the way. */
	ck_assert_int_eq(
		catalog_shortening_add(f.c, &h, second, 2, &later, &f.e), 1);
}
END_TEST

static int see_hold(void *arg, const struct catalog_hold *h, struct err *e)
{
	(void)e;
	return see(arg, h->id);
}

START_TEST(a_released_hold_stays_released)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 500);
	struct catalog_hold h = { .repository = "main",
				  .id = "h1",
				  .source = "web",
				  .matter = "case 7",
				  .custodian = "legal",
				  .placed = at(10) };
	struct seen s = { .n = 0 };

	frame_open(&f);
	ok(&f, catalog_hold_put(f.c, &h, &who, &f.e));
	ok(&f, catalog_hold_put(f.c, &h, &who, &f.e));
	ok(&f, catalog_holds(f.c, NULL, true, see_hold, &s, &f.e));
	ck_assert_str_eq(s.text, "h1");
	h.released = at(20);
	ok(&f, catalog_hold_put(f.c, &h, &who, &f.e));
	h.released = at(0);
	ok(&f, catalog_hold_put(f.c, &h, &who, &f.e));
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_holds(f.c, "main", true, see_hold, &s, &f.e));
	ck_assert_int_eq(s.n, 0);
	ok(&f, catalog_holds(f.c, "main", false, see_hold, &s, &f.e));
	ck_assert_str_eq(s.text, "h1");
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit"), 2);
}
END_TEST

/* Whoever did it by name told so at once, and is not told a second time. */
START_TEST(a_hold_that_was_told_is_recorded_once)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor ann = by("ann", 500);
	const struct catalog_actor daemon = by("snapctld", 600);
	struct catalog_hold h = { .repository = "main",
				  .id = "h1",
				  .snapshots_json = "[\"a\",\"b\"]",
				  .matter = "case 7",
				  .placed = at(10) };

	frame_open(&f);
	ok(&f, catalog_audit_add(f.c, &ann, "hold.add", "h1", NULL, &f.e));
	ok(&f, catalog_hold_put(f.c, &h, &daemon, &f.e));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit"), 1);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM holds WHERE "
					 "snapshots = '[\"a\",\"b\"]'"),
			 1);
	h.released = at(20);
	ok(&f, catalog_hold_put(f.c, &h, &daemon, &f.e));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit WHERE "
					 "actor = 'snapctld' AND action = "
					 "'hold.release'"),
			 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, the_last_drift_is_found);
	tcase_add_test(tc, snapshots_filter_and_page);
	tcase_add_test(tc, scanning_again_takes_nothing_back);
	tcase_add_test(tc, the_newest_copy_per_source_and_region_is_known);
	tcase_add_test(tc, regions_list_the_primary_first);
	tcase_add_test(tc, drills_and_checks_are_kept);
	tcase_add_test(tc, decisions_that_repeat_are_prolonged);
	tcase_add_test(tc, the_last_collection_of_a_region_is_found);
	tcase_add_test(tc, a_shortening_keeps_the_earlier_date);
	tcase_add_test(tc, a_released_hold_stays_released);
	tcase_add_test(tc, a_hold_that_was_told_is_recorded_once);
}
CHECK_MAIN("service/catalog keep", cases)
