/*
 * What is collected or moved while somebody reads it: who was given up calls
 * nothing lost, and who has no pin finds it where it is now.
 */
#include "storage/replicate.h"
#include "storage/repository/gc.h"

#include "tests/support/gc_frame.h"
#include "tests/support/region.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static struct repository *other; /* whoever else is here */
static struct repository *to;

/* A file that only the first of two snapshots has. */
static void set_up(void)
{
	struct store *s;

	gc_frame_init(g, "mem:moved");
	gc_file(g, "kept");
	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)gc_take(g);
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	(void)gc_take(g);
	gc_ok(store_open("mem:there", true, &s, &g->e));
	gc_ok(replicate_settle(gc_store(g), s, g->f.credential, &g->e));
	store_close(s);
	gc_ok(repository_open("mem:there", g->f.credential, &to, &g->e));
	gc_ok(repository_open(g->f.url, g->f.credential, &other, &g->e));
}

static void tear_down(void)
{
	repository_close(to);
	repository_close(other);
	store_mem_forget("mem:there");
	gc_frame_done(g);
}

/* All beats after the first are lost: we seem to stand still. */
static void stand_still(void)
{
	fault_add(gc_store(g), &(struct fault){ .call = FAULT_COMMIT,
						.action = FAULT_FAIL,
						.prefix = "pins/",
						.nth = 2 });
}

/* The other deletes the first snapshot, and collects it; once. */
static void collect_first(void)
{
	const struct gc_options o = { .now = g->now,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .lease_ms = g->lease_ms,
				      .host = "host" };
	const struct deletion d = gc_asked(g);
	struct repository_snapshot s;

	if (!other)
		return;
	s = gc_look(g, 0);
	gc_ok(deletion_delete(other, &s, &d, &g->e));
	gc_ok(gc_run(other, &o, &g->result, &g->e));
	ck_assert_uint_gt(g->result.deleted, 0);
	repository_snapshot_done(&s);
	repository_close(other);
	other = NULL;
}

static void collect_restored(void *arg, const struct restore_progress *p)
{
	(void)arg;
	(void)p;
	collect_first();
}

/* The other deletes it, and it is gone: no damage, but nothing to restore. */
START_TEST(a_restore_that_stood_still_is_no_judge)
{
	struct restore_options o = { .overwrite = RESTORE_CHANGED,
				     .progress = collect_restored };
	struct restore_result x;

	stand_still();
	ck_assert_int_eq(repo_restore_with(&g->f, g->ids[0], &o, &x, &g->e),
			 -1);
	ck_assert_uint_gt(g->result.sessions_ended, 0);
	ck_assert_msg(g->e.code == ERR_NOT_FOUND, "%s", g->e.text);
	gc_expect(g, 1);
}
END_TEST

/* With a pin that others see, nothing goes meanwhile. */
START_TEST(a_restore_is_left_what_it_needs)
{
	struct restore_options o = { .overwrite = RESTORE_CHANGED,
				     .progress = collect_restored };
	struct restore_result x;

	g->lease_ms = GC_LONG_LEASE_MS;
	/* What both snapshots have is all that the collection may move. */
	gc_file(g, "another");
	(void)gc_take(g);
	gc_erase(g, 2);
	gc_ok(repo_restore_with(&g->f, g->ids[0], &o, &x, &g->e));
	ck_assert_uint_eq(g->result.sessions_ended, 0);
	ck_assert_uint_eq(x.errors, 0);
	repo_expect_same(&g->trees[0], g->f.to);
}
END_TEST

static struct replicate_result copied;

static int copy_first(void (*progress)(void *arg,
				       const struct replicate_progress *p))
{
	const struct replicate_options o = { .only = &g->ids[0],
					     .n_only = 1,
					     .host = "h",
					     .progress = progress };

	err_clear(&g->e);
	return replicate_run(g->f.r, to, &o, &copied, &g->e);
}

static void collect_copied(void *arg, const struct replicate_progress *p)
{
	(void)arg;
	(void)p;
	collect_first();
}

START_TEST(a_copying_that_stood_still_is_no_judge)
{
	stand_still();
	gc_ok(copy_first(collect_copied));
	ck_assert_uint_gt(g->result.sessions_ended, 0);
	ck_assert_uint_eq(copied.failed, 0);
	ck_assert_uint_eq(copied.deleted, 1);
	/* Given again, it does what there is to do. */
	fault_clear(gc_store(g));
	gc_reopen(g);
	ck_assert_int_eq(copy_first(NULL), -1);
	ck_assert_msg(g->e.code == ERR_NOT_FOUND, "%s", g->e.text);
}
END_TEST

/* A reader that opened the index before finds what was moved. */
START_TEST(who_reads_without_a_pin_finds_what_moved)
{
	CLEANUP(repository_close) struct repository *old = NULL;
	struct index_set *index;
	struct repository *mine;

	gc_ok(repository_open(g->f.url, g->f.credential, &old, &g->e));
	gc_ok(repository_index(old, &index, &g->e));
	gc_mark_all(g);
	for (int i = 0; i < 3; i++)
		gc_collect(g, 0);
	mine = g->f.r;
	g->f.r = old;
	(void)repo_restore(&g->f, g->ids[0]);
	g->f.r = mine;
	ck_assert_msg(g->f.failures == 0, "%s", g->f.failed);
	repo_expect_same(&g->trees[0], g->f.to);
}
END_TEST

