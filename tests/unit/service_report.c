/* Reports on a seeded catalog, as JSON. */
#include "service/report.h"
#include "tests/support/check_main.h"
#include "tests/support/report_frame.h"

#define NOW 2000000

static void reply_of(struct frame *f, const char *verb, const char *from,
		     const char *to, struct buf *out)
{
	(void)report_reply(f, verb, NOW,
			   (const char *const[]){ from ? "from" : "", from,
						  to ? "to" : "", to, NULL },
			   out);
}

static void report(struct frame *f, const char *verb, const char *from,
		   const char *to, const char *expected)
{
	struct buf out;

	reply_of(f, verb, from, to, &out);
	ck_assert_str_eq(buf_str(&out), expected);
	report_columns(operation_named(verb)->csv, buf_str(&out));
	buf_done(&out);
}

static void note(struct frame *f, int64_t sec,
		 enum catalog_occurrence_state state, const char *reason)
{
	struct catalog_occurrence o = occurrence_at(sec);
	int64_t id;

	o.state = state;
	o.reason = reason;
	ok(f, catalog_occurrence_note(f->c, &o, &id, &f->e));
}

START_TEST(runs_are_every_expected_one)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	report(&f, "report runs", NULL, NULL, "[]");
	note(&f, 86400, CATALOG_MISSED, "the daemon was down");
	note(&f, 172800, CATALOG_SKIPPED, "blackout");
	/* From counts, to does not. */
	report(&f, "report runs", "1970-01-02T00:00:00Z",
	       "1970-01-03T00:00:00Z",
	       "[{\"occurrence\":\"1970-01-02T00:00:00Z\",\"kind\":"
	       "\"Schedule\",\"schedule\":\"nightly\",\"sources\":[\"web\","
	       "\"db\"],\"state\":\"missed\",\"lateness_seconds\":0.000,"
	       "\"started\":null,\"finished\":\"1970-01-02T00:00:05Z\","
	       "\"attempts\":0,\"message\":\"the daemon was down\"}]");
	report(&f, "report runs", "1970-01-03T00:00:01Z", NULL, "[]");
}
END_TEST

