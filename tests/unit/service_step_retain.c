/* The step "retain", on real small repositories, without a daemon. */
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/seam.h"
#include "storage/repository/deletion.h"
#include "storage/snapshot.h"
#include "storage/sources/files.h"
#include "tests/support/check_main.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };
#define START 1700000000

static int64_t today;

/* A run at that second; its state. */
static enum run_state run_at(struct run_frame *t, int64_t second)
{
	enum run_state state;
	int64_t id;

	today = second;
	run_clock(t, today);
	id = run_attempt(t, 0);
	state = run_do(t, id);
	(void)end_run(&t->f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
		      CATALOG_SUCCEEDED);
	return state;
}

/* On the next day. */
static enum run_state night(struct run_frame *t)
{
	return run_at(t, today + DAY);
}

static void nights(struct run_frame *t, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(night(t), RUN_SUCCEEDED);
}

static void begin(struct run_frame *t, const char *policy)
{
	today = START;
	run_open(t);
	run_apply(t, "Policy", "gold", NULL, policy);
}

START_TEST(lets_go_of_the_oldest)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":3}}");
	nights(&t, 5);
	ck_assert_int_eq(run_counts(&t, "a").live, 3);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 2);
	/* The catalog agrees, and has an audit record and a reason of each. */
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM snapshots "
					   "WHERE deleted_us IS NOT NULL AND "
					   "deleted_reason = 'policy gold'"),
			 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM replicas "
					   "WHERE state = 'gone'"),
			 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM audit WHERE "
					   "action = 'copy.delete'"),
			 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM audit WHERE "
					   "action = 'snapshot.delete'"),
			 2);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM evaluations WHERE "
				  "policy = 'gold' AND policy_version = 1 AND "
				  "region = 'a' AND source = 'web'"),
		5);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'delete'"),
			 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM shortenings"),
			 0);
}
END_TEST

START_TEST(an_empty_rule_set_keeps_everything)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{}}");
	nights(&t, 5);
	ck_assert_int_eq(run_counts(&t, "a").live, 5);
}
END_TEST

START_TEST(a_selector_that_matches_nothing_deletes_nothing)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	nights(&t, 1);
	run_apply(&t, "Source", "web", "{\"tier\":\"godl\"}",
		  "{\"type\":\"files\",\"paths\":[\"/nowhere\"]}");
	/* Nor can they be verified. */
	ck_assert_int_eq(night(&t), RUN_FAILED);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
}
END_TEST

/* A snapshot as `snapctl snapshot create` makes it. */
static struct object_id direct(struct run_frame *t, const char *source,
			       const char *host, int64_t claimed)
{
	CLEANUP(repository_close) struct repository *r = run_repository(t, "a");
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(manifest_done) struct manifest about;
	const char *path = run_path(t, "web");
	const struct files_options files = { .paths = &path, .path_count = 1 };
	struct snapshot_options o = { .about = &about };
	struct snapshot_result result;
	struct source *s = NULL;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "%s", source);
	(void)snprintf(about.host, sizeof(about.host), "%s", host);
	(void)snprintf(about.type, sizeof(about.type), "files");
	about.has_claimed = claimed != 0;
	about.claimed = at(claimed);
	ok(&t->f, manifest_list_add(&about.paths, path, strlen(path), &t->f.e));
	ok(&t->f, snapshot_errors_new(&errors, &t->f.e));
	ok(&t->f, files_open(&files, &s, &t->f.e));
	ok(&t->f, snapshot_take(r, s, errors, &o, &result, &t->f.e));
	source_close(s);
	return result.id;
}

START_TEST(claimed_times_poison_nothing)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":4}}");
	nights(&t, 2);
	/* 2099 and 1970, of other hosts: received now, judged as of now. */
	today += DAY;
	run_clock(&t, today);
	(void)direct(&t, "web", "h2", 4070908800);
	(void)direct(&t, "web", "h3", 1);
	nights(&t, 1);
	/* Five, and four are kept: the first night's goes. */
	ck_assert_int_eq(run_counts(&t, "a").live, 4);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM snapshots "
					   "WHERE host IN ('h2', 'h3') AND "
					   "deleted_us IS NULL"),
			 2);
}
END_TEST