/* A copy to another region does, too, whatever it reads first. */
START_TEST(who_copies_without_a_pin_finds_what_moved)
{
	CLEANUP(repository_close) struct repository *old = NULL;
	const struct replicate_options o = { .host = NULL };
	struct replicate_result result;
	struct index_set *index;

	gc_ok(repository_open(g->f.url, g->f.credential, &old, &g->e));
	gc_ok(repository_index(old, &index, &g->e));
	gc_mark_all(g);
	for (int i = 0; i < 3; i++)
		gc_collect(g, 0);
	gc_ok(replicate_run(old, to, &o, &result, &g->e));
	ck_assert_uint_eq(result.copied, 2);
	ck_assert_uint_eq(result.failed, 0);
	region_expect_same(g->f.url, "mem:there", g->f.credential);
}
END_TEST

/*
 * Who pinned it too late, or stood still for so long that the pin was given
 * up, finds that it went: that is no damage.
 */
START_TEST(what_went_while_it_was_restored_is_no_damage)
{
	CLEANUP(repository_close) struct repository *old = NULL;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct restore_options o = { .to = g->f.to };
	struct restore_result result;
	struct index_set *index;

	gc_ok(repository_open(g->f.url, g->f.credential, &old, &g->e));
	gc_ok(repository_index(old, &index, &g->e));
	s = gc_look(g, 0);
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert(!gc_exists(g, 0));
	ck_assert_int_eq(restore_run(old, &s.manifest, &o, &result, &g->e), -1);
	ck_assert_int_eq(g->e.code, ERR_NOT_FOUND);
}
END_TEST

/* After the newest snapshot was copied. */
static int collect_the_other(void *arg, const struct replicate_one *one,
			     struct err *e)
{
	*(const char **)arg = one->why ? "could not be copied" : "";
	if (!gc_exists(g, 0))
		return 0;
	(void)e;
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert(!gc_exists(g, 0));
	return 0;
}

START_TEST(what_went_while_it_was_copied_is_no_damage)
{
	const char *failed = NULL;
	const struct replicate_options o = { .done = collect_the_other,
					     .arg = &failed };
	struct replicate_result result;

	fault_add(gc_store(g), &(struct fault){ .call = FAULT_COMMIT,
						.action = FAULT_FAIL,
						.prefix = "pins/",
						.nth = 2 });
	gc_ok(replicate_run(g->f.r, to, &o, &result, &g->e));
	ck_assert_str_eq(failed, "");
	ck_assert_uint_eq(result.copied, 1);
	ck_assert_uint_eq(result.deleted, 1);
	ck_assert_uint_eq(result.failed, 0);
}
END_TEST

/* The index was opened before what it is asked for was there. */
START_TEST(a_copying_finds_what_came_since)
{
	CLEANUP(repository_close) struct repository *ours = NULL;
	const struct replicate_options o = { .host = "h" };
	struct index_set *index;

	gc_ok(repository_open(g->f.url, g->f.credential, &ours, &g->e));
	gc_ok(repository_index(ours, &index, &g->e));
	gc_file(g, "new");
	(void)gc_take(g);
	gc_ok(replicate_run(ours, to, &o, &copied, &g->e));
	ck_assert_uint_eq(copied.failed, 0);
	ck_assert_uint_eq(copied.copied, 3);
}
END_TEST

/* A collection that did not see the pin, when the index was listed. */
static void move_meanwhile(void *arg, const struct check_progress *p)
{
	bool *done = arg;

	if (*done || strcmp(p->stage, "listing") != 0)
		return;
	*done = true;
	gc_mark_all(g);
	gc_ok(gc_collect_with(g, 0, 0));
	ck_assert_uint_gt(g->result.deleted, 0);
}

START_TEST(a_check_that_pinned_too_late_is_no_judge)
{
	CLEANUP(repository_close) struct repository *checked = NULL;
	CLEANUP(check_result_done) struct check_result x = { 0 };
	bool done = false;
	const struct check_options o = { .level = CHECK_DATA,
					 .now = g->now,
					 .progress = move_meanwhile,
					 .arg = &done };

	gc_ok(repository_open(g->f.url, g->f.credential, &checked, &g->e));
	fault_add(gc_store(g), &(struct fault){ .call = FAULT_LIST,
						.action = FAULT_HIDE,
						.prefix = "pins/" });
	ck_assert_int_eq(check_run(checked, &o, &x, &g->e), -1);
	ck_assert(done);
	ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	gc_expect_sound(g);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_restore_that_stood_still_is_no_judge);
	tcase_add_test(tc, a_restore_is_left_what_it_needs);
	tcase_add_test(tc, a_copying_that_stood_still_is_no_judge);
	tcase_add_test(tc, who_reads_without_a_pin_finds_what_moved);
	tcase_add_test(tc, who_copies_without_a_pin_finds_what_moved);
	tcase_add_test(tc, what_went_while_it_was_restored_is_no_damage);
	tcase_add_test(tc, what_went_while_it_was_copied_is_no_damage);
	tcase_add_test(tc, a_copying_finds_what_came_since);
	tcase_add_test(tc, a_check_that_pinned_too_late_is_no_judge);
}

CHECK_MAIN("storage/moved", cases)