START_TEST(retention_tells_why)
{
	CLEANUP(frame_done) struct frame f;
	static const char kept[] = "11111111111111111111111111111111";
	static const char gone[] = "22222222222222222222222222222222";
	struct catalog_snapshot s = snapshot_of(kept, "web", 100000);
	const struct catalog_evaluation v = { .repository = "main",
					      .source = "web",
					      .region = "eu",
					      .policy = "gold",
					      .policy_uid = "p1",
					      .policy_version = 3,
					      .now = at(150000),
					      .actor = "snapctld",
					      .inputs_json = "{}" };
	const struct catalog_decision d = {
		.snapshot = kept,
		.outcome = "keep",
		.reasons_json = "[{\"rule\":\"keep-daily\",\"bucket\":"
				"\"1970-01-02\"}]"
	};
	const struct catalog_actor actor = by("snapctld", 160000);
	int64_t id;

	frame_open(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	s = snapshot_of(gone, "web", 90000);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	ok(&f, catalog_evaluation_add(f.c, &v, &d, 1, &id, &f.e));
	ok(&f, catalog_snapshot_deleted(f.c, "main", gone, "no rule keeps it",
					&actor, &f.e));
	report(&f, "report retention", NULL, NULL,
	       "[{\"snapshot\":\"11111111111111111111111111111111\","
	       "\"repository\":\"main\",\"source\":\"web\",\"received\":"
	       "\"1970-01-02T03:46:40Z\",\"completeness\":\"complete\","
	       "\"state\":\"kept\",\"reasons\":[\"keep-daily 1970-01-02\"],"
	       "\"regions\":[\"eu\"],\"policy\":\"gold\",\"policy_version\":3,"
	       "\"decided\":\"1970-01-02T17:40:00Z\",\"deleted\":null,"
	       "\"purged\":null,\"lock_until\":null},"
	       "{\"snapshot\":\"22222222222222222222222222222222\","
	       "\"repository\":\"main\",\"source\":\"web\",\"received\":"
	       "\"1970-01-02T01:00:00Z\",\"completeness\":\"complete\","
	       "\"state\":\"deleted\",\"reasons\":[\"no rule keeps it\"],"
	       "\"regions\":[],\"policy\":null,\"policy_version\":null,"
	       "\"decided\":null,\"deleted\":\"1970-01-02T20:26:40Z\","
	       "\"purged\":null,\"lock_until\":null}]");
}
END_TEST

static void held(struct frame *f, const char *told)
{
	struct buf out;

	reply_of(f, "report retention", NULL, NULL, &out);
	ck_assert_msg(strstr(buf_str(&out), told), "no %s in %s", told,
		      buf_str(&out));
	buf_done(&out);
}

START_TEST(retention_tells_the_cases_of_holds)
{
	CLEANUP(frame_done) struct frame f;
	static const char id[] = "11111111111111111111111111111111";
	struct catalog_snapshot s = snapshot_of(id, "web", 100000);
	const struct catalog_actor who = by("snapctld", 160000);
	struct catalog_hold one = { .repository = "main",
				    .id = "h1",
				    .snapshots_json =
					    "[\"00\",\"11111111111111111111111"
					    "111111111\"]",
				    .matter = "A 1",
				    .custodian = "ann",
				    .by = "root@box",
				    .placed = at(110000) };
	struct catalog_hold all = { .repository = "main",
				    .id = "h2",
				    .source = "web",
				    .matter = "B",
				    .by = "root@box",
				    .placed = at(120000) };
	const struct catalog_hold other = { .repository = "main",
					    .id = "h3",
					    .source = "db",
					    .matter = "C",
					    .by = "root@box",
					    .placed = at(120000) };

	frame_open(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	ok(&f, catalog_hold_put(f.c, &one, &who, &f.e));
	ok(&f, catalog_hold_put(f.c, &all, &who, &f.e));
	ok(&f, catalog_hold_put(f.c, &other, &who, &f.e));
	held(&f, "\"reasons\":[\"hold A 1 (ann)\",\"hold B\",");
	all.released = at(130000);
	ok(&f, catalog_hold_put(f.c, &all, &who, &f.e));
	held(&f, "\"reasons\":[\"hold A 1 (ann)\",\"no policy");
	one.released = at(130000);
	ok(&f, catalog_hold_put(f.c, &one, &who, &f.e));
	held(&f, "\"reasons\":[\"no policy");
}
END_TEST

static void apply(struct frame *f, const char *kind, const char *name,
		  const char *spec)
{
	const struct catalog_document d = { .kind = kind,
					    .name = name,
					    .spec_json = spec };
	const struct catalog_actor who = by("root", 1000);
	struct catalog_applied applied = { 0 };

	ok(f, catalog_apply(f->c, &d, 1, &who, &applied, &f->e));
	catalog_applied_done(&applied, 1);
}

START_TEST(coverage_and_drills_tell_what_is_missing)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_snapshot s = snapshot_of(
		"11111111111111111111111111111111", "web", NOW - 7200);

	frame_open(&f);
	apply(&f, "Repository", "main",
	      "{\"keyFile\":\"k\",\"regions\":[{\"name\":\"eu\",\"url\":"
	      "\"file:///eu\"}]}");
	apply(&f, "Source", "web", "{\"type\":\"files\",\"paths\":[\"/w\"]}");
	apply(&f, "Source", "lost", "{\"type\":\"files\",\"paths\":[\"/l\"]}");
	apply(&f, "Schedule", "nightly",
	      "{\"cron\":\"0 1 * * *\",\"sources\":{\"names\":[\"web\"]},"
	      "\"repository\":\"main\",\"rpo\":\"1h\"}");
	apply(&f, "Drill", "weekly",
	      "{\"cron\":\"0 6 * * SUN\",\"schedule\":\"nightly\"}");
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	report(&f, "report coverage", NULL, NULL,
	       "[{\"source\":\"lost\",\"schedule\":null,\"repository\":null,"
	       "\"state\":\"unprotected\",\"last_success\":null,"
	       "\"age_seconds\":null,\"rpo_seconds\":null,\"rpo_met\":null,"
	       "\"regions\":[],\"last_verified\":null,\"guarded\":null,"
	       "\"guards_asked\":null,\"last_proven\":null,"
	       "\"expected\":0,\"succeeded\":0,\"message\":\"no schedule takes "
	       "this source\"},"
	       "{\"source\":\"web\",\"schedule\":\"nightly\",\"repository\":"
	       "\"main\",\"state\":\"late\",\"last_success\":"
	       "\"1970-01-24T01:33:20Z\",\"age_seconds\":7200.000,"
	       "\"rpo_seconds\":3600.000,\"rpo_met\":false,\"regions\":[],"
	       "\"last_verified\":null,\"guarded\":null,\"guards_asked\":null,"
	       "\"last_proven\":null,\"expected\":0,"
	       "\"succeeded\":0,\"message\":\"the newest complete snapshot is "
	       "2h old, the target is 1h\"}]");
	report(&f, "report drills", NULL, NULL,
	       "[{\"drill\":\"weekly\",\"schedule\":\"nightly\",\"region\":"
	       "null,\"state\":\"never-run\",\"last_proven\":null,"
	       "\"last_done\":null,\"id\":null,\"snapshot\":null,"
	       "\"rto_seconds\":null,\"rto_target_seconds\":null,"
	       "\"rpo_seconds\":null,\"rpo_target_seconds\":null,\"done\":0,"
	       "\"failed\":0,\"message\":\"it was not done in this time\"}]");
}
END_TEST

/* The row of web in the coverage report. */
static void coverage_of_web(struct frame *f, const char *to,
			    const char *const told[])
{
	struct buf out;
	const char *row;

	reply_of(f, "report coverage", NULL, to, &out);
	row = strstr(buf_str(&out), "{\"source\":\"web\"");
	ck_assert_ptr_nonnull(row);
	for (; *told; told++)
		ck_assert_msg(strstr(row, *told), "no %s in %s", *told, row);
	buf_done(&out);
}

static void declare_two_regions(struct frame *f)
{
	apply(f, "Repository", "main",
	      "{\"keyFile\":\"k\",\"regions\":[{\"name\":\"eu\",\"url\":"
	      "\"file:///eu\"},{\"name\":\"us\",\"url\":\"file:///us\"}]}");
	apply(f, "Source", "web", "{\"type\":\"files\",\"paths\":[\"/w\"]}");
	apply(f, "Schedule", "nightly",
	      "{\"cron\":\"0 1 * * *\",\"sources\":{\"names\":[\"web\"]},"
	      "\"repository\":\"main\",\"rpo\":\"1h\","
	      "\"replicateTo\":[\"us\"]}");
	apply(f, "Drill", "weekly",
	      "{\"cron\":\"0 6 * * SUN\",\"schedule\":\"nightly\"}");
}

static void copied(struct frame *f, const char *region, const char *id,
		   const char *state, int64_t sec)
{
	const struct catalog_replica x = { .repository = "main",
					   .snapshot = id,
					   .region = region,
					   .state = state,
					   .completed = at(sec),
					   .message = "" };

	ok(f, catalog_replica_put(f->c, &x, &f->e));
}

static void checked(struct frame *f, const char *region, int64_t sec,
		    const char *details)
{
	const struct catalog_check_row k = { .repository = "main",
					     .region = region,
					     .snapshot = "",
					     .level = "data",
					     .result = "sound",
					     .started = at(sec),
					     .finished = at(sec + 1),
					     .details_json = details };
	int64_t id;

	ok(f, catalog_check_add(f->c, &k, &id, &f->e));
}

static void drilled(struct frame *f, const char *schedule, int64_t sec,
		    const char *evidence)
{
	const struct catalog_drill d = { .drill = "weekly",
					 .schedule = schedule,
					 .repository = "main",
					 .region = "us",
					 .source = "web, db",
					 .snapshot = "",
					 .started = at(sec - 10),
					 .finished = at(sec),
					 .passed = true,
					 .rto_ms = -1,
					 .rpo_ms = -1,
					 .evidence_json = evidence,
					 .message = "" };
	int64_t id;

	ok(f, catalog_drill_put(f->c, &d, &id, &f->e));
}

/* Another schedule's drill, another source, a part of it: no proof of web. */
START_TEST(a_proof_is_what_the_evidence_names)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	declare_two_regions(&f);
	drilled(&f, "other", NOW - 500,
		"{\"snapshots\":[{\"source\":\"web\",\"state\":"
		"\"complete\"}]}");
	drilled(&f, "nightly", NOW - 400,
		"{\"snapshots\":[{\"source\":\"db\",\"state\":"
		"\"complete\"}]}");
	drilled(&f, "nightly", NOW - 300,
		"{\"snapshots\":[{\"source\":\"web\",\"state\":"
		"\"partial\"}]}");
	coverage_of_web(&f, NULL,
			(const char *const[]){ "\"last_proven\":null", NULL });
	drilled(&f, "nightly", NOW - 3600,
		"{\"snapshots\":[{\"source\":\"web\",\"state\":"
		"\"complete\"}]}");
	coverage_of_web(
		&f, NULL,
		(const char *const[]){
			"\"last_proven\":\"1970-01-24T02:33:20Z\"", NULL });
}
END_TEST