START_TEST(grouped_by_source_and_ad_hoc_ones_stay)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	run_clock(&t, today);
	for (int i = 0; i < 3; i++) {
		(void)direct(&t, "", "h2", 0);
		(void)direct(&t, "other", "h2", 0);
	}
	nights(&t, 3);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM snapshots "
					   "WHERE deleted_us IS NULL AND "
					   "source <> 'web'"),
			 6);
	ck_assert_int_eq(run_counts(&t, "a").live, 7);
}
END_TEST

START_TEST(three_weeks_off_keep_the_counts)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-daily\":4}}");
	nights(&t, 6);
	ck_assert_int_eq(run_counts(&t, "a").live, 4);
	today += 21 * DAY;
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 4);
}
END_TEST

START_TEST(a_change_waits_and_then_applies_to_old_ones)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":5}}");
	nights(&t, 5);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":"
		  "2}}");
	nights(&t, 1);
	/* One of six was let go by the old rules as well; three are shown. */
	ck_assert_int_eq(run_counts(&t, "a").live, 5);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM shortening_snapshots n "
				  "JOIN shortenings s ON s.id = n.shortening "
				  "WHERE s.state = 'waiting' AND s.cause = "
				  "'policy gold version 2 → 3'"),
		3);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'waiting'"),
			 3);
	/* Every night one more is let go: what was there when the rules
	 * changed waits, what came later ages as usual. */
	nights(&t, 6);
	ck_assert_int_ge(run_counts(&t, "a").live, 5);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'held-by-budget'"),
			 0);
	/* After the cooling-off, within the budget of two a day. */
	nights(&t, 9);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM shortenings "
					   "WHERE state = 'waiting'"),
			 0);
}
END_TEST

START_TEST(the_first_rule_is_a_change_too)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{}}");
	nights(&t, 6);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":"
		  "1}}");
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 7);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 6);
}
END_TEST

START_TEST(a_schedule_that_gets_another_policy_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":9}}");
	nights(&t, 4);
	run_apply(&t, "Policy", "tin", NULL,
		  "{\"retention\":{\"keep-last\":"
		  "1}}");
	run_apply(&t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"tin\"}");
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 5);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 4);
}
END_TEST

/* The schedule "nightly" with that policy, and "monthly" with another one. */
static void begin_with_two(struct run_frame *t)
{
	begin(t, "{\"retention\":{\"keep-last\":9}}");
	run_apply(t, "Policy", "tin", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	run_apply(t, "Schedule", "monthly", NULL,
		  "{\"cron\":\"0 1 1 * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\"}");
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"tin\"}");
}

/*
 * What the policy of a schedule that has not run for long kept was kept by
 * every night's decisions all the same.
 */
START_TEST(a_policy_of_another_schedule_is_in_force_too)
{
	CLEANUP(run_done) struct run_frame t;
	struct catalog_actor who = by("root", 0);

	begin_with_two(&t);
	nights(&t, 9);
	ck_assert_int_eq(run_counts(&t, "a").live, 9);
	who.now = clock_now();
	ok(&t.f,
	   catalog_resource_delete(t.f.c, "Schedule", "monthly", &who, &t.f.e));
	nights(&t, 1);
	/* One of ten the old rules let go as well; but for the newest, the
	 * others are shown. */
	ck_assert_int_eq(run_counts(&t, "a").live, 9);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM shortenings "
					   "WHERE state = 'waiting'"),
			 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 8);
	/* After the cooling-off they go, two a day. */
	nights(&t, 12);
	ck_assert_int_lt(run_counts(&t, "a").live, 9);
}
END_TEST

