/*
 * The power goes while runs are noted, done and ended: after each call that
 * changed the disk, and whatever of what was not synced the disk then has, of
 * the catalog as of the region.  The catalog opens and holds what was
 * acknowledged, it tells of no snapshot that the region lost, and a later
 * attempt ends what was begun with one snapshot for each occurrence.
 */
#include <fcntl.h>

#include "base/log.h"
#include "tests/support/check_main.h"
#include "tests/support/power_cut.h"
#include "tests/support/run_frame.h"

/* What was acknowledged last, in the order of the story. */
enum step {
	NOTHING,
	APPLIED,
	FIRST_NOTED,
	FIRST_DONE,
	FIRST_ENDED,
	SECOND_NOTED,
	SECOND_DONE,
	SECOND_ENDED,
	AUDITED,
};

static struct run_frame t;
static struct power_cut *power;
static char away[SCRATCH_PATH + 8];
static unsigned int looked, went_on;

static void write_file(const char *path)
{
	const int fd = seam_open(AT_FDCWD, path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(seam_write(fd, path, strlen(path)), 0);
	ck_assert_int_eq(seam_fsync(fd), 0);
	(void)close(fd);
}

static void night(void)
{
	const int64_t id = run_attempt(&t, 0);

	power_cut_acknowledge(power);
	ck_assert_int_eq(run_do(&t, id), RUN_SUCCEEDED);
	power_cut_acknowledge(power);
	(void)end_run(&t.f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
		      CATALOG_SUCCEEDED);
	power_cut_acknowledge(power);
}

static void work(void)
{
	const struct catalog_actor who = by("auditor", clock_now().sec);

	run_apply(&t, "Policy", "extra", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	power_cut_acknowledge(power);
	night();
	write_file(run_path(&t, "web/two"));
	night();
	ok(&t.f, catalog_audit_add(t.f.c, &who, "test.note", "the end", NULL,
				   &t.f.e));
	power_cut_acknowledge(power);
	catalog_close(t.f.c);
	t.f.c = NULL;
}

/* ---- After the cut ------------------------------------------------------- */

static int64_t count(const char *select)
{
	return frame_count(&t.f, select);
}

/* "'id','id'" of what the region lists. */
static int list_ids(void *arg, struct repository_snapshot *s, struct err *e)
{
	char *text = arg;
	char id[OBJECT_ID_TEXT];

	(void)e;
	object_id_format(s->manifest.snapshot, id);
	(void)snprintf(text + strlen(text), 64, "%s'%s'", *text ? "," : "", id);
	return 0;
}

static void expect_no_false_snapshot(void)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(&t, "a");
	char ids[1024] = "";
	char select[1200];

	ok(&t.f, repository_snapshots(r, true, list_ids, NULL, ids, &t.f.e));
	(void)snprintf(
		select, sizeof(select),
		"SELECT count(*) FROM snapshots WHERE snapshot NOT IN (%s)",
		ids);
	ck_assert_msg(count(select) == 0,
		      "%s: the catalog has a snapshot that the region has not",
		      power_cut_describe(power));
}

/* Another attempt of what was noted last, as after a boot. */
static void go_on(void)
{
	const int64_t occurrence = count(
		"SELECT coalesce(max(id), 0) FROM occurrences WHERE state NOT "
		"IN ('succeeded')");
	int64_t id;

	ok(&t.f, catalog_runs_interrupt(t.f.c, "h1", NULL, NULL, clock_now(),
					&t.f.e));
	id = count("SELECT coalesce(max(id), 0) FROM runs WHERE state = "
		   "'queued'");
	if (id)
		ck_assert_int_eq(claim_run(&t.f, id, clock_now().sec),
				 CATALOG_CLAIMED);
	else
		id = run_attempt(&t, occurrence);
	ck_assert_msg(run_do(&t, id) == RUN_SUCCEEDED,
		      "%s: the next attempt fails", power_cut_describe(power));
	ck_assert_msg(
		run_counts(&t, "a").live ==
				count("SELECT count(*) FROM occurrences") &&
			run_counts(&t, "a").live ==
				count("SELECT count(*) FROM snapshots"),
		"%s: %d snapshots for %d occurrences, %d in the catalog",
		power_cut_describe(power), run_counts(&t, "a").live,
		(int)count("SELECT count(*) FROM occurrences"),
		(int)count("SELECT count(*) FROM snapshots"));
	went_on++;
}

#define EVERY_GOES_ON 8

static void check(void *arg, const char *root, unsigned int done)
{
	struct catalog_audit_state audit;

	(void)arg;
	(void)root;
	if (catalog_open(t.f.path, &t.f.c, &t.f.e) ||
	    catalog_check(t.f.c, &t.f.e) ||
	    catalog_audit_verify(t.f.c, &audit, &t.f.e))
		ck_abort_msg("%s: %s", power_cut_describe(power), t.f.e.text);
	ck_assert_msg(audit.sound, "%s: the audit trail is broken",
		      power_cut_describe(power));
	ck_assert_int_ge(
		count("SELECT count(*) FROM resources WHERE name = 'extra'"),
		done >= APPLIED);
	ck_assert_int_ge(count("SELECT count(*) FROM occurrences"),
			 (done >= FIRST_NOTED) + (done >= SECOND_NOTED));
	ck_assert_int_ge(count("SELECT count(*) FROM snapshots"),
			 (done >= FIRST_DONE) + (done >= SECOND_DONE));
	ck_assert_int_ge(run_counts(&t, "a").live,
			 (done >= FIRST_DONE) + (done >= SECOND_DONE));
	ck_assert_int_ge(count("SELECT count(*) FROM occurrences WHERE state = "
			       "'succeeded'"),
			 (done >= FIRST_ENDED) + (done >= SECOND_ENDED));
	ck_assert_int_ge(count("SELECT count(*) FROM audit WHERE action = "
			       "'test.note'"),
			 done >= AUDITED);
	expect_no_false_snapshot();
	if (++looked % EVERY_GOES_ON == 0)
		go_on();
	catalog_close(t.f.c);
	t.f.c = NULL;
}

START_TEST(whatever_is_left_of_what_was_not_synced)
{
	run_open(&t);
	log_set_level(LOG_LEVEL_ERROR);
	(void)snprintf(away, sizeof(away), "%s.away", t.root);
	power = power_cut_record(t.root);
	work();
	power_cut_stop(power);
	/* The disk takes the place that the catalog names. */
	ck_assert_int_eq(rename(t.root, away), 0);
	(void)power_cut_each(power, t.root, power_cut_full(150), check, NULL);
	ck_assert_int_eq(rename(away, t.root), 0);
	(void)printf("%zu calls, %u disks, %u went on\n",
		     power_cut_calls(power), looked, went_on);
	ck_assert_uint_gt(looked, 100 / CHECK_EVERY);
	power_cut_free(power);
	run_done(&t);
}
END_TEST

/* ---- A catalog that is being made ---------------------------------------- */

static void check_made(void *arg, const char *root, unsigned int done)
{
	struct frame f = { .c = NULL };

	(void)arg;
	(void)snprintf(f.path, sizeof(f.path), "%.480s/catalog.db", root);
	if (catalog_open(f.path, &f.c, &f.e) || catalog_check(f.c, &f.e))
		ck_abort_msg("%s: %s", power_cut_describe(power), f.e.text);
	catalog_close(f.c);
	ck_assert_int_ge(frame_count(&f, "SELECT count(*) FROM accounts"),
			 done >= 2);
}

/* All migrations, and the first row. */
START_TEST(a_catalog_that_is_being_made)
{
	CLEANUP(scratch_done) struct scratch dir;
	struct frame f = { .c = NULL };
	char made[SCRATCH_PATH], disk[SCRATCH_PATH];

	scratch_init(&dir);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "made", made), 0700), 0);
	(void)snprintf(f.path, sizeof(f.path), "%.480s/catalog.db", made);
	power = power_cut_record(made);
	ok(&f, catalog_open(f.path, &f.c, &f.e));
	power_cut_acknowledge(power);
	ok(&f, catalog_account_set(f.c, "u", at(100), &f.e));
	power_cut_acknowledge(power);
	catalog_close(f.c);
	power_cut_stop(power);
	ck_assert_uint_gt(power_cut_each(power,
					 scratch_path(&dir, "disk", disk),
					 power_cut_full(150), check_made, NULL),
			  30 / CHECK_EVERY);
	power_cut_free(power);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_catalog_that_is_being_made);
	tcase_add_test(tc, whatever_is_left_of_what_was_not_synced);
}

CHECK_MAIN("service/power_cut", cases)