/* What its stores said of locks, in whichever of its regions that is bad. */
START_TEST(coverage_tells_what_guards_it)
{
	CLEANUP(frame_done) struct frame f;
	static const char id[] = "33333333333333333333333333333333";
	struct catalog_snapshot s = snapshot_of(id, "web", NOW - 1000);

	frame_open(&f);
	declare_two_regions(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "eu", id, "complete", NOW - 900);
	copied(&f, "us", id, "complete", NOW - 900);
	checked(&f, "eu", NOW - 800, "{\"region\":\"eu\"}");
	coverage_of_web(&f, NULL,
			(const char *const[]){ "\"guarded\":null",
					       "\"guards_asked\":null",
					       "\"message\":\"\"", NULL });
	checked(&f, "eu", NOW - 700,
		"{\"object_lock\":{\"snapshots\":1,\"short\":0}}");
	checked(&f, "us", NOW - 600,
		"{\"object_lock\":{\"snapshots\":1,\"short\":0}}");
	checked(&f, "eu", NOW - 550, "{\"region\":\"eu\"}");
	coverage_of_web(&f, NULL,
			(const char *const[]){
				"\"guarded\":true",
				"\"guards_asked\":\"1970-01-24T03:21:40Z\"",
				NULL });
	checked(&f, "us", NOW - 500,
		"{\"object_lock\":{\"snapshots\":1,\"short\":2}}");
	coverage_of_web(&f, NULL,
			(const char *const[]){
				"\"state\":\"protected\"", "\"guarded\":false",
				"\"message\":\"region us: its store guards 2 "
				"objects too briefly",
				NULL });
	/* As it was then. */
	coverage_of_web(&f, "1970-01-24T03:24:00Z", /* NOW - 560 */
			(const char *const[]){ "\"guarded\":true", NULL });
	checked(&f, "us", NOW - 400,
		"{\"object_lock\":{\"error\":\"it is denied\"}}");
	coverage_of_web(&f, NULL,
			(const char *const[]){ "\"guarded\":false",
					       "asked: it is denied\"", NULL });
}
END_TEST