START_TEST(a_policy_of_another_schedule_that_changes_waits)
{
	CLEANUP(run_done) struct run_frame t;

	begin_with_two(&t);
	nights(&t, 9);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":2}}");
	nights(&t, 1);
	/* One of ten the old rules let go as well. */
	ck_assert_int_eq(run_counts(&t, "a").live, 9);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 7);
	/* A change of the run's own policy is not the end of the others. */
	run_apply(&t, "Policy", "tin", NULL,
		  "{\"retention\":{\"keep-last\":3}}");
	nights(&t, 3);
	ck_assert_int_ge(run_counts(&t, "a").live, 9);
}
END_TEST

/* Both are of version 2: only their names tell what was in force apart. */
START_TEST(two_policies_that_change_at_once_both_wait)
{
	CLEANUP(run_done) struct run_frame t;

	begin_with_two(&t);
	run_apply(&t, "Policy", "tin", NULL,
		  "{\"retention\":{\"keep-last\":2}}");
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(DISTINCT version) "
					   "FROM resources WHERE kind = "
					   "'Policy'"),
			 1);
	nights(&t, 9);
	ck_assert_int_eq(run_counts(&t, "a").live, 9);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":3}}");
	run_apply(&t, "Policy", "tin", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	nights(&t, 3);
	ck_assert_int_ge(run_counts(&t, "a").live, 9);
}
END_TEST

/* What was deleted in the morning counts in the evening. */
START_TEST(a_budget_is_for_the_whole_day)
{
	CLEANUP(run_done) struct run_frame t;
	int deleted;

	begin(&t, "{\"retention\":{\"keep-last\":20}}");
	nights(&t, 20);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	for (int i = 0; i < 20 && run_counts(&t, "a").live >= 20; i++)
		nights(&t, 1);
	deleted = run_counts(&t, "a").deleted;
	ck_assert_int_eq(run_at(&t, (today / DAY + 1) * DAY + 3600),
			 RUN_SUCCEEDED);
	ck_assert_int_gt(run_counts(&t, "a").deleted, deleted);
	deleted = run_counts(&t, "a").deleted;
	(void)run_at(&t, today + 20 * 3600);
	ck_assert_int_eq(run_counts(&t, "a").deleted, deleted);
	(void)run_at(&t, today + 4 * 3600);
	ck_assert_int_gt(run_counts(&t, "a").deleted, deleted);
}
END_TEST

/* By what else was decided nobody knows: it may have kept everything. */
START_TEST(after_inputs_that_are_lost_it_waits)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	nights(&t, 2);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	/* The inputs need not be asked, */
	frame_sql(&t.f, "UPDATE inputs SET body = '', base = NULL");
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	/* unless the evaluation itself does not tell. */
	frame_sql(&t.f, "UPDATE inputs SET body = '', base = NULL; "
			"UPDATE evaluations SET rules = NULL");
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM shortenings "
					   "WHERE state = 'waiting'"),
			 1);
}
END_TEST

START_TEST(cancelled_lists_are_shown_anew)
{
	CLEANUP(run_done) struct run_frame t;
	struct catalog_actor who = by("root", 0);
	uint64_t count = 0;

	begin(&t, "{\"retention\":{\"keep-last\":4}}");
	nights(&t, 4);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":"
		  "3}}");
	nights(&t, 1);
	today += 6 * DAY;
	who.now = at(today);
	ok(&t.f,
	   catalog_shortening_cancel(t.f.c, "gold", &who, &count, &t.f.e));
	ck_assert_uint_eq(count, 1);
	/* The change itself is older than the period by now. */
	today += 2 * DAY;
	nights(&t, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM shortenings "
					   "WHERE state = 'waiting'"),
			 1);
	ck_assert_int_ge(run_counts(&t, "a").live, 4);
}
END_TEST

START_TEST(back_to_the_old_rules_empties_the_list)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":9}}");
	nights(&t, 4);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":"
		  "1}}");
	nights(&t, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 4);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":"
		  "9}}");
	nights(&t, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 0);
	ck_assert_int_eq(run_counts(&t, "a").live, 6);
}
END_TEST

