/*
 * A region that gets a policy of its own: what retention deleted before, for
 * all regions, deletes nothing in it any more; what people delete does.
 */
#include "tests/support/apart_frame.h"
#include "tests/support/check_main.h"

/* While b was away the primary let go of what b has, for all regions; then b
 * has a policy of its own. */
static void begin_late(struct run_frame *t)
{
	begin(t, 2, 9, false);
	nights(t, 2);
	away(t, true);
	nights(t, 2);
	ck_assert_int_eq(live(t, "a"), 2);
	ck_assert_int_eq(tombstones(t, "a"), 2);
	away(t, false);
}

START_TEST(a_policy_that_a_region_gets_keeps_what_was_let_go_elsewhere)
{
	CLEANUP(run_done) struct run_frame t;

	begin_late(&t);
	declare(&t, NULL, "b", "years");
	nights(&t, 1);
	ck_assert_int_eq(tombstones(&t, "b"), 0);
	ck_assert_int_eq(live(&t, "b"), 5);
	ck_assert_int_eq(live(&t, "a"), 2);
	/* It loses it: what that let go of is shown there first. */
	declare(&t, NULL, "b", NULL);
	nights(&t, 1);
	ck_assert_int_eq(tombstones(&t, "b"), 0);
	ck_assert_int_eq(live(&t, "b"), 6);
	ck_assert_int_eq(decided(&t, "b", "waiting"), 4);
}
END_TEST

START_TEST(where_none_gets_a_policy_they_follow_as_ever)
{
	CLEANUP(run_done) struct run_frame t;

	begin_late(&t);
	nights(&t, 1);
	ck_assert_int_eq(live(&t, "b"), 2);
	ck_assert_int_ge(tombstones(&t, "b"), 2);
}
END_TEST

static int take_deleted(void *arg, struct repository_snapshot *s,
			struct err *e UNUSED)
{
	if (!s->deleted)
		return 0;
	*(struct repository_snapshot *)arg = *s;
	manifest_init(&s->manifest); /* taken */
	return 1;
}

/* However long ago retention did. */
START_TEST(what_a_person_deletes_goes_there_all_the_same)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct deletion d = { .grace_ms = DELETION_GRACE_MS,
			      .by = "ann@box",
			      .reason = "" };

	begin_late(&t);
	declare(&t, NULL, "b", "years");
	d.now = clock_now();
	manifest_init(&s.manifest);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f, repository_snapshots(r, true, take_deleted, NULL, &s,
					      &t.f.e));
		ck_assert(s.deleted);
		ok(&t.f, deletion_delete(r, &s, &d, &t.f.e));
	}
	nights(&t, 1);
	ck_assert_int_eq(tombstones(&t, "b"), 1);
	ck_assert_int_eq(live(&t, "b"), 4);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(
		tc,
		a_policy_that_a_region_gets_keeps_what_was_let_go_elsewhere);
	tcase_add_test(tc, where_none_gets_a_policy_they_follow_as_ever);
	tcase_add_test(tc, what_a_person_deletes_goes_there_all_the_same);
}

CHECK_MAIN("service/retain_late", cases)