/* What was there at the time is judged, not what retention left of it. */
START_TEST(coverage_looks_back)
{
	CLEANUP(frame_done) struct frame f;
	static const char gone[] = "22222222222222222222222222222222";
	const struct catalog_actor actor = by("snapctld", NOW - 100);
	struct catalog_snapshot s = snapshot_of(gone, "web", NOW - 9000);

	frame_open(&f);
	declare_two_regions(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "us", gone, "gone", NOW - 8900);
	ok(&f, catalog_snapshot_deleted(f.c, "main", gone, "no rule keeps it",
					&actor, &f.e));
	coverage_of_web(&f, "1970-01-24T01:33:20Z", /* NOW - 7200 */
			(const char *const[]){ "\"state\":\"protected\"",
					       "\"rpo_met\":true",
					       "\"regions\":[\"us\"]", NULL });
	coverage_of_web(&f, NULL,
			(const char *const[]){ "\"state\":\"never-succeeded\"",
					       "\"rpo_met\":false", NULL });
}
END_TEST

static void status_tells(struct frame *f, const char *what)
{
	struct buf out;

	reply_of(f, "status", NULL, NULL, &out);
	ck_assert_msg(strstr(buf_str(&out), what), "no %s in %s", what,
		      buf_str(&out));
	buf_done(&out);
}