START_TEST(a_clock_that_jumped_stops_it)
{
	CLEANUP(run_done) struct run_frame t;
	struct catalog_clock k = { .wall = at(START), .boot_id = "b" };
	const struct catalog_actor who = by("root", START);

	begin(&t, "{\"retention\":{\"keep-last\":1}}");
	nights(&t, 1);
	k.suspicious = at(START);
	k.jump_ms = 3600000;
	ok(&t.f, catalog_clock_put(t.f.c, &k, &t.f.e));
	ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM run_steps "
					   "WHERE step = 'retain' AND state = "
					   "'failed' AND message LIKE 'the "
					   "clock jumped ahead by 1h%'"),
			 1);
	ck_assert_int_eq(catalog_clock_confirm(t.f.c, &who, &t.f.e), 1);
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
}
END_TEST

/* Without the daemon somebody deleted one: the tombstone tells who and why. */
START_TEST(a_deletion_by_hand_is_told_with_who_and_why)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(repository_close) struct repository *r = NULL;
	char id[OBJECT_ID_TEXT];
	struct deletion d = { .grace_ms = DELETION_GRACE_MS,
			      .by = "ann@box",
			      .reason = "it holds a password" };

	begin(&t, "{\"retention\":{}}");
	object_id_format(direct(&t, "web", "h", 0), id);
	nights(&t, 1);
	d.now = at(today + 60);
	r = run_repository(&t, "a");
	manifest_init(&s.manifest);
	ok(&t.f, repository_find(r, id, NULL, false, &s, NULL, &t.f.e));
	ok(&t.f, deletion_delete(r, &s, &d, &t.f.e));
	nights(&t, 1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM snapshots WHERE "
				  "deleted_us IS NOT NULL AND deleted_reason = "
				  "'deleted by ann@box: it holds a password'"),
		1);
}
END_TEST

START_TEST(unverified_copies_block_at_the_floor)
{
	CLEANUP(run_done) struct run_frame t;

	/* There is one region, and it is verified; the floor wants two. */
	begin(&t, "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":"
		  "1,\"verifiedWithin\":\"30d\",\"regions\":2}}");
	nights(&t, 1);
	ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'floor-blocked'"),
			 1);
}
END_TEST

/* What only a floor kept back was kept, too. */
START_TEST(a_floor_that_is_lowered_is_a_change)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":"
		  "4,\"verifiedWithin\":\"30d\"}}");
	for (int i = 0; i < 5; i++)
		ck_assert_int_ne(night(&t), RUN_FAILED);
	ck_assert_int_eq(run_counts(&t, "a").live, 4);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":"
		  "2,\"verifiedWithin\":\"30d\"}}");
	ck_assert_int_ne(night(&t), RUN_FAILED);
	/* The oldest of five the old floor let go as well; one is kept by the
	 * rules, one by the new floor. */
	ck_assert_int_eq(run_counts(&t, "a").live, 4);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM shortening_snapshots n "
				  "JOIN shortenings s ON s.id = n.shortening "
				  "WHERE s.state = 'waiting' AND s.cause = "
				  "'policy gold version 2 → 3'"),
		2);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ne(night(&t), RUN_FAILED);
	ck_assert_int_ge(run_counts(&t, "a").live, 5);
	for (int i = 0; i < 9; i++)
		ck_assert_int_ne(night(&t), RUN_FAILED);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
}
END_TEST

START_TEST(a_floor_that_was_not_met_is_removed)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":"
		  "1,\"verifiedWithin\":\"30d\",\"regions\":2}}");
	for (int i = 0; i < 4; i++)
		ck_assert_int_ne(night(&t), RUN_FAILED);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "a").live, 5);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM "
					   "shortening_snapshots"),
			 4);
}
END_TEST

START_TEST(a_listing_that_shrank_is_an_alarm)
{
	CLEANUP(run_done) struct run_frame t;
	char command[SCRATCH_PATH + 64];

	begin(&t, "{\"retention\":{\"keep-last\":2}}");
	nights(&t, 2);
	(void)snprintf(command, sizeof(command), "%s/a/snapshots", t.root);
	scratch_remove(command);
	ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ck_assert_int_eq(frame_count(&t.f,
				     "SELECT count(*) FROM run_steps "
				     "WHERE step = 'retain' AND message "
				     "LIKE '%does not list 2 snapshots%'"),
			 1);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
}
END_TEST

/* After one night: the only snapshot's manifest. */
static void only_manifest(struct run_frame *t, char name[128])
{
	DIR *d = opendir(run_path(t, "a/snapshots"));
	const struct dirent *entry;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			(void)snprintf(name, 128, "a/snapshots/%.100s",
				       entry->d_name);
	(void)closedir(d);
}

START_TEST(what_a_tombstone_explains_is_no_alarm)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char name[128];
	struct deletion d = { .grace_ms = DELETION_GRACE_MS,
			      .by = "ann@box",
			      .reason = "" };

	begin(&t, "{\"retention\":{\"keep-last\":9}}");
	nights(&t, 1);
	only_manifest(&t, name);
	d.now = clock_now();
	manifest_init(&s.manifest);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f,
		   repository_find(r, "latest", NULL, false, &s, NULL, &t.f.e));
		ok(&t.f, deletion_delete(r, &s, &d, &t.f.e));
	}
	/* As a collector does when the grace period is over. */
	ck_assert_int_eq(unlink(run_path(&t, name)), 0);
	nights(&t, 2);
	ck_assert_int_eq(run_counts(&t, "a").live, 2);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM replicas "
					   "WHERE state = 'gone'"),
			 1);
}
END_TEST

START_TEST(what_cannot_be_read_takes_no_slot)
{
	CLEANUP(run_done) struct run_frame t;
	char name[128];

	begin(&t, "{\"retention\":{\"keep-last\":2}}");
	nights(&t, 1);
	only_manifest(&t, name);
	nights(&t, 1);
	ck_assert_int_eq(unlink(run_path(&t, name)), 0);
	run_file(&t, name, "x");
	ck_assert_int_eq(night(&t), RUN_PARTIAL);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM run_steps "
					   "WHERE step = 'retain' AND message "
					   "LIKE 'region a: %cannot be read%'"),
			 1);
}
END_TEST

/* ---- Killed -------------------------------------------------------------- */

struct deadline {
	unsigned int calls, kill_at;
};