START_TEST(a_region_that_is_behind_misses_the_target)
{
	CLEANUP(frame_done) struct frame f;
	static const char old[] = "33333333333333333333333333333333";
	static const char young[] = "44444444444444444444444444444444";
	struct catalog_snapshot s = snapshot_of(old, "web", NOW - 7200);

	frame_open(&f);
	declare_two_regions(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "us", old, "complete", NOW - 7100);
	s = snapshot_of(young, "web", NOW - 600);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "eu", young, "complete", NOW - 600);
	coverage_of_web(&f, NULL,
			(const char *const[]){
				"\"state\":\"late\"", "\"rpo_met\":false",
				"\"message\":\"region us has no complete copy "
				"younger than 1h, the target\"",
				NULL });
	status_tells(&f, "web: the newest copy in region us is 2h old, 1h is "
			 "the target");
	copied(&f, "us", young, "complete", NOW - 500);
	status_tells(&f, "everything is protected");
	coverage_of_web(&f, NULL,
			(const char *const[]){ "\"state\":\"protected\"",
					       "\"rpo_met\":true", NULL });
}
END_TEST

static void status_is_silent_about(struct frame *f, const char *what)
{
	struct buf out;

	reply_of(f, "status", NULL, NULL, &out);
	ck_assert_msg(!strstr(buf_str(&out), what), "%s in %s", what,
		      buf_str(&out));
	buf_done(&out);
}

static void evaluated(struct frame *f, const char *region, const char *summary)
{
	const struct catalog_evaluation v = { .repository = "main",
					      .source = "web",
					      .region = region,
					      .policy = "gold",
					      .policy_uid = "p1",
					      .policy_version = 1,
					      .now = at(NOW - 60),
					      .actor = "snapctld",
					      .inputs_json = "{}",
					      .summary_json = summary };
	int64_t id;

	ok(f, catalog_evaluation_add(f->c, &v, NULL, 0, &id, &f->e));
}

/* What stands between the rules and a deletion is seen without looking for
 * it, as long as it does. */
START_TEST(what_was_held_back_is_told)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_region eu = { .repository = "main",
					   .region = "eu",
					   .url = "file:///eu",
					   .primary = true,
					   .seen_ok = at(NOW),
					   .message = "" };
	struct catalog_region us = eu;
	struct catalog_snapshot s = snapshot_of(
		"33333333333333333333333333333333", "web", NOW - 600);
	const char *const listed[] = { s.id };
	const struct catalog_shortening change = { .repository = "main",
						   .source = "web",
						   .policy = "gold",
						   .cause = "policy gold "
							    "version 1 → 2",
						   .actor = "snapctld",
						   .shown = at(NOW),
						   .due = at(NOW + 86400) };
	int64_t id;

	frame_open(&f);
	declare_two_regions(&f);
	us.region = "us";
	us.primary = false;
	ok(&f, catalog_region_put(f.c, &eu, &f.e));
	ok(&f, catalog_region_put(f.c, &us, &f.e));
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "eu", s.id, "complete", NOW - 500);
	copied(&f, "us", s.id, "complete", NOW - 500);
	evaluated(&f, "eu", "{\"keep\":3,\"floor-blocked\":2}");
	evaluated(&f, "us", "{\"keep\":3,\"held-by-budget\":1}");
	status_tells(&f, "\"held_back\":[{\"source\":\"web\",\"repository\":"
			 "\"main\",\"region\":\"eu\",\"floor_blocked\":2,"
			 "\"held_by_budget\":0,");
	status_tells(&f, "web: floor-blocked: 2 snapshots in region eu that no "
			 "rule keeps stay, for too few snapshots");
	status_tells(&f, "web: held-by-budget: 1 snapshot in region us that "
			 "no rule keeps stays for now");
	status_tells(&f, "protected, but not all is well");
	/* A budget alone is no alarm. */
	evaluated(&f, "eu", "{\"keep\":5}");
	status_tells(&f, "everything is protected");
	status_is_silent_about(&f, "floor-blocked");
	evaluated(&f, "us", "{\"keep\":5}");
	status_tells(&f, "\"held_back\":[],\"problems\":[]");
	ck_assert_int_eq(
		catalog_shortening_add(f.c, &change, listed, 1, &id, &f.e), 1);
	status_tells(&f, "web: a change (policy gold version 1 → 2) lets go of "
			 "1 snapshot, which may be deleted from "
			 "1970-01-25T03:33:20Z on");
	status_tells(&f, "everything is protected");
}
END_TEST