static int die(void *arg, enum seam_call call UNUSED, const char *path)
{
	struct deadline *d = arg;

	if (frame_matters(path) &&
	    __atomic_add_fetch(&d->calls, 1, __ATOMIC_SEQ_CST) == d->kill_at)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static int count_tombstones(void *arg, const struct store_entry *entry UNUSED,
			    struct err *e UNUSED)
{
	++*(int *)arg;
	return 0;
}

/* The step alone, in a process that dies before a call; whether it lived. */
static bool lived(struct run_frame *t, int64_t id, unsigned int kill_at)
{
	int status;
	pid_t child;

	catalog_close(t->f.c);
	t->f.c = NULL;
	child = check_fork_child();
	if (child == 0) {
		struct deadline d = { .kill_at = kill_at };
		struct run_result result = { .state = RUN_FAILED };

		buf_init(&result.details, 4096);
		ok(&t->f, catalog_open(t->f.path, &t->f.c, &t->f.e));
		seam_set_hook(die, &d);
		ok(&t->f, step_retain(run_get(t, id), NULL, &result, &t->f.e));
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ok(&t->f, catalog_open(t->f.path, &t->f.c, &t->f.e));
	if (WIFEXITED(status))
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	return WIFEXITED(status);
}

/* SHA-256 of {"policies":[]} */
#define NO_OTHERS                          \
	"cd59036f92de48974d69907bc470ba06" \
	"f9a27cbf83dea3582fc895678fca4164"

START_TEST(killed_anywhere_it_writes_one_tombstone_each)
{
	bool done = false;

	for (unsigned int n = 1; !done; n++) {
		CLEANUP(run_done) struct run_frame t;
		struct run_result result = { .state = RUN_FAILED };
		int tombstones = 0;
		int64_t id;

		begin(&t, "{\"retention\":{\"keep-last\":9}}");
		nights(&t, 4);
		/* As if they had been let go for long. */
		run_apply(&t, "Policy", "gold", NULL,
			  "{\"retention\":{\"keep-last\":2}}");
		frame_sql(&t.f, "INSERT INTO inputs (id, hash, body) VALUES "
				"(99, '" NO_OTHERS "', '{\"policies\":[]}'); "
				"UPDATE evaluations SET policy_version = 3, "
				"rules = '', inputs = 99");
		id = run_attempt(&t, 0);
		frame_sql(&t.f,
			  "INSERT INTO run_steps (run, source, step, region, "
			  "state, message, details) SELECT max(id), 'web', "
			  "'snapshot', 'a', 'succeeded', '', '{\"snapshot\":"
			  "\"00000000000000000000000000000001\"}' FROM runs");
		done = lived(&t, id, n);
		buf_init(&result.details, 4096);
		ok(&t.f, step_retain(run_get(&t, id), NULL, &result, &t.f.e));
		buf_done(&result.details);
		ck_assert_msg(run_counts(&t, "a").deleted == 2,
			      "killed before call %u: %d deleted", n,
			      run_counts(&t, "a").deleted);
		{
			CLEANUP(repository_close)
			struct repository *r = run_repository(&t, "a");

			ok(&t.f,
			   store_list(repository_store(r), "tombstones/",
				      count_tombstones, &tombstones, &t.f.e));
		}
		ck_assert_int_eq(tombstones, 2);
		ck_assert_int_eq(frame_count(&t.f,
					     "SELECT count(*) FROM audit WHERE "
					     "action = 'copy.delete'"),
				 2);
		ck_assert_int_eq(frame_count(&t.f,
					     "SELECT count(*) FROM snapshots "
					     "WHERE deleted_us IS NOT NULL"),
				 2);
		ck_assert_int_lt(n, 100);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, lets_go_of_the_oldest);
	tcase_add_test(tc, an_empty_rule_set_keeps_everything);
	tcase_add_test(tc, a_selector_that_matches_nothing_deletes_nothing);
	tcase_add_test(tc, claimed_times_poison_nothing);
	tcase_add_test(tc, grouped_by_source_and_ad_hoc_ones_stay);
	tcase_add_test(tc, three_weeks_off_keep_the_counts);
	tcase_add_test(tc, a_change_waits_and_then_applies_to_old_ones);
	tcase_add_test(tc, the_first_rule_is_a_change_too);
	tcase_add_test(tc, a_schedule_that_gets_another_policy_is_a_change);
	tcase_add_test(tc, a_policy_of_another_schedule_is_in_force_too);
	tcase_add_test(tc, a_policy_of_another_schedule_that_changes_waits);
	tcase_add_test(tc, after_inputs_that_are_lost_it_waits);
	tcase_add_test(tc, cancelled_lists_are_shown_anew);
	tcase_add_test(tc, back_to_the_old_rules_empties_the_list);
	tcase_add_test(tc, a_clock_that_jumped_stops_it);
	tcase_add_test(tc, two_policies_that_change_at_once_both_wait);
	tcase_add_test(tc, a_budget_is_for_the_whole_day);
	tcase_add_test(tc, a_deletion_by_hand_is_told_with_who_and_why);
	tcase_add_test(tc, unverified_copies_block_at_the_floor);
	tcase_add_test(tc, a_floor_that_is_lowered_is_a_change);
	tcase_add_test(tc, a_floor_that_was_not_met_is_removed);
	tcase_add_test(tc, a_listing_that_shrank_is_an_alarm);
	tcase_add_test(tc, what_a_tombstone_explains_is_no_alarm);
	tcase_add_test(tc, what_cannot_be_read_takes_no_slot);
	tcase_add_test(tc, killed_anywhere_it_writes_one_tombstone_each);
}

CHECK_MAIN("service/step_retain", cases)