/* What is not well is told, each thing, also before anything ran. */
START_TEST(what_waits_for_its_first_run_is_told)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_snapshot s = snapshot_of(
		"33333333333333333333333333333333", "web", NOW - 600);

	frame_open(&f);
	declare_two_regions(&f);
	status_tells(&f, "\"summary\":\"1 of 1 sources wait for their first "
			 "run\"");
	status_tells(&f, "\"problems\":[{\"message\":\"nightly: nothing has "
			 "run yet; first run at 1970-01-25T01:00:00Z\"");
	apply(&f, "Source", "db", "{\"type\":\"files\",\"paths\":[\"/d\"]}");
	status_tells(&f, "\"summary\":\"1 of 2 sources are not protected\"");
	status_tells(&f, "db: no schedule takes this source");
	apply(&f, "Schedule", "nightly",
	      "{\"cron\":\"0 1 * * *\",\"sources\":{\"names\":[\"web\",\"db\"]},"
	      "\"repository\":\"main\"}");
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "eu", s.id, "complete", NOW - 600);
	status_tells(&f, "\"summary\":\"1 of 2 sources wait for their first "
			 "run\"");
}
END_TEST

static int keep_uid(void *arg, const struct catalog_resource *r,
		    struct err *e UNUSED)
{
	struct catalog_uid *uid = arg;

	(void)snprintf(uid->s, sizeof(uid->s), "%s", r->uid);
	return 0;
}

/* As `run start` or `drill run` does, and what became of it. */
static void run_by_hand(struct frame *f, const char *kind, const char *name,
			enum catalog_run_state state)
{
	struct catalog_uid uid;
	const struct catalog_run r = { .kind = kind,
				       .schedule_uid = uid.s,
				       .schedule = name,
				       .repository = "main",
				       .sources_json = "[\"web\"]",
				       .queued = at(NOW - 100),
				       .requested_by = "root" };
	const struct catalog_actor who = by("root", NOW - 100);
	int64_t id;

	ck_assert_int_eq(
		catalog_resource_get(f->c, kind, name, keep_uid, &uid, &f->e),
		1);
	ok(f, catalog_run_ask(f->c, &r, &who, &id, &f->e));
	ck_assert_int_eq(claim_run(f, id, NOW - 90), CATALOG_CLAIMED);
	ck_assert_int_eq(end_run(f, id, state, NOW - 80, 0), 1);
}

START_TEST(a_failure_by_hand_is_told_until_a_success)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_snapshot s = snapshot_of(
		"33333333333333333333333333333333", "web", NOW - 600);

	frame_open(&f);
	declare_two_regions(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "us", s.id, "complete", NOW - 500);
	status_tells(&f, "everything is protected");
	run_by_hand(&f, "Schedule", "nightly", CATALOG_RUN_FAILED);
	status_tells(&f, "nightly: the last run by hand failed: m");
	status_tells(&f, "snapctl run show 1");
	status_tells(&f, "protected, but not all is well");
	/* One that was called off tells nothing, either way. */
	run_by_hand(&f, "Schedule", "nightly", CATALOG_RUN_CANCELLED);
	status_tells(&f, "nightly: the last run by hand failed: m");
	run_by_hand(&f, "Drill", "weekly", CATALOG_RUN_FAILED);
	run_by_hand(&f, "Schedule", "nightly", CATALOG_RUN_SUCCEEDED);
	status_is_silent_about(&f, "nightly: the last run by hand");
	status_tells(&f, "weekly: the last run by hand failed: m");
	run_by_hand(&f, "Drill", "weekly", CATALOG_RUN_SUCCEEDED);
	status_tells(&f, "everything is protected");
	status_is_silent_about(&f, "by hand");
}
END_TEST

/* It does not change the policy, and must not let anyone believe so. */
START_TEST(cancelling_says_what_it_does_not_do)
{
	CLEANUP(frame_done) struct frame f;
	CLEANUP(args_free) struct args *args = NULL;
	CLEANUP(buf_done) struct buf out;
	static const char *const listed[] = {
		"33333333333333333333333333333333"
	};
	const struct catalog_shortening shortening = {
		.repository = "main",
		.source = "web",
		.policy = "gold",
		.cause = "policy gold version 1 → 2",
		.actor = "snapctld",
		.shown = at(NOW - 100),
		.due = at(NOW + 100),
	};
	const struct catalog_snapshot s = snapshot_of(listed[0], "web",
						      NOW - 600);
	const struct operation *op = operation_named("policy cancel");
	struct json j;
	int64_t id;

	frame_open(&f);
	buf_init(&out, 1 << 20);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	ok(&f, catalog_shortening_add(f.c, &shortening, listed, 1, &id, &f.e));
	ok(&f, args_new(&args, op, &f.e));
	ok(&f, args_add_str(args, "name", "gold", &f.e));
	ok(&f, args_finish(args, &f.e));
	json_init(&j, json_to_buf, &out);
	ok(&f, op->run(&(struct operation_call){ .operation = op,
						 .catalog = f.c,
						 .args = args,
						 .reply = &j,
						 .now = at(NOW) },
		       &f.e));
	ok(&f, json_finish(&j, &f.e));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"cancelled\":1"));
	ck_assert_ptr_nonnull(
		strstr(buf_str(&out), "the policy itself is unchanged"));
}
END_TEST

/* That it failed is one thing, that the target is missed since is another. */
START_TEST(a_miss_does_not_hide_that_all_is_late)
{
	CLEANUP(frame_done) struct frame f;
	static const char old[] = "33333333333333333333333333333333";
	struct catalog_snapshot s = snapshot_of(old, "web", NOW - 7200);
	struct catalog_occurrence o = occurrence_at(NOW - 60);
	struct catalog_uid uid;
	int64_t id;

	frame_open(&f);
	declare_two_regions(&f);
	ok(&f, catalog_snapshot_put(f.c, &s, &f.e));
	copied(&f, "us", old, "complete", NOW - 7100);
	copied(&f, "eu", old, "complete", NOW - 7200);
	ck_assert_int_eq(catalog_resource_get(f.c, "Schedule", "nightly",
					      keep_uid, &uid, &f.e),
			 1);
	o.schedule_uid = uid.s;
	o.state = CATALOG_MISSED;
	ok(&f, catalog_occurrence_note(f.c, &o, &id, &f.e));
	status_tells(&f, "nightly: the last run was missed");
	status_tells(&f, "\"state\":\"failed\"");
	status_tells(&f,
		     "web: the newest snapshot is 2h old, 1h is the target");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, runs_are_every_expected_one);
	tcase_add_test(tc, retention_tells_why);
	tcase_add_test(tc, retention_tells_the_cases_of_holds);
	tcase_add_test(tc, coverage_and_drills_tell_what_is_missing);
	tcase_add_test(tc, a_proof_is_what_the_evidence_names);
	tcase_add_test(tc, coverage_looks_back);
	tcase_add_test(tc, coverage_tells_what_guards_it);
	tcase_add_test(tc, a_region_that_is_behind_misses_the_target);
	tcase_add_test(tc, what_was_held_back_is_told);
	tcase_add_test(tc, what_waits_for_its_first_run_is_told);
	tcase_add_test(tc, cancelling_says_what_it_does_not_do);
	tcase_add_test(tc, a_failure_by_hand_is_told_until_a_success);
	tcase_add_test(tc, a_miss_does_not_hide_that_all_is_late);
}

CHECK_MAIN("service/report", cases)
